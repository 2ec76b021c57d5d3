/* Taking in: reports and witnesses; and agents that come and go. */
#include "collector/run_internal.h"

#include "common/mem.h"
#include "common/text.h"

#include <string.h>

/* ---- whose a message is ---- */

struct match {
    const char *instance;
    int64_t run;
    bool is_match;
};

static void compare(void *ctx, const struct store_assignment *assignment)
{
    struct match *match = ctx;

    match->is_match =
        strcmp(assignment->instance, match->instance) == 0 && assignment->run == match->run;
}

static bool targets_are_planned(const struct run *run, const struct proto_probe *probes,
                                size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((uint64_t)probes[i].target >= run->fleet->column_count)
            return false;
    return true;
}

enum report_kind runs_classify(struct runs *runs, const struct proto_message *message)
{
    bool is_witness = message->type == PROTO_WITNESS;
    int64_t run_id = is_witness ? message->witness.run : message->report.run;
    int64_t id = is_witness ? message->witness.assignment : message->report.assignment;
    struct match match = {
        .instance = is_witness ? message->witness.instance : message->report.instance,
        .run = run_id,
    };
    struct run *run = runs_find(runs, run_id);
    const struct run_assignment *assignment = run ? run_find_assignment(run, id) : NULL;

    if (assignment)
        return strcmp(assignment->instance, match.instance) == 0 &&
                       (assignment->kind == WORK_WATCH) == is_witness &&
                       targets_are_planned(
                           run, is_witness ? message->witness.checks : message->report.probes,
                           is_witness ? message->witness.check_count : message->report.probe_count)
                   ? REPORT_IN_TIME
                   : REPORT_UNKNOWN;
    if (run || store_get_assignment(runs->store, id, compare, &match) < 0)
        return REPORT_UNKNOWN;
    return match.is_match ? REPORT_LATE : REPORT_UNKNOWN;
}

/* Most names are the fleet's own. */
static const char *keep_name(struct run *run, size_t column, const char *name)
{
    const struct fleet_service *service = fleet_column_service(run->fleet, column);

    for (size_t i = 0; i < service->name_count; i++)
        if (strcmp(service->names[i], name) == 0)
            return service->names[i];
    return arena_strdup(&run->arena, name);
}

/* Of the many that pass nothing more is asked. */
static const struct tries_detail *detail_of(struct run *run, const struct proto_probe *probe)
{
    struct tries_detail *detail;

    if (probe->outcome == OUTCOME_OK)
        return NULL;
    detail = arena_alloc(&run->arena, 1, sizeof(*detail));
    *detail = (struct tries_detail){
        .local = arena_strdup(&run->arena, probe->local),
        .text = arena_strdup(&run->arena, probe->detail),
        .via = arena_strdup(&run->arena, probe->via),
        .icmp_from = arena_strdup(&run->arena, probe->icmp_from),
        .icmp_type = (uint8_t)probe->icmp_type,
        .icmp_code = (uint8_t)probe->icmp_code,
        .is_held = probe->is_held,
        .late_ms = (int32_t)(probe->late_us / 1000),
        .verify = (int32_t)probe->verify,
        .valid_days = (int32_t)probe->valid_days,
        .bytes_in = probe->bytes_in,
    };
    return detail;
}

void run_add_row(struct run *run, size_t source, unsigned round, const struct proto_probe *probe)
{
    if (run->row_count == RUN_ROWS_MAX) {
        run->sources[source].dropped++; /* stored, but not judged: the run is incomplete */
        return;
    }
    mem_grow(&run->rows, run->row_count, &run->row_capacity, sizeof(*run->rows));
    run->rows[run->row_count++] = (struct tries_row){
        .source = (uint32_t)source,
        .column = (uint32_t)probe->target,
        .name = keep_name(run, (size_t)probe->target, probe->name),
        .address = arena_strdup(&run->arena, probe->address),
        .port = (uint16_t)probe->port,
        .phase = (uint8_t)probe->phase,
        .outcome = (uint8_t)probe->outcome,
        .error = (uint16_t)probe->error,
        .status = (uint16_t)probe->status,
        .round = (uint8_t)round,
        .attempt = (uint8_t)probe->attempt,
        .late = *probe->late ? (uint8_t)outcome_from_name(probe->late) : OUTCOME_UNKNOWN,
        .retransmits = probe->retransmits < UINT8_MAX ? (uint8_t)probe->retransmits : UINT8_MAX,
        .is_given = strcmp(probe->via, "given") == 0,
        .is_silent = probe->bytes_in == 0,
        .detail = detail_of(run, probe),
    };
}

