/* canreach services: the fleet, as the collector has it, and what the cloud said of it. */
#include "collector/cli/cloud.h"
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "collector/cli/table.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static void list_checks(const cJSON *checks, struct buf *out)
{
    const cJSON *check;

    cJSON_ArrayForEach(check, checks)
    {
        int64_t port = json_int(check, "port", 1, 65535, 0);
        buf_printf(out, "%s%s", out->length ? ", " : "", json_string(check, "name", "?"));
        if (port)
            buf_printf(out, ":%lld", (long long)port);
    }
}

static void list_names(const cJSON *names, struct buf *out)
{
    const cJSON *name;

    cJSON_ArrayForEach(name, names)
    {
        buf_printf(out, "%s%s", out->length ? ", " : "",
                   cJSON_IsString(name) ? name->valuestring : "?");
    }
}

static void add_service(struct table *table, const cJSON *service, bool has_cloud)
{
    CLEANUP_BUF struct buf checks = BUF_INIT(4096), names = BUF_INIT(8192);
    int64_t live = json_int(service, "live", 0, INT32_MAX, 0);
    int64_t lost = json_int(service, "lost", 0, INT32_MAX, 0);
    bool is_expected = strcmp(json_string(service, "agents", ""), "expected") == 0;

    list_checks(cJSON_GetObjectItemCaseSensitive(service, "checks"), &checks);
    list_names(cJSON_GetObjectItemCaseSensitive(service, "names"), &names);
    table_add(table, BOLD, "%s", json_string(service, "name", "?"));
    if (!is_expected)
        table_add(table, DIM, "none");
    else if (lost)
        table_add(table, YELLOW, "%lld (+%lld lost)", (long long)live, (long long)lost);
    else
        table_add(table, live ? GREEN : YELLOW, "%lld", (long long)live);
    if (has_cloud)
        cloud_add_service(table, cJSON_GetObjectItemCaseSensitive(service, "cloud"));
    table_add(table, PLAIN, "%s", checks.length ? buf_text(&checks) : "none");
    table_add(table, PLAIN, "%s", json_string(service, "record", "?"));
    table_add(table, PLAIN, "%s", buf_text(&names));
}

static void print_services(const cJSON *document)
{
    static const char *const heads[] = {"service", "agents", "checks", "record", "names"};
    static const char *const cloud_heads[] = {"service", "agents", "tasks", "deployment",
                                              "checks",  "record", "names"};
    const cJSON *cloud = cJSON_GetObjectItemCaseSensitive(document, "cloud"), *service;
    struct table table;

    if (cloud)
        table_init(&table, cloud_heads, ARRAY_SIZE(cloud_heads));
    else
        table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(service, cJSON_GetObjectItemCaseSensitive(document, "services"))
    {
        add_service(&table, service, cloud != NULL);
    }
    table_print(&table);
    table_deinit(&table);
    if (cloud)
        printf("\nTasks and deployments: as ECS had them at %s (run %s).\n",
               json_string(cloud, "taken", "?"), json_string(cloud, "run", "?"));
    cloud_print_missing(cloud);
}

int cmd_services(int argc, char **argv)
{
    static const struct option_spec specs[] = {COMMON_OPTIONS};
    struct common_settings settings = {0};
    struct options_list words = {0};
    CLEANUP_JSON cJSON *document = NULL;
    char path[1024] = "/api/v1/services", name[768];
    int status =
        command_parse("services", specs, ARRAY_SIZE(specs), &settings, argc, argv, &words, 1);

    if (status < 0 && words.count)
        snprintf(path, sizeof(path), "/api/v1/services/%s",
                 client_escape(words.items[0], name, sizeof(name)));
    if (status < 0)
        status = command_get("services", &settings, path, &document);
    if (status < 0 && command_wants_json(&settings))
        print_json(document);
    else if (status < 0 && words.count)
        cloud_print_service(document);
    else if (status < 0)
        print_services(document);
    options_list_deinit(&words);
    return status < 0 ? EXIT_PASS : status;
}
