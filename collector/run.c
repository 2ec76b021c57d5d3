#include "collector/run_internal.h"

#include "collector/view.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const source_states[] = {"open",    "done", "departed",
                                            "missing", "late", "dropped"};

const char *source_state_name(enum source_state state)
{
    return source_states[state];
}

enum source_state source_state_from_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(source_states); i++)
        if (strcmp(source_states[i], name) == 0)
            return (enum source_state)i;
    return SOURCE_OPEN;
}

const char *run_state_name(enum run_state state)
{
    static const char *const names[] = {"planned", "sweep", "confirm", "settling", "judged"};

    return names[state];
}

struct run *run_free(struct run *run)
{
    if (!run)
        return NULL;
    HASH_CLEAR(hh, run->agents);
    for (size_t i = 0; i < run->source_count; i++)
        mem_free(run->sources[i].work);
    for (size_t i = 0; i < run->assignment_count; i++) {
        mem_free(run->assignments[i].columns);
        mem_free(run->assignments[i].weights);
        mem_free(run->assignments[i].message);
    }
    for (size_t i = 0; i < run->watch_count; i++)
        mem_free(run->watches[i].columns);
    mem_free(run->sources);
    mem_free(run->assignments);
    mem_free(run->items);
    mem_free(run->watches);
    mem_free(run->witnesses);
    mem_free(run->leavers);
    mem_free(run->places);
    mem_free(run->rows);
    plan_deinit(&run->plan);
    store_run_deinit(&run->record);
    fleet_unref(run->fleet);
    arena_deinit(&run->arena);
    mem_free(run);
    return NULL;
}

/* A run is handed out, reported and judged by thousands of agents: none of it may cost a search
 * through all of them each time. */
void run_index_agents(struct run *run)
{
    HASH_CLEAR(hh, run->agents);
    for (size_t i = run->source_count; i > 0; i--) {
        struct run_source *source = &run->sources[i - 1];
        struct run_agent *agent;
        HASH_FIND_STR(run->agents, source->instance, agent);
        source->next = agent ? agent->first : SIZE_MAX;
        if (!agent) {
            agent = arena_alloc(&run->arena, 1, sizeof(*agent));
            agent->instance = source->instance;
            HASH_ADD_KEYPTR(hh, run->agents, agent->instance, strlen(agent->instance), agent);
        }
        agent->first = i - 1;
    }
}

size_t run_first_of_agent(const struct run *run, const char *instance)
{
    struct run_agent *agent;

    HASH_FIND_STR(run->agents, instance, agent);
    return agent ? agent->first : SIZE_MAX;
}

static int by_id(const void *key, const void *element)
{
    int64_t id = *(const int64_t *)key, other = *(const int64_t *)element;

    return id < other ? -1 : id > other;
}

_Static_assert(offsetof(struct run_source, id) == 0 && offsetof(struct run_assignment, id) == 0,
               "by_id() compares the first member");

struct run_source *run_find_source(const struct run *run, int64_t id)
{
    return bsearch(&id, run->sources, run->source_count, sizeof(*run->sources), by_id);
}

struct run_assignment *run_find_assignment(const struct run *run, int64_t id)
{
    return run->assignment_count ? bsearch(&id, run->assignments, run->assignment_count,
                                           sizeof(*run->assignments), by_id)
                                 : NULL;
}

struct run_assignment *run_add_assignment(struct runs *runs, struct run *run, enum work_kind kind,
                                          const char *instance)
{
    struct run_assignment *assignment;

    mem_grow(&run->assignments, run->assignment_count, &run->assignment_capacity,
             sizeof(*run->assignments));
    assignment = &run->assignments[run->assignment_count++];
    *assignment = (struct run_assignment){
        .id = runs->next_assignment++,
        .kind = kind,
        .instance = arena_strdup(&run->arena, instance),
    };
    return assignment;
}

void run_find_places(struct runs *runs, struct run *run)
{
    run->places = mem_array(run->fleet->column_count, sizeof(struct throttle_place *));
    for (size_t c = 0; c < run->fleet->column_count; c++)
        run->places[c] = throttle_place(&runs->throttle, fleet_column_service(run->fleet, c)->name,
                                        fleet_column_check(run->fleet, c)->port);
}

