/* The network: EC2's side of the VPCs, resolver rules, load balancers. */
#include "collector/cloud/gather_internal.h"

#include "common/text.h"

#include <string.h>

#define FILTER_VALUES_MAX 200

/* EC2's, with one filter. */
static void ask_filtered(struct gather *gather, enum aws_operation_id operation, const char *filter,
                         const struct record_list *values, gather_page_fn fn)
{
    struct aws_params params = aws_params_of(operation);
    size_t count = values->count < FILTER_VALUES_MAX ? values->count : FILTER_VALUES_MAX;

    aws_put_filter(&params, filter, (const char *const *)values->items, count);
    gather_ask(gather, operation, &params, count == 1 ? record_text(values, 0) : "", fn);
}

/* ---- EC2 ---- */

/* They come for the whole region; those of our groups count, and all of these are there. */
static void on_rules(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct record_type *type = record_nested(estate_type(ESTATE_GROUPS), "rules");
    struct arena *arena = &gather->estate->arena;

    (void)one;
    for (const struct tree *item = tree_items(root, "securityGroupRuleSet"); item;
         item = item->next) {
        struct estate_group *group =
            estate_find(gather->estate, ESTATE_GROUPS, tree_text(item, "groupId", ""));
        if (group)
            record_read(arena, type, record_add(arena, &group->rules, type->size), item,
                        RECORD_VENDOR);
    }
}

static void on_groups(struct gather *gather, struct ask *one, const struct tree *root)
{
    gather_read_items(gather, ESTATE_GROUPS, tree_items(root, "securityGroupInfo"));
    if (one->is_last && gather_count(gather, ESTATE_GROUPS))
        gather_ask_plainly(gather, EC2_SECURITY_GROUP_RULES, on_rules);
}

static void on_entries(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_prefix_list *list = estate_find(gather->estate, ESTATE_PREFIX_LISTS, one->of);

    if (!list)
        return;
    list->is_read = true;
    for (const struct tree *item = tree_items(root, "entrySet"); item; item = item->next)
        record_add_text(&gather->estate->arena, &list->blocks, tree_text(item, "cidr", ""));
}

/* Once its attributes are read; before that, nothing is known of its DNS. */
static void on_attribute(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_vpc *vpc =
        estate_find(gather->estate, ESTATE_VPCS, tree_text(root, "vpcId", one->of));

    if (!vpc)
        return;
    if (tree_get(root, "enableDnsSupport")) {
        vpc->has_dns_support = tree_bool(root, "enableDnsSupport/value");
        vpc->is_dns_read = true;
    }
    if (tree_get(root, "enableDnsHostnames"))
        vpc->has_dns_hostnames = tree_bool(root, "enableDnsHostnames/value");
}

static void ask_attributes(struct gather *gather, const char *vpc)
{
    static const char *const names[] = {"enableDnsSupport", "enableDnsHostnames"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct aws_params params = aws_params_of(EC2_VPC_ATTRIBUTE);
        aws_put(&params, "VpcId", vpc);
        aws_put(&params, "Attribute", names[i]);
        gather_ask(gather, EC2_VPC_ATTRIBUTE, &params, vpc, on_attribute);
    }
}

static void on_vpcs(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct estate_vpc *vpcs;
    struct record_list dhcp = {0};

    gather_read_items(gather, ESTATE_VPCS, tree_items(root, "vpcSet"));
    vpcs = gather->estate->parts[ESTATE_VPCS].items;
    for (size_t i = 0; one->is_last && i < gather_count(gather, ESTATE_VPCS); i++) {
        ask_attributes(gather, vpcs[i].id);
        if (*vpcs[i].dhcp && strcmp(vpcs[i].dhcp, "default") != 0)
            record_add_text(&gather->estate->arena, &dhcp, vpcs[i].dhcp);
    }
    if (dhcp.count)
        ask_filtered(gather, EC2_DHCP_OPTIONS, "dhcp-options-id", &dhcp, NULL);
}

/* ---- resolver rules ---- */

static void on_rule_associations(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    for (const struct tree *item = tree_items(root, "ResolverRuleAssociations"); item;
         item = item->next) {
        struct estate_resolver_rule *rule = estate_find(gather->estate, ESTATE_RESOLVER_RULES,
                                                        tree_text(item, "ResolverRuleId", ""));
        if (rule)
            record_add_text(&gather->estate->arena, &rule->vpcs, tree_text(item, "VPCId", ""));
    }
}

static void on_resolver_rules(struct gather *gather, struct ask *one, const struct tree *root)
{
    gather_read_items(gather, ESTATE_RESOLVER_RULES, tree_items(root, "ResolverRules"));
    if (one->is_last && gather_count(gather, ESTATE_RESOLVER_RULES))
        gather_ask_plainly(gather, RESOLVER_RULE_ASSOCIATIONS, on_rule_associations);
}

/* ---- load balancers ---- */

static void on_target_health(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_target_group *group = estate_find(gather->estate, ESTATE_TARGET_GROUPS, one->of);
    const struct record_type *type = record_nested(estate_type(ESTATE_TARGET_GROUPS), "targets");

    if (!group)
        return;
    group->is_read = true;
    record_read_list(&gather->estate->arena, type, &group->targets,
                     tree_items(root, "DescribeTargetHealthResult/TargetHealthDescriptions"),
                     RECORD_VENDOR);
}

