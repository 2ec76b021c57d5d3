#include "collector/cloud/aws.h"

#include "collector/cloud/aws_credentials.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKEW_MIN_MS 60000 /* our clock and theirs: less is not worth a correction */

/* queued: waits for its turn; keys: for credentials; sent: for an answer; waiting: to be tried
 * again. */
enum call_state { CALL_QUEUED, CALL_KEYS, CALL_SENT, CALL_WAITING };

struct aws_call {
    struct aws_call *next; /* of all */
    struct aws *aws;
    enum aws_operation_id id;
    const struct aws_operation *operation;
    struct aws_params params;
    size_t first_length; /* of params, without a page's token */
    char *token;         /* as parameters; owned */
    aws_page_fn fn;
    void *ctx;

    enum call_state state;
    uint64_t number; /* the order of the queue */
    unsigned attempts, pages;
    bool has_renewed, has_shifted; /* credentials; clock: once each */
    int64_t skew_ms;               /* that it was signed with */
    struct http_call *http;
    struct loop_timer timer;
    struct aws_outcome trouble;
};

struct lane {
    unsigned in_flight;
    uint64_t next_us; /* not before */
    struct loop_timer timer;
    struct aws *aws;
};

struct aws {
    struct loop *loop;
    struct http *http;
    struct aws_config config;
    struct aws_credentials *credentials;
    struct lane lanes[AWS_SERVICE_COUNT];
    struct aws_call *calls;
    uint64_t next_number;
    int64_t skew_ms; /* theirs less ours */
    struct aws_counters counters;
    struct loop_deferred kick;
};

/* ---- the queue ---- */

static struct lane *lane_of(const struct aws_call *call)
{
    return &call->aws->lanes[call->operation->service];
}

static bool is_in_flight(const struct aws_call *call)
{
    return call->state == CALL_KEYS || call->state == CALL_SENT;
}

static void set_state(struct aws_call *call, enum call_state state)
{
    bool was = is_in_flight(call);

    call->state = state;
    if (was && !is_in_flight(call))
        lane_of(call)->in_flight--;
    if (!was && is_in_flight(call))
        lane_of(call)->in_flight++;
    loop_defer(call->aws->loop, &call->aws->kick);
}

static void free_call(struct aws_call *call)
{
    struct aws *aws = call->aws;

    for (struct aws_call **at = &aws->calls; *at; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            break;
        }
    set_state(call, CALL_QUEUED);
    http_cancel(aws->http, call->http);
    aws_credentials_forget(aws->credentials, call);
    loop_timer_stop(aws->loop, &call->timer);
    aws_params_deinit(&call->params);
    mem_free(call->token);
    mem_free(call);
}

/* ---- what came back ---- */

/* Hands a failure on, as the last page. */
static void fail(struct aws_call *call, const struct aws_outcome *outcome)
{
    struct aws_outcome copy = *outcome;
    aws_page_fn fn = call->fn;
    void *ctx = call->ctx;

    free_call(call);
    fn(ctx, &(struct aws_page){.outcome = &copy, .is_last = true});
}

static void retry_later(struct aws_call *call, uint32_t bound_ms)
{
    set_state(call, CALL_WAITING);
    loop_timer_in_ms(call->aws->loop, &call->timer, arc4random_uniform(bound_ms + 1));
}

/* Full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog. */
static uint32_t backoff_ms(unsigned attempts)
{
    uint32_t bound = AWS_BACKOFF_MS;

    while (attempts-- > 1 && bound < AWS_BACKOFF_MAX)
        bound *= 2;
    return bound < AWS_BACKOFF_MAX ? bound : AWS_BACKOFF_MAX;
}

/* True: the services' clock is taken over, and the call is worth another try. */
static bool correct_clock(struct aws_call *call, int64_t date_ms)
{
    int64_t skew_ms = date_ms - clock_wall_ms();

    if (call->has_shifted || !date_ms || llabs(skew_ms - call->skew_ms) < SKEW_MIN_MS)
        return false;
    call->has_shifted = true;
    if (llabs(skew_ms - call->aws->skew_ms) < SKEW_MIN_MS)
        return true; /* another call has found out */
    call->aws->skew_ms = skew_ms;
    log_warn("clock-skew",
             "seconds=%lld hint=\"this machine's clock differs from AWS's; requests are signed for "
             "theirs\"",
             (long long)(skew_ms / 1000));
    return true;
}