void run_add_answer(struct run *run, size_t source, const struct proto_resolution *row)
{
    if (run->answers.row_count < RUN_ROWS_MAX)
        answers_add(&run->answers, source, row);
}

static void update_source(struct run *run, struct run_source *source)
{
    if (source->state != SOURCE_OPEN || source->undone)
        return;
    source->state = source->dropped ? SOURCE_DROPPED : SOURCE_DONE;
    run->open_sources--;
}

/* Whether all that a source tried of a column passed. */
static bool has_passed(const struct run *run, size_t source, uint32_t column)
{
    bool has_rows = false;

    for (size_t i = 0; i < run->row_count; i++) {
        if (run->rows[i].source != source || run->rows[i].column != column)
            continue;
        if (run->rows[i].outcome != OUTCOME_OK)
            return false;
        has_rows = true;
    }
    return has_rows;
}

static bool wants_more(const struct run *run, const struct run_assignment *assignment,
                       uint32_t column)
{
    return run->is_small && !assignment->is_sampling &&
           run->sources[assignment->source].state == SOURCE_OPEN &&
           !fleet_column_check(run->fleet, column)->rate_bytes &&
           has_passed(run, assignment->source, column);
}

void run_finish_columns(struct run *run, const struct run_assignment *assignment)
{
    struct run_source *source = &run->sources[assignment->source];

    for (size_t i = 0; i < assignment->column_count; i++) {
        uint8_t *work = &source->work[assignment->columns[i]];
        bool is_todo = *work == COLUMN_TODO || *work == COLUMN_MORE;
        if (*work == COLUMN_GIVEN && wants_more(run, assignment, assignment->columns[i])) {
            *work = COLUMN_MORE;
            source->todo++;
            run->todo++;
            continue;
        }
        if (is_todo) {
            source->todo--;
            run->todo -= source->state == SOURCE_OPEN;
        }
        if (is_todo || *work == COLUMN_GIVEN)
            source->undone--;
        *work = COLUMN_DONE;
    }
    update_source(run, source);
}

void run_release(struct runs *runs, struct run *run, struct run_assignment *assignment)
{
    if (!assignment->holds)
        return;
    assignment->holds = false;
    for (size_t i = 0; i < assignment->column_count; i++)
        throttle_give(run->places[assignment->columns[i]], assignment->weights[i]);
    if (assignment->kind == WORK_CONFIRM)
        run_release_items(runs, run, assignment->id);
}

static void finish_assignment(struct runs *runs, struct run *run, struct run_assignment *assignment)
{
    assignment->is_done = true;
    run_release(runs, run, assignment);
    mem_free(assignment->message);
    assignment->message = NULL;
    if (assignment->kind == WORK_SWEEP)
        run_finish_columns(run, assignment);
    else
        run_finish_items(run, assignment->id);
}

