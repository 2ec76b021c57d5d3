/* What differs between two estates, in words; by whom; the commands that open a closed path; a line
 * of a flow log. */
#include "collector/cloud/changes.h"
#include "collector/cloud/concern.h"
#include "collector/cloud/inquiry.h"
#include "collector/cloud/lookup.h"
#include "collector/cloud/path_words.h"
#include "collector/cloud/remedy.h"
#include "tests/unit/collector/estate_fixture.h"

#define IN_WEB_API "\"id\":\"in-web-api\",\"from\":80,\"to\":80"

static struct arena arena;

static struct estate *swapped(const char *old, const char *new)
{
    const char *text = estate_fixture_text(&arena);
    const char *other = *old ? estate_fixture_swap(&arena, text, old, new) : text;

    if (!other)
        fail_msg("the estate has no '%s'", old);
    return estate_fixture_read(other);
}

/* All of them, a line each: "removed WHAT: THEN -> NOW". */
static const char *changes_between(const struct estate *then, const struct estate *now)
{
    struct changes *changes = changes_find(then, now);
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    for (size_t i = 0; i < changes->count; i++)
        buf_printf(&out, "%s%s %s: %s -> %s", i ? "\n" : "",
                   change_kind_name(changes->items[i].kind), changes->items[i].what,
                   changes->items[i].then, changes->items[i].now);
    changes_free(changes);
    return arena_strdup(&arena, buf_text(&out));
}

static void test_what_differs(void **state)
{
    static const struct {
        const char *old, *new, *expected;
    } cases[] = {
        {"", "", ""},
        {"{\"id\":\"in-web-api\",\"from\":80,\"to\":80,\"protocol\":\"tcp\",\"peer\":\"sg-web\"},",
         "",
         "removed security group sg-api (api), ingress rule in-web-api: tcp 80 from sg-web (web) "
         "-> "},
        {IN_WEB_API, "\"id\":\"in-web-api\",\"from\":80,\"to\":90",
         "changed security group sg-api (api), ingress rule in-web-api: tcp 80 from sg-web (web) "
         "-> tcp 80-90 from sg-web (web)"},
        {"\"subnets\":[\"subnet-b\"],\"entries\":[",
         "\"subnets\":[\"subnet-b\"],\"entries\":[{\"number\":90,\"action\":\"deny\","
         "\"protocol\":\"6\",\"from\":80,\"to\":80,\"block\":\"10.0.0.0/8\"},",
         "added network ACL acl-b, inbound entry 90:  -> deny tcp 80 from 10.0.0.0/8"},
        {"\"subnet\":\"subnet-a\"}],\"routes\":[",
         "\"subnet\":\"subnet-a\"}],\"routes\":[{\"block\":\"10.2.0.0/16\",\"interface\":\"eni-x\","
         "\"state\":\"blackhole\"},",
         "added route table rtb-a, route 10.2.0.0/16:  -> to eni-x (blackhole)"},
        {"\"has_dns_support\":true", "\"has_dns_support\":false",
         "changed VPC vpc-1, has_dns_support: true -> false"},
        {"\"name\":\"db\",\"status\":\"ACTIVE\",\"definition\":\"arn:td/db:1\",\"desired\":2",
         "\"name\":\"db\",\"status\":\"ACTIVE\",\"definition\":\"arn:td/db:1\",\"desired\":0",
         "changed service db, desired: 2 -> 0"},
        {"\"address\":\"10.3.0.1\",\"health\":\"HEALTHY\"",
         "\"address\":\"10.3.0.1\",\"health\":\"UNHEALTHY\"",
         "changed registry srv-db (db), instance i-db-1 health: HEALTHY -> UNHEALTHY"},
        {"\"port\":90,\"zone\":\"a\",\"state\":\"healthy\"",
         "\"port\":90,\"zone\":\"a\",\"state\":\"unhealthy\"",
         "changed target group tg-db (db), targets 10.3.0.1 90 state: healthy -> unhealthy"},
        {"\"groups\":[\"sg-web\"],\"addresses\":[\"10.1.0.1\"]",
         "\"groups\":[\"sg-db\"],\"addresses\":[\"10.1.0.1\"]",
         "changed interface eni-web-1, groups: sg-web -> sg-db"},
        {"{\"id\":\"rslvr-rr-1\"", "{\"id\":\"rslvr-rr-2\"",
         "removed resolver rule rslvr-rr-1 (office): there -> \n"
         "added resolver rule rslvr-rr-2 (office):  -> there"},
        /* Noise: events, counts, times; a task in another's place. */
        {"\"running\":2", "\"running\":1", ""},
        {"has-reached-a-steady-state", "registered a target", ""},
        {"\"started\":\"2026-01-01T00:00:00Z\"", "\"started\":\"2026-01-01T00:10:00Z\"", ""},
        {"\"arn\":\"arn:t/c/db1\"", "\"arn\":\"arn:t/c/db9\"", ""},
    };
    struct estate *then = swapped("", "");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct estate *now = swapped(cases[i].old, cases[i].new);
        assert_string_equal(changes_between(then, now), cases[i].expected);
        estate_free(now);
    }
    estate_free(then);
    arena_deinit(&arena);
}

