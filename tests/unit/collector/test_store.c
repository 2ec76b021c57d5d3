#include "collector/estate_store.h"
#include "collector/store.h"
#include "collector/store_schema.h"
#include "tests/unit/test.h"

#include "common/mem.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static int set_up(void **state)
{
    char folder[] = "/tmp/canreach-test-XXXXXX";

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/db", folder);
    return 0;
}

static int tear_down(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof(command), "rm -r '%.*s'", (int)(strlen(path) - 3), path);
    return system(command);
}

static struct store *open_store(void)
{
    struct error err = {""};
    struct store *store = store_open(path, &err);

    if (!store)
        fail_msg("%s", err.text);
    return store;
}

static int64_t put_run(struct store *store, int64_t *ret_assignment)
{
    char scope[] = "{}", live[] = "[2]";
    int64_t fleet = store_put_fleet(store, "services: {}", 12);
    struct store_run run = {.fleet = fleet, .trigger = "manual", .scope = scope, .live = live};
    struct store_source source = {
        .service = "web", .task = "web.1", .instance = "i1", .zone = "a", .columns = "[0,1]"};
    struct store_assignment assignment = {.id = store_first_assignment(store),
                                          .instance = "i1",
                                          .kind = "sweep",
                                          .columns = "[0,1]",
                                          .message = "{}"};

    assert_int_equal(store_put_run(store, &run, &source, 1), 0);
    assignment.run = run.id;
    assignment.source = source.id;
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_assignment(store, &assignment), 0);
    assert_int_equal(store_put_assignment(store, &assignment), 0); /* again: as it was */
    assert_int_equal(store_commit(store), 0);
    *ret_assignment = assignment.id;
    return run.id;
}

static struct proto_probe probe = {.target = 0,
                                   .name = "api",
                                   .address = "10.0.0.1",
                                   .port = 80,
                                   .phase = PHASE_CONNECT,
                                   .outcome = OUTCOME_REFUSED,
                                   .error = 111,
                                   .local = "",
                                   .resolve_us = 5,
                                   .connect_us = 6,
                                   .tls_us = -1,
                                   .exchange_us = -1,
                                   .detail = "",
                                   .late = ""};

static struct proto_report report_of(int64_t assignment, int64_t batch)
{
    return (struct proto_report){.instance = "i1",
                                 .run = 1,
                                 .assignment = assignment,
                                 .batch = batch,
                                 .probes = &probe,
                                 .probe_count = 1};
}

static void count_probe(void *ctx, int64_t assignment, const struct proto_probe *row)
{
    (void)assignment;
    assert_string_equal(row->address, "10.0.0.1");
    assert_int_equal(row->outcome, OUTCOME_REFUSED);
    assert_int_equal(row->phase, PHASE_CONNECT);
    assert_int_equal(row->tls_us, -1);
    ++*(int *)ctx;
}

static int probes_of(struct store *store, int64_t run)
{
    int count = 0;

    assert_int_equal(store_each_probe(store, run, -1, count_probe, &count), 0);
    return count;
}

static void test_a_batch_is_stored_once(void **state)
{
    struct store *store = open_store();
    int64_t assignment, run = put_run(store, &assignment);
    struct proto_report report = report_of(assignment, 1);

    (void)state;
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_report(store, &report, false), STORE_STORED);
    assert_int_equal(store_put_report(store, &report, false), STORE_DUPLICATE);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_report(store, &report, false), STORE_DUPLICATE);
    report.batch = 2;
    assert_int_equal(store_put_report(store, &report, true), STORE_STORED); /* late: kept apart */
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(probes_of(store, run), 1);
    store_close(store);
}

