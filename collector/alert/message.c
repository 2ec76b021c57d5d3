#include "collector/alert/message.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAIRS_SHOWN    20
#define SLACK_TEXT_MAX 2900 /* a section takes 3,000 characters */
#define PD_SUMMARY_MAX 1000 /* 1,024 */
#define JIRA_TITLE_MAX 250  /* 255 */
#define BASE64_LINE    57   /* bytes: 76 characters (RFC 2045 section 6.8) */

static const char *const types[DESTINATION_TYPE_COUNT] = {"webhook", "slack", "pagerduty",  "sns",
                                                          "jira",    "smtp",  "cloudwatch", "emf"};

const char *destination_type_name(enum destination_type type)
{
    return types[type];
}

bool destination_takes_runs(enum destination_type type)
{
    return type == DESTINATION_CLOUDWATCH || type == DESTINATION_EMF;
}

void message_init(struct message *message)
{
    *message =
        (struct message){.method = "POST", .url = BUF_INIT(8192), .body = BUF_INIT(MESSAGE_MAX)};
}

void message_deinit(struct message *message)
{
    buf_deinit(&message->url);
    buf_deinit(&message->body);
    for (size_t i = 0; i < message->header_count; i++)
        buf_deinit(&message->headers[i]);
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *text_of(const cJSON *event, const char *key)
{
    return json_string(event, key, "");
}

static void __attribute__((format(printf, 2, 3)))
add_header(struct message *message, const char *format, ...)
{
    struct buf *header = &message->headers[message->header_count++];
    va_list args;

    *header = BUF_INIT(2048);
    va_start(args, format);
    buf_vprintf(header, format, args);
    va_end(args);
}

/* ---- words ---- */

static double confidence_of(const cJSON *event)
{
    const cJSON *confidence = member(event, "confidence");

    return cJSON_IsNumber(confidence) ? confidence->valuedouble : 0;
}

static bool is_kind(const cJSON *event, const char *kind)
{
    return strcmp(text_of(event, "kind"), kind) == 0;
}

void message_title(const cJSON *event, struct buf *out)
{
    static const struct {
        const char *kind, *words;
    } kinds[] = {{"opened", ""},
                 {"reminder", "still: "},
                 {"changed", "changed: "},
                 {"resolved", "resolved: "}};

    buf_printf(out, "[%s] ", text_of(event, "fleet"));
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (is_kind(event, kinds[i].kind))
            buf_puts(out, kinds[i].words);
    buf_puts(out, text_of(event, "summary"));
}

static void put_pairs(const cJSON *event, const char *before, const char *after, struct buf *out)
{
    const cJSON *cell;
    int count = 0;

    cJSON_ArrayForEach(cell, member(event, "cells"))
    {
        if (++count <= PAIRS_SHOWN)
            buf_printf(out, "%s%s -> %s:%s%s", before, text_of(cell, "source"),
                       text_of(cell, "target"), text_of(cell, "check"), after);
    }
    if (count > PAIRS_SHOWN)
        buf_printf(out, "%sand %d more%s", before, count - PAIRS_SHOWN, after);
}

static void put_lines(const cJSON *event, const char *key, const char *title, struct buf *out)
{
    const cJSON *line;

    if (!cJSON_GetArraySize(member(event, key)))
        return;
    buf_printf(out, "\n%s\n", title);
    cJSON_ArrayForEach(line, member(event, key))
    {
        if (cJSON_IsString(line))
            buf_printf(out, "  %s\n", line->valuestring);
    }
}

static void put_evidence(const cJSON *event, struct buf *out)
{
    const cJSON *item, *previous = member(event, "previous");

    if (previous)
        buf_printf(out, "Before: %s: %s\n", text_of(previous, "cause"),
                   text_of(previous, "summary"));
    if (cJSON_GetArraySize(member(event, "evidence")))
        buf_puts(out, "\nEvidence\n");
    cJSON_ArrayForEach(item, member(event, "evidence"))
    {
        buf_printf(out, "  %s: %s\n", text_of(item, "side"), text_of(item, "fact"));
    }
    if (cJSON_GetArraySize(member(event, "changes")))
        buf_puts(out, "\nChanged since it was well\n");
    cJSON_ArrayForEach(item, member(event, "changes"))
    {
        buf_printf(out, "  %s %s%s%s\n", text_of(item, "what"), text_of(item, "kind"),
                   *text_of(item, "by") ? " by " : "", text_of(item, "by"));
    }
}

void message_text(const cJSON *event, struct buf *out)
{
    buf_printf(out, "%s\n\n", text_of(event, "summary"));
    buf_printf(out, "%s, confidence %.2f, %s\n", text_of(event, "cause"), confidence_of(event),
               text_of(event, "scope"));
    buf_printf(out, "run %s, incident %s, since %s\n", text_of(event, "run"),
               text_of(event, "incident"), text_of(event, "opened"));
    if (cJSON_GetArraySize(member(event, "cells"))) {
        buf_puts(out, "\nPairs\n");
        put_pairs(event, "  ", "\n", out);
    }
    if (!is_kind(event, "resolved")) {
        put_evidence(event, out);
        if (*text_of(event, "fix"))
            buf_printf(out, "\nFix\n  %s\n", text_of(event, "fix"));
        put_lines(event, "commands", "Commands", out);
    }
    put_lines(event, "flows", "Flow logs", out);
    put_lines(event, "matrix", "Matrix", out);
    if (*text_of(event, "url"))
        buf_printf(out, "\n%s\n", text_of(event, "url"));
}

/* ---- webhook ---- */

/* "t=SECONDS,v1=HMAC": of "SECONDS.BODY", SHA-256, hexadecimal. */
static void sign(struct message *message, const char *secret, int64_t now_ms)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MESSAGE_MAX + 64);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";

    buf_printf(&text, "%lld.", (long long)(now_ms / 1000));
    buf_append(&text, buf_text(&message->body), message->body.length);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)buf_text(&text),
         text.length, digest, &size);
    for (unsigned i = 0; i < size; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x", digest[i]);
    add_header(message, "X-Canreach-Signature: t=%lld,v1=%s", (long long)(now_ms / 1000), hex);
}