/* One of our services has its tasks there; the account may have many more. */
static bool is_target_group_used(const struct gather *gather, const char *arn)
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;

    for (size_t s = 0; s < gather_count(gather, ESTATE_SERVICES); s++) {
        const struct estate_balancing *balancings = services[s].balancings.items;
        for (size_t b = 0; b < services[s].balancings.count; b++)
            if (strcmp(balancings[b].target_group, arn) == 0)
                return true;
    }
    return false;
}

void gather_keep_used_target_groups(struct gather *gather)
{
    struct record_list *list = &gather->estate->parts[ESTATE_TARGET_GROUPS];
    struct estate_target_group *groups = list->items;
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++)
        if (is_target_group_used(gather, groups[i].arn))
            groups[kept++] = groups[i];
    list->count = kept;
}

void gather_target_health(struct gather *gather)
{
    const struct estate_target_group *groups = gather->estate->parts[ESTATE_TARGET_GROUPS].items;

    for (size_t i = 0; i < gather_count(gather, ESTATE_TARGET_GROUPS); i++)
        if (is_target_group_used(gather, groups[i].arn))
            gather_ask_by(gather, ELB_TARGET_HEALTH, "TargetGroupArn", groups[i].arn,
                          on_target_health);
}

/* ---- the stages ---- */

/* The VPCs of our services' subnets. */
void gather_find_vpcs(struct gather *gather)
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;

    for (size_t s = 0; s < gather_count(gather, ESTATE_SERVICES); s++)
        for (size_t i = 0; i < services[s].subnets.count; i++) {
            const struct estate_subnet *subnet =
                estate_find(gather->estate, ESTATE_SUBNETS, record_text(&services[s].subnets, i));
            if (subnet && !record_has_text(&gather->vpcs, subnet->vpc))
                record_add_text(&gather->estate->arena, &gather->vpcs, subnet->vpc);
        }
}

void gather_subnets(struct gather *gather)
{
    gather_ask_plainly(gather, EC2_SUBNETS, NULL);
    gather_ask_plainly(gather, RESOLVER_RULES, on_resolver_rules);
    gather_ask_plainly(gather, EC2_PREFIX_LISTS, NULL);
}

void gather_network(struct gather *gather)
{
    ask_filtered(gather, EC2_SECURITY_GROUPS, "vpc-id", &gather->vpcs, on_groups);
    ask_filtered(gather, EC2_VPCS, "vpc-id", &gather->vpcs, on_vpcs);
    ask_filtered(gather, EC2_NETWORK_ACLS, "vpc-id", &gather->vpcs, NULL);
    ask_filtered(gather, EC2_ROUTE_TABLES, "vpc-id", &gather->vpcs, NULL);
    ask_filtered(gather, EC2_NETWORK_INTERFACES, "vpc-id", &gather->vpcs, NULL);
}

/* Whether a rule or a route speaks of it. */
static bool is_prefix_list_used(const struct gather *gather, const char *id)
{
    const struct estate_group *groups = gather->estate->parts[ESTATE_GROUPS].items;
    const struct estate_route_table *tables = gather->estate->parts[ESTATE_ROUTE_TABLES].items;

    for (size_t i = 0; i < gather_count(gather, ESTATE_GROUPS); i++) {
        const struct estate_rule *rules = groups[i].rules.items;
        for (size_t j = 0; j < groups[i].rules.count; j++)
            if (strcmp(rules[j].prefix_list, id) == 0)
                return true;
    }
    for (size_t i = 0; i < gather_count(gather, ESTATE_ROUTE_TABLES); i++) {
        const struct estate_route *routes = tables[i].routes.items;
        for (size_t j = 0; j < tables[i].routes.count; j++)
            if (strcmp(routes[j].prefix_list, id) == 0)
                return true;
    }
    return false;
}

void gather_prefix_lists(struct gather *gather)
{
    const struct estate_prefix_list *lists = gather->estate->parts[ESTATE_PREFIX_LISTS].items;

    for (size_t i = 0; i < gather_count(gather, ESTATE_PREFIX_LISTS); i++)
        if (is_prefix_list_used(gather, lists[i].id))
            gather_ask_by(gather, EC2_PREFIX_LIST_ENTRIES, "PrefixListId", lists[i].id, on_entries);
}

void gather_note_unread_network(struct gather *gather)
{
    const struct estate_target_group *groups = gather->estate->parts[ESTATE_TARGET_GROUPS].items;
    const struct estate_prefix_list *lists = gather->estate->parts[ESTATE_PREFIX_LISTS].items;

    for (size_t i = 0; i < gather_count(gather, ESTATE_TARGET_GROUPS); i++)
        if (!groups[i].is_read)
            gather_note_unasked(gather, ELB_TARGET_HEALTH);
    for (size_t i = 0; i < gather_count(gather, ESTATE_PREFIX_LISTS); i++)
        if (!lists[i].is_read && is_prefix_list_used(gather, lists[i].id))
            gather_note_unasked(gather, EC2_PREFIX_LIST_ENTRIES);
}
