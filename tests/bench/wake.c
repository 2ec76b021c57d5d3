/* wake: how long a run takes to reach all waiting agents.
 *
 * N agents (NNG request sockets in this process) wait with a pull at a real collector; then a run
 * is started over HTTP, and the clock stops when the last of them has its assignment. The limit,
 * measured in the same run: a bare NNG socket in raw mode that holds the same N requests and
 * answers them all with a message of the same size, no decoding, planning or storing.
 *
 *   wake COLLECTOR-BINARY [AGENTS]      prints: name value unit ratio goal ok|short, tab-separated
 */
#include "common/clock.h"
#include "common/mem.h"
#include "proto/proto.h"

#include <curl/curl.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVICES 400 /* of five tasks: each finds a column that its limits leave free */
#define GOAL_MS  100.0
#define WAIT_MS  30000
#define ROUNDS   5

struct client {
    nng_socket socket;
    nng_aio *aio;
};

static struct client *clients;
static size_t client_count = 2000;
static char folder[64], agents_url[96], raw_url[96];
static atomic_size_t answered;
static atomic_size_t answer_bytes;
static _Atomic uint64_t last_us;
static int epoch;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "wake: %s: %s\n", what, why);
    exit(1);
}

/* The pull's answer, on an NNG thread. */
static void on_answer(void *ctx)
{
    struct client *client = ctx;

    if (nng_aio_result(client->aio) != 0)
        return;
    atomic_store(&answer_bytes, nng_msg_len(nng_aio_get_msg(client->aio)));
    nng_msg_free(nng_aio_get_msg(client->aio));
    atomic_store(&last_us, clock_mono_us());
    atomic_fetch_add(&answered, 1);
}

static void send_text(const struct client *client, const char *text)
{
    int r = nng_send(client->socket, (void *)(uintptr_t)text, strlen(text), 0);

    if (r != 0)
        fail("send", nng_strerror(r));
}

static void dial_all(const char *url)
{
    for (size_t i = 0; i < client_count; i++) {
        int r = nng_req0_open(&clients[i].socket);
        if (r == 0)
            r = nng_socket_set_ms(clients[i].socket, NNG_OPT_REQ_RESENDTIME, 600000);
        for (int tries = 0; r == 0 && (r = nng_dial(clients[i].socket, url, NULL, 0)) != 0; r = 0)
            if (tries++ == 200)
                fail(url, nng_strerror(r));
            else
                usleep(10000);
        if (r != 0 || nng_aio_alloc(&clients[i].aio, on_answer, &clients[i]) != 0)
            fail("client", nng_strerror(r));
    }
}

static void close_all(void)
{
    for (size_t i = 0; i < client_count; i++) {
        nng_aio_free(clients[i].aio);
        nng_close(clients[i].socket);
    }
}

static void say_hello_all(void)
{
    for (size_t i = 0; i < client_count; i++) {
        char text[512], *answer;
        size_t size;
        snprintf(
            text, sizeof(text),
            "{\"v\":1,\"type\":\"hello\",\"cluster\":\"\",\"service\":\"s%zu\",\"task\":\"t%zu\","
            "\"instance\":\"i%zu\",\"version\":\"0\",\"zone\":\"\",\"mode\":\"\",\"addresses\":[],"
            "\"resolvers\":[],\"checks\":[\"tcp\"]}",
            i % SERVICES, i, i);
        send_text(&clients[i], text);
        if (nng_recv(clients[i].socket, &answer, &size, NNG_FLAG_ALLOC) != 0)
            fail("hello", "no answer");
        nng_free(answer, size);
    }
}

/* Every client asks and waits; returns when all requests are on their way. */
static void pull_all(void)
{
    epoch++;
    for (size_t i = 0; i < client_count; i++) {
        char text[128];
        snprintf(text, sizeof(text),
                 "{\"v\":1,\"type\":\"pull\",\"instance\":\"i%zu\",\"epoch\":%d,\"got\":[]}", i,
                 epoch);
        send_text(&clients[i], text);
        nng_recv_aio(clients[i].socket, clients[i].aio);
    }
    usleep(500000);
    atomic_store(&answered, 0);
}

static double wait_for_all(uint64_t start_us)
{
    while (atomic_load(&answered) < client_count) {
        if (clock_mono_us() - start_us > WAIT_MS * 1000ULL)
            fail("answers", "not all agents were reached");
        usleep(200);
    }
    return (double)(atomic_load(&last_us) - start_us) / 1000;
}

