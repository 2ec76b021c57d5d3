/* cron: a cron expression, and when it comes next. Pure.
 *
 * Five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday), with lists,
 * ranges, steps and names, or @hourly, @daily, @weekly, @monthly, @yearly; as crontab(5) has them:
 * where both days are restricted, either will do. Times that the clock's change to summer time
 * skips come right after it; those that the change back repeats come once, unless the hour is '*'.
 */
#ifndef COLLECTOR_SCHEDULE_CRON_H
#define COLLECTOR_SCHEDULE_CRON_H

#include "collector/schedule/zone.h"

#include <stdbool.h>

struct cron {
    uint64_t minutes; /* a bit each */
    uint32_t hours, days, months, weekdays;
    bool is_any_hour, is_any_day, is_any_weekday;
};

/* -EINVAL with `err`: which field, and what was expected. */
int cron_parse(const char *text, struct cron *ret_cron, struct error *err);
/* The first moment after `after` (seconds since the epoch), a whole minute; 0: there is none in the
 * next five years (30 February). */
int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after);

#endif
