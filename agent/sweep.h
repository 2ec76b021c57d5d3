/* sweep: carries out one assignment: every endpoint of every target is probed, as often as the
 * target says, and a row is handed on for each DNS answer and each attempt.
 *
 * Within the agent's budget: endpoints wait in order for a slot and for the rate, shared fairly
 * with the other sweeps of the agent (struct sweep_queue).
 */
#ifndef AGENT_SWEEP_H
#define AGENT_SWEEP_H

#include "agent/budget.h"
#include "agent/host.h"
#include "agent/policy.h"
#include "agent/resolver.h"
#include "agent/tls.h"
#include "common/loop.h"
#include "proto/proto.h"

#define SWEEP_ENDPOINTS_MAX 65536 /* probes of one assignment; more are OUTCOME_OVER_BUDGET */

struct sweep;

/* Sweeps whose endpoints wait for the budget, in turn; one for the whole agent. */
struct sweep_queue {
    struct sweep *first;
};

struct sweep_env {
    struct loop *loop;
    struct resolver *resolver;
    const struct policy *policy;
    const struct host *host;
    struct budget *budget;
    struct sweep_queue *queue;
    struct tls *tls;
    uint64_t rate_bytes_max; /* of a throughput check; 0: refused */
    bool is_own_check; /* a witness looks at its own task: loopback and own addresses, nothing else
                        */
};

/* Rows are only valid during the call. */
struct sweep_sink {
    void *ctx;
    void (*on_resolution)(void *ctx, const struct proto_resolution *row);
    void (*on_probe)(void *ctx, const struct proto_probe *row);
    void (*on_done)(void *ctx); /* once: all is tried, or the run's deadline has passed; may free
                                   the sweep */
};

/* Takes over `message` (an assignment). Rows come from the loop, not from inside this call. */
struct sweep *sweep_new(const struct sweep_env *env, struct proto_message *message,
                        const struct sweep_sink *sink);
struct sweep *sweep_free(struct sweep *sweep); /* also before it is done */

#endif
