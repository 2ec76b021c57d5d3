#include "collector/run.h"

#include "collector/view.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

static const char *const source_states[] = {"open",    "done", "departed",
                                            "missing", "late", "dropped"};

const char *source_state_name(enum source_state state)
{
    return source_states[state];
}

static enum source_state source_state_from_name(const char *name)
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

static struct run *run_free(struct run *run)
{
    if (!run)
        return NULL;
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

/* ---- planning ---- */

static size_t target_bytes(const struct fleet *fleet, size_t column)
{
    const struct fleet_service *service = fleet_column_service(fleet, column);
    const struct fleet_check *check = fleet_column_check(fleet, column);
    size_t bytes = 64 + strlen(check->path) + strlen(check->status);

    for (size_t i = 0; i < service->name_count; i++)
        bytes += strlen(service->names[i]) + 3;
    return bytes;
}

/* Fills `source->columns` from `*column` on, up to the size of one message; moves `*column`. */
static void take_columns(const struct run *run, struct run_source *source, size_t *column)
{
    const struct fleet *fleet = run->fleet;
    size_t bytes = 0, capacity = 0;

    for (; *column < fleet->column_count && bytes < RUN_ASSIGNMENT_BYTES; ++*column) {
        if (!plan_wants(&run->plan, fleet, source->service, *column))
            continue;
        bytes += target_bytes(fleet, *column);
        mem_grow(&source->columns, source->column_count, &capacity, sizeof(*source->columns));
        source->columns[source->column_count++] = (uint32_t)*column;
    }
}

static void add_sources(struct run *run, const struct agent *agent, size_t service,
                        size_t *capacity)
{
    size_t column = 0;

    while (column < run->fleet->column_count) {
        struct run_source source = {
            .service = service,
            .task = arena_strdup(&run->arena, agent->task),
            .instance = arena_strdup(&run->arena, agent->instance),
            .zone = arena_strdup(&run->arena, agent->zone),
        };
        take_columns(run, &source, &column);
        if (!source.column_count)
            continue;
        mem_grow(&run->sources, run->source_count, capacity, sizeof(*run->sources));
        run->sources[run->source_count++] = source;
    }
}

static size_t collect_tasks(const struct runs *runs, uint64_t now_us, struct planner_task *tasks)
{
    struct agent *agent, *next;
    size_t count = 0;

    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        size_t service = fleet_find_service(runs->fleet, agent->service);
        if (service == SIZE_MAX || !runs->fleet->services[service].has_agents ||
            !agent_is_expected(agent, now_us))
            continue;
        tasks[count++] = (struct planner_task){service, agent->task, agent};
    }
    return count;
}

static int plan_sources(struct runs *runs, struct run *run, const struct run_request *request,
                        uint64_t now_us, struct error *err)
{
    struct planner_task *tasks = mem_array(HASH_COUNT(runs->registry->agents), sizeof(*tasks));
    struct planner_input input = {
        .fleet = run->fleet,
        .tasks = tasks,
        .from = &request->from,
        .to = &request->to,
        .seed = store_seed(runs->store),
        .sample = runs->sample,
    };
    struct store_run last = {0};
    size_t capacity = 0;
    int r;

    if (store_get_run(runs->store, 0, &last) == 0)
        input.number = (uint64_t)last.id + 1;
    store_run_deinit(&last);
    input.task_count = collect_tasks(runs, now_us, tasks);
    r = planner_plan(&input, &run->plan, err);
    for (size_t i = 0; r == 0 && i < run->plan.chosen_count; i++) {
        const struct planner_task *task = &tasks[run->plan.chosen[i]];
        add_sources(run, task->ctx, task->service, &capacity);
    }
    mem_free(tasks);
    return r;
}

/* What the slowest task needs: its names at the agents' DNS rate, then the longest time-out. */
static int64_t needed_ms(const struct run *run)
{
    int64_t timeout_ms = 0, names = 0;

    for (size_t c = 0; c < run->fleet->column_count; c++) {
        int64_t ms = fleet_column_check(run->fleet, c)->timeout_ms;
        timeout_ms = ms > timeout_ms ? ms : timeout_ms;
        names += (int64_t)fleet_column_service(run->fleet, c)->name_count;
    }
    return timeout_ms + PROTO_DNS_MS + names * 2 * 1000 / PROTO_DNS_RATE + RUN_SLACK_MS;
}

static void put_names(struct buf *out, const struct options_list *list)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        buf_puts(out, i ? "," : "");
        buf_put_json(out, list->items[i]);
    }
    buf_putc(out, ']');
}

static char *scope_json(const struct run_request *request)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    buf_puts(&out, "{\"from\":");
    put_names(&out, &request->from);
    buf_puts(&out, ",\"to\":");
    put_names(&out, &request->to);
    buf_putc(&out, '}');
    return mem_strdup(buf_text(&out));
}

