/* 10,000 random estates: what the evaluator says of each step, against a brute force that paints
 * what each rule says over every packet, the last rule first. */
#include "collector/cloud/path.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#define ESTATES    10000 /* CANREACH_ESTATES says otherwise: tests/nightly */
#define FLOWS      12    /* of each */
#define VPCS       2
#define SUBNETS    4 /* three of the first VPC, one of the second */
#define INTERFACES 6
#define GROUPS     5
#define RULES      7 /* of a group, at most */
#define ENTRIES    6 /* of an ACL */
#define ROUTES     6
#define LISTS      2
#define PORT_MAX   31
#define BACK_FROM  16 /* the ephemeral ports of this small world */
#define ADDRESSES  16 /* of a VPC */

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % below);
}

/* An address is <family, VPC, 0 to 15>; a block is as many of its low bits, or everything. */
struct spot {
    bool is_v6;
    unsigned vpc, host;
};

struct range {
    bool is_v6, is_all;
    unsigned vpc, host, bits; /* of the four */
};

static bool in_range(const struct range *range, const struct spot *spot)
{
    if (range->is_v6 != spot->is_v6)
        return false;
    return range->is_all || (range->vpc == spot->vpc &&
                             range->host >> (4 - range->bits) == spot->host >> (4 - range->bits));
}

static const char *spot_text(struct arena *arena, const struct spot *spot)
{
    return arena_printf(arena, spot->is_v6 ? "fd00:%x::%x" : "10.%u.0.%u", spot->vpc, spot->host);
}

static struct range draw_range(void)
{
    static const unsigned bits[] = {0, 1, 2, 4};
    struct range range = {.is_v6 = draw(3) == 0,
                          .is_all = draw(4) == 0,
                          .vpc = draw(VPCS),
                          .host = draw(ADDRESSES),
                          .bits = bits[draw(4)]};

    range.host = range.host >> (4 - range.bits) << (4 - range.bits);
    if (range.is_all)
        range.vpc = range.host = range.bits = 0;
    return range;
}

static const char *range_text(struct arena *arena, const struct range *range)
{
    if (range->is_all)
        return range->is_v6 ? "::/0" : "0.0.0.0/0";
    return arena_printf(arena, range->is_v6 ? "fd00:%x::%x/%u" : "10.%u.0.%u/%u", range->vpc,
                        range->host, range->bits + (range->is_v6 ? 124 : 28));
}

static void set_range(struct arena *arena, const struct range *range, const char **block,
                      const char **block6)
{
    *(range->is_v6 ? block6 : block) = range_text(arena, range);
}

struct world {
    struct estate *estate;
    struct {
        bool is_egress, is_active;
        int protocol, from, to; /* protocol -1: all */
        int peer, list;         /* -1: no */
        struct range range;
        const char *id;
    } rules[GROUPS][RULES];
    size_t rule_counts[GROUPS];
    struct {
        bool is_egress, is_allow;
        int number, protocol, from, to;
        struct range range;
    } entries[SUBNETS][ENTRIES];
    size_t entry_counts[SUBNETS];
    struct {
        struct range range;
        int list; /* -1: none */
        enum { GO_LOCAL, GO_PEERING, GO_BLACKHOLE, GO_TRANSIT, GO_KINDS } go;
        bool is_propagated;
    } routes[SUBNETS][ROUTES];
    size_t route_counts[SUBNETS];
    struct range lists[LISTS][2];
    struct {
        unsigned subnet;
        bool is_in[GROUPS];
        unsigned host;
    } interfaces[INTERFACES];
};

static unsigned vpc_of(unsigned subnet)
{
    return subnet == SUBNETS - 1;
}

static int draw_protocol(void)
{
    static const int protocols[] = {-1, PATH_TCP, PATH_TCP, PATH_UDP, PATH_ICMP};

    return protocols[draw(5)];
}

/* Ports; of ICMP type and code, or all. */
static void draw_ports(int protocol, int *from, int *to)
{
    *from = (int)draw(PORT_MAX + 1);
    *to = *from + (int)draw((unsigned)(PORT_MAX + 1 - *from));
    if (protocol == PATH_ICMP) {
        static const int types[] = {-1, 8, 0, 3};
        *from = types[draw(4)];
        *to = draw(2) ? -1 : 0;
    }
}

