/* A fleet that is followed: what the file says, and what the clusters have. */
#include "collector/fleet_merge.h"
#include "tests/unit/collector/fixture.h"

#include <errno.h>

static const char written[] = "fleet: shop\n"
                              "source: ecs\n"
                              "clusters: [local, batch]\n"
                              "region: eu-west-1\n"
                              "defaults: { timeout: 3s }\n"
                              "services:\n"
                              "  api: { path: /status }\n"
                              "  grpc: { check: grpc }\n"
                              "  web:\n"
                              "  rds: { check: mysql, port: 3306, agents: none, names: [db.x] }\n"
                              "expect:\n"
                              "  deny: [ \"web -> rds\", \"gone -> rds\" ]\n";

static const char found[] = "fleet: ignored\n"
                            "services:\n"
                            "  api:  # local/api\n"
                            "    names: [api.shop.local]\n"
                            "    check: http\n"
                            "    port: 8080\n"
                            "    path: /health\n"
                            "  grpc:\n"
                            "    names: [grpc.shop.local]\n"
                            "    check: http\n"
                            "    port: 50051\n"
                            "    path: /\n"
                            "  web:\n"
                            "    names: [web.shop.local]\n"
                            "    record: SRV\n"
                            "    check: tcp\n";

static struct fleet *merged(const char *ours, const char *theirs, struct fleet_messages *messages)
{
    CLEANUP_BUF struct buf json = BUF_INIT(FLEET_BYTES_MAX);
    struct error err;

    assert_int_equal(fleet_merge(ours, strlen(ours), theirs, strlen(theirs), &json, &err), 0);
    return fleet_parse("merged", buf_text(&json), json.length, messages);
}

static void test_merged(void **state)
{
    struct fleet_messages messages = {0};
    struct fleet *fleet = merged(written, found, &messages);
    const struct fleet_check *api, *grpc;

    (void)state;
    if (!fleet)
        fail_msg("%s", buf_text(&messages.text));
    assert_string_equal(fleet->name, "shop");
    assert_true(fleet->is_followed);
    assert_int_equal(fleet->cluster_count, 2);
    assert_int_equal(fleet->service_count, 4);
    api = &fleet->services[fleet_find_service(fleet, "api")].checks[0];
    assert_string_equal(api->path, "/status"); /* the written one */
    assert_int_equal(api->port, 8080);         /* the found one */
    assert_int_equal(api->timeout_ms, 3000);   /* the default */
    grpc = &fleet->services[fleet_find_service(fleet, "grpc")].checks[0];
    assert_string_equal(grpc->type, "grpc");
    assert_int_equal(grpc->port, 50051);
    assert_string_equal(fleet->services[fleet_find_service(fleet, "web")].record, "SRV");
    assert_int_equal(fleet_expected(fleet, fleet_find_service(fleet, "web"),
                                    fleet_find_column(fleet, "rds", NULL)),
                     EXPECT_DENY);
    /* A service that is not there, today: said, and no reason to stop. */
    assert_contains(buf_text(&messages.text), "warning: no service 'gone' is defined");
    fleet_unref(fleet);
    fleet_messages_deinit(&messages);
}

/* Before the clusters are read: what the file has by itself, without what only they can complete.
 */
static void test_written_alone(void **state)
{
    struct fleet_messages messages = {0};
    struct fleet *fleet = fleet_parse("file", written, sizeof(written) - 1, &messages);

    (void)state;
    assert_non_null(fleet);
    assert_int_equal(fleet->column_count, 1); /* rds */
    fleet_unref(fleet);
    fleet_messages_deinit(&messages);
    fleet = fixture_fleet("source: ecs\n");
    assert_int_equal(fleet->service_count, 0);
    assert_string_equal(fleet->clusters[0], "default");
    fleet_unref(fleet);
}

static void refuse(const char *text, const char *message)
{
    struct fleet_messages messages = {0};

    assert_null(fleet_parse("file", text, strlen(text), &messages));
    assert_contains(buf_text(&messages.text), message);
    fleet_messages_deinit(&messages);
}

static void test_refused(void **state)
{
    struct error err;
    CLEANUP_BUF struct buf out = BUF_INIT(1000);

    (void)state;
    refuse("source: esc\n", "file:1:9: error: source is 'esc'");
    refuse("source: ecs\nclusters: local\n", "clusters: expected a list of 1 to 16 ECS clusters");
    refuse("source: ecs\nregion: EU West\n", "region is 'EU West'; expected one such as eu-west-1");
    refuse("source: file\n", "a fleet needs at least one, or 'source: ecs'");
    assert_int_equal(fleet_merge("[", 1, "a: b", 4, &out, &err), -EINVAL);
    assert_int_equal(fleet_merge("a: b", 4, "- c", 3, &out, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_written_alone),
        cmocka_unit_test(test_refused),
    };

    return RUN_TESTS(tests);
}
