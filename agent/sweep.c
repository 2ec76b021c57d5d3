#include "agent/sweep.h"

#include "agent/check.h"
#include "agent/names.h"
#include "agent/probe.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <string.h>

/* A target, ready to probe: a plan for each of its names. */
struct target {
    const struct proto_target *spec;
    struct probe_plan *plans;
    const char *refusal; /* NULL: it can be probed */
    enum proto_outcome refused;
    uint64_t begins_us; /* no probe before */
};

/* An endpoint that waits for its probe. */
struct endpoint {
    struct endpoint *next;
    struct target *target;
    struct names_endpoint place;
    unsigned attempt;       /* 1, 2, ... */
    uint64_t not_before_us; /* while it sleeps */
};

/* A probe under way. */
struct attempt {
    struct attempt *next, *previous;
    struct sweep *sweep;
    struct target *target;
    struct names_endpoint place;
    unsigned number; /* 1, 2, ... at this endpoint */
    struct probe probe;
};

struct sweep {
    struct sweep_env env;
    struct sweep_sink sink;
    struct proto_message message;
    struct target *targets;
    struct names *names;

    struct endpoint *waiting, **waiting_tail;
    struct endpoint *sleeping; /* whose time has not come; the next first */
    struct attempt *running;
    size_t endpoints;           /* ever */
    struct sweep *next_waiting; /* in the queue */
    bool is_queued;

    struct loop_timer starter;
    struct loop_timer deadline; /* the run is over then: what is left would come late */
    bool is_started, is_done;
};

/* ---- rows ---- */

static struct proto_probe empty_row(const struct target *target, const char *name)
{
    return (struct proto_probe){
        .target = target->spec->id,
        .name = name,
        .address = "",
        .local = "",
        .detail = "",
        .resolve_us = -1,
        .connect_us = -1,
        .tls_us = -1,
        .exchange_us = -1,
    };
}

static void emit_unresolved(struct sweep *sweep, const struct target *target, const char *name,
                            uint16_t port, enum proto_outcome outcome, int64_t resolve_us,
                            const char *detail)
{
    struct proto_probe row = empty_row(target, name);

    row.port = port;
    row.phase = PHASE_RESOLVE;
    row.outcome = outcome;
    row.resolve_us = resolve_us;
    row.detail = detail;
    sweep->sink.on_probe(sweep->sink.ctx, &row);
}

static void put_kernel_facts(const struct kernel_facts *facts, char icmp_from[KERNEL_TEXT_MAX],
                             struct proto_probe *row)
{
    row->retransmits = facts->retransmits;
    row->rtt_us = facts->rtt_us;
    row->mss = facts->mss;
    row->pmtu = facts->pmtu;
    if (!facts->has_icmp)
        return;
    kernel_address_text(&facts->icmp_from, icmp_from);
    row->icmp_type = facts->icmp_type;
    row->icmp_code = facts->icmp_code;
    row->icmp_from = icmp_from;
}

static void put_tls_facts(struct tls_facts *facts, const char **chain, struct proto_probe *row)
{
    if (!facts)
        return;
    row->tls_version = facts->version;
    row->alpn = facts->alpn;
    row->is_resumed = facts->is_resumed;
    row->verify = facts->verify;
    row->valid_days = facts->valid_days;
    for (size_t i = 0; i < facts->chain_count; i++)
        chain[i] = facts->chain[i];
    row->chain = chain;
    row->chain_count = facts->chain_count;
}

/* A probe of the task's own proxy that exchanged nothing with the service behind it shows only that
 * the proxy is there (Service Connect). */
static enum proto_outcome judge_outcome(const struct attempt *attempt)
{
    const struct probe *probe = &attempt->probe;

    return probe->outcome == OUTCOME_OK && probe->plan->check == &check_tcp &&
                   policy_allows_proxy(&probe->remote.any)
               ? OUTCOME_PROXY
               : probe->outcome;
}

