/* What the cloud says of services that is worth saying though nothing is red for it. */
#include "collector/finding.h"

#include "collector/cloud/lookup.h"

#include <stdio.h>
#include <string.h>

#define SURE            0.95   /* it is the cloud's own word */
#define DIFFERENCES_MAX 8      /* pairs that work though they are closed: more say no more */
#define TRIES_MAX       200000 /* looked at for that */

/* A failure of the service has that cause already. */
static bool is_known(const struct symptoms *symptoms, const struct diagnoses *diagnoses,
                     const char *cause, size_t service)
{
    for (size_t i = 0; i < diagnoses->count; i++)
        for (size_t c = 0; c < diagnoses->items[i].cell_count; c++)
            if (strcmp(diagnoses->items[i].cause, cause) == 0 &&
                symptoms->input->fleet->columns[diagnoses->items[i].cells[c].column].service ==
                    service)
                return true;
    return false;
}

static void say(const struct symptoms *symptoms, struct diagnoses *diagnoses, size_t service,
                const char *cause, const char *fact)
{
    const struct fleet *fleet = symptoms->input->fleet;
    CLEANUP_BUF struct buf text = BUF_INIT(2048);
    struct finding finding;
    size_t column = 0;

    while (column < fleet->column_count && fleet->columns[column].service != service)
        column++;
    if (column == fleet->column_count || is_known(symptoms, diagnoses, cause, service))
        return;
    finding_init(&finding, symptoms, diagnoses, service, column);
    finding_say(&finding, cause, SEVERITY_WARNING, SURE, fleet->services[service].name);
    phrase_expand(&finding.phrase, fact, &text);
    finding_prove(&finding, "cloud", buf_text(&text), "AWS");
}

/* Why not as many tasks run as are wanted: the first of these that is so. */
static void find_shortage(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                          size_t index, const struct estate_service *service)
{
    const struct estate_deployment *primary = lookup_primary(service);

    if (service->running >= service->desired)
        return;
    if (lookup_placement_event(service))
        say(symptoms, diagnoses, index, "target.capacity", "an event of {T}: {event}");
    else if (primary && strcmp(primary->state, "FAILED") == 0)
        say(symptoms, diagnoses, index, "target.deployment-failed",
            "the deployment of {T}: {deployment}");
    else if (primary && strcmp(primary->state, "IN_PROGRESS") == 0)
        say(symptoms, diagnoses, index, "target.deploying", "the deployment of {T}: {deployment}");
    else
        say(symptoms, diagnoses, index, "target.below-desired", "{counts} tasks of {T} run");
}

static bool has_other_zone(const struct estate *estate, const struct estate_service *service,
                           const char *zone)
{
    for (size_t i = 0; i < service->subnets.count; i++) {
        const struct estate_subnet *subnet =
            estate_find(estate, ESTATE_SUBNETS, record_text(&service->subnets, i));
        if (subnet && strcmp(subnet->zone, zone) != 0)
            return true;
    }
    return false;
}

static void find_imbalance(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                           size_t index, const struct estate_service *service)
{
    const struct estate *estate = symptoms->input->estate;
    const struct estate_task *tasks = estate->parts[ESTATE_TASKS].items;
    const char *zone = NULL;
    size_t count = 0;

    for (size_t i = 0; i < estate_count(estate, ESTATE_TASKS); i++) {
        if (!lookup_is_task_of(&tasks[i], service) || strcmp(tasks[i].status, "RUNNING") != 0)
            continue;
        if (zone && strcmp(zone, tasks[i].zone) != 0)
            return;
        zone = tasks[i].zone;
        count++;
    }
    if (count >= 2 && *zone && has_other_zone(estate, service, zone))
        say(symptoms, diagnoses, index, "target.zone-imbalance",
            "all running tasks of {T} are in {one-zone}");
}

static void find_sick_targets(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                              size_t index, const struct estate_service *service)
{
    const struct estate_target_group *group = lookup_target_group(symptoms->input->estate, service);
    const struct estate_target *targets = group ? group->targets.items : NULL;

    for (size_t i = 0; group && i < group->targets.count; i++)
        if (strcmp(targets[i].state, "unhealthy") == 0) {
            say(symptoms, diagnoses, index, "lb.unhealthy", "{targets}");
            return;
        }
}

/* ---- what works though the rules close it ---- */

static bool is_said(const struct diagnoses *diagnoses, size_t source, size_t column)
{
    size_t count = 0;

    for (size_t i = 0; i < diagnoses->count; i++) {
        const struct diagnosis *diagnosis = &diagnoses->items[i];
        if (strcmp(diagnosis->cause, "network.rules-differ") != 0)
            continue;
        if (diagnosis->cells[0].source == source && diagnosis->cells[0].column == column)
            return true;
        count++;
    }
    return count == DIFFERENCES_MAX;
}

static void say_difference(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                           const struct tries *tries, const struct symptom_path *at)
{
    size_t source = symptoms->input->sources[tries->source].service;
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    struct finding finding;

    finding_init(&finding, symptoms, diagnoses, source, tries->column);
    finding.symptom.path = at;
    finding.symptom.place.source = tries->source;
    finding.row = *tries->example;
    finding.phrase.scope = SCOPE_PAIR;
    finding_say(&finding, "network.rules-differ", SEVERITY_WARNING, SURE, NULL);
    phrase_expand(&finding.phrase, "{closed}", &text);
    finding_prove(&finding, "cloud", buf_text(&text), "AWS");
    buf_reset(&text);
    phrase_expand(&finding.phrase, "{s} connects to {at}", &text);
    finding_prove(&finding, "source", buf_text(&text), "its agent");
    finding_add_cell(&finding, source, tries->column, 1);
}

/* The two views part: shown, whichever is right. */
static void find_differences(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    const struct tries_set *set = symptoms->input->set;

    for (size_t i = 0; i < set->count && i < TRIES_MAX; i++) {
        const struct tries *tries = &set->tries[i];
        struct symptom_path at;
        if (tries->verdict == TRIES_PASSED && *tries->example->address &&
            symptoms_walk(symptoms, tries->source, tries->example, &at) &&
            at.path.verdict == PATH_DENIED &&
            !is_said(diagnoses, symptoms->input->sources[tries->source].service, tries->column))
            say_difference(symptoms, diagnoses, tries, &at);
    }
}

void findings_add_cloud(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    const struct fleet *fleet = symptoms->input->fleet;
    const struct estate *estate = symptoms->input->estate;

    for (size_t i = 0; estate && i < fleet->service_count; i++) {
        const struct estate_service *service = lookup_service(estate, fleet->services[i].name);
        if (!service)
            continue;
        find_shortage(symptoms, diagnoses, i, service);
        find_imbalance(symptoms, diagnoses, i, service);
        find_sick_targets(symptoms, diagnoses, i, service);
    }
    if (symptoms->agent_of)
        find_differences(symptoms, diagnoses);
}
