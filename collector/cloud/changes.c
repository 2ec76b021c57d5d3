#include "collector/cloud/changes.h"

#include "collector/cloud/path_words.h"
#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 300 /* characters of a value */

/* What a part is called, the calls that read it, and how it is compared. */
static const struct part {
    const char *label;
    const char *calls[2];
    const char *only[4]; /* fields; none: all */
    bool comes_and_goes; /* one more or less of it is no change */
} parts[ESTATE_PART_COUNT] = {
    [ESTATE_SERVICES] = {.label = "service", .calls = {"ecs:DescribeServices"}},
    [ESTATE_TASKS] = {.label = "task",
                      .calls = {"ecs:DescribeTasks"},
                      .only = {"health", "status"},
                      .comes_and_goes = true},
    [ESTATE_NAMESPACES] = {.label = "namespace", .calls = {"servicediscovery:ListNamespaces"}},
    [ESTATE_REGISTRIES] = {.label = "registry", .calls = {"servicediscovery:ListServices"}},
    [ESTATE_ZONES] = {.label = "hosted zone", .calls = {"route53:ListHostedZonesByVPC"}},
    [ESTATE_RESOLVER_RULES] = {.label = "resolver rule",
                               .calls = {"route53resolver:ListResolverRules",
                                         "route53resolver:ListResolverRuleAssociations"}},
    [ESTATE_VPCS] = {.label = "VPC", .calls = {"ec2:DescribeVpcs", "ec2:DescribeVpcAttribute"}},
    [ESTATE_DHCP] = {.label = "DHCP options", .calls = {"ec2:DescribeDhcpOptions"}},
    [ESTATE_SUBNETS] = {.label = "subnet", .calls = {"ec2:DescribeSubnets"}},
    [ESTATE_GROUPS] = {.label = "security group",
                       .calls = {"ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules"}},
    [ESTATE_ACLS] = {.label = "network ACL", .calls = {"ec2:DescribeNetworkAcls"}},
    [ESTATE_ROUTE_TABLES] = {.label = "route table", .calls = {"ec2:DescribeRouteTables"}},
    [ESTATE_PREFIX_LISTS] = {.label = "prefix list",
                             .calls = {"ec2:DescribeManagedPrefixLists",
                                       "ec2:GetManagedPrefixListEntries"}},
    [ESTATE_INTERFACES] = {.label = "interface",
                           .calls = {"ec2:DescribeNetworkInterfaces"},
                           .only = {"groups", "status"},
                           .comes_and_goes = true},
    [ESTATE_TARGET_GROUPS] = {.label = "target group",
                              .calls = {"elasticloadbalancing:DescribeTargetGroups",
                                        "elasticloadbalancing:DescribeTargetHealth"}},
};

/* What changes all the time, or says only what was read. */
static const char *const ignored[] = {
    "events",         "running", "pending", "connect",     "free_addresses",
    "instance_count", "is_read", "reason",  "is_dns_read", "description",
};

struct comparison {
    struct changes *changes;
    const struct estate *then, *now;
    enum estate_part part;
    const char *of, *label; /* of the record: its id, and "security group sg-1 (payments)" */
};

const char *change_kind_name(enum change_kind kind)
{
    static const char *const names[] = {"added", "removed", "changed"};

    return names[kind];
}

static void add(struct comparison *comparison, enum change_kind kind, const char *item,
                const char *what, const char *then, const char *now)
{
    struct changes *changes = comparison->changes;
    struct arena *arena = &changes->arena;

    if (changes->count == CHANGES_MAX) {
        changes->has_more = true;
        return;
    }
    mem_grow(&changes->items, changes->count, &changes->capacity, sizeof(*changes->items));
    changes->items[changes->count++] = (struct change){
        .kind = kind,
        .part = comparison->part,
        .of = arena_strdup(arena, comparison->of),
        .item = arena_strdup(arena, item),
        .what = arena_printf(arena, "%s%s%s", comparison->label, *what ? ", " : "", what),
        .then = arena_printf(arena, "%.*s", SHOWN_MAX, then),
        .now = arena_printf(arena, "%.*s", SHOWN_MAX, now),
        .by = "",
        .event = "",
    };
}

