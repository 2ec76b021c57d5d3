/* canreach runs: earlier runs; with an id, who took part in that one. */
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "collector/cli/table.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

struct settings {
    struct common_settings common;
    int64_t limit;
    bool outages;
};

static const struct option_spec specs[] = {
    {"limit", NULL, OPTION_INT, offsetof(struct settings, limit), "N", "20", 1, 500,
     "the newest N"},
    {"outages", NULL, OPTION_FLAG, offsetof(struct settings, outages), NULL, NULL, 0, 0,
     "from when to when pairs did not work"},
    COMMON_OPTIONS,
};

static enum colour verdict_colour(const char *verdict)
{
    return strcmp(verdict, "pass") == 0 ? GREEN : strcmp(verdict, "fail") == 0 ? RED : YELLOW;
}

static void print_list(const cJSON *document)
{
    static const char *const heads[] = {"run", "started", "trigger", "state", "verdict"};
    struct table table;
    const cJSON *run;

    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(run, cJSON_GetObjectItemCaseSensitive(document, "runs"))
    {
        const char *verdict = json_string(run, "verdict", "-");
        table_add(&table, BOLD, "%s", json_string(run, "id", "?"));
        table_add(&table, PLAIN, "%s", json_string(run, "started", "?"));
        table_add(&table, PLAIN, "%s", json_string(run, "trigger", "?"));
        table_add(&table, PLAIN, "%s", json_string(run, "state", "?"));
        table_add(&table, verdict_colour(verdict), "%s%s", verdict,
                  json_bool(run, "incomplete", false) ? " (incomplete)" : "");
    }
    table_print(&table);
    table_deinit(&table);
}

/* "network.sg-ingress, then target.not-listening". */
static void add_causes(struct table *table, const cJSON *causes)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    const cJSON *cause;

    cJSON_ArrayForEach(cause, causes)
    {
        const char *name = json_string(cause, "cause", "");
        buf_printf(&text, "%s%s", text.length ? ", then " : "", *name ? name : "not known");
    }
    table_add(table, PLAIN, "%s", buf_text(&text));
}

static void print_outages(const cJSON *document)
{
    static const char *const heads[] = {"pair", "from", "until", "seconds", "cause"};
    struct table table;
    const cJSON *outage;

    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(outage, cJSON_GetObjectItemCaseSensitive(document, "outages"))
    {
        const char *end = json_string(outage, "end", NULL);
        table_add(&table, BOLD, "%s -> %s:%s", json_string(outage, "source", "?"),
                  json_string(outage, "target", "?"), json_string(outage, "check", "?"));
        table_add(&table, PLAIN, "%s", json_string(outage, "start", "?"));
        table_add(&table, end ? PLAIN : RED, "%s", end ? end : "it goes on");
        table_add(&table, PLAIN, "%lld",
                  (long long)json_int(outage, "seconds", 0, INT64_MAX / 2, 0));
        add_causes(&table, cJSON_GetObjectItemCaseSensitive(outage, "causes"));
    }
    table_print(&table);
    table_deinit(&table);
}

static void print_one(const cJSON *document)
{
    static const char *const heads[] = {"service", "task", "zone", "state"};
    const cJSON *run = cJSON_GetObjectItemCaseSensitive(document, "run"), *agent;
    const char *verdict = json_string(run, "verdict", "not judged yet");
    struct table table;

    printf("run %s, %s, %s: ", json_string(run, "id", "?"), json_string(run, "trigger", "?"),
           json_string(run, "started", "?"));
    print_coloured(verdict_colour(verdict), verdict, SIZE_MAX);
    puts(json_bool(run, "incomplete", false) ? ", incomplete\n" : "\n");
    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(agent, cJSON_GetObjectItemCaseSensitive(run, "agents"))
    {
        const char *state = json_string(agent, "state", "?");
        table_add(&table, PLAIN, "%s", json_string(agent, "service", "?"));
        table_add(&table, PLAIN, "%s", json_string(agent, "task", "?"));
        table_add(&table, PLAIN, "%s", json_string(agent, "zone", ""));
        table_add(&table, strcmp(state, "done") == 0 ? GREEN : YELLOW, "%s", state);
    }
    table_print(&table);
    table_deinit(&table);
}

int cmd_runs(int argc, char **argv)
{
    struct settings settings = {0};
    struct options_list words = {0};
    CLEANUP_JSON cJSON *document = NULL;
    char path[128], id[64];
    bool is_one;
    int status = command_parse("runs", specs, ARRAY_SIZE(specs), &settings, argc, argv, &words, 1);

    is_one = words.count > 0;
    client_escape(is_one ? words.items[0] : "", id, sizeof(id));
    options_list_deinit(&words);
    if (status >= 0)
        return status;
    if (is_one)
        snprintf(path, sizeof(path), "/api/v1/runs/%s", id);
    else
        snprintf(path, sizeof(path), "/api/v1/%s?limit=%lld", settings.outages ? "outages" : "runs",
                 (long long)settings.limit);
    status = command_get("runs", &settings.common, path, &document);
    if (status >= 0)
        return status;
    if (command_wants_json(&settings.common))
        print_json(document);
    else if (is_one)
        print_one(document);
    else if (settings.outages)
        print_outages(document);
    else
        print_list(document);
    return EXIT_PASS;
}
