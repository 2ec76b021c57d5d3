/* The gate's decision, and the gaps: every kind of cell in, the verdict and its reason out. */
#include "collector/gate/decide.h"
#include "collector/gate/gaps.h"
#include "collector/gate/gates.h"
#include "common/json.h"
#include "tests/unit/test.h"

#include <cjson/cJSON.h>
#include <errno.h>

static struct gate_cell good = {.source = "web",
                                .target = "api",
                                .check = "http",
                                .expected = EXPECT_ALLOW,
                                .state = CELL_OK,
                                .before = BEFORE_GOOD,
                                .fresh = {2, 0},
                                .former = {0, 0},
                                .diagnosis = SIZE_MAX,
                                .cause = ""};

static struct gate_cell failing(void)
{
    struct gate_cell cell = good;

    cell.state = CELL_FAIL;
    cell.fresh = (struct gate_share){0, 2};
    cell.diagnosis = 0;
    cell.cause = "network.sg-ingress";
    return cell;
}

static struct gate_input input_of(const struct gate_cell *cells, size_t count)
{
    return (struct gate_input){.service = "web",
                               .revision = "web:2",
                               .former = "web:1",
                               .rules = GATE_RULES_DEFAULT,
                               .cells = cells,
                               .cell_count = count,
                               .has_agents = true,
                               .agents = 2,
                               .expected = 2,
                               .running = 2,
                               .was_heard = true,
                               .problem = ""};
}

/* The verdict over these inputs, and the kind of the first finding. */
static void expect(const struct gate_input *input, enum verdict verdict, int kind, const char *text)
{
    struct gate_decision decision;

    gate_decide(input, &decision);
    if (decision.verdict != verdict)
        fail_msg("%s, not %s: %s", verdict_name(decision.verdict), verdict_name(verdict),
                 decision.finding_count ? decision.findings[0].text : "no finding");
    if (kind >= 0) {
        assert_true(decision.finding_count > 0);
        assert_string_equal(gate_kind_name(decision.findings[0].kind),
                            gate_kind_name((enum gate_kind)kind));
        if (!strstr(decision.findings[0].text, text))
            fail_msg("'%s' is not in '%s'", text, decision.findings[0].text);
    } else {
        assert_int_equal(decision.finding_count, 0);
    }
    gate_decision_deinit(&decision);
}

static void expect_cell(const struct gate_cell *cell, enum verdict verdict, int kind,
                        const char *text)
{
    const struct gate_cell cells[] = {good, *cell};
    struct gate_input input = input_of(cells, 2);

    expect(&input, verdict, kind, text);
}

static void test_all_well(void **state)
{
    struct gate_cell observed = failing();

    (void)state;
    expect_cell(&good, VERDICT_PASS, -1, "");
    observed.expected = EXPECT_OBSERVE; /* shown, never counted */
    expect_cell(&observed, VERDICT_PASS, -1, "");
}

static void test_new_failure(void **state)
{
    struct gate_cell cell = failing();

    (void)state;
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE, "1 pair newly failing");
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE, "2 of 2 endpoints of web:2 fail");
    cell.state = CELL_PARTIAL;
    cell.former = (struct gate_share){3, 0};
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE,
                "only the new revision fails: of web:2 2 of 2 endpoints fail, of web:1 0 of 3");
    /* What the former revision shows in the same run is better than any baseline. */
    cell.before = BEFORE_UNKNOWN;
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE, "only the new revision fails");
    cell.before = BEFORE_BAD;
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE, "only the new revision fails");
    cell = failing();
    cell.state = CELL_LEAK;
    cell.expected = EXPECT_DENY;
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE, "");
}

