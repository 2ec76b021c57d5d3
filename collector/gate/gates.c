#include "collector/gate/gates.h"

#include "collector/estate_store.h"
#include "collector/gate/gate.h"
#include "collector/planner.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS        200 /* while something is awaited that does not call */
#define SAFETY_MS      5000
#define RETRY_MS       1000   /* after the store, or the runs, said no */
#define STALE_RETRY_MS 3000   /* stale records: between two runs */
#define VERIFY_WAIT_MS 60000  /* for the agents of what was rolled back to */
#define UNSURE_MS      300000 /* for ECS to say what became of an intent */
#define CLAIM_MS       60000  /* for somebody to run the command */
#define CONTROLS_MAX   8      /* peers in a control run */
#define LOOKS_OPEN_MAX 8      /* open runs, from which on there is no look */

struct gates {
    struct loop *loop;
    struct runs *runs;
    struct cloud *cloud;
    struct gate_settings settings;
    struct gate_hooks hooks;
    struct gate *open;
    size_t open_count;
    struct loop_deferred judged;
};

static void advance(struct gate *gate);

static void on_timer(void *ctx)
{
    advance(ctx);
}

static void again_in(struct gate *gate, int64_t ms)
{
    loop_timer_in_ms(gate->gates->loop, &gate->timer, (uint64_t)ms);
}

/* ---- the store ---- */

static bool save(struct gate *gate)
{
    struct gates *gates = gate->gates;
    CLEANUP_BUF struct buf out = BUF_INIT(GATE_DOCUMENT_MAX);

    gates->hooks.commit(gates->hooks.ctx);
    gate_write(gate, &out);
    if (store_set_gate(gates->runs->store, gate->id, gate->state != GATE_DONE, buf_text(&out)) == 0)
        return true;
    log_error("gate-not-stored", "gate=%lld error=%s", (long long)gate->id,
              LOG_QUOTE(store_problem(gates->runs->store)));
    return false;
}

static struct gate *gate_free(struct gate *gate)
{
    struct gates *gates = gate->gates;

    for (struct gate **at = &gates->open; *at; at = &(*at)->next)
        if (*at == gate) {
            *at = gate->next;
            gates->open_count--;
            break;
        }
    loop_timer_stop(gates->loop, &gate->timer);
    deployment_cancel(gate->asking);
    gate_deinit(gate);
    mem_free(gate);
    return NULL;
}

static void enter(struct gate *gate, enum gate_state state, int64_t limit_ms)
{
    gate->state = state;
    gate->until_ms = clock_wall_ms() + limit_ms;
    log_info("gate-state", "gate=%lld service=%s state=%s", (long long)gate->id,
             LOG_QUOTE(gate->request.service), gate_state_name(state));
}

/* For good. Until that is stored the gate stays open. */
static void end(struct gate *gate)
{
    if (!gate->finished_ms) {
        gate->finished_ms = clock_wall_ms();
        enter(gate, GATE_DONE, 0);
    }
    if (!save(gate)) {
        again_in(gate, RETRY_MS);
        return;
    }
    log_info("gate-done", "gate=%lld service=%s verdict=%s act=%s outcome=%s problem=%s",
             (long long)gate->id, LOG_QUOTE(gate->request.service),
             verdict_name((enum verdict)gate->verdict),
             LOG_QUOTE(deployment_act_name(gate->action.act)), gate->action.outcome,
             LOG_QUOTE(gate->action.problem));
    gate_free(gate);
}

static void conclude_without_run(struct gate *gate, const char *why)
{
    gate->verdict = VERDICT_INCONCLUSIVE;
    text_copy(gate->summary, sizeof(gate->summary), why);
    end(gate);
}

/* ---- ECS ---- */

static void on_rollout(void *ctx, struct deployment *rollout)
{
    struct gate *gate = ctx;

    gate->asking = NULL;
    /* What could not be asked now was known before, perhaps: a gap in the answers is no news. */
    if (!rollout->is_known && gate->rollout.is_known) {
        text_copy(gate->rollout.problem, sizeof(gate->rollout.problem), rollout->problem);
        deployment_deinit(rollout);
    } else {
        deployment_deinit(&gate->rollout);
        gate->rollout = *rollout;
    }
    gate->asked_ms = clock_wall_ms();
    if (gate->state == GATE_WAITING && gate->rollout.is_known) {
        if (!*gate->request.revision)
            text_copy(gate->revision, sizeof(gate->revision), gate->rollout.definition);
        if (*gate->rollout.former)
            text_copy(gate->former, sizeof(gate->former), gate->rollout.former);
    }
    advance(gate);
}

static bool is_ecs_arn(const char *text)
{
    return strncmp(text, "arn:", 4) == 0 && strstr(text, ":service-deployment/");
}

