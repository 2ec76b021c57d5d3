#include "agent/sweep.h"

#include "agent/probe.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#define ENDPOINT_TEXT_MAX 64
#define SRV_TEXT_MAX      300

/* A target, ready to probe. */
struct target {
    const struct proto_target *spec;
    struct probe_plan plan;
    bool is_supported;
};

/* One host of a target whose addresses are wanted: the discovery name, or where its SRV points. */
struct host_ref {
    struct host_ref *next; /* of the sweep */
    struct target *target;
    const char *name; /* the discovery name, as rows name it */
    uint16_t port;
    unsigned pending; /* lookups that have not answered */
    size_t endpoints;
    enum proto_outcome outcome; /* the worst failure so far */
    uint64_t resolve_us;        /* the slowest lookup */
};

struct waiter {
    struct waiter *next;
    struct host_ref *ref;
};

/* One (name, type), asked once. */
struct lookup {
    struct sweep *sweep;
    enum dns_type type;
    struct waiter *waiters;
    bool is_answered;
    struct resolution result;
    UT_hash_handle hh;
    char key[DNSMSG_NAME_MAX + 8]; /* "28 api.shop.local", lower case */
};

struct attempt {
    struct attempt *next, *previous;
    struct sweep *sweep;
    struct target *target;
    struct probe probe;
    const char *name;
    uint64_t resolve_us;
};

struct sweep {
    struct sweep_env env;
    struct sweep_sink sink;
    struct proto_message message;
    struct target *targets;
    struct host_ref *refs;
    struct lookup *lookups;
    size_t lookups_open; /* queries without an answer yet */

    struct attempt *waiting, **waiting_tail;
    struct attempt *running;
    size_t endpoints;           /* attempts ever made */
    struct sweep *next_waiting; /* in the limits' list */
    bool is_waiting;

    struct loop_timer starter;
    struct loop_timer deadline; /* the run is over then: what is left would come late */
    bool is_started, is_done;
    bool is_freed; /* freed while its lookups were under way: the last answer ends it */
};

/* ---- rows ---- */

static void emit_unresolved(struct sweep *sweep, const struct target *target, const char *name,
                            uint16_t port, enum proto_outcome outcome, int64_t resolve_us)
{
    struct proto_probe row = {
        .target = target->spec->id,
        .name = name,
        .address = "",
        .port = port,
        .phase = PHASE_RESOLVE,
        .outcome = outcome,
        .local = "",
        .resolve_us = resolve_us,
        .connect_us = -1,
        .tls_us = -1,
        .exchange_us = -1,
        .detail = "",
    };

    sweep->sink.on_probe(sweep->sink.ctx, &row);
}

static void address_text(const union probe_address *address, char *out, size_t size)
{
    const void *bytes = address->any.sa_family == AF_INET ? (const void *)&address->v4.sin_addr
                                                          : (const void *)&address->v6.sin6_addr;

    if (!inet_ntop(address->any.sa_family, bytes, out, (socklen_t)size))
        out[0] = '\0';
}

static uint16_t address_port(const union probe_address *address)
{
    return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
}

static void emit_attempt(const struct attempt *attempt)
{
    const struct probe *probe = &attempt->probe;
    char remote[ENDPOINT_TEXT_MAX], local[ENDPOINT_TEXT_MAX] = "", host[INET6_ADDRSTRLEN];
    struct proto_probe row = {
        .target = attempt->target->spec->id,
        .name = attempt->name,
        .address = remote,
        .port = address_port(&probe->remote),
        .phase = probe->phase,
        .outcome = probe->outcome,
        .error = probe->error,
        .local = local,
        .resolve_us = (int64_t)attempt->resolve_us,
        .connect_us = probe->phase_us[PHASE_CONNECT],
        .tls_us = probe->phase_us[PHASE_TLS],
        .exchange_us = probe->phase_us[PHASE_EXCHANGE],
        .status = probe->answer.status > 0 ? probe->answer.status : 0,
        .detail = "",
    };

    address_text(&probe->remote, remote, sizeof(remote));
    if (probe->local.any.sa_family) {
        bool is_v6 = probe->local.any.sa_family == AF_INET6;
        address_text(&probe->local, host, sizeof(host));
        snprintf(local, sizeof(local), is_v6 ? "[%s]:%u" : "%s:%u", host,
                 address_port(&probe->local));
    }
    attempt->sweep->sink.on_probe(attempt->sweep->sink.ctx, &row);
}

