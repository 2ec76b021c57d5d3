/* clock: monotonic time for durations, wall time for people and for the store. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_RFC3339_MAX 32

uint64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since the epoch, UTC */

/* RFC 3339, UTC, milliseconds: 2026-11-20T09:41:00.123Z */
void clock_rfc3339(int64_t wall_ms, char text[CLOCK_RFC3339_MAX]);
/* Such a text, with or without a fraction of a second, "Z" or an offset; false: it is none. */
bool clock_from_rfc3339(const char *text, int64_t *ret_wall_ms);

#endif
