#include "collector/alert/alerts.h"

#include "collector/alert/incident.h"
#include "collector/baseline.h"
#include "collector/cloud/aws.h"
#include "collector/cloud/http.h"
#include "collector/estate_store.h"
#include "collector/matrix.h"
#include "collector/outage.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON_DEPTH_MAX   10
#define MATRIX_CELLS_MAX 400 /* of a matrix that is told as text */
#define FLOWS_MAX        10
#define INCIDENTS_SHOWN  200
#define ANSWER_MAX       65536

/* What leads to one destination. */
struct courier {
    struct alerts *alerts;
    const struct destination *destination;
    struct http *http; /* NULL: it needs none */
    struct loop_timer timer;
    struct http_call *call;
    struct aws_call *asked;
    bool is_busy;

    int64_t id; /* of the message that is under way */
    int64_t created_ms, incident;
    int64_t attempts;
    struct cJSON *event; /* that was read, and is about to be sent */
    char remote[64];
    char error[200]; /* of its last try */
};

struct alerts {
    struct loop *loop;
    struct runs *runs;
    struct aws *aws;
    struct alert_settings settings;
    void (*commit)(void *ctx);
    void *ctx;
    struct courier *couriers;
    struct loop_deferred judged;
};

static void kick(struct courier *courier);

/* ---- sending ---- */

static int64_t backoff_ms(const struct courier *courier)
{
    int64_t ms = courier->alerts->settings.backoff_ms;

    for (int64_t i = 1; i < courier->attempts && ms < ALERT_BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > ALERT_BACKOFF_MAX_MS)
        ms = ALERT_BACKOFF_MAX_MS;
    return ms / 2 + arc4random_uniform((uint32_t)(ms / 2 + 1));
}

/* What became of a message. `error` "": it was taken. */
static void finish(struct courier *courier, const char *error, bool is_refused, const char *remote)
{
    struct alerts *alerts = courier->alerts;
    int64_t now_ms = clock_wall_ms();
    struct store_outgoing outgoing = {
        .id = courier->id, .attempts = courier->attempts, .error = error, .remote = remote};
    bool is_lost = *error && (now_ms - courier->created_ms > ALERT_GIVE_UP_MS ||
                              (is_refused && courier->attempts >= ALERT_REFUSED_MAX));

    courier->is_busy = false;
    text_copy(courier->error, sizeof(courier->error), error);
    outgoing.state = !*error ? "sent" : is_lost ? "failed" : "pending";
    outgoing.next_ms = *error && !is_lost ? now_ms + backoff_ms(courier) : 0;
    if (!*error)
        log_info("alert-sent", "destination=%s message=%lld attempts=%lld",
                 LOG_QUOTE(courier->destination->name), (long long)courier->id,
                 (long long)courier->attempts);
    else
        log_warn(is_lost ? "alert-lost" : "alert-not-sent",
                 "destination=%s message=%lld attempts=%lld again_in_ms=%lld error=%s",
                 LOG_QUOTE(courier->destination->name), (long long)courier->id,
                 (long long)courier->attempts,
                 (long long)(outgoing.next_ms ? outgoing.next_ms - now_ms : 0), LOG_QUOTE(error));
    alerts->commit(alerts->ctx);
    if (store_set_outgoing(alerts->runs->store, &outgoing) < 0)
        log_error("alert-not-stored", "message=%lld error=%s", (long long)courier->id,
                  LOG_QUOTE(store_problem(alerts->runs->store)));
    loop_timer_in_ms(alerts->loop, &courier->timer, 0);
}

static void on_answer(void *ctx, const struct http_answer *answer)
{
    struct courier *courier = ctx;
    char error[200] = "", remote[64];
    bool is_refused = answer->status >= 400 && answer->status < 500 && answer->status != 408 &&
                      answer->status != 429;

    courier->call = NULL;
    if (!answer->status)
        snprintf(error, sizeof(error), "%.190s", answer->error);
    else if (answer->status >= 300 && answer->status < 400)
        snprintf(error, sizeof(error),
                 "status %d: it redirects, which is not followed: give the address itself",
                 answer->status);
    else if (answer->status < 200 || answer->status >= 300)
        snprintf(error, sizeof(error), "status %d: %.150s", answer->status,
                 answer->length ? answer->body : "");
    message_remote(courier->destination, answer->body, answer->length, remote, sizeof(remote));
    finish(courier, error, is_refused, remote);
}

