#include "collector/collector.h"

#include "collector/api.h"
#include "collector/cloud/aws.h"
#include "collector/cloud.h"
#include "collector/estate_store.h"
#include "collector/fleet_merge.h"
#include "collector/httpd.h"
#include "collector/hub.h"
#include "collector/registry.h"
#include "collector/run.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/version.h"

#include <errno.h>
#include <string.h>

#define HOUSEKEEPING_MS 1000
#define PULL_HOLD_MS    40000 /* below PROTO_PULL_MAX_MS, with room for jitter */
#define PULL_JITTER_MS  4000
#define CLOUD_SLACK_MS  1000 /* a run waits that much longer than the cloud may take */

/* A report that is written, but not yet committed. */
struct pending {
    struct hub_ticket ticket;
    struct proto_message message;
    const char *status; /* of the acknowledgement */
    bool is_in_time;
};

struct collector {
    struct loop *loop;
    struct store *store;
    struct registry registry;
    struct runs runs;
    struct hub *hub;
    struct httpd *httpd;
    struct api api;
    struct gates *gates;
    struct schedules *schedules;
    struct alerts *alerts;
    struct retention *retention;
    struct aws *aws;     /* for alerts, where there is no cloud */
    struct cloud *cloud; /* NULL: the fleet file names no clusters */
    int64_t cloud_ms;
    struct fleet *fleet; /* the current one: a reference */
    struct buf written;  /* the fleet file, as it was read */

    struct pending *pending;
    size_t pending_count;
    struct loop_deferred turn_end;
    bool is_store_failing;

    struct loop_timer housekeeping, deadline;
    uint32_t complained[64]; /* links, a small ring, so that one peer fills no log */
    size_t complained_at;
    struct buf scratch;
};

/* ---- answering ---- */

static void answer(struct collector *collector, struct hub_ticket *ticket,
                   const struct proto_message *message)
{
    buf_reset(&collector->scratch);
    if (proto_encode(message, &collector->scratch) < 0) {
        log_error("message-too-large", "type=%s", proto_type_name(message->type));
        return;
    }
    hub_answer(collector->hub, ticket, buf_text(&collector->scratch), collector->scratch.length);
}

static void answer_idle(struct collector *collector, struct hub_ticket *ticket)
{
    answer(collector, ticket, &(struct proto_message){.type = PROTO_IDLE});
}

static void refuse(struct collector *collector, struct hub_ticket *ticket, const char *reason,
                   const char *detail)
{
    struct proto_message message = {
        .type = PROTO_REFUSED,
        .refused = {.reason = reason, .detail = detail, .min = PROTO_VERSION, .max = PROTO_VERSION},
    };

    answer(collector, ticket, &message);
}

/* Logs the first complaint about a link; true when it was logged. */
static bool complain(struct collector *collector, uint32_t link, const char *reason,
                     const char *detail)
{
    const size_t places = sizeof(collector->complained) / sizeof(*collector->complained);

    for (size_t i = 0; i < places; i++)
        if (collector->complained[i] == link)
            return false;
    collector->complained[collector->complained_at++ % places] = link;
    log_warn("message-refused", "link=%u reason=%s detail=%s", link, reason, LOG_QUOTE(detail));
    return true;
}

static void acknowledge(struct collector *collector, struct hub_ticket *ticket, int64_t assignment,
                        int64_t batch, const char *status)
{
    struct proto_message message = {
        .type = PROTO_ACK,
        .ack = {.assignment = assignment, .batch = batch, .status = status},
    };

    answer(collector, ticket, &message);
}

/* Of a report or a witness. */
static void acknowledge_stored(struct collector *collector, struct hub_ticket *ticket,
                               const struct proto_message *message, const char *status)
{
    if (message->type == PROTO_WITNESS)
        acknowledge(collector, ticket, message->witness.assignment, message->witness.batch, status);
    else
        acknowledge(collector, ticket, message->report.assignment, message->report.batch, status);
}

static const char *sender_of(const struct proto_message *message)
{
    return message->type == PROTO_WITNESS ? message->witness.instance : message->report.instance;
}

/* ---- runs ---- */

static void commit(void *ctx);

/* What was refused for now is asked for again as soon as it may be granted. */
static void wake_for_refused(struct collector *collector, uint64_t now_us)
{
    uint64_t at_us = throttle_retry_us(&collector->runs.throttle, now_us);

    if (at_us &&
        (!loop_timer_is_running(&collector->deadline) || collector->deadline.at_us > at_us))
        loop_timer_at(collector->loop, &collector->deadline, at_us);
}

