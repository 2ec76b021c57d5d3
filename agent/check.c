#include "agent/check.h"

#include "common/mem.h"
#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct check_type check_tcp = {.name = "tcp"};
const struct check_type check_tls = {.name = "tls", .is_tls = true};

const struct check_type *const check_types[] = {
    &check_tcp, &check_tls,   &check_http,     &check_https, &check_grpc,
    &check_udp, &check_mysql, &check_postgres, &check_redis,
};
const size_t check_type_count = ARRAY_SIZE(check_types);

const struct check_type *check_find(const char *name)
{
    for (size_t i = 0; i < check_type_count; i++)
        if (strcmp(check_types[i]->name, name) == 0)
            return check_types[i];
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH, \n, \r, \t, \\; a backslash before anything else stands for itself. */
static size_t unescape(const char *text, char *out)
{
    static const char letters[] = "nrt\\", meanings[] = "\n\r\t\\";
    size_t length = 0;

    while (*text) {
        const char *letter = text[0] == '\\' && text[1] ? strchr(letters, text[1]) : NULL;
        if (letter) {
            out[length++] = meanings[letter - letters];
            text += 2;
        } else if (text[0] == '\\' && text[1] == 'x' && hex_digit(text[2]) >= 0 &&
                   hex_digit(text[3]) >= 0) {
            out[length++] = (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
            text += 4;
        } else {
            out[length++] = *text++;
        }
    }
    return length;
}

static void plan_http(const struct proto_target *target, const char *name, struct arena *arena,
                      struct check_plan *plan)
{
    CLEANUP_BUF struct buf request = BUF_INIT(PROTO_PATH_MAX + 1024);
    int default_port = plan->is_tls ? 443 : 80;

    /* With SRV the port is not known yet, and a Host that was given is complete: no port then. */
    http_request(&request, *target->method ? target->method : "GET",
                 *target->path ? target->path : "/", *target->host ? target->host : name,
                 *target->host || target->port == default_port ? 0 : (int)target->port);
    plan->request = arena_strdup(arena, buf_text(&request));
    plan->request_length = request.length;
    plan->is_head = strcmp(target->method, "HEAD") == 0;
}

static void plan_grpc(const struct proto_target *target, const char *name, struct arena *arena,
                      struct check_plan *plan)
{
    if (*target->host || !target->port)
        plan->authority = *target->host ? target->host : name;
    else
        plan->authority = arena_printf(arena, "%s:%d", name, (int)target->port);
    plan->health = target->health;
}

void check_make_plan(const struct check_type *type, const struct proto_target *target,
                     const char *name, struct arena *arena, struct check_plan *ret_plan)
{
    char *payload;

    *ret_plan = (struct check_plan){
        .request = "",
        .status = target->status,
        .match = target->match,
        .rate_bytes = (uint64_t)target->rate_bytes,
        .is_tls = type->is_tls || (target->is_tls && !type->is_datagram),
    };
    if (type == &check_http || type == &check_https) {
        plan_http(target, name, arena, ret_plan);
    } else if (type == &check_grpc) {
        plan_grpc(target, name, arena, ret_plan);
    } else if (type == &check_udp) {
        payload = arena_strdup(arena, target->send);
        ret_plan->request_length = unescape(target->send, payload);
        ret_plan->request = payload;
    }
}

void exchange_begin(struct exchange *exchange, const struct check_type *type,
                    const struct check_plan *plan)
{
    exchange->type = type;
    exchange->plan = plan;
    if (type->begin)
        type->begin(exchange);
}

enum check_result exchange_feed(struct exchange *exchange, const char *data, size_t length)
{
    return exchange->type->feed ? exchange->type->feed(exchange, data, length) : CHECK_PASSED;
}

enum check_result exchange_end(struct exchange *exchange)
{
    if (exchange->type->end)
        return exchange->type->end(exchange);
    return exchange->type->feed ? exchange_fail(exchange, OUTCOME_CLOSED, NULL) : CHECK_PASSED;
}

void exchange_drop(struct exchange *exchange)
{
    if (exchange->type && exchange->type->drop)
        exchange->type->drop(exchange);
    mem_free(exchange->detail);
    exchange->detail = NULL;
    buf_deinit(&exchange->text);
    buf_deinit(&exchange->reply);
}

enum check_result exchange_fail(struct exchange *exchange, enum proto_outcome outcome,
                                const char *format, ...)
{
    char text[PROTO_TEXT_MAX + 1];
    va_list args;

    exchange->outcome = outcome;
    if (!format)
        return CHECK_FAILED;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* A server's words: nothing but printable ASCII gets any further. */
    for (char *c = text; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = *c == '\n' || *c == '\r' || *c == '\t' ? ' ' : '?';
    mem_free(exchange->detail);
    exchange->detail = mem_strdup(text);
    return CHECK_FAILED;
}

bool check_looks_like_tls(const char *data, size_t length)
{
    return length >= 2 && (data[0] == 0x15 || data[0] == 0x16) && data[1] == 0x03;
}
