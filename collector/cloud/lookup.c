#include "collector/cloud/lookup.h"

#include "common/text.h"

#include <string.h>

/* ---- ECS ---- */

const struct estate_service *lookup_service(const struct estate *estate, const char *name)
{
    const struct estate_service *services = estate->parts[ESTATE_SERVICES].items, *found = NULL;
    size_t count = estate_count(estate, ESTATE_SERVICES);

    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(services[i].cluster);
        if (strncmp(name, services[i].cluster, length) == 0 && name[length] == '.' &&
            strcmp(name + length + 1, services[i].name) == 0)
            return &services[i];
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(services[i].name, name) == 0) {
            if (found)
                return NULL; /* of two, which? */
            found = &services[i];
        }
    return found;
}

const struct estate_deployment *lookup_primary(const struct estate_service *service)
{
    const struct estate_deployment *deployments = service->deployments.items;

    for (size_t i = 0; i < service->deployments.count; i++)
        if (strcmp(deployments[i].status, "PRIMARY") == 0)
            return &deployments[i];
    return NULL;
}

const struct estate_definition *lookup_definition(const struct estate *estate,
                                                  const struct estate_service *service)
{
    return estate_find(estate, ESTATE_DEFINITIONS, service->definition);
}

bool lookup_is_task_of(const struct estate_task *task, const struct estate_service *service)
{
    return strcmp(task->cluster, service->cluster) == 0 &&
           strncmp(task->group, "service:", 8) == 0 && strcmp(task->group + 8, service->name) == 0;
}

const struct estate_task *lookup_task(const struct estate *estate, const char *address)
{
    const struct estate_task *tasks = estate->parts[ESTATE_TASKS].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_TASKS); i++)
        if (*address && strcmp(tasks[i].address, address) == 0 &&
            strcmp(tasks[i].status, "RUNNING") == 0)
            return &tasks[i];
    return NULL;
}

const struct estate_interface *lookup_interface(const struct estate *estate, const char *address)
{
    const struct estate_interface *interfaces = estate->parts[ESTATE_INTERFACES].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_INTERFACES); i++)
        if (record_has_text(&interfaces[i].addresses, address) ||
            record_has_text(&interfaces[i].addresses6, address))
            return &interfaces[i];
    return NULL;
}

const char *lookup_subnet(const struct estate_service *service)
{
    return service->subnets.count ? record_text(&service->subnets, 0) : "";
}

const char *lookup_vpc(const struct estate *estate, const struct estate_service *service)
{
    const struct estate_subnet *subnet =
        estate_find(estate, ESTATE_SUBNETS, lookup_subnet(service));

    return subnet ? subnet->vpc : "";
}

/* The newest that holds any of the words; what was before a steady state is over. */
static const struct estate_event *find_event(const struct estate_service *service,
                                             const char *const *words)
{
    const struct estate_event *events = service->events.items;

    for (size_t i = 0; i < service->events.count; i++) {
        if (strstr(events[i].text, "steady state"))
            return NULL;
        for (const char *const *word = words; *word; word++)
            if (strstr(events[i].text, *word))
                return &events[i];
    }
    return NULL;
}

/* As ECS words it ("Service event messages"). */
const struct estate_event *lookup_placement_event(const struct estate_service *service)
{
    static const char *const words[] = {"unable to place a task",
                                        "unable to consistently start",
                                        "was unable to assume",
                                        "RESOURCE:",
                                        "insufficient",
                                        "ENI attachment limit",
                                        "not have enough free addresses",
                                        NULL};

    return find_event(service, words);
}

const struct estate_event *lookup_registration_event(const struct estate_service *service)
{
    static const char *const words[] = {"unable to register", "failed to register",
                                        "failed registration", "failed to create service discovery",
                                        NULL};

    return find_event(service, words);
}

/* ---- names ---- */

static size_t length_without_dot(const char *name)
{
    size_t length = strlen(name);

    return length && name[length - 1] == '.' ? length - 1 : length;
}

