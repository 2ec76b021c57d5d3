/* identity: who this agent says it is: flags and environment first, then the ECS task metadata
 * endpoint (agent/metadata), then what the host shows.
 */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include "common/arena.h"
#include "common/error.h"

#include <stdbool.h>

/* Each is NULL while unknown; strings are borrowed, or live in the arena. */
struct identity {
    const char *cluster, *service, *task, *zone, *mode, *revision;
    bool is_ecs; /* there is a task metadata endpoint */
    char instance[17];
    struct arena arena;
};

/* Fills what is still NULL from a task metadata document. -EINVAL with `err` set. */
int identity_parse_metadata(struct identity *identity, const char *json, size_t length,
                            struct error *err);

/* Completes `identity`: metadata when its environment variable is set (a failure there is logged,
 * not fatal), the host name as task, a fresh instance. -EINVAL when there is no service. */
int identity_complete(struct identity *identity, struct error *err);

void identity_deinit(struct identity *identity);

#endif
