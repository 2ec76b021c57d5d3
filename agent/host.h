/* host: what this network namespace has: its global addresses and its resolvers. Read once. */
#ifndef AGENT_HOST_H
#define AGENT_HOST_H

#include "common/cidr.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define HOST_ADDRESS_MAX  32
#define HOST_RESOLVER_MAX 8
#define HOST_TEXT_MAX     64

struct host {
    char addresses[HOST_ADDRESS_MAX][HOST_TEXT_MAX];
    struct cidr subnets[HOST_ADDRESS_MAX]; /* of each address */
    size_t address_count;
    bool has_ipv4, has_ipv6; /* a global source address of that family */
    char resolvers[HOST_RESOLVER_MAX][HOST_TEXT_MAX];
    size_t resolver_count;
};

/* Interfaces by getifaddrs, resolvers from `resolv_conf` (NULL: /etc/resolv.conf; it may be
 * missing). 0 or a negative errno. */
int host_read(struct host *host, const char *resolv_conf);

/* The `nameserver` lines of a resolv.conf text (resolv.conf(5)). */
void host_parse_resolv_conf(struct host *host, const char *text);

bool host_owns(const struct host *host, const char *address);
bool host_has_family(const struct host *host, int family);

#endif
