/* Our records, and where each of their fields stands in the vendor's answers. Sources: the service
 * models of ECS 2014-11-13, Cloud Map 2017-03-14, EC2 2016-11-15, ELBv2 2015-12-01, Route 53
 * 2013-04-01 and Route 53 Resolver 2018-04-01. */
#include "collector/cloud/estate.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(type, field, path)                                                \
    {                                                                          \
#field, path, RECORD_TEXT, offsetof(struct estate_##type, field), NULL \
    }
#define INT(type, field, path)                                                \
    {                                                                         \
#field, path, RECORD_INT, offsetof(struct estate_##type, field), NULL \
    }
#define BOOL(type, field, path)                                                \
    {                                                                          \
#field, path, RECORD_BOOL, offsetof(struct estate_##type, field), NULL \
    }
#define TIME(type, field, key, path)                                        \
    {                                                                       \
        key, path, RECORD_TIME, offsetof(struct estate_##type, field), NULL \
    }
#define TEXTS(type, field, path)                                                \
    {                                                                           \
#field, path, RECORD_TEXTS, offsetof(struct estate_##type, field), NULL \
    }
#define LIST(type, field, path, of)                                                  \
    {                                                                                \
#field, path, RECORD_LIST, offsetof(struct estate_##type, field), &of##_type \
    }
#define TYPE(type)                                                                              \
    static const struct record_type type##_type = {sizeof(struct estate_##type), type##_fields, \
                                                   sizeof(type##_fields) /                      \
                                                       sizeof(type##_fields[0])}

/* clang-format off */

/* ---- ECS ---- */

static const struct record_field registration_fields[] = {
    TEXT(registration, registry, "registryArn"),
    TEXT(registration, container, "containerName"),
    INT(registration, port, "port"),
    INT(registration, container_port, "containerPort"),
};
TYPE(registration);

static const struct record_field balancing_fields[] = {
    TEXT(balancing, target_group, "targetGroupArn"),
    TEXT(balancing, container, "containerName"),
    INT(balancing, port, "containerPort"),
};
TYPE(balancing);

static const struct record_field alias_fields[] = {
    TEXT(alias, name, "dnsName"),
    INT(alias, port, "port"),
};
TYPE(alias);

static const struct record_field connect_fields[] = {
    TEXT(connect, port_name, "portName"),
    TEXT(connect, discovery_name, "discoveryName"),
    LIST(connect, aliases, "clientAliases", alias),
};
TYPE(connect);

static const struct record_field deployment_fields[] = {
    TEXT(deployment, id, "id"),
    TEXT(deployment, status, "status"),
    TEXT(deployment, definition, "taskDefinition"),
    TEXT(deployment, state, "rolloutState"),
    TEXT(deployment, reason, "rolloutStateReason"),
    INT(deployment, desired, "desiredCount"),
    INT(deployment, running, "runningCount"),
    INT(deployment, pending, "pendingCount"),
    INT(deployment, failed, "failedTasks"),
    TIME(deployment, created_ms, "created", "createdAt"),
    TIME(deployment, updated_ms, "updated", "updatedAt"),
    BOOL(deployment, has_connect, "serviceConnectConfiguration/enabled"),
    TEXT(deployment, connect_namespace, "serviceConnectConfiguration/namespace"),
    LIST(deployment, connect, "serviceConnectConfiguration/services", connect),
};
TYPE(deployment);

static const struct record_field event_fields[] = {
    TIME(event, at_ms, "at", "createdAt"),
    TEXT(event, id, "id"),
    TEXT(event, text, "message"),
};
TYPE(event);

static const struct record_field service_fields[] = {
    TEXT(service, arn, "serviceArn"),
    TEXT(service, cluster, "clusterArn"),
    TEXT(service, name, "serviceName"),
    TEXT(service, status, "status"),
    TEXT(service, definition, "taskDefinition"),
    TEXT(service, launch, "launchType"),
    TEXT(service, controller, "deploymentController/type"),
    INT(service, desired, "desiredCount"),
    INT(service, running, "runningCount"),
    INT(service, pending, "pendingCount"),
    INT(service, grace_s, "healthCheckGracePeriodSeconds"),
    INT(service, min_percent, "deploymentConfiguration/minimumHealthyPercent"),
    INT(service, max_percent, "deploymentConfiguration/maximumPercent"),
    BOOL(service, has_breaker, "deploymentConfiguration/deploymentCircuitBreaker/enable"),
    BOOL(service, breaker_rolls_back, "deploymentConfiguration/deploymentCircuitBreaker/rollback"),
    TEXTS(service, subnets, "networkConfiguration/awsvpcConfiguration/subnets"),
    TEXTS(service, groups, "networkConfiguration/awsvpcConfiguration/securityGroups"),
    LIST(service, registrations, "serviceRegistries", registration),
    LIST(service, balancings, "loadBalancers", balancing),
    LIST(service, deployments, "deployments", deployment),
    LIST(service, events, "events", event),
    LIST(service, connect, NULL, connect),
    TEXT(service, connect_namespace, NULL),
};
TYPE(service);

static const struct record_field container_fields[] = {
    TEXT(container, name, "name"),
    TEXT(container, status, "lastStatus"),
    TEXT(container, health, "healthStatus"),
    TEXT(container, reason, "reason"),
    INT(container, exit_code, "exitCode"),
};
TYPE(container);

static const struct record_field task_fields[] = {
    TEXT(task, arn, "taskArn"),
    TEXT(task, cluster, "clusterArn"),
    TEXT(task, group, "group"),
    TEXT(task, definition, "taskDefinitionArn"),
    TEXT(task, status, "lastStatus"),
    TEXT(task, desired, "desiredStatus"),
    TEXT(task, health, "healthStatus"),
    TEXT(task, launch, "launchType"),
    TEXT(task, zone, "availabilityZone"),
    TEXT(task, subnet, NULL), /* of its attachments */
    TEXT(task, interface, NULL),
    TEXT(task, address, NULL),
    TEXT(task, stop_code, "stopCode"),
    TEXT(task, stop_reason, "stoppedReason"),
    TIME(task, started_ms, "started", "startedAt"),
    TIME(task, stopped_ms, "stopped", "stoppedAt"),
    LIST(task, containers, "containers", container),
};
TYPE(task);

static const struct record_field port_fields[] = {
    INT(port, port, "containerPort"),
    TEXT(port, name, "name"),
    TEXT(port, protocol, "protocol"),
    TEXT(port, app_protocol, "appProtocol"),
};
TYPE(port);

static const struct record_field container_definition_fields[] = {
    TEXT(container_definition, name, "name"),
    TEXT(container_definition, image, "image"),
    TEXT(container_definition, log_driver, "logConfiguration/logDriver"),
    TEXT(container_definition, log_group, "logConfiguration/options/awslogs-group"),
    TEXT(container_definition, log_prefix, "logConfiguration/options/awslogs-stream-prefix"),
    BOOL(container_definition, is_essential, "essential"),
    LIST(container_definition, ports, "portMappings", port),
    TEXTS(container_definition, health, "healthCheck/command"),
    INT(container_definition, health_interval_s, "healthCheck/interval"),
    INT(container_definition, health_timeout_s, "healthCheck/timeout"),
    INT(container_definition, health_retries, "healthCheck/retries"),
    INT(container_definition, health_start_s, "healthCheck/startPeriod"),
};
TYPE(container_definition);

static const struct record_field definition_fields[] = {
    TEXT(definition, arn, "taskDefinitionArn"),
    TEXT(definition, family, "family"),
    TEXT(definition, network_mode, "networkMode"),
    INT(definition, revision, "revision"),
    LIST(definition, containers, "containerDefinitions", container_definition),
};
TYPE(definition);

/* ---- Cloud Map, Route 53 ---- */

static const struct record_field namespace_fields[] = {
    TEXT(namespace, id, "Id"),
    TEXT(namespace, name, "Name"),
    TEXT(namespace, type, "Type"),
    TEXT(namespace, zone, "Properties/DnsProperties/HostedZoneId"),
};
TYPE(namespace);

static const struct record_field dns_record_fields[] = {
    TEXT(dns_record, type, "Type"),
    INT(dns_record, ttl_s, "TTL"),
};
TYPE(dns_record);

static const struct record_field instance_fields[] = {
    TEXT(instance, id, "Id"),
    TEXT(instance, address, "Attributes/AWS_INSTANCE_IPV4"),
    TEXT(instance, address6, "Attributes/AWS_INSTANCE_IPV6"),
    INT(instance, port, "Attributes/AWS_INSTANCE_PORT"),
    TEXT(instance, zone, "Attributes/AVAILABILITY_ZONE"),
    TEXT(instance, health, NULL),
    TEXT(instance, cluster, "Attributes/ECS_CLUSTER_NAME"),
    TEXT(instance, service, "Attributes/ECS_SERVICE_NAME"),
    TEXT(instance, initial_health, "Attributes/AWS_INIT_HEALTH_STATUS"),
};
TYPE(instance);

static const struct record_field registry_fields[] = {
    TEXT(registry, id, "Id"),
    TEXT(registry, arn, "Arn"),
    TEXT(registry, name, "Name"),
    TEXT(registry, namespace, "DnsConfig/NamespaceId"),
    TEXT(registry, routing, "DnsConfig/RoutingPolicy"),
    INT(registry, instance_count, "InstanceCount"),
    BOOL(registry, is_custom_health, NULL),
    BOOL(registry, has_health_check, NULL),
    LIST(registry, records, "DnsConfig/DnsRecords", dns_record),
    LIST(registry, instances, NULL, instance),
    BOOL(registry, is_read, NULL),
};
TYPE(registry);

static const struct record_field record_fields[] = {
    TEXT(record, name, "Name"),
    TEXT(record, type, "Type"),
    TEXT(record, id, "SetIdentifier"),
    INT(record, ttl_s, "TTL"),
    INT(record, weight, "Weight"),
    TEXT(record, alias, "AliasTarget/DNSName"),
    TEXT(record, health_check, "HealthCheckId"),
    TEXTS(record, values, "ResourceRecords:Value"),
};
TYPE(record);

static const struct record_field zone_fields[] = {
    TEXT(zone, id, "HostedZoneId"),
    TEXT(zone, name, "Name"),
    TEXT(zone, vpc, NULL),
    BOOL(zone, is_read, NULL),
    LIST(zone, records, NULL, record),
};
TYPE(zone);

static const struct record_field resolver_rule_fields[] = {
    TEXT(resolver_rule, id, "Id"),
    TEXT(resolver_rule, name, "Name"),
    TEXT(resolver_rule, domain, "DomainName"),
    TEXT(resolver_rule, type, "RuleType"),
    TEXT(resolver_rule, status, "Status"),
    TEXTS(resolver_rule, targets, "TargetIps:Ip"),
    TEXTS(resolver_rule, vpcs, NULL),
};
TYPE(resolver_rule);

/* ---- EC2 ---- */

static const struct record_field vpc_fields[] = {
    TEXT(vpc, id, "vpcId"),
    TEXT(vpc, dhcp, "dhcpOptionsId"),
    TEXTS(vpc, blocks, "cidrBlockAssociationSet:cidrBlock"),
    TEXTS(vpc, blocks6, "ipv6CidrBlockAssociationSet:ipv6CidrBlock"),
    BOOL(vpc, has_dns_support, NULL),
    BOOL(vpc, has_dns_hostnames, NULL),
    BOOL(vpc, is_dns_read, NULL),
};
TYPE(vpc);

static const struct record_field option_fields[] = {
    TEXT(option, key, "key"),
    TEXTS(option, values, "valueSet:value"),
};
TYPE(option);

static const struct record_field dhcp_fields[] = {
    TEXT(dhcp, id, "dhcpOptionsId"),
    LIST(dhcp, options, "dhcpConfigurationSet", option),
};
TYPE(dhcp);

static const struct record_field subnet_fields[] = {
    TEXT(subnet, id, "subnetId"),
    TEXT(subnet, vpc, "vpcId"),
    TEXT(subnet, zone, "availabilityZone"),
    TEXT(subnet, block, "cidrBlock"),
    TEXT(subnet, block6, "ipv6CidrBlockAssociationSet/item/ipv6CidrBlock"),
    INT(subnet, free_addresses, "availableIpAddressCount"),
};
TYPE(subnet);

static const struct record_field rule_fields[] = {
    TEXT(rule, id, "securityGroupRuleId"),
    TEXT(rule, group, "groupId"),
    BOOL(rule, is_egress, "isEgress"),
    TEXT(rule, protocol, "ipProtocol"),
    INT(rule, from, "fromPort"),
    INT(rule, to, "toPort"),
    TEXT(rule, block, "cidrIpv4"),
    TEXT(rule, block6, "cidrIpv6"),
    TEXT(rule, prefix_list, "prefixListId"),
    TEXT(rule, peer, "referencedGroupInfo/groupId"),
    TEXT(rule, peer_owner, "referencedGroupInfo/userId"),
    TEXT(rule, peer_vpc, "referencedGroupInfo/vpcId"),
    TEXT(rule, peering, "referencedGroupInfo/peeringStatus"),
    TEXT(rule, description, "description"),
};
TYPE(rule);

static const struct record_field group_fields[] = {
    TEXT(group, id, "groupId"),
    TEXT(group, name, "groupName"),
    TEXT(group, vpc, "vpcId"),
    TEXT(group, owner, "ownerId"),
    LIST(group, rules, NULL, rule),
};
TYPE(group);

static const struct record_field acl_entry_fields[] = {
    INT(acl_entry, number, "ruleNumber"),
    BOOL(acl_entry, is_egress, "egress"),
    TEXT(acl_entry, action, "ruleAction"),
    TEXT(acl_entry, protocol, "protocol"),
    TEXT(acl_entry, block, "cidrBlock"),
    TEXT(acl_entry, block6, "ipv6CidrBlock"),
    INT(acl_entry, from, "portRange/from"),
    INT(acl_entry, to, "portRange/to"),
    INT(acl_entry, icmp_type, "icmpTypeCode/type"),
    INT(acl_entry, icmp_code, "icmpTypeCode/code"),
};
TYPE(acl_entry);

static const struct record_field acl_fields[] = {
    TEXT(acl, id, "networkAclId"),
    TEXT(acl, vpc, "vpcId"),
    BOOL(acl, is_default, "default"),
    TEXTS(acl, subnets, "associationSet:subnetId"),
    LIST(acl, entries, "entrySet", acl_entry),
};
TYPE(acl);

static const struct record_field route_fields[] = {
    TEXT(route, block, "destinationCidrBlock"),
    TEXT(route, block6, "destinationIpv6CidrBlock"),
    TEXT(route, prefix_list, "destinationPrefixListId"),
    TEXT(route, gateway, "gatewayId"),
    TEXT(route, nat, "natGatewayId"),
    TEXT(route, instance, "instanceId"),
    TEXT(route, interface, "networkInterfaceId"),
    TEXT(route, peering, "vpcPeeringConnectionId"),
    TEXT(route, transit, "transitGatewayId"),
    TEXT(route, egress_only, "egressOnlyInternetGatewayId"),
    TEXT(route, local, "localGatewayId"),
    TEXT(route, state, "state"),
    TEXT(route, origin, "origin"),
};
TYPE(route);

static const struct record_field association_fields[] = {
    TEXT(association, subnet, "subnetId"),
    BOOL(association, is_main, "main"),
};
TYPE(association);

static const struct record_field route_table_fields[] = {
    TEXT(route_table, id, "routeTableId"),
    TEXT(route_table, vpc, "vpcId"),
    LIST(route_table, associations, "associationSet", association),
    LIST(route_table, routes, "routeSet", route),
};
TYPE(route_table);

static const struct record_field prefix_list_fields[] = {
    TEXT(prefix_list, id, "prefixListId"),
    TEXT(prefix_list, name, "prefixListName"),
    TEXT(prefix_list, owner, "ownerId"),
    TEXTS(prefix_list, blocks, NULL),
    BOOL(prefix_list, is_read, NULL),
};
TYPE(prefix_list);

static const struct record_field interface_fields[] = {
    TEXT(interface, id, "networkInterfaceId"),
    TEXT(interface, subnet, "subnetId"),
    TEXT(interface, vpc, "vpcId"),
    TEXT(interface, zone, "availabilityZone"),
    TEXT(interface, status, "status"),
    TEXT(interface, type, "interfaceType"),
    TEXT(interface, description, "description"),
    TEXTS(interface, addresses, "privateIpAddressesSet:privateIpAddress"),
    TEXTS(interface, addresses6, "ipv6AddressesSet:ipv6Address"),
    TEXTS(interface, groups, "groupSet:groupId"),
};
TYPE(interface);

/* ---- load balancers ---- */

static const struct record_field target_fields[] = {
    TEXT(target, id, "Target/Id"),
    INT(target, port, "Target/Port"),
    TEXT(target, zone, "Target/AvailabilityZone"),
    TEXT(target, state, "TargetHealth/State"),
    TEXT(target, reason, "TargetHealth/Reason"),
    TEXT(target, description, "TargetHealth/Description"),
};
TYPE(target);

static const struct record_field target_group_fields[] = {
    TEXT(target_group, arn, "TargetGroupArn"),
    TEXT(target_group, name, "TargetGroupName"),
    TEXT(target_group, vpc, "VpcId"),
    TEXT(target_group, type, "TargetType"),
    TEXT(target_group, protocol, "Protocol"),
    TEXT(target_group, protocol_version, "ProtocolVersion"),
    INT(target_group, port, "Port"),
    TEXT(target_group, health_protocol, "HealthCheckProtocol"),
    TEXT(target_group, health_port, "HealthCheckPort"),
    TEXT(target_group, health_path, "HealthCheckPath"),
    TEXT(target_group, matcher, "Matcher/HttpCode"),
    INT(target_group, health_interval_s, "HealthCheckIntervalSeconds"),
    INT(target_group, health_timeout_s, "HealthCheckTimeoutSeconds"),
    TEXTS(target_group, balancers, "LoadBalancerArns"),
    LIST(target_group, targets, NULL, target),
    BOOL(target_group, is_read, NULL),
};
TYPE(target_group);

/* ---- CloudTrail, flow logs, task logs ---- */

static const struct record_field trail_event_fields[] = {
    TEXT(trail_event, id, "EventId"),
    TEXT(trail_event, name, "EventName"),
    TEXT(trail_event, source, "EventSource"),
    TEXT(trail_event, by, "Username"),
    TEXT(trail_event, of, NULL),
    TIME(trail_event, at_ms, "at", "EventTime"),
    TEXT(trail_event, detail, "CloudTrailEvent"),
};
TYPE(trail_event);

static const struct record_field flow_log_fields[] = {
    TEXT(flow_log, id, "flowLogId"),
    TEXT(flow_log, resource, "resourceId"),
    TEXT(flow_log, status, "flowLogStatus"),
    TEXT(flow_log, traffic, "trafficType"),
    TEXT(flow_log, destination, "logDestinationType"),
    TEXT(flow_log, group, "logGroupName"),
    TEXT(flow_log, format, "logFormat"),
};
TYPE(flow_log);

static const struct record_field flow_fields[] = {
    TEXT(flow, interface, NULL),
    TEXT(flow, from, NULL),
    TEXT(flow, to, NULL),
    INT(flow, from_port, NULL),
    INT(flow, to_port, NULL),
    INT(flow, protocol, NULL),
    INT(flow, packets, NULL),
    TIME(flow, begin_ms, "begin", NULL),
    TIME(flow, end_ms, "end", NULL),
    TEXT(flow, action, NULL),
    TEXT(flow, status, NULL),
};
TYPE(flow);

static const struct record_field log_line_fields[] = {
    TEXT(log_line, task, NULL),
    TEXT(log_line, container, NULL),
    TEXT(log_line, group, NULL),
    TIME(log_line, at_ms, "at", NULL),
    TEXT(log_line, text, NULL),
};
TYPE(log_line);

static const struct record_field missing_fields[] = {
    TEXT(missing, call, NULL),
    TEXT(missing, of, NULL),
    TEXT(missing, code, NULL),
    TEXT(missing, text, NULL),
    BOOL(missing, is_permission, NULL),
    INT(missing, count, NULL),
};
TYPE(missing);

static const struct {
    const char *name;
    const struct record_type *type;
} parts[ESTATE_PART_COUNT] = {
    [ESTATE_SERVICES] = {"services", &service_type},
    [ESTATE_TASKS] = {"tasks", &task_type},
    [ESTATE_DEFINITIONS] = {"definitions", &definition_type},
    [ESTATE_NAMESPACES] = {"namespaces", &namespace_type},
    [ESTATE_REGISTRIES] = {"registries", &registry_type},
    [ESTATE_ZONES] = {"zones", &zone_type},
    [ESTATE_RESOLVER_RULES] = {"resolver_rules", &resolver_rule_type},
    [ESTATE_VPCS] = {"vpcs", &vpc_type},
    [ESTATE_DHCP] = {"dhcp", &dhcp_type},
    [ESTATE_SUBNETS] = {"subnets", &subnet_type},
    [ESTATE_GROUPS] = {"groups", &group_type},
    [ESTATE_ACLS] = {"acls", &acl_type},
    [ESTATE_ROUTE_TABLES] = {"route_tables", &route_table_type},
    [ESTATE_PREFIX_LISTS] = {"prefix_lists", &prefix_list_type},
    [ESTATE_INTERFACES] = {"interfaces", &interface_type},
    [ESTATE_TARGET_GROUPS] = {"target_groups", &target_group_type},
    [ESTATE_TRAIL] = {"trail", &trail_event_type},
    [ESTATE_FLOW_LOGS] = {"flow_logs", &flow_log_type},
    [ESTATE_FLOWS] = {"flows", &flow_type},
    [ESTATE_LOG_LINES] = {"log_lines", &log_line_type},
    [ESTATE_MISSING] = {"missing", &missing_type},
};

/* clang-format on */

struct estate *estate_new(void)
{
    struct estate *estate = mem_alloc(sizeof(*estate));

    estate->region = "";
    return estate;
}

struct estate *estate_free(struct estate *estate)
{
    if (estate)
        arena_deinit(&estate->arena);
    mem_free(estate);
    return NULL;
}

const char *estate_part_name(enum estate_part part)
{
    return parts[part].name;
}

const struct record_type *estate_type(enum estate_part part)
{
    return parts[part].type;
}

size_t estate_count(const struct estate *estate, enum estate_part part)
{
    return estate->parts[part].count;
}

void *estate_add(struct estate *estate, enum estate_part part)
{
    return record_add(&estate->arena, &estate->parts[part], parts[part].type->size);
}

/* Every type's first field is its id. */
void *estate_find(const struct estate *estate, enum estate_part part, const char *id)
{
    const struct record_list *list = &estate->parts[part];
    const struct record_type *type = parts[part].type;

    for (size_t i = 0; i < list->count; i++) {
        char *record = (char *)list->items + i * type->size;
        if (strcmp(*(const char **)(record + type->fields[0].offset), id) == 0)
            return record;
    }
    return NULL;
}

/* `offset`: of the id. */
static int by_id(const void *a, const void *b, void *offset)
{
    const char *const *x = (const void *)((const char *)a + *(const size_t *)offset);
    const char *const *y = (const void *)((const char *)b + *(const size_t *)offset);

    return strcmp(*x, *y);
}

void estate_sort(struct estate *estate)
{
    for (int i = 0; i < ESTATE_PART_COUNT; i++) {
        const struct record_type *type = parts[i].type;
        size_t offset = type->fields[0].offset;
        if (estate->parts[i].count)
            qsort_r(estate->parts[i].items, estate->parts[i].count, type->size, by_id, &offset);
    }
}

struct estate_service *estate_find_service(const struct estate *estate, const char *cluster,
                                           const char *name)
{
    struct estate_service *services = estate->parts[ESTATE_SERVICES].items;

    for (size_t i = 0; i < estate->parts[ESTATE_SERVICES].count; i++)
        if (strcmp(services[i].name, name) == 0 && strcmp(services[i].cluster, cluster) == 0)
            return &services[i];
    return NULL;
}

void estate_note_missing(struct estate *estate, const char *call, const char *of, const char *code,
                         const char *text, bool is_permission)
{
    struct estate_missing *list = estate->parts[ESTATE_MISSING].items, *missing;

    for (size_t i = 0; i < estate->parts[ESTATE_MISSING].count; i++)
        if (strcmp(list[i].call, call) == 0 && strcmp(list[i].code, code) == 0) {
            list[i].count++;
            return;
        }
    missing = estate_add(estate, ESTATE_MISSING);
    *missing = (struct estate_missing){
        .call = arena_strdup(&estate->arena, call),
        .code = arena_strdup(&estate->arena, code),
        .text = arena_strdup(&estate->arena, text),
        .of = arena_strdup(&estate->arena, of),
        .is_permission = is_permission,
        .count = 1,
    };
}

bool estate_has(const struct estate *estate, const char *call)
{
    return !estate_find(estate, ESTATE_MISSING, call);
}

void estate_write_part(const struct estate *estate, enum estate_part part, struct buf *out)
{
    record_write_list(parts[part].type, &estate->parts[part], out);
}

int estate_read_part(struct estate *estate, enum estate_part part, const char *json, size_t length,
                     struct error *err)
{
    struct arena arena = {0};
    const struct tree *root = tree_parse_json(&arena, json, length, err);
    int r = root ? 0 : -EINVAL;

    if (root && root->text)
        r = error_set(err, -EINVAL, "%s: not a list", parts[part].name);
    else if (root)
        record_read_list(&estate->arena, parts[part].type, &estate->parts[part], root->first,
                         RECORD_OURS);
    arena_deinit(&arena);
    return r;
}

void estate_copy_part(struct estate *estate, const struct estate *from, enum estate_part part)
{
    CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);

    estate_write_part(from, part, &json);
    estate_read_part(estate, part, buf_text(&json), json.length, NULL);
}

const char *estate_short_name(const char *arn)
{
    const char *slash = strrchr(arn, '/');

    return slash ? slash + 1 : arn;
}
