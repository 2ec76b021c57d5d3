/* resolver: DNS queries through c-ares, one (name, type) at a time, raw answers kept.
 *
 * A server's answer (whatever its rcode) is kept apart from no answer. Queries go out at
 * RESOLVER_RATE a second with a burst of RESOLVER_BURST, since the task's app shares the
 * resolver's packet limit; what is above waits its turn. No search list: names are absolute.
 */
#ifndef AGENT_RESOLVER_H
#define AGENT_RESOLVER_H

#include "agent/dnsmsg.h"
#include "common/loop.h"
#include "proto/proto.h"

#define RESOLVER_RATE       PROTO_DNS_RATE
#define RESOLVER_BURST      200                /* queries */
#define RESOLVER_TIMEOUT_MS (PROTO_DNS_MS / 3) /* first try; the second waits twice as long */
#define RESOLVER_TRIES      2

struct resolver;

struct resolution {
    enum proto_outcome outcome;
    uint64_t time_us; /* from sending the query to its answer, waiting for a turn left out */
    struct dns_answer answer; /* rcode -1 when none came */
};

/* Called once per query, with what is valid only during the call, from the loop, also when the
 * resolver is freed (OUTCOME_LOCAL_ERROR). */
typedef void (*resolver_fn)(void *ctx, const struct resolution *resolution);

/* NULL with errno set. Reads /etc/resolv.conf. */
struct resolver *resolver_new(struct loop *loop);
struct resolver *resolver_free(struct resolver *resolver);

void resolver_query(struct resolver *resolver, const char *name, enum dns_type type, resolver_fn fn,
                    void *ctx);

#endif