static void emit_attempt(const struct attempt *attempt)
{
    const struct probe *probe = &attempt->probe;
    char remote[KERNEL_TEXT_MAX], local[KERNEL_TEXT_MAX], icmp_from[KERNEL_TEXT_MAX];
    const char *chain[PROTO_CHAIN_MAX];
    struct proto_probe row = empty_row(attempt->target, attempt->place.name);

    kernel_address_text(&probe->remote, remote);
    kernel_endpoint_text(&probe->local, local);
    row.address = remote;
    row.port = kernel_address_port(&probe->remote);
    row.phase = probe->phase;
    row.outcome = judge_outcome(attempt);
    row.error = probe->error;
    row.local = local;
    row.resolve_us = (int64_t)attempt->place.resolve_us;
    row.connect_us = probe->phase_us[PHASE_CONNECT];
    row.tls_us = probe->phase_us[PHASE_TLS];
    row.exchange_us = probe->phase_us[PHASE_EXCHANGE];
    row.status = probe->exchange.status;
    row.detail = probe->exchange.detail ? probe->exchange.detail : "";
    row.via = attempt->place.via;
    row.bytes_out = (int64_t)probe->bytes_out;
    row.bytes_in = (int64_t)probe->bytes_in;
    row.rate = probe->rate;
    row.attempt = attempt->number == 1 ? 0 : (int64_t)attempt->number;
    row.is_held = probe->is_held;
    row.late = probe->late == OUTCOME_UNKNOWN ? "" : outcome_name(probe->late);
    row.late_us = (int64_t)probe->late_us;
    put_kernel_facts(&probe->kernel, icmp_from, &row);
    put_tls_facts(probe->tls_facts, chain, &row);
    attempt->sweep->sink.on_probe(attempt->sweep->sink.ctx, &row);
}

static void emit_refused(struct sweep *sweep, const struct target *target,
                         const struct names_endpoint *place, enum proto_outcome outcome)
{
    char remote[KERNEL_TEXT_MAX];
    struct proto_probe row = empty_row(target, place->name);

    kernel_address_text(&place->address, remote);
    row.address = remote;
    row.port = kernel_address_port(&place->address);
    row.phase = PHASE_CONNECT;
    row.outcome = outcome;
    row.resolve_us = (int64_t)place->resolve_us;
    row.via = place->via;
    sweep->sink.on_probe(sweep->sink.ctx, &row);
}

/* ---- probes ---- */

static unsigned weight_of(const struct probe_plan *plan)
{
    return plan->tls ? BUDGET_TLS_SLOTS : 1;
}

static void finish_if_done(struct sweep *sweep)
{
    if (!sweep->is_started || sweep->is_done || sweep->waiting || sweep->sleeping ||
        sweep->running || !names_are_resolved(sweep->names))
        return;
    sweep->is_done = true;
    sweep->sink.on_done(sweep->sink.ctx);
}

static void wake(struct sweep *sweep, uint64_t at_us)
{
    if (!loop_timer_is_running(&sweep->starter) || sweep->starter.at_us > at_us)
        loop_timer_at(sweep->env.loop, &sweep->starter, at_us);
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
    budget_give(sweep->env.budget, weight_of(attempt->probe.plan));
}

static void put_to_wait(struct sweep *sweep, struct endpoint *endpoint)
{
    endpoint->next = NULL;
    *sweep->waiting_tail = endpoint;
    sweep->waiting_tail = &endpoint->next;
}

static void put_to_sleep(struct sweep *sweep, struct endpoint *endpoint)
{
    struct endpoint **at = &sweep->sleeping;

    while (*at && (*at)->not_before_us <= endpoint->not_before_us)
        at = &(*at)->next;
    endpoint->next = *at;
    *at = endpoint;
    wake(sweep, sweep->sleeping->not_before_us);
}

