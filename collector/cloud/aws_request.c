#include "collector/cloud/aws_request.h"

#include "collector/cloud/sigv4.h"
#include "common/mem.h"
#include "common/text.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define CALL_TIMEOUT_MS 10000

/* ---- parameters ---- */

struct aws_params aws_params_of(enum aws_operation_id operation)
{
    return (struct aws_params){
        .protocol = aws_service(aws_operation(operation)->service)->protocol,
        .text = BUF_INIT(AWS_PARAMS_MAX),
    };
}

void aws_params_deinit(struct aws_params *params)
{
    buf_deinit(&params->text);
}

static void put_pair(struct aws_params *params, const char *name, const char *value)
{
    buf_puts(&params->text, params->text.length ? "&" : "");
    sigv4_encode(&params->text, name, strlen(name), "");
    buf_putc(&params->text, '=');
    sigv4_encode(&params->text, value, strlen(value), "");
}

static void put_name(struct aws_params *params, const char *name)
{
    buf_puts(&params->text, params->text.length ? "," : "");
    buf_put_json(&params->text, name);
    buf_putc(&params->text, ':');
}

void aws_put(struct aws_params *params, const char *name, const char *value)
{
    if (params->protocol != AWS_JSON) {
        put_pair(params, name, value);
        return;
    }
    put_name(params, name);
    buf_put_json(&params->text, value);
}

void aws_put_int(struct aws_params *params, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    if (params->protocol != AWS_JSON) {
        put_pair(params, name, text);
        return;
    }
    put_name(params, name);
    buf_puts(&params->text, text);
}

void aws_put_bool(struct aws_params *params, const char *name, bool value)
{
    if (params->protocol != AWS_JSON) {
        put_pair(params, name, value ? "true" : "false");
        return;
    }
    put_name(params, name);
    buf_puts(&params->text, value ? "true" : "false");
}

