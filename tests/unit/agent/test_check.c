/* Every check's exchange, fed with what servers say: whole, and byte by byte. */
#include "agent/check.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

/* A target with everything a check may look at, and how it differs from the defaults. */
static struct proto_target target_of(const char *check)
{
    static const char *names[] = {"api.shop.local"};

    return (struct proto_target){.check = check,
                                 .record = "A",
                                 .names = names,
                                 .name_count = 1,
                                 .port = 8080,
                                 .path = "/health",
                                 .status = "200-299",
                                 .server = "",
                                 .alpn = "",
                                 .method = "",
                                 .host = "",
                                 .match = "",
                                 .send = "",
                                 .health = ""};
}

struct outcome {
    enum check_result result;
    enum proto_outcome outcome;
    int status;
    char detail[PROTO_TEXT_MAX + 1];
};

static struct outcome feed(const struct proto_target *target, const char *data, size_t length,
                           size_t step, bool is_end)
{
    struct outcome outcome = {.result = CHECK_MORE};
    struct arena arena = {0};
    struct exchange exchange = {0};
    struct check_plan plan;
    const struct check_type *type = check_find(target->check);

    check_make_plan(type, target, target->names[0], &arena, &plan);
    exchange_begin(&exchange, type, &plan);
    for (size_t at = 0; at < length && outcome.result == CHECK_MORE; at += step)
        outcome.result =
            exchange_feed(&exchange, data + at, length - at < step ? length - at : step);
    if (outcome.result == CHECK_MORE && is_end)
        outcome.result = exchange_end(&exchange);
    outcome.outcome = exchange.outcome;
    outcome.status = exchange.status;
    if (exchange.detail)
        snprintf(outcome.detail, sizeof(outcome.detail), "%s", exchange.detail);
    exchange_drop(&exchange);
    arena_deinit(&arena);
    return outcome;
}

/* However the bytes are cut, the verdict is the same. */
static struct outcome judge(const struct proto_target *target, const char *data, size_t length)
{
    struct outcome whole = feed(target, data, length, length ? length : 1, true);

