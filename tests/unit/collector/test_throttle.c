/* The limits per endpoint, with time handed in. */
#include "collector/throttle.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND 1000000ULL

static struct throttle throttle;
static struct throttle_place *place;
static uint64_t delay_us;
static const struct throttle_wish one = {.weight = 1, .starts = 1};

static int set_up(void **state)
{
    (void)state;
    place = throttle_place(&throttle, "api", 80);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    throttle_deinit(&throttle);
    throttle = (struct throttle){0};
    return 0;
}

static void test_five_in_flight(void **state)
{
    (void)state;
    assert_ptr_equal(throttle_place(&throttle, "api", 80), place);
    for (int i = 0; i < THROTTLE_IN_FLIGHT; i++)
        assert_true(throttle_take(&throttle, place, &one, 0, &delay_us));
    assert_false(throttle_take(&throttle, place, &one, 0, &delay_us));
    assert_true(throttle_take(&throttle, throttle_place(&throttle, "web", 80), &one, 0, &delay_us));
    throttle_give(place, 1);
    assert_true(throttle_take(&throttle, place, &one, 0, &delay_us));
}

/* A probe that is gone at once makes room for the next: whatever second is looked at, no more than
 * fifty start in it. */
static void test_starts_are_spread(void **state)
{
    uint64_t starts[1000];
    size_t count = 0;

    (void)state;
    for (uint64_t now = 0; now < 3 * SECOND; now += 1000) {
        if (!throttle_take(&throttle, place, &one, now, &delay_us))
            continue;
        starts[count++] = now + delay_us;
        throttle_give(place, 1);
    }
    assert_true(count > 100);
    for (size_t i = 0, j = 0; i < count; i++) {
        while (starts[i] - starts[j] >= SECOND)
            j++;
        assert_true(i - j + 1 <= 50);
    }
}

/* Nothing is in flight whose end would wake the one that waits: its own moment is told, also where
 * a single start would be free at once; and it is granted then. */
static void check_retry(bool has_address, const struct throttle_wish *wish, uint64_t now_us)
{
    uint64_t at_us;

    for (int i = 0; i < THROTTLE_STARTS - 2; i++) {
        if (has_address) {
            assert_true(throttle_take_endpoint(&throttle, place, "10.0.0.1", 80, &one,
                                               now_us + 10000 * (uint64_t)i, &delay_us));
            throttle_give_endpoint(&throttle, "10.0.0.1", 80, 1);
        } else {
            assert_true(
                throttle_take(&throttle, place, &one, now_us + 10000 * (uint64_t)i, &delay_us));
            throttle_give(place, 1);
        }
    }
    now_us += 10000 * (THROTTLE_STARTS - 2);
    assert_int_equal(throttle_retry_us(&throttle, now_us), 0);
    for (int i = 0; i < 2; i++) {
        bool is_granted = has_address ? throttle_take_endpoint(&throttle, place, "10.0.0.1", 80,
                                                               wish, now_us, &delay_us)
                                      : throttle_take(&throttle, place, wish, now_us, &delay_us);
        assert_int_equal(is_granted, i);
        at_us = throttle_retry_us(&throttle, now_us);
        if (i == 0)
            assert_in_range(at_us, now_us + 1, now_us + SECOND);
        now_us = at_us;
    }
}

static void test_who_is_refused_is_told_when(void **state)
{
    struct throttle_wish four = {.weight = 2, .starts = 4};

    (void)state;
    check_retry(false, &four, SECOND);
    check_retry(true, &four, 3 * SECOND);
}

static void test_a_reserved_place_is_kept(void **state)
{
    struct throttle_wish two = {.weight = 2, .reserve = 1, .starts = 2};

    (void)state;
    assert_true(throttle_take(&throttle, place, &two, 0, &delay_us));
    assert_true(throttle_take(&throttle, place, &two, 0, &delay_us));
    assert_false(throttle_take(&throttle, place, &two, 0, &delay_us));
    assert_true(throttle_take(&throttle, place, &one, 0, &delay_us));
}

/* An endpoint that is known is limited by itself, but never together with probes that may reach it
 * unknowingly to more than five. */
static void test_endpoints_and_their_place(void **state)
{
    struct throttle_wish three = {.weight = 3, .starts = 1};

    (void)state;
    assert_true(throttle_take_endpoint(&throttle, place, "10.0.0.1", 80, &three, 0, &delay_us));
    assert_true(throttle_take_endpoint(&throttle, place, "10.0.0.2", 80, &three, 0, &delay_us));
    assert_false(throttle_take_endpoint(&throttle, place, "10.0.0.1", 80, &three, 0, &delay_us));
    assert_true(throttle_take(&throttle, place, &one, 0, &delay_us));
    assert_true(throttle_take(&throttle, place, &one, 0, &delay_us));
    assert_false(throttle_take(&throttle, place, &one, 0, &delay_us));
    throttle_give_endpoint(&throttle, "10.0.0.1", 80, 3);
    throttle_give_endpoint(&throttle, "10.0.0.2", 80, 3);
    assert_true(throttle_take(&throttle, place, &one, 0, &delay_us));
}

static struct proto_probe row(const char *address, enum proto_phase phase,
                              enum proto_outcome outcome, int64_t bytes)
{
    return (struct proto_probe){
        .address = address, .port = 80, .phase = phase, .outcome = outcome, .bytes_in = bytes};
}

static void note(const char *address, enum proto_phase phase, enum proto_outcome outcome,
                 uint64_t now)
{
    struct proto_probe probe = row(address, phase, outcome, 0);

    throttle_note(&throttle, place, &probe, now);
}

