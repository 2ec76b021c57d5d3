#include "collector/gate/decide.h"

#include "common/mem.h"
#include "common/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
    "new-failure", "revision-cut-off", "known-failure", "both-revisions", "peer",
    "never-good",  "stale-records",    "packet-loss",   "app-error",      "draining",
    "no-data",     "own-fault",        "unproven",      "no-agents",      "untested",
    "not-told",    "incomplete"};
static_assert(ARRAY_SIZE(kinds) == GATE_INCOMPLETE + 1, "a name for each kind");

const char *gate_kind_name(enum gate_kind kind)
{
    return kinds[kind];
}

const char *gate_weight_name(enum gate_weight weight)
{
    static const char *const names[] = {"ignore", "inconclusive", "fail"};

    return names[weight];
}

/* ---- one cell ---- */

static bool has_family(const struct gate_cell *cell, const char *family)
{
    return strncmp(cell->cause, family, strlen(family)) == 0;
}

/* What a rollout may leave for a while, and time mends: records of tasks that are gone, or not yet
 * there. An app that has just started is such, too, but only for so long: one that still does not
 * serve then is what a gate is for. */
static bool is_of_rollout(const struct gate_input *input, const struct gate_cell *cell)
{
    static const char *const causes[] = {"dns.stale", "dns.left-over", "dns.reused",
                                         "dns.missing-task", "target.deploying"};

    if (strcmp(cell->cause, "target.starting") == 0)
        return !input->is_time_over;
    for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
        if (strcmp(cell->cause, causes[i]) == 0)
            return true;
    return false;
}

/* The new revision fails where the former one passes, in the same run. */
static bool is_new_alone(const struct gate_cell *cell)
{
    return cell->fresh.failed && cell->former.ok && !cell->former.failed;
}

/* The former revision fails there, too, and nothing of it passes. */
static bool do_both_fail(const struct gate_cell *cell)
{
    return cell->former.failed && !cell->former.ok;
}

/* The other end's own fault, by the evidence of that end; or it fails for others, too. */
static bool is_peers_fault(const struct gate_input *input, const struct gate_cell *cell)
{
    bool is_source = strcmp(cell->source, input->service) == 0;
    bool is_target = strcmp(cell->target, input->service) == 0;

    if (cell->control != CONTROL_NONE)
        return cell->control == CONTROL_PEER_FAILS;
    if (is_source && !is_target)
        return has_family(cell, "target.") || has_family(cell, "tls.") ||
               has_family(cell, "http.") || has_family(cell, "lb.");
    return is_target && !is_source && has_family(cell, "source.");
}

static enum gate_kind kind_of_failure(const struct gate_input *input, const struct gate_cell *cell)
{
    if (cell->before == BEFORE_BAD && !is_new_alone(cell))
        return GATE_KNOWN;
    if (is_of_rollout(input, cell))
        return GATE_STALE;
    if (strcmp(cell->cause, "network.loss") == 0)
        return GATE_LOSS;
    if (is_new_alone(cell))
        return GATE_NEW_FAILURE;
    if (do_both_fail(cell))
        return GATE_BOTH_REVISIONS;
    if (is_peers_fault(input, cell))
        return GATE_PEER;
    if (cell->is_app_error)
        return GATE_APP_ERROR;
    return cell->before == BEFORE_GOOD ? GATE_NEW_FAILURE : GATE_NEVER_GOOD;
}

/* False: there is nothing to be said of it. */
static bool judge_cell(const struct gate_input *input, const struct gate_cell *cell,
                       enum gate_kind *ret_kind)
{
    if (cell->expected == EXPECT_OBSERVE)
        return false;
    switch (cell->state) {
    case CELL_FAIL:
    case CELL_PARTIAL:
    case CELL_LEAK:
        *ret_kind = kind_of_failure(input, cell);
        return true;
    case CELL_GONE:
        *ret_kind = GATE_DRAINING;
        return true;
    case CELL_NO_DATA:
        *ret_kind = GATE_NO_DATA;
        return true;
    case CELL_PROBE_ERROR:
        *ret_kind = GATE_OWN_FAULT;
        return true;
    case CELL_UNPROVEN:
        *ret_kind = GATE_UNPROVEN;
        return true;
    default:
        return false;
    }
}

static enum gate_weight weight_of(const struct gate_rules *rules, enum gate_kind kind)
{
    switch (kind) {
    case GATE_NEW_FAILURE:
    case GATE_CUT_OFF:
        return GATE_FAIL;
    case GATE_KNOWN:
        return rules->known;
    case GATE_DRAINING:
        return rules->draining;
    case GATE_STALE:
        return rules->stale;
    case GATE_APP_ERROR:
        return rules->app_error;
    default:
        return GATE_INCONCLUSIVE;
    }
}

/* ---- findings ---- */

