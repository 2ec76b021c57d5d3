#include "agent/identity.h"
#include "agent/metadata.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The shape of the vendor's documented example. */
static const char fargate[] =
    "{\"Cluster\":\"arn:aws:ecs:us-west-2:111122223333:cluster/default\","
    "\"TaskARN\":\"arn:aws:ecs:us-west-2:111122223333:task/default/"
    "e9028f8d5d8e4f258373e7b93ce9a3c3\","
    "\"Family\":\"web\",\"Revision\":\"7\",\"ServiceName\":\"web\",\"AvailabilityZone\":\"us-west-"
    "2d\","
    "\"LaunchType\":\"FARGATE\",\"Containers\":["
    "{\"Name\":\"~internal~ecs~pause\",\"Type\":\"CNI_PAUSE\",\"Networks\":[{\"NetworkMode\":"
    "\"none\"}]},"
    "{\"Name\":\"app\",\"Type\":\"NORMAL\",\"Networks\":[{\"NetworkMode\":\"awsvpc\","
    "\"IPv4Addresses\":[\"10.0.0.61\"]}]}]}";

static void test_fargate(void **state)
{
    struct identity identity = {.zone = "flag-wins"};

    (void)state;
    assert_int_equal(identity_parse_metadata(&identity, fargate, strlen(fargate), NULL), 0);
    assert_string_equal(identity.task, "e9028f8d5d8e4f258373e7b93ce9a3c3");
    assert_string_equal(identity.service, "web");
    assert_string_equal(identity.zone, "flag-wins");
    assert_string_equal(identity.mode, "awsvpc");
    assert_string_equal(identity.revision, "web:7");
    identity_deinit(&identity);
}

static void test_older_platform_names_the_group(void **state)
{
    static const char text[] = "{\"Group\":\"service:orders\",\"TaskARN\":\"x/y/z\"}";
    struct identity identity = {0};

    (void)state;
    assert_int_equal(identity_parse_metadata(&identity, text, strlen(text), NULL), 0);
    assert_string_equal(identity.service, "orders");
    assert_string_equal(identity.task, "z");
    assert_null(identity.mode);
    identity_deinit(&identity);
}

static void test_garbage(void **state)
{
    static const char *const texts[] = {"", "[]", "null", "{\"Containers\":5}",
                                        "{\"TaskARN\":[1]}"};
    struct identity identity = {0};
    struct error err;

    (void)state;
    for (size_t i = 0; i < 5; i++)
        identity_parse_metadata(&identity, texts[i], strlen(texts[i]), &err);
    assert_null(identity.task);
    identity_deinit(&identity);
}

/* A real endpoint: one connection, the whole document, Connection: close. */
static void *serve(void *ctx)
{
    int listener = *(int *)ctx, client = accept(listener, NULL, NULL);
    char request[2048] = "", head[] = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n";

    assert_true(recv(client, request, sizeof(request) - 1, 0) > 0);
    assert_contains(request, "GET /v4/abc/task HTTP/1.0\r\n");
    assert_true(send(client, head, strlen(head), 0) > 0);
    assert_true(send(client, fargate, strlen(fargate), 0) > 0);
    close(client);
    return NULL;
}

static void test_endpoint(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct identity identity = {.service = "flag"};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    char url[64];
    pthread_t thread;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v4/abc", ntohs(address.sin_port));
    setenv(METADATA_ENV, url, 1);
    pthread_create(&thread, NULL, serve, &listener);
    assert_int_equal(identity_complete(&identity, NULL), 0);
    pthread_join(thread, NULL);
    close(listener);
    assert_string_equal(identity.service, "flag");
    assert_string_equal(identity.zone, "us-west-2d");
    assert_int_equal(strlen(identity.instance), 16);
    identity_deinit(&identity);
    unsetenv(METADATA_ENV);
}

static void test_without_a_service(void **state)
{
    struct identity identity = {0};
    struct error err = {""};

    (void)state;
    unsetenv(METADATA_ENV);
    assert_true(identity_complete(&identity, &err) < 0);
    assert_contains(err.text, "give --service");
    identity_deinit(&identity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fargate),
        cmocka_unit_test(test_older_platform_names_the_group),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_endpoint),
        cmocka_unit_test(test_without_a_service),
    };
    return RUN_TESTS(tests);
}
