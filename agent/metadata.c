#include "agent/metadata.h"

#include "agent/http.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 16

struct metadata_request {
    struct loop *loop;
    metadata_fn fn;
    void *ctx;
    struct loop_fd source;
    struct loop_timer deadline;
    struct buf request, answer;
    size_t sent;
};

static int parse_url(const char *url, struct sockaddr_in *address, char *path, size_t size)
{
    char host[64];
    int port = 80, used = 0;

    if (sscanf(url, "http://%63[0-9.]%n", host, &used) != 1)
        return -EINVAL;
    if (url[used] == ':') {
        port = (int)strtol(url + used + 1, NULL, 10);
        used += 1 + (int)strspn(url + used + 1, "0123456789");
    }
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (port < 1 || port > 65535 || inet_pton(AF_INET, host, &address->sin_addr) != 1)
        return -EINVAL;
    return snprintf(path, size, "%s/task", url + used) < (int)size ? 0 : -EINVAL;
}

/* Starts to connect; writes the request. A descriptor or a negative errno. */
static int begin(const char *url, struct buf *request)
{
    struct sockaddr_in address;
    char path[1024], host[INET_ADDRSTRLEN];
    int fd, r = parse_url(url, &address, path, sizeof(path));

    if (r < 0)
        return r;
    inet_ntop(AF_INET, &address.sin_addr, host, sizeof(host));
    /* HTTP/1.0: the answer ends with the connection, and never comes in chunks. */
    buf_printf(request, "GET %s HTTP/1.0\r\nHost: %s:%u\r\nAccept: application/json\r\n\r\n", path,
               host, ntohs(address.sin_port));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
        errno != EINPROGRESS) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* One turn of the exchange: 1 there is more to come, 0 the answer is complete, or a negative errno.
 */
