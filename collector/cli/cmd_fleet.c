/* canreach fleet: check validates a fleet file, import writes one (cmd_import.c); neither needs a
 * collector. */
#include "collector/cli/command.h"
#include "collector/cli/print.h"
#include "collector/fleet.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

static void print_summary(const struct fleet *fleet, size_t warnings)
{
    size_t sources = 0;

    for (size_t i = 0; i < fleet->service_count; i++)
        sources += fleet->services[i].has_agents;
    printf("fleet %s: %zu services, %zu x %zu pairs, %zu expectations, %zu warnings\n", fleet->name,
           fleet->service_count, sources, fleet->column_count, fleet->rule_count, warnings);
}

static int check(const char *path, bool wants_json)
{
    struct fleet_messages messages = {0};
    struct fleet *fleet = fleet_load(path, &messages, NULL);
    CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);

    fputs(buf_text(&messages.text), stderr);
    if (fleet && wants_json) {
        fleet_to_json(fleet, &json);
        puts(buf_text(&json));
    } else if (fleet) {
        print_summary(fleet, messages.warnings);
    }
    fleet_messages_deinit(&messages);
    if (!fleet)
        return EXIT_USAGE;
    fleet_unref(fleet);
    return EXIT_PASS;
}

static int cmd_check(int argc, char **argv)
{
    static const struct option_spec specs[] = {COMMON_OPTIONS};
    struct common_settings settings = {0};
    struct options_list words = {0};
    int status = command_parse("fleet", specs, ARRAY_SIZE(specs), &settings, argc, argv, &words, 2);

    if (status < 0 && words.count != 2)
        status = command_error("fleet", EXIT_USAGE, "expected 'check FILE'");
    if (status < 0)
        status = check(words.items[1], command_wants_json(&settings));
    options_list_deinit(&words);
    return status;
}

int cmd_fleet(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "import") == 0)
            return cmd_import(argc, argv);
        if (strcmp(argv[i], "check") == 0 || strcmp(argv[i], "--help") == 0)
            return cmd_check(argc, argv);
    }
    return command_error("fleet", EXIT_USAGE,
                         "expected 'check FILE', or 'import --cluster NAME...'");
}
