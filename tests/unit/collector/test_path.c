/* What the rules do to a connection, case by case. */
#include "collector/cloud/path.h"
#include "tests/unit/test.h"

#include <stdio.h>

/* ---- by hand ---- */

/* Two subnets of one VPC, each with an ACL and interfaces; a second VPC, peered. */
#define OPEN_ENTRIES                                                                     \
    "{\"number\":100,\"action\":\"allow\",\"protocol\":\"-1\",\"block\":\"0.0.0.0/0\"}," \
    "{\"number\":100,\"is_egress\":true,\"action\":\"allow\",\"protocol\":\"-1\","       \
    "\"block\":\"0.0.0.0/0\"},"                                                          \
    "{\"number\":110,\"action\":\"allow\",\"protocol\":\"-1\",\"block6\":\"::/0\"},"     \
    "{\"number\":110,\"is_egress\":true,\"action\":\"allow\",\"protocol\":\"-1\","       \
    "\"block6\":\"::/0\"}"
#define LOCAL_ROUTE                                                          \
    "{\"block\":\"10.0.0.0/16\",\"gateway\":\"local\",\"state\":\"active\"," \
    "\"origin\":\"CreateRouteTable\"},"                                      \
    "{\"block6\":\"fd00::/56\",\"gateway\":\"local\",\"state\":\"active\","  \
    "\"origin\":\"CreateRouteTable\"}"

struct plan { /* what differs from an estate in which web reaches db on 5432 */
    const char *web_rules, *db_rules;  /* of sg-web, sg-db */
    const char *a_entries, *b_entries; /* of the two subnets' ACLs */
    const char *routes;                /* of the main table */
    const char *missing;               /* a call */
    const char *lists;                 /* prefix lists */
};

static const char egress_all[] = "{\"id\":\"sgr-out\",\"is_egress\":true,\"protocol\":\"-1\","
                                 "\"from\":-1,\"to\":-1,\"block\":\"0.0.0.0/0\"}";
static const char from_web[] = "{\"id\":\"sgr-in\",\"protocol\":\"tcp\",\"from\":5432,\"to\":5432,"
                               "\"peer\":\"sg-web\"}";

static void read_part(struct estate *estate, enum estate_part part, const char *json)
{
    struct error err = {""};

    if (estate_read_part(estate, part, json, strlen(json), &err) < 0)
        fail_msg("%s in %s", err.text, json);
}

