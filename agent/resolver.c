#include "agent/resolver.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct query {
    struct resolver *resolver;
    struct query *next;
    enum dns_type type;
    uint64_t sent_us;
    resolver_fn fn;
    void *ctx;
    size_t server; /* to ask next, or asked */
    bool is_tcp, is_reference;
    bool is_sending; /* c-ares is being called, and may call back at once when it cannot send */
    int failure;     /* ... with this status, to be handed on from the loop */
    unsigned tries;
    char name[DNSMSG_NAME_MAX];
};

/* c-ares opens and closes its sockets as it likes; each is one source in the loop. */
struct watch {
    struct channel *channel;
    struct watch *next;
    struct loop_fd source;
};

/* One server over one transport: so it is known who answered, and how. Opened when first used. */
struct channel {
    struct resolver *resolver;
    ares_channel ares;
    struct watch *watches;
    struct loop_timer timeout; /* c-ares' own */
    bool is_refused;           /* an ICMP error came: what is under way gets no answer either */
};

struct server {
    char address[HOST_TEXT_MAX];
    struct channel *udp, *tcp;
};

struct resolver {
    struct loop *loop;
    struct budget *budget;
    struct server servers[RESOLVER_SERVERS_MAX + 1];
    size_t server_count;      /* the configured ones */
    struct server *reference; /* NULL: none, or one of them */
    struct loop_timer turn;   /* when the next waiting query may go out */
    struct query *waiting, **waiting_tail;
    double rate, burst, tokens;
    uint64_t tokens_at_us;
    /* of the answer being handed on */
    struct dns_record records[DNSMSG_ANSWERS_MAX];
    char chain[DNSMSG_CHAIN_MAX][DNSMSG_NAME_MAX];
};

void resolver_account_memory(void)
{
    ares_library_init_mem(ARES_LIB_INIT_ALL, mem_lib_malloc, mem_free, mem_lib_realloc);
}

/* ---- one channel of c-ares ---- */

static void rearm(struct channel *channel)
{
    struct loop *loop = channel->resolver->loop;
    struct timeval value, *next = ares_timeout(channel->ares, NULL, &value);

    if (next)
        loop_timer_at(loop, &channel->timeout,
                      clock_mono_us() + (uint64_t)next->tv_sec * 1000000 + (uint64_t)next->tv_usec);
    else
        loop_timer_stop(loop, &channel->timeout);
}

static void on_timeout(void *ctx)
{
    struct channel *channel = ctx;

    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(channel);
}

static void on_socket_event(void *ctx, uint32_t events)
{
    struct watch *watch = ctx;
    struct channel *channel = watch->channel;
    ares_socket_t fd = watch->source.fd;
    bool can_read = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    bool can_write = events & EPOLLOUT;

    /* `watch` may be gone after this. */
    ares_process_fd(channel->ares, can_read ? fd : ARES_SOCKET_BAD,
                    can_write ? fd : ARES_SOCKET_BAD);
    rearm(channel);
}

static void drop_watch(struct channel *channel, struct watch **at)
{
    struct watch *watch = *at;

    *at = watch->next;
    loop_remove(channel->resolver->loop, &watch->source);
    mem_free(watch);
}

/* c-ares tells which of its sockets it wants to read or write; neither means it is about to close.
 */
static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct channel *channel = ctx;
    struct loop *loop = channel->resolver->loop;
    uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
    struct watch **at = &channel->watches;

    while (*at && (*at)->source.fd != fd)
        at = &(*at)->next;
    if (!events) {
        if (*at)
            drop_watch(channel, at);
        return;
    }
    if (*at) {
        loop_modify(loop, &(*at)->source, events);
        return;
    }
    *at = mem_alloc(sizeof(**at));
    (*at)->channel = channel;
    loop_add(loop, &(*at)->source, fd, events, on_socket_event, *at);
}

static struct channel *close_channel(struct channel *channel)
{
    if (!channel)
        return NULL;
    if (channel->ares)
        ares_destroy(channel->ares); /* ends what was sent, with ARES_EDESTRUCTION */
    while (channel->watches)
        drop_watch(channel, &channel->watches);
    loop_timer_stop(channel->resolver->loop, &channel->timeout);
    mem_free(channel);
    return NULL;
}

