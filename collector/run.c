#include "collector/run_internal.h"

#include "collector/view.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
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
    static const char *const names[] = {"planned", "sweep", "judged"};

    return names[state];
}

struct run *run_free(struct run *run)
{
    if (!run)
        return NULL;
    HASH_CLEAR(hh, run->agents);
    for (size_t i = 0; i < run->source_count; i++)
        mem_free(run->sources[i].columns);
    mem_free(run->sources);
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

static size_t first_of_agent(const struct run *run, const char *instance)
{
    struct run_agent *agent;

    HASH_FIND_STR(run->agents, instance, agent);
    return agent ? agent->first : SIZE_MAX;
}

struct run_source *run_find_source(const struct run *run, int64_t assignment)
{
    size_t low = 0, high = run->source_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (run->sources[middle].assignment < assignment)
            low = middle + 1;
        else
            high = middle;
    }
    return low < run->source_count && run->sources[low].assignment == assignment
               ? &run->sources[low]
               : NULL;
}

void runs_deinit(struct runs *runs)
{
    while (runs->open_count)
        run_free(runs->open[--runs->open_count]);
}

struct run *runs_find(const struct runs *runs, int64_t id)
{
    for (size_t i = 0; i < runs->open_count; i++)
        if (runs->open[i]->record.id == id)
            return runs->open[i];
    return NULL;
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

/* ---- handing out ---- */

static void fill_target(const struct run *run, const struct run_source *source, uint32_t column,
                        struct proto_target *target)
{
    const struct fleet_service *service = fleet_column_service(run->fleet, column);
    const struct fleet_check *check = fleet_column_check(run->fleet, column);

    *target = (struct proto_target){
        .id = column,
        .check = check->type,
        .record = service->record,
        .names = service->names,
        .name_count = service->name_count,
        .port = check->port,
        .timeout_ms = check->timeout_ms,
        .is_sibling = run->fleet->columns[column].service == source->service,
        .path = check->path,
        .status = check->status,
        .is_tls = check->is_tls,
        .is_unverified = check->is_unverified,
        .server = check->server,
        .alpn = check->alpn,
        .method = check->method,
        .host = check->host,
        .match = check->match,
        .send = check->send,
        .health = check->health,
        .rate_bytes = check->rate_bytes,
    };
}

static void fill_assignment(const struct run *run, const struct run_source *source, uint64_t now_us,
                            struct proto_message *message)
{
    struct proto_assignment *assignment = &message->assignment;

    message->type = PROTO_ASSIGNMENT;
    assignment->id = source->assignment;
    assignment->run = run->record.id;
    assignment->deadline_ms =
        run->deadline_us > now_us ? (int64_t)((run->deadline_us - now_us) / 1000) : 0;
    assignment->targets =
        arena_alloc(&message->arena, source->column_count, sizeof(*assignment->targets));
    assignment->target_count = source->column_count;
    for (size_t i = 0; i < source->column_count; i++)
        fill_target(run, source, source->columns[i], &assignment->targets[i]);
}

static bool has_got(const struct agent *agent, int64_t assignment)
{
    for (size_t i = 0; i < agent->got_count; i++)
        if (agent->got[i] == assignment)
            return true;
    return false;
}

static bool next_of_run(struct runs *runs, struct run *run, const struct agent *agent,
                        uint64_t now_us, struct proto_message *message)
{
    for (size_t i = first_of_agent(run, agent->instance); i != SIZE_MAX; i = run->sources[i].next) {
        const struct run_source *source = &run->sources[i];
        if (source->state != SOURCE_OPEN || has_got(agent, source->assignment))
            continue;
        fill_assignment(run, source, now_us, message);
        if (run->record.state == RUN_PLANNED &&
            store_set_run_state(runs->store, run->record.id, RUN_SWEEP) == 0)
            run->record.state = RUN_SWEEP;
        return true;
    }
    return false;
}

bool runs_next_assignment(struct runs *runs, const struct agent *agent, uint64_t now_us,
                          struct proto_message *message)
{
    for (int scheduled = 0; scheduled < 2; scheduled++)
        for (size_t i = 0; i < runs->open_count; i++) {
            struct run *run = runs->open[i];
            if ((strcmp(run->record.trigger, "schedule") == 0) == scheduled &&
                next_of_run(runs, run, agent, now_us, message))
                return true;
        }
    return false;
}

/* ---- taking in ---- */

static struct run_source *find_source(struct runs *runs, int64_t run_id, int64_t assignment,
                                      struct run **ret_run)
{
    struct run *run = runs_find(runs, run_id);

