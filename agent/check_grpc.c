/* grpc: grpc.health.v1.Health/Check over HTTP/2
 * (https://github.com/grpc/grpc/blob/master/doc/health-checking.md; the wire: PROTOCOL-HTTP2.md).
 */
#include "agent/check.h"

#include "common/mem.h"
#include "common/text.h"
#include "common/version.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_MAX     8192 /* bytes: what waits to be sent */
#define MESSAGE_MAX 64   /* bytes: a HealthCheckResponse is 2 */
#define NO_STATUS   (-1)

#define GRPC_NOT_FOUND     5
#define GRPC_UNIMPLEMENTED 12
#define GRPC_UNAVAILABLE   14

/* nghttp2's callbacks get this; the answer is judged when the stream closes. */
struct call {
    nghttp2_session *session;
    struct buf request; /* the HealthCheckRequest with its 5-byte prefix */
    size_t request_sent;
    char message[MESSAGE_MAX];
    size_t message_length;
    int32_t stream;
    int http_status, grpc_status;
    char grpc_message[80];
    bool is_closed;
    uint32_t error_code;
};

static void *take_memory(size_t size, void *ctx)
{
    (void)ctx;
    return mem_lib_malloc(size);
}

static void free_memory(void *pointer, void *ctx)
{
    (void)ctx;
    mem_free(pointer);
}

static void *take_zeroed(size_t count, size_t size, void *ctx)
{
    (void)ctx;
    return mem_array(count, size);
}

static void *retake_memory(void *old, size_t size, void *ctx)
{
    (void)ctx;
    return mem_lib_realloc(old, size);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *ctx)
{
    struct call *call = ctx;
    char text[sizeof(call->grpc_message)];
    int64_t number;

    (void)session;
    (void)flags;
    if (frame->hd.stream_id != call->stream)
        return 0;
    snprintf(text, sizeof(text), "%.*s", (int)value_length, (const char *)value);
    if (name_length == 7 && memcmp(name, ":status", 7) == 0 && text_to_int(text, 100, 999, &number))
        call->http_status = (int)number;
    else if (name_length == 11 && memcmp(name, "grpc-status", 11) == 0 &&
             text_to_int(text, 0, 999, &number))
        call->grpc_status = (int)number;
    else if (name_length == 12 && memcmp(name, "grpc-message", 12) == 0)
        memcpy(call->grpc_message, text, sizeof(text));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t length, void *ctx)
{
    struct call *call = ctx;
    size_t room = sizeof(call->message) - call->message_length;

    (void)session;
    (void)flags;
    if (stream != call->stream)
        return 0;
    length = length < room ? length : room;
    memcpy(call->message + call->message_length, data, length);
    call->message_length += length;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error_code, void *ctx)
{
    struct call *call = ctx;

    (void)session;
    if (stream == call->stream) {
        call->is_closed = true;
        call->error_code = error_code;
    }
    return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t stream, uint8_t *out, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct call *call = ctx;
    size_t rest = call->request.length - call->request_sent;
    size_t part = rest < size ? rest : size;

    (void)session;
    (void)stream;
    (void)source;
    memcpy(out, buf_text(&call->request) + call->request_sent, part);
    call->request_sent += part;
    if (part == rest)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)part;
}

/* Moves what nghttp2 wants to send to where the probe sends from. */
static bool collect_output(struct exchange *exchange, struct call *call)
{
    const uint8_t *data;
    ssize_t n;

    /* What was sent is not needed any more. */
    if (!exchange->out_length)
        buf_reset(&exchange->reply);
    else if (exchange->out != buf_text(&exchange->reply)) {
        memmove(exchange->reply.data, exchange->out, exchange->out_length);
        buf_truncate(&exchange->reply, exchange->out_length);
    }
    while ((n = nghttp2_session_mem_send(call->session, &data)) > 0)
        buf_append(&exchange->reply, data, (size_t)n);
    exchange->out = buf_text(&exchange->reply);
    exchange->out_length = exchange->reply.length;
    return n == 0 && !buf_is_full(&exchange->reply);
}

/* message HealthCheckRequest { string service = 1; } behind flag and length (5 bytes). */
static void write_request(struct call *call, const char *service)
{
    size_t length = strlen(service), message = length ? length + 2 : 0;

    call->request = BUF_INIT(PROTO_NAME_MAX + 16);
    if (length > 127)
        message++; /* its length takes two bytes (varint) */
    for (int i = 0; i < 3; i++)
        buf_putc(&call->request, '\0');
    buf_putc(&call->request, (char)(message >> 8));
    buf_putc(&call->request, (char)(message & 0xff));
    if (!length)
        return;
    buf_putc(&call->request, 0x0a);
    if (length > 127)
        buf_putc(&call->request, (char)(0x80 | (length & 0x7f)));
    buf_putc(&call->request, (char)(length > 127 ? length >> 7 : length));
    buf_puts(&call->request, service);
}

