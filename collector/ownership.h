/* ownership: whose an address is, from the agents that said hello with it. Pure.
 *
 * An agent shares its app's network namespace, so in awsvpc mode its addresses are its task's
 * alone. In host mode several tasks share the host's; in bridge mode the addresses mean nothing
 * outside the host. Behind an address that nobody said hello with there may be NAT, a proxy, a load
 * balancer, a task without agent, or nobody.
 */
#ifndef COLLECTOR_OWNERSHIP_H
#define COLLECTOR_OWNERSHIP_H

#include "collector/fleet.h"

#include <stdbool.h>
#include <stddef.h>

enum owner_kind {
    OWNER_UNKNOWN, /* nobody known has it, and not every task is known; or it means nothing: several
                      networks use it */
    OWNER_NOBODY,  /* no live task has it, and every expected task of the service is known */
    OWNER_TASK,    /* one task's alone */
    OWNER_SHARED,  /* a host's, with several tasks (host mode) */
    OWNER_LEFT,    /* of a task that said leaving */
    OWNER_PROXY    /* the source's own proxy (Service Connect, 127.255.0.0/16) */
};

enum owner_state { OWNER_IS_LIVE, OWNER_IS_LOST, OWNER_HAS_LEFT };

/* An agent. All borrowed. */
struct owner_agent {
    const char *service, *task, *mode, *netns, *zone, *revision;
    int64_t age_s; /* since its agent started; -1 unknown */
    const char *const *addresses;
    size_t address_count;
    enum owner_state state;
};

struct ownership;

/* `agents` has to outlive it. */
struct ownership *ownership_new(const struct fleet *fleet, const struct owner_agent *agents,
                                size_t count);
struct ownership *ownership_free(struct ownership *ownership);

struct owner {
    enum owner_kind kind;
    const struct owner_agent *agent; /* OWNER_TASK, OWNER_LEFT; OWNER_SHARED: one of them */
};

/* As seen by a source that reached for `service` (an index of the fleet). */
struct owner ownership_find(const struct ownership *ownership, size_t service, const char *address);

/* Whether the address is, for certain, another service's: one task's alone, while `service` has
 * live tasks with addresses of their own, and is not reached `through` that other service. */
bool ownership_is_reused(const struct ownership *ownership, size_t service,
                         const struct owner *owner);

/* Whether an agent can bear witness for what comes to its addresses. */
bool ownership_can_witness(const char *mode);

const char *owner_kind_name(enum owner_kind kind);

#endif
