#include "collector/gate/gate_internal.h"

#include "common/clock.h"
#include "common/json.h"

#include <cjson/cJSON.h>
#include <string.h>

#define LOOKS_OPEN_MAX 8 /* open runs, from which on there is no look */

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

int gate_start_run(struct gate *gate, const char *trigger, int64_t *ret_id, struct error *err)
{
    struct run_request wanted = {.trigger = trigger};

    options_list_add(&wanted.about, gate->request.service, strlen(gate->request.service));
    return start_request(gate, &wanted, ret_id, err);
}

int gate_start_control(struct gate *gate, const char *const *peers, size_t count)
{
    struct run_request wanted = {.trigger = "gate"};

    for (size_t i = 0; i < count; i++)
        options_list_add(&wanted.about, peers[i], strlen(peers[i]));
    options_list_add(&wanted.without, gate->request.service, strlen(gate->request.service));
    return start_request(gate, &wanted, &gate->control, NULL);
}

bool gate_is_judged(const struct gate *gate, int64_t id)
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

void gate_note_run(struct gate *gate, int64_t id)
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

void gate_finish_look(struct gate *gate)
{
    struct gates *gates = gate->gates;

    if (!gate->look || !gate_is_judged(gate, gate->look))
        return;
    gate_note_run(gate, gate->look);
    gates->hooks.commit(gates->hooks.ctx);
    store_forget_run(gates->runs->store, gate->look);
    gate->look = 0;
}

void gate_look(struct gate *gate)
{
    struct gates *gates = gate->gates;
    int64_t now_ms = clock_wall_ms();

    gate_finish_look(gate);
    if (gate->look || now_ms - gate->looked_ms < gates->settings.look_ms ||
        gates->runs->open_count >= LOOKS_OPEN_MAX)
        return;
    gate->looked_ms = now_ms;
    gate_start_run(gate, "watch", &gate->look, NULL);
}
