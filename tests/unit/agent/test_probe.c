/* The probe machine against scripted peers on loopback: each outcome, its phase and its times. */
#include "agent/probe.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int listener;
    const char *answer; /* NULL: accept, and say nothing */
    size_t chunk;       /* bytes a write; 0: all at once */
    bool is_reset;      /* close with a RST after the answer */
    pthread_t thread;
    uint16_t port;
};

static void *serve(void *ctx)
{
    struct peer *peer = ctx;
    int client = accept(peer->listener, NULL, NULL);
    struct linger linger = {1, 0};
    char request[4096];

    if (client < 0)
        return NULL;
    if (peer->answer && recv(client, request, sizeof(request), 0) > 0) {
        size_t length = strlen(peer->answer), step = peer->chunk ? peer->chunk : length;
        for (size_t at = 0; at < length; at += step) {
            size_t part = length - at < step ? length - at : step;
            if (send(client, peer->answer + at, part, MSG_NOSIGNAL) < 0)
                break;
            if (peer->chunk)
                usleep(500);
        }
        if (peer->is_reset)
            setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    } else {
        recv(client, request, sizeof(request), 0);
        recv(client, request, sizeof(request), 0); /* until the probe gives up */
    }
    close(client);
    return NULL;
}

static void start(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    peer->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(peer->listener, 1), 0);
    getsockname(peer->listener, (struct sockaddr *)&address, &size);
    peer->port = ntohs(address.sin_port);
    pthread_create(&peer->thread, NULL, serve, peer);
}

static void stop(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

/* What is left of a probe once it is over. */
struct result {
    enum proto_phase phase;
    enum proto_outcome outcome;
    int error, status;
    int64_t phase_us[PHASE_COUNT];
    uint64_t bytes_in, bytes_out;
    struct kernel_facts kernel;
    union kernel_address local;
    char detail[PROTO_TEXT_MAX + 1];
    struct loop *loop;
};

static void on_done(void *ctx, struct probe *probe)
{
    struct result *result = ctx;

    result->phase = probe->phase;
    result->outcome = probe->outcome;
    result->error = probe->error;
    result->status = probe->exchange.status;
    memcpy(result->phase_us, probe->phase_us, sizeof(result->phase_us));
    result->bytes_in = probe->bytes_in;
    result->bytes_out = probe->bytes_out;
    result->kernel = probe->kernel;
    result->local = probe->local;
    if (probe->exchange.detail)
        snprintf(result->detail, sizeof(result->detail), "%s", probe->exchange.detail);
    loop_stop(result->loop);
}

static struct result run_plan(const struct probe_plan *plan, const char *address, uint16_t port)
{
    struct result result = {.loop = loop_new()};
    struct probe probe = {.loop = result.loop, .plan = plan, .fn = on_done, .ctx = &result};

    probe.remote.v4.sin_family = AF_INET;
    probe.remote.v4.sin_port = htons(port);
    inet_pton(AF_INET, address, &probe.remote.v4.sin_addr);
    probe_start(&probe);
    assert_int_equal(loop_run(result.loop), 0);
    assert_int_equal(probe.state, PROBE_FINISHED);
    assert_int_equal(probe.source.fd, -1);
    loop_free(result.loop);
    return result;
}

static const struct probe_plan tcp = {.check = &check_tcp, .timeout_us = 2000000};
static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

static struct result http_with(struct peer *peer, uint64_t timeout_us, const char *match)
{
    struct probe_plan plan = {.check = &check_http,
                              .timeout_us = timeout_us,
                              .exchange = {.request = request,
                                           .request_length = sizeof(request) - 1,
                                           .status = "200-299",
                                           .match = match}};
    struct result result;

    start(peer);
    result = run_plan(&plan, "127.0.0.1", peer->port);
    stop(peer);
    return result;
}

static struct result http(struct peer *peer, uint64_t timeout_us)
{
    return http_with(peer, timeout_us, "");
}

static void test_tcp(void **state)
{
    struct peer peer = {.answer = NULL};
    struct result probe;

    (void)state;
    start(&peer);
    probe = run_plan(&tcp, "127.0.0.1", peer.port);
    stop(&peer);
    assert_int_equal(probe.outcome, OUTCOME_OK);
    assert_int_equal(probe.phase, PHASE_CONNECT);
    assert_true(probe.phase_us[PHASE_CONNECT] >= 0);
    assert_int_equal(probe.phase_us[PHASE_EXCHANGE], -1);
    assert_int_equal(probe.local.any.sa_family, AF_INET);
    assert_true(probe.kernel.mss > 500 && probe.kernel.pmtu > 1000 && probe.kernel.rtt_us > 0);
    assert_int_equal(probe.kernel.retransmits, 0);
    assert_false(probe.kernel.has_icmp);
}

static void test_refused(void **state)
{
    struct result probe = run_plan(&tcp, "127.0.0.1", 1);

    (void)state;
    assert_int_equal(probe.outcome, OUTCOME_REFUSED);
    assert_int_equal(probe.error, ECONNREFUSED);
    assert_int_equal(probe.kernel.mss, 0);
    assert_int_equal(probe.phase, PHASE_CONNECT);
}

static void test_ipv6(void **state)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET6, SOCK_STREAM, 0);
    struct result result = {.loop = loop_new()};
    struct probe probe = {.loop = result.loop, .plan = &tcp, .fn = on_done, .ctx = &result};
    char text[KERNEL_TEXT_MAX];

    (void)state;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0)
        skip(); /* no IPv6 on this machine */
    listen(listener, 1);
    getsockname(listener, (struct sockaddr *)&address, &size);
    probe.remote.v6 = address;
    probe_start(&probe);
    assert_int_equal(loop_run(result.loop), 0);
    assert_int_equal(result.outcome, OUTCOME_OK);
    assert_int_equal(result.local.any.sa_family, AF_INET6);
    kernel_endpoint_text(&result.local, text);
    assert_memory_equal(text, "[::1]:", 6);
    assert_true(result.kernel.mss > 500);
    loop_free(result.loop);
    close(listener);
}