static void on_aws(void *ctx, const struct aws_page *page)
{
    struct courier *courier = ctx;
    char error[200] = "";

    courier->asked = NULL;
    if (!page->root)
        snprintf(error, sizeof(error), "%.80s: %.100s", page->outcome->code, page->outcome->text);
    finish(courier, error, page->outcome->fault == AWS_REFUSED, "");
}

/* One line is less than a pipe takes at once; a reader that stands still holds nobody up. */
static void write_lines(struct courier *courier, const struct buf *lines)
{
    struct pollfd ready = {.fd = STDOUT_FILENO, .events = POLLOUT};
    const char *at = buf_text(lines);

    while (*at) {
        size_t length = strcspn(at, "\n") + 1;
        if (poll(&ready, 1, 0) != 1 || write(STDOUT_FILENO, at, length) != (ssize_t)length) {
            finish(courier, "standard output takes nothing now", false, "");
            return;
        }
        at += length;
    }
    finish(courier, "", false, "");
}

static void send_sns(struct courier *courier, const cJSON *event)
{
    const struct destination *destination = courier->destination;
    struct aws_params params = aws_params_of(SNS_PUBLISH);
    CLEANUP_BUF struct buf title = BUF_INIT(8192), text = BUF_INIT(200000);
    size_t length = strlen(destination->topic);
    char subject[101];

    message_title(event, &title);
    message_text(event, &text);
    snprintf(subject, sizeof(subject), "%s", buf_text(&title));
    for (char *at = subject; *at; at++) /* ASCII, and no control characters (SNS API, Publish) */
        *at = (unsigned char)*at < ' ' || (unsigned char)*at > '~' ? '?' : *at;
    aws_put(&params, "TopicArn", destination->topic);
    aws_put(&params, "Subject", subject);
    aws_put(&params, "Message", buf_text(&text));
    if (length > 5 && strcmp(destination->topic + length - 5, ".fifo") == 0) {
        aws_put(&params, "MessageGroupId", json_string(event, "key", "canreach"));
        aws_put(&params, "MessageDeduplicationId", json_string(event, "id", ""));
    }
    courier->asked = aws_call(courier->alerts->aws, SNS_PUBLISH, &params, on_aws, courier);
}

#define METRICS_MAX 500 /* in one call: 1,000 */

static void put_metric(struct aws_params *params, size_t number, const cJSON *event,
                       const char *service, int64_t failures)
{
    char name[96], value[24];

    snprintf(name, sizeof(name), "MetricData.member.%zu.MetricName", number);
    aws_put(params, name, "FailureCount");
    snprintf(name, sizeof(name), "MetricData.member.%zu.Unit", number);
    aws_put(params, name, "Count");
    snprintf(name, sizeof(name), "MetricData.member.%zu.Timestamp", number);
    aws_put(params, name, json_string(event, "time", ""));
    snprintf(name, sizeof(name), "MetricData.member.%zu.Value", number);
    snprintf(value, sizeof(value), "%lld", (long long)failures);
    aws_put(params, name, value);
    for (int i = 1; i <= (service ? 2 : 1); i++) {
        snprintf(name, sizeof(name), "MetricData.member.%zu.Dimensions.member.%d.Name", number, i);
        aws_put(params, name, i == 1 ? "Fleet" : "Service");
        snprintf(name, sizeof(name), "MetricData.member.%zu.Dimensions.member.%d.Value", number, i);
        aws_put(params, name, i == 1 ? json_string(event, "fleet", "") : service);
    }
}