/* A run or a verdict in the middle of reports must not take them along when it fails. */
static void test_a_run_does_not_disturb_open_reports(void **state)
{
    struct store *store = open_store();
    char scope[] = "{}", live[] = "[]";
    int64_t assignment, run = put_run(store, &assignment);
    struct store_run other = {.fleet = 1, .trigger = "manual", .scope = scope, .live = live};
    struct store_run verdict = {.id = run, .finished_ms = 9};
    struct proto_report report = report_of(assignment, 1);

    (void)state;
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_report(store, &report, false), STORE_STORED);
    assert_int_equal(store_put_run(store, &other, NULL, 0), -EINPROGRESS);
    assert_int_equal(store_judge_run(store, &(struct store_judgement){.run = &verdict}),
                     -EINPROGRESS);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(probes_of(store, run), 1);
    assert_int_equal(store_put_run(store, &other, NULL, 0), 0);
    store_close(store);
}

static void test_rollback_leaves_nothing(void **state)
{
    struct store *store = open_store();
    int64_t assignment, run = put_run(store, &assignment);
    struct proto_report report = report_of(assignment, 1);

    (void)state;
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_report(store, &report, false), STORE_STORED);
    store_rollback(store);
    assert_int_equal(probes_of(store, run), 0);
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_report(store, &report, false), STORE_STORED);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(probes_of(store, run), 1);
    store_close(store);
}

static void see_assignment(void *ctx, const struct store_assignment *assignment)
{
    (void)ctx;
    assert_string_equal(assignment->instance, "i1");
    assert_string_equal(assignment->kind, "sweep");
    assert_string_equal(assignment->message, "{}");
    assert_int_equal(assignment->batches, 2);
    assert_int_equal(assignment->last_batch, 2);
    assert_int_equal(assignment->dropped, 3);
}

static void see_source(void *ctx, const struct store_source *source)
{
    (void)ctx;
    assert_string_equal(source->task, "web.1");
    assert_string_equal(source->columns, "[0,1]");
    assert_string_equal(source->state, "open");
    assert_int_equal(source->batches, 2);
}

static void test_everything_survives_a_restart(void **state)
{
    struct store *store = open_store();
    uint64_t seed = store_seed(store);
    int64_t assignment, run = put_run(store, &assignment);
    struct proto_report first = report_of(assignment, 1), last = report_of(assignment, 2);
    struct store_run record;
    size_t length;
    char *text;

    (void)state;
    last.is_last = true;
    last.dropped = 3;
    store_begin(store);
    store_put_report(store, &first, false);
    store_put_report(store, &last, false);
    assert_int_equal(store_commit(store), 0);
    store_close(store);

    store = open_store();
    assert_int_equal(store_seed(store), seed);
    assert_int_equal(store_get_run(store, 0, &record), 0);
    assert_int_equal(record.id, run);
    assert_int_equal(record.verdict, -1);
    assert_string_equal(record.live, "[2]");
    assert_int_equal(store_each_assignment(store, run, see_assignment, NULL), 0);
    assert_int_equal(store_each_source(store, run, see_source, NULL), 0);
    assert_true(store_first_assignment(store) > assignment); /* no id is given twice */
    text = store_get_fleet(store, record.fleet, &length);
    assert_string_equal(text, "services: {}");
    mem_free(text);
    store_run_deinit(&record);
    assert_int_equal(probes_of(store, run), 2);
    store_close(store);
}

static void count_cell(void *ctx, const struct store_cell *cell)
{
    assert_string_equal(cell->json, "{\"a\":1}");
    ++*(int *)ctx;
}

static void count_diagnosis(void *ctx, const char *json)
{
    assert_string_equal(json, "{\"cause\":\"x\"}");
    ++*(int *)ctx;
}

