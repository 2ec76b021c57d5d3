#include "collector/api_internal.h"

#include "collector/alert/alerts.h"
#include "collector/baseline.h"
#include "collector/gate/gates.h"
#include "collector/schedule/schedules.h"
#include "collector/view.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BODY_DEPTH_MAX 4

static void not_found(struct httpd_response *response, const char *detail)
{
    api_problem(response, 404, "Not Found", detail);
}

/* ---- POST /api/v1/runs ---- */

void run_request_deinit(struct run_request *request)
{
    options_list_deinit(&request->from);
    options_list_deinit(&request->to);
    options_list_deinit(&request->about);
    options_list_deinit(&request->without);
}

static int read_list(const cJSON *object, const char *key, struct options_list *list,
                     struct error *err)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, key), *item;

    if (!array || cJSON_IsNull(array))
        return 0;
    if (!cJSON_IsArray(array))
        return error_set(err, -EINVAL, "'%s' is not a list of services", key);
    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsString(item) || strlen(item->valuestring) > PROTO_NAME_MAX)
            return error_set(err, -EINVAL, "'%s' holds something that is not a name", key);
        if (options_list_add(list, item->valuestring, strlen(item->valuestring)) < 0)
            return error_set(err, -EINVAL, "'%s' has more than %d services", key, OPTIONS_LIST_MAX);
    }
    return 0;
}

static int read_trigger(const cJSON *object, const char **ret_trigger, struct error *err)
{
    static const char *const triggers[] = {"manual", "gate", "schedule", "watch"};
    const char *text = json_string(object, "trigger", "manual");

    for (size_t i = 0; i < ARRAY_SIZE(triggers); i++)
        if (strcmp(text, triggers[i]) == 0) {
            *ret_trigger = triggers[i];
            return 0;
        }
    return error_set(err, -EINVAL,
                     "'trigger' is '%.40s'; expected manual, gate, schedule or "
                     "watch",
                     text);
}

int api_parse_run_request(const char *body, size_t length, struct run_request *ret_request,
                          struct error *err)
{
    static const char *const known[] = {"from", "to", "about", "without", "trigger", "deadline"};
    CLEANUP_JSON cJSON *object = NULL;
    int r;

    *ret_request = (struct run_request){.trigger = "manual"};
    if (length == 0)
        return 0;
    object = json_parse_body(body, length, BODY_DEPTH_MAX, known, ARRAY_SIZE(known), err);
    if (!object)
        return -EINVAL;
    r = read_list(object, "from", &ret_request->from, err);
    if (r == 0)
        r = read_list(object, "to", &ret_request->to, err);
    if (r == 0)
        r = read_list(object, "about", &ret_request->about, err);
    if (r == 0)
        r = read_list(object, "without", &ret_request->without, err);
    if (r == 0)
        r = read_trigger(object, &ret_request->trigger, err);
    return r < 0 ? r
                 : json_duration_ms(object, "deadline", RUN_DEADLINE_MIN_MS, RUN_DEADLINE_MAX_MS,
                                    &ret_request->deadline_ms, err);
}

static void start_run(struct api *api, const struct httpd_request *request,
                      const struct captures *captures, struct httpd_response *response)
{
    struct run_request wanted;
    struct run *run = NULL;
    struct error err = {""};
    int r;

    (void)captures;
    if (!request->body) {
        api_problem(response, 413, "Content Too Large", "a request body has at most 256 KiB");
        return;
    }
    r = api_parse_run_request(request->body, request->body_length, &wanted, &err);
    if (r == 0)
        r = runs_start(api->runs, &wanted, clock_mono_us(), &run, &err);
    run_request_deinit(&wanted);
    if (r == -EINVAL) {
        api_problem(response, 400, "Bad Request", err.text);
    } else if (r < 0 || !run) {
        api_problem(response, 503, "Service Unavailable", err.text);
    } else {
        response->status = 202;
        snprintf(response->location, sizeof(response->location), "/api/v1/runs/%lld",
                 (long long)run->record.id);
        buf_printf(&response->body, "{\"schema\":1,\"id\":\"%lld\"}", (long long)run->record.id);
        api->on_run_started(api->ctx, run);
    }
}

