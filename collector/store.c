#include "collector/store.h"

#include "collector/store_schema.h"
#include "common/arena.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS       2000
#define ASSIGNMENT_EPOCH_S    1577836800 /* 2020-01-01 */
#define ASSIGNMENT_RANGE_BITS 22         /* ids for each second since then: they last till 2088 */

_Static_assert(ARRAY_SIZE(store_migrations) == STORE_SCHEMA, "a migration per schema version");

enum statement {
    PUT_FLEET,
    FIND_FLEET,
    GET_FLEET,
    PUT_RUN,
    PUT_SOURCE,
    PUT_ASSIGNMENT,
    SET_RUN_STATE,
    SET_SOURCE_STATE,
    SET_SOURCE_INSTANCE,
    JUDGE_RUN,
    PUT_CELL,
    PUT_OWNER,
    GET_RUN,
    LAST_RUN,
    LIST_RUNS,
    LIST_OPEN_RUNS,
    LIST_SOURCES,
    LIST_ASSIGNMENTS,
    GET_ASSIGNMENT,
    LIST_CELLS,
    LIST_OWNERS,
    LIST_WITNESSES,
    PUT_WITNESS,
    PUT_BATCH,
    PUT_PROBE,
    PUT_RESOLUTION,
    LIST_PROBES,
    LIST_RESOLUTIONS,
    STATEMENT_COUNT
};

#define RUN_FIELDS                                                                      \
    "SELECT id, fleet, state, trigger, created_ms, deadline_ms, finished_ms, verdict, " \
    "incomplete, scope, live FROM run "

#define ASSIGNMENT_FIELDS                                                              \
    "SELECT id, run, source, instance, kind, round, columns, message, "                \
    "(SELECT count(*) FROM batch WHERE batch.assignment = assignment.id), "            \
    "(SELECT max(batch) FROM batch WHERE batch.assignment = assignment.id AND last), " \
    "(SELECT max(dropped) FROM batch WHERE batch.assignment = assignment.id) FROM assignment "

