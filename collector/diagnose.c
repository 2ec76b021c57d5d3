#include "collector/diagnose_solver.h"

#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define SAMPLE_MAX     100000 /* symptoms weighed at once: of more, every n-th; the rest follows */
#define PASSES_MAX     8      /* over what is left then */
#define UNKNOWN_WEIGHT 3.0

/* ---- candidates ---- */

struct candidate_key {
    struct {
        uint64_t scope, rule; /* and the layer that speaks against it */
    } key;
    uint32_t candidate;
    UT_hash_handle hh;
};

/* What in a scope is well speaks against a cause there; 0: it is ruled out. */
static double share_of(const struct solver *solver, const struct rule *rule, uint64_t scope_key,
                       enum scope_kind kind, enum layer layer)
{
    const struct health *health = symptoms_health(solver->symptoms, scope_key);

    if (kind == SCOPE_ONE || !health || !health->ok[layer])
        return 1;
    if (!rule->is_intermittent)
        return 0;
    return sqrt((double)health->failed / (health->failed + health->ok[layer]));
}

size_t solver_keys(enum scope_kind kind, const struct symptom *symptom, size_t index,
                   uint64_t keys[SCOPE_KEYS_MAX])
{
    size_t count = scope_keys(kind, &symptom->place, index, keys);

    if (kind != SCOPE_FLOW || !count)
        return count;
    if (fact_is(&symptom->facts, FACT_HALF_OPEN, true))
        keys[0] = keys[1];
    return 1;
}

/* Attempts that fail in different layers are judged apart: what resolves is no proof that it also
 * connects. Where things pass now and then, all that counts is whether they pass. */
static uint32_t find_candidate(struct solver *solver, const struct rule *rule, enum scope_kind kind,
                               uint64_t scope_key, enum layer of_symptom)
{
    enum layer layer = rule->is_intermittent ? LAYER_CHECK : of_symptom;
    struct candidate_key *found;
    struct candidate_key wanted;

    memset(&wanted, 0, sizeof(wanted));
    wanted.key.scope = scope_key;
    wanted.key.rule = (uint64_t)(uintptr_t)rule * LAYER_COUNT + layer;

    HASH_FIND(hh, solver->by_key, &wanted.key, sizeof(wanted.key), found);
    if (found)
        return found->candidate;
    mem_grow(&solver->candidates, solver->candidate_count, &solver->candidate_capacity,
             sizeof(*solver->candidates));
    solver->candidates[solver->candidate_count] = (struct candidate){
        .scope_key = scope_key,
        .rule = rule,
        .kind = kind,
        .share = share_of(solver, rule, scope_key, kind, layer),
    };
    found = mem_alloc(sizeof(*found));
    found->key = wanted.key;
    found->candidate = (uint32_t)solver->candidate_count++;
    HASH_ADD(hh, solver->by_key, key, sizeof(found->key), found);
    return found->candidate;
}

static void link_symptom(struct solver *solver, uint32_t candidate, double score)
{
    struct candidate *at = &solver->candidates[candidate];

    if (at->share <= 0)
        return;
    mem_grow(&solver->links, solver->link_count, &solver->link_capacity, sizeof(*solver->links));
    solver->links[solver->link_count++] = (struct link){candidate, (float)score};
    at->count++;
    at->open++;
    at->sum += score;
}

const struct rule solver_unknown_rule = {"unknown", 1U << SCOPE_PAIR, (unsigned)UNKNOWN_WEIGHT,
                                         true,      {FACT_NONE},      {{0}}};

