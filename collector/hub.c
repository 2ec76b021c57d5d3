#include "collector/hub.h"

#include "common/log.h"
#include "common/mem.h"
#include "proto/proto.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RECEIVE_BUFFER 1024 /* messages that NNG holds while the loop is busy */
#define SEND_BUFFER    1024 /* answers that NNG holds while its threads are busy */
#define TURN_MAX       512  /* messages taken in one turn of the loop */
#define SEND_AGAIN_MS  1

struct hub {
    struct loop *loop;
    struct hub_events events;
    nng_socket socket;
    struct loop_fd receive_source, gone_source;
    struct loop_timer again; /* more messages than one turn takes */
    struct loop_timer send_again;
    nng_msg **unsent; /* answers that NNG has no room for yet; at most one a ticket */
    size_t unsent_count, unsent_capacity;

    /* NNG's threads write these. */
    pthread_mutex_t lock;
    uint32_t *gone;
    size_t gone_count, gone_capacity;
    int gone_event;
};

/* On an NNG thread. */
static void on_pipe_removed(nng_pipe pipe, nng_pipe_ev event, void *ctx)
{
    struct hub *hub = ctx;
    uint64_t one = 1;

    (void)event;
    pthread_mutex_lock(&hub->lock);
    mem_grow(&hub->gone, hub->gone_count, &hub->gone_capacity, sizeof(*hub->gone));
    hub->gone[hub->gone_count++] = (uint32_t)nng_pipe_id(pipe);
    pthread_mutex_unlock(&hub->lock);
    if (write(hub->gone_event, &one, sizeof(one)) < 0)
        log_error("hub", "error=%s", "eventfd");
}

static void on_gone(void *ctx, uint32_t events)
{
    struct hub *hub = ctx;
    uint64_t count;
    uint32_t *gone;
    size_t gone_count;

    (void)events;
    if (read(hub->gone_event, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&hub->lock);
    gone = hub->gone;
    gone_count = hub->gone_count;
    hub->gone = NULL;
    hub->gone_count = hub->gone_capacity = 0;
    pthread_mutex_unlock(&hub->lock);
    for (size_t i = 0; i < gone_count; i++)
        hub->events.on_link_down(hub->events.ctx, gone[i]);
    mem_free(gone);
}

static void take(struct hub *hub, nng_msg *message)
{
    struct hub_ticket ticket = {
        .length = nng_msg_header_len(message),
        .link = (uint32_t)nng_pipe_id(nng_msg_get_pipe(message)),
    };

    /* A longer way back was not made by an agent: NNG devices in between are not supported. */
    if (ticket.length > HUB_HEADER_MAX)
        return;
    memcpy(ticket.header, nng_msg_header(message), ticket.length);
    hub->events.on_message(hub->events.ctx, &ticket, nng_msg_body(message), nng_msg_len(message));
}

static void receive(void *ctx)
{
    struct hub *hub = ctx;
    nng_msg *message;

    for (int i = 0; i < TURN_MAX; i++) {
        if (nng_recvmsg(hub->socket, &message, NNG_FLAG_NONBLOCK) != 0)
            return;
        take(hub, message);
        nng_msg_free(message);
    }
    loop_timer_at(hub->loop, &hub->again, 0);
}

static void on_readable(void *ctx, uint32_t events)
{
    (void)events;
    receive(ctx);
}

/* In order, as far as NNG takes them. */
static void send_unsent(void *ctx)
{
    struct hub *hub = ctx;
    size_t sent = 0;

    while (sent < hub->unsent_count &&
           nng_sendmsg(hub->socket, hub->unsent[sent], NNG_FLAG_NONBLOCK) == 0)
        sent++;
    hub->unsent_count -= sent;
    memmove(hub->unsent, hub->unsent + sent, hub->unsent_count * sizeof(*hub->unsent));
    if (hub->unsent_count)
        loop_timer_in_ms(hub->loop, &hub->send_again, SEND_AGAIN_MS);
}

static int listen_on(struct hub *hub, const char *url)
{
    int fd, r = nng_rep0_open_raw(&hub->socket);

    if (r != 0)
        return r;
    /* Unlimited by default: garbage would grow memory. */
    nng_socket_set_size(hub->socket, NNG_OPT_RECVMAXSZ, PROTO_WIRE_MAX);
    nng_socket_set_int(hub->socket, NNG_OPT_RECVBUF, RECEIVE_BUFFER);
    nng_socket_set_int(hub->socket, NNG_OPT_SENDBUF, SEND_BUFFER);
    nng_pipe_notify(hub->socket, NNG_PIPE_EV_REM_POST, on_pipe_removed, hub);
    r = nng_socket_get_int(hub->socket, NNG_OPT_RECVFD, &fd);
    if (r == 0)
        r = nng_listen(hub->socket, url, NULL, 0);
    if (r == 0 && loop_add(hub->loop, &hub->receive_source, fd, EPOLLIN, on_readable, hub) < 0)
        r = NNG_ENOMEM;
    return r;
}

struct hub *hub_new(struct loop *loop, const char *url, const struct hub_events *events,
                    struct error *err)
{
    struct hub *hub = mem_alloc(sizeof(*hub));
    int r;

    hub->loop = loop;
    hub->events = *events;
    hub->again = (struct loop_timer){.fn = receive, .ctx = hub};
    hub->send_again = (struct loop_timer){.fn = send_unsent, .ctx = hub};
    pthread_mutex_init(&hub->lock, NULL);
    hub->gone_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (hub->gone_event < 0 ||
        loop_add(loop, &hub->gone_source, hub->gone_event, EPOLLIN, on_gone, hub) < 0) {
        error_set(err, -errno, "cannot watch agents: %s", strerror(errno));
        return hub_free(hub);
    }
    r = listen_on(hub, url);
    if (r != 0) {
        error_set(err, -EIO, "cannot listen for agents on %s: %s", url, nng_strerror(r));
        return hub_free(hub);
    }
    return hub;
}

struct hub *hub_free(struct hub *hub)
{
    if (!hub)
        return NULL;
    loop_timer_stop(hub->loop, &hub->again);
    loop_timer_stop(hub->loop, &hub->send_again);
    loop_remove(hub->loop, &hub->receive_source);
    loop_remove(hub->loop, &hub->gone_source);
    nng_close(hub->socket); /* no pipe event comes after this */
    if (hub->gone_event >= 0)
        close(hub->gone_event);
    pthread_mutex_destroy(&hub->lock);
    mem_free(hub->gone);
    for (size_t i = 0; i < hub->unsent_count; i++)
        nng_msg_free(hub->unsent[i]);
    mem_free(hub->unsent);
    mem_free(hub);
    return NULL;
}

void hub_answer(struct hub *hub, struct hub_ticket *ticket, const void *data, size_t length)
{
    nng_msg *message;

    if (!ticket->length || nng_msg_alloc(&message, 0) != 0)
        return;
    if (nng_msg_append(message, data, length) != 0 ||
        nng_msg_header_append(message, ticket->header, ticket->length) != 0) {
        nng_msg_free(message);
        return;
    }
    mem_grow(&hub->unsent, hub->unsent_count, &hub->unsent_capacity, sizeof(*hub->unsent));
    hub->unsent[hub->unsent_count++] = message;
    if (hub->unsent_count == 1)
        send_unsent(hub);
    ticket->length = 0;
}
