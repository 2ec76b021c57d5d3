#include "agent/agent.h"

#include "agent/budget.h"
#include "agent/check.h"
#include "agent/link.h"
#include "agent/resolver.h"
#include "agent/spool.h"
#include "agent/sweep.h"
#include "agent/watch.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/version.h"
#include "proto/proto.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHECKS_MAX   32 /* of a hello */
#define COUNTERS_MAX (BUDGET_COUNTERS + 1)

/* One assignment under way. */
struct job {
    struct agent *agent;
    struct job *next;
    struct sweep *sweep;
    struct spool_writer writer;
    struct loop_timer flush;
};

/* One watch under way. */
struct sentry {
    struct agent *agent;
    struct sentry *next;
    struct watch *watch;
};

struct agent {
    struct loop *loop;
    struct agent_settings settings;
    uint64_t start_us;

    struct link *link;
    struct resolver *resolver;
    struct budget budget;
    struct sweep_queue queue;
    struct spool spool;
    struct job *jobs;
    size_t job_count;
    struct sentry *sentries;
    size_t sentry_count;

    bool is_welcome; /* the collector has taken our hello over the present link */
    bool is_leaving;
    bool is_pull_sent;
    bool is_pull_busy;  /* the last one wants no assignment */
    unsigned pulls_out; /* not answered yet */
    bool is_refusing;
    int64_t epoch;
    int64_t got[PROTO_GOT_MAX]; /* a ring of the latest assignments */
    size_t got_count;
    uint64_t unexpected; /* messages that made no sense */

    struct loop_timer hello_timer, pull_timer, send_timer, leave_timer;
    struct buf scratch;
};

/* ---- sending ---- */

static int send_message(struct agent *agent, const struct proto_message *message)
{
    buf_reset(&agent->scratch);
    if (proto_encode(message, &agent->scratch) < 0)
        return -EMSGSIZE;
    return link_send(agent->link, buf_text(&agent->scratch), agent->scratch.length);
}

/* What the collector may plan with: a name takes two queries (A, AAAA), and as many again where the
 * VPC's resolver is asked too. */
static int64_t names_per_second(const struct agent *agent)
{
    int64_t queries = resolver_has_reference(agent->resolver) ? 4 : 2;
    int64_t names = agent->settings.dns_rate / queries;

    return names ? names : 1;
}

/* What its limits refused, and what its spool had no room for. */
static size_t list_counters(const struct agent *agent, struct proto_counter counters[COUNTERS_MAX])
{
    size_t count = 0;

    if (agent->spool.dropped_rows)
        counters[count++] = (struct proto_counter){"dropped", (int64_t)agent->spool.dropped_rows};
    for (int i = 0; i < BUDGET_COUNTERS; i++)
        if (agent->budget.counters[i])
            counters[count++] = (struct proto_counter){budget_counter_name((enum budget_counter)i),
                                                       (int64_t)agent->budget.counters[i]};
    return count;
}

static void say_hello(void *ctx)
{
    struct agent *agent = ctx;
    const struct identity *identity = agent->settings.identity;
    const char *addresses[HOST_ADDRESS_MAX], *resolvers[HOST_RESOLVER_MAX];
    const char *checks[CHECKS_MAX];
    struct proto_message message = {
        .type = PROTO_HELLO,
        .hello =
            {
                .cluster = identity->cluster,
                .service = identity->service,
                .task = identity->task,
                .instance = identity->instance,
                .version = CANREACH_VERSION,
                .zone = identity->zone,
                .mode = identity->mode,
                .revision = identity->revision,
                .addresses = addresses,
                .address_count = agent->settings.host->address_count,
                .resolvers = resolvers,
                .resolver_count = agent->settings.host->resolver_count,
                .checks = checks,
                .dns_rate = names_per_second(agent),
                .netns = agent->settings.host->netns,
                .age_s = (int64_t)((clock_mono_us() - agent->start_us) / 1000000),
            },
    };

    for (size_t i = 0; i < agent->settings.host->address_count; i++)
        addresses[i] = agent->settings.host->addresses[i];
    for (size_t i = 0; i < agent->settings.host->resolver_count; i++)
        resolvers[i] = agent->settings.host->resolvers[i];
    for (size_t i = 0; i < check_type_count; i++)
        if (policy_allows_check(agent->settings.policy, check_types[i]->name))
            checks[message.hello.check_count++] = check_types[i]->name;
    if (link_is_up(agent->link)) {
        send_message(agent, &message);
        loop_timer_in_ms(agent->loop, &agent->hello_timer, AGENT_ANSWER_MS);
    }
}

