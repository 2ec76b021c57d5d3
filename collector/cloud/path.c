#include "collector/cloud/path.h"

#include "common/mem.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define ALL         (-1)
#define ENTRIES_MAX 4096 /* of an ACL, one direction; the vendor allows 40 */

/* A block in the form in which it is compared fastest. */
struct net {
    uint64_t bits[2], mask[2];
    int family;
};

struct blocks { /* of a prefix list */
    const char *id;
    bool is_read;
    struct net *items;
    unsigned *lengths; /* of their prefixes */
    size_t count;
};

struct rule {
    const struct estate_rule *record;
    int protocol, from, to;
    bool is_for_peer;
    uint32_t peer;             /* group, if it is for one */
    const struct blocks *list; /* or a prefix list; one that is not there is not read */
    struct net block;          /* or a block */
};

struct rules {
    struct rule *items; /* first those for blocks, then those for groups, by group */
    size_t count, blocks;
};

struct group {
    const char *id;
    bool is_read;
    struct rules in, out;
    UT_hash_handle hh;
    uint32_t number;
};

struct entry {
    const struct estate_acl_entry *record;
    int protocol, from, to, icmp_type, icmp_code;
    struct net block;
    bool is_allow;
};

struct entries {
    struct entry *items; /* by number */
    size_t count;
    bool is_whole;
};

struct acl {
    const struct estate_acl *record;
    struct entries in, out;
};

struct route {
    const struct estate_route *record;
    struct net block;
    unsigned length; /* of the prefix */
    int rank;        /* of equally long ones the lowest wins */
};

struct table {
    const struct estate_route_table *record;
    struct route *items;
    size_t count;
    bool is_whole;
};

struct subnet {
    const char *id, *vpc;
    struct net blocks[2];
    size_t block_count;
    const struct acl *acl;     /* NULL: not known */
    const struct table *table; /* likewise */
};

struct path_end {
    const struct estate_interface *record;
    const struct subnet *subnet; /* NULL: not known */
    struct group **groups;
    size_t group_count;
};

struct address {
    struct {
        uint8_t bytes[16];
        int family;
    } key;
    const struct path_end *end;
    struct address *next; /* another interface with it, in another VPC */
    UT_hash_handle hh;
};

struct path_map {
    const struct estate *estate;
    struct arena arena;
    struct group *groups; /* by id */
    uint32_t group_count;
    struct blocks *lists;
    size_t list_count;
    struct acl *acls;
    struct table *tables;
    struct subnet *subnets;
    struct path_end *ends;
    struct address *addresses;
};

/* ---- names ---- */

bool path_is_back(enum path_kind kind)
{
    return kind >= PATH_BACK_ACL_OUT;
}

const char *path_kind_name(enum path_kind kind)
{
    static const char *const names[] = {"group-out", "acl-out",      "route",      "acl-in",
                                        "group-in",  "back-acl-out", "back-route", "back-acl-in"};

    return names[kind];
}

const char *path_verdict_name(enum path_verdict verdict)
{
    static const char *const names[] = {"skipped", "allowed", "unknown", "partly", "denied"};

    return names[verdict];
}

/* ---- blocks ---- */

static struct net net_of(const struct cidr *cidr)
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
    *ret_net = net_of(&cidr);
    if (ret_length)
        *ret_length = cidr.bits;
    return true;
}

static bool covers(const struct net *net, const struct net *address)
{
    return net->family == address->family && !((net->bits[0] ^ address->bits[0]) & net->mask[0]) &&
           !((net->bits[1] ^ address->bits[1]) & net->mask[1]);
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
    return text_to_int(text, 0, 255, &number) ? (int)number : ALL;
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

enum { RANK_LOCAL, RANK_STATIC, RANK_PREFIX_LIST, RANK_PROPAGATED };

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
    return first ? first->end : NULL;
}

const struct estate_interface *path_interface(const struct path_end *end)
{
    return end->record;
}