static const char *type_name(enum dns_type type)
{
    return type == DNS_A ? "A" : type == DNS_AAAA ? "AAAA" : "SRV";
}

static void emit_resolution(struct sweep *sweep, const struct lookup *lookup)
{
    const struct resolution *result = &lookup->result;
    const struct dns_answer *answer = &result->answer;
    char(*texts)[SRV_TEXT_MAX] = mem_array(answer->count, SRV_TEXT_MAX);
    const char *answers[DNSMSG_ANSWERS_MAX];
    struct proto_resolution row = {
        .name = strchr(lookup->key, ' ') + 1,
        .type = type_name(lookup->type),
        .outcome = result->outcome,
        .rcode = answer->rcode,
        .ttl_s = answer->count ? (int64_t)answer->ttl_s : -1,
        .time_us = (int64_t)result->time_us,
        .resolver = sweep->env.host->resolver_count ? sweep->env.host->resolvers[0] : "",
        .answers = answers,
        .answer_count = answer->count,
    };

    for (size_t i = 0; i < answer->count; i++) {
        const struct dns_record *record = &answer->records[i];
        if (lookup->type == DNS_SRV)
            snprintf(texts[i], SRV_TEXT_MAX, "%u %u %u %s", record->priority, record->weight,
                     record->port, record->name);
        else
            inet_ntop(lookup->type == DNS_A ? AF_INET : AF_INET6, record->address, texts[i],
                      SRV_TEXT_MAX);
        answers[i] = texts[i];
    }
    sweep->sink.on_resolution(sweep->sink.ctx, &row);
    mem_free(texts);
}

/* ---- attempts ---- */

static void start_waiting(struct sweep *sweep);

static void finish_if_done(struct sweep *sweep)
{
    if (!sweep->is_started || sweep->is_done || sweep->lookups_open || sweep->waiting ||
        sweep->running)
        return;
    sweep->is_done = true;
    sweep->sink.on_done(sweep->sink.ctx);
}

static void unlink_running(struct attempt *attempt)
{
    struct sweep *sweep = attempt->sweep;

    if (attempt->previous)
        attempt->previous->next = attempt->next;
    else
        sweep->running = attempt->next;
    if (attempt->next)
        attempt->next->previous = attempt->previous;
    sweep->env.limits->in_flight--;
}

static void wake_waiting_sweeps(struct sweep_limits *limits)
{
    while (limits->waiting && limits->in_flight < SWEEP_IN_FLIGHT) {
        struct sweep *sweep = limits->waiting;
        limits->waiting = sweep->next_waiting;
        sweep->is_waiting = false;
        start_waiting(sweep);
    }
}

static void on_probe_done(void *ctx, struct probe *probe)
{
    struct attempt *attempt = ctx;
    struct sweep *sweep = attempt->sweep;
    struct sweep_limits *limits = sweep->env.limits;

    (void)probe;
    emit_attempt(attempt);
    unlink_running(attempt);
    mem_free(attempt);
    /* The starter goes on with the rest: no recursion, however many fail at once. */
    if (!loop_timer_is_running(&sweep->starter))
        loop_timer_at(sweep->env.loop, &sweep->starter, 0);
    if (limits->waiting && limits->waiting != sweep)
        loop_timer_at(sweep->env.loop, &limits->waiting->starter, 0);
}

static void queue_for_slot(struct sweep *sweep)
{
    struct sweep **at = &sweep->env.limits->waiting;

    if (sweep->is_waiting)
        return;
    while (*at)
        at = &(*at)->next_waiting;
    *at = sweep;
    sweep->next_waiting = NULL;
    sweep->is_waiting = true;
}

static void start_waiting(struct sweep *sweep)
{
    struct sweep_limits *limits = sweep->env.limits;

    while (sweep->waiting && limits->in_flight < SWEEP_IN_FLIGHT) {
        struct attempt *attempt = sweep->waiting;
        sweep->waiting = attempt->next;
        if (!sweep->waiting)
            sweep->waiting_tail = &sweep->waiting;
        attempt->previous = NULL;
        attempt->next = sweep->running;
        if (sweep->running)
            sweep->running->previous = attempt;
        sweep->running = attempt;
        limits->in_flight++;
        probe_start(&attempt->probe);
    }
    if (sweep->waiting)
        queue_for_slot(sweep);
}

