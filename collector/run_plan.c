/* The start of a run: who probes what, until when; stored before anybody is told. */
#include "collector/run_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <string.h>

/* What may be another thing at the next run: the diagnosis tells what changed. */
static const char *facts_of(struct run *run, const struct agent *agent)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    buf_puts(&out, "{\"revision\":");
    buf_put_json(&out, agent->revision);
    buf_puts(&out, ",\"addresses\":");
    buf_put_json_list(&out, agent->addresses, agent->address_count);
    buf_puts(&out, ",\"resolvers\":");
    buf_put_json_list(&out, agent->resolvers, agent->resolver_count);
    buf_putc(&out, '}');
    return arena_strdup(&run->arena, buf_text(&out));
}

static void add_source(struct run *run, const struct agent *agent, size_t service, size_t *capacity)
{
    struct run_source source = {
        .service = service,
        .task = arena_strdup(&run->arena, agent->task),
        .instance = arena_strdup(&run->arena, agent->instance),
        .zone = arena_strdup(&run->arena, agent->zone),
        .facts = facts_of(run, agent),
        .work = mem_array(run->fleet->column_count, sizeof(*source.work)),
    };

    for (size_t c = 0; c < run->fleet->column_count; c++)
        if (plan_wants(&run->plan, run->fleet, service, c)) {
            source.work[c] = COLUMN_TODO;
            source.column_count++;
        }
    source.todo = source.undone = source.column_count;
    if (!source.column_count) {
        mem_free(source.work);
        return;
    }
    if (!run->names_per_second || agent->dns_rate < run->names_per_second)
        run->names_per_second = agent->dns_rate;
    mem_grow(&run->sources, run->source_count, capacity, sizeof(*run->sources));
    run->sources[run->source_count++] = source;
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
        .about = &request->about,
        .without = &request->without,
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
        add_source(run, task->ctx, task->service, &capacity);
    }
    mem_free(tasks);
    return r;
}

bool run_is_light(const char *trigger)
{
    return strcmp(trigger, "watch") == 0;
}

int64_t run_longest_timeout_ms(const struct run *run)
{
    int64_t longest = 0;

    for (size_t c = 0; c < run->fleet->column_count; c++) {
        int64_t ms = fleet_column_check(run->fleet, c)->timeout_ms;
        longest = ms > longest ? ms : longest;
    }
    return longest;
}

/* What the sweep needs at most: its names at the slowest task's DNS rate; and at each endpoint a
 * few at a time, each with the longest time-out, or as many as may start. */
static int64_t needed_ms(const struct run *run)
{
    int64_t timeout_ms = run_longest_timeout_ms(run), names = 0;
    int64_t sources = (int64_t)run->source_count;
    int64_t waves = (sources + THROTTLE_IN_FLIGHT - 1) / THROTTLE_IN_FLIGHT;
    int64_t samples = run->is_small ? RUN_SAMPLES : 1;

    for (size_t c = 0; c < run->fleet->column_count; c++)
        names += (int64_t)fleet_column_service(run->fleet, c)->name_count;
    return waves * (timeout_ms + RUN_WAVE_MS) + sources * samples * THROTTLE_AVERAGE_US / 1000 +
           PROTO_DNS_MS + RUN_SLACK_MS + names * 8 * 1000 / PROTO_PROBE_RATE +
           (run->names_per_second ? names * 1000 / run->names_per_second : 0);
}

/* Of a run's time the sweep leaves something to the confirmation. */
int64_t run_sweep_ms(const struct run *run, int64_t limit_ms)
{
    int64_t reserve_ms = 2 * run_longest_timeout_ms(run) + RUN_HOLD_MS + RUN_SPACING_MS;
    int64_t needed = needed_ms(run);

    if (reserve_ms > limit_ms / 2)
        reserve_ms = limit_ms / 2;
    return needed < limit_ms - reserve_ms ? needed : limit_ms - reserve_ms;
}

static void put_scope_list(struct buf *out, const char *key, const struct options_list *list)
{
    if (!list->count)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_list(out, (const char *const *)list->items, list->count);
}

