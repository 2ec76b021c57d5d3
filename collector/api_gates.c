/* The API of gates, and what other deployment tools ask. */
#include "collector/api_internal.h"

#include "collector/gate/gates.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void refuse(struct httpd_response *response, int r, const char *why)
{
    if (r == -EINVAL)
        api_problem(response, 400, "Bad Request", why);
    else if (r == -ENOENT)
        api_problem(response, 404, "Not Found", why);
    else if (r == -EBUSY || r == -EALREADY)
        api_problem(response, 409, "Conflict", why);
    else
        api_problem(response, 503, "Service Unavailable", why);
}

/* "last" (0) or a number. */
static bool read_id(const struct captures *captures, struct httpd_response *response,
                    int64_t *ret_id)
{
    *ret_id = 0;
    if (strcmp(captures->items[0], "last") == 0 ||
        text_to_int(captures->items[0], 1, INT64_MAX, ret_id))
        return true;
    api_problem(response, 400, "Bad Request", "a gate's id is a number, or 'last'");
    return false;
}

/* The answer to a repeated request is the gate as it stands: who polls needs nothing else. */
static int start(struct api *api, const char *body, size_t length, struct httpd_response *response)
{
    struct gate_request wanted;
    struct error err = {""};
    int64_t id = 0;
    bool is_new = false;
    int r = gate_request_parse(body, length, &wanted, &err);

    if (r == 0)
        r = gates_start(api->gates, &wanted, &id, &is_new, &err);
    else
        gate_request_deinit(&wanted);
    if (r < 0) {
        refuse(response, r, err.text);
        return r;
    }
    response->status = is_new ? 202 : 200;
    snprintf(response->location, sizeof(response->location), "/api/v1/gates/%lld", (long long)id);
    return gates_view(api->gates, id, &response->body);
}

void api_start_gate(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response)
{
    (void)captures;
    if (!request->body)
        api_problem(response, 413, "Content Too Large",
                    "a request body has at most 256 KiB: name a run as the baseline");
    else
        start(api, request->body, request->body_length, response);
}

void api_show_gate(struct api *api, const struct httpd_request *request,
                   const struct captures *captures, struct httpd_response *response)
{
    int64_t id;

    (void)request;
    if (read_id(captures, response, &id) && gates_view(api->gates, id, &response->body) < 0)
        api_problem(response, 404, "Not Found",
                    id ? "there is no such gate" : "there is no gate yet");
}

struct page {
    struct buf *out;
    int64_t count, limit, last;
};

static void on_gate(void *ctx, const struct store_gate *gate)
{
    struct page *page = ctx;

    if (page->count++ == page->limit)
        return;
    buf_puts(page->out, page->count > 1 ? "," : "");
    buf_puts(page->out, gate->json);
    page->last = gate->id;
}

void api_list_gates(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response)
{
    struct page page = {.out = &response->body};
    int64_t before;

    (void)captures;
    if (!api_read_page(request, response, &page.limit, &before))
        return;
    buf_puts(&response->body, "{\"schema\":1,\"gates\":[");
    store_each_gate(api->runs->store, before, page.limit + 1, false, on_gate, &page);
    buf_puts(&response->body, "],\"next\":");
    if (page.count > page.limit)
        buf_printf(&response->body, "\"%lld\"}", (long long)page.last);
    else
        buf_puts(&response->body, "null}");
}

void api_claim_gate(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response)
{
    struct error err = {""};
    int64_t id;
    int r;

    (void)request;
    if (!read_id(captures, response, &id))
        return;
    r = gates_claim(api->gates, id, &err);
    if (r < 0)
        refuse(response, r, err.text);
    else
        buf_puts(&response->body, "{\"schema\":1,\"claimed\":true}");
}

void api_gate_acted(struct api *api, const struct httpd_request *request,
                    const struct captures *captures, struct httpd_response *response)
{
    CLEANUP_JSON cJSON *body = NULL;
    struct error err = {""};
    int64_t id;
    int r;

    if (!read_id(captures, response, &id))
        return;
    body = request->body ? json_parse(request->body, request->body_length, 3, &err) : NULL;
    if (!cJSON_IsObject(body)) {
        api_problem(response, 400, "Bad Request", "the body is not {\"problem\": TEXT}");
        return;
    }
    r = gates_acted(api->gates, id, json_string(body, "problem", ""), &err);
    if (r < 0)
        refuse(response, r, err.text);
    else
        buf_puts(&response->body, "{\"schema\":1}");
}

/* ---- Flagger ---- */

/* A webhook of Flagger's (docs.flagger.app, Webhooks): {name, namespace, phase, checksum, metadata
 * {service, hook}}. 200 lets it go on, anything else holds it. With metadata.hook "rollback" it is
 * the other way round, as Flagger's rollback hooks are: 200 asks for the rollback. */
void api_flagger(struct api *api, const struct httpd_request *request,
                 const struct captures *captures, struct httpd_response *response)
{
    CLEANUP_JSON cJSON *body = NULL, *answer = NULL;
    CLEANUP_BUF struct buf gate = BUF_INIT(8192);
    const cJSON *metadata;
    struct error err = {""};
    const char *verdict;
    char name[GATE_NAME_MAX + 1];
    bool wants_rollback;

    (void)captures;
    body = request->body ? json_parse(request->body, request->body_length, 6, &err) : NULL;
    if (!cJSON_IsObject(body)) {
        api_problem(response, 400, "Bad Request",
                    *err.text ? err.text : "not a webhook of Flagger's");
        return;
    }
    metadata = cJSON_GetObjectItemCaseSensitive(body, "metadata");
    wants_rollback = strcmp(json_string(metadata, "hook", ""), "rollback") == 0;
    snprintf(name, sizeof(name), "flagger/%.80s/%.80s/%.80s", json_string(body, "namespace", ""),
             json_string(body, "name", ""), json_string(body, "checksum", ""));
    buf_puts(&gate, "{\"service\":");
    buf_put_json(&gate, json_string(metadata, "service", json_string(body, "name", "")));
    buf_puts(&gate, ",\"deployment\":");
    buf_put_json(&gate, name);
    buf_putc(&gate, '}');
    if (start(api, buf_text(&gate), gate.length, response) < 0)
        return;
    answer = json_parse(buf_text(&response->body), response->body.length, 14, NULL);
    verdict = json_string(cJSON_GetObjectItemCaseSensitive(answer, "gate"), "verdict", "");
    response->status = strcmp(verdict, wants_rollback ? "fail" : "pass") == 0 ? 200
                       : !*verdict                                            ? 425
                                                                              : 409;
}
