#include "collector/estate_store.h"
#include "collector/gate/gate_internal.h"
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

#define UNSURE_MS 300000 /* for ECS to say what became of an intent */

static void on_timer(void *ctx)
{
    gate_advance(ctx);
}

void gate_again_in(struct gate *gate, int64_t ms)
{
    loop_timer_in_ms(gate->gates->loop, &gate->timer, (uint64_t)ms);
}

/* ---- the store ---- */

bool gate_save(struct gate *gate)
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

void gate_enter(struct gate *gate, enum gate_state state, int64_t limit_ms)
{
    gate->state = state;
    gate->until_ms = clock_wall_ms() + limit_ms;
    log_info("gate-state", "gate=%lld service=%s state=%s", (long long)gate->id,
             LOG_QUOTE(gate->request.service), gate_state_name(state));
}

void gate_end(struct gate *gate)
{
    if (!gate->finished_ms) {
        gate->finished_ms = clock_wall_ms();
        gate_enter(gate, GATE_DONE, 0);
    }
    if (!gate_save(gate)) {
        gate_again_in(gate, GATE_RETRY_MS);
        return;
    }
    log_info("gate-done", "gate=%lld service=%s verdict=%s act=%s outcome=%s problem=%s",
             (long long)gate->id, LOG_QUOTE(gate->request.service),
             verdict_name((enum verdict)gate->verdict),
             LOG_QUOTE(deployment_act_name(gate->action.act)), gate->action.outcome,
             LOG_QUOTE(gate->action.problem));
    gate_free(gate);
}

void gate_conclude_without_run(struct gate *gate, const char *why)
{
    gate->verdict = VERDICT_INCONCLUSIVE;
    text_copy(gate->summary, sizeof(gate->summary), why);
    gate_end(gate);
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
    gate_advance(gate);
}

static bool is_ecs_arn(const char *text)
{
    return strncmp(text, "arn:", 4) == 0 && strstr(text, ":service-deployment/");
}

bool gate_ask(struct gate *gate)
{
    struct gates *gates = gate->gates;
    bool is_update = gate->state == GATE_FOLLOWING && gate->action.act == ACT_UPDATE;
    struct deployment_question question = {
        .service = gate->request.service,
        .arn = is_update                     ? ""
               : is_ecs_arn(gate->name)      ? gate->name
               : gate->state == GATE_WAITING ? ""
                                             : gate->rollout.arn,
        .after_ms = is_update ? gate->action.intended_ms - GATE_RETRY_MS : 0,
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

bool gate_has_ended_otherwise(const struct gate *gate)
{
    enum deployment_phase phase = gate->rollout.phase;

    return phase == DEPLOYMENT_ROLLED_BACK || phase == DEPLOYMENT_ROLLING_BACK ||
           phase == DEPLOYMENT_STOPPED || phase == DEPLOYMENT_FAILED;
}

size_t gate_count_agents(const struct gate *gate, bool is_new)
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

int64_t gate_began_ms(const struct gate *gate)
{
    int64_t created_ms = gate->rollout.created_ms;

    return created_ms && created_ms < gate->created_ms ? created_ms : gate->created_ms;
}

void gate_advance(struct gate *gate)
{
    switch (gate->state) {
    case GATE_WAITING:
        gate_wait_for_agents(gate);
        break;
    case GATE_PROBING:
    case GATE_CONTROL:
        gate_probe(gate);
        break;
    case GATE_ACTING:
        gate_act(gate);
        break;
    case GATE_FOLLOWING:
        gate_follow(gate);
        break;
    case GATE_VERIFYING:
        gate_verify(gate);
        break;
    case GATE_DONE:
        gate_end(gate);
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
            gate_advance(gate);
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
        gate_save(gate); /* with its id */
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
    gate_again_in(gate, 0);
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
    if (gate_save(gate)) {
        gate_again_in(gate, GATE_TICK_MS);
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
        gate_end(gate);
    else
        gate_begin_verifying(gate, "command-run");
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
    gate_again_in(gate, GATE_TICK_MS);
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