static bool is_refused_here(struct sweep *sweep, const struct host_ref *ref,
                            const union probe_address *address, enum proto_outcome *ret_outcome)
{
    char text[INET6_ADDRSTRLEN];

    address_text(address, text, sizeof(text));
    if (ref->target->spec->is_sibling && host_owns(sweep->env.host, text))
        *ret_outcome = OUTCOME_SELF;
    else if (!host_has_family(sweep->env.host, address->any.sa_family))
        *ret_outcome = OUTCOME_SKIPPED;
    else if (!policy_allows_address(sweep->env.policy, &address->any))
        *ret_outcome = OUTCOME_NOT_ALLOWED;
    else if (sweep->endpoints > SWEEP_ENDPOINTS_MAX)
        *ret_outcome = OUTCOME_OVER_BUDGET;
    else
        return false;
    return true;
}

static void emit_refused(const struct attempt *attempt, enum proto_outcome outcome)
{
    struct attempt copy = *attempt;

    copy.probe.phase = PHASE_CONNECT;
    copy.probe.outcome = outcome;
    for (int i = 0; i < PHASE_COUNT; i++)
        copy.probe.phase_us[i] = -1;
    emit_attempt(&copy);
}

static void add_endpoint(struct sweep *sweep, struct host_ref *ref,
                         const union probe_address *address)
{
    struct attempt *attempt = mem_alloc(sizeof(*attempt));
    enum proto_outcome refusal;

    ref->endpoints++;
    sweep->endpoints++;
    attempt->sweep = sweep;
    attempt->target = ref->target;
    attempt->name = ref->name;
    attempt->resolve_us = ref->resolve_us;
    attempt->probe.remote = *address;
    attempt->probe.loop = sweep->env.loop;
    attempt->probe.plan = &ref->target->plan;
    attempt->probe.fn = on_probe_done;
    attempt->probe.ctx = attempt;
    if (is_refused_here(sweep, ref, address, &refusal)) {
        emit_refused(attempt, refusal);
        mem_free(attempt);
        return;
    }
    *sweep->waiting_tail = attempt;
    sweep->waiting_tail = &attempt->next;
}

/* ---- names ---- */

static void resolve_host(struct sweep *sweep, struct target *target, const char *host,
                         const char *name, uint16_t port);

/* How much a failed lookup says: no answer beats "no such record", so that a time-out of one type
 * is not hidden by NODATA of the other. */
static int severity(enum proto_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_OK:
        return 0;
    case OUTCOME_NODATA:
        return 1;
    case OUTCOME_NXDOMAIN:
        return 2;
    default:
        return 3;
    }
}

static void add_srv_hosts(struct sweep *sweep, struct host_ref *ref, const struct lookup *lookup)
{
    for (size_t i = 0; i < lookup->result.answer.count; i++) {
        const struct dns_record *record = &lookup->result.answer.records[i];
        char *host = arena_strdup(&sweep->message.arena, record->name);
        ref->endpoints++;
        resolve_host(sweep, ref->target, host, ref->name, record->port);
    }
}

static void add_addresses(struct sweep *sweep, struct host_ref *ref, const struct lookup *lookup)
{
    for (size_t i = 0; i < lookup->result.answer.count; i++) {
        const struct dns_record *record = &lookup->result.answer.records[i];
        union probe_address address = {0};
        if (lookup->type == DNS_A) {
            address.v4.sin_family = AF_INET;
            address.v4.sin_port = htons(ref->port);
            memcpy(&address.v4.sin_addr, record->address, 4);
        } else {
            address.v6.sin6_family = AF_INET6;
            address.v6.sin6_port = htons(ref->port);
            memcpy(&address.v6.sin6_addr, record->address, 16);
        }
        add_endpoint(sweep, ref, &address);
    }
}

static void take_answer(struct sweep *sweep, struct host_ref *ref, const struct lookup *lookup)
{
    const struct resolution *result = &lookup->result;

    ref->pending--;
    if (result->time_us > ref->resolve_us)
        ref->resolve_us = result->time_us;
    if (severity(result->outcome) > severity(ref->outcome))
        ref->outcome = result->outcome;
    if (result->outcome == OUTCOME_OK && lookup->type == DNS_SRV)
        add_srv_hosts(sweep, ref, lookup);
    else if (result->outcome == OUTCOME_OK)
        add_addresses(sweep, ref, lookup);
    if (ref->pending == 0 && ref->endpoints == 0)
        emit_unresolved(sweep, ref->target, ref->name, ref->port, ref->outcome,
                        (int64_t)ref->resolve_us);
}

