#include "agent/watch.h"

#include "agent/metadata.h"
#include "agent/netstat.h"
#include "agent/sockets.h"
#include "common/clock.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CHECKS_MAX 32
#define ARRIVED                                                                   \
    (1U << KERNEL_HALF_OPEN | 1U << KERNEL_ESTABLISHED | 1U << KERNEL_FIN_WAIT1 | \
     1U << KERNEL_FIN_WAIT2 | 1U << KERNEL_CLOSE_WAIT)

/* A listening socket. */
struct listener {
    union kernel_address local;
    uint32_t backlog, queue, first, most;
    uint64_t seen; /* the last look that had it */
};

/* A connection of a peer to a watched port. */
struct arrival {
    union kernel_address local, remote;
    enum kernel_state state;
    bool was_half_open;
    uint64_t first_us, last_us;
};

struct watch {
    struct watch_settings settings;
    struct watch_sink sink;
    struct proto_message message;
    struct sockets *sockets;
    struct loop_timer look, until;
    uint64_t began_us, looks, cost_us;
    struct netstat before;
    uint64_t resets_before;

    struct listener listeners[PROTO_SEEN_MAX];
    struct arrival arrivals[PROTO_SEEN_MAX];
    size_t listener_count, arrival_count;
    uint32_t unlisted, strangers, strangers_now, strangers_before;

    size_t next; /* of the own checks: each target over loopback, then over its own address */
    struct sweep *sweep; /* the own check under way */
    struct loop_timer next_check;
    struct proto_probe checks[CHECKS_MAX];
    size_t check_count;
    const char *unchecked;
    struct metadata_request *request;
    struct buf document; /* of the metadata; empty: none */
    struct arena arena;
};

int64_t watch_id(const struct watch *watch)
{
    return watch->message.watch.id;
}

/* ---- a look ---- */

