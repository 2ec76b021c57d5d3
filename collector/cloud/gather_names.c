/* Names: the registries of Cloud Map, and the records of Route 53. */
#include "collector/cloud/gather_internal.h"

#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Cloud Map ---- */

static void on_registries(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct tree *tree = tree_items(root, "Services");
    struct estate_registry *registry = gather_read_items(gather, ESTATE_REGISTRIES, tree);

    for (; tree; tree = tree->next, registry++) {
        registry->namespace = one->of;
        registry->is_custom_health = tree_get(tree, "HealthCheckCustomConfig") != NULL;
        registry->has_health_check = tree_get(tree, "HealthCheckConfig") != NULL;
    }
}

/* A service in the list does not say which namespace it is in; who asks by namespace knows. */
static void on_namespaces(struct gather *gather, struct ask *one, const struct tree *root)
{
    const struct tree *tree = tree_items(root, "Namespaces");
    const struct estate_namespace *namespace = gather_read_items(gather, ESTATE_NAMESPACES, tree);

    for (; tree; tree = tree->next, namespace ++) {
        struct aws_params params = aws_params_of(SD_LIST_SERVICES);
        if (gather_count(gather, ESTATE_NAMESPACES) > GATHER_NAMESPACES_MAX) {
            aws_params_deinit(&params);
            gather_note_missing(gather, SD_LIST_SERVICES, one->of, "too-many",
                                "more namespaces than are looked at", false);
            return;
        }
        aws_put_filter(&params, "NAMESPACE_ID", &namespace->id, 1);
        gather_ask(gather, SD_LIST_SERVICES, &params, namespace->id, on_registries);
    }
}

void gather_registries(struct gather *gather)
{
    gather_ask_plainly(gather, SD_LIST_NAMESPACES, on_namespaces);
}

/* ---- Route 53 ---- */

static void on_records(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_zone *zone = estate_find(gather->estate, ESTATE_ZONES, one->of);
    const struct record_type *type = record_nested(estate_type(ESTATE_ZONES), "records");

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
    gather_ask(gather, R53_RECORDS, &params, zone, on_records);
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
    gather_ask(gather, R53_ZONES_BY_VPC, &params, vpc, on_zones);
}

void gather_zones(struct gather *gather)
{
    for (size_t i = 0; i < gather->vpcs.count; i++)
        ask_zones(gather, record_text(&gather->vpcs, i));
}

/* ---- what the registry has that its records do not show ---- */

static const struct estate_namespace *namespace_of(const struct gather *gather,
                                                   const struct estate_registry *registry)
{
    return estate_find(gather->estate, ESTATE_NAMESPACES, registry->namespace);
}

/* Running tasks by their addresses. */
struct task_index {
    const struct estate_task **tasks;
    size_t count;
};

static int by_address(const void *a, const void *b)
{
    const struct estate_task *const *x = a, *const *y = b;

    return strcmp((*x)->address, (*y)->address);
}

static struct task_index index_tasks(const struct gather *gather)
{
    const struct estate_task *tasks = gather->estate->parts[ESTATE_TASKS].items;
    size_t total = gather_count(gather, ESTATE_TASKS);
    struct task_index index = {mem_array(total + 1, sizeof(*index.tasks)), 0};

    for (size_t i = 0; i < total; i++)
        if (*tasks[i].address && strcmp(tasks[i].status, "RUNNING") == 0)
            index.tasks[index.count++] = &tasks[i];
    qsort(index.tasks, index.count, sizeof(*index.tasks), by_address);
    return index;
}

static bool is_task_address(const struct task_index *index, const struct estate_service *service,
                            const char *address)
{
    const struct estate_task wanted = {.address = address}, *key = &wanted, **found;
    const char *name;

    found = bsearch(&key, index->tasks, index->count, sizeof(*index->tasks), by_address);
    name = found ? strchr((*found)->group, ':') : NULL;
    return name && strcmp(name + 1, service->name) == 0 &&
           strcmp((*found)->cluster, service->cluster) == 0;
}

/* The address that a record's value leads to: an A record's own; of an SRV record ("1 1 8080 host")
 * its host's. NULL: none in the zone. */
