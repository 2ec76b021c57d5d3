/* http: requests to other servers, many at once, without blocking the loop (libcurl's multi
 * interface). Server certificates are always verified. */
#ifndef COLLECTOR_CLOUD_HTTP_H
#define COLLECTOR_CLOUD_HTTP_H

#include "common/buf.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_ANSWER_MAX ((size_t)16 << 20) /* bytes of a body, decoded */
#define HTTP_HEADER_MAX 128                /* of a header that is kept */

struct http;
struct http_call;

/* An e-mail in place of a request: `url` is smtp:// or smtps://, `body` the message (RFC 5322). */
struct http_mail {
    const char *from;
    const char *const *to;
    size_t to_count;
    const char *user, *password; /* "": none */
    bool needs_tls;              /* STARTTLS, or nothing is sent */
};

struct http_request {
    const char *method; /* GET, PUT or POST */
    const char *url;
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    const void *body;             /* POST; copied */
    const struct http_mail *mail; /* NULL: HTTP it is */
    size_t body_length;
    int64_t timeout_ms; /* of the whole */
    size_t limit;       /* bytes of the answer's body; 0: HTTP_ANSWER_MAX */
    /* Never through a proxy. Requests to http:// URLs never are: a proxy would read them. */
    bool is_direct;
};

struct http_answer {
    int status;         /* 0: none came, `error` says why */
    const char *error;  /* "" with a status */
    bool is_unresolved; /* the server's name does not resolve */
    bool is_too_large;
    const char *body;
    size_t length;
    int64_t date_ms;        /* header Date, wall clock; 0: none */
    const char *error_type; /* header x-amzn-errortype, or "" */
};

/* Called once a request, never before http_send() has returned, unless it is cancelled before. The
 * answer is the callee's only until it returns. */
typedef void (*http_fn)(void *ctx, const struct http_answer *answer);

/* `ca_bundle`: the file of certificates to trust instead of the system's; NULL: the system's.
 * Borrowed. NULL with errno set. */
struct http *http_new(struct loop *loop, const char *ca_bundle);
/* Calls that are under way are cancelled. Accepts NULL. */
struct http *http_free(struct http *http);

/* NULL when libcurl refuses (no memory, a URL that is none). */
struct http_call *http_send(struct http *http, const struct http_request *request, http_fn fn,
                            void *ctx);
void http_cancel(struct http *http, struct http_call *call); /* accepts NULL */

#endif