static void test_what_speaks_against_it(void **state)
{
    struct gate_cell cell = failing();

    (void)state;
    cell.before = BEFORE_BAD;
    expect_cell(&cell, VERDICT_INCONCLUSIVE, GATE_KNOWN, "as before the deployment");
    cell.before = BEFORE_UNKNOWN;
    expect_cell(&cell, VERDICT_INCONCLUSIVE, GATE_NEVER_GOOD, "not in the baseline");
    cell = failing();
    cell.former = (struct gate_share){0, 3};
    expect_cell(&cell, VERDICT_INCONCLUSIVE, GATE_BOTH_REVISIONS, "both revisions fail");
    cell = failing();
    cell.control = CONTROL_PEER_FAILS;
    expect_cell(&cell, VERDICT_INCONCLUSIVE, GATE_PEER, "the other end's own fault");
    cell.control = CONTROL_PEER_WELL;
    cell.cause = "target.not-listening";
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE, "");
    cell.control = CONTROL_NONE; /* nobody else to ask: the other end's evidence decides */
    expect_cell(&cell, VERDICT_INCONCLUSIVE, GATE_PEER, "");
    cell.source = "api";
    cell.target = "web"; /* now it is the deployed service that does not listen */
    expect_cell(&cell, VERDICT_FAIL, GATE_NEW_FAILURE, "");
    cell.cause = "source.isolated";
    expect_cell(&cell, VERDICT_INCONCLUSIVE, GATE_PEER, "");
}

static void test_rules(void **state)
{
    struct gate_cell known = failing(), stale = failing(), app = failing(), gone = good;
    const struct gate_cell *cells[] = {&known, &stale, &app, &gone};
    const enum gate_kind kinds[] = {GATE_KNOWN, GATE_STALE, GATE_APP_ERROR, GATE_DRAINING};
    const enum verdict defaults[] = {VERDICT_INCONCLUSIVE, VERDICT_INCONCLUSIVE,
                                     VERDICT_INCONCLUSIVE, VERDICT_PASS};
    const enum verdict verdicts[] = {VERDICT_PASS, VERDICT_INCONCLUSIVE, VERDICT_FAIL};

    (void)state;
    known.before = BEFORE_BAD;
    stale.cause = "dns.stale";
    app.cause = "http.status";
    app.is_app_error = true;
    app.source = "api";
    app.target = "web";
    gone.state = CELL_GONE;
    for (size_t i = 0; i < 4; i++) {
        struct gate_cell both[] = {good, *cells[i]};
        struct gate_input input = input_of(both, 2);
        expect(&input, defaults[i], (int)kinds[i], "");
        for (int weight = GATE_IGNORE; weight <= GATE_FAIL; weight++) {
            const enum gate_weight w = (enum gate_weight)weight;
            input.rules = (struct gate_rules){w, w, w, w, 1000};
            expect(&input, verdicts[weight], (int)kinds[i], "");
        }
    }
    /* 5xx of the new revision alone, where the former one answers well, is its own. */
    app.former = (struct gate_share){2, 0};
    expect_cell(&app, VERDICT_FAIL, GATE_NEW_FAILURE, "only the new revision");
}

static void test_what_time_mends(void **state)
{
    struct gate_cell cells[] = {good, failing()};
    struct gate_input input = input_of(cells, 2);
    struct gate_decision decision;

    (void)state;
    cells[1].cause = "dns.stale";
    gate_decide(&input, &decision);
    assert_true(gate_is_transient(&decision));
    assert_null(strstr(decision.findings[0].text, "after the first look")); /* not yet */
    gate_decision_deinit(&decision);
    cells[1].cause = "target.starting"; /* also where the former revision is well */
    cells[1].former = (struct gate_share){2, 0};
    gate_decide(&input, &decision);
    assert_true(gate_is_transient(&decision));
    gate_decision_deinit(&decision);
    input.is_time_over = true; /* an app that never serves is the deployment's own */
    expect(&input, VERDICT_FAIL, GATE_NEW_FAILURE, "only the new revision");
    cells[1].former = (struct gate_share){0, 0}; /* and a peer's is the peer's */
    expect(&input, VERDICT_INCONCLUSIVE, GATE_PEER, "");
    cells[1].source = "api";
    cells[1].target = "web";
    expect(&input, VERDICT_FAIL, GATE_NEW_FAILURE, "newly failing");
    cells[1] = failing();
    cells[1].cause = "dns.stale";
    expect(&input, VERDICT_INCONCLUSIVE, GATE_STALE, "60 s after the first look");
    cells[1].cause = "network.loss";
    gate_decide(&input, &decision);
    assert_int_equal(decision.verdict, VERDICT_INCONCLUSIVE);
    assert_true(gate_is_transient(&decision));
    gate_decision_deinit(&decision);
    cells[0] = failing();
    gate_decide(&input, &decision);
    assert_false(gate_is_transient(&decision));
    assert_false(gate_is_weak(&decision, &input)); /* no endpoint of that pair passes */
    gate_decision_deinit(&decision);
    cells[0].state = CELL_PARTIAL;
    gate_decide(&input, &decision);
    assert_true(gate_is_weak(&decision, &input));
    cells[0].state = CELL_FAIL;
    gate_decision_deinit(&decision);
    gate_decide(&input, &decision);
    assert_int_equal(decision.verdict, VERDICT_FAIL);
    gate_decision_deinit(&decision);
}

