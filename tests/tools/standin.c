/* standin: a collector's place at the other end of an agent's link, for tests and benchmarks.
 *
 *   standin URL
 *
 * Answers hello with welcome, report, witness and watching with ack, leaving with idle; prints
 * every message that comes, a line each, behind the microseconds of the monotonic clock. Each line
 * of its input is a message that answers the newest pull, again and again if need be: an honest
 * assignment, or what a hostile collector would send. Ends with its input.
 */
#include "common/clock.h"
#include "proto/proto.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (4 * 1024 * 1024)

static nng_socket sock;
static char pull_header[256];
static size_t pull_length;

static void fail(const char *what, int r)
{
    fprintf(stderr, "standin: %s: %s\n", what, nng_strerror(r));
    exit(1);
}

static void answer(const char *header, size_t header_length, const char *text, size_t length)
{
    nng_msg *message;
    int r;

    if (nng_msg_alloc(&message, 0) != 0 || nng_msg_append(message, text, length) != 0 ||
        nng_msg_header_append(message, header, header_length) != 0)
        exit(1);
    while ((r = nng_sendmsg(sock, message, NNG_FLAG_NONBLOCK)) == NNG_EAGAIN)
        usleep(100);
    if (r != 0)
        fail("send", r);
}

static void answer_message(const char *header, size_t header_length,
                           const struct proto_message *message)
{
    CLEANUP_BUF struct buf text = BUF_INIT(PROTO_MESSAGE_MAX);

    proto_encode(message, &text);
    answer(header, header_length, buf_text(&text), text.length);
}

static void take(const char *header, size_t header_length, const char *data, size_t length)
{
    CLEANUP_MESSAGE struct proto_message message;
    struct proto_message reply = {.type = PROTO_IDLE};
    struct error err;

    printf("%llu %.*s\n", (unsigned long long)clock_mono_us(), (int)length, data);
    fflush(stdout);
    if (proto_decode(data, length, &message, &err) < 0) {
        fprintf(stderr, "standin: %s\n", err.text);
        return;
    }
    if (message.type == PROTO_PULL && header_length <= sizeof(pull_header)) {
        memcpy(pull_header, header, header_length);
        pull_length = header_length;
        return;
    }
    if (message.type == PROTO_HELLO) {
        reply.type = PROTO_WELCOME;
        reply.welcome = (struct proto_welcome){.version = "0", .fleet = "standin", .known = true};
    } else if (message.type == PROTO_REPORT) {
        reply.type = PROTO_ACK;
        reply.ack = (struct proto_ack){.assignment = message.report.assignment,
                                       .batch = message.report.batch,
                                       .status = "stored"};
    } else if (message.type == PROTO_WITNESS) {
        reply.type = PROTO_ACK;
        reply.ack = (struct proto_ack){.assignment = message.witness.assignment,
                                       .batch = message.witness.batch,
                                       .status = "stored"};
    } else if (message.type == PROTO_WATCHING) {
        reply.type = PROTO_ACK;
        reply.ack = (struct proto_ack){.assignment = message.watching.watch, .status = "watching"};
    }
    answer_message(header, header_length, &reply);
}

static void receive_all(void)
{
    nng_msg *message;

    while (nng_recvmsg(sock, &message, NNG_FLAG_NONBLOCK) == 0) {
        take(nng_msg_header(message), nng_msg_header_len(message), nng_msg_body(message),
             nng_msg_len(message));
        nng_msg_free(message);
    }
}

/* False at the end of the input. A line waits in `line` until there is a pull to answer. */
static bool send_line(char *line)
{
    size_t length;

    if (!fgets(line, LINE_MAX_BYTES, stdin))
        return false;
    length = strcspn(line, "\n");
    answer(pull_header, pull_length, line, length);
    return true;
}

int main(int argc, char **argv)
{
    char *line = malloc(LINE_MAX_BYTES);
    struct pollfd wait[2] = {{.events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    bool is_open = true;
    int r;

    if (argc != 2 || !line) {
        fprintf(stderr, "usage: standin URL\n");
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0);
    r = nng_rep0_open_raw(&sock);
    if (r != 0)
        fail("open", r);
    nng_socket_set_size(sock, NNG_OPT_RECVMAXSZ, PROTO_WIRE_MAX);
    nng_socket_set_int(sock, NNG_OPT_SENDBUF, 1024);
    nng_socket_set_int(sock, NNG_OPT_RECVBUF, 1024);
    nng_socket_get_int(sock, NNG_OPT_RECVFD, &wait[0].fd);
    r = nng_listen(sock, argv[1], NULL, 0);
    if (r != 0)
        fail(argv[1], r);
    while (is_open) {
        /* Without a pull to answer, the input waits. */
        if (poll(wait, pull_length ? 2 : 1, -1) < 0)
            break;
        receive_all();
        if (pull_length && wait[1].revents)
            is_open = send_line(line);
    }
    free(line);
    alarm(3); /* nng_close can wait for ever (1.5.2) */
    nng_close(sock);
    return 0;
}
