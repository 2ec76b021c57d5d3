/* What agents report: assignments, attempts, answers, witnesses. */
#include "collector/store_internal.h"

#include "common/buf.h"
#include "common/json.h"

#include <cjson/cJSON.h>
#include <string.h>

static int put_probe(struct store *store, int64_t assignment, const struct proto_probe *row,
                     bool is_late)
{
    CLEANUP_BUF struct buf chain = BUF_INIT(PROTO_MESSAGE_MAX);

    buf_put_json_list(&chain, row->chain, row->chain_count);
    return store_finish(
        store, store_bind(store, PUT_PROBE, "iissiisisiiiiisisiiiiiiiisissiiisisii", assignment,
                          row->target, row->name, row->address, row->port, (int64_t)row->phase,
                          outcome_name(row->outcome), row->error, row->local, row->resolve_us,
                          row->connect_us, row->tls_us, row->exchange_us, row->status, row->detail,
                          (int64_t)is_late, row->via, row->bytes_out, row->bytes_in,
                          row->retransmits, row->rtt_us, row->mss, row->pmtu, row->icmp_type,
                          row->icmp_code, row->icmp_from, row->rate, row->tls_version, row->alpn,
                          (int64_t)row->is_resumed, row->verify, row->valid_days, buf_text(&chain),
                          row->attempt, row->late, row->late_us, (int64_t)row->is_held));
}

static int put_resolution(struct store *store, int64_t assignment,
                          const struct proto_resolution *row, bool is_late)
{
    CLEANUP_BUF struct buf answers = BUF_INIT(PROTO_MESSAGE_MAX), chain = answers;

    buf_put_json_list(&answers, row->answers, row->answer_count);
    buf_put_json_list(&chain, row->chain, row->chain_count);
    return store_finish(store,
                        store_bind(store, PUT_RESOLUTION, "isssiiississiiiii", assignment,
                                   row->name, row->type, outcome_name(row->outcome), row->rcode,
                                   row->ttl_s, row->time_us, row->resolver, buf_text(&answers),
                                   (int64_t)is_late, row->asked, buf_text(&chain), row->tries,
                                   (int64_t)row->is_truncated, (int64_t)row->is_tcp,
                                   (int64_t)row->is_superseded, (int64_t)row->is_reference));
}

int store_put_assignment(struct store *store, const struct store_assignment *assignment)
{
    return store_finish(store, store_bind(store, PUT_ASSIGNMENT, "iiississ", assignment->id,
                                          assignment->run, assignment->source, assignment->instance,
                                          assignment->kind, assignment->round, assignment->columns,
                                          assignment->message));
}

int store_put_witness(struct store *store, const struct proto_witness *witness, const char *service,
                      const char *task, bool is_late)
{
    CLEANUP_BUF struct buf text = BUF_INIT(PROTO_MESSAGE_MAX);
    struct proto_message message = {.type = PROTO_WITNESS, .witness = *witness};
    int r = proto_encode(&message, &text);

    if (r < 0)
        return r;
    r = store_finish(store,
                     store_bind(store, PUT_WITNESS, "iiisssi", witness->assignment, witness->run,
                                witness->round, service, task, buf_text(&text), (int64_t)is_late));
    return r == 0 && sqlite3_changes(store->db) == 0 ? STORE_DUPLICATE : r;
}

struct witness_sink {
    store_witness_fn fn;
    void *ctx;
};

static void on_witness(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct witness_sink *sink = sink_pointer;
    CLEANUP_MESSAGE struct proto_message message;
    struct error err;
    const char *text = store_text_at(statement, 2);

    if (proto_decode(text, strlen(text), &message, &err) == 0 && message.type == PROTO_WITNESS)
        sink->fn(sink->ctx, store_text_at(statement, 0), store_text_at(statement, 1), &message);
}

int store_each_witness(struct store *store, int64_t run, store_witness_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_WITNESSES, "i", run), on_witness,
                          &(struct witness_sink){fn, ctx});
}

int store_put_report(struct store *store, const struct proto_report *report, bool is_late)
{
    int r =
        store_finish(store, store_bind(store, PUT_BATCH, "iiii", report->assignment, report->batch,
                                       (int64_t)report->is_last, report->dropped));

    if (r == 0 && sqlite3_changes(store->db) == 0)
        return STORE_DUPLICATE;
    for (size_t i = 0; i < report->probe_count && r == 0; i++)
        r = put_probe(store, report->assignment, &report->probes[i], is_late);
    for (size_t i = 0; i < report->resolution_count && r == 0; i++)
        r = put_resolution(store, report->assignment, &report->resolutions[i], is_late);
    return r;
}

