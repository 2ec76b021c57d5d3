/* names: from a target's discovery names to endpoints, for one assignment.
 *
 * Sources, in the C library's order: an address as it is, /etc/hosts (where Service Connect puts
 * its names), DNS: A and AAAA, or SRV and then the addresses of its hosts; a name without a dot
 * goes through the search list. Each (name, type) is asked once, however many targets share it, and
 * every answer is handed on as a row. What becomes of the endpoints is not its business.
 */
#ifndef AGENT_NAMES_H
#define AGENT_NAMES_H

#include "agent/host.h"
#include "agent/kernel.h"
#include "agent/policy.h"
#include "agent/resolver.h"
#include "proto/proto.h"

struct names;

struct names_env {
    struct resolver *resolver;
    const struct policy *policy;
    const struct host *host;
    struct budget *budget;
};

struct names_endpoint {
    const char *name; /* the discovery name */
    const char *via;  /* "": DNS; "hosts"; "address" */
    union kernel_address address;
    uint64_t resolve_us;
};

/* `target` and `name` are what names_resolve() was given; rows are only valid during the call. Any
 * of them may come from inside names_resolve(). */
struct names_sink {
    void *ctx;
    void (*on_resolution)(void *ctx, const struct proto_resolution *row);
    void (*on_endpoint)(void *ctx, void *target, const struct names_endpoint *endpoint);
    /* A name, or the host of an SRV record, that gave no address; `port` 0 if not known. */
    void (*on_unresolved)(void *ctx, void *target, const char *name, uint16_t port,
                          enum proto_outcome outcome, uint64_t resolve_us, const char *detail);
    /* After a turn of answers, from the loop. */
    void (*on_progress)(void *ctx);
};

struct names *names_new(const struct names_env *env, const struct names_sink *sink);
/* Also while questions are open: nothing more is handed on. */
struct names *names_free(struct names *names);

/* `target` is handed back; `name` has to outlive `names`. `is_srv`: the port comes from the record.
 */
void names_resolve(struct names *names, void *target, const char *name, bool is_srv, uint16_t port);
/* Whether every question has its answer. */
bool names_are_resolved(const struct names *names);

#endif
