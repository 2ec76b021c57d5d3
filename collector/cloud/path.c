#include "collector/cloud/path_internal.h"

#include <string.h>

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

/* ---- groups ---- */

static bool is_icmp(int protocol)
{
    return protocol == PATH_ICMP || protocol == PATH_ICMP6;
}

/* Protocol and port; of ICMP type and code. */
static bool rule_fits(const struct rule *rule, const struct path_flow *flow)
{
    if (rule->protocol == PATH_ALL)
        return true;
    if (rule->protocol != (int)flow->protocol)
        return false;
    if (is_icmp(rule->protocol))
        return (rule->from == PATH_ALL || rule->from == flow->port) &&
               (rule->to == PATH_ALL || rule->to == flow->code);
    if (rule->protocol != PATH_TCP && rule->protocol != PATH_UDP)
        return true;
    return rule->from == PATH_ALL || (rule->from <= flow->port && flow->port <= rule->to);
}

static bool list_covers(const struct blocks *list, const struct net *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (path_covers(&list->items[i], address))
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
        if (rule->list ? list_covers(rule->list, address) : path_covers(&rule->block, address))
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
    if (entry->protocol != PATH_ALL && entry->protocol != passage->protocol)
        return false;
    if (!path_covers(&entry->block, passage->address))
        return false;
    if (entry->protocol == PATH_ALL || !is_icmp(entry->protocol))
        return true;
    return (entry->icmp_type == PATH_ALL || entry->icmp_type == passage->from) &&
           (entry->icmp_code == PATH_ALL || entry->icmp_code == passage->code);
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
        if (path_covers(&table->items[i].block, address) && is_better(&table->items[i], best))
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
                path_covers(&map->subnets[i].blocks[b], to))
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
    struct net from = path_net_of(&flow->from), to = path_net_of(&flow->to);
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
