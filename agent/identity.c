#include "agent/identity.h"

#include "agent/http.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/text.h"
#include "proto/proto.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define METADATA_DEPTH_MAX 16

static void take(struct identity *identity, const char **field, const char *value)
{
    if (!*field && value && *value && strlen(value) <= PROTO_NAME_MAX)
        *field = arena_strdup(&identity->arena, value);
}

static const char *after_last(const char *text, char separator)
{
    const char *at = text ? strrchr(text, separator) : NULL;

    return at ? at + 1 : text;
}

/* The app's containers; the pause container and Service Connect's have other types. */
static const cJSON *first_normal_container(const cJSON *document)
{
    const cJSON *containers = cJSON_GetObjectItemCaseSensitive(document, "Containers");
    const cJSON *container;

    cJSON_ArrayForEach(container, containers)
    {
        if (strcmp(json_string(container, "Type", "NORMAL"), "NORMAL") == 0)
            return container;
    }
    return NULL;
}

static const char *service_of_group(const char *group)
{
    return group && strncmp(group, "service:", 8) == 0 ? group + 8 : NULL;
}

int identity_parse_metadata(struct identity *identity, const char *json, size_t length,
                            struct error *err)
{
    CLEANUP_JSON cJSON *document = json_parse(json, length, METADATA_DEPTH_MAX, err);
    const cJSON *networks;
    const char *family;

    if (!document)
        return -EINVAL;
    if (!cJSON_IsObject(document))
        return error_set(err, -EINVAL, "the task metadata is not an object");
    take(identity, &identity->cluster, json_string(document, "Cluster", NULL));
    take(identity, &identity->task, after_last(json_string(document, "TaskARN", NULL), '/'));
    take(identity, &identity->service, json_string(document, "ServiceName", NULL));
    take(identity, &identity->service, service_of_group(json_string(document, "Group", NULL)));
    take(identity, &identity->zone, json_string(document, "AvailabilityZone", NULL));
    family = json_string(document, "Family", NULL);
    if (family && !identity->revision)
        take(identity, &identity->revision,
             arena_printf(&identity->arena, "%s:%s", family,
                          json_string(document, "Revision", "?")));
    networks = cJSON_GetObjectItemCaseSensitive(first_normal_container(document), "Networks");
    take(identity, &identity->mode,
         json_string(cJSON_GetArrayItem(networks, 0), "NetworkMode", NULL));
    return 0;
}

/* The endpoint is a link-local HTTP server: plain http, a numeric address, a fixed path. */
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

static bool wait_for(int fd, short events, uint64_t deadline_us)
{
    struct pollfd entry = {.fd = fd, .events = events};
    uint64_t now = clock_mono_us();

    return now < deadline_us && poll(&entry, 1, (int)((deadline_us - now) / 1000) + 1) > 0;
}

/* Sends `request` and reads to the end of the answer: status line, headers and body. */
static int exchange(int fd, const struct buf *request, struct buf *answer, uint64_t deadline_us)
{
    size_t sent = 0;
    char data[4096];

    while (sent < request->length) {
        ssize_t n;
        if (!wait_for(fd, POLLOUT, deadline_us))
            return -ETIMEDOUT;
        n = send(fd, request->data + sent, request->length - sent, MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        sent += (size_t)n;
    }
    for (;;) {
        ssize_t n;
        if (!wait_for(fd, POLLIN, deadline_us))
            return -ETIMEDOUT;
        n = recv(fd, data, sizeof(data), 0);
        if (n < 0)
            return -errno;
        if (n == 0)
            return buf_is_full(answer) ? -EMSGSIZE : 0;
        buf_append(answer, data, (size_t)n);
    }
}

static int fetch(const char *url, struct buf *answer)
{
    uint64_t deadline_us = clock_mono_us() + IDENTITY_METADATA_MS * 1000;
    CLEANUP_BUF struct buf request = BUF_INIT(2048);
    struct sockaddr_in address;
    char path[1024], host[INET_ADDRSTRLEN];
    int fd, r = parse_url(url, &address, path, sizeof(path));

    if (r < 0)
        return r;
    inet_ntop(AF_INET, &address.sin_addr, host, sizeof(host));
    /* HTTP/1.0: the answer ends with the connection, and never comes in chunks. */
    buf_printf(&request, "GET %s HTTP/1.0\r\nHost: %s:%u\r\nAccept: application/json\r\n\r\n", path,
               host, ntohs(address.sin_port));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    r = r < 0 && errno != EINPROGRESS ? -errno : exchange(fd, &request, answer, deadline_us);
    close(fd);
    return r;
}

static int read_metadata(struct identity *identity, const char *url, struct error *err)
{
    CLEANUP_BUF struct buf answer = BUF_INIT(IDENTITY_METADATA_MAX);
    struct http_answer head = {0};
    size_t used = 0;
    int r = fetch(url, &answer);

    if (r < 0)
        return error_set(err, r, "cannot read %.200s/task: %s", url, strerror(-r));
    if (http_feed(&head, buf_text(&answer), answer.length, &used) != HTTP_DONE ||
        head.status != 200)
        return error_set(err, -EINVAL, "%.200s/task answered with status %d", url, head.status);
    return identity_parse_metadata(identity, buf_text(&answer) + used, answer.length - used, err);
}

int identity_complete(struct identity *identity, struct error *err)
{
    const char *url = getenv(IDENTITY_METADATA_ENV);
    struct error why;
    uint64_t random;
    char name[PROTO_NAME_MAX + 1] = "";

    identity->is_ecs = url && *url;
    if (identity->is_ecs && read_metadata(identity, url, &why) < 0)
        log_warn("metadata-unavailable", "error=%s", LOG_QUOTE(why.text));
    if (gethostname(name, sizeof(name) - 1) == 0)
        take(identity, &identity->task, name);
    if (!identity->service)
        return error_set(err, -EINVAL,
                         "no service name: give --service (CANREACH_SERVICE), or run inside an ECS "
                         "task, where %s names it",
                         IDENTITY_METADATA_ENV);
    if (!identity->task)
        return error_set(err, -EINVAL, "no task name: give --task (CANREACH_TASK)");
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return error_set(err, -errno, "no random number for the instance: %s", strerror(errno));
    snprintf(identity->instance, sizeof(identity->instance), "%016llx", (unsigned long long)random);
    return 0;
}

void identity_deinit(struct identity *identity)
{
    arena_deinit(&identity->arena);
}
