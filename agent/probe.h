/* probe: one attempt at one endpoint: connect, then the check's exchange, under one deadline.
 *
 * Not its business: names, limits on how many run at once, and where it may connect to.
 */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include "agent/http.h"
#include "common/loop.h"
#include "proto/proto.h"

#include <netinet/in.h>

enum probe_check { PROBE_TCP, PROBE_HTTP, PROBE_CHECK_COUNT };

enum probe_state { PROBE_IDLE, PROBE_CONNECTING, PROBE_SENDING, PROBE_RECEIVING, PROBE_FINISHED };

union probe_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* What to do; borrowed by every probe of one target, outlives them. */
struct probe_plan {
    enum probe_check check;
    uint64_t timeout_us;
    const char *request; /* http */
    size_t request_length;
    const char *status; /* http: expected statuses */
};

struct probe;
typedef void (*probe_fn)(void *ctx, struct probe *probe);

struct probe {
    struct loop *loop;
    const struct probe_plan *plan;
    union probe_address remote, local;
    probe_fn fn; /* called once, when the state is PROBE_FINISHED; may free the probe */
    void *ctx;

    enum probe_state state;
    struct loop_fd source;
    struct loop_timer deadline;
    uint64_t entered_us; /* when the current phase began */
    size_t sent;
    struct http_answer answer;

    /* the result */
    enum proto_phase phase; /* the last one entered */
    enum proto_outcome outcome;
    int error;
    int64_t phase_us[PHASE_COUNT]; /* -1: not entered */
};

/* The check's name in a fleet file and on the wire, or NULL after the last. */
const char *probe_check_name(enum probe_check check);
bool probe_check_from_name(const char *name, enum probe_check *ret_check);

/* `probe` is zeroed but for loop, plan, remote, fn and ctx. The result may come before this
 * returns. */
void probe_start(struct probe *probe);

/* Stops without calling `fn`. */
void probe_cancel(struct probe *probe);

#endif
