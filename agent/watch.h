/* watch: the witness: looks at its own task while others probe it, and says what it saw.
 *
 * A look at the beginning, every PROTO_WATCH_MS (less often where a look is dear: it may take
 * WATCH_SHARE of a core), and at the end: who listens, what waits in the accept queues, which of
 * the sources' connections arrived and are half-open, how the namespace's counters rose. Where it
 * is asked to, it tries the task's own checks over loopback and over the task's own address, one at
 * a time; not where connections wait in the accept queue: one more would stay in it.
 * It changes nothing, and needs no privilege.
 */
#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include "agent/sweep.h"

#define WATCH_SHARE     125      /* a look may take one part in so many of the time */
#define WATCH_PAUSE_MAX 10000000 /* us between two looks, at most */

struct watch;

struct watch_sink {
    void *ctx;
    /* Once, unless it was unwanted: the witness is valid during the call; may free the watch. */
    void (*on_witness)(void *ctx, struct proto_message *message);
};

struct watch_settings {
    struct sweep_env env;
    const char *instance; /* borrowed */
    bool force_proc;      /* for tests: as if there were no sock_diag */
};

/* Takes over `message` (a watch). The first look is taken before this returns. */
struct watch *watch_new(const struct watch_settings *settings, struct proto_message *message,
                        const struct watch_sink *sink);
struct watch *watch_free(struct watch *watch);

int64_t watch_id(const struct watch *watch);
/* The run is done with it: the last look, then the witness; an own check that is under way is cut
 * off. The watch may be gone when this returns. */
void watch_settle(struct watch *watch);

#endif
