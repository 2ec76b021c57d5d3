/* What the cloud said, as the API shows it. */
#include "collector/view.h"

#include "collector/cloud/lookup.h"
#include "collector/estate_store.h"
#include "collector/view_internal.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put_time(struct buf *out, const char *key, int64_t wall_ms)
{
    char time[CLOCK_RFC3339_MAX];

    if (wall_ms) {
        clock_rfc3339(wall_ms, time);
        view_put_text(out, key, time);
    }
}

static void put_part(const struct estate *estate, enum estate_part part, struct buf *out)
{
    view_put_key(out, estate_part_name(part));
    estate_write_part(estate, part, out);
}

static void put_head(const struct estate *estate, int64_t run, struct buf *out)
{
    buf_printf(out, "\"run\":\"%lld\"", (long long)run);
    put_time(out, "taken", estate->taken_ms);
    put_time(out, "network_taken", estate->network_taken_ms);
    view_put_text(out, "region", estate->region);
    put_part(estate, ESTATE_MISSING, out);
}

void view_put_cloud(const struct runs *runs, int64_t run, struct buf *out)
{
    struct estate *estate = estate_store_get(runs->store, run, ESTATE_ONLY(ESTATE_MISSING));

    if (!estate)
        return;
    buf_puts(out, ",\"cloud\":{");
    put_head(estate, run, out);
    buf_putc(out, '}');
    estate_free(estate);
}

int view_estate(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    struct estate *estate = estate_store_get(runs->store, record->id, ESTATE_ALL);

    if (!estate)
        return -ENOENT;
    buf_puts(out, "{\"schema\":1,");
    put_head(estate, record->id, out);
    for (int i = 0; i < ESTATE_MISSING; i++)
        put_part(estate, (enum estate_part)i, out);
    buf_putc(out, '}');
    estate_free(estate);
    return 0;
}

/* ---- one service ---- */

struct health {
    int64_t healthy, unhealthy, unknown;
};

static struct health count_health(const struct estate *estate, const struct estate_service *service)
{
    const struct estate_task *tasks = estate->parts[ESTATE_TASKS].items;
    struct health health = {0};

    for (size_t i = 0; i < estate_count(estate, ESTATE_TASKS); i++) {
        if (!lookup_is_task_of(&tasks[i], service) || strcmp(tasks[i].status, "RUNNING") != 0)
            continue;
        if (strcmp(tasks[i].health, "HEALTHY") == 0)
            health.healthy++;
        else if (strcmp(tasks[i].health, "UNHEALTHY") == 0)
            health.unhealthy++;
        else
            health.unknown++;
    }
    return health;
}

static void put_summary(const struct estate *estate, const struct estate_service *service,
                        struct buf *out)
{
    struct health health = count_health(estate, service);
    const struct estate_deployment *primary = lookup_primary(service);

    buf_puts(out, "{\"cluster\":");
    buf_put_json(out, service->cluster);
    view_put_text(out, "status", service->status);
    view_put_text(out, "definition", estate_short_name(service->definition));
    view_put_int(out, "desired", service->desired);
    view_put_int(out, "running", service->running);
    view_put_int(out, "pending", service->pending);
    view_put_int(out, "healthy", health.healthy);
    view_put_int(out, "unhealthy", health.unhealthy);
    if (primary) {
        view_put_text(out, "deployment", primary->state);
        view_put_text(out, "reason", primary->reason);
        view_put_int(out, "failed_tasks", primary->failed);
    }
    buf_putc(out, '}');
}

void view_put_service_cloud(const struct estate *estate, const char *name, struct buf *out)
{
    const struct estate_service *service = estate ? lookup_service(estate, name) : NULL;

    if (!service)
        return;
    view_put_key(out, "cloud");
    put_summary(estate, service, out);
}

void view_put_services_cloud(const struct estate *estate, int64_t run, struct buf *out)
{
    if (!estate)
        return;
    buf_puts(out, ",\"cloud\":{");
    put_head(estate, run, out);
    buf_putc(out, '}');
}

/* ---- one service, in full ---- */

typedef bool (*pick_fn)(const struct estate *estate, const struct estate_service *service,
                        const void *record);

/* The records of a part that belong to the service. */
static void put_picked(const struct estate *estate, const struct estate_service *service,
                       enum estate_part part, pick_fn is_wanted, struct buf *out)
{
    const struct record_type *type = estate_type(part);
    const char *separator = "";

    view_put_key(out, estate_part_name(part));
    buf_putc(out, '[');
    for (size_t i = 0; i < estate_count(estate, part); i++) {
        const void *record = (const char *)estate->parts[part].items + i * type->size;
        if (!is_wanted(estate, service, record))
            continue;
        buf_puts(out, separator);
        record_write(type, record, out);
        separator = ",";
    }
    buf_putc(out, ']');
}

static bool is_its_task(const struct estate *estate, const struct estate_service *service,
                        const void *record)
{
    (void)estate;
    return lookup_is_task_of(record, service);
}

static bool is_its_definition(const struct estate *estate, const struct estate_service *service,
                              const void *record)
{
    const struct estate_definition *definition = record;

    (void)estate;
    return strcmp(definition->arn, service->definition) == 0;
}