static const char *const statements[STATEMENT_COUNT] = {
    [PUT_FLEET] = "INSERT INTO fleet (sha256, text) VALUES (?, ?)",
    [FIND_FLEET] = "SELECT id FROM fleet WHERE sha256 = ?",
    [GET_FLEET] = "SELECT text FROM fleet WHERE id = ?",
    [PUT_RUN] = "INSERT INTO run (fleet, state, trigger, created_ms, deadline_ms, scope, live) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
    [PUT_SOURCE] = "INSERT INTO source (run, service, task, instance, zone, columns) "
                   "VALUES (?, ?, ?, ?, ?, ?)",
    [PUT_ASSIGNMENT] = "INSERT OR IGNORE INTO assignment VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [SET_RUN_STATE] = "UPDATE run SET state = ? WHERE id = ?",
    [SET_SOURCE_STATE] = "UPDATE source SET state = ? WHERE id = ?",
    [SET_SOURCE_INSTANCE] = "UPDATE source SET instance = ? WHERE id = ?",
    [JUDGE_RUN] = "UPDATE run SET state = 4, finished_ms = ?, verdict = ?, incomplete = ? "
                  "WHERE id = ? AND state < 4",
    [PUT_OWNER] = "INSERT OR IGNORE INTO owner VALUES (?, ?, ?, ?)",
    [PUT_CELL] = "INSERT INTO cell (run, source, column, json) VALUES (?, ?, ?, ?)",
    [GET_RUN] = RUN_FIELDS "WHERE id = ?",
    [LAST_RUN] = RUN_FIELDS "ORDER BY id DESC LIMIT 1",
    [LIST_RUNS] = RUN_FIELDS "WHERE id < ? ORDER BY id DESC LIMIT ?",
    [LIST_OPEN_RUNS] = RUN_FIELDS "WHERE state < 4 AND id < ? ORDER BY id DESC LIMIT ?",
    [LIST_ASSIGNMENTS] = ASSIGNMENT_FIELDS "WHERE run = ? ORDER BY id",
    [GET_ASSIGNMENT] = ASSIGNMENT_FIELDS "WHERE id = ?",
    [LIST_SOURCES] =
        "SELECT id, run, service, task, instance, zone, columns, state, (SELECT count(*) "
        "FROM batch JOIN assignment ON batch.assignment = assignment.id WHERE assignment.source = "
        "source.id AND assignment.run = source.run) FROM source WHERE run = ? ORDER BY id",
    [LIST_OWNERS] = "SELECT address, service, json FROM owner WHERE run = ?",
    [LIST_WITNESSES] = "SELECT service, task, message FROM witness WHERE run = ? AND late = 0 "
                       "ORDER BY service, task, round, assignment",
    [PUT_WITNESS] = "INSERT OR IGNORE INTO witness VALUES (?, ?, ?, ?, ?, ?, ?)",
    [LIST_CELLS] = "SELECT source, column, json FROM cell WHERE run = ? ORDER BY source, column",
    [PUT_BATCH] = "INSERT OR IGNORE INTO batch (assignment, batch, last, dropped) "
                  "VALUES (?, ?, ?, ?)",
    [PUT_PROBE] = "INSERT INTO probe VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                  "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_RESOLUTION] = "INSERT INTO resolution VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                       "?, ?, ?, ?, ?, ?, ?)",
    [LIST_PROBES] =
        "SELECT assignment, column, name, address, port, phase, outcome, error, local, resolve_us, "
        "connect_us, tls_us, exchange_us, status, detail, via, bytes_out, bytes_in, retransmits, "
        "rtt_us, mss, pmtu, icmp_type, icmp_code, icmp_from, rate, tls_version, alpn, resumed, "
        "verify, valid_days, chain, attempt, came, came_us, held FROM probe WHERE late = 0 AND "
        "assignment "
        "IN (SELECT id FROM assignment WHERE run = ?1) AND (?2 < 0 OR column = ?2) "
        "ORDER BY assignment, column, name, address, port, attempt",
    [LIST_RESOLUTIONS] =
        "SELECT assignment, name, type, outcome, rcode, ttl_s, time_us, resolver, answers, asked, "
        "chain, tries, truncated, tcp, superseded, reference "
        "FROM resolution WHERE late = 0 AND assignment IN "
        "(SELECT id FROM assignment WHERE run = ?) "
        "ORDER BY assignment, name, type, reference, rowid",
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *prepared[STATEMENT_COUNT];
    uint64_t seed;
    int64_t first_assignment;
    bool in_transaction;
    char problem[ERROR_TEXT_MAX];
};

/* ---- helpers ---- */

static int to_errno(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EACCES;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    default:
        return -EIO;
    }
}

static int note_problem(struct store *store, int code)
{
    snprintf(store->problem, sizeof(store->problem), "%s",
             store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
    return to_errno(code);
}

const char *store_problem(const struct store *store)
{
    return store->problem;
}

static int execute(struct store *store, const char *sql)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? 0 : note_problem(store, code);
}

/* Binds by a format: i int64, s text (NULL is "", copied), b blob with length. Text has to live
 * until the statement was stepped. */
static sqlite3_stmt *bind(struct store *store, enum statement which, const char *format, ...)
{
    sqlite3_stmt *statement = store->prepared[which];
    const char *text;
    va_list args;
    int at = 1;

    sqlite3_reset(statement);
    va_start(args, format);
    for (; *format; format++, at++) {
        switch (*format) {
        case 'i':
            sqlite3_bind_int64(statement, at, va_arg(args, int64_t));
            break;
        case 's':
            text = va_arg(args, const char *);
            sqlite3_bind_text(statement, at, text ? text : "", -1, SQLITE_STATIC);
            break;
        case 'b':
            text = va_arg(args, const char *);
            sqlite3_bind_blob(statement, at, text, (int)va_arg(args, size_t), SQLITE_STATIC);
            break;
        default:
            break;
        }
    }
    va_end(args);
    return statement;
}

/* Runs a statement that gives no rows. */
static int finish(struct store *store, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);

    if (code != SQLITE_DONE)
        note_problem(store, code);
    else
        store->problem[0] = '\0';
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : to_errno(code);
}

static const char *text_at(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text ? text : "";
}

