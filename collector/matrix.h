/* matrix: rows of one run in, cells and a verdict out. Pure: no clock, no I/O, no allocation kept
 * elsewhere; the same rows in any order give the same matrix.
 */
#ifndef COLLECTOR_MATRIX_H
#define COLLECTOR_MATRIX_H

#include "collector/fleet.h"
#include "collector/tries.h"
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
    CELL_LEAK,        /* expected deny, but a SYN-ACK or the target's own RST came back */
    CELL_UNPROVEN,    /* neither shown */
    CELL_NO_DATA,     /* nobody probed it */
    CELL_PROBE_ERROR, /* canreach's own fault */
    CELL_NOT_PROBED,  /* left out by the plan */
    CELL_GONE,        /* the source, or the endpoint's task, left during the run */
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

/* What the agent of a task saw of one of its ports, over the rounds of a run. */
struct matrix_witness {
    const char *address;
    uint16_t port;
    bool is_listening; /* on that address, or on all */
    bool has_reset;    /* the task itself sent RSTs meanwhile, its agent's own left out */
};

struct matrix_input {
    const struct fleet *fleet;
    const struct matrix_source *sources;
    size_t source_count;
    const struct tries_row *rows;
    size_t row_count;
    const bool *scope;          /* service_count x column_count: the plan wants this pair */
    const uint32_t *live_tasks; /* per service: tasks with a live agent when the run was planned */
    const struct matrix_witness *witnesses;
    size_t witness_count;
    bool is_provisional; /* a failure counts that was not tried again yet */
};

/* One way in which endpoints failed. */
struct matrix_observed {
    const struct tries_row *example; /* borrowed from the input */
    uint32_t count;
};

struct matrix_cell {
    enum cell_state state;
    enum expectation expected;
    uint32_t probes;      /* endpoints that count, each for each task that tried */
    uint32_t failed;      /* of these */
    uint32_t unconfirmed; /* of these: failed once, and could not be tried again */
    uint32_t tries;       /* attempts in all ... */
    uint32_t tries_failed;
    uint32_t lossy;                   /* ... and in which packets were lost */
    uint32_t retransmits;             /* what was sent again */
    uint32_t ours;                    /* endpoints that failed by our own fault */
    uint32_t spared;                  /* endpoints that were left alone */
    uint32_t sources;                 /* tasks that were to probe it */
    uint32_t silent;                  /* of these, without a row, and not departed */
    struct matrix_observed *observed; /* the most frequent first; of the matrix' arena */
    size_t observed_count;
};

struct matrix {
    size_t rows, columns;
    struct matrix_cell *cells; /* rows x columns */
    bool is_incomplete;        /* a task that was to probe did not finish, and did not leave; or a
                                  failure could not be tried again */
    enum verdict verdict;
    struct arena arena;
};

struct matrix *matrix_build(const struct matrix_input *input);
struct matrix *matrix_free(struct matrix *matrix);
const struct matrix_cell *matrix_at(const struct matrix *matrix, size_t service, size_t column);

const char *cell_state_name(enum cell_state state);
enum cell_state cell_state_from_name(const char *name); /* CELL_ABSENT if it is none */
/* As it is to be; failing, or open against what is expected. Neither: nobody knows, or it does not
 * count. */
bool cell_state_is_good(enum cell_state state);
bool cell_state_is_bad(enum cell_state state);
const char *verdict_name(enum verdict verdict);

#endif