/* ---- items in words ---- */

static void put_ports(const char *protocol, int64_t from, int64_t to, struct buf *out)
{
    const char *name = strcmp(protocol, "6") == 0    ? "tcp"
                       : strcmp(protocol, "17") == 0 ? "udp"
                                                     : protocol;

    if (strcmp(protocol, "-1") == 0)
        buf_puts(out, "everything");
    else if (from == to)
        buf_printf(out, "%s %lld", name, (long long)from);
    else
        buf_printf(out, "%s %lld-%lld", name, (long long)from, (long long)to);
}

static void put_rule(const struct estate *estate, const struct estate_rule *rule, struct buf *out)
{
    put_ports(rule->protocol, rule->from, rule->to, out);
    buf_puts(out, rule->is_egress ? " to " : " from ");
    path_words_put_rule_end(estate, rule, out);
}

static void put_entry(const struct estate_acl_entry *entry, struct buf *out)
{
    buf_printf(out, "%s ", entry->action);
    put_ports(entry->protocol, entry->from, entry->to, out);
    buf_printf(out, " %s %s", entry->is_egress ? "to" : "from",
               *entry->block ? entry->block : entry->block6);
}

static void put_route(const struct estate_route *route, struct buf *out)
{
    buf_printf(out, "to %s", path_words_route_target(route));
    if (strcmp(route->state, "active") != 0)
        buf_printf(out, " (%s)", route->state);
}

static void put_texts(const struct record_list *texts, struct buf *out)
{
    for (size_t i = 0; i < texts->count; i++)
        buf_printf(out, "%s%s", i ? ", " : "", record_text(texts, i));
}

static void put_instance(const struct estate_instance *instance, struct buf *out)
{
    buf_puts(out, *instance->address ? instance->address : instance->address6);
    if (*instance->health)
        buf_printf(out, ", %s", instance->health);
}

/* Its JSON, without what makes it JSON. */
static void put_plain(const struct record_type *type, const void *item, struct buf *out)
{
    CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);

    record_write(type, item, &json);
    for (const char *at = buf_text(&json); *at; at++)
        if (!strchr("{}\"", *at))
            buf_puts(out, *at == ',' ? ", " : *at == ':' ? ": " : (char[]){*at, '\0'});
}

static bool is_list(const struct comparison *comparison, enum estate_part part, const char *key,
                    const char *wanted)
{
    return comparison->part == part && strcmp(key, wanted) == 0;
}

static void put_item(const struct comparison *comparison, const struct estate *estate,
                     const struct record_field *field, const void *item, struct buf *out)
{
    if (is_list(comparison, ESTATE_GROUPS, field->key, "rules"))
        put_rule(estate, item, out);
    else if (is_list(comparison, ESTATE_ACLS, field->key, "entries"))
        put_entry(item, out);
    else if (is_list(comparison, ESTATE_ROUTE_TABLES, field->key, "routes"))
        put_route(item, out);
    else if (is_list(comparison, ESTATE_ZONES, field->key, "records"))
        put_texts(&((const struct estate_record *)item)->values, out);
    else if (is_list(comparison, ESTATE_REGISTRIES, field->key, "instances"))
        put_instance(item, out);
    else if (is_list(comparison, ESTATE_SERVICES, field->key, "deployments"))
        buf_puts(out, ((const struct estate_deployment *)item)->state);
    else
        put_plain(field->type, item, out);
}

