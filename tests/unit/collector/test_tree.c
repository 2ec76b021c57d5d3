/* Answers as trees: JSON and XML, recorded ones, and what is refused. */
#include "collector/cloud/estate.h"
#include "collector/cloud/tree.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (1 << 20)

static char text[TEXT_MAX];
static struct arena arena;
static struct error err;

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static const struct tree *xml(const char *document)
{
    return tree_parse_xml(&arena, document, strlen(document), &err);
}

static const struct tree *json(const char *document)
{
    return tree_parse_json(&arena, document, strlen(document), &err);
}

static void test_json(void **state)
{
    const struct tree *root =
        json("{\"a\":{\"b\":[\"x\",\"y\"],\"n\":1795173397.855,\"i\":42,\"t\":true,\"z\":null}}");

    (void)state;
    assert_string_equal(tree_text(tree_items(root, "a/b"), "", ""), "x");
    assert_string_equal(tree_text(tree_items(root, "a/b")->next, "", ""), "y");
    assert_int_equal(tree_int(root, "a/i", 0), 42);
    assert_true(tree_bool(root, "a/t"));
    assert_null(tree_get(root, "a/z"));
    assert_int_equal(tree_int(root, "a/b", -1), -1);
    assert_string_equal(tree_text(root, "no/such", "fallback"), "fallback");
    assert_null(tree_get(NULL, "a"));
}

static void test_xml(void **state)
{
    const struct tree *root = xml("<?xml version=\"1.0\"?>\n<R xmlns=\"urn:x\">\n  <set>\n"
                                  "    <item><id> a&amp;b &#x263a;</id></item>\n    <item/>\n"
                                  "  </set>\n  <empty></empty></R>");

    (void)state;
    assert_string_equal(root->name, "R");
    assert_string_equal(tree_text(root, "set/item/id", ""), " a&b \xe2\x98\xba");
    assert_string_equal(tree_text(root, "empty", "none"), "");
    assert_null(tree_items(root, "set")->next->first);
    assert_null(tree_items(root, "set")->next->next);
}

static void test_xml_that_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a>&nbsp;</a>",
        "<a>\xff</a>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
        "<!DOCTYPE a SYSTEM \"http://127.0.0.1/\"><a/>",
    };
    char deep[4 * 64 + 1] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_null(xml(bad[i]));
        assert_contains(err.text, "not the XML that was expected");
    }
    for (int i = 0; i < 64; i++)
        strcat(deep, "<a>");
    assert_null(xml(deep));
    assert_contains(err.text, "nested too deep");
}

static void test_json_that_is_refused(void **state)
{
    char deep[128];

    (void)state;
    assert_null(json(""));
    assert_null(json("{\"a\":"));
    assert_null(json("{} {}"));
    memset(deep, '[', sizeof(deep));
    deep[sizeof(deep) - 1] = '\0';
    assert_null(json(deep));
    assert_contains(err.text, "nested deeper");
}

/* ---- answers that an emulator really gave ---- */

static const struct tree *recorded(const char *name)
{
    char path[512];
    FILE *file;
    size_t length;
    const struct tree *root;

    snprintf(path, sizeof(path), TESTS_DIR "/unit/collector/cloud/recorded/%s", name);
    file = fopen(path, "re");
    assert_non_null(file);
    length = fread(text, 1, sizeof(text), file);
    fclose(file);
    root = strstr(name, ".xml") ? tree_parse_xml(&arena, text, length, &err)
                                : tree_parse_json(&arena, text, length, &err);
    if (!root)
        fail_msg("%s: %s", name, err.text);
    return root;
}

static const struct {
    const char *file, *items;
    enum estate_part part;
    size_t count;
} answers[] = {
    {"ecs.DescribeServices.json", "services", ESTATE_SERVICES, 5},
    {"ecs.DescribeTasks.json", "tasks", ESTATE_TASKS, 11},
    {"servicediscovery.ListNamespaces.json", "Namespaces", ESTATE_NAMESPACES, 1},
    {"servicediscovery.ListServices.json", "Services", ESTATE_REGISTRIES, 5},
    {"ec2.DescribeVpcs.xml", "vpcSet", ESTATE_VPCS, 1},
    {"ec2.DescribeSubnets.xml", "subnetSet", ESTATE_SUBNETS, 2},
    {"ec2.DescribeSecurityGroups.xml", "securityGroupInfo", ESTATE_GROUPS, 6},
    {"ec2.DescribeNetworkAcls.xml", "networkAclSet", ESTATE_ACLS, 2},
    {"ec2.DescribeRouteTables.xml", "routeTableSet", ESTATE_ROUTE_TABLES, 3},
    {"ec2.DescribeNetworkInterfaces.xml", "networkInterfaceSet", ESTATE_INTERFACES, 11},
    {"ec2.DescribeDhcpOptions.xml", "dhcpOptionsSet", ESTATE_DHCP, 1},
};