const struct estate_acl *path_acl(const struct path_end *end)
{
    return end->subnet && end->subnet->acl ? end->subnet->acl->record : NULL;
}

const struct estate_route_table *path_table(const struct path_end *end)
{
    return end->subnet && end->subnet->table ? end->subnet->table->record : NULL;
}

bool path_flow_tcp(const struct path_map *map, const char *from, const char *to, int port,
                   struct path_flow *ret_flow)
{
    struct path_flow flow = {.protocol = PATH_TCP,
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

/* ---- groups ---- */

static bool is_icmp(int protocol)
{
    return protocol == PATH_ICMP || protocol == PATH_ICMP6;
}

/* Protocol and port; of ICMP type and code. */
static bool rule_fits(const struct rule *rule, const struct path_flow *flow)
{
    if (rule->protocol == ALL)
        return true;
    if (rule->protocol != (int)flow->protocol)
        return false;
    if (is_icmp(rule->protocol))
        return (rule->from == ALL || rule->from == flow->port) &&
               (rule->to == ALL || rule->to == flow->code);
    if (rule->protocol != PATH_TCP && rule->protocol != PATH_UDP)
        return true;
    return rule->from == ALL || (rule->from <= flow->port && flow->port <= rule->to);
}

static bool list_covers(const struct blocks *list, const struct net *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (covers(&list->items[i], address))
            return true;
    return false;
}

/* The first of the rules for a group. */
static size_t first_for(const struct rules *rules, uint32_t peer)
{
    size_t low = rules->blocks, high = rules->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rules->items[middle].peer < peer)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The rule that lets it through, or NULL; `*ret_is_sure` is cleared where one may that is not
 * known. */
static const struct rule *find_rule(const struct rules *rules, const struct path_flow *flow,
                                    const struct net *address, const struct path_end *peer,
                                    bool *ret_is_sure)
{
    for (size_t i = 0; i < rules->blocks; i++) {
        const struct rule *rule = &rules->items[i];
        if (!rule_fits(rule, flow))
            continue;
        if (rule->list ? list_covers(rule->list, address) : covers(&rule->block, address))
            return rule;
        *ret_is_sure &= !rule->list || rule->list->is_read;
    }
    for (size_t g = 0; peer && g < peer->group_count; g++)
        for (size_t i = first_for(rules, peer->groups[g]->number);
             i < rules->count && rules->items[i].peer == peer->groups[g]->number; i++)
            if (rule_fits(&rules->items[i], flow))
                return &rules->items[i];
    for (size_t i = rules->blocks; !peer && i < rules->count; i++)
        if (rule_fits(&rules->items[i], flow))
            *ret_is_sure = false; /* whose groups are not known may be in that one */
    return NULL;
}

static void ask_groups(const struct path_flow *flow, bool is_egress, const struct net *address,
                       struct path_step *step)
{
    const struct path_end *end = is_egress ? flow->source : flow->target;
    const struct path_end *peer = is_egress ? flow->target : flow->source;

    bool is_sure = end && end->group_count;