static void add_endpoint(struct sweep *sweep, struct target *target,
                         const struct names_endpoint *place, unsigned attempt,
                         uint64_t not_before_us)
{
    struct endpoint *endpoint = mem_alloc(sizeof(*endpoint));

    endpoint->target = target;
    endpoint->place = *place;
    endpoint->attempt = attempt;
    endpoint->not_before_us = not_before_us;
    if (not_before_us > clock_mono_us())
        put_to_sleep(sweep, endpoint);
    else
        put_to_wait(sweep, endpoint);
}

static void wake_sleeping(struct sweep *sweep)
{
    uint64_t now = clock_mono_us();

    while (sweep->sleeping && sweep->sleeping->not_before_us <= now) {
        struct endpoint *endpoint = sweep->sleeping;
        sweep->sleeping = endpoint->next;
        put_to_wait(sweep, endpoint);
    }
    if (sweep->sleeping)
        wake(sweep, sweep->sleeping->not_before_us);
}

/* A lost packet shows in one connection out of several. */
static void sample_again(struct attempt *attempt)
{
    const struct proto_target *spec = attempt->target->spec;

    if (attempt->number < spec->samples && judge_outcome(attempt) == OUTCOME_OK)
        add_endpoint(attempt->sweep, attempt->target, &attempt->place, attempt->number + 1,
                     attempt->probe.started_us + (uint64_t)spec->spacing_ms * 1000);
}

static void on_probe_done(void *ctx, struct probe *probe)
{
    struct attempt *attempt = ctx;
    struct sweep *sweep = attempt->sweep;

    if (probe->was_cut)
        budget_count(sweep->env.budget, BUDGET_BY_READ);
    emit_attempt(attempt);
    sample_again(attempt);
    unlink_running(attempt);
    mem_free(attempt);
    /* The starter goes on with the rest: no recursion, however many fail at once. */
    wake(sweep, 0);
    if (sweep->env.queue->first)
        wake(sweep->env.queue->first, 0);
}

static void leave_queue(struct sweep *sweep)
{
    for (struct sweep **at = &sweep->env.queue->first; *at; at = &(*at)->next_waiting)
        if (*at == sweep) {
            *at = sweep->next_waiting;
            break;
        }
    sweep->is_queued = false;
}

static void join_queue(struct sweep *sweep)
{
    struct sweep **at = &sweep->env.queue->first;

    if (sweep->is_queued)
        return;
    while (*at)
        at = &(*at)->next_waiting;
    *at = sweep;
    sweep->next_waiting = NULL;
    sweep->is_queued = true;
}

static struct probe_plan *plan_of(const struct endpoint *endpoint)
{
    const struct target *target = endpoint->target;
    size_t i = 0;

    while (i + 1 < (size_t)target->spec->name_count &&
           target->spec->names[i] != endpoint->place.name)
        i++;
    return &target->plans[i];
}

static void start_probe(struct sweep *sweep, struct endpoint *endpoint, struct probe_plan *plan)
{
    struct attempt *attempt = mem_alloc(sizeof(*attempt));

    attempt->sweep = sweep;
    attempt->target = endpoint->target;
    attempt->place = endpoint->place;
    attempt->number = endpoint->attempt;
    attempt->next = sweep->running;
    if (sweep->running)
        sweep->running->previous = attempt;
    sweep->running = attempt;
    attempt->probe.remote = endpoint->place.address;
    attempt->probe.loop = sweep->env.loop;
    attempt->probe.plan = plan;
    attempt->probe.fn = on_probe_done;
    attempt->probe.ctx = attempt;
    mem_free(endpoint);
    probe_start(&attempt->probe);
}

static struct endpoint *take_waiting(struct sweep *sweep)
{
    struct endpoint *endpoint = sweep->waiting;

    sweep->waiting = endpoint->next;
    if (!sweep->waiting)
        sweep->waiting_tail = &sweep->waiting;
    return endpoint;
}

