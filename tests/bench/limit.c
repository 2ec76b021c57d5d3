/* limit: what the machine can do at best: the plainest C loops, for the agent's figures to be
 * measured against, in the same run, against the same peer.
 *
 *   limit tcp ADDRESS PORT COUNT IN-FLIGHT        connect, reset
 *   limit http ADDRESS PORT COUNT IN-FLIGHT       connect, GET /, read until "HTTP/1.1 200", reset
 *   limit tls ADDRESS PORT COUNT IN-FLIGHT CA     a full handshake with verification of "peer.test"
 *   limit dns SERVER COUNT IN-FLIGHT              ares_query and ares_parse_a_reply of "peer.test"
 *   limit resolver SERVER COUNT IN-FLIGHT         the same through agent/resolver, its rate lifted
 *   limit idle URL                                the agent's libraries, and NNG's socket open,
 * idle
 *
 * Prints CPU nanoseconds (its own, user and system) for each operation.
 */
#include "agent/budget.h"
#include "agent/resolver.h"
#include "common/loop.h"
#include "common/mem.h"

#include <ares.h>
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <openssl/ssl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define NAME "peer.test"

static struct sockaddr_in peer;
static int epoll_fd;
static long total, started, finished, failed;
static enum { TCP, HTTP, TLS } kind;
static SSL_CTX *context;

struct slot {
    int fd;
    bool is_connected;
    SSL *ssl;
};

static long cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void start(struct slot *slot)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = slot};

    if (started == total)
        return;
    started++;
    slot->is_connected = false;
    slot->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (slot->fd < 0)
        die("socket");
    if (connect(slot->fd, (struct sockaddr *)&peer, sizeof(peer)) < 0 && errno != EINPROGRESS)
        die("connect");
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, slot->fd, &event);
}

static void finish(struct slot *slot, bool is_ok)
{
    struct linger reset = {1, 0};

    SSL_free(slot->ssl);
    slot->ssl = NULL;
    setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(slot->fd);
    finished++;
    failed += !is_ok;
    start(slot);
}

static void wait_for(struct slot *slot, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = slot};

    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, slot->fd, &event);
}

static void go_on_with_tls(struct slot *slot)
{
    int r = SSL_do_handshake(slot->ssl);

    if (r == 1)
        finish(slot, SSL_get_verify_result(slot->ssl) == X509_V_OK);
    else if (SSL_get_error(slot->ssl, r) == SSL_ERROR_WANT_READ)
        wait_for(slot, EPOLLIN);
    else
        finish(slot, false);
}

static void begin_tls(struct slot *slot)
{
    slot->ssl = SSL_new(context);
    SSL_set_tlsext_host_name(slot->ssl, NAME);
    SSL_set1_host(slot->ssl, NAME);
    SSL_set_fd(slot->ssl, slot->fd);
    SSL_set_connect_state(slot->ssl);
    go_on_with_tls(slot);
}

static void go_on(struct slot *slot)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: peer.test\r\nConnection: close\r\n\r\n";
    int error = 0;
    socklen_t length = sizeof(error);
    char data[4096];

    if (slot->is_connected) {
        if (kind == TLS)
            go_on_with_tls(slot);
        else
            finish(slot, recv(slot->fd, data, sizeof(data), 0) > 12 &&
                             memcmp(data, "HTTP/1.1 200", 12) == 0);
        return;
    }
    getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    slot->is_connected = true;
    if (error || kind == TCP) {
        finish(slot, !error);
    } else if (kind == TLS) {
        begin_tls(slot);
    } else {
        if (send(slot->fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
            die("send");
        wait_for(slot, EPOLLIN);
    }
}

static void run_connections(long in_flight)
{
    struct slot *slots = calloc((size_t)in_flight, sizeof(*slots));
    struct epoll_event events[256];

    epoll_fd = epoll_create1(0);
    for (long i = 0; i < in_flight; i++)
        start(&slots[i]);
    while (finished < total) {
        int count = epoll_wait(epoll_fd, events, 256, 5000);
        if (count <= 0)
            die("epoll_wait");
        for (int i = 0; i < count; i++)
            go_on(events[i].data.ptr);
    }
    free(slots);
}

/* ---- DNS ---- */

static ares_channel channel;
static struct loop *loop;
static struct resolver *resolver;

static void on_raw_answer(void *ctx, int status, int timeouts, unsigned char *data, int length)
{
    struct ares_addrttl addresses[16];
    int count = 16;

    (void)ctx;
    (void)timeouts;
    failed += status != ARES_SUCCESS ||
              ares_parse_a_reply(data, length, NULL, addresses, &count) != ARES_SUCCESS;
    finished++;
    if (started < total) {
        started++;
        ares_query(channel, NAME, 1, 1, on_raw_answer, NULL);
    }
}

static int ares_fd = -1;

static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct epoll_event event = {.events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U)};

    (void)ctx;
    if (!event.events) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        ares_fd = -1;
        return;
    }
    epoll_ctl(epoll_fd, ares_fd == fd ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    ares_fd = fd;
}

