/* canreach matrix: the service x service table of a run. */
#include "collector/cli/cloud.h"
#include "collector/cli/command.h"
#include "collector/cli/diagnosis.h"
#include "collector/cli/print.h"
#include "collector/cli/report.h"
#include "collector/cli/table.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX 520

/* The document's cells as a grid. Strings are borrowed from it. */
struct grid {
    const char **rows;
    struct column {
        const char *target, *check;
        bool is_only_check; /* then the check is left out of its label */
    } * columns;
    size_t row_count, column_count, row_capacity, column_capacity;
    const cJSON **cells; /* rows x columns, NULL where there is none */
};

/* Cells come in order: the next column is looked for where the last one was found. */
static size_t column_index(struct grid *grid, const cJSON *cell, size_t hint)
{
    const char *target = json_string(cell, "target", "?"), *check = json_string(cell, "check", "?");

    for (size_t i = 0; i < grid->column_count; i++) {
        size_t at = (hint + i) % grid->column_count;
        if (strcmp(grid->columns[at].target, target) == 0 &&
            strcmp(grid->columns[at].check, check) == 0)
            return at;
    }
    mem_grow(&grid->columns, grid->column_count, &grid->column_capacity, sizeof(*grid->columns));
    grid->columns[grid->column_count] = (struct column){target, check, true};
    return grid->column_count++;
}

static size_t row_index(struct grid *grid, const cJSON *cell)
{
    const char *source = json_string(cell, "source", "?");

    for (size_t i = grid->row_count; i > 0; i--)
        if (strcmp(grid->rows[i - 1], source) == 0)
            return i - 1;
    mem_grow(&grid->rows, grid->row_count, &grid->row_capacity, sizeof(*grid->rows));
    grid->rows[grid->row_count] = source;
    return grid->row_count++;
}

static void find_only_checks(struct grid *grid)
{
    for (size_t i = 0; i < grid->column_count; i++)
        for (size_t j = 0; j < grid->column_count; j++)
            if (i != j && strcmp(grid->columns[i].target, grid->columns[j].target) == 0)
                grid->columns[i].is_only_check = false;
}

static void grid_init(struct grid *grid, const cJSON *cells)
{
    const cJSON *cell;
    size_t column = 0;

    *grid = (struct grid){0};
    cJSON_ArrayForEach(cell, cells)
    {
        row_index(grid, cell);
        column = column_index(grid, cell, column + 1);
    }
    find_only_checks(grid);
    grid->cells = mem_array(grid->row_count * grid->column_count, sizeof(*grid->cells));
    cJSON_ArrayForEach(cell, cells)
    {
        column = column_index(grid, cell, column + 1);
        grid->cells[row_index(grid, cell) * grid->column_count + column] = cell;
    }
}

static void grid_deinit(struct grid *grid)
{
    mem_free(grid->rows);
    mem_free(grid->columns);
    mem_free(grid->cells);
}

static const char *column_label(const struct column *column, char out[LABEL_MAX])
{
    snprintf(out, LABEL_MAX, "%s%s%s", column->target, column->is_only_check ? "" : ":",
             column->is_only_check ? "" : column->check);
    return out;
}

/* What is not expected to work is set in parentheses; it does not count. */
static void add_state(struct table *table, const cJSON *cell)
{
    const char *state = cell ? json_string(cell, "state", "?") : "";
    const char *expected = cell ? json_string(cell, "expected", "") : "";
    bool is_observed = strcmp(expected, "observe") == 0 && strcmp(state, "n/a") != 0;

    table_add(table, is_observed ? DIM : print_state_colour(state), is_observed ? "(%s)" : "%s",
              state);
}

static void print_table(const struct grid *grid)
{
    struct table table;
    char label[LABEL_MAX];

    table_init(&table, NULL, grid->column_count + 1);
    table_add(&table, DIM, "from \\ to");
    for (size_t c = 0; c + 1 < table.columns; c++)
        table_add(&table, BOLD, "%s", column_label(&grid->columns[c], label));
    for (size_t r = 0; r < grid->row_count; r++) {
        table_add(&table, BOLD, "%s", grid->rows[r]);
        for (size_t c = 0; c + 1 < table.columns; c++)
            add_state(&table, grid->cells[r * grid->column_count + c]);
    }
    table_print(&table);
    table_deinit(&table);
}

/* Packets that get lost are no failure by themselves, but worth a line wherever they show. */
static bool has_loss(const cJSON *cell)
{
    return cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(cell, "loss"));
}

static bool is_worth_a_line(const cJSON *cell)
{
    static const char *const quiet[] = {"ok", "denied", "n/a", "not-probed", "skipped", "gone"};
    const char *state = json_string(cell, "state", "");

    if (strcmp(json_string(cell, "expected", ""), "observe") == 0)
        return false;
    if (strcmp(state, "ok") == 0 && has_loss(cell))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(quiet); i++)
        if (strcmp(state, quiet[i]) == 0)
            return false;
    return true;
}

static void print_observed(const cJSON *observed)
{
    const char *address = json_string(observed, "address", "");
    int64_t port = json_int(observed, "port", 0, 65535, 0);

    printf("    %s: %s", json_string(observed, "phase", "?"), json_string(observed, "text", "?"));
    if (*address)
        printf(", %s%s%s:%lld", strchr(address, ':') ? "[" : "", address,
               strchr(address, ':') ? "]" : "", (long long)port);
    printf("  (%lld x, e.g. from %s)\n", (long long)json_int(observed, "count", 0, INT32_MAX, 0),
           json_string(observed, "task", "?"));
}

