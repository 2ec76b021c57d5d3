#include "collector/phrase_cloud.h"

#include "collector/cloud/lookup.h"
#include "collector/cloud/path_words.h"
#include "common/text.h"

#include <string.h>

static const struct estate *estate_of(const struct phrase *phrase)
{
    return phrase->symptoms->input->estate;
}

static const char *source_name(const struct phrase *phrase)
{
    return phrase->symptoms->input->fleet->services[phrase->symptom->place.from].name;
}

static const char *target_name(const struct phrase *phrase)
{
    return phrase->symptoms->input->fleet->services[phrase->symptom->place.to].name;
}

/* NULL: the cloud's view is not there, or does not know it. */
static const struct estate_service *source_of(const struct phrase *phrase)
{
    return estate_of(phrase) ? lookup_service(estate_of(phrase), source_name(phrase)) : NULL;
}

static const struct estate_service *target_of(const struct phrase *phrase)
{
    return estate_of(phrase) ? lookup_service(estate_of(phrase), target_name(phrase)) : NULL;
}

static void put_or(struct buf *out, const char *text, const char *what, const char *of)
{
    if (text && *text)
        buf_puts(out, text);
    else
        buf_printf(out, "<%s%s%s>", what, *of ? " of " : "", of);
}

/* ---- the path ---- */

/* Of two steps the one that is closed; else the first. */
static void put_steps(const struct phrase *phrase, enum path_kind first, enum path_kind second,
                      struct buf *out)
{
    const struct symptom_path *at = phrase->symptom->path;

    if (at)
        path_words_put(
            estate_of(phrase), &at->flow, &at->path,
            at->path.steps[second].verdict > at->path.steps[first].verdict ? second : first, out);
}

static void put_group_out(const struct phrase *phrase, struct buf *out)
{
    put_steps(phrase, PATH_GROUP_OUT, PATH_GROUP_OUT, out);
}

static void put_group_in(const struct phrase *phrase, struct buf *out)
{
    put_steps(phrase, PATH_GROUP_IN, PATH_GROUP_IN, out);
}

static void put_acl_forward(const struct phrase *phrase, struct buf *out)
{
    put_steps(phrase, PATH_ACL_OUT, PATH_ACL_IN, out);
}

static void put_acl_back(const struct phrase *phrase, struct buf *out)
{
    put_steps(phrase, PATH_BACK_ACL_OUT, PATH_BACK_ACL_IN, out);
}

static void put_acls(const struct phrase *phrase, struct buf *out)
{
    if (fact_is(&phrase->symptom->facts, FACT_ACL_FORWARD, false))
        put_acl_forward(phrase, out);
    else
        put_acl_back(phrase, out);
}

static void put_routes(const struct phrase *phrase, struct buf *out)
{
    put_steps(phrase, PATH_ROUTE, PATH_BACK_ROUTE, out);
}

static void put_closed(const struct phrase *phrase, struct buf *out)
{
    const struct symptom_path *at = phrase->symptom->path;

    if (at)
        path_words_put_all(estate_of(phrase), &at->flow, &at->path, PATH_DENIED, out);
}

/* ---- ids ---- */

static void put_cluster(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *service = target_of(phrase);

    put_or(out, service ? service->cluster : NULL, "cluster", "");
}

static void put_region(const struct phrase *phrase, struct buf *out)
{
    put_or(out, estate_of(phrase) ? estate_of(phrase)->region : NULL, "region", "");
}

static void put_source_group(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *service = source_of(phrase);

    put_or(out, service && service->groups.count ? record_text(&service->groups, 0) : NULL, "group",
           source_name(phrase));
}

static void put_target_group(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *service = target_of(phrase);

    put_or(out, service && service->groups.count ? record_text(&service->groups, 0) : NULL, "group",
           target_name(phrase));
}

/* Of the very task, where its address is known; else of its service. */
static const char *subnet_of(const struct phrase *phrase, const char *address,
                             const struct estate_service *service)
{
    const struct estate_interface *interface =
        estate_of(phrase) && *address ? lookup_interface(estate_of(phrase), address) : NULL;

    return interface ? interface->subnet : service ? lookup_subnet(service) : NULL;
}

static void put_source_subnet(const struct phrase *phrase, struct buf *out)
{
    const struct symptom_path *at = phrase->symptom->path;

    put_or(out,
           at ? path_interface(at->flow.source)->subnet : subnet_of(phrase, "", source_of(phrase)),
           "subnet", source_name(phrase));
}

static void put_target_subnet(const struct phrase *phrase, struct buf *out)
{
    put_or(out, subnet_of(phrase, phrase->symptom->row->address, target_of(phrase)), "subnet",
           target_name(phrase));
}