static const char *protocol_text(struct arena *arena, int protocol, bool by_number)
{
    if (protocol == PATH_TCP && !by_number)
        return "tcp";
    if (protocol == PATH_UDP && !by_number)
        return "udp";
    if (protocol == PATH_ICMP && !by_number)
        return "icmp";
    return arena_printf(arena, "%d", protocol);
}

static const char *name(struct arena *arena, const char *what, unsigned number)
{
    return arena_printf(arena, "%s-%u", what, number);
}

static void make_lists(struct world *world)
{
    struct arena *arena = &world->estate->arena;

    for (unsigned l = 0; l < LISTS; l++) {
        struct estate_prefix_list *list = estate_add(world->estate, ESTATE_PREFIX_LISTS);
        list->id = name(arena, "pl", l);
        list->name = list->owner = "";
        list->is_read = true;
        for (int i = 0; i < 2; i++) {
            world->lists[l][i] = draw_range();
            world->lists[l][i].is_v6 = l == 1;
            record_add_text(arena, &list->blocks, range_text(arena, &world->lists[l][i]));
        }
    }
}

static void make_groups(struct world *world)
{
    struct arena *arena = &world->estate->arena;

    for (unsigned g = 0; g < GROUPS; g++) {
        struct estate_group *group = estate_add(world->estate, ESTATE_GROUPS);
        group->id = name(arena, "sg", g);
        group->name = group->vpc = group->owner = "";
        world->rule_counts[g] = draw(RULES + 1);
        for (size_t i = 0; i < world->rule_counts[g]; i++) {
            struct estate_rule *rule = record_add(arena, &group->rules, sizeof(*rule));
            unsigned kind = draw(5);
            world->rules[g][i].is_egress = draw(2);
            world->rules[g][i].is_active = draw(6) != 0;
            world->rules[g][i].protocol = draw_protocol();
            draw_ports(world->rules[g][i].protocol, &world->rules[g][i].from,
                       &world->rules[g][i].to);
            world->rules[g][i].peer = kind < 2 ? (int)draw(GROUPS) : -1;
            world->rules[g][i].list = kind == 2 ? (int)draw(LISTS) : -1;
            world->rules[g][i].range = draw_range();
            world->rules[g][i].id = arena_printf(arena, "sgr-%u-%zu", g, i);
            *rule = (struct estate_rule){
                .id = world->rules[g][i].id,
                .group = group->id,
                .protocol = protocol_text(arena, world->rules[g][i].protocol, draw(2)),
                .block = "",
                .block6 = "",
                .prefix_list = "",
                .peer = "",
                .peer_owner = "",
                .peer_vpc = "",
                .peering = "",
                .description = "",
                .from = world->rules[g][i].from,
                .to = world->rules[g][i].to,
                .is_egress = world->rules[g][i].is_egress,
            };
            if (world->rules[g][i].peer >= 0) {
                rule->peer = name(arena, "sg", (unsigned)world->rules[g][i].peer);
                rule->peering = world->rules[g][i].is_active ? draw(2) ? "active" : "" : "deleted";
            } else if (world->rules[g][i].list >= 0) {
                rule->prefix_list = name(arena, "pl", (unsigned)world->rules[g][i].list);
            } else {
                set_range(arena, &world->rules[g][i].range, &rule->block, &rule->block6);
            }
        }
    }
}

