/* What ECS and CodeDeploy answer about a deployment, and what it is taken for. */
#include "collector/gate/deployment_read.h"
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>

#define BEGAN 1795173398097 /* ms */

static struct arena arena;

static const struct tree *parse(const char *json)
{
    struct error err = {""};
    const struct tree *root = tree_parse_json(&arena, json, strlen(json), &err);

    if (!root)
        fail_msg("%s", err.text);
    return root;
}

static void test_service(void **state)
{
    struct deployment deployment = {0};

    (void)state;
    assert_false(deployment_read_service(parse("{\"services\":[]}"), &deployment));
    assert_false(deployment_read_service(
        parse("{\"services\":[{\"serviceName\":\"web\",\"status\":\"INACTIVE\"}]}"), &deployment));
    assert_false(deployment.is_known);
    assert_true(deployment_read_service(
        parse(
            "{\"services\":[{\"serviceName\":\"web\",\"status\":\"ACTIVE\",\"deployments\":["
            "{\"status\":\"PRIMARY\",\"taskDefinition\":\"arn:aws:ecs:r:1:task-definition/web:8\","
            "\"desiredCount\":3,\"runningCount\":1,\"createdAt\":1795173398.097,"
            "\"rolloutState\":\"IN_PROGRESS\"},{\"status\":\"ACTIVE\",\"taskDefinition\":"
            "\"arn:aws:ecs:r:1:task-definition/web:7\"}]}]}"),
        &deployment));
    assert_string_equal(deployment.definition, "web:8");
    assert_string_equal(deployment.former, "web:7");
    assert_int_equal(deployment.desired, 3);
    assert_int_equal(deployment.running, 1);
    assert_int_equal(deployment.created_ms, BEGAN);
    assert_int_equal(deployment.phase, DEPLOYMENT_RUNNING);
}

/* Blue and green: the newer one is to be judged, in whatever order they stand. */
static void test_task_sets(void **state)
{
    struct deployment deployment = {0};

    (void)state;
    deployment_read_service(
        parse("{\"services\":[{\"status\":\"ACTIVE\",\"desiredCount\":2,\"taskSets\":["
              "{\"taskDefinition\":\"web:8\",\"computedDesiredCount\":4,\"runningCount\":2,"
              "\"createdAt\":200},{\"taskDefinition\":\"web:7\",\"createdAt\":100}]}]}"),
        &deployment);
    assert_string_equal(deployment.definition, "web:8");
    assert_string_equal(deployment.former, "web:7");
    assert_int_equal(deployment.desired, 4);
    assert_int_equal(deployment.created_ms, 200000);
}

static void test_newest(void **state)
{
    const struct tree *root =
        parse("{\"serviceDeployments\":[{\"serviceDeploymentArn\":\"a\",\"createdAt\":1},"
              "{\"serviceDeploymentArn\":\"c\",\"createdAt\":3},{\"serviceDeploymentArn\":\"b\","
              "\"createdAt\":2}]}");

    (void)state;
    assert_string_equal(deployment_newest(root, 0), "c");
    assert_string_equal(deployment_newest(root, 3000), "c");
    assert_string_equal(deployment_newest(root, 3001), "");
    assert_string_equal(deployment_newest(parse("{}"), 0), "");
}

static enum deployment_phase described(const char *json, bool is_asked_for, int64_t created_ms,
                                       bool *ret_is_read)
{
    struct deployment deployment = {.created_ms = created_ms};
    bool is_read = deployment_read_described(parse(json), is_asked_for, &deployment);

    if (ret_is_read)
        *ret_is_read = is_read;
    return deployment.phase;
}

static void test_described(void **state)
{
    static const char over[] = "{\"serviceDeployments\":[{\"status\":\"ROLLBACK_SUCCESSFUL\","
                               "\"createdAt\":100,\"finishedAt\":110}]}";
    static const char hook[] = "{\"serviceDeployments\":[{\"status\":\"%s\",\"createdAt\":1,"
                               "\"lifecycleHookDetails\":[{\"hookId\":\"h\",\"targetType\":\"%s\","
                               "\"status\":\"%s\"}]}]}";
    static const struct {
        const char *status, *type, *hook;
        enum deployment_phase phase;
    } cases[] = {
        {"IN_PROGRESS", "PAUSE", "AWAITING_ACTION", DEPLOYMENT_PAUSED},
        {"IN_PROGRESS", "PAUSE", "SUCCEEDED", DEPLOYMENT_RUNNING},
        {"IN_PROGRESS", "PAUSE", "TIMED_OUT", DEPLOYMENT_RUNNING},
        {"IN_PROGRESS", "AWS_LAMBDA", "IN_PROGRESS", DEPLOYMENT_RUNNING},
        {"ROLLBACK_IN_PROGRESS", "PAUSE", "AWAITING_ACTION", DEPLOYMENT_ROLLING_BACK},
        {"STOP_REQUESTED", "PAUSE", "FAILED", DEPLOYMENT_ROLLING_BACK},
        {"SOMETHING_NEW", "PAUSE", "FAILED", DEPLOYMENT_UNKNOWN},
    };
    bool is_read;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char json[512];
        snprintf(json, sizeof(json), hook, cases[i].status, cases[i].type, cases[i].hook);
        assert_int_equal(described(json, false, 1000, NULL), cases[i].phase);
    }
    /* It was over before the service's present one was made. */
    assert_int_equal(described(over, false, 110001, &is_read), DEPLOYMENT_UNKNOWN);
    assert_false(is_read);
    assert_int_equal(described(over, true, 110001, &is_read), DEPLOYMENT_ROLLED_BACK);
    assert_true(is_read);
    assert_int_equal(described(over, false, 105000, &is_read), DEPLOYMENT_ROLLED_BACK);
    assert_true(is_read);
    described("{\"serviceDeployments\":[]}", true, 0, &is_read);
    assert_false(is_read);
}

