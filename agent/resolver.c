#include "agent/resolver.h"

#include "common/clock.h"
#include "common/mem.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <sys/socket.h>

struct query {
    struct resolver *resolver;
    struct query *next;
    enum dns_type type;
    uint64_t sent_us;
    resolver_fn fn;
    void *ctx;
    char name[DNSMSG_NAME_MAX];
};

/* c-ares opens and closes its sockets as it likes; each is one source in the loop. */
struct watch {
    struct resolver *resolver;
    struct watch *next;
    struct loop_fd source;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct watch *watches;
    struct loop_timer timeout; /* c-ares' own retries */
    struct loop_timer turn;    /* when the next waiting query may go out */
    struct query *waiting, **waiting_tail;
    double tokens;
    uint64_t tokens_at_us;
    struct dns_record records[DNSMSG_ANSWERS_MAX]; /* of the answer being handed on */
};

static void rearm(struct resolver *resolver)
{
    struct timeval value, *next = ares_timeout(resolver->channel, NULL, &value);

    if (next)
        loop_timer_at(resolver->loop, &resolver->timeout,
                      clock_mono_us() + (uint64_t)next->tv_sec * 1000000 + (uint64_t)next->tv_usec);
    else
        loop_timer_stop(resolver->loop, &resolver->timeout);
}

static void on_timeout(void *ctx)
{
    struct resolver *resolver = ctx;

    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(resolver);
}

static void on_socket_event(void *ctx, uint32_t events)
{
    struct watch *watch = ctx;
    struct resolver *resolver = watch->resolver;
    ares_socket_t fd = watch->source.fd;
    bool can_read = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    bool can_write = events & EPOLLOUT;

    /* `watch` may be gone after this. */
    ares_process_fd(resolver->channel, can_read ? fd : ARES_SOCKET_BAD,
                    can_write ? fd : ARES_SOCKET_BAD);
    rearm(resolver);
}

static void drop_watch(struct resolver *resolver, struct watch **at)
{
    struct watch *watch = *at;

    *at = watch->next;
    loop_remove(resolver->loop, &watch->source);
    mem_free(watch);
}

/* c-ares tells which of its sockets it wants to read or write; neither means it is about to close.
 */
static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = ctx;
    uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
    struct watch **at = &resolver->watches;

    while (*at && (*at)->source.fd != fd)
        at = &(*at)->next;
    if (!events) {
        if (*at)
            drop_watch(resolver, at);
        return;
    }
    if (*at) {
        loop_modify(resolver->loop, &(*at)->source, events);
        return;
    }
    *at = mem_alloc(sizeof(**at));
    (*at)->resolver = resolver;
    loop_add(resolver->loop, &(*at)->source, fd, events, on_socket_event, *at);
}

struct resolver *resolver_new(struct loop *loop)
{
    struct resolver *resolver = mem_alloc(sizeof(*resolver));
    char lookups[] = "b"; /* DNS only: /etc/hosts is a source of its own */
    struct ares_options options = {
        .flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = RESOLVER_TIMEOUT_MS,
        .tries = RESOLVER_TRIES,
        .lookups = lookups,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;

