#include "collector/view.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- small pieces ---- */

static void put_key(struct buf *out, const char *key)
{
    buf_printf(out, ",\"%s\":", key);
}

static void put_text(struct buf *out, const char *key, const char *value)
{
    put_key(out, key);
    buf_put_json(out, value);
}

static void put_int(struct buf *out, const char *key, int64_t value)
{
    put_key(out, key);
    buf_put_int(out, value);
}

/* Microseconds as milliseconds, or null for a phase that was not entered. */
static void put_ms(struct buf *out, const char *key, int64_t us)
{
    put_key(out, key);
    if (us < 0)
        buf_puts(out, "null");
    else
        buf_printf(out, "%lld.%03d", (long long)(us / 1000), (int)(us % 1000));
}

static void put_time(struct buf *out, const char *key, int64_t wall_ms)
{
    char text[CLOCK_RFC3339_MAX];

    put_key(out, key);
    clock_rfc3339(wall_ms, text);
    if (wall_ms)
        buf_printf(out, "\"%s\"", text);
    else
        buf_puts(out, "null");
}

static void put_list(struct buf *out, const char *key, const char *const *list, size_t count)
{
    put_key(out, key);
    buf_put_json_list(out, list, count);
}

static const char *errno_name(int64_t error)
{
    const char *name = error > 0 ? strerrorname_np((int)error) : "";

    return name ? name : "";
}

void view_words(enum proto_phase phase, enum proto_outcome outcome, int64_t error, int64_t status,
                struct buf *out)
{
    static const char *const words[OUTCOME_COUNT] = {
        [OUTCOME_UNKNOWN] = "an outcome that this collector does not know (newer agent)",
        [OUTCOME_OK] = "ok",
        [OUTCOME_NXDOMAIN] = "the name does not exist (NXDOMAIN)",
        [OUTCOME_NODATA] = "the name has no record of that type (NODATA)",
        [OUTCOME_SERVFAIL] = "the resolver failed (SERVFAIL)",
        [OUTCOME_DNS_REFUSED] = "the resolver refused the query (REFUSED)",
        [OUTCOME_DNS_ERROR] = "the resolver's answer was an error or unreadable",
        [OUTCOME_DNS_TRUNCATED] = "the resolver's answer was cut off",
        [OUTCOME_DNS_TIMEOUT] = "the resolver did not answer",
        [OUTCOME_DNS_UNREACHABLE] = "the resolver could not be reached",
        [OUTCOME_REFUSED] = "connection refused",
        [OUTCOME_UNREACHABLE] = "unreachable",
        [OUTCOME_RESET] = "connection reset",
        [OUTCOME_CLOSED] = "connected; closed without an answer",
        [OUTCOME_BAD_REPLY] = "the answer was not the expected protocol",
        [OUTCOME_BAD_CONTENT] = "the answer does not hold what is expected",
        [OUTCOME_NOT_SERVING] = "it answers, and says that it does not serve",
        [OUTCOME_TLS_EXPIRED] = "the certificate has expired",
        [OUTCOME_TLS_NOT_YET] = "the certificate is not valid yet",
        [OUTCOME_TLS_NAME] = "the certificate is for another name",
        [OUTCOME_TLS_UNTRUSTED] = "the certificate comes from a CA that is not trusted here",
        [OUTCOME_TLS_CLIENT_CERT] = "the server wants a client certificate, or another one",
        [OUTCOME_TLS_PLAIN] = "the peer does not speak TLS",
        [OUTCOME_TLS_EXPECTED] = "the peer expects TLS",
        [OUTCOME_TLS_ERROR] = "the TLS handshake failed",
        [OUTCOME_PROXY] = "only the task's own proxy answered",
        [OUTCOME_LOCAL_ROUTE] = "the source's own routing or firewall refused",
        [OUTCOME_SELF] = "its own address",
        [OUTCOME_SKIPPED] = "address family without a source address",
        [OUTCOME_NOT_ALLOWED] = "outside what the agent may reach (--allow-net, --allow-suffix)",
        [OUTCOME_OVER_BUDGET] = "over the agent's limits",
        [OUTCOME_UNSUPPORTED] = "the agent cannot do this check",
        [OUTCOME_LOCAL_ERROR] = "the agent could not try",
    };

