/* Gates, each with its whole document. */
#include "collector/store_internal.h"

#include <errno.h>

int store_put_gate(struct store *store, struct store_gate *gate)
{
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    r = store_finish(store, store_bind(store, PUT_GATE, "ssiis", gate->deployment, gate->service,
                                       (int64_t)gate->is_open, gate->created_ms, gate->json));
    gate->id = sqlite3_last_insert_rowid(store->db);
    return store_end_own(store, r);
}

int store_set_gate(struct store *store, int64_t id, bool is_open, const char *json)
{
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    r = store_finish(store, store_bind(store, SET_GATE, "isi", (int64_t)is_open, json, id));
    return store_end_own(store, r);
}

struct gate_sink {
    store_gate_fn fn;
    void *ctx;
    size_t count;
};

static void on_gate(sqlite3_stmt *statement, void *sink_pointer)
{
    struct gate_sink *sink = sink_pointer;
    struct store_gate gate = {
        .id = sqlite3_column_int64(statement, 0),
        .deployment = store_text_at(statement, 1),
        .service = store_text_at(statement, 2),
        .is_open = sqlite3_column_int(statement, 3) != 0,
        .created_ms = sqlite3_column_int64(statement, 4),
        .json = store_text_at(statement, 5),
    };

    sink->count++;
    sink->fn(sink->ctx, &gate);
}

static int get(struct store *store, sqlite3_stmt *statement, store_gate_fn fn, void *ctx)
{
    struct gate_sink sink = {fn, ctx, 0};
    int r = store_each_row(store, statement, on_gate, &sink);

    return r < 0 ? r : sink.count ? 0 : -ENOENT;
}

int store_get_gate(struct store *store, int64_t id, store_gate_fn fn, void *ctx)
{
    return get(store, id ? store_bind(store, GET_GATE, "i", id) : store_bind(store, LAST_GATE, ""),
               fn, ctx);
}

int store_find_gate(struct store *store, const char *deployment, const char *service,
                    store_gate_fn fn, void *ctx)
{
    return get(store, store_bind(store, FIND_GATE, "ss", deployment, service), fn, ctx);
}

int store_each_gate(struct store *store, int64_t before, int64_t limit, bool only_open,
                    store_gate_fn fn, void *ctx)
{
    return store_each_row(store,
                          store_bind(store, only_open ? LIST_OPEN_GATES : LIST_GATES, "ii",
                                     before ? before : INT64_MAX, limit),
                          on_gate, &(struct gate_sink){fn, ctx, 0});
}
