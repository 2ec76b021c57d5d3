/* test: cmocka with the headers that it wants before it. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#define RUN_TESTS(tests) cmocka_run_group_tests(tests, NULL, NULL)

/* `haystack` holds `needle`; says both when it does not. */
#define assert_contains(haystack, needle)                          \
    do {                                                           \
        if (!strstr(haystack, needle))                             \
            fail_msg("\"%s\" is not in \"%s\"", needle, haystack); \
    } while (0)

#endif