    if (outcome == OUTCOME_TIMEOUT)
        buf_puts(out, phase == PHASE_CONNECT ? "no answer to the connection attempt (time-out)"
                                             : "connected; no answer in time");
    else if (outcome == OUTCOME_BAD_STATUS)
        buf_printf(out, "HTTP %lld", (long long)status);
    else
        buf_puts(out, words[outcome < OUTCOME_COUNT ? outcome : OUTCOME_UNKNOWN]);
    if (error && outcome != OUTCOME_REFUSED && outcome != OUTCOME_TIMEOUT)
        buf_printf(out, " (%s)", errno_name(error));
}

static void put_attempt_facts(struct buf *out, enum proto_phase phase, enum proto_outcome outcome,
                              int64_t error, int64_t status)
{
    CLEANUP_BUF struct buf words = BUF_INIT(512);

    view_words(phase, outcome, error, status, &words);
    buf_printf(out, "\"phase\":\"%s\",\"outcome\":\"%s\",\"errno\":\"%s\",\"status\":%lld",
               phase_name(phase), outcome_name(outcome), errno_name(error), (long long)status);
    put_text(out, "text", buf_text(&words));
}

/* ---- cells ---- */

static void put_cell_head(const struct fleet *fleet, size_t source, size_t column, struct buf *out)
{
    const struct fleet_check *check = fleet_column_check(fleet, column);

    buf_puts(out, "{\"source\":");
    buf_put_json(out, fleet->services[source].name);
    put_text(out, "target", fleet_column_service(fleet, column)->name);
    put_text(out, "check", check->name);
    if (check->port)
        put_int(out, "port", check->port);
    else
        buf_puts(out, ",\"port\":null");
}

static void put_observed(const struct run *run, const struct matrix_observed *observed,
                         struct buf *out)
{
    const struct matrix_row *row = observed->example;

    buf_putc(out, '{');
    put_attempt_facts(out, (enum proto_phase)row->phase, (enum proto_outcome)row->outcome,
                      row->error, row->status);
    put_text(out, "address", row->address);
    put_int(out, "port", row->port);
    put_int(out, "count", observed->count);
    put_text(out, "task", run->sources[row->source].task);
    buf_putc(out, '}');
}

void view_cell(const struct run *run, const struct matrix *matrix, size_t source, size_t column,
               struct buf *out)
{
    const struct matrix_cell *cell = matrix_at(matrix, source, column);

