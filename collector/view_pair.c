/* One pair: its cell, every attempt and answer behind it, whose the endpoints are, and what the
 * target's own agents saw. */
#include "collector/view.h"
#include "collector/view_internal.h"

#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* An assignment of one of the source's tasks. */
struct piece {
    int64_t id;
    const char *task;
    int64_t round;
};

struct place {
    char address[64];
    char service[PROTO_NAME_MAX + 1], task[PROTO_NAME_MAX + 1]; /* whose it is; "" unknown */
};

struct pair {
    struct buf *out;
    const char *source, *check;
    size_t count;
    struct store_source *sources; /* of the source's tasks: id and task */
    size_t source_count, source_capacity;
    struct piece *pieces;
    size_t piece_count, piece_capacity;
    const struct fleet_service *target;
    size_t target_index;
    struct place *places; /* the endpoints' addresses, each once */
    size_t place_count, place_capacity;
    struct arena arena;
};

static void keep_source(void *ctx, const struct store_source *source)
{
    struct pair *pair = ctx;

    if (strcmp(source->service, pair->source) != 0)
        return;
    mem_grow(&pair->sources, pair->source_count, &pair->source_capacity, sizeof(*pair->sources));
    pair->sources[pair->source_count++] =
        (struct store_source){.id = source->id, .task = arena_strdup(&pair->arena, source->task)};
}

static void keep_piece(void *ctx, const struct store_assignment *assignment)
{
    struct pair *pair = ctx;

    for (size_t i = 0; i < pair->source_count; i++) {
        if (pair->sources[i].id != assignment->source)
            continue;
        mem_grow(&pair->pieces, pair->piece_count, &pair->piece_capacity, sizeof(*pair->pieces));
        pair->pieces[pair->piece_count++] =
            (struct piece){assignment->id, pair->sources[i].task, assignment->round};
    }
}

static const struct piece *piece_of(const struct pair *pair, int64_t assignment)
{
    for (size_t i = 0; i < pair->piece_count; i++)
        if (pair->pieces[i].id == assignment)
            return &pair->pieces[i];
    return NULL;
}

static const char *task_of(const void *ctx, int64_t assignment)
{
    const struct piece *piece = piece_of(ctx, assignment);

    return piece ? piece->task : NULL;
}

static void keep_place(struct pair *pair, const char *address)
{
    struct place *place;

    if (!*address)
        return;
    for (size_t i = 0; i < pair->place_count; i++)
        if (strcmp(pair->places[i].address, address) == 0)
            return;
    mem_grow(&pair->places, pair->place_count, &pair->place_capacity, sizeof(*pair->places));
    place = &pair->places[pair->place_count++];
    *place = (struct place){0};
    text_copy(place->address, sizeof(place->address), address);
}

static void put_kernel_facts(struct buf *out, const struct proto_probe *probe)
{
    view_put_int(out, "bytes_out", probe->bytes_out);
    view_put_int(out, "bytes_in", probe->bytes_in);
    view_put_int(out, "retransmits", probe->retransmits);
    view_put_ms(out, "rtt", probe->rtt_us ? probe->rtt_us : -1);
    view_put_int(out, "mss", probe->mss);
    view_put_int(out, "pmtu", probe->pmtu);
    if (*probe->icmp_from) {
        buf_printf(out, ",\"icmp\":{\"type\":%lld,\"code\":%lld", (long long)probe->icmp_type,
                   (long long)probe->icmp_code);
        view_put_text(out, "from", probe->icmp_from);
        buf_putc(out, '}');
    } else {
        buf_puts(out, ",\"icmp\":null");
    }
    view_put_key(out, "rate");
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
    view_put_text(out, "alpn", probe->alpn);
    buf_printf(out, ",\"resumed\":%s", probe->is_resumed ? "true" : "false");
    view_put_int(out, "verify", probe->verify);
    view_put_int(out, "valid_days", probe->valid_days);
    view_put_list(out, "chain", probe->chain, probe->chain_count);
    buf_putc(out, '}');
}

/* What came after the deadline of an attempt that was held open: nothing, or how it ended. */
static void put_late(struct buf *out, const struct proto_probe *probe)
{
    buf_printf(out, ",\"held\":%s,\"late\":", probe->is_held ? "true" : "false");
    if (*probe->late) {
        buf_puts(out, "{\"outcome\":");
        buf_put_json(out, probe->late);
        view_put_ms(out, "after", probe->late_us);
        buf_putc(out, '}');
    } else {
        buf_puts(out, "null");
    }
}

