/* What attempts add up to: rows in, verdicts and what to try again out. */
#include "collector/tries.h"
#include "tests/unit/test.h"

#include "common/mem.h"

#include <stdlib.h>

#define ROWS_MAX 64

/* Sources 0 and 1 are service 0's, 2 to 11 a service each. */
static struct tries_source sources[12];
static struct tries_row rows[ROWS_MAX];
static size_t count;

static int set_up(void **state)
{
    (void)state;
    count = 0;
    for (size_t i = 0; i < 12; i++)
        sources[i] = (struct tries_source){.service = i < 2 ? 0 : i - 1};
    return 0;
}

static struct tries_row *add(uint32_t source, unsigned round, enum proto_phase phase,
                             enum proto_outcome outcome)
{
    assert_true(count < ROWS_MAX);
    rows[count] = (struct tries_row){.source = source,
                                     .name = "n",
                                     .address = phase == PHASE_RESOLVE ? "" : "10.0.0.1",
                                     .port = 80,
                                     .phase = (uint8_t)phase,
                                     .outcome = (uint8_t)outcome,
                                     .round = (uint8_t)round,
                                     .attempt = (uint8_t)count};
    return &rows[count++];
}

static void late(struct tries_row *row, unsigned retransmits)
{
    row->late = OUTCOME_OK;
    row->retransmits = (uint8_t)retransmits;
}

static struct tries_set gather(void)
{
    return tries_gather(rows, count, sources);
}

static void is_judged(enum tries_verdict verdict, bool is_confirmed)
{
    struct tries_set set = gather();

    assert_int_equal(set.tries[0].verdict, verdict);
    assert_int_equal(set.tries[0].is_confirmed, is_confirmed);
    tries_deinit(&set);
}

static size_t plan(unsigned round, struct tries_item *ret_items, size_t max)
{
    struct tries_set set = gather();
    struct tries_item *items;
    size_t planned = tries_plan(&set, sources, 12, round, NULL, NULL, &items);

    for (size_t i = 0; i < planned && i < max; i++)
        ret_items[i] = items[i];
    mem_free(items);
    tries_deinit(&set);
    return planned;
}

static void test_one_pass_is_a_pass(void **state)
{
    (void)state;
    add(0, 0, PHASE_EXCHANGE, OUTCOME_OK);
    is_judged(TRIES_PASSED, false);
    assert_int_equal(plan(1, NULL, 0), 0);
}

static void test_one_failure_is_open(void **state)
{
    (void)state;
    add(0, 0, PHASE_CONNECT, OUTCOME_REFUSED);
    is_judged(TRIES_FAILED, false);
}