/* NULL when c-ares refuses: no memory, or an address that is none. */
static struct channel *open_channel(struct resolver *resolver, const struct server *server,
                                    bool is_tcp)
{
    struct channel *channel = mem_alloc(sizeof(*channel));
    char lookups[] = "b"; /* DNS only: /etc/hosts is a source of its own */
    struct ares_options options = {
        .flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
                 ARES_FLAG_IGNTC | (is_tcp ? ARES_FLAG_USEVC : 0),
        .timeout = RESOLVER_TIMEOUT_MS,
        .tries = 1,
        .lookups = lookups,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = channel,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;

    channel->resolver = resolver;
    channel->timeout.fn = on_timeout;
    channel->timeout.ctx = channel;
    if (ares_init_options(&channel->ares, &options, mask) != ARES_SUCCESS) {
        channel->ares = NULL;
        return close_channel(channel);
    }
    if (ares_set_servers_csv(channel->ares, server->address) != ARES_SUCCESS)
        return close_channel(channel);
    return channel;
}

static struct channel *channel_of(struct resolver *resolver, struct server *server, bool is_tcp)
{
    struct channel **at = is_tcp ? &server->tcp : &server->udp;

    if (!*at)
        *at = open_channel(resolver, server, is_tcp);
    return *at;
}

/* ---- queries ---- */

static enum proto_outcome outcome_of_status(int status)
{
    switch (status) {
    case ARES_ETIMEOUT:
        return OUTCOME_DNS_TIMEOUT;
    case ARES_ECONNREFUSED:
    case ARES_ECANCELLED: /* by cancel_refused() */
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

static void send_waiting(void *ctx);

static void arm_turn(struct resolver *resolver, uint64_t at_us)
{
    resolver->turn.fn = send_waiting;
    resolver->turn.ctx = resolver;
    if (!loop_timer_is_running(&resolver->turn))
        loop_timer_at(resolver->loop, &resolver->turn, at_us);
}

static void enqueue(struct resolver *resolver, struct query *query, bool is_first)
{
    query->next = is_first ? resolver->waiting : NULL;
    if (is_first) {
        if (!resolver->waiting)
            resolver->waiting_tail = &query->next;
        resolver->waiting = query;
    } else {
        *resolver->waiting_tail = query;
        resolver->waiting_tail = &query->next;
    }
    arm_turn(resolver, 0);
}

static struct query *dequeue(struct resolver *resolver)
{
    struct query *query = resolver->waiting;

    resolver->waiting = query->next;
    if (!resolver->waiting)
        resolver->waiting_tail = &resolver->waiting;
    return query;
}

/* What the C library would go on to another server for. */
static bool is_worth_another(enum proto_outcome outcome, const struct dns_answer *answer)
{
    return outcome == OUTCOME_DNS_TIMEOUT || outcome == OUTCOME_DNS_UNREACHABLE ||
           outcome == OUTCOME_SERVFAIL || outcome == OUTCOME_DNS_REFUSED ||
           answer->rcode == ns_r_notimpl;
}

/* Moves the query on to its next try; false when this was the last. */
static bool prepare_next_try(struct query *query, const struct resolution *resolution)
{
    const struct resolver *resolver = query->resolver;
    size_t servers = query->is_reference ? 1 : resolver->server_count;

    if (resolution->outcome == OUTCOME_LOCAL_ERROR || query->tries == RESOLVER_TRIES_MAX)
        return false;
    if (resolution->outcome == OUTCOME_DNS_TRUNCATED) {
        query->is_tcp = true;
        return true;
    }
    if (!is_worth_another(resolution->outcome, &resolution->answer))
        return false;
    /* An answer, if a bad one, is not asked for again; silence may have been a lost packet. */
    if (servers == 1)
        return resolution->outcome == OUTCOME_DNS_TIMEOUT;
    query->server = (query->server + 1) % servers;
    query->is_tcp = false;
    return true;
}

static struct server *server_of(struct query *query)
{
    struct resolver *resolver = query->resolver;

    return query->is_reference ? resolver->reference : &resolver->servers[query->server];
}

static void on_answer(void *ctx, int status, int timeouts, unsigned char *data, int length)
{
    struct query *query = ctx;
    struct resolver *resolver = query->resolver;
    struct resolution resolution = {
        .server = server_of(query)->address,
        .tries = query->tries,
        .is_tcp = query->is_tcp,
        .time_us = query->sent_us ? clock_mono_us() - query->sent_us : 0,
        .answer = {.rcode = -1,
                   .negative_ttl_s = -1,
                   .records = resolver->records,
                   .chain = resolver->chain},
    };

    (void)timeouts;
    if (status == ARES_ECONNREFUSED) {
        channel_of(resolver, server_of(query), query->is_tcp)->is_refused = true;
        arm_turn(resolver, 0);
    }
    if (query->is_sending) {
        query->failure = status;
        return;
    }
    query->failure = ARES_SUCCESS;
    if (data && length > 0) {
        int r = dnsmsg_parse(data, (size_t)length, query->type, &resolution.answer);
        resolution.outcome = outcome_of_answer(&resolution.answer, r == 0);
        if (resolution.answer.is_truncated && !query->is_tcp)
            resolution.outcome = OUTCOME_DNS_TRUNCATED;
    } else {
        resolution.outcome = outcome_of_status(status);
    }
    resolution.is_final = !prepare_next_try(query, &resolution);
    query->fn(query->ctx, &resolution);
    if (resolution.is_final)
        mem_free(query);
    else
        enqueue(resolver, query, true);
}

static void send_query(struct resolver *resolver, struct query *query)
{
    struct channel *channel = channel_of(resolver, server_of(query), query->is_tcp);

    query->tries++;
    query->sent_us = clock_mono_us();
    query->failure = ARES_SUCCESS;
    query->is_sending = true;
    if (channel)
        ares_query(channel->ares, query->name, ns_c_in, (int)query->type, on_answer, query);
    else
        query->failure = ARES_ENOMEM;
    query->is_sending = false;
    /* The caller is not called back before it returns. */
    if (query->failure != ARES_SUCCESS)
        enqueue(resolver, query, true);
    /* c-ares' deadlines only ever move away: a running timer is early enough. */
    if (channel && !loop_timer_is_running(&channel->timeout))
        rearm(channel);
}

static bool take_token(struct resolver *resolver)
{
    uint64_t now = loop_now_us(resolver->loop);

    if (now > resolver->tokens_at_us) {
        resolver->tokens += (double)(now - resolver->tokens_at_us) * resolver->rate / 1e6;
        resolver->tokens_at_us = now;
    }
    if (resolver->tokens > resolver->burst)
        resolver->tokens = resolver->burst;
    if (resolver->tokens < 1)
        return false;
    resolver->tokens -= 1;
    return true;
}

/* The queries of one channel share a socket, and one ICMP error is told to one of them only: the
 * others would wait for their time-outs. */
static void cancel_refused(struct resolver *resolver)
{
    for (size_t i = 0; i < RESOLVER_SERVERS_MAX + 1; i++) {
        struct channel *channel = resolver->servers[i].udp;
        if (!channel || !channel->is_refused)
            continue;
        channel->is_refused = false;
        ares_cancel(channel->ares);
        rearm(channel);
    }
}

static void send_waiting(void *ctx)
{
    struct resolver *resolver = ctx;

    cancel_refused(resolver);
    while (resolver->waiting) {
        struct query *query = resolver->waiting;
        if (query->failure != ARES_SUCCESS) {
            on_answer(dequeue(resolver), query->failure, 0, NULL, 0);
        } else if (take_token(resolver)) {
            send_query(resolver, dequeue(resolver));
        } else {
            budget_count(resolver->budget, BUDGET_WAIT_DNS);
            arm_turn(resolver, loop_now_us(resolver->loop) + (uint64_t)(1e6 / resolver->rate) + 1);
            return;
        }
    }
}

static void ask(struct resolver *resolver, const char *name, enum dns_type type, bool is_reference,
                resolver_fn fn, void *ctx)
{
    struct query *query = mem_alloc(sizeof(*query));
    size_t length = strnlen(name, sizeof(query->name) - 1);

    query->resolver = resolver;
    query->type = type;
    query->fn = fn;
    query->ctx = ctx;
    query->is_reference = is_reference;
    memcpy(query->name, name, length);
    if (!resolver->waiting && take_token(resolver))
        send_query(resolver, query);
    else
        enqueue(resolver, query, false);
}

void resolver_query(struct resolver *resolver, const char *name, enum dns_type type, resolver_fn fn,
                    void *ctx)
{
    ask(resolver, name, type, false, fn, ctx);
}

bool resolver_has_reference(const struct resolver *resolver)
{
    return resolver->reference;
}

void resolver_query_reference(struct resolver *resolver, const char *name, enum dns_type type,
                              resolver_fn fn, void *ctx)
{
    ask(resolver, name, type, true, fn, ctx);
}

/* ---- life ---- */

static void add_server(struct resolver *resolver, const char *address)
{
    snprintf(resolver->servers[resolver->server_count++].address, HOST_TEXT_MAX, "%s", address);
}

static void set_reference(struct resolver *resolver, const char *address)
{
    for (size_t i = 0; i < resolver->server_count; i++)
        if (strcmp(resolver->servers[i].address, address) == 0)
            return;
    resolver->reference = &resolver->servers[RESOLVER_SERVERS_MAX];
    snprintf(resolver->reference->address, HOST_TEXT_MAX, "%s", address);
}

struct resolver *resolver_new(struct loop *loop, const struct resolver_settings *settings)
{
    struct resolver *resolver = mem_alloc(sizeof(*resolver));
    const struct host *host = settings->host;

    resolver->loop = loop;
    resolver->budget = settings->budget;
    resolver->waiting_tail = &resolver->waiting;
    resolver->rate = settings->rate;
    resolver->burst = settings->burst;
    resolver->tokens = resolver->burst;
    resolver->tokens_at_us = loop_now_us(loop);
    for (size_t i = 0; i < host->resolver_count && i < RESOLVER_SERVERS_MAX; i++)
        add_server(resolver, host->resolvers[i]);
    if (!resolver->server_count)
        add_server(resolver, "127.0.0.1");
    if (settings->reference && *settings->reference)
        set_reference(resolver, settings->reference);
    return resolver;
}

struct resolver *resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return NULL;
    for (size_t i = 0; i < RESOLVER_SERVERS_MAX + 1; i++) {
        resolver->servers[i].udp = close_channel(resolver->servers[i].udp);
        resolver->servers[i].tcp = close_channel(resolver->servers[i].tcp);
    }
    while (resolver->waiting)
        on_answer(dequeue(resolver), ARES_EDESTRUCTION, 0, NULL, 0);
    loop_timer_stop(resolver->loop, &resolver->turn);
    mem_free(resolver);
    return NULL;
}
