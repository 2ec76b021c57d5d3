/* estate: what the cloud believes of a fleet, as it was at one moment.
 *
 * Plain records; what the vendor calls something stands in estate.c, beside our name of it. Ids are
 * the vendor's. A part that could not be read is empty, and `missing` says which call failed and
 * why: whoever reads a part asks estate_has() first, since empty is not the same as not known.
 */
#ifndef COLLECTOR_CLOUD_ESTATE_H
#define COLLECTOR_CLOUD_ESTATE_H

#include "collector/cloud/record.h"

/* ---- ECS ---- */

struct estate_registration { /* of a service in a registry (serviceRegistries) */
    const char *registry;    /* ARN */
    const char *container;
    int64_t port, container_port;
};

struct estate_balancing {
    const char *target_group; /* ARN */
    const char *container;
    int64_t port;
};

struct estate_alias {
    const char *name;
    int64_t port;
};

struct estate_connect { /* an endpoint of Service Connect */
    const char *port_name, *discovery_name;
    struct record_list aliases; /* estate_alias */
};

struct estate_deployment {
    const char *id, *status, *definition, *state, *reason; /* state: rolloutState */
    int64_t desired, running, pending, failed;
    int64_t created_ms, updated_ms;
    struct record_list connect; /* estate_connect */
    const char *connect_namespace;
    bool has_connect;
};

struct estate_event {
    int64_t at_ms;
    const char *id, *text;
};

struct estate_service {
    const char *cluster; /* name */
    const char *name, *arn, *status, *definition, *launch, *controller;
    int64_t desired, running, pending, grace_s;
    int64_t min_percent, max_percent;
    bool has_breaker, breaker_rolls_back;
    struct record_list subnets, groups;              /* texts */
    struct record_list registrations, balancings;    /* estate_registration, estate_balancing */
    struct record_list deployments, events, connect; /* the newest events first; connect: of the
                                                        primary deployment */
    const char *connect_namespace;
};

struct estate_container {
    const char *name, *status, *health, *reason;
    int64_t exit_code;
};

struct estate_task {
    const char *cluster, *arn, *group, *definition; /* group: "service:NAME" */
    const char *status, *desired, *health, *launch;
    const char *zone, *subnet, *interface, *address;
    const char *stop_code, *stop_reason;
    int64_t started_ms, stopped_ms;
    struct record_list containers; /* estate_container */
};

struct estate_port {
    int64_t port;
    const char *name, *protocol, *app_protocol;
};

struct estate_container_definition {
    const char *name, *image, *log_driver, *log_group, *log_prefix;
    bool is_essential;
    struct record_list ports;  /* estate_port */
    struct record_list health; /* texts: the command */
    int64_t health_interval_s, health_timeout_s, health_retries, health_start_s;
};

struct estate_definition {
    const char *arn, *family, *network_mode;
    int64_t revision;
    struct record_list containers; /* estate_container_definition */
};

/* ---- Cloud Map and Route 53 ---- */

struct estate_namespace {
    const char *id, *name, *type, *zone; /* type: DNS_PUBLIC, DNS_PRIVATE or HTTP */
};

struct estate_dns_record {
    const char *type;
    int64_t ttl_s;
};

struct estate_instance {
    const char *id, *address, *address6, *zone,
        *health; /* health: HEALTHY, UNHEALTHY, UNKNOWN; "": not asked */
    const char *cluster, *service, *initial_health;
    int64_t port;
};

struct estate_registry { /* a service of Cloud Map */
    const char *id, *arn, *name, *namespace, *routing;
    int64_t instance_count;
    bool is_custom_health, has_health_check;
    struct record_list records;   /* estate_dns_record */
    struct record_list instances; /* estate_instance; where they were asked for */
    bool is_read;                 /* the instances were */
};

struct estate_record {
    const char *name, *type, *id; /* id: the set's; Cloud Map has the instance's there */
    int64_t ttl_s, weight;
    const char *alias, *health_check;
    struct record_list values; /* texts */
};

struct estate_zone {
    const char *id, *name, *vpc; /* associated with that VPC */
    struct record_list records;  /* estate_record */
    bool is_read;
};

struct estate_resolver_rule {
    const char *id, *name, *domain, *type, *status;
    struct record_list targets; /* texts: addresses */
    struct record_list vpcs;    /* texts: that it is associated with */
};

/* ---- the network ---- */

struct estate_vpc {
    const char *id, *dhcp;
    struct record_list blocks, blocks6; /* texts: CIDR */
    bool has_dns_support, has_dns_hostnames, is_dns_read;
};

struct estate_option {
    const char *key;
    struct record_list values;
};

struct estate_dhcp {
    const char *id;
    struct record_list options; /* estate_option */
};

struct estate_subnet {
    const char *id, *vpc, *zone, *block, *block6;
    int64_t free_addresses;
};

struct estate_rule { /* of a security group; of the ends one is given */
    const char *id, *group, *protocol, *block, *block6, *prefix_list;
    const char *peer, *peer_owner, *peer_vpc, *peering; /* a group, of another VPC perhaps */
    const char *description;
    int64_t from, to; /* ports, or ICMP type and code; -1: all */
    bool is_egress;
};

struct estate_group {
    const char *id, *name, *vpc, *owner;
    struct record_list rules; /* estate_rule */
};

struct estate_acl_entry {
    int64_t number, from, to, icmp_type, icmp_code;
    const char *protocol, *action, *block, *block6; /* protocol: a number, or -1 */
    bool is_egress;
};

