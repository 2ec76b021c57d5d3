/* zone: a time zone's offsets from UTC, read once out of the system's own database.
 *
 * The C library's zone is the whole process's (TZ): zone_load() sets it for a moment, and so has to
 * be called before any other thread starts. What it hands out is a table, good till ZONE_YEARS from
 * then; later offsets are taken as the last one.
 */
#ifndef COLLECTOR_SCHEDULE_ZONE_H
#define COLLECTOR_SCHEDULE_ZONE_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define ZONE_YEARS 20

struct zone {
    char name[64];
    struct zone_change {
        int64_t at;     /* seconds since the epoch: from here on ... */
        int64_t offset; /* ... seconds east of UTC */
    } * changes;
    size_t count;
};

/* "UTC", "Europe/Berlin", ... -ENOENT with `err`: there is no such zone. Freed with zone_free(). */
int zone_load(const char *name, int64_t now, struct zone **ret_zone, struct error *err);
struct zone *zone_free(struct zone *zone); /* accepts NULL */
int64_t zone_offset(const struct zone *zone, int64_t at);

#endif
