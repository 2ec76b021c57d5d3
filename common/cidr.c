#include "common/cidr.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

bool cidr_parse(const char *text, struct cidr *ret_cidr)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    struct cidr cidr = {0};
    int64_t bits;

    if (length >= sizeof(host))
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    cidr.family = strchr(host, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(cidr.family, host, cidr.address) != 1)
        return false;
    bits = cidr.family == AF_INET ? 32 : 128;
    if (slash && !text_to_int(slash + 1, 0, bits, &bits))
        return false;
    cidr.bits = (unsigned)bits;
    *ret_cidr = cidr;
    return true;
}

static bool begins_with(const struct cidr *cidr, const void *address)
{
    const uint8_t *bytes = address;
    unsigned whole = cidr->bits / 8, rest = cidr->bits % 8;

    if (memcmp(bytes, cidr->address, whole) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ cidr->address[whole]) & (0xff00U >> rest) & 0xff) == 0;
}

bool cidr_contains(const struct cidr *cidr, const struct sockaddr *address)
{
    if (address->sa_family != cidr->family)
        return false;
    if (cidr->family == AF_INET)
        return begins_with(cidr, &((const struct sockaddr_in *)(const void *)address)->sin_addr);
    return begins_with(cidr, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

bool cidr_covers(const struct cidr *outer, const struct cidr *inner)
{
    return outer->family == inner->family && outer->bits <= inner->bits &&
           begins_with(outer, inner->address);
}
