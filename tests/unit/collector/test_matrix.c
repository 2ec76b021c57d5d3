/* The matrix as data: rows in, states and verdict out. Services a, b (two tasks each) and lone c;
 * every check is tcp. Each case says which rows there are and what they must come to. */
#include "collector/matrix.h"
#include "tests/unit/collector/fixture.h"

#include "common/text.h"

#include <stdlib.h>

enum { A, B, C }; /* services, and columns */

struct world {
    struct fleet *fleet;
    struct matrix_source sources[5]; /* a1 a2 b1 b2 c1 */
    bool scope[9];
    uint32_t live[3];
    struct tries_row rows[64];
    size_t count;
    struct matrix_witness witness;
    bool is_final; /* what failed was to be tried again */
};

static struct world make(const char *expect)
{
    struct world world = {.live = {2, 2, 1}};
    CLEANUP_BUF struct buf text = BUF_INIT(10000);

    buf_printf(&text, "namespace: x\ndefaults: {port: 80}\nservices: {a: {}, b: {}, c: {}}\n%s",
               expect);
    world.fleet = fixture_fleet(buf_text(&text));
    for (size_t i = 0; i < 5; i++)
        world.sources[i] = (struct matrix_source){.service = i / 2, .is_done = true};
    for (size_t i = 0; i < 9; i++)
        world.scope[i] = true;
    return world;
}

static void add(struct world *world, uint32_t source, uint32_t column, const char *address,
                enum proto_phase phase, enum proto_outcome outcome)
{
    world->rows[world->count++] = (struct tries_row){.source = source,
                                                     .column = column,
                                                     .name = "",
                                                     .address = address,
                                                     .port = 80,
                                                     .phase = (uint8_t)phase,
                                                     .outcome = (uint8_t)outcome};
}

/* Everything works, but for the pairs that a case fills itself (marked in `own`). */
static void fill(struct world *world, const char *own)
{
    static const char *const addresses[3][2] = {
        {"10.0.0.1", "10.0.0.2"}, {"10.0.1.1", "10.0.1.2"}, {"10.0.2.1", "10.0.2.1"}};

    for (uint32_t source = 0; source < 5; source++)
        for (uint32_t column = 0; column < 3; column++) {
            if (own[world->sources[source].service * 3 + column] != '.')
                continue;
            for (int i = 0; i < (column == C ? 1 : 2); i++) {
                bool is_self =
                    world->sources[source].service == column && source % 2 == (uint32_t)i;
                add(world, source, column, addresses[column][i], PHASE_CONNECT,
                    is_self ? OUTCOME_SELF : OUTCOME_OK);
            }
        }
}

static struct matrix *build(const struct world *world)
{
    struct matrix_input input = {
        .fleet = world->fleet,
        .sources = world->sources,
        .source_count = 5,
        .rows = world->rows,
        .row_count = world->count,
        .scope = world->scope,
        .live_tasks = world->live,
        .witnesses = &world->witness,
        .witness_count = world->witness.address != NULL,
        .is_provisional = !world->is_final,
    };
    return matrix_build(&input);
}

static void check(struct world *world, size_t source, size_t column, enum cell_state state,
                  enum verdict verdict)
{
    struct matrix *matrix = build(world);

    assert_string_equal(cell_state_name(matrix_at(matrix, source, column)->state),
                        cell_state_name(state));
    assert_string_equal(verdict_name(matrix->verdict), verdict_name(verdict));
    matrix_free(matrix);
    fleet_unref(world->fleet);
}

static void test_all_ok(void **state)
{
    struct world world = make("");
    struct matrix *matrix;

    (void)state;
    fill(&world, ".........");
    matrix = build(&world);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(matrix->cells[i].state, i == 8 ? CELL_NA : CELL_OK);
    assert_int_equal(matrix_at(matrix, A, A)->probes, 2); /* siblings only */
    assert_int_equal(matrix_at(matrix, A, B)->probes, 4);
    matrix_free(matrix);
    check(&world, C, C, CELL_NA, VERDICT_PASS);
}

static void test_fail(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(&world, 1, B, "", PHASE_RESOLVE, OUTCOME_NXDOMAIN);
    check(&world, A, B, CELL_FAIL, VERDICT_FAIL);
}

static void test_partial(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_OK);
    add(&world, 1, B, "10.0.1.2", PHASE_CONNECT, OUTCOME_REFUSED);
    check(&world, A, B, CELL_PARTIAL, VERDICT_FAIL);
}