struct estate_acl {
    const char *id, *vpc;
    bool is_default;
    struct record_list subnets; /* texts */
    struct record_list entries; /* estate_acl_entry */
};

struct estate_route {
    const char *block, *block6, *prefix_list; /* the destination */
    const char *gateway, *nat, *instance, *interface, *peering, *transit, *egress_only, *local;
    const char *state, *origin;
};

struct estate_association {
    const char *subnet;
    bool is_main;
};

struct estate_route_table {
    const char *id, *vpc;
    struct record_list associations; /* estate_association */
    struct record_list routes;       /* estate_route */
};

struct estate_prefix_list {
    const char *id, *name, *owner;
    struct record_list blocks; /* texts */
    bool is_read;
};

struct estate_interface {
    const char *id, *subnet, *vpc, *zone, *status, *type, *description;
    struct record_list addresses, addresses6; /* texts */
    struct record_list groups;                /* texts */
};

/* ---- load balancers ---- */

struct estate_target {
    const char *id, *zone, *state, *reason, *description;
    int64_t port;
};

struct estate_target_group {
    const char *arn, *name, *vpc, *protocol, *protocol_version, *type, *matcher;
    const char *health_protocol, *health_port, *health_path;
    int64_t port, health_interval_s, health_timeout_s;
    struct record_list balancers; /* texts: ARNs */
    struct record_list targets;   /* estate_target */
    bool is_read;                 /* the targets were */
};

/* ---- what happened (inquiry.h) ---- */

struct estate_trail_event {                   /* CloudTrail */
    const char *id, *name, *source, *by, *of; /* of: the resource that was asked about */
    const char *detail;                       /* the request's parameters and what came of it */
    int64_t at_ms;
};

struct estate_flow_log { /* a VPC's, a subnet's or an interface's */
    const char *id, *resource, *status, *traffic, *destination, *group, *format;
};

struct estate_flow { /* one record of it; of the pairs that fail */
    const char *interface, *from, *to, *action, *status;
    int64_t from_port, to_port, protocol, packets;
    int64_t begin_ms, end_ms;
};

struct estate_log_line { /* of a container that is unhealthy, or has stopped */
    const char *task, *container, *group, *text;
    int64_t at_ms;
};

/* ---- what could not be read ---- */

struct estate_missing {
    const char *call;      /* "ecs:ListTasks": also the permission's name */
    const char *code;      /* the vendor's, or one of aws_request's */
    const char *text, *of; /* of: the cluster, VPC, ... that was asked about */
    bool is_permission;    /* it is not allowed */
    int64_t count;         /* calls that failed so */
};

enum estate_part {
    ESTATE_SERVICES,
    ESTATE_TASKS,
    ESTATE_DEFINITIONS,
    ESTATE_NAMESPACES,
    ESTATE_REGISTRIES,
    ESTATE_ZONES,
    ESTATE_RESOLVER_RULES,
    ESTATE_VPCS,
    ESTATE_DHCP,
    ESTATE_SUBNETS,
    ESTATE_GROUPS,
    ESTATE_ACLS,
    ESTATE_ROUTE_TABLES,
    ESTATE_PREFIX_LISTS,
    ESTATE_INTERFACES,
    ESTATE_TARGET_GROUPS,
    ESTATE_TRAIL,
    ESTATE_FLOW_LOGS,
    ESTATE_FLOWS,
    ESTATE_LOG_LINES,
    ESTATE_MISSING,
    ESTATE_PART_COUNT
};

struct estate {
    struct record_list parts[ESTATE_PART_COUNT];
    int64_t taken_ms;         /* wall clock, when it was begun */
    int64_t network_taken_ms; /* the network's parts may be up to a minute older */
    bool is_network_whole;    /* all of it was read; not stored */
    const char *region;
    struct arena arena;
};

struct estate *estate_new(void);
struct estate *estate_free(struct estate *estate); /* accepts NULL */

const char *estate_part_name(enum estate_part part);
const struct record_type *estate_type(enum estate_part part);
size_t estate_count(const struct estate *estate, enum estate_part part);
/* A new, zeroed record. */
void *estate_add(struct estate *estate, enum estate_part part);
/* The record whose first text (its id, or ARN for a definition) is this one, or NULL. */
void *estate_find(const struct estate *estate, enum estate_part part, const char *id);
struct estate_service *estate_find_service(const struct estate *estate, const char *cluster,
                                           const char *name);

/* Every part in the order of its ids, however the answers came: so two estates that say the same
 * are the same. Pointers to records are void then. */
void estate_sort(struct estate *estate);

/* Takes down that a call failed; what fails the same way is counted. */
void estate_note_missing(struct estate *estate, const char *call, const char *of, const char *code,
                         const char *text, bool is_permission);
/* Nothing that belongs to the call is missing. */
bool estate_has(const struct estate *estate, const char *call);

/* One part as a JSON list; and back. -EINVAL with `err`: not such a list. */
void estate_write_part(const struct estate *estate, enum estate_part part, struct buf *out);
int estate_read_part(struct estate *estate, enum estate_part part, const char *json, size_t length,
                     struct error *err);
/* A part of another estate, copied. */
void estate_copy_part(struct estate *estate, const struct estate *from, enum estate_part part);

/* The last part of an ARN: "arn:aws:ecs:eu-west-1:123:cluster/shop" is shop; of "family:3" itself.
 */
const char *estate_short_name(const char *arn);

#endif