/* ---- reading ---- */

/* "last" or a number. */
static bool find_run(struct api *api, const char *text, struct httpd_response *response,
                     struct store_run *ret_run)
{
    int64_t id = 0;
    int r;

    if (strcmp(text, "last") != 0 && !text_to_int(text, 1, INT64_MAX, &id)) {
        api_problem(response, 400, "Bad Request", "a run id is a number, or 'last'");
        return false;
    }
    r = store_get_run(api->runs->store, id, ret_run);
    if (r == -ENOENT)
        not_found(response, id ? "there is no such run" : "there is no run yet");
    else if (r < 0)
        api_problem(response, 503, "Service Unavailable", store_problem(api->runs->store));
    return r == 0;
}

bool api_read_page(const struct httpd_request *request, struct httpd_response *response,
                   int64_t *ret_limit, int64_t *ret_before)
{
    const char *limit = httpd_query(request, "limit"), *before = httpd_query(request, "before");

    *ret_limit = API_PAGE_DEFAULT;
    *ret_before = 0;
    if ((!limit || text_to_int(limit, 1, API_PAGE_MAX, ret_limit)) &&
        (!before || text_to_int(before, 1, INT64_MAX, ret_before)))
        return true;
    api_problem(response, 400, "Bad Request", "limit is 1 to 500, before is an id");
    return false;
}

struct page {
    struct buf *out;
    int64_t count, limit, last;
};

static void on_run(void *ctx, const struct store_run *record)
{
    struct page *page = ctx;

    if (page->count++ == page->limit)
        return;
    buf_puts(page->out, page->count > 1 ? "," : "");
    view_run(record, page->out);
    page->last = record->id;
}

static void list_runs(struct api *api, const struct httpd_request *request,
                      const struct captures *captures, struct httpd_response *response)
{
    struct page page = {.out = &response->body};
    int64_t from = 0;

    (void)captures;
    if (!api_read_page(request, response, &page.limit, &from))
        return;
    buf_puts(&response->body, "{\"schema\":1,\"runs\":[");
    store_each_run(api->runs->store, from, page.limit + 1, false, on_run, &page);
    buf_puts(&response->body, "],\"next\":");
    if (page.count > page.limit)
        buf_printf(&response->body, "\"%lld\"}", (long long)page.last);
    else
        buf_puts(&response->body, "null}");
}

typedef void (*view_fn)(const struct runs *runs, const struct store_run *record, struct buf *out);

static void show(struct api *api, const struct captures *captures, struct httpd_response *response,
                 view_fn view)
{
    struct store_run record;

    if (!find_run(api, captures->items[0], response, &record))
        return;
    view(api->runs, &record, &response->body);
    store_run_deinit(&record);
}

static void show_run(struct api *api, const struct httpd_request *request,
                     const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    show(api, captures, response, view_run_detail);
}

static void show_matrix(struct api *api, const struct httpd_request *request,
                        const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    show(api, captures, response, view_matrix);
}

static void show_diagnoses(struct api *api, const struct httpd_request *request,
                           const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    show(api, captures, response, view_diagnoses);
}

static void show_pair(struct api *api, const struct httpd_request *request,
                      const struct captures *captures, struct httpd_response *response)
{
    struct store_run record;

    if (!find_run(api, captures->items[0], response, &record))
        return;
    if (view_pair(api->runs, &record, captures->items[1], captures->items[2],
                  httpd_query(request, "check"), &response->body) < 0)
        not_found(response, "the run's fleet has no such pair (source with agents, target, check)");
    store_run_deinit(&record);
}

static void show_agents(struct api *api, const struct httpd_request *request,
                        const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    (void)captures;
    view_agents(api->runs, clock_mono_us(), &response->body);
}

static void show_services(struct api *api, const struct httpd_request *request,
                          const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    (void)captures;
    view_services(api->runs, &response->body);
}

static void show_service(struct api *api, const struct httpd_request *request,
                         const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    if (view_service(api->runs, captures->items[0], &response->body) < 0)
        not_found(response, "the fleet has no such service");
}

