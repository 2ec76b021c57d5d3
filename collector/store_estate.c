/* What the cloud says of the fleet, a run's. */
#include "collector/store_internal.h"

#include "common/text.h"

#include <errno.h>
#include <string.h>

/* The id of this exact content; stored when it is new. */
static int64_t put_content(struct store *store, const struct store_part *part)
{
    char sha256[65] = "";
    sqlite3_stmt *statement;
    int64_t id = -1;
    int r;

    store_sha256(part->json, part->length, sha256);
    statement = store_bind(store, FIND_CONTENT, "s", sha256);
    if (sqlite3_step(statement) == SQLITE_ROW)
        id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    if (id >= 0)
        return id;
    r = store_finish(store, store_bind(store, PUT_CONTENT, "ss", sha256, part->json));
    return r < 0 ? r : sqlite3_last_insert_rowid(store->db);
}

static int put_parts(struct store *store, int64_t run, const struct store_part *parts, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        int64_t content = put_content(store, &parts[i]);
        r = content < 0 ? (int)content
                        : store_finish(store, store_bind(store, PUT_PART, "isi", run, parts[i].name,
                                                         content));
    }
    return r;
}

int store_put_estate(struct store *store, int64_t run, const struct store_estate *estate,
                     const struct store_part *parts, size_t count)
{
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    r = store_finish(store, store_bind(store, PUT_ESTATE, "iiis", run, estate->taken_ms,
                                       estate->network_taken_ms, estate->region));
    return store_end_own(store, r < 0 ? r : put_parts(store, run, parts, count));
}

int store_put_parts(struct store *store, int64_t run, const struct store_part *parts, size_t count)
{
    int r = store_begin_own(store);

    return r < 0 ? r : store_end_own(store, put_parts(store, run, parts, count));
}

int store_get_estate(struct store *store, int64_t run, struct store_estate *ret_estate)
{
    sqlite3_stmt *statement = store_bind(store, GET_ESTATE, "i", run);
    bool is_there = sqlite3_step(statement) == SQLITE_ROW;

    if (is_there) {
        *ret_estate = (struct store_estate){sqlite3_column_int64(statement, 0),
                                            sqlite3_column_int64(statement, 1), ""};
        text_copy(ret_estate->region, sizeof(ret_estate->region), store_text_at(statement, 2));
    }
    sqlite3_reset(statement);
    return is_there ? 0 : -ENOENT;
}

int64_t store_last_estate(struct store *store)
{
    sqlite3_stmt *statement = store_bind(store, LAST_ESTATE, "");
    int64_t run = 0;

    if (sqlite3_step(statement) == SQLITE_ROW)
        run = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return run;
}

struct part_sink {
    store_part_fn fn;
    void *ctx;
};

static void on_part(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct part_sink *sink = sink_pointer;
    struct store_part part = {store_text_at(statement, 0), store_text_at(statement, 1), 0};

    part.length = strlen(part.json);
    sink->fn(sink->ctx, &part);
}

int store_get_part(struct store *store, int64_t run, const char *name, store_part_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, GET_PART, "is", run, name), on_part,
                          &(struct part_sink){fn, ctx});
}
