#include "collector/gate/gate_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

#define VERIFY_WAIT_MS 60000 /* for the agents of what was rolled back to */
#define CLAIM_MS       60000 /* for somebody to run the command */

/* ---- planning and acting ---- */

/* The task definition that the service had when all of it was well; "": not known. */
static void find_good_definition(const struct gate *gate, char *text, size_t size)
{
    struct store *store = gate->gates->runs->store;
    int64_t run = gate->request.baseline.kind == BASELINE_RUN
                      ? gate->request.baseline.run
                      : gate_last_good(store, gate->request.service, gate_began_ms(gate));

    *text = '\0';
    if (run)
        gate_revision_in(store, run, gate->request.service, text, size);
    if (!*text && *gate->former)
        text_copy(text, size, gate->former);
    if (strcmp(text, gate->revision) == 0)
        *text = '\0';
}

static void plan_update(struct gate *gate)
{
    struct gate_action *action = &gate->action;

    find_good_definition(gate, action->definition, sizeof(action->definition));
    if (!gate->rollout.is_known)
        text_copy(action->problem, sizeof(action->problem),
                  *gate->rollout.problem ? gate->rollout.problem : "ECS does not know the service");
    else if (!*action->definition)
        text_copy(action->problem, sizeof(action->problem),
                  "no earlier run is known in which the service was well: there is no task "
                  "definition to go back to");
    else
        action->act = ACT_UPDATE;
}

static void plan_ecs(struct gate *gate)
{
    if (gate_has_ended_otherwise(gate)) {
        snprintf(gate->action.problem, sizeof(gate->action.problem),
                 "it is %s already (%s): nothing is called",
                 deployment_phase_name(gate->rollout.phase), gate->rollout.status);
        return;
    }
    switch (gate->rollout.phase) {
    case DEPLOYMENT_PAUSED:
        gate->action.act = ACT_HOOK_ROLLBACK;
        break;
    case DEPLOYMENT_RUNNING:
        if (*gate->rollout.arn)
            gate->action.act = ACT_STOP;
        else
            plan_update(gate);
        break;
    default:
        plan_update(gate);
    }
}

static bool is_passed(const struct gate *gate)
{
    return gate->verdict == VERDICT_PASS ||
           (gate->verdict == VERDICT_INCONCLUSIVE && gate->request.passes_inconclusive);
}

/* What is to be done about the deployment, as it stands now. */
static void plan_action(struct gate *gate)
{
    const struct gate_request *request = &gate->request;

    if (is_passed(gate)) {
        if (request->rollback == ROLLBACK_ECS && gate->rollout.phase == DEPLOYMENT_PAUSED)
            gate->action.act = ACT_CONTINUE;
        if (request->rollback == ROLLBACK_CODEDEPLOY && *request->execution)
            gate->action.act = ACT_HOOK_SUCCEEDED;
    } else if (gate->verdict == VERDICT_FAIL) {
        if (request->rollback == ROLLBACK_ECS)
            plan_ecs(gate);
        if (request->rollback == ROLLBACK_CODEDEPLOY)
            gate->action.act = *request->execution ? ACT_HOOK_FAILED : ACT_CODEDEPLOY_STOP;
        if (request->rollback == ROLLBACK_COMMAND)
            gate->action.act = ACT_COMMAND;
    }
}

static struct deployment_order order_of(const struct gate *gate)
{
    return (struct deployment_order){gate->action.act, &gate->rollout, gate->action.definition,
                                     gate->name, gate->request.execution};
}

static bool is_rollback(enum deployment_act act)
{
    return act != ACT_NONE && act != ACT_CONTINUE && act != ACT_HOOK_SUCCEEDED;
}

static void on_acted(void *ctx, const char *problem)
{
    struct gate *gate = ctx;
    struct gate_action *action = &gate->action;

    gate->asking = NULL;
    action->is_sent = true;
    action->done_ms = clock_wall_ms();
    text_copy(action->problem, sizeof(action->problem), problem);
    log_info("gate-acted", "gate=%lld service=%s act=%s problem=%s", (long long)gate->id,
             LOG_QUOTE(gate->request.service), LOG_QUOTE(deployment_act_name(action->act)),
             LOG_QUOTE(problem));
    if (*problem && !gate->is_replanned &&
        (action->act == ACT_STOP || action->act == ACT_HOOK_ROLLBACK)) {
        /* It was refused, and did nothing: the deployment has gone on since it was asked about. */
        gate->is_replanned = true;
        mem_free(action->command);
        *action = (struct gate_action){.act = ACT_NONE};
        gate_begin_acting(gate);
        return;
    }
    if (*problem || !is_rollback(action->act)) {
        gate_end(gate);
        return;
    }
    gate_enter(gate, GATE_FOLLOWING, gate->gates->settings.follow_ms);
    gate->asked_ms = 0;
    gate_save(gate);
    gate_advance(gate);
}

void gate_begin_acting(struct gate *gate)
{
    if (gate->request.rollback == ROLLBACK_NONE) {
        gate_end(gate);
        return;
    }
    gate_enter(gate, GATE_ACTING, CLAIM_MS);
    gate->asked_ms = 0;
    gate_advance(gate);
}

/* False: the answer is awaited, or there is nothing to be done. */
static bool plan(struct gate *gate)
{
    CLEANUP_BUF struct buf command = BUF_INIT(4096);
    struct deployment_order order;

    if (gate->asking || (!gate->asked_ms && gate_ask(gate)))
        return false;
    plan_action(gate);
    if (gate->action.act != ACT_NONE) {
        order = order_of(gate);
        deployment_command(&order, &command);
        gate->action.command = mem_strdup(buf_text(&command));
    }
    if (gate->action.act == ACT_NONE || gate->request.is_dry) {
        gate_end(gate);
        return false;
    }
    gate->action.intended_ms = clock_wall_ms();
    return true;
}

