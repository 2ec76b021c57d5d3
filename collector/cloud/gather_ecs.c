/* ECS: services, their task definitions, tasks. */
#include "collector/cloud/gather_internal.h"

#include "common/text.h"

#include <string.h>

#define DESCRIBE_SERVICES_MAX 10 /* names in one call */
#define DESCRIBE_TASKS_MAX    100
#define EVENTS_MAX            10 /* of a service, the newest */

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
    gather_ask_by(gather, ECS_DESCRIBE_TASK_DEFINITION, "taskDefinition", arn, on_definition);
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
        gather_read_items(gather, ESTATE_SERVICES, tree_items(root, "services"));
    struct estate_service *end =
        (struct estate_service *)gather->estate->parts[ESTATE_SERVICES].items +
        gather_count(gather, ESTATE_SERVICES);

    (void)one;
    for (struct estate_service *service = services; service < end; service++) {
        service->cluster = estate_short_name(service->cluster);
        take_primary(service);
        want_definition(gather, service->definition);
    }
}

/* So many of the listed ARNs in one call as it takes. */
static void describe(struct gather *gather, enum aws_operation_id operation, const char *cluster,
                     const char *parameter, const struct tree *items, size_t most,
                     gather_page_fn fn)
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
            gather_ask(gather, operation, &params, cluster, fn);
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
    struct estate_task *task = gather_read_items(gather, ESTATE_TASKS, tree);

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
    if (gather_count(gather, ESTATE_TASKS) < GATHER_TASKS_MAX)
        describe_tasks(gather, one->of, tree_items(root, "taskArns"));
    else
        gather_note_missing(gather, ECS_DESCRIBE_TASKS, one->of, "too-many",
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

    gather_ask_by(gather, ECS_LIST_SERVICES, "cluster", cluster, on_service_arns);
    if (gather->is_fleet_only) {
        aws_params_deinit(&stopped);
        return;
    }
    gather_ask_by(gather, ECS_LIST_TASKS, "cluster", cluster, on_running_tasks);
    aws_put(&stopped, "cluster", cluster);
    aws_put(&stopped, "desiredStatus", "STOPPED");
    gather_ask(gather, ECS_LIST_TASKS, &stopped, cluster, on_stopped_tasks);
}

void gather_ecs(struct gather *gather)
{
    if (gather->former)
        estate_copy_part(gather->estate, gather->former, ESTATE_DEFINITIONS);
    for (size_t i = 0; i < gather->clusters.count; i++)
        ask_cluster(gather, record_text(&gather->clusters, i));
}

static bool is_definition_used(const struct gather *gather, const char *arn)
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;

    for (size_t i = 0; i < gather_count(gather, ESTATE_SERVICES); i++)
        if (strcmp(services[i].definition, arn) == 0)
            return true;
    return false;
}

void gather_prune_ecs(struct gather *gather)
{
    struct record_list *list = &gather->estate->parts[ESTATE_DEFINITIONS];
    struct estate_definition *definitions = list->items;
    struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;
    size_t kept = 0;

    /* Nothing goes while the services are not known. */
    for (size_t i = 0; i < list->count && gather_count(gather, ESTATE_SERVICES); i++)
        if (is_definition_used(gather, definitions[i].arn))
            definitions[kept++] = definitions[i];
    if (gather_count(gather, ESTATE_SERVICES))
        list->count = kept;
    for (size_t i = 0; i < gather_count(gather, ESTATE_SERVICES); i++)
        if (services[i].events.count > EVENTS_MAX)
            services[i].events.count = EVENTS_MAX;
}
