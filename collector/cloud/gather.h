/* gather: reads an estate out of AWS: as few calls as will do, many at once, within a deadline.
 *
 * Whole lists, never a call a pair. What cannot be read is noted in the estate (`missing`) and left
 * out; nothing is waited for beyond the deadline. Of a former estate it takes over what cannot have
 * changed (task definitions) and what is less than GATHER_NETWORK_MS old (the network).
 */
#ifndef COLLECTOR_CLOUD_GATHER_H
#define COLLECTOR_CLOUD_GATHER_H

#include "collector/cloud/aws.h"
#include "collector/cloud/estate.h"

#define GATHER_DEADLINE_MS 20000
#define GATHER_STAGES      4 /* so many in that time: a slow answer holds up its own stage only */
#define GATHER_NETWORK_MS  60000
#define GATHER_TASKS_MAX   20000
#define GATHER_STOPPED_MAX 200 /* stopped tasks that are described, in all */
#define GATHER_ASKED_MAX \
    50 /* registries that are asked one by one, where records and tasks differ */
#define GATHER_CLUSTERS_MAX   16
#define GATHER_NAMESPACES_MAX 50 /* as many as an account may have, unless it asks for more */

struct gather;

struct gather_request {
    const char *const *clusters; /* names or ARNs */
    size_t cluster_count;
    bool is_fleet_only;          /* what a fleet file is made of: no tasks, no network */
    bool is_fresh;               /* the former's network will not do */
    const struct estate *former; /* or NULL; borrowed until it is over */
    int64_t deadline_ms;         /* 0: GATHER_DEADLINE_MS */
};

/* The estate is the callee's. Never called before gather_begin() has returned. */
typedef void (*gather_fn)(void *ctx, struct estate *estate);

struct gather *gather_begin(struct aws *aws, struct loop *loop,
                            const struct gather_request *request, gather_fn fn, void *ctx);
/* Not one that is over. Accepts NULL. */
struct gather *gather_cancel(struct gather *gather);

#endif
