/* Fleets, runs and what belongs to them. */
#include "collector/store_internal.h"

#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* ---- fleets ---- */

void store_sha256(const char *text, size_t length, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    EVP_Digest(text, length, digest, &size, EVP_sha256(), NULL);
    for (unsigned i = 0; i < size && i < 32; i++)
        snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
}

int64_t store_put_fleet(struct store *store, const char *text, size_t length)
{
    char sha256[65] = "";
    sqlite3_stmt *statement;
    int64_t id = -1;
    int r;

    store_sha256(text, length, sha256);
    statement = store_bind(store, FIND_FLEET, "s", sha256);
    if (sqlite3_step(statement) == SQLITE_ROW)
        id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    if (id >= 0)
        return id;
    r = store_finish(store, store_bind(store, PUT_FLEET, "sb", sha256, text, length));
    return r < 0 ? r : sqlite3_last_insert_rowid(store->db);
}

char *store_get_fleet(struct store *store, int64_t fleet, size_t *ret_length)
{
    sqlite3_stmt *statement = store_bind(store, GET_FLEET, "i", fleet);
    char *text = NULL;

    if (sqlite3_step(statement) == SQLITE_ROW) {
        *ret_length = (size_t)sqlite3_column_bytes(statement, 0);
        text = mem_alloc(*ret_length + 1);
        memcpy(text, sqlite3_column_blob(statement, 0), *ret_length);
    }
    sqlite3_reset(statement);
    return text;
}

/* ---- runs ---- */

void store_run_deinit(struct store_run *run)
{
    mem_free(run->scope);
    mem_free(run->live);
    run->scope = run->live = NULL;
}

static int put_source(struct store *store, int64_t run, struct store_source *source)
{
    int r = store_finish(store, store_bind(store, PUT_SOURCE, "issssss", run, source->service,
                                           source->task, source->instance, source->zone,
                                           source->columns, source->facts ? source->facts : "{}"));

    source->run = run;
    source->id = sqlite3_last_insert_rowid(store->db);
    return r;
}

int store_put_run(struct store *store, struct store_run *run, struct store_source *sources,
                  size_t count)
{
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    r = store_finish(store, store_bind(store, PUT_RUN, "iisiiss", run->fleet, (int64_t)run->state,
                                       run->trigger, run->created_ms, run->deadline_ms, run->scope,
                                       run->live));
    run->id = sqlite3_last_insert_rowid(store->db);
    for (size_t i = 0; i < count && r == 0; i++)
        r = put_source(store, run->id, &sources[i]);
    return store_end_own(store, r);
}

int store_set_run_state(struct store *store, int64_t run, enum run_state state)
{
    return store_finish(store, store_bind(store, SET_RUN_STATE, "ii", (int64_t)state, run));
}

int store_set_source_instance(struct store *store, int64_t source, const char *instance)
{
    return store_finish(store, store_bind(store, SET_SOURCE_INSTANCE, "si", instance, source));
}

static int put_parts(struct store *store, const struct store_judgement *judgement)
{
    int64_t run = judgement->run->id;
    int r = 0;

    for (size_t i = 0; i < judgement->source_count && r == 0; i++)
        r = store_finish(store, store_bind(store, SET_SOURCE_STATE, "si",
                                           judgement->sources[i].state, judgement->sources[i].id));
    for (size_t i = 0; i < judgement->cell_count && r == 0; i++) {
        const struct store_cell *cell = &judgement->cells[i];
        r = store_finish(store, store_bind(store, PUT_CELL, "iiis", run, cell->source, cell->column,
                                           cell->json));
    }
    for (size_t i = 0; i < judgement->owner_count && r == 0; i++) {
        const struct store_owner *owner = &judgement->owners[i];
        r = store_finish(store, store_bind(store, PUT_OWNER, "isis", run, owner->address,
                                           owner->service, owner->json));
    }
    for (size_t i = 0; i < judgement->diagnosis_count && r == 0; i++)
        r = store_finish(store, store_bind(store, PUT_DIAGNOSIS, "iis", run, (int64_t)i,
                                           judgement->diagnoses[i]));
    return r;
}

int store_judge_run(struct store *store, const struct store_judgement *judgement)
{
    const struct store_run *run = judgement->run;
    int r = store_begin_own(store);

    if (r < 0)
        return r;
    r = store_finish(store,
                     store_bind(store, JUDGE_RUN, "iiii", run->finished_ms, (int64_t)run->verdict,
                                (int64_t)run->is_incomplete, run->id));
    if (r == 0) /* nothing of it is sent again */
        r = store_finish(store, store_bind(store, FORGET_MESSAGES, "i", run->id));
    if (r == 0)
        r = put_parts(store, judgement);
    return store_end_own(store, r);
}

static void read_run(sqlite3_stmt *statement, struct store_run *run)
{
    *run = (struct store_run){
        .id = sqlite3_column_int64(statement, 0),
        .fleet = sqlite3_column_int64(statement, 1),
        .state = (enum run_state)sqlite3_column_int(statement, 2),
        .created_ms = sqlite3_column_int64(statement, 4),
        .deadline_ms = sqlite3_column_int64(statement, 5),
        .finished_ms = sqlite3_column_int64(statement, 6),
        .verdict = sqlite3_column_int(statement, 7),
        .is_incomplete = sqlite3_column_int(statement, 8),
        .scope = mem_strdup(store_text_at(statement, 9)),
        .live = mem_strdup(store_text_at(statement, 10)),
    };
    text_copy(run->trigger, sizeof(run->trigger), store_text_at(statement, 3));
}

