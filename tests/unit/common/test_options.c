#include "common/options.h"
#include "tests/unit/test.h"

#include <stdlib.h>

struct settings {
    const char *name;
    int64_t count, wait_ms;
    bool verbose;
    struct options_list urls;
};

static const struct option_spec specs[] = {
    {"name", "TEST_NAME", OPTION_STRING, offsetof(struct settings, name), "NAME", "none", 0, 0, ""},
    {"count", "TEST_COUNT", OPTION_INT, offsetof(struct settings, count), "N", "3", 1, 10, ""},
    {"wait", NULL, OPTION_DURATION, offsetof(struct settings, wait_ms), "TIME", NULL, 1, 5000, ""},
    {"verbose", NULL, OPTION_FLAG, offsetof(struct settings, verbose), NULL, NULL, 0, 0, ""},
    {"url", "TEST_URL", OPTION_LIST, offsetof(struct settings, urls), "URL", NULL, 0, 0, ""},
};

static int parse(struct settings *settings, struct error *err, int argc, const char *const *argv)
{
    return options_parse(specs, 5, settings, argc, (char *const *)(uintptr_t)argv, NULL, err);
}

#define PARSE(settings, err, ...)                                                            \
    parse(settings, err, (int)(sizeof((const char *[]){"x", __VA_ARGS__}) / sizeof(char *)), \
          (const char *[]){"x", __VA_ARGS__})

static void refuses(const char *expected, int argc, const char *const *argv)
{
    struct settings settings = {0};
    struct error err = {""};

    assert_int_equal(parse(&settings, &err, argc, argv), -22);
    assert_string_equal(err.text, expected);
    options_deinit(specs, 5, &settings);
}

static void test_precedence(void **state)
{
    struct settings settings = {0};
    struct error err;

    (void)state;
    setenv("TEST_COUNT", "5", 1);
    setenv("TEST_URL", "tcp://a, tcp://b", 1);
    assert_int_equal(PARSE(&settings, &err, "--name=web", "--wait", "1.5s", "--verbose"), 0);
    assert_string_equal(settings.name, "web");
    assert_int_equal(settings.count, 5);
    assert_int_equal(settings.wait_ms, 1500);
    assert_true(settings.verbose);
    assert_int_equal(settings.urls.count, 2);
    options_deinit(specs, 5, &settings);

    settings = (struct settings){0};
    assert_int_equal(PARSE(&settings, &err, "--count", "7", "--url", "tcp://c", "--url", "tcp://d"),
                     0);
    assert_int_equal(settings.count, 7);
    assert_string_equal(settings.name, "none");
    assert_int_equal(settings.urls.count, 2); /* flags replace the environment's list */
    assert_string_equal(settings.urls.items[0], "tcp://c");
    options_deinit(specs, 5, &settings);
    unsetenv("TEST_COUNT");
    unsetenv("TEST_URL");
}

static void test_refusals_say_how_to_mend(void **state)
{
    (void)state;
    refuses("unknown option '--cuont'; did you mean '--count'?", 2,
            (const char *[]){"x", "--cuont"});
    refuses("--count: 11 is out of range, 1 to 10", 3, (const char *[]){"x", "--count", "11"});
    refuses("--count: 'many' is not a whole number", 2, (const char *[]){"x", "--count=many"});
    refuses("--wait: '5' is not a duration such as 500ms, 2s or 5m", 3,
            (const char *[]){"x", "--wait", "5"});
    refuses("--count needs a value: --count N", 2, (const char *[]){"x", "--count"});
    refuses("--verbose takes no value", 2, (const char *[]){"x", "--verbose=1"});
    refuses("unexpected argument 'stray'", 2, (const char *[]){"x", "stray"});
    refuses("unknown option '-z'", 2, (const char *[]){"x", "-z"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_refusals_say_how_to_mend),
    };
    return RUN_TESTS(tests);
}
