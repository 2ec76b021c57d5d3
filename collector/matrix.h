/* matrix: rows of one run in, cells and a verdict out. Pure: no clock, no I/O, no allocation kept
 * elsewhere; the same rows in any order give the same matrix.
 */
#ifndef COLLECTOR_MATRIX_H
#define COLLECTOR_MATRIX_H

#include "collector/fleet.h"
#include "proto/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MATRIX_OBSERVED_MAX 8 /* different failures kept of one cell */

enum cell_state {
    CELL_ABSENT,      /* no such cell: a source without agents, a target without check */
    CELL_OK,          /* every endpoint passed */
    CELL_PARTIAL,     /* some did */
    CELL_FAIL,        /* none did */
    CELL_DENIED,      /* expected deny: the path is closed, and the target was seen listening */
    CELL_LEAK,        /* expected deny, but a SYN-ACK came back */
    CELL_UNPROVEN,    /* neither shown */
    CELL_NO_DATA,     /* nobody probed it */
    CELL_PROBE_ERROR, /* canreach's own fault */
    CELL_NOT_PROBED,  /* left out by the plan */
    CELL_GONE,        /* the source left during the run */
    CELL_SKIPPED,     /* only address families that the source does not have */
    CELL_NA           /* the diagonal of a service with one task */
};

enum verdict { VERDICT_PASS = 0, VERDICT_FAIL = 1, VERDICT_INCONCLUSIVE = 3 }; /* = exit status */

/* One task that was to probe. */
struct matrix_source {
    size_t service;
    bool has_departed; /* said leaving before it was done: its missing rows are no fault */
    bool is_done;      /* all its rows are here */
};

/* One attempt, as matrix needs it. Strings are borrowed. */
struct matrix_row {
    uint32_t source; /* index into sources */
    uint32_t column;
    const char *address; /* "" when the name did not resolve */
    uint16_t port;
    uint8_t phase;   /* enum proto_phase */
    uint8_t outcome; /* enum proto_outcome */
    uint16_t error;
    uint16_t status;
};

struct matrix_input {
    const struct fleet *fleet;
    const struct matrix_source *sources;
    size_t source_count;
    const struct matrix_row *rows;
    size_t row_count;
    const bool *scope;          /* service_count x column_count: the plan wants this pair */
    const uint32_t *live_tasks; /* per service: tasks with a live agent when the run was planned */
};

/* One way in which endpoints failed. */
struct matrix_observed {
    const struct matrix_row *example; /* borrowed from the input */
    uint32_t count;
};

struct matrix_cell {
    enum cell_state state;
    enum expectation expected;
    uint32_t probes;                  /* attempts that count */
    uint32_t failed;                  /* of these */
    uint32_t ours;                    /* attempts that failed by our own fault */
    uint32_t sources;                 /* tasks that were to probe it */
    uint32_t silent;                  /* of these, without a row, and not departed */
    struct matrix_observed *observed; /* the most frequent first; of the matrix' arena */
    size_t observed_count;
};

struct matrix {
    size_t rows, columns;
    struct matrix_cell *cells; /* rows x columns */
    bool is_incomplete;        /* a task that was to probe did not finish, and did not leave */
    enum verdict verdict;
    struct arena arena;
};

struct matrix *matrix_build(const struct matrix_input *input);
struct matrix *matrix_free(struct matrix *matrix);
const struct matrix_cell *matrix_at(const struct matrix *matrix, size_t service, size_t column);

const char *cell_state_name(enum cell_state state);
const char *verdict_name(enum verdict verdict);

#endif
