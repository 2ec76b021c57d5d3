#include "agent/sockets.h"

#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEW_SYN_RECV 12
#define ANSWER_MS    500 /* the kernel answers at once; a lost answer must not hang the agent */

struct sockets {
    int netlink; /* -1: /proc */
};

/* What one call hands on, and how much of it is left. */
struct listing {
    uint32_t states;
    uint16_t port;
    sockets_fn fn;
    void *ctx;
    int left, unlisted;
};

struct sockets *sockets_open(bool force_proc)
{
    struct sockets *sockets = mem_alloc(sizeof(*sockets));
    struct timeval limit = {.tv_usec = ANSWER_MS * 1000};

    sockets->netlink =
        force_proc ? -1 : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (sockets->netlink >= 0)
        setsockopt(sockets->netlink, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return sockets;
}

struct sockets *sockets_close(struct sockets *sockets)
{
    if (sockets && sockets->netlink >= 0)
        close(sockets->netlink);
    mem_free(sockets);
    return NULL;
}

const char *sockets_source(const struct sockets *sockets)
{
    return sockets->netlink >= 0 ? "sock_diag" : "proc";
}

static void hand_on(struct listing *listing, const struct sockets_entry *entry)
{
    if (!(listing->states >> entry->state & 1) ||
        (listing->port && kernel_address_port(&entry->local) != listing->port))
        return;
    if (listing->left <= 0) {
        listing->unlisted++;
        return;
    }
    listing->left--;
    listing->fn(listing->ctx, entry);
}

/* An IPv4 peer of an IPv6 socket (RFC 4291 section 2.5.5.2) is the same host. */
static void unmap(union kernel_address *address)
{
    const struct in6_addr *v6 = &address->v6.sin6_addr;
    in_port_t port = address->v6.sin6_port;
    struct in_addr v4;

    if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(v6))
        return;
    memcpy(&v4, &v6->s6_addr[12], sizeof(v4));
    address->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = v4};
}

/* ---- sock_diag ---- */

static void set_address(union kernel_address *address, int family, const __be32 *bytes, __be16 port)
{
    memset(address, 0, sizeof(*address));
    address->any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        memcpy(&address->v4.sin_addr, bytes, sizeof(address->v4.sin_addr));
        address->v4.sin_port = port;
    } else {
        memcpy(&address->v6.sin6_addr, bytes, sizeof(address->v6.sin6_addr));
        address->v6.sin6_port = port;
    }
    unmap(address);
}

static void take_diag(struct listing *listing, const struct inet_diag_msg *message)
{
    struct sockets_entry entry = {
        .state = (enum kernel_state)message->idiag_state,
        .queue = message->idiag_rqueue,
        .backlog = message->idiag_wqueue,
    };

    if (message->idiag_state > 31)
        return;
    set_address(&entry.local, message->idiag_family, message->id.idiag_src,
                message->id.idiag_sport);
    set_address(&entry.remote, message->idiag_family, message->id.idiag_dst,
                message->id.idiag_dport);
    hand_on(listing, &entry);
}

/* One datagram of a dump: 1 there is more, 0 that was the end, or a negative errno. */
static int take_datagram(struct listing *listing, const char *data, size_t length)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)data;

    for (; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
        if (header->nlmsg_type == NLMSG_DONE)
            return 0;
        if (header->nlmsg_type == NLMSG_ERROR)
            return -EPROTO;
        if (header->nlmsg_type == TCPDIAG_GETSOCK &&
            header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            take_diag(listing, NLMSG_DATA(header));
    }
    return 1;
}

/* Inside the kernel a connection that is half-open has a state of its own (TCP_NEW_SYN_RECV), which
 * it shows as SYN_RECV. */
static uint32_t dump_states(uint32_t states)
{
    return states >> KERNEL_HALF_OPEN & 1 ? states | 1U << NEW_SYN_RECV : states;
}

/* The older form of the request: it alone lists IPv4 and IPv6 in one walk through the kernel's
 * table of connections, which is as large as the host is, however few sockets the task has. */
static int dump(struct sockets *sockets, struct listing *listing)
{
    _Alignas(struct nlmsghdr) static char data[32768];
    struct {
        struct nlmsghdr header;
        struct inet_diag_req request;
    } message = {
        .header = {.nlmsg_len = sizeof(message),
                   .nlmsg_type = TCPDIAG_GETSOCK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.idiag_states = dump_states(listing->states),
                    .id.idiag_sport = htons(listing->port)},
    };
    int r = 1;

    if (send(sockets->netlink, &message, sizeof(message), 0) < 0)
        return -errno;
    while (r > 0) {
        ssize_t length = recv(sockets->netlink, data, sizeof(data), 0);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length < 0 ? -errno : -EPROTO;
        r = take_datagram(listing, data, (size_t)length);
    }
    return r;
}

/* ---- /proc/net ---- */

/* Groups of eight hexadecimal digits, each a word in the host's byte order; then the port. */
static bool parse_address(const char *text, union kernel_address *address)
{
    size_t digits = strspn(text, "0123456789ABCDEFabcdef");
    uint32_t words[4] = {0};
    unsigned port;

    if ((digits != 8 && digits != 32) || text[digits] != ':')
        return false;
    for (size_t i = 0; i < digits / 8; i++) {
        char word[9];
        snprintf(word, sizeof(word), "%.8s", text + i * 8);
        words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    if (sscanf(text + digits, ":%4x", &port) != 1)
        return false;
    set_address(address, digits == 8 ? AF_INET : AF_INET6, words, htons((uint16_t)port));
    return true;
}

bool sockets_parse_line(const char *line, struct sockets_entry *ret_entry)
{
    char local[48], remote[48];
    unsigned state, waiting;

    memset(ret_entry, 0, sizeof(*ret_entry));
    if (sscanf(line, " %*u: %47s %47s %2x %*8x:%8x", local, remote, &state, &waiting) != 4 ||
        state > 31 || !parse_address(local, &ret_entry->local) ||
        !parse_address(remote, &ret_entry->remote))
        return false;
    ret_entry->state = (enum kernel_state)state;
    ret_entry->queue = waiting;
    ret_entry->backlog = SOCKETS_NO_BACKLOG;
    return true;
}

static int read_table(const char *path, struct listing *listing)
{
    FILE *file = fopen(path, "re");
    char line[512];

    if (!file)
        return -errno;
    while (fgets(line, sizeof(line), file)) {
        struct sockets_entry entry;
        if (sockets_parse_line(line, &entry))
            hand_on(listing, &entry);
    }
    fclose(file);
    return 0;
}

/* A host without IPv6 has no tcp6. */
static int read_proc(struct listing *listing)
{
    int r = read_table("/proc/net/tcp", listing);

    read_table("/proc/net/tcp6", listing);
    return r;
}

int sockets_each(struct sockets *sockets, uint32_t states, uint16_t port, sockets_fn fn, void *ctx)
{
    struct listing listing = {states, port, fn, ctx, SOCKETS_ENTRIES_MAX, 0};
    int r = -ENOSYS;

    if (sockets->netlink >= 0) {
        r = dump(sockets, &listing);
        if (r < 0) {
            /* A kernel without inet_diag, or a stranger's answer: from now on the other way. */
            close(sockets->netlink);
            sockets->netlink = -1;
        }
    }
    if (r < 0)
        r = read_proc(&listing);
    return r < 0 ? r : listing.unlisted;
}
