/* Incidents, what is to be sent of them, and the times of schedules. */
#include "collector/store_internal.h"

struct run_id_sink {
    store_run_fn fn;
    void *ctx;
};

static void on_run_id(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct run_id_sink *sink = sink_pointer;
    struct store_run run = {.id = sqlite3_column_int64(statement, 0)};

    sink->fn(sink->ctx, &run);
}

int store_next_untold(struct store *store, store_run_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, NEXT_UNTOLD, ""), on_run_id,
                          &(struct run_id_sink){fn, ctx});
}

static int put_all(struct store *store, const struct store_telling *telling)
{
    int r = 0;

    for (size_t i = 0; i < telling->incident_count && r == 0; i++) {
        const struct store_incident *one = &telling->incidents[i];
        r = store_finish(store,
                         store_bind(store, PUT_INCIDENT, "iiiiis", one->id, (int64_t)one->is_open,
                                    one->opened_ms, one->told_ms, one->resolved_ms, one->json));
    }
    for (size_t i = 0; i < telling->outgoing_count && r == 0; i++) {
        const struct store_outgoing *one = &telling->outgoing[i];
        r = store_finish(store, store_bind(store, PUT_OUTGOING, "sisis", one->destination,
                                           one->incident, one->kind, one->created_ms, one->json));
    }
    for (size_t i = 0; i < telling->outage_count && r == 0; i++) {
        const struct store_outage *one = &telling->outages[i];
        r = store_finish(store, one->id ? store_bind(store, END_OUTAGE, "iisi", one->end_ms,
                                                     one->end_run, one->causes, one->id)
                                        : store_bind(store, PUT_OUTAGE, "sssiiiis", one->source,
                                                     one->target, one->check, one->start_ms,
                                                     one->start_run, one->end_ms, one->end_run,
                                                     one->causes));
    }
    return r < 0 ? r : store_finish(store, store_bind(store, SET_TOLD, "i", telling->run));
}

int store_tell(struct store *store, const struct store_telling *telling)
{
    int r = store_begin_own(store);

    return r < 0 ? r : store_end_own(store, put_all(store, telling));
}

int64_t store_next_incident(struct store *store)
{
    sqlite3_stmt *statement;
    int64_t id = 1;

    store_finish(store, store_bind(store, COUNT_INCIDENT, ""));
    statement = store_bind(store, GET_INCIDENT_COUNT, "");
    if (sqlite3_step(statement) == SQLITE_ROW)
        id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return id;
}

struct incident_sink {
    store_incident_fn fn;
    void *ctx;
};

static void on_incident(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct incident_sink *sink = sink_pointer;
    struct store_incident incident = {
        .id = sqlite3_column_int64(statement, 0),
        .is_open = sqlite3_column_int(statement, 1) != 0,
        .opened_ms = sqlite3_column_int64(statement, 2),
        .told_ms = sqlite3_column_int64(statement, 3),
        .resolved_ms = sqlite3_column_int64(statement, 4),
        .json = store_text_at(statement, 5),
    };

    sink->fn(sink->ctx, &incident);
}

int store_each_incident(struct store *store, bool only_open, int64_t limit, store_incident_fn fn,
                        void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_INCIDENTS, "ii", (int64_t)only_open, limit),
                          on_incident, &(struct incident_sink){fn, ctx});
}

struct outgoing_sink {
    store_outgoing_fn fn;
    void *ctx;
};

static void on_outgoing(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct outgoing_sink *sink = sink_pointer;
    struct store_outgoing outgoing = {
        .id = sqlite3_column_int64(statement, 0),
        .destination = store_text_at(statement, 1),
        .incident = sqlite3_column_int64(statement, 2),
        .kind = store_text_at(statement, 3),
        .created_ms = sqlite3_column_int64(statement, 4),
        .next_ms = sqlite3_column_int64(statement, 5),
        .attempts = sqlite3_column_int64(statement, 6),
        .state = store_text_at(statement, 7),
        .error = store_text_at(statement, 8),
        .remote = store_text_at(statement, 9),
        .json = store_text_at(statement, 10),
    };

    sink->fn(sink->ctx, &outgoing);
}

int store_next_outgoing(struct store *store, const char *destination, store_outgoing_fn fn,
                        void *ctx)
{
    return store_each_row(store, store_bind(store, NEXT_OUTGOING, "s", destination), on_outgoing,
                          &(struct outgoing_sink){fn, ctx});
}

int store_set_outgoing(struct store *store, const struct store_outgoing *outgoing)
{
    return store_finish(store, store_bind(store, SET_OUTGOING, "siissi", outgoing->state,
                                          outgoing->attempts, outgoing->next_ms, outgoing->error,
                                          outgoing->remote, outgoing->id));
}

void store_count_outgoing(struct store *store, const char *destination, int64_t *ret_pending,
                          int64_t *ret_failed)
{
    sqlite3_stmt *statement = store_bind(store, COUNT_OUTGOING, "s", destination);

    if (sqlite3_step(statement) == SQLITE_ROW) {
        *ret_pending = sqlite3_column_int64(statement, 0);
        *ret_failed = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
}

struct outage_sink {
    store_outage_fn fn;
    void *ctx;
};

static void on_outage(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct outage_sink *sink = sink_pointer;
    struct store_outage outage = {
        .id = sqlite3_column_int64(statement, 0),
        .source = store_text_at(statement, 1),
        .target = store_text_at(statement, 2),
        .check = store_text_at(statement, 3),
        .start_ms = sqlite3_column_int64(statement, 4),
        .start_run = sqlite3_column_int64(statement, 5),
        .end_ms = sqlite3_column_int64(statement, 6),
        .end_run = sqlite3_column_int64(statement, 7),
        .causes = store_text_at(statement, 8),
    };

    sink->fn(sink->ctx, &outage);
}

int store_each_open_outage(struct store *store, store_outage_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_OPEN_OUTAGES, ""), on_outage,
                          &(struct outage_sink){fn, ctx});
}

int store_each_outage(struct store *store, int64_t before, const char *source, const char *target,
                      int64_t limit, store_outage_fn fn, void *ctx)
{
    return store_each_row(
        store,
        store_bind(store, LIST_OUTAGES, "issi", before ? before : INT64_MAX, source, target, limit),
        on_outage, &(struct outage_sink){fn, ctx});
}

int store_put_schedule(struct store *store, const char *name, int64_t last_ms, int64_t run)
{
    return store_finish(store, store_bind(store, PUT_SCHEDULE, "sii", name, last_ms, run));
}

int64_t store_get_schedule(struct store *store, const char *name, int64_t *ret_run)
{
    sqlite3_stmt *statement = store_bind(store, GET_SCHEDULE, "s", name);
    int64_t last_ms = 0;

    *ret_run = 0;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        last_ms = sqlite3_column_int64(statement, 0);
        *ret_run = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    return last_ms;
}
