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
    run_update_source(&source);
    mem_grow(&run->sources, run->source_count, &resume->capacity, sizeof(*run->sources));
    run->sources[run->source_count++] = source;
}

static void resume_row(void *ctx, int64_t assignment, const struct proto_probe *probe)
{
    struct run *run = ((struct resume *)ctx)->run;

    const struct run_source *source = run_find_source(run, assignment);

    if (source && (uint64_t)probe->target < run->fleet->column_count)
        run_add_row(run, (uint32_t)(source - run->sources), probe);
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
        run_index_agents(resume.run);
        log_info("run-resumed", "run=%lld tasks=%zu rows=%zu", (long long)resume.run->record.id,
                 resume.run->source_count, resume.run->row_count);
    }
    return r < 0 ? error_set(err, r, "open runs cannot be read: %s", store_problem(runs->store))
                 : 0;
}
