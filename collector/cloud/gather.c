#include "collector/cloud/gather.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

#define DESCRIBE_SERVICES_MAX 10 /* names in one call */
#define DESCRIBE_TASKS_MAX    100
#define FILTER_VALUES_MAX     200

struct ask;
typedef void (*page_fn)(struct gather *gather, struct ask *ask, const struct tree *root);

/* A call that is under way. */
struct ask {
    struct ask *next;
    struct gather *gather;
    enum aws_operation_id operation;
    struct aws_call *call;
    page_fn on_page;
    const char *of; /* the cluster, registry, ...; of the estate's arena */
};

/* first: what the clusters and the registry have; then the network of their VPCs, and the load
 * balancers'; then what only these have shown to be wanted. */
enum stage { STAGE_FLEET, STAGE_NETWORK, STAGE_REST, STAGE_OVER };

struct gather {
    struct aws *aws;
    struct loop *loop;
    struct estate *estate;
    const struct estate *former;
    bool is_fleet_only;
    struct record_list clusters, vpcs; /* texts */
    int64_t deadline_ms;

    enum stage stage;
    struct ask *asks;
    size_t stopped; /* tasks that were asked for, of all clusters */
    struct loop_timer deadline;
    struct loop_deferred kick;
    gather_fn fn;
    void *ctx;
};

/* ---- asking ---- */

static void permission_of(enum aws_operation_id id, char *text, size_t size)
{
    const struct aws_operation *operation = aws_operation(id);

    snprintf(text, size, "%s:%s", aws_service(operation->service)->signing, operation->name);
}

static void note_missing(struct gather *gather, enum aws_operation_id id, const char *of,
                         const char *code, const char *text, bool is_permission)
{
    char call[96];

    permission_of(id, call, sizeof(call));
    estate_note_missing(gather->estate, call, of, code, text, is_permission);
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

    if (page->root)
        ask->on_page(gather, ask, page->root);
    else
        note_missing(gather, ask->operation, ask->of, page->outcome->code, page->outcome->text,
                     page->outcome->fault == AWS_NOT_ALLOWED);
    if (page->is_last)
        drop_ask(gather, ask);
}

/* Takes over the parameters. */
static void ask(struct gather *gather, enum aws_operation_id operation, struct aws_params *params,
                const char *of, page_fn fn)
{
    struct ask *one = mem_alloc(sizeof(*one));

    *one = (struct ask){gather->asks, gather, operation,
                        NULL,         fn,     arena_strdup(&gather->estate->arena, of)};
    gather->asks = one;
    one->call = aws_call(gather->aws, operation, params, on_page, one);
}

static void ask_plainly(struct gather *gather, enum aws_operation_id operation, page_fn fn)
{
    struct aws_params params = aws_params_of(operation);

    ask(gather, operation, &params, "", fn);
}

static void ask_by(struct gather *gather, enum aws_operation_id operation, const char *parameter,
                   const char *value, page_fn fn)
{
    struct aws_params params = aws_params_of(operation);

    aws_put(&params, parameter, value);
    ask(gather, operation, &params, value, fn);
}

/* EC2's, with one filter. */
static void ask_filtered(struct gather *gather, enum aws_operation_id operation, const char *filter,
                         const struct record_list *values, page_fn fn)
{
    struct aws_params params = aws_params_of(operation);
    size_t count = values->count < FILTER_VALUES_MAX ? values->count : FILTER_VALUES_MAX;

    aws_put_filter(&params, filter, (const char *const *)values->items, count);
    ask(gather, operation, &params, count == 1 ? record_text(values, 0) : "", fn);
}

/* Reads the items of a page into a part; the first new one. */
static void *read_items(struct gather *gather, enum estate_part part, const struct tree *items)
{
    struct record_list *list = &gather->estate->parts[part];
    const struct record_type *type = estate_type(part);
    size_t before = list->count;

    record_read_list(&gather->estate->arena, type, list, items, RECORD_VENDOR);
    return (char *)list->items + before * type->size;
}

static size_t count_of(const struct gather *gather, enum estate_part part)
{
    return estate_count(gather->estate, part);
}

/* ---- ECS ---- */

static void on_definition(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct tree *tree = tree_get(root, "taskDefinition");

    (void)one;
    if (tree)
        record_read(&gather->estate->arena, estate_type(ESTATE_DEFINITIONS),
                    estate_add(gather->estate, ESTATE_DEFINITIONS), tree, RECORD_VENDOR);
}