    for (size_t i = 0; end && i < end->group_count; i++) {
        const struct group *group = end->groups[i];
        const struct rule *rule = group->is_read ? find_rule(is_egress ? &group->out : &group->in,
                                                             flow, address, peer, &is_sure)
                                                 : NULL;
        if (rule) {
            *step =
                (struct path_step){.verdict = PATH_ALLOWED, .of = group->id, .rule = rule->record};
            return;
        }
        is_sure &= group->is_read;
    }
    step->verdict = is_sure ? PATH_DENIED : PATH_UNKNOWN;
    step->doubt = is_sure ? PATH_SURE : PATH_NOT_READ;
    step->of = end && end->group_count ? end->groups[0]->id : "";
}

/* ---- ACLs ---- */

/* What is asked of an ACL: ports of one protocol; of ICMP a type and code. */
struct passage {
    int protocol, from, to, code;
    const struct net *address; /* of the other side */
};

static bool entry_fits(const struct entry *entry, const struct passage *passage)
{
    if (entry->protocol != ALL && entry->protocol != passage->protocol)
        return false;
    if (!covers(&entry->block, passage->address))
        return false;
    if (entry->protocol == ALL || !is_icmp(entry->protocol))
        return true;
    return (entry->icmp_type == ALL || entry->icmp_type == passage->from) &&
           (entry->icmp_code == ALL || entry->icmp_code == passage->code);
}

static bool has_ports(const struct entry *entry)
{
    return entry->protocol == PATH_TCP || entry->protocol == PATH_UDP;
}

/* The entry that decides on a port, and the last port up to which it does. NULL: none. */
static const struct entry *decide(const struct entries *entries, const struct passage *passage,
                                  int port, int *ret_last)
{
    *ret_last = passage->to;
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->items[i];
        if (!entry_fits(entry, passage))
            continue;
        if (!has_ports(entry))
            return entry;
        if (entry->from <= port && port <= entry->to) {
            if (entry->to < *ret_last)
                *ret_last = entry->to;
            return entry;
        }
        if (entry->from > port && entry->from - 1 < *ret_last)
            *ret_last = entry->from - 1;
    }
    return NULL;
}

/* Every port of the range; what denies some of them is told. */
static void ask_acl(const struct acl *acl, bool is_egress, const struct passage *passage,
                    struct path_step *step)
{
    const struct entries *entries = acl ? is_egress ? &acl->out : &acl->in : NULL;
    const struct estate_acl_entry *allows = NULL, *denies = NULL;
    bool has_allowed = false, has_denied = false;
    int last;

    if (!acl || !entries->is_whole) {
        step->verdict = PATH_UNKNOWN;
        step->doubt = PATH_NOT_READ;
        return;
    }
    for (int port = passage->from; port <= passage->to; port = last + 1) {
        const struct entry *entry = decide(entries, passage, port, &last);
        bool is_allowed = entry && entry->is_allow;
        if (is_allowed && !has_allowed)
            allows = entry->record;
        if (!is_allowed && !has_denied)
            denies = entry ? entry->record : NULL;
        has_allowed |= is_allowed;
        has_denied |= !is_allowed;
    }
    step->verdict = !has_denied ? PATH_ALLOWED : has_allowed ? PATH_PARTLY : PATH_DENIED;
    step->of = acl->record->id;
    step->entry = has_denied ? denies : allows;
}

static struct passage passage_to(const struct path_flow *flow, const struct net *address)
{
    return (struct passage){(int)flow->protocol, flow->port, flow->port, flow->code, address};
}

/* The answer: to a port that the source has; of an echo request the reply. */
static struct passage passage_back(const struct path_flow *flow, const struct net *address)
{
    int reply = flow->protocol == PATH_ICMP ? 0 : 129;

    if (is_icmp((int)flow->protocol))
        return (struct passage){(int)flow->protocol, reply, reply, 0, address};
    return (struct passage){(int)flow->protocol, flow->back_from, flow->back_to, 0, address};
}

/* ---- routes ---- */

static bool is_better(const struct route *route, const struct route *than)
{
    if (!than || route->length != than->length)
        return !than || route->length > than->length;
    return route->rank < than->rank;
}

static void ask_table(const struct table *table, const struct net *address, bool is_in_vpc,
                      struct path_step *step)
{
    const struct route *best = NULL;