static void test_observed_failure_does_not_count(void **state)
{
    struct world world = make("expect: {observe: ['a -> b']}\n");

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    check(&world, A, B, CELL_FAIL, VERDICT_PASS);
}

static void test_no_rows_is_no_data(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".x.......");
    check(&world, A, B, CELL_NO_DATA, VERDICT_INCONCLUSIVE);
}

static void test_failure_beats_no_data(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".xx......");
    add(&world, 0, C, "10.0.2.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    check(&world, A, B, CELL_NO_DATA, VERDICT_FAIL);
}

static void test_own_fault_is_never_the_networks(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_NOT_ALLOWED);
    add(&world, 1, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_UNKNOWN);
    check(&world, A, B, CELL_PROBE_ERROR, VERDICT_INCONCLUSIVE);
}

static void test_own_fault_among_passes_is_not_green(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_OK);
    add(&world, 0, B, "10.0.1.2", PHASE_CONNECT, OUTCOME_LOCAL_ERROR);
    check(&world, A, B, CELL_PROBE_ERROR, VERDICT_INCONCLUSIVE);
}

static void test_missing_task_makes_the_run_incomplete(void **state)
{
    struct world world = make("");
    struct matrix *matrix;

    (void)state;
    fill(&world, ".........");
    world.sources[1].is_done = false;
    matrix = build(&world);
    assert_true(matrix->is_incomplete);
    matrix_free(matrix);
    check(&world, A, B, CELL_OK, VERDICT_INCONCLUSIVE);
}

static void test_departed_source_is_gone_not_failed(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, "......xxx");
    world.sources[4] = (struct matrix_source){.service = C, .has_departed = true};
    check(&world, C, A, CELL_GONE, VERDICT_PASS);
}

static void test_skipped_family(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "fd00::1", PHASE_CONNECT, OUTCOME_SKIPPED);
    add(&world, 1, B, "fd00::1", PHASE_CONNECT, OUTCOME_SKIPPED);
    check(&world, A, B, CELL_SKIPPED, VERDICT_PASS);
}

