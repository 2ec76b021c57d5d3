/* store_internal: what store.c, store_runs.c and store_rows.c share, and nobody else sees: SQLite's
 * types stay behind it.
 */
#ifndef COLLECTOR_STORE_INTERNAL_H
#define COLLECTOR_STORE_INTERNAL_H

#include "collector/store.h"

#include <sqlite3.h>

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
    FORGET_MESSAGES,
    PUT_CELL,
    PUT_OWNER,
    PUT_DIAGNOSIS,
    LIST_DIAGNOSES,
    GET_CELL,
    PUT_ESTATE,
    GET_ESTATE,
    LAST_ESTATE,
    FIND_CONTENT,
    PUT_CONTENT,
    PUT_PART,
    GET_PART,
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
    FORGET_PROBES,
    FORGET_RESOLUTIONS,
    FORGET_BATCHES,
    FORGET_ASSIGNMENTS,
    FORGET_SOURCES,
    FORGET_CELLS,
    FORGET_WITNESSES,
    FORGET_OWNERS,
    FORGET_DIAGNOSES,
    FORGET_PARTS,
    FORGET_ESTATE,
    FORGET_RUN,
    PUT_OUTAGE,
    END_OUTAGE,
    LIST_OPEN_OUTAGES,
    LIST_OUTAGES,
    LIST_EXPIRED,
    KEEP_RUN,
    FORGET_CONTENT,
    FORGET_FLEETS,
    FORGET_OUTBOX,
    FORGET_INCIDENTS,
    FORGET_OUTAGES,
    NEXT_UNTOLD,
    SET_TOLD,
    COUNT_INCIDENT,
    GET_INCIDENT_COUNT,
    PUT_INCIDENT,
    LIST_INCIDENTS,
    PUT_OUTGOING,
    NEXT_OUTGOING,
    SET_OUTGOING,
    COUNT_OUTGOING,
    PUT_SCHEDULE,
    GET_SCHEDULE,
    PUT_GATE,
    SET_GATE,
    GET_GATE,
    LAST_GATE,
    FIND_GATE,
    LIST_GATES,
    LIST_OPEN_GATES,
    PUT_BATCH,
    PUT_PROBE,
    PUT_RESOLUTION,
    LIST_PROBES,
    LIST_RESOLUTIONS,
    STATEMENT_COUNT
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *prepared[STATEMENT_COUNT];
    uint64_t seed;
    int64_t first_assignment;
    bool in_transaction;
    char problem[ERROR_TEXT_MAX];
};

/* Binds by a format: i int64, s text (NULL is "", not copied), b blob with length. Text has to live
 * until the statement was stepped. */
sqlite3_stmt *store_bind(struct store *store, enum statement which, const char *format, ...);
/* Runs a statement that gives no rows. 0 or a negative errno. */
int store_finish(struct store *store, sqlite3_stmt *statement);
/* Steps through a listing; each row goes to `read`. The statement is done when this returns. */
typedef void (*store_row_fn)(sqlite3_stmt *statement, void *fn_and_ctx);
int store_each_row(struct store *store, sqlite3_stmt *statement, store_row_fn read,
                   void *fn_and_ctx);
const char *store_text_at(sqlite3_stmt *statement, int column); /* "" for NULL */
int store_note_problem(struct store *store, int code);          /* the errno, negative */

void store_sha256(const char *text, size_t length, char out[65]);

/* A transaction of one's own; refused while reports wait for their commit. */
int store_begin_own(struct store *store);
/* Commit when all went well (`r` 0), else leave no trace. */
int store_end_own(struct store *store, int r);

#endif