static void put_probe(void *ctx, int64_t assignment, const struct proto_probe *probe)
{
    struct pair *pair = ctx;
    struct buf *out = pair->out;
    const struct piece *piece = piece_of(pair, assignment);

    if (!piece)
        return;
    keep_place(pair, probe->address);
    buf_puts(out, pair->count++ ? ",{" : "{");
    view_put_attempt_facts(out, probe->phase, probe->outcome, probe->error, probe->status);
    view_put_text(out, "task", piece->task);
    view_put_int(out, "round", piece->round);
    view_put_int(out, "attempt", probe->attempt ? probe->attempt : 1);
    put_late(out, probe);
    view_put_text(out, "name", probe->name);
    view_put_text(out, "address", probe->address);
    view_put_int(out, "port", probe->port);
    view_put_text(out, "local", probe->local);
    view_put_ms(out, "resolve", probe->resolve_us);
    view_put_ms(out, "connect", probe->connect_us);
    view_put_ms(out, "tls", probe->tls_us);
    view_put_ms(out, "exchange", probe->exchange_us);
    view_put_text(out, "detail", probe->detail);
    view_put_text(out, "via", *probe->via ? probe->via : *probe->address ? "dns" : "");
    put_kernel_facts(out, probe);
    put_tls_session(out, probe);
    buf_putc(out, '}');
}

static bool is_name_of(const struct pair *pair, const char *name)
{
    for (size_t i = 0; i < pair->target->name_count; i++)
        if (strcasecmp(pair->target->names[i], name) == 0)
            return true;
    return false;
}

static void put_resolution(void *ctx, int64_t assignment, const struct proto_resolution *row)
{
    struct pair *pair = ctx;
    struct buf *out = pair->out;
    const struct piece *piece = piece_of(pair, assignment);

    if (!piece || !is_name_of(pair, *row->asked ? row->asked : row->name))
        return;
    buf_puts(out, pair->count++ ? ",{" : "{");
    buf_puts(out, "\"name\":");
    buf_put_json(out, row->name);
    view_put_text(out, "task", piece->task);
    view_put_int(out, "round", piece->round);
    view_put_text(out, "type", row->type);
    view_put_text(out, "outcome", outcome_name(row->outcome));
    view_put_int(out, "rcode", row->rcode);
    view_put_int(out, "ttl", row->ttl_s);
    view_put_ms(out, "time", row->time_us);
    view_put_text(out, "resolver", row->resolver);
    view_put_list(out, "answers", row->answers, row->answer_count);
    view_put_text(out, "asked", *row->asked ? row->asked : row->name);
    view_put_list(out, "chain", row->chain, row->chain_count);
    view_put_int(out, "tries", row->tries);
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

/* ---- whose the endpoints are ---- */

void view_owner(const struct ownership *ownership, size_t service, const char *address,
                struct buf *out)
{
    static const char *const states[] = {"live", "lost", "left"};
    struct owner owner = ownership_find(ownership, service, address);

    buf_puts(out, "{\"address\":");
    buf_put_json(out, address);
    view_put_text(out, "kind", owner_kind_name(owner.kind));
    if (owner.agent) {
        view_put_text(out, "service", owner.agent->service);
        view_put_text(out, "task", owner.agent->task);
        view_put_text(out, "agent", states[owner.agent->state]);
        view_put_text(out, "revision", owner.agent->revision);
    }
    buf_printf(out, ",\"reused\":%s}",
               ownership_is_reused(ownership, service, &owner) ? "true" : "false");
}

static struct place *place_of(struct pair *pair, const char *address)
{
    for (size_t i = 0; i < pair->place_count; i++)
        if (strcmp(pair->places[i].address, address) == 0)
            return &pair->places[i];
    return NULL;
}

static void put_owner(struct pair *pair, struct place *place, const char *json)
{
    CLEANUP_JSON cJSON *owner = json_parse(json, strlen(json), 2, NULL);

    text_copy(place->service, sizeof(place->service), json_string(owner, "service", ""));
    text_copy(place->task, sizeof(place->task), json_string(owner, "task", ""));
    buf_puts(pair->out, pair->count++ ? "," : "");
    buf_puts(pair->out, json);
}

static void put_stored_owner(void *ctx, const struct store_owner *owner)
{
    struct pair *pair = ctx;
    struct place *place = place_of(pair, owner->address);

    if (place && owner->service == (int64_t)pair->target_index)
        put_owner(pair, place, owner->json);
}

static void put_owners(const struct runs *runs, const struct store_run *record,
                       const struct run *run, struct pair *pair)
{
    struct run_ownership *ownership = run ? run_ownership_new(runs, run) : NULL;

    pair->count = 0;
    for (size_t i = 0; run && i < pair->place_count; i++) {
        CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);
        view_owner(run_ownership_get(ownership), pair->target_index, pair->places[i].address,
                   &json);
        put_owner(pair, &pair->places[i], buf_text(&json));
    }
    if (!run)
        store_each_owner(runs->store, record->id, put_stored_owner, pair);
    run_ownership_free(ownership);
}

