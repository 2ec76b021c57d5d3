/* outage: from when to when a pair did not work, and how the cause of that changed. Pure: the open
 * outages and what a run found in, those that began, went on as another, or ended, out. */
#ifndef COLLECTOR_OUTAGE_H
#define COLLECTOR_OUTAGE_H

#include "collector/store.h"
#include "common/arena.h"

#define OUTAGE_CAUSES_MAX 32 /* changes kept of one */

struct cJSON;

struct outage {
    struct store_outage record; /* strings of the arena */
    bool is_changed;            /* is to be stored */
};

struct outages {
    struct outage *items;
    size_t count, capacity;
    struct arena arena;
};

struct outage_run {
    int64_t id, at_ms;         /* its start: when it was seen */
    const struct cJSON *cells; /* those that do not work, or were not looked at */
    const struct cJSON *diagnoses;
};

void outages_add(struct outages *outages, const struct store_outage *record);
void outages_update(struct outages *outages, const struct outage_run *run);
void outages_deinit(struct outages *outages);

#endif