/* "ingress rule sgr-1", "inbound entry 90", "route 10.0.0.0/8", "containers app". */
static const char *name_item(struct comparison *comparison, const struct record_field *field,
                             const void *item, const char *key)
{
    struct arena *arena = &comparison->changes->arena;
    const struct estate_rule *rule = item;
    const struct estate_acl_entry *entry = item;

    if (is_list(comparison, ESTATE_GROUPS, field->key, "rules"))
        return arena_printf(arena, "%s rule %s", rule->is_egress ? "egress" : "ingress", rule->id);
    if (is_list(comparison, ESTATE_ACLS, field->key, "entries"))
        return arena_printf(arena, "%s entry %lld", entry->is_egress ? "outbound" : "inbound",
                            (long long)entry->number);
    if (is_list(comparison, ESTATE_ROUTE_TABLES, field->key, "routes"))
        return arena_printf(arena, "route %s", key);
    if (is_list(comparison, ESTATE_ZONES, field->key, "records"))
        return arena_printf(arena, "record %s %s", ((const struct estate_record *)item)->name,
                            ((const struct estate_record *)item)->type);
    if (is_list(comparison, ESTATE_SERVICES, field->key, "deployments"))
        return arena_printf(
            arena, "deployment of %s",
            estate_short_name(((const struct estate_deployment *)item)->definition));
    if (is_list(comparison, ESTATE_REGISTRIES, field->key, "instances"))
        return arena_printf(arena, "instance %s", key);
    return arena_printf(arena, "%s %s", field->key, key);
}

/* ---- records side by side ---- */

struct keyed {
    const char *key;
    const void *record;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

/* What tells an item from the others of its list: its leading fields. */
static size_t key_fields(const struct comparison *comparison, const char *list)
{
    static const struct {
        enum estate_part part;
        const char *list;
        size_t count;
    } keys[] = {
        {ESTATE_ACLS, "entries", 2},           {ESTATE_ROUTE_TABLES, "routes", 3},
        {ESTATE_ZONES, "records", 3},          {ESTATE_TARGET_GROUPS, "targets", 2},
        {ESTATE_SERVICES, "registrations", 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].part == comparison->part && strcmp(keys[i].list, list) == 0)
            return keys[i].count;
    return 1;
}

static const char *key_of(struct arena *arena, const struct record_type *type, const void *record,
                          size_t fields)
{
    CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED);

    for (size_t i = 0; i < fields && i < type->field_count; i++) {
        const void *place = (const char *)record + type->fields[i].offset;
        const char *word = type->fields[i].kind == RECORD_TEXT ? *(const char *const *)place : "";
        if (type->fields[i].kind == RECORD_INT)
            buf_printf(&text, "%s%lld", text.length ? " " : "", (long long)*(const int64_t *)place);
        else if (type->fields[i].kind == RECORD_BOOL)
            buf_puts(&text, *(const bool *)place ? " out" : "");
        else if (*word)
            buf_printf(&text, "%s%s", text.length ? " " : "", word);
    }
    return arena_strdup(arena, buf_text(&text));
}

static struct keyed *sort_list(struct arena *arena, const struct record_type *type,
                               const struct record_list *list, size_t fields)
{
    struct keyed *sorted = arena_alloc(arena, list->count + 1, sizeof(*sorted));

    for (size_t i = 0; i < list->count; i++) {
        sorted[i].record = (const char *)list->items + i * type->size;
        sorted[i].key = key_of(arena, type, sorted[i].record, fields);
    }
    if (list->count)
        qsort(sorted, list->count, sizeof(*sorted), by_key);
    return sorted;
}

static void put_value(const struct record_field *field, const void *place, struct buf *out)
{
    const struct record_list *list = place;

    if (field->kind == RECORD_TEXT)
        buf_puts(out, *(const char *const *)place);
    else if (field->kind == RECORD_INT)
        buf_printf(out, "%lld", (long long)*(const int64_t *)place);
    else if (field->kind == RECORD_BOOL)
        buf_puts(out, *(const bool *)place ? "true" : "false");
    for (size_t i = 0; field->kind == RECORD_TEXTS && i < list->count; i++)
        buf_printf(out, "%s%s", i ? ", " : "", record_text(list, i));
}

