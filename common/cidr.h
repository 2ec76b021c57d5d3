/* cidr: an address block, IPv4 or IPv6 (RFC 4632, RFC 4291 section 2.3). */
#ifndef COMMON_CIDR_H
#define COMMON_CIDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct cidr {
    int family; /* AF_INET or AF_INET6 */
    uint8_t address[16];
    unsigned bits;
};

/* "10.0.0.0/8", "fc00::/7", or a bare address (all its bits). False when it is neither. */
bool cidr_parse(const char *text, struct cidr *ret_cidr);
bool cidr_contains(const struct cidr *cidr, const struct sockaddr *address);
/* All of `inner` lies in `outer`. */
bool cidr_covers(const struct cidr *outer, const struct cidr *inner);

#endif
