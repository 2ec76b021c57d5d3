#include "agent/kernel.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Without printf, which inet_ntop() and snprintf() go through: every row has two of these. */
static char *put_number(char *out, unsigned number)
{
    char digits[8];
    int count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *out++ = digits[--count];
    return out;
}

static char *put_ipv4(char *out, const struct in_addr *address)
{
    const uint8_t *bytes = (const uint8_t *)address;

    for (int i = 0; i < 4; i++) {
        if (i)
            *out++ = '.';
        out = put_number(out, bytes[i]);
    }
    return out;
}

static char *put_address(char *out, const union kernel_address *address)
{
    if (address->any.sa_family == AF_INET)
        return put_ipv4(out, &address->v4.sin_addr);
    if (address->any.sa_family == AF_INET6 &&
        inet_ntop(AF_INET6, &address->v6.sin6_addr, out, INET6_ADDRSTRLEN))
        return out + strlen(out);
    return out;
}

void kernel_address_text(const union kernel_address *address, char out[KERNEL_TEXT_MAX])
{
    *put_address(out, address) = '\0';
}

void kernel_endpoint_text(const union kernel_address *address, char out[KERNEL_TEXT_MAX])
{
    bool is_v6 = address->any.sa_family == AF_INET6;

    if (!address->any.sa_family) {
        *out = '\0';
        return;
    }
    if (is_v6)
        *out++ = '[';
    out = put_address(out, address);
    if (is_v6)
        *out++ = ']';
    *out++ = ':';
    *put_number(out, kernel_address_port(address)) = '\0';
}

bool kernel_parse_endpoint(const char *text, union kernel_address *ret_address)
{
    const char *colon = strrchr(text, ':');
    char address[INET6_ADDRSTRLEN];
    bool is_v6 = *text == '[';
    size_t length;
    unsigned long port;
    char *end;

    memset(ret_address, 0, sizeof(*ret_address));
    if (!colon || (is_v6 && (colon == text || colon[-1] != ']')))
        return false;
    length = (size_t)(colon - text) - (is_v6 ? 2 : 0);
    port = strtoul(colon + 1, &end, 10);
    if (length >= sizeof(address) || end == colon + 1 || *end || port == 0 || port > UINT16_MAX)
        return false;
    memcpy(address, text + is_v6, length);
    address[length] = '\0';
    if (is_v6) {
        ret_address->v6.sin6_family = AF_INET6;
        ret_address->v6.sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, address, &ret_address->v6.sin6_addr) == 1;
    }
    ret_address->v4.sin_family = AF_INET;
    ret_address->v4.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, address, &ret_address->v4.sin_addr) == 1;
}

uint16_t kernel_address_port(const union kernel_address *address)
{
    return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
}

static void set_keep_errors(int fd, int family, int on)
{
    if (family == AF_INET)
        setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
    else
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
}

void kernel_keep_errors(int fd, int family)
{
    set_keep_errors(fd, family, 1);
}

void kernel_ignore_errors(int fd, int family)
{
    set_keep_errors(fd, family, 0);
}

int kernel_take_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

void kernel_read_tcp(int fd, struct kernel_facts *facts)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
        return;
    facts->state = (enum kernel_state)info.tcpi_state;
    facts->has_unacked = info.tcpi_unacked > 0;
    facts->retransmits = info.tcpi_total_retrans;
    if (!info.tcpi_rtt)
        return; /* never connected: the rest is what the kernel begins with */
    facts->rtt_us = info.tcpi_rtt;
    facts->mss = info.tcpi_snd_mss;
    facts->pmtu = info.tcpi_pmtu;
}

static uint64_t resets;

/* tcp_need_reset() of the kernel: the states in which it tells the peer. */
static bool needs_reset(enum kernel_state state)
{
    return state == KERNEL_ESTABLISHED || state == KERNEL_CLOSE_WAIT || state == KERNEL_FIN_WAIT1 ||
           state == KERNEL_FIN_WAIT2;
}

void kernel_reset(int fd, enum kernel_state state)
{
    struct linger reset = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    resets += needs_reset(state);
}

uint64_t kernel_resets(void)
{
    return resets;
}

static void take_icmp(const struct cmsghdr *header, struct kernel_facts *facts)
{
    struct sock_extended_err error;
    const struct sockaddr *offender;

    memcpy(&error, CMSG_DATA(header), sizeof(error));
    if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6)
        return;
    facts->has_icmp = true;
    facts->icmp_type = error.ee_type;
    facts->icmp_code = error.ee_code;
    offender = SO_EE_OFFENDER((struct sock_extended_err *)(void *)CMSG_DATA(header));
    if (offender->sa_family == AF_INET)
        memcpy(&facts->icmp_from.v4, offender, sizeof(facts->icmp_from.v4));
    else if (offender->sa_family == AF_INET6)
        memcpy(&facts->icmp_from.v6, offender, sizeof(facts->icmp_from.v6));
}

void kernel_read_icmp(int fd, struct kernel_facts *facts)
{
    _Alignas(struct cmsghdr) char control[512];
    char data[64]; /* of the packet that caused it: not looked at */
    struct iovec vector = {data, sizeof(data)};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };

    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
         header = CMSG_NXTHDR(&message, header))
        if ((header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_RECVERR) ||
            (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_RECVERR))
            take_icmp(header, facts);
}