    for (size_t step = 1; step < 9; step++) {
        struct outcome parts = feed(target, data, length, step, true);
        assert_int_equal(parts.result, whole.result);
        if (whole.result == CHECK_FAILED)
            assert_int_equal(parts.outcome, whole.outcome);
    }
    return whole;
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void passes(const struct proto_target *target, const char *data, size_t length)
{
    struct outcome outcome = judge(target, data, length);

    if (outcome.result != CHECK_PASSED)
        fail_msg("%s: %s (%s)", target->check, outcome_name(outcome.outcome), outcome.detail);
}

static void fails(const struct proto_target *target, enum proto_outcome expected,
                  const char *detail, const char *data, size_t length)
{
    struct outcome outcome = judge(target, data, length);

    assert_int_equal(outcome.result, CHECK_FAILED);
    assert_string_equal(outcome_name(outcome.outcome), outcome_name(expected));
    assert_contains(outcome.detail, detail);
}

static void test_http(void **state)
{
    struct proto_target http = target_of("http");

    (void)state;
    passes(&http, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"));
    fails(&http, OUTCOME_BAD_STATUS, "", TEXT("HTTP/1.1 503 Sorry\r\n\r\n"));
    fails(&http, OUTCOME_CLOSED, "", TEXT(""));
    fails(&http, OUTCOME_BAD_REPLY, "", TEXT("HTTP/1.1 200 OK\r\nX"));
    fails(&http, OUTCOME_BAD_REPLY, "not HTTP/1", TEXT("220 mail\r\n"));
}

static void test_http_tls_pages(void **state)
{
    struct proto_target http = target_of("http");
    struct outcome outcome;

    (void)state;
    /* The page has to be there with the head: nginx sends both at once. */
    outcome =
        feed(&http, TEXT("HTTP/1.1 400 Bad\r\n\r\nThe plain HTTP request was sent to HTTPS port"),
             1000, true);
    assert_int_equal(outcome.outcome, OUTCOME_TLS_EXPECTED);
    outcome = feed(&http, TEXT("HTTP/1.1 400 Bad\r\n\r\nNo required SSL certificate was sent"),
                   1000, true);
    assert_int_equal(outcome.outcome, OUTCOME_TLS_CLIENT_CERT);
    outcome = feed(&http, TEXT("\x15\x03\x01\0\2\2\x46"), 1000, true);
    assert_int_equal(outcome.outcome, OUTCOME_TLS_EXPECTED);
}

static void test_http_body(void **state)
{
    struct proto_target http = target_of("http");

    (void)state;
    http.match = "all is well";
    passes(&http, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n> all is well <"));
    passes(&http, TEXT("HTTP/1.0 200 OK\r\n\r\nyes, all is well"));
    passes(&http, TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "5;x=y\r\n-all \r\n6\r\nis wel\r\n1\r\nl\r\n0\r\n\r\n"));
    fails(&http, OUTCOME_BAD_CONTENT, "no 'all is well' in 4 bytes of body",
          TEXT("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope"));
    fails(&http, OUTCOME_BAD_CONTENT, "in 0 bytes",
          TEXT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    fails(&http, OUTCOME_BAD_CONTENT, "in 0 bytes", TEXT("HTTP/1.1 204 None\r\n\r\n"));
    fails(&http, OUTCOME_BAD_REPLY, "in the middle",
          TEXT("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nnope"));
    fails(&http, OUTCOME_BAD_REPLY, "chunks",
          TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"));
    fails(&http, OUTCOME_BAD_REPLY, "chunks",
          TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n"));
    fails(&http, OUTCOME_BAD_STATUS, "", TEXT("HTTP/1.1 500 No\r\n\r\nall is well"));
}

static void test_redis(void **state)
{
    struct proto_target redis = target_of("redis");

    (void)state;
    passes(&redis, TEXT("+PONG\r\n"));
    passes(&redis, TEXT("-NOAUTH Authentication required.\r\n"));
    fails(&redis, OUTCOME_NOT_SERVING, "LOADING Redis is loading",
          TEXT("-LOADING Redis is loading the dataset in memory\r\n"));
    fails(&redis, OUTCOME_NOT_SERVING, "DENIED",
          TEXT("-DENIED Redis is running in protected mode\r\n"));
    fails(&redis, OUTCOME_NOT_SERVING, "max number",
          TEXT("-ERR max number of clients reached\r\n"));
    fails(&redis, OUTCOME_BAD_REPLY, "not Redis", TEXT("HTTP/1.1 400 Bad Request\r\n"));
    fails(&redis, OUTCOME_CLOSED, "", TEXT(""));
}

static void test_postgres(void **state)
{
    struct proto_target postgres = target_of("postgres");

    (void)state;
    passes(&postgres, TEXT("R\0\0\0\x08\0\0\0\0"));
    passes(&postgres, TEXT("E\0\0\0\x21SFATAL\0C28P01\0Mwrong password\0\0"));
    fails(&postgres, OUTCOME_NOT_SERVING, "57P03: starting up",
          TEXT("E\0\0\0\x1fSFATAL\0C57P03\0Mstarting up\0\0\0"));
    fails(&postgres, OUTCOME_BAD_REPLY, "without an SQLSTATE", TEXT("E\0\0\0\x0bSFATAL\0"));
    fails(&postgres, OUTCOME_BAD_REPLY, "not PostgreSQL: 'HTTP",
          TEXT("HTTP/1.1 400 Bad Request\r\n"));
    fails(&postgres, OUTCOME_BAD_REPLY, "first message of", TEXT("R\xff\xff\xff\xff"));
}

/* greeting: version 10, "5", thread, salt, flags ... */
#define GREETING     \
    "\x0a\0\0\0\x0a" \
    "10.11\0\1\0\0"

static void test_mysql(void **state)
{
    struct proto_target mysql = target_of("mysql");

    (void)state;
    passes(&mysql, TEXT(GREETING "\x0e\0\0\2\xff\x15\4#28000denied"));
    passes(&mysql, TEXT(GREETING "\1\0\0\2\xfe"
                                 "\x0e\0\0\4\xff\x15\4#28000denied"));
    passes(&mysql, TEXT(GREETING "\7\0\0\2\0\0\0\2\0\0\0"));
    fails(&mysql, OUTCOME_NOT_SERVING, "error 1040: Too many",
          TEXT("\x0b\0\0\0\xff\x10\4Too many"));
    fails(&mysql, OUTCOME_NOT_SERVING, "error 1129: blocked", TEXT("\x0a\0\0\0\xff\x69\4blocked"));
    fails(&mysql, OUTCOME_BAD_REPLY, "not MySQL", TEXT("SSH-2.0-OpenSSH_9.2\r\n"));
    fails(&mysql, OUTCOME_BAD_REPLY, "no MySQL greeting", TEXT("\2\0\0\0\x09x"));
    fails(&mysql, OUTCOME_CLOSED, "", TEXT(GREETING));
}

/* It sends a whole handshake: what breaks one off counts against the client's address. */
static void test_mysql_logs_in(void **state)
{
    struct proto_target mysql = target_of("mysql");
    struct arena arena = {0};
    struct exchange exchange = {0};
    struct check_plan plan;

    (void)state;
    check_make_plan(&check_mysql, &mysql, "x", &arena, &plan);
    exchange_begin(&exchange, &check_mysql, &plan);
    assert_int_equal(exchange.out_length, 0);
    assert_int_equal(exchange_feed(&exchange, TEXT(GREETING)), CHECK_MORE);
    assert_true(exchange.out_length > 40);
    assert_int_equal((unsigned char)exchange.out[0] + 4, exchange.out_length);
    assert_int_equal(exchange.out[3], 1);
    assert_memory_equal(exchange.out + 4 + 32, "canreach", 9);
    exchange_drop(&exchange);
    arena_deinit(&arena);
}

static void test_udp(void **state)
{
    struct proto_target udp = target_of("udp");
    struct arena arena = {0};
    struct check_plan plan;
    struct outcome outcome;

    (void)state;
    udp.send = "a\\x00\\xFfz\\n\\\\\\q";
    check_make_plan(&check_udp, &udp, "x", &arena, &plan);
    assert_int_equal(plan.request_length, 8);
    assert_memory_equal(plan.request, "a\0\xffz\n\\\\q", 8);
    arena_deinit(&arena);
    udp.match = "pong";
    outcome = feed(&udp, TEXT("pong!"), 100, false);
    assert_int_equal(outcome.result, CHECK_PASSED);
    outcome = feed(&udp, TEXT("ping!"), 100, false);
    assert_int_equal(outcome.outcome, OUTCOME_BAD_CONTENT);
}

/* HTTP/2 as a server frames it: SETTINGS, then HEADERS, DATA and trailers of stream 1. */
#define SETTINGS     "\0\0\0\4\0\0\0\0\0"
#define HEADERS      "\0\0\1\1\4\0\0\0\1\x88"
#define DATA(status) "\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x08" status
/* literal without indexing: "grpc-status" */
#define TRAILERS(status) "\0\0\x0f\1\5\0\0\0\1\0\x0bgrpc-status\1" status

static void test_grpc(void **state)
{
    struct proto_target grpc = target_of("grpc");

    (void)state;
    passes(&grpc, TEXT(SETTINGS HEADERS DATA("\1") TRAILERS("0")));
    fails(&grpc, OUTCOME_NOT_SERVING, "NOT_SERVING",
          TEXT(SETTINGS HEADERS DATA("\2") TRAILERS("0")));
    fails(&grpc, OUTCOME_BAD_REPLY, "no grpc.health.v1",
          TEXT(SETTINGS "\0\0\x11\1\5\0\0\0\1\x88\0\x0bgrpc-status\2"
                        "12"));
    fails(&grpc, OUTCOME_BAD_STATUS, "", TEXT(SETTINGS "\0\0\1\1\5\0\0\0\1\x8d"));
    fails(&grpc, OUTCOME_BAD_REPLY, "without a grpc-status",
          TEXT(SETTINGS "\0\0\1\1\5\0\0\0\1\x88"));
    fails(&grpc, OUTCOME_CLOSED, "", TEXT(SETTINGS HEADERS));
    assert_int_equal(feed(&grpc, TEXT("HTTP/1.1 400 Bad Request\r\n"), 100, true).outcome,
                     OUTCOME_BAD_REPLY);
}

static void test_requests(void **state)
{
    struct proto_target https = target_of("https");
    struct arena arena = {0};
    struct check_plan plan;

    (void)state;
    https.port = 443;
    https.method = "HEAD";
    check_make_plan(&check_https, &https, "api.shop.local", &arena, &plan);
    assert_contains(plan.request, "HEAD /health HTTP/1.1\r\nHost: api.shop.local\r\n");
    assert_true(plan.is_tls && plan.is_head);
    https.port = 8443;
    check_make_plan(&check_https, &https, "api.shop.local", &arena, &plan);
    assert_contains(plan.request, "Host: api.shop.local:8443\r\n");
    https.host = "public.example";
    check_make_plan(&check_https, &https, "api.shop.local", &arena, &plan);
    assert_contains(plan.request, "Host: public.example\r\n");
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http),          cmocka_unit_test(test_http_tls_pages),
        cmocka_unit_test(test_http_body),     cmocka_unit_test(test_redis),
        cmocka_unit_test(test_postgres),      cmocka_unit_test(test_mysql),
        cmocka_unit_test(test_mysql_logs_in), cmocka_unit_test(test_udp),
        cmocka_unit_test(test_grpc),          cmocka_unit_test(test_requests),
    };
    return RUN_TESTS(tests);
}
