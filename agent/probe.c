#include "agent/probe.h"

#include "agent/budget.h"
#include "common/clock.h"
#include "common/text.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_CHUNK 16384 /* a TLS record */

/* What a step came to; the driver maps it to interest and the next state. */
enum step { STEP_DONE, STEP_WANT_READ, STEP_WANT_WRITE, STEP_FAIL };

static void end_phase(struct probe *probe)
{
    uint64_t now = clock_mono_us();

    probe->phase_us[probe->phase] = (int64_t)(now - probe->entered_us);
    probe->entered_us = now;
}

static bool is_datagram(const struct probe *probe)
{
    return probe->plan->check->is_datagram;
}

/* A connection that is not needed any more is reset; one that said farewell ends in order. */
static void close_socket(struct probe *probe)
{
    loop_forget(probe->loop, &probe->source);
    if (is_datagram(probe) || probe->exchange.has_farewell)
        close(probe->source.fd);
    else
        kernel_reset(probe->source.fd, probe->kernel.state);
    probe->source.fd = -1;
}

static void release(struct probe *probe)
{
    loop_timer_stop(probe->loop, &probe->deadline);
    probe->session = tls_close(probe->session);
    if (probe->source.fd >= 0)
        close_socket(probe);
}

static void drop_result(struct probe *probe)
{
    probe->tls_facts = tls_facts_free(probe->tls_facts);
    exchange_drop(&probe->exchange);
}

static void note_rate(struct probe *probe)
{
    uint64_t us = clock_mono_us() - probe->first_byte_us;

    if (probe->plan->exchange.rate_bytes && probe->first_byte_us)
        probe->rate = (int64_t)(probe->exchange.http.body * 1000000 / (us ? us : 1));
}

/* The deadline has spoken: what came of the attempt afterwards is only evidence. */
static void note_late(struct probe *probe, enum proto_outcome outcome)
{
    memcpy(probe->phase_us, probe->held_phase_us, sizeof(probe->phase_us));
    probe->phase = probe->held_phase;
    if (outcome == OUTCOME_TIMEOUT)
        return;
    probe->late = outcome;
    probe->late_us = clock_mono_us() - probe->started_us;
}

/* Our own address and port: what the target's side knows this attempt by. */
static void read_local(struct probe *probe)
{
    socklen_t length = sizeof(probe->local);

    if (!probe->local.any.sa_family && probe->source.fd >= 0)
        getsockname(probe->source.fd, &probe->local.any, &length);
}

static void finish(struct probe *probe, enum proto_outcome outcome, int error)
{
    struct tls_facts *facts;
    struct exchange exchange;

    if (probe->state == PROBE_FINISHED)
        return;
    if (probe->is_held)
        note_late(probe, outcome);
    else
        end_phase(probe);
    probe->state = PROBE_FINISHED;
    probe->outcome = probe->is_held ? OUTCOME_TIMEOUT : outcome;
    probe->error = error;
    read_local(probe);
    if (probe->source.fd >= 0 && !is_datagram(probe))
        kernel_read_tcp(probe->source.fd, &probe->kernel);
    if (probe->source.fd >= 0 && error)
        kernel_read_icmp(probe->source.fd, &probe->kernel);
    release(probe);
    /* `fn` may free the probe; what hangs on it goes afterwards. */
    facts = probe->tls_facts;
    exchange = probe->exchange;
    probe->fn(probe->ctx, probe);
    tls_facts_free(facts);
    exchange_drop(&exchange);
}

void probe_cancel(struct probe *probe)
{
    if (probe->state == PROBE_IDLE || probe->state == PROBE_FINISHED)
        return;
    probe->state = PROBE_FINISHED;
    if (probe->source.fd >= 0 && !is_datagram(probe))
        kernel_read_tcp(probe->source.fd, &probe->kernel);
    release(probe);
    drop_result(probe);
}

/* An error that came from the network: the handshake's, or later the connection's. */
static enum proto_outcome outcome_of_error(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return OUTCOME_REFUSED;
    case ETIMEDOUT:
        return OUTCOME_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
        return OUTCOME_RESET;
    case EADDRNOTAVAIL:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return OUTCOME_LOCAL_ERROR;
    default: /* EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT, EACCES, ...: what ICMP maps to */
        return OUTCOME_UNREACHABLE;
    }
}

