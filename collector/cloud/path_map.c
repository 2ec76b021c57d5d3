#include "collector/cloud/path_internal.h"

#include "common/mem.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 4096 /* of an ACL, one direction; the vendor allows 40 */

/* ---- blocks ---- */

struct net path_net_of(const struct cidr *cidr)
{
    struct net net = {.family = cidr->family};

    for (unsigned i = 0; i < sizeof(cidr->address); i++) {
        unsigned left = cidr->bits > i * 8 ? cidr->bits - i * 8 : 0;
        uint64_t mask = left >= 8 ? 0xff : 0xff00U >> left & 0xff;
        net.bits[i / 8] = net.bits[i / 8] << 8 | cidr->address[i];
        net.mask[i / 8] = net.mask[i / 8] << 8 | mask;
    }
    return net;
}

/* False: it is no block. */
static bool parse_net(const char *text, struct net *ret_net, unsigned *ret_length)
{
    struct cidr cidr;

    if (!cidr_parse(text, &cidr))
        return false;
    *ret_net = path_net_of(&cidr);
    if (ret_length)
        *ret_length = cidr.bits;
    return true;
}

/* ---- making the map ---- */

static struct group *group_of(struct path_map *map, const char *id)
{
    struct group *group;

    HASH_FIND(hh, map->groups, id, strlen(id), group);
    if (group)
        return group;
    group = arena_alloc(&map->arena, 1, sizeof(*group));
    group->id = id;
    group->number = map->group_count++;
    HASH_ADD_KEYPTR(hh, map->groups, group->id, strlen(group->id), group);
    return group;
}

static int protocol_of(const char *text)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"tcp", PATH_TCP}, {"udp", PATH_UDP}, {"icmp", PATH_ICMP}, {"icmpv6", PATH_ICMP6}};
    int64_t number;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(text, names[i].name) == 0)
            return names[i].number;
    return text_to_int(text, 0, 255, &number) ? (int)number : PATH_ALL;
}

static void make_lists(struct path_map *map)
{
    const struct estate_prefix_list *records = map->estate->parts[ESTATE_PREFIX_LISTS].items;

    map->list_count = estate_count(map->estate, ESTATE_PREFIX_LISTS);
    map->lists = arena_alloc(&map->arena, map->list_count + 1, sizeof(*map->lists));
    for (size_t i = 0; i < map->list_count; i++) {
        struct blocks *list = &map->lists[i];
        list->id = records[i].id;
        list->is_read = records[i].is_read;
        list->items = arena_alloc(&map->arena, records[i].blocks.count + 1, sizeof(*list->items));
        list->lengths =
            arena_alloc(&map->arena, records[i].blocks.count + 1, sizeof(*list->lengths));
        for (size_t j = 0; j < records[i].blocks.count; j++)
            list->count += parse_net(record_text(&records[i].blocks, j), &list->items[list->count],
                                     &list->lengths[list->count]);
    }
}

static const struct blocks not_read = {.id = ""};

static const struct blocks *find_list(const struct path_map *map, const char *id)
{
    for (size_t i = 0; i < map->list_count; i++)
        if (strcmp(map->lists[i].id, id) == 0)
            return &map->lists[i];
    return &not_read;
}

static int by_peer(const void *a, const void *b)
{
    const struct rule *x = a, *y = b;

    if (x->is_for_peer != y->is_for_peer)
        return x->is_for_peer - y->is_for_peer;
    if (x->peer != y->peer)
        return x->peer < y->peer ? -1 : 1;
    return strcmp(x->record->id, y->record->id);
}

/* A rule for a group of a VPC that is no longer peered lets nobody through. */
static bool is_stale(const struct estate_rule *record)
{
    return *record->peering && strcmp(record->peering, "active") != 0;
}