void run_count_work(struct run *run)
{
    run->open_sources = run->todo = 0;
    for (size_t i = 0; i < run->source_count; i++) {
        struct run_source *source = &run->sources[i];
        if (source->state != SOURCE_OPEN)
            continue;
        run->open_sources++;
        run->todo += source->todo;
    }
}

void runs_deinit(struct runs *runs)
{
    while (runs->open_count)
        run_free(runs->open[--runs->open_count]);
    for (size_t i = 0; i < runs->settle_count; i++)
        mem_free(runs->settles[i].instance);
    mem_free(runs->settles);
    throttle_deinit(&runs->throttle);
}

struct run *runs_find(const struct runs *runs, int64_t id)
{
    for (size_t i = 0; i < runs->open_count; i++)
        if (runs->open[i]->record.id == id)
            return runs->open[i];
    return NULL;
}

/* ---- whose an address is ---- */

struct run_ownership {
    struct owner_agent *agents;
    struct ownership *ownership;
};

struct run_ownership *run_ownership_new(const struct runs *runs, const struct run *run)
{
    struct run_ownership *result = mem_alloc(sizeof(*result));
    struct agent *agent, *next;
    size_t count = 0;

    result->agents =
        mem_array(HASH_COUNT(runs->registry->agents) + run->leaver_count, sizeof(*result->agents));
    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        result->agents[count++] = (struct owner_agent){
            .service = agent->service,
            .task = agent->task,
            .mode = agent->mode,
            .netns = agent->netns,
            .addresses = agent->addresses,
            .address_count = agent->address_count,
            .state = agent_is_live(agent) ? OWNER_IS_LIVE : OWNER_IS_LOST,
        };
    }
    for (size_t i = 0; i < run->leaver_count; i++) {
        const struct run_leaver *leaver = &run->leavers[i];
        result->agents[count++] = (struct owner_agent){
            .service = leaver->service,
            .task = leaver->task,
            .mode = leaver->mode,
            .netns = leaver->netns,
            .addresses = leaver->addresses,
            .address_count = leaver->address_count,
            .state = OWNER_HAS_LEFT,
        };
    }
    result->ownership = ownership_new(run->fleet, result->agents, count);
    return result;
}

struct run_ownership *run_ownership_free(struct run_ownership *ownership)
{
    if (ownership) {
        ownership_free(ownership->ownership);
        mem_free(ownership->agents);
    }
    mem_free(ownership);
    return NULL;
}

const struct ownership *run_ownership_get(const struct run_ownership *ownership)
{
    return ownership->ownership;
}

void run_mark_rows(const struct runs *runs, struct run *run)
{
    struct run_ownership *ownership = run_ownership_new(runs, run);

    for (size_t i = 0; i < run->row_count; i++) {
        struct tries_row *row = &run->rows[i];
        size_t service = run->fleet->columns[row->column].service;
        struct owner owner;
        if (!*row->address)
            continue;
        owner = ownership_find(ownership->ownership, service, row->address);
        row->is_reused = ownership_is_reused(ownership->ownership, service, &owner);
        row->has_left = owner.kind == OWNER_LEFT;
    }
    run_ownership_free(ownership);
}

/* ---- the matrix ---- */

struct tries_source *run_tries_sources(const struct runs *runs, const struct run *run)
{
    struct tries_source *sources = mem_array(run->source_count, sizeof(*sources));

    for (size_t i = 0; i < run->source_count; i++) {
        const struct agent *agent = registry_find(runs->registry, run->sources[i].instance);
        sources[i] = (struct tries_source){
            .service = run->sources[i].service,
            .has_left = run->sources[i].state == SOURCE_DEPARTED,
            .is_absent = !agent || !agent_is_live(agent),
        };
    }
    return sources;
}

struct matrix *run_matrix(const struct run *run)
{
    struct matrix_source *sources = mem_array(run->source_count, sizeof(*sources));
    struct matrix_input input = {
        .fleet = run->fleet,
        .sources = sources,
        .source_count = run->source_count,
        .rows = run->rows,
        .row_count = run->row_count,
        .scope = run->plan.scope,
        .live_tasks = run->plan.live_tasks,
        .witnesses = run->witnesses,
        .witness_count = run->witness_count,
        .is_provisional = run->round == 0 || run->record.state < RUN_CONFIRM,
    };
    struct matrix *matrix;