static void put_json(struct buf *out, const cJSON *value)
{
    char *text = cJSON_PrintUnformatted(value);

    buf_puts(out, text ? text : "{}");
    cJSON_free(text);
}

static void build_webhook(struct message *message, const struct destination *destination,
                          const cJSON *event, int64_t now_ms)
{
    put_json(&message->body, event);
    add_header(message, "Idempotency-Key: %.200s", text_of(event, "id"));
    add_header(message, "X-Canreach-Event: %.40s", text_of(event, "kind"));
    if (*destination->secret)
        sign(message, destination->secret, now_ms);
}

/* ---- Slack (api.slack.com, Incoming webhooks, Block Kit) ---- */

static void put_slack(struct buf *out, const char *text)
{
    for (; *text; text++)
        if (*text == '&')
            buf_puts(out, "&amp;");
        else if (*text == '<')
            buf_puts(out, "&lt;");
        else if (*text == '>')
            buf_puts(out, "&gt;");
        else
            buf_putc(out, *text);
}

/* At most so many bytes, no character cut. */
static void cut(struct buf *out, size_t most)
{
    size_t length = most;

    if (out->length <= most)
        return;
    while (length && ((unsigned char)buf_text(out)[length] & 0xc0) == 0x80)
        length--;
    buf_truncate(out, length);
}

