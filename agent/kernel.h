/* kernel: what the kernel knows of one attempt: TCP_INFO (tcp(7)) and the ICMP error that ended it
 * (IP_RECVERR, ip(7); RFC 792, RFC 4443).
 */
#ifndef AGENT_KERNEL_H
#define AGENT_KERNEL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

union kernel_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

#define KERNEL_TEXT_MAX 64

/* "10.0.0.1", "fd00::1"; and with the port "10.0.0.1:80", "[fd00::1]:80"; "" for no address. */
void kernel_address_text(const union kernel_address *address, char out[KERNEL_TEXT_MAX]);
void kernel_endpoint_text(const union kernel_address *address, char out[KERNEL_TEXT_MAX]);
uint16_t kernel_address_port(const union kernel_address *address);

struct kernel_facts {
    uint32_t retransmits; /* of the SYN and of data */
    uint32_t rtt_us;      /* smoothed; 0 before there is one */
    uint32_t mss;         /* bytes, of what we send; 0 likewise */
    uint32_t pmtu;        /* bytes; 0 likewise */
    bool has_icmp;
    uint8_t icmp_type, icmp_code;
    union kernel_address icmp_from; /* a router, the target, or ourselves when ARP found nobody */
};

/* Has the kernel keep ICMP errors for us. */
void kernel_keep_errors(int fd, int family);
/* Back to the default: an ICMP error of an established connection is a hint, and TCP goes on. */
void kernel_ignore_errors(int fd, int family);

/* SO_ERROR: 0 or an errno. To be asked before kernel_read_icmp(), which clears it. */
int kernel_take_error(int fd);

void kernel_read_tcp(int fd, struct kernel_facts *facts);
void kernel_read_icmp(int fd, struct kernel_facts *facts);

#endif
