/* What the VPC's configuration says of a symptom's path. */
#include "collector/symptom.h"

#include "collector/cloud/lookup.h"
#include "common/mem.h"

#include <string.h>

/* Of the task's own addresses the one of the target's family. */
static const char *address_of(const struct owner_agent *agent, bool is_v6)
{
    for (size_t i = 0; i < agent->address_count; i++)
        if ((strchr(agent->addresses[i], ':') != NULL) == is_v6)
            return agent->addresses[i];
    return NULL;
}

/* NULL: it is not known, or its addresses mean nothing in the VPC (bridge mode). */
static const struct owner_agent *agent_of(const struct symptoms *symptoms, uint32_t source)
{
    const struct diagnose_input *input = symptoms->input;
    const struct diagnose_source *wanted = &input->sources[source];
    const char *service = input->fleet->services[wanted->service].name;

    for (size_t i = 0; i < input->agent_count; i++)
        if (strcmp(input->agents[i].task, wanted->task) == 0 &&
            strcmp(input->agents[i].service, service) == 0)
            return ownership_can_witness(input->agents[i].mode) ? &input->agents[i] : NULL;
    return NULL;
}

void symptoms_find_sources(struct symptoms *symptoms)
{
    const struct diagnose_input *input = symptoms->input;

    if (!input->map)
        return;
    symptoms->agent_of = mem_array(input->source_count, sizeof(struct owner_agent *));
    for (size_t i = 0; i < input->source_count; i++)
        symptoms->agent_of[i] = agent_of(symptoms, (uint32_t)i);
    symptoms->ecs_of = mem_array(input->fleet->service_count, sizeof(struct estate_service *));
    for (size_t i = 0; i < input->fleet->service_count; i++)
        symptoms->ecs_of[i] = lookup_service(input->estate, input->fleet->services[i].name);
}

/* Open, closed, or not known. */
static void set_step(struct facts *facts, enum fact fact, enum path_verdict verdict)
{
    if (verdict == PATH_SKIPPED || verdict == PATH_ALLOWED)
        fact_set(facts, fact, true);
    else if (verdict == PATH_DENIED)
        fact_set(facts, fact, false);
}

static enum path_verdict worse(const struct path *path, enum path_kind a, enum path_kind b)
{
    return path->steps[a].verdict > path->steps[b].verdict ? path->steps[a].verdict
                                                           : path->steps[b].verdict;
}

bool symptoms_walk(const struct symptoms *symptoms, uint32_t source, const struct tries_row *row,
                   struct symptom_path *ret_at)
{
    const struct owner_agent *agent = symptoms->agent_of[source];
    const char *to = row->address;
    const char *from = agent && *to ? address_of(agent, strchr(to, ':') != NULL) : NULL;
    const char *type = fleet_column_check(symptoms->input->fleet, row->column)->type;

    if (!from || !path_flow_of(symptoms->input->map, strcmp(type, "udp") == 0 ? PATH_UDP : PATH_TCP,
                               from, to, row->port, &ret_at->flow))
        return false;
    path_walk(symptoms->input->map, &ret_at->flow, &ret_at->path);
    return true;
}

void symptoms_find_path_facts(struct symptoms *symptoms, struct symptom *symptom)
{
    struct facts *facts = &symptom->facts;
    enum path_verdict forward, back;
    struct symptom_path at, *kept;

    if ((symptom->layer != LAYER_CONNECT && symptom->what != FACT_LEAK) ||
        !symptoms_walk(symptoms, symptom->place.source, symptom->row, &at))
        return;
    symptom->path = kept = arena_alloc(&symptoms->arena, 1, sizeof(*kept));
    *kept = at;
    if (symptom->what == FACT_LEAK) {
        fact_set(facts, FACT_LET_IN, at.path.steps[PATH_GROUP_IN].verdict == PATH_ALLOWED);
        return;
    }
    forward = worse(&at.path, PATH_ACL_OUT, PATH_ACL_IN);
    back = worse(&at.path, PATH_BACK_ACL_OUT, PATH_BACK_ACL_IN);
    set_step(facts, FACT_GROUP_OUT, at.path.steps[PATH_GROUP_OUT].verdict);
    set_step(facts, FACT_GROUP_IN, at.path.steps[PATH_GROUP_IN].verdict);
    set_step(facts, FACT_ACL_FORWARD, forward);
    set_step(facts, FACT_ACL_BACK, back);
    set_step(facts, FACT_ACLS, forward > back ? forward : back);
    set_step(facts, FACT_ROUTED, worse(&at.path, PATH_ROUTE, PATH_BACK_ROUTE));
    set_step(facts, FACT_OPEN, at.path.verdict);
    fact_set(facts, FACT_BACK_PARTLY, back == PATH_PARTLY);
}
