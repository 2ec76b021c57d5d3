/* gaps: when a pair did not work, seen again and again while a deployment goes on. Pure: looks in,
 * intervals out. */
#ifndef COLLECTOR_GATE_GAPS_H
#define COLLECTOR_GATE_GAPS_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GAPS_KEPT_MAX  8 /* of one pair; what is more is counted */
#define GAPS_PAIRS_MAX 4096

/* Between two looks nobody knows: it lasted `to` - `from` at least, `until` - `after` at most. */
struct gap {
    int64_t after_ms;       /* the last look before at which it worked; 0: there was none */
    int64_t from_ms, to_ms; /* the first and the last at which it did not */
    int64_t until_ms;       /* the first after that at which it worked again; 0: it is open */
};

struct gaps_pair {
    char *source, *target, *check;
    struct gap kept[GAPS_KEPT_MAX];
    size_t count;     /* all */
    int64_t total_ms; /* of those that are over, from the first bad look to the next good one */
    int64_t longest_ms;
    int64_t last_good_ms;
    bool is_open;
};

struct gaps {
    struct gaps_pair *pairs;
    size_t count, capacity;
};

void gaps_deinit(struct gaps *gaps);
/* One look at one pair; looks come in the order of their times. */
void gaps_note(struct gaps *gaps, const char *source, const char *target, const char *check,
               bool is_good, int64_t at_ms);
/* NULL: never looked at. */
const struct gaps_pair *gaps_find(const struct gaps *gaps, const char *source, const char *target,
                                  const char *check);
/* The last gap that is kept, or NULL. */
const struct gap *gaps_last(const struct gaps_pair *pair);
/* So long without the pair, up to `now_ms` where a gap is open. */
int64_t gaps_total_ms(const struct gaps_pair *pair, int64_t now_ms);

/* [{source, target, check, count, seconds, longest, open, gaps [{from, to, seconds}]}]: pairs with
 * gaps, and back. Times RFC 3339. */
void gaps_write(const struct gaps *gaps, int64_t now_ms, struct buf *out);
struct cJSON;
void gaps_read(struct gaps *gaps, const struct cJSON *list);

#endif
