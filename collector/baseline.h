/* baseline: the last run that was good for a pair, and the first that failed after it. */
#ifndef COLLECTOR_BASELINE_H
#define COLLECTOR_BASELINE_H

#include "collector/fleet.h"
#include "collector/store.h"

#define BASELINE_RUNS_MAX 1000   /* looked back through */
#define BASELINE_SLACK_MS 120000 /* a good run's view of the cloud may be older than its end */

struct baseline {
    int64_t good, good_ms;   /* a run's id and end; 0: none */
    int64_t since, since_ms; /* the first that failed after it; the run itself where none did */
    int64_t fleet;           /* of the good run */
};

/* Keeps what was read: for several pairs of one run. */
struct baseline_search;

struct baseline_search *baseline_search_new(struct store *store);
struct baseline_search *baseline_search_free(struct baseline_search *search); /* accepts NULL */

/* Among the runs before `run` (which failed). */
struct baseline baseline_find(struct baseline_search *search, const struct store_run *run,
                              const char *source, const char *target, const char *check);
/* A fleet of the store, kept until the next is asked for; NULL: it is gone. */
const struct fleet *baseline_fleet(struct baseline_search *search, int64_t id);

/* The last judged run before `before` (0: of all) that passed; 0: none. */
int64_t baseline_last_pass(struct store *store, int64_t before);

#endif
