/* tries: what the attempts of one task at one endpoint add up to, over the sweep and the rounds of
 * confirmation; and what is to be tried again. Pure: rows in, tries out; the same rows in any order
 * give the same tries.
 *
 * A failure counts once it was tried again: with attempts within one round of confirmation and the
 * first one, it takes more failures than passes. A time-out of the sweep says little by itself (it
 * was not waited for what came late) and is left to the confirmation. An attempt that timed out and
 * was answered late, after a retransmission, is a lost packet and no failure; but an endpoint that
 * never passes in time, however often it is tried, fails.
 */
#ifndef COLLECTOR_TRIES_H
#define COLLECTOR_TRIES_H

#include "common/arena.h"
#include "proto/outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIES_ROUNDS_MAX 2 /* of confirmation */
#define TRIES_ATTEMPTS   2 /* of one task at one endpoint in a round */
#define TRIES_WITNESSES  8 /* so many tasks speak for all others at one endpoint */

/* What else there is to say of an attempt that failed. Strings are borrowed. */
struct tries_detail {
    const char *local;     /* own address and port, "" if never bound */
    const char *text;      /* a few words, "" mostly */
    const char *via;       /* "hosts": the address stands in /etc/hosts */
    const char *icmp_from; /* "": no ICMP error came */
    uint8_t icmp_type, icmp_code;
    bool is_held;       /* it was kept open beyond its deadline */
    int32_t late_ms;    /* when something came, from the attempt's start */
    int32_t verify;     /* X509_V_ERR_... */
    int32_t valid_days; /* of the certificate; negative: since */
    int64_t bytes_in;
};

/* One attempt. Strings are borrowed. */
struct tries_row {
    uint32_t source; /* index into the run's sources */
    uint32_t column;
    const char *name;    /* the discovery name */
    const char *address; /* "" when the name did not resolve */
    uint16_t port;
    uint8_t phase;   /* enum proto_phase */
    uint8_t outcome; /* enum proto_outcome */
    uint16_t error;
    uint16_t status;
    uint8_t round; /* 0: sweep; 1, ...: confirmation */
    uint8_t attempt;
    uint8_t late; /* enum proto_outcome: what came after the deadline; OUTCOME_UNKNOWN nothing */
    uint8_t retransmits;               /* at most 255 */
    bool is_given;                     /* the address was given, the name not resolved for it */
    bool is_silent;                    /* connected, and not a byte came back */
    bool is_reused;                    /* the address is another service's task's */
    bool has_left;                     /* the endpoint's task said leaving during the run */
    const struct tries_detail *detail; /* NULL of what passed */
};

enum tries_verdict {
    TRIES_PASSED,
    TRIES_FAILED,
    TRIES_OURS,    /* canreach's own fault or limit */
    TRIES_NEUTRAL, /* self, skipped, only a proxy, or overtaken by a later answer */
    TRIES_SPARED,  /* left alone, and nobody else's attempts speak for it */
    TRIES_GONE     /* failed, but its task, or the source, left meanwhile */
};

/* All attempts of one source at one (column, name, address, port). */
struct tries {
    const struct tries_row *const *rows; /* by round and attempt */
    size_t count;
    uint32_t source, column;
    enum tries_verdict verdict;
    bool is_confirmed;       /* a failure that was tried again, by itself or by others */
    bool is_undecided;       /* confirmed attempts came late by loss only: once more would help */
    bool has_confirmed;      /* there are attempts of a confirmation */
    bool is_hung;            /* its failures are connections that were not answered in time */
    uint16_t passed, failed; /* attempts that count; a time-out of the sweep among the failed */
    uint16_t lossy; /* attempts in which something was lost: sent again, or never answered while
                       others were */
    uint32_t retransmits;
    const struct tries_row *example; /* of the verdict: the last failure, or the last attempt */
};

struct tries_set {
    struct tries *tries;
    size_t count;
    const struct tries_row **order; /* the rows, as the tries point into it */
};

struct tries_source {
    size_t service;
    bool has_left;  /* said leaving: what it could not try again is no failure */
    bool is_absent; /* cannot try now: it left, or its agent is away */
};

struct tries_set tries_gather(const struct tries_row *rows, size_t row_count,
                              const struct tries_source *sources);
void tries_deinit(struct tries_set *set);

/* One thing to try again. */
struct tries_item {
    const struct tries *tries; /* what it is about */
    uint32_t source;           /* who tries: the same task, or another one of its service */
    unsigned attempts;
};

/* What round `round` (1 to TRIES_ROUNDS_MAX) is to try. `is_wanted` (may be NULL): whether a pair's
 * failure is of interest at all. Returns how many; `*ret_items` is the caller's to free. */
size_t tries_plan(const struct tries_set *set, const struct tries_source *sources,
                  size_t source_count, unsigned round,
                  bool (*is_wanted)(void *ctx, const struct tries *tries), void *ctx,
                  struct tries_item **ret_items);

#endif