static void on_resolved(void *ctx, const struct resolution *resolution)
{
    struct lookup *lookup = ctx;
    struct sweep *sweep = lookup->sweep;

    sweep->lookups_open--;
    if (sweep->is_freed) {
        if (sweep->lookups_open == 0)
            sweep_free(sweep);
        return;
    }
    lookup->result = *resolution;
    lookup->result.answer.records = mem_dup(
        resolution->answer.records, resolution->answer.count * sizeof(*resolution->answer.records));
    lookup->is_answered = true;
    emit_resolution(sweep, lookup);
    while (lookup->waiters) {
        struct waiter *waiter = lookup->waiters;
        lookup->waiters = waiter->next;
        take_answer(sweep, waiter->ref, lookup);
        mem_free(waiter);
    }
    start_waiting(sweep);
    finish_if_done(sweep);
}

static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static struct lookup *find_lookup(struct sweep *sweep, const char *host, enum dns_type type)
{
    struct lookup *lookup;
    char key[sizeof(lookup->key)];

    snprintf(key, sizeof(key), "%d %.253s", type, host);
    lower(key);
    HASH_FIND_STR(sweep->lookups, key, lookup);
    if (lookup)
        return lookup;
    lookup = mem_alloc(sizeof(*lookup));
    lookup->sweep = sweep;
    lookup->type = type;
    memcpy(lookup->key, key, sizeof(key));
    HASH_ADD_STR(sweep->lookups, key, lookup);
    sweep->lookups_open++;
    resolver_query(sweep->env.resolver, strchr(lookup->key, ' ') + 1, type, on_resolved, lookup);
    return lookup;
}

static void ask(struct sweep *sweep, struct host_ref *ref, const char *host, enum dns_type type)
{
    struct lookup *lookup = find_lookup(sweep, host, type);
    struct waiter *waiter;

    ref->pending++;
    if (lookup->is_answered) {
        take_answer(sweep, ref, lookup);
        return;
    }
    waiter = mem_alloc(sizeof(*waiter));
    waiter->ref = ref;
    waiter->next = lookup->waiters;
    lookup->waiters = waiter;
}

static struct host_ref *new_ref(struct sweep *sweep, struct target *target, const char *name,
                                uint16_t port)
{
    struct host_ref *ref = mem_alloc(sizeof(*ref));

    *ref = (struct host_ref){
        .next = sweep->refs, .target = target, .name = name, .port = port, .outcome = OUTCOME_OK};
    sweep->refs = ref;
    return ref;
}

static void resolve_host(struct sweep *sweep, struct target *target, const char *host,
                         const char *name, uint16_t port)
{
    struct host_ref *ref;

    if (!policy_allows_name(sweep->env.policy, host)) {
        emit_unresolved(sweep, target, name, port, OUTCOME_NOT_ALLOWED, -1);
        return;
    }
    ref = new_ref(sweep, target, name, port);
    /* Held open, so that an answer from the cache does not end it before the second question. */
    ref->pending++;
    ask(sweep, ref, host, DNS_A);
    ref->pending--;
    ask(sweep, ref, host, DNS_AAAA);
}

static void resolve_srv(struct sweep *sweep, struct target *target, const char *name)
{
    if (!policy_allows_name(sweep->env.policy, name)) {
        emit_unresolved(sweep, target, name, 0, OUTCOME_NOT_ALLOWED, -1);
        return;
    }
    ask(sweep, new_ref(sweep, target, name, 0), name, DNS_SRV);
}

/* ---- life ---- */

static void start_target(struct sweep *sweep, struct target *target)
{
    const struct proto_target *spec = target->spec;

    for (size_t i = 0; i < spec->name_count; i++) {
        if (!target->is_supported)
            emit_unresolved(sweep, target, spec->names[i], (uint16_t)spec->port,
                            OUTCOME_UNSUPPORTED, -1);
        else if (strcmp(spec->record, "SRV") == 0)
            resolve_srv(sweep, target, spec->names[i]);
        else
            resolve_host(sweep, target, spec->names[i], spec->names[i], (uint16_t)spec->port);
    }
}