static void add_candidates(struct solver *solver, uint32_t index)
{
    const struct symptom *symptom = &solver->symptoms->items[index];
    uint64_t keys[SCOPE_KEYS_MAX];

    for (size_t r = 0; r < rule_count; r++) {
        const struct condition *contradiction;
        double score = rule_score(&rules[r], symptom, &contradiction);
        if (score <= 0)
            continue;
        for (int kind = 0; kind < SCOPE_COUNT; kind++) {
            size_t count = rules[r].scopes >> kind & 1
                               ? solver_keys((enum scope_kind)kind, symptom, index, keys)
                               : 0;
            for (size_t k = 0; k < count; k++)
                link_symptom(solver,
                             find_candidate(solver, &rules[r], (enum scope_kind)kind, keys[k],
                                            symptom->layer),
                             score);
        }
    }
    /* A rule may fit, and all its scopes be ruled out: what is left is the attempt itself. */
    scope_keys(SCOPE_PAIR, &symptom->place, index, keys);
    link_symptom(solver,
                 find_candidate(solver, &solver_unknown_rule, SCOPE_PAIR, keys[0], symptom->layer),
                 UNKNOWN_WEIGHT);
}

static void list_members(struct solver *solver)
{
    uint32_t *next = mem_array(solver->candidate_count, sizeof(*next));
    uint32_t at = 0;

    solver->members = mem_array(solver->link_count, sizeof(*solver->members));
    for (size_t c = 0; c < solver->candidate_count; c++) {
        next[c] = solver->candidates[c].first = at;
        at += solver->candidates[c].count;
    }
    for (uint32_t i = 0; i < solver->sample_count; i++)
        for (uint32_t l = solver->first_link[i]; l < solver->first_link[i + 1]; l++)
            solver->members[next[solver->links[l].candidate]++] = i;
    mem_free(next);
}

/* ---- the greedy choice: a heap of candidates, the one that explains most on top. What one
 * explains only gets less, so a value that is still the same when it is looked at again is the
 * largest. ---- */

static double value_of(const struct candidate *candidate)
{
    return candidate->sum * candidate->share;
}

struct heap {
    struct entry {
        uint32_t candidate;
        uint32_t open; /* when it was put here ... */
        double value;  /* ... and what it was worth: never less than now */
    } * entries;
    size_t count;
    const struct solver *solver;
};

/* Of those that explain as much, the narrower one, then the one that stands first in the table. */
static bool is_above(const struct heap *heap, size_t at, size_t other)
{
    const struct entry *x = &heap->entries[at], *y = &heap->entries[other];
    const struct candidate *a = &heap->solver->candidates[x->candidate];
    const struct candidate *b = &heap->solver->candidates[y->candidate];

    if (x->value > y->value * (1 + 1e-6) || y->value > x->value * (1 + 1e-6))
        return x->value > y->value;
    if (a->kind != b->kind)
        return a->kind < b->kind;
    return a->rule != b->rule ? a->rule < b->rule : a->scope_key < b->scope_key;
}

static void sink(struct heap *heap, size_t at)
{
    for (;;) {
        size_t best = at, left = 2 * at + 1;
        struct entry entry = heap->entries[at];
        if (left < heap->count && is_above(heap, left, best))
            best = left;
        if (left + 1 < heap->count && is_above(heap, left + 1, best))
            best = left + 1;
        if (best == at)
            return;
        heap->entries[at] = heap->entries[best];
        heap->entries[best] = entry;
        at = best;
    }
}

/* The best candidate of all; NULL: none is left. */
static struct candidate *choose(struct heap *heap)
{
    while (heap->count) {
        struct entry *top = &heap->entries[0];
        struct candidate *candidate = &heap->solver->candidates[top->candidate];
        if (candidate->open && top->open == candidate->open)
            return candidate;
        top->open = candidate->open;
        top->value = value_of(candidate);
        if (!candidate->open)
            heap->entries[0] = heap->entries[--heap->count];
        sink(heap, 0);
    }
    return NULL;
}

/* Its members count for no other candidate any more. */
static void cover(struct solver *solver, const struct candidate *winner)
{
    for (uint32_t m = 0; m < winner->count; m++) {
        uint32_t i = solver->members[winner->first + m];
        if (solver->is_covered[solver->sample[i]])
            continue;
        solver->is_covered[solver->sample[i]] = true;
        for (uint32_t l = solver->first_link[i]; l < solver->first_link[i + 1]; l++) {
            struct candidate *candidate = &solver->candidates[solver->links[l].candidate];
            candidate->open--;
            candidate->sum -= (double)solver->links[l].score;
        }
    }
}

