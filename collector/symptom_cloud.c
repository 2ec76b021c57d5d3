/* What ECS, Cloud Map, Route 53 and the load balancers say of a symptom. */
#include "collector/symptom.h"

#include "collector/cloud/lookup.h"
#include "common/mem.h"

#include <string.h>

/* What the cloud has at an address: looked for once. */
struct cloud_spot {
    const struct estate_task *task;
    const struct estate_interface *interface;
    bool is_looked_for;
};

static const struct cloud_spot *spot_of(struct symptoms *symptoms, const struct symptom *symptom)
{
    static const struct cloud_spot none = {NULL, NULL, true};
    uint32_t number = symptom->place.address;
    struct cloud_spot *spot;

    if (number == SYMPTOM_NONE)
        return &none;
    if (!symptoms->cloud_spots)
        symptoms->cloud_spots =
            mem_array(symptoms_count(symptoms, TEXT_ADDRESS), sizeof(*symptoms->cloud_spots));
    spot = &symptoms->cloud_spots[number];
    if (!spot->is_looked_for)
        *spot = (struct cloud_spot){
            lookup_task(symptoms->input->estate, symptom->row->address),
            lookup_interface(symptoms->input->estate, symptom->row->address), true};
    return spot;
}

static bool has_all(const struct estate *estate, const char *const *calls)
{
    for (; *calls; calls++)
        if (!estate_has(estate, *calls))
            return false;
    return true;
}

/* ---- ECS ---- */

static void find_service_facts(const struct estate *estate, const struct estate_service *service,
                               struct facts *facts)
{
    const struct estate_deployment *primary = lookup_primary(service);

    if (!estate_has(estate, "ecs:DescribeServices"))
        return;
    fact_set(facts, FACT_WANTED, service->desired > 0);
    fact_set(facts, FACT_CANNOT_PLACE, lookup_placement_event(service) != NULL);
    if (!primary)
        return;
    fact_set(facts, FACT_DEPLOY_FAILED,
             strcmp(primary->state, "FAILED") == 0 || (primary->failed > 0 && !primary->running));
    fact_set(facts, FACT_DEPLOYING,
             strcmp(primary->state, "IN_PROGRESS") == 0 && primary->running < primary->desired);
}

static void find_task_facts(struct symptoms *symptoms, struct symptom *symptom,
                            const struct estate_service *service)
{
    const struct estate *estate = symptoms->input->estate;
    const struct estate_task *task = spot_of(symptoms, symptom)->task;

    if (!task || !lookup_is_task_of(task, service))
        return;
    if (!fact_is_known(&symptom->facts, FACT_UNHEALTHY) && *task->health &&
        strcmp(task->health, "UNKNOWN") != 0)
        fact_set(&symptom->facts, FACT_UNHEALTHY, strcmp(task->health, "UNHEALTHY") == 0);
    if (service->grace_s > 0 && task->started_ms)
        fact_set(&symptom->facts, FACT_IN_GRACE,
                 estate->taken_ms - task->started_ms < service->grace_s * 1000);
}

/* ---- load balancers ---- */

static void find_balancer_facts(struct symptoms *symptoms, struct symptom *symptom,
                                const struct estate_service *service)
{
    const struct estate *estate = symptoms->input->estate;
    const struct estate_interface *interface = spot_of(symptoms, symptom)->interface;
    const struct estate_target_group *group = lookup_target_group(estate, service);

    if (!interface || !group || !lookup_is_balancer_of(interface, group))
        return;
    fact_set(&symptom->facts, FACT_BALANCER_OK, lookup_healthy_targets(group, "") > 0);
    if (strcmp(interface->type, "network_load_balancer") == 0)
        fact_set(&symptom->facts, FACT_ZONE_OK, lookup_healthy_targets(group, interface->zone) > 0);
}

/* ---- names ---- */