static struct gate_finding *add_finding(const struct gate_input *input,
                                        struct gate_decision *decision, enum gate_kind kind,
                                        size_t diagnosis)
{
    struct gate_finding *finding = &decision->findings[decision->finding_count++];

    *finding = (struct gate_finding){
        .kind = kind,
        .weight = weight_of(&input->rules, kind),
        .diagnosis = diagnosis,
        .cells = arena_alloc(&decision->arena, input->cell_count + 1, sizeof(size_t)),
    };
    return finding;
}

static struct gate_finding *finding_for(const struct gate_input *input,
                                        struct gate_decision *decision, enum gate_kind kind,
                                        size_t diagnosis)
{
    for (size_t i = 0; i < decision->finding_count; i++)
        if (decision->findings[i].kind == kind && decision->findings[i].diagnosis == diagnosis)
            return &decision->findings[i];
    return add_finding(input, decision, kind, diagnosis);
}

/* " ... of web:8; of web:7 3 of 3 pass", where they differ. */
static const char *put_revisions(const struct gate_input *input, const struct gate_finding *finding,
                                 struct arena *arena)
{
    struct gate_share fresh = {0}, former = {0};

    for (size_t i = 0; i < finding->cell_count; i++) {
        const struct gate_cell *cell = &input->cells[finding->cells[i]];
        fresh.ok += cell->fresh.ok;
        fresh.failed += cell->fresh.failed;
        former.ok += cell->former.ok;
        former.failed += cell->former.failed;
    }
    if (!*input->revision || !fresh.failed)
        return "";
    if (!former.ok && !former.failed)
        return arena_printf(arena, " (%u of %u endpoints of %s fail)", fresh.failed,
                            fresh.ok + fresh.failed, input->revision);
    return arena_printf(arena, "; %s: of %s %u of %u endpoints fail, of %s %u of %u",
                        former.failed ? "both revisions fail" : "only the new revision fails",
                        input->revision, fresh.failed, fresh.ok + fresh.failed,
                        *input->former ? input->former : "the former revision", former.failed,
                        former.ok + former.failed);
}

static const char *say(const struct gate_input *input, const struct gate_finding *finding,
                       struct arena *arena)
{
    size_t count = finding->cell_count;
    const char *pairs = count == 1 ? "pair" : "pairs";
    const char *revisions = put_revisions(input, finding, arena);

    switch (finding->kind) {
    case GATE_NEW_FAILURE:
        return arena_printf(arena, "%zu %s newly failing%s", count, pairs, revisions);
    case GATE_CUT_OFF:
        return arena_printf(arena,
                            "the new revision%s%s is cut off: ECS says that %lld of its tasks run, "
                            "none of them has an agent that says hello, agents of the former ones "
                            "have reported, and of %u attempts of its peers at its addresses none "
                            "was answered",
                            *input->revision ? " " : "", input->revision, (long long)input->running,
                            input->tried_new);
    case GATE_KNOWN:
        return arena_printf(arena, "%zu %s failing, as before the deployment%s", count, pairs,
                            revisions);
    case GATE_BOTH_REVISIONS:
        return arena_printf(arena, "%zu %s newly failing, for the former revision's tasks, too%s",
                            count, pairs, revisions);
    case GATE_PEER:
        return arena_printf(arena, "%zu %s newly failing by the other end's own fault", count,
                            pairs);
    case GATE_NEVER_GOOD:
        return arena_printf(arena,
                            "%zu %s failing that %s in the baseline: whether this deployment is "
                            "the reason cannot be said",
                            count, pairs, count == 1 ? "is not" : "are not");
    case GATE_STALE:
        return arena_printf(
            arena, "%zu %s failing at tasks that are just going or coming%s", count, pairs,
            input->is_time_over ? arena_printf(arena, ", %lld s after the first look",
                                               (long long)(input->rules.stale_ms / 1000))
                                : "");
    case GATE_LOSS:
        return arena_printf(arena, "%zu %s on whose way packets get lost: no deployment does that",
                            count, pairs);
    case GATE_APP_ERROR:
        return arena_printf(arena,
                            "%zu %s where the app is reached and answers 5xx: what it depends on "
                            "may be the reason",
                            count, pairs);
    case GATE_DRAINING:
        return arena_printf(arena, "%zu %s of which an end left during the run", count, pairs);
    case GATE_NO_DATA:
        return arena_printf(arena, "%zu %s nobody probed", count, pairs);
    case GATE_OWN_FAULT:
        return arena_printf(arena, "%zu %s with canreach's own faults", count, pairs);
    case GATE_UNPROVEN:
        return arena_printf(arena, "%zu %s unproven", count, pairs);
    case GATE_UNTESTED:
        return "no pair of the service that is expected to work, or to be closed, was tested";
    case GATE_NOT_TOLD:
        return arena_printf(arena,
                            "which tasks are new is not known, since ECS does not say (%s): give "
                            "--revision",
                            input->problem);
    case GATE_NO_AGENTS:
        break;
    case GATE_INCOMPLETE:
        return "the run is incomplete: an agent did not finish, or a failure could not be tried "
               "again";
    }
    if (input->running >= 0 && input->tried_new && !input->answered_new)
        return arena_printf(arena,
                            "%zu of %lld agents of the new revision said hello; none of %u "
                            "attempts at its addresses was answered, but %s: that alone proves no "
                            "cut",
                            input->agents, (long long)input->expected, input->tried_new,
                            input->was_heard ? "no task of it runs"
                                             : "no agent of the former one has ever reported");
    return arena_printf(arena, "%zu of %lld agents of %s said hello%s", input->agents,
                        (long long)input->expected,
                        *input->revision ? input->revision : "the service",
                        input->answered_new ? "; its addresses answer its peers" : "");
}

