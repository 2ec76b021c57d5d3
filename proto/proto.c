#include "proto/proto.h"

#include "common/json.h"
#include "proto/codec.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

#define PROTO_DEPTH_MAX 6

#define STRING(type, member, limit)                                                     \
    {                                                                                   \
        .name = #member, .kind = FIELD_STRING, .offset = offsetof(struct type, member), \
        .max = (limit)                                                                  \
    }
#define OPTIONAL_STRING(type, member, limit)                                            \
    {                                                                                   \
        .name = #member, .kind = FIELD_STRING, .offset = offsetof(struct type, member), \
        .max = (limit), .is_optional = true                                             \
    }
#define INT(type, member, low, high)                                                               \
    {                                                                                              \
        .name = #member, .kind = FIELD_INT, .offset = offsetof(struct type, member), .min = (low), \
        .max = (high)                                                                              \
    }
#define BOOL(type, key, member)                                                     \
    {                                                                               \
        .name = (key), .kind = FIELD_BOOL, .offset = offsetof(struct type, member), \
        .is_optional = true                                                         \
    }
#define OPTIONAL_INT(type, member, low, high)                                                      \
    {                                                                                              \
        .name = #member, .kind = FIELD_INT, .offset = offsetof(struct type, member), .min = (low), \
        .max = (high), .is_optional = true                                                         \
    }
#define OPTIONAL_STRINGS(type, key, member, count, items, bytes)                           \
    {                                                                                      \
        .name = (key), .kind = FIELD_STRINGS, .offset = offsetof(struct type, member),     \
        .count_offset = offsetof(struct type, count), .max = (items), .item_max = (bytes), \
        .is_optional = true                                                                \
    }
#define COUNTERS(type)                                                                         \
    {                                                                                          \
        .name = "counters", .kind = FIELD_ROWS, .offset = offsetof(struct type, counters),     \
        .count_offset = offsetof(struct type, counter_count), .max = PROTO_COUNTERS_MAX,       \
        .row_size = sizeof(struct proto_counter), .rows = counter_columns, .is_optional = true \
    }
#define KIND(type, member, what)                                                 \
    {                                                                            \
        .name = #member, .kind = (what), .offset = offsetof(struct type, member) \
    }
#define STRINGS(type, key, member, count, items, bytes)                                   \
    {                                                                                     \
        .name = (key), .kind = FIELD_STRINGS, .offset = offsetof(struct type, member),    \
        .count_offset = offsetof(struct type, count), .max = (items), .item_max = (bytes) \
    }
#define INTS(type, key, member, count, items)                                       \
    {                                                                               \
        .name = (key), .kind = FIELD_INTS, .offset = offsetof(struct type, member), \
        .count_offset = offsetof(struct type, count), .max = (items)                \
    }
#define ROWS(type, key, member, count, row, table)                                  \
    {                                                                               \
        .name = (key), .kind = FIELD_ROWS, .offset = offsetof(struct type, member), \
        .count_offset = offsetof(struct type, count), .max = PROTO_ROWS_MAX,        \
        .row_size = sizeof(struct row), .rows = (table)                             \
    }
#define SEEN(type, member, count, row, table)                                         \
    {                                                                                 \
        .name = #member, .kind = FIELD_ROWS, .offset = offsetof(struct type, member), \
        .count_offset = offsetof(struct type, count), .max = PROTO_SEEN_MAX,          \
        .row_size = sizeof(struct row), .rows = (table), .is_optional = true          \
    }
#define END          \
    {                \
        .name = NULL \
    }

#define MICROSECONDS_MAX INT64_C(3600000000)

static const struct field counter_columns[] = {
    STRING(proto_counter, name, 32),
    INT(proto_counter, count, 0, PROTO_ID_MAX),
    END,
};

