#include "collector/cli/table.h"

#include "common/buf.h"
#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GAP        2
#define COLUMN_MIN 8 /* a column is not cut below this */
#define COLUMN_MAX 60

void table_init(struct table *table, const char *const *heads, size_t columns)
{
    *table = (struct table){.columns = columns};
    for (size_t i = 0; heads && i < columns; i++)
        table_add(table, DIM, "%s", heads[i]);
}

void table_deinit(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        mem_free(table->cells[i].text);
    mem_free(table->cells);
}

void table_add(struct table *table, enum colour colour, const char *format, ...)
{
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    va_list args;

    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    mem_grow(&table->cells, table->count, &table->capacity, sizeof(*table->cells));
    table->cells[table->count++] = (struct table_cell){mem_strdup(buf_text(&text)), colour};
}

static size_t rows_of(const struct table *table)
{
    return table->count / table->columns;
}

static const struct table_cell *cell(const struct table *table, size_t row, size_t column)
{
    return &table->cells[row * table->columns + column];
}

static size_t widest(const struct table *table, size_t column)
{
    size_t width = 0;

    for (size_t row = 0; row < rows_of(table); row++) {
        size_t length = print_width(cell(table, row, column)->text);
        width = length > width ? length : width;
    }
    return width;
}

static void print_cell(const struct table_cell *at, size_t width, bool is_last)
{
    size_t length = print_width(at->text);

    print_coloured(at->colour, at->text, width);
    if (!is_last)
        printf("%*s", (int)((length < width ? width - length : 0) + GAP), "");
}

static void print_block(const struct table *table, const size_t *widths, size_t first, size_t end)
{
    for (size_t row = 0; row < rows_of(table); row++) {
        size_t last = end; /* nothing is padded for the sake of empty cells at the end */
        while (last > first + 1 && !*cell(table, row, last - 1)->text)
            last--;
        if (first > 0)
            print_cell(cell(table, row, 0), widths[0], false);
        for (size_t column = first; column < last; column++)
            print_cell(cell(table, row, column), widths[column], column + 1 == last);
        putchar('\n');
    }
}

/* How many columns from `first` on fit beside the first one. At least one. */
static size_t block_end(const size_t *widths, size_t columns, size_t first, size_t limit)
{
    size_t used = first > 0 ? widths[0] + GAP : 0, end = first;

    while (end < columns && (end == first || used + widths[end] <= limit))
        used += widths[end++] + GAP;
    return end;
}

void table_print(const struct table *table)
{
    size_t *widths = mem_array(table->columns, sizeof(*widths));
    size_t total = 0, limit = print_terminal_width();

    for (size_t column = 0; column < table->columns; column++) {
        widths[column] = widest(table, column);
        if (limit && widths[column] > COLUMN_MAX && column + 1 < table->columns)
            widths[column] = COLUMN_MAX;
        total += widths[column] + GAP;
    }
    /* The last column may be prose: it is cut before the table is broken up. */
    if (limit && total - GAP > limit && table->columns > 1) {
        size_t *last = &widths[table->columns - 1], others = total - GAP - *last;
        if (others + COLUMN_MIN <= limit && *last > 16)
            *last = limit - others;
    }
    /* Beside the first column each of the others has to fit a line, or it is cut. */
    for (size_t column = 1; limit > widths[0] + GAP + COLUMN_MIN && column < table->columns;
         column++)
        if (widths[column] > limit - widths[0] - GAP)
            widths[column] = limit - widths[0] - GAP;
    for (size_t first = 0, end; first < table->columns; first = end) {
        end = limit ? block_end(widths, table->columns, first, limit) : table->columns;
        if (first > 0)
            putchar('\n');
        print_block(table, widths, first, end);
    }
    mem_free(widths);
}
