/* One diagnosis: what a candidate that explains most says: its scope, cells, evidence, rivals, what
 * was ruled out, what mends it. */
#include "collector/diagnose_solver.h"

#include "collector/cloud/remedy.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#define REST          6.0  /* weight of what is not known */
#define BESIDES       0.25 /* a rival that explains a part only needs another cause besides */
#define EVIDENCE_MAX  16
#define RULED_OUT_MAX 8
#define COMMANDS_MAX  8
#define FLOWS_MAX     256 /* that the configuration closes: what opens these says enough */

/* ---- names of enums, small things ---- */

const char *diagnosis_severity_name(enum diagnosis_severity severity)
{
    static const char *const names[] = {"failure", "observed", "warning"};

    return names[severity];
}

const char *diagnosis_stage_name(enum diagnosis_stage stage)
{
    static const char *const names[] = {"source", "resolver", "network", "port",
                                        "tls",    "app",      "probe"};

    return names[stage];
}

struct diagnosis *diagnoses_add(struct diagnoses *diagnoses, const struct cause *cause,
                                enum diagnosis_severity severity, double confidence)
{
    struct diagnosis *diagnosis;

    mem_grow(&diagnoses->items, diagnoses->count, &diagnoses->capacity, sizeof(*diagnoses->items));
    diagnosis = &diagnoses->items[diagnoses->count++];
    *diagnosis = (struct diagnosis){
        .cause = cause->code,
        .scope = "",
        .severity = severity,
        .stage = cause->stage,
        .confidence = confidence,
        .summary = "",
        .fix = "",
    };
    return diagnosis;
}

const char *diagnoses_text(struct diagnoses *diagnoses, const struct phrase *phrase,
                           const char *text)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    phrase_expand(phrase, text, &out);
    return arena_strdup(&diagnoses->arena, buf_text(&out));
}

void diagnosis_add_evidence(struct diagnoses *diagnoses, struct diagnosis *diagnosis,
                            const char *side, const char *fact, const char *source)
{
    if (!diagnosis->evidence)
        diagnosis->evidence =
            arena_alloc(&diagnoses->arena, EVIDENCE_MAX, sizeof(*diagnosis->evidence));
    for (size_t i = 0; i < diagnosis->evidence_count; i++)
        if (strcmp(diagnosis->evidence[i].fact, fact) == 0)
            return;
    if (diagnosis->evidence_count < EVIDENCE_MAX)
        diagnosis->evidence[diagnosis->evidence_count++] =
            (struct diagnosis_evidence){side, fact, source};
}

void diagnosis_add_command(struct diagnoses *diagnoses, struct diagnosis *diagnosis,
                           const struct phrase *phrase, const char *command)
{
    const char *text = command ? diagnoses_text(diagnoses, phrase, command) : NULL;

    if (!text || diagnosis->command_count == COMMANDS_MAX)
        return;
    for (size_t i = 0; i < diagnosis->command_count; i++)
        if (strcmp(diagnosis->commands[i], text) == 0)
            return;
    if (!diagnosis->commands)
        diagnosis->commands =
            arena_alloc(&diagnoses->arena, COMMANDS_MAX, sizeof(*diagnosis->commands));
    diagnosis->commands[diagnosis->command_count++] = text;
}

/* ---- one diagnosis ---- */

struct making {
    struct solver *solver;
    struct candidate *winner;
    uint32_t *covered; /* symptoms */
    size_t count;
    struct phrase phrase;
    struct diagnosis *diagnosis;
    const char *cloud; /* whose word the cloud's view is */
    double score;      /* of the winner */
};

static int count_known(const struct symptom *symptom)
{
    int count = 0;

    for (size_t w = 0; w < FACT_WORDS; w++)
        count += __builtin_popcountll(symptom->facts.known[w]);
    return count;
}

/* The one of which most is known; where the scope is around a task or zone, one that goes to it. */
static const struct symptom *find_example(const struct making *making)
{
    const struct symptom *items = making->solver->symptoms->items, *best = NULL;
    bool is_best_towards = false;

    for (size_t i = 0; i < making->count; i++) {
        const struct symptom *symptom = &items[making->covered[i]];
        uint64_t keys[SCOPE_KEYS_MAX] = {0};
        size_t count = scope_keys(making->winner->kind, &symptom->place, making->covered[i], keys);
        bool is_towards = count < 2 || keys[1] == making->winner->scope_key;
        if (!best || (is_towards && !is_best_towards) ||
            (is_towards == is_best_towards && count_known(symptom) > count_known(best))) {
            best = symptom;
            is_best_towards = is_towards;
        }
    }
    return best;
}

