#include "collector/cloud/remedy.h"

#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <string.h>

#define BACK_FROM  1024 /* what clients of all kinds use: the vendor's advice for ACLs */
#define BACK_TO    65535
#define NUMBER_MAX 32766

enum remedy_kind {
    AUTHORIZE,    /* a group's rule: `of`, `end` a group or block */
    OPEN_EGRESS,  /* a group that has lost its rule for everything: the vendor's default */
    CREATE_ENTRY, /* of an ACL */
    DELETE_ENTRY,
    DELETE_ROUTE,
    CREATE_ROUTE
};

struct remedy {
    enum remedy_kind kind;
    const char *of, *end;
    bool is_egress, is_v6;
    int protocol, from, to;
    int64_t number;                   /* of the entry; to be created: before which; 0: any */
    const struct estate_route *route; /* as it was */
    bool is_covered;                  /* by another */
};

struct remedies {
    const struct estate *estate, *good;
    struct arena arena;
    struct remedy *items;
    size_t count, capacity;
    bool is_done;
};

struct remedies *remedies_new(const struct estate *estate, const struct estate *good)
{
    struct remedies *remedies = mem_alloc(sizeof(*remedies));

    remedies->estate = estate;
    remedies->good = good;
    return remedies;
}

struct remedies *remedies_free(struct remedies *remedies)
{
    if (remedies) {
        mem_free(remedies->items);
        arena_deinit(&remedies->arena);
    }
    mem_free(remedies);
    return NULL;
}

static bool is_same(const struct remedy *a, const struct remedy *b)
{
    return a->kind == b->kind && strcmp(a->of, b->of) == 0 && strcmp(a->end, b->end) == 0 &&
           a->is_egress == b->is_egress && a->protocol == b->protocol;
}

static void add(struct remedies *remedies, const struct remedy *remedy)
{
    for (size_t i = 0; i < remedies->count; i++) {
        struct remedy *other = &remedies->items[i];
        if (!is_same(other, remedy) || other->from != remedy->from || other->to != remedy->to)
            continue;
        if (remedy->number && (!other->number || remedy->number < other->number))
            other->number = remedy->number;
        return;
    }
    if (remedies->count == 4 * REMEDIES_MAX)
        return;
    mem_grow(&remedies->items, remedies->count, &remedies->capacity, sizeof(*remedies->items));
    remedies->items[remedies->count++] = *remedy;
}

/* ---- groups ---- */

/* The group let everything out when all was well (the vendor's default), and nothing now. */
static bool has_lost_default(const struct remedies *remedies, const char *id, bool is_v6)
{
    const struct estate_group *then =
        remedies->good ? estate_find(remedies->good, ESTATE_GROUPS, id) : NULL;
    const struct estate_group *now = estate_find(remedies->estate, ESTATE_GROUPS, id);
    const struct estate_rule *rules = now ? now->rules.items : NULL;

    for (size_t i = 0; now && i < now->rules.count; i++)
        if (rules[i].is_egress)
            return false;
    rules = then ? then->rules.items : NULL;
    for (size_t i = 0; now && then && i < then->rules.count; i++)
        if (rules[i].is_egress && strcmp(rules[i].protocol, "-1") == 0 &&
            strcmp(is_v6 ? rules[i].block6 : rules[i].block, is_v6 ? "::/0" : "0.0.0.0/0") == 0)
            return true;
    return false;
}

static const char *host_block(struct remedies *remedies, const struct cidr *address)
{
    char text[INET6_ADDRSTRLEN] = "";

    inet_ntop(address->family, address->address, text, sizeof(text));
    return arena_printf(&remedies->arena, "%s/%d", text, address->family == AF_INET ? 32 : 128);
}

static void add_group(struct remedies *remedies, const struct path_flow *flow,
                      const struct path_step *step, bool is_egress)
{
    const struct path_end *peer = is_egress ? flow->target : flow->source;
    bool has_group = peer && path_interface(peer)->groups.count;
    struct remedy remedy = {
        .kind = AUTHORIZE,
        .of = step->of,
        .end = has_group ? record_text(&path_interface(peer)->groups, 0)
                         : host_block(remedies, is_egress ? &flow->to : &flow->from),
        .is_egress = is_egress,
        .is_v6 = !has_group && flow->to.family == AF_INET6,
        .protocol = (int)flow->protocol,
        .from = flow->port,
        .to = flow->port,
    };

    if (!*step->of)
        return;
    if (is_egress && has_lost_default(remedies, step->of, flow->to.family == AF_INET6))
        remedy = (struct remedy){
            .kind = OPEN_EGRESS, .of = step->of, .end = "", .is_v6 = flow->to.family == AF_INET6};
    add(remedies, &remedy);
}

