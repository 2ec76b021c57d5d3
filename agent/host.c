#include "agent/host.h"

#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define RESOLV_CONF_MAX 16384 /* bytes; what follows is ignored */
#define HOSTS_MAX       65536

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

static void parse_search(struct host *host, const char *domains)
{
    host->search_count = 0; /* the last such line counts */
    while (host->search_count < HOST_SEARCH_MAX) {
        size_t length;
        char *domain = host->search[host->search_count];
        domains += strspn(domains, " \t");
        length = strcspn(domains, " \t\r");
        snprintf(domain, HOST_DOMAIN_MAX, "%.*s", (int)(length < 253 ? length : 253), domains);
        if (!length)
            break;
        /* "." is the root: the name as it is. */
        if (length <= 253 && text_is_hostname(domain))
            host->search_count++;
        domains += length;
    }
}

static void parse_line(struct host *host, const char *line)
{
    const char *dots = strstr(line, "ndots:");
    char word[16] = "";
    int at = 0;

    sscanf(line, " %15s%n", word, &at);
    if (strcmp(word, "nameserver") == 0 && host->resolver_count < HOST_RESOLVER_MAX) {
        if (sscanf(line + at, " %63s", host->resolvers[host->resolver_count]) == 1)
            host->resolver_count++;
    } else if (strcmp(word, "search") == 0 || strcmp(word, "domain") == 0) {
        parse_search(host, line + at);
    } else if (strcmp(word, "options") == 0 && dots) {
        if (sscanf(dots, "ndots:%u", &host->dots) != 1 || host->dots > 15)
            host->dots = 15;
    }
}

void host_parse_resolv_conf(struct host *host, const char *text)
{
    host->dots = 1;
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[1024];

        snprintf(line, sizeof(line), "%.*s", (int)(length < 1023 ? length : 1023), text);
        parse_line(host, line);
        text += length + (text[length] == '\n');
    }
}

/* The file's text, cut at `size`; "" when there is none. */
static void read_text(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");

    out[0] = '\0';
    if (!file)
        return;
    out[fread(out, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Its number is unique on one kernel as long as that is up. */
static void read_netns(struct host *host)
{
    char boot[HOST_TEXT_MAX];
    struct stat status;

    read_text("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
    boot[strcspn(boot, "\n")] = '\0';
    if (*boot && stat("/proc/self/ns/net", &status) == 0)
        snprintf(host->netns, sizeof(host->netns), "%.36s/%llu", boot,
                 (unsigned long long)status.st_ino);
}

int host_read(struct host *host, const char *resolv_conf)
{
    struct ifaddrs *interfaces;
    char text[RESOLV_CONF_MAX];

    memset(host, 0, sizeof(*host));
    if (getifaddrs(&interfaces) < 0)
        return -errno;
    for (const struct ifaddrs *at = interfaces; at; at = at->ifa_next)
        add_address(host, at);
    freeifaddrs(interfaces);
    read_text(resolv_conf ? resolv_conf : "/etc/resolv.conf", text, sizeof(text));
    host_parse_resolv_conf(host, text);
    read_netns(host);
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

static bool is_vpc_resolver(const struct host *host, const char *resolver)
{
    struct in_addr address, own;

    if (strcmp(resolver, "169.254.169.253") == 0)
        return true;
    if (inet_pton(AF_INET, resolver, &address) != 1 || (ntohl(address.s_addr) & 15) != 2)
        return false;
    for (size_t i = 0; i < host->address_count; i++)
        if (inet_pton(AF_INET, host->addresses[i], &own) == 1 &&
            ntohl(own.s_addr) >> 16 == ntohl(address.s_addr) >> 16)
            return true;
    return false;
}

bool host_uses_vpc_resolver(const struct host *host)
{
    for (size_t i = 0; i < host->resolver_count; i++)
        if (is_vpc_resolver(host, host->resolvers[i]))
            return true;
    return false;
}

static bool parse_address(const char *text, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    memset(ret_address, 0, sizeof(*ret_address));
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(ret_address, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(ret_address, &v6, sizeof(v6));
    else
        return false;
    return true;
}

static void parse_entry(struct host_entries *entries, size_t *capacity, char *line)
{
    struct sockaddr_storage address;
    char *rest = line, *word;

    line[strcspn(line, "#")] = '\0';
    word = strtok_r(line, " \t\r", &rest);
    if (!word || !parse_address(word, &address))
        return;
    while ((word = strtok_r(NULL, " \t\r", &rest)) && entries->count < HOST_ENTRY_MAX) {
        mem_grow(&entries->entries, entries->count, capacity, sizeof(*entries->entries));
        entries->entries[entries->count++] = (struct host_entry){mem_strdup(word), address};
    }
}

void host_parse_entries(struct host_entries *entries, const char *text)
{
    size_t capacity = 0;

    *entries = (struct host_entries){0};
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[1024];

        snprintf(line, sizeof(line), "%.*s", (int)(length < 1023 ? length : 1023), text);
        parse_entry(entries, &capacity, line);
        text += length + (text[length] == '\n');
    }
}

void host_read_entries(struct host_entries *entries, const char *path)
{
    char *text = mem_alloc(HOSTS_MAX);

    read_text(path ? path : "/etc/hosts", text, HOSTS_MAX);
    host_parse_entries(entries, text);
    mem_free(text);
}

void host_entries_deinit(struct host_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        mem_free(entries->entries[i].name);
    mem_free(entries->entries);
    *entries = (struct host_entries){0};
}
