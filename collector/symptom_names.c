/* What is known of a name that does not resolve: what the task's resolver said besides, and what
 * all others heard. */
#include "collector/symptom.h"

#include "common/mem.h"
#include "common/text.h"

#include <string.h>

#define RETRIED_SHARE 5 /* one in so many questions had to be asked again */
#define RETRIED_MIN   3

/* What a task's resolver did for its questions. */
struct hearing {
    bool is_known;
    unsigned asked, good, negative, retried;
};

static const struct hearing *hearing_of(struct symptoms *symptoms, uint32_t source)
{
    struct hearing *hearing;

    if (!symptoms->hearings)
        symptoms->hearings = mem_array(symptoms->input->source_count, sizeof(*hearing));
    hearing = &symptoms->hearings[source];
    for (size_t i = symptoms->answers_of[source];
         i < symptoms->answers_of[source + 1] && !hearing->is_known; i++) {
        const struct answer_row *row = symptoms->answer_rows[i];
        const struct answer *answer = &symptoms->input->answers->answers[row->answer];
        if (answer_is_from_hosts(answer))
            continue;
        hearing->asked++;
        hearing->good += answer_is_good(answer);
        hearing->negative += answer_is_negative(answer);
        hearing->retried += row->tries > 1 || (row->is_superseded && !answer->is_truncated);
    }
    hearing->is_known = true;
    return hearing;
}

/* Addresses, by DNS. */
static bool is_resolved(const struct answer *answer)
{
    return answer_is_good(answer) && !answer_is_from_hosts(answer) &&
           strcmp(answer->type, "SRV") != 0;
}

static bool has_resolved(const struct symptoms *symptoms, const char *name)
{
    size_t count;
    const uint32_t *found = answers_find(&symptoms->index, name, &count);

    for (size_t i = 0; i < count; i++)
        if (is_resolved(&symptoms->input->answers->answers[found[i]]))
            return true;
    return false;
}

/* Any other name of the same domain. */
static bool has_resolved_beside(const struct symptoms *symptoms, const char *name)
{
    const struct fleet *fleet = symptoms->input->fleet;
    const char *domain = strchr(name, '.');

    for (size_t s = 0; s < fleet->service_count && domain; s++)
        for (size_t n = 0; n < fleet->services[s].name_count; n++) {
            const char *other = fleet->services[s].names[n];
            if (strcasecmp(other, name) != 0 && text_has_domain_suffix(other, domain + 1) &&
                has_resolved(symptoms, other))
                return true;
        }
    return false;
}

/* The same, looked for once a name. */
static bool resolves_beside(struct symptoms *symptoms, const struct symptom *symptom)
{
    enum { UNKNOWN, NO, YES };
    uint8_t *beside;

    if (symptom->place.name == SYMPTOM_NONE)
        return false;
    if (!symptoms->beside)
        symptoms->beside = mem_array(symptoms_count(symptoms, TEXT_NAME), sizeof(*beside));
    beside = &symptoms->beside[symptom->place.name];
    if (*beside == UNKNOWN)
        *beside = has_resolved_beside(symptoms, symptom->row->name) ? YES : NO;
    return *beside == YES;
}

/* What all tasks heard of the name. */
static void find_heard_facts(struct symptoms *symptoms, struct symptom *symptom)
{
    const char *name = symptom->row->name;
    const char *resolver = symptoms_text(symptoms, TEXT_RESOLVER, symptom->place.resolver);
    const struct fleet_service *target = &symptoms->input->fleet->services[symptom->place.to];
    size_t count;
    const uint32_t *found = answers_find(&symptoms->index, name, &count);
    bool others = false, same = false, hosts = false, other_name = false;

    for (size_t i = 0; i < count; i++) {
        const struct answer *answer = &symptoms->input->answers->answers[found[i]];
        hosts |= answer_is_good(answer) && answer_is_from_hosts(answer);
        others |= is_resolved(answer);
        same |= is_resolved(answer) && strcmp(answer->resolver, resolver) == 0;
    }
    for (size_t i = 0; i < target->name_count; i++)
        other_name |=
            strcasecmp(target->names[i], name) != 0 && has_resolved(symptoms, target->names[i]);
    fact_set(&symptom->facts, FACT_OTHERS_RESOLVE, others);
    fact_set(&symptom->facts, FACT_SAME_RESOLVER, same);
    fact_set(&symptom->facts, FACT_KIN_HOSTS, hosts);
    fact_set(&symptom->facts, FACT_OTHER_NAME, other_name);
    fact_set(&symptom->facts, FACT_ZONE_RESOLVES, resolves_beside(symptoms, symptom));
}

/* An SRV record was there, the address of its host was not; or an answer was cut off and TCP, which
 * was to bring the whole, brought nothing. */
enum fact symptoms_name_trouble(const struct symptoms *symptoms, const struct symptom *symptom)
{
    bool has_srv = false, is_cut = false, tcp_ok = false;
    size_t count;
    const struct answer_row *const *rows =
        symptoms_heard(symptoms, symptom->place.source, symptom->row->name, &count);

    for (size_t i = 0; i < count; i++) {
        const struct answer *answer = &symptoms->input->answers->answers[rows[i]->answer];
        has_srv |= answer_is_good(answer) && strcmp(answer->type, "SRV") == 0;
        is_cut |= answer->is_truncated;
        tcp_ok |= answer->is_tcp && (answer_is_good(answer) || answer_is_negative(answer));
    }
    if (has_srv && (symptom->what == FACT_NXDOMAIN || symptom->what == FACT_NODATA))
        return FACT_DANGLING;
    return is_cut && !tcp_ok ? FACT_DNS_TCP : symptom->what;
}

void symptoms_find_name_facts(struct symptoms *symptoms, struct symptom *symptom)
{
    const struct hearing *hearing = hearing_of(symptoms, symptom->place.source);

    find_heard_facts(symptoms, symptom);
    if (!hearing->asked)
        return;
    fact_set(&symptom->facts, FACT_RESOLVER_DEAD, hearing->good + hearing->negative == 0);
    fact_set(&symptom->facts, FACT_RETRIED,
             hearing->retried >= RETRIED_MIN && hearing->retried * RETRIED_SHARE >= hearing->asked);
    fact_set(&symptom->facts, FACT_RESOLVER_ALIEN,
             hearing->good == 0 && hearing->negative > 0 &&
                 fact_is(&symptom->facts, FACT_ZONE_RESOLVES, true) &&
                 fact_is(&symptom->facts, FACT_OTHERS_RESOLVE, true));
}