/* ---- ACLs ---- */

static const struct estate_acl_entry *find_entry(const struct estate *estate, const char *acl_id,
                                                 int64_t number, bool is_egress)
{
    const struct estate_acl *acl = estate_find(estate, ESTATE_ACLS, acl_id);
    const struct estate_acl_entry *entries = acl ? acl->entries.items : NULL;

    for (size_t i = 0; acl && i < acl->entries.count; i++)
        if (entries[i].number == number && entries[i].is_egress == is_egress)
            return &entries[i];
    return NULL;
}

/* It was not there when all was well. */
static bool is_new(const struct remedies *remedies, const char *acl,
                   const struct estate_acl_entry *entry)
{
    return remedies->good && estate_find(remedies->good, ESTATE_ACLS, acl) &&
           !find_entry(remedies->good, acl, entry->number, entry->is_egress);
}

/* The block of the subnet on the other side, or the address alone. */
static const char *block_of(struct remedies *remedies, const struct path_end *end,
                            const struct cidr *address)
{
    const struct estate_subnet *subnet =
        end ? estate_find(remedies->estate, ESTATE_SUBNETS, path_interface(end)->subnet) : NULL;
    const char *block = !subnet ? "" : address->family == AF_INET ? subnet->block : subnet->block6;

    return *block ? block : host_block(remedies, address);
}

static void add_acl(struct remedies *remedies, const struct path_flow *flow,
                    const struct path_step *step, enum path_kind kind)
{
    bool is_egress = kind == PATH_ACL_OUT || kind == PATH_BACK_ACL_OUT;
    bool is_target = kind == PATH_ACL_OUT || kind == PATH_BACK_ACL_IN; /* on the other side */
    bool is_back = path_is_back(kind);
    struct remedy remedy = {
        .kind = CREATE_ENTRY,
        .of = step->of,
        .end = block_of(remedies, is_target ? flow->target : flow->source,
                        is_target ? &flow->to : &flow->from),
        .is_egress = is_egress,
        .is_v6 = flow->to.family == AF_INET6,
        .protocol = (int)flow->protocol,
        .from = is_back ? BACK_FROM : flow->port,
        .to = is_back ? BACK_TO : flow->port,
        .number = step->entry && step->entry->number <= NUMBER_MAX ? step->entry->number : 0,
    };

    if (step->entry && (is_new(remedies, step->of, step->entry) || step->entry->number == 1))
        remedy = (struct remedy){.kind = DELETE_ENTRY,
                                 .of = step->of,
                                 .end = "",
                                 .is_egress = is_egress,
                                 .from = (int)step->entry->number,
                                 .number = step->entry->number};
    add(remedies, &remedy);
}

/* ---- routes ---- */

/* The route to that destination in the table as it was when all was well. */
static const struct estate_route *find_former(const struct remedies *remedies, const char *table_id,
                                              const struct cidr *address)
{
    const struct estate_route_table *table =
        remedies->good ? estate_find(remedies->good, ESTATE_ROUTE_TABLES, table_id) : NULL;
    const struct estate_route *routes = table ? table->routes.items : NULL, *best = NULL;
    unsigned bits = 0;

    for (size_t i = 0; table && i < table->routes.count; i++) {
        struct cidr block;
        const char *text = *routes[i].block ? routes[i].block : routes[i].block6;
        if (!cidr_parse(text, &block) || block.family != address->family ||
            strcmp(routes[i].state, "blackhole") == 0)
            continue;
        block.bits = block.bits < address->bits ? block.bits : address->bits;
        if ((!best || block.bits > bits) && cidr_covers(&block, address)) {
            best = &routes[i];
            bits = block.bits;
        }
    }
    return best;
}

