#include "collector/cloud/gather_internal.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Lists that go into a part as they are. */
static const struct {
    enum estate_part part;
    const char *items; /* NULL: the operation has a function of its own */
} lists[AWS_OPERATION_COUNT] = {
    [EC2_SUBNETS] = {ESTATE_SUBNETS, "subnetSet"},
    [EC2_NETWORK_ACLS] = {ESTATE_ACLS, "networkAclSet"},
    [EC2_ROUTE_TABLES] = {ESTATE_ROUTE_TABLES, "routeTableSet"},
    [EC2_DHCP_OPTIONS] = {ESTATE_DHCP, "dhcpOptionsSet"},
    [EC2_NETWORK_INTERFACES] = {ESTATE_INTERFACES, "networkInterfaceSet"},
    [EC2_PREFIX_LISTS] = {ESTATE_PREFIX_LISTS, "prefixListSet"},
    [ELB_TARGET_GROUPS] = {ESTATE_TARGET_GROUPS, "DescribeTargetGroupsResult/TargetGroups"},
};

/* ---- asking ---- */

void gather_note_missing(struct gather *gather, enum aws_operation_id id, const char *of,
                         const char *code, const char *text, bool is_permission)
{
    char call[96];

    aws_permission(id, call, sizeof(call));
    estate_note_missing(gather->estate, call, of, code, text, is_permission);
}

void gather_note_unasked(struct gather *gather, enum aws_operation_id id)
{
    char call[96];

    aws_permission(id, call, sizeof(call));
    if (estate_has(gather->estate, call))
        estate_note_missing(gather->estate, call, "", "not-asked", "its turn did not come in time",
                            false);
}

static void drop_ask(struct gather *gather, struct ask *ask)
{
    for (struct ask **at = &gather->asks; *at; at = &(*at)->next)
        if (*at == ask) {
            *at = ask->next;
            break;
        }
    mem_free(ask);
    if (!gather->asks)
        loop_defer(gather->loop, &gather->kick);
}

static void on_page(void *ctx, const struct aws_page *page)
{
    struct ask *ask = ctx;
    struct gather *gather = ask->gather;

    ask->is_last = page->is_last;
    if (page->root && ask->on_page)
        ask->on_page(gather, ask, page->root);
    else if (page->root)
        gather_read_items(gather, lists[ask->operation].part,
                          tree_items(page->root, lists[ask->operation].items));
    else
        gather_note_missing(gather, ask->operation, ask->of, page->outcome->code,
                            page->outcome->text, page->outcome->fault == AWS_NOT_ALLOWED);
    if (page->is_last)
        drop_ask(gather, ask);
}

void gather_ask(struct gather *gather, enum aws_operation_id operation, struct aws_params *params,
                const char *of, gather_page_fn fn)
{
    struct ask *one = mem_alloc(sizeof(*one));

    assert(fn || lists[operation].items);
    *one = (struct ask){
        .next = gather->asks,
        .gather = gather,
        .operation = operation,
        .on_page = fn,
        .of = arena_strdup(&gather->estate->arena, of),
    };
    gather->asks = one;
    one->call = aws_call(gather->aws, operation, params, on_page, one);
}

void gather_ask_plainly(struct gather *gather, enum aws_operation_id operation, gather_page_fn fn)
{
    struct aws_params params = aws_params_of(operation);

    gather_ask(gather, operation, &params, "", fn);
}

void gather_ask_by(struct gather *gather, enum aws_operation_id operation, const char *parameter,
                   const char *value, gather_page_fn fn)
{
    struct aws_params params = aws_params_of(operation);

    aws_put(&params, parameter, value);
    gather_ask(gather, operation, &params, value, fn);
}

void *gather_read_items(struct gather *gather, enum estate_part part, const struct tree *items)
{
    struct record_list *list = &gather->estate->parts[part];
    const struct record_type *type = estate_type(part);
    size_t before = list->count;

    if (!items)
        return NULL;
    record_read_list(&gather->estate->arena, type, list, items, RECORD_VENDOR);
    return (char *)list->items + before * type->size;
}

