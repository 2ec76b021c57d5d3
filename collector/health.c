#include "collector/health.h"

#include "common/mem.h"

#define FILTER_BITS (1U << 22)
#define MEMO        1024 /* keys of each kind */

struct health_entry {
    uint64_t key;   /* as stored: never 0 */
    uint32_t index; /* in its kind's pool */
};

struct health_memo {
    uint64_t key;
    struct health *health; /* NULL: there is none */
};

/* Key 0 is one, too: kinds are stored from 1 on. */
static uint64_t stored(uint64_t key)
{
    return key + (UINT64_C(1) << 56);
}

static unsigned kind_of(uint64_t key)
{
    return (unsigned)(key >> 56) % HEALTH_KINDS;
}

static uint64_t hash_of(uint64_t key)
{
    return key * UINT64_C(0x9e3779b97f4a7c15);
}

static struct health_entry *slot_of(const struct health_table *table, uint64_t key)
{
    size_t mask = table->size - 1, at = (size_t)(hash_of(key) >> 20) & mask;

    while (table->entries[at].key && table->entries[at].key != key)
        at = (at + 1) & mask;
    return &table->entries[at];
}

static void grow(struct health_table *table)
{
    struct health_entry *old = table->entries;
    size_t size = table->size;

    table->size = size ? size * 2 : 1024;
    table->entries = mem_array(table->size, sizeof(*table->entries));
    for (size_t i = 0; i < size; i++)
        if (old[i].key)
            *slot_of(table, old[i].key) = old[i];
    mem_free(old);
}

static uint32_t add_to_pool(struct health_table *table, unsigned kind)
{
    mem_grow(&table->pools[kind].items, table->pools[kind].count, &table->pools[kind].capacity,
             sizeof(struct health));
    table->pools[kind].items[table->pools[kind].count] = (struct health){.failed = 0};
    return (uint32_t)table->pools[kind].count++;
}

void health_add(struct health_table *table, uint64_t key)
{
    uint32_t bit = (uint32_t)(hash_of(stored(key)) >> 42);
    struct health_entry *entry;

    if (!table->filter)
        table->filter = mem_array(FILTER_BITS / 64, sizeof(*table->filter));
    table->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
    if (table->count * 2 >= table->size)
        grow(table);
    entry = slot_of(table, stored(key));
    if (!entry->key) {
        entry->key = stored(key);
        entry->index = add_to_pool(table, kind_of(key));
        table->count++;
    }
    table->pools[kind_of(key)].items[entry->index].failed++;
}

static struct health *find(const struct health_table *table, uint64_t key)
{
    uint32_t bit = (uint32_t)(hash_of(stored(key)) >> 42);
    struct health_entry *entry;

    if (!table->filter || !(table->filter[bit / 64] >> (bit % 64) & 1))
        return NULL;
    entry = slot_of(table, stored(key));
    return entry->key ? &table->pools[kind_of(key)].items[entry->index] : NULL;
}

const struct health *health_find(const struct health_table *table, uint64_t key)
{
    return find(table, key);
}

struct health *health_recall(struct health_table *table, uint64_t key)
{
    struct health_memo *memo;

    if (!table->memo)
        table->memo = mem_array((size_t)HEALTH_KINDS * MEMO, sizeof(*table->memo));
    memo = &table->memo[kind_of(key) * MEMO + (key ^ key >> 16 ^ key >> 28) % MEMO];
    if (memo->key != stored(key)) {
        memo->key = stored(key);
        memo->health = find(table, key);
    }
    return memo->health;
}

void health_deinit(struct health_table *table)
{
    mem_free(table->entries);
    mem_free(table->filter);
    mem_free(table->memo);
    for (size_t kind = 0; kind < HEALTH_KINDS; kind++)
        mem_free(table->pools[kind].items);
    *table = (struct health_table){.size = 0};
}
