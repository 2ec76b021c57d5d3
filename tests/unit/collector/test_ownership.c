/* Whose an address is: agents in, owners out. */
#include "collector/ownership.h"
#include "tests/unit/collector/fixture.h"

static const char text[] = "namespace: x\n"
                           "services:\n"
                           "  api: { port: 80, tasks: 2, through: [gateway] }\n"
                           "  web: { port: 80 }\n"
                           "  gateway: { port: 80 }\n"
                           "  db: { port: 80, agents: none }\n";

enum { API, WEB, GATEWAY, DB };

static struct owner_agent agents[8];
static const char *addresses[8][1];
static size_t count;
static struct fleet *fleet;
static struct ownership *ownership;

static void add(const char *service, const char *task, const char *mode, const char *netns,
                const char *address, enum owner_state state)
{
    addresses[count][0] = address;
    agents[count] = (struct owner_agent){.service = service,
                                         .task = task,
                                         .mode = mode,
                                         .netns = netns,
                                         .zone = "a",
                                         .revision = "",
                                         .age_s = -1,
                                         .addresses = addresses[count],
                                         .address_count = 1,
                                         .state = state};
    count++;
}

static int set_up(void **state)
{
    (void)state;
    count = 0;
    fleet = fixture_fleet(text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ownership = ownership_free(ownership);
    fleet = fleet_unref(fleet);
    return 0;
}

static struct owner find(size_t service, const char *address)
{
    if (!ownership)
        ownership = ownership_new(fleet, agents, count);
    return ownership_find(ownership, service, address);
}

static void is_owned(size_t service, const char *address, enum owner_kind kind, const char *task,
                     bool is_reused)
{
    struct owner owner = find(service, address);

    assert_string_equal(owner_kind_name(owner.kind), owner_kind_name(kind));
    if (task)
        assert_string_equal(owner.agent->task, task);
    assert_int_equal(ownership_is_reused(ownership, service, &owner), is_reused);
}

static void test_a_task_of_its_own(void **state)
{
    (void)state;
    add("api", "api.1", "awsvpc", "h1/1", "10.0.0.1", OWNER_IS_LIVE);
    add("web", "web.1", "awsvpc", "h1/2", "10.0.0.2", OWNER_IS_LIVE);
    is_owned(API, "10.0.0.1", OWNER_TASK, "api.1", false);
    is_owned(API, "10.0.0.2", OWNER_TASK, "web.1", true); /* another service's */
    is_owned(WEB, "10.0.0.1", OWNER_TASK, "api.1", true);
    is_owned(API, "127.255.0.3", OWNER_PROXY, NULL, false);
}

/* A gateway stands before api, as the fleet file says: its addresses are no mistake. */
static void test_a_gateway_is_no_reuse(void **state)
{
    (void)state;
    add("api", "api.1", "awsvpc", "h1/1", "10.0.0.1", OWNER_IS_LIVE);
    add("gateway", "g.1", "awsvpc", "h1/2", "10.0.0.2", OWNER_IS_LIVE);
    is_owned(API, "10.0.0.2", OWNER_TASK, "g.1", false);
}

/* Nobody of the service is there to compare with: its name may well lead to somebody else. */
static void test_without_own_tasks_nothing_is_reused(void **state)
{
    (void)state;
    add("web", "web.1", "awsvpc", "h1/2", "10.0.0.2", OWNER_IS_LIVE);
    is_owned(DB, "10.0.0.2", OWNER_TASK, "web.1", false);
    is_owned(API, "10.0.0.2", OWNER_TASK, "web.1", false);
}

/* Tasks on one host share its address: whose a port is cannot be told from here. */
static void test_host_mode_has_no_false_owner(void **state)
{
    (void)state;
    add("api", "api.1", "host", "h1/0", "10.0.0.1", OWNER_IS_LIVE);
    add("web", "web.1", "host", "h1/0", "10.0.0.1", OWNER_IS_LIVE);
    add("web", "web.2", "host", "h2/0", "10.0.0.2", OWNER_IS_LIVE);
    add("api", "api.2", "awsvpc", "h2/7", "10.0.0.3", OWNER_IS_LIVE);
    is_owned(API, "10.0.0.1", OWNER_SHARED, NULL, false);
    is_owned(WEB, "10.0.0.1", OWNER_SHARED, NULL, false);
    is_owned(API, "10.0.0.2", OWNER_SHARED, NULL, false); /* api may run there, without an agent */
}

static void test_a_sidecar_in_the_same_task(void **state)
{
    (void)state;
    add("api", "api.1", "awsvpc", "h1/1", "10.0.0.1", OWNER_IS_LIVE);
    add("web", "api.1", "awsvpc", "h1/1", "10.0.0.1", OWNER_IS_LIVE);
    is_owned(WEB, "10.0.0.1", OWNER_SHARED, NULL, false);
}

/* Bridge mode: the address means something on its own host only, and many hosts have it. */
static void test_bridge_mode_owns_nothing(void **state)
{
    (void)state;
    add("api", "api.1", "bridge", "h1/1", "172.17.0.2", OWNER_IS_LIVE);
    add("web", "web.1", "bridge", "h2/1", "172.17.0.2", OWNER_IS_LIVE);
    is_owned(API, "172.17.0.2", OWNER_UNKNOWN, NULL, false);
    assert_false(ownership_can_witness("bridge"));
    assert_true(ownership_can_witness("host"));
    assert_true(ownership_can_witness(""));
}

/* Two networks with the same numbers. */
static void test_overlapping_networks(void **state)
{
    (void)state;
    add("api", "api.1", "awsvpc", "h1/1", "10.0.0.1", OWNER_IS_LIVE);
    add("web", "web.1", "awsvpc", "h9/1", "10.0.0.1", OWNER_IS_LIVE);
    is_owned(API, "10.0.0.1", OWNER_UNKNOWN, NULL, false);
}

static void test_who_is_there_now_has_it(void **state)
{
    (void)state;
    add("api", "api.0", "awsvpc", "h1/1", "10.0.0.1", OWNER_HAS_LEFT);
    add("api", "api.1", "awsvpc", "h1/3", "10.0.0.9", OWNER_IS_LIVE);
    add("web", "web.7", "awsvpc", "h1/2", "10.0.0.1", OWNER_IS_LIVE);
    is_owned(API, "10.0.0.1", OWNER_TASK, "web.7", true);
}

static void test_who_left(void **state)
{
    (void)state;
    add("api", "api.0", "awsvpc", "h1/1", "10.0.0.1", OWNER_HAS_LEFT);
    is_owned(API, "10.0.0.1", OWNER_LEFT, "api.0", false);
}

/* Lost, not gone: that somebody else has it would be a bold word. */
static void test_a_lost_agent_is_not_reused(void **state)
{
    (void)state;
    add("api", "api.1", "awsvpc", "h1/1", "10.0.0.1", OWNER_IS_LIVE);
    add("web", "web.1", "awsvpc", "h1/2", "10.0.0.2", OWNER_IS_LOST);
    is_owned(API, "10.0.0.2", OWNER_TASK, "web.1", false);
}

/* Stale needs every expected task; how many there are only the fleet file says. */
static void test_nobody_only_when_all_are_known(void **state)
{
    (void)state;
    add("api", "api.1", "awsvpc", "h1/1", "10.0.0.1", OWNER_IS_LIVE);
    is_owned(API, "10.0.0.7", OWNER_UNKNOWN, NULL, false);
    ownership = ownership_free(ownership);
    add("api", "api.2", "awsvpc", "h1/2", "10.0.0.2", OWNER_IS_LIVE);
    is_owned(API, "10.0.0.7", OWNER_NOBODY, NULL, false);
    is_owned(WEB, "10.0.0.7", OWNER_UNKNOWN, NULL, false);
    is_owned(DB, "10.0.0.7", OWNER_UNKNOWN, NULL, false);
}

#define OWNERSHIP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWNERSHIP_TEST(test_a_task_of_its_own),
        OWNERSHIP_TEST(test_a_gateway_is_no_reuse),
        OWNERSHIP_TEST(test_without_own_tasks_nothing_is_reused),
        OWNERSHIP_TEST(test_host_mode_has_no_false_owner),
        OWNERSHIP_TEST(test_a_sidecar_in_the_same_task),
        OWNERSHIP_TEST(test_bridge_mode_owns_nothing),
        OWNERSHIP_TEST(test_overlapping_networks),
        OWNERSHIP_TEST(test_who_is_there_now_has_it),
        OWNERSHIP_TEST(test_who_left),
        OWNERSHIP_TEST(test_a_lost_agent_is_not_reused),
        OWNERSHIP_TEST(test_nobody_only_when_all_are_known),
    };
    return RUN_TESTS(tests);
}