static int begin(struct store *store)
{
    int r;

    /* Reports wait for their commit: whoever needs a transaction of its own ends theirs first. To
     * roll back here would take away what is about to be acknowledged. */
    if (store->in_transaction) {
        snprintf(store->problem, sizeof(store->problem), "a transaction is open");
        return -EINPROGRESS;
    }
    r = execute(store, "BEGIN IMMEDIATE");
    store->in_transaction = r == 0;
    return r;
}

static int commit(struct store *store)
{
    int r = execute(store, "COMMIT");

    if (r < 0)
        store_rollback(store);
    else
        store->problem[0] = '\0';
    store->in_transaction = false;
    return r;
}

/* Ends a transaction that was begun: commit when all went well, else leave no trace. */
static int end(struct store *store, int r)
{
    if (r == 0)
        return commit(store);
    store_rollback(store);
    return r;
}

/* ---- opening ---- */

static int64_t pragma_int(struct store *store, const char *sql)
{
    sqlite3_stmt *statement;
    int64_t value = -1;

    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return -1;
    if (sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static int execute_both(struct store *store, const char *first, const char *second)
{
    int r = execute(store, first);

    return r < 0 ? r : execute(store, second);
}

static int migrate(struct store *store, struct error *err)
{
    int64_t version = pragma_int(store, "PRAGMA user_version");
    int64_t tables = pragma_int(store, "SELECT count(*) FROM sqlite_schema");
    char sql[64];

    if (version < 0 || tables < 0)
        return error_set(err, -EINVAL, "%s", sqlite3_errmsg(store->db));
    if (version == 0 && tables > 0)
        return error_set(err, -EINVAL, "a database, but not canreach's");
    if (version > STORE_SCHEMA)
        return error_set(err, -EINVAL,
                         "schema %lld was written by a newer canreach; this one knows up to %d",
                         (long long)version, STORE_SCHEMA);
    for (; version < STORE_SCHEMA; version++) {
        int r = begin(store);
        snprintf(sql, sizeof(sql), "PRAGMA user_version = %lld", (long long)version + 1);
        if (r == 0)
            r = end(store, execute_both(store, store_migrations[version], sql));
        if (r < 0)
            return error_set(err, r, "migration to schema %lld failed: %s", (long long)version + 1,
                             store->problem);
    }
    return 0;
}

static int prepare_all(struct store *store, struct error *err)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(store->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->prepared[i], NULL) != SQLITE_OK)
            return error_set(err, -EIO, "%s", sqlite3_errmsg(store->db));
    return 0;
}

/* The exclusive lock keeps a second collector away from the same file. FULL: an acknowledged
 * report survives a power cut. */
static int configure(struct store *store, struct error *err)
{
    static const char pragmas[] =
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE; COMMIT;";
    int r = execute(store, pragmas);

    if (r == -EBUSY)
        return error_set(err, r, "another collector has it open");
    return r < 0 ? error_set(err, r, "%s", store->problem) : 0;
}

/* Beyond all that are stored, and beyond those that were given and never stored: by the clock. */
static int64_t first_assignment(struct store *store)
{
    int64_t by_clock = (clock_wall_ms() / 1000 - ASSIGNMENT_EPOCH_S) << ASSIGNMENT_RANGE_BITS;
    int64_t stored = pragma_int(store, "SELECT coalesce(max(id), 0) + 1 FROM assignment");

    return by_clock > stored ? by_clock : stored;
}

struct store *store_open(const char *path, struct error *err)
{
    struct store *store = mem_alloc(sizeof(*store));
    struct error why = {""};
    int code = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

    if (code != SQLITE_OK) {
        error_set(err, to_errno(code), "store %s: %s", path,
                  store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
        return store_close(store);
    }
    sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
    if (configure(store, &why) < 0 || migrate(store, &why) < 0 || prepare_all(store, &why) < 0) {
        error_set(err, -EIO, "store %s: %s", path, why.text);
        return store_close(store);
    }
    sqlite3_busy_timeout(store->db, 0);
    store->seed = (uint64_t)pragma_int(store, "SELECT value FROM meta WHERE key = 'seed'");
    store->first_assignment = first_assignment(store);
    return store;
}

struct store *store_close(struct store *store)
{
    if (!store)
        return NULL;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(store->prepared[i]);
    sqlite3_close(store->db);
    mem_free(store);
    return NULL;
}

uint64_t store_seed(const struct store *store)
{
    return store->seed;
}

int64_t store_first_assignment(const struct store *store)
{
    return store->first_assignment;
}

/* ---- fleets ---- */

static void sha256_hex(const char *text, size_t length, char out[65])
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