static char *numbers_json(const uint32_t *numbers, size_t count)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    buf_putc(&out, '[');
    for (size_t i = 0; i < count; i++)
        buf_printf(&out, "%s%u", i ? "," : "", numbers[i]);
    buf_putc(&out, ']');
    return mem_strdup(buf_text(&out));
}

static int store_plan(struct runs *runs, struct run *run)
{
    struct store_assignment *assignments = mem_array(run->source_count, sizeof(*assignments));
    char **columns = mem_array(run->source_count, sizeof(*columns));
    int r;

    for (size_t i = 0; i < run->source_count; i++) {
        const struct run_source *source = &run->sources[i];
        columns[i] = numbers_json(source->columns, source->column_count);
        assignments[i] = (struct store_assignment){
            .service = run->fleet->services[source->service].name,
            .task = source->task,
            .instance = source->instance,
            .zone = source->zone,
            .columns = columns[i],
        };
    }
    r = store_put_run(runs->store, &run->record, assignments, run->source_count);
    for (size_t i = 0; i < run->source_count; i++) {
        run->sources[i].assignment = assignments[i].id;
        mem_free(columns[i]);
    }
    mem_free(columns);
    mem_free(assignments);
    return r;
}

int runs_start(struct runs *runs, const struct run_request *request, uint64_t now_us,
               struct run **ret_run, struct error *err)
{
    struct run *run;
    int64_t limit_ms;
    int r;

    if (runs->open_count == RUN_OPEN_MAX)
        return error_set(err, -EBUSY, "%d runs are open; wait for one to end", RUN_OPEN_MAX);
    run = mem_alloc(sizeof(*run));
    run->fleet = fleet_ref(runs->fleet);
    r = plan_sources(runs, run, request, now_us, err);
    if (r < 0) {
        run_free(run);
        return r;
    }
    limit_ms = request->deadline_ms ? request->deadline_ms : needed_ms(run);
    run->record.fleet = runs->fleet_id;
    run->record.created_ms = clock_wall_ms();
    run->record.deadline_ms = run->record.created_ms + limit_ms;
    run->record.verdict = -1;
    run->record.scope = scope_json(request);
    run->record.live = numbers_json(run->plan.live_tasks, run->fleet->service_count);
    text_copy(run->record.trigger, sizeof(run->record.trigger), request->trigger);
    run->deadline_us = now_us + (uint64_t)limit_ms * 1000;
    r = store_plan(runs, run);
    if (r < 0) {
        error_set(err, r, "the run cannot be stored: %s", store_problem(runs->store));
        run_free(run);
        return r;
    }
    runs->open[runs->open_count++] = run;
    log_info("run-planned", "run=%lld trigger=%s tasks=%zu deadline_ms=%lld",
             (long long)run->record.id, run->record.trigger, run->source_count,
             (long long)limit_ms);
    *ret_run = run;
    return 0;
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
    for (size_t i = 0; i < run->source_count; i++) {
        const struct run_source *source = &run->sources[i];
        if (source->state != SOURCE_OPEN || strcmp(source->instance, agent->instance) != 0 ||
            has_got(agent, source->assignment))
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
    for (size_t i = 0; run && i < run->source_count; i++)
        if (run->sources[i].assignment == assignment)
            return &run->sources[i];
    return NULL;
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

static void add_row(struct run *run, uint32_t source, const struct proto_probe *probe)
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

/* Done once its last batch and all before it are stored. */
static void update_source(struct run_source *source)
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
        add_row(run, (uint32_t)(source - run->sources), &report->probes[i]);
    source->batches++;
    if (report->dropped > source->dropped)
        source->dropped = report->dropped;
    if (report->is_last)
        source->last_batch = report->batch;
    update_source(source);
}

void runs_agent_gone(struct runs *runs, const char *instance, bool has_departed)
{
    for (size_t i = 0; i < runs->open_count; i++)
        for (size_t j = 0; j < runs->open[i]->source_count; j++) {
            struct run_source *source = &runs->open[i]->sources[j];
            if (source->state == SOURCE_OPEN && strcmp(source->instance, instance) == 0)
                source->state = has_departed ? SOURCE_DEPARTED : SOURCE_MISSING;
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

/* ---- resuming ---- */

struct resume {
    struct runs *runs;
    struct run *run;
    size_t capacity;
    uint64_t now_us;
};

static size_t read_numbers(const char *json, uint32_t *out, size_t max)
{
    CLEANUP_JSON cJSON *list = json_parse(json, strlen(json), 2, NULL);
    const cJSON *item;
    size_t count = 0;

    cJSON_ArrayForEach(item, list)
    {
        int64_t value;
        if (count < max && json_is_int(item, &value) && value >= 0)
            out[count++] = (uint32_t)value;
    }
    return count;
}

static void resume_source(void *ctx, const struct store_assignment *assignment)
{
    struct resume *resume = ctx;
    struct run *run = resume->run;
    struct run_source source = {
        .assignment = assignment->id,
        .service = fleet_find_service(run->fleet, assignment->service),
        .task = arena_strdup(&run->arena, assignment->task),
        .instance = arena_strdup(&run->arena, assignment->instance),
        .zone = arena_strdup(&run->arena, assignment->zone),
        .state = source_state_from_name(assignment->state),
        .batches = assignment->batches,
        .last_batch = assignment->last_batch,
        .dropped = assignment->dropped,
    };

    if (source.service == SIZE_MAX)
        return;
    source.columns = mem_array(run->fleet->column_count, sizeof(*source.columns));
    source.column_count =
        read_numbers(assignment->columns, source.columns, run->fleet->column_count);
    for (size_t i = 0; i < source.column_count; i++)
        if (source.columns[i] < run->fleet->column_count)
            run->plan.scope[source.service * run->fleet->column_count + source.columns[i]] = true;
    update_source(&source);
    mem_grow(&run->sources, run->source_count, &resume->capacity, sizeof(*run->sources));
    run->sources[run->source_count++] = source;
}

static void resume_row(void *ctx, int64_t assignment, const struct proto_probe *probe)
{
    struct run *run = ((struct resume *)ctx)->run;

    for (size_t i = 0; i < run->source_count; i++)
        if (run->sources[i].assignment == assignment &&
            (uint64_t)probe->target < run->fleet->column_count)
            add_row(run, (uint32_t)i, probe);
}

static void read_scope_list(const cJSON *scope, const char *key, struct options_list *list)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(scope, key))
    {
        if (cJSON_IsString(item))
            options_list_add(list, item->valuestring, strlen(item->valuestring));
    }
}

/* The scope again, from what was asked: also the pairs that no task was there to probe. */
static void resume_plan(struct run *run)
{
    CLEANUP_JSON cJSON *scope = json_parse(run->record.scope, strlen(run->record.scope), 3, NULL);
    struct options_list from = {0}, to = {0};
    struct planner_input input = {.fleet = run->fleet, .from = &from, .to = &to, .sample = 1};

    read_scope_list(scope, "from", &from);
    read_scope_list(scope, "to", &to);
    if (planner_plan(&input, &run->plan, NULL) < 0) {
        /* It was valid when it was stored; a damaged row is planned as everything. */
        options_list_deinit(&from);
        options_list_deinit(&to);
        planner_plan(&input, &run->plan, NULL);
    }
    options_list_deinit(&from);
    options_list_deinit(&to);
    read_numbers(run->record.live, run->plan.live_tasks, run->fleet->service_count);
}

static struct fleet *load_fleet(struct runs *runs, int64_t id)
{
    struct fleet_messages messages = {0};
    size_t length = 0;
    char *text = store_get_fleet(runs->store, id, &length);
    struct fleet *fleet = text ? fleet_parse("store", text, length, &messages) : NULL;