/* Starts what the budget allows. */
static void start_waiting(struct sweep *sweep)
{
    struct budget *budget = sweep->env.budget;
    enum budget_answer answer = BUDGET_GO;
    uint64_t now = clock_mono_us(), retry_us = 0;

    while (sweep->waiting) {
        struct probe_plan *plan = plan_of(sweep->waiting);
        if (!budget_has_memory(budget)) {
            struct endpoint *endpoint = take_waiting(sweep);
            emit_refused(sweep, endpoint->target, &endpoint->place, OUTCOME_OVER_BUDGET);
            mem_free(endpoint);
            continue;
        }
        answer = budget_take(budget, weight_of(plan), now, &retry_us);
        if (answer != BUDGET_GO)
            break;
        start_probe(sweep, take_waiting(sweep), plan);
    }
    if (!sweep->waiting)
        return;
    budget_count(budget, answer == BUDGET_NO_SLOT ? BUDGET_WAIT_SLOT : BUDGET_WAIT_RATE);
    join_queue(sweep);
    if (answer == BUDGET_TOO_FAST)
        wake(sweep->env.queue->first, retry_us);
}

/* This one, then those that wait, in turn. */
static void start_all_waiting(struct sweep *sweep)
{
    struct sweep_queue *queue = sweep->env.queue;
    size_t rounds = 0;

    if (!sweep->is_queued)
        start_waiting(sweep);
    for (struct sweep *at = queue->first; at; at = at->next_waiting)
        rounds++;
    while (rounds-- > 0 && queue->first) {
        struct sweep *next = queue->first;
        leave_queue(next);
        start_waiting(next);
        if (next->is_queued)
            break; /* the budget is used up */
        if (next != sweep)
            wake(next, 0); /* it may be done */
    }
}

/* ---- endpoints ---- */

static bool is_own(const struct sweep *sweep, const union kernel_address *address)
{
    char text[KERNEL_TEXT_MAX];

    kernel_address_text(address, text);
    return host_owns(sweep->env.host, text);
}

static bool is_spared(const struct target *target, const union kernel_address *address)
{
    char text[KERNEL_TEXT_MAX];

    if (!target->spec->spare_count)
        return false;
    kernel_endpoint_text(address, text);
    for (size_t i = 0; i < target->spec->spare_count; i++)
        if (strcmp(target->spec->spare[i], text) == 0)
            return true;
    return false;
}

static bool is_refused_here(struct sweep *sweep, const struct target *target,
                            const struct names_endpoint *place, enum proto_outcome *ret_outcome)
{
    const struct sockaddr *address = &place->address.any;
    struct budget *budget = sweep->env.budget;
    bool is_proxy = strcmp(place->via, "hosts") == 0 && policy_allows_proxy(address);

    if (sweep->env.is_own_check) {
        char text[KERNEL_TEXT_MAX];
        kernel_address_text(&place->address, text);
        *ret_outcome = OUTCOME_NOT_ALLOWED;
        return !policy_allows_own(sweep->env.host, address, text);
    }
    if (target->spec->is_sibling && is_own(sweep, &place->address)) {
        *ret_outcome = OUTCOME_SELF;
    } else if (is_spared(target, &place->address)) {
        *ret_outcome = OUTCOME_SPARED;
    } else if (!is_proxy && !host_has_family(sweep->env.host, address->sa_family)) {
        *ret_outcome = OUTCOME_SKIPPED;
    } else if (!is_proxy && !policy_allows_address(sweep->env.policy, address)) {
        budget_count(budget, BUDGET_BY_ADDRESS);
        *ret_outcome = OUTCOME_NOT_ALLOWED;
    } else if (sweep->endpoints >= SWEEP_ENDPOINTS_MAX) {
        budget_count(budget, BUDGET_BY_ENDPOINTS);
        *ret_outcome = OUTCOME_OVER_BUDGET;
    } else if (!budget_has_memory(budget)) {
        *ret_outcome = OUTCOME_OVER_BUDGET;
    } else {
        return false;
    }
    return true;
}