static void put_vpc(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *service = source_of(phrase);

    put_or(out, service ? lookup_vpc(estate_of(phrase), service) : NULL, "vpc",
           source_name(phrase));
}

static void put_target_task(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *service = target_of(phrase);
    const struct estate_task *task =
        service ? lookup_task(estate_of(phrase), phrase->symptom->row->address) : NULL;

    /* Another VPC's may have the address, too: what is pasted stops the right one, or none. */
    put_or(out, task && lookup_is_task_of(task, service) ? estate_short_name(task->arn) : NULL,
           "task", target_name(phrase));
}

static const struct estate_registry *registry_of(const struct phrase *phrase)
{
    return estate_of(phrase) ? lookup_registry(estate_of(phrase), phrase->symptom->row->name)
                             : NULL;
}

static void put_registry(const struct phrase *phrase, struct buf *out)
{
    const struct estate_registry *registry = registry_of(phrase);

    put_or(out, registry ? registry->id : NULL, "registry", target_name(phrase));
}

static void put_registry_arn(const struct phrase *phrase, struct buf *out)
{
    const struct estate_registry *registry = registry_of(phrase);

    put_or(out, registry ? registry->arn : NULL, "registry's ARN", target_name(phrase));
}

static void put_instance(const struct phrase *phrase, struct buf *out)
{
    put_or(out,
           estate_of(phrase) ? lookup_instance(estate_of(phrase), phrase->symptom->row->name,
                                               phrase->symptom->row->address)
                             : NULL,
           "the instance with",
           *phrase->symptom->row->address ? phrase->symptom->row->address : "no address");
}

static const struct estate_namespace *namespace_of(const struct phrase *phrase)
{
    return estate_of(phrase) ? lookup_namespace(estate_of(phrase), phrase->symptom->row->name)
                             : NULL;
}

static void put_namespace(const struct phrase *phrase, struct buf *out)
{
    const struct estate_namespace *namespace = namespace_of(phrase);

    put_or(out, namespace ? namespace->id : NULL, "namespace", "");
}

static void put_zone_id(const struct phrase *phrase, struct buf *out)
{
    const struct estate_namespace *namespace = namespace_of(phrase);

    put_or(out, namespace ? namespace->zone : NULL, "hosted zone", "");
}

static const struct estate_resolver_rule *rule_of(const struct phrase *phrase)
{
    const struct estate_service *source = source_of(phrase);

    return source ? lookup_resolver_rule(estate_of(phrase), phrase->symptom->row->name,
                                         lookup_vpc(estate_of(phrase), source))
                  : NULL;
}

static void put_rule_id(const struct phrase *phrase, struct buf *out)
{
    const struct estate_resolver_rule *rule = rule_of(phrase);

    put_or(out, rule ? rule->id : NULL, "rule", "");
}

static void put_target_namespace(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);

    put_or(out, target ? target->connect_namespace : NULL, "namespace", target_name(phrase));
}

static void put_target_group_arn(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);
    const struct estate_target_group *group =
        target ? lookup_target_group(estate_of(phrase), target) : NULL;

    put_or(out, group ? group->arn : NULL, "target group", target_name(phrase));
}

/* The rule that lets it in goes only where it is for the source's group: another lets in others
 * too. */
static void put_leak(const struct phrase *phrase, struct buf *out)
{
    const struct symptom_path *at = phrase->symptom->path;
    const struct path_step *step = at ? &at->path.steps[PATH_GROUP_IN] : NULL;

    if (step && step->rule &&
        record_has_text(&path_interface(at->flow.source)->groups, step->rule->peer)) {
        buf_printf(
            out, "aws ec2 revoke-security-group-ingress --group-id %s --security-group-rule-ids %s",
            step->of, step->rule->id);
        return;
    }
    buf_puts(out, "aws ec2 describe-security-group-rules --filters Name=group-id,Values=");
    if (step && *step->of)
        buf_puts(out, step->of);
    else
        put_target_group(phrase, out);
}

/* ---- words ---- */

static void put_resolver_rule(const struct phrase *phrase, struct buf *out)
{
    const struct estate_resolver_rule *rule = rule_of(phrase);

    if (!rule)
        return;
    buf_printf(out, "%s forwards %s to ", rule->id, rule->domain);
    for (size_t i = 0; i < rule->targets.count; i++)
        buf_printf(out, "%s%s", i ? ", " : "", record_text(&rule->targets, i));
}

static void put_registration(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);
    const struct estate_registry *registry = registry_of(phrase);
    const struct estate_registration *registration =
        target ? lookup_registration(target, registry) : NULL;

    if (registration)
        lookup_registration_fault(estate_of(phrase), target, registration, registry, out);
}

static void put_event(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);
    const struct estate_event *event = target ? lookup_placement_event(target) : NULL;

    if (event)
        buf_printf(out, "%.400s", event->text);
}

