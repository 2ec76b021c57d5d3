/* schedules: runs that start by the clock.
 *
 * A run of a schedule never overlaps the one before: while that is open, its time is skipped, and
 * counted. Times that passed while the collector was away are caught up with one run, or skipped.
 * Jitter delays each time by a part of it that its own date decides: the same after a restart.
 */
#ifndef COLLECTOR_SCHEDULE_SCHEDULES_H
#define COLLECTOR_SCHEDULE_SCHEDULES_H

#include "collector/run.h"
#include "collector/schedule/cron.h"
#include "common/loop.h"

#define SCHEDULES_MAX 64

struct schedule_settings {
    const char *name, *text; /* text: of the expression */
    struct cron cron;
    struct zone *zone;
    int64_t jitter_ms, deadline_ms; /* 0: none; what the checks need */
    bool catches_up;
    struct options_list from, to;
};

struct schedules;

struct schedule_hooks {
    void *ctx;
    void (*commit)(void *ctx);
    void (*on_run_started)(void *ctx, struct run *run);
};

/* The settings are borrowed. */
struct schedules *schedules_new(struct loop *loop, struct runs *runs,
                                const struct schedule_settings *settings, size_t count,
                                const struct schedule_hooks *hooks);
struct schedules *schedules_free(struct schedules *schedules); /* accepts NULL */

/* {schema, schedules [{name, cron, zone, next, last, run, skipped}]} */
void schedules_view(const struct schedules *schedules, struct buf *out);

#endif
