/* aws_request: a call of an operation as a signed HTTP request, and what an error answer says.
 * Pure. */
#ifndef COLLECTOR_CLOUD_AWS_REQUEST_H
#define COLLECTOR_CLOUD_AWS_REQUEST_H

#include "collector/cloud/aws_config.h"
#include "collector/cloud/http.h"
#include "collector/cloud/tree.h"
#include "common/buf.h"

#define AWS_PARAMS_MAX  ((size_t)1 << 20)
#define AWS_HEADERS_MAX 8
#define AWS_CODE_MAX    96

/* ---- what is asked ---- */

struct aws_params {
    enum aws_protocol protocol;
    struct buf text;    /* members of a JSON object, or name=value with '&' between */
    unsigned filters;   /* EC2's, so far */
    char argument[128]; /* of a REST path */
};

struct aws_params aws_params_of(enum aws_operation_id operation);
void aws_params_deinit(struct aws_params *params);
void aws_put(struct aws_params *params, const char *name, const char *value);
void aws_put_int(struct aws_params *params, const char *name, int64_t value);
void aws_put_bool(struct aws_params *params, const char *name, bool value);
void aws_put_list(struct aws_params *params, const char *name, const char *const *values,
                  size_t count);
/* One of EC2's filters: any of the values; in JSON (Cloud Map) the only one of a call, and one
 * value. */
void aws_put_filter(struct aws_params *params, const char *name, const char *const *values,
                    size_t count);

/* CloudTrail's one attribute. */
void aws_put_lookup(struct aws_params *params, const char *attribute, const char *value);

/* ---- as it is sent ---- */

/* Secrets: never logged, never in a text of ours. */
struct aws_keys {
    const char *access, *secret, *token; /* token "": none */
};

struct aws_request {
    struct buf url, body;
    char *headers[AWS_HEADERS_MAX];
    size_t header_count;
    struct http_request http; /* borrows from the above */
};

/* Signs for `wall_ms`. NULL keys: not signed (STS takes a web identity that way). 0, or a negative
 * errno with `err`: parameters beyond AWS_PARAMS_MAX, OpenSSL. */
int aws_request_build(struct aws_request *request, enum aws_service_id service, const char *name,
                      const char *path, const struct aws_params *params,
                      const struct aws_endpoint *endpoint, const struct aws_keys *keys,
                      int64_t wall_ms, struct error *err);
void aws_request_deinit(struct aws_request *request);

/* ---- what comes back ---- */

enum aws_fault {
    AWS_FINE,
    AWS_TRY_AGAIN,   /* throttled, or the service's own failure */
    AWS_SKEWED,      /* our clock and theirs differ too much */
    AWS_EXPIRED,     /* the credentials */
    AWS_NOT_ALLOWED, /* the permission is missing */
    AWS_REFUSED      /* for good */
};

struct aws_outcome {
    enum aws_fault fault;
    char code[AWS_CODE_MAX]; /* the vendor's, or one of ours: "timeout", "not-readable" */
    char text[256];
};

/* Reads an answer: its tree on AWS_FINE, else NULL and `ret_outcome`. */
const struct tree *aws_answer_read(struct arena *arena, enum aws_service_id service,
                                   const struct http_answer *answer,
                                   struct aws_outcome *ret_outcome);

#endif