static void make_acl(struct world *world, unsigned subnet)
{
    struct arena *arena = &world->estate->arena;
    struct estate_acl *acl = estate_add(world->estate, ESTATE_ACLS);

    acl->id = name(arena, "acl", subnet);
    acl->vpc = name(arena, "vpc", vpc_of(subnet));
    record_add_text(arena, &acl->subnets, name(arena, "subnet", subnet));
    world->entry_counts[subnet] = 2 + draw(ENTRIES - 1);
    for (size_t i = 0; i < world->entry_counts[subnet]; i++) {
        struct estate_acl_entry *entry = record_add(arena, &acl->entries, sizeof(*entry));
        bool is_wide = i < 2 && draw(5); /* or nothing would ever pass */
        world->entries[subnet][i].is_egress = i < 2 ? i == 1 : draw(2);
        world->entries[subnet][i].is_allow = is_wide || draw(2);
        /* Numbers are of a direction, each once; in no order. */
        world->entries[subnet][i].number = (int)((i * 7 + 3) % 11) * 10 + (is_wide ? 100 : 0);
        world->entries[subnet][i].protocol = is_wide ? -1 : draw_protocol();
        draw_ports(world->entries[subnet][i].protocol, &world->entries[subnet][i].from,
                   &world->entries[subnet][i].to);
        world->entries[subnet][i].range = draw_range();
        if (is_wide)
            world->entries[subnet][i].range = (struct range){.is_all = true, .is_v6 = draw(4) == 0};
        *entry = (struct estate_acl_entry){
            .number = world->entries[subnet][i].number,
            .from = world->entries[subnet][i].from,
            .to = world->entries[subnet][i].to,
            .icmp_type = world->entries[subnet][i].from,
            .icmp_code = world->entries[subnet][i].to,
            .protocol = protocol_text(arena, world->entries[subnet][i].protocol, true),
            .action = world->entries[subnet][i].is_allow ? "allow" : "deny",
            .block = "",
            .block6 = "",
            .is_egress = world->entries[subnet][i].is_egress,
        };
        set_range(arena, &world->entries[subnet][i].range, &entry->block, &entry->block6);
    }
}

static void make_table(struct world *world, unsigned subnet)
{
    struct arena *arena = &world->estate->arena;
    struct estate_route_table *table = estate_add(world->estate, ESTATE_ROUTE_TABLES);
    struct estate_association *association =
        record_add(arena, &table->associations, sizeof(*association));

    table->id = name(arena, "rtb", subnet);
    table->vpc = name(arena, "vpc", vpc_of(subnet));
    association->subnet = name(arena, "subnet", subnet);
    world->route_counts[subnet] = 1 + draw(ROUTES);
    for (size_t i = 0; i < world->route_counts[subnet]; i++) {
        struct estate_route *route = record_add(arena, &table->routes, sizeof(*route));
        bool is_local = i == 0 && draw(8);
        *route = (struct estate_route){"", "", "", "", "", "", "", "", "", "", "", "active", ""};
        world->routes[subnet][i].list = !is_local && draw(4) == 0 ? (int)draw(LISTS) : -1;
        world->routes[subnet][i].go = is_local ? GO_LOCAL : 1 + draw(GO_KINDS - 1);
        world->routes[subnet][i].range = draw_range();
        world->routes[subnet][i].is_propagated =
            !is_local && world->routes[subnet][i].list < 0 && draw(4) == 0;
        if (is_local)
            world->routes[subnet][i].range =
                (struct range){.vpc = vpc_of(subnet), .bits = 0, .is_v6 = draw(4) == 0};
        /* Two routes to the same place there are not; what two lists do, nobody knows. */
        for (size_t j = 0; j < i; j++)
            if (memcmp(&world->routes[subnet][j].range, &world->routes[subnet][i].range,
                       sizeof(struct range)) == 0 ||
                (world->routes[subnet][j].list >= 0 && world->routes[subnet][i].list >= 0))
                world->routes[subnet][i].go = GO_KINDS;
        if (world->routes[subnet][i].go == GO_KINDS) {
            world->route_counts[subnet] = i;
            table->routes.count = i;
            return;
        }
        if (world->routes[subnet][i].list >= 0)
            route->prefix_list = name(arena, "pl", (unsigned)world->routes[subnet][i].list);
        else
            set_range(arena, &world->routes[subnet][i].range, &route->block, &route->block6);
        if (is_local)
            route->gateway = "local";
        else if (world->routes[subnet][i].go == GO_TRANSIT)
            route->transit = "tgw-1";
        else
            route->peering = "pcx-1";
        if (world->routes[subnet][i].go == GO_BLACKHOLE)
            route->state = "blackhole";
        if (world->routes[subnet][i].is_propagated)
            route->origin = "EnableVgwRoutePropagation";
    }
}

