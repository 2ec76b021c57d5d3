#include "agent/dnsmsg.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct dns_record records[DNSMSG_ANSWERS_MAX];
static char names[DNSMSG_CHAIN_MAX][DNSMSG_NAME_MAX];
static struct dns_answer answer = {.records = records, .chain = names};

/* api.x IN A, with a CNAME on the way, two addresses, and pointers. */
static const uint8_t chain[] = "\x12\x34\x81\x80\0\1\0\3\0\0\0\0"
                               "\3api\1x\0\0\1\0\1"
                               "\xc0\x0c\0\5\0\1\0\0\0\x1e\0\4\1b\xc0\x10"
                               "\1b\xc0\x10\0\1\0\1\0\0\0\x0a\0\4\x0a\0\0\1"
                               "\1b\xc0\x10\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\2";

static void test_chain(void **state)
{
    (void)state;
    assert_int_equal(dnsmsg_parse(chain, sizeof(chain) - 1, DNS_A, &answer), 0);
    assert_int_equal(answer.rcode, 0);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.ttl_s, 10);
    assert_int_equal(answer.chain_count, 1);
    assert_string_equal(answer.chain[0], "b.x");
    assert_memory_equal(answer.records[1].address, "\x0a\0\0\2", 4);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof(chain) - 1; length++)
        assert_int_equal(dnsmsg_parse(chain, length, DNS_A, &answer), -EINVAL);
}

static void test_srv(void **state)
{
    static const uint8_t srv[] = "\0\1\x81\x80\0\1\0\1\0\0\0\0"
                                 "\3api\1x\0\0\x21\0\1"
                                 "\xc0\x0c\0\x21\0\1\0\0\0\5\0\x0d\0\1\0\2\x1f\x90\4task\xc0\x0c";

    (void)state;
    assert_int_equal(dnsmsg_parse(srv, sizeof(srv) - 1, DNS_SRV, &answer), 0);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.records[0].priority, 1);
    assert_int_equal(answer.records[0].weight, 2);
    assert_int_equal(answer.records[0].port, 8080);
    assert_string_equal(answer.records[0].name, "task.api.x");
}

/* How long "no" may be kept: the lesser of the SOA's TTL and its minimum. */
static void test_negative_ttl(void **state)
{
    static const uint8_t no[] = "\0\1\x81\x83\0\1\0\0\0\1\0\0\1x\0\0\1\0\1"
                                "\0\0\6\0\1\0\0\3\x84\0\x16\0\0"
                                "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\1\x2c";

    (void)state;
    assert_int_equal(dnsmsg_parse(no, sizeof(no) - 1, DNS_A, &answer), 0);
    assert_int_equal(answer.rcode, 3);
    assert_int_equal(answer.negative_ttl_s, 300);
    assert_int_equal(dnsmsg_parse(no, sizeof(no) - 2, DNS_A, &answer), -EINVAL);
    assert_int_equal(dnsmsg_parse(chain, sizeof(chain) - 1, DNS_A, &answer), 0);
    assert_int_equal(answer.negative_ttl_s, -1);
}

static void test_rcodes(void **state)
{
    static const uint8_t nxdomain[] = "\0\1\x81\x83\0\1\0\0\0\0\0\0\1x\0\0\1\0\1";
    static const uint8_t truncated[] = "\0\1\x83\x80\0\0\0\0\0\0\0\0";

    (void)state;
    assert_int_equal(dnsmsg_parse(nxdomain, sizeof(nxdomain) - 1, DNS_A, &answer), 0);
    assert_int_equal(answer.rcode, 3);
    assert_int_equal(answer.count, 0);
    assert_int_equal(dnsmsg_parse(truncated, sizeof(truncated) - 1, DNS_A, &answer), 0);
    assert_true(answer.is_truncated);
}

static void test_hostile_names(void **state)
{
    static const uint8_t loop[] = "\0\1\x81\x80\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1";
    static const uint8_t dotted[] = "\0\1\x81\x80\0\0\0\1\0\0\0\0"
                                    "\1x\0\0\x21\0\1\0\0\0\5\0\x0c\0\0\0\0\0\1\4"
                                    "a.\x1b"
                                    "b\0";

    (void)state;
    assert_int_equal(dnsmsg_parse(loop, sizeof(loop) - 1, DNS_A, &answer), -EINVAL);
    assert_int_equal(dnsmsg_parse(dotted, sizeof(dotted) - 1, DNS_SRV, &answer), 0);
    assert_string_equal(answer.records[0].name, "a??b"); /* no second label, no escape sequence */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),  cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_srv),    cmocka_unit_test(test_negative_ttl),
        cmocka_unit_test(test_rcodes), cmocka_unit_test(test_hostile_names),
    };
    return RUN_TESTS(tests);
}