static void show_estate(struct api *api, const struct httpd_request *request,
                        const struct captures *captures, struct httpd_response *response)
{
    struct store_run record;

    (void)request;
    if (!find_run(api, captures->items[0], response, &record))
        return;
    if (view_estate(api->runs, &record, &response->body) < 0)
        not_found(response, "the cloud was not asked for this run, or has not answered yet");
    store_run_deinit(&record);
}

/* By default the last run, and the last before it that passed. */
static void show_diff(struct api *api, const struct httpd_request *request,
                      const struct captures *captures, struct httpd_response *response)
{
    const char *from = httpd_query(request, "from"), *to = httpd_query(request, "to");
    struct store_run earlier, later;
    char good[24];

    (void)captures;
    if (!find_run(api, to ? to : "last", response, &later))
        return;
    if (!from || strcmp(from, "last-good") == 0) {
        int64_t id = baseline_last_pass(api->runs->store, later.id);
        snprintf(good, sizeof(good), "%lld", (long long)id);
        from = good;
        if (!id) {
            not_found(response, "no run before it has passed: name one with 'from'");
            store_run_deinit(&later);
            return;
        }
    }
    if (find_run(api, from, response, &earlier)) {
        view_diff(api->runs, &earlier, &later, &response->body);
        store_run_deinit(&earlier);
    }
    store_run_deinit(&later);
}

static void show_schedules(struct api *api, const struct httpd_request *request,
                           const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    (void)captures;
    schedules_view(api->schedules, &response->body);
}

/* Open incidents; with ?all=1 also those that are over. */
static void show_alerts(struct api *api, const struct httpd_request *request,
                        const struct captures *captures, struct httpd_response *response)
{
    (void)captures;
    alerts_view(api->alerts, !httpd_query(request, "all"), &response->body);
}

static void on_outage(void *ctx, const struct store_outage *outage)
{
    struct page *page = ctx;
    char start[CLOCK_RFC3339_MAX], end[CLOCK_RFC3339_MAX];

    if (page->count++ == page->limit)
        return;
    clock_rfc3339(outage->start_ms, start);
    clock_rfc3339(outage->end_ms, end);
    buf_printf(page->out, "%s{\"id\":\"%lld\",\"source\":", page->count > 1 ? "," : "",
               (long long)outage->id);
    buf_put_json(page->out, outage->source);
    buf_puts(page->out, ",\"target\":");
    buf_put_json(page->out, outage->target);
    buf_puts(page->out, ",\"check\":");
    buf_put_json(page->out, outage->check);
    buf_printf(page->out, ",\"start\":\"%s\",\"start_run\":\"%lld\"", start,
               (long long)outage->start_run);
    if (outage->end_ms)
        buf_printf(page->out, ",\"end\":\"%s\",\"end_run\":\"%lld\"", end,
                   (long long)outage->end_run);
    else
        buf_puts(page->out, ",\"end\":null,\"end_run\":null");
    buf_printf(page->out, ",\"seconds\":%lld,\"causes\":%s}",
               (long long)((outage->end_ms ? outage->end_ms : clock_wall_ms()) - outage->start_ms) /
                   1000,
               outage->causes);
    page->last = outage->id;
}

static void list_outages(struct api *api, const struct httpd_request *request,
                         const struct captures *captures, struct httpd_response *response)
{
    const char *source = httpd_query(request, "source"), *target = httpd_query(request, "target");
    struct page page = {.out = &response->body};
    int64_t before = 0;

    (void)captures;
    if (!api_read_page(request, response, &page.limit, &before))
        return;
    buf_puts(&response->body, "{\"schema\":1,\"outages\":[");
    store_each_outage(api->runs->store, before, source ? source : "", target ? target : "",
                      page.limit + 1, on_outage, &page);
    buf_puts(&response->body, "],\"next\":");
    if (page.count > page.limit)
        buf_printf(&response->body, "\"%lld\"}", (long long)page.last);
    else
        buf_puts(&response->body, "null}");
}

