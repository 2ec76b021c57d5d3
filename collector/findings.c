/* What is worth saying though no attempt failed for it: records, resolvers, loss. */
#include "collector/finding.h"

#include "common/mem.h"
#include "common/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL_HIGH_S    300    /* Cloud Map suggests 60 */
#define SLOW_US       400000 /* the median of a resolver's answers */
#define SLOW_MIN      3
#define RESOLVERS_MAX 16   /* looked at: a fleet has few */
#define ANSWERS_CAP   8    /* addresses of one multivalue answer */
#define SETTLED_S     20   /* after its start a task may be without record for so long */
#define LOSS_BASE     0.05 /* of attempts: 1 % of all packets makes about 3 % of them lossy */
#define LOSS_CHANCE   1e-4
#define LOSS_PAIRS    3 /* more pairs than that, with no service in common: it is the fleet */

/* ---- records ---- */

/* A discovery name, and what was said of it. */
struct heard {
    const struct fleet_service *service;
    size_t column;
    const char *name;
    const struct answer *first; /* a good one with addresses */
    int32_t ttl_s;
    bool differs;
};

static bool is_about(const struct answer *answer, const char *name)
{
    return answer_is_good(answer) && !answer_is_from_hosts(answer) && !answer->is_truncated &&
           strcasecmp(answer->asked, name) == 0;
}

static bool has_record(const struct answer *answer, const char *address)
{
    for (size_t i = 0; i < answer->count; i++)
        if (strcmp(answer->records[i], address) == 0)
            return true;
    return false;
}

/* Whether any task heard of the address under any of the service's names. */
static bool is_heard(const struct symptoms *symptoms, const struct fleet_service *service,
                     const char *address)
{
    for (size_t n = 0; n < service->name_count; n++) {
        size_t count;
        const uint32_t *found = answers_find(&symptoms->index, service->names[n], &count);
        for (size_t i = 0; i < count; i++) {
            const struct answer *answer = &symptoms->input->answers->answers[found[i]];
            if (is_about(answer, service->names[n]) && has_record(answer, address))
                return true;
        }
    }
    return false;
}

/* Its addresses are its own, and it has settled. */
static bool is_to_be_heard(const struct owner_agent *agent, const char *service)
{
    return strcmp(agent->service, service) == 0 && agent->state == OWNER_IS_LIVE &&
           agent->address_count > 0 && ownership_can_witness(agent->mode) &&
           strcmp(agent->mode, "host") != 0 && agent->age_s >= SETTLED_S;
}

static bool has_heard_address(const struct symptoms *symptoms, const struct fleet_service *service,
                              const struct owner_agent *agent)
{
    for (size_t i = 0; i < agent->address_count; i++)
        if (is_heard(symptoms, service, agent->addresses[i]))
            return true;
    return false;
}

/* A live task that no answer leads to, while some lead to its siblings. Beyond eight tasks an
 * answer shows a part of them only. */
static void find_missing_tasks(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                               const struct heard *heard)
{
    const struct diagnose_input *input = symptoms->input;
    const struct owner_agent *missing = NULL;
    size_t live = 0, absent = 0;
    struct finding finding;

    for (size_t i = 0; i < input->agent_count; i++) {
        const struct owner_agent *agent = &input->agents[i];
        if (!is_to_be_heard(agent, heard->service->name))
            continue;
        live++;
        if (has_heard_address(symptoms, heard->service, agent))
            continue;
        absent++;
        if (!missing || strcmp(agent->task, missing->task) < 0)
            missing = agent;
    }
    /* Where none is heard of, something else is in front of them. */
    if (!missing || absent == live || live > ANSWERS_CAP)
        return;
    finding_init(&finding, symptoms, diagnoses, input->fleet->columns[heard->column].service,
                 heard->column);
    finding.row.name = heard->name;
    finding.row.address = missing->addresses[0];
    finding.symptom.owner = (struct owner){OWNER_TASK, missing};
    finding.phrase.scope = SCOPE_TARGET;
    finding_say(&finding, "dns.missing-task", SEVERITY_WARNING, 0.85, missing->task);
    finding_prove(&finding, "fleet",
                  diagnoses_text(diagnoses, &finding.phrase, "{t} runs, with address {address}"),
                  "what the agents said hello with");
    finding_prove(&finding, "source",
                  diagnoses_text(diagnoses, &finding.phrase,
                                 "no task gets {address} for a name of {T}, all get its siblings"),
                  "the answers to all tasks");
}