static void send_metrics(struct courier *courier, const cJSON *event)
{
    struct aws_params params = aws_params_of(CLOUDWATCH_PUT_METRIC_DATA);
    const cJSON *service;
    size_t number = 1;

    aws_put(&params, "Namespace", courier->destination->space);
    put_metric(&params, number, event, NULL, json_int(event, "failures", 0, INT32_MAX, 0));
    cJSON_ArrayForEach(service, cJSON_GetObjectItemCaseSensitive(event, "services"))
    {
        if (++number <= METRICS_MAX)
            put_metric(&params, number, event, json_string(service, "service", ""),
                       json_int(service, "failures", 0, INT32_MAX, 0));
    }
    courier->asked =
        aws_call(courier->alerts->aws, CLOUDWATCH_PUT_METRIC_DATA, &params, on_aws, courier);
}

static void send_http(struct courier *courier, const cJSON *event, const char *remote)
{
    const struct destination *destination = courier->destination;
    struct message message;
    const char *headers[MESSAGE_HEADERS_MAX];
    struct http_mail mail = {.from = destination->from,
                             .to = destination->to,
                             .to_count = destination->to_count,
                             .user = destination->user,
                             .password = destination->secret,
                             .needs_tls = !destination->is_plain};
    struct http_request request = {.timeout_ms = ALERT_TIMEOUT_MS, .limit = ANSWER_MAX};

    message_init(&message);
    message_build(&message, destination, event, remote, clock_wall_ms());
    for (size_t i = 0; i < message.header_count; i++)
        headers[i] = buf_text(&message.headers[i]);
    request.method = message.method;
    request.url = buf_text(&message.url);
    request.headers = headers;
    request.header_count = message.header_count;
    request.body = buf_text(&message.body);
    request.body_length = message.body.length;
    request.mail = destination->type == DESTINATION_SMTP ? &mail : NULL;
    courier->call = http_send(courier->http, &request, on_answer, courier);
    message_deinit(&message);
    if (!courier->call)
        finish(courier, "libcurl does not take the address", true, "");
}

static void take_outgoing(void *ctx, const struct store_outgoing *outgoing)
{
    struct courier *courier = ctx;
    int64_t now_ms = clock_wall_ms();
    cJSON *event;

    if (outgoing->next_ms > now_ms) {
        loop_timer_in_ms(courier->alerts->loop, &courier->timer,
                         (uint64_t)(outgoing->next_ms - now_ms));
        return;
    }
    event = json_parse(outgoing->json, strlen(outgoing->json), JSON_DEPTH_MAX + 4, NULL);
    courier->is_busy = true;
    courier->id = outgoing->id;
    courier->incident = outgoing->incident;
    courier->created_ms = outgoing->created_ms;
    courier->attempts = outgoing->attempts + 1;
    courier->event = event ? event : cJSON_CreateObject();
    text_copy(courier->remote, sizeof(courier->remote), outgoing->remote);
}

/* The oldest message that waits, unless one is under way. */
static void kick(struct courier *courier)
{
    struct alerts *alerts = courier->alerts;
    cJSON *event;

    if (courier->is_busy)
        return;
    store_next_outgoing(alerts->runs->store, courier->destination->name, take_outgoing, courier);
    if (!courier->is_busy)
        return;
    event = courier->event;
    courier->event = NULL;
    switch (courier->destination->type) {
    case DESTINATION_SNS:
        send_sns(courier, event);
        break;
    case DESTINATION_CLOUDWATCH:
        send_metrics(courier, event);
        break;
    case DESTINATION_EMF: {
        struct message message;
        message_init(&message);
        message_build(&message, courier->destination, event, "", clock_wall_ms());
        write_lines(courier, &message.body);
        message_deinit(&message);
        break;
    }
    default:
        send_http(courier, event, courier->remote);
    }
    json_free(event);
}

static void on_courier_time(void *ctx)
{
    kick(ctx);
}

/* ---- a run ---- */

/* Of the pairs that lead to a service. */
struct tally {
    bool is_looked_at; /* one of them was tried: else nothing is known, and 0 is no figure */
    int64_t failures;
};

