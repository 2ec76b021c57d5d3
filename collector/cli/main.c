/* canreach: picks the subcommand. */
#include "collector/cli/command.h"
#include "common/json.h"
#include "common/text.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const struct command commands[] = {
    {"run", "[--from S]... [--to S[:CHECK]]...", "start a run, show progress, print the matrix",
     "csv junit markdown github", cmd_run},
    {"matrix", "[RUN]", "print the matrix of a run (default: the last)",
     "csv junit markdown github", cmd_matrix},
    {"why", "SOURCE TARGET[:CHECK]", "everything about one pair", "markdown", cmd_why},
    {"diff", "[RUN [RUN]]", "what changed between two runs (default: the last good one, the last)",
     "markdown", cmd_diff},
    {"gate", "SERVICE [--rollback HOW]", "after a deployment: run, compare, decide, and act",
     "csv junit markdown github", cmd_gate},
    {"watch", "[--about S]...", "live view: which pairs are away, and for how long", "", cmd_watch},
    {"agents", "", "the agents that the collector knows", "", cmd_agents},
    {"services", "[SERVICE]", "the services of the fleet, and what ECS says of them", "",
     cmd_services},
    {"runs", "", "earlier runs and their verdicts", "", cmd_runs},
    {"fleet", "check FILE | import --cluster NAME", "validate a fleet file; write one from ECS", "",
     cmd_fleet},
    {"help", "[COMMAND]", "explain a command", "", cmd_help},
    {"version", "", "print the version", "", cmd_version},
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

static const char *formats_of(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].formats;
    return "";
}

static bool has_format(const char *name, const char *format)
{
    const char *at = formats_of(name);
    size_t length = strlen(format);

    if (strcmp(format, "table") == 0 || strcmp(format, "json") == 0)
        return true;
    for (; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (length && strcspn(at, " ") == length && strncmp(at, format, length) == 0)
            return true;
    return false;
}

const char *command_formats(const char *name, char *text, size_t size)
{
    const char *at = formats_of(name);

    snprintf(text, size, "table");
    for (; *at; at += strcspn(at, " "), at += strspn(at, " "))
        snprintf(text + strlen(text), size - strlen(text), ", %.*s", (int)strcspn(at, " "), at);
    snprintf(text + strlen(text), size - strlen(text), " or json");
    return text;
}

int command_parse(const char *name, const struct option_spec *specs, size_t count, void *settings,
                  int argc, char **argv, struct options_list *positional, size_t max_positional)
{
    struct common_settings *common = settings;
    struct error err;

    if (options_parse(specs, count, settings, argc, argv, positional, &err) < 0)
        return command_error(name, EXIT_USAGE, "%s", err.text);
    if (common->help) {
        char *words[] = {(char *)(uintptr_t) "help", argv[0]};
        return cmd_help(2, words);
    }
    if (!has_format(name, common->output)) {
        char known[96];
        return command_error(name, EXIT_USAGE, "-o %s: expected %s", common->output,
                             command_formats(name, known, sizeof(known)));
    }
    if (positional && positional->count > max_positional)
        return command_error(name, EXIT_USAGE, "unexpected argument '%s'",
                             positional->items[max_positional]);
    return -1;
}

void command_pause_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    if (ms > 0)
        nanosleep(&time, NULL);
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