static void find_high_ttl(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                          const struct heard *heard)
{
    struct finding finding;
    CLEANUP_BUF struct buf summary = BUF_INIT(1024);

    if (heard->ttl_s <= TTL_HIGH_S)
        return;
    finding_init(&finding, symptoms, diagnoses,
                 symptoms->input->fleet->columns[heard->column].service, heard->column);
    finding.row.name = heard->name;
    finding_say(&finding, "dns.ttl-high", SEVERITY_WARNING, 0.95, NULL);
    buf_printf(&summary,
               "the records of %s may be kept for %d s: a task that is gone is called for so long",
               heard->name, heard->ttl_s);
    finding.diagnosis->summary = arena_strdup(&diagnoses->arena, buf_text(&summary));
    buf_reset(&summary);
    buf_printf(&summary, "the answer's TTL is %d s", heard->ttl_s);
    finding_prove(&finding, "source", buf_text(&summary), "the answers to all tasks");
}

static void put_records(const struct answer *answer, struct buf *out)
{
    for (size_t i = 0; i < answer->count && i < 3; i++)
        buf_printf(out, "%s%s", i ? ", " : "", answer->records[i]);
    if (answer->count > 3)
        buf_printf(out, ", ... (%zu)", answer->count);
}

static bool is_same(const struct answer *a, const struct answer *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->records[i], b->records[i]) != 0)
            return false;
    return true;
}

/* Two tasks that heard something else of the name, of the same type: the first such pair,
 * preferably in two zones. True: each zone hears one thing only. */
static bool find_difference(const struct symptoms *symptoms, const struct heard *heard,
                            const struct answer_row *ret_pair[2])
{
    const struct diagnose_input *input = symptoms->input;
    const struct answers *answers = input->answers;
    bool is_by_zone = true;

    ret_pair[0] = ret_pair[1] = NULL;
    for (size_t i = 0; i < answers->row_count; i++) {
        const struct answer_row *row = &answers->rows[i], *first = ret_pair[0];
        const struct answer *answer = &answers->answers[row->answer];
        bool is_zone_same;
        if (!is_about(answer, heard->name) || strcmp(answer->type, heard->first->type) != 0)
            continue;
        if (!first) {
            ret_pair[0] = row;
            continue;
        }
        is_zone_same =
            strcmp(input->sources[row->source].zone, input->sources[first->source].zone) == 0;
        if (is_same(answer, &answers->answers[first->answer])) {
            is_by_zone &= is_zone_same;
            continue;
        }
        is_by_zone &= !is_zone_same && *input->sources[row->source].zone;
        if (!ret_pair[1])
            ret_pair[1] = row;
    }
    return is_by_zone;
}

/* What stands before others' names (load balancers, services without agents) may answer as it
 * likes. */
static bool leads_to_tasks(const struct symptoms *symptoms, const struct heard *heard)
{
    size_t service = symptoms->input->fleet->columns[heard->column].service;

    for (size_t i = 0; i < heard->first->count; i++) {
        struct owner owner =
            ownership_find(symptoms->input->ownership, service, heard->first->records[i]);
        if (owner.kind == OWNER_TASK && strcmp(owner.agent->service, heard->service->name) == 0)
            return true;
    }
    return false;
}

