#include "agent/http.h"
#include "tests/unit/test.h"

/* Feeds `text` in pieces of `step` bytes; returns what the last piece gave. */
static enum http_result feed(const char *text, size_t step, struct http_answer *answer)
{
    size_t length = strlen(text), used;
    enum http_result result = HTTP_MORE;

    *answer = (struct http_answer){0};
    for (size_t at = 0; at < length && result == HTTP_MORE; at += step)
        result = http_feed(answer, text + at, length - at < step ? length - at : step, &used);
    return result;
}

/* However the bytes are cut, the result is the same. */
static void gives(enum http_result expected, int status, const char *text)
{
    for (size_t step = 1; step < 40; step++) {
        struct http_answer answer;
        assert_int_equal(feed(text, step, &answer), expected);
        if (status)
            assert_int_equal(answer.status, status);
    }
}

static void test_answers(void **state)
{
    (void)state;
    gives(HTTP_DONE, 200, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    gives(HTTP_DONE, 503, "HTTP/1.0 503 Service Unavailable\n\n");
    gives(HTTP_DONE, 204, "HTTP/1.1 204\r\n\r\n");
    gives(HTTP_DONE, 200, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    gives(HTTP_MORE, 0, "HTTP/1.1 200 OK\r\nA: b\r\n");
}

static void test_what_is_not_http(void **state)
{
    (void)state;
    gives(HTTP_BAD, 0, "SSH-2.0-OpenSSH_9.2\r\n");
    gives(HTTP_BAD, 0, "HTTP/2 200\r\n\r\n");
    gives(HTTP_BAD, 0, "HTTP/1.1 2000 OK\r\n\r\n");
    gives(HTTP_BAD, 0, "HTTP/1.1 99 Odd\r\n\r\n");
    gives(HTTP_BAD, 0, "\r\n");
    gives(HTTP_BAD, 0, "\x15\x03\x01\x00\x02\x02\x16"); /* a TLS alert, without any line end */
}

static void test_endless_head(void **state)
{
    struct http_answer answer = {0};
    enum http_result result = HTTP_MORE;
    size_t used, fed = 0;

    (void)state;
    assert_int_equal(http_feed(&answer, "HTTP/1.1 200 OK\r\n", 17, &used), HTTP_MORE);
    while (result == HTTP_MORE && fed++ < 1000000)
        result = http_feed(&answer, "X: y\r\n", 6, &used);
    assert_int_equal(result, HTTP_BAD);
    assert_true(fed < HTTP_HEAD_MAX);
}

static void test_request(void **state)
{
    CLEANUP_BUF struct buf buf = BUF_INIT(1000);

    (void)state;
    http_request(&buf, "GET", "/health", "api.shop.local", 8080);
    assert_contains(buf_text(&buf), "GET /health HTTP/1.1\r\nHost: api.shop.local:8080\r\n");
    assert_contains(buf_text(&buf), "Connection: close\r\n\r\n");
    buf_reset(&buf);
    http_request(&buf, "HEAD", "/", "x", 0);
    assert_contains(buf_text(&buf), "HEAD / HTTP/1.1\r\nHost: x\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_what_is_not_http),
        cmocka_unit_test(test_endless_head),
        cmocka_unit_test(test_request),
    };
    return RUN_TESTS(tests);
}
