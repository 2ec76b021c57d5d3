/* message: an event of an incident, or a run's figures, as each kind of destination takes it. Pure.
 */
#ifndef COLLECTOR_ALERT_MESSAGE_H
#define COLLECTOR_ALERT_MESSAGE_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_MAX         ((size_t)1 << 20)
#define MESSAGE_HEADERS_MAX 8

struct cJSON;

enum destination_type {
    DESTINATION_WEBHOOK,
    DESTINATION_SLACK,
    DESTINATION_PAGERDUTY,
    DESTINATION_SNS,
    DESTINATION_JIRA,
    DESTINATION_SMTP,
    DESTINATION_CLOUDWATCH, /* these two take every run's figures, no incidents */
    DESTINATION_EMF,
    DESTINATION_TYPE_COUNT
};

/* Where alerts go. Texts are the configuration's; secrets are never logged. */
struct destination {
    const char *name;
    enum destination_type type;
    const char *url;    /* webhook, Slack, PagerDuty, Jira; smtp://HOST:PORT or smtps:// */
    const char *secret; /* webhook: signs; PagerDuty: routing key; Jira: token; SMTP: password */
    const char *user;   /* Jira, SMTP */
    const char *topic;  /* SNS: ARN */
    const char *project, *issue_type; /* Jira */
    const char *from;                 /* SMTP */
    const char **to;
    size_t to_count;
    const char *space; /* CloudWatch: namespace of the metrics */
    const char *ca;    /* a file of certificates to trust instead of the system's; "": none */
    bool is_plain;     /* SMTP without TLS where the server has none */
};

/* One HTTP request, or what stands in its place. */
struct message {
    const char *method;
    struct buf url, body;
    struct buf headers[MESSAGE_HEADERS_MAX]; /* "Name: value" */
    size_t header_count;
};

void message_init(struct message *message);
void message_deinit(struct message *message);

/* `event`: {id, kind, incident, fleet, run, time, cause, ..., cells}. `remote`: what an earlier
 * event of the incident left there (Jira: the issue's key); "": nothing. */
void message_build(struct message *message, const struct destination *destination,
                   const struct cJSON *event, const char *remote, int64_t now_ms);
/* What is to be kept of an answer as `remote`; "" nothing. */
void message_remote(const struct destination *destination, const char *body, size_t length,
                    char *text, size_t size);
/* SNS: the subject (ASCII, at most 100 bytes) and the text. */
void message_text(const struct cJSON *event, struct buf *out);
void message_title(const struct cJSON *event, struct buf *out);

bool destination_takes_runs(enum destination_type type);
const char *destination_type_name(enum destination_type type);

#endif
