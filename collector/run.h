/* run: one sweep over a set of pairs, from its plan to its verdict.
 *
 * planned: stored; a small run waits here until the targets' agents are watching. sweep: every pair
 * is tried. confirm: what failed is tried again, while the targets' agents watch. settling: their
 * witnesses are awaited. judged: the verdict stands and never changes; rows that come later are
 * stored as late and do not count.
 *
 * Work is handed out piece by piece (assignments), as the limits per endpoint allow that all runs
 * share (throttle). A run ends when every task is done, has left, or was lost; else at its
 * deadline. What is needed to go on after a restart of the collector is in the store.
 */
#ifndef COLLECTOR_RUN_H
#define COLLECTOR_RUN_H

#include "collector/answers.h"
#include "collector/cloud/inquiry.h"
#include "collector/diagnose.h"
#include "collector/fleet.h"
#include "collector/matrix.h"
#include "collector/ownership.h"
#include "collector/planner.h"
#include "collector/registry.h"
#include "collector/store.h"
#include "collector/throttle.h"

#define RUN_OPEN_MAX         16
#define RUN_ROWS_MAX         4000000 /* attempts kept for one run's matrix */
#define RUN_DEADLINE_MIN_MS  1000
#define RUN_DEADLINE_MAX_MS  3600000
#define RUN_SLACK_MS         4000  /* beyond time-outs and DNS, before a task counts as missing */
#define RUN_RESUME_GRACE_MS  10000 /* after a restart: time for agents to come back */
#define RUN_RESUME_GATE_MS   2000  /* ... and to the confirmation, which needs them at once */
#define RUN_ASSIGNMENT_BYTES (64 * 1024) /* estimated; larger ones are split */
#define RUN_WAVE_MS          200  /* beyond its time-out, for a probe to be given and reported */
#define RUN_SMALL            16   /* agents to watch: up to so many, before the first probe too */
#define RUN_WATCHES_MAX      256  /* agents that watch in one round */
#define RUN_WATCH_MS         300  /* waited for them; who is later watches all the same */
#define RUN_SETTLE_MS        1500 /* waited for their witnesses */
#define RUN_SAMPLES          3    /* tries of a passing endpoint in a small run */
#define RUN_SPACING_MS       500  /* between the attempts of a confirmation */
#define RUN_HOLD_MS          4000 /* so long they stay open: no ARP answer is told after 3.06 s */

enum source_state {
    SOURCE_OPEN,
    SOURCE_DONE,
    SOURCE_DEPARTED, /* said leaving before it was done */
    SOURCE_MISSING,  /* not a row in time, or its instance is gone */
    SOURCE_LATE,     /* some rows in time, not all */
    SOURCE_DROPPED   /* done, but its spool lost rows */
};

/* COLUMN_MORE: every endpoint passed, and is to be tried a few times more, so that a packet that is
 * lost now and then shows (small runs). */
enum column_work { COLUMN_NONE, COLUMN_TODO, COLUMN_GIVEN, COLUMN_MORE, COLUMN_DONE };

/* One task's part in the sweep. */
struct run_source {
    int64_t id;
    size_t service;
    const char *task, *instance, *zone;
    const char *facts;   /* as stored: JSON {revision, addresses, resolvers} */
    uint8_t *work;       /* enum column_work, by column */
    size_t column_count; /* that it is to probe */
    size_t todo, undone; /* of these: not given; not done */
    enum source_state state;
    int64_t batches, dropped;
    int64_t unreceived; /* the assignment that its agent may not have got; 0: none */
    size_t next;        /* the next source of the same instance; SIZE_MAX: none */
};

enum work_kind { WORK_SWEEP, WORK_CONFIRM, WORK_WATCH };

/* A piece of work that an agent was given. */
struct run_assignment {
    int64_t id;
    enum work_kind kind;
    unsigned round;
    bool is_sampling; /* of COLUMN_MORE */
    size_t source;    /* sweep, confirm: index; watch: SIZE_MAX */
    const char *instance;
    uint32_t *columns; /* sweep; with the throttle's weight of each */
    uint8_t *weights;
    size_t column_count;
    bool holds; /* the throttle's places, until it is done or `release_us` */
    uint64_t release_us;
    char *message; /* as sent, until the agent is known to have it */
    size_t message_length;
    bool is_done;
    int64_t batches, last_batch, dropped;
};