/* Answers a held pull when there is something to do. */
static void give_work(struct collector *collector, struct agent *agent)
{
    uint64_t now_us = clock_mono_us();

    if (!agent->pull.length)
        return;
    buf_reset(&collector->scratch);
    if (!runs_next_work(&collector->runs, agent, now_us, &collector->scratch)) {
        wake_for_refused(collector, now_us);
        return;
    }
    hub_answer(collector->hub, &agent->pull, buf_text(&collector->scratch),
               collector->scratch.length);
    loop_defer(collector->loop, &collector->turn_end); /* what was given is to be committed */
}

static void give_all_work(struct collector *collector)
{
    struct agent *agent, *next;

    if (!runs_have_work(&collector->runs))
        return;
    HASH_ITER(hh, collector->registry.agents, agent, next)
    {
        give_work(collector, agent);
    }
}

/* The cloud's view, for a run that has none, or none of the network as it is now. */
static void want_estate(struct collector *collector, struct run *run)
{
    /* What was read for a run that failed has been mended since, perhaps: a good run's network is
     * to be the one that was good. */
    bool is_fresh = run_needs_network(run) || collector->runs.has_failed;

    if (!collector->cloud ||
        (!cloud_want(collector->cloud, run->record.id, is_fresh) &&
         (run_needs_network(run) || !cloud_want(collector->cloud, run->record.id, false))))
        return;
    if (!run->patience_us)
        run->patience_us =
            clock_mono_us() + (uint64_t)(collector->cloud_ms + CLOUD_SLACK_MS) * 1000;
    run->cloud_us = run->patience_us;
    run->network_ms = 0;
}

/* What AWS kept of a failing run's past, once it is known what is different now. */
static void want_past(struct collector *collector, struct run *run)
{
    struct inquiry_request request = {0};
    if (!collector->cloud || run->cloud_us || !run_inquiry(&collector->runs, run, &request))
        return;
    if (cloud_inquire(collector->cloud, run->record.id, &request, collector->cloud_ms))
        run->cloud_us = clock_mono_us() + (uint64_t)(collector->cloud_ms + CLOUD_SLACK_MS) * 1000;
    inquiry_request_deinit(&request);
}

static void tick_runs(void *ctx)
{
    struct collector *collector = ctx;
    uint64_t next;

    /* First what came in: it counts, and a verdict needs a transaction of its own. */
    commit(collector);
    for (size_t i = 0; i < collector->runs.open_count; i++) {
        if (run_needs_network(collector->runs.open[i]))
            want_estate(collector, collector->runs.open[i]);
        want_past(collector, collector->runs.open[i]);
    }
    next = runs_tick(&collector->runs, clock_mono_us());
    if (next)
        loop_timer_at(collector->loop, &collector->deadline, next);
    else
        loop_timer_stop(collector->loop, &collector->deadline);
    give_all_work(collector);
}

/* ---- the cloud ---- */

static void on_run_started(void *ctx, struct run *run)
{
    if (!run->is_light)
        want_estate(ctx, run);
    tick_runs(ctx);
}

static void on_estate(void *ctx, const struct estate *estate, const int64_t *runs, size_t count)
{
    struct collector *collector = ctx;

    commit(collector);
    for (size_t i = 0; i < count; i++) {
        if (estate_store_put(collector->store, runs[i], estate) < 0)
            log_error("estate-not-stored", "run=%lld error=%s", (long long)runs[i],
                      LOG_QUOTE(store_problem(collector->store)));
        runs_cloud_told(&collector->runs, runs[i], estate->network_taken_ms);
    }
    loop_defer(collector->loop, &collector->turn_end);
}

static void on_found(void *ctx, int64_t run, const struct estate *found)
{
    struct collector *collector = ctx;

    commit(collector);
    if (estate_store_add(collector->store, run, found) < 0)
        log_error("past-not-stored", "run=%lld error=%s", (long long)run,
                  LOG_QUOTE(store_problem(collector->store)));
    runs_past_told(&collector->runs, run);
    loop_defer(collector->loop, &collector->turn_end);
}

