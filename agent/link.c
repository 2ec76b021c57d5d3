#include "agent/link.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"
#include "proto/proto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define PEER_MAX       128
#define SEND_BUFFER    16          /* messages */
#define REQUEST_ID_BIT 0x80000000U /* ends the backtrace of a request (SP req/rep) */
#define NEVER_MS       86400000    /* NNG's own redialling is switched off by this */

struct link {
    struct loop *loop;
    const struct options_list *urls;
    struct link_events events;

    nng_socket socket;
    nng_dialer dialer;
    bool has_dialer;
    struct loop_fd receive_source, pipe_source;
    struct loop_timer dial_timer;
    size_t next_url, dialled_url;
    unsigned failures; /* dials since the link was last up */
    uint32_t request_id;
    bool is_up;
    unsigned seed;
    char last_good[OPTIONS_LIST_MAX][PEER_MAX]; /* per URL */
    bool try_last_good;

    /* NNG's threads write these. */
    pthread_mutex_t lock;
    int pipes;
    bool lost_pipe;
    nng_pipe pipe;
    char peer[PEER_MAX];
    int pipe_event;
};

/* The peer as a URL that needs no name to be resolved; "" for ipc. */
static void describe_peer(nng_pipe pipe, char out[PEER_MAX])
{
    nng_sockaddr address;
    char host[INET6_ADDRSTRLEN];

    out[0] = '\0';
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &address) != 0)
        return;
    if (address.s_family == NNG_AF_INET &&
        inet_ntop(AF_INET, &address.s_in.sa_addr, host, sizeof(host)))
        snprintf(out, PEER_MAX, "tcp://%s:%u", host, ntohs(address.s_in.sa_port));
    if (address.s_family == NNG_AF_INET6 &&
        inet_ntop(AF_INET6, &address.s_in6.sa_addr, host, sizeof(host)))
        snprintf(out, PEER_MAX, "tcp://[%s]:%u", host, ntohs(address.s_in6.sa_port));
}

/* On an NNG thread. */
static void on_pipe_event(nng_pipe pipe, nng_pipe_ev event, void *ctx)
{
    struct link *link = ctx;
    uint64_t one = 1;

    pthread_mutex_lock(&link->lock);
    if (event == NNG_PIPE_EV_ADD_POST) {
        link->pipes++;
        link->pipe = pipe;
        describe_peer(pipe, link->peer);
    } else {
        link->pipes--;
        link->lost_pipe = true;
    }
    pthread_mutex_unlock(&link->lock);
    if (write(link->pipe_event, &one, sizeof(one)) < 0)
        log_error("agent-link", "error=%s", "eventfd");
}

static void close_dialer(struct link *link)
{
    if (link->has_dialer)
        nng_dialer_close(link->dialer);
    link->has_dialer = false;
}

static uint64_t backoff_ms(struct link *link)
{
    uint64_t ms = LINK_BACKOFF_MIN_MS;

    for (unsigned i = 0; i < link->failures && ms < LINK_BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > LINK_BACKOFF_MAX_MS)
        ms = LINK_BACKOFF_MAX_MS;
    /* Half fixed, half random: a restarted collector is not met by everybody at once. */
    return ms / 2 + (uint64_t)rand_r(&link->seed) % (ms / 2 + 1);
}

static int start_dialer(struct link *link, const char *url)
{
    int r = nng_dialer_create(&link->dialer, link->socket, url);

    if (r != 0)
        return r;
    link->has_dialer = true;
    nng_dialer_set_ms(link->dialer, NNG_OPT_RECONNMINT, NEVER_MS);
    nng_dialer_set_ms(link->dialer, NNG_OPT_RECONNMAXT, NEVER_MS);
    /* ipc has no such options; then these two fail, and that is fine. */
    nng_dialer_set_bool(link->dialer, NNG_OPT_TCP_KEEPALIVE, true);
    nng_dialer_set_bool(link->dialer, NNG_OPT_TCP_NODELAY, true);
    return nng_dialer_start(link->dialer, NNG_FLAG_NONBLOCK);
}

/* Each turn tries one URL, and on every second turn, where known, its last good address. The time
 * until the next turn is both the pause and this attempt's own limit. */
static void dial(void *ctx)
{
    struct link *link = ctx;
    size_t index = link->next_url;
    const char *url = link->urls->items[index];
    int r;

    if (link->is_up)
        return;
    close_dialer(link);
    link->dialled_url = index;
    if (link->try_last_good && link->last_good[index][0])
        url = link->last_good[index];
    if (link->try_last_good || !link->last_good[index][0])
        link->next_url = (link->next_url + 1) % link->urls->count;
    link->try_last_good = !link->try_last_good && link->last_good[index][0];
    r = start_dialer(link, url);
    log_debug("agent-dial", "collector=%s attempt=%u result=%s", url, link->failures + 1,
              LOG_QUOTE(r ? nng_strerror(r) : "started"));
    if (link->failures == 3)
        log_warn("agent-unlinked", "collector=%s hint=\"cannot reach the collector; going on\"",
                 url);
    link->failures++;
    loop_timer_in_ms(link->loop, &link->dial_timer, backoff_ms(link));
}