static void find_differences(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                             const struct heard *heard)
{
    const struct diagnose_input *input = symptoms->input;
    const struct answer_row *pair[2];
    bool is_by_zone;
    struct finding finding;
    CLEANUP_BUF struct buf text = BUF_INIT(1024);

    if (!heard->differs || heard->first->count >= ANSWERS_CAP || !leads_to_tasks(symptoms, heard))
        return;
    is_by_zone = find_difference(symptoms, heard, pair);
    if (!pair[1])
        return;
    finding_init(&finding, symptoms, diagnoses, input->fleet->columns[heard->column].service,
                 heard->column);
    finding.row.name = heard->name;
    for (int i = 0; i < 2; i++) {
        const struct diagnose_source *source = &input->sources[pair[i]->source];
        buf_printf(&text, "%s%s gets ", i ? ", " : "", source->task);
        put_records(&input->answers->answers[pair[i]->answer], &text);
    }
    finding.phrase.observed = buf_text(&text);
    finding_say(&finding, is_by_zone ? "dns.zones-differ" : "dns.disagree", SEVERITY_WARNING,
                is_by_zone ? 0.85 : 0.6, NULL);
    finding_prove(&finding, "source", buf_text(&text), "the answers to all tasks");
    if (is_by_zone)
        finding_prove(&finding, "pattern", "within a zone all tasks get the same",
                      "the answers to all tasks");
}

/* Everything that was heard of a name, once. */
static struct heard hear(const struct symptoms *symptoms, size_t column, const char *name)
{
    struct heard heard = {.service = fleet_column_service(symptoms->input->fleet, column),
                          .column = column,
                          .name = name,
                          .ttl_s = -1};
    size_t count;
    const uint32_t *found = answers_find(&symptoms->index, name, &count);

    for (size_t i = 0; i < count; i++) {
        const struct answer *answer = &symptoms->input->answers->answers[found[i]];
        if (!is_about(answer, name))
            continue;
        if (symptoms->index.ttl_s[found[i]] > heard.ttl_s)
            heard.ttl_s = symptoms->index.ttl_s[found[i]];
        if (strcmp(answer->type, "SRV") == 0)
            continue;
        if (!heard.first)
            heard.first = answer;
        else if (strcmp(answer->type, heard.first->type) == 0)
            heard.differs |= !is_same(answer, heard.first);
    }
    return heard;
}

static void find_record_trouble(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    const struct fleet *fleet = symptoms->input->fleet;

    for (size_t c = 0; c < fleet->column_count; c++) {
        const struct fleet_service *service = fleet_column_service(fleet, c);
        /* A service's names are the same for all its checks. */
        if (fleet->columns[c].check != 0)
            continue;
        for (size_t n = 0; n < service->name_count; n++) {
            struct heard heard = hear(symptoms, c, service->names[n]);
            if (!heard.first)
                continue;
            find_high_ttl(symptoms, diagnoses, &heard);
            /* The hosts of SRV records have a name each: they are compared as tasks. */
            if (strcmp(service->record, "SRV") != 0)
                find_differences(symptoms, diagnoses, &heard);
            if (n == 0)
                find_missing_tasks(symptoms, diagnoses, &heard);
        }
    }
}

/* ---- resolvers ---- */

