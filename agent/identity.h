/* identity: who this agent says it is: flags and environment first, then the ECS task metadata
 * endpoint (version 4), then what the host shows.
 *
 * Source: Amazon ECS Developer Guide, "task metadata endpoint version 4",
 * ${ECS_CONTAINER_METADATA_URI_V4}/task.
 */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include "common/arena.h"
#include "common/error.h"

#include <stdbool.h>

#define IDENTITY_METADATA_ENV "ECS_CONTAINER_METADATA_URI_V4"
#define IDENTITY_METADATA_MAX (256 * 1024) /* bytes of the answer */
#define IDENTITY_METADATA_MS  2000         /* for the whole exchange */

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