/* A new revision: what is different in it. */
static void test_revisions(void **state)
{
    struct estate *then = swapped("", "");
    const char *text = estate_fixture_text(&arena);
    struct estate *now;

    (void)state;
    text = estate_fixture_swap(&arena, text, "\"arn\":\"arn:td/db:1\",\"family\":\"db\"",
                               "\"arn\":\"arn:td/db:2\",\"family\":\"db\"");
    text = estate_fixture_swap(&arena, text, "\"status\":\"ACTIVE\",\"definition\":\"arn:td/db:1\"",
                               "\"status\":\"ACTIVE\",\"definition\":\"arn:td/db:2\"");
    text = estate_fixture_swap(
        &arena, text,
        "\"revision\":1,\"containers\":[{\"name\":\"app\",\"ports\":[{\"port\":90}]}]",
        "\"revision\":2,\"containers\":[{\"name\":\"app\",\"image\":\"db:7\","
        "\"ports\":[{\"port\":91}]}]");
    assert_non_null(text);
    now = estate_fixture_read(text);
    assert_string_equal(changes_between(then, now),
                        "changed service db, definition: arn:td/db:1 -> arn:td/db:2\n"
                        "changed service db, containers app image:  -> db:7\n"
                        "removed service db, ports 90: port: 90 -> \n"
                        "added service db, ports 91:  -> port: 91");
    estate_free(then);
    estate_free(now);
    arena_deinit(&arena);
}

/* What was not read is not gone. */
static void test_what_was_not_read(void **state)
{
    struct estate *then = swapped("", "");
    struct estate *now = swapped(IN_WEB_API, "\"id\":\"in-web-api\",\"from\":81,\"to\":81");

    (void)state;
    estate_note_missing(now, "ec2:DescribeSecurityGroupRules", "", "UnauthorizedOperation", "",
                        true);
    assert_string_equal(changes_between(then, now), "");
    estate_free(now);
    now = estate_new();
    estate_note_missing(now, "ecs:DescribeServices", "", "timeout", "", false);
    assert_null(strstr(changes_between(then, now), "service"));
    estate_free(then);
    estate_free(now);
    arena_deinit(&arena);
}

static void add_event(struct estate *estate, const char *name, const char *of, const char *by,
                      const char *detail, int64_t at_ms)
{
    *(struct estate_trail_event *)estate_add(estate, ESTATE_TRAIL) = (struct estate_trail_event){
        .id = "", .name = name, .source = "", .by = by, .of = of, .detail = detail, .at_ms = at_ms};
}

static const char *who(const struct estate *then, const struct estate *now, int64_t since_ms)
{
    struct changes *changes = changes_find(then, now);
    const char *text;

    changes_attribute(changes, now, since_ms);
    assert_int_equal(changes->count, 1);
    text = arena_printf(&arena, "%s %s %lld", changes->items[0].by, changes->items[0].event,
                        (long long)changes->items[0].at_ms);
    changes_free(changes);
    return text;
}

