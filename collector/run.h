/* run: one sweep over a set of pairs, from its plan to its verdict.
 *
 * planned: stored, no task has its assignment yet. sweep: under way. judged: the verdict stands and
 * never changes; rows that come later are stored as late and do not count.
 * A run ends when every task is done, has left, or was replaced; else at its deadline. What is
 * needed to go on after a restart of the collector is in the store.
 */
#ifndef COLLECTOR_RUN_H
#define COLLECTOR_RUN_H

#include "collector/fleet.h"
#include "collector/matrix.h"
#include "collector/planner.h"
#include "collector/registry.h"
#include "collector/store.h"

#define RUN_OPEN_MAX         16
#define RUN_ROWS_MAX         4000000 /* attempts kept for one run's matrix */
#define RUN_DEADLINE_MIN_MS  1000
#define RUN_DEADLINE_MAX_MS  3600000
#define RUN_SLACK_MS         4000  /* beyond time-outs and DNS, before a task counts as missing */
#define RUN_RESUME_GRACE_MS  10000 /* after a restart: time for agents to come back */
#define RUN_ASSIGNMENT_BYTES (64 * 1024) /* estimated; larger ones are split */

enum source_state {
    SOURCE_OPEN,
    SOURCE_DONE,
    SOURCE_DEPARTED, /* said leaving before it was done */
    SOURCE_MISSING,  /* not a row in time, or its instance was replaced */
    SOURCE_LATE,     /* some rows in time, not all */
    SOURCE_DROPPED   /* done, but its spool lost rows */
};

/* One task's part: one assignment. A task with very many targets has several. */
struct run_source {
    int64_t assignment;
    size_t service;
    const char *task, *instance, *zone;
    uint32_t *columns;
    size_t column_count;
    enum source_state state;
    int64_t batches, last_batch, dropped;
    size_t next; /* the next source of the same instance; SIZE_MAX: none */
};

/* The sources of one agent: the first, then along `next`. */
struct run_agent {
    const char *instance;
    size_t first;
    UT_hash_handle hh;
};

struct run {
    struct store_run record;
    struct fleet *fleet; /* a reference: the fleet file may change meanwhile */
    struct plan plan;
    struct run_source *sources; /* by assignment id */
    size_t source_count;
    struct run_agent *agents; /* by instance; of the arena */
    struct matrix_row *rows;
    size_t row_count, row_capacity;
    uint64_t deadline_us;
    int64_t names_per_second; /* that its slowest agent resolves */
    struct arena arena;
};

struct run_request {
    struct options_list from, to;
    const char *trigger; /* manual, gate or schedule */
    int64_t deadline_ms; /* 0: what the checks need */
};

/* Messages that were refused or ignored, by why. Counted always, logged once a link. */
struct refusals {
    uint64_t malformed, version, hello_first, unknown_report, duplicate_report;
};

struct runs {
    struct store *store;
    struct refusals refusals;
    struct registry *registry;
    struct fleet *fleet; /* the current one; borrowed */
    int64_t fleet_id;
    size_t sample;
    struct run *open[RUN_OPEN_MAX]; /* oldest first */
    size_t open_count;
};

/* Loads the runs that a former collector left open. 0 or a negative errno with `err`. */
int runs_resume(struct runs *runs, uint64_t now_us, struct error *err);
void runs_deinit(struct runs *runs);

/* Plans and stores a run. -EINVAL: the scope names what the fleet does not have; -EBUSY: too many
 * open runs; other negative errnos: the store's. */
int runs_start(struct runs *runs, const struct run_request *request, uint64_t now_us,
               struct run **ret_run, struct error *err);
struct run *runs_find(const struct runs *runs, int64_t id); /* open ones */

/* The next assignment for an agent that it has not received (`got`): manual and gate runs before
 * scheduled ones. `message` is filled for proto_encode(), its memory in its arena. False: none. */
bool runs_next_assignment(struct runs *runs, const struct agent *agent, uint64_t now_us,
                          struct proto_message *message);

enum report_kind { REPORT_IN_TIME, REPORT_LATE, REPORT_UNKNOWN };
/* Whether a report belongs to an open run, to a judged one, or to none (of that instance). */
enum report_kind runs_classify(struct runs *runs, const struct proto_report *report);
/* Takes in a report that was stored in time. */
void runs_apply(struct runs *runs, const struct proto_report *report);

/* The agent left, or its task has a newer instance: it will not go on. */
void runs_agent_gone(struct runs *runs, const char *instance, bool has_departed);

/* Judges what is complete or past its deadline. The time of the next deadline, 0: none. A verdict
 * that cannot be stored is tried again with the next call. */
uint64_t runs_tick(struct runs *runs, uint64_t now_us);

/* The matrix as of now. The caller frees it; its rows are the run's. */
struct matrix *run_matrix(const struct run *run);
const char *source_state_name(enum source_state state);
const char *run_state_name(enum run_state state);

#endif
