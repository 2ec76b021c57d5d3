#include "collector/view.h"

#include "collector/estate_store.h"
#include "collector/view_internal.h"
#include "collector/words.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- small pieces ---- */

void view_put_key(struct buf *out, const char *key)
{
    buf_printf(out, ",\"%s\":", key);
}

void view_put_text(struct buf *out, const char *key, const char *value)
{
    view_put_key(out, key);
    buf_put_json(out, value);
}

void view_put_int(struct buf *out, const char *key, int64_t value)
{
    view_put_key(out, key);
    buf_put_int(out, value);
}

/* Microseconds as milliseconds, or null for a phase that was not entered. */
void view_put_ms(struct buf *out, const char *key, int64_t us)
{
    view_put_key(out, key);
    if (us < 0)
        buf_puts(out, "null");
    else
        buf_printf(out, "%lld.%03d", (long long)(us / 1000), (int)(us % 1000));
}

void view_put_time(struct buf *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_RFC3339_MAX];

    view_put_key(out, key);
    clock_rfc3339(wall_ms, text);
    if (wall_ms)
        buf_printf(out, "\"%s\"", text);
    else
        buf_puts(out, "null");
}

void view_put_moment(struct buf *out, const char *key, int64_t run, int64_t wall_ms)
{
    char time[CLOCK_RFC3339_MAX];

    view_put_key(out, key);
    if (!run) {
        buf_puts(out, "null");
        return;
    }
    clock_rfc3339(wall_ms, time);
    buf_printf(out, "{\"run\":\"%lld\",\"time\":\"%s\"}", (long long)run, time);
}

void view_put_event(struct buf *out, int64_t wall_ms, const char *by, const char *event)
{
    char time[CLOCK_RFC3339_MAX];

    if (!wall_ms)
        return;
    clock_rfc3339(wall_ms, time);
    view_put_text(out, "at", time);
    view_put_text(out, "by", by);
    view_put_text(out, "event", event);
}

void view_put_list(struct buf *out, const char *key, const char *const *list, size_t count)
{
    view_put_key(out, key);
    buf_put_json_list(out, list, count);
}

void view_put_attempt_facts(struct buf *out, enum proto_phase phase, enum proto_outcome outcome,
                            int64_t error, int64_t status)
{
    CLEANUP_BUF struct buf words = BUF_INIT(512);

    words_put(phase, outcome, error, status, &words);
    buf_printf(out, "\"phase\":\"%s\",\"outcome\":\"%s\",\"errno\":\"%s\",\"status\":%lld",
               phase_name(phase), outcome_name(outcome), words_errno(error), (long long)status);
    view_put_text(out, "text", buf_text(&words));
}

/* ---- cells ---- */

static void put_cell_head(const struct fleet *fleet, size_t source, size_t column, struct buf *out)
{
    const struct fleet_check *check = fleet_column_check(fleet, column);

    buf_puts(out, "{\"source\":");
    buf_put_json(out, fleet->services[source].name);
    view_put_text(out, "target", fleet_column_service(fleet, column)->name);
    view_put_text(out, "check", check->name);
    if (check->port)
        view_put_int(out, "port", check->port);
    else
        buf_puts(out, ",\"port\":null");
}

static void put_observed(const struct run *run, const struct matrix_observed *observed,
                         struct buf *out)
{
    const struct tries_row *row = observed->example;

    buf_putc(out, '{');
    view_put_attempt_facts(out, (enum proto_phase)row->phase,
                           row->is_reused && row->outcome == OUTCOME_OK
                               ? OUTCOME_REUSED
                               : (enum proto_outcome)row->outcome,
                           row->error, row->status);
    view_put_text(out, "address", row->address);
    view_put_int(out, "port", row->port);
    view_put_int(out, "count", observed->count);
    view_put_text(out, "task", run->sources[row->source].task);
    buf_putc(out, '}');
}

/* Attempts in all, and what of them says that packets get lost. */
static void put_tries(const struct matrix_cell *cell, struct buf *out)
{
    buf_printf(out, ",\"tries\":{\"total\":%u,\"failed\":%u}", cell->tries, cell->tries_failed);
    if (!cell->lossy) {
        buf_puts(out, ",\"loss\":null");
        return;
    }
    buf_printf(out, ",\"loss\":{\"tries\":%u,\"lossy\":%u,\"retransmits\":%u,\"ratio\":%.3f}",
               cell->tries, cell->lossy, cell->retransmits,
               cell->tries ? (double)cell->lossy / cell->tries : 0.0);
}

void view_cell(const struct run *run, const struct matrix *matrix, size_t source, size_t column,
               struct buf *out)
{
    const struct matrix_cell *cell = matrix_at(matrix, source, column);

