/* gate_internal: what the parts of a gate's way share. gates.c: its life, the store, ECS;
 * gate_runs.c: its runs; gate_judge.c: from waiting to the verdict; gate_act.c: from the verdict to
 * the end.
 *
 * A step is called when something that it awaits has come, or may have (a timer): it looks where it
 * stands, does the next thing and returns. gate_end() frees the gate: a step calls it last.
 */
#ifndef COLLECTOR_GATE_GATE_INTERNAL_H
#define COLLECTOR_GATE_GATE_INTERNAL_H

#include "collector/gate/gate.h"

#define GATE_TICK_MS  200  /* while something is awaited that does not call */
#define GATE_RETRY_MS 1000 /* after the store, or the runs, said no */

struct gates {
    struct loop *loop;
    struct runs *runs;
    struct cloud *cloud; /* NULL: the fleet file names no clusters */
    struct gate_settings settings;
    struct gate_hooks hooks;
    struct gate *open;
    size_t open_count;
    struct loop_deferred judged;
};

/* ---- gates.c ---- */
void gate_advance(struct gate *gate); /* the step of its state */
void gate_again_in(struct gate *gate, int64_t ms);
bool gate_save(struct gate *gate); /* false, and logged: the store took it not */
void gate_enter(struct gate *gate, enum gate_state state, int64_t limit_ms);
void gate_end(struct gate *gate); /* for good; until that is stored the gate stays open */
void gate_conclude_without_run(struct gate *gate, const char *why); /* INCONCLUSIVE, and the end */
/* True: the answer will come (gate->rollout), and the step is called. False: nobody can be asked.
 */
bool gate_ask(struct gate *gate);
/* The deployment went another way than forward: there is nothing left to be judged. */
bool gate_has_ended_otherwise(const struct gate *gate);
/* Live agents of the service: of its new revision, or of any other one. */
size_t gate_count_agents(const struct gate *gate, bool is_new);
/* The deployment, as far as is known: what was before it is the baseline. */
int64_t gate_began_ms(const struct gate *gate);

/* ---- gate_runs.c ---- */
/* All pairs of the service. Negative: not now (-EBUSY), or not at all; `err` says why. */
int gate_start_run(struct gate *gate, const char *trigger, int64_t *ret_id, struct error *err);
/* Those of its failing peers with everybody else. */
int gate_start_control(struct gate *gate, const char *const *peers, size_t count);
bool gate_is_judged(const struct gate *gate, int64_t id); /* a run; or it is gone */
void gate_note_run(struct gate *gate, int64_t id);        /* what a run says of the gaps */
void gate_look(struct gate *gate); /* every look_ms, while the tasks come and go */
void gate_finish_look(struct gate *gate);

/* ---- gate_judge.c ---- */
void gate_wait_for_agents(struct gate *gate);
void gate_probe(struct gate *gate); /* the run, then what ECS says meanwhile, then the decision */

/* ---- gate_act.c ---- */
/* What is to be done depends on how far the deployment is just now. */
void gate_begin_acting(struct gate *gate);
void gate_act(struct gate *gate);
void gate_begin_verifying(struct gate *gate, const char *outcome);
void gate_follow(struct gate *gate); /* to the deployment's end */
void gate_verify(struct gate *gate);

#endif