/* The services of the clusters have changed: the next run has them. */
static void on_fleet(void *ctx, const char *text, size_t length)
{
    struct collector *collector = ctx;
    struct fleet_messages messages = {0};
    CLEANUP_BUF struct buf merged = BUF_INIT(FLEET_BYTES_MAX);
    struct fleet *fleet = NULL;
    struct error err = {""};
    int64_t id = -1;

    if (fleet_merge(buf_text(&collector->written), collector->written.length, text, length, &merged,
                    &err) == 0)
        fleet = fleet_parse("source: ecs", buf_text(&merged), merged.length, &messages);
    commit(collector);
    if (fleet)
        id = store_put_fleet(collector->store, buf_text(&merged), merged.length);
    if (!fleet || id < 0) {
        log_error("fleet-not-followed", "error=%s",
                  LOG_QUOTE(*err.text ? err.text
                            : fleet   ? store_problem(collector->store)
                                      : buf_text(&messages.text)));
        fleet_unref(fleet);
    } else {
        log_info("fleet-changed", "services=%zu columns=%zu", fleet->service_count,
                 fleet->column_count);
        fleet_unref(collector->fleet);
        collector->fleet = collector->runs.fleet = fleet;
        collector->runs.fleet_id = id;
    }
    fleet_messages_deinit(&messages);
}

static int start_cloud(struct collector *collector, struct fleet *fleet, struct error *err)
{
    struct cloud_settings settings = {
        .fleet = fleet->name,
        .clusters = fleet->clusters,
        .cluster_count = fleet->cluster_count,
        .region = fleet->region,
        .is_followed = fleet->is_followed,
        .deadline_ms = collector->cloud_ms,
    };
    struct cloud_events events = {collector, on_fleet, on_estate, on_found};
    struct estate *former;

    if (!fleet->cluster_count)
        return 0;
    collector->cloud = cloud_new(collector->loop, &settings, &events, err);
    if (!collector->cloud)
        return -EINVAL;
    collector->runs.cloud = collector->cloud;
    collector->runs.fleet_problem = cloud_problem(collector->cloud);
    former = estate_store_get(collector->store, store_last_estate(collector->store),
                              ESTATE_ONLY(ESTATE_DEFINITIONS));
    if (former)
        cloud_remember(collector->cloud, former);
    for (size_t i = 0; i < collector->runs.open_count; i++)
        want_estate(collector, collector->runs.open[i]);
    return 0;
}

/* ---- messages ---- */

static void agent_is_gone(struct collector *collector, struct agent *agent, bool has_departed)
{
    runs_agent_gone(&collector->runs, agent, has_departed);
    agent_record_free(agent);
    tick_runs(collector);
}

static void take_hello(struct collector *collector, struct hub_ticket *ticket,
                       const struct proto_hello *hello)
{
    size_t service = fleet_find_service(collector->runs.fleet, hello->service);
    bool is_new = !registry_find(&collector->registry, hello->instance);
    struct agent *replaced, *agent;
    struct proto_message message = {
        .type = PROTO_WELCOME,
        .welcome = {.version = CANREACH_VERSION,
                    .fleet = collector->runs.fleet->name,
                    .known = service != SIZE_MAX},
    };

    agent = registry_hello(&collector->registry, hello, ticket->link, clock_mono_us(), &replaced);
    if (replaced) {
        runs_agent_replaced(&collector->runs, replaced, agent);
        agent_record_free(replaced);
    }
    if (!agent) {
        refuse(collector, ticket, "not-expected", "the collector's registry is full");
        return;
    }
    for (size_t i = 0; is_new && i < agent->address_count; i++)
        throttle_forget(&collector->runs.throttle, agent->addresses[i]);
    log_info(is_new ? "agent-joined" : "agent-back",
             "service=%s task=%s instance=%s zone=%s version=%s known=%s",
             LOG_QUOTE(agent->service), LOG_QUOTE(agent->task), LOG_QUOTE(agent->instance),
             LOG_QUOTE(agent->zone), LOG_QUOTE(agent->version),
             message.welcome.known ? "yes" : "no");
    answer(collector, ticket, &message);
}