struct telling {
    struct alerts *alerts;
    struct store_run *run;
    const struct fleet *fleet; /* the run's; NULL: it is gone */
    struct tally *tallies;     /* of its services */
    struct incidents incidents;
    struct outages outages;
    cJSON *diagnoses, *cells, *matrix;
    size_t cell_count;
    bool is_looked_at;
    int64_t failures;
    struct store_telling stored;
    size_t incident_capacity, outgoing_capacity, outage_capacity;
    struct arena arena;
};

static void take_incident(void *ctx, const struct store_incident *incident)
{
    struct telling *telling = ctx;
    cJSON *document = json_parse(incident->json, strlen(incident->json), JSON_DEPTH_MAX, NULL);

    if (document)
        incidents_add(&telling->incidents, incident->id, incident->opened_ms, incident->told_ms,
                      document);
}

static void take_diagnosis(void *ctx, const char *json)
{
    struct telling *telling = ctx;
    cJSON *diagnosis = json_parse(json, strlen(json), JSON_DEPTH_MAX, NULL);

    if (diagnosis)
        cJSON_AddItemToArray(telling->diagnoses, diagnosis);
}

static void count_cell(struct telling *telling, const struct store_cell *stored, bool is_failure)
{
    const struct fleet *fleet = telling->fleet;
    struct tally *tally;

    telling->is_looked_at = true;
    telling->failures += is_failure;
    if (!fleet || (uint64_t)stored->column >= fleet->column_count)
        return;
    tally = &telling->tallies[fleet->columns[stored->column].service];
    tally->is_looked_at = true;
    tally->failures += is_failure;
}

/* What works is not looked at any further: there may be a million of it. */
static void take_cell(void *ctx, const struct store_cell *stored)
{
    struct telling *telling = ctx;
    enum cell_state state;
    cJSON *cell;

    telling->cell_count++;
    if (strstr(stored->json, "\"state\":\"ok\"")) {
        count_cell(telling, stored, false);
        return;
    }
    cell = json_parse(stored->json, strlen(stored->json), JSON_DEPTH_MAX, NULL);
    state = cell_state_from_name(json_string(cell, "state", ""));
    if (strcmp(json_string(cell, "expected", ""), "observe") != 0 &&
        (cell_state_is_good(state) || cell_state_is_bad(state)))
        count_cell(telling, stored, cell_state_is_bad(state));
    cJSON_AddItemToArray(telling->cells, cell ? cell : cJSON_CreateObject());
}

/* The matrix as lines of text: "web -> api:http      fail". */
static void put_matrix_line(void *ctx, const struct store_cell *stored)
{
    struct telling *telling = ctx;
    CLEANUP_JSON cJSON *cell = json_parse(stored->json, strlen(stored->json), JSON_DEPTH_MAX, NULL);
    CLEANUP_BUF struct buf pair = BUF_INIT(1024), line = BUF_INIT(2048);

    buf_printf(&pair, "%s -> %s:%s", json_string(cell, "source", ""),
               json_string(cell, "target", ""), json_string(cell, "check", ""));
    buf_printf(&line, "%-40s %s", buf_text(&pair), json_string(cell, "state", ""));
    cJSON_AddItemToArray(telling->matrix, cJSON_CreateString(buf_text(&line)));
}

static cJSON *flow_lines(const struct telling *telling)
{
    struct estate *estate =
        estate_store_get(telling->alerts->runs->store, telling->run->id, ESTATE_ONLY(ESTATE_FLOWS));
    const struct estate_flow *flows = estate ? estate->parts[ESTATE_FLOWS].items : NULL;
    cJSON *lines = cJSON_CreateArray();

    for (size_t i = 0; estate && i < estate_count(estate, ESTATE_FLOWS) && i < FLOWS_MAX; i++) {
        char line[512], at[CLOCK_RFC3339_MAX];
        clock_rfc3339(flows[i].begin_ms, at);
        snprintf(line, sizeof(line),
                 "%s %.60s %.60s:%lld -> %.60s:%lld protocol %lld, %lld packets, %.60s", at,
                 flows[i].action, flows[i].from, (long long)flows[i].from_port, flows[i].to,
                 (long long)flows[i].to_port, (long long)flows[i].protocol,
                 (long long)flows[i].packets, flows[i].interface);
        cJSON_AddItemToArray(lines, cJSON_CreateString(line));
    }
    estate_free(estate);
    return lines;
}