    for (size_t i = 0; i < run->source_count; i++)
        sources[i] = (struct matrix_source){
            .service = run->sources[i].service,
            .has_departed = run->sources[i].state == SOURCE_DEPARTED,
            .is_done = run->sources[i].state == SOURCE_DONE,
        };
    matrix = matrix_build(&input);
    mem_free(sources);
    return matrix;
}

bool runs_have_work(const struct runs *runs)
{
    if (runs->settle_count)
        return true;
    for (size_t i = 0; i < runs->open_count; i++)
        if (runs->open[i]->todo || runs->open[i]->watch_count || runs->open[i]->item_count)
            return true;
    return false;
}

/* ---- taking in ---- */

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
        .is_silent = probe->bytes_in == 0,
    };
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

/* ---- judging ---- */

static void name_the_missing(struct run *run)
{
    for (size_t i = 0; i < run->source_count; i++) {
        struct run_source *source = &run->sources[i];
        if (source->state == SOURCE_OPEN)
            source->state = source->batches ? SOURCE_LATE : SOURCE_MISSING;
        if (source->state != SOURCE_DONE)
            log_warn("run-source", "run=%lld service=%s task=%s state=%s",
                     (long long)run->record.id,
                     LOG_QUOTE(run->fleet->services[source->service].name), LOG_QUOTE(source->task),
                     source_state_name(source->state));
    }
}

struct owner_list {
    struct store_owner *owners;
    size_t count;
};

static int by_address_and_service(const void *a, const void *b)
{
    const struct store_owner *x = a, *y = b;
    int order = strcmp(x->address, y->address);

    return order ? order : (int)(x->service - y->service);
}

/* Every endpoint's address once for each service that was looked for there. */
static struct owner_list list_owners(const struct runs *runs, const struct run *run,
                                     struct arena *arena)
{
    struct owner_list list = {mem_array(run->row_count, sizeof(struct store_owner)), 0};
    struct run_ownership *ownership = run_ownership_new(runs, run);
    size_t kept = 0;

    for (size_t i = 0; i < run->row_count; i++)
        if (*run->rows[i].address)
            list.owners[list.count++] = (struct store_owner){
                .address = run->rows[i].address,
                .service = (int64_t)run->fleet->columns[run->rows[i].column].service,
            };
    qsort(list.owners, list.count, sizeof(*list.owners), by_address_and_service);
    for (size_t i = 0; i < list.count; i++) {
        CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);
        if (kept && by_address_and_service(&list.owners[kept - 1], &list.owners[i]) == 0)
            continue;
        list.owners[kept] = list.owners[i];
        view_owner(ownership->ownership, (size_t)list.owners[kept].service,
                   list.owners[kept].address, &json);
        list.owners[kept++].json = arena_strdup(arena, buf_text(&json));
    }
    list.count = kept;
    run_ownership_free(ownership);
    return list;
}

static int store_verdict(struct runs *runs, struct run *run, const struct matrix *matrix)
{
    struct store_source *sources = mem_array(run->source_count, sizeof(*sources));
    struct store_cell *cells = mem_array(matrix->rows * matrix->columns, sizeof(*cells));
    struct arena arena = {0};
    struct owner_list owners = list_owners(runs, run, &arena);
    size_t cell_count = 0;
    int r;

    for (size_t i = 0; i < run->source_count; i++) {
        sources[i].id = run->sources[i].id;
        sources[i].state = source_state_name(run->sources[i].state);
    }
    for (size_t s = 0; s < matrix->rows; s++)
        for (size_t c = 0; c < matrix->columns; c++) {
            CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);
            if (matrix_at(matrix, s, c)->state == CELL_ABSENT)
                continue;
            view_cell(run, matrix, s, c, &json);
            cells[cell_count++] =
                (struct store_cell){(int64_t)s, (int64_t)c, arena_strdup(&arena, buf_text(&json))};
        }
    r = store_judge_run(runs->store, &run->record, sources, run->source_count, cells, cell_count,
                        owners.owners, owners.count);
    arena_deinit(&arena);
    mem_free(owners.owners);
    mem_free(cells);
    mem_free(sources);
    return r;
}

