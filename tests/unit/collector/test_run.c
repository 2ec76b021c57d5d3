/* The run's state machine over a real store, with time handed in: no sleeping. */
#include "collector/run.h"
#include "tests/unit/collector/fixture.h"

#include "collector/view.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_US 1000000000ULL

static const char text[] = "namespace: x\ndefaults: {port: 80}\nservices: {a: {}, b: {}}\n";

static char path[64];
static struct registry registry;
static struct runs runs;

static void open_runs(void)
{
    struct error err = {""};

    runs = (struct runs){.registry = &registry, .sample = 16, .fleet = fixture_fleet(text)};
    runs.store = store_open(path, &err);
    if (!runs.store)
        fail_msg("%s", err.text);
    runs.fleet_id = store_put_fleet(runs.store, text, strlen(text));
    assert_int_equal(runs_resume(&runs, NOW_US, &err), 0);
}

static void close_runs(void)
{
    runs_deinit(&runs);
    fleet_unref(runs.fleet);
    store_close(runs.store);
}

static struct agent *join(const char *service, const char *task, const char *instance)
{
    struct agent *replaced;
    struct proto_hello hello = {.cluster = "c",
                                .service = service,
                                .task = task,
                                .instance = instance,
                                .version = "1",
                                .zone = "z",
                                .mode = "",
                                .revision = "",
                                .auth = ""};
    struct agent *agent = registry_hello(&registry, &hello, 1, NOW_US, &replaced);

    agent_record_free(replaced);
    return agent;
}

static int set_up(void **state)
{
    char folder[] = "/tmp/canreach-test-XXXXXX";

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/db", folder);
    join("a", "a.1", "ia1");
    join("a", "a.2", "ia2");
    join("b", "b.1", "ib1");
    join("unknown", "u.1", "iu1"); /* not in the fleet: listed, never planned */
    open_runs();
    return 0;
}

static int tear_down(void **state)
{
    char command[96];

    (void)state;
    close_runs();
    registry_deinit(&registry);
    snprintf(command, sizeof(command), "rm -r '%.*s'", (int)(strlen(path) - 3), path);
    return system(command);
}

static struct run *start(const char *trigger)
{
    struct run_request request = {.trigger = trigger};
    struct run *run = NULL;
    struct error err = {""};

    if (runs_start(&runs, &request, NOW_US, &run, &err) < 0)
        fail_msg("%s", err.text);
    return run;
}

/* What an agent would do: takes its next assignment, answers every target with one row. */
static struct proto_report answer(const struct proto_assignment *assignment, const char *instance,
                                  struct proto_probe *rows, enum proto_outcome outcome)
{
    for (size_t i = 0; i < assignment->target_count; i++)
        rows[i] = (struct proto_probe){.target = assignment->targets[i].id,
                                       .name = "n",
                                       .address = "10.0.0.1",
                                       .port = 80,
                                       .phase = PHASE_CONNECT,
                                       .outcome = outcome,
                                       .local = "",
                                       .detail = ""};
    return (struct proto_report){.instance = instance,
                                 .run = assignment->run,
                                 .assignment = assignment->id,
                                 .batch = 1,
                                 .is_last = true,
                                 .probes = rows,
                                 .probe_count = assignment->target_count};
}

static void deliver(const struct proto_report *report)
{
    assert_int_equal(runs_classify(&runs, report), REPORT_IN_TIME);
    assert_int_equal(store_begin(runs.store), 0);
    assert_int_equal(store_put_report(runs.store, report, false), STORE_STORED);
    assert_int_equal(store_commit(runs.store), 0);
    runs_apply(&runs, report);
}

static bool do_assignment(const char *instance, enum proto_outcome outcome)
{
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe rows[8];
    struct proto_report report;

    if (!runs_next_assignment(&runs, registry_find(&registry, instance), NOW_US, &message))
        return false;
    report = answer(&message.assignment, instance, rows, outcome);
    deliver(&report);
    return true;
}

static struct store_run judged(int64_t id)
{
    struct store_run record;

    assert_int_equal(store_get_run(runs.store, id, &record), 0);
    store_run_deinit(&record);
    return record;
}

