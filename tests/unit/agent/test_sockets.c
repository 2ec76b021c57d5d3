/* The kernel's sockets and counters, read from this very process' own; and their texts, parsed. */
#include "agent/netstat.h"
#include "agent/sockets.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct seen {
    uint16_t port;
    struct sockets_entry listener;
    size_t listeners, established;
};

static void see(void *ctx, const struct sockets_entry *entry)
{
    struct seen *seen = ctx;

    if (entry->state == KERNEL_LISTEN && kernel_address_port(&entry->local) == seen->port) {
        seen->listener = *entry;
        seen->listeners++;
    }
    seen->established +=
        entry->state == KERNEL_ESTABLISHED && kernel_address_port(&entry->local) == seen->port;
}

/* A listener of backlog 7, with two connections that nobody accepts. */
static int listen_on_loopback(int family, uint16_t *ret_port, int clients[2])
{
    union kernel_address address = {.any.sa_family = (sa_family_t)family};
    socklen_t length = family == AF_INET ? sizeof(address.v4) : sizeof(address.v6);
    int fd = socket(family, SOCK_STREAM, 0);

    if (family == AF_INET)
        address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        address.v6.sin6_addr = in6addr_loopback;
    if (fd < 0 || bind(fd, &address.any, length) < 0)
        return -1;
    assert_int_equal(listen(fd, 7), 0);
    assert_int_equal(getsockname(fd, &address.any, &length), 0);
    *ret_port = kernel_address_port(&address);
    for (int i = 0; i < 2; i++) {
        clients[i] = socket(family, SOCK_STREAM, 0);
        assert_int_equal(connect(clients[i], &address.any, length), 0);
    }
    return fd;
}

static void check_source(int family, bool force_proc)
{
    struct sockets *sockets = sockets_open(force_proc);
    struct seen seen = {0};
    int clients[2], fd = listen_on_loopback(family, &seen.port, clients);
    char text[KERNEL_TEXT_MAX];

    if (fd < 0) {
        sockets_close(sockets); /* no IPv6 here */
        return;
    }
    assert_int_equal(sockets_each(sockets, 1U << KERNEL_LISTEN | 1U << KERNEL_ESTABLISHED,
                                  seen.port, see, &seen),
                     0);
    assert_string_equal(sockets_source(sockets), force_proc ? "proc" : "sock_diag");
    assert_int_equal(seen.listeners, 1);
    assert_int_equal(seen.established, 2); /* complete, though not accepted */
    assert_int_equal(seen.listener.queue, 2);
    assert_int_equal(seen.listener.backlog, force_proc ? SOCKETS_NO_BACKLOG : 7);
    kernel_address_text(&seen.listener.local, text);
    assert_string_equal(text, family == AF_INET ? "127.0.0.1" : "::1");
    close(clients[0]);
    close(clients[1]);
    close(fd);
    sockets_close(sockets);
}

static void test_sock_diag(void **state)
{
    (void)state;
    check_source(AF_INET, false);
    check_source(AF_INET6, false);
}

static void test_proc(void **state)
{
    (void)state;
    check_source(AF_INET, true);
    check_source(AF_INET6, true);
}

static void test_lines(void **state)
{
    struct sockets_entry entry;
    char text[KERNEL_TEXT_MAX];

    (void)state;
    assert_true(sockets_parse_line("   1: 0B104D0A:1F90 0A104D0A:DB08 03 00000000:00000000 "
                                   "01:0000011F 00000002 65534 0 0 0 00000000e181619d",
                                   &entry));
    assert_int_equal(entry.state, KERNEL_HALF_OPEN);
    kernel_endpoint_text(&entry.local, text);
    assert_string_equal(text, "10.77.16.11:8080");
    kernel_endpoint_text(&entry.remote, text);
    assert_string_equal(text, "10.77.16.10:56072");
    /* An IPv4 peer of an IPv6 socket is the same peer. */
    assert_true(sockets_parse_line("  0: 0000000000000000FFFF00000B104D0A:1F90 "
                                   "0000000000000000FFFF00000A104D0A:DB08 01 00000000:00000003",
                                   &entry));
    kernel_endpoint_text(&entry.remote, text);
    assert_string_equal(text, "10.77.16.10:56072");
    assert_int_equal(entry.queue, 3);
    assert_false(sockets_parse_line("  sl  local_address rem_address   st tx_queue", &entry));
    assert_false(sockets_parse_line("", &entry));
    assert_false(sockets_parse_line("  0: 0B104D:1F90 0A104D0A:DB08 03 0:0", &entry));
}

static void test_counters(void **state)
{
    struct netstat netstat = {0};

    (void)state;
    netstat_parse(&netstat, "Ip: Forwarding OutRsts\nIp: 1 99\n"
                            "Tcp: RtoAlgorithm PassiveOpens RetransSegs OutRsts\nTcp: 1 2 3 4\n"
                            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 5 6 7\n");
    assert_int_equal(netstat.values[NETSTAT_PASSIVE_OPENS], 2);
    assert_int_equal(netstat.values[NETSTAT_RETRANS_SEGS], 3);
    assert_int_equal(netstat.values[NETSTAT_OUT_RSTS], 4);
    assert_int_equal(netstat.values[NETSTAT_SYNCOOKIES_SENT], 5);
    assert_int_equal(netstat.values[NETSTAT_LISTEN_OVERFLOWS], 6);
    assert_int_equal(netstat.values[NETSTAT_LISTEN_DROPS], 7);
    netstat_parse(&netstat, "Tcp: OutRsts RetransSegs\nTcp: 9"); /* cut short */
    assert_int_equal(netstat.values[NETSTAT_OUT_RSTS], 9);
    assert_int_equal(netstat.values[NETSTAT_RETRANS_SEGS], 3);
}

/* What a close with RST adds to the namespace's counter is known, and so can be taken off. */
static void test_own_resets_are_known(void **state)
{
    int clients[2], fd;
    uint16_t port;
    uint64_t own = kernel_resets();
    struct netstat before, after;

    (void)state;
    fd = listen_on_loopback(AF_INET, &port, clients);
    netstat_read(&before);
    for (int i = 0; i < 2; i++) {
        struct kernel_facts facts = {0};
        kernel_read_tcp(clients[i], &facts);
        assert_int_equal(facts.state, KERNEL_ESTABLISHED);
        kernel_reset(clients[i], facts.state);
    }
    netstat_read(&after);
    assert_int_equal(kernel_resets() - own, 2);
    assert_true(after.values[NETSTAT_OUT_RSTS] - before.values[NETSTAT_OUT_RSTS] >= 2);
    close(fd);
}

static void test_endpoints_as_text(void **state)
{
    static const char *const good[] = {"10.0.0.1:80", "[fd00::1]:443", "127.0.0.1:65535"};
    static const char *const bad[] = {"",
                                      "10.0.0.1",
                                      "10.0.0.1:",
                                      "10.0.0.1:0",
                                      "10.0.0.1:x",
                                      "10.0.0:80",
                                      ":80",
                                      "[fd00::1:80",
                                      "[]:80",
                                      "fd00::1]:80",
                                      "a.b:80",
                                      "10.0.0.1:65536",
                                      "[10.0.0.1]:80",
                                      "10.0.0.1:80 "};
    union kernel_address address;
    char text[KERNEL_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_true(kernel_parse_endpoint(good[i], &address));
        kernel_endpoint_text(&address, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(kernel_parse_endpoint(bad[i], &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sock_diag),
        cmocka_unit_test(test_proc),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_own_resets_are_known),
        cmocka_unit_test(test_endpoints_as_text),
    };
    return RUN_TESTS(tests);
}
