/* dnsmsg: reads a DNS answer (RFC 1035 section 4), bounded in all it does. */
#ifndef AGENT_DNSMSG_H
#define AGENT_DNSMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNSMSG_ANSWERS_MAX 128
#define DNSMSG_NAME_MAX    254 /* as text, with the NUL */
#define DNSMSG_CHAIN_MAX   8   /* CNAMEs kept */

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_AAAA = 28, DNS_SRV = 33 };

struct dns_record {
    uint8_t address[16];             /* A: 4 bytes; AAAA: 16 */
    uint16_t priority, weight, port; /* SRV (RFC 2782) */
    char name[DNSMSG_NAME_MAX];      /* SRV: the target host */
};

struct dns_answer {
    int rcode;
    bool is_truncated;
    uint32_t ttl_s;             /* the smallest of the records and of the CNAMEs on the way */
    int64_t negative_ttl_s;     /* how long "no" may be kept (RFC 2308 section 5); -1: no SOA */
    struct dns_record *records; /* of the type that was asked; the caller's */
    size_t count;
    char (*chain)[DNSMSG_NAME_MAX]; /* where the CNAMEs lead, in order; the caller's */
    size_t chain_count;
};

/* Fills `ret_answer`, whose `records` and `chain` the caller has pointed at DNSMSG_ANSWERS_MAX
 * records and DNSMSG_CHAIN_MAX names.
 * 0; or -EINVAL when the message does not hold together: `ret_answer->rcode` is still set if the
 * header was there. What is beyond these numbers is left out. */
int dnsmsg_parse(const uint8_t *data, size_t length, enum dns_type type,
                 struct dns_answer *ret_answer);

#endif
