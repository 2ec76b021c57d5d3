#include "collector/cli/why_path.h"

#include "collector/cli/print.h"
#include "collector/cli/table.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define PATHS_SHOWN 2 /* -o json has all */

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text_of(const cJSON *object, const char *key)
{
    return json_string(object, key, "");
}

/* The steps as a person calls them. */
static const struct {
    const char *step, *label;
    bool is_back, is_last; /* the last one before what was seen there */
} labels[] = {
    {"group-out", "security groups of the source", false, false},
    {"acl-out", "ACL of its subnet, outbound", false, false},
    {"route", "route", false, false},
    {"acl-in", "ACL of the target's subnet, inbound", false, false},
    {"group-in", "security groups of the target", false, true},
    {"back-acl-out", "back: ACL of the target's subnet", true, false},
    {"back-route", "back: route", true, false},
    {"back-acl-in", "back: ACL of the source's subnet", true, true},
};

static void add_verdict(struct table *table, const char *verdict)
{
    if (strcmp(verdict, "allowed") == 0)
        table_add(table, GREEN, "open");
    else if (strcmp(verdict, "denied") == 0)
        table_add(table, RED, "CLOSED");
    else if (strcmp(verdict, "partly") == 0)
        table_add(table, YELLOW, "partly closed");
    else if (strcmp(verdict, "skipped") == 0)
        table_add(table, DIM, "-");
    else
        table_add(table, YELLOW, "not known");
}

static void add_seen(struct table *table, const cJSON *path, bool is_back)
{
    const char *seen = text_of(path, is_back ? "back" : "forward");

    if (strcmp(seen, "passed") == 0)
        table_add(table, GREEN, is_back ? "the answer came" : "the SYN arrived");
    else if (strcmp(seen, "lost") == 0)
        table_add(table, RED, is_back ? "the answer is lost" : "nothing arrived");
    else
        table_add(table, DIM,
                  is_back && strcmp(text_of(path, "forward"), "lost") == 0 ? "no answer was sent"
                                                                           : "nobody could see");
}

static void print_steps(const cJSON *path)
{
    static const char *const heads[] = {"    step", "by configuration", "as both ends saw it",
                                        "which"};
    const cJSON *step;
    struct table table;
    size_t at = 0;

    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(step, member(path, "steps"))
    {
        if (at == ARRAY_SIZE(labels))
            break;
        table_add(&table, PLAIN, "    %s", labels[at].label);
        add_verdict(&table, text_of(step, "verdict"));
        if (labels[at].is_last)
            add_seen(&table, path, labels[at].is_back);
        else
            table_add(&table, PLAIN, "%s", "");
        table_add(&table, PLAIN, "%s", text_of(step, "text"));
        at++;
    }
    if (at)
        table_print(&table);
    table_deinit(&table);
}

static void print_flows(const cJSON *path)
{
    const cJSON *flow;

    cJSON_ArrayForEach(flow, member(path, "flows"))
    {
        printf("    flow log of %s: %s %s -> %s:%lld, %lld packets, %s to %s\n",
               text_of(flow, "interface"), text_of(flow, "action"), text_of(flow, "from"),
               text_of(flow, "to"), (long long)json_int(flow, "to_port", 0, 65535, 0),
               (long long)json_int(flow, "packets", 0, INT64_MAX, 0), text_of(flow, "begin"),
               text_of(flow, "end"));
    }
}

static void print_comparison(const cJSON *path)
{
    const char *views = text_of(path, "views");

    if (strcmp(views, "agree") == 0)
        puts("    Both say the same.");
    else if (strcmp(views, "part") == 0)
        puts(strcmp(text_of(path, "verdict"), "allowed") == 0
                 ? "    Here they part: the configuration lets it through, and it is lost."
                 : "    Here they part: what the configuration closes is not where it was lost.");
    else
        puts("    They cannot be compared: not all of it is known.");
}

void why_print_paths(const struct cJSON *document)
{
    const cJSON *paths = member(document, "paths"), *path;
    int shown = 0, count = cJSON_GetArraySize(paths);

    if (!count)
        return;
    puts("\nThe two views: what AWS's configuration does, and what both ends saw");
    cJSON_ArrayForEach(path, paths)
    {
        if (shown++ == PATHS_SHOWN)
            break;
        printf("  %s (%s) -> %s:%lld\n", text_of(path, "task"), text_of(path, "from"),
               text_of(path, "to"), (long long)json_int(path, "port", 0, 65535, 0));
        print_steps(path);
        print_flows(path);
        print_comparison(path);
    }
    if (count > PATHS_SHOWN)
        printf("  (%d paths more: -o json)\n", count - PATHS_SHOWN);
    puts("  (Flow logs are 1 to 10 minutes late, CloudTrail up to 15: what they do not have yet "
         "proves nothing.)");
}

void why_print_logs(const struct cJSON *document)
{
    const cJSON *stopped = member(document, "stopped"), *log = member(document, "log"), *item;

    if (cJSON_GetArraySize(stopped))
        puts("\nTasks of the target that have stopped");
    cJSON_ArrayForEach(item, stopped)
    {
        printf("  %s %.12s: %s", text_of(item, "at"), text_of(item, "task"),
               text_of(item, "reason"));
        if (*text_of(item, "container"))
            printf(" (%s: exit %lld)", text_of(item, "container"),
                   (long long)json_int(item, "exit_code", INT32_MIN, INT32_MAX, 0));
        putchar('\n');
    }
    if (cJSON_GetArraySize(log))
        puts("\nThe last lines of their logs, and of those that are unhealthy");
    cJSON_ArrayForEach(item, log)
    {
        printf("  %s %s: %s\n", text_of(item, "at"), text_of(item, "container"),
               text_of(item, "text"));
    }
}