/* True: the answer will come. False: there is nobody to be asked. */
static bool ask(struct gate *gate)
{
    struct gates *gates = gate->gates;
    bool is_update = gate->state == GATE_FOLLOWING && gate->action.act == ACT_UPDATE;
    struct deployment_question question = {
        .service = gate->request.service,
        .arn = is_update                     ? ""
               : is_ecs_arn(gate->name)      ? gate->name
               : gate->state == GATE_WAITING ? ""
                                             : gate->rollout.arn,
        .after_ms = is_update ? gate->action.intended_ms - RETRY_MS : 0,
        .codedeploy = gate->request.rollback == ROLLBACK_CODEDEPLOY ? gate->name : "",
        .wants_addresses = gate->state == GATE_PROBING || gate->state == GATE_CONTROL,
    };

    if (!gates->cloud)
        return false;
    question.clusters = cloud_clusters(gates->cloud, &question.cluster_count);
    if (!gate->asking)
        gate->asking = deployment_ask(cloud_aws(gates->cloud), &question, on_rollout, gate);
    return true;
}

/* It went another way than forward: there is nothing left to be judged. */
static bool has_ended_otherwise(const struct gate *gate)
{
    enum deployment_phase phase = gate->rollout.phase;

    return phase == DEPLOYMENT_ROLLED_BACK || phase == DEPLOYMENT_ROLLING_BACK ||
           phase == DEPLOYMENT_STOPPED || phase == DEPLOYMENT_FAILED;
}

static void conclude_ended(struct gate *gate)
{
    char text[512];

    snprintf(text, sizeof(text),
             "the deployment ended as %s before the gate could judge it%s%.200s: there is nothing "
             "left to be judged",
             gate->rollout.status, *gate->rollout.reason ? ": " : "", gate->rollout.reason);
    conclude_without_run(gate, text);
}

/* ---- runs ---- */

/* Negative: not now (-EBUSY), or not at all; `err` says why. */
static int start_request(struct gate *gate, struct run_request *wanted, int64_t *ret_id,
                         struct error *err)
{
    struct gates *gates = gate->gates;
    struct run *run = NULL;
    int r;

    gates->hooks.commit(gates->hooks.ctx);
    r = runs_start(gates->runs, wanted, clock_mono_us(), &run, err);
    options_list_deinit(&wanted->about);
    options_list_deinit(&wanted->without);
    if (r < 0)
        return r;
    *ret_id = run->record.id;
    gates->hooks.on_run_started(gates->hooks.ctx, run);
    return 0;
}

/* All pairs of the service. */
static int start_run(struct gate *gate, const char *trigger, int64_t *ret_id, struct error *err)
{
    struct run_request wanted = {.trigger = trigger};

    options_list_add(&wanted.about, gate->request.service, strlen(gate->request.service));
    return start_request(gate, &wanted, ret_id, err);
}

/* Those of its failing peers with everybody else. */
static int start_control(struct gate *gate, const char *const *peers, size_t count)
{
    struct run_request wanted = {.trigger = "gate"};

    for (size_t i = 0; i < count; i++)
        options_list_add(&wanted.about, peers[i], strlen(peers[i]));
    options_list_add(&wanted.without, gate->request.service, strlen(gate->request.service));
    return start_request(gate, &wanted, &gate->control, NULL);
}

static bool is_judged(const struct gate *gate, int64_t id)
{
    struct store_run run;
    bool is_over;

    if (runs_find(gate->gates->runs, id))
        return false;
    if (store_get_run(gate->gates->runs->store, id, &run) < 0)
        return true; /* gone: whoever reads it will find out */
    is_over = run.state == RUN_JUDGED;
    store_run_deinit(&run);
    return is_over;
}

struct look {
    struct gate *gate;
    int64_t at_ms;
};

static void note_cell(void *ctx, const struct store_cell *stored)
{
    struct look *look = ctx;
    CLEANUP_JSON cJSON *cell = json_parse(stored->json, strlen(stored->json), 8, NULL);
    const char *source = json_string(cell, "source", ""), *target = json_string(cell, "target", "");
    enum cell_state state = cell_state_from_name(json_string(cell, "state", ""));
    bool is_good = cell_state_is_good(state);

    if ((is_good || cell_state_is_bad(state)) &&
        strcmp(json_string(cell, "expected", ""), "observe") != 0 &&
        (strcmp(source, look->gate->request.service) == 0 ||
         strcmp(target, look->gate->request.service) == 0))
        gaps_note(&look->gate->gaps, source, target, json_string(cell, "check", ""), is_good,
                  look->at_ms);
}