static void test_a_verdict_never_changes(void **state)
{
    struct store *store = open_store();
    int64_t assignment, id = put_run(store, &assignment);
    struct store_run run = {.id = id, .finished_ms = 9, .verdict = 1}, again;
    struct store_cell cell = {0, 0, "{\"a\":1}"};
    struct store_source done = {.id = 1, .state = "done"};
    struct store_owner owner = {"10.0.0.1", 0, "{}"};
    const char *diagnoses[] = {"{\"cause\":\"x\"}"};
    struct store_judgement judgement = {.run = &run,
                                        .sources = &done,
                                        .source_count = 1,
                                        .cells = &cell,
                                        .cell_count = 1,
                                        .owners = &owner,
                                        .owner_count = 1,
                                        .diagnoses = diagnoses,
                                        .diagnosis_count = 1};
    int cells = 0, seen = 0;
    char *json;

    (void)state;
    assert_int_equal(store_judge_run(store, &judgement), 0);
    run.verdict = 0;
    assert_true(store_judge_run(store, &judgement) < 0); /* its cells are there */
    assert_int_equal(store_get_run(store, id, &again), 0);
    assert_int_equal(again.verdict, 1);
    assert_int_equal(again.state, RUN_JUDGED);
    assert_int_equal(store_each_cell(store, id, count_cell, &cells), 0);
    assert_int_equal(cells, 1);
    assert_int_equal(store_each_diagnosis(store, id, count_diagnosis, &seen), 0);
    assert_int_equal(seen, 1);
    json = store_get_cell(store, id, 0, 0);
    assert_string_equal(json, "{\"a\":1}");
    mem_free(json);
    assert_null(store_get_cell(store, id, 0, 1));
    store_run_deinit(&again);
    store_close(store);
}

static void test_the_same_fleet_is_stored_once(void **state)
{
    struct store *store = open_store();
    int64_t first = store_put_fleet(store, "a", 1);

    (void)state;
    assert_int_equal(store_put_fleet(store, "a", 1), first);
    assert_true(store_put_fleet(store, "b", 1) != first);
    store_close(store);
}

static void refuses(const char *expected)
{
    struct error err = {""};

    assert_null(store_open(path, &err));
    assert_contains(err.text, expected);
}

static void execute(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_what_is_not_ours_is_left_alone(void **state)
{
    FILE *file;

    (void)state;
    execute("CREATE TABLE other (x)");
    refuses("a database, but not canreach's");
    unlink(path);
    file = fopen(path, "w");
    fputs(
        "this is not a database at all, but it is long enough to be looked at as one.............."
        "..............",
        file);
    fclose(file);
    refuses("file is not a database");
}

static void check_facts(void *ctx, int64_t assignment, const struct proto_probe *row)
{
    (void)assignment;
    assert_string_equal(row->via, "hosts");
    assert_int_equal(row->bytes_out, 11);
    assert_int_equal(row->bytes_in, 12);
    assert_int_equal(row->retransmits, 2);
    assert_int_equal(row->rtt_us, 13);
    assert_int_equal(row->mss, 1448);
    assert_int_equal(row->pmtu, 1500);
    assert_int_equal(row->icmp_type, 3);
    assert_int_equal(row->icmp_code, 13);
    assert_string_equal(row->icmp_from, "10.0.0.254");
    assert_int_equal(row->rate, 14);
    assert_string_equal(row->tls_version, "TLSv1.3");
    assert_string_equal(row->alpn, "h2");
    assert_true(row->is_resumed);
    assert_int_equal(row->verify, 10);
    assert_int_equal(row->valid_days, -7);
    assert_int_equal(row->chain_count, 2);
    assert_string_equal(row->chain[1], "CN = \"CA\"");
    ++*(int *)ctx;
}

static void check_answer(void *ctx, int64_t assignment, const struct proto_resolution *row)
{
    (void)assignment;
    assert_int_equal(row->answer_count, 1);
    assert_string_equal(row->asked, "api");
    assert_int_equal(row->chain_count, 1);
    assert_string_equal(row->chain[0], "b.x");
    assert_int_equal(row->tries, 2);
    assert_true(row->is_truncated && row->is_tcp && row->is_superseded && row->is_reference);
    ++*(int *)ctx;
}

static void test_every_fact_is_kept(void **state)
{
    struct store *store = open_store();
    int64_t assignment, run = put_run(store, &assignment);
    const char *certificates[] = {"CN = api", "CN = \"CA\""}, *answers[] = {"10.0.0.1"},
               *aliases[] = {"b.x"};
    struct proto_report report = report_of(assignment, 1);
    struct proto_probe facts = probe;
    struct proto_resolution answer = {.name = "api.x",
                                      .type = "A",
                                      .outcome = OUTCOME_OK,
                                      .resolver = "10.0.0.2",
                                      .answers = answers,
                                      .answer_count = 1,
                                      .asked = "api",
                                      .chain = aliases,
                                      .chain_count = 1,
                                      .tries = 2,
                                      .is_truncated = true,
                                      .is_tcp = true,
                                      .is_superseded = true,
                                      .is_reference = true};
    int rows = 0;

    (void)state;
    facts.via = "hosts";
    facts.bytes_out = 11;
    facts.bytes_in = 12;
    facts.retransmits = 2;
    facts.rtt_us = 13;
    facts.mss = 1448;
    facts.pmtu = 1500;
    facts.icmp_type = 3;
    facts.icmp_code = 13;
    facts.icmp_from = "10.0.0.254";
    facts.rate = 14;
    facts.tls_version = "TLSv1.3";
    facts.alpn = "h2";
    facts.is_resumed = true;
    facts.verify = 10;
    facts.valid_days = -7;
    facts.chain = certificates;
    facts.chain_count = 2;
    report.probes = &facts;
    report.resolutions = &answer;
    report.resolution_count = 1;
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_report(store, &report, false), STORE_STORED);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(store_each_probe(store, run, -1, check_facts, &rows), 0);
    assert_int_equal(store_each_resolution(store, run, check_answer, &rows), 0);
    assert_int_equal(rows, 2);
    store_close(store);
}

