#include "collector/cli/cloud.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int64_t number(const cJSON *object, const char *key)
{
    return json_int(object, key, -1, INT32_MAX, 0);
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text_at(const cJSON *list, int index)
{
    const cJSON *item = cJSON_GetArrayItem(list, index);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static const char *short_name(const char *arn)
{
    const char *slash = strrchr(arn, '/');

    return slash ? slash + 1 : arn;
}

/* IN_PROGRESS is "in progress". */
static void add_state(struct table *table, const cJSON *cloud)
{
    const char *state = json_string(cloud, "deployment", "");
    int64_t failed = number(cloud, "failed_tasks");
    enum colour colour = strcmp(state, "COMPLETED") == 0 ? DIM
                         : strcmp(state, "FAILED") == 0  ? RED
                                                         : YELLOW;
    char words[64];

    snprintf(words, sizeof(words), "%s", *state ? state : "?");
    for (char *at = words; *at; at++)
        if (*at == '_')
            *at = ' ';
        else
            *at = (char)tolower((unsigned char)*at);
    if (failed)
        table_add(table, RED, "%s, %lld failed", words, (long long)failed);
    else
        table_add(table, colour, "%s", words);
}

void cloud_add_service(struct table *table, const struct cJSON *cloud)
{
    int64_t running = number(cloud, "running"), desired = number(cloud, "desired");
    int64_t unhealthy = number(cloud, "unhealthy");

    if (!cloud) {
        table_add(table, DIM, "-");
        table_add(table, DIM, "-");
        return;
    }
    if (unhealthy)
        table_add(table, YELLOW, "%lld/%lld, %lld unhealthy", (long long)running,
                  (long long)desired, (long long)unhealthy);
    else
        table_add(table, running >= desired ? GREEN : YELLOW, "%lld/%lld", (long long)running,
                  (long long)desired);
    add_state(table, cloud);
}

/* The same trouble with another call: no credentials, say. A permission is a call's own. */
static bool is_same_trouble(const cJSON *a, const cJSON *b)
{
    return !json_bool(a, "is_permission", false) &&
           strcmp(json_string(a, "code", ""), json_string(b, "code", "")) == 0 &&
           strcmp(json_string(a, "text", ""), json_string(b, "text", "")) == 0;
}

/* How many of those from `from` on and before `to` have its trouble, too. */
static int count_same(const cJSON *missing, const cJSON *from, const cJSON *to)
{
    int count = 0;

    for (; from && from != to; from = from->next)
        count += is_same_trouble(missing, from);
    return count;
}

void cloud_print_missing(const struct cJSON *cloud)
{
    const cJSON *list = member(cloud, "missing"), *missing;

    cJSON_ArrayForEach(missing, list)
    {
        const char *call = json_string(missing, "call", "?"), *of = json_string(missing, "of", "");
        const char *text = json_string(missing, "text", "");
        int more = count_same(missing, missing->next, NULL);
        if (count_same(missing, list->child, missing))
            continue;
        printf("Not known of the cloud: %s%s%s", call, *of ? " of " : "", short_name(of));
        if (more)
            printf(" and %d other calls", more);
        printf(" failed: %s%s%.400s\n", json_string(missing, "code", "?"), *text ? ": " : "", text);
        if (json_bool(missing, "is_permission", false))
            printf("  allow %s: deploy/aws/collector-policy.json has all that is needed\n", call);
    }
}

/* ---- one service ---- */

/* The container that ended badly says more than the task. */
static void add_stop_reason(struct table *table, const cJSON *task)
{
    CLEANUP_BUF struct buf text = BUF_INIT(2048);
    const cJSON *container;

    buf_puts(&text, json_string(task, "stop_reason", ""));
    cJSON_ArrayForEach(container, member(task, "containers"))
    {
        int64_t code = json_int(container, "exit_code", INT32_MIN, INT32_MAX, 0);
        const char *reason = json_string(container, "reason", "");
        if (!code && !*reason)
            continue;
        buf_printf(&text, "%s%s: exit %lld%s%s", text.length ? "; " : "",
                   json_string(container, "name", "?"), (long long)code, *reason ? ", " : "",
                   reason);
    }
    table_add(table, PLAIN, "%s", buf_text(&text));
}

static void print_tasks(const cJSON *tasks)
{
    static const char *const heads[] = {"task",   "zone",     "address",       "status",
                                        "health", "revision", "why it stopped"};
    struct table table;
    const cJSON *task;

    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(task, tasks)
    {
        const char *health = json_string(task, "health", "");
        bool is_running = strcmp(json_string(task, "status", ""), "RUNNING") == 0;
        table_add(&table, BOLD, "%.12s", short_name(json_string(task, "arn", "?")));
        table_add(&table, PLAIN, "%s", json_string(task, "zone", ""));
        table_add(&table, PLAIN, "%s", json_string(task, "address", ""));
        table_add(&table, is_running ? GREEN : YELLOW, "%s", json_string(task, "status", "?"));
        table_add(&table, strcmp(health, "UNHEALTHY") == 0 ? RED : PLAIN, "%s", health);
        table_add(&table, PLAIN, "%s", short_name(json_string(task, "definition", "?")));
        add_stop_reason(&table, task);
    }
    if (cJSON_GetArraySize(tasks)) {
        putchar('\n');
        table_print(&table);
    }
    table_deinit(&table);
}

static void print_deployments(const cJSON *ecs)
{
    const cJSON *deployment;

    cJSON_ArrayForEach(deployment, member(ecs, "deployments"))
    {
        printf("  deployment %s %s: %s, %lld of %lld run, %lld failed%s%s\n",
               short_name(json_string(deployment, "definition", "?")),
               json_string(deployment, "status", "?"), json_string(deployment, "state", "?"),
               (long long)number(deployment, "running"), (long long)number(deployment, "desired"),
               (long long)number(deployment, "failed"),
               json_string(deployment, "reason", NULL) ? ": " : "",
               json_string(deployment, "reason", ""));
    }
    if (json_bool(ecs, "has_breaker", false))
        printf("  circuit breaker: on%s\n",
               json_bool(ecs, "breaker_rolls_back", false) ? ", it rolls back" : "");
}

static void put_ports(const cJSON *rule, struct buf *out)
{
    const char *protocol = json_string(rule, "protocol", "?");
    int64_t from = number(rule, "from"), to = number(rule, "to");

    if (strcmp(protocol, "-1") == 0)
        buf_puts(out, "everything");
    else if (strncmp(protocol, "icmp", 4) == 0 && from < 0)
        buf_puts(out, protocol);
    else if (strncmp(protocol, "icmp", 4) == 0)
        buf_printf(out, "%s type %lld", protocol, (long long)from);
    else if (from == to)
        buf_printf(out, "%s %lld", protocol, (long long)from);
    else
        buf_printf(out, "%s %lld-%lld", protocol, (long long)from, (long long)to);
}

static void print_rule(const cJSON *rule, const cJSON *names)
{
    static const char *const ends[] = {"peer", "block", "block6", "prefix_list"};
    CLEANUP_BUF struct buf ports = BUF_INIT(128);
    const char *end = "?";

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        if (json_string(rule, ends[i], NULL))
            end = json_string(rule, ends[i], "?");
    put_ports(rule, &ports);
    printf("    %s %s %s %s%s%s  (%s)\n", json_bool(rule, "is_egress", false) ? "out" : "in ",
           buf_text(&ports), json_bool(rule, "is_egress", false) ? "to" : "from", end,
           json_string(names, end, NULL) ? " = " : "", json_string(names, end, ""),
           json_string(rule, "id", "?"));
}

static void print_groups(const cJSON *groups, const cJSON *names)
{
    const cJSON *group, *rule;

    cJSON_ArrayForEach(group, groups)
    {
        printf("  security group %s (%s)\n", json_string(group, "id", "?"),
               json_string(group, "name", "?"));
        cJSON_ArrayForEach(rule, member(group, "rules"))
        {
            print_rule(rule, names);
        }
    }
}

static void print_registries(const cJSON *document)
{
    const cJSON *registry, *record, *instance;

    cJSON_ArrayForEach(registry, member(document, "registries"))
    {
        const cJSON *records = member(registry, "records");
        printf("  registry %s (%s):", json_string(registry, "name", "?"),
               json_string(registry, "id", "?"));
        cJSON_ArrayForEach(record, records)
        {
            printf(" %s, TTL %lld s", json_string(record, "type", "?"),
                   (long long)number(record, "ttl_s"));
        }
        putchar('\n');
        cJSON_ArrayForEach(instance, member(registry, "instances"))
        {
            printf("    instance %.12s %s %s\n", json_string(instance, "id", "?"),
                   json_string(instance, "address", ""), json_string(instance, "health", ""));
        }
    }
    cJSON_ArrayForEach(record, member(document, "records"))
    {
        printf("  record %s %s", json_string(record, "name", "?"),
               json_string(record, "type", "?"));
        for (int i = 0; i < cJSON_GetArraySize(member(record, "values")); i++)
            printf(" %s", text_at(member(record, "values"), i));
        putchar('\n');
    }
}

static void print_targets(const cJSON *groups)
{
    const cJSON *group, *target;

    cJSON_ArrayForEach(group, groups)
    {
        printf("  target group %s: %s %s\n", json_string(group, "name", "?"),
               json_string(group, "health_protocol", "?"), json_string(group, "health_path", ""));
        cJSON_ArrayForEach(target, member(group, "targets"))
        {
            printf("    %s:%lld %s%s%s\n", json_string(target, "id", "?"),
                   (long long)number(target, "port"), json_string(target, "state", "?"),
                   json_string(target, "reason", NULL) ? ", " : "",
                   json_string(target, "reason", ""));
        }
    }
}

static void print_events(const cJSON *ecs)
{
    const cJSON *event;

    if (cJSON_GetArraySize(member(ecs, "events")))
        puts("\nevents:");
    cJSON_ArrayForEach(event, member(ecs, "events"))
    {
        printf("  %s %s\n", json_string(event, "at", "?"), json_string(event, "text", ""));
    }
}

void cloud_print_service(const struct cJSON *document)
{
    const cJSON *service = member(document, "service"), *ecs = member(document, "ecs");
    const cJSON *cloud = member(document, "cloud");

    print_coloured(BOLD, json_string(service, "name", "?"), SIZE_MAX);
    printf(": %lld agents live", (long long)number(service, "live"));
    for (int i = 0; i < cJSON_GetArraySize(member(service, "names")); i++)
        printf("%s%s", i ? ", " : ", found as ", text_at(member(service, "names"), i));
    putchar('\n');
    if (!ecs) {
        puts(cloud ? "The clusters have no ECS service of this name."
                   : "The cloud was not asked: see 'clusters' in canreach-fleet(5).");
        cloud_print_missing(cloud);
        return;
    }
    printf("  %s/%s, %s, %s: %lld of %lld tasks run, %lld pending\n",
           json_string(ecs, "cluster", "?"), json_string(ecs, "name", "?"),
           json_string(ecs, "launch", "ECS"), json_string(ecs, "status", "?"),
           (long long)number(ecs, "running"), (long long)number(ecs, "desired"),
           (long long)number(ecs, "pending"));
    print_deployments(ecs);
    print_registries(document);
    print_targets(member(document, "target_groups"));
    print_groups(member(document, "groups"), member(document, "group_names"));
    print_tasks(member(document, "tasks"));
    print_events(ecs);
    printf("\nAs AWS had it at %s (run %s); the network at %s.\n", json_string(cloud, "taken", "?"),
           json_string(cloud, "run", "?"), json_string(cloud, "network_taken", "?"));
    cloud_print_missing(cloud);
}