static void test_the_same_again_is_confirmed(void **state)
{
    (void)state;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(0, 1, PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(0, 1, PHASE_CONNECT, OUTCOME_TIMEOUT);
    is_judged(TRIES_FAILED, true);
}

static void test_more_failures_than_passes_fail(void **state)
{
    (void)state;
    add(0, 0, PHASE_EXCHANGE, OUTCOME_BAD_STATUS);
    add(0, 1, PHASE_EXCHANGE, OUTCOME_BAD_STATUS);
    add(0, 1, PHASE_EXCHANGE, OUTCOME_OK);
    is_judged(TRIES_FAILED, true);
    add(0, 0, PHASE_EXCHANGE, OUTCOME_OK); /* a sample before: two of four */
    is_judged(TRIES_PASSED, false);
}

/* A time-out of the sweep was not waited for what came late: it does not count against a pass. */
static void test_a_time_out_that_went_away(void **state)
{
    (void)state;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(0, 1, PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(0, 1, PHASE_EXCHANGE, OUTCOME_OK);
    is_judged(TRIES_PASSED, false);
}

static void test_loss_is_not_down(void **state)
{
    struct tries_set set;

    (void)state;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    late(add(0, 1, PHASE_CONNECT, OUTCOME_TIMEOUT), 1);
    add(0, 1, PHASE_EXCHANGE, OUTCOME_OK);
    set = gather();
    assert_int_equal(set.tries[0].verdict, TRIES_PASSED);
    assert_int_equal(set.tries[0].lossy, 2); /* the first try's SYN, too: others got through */
    assert_int_equal(set.tries[0].retransmits, 1);
    tries_deinit(&set);
}

/* Late each time: it is tried once more before anything is said, and fails if that does not help.
 */
static void test_never_in_time_is_tried_once_more(void **state)
{
    struct tries_item item;

    (void)state;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    late(add(0, 1, PHASE_CONNECT, OUTCOME_TIMEOUT), 1);
    late(add(0, 1, PHASE_CONNECT, OUTCOME_TIMEOUT), 1);
    assert_int_equal(plan(2, &item, 1), 1);
    is_judged(TRIES_FAILED, true);
    add(0, 2, PHASE_EXCHANGE, OUTCOME_OK);
    is_judged(TRIES_PASSED, false);
}

/* Late without anything sent again: the app is slow, and that is a failure. */
static void test_slow_is_not_loss(void **state)
{
    (void)state;
    add(0, 0, PHASE_EXCHANGE, OUTCOME_TIMEOUT);
    late(add(0, 1, PHASE_EXCHANGE, OUTCOME_TIMEOUT), 0);
    late(add(0, 1, PHASE_EXCHANGE, OUTCOME_TIMEOUT), 0);
    is_judged(TRIES_FAILED, true);
}

static void test_a_void_is_not_loss(void **state)
{
    struct tries_set set;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        add(0, i > 0, PHASE_CONNECT, OUTCOME_TIMEOUT)->retransmits = 2;
    set = gather();
    assert_int_equal(set.tries[0].lossy, 0);
    tries_deinit(&set);
}

/* ---- who tries again ---- */

static void test_the_same_and_another_task_try_again(void **state)
{
    struct tries_item items[4];

    (void)state;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(1, 0, PHASE_EXCHANGE, OUTCOME_OK);
    assert_int_equal(plan(1, items, 4), 2);
    assert_int_equal(items[0].source, 0);
    assert_int_equal(items[0].attempts, TRIES_ATTEMPTS);
    assert_int_equal(items[1].source, 1);
    assert_int_equal(items[1].attempts, 1);
}

static void test_two_failing_tasks_speak_for_each_other(void **state)
{
    struct tries_item items[4];

    (void)state;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(1, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    assert_int_equal(plan(1, items, 4), 2);
    assert_int_equal(items[0].attempts, TRIES_ATTEMPTS);
    assert_int_equal(items[1].attempts, TRIES_ATTEMPTS);
}

/* Its agent is away: the other task tries, and what it finds speaks for both. */
static void test_an_absent_task_is_spoken_for(void **state)
{
    struct tries_item items[4];

    (void)state;
    sources[0].is_absent = true;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    assert_int_equal(plan(1, items, 4), 1);
    assert_int_equal(items[0].source, 1);
    add(1, 1, PHASE_CONNECT, OUTCOME_TIMEOUT);
    is_judged(TRIES_FAILED, true);
}

/* Ten services fail at one endpoint: eight tasks try again, and speak for the others. */
static void test_a_few_speak_for_many(void **state)
{
    struct tries_item items[16];
    struct tries_set set;

    (void)state;
    for (uint32_t i = 2; i < 12; i++)
        add(i, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    assert_int_equal(plan(1, items, 16), TRIES_WITNESSES);
    for (size_t i = 0; i < TRIES_WITNESSES; i++)
        add(items[i].source, 1, PHASE_CONNECT, OUTCOME_TIMEOUT);
    set = gather();
    for (size_t i = 0; i < set.count; i++)
        assert_true(set.tries[i].is_confirmed);
    tries_deinit(&set);
}

/* ... unless one of the eight got through: then everybody tries for himself. */
static void test_a_contradiction_is_looked_into(void **state)
{
    struct tries_item items[16];

    (void)state;
    for (uint32_t i = 2; i < 12; i++)
        add(i, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    assert_int_equal(plan(1, items, 16), TRIES_WITNESSES);
    for (size_t i = 0; i < TRIES_WITNESSES; i++)
        add(items[i].source, 1, PHASE_CONNECT, i ? OUTCOME_TIMEOUT : OUTCOME_OK);
    assert_int_equal(plan(2, items, 16), 10 - TRIES_WITNESSES);
}

static struct tries_row *hung(uint32_t source, unsigned round)
{
    struct tries_row *row = add(source, round, PHASE_EXCHANGE, OUTCOME_TIMEOUT);

    row->is_silent = true;
    return row;
}

/* Each connection stays in the queue of an app that accepts nothing: one task tries again. */
static void test_a_hung_endpoint_is_tried_again_by_one(void **state)
{
    struct tries_item items[16];
    struct tries_set set;

    (void)state;
    for (uint32_t i = 2; i < 7; i++)
        hung(i, 0);
    add(7, 0, PHASE_CONNECT, OUTCOME_SPARED);
    assert_int_equal(plan(1, items, 16), 1);
    hung(items[0].source, 1);
    set = gather();
    for (size_t i = 0; i < set.count; i++) {
        assert_int_equal(set.tries[i].verdict, TRIES_FAILED);
        assert_true(set.tries[i].is_confirmed);
    }
    tries_deinit(&set);
}

static void test_what_was_spared_is_tried_once_it_is_well(void **state)
{
    struct tries_item items[4];

    (void)state;
    add(2, 0, PHASE_EXCHANGE, OUTCOME_OK);
    add(3, 0, PHASE_CONNECT, OUTCOME_SPARED);
    assert_int_equal(plan(1, items, 4), 1);
    assert_int_equal(items[0].source, 3);
    add(3, 1, PHASE_EXCHANGE, OUTCOME_OK);
    sources[2].service = 99;
    assert_int_equal(plan(2, items, 4), 0);
}

static void test_a_name_that_resolves_at_last(void **state)
{
    struct tries_set set;

    (void)state;
    add(0, 0, PHASE_RESOLVE, OUTCOME_SERVFAIL);
    add(0, 1, PHASE_EXCHANGE, OUTCOME_OK);
    set = gather();
    assert_int_equal(set.tries[0].verdict, TRIES_NEUTRAL);
    assert_int_equal(set.tries[1].verdict, TRIES_PASSED);
    tries_deinit(&set);
}

static void test_a_source_that_left_proves_nothing(void **state)
{
    (void)state;
    sources[0].has_left = sources[0].is_absent = true;
    add(0, 0, PHASE_CONNECT, OUTCOME_TIMEOUT);
    is_judged(TRIES_GONE, false);
}

/* Any order of the rows gives the same. */
static void test_order_does_not_matter(void **state)
{
    struct tries_set first, second;

    (void)state;
    for (uint32_t i = 0; i < 40; i++)
        add(i % 7, i % 3 == 0, i % 5 ? PHASE_CONNECT : PHASE_EXCHANGE,
            i % 4 ? OUTCOME_TIMEOUT : OUTCOME_OK)
            ->attempt = (uint8_t)(i / 7);
    first = gather();
    srand(1);
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = (size_t)rand() % (i + 1);
        struct tries_row row = rows[i];
        rows[i] = rows[j];
        rows[j] = row;
    }
    second = gather();
    assert_int_equal(first.count, second.count);
    for (size_t i = 0; i < first.count; i++) {
        assert_int_equal(first.tries[i].verdict, second.tries[i].verdict);
        assert_int_equal(first.tries[i].is_confirmed, second.tries[i].is_confirmed);
        assert_int_equal(first.tries[i].failed, second.tries[i].failed);
    }
    tries_deinit(&first);
    tries_deinit(&second);
}

#define TRIES_TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRIES_TEST(test_one_pass_is_a_pass),
        TRIES_TEST(test_one_failure_is_open),
        TRIES_TEST(test_the_same_again_is_confirmed),
        TRIES_TEST(test_more_failures_than_passes_fail),
        TRIES_TEST(test_a_time_out_that_went_away),
        TRIES_TEST(test_loss_is_not_down),
        TRIES_TEST(test_never_in_time_is_tried_once_more),
        TRIES_TEST(test_slow_is_not_loss),
        TRIES_TEST(test_a_void_is_not_loss),
        TRIES_TEST(test_the_same_and_another_task_try_again),
        TRIES_TEST(test_two_failing_tasks_speak_for_each_other),
        TRIES_TEST(test_an_absent_task_is_spoken_for),
        TRIES_TEST(test_a_few_speak_for_many),
        TRIES_TEST(test_a_contradiction_is_looked_into),
        TRIES_TEST(test_a_hung_endpoint_is_tried_again_by_one),
        TRIES_TEST(test_what_was_spared_is_tried_once_it_is_well),
        TRIES_TEST(test_a_name_that_resolves_at_last),
        TRIES_TEST(test_a_source_that_left_proves_nothing),
        TRIES_TEST(test_order_does_not_matter),
    };
    return RUN_TESTS(tests);
}