/* A definition never changes: it is asked for once. */
static void want_definition(struct gather *gather, const char *arn)
{
    if (!*arn || estate_find(gather->estate, ESTATE_DEFINITIONS, arn))
        return;
    for (const struct ask *other = gather->asks; other; other = other->next)
        if (other->operation == ECS_DESCRIBE_TASK_DEFINITION && strcmp(other->of, arn) == 0)
            return;
    ask_by(gather, ECS_DESCRIBE_TASK_DEFINITION, "taskDefinition", arn, on_definition);
}

static void keep_definitions(struct gather *gather)
{
    if (gather->former)
        estate_copy_part(gather->estate, gather->former, ESTATE_DEFINITIONS);
}

/* The one that serves: PRIMARY. */
static void take_primary(struct estate_service *service)
{
    const struct estate_deployment *deployments = service->deployments.items;

    service->connect_namespace = "";
    for (size_t i = 0; i < service->deployments.count; i++)
        if (strcmp(deployments[i].status, "PRIMARY") == 0 && deployments[i].has_connect) {
            service->connect = deployments[i].connect;
            service->connect_namespace = deployments[i].connect_namespace;
        }
}

static void on_described_services(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_service *services =
        read_items(gather, ESTATE_SERVICES, tree_items(root, "services"));
    struct estate_service *end =
        (struct estate_service *)gather->estate->parts[ESTATE_SERVICES].items +
        count_of(gather, ESTATE_SERVICES);

    (void)one;
    for (struct estate_service *service = services; service < end; service++) {
        service->cluster = estate_short_name(service->cluster);
        take_primary(service);
        want_definition(gather, service->definition);
    }
}

/* So many of the listed ARNs in one call as it takes. */
static void describe(struct gather *gather, enum aws_operation_id operation, const char *cluster,
                     const char *parameter, const struct tree *items, size_t most, page_fn fn)
{
    const char *arns[DESCRIBE_TASKS_MAX];

    while (items) {
        struct aws_params params = aws_params_of(operation);
        size_t count = 0;
        for (; items && count < most; items = items->next)
            if (items->text)
                arns[count++] = items->text;
        aws_put(&params, "cluster", cluster);
        aws_put_list(&params, parameter, arns, count);
        if (count)
            ask(gather, operation, &params, cluster, fn);
        else
            aws_params_deinit(&params);
    }
}

static void on_service_arns(struct gather *gather, struct ask *one, const struct tree *root)
{
    describe(gather, ECS_DESCRIBE_SERVICES, one->of, "services", tree_items(root, "serviceArns"),
             DESCRIBE_SERVICES_MAX, on_described_services);
}

/* Where a task's interface is, stands among its attachments. */
static void read_attachment(struct gather *gather, struct estate_task *task,
                            const struct tree *tree)
{
    static const char *const names[] = {"subnetId", "networkInterfaceId", "privateIPv4Address"};
    const char **places[] = {&task->subnet, &task->interface, &task->address};

    for (const struct tree *attachment = tree_items(tree, "attachments"); attachment;
         attachment = attachment->next)
        for (const struct tree *detail = tree_items(attachment, "details"); detail;
             detail = detail->next)
            for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strcmp(tree_text(detail, "name", ""), names[i]) == 0)
                    *places[i] =
                        arena_strdup(&gather->estate->arena, tree_text(detail, "value", ""));
}

static void on_described_tasks(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct tree *tree = tree_items(root, "tasks");
    struct estate_task *task = read_items(gather, ESTATE_TASKS, tree);

    (void)one;
    for (; tree; tree = tree->next, task++) {
        task->cluster = estate_short_name(task->cluster);
        read_attachment(gather, task, tree);
    }
}

static void describe_tasks(struct gather *gather, const char *cluster, const struct tree *arns)
{
    describe(gather, ECS_DESCRIBE_TASKS, cluster, "tasks", arns, DESCRIBE_TASKS_MAX,
             on_described_tasks);
}

static void on_running_tasks(struct gather *gather, struct ask *one, const struct tree *root)
{
    if (count_of(gather, ESTATE_TASKS) < GATHER_TASKS_MAX)
        describe_tasks(gather, one->of, tree_items(root, "taskArns"));
    else
        note_missing(gather, ECS_DESCRIBE_TASKS, one->of, "too-many",
                     "more tasks than are looked at", false);
}