size_t gather_count(const struct gather *gather, enum estate_part part)
{
    return estate_count(gather->estate, part);
}

/* ---- from stage to stage ---- */

static bool is_network_fresh(const struct gather *gather)
{
    return !gather->is_fresh && gather->former && gather->former->is_network_whole &&
           gather->estate->taken_ms - gather->former->network_taken_ms < GATHER_NETWORK_MS;
}

/* What changes seldom, and takes many calls. */
static const enum estate_part network_parts[] = {
    ESTATE_RESOLVER_RULES, ESTATE_VPCS,         ESTATE_DHCP,
    ESTATE_SUBNETS,        ESTATE_GROUPS,       ESTATE_ACLS,
    ESTATE_ROUTE_TABLES,   ESTATE_PREFIX_LISTS, ESTATE_INTERFACES,
};

static void begin_fleet(struct gather *gather)
{
    gather_ecs(gather);
    gather_registries(gather);
    gather_ask_plainly(gather, ELB_TARGET_GROUPS, NULL);
    if (gather->is_fleet_only)
        return;
    if (!is_network_fresh(gather)) {
        gather->estate->network_taken_ms = gather->estate->taken_ms;
        gather_subnets(gather);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(network_parts); i++)
        estate_copy_part(gather->estate, gather->former, network_parts[i]);
    gather->estate->network_taken_ms = gather->former->network_taken_ms;
}

static void begin_network(struct gather *gather)
{
    gather_find_vpcs(gather);
    gather_target_health(gather);
    gather_zones(gather);
    if (gather->vpcs.count && !is_network_fresh(gather))
        gather_network(gather);
}

static struct gather *free_gather(struct gather *gather)
{
    while (gather->asks) {
        struct ask *one = gather->asks;
        gather->asks = one->next;
        aws_cancel(gather->aws, one->call);
        mem_free(one);
    }
    loop_timer_stop(gather->loop, &gather->deadline);
    loop_timer_stop(gather->loop, &gather->patience);
    loop_undefer(gather->loop, &gather->kick);
    estate_free(gather->estate);
    mem_free(gather);
    return NULL;
}

static bool has_subnets(const struct gather *gather)
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;

    for (size_t i = 0; i < gather_count(gather, ESTATE_SERVICES); i++)
        if (services[i].subnets.count)
            return true;
    return false;
}

/* The network is asked for by the VPCs of the services' subnets. */
static void note_unknown_network(struct gather *gather)
{
    static const enum aws_operation_id network[] = {
        EC2_SECURITY_GROUPS,    EC2_NETWORK_ACLS, EC2_ROUTE_TABLES,        EC2_VPCS,
        EC2_NETWORK_INTERFACES, R53_ZONES_BY_VPC, EC2_SECURITY_GROUP_RULES};
    const char *text = has_subnets(gather)
                           ? "the VPC of the services was not known in time"
                           : "no service has subnets of its own (network mode awsvpc)";

    if (gather->vpcs.count || gather_count(gather, ESTATE_VPCS) ||
        !gather_count(gather, ESTATE_SERVICES))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(network); i++)
        gather_note_missing(gather, network[i], "", "not-asked", text, false);
}

static bool is_network_whole(const struct estate *estate)
{
    const struct estate_missing *missing = estate->parts[ESTATE_MISSING].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_MISSING); i++)
        if (strncmp(missing[i].call, "ec2:", 4) == 0 ||
            strncmp(missing[i].call, "route53resolver:", 16) == 0)
            return false;
    return estate_count(estate, ESTATE_VPCS) > 0;
}

