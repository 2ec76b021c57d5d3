/* canreach agents: who said hello. */
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "collector/cli/table.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define AGE_MAX 32

static const char *age_text(int64_t ms, char out[AGE_MAX])
{
    int64_t seconds = ms / 1000;

    if (seconds < 120)
        snprintf(out, AGE_MAX, "%llds", (long long)seconds);
    else if (seconds < 7200)
        snprintf(out, AGE_MAX, "%lldm", (long long)(seconds / 60));
    else if (seconds < 172800)
        snprintf(out, AGE_MAX, "%lldh", (long long)(seconds / 3600));
    else
        snprintf(out, AGE_MAX, "%lldd", (long long)(seconds / 86400));
    return out;
}

static void add_link(struct table *table, const cJSON *agent)
{
    const char *state = json_string(agent, "state", "?");
    char age[AGE_MAX];

    if (strcmp(state, "lost") == 0)
        table_add(table, YELLOW, "lost %s",
                  age_text(json_int(agent, "link_age", 0, INT64_MAX / 2, 0), age));
    else
        table_add(table, GREEN, "%s", state);
}

/* What its own limits refused, and rows that its spool had no room for; waiting is neither. */
static void add_refusals(struct table *table, const cJSON *agent)
{
    const cJSON *limit, *limits = cJSON_GetObjectItemCaseSensitive(agent, "limits");
    int64_t total = 0;

    cJSON_ArrayForEach(limit, limits)
    {
        if (cJSON_IsNumber(limit) && strncmp(limit->string, "wait-", 5) != 0)
            total += (int64_t)limit->valuedouble;
    }
    if (total)
        table_add(table, YELLOW, "%lld", (long long)total);
    else
        table_add(table, DIM, "-");
}

static void add_agent(struct table *table, const cJSON *agent)
{
    const cJSON *addresses = cJSON_GetObjectItemCaseSensitive(agent, "addresses");
    bool is_known = json_bool(agent, "known", false);
    char age[AGE_MAX];
    const cJSON *first = cJSON_GetArrayItem(addresses, 0);

    table_add(table, is_known ? PLAIN : YELLOW, "%s%s", json_string(agent, "service", "?"),
              is_known ? "" : " (not in the fleet)");
    table_add(table, PLAIN, "%s", json_string(agent, "task", "?"));
    table_add(table, PLAIN, "%s", json_string(agent, "zone", ""));
    add_link(table, agent);
    table_add(table, PLAIN, "%s", age_text(json_int(agent, "age", 0, INT64_MAX / 2, 0), age));
    table_add(table, PLAIN, "%s", json_string(agent, "version", "?"));
    add_refusals(table, agent);
    table_add(table, PLAIN, "%s", cJSON_IsString(first) ? first->valuestring : "");
}

int cmd_agents(int argc, char **argv)
{
    static const struct option_spec specs[] = {COMMON_OPTIONS};
    static const char *const heads[] = {"service", "task",    "zone",    "link",
                                        "age",     "version", "refused", "address"};
    struct common_settings settings = {0};
    CLEANUP_JSON cJSON *document = NULL;
    struct table table;
    const cJSON *agents, *agent;
    int status = command_parse("agents", specs, ARRAY_SIZE(specs), &settings, argc, argv, NULL, 0);

    if (status < 0)
        status = command_get("agents", &settings, "/api/v1/agents", &document);
    if (status >= 0)
        return status;
    if (command_wants_json(&settings)) {
        print_json(document);
        return EXIT_PASS;
    }
    agents = cJSON_GetObjectItemCaseSensitive(document, "agents");
    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(agent, agents)
    {
        add_agent(&table, agent);
    }
    table_print(&table);
    table_deinit(&table);
    if (cJSON_GetArraySize(agents) == 0)
        fprintf(stderr, "No agent has said hello yet.\n");
    return EXIT_PASS;
}