static void test_codedeploy(void **state)
{
    static const struct {
        const char *status;
        enum deployment_phase first, rollback;
    } cases[] = {
        {"Succeeded", DEPLOYMENT_SUCCEEDED, DEPLOYMENT_ROLLED_BACK},
        {"Failed", DEPLOYMENT_FAILED, DEPLOYMENT_FAILED},
        {"Stopped", DEPLOYMENT_STOPPED, DEPLOYMENT_FAILED},
        {"InProgress", DEPLOYMENT_RUNNING, DEPLOYMENT_ROLLING_BACK},
    };
    struct deployment deployment = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char json[128];
        snprintf(json, sizeof(json), "{\"deploymentInfo\":{\"status\":\"%s\",\"createTime\":7}}",
                 cases[i].status);
        deployment.created_ms = 0;
        assert_string_equal(deployment_read_codedeploy(parse(json), true, &deployment), "");
        assert_int_equal(deployment.phase, cases[i].rollback);
        assert_int_equal(deployment.created_ms, 0); /* the first one's counts */
        assert_string_equal(deployment_read_codedeploy(parse(json), false, &deployment), "");
        assert_int_equal(deployment.phase, cases[i].first);
        assert_int_equal(deployment.created_ms, 7000);
    }
    assert_string_equal(deployment_read_codedeploy(
                            parse("{\"deploymentInfo\":{\"status\":\"Stopped\",\"rollbackInfo\":"
                                  "{\"rollbackDeploymentId\":\"d-2\"}}}"),
                            false, &deployment),
                        "d-2");
}

static void test_addresses(void **state)
{
    static const char task[] = "{\"taskDefinitionArn\":\"arn:x/web:%d\",\"lastStatus\":\"%s\","
                               "\"attachments\":[{\"details\":[{\"name\":\"privateIPv4Address\","
                               "\"value\":\"10.0.0.%d\"}]}]}";
    struct deployment deployment = {.definition = "web:8"};
    char json[1024] = "{\"tasks\":[";

    (void)state;
    snprintf(json + strlen(json), sizeof(json) - strlen(json), task, 8, "RUNNING", 1);
    strcat(json, ",");
    snprintf(json + strlen(json), sizeof(json) - strlen(json), task, 8, "PENDING", 2);
    strcat(json, ",");
    snprintf(json + strlen(json), sizeof(json) - strlen(json), task, 7, "RUNNING", 3);
    strcat(json, "]}");
    deployment_read_addresses(parse(json), &deployment);
    assert_int_equal(deployment.address_count, 1);
    assert_string_equal(deployment.addresses[0], "10.0.0.1");
    deployment_deinit(&deployment);
}

/* No time that a double holds is more than an integer does. */
static void test_wild_times(void **state)
{
    static const char *const times[] = {"1e300", "-1e300", "\"nan\"", "\"inf\"", "\"yesterday\""};

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        struct deployment deployment = {.created_ms = 1};
        char json[256];
        snprintf(json, sizeof(json),
                 "{\"services\":[{\"status\":\"ACTIVE\",\"deployments\":[{\"status\":\"PRIMARY\","
                 "\"createdAt\":%s}]}]}",
                 times[i]);
        assert_true(deployment_read_service(parse(json), &deployment));
        assert_int_equal(deployment.created_ms, 0);
    }
}

static int free_arena(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_service, free_arena),
        cmocka_unit_test_teardown(test_task_sets, free_arena),
        cmocka_unit_test_teardown(test_newest, free_arena),
        cmocka_unit_test_teardown(test_described, free_arena),
        cmocka_unit_test_teardown(test_codedeploy, free_arena),
        cmocka_unit_test_teardown(test_addresses, free_arena),
        cmocka_unit_test_teardown(test_wild_times, free_arena),
    };
    return RUN_TESTS(tests);
}
