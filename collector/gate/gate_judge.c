#include "collector/gate/gate_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SAFETY_MS      5000
#define STALE_RETRY_MS 3000 /* stale records: between two runs */
#define CONTROLS_MAX   8    /* peers in a control run */

/* ---- waiting ---- */

static const struct fleet_service *service_of(const struct gate *gate)
{
    const struct fleet *fleet = gate->gates->runs->fleet;
    size_t service = fleet_find_service(fleet, gate->request.service);

    return service == SIZE_MAX ? NULL : &fleet->services[service];
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

    gate->agents = gate_count_agents(gate, true);
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

static void conclude_ended(struct gate *gate)
{
    char text[512];

    snprintf(text, sizeof(text),
             "the deployment ended as %s before the gate could judge it%s%.200s: there is nothing "
             "left to be judged",
             gate->rollout.status, *gate->rollout.reason ? ": " : "", gate->rollout.reason);
    gate_conclude_without_run(gate, text);
}

static void begin_probing(struct gate *gate)
{
    gate_enter(gate, GATE_PROBING, gate->gates->settings.follow_ms);
    gate->run = gate->control = 0;
    gate->probe_at_ms = 0;
    gate->asking = deployment_cancel(gate->asking); /* what is asked now is asked for more */
    gate_advance(gate);
}

void gate_wait_for_agents(struct gate *gate)
{
    const struct fleet_service *service = service_of(gate);
    int64_t now_ms = clock_wall_ms();

    if (!service) {
        gate_conclude_without_run(gate, "the service is not in the fleet any more");
        return;
    }
    if (gate->asked_ms && gate_has_ended_otherwise(gate)) {
        conclude_ended(gate);
        return;
    }
    if (now_ms - gate->asked_ms >= gate->gates->settings.poll_ms)
        gate_ask(gate);
    if (is_ready(gate, service) || now_ms >= gate->until_ms) {
        begin_probing(gate);
        return;
    }
    gate_look(gate);
    gate_again_in(gate, GATE_TICK_MS);
}

/* ---- the decision ---- */

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
        .since_ms = gate_began_ms(gate),
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
        gate_start_control(gate, peers, count) < 0)
        return false;
    gate_enter(gate, GATE_CONTROL, gate->gates->settings.follow_ms);
    gate_save(gate);
    return true;
}

static void probe_again(struct gate *gate, int64_t in_ms, const char *what)
{
    gate->probe_at_ms = clock_wall_ms() + in_ms;
    gate->run = gate->control = 0;
    gate->state = GATE_PROBING;
    text_copy(gate->waiting_for, sizeof(gate->waiting_for), what);
    gate_save(gate);
    gate_again_in(gate, in_ms);
}

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
        gate_conclude_without_run(gate, "the gate's run is not in the store any more");
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
        gate_begin_acting(gate);
    }
    gate_decision_deinit(&decision);
    gate_evidence_deinit(&evidence);
}

void gate_probe(struct gate *gate)
{
    struct error err = {""};
    int64_t *run = gate->state == GATE_CONTROL ? &gate->control : &gate->run;
    int64_t now_ms = clock_wall_ms();
    int r;

    gate_finish_look(gate);
    if (!*run) {
        if (now_ms < gate->probe_at_ms) {
            gate_again_in(gate, gate->probe_at_ms - now_ms);
            return;
        }
        if (!gate->stale_until_ms)
            gate->stale_until_ms = now_ms + gate->gates->settings.rules.stale_ms;
        r = gate_start_run(gate, "gate", run, &err);
        if (r < 0 && (now_ms >= gate->until_ms || r == -EINVAL)) {
            gate_conclude_without_run(gate, err.text);
        } else if (r < 0) {
            text_copy(gate->waiting_for, sizeof(gate->waiting_for), err.text);
            gate_again_in(gate, GATE_RETRY_MS);
        } else {
            gate->asked_ms = 0;
            gate_save(gate);
        }
        return;
    }
    if (gate->asking)
        return;
    if (!gate_is_judged(gate, *run)) {
        if (now_ms >= gate->until_ms)
            gate_conclude_without_run(gate, "the gate's run did not come to its end");
        else
            gate_again_in(gate, SAFETY_MS); /* the end of the run calls */
        return;
    }
    if (!gate->asked_ms && gate_ask(gate))
        return;
    gate_note_run(gate, *run);
    gate->agents = gate_count_agents(gate, true);
    if (gate->asked_ms && gate_has_ended_otherwise(gate))
        conclude_ended(gate);
    else
        decide(gate);
}