static void find_registry_facts(const struct estate *estate, const struct estate_service *service,
                                const char *name, struct facts *facts)
{
    static const char *const calls[] = {"ecs:DescribeServices", "servicediscovery:ListServices",
                                        "servicediscovery:ListNamespaces", NULL};
    const struct estate_registry *registry = lookup_registry(estate, name);
    const struct estate_registration *registration = lookup_registration(service, registry);
    const struct estate_instance *instances = registry ? registry->instances.items : NULL;
    size_t healthy = 0, judged = 0;
    CLEANUP_BUF struct buf ignored = BUF_INIT(1024);

    if (!has_all(estate, calls) || !lookup_namespace(estate, name))
        return;
    if (!registration && service->connect.count)
        return; /* its names are Service Connect's */
    fact_set(facts, FACT_REGISTERS, !lookup_registration_event(service));
    fact_set(facts, FACT_REGISTERED, registration != NULL);
    if (!registry || !registration)
        return;
    if (lookup_definition(estate, service))
        fact_set(facts, FACT_REGISTRATION_FITS,
                 !lookup_registration_fault(estate, service, registration, registry, &ignored));
    if (!registry->is_read || !registry->instances.count)
        return;
    for (size_t i = 0; i < registry->instances.count; i++) {
        judged += *instances[i].health != '\0';
        healthy += strcmp(instances[i].health, "HEALTHY") == 0;
    }
    if (judged == registry->instances.count)
        fact_set(facts, FACT_REGISTRY_OK, healthy > 0);
}

static void find_dns_facts(const struct estate *estate, const struct estate_service *source,
                           const char *name, struct facts *facts)
{
    static const char *const zone_calls[] = {"servicediscovery:ListNamespaces",
                                             "route53:ListHostedZonesByVPC", NULL};
    static const char *const rule_calls[] = {"route53resolver:ListResolverRules",
                                             "route53resolver:ListResolverRuleAssociations", NULL};
    const char *vpc_id = lookup_vpc(estate, source);
    const struct estate_vpc *vpc = estate_find(estate, ESTATE_VPCS, vpc_id);
    const struct estate_namespace *namespace = lookup_namespace(estate, name);

    if (!vpc)
        return;
    if (vpc->is_dns_read)
        fact_set(facts, FACT_VPC_DNS, vpc->has_dns_support);
    if (namespace && *namespace->zone && has_all(estate, zone_calls))
        fact_set(facts, FACT_ZONE_ASSOCIATED, lookup_is_associated(estate, namespace, vpc_id));
    if (has_all(estate, rule_calls))
        fact_set(facts, FACT_RULE_IN_WAY, lookup_resolver_rule(estate, name, vpc_id) != NULL);
}

static void find_mesh_facts(const struct symptoms *symptoms, const struct symptom *symptom,
                            const struct estate_service *source,
                            const struct estate_service *target, struct facts *facts)
{
    const struct estate_deployment *primary = lookup_primary(target);
    const struct owner_agent *agent =
        symptoms->agent_of ? symptoms->agent_of[symptom->place.source] : NULL;
    const struct estate_task *task = agent && agent->address_count
                                         ? lookup_task(symptoms->input->estate, agent->addresses[0])
                                         : NULL;

    if (!target->connect.count || !*source->connect_namespace)
        return;
    fact_set(facts, FACT_SAME_MESH,
             strcmp(source->connect_namespace, target->connect_namespace) == 0);
    if (task && task->started_ms && primary && primary->created_ms)
        fact_set(facts, FACT_MESH_NEWER, primary->created_ms > task->started_ms);
}

void symptoms_find_cloud_facts(struct symptoms *symptoms, struct symptom *symptom)
{
    const struct estate *estate = symptoms->input->estate;
    const struct estate_service *source = symptoms->ecs_of[symptom->place.from];
    const struct estate_service *target = symptoms->ecs_of[symptom->place.to];

    if (target) {
        find_service_facts(estate, target, &symptom->facts);
        find_task_facts(symptoms, symptom, target);
        find_balancer_facts(symptoms, symptom, target);
    }
    if (symptom->layer != LAYER_NAME)
        return;
    if (target)
        find_registry_facts(estate, target, symptom->row->name, &symptom->facts);
    if (source)
        find_dns_facts(estate, source, symptom->row->name, &symptom->facts);
    if (source && target)
        find_mesh_facts(symptoms, symptom, source, target, &symptom->facts);
}