static bool is_its_registry(const struct estate *estate, const struct estate_service *service,
                            const void *record)
{
    const struct estate_registration *registrations = service->registrations.items;
    const struct estate_registry *registry = record;

    (void)estate;
    for (size_t i = 0; i < service->registrations.count; i++)
        if (strcmp(estate_short_name(registrations[i].registry), registry->id) == 0)
            return true;
    return false;
}

static bool is_its_target_group(const struct estate *estate, const struct estate_service *service,
                                const void *record)
{
    const struct estate_balancing *balancings = service->balancings.items;
    const struct estate_target_group *group = record;

    (void)estate;
    for (size_t i = 0; i < service->balancings.count; i++)
        if (strcmp(balancings[i].target_group, group->arn) == 0)
            return true;
    return false;
}

/* The groups of the service, and of its tasks' interfaces. */
static bool is_its_group(const struct estate *estate, const struct estate_service *service,
                         const void *record)
{
    const struct estate_task *tasks = estate->parts[ESTATE_TASKS].items;
    const struct estate_group *group = record;

    if (record_has_text(&service->groups, group->id))
        return true;
    for (size_t i = 0; i < estate_count(estate, ESTATE_TASKS); i++) {
        const struct estate_interface *interface =
            lookup_is_task_of(&tasks[i], service) && *tasks[i].interface ? estate_find(
                                                                               estate,
                                                                               ESTATE_INTERFACES,
                                                                               tasks[i].interface)
                                                                         : NULL;
        if (interface && record_has_text(&interface->groups, group->id))
            return true;
    }
    return false;
}

/* {id: name} of the groups that the rules of its groups speak of. */
static void put_peer_names(const struct estate *estate, const struct estate_service *service,
                           struct buf *out)
{
    const struct estate_group *groups = estate->parts[ESTATE_GROUPS].items;
    struct record_list known = {0};
    struct arena arena = {0};

    view_put_key(out, "group_names");
    buf_putc(out, '{');
    for (size_t i = 0; i < estate_count(estate, ESTATE_GROUPS); i++) {
        const struct estate_rule *rules = groups[i].rules.items;
        if (!is_its_group(estate, service, &groups[i]))
            continue;
        for (size_t j = 0; j < groups[i].rules.count; j++) {
            const struct estate_group *peer = estate_find(estate, ESTATE_GROUPS, rules[j].peer);
            if (!peer || record_has_text(&known, peer->id))
                continue;
            buf_puts(out, known.count ? "," : "");
            buf_put_json(out, peer->id);
            buf_putc(out, ':');
            buf_put_json(out, peer->name);
            record_add_text(&arena, &known, peer->id);
        }
    }
    buf_putc(out, '}');
    arena_deinit(&arena);
}

/* What its names lead to, as the hosted zones have it. */
static bool is_its_record(const struct fleet_service *service, const struct estate_record *record)
{
    size_t length = strlen(record->name);

    if (length && record->name[length - 1] == '.')
        length--;
    for (size_t i = 0; i < service->name_count; i++)
        if (strlen(service->names[i]) == length &&
            strncmp(service->names[i], record->name, length) == 0)
            return true;
    return false;
}

static void put_records(const struct estate *estate, const struct fleet_service *service,
                        struct buf *out)
{
    const struct record_type *type = record_nested(estate_type(ESTATE_ZONES), "records");
    const struct estate_zone *zones = estate->parts[ESTATE_ZONES].items;
    const char *separator = "";

    view_put_key(out, "records");
    buf_putc(out, '[');
    for (size_t i = 0; i < estate_count(estate, ESTATE_ZONES); i++) {
        const struct estate_record *records = zones[i].records.items;
        for (size_t j = 0; j < zones[i].records.count; j++) {
            if (!is_its_record(service, &records[j]))
                continue;
            buf_puts(out, separator);
            record_write(type, &records[j], out);
            separator = ",";
        }
    }
    buf_putc(out, ']');
}

int view_service(const struct runs *runs, const char *name, struct buf *out)
{
    static const struct {
        enum estate_part part;
        pick_fn is_wanted;
    } parts[] = {
        {ESTATE_TASKS, is_its_task},          {ESTATE_DEFINITIONS, is_its_definition},
        {ESTATE_REGISTRIES, is_its_registry}, {ESTATE_TARGET_GROUPS, is_its_target_group},
        {ESTATE_GROUPS, is_its_group},
    };
    size_t index = fleet_find_service(runs->fleet, name);
    int64_t run = store_last_estate(runs->store);
    const struct estate_service *service;
    struct estate *estate;

    if (index == SIZE_MAX)
        return -ENOENT;
    estate = estate_store_get(runs->store, run, ESTATE_ALL);
    service = estate ? lookup_service(estate, name) : NULL;
    buf_puts(out, "{\"schema\":1,\"service\":");
    view_put_service(runs, estate, &runs->fleet->services[index], out);
    view_put_services_cloud(estate, run, out);
    if (service) {
        view_put_key(out, "ecs");
        record_write(estate_type(ESTATE_SERVICES), service, out);
        for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
            put_picked(estate, service, parts[i].part, parts[i].is_wanted, out);
        put_peer_names(estate, service, out);
        put_records(estate, &runs->fleet->services[index], out);
    }
    buf_putc(out, '}');
    estate_free(estate);
    return 0;
}