static void test_siblings_missing_from_dns(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, "x........");
    add(&world, 0, A, "10.0.0.1", PHASE_CONNECT, OUTCOME_SELF);
    add(&world, 1, A, "10.0.0.2", PHASE_CONNECT, OUTCOME_SELF);
    check(&world, A, A, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

static void test_out_of_scope(void **state)
{
    struct world world = make("");

    (void)state;
    world.scope[A * 3 + B] = false;
    fill(&world, ".x.......");
    check(&world, A, B, CELL_NOT_PROBED, VERDICT_PASS);
}

/* ---- deny ---- */

static const char deny[] = "expect: {default: allow, deny: ['a -> b']}\n";

static void test_denied(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x......."); /* c reaches b's endpoints: they listen */
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(&world, 1, B, "10.0.1.2", PHASE_CONNECT, OUTCOME_REFUSED);
    check(&world, A, B, CELL_DENIED, VERDICT_PASS);
}

static void test_leak(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    add(&world, 1, B, "10.0.1.2", PHASE_EXCHANGE, OUTCOME_BAD_STATUS); /* a SYN-ACK came back */
    check(&world, A, B, CELL_LEAK, VERDICT_FAIL);
}

static void test_deny_of_what_nobody_saw_listening(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.77", PHASE_CONNECT, OUTCOME_TIMEOUT);
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

static void test_deny_of_a_name_that_does_not_resolve(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "", PHASE_RESOLVE, OUTCOME_NXDOMAIN);
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

/* The target's own agent saw the listener, though nobody connected to it. */
static void test_a_witness_shows_who_listens(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.77", PHASE_CONNECT, OUTCOME_TIMEOUT);
    world.witness =
        (struct matrix_witness){.address = "10.0.1.77", .port = 80, .is_listening = true};
    check(&world, A, B, CELL_DENIED, VERDICT_PASS);
}

/* A refusal by the target's own kernel: nothing listens there, and it sent a RST. The path is open.
 */
static void test_the_targets_own_refusal_is_a_leak(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.77", PHASE_CONNECT, OUTCOME_REFUSED);
    world.witness = (struct matrix_witness){.address = "10.0.1.77", .port = 80, .has_reset = true};
    check(&world, A, B, CELL_LEAK, VERDICT_FAIL);
}

/* Somebody listens, and the task sent no RST: a firewall's refusal. */
static void test_a_firewalls_refusal_is_a_denial(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.77", PHASE_CONNECT, OUTCOME_REFUSED);
    world.witness =
        (struct matrix_witness){.address = "10.0.1.77", .port = 80, .is_listening = true};
    check(&world, A, B, CELL_DENIED, VERDICT_PASS);
}

/* It listens, but the task sent RSTs for whatever reason: whose the refusal was is not known. */
static void test_an_ambiguous_refusal_proves_nothing(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.77", PHASE_CONNECT, OUTCOME_REFUSED);
    world.witness = (struct matrix_witness){
        .address = "10.0.1.77", .port = 80, .is_listening = true, .has_reset = true};
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

/* ---- confirmation ---- */

static void again(struct world *world, enum proto_outcome outcome)
{
    world->rows[world->count] = world->rows[world->count - 1];
    world->rows[world->count].round = 1;
    world->rows[world->count++].outcome = (uint8_t)outcome;
}

static void test_a_failure_seen_once_is_no_verdict(void **state)
{
    struct world world = make("");
    struct matrix *matrix;

    (void)state;
    world.is_final = true;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    matrix = build(&world);
    assert_true(matrix->is_incomplete);
    assert_int_equal(matrix_at(matrix, A, B)->unconfirmed, 1);
    matrix_free(matrix);
    check(&world, A, B, CELL_FAIL, VERDICT_INCONCLUSIVE);
}

static void test_a_confirmed_failure_is_one(void **state)
{
    struct world world = make("");

    (void)state;
    world.is_final = true;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    again(&world, OUTCOME_TIMEOUT);
    check(&world, A, B, CELL_FAIL, VERDICT_FAIL);
}

static void test_a_failure_that_went_away_is_none(void **state)
{
    struct world world = make("");
    struct matrix *matrix;

    (void)state;
    world.is_final = true;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    again(&world, OUTCOME_OK);
    again(&world, OUTCOME_OK);
    matrix = build(&world);
    assert_int_equal(matrix_at(matrix, A, B)->tries, 3);
    assert_int_equal(matrix_at(matrix, A, B)->tries_failed, 1);
    matrix_free(matrix);
    check(&world, A, B, CELL_OK, VERDICT_PASS);
}

/* HTTP 200, but the address is another service's. */
static void test_a_reused_address_fails(void **state)
{
    struct world world = make("");

    (void)state;
    world.is_final = true;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_EXCHANGE, OUTCOME_OK);
    world.rows[world.count - 1].is_reused = true;
    check(&world, A, B, CELL_FAIL, VERDICT_FAIL);
}

/* What answered was not the target: no leak, and no proof of the contrary. */
static void test_a_reused_address_is_no_leak(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_EXCHANGE, OUTCOME_OK);
    world.rows[world.count - 1].is_reused = true;
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

static void test_an_endpoint_whose_task_left_is_gone(void **state)
{
    struct world world = make("");

    (void)state;
    world.is_final = true;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    again(&world, OUTCOME_TIMEOUT);
    world.rows[world.count - 2].has_left = world.rows[world.count - 1].has_left = true;
    check(&world, A, B, CELL_GONE, VERDICT_PASS);
}

/* Left alone in this run, and nobody else tried: neither green nor red. */
static void test_what_was_spared_is_unproven(void **state)
{
    struct world world = make("");

    (void)state;
    world.is_final = true;
    fill(&world, ".x.......");
    add(&world, 0, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_SPARED);
    add(&world, 1, B, "10.0.1.2", PHASE_EXCHANGE, OUTCOME_OK);
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

/* ---- Service Connect: a proxy in the task itself takes every connection ---- */

static void test_a_bare_connection_to_the_own_proxy_proves_nothing(void **state)
{
    struct world world = make("");

    (void)state;
    fill(&world, ".x.......");
    for (uint32_t source = 0; source < 2; source++)
        add(&world, source, B, "127.255.0.1", PHASE_CONNECT, OUTCOME_PROXY);
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

static void test_the_own_proxys_error_is_no_leak(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    for (uint32_t source = 0; source < 2; source++)
        add(&world, source, B, "127.255.0.1", PHASE_EXCHANGE, OUTCOME_BAD_STATUS);
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

static void test_an_answer_through_the_own_proxy_is_one(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    for (uint32_t source = 0; source < 2; source++)
        add(&world, source, B, "127.255.0.1", PHASE_EXCHANGE, OUTCOME_OK);
    check(&world, A, B, CELL_LEAK, VERDICT_FAIL);
}

/* A datagram that nobody answers stays in the connect phase: silence is no open path. */
static void test_silence_of_a_datagram_is_no_leak(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    for (uint32_t source = 0; source < 2; source++)
        add(&world, source, B, "10.0.1.1", PHASE_CONNECT, OUTCOME_TIMEOUT);
    check(&world, A, B, CELL_DENIED, VERDICT_PASS);
}

/* Every task's proxy has the same address: that another's answers says nothing of this one's. */
static void test_the_own_proxy_that_is_down_is_no_denial(void **state)
{
    struct world world = make(deny);

    (void)state;
    fill(&world, ".x.......");
    add(&world, 0, B, "127.255.0.1", PHASE_CONNECT, OUTCOME_REFUSED);
    add(&world, 1, B, "127.255.0.1", PHASE_CONNECT, OUTCOME_REFUSED);
    add(&world, 4, B, "127.255.0.1", PHASE_EXCHANGE, OUTCOME_OK);
    check(&world, A, B, CELL_UNPROVEN, VERDICT_INCONCLUSIVE);
}

/* ---- the whole ---- */

static void test_nothing_shown_is_not_green(void **state)
{
    struct world world = make("expect: {default: observe}\n");

    (void)state;
    check(&world, A, B, CELL_NO_DATA, VERDICT_INCONCLUSIVE);
}

/* Shuffled rows give the same matrix, observations included. */
static void test_order_does_not_matter(void **state)
{
    struct world world = make("");
    struct matrix *first, *second;

    (void)state;
    fill(&world, ".xx......");
    for (int i = 0; i < 20; i++)
        add(&world, (uint32_t)i % 2, B, i % 3 ? "10.0.1.1" : "10.0.1.2", PHASE_CONNECT,
            i % 5   ? OUTCOME_TIMEOUT
            : i % 7 ? OUTCOME_REFUSED
                    : OUTCOME_UNREACHABLE);
    first = build(&world);
    srand(1);
    for (size_t i = world.count - 1; i > 0; i--) {
        size_t j = (size_t)rand() % (i + 1);
        struct tries_row row = world.rows[i];
        world.rows[i] = world.rows[j];
        world.rows[j] = row;
    }
    second = build(&world);
    for (size_t i = 0; i < 9; i++) {
        const struct matrix_cell *x = &first->cells[i], *y = &second->cells[i];
        assert_int_equal(x->state, y->state);
        assert_int_equal(x->observed_count, y->observed_count);
        for (size_t j = 0; j < x->observed_count; j++)
            assert_int_equal(x->observed[j].count, y->observed[j].count);
    }
    matrix_free(first);
    matrix_free(second);
    fleet_unref(world.fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ok),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_observed_failure_does_not_count),
        cmocka_unit_test(test_no_rows_is_no_data),
        cmocka_unit_test(test_failure_beats_no_data),
        cmocka_unit_test(test_own_fault_is_never_the_networks),
        cmocka_unit_test(test_own_fault_among_passes_is_not_green),
        cmocka_unit_test(test_missing_task_makes_the_run_incomplete),
        cmocka_unit_test(test_departed_source_is_gone_not_failed),
        cmocka_unit_test(test_skipped_family),
        cmocka_unit_test(test_siblings_missing_from_dns),
        cmocka_unit_test(test_out_of_scope),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_leak),
        cmocka_unit_test(test_a_bare_connection_to_the_own_proxy_proves_nothing),
        cmocka_unit_test(test_the_own_proxys_error_is_no_leak),
        cmocka_unit_test(test_an_answer_through_the_own_proxy_is_one),
        cmocka_unit_test(test_silence_of_a_datagram_is_no_leak),
        cmocka_unit_test(test_the_own_proxy_that_is_down_is_no_denial),
        cmocka_unit_test(test_deny_of_what_nobody_saw_listening),
        cmocka_unit_test(test_deny_of_a_name_that_does_not_resolve),
        cmocka_unit_test(test_a_witness_shows_who_listens),
        cmocka_unit_test(test_the_targets_own_refusal_is_a_leak),
        cmocka_unit_test(test_a_firewalls_refusal_is_a_denial),
        cmocka_unit_test(test_an_ambiguous_refusal_proves_nothing),
        cmocka_unit_test(test_a_failure_seen_once_is_no_verdict),
        cmocka_unit_test(test_a_confirmed_failure_is_one),
        cmocka_unit_test(test_a_failure_that_went_away_is_none),
        cmocka_unit_test(test_a_reused_address_fails),
        cmocka_unit_test(test_a_reused_address_is_no_leak),
        cmocka_unit_test(test_an_endpoint_whose_task_left_is_gone),
        cmocka_unit_test(test_what_was_spared_is_unproven),
        cmocka_unit_test(test_nothing_shown_is_not_green),
        cmocka_unit_test(test_order_does_not_matter),
    };
    return RUN_TESTS(tests);
}
