/* policy: where this agent may connect, whatever an assignment says.
 *
 * Networks: those given, else RFC 1918, 100.64.0.0/10 (RFC 6598), fc00::/7 (RFC 4193) and the
 * task's own subnets. Loopback, link-local (169.254.0.0/16 holds the metadata endpoints),
 * multicast and the unspecified address never, not even when given.
 * Names: those below the given suffixes; all, when none is given. Checks: likewise.
 */
#ifndef AGENT_POLICY_H
#define AGENT_POLICY_H

#include "agent/host.h"
#include "common/error.h"
#include "common/options.h"

#define POLICY_NETWORK_MAX 128
#define POLICY_NEVER_COUNT 9

struct policy {
    struct cidr networks[POLICY_NETWORK_MAX];
    size_t network_count;
    struct cidr never[POLICY_NEVER_COUNT];
    const struct options_list *suffixes; /* borrowed from the settings */
    const struct options_list *checks;   /* likewise; NULL or empty: all */
};

/* -EINVAL with `err` naming the network that does not parse. */
int policy_init(struct policy *policy, const struct options_list *networks,
                const struct options_list *suffixes, const struct host *host, struct error *err);
bool policy_allows_address(const struct policy *policy, const struct sockaddr *address);
/* An address that the task's /etc/hosts may lead to besides: 127.255.0.0/16, where ECS Service
 * Connect's proxy listens (its names are put there by ECS). Nothing else of loopback. */
bool policy_allows_proxy(const struct sockaddr *address);
/* What a witness may try besides: its own task, over loopback (not where the proxy listens) and
 * over the task's own addresses. */
bool policy_allows_own(const struct host *host, const struct sockaddr *address, const char *text);
bool policy_allows_check(const struct policy *policy, const char *check);
bool policy_allows_name(const struct policy *policy, const char *name);

#endif