    *ret_run = run;
    return run ? run_find_source(run, assignment) : NULL;
}

struct match {
    const struct proto_report *report;
    bool is_match;
};

static void compare(void *ctx, const struct store_assignment *assignment)
{
    struct match *match = ctx;

    match->is_match = strcmp(assignment->instance, match->report->instance) == 0 &&
                      assignment->run == match->report->run;
}

static bool targets_are_planned(const struct run *run, const struct proto_report *report)
{
    for (size_t i = 0; i < report->probe_count; i++)
        if ((uint64_t)report->probes[i].target >= run->fleet->column_count)
            return false;
    return true;
}

enum report_kind runs_classify(struct runs *runs, const struct proto_report *report)
{
    struct match match = {.report = report};
    struct run *run;
    const struct run_source *source = find_source(runs, report->run, report->assignment, &run);

    if (source)
        return strcmp(source->instance, report->instance) == 0 && targets_are_planned(run, report)
                   ? REPORT_IN_TIME
                   : REPORT_UNKNOWN;
    if (run || store_get_assignment(runs->store, report->assignment, compare, &match) < 0)
        return REPORT_UNKNOWN;
    return match.is_match ? REPORT_LATE : REPORT_UNKNOWN;
}

void run_add_row(struct run *run, uint32_t source, const struct proto_probe *probe)
{
    if (run->row_count == RUN_ROWS_MAX) {
        run->sources[source].dropped++; /* stored, but not judged: the run is incomplete */
        return;
    }
    mem_grow(&run->rows, run->row_count, &run->row_capacity, sizeof(*run->rows));
    run->rows[run->row_count++] = (struct matrix_row){
        .source = source,
        .column = (uint32_t)probe->target,
        .address = arena_strdup(&run->arena, probe->address),
        .port = (uint16_t)probe->port,
        .phase = (uint8_t)probe->phase,
        .outcome = (uint8_t)probe->outcome,
        .error = (uint16_t)probe->error,
        .status = (uint16_t)probe->status,
    };
}

void run_update_source(struct run_source *source)
{
    if (source->state == SOURCE_OPEN && source->last_batch && source->batches >= source->last_batch)
        source->state = source->dropped ? SOURCE_DROPPED : SOURCE_DONE;
}

void runs_apply(struct runs *runs, const struct proto_report *report)
{
    struct run *run;
    struct run_source *source = find_source(runs, report->run, report->assignment, &run);

    if (!source)
        return;
    for (size_t i = 0; i < report->probe_count; i++)
        run_add_row(run, (uint32_t)(source - run->sources), &report->probes[i]);
    source->batches++;
    if (report->dropped > source->dropped)
        source->dropped = report->dropped;
    if (report->is_last)
        source->last_batch = report->batch;
    run_update_source(source);
}

void runs_agent_gone(struct runs *runs, const char *instance, bool has_departed)
{
    for (size_t i = 0; i < runs->open_count; i++) {
        struct run *run = runs->open[i];
        for (size_t j = first_of_agent(run, instance); j != SIZE_MAX; j = run->sources[j].next)
            if (run->sources[j].state == SOURCE_OPEN)
                run->sources[j].state = has_departed ? SOURCE_DEPARTED : SOURCE_MISSING;
    }
}

/* ---- judging ---- */

static bool is_complete(const struct run *run)
{
    for (size_t i = 0; i < run->source_count; i++)
        if (run->sources[i].state == SOURCE_OPEN)
            return false;
    return true;
}

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

static int store_verdict(struct runs *runs, struct run *run, const struct matrix *matrix)
{
    struct store_assignment *assignments = mem_array(run->source_count, sizeof(*assignments));
    struct store_cell *cells = mem_array(matrix->rows * matrix->columns, sizeof(*cells));
    struct arena arena = {0};
    size_t cell_count = 0;
    int r;

    for (size_t i = 0; i < run->source_count; i++) {
        assignments[i].id = run->sources[i].assignment;
        assignments[i].state = source_state_name(run->sources[i].state);
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
    r = store_judge_run(runs->store, &run->record, assignments, run->source_count, cells,
                        cell_count);
    arena_deinit(&arena);
    mem_free(cells);
    mem_free(assignments);
    return r;
}

/* 0 once the verdict is stored. */
static int judge(struct runs *runs, struct run *run)
{
    struct matrix *matrix;
    int r;

    name_the_missing(run);
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

uint64_t runs_tick(struct runs *runs, uint64_t now_us)
{
    uint64_t next = 0;
    size_t kept = 0;

    for (size_t i = 0; i < runs->open_count; i++) {
        struct run *run = runs->open[i];
        if ((is_complete(run) || now_us >= run->deadline_us) && judge(runs, run) == 0) {
            run_free(run);
            continue;
        }
        runs->open[kept++] = run;
        if (run->deadline_us <= now_us)
            run->deadline_us = now_us + 1000000; /* the store said no: again in a second */
        if (!next || run->deadline_us < next)
            next = run->deadline_us;
    }
    runs->open_count = kept;
    return next;
}
