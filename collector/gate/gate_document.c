/* A gate as one JSON document, and back. */
#include "collector/gate/gate.h"

#include "collector/view_internal.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOCUMENT_DEPTH_MAX 12

static const char *const states[] = {"waiting",   "probing",   "control", "acting",
                                     "following", "verifying", "done"};
static const char *const mended[] = {"unknown", "no", "partly", "yes"};

const char *gate_state_name(enum gate_state state)
{
    return states[state];
}

static size_t index_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return 0;
}

static void put_run(struct buf *out, const char *key, int64_t id)
{
    view_put_key(out, key);
    if (id)
        buf_printf(out, "\"%lld\"", (long long)id);
    else
        buf_puts(out, "null");
}

static void put_bool(struct buf *out, const char *key, bool value)
{
    view_put_key(out, key);
    buf_puts(out, value ? "true" : "false");
}

/* ---- writing ---- */

static void put_rollout(const struct deployment *rollout, struct buf *out)
{
    view_put_key(out, "rollout");
    buf_printf(out, "{\"known\":%s", rollout->is_known ? "true" : "false");
    view_put_text(out, "problem", rollout->problem);
    view_put_text(out, "phase", deployment_phase_name(rollout->phase));
    view_put_text(out, "status", rollout->status);
    view_put_text(out, "stage", rollout->stage);
    view_put_text(out, "reason", rollout->reason);
    view_put_text(out, "cluster", rollout->cluster);
    view_put_text(out, "service", rollout->service);
    view_put_text(out, "arn", rollout->arn);
    view_put_text(out, "hook", rollout->hook);
    view_put_text(out, "definition", rollout->definition);
    view_put_text(out, "former", rollout->former);
    view_put_int(out, "desired", rollout->desired);
    view_put_int(out, "running", rollout->running);
    view_put_time(out, "created", rollout->created_ms);
    buf_putc(out, '}');
}

static void put_action(const struct gate *gate, struct buf *out)
{
    const struct gate_action *action = &gate->action;

    view_put_key(out, "action");
    if (action->act == ACT_NONE && !*action->problem) {
        buf_puts(out, "null");
        return;
    }
    buf_puts(out, "{\"act\":");
    buf_put_json(out, deployment_act_name(action->act));
    view_put_text(out, "command", action->command ? action->command : "");
    view_put_text(out, "definition", action->definition);
    put_bool(out, "dry_run", gate->request.is_dry);
    view_put_time(out, "intended", action->intended_ms);
    put_bool(out, "sent", action->is_sent);
    view_put_time(out, "done", action->done_ms);
    view_put_text(out, "problem", action->problem);
    view_put_text(out, "outcome", action->outcome);
    view_put_text(out, "mended", mended[gate->mended]);
    buf_putc(out, '}');
}

static void put_request(const struct gate *gate, struct buf *out)
{
    char *text = cJSON_PrintUnformatted(gate->request.json);

    view_put_key(out, "request");
    buf_puts(out, text ? text : "{}");
    cJSON_free(text);
}

void gate_write(const struct gate *gate, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%lld\"", (long long)gate->id);
    view_put_text(out, "service", gate->request.service);
    view_put_text(out, "deployment", gate->name);
    view_put_text(out, "state", states[gate->state]);
    view_put_key(out, "verdict");
    if (gate->verdict < 0)
        buf_puts(out, "null");
    else
        buf_put_json(out, verdict_name((enum verdict)gate->verdict));
    view_put_time(out, "created", gate->created_ms);
    view_put_time(out, "finished", gate->finished_ms);
    view_put_time(out, "until", gate->until_ms);
    view_put_time(out, "stale_until", gate->stale_until_ms);
    view_put_text(out, "summary", gate->summary);
    view_put_text(out, "waiting_for", gate->waiting_for);
    view_put_text(out, "revision", gate->revision);
    view_put_text(out, "former", gate->former);
    view_put_int(out, "agents", (int64_t)gate->agents);
    view_put_int(out, "expected_agents", gate->expected);
    put_run(out, "run", gate->run);
    put_run(out, "control_run", gate->control);
    put_run(out, "verify_run", gate->verify);
    view_put_key(out, "findings");
    buf_puts(out, gate->findings ? gate->findings : "[]");
    view_put_key(out, "gaps");
    gaps_write(&gate->gaps, gate->finished_ms ? gate->finished_ms : clock_wall_ms(), out);
    put_action(gate, out);
    put_rollout(&gate->rollout, out);
    put_request(gate, out);
    buf_putc(out, '}');
}

