#include "collector/retention.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <string.h>
#include <uthash.h>

#define FIRST_MS   5000
#define EVERY_MS   60000
#define AFTER_MS   1000 /* a verdict */
#define AT_ONCE    20   /* runs that go in one turn, ... */
#define BUSY_MS    200  /* ... or as many as take so long */
#define NEWER_RUNS 200  /* looked at for each pair of a run that is to go */

struct retention {
    struct loop *loop;
    struct runs *runs;
    const struct gates *gates;
    struct retention_settings settings;
    void (*commit)(void *ctx);
    void *ctx;
    struct loop_timer timer;
};

/* ---- what a run is needed for ---- */

/* A pair that works in the run: {"source":...,"target":...,"check":... as it stands in the cell. */
struct pair {
    char *key;
    UT_hash_handle hh;
};

struct pairs {
    struct pair *all;
};

/* Its names are the cell's first members; cells are written by view_cell() alone. */
static size_t key_length(const char *json)
{
    const char *end = strstr(json, ",\"port\":");

    return end ? (size_t)(end - json) : 0;
}

static bool is_good(const char *json)
{
    return strstr(json, "\"state\":\"ok\"") || strstr(json, "\"state\":\"denied\"");
}

static void add_pair(void *ctx, const struct store_cell *cell)
{
    struct pairs *pairs = ctx;
    size_t length = key_length(cell->json);
    struct pair *pair;

    if (!length || !is_good(cell->json))
        return;
    HASH_FIND(hh, pairs->all, cell->json, length, pair);
    if (pair)
        return;
    pair = mem_alloc(sizeof(*pair));
    pair->key = mem_dup(cell->json, length);
    HASH_ADD_KEYPTR(hh, pairs->all, pair->key, length, pair);
}

static void drop(struct pairs *pairs, struct pair *pair)
{
    HASH_DEL(pairs->all, pair);
    mem_free(pair->key);
    mem_free(pair);
}

static void drop_pair(void *ctx, const struct store_cell *cell)
{
    struct pairs *pairs = ctx;
    struct pair *pair;

    if (!is_good(cell->json))
        return;
    HASH_FIND(hh, pairs->all, cell->json, key_length(cell->json), pair);
    if (pair)
        drop(pairs, pair);
}

struct search {
    struct store *store;
    struct pairs pairs;
    int64_t run;
};

static void look_in_newer(void *ctx, const struct store_run *run)
{
    struct search *search = ctx;

    if (search->pairs.all && run->id > search->run && run->state == RUN_JUDGED)
        store_each_cell(search->store, run->id, drop_pair, &search->pairs);
}

/* Whether a pair works in it, and in no later run: then it is that pair's last good one. */
static bool is_last_good(struct store *store, int64_t run)
{
    struct search search = {.store = store, .run = run};
    struct pair *pair, *next;
    bool is_needed;

    store_each_cell(store, run, add_pair, &search.pairs);
    store_each_run(store, 0, NEWER_RUNS, false, look_in_newer, &search);
    is_needed = search.pairs.all != NULL;
    HASH_ITER(hh, search.pairs.all, pair, next)
    {
        drop(&search.pairs, pair);
    }
    return is_needed;
}

/* ---- what goes ---- */

struct candidates {
    int64_t ids[AT_ONCE];
    size_t count;
};

static void take_candidate(void *ctx, const struct store_run *run)
{
    struct candidates *candidates = ctx;

    if (candidates->count < AT_ONCE)
        candidates->ids[candidates->count++] = run->id;
}

static void forget(struct retention *retention)
{
    struct store *store = retention->runs->store;
    const struct retention_settings *settings = &retention->settings;
    int64_t now_ms = clock_wall_ms(), gone = 0;
    uint64_t until_us = clock_mono_us() + BUSY_MS * 1000;
    struct candidates candidates = {.count = 0};
    struct store_expiry expiry = {
        .keep_runs = settings->runs,
        .before_ms = now_ms - settings->age_ms,
        .looks_before_ms = now_ms - RETENTION_LOOK_MS,
        .limit = AT_ONCE,
    };

    store_each_expired(store, &expiry, take_candidate, &candidates);
    for (size_t i = 0; i < candidates.count && clock_mono_us() < until_us; i++) {
        int64_t id = candidates.ids[i];
        if (runs_find(retention->runs, id) || gates_use_run(retention->gates, id))
            continue;
        if (is_last_good(store, id))
            store_keep_run(store, id);
        else
            gone += store_forget_run(store, id) == 0;
    }
    if (gone)
        store_forget_rest(store, expiry.before_ms, now_ms - RETENTION_SENT_MS);
    if (gone)
        log_info("runs-forgotten", "count=%lld", (long long)gone);
    loop_timer_in_ms(retention->loop, &retention->timer,
                     candidates.count == AT_ONCE ? BUSY_MS : EVERY_MS);
}

static void on_time(void *ctx)
{
    struct retention *retention = ctx;

    retention->commit(retention->ctx);
    forget(retention);
}

void retention_run_judged(struct retention *retention)
{
    loop_timer_in_ms(retention->loop, &retention->timer, AFTER_MS);
}

struct retention *retention_new(struct loop *loop, struct runs *runs, const struct gates *gates,
                                const struct retention_settings *settings,
                                void (*commit)(void *ctx), void *ctx)
{
    struct retention *retention = mem_alloc(sizeof(*retention));

    *retention = (struct retention){.loop = loop,
                                    .runs = runs,
                                    .gates = gates,
                                    .settings = *settings,
                                    .commit = commit,
                                    .ctx = ctx};
    retention->timer = (struct loop_timer){.fn = on_time, .ctx = retention};
    loop_timer_in_ms(loop, &retention->timer, FIRST_MS);
    return retention;
}

struct retention *retention_free(struct retention *retention)
{
    if (retention)
        loop_timer_stop(retention->loop, &retention->timer);
    mem_free(retention);
    return NULL;
}