static void take_pull(struct collector *collector, struct hub_ticket *ticket,
                      const struct proto_pull *pull)
{
    struct agent *agent = registry_find(&collector->registry, pull->instance);

    if (!agent || agent->link != ticket->link) {
        collector->runs.refusals.hello_first++;
        refuse(collector, ticket, "hello-first", "this collector does not know the agent yet");
        return;
    }
    /* NNG may deliver an older pull late: the newest is the one to answer. */
    if (pull->epoch <= agent->pull_epoch)
        return;
    if (agent->pull.length)
        answer_idle(collector, &agent->pull);
    agent->pull = *ticket;
    agent->pull_epoch = pull->epoch;
    agent->pull_us = clock_mono_us() + (uint64_t)(pull->epoch * 7919 % PULL_JITTER_MS) * 1000;
    mem_free(agent->got);
    agent->got = mem_dup(pull->got, pull->got_count * sizeof(*pull->got));
    agent->got_count = pull->got_count;
    agent->is_busy = pull->is_busy;
    agent_set_counters(agent, pull->counters, pull->counter_count);
    give_work(collector, agent);
}

static void take_leaving(struct collector *collector, struct hub_ticket *ticket,
                         const struct proto_leaving *leaving)
{
    struct agent *agent = registry_find(&collector->registry, leaving->instance);

    answer_idle(collector, ticket);
    if (!agent)
        return;
    log_info("agent-left", "service=%s task=%s", LOG_QUOTE(agent->service), LOG_QUOTE(agent->task));
    registry_remove(&collector->registry, agent);
    agent_is_gone(collector, agent, true);
}

/* ---- reports: written within the turn, committed at its end, then acknowledged ---- */

static void drop_pending(struct collector *collector)
{
    for (size_t i = 0; i < collector->pending_count; i++)
        proto_message_deinit(&collector->pending[i].message);
    collector->pending_count = 0;
}

/* Not acknowledged: the agents keep their batches and send them again. */
static void store_failed(struct collector *collector)
{
    if (!collector->is_store_failing)
        log_error("store-failed",
                  "error=%s reports=%zu hint=\"make room; agents keep and resend their reports\"",
                  LOG_QUOTE(store_problem(collector->store)), collector->pending_count);
    collector->is_store_failing = true;
    store_rollback(collector->store);
    drop_pending(collector);
}

static void acknowledge_pending(struct collector *collector)
{
    for (size_t i = 0; i < collector->pending_count; i++) {
        struct pending *pending = &collector->pending[i];
        struct agent *agent = registry_find(&collector->registry, sender_of(&pending->message));
        if (pending->is_in_time)
            runs_apply(&collector->runs, &pending->message, clock_mono_us());
        if (agent)
            agent->reports++;
        acknowledge_stored(collector, &pending->ticket, &pending->message, pending->status);
    }
    drop_pending(collector);
}

static void commit(void *ctx)
{
    struct collector *collector = ctx;

    if (store_commit(collector->store) < 0) {
        store_failed(collector);
        return;
    }
    if (!collector->pending_count)
        return;
    if (collector->is_store_failing)
        log_info("store-recovered", "reports=%zu", collector->pending_count);
    collector->is_store_failing = false;
    acknowledge_pending(collector);
}

static void on_http_request(void *ctx, const struct httpd_request *request,
                            struct httpd_response *response)
{
    struct collector *collector = ctx;

    commit(collector);
    api_handle(&collector->api, request, response);
}

/* A report or a witness. Takes over the message. */
static void take_report(struct collector *collector, struct hub_ticket *ticket,
                        struct proto_message *message)
{
    enum report_kind kind = runs_classify(&collector->runs, message);
    struct pending *pending;
    struct agent *agent;
    int r;

    if (kind == REPORT_UNKNOWN) {
        collector->runs.refusals.unknown_report++;
        complain(collector, ticket->link, "unknown-report", "no such assignment of this instance");
        acknowledge_stored(collector, ticket, message, "unknown");
        return;
    }
    agent = registry_find(&collector->registry, sender_of(message));
    if (agent && message->type == PROTO_REPORT && message->report.is_last)
        agent_set_counters(agent, message->report.counters, message->report.counter_count);
    if (collector->pending_count == COLLECTOR_PENDING_MAX)
        commit(collector);
    r = runs_store(&collector->runs, message, kind);
    if (r < 0) {
        store_failed(collector);
        return;
    }
    collector->runs.refusals.duplicate_report += r == STORE_DUPLICATE;
    pending = &collector->pending[collector->pending_count++];
    *pending = (struct pending){
        .ticket = *ticket,
        .message = *message,
        .status = r == STORE_DUPLICATE  ? "duplicate"
                  : kind == REPORT_LATE ? "late"
                                        : "stored",
        .is_in_time = r == STORE_STORED && kind == REPORT_IN_TIME,
    };
    memset(message, 0, sizeof(*message));
    loop_defer(collector->loop, &collector->turn_end);
}