/* A column that holds a JSON list of strings: the list, and its strings, which live as long. */
static cJSON *json_list_at(sqlite3_stmt *statement, int column)
{
    const char *text = store_text_at(statement, column);

    return json_parse(text, strlen(text), 2, NULL);
}

static size_t strings_of(const cJSON *list, const char **out, size_t max)
{
    const cJSON *item;
    size_t count = 0;

    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item) && count < max)
            out[count++] = item->valuestring;
    }
    return count;
}

struct probe_sink {
    store_probe_fn fn;
    void *ctx;
};

static void on_probe(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct probe_sink *sink = sink_pointer;
    const char *chain[PROTO_CHAIN_MAX];
    CLEANUP_JSON cJSON *chain_list = json_list_at(statement, 31);
    struct proto_probe row = {
        .target = sqlite3_column_int64(statement, 1),
        .name = store_text_at(statement, 2),
        .address = store_text_at(statement, 3),
        .port = sqlite3_column_int64(statement, 4),
        .phase = (enum proto_phase)sqlite3_column_int(statement, 5),
        .outcome = outcome_from_name(store_text_at(statement, 6)),
        .error = sqlite3_column_int64(statement, 7),
        .local = store_text_at(statement, 8),
        .resolve_us = sqlite3_column_int64(statement, 9),
        .connect_us = sqlite3_column_int64(statement, 10),
        .tls_us = sqlite3_column_int64(statement, 11),
        .exchange_us = sqlite3_column_int64(statement, 12),
        .status = sqlite3_column_int64(statement, 13),
        .detail = store_text_at(statement, 14),
        .via = store_text_at(statement, 15),
        .bytes_out = sqlite3_column_int64(statement, 16),
        .bytes_in = sqlite3_column_int64(statement, 17),
        .retransmits = sqlite3_column_int64(statement, 18),
        .rtt_us = sqlite3_column_int64(statement, 19),
        .mss = sqlite3_column_int64(statement, 20),
        .pmtu = sqlite3_column_int64(statement, 21),
        .icmp_type = sqlite3_column_int64(statement, 22),
        .icmp_code = sqlite3_column_int64(statement, 23),
        .icmp_from = store_text_at(statement, 24),
        .rate = sqlite3_column_int64(statement, 25),
        .tls_version = store_text_at(statement, 26),
        .alpn = store_text_at(statement, 27),
        .is_resumed = sqlite3_column_int(statement, 28),
        .verify = sqlite3_column_int64(statement, 29),
        .valid_days = sqlite3_column_int64(statement, 30),
        .chain = chain,
        .chain_count = strings_of(chain_list, chain, PROTO_CHAIN_MAX),
        .attempt = sqlite3_column_int64(statement, 32),
        .late = store_text_at(statement, 33),
        .late_us = sqlite3_column_int64(statement, 34),
        .is_held = sqlite3_column_int(statement, 35),
    };

    sink->fn(sink->ctx, sqlite3_column_int64(statement, 0), &row);
}

int store_each_probe(struct store *store, int64_t run, int64_t column, store_probe_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_PROBES, "ii", run, column), on_probe,
                          &(struct probe_sink){fn, ctx});
}

struct resolution_sink {
    store_resolution_fn fn;
    void *ctx;
};

static void on_resolution(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct resolution_sink *sink = sink_pointer;
    CLEANUP_JSON cJSON *answer_list = json_list_at(statement, 8);
    CLEANUP_JSON cJSON *chain_list = json_list_at(statement, 10);
    const char *answers[PROTO_ANSWERS_MAX], *chain[PROTO_CHAIN_MAX];
    struct proto_resolution row = {
        .name = store_text_at(statement, 1),
        .type = store_text_at(statement, 2),
        .outcome = outcome_from_name(store_text_at(statement, 3)),
        .rcode = sqlite3_column_int64(statement, 4),
        .ttl_s = sqlite3_column_int64(statement, 5),
        .time_us = sqlite3_column_int64(statement, 6),
        .resolver = store_text_at(statement, 7),
        .answers = answers,
        .answer_count = strings_of(answer_list, answers, PROTO_ANSWERS_MAX),
        .asked = store_text_at(statement, 9),
        .chain = chain,
        .chain_count = strings_of(chain_list, chain, PROTO_CHAIN_MAX),
        .tries = sqlite3_column_int64(statement, 11),
        .is_truncated = sqlite3_column_int(statement, 12),
        .is_tcp = sqlite3_column_int(statement, 13),
        .is_superseded = sqlite3_column_int(statement, 14),
        .is_reference = sqlite3_column_int(statement, 15),
    };

    sink->fn(sink->ctx, sqlite3_column_int64(statement, 0), &row);
}

int store_each_resolution(struct store *store, int64_t run, store_resolution_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_RESOLUTIONS, "i", run), on_resolution,
                          &(struct resolution_sink){fn, ctx});
}