/* Read, written as our JSON, read back, written again: the same. */
static void test_recorded_answers(void **state)
{
    struct estate *first = estate_new(), *second = estate_new();

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        CLEANUP_BUF struct buf before = BUF_INIT(BUF_UNBOUNDED), after = BUF_INIT(BUF_UNBOUNDED);
        enum estate_part part = answers[i].part;
        print_message("%s\n", answers[i].file);
        record_read_list(&first->arena, estate_type(part), &first->parts[part],
                         tree_items(recorded(answers[i].file), answers[i].items), RECORD_VENDOR);
        assert_int_equal(estate_count(first, part), answers[i].count);
        estate_write_part(first, part, &before);
        assert_int_equal(estate_read_part(second, part, buf_text(&before), before.length, &err), 0);
        estate_write_part(second, part, &after);
        assert_string_equal(buf_text(&before), buf_text(&after));
    }
    estate_free(first);
    estate_free(second);
}

static void *read_first(struct estate *estate, enum estate_part part, const char *file,
                        const char *items)
{
    record_read_list(&estate->arena, estate_type(part), &estate->parts[part],
                     tree_items(recorded(file), items), RECORD_VENDOR);
    return estate->parts[part].items;
}

static void test_recorded_fields(void **state)
{
    struct estate *estate = estate_new();
    const struct estate_service *services =
        read_first(estate, ESTATE_SERVICES, "ecs.DescribeServices.json", "services");
    const struct estate_deployment *deployment = services[2].deployments.items;
    const struct estate_acl *acls =
        read_first(estate, ESTATE_ACLS, "ec2.DescribeNetworkAcls.xml", "networkAclSet");
    const struct estate_acl_entry *entry = acls[1].entries.items;
    const struct estate_interface *interfaces = read_first(
        estate, ESTATE_INTERFACES, "ec2.DescribeNetworkInterfaces.xml", "networkInterfaceSet");

    (void)state;
    assert_string_equal(services[2].name, "orders");
    assert_int_equal(deployment->failed, 3);
    assert_int_equal(deployment->created_ms, 1795173398097);
    assert_string_equal(deployment->state, "IN_PROGRESS");
    assert_string_equal(record_text(&services[0].subnets, 1), "subnet-bdb5d1be632032af9");
    assert_string_equal(entry->action, "deny");
    assert_int_equal(entry->from, 8081);
    assert_string_equal(entry->protocol, "6");
    assert_string_equal(record_text(&interfaces[0].addresses, 0), "10.20.1.11");
    assert_true(record_has_text(&interfaces[0].groups, "sg-bb454455a8061565e"));
    estate_free(estate);
}

static void test_missing(void **state)
{
    struct estate *estate = estate_new();
    const struct estate_missing *missing;

    (void)state;
    assert_true(estate_has(estate, "ecs:ListTasks"));
    estate_note_missing(estate, "ecs:ListTasks", "a", "no-answer", "x", false);
    estate_note_missing(estate, "ecs:ListTasks", "b", "no-answer", "x", false);
    assert_false(estate_has(estate, "ecs:ListTasks"));
    missing = estate->parts[ESTATE_MISSING].items;
    assert_int_equal(estate_count(estate, ESTATE_MISSING), 1);
    assert_int_equal(missing->count, 2);
    assert_int_equal(estate_read_part(estate, ESTATE_TASKS, "3", 1, &err), -EINVAL);
    estate_free(estate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_json, tear_down),
        cmocka_unit_test_teardown(test_xml, tear_down),
        cmocka_unit_test_teardown(test_xml_that_is_refused, tear_down),
        cmocka_unit_test_teardown(test_json_that_is_refused, tear_down),
        cmocka_unit_test_teardown(test_recorded_answers, tear_down),
        cmocka_unit_test_teardown(test_recorded_fields, tear_down),
        cmocka_unit_test_teardown(test_missing, tear_down),
    };

    return RUN_TESTS(tests);
}