static void on_endpoint(void *ctx, void *target_pointer, const struct names_endpoint *place)
{
    struct sweep *sweep = ctx;
    struct target *target = target_pointer;
    uint64_t begins_us = target->begins_us, now = clock_mono_us();
    enum proto_outcome refusal;

    if (is_refused_here(sweep, target, place, &refusal)) {
        emit_refused(sweep, target, place, refusal);
        return;
    }
    sweep->endpoints++;
    if (begins_us < now)
        begins_us = now;
    add_endpoint(sweep, target, place, 1, begins_us);
    for (int64_t i = 1; i < target->spec->attempts; i++)
        add_endpoint(sweep, target, place, (unsigned)i + 1,
                     begins_us + (uint64_t)(i * target->spec->spacing_ms) * 1000);
}

/* The endpoints that the assignment names, without asking any resolver. */
static void start_given(struct sweep *sweep, struct target *target)
{
    const struct proto_target *spec = target->spec;
    struct names_endpoint place = {
        .name = spec->names[0], .via = "given", .resolve_us = UINT64_MAX};

    if (!policy_allows_name(sweep->env.policy, place.name)) {
        budget_count(sweep->env.budget, BUDGET_BY_NAME);
        emit_unresolved(sweep, target, place.name, (uint16_t)spec->port, OUTCOME_NOT_ALLOWED, -1,
                        "");
        return;
    }
    for (size_t i = 0; i < spec->at_count; i++)
        if (kernel_parse_endpoint(spec->at[i], &place.address))
            on_endpoint(sweep, target, &place);
        else
            emit_unresolved(sweep, target, spec->names[0], (uint16_t)spec->port,
                            OUTCOME_UNSUPPORTED, -1, "an endpoint that cannot be read");
}

static void on_unresolved(void *ctx, void *target, const char *name, uint16_t port,
                          enum proto_outcome outcome, uint64_t resolve_us, const char *detail)
{
    emit_unresolved(ctx, target, name, port, outcome, (int64_t)resolve_us, detail);
}

static void on_resolution(void *ctx, const struct proto_resolution *row)
{
    struct sweep *sweep = ctx;

    sweep->sink.on_resolution(sweep->sink.ctx, row);
}

static void on_progress(void *ctx)
{
    wake(ctx, 0);
}

/* ---- targets ---- */

static void plan_name(struct sweep *sweep, struct target *target, size_t index,
                      const struct check_type *check)
{
    const struct proto_target *spec = target->spec;
    struct probe_plan *plan = &target->plans[index];
    const char *name = spec->names[index];

    plan->check = check;
    check_make_plan(check, spec, name, &sweep->message.arena, &plan->exchange);
    plan->timeout_us = (uint64_t)spec->timeout_ms * 1000;
    plan->hold_us = (uint64_t)spec->hold_ms * 1000;
    plan->is_patient = spec->is_patient;
    plan->tls = plan->exchange.is_tls ? sweep->env.tls : NULL;
    plan->server = *spec->server ? spec->server : name;
    plan->alpn = *spec->alpn ? spec->alpn : check->alpn ? check->alpn : "";
    plan->is_unverified = spec->is_unverified;
}

static void plan_target(struct sweep *sweep, struct target *target, const struct proto_target *spec)
{
    const struct check_type *check = check_find(spec->check);

    target->spec = spec;
    if (!check || !policy_allows_check(sweep->env.policy, spec->check)) {
        target->refusal = check ? "left out by --checks" : "";
        target->refused = OUTCOME_UNSUPPORTED;
        return;
    }
    if ((uint64_t)spec->rate_bytes > sweep->env.rate_bytes_max) {
        budget_count(sweep->env.budget, BUDGET_BY_RATE_CHECK);
        target->refusal = "a throughput check beyond --allow-throughput";
        target->refused = OUTCOME_OVER_BUDGET;
        return;
    }
    target->plans = arena_alloc(&sweep->message.arena, spec->name_count, sizeof(*target->plans));
    for (size_t i = 0; i < spec->name_count; i++)
        plan_name(sweep, target, i, check);
}

