#include "agent/agent.h"

#include "agent/link.h"
#include "agent/probe.h"
#include "agent/resolver.h"
#include "agent/spool.h"
#include "agent/sweep.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/version.h"
#include "proto/proto.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One assignment under way. */
struct job {
    struct agent *agent;
    struct job *next;
    struct sweep *sweep;
    struct spool_writer writer;
    struct loop_timer flush;
};

struct agent {
    struct loop *loop;
    const struct identity *identity;
    const struct host *host;
    const struct policy *policy;

    struct link *link;
    struct resolver *resolver;
    struct sweep_limits limits;
    struct spool spool;
    struct job *jobs;
    size_t job_count;

    bool is_welcome; /* the collector has taken our hello over the present link */
    bool is_leaving;
    bool is_pull_sent;
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

static void say_hello(void *ctx)
{
    struct agent *agent = ctx;
    const struct identity *identity = agent->identity;
    const char *addresses[HOST_ADDRESS_MAX], *resolvers[HOST_RESOLVER_MAX];
    const char *checks[PROBE_CHECK_COUNT];
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
                .address_count = agent->host->address_count,
                .resolvers = resolvers,
                .resolver_count = agent->host->resolver_count,
                .checks = checks,
                .check_count = PROBE_CHECK_COUNT,
            },
    };

    for (size_t i = 0; i < agent->host->address_count; i++)
        addresses[i] = agent->host->addresses[i];
    for (size_t i = 0; i < agent->host->resolver_count; i++)
        resolvers[i] = agent->host->resolvers[i];
    for (int i = 0; i < PROBE_CHECK_COUNT; i++)
        checks[i] = probe_check_name((enum probe_check)i);
    if (link_is_up(agent->link)) {
        send_message(agent, &message);
        loop_timer_in_ms(agent->loop, &agent->hello_timer, AGENT_ANSWER_MS);
    }
}

static void pull(struct agent *agent)
{
    struct proto_message message = {
        .type = PROTO_PULL,
        .pull = {.instance = agent->identity->instance,
                 .epoch = ++agent->epoch,
                 .got = agent->got,
                 .got_count = agent->got_count < PROTO_GOT_MAX ? agent->got_count : PROTO_GOT_MAX},
    };

    loop_timer_stop(agent->loop, &agent->pull_timer);
    if (agent->is_leaving || !agent->is_welcome || agent->job_count >= AGENT_SWEEPS_MAX)
        return;
    agent->is_pull_sent = send_message(agent, &message) == 0;
    loop_timer_in_ms(agent->loop, &agent->pull_timer,
                     agent->is_pull_sent ? AGENT_PULL_SILENT_MS : AGENT_BUSY_MS);
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

    spool_flush(&job->writer, false);
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
    bool was_full = agent->job_count >= AGENT_SWEEPS_MAX;

    spool_flush(&job->writer, true);
    log_info("assignment-done", "run=%lld assignment=%lld batches=%lld dropped=%lld",
             (long long)job->writer.run, (long long)job->writer.assignment,
             (long long)job->writer.next_batch - 1, (long long)job->writer.dropped);
    free_job(job);
    send_reports(agent);
    if (was_full)
        pull(agent);
}

static bool has_got(const struct agent *agent, int64_t id)
{
    for (size_t i = 0; i < PROTO_GOT_MAX && i < agent->got_count; i++)
        if (agent->got[i] == id)
            return true;
    return false;
}

static void take_assignment(struct agent *agent, struct proto_message *message)
{
    const struct proto_assignment *assignment = &message->assignment;
    struct sweep_env env = {agent->loop, agent->resolver, agent->policy, agent->host,
                            &agent->limits};
    struct job *job;

    if (has_got(agent, assignment->id))
        return;
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

/* ---- receiving ---- */

static void take_welcome(struct agent *agent, const struct proto_welcome *welcome)
{
    loop_timer_stop(agent->loop, &agent->hello_timer);
    agent->is_welcome = true;
    log_info("welcome", "collector_version=%s fleet=%s known=%s", LOG_QUOTE(welcome->version),
             LOG_QUOTE(welcome->fleet), welcome->known ? "yes" : "no");
    if (!welcome->known)
        log_warn("service-unknown", "service=%s hint=\"the fleet file does not define it\"",
                 LOG_QUOTE(agent->identity->service));
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
        pull(agent);
        break;
    case PROTO_IDLE:
        pull(agent);
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
        .leaving = {.instance = agent->identity->instance},
    };

    if (agent->is_leaving)
        return;
    agent->is_leaving = true;
    log_info("leaving", "link=%s rows_dropped=%llu messages_unexpected=%llu",
             link_is_up(agent->link) ? "up" : "down", (unsigned long long)agent->spool.dropped_rows,
             (unsigned long long)agent->unexpected);
    for (struct job *job = agent->jobs; job; job = job->next)
        spool_flush(&job->writer, false);
    send_reports(agent);
    /* With nothing to wait for, NNG still needs a moment to put the word on the wire. */
    loop_timer_in_ms(agent->loop, &agent->leave_timer,
                     send_message(agent, &message) < 0 ? 0
                     : spool_is_empty(&agent->spool)   ? 50
                                                       : AGENT_LEAVE_MS);
}

struct agent *agent_new(struct loop *loop, const struct identity *identity, const struct host *host,
                        const struct policy *policy, const struct options_list *collectors,
                        struct error *err)
{
    struct agent *agent = mem_alloc(sizeof(*agent));
    struct link_events events = {agent, on_up, on_down, on_message};

    agent->loop = loop;
    agent->identity = identity;
    agent->host = host;
    agent->policy = policy;
    agent->scratch = BUF_INIT(PROTO_MESSAGE_MAX);
    agent->hello_timer = (struct loop_timer){.fn = say_hello, .ctx = agent};
    agent->pull_timer = (struct loop_timer){.fn = on_pull_timer, .ctx = agent};
    agent->send_timer = (struct loop_timer){.fn = send_reports, .ctx = agent};
    agent->leave_timer = (struct loop_timer){.fn = end, .ctx = agent};
    spool_init(&agent->spool, identity->instance);
    agent->resolver = resolver_new(loop);
    if (!agent->resolver) {
        error_set(err, -errno, "cannot start the resolver");
        return agent_free(agent);
    }
    agent->link = link_new(loop, collectors, &events, err);
    return agent->link ? agent : agent_free(agent);
}

struct agent *agent_free(struct agent *agent)
{
    if (!agent)
        return NULL;
    while (agent->jobs)
        free_job(agent->jobs);
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