/* A connect that fails at once never left the host: its own routing said no. */
static void test_no_way_out(void **state)
{
    struct result probe = run_plan(&tcp, "255.255.255.255", 80);

    (void)state;
    assert_int_equal(probe.outcome, OUTCOME_LOCAL_ROUTE);
    assert_int_equal(probe.error, ENETUNREACH);
}

static void test_http(void **state)
{
    struct peer peer = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct result probe = http(&peer, 2000000);

    (void)state;
    assert_int_equal(probe.outcome, OUTCOME_OK);
    assert_int_equal(probe.phase, PHASE_EXCHANGE);
    assert_int_equal(probe.status, 200);
    assert_true(probe.phase_us[PHASE_EXCHANGE] >= 0);
}

static void test_http_byte_by_byte(void **state)
{
    struct peer peer = {.answer = "HTTP/1.1 204 No Content\r\n\r\n", .chunk = 1};

    (void)state;
    assert_int_equal(http(&peer, 5000000).outcome, OUTCOME_OK);
}

static void test_http_status(void **state)
{
    struct peer peer = {.answer = "HTTP/1.1 503 Sorry\r\n\r\n"};
    struct result probe = http(&peer, 2000000);

    (void)state;
    assert_int_equal(probe.outcome, OUTCOME_BAD_STATUS);
    assert_int_equal(probe.status, 503);
}

static void test_http_hang(void **state)
{
    struct peer peer = {.answer = NULL};
    struct result probe = http(&peer, 100000);

    (void)state;
    assert_int_equal(probe.outcome, OUTCOME_TIMEOUT);
    assert_int_equal(probe.phase, PHASE_EXCHANGE);
    assert_true(probe.phase_us[PHASE_EXCHANGE] + probe.phase_us[PHASE_CONNECT] >= 99000);
}

static void test_http_not_http(void **state)
{
    struct peer peer = {.answer = "220 mail ready\r\n"};

    (void)state;
    assert_int_equal(http(&peer, 2000000).outcome, OUTCOME_BAD_REPLY);
}

static void test_http_closed_without_answer(void **state)
{
    struct peer peer = {.answer = ""};

    (void)state;
    assert_int_equal(http(&peer, 2000000).outcome, OUTCOME_CLOSED);
}

static void test_http_cut_short(void **state)
{
    struct peer peer = {.answer = "HTTP/1.1 200 OK\r\nContent-"};

    (void)state;
    assert_int_equal(http(&peer, 2000000).outcome, OUTCOME_BAD_REPLY);
}

static void test_http_reset(void **state)
{
    struct peer peer = {.answer = "", .is_reset = true};
    struct result probe = http(&peer, 2000000);

    (void)state;
    assert_int_equal(probe.outcome, OUTCOME_RESET);
    assert_int_equal(probe.error, ECONNRESET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_no_way_out),
        cmocka_unit_test(test_http),
        cmocka_unit_test(test_http_byte_by_byte),
        cmocka_unit_test(test_http_status),
        cmocka_unit_test(test_http_hang),
        cmocka_unit_test(test_http_not_http),
        cmocka_unit_test(test_http_closed_without_answer),
        cmocka_unit_test(test_http_cut_short),
        cmocka_unit_test(test_http_reset),
    };
    return RUN_TESTS(tests);
}