bool lookup_is_in_domain(const char *name, const char *domain)
{
    size_t inner = length_without_dot(name), outer = length_without_dot(domain);

    if (!outer || inner < outer || strncasecmp(name + inner - outer, domain, outer) != 0)
        return false;
    return inner == outer || name[inner - outer - 1] == '.';
}

const struct estate_namespace *lookup_namespace(const struct estate *estate, const char *name)
{
    const struct estate_namespace *namespaces = estate->parts[ESTATE_NAMESPACES].items;
    const struct estate_namespace *best = NULL;

    for (size_t i = 0; i < estate_count(estate, ESTATE_NAMESPACES); i++)
        if (strcmp(namespaces[i].type, "DNS_PRIVATE") == 0 &&
            lookup_is_in_domain(name, namespaces[i].name) &&
            (!best || strlen(namespaces[i].name) > strlen(best->name)))
            best = &namespaces[i];
    return best;
}

const struct estate_registry *lookup_registry(const struct estate *estate, const char *name)
{
    const struct estate_registry *registries = estate->parts[ESTATE_REGISTRIES].items;
    const struct estate_namespace *namespace = lookup_namespace(estate, name);

    for (size_t i = 0; namespace && i < estate_count(estate, ESTATE_REGISTRIES); i++) {
        size_t length = strlen(registries[i].name);
        if (strcmp(registries[i].namespace, namespace->id) == 0 &&
            strncasecmp(name, registries[i].name, length) == 0 && name[length] == '.' &&
            length_without_dot(name + length + 1) == length_without_dot(namespace->name))
            return &registries[i];
    }
    return NULL;
}

const struct estate_registration *lookup_registration(const struct estate_service *service,
                                                      const struct estate_registry *registry)
{
    const struct estate_registration *registrations = service->registrations.items;

    for (size_t i = 0; registry && i < service->registrations.count; i++)
        if (strcmp(estate_short_name(registrations[i].registry), registry->id) == 0)
            return &registrations[i];
    return NULL;
}

static const struct estate_container_definition *
find_container(const struct estate_definition *definition, const char *name)
{
    const struct estate_container_definition *containers = definition->containers.items;

    for (size_t i = 0; i < definition->containers.count; i++)
        if (strcmp(containers[i].name, name) == 0)
            return &containers[i];
    return NULL;
}

static bool has_port(const struct estate_container_definition *container, int64_t port)
{
    const struct estate_port *ports = container->ports.items;

    for (size_t i = 0; i < container->ports.count; i++)
        if (ports[i].port == port)
            return true;
    return false;
}

static bool has_record_type(const struct estate_registry *registry, const char *type)
{
    const struct estate_dns_record *records = registry->records.items;

    for (size_t i = 0; i < registry->records.count; i++)
        if (strcmp(records[i].type, type) == 0)
            return true;
    return false;
}

bool lookup_registration_fault(const struct estate *estate, const struct estate_service *service,
                               const struct estate_registration *registration,
                               const struct estate_registry *registry, struct buf *out)
{
    const struct estate_definition *definition = lookup_definition(estate, service);
    const struct estate_container_definition *container;
    const char *family;

    if (!definition)
        return false;
    family = estate_short_name(definition->arn);
    if (strcmp(definition->network_mode, "awsvpc") != 0 && *definition->network_mode &&
        (has_record_type(registry, "A") || has_record_type(registry, "AAAA"))) {
        buf_printf(out, "%s publishes A records, and %s has network mode %s, which takes SRV only",
                   registry->id, family, definition->network_mode);
        return true;
    }
    if (!*registration->container)
        return false;
    container = find_container(definition, registration->container);
    if (!container) {
        buf_printf(out, "its registration names the container %s, which %s does not have",
                   registration->container, family);
        return true;
    }
    if (!registration->container_port || has_port(container, registration->container_port))
        return false;
    buf_printf(out, "its registration names port %lld of container %s, which %s does not have",
               (long long)registration->container_port, registration->container, family);
    return true;
}

/* The one that has none; of several, nobody knows which. */
static const char *find_without_address(const struct estate_registry *registry)
{
    const struct estate_instance *instances = registry ? registry->instances.items : NULL;
    const char *found = NULL;

    for (size_t i = 0; registry && i < registry->instances.count; i++) {
        if (*instances[i].address || *instances[i].address6)
            continue;
        if (found)
            return NULL;
        found = instances[i].id;
    }
    return found;
}