static void apply_report(struct runs *runs, struct run *run, struct run_assignment *assignment,
                         const struct proto_report *report, uint64_t now_us)
{
    struct run_source *source = &run->sources[assignment->source];

    for (size_t i = 0; i < report->probe_count; i++) {
        run_add_row(run, assignment->source, assignment->round, &report->probes[i]);
        throttle_note(&runs->throttle, run->places[report->probes[i].target], &report->probes[i],
                      now_us);
    }
    for (size_t i = 0; i < report->resolution_count; i++)
        run_add_answer(run, assignment->source, &report->resolutions[i]);
    assignment->batches++;
    source->batches++;
    if (report->dropped > assignment->dropped) {
        source->dropped += report->dropped - assignment->dropped;
        assignment->dropped = report->dropped;
    }
    if (report->is_last)
        assignment->last_batch = report->batch;
    /* Done once its last batch and all before it are stored. */
    if (!assignment->is_done && assignment->last_batch &&
        assignment->batches >= assignment->last_batch)
        finish_assignment(runs, run, assignment);
}

static bool listens_on(const struct proto_witness *witness, const char *address, int64_t port,
                       int64_t *ret_queue)
{
    bool listens = false;

    for (size_t i = 0; i < witness->listener_count; i++) {
        const struct proto_listener *listener = &witness->listeners[i];
        bool is_any =
            strcmp(listener->address, "0.0.0.0") == 0 || strcmp(listener->address, "::") == 0;
        if (listener->port != port || !(is_any || strcmp(listener->address, address) == 0))
            continue;
        listens = true;
        *ret_queue = listener->queue;
    }
    return listens;
}

static int64_t counter_of(const struct proto_witness *witness, const char *name)
{
    for (size_t i = 0; i < witness->counter_count; i++)
        if (strcmp(witness->counters[i].name, name) == 0)
            return witness->counters[i].count;
    return 0;
}

/* For each address of the agent and each port it watched: the column's own, or those that its
 * probes went to. */
static void note_port(struct runs *runs, struct run *run, const struct agent *agent,
                      const struct proto_witness *witness, int64_t port)
{
    for (size_t i = 0; i < agent->address_count; i++) {
        int64_t queue = 0;
        struct matrix_witness seen = {
            .address = arena_strdup(&run->arena, agent->addresses[i]),
            .port = (uint16_t)port,
            .is_listening = listens_on(witness, agent->addresses[i], port, &queue),
            .has_reset = counter_of(witness, "OutRsts") > 0,
        };
        if (seen.is_listening)
            throttle_note_queue(&runs->throttle, agent->addresses[i], port, queue);
        mem_grow(&run->witnesses, run->witness_count, &run->witness_capacity,
                 sizeof(*run->witnesses));
        run->witnesses[run->witness_count++] = seen;
    }
}

void run_add_witness(struct runs *runs, struct run *run, const struct run_watch *watch,
                     const struct proto_witness *witness)
{
    const struct agent *agent = registry_find(runs->registry, watch->instance);

    for (size_t i = 0; agent && i < watch->column_count; i++) {
        uint32_t column = watch->columns[i];
        int64_t port = fleet_column_check(run->fleet, column)->port;
        if (port)
            note_port(runs, run, agent, witness, port);
        for (size_t j = 0; !port && j < run->item_count; j++)
            if (run->items[j].column == column && run->items[j].port)
                note_port(runs, run, agent, witness, run->items[j].port);
    }
}

static void apply_witness(struct runs *runs, struct run *run, struct run_assignment *assignment,
                          const struct proto_witness *witness)
{
    assignment->is_done = true;
    mem_free(assignment->message);
    assignment->message = NULL;
    for (size_t i = 0; i < run->watch_count; i++)
        if (run->watches[i].assignment == assignment->id) {
            run->watches[i].state = WATCH_OVER;
            run_add_witness(runs, run, &run->watches[i], witness);
        }
}

void runs_apply(struct runs *runs, const struct proto_message *message, uint64_t now_us)
{
    bool is_witness = message->type == PROTO_WITNESS;
    struct run *run = runs_find(runs, is_witness ? message->witness.run : message->report.run);
    struct run_assignment *assignment =
        run ? run_find_assignment(run, is_witness ? message->witness.assignment
                                                  : message->report.assignment)
            : NULL;

    if (!assignment)
        return;
    if (is_witness)
        apply_witness(runs, run, assignment, &message->witness);
    else
        apply_report(runs, run, assignment, &message->report, now_us);
}

