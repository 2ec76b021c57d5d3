/* print: what depends on whether stdout is a terminal: colour, width, progress. What is done never
 * depends on it. NO_COLOR is honoured (https://no-color.org). */
#ifndef COLLECTOR_CLI_PRINT_H
#define COLLECTOR_CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

enum colour { PLAIN, BOLD, DIM, GREEN, RED, YELLOW };

/* 0 when stdout is no terminal: no limit. */
size_t print_terminal_width(void);
bool print_has_colour(void);

/* Columns that a UTF-8 text takes, one a character. */
size_t print_width(const char *text);
/* At most `width` columns of it; cut text ends in '~'. */
void print_coloured(enum colour colour, const char *text, size_t width);

/* The colour that a cell's state is shown in. */
enum colour print_state_colour(const char *state);

/* The value to stdout, as indented JSON. */
void print_json(const struct cJSON *value);

/* Text as Markdown: what would be markup in it is not. */
void print_markdown(const char *text);

/* On a terminal (stderr): one line that is drawn over again; elsewhere nothing. */
void print_progress(const char *text, size_t done, size_t total);
void print_progress_end(void);

#endif