/* connect() that fails at once never sent a packet: the host's own routing or firewall said no. */
static enum proto_outcome outcome_of_instant_error(int error)
{
    switch (error) {
    case EINVAL:
    case EACCES:
    case EPERM:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return OUTCOME_LOCAL_ROUTE;
    default:
        return outcome_of_error(error);
    }
}

/* Some errors come late (no ARP answer: 3 s), and so does what was sent again. A peer that has
 * taken everything and says nothing is waited for only where that is asked: it holds a place there.
 */
static bool is_worth_holding(struct probe *probe)
{
    if (probe->is_held || probe->plan->hold_us <= probe->plan->timeout_us)
        return false;
    if (probe->state == PROBE_CONNECTING || is_datagram(probe) || probe->plan->is_patient)
        return true;
    kernel_read_tcp(probe->source.fd, &probe->kernel);
    return probe->kernel.has_unacked;
}

static void hold(struct probe *probe)
{
    end_phase(probe);
    probe->is_held = true;
    probe->held_phase = probe->phase;
    memcpy(probe->held_phase_us, probe->phase_us, sizeof(probe->held_phase_us));
    loop_timer_at(probe->loop, &probe->deadline, probe->started_us + probe->plan->hold_us);
    probe->ends_us = probe->started_us + probe->plan->hold_us;
}

static void on_deadline(void *ctx)
{
    struct probe *probe = ctx;

    if (probe->state == PROBE_SETTLING)
        finish(probe, OUTCOME_OK, 0); /* nothing came: the server does not complain */
    else if (is_worth_holding(probe))
        hold(probe);
    else
        finish(probe, OUTCOME_TIMEOUT, 0);
}

static enum step fail(struct probe *probe, enum proto_outcome outcome, int error)
{
    probe->outcome = outcome;
    probe->error = error;
    return STEP_FAIL;
}

static enum step fail_errno(struct probe *probe, int error)
{
    return fail(probe, outcome_of_error(error), error);
}

static enum step fail_tls(struct probe *probe)
{
    char detail[PROTO_TEXT_MAX + 1];
    int error;
    enum proto_outcome outcome = tls_failure(probe->session, &error, detail, sizeof(detail));

    if (outcome == OUTCOME_RESET)
        return error ? fail_errno(probe, error) : fail(probe, OUTCOME_CLOSED, 0);
    if (outcome == OUTCOME_TLS_CLIENT_CERT)
        probe->phase = PHASE_TLS; /* the handshake's verdict, however late */
    exchange_fail(&probe->exchange, outcome, "%s", detail);
    return fail(probe, outcome, 0);
}

/* ---- reading and writing, plain or TLS ---- */

static enum step map_tls(struct probe *probe, enum tls_result result)
{
    switch (result) {
    case TLS_OK:
        return STEP_DONE;
    case TLS_WANT_READ:
        return STEP_WANT_READ;
    case TLS_WANT_WRITE:
        return STEP_WANT_WRITE;
    case TLS_END:
        return fail(probe, OUTCOME_CLOSED, 0);
    case TLS_FAILED:
        break;
    }
    return fail_tls(probe);
}

/* STEP_DONE with `*ret_length` 0: the peer closed. */
static enum step read_some(struct probe *probe, char *data, size_t size, size_t *ret_length)
{
    ssize_t n;

    *ret_length = 0;
    if (probe->session) {
        enum tls_result result = tls_read(probe->session, data, size, ret_length);
        return result == TLS_END ? STEP_DONE : map_tls(probe, result);
    }
    n = recv(probe->source.fd, data, size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return STEP_WANT_READ;
    if (n < 0)
        return fail_errno(probe, errno);
    *ret_length = (size_t)n;
    return STEP_DONE;
}

static enum step write_some(struct probe *probe, const char *data, size_t size, size_t *ret_length)
{
    ssize_t n;

    *ret_length = 0;
    if (probe->session)
        return map_tls(probe, tls_write(probe->session, data, size, ret_length));
    n = send(probe->source.fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return STEP_WANT_WRITE;
    if (n < 0)
        return fail_errno(probe, errno);
    *ret_length = (size_t)n;
    return STEP_DONE;
}

/* ---- the steps ---- */

static enum step step_connect(struct probe *probe)
{
    /* Writable, and no error announced: that is a connection, there is nothing to ask. */
    int error = probe->has_error ? kernel_take_error(probe->source.fd) : 0;

