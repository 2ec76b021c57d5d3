/* netstat: counters of this network namespace's TCP, from /proc/net/snmp and /proc/net/netstat
 * (proc(5); RFC 4022, Documentation/networking/snmp_counter.rst of Linux). They count for all its
 * processes, so only their rise says something.
 */
#ifndef AGENT_NETSTAT_H
#define AGENT_NETSTAT_H

#include <stdint.h>

enum netstat_counter {
    NETSTAT_OUT_RSTS,         /* RSTs sent, our own closes among them */
    NETSTAT_RETRANS_SEGS,     /* segments sent again */
    NETSTAT_ATTEMPT_FAILS,    /* connections that never came to be */
    NETSTAT_PASSIVE_OPENS,    /* SYNs taken by a listener */
    NETSTAT_LISTEN_OVERFLOWS, /* an accept queue was full */
    NETSTAT_LISTEN_DROPS,     /* SYNs, or last ACKs, dropped by a listener */
    NETSTAT_SYNCOOKIES_SENT,  /* the SYN queue was full */
    NETSTAT_COUNTERS
};

struct netstat {
    uint64_t values[NETSTAT_COUNTERS];
};

const char *netstat_name(enum netstat_counter counter); /* the kernel's own name */

/* A missing file or counter reads as 0. */
void netstat_read(struct netstat *netstat);
/* Takes what it knows out of one of the two files: pairs of lines, names and values. */
void netstat_parse(struct netstat *netstat, const char *text);

#endif
