/* wire: a whole collector in this process, on a thread of its own, and NNG clients to talk to it.
 */
#ifndef TESTS_UNIT_COLLECTOR_WIRE_H
#define TESTS_UNIT_COLLECTOR_WIRE_H

#include "collector/collector.h"
#include "collector/config.h"
#include "tests/unit/collector/fixture.h"

#include "common/clock.h"
#include "proto/proto.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char wire_fleet[] = "namespace: x\ndefaults: {port: 80}\nservices: {a: {}, b: {}}\n";

static char folder[64], url[96], http[96];
static uint16_t port;
static struct loop *loop;
static pthread_t thread;
static struct config config;
static struct fleet *fleet;
static struct store *store;
static struct collector *collector;
static int stop_pipe[2];
static struct loop_fd stop_source;
static bool is_stopped;

static inline void on_stop(void *ctx, uint32_t events)
{
    (void)events;
    loop_stop(ctx);
}

static inline void *serve(void *ctx)
{
    loop_run(ctx);
    return NULL;
}

static inline uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    close(fd);
    return ntohs(address.sin_port);
}

static inline int set_up(void **state)
{
    struct collector_settings settings = {.listen_agents = url,
                                          .listen_http = http,
                                          .sample = 16,
                                          .config = &config,
                                          .fleet_text = wire_fleet,
                                          .fleet_length = sizeof(wire_fleet) - 1};
    char path[96];
    struct error err = {""};

    (void)state;
    strcpy(folder, "/tmp/canreach-test-XXXXXX");
    if (!mkdtemp(folder) || pipe(stop_pipe) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/db", folder);
    port = free_port();
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", port);
    snprintf(http, sizeof(http), "unix:%s/http", folder);
    is_stopped = false;
    loop = loop_new();
    fleet = fixture_fleet(wire_fleet);
    store = store_open(path, &err);
    config_init(&config);
    collector = store ? collector_new(loop, fleet, store, &settings, &err) : NULL;
    if (!collector)
        fail_msg("%s", err.text);
    loop_add(loop, &stop_source, stop_pipe[0], EPOLLIN, on_stop, loop);
    return pthread_create(&thread, NULL, serve, loop);
}

/* Ends the loop; the store may be looked at then. */
static inline void stop_collector(void)
{
    if (is_stopped)
        return;
    is_stopped = true;
    if (write(stop_pipe[1], "x", 1) != 1)
        fail_msg("%s", "cannot stop the loop");
    pthread_join(thread, NULL);
    collector = collector_free(collector);
}

static inline int tear_down(void **state)
{
    char command[96];

    (void)state;
    stop_collector();
    store_close(store);
    config_deinit(&config);
    fleet_unref(fleet);
    loop_free(loop);
    close(stop_pipe[0]);
    close(stop_pipe[1]);
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

static inline nng_socket dial(void)
{
    nng_socket client;

    assert_int_equal(nng_req0_open(&client), 0);
    nng_socket_set_ms(client, NNG_OPT_RECVTIMEO, 3000);
    nng_socket_set_ms(client, NNG_OPT_SENDTIMEO, 3000);
    nng_socket_set_ms(client, NNG_OPT_REQ_RESENDTIME, 60000);
    assert_int_equal(nng_dial(client, url, NULL, 0), 0);
    return client;
}

/* Sends bytes and decodes what comes back. */
static inline void ask(nng_socket client, const char *bytes, size_t length,
                       struct proto_message *answer)
{
    size_t size;
    char *data = NULL;
    struct error err = {""};

    assert_int_equal(nng_send(client, (void *)(uintptr_t)bytes, length, 0), 0);
    assert_int_equal(nng_recv(client, &data, &size, NNG_FLAG_ALLOC), 0);
    if (proto_decode(data, size, answer, &err) < 0)
        fail_msg("%s", err.text);
    nng_free(data, size);
}

static inline void hello_as(nng_socket client, const char *service, const char *task,
                            const char *instance, bool is_known)
{
    CLEANUP_MESSAGE struct proto_message answer;
    char bytes[512];

    snprintf(bytes, sizeof(bytes),
             "{\"v\":1,\"type\":\"hello\",\"cluster\":\"\",\"service\":\"%s\",\"task\":\"%s\","
             "\"instance\":\"%s\",\"version\":\"0\",\"zone\":\"\",\"mode\":\"\",\"addresses\":[],"
             "\"resolvers\":[],\"checks\":[\"tcp\"]}",
             service, task, instance);
    ask(client, bytes, strlen(bytes), &answer);
    assert_int_equal(answer.type, PROTO_WELCOME);
    assert_int_equal(answer.welcome.known, is_known);
}

static inline void hello(nng_socket client, const char *service, const char *instance,
                         bool is_known)
{
    char task[64];

    snprintf(task, sizeof(task), "%s.1", service);
    hello_as(client, service, task, instance, is_known);
}

#endif
