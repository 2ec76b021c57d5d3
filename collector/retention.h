/* retention: how long runs are kept: so many, so long; but never less than what somebody needs: the
 * last good run of each pair, runs of open gates, and those that are not told yet. Looks (light
 * runs) are kept for a minute. */
#ifndef COLLECTOR_RETENTION_H
#define COLLECTOR_RETENTION_H

#include "collector/gate/gates.h"
#include "collector/run.h"
#include "common/loop.h"

#define RETENTION_RUNS    1000
#define RETENTION_AGE_MS  (90LL * 86400000)
#define RETENTION_LOOK_MS 60000
#define RETENTION_SENT_MS (14LL * 86400000) /* messages that were delivered, or given up */

struct retention_settings {
    int64_t runs, age_ms;
};

struct retention;

/* `gates`: whose runs are needed; borrowed, as all. */
struct retention *retention_new(struct loop *loop, struct runs *runs, const struct gates *gates,
                                const struct retention_settings *settings,
                                void (*commit)(void *ctx), void *ctx);
/* A run was judged: there is one more. */
void retention_run_judged(struct retention *retention);
struct retention *retention_free(struct retention *retention); /* accepts NULL */

#endif
