#include "agent/host.h"
#include "agent/policy.h"
#include "common/text.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct policy make_policy(const char *networks, const char *suffixes)
{
    static struct options_list nets, names;
    static struct host host;
    struct policy policy;

    options_list_deinit(&nets);
    options_list_deinit(&names);
    host = (struct host){.address_count = 1};
    assert_true(cidr_parse("198.51.100.7", &host.subnets[0]));
    host.subnets[0].bits = 24;
    if (*networks)
        options_list_add(&nets, networks, strlen(networks));
    if (*suffixes)
        options_list_add(&names, suffixes, strlen(suffixes));
    assert_int_equal(policy_init(&policy, &nets, &names, &host, NULL), 0);
    return policy;
}

static bool allows(const struct policy *policy, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return policy_allows_address(policy, (const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return policy_allows_address(policy, (const struct sockaddr *)&v6);
}

static void test_defaults(void **state)
{
    struct policy policy = make_policy("", "");

    (void)state;
    assert_true(allows(&policy, "10.1.2.3"));
    assert_true(allows(&policy, "172.31.0.1"));
    assert_true(allows(&policy, "192.168.1.1"));
    assert_true(allows(&policy, "100.64.0.1"));
    assert_true(allows(&policy, "fd00::1"));
    assert_true(allows(&policy, "198.51.100.99")); /* the task's own subnet */
    assert_false(allows(&policy, "198.51.101.1"));
    assert_false(allows(&policy, "8.8.8.8"));
    assert_false(allows(&policy, "2001:db8::1"));
    assert_true(policy_allows_name(&policy, "anything.example"));
}

static void test_never(void **state)
{
    struct policy policy = make_policy("0.0.0.0/0", "shop.local");
    struct policy policy6;

    (void)state;
    assert_true(allows(&policy, "8.8.8.8"));
    assert_false(allows(&policy, "127.0.0.1"));
    assert_false(allows(&policy, "169.254.169.254")); /* credentials live there */
    assert_false(allows(&policy, "169.254.170.2"));
    assert_false(allows(&policy, "0.0.0.0"));
    assert_false(allows(&policy, "224.0.0.1"));
    assert_false(allows(&policy, "255.255.255.255"));
    policy6 = make_policy("::/0", "");
    assert_true(allows(&policy6, "2001:db8::1"));
    assert_false(allows(&policy6, "::1"));
    assert_false(allows(&policy6, "fe80::1"));
    assert_false(allows(&policy6, "::ffff:169.254.169.254"));
}

static void test_suffixes(void **state)
{
    struct policy policy = make_policy("", "shop.local");

    (void)state;
    assert_true(policy_allows_name(&policy, "api.shop.local"));
    assert_false(policy_allows_name(&policy, "api.evil.example"));
    assert_false(policy_allows_name(&policy, "apishop.local"));
}

static void test_bad_network(void **state)
{
    struct options_list networks = {0}, suffixes = {0};
    struct host host = {.address_count = 0};
    struct policy policy;
    struct error err = {""};

    (void)state;
    options_list_add(&networks, "10.0.0.0/64", 11);
    assert_true(policy_init(&policy, &networks, &suffixes, &host, &err) < 0);
    assert_contains(err.text, "--allow-net: '10.0.0.0/64' is not a network");
    options_list_deinit(&networks);
}

static void test_resolv_conf(void **state)
{
    struct host host = {.address_count = 0};

    (void)state;
    host_parse_resolv_conf(&host, "# comment\nsearch a b\n nameserver 10.0.0.2\nnameserver\t::1\n"
                                  "nameserver\noptions x\nnameserver 10.0.0.3");
    assert_int_equal(host.resolver_count, 3);
    assert_string_equal(host.resolvers[0], "10.0.0.2");
    assert_string_equal(host.resolvers[1], "::1");
    assert_string_equal(host.resolvers[2], "10.0.0.3");
}

static void test_search_list(void **state)
{
    struct host host = {.address_count = 0};

    (void)state;
    host_parse_resolv_conf(&host, "domain old.local\nsearch  shop.local eu.internal not_ok! .\n"
                                  "options timeout:1 ndots:3\n");
    assert_int_equal(host.search_count, 2);
    assert_string_equal(host.search[0], "shop.local");
    assert_string_equal(host.search[1], "eu.internal");
    assert_int_equal(host.dots, 3);
    host_parse_resolv_conf(&host, "");
    assert_int_equal(host.dots, 1);
}

static void test_the_vpc_resolver(void **state)
{
    struct host host = {.address_count = 1, .resolver_count = 1, .addresses = {"10.0.37.9"}};
    static const struct {
        const char *resolver;
        bool is_vpc;
    } cases[] = {{"169.254.169.253", true}, {"10.0.0.2", true},      {"10.0.16.18", true},
                 {"10.0.0.53", false},      {"10.9.0.2", false},     {"192.168.0.2", false},
                 {"8.8.8.8", false},        {"fd00:ec2::253", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        text_copy(host.resolvers[0], HOST_TEXT_MAX, cases[i].resolver);
        assert_int_equal(host_uses_vpc_resolver(&host), cases[i].is_vpc);
    }
}

static void test_hosts_file(void **state)
{
    struct host_entries entries;

    (void)state;
    host_parse_entries(&entries,
                       "# comment\n127.0.0.1 localhost # here\n 127.255.0.1\tapi api.shop\n"
                       "fd00::1 six\nnonsense x\n10.0.0.1\n10.0.0.2 last");
    assert_int_equal(entries.count, 5);
    assert_string_equal(entries.entries[2].name, "api.shop");
    assert_int_equal(entries.entries[2].address.ss_family, AF_INET);
    assert_int_equal(entries.entries[3].address.ss_family, AF_INET6);
    assert_string_equal(entries.entries[4].name, "last");
    host_entries_deinit(&entries);
}

/* The addresses of Service Connect's proxy, and nothing else of loopback. */
static void test_proxy(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    (void)state;
    inet_pton(AF_INET, "127.255.0.9", &address.sin_addr);
    assert_true(policy_allows_proxy((const struct sockaddr *)&address));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    assert_false(policy_allows_proxy((const struct sockaddr *)&address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_suffixes),
        cmocka_unit_test(test_bad_network),
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_search_list),
        cmocka_unit_test(test_the_vpc_resolver),
        cmocka_unit_test(test_hosts_file),
        cmocka_unit_test(test_proxy),
    };
    return RUN_TESTS(tests);
}