    put_cell_head(run->fleet, source, column, out);
    view_put_text(out, "state", cell_state_name(cell->state));
    view_put_text(out, "expected", expectation_name(cell->expected));
    view_put_int(out, "probes", cell->probes);
    view_put_int(out, "failed", cell->failed);
    view_put_int(out, "unconfirmed", cell->unconfirmed);
    view_put_int(out, "own_faults", cell->ours);
    view_put_int(out, "spared", cell->spared);
    put_tries(cell, out);
    view_put_int(out, "tasks", cell->sources);
    view_put_int(out, "silent_tasks", cell->silent);
    buf_puts(out, ",\"observed\":[");
    for (size_t i = 0; i < cell->observed_count; i++) {
        buf_puts(out, i ? "," : "");
        put_observed(run, &cell->observed[i], out);
    }
    buf_puts(out, "]}");
}

/* ---- runs ---- */

static void put_run_fields(const struct store_run *record, struct buf *out)
{
    bool is_judged = record->state == RUN_JUDGED;

    buf_printf(out, "\"id\":\"%lld\",\"state\":\"%s\"", (long long)record->id,
               run_state_name(record->state));
    view_put_text(out, "trigger", record->trigger);
    view_put_time(out, "started", record->created_ms);
    view_put_time(out, "finished", record->finished_ms);
    view_put_key(out, "verdict");
    if (is_judged)
        buf_put_json(out, verdict_name((enum verdict)record->verdict));
    else
        buf_puts(out, "null");
    buf_printf(out, ",\"incomplete\":%s,\"scope\":%s", record->is_incomplete ? "true" : "false",
               record->scope && *record->scope ? record->scope : "null");
}

void view_run(const struct store_run *record, struct buf *out)
{
    buf_putc(out, '{');
    put_run_fields(record, out);
    buf_putc(out, '}');
}

/* What the sweep alone came to, while its failures are tried again. */
static void put_provisional(const struct run *run, struct buf *out)
{
    buf_puts(out, ",\"provisional\":");
    if (run && run->provisional >= 0)
        buf_put_json(out, verdict_name((enum verdict)run->provisional));
    else
        buf_puts(out, "null");
}

static void put_open_run(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    const struct run *run = runs_find(runs, record->id);

    buf_putc(out, '{');
    put_run_fields(run ? &run->record : record, out);
    put_provisional(run, out);
    view_put_cloud(runs, record->id, out);
    buf_putc(out, '}');
}

struct task_list {
    struct buf *out;
    size_t total, settled;
};

static void put_task(struct task_list *list, const char *service, const char *task,
                     const char *zone, const char *state, int64_t batches)
{
    buf_printf(list->out, "%s{\"service\":", list->total ? "," : "");
    buf_put_json(list->out, service);
    view_put_text(list->out, "task", task);
    view_put_text(list->out, "zone", zone);
    view_put_text(list->out, "state", state);
    view_put_int(list->out, "batches", batches);
    buf_putc(list->out, '}');
    list->total++;
    list->settled += strcmp(state, "open") != 0;
}

static void on_stored_task(void *ctx, const struct store_source *source)
{
    put_task(ctx, source->service, source->task, source->zone, source->state, source->batches);
}

static size_t count_done_items(const struct run *run)
{
    size_t count = 0;

    for (size_t i = 0; i < run->item_count; i++)
        count += run->items[i].state >= ITEM_DONE;
    return count;
}

static void put_progress(const struct run *run, const struct task_list *list, struct buf *out)
{
    uint64_t now = clock_mono_us();
    int64_t left_ms =
        run && run->deadline_us > now ? (int64_t)((run->deadline_us - now) / 1000) : 0;

    buf_printf(out,
               ",\"progress\":{\"tasks\":%zu,\"tasks_done\":%zu,\"probes\":%zu,"
               "\"confirming\":%zu,\"confirmed\":%zu,\"deadline_in\":%lld}",
               list->total, list->settled, run ? run->row_count : 0, run ? run->item_count : 0,
               run ? count_done_items(run) : 0, (long long)left_ms);
}

void view_run_detail(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    const struct run *run = runs_find(runs, record->id);
    struct task_list list = {.out = out};

    buf_puts(out, "{\"schema\":1,\"run\":{");
    put_run_fields(run ? &run->record : record, out);
    put_provisional(run, out);
    buf_puts(out, ",\"agents\":[");
    for (size_t i = 0; run && i < run->source_count; i++)
        put_task(&list, run->fleet->services[run->sources[i].service].name, run->sources[i].task,
                 run->sources[i].zone, source_state_name(run->sources[i].state),
                 run->sources[i].batches);
    if (!run)
        store_each_source(runs->store, record->id, on_stored_task, &list);
    buf_putc(out, ']');
    put_progress(run, &list, out);
    buf_puts(out, "}}");
}

