/* The run's state machine over a real store, with time handed in: no sleeping. */
#include "collector/run.h"
#include "tests/unit/collector/fixture.h"

#include "collector/view.h"
#include "collector/words.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_US 1000000000ULL /* where each test begins */

static const char text[] = "namespace: x\ndefaults: {port: 80}\nservices: {a: {}, b: {}}\n";

static char path[64];
static struct registry registry;
static struct runs runs;
static uint64_t now_us;

static void open_runs(void)
{
    struct error err = {""};

    runs = (struct runs){.registry = &registry, .sample = 16, .fleet = fixture_fleet(text)};
    runs.store = store_open(path, &err);
    if (!runs.store)
        fail_msg("%s", err.text);
    now_us = NOW_US;
    runs.fleet_id = store_put_fleet(runs.store, text, strlen(text));
    assert_int_equal(runs_resume(&runs, now_us, &err), 0);
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
                                .auth = "",
                                .netns = instance};
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

static struct agent *agent_of(const char *instance)
{
    return registry_find(&registry, instance);
}

/* One message for the agent, as if its pull were answered and the next one said so. */
static bool next_message(const char *instance, struct proto_message *ret_message)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT(PROTO_MESSAGE_MAX);
    struct agent *agent = agent_of(instance);
    size_t capacity;
    int64_t id;

    if (!agent || !runs_next_work(&runs, agent, now_us, &bytes))
        return false;
    assert_int_equal(store_commit(runs.store), 0);
    assert_int_equal(proto_decode(buf_text(&bytes), bytes.length, ret_message, NULL), 0);
    id = ret_message->type == PROTO_WATCH ? ret_message->watch.id : ret_message->assignment.id;
    if (ret_message->type == PROTO_SETTLE)
        return true;
    capacity = agent->got_count;
    mem_grow(&agent->got, agent->got_count, &capacity, sizeof(*agent->got));
    agent->got[agent->got_count++] = id;
    return true;
}

/* Every agent that is asked to watch does, and the gate opens. */
static void all_watch(void)
{
    static const char *const instances[] = {"ia1", "ia2", "ib1", "ia3"};

    for (size_t i = 0; i < 4; i++) {
        CLEANUP_MESSAGE struct proto_message message = {0};
        struct proto_watching watching = {.instance = instances[i]};
        if (!next_message(instances[i], &message))
            continue;
        assert_int_equal(message.type, PROTO_WATCH);
        watching.watch = message.watch.id;
        runs_watching(&runs, &watching);
    }
    runs_tick(&runs, now_us);
}

static struct run *start(const char *trigger)
{
    struct run_request request = {.trigger = trigger};
    struct run *run = NULL;
    struct error err = {""};

    if (runs_start(&runs, &request, now_us, &run, &err) < 0)
        fail_msg("%s", err.text);
    all_watch();
    return run;
}

/* The next assignment; what ends a watch is read over. */
static bool next_assignment(const char *instance, struct proto_message *ret_message)
{
    while (next_message(instance, ret_message)) {
        if (ret_message->type == PROTO_ASSIGNMENT)
            return true;
        proto_message_deinit(ret_message);
    }
    return false;
}

/* What an agent would do: answers every target with one row. */
static struct proto_message answer(const struct proto_assignment *assignment, const char *instance,
                                   struct proto_probe *rows, enum proto_outcome outcome)
{
    for (size_t i = 0; i < assignment->target_count; i++)
        rows[i] = (struct proto_probe){.target = assignment->targets[i].id,
                                       .name = assignment->targets[i].names[0],
                                       .address = "10.0.0.1",
                                       .port = 80,
                                       .phase = PHASE_CONNECT,
                                       .outcome = outcome,
                                       .local = "",
                                       .detail = "",
                                       .via = "",
                                       .icmp_from = "",
                                       .late = ""};
    return (struct proto_message){.type = PROTO_REPORT,
                                  .report = {.instance = instance,
                                             .run = assignment->run,
                                             .assignment = assignment->id,
                                             .batch = 1,
                                             .is_last = true,
                                             .probes = rows,
                                             .probe_count = assignment->target_count}};
}

static void deliver(const struct proto_message *report)
{
    assert_int_equal(runs_classify(&runs, report), REPORT_IN_TIME);
    assert_int_equal(runs_store(&runs, report, REPORT_IN_TIME), STORE_STORED);
    assert_int_equal(store_commit(runs.store), 0);
    runs_apply(&runs, report, now_us);
}