/* A database of the first schema, with a run and a row in it, goes on as it is. */
static void see_old_source(void *ctx, const struct store_source *source)
{
    assert_string_equal(source->task, "web.1");
    assert_string_equal(source->columns, "[0]");
    ++*(int *)ctx;
}

static void test_an_older_schema_is_taken_over(void **state)
{
    struct store *store;
    struct store_run run;
    int sources = 0;

    (void)state;
    execute(store_migrations[0]);
    execute(
        "INSERT INTO fleet VALUES (1, 'x', 'services: {}');"
        "INSERT INTO run (id, fleet, state, trigger, created_ms, deadline_ms, scope, live)"
        " VALUES (1, 1, 2, 'manual', 1, 2, '{}', '[1]');"
        "INSERT INTO assignment (id, run, service, task, instance, zone, columns)"
        " VALUES (1, 1, 'web', 'web.1', 'i', 'a', '[0]');"
        "INSERT INTO probe VALUES (1, 0, 'api', '10.0.0.1', 80, 1, 'refused', 111, '', 5, 6, -1,"
        " -1, 0, '', 0);");
    execute("PRAGMA user_version = 1");
    store = open_store();
    assert_int_equal(probes_of(store, 1), 1);
    assert_int_equal(store_get_run(store, 1, &run), 0);
    assert_int_equal(run.state, RUN_JUDGED); /* states have come in between since */
    store_run_deinit(&run);
    assert_int_equal(store_each_source(store, 1, see_old_source, &sources), 0);
    assert_int_equal(sources, 1);
    store_close(store);
}

/* ---- gates, alerts, retention ---- */

static void keep_gate(void *ctx, const struct store_gate *gate)
{
    snprintf(ctx, 64, "%lld %s %s %s %d", (long long)gate->id, gate->service, gate->deployment,
             gate->json, gate->is_open);
}

static void test_one_gate_for_a_deployment(void **state)
{
    struct store *store = open_store();
    struct store_gate gate = {.deployment = "d", .service = "web", .json = "{}", .is_open = true};
    struct store_gate same = gate, other = gate;
    char text[64];

    (void)state;
    assert_int_equal(store_put_gate(store, &gate), 0);
    assert_int_equal(store_put_gate(store, &same), -EEXIST);
    other.service = "api";
    assert_int_equal(store_put_gate(store, &other), 0);
    assert_int_equal(store_set_gate(store, gate.id, false, "{1}"), 0);
    assert_int_equal(store_find_gate(store, "d", "web", keep_gate, text), 0);
    assert_string_equal(text, "1 web d {1} 0");
    assert_int_equal(store_get_gate(store, 0, keep_gate, text), 0);
    assert_string_equal(text, "2 api d {} 1");
    assert_int_equal(store_find_gate(store, "e", "web", keep_gate, text), -ENOENT);
    store_close(store);
}