/* As the registry has it, or as the zone's records have. */
const char *lookup_instance(const struct estate *estate, const char *name, const char *address)
{
    const struct estate_registry *registry = lookup_registry(estate, name);
    const struct estate_instance *instances = registry ? registry->instances.items : NULL;
    const struct estate_zone *zones = estate->parts[ESTATE_ZONES].items;

    if (!*address)
        return find_without_address(registry);

    for (size_t i = 0; registry && i < registry->instances.count; i++)
        if (strcmp(instances[i].address, address) == 0 ||
            strcmp(instances[i].address6, address) == 0)
            return instances[i].id;
    for (size_t z = 0; z < estate_count(estate, ESTATE_ZONES); z++) {
        const struct estate_record *records = zones[z].records.items;
        for (size_t i = 0; i < zones[z].records.count; i++)
            if (*records[i].id && lookup_is_in_domain(records[i].name, name) &&
                record_has_text(&records[i].values, address))
                return records[i].id;
    }
    return NULL;
}

bool lookup_is_associated(const struct estate *estate, const struct estate_namespace *namespace,
                          const char *vpc)
{
    const struct estate_zone *zones = estate->parts[ESTATE_ZONES].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_ZONES); i++)
        if (strcmp(zones[i].id, namespace->zone) == 0 && strcmp(zones[i].vpc, vpc) == 0)
            return true;
    return false;
}

const struct estate_resolver_rule *lookup_resolver_rule(const struct estate *estate,
                                                        const char *name, const char *vpc)
{
    const struct estate_resolver_rule *rules = estate->parts[ESTATE_RESOLVER_RULES].items;
    const struct estate_namespace *namespace = lookup_namespace(estate, name);
    const struct estate_resolver_rule *best = NULL;
    size_t longest = 0;

    for (size_t i = 0; i < estate_count(estate, ESTATE_RESOLVER_RULES); i++) {
        size_t length = length_without_dot(rules[i].domain);
        if (lookup_is_in_domain(name, rules[i].domain) && length > longest &&
            record_has_text(&rules[i].vpcs, vpc)) {
            best = &rules[i];
            longest = length;
        }
    }
    if (!best || strcmp(best->type, "FORWARD") != 0)
        return NULL;
    return namespace && length_without_dot(namespace->name) > longest ? NULL : best;
}

/* ---- load balancers ---- */

const struct estate_target_group *lookup_target_group(const struct estate *estate,
                                                      const struct estate_service *service)
{
    const struct estate_balancing *balancings = service->balancings.items;

    for (size_t i = 0; i < service->balancings.count; i++) {
        const struct estate_target_group *group =
            estate_find(estate, ESTATE_TARGET_GROUPS, balancings[i].target_group);
        if (group && group->is_read)
            return group;
    }
    return NULL;
}

/* EC2 describes such an interface as "ELB app/NAME/ID", and the ARN ends with
 * loadbalancer/app/NAME/ID.
 */
bool lookup_is_balancer_of(const struct estate_interface *interface,
                           const struct estate_target_group *group)
{
    const char *name = interface->description + 4;

    if (strncmp(interface->description, "ELB ", 4) != 0 || !*name)
        return false;
    for (size_t i = 0; i < group->balancers.count; i++) {
        const char *arn = record_text(&group->balancers, i);
        size_t length = strlen(arn), tail = strlen(name);
        if (length > tail && arn[length - tail - 1] == '/' &&
            strcmp(arn + length - tail, name) == 0)
            return true;
    }
    return false;
}

size_t lookup_healthy_targets(const struct estate_target_group *group, const char *zone)
{
    const struct estate_target *targets = group->targets.items;
    size_t count = 0;

    for (size_t i = 0; i < group->targets.count; i++)
        count += strcmp(targets[i].state, "healthy") == 0 &&
                 (!*zone || strcmp(targets[i].zone, zone) == 0);
    return count;
}