static int by_time(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void find_slow_resolver(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                               const char *resolver)
{
    const struct diagnose_input *input = symptoms->input;
    uint32_t *times = mem_array(input->answers->row_count, sizeof(*times));
    size_t count = 0, from = 0;
    uint32_t median;
    struct finding finding;
    CLEANUP_BUF struct buf text = BUF_INIT(256);

    for (size_t i = 0; i < input->answers->row_count; i++) {
        const struct answer_row *row = &input->answers->rows[i];
        const struct answer *answer = &input->answers->answers[row->answer];
        if (strcmp(answer->resolver, resolver) != 0 ||
            !(answer_is_good(answer) || answer_is_negative(answer)))
            continue;
        times[count++] = row->time_us;
        from = input->sources[row->source].service;
    }
    qsort(times, count, sizeof(*times), by_time);
    median = count ? times[count / 2] : 0;
    if (count >= SLOW_MIN && median >= SLOW_US) {
        finding_init(&finding, symptoms, diagnoses, from, 0);
        buf_printf(&text, "half of its %zu answers took %.1f s or more", count,
                   (double)median / 1e6);
        finding.phrase.observed = buf_text(&text);
        finding_say(&finding, "dns.resolver-slow", SEVERITY_WARNING, 0.85, resolver);
        /* The sentence names the resolver, which this finding knows as its scope. */
        finding.diagnosis->summary = arena_printf(&diagnoses->arena, "the resolver %s is slow: %s",
                                                  resolver, buf_text(&text));
        finding.diagnosis->fix = arena_printf(
            &diagnoses->arena,
            "Look at the forwarder or outbound endpoint behind %s, its distance and its load",
            resolver);
        finding_prove(&finding, "source", buf_text(&text), "the answers to all tasks");
    }
    mem_free(times);
}

static void find_slow_resolvers(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    const struct answers *answers = symptoms->input->answers;
    const char *seen[RESOLVERS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < answers->count; i++) {
        const char *resolver = answers->answers[i].resolver;
        bool is_new = !answer_is_from_hosts(&answers->answers[i]) && *resolver;
        for (size_t j = 0; j < count && is_new; j++)
            is_new = strcmp(seen[j], resolver) != 0;
        if (!is_new || count == RESOLVERS_MAX)
            continue;
        seen[count++] = resolver;
        find_slow_resolver(symptoms, diagnoses, resolver);
    }
}

/* ---- loss that no attempt failed for ---- */

/* An upper bound of the chance to see so much by a loss that is usual (Chernoff). */
static bool is_significant(uint32_t lossy, uint32_t tries)
{
    double share = tries ? (double)lossy / tries : 0, divergence;

    if (share <= LOSS_BASE)
        return false;
    divergence = share * log(share / LOSS_BASE);
    if (share < 1)
        divergence += (1 - share) * log((1 - share) / (1 - LOSS_BASE));
    return exp(-divergence * tries) < LOSS_CHANCE;
}

struct lossy_pair {
    size_t a, b;
    uint32_t lossy, tries;
};

/* Both ways: what is lost on the way back makes the way there lossy. */
static void count_loss(const struct symptoms *symptoms, struct lossy_pair *pair)
{
    const struct diagnose_input *input = symptoms->input;

    for (size_t c = 0; c < input->matrix->columns; c++) {
        size_t to = input->fleet->columns[c].service;
        const struct matrix_cell *cell = to == pair->b   ? matrix_at(input->matrix, pair->a, c)
                                         : to == pair->a ? matrix_at(input->matrix, pair->b, c)
                                                         : NULL;
        if (!cell || cell->expected == EXPECT_DENY)
            continue;
        pair->lossy += cell->lossy;
        pair->tries += cell->tries;
    }
}

static bool has_loss_diagnosis(const struct symptoms *symptoms, const struct diagnoses *diagnoses,
                               const struct lossy_pair *pair)
{
    for (size_t i = 0; i < diagnoses->count; i++) {
        const struct diagnosis *diagnosis = &diagnoses->items[i];
        bool is_loss = strcmp(diagnosis->cause, "network.loss") == 0;
        for (size_t j = 0; j < diagnosis->cell_count && is_loss; j++) {
            size_t from = diagnosis->cells[j].source;
            size_t to = symptoms->input->fleet->columns[diagnosis->cells[j].column].service;
            if ((from == pair->a && to == pair->b) || (from == pair->b && to == pair->a))
                return true;
        }
    }
    return false;
}

static size_t list_lossy_pairs(const struct symptoms *symptoms, const struct diagnoses *diagnoses,
                               struct lossy_pair **ret_pairs)
{
    const struct diagnose_input *input = symptoms->input;
    struct lossy_pair *pairs = NULL;
    size_t count = 0, capacity = 0;

    for (size_t s = 0; s < input->matrix->rows; s++)
        for (size_t c = 0; c < input->matrix->columns; c++) {
            const struct matrix_cell *cell = matrix_at(input->matrix, s, c);
            size_t to = input->fleet->columns[c].service;
            struct lossy_pair pair = {s < to ? s : to, s < to ? to : s, 0, 0};
            bool is_new = cell->lossy > 0 && cell->expected != EXPECT_DENY &&
                          !has_loss_diagnosis(symptoms, diagnoses, &pair);
            for (size_t i = 0; i < count && is_new; i++)
                is_new = pairs[i].a != pair.a || pairs[i].b != pair.b;
            if (!is_new)
                continue;
            count_loss(symptoms, &pair);
            if (!is_significant(pair.lossy, pair.tries))
                continue;
            mem_grow(&pairs, count, &capacity, sizeof(*pairs));
            pairs[count++] = pair;
        }
    *ret_pairs = pairs;
    return count;
}

/* A service that all of them have; SIZE_MAX: none. */
static size_t common_service(const struct lossy_pair *pairs, size_t count)
{
    bool is_a = count > 1, is_b = count > 1;

    for (size_t i = 1; i < count; i++) {
        is_a &= pairs[i].a == pairs[0].a || pairs[i].b == pairs[0].a;
        is_b &= pairs[i].a == pairs[0].b || pairs[i].b == pairs[0].b;
    }
    return is_a ? pairs[0].a : is_b ? pairs[0].b : SIZE_MAX;
}

static void say_loss(const struct symptoms *symptoms, struct diagnoses *diagnoses,
                     const struct lossy_pair *pairs, size_t count, const char *between)
{
    const struct diagnose_input *input = symptoms->input;
    struct finding finding;
    uint32_t lossy = 0, tries = 0;
    CLEANUP_BUF struct buf text = BUF_INIT(256);

    for (size_t i = 0; i < count; i++) {
        lossy += pairs[i].lossy;
        tries += pairs[i].tries;
    }
    buf_printf(&text, "in %u of %u attempts something had to be sent again", lossy, tries);
    finding_init(&finding, symptoms, diagnoses, pairs[0].a, 0);
    finding_say(&finding, "network.loss", SEVERITY_WARNING, 0.9, between);
    finding.diagnosis->summary = arena_printf(&diagnoses->arena, "packets get lost between %s: %s",
                                              between, buf_text(&text));
    finding_prove(&finding, "source", buf_text(&text), "TCP_INFO of the attempts");
    for (size_t s = 0; s < input->matrix->rows; s++)
        for (size_t c = 0; c < input->matrix->columns; c++) {
            size_t to = input->fleet->columns[c].service;
            for (size_t i = 0; i < count; i++)
                if (matrix_at(input->matrix, s, c)->lossy > 0 &&
                    ((pairs[i].a == s && pairs[i].b == to) ||
                     (pairs[i].b == s && pairs[i].a == to)))
                    finding_add_cell(&finding, s, c, input->matrix->rows * input->matrix->columns);
        }
}

static void find_loss(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    const struct fleet *fleet = symptoms->input->fleet;
    struct lossy_pair *pairs;
    size_t count = list_lossy_pairs(symptoms, diagnoses, &pairs);
    size_t common = common_service(pairs, count);
    char between[600];

    if (count > LOSS_PAIRS || common != SIZE_MAX) {
        snprintf(between, sizeof(between), "%s",
                 common == SIZE_MAX ? "services of the whole fleet" : fleet->services[common].name);
        if (common != SIZE_MAX)
            snprintf(between, sizeof(between), "%s and others", fleet->services[common].name);
        say_loss(symptoms, diagnoses, pairs, count, between);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(between, sizeof(between), "%s and %s", fleet->services[pairs[i].a].name,
                 fleet->services[pairs[i].b].name);
        say_loss(symptoms, diagnoses, &pairs[i], 1, between);
    }
    mem_free(pairs);
}

void findings_add(const struct symptoms *symptoms, struct diagnoses *diagnoses)
{
    const struct diagnose_input *input = symptoms->input;

    if (input->fleet->column_count == 0)
        return;
    find_loss(symptoms, diagnoses);
    find_record_trouble(symptoms, diagnoses);
    find_slow_resolvers(symptoms, diagnoses);
}
