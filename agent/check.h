/* check: what is said over a connection once it is up, and what the answer is worth. Pure: bytes
 * in, bytes out; no socket, no clock.
 *
 * A check is one table entry (check_type) in a file of its own. A probe begins an exchange, sends
 * what `out` points to, feeds what comes, and asks no more once the result is not CHECK_MORE.
 * What a server sends is untrusted: every check is a fuzz target (tests/fuzz/fuzz_check.c).
 */
#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include "agent/http.h"
#include "common/arena.h"
#include "common/buf.h"
#include "proto/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one target wants, ready to use; shared by its probes and outlives them. */
struct check_plan {
    const char *request; /* http, udp: what to send, whole */
    size_t request_length;
    const char *status;             /* http: expected statuses */
    const char *match;              /* http: in the body, udp: in the answer; "": any */
    bool is_head;                   /* http: no body follows */
    uint64_t rate_bytes;            /* http: read so much of the body; 0: no more than needed */
    const char *authority, *health; /* grpc */
    bool is_tls;
};

struct exchange {
    const struct check_type *type;
    const struct check_plan *plan;
    const char *out; /* still to be sent; the caller moves it on */
    size_t out_length;

    enum proto_outcome outcome; /* of CHECK_FAILED */
    int status;                 /* http: the status, 0 until there is one */
    bool has_farewell;          /* with CHECK_PASSED: `out` is a last word, and the end in order */
    char *detail;               /* a few words, owned; NULL mostly */

    struct http_answer http;
    struct buf text;  /* http: the body where it matters; others: what has come so far */
    struct buf reply; /* what `out` points into, where it is not the plan's */
    int step;         /* the check's own */
    void *session;    /* the check's own: nghttp2's */
};

enum check_result { CHECK_MORE, CHECK_PASSED, CHECK_FAILED };

struct check_type {
    const char *name; /* in a fleet file and on the wire */
    const char *alpn; /* offered inside TLS */
    bool is_datagram;
    bool is_tls; /* always inside TLS */
    /* Each may be NULL; without `feed` connecting (and TLS) is the whole check. */
    void (*begin)(struct exchange *exchange);
    enum check_result (*feed)(struct exchange *exchange, const char *data, size_t length);
    enum check_result (*end)(struct exchange *exchange); /* the peer closed */
    void (*drop)(struct exchange *exchange);
};

extern const struct check_type check_tcp, check_tls, check_http, check_https, check_grpc, check_udp,
    check_mysql, check_postgres, check_redis;

extern const struct check_type *const check_types[];
extern const size_t check_type_count;

const struct check_type *check_find(const char *name); /* NULL: none such */

/* Fills `ret_plan` for one discovery name of a target; strings live in `arena`. */
void check_make_plan(const struct check_type *type, const struct proto_target *target,
                     const char *name, struct arena *arena, struct check_plan *ret_plan);

void exchange_begin(struct exchange *exchange, const struct check_type *type,
                    const struct check_plan *plan);
enum check_result exchange_feed(struct exchange *exchange, const char *data, size_t length);
enum check_result exchange_end(struct exchange *exchange);
void exchange_drop(struct exchange *exchange);

/* For the checks: ends with CHECK_FAILED and, when `format` is not NULL, a detail: printable, cut
 * at PROTO_TEXT_MAX. */
enum check_result exchange_fail(struct exchange *exchange, enum proto_outcome outcome,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether these first bytes of a plain answer are a TLS record (RFC 8446 section 5.1). */
bool check_looks_like_tls(const char *data, size_t length);

#endif
