#include "agent/budget.h"
#include "common/mem.h"
#include "tests/unit/test.h"

#include <string.h>

static void test_slots(void **state)
{
    struct budget budget = {.slots = 0};
    uint64_t retry;

    (void)state;
    for (int i = 0; i < BUDGET_SLOTS; i++)
        assert_int_equal(budget_take(&budget, 1, 5000000, &retry), BUDGET_GO);
    assert_int_equal(budget_take(&budget, 1, 5000000, &retry), BUDGET_NO_SLOT);
    budget_give(&budget, 1);
    assert_int_equal(budget_take(&budget, BUDGET_TLS_SLOTS, 5000000, &retry), BUDGET_NO_SLOT);
    assert_int_equal(budget_take(&budget, 1, 5000000, &retry), BUDGET_GO);
}

/* Whatever the moments of the attempts, no second holds more than BUDGET_RATE starts. */
static void test_rate_in_any_second(void **state)
{
    static uint64_t starts[200000];
    struct budget budget = {.slots = 0};
    size_t count = 0, first = 0;
    uint64_t now = 123456789, retry, seed = 1;

    (void)state;
    while (count < 20000) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        now += seed >> 33 & 1023;
        if (budget_take(&budget, 1, now, &retry) == BUDGET_GO) {
            budget_give(&budget, 1);
            starts[count++] = now;
        } else {
            assert_true(retry > now && retry <= now + BUDGET_TICK_US);
            now = retry;
        }
    }
    for (size_t i = 0; i < count; i++) {
        while (starts[i] - starts[first] >= 1000000)
            first++;
        assert_true(i - first + 1 <= BUDGET_RATE);
    }
    /* ... and it is used: 20,000 starts take no more than a little over their 10 seconds. */
    assert_true(starts[count - 1] - starts[0] < 10500000);
}

/* An agent that slept for a day starts at once. */
static void test_after_a_long_time(void **state)
{
    struct budget budget = {.slots = 0};
    uint64_t retry;

    (void)state;
    for (int i = 0; i < BUDGET_RATE; i++) {
        assert_int_equal(budget_take(&budget, 1, 1000000, &retry), BUDGET_GO);
        budget_give(&budget, 1);
    }
    assert_int_equal(budget_take(&budget, 1, 1000000, &retry), BUDGET_TOO_FAST);
    assert_int_equal(budget_take(&budget, 1, 86400000000, &retry), BUDGET_GO);
}

static void test_memory(void **state)
{
    struct budget budget = {.slots = 0};
    size_t before = mem_used();
    void *large;

    (void)state;
    assert_true(budget_has_memory(&budget));
    large = mem_alloc(BUDGET_MEMORY);
    assert_true(mem_used() >= before + BUDGET_MEMORY);
    assert_false(budget_has_memory(&budget));
    assert_int_equal(budget.counters[BUDGET_BY_MEMORY], 1);
    large = mem_resize(large, 10, 1);
    assert_true(budget_has_memory(&budget));
    mem_free(large);
    assert_int_equal(mem_used(), before);
}

static void test_every_counter_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < BUDGET_COUNTERS; i++)
        assert_true(strlen(budget_counter_name((enum budget_counter)i)) > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_rate_in_any_second),
        cmocka_unit_test(test_after_a_long_time),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_every_counter_has_a_name),
    };
    return RUN_TESTS(tests);
}