static const struct field hello_fields[] = {
    STRING(proto_hello, cluster, PROTO_NAME_MAX),
    STRING(proto_hello, service, PROTO_NAME_MAX),
    STRING(proto_hello, task, PROTO_NAME_MAX),
    STRING(proto_hello, instance, PROTO_NAME_MAX),
    STRING(proto_hello, version, 32),
    STRING(proto_hello, zone, PROTO_NAME_MAX),
    STRING(proto_hello, mode, 16),
    OPTIONAL_STRING(proto_hello, revision, PROTO_NAME_MAX),
    OPTIONAL_STRING(proto_hello, auth, 4096),
    STRINGS(proto_hello, "addresses", addresses, address_count, 32, 64),
    STRINGS(proto_hello, "resolvers", resolvers, resolver_count, 8, 64),
    STRINGS(proto_hello, "checks", checks, check_count, 32, 16),
    OPTIONAL_INT(proto_hello, dns_rate, 0, 1000),
    OPTIONAL_STRING(proto_hello, netns, 64),
    OPTIONAL_INT(proto_hello, age_s, 0, INT32_MAX),
    END,
};

static const struct field welcome_fields[] = {
    STRING(proto_welcome, version, 32),
    STRING(proto_welcome, fleet, PROTO_NAME_MAX),
    BOOL(proto_welcome, "known", known),
    END,
};

static const struct field pull_fields[] = {
    STRING(proto_pull, instance, PROTO_NAME_MAX),
    INT(proto_pull, epoch, 1, PROTO_ID_MAX),
    INTS(proto_pull, "got", got, got_count, PROTO_GOT_MAX),
    COUNTERS(proto_pull),
    BOOL(proto_pull, "busy", is_busy),
    END,
};

static const struct field target_columns[] = {
    INT(proto_target, id, 0, 65535),
    STRING(proto_target, check, 16),
    STRING(proto_target, record, 8),
    STRINGS(proto_target, "names", names, name_count, PROTO_NAMES_MAX, PROTO_HOST_MAX),
    INT(proto_target, port, 0, 65535),
    INT(proto_target, timeout_ms, 1, PROTO_TIMEOUT_MAX),
    BOOL(proto_target, "sibling", is_sibling),
    OPTIONAL_STRING(proto_target, path, PROTO_PATH_MAX),
    OPTIONAL_STRING(proto_target, status, 128),
    BOOL(proto_target, "tls", is_tls),
    BOOL(proto_target, "unverified", is_unverified),
    OPTIONAL_STRING(proto_target, server, PROTO_HOST_MAX),
    OPTIONAL_STRING(proto_target, alpn, 64),
    OPTIONAL_STRING(proto_target, method, 16),
    OPTIONAL_STRING(proto_target, host, PROTO_HOST_MAX),
    OPTIONAL_STRING(proto_target, match, PROTO_MATCH_MAX),
    OPTIONAL_STRING(proto_target, send, PROTO_SEND_MAX),
    OPTIONAL_STRING(proto_target, health, PROTO_NAME_MAX),
    OPTIONAL_INT(proto_target, rate_bytes, 0, PROTO_RATE_BYTES_MAX),
    OPTIONAL_STRINGS(proto_target, "at", at, at_count, PROTO_AT_MAX, 64),
    OPTIONAL_STRINGS(proto_target, "spare", spare, spare_count, PROTO_AT_MAX, 64),
    OPTIONAL_INT(proto_target, delay_ms, 0, 3600000),
    OPTIONAL_INT(proto_target, samples, 0, PROTO_TRIES_MAX),
    OPTIONAL_INT(proto_target, attempts, 0, PROTO_TRIES_MAX),
    OPTIONAL_INT(proto_target, spacing_ms, 0, PROTO_TIMEOUT_MAX),
    OPTIONAL_INT(proto_target, hold_ms, 0, PROTO_TIMEOUT_MAX),
    BOOL(proto_target, "patient", is_patient),
    END,
};

static const struct field assignment_fields[] = {
    INT(proto_assignment, id, 1, PROTO_ID_MAX),
    INT(proto_assignment, run, 1, PROTO_ID_MAX),
    INT(proto_assignment, deadline_ms, 0, 86400000),
    ROWS(proto_assignment, "targets", targets, target_count, proto_target, target_columns),
    OPTIONAL_INT(proto_assignment, round, 0, 255),
    END,
};

static const struct field watch_fields[] = {
    INT(proto_watch, id, 1, PROTO_ID_MAX),
    INT(proto_watch, run, 1, PROTO_ID_MAX),
    INT(proto_watch, round, 0, 255),
    INT(proto_watch, until_ms, 0, 3600000),
    ROWS(proto_watch, "targets", targets, target_count, proto_target, target_columns),
    BOOL(proto_watch, "checking", is_checking),
    OPTIONAL_STRINGS(proto_watch, "peers", peers, peer_count, PROTO_PEERS_MAX, 64),
    END,
};