static void add_time(cJSON *object, const char *key, int64_t ms)
{
    char text[CLOCK_RFC3339_MAX];

    clock_rfc3339(ms, text);
    cJSON_AddStringToObject(object, key, text);
}

/* "canreach-7-shop": the same for all events of an incident, and good for a label, a header, a key.
 */
static void make_key(const struct telling *telling, int64_t incident, char *text, size_t size)
{
    snprintf(text, size, "canreach-%lld-%.60s", (long long)incident,
             telling->alerts->runs->fleet->name);
    for (char *at = text; *at; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *at))
            *at = '_';
}

static cJSON *event_head(const struct telling *telling, const char *kind, const char *key)
{
    cJSON *event = cJSON_CreateObject();
    CLEANUP_BUF struct buf id = BUF_INIT(256);
    char run[24];

    if (strcmp(kind, "opened") == 0)
        buf_printf(&id, "%s.opened.1", key);
    else
        buf_printf(&id, "%s.%s.%lld", key, kind, (long long)telling->run->id);
    cJSON_AddNumberToObject(event, "schema", 1);
    cJSON_AddStringToObject(event, "id", buf_text(&id));
    cJSON_AddStringToObject(event, "kind", kind);
    cJSON_AddStringToObject(event, "key", key);
    cJSON_AddStringToObject(event, "fleet", telling->alerts->runs->fleet->name);
    snprintf(run, sizeof(run), "%lld", (long long)telling->run->id);
    cJSON_AddStringToObject(event, "run", run);
    add_time(event, "time", telling->run->finished_ms);
    return event;
}

static char *print(struct telling *telling, cJSON *value)
{
    char *text = cJSON_PrintUnformatted(value);
    char *kept = arena_strdup(&telling->arena, text ? text : "{}");

    cJSON_free(text);
    return kept;
}

static void add_outgoing(struct telling *telling, const struct destination *destination,
                         int64_t incident, const char *kind, const char *json)
{
    mem_grow(&telling->stored.outgoing, telling->stored.outgoing_count, &telling->outgoing_capacity,
             sizeof(*telling->stored.outgoing));
    telling->stored.outgoing[telling->stored.outgoing_count++] =
        (struct store_outgoing){.destination = destination->name,
                                .incident = incident,
                                .kind = kind,
                                .created_ms = clock_wall_ms(),
                                .json = json};
}

static void send_event(struct telling *telling, const struct incident *incident,
                       enum incident_kind kind)
{
    const struct alert_settings *settings = &telling->alerts->settings;
    const char *name = incident_kind_name(kind), *json;
    char key[128], id[24];
    cJSON *event, *item;

    make_key(telling, incident->id, key, sizeof(key));
    event = event_head(telling, name, key);
    snprintf(id, sizeof(id), "%lld", (long long)incident->id);
    cJSON_AddStringToObject(event, "incident", id);
    add_time(event, "opened", incident->opened_ms);
    if (*settings->url)
        cJSON_AddStringToObject(event, "url", settings->url);
    cJSON_ArrayForEach(item, incident->document)
    {
        if (!cJSON_GetObjectItemCaseSensitive(event, item->string))
            cJSON_AddItemToObject(event, item->string, cJSON_Duplicate(item, true));
    }
    if (kind != INCIDENT_RESOLVED) {
        cJSON_AddItemToObject(event, "flows", flow_lines(telling));
        cJSON_AddItemToObject(event, "matrix", cJSON_Duplicate(telling->matrix, true));
    }
    json = print(telling, event);
    cJSON_Delete(event);
    for (size_t i = 0; i < settings->count; i++)
        if (!destination_takes_runs(settings->destinations[i].type))
            add_outgoing(telling, &settings->destinations[i], incident->id, name, json);
}