/* Whether the new revision's agents are there; where they are not, whether that is its own doing.
 */
static void judge_agents(const struct gate_input *input, struct gate_decision *decision)
{
    bool is_cut = !input->agents && input->running > 0 && input->was_heard && input->tried_new &&
                  !input->answered_new;

    if (*input->problem)
        add_finding(input, decision, GATE_NOT_TOLD, SIZE_MAX);
    if (!input->has_agents)
        return;
    if (is_cut)
        add_finding(input, decision, GATE_CUT_OFF, SIZE_MAX);
    else if (!input->agents || (input->expected && (int64_t)input->agents < input->expected))
        add_finding(input, decision, GATE_NO_AGENTS, SIZE_MAX);
}

/* Where nothing was looked at, nothing is well. */
static void judge_extent(const struct gate_input *input, struct gate_decision *decision)
{
    for (size_t i = 0; i < input->cell_count; i++) {
        enum cell_state state = input->cells[i].state;
        if (input->cells[i].expected != EXPECT_OBSERVE && state != CELL_NA &&
            state != CELL_NOT_PROBED && state != CELL_SKIPPED && state != CELL_ABSENT &&
            state != CELL_GONE)
            return;
    }
    add_finding(input, decision, GATE_UNTESTED, SIZE_MAX);
}

static int by_weight(const void *a, const void *b)
{
    const struct gate_finding *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    if ((x->kind == GATE_CUT_OFF) != (y->kind == GATE_CUT_OFF)) /* the reason of all the others */
        return x->kind == GATE_CUT_OFF ? -1 : 1;
    if (x->cell_count != y->cell_count)
        return x->cell_count > y->cell_count ? -1 : 1;
    return x->kind != y->kind             ? (x->kind < y->kind ? -1 : 1)
           : x->diagnosis == y->diagnosis ? 0
           : x->diagnosis < y->diagnosis  ? -1
                                          : 1;
}

void gate_decide(const struct gate_input *input, struct gate_decision *ret_decision)
{
    struct gate_decision decision = {.verdict = VERDICT_PASS};

    decision.findings =
        arena_alloc(&decision.arena, input->cell_count + 5, sizeof(*decision.findings));
    for (size_t i = 0; i < input->cell_count; i++) {
        struct gate_finding *finding;
        enum gate_kind kind;
        if (!judge_cell(input, &input->cells[i], &kind))
            continue;
        finding = finding_for(input, &decision, kind, input->cells[i].diagnosis);
        finding->cells[finding->cell_count++] = i;
    }
    judge_agents(input, &decision);
    judge_extent(input, &decision);
    if (input->is_incomplete)
        add_finding(input, &decision, GATE_INCOMPLETE, SIZE_MAX);
    for (size_t i = 0; i < decision.finding_count; i++) {
        struct gate_finding *finding = &decision.findings[i];
        finding->text = say(input, finding, &decision.arena);
        if (finding->weight == GATE_FAIL)
            decision.verdict = VERDICT_FAIL;
        else if (finding->weight == GATE_INCONCLUSIVE && decision.verdict == VERDICT_PASS)
            decision.verdict = VERDICT_INCONCLUSIVE;
    }
    qsort(decision.findings, decision.finding_count, sizeof(*decision.findings), by_weight);
    *ret_decision = decision;
}

bool gate_is_transient(const struct gate_decision *decision)
{
    bool is_transient = false;

    for (size_t i = 0; i < decision->finding_count; i++) {
        if (decision->findings[i].weight == GATE_IGNORE)
            continue;
        if (decision->findings[i].kind != GATE_STALE && decision->findings[i].kind != GATE_LOSS)
            return false;
        is_transient = true;
    }
    return is_transient;
}

bool gate_is_weak(const struct gate_decision *decision, const struct gate_input *input)
{
    for (size_t i = 0; i < decision->finding_count; i++) {
        const struct gate_finding *finding = &decision->findings[i];
        if (finding->weight != GATE_FAIL)
            continue;
        if (!finding->cell_count)
            return false;
        for (size_t k = 0; k < finding->cell_count; k++)
            if (input->cells[finding->cells[k]].state != CELL_PARTIAL)
                return false;
    }
    return decision->verdict == VERDICT_FAIL;
}

void gate_decision_deinit(struct gate_decision *decision)
{
    arena_deinit(&decision->arena);
}