static const struct field watching_fields[] = {
    STRING(proto_watching, instance, PROTO_NAME_MAX),
    INT(proto_watching, watch, 1, PROTO_ID_MAX),
    END,
};

static const struct field settle_fields[] = {
    INT(proto_settle, watch, 1, PROTO_ID_MAX),
    BOOL(proto_settle, "unwanted", is_unwanted),
    END,
};

static const struct field resolution_columns[] = {
    STRING(proto_resolution, name, PROTO_HOST_MAX),
    STRING(proto_resolution, type, 8),
    KIND(proto_resolution, outcome, FIELD_OUTCOME),
    INT(proto_resolution, rcode, -1, 65535),
    INT(proto_resolution, ttl_s, -1, INT64_C(4294967295)),
    INT(proto_resolution, time_us, 0, MICROSECONDS_MAX),
    STRING(proto_resolution, resolver, 64),
    STRINGS(proto_resolution, "answers", answers, answer_count, PROTO_ANSWERS_MAX, 300),
    OPTIONAL_STRING(proto_resolution, asked, PROTO_HOST_MAX),
    OPTIONAL_STRINGS(proto_resolution, "chain", chain, chain_count, PROTO_CHAIN_MAX,
                     PROTO_HOST_MAX),
    OPTIONAL_INT(proto_resolution, tries, 0, 16),
    BOOL(proto_resolution, "truncated", is_truncated),
    BOOL(proto_resolution, "tcp", is_tcp),
    BOOL(proto_resolution, "superseded", is_superseded),
    BOOL(proto_resolution, "reference", is_reference),
    END,
};

static const struct field probe_columns[] = {
    INT(proto_probe, target, 0, 65535),
    STRING(proto_probe, name, PROTO_HOST_MAX),
    STRING(proto_probe, address, 64),
    INT(proto_probe, port, 0, 65535),
    KIND(proto_probe, phase, FIELD_PHASE),
    KIND(proto_probe, outcome, FIELD_OUTCOME),
    INT(proto_probe, error, 0, 4095),
    STRING(proto_probe, local, 64),
    INT(proto_probe, resolve_us, -1, MICROSECONDS_MAX),
    INT(proto_probe, connect_us, -1, MICROSECONDS_MAX),
    INT(proto_probe, tls_us, -1, MICROSECONDS_MAX),
    INT(proto_probe, exchange_us, -1, MICROSECONDS_MAX),
    INT(proto_probe, status, 0, 999),
    OPTIONAL_STRING(proto_probe, detail, PROTO_TEXT_MAX),
    OPTIONAL_STRING(proto_probe, via, 16),
    OPTIONAL_INT(proto_probe, bytes_out, 0, INT32_MAX),
    OPTIONAL_INT(proto_probe, bytes_in, 0, INT32_MAX),
    OPTIONAL_INT(proto_probe, retransmits, 0, 65535),
    OPTIONAL_INT(proto_probe, rtt_us, 0, MICROSECONDS_MAX),
    OPTIONAL_INT(proto_probe, mss, 0, 65535),
    OPTIONAL_INT(proto_probe, pmtu, 0, INT32_MAX),
    OPTIONAL_INT(proto_probe, icmp_type, 0, 255),
    OPTIONAL_INT(proto_probe, icmp_code, 0, 255),
    OPTIONAL_STRING(proto_probe, icmp_from, 64),
    OPTIONAL_INT(proto_probe, rate, 0, PROTO_ID_MAX),
    OPTIONAL_STRING(proto_probe, tls_version, 16),
    OPTIONAL_STRING(proto_probe, alpn, 64),
    BOOL(proto_probe, "resumed", is_resumed),
    OPTIONAL_INT(proto_probe, verify, 0, 65535),
    OPTIONAL_INT(proto_probe, valid_days, -PROTO_DAYS_MAX, PROTO_DAYS_MAX),
    OPTIONAL_STRINGS(proto_probe, "chain", chain, chain_count, PROTO_CHAIN_MAX, PROTO_TEXT_MAX),
    OPTIONAL_INT(proto_probe, attempt, 0, PROTO_TRIES_MAX),
    OPTIONAL_STRING(proto_probe, late, 32),
    OPTIONAL_INT(proto_probe, late_us, 0, MICROSECONDS_MAX),
    BOOL(proto_probe, "held", is_held),
    END,
};