static const char * or (const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

static struct estate *make(const struct plan *plan)
{
    struct estate *estate = estate_new();
    char text[8192];

    if (plan->missing)
        estate_note_missing(estate, plan->missing, "", "UnauthorizedOperation", "", true);
    read_part(estate, ESTATE_SUBNETS,
              "[{\"id\":\"subnet-a\",\"vpc\":\"vpc-1\",\"zone\":\"a\",\"block\":\"10.0.1.0/24\","
              "\"block6\":\"fd00:0:0:1::/64\"},"
              "{\"id\":\"subnet-b\",\"vpc\":\"vpc-1\",\"zone\":\"b\",\"block\":\"10.0.2.0/24\","
              "\"block6\":\"fd00:0:0:2::/64\"},"
              "{\"id\":\"subnet-c\",\"vpc\":\"vpc-2\",\"zone\":\"a\",\"block\":\"10.9.1.0/24\"}]");
    read_part(estate, ESTATE_INTERFACES,
              "[{\"id\":\"eni-web\",\"subnet\":\"subnet-a\",\"vpc\":\"vpc-1\",\"groups\":"
              "[\"sg-web\"],\"addresses\":[\"10.0.1.10\"],\"addresses6\":[\"fd00:0:0:1::10\"]},"
              "{\"id\":\"eni-db\",\"subnet\":\"subnet-b\",\"vpc\":\"vpc-1\",\"groups\":"
              "[\"sg-db\"],\"addresses\":[\"10.0.2.20\"],\"addresses6\":[\"fd00:0:0:2::20\"]},"
              "{\"id\":\"eni-near\",\"subnet\":\"subnet-a\",\"vpc\":\"vpc-1\",\"groups\":"
              "[\"sg-db\"],\"addresses\":[\"10.0.1.20\"]},"
              "{\"id\":\"eni-far\",\"subnet\":\"subnet-c\",\"vpc\":\"vpc-2\",\"groups\":"
              "[\"sg-far\"],\"addresses\":[\"10.9.1.30\"]}]");
    snprintf(text, sizeof(text),
             "[{\"id\":\"sg-web\",\"vpc\":\"vpc-1\",\"rules\":[%s]},"
             "{\"id\":\"sg-db\",\"vpc\":\"vpc-1\",\"rules\":[%s]},"
             "{\"id\":\"sg-far\",\"vpc\":\"vpc-2\",\"rules\":[{\"id\":\"sgr-far\",\"protocol\":"
             "\"tcp\",\"from\":1,\"to\":65535,\"peer\":\"sg-web\",\"peer_vpc\":\"vpc-1\","
             "\"peering\":\"active\"}]}]",
             or (plan->web_rules, egress_all), or (plan->db_rules, from_web));
    read_part(estate, ESTATE_GROUPS, text);
    snprintf(text, sizeof(text),
             "[{\"id\":\"acl-a\",\"vpc\":\"vpc-1\",\"subnets\":[\"subnet-a\"],\"entries\":[%s]},"
             "{\"id\":\"acl-1\",\"vpc\":\"vpc-1\",\"is_default\":true,\"subnets\":[],"
             "\"entries\":[%s]},"
             "{\"id\":\"acl-2\",\"vpc\":\"vpc-2\",\"is_default\":true,\"subnets\":[],"
             "\"entries\":[" OPEN_ENTRIES "]}]",
             or (plan->a_entries, OPEN_ENTRIES), or (plan->b_entries, OPEN_ENTRIES));
    read_part(estate, ESTATE_ACLS, text);
    snprintf(text, sizeof(text),
             "[{\"id\":\"rtb-1\",\"vpc\":\"vpc-1\",\"associations\":[{\"is_main\":true}],"
             "\"routes\":[%s]},"
             "{\"id\":\"rtb-2\",\"vpc\":\"vpc-2\",\"associations\":[{\"is_main\":true}],"
             "\"routes\":[{\"block\":\"10.9.0.0/16\",\"gateway\":\"local\",\"state\":\"active\"},"
             "{\"block\":\"10.0.0.0/16\",\"peering\":\"pcx-1\",\"state\":\"active\"}]}]",
             or (plan->routes, LOCAL_ROUTE));
    read_part(estate, ESTATE_ROUTE_TABLES, text);
    read_part(estate, ESTATE_PREFIX_LISTS, or (plan->lists, "[]"));
    return estate;
}

/* "allowed", or the step that is not, its verdict and what decided: "group-in denied sg-db". */
static const char *ask(const struct plan *plan, const char *from, const char *to, int port)
{
    static char text[256];
    struct estate *estate = make(plan);
    struct path_map *map = path_map_new(estate);
    struct path_flow flow;
    struct path path;

    assert_true(path_flow_of(map, PATH_TCP, from, to, port, &flow));
    path_walk(map, &flow, &path);
    snprintf(text, sizeof(text), "%s", path_verdict_name(path.verdict));
    for (int i = 0; i < PATH_KIND_COUNT && path.verdict != PATH_ALLOWED; i++) {
        const struct path_step *step = &path.steps[i];
        if (step->verdict != path.verdict)
            continue;
        snprintf(text, sizeof(text), "%s %s %s", path_kind_name((enum path_kind)i),
                 path_verdict_name(step->verdict), step->of);
        if (step->entry)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " %lld",
                     (long long)step->entry->number);
        if (step->route)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s", step->route->block);
        break;
    }
    path_map_free(map);
    estate_free(estate);
    return text;
}

#define WEB  "10.0.1.10"
#define DB   "10.0.2.20"
#define NEAR "10.0.1.20"
#define FAR  "10.9.1.30"

