#include "common/buf.h"
#include "tests/unit/test.h"

#include <stdlib.h>

static void json_text(const char *in, const char *expected)
{
    CLEANUP_BUF struct buf buf = BUF_INIT(1000);

    buf_put_json(&buf, in);
    assert_string_equal(buf_text(&buf), expected);
}

static void test_json_escapes(void **state)
{
    (void)state;
    json_text("", "\"\"");
    json_text("plain", "\"plain\"");
    json_text("a\"b\\c\n\t\x01", "\"a\\\"b\\\\c\\n\\t\\u0001\"");
    json_text("gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"");
}

static void test_json_replaces_invalid_utf8(void **state)
{
    (void)state;
    json_text("\xff", "\"\xEF\xBF\xBD\"");
    json_text("\xc3", "\"\xEF\xBF\xBD\"");
    json_text("\xc0\xaf", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");                 /* overlong '/' */
    json_text("\xed\xa0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""); /* a surrogate */
    json_text("\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"");
}

static void test_full_keeps_what_fitted(void **state)
{
    CLEANUP_BUF struct buf buf = BUF_INIT(5);

    (void)state;
    buf_puts(&buf, "abc");
    buf_puts(&buf, "def");
    assert_true(buf_is_full(&buf));
    assert_string_equal(buf_text(&buf), "abc");
    buf_puts(&buf, "x"); /* would fit, but would leave a gap */
    assert_string_equal(buf_text(&buf), "abc");
    buf_reset(&buf);
    buf_puts(&buf, "12345");
    assert_false(buf_is_full(&buf));
    assert_string_equal(buf_text(&buf), "12345");
}

static void test_numbers(void **state)
{
    CLEANUP_BUF struct buf buf = BUF_INIT(200);

    (void)state;
    buf_put_int(&buf, 0);
    buf_putc(&buf, ' ');
    buf_put_int(&buf, INT64_MIN);
    buf_putc(&buf, ' ');
    buf_put_int(&buf, INT64_MAX);
    assert_string_equal(buf_text(&buf), "0 -9223372036854775808 9223372036854775807");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_escapes),
        cmocka_unit_test(test_json_replaces_invalid_utf8),
        cmocka_unit_test(test_full_keeps_what_fitted),
        cmocka_unit_test(test_numbers),
    };
    return RUN_TESTS(tests);
}