/* ---- passes ---- */

static void take_sample(struct solver *solver, size_t left)
{
    size_t step = (left + SAMPLE_MAX - 1) / SAMPLE_MAX, number = 0;

    solver->sample = mem_array(left / step + 1, sizeof(*solver->sample));
    for (uint32_t i = 0; i < solver->symptoms->count; i++)
        if (!solver->is_covered[i] && number++ % step == 0)
            solver->sample[solver->sample_count++] = i;
}

static void forget_pass(struct solver *solver)
{
    struct candidate_key *key, *next;

    HASH_ITER(hh, solver->by_key, key, next)
    {
        HASH_DEL(solver->by_key, key);
        mem_free(key);
    }
    mem_free(solver->sample);
    mem_free(solver->candidates);
    mem_free(solver->links);
    mem_free(solver->first_link);
    mem_free(solver->members);
    mem_free(solver->rival);
    mem_free(solver->shared);
    solver->sample_count = solver->candidate_count = solver->candidate_capacity = 0;
    solver->link_count = solver->link_capacity = 0;
    solver->candidates = NULL;
    solver->links = NULL;
}

static void solve_pass(struct solver *solver, size_t left)
{
    struct heap heap = {.solver = solver};
    struct candidate *winner;

    take_sample(solver, left);
    solver->first_link = mem_array(solver->sample_count + 1, sizeof(*solver->first_link));
    for (size_t i = 0; i < solver->sample_count; i++) {
        add_candidates(solver, solver->sample[i]);
        solver->first_link[i + 1] = (uint32_t)solver->link_count;
    }
    list_members(solver);
    solver->rival = mem_array(solver->candidate_count, sizeof(*solver->rival));
    solver->shared = mem_array(solver->candidate_count, sizeof(*solver->shared));
    heap.entries = mem_array(solver->candidate_count, sizeof(*heap.entries));
    for (uint32_t c = 0; c < solver->candidate_count; c++)
        if (solver->candidates[c].open)
            heap.entries[heap.count++] =
                (struct entry){c, solver->candidates[c].open, value_of(&solver->candidates[c])};
    for (size_t i = heap.count / 2 + 1; i > 0; i--)
        if (i <= heap.count)
            sink(&heap, i - 1);
    while ((winner = choose(&heap))) {
        diagnosis_make(solver, winner);
        cover(solver, winner);
    }
    mem_free(heap.entries);
    forget_pass(solver);
}

static int by_weight(const void *a, const void *b)
{
    const struct diagnosis *x = a, *y = b;

    if (x->severity != y->severity)
        return x->severity < y->severity ? -1 : 1;
    if (x->cell_count != y->cell_count)
        return x->cell_count < y->cell_count ? 1 : -1;
    if (x->attempts != y->attempts)
        return x->attempts < y->attempts ? 1 : -1;
    return strcmp(x->cause, y->cause) ? strcmp(x->cause, y->cause) : strcmp(x->scope, y->scope);
}

struct diagnoses *diagnose(const struct diagnose_input *input)
{
    struct symptoms symptoms;
    struct solver solver = {.symptoms = &symptoms,
                            .diagnoses = mem_alloc(sizeof(*solver.diagnoses))};

    symptoms_init(&symptoms, input);
    solver.is_covered = mem_array(symptoms.count, sizeof(*solver.is_covered));
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        size_t left = 0;
        for (size_t i = 0; i < symptoms.count; i++)
            left += !solver.is_covered[i];
        if (!left)
            break;
        solve_pass(&solver, left);
    }
    findings_add(&symptoms, solver.diagnoses);
    findings_add_cloud(&symptoms, solver.diagnoses);
    own_faults_add(&symptoms, solver.diagnoses);
    if (solver.diagnoses->count)
        qsort(solver.diagnoses->items, solver.diagnoses->count, sizeof(*solver.diagnoses->items),
              by_weight);
    mem_free(solver.is_covered);
    symptoms_deinit(&symptoms);
    return solver.diagnoses;
}