void aws_put_list(struct aws_params *params, const char *name, const char *const *values,
                  size_t count)
{
    const char *middle = params->protocol == AWS_QUERY ? ".member" : "";
    char item[256];

    if (params->protocol == AWS_JSON) {
        put_name(params, name);
        buf_put_json_list(&params->text, values, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(item, sizeof(item), "%s%s.%zu", name, middle, i + 1);
        put_pair(params, item, values[i]);
    }
}

void aws_put_filter(struct aws_params *params, const char *name, const char *const *values,
                    size_t count)
{
    unsigned number = ++params->filters;
    char item[64];

    if (params->protocol == AWS_JSON) {
        assert(number == 1);
        buf_printf(&params->text, "%s\"Filters\":[{\"Name\":", params->text.length ? "," : "");
        buf_put_json(&params->text, name);
        buf_puts(&params->text, ",\"Condition\":\"EQ\",\"Values\":");
        buf_put_json_list(&params->text, values, count);
        buf_puts(&params->text, "}]");
        return;
    }

    snprintf(item, sizeof(item), "Filter.%u.Name", number);
    put_pair(params, item, name);
    snprintf(item, sizeof(item), "Filter.%u.Value", number);
    aws_put_list(params, item, values, count);
}

void aws_put_lookup(struct aws_params *params, const char *attribute, const char *value)
{
    buf_printf(&params->text,
               "%s\"LookupAttributes\":[{\"AttributeKey\":\"%s\",\"AttributeValue\":",
               params->text.length ? "," : "", attribute);
    buf_put_json(&params->text, value);
    buf_puts(&params->text, "}]");
}

/* ---- the request ---- */

static void add_header(struct aws_request *request, const char *name, const char *value)
{
    CLEANUP_BUF struct buf line = BUF_INIT(BUF_UNBOUNDED);

    buf_printf(&line, "%s: %s", name, value);
    request->headers[request->header_count++] = mem_strdup(buf_text(&line));
}

static void put_body(struct aws_request *request, enum aws_protocol protocol, const char *name,
                     const char *version, const struct aws_params *params)
{
    if (protocol == AWS_JSON)
        buf_printf(&request->body, "{%s}", buf_text(&params->text));
    else if (protocol != AWS_REST_XML)
        buf_printf(&request->body, "Action=%s&Version=%s%s%s", name, version,
                   params->text.length ? "&" : "", buf_text(&params->text));
}

/* The headers that are sent are those that are signed. */
static int sign_headers(struct aws_request *request, const struct sigv4_request *what,
                        const struct aws_endpoint *endpoint, const char *signing,
                        const struct aws_keys *keys, int64_t wall_ms, struct error *err)
{
    struct sigv4_header headers[SIGV4_HEADERS_MAX];
    struct sigv4_request signable = *what;
    struct sigv4_result result;
    char time[SIGV4_TIME_MAX];
    size_t count = what->header_count;
    int r;

    sigv4_time(wall_ms, time);
    memcpy(headers, what->headers, count * sizeof(*headers));
    headers[count++] = (struct sigv4_header){"X-Amz-Date", time};
    if (*keys->token)
        headers[count++] = (struct sigv4_header){"X-Amz-Security-Token", keys->token};
    signable.headers = headers;
    signable.header_count = count;
    r = sigv4_sign(
        &signable,
        &(struct sigv4_scope){keys->access, keys->secret, endpoint->region, signing, time},
        &result);
    if (r == 0) {
        for (size_t i = what->header_count; i < count; i++)
            add_header(request, headers[i].name, headers[i].value);
        add_header(request, "Authorization", buf_text(&result.authorization));
    } else {
        error_set(err, r, "the request cannot be signed: %s", strerror(-r));
    }
    sigv4_result_deinit(&result);
    return r;
}

int aws_request_build(struct aws_request *request, enum aws_service_id id, const char *name,
                      const char *path, const struct aws_params *params,
                      const struct aws_endpoint *endpoint, const struct aws_keys *keys,
                      int64_t wall_ms, struct error *err)
{
    const struct aws_service *service = aws_service(id);
    const char *authority = strstr(endpoint->url, "://") + 3, *base = strchr(authority, '/');
    bool is_rest = service->protocol == AWS_REST_XML;
    struct sigv4_header headers[3];
    char host[512], target[128], full[1024];
    size_t count = 0;
    int r = 0;

    *request =
        (struct aws_request){.url = BUF_INIT(AWS_PARAMS_MAX), .body = BUF_INIT(AWS_PARAMS_MAX)};
    snprintf(host, sizeof(host), "%.*s", (int)strcspn(authority, "/"), authority);
    snprintf(full, sizeof(full), "%s%s", base ? base : "", path ? path : "/");
    put_body(request, service->protocol, name, service->version, params);
    buf_printf(&request->url, "%.*s%s", (int)(authority - endpoint->url + (long)strlen(host)),
               endpoint->url, full);
    if (is_rest && params->text.length)
        buf_printf(&request->url, "?%s", buf_text(&params->text));
    headers[count++] = (struct sigv4_header){"Host", host};
    if (service->protocol == AWS_JSON) {
        snprintf(target, sizeof(target), "%s.%s", service->version, name);
        headers[count++] = (struct sigv4_header){"X-Amz-Target", target};
        headers[count++] = (struct sigv4_header){"Content-Type", "application/x-amz-json-1.1"};
    } else if (!is_rest) {
        headers[count++] = (struct sigv4_header){
            "Content-Type", "application/x-www-form-urlencoded; charset=utf-8"};
    }
    for (size_t i = 0; i < count; i++)
        add_header(request, headers[i].name, headers[i].value);
    if (buf_is_full(&request->body) || buf_is_full(&request->url) || buf_is_full(&params->text))
        r = error_set(err, -E2BIG, "%s: the request is too long", name);
    if (r == 0 && keys)
        r = sign_headers(request,
                         &(struct sigv4_request){.method = is_rest ? "GET" : "POST",
                                                 .path = full,
                                                 .query = is_rest ? buf_text(&params->text) : "",
                                                 .headers = headers,
                                                 .header_count = count,
                                                 .body = buf_text(&request->body),
                                                 .body_length = request->body.length},
                         endpoint, service->signing, keys, wall_ms, err);
    request->http = (struct http_request){
        .method = is_rest ? "GET" : "POST",
        .url = buf_text(&request->url),
        .headers = (const char *const *)request->headers,
        .header_count = request->header_count,
        .body = buf_text(&request->body),
        .body_length = request->body.length,
        .timeout_ms = CALL_TIMEOUT_MS,
    };
    return r;
}

void aws_request_deinit(struct aws_request *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        OPENSSL_cleanse(request->headers[i], strlen(request->headers[i]));
        mem_free(request->headers[i]);
    }
    if (request->body.data)
        OPENSSL_cleanse(request->body.data, request->body.length);
    buf_deinit(&request->url);
    buf_deinit(&request->body);
    request->header_count = 0;
}

/* ---- answers ---- */

/* After "Error handling" and "Retry behavior" of the AWS SDKs and Tools Reference Guide, and the
 * services' lists of common errors. */