/* What a run says of the gaps. */
static void note_run(struct gate *gate, int64_t id)
{
    struct store_run run;
    struct look look = {gate, 0};

    if (!gate->looked_ms) /* nobody has looked on: one look is no interval */
        return;
    if (store_get_run(gate->gates->runs->store, id, &run) < 0)
        return;
    look.at_ms = run.created_ms;
    store_each_cell(gate->gates->runs->store, id, note_cell, &look);
    store_run_deinit(&run);
}

static void finish_look(struct gate *gate)
{
    struct gates *gates = gate->gates;

    if (!gate->look || !is_judged(gate, gate->look))
        return;
    note_run(gate, gate->look);
    gates->hooks.commit(gates->hooks.ctx);
    store_forget_run(gates->runs->store, gate->look);
    gate->look = 0;
}

/* Every look_ms, while the tasks come and go. */
static void look(struct gate *gate)
{
    struct gates *gates = gate->gates;
    int64_t now_ms = clock_wall_ms();

    finish_look(gate);
    if (gate->look || now_ms - gate->looked_ms < gates->settings.look_ms ||
        gates->runs->open_count >= LOOKS_OPEN_MAX)
        return;
    gate->looked_ms = now_ms;
    start_run(gate, "watch", &gate->look, NULL);
}

/* ---- waiting ---- */

static const struct fleet_service *service_of(const struct gate *gate)
{
    const struct fleet *fleet = gate->gates->runs->fleet;
    size_t service = fleet_find_service(fleet, gate->request.service);

    return service == SIZE_MAX ? NULL : &fleet->services[service];
}

/* Live agents of the service: of its new revision, or of any other one. */
static size_t count_agents(const struct gate *gate, bool is_new)
{
    struct agent *agent, *next;
    size_t count = 0;

    HASH_ITER(hh, gate->gates->runs->registry->agents, agent, next)
    {
        bool is_match =
            !*gate->revision || (strcmp(agent->revision, gate->revision) == 0) == is_new;
        count +=
            agent_is_live(agent) && is_match && strcmp(agent->service, gate->request.service) == 0;
    }
    return count;
}

static int64_t expected_agents(const struct gate *gate, const struct fleet_service *service)
{
    if (gate->request.tasks)
        return gate->request.tasks;
    if (gate->rollout.is_known)
        return gate->rollout.phase == DEPLOYMENT_PAUSED && gate->rollout.running
                   ? gate->rollout.running
                   : gate->rollout.desired;
    return service->tasks;
}

/* Whether the new revision is there; `waiting_for` says what is not. */
static bool is_ready(struct gate *gate, const struct fleet_service *service)
{
    const struct deployment *rollout = &gate->rollout;
    const char *what = *gate->revision ? gate->revision : gate->request.service;

    gate->agents = count_agents(gate, true);
    gate->expected = expected_agents(gate, service);
    *gate->waiting_for = '\0';
    if (gate->gates->cloud && !gate->asked_ms) {
        snprintf(gate->waiting_for, sizeof(gate->waiting_for), "what ECS says of the deployment");
        return false;
    }
    if (rollout->is_known && rollout->phase == DEPLOYMENT_RUNNING &&
        rollout->running < rollout->desired) {
        snprintf(gate->waiting_for, sizeof(gate->waiting_for), "%lld of %lld tasks of %s run",
                 (long long)rollout->running, (long long)rollout->desired, what);
        return false;
    }
    if (service->has_agents && (int64_t)gate->agents < (gate->expected ? gate->expected : 1)) {
        snprintf(gate->waiting_for, sizeof(gate->waiting_for),
                 "%zu of %lld agents of %s have said hello", gate->agents,
                 (long long)(gate->expected ? gate->expected : 1), what);
        return false;
    }
    return true;
}

static void begin_probing(struct gate *gate)
{
    enter(gate, GATE_PROBING, gate->gates->settings.follow_ms);
    gate->run = gate->control = 0;
    gate->probe_at_ms = 0;
    gate->asking = deployment_cancel(gate->asking); /* what is asked now is asked for more */
    advance(gate);
}

static void wait_for_agents(struct gate *gate)
{
    const struct fleet_service *service = service_of(gate);
    int64_t now_ms = clock_wall_ms();

    if (!service) {
        conclude_without_run(gate, "the service is not in the fleet any more");
        return;
    }
    if (gate->asked_ms && has_ended_otherwise(gate)) {
        conclude_ended(gate);
        return;
    }
    if (now_ms - gate->asked_ms >= gate->gates->settings.poll_ms)
        ask(gate);
    if (is_ready(gate, service) || now_ms >= gate->until_ms) {
        begin_probing(gate);
        return;
    }
    look(gate);
    again_in(gate, TICK_MS);
}

/* ---- the decision ---- */

/* The deployment, as far as is known: what was before it is the baseline. */
static int64_t began_ms(const struct gate *gate)
{
    int64_t created_ms = gate->rollout.created_ms;

    return created_ms && created_ms < gate->created_ms ? created_ms : gate->created_ms;
}