static void healthz(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response)
{
    (void)api;
    (void)request;
    (void)captures;
    buf_puts(&response->body, "{\"status\":\"ok\"}");
}

static void readyz(struct api *api, const struct httpd_request *request,
                   const struct captures *captures, struct httpd_response *response)
{
    const char *why = store_problem(api->runs->store);

    (void)request;
    (void)captures;
    if (*why)
        api_problem(response, 503, "Service Unavailable", why);
    else
        buf_puts(&response->body, "{\"status\":\"ready\"}");
}

static void metrics(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response)
{
    (void)request;
    (void)captures;
    response->content_type = "text/plain; version=0.0.4";
    view_metrics(api->runs, &response->body);
    buf_printf(&response->body, "# TYPE canreach_gates_open gauge\ncanreach_gates_open %zu\n",
               gates_open_count(api->gates));
    alerts_put_metrics(api->alerts, &response->body);
}

/* ---- routes ---- */

static const struct route {
    const char *method, *path; /* '*' is one segment, captured */
    api_fn fn;
} routes[] = {
    {"GET", "/healthz", healthz},
    {"GET", "/readyz", readyz},
    {"GET", "/metrics", metrics},
    {"POST", "/api/v1/runs", start_run},
    {"GET", "/api/v1/runs", list_runs},
    {"GET", "/api/v1/runs/*", show_run},
    {"GET", "/api/v1/runs/*/matrix", show_matrix},
    {"GET", "/api/v1/runs/*/pairs/*/*", show_pair},
    {"GET", "/api/v1/runs/*/diagnoses", show_diagnoses},
    {"GET", "/api/v1/runs/*/cloud", show_estate},
    {"GET", "/api/v1/diff", show_diff},
    {"GET", "/api/v1/alerts", show_alerts},
    {"GET", "/api/v1/outages", list_outages},
    {"GET", "/api/v1/schedules", show_schedules},
    {"POST", "/api/v1/gates", api_start_gate},
    {"GET", "/api/v1/gates", api_list_gates},
    {"GET", "/api/v1/gates/*", api_show_gate},
    {"POST", "/api/v1/gates/*/claim", api_claim_gate},
    {"POST", "/api/v1/gates/*/acted", api_gate_acted},
    {"POST", "/api/v1/flagger", api_flagger},
    {"GET", "/api/v1/agents", show_agents},
    {"GET", "/api/v1/services", show_services},
    {"GET", "/api/v1/services/*", show_service},
};

void api_problem(struct httpd_response *response, int status, const char *title, const char *detail)
{
    response->status = status;
    response->content_type = "application/problem+json";
    buf_reset(&response->body);
    buf_puts(&response->body, "{\"type\":\"about:blank\",\"title\":");
    buf_put_json(&response->body, title);
    buf_printf(&response->body, ",\"status\":%d,\"detail\":", status);
    buf_put_json(&response->body, detail);
    buf_putc(&response->body, '}');
}

static bool matches(const char *pattern, const char *path, struct captures *captures)
{
    captures->count = 0;
    while (*pattern) {
        size_t length;
        if (*pattern != '*') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        length = strcspn(path, "/");
        if (!length || length > PROTO_NAME_MAX || captures->count == API_SEGMENTS_MAX)
            return false;
        memcpy(captures->items[captures->count], path, length);
        captures->items[captures->count++][length] = '\0';
        path += length;
        pattern++;
    }
    return *path == '\0';
}

void api_handle(void *ctx, const struct httpd_request *request, struct httpd_response *response)
{
    struct api *api = ctx;
    struct captures captures;
    bool is_known = false;

    response->status = 200;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (!matches(routes[i].path, request->path, &captures))
            continue;
        is_known = true;
        if (strcmp(routes[i].method, request->method) == 0) {
            routes[i].fn(api, request, &captures, response);
            return;
        }
    }
    if (is_known)
        api_problem(response, 405, "Method Not Allowed", "this path takes another method");
    else
        not_found(
            response,
            "no such path; see /api/v1/runs, /api/v1/gates, /api/v1/agents, /api/v1/services");
}
