#include "collector/store_internal.h"

#include "collector/store_schema.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS       2000
#define ASSIGNMENT_EPOCH_S    1577836800 /* 2020-01-01 */
#define ASSIGNMENT_RANGE_BITS 22         /* ids for each second since then: they last till 2088 */

_Static_assert(ARRAY_SIZE(store_migrations) == STORE_SCHEMA, "a migration per schema version");

#define RUN_FIELDS                                                                      \
    "SELECT id, fleet, state, trigger, created_ms, deadline_ms, finished_ms, verdict, " \
    "incomplete, scope, live FROM run "

#define ASSIGNMENT_FIELDS                                                              \
    "SELECT id, run, source, instance, kind, round, columns, message, "                \
    "(SELECT count(*) FROM batch WHERE batch.assignment = assignment.id), "            \
    "(SELECT max(batch) FROM batch WHERE batch.assignment = assignment.id AND last), " \
    "(SELECT max(dropped) FROM batch WHERE batch.assignment = assignment.id) FROM assignment "

#define OUTAGE_FIELDS                                                                           \
    "SELECT id, source, target, check_name, start_ms, start_run, end_ms, end_run, causes FROM " \
    "outage "

#define ASSIGNMENTS_OF "(SELECT id FROM assignment WHERE run = ?)"

#define GATE_FIELDS "SELECT id, deployment, service, open, created_ms, json FROM gate "