/* All that there is for the agent to do now; how many assignments. */
static int do_assignments(const char *instance, enum proto_outcome outcome)
{
    int count = 0;

    for (;; count++) {
        CLEANUP_MESSAGE struct proto_message message = {0};
        struct proto_probe rows[8];
        struct proto_message report;
        if (!next_assignment(instance, &message))
            return count;
        report = answer(&message.assignment, instance, rows, outcome);
        deliver(&report);
    }
}

static bool do_assignment(const char *instance, enum proto_outcome outcome)
{
    return do_assignments(instance, outcome) > 0;
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
    assert_true(runs_tick(&runs, now_us) > NOW_US); /* b.1 is awaited */
    assert_true(do_assignment("ib1", OUTCOME_OK));
    assert_int_equal(runs_tick(&runs, now_us), 0);
    assert_int_equal(runs.open_count, 0);
    assert_int_equal(judged(id).verdict, VERDICT_PASS);
    assert_int_equal(judged(id).is_incomplete, false);
}

static void see_state(void *ctx, const struct store_source *source)
{
    const char *expected = strcmp(source->task, "a.1") == 0   ? "done"
                           : strcmp(source->task, "a.2") == 0 ? "late"
                                                              : "missing";

    assert_string_equal(source->state, expected);
    ++*(int *)ctx;
}

static void test_late_and_missing_are_named_at_the_deadline(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;
    uint64_t deadline = run->deadline_us;
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe rows[8];
    struct proto_message report;
    int count = 0;

    (void)state;
    assert_true(do_assignment("ia1", OUTCOME_OK));
    assert_true(next_assignment("ia2", &message));
    report = answer(&message.assignment, "ia2", rows, OUTCOME_OK);
    report.report.is_last = false;
    deliver(&report);
    assert_int_equal(runs_tick(&runs, deadline - 1), deadline);
    assert_int_equal(runs_tick(&runs, deadline), 0);
    assert_int_equal(judged(id).verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(judged(id).is_incomplete, true);
    assert_int_equal(store_each_source(runs.store, id, see_state, &count), 0);
    assert_int_equal(count, 3);

    /* What comes now is late: stored, and the verdict stands. */
    report.report.batch = 2;
    report.report.is_last = true;
    assert_int_equal(runs_classify(&runs, &report), REPORT_LATE);
}

static void test_departed_is_not_missing(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;

    (void)state;
    do_assignment("ia1", OUTCOME_OK);
    do_assignment("ib1", OUTCOME_OK);
    runs_agent_gone(&runs, agent_of("ia2"), true);
    assert_int_equal(runs_tick(&runs, now_us), 0);
    assert_int_equal(judged(id).verdict, VERDICT_PASS);
}

static void test_a_restarted_agent_leaves_a_hole(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;

    (void)state;
    do_assignment("ia1", OUTCOME_OK);
    do_assignment("ib1", OUTCOME_OK);
    runs_agent_gone(&runs, agent_of("ia2"), false);
    assert_int_equal(runs_tick(&runs, now_us), 0);
    assert_int_equal(judged(id).verdict, VERDICT_INCONCLUSIVE);
}

static void test_batches_out_of_order(void **state)
{
    struct run *run = start("manual");
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe rows[8];
    struct proto_message report;

    (void)state;
    assert_true(next_assignment("ia1", &message));
    report = answer(&message.assignment, "ia1", rows, OUTCOME_OK);
    report.report.batch = 2;
    deliver(&report);
    assert_false(run->assignments[run->assignment_count - 1].is_done); /* the first is not here */
    report.report.batch = 1;
    report.report.is_last = false;
    deliver(&report);
    do_assignments("ia1", OUTCOME_OK); /* the samples */
    assert_int_equal(run->sources[0].state, SOURCE_DONE);
}

static void test_dropped_rows_are_not_green(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe rows[8];
    struct proto_message report;

    (void)state;
    do_assignment("ia1", OUTCOME_OK);
    do_assignment("ib1", OUTCOME_OK);
    assert_true(next_assignment("ia2", &message));
    report = answer(&message.assignment, "ia2", rows, OUTCOME_OK);
    report.report.dropped = 1;
    deliver(&report);
    do_assignments("ia2", OUTCOME_OK);
    runs_tick(&runs, now_us);
    assert_int_equal(judged(id).verdict, VERDICT_INCONCLUSIVE);
}

static void test_strangers_are_refused(void **state)
{
    struct run *run = start("manual");
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct proto_probe row = {.target = 0};
    struct proto_message report;

    (void)state;
    assert_true(next_assignment("ia1", &message));
    report = (struct proto_message){.type = PROTO_REPORT,
                                    .report = {.instance = "ia1",
                                               .run = run->record.id,
                                               .assignment = message.assignment.id,
                                               .batch = 1}};
    assert_int_equal(runs_classify(&runs, &report), REPORT_IN_TIME);
    report.report.instance = "ia2";
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN); /* another agent's part */
    report.report.instance = "ia1";
    report.report.assignment = 999;
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN);
    report.report.assignment = message.assignment.id;
    report.report.run = 999;
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN);
    report.report.run = run->record.id;
    row.target = 65535; /* a column that the fleet does not have */
    report.report.probes = &row;
    report.report.probe_count = 1;
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN);
    report.report.probe_count = 0;
    report.type = PROTO_WITNESS; /* of what is no watch */
    report.witness = (struct proto_witness){
        .instance = "ia1", .run = run->record.id, .assignment = message.assignment.id};
    assert_int_equal(runs_classify(&runs, &report), REPORT_UNKNOWN);
}

