/* http: as much HTTP/1.1 as a probe needs: a GET, and the status of the answer (RFC 9112). */
#ifndef AGENT_HTTP_H
#define AGENT_HTTP_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX (16 * 1024) /* bytes of status line and headers, interim answers included */

enum http_result {
    HTTP_MORE, /* the head is not complete yet */
    HTTP_DONE, /* `status` is the final status */
    HTTP_BAD   /* not HTTP/1.x, or a head over its limit */
};

struct http_answer {
    int status;    /* 0 until the status line is complete */
    size_t head;   /* bytes of head seen so far */
    size_t line;   /* bytes of the current line seen so far */
    char text[48]; /* the start of the current line */
};

/* Feeds bytes as they come; `*ret_used` is how many belonged to the head (the rest is body). */
enum http_result http_feed(struct http_answer *answer, const char *data, size_t length,
                           size_t *ret_used);

/* GET with `Connection: close`; the port is left out of Host when it is 80. */
void http_request(struct buf *out, const char *path, const char *host, int port);

#endif