static const struct field listener_columns[] = {
    STRING(proto_listener, address, 64),
    INT(proto_listener, port, 0, 65535),
    INT(proto_listener, backlog, -1, UINT32_MAX),
    INT(proto_listener, queue, 0, UINT32_MAX),
    INT(proto_listener, first, 0, UINT32_MAX),
    INT(proto_listener, most, 0, UINT32_MAX),
    END,
};

static const struct field arrival_columns[] = {
    STRING(proto_arrival, remote, 64),
    STRING(proto_arrival, local, 64),
    STRING(proto_arrival, state, 16),
    INT(proto_arrival, first_ms, 0, 86400000),
    INT(proto_arrival, last_ms, 0, 86400000),
    BOOL(proto_arrival, "half_open_before", is_half_open_before),
    END,
};

static const struct field container_columns[] = {
    STRING(proto_container, name, PROTO_NAME_MAX), STRING(proto_container, status, 32),
    STRING(proto_container, health, 32),           STRING(proto_container, started, 40),
    INT(proto_container, age_s, -1, PROTO_ID_MAX), END,
};

static const struct field witness_fields[] = {
    STRING(proto_witness, instance, PROTO_NAME_MAX),
    INT(proto_witness, run, 1, PROTO_ID_MAX),
    INT(proto_witness, assignment, 1, PROTO_ID_MAX),
    INT(proto_witness, batch, 1, 1000000),
    INT(proto_witness, round, 0, 255),
    INT(proto_witness, span_ms, 0, 86400000),
    INT(proto_witness, looks, 0, PROTO_ID_MAX),
    INT(proto_witness, cost_us, 0, PROTO_ID_MAX),
    STRING(proto_witness, source, 16),
    SEEN(proto_witness, listeners, listener_count, proto_listener, listener_columns),
    SEEN(proto_witness, arrivals, arrival_count, proto_arrival, arrival_columns),
    INT(proto_witness, strangers, 0, UINT32_MAX),
    OPTIONAL_INT(proto_witness, unlisted, 0, UINT32_MAX),
    COUNTERS(proto_witness),
    SEEN(proto_witness, checks, check_count, proto_probe, probe_columns),
    OPTIONAL_STRING(proto_witness, unchecked, PROTO_TEXT_MAX),
    SEEN(proto_witness, containers, container_count, proto_container, container_columns),
    OPTIONAL_STRING(proto_witness, revision, PROTO_NAME_MAX),
    OPTIONAL_STRINGS(proto_witness, "resolvers", resolvers, resolver_count, 8, 64),
    OPTIONAL_STRINGS(proto_witness, "search", search, search_count, 8, PROTO_HOST_MAX),
    OPTIONAL_INT(proto_witness, dots, 0, 255),
    END,
};

static const struct field report_fields[] = {
    STRING(proto_report, instance, PROTO_NAME_MAX),
    INT(proto_report, run, 1, PROTO_ID_MAX),
    INT(proto_report, assignment, 1, PROTO_ID_MAX),
    INT(proto_report, batch, 1, 1000000),
    BOOL(proto_report, "last", is_last),
    INT(proto_report, dropped, 0, PROTO_ID_MAX),
    ROWS(proto_report, "resolutions", resolutions, resolution_count, proto_resolution,
         resolution_columns),
    ROWS(proto_report, "probes", probes, probe_count, proto_probe, probe_columns),
    COUNTERS(proto_report),
    END,
};

static const struct field ack_fields[] = {
    INT(proto_ack, assignment, 1, PROTO_ID_MAX),
    INT(proto_ack, batch, 0, 1000000),
    STRING(proto_ack, status, 16),
    END,
};

static const struct field leaving_fields[] = {
    STRING(proto_leaving, instance, PROTO_NAME_MAX),
    END,
};

static const struct field refused_fields[] = {
    STRING(proto_refused, reason, 32),
    STRING(proto_refused, detail, ERROR_TEXT_MAX),
    INT(proto_refused, min, 0, 65535),
    INT(proto_refused, max, 0, 65535),
    END,
};

static const struct field no_fields[] = {END};