static void make_interfaces(struct world *world)
{
    struct arena *arena = &world->estate->arena;

    for (unsigned i = 0; i < INTERFACES; i++) {
        struct estate_interface *interface = estate_add(world->estate, ESTATE_INTERFACES);
        unsigned subnet = draw(SUBNETS), vpc = vpc_of(subnet);
        world->interfaces[i].subnet = subnet;
        world->interfaces[i].host = i * 2 + draw(2); /* an address is one interface's */
        *interface = (struct estate_interface){.id = name(arena, "eni", i),
                                               .subnet = name(arena, "subnet", subnet),
                                               .vpc = name(arena, "vpc", vpc),
                                               .zone = "",
                                               .status = "",
                                               .type = "",
                                               .description = ""};
        for (int v6 = 0; v6 < 2; v6++) {
            struct spot spot = {v6, vpc, world->interfaces[i].host};
            record_add_text(arena, v6 ? &interface->addresses6 : &interface->addresses,
                            spot_text(arena, &spot));
        }
        for (unsigned g = 0; g < GROUPS; g++) {
            world->interfaces[i].is_in[g] = draw(3) == 0;
            if (world->interfaces[i].is_in[g])
                record_add_text(arena, &interface->groups, name(arena, "sg", g));
        }
        if (!interface->groups.count) {
            world->interfaces[i].is_in[0] = true;
            record_add_text(arena, &interface->groups, "sg-0");
        }
    }
}

static void make_world(struct world *world)
{
    memset(world, 0, sizeof(*world));
    world->estate = estate_new();
    make_lists(world);
    make_groups(world);
    for (unsigned s = 0; s < SUBNETS; s++) {
        struct estate_subnet *subnet = estate_add(world->estate, ESTATE_SUBNETS);
        *subnet = (struct estate_subnet){.id = name(&world->estate->arena, "subnet", s),
                                         .vpc = name(&world->estate->arena, "vpc", vpc_of(s)),
                                         .zone = "",
                                         .block = "",
                                         .block6 = ""};
        make_acl(world, s);
        make_table(world, s);
    }
    make_interfaces(world);
}

/* One packet: of ICMP `port` is the type, its code is 0. */
struct packet {
    unsigned from, to; /* interfaces */
    bool is_v6;
    int protocol, port;
};

static struct spot spot_of(const struct world *world, unsigned interface, bool is_v6)
{
    return (struct spot){is_v6, vpc_of(world->interfaces[interface].subnet),
                         world->interfaces[interface].host};
}

static bool hits(int protocol, int from, int to, const struct packet *packet)
{
    if (protocol == -1)
        return true;
    if (protocol != packet->protocol)
        return false;
    if (protocol == PATH_ICMP)
        return (from == -1 || from == packet->port) && (to == -1 || to == 0);
    return from <= packet->port && packet->port <= to;
}

static bool list_has(const struct world *world, int list, const struct spot *spot)
{
    return in_range(&world->lists[list][0], spot) || in_range(&world->lists[list][1], spot);
}

static bool rule_passes(const struct world *world, unsigned g, size_t i, bool is_egress,
                        const struct packet *packet)
{
    unsigned other = is_egress ? packet->to : packet->from;
    struct spot spot = spot_of(world, other, packet->is_v6);

    if (world->rules[g][i].is_egress != is_egress ||
        !hits(world->rules[g][i].protocol, world->rules[g][i].from, world->rules[g][i].to, packet))
        return false;
    if (world->rules[g][i].peer >= 0)
        return world->rules[g][i].is_active &&
               world->interfaces[other].is_in[world->rules[g][i].peer];
    if (world->rules[g][i].list >= 0)
        return list_has(world, world->rules[g][i].list, &spot);
    return in_range(&world->rules[g][i].range, &spot);
}

/* Every rule of every group; and if one is named, whether it is one of these. */
static enum path_verdict groups_pass(const struct world *world, bool is_egress,
                                     const struct packet *packet, const struct estate_rule *named)
{
    unsigned self = is_egress ? packet->from : packet->to;
    bool passes = false, is_named = !named;

    for (unsigned g = 0; g < GROUPS; g++)
        for (size_t i = 0; i < world->rule_counts[g]; i++)
            if (world->interfaces[self].is_in[g] && rule_passes(world, g, i, is_egress, packet)) {
                passes = true;
                is_named |= named && strcmp(named->id, world->rules[g][i].id) == 0;
            }
    assert_true(is_named);
    return passes ? PATH_ALLOWED : PATH_DENIED;
}