static void print_reason_without_rows(const cJSON *cell)
{
    int64_t tasks = json_int(cell, "tasks", 0, INT32_MAX, 0);

    if (strcmp(json_string(cell, "state", ""), "no-data") != 0)
        return;
    if (tasks == 0)
        printf("    no live agent of %s\n", json_string(cell, "source", "?"));
    else
        printf("    %lld of %lld tasks of %s reported nothing\n",
               (long long)json_int(cell, "silent_tasks", 0, INT32_MAX, 0), (long long)tasks,
               json_string(cell, "source", "?"));
}

static void print_loss(const cJSON *cell)
{
    const cJSON *loss = cJSON_GetObjectItemCaseSensitive(cell, "loss");

    if (has_loss(cell) && strcmp(json_string(cell, "expected", ""), "deny") != 0)
        printf("    packets lost: in %lld of %lld attempts\n",
               (long long)json_int(loss, "lossy", 0, INT32_MAX, 0),
               (long long)json_int(loss, "tries", 0, INT32_MAX, 0));
}

static void print_pair(const struct column *column, const cJSON *cell)
{
    char label[LABEL_MAX];
    const char *state = json_string(cell, "state", "?");
    const cJSON *observed;

    printf("\n%s -> %s: ", json_string(cell, "source", "?"), column_label(column, label));
    print_coloured(print_state_colour(state), state, SIZE_MAX);
    if (strcmp(json_string(cell, "expected", ""), "deny") == 0)
        printf(" (expected: deny)");
    if (json_int(cell, "failed", 0, INT32_MAX, 0))
        printf(", %lld of %lld endpoints failed",
               (long long)json_int(cell, "failed", 0, INT32_MAX, 0),
               (long long)json_int(cell, "probes", 0, INT32_MAX, 0));
    if (json_int(cell, "unconfirmed", 0, INT32_MAX, 0))
        printf(", %lld not confirmed", (long long)json_int(cell, "unconfirmed", 0, INT32_MAX, 0));
    putchar('\n');
    print_loss(cell);
    cJSON_ArrayForEach(observed, cJSON_GetObjectItemCaseSensitive(cell, "observed"))
    {
        print_observed(observed);
    }
    print_reason_without_rows(cell);
}

/* What a diagnosis explains is told there. */
static void print_pairs(const struct grid *grid, const cJSON *document)
{
    for (size_t i = 0; i < grid->row_count * grid->column_count; i++)
        if (grid->cells[i] && is_worth_a_line(grid->cells[i]) &&
            !diagnosis_explains(document, grid->cells[i]))
            print_pair(&grid->columns[i % grid->column_count], grid->cells[i]);
}

/* Those that make the run incomplete, and those that left in the middle of it. */
static void print_unfinished(const cJSON *unfinished)
{
    const cJSON *task;

    if (cJSON_GetArraySize(unfinished))
        puts("\nTasks that did not finish:");
    cJSON_ArrayForEach(task, unfinished)
    {
        printf("    %s: %s\n", json_string(task, "task", "?"), json_string(task, "state", "?"));
    }
}

static int matrix_status(const struct cJSON *document)
{
    const cJSON *run = cJSON_GetObjectItemCaseSensitive(document, "run");
    const char *verdict = json_string(run, "verdict", "");

    if (strcmp(verdict, "pass") == 0)
        return EXIT_PASS;
    return strcmp(verdict, "fail") == 0 ? EXIT_FAIL : EXIT_NO_VERDICT;
}

static int matrix_print(const struct cJSON *document)
{
    const cJSON *run = cJSON_GetObjectItemCaseSensitive(document, "run");
    const char *verdict = json_string(run, "verdict", NULL);
    int status = matrix_status(document);
    struct grid grid;

    grid_init(&grid, cJSON_GetObjectItemCaseSensitive(document, "cells"));
    if (grid.columns) {
        print_table(&grid);
        print_pairs(&grid, document);
        diagnosis_print_all(document);
    } else {
        puts("The fleet has no pairs: no service with agents, or none with a check.");
    }
    grid_deinit(&grid);
    print_unfinished(cJSON_GetObjectItemCaseSensitive(document, "unfinished"));
    cloud_print_missing(cJSON_GetObjectItemCaseSensitive(run, "cloud"));
    printf("\nrun %s: ", json_string(run, "id", "?"));
    print_coloured(status == EXIT_PASS   ? GREEN
                   : status == EXIT_FAIL ? RED
                                         : YELLOW,
                   verdict ? verdict : "not judged yet", SIZE_MAX);
    if (!verdict && json_string(run, "provisional", NULL))
        printf(" (provisional: %s; its failures are being tried again)",
               json_string(run, "provisional", ""));
    if (json_bool(run, "incomplete", false))
        printf(", incomplete");
    putchar('\n');
    return status;
}

int matrix_report(const struct cJSON *document, const char *format)
{
    if (strcmp(format, "table") == 0)
        return matrix_print(document);
    if (strcmp(format, "json") == 0)
        print_json(document);
    else
        report_print(&(struct report){.matrix = document}, format);
    return matrix_status(document);
}

int cmd_matrix(int argc, char **argv)
{
    static const struct option_spec specs[] = {COMMON_OPTIONS};
    struct common_settings settings = {0};
    struct options_list words = {0};
    char path[128], run[64];
    CLEANUP_JSON cJSON *document = NULL;
    int status =
        command_parse("matrix", specs, ARRAY_SIZE(specs), &settings, argc, argv, &words, 1);

    client_escape(words.count ? words.items[0] : "last", run, sizeof(run));
    options_list_deinit(&words);
    if (status >= 0)
        return status;
    snprintf(path, sizeof(path), "/api/v1/runs/%s/matrix", run);
    status = command_get("matrix", &settings, path, &document);
    if (status >= 0)
        return status;
    return matrix_report(document, settings.output);
}