    sha256_hex(text, length, sha256);
    statement = bind(store, FIND_FLEET, "s", sha256);
    if (sqlite3_step(statement) == SQLITE_ROW)
        id = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    if (id >= 0)
        return id;
    r = finish(store, bind(store, PUT_FLEET, "sb", sha256, text, length));
    return r < 0 ? r : sqlite3_last_insert_rowid(store->db);
}

char *store_get_fleet(struct store *store, int64_t fleet, size_t *ret_length)
{
    sqlite3_stmt *statement = bind(store, GET_FLEET, "i", fleet);
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
    int r = finish(store, bind(store, PUT_SOURCE, "isssss", run, source->service, source->task,
                               source->instance, source->zone, source->columns));

    source->run = run;
    source->id = sqlite3_last_insert_rowid(store->db);
    return r;
}

int store_put_run(struct store *store, struct store_run *run, struct store_source *sources,
                  size_t count)
{
    int r = begin(store);

    if (r < 0)
        return r;
    r = finish(store, bind(store, PUT_RUN, "iisiiss", run->fleet, (int64_t)run->state, run->trigger,
                           run->created_ms, run->deadline_ms, run->scope, run->live));
    run->id = sqlite3_last_insert_rowid(store->db);
    for (size_t i = 0; i < count && r == 0; i++)
        r = put_source(store, run->id, &sources[i]);
    return end(store, r);
}

int store_set_run_state(struct store *store, int64_t run, enum run_state state)
{
    return finish(store, bind(store, SET_RUN_STATE, "ii", (int64_t)state, run));
}

int store_set_source_instance(struct store *store, int64_t source, const char *instance)
{
    return finish(store, bind(store, SET_SOURCE_INSTANCE, "si", instance, source));
}

int store_judge_run(struct store *store, const struct store_run *run,
                    const struct store_source *sources, size_t source_count,
                    const struct store_cell *cells, size_t cell_count,
                    const struct store_owner *owners, size_t owner_count)
{
    int r = begin(store);

    if (r < 0)
        return r;
    r = finish(store, bind(store, JUDGE_RUN, "iiii", run->finished_ms, (int64_t)run->verdict,
                           (int64_t)run->is_incomplete, run->id));
    for (size_t i = 0; i < source_count && r == 0; i++)
        r = finish(store, bind(store, SET_SOURCE_STATE, "si", sources[i].state, sources[i].id));
    for (size_t i = 0; i < cell_count && r == 0; i++)
        r = finish(store, bind(store, PUT_CELL, "iiis", run->id, cells[i].source, cells[i].column,
                               cells[i].json));
    for (size_t i = 0; i < owner_count && r == 0; i++)
        r = finish(store, bind(store, PUT_OWNER, "isis", run->id, owners[i].address,
                               owners[i].service, owners[i].json));
    return end(store, r);
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
        .scope = mem_strdup(text_at(statement, 9)),
        .live = mem_strdup(text_at(statement, 10)),
    };
    text_copy(run->trigger, sizeof(run->trigger), text_at(statement, 3));
}

int store_get_run(struct store *store, int64_t id, struct store_run *ret_run)
{
    sqlite3_stmt *statement = id ? bind(store, GET_RUN, "i", id) : bind(store, LAST_RUN, "");
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        read_run(statement, ret_run);
    sqlite3_reset(statement);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : note_problem(store, code);
}

/* Steps through a listing; each row goes to `read`. The statement is done when this returns. */
typedef void (*row_fn)(sqlite3_stmt *statement, void *fn_and_ctx);

