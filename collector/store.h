/* store: everything that outlives the collector, in one SQLite database (WAL).
 *
 * One writer: the collector's loop. Report batches are written inside one open transaction per
 * turn of the loop (store_begin, store_put_report ..., store_commit); nothing is acknowledged
 * before the commit. When a write fails (a full disk), the transaction is rolled back as a whole
 * and the agents send again. The other calls commit by themselves; those that write a run or a
 * verdict are refused (-EINPROGRESS) while reports wait for their commit.
 */
#ifndef COLLECTOR_STORE_H
#define COLLECTOR_STORE_H

#include "common/error.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_SCHEMA 6 /* PRAGMA user_version */

struct store;

/* Opens or creates the file, and migrates an older schema. NULL with `err`: not a database of
 * ours, a newer schema, locked by another collector, no permission, ... */
struct store *store_open(const char *path, struct error *err);
struct store *store_close(struct store *store);

/* A number drawn when the database was made; the planner's seed. */
uint64_t store_seed(const struct store *store);
/* Why the last write failed, for the log and for /readyz; "" after a success. */
const char *store_problem(const struct store *store);

/* ---- fleets and runs ---- */

/* The id of this exact text; stored when it is new. Negative errno on failure. */
int64_t store_put_fleet(struct store *store, const char *text, size_t length);
/* The text of a fleet; freed by the caller with mem_free. NULL when there is none. */
char *store_get_fleet(struct store *store, int64_t fleet, size_t *ret_length);

enum run_state { RUN_PLANNED, RUN_SWEEP, RUN_CONFIRM, RUN_SETTLING, RUN_JUDGED };

struct store_run {
    int64_t id;
    int64_t fleet;
    enum run_state state;
    char trigger[16];
    int64_t created_ms, deadline_ms, finished_ms; /* wall clock; finished 0 while open */
    int verdict;                                  /* enum verdict; -1 while open */
    bool is_incomplete;
    char *scope; /* JSON {from, to}; owned, may be NULL */
    char *live;  /* JSON list: live tasks per service when it was planned; owned */
};

void store_run_deinit(struct store_run *run);

/* One task's part in a run: what it is to probe in the sweep. */
struct store_source {
    int64_t id;
    int64_t run;
    const char *service, *task, *instance, *zone; /* owned by the row when read */
    const char *facts;   /* JSON {revision, addresses, resolvers} of the task */
    const char *columns; /* JSON list of the column ids it probes */
    const char *state;   /* open, done, departed, missing, late, dropped */
    int64_t batches;     /* stored so far */
};

/* One piece of work that an agent was given. */
struct store_assignment {
    int64_t id; /* the caller's: store_first_assignment() says from where on */
    int64_t run;
    int64_t source; /* store_source.id; 0: a watch */
    const char *instance;
    const char *kind; /* sweep, confirm or watch */
    int64_t round;
    const char *columns; /* JSON list of the column ids */
    const char *message; /* as it was sent; "" once it does not matter any more */
    int64_t batches;     /* stored so far */
    int64_t last_batch;  /* the number of the last one, 0 while it is not stored */
    int64_t dropped;     /* rows that the agent lost */
};

/* Ids from here on are free; each opening of the store has a range of its own, so that no id is
 * ever given twice, stored or not. */
int64_t store_first_assignment(const struct store *store);

/* Stores the run and its sources at once, and fills in their ids. 0 or a negative errno. */
int store_put_run(struct store *store, struct store_run *run, struct store_source *sources,
                  size_t count);
int store_set_run_state(struct store *store, int64_t run, enum run_state state);
/* A newer agent of the same task goes on with it. */
int store_set_source_instance(struct store *store, int64_t source, const char *instance);

typedef void (*store_run_fn)(void *ctx, const struct store_run *run);

struct store_expiry {
    int64_t keep_runs;       /* the newest so many stay ... */
    int64_t before_ms;       /* ... unless they are from before then */
    int64_t looks_before_ms; /* likewise light runs */
    int64_t limit;
};
/* Runs whose time is over, oldest first; not those that store_keep_run() was told of since the last
 * verdict. */
int store_each_expired(struct store *store, const struct store_expiry *expiry, store_run_fn fn,
                       void *ctx);
int store_keep_run(struct store *store, int64_t run);
/* What nothing refers to any more: contents, fleets; incidents and outages that were over before
 * then; and messages that were sent, or given up, before another moment. */
int store_forget_rest(struct store *store, int64_t before_ms, int64_t sent_before_ms);
/* All of a run, as if it had never been. */
int store_forget_run(struct store *store, int64_t run);