/* Painted over from the last number to the first. */
static bool acl_passes(const struct world *world, unsigned subnet, bool is_egress,
                       const struct packet *packet)
{
    struct spot spot = spot_of(world, is_egress ? packet->to : packet->from, packet->is_v6);
    bool passes = false;

    for (int number = 32766; number >= 0; number -= number > 220 ? number - 220 : 1)
        for (size_t i = 0; i < world->entry_counts[subnet]; i++)
            if (world->entries[subnet][i].number == number &&
                world->entries[subnet][i].is_egress == is_egress &&
                hits(world->entries[subnet][i].protocol, world->entries[subnet][i].from,
                     world->entries[subnet][i].to, packet) &&
                in_range(&world->entries[subnet][i].range, &spot))
                passes = world->entries[subnet][i].is_allow;
    return passes;
}

/* Painted over from the shortest, lowest in rank, to the longest. */
static enum path_verdict route_passes(const struct world *world, unsigned subnet,
                                      const struct packet *packet)
{
    struct spot spot = spot_of(world, packet->to, packet->is_v6);
    bool is_in_vpc = vpc_of(subnet) == spot.vpc;
    enum path_verdict verdict = PATH_DENIED;

    for (int bits = -1; bits <= 4; bits++)
        for (int rank = 3; rank >= 0; rank--)
            for (size_t i = 0; i < world->route_counts[subnet]; i++) {
                int list = world->routes[subnet][i].list;
                int own = list >= 0                                 ? 2
                          : world->routes[subnet][i].go == GO_LOCAL ? 0
                          : world->routes[subnet][i].is_propagated  ? 3
                                                                    : 1;
                for (int k = 0; k < (list >= 0 ? 2 : 1); k++) {
                    const struct range *range =
                        list >= 0 ? &world->lists[list][k] : &world->routes[subnet][i].range;
                    if (own != rank || (range->is_all ? -1 : (int)range->bits) != bits ||
                        !in_range(range, &spot))
                        continue;
                    switch (world->routes[subnet][i].go) {
                    case GO_LOCAL:
                        verdict = is_in_vpc ? PATH_ALLOWED : PATH_DENIED;
                        break;
                    case GO_PEERING:
                        verdict = PATH_ALLOWED;
                        break;
                    case GO_BLACKHOLE:
                        verdict = PATH_DENIED;
                        break;
                    default:
                        verdict = PATH_UNKNOWN;
                    }
                }
            }
    return verdict;
}

static enum path_verdict of_counts(int passed, int all)
{
    return passed == all ? PATH_ALLOWED : passed ? PATH_PARTLY : PATH_DENIED;
}

/* What every packet of the connection meets. */
static void force(const struct world *world, const struct packet *packet, const struct path *said,
                  enum path_verdict expected[PATH_KIND_COUNT + 1])
{
    unsigned source = world->interfaces[packet->from].subnet;
    unsigned target = world->interfaces[packet->to].subnet;
    int out = 0, in = 0, both = 0, all = 0;