static void add_route(struct remedies *remedies, const struct path_flow *flow,
                      const struct path_step *step, enum path_kind kind)
{
    const struct cidr *address = kind == PATH_ROUTE ? &flow->to : &flow->from;
    const struct estate_route *former = find_former(remedies, step->of, address);
    struct remedy remedy = {.kind = CREATE_ROUTE,
                            .of = step->of,
                            .end = former ? *former->block ? former->block : former->block6
                                          : host_block(remedies, address),
                            .is_v6 = address->family == AF_INET6,
                            .route = former};

    if (!*step->of)
        return;
    /* Within the VPC its own route takes over; so does what was there before. */
    if (step->route && (*step->route->block || *step->route->block6)) {
        remedy.kind = DELETE_ROUTE;
        remedy.end = *step->route->block ? step->route->block : step->route->block6;
    }
    add(remedies, &remedy);
}

void remedies_add(struct remedies *remedies, const struct path_flow *flow, const struct path *path)
{
    for (int kind = 0; kind < PATH_KIND_COUNT; kind++) {
        const struct path_step *step = &path->steps[kind];
        if (step->verdict != PATH_DENIED && step->verdict != PATH_PARTLY)
            continue;
        if (kind == PATH_GROUP_OUT || kind == PATH_GROUP_IN)
            add_group(remedies, flow, step, kind == PATH_GROUP_OUT);
        else if (kind == PATH_ROUTE || kind == PATH_BACK_ROUTE)
            add_route(remedies, flow, step, (enum path_kind)kind);
        else
            add_acl(remedies, flow, step, (enum path_kind)kind);
    }
}

/* ---- all of them ---- */

/* An entry of that number is to be made, or stands there. */
static bool is_taken(const struct remedies *remedies, size_t before, const struct remedy *remedy,
                     int64_t number)
{
    for (size_t i = 0; i < before; i++)
        if (remedies->items[i].kind == CREATE_ENTRY && !remedies->items[i].is_covered &&
            remedies->items[i].number == number &&
            remedies->items[i].is_egress == remedy->is_egress &&
            strcmp(remedies->items[i].of, remedy->of) == 0)
            return true;
    return find_entry(remedies->estate, remedy->of, number, remedy->is_egress) != NULL;
}

/* The next free number before the one that denies; behind all others where none does. */
static int64_t free_number(const struct remedies *remedies, size_t index)
{
    const struct remedy *remedy = &remedies->items[index];
    const struct estate_acl *acl = estate_find(remedies->estate, ESTATE_ACLS, remedy->of);
    const struct estate_acl_entry *entries = acl ? acl->entries.items : NULL;
    int64_t number = remedy->number - 1;

    if (!remedy->number) {
        number = 90;
        for (size_t i = 0; acl && i < acl->entries.count; i++)
            if (entries[i].is_egress == remedy->is_egress && entries[i].number <= NUMBER_MAX - 10 &&
                entries[i].number > number)
                number = entries[i].number;
        for (number += 10; number < NUMBER_MAX && is_taken(remedies, index, remedy, number);)
            number++;
        return number;
    }
    while (number > 1 && is_taken(remedies, index, remedy, number))
        number--;
    return number;
}

static bool is_within(const struct remedy *inner, const struct remedy *outer)
{
    return inner->kind == CREATE_ENTRY && is_same(inner, outer) && outer->from <= inner->from &&
           inner->to <= outer->to;
}

size_t remedies_count(struct remedies *remedies)
{
    size_t kept = 0;

    if (remedies->is_done)
        return remedies->count;
    for (size_t i = 0; i < remedies->count; i++)
        for (size_t j = 0; j < remedies->count; j++)
            if (i != j && is_within(&remedies->items[i], &remedies->items[j])) {
                struct remedy *outer = &remedies->items[j];
                int64_t number = remedies->items[i].number;
                remedies->items[i].is_covered = true;
                if (number && (!outer->number || number < outer->number))
                    outer->number = number;
            }
    for (size_t i = 0; i < remedies->count; i++)
        if (!remedies->items[i].is_covered)
            remedies->items[kept++] = remedies->items[i];
    remedies->count = kept;
    for (size_t i = 0; i < kept; i++)
        if (remedies->items[i].kind == CREATE_ENTRY)
            remedies->items[i].number = free_number(remedies, i);
    remedies->is_done = true;
    return remedies->count;
}

