/* concern: which records of an estate a service's connections go through: its groups, subnets'
 * ACLs and route tables, VPC, registries, zones, target groups. To tell which changes may matter.
 */
#ifndef COLLECTOR_CLOUD_CONCERN_H
#define COLLECTOR_CLOUD_CONCERN_H

#include "collector/cloud/changes.h"

struct concern {
    struct record_list ids; /* texts: as in change.of */
    struct arena arena;
};

/* The ECS service of that name (of the fleet), if the estate has it. */
void concern_add(struct concern *concern, const struct estate *estate, const char *service);
bool concern_has(const struct concern *concern, const struct change *change);
void concern_deinit(struct concern *concern);

#endif