struct store_cell {
    int64_t source, column; /* indices into the run's fleet */
    const char *json;       /* as the API shows it */
};

/* Whose an endpoint's address is. */
struct store_owner {
    const char *address;
    int64_t service;  /* as a source that reached for this service of the run's fleet sees it */
    const char *json; /* as the API shows it */
};

struct store_judgement {
    const struct store_run *run;        /* finished_ms, verdict, is_incomplete */
    const struct store_source *sources; /* their states */
    size_t source_count;
    const struct store_cell *cells;
    size_t cell_count;
    const struct store_owner *owners;
    size_t owner_count;
    const char *const *diagnoses; /* as the API shows them, in order */
    size_t diagnosis_count;
};

/* The verdict, for good, all of it at once. */
int store_judge_run(struct store *store, const struct store_judgement *judgement);

/* 0; -ENOENT. `id` 0 is the last one that is not light. */
int store_get_run(struct store *store, int64_t id, struct store_run *ret_run);

/* Newest first, ids below `before` (0: all), at most `limit`; light ones ("watch") are left out.
 * `only_open`: those without verdict, the light ones too. */
int store_each_run(struct store *store, int64_t before, int64_t limit, bool only_open,
                   store_run_fn fn, void *ctx);
typedef void (*store_source_fn)(void *ctx, const struct store_source *source);
int store_each_source(struct store *store, int64_t run, store_source_fn fn, void *ctx);
typedef void (*store_owner_fn)(void *ctx, const struct store_owner *owner);
int store_each_owner(struct store *store, int64_t run, store_owner_fn fn, void *ctx);
typedef void (*store_assignment_fn)(void *ctx, const struct store_assignment *assignment);
int store_each_assignment(struct store *store, int64_t run, store_assignment_fn fn, void *ctx);
/* One assignment, by its id: 0, or -ENOENT. `fn` is called once when there is one. */
int store_get_assignment(struct store *store, int64_t id, store_assignment_fn fn, void *ctx);
/* ---- what the cloud says of the fleet ---- */

struct store_estate {
    int64_t taken_ms, network_taken_ms; /* wall clock */
    char region[64];
};

struct store_part {
    const char *name, *json;
    size_t length;
};

/* Of a run; its parts are stored once for all runs that have the same. 0 or a negative errno. */
int store_put_estate(struct store *store, int64_t run, const struct store_estate *estate,
                     const struct store_part *parts, size_t count);
/* 0, or -ENOENT: the run has none. */
/* Parts more of a run's estate, or others in place of them. */
int store_put_parts(struct store *store, int64_t run, const struct store_part *parts, size_t count);
int store_get_estate(struct store *store, int64_t run, struct store_estate *ret_estate);
/* The last run that has one, or 0. */
int64_t store_last_estate(struct store *store);
typedef void (*store_part_fn)(void *ctx, const struct store_part *part);
/* `fn` is called once where the run has that part. */
int store_get_part(struct store *store, int64_t run, const char *name, store_part_fn fn, void *ctx);

/* ---- alerts ---- */

struct store_incident {
    int64_t id;
    bool is_open;
    int64_t opened_ms, told_ms, resolved_ms; /* resolved 0: not yet */
    const char *json;
};

struct store_outgoing { /* a message for a destination */
    int64_t id;
    const char *destination;
    int64_t incident; /* 0: of none */
    const char *kind;
    int64_t created_ms, next_ms, attempts;
    const char *state; /* pending, sent or failed */
    const char *error, *remote;
    const char *json;
};

struct store_outage { /* of a pair */
    int64_t id;
    const char *source, *target, *check;
    int64_t start_ms, start_run;
    int64_t end_ms, end_run; /* 0: it goes on */
    const char *causes;      /* JSON: [{at, run, cause}] */
};

/* What one run changes. */
struct store_telling {
    int64_t run;
    struct store_outage *outages; /* id 0: new */
    size_t outage_count;
    struct store_incident *incidents; /* new ones, and others in place of what they were */
    size_t incident_count;
    struct store_outgoing *outgoing;
    size_t outgoing_count;
};

/* The first judged run whose incidents were not looked at, if any: `fn` is called once. */
int store_next_untold(struct store *store, store_run_fn fn, void *ctx);
/* All of it at once, and the run is told. */
int store_tell(struct store *store, const struct store_telling *telling);
int64_t store_next_incident(struct store *store); /* a new id */
typedef void (*store_incident_fn)(void *ctx, const struct store_incident *incident);
/* Newest first. */
int store_each_incident(struct store *store, bool only_open, int64_t limit, store_incident_fn fn,
                        void *ctx);
