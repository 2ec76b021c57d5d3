/* Hostile or strange agents over real NNG connections. */
#include "tests/unit/collector/wire.h"

#define CLIENTS 200

static void refuses(nng_socket client, const char *reason, const char *bytes)
{
    CLEANUP_MESSAGE struct proto_message answer;

    ask(client, bytes, strlen(bytes), &answer);
    assert_int_equal(answer.type, PROTO_REFUSED);
    assert_string_equal(answer.refused.reason, reason);
    assert_int_equal(answer.refused.max, PROTO_VERSION);
}

static void test_strange_messages(void **state)
{
    nng_socket client = dial();
    static char huge[PROTO_MESSAGE_MAX + 10];

    (void)state;
    refuses(client, "malformed", "");
    refuses(client, "malformed", "\xff\xfe\x00garbage");
    refuses(client, "malformed", "{\"v\":1,\"type\":\"hello\",\"clust");
    refuses(client, "malformed", "{\"v\":1,\"type\":\"hello\"}");
    refuses(client, "malformed", "{\"v\":1,\"type\":\"no-such-type\"}");
    refuses(client, "version", "{\"v\":2,\"type\":\"hello\"}");
    refuses(client, "not-expected", "{\"v\":1,\"type\":\"idle\"}");
    refuses(client, "hello-first",
            "{\"v\":1,\"type\":\"pull\",\"instance\":\"nobody\",\"epoch\":1,\"got\":[]}");
    memset(huge, ' ', sizeof(huge) - 1);
    refuses(client, "malformed", huge);
    hello(client, "a", "i1", true); /* and after all that, an honest agent is served */
    hello(client, "stranger", "i2", false);
    nng_close(client);
}

static void test_reports_of_nothing(void **state)
{
    nng_socket client = dial();
    const char *report =
        "{\"v\":1,\"type\":\"report\",\"instance\":\"i1\",\"run\":77,"
        "\"assignment\":88,\"batch\":1,\"dropped\":0,\"resolutions\":[],\"probes\":[]}";

    (void)state;
    hello(client, "a", "i1", true);
    for (int i = 0; i < 2; i++) {
        CLEANUP_MESSAGE struct proto_message answer;
        ask(client, report, strlen(report), &answer);
        assert_int_equal(answer.type, PROTO_ACK);
        assert_string_equal(answer.ack.status, "unknown"); /* the agent may forget it */
    }
    nng_close(client);
}

/* Speaks SP over TCP by hand ("\0SP\0", protocol, then length and message each), since NNG itself
 * would not send what is wrong. */
static int connect_raw(const char *greeting, size_t length)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 3};
    char answer[8];

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, greeting, length, MSG_NOSIGNAL), (ssize_t)length);
    assert_int_equal(recv(fd, answer, 8, MSG_WAITALL), 8);
    return fd;
}

#define REQ_GREETING "\0SP\0\0\x30\0\0"

/* A length beyond the limit: the connection is closed before the message is read. */
static void test_beyond_the_wire_limit(void **state)
{
    nng_socket good = dial();
    int fd = connect_raw(REQ_GREETING, 8);
    char rest[16];

    (void)state;
    assert_int_equal(send(fd, "\0\0\0\0\xff\0\0\0", 8, MSG_NOSIGNAL), 8);
    assert_int_equal(recv(fd, rest, sizeof(rest), 0), 0);
    close(fd);
    hello(good, "a", "i9", true);
    nng_close(good);
}

/* Half a message and then nothing, a hundred times; and a request without its id. */
static void test_half_a_message(void **state)
{
    nng_socket good;
    int fd;

    (void)state;
    for (int i = 0; i < 100; i++) {
        fd = connect_raw(REQ_GREETING, 8);
        assert_int_equal(send(fd, "\0\0\0\0\0\0\0\x64{\"v\":1,", 15, MSG_NOSIGNAL), 15);
        close(fd);
    }
    fd = connect_raw(REQ_GREETING, 8);
    assert_int_equal(send(fd, "\0\0\0\0\0\0\0\2{}", 10, MSG_NOSIGNAL), 10);
    close(fd);
    good = dial();
    hello(good, "a", "i9", true);
    nng_close(good);
}

/* What was refused can be asked for. */
static void test_refusals_are_counted(void **state)
{
    nng_socket client = dial();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char answer[4096] = "";

    (void)state;
    refuses(client, "malformed", "{");
    refuses(client, "version", "{\"v\":2,\"type\":\"hello\"}");
    refuses(client, "version", "{\"v\":3,\"type\":\"hello\"}");
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", http + strlen("unix:"));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, "GET /metrics HTTP/1.0\r\n\r\n", 25, MSG_NOSIGNAL), 25);
    assert_true(recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 0);
    assert_contains(answer, "refused_total{reason=\"malformed\"} 1\n");
    assert_contains(answer, "refused_total{reason=\"version\"} 2\n");
    close(fd);
    nng_close(client);
}

/* The newest pull is the one that is held; the older one is let go with an empty answer. */
static void test_pulls_are_held(void **state)
{
    nng_socket client = dial();
    nng_ctx first, second;
    nng_aio *aio;
    nng_msg *message;
    char bytes[128];

    (void)state;
    hello(client, "a", "i1", true);
    assert_int_equal(nng_ctx_open(&first, client), 0);
    assert_int_equal(nng_ctx_open(&second, client), 0);
    assert_int_equal(nng_aio_alloc(&aio, NULL, NULL), 0);
    for (int epoch = 1; epoch <= 2; epoch++) {
        snprintf(bytes, sizeof(bytes),
                 "{\"v\":1,\"type\":\"pull\",\"instance\":\"i1\",\"epoch\":%d,\"got\":[]}", epoch);
        nng_msg_alloc(&message, 0);
        nng_msg_append(message, bytes, strlen(bytes));
        nng_aio_set_msg(aio, message);
        nng_ctx_send(epoch == 1 ? first : second, aio);
        nng_aio_wait(aio);
        assert_int_equal(nng_aio_result(aio), 0);
    }
    nng_aio_set_timeout(aio, 3000);
    nng_ctx_recv(first, aio);
    nng_aio_wait(aio);
    assert_int_equal(nng_aio_result(aio), 0);
    nng_msg_free(nng_aio_get_msg(aio));
    nng_aio_set_timeout(aio, 300);
    nng_ctx_recv(second, aio);
    nng_aio_wait(aio);
    assert_int_equal(nng_aio_result(aio), NNG_ETIMEDOUT);
    nng_aio_free(aio);
    nng_ctx_close(first);
    nng_ctx_close(second);
    nng_close(client);
}

/* A crowd that connects, says hello and vanishes: all are served. */
static void test_a_crowd(void **state)
{
    static nng_socket clients[CLIENTS];
    char instance[16];

    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = dial();
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(instance, sizeof(instance), "c%d", i);
        hello(clients[i], "a", instance, true);
    }
    for (int i = 0; i < CLIENTS; i++)
        nng_close(clients[i]);
}

#define WIRE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WIRE_TEST(test_strange_messages),
        WIRE_TEST(test_reports_of_nothing),
        WIRE_TEST(test_beyond_the_wire_limit),
        WIRE_TEST(test_half_a_message),
        WIRE_TEST(test_refusals_are_counted),
        WIRE_TEST(test_pulls_are_held),
        WIRE_TEST(test_a_crowd),
    };
    return RUN_TESTS(tests);
}
