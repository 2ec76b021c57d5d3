/* discover: a fleet file out of an estate: how each ECS service is found, and what answers there.
 *
 * Pure. Names come from the registries (Cloud Map), else from Service Connect; ports and checks
 * from where the registration or load balancer leads, the target group's and the container's health
 * checks, the port mappings, and well-known ports. What is guessed is said in a comment.
 */
#ifndef COLLECTOR_CLOUD_DISCOVER_H
#define COLLECTOR_CLOUD_DISCOVER_H

#include "collector/cloud/estate.h"
#include "common/buf.h"

struct discover_settings {
    const char *fleet;   /* its name */
    const char *heading; /* a line of comment at the top; "": none */
    bool is_explicit;    /* every name is written out: no `namespace` */
};

/* Writes the file (YAML); the number of services in it. */
size_t discover_fleet(const struct estate *estate, const struct discover_settings *settings,
                      struct buf *out);

#endif
