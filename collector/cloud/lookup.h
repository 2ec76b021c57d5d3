/* lookup: what an estate says of one service, task or name. Pure. */
#ifndef COLLECTOR_CLOUD_LOOKUP_H
#define COLLECTOR_CLOUD_LOOKUP_H

#include "collector/cloud/estate.h"

/* The fleet's service is the ECS service of its name; "CLUSTER.NAME" where two clusters have it.
 * NULL: none, or of two not known which. */
const struct estate_service *lookup_service(const struct estate *estate, const char *name);
const struct estate_deployment *lookup_primary(const struct estate_service *service);
const struct estate_definition *lookup_definition(const struct estate *estate,
                                                  const struct estate_service *service);
bool lookup_is_task_of(const struct estate_task *task, const struct estate_service *service);
/* The running task with that address, or NULL. */
const struct estate_task *lookup_task(const struct estate *estate, const char *address);
const struct estate_interface *lookup_interface(const struct estate *estate, const char *address);
/* The VPC and the first subnet that the service's tasks are in; "": not known. */
const char *lookup_subnet(const struct estate_service *service);
const char *lookup_vpc(const struct estate *estate, const struct estate_service *service);
/* The newest event that says that no task could be placed; that one could not be registered (a
 * permission, say). NULL: none, or it has come to a steady state since. */
const struct estate_event *lookup_placement_event(const struct estate_service *service);
const struct estate_event *lookup_registration_event(const struct estate_service *service);

/* The registry that publishes a name ("api.shop.local"), or NULL. */
const struct estate_registry *lookup_registry(const struct estate *estate, const char *name);
/* The service's registration there, or NULL. */
const struct estate_registration *lookup_registration(const struct estate_service *service,
                                                      const struct estate_registry *registry);
/* What of a registration does not fit the task definition or the record type, in words; false:
 * nothing. */
bool lookup_registration_fault(const struct estate *estate, const struct estate_service *service,
                               const struct estate_registration *registration,
                               const struct estate_registry *registry, struct buf *out);
/* The id of the instance with that address in a registry, or of its record set; of address "" the
 * only one that has none. NULL: not known. */
const char *lookup_instance(const struct estate *estate, const char *name, const char *address);
/* The private DNS namespace that a name is in, or NULL. */
const struct estate_namespace *lookup_namespace(const struct estate *estate, const char *name);
/* Whether the namespace's hosted zone is one of the VPC's. */
bool lookup_is_associated(const struct estate *estate, const struct estate_namespace *namespace,
                          const char *vpc);
/* The longest forwarding rule of the VPC for the name, longer than the name's own zone; NULL: none.
 * (Route 53 Resolver: the most specific rule wins, over a private zone of the same name too.) */
const struct estate_resolver_rule *lookup_resolver_rule(const struct estate *estate,
                                                        const char *name, const char *vpc);

/* The service's first target group whose targets were read, or NULL. */
const struct estate_target_group *lookup_target_group(const struct estate *estate,
                                                      const struct estate_service *service);
/* The interface is of a load balancer that forwards to the group. */
bool lookup_is_balancer_of(const struct estate_interface *interface,
                           const struct estate_target_group *group);
size_t lookup_healthy_targets(const struct estate_target_group *group, const char *zone);

/* `domain` is the name's own or one above it; a dot at the end counts for nothing. */
bool lookup_is_in_domain(const char *name, const char *domain);

#endif