/* Half a run, then a new collector over the same store: nothing stored is lost, the rest is handed
 * out again, and what the agent says it has is not sent twice. */
static void test_a_restart_in_the_middle(void **state)
{
    int64_t id = start("manual")->record.id;
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct agent *agent = agent_of("ia2");

    (void)state;
    assert_true(do_assignment("ia1", OUTCOME_OK));
    assert_true(next_assignment("ia2", &message));
    close_runs();
    open_runs();
    assert_int_equal(runs.open_count, 1);
    assert_int_equal(runs.open[0]->row_count, 4); /* each of two endpoints twice */
    assert_int_equal(runs.open[0]->sources[0].state, SOURCE_DONE);
    assert_false(do_assignment("ia1", OUTCOME_OK));
    assert_false(do_assignment("ia2", OUTCOME_OK)); /* it says that it has it */

    close_runs();
    open_runs();
    agent->got_count = 0;
    assert_true(do_assignment("ia2", OUTCOME_OK));
    assert_true(do_assignment("ib1", OUTCOME_OK));
    assert_int_equal(runs_tick(&runs, now_us), 0);
    assert_int_equal(judged(id).verdict, VERDICT_PASS);
}

static void test_manual_overtakes_schedule(void **state)
{
    struct run *scheduled = start("schedule"), *manual = start("manual");
    CLEANUP_MESSAGE struct proto_message message = {0};

    (void)state;
    assert_true(scheduled->record.id < manual->record.id);
    assert_true(next_assignment("ia1", &message));
    assert_int_equal(message.assignment.run, manual->record.id);
}

/* ---- confirmation ---- */

static void all_do(enum proto_outcome a1, enum proto_outcome a2, enum proto_outcome b1)
{
    do_assignments("ia1", a1);
    do_assignments("ia2", a2);
    do_assignments("ib1", b1);
}

/* To the confirmation, with the watches on. */
static struct run *to_confirmation(enum proto_outcome outcome)
{
    struct run *run = start("manual");

    all_do(outcome, outcome, OUTCOME_OK);
    runs_tick(&runs, now_us);
    assert_int_equal(runs.open_count, 1);
    assert_int_equal(run->record.state, RUN_CONFIRM);
    assert_int_equal(run->provisional, VERDICT_FAIL);
    now_us += RUN_WATCH_MS * 1000; /* nobody answers the second watch: the probes go on */
    runs_tick(&runs, now_us);
    return run;
}

static int verdict_after_settling(int64_t id)
{
    runs_tick(&runs, now_us);
    now_us += RUN_SETTLE_MS * 1000;
    assert_int_equal(runs_tick(&runs, now_us), 0);
    return judged(id).verdict;
}

static void test_a_failure_is_tried_again(void **state)
{
    struct run *run = to_confirmation(OUTCOME_REFUSED);
    int64_t id = run->record.id;

    (void)state;
    while (do_assignments("ia1", OUTCOME_REFUSED) + do_assignments("ia2", OUTCOME_REFUSED))
        ;
    assert_int_equal(run->items[0].state, ITEM_DONE);
    assert_int_equal(verdict_after_settling(id), VERDICT_FAIL);
}

static void test_a_failure_that_went_away_is_none(void **state)
{
    int64_t id = to_confirmation(OUTCOME_TIMEOUT)->record.id;

    (void)state;
    while (do_assignments("ia1", OUTCOME_OK) + do_assignments("ia2", OUTCOME_OK))
        ;
    assert_int_equal(verdict_after_settling(id), VERDICT_PASS);
}