static void on_starter(void *ctx)
{
    struct sweep *sweep = ctx;

    if (!sweep->is_started) {
        sweep->is_started = true;
        for (size_t i = 0; i < sweep->message.assignment.target_count; i++)
            start_target(sweep, &sweep->targets[i]);
    }
    start_waiting(sweep);
    wake_waiting_sweeps(sweep->env.limits);
    finish_if_done(sweep);
}

static void on_deadline(void *ctx)
{
    struct sweep *sweep = ctx;

    if (sweep->is_done)
        return;
    sweep->is_done = true;
    sweep->sink.on_done(sweep->sink.ctx);
}

static void plan_target(struct sweep *sweep, struct target *target, const struct proto_target *spec)
{
    CLEANUP_BUF struct buf request = BUF_INIT(PROTO_PATH_MAX + 512);

    target->spec = spec;
    target->is_supported = probe_check_from_name(spec->check, &target->plan.check);
    target->plan.timeout_us = (uint64_t)spec->timeout_ms * 1000;
    target->plan.status = spec->status;
    if (target->plan.check != PROBE_HTTP || !spec->name_count)
        return;
    /* With SRV the port is not known yet: Host goes without one. */
    http_request(&request, *spec->path ? spec->path : "/", spec->names[0],
                 spec->port ? (int)spec->port : 80);
    target->plan.request = arena_strdup(&sweep->message.arena, buf_text(&request));
    target->plan.request_length = request.length;
}

struct sweep *sweep_new(const struct sweep_env *env, struct proto_message *message,
                        const struct sweep_sink *sink)
{
    struct sweep *sweep = mem_alloc(sizeof(*sweep));
    const struct proto_assignment *assignment = &sweep->message.assignment;

    sweep->env = *env;
    sweep->sink = *sink;
    sweep->message = *message;
    memset(message, 0, sizeof(*message));
    sweep->waiting_tail = &sweep->waiting;
    sweep->targets = mem_array(assignment->target_count, sizeof(*sweep->targets));
    for (size_t i = 0; i < assignment->target_count; i++)
        plan_target(sweep, &sweep->targets[i], &assignment->targets[i]);
    sweep->starter = (struct loop_timer){.fn = on_starter, .ctx = sweep};
    loop_timer_at(env->loop, &sweep->starter, 0);
    sweep->deadline = (struct loop_timer){.fn = on_deadline, .ctx = sweep};
    loop_timer_in_ms(env->loop, &sweep->deadline, (uint64_t)assignment->deadline_ms);
    return sweep;
}

static void drop_attempts(struct sweep *sweep)
{
    while (sweep->running) {
        struct attempt *attempt = sweep->running;
        probe_cancel(&attempt->probe);
        unlink_running(attempt);
        mem_free(attempt);
    }
    while (sweep->waiting) {
        struct attempt *attempt = sweep->waiting;
        sweep->waiting = attempt->next;
        mem_free(attempt);
    }
}

static void leave_limits(struct sweep *sweep)
{
    for (struct sweep **at = &sweep->env.limits->waiting; *at; at = &(*at)->next_waiting)
        if (*at == sweep) {
            *at = sweep->next_waiting;
            break;
        }
}

static void drop_lookups(struct sweep *sweep)
{
    struct lookup *lookup, *next;

    HASH_ITER(hh, sweep->lookups, lookup, next)
    {
        HASH_DEL(sweep->lookups, lookup);
        while (lookup->waiters) {
            struct waiter *waiter = lookup->waiters;
            lookup->waiters = waiter->next;
            mem_free(waiter);
        }
        if (lookup->is_answered)
            mem_free(lookup->result.answer.records);
        mem_free(lookup);
    }
}

struct sweep *sweep_free(struct sweep *sweep)
{
    if (!sweep)
        return NULL;
    loop_timer_stop(sweep->env.loop, &sweep->starter);
    loop_timer_stop(sweep->env.loop, &sweep->deadline);
    drop_attempts(sweep);
    leave_limits(sweep);
    /* Its slots are free: nobody else's probe may be left to hand them on. */
    if (sweep->env.limits->waiting)
        loop_timer_at(sweep->env.loop, &sweep->env.limits->waiting->starter, 0);
    if (sweep->lookups_open) {
        sweep->is_freed = true;
        return NULL;
    }
    drop_lookups(sweep);
    while (sweep->refs) {
        struct host_ref *ref = sweep->refs;
        sweep->refs = ref->next;
        mem_free(ref);
    }
    mem_free(sweep->targets);
    proto_message_deinit(&sweep->message);
    mem_free(sweep);
    return NULL;
}
