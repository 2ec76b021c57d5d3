/* canreach services: the fleet, as the collector has it. */
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "collector/cli/table.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
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

static void add_service(struct table *table, const cJSON *service)
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
    table_add(table, PLAIN, "%s", checks.length ? buf_text(&checks) : "none");
    table_add(table, PLAIN, "%s", json_string(service, "record", "?"));
    table_add(table, PLAIN, "%s", buf_text(&names));
}

int cmd_services(int argc, char **argv)
{
    static const struct option_spec specs[] = {COMMON_OPTIONS};
    static const char *const heads[] = {"service", "agents", "checks", "record", "names"};
    struct common_settings settings = {0};
    CLEANUP_JSON cJSON *document = NULL;
    struct table table;
    const cJSON *service;
    int status =
        command_parse("services", specs, ARRAY_SIZE(specs), &settings, argc, argv, NULL, 0);

    if (status < 0)
        status = command_get("services", &settings, "/api/v1/services", &document);
    if (status >= 0)
        return status;
    if (command_wants_json(&settings)) {
        print_json(document);
        return EXIT_PASS;
    }
    table_init(&table, heads, ARRAY_SIZE(heads));
    cJSON_ArrayForEach(service, cJSON_GetObjectItemCaseSensitive(document, "services"))
    {
        add_service(&table, service);
    }
    table_print(&table);
    table_deinit(&table);
    return EXIT_PASS;
}