static bool has_all(const struct record_list *outer, const struct record_list *inner)
{
    for (size_t i = 0; i < inner->count; i++)
        if (!record_has_text(outer, record_text(inner, i)))
            return false;
    return true;
}

static bool is_same(const struct record_field *field, const void *a, const void *b)
{
    CLEANUP_BUF struct buf x = BUF_INIT(BUF_UNBOUNDED), y = x;

    if (field->kind == RECORD_TIME)
        return true;
    if (field->kind == RECORD_TEXTS)
        return has_all(a, b) && has_all(b, a);
    put_value(field, a, &x);
    put_value(field, b, &y);
    return strcmp(buf_text(&x), buf_text(&y)) == 0;
}

static bool is_ignored(const struct comparison *comparison, const struct record_field *field,
                       bool is_top)
{
    const struct part *part = &parts[comparison->part];

    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        if (strcmp(ignored[i], field->key) == 0)
            return true;
    if (!is_top || !part->only[0])
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(part->only) && part->only[i]; i++)
        if (strcmp(part->only[i], field->key) == 0)
            return false;
    return true;
}

static void compare_lists(struct comparison *comparison, const struct record_field *field,
                          const void *then, const void *now);

/* `prefix`: what the fields are of, "containers app"; "" for the record itself. */
static void compare_fields(struct comparison *comparison, const struct record_type *type,
                           const char *prefix, const char *item, const void *then, const void *now)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];
        const void *a = (const char *)then + field->offset, *b = (const char *)now + field->offset;
        CLEANUP_BUF struct buf before = BUF_INIT(BUF_UNBOUNDED), after = before;
        if (is_ignored(comparison, field, !*prefix))
            continue;
        if (field->kind == RECORD_LIST) {
            compare_lists(comparison, field, a, b);
            continue;
        }
        if (is_same(field, a, b))
            continue;
        put_value(field, a, &before);
        put_value(field, b, &after);
        add(comparison, CHANGE_CHANGED, item,
            arena_printf(&comparison->changes->arena, "%s%s%s", prefix, *prefix ? " " : "",
                         field->key),
            buf_text(&before), buf_text(&after));
    }
}

static void compare_lists(struct comparison *comparison, const struct record_field *field,
                          const void *then, const void *now)
{
    struct arena *arena = &comparison->changes->arena;
    const struct record_list *a = then, *b = now;
    size_t fields = key_fields(comparison, field->key), i = 0, j = 0;
    struct keyed *old = sort_list(arena, field->type, a, fields);
    struct keyed *new = sort_list(arena, field->type, b, fields);

    while (i < a->count || j < b->count) {
        int order = i == a->count ? 1 : j == b->count ? -1 : strcmp(old[i].key, new[j].key);
        const struct keyed *at = order <= 0 ? &old[i] : &new[j];
        const char *what = name_item(comparison, field, at->record, at->key);
        CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED), after = text;
        put_item(comparison, order <= 0 ? comparison->then : comparison->now, field, at->record,
                 &text);
        if (order < 0) {
            add(comparison, CHANGE_REMOVED, at->key, what, buf_text(&text), "");
        } else if (order > 0) {
            add(comparison, CHANGE_ADDED, at->key, what, "", buf_text(&text));
        } else if (comparison->part == ESTATE_GROUPS || comparison->part == ESTATE_ACLS ||
                   comparison->part == ESTATE_ROUTE_TABLES) {
            put_item(comparison, comparison->now, field, new[j].record, &after);
            if (strcmp(buf_text(&text), buf_text(&after)) != 0)
                add(comparison, CHANGE_CHANGED, at->key, what, buf_text(&text), buf_text(&after));
        } else {
            compare_fields(comparison, field->type, what, at->key, old[i].record, new[j].record);
        }
        i += order <= 0;
        j += order >= 0;
    }
}

