/* sockets: the TCP sockets of this network namespace, whosesoever they are: by sock_diag(7)
 * (inet_diag, unprivileged), else from /proc/net/tcp and tcp6 (proc(5)).
 *
 * A listener's queue is what waits to be accepted, its backlog how many may; /proc/net/tcp does not
 * show the backlog.
 */
#ifndef AGENT_SOCKETS_H
#define AGENT_SOCKETS_H

#include "agent/kernel.h"

#include <stddef.h>

#define SOCKETS_ENTRIES_MAX 20000 /* looked at in one go: a flood of connections costs no more */
#define SOCKETS_NO_BACKLOG  UINT32_MAX

struct sockets_entry {
    union kernel_address local, remote; /* IPv4 in IPv6 is shown as IPv4 */
    enum kernel_state state;
    uint32_t queue, backlog; /* of a listener */
};

struct sockets;

typedef void (*sockets_fn)(void *ctx, const struct sockets_entry *entry);

/* `force_proc`: as if there were no sock_diag. Never NULL. */
struct sockets *sockets_open(bool force_proc);
struct sockets *sockets_close(struct sockets *sockets);
const char *sockets_source(const struct sockets *sockets); /* "sock_diag" or "proc" */

/* Sockets in one of `states` (bits: 1 << KERNEL_LISTEN, ...), of local port `port` (0: any). How
 * many were beyond SOCKETS_ENTRIES_MAX, or a negative errno: nothing can be read. */
int sockets_each(struct sockets *sockets, uint32_t states, uint16_t port, sockets_fn fn, void *ctx);

/* One line of /proc/net/tcp or tcp6; false: it is none (the heading, damage). */
bool sockets_parse_line(const char *line, struct sockets_entry *ret_entry);

#endif
