#include "collector/httpd.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct httpd {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_fd source;
    struct loop_timer timer;
    httpd_fn fn;
    void *ctx;
    char unix_path[108]; /* removed at the end */
};

/* What is gathered of one request. */
struct exchange {
    struct buf body;
};

static enum MHD_Result send_response(struct MHD_Connection *connection,
                                     struct httpd_response *response)
{
    struct MHD_Response *answer = MHD_create_response_from_buffer(
        response->body.length, (void *)(uintptr_t)buf_text(&response->body), MHD_RESPMEM_MUST_COPY);
    enum MHD_Result r;

    if (!answer)
        return MHD_NO;
    MHD_add_response_header(answer, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type);
    MHD_add_response_header(answer, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(answer, "X-Content-Type-Options", "nosniff");
    if (response->location[0])
        MHD_add_response_header(answer, MHD_HTTP_HEADER_LOCATION, response->location);
    r = MHD_queue_response(connection, (unsigned)response->status, answer);
    MHD_destroy_response(answer);
    return r;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **state)
{
    struct httpd *httpd = ctx;
    struct exchange *exchange = *state;
    struct httpd_request request = {.method = method, .path = url, .connection = connection};
    struct httpd_response response = {
        .status = 500, .content_type = "application/json", .body = BUF_INIT(BUF_UNBOUNDED)};
    enum MHD_Result r;

    (void)version;
    if (!exchange) {
        *state = exchange = mem_alloc(sizeof(*exchange));
        exchange->body = BUF_INIT(HTTPD_BODY_MAX);
        return MHD_YES;
    }
    if (*data_size) {
        buf_append(&exchange->body, data, *data_size);
        *data_size = 0;
        return MHD_YES;
    }
    request.body = buf_is_full(&exchange->body) ? NULL : buf_text(&exchange->body);
    request.body_length = exchange->body.length;
    httpd->fn(httpd->ctx, &request, &response);
    r = send_response(connection, &response);
    buf_deinit(&response.body);
    return r;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *state;

    (void)ctx;
    (void)connection;
    (void)code;
    if (exchange)
        buf_deinit(&exchange->body);
    mem_free(exchange);
    *state = NULL;
}

static void run(void *ctx)
{
    struct httpd *httpd = ctx;
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    MHD_run(httpd->daemon);
    if (MHD_get_timeout(httpd->daemon, &timeout_ms) == MHD_YES)
        loop_timer_in_ms(httpd->loop, &httpd->timer, timeout_ms);
    else
        loop_timer_stop(httpd->loop, &httpd->timer);
}

static void on_ready(void *ctx, uint32_t events)
{
    (void)events;
    run(ctx);
}

static int listen_on_unix(struct httpd *httpd, const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t mask;
    int fd, r;

    if (!text_copy(address.sun_path, sizeof(address.sun_path), path))
        return error_set(err, -EINVAL, "unix:%s: a socket's path has at most %zu bytes", path,
                         sizeof(address.sun_path) - 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, -errno, "unix:%s: %s", path, strerror(errno));
    /* A socket file that nobody answers on is left over from a killed collector. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
        errno == ECONNREFUSED)
        unlink(path);
    mask = umask(0077);
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (r < 0 || listen(fd, SOMAXCONN) < 0) {
        r = error_set(err, -errno, "cannot listen on unix:%s: %s", path, strerror(errno));
        close(fd);
        return r;
    }
    text_copy(httpd->unix_path, sizeof(httpd->unix_path), path);
    return fd;
}

static int parse_address(const char *text, struct sockaddr_storage *ret_address,
                         socklen_t *ret_size)
{
    const char *colon = strrchr(text, ':');
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret_address;
    char host[INET6_ADDRSTRLEN + 2];
    int64_t port;
    size_t length = colon ? (size_t)(colon - text) : 0;

    if (!colon || length >= sizeof(host) || !text_to_int(colon + 1, 0, 65535, &port))
        return -EINVAL;
    memset(ret_address, 0, sizeof(*ret_address));
    memcpy(host, text, length);
    host[length] = '\0';
    if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_size = sizeof(*v6);
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1 ? 0 : -EINVAL;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *ret_size = sizeof(*v4);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? 0 : -EINVAL;
}

int httpd_check_address(const char *address, struct error *err)
{
    struct sockaddr_storage parsed;
    socklen_t size;

    if (strncmp(address, "unix:", 5) == 0 && address[5])
        return 0;
    if (parse_address(address, &parsed, &size) == 0)
        return 0;
    return error_set(err, -EINVAL, "'%.80s' is not ADDRESS:PORT, [IPV6]:PORT or unix:PATH",
                     address);
}

static int listen_on_tcp(const char *text, struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size = 0;
    int fd, one = 1;

    if (parse_address(text, &address, &size) < 0)
        return httpd_check_address(text, err);
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, -errno, "cannot listen on %s: %s", text, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0) {
        int r = error_set(err, -errno, "cannot listen on %s: %s", text, strerror(errno));
        close(fd);
        return r;
    }
    return fd;
}

/* libmicrohttpd's own words, as a log line. */
static void __attribute__((format(printf, 2, 0)))
on_log(void *ctx, const char *format, va_list args)
{
    char text[256];

    (void)ctx;
    vsnprintf(text, sizeof(text), format, args);
    log_debug("http", "text=%s", LOG_QUOTE(text));
}

struct httpd *httpd_new(struct loop *loop, const char *address, httpd_fn fn, void *ctx,
                        struct error *err)
{
    struct httpd *httpd = mem_alloc(sizeof(*httpd));
    const union MHD_DaemonInfo *info;
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    int fd = is_unix ? listen_on_unix(httpd, address + 5, err) : listen_on_tcp(address, err);

    httpd->loop = loop;
    httpd->fn = fn;
    httpd->ctx = ctx;
    httpd->timer = (struct loop_timer){.fn = run, .ctx = httpd};
    if (fd < 0)
        return httpd_free(httpd);
    httpd->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, httpd,
                         MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTPD_CONNECTIONS_MAX,
                         MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)HTTPD_PER_ADDRESS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTPD_IDLE_S,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (!httpd->daemon) {
        error_set(err, -EIO, "cannot start the HTTP server on %s", address);
        close(fd);
        return httpd_free(httpd);
    }
    info = MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info || loop_add(loop, &httpd->source, info->listen_fd, EPOLLIN, on_ready, httpd) < 0) {
        error_set(err, -EIO, "cannot watch the HTTP server");
        return httpd_free(httpd);
    }
    return httpd;
}

struct httpd *httpd_free(struct httpd *httpd)
{
    if (!httpd)
        return NULL;
    loop_timer_stop(httpd->loop, &httpd->timer);
    loop_remove(httpd->loop, &httpd->source);
    if (httpd->daemon)
        MHD_stop_daemon(httpd->daemon);
    if (httpd->unix_path[0])
        unlink(httpd->unix_path);
    mem_free(httpd);
    return NULL;
}

const char *httpd_query(const struct httpd_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}