static int each(struct store *store, sqlite3_stmt *statement, row_fn read, void *fn_and_ctx)
{
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        read(statement, fn_and_ctx);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : note_problem(store, code);
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
    return each(store,
                bind(store, only_open ? LIST_OPEN_RUNS : LIST_RUNS, "ii",
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
        .instance = text_at(statement, 3),
        .kind = text_at(statement, 4),
        .round = sqlite3_column_int64(statement, 5),
        .columns = text_at(statement, 6),
        .message = text_at(statement, 7),
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
        .service = text_at(statement, 2),
        .task = text_at(statement, 3),
        .instance = text_at(statement, 4),
        .zone = text_at(statement, 5),
        .columns = text_at(statement, 6),
        .state = text_at(statement, 7),
        .batches = sqlite3_column_int64(statement, 8),
    };

    sink->fn(sink->ctx, &source);
}

int store_each_source(struct store *store, int64_t run, store_source_fn fn, void *ctx)
{
    return each(store, bind(store, LIST_SOURCES, "i", run), on_source,
                &(struct source_sink){fn, ctx});
}

int store_each_assignment(struct store *store, int64_t run, store_assignment_fn fn, void *ctx)
{
    return each(store, bind(store, LIST_ASSIGNMENTS, "i", run), on_assignment,
                &(struct assignment_sink){fn, ctx});
}

int store_get_assignment(struct store *store, int64_t id, store_assignment_fn fn, void *ctx)
{
    sqlite3_stmt *statement = bind(store, GET_ASSIGNMENT, "i", id);
    struct assignment_sink sink = {fn, ctx};
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        on_assignment(statement, &sink);
    sqlite3_reset(statement);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : note_problem(store, code);
}

struct cell_sink {
    store_cell_fn fn;
    void *ctx;
};

static void on_cell(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct cell_sink *sink = sink_pointer;
    struct store_cell cell = {sqlite3_column_int64(statement, 0),
                              sqlite3_column_int64(statement, 1), text_at(statement, 2)};

    sink->fn(sink->ctx, &cell);
}

int store_each_cell(struct store *store, int64_t run, store_cell_fn fn, void *ctx)
{
    return each(store, bind(store, LIST_CELLS, "i", run), on_cell, &(struct cell_sink){fn, ctx});
}

struct owner_sink {
    store_owner_fn fn;
    void *ctx;
};

static void on_owner(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct owner_sink *sink = sink_pointer;
    struct store_owner owner = {text_at(statement, 0), sqlite3_column_int64(statement, 1),
                                text_at(statement, 2)};

    sink->fn(sink->ctx, &owner);
}

int store_each_owner(struct store *store, int64_t run, store_owner_fn fn, void *ctx)
{
    return each(store, bind(store, LIST_OWNERS, "i", run), on_owner, &(struct owner_sink){fn, ctx});
}

/* ---- reports ---- */

int store_begin(struct store *store)
{
    return store->in_transaction ? 0 : begin(store);
}

int store_commit(struct store *store)
{
    return store->in_transaction ? commit(store) : 0;
}

void store_rollback(struct store *store)
{
    char problem[ERROR_TEXT_MAX];

    /* SQLite may have rolled back by itself; the first problem is the one to tell. */
    memcpy(problem, store->problem, sizeof(problem));
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    memcpy(store->problem, problem, sizeof(problem));
    store->in_transaction = false;
}

static int put_probe(struct store *store, int64_t assignment, const struct proto_probe *row,
                     bool is_late)
{
    CLEANUP_BUF struct buf chain = BUF_INIT(PROTO_MESSAGE_MAX);

    buf_put_json_list(&chain, row->chain, row->chain_count);
    return finish(store,
                  bind(store, PUT_PROBE, "iissiisisiiiiisisiiiiiiiisissiiisisii", assignment,
                       row->target, row->name, row->address, row->port, (int64_t)row->phase,
                       outcome_name(row->outcome), row->error, row->local, row->resolve_us,
                       row->connect_us, row->tls_us, row->exchange_us, row->status, row->detail,
                       (int64_t)is_late, row->via, row->bytes_out, row->bytes_in, row->retransmits,
                       row->rtt_us, row->mss, row->pmtu, row->icmp_type, row->icmp_code,
                       row->icmp_from, row->rate, row->tls_version, row->alpn,
                       (int64_t)row->is_resumed, row->verify, row->valid_days, buf_text(&chain),
                       row->attempt, row->late, row->late_us, (int64_t)row->is_held));
}

static int put_resolution(struct store *store, int64_t assignment,
                          const struct proto_resolution *row, bool is_late)
{
    CLEANUP_BUF struct buf answers = BUF_INIT(PROTO_MESSAGE_MAX), chain = answers;

    buf_put_json_list(&answers, row->answers, row->answer_count);
    buf_put_json_list(&chain, row->chain, row->chain_count);
    return finish(store, bind(store, PUT_RESOLUTION, "isssiiississiiiii", assignment, row->name,
                              row->type, outcome_name(row->outcome), row->rcode, row->ttl_s,
                              row->time_us, row->resolver, buf_text(&answers), (int64_t)is_late,
                              row->asked, buf_text(&chain), row->tries, (int64_t)row->is_truncated,
                              (int64_t)row->is_tcp, (int64_t)row->is_superseded,
                              (int64_t)row->is_reference));
}

int store_put_assignment(struct store *store, const struct store_assignment *assignment)
{
    return finish(store, bind(store, PUT_ASSIGNMENT, "iiississ", assignment->id, assignment->run,
                              assignment->source, assignment->instance, assignment->kind,
                              assignment->round, assignment->columns, assignment->message));
}

int store_put_witness(struct store *store, const struct proto_witness *witness, const char *service,
                      const char *task, bool is_late)
{
    CLEANUP_BUF struct buf text = BUF_INIT(PROTO_MESSAGE_MAX);
    struct proto_message message = {.type = PROTO_WITNESS, .witness = *witness};
    int r = proto_encode(&message, &text);

    if (r < 0)
        return r;
    r = finish(store, bind(store, PUT_WITNESS, "iiisssi", witness->assignment, witness->run,
                           witness->round, service, task, buf_text(&text), (int64_t)is_late));
    return r == 0 && sqlite3_changes(store->db) == 0 ? STORE_DUPLICATE : r;
}

struct witness_sink {
    store_witness_fn fn;
    void *ctx;
};

static void on_witness(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct witness_sink *sink = sink_pointer;
    CLEANUP_MESSAGE struct proto_message message;
    struct error err;
    const char *text = text_at(statement, 2);

    if (proto_decode(text, strlen(text), &message, &err) == 0 && message.type == PROTO_WITNESS)
        sink->fn(sink->ctx, text_at(statement, 0), text_at(statement, 1), &message.witness);
}

int store_each_witness(struct store *store, int64_t run, store_witness_fn fn, void *ctx)
{
    return each(store, bind(store, LIST_WITNESSES, "i", run), on_witness,
                &(struct witness_sink){fn, ctx});
}

int store_put_report(struct store *store, const struct proto_report *report, bool is_late)
{
    int r = finish(store, bind(store, PUT_BATCH, "iiii", report->assignment, report->batch,
                               (int64_t)report->is_last, report->dropped));

    if (r == 0 && sqlite3_changes(store->db) == 0)
        return STORE_DUPLICATE;
    for (size_t i = 0; i < report->probe_count && r == 0; i++)
        r = put_probe(store, report->assignment, &report->probes[i], is_late);
    for (size_t i = 0; i < report->resolution_count && r == 0; i++)
        r = put_resolution(store, report->assignment, &report->resolutions[i], is_late);
    return r;
}

/* A column that holds a JSON list of strings: the list, and its strings, which live as long. */
static cJSON *json_list_at(sqlite3_stmt *statement, int column)
{
    const char *text = text_at(statement, column);

    return json_parse(text, strlen(text), 2, NULL);
}

static size_t strings_of(const cJSON *list, const char **out, size_t max)
{
    const cJSON *item;
    size_t count = 0;

    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item) && count < max)
            out[count++] = item->valuestring;
    }
    return count;
}

