/* decide: whether a deployment may stand: the pairs of one service in one run, each with how it was
 * before, in; PASS, FAIL or INCONCLUSIVE, and why, out. Pure.
 *
 * FAIL needs a confirmed failure that is new and that nothing speaks against laying at this
 * deployment's door: the former revision does not fail alike, the peer does not fail for others,
 * too. What was so before, what a peer does to everybody, what is missing or canreach's own fault
 * is INCONCLUSIVE: it is never a reason to roll back, and never green.
 */
#ifndef COLLECTOR_GATE_DECIDE_H
#define COLLECTOR_GATE_DECIDE_H

#include "collector/matrix.h"
#include "common/arena.h"

/* What a kind of failure counts for, as the collector's configuration says (canreach-collector(8)).
 */
enum gate_weight { GATE_IGNORE, GATE_INCONCLUSIVE, GATE_FAIL };

struct gate_rules {
    enum gate_weight known;     /* failed before the deployment, too */
    enum gate_weight draining;  /* an end of it left during the run */
    enum gate_weight stale;     /* what a rollout leaves for a while, once that was waited for */
    enum gate_weight app_error; /* the app answers 5xx, and nothing else is wrong */
    int64_t stale_ms;           /* ... so long; for apps that have just started, too */
};
#define GATE_RULES_DEFAULT                                                                     \
    ((struct gate_rules){GATE_INCONCLUSIVE, GATE_IGNORE, GATE_INCONCLUSIVE, GATE_INCONCLUSIVE, \
                         60000})

enum gate_before { BEFORE_UNKNOWN, BEFORE_GOOD, BEFORE_BAD };

/* Endpoints of a pair, by the revision of the deployed service's task at one of its ends. */
struct gate_share {
    unsigned ok, failed;
};

/* What the pairs of its other end with other services say. */
enum gate_control { CONTROL_NONE, CONTROL_PEER_WELL, CONTROL_PEER_FAILS };

struct gate_cell {
    const char *source, *target, *check;
    enum expectation expected;
    enum cell_state state;
    enum gate_before before;
    struct gate_share fresh, former;
    bool is_app_error; /* every failure is an answer 5xx of the app */
    enum gate_control control;
    size_t diagnosis;  /* that explains it; SIZE_MAX: none */
    const char *cause; /* of the diagnosis; "": none */
};

struct gate_input {
    const char *service;
    const char *revision, *former; /* "web:8", "web:7"; "": not told apart */
    struct gate_rules rules;
    const struct gate_cell *cells; /* that touch the service */
    size_t cell_count;
    bool is_incomplete; /* the run */
    bool is_time_over;  /* rules.stale_ms have gone by */

    bool has_agents;    /* the fleet file expects some */
    size_t agents;      /* of the new revision, that live; where it is not known: of the service */
    int64_t expected;   /* of them; 0: not known */
    int64_t running;    /* tasks of the new revision that the cloud says run; -1: not known */
    bool was_heard;     /* agents of former tasks have reported */
    unsigned tried_new; /* peers' attempts at addresses that the cloud gives the new tasks */
    unsigned answered_new;
    const char *problem; /* why the cloud does not say which tasks are new; "": it does, or nobody
                            expects it to */
};

enum gate_kind {
    GATE_NEW_FAILURE,
    GATE_CUT_OFF,
    GATE_KNOWN,
    GATE_BOTH_REVISIONS,
    GATE_PEER,
    GATE_NEVER_GOOD,
    GATE_STALE,
    GATE_LOSS,
    GATE_APP_ERROR,
    GATE_DRAINING,
    GATE_NO_DATA,
    GATE_OWN_FAULT,
    GATE_UNPROVEN,
    GATE_NO_AGENTS,
    GATE_UNTESTED,
    GATE_NOT_TOLD,
    GATE_INCOMPLETE
};

/* One reason: of one kind and one cause, for all the pairs that it holds for. */
struct gate_finding {
    enum gate_kind kind;
    enum gate_weight weight;
    const char *text;
    size_t diagnosis; /* SIZE_MAX: none */
    size_t *cells;    /* indices of the input's */
    size_t cell_count;
};

struct gate_decision {
    enum verdict verdict;
    struct gate_finding *findings; /* those that count most first */
    size_t finding_count;
    struct arena arena; /* of the above */
};

void gate_decide(const struct gate_input *input, struct gate_decision *ret_decision);
void gate_decision_deinit(struct gate_decision *decision);

/* Nothing but what time may mend: what a rollout leaves for a while, lost packets. A later run may
 * find it gone. */
bool gate_is_transient(const struct gate_decision *decision);
/* FAIL, for pairs alone of which some endpoint passes: with many endpoints, and packets that get
 * lost now and then, that may be chance even though each was tried again. */
bool gate_is_weak(const struct gate_decision *decision, const struct gate_input *input);

const char *gate_kind_name(enum gate_kind kind);
const char *gate_weight_name(enum gate_weight weight);

#endif
