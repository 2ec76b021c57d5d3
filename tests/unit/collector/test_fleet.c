#include "tests/unit/collector/fixture.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

static const char shop[] =
    "fleet: shop\n"
    "namespace: shop.local\n"
    "defaults: { check: http, port: 8080, path: /health, timeout: 1.5s }\n"
    "services:\n"
    "  web:      {}\n"
    "  api:      { names: [api.shop.local, api-v2.shop.local] }\n"
    "  payments: { record: SRV }\n"
    "  mysql:    { check: mysql, port: 3306, agents: none }\n"
    "  worker:   { check: none }\n"
    "  orders:   { checks: [ { name: http, check: http, port: 8080, status: [200, 302-303] },\n"
    "                        { name: admin, check: tcp, port: 9000, timeout: 5s } ] }\n"
    "expect:\n"
    "  default: observe\n"
    "  allow:   [ \"web -> api\", \"api -> payments, mysql\", \"web -> orders:admin\" ]\n"
    "  deny:    [ \"web -> mysql\" ]\n";

static void test_the_whole_example(void **state)
{
    struct fleet *fleet = fixture_fleet(shop);
    const struct fleet_service *orders = &fleet->services[fleet_find_service(fleet, "orders")];

    (void)state;
    assert_string_equal(fleet->name, "shop");
    assert_int_equal(fleet->service_count, 6);
    assert_int_equal(fleet->column_count, 6); /* worker has none, orders two */
    assert_string_equal(fleet->services[0].names[0], "web.shop.local");
    assert_int_equal(fleet->services[1].name_count, 2);
    assert_int_equal(fleet->services[2].checks[0].port, 0);
    assert_false(fleet->services[3].has_agents);
    assert_int_equal(fleet->services[4].name_count, 0);
    assert_string_equal(orders->checks[0].status, "200,302-303");
    assert_int_equal(orders->checks[0].timeout_ms, 1500);
    assert_int_equal(orders->checks[1].timeout_ms, 5000);
    assert_string_equal(orders->checks[1].type, "tcp");
    fleet_unref(fleet);
}

static enum expectation expected(const struct fleet *fleet, const char *source, const char *target,
                                 const char *check)
{
    return fleet_expected(fleet, fleet_find_service(fleet, source),
                          fleet_find_column(fleet, target, check));
}

static void test_expectations(void **state)
{
    struct fleet *fleet = fixture_fleet(shop);

    (void)state;
    assert_int_equal(expected(fleet, "web", "api", NULL), EXPECT_ALLOW);
    assert_int_equal(expected(fleet, "web", "mysql", NULL), EXPECT_DENY);
    assert_int_equal(expected(fleet, "api", "mysql", NULL), EXPECT_ALLOW);
    assert_int_equal(expected(fleet, "web", "orders", "admin"), EXPECT_ALLOW);
    assert_int_equal(expected(fleet, "web", "orders", "http"), EXPECT_OBSERVE);
    assert_int_equal(expected(fleet, "worker", "api", NULL), EXPECT_OBSERVE);
    fleet_unref(fleet);
}

/* The more specific line wins, wherever it stands. */
static void test_specific_lines_win(void **state)
{
    struct fleet *fleet = fixture_fleet(
        "namespace: x\ndefaults: {port: 1}\nservices: {a: {}, b: {}, c: {}}\n"
        "expect: {deny: ['* -> *', 'a -> c'], allow: ['* -> b', 'a -> *'], observe: ['b -> b']}\n");

    (void)state;
    assert_int_equal(expected(fleet, "c", "a", NULL), EXPECT_DENY);
    assert_int_equal(expected(fleet, "c", "b", NULL), EXPECT_ALLOW);
    assert_int_equal(expected(fleet, "a", "a", NULL), EXPECT_ALLOW);
    assert_int_equal(expected(fleet, "a", "c", NULL), EXPECT_DENY);
    assert_int_equal(expected(fleet, "b", "b", NULL), EXPECT_OBSERVE);
    fleet_unref(fleet);
}

static void test_without_expect_every_pair_is_expected(void **state)
{
    struct fleet *fleet = fixture_fleet("namespace: x\nservices: {a: {port: 1}, b: {port: 2}}\n");

    (void)state;
    assert_int_equal(expected(fleet, "a", "b", NULL), EXPECT_ALLOW);
    fleet_unref(fleet);
}

