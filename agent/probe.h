/* probe: one attempt at one endpoint: connect, TLS where wanted, then the check's exchange, under
 * one deadline; and what the kernel knows of it.
 *
 * Not its business: names, limits on how many run at once, and where it may connect to.
 */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include "agent/check.h"
#include "agent/kernel.h"
#include "agent/tls.h"
#include "common/loop.h"
#include "proto/proto.h"

enum probe_state {
    PROBE_IDLE,
    PROBE_CONNECTING,
    PROBE_HANDSHAKING, /* TLS */
    PROBE_SETTLING,    /* TLS 1.3: a late refusal of the server would come now */
    PROBE_EXCHANGING,
    PROBE_FINISHED
};

#define PROBE_SETTLE_MS                                                       \
    200 /* a tls check waits so long for the first record after the handshake \
         */
#define PROBE_SETTLE_ASKED_MS 1000 /* ... where the server asked for a certificate */

/* What to do; shared by the probes of one name of a target, outlives them. */
struct probe_plan {
    const struct check_type *check;
    struct check_plan exchange;
    uint64_t timeout_us;
    uint64_t hold_us;   /* an attempt without an answer stays open so long, for what comes late */
    bool is_patient;    /* also at a peer that has the request and says nothing */
    struct tls *tls;    /* NULL: plain */
    const char *server; /* TLS: name to ask for and to verify */
    const char *alpn;   /* TLS: "h2,http/1.1", or "" */
    bool is_unverified; /* TLS: the certificate is reported, not judged */
};

struct probe;
typedef void (*probe_fn)(void *ctx, struct probe *probe);

struct probe {
    struct loop *loop;
    const struct probe_plan *plan;
    union kernel_address remote, local;
    probe_fn fn; /* called once, when the state is PROBE_FINISHED; may free the probe */
    void *ctx;

    enum probe_state state;
    struct loop_fd source;
    bool has_error; /* epoll announced one */
    struct loop_timer deadline;
    uint64_t started_us;
    uint64_t ends_us;    /* the deadline of the attempt */
    uint64_t entered_us; /* when the current phase began */
    uint64_t first_byte_us;
    enum proto_phase held_phase; /* as the deadline found it */
    int64_t held_phase_us[PHASE_COUNT];
    struct tls_session *session;
    struct exchange exchange;

    /* the result; valid until `fn` returns */
    enum proto_phase phase; /* the last one entered */
    enum proto_outcome outcome;
    int error;
    int64_t phase_us[PHASE_COUNT]; /* -1: not entered */
    uint64_t bytes_out, bytes_in;
    int64_t rate;            /* bytes a second of the body, where the plan wants it */
    bool is_held;            /* it timed out and was kept open; `outcome` stays OUTCOME_TIMEOUT */
    enum proto_outcome late; /* what came after all; OUTCOME_UNKNOWN: nothing */
    uint64_t late_us;        /* when, from the start */
    bool was_cut;            /* the answer was longer than BUDGET_READ */
    struct kernel_facts kernel;
    struct tls_facts *tls_facts; /* NULL before a handshake was completed */
};

/* `probe` is zeroed but for loop, plan, remote, fn and ctx. The result may come before this
 * returns. */
void probe_start(struct probe *probe);

/* Stops without calling `fn`. */
void probe_cancel(struct probe *probe);

#endif