/* What a crash loop leaves behind: some of it will do. */
static void on_stopped_tasks(struct gather *gather, struct ask *one, const struct tree *root)
{
    if (gather->stopped >= GATHER_STOPPED_MAX)
        return;
    for (const struct tree *item = tree_items(root, "taskArns"); item; item = item->next)
        gather->stopped++;
    describe_tasks(gather, one->of, tree_items(root, "taskArns"));
}

static void ask_cluster(struct gather *gather, const char *cluster)
{
    struct aws_params stopped = aws_params_of(ECS_LIST_TASKS);

    ask_by(gather, ECS_LIST_SERVICES, "cluster", cluster, on_service_arns);
    if (gather->is_fleet_only) {
        aws_params_deinit(&stopped);
        return;
    }
    ask_by(gather, ECS_LIST_TASKS, "cluster", cluster, on_running_tasks);
    aws_put(&stopped, "cluster", cluster);
    aws_put(&stopped, "desiredStatus", "STOPPED");
    ask(gather, ECS_LIST_TASKS, &stopped, cluster, on_stopped_tasks);
}

/* ---- Cloud Map ---- */

static void on_namespaces(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_NAMESPACES, tree_items(root, "Namespaces"));
}

static void on_registries(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct tree *tree = tree_items(root, "Services");
    struct estate_registry *registry = read_items(gather, ESTATE_REGISTRIES, tree);

    (void)one;
    for (; tree; tree = tree->next, registry++) {
        registry->is_custom_health = tree_get(tree, "HealthCheckCustomConfig") != NULL;
        registry->has_health_check = tree_get(tree, "HealthCheckConfig") != NULL;
        if (!*registry->namespace)
            registry->namespace =
                arena_strdup(&gather->estate->arena, tree_text(tree, "NamespaceId", ""));
    }
}

/* ---- EC2 ---- */

static void on_subnets(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_SUBNETS, tree_items(root, "subnetSet"));
}

static void on_groups(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_GROUPS, tree_items(root, "securityGroupInfo"));
}

/* Rules come for the whole region: those of our groups count. They are put to their groups at the
 * end, when all groups are there. */
static void on_rules(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct record_type *groups = estate_type(ESTATE_GROUPS), *type = NULL;
    struct arena *arena = &gather->estate->arena;

    (void)one;
    for (size_t i = 0; i < groups->field_count; i++)
        if (groups->fields[i].kind == RECORD_LIST)
            type = groups->fields[i].type;
    for (const struct tree *item = tree_items(root, "securityGroupRuleSet"); item;
         item = item->next) {
        struct estate_group *group =
            estate_find(gather->estate, ESTATE_GROUPS, tree_text(item, "groupId", ""));
        if (group)
            record_read(arena, type, record_add(arena, &group->rules, type->size), item,
                        RECORD_VENDOR);
    }
}

static void on_acls(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_ACLS, tree_items(root, "networkAclSet"));
}

static void on_route_tables(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_ROUTE_TABLES, tree_items(root, "routeTableSet"));
}

static void on_vpcs(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_VPCS, tree_items(root, "vpcSet"));
}

static void on_dhcp(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_DHCP, tree_items(root, "dhcpOptionsSet"));
}

static void on_interfaces(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_INTERFACES, tree_items(root, "networkInterfaceSet"));
}

static void on_prefix_lists(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_PREFIX_LISTS, tree_items(root, "prefixListSet"));
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
        ask(gather, EC2_VPC_ATTRIBUTE, &params, vpc, on_attribute);
    }
}

/* ---- Route 53 ---- */

static void on_records(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_zone *zone = estate_find(gather->estate, ESTATE_ZONES, one->of);
    const struct record_type *zones = estate_type(ESTATE_ZONES), *type = NULL;

    for (size_t i = 0; i < zones->field_count; i++)
        if (zones->fields[i].kind == RECORD_LIST)
            type = zones->fields[i].type;
    if (!zone)
        return;
    zone->is_read = true;
    record_read_list(&gather->estate->arena, type, &zone->records,
                     tree_items(root, "ResourceRecordSets"), RECORD_VENDOR);
}

