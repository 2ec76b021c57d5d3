#include "common/json.h"
#include "tests/unit/test.h"

#include <cjson/cJSON.h>

static bool parses(const char *text, unsigned depth)
{
    struct error err;
    cJSON *value = json_parse(text, strlen(text), depth, &err);

    json_free(value);
    return value != NULL;
}

static void test_depth_is_checked_before_parsing(void **state)
{
    static char deep[200000];

    (void)state;
    assert_true(parses("[[1]]", 2));
    assert_false(parses("[[[1]]]", 2));
    assert_true(parses("[\"[[[[\"]", 1)); /* brackets in a string are no nesting */
    assert_true(parses("[\"\\\"[[\"]", 1));
    memset(deep, '[', sizeof(deep) - 1);
    assert_false(parses(deep, 6));
}

static void test_exactly_one_value(void **state)
{
    (void)state;
    assert_true(parses(" {} \n", 2));
    assert_false(parses("{} x", 2));
    assert_false(parses("", 2));
    assert_false(parses("{\"a\":", 2));
}

static void test_whole_numbers(void **state)
{
    CLEANUP_JSON cJSON *object = NULL;
    const char *text = "{\"a\":5,\"b\":5.5,\"c\":1e300,\"d\":\"5\",\"e\":-1}";

    (void)state;
    object = json_parse(text, strlen(text), 2, NULL);
    assert_int_equal(json_int(object, "a", 0, 10, -7), 5);
    assert_int_equal(json_int(object, "b", 0, 10, -7), -7);
    assert_int_equal(json_int(object, "c", 0, INT64_MAX, -7), -7);
    assert_int_equal(json_int(object, "d", 0, 10, -7), -7);
    assert_int_equal(json_int(object, "e", 0, 10, -7), -7);
    assert_int_equal(json_int(object, "none", 0, 10, -7), -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth_is_checked_before_parsing),
        cmocka_unit_test(test_exactly_one_value),
        cmocka_unit_test(test_whole_numbers),
    };
    return RUN_TESTS(tests);
}