static nghttp2_nv header(const char *name, const char *value)
{
    union {
        const char *text;
        uint8_t *bytes;
    } key = {name}, content = {value}; /* nghttp2 copies both, and takes them without const */

    return (nghttp2_nv){key.bytes, content.bytes, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static void submit(struct call *call, const struct check_plan *plan)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                               {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1}};
    const nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", plan->is_tls ? "https" : "http"),
        header(":path", "/grpc.health.v1.Health/Check"),
        header(":authority", plan->authority),
        header("te", "trailers"),
        header("content-type", "application/grpc"),
        header("user-agent", "canreach/" CANREACH_VERSION),
    };
    nghttp2_data_provider provider = {.read_callback = read_request};

    nghttp2_submit_settings(call->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings));
    call->stream =
        nghttp2_submit_request(call->session, NULL, headers, ARRAY_SIZE(headers), &provider, call);
}

static void begin(struct exchange *exchange)
{
    struct call *call = mem_alloc(sizeof(*call));
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_mem memory = {NULL, take_memory, free_memory, take_zeroed, retake_memory};

    exchange->session = call;
    exchange->reply = BUF_INIT(OUT_MAX);
    call->grpc_status = NO_STATUS;
    write_request(call, exchange->plan->health);
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new3(&call->session, callbacks, call, NULL, &memory) != 0)
        abort(); /* out of memory, as everywhere (common/mem.h) */
    nghttp2_session_callbacks_del(callbacks);
    submit(call, exchange->plan);
    collect_output(exchange, call);
}

/* message HealthCheckResponse { ServingStatus status = 1; }: 0 unknown, 1 serving, 2 not serving,
 * 3 service unknown. -1: it is none. A default value is not on the wire. */
static int serving_status(const struct call *call)
{
    const char *message = call->message + 5;

    if (call->message_length < 5 || call->message[0] != 0)
        return -1;
    if (call->message_length == 5)
        return 0;
    return call->message_length == 7 && message[0] == 0x08 ? message[1] : -1;
}

static enum check_result judge(struct exchange *exchange, const struct call *call)
{
    static const char *const words[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    int serving = serving_status(call);

    exchange->status = call->http_status;
    if (call->http_status && call->http_status != 200)
        return exchange_fail(exchange, OUTCOME_BAD_STATUS, NULL);
    if (call->grpc_status == NO_STATUS)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY,
                             "the call ended without a grpc-status (HTTP/2 error %u)",
                             call->error_code);
    if (call->grpc_status == GRPC_UNIMPLEMENTED)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY,
                             "it speaks gRPC, but has no grpc.health.v1 service");
    if (call->grpc_status == GRPC_NOT_FOUND)
        return exchange_fail(exchange, OUTCOME_NOT_SERVING, "it does not know the service '%.60s'",
                             exchange->plan->health);
    if (call->grpc_status == GRPC_UNAVAILABLE)
        return exchange_fail(exchange, OUTCOME_NOT_SERVING, "UNAVAILABLE: %s", call->grpc_message);
    if (call->grpc_status != 0)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "grpc-status %d: %s", call->grpc_status,
                             call->grpc_message);
    if (serving == 1)
        return CHECK_PASSED;
    if (serving < 0 || serving > 3)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "no health answer in %zu bytes",
                             call->message_length);
    return exchange_fail(exchange, OUTCOME_NOT_SERVING, "%s", words[serving]);
}

static enum check_result feed(struct exchange *exchange, const char *data, size_t length)
{
    struct call *call = exchange->session;
    ssize_t used;

    if (exchange->step == 0 && check_looks_like_tls(data, length))
        return exchange_fail(exchange, OUTCOME_TLS_EXPECTED, "the answer is a TLS record");
    if (exchange->step == 0 && length >= 5 && memcmp(data, "HTTP/", 5) == 0)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "the peer speaks HTTP/1, not HTTP/2");
    exchange->step = 1;
    used = nghttp2_session_mem_recv(call->session, (const uint8_t *)data, length);
    if (call->is_closed)
        return judge(exchange, call);
    if (used < 0)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "not HTTP/2: %s",
                             nghttp2_strerror((int)used));
    if (!collect_output(exchange, call) ||
        (!nghttp2_session_want_read(call->session) && !nghttp2_session_want_write(call->session)))
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "HTTP/2 broke down");
    return CHECK_MORE;
}

static void drop(struct exchange *exchange)
{
    struct call *call = exchange->session;

    if (!call)
        return;
    nghttp2_session_del(call->session);
    buf_deinit(&call->request);
    mem_free(call);
    exchange->session = NULL;
}

const struct check_type check_grpc = {
    .name = "grpc", .alpn = "h2", .begin = begin, .feed = feed, .drop = drop};