static cJSON *list_services(const struct telling *telling)
{
    cJSON *services = cJSON_CreateArray();

    for (size_t i = 0; telling->fleet && i < telling->fleet->service_count; i++) {
        cJSON *item;
        if (!telling->tallies[i].is_looked_at)
            continue;
        item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "service", telling->fleet->services[i].name);
        cJSON_AddNumberToObject(item, "failures", (double)telling->tallies[i].failures);
        cJSON_AddItemToArray(services, item);
    }
    return services;
}

static void send_figures(struct telling *telling)
{
    const struct alert_settings *settings = &telling->alerts->settings;
    cJSON *event;
    const char *json;

    if (!telling->is_looked_at)
        return;
    event = event_head(telling, "run", "canreach");
    cJSON_AddNumberToObject(event, "failures", (double)telling->failures);
    cJSON_AddItemToObject(event, "services", list_services(telling));
    json = print(telling, event);
    cJSON_Delete(event);
    for (size_t i = 0; i < settings->count; i++)
        if (destination_takes_runs(settings->destinations[i].type))
            add_outgoing(telling, &settings->destinations[i], 0, "run", json);
}

static void keep_incidents(struct telling *telling)
{
    struct incidents *incidents = &telling->incidents;

    for (size_t i = 0; i < incidents->event_count; i++) {
        struct incident *incident = &incidents->items[incidents->events[i].incident];
        bool is_over = incidents->events[i].kind == INCIDENT_RESOLVED;
        if (!incident->id)
            incident->id = store_next_incident(telling->alerts->runs->store);
        mem_grow(&telling->stored.incidents, telling->stored.incident_count,
                 &telling->incident_capacity, sizeof(*telling->stored.incidents));
        telling->stored.incidents[telling->stored.incident_count++] =
            (struct store_incident){.id = incident->id,
                                    .is_open = !is_over,
                                    .opened_ms = incident->opened_ms,
                                    .told_ms = incident->told_ms,
                                    .resolved_ms = is_over ? telling->run->finished_ms : 0,
                                    .json = print(telling, incident->document)};
        send_event(telling, incident, incidents->events[i].kind);
        log_info("incident", "incident=%lld kind=%s cause=%s scope=%s", (long long)incident->id,
                 incident_kind_name(incidents->events[i].kind),
                 LOG_QUOTE(json_string(incident->document, "cause", "")),
                 LOG_QUOTE(json_string(incident->document, "scope", "")));
    }
}

static void take_outage(void *ctx, const struct store_outage *outage)
{
    outages_add(ctx, outage);
}

/* Of every run, whoever asked for it. */
static void keep_outages(struct telling *telling)
{
    struct outage_run looked = {.id = telling->run->id,
                                .at_ms = telling->run->created_ms,
                                .cells = telling->cells,
                                .diagnoses = telling->diagnoses};

    store_each_open_outage(telling->alerts->runs->store, take_outage, &telling->outages);
    outages_update(&telling->outages, &looked);
    for (size_t i = 0; i < telling->outages.count; i++) {
        if (!telling->outages.items[i].is_changed)
            continue;
        mem_grow(&telling->stored.outages, telling->stored.outage_count, &telling->outage_capacity,
                 sizeof(*telling->stored.outages));
        telling->stored.outages[telling->stored.outage_count++] = telling->outages.items[i].record;
    }
}

static bool is_whole(const struct store_run *run)
{
    CLEANUP_JSON cJSON *scope =
        run->scope ? json_parse(run->scope, strlen(run->scope), 4, NULL) : NULL;
    const cJSON *list;

    cJSON_ArrayForEach(list, scope)
    {
        if (cJSON_GetArraySize(list))
            return false;
    }
    return true;
}