int store_get_run(struct store *store, int64_t id, struct store_run *ret_run)
{
    sqlite3_stmt *statement =
        id ? store_bind(store, GET_RUN, "i", id) : store_bind(store, LAST_RUN, "");
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        read_run(statement, ret_run);
    sqlite3_reset(statement);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : store_note_problem(store, code);
}

struct run_sink {
    store_run_fn fn;
    void *ctx;
};

static void on_run(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct run_sink *sink = sink_pointer;
    struct store_run run;

    read_run(statement, &run);
    sink->fn(sink->ctx, &run);
    store_run_deinit(&run);
}

int store_each_run(struct store *store, int64_t before, int64_t limit, bool only_open,
                   store_run_fn fn, void *ctx)
{
    return store_each_row(store,
                          store_bind(store, only_open ? LIST_OPEN_RUNS : LIST_RUNS, "ii",
                                     before ? before : INT64_MAX, limit),
                          on_run, &(struct run_sink){fn, ctx});
}

struct assignment_sink {
    store_assignment_fn fn;
    void *ctx;
};

static void on_assignment(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct assignment_sink *sink = sink_pointer;
    struct store_assignment assignment = {
        .id = sqlite3_column_int64(statement, 0),
        .run = sqlite3_column_int64(statement, 1),
        .source = sqlite3_column_int64(statement, 2),
        .instance = store_text_at(statement, 3),
        .kind = store_text_at(statement, 4),
        .round = sqlite3_column_int64(statement, 5),
        .columns = store_text_at(statement, 6),
        .message = store_text_at(statement, 7),
        .batches = sqlite3_column_int64(statement, 8),
        .last_batch = sqlite3_column_int64(statement, 9),
        .dropped = sqlite3_column_int64(statement, 10),
    };

    sink->fn(sink->ctx, &assignment);
}

struct source_sink {
    store_source_fn fn;
    void *ctx;
};

static void on_source(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct source_sink *sink = sink_pointer;
    struct store_source source = {
        .id = sqlite3_column_int64(statement, 0),
        .run = sqlite3_column_int64(statement, 1),
        .service = store_text_at(statement, 2),
        .task = store_text_at(statement, 3),
        .instance = store_text_at(statement, 4),
        .zone = store_text_at(statement, 5),
        .columns = store_text_at(statement, 6),
        .state = store_text_at(statement, 7),
        .batches = sqlite3_column_int64(statement, 8),
        .facts = store_text_at(statement, 9),
    };

    sink->fn(sink->ctx, &source);
}

int store_each_source(struct store *store, int64_t run, store_source_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_SOURCES, "i", run), on_source,
                          &(struct source_sink){fn, ctx});
}

int store_each_assignment(struct store *store, int64_t run, store_assignment_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_ASSIGNMENTS, "i", run), on_assignment,
                          &(struct assignment_sink){fn, ctx});
}

int store_get_assignment(struct store *store, int64_t id, store_assignment_fn fn, void *ctx)
{
    sqlite3_stmt *statement = store_bind(store, GET_ASSIGNMENT, "i", id);
    struct assignment_sink sink = {fn, ctx};
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        on_assignment(statement, &sink);
    sqlite3_reset(statement);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : store_note_problem(store, code);
}

struct diagnosis_sink {
    store_diagnosis_fn fn;
    void *ctx;
};

static void on_diagnosis(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct diagnosis_sink *sink = sink_pointer;

    sink->fn(sink->ctx, store_text_at(statement, 0));
}

int store_each_diagnosis(struct store *store, int64_t run, store_diagnosis_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_DIAGNOSES, "i", run), on_diagnosis,
                          &(struct diagnosis_sink){fn, ctx});
}

char *store_get_cell(struct store *store, int64_t run, int64_t source, int64_t column)
{
    sqlite3_stmt *statement = store_bind(store, GET_CELL, "iii", run, source, column);
    char *json = NULL;

    if (sqlite3_step(statement) == SQLITE_ROW)
        json = mem_strdup(store_text_at(statement, 0));
    sqlite3_reset(statement);
    return json;
}

struct cell_sink {
    store_cell_fn fn;
    void *ctx;
};

static void on_cell(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct cell_sink *sink = sink_pointer;
    struct store_cell cell = {sqlite3_column_int64(statement, 0),
                              sqlite3_column_int64(statement, 1), store_text_at(statement, 2)};

    sink->fn(sink->ctx, &cell);
}

int store_each_cell(struct store *store, int64_t run, store_cell_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_CELLS, "i", run), on_cell,
                          &(struct cell_sink){fn, ctx});
}

struct owner_sink {
    store_owner_fn fn;
    void *ctx;
};

static void on_owner(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct owner_sink *sink = sink_pointer;
    struct store_owner owner = {store_text_at(statement, 0), sqlite3_column_int64(statement, 1),
                                store_text_at(statement, 2)};

    sink->fn(sink->ctx, &owner);
}

int store_each_owner(struct store *store, int64_t run, store_owner_fn fn, void *ctx)
{
    return store_each_row(store, store_bind(store, LIST_OWNERS, "i", run), on_owner,
                          &(struct owner_sink){fn, ctx});
}