static void find_only_services(struct making *making)
{
    const struct fleet *fleet = making->solver->symptoms->input->fleet;
    const struct symptom *items = making->solver->symptoms->items;
    uint32_t from = items[making->covered[0]].place.from, to = items[making->covered[0]].place.to;
    bool is_from = true, is_to = true;

    for (size_t i = 1; i < making->count; i++) {
        is_from &= items[making->covered[i]].place.from == from;
        is_to &= items[making->covered[i]].place.to == to;
    }
    making->phrase.only_from = is_from ? fleet->services[from].name : NULL;
    making->phrase.only_to = is_to ? fleet->services[to].name : NULL;
}

static int by_cell(const void *a, const void *b)
{
    const struct diagnosis_cell *x = a, *y = b;

    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

static void list_cells(struct making *making)
{
    const struct symptom *items = making->solver->symptoms->items;
    struct diagnosis *diagnosis = making->diagnosis;
    struct diagnosis_cell *cells =
        arena_alloc(&making->solver->diagnoses->arena, making->count, sizeof(*cells));
    size_t count = 0;

    for (size_t i = 0; i < making->count; i++) {
        const struct symptom *symptom = &items[making->covered[i]];
        cells[i] = (struct diagnosis_cell){symptom->place.from, symptom->place.column};
        if (symptom->expected != EXPECT_OBSERVE)
            diagnosis->severity = SEVERITY_FAILURE;
    }
    qsort(cells, making->count, sizeof(*cells), by_cell);
    for (size_t i = 0; i < making->count; i++)
        if (i == 0 || by_cell(&cells[i], &cells[count - 1]) != 0)
            cells[count++] = cells[i];
    diagnosis->cells = cells;
    diagnosis->cell_count = count;
    diagnosis->attempts = (uint32_t)making->count;
}

/* Whose word a fact is. */
static const char *witness_of(const struct making *making, enum fact_side side)
{
    switch (side) {
    case SIDE_SOURCE:
        return diagnoses_text(making->solver->diagnoses, &making->phrase, "{s}'s agent");
    case SIDE_TARGET:
        return diagnoses_text(making->solver->diagnoses, &making->phrase, "{t}'s agent");
    case SIDE_FLEET:
        return "what the agents said hello with";
    case SIDE_CLOUD:
        return making->cloud;
    default:
        return "the matrix of this run";
    }
}

static void add_fact(struct making *making, enum fact fact)
{
    const struct facts *facts = &making->phrase.symptom->facts;
    const struct fact_info *info = &fact_infos[fact];
    const char *text = fact_is(facts, fact, true) ? info->yes : info->no;

    if (!fact_is_known(facts, fact) || !text)
        return;
    diagnosis_add_evidence(making->solver->diagnoses, making->diagnosis, fact_side_name(info->side),
                           diagnoses_text(making->solver->diagnoses, &making->phrase, text),
                           witness_of(making, info->side));
}

static void add_count(struct making *making)
{
    const struct health *health =
        symptoms_health(making->solver->symptoms, making->winner->scope_key);
    uint32_t ok = health ? health->ok[making->phrase.symptom->layer] : 0;
    CLEANUP_BUF struct buf text = BUF_INIT(1024);

    if (ok)
        buf_printf(&text, "%zu of %zu paths (task to endpoint) fail like this: ", making->count,
                   making->count + ok);
    else if (making->count == 1)
        buf_puts(&text, "the one path (task to endpoint) that there is fails: ");
    else
        buf_printf(&text, "all %zu paths (task to endpoint) fail like this: ", making->count);
    phrase_scope(&making->phrase, &text);
    diagnosis_add_evidence(making->solver->diagnoses, making->diagnosis, "pattern",
                           arena_strdup(&making->solver->diagnoses->arena, buf_text(&text)),
                           "the matrix of this run");
}

/* Strongest first: what was seen, what the rule rests on, what else speaks for it. */
static void list_evidence(struct making *making)
{
    static const enum fact also[] = {
        FACT_LET_IN,    FACT_HALF_OPEN, FACT_ARRIVED, FACT_LISTENS,     FACT_OWN_OK,
        FACT_OWN_ALIKE, FACT_UNHEALTHY, FACT_REACHED, FACT_SIBLINGS_OK, FACT_SOURCE_WORKS};
    const struct rule *rule = making->winner->rule;
    const struct facts *facts = &making->phrase.symptom->facts;

    add_fact(making, making->phrase.symptom->what);
    for (size_t i = 0; i < RULE_CONDITIONS_MAX && rule->conditions[i].need; i++)
        if (rule->conditions[i].need == NEED_PROOF)
            add_fact(making, rule->conditions[i].fact);
    for (enum need need = NEED_MUST; need <= NEED_LIKES; need++)
        for (size_t i = 0; i < RULE_CONDITIONS_MAX && rule->conditions[i].need; i++) {
            const struct condition *condition = &rule->conditions[i];
            bool is_told = need == NEED_NEVER
                               ? condition->fact == FACT_ARRIVED || condition->fact == FACT_LISTENS
                               : need != NEED_LIKES || condition->yes;
            if (condition->need == need && is_told &&
                fact_is(facts, condition->fact, condition->yes))
                add_fact(making, condition->fact);
        }
    add_count(making);
    for (size_t i = 0; i < ARRAY_SIZE(also); i++)
        if (fact_is(facts, also[i], true))
            add_fact(making, also[i]);
}

/* ---- rivals, and what was ruled out ---- */

struct rival {
    const char *cause;
    double score;
    const struct candidate *best;
};

#define RIVALS_MAX 32

/* What the configuration says of both is no choice between them: both are so. */
static bool is_as_true(const struct making *making, const struct candidate *rival)
{
    return rule_is_proven(making->winner->rule, making->phrase.symptom) &&
           rule_is_proven(rival->rule, making->phrase.symptom);
}

/* Whether a rival explains all that the winner does. */
static bool covers_all(const struct solver *solver, const struct candidate *rival,
                       const struct candidate *winner)
{
    return solver->shared[rival - solver->candidates] >= winner->count;
}

static size_t list_rivals(struct making *making, struct rival rivals[RIVALS_MAX])
{
    struct solver *solver = making->solver;
    struct candidate *winner = making->winner;
    size_t count = 0;

    for (uint32_t m = 0; m < winner->count; m++) {
        uint32_t i = solver->members[winner->first + m];
        for (uint32_t l = solver->first_link[i]; l < solver->first_link[i + 1]; l++) {
            solver->rival[solver->links[l].candidate] += (double)solver->links[l].score;
            solver->shared[solver->links[l].candidate]++;
        }
    }
    for (uint32_t m = 0; m < winner->count; m++) {
        uint32_t i = solver->members[winner->first + m];
        for (uint32_t l = solver->first_link[i]; l < solver->first_link[i + 1]; l++) {
            const struct candidate *candidate = &solver->candidates[solver->links[l].candidate];
            double score =
                solver->rival[solver->links[l].candidate] * candidate->share / winner->count;
            if (!covers_all(solver, candidate, winner))
                score *= BESIDES;
            size_t at;
            solver->rival[solver->links[l].candidate] = 0;
            solver->shared[solver->links[l].candidate] = 0;
            if (score <= 0 || strcmp(candidate->rule->cause, winner->rule->cause) == 0 ||
                is_as_true(making, candidate))
                continue;
            for (at = 0; at < count && strcmp(rivals[at].cause, candidate->rule->cause) != 0;)
                at++;
            if (at == count && count < RIVALS_MAX)
                rivals[count++] = (struct rival){candidate->rule->cause, 0, NULL};
            if (at < count && score > rivals[at].score) {
                rivals[at].score = score;
                rivals[at].best = candidate;
            }
        }
    }
    return count;
}

static int by_score(const void *a, const void *b)
{
    const struct rival *x = a, *y = b;

    return x->score < y->score ? 1 : x->score > y->score ? -1 : strcmp(x->cause, y->cause);
}

static void weigh(struct making *making)
{
    struct diagnoses *diagnoses = making->solver->diagnoses;
    struct diagnosis *diagnosis = making->diagnosis;
    struct rival rivals[RIVALS_MAX];
    size_t count = list_rivals(making, rivals);
    double sum = making->score + REST;

    for (size_t i = 0; i < count; i++)
        sum += rivals[i].score;
    diagnosis->confidence = making->score / sum;
    qsort(rivals, count, sizeof(*rivals), by_score);
    diagnosis->alternatives =
        arena_alloc(&diagnoses->arena, count ? count : 1, sizeof(*diagnosis->alternatives));
    for (size_t i = 0; i < count; i++) {
        struct phrase phrase = making->phrase;
        if (rivals[i].score / sum < DIAGNOSE_ALTERNATIVE ||
            rivals[i].best->rule == &solver_unknown_rule)
            continue;
        phrase.scope = rivals[i].best->kind;
        diagnosis->alternatives[diagnosis->alternative_count++] = (struct diagnosis_alternative){
            rivals[i].cause, rivals[i].score / sum,
            diagnoses_text(diagnoses, &phrase, cause_find(rivals[i].cause)->sentence)};
    }
}

static bool is_named(const struct diagnosis *diagnosis, const char *cause)
{
    if (strcmp(diagnosis->cause, cause) == 0)
        return true;
    for (size_t i = 0; i < diagnosis->alternative_count; i++)
        if (strcmp(diagnosis->alternatives[i].cause, cause) == 0)
            return true;
    for (size_t i = 0; i < diagnosis->ruled_out_count; i++)
        if (strcmp(diagnosis->ruled_out[i].cause, cause) == 0)
            return true;
    return false;
}

static void rule_out(struct making *making, const char *cause, const char *by)
{
    struct diagnosis *diagnosis = making->diagnosis;

    if (is_named(diagnosis, cause) || diagnosis->ruled_out_count == RULED_OUT_MAX)
        return;
    for (size_t i = 0; i < diagnosis->ruled_out_count; i++)
        if (strcmp(diagnosis->ruled_out[i].by, by) == 0)
            return; /* said already, of the like */
    diagnosis->ruled_out[diagnosis->ruled_out_count++] = (struct diagnosis_ruled_out){cause, by};
}

/* Something healthy in every scope that the rule could have. */
static const char *contradiction_by_health(const struct making *making, const struct rule *rule)
{
    const struct symptoms *symptoms = making->solver->symptoms;
    const struct symptom *symptom = making->phrase.symptom;
    const struct diagnose_input *input = symptoms->input;
    const struct health *found = NULL;

    for (int kind = SCOPE_TASKS; kind < SCOPE_COUNT && !rule->is_intermittent; kind++) {
        uint64_t keys[SCOPE_KEYS_MAX];
        size_t count =
            rule->scopes >> kind & 1 ? solver_keys((enum scope_kind)kind, symptom, 0, keys) : 0;
        for (size_t k = 0; k < count; k++) {
            const struct health *health = symptoms_health(symptoms, keys[k]);
            if (!health || !health->ok[symptom->layer])
                return NULL;
            if (health->example)
                found = health;
        }
    }
    if (!found)
        return NULL;
    return arena_printf(&making->solver->diagnoses->arena, "%s reaches %s (%s:%u)",
                        input->sources[found->example->source].task,
                        fleet_column_service(input->fleet, found->example->column)->name,
                        found->example->example->address, found->example->example->port);
}

static void list_ruled_out(struct making *making)
{
    struct diagnoses *diagnoses = making->solver->diagnoses;
    struct diagnosis *diagnosis = making->diagnosis;

    diagnosis->ruled_out =
        arena_alloc(&diagnoses->arena, RULED_OUT_MAX, sizeof(*diagnosis->ruled_out));
    for (size_t r = 0; r < rule_count; r++) {
        const struct condition *contradiction;
        double score = rule_score(&rules[r], making->phrase.symptom, &contradiction);
        const char *by = NULL;
        if (contradiction && (score <= 0 || contradiction->need == NEED_PROOF)) {
            const struct fact_info *info = &fact_infos[contradiction->fact];
            const char *text = contradiction->yes ? info->no : info->yes;
            by = text ? diagnoses_text(diagnoses, &making->phrase, text) : NULL;
        } else if (score > 0) {
            by = contradiction_by_health(making, &rules[r]);
        }
        if (by)
            rule_out(making, rules[r].cause, by);
    }
}

static bool is_same_flow(const struct path_flow *a, const struct path_flow *b)
{
    return a->source == b->source && a->target == b->target && a->port == b->port &&
           memcmp(&a->to, &b->to, sizeof(a->to)) == 0;
}

/* What the configuration closes of it. */
static void list_flows(struct making *making)
{
    struct diagnosis *diagnosis = making->diagnosis;

    for (size_t i = 0; i < making->count; i++) {
        const struct symptom_path *at = making->solver->symptoms->items[making->covered[i]].path;
        size_t known = 0;
        if (!at || (at->path.verdict != PATH_DENIED && at->path.verdict != PATH_PARTLY) ||
            diagnosis->flow_count == FLOWS_MAX)
            continue;
        while (known < diagnosis->flow_count && !is_same_flow(&diagnosis->flows[known], &at->flow))
            known++;
        if (known < diagnosis->flow_count)
            continue;
        if (!diagnosis->flows)
            diagnosis->flows = arena_alloc(&making->solver->diagnoses->arena, FLOWS_MAX,
                                           sizeof(*diagnosis->flows));
        diagnosis->flows[diagnosis->flow_count++] = at->flow;
    }
}

/* The cause's command; of what is registered wrongly for each name and address. (What stops a task
 * is said of one: who pastes it is not to stop them all.) */
static void list_commands(struct making *making, const struct cause *cause)
{
    struct phrase phrase = making->phrase;

    diagnosis_add_command(making->solver->diagnoses, making->diagnosis, &phrase, cause->command);
    for (size_t i = 0; cause->stage == STAGE_RESOLVER && i < making->count && i < FLOWS_MAX; i++) {
        phrase.symptom = &making->solver->symptoms->items[making->covered[i]];
        if (strcmp(phrase.symptom->row->name, making->phrase.symptom->row->name) != 0 ||
            strcmp(phrase.symptom->row->address, making->phrase.symptom->row->address) != 0)
            diagnosis_add_command(making->solver->diagnoses, making->diagnosis, &phrase,
                                  cause->command);
    }
}

static const char *name_cloud(const struct solver *solver)
{
    const struct estate *estate = solver->symptoms->input->estate;
    char text[CLOCK_RFC3339_MAX];

    if (!estate)
        return "";
    clock_rfc3339(estate->network_taken_ms ? estate->network_taken_ms : estate->taken_ms, text);
    return arena_printf(&solver->diagnoses->arena, "AWS, as it was at %s", text);
}

void diagnosis_make(struct solver *solver, struct candidate *winner)
{
    const struct cause *cause = cause_find(winner->rule->cause);
    struct making making = {
        .solver = solver,
        .winner = winner,
        .covered = mem_array(winner->count, sizeof(*making.covered)),
        .score = winner->sum / winner->open * winner->share,
    };
    CLEANUP_BUF struct buf scope = BUF_INIT(BUF_UNBOUNDED);

    for (uint32_t m = 0; m < winner->count; m++) {
        uint32_t index = solver->sample[solver->members[winner->first + m]];
        if (!solver->is_covered[index])
            making.covered[making.count++] = index;
    }
    making.phrase = (struct phrase){.symptoms = solver->symptoms, .scope = winner->kind};
    making.phrase.symptom = find_example(&making);
    find_only_services(&making);
    making.diagnosis = diagnoses_add(solver->diagnoses, cause, SEVERITY_OBSERVED, 0);
    phrase_scope(&making.phrase, &scope);
    making.diagnosis->scope = arena_strdup(&solver->diagnoses->arena, buf_text(&scope));
    making.cloud = name_cloud(solver);
    making.diagnosis->summary = diagnoses_text(
        solver->diagnoses, &making.phrase,
        cause->proven && rule_is_proven(winner->rule, making.phrase.symptom) ? cause->proven
                                                                             : cause->sentence);
    making.diagnosis->fix = diagnoses_text(solver->diagnoses, &making.phrase, cause->fix);
    list_commands(&making, cause);
    list_cells(&making);
    list_flows(&making);
    list_evidence(&making);
    weigh(&making);
    list_ruled_out(&making);
    mem_free(making.covered);
}

/* ---- what opens what is closed ---- */

void diagnosis_add_remedies(struct diagnoses *diagnoses, struct diagnosis *diagnosis,
                            const struct estate *estate, const struct estate *good,
                            const struct path_map *map)
{
    struct remedies *remedies = map && diagnosis->flow_count ? remedies_new(estate, good) : NULL;
    size_t count;

    for (size_t i = 0; remedies && i < diagnosis->flow_count; i++) {
        struct path path;
        path_walk(map, &diagnosis->flows[i], &path);
        remedies_add(remedies, &diagnosis->flows[i], &path);
    }
    count = remedies ? remedies_count(remedies) : 0;
    if (count) {
        diagnosis->commands = arena_alloc(&diagnoses->arena, REMEDIES_MAX, sizeof(char *));
        diagnosis->command_count = 0;
    }
    for (size_t i = 0; i < count && i < REMEDIES_MAX; i++) {
        CLEANUP_BUF struct buf text = BUF_INIT(4096);
        remedies_put(remedies, i, &text);
        diagnosis->commands[diagnosis->command_count++] =
            arena_strdup(&diagnoses->arena, buf_text(&text));
    }
    remedies_free(remedies);
}

struct diagnoses *diagnoses_free(struct diagnoses *diagnoses)
{
    if (diagnoses) {
        mem_free(diagnoses->items);
        arena_deinit(&diagnoses->arena);
    }
    mem_free(diagnoses);
    return NULL;
}