static const struct {
    const char *name;
    const struct field *fields;
} types[PROTO_TYPE_COUNT] = {
    [PROTO_HELLO] = {"hello", hello_fields},
    [PROTO_WELCOME] = {"welcome", welcome_fields},
    [PROTO_PULL] = {"pull", pull_fields},
    [PROTO_ASSIGNMENT] = {"assignment", assignment_fields},
    [PROTO_IDLE] = {"idle", no_fields},
    [PROTO_WATCH] = {"watch", watch_fields},
    [PROTO_WATCHING] = {"watching", watching_fields},
    [PROTO_SETTLE] = {"settle", settle_fields},
    [PROTO_WITNESS] = {"witness", witness_fields},
    [PROTO_REPORT] = {"report", report_fields},
    [PROTO_ACK] = {"ack", ack_fields},
    [PROTO_LEAVING] = {"leaving", leaving_fields},
    [PROTO_REFUSED] = {"refused", refused_fields},
};

const char *proto_type_name(enum proto_type type)
{
    return types[type].name;
}

static void open_message(struct buf *out, enum proto_type type, const void *fields,
                         bool without_rows)
{
    buf_printf(out, "{\"v\":%d,\"type\":\"%s\"", PROTO_VERSION, types[type].name);
    codec_encode(out, types[type].fields, fields, without_rows);
}

static int close_message(struct buf *out, size_t before)
{
    buf_putc(out, '}');
    if (buf_is_full(out) || out->length - before > PROTO_MESSAGE_MAX) {
        buf_truncate(out, before);
        out->full = false;
        return -EMSGSIZE;
    }
    return 0;
}

int proto_encode(const struct proto_message *message, struct buf *out)
{
    size_t before = out->length;

    open_message(out, message->type, &message->hello, false);
    return close_message(out, before);
}

int proto_encode_report(const struct proto_report *head, const struct buf *resolutions,
                        const struct buf *probes, struct buf *out)
{
    size_t before = out->length;

    open_message(out, PROTO_REPORT, head, true);
    buf_puts(out, ",\"resolutions\":[");
    buf_append(out, buf_text(resolutions), resolutions->length);
    buf_puts(out, "],\"probes\":[");
    buf_append(out, buf_text(probes), probes->length);
    buf_putc(out, ']');
    return close_message(out, before);
}

void proto_encode_resolution(struct buf *out, const struct proto_resolution *row)
{
    codec_encode_row(out, resolution_columns, row);
}

void proto_encode_probe(struct buf *out, const struct proto_probe *row)
{
    codec_encode_row(out, probe_columns, row);
}

static int find_type(const char *name, enum proto_type *ret_type)
{
    for (int i = 0; i < PROTO_TYPE_COUNT; i++)
        if (strcmp(types[i].name, name) == 0) {
            *ret_type = (enum proto_type)i;
            return 0;
        }
    return -ENOTSUP;
}

static int decode_object(const cJSON *object, struct proto_message *message, struct error *err)
{
    int64_t version = json_int(object, "v", 0, INT32_MAX, -1);
    const char *type = json_string(object, "type", NULL);
    int r;

    if (version < 0 || !type)
        return error_set(err, -EINVAL, "a message needs 'v' and 'type'");
    if (version != PROTO_VERSION && strcmp(type, "refused") != 0)
        return error_set(err, -EPROTO, "protocol version %lld, but this side speaks %d",
                         (long long)version, PROTO_VERSION);
    r = find_type(type, &message->type);
    if (r < 0)
        return error_set(err, r, "unknown message type '%.40s'", type);
    return codec_decode(object, types[message->type].fields, &message->hello, &message->arena, err);
}

int proto_decode(const void *data, size_t length, struct proto_message *ret_message,
                 struct error *err)
{
    CLEANUP_JSON cJSON *object = NULL;

    memset(ret_message, 0, sizeof(*ret_message));
    if (length > PROTO_MESSAGE_MAX)
        return error_set(err, -EMSGSIZE, "a message of %zu bytes; the limit is %d", length,
                         PROTO_MESSAGE_MAX);
    object = json_parse(data, length, PROTO_DEPTH_MAX, err);
    if (!object)
        return -EINVAL;
    return decode_object(object, ret_message, err);
}

void proto_message_deinit(struct proto_message *message)
{
    arena_deinit(&message->arena);
}