/* 0 once the verdict is stored. */
static int judge(struct runs *runs, struct run *run)
{
    struct matrix *matrix;
    int r;

    run_mark_rows(runs, run);
    matrix = run_matrix(run);
    run->record.finished_ms = clock_wall_ms();
    run->record.verdict = (int)matrix->verdict;
    run->record.is_incomplete = matrix->is_incomplete;
    r = store_verdict(runs, run, matrix);
    if (r == 0)
        log_info("run-judged", "run=%lld verdict=%s incomplete=%s rows=%zu ms=%lld",
                 (long long)run->record.id, verdict_name(matrix->verdict),
                 matrix->is_incomplete ? "yes" : "no", run->row_count,
                 (long long)(run->record.finished_ms - run->record.created_ms));
    else
        log_error("verdict-not-stored", "run=%lld error=%s", (long long)run->record.id,
                  LOG_QUOTE(store_problem(runs->store)));
    matrix_free(matrix);
    return r;
}

/* ---- from state to state ---- */

/* Those that hold places are among the last: what comes before is skipped. */
static size_t first_held(struct run *run)
{
    while (run->first_held < run->assignment_count && !run->assignments[run->first_held].holds)
        run->first_held++;
    return run->first_held;
}

static void release_what_is_over(struct runs *runs, struct run *run, uint64_t now_us)
{
    for (size_t i = first_held(run); i < run->assignment_count; i++)
        if (run->assignments[i].holds && now_us >= run->assignments[i].release_us)
            run_release(runs, run, &run->assignments[i]);
}

static void open_gate(struct run *run, uint64_t now_us)
{
    unsigned round = run->record.state >= RUN_CONFIRM ? 1 : 0;

    if (run->gate_us &&
        (now_us >= run->gate_us || (run->watch_count && run_are_watches_on(run, round))))
        run->gate_us = 0;
}

/* True once it is judged. */
static bool advance(struct runs *runs, struct run *run, uint64_t now_us)
{
    bool is_over = now_us >= run->deadline_us;

    release_what_is_over(runs, run, now_us);
    open_gate(run, now_us);
    if (run->record.state < RUN_CONFIRM && (is_over || (!run->open_sources && !run->gate_us))) {
        name_the_missing(run);
        run_begin_confirm(runs, run, now_us);
        is_over = now_us >= run->deadline_us;
    }
    if (run->record.state == RUN_CONFIRM && (is_over || run_is_round_over(run))) {
        run_end_round(runs, run, now_us);
        is_over = now_us >= run->deadline_us;
    }
    if (run->record.state == RUN_SETTLING && (is_over || run_has_settled(run))) {
        if (judge(runs, run) == 0)
            return true;
        run->deadline_us = now_us + 1000000; /* the store said no: again in a second */
    }
    return false;
}

static void be_earlier(uint64_t *at, uint64_t other)
{
    if (other && (!*at || other < *at))
        *at = other;
}

/* The next moment at which something happens by itself. */
static uint64_t next_moment(struct run *run, uint64_t now_us)
{
    uint64_t next = run->deadline_us;

    be_earlier(&next, run->gate_us);
    for (size_t i = first_held(run); i < run->assignment_count; i++)
        if (run->assignments[i].holds)
            be_earlier(&next, run->assignments[i].release_us);
    for (size_t c = 0; c < run->fleet->column_count; c++)
        be_earlier(&next, throttle_retry_us(run->places[c], now_us));
    return next > now_us ? next : now_us + 1000;
}

uint64_t runs_tick(struct runs *runs, uint64_t now_us)
{
    uint64_t next = 0;
    size_t kept = 0;

    for (size_t i = 0; i < runs->open_count; i++) {
        struct run *run = runs->open[i];
        if (advance(runs, run, now_us)) {
            run_drop_watches(runs, run);
            run_free(run);
            continue;
        }
        runs->open[kept++] = run;
        be_earlier(&next, next_moment(run, now_us));
    }
    runs->open_count = kept;
    return next;
}
