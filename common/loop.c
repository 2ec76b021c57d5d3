#include "common/loop.h"

#include "common/clock.h"
#include "common/mem.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LOOP_EVENTS_PER_TURN 256

struct loop {
    int epoll_fd;
    uint64_t now_us;
    bool stopped;

    struct loop_timer **heap; /* 1-based binary heap, earliest first */
    size_t timers;
    size_t heap_capacity;

    struct epoll_event events[LOOP_EVENTS_PER_TURN];
    int event_count;

    struct loop_deferred *deferred; /* of the next turn's end */
    struct loop_deferred *due;      /* of this one's */

    struct loop_fd signal_source;
    loop_fn signal_fn;
    void *signal_ctx;
};

struct loop *loop_new(void)
{
    struct loop *loop = mem_alloc(sizeof(*loop));

    loop->signal_source.fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return loop_free(loop);
    loop->now_us = clock_mono_us();
    return loop;
}

struct loop *loop_free(struct loop *loop)
{
    if (!loop)
        return NULL;
    if (loop->signal_source.fd >= 0)
        close(loop->signal_source.fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    mem_free(loop->heap);
    mem_free(loop);
    return NULL;
}

uint64_t loop_now_us(const struct loop *loop)
{
    return loop->now_us;
}

int loop_add(struct loop *loop, struct loop_fd *source, int fd, uint32_t events, loop_fd_fn fn,
             void *ctx)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    *source = (struct loop_fd){.fd = fd, .events = events, .fn = fn, .ctx = ctx};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        source->events = 0;
        return -errno;
    }
    return 0;
}

int loop_modify(struct loop *loop, struct loop_fd *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    if (source->events == events)
        return 0;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
        return -errno;
    source->events = events;
    return 0;
}

void loop_forget(struct loop *loop, struct loop_fd *source)
{
    source->events = 0;
    for (int i = 0; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == source)
            loop->events[i].data.ptr = NULL;
}

void loop_remove(struct loop *loop, struct loop_fd *source)
{
    if (!source->events)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    loop_forget(loop, source);
}

static void place(struct loop *loop, struct loop_timer *timer, size_t slot)
{
    loop->heap[slot] = timer;
    timer->slot = slot;
}

static void sift_up(struct loop *loop, struct loop_timer *timer, size_t slot)
{
    while (slot > 1 && timer->at_us < loop->heap[slot / 2]->at_us) {
        place(loop, loop->heap[slot / 2], slot);
        slot /= 2;
    }
    place(loop, timer, slot);
}

static void sift_down(struct loop *loop, struct loop_timer *timer, size_t slot)
{
    for (;;) {
        size_t child = slot * 2;
        if (child > loop->timers)
            break;
        if (child < loop->timers && loop->heap[child + 1]->at_us < loop->heap[child]->at_us)
            child++;
        if (timer->at_us <= loop->heap[child]->at_us)
            break;
        place(loop, loop->heap[child], slot);
        slot = child;
    }
    place(loop, timer, slot);
}

void loop_timer_at(struct loop *loop, struct loop_timer *timer, uint64_t at_us)
{
    loop_timer_stop(loop, timer);
    assert(timer->fn);
    timer->at_us = at_us;
    /* Slot 0 of the heap is unused: one more than the count must fit. */
    mem_grow(&loop->heap, loop->timers + 1, &loop->heap_capacity, sizeof(*loop->heap));
    loop->timers++;
    sift_up(loop, timer, loop->timers);
}

void loop_timer_in_ms(struct loop *loop, struct loop_timer *timer, uint64_t ms)
{
    loop_timer_at(loop, timer, clock_mono_us() + ms * 1000);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    size_t slot = timer->slot;
    struct loop_timer *last;

    if (!slot)
        return;
    timer->slot = 0;
    last = loop->heap[loop->timers--];
    if (last == timer)
        return;
    if (slot > 1 && last->at_us < loop->heap[slot / 2]->at_us)
        sift_up(loop, last, slot);
    else
        sift_down(loop, last, slot);
}

bool loop_timer_is_running(const struct loop_timer *timer)
{
    return timer->slot != 0;
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
    if (deferred->queued)
        return;
    deferred->queued = true;
    deferred->next = loop->deferred;
    loop->deferred = deferred;
}

static bool take_out(struct loop_deferred **list, const struct loop_deferred *deferred)
{
    for (struct loop_deferred **at = list; *at; at = &(*at)->next)
        if (*at == deferred) {
            *at = deferred->next;
            return true;
        }
    return false;
}

void loop_undefer(struct loop *loop, struct loop_deferred *deferred)
{
    if (!take_out(&loop->deferred, deferred))
        take_out(&loop->due, deferred);
    deferred->queued = false;
}

static void on_signal(void *ctx, uint32_t events)
{
    struct loop *loop = ctx;
    struct signalfd_siginfo info;

    (void)events;
    while (read(loop->signal_source.fd, &info, sizeof(info)) == sizeof(info))
        loop->signal_fn(loop->signal_ctx);
}

int loop_catch_signals(struct loop *loop, loop_fn fn, void *ctx)
{
    sigset_t set;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    loop->signal_fn = fn;
    loop->signal_ctx = ctx;
    return loop_add(loop, &loop->signal_source, fd, EPOLLIN, on_signal, loop);
}

static int wait_ms(const struct loop *loop)
{
    uint64_t now, at;

    if (loop->deferred)
        return 0;
    if (!loop->timers)
        return -1;
    now = clock_mono_us();
    at = loop->heap[1]->at_us;
    if (at <= now)
        return 0;
    /* Rounded up: a timer is never early, and the loop never spins on a fraction. */
    return at - now > 3600000000U ? 3600000 : (int)((at - now + 999) / 1000);
}

static void run_timers(struct loop *loop)
{
    while (loop->timers && loop->heap[1]->at_us <= loop->now_us && !loop->stopped) {
        struct loop_timer *timer = loop->heap[1];
        loop_timer_stop(loop, timer);
        timer->fn(timer->ctx);
    }
}

static void run_deferred(struct loop *loop)
{
    /* What is deferred meanwhile waits for the next turn, so that this ends. */
    loop->due = loop->deferred;
    loop->deferred = NULL;
    while (loop->due) {
        struct loop_deferred *deferred = loop->due;
        loop->due = deferred->next;
        deferred->queued = false;
        deferred->fn(deferred->ctx);
    }
}

int loop_run(struct loop *loop)
{
    while (!loop->stopped) {
        int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_PER_TURN, wait_ms(loop));
        if (count < 0 && errno != EINTR)
            return -errno;
        loop->now_us = clock_mono_us();
        loop->event_count = count;
        for (int i = 0; i < count; i++) {
            struct loop_fd *source = loop->events[i].data.ptr;
            if (source)
                source->fn(source->ctx, loop->events[i].events);
        }
        loop->event_count = 0;
        run_timers(loop);
        run_deferred(loop);
    }
    return 0;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
