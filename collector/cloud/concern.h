/* concern: which records of an estate a service's connections go through: its groups, subnets'
 * ACLs and route tables, VPC, registries, zones, target groups. To tell which changes may matter.
 */
#ifndef COLLECTOR_CLOUD_CONCERN_H
#define COLLECTOR_CLOUD_CONCERN_H

#include "collector/cloud/changes.h"

struct concern {
    struct record_list ids;     /* texts: as in change.of */
    struct record_list subnets; /* texts: looked at already in this estate */
    struct arena arena;
};

/* The ECS service of that name (of the fleet), if the estate has it. Of two estates each adds what
 * it has: a subnet may have had another ACL then. */
void concern_add(struct concern *concern, const struct estate *estate, const char *service);
bool concern_has(const struct concern *concern, const struct change *change);
void concern_deinit(struct concern *concern);

#endif