static void try_again_or_fail(struct aws_call *call, const struct aws_outcome *outcome,
                              int64_t date_ms)
{
    call->trouble = *outcome;
    if (outcome->fault == AWS_TRY_AGAIN && call->attempts < AWS_ATTEMPTS_MAX) {
        retry_later(call, backoff_ms(call->attempts));
    } else if (outcome->fault == AWS_SKEWED && correct_clock(call, date_ms)) {
        retry_later(call, 0);
    } else if (outcome->fault == AWS_EXPIRED && !call->has_renewed) {
        call->has_renewed = true;
        aws_credentials_expire(call->aws->credentials);
        retry_later(call, 0);
    } else {
        fail(call, outcome);
    }
}

/* Takes note of the next page's token as parameters; false: there is no next page. */
static bool keep_token(struct aws_call *call, const struct tree *root)
{
    const struct aws_operation *operation = call->operation;
    struct aws_params next = aws_params_of(call->id);
    const char *token = operation->limit ? tree_text(root, operation->token_out, "") : "";

    mem_free(call->token);
    call->token = NULL;
    /* Route 53's records go on from a name, a type and, of several of these, an identifier. */
    if (*token && call->id == R53_RECORDS &&
        strcmp(tree_text(root, "IsTruncated", ""), "true") != 0)
        token = "";
    if (*token) {
        aws_put(&next, operation->token_in, token);
        if (call->id == R53_RECORDS)
            aws_put(&next, "type", tree_text(root, "NextRecordType", "A"));
        if (call->id == R53_RECORDS && *tree_text(root, "NextRecordIdentifier", ""))
            aws_put(&next, "identifier", tree_text(root, "NextRecordIdentifier", ""));
        call->token = mem_strdup(buf_text(&next.text));
    }
    aws_params_deinit(&next);
    return *token != '\0';
}

static void take_page(struct aws_call *call, const struct tree *root)
{
    static const struct aws_outcome too_many = {AWS_REFUSED, "too-many-pages",
                                                "the list has no end"};
    static const struct aws_outcome fine = {.fault = AWS_FINE};
    struct aws_page page = {root, &fine, false};
    aws_page_fn fn = call->fn;
    void *ctx = call->ctx;

    if (!keep_token(call, root)) {
        page.is_last = true;
        free_call(call);
        fn(ctx, &page);
        return;
    }
    if (++call->pages == AWS_PAGES_MAX) {
        fail(call, &too_many);
        return;
    }
    call->attempts = 0;
    call->trouble = fine;
    set_state(call, CALL_QUEUED);
    fn(ctx, &page);
}

static void on_answer(void *ctx, const struct http_answer *answer)
{
    struct aws_call *call = ctx;
    struct arena arena = {0};
    struct aws_outcome outcome;
    const struct tree *root;

    call->http = NULL;
    root = aws_answer_read(&arena, call->operation->service, answer, &outcome);
    if (root)
        take_page(call, root);
    else
        try_again_or_fail(call, &outcome, answer->date_ms);
    arena_deinit(&arena);
}

/* ---- sending ---- */

static void refuse(struct aws_call *call, const char *code, const char *text)
{
    struct aws_outcome outcome = {.fault = AWS_REFUSED};

    text_copy(outcome.code, sizeof(outcome.code), code);
    snprintf(outcome.text, sizeof(outcome.text), "%.255s", text);
    fail(call, &outcome);
}

static void put_page(struct aws_call *call)
{
    const struct aws_operation *operation = call->operation;

    buf_truncate(&call->params.text, call->first_length);
    if (operation->limit)
        aws_put_int(&call->params, operation->limit, operation->page);
    if (call->token)
        buf_printf(&call->params.text, "%s%s", call->params.protocol == AWS_JSON ? "," : "&",
                   call->token);
}

/* The operation's path, with its argument for '*'. */
static void put_path(const struct aws_call *call, char *path, size_t size)
{
    const char *pattern = call->operation->path ? call->operation->path : "/";
    size_t before = strcspn(pattern, "*");

    if (pattern[before])
        snprintf(path, size, "%.*s%s%s", (int)before, pattern, call->params.argument,
                 pattern + before + 1);
    else
        snprintf(path, size, "%s", pattern);
}

static void on_keys(void *ctx, const struct aws_keys *keys, const char *why)
{
    struct aws_call *call = ctx;
    struct aws *aws = call->aws;
    struct aws_endpoint endpoint;
    struct aws_request request = {0};
    struct error err = {""};
    char path[256];
    int r;

    if (!keys) {
        refuse(call, "no-credentials", why);
        return;
    }
    call->skew_ms = aws->skew_ms;
    put_page(call);
    put_path(call, path, sizeof(path));
    r = aws_config_endpoint(&aws->config, call->operation->service, &endpoint, &err);
    if (r == 0)
        r = aws_request_build(&request, call->operation->service, call->operation->name, path,
                              &call->params, &endpoint, keys, clock_wall_ms() + call->skew_ms,
                              &err);
    if (r == 0) {
        set_state(call, CALL_SENT);
        call->attempts++;
        aws->counters.requests++;
        aws->counters.retries += call->trouble.fault != AWS_FINE;
        call->http = http_send(aws->http, &request.http, on_answer, call);
        if (!call->http)
            r = error_set(&err, -EINVAL, "%s cannot be asked", endpoint.url);
    }
    aws_request_deinit(&request);
    if (r < 0)
        refuse(call, "not-sent", err.text);
}