static void test_a_run_to_its_verdict(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;

    (void)state;
    assert_int_equal(run->source_count, 3);
    assert_int_equal(run->record.state, RUN_PLANNED);
    assert_true(do_assignment("ia1", OUTCOME_OK));
    assert_int_equal(run->record.state, RUN_SWEEP);
    assert_false(do_assignment("ia1", OUTCOME_OK)); /* it has done its part */
    assert_true(do_assignment("ia2", OUTCOME_OK));
    assert_true(runs_tick(&runs, NOW_US) > NOW_US); /* b.1 is awaited */
    assert_true(do_assignment("ib1", OUTCOME_OK));
    assert_int_equal(runs_tick(&runs, NOW_US), 0);
    assert_int_equal(runs.open_count, 0);
    assert_int_equal(judged(id).verdict, VERDICT_PASS);
    assert_int_equal(judged(id).is_incomplete, false);
}

static void see_state(void *ctx, const struct store_assignment *assignment)
{
    const char *expected = strcmp(assignment->task, "a.1") == 0   ? "done"
                           : strcmp(assignment->task, "a.2") == 0 ? "late"
                                                                  : "missing";

    assert_string_equal(assignment->state, expected);
    ++*(int *)ctx;
}

static void test_late_and_missing_are_named_at_the_deadline(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;
    uint64_t deadline = run->deadline_us;
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe rows[8];
    struct proto_report report;
    int count = 0;

    (void)state;
    assert_true(do_assignment("ia1", OUTCOME_OK));
    assert_true(runs_next_assignment(&runs, registry_find(&registry, "ia2"), NOW_US, &message));
    report = answer(&message.assignment, "ia2", rows, OUTCOME_OK);
    report.is_last = false;
    deliver(&report);
    assert_int_equal(runs_tick(&runs, deadline - 1), deadline);
    assert_int_equal(runs_tick(&runs, deadline), 0);
    assert_int_equal(judged(id).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(judged(id).is_incomplete, true);
    assert_int_equal(store_each_assignment(runs.store, id, see_state, &count), 0);
    assert_int_equal(count, 3);

    /* What comes now is late: stored, and the verdict stands. */
    report.batch = 2;
    report.is_last = true;
    assert_int_equal(runs_classify(&runs, &report), REPORT_LATE);
}

static void test_departed_is_not_missing(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;

    (void)state;
    do_assignment("ia1", OUTCOME_OK);
    do_assignment("ib1", OUTCOME_OK);
    runs_agent_gone(&runs, "ia2", true);
    assert_int_equal(runs_tick(&runs, NOW_US), 0);
    assert_int_equal(judged(id).verdict, VERDICT_PASS);
}

static void test_a_restarted_agent_leaves_a_hole(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;

    (void)state;
    do_assignment("ia1", OUTCOME_OK);
    do_assignment("ib1", OUTCOME_OK);
    runs_agent_gone(&runs, "ia2", false);
    assert_int_equal(runs_tick(&runs, NOW_US), 0);
    assert_int_equal(judged(id).verdict, VERDICT_INCONCLUSIVE);
}

static void test_batches_out_of_order(void **state)
{
    struct run *run = start("manual");
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe rows[8];
    struct proto_report report;

    (void)state;
    assert_true(runs_next_assignment(&runs, registry_find(&registry, "ia1"), NOW_US, &message));
    report = answer(&message.assignment, "ia1", rows, OUTCOME_OK);
    report.batch = 2;
    deliver(&report);
    assert_int_equal(run->sources[0].state, SOURCE_OPEN); /* the last is here, the first is not */
    report.batch = 1;
    report.is_last = false;
    deliver(&report);
    assert_int_equal(run->sources[0].state, SOURCE_DONE);
}

static void test_dropped_rows_are_not_green(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe rows[8];
    struct proto_report report;

    (void)state;
    do_assignment("ia1", OUTCOME_OK);
    do_assignment("ib1", OUTCOME_OK);
    assert_true(runs_next_assignment(&runs, registry_find(&registry, "ia2"), NOW_US, &message));
    report = answer(&message.assignment, "ia2", rows, OUTCOME_OK);
    report.dropped = 1;
    deliver(&report);
    runs_tick(&runs, NOW_US);
    assert_int_equal(judged(id).verdict, VERDICT_INCONCLUSIVE);
}

static void test_strangers_are_refused(void **state)
{
    struct run *run = start("manual");
    struct proto_probe row = {.target = 0};
    struct proto_report report = {.instance = "ia1",
                                  .run = run->record.id,
                                  .assignment = run->sources[0].assignment,
                                  .batch = 1};

    (void)state;
    assert_int_equal(runs_classify(&runs, &report), REPORT_IN_TIME);
    report.instance = "ia2";
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN); /* another agent's part */
    report.instance = "ia1";
    report.assignment = 999;
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN);
    report.assignment = run->sources[0].assignment;
    report.run = 999;
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN);
    report.run = run->record.id;
    row.target = 65535; /* a column that the fleet does not have */
    report.probes = &row;
    report.probe_count = 1;
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN);
}

