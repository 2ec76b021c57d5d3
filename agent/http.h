/* http: as much HTTP/1.1 as a probe needs: a request without a body, and the answer's status and
 * body (RFC 9112). */
#ifndef AGENT_HTTP_H
#define AGENT_HTTP_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX (16 * 1024) /* bytes of status line and headers, interim answers included */

enum http_result {
    HTTP_MORE, /* not complete yet */
    HTTP_DONE, /* the head is: `status` is the final status; or the body is */
    HTTP_BAD   /* not HTTP/1.x, a head over its limit, or chunks that do not hold together */
};

enum http_chunk { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER };

struct http_answer {
    int status;    /* 0 until the status line is complete */
    size_t head;   /* bytes of head seen so far */
    size_t line;   /* bytes of the current line seen so far */
    char text[48]; /* the start of the current line */

    bool has_length, is_chunked;
    enum http_chunk chunk;
    uint64_t left; /* of the body, or of the current chunk */
    uint64_t body; /* bytes of body seen so far */
};

/* Feeds bytes as they come; `*ret_used` is how many belonged to the head (the rest is body). */
enum http_result http_feed(struct http_answer *answer, const char *data, size_t length,
                           size_t *ret_used);

/* Feeds bytes that follow the head; appends the body to `out` unless it is NULL. A body without a
 * length ends with the connection: HTTP_MORE until then. */
enum http_result http_feed_body(struct http_answer *answer, const char *data, size_t length,
                                struct buf *out);

/* With `Connection: close`; port 0: none in Host. */
void http_request(struct buf *out, const char *method, const char *path, const char *host,
                  int port);

#endif
