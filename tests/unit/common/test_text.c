#include "common/cidr.h"
#include "common/text.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static void test_durations(void **state)
{
    int64_t ms = -1;

    (void)state;
    assert_true(text_to_duration_ms("500ms", &ms));
    assert_int_equal(ms, 500);
    assert_true(text_to_duration_ms("1.5s", &ms));
    assert_int_equal(ms, 1500);
    assert_true(text_to_duration_ms("2m", &ms));
    assert_int_equal(ms, 120000);
    assert_false(text_to_duration_ms("5", &ms));
    assert_false(text_to_duration_ms("-1s", &ms));
    assert_false(text_to_duration_ms("1s ", &ms));
    assert_false(text_to_duration_ms("1e999s", &ms));
    assert_false(text_to_duration_ms("nan", &ms));
    assert_false(text_to_duration_ms("", &ms));
}

static void test_integers(void **state)
{
    int64_t value;

    (void)state;
    assert_true(text_to_int("65535", 1, 65535, &value));
    assert_false(text_to_int("65536", 1, 65535, &value));
    assert_false(text_to_int("0x50", 0, 100, &value));
    assert_false(text_to_int(" 5", 0, 100, &value));
    assert_false(text_to_int("5 ", 0, 100, &value));
    assert_false(text_to_int("99999999999999999999", 0, INT64_MAX, &value));
}

static void test_closest(void **state)
{
    static const char *const words[] = {"services", "defaults", "namespace", "web", "api"};

    (void)state;
    assert_string_equal(text_closest("servics", words, 5), "services");
    assert_string_equal(text_closest("defalts", words, 5), "defaults");
    assert_string_equal(text_closest("wbe", words, 5), "web");
    assert_null(text_closest("completely-else", words, 5));
    assert_null(text_closest("xyz", words, 5));
}

static void test_hostnames(void **state)
{
    char label[70];

    (void)state;
    assert_true(text_is_hostname("api.shop.local"));
    assert_true(text_is_hostname("_http._tcp.api"));
    assert_false(text_is_hostname(""));
    assert_false(text_is_hostname("a..b"));
    assert_false(text_is_hostname("-a.b"));
    assert_false(text_is_hostname("a-.b"));
    assert_false(text_is_hostname("a b"));
    assert_false(text_is_hostname("a."));
    memset(label, 'a', 64);
    label[64] = '\0';
    assert_false(text_is_hostname(label));
    label[63] = '\0';
    assert_true(text_is_hostname(label));
}

static void test_suffixes(void **state)
{
    (void)state;
    assert_true(text_has_domain_suffix("api.shop.local", "shop.local"));
    assert_true(text_has_domain_suffix("API.SHOP.LOCAL", ".shop.local"));
    assert_true(text_has_domain_suffix("shop.local", "shop.local"));
    assert_false(text_has_domain_suffix("evilshop.local", "shop.local"));
    assert_false(text_has_domain_suffix("local", "shop.local"));
}

static bool contains(const char *network, const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct cidr cidr;

    assert_true(cidr_parse(network, &cidr));
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return cidr_contains(&cidr, (const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return cidr_contains(&cidr, (const struct sockaddr *)&v6);
}

static void test_cidrs(void **state)
{
    struct cidr cidr;

    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.1.2"));
    assert_false(contains("10.0.0.0/8", "11.0.0.1"));
    assert_true(contains("172.16.0.0/12", "172.31.255.255"));
    assert_false(contains("172.16.0.0/12", "172.32.0.0"));
    assert_true(contains("0.0.0.0/0", "8.8.8.8"));
    assert_false(contains("0.0.0.0/0", "::1"));
    assert_true(contains("fc00::/7", "fd12::1"));
    assert_false(contains("fc00::/7", "fe80::1"));
    assert_true(contains("192.0.2.1", "192.0.2.1"));
    assert_false(contains("192.0.2.1", "192.0.2.2"));
    assert_false(cidr_parse("10.0.0.0/33", &cidr));
    assert_false(cidr_parse("10.0.0/8", &cidr));
    assert_false(cidr_parse("10.0.0.0/", &cidr));
    assert_false(cidr_parse("", &cidr));
}

static void test_address(void **state)
{
    static const struct {
        const char *endpoint, *address;
    } cases[] = {{"10.0.0.1:80", "10.0.0.1"},
                 {"10.0.0.1", "10.0.0.1"},
                 {"[fd00::1]:80", "fd00::1"},
                 {"[fd00::1]", "fd00::1"},
                 {"", ""},
                 {":80", ""},
                 {"[", ""},
                 {"1234567890123456:1", ""}};
    char out[16];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(text_address(out, sizeof(out), cases[i].endpoint), *cases[i].address != 0);
        assert_string_equal(out, cases[i].address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address),   cmocka_unit_test(test_durations),
        cmocka_unit_test(test_integers),  cmocka_unit_test(test_closest),
        cmocka_unit_test(test_hostnames), cmocka_unit_test(test_suffixes),
        cmocka_unit_test(test_cidrs),
    };
    return RUN_TESTS(tests);
}