static bool is_busy(const struct agent *agent)
{
    return agent->job_count >= AGENT_SWEEPS_MAX || mem_used() >= BUDGET_MEMORY;
}

static void pull(struct agent *agent)
{
    struct proto_counter counters[COUNTERS_MAX];
    struct proto_message message = {
        .type = PROTO_PULL,
        .pull = {.instance = agent->settings.identity->instance,
                 .epoch = ++agent->epoch,
                 .got = agent->got,
                 .got_count = agent->got_count < PROTO_GOT_MAX ? agent->got_count : PROTO_GOT_MAX,
                 .counters = counters,
                 .counter_count = list_counters(agent, counters),
                 .is_busy = is_busy(agent)},
    };

    loop_timer_stop(agent->loop, &agent->pull_timer);
    if (agent->is_leaving || !agent->is_welcome)
        return;
    agent->is_pull_sent = send_message(agent, &message) == 0;
    agent->is_pull_busy = message.pull.is_busy;
    agent->pulls_out += agent->is_pull_sent;
    loop_timer_in_ms(agent->loop, &agent->pull_timer,
                     agent->is_pull_sent ? AGENT_PULL_SILENT_MS : AGENT_BUSY_MS);
}

/* The collector answers each pull, an older one too: only the last answer is worth a new one. */
static void pull_again(struct agent *agent)
{
    if (agent->pulls_out)
        agent->pulls_out--;
    if (!agent->pulls_out)
        pull(agent);
}

static void on_pull_timer(void *ctx)
{
    struct agent *agent = ctx;

    if (!agent->is_pull_sent) {
        pull(agent);
        return;
    }
    log_warn("collector-silent", "seconds=%d", AGENT_PULL_SILENT_MS / 1000);
    link_reset(agent->link);
}

/* Sends every batch that is due; what the link does not take now goes with the next turn. */
static void send_reports(void *ctx)
{
    struct agent *agent = ctx;
    uint64_t now = loop_now_us(agent->loop);
    uint64_t resend = now > AGENT_RESEND_MS * 1000 ? now - AGENT_RESEND_MS * 1000 : 0;
    struct spool_batch *batch;

    if (!agent->is_welcome)
        return;
    while ((batch = spool_next(&agent->spool, resend))) {
        if (link_send(agent->link, buf_text(&batch->text), batch->text.length) < 0) {
            loop_timer_in_ms(agent->loop, &agent->send_timer, AGENT_BUSY_MS);
            return;
        }
        batch->sent_us = now;
    }
    if (!spool_is_empty(&agent->spool))
        loop_timer_in_ms(agent->loop, &agent->send_timer, AGENT_RESEND_MS);
}

/* ---- jobs ---- */

static void on_flush(void *ctx)
{
    struct job *job = ctx;

    spool_flush(&job->writer);
    send_reports(job->agent);
}

static void row_added(struct job *job)
{
    if (!loop_timer_is_running(&job->flush))
        loop_timer_in_ms(job->agent->loop, &job->flush, AGENT_FLUSH_MS);
}

static void on_resolution(void *ctx, const struct proto_resolution *row)
{
    struct job *job = ctx;

    spool_write_resolution(&job->writer, row);
    row_added(job);
}

static void on_probe(void *ctx, const struct proto_probe *row)
{
    struct job *job = ctx;

    spool_write_probe(&job->writer, row);
    row_added(job);
}

static void free_job(struct job *job)
{
    struct agent *agent = job->agent;

    for (struct job **at = &agent->jobs; *at; at = &(*at)->next)
        if (*at == job) {
            *at = job->next;
            break;
        }
    agent->job_count--;
    loop_timer_stop(agent->loop, &job->flush);
    sweep_free(job->sweep);
    spool_writer_deinit(&job->writer);
    mem_free(job);
}