static struct aws_call *next_queued(const struct aws *aws, enum aws_service_id service)
{
    struct aws_call *next = NULL;

    for (struct aws_call *call = aws->calls; call; call = call->next)
        if (call->operation->service == service && call->state == CALL_QUEUED &&
            (!next || call->number < next->number))
            next = call;
    return next;
}

static void run_lane(struct aws *aws, enum aws_service_id id)
{
    const struct aws_service *service = aws_service(id);
    struct lane *lane = &aws->lanes[id];
    struct aws_call *call;

    while (lane->in_flight < service->in_flight && (call = next_queued(aws, id))) {
        uint64_t now_us = clock_mono_us();
        if (now_us < lane->next_us) {
            loop_timer_at(aws->loop, &lane->timer, lane->next_us);
            return;
        }
        lane->next_us = now_us + service->spacing_ms * 1000ULL;
        set_state(call, CALL_KEYS);
        aws_credentials_get(aws->credentials, on_keys, call);
    }
}

static void run_lanes(void *ctx)
{
    for (int id = 0; id < AWS_SERVICE_COUNT; id++)
        run_lane(ctx, (enum aws_service_id)id);
}

static void on_lane_time(void *ctx)
{
    struct lane *lane = ctx;

    run_lanes(lane->aws);
}

static void on_retry_time(void *ctx)
{
    set_state(ctx, CALL_QUEUED);
}

struct aws_call *aws_call(struct aws *aws, enum aws_operation_id id, struct aws_params *params,
                          aws_page_fn fn, void *ctx)
{
    struct aws_call *call = mem_alloc(sizeof(*call));

    *call = (struct aws_call){
        .next = aws->calls,
        .aws = aws,
        .id = id,
        .operation = aws_operation(id),
        .params = *params,
        .first_length = params->text.length,
        .fn = fn,
        .ctx = ctx,
        .number = aws->next_number++,
    };
    *params = (struct aws_params){.protocol = params->protocol};
    call->timer = (struct loop_timer){.fn = on_retry_time, .ctx = call};
    aws->calls = call;
    loop_defer(aws->loop, &aws->kick);
    return call;
}

void aws_cancel(struct aws *aws, struct aws_call *call)
{
    (void)aws;
    free_call(call);
}

const struct aws_outcome *aws_call_trouble(const struct aws_call *call)
{
    return &call->trouble;
}

struct aws_counters aws_counters(const struct aws *aws)
{
    return aws->counters;
}

/* ---- life ---- */

const char *aws_region(const struct aws *aws)
{
    return aws->config.region;
}

const char *aws_key_source(const struct aws *aws)
{
    return aws_credentials_source(aws->credentials);
}

struct aws *aws_new(struct loop *loop, const char *region, struct error *err)
{
    struct aws *aws = mem_alloc(sizeof(*aws));

    *aws = (struct aws){.loop = loop};
    aws->kick = (struct loop_deferred){.fn = run_lanes, .ctx = aws};
    for (size_t i = 0; i < AWS_SERVICE_COUNT; i++) {
        aws->lanes[i].aws = aws;
        aws->lanes[i].timer = (struct loop_timer){.fn = on_lane_time, .ctx = &aws->lanes[i]};
    }
    if (aws_config_load(&aws->config, region, err) < 0 ||
        aws_config_needs_region(&aws->config, err) < 0)
        return aws_free(aws);
    aws->http = http_new(loop, aws_config_variable("AWS_CA_BUNDLE"));
    if (!aws->http) {
        error_set(err, -errno, "libcurl does not start: %s", strerror(errno));
        return aws_free(aws);
    }
    aws->credentials = aws_credentials_new(loop, aws->http, &aws->config);
    return aws;
}

struct aws *aws_free(struct aws *aws)
{
    if (!aws)
        return NULL;
    while (aws->calls)
        free_call(aws->calls);
    for (size_t i = 0; i < AWS_SERVICE_COUNT; i++)
        loop_timer_stop(aws->loop, &aws->lanes[i].timer);
    aws->credentials = aws_credentials_free(aws->credentials);
    aws->http = http_free(aws->http);
    loop_undefer(aws->loop, &aws->kick);
    aws_config_deinit(&aws->config);
    mem_free(aws);
    return NULL;
}