#define RULE_IN(what) "{\"id\":\"sgr-in\",\"protocol\":\"tcp\"," what "}"
#define ENTRY(number, what, action) \
    "{\"number\":" #number ",\"action\":\"" action "\"," what "}," OPEN_ENTRIES

static void test_groups(void **state)
{
    static const struct {
        const char *web, *db, *expected;
    } cases[] = {
        {NULL, NULL, "allowed"},
        {"", NULL, "group-out denied sg-web"},
        {NULL, "", "group-in denied sg-db"},
        {NULL, RULE_IN("\"from\":5433,\"to\":5433,\"peer\":\"sg-web\""), "group-in denied sg-db"},
        {NULL, RULE_IN("\"from\":5000,\"to\":6000,\"peer\":\"sg-web\""), "allowed"},
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"peer\":\"sg-db\""), "group-in denied sg-db"},
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"block\":\"10.0.1.0/24\""), "allowed"},
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"block\":\"10.0.1.11/32\""),
         "group-in denied sg-db"},
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"block6\":\"::/0\""), "group-in denied sg-db"},
        {NULL, "{\"id\":\"x\",\"protocol\":\"-1\",\"from\":-1,\"to\":-1,\"peer\":\"sg-web\"}",
         "allowed"},
        {NULL, "{\"id\":\"x\",\"protocol\":\"udp\",\"from\":5432,\"to\":5432,\"peer\":\"sg-web\"}",
         "group-in denied sg-db"},
        {NULL, "{\"id\":\"x\",\"protocol\":\"6\",\"from\":5432,\"to\":5432,\"peer\":\"sg-web\"}",
         "allowed"},
        /* A group of a VPC whose peering is over. */
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"peer\":\"sg-web\",\"peering\":\"deleted\""),
         "group-in denied sg-db"},
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"prefix_list\":\"pl-1\""), "allowed"},
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"prefix_list\":\"pl-2\""),
         "group-in unknown sg-db"}, /* its entries were not read */
        {NULL, RULE_IN("\"from\":5432,\"to\":5432,\"prefix_list\":\"pl-3\""),
         "group-in unknown sg-db"}, /* nor this list */
        {"{\"id\":\"x\",\"is_egress\":true,\"protocol\":\"tcp\",\"from\":5432,\"to\":5432,"
         "\"peer\":\"sg-db\"}",
         NULL, "allowed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct plan plan = {.web_rules = cases[i].web,
                            .db_rules = cases[i].db,
                            .lists = "[{\"id\":\"pl-1\",\"blocks\":[\"10.0.1.0/28\"],"
                                     "\"is_read\":true},{\"id\":\"pl-2\"}]"};
        assert_string_equal(ask(&plan, WEB, DB, 5432), cases[i].expected);
    }
}