static void put_section(struct buf *out, const char *text)
{
    CLEANUP_BUF struct buf part = BUF_INIT(MESSAGE_MAX);

    buf_puts(&part, text);
    cut(&part, SLACK_TEXT_MAX);
    buf_puts(out, "{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":");
    buf_put_json(out, buf_text(&part));
    buf_puts(out, "}}");
}

static void build_slack(struct message *message, const cJSON *event)
{
    CLEANUP_BUF struct buf title = BUF_INIT(8192), text = BUF_INIT(MESSAGE_MAX),
                           plain = BUF_INIT(MESSAGE_MAX), pairs = BUF_INIT(MESSAGE_MAX);

    message_title(event, &plain);
    put_slack(&title, buf_text(&plain));
    cut(&title, SLACK_TEXT_MAX);
    buf_puts(&message->body, "{\"text\":");
    buf_put_json(&message->body, buf_text(&title));
    buf_puts(&message->body, ",\"blocks\":[");
    buf_printf(&text, "*%s*\n`%s` %.2f", buf_text(&title), text_of(event, "cause"),
               confidence_of(event));
    put_section(&message->body, buf_text(&text));
    put_pairs(event, "", "\n", &pairs);
    buf_reset(&text);
    put_slack(&text, buf_text(&pairs));
    if (text.length) {
        buf_putc(&message->body, ',');
        put_section(&message->body, buf_text(&text));
    }
    buf_reset(&text);
    if (*text_of(event, "fix") && !is_kind(event, "resolved")) {
        buf_puts(&text, "*Fix* ");
        put_slack(&text, text_of(event, "fix"));
        buf_putc(&message->body, ',');
        put_section(&message->body, buf_text(&text));
    }
    buf_puts(&message->body, "]}");
}

/* ---- PagerDuty (Events API v2) ---- */

static void build_pagerduty(struct message *message, const struct destination *destination,
                            const cJSON *event)
{
    CLEANUP_BUF struct buf title = BUF_INIT(8192);
    const char *severity = text_of(event, "severity");

    message_title(event, &title);
    cut(&title, PD_SUMMARY_MAX);
    buf_puts(&message->body, "{\"routing_key\":");
    buf_put_json(&message->body, destination->secret);
    buf_printf(&message->body, ",\"event_action\":\"%s\",\"dedup_key\":",
               is_kind(event, "resolved") ? "resolve" : "trigger");
    buf_put_json(&message->body, text_of(event, "key"));
    buf_puts(&message->body, ",\"client\":\"canreach\",\"payload\":{\"summary\":");
    buf_put_json(&message->body, buf_text(&title));
    buf_puts(&message->body, ",\"source\":");
    buf_put_json(&message->body, text_of(event, "fleet"));
    buf_printf(&message->body, ",\"severity\":\"%s\",\"timestamp\":",
               strcmp(severity, "failure") == 0 ? "error" : "warning");
    buf_put_json(&message->body, text_of(event, "time"));
    buf_puts(&message->body, ",\"component\":");
    buf_put_json(&message->body, text_of(event, "scope"));
    buf_puts(&message->body, ",\"class\":");
    buf_put_json(&message->body, text_of(event, "cause"));
    buf_puts(&message->body, ",\"custom_details\":");
    put_json(&message->body, event);
    buf_puts(&message->body, "}}");
}

/* ---- Jira (REST API 2) ---- */

static void put_base64(struct buf *out, const char *text, size_t length)
{
    unsigned char encoded[4 * ((BASE64_LINE + 2) / 3) + 1];

    for (size_t at = 0; at < length; at += BASE64_LINE) {
        size_t part = length - at < BASE64_LINE ? length - at : BASE64_LINE;
        EVP_EncodeBlock(encoded, (const unsigned char *)text + at, (int)part);
        buf_puts(out, (const char *)encoded);
        if (at + part < length)
            buf_puts(out, "\r\n");
    }
}

static void authorize(struct message *message, const struct destination *destination)
{
    CLEANUP_BUF struct buf pair = BUF_INIT(1024), encoded = BUF_INIT(2048);
    char line[2048];
    size_t used = 0;

    if (!*destination->user) {
        add_header(message, "Authorization: Bearer %.1500s", destination->secret);
        return;
    }
    buf_printf(&pair, "%s:%s", destination->user, destination->secret);
    put_base64(&encoded, buf_text(&pair), pair.length);
    for (const char *at = buf_text(&encoded); *at && used + 1 < sizeof(line); at++)
        if (*at != '\r' && *at != '\n')
            line[used++] = *at;
    line[used] = '\0';
    add_header(message, "Authorization: Basic %.1500s", line);
}

/* The first event of an incident makes the issue; the others comment on it. */
static void build_jira(struct message *message, const struct destination *destination,
                       const cJSON *event, const char *remote)
{
    CLEANUP_BUF struct buf title = BUF_INIT(8192), text = BUF_INIT(32000);

    authorize(message, destination);
    message_title(event, &title);
    cut(&title, JIRA_TITLE_MAX);
    if (*remote)
        buf_printf(&text, "%s\n\n", buf_text(&title));
    buf_puts(&text, "{noformat}\n");
    message_text(event, &text);
    cut(&text, 31000); /* a text has at most 32,767 characters */
    buf_puts(&text, "\n{noformat}");
    if (*remote) {
        buf_printf(&message->url, "%s/rest/api/2/issue/%s/comment", destination->url, remote);
        buf_puts(&message->body, "{\"body\":");
        buf_put_json(&message->body, buf_text(&text));
        buf_putc(&message->body, '}');
        return;
    }
    buf_printf(&message->url, "%s/rest/api/2/issue", destination->url);
    buf_puts(&message->body, "{\"fields\":{\"project\":{\"key\":");
    buf_put_json(&message->body, destination->project);
    buf_puts(&message->body, "},\"issuetype\":{\"name\":");
    buf_put_json(&message->body, destination->issue_type);
    buf_puts(&message->body, "},\"summary\":");
    buf_put_json(&message->body, buf_text(&title));
    buf_puts(&message->body, ",\"labels\":[\"canreach\",");
    buf_put_json(&message->body, text_of(event, "key"));
    buf_puts(&message->body, "],\"description\":");
    buf_put_json(&message->body, buf_text(&text));
    buf_puts(&message->body, "}}");
}

void message_remote(const struct destination *destination, const char *body, size_t length,
                    char *text, size_t size)
{
    CLEANUP_JSON cJSON *answer = NULL;
    const char *key;

    *text = '\0';
    if (destination->type != DESTINATION_JIRA)
        return;
    answer = json_parse(body, length, 8, NULL);
    key = json_string(answer, "key", "");
    /* It becomes part of a URL. */
    if (strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
        strlen(key))
        text_copy(text, size, key);
}

/* ---- e-mail (RFC 5322, RFC 2045, RFC 2047) ---- */

static void put_header_text(struct buf *out, const char *text)
{
    CLEANUP_BUF struct buf part = BUF_INIT(256);

    /* Encoded words of at most 75 characters, no character cut. */
    while (*text) {
        size_t length = 0;
        while (text[length] && length < 40) {
            size_t step = text_utf8_length(text + length);
            length += step ? step : 1;
        }
        buf_reset(&part);
        put_base64(&part, text, length);
        buf_printf(out, "=?UTF-8?B?%s?=", buf_text(&part));
        text += length;
        if (*text)
            buf_puts(out, "\r\n ");
    }
}

static void put_date(struct buf *out, int64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    char text[64];

    gmtime_r(&seconds, &parts);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", &parts);
    buf_puts(out, text);
}

static void build_mail(struct message *message, const struct destination *destination,
                       const cJSON *event, int64_t now_ms)
{
    CLEANUP_BUF struct buf title = BUF_INIT(900), text = BUF_INIT(MESSAGE_MAX / 2);
    struct buf *out = &message->body;

    message_title(event, &title);
    message_text(event, &text);
    buf_printf(out, "From: <%s>\r\nTo: ", destination->from);
    for (size_t i = 0; i < destination->to_count; i++)
        buf_printf(out, "%s<%s>", i ? ",\r\n " : "", destination->to[i]);
    buf_puts(out, "\r\nSubject: ");
    put_header_text(out, buf_text(&title));
    buf_puts(out, "\r\nDate: ");
    put_date(out, now_ms);
    /* The same event again has the same id; an incident is a thread. */
    buf_printf(out, "\r\nMessage-ID: <%s@canreach>", text_of(event, "id"));
    if (!is_kind(event, "opened"))
        buf_printf(out,
                   "\r\nIn-Reply-To: <%s.opened.1@canreach>\r\nReferences: <%s.opened.1@canreach>",
                   text_of(event, "key"), text_of(event, "key"));
    buf_puts(out,
             "\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
             "charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    put_base64(out, buf_text(&text), text.length);
    buf_puts(out, "\r\n");
    buf_puts(&message->url, destination->url);
}

/* ---- embedded metric format (CloudWatch Logs) ---- */

static void put_metric_line(struct buf *out, const struct destination *destination,
                            const cJSON *event, const char *service, int64_t failures,
                            int64_t now_ms)
{
    buf_printf(out, "{\"_aws\":{\"Timestamp\":%lld,\"CloudWatchMetrics\":[{\"Namespace\":",
               (long long)now_ms);
    buf_put_json(out, destination->space);
    buf_printf(out,
               ",\"Dimensions\":[[\"Fleet\"%s]],\"Metrics\":[{\"Name\":\"FailureCount\",\"Unit\":"
               "\"Count\"}]}]},\"Fleet\":",
               service ? ",\"Service\"" : "");
    buf_put_json(out, text_of(event, "fleet"));
    if (service) {
        buf_puts(out, ",\"Service\":");
        buf_put_json(out, service);
    }
    buf_puts(out, ",\"Run\":");
    buf_put_json(out, text_of(event, "run"));
    buf_printf(out, ",\"FailureCount\":%lld}\n", (long long)failures);
}

static void build_emf(struct message *message, const struct destination *destination,
                      const cJSON *event)
{
    int64_t at_ms = 0;
    const cJSON *service;

    clock_from_rfc3339(text_of(event, "time"), &at_ms);
    put_metric_line(&message->body, destination, event, NULL,
                    json_int(event, "failures", 0, INT32_MAX, 0), at_ms);
    cJSON_ArrayForEach(service, member(event, "services"))
    {
        put_metric_line(&message->body, destination, event, text_of(service, "service"),
                        json_int(service, "failures", 0, INT32_MAX, 0), at_ms);
    }
}

void message_build(struct message *message, const struct destination *destination,
                   const cJSON *event, const char *remote, int64_t now_ms)
{
    switch (destination->type) {
    case DESTINATION_WEBHOOK:
        build_webhook(message, destination, event, now_ms);
        break;
    case DESTINATION_SLACK:
        build_slack(message, event);
        break;
    case DESTINATION_PAGERDUTY:
        build_pagerduty(message, destination, event);
        break;
    case DESTINATION_JIRA:
        build_jira(message, destination, event, remote);
        break;
    case DESTINATION_SMTP:
        build_mail(message, destination, event, now_ms);
        return;
    case DESTINATION_EMF:
        build_emf(message, destination, event);
        return;
    default:
        message_text(event, &message->body);
        return;
    }
    add_header(message, "Content-Type: application/json");
    if (!message->url.length)
        buf_puts(&message->url, destination->url);
}