static void on_stored_cell(void *ctx, const struct store_cell *cell)
{
    struct buf *out = ctx;

    if (buf_text(out)[out->length - 1] != '[')
        buf_putc(out, ',');
    buf_puts(out, cell->json);
}

static void put_open_cells(const struct run *run, struct buf *out)
{
    struct matrix *matrix = run_matrix(run);
    const char *separator = "";

    for (size_t s = 0; s < matrix->rows; s++)
        for (size_t c = 0; c < matrix->columns; c++) {
            if (matrix_at(matrix, s, c)->state == CELL_ABSENT)
                continue;
            buf_puts(out, separator);
            view_cell(run, matrix, s, c, out);
            separator = ",";
        }
    matrix_free(matrix);
}

/* The tasks that did not do their part, and why: late, missing, departed, dropped. */
static void on_unfinished_task(void *ctx, const struct store_source *source)
{
    if (strcmp(source->state, "done") != 0 && strcmp(source->state, "open") != 0)
        on_stored_task(ctx, source);
}

static void on_diagnosis(void *ctx, const char *json)
{
    struct buf *out = ctx;

    if (buf_text(out)[out->length - 1] != '[')
        buf_putc(out, ',');
    buf_puts(out, json);
}

/* None before the verdict: what failed once may have been chance. */
static void put_diagnoses(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    buf_puts(out, ",\"diagnoses\":[");
    store_each_diagnosis(runs->store, record->id, on_diagnosis, out);
    buf_putc(out, ']');
}

void view_matrix(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    const struct run *run = runs_find(runs, record->id);
    struct task_list unfinished = {.out = out};

    buf_puts(out, "{\"schema\":1,\"run\":");
    put_open_run(runs, record, out);
    buf_puts(out, ",\"cells\":[");
    if (run)
        put_open_cells(run, out);
    else
        store_each_cell(runs->store, record->id, on_stored_cell, out);
    buf_puts(out, "],\"unfinished\":[");
    if (!run)
        store_each_source(runs->store, record->id, on_unfinished_task, &unfinished);
    buf_putc(out, ']');
    put_diagnoses(runs, record, out);
    buf_putc(out, '}');
}

void view_diagnoses(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    buf_puts(out, "{\"schema\":1,\"run\":");
    put_open_run(runs, record, out);
    put_diagnoses(runs, record, out);
    buf_putc(out, '}');
}

/* ---- agents and services ---- */

static int by_service_and_task(const struct agent *a, const struct agent *b)
{
    int order = strcmp(a->service, b->service);

    return order ? order : strcmp(a->task, b->task);
}

/* Refusals and waits of the agent's own limits, by their names. */
static void put_counters(struct buf *out, const struct agent *agent)
{
    buf_puts(out, ",\"limits\":{");
    for (size_t i = 0; i < agent->counter_count; i++) {
        buf_puts(out, i ? "," : "");
        buf_put_json(out, agent->counters[i].name);
        buf_printf(out, ":%lld", (long long)agent->counters[i].count);
    }
    buf_putc(out, '}');
}

static void put_agent(const struct runs *runs, const struct agent *agent, uint64_t now_us,
                      struct buf *out)
{
    buf_puts(out, "{\"service\":");
    buf_put_json(out, agent->service);
    view_put_text(out, "task", agent->task);
    view_put_text(out, "cluster", agent->cluster);
    view_put_text(out, "zone", agent->zone);
    view_put_text(out, "instance", agent->instance);
    view_put_text(out, "version", agent->version);
    view_put_text(out, "network_mode", agent->mode);
    view_put_text(out, "revision", agent->revision);
    view_put_text(out, "netns", agent->netns);
    view_put_text(out, "state", agent_is_live(agent) ? "live" : "lost");
    buf_printf(out, ",\"known\":%s",
               fleet_find_service(runs->fleet, agent->service) == SIZE_MAX ? "false" : "true");
    view_put_int(out, "age", (int64_t)(now_us - agent->since_us) / 1000);
    view_put_int(out, "link_age", (int64_t)(now_us - agent->change_us) / 1000);
    view_put_int(out, "reports", (int64_t)agent->reports);
    view_put_list(out, "addresses", agent->addresses, agent->address_count);
    view_put_list(out, "resolvers", agent->resolvers, agent->resolver_count);
    view_put_list(out, "checks", agent->checks, agent->check_count);
    put_counters(out, agent);
    buf_putc(out, '}');
}

void view_agents(const struct runs *runs, uint64_t now_us, struct buf *out)
{
    struct agent *agent, *next;
    const char *separator = "";

    HASH_SORT(runs->registry->agents, by_service_and_task);
    buf_puts(out, "{\"schema\":1,\"agents\":[");
    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        buf_puts(out, separator);
        put_agent(runs, agent, now_us, out);
        separator = ",";
    }
    buf_puts(out, "]}");
}