static const char *const statements[STATEMENT_COUNT] = {
    [PUT_FLEET] = "INSERT INTO fleet (sha256, text) VALUES (?, ?)",
    [FIND_FLEET] = "SELECT id FROM fleet WHERE sha256 = ?",
    [GET_FLEET] = "SELECT text FROM fleet WHERE id = ?",
    [PUT_RUN] = "INSERT INTO run (fleet, state, trigger, created_ms, deadline_ms, scope, live) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
    [PUT_SOURCE] = "INSERT INTO source (run, service, task, instance, zone, columns, facts) "
                   "VALUES (?, ?, ?, ?, ?, ?, ?)",
    [PUT_ASSIGNMENT] = "INSERT OR IGNORE INTO assignment VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [SET_RUN_STATE] = "UPDATE run SET state = ? WHERE id = ?",
    [SET_SOURCE_STATE] = "UPDATE source SET state = ? WHERE id = ?",
    [SET_SOURCE_INSTANCE] = "UPDATE source SET instance = ? WHERE id = ?",
    [JUDGE_RUN] = "UPDATE run SET state = 4, finished_ms = ?, verdict = ?, incomplete = ? "
                  "WHERE id = ? AND state < 4",
    [FORGET_MESSAGES] = "UPDATE assignment SET message = '' WHERE run = ?",
    [PUT_OWNER] = "INSERT OR IGNORE INTO owner VALUES (?, ?, ?, ?)",
    [PUT_DIAGNOSIS] = "INSERT INTO diagnosis VALUES (?, ?, ?)",
    [LIST_DIAGNOSES] = "SELECT json FROM diagnosis WHERE run = ? ORDER BY number",
    [GET_CELL] = "SELECT json FROM cell WHERE run = ? AND source = ? AND column = ?",
    [PUT_CELL] = "INSERT INTO cell (run, source, column, json) VALUES (?, ?, ?, ?)",
    [PUT_ESTATE] = "INSERT OR REPLACE INTO estate VALUES (?, ?, ?, ?)",
    [GET_ESTATE] = "SELECT taken_ms, network_taken_ms, region FROM estate WHERE run = ?",
    [LAST_ESTATE] = "SELECT max(run) FROM estate",
    [FIND_CONTENT] = "SELECT id FROM estate_content WHERE sha256 = ?",
    [PUT_CONTENT] = "INSERT INTO estate_content (sha256, json) VALUES (?, ?)",
    [PUT_PART] = "INSERT OR REPLACE INTO estate_part VALUES (?, ?, ?)",
    [GET_PART] = "SELECT name, json FROM estate_part JOIN estate_content ON content = id "
                 "WHERE run = ? AND name = ?",
    [GET_RUN] = RUN_FIELDS "WHERE id = ?",
    [LAST_RUN] = RUN_FIELDS "WHERE trigger != 'watch' ORDER BY id DESC LIMIT 1",
    [LIST_RUNS] = RUN_FIELDS "WHERE id < ? AND trigger != 'watch' ORDER BY id DESC LIMIT ?",
    [LIST_OPEN_RUNS] = RUN_FIELDS "WHERE state < 4 AND id < ? ORDER BY id DESC LIMIT ?",
    [LIST_ASSIGNMENTS] = ASSIGNMENT_FIELDS "WHERE run = ? ORDER BY id",
    [GET_ASSIGNMENT] = ASSIGNMENT_FIELDS "WHERE id = ?",
    [LIST_SOURCES] =
        "SELECT id, run, service, task, instance, zone, columns, state, (SELECT count(*) "
        "FROM batch JOIN assignment ON batch.assignment = assignment.id WHERE assignment.source = "
        "source.id AND assignment.run = source.run), facts FROM source WHERE run = ? ORDER BY id",
    [LIST_OWNERS] = "SELECT address, service, json FROM owner WHERE run = ?",
    [LIST_WITNESSES] = "SELECT service, task, message FROM witness WHERE run = ? AND late = 0 "
                       "ORDER BY service, task, round, assignment",
    [PUT_WITNESS] = "INSERT OR IGNORE INTO witness VALUES (?, ?, ?, ?, ?, ?, ?)",
    [LIST_CELLS] = "SELECT source, column, json FROM cell WHERE run = ? ORDER BY source, column",
    [FORGET_PROBES] = "DELETE FROM probe WHERE assignment IN " ASSIGNMENTS_OF,
    [FORGET_RESOLUTIONS] = "DELETE FROM resolution WHERE assignment IN " ASSIGNMENTS_OF,
    [FORGET_BATCHES] = "DELETE FROM batch WHERE assignment IN " ASSIGNMENTS_OF,
    [FORGET_ASSIGNMENTS] = "DELETE FROM assignment WHERE run = ?",
    [FORGET_SOURCES] = "DELETE FROM source WHERE run = ?",
    [FORGET_CELLS] = "DELETE FROM cell WHERE run = ?",
    [FORGET_WITNESSES] = "DELETE FROM witness WHERE run = ?",
    [FORGET_OWNERS] = "DELETE FROM owner WHERE run = ?",
    [FORGET_DIAGNOSES] = "DELETE FROM diagnosis WHERE run = ?",
    [FORGET_PARTS] = "DELETE FROM estate_part WHERE run = ?",
    [FORGET_ESTATE] = "DELETE FROM estate WHERE run = ?",
    [FORGET_RUN] = "DELETE FROM run WHERE id = ?",
    [PUT_OUTAGE] = "INSERT INTO outage (source, target, check_name, start_ms, start_run, end_ms, "
                   "end_run, causes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [END_OUTAGE] = "UPDATE outage SET end_ms = ?, end_run = ?, causes = ? WHERE id = ?",
    [LIST_OPEN_OUTAGES] = OUTAGE_FIELDS "WHERE end_ms = 0 ORDER BY id",
    [LIST_OUTAGES] = OUTAGE_FIELDS "WHERE id < ? AND (? = '' OR source = ?2) AND (? = '' OR "
                                   "target = ?3) ORDER BY id DESC LIMIT ?",
    /* Beyond the newest so many, or too old; but what is open, not told, or known to be needed. */
    [LIST_EXPIRED] = RUN_FIELDS
    "WHERE state = 4 AND ((trigger = 'watch' AND created_ms < ?1) OR (trigger != 'watch' AND told "
    "AND kept < (SELECT max(id) FROM run WHERE state = 4 AND trigger != 'watch') AND id < (SELECT "
    "max(id) FROM run WHERE state = 4 AND trigger != 'watch') AND (created_ms < ?2 OR id < "
    "coalesce("
    "(SELECT id FROM run WHERE trigger != 'watch' ORDER BY id DESC LIMIT 1 OFFSET ?3), 0) + 1))) "
    "ORDER BY id LIMIT ?4",
    [KEEP_RUN] = "UPDATE run SET kept = (SELECT max(id) FROM run WHERE state = 4 AND trigger != "
                 "'watch') WHERE id = ?",
    [FORGET_CONTENT] =
        "DELETE FROM estate_content WHERE id NOT IN (SELECT content FROM estate_part)",
    [FORGET_FLEETS] = "DELETE FROM fleet WHERE id NOT IN (SELECT fleet FROM run) AND id < (SELECT "
                      "max(fleet) FROM run)",
    [FORGET_OUTBOX] = "DELETE FROM outbox WHERE created_ms < ? AND state != 'pending' AND incident "
                      "NOT IN (SELECT id FROM incident WHERE open)",
    [FORGET_INCIDENTS] = "DELETE FROM incident WHERE NOT open AND resolved_ms < ?",
    [FORGET_OUTAGES] = "DELETE FROM outage WHERE end_ms != 0 AND end_ms < ?",
    [NEXT_UNTOLD] =
        RUN_FIELDS "WHERE NOT told AND state = 4 AND trigger != 'watch' ORDER BY id LIMIT 1",
    [SET_TOLD] = "UPDATE run SET told = 1 WHERE id = ?",
    [COUNT_INCIDENT] = "UPDATE meta SET value = value + 1 WHERE key = 'incident'",
    [GET_INCIDENT_COUNT] = "SELECT value FROM meta WHERE key = 'incident'",
    [PUT_INCIDENT] = "INSERT OR REPLACE INTO incident VALUES (?, ?, ?, ?, ?, ?)",
    [LIST_INCIDENTS] = "SELECT id, open, opened_ms, told_ms, resolved_ms, json FROM incident "
                       "WHERE open OR NOT ? ORDER BY id DESC LIMIT ?",
    [PUT_OUTGOING] = "INSERT INTO outbox (destination, incident, kind, created_ms, json) "
                     "VALUES (?, ?, ?, ?, ?)",
    [NEXT_OUTGOING] =
        "SELECT id, destination, incident, kind, created_ms, next_ms, attempts, state, error, "
        "coalesce((SELECT remote FROM outbox AS other WHERE other.destination = outbox.destination "
        "AND other.incident = outbox.incident AND other.remote != '' LIMIT 1), ''), json "
        "FROM outbox WHERE destination = ? AND state = 'pending' ORDER BY id LIMIT 1",
    [SET_OUTGOING] =
        "UPDATE outbox SET state = ?, attempts = ?, next_ms = ?, error = ?, remote = ? "
        "WHERE id = ?",
    [COUNT_OUTGOING] =
        "SELECT coalesce(sum(state = 'pending'), 0), coalesce(sum(state = 'failed'), "
        "0) FROM outbox WHERE destination = ?",
    [PUT_SCHEDULE] = "INSERT OR REPLACE INTO schedule VALUES (?, ?, ?)",
    [GET_SCHEDULE] = "SELECT last_ms, run FROM schedule WHERE name = ?",
    [PUT_GATE] = "INSERT INTO gate (deployment, service, open, created_ms, json) "
                 "VALUES (?, ?, ?, ?, ?)",
    [SET_GATE] = "UPDATE gate SET open = ?, json = ? WHERE id = ?",
    [GET_GATE] = GATE_FIELDS "WHERE id = ?",
    [LAST_GATE] = GATE_FIELDS "ORDER BY id DESC LIMIT 1",
    [FIND_GATE] = GATE_FIELDS "WHERE deployment = ? AND service = ?",
    [LIST_GATES] = GATE_FIELDS "WHERE id < ? ORDER BY id DESC LIMIT ?",
    [LIST_OPEN_GATES] = GATE_FIELDS "WHERE open AND id < ? ORDER BY id DESC LIMIT ?",
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

int store_note_problem(struct store *store, int code)
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

    return code == SQLITE_OK ? 0 : store_note_problem(store, code);
}

sqlite3_stmt *store_bind(struct store *store, enum statement which, const char *format, ...)
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

int store_finish(struct store *store, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);

    if (code != SQLITE_DONE)
        store_note_problem(store, code);
    else
        store->problem[0] = '\0';
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : to_errno(code);
}

const char *store_text_at(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text ? text : "";
}

int store_begin_own(struct store *store)
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

int store_end_own(struct store *store, int r)
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
        int r = store_begin_own(store);
        snprintf(sql, sizeof(sql), "PRAGMA user_version = %lld", (long long)version + 1);
        if (r == 0)
            r = store_end_own(store, execute_both(store, store_migrations[version], sql));
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

int store_each_row(struct store *store, sqlite3_stmt *statement, store_row_fn read,
                   void *fn_and_ctx)
{
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        read(statement, fn_and_ctx);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : store_note_problem(store, code);
}

/* ---- transactions ---- */

int store_begin(struct store *store)
{
    return store->in_transaction ? 0 : store_begin_own(store);
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