/* Two services behind one load balancer share its limits once that is known. */
static void test_places_that_share_an_endpoint(void **state)
{
    struct throttle_place *other = throttle_place(&throttle, "web", 443);
    struct proto_probe probe = row("10.0.0.9", PHASE_EXCHANGE, OUTCOME_OK, 10);

    (void)state;
    throttle_note(&throttle, place, &probe, 0);
    throttle_note(&throttle, other, &probe, 0);
    for (int i = 0; i < 3; i++)
        assert_true(throttle_take(&throttle, place, &one, 0, &delay_us));
    assert_true(throttle_take(&throttle, other, &one, 0, &delay_us));
    assert_true(throttle_take(&throttle, other, &one, 0, &delay_us));
    assert_false(throttle_take(&throttle, other, &one, 0, &delay_us));
    assert_false(throttle_take(&throttle, place, &one, 0, &delay_us));
}

static size_t spared(int64_t run, uint64_t now)
{
    struct arena arena = {0};
    const char *list[8];
    size_t count = throttle_spared(&throttle, place, run, now, &arena, list, 8);

    if (count)
        assert_string_equal(list[0], "10.0.0.1:80");
    arena_deinit(&arena);
    return count;
}

static void test_a_hung_endpoint_is_left_alone(void **state)
{
    (void)state;
    for (int i = 0; i < THROTTLE_HUNG_AFTER; i++) {
        assert_int_equal(spared(1, 0), 0);
        note("10.0.0.1", PHASE_EXCHANGE, OUTCOME_TIMEOUT, 0);
    }
    assert_int_equal(spared(1, 0), 0); /* one may look again ... */
    assert_int_equal(spared(1, 0), 1); /* ... and the others leave it alone */
    assert_int_equal(spared(2, 0), 0); /* and one in the next run */
    assert_int_equal(spared(2, 0), 1);
    note("10.0.0.1", PHASE_EXCHANGE, OUTCOME_OK, 0);
    assert_int_equal(spared(2, 0), 0);
}

/* 10 sources, a run every minute for a day: a backlog of 128 is never filled. */
static void test_the_queue_is_never_filled_by_us(void **state)
{
    unsigned waiting = 0;

    (void)state;
    for (int64_t run = 1; run <= 24 * 60; run++)
        for (int source = 0; source < 10; source++) {
            uint64_t now = (uint64_t)run * 60 * SECOND;
            if (spared(run, now))
                continue;
            waiting++;
            note("10.0.0.1", PHASE_EXCHANGE, OUTCOME_TIMEOUT, now);
        }
    assert_true(waiting >= THROTTLE_UNANSWERED_MAX);
    assert_true(waiting < 128 / 2);
}

static void test_what_the_target_says_counts(void **state)
{
    (void)state;
    for (int i = 0; i < THROTTLE_UNANSWERED_MAX; i++)
        note("10.0.0.1", PHASE_TLS, OUTCOME_TIMEOUT, 0);
    assert_int_equal(spared(1, SECOND), 1);
    throttle_note_queue(&throttle, "10.0.0.1", 80, 0);
    assert_int_equal(spared(1, SECOND), 0);
    for (int i = 0; i < THROTTLE_UNANSWERED_MAX; i++)
        note("10.0.0.1", PHASE_TLS, OUTCOME_TIMEOUT, 0);
    assert_int_equal(spared(1, SECOND), 1);
    throttle_forget(&throttle, "10.0.0.1"); /* a new task has the address */
    assert_int_equal(spared(1, SECOND), 0);
}

/* Nothing of these waits in anybody's queue. */
static void test_what_is_not_hung(void **state)
{
    struct proto_probe slow = row("10.0.0.1", PHASE_EXCHANGE, OUTCOME_TIMEOUT, 100);

    (void)state;
    for (int i = 0; i < 100; i++) {
        note("10.0.0.1", PHASE_CONNECT, OUTCOME_TIMEOUT, 0);
        note("10.0.0.1", PHASE_CONNECT, OUTCOME_REFUSED, 0);
        note("127.255.0.1", PHASE_EXCHANGE, OUTCOME_TIMEOUT, 0);
        throttle_note(&throttle, place, &slow, 0);
    }
    assert_int_equal(spared(1, 0), 0);
    assert_int_equal(throttle.hung, 0);
}

static void test_memory_is_bounded(void **state)
{
    char address[32];

    (void)state;
    for (unsigned i = 0; i < THROTTLE_ENDPOINTS_MAX + 100; i++) {
        snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        note(address, PHASE_EXCHANGE, OUTCOME_TIMEOUT, 0);
    }
    assert_int_equal(HASH_COUNT(throttle.endpoints), THROTTLE_ENDPOINTS_MAX);
    assert_true(throttle_take_endpoint(&throttle, place, "10.9.9.9", 80, &one, 0, &delay_us));
}

#define THROTTLE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        THROTTLE_TEST(test_five_in_flight),
        THROTTLE_TEST(test_starts_are_spread),
        THROTTLE_TEST(test_who_is_refused_is_told_when),
        THROTTLE_TEST(test_a_reserved_place_is_kept),
        THROTTLE_TEST(test_endpoints_and_their_place),
        THROTTLE_TEST(test_places_that_share_an_endpoint),
        THROTTLE_TEST(test_a_hung_endpoint_is_left_alone),
        THROTTLE_TEST(test_the_queue_is_never_filled_by_us),
        THROTTLE_TEST(test_what_the_target_says_counts),
        THROTTLE_TEST(test_what_is_not_hung),
        THROTTLE_TEST(test_memory_is_bounded),
    };
    return RUN_TESTS(tests);
}