static void link_went_up(struct link *link, const char *peer)
{
    link->is_up = true;
    link->failures = 0;
    loop_timer_stop(link->loop, &link->dial_timer);
    text_copy(link->last_good[link->dialled_url], PEER_MAX, peer);
    link->events.on_up(link->events.ctx, *peer ? peer : "ipc");
}

static void link_went_down(struct link *link)
{
    link->is_up = false;
    link->events.on_down(link->events.ctx);
    loop_timer_in_ms(link->loop, &link->dial_timer, backoff_ms(link));
}

static void on_pipe_change(void *ctx, uint32_t events)
{
    struct link *link = ctx;
    char peer[PEER_MAX];
    bool has_pipe, lost_pipe;
    uint64_t count;

    (void)events;
    if (read(link->pipe_event, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&link->lock);
    has_pipe = link->pipes > 0;
    lost_pipe = link->lost_pipe;
    link->lost_pipe = false;
    memcpy(peer, link->peer, sizeof(peer));
    pthread_mutex_unlock(&link->lock);
    if (link->is_up && lost_pipe)
        link_went_down(link);
    if (!link->is_up && has_pipe)
        link_went_up(link, peer);
}

static void on_readable(void *ctx, uint32_t events)
{
    struct link *link = ctx;
    nng_msg *message;

    (void)events;
    while (nng_recvmsg(link->socket, &message, NNG_FLAG_NONBLOCK) == 0) {
        link->events.on_message(link->events.ctx, nng_msg_body(message), nng_msg_len(message));
        nng_msg_free(message);
    }
}

static int open_socket(struct link *link)
{
    int fd, r = nng_req0_open_raw(&link->socket);

    if (r != 0)
        return r;
    nng_socket_set_size(link->socket, NNG_OPT_RECVMAXSZ, PROTO_WIRE_MAX);
    nng_socket_set_int(link->socket, NNG_OPT_SENDBUF, SEND_BUFFER);
    nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_POST, on_pipe_event, link);
    nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, on_pipe_event, link);
    r = nng_socket_get_int(link->socket, NNG_OPT_RECVFD, &fd);
    if (r != 0)
        return r;
    return loop_add(link->loop, &link->receive_source, fd, EPOLLIN, on_readable, link) < 0
               ? NNG_ENOMEM
               : 0;
}

struct link *link_new(struct loop *loop, const struct options_list *urls,
                      const struct link_events *events, struct error *err)
{
    struct link *link = mem_alloc(sizeof(*link));
    int r;

    link->loop = loop;
    link->urls = urls;
    link->events = *events;
    if (getrandom(&link->seed, sizeof(link->seed), 0) != sizeof(link->seed))
        link->seed = (unsigned)clock_mono_us();
    link->dial_timer = (struct loop_timer){.fn = dial, .ctx = link};
    pthread_mutex_init(&link->lock, NULL);
    link->pipe_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (link->pipe_event < 0 ||
        loop_add(loop, &link->pipe_source, link->pipe_event, EPOLLIN, on_pipe_change, link) < 0) {
        error_set(err, -errno, "cannot watch the link: %s", strerror(errno));
        return link_free(link);
    }
    r = open_socket(link);
    if (r != 0) {
        error_set(err, -EIO, "cannot open an NNG socket: %s", nng_strerror(r));
        return link_free(link);
    }
    loop_timer_at(loop, &link->dial_timer, 0);
    return link;
}

struct link *link_free(struct link *link)
{
    if (!link)
        return NULL;
    loop_timer_stop(link->loop, &link->dial_timer);
    loop_remove(link->loop, &link->receive_source);
    loop_remove(link->loop, &link->pipe_source);
    nng_close(link->socket); /* no pipe event comes after this */
    if (link->pipe_event >= 0)
        close(link->pipe_event);
    pthread_mutex_destroy(&link->lock);
    mem_free(link);
    return NULL;
}

bool link_is_up(const struct link *link)
{
    return link->is_up;
}

int link_send(struct link *link, const void *data, size_t length)
{
    nng_msg *message;

    if (!link->is_up || nng_msg_alloc(&message, 0) != 0)
        return -EAGAIN;
    link->request_id = (link->request_id + 1) | REQUEST_ID_BIT;
    if (nng_msg_append(message, data, length) != 0 ||
        nng_msg_header_append_u32(message, link->request_id) != 0 ||
        nng_sendmsg(link->socket, message, NNG_FLAG_NONBLOCK) != 0) {
        nng_msg_free(message);
        return -EAGAIN;
    }
    return 0;
}

void link_reset(struct link *link)
{
    nng_pipe pipe;
    bool has_pipe;

    pthread_mutex_lock(&link->lock);
    pipe = link->pipe;
    has_pipe = link->pipes > 0;
    pthread_mutex_unlock(&link->lock);
    if (has_pipe)
        nng_pipe_close(pipe);
}
