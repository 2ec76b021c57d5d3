/* The runs that a former collector left open, out of the store. */
#include "collector/run_internal.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

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

static void resume_source(void *ctx, const struct store_source *stored)
{
    struct resume *resume = ctx;
    struct run *run = resume->run;
    uint32_t *columns;
    size_t count;
    struct run_source source = {
        .id = stored->id,
        .service = fleet_find_service(run->fleet, stored->service),
        .task = arena_strdup(&run->arena, stored->task),
        .instance = arena_strdup(&run->arena, stored->instance),
        .zone = arena_strdup(&run->arena, stored->zone),
        .state = source_state_from_name(stored->state),
    };

    if (source.service == SIZE_MAX)
        return;
    source.work = mem_array(run->fleet->column_count, sizeof(*source.work));
    columns = mem_array(run->fleet->column_count, sizeof(*columns));
    count = read_numbers(stored->columns, columns, run->fleet->column_count);
    for (size_t i = 0; i < count; i++)
        if (columns[i] < run->fleet->column_count && source.work[columns[i]] == COLUMN_NONE) {
            source.work[columns[i]] = COLUMN_TODO;
            source.column_count++;
            run->plan.scope[source.service * run->fleet->column_count + columns[i]] = true;
        }
    mem_free(columns);
    source.todo = source.undone = source.column_count;
    mem_grow(&run->sources, run->source_count, &resume->capacity, sizeof(*run->sources));
    run->sources[run->source_count++] = source;
}

/* What an agent has in hand it goes on with; what it may never have got is sent again. */
static void resume_sweep(struct run *run, const struct store_assignment *stored,
                         struct run_assignment *assignment)
{
    struct run_source *source = &run->sources[assignment->source];

    assignment->columns = mem_array(run->fleet->column_count, sizeof(*assignment->columns));
    assignment->weights = mem_array(run->fleet->column_count, sizeof(*assignment->weights));
    assignment->column_count =
        read_numbers(stored->columns, assignment->columns, run->fleet->column_count);
    source->batches += stored->batches;
    source->dropped += stored->dropped;
    if (assignment->is_done) {
        run_finish_columns(run, assignment);
        return;
    }
    for (size_t i = 0; i < assignment->column_count; i++)
        if (source->work[assignment->columns[i]] == COLUMN_TODO) {
            source->work[assignment->columns[i]] = COLUMN_GIVEN;
            source->todo--;
        }
    assignment->message = mem_strdup(stored->message);
    assignment->message_length = strlen(stored->message);
    source->unreceived = assignment->id;
}

static void resume_assignment(void *ctx, const struct store_assignment *stored)
{
    struct resume *resume = ctx;
    struct run *run = resume->run;
    struct run_source *source = run_find_source(run, stored->source);
    bool is_watch = strcmp(stored->kind, "watch") == 0;
    struct run_assignment *assignment;

    if (!source && !is_watch)
        return;
    assignment = run_add_assignment(resume->runs, run, WORK_SWEEP, stored->instance);
    assignment->id = stored->id;
    assignment->round = (unsigned)stored->round;
    assignment->batches = stored->batches;
    assignment->last_batch = stored->last_batch;
    assignment->dropped = stored->dropped;
    assignment->is_done = stored->last_batch && stored->batches >= stored->last_batch;
    assignment->source = is_watch ? SIZE_MAX : (size_t)(source - run->sources);
    if (strcmp(stored->kind, "sweep") == 0)
        resume_sweep(run, stored, assignment);
    else
        assignment->kind = is_watch ? WORK_WATCH : WORK_CONFIRM;
}

static void resume_row(void *ctx, int64_t id, const struct proto_probe *probe)
{
    struct run *run = ((struct resume *)ctx)->run;
    const struct run_assignment *assignment = run_find_assignment(run, id);

    if (assignment && assignment->source != SIZE_MAX &&
        (uint64_t)probe->target < run->fleet->column_count)
        run_add_row(run, assignment->source, assignment->round, probe);
}

static void resume_answer(void *ctx, int64_t id, const struct proto_resolution *resolution)
{
    struct run *run = ((struct resume *)ctx)->run;
    const struct run_assignment *assignment = run_find_assignment(run, id);

    if (assignment && assignment->source != SIZE_MAX)
        run_add_answer(run, assignment->source, resolution);
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
    struct options_list from = {0}, to = {0}, about = {0}, without = {0};
    struct planner_input input = {.fleet = run->fleet,
                                  .from = &from,
                                  .to = &to,
                                  .about = &about,
                                  .without = &without,
                                  .sample = 1};

    read_scope_list(scope, "from", &from);
    read_scope_list(scope, "to", &to);
    read_scope_list(scope, "about", &about);
    read_scope_list(scope, "without", &without);
    if (planner_plan(&input, &run->plan, NULL) < 0) {
        /* It was valid when it was stored; a damaged row is planned as everything. */
        options_list_deinit(&from);
        options_list_deinit(&to);
        options_list_deinit(&about);
        options_list_deinit(&without);
        planner_plan(&input, &run->plan, NULL);
    }
    options_list_deinit(&from);
    options_list_deinit(&to);
    options_list_deinit(&about);
    options_list_deinit(&without);
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
    run->limit_us = resume->now_us + (uint64_t)left_ms * 1000;
    run->provisional = -1;
    run->is_light = run_is_light(record->trigger);
    resume_plan(run);
    /* Newest first from the store; oldest first here. */
    memmove(runs->open + 1, runs->open, runs->open_count * sizeof(*runs->open));
    runs->open[0] = run;
    runs->open_count++;
}

/* Confirmation begins anew with what was not confirmed: its rows so far count. The agents need a
 * moment to come back. */
static void resume_state(struct runs *runs, struct run *run, uint64_t now_us)
{
    int64_t left_ms = (int64_t)((run->limit_us - now_us) / 1000);

    run_index_agents(run);
    run_find_places(runs, run);
    run_count_work(run);
    run->deadline_us = now_us + (uint64_t)run_sweep_ms(run, left_ms) * 1000;
    if (run->record.state >= RUN_CONFIRM) {
        run->record.state = RUN_SWEEP;
        run->gate_us = now_us + RUN_RESUME_GATE_MS * 1000;
    }
}

int runs_resume(struct runs *runs, uint64_t now_us, struct error *err)
{
    struct resume resume = {.runs = runs, .now_us = now_us};
    int r = store_each_run(runs->store, 0, RUN_OPEN_MAX, true, resume_run, &resume);

    runs->next_assignment = store_first_assignment(runs->store);
    for (size_t i = 0; i < runs->open_count && r == 0; i++) {
        resume.run = runs->open[i];
        resume.capacity = 0;
        r = store_each_source(runs->store, resume.run->record.id, resume_source, &resume);
        if (r == 0)
            r = store_each_assignment(runs->store, resume.run->record.id, resume_assignment,
                                      &resume);
        if (r == 0)
            r = store_each_probe(runs->store, resume.run->record.id, -1, resume_row, &resume);
        if (r == 0)
            r = store_each_resolution(runs->store, resume.run->record.id, resume_answer, &resume);
        resume_state(runs, resume.run, now_us);
        log_info("run-resumed", "run=%lld tasks=%zu rows=%zu", (long long)resume.run->record.id,
                 resume.run->source_count, resume.run->row_count);
    }
    return r < 0 ? error_set(err, r, "open runs cannot be read: %s", store_problem(runs->store))
                 : 0;
}