static void make_question(const struct gate *gate, const char **addresses,
                          struct gate_question *question)
{
    for (size_t i = 0; i < gate->rollout.address_count; i++)
        addresses[i] = gate->rollout.addresses[i];
    *question = (struct gate_question){
        .store = gate->gates->runs->store,
        .run = gate->run,
        .control = gate->control,
        .service = gate->request.service,
        .revision = gate->revision,
        .since_ms = began_ms(gate),
        .baseline = gate->request.baseline,
        .addresses = addresses,
        .address_count = gate->rollout.address_count,
    };
}

static void make_input(struct gate *gate, const struct gate_evidence *evidence,
                       struct gate_input *input)
{
    const struct fleet_service *service = service_of(gate);

    if (!*gate->former)
        text_copy(gate->former, sizeof(gate->former), evidence->former);
    *input = (struct gate_input){
        .service = gate->request.service,
        .revision = gate->revision,
        .former = gate->former,
        .rules = gate->gates->settings.rules,
        .cells = evidence->cells,
        .cell_count = evidence->cell_count,
        .is_incomplete = evidence->is_incomplete,
        .is_time_over = clock_wall_ms() >= gate->stale_until_ms,
        .has_agents = service && service->has_agents,
        .agents = gate->agents,
        .expected = gate->expected,
        .running = gate->rollout.is_known ? gate->rollout.running : -1,
        .was_heard = evidence->was_heard,
        .tried_new = evidence->tried_new,
        .answered_new = evidence->answered_new,
        .problem = gate->gates->cloud && !gate->rollout.is_known && !*gate->revision
                       ? gate->rollout.problem
                       : "",
    };
}

/* The other ends of what newly fails, each once. */
static size_t list_peers(const struct gate *gate, const struct gate_evidence *evidence,
                         const struct gate_decision *decision, const char **peers)
{
    size_t count = 0;

    for (size_t i = 0; i < decision->finding_count; i++) {
        const struct gate_finding *finding = &decision->findings[i];
        for (size_t k = 0; k < finding->cell_count && finding->kind == GATE_NEW_FAILURE; k++) {
            const struct gate_cell *cell = &evidence->cells[finding->cells[k]];
            const char *peer =
                strcmp(cell->source, gate->request.service) == 0 ? cell->target : cell->source;
            bool is_known = strcmp(peer, gate->request.service) == 0;
            for (size_t p = 0; p < count; p++)
                is_known |= strcmp(peers[p], peer) == 0;
            if (!is_known && count < CONTROLS_MAX)
                peers[count++] = peer;
        }
    }
    return count;
}

/* True: a control run is under way. Where there are but two services, none can say anything. */
static bool begin_control(struct gate *gate, const struct gate_evidence *evidence,
                          const struct gate_decision *decision)
{
    const char *peers[CONTROLS_MAX];
    size_t count = list_peers(gate, evidence, decision, peers);

    if (gate->control || !count || gate->gates->runs->fleet->service_count < 3 ||
        start_control(gate, peers, count) < 0)
        return false;
    enter(gate, GATE_CONTROL, gate->gates->settings.follow_ms);
    save(gate);
    return true;
}

static void probe_again(struct gate *gate, int64_t in_ms, const char *what)
{
    gate->probe_at_ms = clock_wall_ms() + in_ms;
    gate->run = gate->control = 0;
    gate->state = GATE_PROBING;
    text_copy(gate->waiting_for, sizeof(gate->waiting_for), what);
    save(gate);
    again_in(gate, in_ms);
}

static void begin_acting(struct gate *gate);

static void decide(struct gate *gate)
{
    const char *addresses[DEPLOYMENT_ADDRESSES_MAX];
    struct gate_question question;
    struct gate_evidence evidence;
    struct gate_decision decision;
    struct gate_input input;

    make_question(gate, addresses, &question);
    if (gate_evidence_read(&question, &evidence) < 0) {
        gate_evidence_deinit(&evidence);
        conclude_without_run(gate, "the gate's run is not in the store any more");
        return;
    }
    make_input(gate, &evidence, &input);
    gate_decide(&input, &decision);
    if (gate_is_weak(&decision, &input) && !gate->is_repeated) {
        gate->is_repeated = true;
        probe_again(gate, 0, "what fails for a part to be seen again");
        gate_decision_deinit(&decision);
        gate_evidence_deinit(&evidence);
        return;
    }
    if (begin_control(gate, &evidence, &decision)) {
        gate_decision_deinit(&decision);
        gate_evidence_deinit(&evidence);
        return;
    }
    mem_free(gate->findings);
    gate->findings = gate_findings_json(&decision, &input, &evidence);
    gate_summarize(&decision, &evidence, gate->request.service, gate->summary,
                   sizeof(gate->summary));
    if (gate_is_transient(&decision) && !input.is_time_over) {
        probe_again(gate, STALE_RETRY_MS, "what time may mend");
    } else {
        gate->verdict = (int)decision.verdict;
        log_info("gate-decided", "gate=%lld service=%s verdict=%s why=%s", (long long)gate->id,
                 LOG_QUOTE(gate->request.service), verdict_name(decision.verdict),
                 LOG_QUOTE(gate->summary));
        begin_acting(gate);
    }
    gate_decision_deinit(&decision);
    gate_evidence_deinit(&evidence);
}