static void on_done(void *ctx)
{
    struct job *job = ctx;
    struct agent *agent = job->agent;
    struct proto_counter counters[COUNTERS_MAX];

    spool_close(&job->writer, counters, list_counters(agent, counters));
    log_info("assignment-done", "run=%lld assignment=%lld batches=%lld dropped=%lld",
             (long long)job->writer.run, (long long)job->writer.assignment,
             (long long)job->writer.next_batch - 1, (long long)job->writer.dropped);
    free_job(job);
    send_reports(agent);
    if (agent->is_pull_busy && !is_busy(agent))
        pull(agent);
}

static bool has_got(const struct agent *agent, int64_t id)
{
    for (size_t i = 0; i < PROTO_GOT_MAX && i < agent->got_count; i++)
        if (agent->got[i] == id)
            return true;
    return false;
}

static struct sweep_env sweep_env(struct agent *agent)
{
    return (struct sweep_env){
        .loop = agent->loop,
        .resolver = agent->resolver,
        .policy = agent->settings.policy,
        .host = agent->settings.host,
        .budget = &agent->budget,
        .queue = &agent->queue,
        .tls = agent->settings.tls,
        .rate_bytes_max = (uint64_t)agent->settings.throughput_bytes,
    };
}

static void take_assignment(struct agent *agent, struct proto_message *message)
{
    const struct proto_assignment *assignment = &message->assignment;
    struct sweep_env env = sweep_env(agent);
    struct job *job;

    if (has_got(agent, assignment->id))
        return;
    /* More than was asked for: it comes again with a later pull, which does not name it as got. */
    if (agent->job_count >= AGENT_SWEEPS_MAX || !budget_has_memory(&agent->budget)) {
        budget_count(&agent->budget, BUDGET_BY_ASSIGNMENT);
        if (agent->is_refusing)
            return;
        agent->is_refusing = true; /* told once, until one is taken again */
        log_warn("assignment-refused", "run=%lld assignment=%lld under_way=%zu bytes=%zu",
                 (long long)assignment->run, (long long)assignment->id, agent->job_count,
                 mem_used());
        return;
    }
    agent->is_refusing = false;
    agent->got[agent->got_count++ % PROTO_GOT_MAX] = assignment->id;
    log_info("assignment", "run=%lld assignment=%lld targets=%zu", (long long)assignment->run,
             (long long)assignment->id, assignment->target_count);
    job = mem_alloc(sizeof(*job));
    job->agent = agent;
    job->next = agent->jobs;
    agent->jobs = job;
    agent->job_count++;
    job->flush = (struct loop_timer){.fn = on_flush, .ctx = job};
    spool_writer_init(&job->writer, &agent->spool, assignment->run, assignment->id);
    job->sweep =
        sweep_new(&env, message, &(struct sweep_sink){job, on_resolution, on_probe, on_done});
}

/* ---- watches ---- */

static void free_sentry(struct sentry *sentry)
{
    struct agent *agent = sentry->agent;

    for (struct sentry **at = &agent->sentries; *at; at = &(*at)->next)
        if (*at == sentry) {
            *at = sentry->next;
            break;
        }
    agent->sentry_count--;
    watch_free(sentry->watch);
    mem_free(sentry);
}

static void on_witness(void *ctx, struct proto_message *message)
{
    struct sentry *sentry = ctx;
    struct agent *agent = sentry->agent;

    spool_add(&agent->spool, message);
    free_sentry(sentry);
    send_reports(agent);
}

static void say_watching(struct agent *agent, int64_t watch)
{
    struct proto_message message = {
        .type = PROTO_WATCHING,
        .watching = {.instance = agent->settings.identity->instance, .watch = watch},
    };

    send_message(agent, &message);
}

static bool is_watching(const struct agent *agent, int64_t id)
{
    for (const struct sentry *sentry = agent->sentries; sentry; sentry = sentry->next)
        if (watch_id(sentry->watch) == id)
            return true;
    return false;
}

