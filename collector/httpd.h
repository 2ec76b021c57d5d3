/* httpd: libmicrohttpd inside our loop: one request in, one answer out, no threads.
 *
 * Listens on ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH.
 */
#ifndef COLLECTOR_HTTPD_H
#define COLLECTOR_HTTPD_H

#include "common/buf.h"
#include "common/error.h"
#include "common/loop.h"

#define HTTPD_BODY_MAX        (256 * 1024) /* bytes of a request body */
#define HTTPD_CONNECTIONS_MAX 256
#define HTTPD_PER_ADDRESS_MAX 64 /* connections from one IP address */
#define HTTPD_IDLE_S          30

struct httpd;

struct httpd_request {
    const char *method, *path;
    const char *body; /* never NULL; `body_length` bytes, then a NUL */
    size_t body_length;
    void *connection; /* for httpd_query() */
};

struct httpd_response {
    int status;
    const char *content_type; /* static */
    char location[64];        /* "" or the Location header */
    struct buf body;
};

typedef void (*httpd_fn)(void *ctx, const struct httpd_request *request,
                         struct httpd_response *response);

/* NULL with `err` set. */
struct httpd *httpd_new(struct loop *loop, const char *address, httpd_fn fn, void *ctx,
                        struct error *err);
struct httpd *httpd_free(struct httpd *httpd);

/* -EINVAL with `err` when `address` has none of the forms above. */
int httpd_check_address(const char *address, struct error *err);

/* A decoded query parameter, or NULL. */
const char *httpd_query(const struct httpd_request *request, const char *name);

#endif