static void put_register_event(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);
    const struct estate_event *event = target ? lookup_registration_event(target) : NULL;

    if (event)
        buf_printf(out, "%.400s", event->text);
}

static void put_deployment(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);
    const struct estate_deployment *primary = target ? lookup_primary(target) : NULL;

    if (primary)
        buf_printf(out, "%s, %s: %lld of %lld run, %lld failed%s%.300s",
                   estate_short_name(primary->definition), primary->state,
                   (long long)primary->running, (long long)primary->desired,
                   (long long)primary->failed, *primary->reason ? "; " : "", primary->reason);
}

static void put_counts(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);

    if (target)
        buf_printf(out, "%lld of %lld", (long long)target->running, (long long)target->desired);
}

static void put_grace(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *target = target_of(phrase);
    const struct estate_task *task =
        target ? lookup_task(estate_of(phrase), phrase->symptom->row->address) : NULL;

    if (task)
        buf_printf(out, "started %lld s ago, of a grace period of %lld s",
                   (long long)(estate_of(phrase)->taken_ms - task->started_ms) / 1000,
                   (long long)target->grace_s);
}

static void put_namespaces(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *source = source_of(phrase), *target = target_of(phrase);

    if (source && target)
        buf_printf(out, "%s and %s", estate_short_name(source->connect_namespace),
                   estate_short_name(target->connect_namespace));
}

static void put_targets(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *service = target_of(phrase);
    const struct estate_target_group *group =
        service ? lookup_target_group(estate_of(phrase), service) : NULL;
    const struct estate_target *targets = group ? group->targets.items : NULL;

    if (group && !group->targets.count)
        buf_puts(out, "it has none");
    for (size_t i = 0; group && i < group->targets.count && i < 3; i++)
        buf_printf(out, "%s%s:%lld %s%s%s%s%s", i ? ", " : "", targets[i].id,
                   (long long)targets[i].port, targets[i].state, *targets[i].reason ? ", " : "",
                   targets[i].reason, *targets[i].description ? ": " : "", targets[i].description);
}

/* That of a load balancer's interface. */
static void put_zones(const struct phrase *phrase, struct buf *out)
{
    const struct estate *estate = estate_of(phrase);
    const struct estate_interface *interface =
        estate ? lookup_interface(estate, phrase->symptom->row->address) : NULL;

    buf_printf(out, "zone %s", interface ? interface->zone : "?");
}

/* That of the service's first running task. */
static void put_one_zone(const struct phrase *phrase, struct buf *out)
{
    const struct estate_service *service = target_of(phrase);
    const struct estate_task *tasks = service ? estate_of(phrase)->parts[ESTATE_TASKS].items : NULL;

    for (size_t i = 0; service && i < estate_count(estate_of(phrase), ESTATE_TASKS); i++)
        if (lookup_is_task_of(&tasks[i], service) && strcmp(tasks[i].status, "RUNNING") == 0) {
            buf_printf(out, "zone %s", tasks[i].zone);
            return;
        }
}

static const struct {
    const char *name;
    void (*put)(const struct phrase *phrase, struct buf *out);
} placeholders[] = {
    {"group-out", put_group_out},
    {"group-in", put_group_in},
    {"acl-forward", put_acl_forward},
    {"acl-back", put_acl_back},
    {"acls", put_acls},
    {"routes", put_routes},
    {"closed", put_closed},
    {"cluster", put_cluster},
    {"region", put_region},
    {"S-group", put_source_group},
    {"T-group", put_target_group},
    {"S-subnet", put_source_subnet},
    {"T-subnet", put_target_subnet},
    {"T-task", put_target_task},
    {"T-namespace", put_target_namespace},
    {"vpc", put_vpc},
    {"registry", put_registry},
    {"registry-arn", put_registry_arn},
    {"instance", put_instance},
    {"namespace", put_namespace},
    {"namespaces", put_namespaces},
    {"zone-id", put_zone_id},
    {"rule-id", put_rule_id},
    {"resolver-rule", put_resolver_rule},
    {"registration", put_registration},
    {"target-group", put_target_group_arn},
    {"targets", put_targets},
    {"leak", put_leak},
    {"event", put_event},
    {"register-event", put_register_event},
    {"deployment", put_deployment},
    {"counts", put_counts},
    {"grace", put_grace},
    {"zones", put_zones},
    {"one-zone", put_one_zone},
};

bool phrase_put_cloud(const struct phrase *phrase, const char *name, size_t length, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(placeholders); i++)
        if (strlen(placeholders[i].name) == length &&
            memcmp(placeholders[i].name, name, length) == 0) {
            placeholders[i].put(phrase, out);
            return true;
        }
    return false;
}