static void test_json_reads_the_same(void **state)
{
    struct fleet *fleet = fixture_fleet("{\n\t\"fleet\": \"j\", \"namespace\": "
                                        "\"x.local\",\n\t\"services\": {\"a\": {\"port\": 80}}}");
    CLEANUP_BUF struct buf json = BUF_INIT(BUF_UNBOUNDED);

    (void)state;
    assert_string_equal(fleet->services[0].names[0], "a.x.local");
    fleet_to_json(fleet, &json);
    assert_contains(buf_text(&json), "\"names\":[\"a.x.local\"]");
    fleet_unref(fleet);
}

static void says(const char *expected_text, const char *text)
{
    struct fleet_messages messages = {0};
    struct fleet *fleet = fleet_parse("f", text, strlen(text), &messages);

    assert_null(fleet);
    assert_contains(buf_text(&messages.text), expected_text);
    fleet_messages_deinit(&messages);
}

static void test_errors_say_where_and_what(void **state)
{
    (void)state;
    says("f:1:1: error: unknown key 'servces' in the fleet file; did you mean 'services'?",
         "servces: {}\n");
    says("f:3:7: error: unknown key 'prot' in a service; did you mean 'port'?",
         "namespace: x\nservices:\n  a: {prot: 80}\n");
    says("error: port is '70000'; expected a number from 1 to 65535",
         "namespace: x\nservices: {a: {port: 70000}}\n");
    says("error: port is 'http'; expected", "namespace: x\nservices: {a: {port: http}}\n");
    says("error: check is 'htpp'; expected one of tcp, tls, http, https, grpc, udp, mysql, "
         "postgres, "
         "redis, "
         "none; did you mean 'http'?",
         "namespace: x\nservices: {a: {check: htpp, port: 1}}\n");
    says("f:2:26: error: 'a' stands twice; first in line 2",
         "namespace: x\nservices: {a: {port: 1}, a: {port: 2}}\n");
    says("error: no service 'payment' is defined; did you mean 'payments'?",
         "namespace: x\nservices: {payments: {port: 1}}\nexpect: {allow: ['payments -> "
         "payment']}\n");
    says("error: service 'a' has no check 'grpc'",
         "namespace: x\nservices: {a: {port: 1}}\nexpect: {allow: ['a -> a:grpc']}\n");
    says("expected 'source -> target, target:check'",
         "namespace: x\nservices: {a: {port: 1}}\nexpect: {allow: ['a a']}\n");
    says("the same pair stands under both 'allow' and 'deny'",
         "namespace: x\nservices: {a: {port: 1}}\nexpect: {allow: ['a -> a'], deny: ['a -> a']}\n");
    says("timeout is '5'; expected a duration from 100ms to 60s",
         "namespace: x\nservices: {a: {port: 1, timeout: 5}}\n");
    says("has no discovery name: give 'names', or a 'namespace'", "services: {a: {port: 1}}\n");
    says("has no port: give 'port', or 'record: SRV'", "namespace: x\nservices: {a: {}}\n");
    says("path is 'health'; expected it to begin with '/'",
         "namespace: x\nservices: {a: {port: 1, path: health}}\n");
    says("status is '2xx'; expected", "namespace: x\nservices: {a: {port: 1, status: 2xx}}\n");
    says("'b c' is not a service name", "namespace: x\nservices: {b c: {port: 1}}\n");
    says("has 'agents: none': nothing can probe from it",
         "namespace: x\nservices: {a: {port: 1, agents: none}}\nexpect: {allow: ['a -> a']}\n");
    says("error: the file is empty", "");
    says("error: a fleet file is a list; expected a mapping", "- a\n");
    says("error: no 'services'", "fleet: x\n");
    says("not YAML or JSON", "a: [1, 2\nb: }\n");
    says("not YAML or JSON: found undefined alias", "services: *nowhere\n");
    says("nested deeper than 64 levels",
         "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
    says("error: byte", "services: \xff\xfe\n");
}

/* YAML can build graphs with cycles; the schema's own depth ends every walk. */
static void test_cyclic_aliases(void **state)
{
    (void)state;
    says("error", "&a services: *a\n");
    says("error: unknown key", "namespace: x\nservices: &s { web: { web: *s } }\n");
    says("error: a name is a list; expected a single value",
         "namespace: x\nservices: {a: {port: 1, names: &n [*n]}}\n");
}

static void test_many_errors_are_counted(void **state)
{
    struct fleet_messages messages = {0};
    char text[4000] = "namespace: x\nservices:\n";

    (void)state;
    for (int i = 0; i < 50; i++)
        snprintf(text + strlen(text), 60, "  s%d: {port: none}\n", i);
    assert_null(fleet_parse("f", text, strlen(text), &messages));
    assert_contains(buf_text(&messages.text), "more errors");
    fleet_messages_deinit(&messages);
}

static void test_size_limit(void **state)
{
    struct fleet_messages messages = {0};
    char *text = mem_alloc(FLEET_BYTES_MAX + 2);

    (void)state;
    memset(text, 'a', FLEET_BYTES_MAX + 1);
    assert_null(fleet_parse("f", text, FLEET_BYTES_MAX + 1, &messages));
    assert_contains(buf_text(&messages.text), "a fleet file has at most 1048576");
    mem_free(text);
    fleet_messages_deinit(&messages);
}

/* Every key of a check, in the object that agents' assignments and the local fleet are made from.
 */
static void test_every_setting(void **state)
{
    struct fleet_messages messages = {0};
    CLEANUP_BUF struct buf out = BUF_INIT(100000);
    const char *text =
        "namespace: x\n"
        "defaults: {timeout: 1s}\n"
        "services:\n"
        "  web: {check: https, port: 443, path: /p, status: 204, method: HEAD, host: 'h:1',\n"
        "        verify: false, server_name: s.x}\n"
        "  rate: {check: http, port: 80, throughput: {path: /blob, bytes: 1000}}\n"
        "  body: {check: http, port: 80, tls: true, body: 'all well'}\n"
        "  udp: {check: udp, port: 53, send: 'a\\x01', answer: pong}\n"
        "  rpc: {check: grpc, port: 1, grpc_service: shop.Cart}\n"
        "  tls: {check: tls, port: 1, alpn: 'h2,http/1.1'}\n";
    struct fleet *fleet = fleet_parse("f", text, strlen(text), &messages);

    (void)state;
    if (!fleet)
        fail_msg("%s", buf_text(&messages.text));
    fleet_to_json(fleet, &out);
    assert_int_equal(messages.warnings, 0);
    assert_contains(buf_text(&out), "\"check\":\"https\",\"port\":443,\"timeout\":1000,"
                                    "\"path\":\"/p\",\"status\":\"204\",\"method\":\"HEAD\","
                                    "\"host\":\"h:1\",\"server_name\":\"s.x\",\"verify\":false");
    assert_contains(buf_text(&out), "\"path\":\"/blob\"");
    assert_contains(buf_text(&out), "\"throughput\":{\"bytes\":1000}");
    assert_contains(buf_text(&out), "\"body\":\"all well\",\"tls\":true");
    assert_contains(buf_text(&out), "\"answer\":\"pong\",\"send\":\"a\\\\x01\"");
    assert_contains(buf_text(&out), "\"grpc_service\":\"shop.Cart\"");
    assert_contains(buf_text(&out), "\"alpn\":\"h2,http/1.1\"");
    fleet_unref(fleet);
    fleet_messages_deinit(&messages);
}

static void test_warnings_do_not_hinder(void **state)
{
    struct fleet_messages messages = {0};
    const char *text =
        "namespace: x\nservices: {db: {check: tcp, port: 3306}, g: {check: grpc, port: 1, body: x},"
        " h: {check: http, port: 1, verify: false}}\n";
    struct fleet *fleet = fleet_parse("f", text, strlen(text), &messages);

    (void)state;
    assert_non_null(fleet);
    assert_int_equal(messages.warnings, 3);
    assert_contains(buf_text(&messages.text), "use 'check: mysql'");
    assert_contains(buf_text(&messages.text),
                    "f:2:68: warning: 'body' means nothing to a 'grpc' check");
    assert_contains(buf_text(&messages.text), "'verify' means nothing without 'tls: true'");
    fleet_unref(fleet);
    fleet_messages_deinit(&messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_example),
        cmocka_unit_test(test_expectations),
        cmocka_unit_test(test_specific_lines_win),
        cmocka_unit_test(test_without_expect_every_pair_is_expected),
        cmocka_unit_test(test_json_reads_the_same),
        cmocka_unit_test(test_errors_say_where_and_what),
        cmocka_unit_test(test_cyclic_aliases),
        cmocka_unit_test(test_many_errors_are_counted),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_every_setting),
        cmocka_unit_test(test_warnings_do_not_hinder),
    };
    return RUN_TESTS(tests);
}
