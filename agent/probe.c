#include "agent/probe.h"

#include "common/clock.h"
#include "common/text.h"
#include "proto/status.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define READ_CHUNK 4096

/* What a step of the exchange came to; the driver maps it to interest and the next state. */
enum step { STEP_DONE, STEP_WANT_READ, STEP_WANT_WRITE, STEP_FAIL };

static const char *const check_names[PROBE_CHECK_COUNT] = {"tcp", "http"};

const char *probe_check_name(enum probe_check check)
{
    return check < PROBE_CHECK_COUNT ? check_names[check] : NULL;
}

bool probe_check_from_name(const char *name, enum probe_check *ret_check)
{
    for (size_t i = 0; i < PROBE_CHECK_COUNT; i++)
        if (strcmp(check_names[i], name) == 0) {
            *ret_check = (enum probe_check)i;
            return true;
        }
    return false;
}

static void end_phase(struct probe *probe)
{
    uint64_t now = clock_mono_us();

    probe->phase_us[probe->phase] = (int64_t)(now - probe->entered_us);
    probe->entered_us = now;
}

static void release(struct probe *probe)
{
    loop_timer_stop(probe->loop, &probe->deadline);
    if (probe->source.fd >= 0) {
        loop_remove(probe->loop, &probe->source);
        close(probe->source.fd);
        probe->source.fd = -1;
    }
}

static void finish(struct probe *probe, enum proto_outcome outcome, int error)
{
    if (probe->state == PROBE_FINISHED)
        return;
    end_phase(probe);
    probe->state = PROBE_FINISHED;
    probe->outcome = outcome;
    probe->error = error;
    release(probe);
    probe->fn(probe->ctx, probe);
}

void probe_cancel(struct probe *probe)
{
    if (probe->state == PROBE_IDLE || probe->state == PROBE_FINISHED)
        return;
    probe->state = PROBE_FINISHED;
    release(probe);
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

static void on_deadline(void *ctx)
{
    finish(ctx, OUTCOME_TIMEOUT, 0);
}

static enum step fail(struct probe *probe, enum proto_outcome outcome, int error)
{
    probe->outcome = outcome;
    probe->error = error;
    return STEP_FAIL;
}

static enum step step_connect(struct probe *probe)
{
    socklen_t length = sizeof(probe->error);
    int error = 0;

    getsockopt(probe->source.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error)
        return fail(probe, outcome_of_error(error), error);
    end_phase(probe);
    return STEP_DONE;
}

static enum step step_send(struct probe *probe)
{
    const struct probe_plan *plan = probe->plan;

    while (probe->sent < plan->request_length) {
        ssize_t n = send(probe->source.fd, plan->request + probe->sent,
                         plan->request_length - probe->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return STEP_WANT_WRITE;
        if (n < 0)
            return fail(probe, outcome_of_error(errno), errno);
        probe->sent += (size_t)n;
    }
    return STEP_DONE;
}

static enum step step_receive(struct probe *probe)
{
    char data[READ_CHUNK];

    for (;;) {
        size_t used;
        ssize_t n = recv(probe->source.fd, data, sizeof(data), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return STEP_WANT_READ;
        if (n < 0)
            return fail(probe, outcome_of_error(errno), errno);
        if (n == 0)
            return fail(probe, probe->answer.head ? OUTCOME_BAD_REPLY : OUTCOME_CLOSED, 0);
        switch (http_feed(&probe->answer, data, (size_t)n, &used)) {
        case HTTP_MORE:
            continue;
        case HTTP_BAD:
            return fail(probe, OUTCOME_BAD_REPLY, 0);
        case HTTP_DONE:
            if (!status_set_contains(probe->plan->status, probe->answer.status))
                return fail(probe, OUTCOME_BAD_STATUS, 0);
            return STEP_DONE;
        }
    }
}

static enum step step(struct probe *probe)
{
    switch (probe->state) {
    case PROBE_CONNECTING:
        return step_connect(probe);
    case PROBE_SENDING:
        return step_send(probe);
    case PROBE_RECEIVING:
        return step_receive(probe);
    case PROBE_IDLE:
    case PROBE_FINISHED:
        break;
    }
    assert(!"a probe that is not under way has no step");
    return STEP_FAIL;
}

static enum probe_state next_state(const struct probe *probe)
{
    if (probe->state == PROBE_CONNECTING && probe->plan->check == PROBE_HTTP)
        return PROBE_SENDING;
    if (probe->state == PROBE_SENDING)
        return PROBE_RECEIVING;
    return PROBE_FINISHED;
}

/* Runs steps until one has to wait or the probe is over. */
static void drive(struct probe *probe)
{
    for (;;) {
        enum probe_state next;
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
        next = next_state(probe);
        if (next == PROBE_FINISHED) {
            finish(probe, OUTCOME_OK, 0);
            return;
        }
        if (next == PROBE_SENDING)
            probe->phase = PHASE_EXCHANGE;
        probe->state = next;
    }
}

static void on_ready(void *ctx, uint32_t events)
{
    struct probe *probe = ctx;
    socklen_t length = sizeof(probe->local);

    (void)events;
    if (!probe->local.any.sa_family)
        getsockname(probe->source.fd, &probe->local.any, &length);
    drive(probe);
}

void probe_start(struct probe *probe)
{
    socklen_t length = probe->remote.any.sa_family == AF_INET ? sizeof(probe->remote.v4)
                                                              : sizeof(probe->remote.v6);
    int fd = socket(probe->remote.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    for (int i = 0; i < PHASE_COUNT; i++)
        probe->phase_us[i] = -1;
    probe->state = PROBE_CONNECTING;
    probe->phase = PHASE_CONNECT;
    probe->entered_us = clock_mono_us();
    probe->source.fd = fd;
    probe->deadline.fn = on_deadline;
    probe->deadline.ctx = probe;
    if (fd < 0) {
        finish(probe, OUTCOME_LOCAL_ERROR, errno);
        return;
    }
    if (connect(fd, &probe->remote.any, length) < 0 && errno != EINPROGRESS) {
        finish(probe, outcome_of_instant_error(errno), errno);
        return;
    }
    if (loop_add(probe->loop, &probe->source, fd, EPOLLOUT, on_ready, probe) < 0) {
        finish(probe, OUTCOME_LOCAL_ERROR, errno);
        return;
    }
    loop_timer_at(probe->loop, &probe->deadline, probe->entered_us + probe->plan->timeout_us);
}