    resolver->loop = loop;
    resolver->timeout.fn = on_timeout;
    resolver->timeout.ctx = resolver;
    resolver->waiting_tail = &resolver->waiting;
    resolver->tokens = RESOLVER_BURST;
    resolver->tokens_at_us = clock_mono_us();
    if (ares_init_options(&resolver->channel, &options, mask) != ARES_SUCCESS) {
        mem_free(resolver);
        errno = EIO;
        return NULL;
    }
    return resolver;
}

static enum proto_outcome outcome_of_status(int status)
{
    switch (status) {
    case ARES_ETIMEOUT:
        return OUTCOME_DNS_TIMEOUT;
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
        return OUTCOME_DNS_UNREACHABLE;
    case ARES_EBADNAME:
    case ARES_EBADRESP:
        return OUTCOME_DNS_ERROR;
    default:
        return OUTCOME_LOCAL_ERROR;
    }
}

static enum proto_outcome outcome_of_answer(const struct dns_answer *answer, bool is_sound)
{
    switch (answer->rcode) {
    case ns_r_noerror:
        if (!is_sound)
            return OUTCOME_DNS_ERROR;
        return answer->count ? OUTCOME_OK : OUTCOME_NODATA;
    case ns_r_nxdomain:
        return OUTCOME_NXDOMAIN;
    case ns_r_servfail:
        return OUTCOME_SERVFAIL;
    case ns_r_refused:
        return OUTCOME_DNS_REFUSED;
    default:
        return OUTCOME_DNS_ERROR;
    }
}

static void on_answer(void *ctx, int status, int timeouts, unsigned char *data, int length)
{
    struct query *query = ctx;
    struct resolver *resolver = query->resolver;
    struct resolution resolution = {
        .time_us = clock_mono_us() - query->sent_us,
        .answer = {.rcode = -1, .records = resolver->records},
    };

    (void)timeouts;
    if (data && length > 0) {
        int r = dnsmsg_parse(data, (size_t)length, query->type, &resolution.answer);
        resolution.outcome = outcome_of_answer(&resolution.answer, r == 0);
    } else {
        resolution.outcome = outcome_of_status(status);
    }
    query->fn(query->ctx, &resolution);
    mem_free(query);
}

static void send_query(struct resolver *resolver, struct query *query)
{
    query->sent_us = clock_mono_us();
    ares_query(resolver->channel, query->name, ns_c_in, (int)query->type, on_answer, query);
}

static void send_waiting(void *ctx)
{
    struct resolver *resolver = ctx;
    uint64_t now = clock_mono_us();

    resolver->tokens += (double)(now - resolver->tokens_at_us) * RESOLVER_RATE / 1e6;
    resolver->tokens_at_us = now;
    if (resolver->tokens > RESOLVER_BURST)
        resolver->tokens = RESOLVER_BURST;
    while (resolver->waiting && resolver->tokens >= 1) {
        struct query *query = resolver->waiting;
        resolver->waiting = query->next;
        if (!resolver->waiting)
            resolver->waiting_tail = &resolver->waiting;
        resolver->tokens -= 1;
        send_query(resolver, query);
    }
    if (resolver->waiting)
        loop_timer_at(resolver->loop, &resolver->turn, now + 1000000 / RESOLVER_RATE);
    rearm(resolver);
}

void resolver_query(struct resolver *resolver, const char *name, enum dns_type type, resolver_fn fn,
                    void *ctx)
{
    struct query *query = mem_alloc(sizeof(*query));

    *query = (struct query){.resolver = resolver, .type = type, .fn = fn, .ctx = ctx};
    for (size_t i = 0; name[i] && i < sizeof(query->name) - 1; i++)
        query->name[i] = name[i];
    *resolver->waiting_tail = query;
    resolver->waiting_tail = &query->next;
    /* From the loop, not from here: the caller is not called back before it returns. */
    resolver->turn.fn = send_waiting;
    resolver->turn.ctx = resolver;
    if (!loop_timer_is_running(&resolver->turn))
        loop_timer_at(resolver->loop, &resolver->turn, 0);
}

struct resolver *resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return NULL;
    ares_destroy(resolver->channel); /* ends every query that was sent, with ARES_EDESTRUCTION */
    while (resolver->waiting) {
        struct query *query = resolver->waiting;
        resolver->waiting = query->next;
        on_answer(query, ARES_EDESTRUCTION, 0, NULL, 0);
    }
    while (resolver->watches)
        drop_watch(resolver, &resolver->watches);
    loop_timer_stop(resolver->loop, &resolver->timeout);
    loop_timer_stop(resolver->loop, &resolver->turn);
    mem_free(resolver);
    return NULL;
}