    for (size_t i = 0; table && i < table->count; i++)
        if (covers(&table->items[i].block, address) && is_better(&table->items[i], best))
            best = &table->items[i];
    if (!table || !table->is_whole) {
        step->verdict = PATH_UNKNOWN;
        step->doubt = PATH_NOT_READ;
        return;
    }
    step->of = table->record->id;
    step->route = best ? best->record : NULL;
    if (!best || strcmp(best->record->state, "blackhole") == 0) {
        step->verdict = PATH_DENIED;
    } else if (best->rank == RANK_LOCAL) {
        step->verdict = is_in_vpc ? PATH_ALLOWED : PATH_DENIED;
    } else if (*best->record->peering) {
        step->verdict = PATH_ALLOWED;
    } else {
        step->verdict = PATH_UNKNOWN;
        step->doubt = *best->record->transit                                ? PATH_TRANSIT
                      : *best->record->instance || *best->record->interface ? PATH_MIDDLEBOX
                                                                            : PATH_OUTSIDE;
    }
}

/* ---- the walk ---- */

/* Of an address that no interface has: in the source's VPC. */
static const struct subnet *subnet_of(const struct path_map *map, const struct path_flow *flow,
                                      const struct net *to)
{
    if (flow->target)
        return flow->target->subnet;
    for (size_t i = 0; i < estate_count(map->estate, ESTATE_SUBNETS); i++)
        for (size_t b = 0; b < map->subnets[i].block_count; b++)
            if (strcmp(map->subnets[i].vpc, flow->source->record->vpc) == 0 &&
                covers(&map->subnets[i].blocks[b], to))
                return &map->subnets[i];
    return NULL;
}

/* Some of the ports are open on the one, some on the other: are any on both? */
static bool is_any_open(const struct subnet *source, const struct subnet *target,
                        const struct passage *out, const struct passage *in)
{
    int last, other;

    for (int port = out->from; port <= out->to; port = (last < other ? last : other) + 1) {
        const struct entry *first = decide(&target->acl->out, out, port, &last);
        const struct entry *second = decide(&source->acl->in, in, port, &other);
        if (first && first->is_allow && second && second->is_allow)
            return true;
    }
    return false;
}

static void walk_subnets(const struct path_flow *flow, const struct net *from, const struct net *to,
                         const struct subnet *source, const struct subnet *target,
                         struct path_step *steps)
{
    struct passage out = passage_to(flow, to), in = passage_to(flow, from);
    struct passage back_out = passage_back(flow, from), back_in = passage_back(flow, to);
    bool is_in_vpc = target && source && strcmp(source->vpc, target->vpc) == 0;

    ask_acl(source ? source->acl : NULL, true, &out, &steps[PATH_ACL_OUT]);
    ask_table(source ? source->table : NULL, to, is_in_vpc, &steps[PATH_ROUTE]);
    ask_acl(target ? target->acl : NULL, false, &in, &steps[PATH_ACL_IN]);
    ask_acl(target ? target->acl : NULL, true, &back_out, &steps[PATH_BACK_ACL_OUT]);
    ask_table(target ? target->table : NULL, from, is_in_vpc, &steps[PATH_BACK_ROUTE]);
    ask_acl(source ? source->acl : NULL, false, &back_in, &steps[PATH_BACK_ACL_IN]);
    if (source && target && steps[PATH_BACK_ACL_OUT].verdict == PATH_PARTLY &&
        steps[PATH_BACK_ACL_IN].verdict == PATH_PARTLY &&
        !is_any_open(source, target, &back_out, &back_in))
        steps[PATH_BACK_ACL_IN].verdict = PATH_DENIED;
}

void path_walk(const struct path_map *map, const struct path_flow *flow, struct path *ret_path)
{
    struct net from = net_of(&flow->from), to = net_of(&flow->to);
    const struct subnet *source = flow->source->subnet, *target = subnet_of(map, flow, &to);

    memset(ret_path, 0, sizeof(*ret_path));
    for (int i = 0; i < PATH_KIND_COUNT; i++)
        ret_path->steps[i].of = "";
    ret_path->verdict = PATH_ALLOWED;
    if (flow->source == flow->target)
        return;
    ask_groups(flow, true, &to, &ret_path->steps[PATH_GROUP_OUT]);
    ask_groups(flow, false, &from, &ret_path->steps[PATH_GROUP_IN]);
    if (!source || source != target)
        walk_subnets(flow, &from, &to, source, target, ret_path->steps);
    for (int i = 0; i < PATH_KIND_COUNT; i++)
        if (ret_path->steps[i].verdict > ret_path->verdict)
            ret_path->verdict = ret_path->steps[i].verdict;
}