    read_local(probe);
    return error ? fail_errno(probe, error) : STEP_DONE;
}

static enum step step_handshake(struct probe *probe)
{
    const char *words;
    enum proto_outcome outcome;
    enum step step = map_tls(probe, tls_handshake(probe->session));

    if (step != STEP_DONE)
        return step;
    probe->tls_facts = tls_take_facts(probe->session);
    outcome = tls_judge(probe->tls_facts->verify, &words);
    if (outcome == OUTCOME_OK || probe->plan->is_unverified)
        return STEP_DONE;
    /* The other outcomes say it all. */
    exchange_fail(&probe->exchange, outcome, "%s", outcome == OUTCOME_TLS_UNTRUSTED ? words : "");
    return fail(probe, outcome, 0);
}

static enum step step_settle(struct probe *probe)
{
    char data[READ_CHUNK];
    size_t length;
    enum step step = read_some(probe, data, sizeof(data), &length);

    if (step == STEP_WANT_READ && !tls_is_unsettled(probe->session))
        return STEP_DONE;
    return step;
}

static enum step send_output(struct probe *probe)
{
    struct exchange *exchange = &probe->exchange;

    while (exchange->out_length) {
        size_t sent;
        enum step step = write_some(probe, exchange->out, exchange->out_length, &sent);
        if (step != STEP_DONE)
            return step;
        exchange->out += sent;
        exchange->out_length -= sent;
        probe->bytes_out += sent;
    }
    return STEP_DONE;
}

/* CHECK_MORE becomes a failure once the probe has read all that it may. */
static enum check_result cut_if_too_long(struct probe *probe, enum check_result result)
{
    const struct check_plan *plan = &probe->plan->exchange;
    uint64_t limit = plan->rate_bytes ? plan->rate_bytes + HTTP_HEAD_MAX : BUDGET_READ;

    if (result != CHECK_MORE || probe->bytes_in < limit)
        return result;
    probe->was_cut = true;
    return exchange_fail(&probe->exchange, *plan->match ? OUTCOME_BAD_CONTENT : OUTCOME_BAD_REPLY,
                         "no end within %llu bytes", (unsigned long long)limit);
}

static enum check_result take_input(struct probe *probe, const char *data, size_t length)
{
    struct exchange *exchange = &probe->exchange;
    bool is_end = length == 0 && !is_datagram(probe);
    enum check_result result =
        is_end ? exchange_end(exchange) : exchange_feed(exchange, data, length);

    if (length && !probe->first_byte_us)
        probe->first_byte_us = clock_mono_us();
    probe->bytes_in += length;
    return length ? cut_if_too_long(probe, result) : result;
}

static enum step step_exchange(struct probe *probe)
{
    char data[READ_CHUNK];