static const struct {
    const char *code;
    enum aws_fault fault;
} faults[] = {
    {"Throttling", AWS_TRY_AGAIN},
    {"ThrottlingException", AWS_TRY_AGAIN},
    {"ThrottledException", AWS_TRY_AGAIN},
    {"RequestThrottled", AWS_TRY_AGAIN},
    {"RequestThrottledException", AWS_TRY_AGAIN},
    {"TooManyRequestsException", AWS_TRY_AGAIN},
    {"RequestLimitExceeded", AWS_TRY_AGAIN},
    {"BandwidthLimitExceeded", AWS_TRY_AGAIN},
    {"EC2ThrottledException", AWS_TRY_AGAIN},
    {"PriorRequestNotComplete", AWS_TRY_AGAIN},
    {"SlowDown", AWS_TRY_AGAIN},
    {"RequestTimeout", AWS_TRY_AGAIN},
    {"RequestTimeTooSkewed", AWS_SKEWED},
    {"RequestExpired", AWS_SKEWED},
    {"RequestInTheFuture", AWS_SKEWED},
    {"InvalidSignatureException", AWS_SKEWED},
    {"SignatureDoesNotMatch", AWS_SKEWED},
    {"AuthFailure", AWS_SKEWED},
    {"ExpiredToken", AWS_EXPIRED},
    {"ExpiredTokenException", AWS_EXPIRED},
    {"AccessDenied", AWS_NOT_ALLOWED},
    {"AccessDeniedException", AWS_NOT_ALLOWED},
    {"UnauthorizedOperation", AWS_NOT_ALLOWED},
    {"AuthorizationError", AWS_NOT_ALLOWED},
    {"NotAuthorized", AWS_NOT_ALLOWED},
};

static enum aws_fault fault_of(const char *code, int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        if (strcmp(faults[i].code, code) == 0)
            return faults[i].fault;
    return status >= 500 || status == 429 ? AWS_TRY_AGAIN : AWS_REFUSED;
}

/* "com.amazonaws.ecs#ClusterNotFoundException", "Throttling:http://..." */
static void keep_code(struct aws_outcome *outcome, const char *text)
{
    const char *hash = strchr(text, '#');

    if (hash)
        text = hash + 1;
    snprintf(outcome->code, sizeof(outcome->code), "%.*s", (int)strcspn(text, ":"), text);
}

static void read_error(struct aws_outcome *outcome, enum aws_protocol protocol,
                       const struct tree *root, const struct http_answer *answer)
{
    const struct tree *error = tree_get(root, protocol == AWS_EC2_QUERY ? "Errors/Error" : "Error");

    if (protocol == AWS_JSON) {
        keep_code(outcome,
                  *answer->error_type ? answer->error_type : tree_text(root, "__type", ""));
        snprintf(outcome->text, sizeof(outcome->text), "%.255s",
                 tree_text(root, "message", tree_text(root, "Message", "")));
    } else {
        keep_code(outcome, tree_text(error, "Code", ""));
        snprintf(outcome->text, sizeof(outcome->text), "%.255s", tree_text(error, "Message", ""));
    }
    if (!*outcome->code)
        snprintf(outcome->code, sizeof(outcome->code), "HTTP %d", answer->status);
    outcome->fault = fault_of(outcome->code, answer->status);
}

const struct tree *aws_answer_read(struct arena *arena, enum aws_service_id id,
                                   const struct http_answer *answer,
                                   struct aws_outcome *ret_outcome)
{
    enum aws_protocol protocol = aws_service(id)->protocol;
    const struct tree *root = NULL;
    struct error err = {""};

    *ret_outcome = (struct aws_outcome){.fault = AWS_FINE};
    if (!answer->status) {
        bool is_final = answer->is_unresolved || answer->is_too_large;
        ret_outcome->fault = is_final ? AWS_REFUSED : AWS_TRY_AGAIN;
        text_copy(ret_outcome->code, sizeof(ret_outcome->code),
                  answer->is_unresolved  ? "no-such-host"
                  : answer->is_too_large ? "too-large"
                                         : "no-answer");
        snprintf(ret_outcome->text, sizeof(ret_outcome->text), "%.255s", answer->error);
        return NULL;
    }
    if (answer->length)
        root = protocol == AWS_JSON ? tree_parse_json(arena, answer->body, answer->length, &err)
                                    : tree_parse_xml(arena, answer->body, answer->length, &err);
    if (answer->status < 200 || answer->status > 299) {
        read_error(ret_outcome, protocol, root, answer);
        return NULL;
    }
    if (!root) {
        ret_outcome->fault = AWS_TRY_AGAIN; /* cut off on its way, perhaps */
        text_copy(ret_outcome->code, sizeof(ret_outcome->code), "not-readable");
        snprintf(ret_outcome->text, sizeof(ret_outcome->text), "%.255s",
                 *err.text ? err.text : "an empty answer");
    }
    return root;
}
