/* aws: calls of AWS's APIs: signed, paged, paced, tried again.
 *
 * Every call goes through a lane per service, which bounds how many are in flight and how close
 * they follow each other. What is throttled or failed by the service is tried again with full
 * jitter (random between nothing and a bound that doubles); a clock that is off is corrected by the
 * service's own Date; credentials that expired are fetched anew, once.
 */
#ifndef COLLECTOR_CLOUD_AWS_H
#define COLLECTOR_CLOUD_AWS_H

#include "collector/cloud/aws_request.h"

#define AWS_ATTEMPTS_MAX 8
#define AWS_BACKOFF_MS   100  /* the first bound */
#define AWS_BACKOFF_MAX  5000 /* and the last */
#define AWS_PAGES_MAX    1000

struct aws;
struct aws_call;

/* One page of an answer, or its failure. */
struct aws_page {
    const struct tree *root; /* NULL: it failed, and `outcome` says how */
    const struct aws_outcome *outcome;
    bool is_last; /* no more comes: also with a failure */
};

/* The page is the callee's only until it returns. */
typedef void (*aws_page_fn)(void *ctx, const struct aws_page *page);

/* `region`: NULL for what the environment says. NULL with `err`: configuration files, no region. */
struct aws *aws_new(struct loop *loop, const char *region, struct error *err);
/* Calls under way are dropped. Accepts NULL. */
struct aws *aws_free(struct aws *aws);
const char *aws_region(const struct aws *aws);
/* Where the keys come from, e.g. "environment"; "" before the first call. */
const char *aws_key_source(const struct aws *aws);

/* Takes over the parameters. Never calls `fn` before it returns. */
struct aws_call *aws_call(struct aws *aws, enum aws_operation_id operation,
                          struct aws_params *params, aws_page_fn fn, void *ctx);
/* Not one that has had its last page. */
void aws_cancel(struct aws *aws, struct aws_call *call);
/* What the last attempt of a call said, while it is to be tried again; its fault is AWS_FINE where
 * nothing was said yet. */
const struct aws_outcome *aws_call_trouble(const struct aws_call *call);

/* Since it was made; HTTP requests, and of these those that repeated one. */
struct aws_counters {
    uint64_t requests, retries;
};
struct aws_counters aws_counters(const struct aws *aws);

#endif
