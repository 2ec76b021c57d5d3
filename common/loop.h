/* loop: one thread's event loop over epoll: descriptors, timers, deferred work, signals.
 *
 * Not thread-safe: other threads wake it through a descriptor (an eventfd) of their own.
 * Sources are embedded in their owners; the owner removes them before it frees them. A handler may
 * remove any source, itself included; a removed source is not called again, even if its event was
 * already collected.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

typedef void (*loop_fd_fn)(void *ctx, uint32_t events);
typedef void (*loop_fn)(void *ctx);

struct loop_fd {
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT, ... ; 0 while not in the loop */
    loop_fd_fn fn;
    void *ctx;
};

struct loop_timer {
    uint64_t at_us; /* monotonic */
    size_t slot;    /* 1-based place in the heap; 0 while not running */
    loop_fn fn;
    void *ctx;
};

/* Runs once, at the end of the current turn (before the loop sleeps again). */
struct loop_deferred {
    struct loop_deferred *next;
    bool queued;
    loop_fn fn;
    void *ctx;
};

struct loop *loop_new(void); /* NULL with errno set */
struct loop *loop_free(struct loop *loop);

uint64_t loop_now_us(const struct loop *loop); /* when this turn began */

int loop_add(struct loop *loop, struct loop_fd *source, int fd, uint32_t events, loop_fd_fn fn,
             void *ctx);
int loop_modify(struct loop *loop, struct loop_fd *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_fd *source); /* does not close the descriptor */
/* The same for a descriptor that the caller closes right after, and that nobody else holds: closing
 * takes it out of epoll by itself, and a system call is saved. */
void loop_forget(struct loop *loop, struct loop_fd *source);

/* Starts, or moves, a timer. `fn` and `ctx` are the owner's to set beforehand. */
void loop_timer_at(struct loop *loop, struct loop_timer *timer, uint64_t at_us);
void loop_timer_in_ms(struct loop *loop, struct loop_timer *timer, uint64_t ms);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);
bool loop_timer_is_running(const struct loop_timer *timer);

void loop_defer(struct loop *loop, struct loop_deferred *deferred);
/* Not called any more, even if its turn has come: its owner may free it. */
void loop_undefer(struct loop *loop, struct loop_deferred *deferred);

/* SIGTERM and SIGINT are blocked and call `fn` from the loop instead; SIGPIPE is ignored. */
int loop_catch_signals(struct loop *loop, loop_fn fn, void *ctx);

int loop_run(struct loop *loop); /* until loop_stop(); 0 or a negative errno */
void loop_stop(struct loop *loop);

#endif
