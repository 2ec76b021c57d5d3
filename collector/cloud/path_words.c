#include "collector/cloud/path_words.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <string.h>

void path_words_put_group(const struct estate *estate, const char *id, struct buf *out)
{
    const struct estate_group *group = estate_find(estate, ESTATE_GROUPS, id);

    buf_puts(out, id);
    if (group && *group->name)
        buf_printf(out, " (%s)", group->name);
}

static void put_address(const struct cidr *cidr, struct buf *out)
{
    char text[INET6_ADDRSTRLEN] = "?";

    inet_ntop(cidr->family, cidr->address, text, sizeof(text));
    buf_puts(out, text);
}

/* A side, by its first group where it has one; else by its address. */
static void put_side(const struct estate *estate, const struct path_end *end,
                     const struct cidr *address, struct buf *out)
{
    if (end && path_interface(end)->groups.count)
        path_words_put_group(estate, record_text(&path_interface(end)->groups, 0), out);
    else
        put_address(address, out);
}

static const char *protocol_name(int protocol)
{
    return protocol == PATH_TCP ? "tcp" : protocol == PATH_UDP ? "udp" : "icmp";
}

static void put_ports(const struct path_flow *flow, bool is_back, struct buf *out)
{
    buf_printf(out, "%s ", protocol_name((int)flow->protocol));
    if (!is_back)
        buf_printf(out, "%d", flow->port);
    else if (flow->back_from == flow->back_to)
        buf_printf(out, "%d", flow->back_from);
    else
        buf_printf(out, "%d-%d", flow->back_from, flow->back_to);
}

void path_words_put_rule_end(const struct estate *estate, const struct estate_rule *rule,
                             struct buf *out)
{
    if (*rule->peer)
        path_words_put_group(estate, rule->peer, out);
    else
        buf_puts(out, *rule->prefix_list ? rule->prefix_list
                      : *rule->block     ? rule->block
                                         : rule->block6);
}

static void put_group_step(const struct estate *estate, const struct path_flow *flow,
                           const struct path_step *step, bool is_egress, struct buf *out)
{
    const struct path_end *end = is_egress ? flow->source : flow->target;
    size_t groups = end ? path_interface(end)->groups.count : 0;

    if (step->rule) {
        buf_printf(out, "rule %s of ", step->rule->id);
        path_words_put_group(estate, step->of, out);
        buf_puts(out, " allows ");
        if (strcmp(step->rule->protocol, "-1") == 0)
            buf_puts(out, "everything");
        else
            put_ports(flow, false, out);
        buf_puts(out, is_egress ? " to " : " from ");
        path_words_put_rule_end(estate, step->rule, out);
        return;
    }
    for (size_t i = 0; i < groups; i++) {
        buf_puts(out, i == 0 ? "" : i + 1 == groups ? " and " : ", ");
        path_words_put_group(estate, record_text(&path_interface(end)->groups, i), out);
    }
    if (!groups)
        buf_puts(out, "no interface with this address is known");
    else if (step->verdict == PATH_UNKNOWN)
        buf_puts(out, ": not all of the rules could be read");
    else {
        buf_printf(out, " %s no %srule for ", groups > 1 ? "have" : "has",
                   is_egress ? "egress " : "");
        put_ports(flow, false, out);
        buf_puts(out, is_egress ? " to " : " from ");
        if (is_egress)
            put_side(estate, flow->target, &flow->to, out);
        else
            put_side(estate, flow->source, &flow->from, out);
    }
}

static void put_acl_step(const struct path_flow *flow, const struct path_step *step,
                         enum path_kind kind, struct buf *out)
{
    bool is_egress = kind == PATH_ACL_OUT || kind == PATH_BACK_ACL_OUT;
    bool is_to_target = kind == PATH_ACL_OUT || kind == PATH_BACK_ACL_IN;
    const struct estate_acl_entry *entry = step->entry;
    const char *way = is_egress ? "outbound" : "inbound";