static void run_ares(const char *server, long in_flight)
{
    char lookups[] = "b";
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP,
        .timeout = 1000,
        .tries = 3,
        .lookups = lookups,
        .sock_state_cb = on_socket,
    };

    epoll_fd = epoll_create1(0);
    ares_init_options(&channel, &options,
                      ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                          ARES_OPT_SOCK_STATE_CB);
    ares_set_servers_csv(channel, server);
    for (long i = 0; i < in_flight && started < total; i++) {
        started++;
        ares_query(channel, NAME, 1, 1, on_raw_answer, NULL);
    }
    while (finished < total) {
        struct timeval value, *next = ares_timeout(channel, NULL, &value);
        struct epoll_event event;
        int ms = next ? (int)(next->tv_sec * 1000 + next->tv_usec / 1000) + 1 : -1;
        int count = epoll_wait(epoll_fd, &event, 1, ms);
        ares_process_fd(channel, count > 0 ? ares_fd : ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    ares_destroy(channel);
}

static void on_answer(void *ctx, const struct resolution *resolution)
{
    if (!resolution->is_final)
        return;
    failed += resolution->outcome != OUTCOME_OK;
    if (++finished == total)
        loop_stop(loop);
    if (started < total) {
        started++;
        resolver_query(resolver, NAME, DNS_A, on_answer, ctx);
    }
}

static void run_resolver(const char *server, long in_flight)
{
    static struct host host;
    static struct budget budget;
    struct resolver_settings settings = {&host, 1000000000, 1000000000, NULL, &budget};

    snprintf(host.resolvers[0], HOST_TEXT_MAX, "%s", server);
    host.resolver_count = 1;
    loop = loop_new();
    resolver = resolver_new(loop, &settings);
    for (long i = 0; i < in_flight && started < total; i++) {
        started++;
        resolver_query(resolver, NAME, DNS_A, on_answer, NULL);
    }
    loop_run(loop);
    resolver_free(resolver);
    loop_free(loop);
}

/* ---- idle ---- */

/* The same libraries as the agent's, each used a little, and its socket open: what is left is the
 * agent's own. */
static void idle(const char *url)
{
    nng_socket sock;
    ares_channel unused;
    cJSON *json = cJSON_Parse("{\"v\":1}");

    printf("%s %s %s %d\n", OpenSSL_version(OPENSSL_VERSION), nghttp2_version(0)->version_str,
           seccomp_version() ? "seccomp" : "", json != NULL);
    cJSON_Delete(json);
    ares_library_init(ARES_LIB_INIT_ALL);
    if (ares_init(&unused) != ARES_SUCCESS || nng_req0_open_raw(&sock) != 0 ||
        nng_dial(sock, url, NULL, 0) != 0)
        die(url);
    fflush(stdout);
    pause();
}

int main(int argc, char **argv)
{
    long before;

    if (argc == 3 && strcmp(argv[1], "idle") == 0) {
        idle(argv[2]);
        return 0;
    }
    if (argc == 5 && (strcmp(argv[1], "dns") == 0 || strcmp(argv[1], "resolver") == 0)) {
        total = atol(argv[3]);
        before = cpu_ns();
        if (argv[1][0] == 'd')
            run_ares(argv[2], atol(argv[4]));
        else
            run_resolver(argv[2], atol(argv[4]));
    } else if (argc >= 6) {
        peer.sin_family = AF_INET;
        peer.sin_port = htons((uint16_t)atoi(argv[3]));
        inet_pton(AF_INET, argv[2], &peer.sin_addr);
        kind = strcmp(argv[1], "tcp") == 0 ? TCP : strcmp(argv[1], "http") == 0 ? HTTP : TLS;
        total = atol(argv[4]);
        if (kind == TLS) {
            context = SSL_CTX_new(TLS_client_method());
            SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
            if (argc < 7 || !SSL_CTX_load_verify_file(context, argv[6]))
                die("CA");
        }
        before = cpu_ns();
        run_connections(atol(argv[5]));
    } else {
        fprintf(stderr, "usage: limit tcp|http|tls ADDRESS PORT COUNT IN-FLIGHT [CA]\n"
                        "       limit dns|resolver SERVER COUNT IN-FLIGHT | idle URL\n");
        return 2;
    }
    printf("%ld\n", (cpu_ns() - before) / total);
    if (failed)
        fprintf(stderr, "limit: %ld of %ld failed\n", failed, total);
    return failed != 0;
}