/* ---- agents that come and go ---- */

static void keep_leaver(struct run *run, const struct agent *agent)
{
    struct run_leaver *leaver;
    const char **addresses = arena_alloc(&run->arena, agent->address_count, sizeof(*addresses));

    for (size_t i = 0; i < agent->address_count; i++)
        addresses[i] = arena_strdup(&run->arena, agent->addresses[i]);
    mem_grow(&run->leavers, run->leaver_count, &run->leaver_capacity, sizeof(*run->leavers));
    leaver = &run->leavers[run->leaver_count++];
    *leaver = (struct run_leaver){
        .service = arena_strdup(&run->arena, agent->service),
        .task = arena_strdup(&run->arena, agent->task),
        .mode = arena_strdup(&run->arena, agent->mode),
        .netns = arena_strdup(&run->arena, agent->netns),
        .zone = arena_strdup(&run->arena, agent->zone),
        .revision = arena_strdup(&run->arena, agent->revision),
        .addresses = addresses,
        .address_count = agent->address_count,
    };
}

/* What an agent was given it will not do; its watches are over. */
static void forget_instance(struct runs *runs, struct run *run, const char *instance)
{
    for (size_t i = 0; i < run->assignment_count; i++) {
        struct run_assignment *assignment = &run->assignments[i];
        if (assignment->is_done || strcmp(assignment->instance, instance) != 0)
            continue;
        run_release(runs, run, assignment);
        mem_free(assignment->message);
        assignment->message = NULL;
    }
    for (size_t i = 0; i < run->watch_count; i++)
        if (strcmp(run->watches[i].instance, instance) == 0)
            run->watches[i].state = WATCH_OVER;
}

static void drop_items(struct run *run, size_t source)
{
    for (size_t i = 0; i < run->item_count; i++)
        if (run->items[i].source == source && run->items[i].state < ITEM_DONE)
            run->items[i].state = ITEM_DROPPED;
}

void runs_agent_gone(struct runs *runs, const struct agent *agent, bool has_departed)
{
    runs_forget_settles(runs, agent->instance);
    for (size_t i = 0; i < runs->open_count; i++) {
        struct run *run = runs->open[i];
        forget_instance(runs, run, agent->instance);
        for (size_t j = run_first_of_agent(run, agent->instance); j != SIZE_MAX;
             j = run->sources[j].next) {
            if (run->sources[j].state == SOURCE_OPEN)
                run->sources[j].state = has_departed ? SOURCE_DEPARTED : SOURCE_MISSING;
            drop_items(run, j);
        }
        if (has_departed)
            keep_leaver(run, agent);
        run_count_work(run);
    }
}

/* The new agent begins anew with what the old one had not delivered. */
static void take_over(struct runs *runs, struct run *run, size_t index, const struct agent *new)
{
    struct run_source *source = &run->sources[index];

    source->instance = arena_strdup(&run->arena, new->instance);
    store_set_source_instance(runs->store, source->id, source->instance);
    for (size_t c = 0; c < run->fleet->column_count; c++)
        if (source->work[c] == COLUMN_GIVEN) {
            source->work[c] = COLUMN_TODO;
            source->todo++;
        }
    for (size_t i = 0; i < run->item_count; i++)
        if (run->items[i].source == index && run->items[i].state == ITEM_GIVEN)
            run->items[i].state = ITEM_TODO;
}

void runs_agent_replaced(struct runs *runs, const struct agent *old, const struct agent *new)
{
    runs_forget_settles(runs, old->instance);
    for (size_t i = 0; i < runs->open_count; i++) {
        struct run *run = runs->open[i];
        size_t next;
        forget_instance(runs, run, old->instance);
        for (size_t j = run_first_of_agent(run, old->instance); j != SIZE_MAX; j = next) {
            next = run->sources[j].next;
            take_over(runs, run, j, new);
        }
        run_index_agents(run);
        run_count_work(run);
    }
}