static void test_by_whom(void **state)
{
    struct estate *then = swapped("", "");
    struct estate *now = swapped("{\"id\":\"in-web-api\",\"from\":80,\"to\":80,\"protocol\":"
                                 "\"tcp\",\"peer\":\"sg-web\"},",
                                 "");

    (void)state;
    assert_string_equal(who(then, now, 0), "  0");
    add_event(now, "AuthorizeSecurityGroupIngress", "sg-api", "bob", "in-web-api", 400);
    add_event(now, "RevokeSecurityGroupIngress", "sg-db", "bob", "in-web-api", 300);
    assert_string_equal(who(then, now, 0), "  0"); /* the other way; another group */
    add_event(now, "RevokeSecurityGroupIngress", "sg-api", "carol", "{}", 100);
    assert_string_equal(who(then, now, 0), "carol RevokeSecurityGroupIngress 100");
    assert_string_equal(who(then, now, 200), "  0"); /* before it was well */
    add_event(now, "RevokeSecurityGroupIngress", "sg-api", "alice",
              "{\"securityGroupRuleId\":\"in-web-api\"}", 90);
    assert_string_equal(who(then, now, 0), "alice RevokeSecurityGroupIngress 90"); /* names it */
    estate_free(then);
    estate_free(now);
    arena_deinit(&arena);
}

static void test_whom_it_concerns(void **state)
{
    struct estate *estate = swapped("", "");
    struct concern concern = {0};
    static const struct {
        const char *of;
        bool concerns;
    } cases[] = {{"sg-web", true},     {"sg-api", true},  {"sg-db", false},    {"acl-a", true},
                 {"rtb-b", true},      {"vpc-1", true},   {"web", true},       {"db", false},
                 {"srv-api2", true},   {"srv-db", false}, {"eni-web-2", true}, {"Z1", true},
                 {"rslvr-rr-1", true}, {"tg-db", false},  {"subnet-a", true}};

    (void)state;
    concern_add(&concern, estate, "web");
    concern_add(&concern, estate, "api");
    concern_add(&concern, estate, "nobody");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (concern_has(&concern, &(struct change){.of = cases[i].of}) != cases[i].concerns)
            fail_msg("%s", cases[i].of);
    concern_deinit(&concern);
    estate_free(estate);
    arena_deinit(&arena);
}

/* A subnet that got another ACL: both are of concern, and so is what changed in the new one. */
static void test_concern_of_two_estates(void **state)
{
    struct estate *then = swapped("", "");
    struct estate *now = swapped("{\"id\":\"acl-a\"", "{\"id\":\"acl-new\"");
    struct concern concern = {0};

    (void)state;
    concern_add(&concern, then, "web");
    assert_true(concern_has(&concern, &(struct change){.of = "acl-a"}));
    assert_false(concern_has(&concern, &(struct change){.of = "acl-new"}));
    concern_add(&concern, now, "web");
    assert_true(concern_has(&concern, &(struct change){.of = "acl-new"}));
    concern_deinit(&concern);
    estate_free(then);
    estate_free(now);
    arena_deinit(&arena);
}

/* ---- remedies ---- */

static const char *remedies_of(const struct estate *estate, const struct estate *good,
                               const char *const *addresses, size_t count)
{
    struct path_map *map = path_map_new(estate);
    struct remedies *remedies = remedies_new(estate, good);
    CLEANUP_BUF struct buf out = BUF_INIT(BUF_UNBOUNDED);

    for (size_t i = 0; i < count; i += 2) {
        struct path_flow flow;
        struct path path;
        assert_true(path_flow_of(map, PATH_TCP, addresses[i], addresses[i + 1], 80, &flow));
        path_walk(map, &flow, &path);
        remedies_add(remedies, &flow, &path);
        remedies_add(remedies, &flow, &path); /* each once */
    }
    for (size_t i = 0; i < remedies_count(remedies); i++) {
        buf_puts(&out, i ? "\n" : "");
        remedies_put(remedies, i, &out);
    }
    remedies_free(remedies);
    path_map_free(map);
    return arena_strdup(&arena, buf_text(&out));
}

#define DENY(number)                                                                          \
    "\"entries\":[{\"number\":" #number ",\"action\":\"deny\",\"protocol\":\"-1\",\"block\":" \
    "\"0.0.0.0/0\"},"

