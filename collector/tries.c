#include "collector/tries.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- order ---- */

static int compare_numbers(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int by_endpoint(const struct tries_row *a, const struct tries_row *b)
{
    int order = compare_numbers(a->column, b->column);

    if (!order)
        order = strcmp(a->address, b->address);
    return order ? order : compare_numbers(a->port, b->port);
}

static int by_group(const struct tries_row *a, const struct tries_row *b)
{
    int order = compare_numbers(a->source, b->source);

    if (!order)
        order = by_endpoint(a, b);
    return order ? order : strcmp(a->name, b->name);
}

/* Total, but for rows that are alike in all that matters. */
static int by_group_and_time(const void *x, const void *y)
{
    const struct tries_row *a = *(const struct tries_row *const *)x;
    const struct tries_row *b = *(const struct tries_row *const *)y;
    int order = by_group(a, b);

    if (!order)
        order = compare_numbers(a->round, b->round);
    if (!order)
        order = compare_numbers(a->attempt, b->attempt);
    if (!order)
        order = compare_numbers(a->outcome, b->outcome);
    if (!order)
        order = compare_numbers(a->phase, b->phase);
    if (!order)
        order = compare_numbers(a->error, b->error);
    return order ? order : compare_numbers(a->status, b->status);
}

/* ---- the attempts of one task at one endpoint ---- */

static enum outcome_class class_of(const struct tries_row *row)
{
    return outcome_class((enum proto_outcome)row->outcome);
}

static bool is_late_by_loss(const struct tries_row *row)
{
    return row->round > 0 && row->outcome == OUTCOME_TIMEOUT && row->late == OUTCOME_OK &&
           row->retransmits > 0;
}

static bool is_hung_row(const struct tries_row *row)
{
    return row->outcome == OUTCOME_TIMEOUT && row->phase > PHASE_CONNECT &&
           (row->is_silent || (row->late == OUTCOME_OK && !row->retransmits));
}

/* Anything came back at all. */
static bool has_heard(const struct tries_row *row)
{
    return row->outcome == OUTCOME_OK || row->late == OUTCOME_OK || row->phase > PHASE_CONNECT ||
           row->outcome == OUTCOME_REFUSED;
}

/* What the attempts come to, counted. */
struct tally {
    unsigned passed, hard, open, late, ours, spared, neutral;
    bool is_reused, has_left;
};

static void count_row(struct tries *tries, struct tally *tally, const struct tries_row *row)
{
    switch (class_of(row)) {
    case OUTCOME_IS_PASS:
        tally->passed++;
        tries->passed++;
        break;
    case OUTCOME_IS_FAILURE:
        tries->failed++;
        if (row->round == 0 && row->outcome == OUTCOME_TIMEOUT)
            tally->open++;
        else if (is_late_by_loss(row))
            tally->late++;
        else
            tally->hard++;
        tries->is_hung &= is_hung_row(row);
        break;
    case OUTCOME_IS_OURS:
        tally->ours++;
        return;
    case OUTCOME_IS_NEUTRAL:
        tally->spared += row->outcome == OUTCOME_SPARED;
        tally->neutral++;
        return;
    }
    tries->has_confirmed |= row->round > 0;
    /* Into a void everything is sent again: that is no loss. */
    if (has_heard(row) && row->retransmits) {
        tries->lossy++;
        tries->retransmits += row->retransmits;
    }
    tally->is_reused |= row->is_reused;
    tally->has_left |= row->has_left;
}

static bool has_failed(const struct tries *tries, const struct tally *tally)
{
    if (!tries->has_confirmed)
        return tally->hard + tally->open > 0;
    return tally->passed == 0 || tally->hard > tally->passed + tally->late;
}

static const struct tries_row *example_of(const struct tries *tries)
{
    enum outcome_class wanted = tries->verdict == TRIES_OURS ? OUTCOME_IS_OURS : OUTCOME_IS_FAILURE;

    for (size_t i = tries->count; i > 0; i--)
        if (class_of(tries->rows[i - 1]) == wanted)
            return tries->rows[i - 1];
    return tries->rows[tries->count - 1];
}

/* A connection attempt without an answer, where others got through: its packets are lost. */
static void count_unheard(struct tries *tries)
{
    for (size_t i = 0; i < tries->count && tries->passed; i++) {
        const struct tries_row *row = tries->rows[i];
        if (row->outcome != OUTCOME_TIMEOUT || has_heard(row))
            continue;
        tries->lossy++;
        tries->retransmits += row->retransmits;
    }
}

/* The source left before it could try again. */
static bool is_cut_short(const struct tries *tries, const struct tries_source *sources)
{
    return !tries->has_confirmed && sources[tries->source].has_left;
}

static void judge(struct tries *tries, const struct tries_source *sources)
{
    struct tally tally = {0};
    size_t counted;

    tries->is_hung = true;
    for (size_t i = 0; i < tries->count; i++)
        count_row(tries, &tally, tries->rows[i]);
    count_unheard(tries);
    counted = (size_t)tries->passed + tries->failed;
    tries->is_hung &= tries->failed > 0;
    tries->is_undecided =
        tries->has_confirmed && tally.passed == 0 && tally.hard == 0 && tally.late > 0;
    if (!counted)
        tries->verdict = tally.ours ? TRIES_OURS : tally.spared ? TRIES_SPARED : TRIES_NEUTRAL;
    else if (!has_failed(tries, &tally) && !tally.is_reused)
        tries->verdict = TRIES_PASSED;
    else if (!tally.is_reused && (tally.has_left || is_cut_short(tries, sources)))
        tries->verdict = TRIES_GONE;
    else
        tries->verdict = TRIES_FAILED;
    /* Who owns an address is known from who said hello: that is not tried again. */
    tries->is_confirmed =
        tries->verdict == TRIES_FAILED && (tries->has_confirmed || tally.is_reused);
    tries->example = example_of(tries);
}

/* ---- what others saw at the same endpoint ---- */

static int by_endpoint_of_tries(const void *x, const void *y)
{
    const struct tries *a = *(const struct tries *const *)x;
    const struct tries *b = *(const struct tries *const *)y;
    int order = by_endpoint(a->example, b->example);

    if (!order)
        order = compare_numbers(a->source, b->source);
    return order ? order : strcmp(a->example->name, b->example->name);
}

/* All tries at one endpoint. */
struct company {
    struct tries **tries;
    size_t count;
};

static bool has_own_confirmation(const struct tries *tries, enum tries_verdict verdict)
{
    return tries->has_confirmed && tries->verdict == verdict;
}

/* Whether the confirmed attempts of others at the endpoint speak for `tries`. */
static bool others_confirm(const struct company *company, const struct tries *tries,
                           const struct tries_source *sources)
{
    size_t service = sources[tries->source].service;
    size_t failed = 0, hung = 0, kin_failed = 0, kin_passed = 0;

    for (size_t i = 0; i < company->count; i++) {
        const struct tries *other = company->tries[i];
        bool is_kin = sources[other->source].service == service;
        if (has_own_confirmation(other, TRIES_PASSED)) {
            if (is_kin)
                kin_passed++;
            else
                return false;
        }
        if (!has_own_confirmation(other, TRIES_FAILED))
            continue;
        failed++;
        hung += other->is_hung;
        kin_failed += is_kin;
    }
    if (kin_passed)
        return false;
    return kin_failed > 0 || failed >= TRIES_WITNESSES ||
           (hung > 0 && (tries->is_hung || tries->verdict == TRIES_SPARED));
}

static void confirm_by_others(const struct company *company, const struct tries_source *sources)
{
    for (size_t i = 0; i < company->count; i++) {
        struct tries *tries = company->tries[i];
        bool is_open = (tries->verdict == TRIES_FAILED && !tries->is_confirmed) ||
                       tries->verdict == TRIES_SPARED;
        if (!is_open || !*tries->example->address || !others_confirm(company, tries, sources))
            continue;
        tries->verdict = TRIES_FAILED;
        tries->is_confirmed = true;
    }
}

/* Calls `fn` for the tries of each endpoint. */
static void each_company(const struct tries_set *set,
                         void (*fn)(void *ctx, const struct company *company), void *ctx)
{
    struct tries **order = mem_array(set->count, sizeof(struct tries *));

    for (size_t i = 0; i < set->count; i++)
        order[i] = &set->tries[i];
    qsort(order, set->count, sizeof(struct tries *), by_endpoint_of_tries);
    for (size_t start = 0, end; start < set->count; start = end) {
        for (end = start + 1;
             end < set->count && by_endpoint(order[start]->example, order[end]->example) == 0;)
            end++;
        fn(ctx, &(struct company){order + start, end - start});
    }
    mem_free(order);
}

static void on_company(void *ctx, const struct company *company)
{
    confirm_by_others(company, ctx);
}

/* ---- a name that did not resolve at first, and then did ---- */

static bool is_overtaken(const struct tries_set *set, const struct tries *tries)
{
    const struct tries *end = set->tries + set->count;

    if (tries->verdict != TRIES_FAILED || *tries->example->address || tries->has_confirmed)
        return false;
    /* Those of the same source and column lie side by side; "" comes first. */
    for (const struct tries *at = tries + 1;
         at < end && at->source == tries->source && at->column == tries->column; at++)
        if (at->has_confirmed && strcmp(at->example->name, tries->example->name) == 0)
            return true;
    return false;
}

struct tries_set tries_gather(const struct tries_row *rows, size_t row_count,
                              const struct tries_source *sources)
{
    struct tries_set set = {
        .tries = mem_array(row_count, sizeof(*set.tries)),
        .order = mem_array(row_count, sizeof(struct tries_row *)),
    };

    for (size_t i = 0; i < row_count; i++)
        set.order[i] = &rows[i];
    qsort(set.order, row_count, sizeof(struct tries_row *), by_group_and_time);
    for (size_t start = 0, end; start < row_count; start = end) {
        struct tries *tries = &set.tries[set.count++];
        for (end = start + 1; end < row_count && by_group(set.order[start], set.order[end]) == 0;)
            end++;
        tries->rows = &set.order[start];
        tries->count = end - start;
        tries->source = set.order[start]->source;
        tries->column = set.order[start]->column;
        judge(tries, sources);
    }
    for (size_t i = 0; i < set.count; i++)
        if (is_overtaken(&set, &set.tries[i]))
            set.tries[i].verdict = TRIES_NEUTRAL;
    each_company(&set, on_company, (void *)sources);
    return set;
}

void tries_deinit(struct tries_set *set)
{
    mem_free(set->tries);
    mem_free(set->order);
    *set = (struct tries_set){0};
}

/* ---- what to try again ---- */

struct planner {
    const struct tries_source *sources;
    size_t source_count;
    unsigned round;
    bool (*is_wanted)(void *ctx, const struct tries *tries);
    void *ctx;
    struct tries_item *items;
    size_t count, capacity;
};

static void add(struct planner *planner, const struct tries *tries, uint32_t source,
                unsigned attempts)
{
    mem_grow(&planner->items, planner->count, &planner->capacity, sizeof(*planner->items));
    planner->items[planner->count++] = (struct tries_item){tries, source, attempts};
}

static bool needs_another(const struct planner *planner, const struct tries *tries)
{
    if (planner->is_wanted && !planner->is_wanted(planner->ctx, tries))
        return false;
    if (planner->round > 1 && tries->is_undecided)
        return true;
    return tries->verdict == TRIES_FAILED && !tries->is_confirmed;
}

static bool has_tried(const struct company *company, uint32_t source)
{
    for (size_t i = 0; i < company->count; i++)
        if (company->tries[i]->source == source && company->tries[i]->verdict == TRIES_FAILED)
            return true;
    return false;
}

/* Another task of the same service: whether it is the task, or all of them; and who speaks for a
 * task that is gone. False: there is none that has not failed here itself. */
static bool add_other_task(struct planner *planner, const struct company *company,
                           const struct tries *tries)
{
    size_t service = planner->sources[tries->source].service;

    for (uint32_t i = 0; i < planner->source_count; i++) {
        if (planner->sources[i].service != service || planner->sources[i].is_absent ||
            i == tries->source || has_tried(company, i))
            continue;
        add(planner, tries, i, 1);
        return true;
    }
    return false;
}

static size_t failing_kin(const struct planner *planner, const struct company *company,
                          const struct tries *tries)
{
    size_t service = planner->sources[tries->source].service, count = 0;

    for (size_t i = 0; i < company->count; i++)
        count += company->tries[i]->verdict == TRIES_FAILED &&
                 planner->sources[company->tries[i]->source].service == service;
    return count;
}

/* Left alone at first, while somebody else found the endpoint well again. */
static void plan_spared(struct planner *planner, const struct company *company)
{
    bool is_well = false;

    for (size_t i = 0; i < company->count; i++)
        is_well |= company->tries[i]->verdict == TRIES_PASSED;
    for (size_t i = 0; is_well && i < company->count; i++)
        if (company->tries[i]->verdict == TRIES_SPARED &&
            !planner->sources[company->tries[i]->source].is_absent)
            add(planner, company->tries[i], company->tries[i]->source, 1);
}

/* The first few speak for all, spread over the endpoint's sources: every n-th. A hung endpoint
 * keeps each connection in its queue: one task is enough. */
static void plan_company(void *ctx, const struct company *company)
{
    struct planner *planner = ctx;
    bool is_name = !*company->tries[0]->example->address;
    size_t needed = 0, taken = 0, hung = 0, limit = TRIES_WITNESSES, number = 0;

    plan_spared(planner, company);
    for (size_t i = 0; i < company->count; i++) {
        needed += needs_another(planner, company->tries[i]);
        hung += needs_another(planner, company->tries[i]) && company->tries[i]->is_hung;
    }
    if (!needed)
        return;
    if (hung == needed)
        limit = 1;
    /* Each task has a resolver of its own to ask; and round 2 leaves nobody out. */
    if (is_name || planner->round > 1)
        limit = needed;
    for (size_t i = 0; i < company->count && taken < limit; i++) {
        const struct tries *tries = company->tries[i];
        if (!needs_another(planner, tries))
            continue;
        if (number++ * limit / needed < taken)
            continue;
        taken++;
        if (!planner->sources[tries->source].is_absent)
            add(planner, tries, tries->source, is_name ? 1 : TRIES_ATTEMPTS);
        if (planner->round == 1 && !is_name && hung < needed &&
            failing_kin(planner, company, tries) == 1)
            add_other_task(planner, company, tries);
    }
}

size_t tries_plan(const struct tries_set *set, const struct tries_source *sources,
                  size_t source_count, unsigned round,
                  bool (*is_wanted)(void *ctx, const struct tries *tries), void *ctx,
                  struct tries_item **ret_items)
{
    struct planner planner = {
        .sources = sources,
        .source_count = source_count,
        .round = round,
        .is_wanted = is_wanted,
        .ctx = ctx,
    };

    each_company(set, plan_company, &planner);
    *ret_items = planner.items;
    return planner.count;
}