static void take_watch(struct agent *agent, struct proto_message *message)
{
    struct watch_settings settings = {
        .env = sweep_env(agent),
        .instance = agent->settings.identity->instance,
    };
    int64_t id = message->watch.id;
    struct sentry *sentry;

    if (has_got(agent, id)) {
        if (is_watching(agent, id))
            say_watching(agent, id);
        return;
    }
    /* Refused or not, it is not to come again. */
    agent->got[agent->got_count++ % PROTO_GOT_MAX] = id;
    if (agent->sentry_count >= AGENT_WATCHES_MAX || !budget_has_memory(&agent->budget)) {
        budget_count(&agent->budget, BUDGET_BY_ASSIGNMENT);
        return;
    }
    log_debug("watch", "run=%lld watch=%lld", (long long)message->watch.run, (long long)id);
    sentry = mem_alloc(sizeof(*sentry));
    sentry->agent = agent;
    sentry->next = agent->sentries;
    agent->sentries = sentry;
    agent->sentry_count++;
    sentry->watch = watch_new(&settings, message, &(struct watch_sink){sentry, on_witness});
    say_watching(agent, id);
}

static void take_settle(struct agent *agent, const struct proto_settle *settle)
{
    for (struct sentry *sentry = agent->sentries; sentry; sentry = sentry->next)
        if (watch_id(sentry->watch) == settle->watch) {
            if (settle->is_unwanted)
                free_sentry(sentry);
            else
                watch_settle(sentry->watch); /* the sentry may be gone */
            return;
        }
}

/* ---- receiving ---- */

static void take_welcome(struct agent *agent, const struct proto_welcome *welcome)
{
    loop_timer_stop(agent->loop, &agent->hello_timer);
    agent->is_welcome = true;
    log_info("welcome", "collector_version=%s fleet=%s known=%s", LOG_QUOTE(welcome->version),
             LOG_QUOTE(welcome->fleet), welcome->known ? "yes" : "no");
    if (!welcome->known)
        log_warn("service-unknown", "service=%s hint=\"the fleet file does not define it\"",
                 LOG_QUOTE(agent->settings.identity->service));
    spool_resend_all(&agent->spool);
    send_reports(agent);
    pull(agent);
}

static void take_refusal(struct agent *agent, const struct proto_refused *refused)
{
    agent->is_welcome = false;
    if (strcmp(refused->reason, "hello-first") == 0) {
        /* The collector was started anew, or has forgotten us. */
        say_hello(agent);
        return;
    }
    log_warn("refused", "reason=%s detail=%s speaks=%lld-%lld", LOG_QUOTE(refused->reason),
             LOG_QUOTE(refused->detail), (long long)refused->min, (long long)refused->max);
    loop_timer_in_ms(agent->loop, &agent->hello_timer, AGENT_REFUSED_MS);
}

static void take_ack(struct agent *agent, const struct proto_ack *ack)
{
    if (ack->batch == 0)
        return; /* of `watching` */
    if (!spool_acknowledge(&agent->spool, ack->assignment, ack->batch))
        agent->unexpected++;
    if (strcmp(ack->status, "unknown") == 0)
        log_warn("report-unknown", "assignment=%lld batch=%lld", (long long)ack->assignment,
                 (long long)ack->batch);
    if (agent->is_leaving && spool_is_empty(&agent->spool))
        loop_timer_in_ms(agent->loop, &agent->leave_timer, 0);
}

static void on_message(void *ctx, const void *data, size_t length)
{
    struct agent *agent = ctx;
    CLEANUP_MESSAGE struct proto_message message;
    struct error err;

    if (proto_decode(data, length, &message, &err) < 0) {
        budget_count(&agent->budget, BUDGET_BY_ASSIGNMENT);
        if (agent->unexpected++ == 0)
            log_warn("message-refused", "error=%s", LOG_QUOTE(err.text));
        return;
    }
    switch (message.type) {
    case PROTO_WELCOME:
        take_welcome(agent, &message.welcome);
        break;
    case PROTO_ASSIGNMENT:
        take_assignment(agent, &message);
        pull_again(agent);
        break;
    case PROTO_WATCH:
        take_watch(agent, &message);
        pull_again(agent);
        break;
    case PROTO_SETTLE:
        take_settle(agent, &message.settle);
        pull_again(agent);
        break;
    case PROTO_IDLE:
        pull_again(agent);
        break;
    case PROTO_ACK:
        take_ack(agent, &message.ack);
        break;
    case PROTO_REFUSED:
        take_refusal(agent, &message.refused);
        break;
    default:
        agent->unexpected++;
    }
}