/* ---- reading ---- */

static int64_t time_of(const cJSON *object, const char *key)
{
    int64_t ms = 0;

    return clock_from_rfc3339(json_string(object, key, ""), &ms) ? ms : 0;
}

static int64_t run_of(const cJSON *object, const char *key)
{
    int64_t id = 0;

    return text_to_int(json_string(object, key, ""), 1, INT64_MAX, &id) ? id : 0;
}

static void read_rollout(struct deployment *rollout, const cJSON *object)
{
    *rollout = (struct deployment){
        .is_known = json_bool(object, "known", false),
        .desired = json_int(object, "desired", 0, INT32_MAX, 0),
        .running = json_int(object, "running", 0, INT32_MAX, 0),
        .created_ms = time_of(object, "created"),
    };
    for (int phase = DEPLOYMENT_UNKNOWN; phase <= DEPLOYMENT_FAILED; phase++)
        if (strcmp(json_string(object, "phase", ""),
                   deployment_phase_name((enum deployment_phase)phase)) == 0)
            rollout->phase = (enum deployment_phase)phase;
    text_copy(rollout->problem, sizeof(rollout->problem), json_string(object, "problem", ""));
    text_copy(rollout->status, sizeof(rollout->status), json_string(object, "status", ""));
    text_copy(rollout->stage, sizeof(rollout->stage), json_string(object, "stage", ""));
    text_copy(rollout->cluster, sizeof(rollout->cluster), json_string(object, "cluster", ""));
    text_copy(rollout->service, sizeof(rollout->service), json_string(object, "service", ""));
    text_copy(rollout->arn, sizeof(rollout->arn), json_string(object, "arn", ""));
    text_copy(rollout->hook, sizeof(rollout->hook), json_string(object, "hook", ""));
    text_copy(rollout->definition, sizeof(rollout->definition),
              json_string(object, "definition", ""));
    text_copy(rollout->former, sizeof(rollout->former), json_string(object, "former", ""));
}

static void read_action(struct gate *gate, const cJSON *object)
{
    struct gate_action *action = &gate->action;

    if (!cJSON_IsObject(object))
        return;
    *action = (struct gate_action){
        .act = deployment_act_from_name(json_string(object, "act", "")),
        .command = mem_strdup(json_string(object, "command", "")),
        .intended_ms = time_of(object, "intended"),
        .done_ms = time_of(object, "done"),
        .is_sent = json_bool(object, "sent", false),
    };
    text_copy(action->definition, sizeof(action->definition),
              json_string(object, "definition", ""));
    text_copy(action->problem, sizeof(action->problem), json_string(object, "problem", ""));
    text_copy(action->outcome, sizeof(action->outcome), json_string(object, "outcome", ""));
    gate->mended =
        (enum gate_mended)index_of(json_string(object, "mended", ""), mended, ARRAY_SIZE(mended));
}

static int read_request(struct gate *gate, const cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    int r = text ? gate_request_parse(text, strlen(text), &gate->request, NULL) : -EINVAL;

    cJSON_free(text);
    return r;
}

