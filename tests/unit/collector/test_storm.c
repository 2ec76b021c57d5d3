/* Reports and new runs at the same time: what was acknowledged as stored is in the store, once. */
#include "tests/unit/collector/wire.h"

#include <stdatomic.h>

#define RUNS     60
#define THREADS  4
#define AGENTS   5 /* of each thread */
#define QUIET_MS 300

static atomic_int stored, posted;
static atomic_bool is_posting;

/* POST /api/v1/runs over the unix socket; true when the run was taken. */
static bool post_run(void)
{
    static const char request[] = "POST /api/v1/runs HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char answer[512] = "";
    ssize_t n;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", http + strlen("unix:"));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
        fail_msg("%s", "no HTTP");
    n = recv(fd, answer, sizeof(answer) - 1, 0);
    close(fd);
    return n > 0 && strstr(answer, " 202 ") != NULL;
}

static void *post_runs(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < RUNS; i++) {
        if (post_run())
            atomic_fetch_add(&posted, 1);
        usleep(1000);
    }
    atomic_store(&is_posting, false);
    return NULL;
}

/* Answers an assignment with one batch that says it is the last. */
static void report(nng_socket client, const char *instance, const struct proto_assignment *work)
{
    CLEANUP_MESSAGE struct proto_message answer;
    CLEANUP_BUF struct buf text = BUF_INIT(PROTO_MESSAGE_MAX);
    struct proto_probe probe = {.target = 0,
                                .name = "a.x",
                                .address = "10.0.0.1",
                                .port = 80,
                                .phase = PHASE_CONNECT,
                                .outcome = OUTCOME_OK,
                                .local = "",
                                .detail = "",
                                .late = ""};
    struct proto_message message = {.type = PROTO_REPORT,
                                    .report = {.instance = instance,
                                               .run = work->run,
                                               .assignment = work->id,
                                               .batch = 1,
                                               .is_last = true,
                                               .probes = &probe,
                                               .probe_count = 1}};

    assert_int_equal(proto_encode(&message, &text), 0);
    ask(client, buf_text(&text), text.length, &answer);
    assert_int_equal(answer.type, PROTO_ACK);
    assert_string_equal(answer.ack.status, "stored");
    atomic_fetch_add(&stored, 1);
}

/* One pull; false when there was nothing to do for a while. */
static bool pull(nng_socket client, const char *instance, int epoch, int64_t *got)
{
    CLEANUP_MESSAGE struct proto_message answer = {0};
    char bytes[256], *data = NULL;
    size_t size;

    snprintf(bytes, sizeof(bytes),
             "{\"v\":1,\"type\":\"pull\",\"instance\":\"%s\",\"epoch\":%d,\"got\":[%lld]}",
             instance, epoch, (long long)*got);
    assert_int_equal(nng_send(client, bytes, strlen(bytes), 0), 0);
    if (nng_recv(client, &data, &size, NNG_FLAG_ALLOC) != 0)
        return false;
    assert_int_equal(proto_decode(data, size, &answer, NULL), 0);
    nng_free(data, size);
    if (answer.type != PROTO_ASSIGNMENT)
        return true;
    *got = answer.assignment.id;
    report(client, instance, &answer.assignment);
    return true;
}

static void *be_agents(void *ctx)
{
    nng_socket clients[AGENTS];
    char instances[AGENTS][16];
    int64_t got[AGENTS] = {0};
    bool is_busy = true;

    for (int i = 0; i < AGENTS; i++) {
        char task[24];
        snprintf(instances[i], sizeof(instances[i]), "%s-%d", (const char *)ctx, i);
        snprintf(task, sizeof(task), "a-%s", instances[i]);
        clients[i] = dial();
        hello_as(clients[i], "a", task, instances[i], true);
        nng_socket_set_ms(clients[i], NNG_OPT_RECVTIMEO, QUIET_MS);
    }
    for (int epoch = 1; is_busy || atomic_load(&is_posting); epoch++) {
        is_busy = false;
        for (int i = 0; i < AGENTS; i++)
            is_busy |= pull(clients[i], instances[i], epoch, &got[i]);
    }
    for (int i = 0; i < AGENTS; i++)
        nng_close(clients[i]);
    return NULL;
}

static void count_batches(void *ctx, const struct store_assignment *assignment)
{
    *(int *)ctx += (int)assignment->batches;
}

static void count_run(void *ctx, const struct store_run *run)
{
    store_each_assignment(store, run->id, count_batches, ctx);
}

static void test_runs_among_reports(void **state)
{
    char names[THREADS][8];
    pthread_t agents[THREADS], poster;
    int batches = 0;

    (void)state;
    atomic_store(&is_posting, true);
    for (int i = 0; i < THREADS; i++) {
        snprintf(names[i], sizeof(names[i]), "t%d", i);
        pthread_create(&agents[i], NULL, be_agents, names[i]);
    }
    usleep(200000);
    pthread_create(&poster, NULL, post_runs, NULL);
    pthread_join(poster, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(agents[i], NULL);
    stop_collector();
    assert_int_equal(store_each_run(store, 0, 1000, false, count_run, &batches), 0);
    assert_true(atomic_load(&posted) > 0);
    assert_true(atomic_load(&stored) > 0);
    assert_int_equal(batches, atomic_load(&stored));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runs_among_reports, set_up, tear_down),
    };
    return RUN_TESTS(tests);
}