static void add_rule(struct path_map *map, struct rules *rules, const struct estate_rule *record)
{
    struct rule rule = {.record = record,
                        .protocol = protocol_of(record->protocol),
                        .from = (int)record->from,
                        .to = (int)record->to};
    const char *block = *record->block ? record->block : record->block6;

    if (*record->peer) {
        if (is_stale(record))
            return;
        rule.is_for_peer = true;
        rule.peer = group_of(map, record->peer)->number;
    } else if (*record->prefix_list) {
        rule.list = find_list(map, record->prefix_list);
    } else if (!parse_net(block, &rule.block, NULL)) {
        return;
    }
    rules->blocks += !rule.is_for_peer;
    rules->items[rules->count++] = rule;
}

static void make_groups(struct path_map *map)
{
    const struct estate_group *records = map->estate->parts[ESTATE_GROUPS].items;
    bool is_read = estate_has(map->estate, "ec2:DescribeSecurityGroups") &&
                   estate_has(map->estate, "ec2:DescribeSecurityGroupRules");

    for (size_t i = 0; i < estate_count(map->estate, ESTATE_GROUPS); i++) {
        struct group *group = group_of(map, records[i].id);
        const struct estate_rule *rules = records[i].rules.items;
        size_t count = records[i].rules.count;
        if (group->in.items)
            continue; /* of two with one id the first counts */
        group->is_read = is_read;
        group->in.items = arena_alloc(&map->arena, count + 1, sizeof(*group->in.items));
        group->out.items = arena_alloc(&map->arena, count + 1, sizeof(*group->out.items));
        for (size_t j = 0; j < count; j++)
            add_rule(map, rules[j].is_egress ? &group->out : &group->in, &rules[j]);
        qsort(group->in.items, group->in.count, sizeof(*group->in.items), by_peer);
        qsort(group->out.items, group->out.count, sizeof(*group->out.items), by_peer);
    }
}

static int by_entry(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->record->number < y->record->number ? -1 : x->record->number > y->record->number;
}

static void add_entry(struct entries *entries, const struct estate_acl_entry *record)
{
    struct entry *entry = &entries->items[entries->count];

    if (entries->count == ENTRIES_MAX) {
        entries->is_whole = false;
        return;
    }
    *entry = (struct entry){.record = record,
                            .protocol = protocol_of(record->protocol),
                            .from = (int)record->from,
                            .to = (int)record->to,
                            .icmp_type = (int)record->icmp_type,
                            .icmp_code = (int)record->icmp_code,
                            .is_allow = strcmp(record->action, "allow") == 0};
    entries->count +=
        parse_net(*record->block ? record->block : record->block6, &entry->block, NULL);
}

static void make_acls(struct path_map *map)
{
    const struct estate_acl *records = map->estate->parts[ESTATE_ACLS].items;
    size_t count = estate_count(map->estate, ESTATE_ACLS);

    map->acls = arena_alloc(&map->arena, count + 1, sizeof(*map->acls));
    for (size_t i = 0; i < count; i++) {
        struct acl *acl = &map->acls[i];
        const struct estate_acl_entry *entries = records[i].entries.items;
        size_t room = records[i].entries.count + 1;
        acl->record = &records[i];
        acl->in.items = arena_alloc(&map->arena, room, sizeof(*acl->in.items));
        acl->out.items = arena_alloc(&map->arena, room, sizeof(*acl->out.items));
        acl->in.is_whole = acl->out.is_whole = true;
        for (size_t j = 0; j < records[i].entries.count; j++)
            add_entry(entries[j].is_egress ? &acl->out : &acl->in, &entries[j]);
        qsort(acl->in.items, acl->in.count, sizeof(*acl->in.items), by_entry);
        qsort(acl->out.items, acl->out.count, sizeof(*acl->out.items), by_entry);
    }
}

static int rank_of(const struct estate_route *record)
{
    if (strcmp(record->gateway, "local") == 0)
        return RANK_LOCAL;
    if (*record->prefix_list)
        return RANK_PREFIX_LIST;
    return strcmp(record->origin, "EnableVgwRoutePropagation") == 0 ? RANK_PROPAGATED : RANK_STATIC;
}