int gate_read(struct gate *gate, const char *json, size_t length)
{
    CLEANUP_JSON cJSON *object = json_parse(json, length, DOCUMENT_DEPTH_MAX, NULL);
    const char *verdict = json_string(object, "verdict", "");
    char *findings;

    if (!object || read_request(gate, cJSON_GetObjectItemCaseSensitive(object, "request")) < 0)
        return -EINVAL;
    gate->state =
        (enum gate_state)index_of(json_string(object, "state", ""), states, ARRAY_SIZE(states));
    gate->verdict = strcmp(verdict, "pass") == 0           ? VERDICT_PASS
                    : strcmp(verdict, "fail") == 0         ? VERDICT_FAIL
                    : strcmp(verdict, "inconclusive") == 0 ? VERDICT_INCONCLUSIVE
                                                           : -1;
    gate->created_ms = time_of(object, "created");
    gate->finished_ms = time_of(object, "finished");
    gate->until_ms = time_of(object, "until");
    gate->stale_until_ms = time_of(object, "stale_until");
    gate->agents = (size_t)json_int(object, "agents", 0, INT32_MAX, 0);
    gate->expected = json_int(object, "expected_agents", 0, INT32_MAX, 0);
    gate->run = run_of(object, "run");
    gate->control = run_of(object, "control_run");
    gate->verify = run_of(object, "verify_run");
    text_copy(gate->name, sizeof(gate->name), json_string(object, "deployment", ""));
    text_copy(gate->summary, sizeof(gate->summary), json_string(object, "summary", ""));
    text_copy(gate->revision, sizeof(gate->revision), json_string(object, "revision", ""));
    text_copy(gate->former, sizeof(gate->former), json_string(object, "former", ""));
    findings = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(object, "findings"));
    gate->findings = findings ? mem_strdup(findings) : NULL;
    cJSON_free(findings);
    gaps_read(&gate->gaps, cJSON_GetObjectItemCaseSensitive(object, "gaps"));
    read_action(gate, cJSON_GetObjectItemCaseSensitive(object, "action"));
    read_rollout(&gate->rollout, cJSON_GetObjectItemCaseSensitive(object, "rollout"));
    return 0;
}

void gate_deinit(struct gate *gate)
{
    gate_request_deinit(&gate->request);
    deployment_deinit(&gate->rollout);
    gaps_deinit(&gate->gaps);
    mem_free(gate->findings);
    mem_free(gate->action.command);
}

/* ---- findings ---- */

