/* budget: the agent's hard caps, which no assignment can lift, and how often each one held.
 *
 * One for the whole agent, over all assignments. What waits (a slot, the rate) is tried later; what
 * is refused is reported as such, never as the network's fault.
 */
#ifndef AGENT_BUDGET_H
#define AGENT_BUDGET_H

#include "proto/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDGET_SLOTS     1024                       /* probes in flight; one with TLS takes four */
#define BUDGET_TLS_SLOTS 4                          /* an OpenSSL handshake holds about 50 KiB */
#define BUDGET_RATE      PROTO_PROBE_RATE           /* probes started in any one second */
#define BUDGET_DNS_BURST 200                        /* DNS queries at once */
#define BUDGET_DNS_MAX   500                        /* DNS queries sent in any one second */
#define BUDGET_READ      (64 * 1024)                /* bytes read by one probe */
#define BUDGET_MEMORY    ((size_t)32 * 1024 * 1024) /* by our own account (mem_used) */

enum budget_counter {
    BUDGET_BY_ADDRESS,    /* refused: an address outside the allowed networks */
    BUDGET_BY_NAME,       /* refused: a name outside the allowed suffixes */
    BUDGET_BY_ENDPOINTS,  /* refused: more endpoints than one assignment may have */
    BUDGET_BY_MEMORY,     /* refused: BUDGET_MEMORY is used up */
    BUDGET_BY_ASSIGNMENT, /* refused: a message or assignment as a whole */
    BUDGET_BY_READ,       /* an answer longer than BUDGET_READ, cut off */
    BUDGET_BY_RATE_CHECK, /* refused: a throughput check beyond --allow-throughput */
    BUDGET_WAIT_SLOT,     /* waited: for a slot */
    BUDGET_WAIT_RATE,     /* waited: BUDGET_RATE */
    BUDGET_WAIT_DNS,      /* waited: the DNS rate */
    BUDGET_COUNTERS
};

#define BUDGET_TICK_US 10000
#define BUDGET_TICKS   101 /* one more than a second: whatever second is looked at lies inside */

struct budget {
    unsigned slots;                 /* in use */
    uint16_t started[BUDGET_TICKS]; /* in each tick, a ring */
    unsigned started_sum;
    uint64_t tick; /* the newest */
    uint64_t counters[BUDGET_COUNTERS];
};

enum budget_answer { BUDGET_GO, BUDGET_NO_SLOT, BUDGET_TOO_FAST };

/* Takes `weight` slots for a probe that starts now. With BUDGET_TOO_FAST, `*ret_retry_us` is when
 * to ask again; with BUDGET_NO_SLOT somebody has to give one back first. */
enum budget_answer budget_take(struct budget *budget, unsigned weight, uint64_t now_us,
                               uint64_t *ret_retry_us);
void budget_give(struct budget *budget, unsigned weight);

/* False, and counted, once BUDGET_MEMORY is used up. */
bool budget_has_memory(struct budget *budget);

void budget_count(struct budget *budget, enum budget_counter counter);
const char *budget_counter_name(enum budget_counter counter);

#endif