static void count_agents(const struct runs *runs, const char *service, size_t *live, size_t *lost)
{
    struct agent *agent, *next;

    *live = *lost = 0;
    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        if (strcmp(agent->service, service) == 0)
            ++*(agent_is_live(agent) ? live : lost);
    }
}

static void put_check(const struct fleet_check *check, struct buf *out)
{
    buf_puts(out, "{\"name\":");
    buf_put_json(out, check->name);
    view_put_text(out, "check", check->type);
    if (check->port)
        view_put_int(out, "port", check->port);
    else
        buf_puts(out, ",\"port\":null");
    view_put_int(out, "timeout", check->timeout_ms);
    buf_putc(out, '}');
}

void view_put_service(const struct runs *runs, const struct estate *estate,
                      const struct fleet_service *service, struct buf *out)
{
    size_t live, lost;

    buf_puts(out, "{\"name\":");
    buf_put_json(out, service->name);
    view_put_text(out, "record", service->record);
    view_put_text(out, "agents", service->has_agents ? "expected" : "none");
    count_agents(runs, service->name, &live, &lost);
    view_put_int(out, "live", (int64_t)live);
    view_put_int(out, "lost", (int64_t)lost);
    view_put_list(out, "names", service->names, service->name_count);
    buf_puts(out, ",\"checks\":[");
    for (size_t i = 0; i < service->check_count; i++) {
        buf_puts(out, i ? "," : "");
        put_check(&service->checks[i], out);
    }
    buf_putc(out, ']');
    view_put_service_cloud(estate, service->name, out);
    buf_putc(out, '}');
}

void view_services(const struct runs *runs, struct buf *out)
{
    int64_t run = store_last_estate(runs->store);
    struct estate *estate = estate_store_get(
        runs->store, run,
        ESTATE_ONLY(ESTATE_SERVICES) | ESTATE_ONLY(ESTATE_TASKS) | ESTATE_ONLY(ESTATE_MISSING));

    buf_puts(out, "{\"schema\":1,\"fleet\":");
    buf_put_json(out, runs->fleet->name);
    view_put_services_cloud(estate, run, out);
    buf_puts(out, ",\"services\":[");
    for (size_t i = 0; i < runs->fleet->service_count; i++) {
        buf_puts(out, i ? "," : "");
        view_put_service(runs, estate, &runs->fleet->services[i], out);
    }
    buf_puts(out, "]}");
    estate_free(estate);
}

/* ---- metrics ---- */

/* Over all agents that are known now: a gauge, since agents come and go. */
static void put_limit_metrics(const struct runs *runs, struct buf *out)
{
    struct registry_counter sums[PROTO_COUNTERS_MAX];
    struct agent *agent, *next;
    size_t count = 0, at;

    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        for (size_t i = 0; i < agent->counter_count; i++) {
            const struct registry_counter *counter = &agent->counters[i];
            for (at = 0; at < count && strcmp(sums[at].name, counter->name) != 0;)
                at++;
            if (at < count)
                sums[at].count += counter->count;
            else if (count < PROTO_COUNTERS_MAX)
                sums[count++] = *counter;
        }
    }
    buf_puts(out, "# TYPE canreach_agent_limits gauge\n");
    for (at = 0; at < count; at++)
        if (strspn(sums[at].name, "abcdefghijklmnopqrstuvwxyz-") == strlen(sums[at].name))
            buf_printf(out, "canreach_agent_limits{limit=\"%s\"} %lld\n", sums[at].name,
                       (long long)sums[at].count);
}

void view_metrics(const struct runs *runs, struct buf *out)
{
    const struct refusals *refusals = &runs->refusals;
    const struct {
        const char *reason;
        uint64_t count;
    } reasons[] = {
        {"malformed", refusals->malformed},
        {"version", refusals->version},
        {"hello-first", refusals->hello_first},
        {"unknown-report", refusals->unknown_report},
        {"duplicate-report", refusals->duplicate_report},
        {"registry-full", runs->registry->refused},
    };
    struct agent *agent, *next;
    size_t live = 0;

    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        live += agent_is_live(agent);
    }
    put_limit_metrics(runs, out);
    buf_puts(out, "# TYPE canreach_messages_refused_total counter\n");
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        buf_printf(out, "canreach_messages_refused_total{reason=\"%s\"} %llu\n", reasons[i].reason,
                   (unsigned long long)reasons[i].count);
    buf_printf(out,
               "# TYPE canreach_agents gauge\n"
               "canreach_agents{state=\"live\"} %zu\ncanreach_agents{state=\"lost\"} %zu\n"
               "# TYPE canreach_runs_open gauge\ncanreach_runs_open %zu\n"
               "# TYPE canreach_store_failing gauge\ncanreach_store_failing %d\n",
               live, HASH_COUNT(runs->registry->agents) - live, runs->open_count,
               *store_problem(runs->store) != '\0');
}