/* Half a run, then a new collector over the same store: nothing stored is lost, the rest is handed
 * out again, and what the agent says it has is not sent twice. */
static void test_a_restart_in_the_middle(void **state)
{
    int64_t id = start("manual")->record.id, got;
    struct agent *agent;

    (void)state;
    assert_true(do_assignment("ia1", OUTCOME_OK));
    close_runs();
    open_runs();
    assert_int_equal(runs.open_count, 1);
    assert_int_equal(runs.open[0]->row_count, 2);
    assert_int_equal(runs.open[0]->sources[0].state, SOURCE_DONE);
    assert_false(do_assignment("ia1", OUTCOME_OK));

    agent = registry_find(&registry, "ia2");
    got = runs.open[0]->sources[1].assignment;
    agent->got = mem_dup(&got, sizeof(got));
    agent->got_count = 1;
    assert_false(do_assignment("ia2", OUTCOME_OK));
    agent->got_count = 0;
    assert_true(do_assignment("ia2", OUTCOME_OK));
    assert_true(do_assignment("ib1", OUTCOME_OK));
    assert_int_equal(runs_tick(&runs, NOW_US), 0);
    assert_int_equal(judged(id).verdict, VERDICT_PASS);
}

static void test_manual_overtakes_schedule(void **state)
{
    struct run *scheduled = start("schedule"), *manual = start("manual");
    CLEANUP_MESSAGE struct proto_message message = {0};

    (void)state;
    assert_true(scheduled->record.id < manual->record.id);
    assert_true(runs_next_assignment(&runs, registry_find(&registry, "ia1"), NOW_US, &message));
    assert_int_equal(message.assignment.run, manual->record.id);
}

static void test_a_service_without_agents_is_no_data(void **state)
{
    struct agent *agent = registry_find(&registry, "ib1");
    struct run *run;
    struct matrix *matrix;

    (void)state;
    registry_remove(&registry, agent);
    agent_record_free(agent);
    run = start("manual");
    do_assignment("ia1", OUTCOME_OK);
    do_assignment("ia2", OUTCOME_OK);
    matrix = run_matrix(run);
    assert_int_equal(matrix_at(matrix, 1, 0)->state, CELL_NO_DATA);
    assert_int_equal(matrix->verdict, VERDICT_INCONCLUSIVE);
    matrix_free(matrix);
}

static void test_open_runs_are_bounded(void **state)
{
    struct run_request request = {.trigger = "manual"};
    struct error err = {""};
    struct run *run;

    (void)state;
    for (int i = 0; i < RUN_OPEN_MAX; i++)
        start("manual");
    assert_int_equal(runs_start(&runs, &request, NOW_US, &run, &err), -EBUSY);
    assert_contains(err.text, "wait for one to end");
}

static void test_words(void **state)
{
    CLEANUP_BUF struct buf words = BUF_INIT(200);

    (void)state;
    view_words(PHASE_CONNECT, OUTCOME_TIMEOUT, 0, 0, &words);
    buf_puts(&words, "|");
    view_words(PHASE_EXCHANGE, OUTCOME_BAD_STATUS, 0, 503, &words);
    buf_puts(&words, "|");
    view_words(PHASE_CONNECT, OUTCOME_UNREACHABLE, EHOSTUNREACH, 0, &words);
    assert_string_equal(buf_text(&words), "no answer to the connection attempt (time-out)|HTTP 503|"
                                          "unreachable (EHOSTUNREACH)");
}

#define RUN_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_a_run_to_its_verdict),
        RUN_TEST(test_late_and_missing_are_named_at_the_deadline),
        RUN_TEST(test_departed_is_not_missing),
        RUN_TEST(test_a_restarted_agent_leaves_a_hole),
        RUN_TEST(test_batches_out_of_order),
        RUN_TEST(test_dropped_rows_are_not_green),
        RUN_TEST(test_strangers_are_refused),
        RUN_TEST(test_a_restart_in_the_middle),
        RUN_TEST(test_manual_overtakes_schedule),
        RUN_TEST(test_a_service_without_agents_is_no_data),
        RUN_TEST(test_open_runs_are_bounded),
        cmocka_unit_test(test_words),
    };
    return RUN_TESTS(tests);
}
