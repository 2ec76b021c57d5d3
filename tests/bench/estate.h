/* estate: a large one, for benchmarks: a task for each address, each with a group of its own and 60
 * rules in it (the vendor's quota), in 16 subnets whose ACLs have 20 entries each way (the quota)
 * and whose route tables have 50 routes. */
#ifndef TESTS_BENCH_ESTATE_H
#define TESTS_BENCH_ESTATE_H

#include "collector/cloud/estate.h"

#define LARGE_RULES   60
#define LARGE_SUBNETS 16
#define LARGE_ENTRIES 20
#define LARGE_ROUTES  50

static inline void estate_add_group(struct estate *estate, int number, int services, int port)
{
    struct arena *arena = &estate->arena;
    struct estate_group *group = estate_add(estate, ESTATE_GROUPS);
    const char *id = arena_printf(arena, "sg-%d", number);

    *group = (struct estate_group){.id = id, .name = "", .vpc = "vpc-1", .owner = ""};
    for (int i = 0; i < LARGE_RULES; i++) {
        struct estate_rule *rule = record_add(arena, &group->rules, sizeof(*rule));
        *rule = (struct estate_rule){.id = arena_printf(arena, "sgr-%d-%d", number, i),
                                     .group = id,
                                     .protocol = i ? "tcp" : "-1",
                                     .block = "",
                                     .block6 = "",
                                     .prefix_list = "",
                                     .peer = "",
                                     .peer_owner = "",
                                     .peer_vpc = "",
                                     .peering = "",
                                     .description = "",
                                     .from = port,
                                     .to = port,
                                     .is_egress = i == 0};
        if (i == 0)
            rule->block = "0.0.0.0/0";
        else if (i < 10)
            rule->block = arena_printf(arena, "192.168.%d.0/24", i);
        else
            rule->peer = arena_printf(arena, "sg-%d", (number * 7 + i * 13) % services);
    }
}

static inline void estate_add_subnet(struct estate *estate, int number)
{
    struct arena *arena = &estate->arena;
    struct estate_subnet *subnet = estate_add(estate, ESTATE_SUBNETS);
    struct estate_acl *acl = estate_add(estate, ESTATE_ACLS);
    struct estate_route_table *table = estate_add(estate, ESTATE_ROUTE_TABLES);
    struct estate_association *association =
        record_add(arena, &table->associations, sizeof(*association));
    const char *id = arena_printf(arena, "subnet-%d", number);

    *subnet = (struct estate_subnet){id, "vpc-1", "a", arena_printf(arena, "10.0.%d.0/24", number),
                                     "", 100};
    *acl = (struct estate_acl){.id = arena_printf(arena, "acl-%d", number), .vpc = "vpc-1"};
    record_add_text(arena, &acl->subnets, id);
    for (int i = 0; i < 2 * LARGE_ENTRIES; i++) {
        struct estate_acl_entry *entry = record_add(arena, &acl->entries, sizeof(*entry));
        bool is_last = i / 2 == LARGE_ENTRIES - 1;
        *entry = (struct estate_acl_entry){
            .number = 10 * (i / 2 + 1),
            .from = 20 + i,
            .to = 20 + i,
            .protocol = is_last ? "-1" : "6",
            .action = is_last ? "allow" : "deny",
            .block = is_last ? "0.0.0.0/0" : arena_printf(arena, "172.16.%d.0/24", i),
            .block6 = "",
            .is_egress = i % 2};
    }
    *table = (struct estate_route_table){.id = arena_printf(arena, "rtb-%d", number),
                                         .vpc = "vpc-1",
                                         .associations = table->associations};
    association->subnet = id;
    for (int i = 0; i < LARGE_ROUTES; i++) {
        struct estate_route *route = record_add(arena, &table->routes, sizeof(*route));
        *route = (struct estate_route){"", "", "", "", "", "", "", "", "", "", "", "active", ""};
        route->block = i ? arena_printf(arena, "10.%d.0.0/16", i) : "10.0.0.0/16";
        *(i ? &route->peering : &route->gateway) = i ? "pcx-1" : "local";
    }
}

/* Service number i is s<i>, its one task has addresses[i]. */
static inline struct estate *estate_make_large(char (*addresses)[20], int services, int port)
{
    struct estate *estate = estate_new();
    struct arena *arena = &estate->arena;

    estate->region = "eu-west-1";
    for (int i = 0; i < LARGE_SUBNETS; i++)
        estate_add_subnet(estate, i);
    for (int i = 0; i < services; i++) {
        struct estate_interface *interface = estate_add(estate, ESTATE_INTERFACES);
        struct estate_service *service = estate_add(estate, ESTATE_SERVICES);
        struct estate_task *task = estate_add(estate, ESTATE_TASKS);
        const char *name = arena_printf(arena, "s%d", i);
        const char *subnet = arena_printf(arena, "subnet-%d", i % LARGE_SUBNETS);
        estate_add_group(estate, i, services, port);
        *interface = (struct estate_interface){.id = arena_printf(arena, "eni-%d", i),
                                               .subnet = subnet,
                                               .vpc = "vpc-1",
                                               .zone = "a",
                                               .status = "",
                                               .type = "",
                                               .description = ""};
        record_add_text(arena, &interface->addresses, addresses[i]);
        record_add_text(arena, &interface->groups, arena_printf(arena, "sg-%d", i));
        record_read(arena, estate_type(ESTATE_SERVICES), service, NULL, RECORD_OURS);
        service->arn = service->name = name;
        service->cluster = "c";
        service->desired = service->running = 1;
        record_read(arena, estate_type(ESTATE_TASKS), task, NULL, RECORD_OURS);
        task->arn = arena_printf(arena, "t%d", i);
        task->cluster = "c";
        task->group = arena_printf(arena, "service:%s", name);
        task->status = "RUNNING";
        task->address = addresses[i];
        task->interface = interface->id;
    }
    return estate;
}

#endif