/* ---- parts ---- */

static bool is_read(const struct estate *estate, const struct part *part)
{
    for (size_t i = 0; i < ARRAY_SIZE(part->calls) && part->calls[i]; i++)
        if (!estate_has(estate, part->calls[i]))
            return false;
    return true;
}

/* What has is_read, and was not: nothing can be said of what is in it. */
static bool is_known(const struct record_type *type, const void *record)
{
    for (size_t i = 0; i < type->field_count; i++)
        if (strcmp(type->fields[i].key, "is_read") == 0 ||
            strcmp(type->fields[i].key, "is_dns_read") == 0)
            return *(const bool *)((const char *)record + type->fields[i].offset);
    return true;
}

static const char *text_field(const struct record_type *type, const void *record, const char *key)
{
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields[i].kind == RECORD_TEXT && strcmp(type->fields[i].key, key) == 0)
            return *(const char *const *)((const char *)record + type->fields[i].offset);
    return "";
}

/* "security group sg-1 (payments)", "service payments". */
static void name_record(struct comparison *comparison, const void *record)
{
    const struct record_type *type = estate_type(comparison->part);
    const char *id = *(const char *const *)((const char *)record + type->fields[0].offset);
    const char *name = text_field(type, record, "name");
    struct arena *arena = &comparison->changes->arena;

    comparison->of = comparison->part == ESTATE_SERVICES ? name : id;
    comparison->label = *name && comparison->part != ESTATE_SERVICES
                            ? arena_printf(arena, "%s %s (%s)", parts[comparison->part].label,
                                           estate_short_name(comparison->of), name)
                            : arena_printf(arena, "%s %s", parts[comparison->part].label,
                                           estate_short_name(comparison->of));
}

/* What a new revision changes. */
static void compare_definitions(struct comparison *comparison, const struct estate_service *then,
                                const struct estate_service *now)
{
    const struct estate_definition *a =
        estate_find(comparison->then, ESTATE_DEFINITIONS, then->definition);
    const struct estate_definition *b =
        estate_find(comparison->now, ESTATE_DEFINITIONS, now->definition);
    const struct record_type *type = estate_type(ESTATE_DEFINITIONS);

    if (!a || !b || a == b || strcmp(a->arn, b->arn) == 0)
        return;
    for (size_t i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];
        const void *x = (const char *)a + field->offset, *y = (const char *)b + field->offset;
        if (field->kind == RECORD_LIST)
            compare_lists(comparison, field, x, y);
        else if (strcmp(field->key, "network_mode") == 0 && !is_same(field, x, y))
            add(comparison, CHANGE_CHANGED, "", "network mode", a->network_mode, b->network_mode);
    }
}

static void compare_part(struct changes *changes, const struct estate *then,
                         const struct estate *now, enum estate_part part)
{
    const struct record_type *type = estate_type(part);
    struct keyed *old = sort_list(&changes->arena, type, &then->parts[part], 1);
    struct keyed *new = sort_list(&changes->arena, type, &now->parts[part], 1);
    struct comparison comparison = {changes, then, now, part, "", ""};
    size_t i = 0, j = 0, a = estate_count(then, part), b = estate_count(now, part);

    while (i < a || j < b) {
        int order = i == a ? 1 : j == b ? -1 : strcmp(old[i].key, new[j].key);
        name_record(&comparison, order <= 0 ? old[i].record : new[j].record);
        if (order != 0 && !parts[part].comes_and_goes)
            add(&comparison, order < 0 ? CHANGE_REMOVED : CHANGE_ADDED, "", "",
                order < 0 ? "there" : "", order < 0 ? "" : "there");
        if (order == 0 && is_known(type, old[i].record) && is_known(type, new[j].record))
            compare_fields(&comparison, type, "", "", old[i].record, new[j].record);
        if (order == 0 && part == ESTATE_SERVICES)
            compare_definitions(&comparison, old[i].record, new[j].record);
        i += order <= 0;
        j += order >= 0;
    }
}

