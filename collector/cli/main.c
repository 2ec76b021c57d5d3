/* canreach: picks the subcommand. */
#include "collector/cli/command.h"
#include "common/json.h"
#include "common/text.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {"run", "[--from S]... [--to S[:CHECK]]...", "start a run, show progress, print the matrix",
     cmd_run},
    {"matrix", "[RUN]", "print the matrix of a run (default: the last)", cmd_matrix},
    {"why", "SOURCE TARGET[:CHECK]", "everything about one pair", cmd_why},
    {"diff", "[RUN [RUN]]", "what changed between two runs (default: the last good one, the last)",
     cmd_diff},
    {"agents", "", "the agents that the collector knows", cmd_agents},
    {"services", "[SERVICE]", "the services of the fleet, and what ECS says of them", cmd_services},
    {"runs", "", "earlier runs and their verdicts", cmd_runs},
    {"fleet", "check FILE | import --cluster NAME", "validate a fleet file; write one from ECS",
     cmd_fleet},
    {"help", "[COMMAND]", "explain a command", cmd_help},
    {"version", "", "print the version", cmd_version},
};
const size_t command_count = ARRAY_SIZE(commands);

int command_error(const char *name, int status, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "canreach%s%s: ", *name ? " " : "", name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (status == EXIT_USAGE)
        fprintf(stderr, "Try 'canreach help%s%s'.\n", *name ? " " : "", name);
    return status;
}

int command_parse(const char *name, const struct option_spec *specs, size_t count, void *settings,
                  int argc, char **argv, struct options_list *positional, size_t max_positional)
{
    struct common_settings *common = settings;
    bool has_markdown = strcmp(name, "why") == 0 || strcmp(name, "diff") == 0;
    struct error err;

    if (options_parse(specs, count, settings, argc, argv, positional, &err) < 0)
        return command_error(name, EXIT_USAGE, "%s", err.text);
    if (common->help) {
        char *words[] = {(char *)(uintptr_t) "help", argv[0]};
        return cmd_help(2, words);
    }
    if (strcmp(common->output, "table") != 0 && strcmp(common->output, "json") != 0 &&
        !(has_markdown && strcmp(common->output, "markdown") == 0))
        return command_error(name, EXIT_USAGE, "-o %s: expected table%s json", common->output,
                             has_markdown ? ", markdown or" : " or");
    if (positional && positional->count > max_positional)
        return command_error(name, EXIT_USAGE, "unexpected argument '%s'",
                             positional->items[max_positional]);
    return -1;
}

bool command_wants_json(const struct common_settings *settings)
{
    return strcmp(settings->output, "json") == 0;
}

int command_get(const char *name, const struct common_settings *settings, const char *path,
                struct cJSON **ret_answer)
{
    struct error err;
    struct client *client = client_new(settings->url, &err);
    int r;

    if (!client)
        return command_error(name, EXIT_USAGE, "%s", err.text);
    r = client_call(client, path, NULL, ret_answer, &err);
    client_free(client);
    if (r == 0)
        return -1;
    /* What was asked for does not exist: nothing is known of it, and nothing is green. */
    return command_error(name, r == -EINVAL ? EXIT_USAGE : EXIT_NO_VERDICT, "%s", err.text);
}

static int unknown_command(const char *word)
{
    const char *names[ARRAY_SIZE(commands)];
    const char *closest;

    for (size_t i = 0; i < command_count; i++)
        names[i] = commands[i].name;
    closest = text_closest(word, names, command_count);
    if (closest)
        return command_error("", EXIT_USAGE, "unknown command '%.60s'; did you mean '%s'?", word,
                             closest);
    return command_error("", EXIT_USAGE, "unknown command '%.60s'", word);
}

int main(int argc, char **argv)
{
    int status = -1;

    if (argc < 2) {
        cmd_help(0, NULL);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return cmd_help(0, NULL);
    if (strcmp(argv[1], "--version") == 0)
        return cmd_version(0, NULL);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            status = commands[i].run(argc - 1, argv + 1);
    curl_global_cleanup();
    if (fflush(stdout) != 0)
        return command_error("", EXIT_NO_VERDICT, "cannot write the output: %s", strerror(errno));
    return status >= 0 ? status : unknown_command(argv[1]);
}