/* The run, then what ECS says meanwhile, then the decision. */
static void probe(struct gate *gate)
{
    struct error err = {""};
    int64_t *run = gate->state == GATE_CONTROL ? &gate->control : &gate->run;
    int64_t now_ms = clock_wall_ms();
    int r;

    finish_look(gate);
    if (!*run) {
        if (now_ms < gate->probe_at_ms) {
            again_in(gate, gate->probe_at_ms - now_ms);
            return;
        }
        if (!gate->stale_until_ms)
            gate->stale_until_ms = now_ms + gate->gates->settings.rules.stale_ms;
        r = start_run(gate, "gate", run, &err);
        if (r < 0 && (now_ms >= gate->until_ms || r == -EINVAL)) {
            conclude_without_run(gate, err.text);
        } else if (r < 0) {
            text_copy(gate->waiting_for, sizeof(gate->waiting_for), err.text);
            again_in(gate, RETRY_MS);
        } else {
            gate->asked_ms = 0;
            save(gate);
        }
        return;
    }
    if (gate->asking)
        return;
    if (!is_judged(gate, *run)) {
        if (now_ms >= gate->until_ms)
            conclude_without_run(gate, "the gate's run did not come to its end");
        else
            again_in(gate, SAFETY_MS); /* the end of the run calls */
        return;
    }
    if (!gate->asked_ms && ask(gate))
        return;
    note_run(gate, *run);
    gate->agents = count_agents(gate, true);
    if (gate->asked_ms && has_ended_otherwise(gate))
        conclude_ended(gate);
    else
        decide(gate);
}

/* ---- acting ---- */

/* The task definition that the service had when all of it was well; "": not known. */
static void find_good_definition(const struct gate *gate, char *text, size_t size)
{
    struct store *store = gate->gates->runs->store;
    int64_t run = gate->request.baseline.kind == BASELINE_RUN
                      ? gate->request.baseline.run
                      : gate_last_good(store, gate->request.service, began_ms(gate));

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
    if (has_ended_otherwise(gate)) {
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
        begin_acting(gate);
        return;
    }
    if (*problem || !is_rollback(action->act)) {
        end(gate);
        return;
    }
    enter(gate, GATE_FOLLOWING, gate->gates->settings.follow_ms);
    gate->asked_ms = 0;
    save(gate);
    advance(gate);
}

/* What is to be done depends on how far the deployment is just now. */
static void begin_acting(struct gate *gate)
{
    if (gate->request.rollback == ROLLBACK_NONE) {
        end(gate);
        return;
    }
    enter(gate, GATE_ACTING, CLAIM_MS);
    gate->asked_ms = 0;
    advance(gate);
}