struct changes *changes_find(const struct estate *then, const struct estate *now)
{
    struct changes *changes = mem_alloc(sizeof(*changes));

    for (int part = 0; part < ESTATE_PART_COUNT; part++)
        if (parts[part].label && is_read(then, &parts[part]) && is_read(now, &parts[part]))
            compare_part(changes, then, now, (enum estate_part)part);
    return changes;
}

struct changes *changes_free(struct changes *changes)
{
    if (changes) {
        mem_free(changes->items);
        arena_deinit(&changes->arena);
    }
    mem_free(changes);
    return NULL;
}

/* ---- by whom ---- */

/* The vendor's calls that make such a change. */
static bool could_make(const struct estate_trail_event *event, const struct change *change)
{
    static const struct {
        enum estate_part part;
        const char *added, *removed, *changed;
    } calls[] = {
        {ESTATE_GROUPS, "Authorize", "Revoke", "ModifySecurityGroupRules"},
        {ESTATE_ACLS, "CreateNetworkAclEntry", "DeleteNetworkAclEntry", "ReplaceNetworkAcl"},
        {ESTATE_ROUTE_TABLES, "CreateRoute", "DeleteRoute", "Route"},
        {ESTATE_SERVICES, "Service", "Service", "Service"},
        {ESTATE_VPCS, "Vpc", "Vpc", "ModifyVpcAttribute"},
        {ESTATE_INTERFACES, "NetworkInterface", "NetworkInterface",
         "ModifyNetworkInterfaceAttribute"},
        {ESTATE_REGISTRIES, "Instance", "Instance", "UpdateService"},
        {ESTATE_TARGET_GROUPS, "Target", "Target", "Target"},
    };

    if (change->part == ESTATE_GROUPS && !*change->item) /* the group itself */
        return strstr(event->name, "SecurityGroup") && !strstr(event->name, "gress");
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        const char *wanted = change->kind == CHANGE_ADDED     ? calls[i].added
                             : change->kind == CHANGE_REMOVED ? calls[i].removed
                                                              : calls[i].changed;
        if (calls[i].part == change->part)
            return strstr(event->name, wanted) != NULL;
    }
    return true;
}

static bool names_item(const struct estate_trail_event *event, const struct change *change)
{
    char number[64];

    if (change->part != ESTATE_ACLS)
        return *change->item && strstr(event->detail, change->item);
    snprintf(number, sizeof(number), "\"ruleNumber\":%.*s", (int)strcspn(change->item, " "),
             change->item);
    return strstr(event->detail, number) != NULL;
}

static void attribute(struct changes *changes, struct change *change, const struct estate *now,
                      int64_t since_ms)
{
    const struct estate_trail_event *events = now->parts[ESTATE_TRAIL].items, *best = NULL;
    bool is_named = false;

    for (size_t i = 0; i < estate_count(now, ESTATE_TRAIL); i++) {
        bool names = names_item(&events[i], change);
        if (events[i].at_ms < since_ms || strcmp(events[i].of, change->of) != 0 ||
            !could_make(&events[i], change) || (is_named && !names))
            continue;
        if (!best || (names && !is_named) || events[i].at_ms >= best->at_ms)
            best = &events[i];
        is_named |= names;
    }
    if (!best)
        return;
    change->at_ms = best->at_ms;
    change->by = arena_strdup(&changes->arena, best->by);
    change->event = arena_strdup(&changes->arena, best->name);
}

void changes_attribute(struct changes *changes, const struct estate *now, int64_t since_ms)
{
    for (size_t i = 0; i < changes->count; i++)
        attribute(changes, &changes->items[i], now, since_ms);
}