static void keep_message(void *ctx, const struct store_outgoing *outgoing)
{
    snprintf(ctx, 64, "%lld %s %s", (long long)outgoing->id, outgoing->kind, outgoing->remote);
}

/* Each destination has its own queue; what an earlier message left there comes with the next. */
static void test_the_outbox(void **state)
{
    struct store *store = open_store();
    int64_t assignment, run = put_run(store, &assignment), pending = -1, failed = -1;
    struct store_incident incident = {
        .id = store_next_incident(store), .is_open = true, .json = "{}"};
    struct store_outgoing messages[] = {
        {.destination = "a", .incident = 1, .kind = "opened", .json = "{}"},
        {.destination = "b", .incident = 1, .kind = "opened", .json = "{}"},
        {.destination = "a", .incident = 1, .kind = "resolved", .json = "{}"},
    };
    struct store_telling telling = {.run = run,
                                    .incidents = &incident,
                                    .incident_count = 1,
                                    .outgoing = messages,
                                    .outgoing_count = 3};
    struct store_outgoing sent = {.id = 1, .state = "sent", .error = "", .remote = "OPS-1"};
    char text[64] = "";

    (void)state;
    assert_int_equal(incident.id, 1);
    assert_int_equal(store_next_incident(store), 2);
    assert_int_equal(store_tell(store, &telling), 0);
    store_next_outgoing(store, "a", keep_message, text);
    assert_string_equal(text, "1 opened ");
    assert_int_equal(store_set_outgoing(store, &sent), 0);
    store_close(store);
    store = open_store(); /* all of it is still there */
    store_next_outgoing(store, "a", keep_message, text);
    assert_string_equal(text, "3 resolved OPS-1");
    store_next_outgoing(store, "b", keep_message, text);
    assert_string_equal(text, "2 opened ");
    store_count_outgoing(store, "a", &pending, &failed);
    assert_int_equal(pending, 1);
    assert_int_equal(failed, 0);
    store_close(store);
}

static void count_run(void *ctx, const struct store_run *run)
{
    (void)run;
    ++*(size_t *)ctx;
}

static size_t expired(struct store *store, int64_t keep_runs)
{
    struct store_expiry expiry = {.keep_runs = keep_runs, .limit = 100};
    size_t count = 0;

    assert_int_equal(store_each_expired(store, &expiry, count_run, &count), 0);
    return count;
}

static void test_what_expires(void **state)
{
    struct store *store = open_store();
    int64_t assignment, ids[5];

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct store_run run = {.finished_ms = 1};
        struct store_judgement judgement = {.run = &run};
        ids[i] = run.id = put_run(store, &assignment);
        assert_int_equal(store_judge_run(store, &judgement), 0);
    }
    assert_int_equal(expired(store, 2), 0); /* none of them is told yet */
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(store_tell(store, &(struct store_telling){.run = ids[i]}), 0);
    assert_int_equal(expired(store, 5), 0);
    assert_int_equal(expired(store, 2), 3);
    assert_int_equal(store_keep_run(store, ids[0]), 0);
    assert_int_equal(expired(store, 2), 2);
    assert_int_equal(store_forget_run(store, ids[1]), 0);
    assert_int_equal(expired(store, 2), 1);
    assert_int_equal(store_forget_rest(store, 0, 0), 0);
    store_close(store);
}