    fleet_messages_deinit(&messages);
    mem_free(text);
    return fleet;
}

static void resume_run(void *ctx, const struct store_run *record)
{
    struct resume *resume = ctx;
    struct runs *runs = resume->runs;
    struct run *run;
    int64_t left_ms = record->deadline_ms - clock_wall_ms();

    if (runs->open_count == RUN_OPEN_MAX)
        return;
    run = mem_alloc(sizeof(*run));
    run->record = *record;
    run->record.scope = mem_strdup(record->scope);
    run->record.live = mem_strdup(record->live);
    run->fleet = load_fleet(runs, record->fleet);
    if (!run->fleet) {
        log_error("run-not-resumed", "run=%lld error=\"its fleet cannot be read\"",
                  (long long)record->id);
        run_free(run);
        return;
    }
    if (left_ms < RUN_RESUME_GRACE_MS)
        left_ms = RUN_RESUME_GRACE_MS;
    if (left_ms > RUN_DEADLINE_MAX_MS)
        left_ms = RUN_DEADLINE_MAX_MS;
    run->deadline_us = resume->now_us + (uint64_t)left_ms * 1000;
    resume_plan(run);
    /* Newest first from the store; oldest first here. */
    memmove(runs->open + 1, runs->open, runs->open_count * sizeof(*runs->open));
    runs->open[0] = run;
    runs->open_count++;
}

int runs_resume(struct runs *runs, uint64_t now_us, struct error *err)
{
    struct resume resume = {.runs = runs, .now_us = now_us};
    int r = store_each_run(runs->store, 0, RUN_OPEN_MAX, true, resume_run, &resume);

    for (size_t i = 0; i < runs->open_count && r == 0; i++) {
        resume.run = runs->open[i];
        resume.capacity = 0;
        r = store_each_assignment(runs->store, resume.run->record.id, resume_source, &resume);
        if (r == 0)
            r = store_each_probe(runs->store, resume.run->record.id, -1, resume_row, &resume);
        log_info("run-resumed", "run=%lld tasks=%zu rows=%zu", (long long)resume.run->record.id,
                 resume.run->source_count, resume.run->row_count);
    }
    return r < 0 ? error_set(err, r, "open runs cannot be read: %s", store_problem(runs->store))
                 : 0;
}
