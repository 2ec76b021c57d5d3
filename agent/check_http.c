/* http, https: a request, the answer's status, and where wanted its body. */
#include "agent/check.h"

#include "agent/budget.h"
#include "proto/status.h"

#include <string.h>

#define WORDS_MAX 80 /* of a page that is not what was wanted */

static void begin(struct exchange *exchange)
{
    exchange->out = exchange->plan->request;
    exchange->out_length = exchange->plan->request_length;
}

static bool wants_body(const struct check_plan *plan)
{
    return !plan->is_head && (*plan->match || plan->rate_bytes);
}

/* The body is there, or as much of it as will ever be. */
static enum check_result judge_body(struct exchange *exchange, bool is_whole)
{
    const struct check_plan *plan = exchange->plan;

    if (*plan->match &&
        !memmem(buf_text(&exchange->text), exchange->text.length, plan->match, strlen(plan->match)))
        return exchange_fail(exchange, OUTCOME_BAD_CONTENT, "no '%.60s' in %s%zu bytes of body",
                             plan->match, is_whole ? "" : "the first ", exchange->text.length);
    return CHECK_PASSED;
}

static enum check_result feed_body(struct exchange *exchange, const char *data, size_t length)
{
    const struct check_plan *plan = exchange->plan;
    size_t before = exchange->text.length, overlap = strlen(plan->match);
    enum http_result result =
        http_feed_body(&exchange->http, data, length, *plan->match ? &exchange->text : NULL);

    if (result == HTTP_BAD)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "chunks that do not hold together");
    if (result == HTTP_DONE)
        return judge_body(exchange, true);
    if (plan->rate_bytes)
        return exchange->http.body >= plan->rate_bytes ? CHECK_PASSED : CHECK_MORE;
    /* Found already: the rest need not come. Only what is new, and a match across the seam. */
    before = before > overlap ? before - overlap : 0;
    if (exchange->text.length > before &&
        memmem(buf_text(&exchange->text) + before, exchange->text.length - before, plan->match,
               overlap))
        return CHECK_PASSED;
    return buf_is_full(&exchange->text) ? judge_body(exchange, false) : CHECK_MORE;
}

/* The first words of a page, without its markup: whose answer it is shows best there. */
static enum check_result fail_status(struct exchange *exchange, const char *page, size_t length)
{
    char words[WORDS_MAX + 1];
    size_t count = 0;
    bool is_markup = false, is_gap = false;

    for (size_t i = 0; i < length && count < WORDS_MAX; i++) {
        if (page[i] == '<' || page[i] == '>') {
            is_markup = page[i] == '<';
            is_gap = true;
        } else if (is_markup || page[i] <= ' ' || page[i] > '~') {
            is_gap = true;
        } else {
            if (is_gap && count && count + 1 < WORDS_MAX)
                words[count++] = ' ';
            is_gap = false;
            words[count++] = page[i];
        }
    }
    return exchange_fail(exchange, OUTCOME_BAD_STATUS, "%.*s", (int)count, words);
}

static enum check_result judge_head(struct exchange *exchange, const char *rest, size_t length)
{
    /* nginx's pages; a few hundred bytes, with the head in one segment. */
    static const char sent_to_tls[] = "sent to HTTPS port", no_cert[] = "SSL certificate";
    bool has_body = exchange->http.status != 204 && exchange->http.status != 304;

    exchange->status = exchange->http.status;
    if (exchange->status == 400 && memmem(rest, length, sent_to_tls, sizeof(sent_to_tls) - 1))
        return exchange_fail(exchange, OUTCOME_TLS_EXPECTED, "its page says so");
    if (exchange->status == 400 && memmem(rest, length, no_cert, sizeof(no_cert) - 1))
        return exchange_fail(exchange, OUTCOME_TLS_CLIENT_CERT, "its page says so");
    if (!status_set_contains(exchange->plan->status, exchange->status))
        return fail_status(exchange, rest, length);
    if (!wants_body(exchange->plan))
        return CHECK_PASSED;
    exchange->step = 1;
    exchange->text = BUF_INIT(BUDGET_READ);
    if (!has_body ||
        (exchange->http.has_length && !exchange->http.is_chunked && !exchange->http.left))
        return judge_body(exchange, true);
    return length ? feed_body(exchange, rest, length) : CHECK_MORE;
}

static enum check_result feed(struct exchange *exchange, const char *data, size_t length)
{
    size_t used;

    if (exchange->step)
        return feed_body(exchange, data, length);
    if (exchange->http.head == 0 && check_looks_like_tls(data, length))
        return exchange_fail(exchange, OUTCOME_TLS_EXPECTED, "the answer is a TLS record");
    switch (http_feed(&exchange->http, data, length, &used)) {
    case HTTP_MORE:
        break;
    case HTTP_BAD:
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "not HTTP/1: '%.*s'",
                             (int)(length < 24 ? length : 24), data);
    case HTTP_DONE:
        return judge_head(exchange, data + used, length - used);
    }
    return CHECK_MORE;
}

static enum check_result end(struct exchange *exchange)
{
    const struct http_answer *http = &exchange->http;

    if (!exchange->step)
        return exchange_fail(exchange, http->head ? OUTCOME_BAD_REPLY : OUTCOME_CLOSED, NULL);
    if (http->is_chunked || http->has_length)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "closed in the middle of its body");
    return judge_body(exchange, true);
}

const struct check_type check_http = {
    .name = "http", .alpn = "http/1.1", .begin = begin, .feed = feed, .end = end};
const struct check_type check_https = {
    .name = "https", .alpn = "http/1.1", .is_tls = true, .begin = begin, .feed = feed, .end = end};