static char *scope_json(const struct run_request *request)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    buf_puts(&out, "{\"from\":");
    buf_put_json_list(&out, (const char *const *)request->from.items, request->from.count);
    buf_puts(&out, ",\"to\":");
    buf_put_json_list(&out, (const char *const *)request->to.items, request->to.count);
    put_scope_list(&out, "about", &request->about);
    put_scope_list(&out, "without", &request->without);
    buf_putc(&out, '}');
    return mem_strdup(buf_text(&out));
}

static char *numbers_json(const uint32_t *numbers, size_t count)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    buf_putc(&out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(&out, ',');
        buf_put_int(&out, numbers[i]);
    }
    buf_putc(&out, ']');
    return mem_strdup(buf_text(&out));
}

static char *columns_json(const struct run *run, const struct run_source *source)
{
    uint32_t *columns = mem_array(source->column_count, sizeof(*columns));
    size_t count = 0;
    char *json;

    for (uint32_t c = 0; c < run->fleet->column_count; c++)
        if (source->work[c] != COLUMN_NONE)
            columns[count++] = c;
    json = numbers_json(columns, count);
    mem_free(columns);
    return json;
}

static int store_plan(struct runs *runs, struct run *run)
{
    struct store_source *sources = mem_array(run->source_count, sizeof(*sources));
    char **columns = mem_array(run->source_count, sizeof(*columns));
    int r;

    for (size_t i = 0; i < run->source_count; i++) {
        const struct run_source *source = &run->sources[i];
        columns[i] = columns_json(run, source);
        sources[i] = (struct store_source){
            .service = run->fleet->services[source->service].name,
            .task = source->task,
            .instance = source->instance,
            .zone = source->zone,
            .facts = source->facts,
            .columns = columns[i],
        };
    }
    r = store_put_run(runs->store, &run->record, sources, run->source_count);
    for (size_t i = 0; i < run->source_count; i++) {
        run->sources[i].id = sources[i].id;
        mem_free(columns[i]);
    }
    mem_free(columns);
    mem_free(sources);
    return r;
}

int runs_start(struct runs *runs, const struct run_request *request, uint64_t now_us,
               struct run **ret_run, struct error *err)
{
    struct run *run;
    int64_t limit_ms;
    int r;

    if (!runs->fleet->service_count)
        return error_set(err, -EAGAIN, "no service is known yet: %s",
                         runs->fleet_problem ? runs->fleet_problem : "the fleet has none");
    if (runs->open_count == RUN_OPEN_MAX)
        return error_set(err, -EBUSY, "%d runs are open; wait for one to end", RUN_OPEN_MAX);
    run = mem_alloc(sizeof(*run));
    run->fleet = fleet_ref(runs->fleet);
    r = plan_sources(runs, run, request, now_us, err);
    if (r < 0) {
        run_free(run);
        return r;
    }
    run->is_light = run_is_light(request->trigger);
    if (!run->is_light)
        run_open_watches(runs, run, now_us);
    limit_ms = request->deadline_ms ? request->deadline_ms : RUN_DEADLINE_MAX_MS;
    run->record.fleet = runs->fleet_id;
    run->record.created_ms = clock_wall_ms();
    run->record.deadline_ms = run->record.created_ms + limit_ms;
    run->record.verdict = -1;
    run->record.scope = scope_json(request);
    run->record.live = numbers_json(run->plan.live_tasks, run->fleet->service_count);
    text_copy(run->record.trigger, sizeof(run->record.trigger), request->trigger);
    run->provisional = -1;
    run->limit_us = now_us + (uint64_t)limit_ms * 1000;
    run->deadline_us = now_us + (uint64_t)run_sweep_ms(run, limit_ms) * 1000;
    r = store_plan(runs, run);
    if (r < 0) {
        error_set(err, r, "the run cannot be stored: %s", store_problem(runs->store));
        run_free(run);
        return r;
    }
    run_index_agents(run);
    run_find_places(runs, run);
    run_count_work(run);
    runs->open[runs->open_count++] = run;
    log_info("run-planned", "run=%lld trigger=%s tasks=%zu watches=%zu sweep_ms=%lld",
             (long long)run->record.id, run->record.trigger, run->source_count, run->watch_count,
             (long long)((run->deadline_us - now_us) / 1000));
    *ret_run = run;
    return 0;
}
