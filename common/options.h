/* options: a program's settings as one table: flag, environment variable, type, range, default,
 * help.
 *
 * A flag beats its environment variable, which beats the default. `--name value` and
 * `--name=value` both work; a list may be given several times, or once with commas.
 */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_LIST_MAX 64

enum option_type {
    OPTION_FLAG,     /* bool; takes no value */
    OPTION_STRING,   /* const char *, borrowed from argv, the environment or the table */
    OPTION_INT,      /* int64_t within min..max */
    OPTION_DURATION, /* int64_t milliseconds within min..max; "2s", "500ms" */
    OPTION_LIST,     /* struct options_list */
};

struct options_list {
    char *items[OPTIONS_LIST_MAX]; /* owned */
    size_t count;
};

struct option_spec {
    const char *name; /* without the dashes */
    const char *env;  /* or NULL */
    enum option_type type;
    size_t offset;        /* of the field in the settings struct */
    const char *argument; /* as help shows it, e.g. URL */
    const char *fallback; /* default as text, or NULL: the field stays zero */
    int64_t min, max;     /* OPTION_INT, OPTION_DURATION */
    const char *help;
};

/* Fills `settings` (zeroed by the caller) from defaults, environment and argv[1..]. What is not an
 * option is collected in `positional` (NULL: refused). Returns 0, or -EINVAL with `err` naming the
 * option, what was expected, and the closest known one. */
int options_parse(const struct option_spec *specs, size_t count, void *settings, int argc,
                  char *const *argv, struct options_list *positional, struct error *err);

/* Frees the lists inside `settings`. */
void options_deinit(const struct option_spec *specs, size_t count, void *settings);
void options_list_deinit(struct options_list *list);
int options_list_add(struct options_list *list, const char *text, size_t length);

/* The help lines of the table, to stdout. */
void options_print_help(const struct option_spec *specs, size_t count);

#endif
