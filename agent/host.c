#include "agent/host.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define RESOLV_CONF_MAX 16384 /* bytes; what follows is ignored */

static bool is_global(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        uint32_t ip = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
        return ip >> 24 != 127 && ip >> 16 != 0xa9fe; /* loopback, 169.254/16 link-local */
    }
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *ip =
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        return !IN6_IS_ADDR_LOOPBACK(ip) && !IN6_IS_ADDR_LINKLOCAL(ip);
    }
    return false;
}

static const void *address_bytes(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    return &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
}

static unsigned mask_bits(const struct sockaddr *mask)
{
    const uint8_t *bytes = address_bytes(mask);
    unsigned bits = 0;

    for (size_t i = 0; i < (mask->sa_family == AF_INET ? 4 : 16); i++)
        bits += (unsigned)__builtin_popcount(bytes[i]);
    return bits;
}

static void add_address(struct host *host, const struct ifaddrs *interface)
{
    const struct sockaddr *address = interface->ifa_addr;
    struct cidr *subnet = &host->subnets[host->address_count];

    if (!address || !(interface->ifa_flags & IFF_UP) || !is_global(address) ||
        host->address_count == HOST_ADDRESS_MAX)
        return;
    inet_ntop(address->sa_family, address_bytes(address), host->addresses[host->address_count],
              HOST_TEXT_MAX);
    if (!cidr_parse(host->addresses[host->address_count], subnet))
        return;
    if (interface->ifa_netmask)
        subnet->bits = mask_bits(interface->ifa_netmask);
    host->has_ipv4 |= address->sa_family == AF_INET;
    host->has_ipv6 |= address->sa_family == AF_INET6;
    host->address_count++;
}

void host_parse_resolv_conf(struct host *host, const char *text)
{
    while (*text && host->resolver_count < HOST_RESOLVER_MAX) {
        char *resolver = host->resolvers[host->resolver_count];
        size_t length = strcspn(text, "\n");
        char line[128];

        snprintf(line, sizeof(line), "%.*s", (int)(length < 127 ? length : 127), text);
        if (sscanf(line, " nameserver %63s", resolver) == 1)
            host->resolver_count++;
        text += length + (text[length] == '\n');
    }
}

static void read_resolv_conf(struct host *host, const char *path)
{
    char text[RESOLV_CONF_MAX];
    FILE *file = fopen(path, "re");
    size_t length;

    if (!file)
        return;
    length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    host_parse_resolv_conf(host, text);
}

int host_read(struct host *host, const char *resolv_conf)
{
    struct ifaddrs *interfaces;

    memset(host, 0, sizeof(*host));
    if (getifaddrs(&interfaces) < 0)
        return -errno;
    for (const struct ifaddrs *at = interfaces; at; at = at->ifa_next)
        add_address(host, at);
    freeifaddrs(interfaces);
    read_resolv_conf(host, resolv_conf ? resolv_conf : "/etc/resolv.conf");
    return 0;
}

bool host_owns(const struct host *host, const char *address)
{
    for (size_t i = 0; i < host->address_count; i++)
        if (strcmp(host->addresses[i], address) == 0)
            return true;
    return false;
}

bool host_has_family(const struct host *host, int family)
{
    return family == AF_INET ? host->has_ipv4 : host->has_ipv6;
}