/* Of an intent that another collector stored: what ECS shows says whether the call got there.
 * False: it is being asked, or the call was made. */
static bool is_sure_now(struct gate *gate)
{
    enum deployment_phase phase = gate->rollout.phase;
    bool is_made;

    if (!gate->asked_ms || !gate->rollout.is_known) {
        int64_t now_ms = clock_wall_ms(), next_ms = gate->asked_ms + gate->gates->settings.poll_ms;
        if (now_ms < next_ms)
            gate_again_in(gate, next_ms - now_ms);
        else if (now_ms >= gate->until_ms || !gate_ask(gate))
            on_acted(gate, "the collector ended just then, and ECS does not say whether the call "
                           "was made: it is not made again");
        return false;
    }
    gate->is_unsure = false;
    is_made = gate->action.act == ACT_UPDATE
                  ? strcmp(gate->rollout.definition, gate->action.definition) == 0
                  : phase != DEPLOYMENT_RUNNING && phase != DEPLOYMENT_PAUSED;
    if (is_made)
        on_acted(gate, "");
    return !is_made;
}

/* First the intent, then the act: a collector that dies between the two looks what became of it
 * (is_sure_now), and one whose store is full does nothing. */
void gate_act(struct gate *gate)
{
    struct deployment_order order;

    if (!gate->action.intended_ms && !plan(gate))
        return;
    if (gate->asking || (gate->is_unsure && !is_sure_now(gate)))
        return;
    if (!gate_save(gate)) {
        gate_again_in(gate, GATE_RETRY_MS);
        return;
    }
    order = order_of(gate);
    if (gate->action.act != ACT_COMMAND && gate->gates->cloud) {
        gate->asking = deployment_do(cloud_aws(gate->gates->cloud), &order, on_acted, gate);
        return;
    }
    if (gate->action.act == ACT_COMMAND && clock_wall_ms() < gate->until_ms) {
        gate_again_in(gate, gate->until_ms - clock_wall_ms() + 1);
        return;
    }
    text_copy(gate->action.problem, sizeof(gate->action.problem),
              gate->action.act != ACT_COMMAND ? "the fleet file names no ECS clusters any more"
              : gate->action.is_sent
                  ? "whoever ran the command did not say what became of it; it is not run again"
                  : "nobody was there to run the command");
    gate_end(gate);
}

/* ---- following, verifying ---- */

void gate_begin_verifying(struct gate *gate, const char *outcome)
{
    text_copy(gate->action.outcome, sizeof(gate->action.outcome), outcome);
    gate_enter(gate, GATE_VERIFYING, VERIFY_WAIT_MS);
    gate_save(gate);
    gate_advance(gate);
}

/* To the deployment's end: a service that is stable may be so with half of it undone. */
void gate_follow(struct gate *gate)
{
    const struct deployment *rollout = &gate->rollout;
    bool is_update = gate->action.act == ACT_UPDATE;
    int64_t now_ms = clock_wall_ms();

    gate_look(gate);
    if (gate->asked_ms && rollout->is_known && deployment_is_over(rollout->phase) &&
        (!is_update || strcmp(rollout->definition, gate->action.definition) == 0)) {
        gate_begin_verifying(gate, deployment_phase_name(rollout->phase));
        return;
    }
    if (now_ms >= gate->until_ms) {
        snprintf(gate->action.problem, sizeof(gate->action.problem),
                 "the rollback was not at its end after %lld s%s%.200s",
                 (long long)(gate->gates->settings.follow_ms / 1000), *rollout->problem ? ": " : "",
                 rollout->problem);
        gate_begin_verifying(gate, "not-at-its-end");
        return;
    }
    if (now_ms - gate->asked_ms >= gate->gates->settings.poll_ms)
        gate_ask(gate);
    gate_again_in(gate, GATE_TICK_MS);
}

static void judge_mended(struct gate *gate)
{
    struct store *store = gate->gates->runs->store;
    struct store_run run;
    size_t all, well;

    gate_note_run(gate, gate->verify);
    gate_count_mended(gate, store, gate->verify, &all, &well);
    if (all) {
        gate->mended = well == all ? MENDED_ALL : well ? MENDED_PARTLY : MENDED_NOT;
    } else if (store_get_run(store, gate->verify, &run) == 0) {
        /* It was cut off: no pair was to blame. */
        gate->mended = run.verdict == VERDICT_PASS ? MENDED_ALL : MENDED_UNKNOWN;
        store_run_deinit(&run);
    }
    gate_end(gate);
}

/* The same pairs again, once the tasks that were rolled back to are there. */
void gate_verify(struct gate *gate)
{
    int64_t wanted = gate->rollout.is_known && gate->rollout.desired ? gate->rollout.desired : 1;
    bool is_there = (int64_t)gate_count_agents(gate, false) >= wanted;

    if (!gate->verify) {
        gate_finish_look(gate);
        if (!is_there && clock_wall_ms() < gate->until_ms) {
            gate_look(gate);
            gate_again_in(gate, GATE_TICK_MS);
            return;
        }
        if (gate_start_run(gate, "gate", &gate->verify, NULL) < 0) {
            gate_again_in(gate, GATE_RETRY_MS);
            if (clock_wall_ms() >= gate->until_ms + VERIFY_WAIT_MS)
                gate_end(gate);
            return;
        }
        gate_save(gate);
        return;
    }
    if (gate_is_judged(gate, gate->verify))
        judge_mended(gate);
}
