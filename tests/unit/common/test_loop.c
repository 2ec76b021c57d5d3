#include "common/clock.h"
#include "common/loop.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TIMERS 500

struct fixture {
    struct loop *loop;
    struct loop_timer timers[TIMERS];
    uint64_t last_us;
    int fired;
    struct loop_fd first, second;
    int first_calls, second_calls;
    struct loop_deferred deferred;
    struct loop_deferred *twins[2];
};

static struct fixture fixture;

static void on_timer(void *ctx)
{
    struct loop_timer *timer = ctx;

    assert_true(timer->at_us >= fixture.last_us);
    assert_true(timer->at_us <= clock_mono_us());
    fixture.last_us = timer->at_us;
    fixture.fired++;
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

/* Timers fire in the order of their times, whatever the order of starting and stopping. */
static void test_timers_in_order(void **state)
{
    uint64_t now = clock_mono_us();
    struct loop_timer end = {.fn = stop};
    int expected = 0;

    (void)state;
    fixture = (struct fixture){.loop = loop_new()};
    end.ctx = fixture.loop;
    srand(7);
    for (int i = 0; i < TIMERS; i++) {
        fixture.timers[i] = (struct loop_timer){.fn = on_timer, .ctx = &fixture.timers[i]};
        loop_timer_at(fixture.loop, &fixture.timers[i], now + (uint64_t)(rand() % 5000));
    }
    for (int i = 0; i < TIMERS; i += 3)
        loop_timer_stop(fixture.loop, &fixture.timers[i]);
    for (int i = 0; i < TIMERS; i += 5)
        loop_timer_at(fixture.loop, &fixture.timers[i], now + (uint64_t)(rand() % 5000));
    for (int i = 0; i < TIMERS; i++)
        expected += loop_timer_is_running(&fixture.timers[i]);
    loop_timer_at(fixture.loop, &end, now + 6000);
    assert_int_equal(loop_run(fixture.loop), 0);
    assert_int_equal(fixture.fired, expected);
    loop_free(fixture.loop);
}

static void on_first(void *ctx, uint32_t events)
{
    (void)ctx;
    (void)events;
    fixture.first_calls++;
    loop_remove(fixture.loop, &fixture.first);
    loop_remove(fixture.loop, &fixture.second);
    loop_defer(fixture.loop, &fixture.deferred);
}

static void on_second(void *ctx, uint32_t events)
{
    (void)ctx;
    (void)events;
    fixture.second_calls++;
    loop_remove(fixture.loop, &fixture.first);
    loop_remove(fixture.loop, &fixture.second);
    loop_defer(fixture.loop, &fixture.deferred);
}

/* Both are ready in the same turn; whoever is called first removes the other. */
static void test_removed_source_is_not_called(void **state)
{
    int a = eventfd(1, EFD_NONBLOCK), b = eventfd(1, EFD_NONBLOCK);

    (void)state;
    fixture = (struct fixture){.loop = loop_new()};
    fixture.deferred = (struct loop_deferred){.fn = stop, .ctx = fixture.loop};
    loop_add(fixture.loop, &fixture.first, a, EPOLLIN, on_first, NULL);
    loop_add(fixture.loop, &fixture.second, b, EPOLLIN, on_second, NULL);
    assert_int_equal(loop_run(fixture.loop), 0);
    assert_int_equal(fixture.first_calls + fixture.second_calls, 1);
    loop_free(fixture.loop);
    close(a);
    close(b);
}

/* The twin of the one that is called goes, and takes its memory with it. */
static void on_twin(void *ctx)
{
    size_t other = ctx == &fixture.twins[0];

    fixture.fired++;
    loop_undefer(fixture.loop, fixture.twins[other]);
    free(fixture.twins[other]);
    fixture.twins[other] = NULL;
    loop_defer(fixture.loop, &fixture.deferred);
}

/* Both are due in the same turn; whoever is called first frees the other. */
static void test_undeferred_is_not_called(void **state)
{
    (void)state;
    fixture = (struct fixture){.loop = loop_new()};
    fixture.deferred = (struct loop_deferred){.fn = stop, .ctx = fixture.loop};
    for (size_t i = 0; i < 2; i++) {
        fixture.twins[i] = calloc(1, sizeof(*fixture.twins[i]));
        *fixture.twins[i] = (struct loop_deferred){.fn = on_twin, .ctx = &fixture.twins[i]};
        loop_defer(fixture.loop, fixture.twins[i]);
    }
    assert_int_equal(loop_run(fixture.loop), 0);
    assert_int_equal(fixture.fired, 1);
    free(fixture.twins[0]);
    free(fixture.twins[1]);
    loop_free(fixture.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_in_order),
        cmocka_unit_test(test_removed_source_is_not_called),
        cmocka_unit_test(test_undeferred_is_not_called),
    };
    return RUN_TESTS(tests);
}