static void take_undecodable(struct collector *collector, struct hub_ticket *ticket, int r,
                             const struct error *err)
{
    bool is_version = r == -EPROTO;

    if (is_version)
        collector->runs.refusals.version++;
    else
        collector->runs.refusals.malformed++;
    complain(collector, ticket->link, is_version ? "version" : "malformed", err->text);
    refuse(collector, ticket, is_version ? "version" : "malformed", err->text);
}

static void on_message(void *ctx, const struct hub_ticket *from, const void *data, size_t length)
{
    struct collector *collector = ctx;
    CLEANUP_MESSAGE struct proto_message message;
    struct hub_ticket ticket = *from;
    struct error err = {""};
    int r = proto_decode(data, length, &message, &err);

    if (r < 0) {
        take_undecodable(collector, &ticket, r, &err);
        return;
    }
    switch (message.type) {
    case PROTO_HELLO:
        take_hello(collector, &ticket, &message.hello);
        break;
    case PROTO_PULL:
        take_pull(collector, &ticket, &message.pull);
        break;
    case PROTO_REPORT:
    case PROTO_WITNESS:
        take_report(collector, &ticket, &message);
        break;
    case PROTO_WATCHING:
        runs_watching(&collector->runs, &message.watching);
        acknowledge(collector, &ticket, message.watching.watch, 0, "watching");
        loop_defer(collector->loop, &collector->turn_end);
        break;
    case PROTO_LEAVING:
        take_leaving(collector, &ticket, &message.leaving);
        break;
    default:
        collector->runs.refusals.malformed++;
        complain(collector, ticket.link, "not-expected", proto_type_name(message.type));
        refuse(collector, &ticket, "not-expected", "a collector does not take this message");
    }
}

static void on_link_down(void *ctx, uint32_t link)
{
    struct collector *collector = ctx;

    registry_link_down(&collector->registry, link, clock_mono_us());
}

/* ---- housekeeping ---- */

static void renew_pulls(struct collector *collector, uint64_t now_us)
{
    struct agent *agent, *next;

    HASH_ITER(hh, collector->registry.agents, agent, next)
    {
        if (agent->pull.length && now_us > agent->pull_us + PULL_HOLD_MS * 1000ULL)
            answer_idle(collector, &agent->pull);
    }
}

static void keep_house(void *ctx)
{
    struct collector *collector = ctx;
    uint64_t now_us = clock_mono_us();
    struct agent *agent;

    renew_pulls(collector, now_us);
    while ((agent = registry_expire(&collector->registry, now_us))) {
        log_warn("agent-expired", "service=%s task=%s", LOG_QUOTE(agent->service),
                 LOG_QUOTE(agent->task));
        agent_is_gone(collector, agent, false);
    }
    loop_timer_in_ms(collector->loop, &collector->housekeeping, HOUSEKEEPING_MS);
}

/* ---- life ---- */

static int start_runs(struct collector *collector, struct fleet *fleet,
                      const struct collector_settings *settings, struct error *err)
{
    int64_t id = store_put_fleet(collector->store, settings->fleet_text, settings->fleet_length);

    if (id < 0)
        return error_set(err, (int)id, "the fleet cannot be stored: %s",
                         store_problem(collector->store));
    collector->runs = (struct runs){
        .store = collector->store,
        .registry = &collector->registry,
        .fleet = fleet,
        .fleet_id = id,
        .sample = (size_t)settings->sample,
    };
    return runs_resume(&collector->runs, clock_mono_us(), err);
}

static void on_judged(void *ctx, const struct run *run)
{
    struct collector *collector = ctx;

    gates_run_judged(collector->gates, run->record.id);
    if (run->is_light)
        return;
    alerts_run_judged(collector->alerts);
    retention_run_judged(collector->retention);
}

static int start_gates(struct collector *collector, const struct collector_settings *settings,
                       struct error *err)
{
    struct gate_hooks hooks = {collector, commit, on_run_started};

    collector->gates = gates_new(collector->loop, &collector->runs, collector->cloud,
                                 &settings->config->gate, &hooks, err);
    if (!collector->gates)
        return -EIO;
    collector->api.gates = collector->gates;
    collector->runs.on_judged = on_judged;
    collector->runs.judged_ctx = collector;
    return 0;
}