static void put_protocol(const struct remedy *remedy, struct buf *out)
{
    if (remedy->protocol == PATH_TCP || remedy->protocol == PATH_UDP)
        buf_puts(out, remedy->protocol == PATH_TCP ? "tcp" : "udp");
    else
        buf_printf(out, "%d", remedy->protocol);
}

static void put_authorize(const struct remedy *remedy, struct buf *out)
{
    buf_printf(out, "aws ec2 authorize-security-group-%s --group-id %s",
               remedy->is_egress ? "egress" : "ingress", remedy->of);
    /* Only the one for ingress has --source-group and --cidr of its own. */
    buf_puts(out, " --ip-permissions 'IpProtocol=");
    put_protocol(remedy, out);
    buf_printf(out, ",FromPort=%d,ToPort=%d,", remedy->from, remedy->to);
    if (strncmp(remedy->end, "sg-", 3) == 0)
        buf_printf(out, "UserIdGroupPairs=[{GroupId=%s}]'", remedy->end);
    else
        buf_printf(out, remedy->is_v6 ? "Ipv6Ranges=[{CidrIpv6=%s}]'" : "IpRanges=[{CidrIp=%s}]'",
                   remedy->end);
}

static void put_entry(const struct remedy *remedy, struct buf *out)
{
    const char *way = remedy->is_egress ? "egress" : "ingress";

    if (remedy->kind == DELETE_ENTRY) {
        buf_printf(out,
                   "aws ec2 delete-network-acl-entry --network-acl-id %s --rule-number %lld --%s",
                   remedy->of, (long long)remedy->number, way);
        return;
    }
    buf_printf(
        out, "aws ec2 create-network-acl-entry --network-acl-id %s --rule-number %lld --protocol ",
        remedy->of, (long long)remedy->number);
    put_protocol(remedy, out);
    buf_printf(out, " --port-range From=%d,To=%d --%s %s --rule-action allow --%s", remedy->from,
               remedy->to, remedy->is_v6 ? "ipv6-cidr-block" : "cidr-block", remedy->end, way);
}

/* Where a route leads, as the command wants it. */
static void put_target(const struct estate_route *route, struct buf *out)
{
    const struct {
        const char *option, *value;
    } all[] = {
        {"gateway-id", route ? route->gateway : ""},
        {"nat-gateway-id", route ? route->nat : ""},
        {"instance-id", route ? route->instance : ""},
        {"network-interface-id", route ? route->interface : ""},
        {"vpc-peering-connection-id", route ? route->peering : ""},
        {"transit-gateway-id", route ? route->transit : ""},
        {"egress-only-internet-gateway-id", route ? route->egress_only : ""},
        {"local-gateway-id", route ? route->local : ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (*all[i].value) {
            buf_printf(out, " --%s %s", all[i].option, all[i].value);
            return;
        }
    buf_puts(out, " --gateway-id <where it is to lead>");
}

static void put_route(const struct remedy *remedy, struct buf *out)
{
    buf_printf(out, "aws ec2 %s-route --route-table-id %s --destination-%s %s",
               remedy->kind == DELETE_ROUTE ? "delete" : "create", remedy->of,
               remedy->is_v6 ? "ipv6-cidr-block" : "cidr-block", remedy->end);
    if (remedy->kind == CREATE_ROUTE)
        put_target(remedy->route, out);
}

void remedies_put(const struct remedies *remedies, size_t index, struct buf *out)
{
    const struct remedy *remedy = &remedies->items[index];

    switch (remedy->kind) {
    case AUTHORIZE:
        put_authorize(remedy, out);
        break;
    case OPEN_EGRESS:
        buf_printf(out,
                   "aws ec2 authorize-security-group-egress --group-id %s --ip-permissions "
                   "'IpProtocol=-1,%s'",
                   remedy->of,
                   remedy->is_v6 ? "Ipv6Ranges=[{CidrIpv6=::/0}]"
                                 : "IpRanges=[{CidrIp=0.0.0.0/0}]");
        break;
    case CREATE_ENTRY:
    case DELETE_ENTRY:
        put_entry(remedy, out);
        break;
    default:
        put_route(remedy, out);
    }
}