static int go_on(int fd, const struct buf *request, size_t *sent, struct buf *answer)
{
    char data[4096];
    ssize_t n;

    while (*sent < request->length) {
        n = send(fd, request->data + *sent, request->length - *sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? 1 : -errno;
        *sent += (size_t)n;
    }
    while ((n = recv(fd, data, sizeof(data), 0)) > 0)
        buf_append(answer, data, (size_t)n);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    return buf_is_full(answer) ? -EMSGSIZE : 0;
}

/* The body of a good answer, in place of the whole. */
static int take_body(struct buf *answer, int *ret_status)
{
    struct http_answer head = {0};
    size_t used = 0;

    if (http_feed(&head, buf_text(answer), answer->length, &used) != HTTP_DONE ||
        head.status != 200) {
        *ret_status = head.status;
        return -EINVAL;
    }
    memmove(answer->data, answer->data + used, answer->length - used);
    buf_truncate(answer, answer->length - used);
    return 0;
}

static bool wait_for(int fd, short events, uint64_t deadline_us)
{
    struct pollfd entry = {.fd = fd, .events = events};
    uint64_t now = clock_mono_us();

    return now < deadline_us && poll(&entry, 1, (int)((deadline_us - now) / 1000) + 1) > 0;
}

int metadata_fetch(const char *url, struct buf *ret_document, struct error *err)
{
    uint64_t deadline_us = clock_mono_us() + METADATA_MS * 1000;
    CLEANUP_BUF struct buf request = BUF_INIT(2048);
    size_t sent = 0;
    int fd = begin(url, &request), r = fd < 0 ? fd : 1, status = 0;

    while (r > 0) {
        short events = sent < request.length ? POLLOUT : POLLIN;
        r = wait_for(fd, events, deadline_us) ? go_on(fd, &request, &sent, ret_document)
                                              : -ETIMEDOUT;
    }
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return error_set(err, r, "cannot read %.200s/task: %s", url, strerror(-r));
    r = take_body(ret_document, &status);
    return r < 0 ? error_set(err, r, "%.200s/task answered with status %d", url, status) : 0;
}

/* ---- from the loop ---- */

static void finish(struct metadata_request *request, bool is_good)
{
    int status;

    loop_timer_stop(request->loop, &request->deadline);
    if (request->source.fd >= 0) {
        loop_remove(request->loop, &request->source);
        close(request->source.fd);
        request->source.fd = -1;
    }
    is_good = is_good && take_body(&request->answer, &status) == 0;
    request->fn(request->ctx, is_good ? &request->answer : NULL); /* may free the request */
}

static void on_ready(void *ctx, uint32_t events)
{
    struct metadata_request *request = ctx;
    int r = go_on(request->source.fd, &request->request, &request->sent, &request->answer);

    (void)events;
    if (r > 0)
        loop_modify(request->loop, &request->source,
                    request->sent < request->request.length ? EPOLLOUT : EPOLLIN);
    else
        finish(request, r == 0);
}

static void on_deadline(void *ctx)
{
    finish(ctx, false);
}

struct metadata_request *metadata_ask(struct loop *loop, metadata_fn fn, void *ctx)
{
    const char *url = getenv(METADATA_ENV);
    struct metadata_request *request;
    int fd;

    if (!url || !*url)
        return NULL;
    request = mem_alloc(sizeof(*request));
    *request = (struct metadata_request){
        .loop = loop,
        .fn = fn,
        .ctx = ctx,
        .source.fd = -1,
        .deadline = {.fn = on_deadline, .ctx = request},
        .request = BUF_INIT(2048),
        .answer = BUF_INIT(METADATA_MAX),
    };
    fd = begin(url, &request->request);
    if (fd >= 0 && loop_add(loop, &request->source, fd, EPOLLOUT, on_ready, request) < 0)
        close(fd);
    else if (fd >= 0)
        request->source.fd = fd;
    /* Without a connection `fn` is called all the same, from the loop. */
    loop_timer_in_ms(loop, &request->deadline, request->source.fd >= 0 ? METADATA_MS : 0);
    return request;
}

struct metadata_request *metadata_free(struct metadata_request *request)
{
    if (!request)
        return NULL;
    loop_timer_stop(request->loop, &request->deadline);
    if (request->source.fd >= 0) {
        loop_remove(request->loop, &request->source);
        close(request->source.fd);
    }
    buf_deinit(&request->request);
    buf_deinit(&request->answer);
    mem_free(request);
    return NULL;
}

/* ---- the document ---- */

/* RFC 3339, UTC: what ECS writes. -1: not known, or in the future. */
static int64_t age_of(const char *started, int64_t now_s)
{
    struct tm time = {0};
    const char *rest = strptime(started, "%Y-%m-%dT%H:%M:%S", &time);
    int64_t at;

    if (!rest || (*rest != '.' && *rest != 'Z'))
        return -1;
    at = timegm(&time);
    return at <= now_s ? now_s - at : -1;
}

static const char *copy(struct arena *arena, const cJSON *object, const char *key, size_t max)
{
    const char *text = json_string(object, key, "");

    return strlen(text) <= max ? arena_strdup(arena, text) : "";
}

void metadata_read_containers(const char *json, size_t length, int64_t now_s, struct arena *arena,
                              struct proto_witness *witness)
{
    CLEANUP_JSON cJSON *document = json_parse(json, length, DEPTH_MAX, NULL);
    const cJSON *item, *list = cJSON_GetObjectItemCaseSensitive(document, "Containers");
    struct proto_container *containers;
    const char *family = json_string(document, "Family", "");

    if (*family && strlen(family) < PROTO_NAME_MAX - 32)
        witness->revision =
            arena_printf(arena, "%s:%.30s", family, json_string(document, "Revision", "?"));
    containers = arena_alloc(arena, METADATA_CONTAINERS_MAX, sizeof(*containers));
    witness->containers = containers;
    cJSON_ArrayForEach(item, list)
    {
        struct proto_container *container = &containers[witness->container_count];
        if (witness->container_count == METADATA_CONTAINERS_MAX ||
            strcmp(json_string(item, "Type", "NORMAL"), "CNI_PAUSE") == 0)
            continue;
        container->name = copy(arena, item, "Name", PROTO_NAME_MAX);
        container->status = copy(arena, item, "KnownStatus", 32);
        container->health =
            copy(arena, cJSON_GetObjectItemCaseSensitive(item, "Health"), "status", 32);
        container->started = copy(arena, item, "StartedAt", 40);
        container->age_s = age_of(container->started, now_s);
        witness->container_count++;
    }
}