static size_t ignore(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    (void)ctx;
    return size * count;
}

/* Starts a run and returns the time until the last agent had its assignment. */
static double wake_round(CURL *curl)
{
    uint64_t start_us;

    pull_all();
    start_us = clock_mono_us();
    if (curl_easy_perform(curl) != CURLE_OK)
        fail("POST /api/v1/runs", "no answer");
    return wait_for_all(start_us);
}

static double raw_round(nng_socket server)
{
    nng_msg **held = mem_array(client_count, sizeof(nng_msg *));
    char *text = mem_alloc(atomic_load(&answer_bytes));
    uint64_t start_us;
    double ms;

    pull_all();
    for (size_t i = 0; i < client_count; i++)
        if (nng_recvmsg(server, &held[i], 0) != 0)
            fail("raw", "no request");
    start_us = clock_mono_us();
    for (size_t i = 0; i < client_count; i++) {
        nng_msg_clear(held[i]);
        nng_msg_append(held[i], text, atomic_load(&answer_bytes));
        nng_sendmsg(server, held[i], 0);
    }
    ms = wait_for_all(start_us);
    mem_free(held);
    mem_free(text);
    return ms;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), by_value);
    return values[ROUNDS / 2];
}

static pid_t start_collector(const char *binary)
{
    char fleet[96], store[96], http[96];
    FILE *file;
    pid_t pid;

    snprintf(fleet, sizeof(fleet), "%s/fleet.yaml", folder);
    snprintf(store, sizeof(store), "%s/db", folder);
    snprintf(http, sizeof(http), "unix:%s/http", folder);
    file = fopen(fleet, "w");
    if (!file)
        fail(fleet, "cannot write");
    fprintf(file, "namespace: x.local\ndefaults: {port: 80}\nservices:\n");
    for (int i = 0; i < SERVICES; i++)
        fprintf(file, "  s%d: {}\n", i);
    fclose(file);
    pid = fork();
    if (pid == 0) {
        execl(binary, binary, "--fleet", fleet, "--store", store, "--listen-agents", agents_url,
              "--listen-http", http, "--sample", "1000", "--log-level", "error", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void measure(const char *binary, double *wake, double *raw)
{
    char path[96];
    pid_t collector = start_collector(binary);
    nng_socket server;
    CURL *curl = curl_easy_init();

    dial_all(agents_url);
    say_hello_all();
    snprintf(path, sizeof(path), "%s/http", folder);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path);
    curl_easy_setopt(curl, CURLOPT_URL, "http://localhost/api/v1/runs");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "{\"deadline\":\"1s\"}");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    for (int i = 0; i < ROUNDS; i++) {
        wake[i] = wake_round(curl);
        usleep(1500000); /* the run ends at its deadline: the next one stands alone */
    }
    close_all();
    kill(collector, SIGKILL);
    waitpid(collector, NULL, 0);
    curl_easy_cleanup(curl);

    if (nng_rep0_open_raw(&server) != 0 || nng_listen(server, raw_url, NULL, 0) != 0)
        fail(raw_url, "cannot listen");
    dial_all(raw_url);
    for (int i = 0; i < ROUNDS; i++)
        raw[i] = raw_round(server);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    double wake[ROUNDS], raw[ROUNDS], value;

    if (argc < 2)
        fail("usage", "wake COLLECTOR-BINARY [AGENTS]");
    if (argc > 2)
        client_count = (size_t)strtoul(argv[2], NULL, 10);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    strcpy(folder, "/tmp/canreach-wake-XXXXXX");
    if (!mkdtemp(folder))
        fail(folder, "cannot make a folder");
    snprintf(agents_url, sizeof(agents_url), "tcp://127.0.0.1:%d", 20000 + getpid() % 20000);
    snprintf(raw_url, sizeof(raw_url), "tcp://127.0.0.1:%d", 20000 + (getpid() + 1) % 20000);
    clients = mem_array(client_count, sizeof(*clients));
    measure(argv[1], wake, raw);
    value = median(wake);
    printf("wake_%zu_agents\t%.1f\tms\t%.2f\t<= %.0f ms\t%s\n", client_count, value,
           value / median(raw), GOAL_MS, value <= GOAL_MS ? "ok" : "short");
    fflush(stdout);
    snprintf(agents_url, sizeof(agents_url), "rm -r '%s'", folder);
    _exit(system(agents_url) == 0
              ? 0
              : 1); /* NNG's teardown of thousands of sockets is not ours to time */
}