/* False: the answer is awaited, or there is nothing to be done. */
static bool plan(struct gate *gate)
{
    CLEANUP_BUF struct buf command = BUF_INIT(4096);
    struct deployment_order order;

    if (gate->asking || (!gate->asked_ms && ask(gate)))
        return false;
    plan_action(gate);
    if (gate->action.act != ACT_NONE) {
        order = order_of(gate);
        deployment_command(&order, &command);
        gate->action.command = mem_strdup(buf_text(&command));
    }
    if (gate->action.act == ACT_NONE || gate->request.is_dry) {
        end(gate);
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
            again_in(gate, next_ms - now_ms);
        else if (now_ms >= gate->until_ms || !ask(gate))
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
static void act(struct gate *gate)
{
    struct deployment_order order;

    if (!gate->action.intended_ms && !plan(gate))
        return;
    if (gate->asking || (gate->is_unsure && !is_sure_now(gate)))
        return;
    if (!save(gate)) {
        again_in(gate, RETRY_MS);
        return;
    }
    order = order_of(gate);
    if (gate->action.act != ACT_COMMAND && gate->gates->cloud) {
        gate->asking = deployment_do(cloud_aws(gate->gates->cloud), &order, on_acted, gate);
        return;
    }
    if (gate->action.act == ACT_COMMAND && clock_wall_ms() < gate->until_ms) {
        again_in(gate, gate->until_ms - clock_wall_ms() + 1);
        return;
    }
    text_copy(gate->action.problem, sizeof(gate->action.problem),
              gate->action.act != ACT_COMMAND ? "the fleet file names no ECS clusters any more"
              : gate->action.is_sent
                  ? "whoever ran the command did not say what became of it; it is not run again"
                  : "nobody was there to run the command");
    end(gate);
}

/* ---- following, verifying ---- */

static void begin_verifying(struct gate *gate, const char *outcome)
{
    text_copy(gate->action.outcome, sizeof(gate->action.outcome), outcome);
    enter(gate, GATE_VERIFYING, VERIFY_WAIT_MS);
    save(gate);
    advance(gate);
}

/* To the deployment's end: a service that is stable may be so with half of it undone. */
static void follow(struct gate *gate)
{
    const struct deployment *rollout = &gate->rollout;
    bool is_update = gate->action.act == ACT_UPDATE;
    int64_t now_ms = clock_wall_ms();

    look(gate);
    if (gate->asked_ms && rollout->is_known && deployment_is_over(rollout->phase) &&
        (!is_update || strcmp(rollout->definition, gate->action.definition) == 0)) {
        begin_verifying(gate, deployment_phase_name(rollout->phase));
        return;
    }
    if (now_ms >= gate->until_ms) {
        snprintf(gate->action.problem, sizeof(gate->action.problem),
                 "the rollback was not at its end after %lld s%s%.200s",
                 (long long)(gate->gates->settings.follow_ms / 1000), *rollout->problem ? ": " : "",
                 rollout->problem);
        begin_verifying(gate, "not-at-its-end");
        return;
    }
    if (now_ms - gate->asked_ms >= gate->gates->settings.poll_ms)
        ask(gate);
    again_in(gate, TICK_MS);
}

static void judge_mended(struct gate *gate)
{
    struct store *store = gate->gates->runs->store;
    struct store_run run;
    size_t all, well;

    note_run(gate, gate->verify);
    gate_count_mended(gate, store, gate->verify, &all, &well);
    if (all) {
        gate->mended = well == all ? MENDED_ALL : well ? MENDED_PARTLY : MENDED_NOT;
    } else if (store_get_run(store, gate->verify, &run) == 0) {
        /* It was cut off: no pair was to blame. */
        gate->mended = run.verdict == VERDICT_PASS ? MENDED_ALL : MENDED_UNKNOWN;
        store_run_deinit(&run);
    }
    end(gate);
}

/* The same pairs again, once the tasks that were rolled back to are there. */
static void verify(struct gate *gate)
{
    int64_t wanted = gate->rollout.is_known && gate->rollout.desired ? gate->rollout.desired : 1;
    bool is_there = (int64_t)count_agents(gate, false) >= wanted;

    if (!gate->verify) {
        finish_look(gate);
        if (!is_there && clock_wall_ms() < gate->until_ms) {
            look(gate);
            again_in(gate, TICK_MS);
            return;
        }
        if (start_run(gate, "gate", &gate->verify, NULL) < 0) {
            again_in(gate, RETRY_MS);
            if (clock_wall_ms() >= gate->until_ms + VERIFY_WAIT_MS)
                end(gate);
            return;
        }
        save(gate);
        return;
    }
    if (is_judged(gate, gate->verify))
        judge_mended(gate);
}

static void advance(struct gate *gate)
{
    switch (gate->state) {
    case GATE_WAITING:
        wait_for_agents(gate);
        break;
    case GATE_PROBING:
    case GATE_CONTROL:
        probe(gate);
        break;
    case GATE_ACTING:
        act(gate);
        break;
    case GATE_FOLLOWING:
        follow(gate);
        break;
    case GATE_VERIFYING:
        verify(gate);
        break;
    case GATE_DONE:
        end(gate);
    }
}

static void on_judged(void *ctx)
{
    struct gates *gates = ctx;
    struct gate *next;

    for (struct gate *gate = gates->open; gate; gate = next) {
        next = gate->next;
        /* What is asked for, or done, calls by itself. */
        if (!gate->asking || gate->state == GATE_WAITING || gate->state == GATE_FOLLOWING)
            advance(gate);
    }
}

size_t gates_open_count(const struct gates *gates)
{
    return gates->open_count;
}

bool gates_use_run(const struct gates *gates, int64_t run)
{
    for (const struct gate *gate = gates->open; gate; gate = gate->next)
        if (gate->run == run || gate->control == run || gate->verify == run || gate->look == run ||
            (gate->request.baseline.kind == BASELINE_RUN && gate->request.baseline.run == run))
            return true;
    return false;
}

/* Within the runs' own turn nothing may be started. */
void gates_run_judged(struct gates *gates, int64_t run)
{
    if (gates_use_run(gates, run))
        loop_defer(gates->loop, &gates->judged);
}

/* ---- from outside ---- */

static int check_baseline(const struct gates *gates, const struct gate_request *request,
                          struct error *err)
{
    struct store_run run;
    int r;

    if (request->baseline.kind != BASELINE_RUN)
        return 0;
    r = store_get_run(gates->runs->store, request->baseline.run, &run);
    if (r < 0)
        return error_set(err, -EINVAL,
                         "baseline: there is no run %lld: it never was, or has been pruned",
                         (long long)request->baseline.run);
    r = run.state == RUN_JUDGED && strcmp(run.trigger, "watch") != 0
            ? 0
            : error_set(err, -EINVAL, "baseline: run %lld has no verdict",
                        (long long)request->baseline.run);
    store_run_deinit(&run);
    return r;
}

static int check_service(const struct gates *gates, const struct gate_request *request,
                         struct error *err)
{
    const struct fleet *fleet = gates->runs->fleet;

    if (fleet_find_service(fleet, request->service) != SIZE_MAX)
        return 0;
    if (!fleet->service_count)
        return error_set(err, -EAGAIN, "no service is known yet: %s", gates->runs->fleet_problem);
    return planner_unknown_service(fleet, "service", request->service, err);
}

static int check_request(const struct gates *gates, const struct gate_request *request,
                         struct error *err)
{
    int r = check_service(gates, request, err);

    if (r == 0)
        r = check_baseline(gates, request, err);
    if (r == 0 && !gates->cloud &&
        (request->rollback == ROLLBACK_ECS || request->rollback == ROLLBACK_CODEDEPLOY))
        r = error_set(err, -EINVAL,
                      "rollback %s needs AWS: name the ECS clusters in the fleet file",
                      request->rollback == ROLLBACK_ECS ? "ecs" : "codedeploy");
    return r;
}

static void take_id(void *ctx, const struct store_gate *gate)
{
    *(int64_t *)ctx = gate->id;
}

static int check_room(const struct gates *gates, const struct gate_request *request,
                      struct error *err)
{
    for (const struct gate *gate = gates->open; gate; gate = gate->next)
        if (strcmp(gate->request.service, request->service) == 0)
            return error_set(err, -EBUSY,
                             "gate %lld of %s, for deployment %.80s, is open: one at a time",
                             (long long)gate->id, request->service, gate->name);
    if (gates->open_count == GATES_OPEN_MAX)
        return error_set(err, -EBUSY, "%d gates are open; wait for one to end", GATES_OPEN_MAX);
    return 0;
}

static struct gate *new_gate(struct gates *gates)
{
    struct gate *gate = mem_alloc(sizeof(*gate));

    *gate = (struct gate){.gates = gates, .next = gates->open, .verdict = -1};
    gate->timer = (struct loop_timer){.fn = on_timer, .ctx = gate};
    gates->open = gate;
    gates->open_count++;
    return gate;
}

static int store_new(struct gate *gate, struct error *err)
{
    struct gates *gates = gate->gates;
    CLEANUP_BUF struct buf out = BUF_INIT(GATE_DOCUMENT_MAX);
    struct store_gate record = {.deployment = gate->name,
                                .service = gate->request.service,
                                .is_open = true,
                                .created_ms = gate->created_ms};
    int r;

    gates->hooks.commit(gates->hooks.ctx);
    gate_write(gate, &out);
    record.json = buf_text(&out);
    r = store_put_gate(gates->runs->store, &record);
    gate->id = record.id;
    if (r == 0)
        save(gate); /* with its id */
    return r < 0 ? error_set(err, -EIO, "the gate cannot be stored: %s",
                             store_problem(gates->runs->store))
                 : 0;
}

int gates_start(struct gates *gates, struct gate_request *request, int64_t *ret_id,
                bool *ret_is_new, struct error *err)
{
    struct gate *gate;
    int r = check_request(gates, request, err);

    *ret_is_new = false;
    if (r == 0 && *request->deployment &&
        store_find_gate(gates->runs->store, request->deployment, request->service, take_id,
                        ret_id) == 0) {
        gate_request_deinit(request);
        return 0;
    }
    if (r == 0)
        r = check_room(gates, request, err);
    if (r < 0) {
        gate_request_deinit(request);
        return r;
    }
    gate = new_gate(gates);
    gate->request = *request;
    gate->created_ms = clock_wall_ms();
    if (*request->deployment)
        text_copy(gate->name, sizeof(gate->name), request->deployment);
    else
        snprintf(gate->name, sizeof(gate->name), "%.180s@%lld.%u", request->service,
                 (long long)gate->created_ms, (unsigned)gates->open_count);
    text_copy(gate->revision, sizeof(gate->revision), request->revision);
    gate->until_ms =
        gate->created_ms + (request->wait_ms ? request->wait_ms : gates->settings.wait_ms);
    r = store_new(gate, err);
    if (r < 0) {
        gate_free(gate);
        return r;
    }
    log_info("gate-started", "gate=%lld service=%s deployment=%s", (long long)gate->id,
             LOG_QUOTE(gate->request.service), LOG_QUOTE(gate->name));
    *ret_id = gate->id;
    *ret_is_new = true;
    again_in(gate, 0);
    return 0;
}

static struct gate *find(const struct gates *gates, int64_t id)
{
    for (struct gate *gate = gates->open; gate; gate = gate->next)
        if (gate->id == id)
            return gate;
    return NULL;
}

static void put_stored(void *ctx, const struct store_gate *gate)
{
    buf_puts(ctx, gate->json);
}

int gates_view(const struct gates *gates, int64_t id, struct buf *out)
{
    const struct gate *gate;
    size_t length = out->length;
    int r = id ? 0 : store_get_gate(gates->runs->store, 0, take_id, &id);

    if (r < 0)
        return r;
    gate = find(gates, id);
    buf_puts(out, "{\"schema\":1,\"gate\":");
    if (gate)
        gate_write(gate, out);
    else
        r = store_get_gate(gates->runs->store, id, put_stored, out);
    buf_putc(out, '}');
    if (r < 0)
        buf_truncate(out, length);
    return r;
}

int gates_claim(struct gates *gates, int64_t id, struct error *err)
{
    struct gate *gate = find(gates, id);

    if (!gate || gate->state != GATE_ACTING || gate->action.act != ACT_COMMAND ||
        gate->action.is_sent)
        return error_set(err, gate ? -EALREADY : -ENOENT,
                         "gate %lld has no command that is to be run now", (long long)id);
    gate->action.is_sent = true;
    gate->until_ms = clock_wall_ms() + gate->gates->settings.follow_ms;
    if (save(gate)) {
        again_in(gate, TICK_MS);
        return 0;
    }
    gate->action.is_sent = false;
    return error_set(err, -EIO, "the claim cannot be stored: %s",
                     store_problem(gates->runs->store));
}

int gates_acted(struct gates *gates, int64_t id, const char *problem, struct error *err)
{
    struct gate *gate = find(gates, id);

    if (!gate || gate->state != GATE_ACTING || gate->action.act != ACT_COMMAND ||
        !gate->action.is_sent)
        return error_set(err, gate ? -EALREADY : -ENOENT, "nobody runs a command for gate %lld",
                         (long long)id);
    gate->action.done_ms = clock_wall_ms();
    text_copy(gate->action.problem, sizeof(gate->action.problem), problem);
    if (*problem)
        end(gate);
    else
        begin_verifying(gate, "command-run");
    return 0;
}

/* ---- life ---- */

static void resume(void *ctx, const struct store_gate *stored)
{
    struct gates *gates = ctx;
    struct gate *gate = new_gate(gates);

    gate->id = stored->id;
    if (gate_read(gate, stored->json, strlen(stored->json)) < 0) {
        log_error("gate-not-resumed", "gate=%lld error=\"its document cannot be read\"",
                  (long long)stored->id);
        gate_free(gate);
        return;
    }
    log_info("gate-resumed", "gate=%lld service=%s state=%s", (long long)gate->id,
             LOG_QUOTE(gate->request.service), gate_state_name(gate->state));
    gate->is_unsure =
        gate->state == GATE_ACTING && gate->action.intended_ms && gate->action.act != ACT_COMMAND;
    if (gate->is_unsure) {
        gate->until_ms = clock_wall_ms() + UNSURE_MS;
        gate->rollout.is_known = false; /* as it was then */
    }
    again_in(gate, TICK_MS);
}

struct gates *gates_new(struct loop *loop, struct runs *runs, struct cloud *cloud,
                        const struct gate_settings *settings, const struct gate_hooks *hooks,
                        struct error *err)
{
    struct gates *gates = mem_alloc(sizeof(*gates));

    *gates = (struct gates){
        .loop = loop, .runs = runs, .cloud = cloud, .settings = *settings, .hooks = *hooks};
    gates->judged = (struct loop_deferred){.fn = on_judged, .ctx = gates};
    if (store_each_gate(runs->store, 0, GATES_OPEN_MAX, true, resume, gates) < 0) {
        error_set(err, -EIO, "open gates cannot be read: %s", store_problem(runs->store));
        return gates_free(gates);
    }
    return gates;
}

struct gates *gates_free(struct gates *gates)
{
    if (!gates)
        return NULL;
    while (gates->open)
        gate_free(gates->open);
    loop_undefer(gates->loop, &gates->judged);
    mem_free(gates);
    return NULL;
}