/* False: it cannot be stored now. */
static bool tell_run(struct alerts *alerts, struct store_run *run)
{
    struct store *store = alerts->runs->store;
    const struct alert_settings *settings = &alerts->settings;
    struct baseline_search *fleets = baseline_search_new(store);
    struct telling telling = {.alerts = alerts,
                              .run = run,
                              .diagnoses = cJSON_CreateArray(),
                              .cells = cJSON_CreateArray(),
                              .matrix = cJSON_CreateArray(),
                              .stored = {.run = run->id}};
    struct incident_run looked = {
        .diagnoses = telling.diagnoses,
        .cells = telling.cells,
        .is_whole = is_whole(run),
        .wants_observed = settings->wants_observed,
        .wants_warnings = settings->wants_warnings,
        .now_ms = clock_wall_ms(),
        .remind_ms = settings->remind_ms,
    };
    bool is_told;

    telling.fleet = run->fleet == alerts->runs->fleet_id ? alerts->runs->fleet
                                                         : baseline_fleet(fleets, run->fleet);
    telling.tallies =
        mem_array(telling.fleet ? telling.fleet->service_count : 0, sizeof(*telling.tallies));
    store_each_diagnosis(store, run->id, take_diagnosis, &telling);
    store_each_cell(store, run->id, take_cell, &telling);
    keep_outages(&telling);
    if (settings->takes_manual || strcmp(run->trigger, "manual") != 0) {
        store_each_incident(store, true, INT32_MAX, take_incident, &telling);
        if (telling.cell_count <= MATRIX_CELLS_MAX && cJSON_GetArraySize(telling.diagnoses))
            store_each_cell(store, run->id, put_matrix_line, &telling);
        incidents_update(&telling.incidents, &looked);
        keep_incidents(&telling);
        send_figures(&telling);
    }
    is_told = store_tell(store, &telling.stored) == 0;
    if (!is_told)
        log_error("alerts-not-stored", "run=%lld error=%s", (long long)run->id,
                  LOG_QUOTE(store_problem(store)));
    incidents_deinit(&telling.incidents);
    outages_deinit(&telling.outages);
    cJSON_Delete(telling.diagnoses);
    cJSON_Delete(telling.cells);
    cJSON_Delete(telling.matrix);
    mem_free(telling.tallies);
    baseline_search_free(fleets);
    mem_free(telling.stored.incidents);
    mem_free(telling.stored.outgoing);
    mem_free(telling.stored.outages);
    arena_deinit(&telling.arena);
    return is_told;
}

static void take_run_id(void *ctx, const struct store_run *run)
{
    *(int64_t *)ctx = run->id;
}

static void tell_all(void *ctx)
{
    struct alerts *alerts = ctx;
    struct store *store = alerts->runs->store;

    alerts->commit(alerts->ctx);
    for (;;) {
        int64_t id = 0;
        struct store_run run;
        bool is_told;
        store_next_untold(store, take_run_id, &id);
        if (!id || store_get_run(store, id, &run) < 0)
            break;
        is_told = tell_run(alerts, &run);
        store_run_deinit(&run);
        if (!is_told)
            break;
    }
    for (size_t i = 0; i < alerts->settings.count; i++)
        kick(&alerts->couriers[i]);
}

void alerts_run_judged(struct alerts *alerts)
{
    loop_defer(alerts->loop, &alerts->judged);
}

/* ---- life ---- */

static int start_courier(struct courier *courier, struct error *err)
{
    const struct destination *destination = courier->destination;
    bool is_aws =
        destination->type == DESTINATION_SNS || destination->type == DESTINATION_CLOUDWATCH;

    if (is_aws && !courier->alerts->aws)
        return error_set(err, -EINVAL,
                         "alerts: destination '%s' needs AWS: a region and credentials",
                         destination->name);
    if (is_aws || destination->type == DESTINATION_EMF)
        return 0;
    courier->http = http_new(courier->alerts->loop, *destination->ca ? destination->ca : NULL);
    return courier->http ? 0 : error_set(err, -errno, "libcurl does not start");
}

