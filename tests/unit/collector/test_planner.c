#include "collector/planner.h"
#include "tests/unit/collector/fixture.h"

#include <stdio.h>

static const char text[] = "namespace: x\ndefaults: {port: 80}\n"
                           "services:\n"
                           "  big: {}\n"
                           "  lone: {}\n"
                           "  db: {agents: none}\n"
                           "  multi: {checks: [{name: one, port: 1}, {name: two, port: 2}]}\n"
                           "  worker: {check: none}\n";

static char names[40][16];
static struct planner_task tasks[40];

static struct planner_input input_for(struct fleet *fleet, const struct options_list *from,
                                      const struct options_list *to)
{
    struct planner_input input = {.fleet = fleet,
                                  .tasks = tasks,
                                  .task_count = 22,
                                  .from = from,
                                  .to = to,
                                  .seed = 12345,
                                  .sample = 6};

    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof(names[i]), "big.%02d", (i * 7) % 20);
        tasks[i] = (struct planner_task){.service = 0, .name = names[i]};
    }
    tasks[20] = (struct planner_task){.service = 1, .name = "lone.1"};
    tasks[21] = (struct planner_task){.service = 4, .name = "worker.1"};
    return input;
}

static const struct options_list nothing;

static void test_sample_goes_round(void **state)
{
    struct fleet *fleet = fixture_fleet(text);
    struct planner_input input = input_for(fleet, &nothing, &nothing);
    int seen[20] = {0};

    (void)state;
    /* 20 tasks, 6 a run: after 10 runs each has had its turn three times. */
    for (input.number = 1; input.number <= 10; input.number++) {
        struct plan plan;
        size_t of_big = 0;
        assert_int_equal(planner_plan(&input, &plan, NULL), 0);
        for (size_t i = 0; i < plan.chosen_count; i++)
            if (plan.chosen[i] < 20) {
                seen[plan.chosen[i]]++;
                of_big++;
            }
        assert_int_equal(of_big, 6);
        assert_int_equal(plan.chosen_count, 8);
        assert_int_equal(plan.live_tasks[0], 20);
        plan_deinit(&plan);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(seen[i], 3);
    fleet_unref(fleet);
}

static void test_same_seed_same_plan(void **state)
{
    struct fleet *fleet = fixture_fleet(text);
    struct planner_input input = input_for(fleet, &nothing, &nothing);
    struct plan first, second;

    (void)state;
    input.number = 4;
    assert_int_equal(planner_plan(&input, &first, NULL), 0);
    assert_int_equal(planner_plan(&input, &second, NULL), 0);
    assert_int_equal(first.chosen_count, second.chosen_count);
    for (size_t i = 0; i < first.chosen_count; i++)
        assert_int_equal(first.chosen[i], second.chosen[i]);
    plan_deinit(&first);
    plan_deinit(&second);
    fleet_unref(fleet);
}

static void test_scope(void **state)
{
    struct fleet *fleet = fixture_fleet(text);
    char worker[] = "worker", multi[] = "multi:two", db[] = "db";
    struct options_list from = {.items = {worker}, .count = 1};
    struct options_list to = {.items = {multi, db}, .count = 2};
    struct planner_input input = input_for(fleet, &from, &to);
    struct plan plan;

    (void)state;
    assert_int_equal(planner_plan(&input, &plan, NULL), 0);
    assert_int_equal(plan.chosen_count, 1);
    assert_int_equal(plan.chosen[0], 21);
    for (size_t s = 0; s < fleet->service_count; s++)
        for (size_t c = 0; c < fleet->column_count; c++)
            assert_int_equal(plan.scope[s * fleet->column_count + c],
                             s == 4 && (c == fleet_find_column(fleet, "multi", "two") ||
                                        c == fleet_find_column(fleet, "db", NULL)));
    plan_deinit(&plan);
    fleet_unref(fleet);
}

static void test_about(void **state)
{
    struct fleet *fleet = fixture_fleet(text);
    char multi[] = "multi", none[] = "mulit";
    struct options_list about = {.items = {multi}, .count = 1};
    struct options_list wrong = {.items = {none}, .count = 1};
    struct planner_input input = input_for(fleet, &nothing, &nothing);
    struct error err = {""};
    struct plan plan;

    (void)state;
    input.about = &about;
    assert_int_equal(planner_plan(&input, &plan, NULL), 0);
    for (size_t s = 0; s < fleet->service_count; s++)
        for (size_t c = 0; c < fleet->column_count; c++)
            assert_int_equal(plan.scope[s * fleet->column_count + c],
                             fleet->services[s].has_agents &&
                                 (s == 3 || fleet->columns[c].service == 3));
    plan_deinit(&plan);
    input.about = &wrong;
    assert_true(planner_plan(&input, &plan, &err) < 0);
    assert_string_equal(err.text, "about: the fleet has no service 'mulit'; did you mean 'multi'?");
    fleet_unref(fleet);
}

static void test_a_lone_task_does_not_probe_itself(void **state)
{
    struct fleet *fleet = fixture_fleet(text);
    struct planner_input input = input_for(fleet, &nothing, &nothing);
    struct plan plan;

    (void)state;
    assert_int_equal(planner_plan(&input, &plan, NULL), 0);
    assert_false(plan_wants(&plan, fleet, 1, fleet_find_column(fleet, "lone", NULL)));
    assert_true(plan_wants(&plan, fleet, 1, fleet_find_column(fleet, "big", NULL)));
    assert_true(plan_wants(&plan, fleet, 0, fleet_find_column(fleet, "big", NULL)));
    assert_false(
        plan_wants(&plan, fleet, 2, fleet_find_column(fleet, "big", NULL))); /* no agents */
    plan_deinit(&plan);
    fleet_unref(fleet);
}

static void refuses(const char *expected, const char *from_word, const char *to_word)
{
    struct fleet *fleet = fixture_fleet(text);
    struct options_list from = {.items = {(char *)(uintptr_t)from_word},
                                .count = from_word != NULL};
    struct options_list to = {.items = {(char *)(uintptr_t)to_word}, .count = to_word != NULL};
    struct planner_input input = input_for(fleet, &from, &to);
    struct plan plan;
    struct error err = {""};

    assert_true(planner_plan(&input, &plan, &err) < 0);
    assert_string_equal(err.text, expected);
    fleet_unref(fleet);
}

static void test_refusals(void **state)
{
    (void)state;
    refuses("from: the fleet has no service 'bigg'; did you mean 'big'?", "bigg", NULL);
    refuses("from: service 'db' has 'agents: none'", "db", NULL);
    refuses("to: the fleet has no service 'zzzzzz'", NULL, "zzzzzz");
    refuses("to: service 'multi' has no check 'three'", NULL, "multi:three");
    refuses("to: service 'worker' has 'check: none'", NULL, "worker");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_goes_round),
        cmocka_unit_test(test_same_seed_same_plan),
        cmocka_unit_test(test_scope),
        cmocka_unit_test(test_about),
        cmocka_unit_test(test_a_lone_task_does_not_probe_itself),
        cmocka_unit_test(test_refusals),
    };
    return RUN_TESTS(tests);
}
