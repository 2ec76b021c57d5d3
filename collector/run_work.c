/* Handing out: what an agent whose pull is held is to do next. */
#include "collector/run_internal.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <string.h>

void run_fill_target(const struct run *run, uint32_t column, size_t source_service,
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
        .is_sibling = run->fleet->columns[column].service == source_service,
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

size_t run_target_bytes(const struct proto_target *target)
{
    size_t bytes = 192 + strlen(target->path) + strlen(target->status) + strlen(target->server) +
                   strlen(target->alpn) + strlen(target->host) + 2 * strlen(target->match) +
                   2 * strlen(target->send) + strlen(target->health) +
                   (target->at_count + target->spare_count) * 48;

    for (size_t i = 0; i < target->name_count; i++)
        bytes += strlen(target->names[i]) + 3;
    return bytes;
}

static char *columns_json(const struct run_assignment *assignment)
{
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    buf_putc(&out, '[');
    for (size_t i = 0; i < assignment->column_count; i++)
        buf_printf(&out, "%s%u", i ? "," : "", assignment->columns[i]);
    buf_putc(&out, ']');
    return mem_strdup(buf_text(&out));
}

static const char *kind_name(enum work_kind kind)
{
    static const char *const names[] = {"sweep", "confirm", "watch"};

    return names[kind];
}

/* Written with what else this turn stores. A write that is lost is made up for by the first report:
 * see runs_store(). */
static int store_assignment(struct runs *runs, const struct run *run,
                            const struct run_assignment *assignment)
{
    char *columns = columns_json(assignment);
    struct store_assignment row = {
        .id = assignment->id,
        .run = run->record.id,
        .source = assignment->source == SIZE_MAX ? 0 : run->sources[assignment->source].id,
        .instance = assignment->instance,
        .kind = kind_name(assignment->kind),
        .round = assignment->round,
        .columns = columns,
        .message = assignment->message ? assignment->message : "",
    };
    int r = store_begin(runs->store);

    if (r == 0)
        r = store_put_assignment(runs->store, &row);
    mem_free(columns);
    return r;
}

bool run_give(struct runs *runs, struct run *run, struct run_assignment *assignment,
              const struct proto_message *message, struct buf *out)
{
    size_t before = out->length;

    if (proto_encode(message, out) < 0) {
        log_error("message-too-large", "type=%s run=%lld", proto_type_name(message->type),
                  (long long)run->record.id);
        return false;
    }
    assignment->message_length = out->length - before;
    assignment->message = mem_alloc(assignment->message_length + 1);
    memcpy(assignment->message, buf_text(out) + before, assignment->message_length);
    if (assignment->source != SIZE_MAX)
        run->sources[assignment->source].unreceived = assignment->id;
    return store_assignment(runs, run, assignment) == 0;
}

int runs_store(struct runs *runs, const struct proto_message *message, enum report_kind kind)
{
    bool is_witness = message->type == PROTO_WITNESS;
    const struct proto_report *report = &message->report;
    const struct proto_witness *witness = &message->witness;
    struct run *run = runs_find(runs, is_witness ? witness->run : report->run);
    const struct run_assignment *assignment =
        run ? run_find_assignment(run, is_witness ? witness->assignment : report->assignment)
            : NULL;
    const struct agent *agent =
        registry_find(runs->registry, is_witness ? witness->instance : report->instance);
    int r = store_begin(runs->store);

    if (r == 0 && assignment && kind == REPORT_IN_TIME)
        r = store_assignment(runs, run, assignment);
    if (r < 0)
        return r;
    if (is_witness)
        return store_put_witness(runs->store, witness, agent ? agent->service : "",
                                 agent ? agent->task : "", kind == REPORT_LATE);
    return store_put_report(runs->store, report, kind == REPORT_LATE);
}

/* ---- the sweep ---- */

/* So many columns at once that all sources have something to do. */
static size_t fair_share(const struct run *run)
{
    size_t columns = run->fleet->column_count;

    if (run->open_sources <= THROTTLE_IN_FLIGHT)
        return columns;
    return (THROTTLE_IN_FLIGHT * columns + run->open_sources - 1) / run->open_sources;
}

/* A proxy of the task's own is no path through the network. */
static bool is_sampled(const struct tries_row *row)
{
    return *row->address && strncmp(row->address, "127.", 4) != 0;
}

/* The targets of one column: as the fleet has it; or, to sample it, the endpoints that passed. */
static void add_targets(const struct run *run, size_t source, uint32_t column, bool is_sampling,
                        struct proto_message *message)
{
    struct proto_assignment *assignment = &message->assignment;
    struct proto_target *target = &assignment->targets[assignment->target_count];

    run_fill_target(run, column, run->sources[source].service, target);
    if (!is_sampling) {
        assignment->target_count++;
        return;
    }
    for (size_t i = 0; i < target->name_count; i++) {
        const char **at = arena_alloc(&message->arena, PROTO_AT_MAX, sizeof(*at));
        struct proto_target *named = &assignment->targets[assignment->target_count];
        run_fill_target(run, column, run->sources[source].service, named);
        named->names = &named->names[i];
        named->name_count = 1;
        named->at = at;
        named->samples = RUN_SAMPLES - 1;
        named->spacing_ms = THROTTLE_SPACING_US / 1000;
        for (size_t r = 0; r < run->row_count && named->at_count < PROTO_AT_MAX; r++) {
            const struct tries_row *row = &run->rows[r];
            if (row->source == source && row->column == column && is_sampled(row) &&
                strcmp(row->name, named->names[0]) == 0)
                at[named->at_count++] =
                    arena_printf(&message->arena, strchr(row->address, ':') ? "[%s]:%u" : "%s:%u",
                                 row->address, row->port);
        }
        assignment->target_count += named->at_count > 0;
    }
}

/* Adds one column to an assignment; false: its limits do not allow it now. */
static bool take_column(struct runs *runs, struct run *run, struct run_assignment *assignment,
                        uint32_t column, uint64_t now_us, struct proto_message *message)
{
    const struct fleet_service *service = fleet_column_service(run->fleet, column);
    size_t first = message->assignment.target_count;
    /* Several names may lead to the same endpoint. */
    unsigned names = service->name_count < THROTTLE_IN_FLIGHT ? (unsigned)service->name_count
                                                              : THROTTLE_IN_FLIGHT;
    struct throttle_wish wish = {
        .weight = names,
        .starts = (unsigned)service->name_count * (assignment->is_sampling ? RUN_SAMPLES - 1 : 1),
    };
    const char **spare;
    size_t spare_count;
    uint64_t delay_us, release_us;

    if (!throttle_take(&runs->throttle, run->places[column], &wish, now_us, &delay_us))
        return false;
    spare = arena_alloc(&message->arena, PROTO_AT_MAX, sizeof(*spare));
    spare_count = throttle_spared(&runs->throttle, run->places[column], run->record.id, now_us,
                                  &message->arena, spare, PROTO_AT_MAX);
    add_targets(run, assignment->source, column, assignment->is_sampling, message);
    for (size_t i = first; i < message->assignment.target_count; i++) {
        message->assignment.targets[i].delay_ms = (int64_t)(delay_us / 1000);
        message->assignment.targets[i].spare = spare;
        message->assignment.targets[i].spare_count = spare_count;
    }
    assignment->columns[assignment->column_count] = column;
    assignment->weights[assignment->column_count++] = (uint8_t)names;
    release_us = now_us + delay_us +
                 (uint64_t)(fleet_column_check(run->fleet, column)->timeout_ms + PROTO_DNS_MS +
                            RUN_SLACK_MS) *
                     1000;
    if (release_us > assignment->release_us)
        assignment->release_us = release_us;
    return true;
}

static int64_t remaining_ms(const struct run *run, uint64_t now_us)
{
    return run->deadline_us > now_us ? (int64_t)((run->deadline_us - now_us) / 1000) : 0;
}

/* Fills `assignment` with what its source may do now, in one of two states of its columns. */
static void take_columns(struct runs *runs, struct run *run, enum column_work state,
                         uint64_t now_us, struct run_assignment *assignment,
                         struct proto_message *message)
{
    struct run_source *source = &run->sources[assignment->source];
    size_t count = run->fleet->column_count, share = fair_share(run);
    size_t bytes = 0, measured = 0;

    for (size_t i = 0; i < count && assignment->column_count < share &&
                       message->assignment.target_count + PROTO_NAMES_MAX <= PROTO_ROWS_MAX &&
                       bytes < RUN_ASSIGNMENT_BYTES;
         i++) {
        uint32_t column = (uint32_t)((i + assignment->source * share) % count);
        if (source->work[column] != state ||
            !take_column(runs, run, assignment, column, now_us, message))
            continue;
        source->work[column] = COLUMN_GIVEN;
        source->todo--;
        run->todo--;
        for (; measured < message->assignment.target_count; measured++)
            bytes += run_target_bytes(&message->assignment.targets[measured]);
    }
}

/* First what is not tried at all; the samples when there is room. */
static bool fill_sweep(struct runs *runs, struct run *run, uint64_t now_us,
                       struct run_assignment *assignment, struct proto_message *message)
{
    size_t share = fair_share(run);

    message->assignment.targets = arena_alloc(&message->arena,
                                              (share < PROTO_ROWS_MAX ? share : PROTO_ROWS_MAX) +
                                                  1 + (run->is_small ? share * PROTO_NAMES_MAX : 0),
                                              sizeof(struct proto_target));
    assignment->columns = mem_array(share, sizeof(*assignment->columns));
    assignment->weights = mem_array(share, sizeof(*assignment->weights));
    take_columns(runs, run, COLUMN_TODO, now_us, assignment, message);
    if (!assignment->column_count && run->is_small) {
        assignment->is_sampling = true;
        take_columns(runs, run, COLUMN_MORE, now_us, assignment, message);
    }
    return assignment->column_count > 0;
}

static bool next_columns(struct runs *runs, struct run *run, const struct agent *agent,
                         uint64_t now_us, struct buf *out)
{
    for (size_t i = run_first_of_agent(run, agent->instance); i != SIZE_MAX;
         i = run->sources[i].next) {
        CLEANUP_MESSAGE struct proto_message message = {.type = PROTO_ASSIGNMENT};
        struct run_assignment *assignment;
        if (run->sources[i].state != SOURCE_OPEN || !run->sources[i].todo)
            continue;
        assignment = run_add_assignment(runs, run, WORK_SWEEP, run->sources[i].instance);
        assignment->source = i;
        if (!fill_sweep(runs, run, now_us, assignment, &message)) {
            mem_free(assignment->columns);
            mem_free(assignment->weights);
            run->assignment_count--;
            continue;
        }
        assignment->holds = true;
        message.assignment.id = assignment->id;
        message.assignment.run = run->record.id;
        message.assignment.deadline_ms = remaining_ms(run, now_us);
        run_give(runs, run, assignment, &message, out);
        if (run->record.state == RUN_PLANNED &&
            store_set_run_state(runs->store, run->record.id, RUN_SWEEP) == 0)
            run->record.state = RUN_SWEEP;
        return out->length > 0;
    }
    return false;
}

/* ---- what was given and did not arrive ---- */

static bool resend(struct run *run, const struct agent *agent, struct buf *out)
{
    for (size_t i = run_first_of_agent(run, agent->instance); i != SIZE_MAX;
         i = run->sources[i].next) {
        struct run_source *source = &run->sources[i];
        struct run_assignment *assignment =
            source->unreceived ? run_find_assignment(run, source->unreceived) : NULL;
        if (assignment && assignment->message && !agent_has_got(agent, assignment->id)) {
            buf_append(out, assignment->message, assignment->message_length);
            return true;
        }
        source->unreceived = 0;
        if (assignment) {
            mem_free(assignment->message);
            assignment->message = NULL;
        }
    }
    return false;
}

static bool next_settle(struct runs *runs, const struct agent *agent, struct buf *out)
{
    for (size_t i = 0; i < runs->settle_count; i++) {
        struct run_settle *settle = &runs->settles[i];
        struct proto_message message = {
            .type = PROTO_SETTLE,
            .settle = {.watch = settle->watch, .is_unwanted = settle->is_unwanted},
        };
        if (strcmp(settle->instance, agent->instance) != 0)
            continue;
        mem_free(settle->instance);
        *settle = runs->settles[--runs->settle_count];
        return proto_encode(&message, out) == 0;
    }
    return false;
}

static bool next_of_run(struct runs *runs, struct run *run, const struct agent *agent,
                        uint64_t now_us, struct buf *out)
{
    if (resend(run, agent, out))
        return true;
    if (run->gate_us)
        return false;
    if (run->record.state == RUN_CONFIRM)
        return run_next_item(runs, run, agent, now_us, out);
    return run->record.state < RUN_CONFIRM && run->todo &&
           next_columns(runs, run, agent, now_us, out);
}

/* Somebody waits for it. */
static bool is_urgent(const struct run *run)
{
    return strcmp(run->record.trigger, "schedule") != 0 && !run->is_light;
}

bool runs_next_work(struct runs *runs, const struct agent *agent, uint64_t now_us, struct buf *out)
{
    if (next_settle(runs, agent, out))
        return true;
    /* Watches cost little, and others wait for them. */
    for (size_t i = 0; i < runs->open_count; i++)
        if (run_next_watch(runs, runs->open[i], agent, now_us, out))
            return true;
    if (agent->is_busy)
        return false;
    for (int urgent = 1; urgent >= 0; urgent--)
        for (size_t i = 0; i < runs->open_count; i++) {
            struct run *run = runs->open[i];
            if (is_urgent(run) == urgent && next_of_run(runs, run, agent, now_us, out))
                return true;
        }
    return false;
}
