/* host: what this network namespace has: its global addresses, its resolvers, and the names of its
 * /etc/hosts. Read once, but for /etc/hosts.
 */
#ifndef AGENT_HOST_H
#define AGENT_HOST_H

#include "common/cidr.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define HOST_ADDRESS_MAX  32
#define HOST_RESOLVER_MAX 8
#define HOST_TEXT_MAX     64
#define HOST_SEARCH_MAX   6 /* resolv.conf(5) */
#define HOST_DOMAIN_MAX   254
#define HOST_ENTRY_MAX    1024 /* names of /etc/hosts; what follows is ignored */

struct host {
    char addresses[HOST_ADDRESS_MAX][HOST_TEXT_MAX];
    struct cidr subnets[HOST_ADDRESS_MAX]; /* of each address */
    size_t address_count;
    bool has_ipv4, has_ipv6; /* a global source address of that family */
    char resolvers[HOST_RESOLVER_MAX][HOST_TEXT_MAX];
    size_t resolver_count;
    char search[HOST_SEARCH_MAX]
               [HOST_DOMAIN_MAX]; /* domains that names with few dots are tried in */
    size_t search_count;
    unsigned dots;             /* a name with so many is absolute (ndots) */
    char netns[HOST_TEXT_MAX]; /* names this network namespace: its host's boot and its number; ""
                                  if that cannot be read */
};

/* One name of /etc/hosts. */
struct host_entry {
    char *name;
    struct sockaddr_storage address; /* without a port */
};

struct host_entries {
    struct host_entry *entries;
    size_t count;
};

/* Interfaces by getifaddrs, resolvers from `resolv_conf` (NULL: /etc/resolv.conf; it may be
 * missing). 0 or a negative errno. */
int host_read(struct host *host, const char *resolv_conf);

/* The `nameserver`, `search`, `domain` and `options ndots:` lines of a resolv.conf text
 * (resolv.conf(5)). */
void host_parse_resolv_conf(struct host *host, const char *text);

bool host_owns(const struct host *host, const char *address);
bool host_has_family(const struct host *host, int family);

/* Whether a configured resolver is, as far as its address shows, the VPC's own: 169.254.169.253, or
 * an address of our own /16 (a VPC is no larger) that is two above a block of sixteen (no block is
 * smaller): "VPC+2" of the Amazon VPC User Guide, "DNS attributes for your VPC". */
bool host_uses_vpc_resolver(const struct host *host);

/* hosts(5), from `path` (NULL: /etc/hosts; it may be missing) or a text. */
void host_read_entries(struct host_entries *entries, const char *path);
void host_parse_entries(struct host_entries *entries, const char *text);
void host_entries_deinit(struct host_entries *entries);

#endif