enum item_state { ITEM_TODO, ITEM_GIVEN, ITEM_DONE, ITEM_DROPPED };

/* One thing to try again. */
struct run_item {
    uint32_t source, column;
    const char *name, *address; /* address "": resolve again */
    uint16_t port;
    unsigned attempts, weight;
    enum item_state state;
    bool is_patient; /* it connects, and nothing comes: does it come late? */
    bool holds;      /* the throttle's places */
    int64_t assignment;
};

enum watch_state { WATCH_TODO, WATCH_SENT, WATCH_ON, WATCH_SETTLING, WATCH_OVER };

/* One agent that watches its own task in one round. */
struct run_watch {
    int64_t assignment; /* 0 before it is sent */
    const char *instance;
    const char *service, *task;
    unsigned round;
    uint32_t *columns; /* of its own service, or those whose probes come to its address */
    size_t column_count;
    enum watch_state state;
    bool has_failures; /* something failed there: its witness is wanted */
};

/* The sources of one agent: the first, then along `next`. */
struct run_agent {
    const char *instance;
    size_t first;
    UT_hash_handle hh;
};

/* An agent that said leaving during the run. */
struct run_leaver {
    const char *service, *task, *mode, *netns, *zone, *revision;
    const char **addresses;
    size_t address_count;
};

struct run {
    struct store_run record;
    struct fleet *fleet; /* a reference: the fleet file may change meanwhile */
    struct plan plan;
    struct throttle_place **places; /* by column */
    struct run_source *sources;     /* by id */
    size_t source_count, open_sources, todo;
    struct run_agent *agents;           /* by instance; of the arena */
    struct run_assignment *assignments; /* by id */
    size_t assignment_count, assignment_capacity;
    size_t first_held; /* assignments before it hold no places */
    struct run_item *items;
    size_t item_count, item_capacity;
    struct run_watch *watches;
    size_t watch_count, watch_capacity;
    struct matrix_witness *witnesses;
    size_t witness_count, witness_capacity;
    struct run_leaver *leavers;
    size_t leaver_count, leaver_capacity;
    struct tries_row *rows;
    size_t row_count, row_capacity;
    struct answers answers;

    bool is_light; /* a look (trigger "watch"): nothing is tried again, nobody bears witness */
    bool is_small;
    bool is_settled;      /* all are done; it may wait for the cloud's view */
    unsigned round;       /* of confirmation; 0 before */
    uint64_t gate_us;     /* no probe before: the watches are awaited; 0: open */
    uint64_t deadline_us; /* of the present state */
    uint64_t limit_us;    /* of the whole */
    int provisional;      /* enum verdict, once the sweep is over; -1 before */
    uint64_t cloud_us;    /* a run that fails waits till then for the cloud's view; 0: no more */
    uint64_t patience_us; /* the latest such moment, set when it was first asked for */
    int64_t network_ms;   /* of when the network is in it, wall clock; 0: there is none */
    bool is_inquired;     /* what AWS kept of its past was asked for */
    int64_t names_per_second; /* that its slowest agent resolves */
    struct arena arena;
};

struct run_request {
    struct options_list from, to, about, without; /* as in planner.h */
    const char *trigger;                          /* manual, gate, schedule; watch: a light one */
    int64_t deadline_ms;                          /* of the whole run; 0: what the checks need */
};

/* Messages that were refused or ignored, by why. Counted always, logged once a link. */
struct refusals {
    uint64_t malformed, version, hello_first, unknown_report, duplicate_report;
};

/* A watch that is over, and its agent does not know yet. */
struct run_settle {
    char *instance;
    int64_t watch;
    bool is_unwanted;
};

struct cloud;

