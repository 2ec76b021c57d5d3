/* sweep: carries out one assignment: resolves each target's names, probes every endpoint, and
 * hands on a row for each query and each attempt.
 *
 * One query per name and type, however many targets share it. At most SWEEP_IN_FLIGHT probes run
 * at once over all sweeps of the agent (struct sweep_limits); the others wait in order.
 */
#ifndef AGENT_SWEEP_H
#define AGENT_SWEEP_H

#include "agent/host.h"
#include "agent/policy.h"
#include "agent/resolver.h"
#include "common/loop.h"
#include "proto/proto.h"

#define SWEEP_IN_FLIGHT     1024  /* probes, over the whole agent */
#define SWEEP_ENDPOINTS_MAX 65536 /* probes of one assignment; more are OUTCOME_OVER_BUDGET */

struct sweep;

/* Shared by all sweeps of one agent. */
struct sweep_limits {
    size_t in_flight;
    struct sweep *waiting; /* sweeps with probes that wait for a slot */
};

struct sweep_env {
    struct loop *loop;
    struct resolver *resolver;
    const struct policy *policy;
    const struct host *host;
    struct sweep_limits *limits;
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
