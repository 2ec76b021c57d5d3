/* How long it takes to walk the rules between 1,000 x 1,000 services: each a task with a group of
 * its own and 60 rules in it (the vendor's quota), in 16 subnets whose ACLs have 20 entries each
 * way (the quota) and whose route tables have 50 routes. The raw limit is one hash look-up of an
 * address a pair. Prints a line as tests/bench/run does.
 */
#include "collector/cloud/path.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICES 1000
#define RULES    60
#define SUBNETS  16
#define ENTRIES  20
#define ROUTES   50
#define GOAL_MS  1000
#define TIMES    3 /* the best one counts */

static char addresses[SERVICES][20];

static void add_group(struct estate *estate, int number)
{
    struct arena *arena = &estate->arena;
    struct estate_group *group = estate_add(estate, ESTATE_GROUPS);
    const char *id = arena_printf(arena, "sg-%d", number);

    *group = (struct estate_group){.id = id, .name = "", .vpc = "vpc-1", .owner = ""};
    for (int i = 0; i < RULES; i++) {
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
                                     .from = 8080,
                                     .to = 8080,
                                     .is_egress = i == 0};
        if (i == 0)
            rule->block = "0.0.0.0/0";
        else if (i < 10)
            rule->block = arena_printf(arena, "192.168.%d.0/24", i);
        else
            rule->peer = arena_printf(arena, "sg-%d", (number * 7 + i * 13) % SERVICES);
    }
}

static void add_subnet(struct estate *estate, int number)
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
    for (int i = 0; i < 2 * ENTRIES; i++) {
        struct estate_acl_entry *entry = record_add(arena, &acl->entries, sizeof(*entry));
        bool is_last = i / 2 == ENTRIES - 1;
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
    for (int i = 0; i < ROUTES; i++) {
        struct estate_route *route = record_add(arena, &table->routes, sizeof(*route));
        *route = (struct estate_route){"", "", "", "", "", "", "", "", "", "", "", "active", ""};
        route->block = i ? arena_printf(arena, "10.%d.0.0/16", i) : "10.0.0.0/16";
        *(i ? &route->peering : &route->gateway) = i ? "pcx-1" : "local";
    }
}

static struct estate *make_estate(void)
{
    struct estate *estate = estate_new();

    for (int i = 0; i < SUBNETS; i++)
        add_subnet(estate, i);
    for (int i = 0; i < SERVICES; i++) {
        struct estate_interface *interface = estate_add(estate, ESTATE_INTERFACES);
        add_group(estate, i);
        snprintf(addresses[i], sizeof(addresses[i]), "10.0.%d.%d", i % SUBNETS, 10 + i / SUBNETS);
        *interface = (struct estate_interface){
            .id = arena_printf(&estate->arena, "eni-%d", i),
            .subnet = arena_printf(&estate->arena, "subnet-%d", i % SUBNETS),
            .vpc = "vpc-1",
            .zone = "a",
            .status = "",
            .type = "",
            .description = ""};
        record_add_text(&estate->arena, &interface->addresses, addresses[i]);
        record_add_text(&estate->arena, &interface->groups,
                        arena_printf(&estate->arena, "sg-%d", i));
    }
    return estate;
}

static double raw_ms(const struct path_map *map)
{
    uint64_t began_us = clock_mono_us();
    size_t found = 0;

    for (int s = 0; s < SERVICES; s++)
        for (int t = 0; t < SERVICES; t++)
            found += path_find(map, addresses[t], NULL) != NULL;
    if (found != (size_t)SERVICES * SERVICES)
        abort();
    return (double)(clock_mono_us() - began_us) / 1000;
}

/* All of it: the map is made, each pair asked. */
static double walk_ms(const struct estate *estate, size_t *ret_allowed)
{
    uint64_t began_us = clock_mono_us();
    struct path_map *map = path_map_new(estate);
    size_t allowed = 0;

    for (int s = 0; s < SERVICES; s++)
        for (int t = 0; t < SERVICES; t++) {
            struct path_flow flow;
            struct path path;
            if (!path_flow_tcp(map, addresses[s], addresses[t], 8080, &flow))
                abort();
            path_walk(map, &flow, &path);
            allowed += path.verdict == PATH_ALLOWED;
        }
    path_map_free(map);
    *ret_allowed = allowed;
    return (double)(clock_mono_us() - began_us) / 1000;
}

int main(void)
{
    struct estate *estate = make_estate();
    struct path_map *map = path_map_new(estate);
    double raw = 1e9, ms = 1e9;
    size_t allowed = 0;

    for (int i = 0; i < TIMES; i++) {
        double one = raw_ms(map), other = walk_ms(estate, &allowed);
        raw = one < raw ? one : raw;
        ms = other < ms ? other : ms;
    }
    printf("path_1000x1000\t%.0f\tms\t%.2f\t%d\t%s\n", ms, ms / raw, GOAL_MS,
           ms < GOAL_MS && allowed > SERVICES ? "ok" : "short");
    path_map_free(map);
    estate_free(estate);
    return 0;
}
