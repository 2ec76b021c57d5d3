/* command: what the subcommands share. Each returns the exit status:
 * 0 fine, 1 an expected pair fails, 2 usage or configuration, 3 no verdict. */
#ifndef COLLECTOR_CLI_COMMAND_H
#define COLLECTOR_CLI_COMMAND_H

#include "collector/cli/client.h"
#include "common/options.h"

enum { EXIT_PASS = 0, EXIT_FAIL = 1, EXIT_USAGE = 2, EXIT_NO_VERDICT = 3 };

struct command {
    const char *name;
    const char *arguments; /* as help shows them */
    const char *summary;
    const char *formats; /* of -o, besides table and json; "": none */
    int (*run)(int argc, char **argv);
};

extern const struct command commands[];
extern const size_t command_count;

/* Settings of every command that talks to the collector; a command's own struct begins with it. */
struct common_settings {
    const char *url;
    const char *output;
    bool help;
};

#define COMMON_OPTIONS                                                                       \
    {"url",                                                                                  \
     NULL,                                                                                   \
     OPTION_STRING,                                                                          \
     offsetof(struct common_settings, url),                                                  \
     "URL",                                                                                  \
     NULL,                                                                                   \
     0,                                                                                      \
     0,                                                                                      \
     "the collector: http://..., https://... or unix:///PATH (CANREACH_URL)"},               \
        {"output",                                                                           \
         NULL,                                                                               \
         OPTION_STRING,                                                                      \
         offsetof(struct common_settings, output),                                           \
         "FORMAT",                                                                           \
         "table",                                                                            \
         0,                                                                                  \
         0,                                                                                  \
         "-o: see canreach help"},                                                           \
    {                                                                                        \
        "help", NULL, OPTION_FLAG, offsetof(struct common_settings, help), NULL, NULL, 0, 0, \
            "print this and exit"                                                            \
    }

/* Parses the options of a subcommand; argv[0] is its name. Returns -1 to go on, else the exit
 * status: after --help, or with the error said. `settings` begins with struct common_settings. */
int command_parse(const char *name, const struct option_spec *specs, size_t count, void *settings,
                  int argc, char **argv, struct options_list *positional, size_t max_positional);

/* "table, markdown or json": what a command's -o takes. */
const char *command_formats(const char *name, char *text, size_t size);

bool command_wants_json(const struct common_settings *settings);

/* Says an error on stderr, as "canreach NAME: text", and returns `status`. */
int command_error(const char *name, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void command_pause_ms(int64_t ms); /* not at all for 0 and less */

/* A GET whose answer is the caller's; -1, or the exit status with the error said. */
int command_get(const char *name, const struct common_settings *settings, const char *path,
                struct cJSON **ret_answer);

int cmd_agents(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_gate(int argc, char **argv);
int cmd_fleet(int argc, char **argv);
int cmd_import(int argc, char **argv); /* of cmd_fleet */
int cmd_help(int argc, char **argv);
int cmd_matrix(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_runs(int argc, char **argv);
int cmd_services(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_why(int argc, char **argv);

/* cmd_matrix.c: a run's matrix in the format that -o names; the verdict's exit status. */
int matrix_report(const struct cJSON *document, const char *format);

#endif