static void ask_records(struct gather *gather, const char *zone)
{
    struct aws_params params = aws_params_of(R53_RECORDS);

    text_copy(params.argument, sizeof(params.argument), zone);
    ask(gather, R53_RECORDS, &params, zone, on_records);
}

static void on_zones(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct tree *tree = tree_items(root, "HostedZoneSummaries");

    for (; tree; tree = tree->next) {
        const char *id = tree_text(tree, "HostedZoneId", "");
        struct estate_zone *zone;
        if (strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") !=
                strlen(id) ||
            !*id || estate_find(gather->estate, ESTATE_ZONES, id))
            continue;
        zone = estate_add(gather->estate, ESTATE_ZONES);
        record_read(&gather->estate->arena, estate_type(ESTATE_ZONES), zone, tree, RECORD_VENDOR);
        zone->vpc = one->of;
        ask_records(gather, id);
    }
}

static void ask_zones(struct gather *gather, const char *vpc)
{
    struct aws_params params = aws_params_of(R53_ZONES_BY_VPC);

    aws_put(&params, "vpcid", vpc);
    aws_put(&params, "vpcregion", aws_region(gather->aws));
    ask(gather, R53_ZONES_BY_VPC, &params, vpc, on_zones);
}

static void on_resolver_rules(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_RESOLVER_RULES, tree_items(root, "ResolverRules"));
}

/* In the last stage: the rules are there. */
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

/* ---- load balancers ---- */

static void on_target_groups(struct gather *gather, struct ask *one, const struct tree *root)
{
    (void)one;
    read_items(gather, ESTATE_TARGET_GROUPS,
               tree_items(root, "DescribeTargetGroupsResult/TargetGroups"));
}

static void on_target_health(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_target_group *group = estate_find(gather->estate, ESTATE_TARGET_GROUPS, one->of);
    const struct record_type *groups = estate_type(ESTATE_TARGET_GROUPS), *type = NULL;

    for (size_t i = 0; i < groups->field_count; i++)
        if (groups->fields[i].kind == RECORD_LIST)
            type = groups->fields[i].type;
    if (!group)
        return;
    group->is_read = true;
    record_read_list(&gather->estate->arena, type, &group->targets,
                     tree_items(root, "DescribeTargetHealthResult/TargetHealthDescriptions"),
                     RECORD_VENDOR);
}

/* Those of our services; the account may have many more. */
static void keep_used_target_groups(struct gather *gather)
{
    struct record_list *list = &gather->estate->parts[ESTATE_TARGET_GROUPS];
    struct estate_target_group *groups = list->items;
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        bool is_used = false;
        for (size_t s = 0; s < count_of(gather, ESTATE_SERVICES) && !is_used; s++) {
            const struct estate_balancing *balancings = services[s].balancings.items;
            for (size_t b = 0; b < services[s].balancings.count; b++)
                is_used |= strcmp(balancings[b].target_group, groups[i].arn) == 0;
        }
        if (is_used)
            groups[kept++] = groups[i];
    }
    list->count = kept;
}

/* ---- what the registry has that its records do not show ---- */

static const struct estate_namespace *namespace_of(const struct gather *gather,
                                                   const struct estate_registry *registry)
{
    return estate_find(gather->estate, ESTATE_NAMESPACES, registry->namespace);
}

static bool is_task_address(const struct gather *gather, const struct estate_service *service,
                            const char *address)
{
    const struct estate_task *tasks = gather->estate->parts[ESTATE_TASKS].items;
    const char *name;

    for (size_t i = 0; i < count_of(gather, ESTATE_TASKS); i++) {
        if (strcmp(tasks[i].address, address) != 0 || strcmp(tasks[i].status, "RUNNING") != 0)
            continue;
        name = strchr(tasks[i].group, ':');
        if (strcmp(tasks[i].cluster, service->cluster) == 0 && name &&
            strcmp(name + 1, service->name) == 0)
            return true;
    }
    return false;
}