    for (;;) {
        size_t length;
        enum check_result result;
        bool has_sent = probe->exchange.out_length > 0;
        enum step step = send_output(probe);
        /* The answer takes a round trip: asking at once would be a system call for nothing. */
        if (step == STEP_DONE && has_sent && !probe->session)
            return STEP_WANT_READ;
        if (step == STEP_DONE)
            step = read_some(probe, data, sizeof(data), &length);
        if (step != STEP_DONE)
            return step;
        if (is_datagram(probe) && probe->phase == PHASE_CONNECT) {
            end_phase(probe);
            probe->phase = PHASE_EXCHANGE;
        }
        result = take_input(probe, data, length);
        if (result == CHECK_FAILED)
            return fail(probe, probe->exchange.outcome, 0);
        if (result == CHECK_PASSED) {
            note_rate(probe);
            send_output(probe); /* a farewell: as much as goes */
            return STEP_DONE;
        }
    }
}

static enum step step(struct probe *probe)
{
    switch (probe->state) {
    case PROBE_CONNECTING:
        return step_connect(probe);
    case PROBE_HANDSHAKING:
        return step_handshake(probe);
    case PROBE_SETTLING:
        return step_settle(probe);
    case PROBE_EXCHANGING:
        return step_exchange(probe);
    case PROBE_IDLE:
    case PROBE_FINISHED:
        break;
    }
    assert(!"a probe that is not under way has no step");
    return STEP_FAIL;
}

/* ---- from state to state ---- */

static bool enter_tls(struct probe *probe)
{
    const struct probe_plan *plan = probe->plan;

    probe->phase = PHASE_TLS;
    probe->state = PROBE_HANDSHAKING;
    probe->session = tls_open(plan->tls, probe->source.fd, plan->server, plan->alpn);
    return probe->session;
}

static void enter_settling(struct probe *probe)
{
    uint64_t ms = tls_was_asked(probe->session) ? PROBE_SETTLE_ASKED_MS : PROBE_SETTLE_MS;
    uint64_t at = clock_mono_us() + ms * 1000;

    probe->state = PROBE_SETTLING;
    loop_timer_at(probe->loop, &probe->deadline, at < probe->ends_us ? at : probe->ends_us);
}

static void enter_exchange(struct probe *probe)
{
    /* Datagrams have no handshake: until one comes back, nothing shows that the path is open. */
    if (!is_datagram(probe))
        probe->phase = PHASE_EXCHANGE;
    probe->state = PROBE_EXCHANGING;
    exchange_begin(&probe->exchange, probe->plan->check, &probe->plan->exchange);
}

/* False: that was all, or it cannot go on; the probe is finished, and may be gone. */
static bool enter_next(struct probe *probe)
{
    bool is_connected = probe->state == PROBE_CONNECTING;

    if (is_connected && !is_datagram(probe) && (probe->plan->tls || probe->plan->check->feed)) {
        end_phase(probe);
        /* From here on an ICMP error is what it is to the app: a hint, no end. */
        kernel_ignore_errors(probe->source.fd, probe->remote.any.sa_family);
    }
    if (is_connected && probe->plan->tls) {
        if (enter_tls(probe))
            return true;
        finish(probe, OUTCOME_LOCAL_ERROR, ENOMEM);
        return false;
    }
    if (probe->state == PROBE_HANDSHAKING && probe->plan->check->feed)
        end_phase(probe);
    if (probe->state != PROBE_EXCHANGING && probe->plan->check->feed) {
        enter_exchange(probe);
        return true;
    }
    if (probe->state == PROBE_HANDSHAKING) {
        enter_settling(probe);
        return true;
    }
    finish(probe, OUTCOME_OK, 0); /* `probe` may be gone */
    return false;
}

/* Runs steps until one has to wait or the probe is over. */
static void drive(struct probe *probe)
{
    do {
        switch (step(probe)) {
        case STEP_WANT_READ:
            loop_modify(probe->loop, &probe->source, EPOLLIN);
            return;
        case STEP_WANT_WRITE:
            loop_modify(probe->loop, &probe->source, EPOLLOUT);
            return;
        case STEP_FAIL:
            finish(probe, probe->outcome, probe->error);
            return;
        case STEP_DONE:
            break;
        }
    } while (enter_next(probe));
}

static void on_ready(void *ctx, uint32_t events)
{
    struct probe *probe = ctx;

    probe->has_error = events & (EPOLLERR | EPOLLHUP);
    drive(probe);
}

void probe_start(struct probe *probe)
{
    int family = probe->remote.any.sa_family;
    socklen_t length = family == AF_INET ? sizeof(probe->remote.v4) : sizeof(probe->remote.v6);
    int kind = is_datagram(probe) ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    for (int i = 0; i < PHASE_COUNT; i++)
        probe->phase_us[i] = -1;
    probe->state = PROBE_CONNECTING;
    probe->phase = PHASE_CONNECT;
    probe->entered_us = clock_mono_us();
    probe->started_us = probe->entered_us;
    probe->ends_us = probe->entered_us + probe->plan->timeout_us;
    probe->source.fd = fd;
    probe->deadline.fn = on_deadline;
    probe->deadline.ctx = probe;
    if (fd < 0) {
        finish(probe, OUTCOME_LOCAL_ERROR, errno);
        return;
    }
    kernel_keep_errors(fd, family);
    if (connect(fd, &probe->remote.any, length) < 0 && errno != EINPROGRESS) {
        finish(probe, outcome_of_instant_error(errno), errno);
        return;
    }
    if (loop_add(probe->loop, &probe->source, fd, EPOLLOUT, on_ready, probe) < 0) {
        finish(probe, OUTCOME_LOCAL_ERROR, errno);
        return;
    }
    loop_timer_at(probe->loop, &probe->deadline, probe->ends_us);
}
