/* health: how many attempts got through in each scope where some did not. Part of diagnose.
 *
 * Scopes are 64-bit keys, the kind in the highest byte. First all that are of interest are added,
 * then attempts are counted in: a million of them, each in twenty scopes, most of which are of no
 * interest.
 */
#ifndef COLLECTOR_HEALTH_H
#define COLLECTOR_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#define HEALTH_KINDS         32
#define HEALTH_LAYERS        3
#define HEALTH_KEY(kind, id) ((uint64_t)(kind) << 56 | (id)) /* id: 56 bits */

struct tries;

struct health {
    uint32_t ok[HEALTH_LAYERS], failed;
    const struct tries *example; /* of those that passed */
};

struct health_table {
    struct health_entry *entries; /* open addressing, a power of two */
    size_t size, count;
    uint64_t *filter; /* a bit for each key that may be there */
    struct {
        struct health *items; /* those of one kind lie together */
        size_t count, capacity;
    } pools[HEALTH_KINDS];
    struct health_memo *memo;
};

/* One symptom more in the scope. */
void health_add(struct health_table *table, uint64_t key);
/* NULL: no symptom is in it. Good until the next health_add(). */
const struct health *health_find(const struct health_table *table, uint64_t key);
/* The same to count in, for keys that come again and again. */
struct health *health_recall(struct health_table *table, uint64_t key);
void health_deinit(struct health_table *table);

#endif