static void make_tables(struct path_map *map)
{
    const struct estate_route_table *records = map->estate->parts[ESTATE_ROUTE_TABLES].items;
    size_t count = estate_count(map->estate, ESTATE_ROUTE_TABLES);

    map->tables = arena_alloc(&map->arena, count + 1, sizeof(*map->tables));
    for (size_t i = 0; i < count; i++) {
        struct table *table = &map->tables[i];
        const struct estate_route *routes = records[i].routes.items;
        size_t room = 1;
        table->record = &records[i];
        table->is_whole = true;
        for (size_t j = 0; j < records[i].routes.count; j++)
            room += *routes[j].prefix_list ? find_list(map, routes[j].prefix_list)->count : 1;
        table->items = arena_alloc(&map->arena, room, sizeof(*table->items));
        for (size_t j = 0; j < records[i].routes.count; j++) {
            const struct blocks *list =
                *routes[j].prefix_list ? find_list(map, routes[j].prefix_list) : NULL;
            struct route route = {.record = &routes[j], .rank = rank_of(&routes[j])};
            if (list && !list->is_read)
                table->is_whole = false;
            for (size_t k = 0; list && k < list->count; k++) {
                route.block = list->items[k];
                route.length = list->lengths[k];
                table->items[table->count++] = route;
            }
            if (!list && parse_net(*routes[j].block ? routes[j].block : routes[j].block6,
                                   &route.block, &route.length))
                table->items[table->count++] = route;
        }
    }
}

/* The one that names the subnet; else the VPC's default. */
static const struct acl *acl_of(const struct path_map *map, const struct estate_subnet *subnet)
{
    const struct acl *of_vpc = NULL;

    if (!estate_has(map->estate, "ec2:DescribeNetworkAcls"))
        return NULL;
    for (size_t i = 0; i < estate_count(map->estate, ESTATE_ACLS); i++) {
        const struct estate_acl *record = map->acls[i].record;
        if (record_has_text(&record->subnets, subnet->id))
            return &map->acls[i];
        if (record->is_default && strcmp(record->vpc, subnet->vpc) == 0)
            of_vpc = &map->acls[i];
    }
    return of_vpc;
}

static const struct table *table_of(const struct path_map *map, const struct estate_subnet *subnet)
{
    const struct table *of_vpc = NULL;

    if (!estate_has(map->estate, "ec2:DescribeRouteTables"))
        return NULL;
    for (size_t i = 0; i < estate_count(map->estate, ESTATE_ROUTE_TABLES); i++) {
        const struct estate_route_table *record = map->tables[i].record;
        const struct estate_association *associations = record->associations.items;
        for (size_t j = 0; j < record->associations.count; j++) {
            if (strcmp(associations[j].subnet, subnet->id) == 0)
                return &map->tables[i];
            if (associations[j].is_main && strcmp(record->vpc, subnet->vpc) == 0)
                of_vpc = &map->tables[i];
        }
    }
    return of_vpc;
}

static void make_subnets(struct path_map *map)
{
    const struct estate_subnet *records = map->estate->parts[ESTATE_SUBNETS].items;
    size_t count = estate_count(map->estate, ESTATE_SUBNETS);

    map->subnets = arena_alloc(&map->arena, count + 1, sizeof(*map->subnets));
    for (size_t i = 0; i < count; i++) {
        struct subnet *subnet = &map->subnets[i];
        subnet->id = records[i].id;
        subnet->vpc = records[i].vpc;
        subnet->block_count += parse_net(records[i].block, &subnet->blocks[0], NULL);
        subnet->block_count +=
            parse_net(records[i].block6, &subnet->blocks[subnet->block_count], NULL);
        subnet->acl = acl_of(map, &records[i]);
        subnet->table = table_of(map, &records[i]);
    }
}