/* True: each record is a running task's, and there are as many as tasks run. */
static bool records_agree(const struct gather *gather, const struct estate_service *service,
                          const struct estate_registry *registry)
{
    const struct estate_namespace *namespace = namespace_of(gather, registry);
    const struct estate_zone *zone =
        namespace ? estate_find(gather->estate, ESTATE_ZONES, namespace->zone) : NULL;
    const struct estate_record *records = zone ? zone->records.items : NULL;
    char name[512];
    int64_t count = 0;

    if (!zone || !zone->is_read)
        return false;
    snprintf(name, sizeof(name), "%s.%s.", registry->name, namespace->name);
    for (size_t i = 0; i < zone->records.count; i++) {
        if (strcmp(records[i].name, name) != 0 || strcmp(records[i].type, "A") != 0)
            continue;
        for (size_t j = 0; j < records[i].values.count; j++, count++)
            if (!is_task_address(gather, service, record_text(&records[i].values, j)))
                return false;
    }
    return count == service->running;
}

static void on_instances(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_registry *registry = estate_find(gather->estate, ESTATE_REGISTRIES, one->of);
    const struct record_type *registries = estate_type(ESTATE_REGISTRIES), *type = NULL;

    for (size_t i = 0; i < registries->field_count; i++)
        if (strcmp(registries->fields[i].key, "instances") == 0)
            type = registries->fields[i].type;
    if (!registry)
        return;
    registry->is_read = true;
    record_read_list(&gather->estate->arena, type, &registry->instances,
                     tree_items(root, "Instances"), RECORD_VENDOR);
}

static void on_instance_health(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_registry *registry = estate_find(gather->estate, ESTATE_REGISTRIES, one->of);
    struct estate_instance *instances = registry ? registry->instances.items : NULL;

    for (const struct tree *item = tree_items(root, "Status"); registry && item; item = item->next)
        for (size_t i = 0; i < registry->instances.count; i++)
            if (strcmp(instances[i].id, item->name) == 0 && item->text)
                instances[i].health = arena_strdup(&gather->estate->arena, item->text);
}

/* The health of instances follows once they are there. */
static void on_last_instances(struct gather *gather, struct ask *one, const struct tree *root)
{
    on_instances(gather, one, root);
    if (!*tree_text(root, "NextToken", ""))
        ask_by(gather, SD_GET_INSTANCES_HEALTH, "ServiceId", one->of, on_instance_health);
}

static struct estate_registry *find_registry(const struct gather *gather, const char *arn)
{
    return estate_find(gather->estate, ESTATE_REGISTRIES, estate_short_name(arn));
}

/* A healthy registry shows in its zone's records; one by one are asked only those that do not agree
 * with the tasks: a call each. */
static void ask_instances(struct gather *gather)
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;
    size_t asked = 0, left = 0;

    for (size_t s = 0; s < count_of(gather, ESTATE_SERVICES); s++) {
        const struct estate_registration *registrations = services[s].registrations.items;
        for (size_t i = 0; i < services[s].registrations.count; i++) {
            const struct estate_registry *registry =
                find_registry(gather, registrations[i].registry);
            if (!registry || records_agree(gather, &services[s], registry))
                continue;
            if (asked++ < GATHER_ASKED_MAX)
                ask_by(gather, SD_LIST_INSTANCES, "ServiceId", registry->id, on_last_instances);
            else
                left++;
        }
    }
    if (left)
        note_missing(gather, SD_LIST_INSTANCES, "", "too-many",
                     "more registries differ from their tasks than are looked at", false);
}

/* ---- from stage to stage ---- */

/* The VPCs of our services' subnets. */
static void find_vpcs(struct gather *gather)
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;

    for (size_t s = 0; s < count_of(gather, ESTATE_SERVICES); s++)
        for (size_t i = 0; i < services[s].subnets.count; i++) {
            const struct estate_subnet *subnet =
                estate_find(gather->estate, ESTATE_SUBNETS, record_text(&services[s].subnets, i));
            if (subnet && !record_has_text(&gather->vpcs, subnet->vpc))
                record_add_text(&gather->estate->arena, &gather->vpcs, subnet->vpc);
        }
}

static bool is_network_fresh(const struct gather *gather)
{
    return gather->former && gather->former->network_taken_ms &&
           gather->estate->taken_ms - gather->former->network_taken_ms < GATHER_NETWORK_MS;
}

static const enum estate_part network_parts[] = {
    ESTATE_RESOLVER_RULES, ESTATE_VPCS,         ESTATE_DHCP,
    ESTATE_SUBNETS,        ESTATE_GROUPS,       ESTATE_ACLS,
    ESTATE_ROUTE_TABLES,   ESTATE_PREFIX_LISTS, ESTATE_INTERFACES,
};

