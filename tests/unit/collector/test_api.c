#include "collector/api.h"
#include "tests/unit/test.h"

static void accepts(const char *body, size_t from, size_t to, int64_t deadline_ms)
{
    struct run_request request;
    struct error err = {""};

    if (api_parse_run_request(body, strlen(body), &request, &err) < 0)
        fail_msg("%s: %s", body, err.text);
    assert_int_equal(request.from.count, from);
    assert_int_equal(request.to.count, to);
    assert_int_equal(request.deadline_ms, deadline_ms);
    run_request_deinit(&request);
}

static void refuses(const char *expected, const char *body)
{
    struct run_request request;
    struct error err = {""};

    assert_true(api_parse_run_request(body, strlen(body), &request, &err) < 0);
    assert_contains(err.text, expected);
    run_request_deinit(&request);
}

static void test_run_requests(void **state)
{
    (void)state;
    accepts("", 0, 0, 0);
    accepts("{}", 0, 0, 0);
    accepts("{\"from\":[\"a\",\"b\"],\"to\":[\"c:tcp\"],\"trigger\":\"gate\",\"deadline\":\"30s\"}",
            2, 1, 30000);
    accepts("{\"from\":null,\"deadline\":5000}", 0, 0, 5000);
    refuses("unknown member 'form'", "{\"form\":[]}");
    refuses("'from' is not a list", "{\"from\":\"a\"}");
    refuses("'to' holds something", "{\"to\":[5]}");
    refuses("'trigger' is 'cron'", "{\"trigger\":\"cron\"}");
    refuses("'deadline' is neither", "{\"deadline\":\"soon\"}");
    refuses("'deadline' is out of range", "{\"deadline\":5}");
    refuses("not a JSON object", "[]");
    refuses("not JSON", "{");
    refuses("nested deeper", "{\"from\":[[[[[[1]]]]]]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_run_requests)};
    return RUN_TESTS(tests);
}