static void finish(struct gather *gather)
{
    struct estate *estate = gather->estate;
    gather_fn fn = gather->fn;
    void *ctx = gather->ctx;

    gather_keep_used_target_groups(gather);
    gather_prune_ecs(gather);
    gather_prune_names(gather);
    if (!gather->is_fleet_only) {
        note_unknown_network(gather);
        gather_note_unread_names(gather);
        gather_note_unread_network(gather);
    }
    estate->is_network_whole = is_network_whole(estate);
    estate_sort(estate);
    gather->estate = NULL;
    free_gather(gather);
    fn(ctx, estate);
}

static void begin_stage(struct gather *gather)
{
    gather->stage = gather->is_fleet_only ? STAGE_OVER : gather->stage + 1;
    if (gather->stage == STAGE_NETWORK)
        begin_network(gather);
    else if (gather->stage == STAGE_REST)
        gather_instances(gather);
    else if (gather->stage == STAGE_PREFIX_LISTS && !is_network_fresh(gather))
        gather_prefix_lists(gather);
    loop_timer_in_ms(gather->loop, &gather->patience,
                     (uint64_t)gather->deadline_ms / GATHER_STAGES);
}

/* All that was asked is answered. */
static void go_on(void *ctx)
{
    struct gather *gather = ctx;

    while (!gather->asks && gather->stage < STAGE_OVER)
        begin_stage(gather);
    if (!gather->asks)
        finish(gather);
}

/* The rest goes on without what is still awaited. */
static void on_patience(void *ctx)
{
    struct gather *gather = ctx;

    if (gather->stage < STAGE_PREFIX_LISTS && !gather->is_fleet_only)
        begin_stage(gather);
}

static void on_deadline(void *ctx)
{
    struct gather *gather = ctx;
    char text[64];

    snprintf(text, sizeof(text), "no answer within %lld s", (long long)gather->deadline_ms / 1000);
    for (const struct ask *one = gather->asks; one; one = one->next) {
        const struct aws_outcome *trouble = aws_call_trouble(one->call);
        if (trouble->fault == AWS_FINE)
            gather_note_missing(gather, one->operation, one->of, "no-answer", text, false);
        else
            gather_note_missing(gather, one->operation, one->of, trouble->code, trouble->text,
                                false);
    }
    finish(gather);
}

/* Once, though it be given by its name and by its ARN. */
static void add_cluster(struct gather *gather, const char *cluster)
{
    for (size_t i = 0; i < gather->clusters.count; i++)
        if (strcmp(estate_short_name(record_text(&gather->clusters, i)),
                   estate_short_name(cluster)) == 0)
            return;
    record_add_text(&gather->estate->arena, &gather->clusters, cluster);
}

struct gather *gather_begin(struct aws *aws, struct loop *loop,
                            const struct gather_request *request, gather_fn fn, void *ctx)
{
    struct gather *gather = mem_alloc(sizeof(*gather));

    *gather = (struct gather){
        .aws = aws,
        .loop = loop,
        .estate = estate_new(),
        .former = request->former,
        .is_fleet_only = request->is_fleet_only,
        .is_fresh = request->is_fresh,
        .deadline_ms = request->deadline_ms ? request->deadline_ms : GATHER_DEADLINE_MS,
        .fn = fn,
        .ctx = ctx,
    };
    gather->deadline = (struct loop_timer){.fn = on_deadline, .ctx = gather};
    gather->patience = (struct loop_timer){.fn = on_patience, .ctx = gather};
    gather->kick = (struct loop_deferred){.fn = go_on, .ctx = gather};
    gather->estate->taken_ms = clock_wall_ms();
    gather->estate->region = arena_strdup(&gather->estate->arena, aws_region(aws));
    for (size_t i = 0; i < request->cluster_count; i++)
        add_cluster(gather, request->clusters[i]);
    begin_fleet(gather);
    loop_timer_in_ms(loop, &gather->deadline, (uint64_t)gather->deadline_ms);
    loop_timer_in_ms(loop, &gather->patience, (uint64_t)gather->deadline_ms / GATHER_STAGES);
    return gather;
}

struct gather *gather_cancel(struct gather *gather)
{
    return gather ? free_gather(gather) : NULL;
}