static void test_remedies(void **state)
{
    static const char *const near[] = {"10.1.0.1", "10.2.0.1"}, *const far[] = {"10.1.0.1",
                                                                                "10.2.0.2"};
    struct estate *good = swapped("", ""), *estate;

    (void)state;
    assert_string_equal(remedies_of(good, NULL, far, 2), "");
    estate = swapped(IN_WEB_API, "\"id\":\"in-web-api\",\"from\":81,\"to\":81");
    assert_string_equal(
        remedies_of(estate, NULL, near, 2),
        "aws ec2 authorize-security-group-ingress --group-id sg-api --ip-permissions "
        "'IpProtocol=tcp,FromPort=80,ToPort=80,UserIdGroupPairs=[{GroupId=sg-web}]'");
    estate_free(estate);
    estate = swapped("\"out-web\",\"protocol\":\"-1\"", "\"out-web\",\"protocol\":\"udp\"");
    assert_contains(remedies_of(estate, NULL, near, 2),
                    "authorize-security-group-egress --group-id sg-web --ip-permissions "
                    "'IpProtocol=tcp,FromPort=80,");
    estate_free(estate);
    /* All of its egress is gone: what it had, where that is known; else the least. */
    estate = swapped(
        "{\"id\":\"out-web\",\"protocol\":\"-1\",\"from\":-1,\"to\":-1,\"block\":"
        "\"0.0.0.0/0\",\"is_egress\":true}",
        "{\"id\":\"other\",\"protocol\":\"udp\",\"from\":1,\"to\":1,\"block\":\"0.0.0.0/0\"}");
    assert_string_equal(
        remedies_of(estate, good, near, 2),
        "aws ec2 authorize-security-group-egress --group-id sg-web --ip-permissions "
        "'IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}]'");
    assert_contains(remedies_of(estate, NULL, near, 2), "'IpProtocol=tcp,FromPort=80,ToPort=80,");
    estate_free(estate);
    /* Before the entry that denies, as far as it is needed; numbers that are free. */
    estate =
        swapped("\"subnets\":[\"subnet-b\"],\"entries\":[", "\"subnets\":[\"subnet-b\"]," DENY(90));
    assert_string_equal(
        remedies_of(estate, NULL, far, 2),
        "aws ec2 create-network-acl-entry --network-acl-id acl-b --rule-number 89 --protocol tcp "
        "--port-range From=80,To=80 --cidr-block 10.9.0.0/16 --rule-action allow --ingress");
    /* It is new: it goes. */
    assert_string_equal(remedies_of(estate, good, far, 2),
                        "aws ec2 delete-network-acl-entry --network-acl-id acl-b --rule-number 90 "
                        "--ingress");
    estate_free(estate);
    /* No number before the first. */
    estate =
        swapped("\"subnets\":[\"subnet-b\"],\"entries\":[", "\"subnets\":[\"subnet-b\"]," DENY(1));
    assert_contains(remedies_of(estate, NULL, far, 2), "delete-network-acl-entry");
    estate_free(estate);
    /* Nothing denies, and nothing allows: behind all that is there. */
    estate = swapped(
        "{\"number\":100,\"action\":\"allow\",\"protocol\":\"-1\",\"block\":\"0.0.0.0/0\"},",
        "{\"number\":100,\"action\":\"allow\",\"protocol\":\"6\",\"from\":1,\"to\":2,"
        "\"block\":\"0.0.0.0/0\"},");
    assert_contains(remedies_of(estate, NULL, far, 2),
                    "acl-b --rule-number 110 --protocol tcp --port-range From=80,To=80");
    assert_contains(remedies_of(estate, NULL, far, 2),
                    "acl-a --rule-number 110 --protocol tcp --port-range From=1024,To=65535");
    estate_free(estate);
    /* A route that was there; one that nobody knows. */
    estate = swapped(
        "\"routes\":[{\"block\":\"10.0.0.0/8\",\"gateway\":\"local\",\"state\":\"active\"}]",
        "\"routes\":[]");
    assert_contains(remedies_of(estate, NULL, far, 2),
                    "create-route --route-table-id rtb-a --destination-cidr-block 10.2.0.2/32 "
                    "--gateway-id <where it is to lead>");
    assert_contains(remedies_of(estate, good, far, 2),
                    "--destination-cidr-block 10.0.0.0/8 --gateway-id local");
    estate_free(estate);
    estate_free(good);
    arena_deinit(&arena);
}