struct alerts *alerts_new(struct loop *loop, struct runs *runs, struct aws *aws,
                          const struct alert_settings *settings, void (*commit)(void *ctx),
                          void *ctx, struct error *err)
{
    struct alerts *alerts = mem_alloc(sizeof(*alerts));

    *alerts = (struct alerts){.loop = loop,
                              .runs = runs,
                              .aws = aws,
                              .settings = *settings,
                              .commit = commit,
                              .ctx = ctx};
    alerts->judged = (struct loop_deferred){.fn = tell_all, .ctx = alerts};
    alerts->couriers = mem_array(settings->count, sizeof(*alerts->couriers));
    for (size_t i = 0; i < settings->count; i++) {
        struct courier *courier = &alerts->couriers[i];
        *courier = (struct courier){.alerts = alerts, .destination = &settings->destinations[i]};
        courier->timer = (struct loop_timer){.fn = on_courier_time, .ctx = courier};
    }
    for (size_t i = 0; i < settings->count; i++)
        if (start_courier(&alerts->couriers[i], err) < 0)
            return alerts_free(alerts);
    loop_defer(loop, &alerts->judged); /* what a former collector left */
    return alerts;
}

struct alerts *alerts_free(struct alerts *alerts)
{
    if (!alerts)
        return NULL;
    for (size_t i = 0; i < alerts->settings.count; i++) {
        struct courier *courier = &alerts->couriers[i];
        loop_timer_stop(alerts->loop, &courier->timer);
        if (courier->asked)
            aws_cancel(alerts->aws, courier->asked);
        http_cancel(courier->http, courier->call);
        http_free(courier->http);
    }
    loop_undefer(alerts->loop, &alerts->judged);
    mem_free(alerts->couriers);
    mem_free(alerts);
    return NULL;
}

/* ---- view ---- */

static void put_incident(void *ctx, const struct store_incident *incident)
{
    struct buf *out = ctx;
    char opened[CLOCK_RFC3339_MAX], resolved[CLOCK_RFC3339_MAX];

    clock_rfc3339(incident->opened_ms, opened);
    clock_rfc3339(incident->resolved_ms, resolved);
    if (buf_text(out)[out->length - 1] != '[')
        buf_putc(out, ',');
    buf_printf(out, "{\"id\":\"%lld\",\"open\":%s,\"opened\":\"%s\",\"resolved\":",
               (long long)incident->id, incident->is_open ? "true" : "false", opened);
    if (incident->resolved_ms)
        buf_put_json(out, resolved);
    else
        buf_puts(out, "null");
    buf_printf(out, ",\"diagnosis\":%s}", incident->json);
}

void alerts_view(const struct alerts *alerts, bool only_open, struct buf *out)
{
    struct store *store = alerts->runs->store;

    buf_puts(out, "{\"schema\":1,\"incidents\":[");
    store_each_incident(store, only_open, INCIDENTS_SHOWN, put_incident, out);
    buf_puts(out, "],\"destinations\":[");
    for (size_t i = 0; i < alerts->settings.count; i++) {
        const struct courier *courier = &alerts->couriers[i];
        int64_t pending = 0, failed = 0;
        store_count_outgoing(store, courier->destination->name, &pending, &failed);
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json(out, courier->destination->name);
        buf_printf(out, ",\"type\":\"%s\",\"pending\":%lld,\"failed\":%lld,\"error\":",
                   destination_type_name(courier->destination->type), (long long)pending,
                   (long long)failed);
        buf_put_json(out, courier->error);
        buf_putc(out, '}');
    }
    buf_puts(out, "]}");
}

void alerts_put_metrics(const struct alerts *alerts, struct buf *out)
{
    buf_puts(out, "# TYPE canreach_alerts gauge\n");
    for (size_t i = 0; i < alerts->settings.count; i++) {
        const char *name = alerts->couriers[i].destination->name;
        int64_t pending = 0, failed = 0;
        store_count_outgoing(alerts->runs->store, name, &pending, &failed);
        buf_puts(out, "canreach_alerts{state=\"pending\",destination=");
        buf_put_json(out, name);
        buf_printf(out,
                   "} %lld\ncanreach_alerts{state=\"failed\",destination=", (long long)pending);
        buf_put_json(out, name);
        buf_printf(out, "} %lld\n", (long long)failed);
    }
}