static const struct subnet *find_subnet(const struct path_map *map, const char *id)
{
    for (size_t i = 0; i < estate_count(map->estate, ESTATE_SUBNETS); i++)
        if (strcmp(map->subnets[i].id, id) == 0)
            return &map->subnets[i];
    return NULL;
}

static struct address *find_address(const struct path_map *map, const struct cidr *cidr)
{
    struct address wanted = {0}, *found;

    memcpy(wanted.key.bytes, cidr->address, sizeof(wanted.key.bytes));
    wanted.key.family = cidr->family;
    HASH_FIND(hh, map->addresses, &wanted.key, sizeof(wanted.key), found);
    return found;
}

static void add_addresses(struct path_map *map, const struct path_end *end,
                          const struct record_list *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        struct cidr cidr;
        struct address *address, *first;
        if (!cidr_parse(record_text(texts, i), &cidr))
            continue;
        address = arena_alloc(&map->arena, 1, sizeof(*address));
        memcpy(address->key.bytes, cidr.address, sizeof(address->key.bytes));
        address->key.family = cidr.family;
        address->end = end;
        first = find_address(map, &cidr);
        if (first) {
            address->next = first->next;
            first->next = address;
        } else {
            HASH_ADD(hh, map->addresses, key, sizeof(address->key), address);
        }
    }
}

static void make_ends(struct path_map *map)
{
    const struct estate_interface *records = map->estate->parts[ESTATE_INTERFACES].items;
    size_t count = estate_count(map->estate, ESTATE_INTERFACES);

    map->ends = arena_alloc(&map->arena, count + 1, sizeof(*map->ends));
    for (size_t i = 0; i < count; i++) {
        struct path_end *end = &map->ends[i];
        end->record = &records[i];
        end->subnet = find_subnet(map, records[i].subnet);
        end->groups = arena_alloc(&map->arena, records[i].groups.count + 1, sizeof(*end->groups));
        for (size_t j = 0; j < records[i].groups.count; j++)
            end->groups[end->group_count++] = group_of(map, record_text(&records[i].groups, j));
        add_addresses(map, end, &records[i].addresses);
        add_addresses(map, end, &records[i].addresses6);
    }
}

struct path_map *path_map_new(const struct estate *estate)
{
    struct path_map *map = mem_alloc(sizeof(*map));

    map->estate = estate;
    make_lists(map);
    make_groups(map);
    make_acls(map);
    make_tables(map);
    make_subnets(map);
    make_ends(map);
    return map;
}

struct path_map *path_map_free(struct path_map *map)
{
    if (map) {
        HASH_CLEAR(hh, map->groups);
        HASH_CLEAR(hh, map->addresses);
        arena_deinit(&map->arena);
    }
    mem_free(map);
    return NULL;
}

/* ---- ends ---- */

const struct path_end *path_find(const struct path_map *map, const char *address,
                                 const struct path_end *near)
{
    struct cidr cidr;
    const struct address *first = cidr_parse(address, &cidr) ? find_address(map, &cidr) : NULL;

    for (const struct address *at = first; at && near; at = at->next)
        if (strcmp(at->end->record->vpc, near->record->vpc) == 0)
            return at->end;
    return first && !first->next ? first->end : NULL; /* of several, which? */
}

const struct estate_interface *path_interface(const struct path_end *end)
{
    return end->record;
}

bool path_flow_of(const struct path_map *map, enum path_protocol protocol, const char *from,
                  const char *to, int port, struct path_flow *ret_flow)
{
    struct path_flow flow = {.protocol = protocol,
                             .port = port,
                             .back_from = PATH_EPHEMERAL_FROM,
                             .back_to = PATH_EPHEMERAL_TO};

    if (!cidr_parse(from, &flow.from) || !cidr_parse(to, &flow.to))
        return false;
    flow.source = path_find(map, from, NULL);
    if (!flow.source)
        return false;
    flow.target = path_find(map, to, flow.source);
    *ret_flow = flow;
    return true;
}