struct probe_sink {
    store_probe_fn fn;
    void *ctx;
};

static void on_probe(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct probe_sink *sink = sink_pointer;
    const char *chain[PROTO_CHAIN_MAX];
    CLEANUP_JSON cJSON *chain_list = json_list_at(statement, 31);
    struct proto_probe row = {
        .target = sqlite3_column_int64(statement, 1),
        .name = text_at(statement, 2),
        .address = text_at(statement, 3),
        .port = sqlite3_column_int64(statement, 4),
        .phase = (enum proto_phase)sqlite3_column_int(statement, 5),
        .outcome = outcome_from_name(text_at(statement, 6)),
        .error = sqlite3_column_int64(statement, 7),
        .local = text_at(statement, 8),
        .resolve_us = sqlite3_column_int64(statement, 9),
        .connect_us = sqlite3_column_int64(statement, 10),
        .tls_us = sqlite3_column_int64(statement, 11),
        .exchange_us = sqlite3_column_int64(statement, 12),
        .status = sqlite3_column_int64(statement, 13),
        .detail = text_at(statement, 14),
        .via = text_at(statement, 15),
        .bytes_out = sqlite3_column_int64(statement, 16),
        .bytes_in = sqlite3_column_int64(statement, 17),
        .retransmits = sqlite3_column_int64(statement, 18),
        .rtt_us = sqlite3_column_int64(statement, 19),
        .mss = sqlite3_column_int64(statement, 20),
        .pmtu = sqlite3_column_int64(statement, 21),
        .icmp_type = sqlite3_column_int64(statement, 22),
        .icmp_code = sqlite3_column_int64(statement, 23),
        .icmp_from = text_at(statement, 24),
        .rate = sqlite3_column_int64(statement, 25),
        .tls_version = text_at(statement, 26),
        .alpn = text_at(statement, 27),
        .is_resumed = sqlite3_column_int(statement, 28),
        .verify = sqlite3_column_int64(statement, 29),
        .valid_days = sqlite3_column_int64(statement, 30),
        .chain = chain,
        .chain_count = strings_of(chain_list, chain, PROTO_CHAIN_MAX),
        .attempt = sqlite3_column_int64(statement, 32),
        .late = text_at(statement, 33),
        .late_us = sqlite3_column_int64(statement, 34),
        .is_held = sqlite3_column_int(statement, 35),
    };

    sink->fn(sink->ctx, sqlite3_column_int64(statement, 0), &row);
}