static bool is_same_host(const union kernel_address *a, const union kernel_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    return a->any.sa_family == AF_INET
               ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
               : memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

static bool is_same(const union kernel_address *a, const union kernel_address *b)
{
    return kernel_address_port(a) == kernel_address_port(b) && is_same_host(a, b);
}

static void see_listener(void *ctx, const struct sockets_entry *entry)
{
    struct watch *watch = ctx;
    struct listener *listener = NULL;

    for (size_t i = 0; i < watch->listener_count && !listener; i++)
        if (is_same(&watch->listeners[i].local, &entry->local))
            listener = &watch->listeners[i];
    if (!listener) {
        if (watch->listener_count == PROTO_SEEN_MAX) {
            watch->unlisted += watch->looks == 0;
            return;
        }
        listener = &watch->listeners[watch->listener_count++];
        *listener = (struct listener){.local = entry->local, .first = entry->queue};
    }
    /* SO_REUSEPORT: several sockets, each with a queue; the fullest one counts. */
    if (listener->seen != watch->looks + 1 || entry->queue > listener->queue)
        listener->queue = entry->queue;
    listener->seen = watch->looks + 1;
    listener->backlog = entry->backlog;
    if (entry->queue > listener->most)
        listener->most = entry->queue;
}

static bool is_watched(const struct proto_watch *watch, uint16_t port)
{
    for (size_t i = 0; i < watch->target_count; i++)
        if (watch->targets[i].port == port)
            return true;
    return false;
}

/* One walk through the kernel's table, however many ports: with one, the kernel leaves out the rest
 * (most tasks have one). */
static uint16_t only_port(const struct proto_watch *watch)
{
    for (size_t i = 1; i < watch->target_count; i++)
        if (watch->targets[i].port != watch->targets[0].port)
            return 0;
    return watch->target_count ? (uint16_t)watch->targets[0].port : 0;
}

static bool is_peer(const struct watch *watch, const union kernel_address *remote)
{
    char text[KERNEL_TEXT_MAX];

    kernel_address_text(remote, text);
    for (size_t i = 0; i < watch->message.watch.peer_count; i++)
        if (strcmp(watch->message.watch.peers[i], text) == 0)
            return true;
    return false;
}

static void see_connection(void *ctx, const struct sockets_entry *entry)
{
    struct watch *watch = ctx;
    struct arrival *arrival = NULL;
    uint64_t now_us = clock_mono_us();

    if (!is_watched(&watch->message.watch, kernel_address_port(&entry->local)))
        return;
    if (!is_peer(watch, &entry->remote)) {
        watch->strangers_now += entry->state == KERNEL_HALF_OPEN;
        return;
    }
    for (size_t i = 0; i < watch->arrival_count && !arrival; i++)
        if (is_same(&watch->arrivals[i].remote, &entry->remote) &&
            is_same(&watch->arrivals[i].local, &entry->local))
            arrival = &watch->arrivals[i];
    if (!arrival) {
        if (watch->arrival_count == PROTO_SEEN_MAX) {
            watch->unlisted++;
            return;
        }
        arrival = &watch->arrivals[watch->arrival_count++];
        *arrival = (struct arrival){.local = entry->local,
                                    .remote = entry->remote,
                                    .was_half_open = entry->state == KERNEL_HALF_OPEN,
                                    .first_us = now_us};
    }
    arrival->state = entry->state;
    arrival->last_us = now_us;
}

static uint64_t cpu_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void look(struct watch *watch)
{
    const struct proto_watch *wanted = &watch->message.watch;
    uint64_t before = cpu_us();

    watch->strangers_now = 0;
    sockets_each(watch->sockets, 1U << KERNEL_LISTEN, 0, see_listener, watch);
    if (wanted->target_count)
        sockets_each(watch->sockets, ARRIVED, only_port(wanted), see_connection, watch);
    if (watch->looks == 0)
        watch->strangers_before = watch->strangers_now;
    if (watch->strangers_now > watch->strangers_before + watch->strangers)
        watch->strangers = watch->strangers_now - watch->strangers_before;
    watch->looks++;
    watch->cost_us += cpu_us() - before;
}

static void on_look(void *ctx)
{
    struct watch *watch = ctx;
    uint64_t before = watch->cost_us, pause_us;

    look(watch);
    pause_us = (watch->cost_us - before) * WATCH_SHARE;
    if (pause_us < PROTO_WATCH_MS * 1000)
        pause_us = PROTO_WATCH_MS * 1000;
    if (pause_us > WATCH_PAUSE_MAX)
        pause_us = WATCH_PAUSE_MAX;
    loop_timer_at(watch->settings.env.loop, &watch->look, clock_mono_us() + pause_us);
}

/* ---- the task's own checks ---- */

static bool is_loopback(const union kernel_address *address)
{
    return address->any.sa_family == AF_INET ? ntohl(address->v4.sin_addr.s_addr) >> 24 == 127
                                             : IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

/* Why a port is not tried; NULL: it may be. What listens on loopback only is nobody else's. */
static const char *reason_against(const struct watch *watch, const struct proto_target *target)
{
    const char *reason = "nothing listens on its port";

    if (strcmp(target->check, "udp") == 0)
        return NULL;
    for (size_t i = 0; i < watch->listener_count; i++) {
        const struct listener *listener = &watch->listeners[i];
        if (kernel_address_port(&listener->local) != target->port || listener->seen != watch->looks)
            continue;
        if (is_loopback(&listener->local)) {
            reason = "it listens on loopback only";
            continue;
        }
        if (listener->queue)
            return "connections wait in its accept queue";
        return NULL;
    }
    return reason;
}

/* The address of the check: an any-address listener takes both. */
static const char *own_address(const struct watch *watch)
{
    const struct host *host = watch->settings.env.host;

    for (size_t i = 0; i < host->address_count; i++)
        if (!strchr(host->addresses[i], ':'))
            return host->addresses[i];
    return host->address_count ? host->addresses[0] : NULL;
}

static bool is_over_loopback(const struct watch *watch)
{
    return watch->next % 2 == 0;
}

static void keep_check(void *ctx, const struct proto_probe *row)
{
    struct watch *watch = ctx;
    struct proto_probe *kept;

    if (watch->check_count == CHECKS_MAX)
        return;
    kept = &watch->checks[watch->check_count++];
    *kept = *row;
    kept->name = arena_strdup(&watch->arena, row->name);
    kept->address = arena_strdup(&watch->arena, row->address);
    kept->local = arena_strdup(&watch->arena, row->local);
    kept->detail = arena_strdup(&watch->arena, row->detail);
    kept->icmp_from = "";
    kept->tls_version = arena_strdup(&watch->arena, row->tls_version ? row->tls_version : "");
    kept->alpn = arena_strdup(&watch->arena, row->alpn ? row->alpn : "");
    kept->chain_count = 0;
    kept->via = is_over_loopback(watch) ? "loopback" : "own-address";
}

static void ignore_resolution(void *ctx, const struct proto_resolution *row)
{
    (void)ctx;
    (void)row;
}

static void on_checks_done(void *ctx)
{
    struct watch *watch = ctx;

    watch->sweep = sweep_free(watch->sweep);
    watch->next++;
    loop_timer_in_ms(watch->settings.env.loop, &watch->next_check, 0);
}

/* One target of the own check: the given endpoint instead of the names. */
static bool make_target(struct watch *watch, const struct proto_target *spec, struct arena *arena,
                        struct proto_target *ret_target)
{
    const char *reason = reason_against(watch, spec);
    const char *address = is_over_loopback(watch) ? "127.0.0.1" : own_address(watch);
    const char **at = arena_alloc(arena, 1, sizeof(*at));

    if (!spec->port || !spec->name_count || !address || reason) {
        watch->unchecked = reason ? reason : "it has no fixed port";
        return false;
    }
    *at = arena_printf(arena, strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, (int)spec->port);
    *ret_target = *spec;
    ret_target->at = at;
    ret_target->at_count = 1;
    ret_target->is_sibling = false;
    ret_target->attempts = ret_target->samples = ret_target->delay_ms = ret_target->hold_ms = 0;
    ret_target->spare_count = 0;
    ret_target->rate_bytes = 0;
    return true;
}

/* The next one that may be tried: one at a time. */
static void begin_check(void *ctx)
{
    struct watch *watch = ctx;
    const struct proto_watch *wanted = &watch->message.watch;
    struct sweep_sink sink = {watch, ignore_resolution, keep_check, on_checks_done};

    for (; watch->next / 2 < wanted->target_count; watch->next++) {
        struct proto_message message = {.type = PROTO_ASSIGNMENT};
        struct proto_assignment *assignment = &message.assignment;
        assignment->deadline_ms = wanted->until_ms;
        assignment->targets = arena_alloc(&message.arena, 1, sizeof(*assignment->targets));
        assignment->target_count = 1;
        if (make_target(watch, &wanted->targets[watch->next / 2], &message.arena,
                        assignment->targets)) {
            watch->sweep = sweep_new(&watch->settings.env, &message, &sink);
            return;
        }
        proto_message_deinit(&message);
    }
}

/* ---- the witness ---- */

static int64_t ms_since_begin(const struct watch *watch, uint64_t at_us)
{
    return (int64_t)((at_us - watch->began_us) / 1000);
}

static void put_listeners(struct watch *watch, struct proto_witness *witness)
{
    struct arena *arena = &watch->arena;

    witness->listeners = arena_alloc(arena, watch->listener_count, sizeof(*witness->listeners));
    for (size_t i = 0; i < watch->listener_count; i++) {
        const struct listener *listener = &watch->listeners[i];
        char text[KERNEL_TEXT_MAX];
        if (listener->seen != watch->looks)
            continue; /* closed meanwhile */
        kernel_address_text(&listener->local, text);
        witness->listeners[witness->listener_count++] = (struct proto_listener){
            .address = arena_strdup(arena, text),
            .port = kernel_address_port(&listener->local),
            .backlog = listener->backlog == SOCKETS_NO_BACKLOG ? -1 : (int64_t)listener->backlog,
            .queue = listener->queue,
            .first = listener->first,
            .most = listener->most,
        };
    }
}

static const char *state_name(enum kernel_state state)
{
    return state == KERNEL_HALF_OPEN     ? "half-open"
           : state == KERNEL_ESTABLISHED ? "established"
                                         : "closing";
}

static void put_arrivals(struct watch *watch, struct proto_witness *witness)
{
    struct arena *arena = &watch->arena;

    witness->arrivals = arena_alloc(arena, watch->arrival_count, sizeof(*witness->arrivals));
    witness->arrival_count = watch->arrival_count;
    for (size_t i = 0; i < watch->arrival_count; i++) {
        const struct arrival *arrival = &watch->arrivals[i];
        char remote[KERNEL_TEXT_MAX], local[KERNEL_TEXT_MAX];
        kernel_endpoint_text(&arrival->remote, remote);
        kernel_endpoint_text(&arrival->local, local);
        witness->arrivals[i] = (struct proto_arrival){
            .remote = arena_strdup(arena, remote),
            .local = arena_strdup(arena, local),
            .state = state_name(arrival->state),
            .first_ms = ms_since_begin(watch, arrival->first_us),
            .last_ms = ms_since_begin(watch, arrival->last_us),
            .is_half_open_before = arrival->was_half_open,
        };
    }
}

/* What the agent did itself is none of the task's doing. */
static void put_counters(struct watch *watch, struct proto_witness *witness)
{
    uint64_t own = kernel_resets() - watch->resets_before;
    struct netstat now;

    netstat_read(&now);
    witness->counters = arena_alloc(&watch->arena, NETSTAT_COUNTERS, sizeof(*witness->counters));
    witness->counter_count = NETSTAT_COUNTERS;
    for (int i = 0; i < NETSTAT_COUNTERS; i++) {
        uint64_t rise = now.values[i] - watch->before.values[i];
        if (i == NETSTAT_OUT_RSTS)
            rise = rise > own ? rise - own : 0;
        witness->counters[i] = (struct proto_counter){netstat_name((enum netstat_counter)i),
                                                      rise <= PROTO_ID_MAX ? (int64_t)rise : 0};
    }
}

static void put_host(struct watch *watch, struct proto_witness *witness)
{
    const struct host *host = watch->settings.env.host;
    const char **resolvers = arena_alloc(&watch->arena, host->resolver_count, sizeof(*resolvers));
    const char **search = arena_alloc(&watch->arena, host->search_count, sizeof(*search));

    for (size_t i = 0; i < host->resolver_count; i++)
        resolvers[i] = host->resolvers[i];
    for (size_t i = 0; i < host->search_count; i++)
        search[i] = host->search[i];
    witness->resolvers = resolvers;
    witness->resolver_count = host->resolver_count;
    witness->search = search;
    witness->search_count = host->search_count;
    witness->dots = host->dots;
    witness->revision = "";
    if (watch->document.length)
        metadata_read_containers(buf_text(&watch->document), watch->document.length,
                                 (int64_t)time(NULL), &watch->arena, witness);
}

static void finish(struct watch *watch)
{
    struct proto_message message = {.type = PROTO_WITNESS};
    struct proto_witness *witness = &message.witness;

    look(watch);
    *witness = (struct proto_witness){
        .instance = watch->settings.instance,
        .run = watch->message.watch.run,
        .assignment = watch->message.watch.id,
        .batch = 1,
        .round = watch->message.watch.round,
        .span_ms = ms_since_begin(watch, clock_mono_us()),
        .looks = (int64_t)watch->looks,
        .cost_us = (int64_t)watch->cost_us,
        .source = sockets_source(watch->sockets),
        .strangers = watch->strangers,
        .unlisted = watch->unlisted,
        .checks = watch->checks,
        .check_count = watch->check_count,
        .unchecked = watch->check_count ? "" : watch->unchecked,
    };
    put_listeners(watch, witness);
    put_arrivals(watch, witness);
    put_counters(watch, witness);
    put_host(watch, witness);
    watch->sink.on_witness(watch->sink.ctx, &message);
}

void watch_settle(struct watch *watch)
{
    loop_timer_stop(watch->settings.env.loop, &watch->until);
    loop_timer_stop(watch->settings.env.loop, &watch->look);
    loop_timer_stop(watch->settings.env.loop, &watch->next_check);
    if (watch->sweep) {
        watch->sweep = sweep_free(watch->sweep);
        watch->unchecked = "it had no answer yet";
    }
    finish(watch); /* the watch may be gone */
}

static void on_until(void *ctx)
{
    watch_settle(ctx);
}

static void on_metadata(void *ctx, const struct buf *document)
{
    struct watch *watch = ctx;

    if (document)
        buf_append(&watch->document, buf_text(document), document->length);
    watch->request = metadata_free(watch->request);
}

struct watch *watch_new(const struct watch_settings *settings, struct proto_message *message,
                        const struct watch_sink *sink)
{
    struct watch *watch = mem_alloc(sizeof(*watch));
    struct loop *loop = settings->env.loop;

    watch->settings = *settings;
    watch->settings.env.is_own_check = true;
    watch->sink = *sink;
    watch->message = *message;
    memset(message, 0, sizeof(*message));
    watch->sockets = sockets_open(settings->force_proc);
    watch->document = BUF_INIT(METADATA_MAX);
    watch->unchecked = "not asked for";
    watch->began_us = clock_mono_us();
    watch->resets_before = kernel_resets();
    netstat_read(&watch->before);
    watch->look = (struct loop_timer){.fn = on_look, .ctx = watch};
    watch->until = (struct loop_timer){.fn = on_until, .ctx = watch};
    watch->next_check = (struct loop_timer){.fn = begin_check, .ctx = watch};
    on_look(watch);
    loop_timer_in_ms(loop, &watch->until, (uint64_t)watch->message.watch.until_ms);
    if (watch->message.watch.is_checking) {
        watch->request = metadata_ask(loop, on_metadata, watch);
        /* After a pause: what waits in an accept queue only for a moment is taken by then. */
        loop_timer_in_ms(loop, &watch->next_check, PROTO_WATCH_MS);
    }
    return watch;
}

struct watch *watch_free(struct watch *watch)
{
    struct loop *loop;

    if (!watch)
        return NULL;
    loop = watch->settings.env.loop;
    loop_timer_stop(loop, &watch->look);
    loop_timer_stop(loop, &watch->until);
    loop_timer_stop(loop, &watch->next_check);
    sweep_free(watch->sweep);
    metadata_free(watch->request);
    sockets_close(watch->sockets);
    buf_deinit(&watch->document);
    proto_message_deinit(&watch->message);
    arena_deinit(&watch->arena);
    mem_free(watch);
    return NULL;
}
