/* registry: the agents that said hello, and whether they are still there.
 *
 * live: its connection is up. lost: the connection went away less than REGISTRY_EXPIRE_MS ago; it
 * may come back. An agent that says leaving, is replaced by a newer instance of the same task, or
 * stays lost is forgotten.
 */
#ifndef COLLECTOR_REGISTRY_H
#define COLLECTOR_REGISTRY_H

#include "collector/fleet.h"
#include "collector/hub.h"
#include "proto/proto.h"

#include <uthash.h>

#define REGISTRY_AGENTS_MAX 20000
#define REGISTRY_EXPIRE_MS  120000
#define REGISTRY_LOST_MS    15000 /* lost for longer: not planned into a run any more */

/* How often one of an agent's own limits held. */
struct registry_counter {
    char name[33];
    int64_t count;
};

struct agent {
    const char *cluster, *service, *task, *instance, *version, *zone, *mode, *revision, *netns;
    const char **addresses, **resolvers, **checks;
    size_t address_count, resolver_count, check_count;
    struct arena arena;                                   /* owns the above */
    int64_t dns_rate;                                     /* names a second */
    struct registry_counter counters[PROTO_COUNTERS_MAX]; /* as it last told */
    size_t counter_count;

    uint32_t link;          /* of the hub; 0 while lost */
    uint64_t since_us;      /* first hello of this instance */
    int64_t age_s;          /* of the agent at that moment */
    uint64_t change_us;     /* when the link last went up or down */
    struct hub_ticket pull; /* held until there is work */
    int64_t pull_epoch;
    uint64_t pull_us;
    bool is_busy; /* wants no assignment now */
    int64_t *got; /* as its last pull said; owned */
    size_t got_count;
    uint64_t reports;
    const char *place; /* cluster, service and task as one key */
    UT_hash_handle hh;
    UT_hash_handle by_place;
};

struct registry {
    struct agent *agents; /* by instance */
    struct agent *places; /* the same, by place */
    uint64_t refused;     /* hellos beyond REGISTRY_AGENTS_MAX */
};

struct agent *registry_find(const struct registry *registry, const char *instance);

/* Registers the agent, or takes note that it is back. `*ret_replaced` is an older instance of the
 * same task, out of the registry, for the caller to free; or NULL. NULL when the registry is full.
 */
struct agent *registry_hello(struct registry *registry, const struct proto_hello *hello,
                             uint32_t link, uint64_t now_us, struct agent **ret_replaced);

/* The link is down: its agents are lost. */
void registry_link_down(struct registry *registry, uint32_t link, uint64_t now_us);

/* Takes the agent out; agent_record_free() is the caller's. */
void registry_remove(struct registry *registry, struct agent *agent);
struct agent *agent_record_free(struct agent *agent);

/* The next agent that has been lost for too long, out of the registry; NULL: no more. */
struct agent *registry_expire(struct registry *registry, uint64_t now_us);

bool agent_is_live(const struct agent *agent);
/* Live, or lost so shortly that it may be on its way back. */
bool agent_is_expected(const struct agent *agent, uint64_t now_us);

bool agent_has_address(const struct agent *agent, const char *address);
/* Whether its last pull says that it has this assignment. */
bool agent_has_got(const struct agent *agent, int64_t assignment);

/* Takes over what an agent says of its limits. */
void agent_set_counters(struct agent *agent, const struct proto_counter *counters, size_t count);

void registry_deinit(struct registry *registry);

#endif
