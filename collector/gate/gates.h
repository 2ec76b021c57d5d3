/* gates: from a deployment to its verdict, and, where that is FAIL, to the end of its rollback.
 *
 * waiting: the new revision's agents are awaited, and every pair of the service is looked at each
 * second, for its gaps. probing: the gate's run. control: the failing pairs' other ends, with other
 * services. acting: the intent is stored, then the call is made; never twice. following: the
 * deployment, to its end. verifying: the pairs again. done: for good.
 *
 * All of a gate is in the store, as one JSON document, at every step: a collector that starts again
 * goes on with it. A deployment has one gate, for ever; a service one at a time.
 */
#ifndef COLLECTOR_GATE_GATES_H
#define COLLECTOR_GATE_GATES_H

#include "collector/cloud.h"
#include "collector/gate/decide.h"
#include "collector/gate/evidence.h"
#include "collector/run.h"
#include "common/loop.h"

#define GATES_OPEN_MAX    16
#define GATE_WAIT_MIN_MS  1000
#define GATE_WAIT_MAX_MS  3600000
#define GATE_NAME_MAX     256 /* of a deployment */
#define GATE_DOCUMENT_MAX ((size_t)4 << 20)

enum gate_state {
    GATE_WAITING,
    GATE_PROBING,
    GATE_CONTROL,
    GATE_ACTING,
    GATE_FOLLOWING,
    GATE_VERIFYING,
    GATE_DONE
};

enum gate_rollback { ROLLBACK_NONE, ROLLBACK_ECS, ROLLBACK_CODEDEPLOY, ROLLBACK_COMMAND };

/* The body of POST /api/v1/gates. Texts are of `json`. */
struct gate_request {
    struct cJSON *json; /* owned */
    const char *service, *deployment, *revision, *execution;
    struct gate_baseline baseline;
    enum gate_rollback rollback;
    int64_t tasks;            /* of the new revision; 0: not said */
    int64_t wait_ms;          /* for its agents */
    bool is_dry;              /* says what it would do, and does nothing */
    bool passes_inconclusive; /* INCONCLUSIVE lets the deployment go on */
};

/* -EINVAL with `err`. The caller frees it, also after an error. */
int gate_request_parse(const char *body, size_t length, struct gate_request *ret_request,
                       struct error *err);
void gate_request_deinit(struct gate_request *request);

struct gate_settings {
    struct gate_rules rules;
    int64_t wait_ms;   /* where a request says nothing */
    int64_t poll_ms;   /* between two questions to ECS */
    int64_t look_ms;   /* between two looks at the pairs */
    int64_t follow_ms; /* a rollback, at most */
};
#define GATE_SETTINGS_DEFAULT \
    ((struct gate_settings){GATE_RULES_DEFAULT, 300000, 2000, 1000, 1800000})

struct gate_hooks {
    void *ctx;
    void (*commit)(void *ctx); /* before the store is written to */
    void (*on_run_started)(void *ctx, struct run *run);
};

struct gates;

/* `cloud` NULL: there is none. All are borrowed. Goes on with what a former collector left open.
 * NULL with `err`. */
struct gates *gates_new(struct loop *loop, struct runs *runs, struct cloud *cloud,
                        const struct gate_settings *settings, const struct gate_hooks *hooks,
                        struct error *err);
struct gates *gates_free(struct gates *gates); /* accepts NULL */

/* Takes over the request. 0, `ret_is_new` false where the deployment has its gate already; -EINVAL:
 * the request is wrong; -EBUSY: the service, or all, have one that is open. `err` says why. */
int gates_start(struct gates *gates, struct gate_request *request, int64_t *ret_id,
                bool *ret_is_new, struct error *err);
/* {schema, gate} as of now. -ENOENT. `id` 0: the last one. */
int gates_view(const struct gates *gates, int64_t id, struct buf *out);
/* The command of a gate with rollback `command`: to be run by who claims it, once. -ENOENT: no such
 * gate; -EALREADY: it is not to be run, or somebody else does. */
int gates_claim(struct gates *gates, int64_t id, struct error *err);
/* What became of it: "" for fine. -ENOENT; -EALREADY: nobody claimed it. */
int gates_acted(struct gates *gates, int64_t id, const char *problem, struct error *err);

size_t gates_open_count(const struct gates *gates);
/* An open gate is to read that run. */
bool gates_use_run(const struct gates *gates, int64_t run);
/* A run was judged. */
void gates_run_judged(struct gates *gates, int64_t run);

const char *gate_state_name(enum gate_state state);

#endif