struct runs {
    struct store *store;
    struct refusals refusals;
    struct registry *registry;
    struct fleet *fleet;       /* the current one; borrowed */
    const char *fleet_problem; /* why it has no services yet; "" else; borrowed */
    const struct cloud *cloud; /* NULL: the fleet file names no clusters; borrowed */
    int64_t fleet_id;
    size_t sample;
    struct run *open[RUN_OPEN_MAX]; /* oldest first */
    size_t open_count;
    struct throttle throttle;
    int64_t next_assignment;
    bool has_failed; /* the last run that was judged */
    /* A verdict is stored; NULL: nobody wants to know. No run may be started within. */
    void (*on_judged)(void *ctx, const struct run *run);
    void *judged_ctx;
    struct run_settle *settles;
    size_t settle_count, settle_capacity;
};

/* Loads the runs that a former collector left open. 0 or a negative errno with `err`. */
int runs_resume(struct runs *runs, uint64_t now_us, struct error *err);
void runs_deinit(struct runs *runs);

/* Plans and stores a run. -EINVAL: the scope names what the fleet does not have; -EBUSY: too many
 * open runs; other negative errnos: the store's. */
int runs_start(struct runs *runs, const struct run_request *request, uint64_t now_us,
               struct run **ret_run, struct error *err);
struct run *runs_find(const struct runs *runs, int64_t id); /* open ones */

/* The next message for an agent whose pull is held: the end of a watch, a watch, what it was given
 * and has not received (`got`), something to try again, something to try; manual and gate runs
 * before scheduled ones. Encoded into `out`. False: none now. What is new is written to the store's
 * open transaction: the caller commits. */
bool runs_next_work(struct runs *runs, const struct agent *agent, uint64_t now_us, struct buf *out);
/* Whether any open run has work that is not given out yet. */
bool runs_have_work(const struct runs *runs);

enum report_kind { REPORT_IN_TIME, REPORT_LATE, REPORT_UNKNOWN };
/* Whether a report, or a witness, belongs to an open run, to a judged one, or to none (of that
 * instance). */
enum report_kind runs_classify(struct runs *runs, const struct proto_message *message);
/* Writes it to the store's open transaction: enum store_put, or a negative errno. */
int runs_store(struct runs *runs, const struct proto_message *message, enum report_kind kind);
/* Takes in what was stored in time. */
void runs_apply(struct runs *runs, const struct proto_message *message, uint64_t now_us);
void runs_watching(struct runs *runs, const struct proto_watching *watching);

/* The agent left, or is lost for good: it will not go on. */
void runs_agent_gone(struct runs *runs, const struct agent *agent, bool has_departed);
/* Its task has a newer agent, which goes on with what is not done. */
void runs_agent_replaced(struct runs *runs, const struct agent *old, const struct agent *new);

/* Goes on where something is complete or past its time; judges. The time of the next such moment,
 * 0: none. A verdict that cannot be stored is tried again with the next call. */
uint64_t runs_tick(struct runs *runs, uint64_t now_us);

/* The matrix as of now. The caller frees it; its rows are the run's. */
struct matrix *run_matrix(const struct run *run);
/* Why what is red is red. The caller frees it (diagnoses_free). */
struct diagnoses *run_diagnose(const struct runs *runs, const struct run *run,
                               const struct matrix *matrix);
/* Whose an endpoint's address is, by those who are there and those who left during the run. */
struct run_ownership;
struct run_ownership *run_ownership_new(const struct runs *runs, const struct run *run);
struct run_ownership *run_ownership_free(struct run_ownership *ownership);
const struct ownership *run_ownership_get(const struct run_ownership *ownership);
/* The agents that it was built from. */
const struct owner_agent *run_ownership_agents(const struct run_ownership *ownership,
                                               size_t *ret_count);

/* The cloud's view is stored, with the network as of `network_ms`: who waits for it goes on. */
void runs_cloud_told(struct runs *runs, int64_t id, int64_t network_ms);
/* What is to be asked of its past: who changed what since it was well, ...; false: nothing, or not
 * now. The caller frees the request. */
bool run_inquiry(const struct runs *runs, struct run *run, struct inquiry_request *ret_request);
void runs_past_told(struct runs *runs, int64_t id);
/* Something fails, and the network in its view is older than the run: a fix or a fault may lie
 * between. */
bool run_needs_network(const struct run *run);

const char *source_state_name(enum source_state state);
const char *run_state_name(enum run_state state);

#endif