static void test_what_cannot_be_confirmed_is_no_verdict(void **state)
{
    struct run *run = to_confirmation(OUTCOME_TIMEOUT);
    int64_t id = run->record.id;

    (void)state;
    now_us = run->deadline_us;
    runs_tick(&runs, now_us);
    assert_int_equal(verdict_after_settling(id), VERDICT_INCONCLUSIVE);
    assert_true(judged(id).is_incomplete);
}

/* A new collector in the middle of the confirmation: it is begun anew. */
static void test_a_restart_in_the_confirmation(void **state)
{
    int64_t id = to_confirmation(OUTCOME_REFUSED)->record.id;

    (void)state;
    close_runs();
    open_runs();
    now_us += RUN_RESUME_GATE_MS * 1000;
    runs_tick(&runs, now_us);
    assert_int_equal(runs.open[0]->record.state, RUN_CONFIRM);
    now_us += RUN_WATCH_MS * 1000;
    runs_tick(&runs, now_us);
    while (do_assignments("ia1", OUTCOME_REFUSED) + do_assignments("ia2", OUTCOME_REFUSED))
        ;
    assert_int_equal(verdict_after_settling(id), VERDICT_FAIL);
}

/* The agent of a task is started anew: it goes on where the former one was. */
static void test_a_new_agent_takes_over(void **state)
{
    struct run *run = start("manual");
    int64_t id = run->record.id;
    CLEANUP_MESSAGE struct proto_message message = {0};
    struct agent *old = agent_of("ia2"), *new;

    (void)state;
    do_assignments("ia1", OUTCOME_OK);
    assert_true(next_assignment("ia2", &message)); /* and ends, without a word */
    registry_remove(&registry, old);
    new = join("a", "a.2", "ia3");
    runs_agent_replaced(&runs, old, new);
    agent_record_free(old);
    assert_true(do_assignment("ia3", OUTCOME_OK));
    do_assignments("ib1", OUTCOME_OK);
    assert_int_equal(runs_tick(&runs, now_us), 0);
    assert_int_equal(judged(id).verdict, VERDICT_PASS);
}

/* Five at a time at one place, whoever asks. */
static void test_the_limits_are_shared(void **state)
{
    struct throttle_place *place = throttle_place(&runs.throttle, "b", 80);
    struct throttle_wish wish = {.weight = 1, .starts = 1};
    struct run *run = start("manual");
    CLEANUP_MESSAGE struct proto_message message = {0};
    uint64_t delay_us;

    (void)state;
    for (int i = 0; i < THROTTLE_IN_FLIGHT; i++)
        assert_true(throttle_take(&runs.throttle, place, &wish, now_us, &delay_us));
    assert_true(next_assignment("ia1", &message)); /* a's own column */
    assert_int_equal(message.assignment.target_count, 1);
    assert_int_equal(message.assignment.targets[0].id, 0);
    assert_int_equal(run->sources[0].todo, 1);
    proto_message_deinit(&message);
    assert_false(next_assignment("ia1", &message));
    throttle_give(place, 1);
    assert_true(next_assignment("ia1", &message));
    assert_int_equal(message.assignment.targets[0].id, 1);
    assert_int_equal(message.assignment.targets[0].delay_ms, 5 * THROTTLE_SPACING_US / 1000);
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
    assert_int_equal(runs_start(&runs, &request, now_us, &run, &err), -EBUSY);
    assert_contains(err.text, "wait for one to end");
}

static void test_words(void **state)
{
    CLEANUP_BUF struct buf words = BUF_INIT(200);

    (void)state;
    words_put(PHASE_CONNECT, OUTCOME_TIMEOUT, 0, 0, &words);
    buf_puts(&words, "|");
    words_put(PHASE_EXCHANGE, OUTCOME_BAD_STATUS, 0, 503, &words);
    buf_puts(&words, "|");
    words_put(PHASE_CONNECT, OUTCOME_UNREACHABLE, EHOSTUNREACH, 0, &words);
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
        RUN_TEST(test_a_failure_is_tried_again),
        RUN_TEST(test_a_failure_that_went_away_is_none),
        RUN_TEST(test_what_cannot_be_confirmed_is_no_verdict),
        RUN_TEST(test_a_restart_in_the_confirmation),
        RUN_TEST(test_a_new_agent_takes_over),
        RUN_TEST(test_the_limits_are_shared),
        RUN_TEST(test_a_service_without_agents_is_no_data),
        RUN_TEST(test_open_runs_are_bounded),
        cmocka_unit_test(test_words),
    };
    return RUN_TESTS(tests);
}