int store_each_probe(struct store *store, int64_t run, int64_t column, store_probe_fn fn, void *ctx)
{
    return each(store, bind(store, LIST_PROBES, "ii", run, column), on_probe,
                &(struct probe_sink){fn, ctx});
}

struct resolution_sink {
    store_resolution_fn fn;
    void *ctx;
};

static void on_resolution(sqlite3_stmt *statement, void *sink_pointer)
{
    const struct resolution_sink *sink = sink_pointer;
    CLEANUP_JSON cJSON *answer_list = json_list_at(statement, 8);
    CLEANUP_JSON cJSON *chain_list = json_list_at(statement, 10);
    const char *answers[PROTO_ANSWERS_MAX], *chain[PROTO_CHAIN_MAX];
    struct proto_resolution row = {
        .name = text_at(statement, 1),
        .type = text_at(statement, 2),
        .outcome = outcome_from_name(text_at(statement, 3)),
        .rcode = sqlite3_column_int64(statement, 4),
        .ttl_s = sqlite3_column_int64(statement, 5),
        .time_us = sqlite3_column_int64(statement, 6),
        .resolver = text_at(statement, 7),
        .answers = answers,
        .answer_count = strings_of(answer_list, answers, PROTO_ANSWERS_MAX),
        .asked = text_at(statement, 9),
        .chain = chain,
        .chain_count = strings_of(chain_list, chain, PROTO_CHAIN_MAX),
        .tries = sqlite3_column_int64(statement, 11),
        .is_truncated = sqlite3_column_int(statement, 12),
        .is_tcp = sqlite3_column_int(statement, 13),
        .is_superseded = sqlite3_column_int(statement, 14),
        .is_reference = sqlite3_column_int(statement, 15),
    };

    sink->fn(sink->ctx, sqlite3_column_int64(statement, 0), &row);
}

int store_each_resolution(struct store *store, int64_t run, store_resolution_fn fn, void *ctx)
{
    return each(store, bind(store, LIST_RESOLUTIONS, "i", run), on_resolution,
                &(struct resolution_sink){fn, ctx});
}
