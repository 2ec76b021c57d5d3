/* What is not kept. */
#include "collector/store_internal.h"

/* What hangs on the assignments goes before them. */
static const enum statement forget[] = {FORGET_PROBES,      FORGET_RESOLUTIONS, FORGET_BATCHES,
                                        FORGET_ASSIGNMENTS, FORGET_SOURCES,     FORGET_CELLS,
                                        FORGET_WITNESSES,   FORGET_OWNERS,      FORGET_DIAGNOSES,
                                        FORGET_PARTS,       FORGET_ESTATE,      FORGET_RUN};

int store_forget_run(struct store *store, int64_t run)
{
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(forget) / sizeof(forget[0]) && r == 0; i++)
        r = store_finish(store, store_bind(store, forget[i], "i", run));
    return store_end_own(store, r);
}

struct expired_sink {
    store_run_fn fn;
    void *ctx;
};

static void on_expired(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct expired_sink *sink = sink_pointer;
    struct store_run run = {.id = sqlite3_column_int64(statement, 0)};

    sink->fn(sink->ctx, &run);
}

int store_each_expired(struct store *store, const struct store_expiry *expiry, store_run_fn fn,
                       void *ctx)
{
    return store_each_row(store,
                          store_bind(store, LIST_EXPIRED, "iiii", expiry->looks_before_ms,
                                     expiry->before_ms, expiry->keep_runs, expiry->limit),
                          on_expired, &(struct expired_sink){fn, ctx});
}

int store_keep_run(struct store *store, int64_t run)
{
    return store_finish(store, store_bind(store, KEEP_RUN, "i", run));
}

int store_forget_rest(struct store *store, int64_t before_ms, int64_t sent_before_ms)
{
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    r = store_finish(store, store_bind(store, FORGET_CONTENT, ""));
    if (r == 0)
        r = store_finish(store, store_bind(store, FORGET_FLEETS, ""));
    if (r == 0)
        r = store_finish(store, store_bind(store, FORGET_OUTBOX, "i", sent_before_ms));
    if (r == 0)
        r = store_finish(store, store_bind(store, FORGET_INCIDENTS, "i", before_ms));
    if (r == 0)
        r = store_finish(store, store_bind(store, FORGET_OUTAGES, "i", before_ms));
    return store_end_own(store, r);
}
