/* dnsmsg: reads a DNS answer (RFC 1035 section 4), bounded in all it does. */
#ifndef AGENT_DNSMSG_H
#define AGENT_DNSMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNSMSG_ANSWERS_MAX 128
#define DNSMSG_NAME_MAX    254 /* as text, with the NUL */

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_SRV = 33 };

struct dns_record {
    uint8_t address[16];             /* A: 4 bytes; AAAA: 16 */
    uint16_t priority, weight, port; /* SRV (RFC 2782) */
    char name[DNSMSG_NAME_MAX];      /* SRV: the target host */
};

struct dns_answer {
    int rcode;
    bool is_truncated;
    uint32_t ttl_s;             /* the smallest of the records and of the CNAMEs on the way */
    struct dns_record *records; /* of the type that was asked; the caller's */
    size_t count;
};

/* Fills `ret_answer`, whose `records` the caller has pointed at DNSMSG_ANSWERS_MAX records.
 * 0; or -EINVAL when the message does not hold together: `ret_answer->rcode` is still set if the
 * header was there. Records beyond DNSMSG_ANSWERS_MAX are left out. */
int dnsmsg_parse(const uint8_t *data, size_t length, enum dns_type type,
                 struct dns_answer *ret_answer);

#endif