/* ---- the other end ---- */

static bool is_concerned(const struct pair *pair, const char *service, const char *task)
{
    if (strcmp(service, pair->target->name) == 0)
        return true;
    for (size_t i = 0; i < pair->place_count; i++)
        if (strcmp(pair->places[i].service, service) == 0 &&
            strcmp(pair->places[i].task, task) == 0)
            return true;
    return false;
}

static void put_listeners(struct buf *out, const struct proto_witness *witness)
{
    buf_puts(out, ",\"listeners\":[");
    for (size_t i = 0; i < witness->listener_count; i++) {
        const struct proto_listener *listener = &witness->listeners[i];
        buf_printf(out, "%s{\"address\":", i ? "," : "");
        buf_put_json(out, listener->address);
        view_put_int(out, "port", listener->port);
        view_put_key(out, "backlog");
        if (listener->backlog < 0)
            buf_puts(out, "null");
        else
            buf_put_int(out, listener->backlog);
        view_put_int(out, "queue", listener->queue);
        view_put_int(out, "queue_first", listener->first);
        view_put_int(out, "queue_most", listener->most);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_arrivals(struct buf *out, const struct proto_witness *witness)
{
    buf_puts(out, ",\"arrivals\":[");
    for (size_t i = 0; i < witness->arrival_count; i++) {
        const struct proto_arrival *arrival = &witness->arrivals[i];
        buf_printf(out, "%s{\"remote\":", i ? "," : "");
        buf_put_json(out, arrival->remote);
        view_put_text(out, "local", arrival->local);
        view_put_text(out, "state", arrival->state);
        view_put_int(out, "first", arrival->first_ms);
        view_put_int(out, "last", arrival->last_ms);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_checks(struct buf *out, const struct proto_witness *witness)
{
    buf_puts(out, ",\"checks\":[");
    for (size_t i = 0; i < witness->check_count; i++) {
        const struct proto_probe *check = &witness->checks[i];
        buf_puts(out, i ? ",{" : "{");
        view_put_attempt_facts(out, check->phase, check->outcome, check->error, check->status);
        view_put_text(out, "over", check->via);
        view_put_text(out, "address", check->address);
        view_put_int(out, "port", check->port);
        view_put_text(out, "detail", check->detail);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
    view_put_text(out, "unchecked", witness->unchecked);
}

static void put_containers(struct buf *out, const struct proto_witness *witness)
{
    buf_puts(out, ",\"containers\":[");
    for (size_t i = 0; i < witness->container_count; i++) {
        const struct proto_container *container = &witness->containers[i];
        buf_printf(out, "%s{\"name\":", i ? "," : "");
        buf_put_json(out, container->name);
        view_put_text(out, "status", container->status);
        view_put_text(out, "health", container->health);
        view_put_text(out, "started", container->started);
        view_put_key(out, "age");
        if (container->age_s < 0)
            buf_puts(out, "null");
        else
            buf_put_int(out, container->age_s * 1000);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
    view_put_text(out, "revision", witness->revision);
}

static void put_counters(struct buf *out, const struct proto_witness *witness)
{
    buf_puts(out, ",\"counters\":{");
    for (size_t i = 0; i < witness->counter_count; i++) {
        buf_puts(out, i ? "," : "");
        buf_put_json(out, witness->counters[i].name);
        buf_printf(out, ":%lld", (long long)witness->counters[i].count);
    }
    buf_putc(out, '}');
}

static void put_witness(void *ctx, const char *service, const char *task,
                        struct proto_message *message)
{
    const struct proto_witness *witness = &message->witness;
    struct pair *pair = ctx;
    struct buf *out = pair->out;

    if (!is_concerned(pair, service, task))
        return;
    buf_printf(out, "%s{\"service\":", pair->count++ ? "," : "");
    buf_put_json(out, service);
    view_put_text(out, "task", task);
    view_put_int(out, "round", witness->round);
    view_put_int(out, "span", witness->span_ms);
    view_put_int(out, "looks", witness->looks);
    view_put_ms(out, "cost", witness->cost_us);
    view_put_text(out, "source", witness->source);
    put_listeners(out, witness);
    put_arrivals(out, witness);
    view_put_int(out, "strangers", witness->strangers);
    put_counters(out, witness);
    put_checks(out, witness);
    put_containers(out, witness);
    view_put_list(out, "resolvers", witness->resolvers, witness->resolver_count);
    view_put_list(out, "search", witness->search, witness->search_count);
    view_put_int(out, "ndots", witness->dots);
    buf_putc(out, '}');
}

/* Those that explain this very pair. */
static void put_diagnosis(void *ctx, const char *json)
{
    struct pair *pair = ctx;
    CLEANUP_JSON cJSON *diagnosis = json_parse(json, strlen(json), 6, NULL);
    const cJSON *cell;

    cJSON_ArrayForEach(cell, cJSON_GetObjectItemCaseSensitive(diagnosis, "cells"))
    {
        if (strcmp(json_string(cell, "source", ""), pair->source) != 0 ||
            strcmp(json_string(cell, "target", ""), pair->target->name) != 0 ||
            strcmp(json_string(cell, "check", ""), pair->check) != 0)
            continue;
        buf_puts(pair->out, pair->count++ ? "," : "");
        buf_puts(pair->out, json);
        return;
    }
}

/* Whether any of the target's agents, as they are now, can see what comes to its addresses. */
static bool can_be_witnessed(const struct runs *runs, const struct fleet_service *target)
{
    struct agent *agent, *next;

    HASH_ITER(hh, runs->registry->agents, agent, next)
    {
        if (strcmp(agent->service, target->name) == 0 && ownership_can_witness(agent->mode))
            return true;
    }
    return false;
}

static void put_pair(const struct runs *runs, const struct store_run *record,
                     const struct fleet *fleet, size_t source, size_t column, struct buf *out)
{
    const struct run *run = runs_find(runs, record->id);
    struct pair pair = {
        .out = out,
        .source = fleet->services[source].name,
        .target = fleet_column_service(fleet, column),
        .target_index = fleet->columns[column].service,
        .check = fleet_column_check(fleet, column)->name,
    };

    store_each_source(runs->store, record->id, keep_source, &pair);
    store_each_assignment(runs->store, record->id, keep_piece, &pair);
    buf_puts(out, "{\"schema\":1,\"run\":");
    view_run(run ? &run->record : record, out);
    buf_puts(out, ",\"cell\":");
    put_pair_cell(runs, record, run, source, column, out);
    view_put_list(out, "names", pair.target->names, pair.target->name_count);
    view_put_text(out, "agents", pair.target->has_agents ? "expected" : "none");
    view_put_text(out, "witness", can_be_witnessed(runs, pair.target) ? "possible" : "unavailable");
    buf_puts(out, ",\"probes\":[");
    store_each_probe(runs->store, record->id, (int64_t)column, put_probe, &pair);
    buf_puts(out, "],\"resolutions\":[");
    pair.count = 0;
    store_each_resolution(runs->store, record->id, put_resolution, &pair);
    buf_puts(out, "],\"owners\":[");
    put_owners(runs, record, run, &pair);
    buf_puts(out, "],\"witnesses\":[");
    pair.count = 0;
    store_each_witness(runs->store, record->id, put_witness, &pair);
    buf_puts(out, "],\"diagnoses\":[");
    pair.count = 0;
    store_each_diagnosis(runs->store, record->id, put_diagnosis, &pair);
    buf_putc(out, ']');
    view_put_paths(runs,
                   &(struct view_paths){record->id, (int64_t)column, pair.target->name,
                                        strcmp(fleet_column_check(fleet, column)->type, "udp") == 0,
                                        task_of, &pair},
                   out);
    if (run)
        buf_puts(out, ",\"changes\":null");
    else
        view_changes(runs, record, fleet,
                     &(struct pair_name){pair.source, pair.target->name, pair.check}, out);
    buf_putc(out, '}');
    mem_free(pair.places);
    mem_free(pair.pieces);
    mem_free(pair.sources);
    arena_deinit(&pair.arena);
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