typedef void (*store_outgoing_fn)(void *ctx, const struct store_outgoing *outgoing);
/* The oldest that waits, if any; with the `remote` of an earlier one of its incident. */
int store_next_outgoing(struct store *store, const char *destination, store_outgoing_fn fn,
                        void *ctx);
/* id, state, attempts, next_ms, error, remote. */
int store_set_outgoing(struct store *store, const struct store_outgoing *outgoing);
void store_count_outgoing(struct store *store, const char *destination, int64_t *ret_pending,
                          int64_t *ret_failed);

typedef void (*store_outage_fn)(void *ctx, const struct store_outage *outage);
int store_each_open_outage(struct store *store, store_outage_fn fn, void *ctx);
/* Newest first, ids below `before` (0: all); `source`, `target`: "" any. */
int store_each_outage(struct store *store, int64_t before, const char *source, const char *target,
                      int64_t limit, store_outage_fn fn, void *ctx);

/* ---- schedules ---- */

int store_put_schedule(struct store *store, const char *name, int64_t last_ms, int64_t run);
/* The last time that was handled, and its run; 0: none yet. */
int64_t store_get_schedule(struct store *store, const char *name, int64_t *ret_run);

/* ---- gates ---- */

struct store_gate {
    int64_t id;
    const char *deployment, *service, *json; /* owned by the row when read */
    bool is_open;
    int64_t created_ms;
};

/* A new one, its id filled in. -EEXIST: the service's deployment has one. */
int store_put_gate(struct store *store, struct store_gate *gate);
int store_set_gate(struct store *store, int64_t id, bool is_open, const char *json);
typedef void (*store_gate_fn)(void *ctx, const struct store_gate *gate);
/* `fn` is called once where there is such a gate: 0, or -ENOENT. `id` 0: the last one. */
int store_get_gate(struct store *store, int64_t id, store_gate_fn fn, void *ctx);
int store_find_gate(struct store *store, const char *deployment, const char *service,
                    store_gate_fn fn, void *ctx);
/* Newest first, ids below `before` (0: all), at most `limit`. */
int store_each_gate(struct store *store, int64_t before, int64_t limit, bool only_open,
                    store_gate_fn fn, void *ctx);

typedef void (*store_diagnosis_fn)(void *ctx, const char *json);
int store_each_diagnosis(struct store *store, int64_t run, store_diagnosis_fn fn, void *ctx);
/* The cell's JSON; freed by the caller with mem_free. NULL when there is none. */
char *store_get_cell(struct store *store, int64_t run, int64_t source, int64_t column);
typedef void (*store_cell_fn)(void *ctx, const struct store_cell *cell);
int store_each_cell(struct store *store, int64_t run, store_cell_fn fn, void *ctx);

/* ---- reports ---- */

/* What follows is written within one transaction: begun by the first, ended by store_commit(). */
int store_begin(struct store *store);
int store_commit(struct store *store);
void store_rollback(struct store *store);

enum store_put { STORE_STORED = 0, STORE_DUPLICATE = 1 };
/* An assignment; one that is there already stays as it is. 0 or a negative errno. */
int store_put_assignment(struct store *store, const struct store_assignment *assignment);
/* What a target's agent saw; `service` and `task` say whose. STORE_STORED, STORE_DUPLICATE or a
 * negative errno. */
int store_put_witness(struct store *store, const struct proto_witness *witness, const char *service,
                      const char *task, bool is_late);
/* One batch: STORE_STORED, STORE_DUPLICATE (nothing written), or a negative errno. */
int store_put_report(struct store *store, const struct proto_report *report, bool is_late);

typedef void (*store_witness_fn)(void *ctx, const char *service, const char *task,
                                 struct proto_message *message);
/* Those that were in time, by service, task and round. To keep a message the caller takes it, and
 * leaves another one, such as an empty `idle`, in its place. */
int store_each_witness(struct store *store, int64_t run, store_witness_fn fn, void *ctx);
typedef void (*store_probe_fn)(void *ctx, int64_t assignment, const struct proto_probe *probe);
/* Rows that were in time; `column` -1: all. */
int store_each_probe(struct store *store, int64_t run, int64_t column, store_probe_fn fn,
                     void *ctx);
typedef void (*store_resolution_fn)(void *ctx, int64_t assignment,
                                    const struct proto_resolution *resolution);
int store_each_resolution(struct store *store, int64_t run, store_resolution_fn fn, void *ctx);

#endif
