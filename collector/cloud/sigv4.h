/* sigv4: signs a request for AWS (Signature Version 4; "Create a signed AWS API request" in the
 * IAM user guide). Pure: bytes in, bytes out, no clock. */
#ifndef COLLECTOR_CLOUD_SIGV4_H
#define COLLECTOR_CLOUD_SIGV4_H

#include "common/buf.h"

#include <stdint.h>

#define SIGV4_HEADERS_MAX 16
#define SIGV4_TIME_MAX    17 /* "20150830T123600Z" and its NUL */

struct sigv4_header {
    const char *name, *value;
};

/* All of its headers are signed: `host` has to be among them. */
struct sigv4_request {
    const char *method;
    const char *path;  /* as it is sent */
    const char *query; /* as it is sent, without '?' */
    const struct sigv4_header *headers;
    size_t header_count;
    const void *body;
    size_t body_length;
};

struct sigv4_scope {
    const char *access_key, *secret_key;
    const char *region, *service;
    const char *time; /* the request's X-Amz-Date */
};

/* What is signed, and how it was come by (the vectors have all three); none of them holds the
 * secret. The caller frees with sigv4_result_deinit(). */
struct sigv4_result {
    struct buf canonical, string_to_sign, authorization;
};

/* 0; -E2BIG: more than SIGV4_HEADERS_MAX headers or 64 parameters; -EIO: OpenSSL refuses. */
int sigv4_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
               struct sigv4_result *ret_result);
void sigv4_result_deinit(struct sigv4_result *result);

/* X-Amz-Date of a moment. */
void sigv4_time(int64_t wall_ms, char text[SIGV4_TIME_MAX]);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (RFC 3986 section 2.3), and what is in `also`. */
void sigv4_encode(struct buf *out, const char *text, size_t length, const char *also);

#endif
