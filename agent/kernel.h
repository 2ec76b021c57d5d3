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
/* The reverse; false: no such text. */
bool kernel_parse_endpoint(const char *text, union kernel_address *ret_address);
uint16_t kernel_address_port(const union kernel_address *address);

/* States of a TCP socket as the kernel numbers them (include/net/tcp_states.h). */
enum kernel_state {
    KERNEL_NO_STATE = 0,
    KERNEL_ESTABLISHED = 1,
    KERNEL_HALF_OPEN = 3, /* SYN_RECV: a SYN came, its SYN-ACK is not answered */
    KERNEL_FIN_WAIT1 = 4,
    KERNEL_FIN_WAIT2 = 5,
    KERNEL_CLOSE_WAIT = 8,
    KERNEL_LISTEN = 10
};

struct kernel_facts {
    enum kernel_state state;
    bool has_unacked;     /* the peer has not acknowledged all that was sent */
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

/* Closes a TCP socket with a RST where it is connected (`state` as read just before): no TIME_WAIT
 * is left behind in the task, which the app's connections would have to live with. */
void kernel_reset(int fd, enum kernel_state state);
/* How many RSTs kernel_reset() has sent so far, over all of this process: the namespace's OutRsts
 * counts them too. */
uint64_t kernel_resets(void);
void kernel_read_icmp(int fd, struct kernel_facts *facts);

#endif