/* ---- which instance ---- */

static const char *instance_of(const char *old, const char *new, const char *name,
                               const char *address)
{
    struct estate *estate = swapped(old, new);
    const char *id = lookup_instance(estate, name, address);
    const char *text = id ? arena_strdup(&arena, id) : "none";

    estate_free(estate);
    return text;
}

/* What is printed is pasted: it is the right one, or none. */
static void test_instances(void **state)
{
    static const char all[] = "{\"id\":\"i-db-2\",";

    (void)state;
    assert_string_equal(instance_of("", "", "db.t", "10.3.0.2"), "i-db-2");
    assert_string_equal(instance_of("", "", "db.t", "10.2.0.2"), "none"); /* of another name */
    assert_string_equal(instance_of("", "", "api2.t", "10.2.0.2"), "i-api2-2");
    assert_string_equal(instance_of("", "", "db.t", ""), "none"); /* each has an address */
    assert_string_equal(instance_of(all, "{\"id\":\"i-left\"},{\"id\":\"i-db-2\",", "db.t", ""),
                        "i-left");
    assert_string_equal(instance_of(all,
                                    "{\"id\":\"i-left\"},{\"id\":\"i-too\"},"
                                    "{\"id\":\"i-db-2\",",
                                    "db.t", ""),
                        "none"); /* which of the two? */
    assert_string_equal(instance_of("", "", "nobody.t", "10.3.0.2"), "none");
    assert_string_equal(instance_of("", "", "db.elsewhere", "10.3.0.2"), "none");
    arena_deinit(&arena);
}

/* ---- flow logs ---- */

static void test_flow_lines(void **state)
{
    static const char by_default[] =
        "2 123456789010 eni-1 10.1.0.1 10.2.0.1 40000 80 6 3 180 1418530010 1418530070 REJECT OK";
    struct estate_flow flow;

    (void)state;
    assert_true(inquiry_read_flow(&arena, "", by_default, &flow));
    assert_string_equal(flow.interface, "eni-1");
    assert_string_equal(flow.from, "10.1.0.1");
    assert_string_equal(flow.to, "10.2.0.1");
    assert_string_equal(flow.action, "REJECT");
    assert_int_equal(flow.from_port, 40000);
    assert_int_equal(flow.to_port, 80);
    assert_int_equal(flow.packets, 3);
    assert_int_equal(flow.begin_ms, INT64_C(1418530010000));
    assert_true(inquiry_read_flow(&arena, "${dstaddr} ${unknown-field} ${srcaddr}",
                                  " 10.2.0.1\tx 10.1.0.1 and more", &flow));
    assert_string_equal(flow.from, "10.1.0.1");
    assert_string_equal(flow.action, "");
    assert_false(inquiry_read_flow(&arena, "", "2 123456789010 eni-1 10.1.0.1 10.2.0.1", &flow));
    assert_false(inquiry_read_flow(
        &arena, "", "2 123456789010 eni-1 - - - - - - - 1431280876 1431280934 - NODATA", &flow));
    assert_false(inquiry_read_flow(&arena, "", "", &flow));
    assert_true(inquiry_read_flow(&arena, "${srcaddr} ${dstaddr} ${srcport}",
                                  "a b 99999999999999999999", &flow));
    assert_int_equal(flow.from_port, 0);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_differs),      cmocka_unit_test(test_revisions),
        cmocka_unit_test(test_what_was_not_read), cmocka_unit_test(test_by_whom),
        cmocka_unit_test(test_whom_it_concerns),  cmocka_unit_test(test_concern_of_two_estates),
        cmocka_unit_test(test_remedies),          cmocka_unit_test(test_flow_lines),
        cmocka_unit_test(test_instances),
    };

    return RUN_TESTS(tests);
}