static void put_cells(const struct gate_finding *finding, const struct gate_input *input,
                      struct buf *out)
{
    view_put_key(out, "cells");
    buf_putc(out, '[');
    for (size_t i = 0; i < finding->cell_count; i++) {
        const struct gate_cell *cell = &input->cells[finding->cells[i]];
        buf_puts(out, i ? ",{\"source\":" : "{\"source\":");
        buf_put_json(out, cell->source);
        view_put_text(out, "target", cell->target);
        view_put_text(out, "check", cell->check);
        view_put_text(out, "state", cell_state_name(cell->state));
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_diagnosis(const char *json, struct buf *out)
{
    CLEANUP_JSON cJSON *diagnosis = json ? json_parse(json, strlen(json), 8, NULL) : NULL;
    const cJSON *confidence = cJSON_GetObjectItemCaseSensitive(diagnosis, "confidence");

    view_put_text(out, "cause", json_string(diagnosis, "cause", ""));
    view_put_text(out, "diagnosis", json_string(diagnosis, "summary", ""));
    view_put_text(out, "fix", json_string(diagnosis, "fix", ""));
    buf_printf(out, ",\"confidence\":%.2f",
               cJSON_IsNumber(confidence) ? confidence->valuedouble : 0.0);
}

char *gate_findings_json(const struct gate_decision *decision, const struct gate_input *input,
                         const struct gate_evidence *evidence)
{
    CLEANUP_BUF struct buf out = BUF_INIT(GATE_DOCUMENT_MAX);

    buf_putc(&out, '[');
    for (size_t i = 0; i < decision->finding_count; i++) {
        const struct gate_finding *finding = &decision->findings[i];
        buf_puts(&out, i ? ",{\"kind\":" : "{\"kind\":");
        buf_put_json(&out, gate_kind_name(finding->kind));
        view_put_text(&out, "weight", gate_weight_name(finding->weight));
        view_put_text(&out, "text", finding->text);
        put_diagnosis(finding->diagnosis < evidence->diagnosis_count
                          ? evidence->diagnoses[finding->diagnosis]
                          : NULL,
                      &out);
        put_cells(finding, input, &out);
        buf_putc(&out, '}');
    }
    buf_putc(&out, ']');
    return mem_strdup(buf_is_full(&out) ? "[]" : buf_text(&out));
}

void gate_summarize(const struct gate_decision *decision, const struct gate_evidence *evidence,
                    const char *service, char *text, size_t size)
{
    const struct gate_finding *first = decision->finding_count ? &decision->findings[0] : NULL;
    size_t more = 0;

    for (size_t i = 1; i < decision->finding_count; i++)
        more += decision->findings[i].weight == first->weight;
    if (!first || first->weight == GATE_IGNORE) {
        snprintf(text, size, "all pairs of %s work, in both directions", service);
    } else {
        const char *json = first->diagnosis < evidence->diagnosis_count
                               ? evidence->diagnoses[first->diagnosis]
                               : NULL;
        CLEANUP_JSON cJSON *diagnosis = json ? json_parse(json, strlen(json), 8, NULL) : NULL;
        const char *why = json_string(diagnosis, "summary", "");
        snprintf(text, size, "%.300s%s%.360s", first->text, *why ? ": " : "", why);
        if (more && strlen(text) + 32 < size)
            snprintf(text + strlen(text), size - strlen(text), " (and %zu more)", more);
    }
}

/* ---- mended ---- */

struct count {
    const cJSON *findings;
    size_t all, well;
};

static bool is_held_against(const cJSON *findings, const cJSON *cell)
{
    const cJSON *finding, *item;

    cJSON_ArrayForEach(finding, findings)
    {
        if (strcmp(json_string(finding, "weight", ""), gate_weight_name(GATE_FAIL)) != 0)
            continue;
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(finding, "cells"))
        {
            if (strcmp(json_string(item, "source", ""), json_string(cell, "source", "")) == 0 &&
                strcmp(json_string(item, "target", ""), json_string(cell, "target", "")) == 0 &&
                strcmp(json_string(item, "check", ""), json_string(cell, "check", "")) == 0)
                return true;
        }
    }
    return false;
}

static void count_cell(void *ctx, const struct store_cell *stored)
{
    struct count *count = ctx;
    CLEANUP_JSON cJSON *cell = json_parse(stored->json, strlen(stored->json), 8, NULL);

    if (!is_held_against(count->findings, cell))
        return;
    count->all++;
    count->well += cell_state_is_good(cell_state_from_name(json_string(cell, "state", "")));
}

static size_t count_held(const cJSON *findings)
{
    size_t count = 0;
    const cJSON *finding;

    cJSON_ArrayForEach(finding, findings)
    {
        if (strcmp(json_string(finding, "weight", ""), gate_weight_name(GATE_FAIL)) == 0)
            count += (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(finding, "cells"));
    }
    return count;
}

void gate_count_mended(const struct gate *gate, struct store *store, int64_t run, size_t *ret_all,
                       size_t *ret_well)
{
    const char *text = gate->findings ? gate->findings : "[]";
    CLEANUP_JSON cJSON *findings = json_parse(text, strlen(text), DOCUMENT_DEPTH_MAX, NULL);
    struct count count = {.findings = findings};
    size_t held = count_held(findings);

    store_each_cell(store, run, count_cell, &count);
    *ret_all = held > count.all ? held : count.all;
    *ret_well = count.well;
}