    if (step->verdict == PATH_UNKNOWN) {
        buf_puts(out, "the subnet's ACL could not be read");
        return;
    }
    if (entry) {
        bool is_all = strcmp(entry->protocol, "-1") == 0;
        buf_printf(out, "entry %lld of %s, %s, %s ", (long long)entry->number, step->of, way,
                   step->verdict == PATH_ALLOWED  ? "allows"
                   : step->verdict == PATH_PARTLY ? "denies some of"
                                                  : "denies");
        if (is_all && step->verdict != PATH_PARTLY)
            buf_puts(out, "everything");
        else
            put_ports(flow, path_is_back(kind), out);
        buf_printf(out, " %s %s", is_egress ? "to" : "from",
                   *entry->block ? entry->block : entry->block6);
        return;
    }
    buf_printf(out, "%s has no %s entry for %s", step->of, way,
               step->verdict == PATH_PARTLY ? "some of " : "");
    put_ports(flow, path_is_back(kind), out);
    buf_puts(out, is_egress ? " to " : " from ");
    put_address(is_to_target ? &flow->to : &flow->from, out);
}

const char *path_words_route_target(const struct estate_route *route)
{
    const char *const all[] = {route->gateway, route->nat,     route->instance,    route->interface,
                               route->peering, route->transit, route->egress_only, route->local};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (*all[i])
            return all[i];
    return "?";
}

static void put_route_step(const struct path_flow *flow, const struct path_step *step, bool is_back,
                           struct buf *out)
{
    const struct estate_route *route = step->route;

    if (!*step->of) {
        buf_puts(out, "the subnet's route table could not be read");
        return;
    }
    if (!route) {
        buf_printf(out, "%s has no route to ", step->of);
        put_address(is_back ? &flow->from : &flow->to, out);
        return;
    }
    buf_printf(out, "%s leads %s to %s", step->of,
               *route->block    ? route->block
               : *route->block6 ? route->block6
                                : route->prefix_list,
               strcmp(route->gateway, "local") == 0 ? "the VPC itself"
                                                    : path_words_route_target(route));
    if (strcmp(route->state, "blackhole") == 0)
        buf_puts(out, ", which is gone (black hole)");
    else if (step->doubt == PATH_TRANSIT)
        buf_puts(out, ", whose own route tables are not looked at");
    else if (step->doubt == PATH_MIDDLEBOX)
        buf_puts(out, ", which forwards it or not");
    else if (step->doubt == PATH_OUTSIDE)
        buf_puts(out, ", out of the VPC");
    else if (step->verdict == PATH_DENIED)
        buf_puts(out, ", where nobody has this address");
}

void path_words_put(const struct estate *estate, const struct path_flow *flow,
                    const struct path *path, enum path_kind kind, struct buf *out)
{
    const struct path_step *step = &path->steps[kind];

    if (step->verdict == PATH_SKIPPED) {
        buf_puts(out, flow->source == flow->target ? "within the task: nothing looks at it"
                                                   : "within one subnet: nothing looks at it");
        return;
    }
    switch (kind) {
    case PATH_GROUP_OUT:
    case PATH_GROUP_IN:
        put_group_step(estate, flow, step, kind == PATH_GROUP_OUT, out);
        break;
    case PATH_ROUTE:
    case PATH_BACK_ROUTE:
        put_route_step(flow, step, kind == PATH_BACK_ROUTE, out);
        break;
    default:
        put_acl_step(flow, step, kind, out);
    }
}

void path_words_put_all(const struct estate *estate, const struct path_flow *flow,
                        const struct path *path, enum path_verdict verdict, struct buf *out)
{
    const char *separator = "";

    for (int kind = 0; kind < PATH_KIND_COUNT; kind++) {
        if (path->steps[kind].verdict != verdict)
            continue;
        buf_puts(out, separator);
        path_words_put(estate, flow, path, (enum path_kind)kind, out);
        separator = "; ";
    }
}