static void test_nothing_of_a_run_is_left(void **state)
{
    static const char *const tables[] = {"run",   "source",    "assignment",  "batch",
                                         "probe", "cell",      "resolution",  "witness",
                                         "owner", "diagnosis", "estate_part", "estate"};
    struct store *store = open_store();
    int64_t assignment, run = put_run(store, &assignment);
    struct store_cell cell = {0, 0, "{}"};
    struct store_owner owner = {"10.0.0.1", 0, "{}"};
    const char *diagnosis = "{}";
    struct store_run record = {.id = run};
    struct store_judgement judgement = {.run = &record,
                                        .cells = &cell,
                                        .cell_count = 1,
                                        .owners = &owner,
                                        .owner_count = 1,
                                        .diagnoses = &diagnosis,
                                        .diagnosis_count = 1};
    struct proto_report report = {.assignment = assignment,
                                  .instance = "i1",
                                  .batch = 1,
                                  .is_last = true,
                                  .probes = &probe,
                                  .probe_count = 1};
    sqlite3 *db;

    (void)state;
    assert_int_equal(store_begin(store), 0);
    assert_int_equal(store_put_report(store, &report, false), STORE_STORED);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(store_judge_run(store, &judgement), 0);
    assert_int_equal(store_forget_run(store, run), 0);
    store_close(store);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        sqlite3_stmt *statement;
        char sql[64];
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", tables[i]);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        if (sqlite3_column_int(statement, 0))
            fail_msg("%s", tables[i]);
        sqlite3_finalize(statement);
    }
    sqlite3_close(db);
}

static void test_a_newer_schema_is_refused(void **state)
{
    (void)state;
    store_close(open_store());
    execute("PRAGMA user_version = 99");
    refuses("schema 99 was written by a newer canreach");
}

static void test_a_second_collector_is_refused(void **state)
{
    struct store *store = open_store();

    (void)state;
    refuses("another collector has it open");
    store_close(store);
}

static int64_t count_contents(void)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    int64_t count;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT count(*) FROM estate_content", -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
}

/* What two runs have in common is stored once, and is found by both. */
static void test_an_estate_is_stored_once(void **state)
{
    struct store *store = open_store();
    const struct store_estate record = {1000, 900, "eu-west-1"};
    struct estate *estate = estate_new(), *read;
    int64_t assignment, first = put_run(store, &assignment), second = put_run(store, &assignment);

    (void)state;
    estate->taken_ms = record.taken_ms;
    estate->network_taken_ms = record.network_taken_ms;
    estate->region = record.region;
    estate_note_missing(estate, "ecs:ListTasks", "local", "no-answer", "", false);
    assert_int_equal(store_last_estate(store), 0);
    assert_null(estate_store_get(store, first, ESTATE_ALL));
    assert_int_equal(estate_store_put(store, first, estate), 0);
    assert_int_equal(estate_store_put(store, second, estate), 0);
    assert_int_equal(store_last_estate(store), second);
    read = estate_store_get(store, first, ESTATE_ONLY(ESTATE_MISSING));
    assert_int_equal(read->network_taken_ms, 900);
    assert_string_equal(read->region, "eu-west-1");
    assert_false(estate_has(read, "ecs:ListTasks"));
    estate_free(read);
    estate_free(estate);
    store_close(store);
    assert_int_equal(count_contents(), 2); /* the one that is not empty, and all that are */
}

#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_batch_is_stored_once),
        STORE_TEST(test_a_run_does_not_disturb_open_reports),
        STORE_TEST(test_rollback_leaves_nothing),
        STORE_TEST(test_everything_survives_a_restart),
        STORE_TEST(test_a_verdict_never_changes),
        STORE_TEST(test_the_same_fleet_is_stored_once),
        STORE_TEST(test_what_is_not_ours_is_left_alone),
        STORE_TEST(test_every_fact_is_kept),
        STORE_TEST(test_an_estate_is_stored_once),
        STORE_TEST(test_an_older_schema_is_taken_over),
        STORE_TEST(test_one_gate_for_a_deployment),
        STORE_TEST(test_the_outbox),
        STORE_TEST(test_what_expires),
        STORE_TEST(test_nothing_of_a_run_is_left),
        STORE_TEST(test_a_newer_schema_is_refused),
        STORE_TEST(test_a_second_collector_is_refused),
    };
    return RUN_TESTS(tests);
}