static void test_nothing_known_is_not_green(void **state)
{
    const enum cell_state states[] = {CELL_NO_DATA, CELL_PROBE_ERROR, CELL_UNPROVEN};
    const enum gate_kind kinds[] = {GATE_NO_DATA, GATE_OWN_FAULT, GATE_UNPROVEN};
    struct gate_cell cell = good;
    struct gate_input input = input_of(&cell, 0);

    (void)state;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_UNTESTED, "no pair");
    cell.expected = EXPECT_OBSERVE;
    input.cell_count = 1;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_UNTESTED, "no pair");
    cell = good;
    cell.state = CELL_NOT_PROBED;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_UNTESTED, "no pair");
    for (size_t i = 0; i < 3; i++) {
        cell.state = states[i];
        expect_cell(&cell, VERDICT_INCONCLUSIVE, (int)kinds[i], "");
    }
    cell = good;
    input.problem = "ecs:DescribeServices: AccessDeniedException";
    expect(&input, VERDICT_INCONCLUSIVE, GATE_NOT_TOLD, "give --revision");
    input.problem = "";
    input.is_incomplete = true;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_INCOMPLETE, "incomplete");
}

/* ECS says that the tasks run, agents were heard before, none of the new ones is, and the peers'
 * attempts at their addresses go unanswered: only all of it together proves it. */
static void test_cut_off(void **state)
{
    const struct gate_input cut = {.service = "web",
                                   .revision = "web:2",
                                   .rules = GATE_RULES_DEFAULT,
                                   .cells = &good,
                                   .cell_count = 1,
                                   .has_agents = true,
                                   .expected = 2,
                                   .running = 2,
                                   .was_heard = true,
                                   .tried_new = 4,
                                   .problem = ""};
    struct gate_input input = cut;

    (void)state;
    expect(&input, VERDICT_FAIL, GATE_CUT_OFF, "web:2 is cut off");
    input.was_heard = false;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_NO_AGENTS, "no agent of the former one");
    input = cut;
    input.running = 0;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_NO_AGENTS, "no task of it runs");
    input = cut;
    input.running = -1;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_NO_AGENTS, "0 of 2 agents of web:2 said hello");
    input = cut;
    input.tried_new = 0;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_NO_AGENTS, "");
    input = cut;
    input.answered_new = 1;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_NO_AGENTS, "its addresses answer its peers");
    input = cut;
    input.agents = 1;
    expect(&input, VERDICT_INCONCLUSIVE, GATE_NO_AGENTS, "1 of 2 agents");
    input = cut;
    input.has_agents = false; /* agents: none in the fleet file */
    expect(&input, VERDICT_PASS, -1, "");
}

static void test_one_finding_a_cause(void **state)
{
    struct gate_cell cells[4] = {failing(), failing(), failing(), failing()};
    struct gate_input input = input_of(cells, 4);
    struct gate_decision decision;

    (void)state;
    cells[1].target = "db";
    cells[2].diagnosis = 1;
    cells[3].before = BEFORE_BAD;
    gate_decide(&input, &decision);
    assert_int_equal(decision.finding_count, 3);
    assert_int_equal(decision.findings[0].cell_count,
                     2); /* most first, what fails before the rest */
    assert_int_equal(decision.findings[1].cell_count, 1);
    assert_int_equal(decision.findings[2].kind, GATE_KNOWN);
    gate_decision_deinit(&decision);
}

/* ---- gaps ---- */

