/* estate_store: a run's estate in the store, and out of it. */
#ifndef COLLECTOR_ESTATE_STORE_H
#define COLLECTOR_ESTATE_STORE_H

#include "collector/cloud/estate.h"
#include "collector/store.h"

/* 0 or a negative errno. */
int estate_store_put(struct store *store, int64_t run, const struct estate *estate);
/* All of it, or one part (`part` ESTATE_PART_COUNT: all). NULL: the run has none. The caller frees.
 */
struct estate *estate_store_get(struct store *store, int64_t run, enum estate_part part);

#endif
