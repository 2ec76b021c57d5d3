/* table: rows of text that fit the terminal; the last column gives way first. */
#ifndef COLLECTOR_CLI_TABLE_H
#define COLLECTOR_CLI_TABLE_H

#include "collector/cli/print.h"

#include <stddef.h>

struct table_cell {
    char *text; /* owned */
    enum colour colour;
};

struct table {
    size_t columns;
    struct table_cell *cells; /* row by row; the first row is the header */
    size_t count, capacity;
};

/* With `heads`, one a column, the first row is there already; NULL: the caller adds it. */
void table_init(struct table *table, const char *const *heads, size_t columns);
void table_deinit(struct table *table);
/* Adds the next cell, left to right, row by row. */
void table_add(struct table *table, enum colour colour, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* To stdout. On a terminal: no line is wider than it, and a table with too many columns is printed
 * in several blocks that each repeat the first column. Elsewhere: as wide as it is. */
void table_print(const struct table *table);

#endif
