/* estate_store: a run's estate in the store, and out of it. */
#ifndef COLLECTOR_ESTATE_STORE_H
#define COLLECTOR_ESTATE_STORE_H

#include "collector/cloud/estate.h"
#include "collector/store.h"

/* 0 or a negative errno. */
int estate_store_put(struct store *store, int64_t run, const struct estate *estate);
/* What an inquiry found out, beside it; what is missing is added to what was. */
int estate_store_add(struct store *store, int64_t run, const struct estate *found);

#define ESTATE_ALL        (~0u)
#define ESTATE_ONLY(part) (1u << (part))

/* Its parts that `parts` names: ESTATE_ONLY(...) | ..., or ESTATE_ALL. NULL: the run has none. The
 * caller frees. */
struct estate *estate_store_get(struct store *store, int64_t run, unsigned parts);

#endif