static bool needs_aws(const struct alert_settings *alerts)
{
    for (size_t i = 0; i < alerts->count; i++)
        if (alerts->destinations[i].type == DESTINATION_SNS ||
            alerts->destinations[i].type == DESTINATION_CLOUDWATCH)
            return true;
    return false;
}

/* What goes on by itself: by the clock, and to people. */
static int start_services(struct collector *collector, const struct config *config,
                          struct error *err)
{
    struct schedule_hooks hooks = {collector, commit, on_run_started};
    struct aws *aws = NULL;

    if (collector->cloud)
        aws = cloud_aws(collector->cloud);
    else if (needs_aws(&config->alerts))
        aws = collector->aws = aws_new(collector->loop, NULL, err);
    if (!aws && needs_aws(&config->alerts))
        return -EINVAL;
    collector->alerts =
        alerts_new(collector->loop, &collector->runs, aws, &config->alerts, commit, collector, err);
    if (!collector->alerts)
        return -EINVAL;
    collector->schedules = schedules_new(collector->loop, &collector->runs, config->schedules,
                                         config->schedule_count, &hooks);
    collector->retention = retention_new(collector->loop, &collector->runs, collector->gates,
                                         &config->retention, commit, collector);
    collector->api.alerts = collector->alerts;
    collector->api.schedules = collector->schedules;
    return 0;
}

struct collector *collector_new(struct loop *loop, struct fleet *fleet, struct store *store,
                                const struct collector_settings *settings, struct error *err)
{
    struct collector *collector = mem_alloc(sizeof(*collector));
    struct hub_events events = {collector, on_message, on_link_down};

    collector->loop = loop;
    collector->store = store;
    collector->scratch = BUF_INIT(PROTO_MESSAGE_MAX);
    collector->pending = mem_array(COLLECTOR_PENDING_MAX, sizeof(*collector->pending));
    collector->turn_end = (struct loop_deferred){.fn = tick_runs, .ctx = collector};
    collector->housekeeping = (struct loop_timer){.fn = keep_house, .ctx = collector};
    collector->deadline = (struct loop_timer){.fn = tick_runs, .ctx = collector};
    collector->api =
        (struct api){.runs = &collector->runs, .on_run_started = on_run_started, .ctx = collector};
    collector->fleet = fleet_ref(fleet);
    collector->cloud_ms = settings->cloud_ms;
    collector->written = BUF_INIT(FLEET_BYTES_MAX);
    buf_append(&collector->written, settings->fleet_text, settings->fleet_length);
    if (start_runs(collector, fleet, settings, err) < 0 || start_cloud(collector, fleet, err) < 0 ||
        start_gates(collector, settings, err) < 0 ||
        start_services(collector, settings->config, err) < 0)
        return collector_free(collector);
    collector->hub = hub_new(loop, settings->listen_agents, &events, err);
    if (!collector->hub)
        return collector_free(collector);
    collector->httpd = httpd_new(loop, settings->listen_http, on_http_request, collector, err);
    if (!collector->httpd)
        return collector_free(collector);
    loop_timer_in_ms(loop, &collector->housekeeping, HOUSEKEEPING_MS);
    tick_runs(collector);
    return collector;
}

struct collector *collector_free(struct collector *collector)
{
    if (!collector)
        return NULL;
    commit(collector);
    collector->httpd = httpd_free(collector->httpd);
    collector->hub = hub_free(collector->hub);
    collector->runs.on_judged = NULL;
    collector->schedules = schedules_free(collector->schedules);
    collector->retention = retention_free(collector->retention);
    collector->gates = gates_free(collector->gates);
    collector->alerts = alerts_free(collector->alerts);
    collector->aws = aws_free(collector->aws);
    collector->cloud = cloud_free(collector->cloud);
    loop_undefer(collector->loop, &collector->turn_end);
    loop_timer_stop(collector->loop, &collector->housekeeping);
    loop_timer_stop(collector->loop, &collector->deadline);
    runs_deinit(&collector->runs);
    fleet_unref(collector->fleet);
    buf_deinit(&collector->written);
    registry_deinit(&collector->registry);
    buf_deinit(&collector->scratch);
    mem_free(collector->pending);
    mem_free(collector);
    return NULL;
}