static const char *address_of(const struct estate_zone *zone, const struct estate_record *record,
                              const char *value)
{
    const struct estate_record *records = zone->records.items;
    const char *host = strrchr(value, ' ');
    size_t length;

    if (strcmp(record->type, "A") == 0)
        return value;
    host = host ? host + 1 : value;
    length = strlen(host);
    length -= length && host[length - 1] == '.';
    for (size_t i = 0; i < zone->records.count; i++)
        if (strcmp(records[i].type, "A") == 0 && records[i].values.count &&
            strncmp(records[i].name, host, length) == 0 &&
            (!records[i].name[length] || strcmp(records[i].name + length, ".") == 0))
            return record_text(&records[i].values, 0);
    return NULL;
}

/* True: each record leads to a running task, and there are as many as tasks run. */
static bool records_agree(const struct gather *gather, const struct task_index *index,
                          const struct estate_service *service,
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
        if (strcmp(records[i].name, name) != 0 ||
            (strcmp(records[i].type, "A") != 0 && strcmp(records[i].type, "SRV") != 0))
            continue;
        for (size_t j = 0; j < records[i].values.count; j++, count++) {
            const char *address = address_of(zone, &records[i], record_text(&records[i].values, j));
            if (!address || !is_task_address(index, service, address))
                return false;
        }
    }
    return count == service->running;
}

static void on_instances(struct gather *gather, struct ask *one, const struct tree *root)
{
    struct estate_registry *registry = estate_find(gather->estate, ESTATE_REGISTRIES, one->of);
    const struct record_type *type = record_nested(estate_type(ESTATE_REGISTRIES), "instances");

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
    if (one->is_last)
        gather_ask_by(gather, SD_GET_INSTANCES_HEALTH, "ServiceId", one->of, on_instance_health);
}

static struct estate_registry *find_registry(const struct gather *gather, const char *arn)
{
    return estate_find(gather->estate, ESTATE_REGISTRIES, estate_short_name(arn));
}

/* Calls `fn` for each of our registries that was not read and whose records do not agree with the
 * tasks. */
static void each_that_differs(struct gather *gather,
                              void (*fn)(struct gather *gather,
                                         const struct estate_registry *registry))
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;
    struct task_index index = index_tasks(gather);

    for (size_t s = 0; s < gather_count(gather, ESTATE_SERVICES); s++) {
        const struct estate_registration *registrations = services[s].registrations.items;
        for (size_t i = 0; i < services[s].registrations.count; i++) {
            const struct estate_registry *registry =
                find_registry(gather, registrations[i].registry);
            if (registry && !registry->is_read &&
                !records_agree(gather, &index, &services[s], registry))
                fn(gather, registry);
        }
    }
    mem_free(index.tasks);
}

static void ask_instances(struct gather *gather, const struct estate_registry *registry)
{
    if (gather->asked_registries++ < GATHER_ASKED_MAX)
        gather_ask_by(gather, SD_LIST_INSTANCES, "ServiceId", registry->id, on_last_instances);
    else
        gather_note_missing(gather, SD_LIST_INSTANCES, "", "too-many",
                            "more registries differ from their tasks than are looked at", false);
}

/* A healthy registry shows in its zone's records; one by one are asked only those that do not agree
 * with the tasks: a call each. */
void gather_instances(struct gather *gather)
{
    each_that_differs(gather, ask_instances);
}

static void note_unasked(struct gather *gather, const struct estate_registry *registry)
{
    (void)registry;
    gather_note_unasked(gather, SD_LIST_INSTANCES);
}

void gather_note_unread_names(struct gather *gather)
{
    each_that_differs(gather, note_unasked);
}

/* Whether one of our services is registered there. */
static bool is_registry_used(const struct gather *gather, const struct estate_registry *registry)
{
    const struct estate_service *services = gather->estate->parts[ESTATE_SERVICES].items;

    for (size_t s = 0; s < gather_count(gather, ESTATE_SERVICES); s++) {
        const struct estate_registration *registrations = services[s].registrations.items;
        for (size_t i = 0; i < services[s].registrations.count; i++)
            if (strcmp(estate_short_name(registrations[i].registry), registry->id) == 0)
                return true;
        if (strcmp(services[s].name, registry->name) == 0)
            return true; /* where it should be registered, perhaps */
    }
    return false;
}

/* The account's other registries. */
void gather_prune_names(struct gather *gather)
{
    struct record_list *list = &gather->estate->parts[ESTATE_REGISTRIES];
    struct estate_registry *registries = list->items;
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++)
        if (is_registry_used(gather, &registries[i]))
            registries[kept++] = registries[i];
    list->count = kept;
}
