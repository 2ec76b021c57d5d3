/* resolver: DNS queries through c-ares, one (name, type, server, transport) at a time, raw answers
 * kept.
 *
 * The configured servers are asked in turn, as the C library does: the next one when a server says
 * nothing, SERVFAIL, REFUSED or NOTIMP; over TCP when an answer was truncated. Every try is handed
 * on, the last one marked as final. Queries go out at a bounded rate, since the task's app shares
 * the resolver's packet limit; what is above waits its turn. Names are absolute.
 */
#ifndef AGENT_RESOLVER_H
#define AGENT_RESOLVER_H

#include "agent/budget.h"
#include "agent/dnsmsg.h"
#include "agent/host.h"
#include "common/loop.h"
#include "proto/proto.h"

#define RESOLVER_TIMEOUT_MS  (PROTO_DNS_MS / 3) /* one try */
#define RESOLVER_SERVERS_MAX 3                  /* as the C library */
#define RESOLVER_TRIES_MAX   3

struct resolver;

struct resolver_settings {
    const struct host *host; /* borrowed; without servers: 127.0.0.1, as the C library */
    unsigned rate, burst;    /* queries a second, and at once; together the most in any second */
    const char *reference;   /* the VPC's own resolver, or NULL */
    struct budget *budget;
};

struct resolution {
    enum proto_outcome outcome;
    bool is_final;
    const char *server;
    unsigned tries; /* 1, 2, ... */
    bool is_tcp;
    uint64_t time_us; /* from sending the query to its answer, waiting for a turn left out */
    struct dns_answer answer; /* rcode -1 when none came */
};

/* Called for each try, with what is valid only during the call, from the loop; for the last time
 * with is_final, also when the resolver is freed (OUTCOME_LOCAL_ERROR). */
typedef void (*resolver_fn)(void *ctx, const struct resolution *resolution);

struct resolver *resolver_new(struct loop *loop, const struct resolver_settings *settings);
struct resolver *resolver_free(struct resolver *resolver);

void resolver_query(struct resolver *resolver, const char *name, enum dns_type type, resolver_fn fn,
                    void *ctx);

/* Whether there is a reference server that is none of the configured ones. */
bool resolver_has_reference(const struct resolver *resolver);
/* The same question to it alone. */
void resolver_query_reference(struct resolver *resolver, const char *name, enum dns_type type,
                              resolver_fn fn, void *ctx);

/* Has c-ares take its memory from common/mem, so that it is accounted for. Before any other use. */
void resolver_account_memory(void);

#endif