static void begin_fleet(struct gather *gather)
{
    for (size_t i = 0; i < gather->clusters.count; i++)
        ask_cluster(gather, record_text(&gather->clusters, i));
    ask_plainly(gather, SD_LIST_NAMESPACES, on_namespaces);
    ask_plainly(gather, SD_LIST_SERVICES, on_registries);
    ask_plainly(gather, ELB_TARGET_GROUPS, on_target_groups);
    if (gather->is_fleet_only)
        return;
    if (is_network_fresh(gather)) {
        for (size_t i = 0; i < ARRAY_SIZE(network_parts); i++)
            estate_copy_part(gather->estate, gather->former, network_parts[i]);
        gather->estate->network_taken_ms = gather->former->network_taken_ms;
    } else {
        gather->estate->network_taken_ms = gather->estate->taken_ms;
        ask_plainly(gather, EC2_SUBNETS, on_subnets);
        ask_plainly(gather, RESOLVER_RULES, on_resolver_rules);
        ask_plainly(gather, EC2_PREFIX_LISTS, on_prefix_lists);
    }
}

static void begin_network(struct gather *gather)
{
    const struct estate_target_group *groups;

    keep_used_target_groups(gather);
    groups = gather->estate->parts[ESTATE_TARGET_GROUPS].items;
    for (size_t i = 0; i < count_of(gather, ESTATE_TARGET_GROUPS); i++)
        ask_by(gather, ELB_TARGET_HEALTH, "TargetGroupArn", groups[i].arn, on_target_health);
    find_vpcs(gather);
    for (size_t i = 0; i < gather->vpcs.count; i++)
        ask_zones(gather, record_text(&gather->vpcs, i));
    if (!gather->vpcs.count || count_of(gather, ESTATE_VPCS))
        return; /* none is known, or what a former one had is fresh */
    ask_filtered(gather, EC2_SECURITY_GROUPS, "vpc-id", &gather->vpcs, on_groups);
    ask_filtered(gather, EC2_NETWORK_ACLS, "vpc-id", &gather->vpcs, on_acls);
    ask_filtered(gather, EC2_ROUTE_TABLES, "vpc-id", &gather->vpcs, on_route_tables);
    ask_filtered(gather, EC2_VPCS, "vpc-id", &gather->vpcs, on_vpcs);
    ask_filtered(gather, EC2_NETWORK_INTERFACES, "vpc-id", &gather->vpcs, on_interfaces);
    if (count_of(gather, ESTATE_RESOLVER_RULES))
        ask_plainly(gather, RESOLVER_RULE_ASSOCIATIONS, on_rule_associations);
}

/* Whether a rule or a route speaks of it. */
static bool is_prefix_list_used(const struct gather *gather, const char *id)
{
    const struct estate_group *groups = gather->estate->parts[ESTATE_GROUPS].items;
    const struct estate_route_table *tables = gather->estate->parts[ESTATE_ROUTE_TABLES].items;

    for (size_t i = 0; i < count_of(gather, ESTATE_GROUPS); i++) {
        const struct estate_rule *rules = groups[i].rules.items;
        for (size_t j = 0; j < groups[i].rules.count; j++)
            if (strcmp(rules[j].prefix_list, id) == 0)
                return true;
    }
    for (size_t i = 0; i < count_of(gather, ESTATE_ROUTE_TABLES); i++) {
        const struct estate_route *routes = tables[i].routes.items;
        for (size_t j = 0; j < tables[i].routes.count; j++)
            if (strcmp(routes[j].prefix_list, id) == 0)
                return true;
    }
    return false;
}

static void begin_rest(struct gather *gather)
{
    const struct estate_prefix_list *lists = gather->estate->parts[ESTATE_PREFIX_LISTS].items;
    const struct estate_vpc *vpcs = gather->estate->parts[ESTATE_VPCS].items;
    struct record_list dhcp = {0};

    ask_instances(gather);
    if (is_network_fresh(gather))
        return;
    if (count_of(gather, ESTATE_GROUPS))
        ask_plainly(gather, EC2_SECURITY_GROUP_RULES, on_rules);
    for (size_t i = 0; i < count_of(gather, ESTATE_VPCS); i++) {
        ask_attributes(gather, vpcs[i].id);
        if (*vpcs[i].dhcp && strcmp(vpcs[i].dhcp, "default") != 0)
            record_add_text(&gather->estate->arena, &dhcp, vpcs[i].dhcp);
    }
    if (dhcp.count)
        ask_filtered(gather, EC2_DHCP_OPTIONS, "dhcp-options-id", &dhcp, on_dhcp);
    for (size_t i = 0; i < count_of(gather, ESTATE_PREFIX_LISTS); i++)
        if (is_prefix_list_used(gather, lists[i].id))
            ask_by(gather, EC2_PREFIX_LIST_ENTRIES, "PrefixListId", lists[i].id, on_entries);
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
    loop_undefer(gather->loop, &gather->kick);
    estate_free(gather->estate);
    mem_free(gather);
    return NULL;
}