static void test_acls(void **state)
{
    static const struct {
        const char *a, *b, *expected;
    } cases[] = {
        {"", NULL, "acl-out denied acl-a"}, /* no entry: the last one denies */
        {NULL, "", "acl-in denied acl-1"},
        {NULL,
         ENTRY(90, "\"protocol\":\"6\",\"from\":5432,\"to\":5432,\"block\":\"10.0.1.0/24\"",
               "deny"),
         "acl-in denied acl-1 90"},
        {NULL,
         ENTRY(101, "\"protocol\":\"6\",\"from\":5432,\"to\":5432,\"block\":\"10.0.1.0/24\"",
               "deny"),
         "allowed"}, /* too late */
        {NULL,
         ENTRY(90, "\"protocol\":\"17\",\"from\":5432,\"to\":5432,\"block\":\"0.0.0.0/0\"", "deny"),
         "allowed"},
        {NULL,
         ENTRY(90, "\"protocol\":\"6\",\"from\":5432,\"to\":5432,\"block\":\"10.0.3.0/24\"",
               "deny"),
         "allowed"},
        /* The way back. */
        {NULL,
         ENTRY(90,
               "\"is_egress\":true,\"protocol\":\"6\",\"from\":1024,\"to\":65535,"
               "\"block\":\"10.0.1.0/24\"",
               "deny"),
         "back-acl-out denied acl-1 90"},
        {ENTRY(90, "\"protocol\":\"6\",\"from\":32768,\"to\":60999,\"block\":\"10.0.2.0/24\"",
               "deny"),
         NULL, "back-acl-in denied acl-a 90"},
        {ENTRY(90, "\"protocol\":\"6\",\"from\":49152,\"to\":65535,\"block\":\"10.0.2.0/24\"",
               "deny"),
         NULL, "back-acl-in partly acl-a 90"},
        /* Each lets some ports through, and none both. */
        {ENTRY(90, "\"protocol\":\"6\",\"from\":40000,\"to\":65535,\"block\":\"10.0.2.0/24\"",
               "deny"),
         ENTRY(90,
               "\"is_egress\":true,\"protocol\":\"6\",\"from\":1024,\"to\":39999,"
               "\"block\":\"10.0.1.0/24\"",
               "deny"),
         "back-acl-in denied acl-a 90"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct plan plan = {.a_entries = cases[i].a, .b_entries = cases[i].b};
        assert_string_equal(ask(&plan, WEB, DB, 5432), cases[i].expected);
        /* Within a subnet no ACL looks. */
        assert_string_equal(ask(&plan, WEB, NEAR, 5432), "allowed");
    }
}

static void test_routes(void **state)
{
    static const struct {
        const char *routes, *to, *expected;
    } cases[] = {
        {"", DB, "route denied rtb-1"},
        {"{\"block\":\"10.0.2.0/24\",\"interface\":\"eni-x\",\"state\":\"blackhole\"}," LOCAL_ROUTE,
         DB, "route denied rtb-1 10.0.2.0/24"},
        {"{\"block\":\"10.0.2.0/24\",\"interface\":\"eni-x\",\"state\":\"active\"}," LOCAL_ROUTE,
         DB, "route unknown rtb-1 10.0.2.0/24"}, /* a middlebox decides */
        {LOCAL_ROUTE, FAR, "route denied rtb-1"},
        {"{\"block\":\"10.9.0.0/16\",\"peering\":\"pcx-1\",\"state\":\"active\"}," LOCAL_ROUTE, FAR,
         "allowed"},
        {"{\"block\":\"10.9.0.0/16\",\"peering\":\"pcx-1\",\"state\":\"blackhole\"}," LOCAL_ROUTE,
         FAR, "route denied rtb-1 10.9.0.0/16"},
        {"{\"block\":\"10.9.0.0/16\",\"transit\":\"tgw-1\",\"state\":\"active\"}," LOCAL_ROUTE, FAR,
         "route unknown rtb-1 10.9.0.0/16"},
        {"{\"block\":\"0.0.0.0/0\",\"nat\":\"nat-1\",\"state\":\"active\"},"
         "{\"block\":\"10.9.0.0/16\",\"peering\":\"pcx-1\",\"state\":\"active\"}," LOCAL_ROUTE,
         FAR, "allowed"},
        {"{\"block\":\"0.0.0.0/0\",\"nat\":\"nat-1\",\"state\":\"active\"}," LOCAL_ROUTE, FAR,
         "route unknown rtb-1 0.0.0.0/0"},
        /* Equally long: the static one before the prefix list's. */
        {"{\"prefix_list\":\"pl-9\",\"gateway\":\"vgw-1\",\"state\":\"active\"},"
         "{\"block\":\"10.9.0.0/16\",\"peering\":\"pcx-1\",\"state\":\"active\"}," LOCAL_ROUTE,
         FAR, "allowed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct plan plan = {.routes = cases[i].routes,
                            .lists = "[{\"id\":\"pl-9\",\"blocks\":[\"10.9.0.0/16\"],"
                                     "\"is_read\":true}]"};
        assert_string_equal(ask(&plan, WEB, cases[i].to, 5432), cases[i].expected);
    }
}

static void test_what_is_not_known(void **state)
{
    struct plan plan = {0};

    (void)state;
    plan.missing = "ec2:DescribeSecurityGroupRules";
    assert_string_equal(ask(&plan, WEB, DB, 5432), "group-out unknown sg-web");
    plan.missing = "ec2:DescribeNetworkAcls";
    assert_string_equal(ask(&plan, WEB, DB, 5432), "acl-out unknown ");
    plan.missing = "ec2:DescribeRouteTables";
    assert_string_equal(ask(&plan, WEB, DB, 5432), "route unknown ");
    plan.missing = NULL; /* nobody has that address: its groups are not known */
    assert_string_equal(ask(&plan, WEB, "10.0.2.99", 5432), "group-in unknown ");
    assert_string_equal(ask(&plan, WEB, WEB, 5432), "allowed"); /* within the task */
}

/* VPCs may overlap: an address that two interfaces have is nobody's, but seen from its own VPC. */
static void test_twice(void **state)
{
    struct plan plan = {0};
    struct estate *estate = make(&plan);
    struct estate_interface *interfaces = estate->parts[ESTATE_INTERFACES].items;
    struct path_map *map;
    struct path_flow flow;

    (void)state;
    record_add_text(&estate->arena, &interfaces[3].addresses, DB); /* the far one's, too */
    map = path_map_new(estate);
    assert_true(path_flow_of(map, PATH_TCP, WEB, DB, 5432, &flow));
    assert_string_equal(path_interface(flow.target)->id, "eni-db");
    assert_true(path_flow_of(map, PATH_TCP, FAR, DB, 5432, &flow));
    assert_string_equal(path_interface(flow.target)->id, "eni-far");
    assert_false(path_flow_of(map, PATH_TCP, DB, WEB, 5432, &flow));
    path_map_free(map);
    estate_free(estate);
}

static void test_icmp_and_ipv6(void **state)
{
    struct plan plan = {.db_rules = "{\"id\":\"x\",\"protocol\":\"icmpv6\",\"from\":128,\"to\":-1,"
                                    "\"block6\":\"fd00:0:0:1::/64\"}",
                        .web_rules = "{\"id\":\"y\",\"is_egress\":true,\"protocol\":\"58\","
                                     "\"from\":-1,\"to\":-1,\"block6\":\"::/0\"}",
                        .a_entries = ENTRY(90,
                                           "\"protocol\":\"58\",\"icmp_type\":129,"
                                           "\"icmp_code\":-1,\"block6\":\"::/0\"",
                                           "deny")};
    struct estate *estate = make(&plan);
    struct path_map *map = path_map_new(estate);
    struct path_flow flow;
    struct path path;

    (void)state;
    assert_true(path_flow_of(map, PATH_TCP, "fd00:0:0:1::10", "fd00:0:0:2::20", 5432, &flow));
    path_walk(map, &flow, &path);
    assert_int_equal(path.steps[PATH_GROUP_OUT].verdict, PATH_DENIED); /* ICMP only */
    flow.protocol = PATH_ICMP6;
    flow.port = 128;
    path_walk(map, &flow, &path);
    assert_int_equal(path.steps[PATH_GROUP_OUT].verdict, PATH_ALLOWED);
    assert_int_equal(path.steps[PATH_GROUP_IN].verdict, PATH_ALLOWED);
    assert_int_equal(path.steps[PATH_ACL_OUT].verdict, PATH_ALLOWED);
    assert_int_equal(path.steps[PATH_BACK_ACL_IN].verdict, PATH_DENIED); /* the echo reply */
    flow.port = 127;
    path_walk(map, &flow, &path);
    assert_int_equal(path.steps[PATH_GROUP_IN].verdict, PATH_DENIED);
    path_map_free(map);
    estate_free(estate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),        cmocka_unit_test(test_acls),
        cmocka_unit_test(test_routes),        cmocka_unit_test(test_what_is_not_known),
        cmocka_unit_test(test_icmp_and_ipv6), cmocka_unit_test(test_twice),
    };

    return RUN_TESTS(tests);
}