    for (int i = 0; i < PATH_KIND_COUNT; i++)
        expected[i] = PATH_SKIPPED;
    expected[PATH_KIND_COUNT] = PATH_ALLOWED;
    if (packet->from == packet->to)
        return;
    expected[PATH_GROUP_OUT] = groups_pass(world, true, packet, said->steps[PATH_GROUP_OUT].rule);
    expected[PATH_GROUP_IN] = groups_pass(world, false, packet, said->steps[PATH_GROUP_IN].rule);
    if (source != target) {
        struct packet back = {packet->to, packet->from, packet->is_v6, packet->protocol, 0};
        int last = packet->protocol == PATH_ICMP ? 0 : PORT_MAX;
        expected[PATH_ACL_OUT] = of_counts(acl_passes(world, source, true, packet), 1);
        expected[PATH_ROUTE] = route_passes(world, source, packet);
        expected[PATH_ACL_IN] = of_counts(acl_passes(world, target, false, packet), 1);
        expected[PATH_BACK_ROUTE] = route_passes(world, target, &back);
        for (back.port = packet->protocol == PATH_ICMP ? 0 : BACK_FROM; back.port <= last;
             back.port++) {
            bool is_out = acl_passes(world, target, true, &back);
            bool is_in = acl_passes(world, source, false, &back);
            out += is_out;
            in += is_in;
            both += is_out && is_in;
            all++;
        }
        expected[PATH_BACK_ACL_OUT] = of_counts(out, all);
        expected[PATH_BACK_ACL_IN] = of_counts(in, all);
        if (out && in && !both)
            expected[PATH_BACK_ACL_IN] = PATH_DENIED;
    }
    for (int i = 0; i < PATH_KIND_COUNT; i++)
        if (expected[i] > expected[PATH_KIND_COUNT])
            expected[PATH_KIND_COUNT] = expected[i];
}

static bool ask_one(const struct world *world, const struct path_map *map, unsigned *verdicts,
                    unsigned *passed)
{
    static const int protocols[] = {PATH_TCP, PATH_TCP, PATH_UDP, PATH_ICMP};
    struct packet packet = {draw(INTERFACES), draw(INTERFACES), draw(4) == 0, protocols[draw(4)],
                            (int)draw(BACK_FROM)};
    struct spot from = spot_of(world, packet.from, packet.is_v6);
    struct spot to = spot_of(world, packet.to, packet.is_v6);
    enum path_verdict expected[PATH_KIND_COUNT + 1];
    struct arena arena = {0};
    struct path_flow flow;
    struct path path;
    bool is_same = true;

    if (packet.protocol == PATH_ICMP)
        packet.port = 8;

    assert_true(path_flow_of(map, PATH_TCP, spot_text(&arena, &from), spot_text(&arena, &to),
                             packet.port, &flow));
    flow.protocol = (enum path_protocol)packet.protocol;
    flow.back_from = BACK_FROM;
    flow.back_to = PORT_MAX;
    path_walk(map, &flow, &path);
    force(world, &packet, &path, expected);
    for (int i = 0; i < PATH_KIND_COUNT; i++) {
        verdicts[path.steps[i].verdict]++;
        if (path.steps[i].verdict != expected[i]) {
            print_error("%s: %s, and %s by force\n", path_kind_name((enum path_kind)i),
                        path_verdict_name(path.steps[i].verdict), path_verdict_name(expected[i]));
            is_same = false;
        }
    }
    is_same &= path.verdict == expected[PATH_KIND_COUNT];
    *passed += path.verdict == PATH_ALLOWED;
    arena_deinit(&arena);
    return is_same;
}

static void test_brute_force(void **state)
{
    unsigned verdicts[PATH_DENIED + 1] = {0}, passed = 0, wrong = 0;

    const char *wanted = getenv("CANREACH_ESTATES");
    unsigned estates = wanted ? (unsigned)atoi(wanted) : ESTATES;

    (void)state;
    for (unsigned i = 0; i < estates; i++) {
        struct world world;
        struct path_map *map;
        seed = 88172645463325252ULL + i * 2654435761ULL;
        make_world(&world);
        map = path_map_new(world.estate);
        for (int flow = 0; flow < FLOWS; flow++)
            if (!ask_one(&world, map, verdicts, &passed)) {
                print_error("estate %u\n", i);
                wrong++;
            }
        path_map_free(map);
        estate_free(world.estate);
        if (wrong > 5)
            break;
    }
    print_message("%u estates, %u flows: %u pass; steps: %u allowed, %u unknown, %u partly, %u "
                  "denied\n",
                  estates, estates * FLOWS, passed, verdicts[PATH_ALLOWED], verdicts[PATH_UNKNOWN],
                  verdicts[PATH_PARTLY], verdicts[PATH_DENIED]);
    assert_int_equal(wrong, 0);
    /* Every verdict was met often enough to mean something. */
    for (int i = PATH_ALLOWED; i <= PATH_DENIED; i++)
        assert_true(verdicts[i] > 4000);
    assert_true(passed > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_brute_force)};

    return RUN_TESTS(tests);
}
