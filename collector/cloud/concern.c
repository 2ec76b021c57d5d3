#include "collector/cloud/concern.h"

#include "collector/cloud/lookup.h"

#include <string.h>

static void add(struct concern *concern, const char *id)
{
    if (*id && !record_has_text(&concern->ids, id))
        record_add_text(&concern->arena, &concern->ids, id);
}

static void add_all(struct concern *concern, const struct record_list *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        add(concern, record_text(texts, i));
}

static bool is_table_of(const struct estate_route_table *table, const struct estate_subnet *subnet)
{
    const struct estate_association *associations = table->associations.items;

    for (size_t i = 0; i < table->associations.count; i++)
        if (strcmp(associations[i].subnet, subnet->id) == 0 ||
            (associations[i].is_main && strcmp(table->vpc, subnet->vpc) == 0))
            return true;
    return false;
}

static void add_vpc(struct concern *concern, const struct estate *estate, const char *id)
{
    const struct estate_vpc *vpc = estate_find(estate, ESTATE_VPCS, id);
    const struct estate_resolver_rule *rules = estate->parts[ESTATE_RESOLVER_RULES].items;
    const struct estate_zone *zones = estate->parts[ESTATE_ZONES].items;

    add(concern, id);
    if (vpc)
        add(concern, vpc->dhcp);
    for (size_t i = 0; i < estate_count(estate, ESTATE_RESOLVER_RULES); i++)
        if (record_has_text(&rules[i].vpcs, id))
            add(concern, rules[i].id);
    for (size_t i = 0; i < estate_count(estate, ESTATE_ZONES); i++)
        if (strcmp(zones[i].vpc, id) == 0)
            add(concern, zones[i].id);
}

static void add_subnet(struct concern *concern, const struct estate *estate, const char *id)
{
    const struct estate_subnet *subnet = estate_find(estate, ESTATE_SUBNETS, id);
    const struct estate_acl *acls = estate->parts[ESTATE_ACLS].items;
    const struct estate_route_table *tables = estate->parts[ESTATE_ROUTE_TABLES].items;

    if (!subnet || record_has_text(&concern->subnets, id))
        return;
    record_add_text(&concern->arena, &concern->subnets, id);
    add(concern, id);
    for (size_t i = 0; i < estate_count(estate, ESTATE_ACLS); i++)
        if (record_has_text(&acls[i].subnets, id) ||
            (acls[i].is_default && strcmp(acls[i].vpc, subnet->vpc) == 0))
            add(concern, acls[i].id);
    for (size_t i = 0; i < estate_count(estate, ESTATE_ROUTE_TABLES); i++)
        if (is_table_of(&tables[i], subnet))
            add(concern, tables[i].id);
    add_vpc(concern, estate, subnet->vpc);
}

static void add_tasks(struct concern *concern, const struct estate *estate,
                      const struct estate_service *service)
{
    const struct estate_task *tasks = estate->parts[ESTATE_TASKS].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_TASKS); i++) {
        const struct estate_interface *interface;
        if (!lookup_is_task_of(&tasks[i], service))
            continue;
        add(concern, tasks[i].arn);
        add(concern, tasks[i].interface);
        interface = estate_find(estate, ESTATE_INTERFACES, tasks[i].interface);
        if (interface) {
            add_all(concern, &interface->groups);
            add_subnet(concern, estate, interface->subnet);
        }
    }
}

static void add_prefix_lists(struct concern *concern, const struct estate *estate)
{
    const struct estate_group *groups = estate->parts[ESTATE_GROUPS].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_GROUPS); i++) {
        const struct estate_rule *rules = groups[i].rules.items;
        for (size_t j = 0; j < groups[i].rules.count; j++)
            if (*rules[j].prefix_list && record_has_text(&concern->ids, groups[i].id))
                add(concern, rules[j].prefix_list);
    }
}

void concern_add(struct concern *concern, const struct estate *estate, const char *name)
{
    const struct estate_service *service = lookup_service(estate, name);
    const struct estate_registration *registrations;
    const struct estate_balancing *balancings;

    if (!service)
        return;
    concern->subnets = (struct record_list){0};
    registrations = service->registrations.items;
    balancings = service->balancings.items;
    add(concern, service->name);
    add_all(concern, &service->groups);
    for (size_t i = 0; i < service->subnets.count; i++)
        add_subnet(concern, estate, record_text(&service->subnets, i));
    for (size_t i = 0; i < service->registrations.count; i++)
        add(concern, estate_short_name(registrations[i].registry));
    for (size_t i = 0; i < service->balancings.count; i++)
        add(concern, balancings[i].target_group);
    add_tasks(concern, estate, service);
    add_prefix_lists(concern, estate);
}

bool concern_has(const struct concern *concern, const struct change *change)
{
    return record_has_text(&concern->ids, change->of);
}

void concern_deinit(struct concern *concern)
{
    arena_deinit(&concern->arena);
}