static void finish(struct gather *gather)
{
    struct estate *estate = gather->estate;
    gather_fn fn = gather->fn;
    void *ctx = gather->ctx;

    gather->estate = NULL;
    free_gather(gather);
    fn(ctx, estate);
}

/* All that was asked is answered. */
static void go_on(void *ctx)
{
    struct gather *gather = ctx;

    while (!gather->asks && gather->stage < STAGE_OVER) {
        gather->stage++;
        if (gather->stage == STAGE_NETWORK && gather->is_fleet_only) {
            keep_used_target_groups(gather);
            gather->stage = STAGE_OVER;
        }
        if (gather->stage == STAGE_NETWORK)
            begin_network(gather);
        else if (gather->stage == STAGE_REST)
            begin_rest(gather);
    }
    if (gather->stage == STAGE_OVER)
        finish(gather);
}

/* Prefix list entries, rules, ... of which nobody got to ask. */
static void note_not_asked(struct gather *gather, const char *text)
{
    static const enum aws_operation_id network[] = {EC2_SECURITY_GROUPS,    EC2_NETWORK_ACLS,
                                                    EC2_ROUTE_TABLES,       EC2_VPCS,
                                                    EC2_NETWORK_INTERFACES, R53_ZONES_BY_VPC};
    static const enum aws_operation_id rest[] = {EC2_SECURITY_GROUP_RULES, EC2_VPC_ATTRIBUTE,
                                                 EC2_DHCP_OPTIONS, SD_LIST_INSTANCES};

    if (gather->is_fleet_only)
        return;
    if (gather->stage < STAGE_NETWORK)
        for (size_t i = 0; i < ARRAY_SIZE(network); i++)
            note_missing(gather, network[i], "", "not-asked", text, false);
    if (gather->stage < STAGE_REST)
        for (size_t i = 0; i < ARRAY_SIZE(rest); i++)
            note_missing(gather, rest[i], "", "not-asked", text, false);
}

static void on_deadline(void *ctx)
{
    struct gather *gather = ctx;
    char text[64];

    snprintf(text, sizeof(text), "no answer within %lld s", (long long)gather->deadline_ms / 1000);
    for (const struct ask *one = gather->asks; one; one = one->next) {
        const struct aws_outcome *trouble = aws_call_trouble(one->call);
        if (trouble->fault == AWS_FINE)
            note_missing(gather, one->operation, one->of, "no-answer", text, false);
        else
            note_missing(gather, one->operation, one->of, trouble->code, trouble->text, false);
    }
    snprintf(text, sizeof(text), "%lld s were over before it was its turn",
             (long long)gather->deadline_ms / 1000);
    note_not_asked(gather, text);
    finish(gather);
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
        .deadline_ms = request->deadline_ms ? request->deadline_ms : GATHER_DEADLINE_MS,
        .fn = fn,
        .ctx = ctx,
    };
    gather->deadline = (struct loop_timer){.fn = on_deadline, .ctx = gather};
    gather->kick = (struct loop_deferred){.fn = go_on, .ctx = gather};
    gather->estate->taken_ms = clock_wall_ms();
    gather->estate->region = arena_strdup(&gather->estate->arena, aws_region(aws));
    for (size_t i = 0; i < request->cluster_count; i++)
        record_add_text(&gather->estate->arena, &gather->clusters, request->clusters[i]);
    keep_definitions(gather);
    begin_fleet(gather);
    loop_timer_in_ms(loop, &gather->deadline, (uint64_t)gather->deadline_ms);
    return gather;
}

struct gather *gather_cancel(struct gather *gather)
{
    return gather ? free_gather(gather) : NULL;
}
