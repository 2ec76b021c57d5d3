#include "collector/registry.h"
#include "tests/unit/test.h"

#define SECOND_US 1000000ULL

static struct registry registry;

static struct agent *hello(const char *task, const char *instance, uint32_t link, uint64_t now_us,
                           struct agent **replaced)
{
    struct proto_hello message = {.cluster = "c",
                                  .service = "web",
                                  .task = task,
                                  .instance = instance,
                                  .version = "1",
                                  .zone = "a",
                                  .mode = "awsvpc",
                                  .revision = "",
                                  .auth = ""};

    return registry_hello(&registry, &message, link, now_us, replaced);
}

static void test_a_newer_instance_replaces_the_older(void **state)
{
    struct agent *replaced, *first = hello("web.1", "i1", 1, 0, &replaced);

    (void)state;
    assert_null(replaced);
    assert_ptr_equal(hello("web.1", "i1", 2, 5, &replaced), first); /* the same, over a new link */
    assert_null(replaced);
    hello("web.1", "i2", 3, 10, &replaced);
    assert_ptr_equal(replaced, first);
    assert_null(registry_find(&registry, "i1"));
    assert_int_equal(HASH_COUNT(registry.agents), 1);
    agent_record_free(replaced);
    registry_deinit(&registry);
}

static void test_lost_and_expired(void **state)
{
    struct agent *replaced, *agent = hello("web.1", "i1", 1, 0, &replaced);

    (void)state;
    hello("web.2", "i2", 2, 0, &replaced);
    registry_link_down(&registry, 1, 100 * SECOND_US);
    assert_false(agent_is_live(agent));
    assert_true(agent_is_expected(agent, 110 * SECOND_US));
    assert_false(agent_is_expected(agent, 116 * SECOND_US));
    assert_null(registry_expire(&registry, 219 * SECOND_US));
    assert_ptr_equal(registry_expire(&registry, 221 * SECOND_US), agent);
    assert_null(registry_expire(&registry, 221 * SECOND_US));
    agent_record_free(agent);
    registry_deinit(&registry);
}

static void test_back_in_time(void **state)
{
    struct agent *replaced, *agent = hello("web.1", "i1", 1, 0, &replaced);

    (void)state;
    registry_link_down(&registry, 1, SECOND_US);
    hello("web.1", "i1", 9, 2 * SECOND_US, &replaced);
    assert_true(agent_is_live(agent));
    registry_link_down(&registry, 1, 3 * SECOND_US); /* the old link: not this agent's any more */
    assert_true(agent_is_live(agent));
    registry_deinit(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_newer_instance_replaces_the_older),
        cmocka_unit_test(test_lost_and_expired),
        cmocka_unit_test(test_back_in_time),
    };
    return RUN_TESTS(tests);
}