    put_cell_head(run->fleet, source, column, out);
    put_text(out, "state", cell_state_name(cell->state));
    put_text(out, "expected", expectation_name(cell->expected));
    put_int(out, "probes", cell->probes);
    put_int(out, "failed", cell->failed);
    put_int(out, "own_faults", cell->ours);
    put_int(out, "tasks", cell->sources);
    put_int(out, "silent_tasks", cell->silent);
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
    put_text(out, "trigger", record->trigger);
    put_time(out, "started", record->created_ms);
    put_time(out, "finished", record->finished_ms);
    put_key(out, "verdict");
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

struct task_list {
    struct buf *out;
    size_t total, settled;
};

static void put_task(struct task_list *list, const char *service, const char *task,
                     const char *zone, const char *state, int64_t batches)
{
    buf_printf(list->out, "%s{\"service\":", list->total ? "," : "");
    buf_put_json(list->out, service);
    put_text(list->out, "task", task);
    put_text(list->out, "zone", zone);
    put_text(list->out, "state", state);
    put_int(list->out, "batches", batches);
    buf_putc(list->out, '}');
    list->total++;
    list->settled += strcmp(state, "open") != 0;
}

static void on_stored_task(void *ctx, const struct store_assignment *assignment)
{
    put_task(ctx, assignment->service, assignment->task, assignment->zone, assignment->state,
             assignment->batches);
}

static void put_progress(const struct run *run, const struct task_list *list, struct buf *out)
{
    uint64_t now = clock_mono_us();
    int64_t left_ms =
        run && run->deadline_us > now ? (int64_t)((run->deadline_us - now) / 1000) : 0;

    buf_printf(out,
               ",\"progress\":{\"tasks\":%zu,\"tasks_done\":%zu,\"probes\":%zu,"
               "\"deadline_in\":%lld}",
               list->total, list->settled, run ? run->row_count : 0, (long long)left_ms);
}

void view_run_detail(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    const struct run *run = runs_find(runs, record->id);
    struct task_list list = {.out = out};

    buf_puts(out, "{\"schema\":1,\"run\":{");
    put_run_fields(run ? &run->record : record, out);
    buf_puts(out, ",\"agents\":[");
    for (size_t i = 0; run && i < run->source_count; i++)
        put_task(&list, run->fleet->services[run->sources[i].service].name, run->sources[i].task,
                 run->sources[i].zone, source_state_name(run->sources[i].state),
                 run->sources[i].batches);
    if (!run)
        store_each_assignment(runs->store, record->id, on_stored_task, &list);
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
static void on_unfinished_task(void *ctx, const struct store_assignment *assignment)
{
    if (strcmp(assignment->state, "done") != 0 && strcmp(assignment->state, "open") != 0)
        on_stored_task(ctx, assignment);
}

void view_matrix(const struct runs *runs, const struct store_run *record, struct buf *out)
{
    const struct run *run = runs_find(runs, record->id);
    struct task_list unfinished = {.out = out};

    buf_puts(out, "{\"schema\":1,\"run\":");
    view_run(run ? &run->record : record, out);
    buf_puts(out, ",\"cells\":[");
    if (run)
        put_open_cells(run, out);
    else
        store_each_cell(runs->store, record->id, on_stored_cell, out);
    buf_puts(out, "],\"unfinished\":[");
    if (!run)
        store_each_assignment(runs->store, record->id, on_unfinished_task, &unfinished);
    buf_puts(out, "],\"diagnoses\":[]}");
}

/* ---- one pair ---- */

struct pair {
    struct buf *out;
    const char *source;
    size_t count;
    int64_t *assignments; /* of the source's tasks */
    char **tasks;
    size_t assignment_count, assignment_capacity, task_capacity;
    const char **names; /* of the target */
    size_t name_count;
};

static void keep_assignment(void *ctx, const struct store_assignment *assignment)
{
    struct pair *pair = ctx;

    if (strcmp(assignment->service, pair->source) != 0)
        return;
    mem_grow(&pair->assignments, pair->assignment_count, &pair->assignment_capacity,
             sizeof(*pair->assignments));
    mem_grow(&pair->tasks, pair->assignment_count, &pair->task_capacity, sizeof(*pair->tasks));
    pair->assignments[pair->assignment_count] = assignment->id;
    pair->tasks[pair->assignment_count++] = mem_strdup(assignment->task);
}

static const char *task_of(const struct pair *pair, int64_t assignment)
{
    for (size_t i = 0; i < pair->assignment_count; i++)
        if (pair->assignments[i] == assignment)
            return pair->tasks[i];
    return NULL;
}

static void put_kernel_facts(struct buf *out, const struct proto_probe *probe)
{
    put_int(out, "bytes_out", probe->bytes_out);
    put_int(out, "bytes_in", probe->bytes_in);
    put_int(out, "retransmits", probe->retransmits);
    put_ms(out, "rtt", probe->rtt_us ? probe->rtt_us : -1);
    put_int(out, "mss", probe->mss);
    put_int(out, "pmtu", probe->pmtu);
    if (*probe->icmp_from) {
        buf_printf(out, ",\"icmp\":{\"type\":%lld,\"code\":%lld", (long long)probe->icmp_type,
                   (long long)probe->icmp_code);
        put_text(out, "from", probe->icmp_from);
        buf_putc(out, '}');
    } else {
        buf_puts(out, ",\"icmp\":null");
    }
    put_key(out, "rate");
    if (probe->rate)
        buf_put_int(out, probe->rate);
    else
        buf_puts(out, "null");
}

static void put_tls_session(struct buf *out, const struct proto_probe *probe)
{
    if (!*probe->tls_version) {
        buf_puts(out, ",\"tls_session\":null");
        return;
    }
    buf_puts(out, ",\"tls_session\":{\"version\":");
    buf_put_json(out, probe->tls_version);
    put_text(out, "alpn", probe->alpn);
    buf_printf(out, ",\"resumed\":%s", probe->is_resumed ? "true" : "false");
    put_int(out, "verify", probe->verify);
    put_int(out, "valid_days", probe->valid_days);
    put_list(out, "chain", probe->chain, probe->chain_count);
    buf_putc(out, '}');
}

static void put_probe(void *ctx, int64_t assignment, const struct proto_probe *probe)
{
    struct pair *pair = ctx;
    struct buf *out = pair->out;
    const char *task = task_of(pair, assignment);

    if (!task)
        return;
    buf_puts(out, pair->count++ ? ",{" : "{");
    put_attempt_facts(out, probe->phase, probe->outcome, probe->error, probe->status);
    put_text(out, "task", task);
    put_text(out, "name", probe->name);
    put_text(out, "address", probe->address);
    put_int(out, "port", probe->port);
    put_text(out, "local", probe->local);
    put_ms(out, "resolve", probe->resolve_us);
    put_ms(out, "connect", probe->connect_us);
    put_ms(out, "tls", probe->tls_us);
    put_ms(out, "exchange", probe->exchange_us);
    put_text(out, "detail", probe->detail);
    put_text(out, "via", *probe->via ? probe->via : *probe->address ? "dns" : "");
    put_kernel_facts(out, probe);
    put_tls_session(out, probe);
    buf_putc(out, '}');
}

static bool is_name_of(const struct pair *pair, const char *name)
{
    for (size_t i = 0; i < pair->name_count; i++)
        if (strcasecmp(pair->names[i], name) == 0)
            return true;
    return false;
}

static void put_resolution(void *ctx, int64_t assignment, const struct proto_resolution *row)
{
    struct pair *pair = ctx;
    struct buf *out = pair->out;
    const char *task = task_of(pair, assignment);

    if (!task || !is_name_of(pair, *row->asked ? row->asked : row->name))
        return;
    buf_puts(out, pair->count++ ? ",{" : "{");
    buf_puts(out, "\"name\":");
    buf_put_json(out, row->name);
    put_text(out, "task", task);
    put_text(out, "type", row->type);
    put_text(out, "outcome", outcome_name(row->outcome));
    put_int(out, "rcode", row->rcode);
    put_int(out, "ttl", row->ttl_s);
    put_ms(out, "time", row->time_us);
    put_text(out, "resolver", row->resolver);
    put_list(out, "answers", row->answers, row->answer_count);
    put_text(out, "asked", *row->asked ? row->asked : row->name);
    put_list(out, "chain", row->chain, row->chain_count);
    put_int(out, "tries", row->tries);
    buf_printf(out, ",\"truncated\":%s,\"tcp\":%s,\"superseded\":%s,\"reference\":%s}",
               row->is_truncated ? "true" : "false", row->is_tcp ? "true" : "false",
               row->is_superseded ? "true" : "false", row->is_reference ? "true" : "false");
}

struct cell_wanted {
    int64_t source, column;
    struct buf *out;
};

static void put_wanted_cell(void *ctx, const struct store_cell *cell)
{
    const struct cell_wanted *wanted = ctx;

    if (cell->source == wanted->source && cell->column == wanted->column)
        buf_puts(wanted->out, cell->json);
}

static void put_pair_cell(const struct runs *runs, const struct store_run *record,
                          const struct run *run, size_t source, size_t column, struct buf *out)
{
    struct cell_wanted wanted = {(int64_t)source, (int64_t)column, out};

    if (run) {
        struct matrix *matrix = run_matrix(run);
        view_cell(run, matrix, source, column, out);
        matrix_free(matrix);
    } else {
        store_each_cell(runs->store, record->id, put_wanted_cell, &wanted);
    }
}

static void put_pair(const struct runs *runs, const struct store_run *record,
                     const struct fleet *fleet, size_t source, size_t column, struct buf *out)
{
    const struct run *run = runs_find(runs, record->id);
    const struct fleet_service *target = fleet_column_service(fleet, column);
    struct pair pair = {.out = out,
                        .source = fleet->services[source].name,
                        .names = target->names,
                        .name_count = target->name_count};

    store_each_assignment(runs->store, record->id, keep_assignment, &pair);
    buf_puts(out, "{\"schema\":1,\"run\":");
    view_run(run ? &run->record : record, out);
    buf_puts(out, ",\"cell\":");
    put_pair_cell(runs, record, run, source, column, out);
    put_list(out, "names", target->names, target->name_count);
    buf_puts(out, ",\"probes\":[");
    store_each_probe(runs->store, record->id, (int64_t)column, put_probe, &pair);
    buf_puts(out, "],\"resolutions\":[");
    pair.count = 0;
    store_each_resolution(runs->store, record->id, put_resolution, &pair);
    buf_puts(out, "],\"diagnoses\":[]}");
    for (size_t i = 0; i < pair.assignment_count; i++)
        mem_free(pair.tasks[i]);
    mem_free(pair.tasks);
    mem_free(pair.assignments);
}

int view_pair(const struct runs *runs, const struct store_run *record, const char *source,
              const char *target, const char *check, struct buf *out)
{
    struct fleet_messages messages = {0};
    size_t length = 0, row, column;
    char *text = store_get_fleet(runs->store, record->fleet, &length);
    struct fleet *fleet = text ? fleet_parse("store", text, length, &messages) : NULL;
    int r = -ENOENT;

    if (fleet) {
        row = fleet_find_service(fleet, source);
        column = fleet_find_column(fleet, target, check);
        if (row != SIZE_MAX && column != SIZE_MAX && fleet->services[row].has_agents) {
            put_pair(runs, record, fleet, row, column, out);
            r = 0;
        }
    }
    fleet_unref(fleet);
    fleet_messages_deinit(&messages);
    mem_free(text);
    return r;
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
    put_text(out, "task", agent->task);
    put_text(out, "cluster", agent->cluster);
    put_text(out, "zone", agent->zone);
    put_text(out, "instance", agent->instance);
    put_text(out, "version", agent->version);
    put_text(out, "network_mode", agent->mode);
    put_text(out, "revision", agent->revision);
    put_text(out, "state", agent_is_live(agent) ? "live" : "lost");
    buf_printf(out, ",\"known\":%s",
               fleet_find_service(runs->fleet, agent->service) == SIZE_MAX ? "false" : "true");
    put_int(out, "age", (int64_t)(now_us - agent->since_us) / 1000);
    put_int(out, "reports", (int64_t)agent->reports);
    put_list(out, "addresses", agent->addresses, agent->address_count);
    put_list(out, "resolvers", agent->resolvers, agent->resolver_count);
    put_list(out, "checks", agent->checks, agent->check_count);
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
    put_text(out, "check", check->type);
    if (check->port)
        put_int(out, "port", check->port);
    else
        buf_puts(out, ",\"port\":null");
    put_int(out, "timeout", check->timeout_ms);
    buf_putc(out, '}');
}

void view_services(const struct runs *runs, struct buf *out)
{
    buf_puts(out, "{\"schema\":1,\"fleet\":");
    buf_put_json(out, runs->fleet->name);
    buf_puts(out, ",\"services\":[");
    for (size_t i = 0; i < runs->fleet->service_count; i++) {
        const struct fleet_service *service = &runs->fleet->services[i];
        size_t live, lost;
        buf_printf(out, "%s{\"name\":", i ? "," : "");
        buf_put_json(out, service->name);
        put_text(out, "record", service->record);
        put_text(out, "agents", service->has_agents ? "expected" : "none");
        count_agents(runs, service->name, &live, &lost);
        put_int(out, "live", (int64_t)live);
        put_int(out, "lost", (int64_t)lost);
        put_list(out, "names", service->names, service->name_count);
        buf_puts(out, ",\"checks\":[");
        for (size_t j = 0; j < service->check_count; j++) {
            buf_puts(out, j ? "," : "");
            put_check(&service->checks[j], out);
        }
        buf_puts(out, "]}");
    }
    buf_puts(out, "]}");
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