static void test_gaps(void **state)
{
    struct gaps gaps = {0}, back = {0};
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);
    CLEANUP_JSON cJSON *list = NULL;

    (void)state;
    gaps_note(&gaps, "a", "b", "http", true, 1000);
    gaps_note(&gaps, "a", "c", "http", true, 1000);
    gaps_note(&gaps, "a", "b", "http", false, 2000);
    gaps_note(&gaps, "a", "b", "http", false, 3000);
    gaps_note(&gaps, "a", "b", "http", true, 4500);
    gaps_note(&gaps, "a", "b", "http", false, 6000);
    assert_int_equal(gaps.count, 2);
    assert_int_equal(gaps.pairs[0].count, 2);
    assert_int_equal(gaps.pairs[0].longest_ms, 2500);
    assert_int_equal(gaps_total_ms(&gaps.pairs[0], 7000), 3500); /* one of them is still open */
    assert_int_equal(gaps_last(&gaps.pairs[0])->after_ms, 4500);
    assert_true(gaps.pairs[0].is_open);
    gaps_write(&gaps, 7000, &out);
    list = json_parse(buf_text(&out), out.length, 6, NULL);
    assert_int_equal(cJSON_GetArraySize(list), 1); /* a pair without a gap is not told */
    gaps_read(&back, list);
    assert_int_equal(back.pairs[0].count, 2);
    assert_int_equal(gaps_total_ms(&back.pairs[0], 7000), 3500);
    assert_true(back.pairs[0].is_open);
    gaps_deinit(&gaps);
    gaps_deinit(&back);
}

static void test_many_gaps(void **state)
{
    struct gaps gaps = {0};

    (void)state;
    for (int64_t i = 1; i <= 100; i++)
        gaps_note(&gaps, "a", "b", "http", i % 2 == 0, i * 1000);
    assert_int_equal(gaps.pairs[0].count, 50);
    assert_int_equal(gaps_total_ms(&gaps.pairs[0], 100000), 50000);
    gaps_note(&gaps, "a", "b", "http", false, 101000);
    assert_int_equal(gaps_last(&gaps.pairs[0])->from_ms, 101000); /* the last is always there */
    gaps_deinit(&gaps);
}

/* ---- the request ---- */

static void refuses(const char *body, const char *text)
{
    struct gate_request request;
    struct error err = {""};

    assert_int_equal(gate_request_parse(body, strlen(body), &request, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
    gate_request_deinit(&request);
}

static void test_requests(void **state)
{
    static const char body[] =
        "{\"service\":\"web\",\"deployment\":\"d\",\"baseline\":\"12\",\"rollback\":\"ecs\","
        "\"wait\":\"90s\",\"tasks\":3,\"dry_run\":true,\"on_inconclusive\":\"pass\"}";
    struct gate_request request;

    (void)state;
    assert_int_equal(gate_request_parse(body, strlen(body), &request, NULL), 0);
    assert_string_equal(request.service, "web");
    assert_int_equal(request.baseline.kind, BASELINE_RUN);
    assert_int_equal(request.baseline.run, 12);
    assert_int_equal(request.rollback, ROLLBACK_ECS);
    assert_int_equal(request.wait_ms, 90000);
    assert_true(request.is_dry && request.passes_inconclusive);
    gate_request_deinit(&request);
    refuses("[]", "not a JSON object");
    refuses("{\"service\":", "");
    refuses("{}", "'service' is needed");
    refuses("{\"service\":7}", "'service' is not a text");
    refuses("{\"service\":\"a\\u0007\"}", "control characters");
    refuses("{\"service\":\"a\",\"roll\":1}", "unknown member 'roll'");
    refuses("{\"service\":\"a\",\"rollback\":\"x\"}", "expected none, ecs, codedeploy or command");
    refuses("{\"service\":\"a\",\"rollback\":\"codedeploy\"}", "needs 'deployment'");
    refuses("{\"service\":\"a\",\"execution\":\"e\"}", "goes with rollback codedeploy");
    refuses("{\"service\":\"a\",\"baseline\":\"yesterday\"}", "neither \"last-good\"");
    refuses("{\"service\":\"a\",\"baseline\":[{\"source\":\"a\"}]}", "something that is not");
    refuses("{\"service\":\"a\",\"wait\":\"1ms\"}", "out of range");
    refuses("{\"service\":\"a\",\"wait\":\"soon\"}", "neither \"30s\"");
    refuses("{\"service\":\"a\",\"tasks\":0}", "'tasks' is not a number");
    refuses("{\"service\":\"a\",\"on_inconclusive\":\"0\"}", "expected pass, fail or 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_well),
        cmocka_unit_test(test_new_failure),
        cmocka_unit_test(test_what_speaks_against_it),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_what_time_mends),
        cmocka_unit_test(test_nothing_known_is_not_green),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_one_finding_a_cause),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_many_gaps),
        cmocka_unit_test(test_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