static void start_target(struct sweep *sweep, struct target *target)
{
    const struct proto_target *spec = target->spec;

    target->begins_us = clock_mono_us() + (uint64_t)spec->delay_ms * 1000;
    if (spec->at_count && spec->name_count && !target->refusal) {
        start_given(sweep, target);
        return;
    }
    for (size_t i = 0; i < spec->name_count; i++)
        if (target->refusal)
            emit_unresolved(sweep, target, spec->names[i], (uint16_t)spec->port, target->refused,
                            -1, target->refusal);
        else
            names_resolve(sweep->names, target, spec->names[i], strcmp(spec->record, "SRV") == 0,
                          (uint16_t)spec->port);
}

/* ---- life ---- */

static void on_starter(void *ctx)
{
    struct sweep *sweep = ctx;

    if (!sweep->is_started) {
        sweep->is_started = true;
        for (size_t i = 0; i < sweep->message.assignment.target_count; i++)
            start_target(sweep, &sweep->targets[i]);
    }
    wake_sleeping(sweep);
    start_all_waiting(sweep);
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

struct sweep *sweep_new(const struct sweep_env *env, struct proto_message *message,
                        const struct sweep_sink *sink)
{
    struct sweep *sweep = mem_alloc(sizeof(*sweep));
    const struct proto_assignment *assignment = &sweep->message.assignment;
    struct names_env names_env = {env->resolver, env->policy, env->host, env->budget};

    sweep->env = *env;
    sweep->sink = *sink;
    sweep->message = *message;
    memset(message, 0, sizeof(*message));
    sweep->waiting_tail = &sweep->waiting;
    sweep->names = names_new(&names_env, &(struct names_sink){sweep, on_resolution, on_endpoint,
                                                              on_unresolved, on_progress});
    sweep->targets = mem_array(assignment->target_count, sizeof(*sweep->targets));
    for (size_t i = 0; i < assignment->target_count; i++)
        plan_target(sweep, &sweep->targets[i], &assignment->targets[i]);
    sweep->starter = (struct loop_timer){.fn = on_starter, .ctx = sweep};
    loop_timer_at(env->loop, &sweep->starter, 0);
    sweep->deadline = (struct loop_timer){.fn = on_deadline, .ctx = sweep};
    loop_timer_in_ms(env->loop, &sweep->deadline, (uint64_t)assignment->deadline_ms);
    return sweep;
}

static void drop_probes(struct sweep *sweep)
{
    while (sweep->running) {
        struct attempt *attempt = sweep->running;
        probe_cancel(&attempt->probe);
        unlink_running(attempt);
        mem_free(attempt);
    }
    while (sweep->waiting)
        mem_free(take_waiting(sweep));
    while (sweep->sleeping) {
        struct endpoint *endpoint = sweep->sleeping;
        sweep->sleeping = endpoint->next;
        mem_free(endpoint);
    }
}

struct sweep *sweep_free(struct sweep *sweep)
{
    if (!sweep)
        return NULL;
    loop_timer_stop(sweep->env.loop, &sweep->starter);
    loop_timer_stop(sweep->env.loop, &sweep->deadline);
    drop_probes(sweep);
    leave_queue(sweep);
    /* Its slots are free: nobody else's probe may be left to hand them on. */
    if (sweep->env.queue->first)
        wake(sweep->env.queue->first, 0);
    names_free(sweep->names);
    mem_free(sweep->targets);
    proto_message_deinit(&sweep->message);
    mem_free(sweep);
    return NULL;
}