static void on_up(void *ctx, const char *peer)
{
    struct agent *agent = ctx;

    log_info("linked", "collector=%s", peer);
    agent->pulls_out = 0;
    agent->is_welcome = false;
    say_hello(agent);
}

static void on_down(void *ctx)
{
    struct agent *agent = ctx;

    log_warn("unlinked", "batches_kept=%s", spool_is_empty(&agent->spool) ? "0" : "some");
    agent->is_welcome = false;
    loop_timer_stop(agent->loop, &agent->hello_timer);
    loop_timer_stop(agent->loop, &agent->pull_timer);
}

/* ---- life ---- */

static void end(void *ctx)
{
    struct agent *agent = ctx;

    loop_stop(agent->loop);
}

void agent_leave(struct agent *agent)
{
    struct proto_message message = {
        .type = PROTO_LEAVING,
        .leaving = {.instance = agent->settings.identity->instance},
    };

    if (agent->is_leaving)
        return;
    agent->is_leaving = true;
    log_info("leaving", "link=%s rows_dropped=%llu messages_unexpected=%llu",
             link_is_up(agent->link) ? "up" : "down", (unsigned long long)agent->spool.dropped_rows,
             (unsigned long long)agent->unexpected);
    for (struct job *job = agent->jobs; job; job = job->next)
        spool_flush(&job->writer);
    send_reports(agent);
    /* With nothing to wait for, NNG still needs a moment to put the word on the wire. */
    loop_timer_in_ms(agent->loop, &agent->leave_timer,
                     send_message(agent, &message) < 0 ? 0
                     : spool_is_empty(&agent->spool)   ? 50
                                                       : AGENT_LEAVE_MS);
}

struct agent *agent_new(struct loop *loop, const struct agent_settings *settings, struct error *err)
{
    struct agent *agent = mem_alloc(sizeof(*agent));
    struct link_events events = {agent, on_up, on_down, on_message};
    int64_t burst = BUDGET_DNS_MAX - settings->dns_rate;
    struct resolver_settings resolver = {
        .host = settings->host,
        .rate = (unsigned)settings->dns_rate,
        .burst = burst > BUDGET_DNS_BURST ? BUDGET_DNS_BURST
                 : burst > 0              ? (unsigned)burst
                                          : 1,
        .reference = settings->vpc_resolver,
        .budget = &agent->budget,
    };

    agent->loop = loop;
    agent->start_us = clock_mono_us();
    agent->settings = *settings;
    agent->scratch = BUF_INIT(PROTO_MESSAGE_MAX);
    agent->hello_timer = (struct loop_timer){.fn = say_hello, .ctx = agent};
    agent->pull_timer = (struct loop_timer){.fn = on_pull_timer, .ctx = agent};
    agent->send_timer = (struct loop_timer){.fn = send_reports, .ctx = agent};
    agent->leave_timer = (struct loop_timer){.fn = end, .ctx = agent};
    spool_init(&agent->spool, settings->identity->instance);
    agent->resolver = resolver_new(loop, &resolver);
    agent->link = link_new(loop, settings->collectors, &events, err);
    return agent->link ? agent : agent_free(agent);
}

struct agent *agent_free(struct agent *agent)
{
    if (!agent)
        return NULL;
    while (agent->jobs)
        free_job(agent->jobs);
    while (agent->sentries)
        free_sentry(agent->sentries);
    agent->resolver = resolver_free(agent->resolver);
    agent->link = link_free(agent->link);
    loop_timer_stop(agent->loop, &agent->hello_timer);
    loop_timer_stop(agent->loop, &agent->pull_timer);
    loop_timer_stop(agent->loop, &agent->send_timer);
    loop_timer_stop(agent->loop, &agent->leave_timer);
    spool_deinit(&agent->spool);
    buf_deinit(&agent->scratch);
    mem_free(agent);
    return NULL;
}
