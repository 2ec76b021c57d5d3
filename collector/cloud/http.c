#include "collector/cloud/http.h"

#include "common/mem.h"
#include "common/version.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS       3000
#define HOST_CONNECTIONS 16
#define SOCKETS_MAX      256

/* A socket of libcurl's, as long as libcurl wants to hear of it. */
struct socket_watch {
    struct loop_fd source;
    struct http *http;
    bool is_used;
};

struct http_call {
    struct http *http;
    struct http_call *next;
    CURL *easy;
    struct curl_slist *headers;
    char *body_copy;
    size_t body_length, body_sent; /* of a mail */
    struct curl_slist *recipients;
    struct buf body;
    char date[HTTP_HEADER_MAX], error_type[HTTP_HEADER_MAX];
    char error[CURL_ERROR_SIZE];
    http_fn fn;
    void *ctx;
};

struct http {
    struct loop *loop;
    const char *ca_bundle;
    CURLM *multi;
    struct loop_timer timer;
    struct loop_deferred kick; /* libcurl is not to be called from within its own callbacks */
    struct socket_watch *watches[SOCKETS_MAX];
    struct http_call *calls;
};

/* ---- libcurl's sockets and timer in our loop ---- */

static void finish_done(struct http *http);

static void on_socket_event(void *ctx, uint32_t events)
{
    struct socket_watch *watch = ctx;
    struct http *http = watch->http;
    int what = 0, running;

    if (events & EPOLLIN)
        what |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (events & (EPOLLERR | EPOLLHUP))
        what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(http->multi, watch->source.fd, what, &running);
    finish_done(http);
}

static struct socket_watch *find_watch(struct http *http, curl_socket_t fd)
{
    struct socket_watch *unused = NULL;

    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        struct socket_watch *watch = http->watches[i];
        if (watch && watch->is_used && watch->source.fd == fd)
            return watch;
        if (watch && !watch->is_used && !unused)
            unused = watch;
        if (!watch && !unused) {
            http->watches[i] = mem_alloc(sizeof(*watch));
            http->watches[i]->http = http;
            unused = http->watches[i];
        }
    }
    return unused;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http *http = ctx;
    struct socket_watch *watch = find_watch(http, fd);
    uint32_t events = 0;

    (void)easy;
    (void)socket_ctx;
    if (!watch)
        return -1;
    if (what == CURL_POLL_REMOVE) {
        if (watch->is_used)
            loop_remove(http->loop, &watch->source);
        watch->is_used = false;
        return 0;
    }
    if (what & CURL_POLL_IN)
        events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        events |= EPOLLOUT;
    if (watch->is_used)
        return loop_modify(http->loop, &watch->source, events) < 0 ? -1 : 0;
    if (loop_add(http->loop, &watch->source, fd, events, on_socket_event, watch) < 0)
        return -1;
    watch->is_used = true;
    return 0;
}

static void on_time(void *ctx)
{
    struct http *http = ctx;
    int running;

    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done(http);
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
    struct http *http = ctx;

    (void)multi;
    if (ms < 0)
        loop_timer_stop(http->loop, &http->timer);
    else if (ms == 0)
        loop_defer(http->loop, &http->kick);
    else
        loop_timer_in_ms(http->loop, &http->timer, (uint64_t)ms);
    return 0;
}

/* ---- one call ---- */

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http_call *call = ctx;

    buf_append(&call->body, data, size * count);
    return buf_is_full(&call->body) ? 0 : size * count;
}

static void keep_header(const char *line, size_t length, const char *name, char *value)
{
    size_t n = strlen(name);

    if (length <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
        return;
    line += n + 1;
    length -= n + 1;
    while (length && (*line == ' ' || *line == '\t')) {
        line++;
        length--;
    }
    while (length && (line[length - 1] == '\r' || line[length - 1] == '\n'))
        length--;
    snprintf(value, HTTP_HEADER_MAX, "%.*s",
             (int)(length < HTTP_HEADER_MAX ? length : HTTP_HEADER_MAX - 1), line);
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct http_call *call = ctx;

    keep_header(data, size * count, "date", call->date);
    keep_header(data, size * count, "x-amzn-errortype", call->error_type);
    return size * count;
}

static void free_call(struct http_call *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->recipients);
    buf_deinit(&call->body);
    mem_free(call->body_copy);
    mem_free(call);
}

static void unlink_call(struct http *http, struct http_call *call)
{
    for (struct http_call **at = &http->calls; *at; at = &(*at)->next)
        if (*at == call) {
            *at = call->next;
            break;
        }
    curl_multi_remove_handle(http->multi, call->easy);
}

static const char *why_failed(const struct http_call *call, CURLcode code, char *text, size_t size)
{
    if (code == CURLE_WRITE_ERROR && buf_is_full(&call->body))
        snprintf(text, size, "the answer has more than %zu bytes", call->body.limit);
    else
        snprintf(text, size, "%s", *call->error ? call->error : curl_easy_strerror(code));
    return text;
}

static void finish_call(struct http_call *call, CURLcode code)
{
    char why[CURL_ERROR_SIZE + 64] = "";
    struct http_answer answer = {
        .error = why,
        .is_unresolved = code == CURLE_COULDNT_RESOLVE_HOST,
        .is_too_large = code == CURLE_WRITE_ERROR && buf_is_full(&call->body),
        .body = buf_text(&call->body),
        .length = call->body.length,
        .date_ms = *call->date ? (int64_t)curl_getdate(call->date, NULL) * 1000 : 0,
        .error_type = call->error_type,
    };
    long status = 0;

    if (answer.date_ms < 0)
        answer.date_ms = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        answer.status = (int)status;
    else
        why_failed(call, code, why, sizeof(why));
    unlink_call(call->http, call);
    call->fn(call->ctx, &answer);
    free_call(call);
}

static void finish_done(struct http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct http_call *call = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        finish_call(call, code);
    }
}

static size_t on_upload(char *data, size_t size, size_t count, void *ctx)
{
    struct http_call *call = ctx;
    size_t left = call->body_length - call->body_sent, room = size * count;
    size_t part = left < room ? left : room;

    memcpy(data, call->body_copy + call->body_sent, part);
    call->body_sent += part;
    return part;
}

static bool set_mail(struct http_call *call, const struct http_request *request)
{
    const struct http_mail *mail = request->mail;
    CURL *easy = call->easy;

    call->body_copy = mem_dup(request->body, request->body_length);
    call->body_length = request->body_length;
    for (size_t i = 0; i < mail->to_count; i++)
        call->recipients = curl_slist_append(call->recipients, mail->to[i]);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, mail->from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, call->recipients);
    curl_easy_setopt(easy, CURLOPT_USE_SSL, mail->needs_tls ? CURLUSESSL_ALL : CURLUSESSL_TRY);
    if (*mail->user) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, mail->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, mail->password);
    }
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    return curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L) == CURLE_OK;
}

static bool set_body(struct http_call *call, const struct http_request *request)
{
    if (strcmp(request->method, "POST") != 0)
        return strcmp(request->method, "GET") == 0 ||
               curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    call->body_copy = mem_dup(request->body_length ? request->body : "",
                              request->body_length + !request->body_length);
    return curl_easy_setopt(call->easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)request->body_length) ==
               CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body_copy) == CURLE_OK;
}

static bool set_up(struct http_call *call, const struct http_request *request)
{
    CURL *easy = call->easy;
    bool is_plain = strncasecmp(request->url, "http://", 7) == 0;

    for (size_t i = 0; i < request->header_count; i++)
        call->headers = curl_slist_append(call->headers, request->headers[i]);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "canreach/" CANREACH_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    /* Debian's default CApath makes every handshake read it anew: 29 ms and more. */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (call->http->ca_bundle)
        curl_easy_setopt(easy, CURLOPT_CAINFO, call->http->ca_bundle);
    /* A name that is still being resolved when a call ends is not waited for: getaddrinfo() may
     * take half a minute, in a thread of its own. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    /* No .netrc, no proxy that would read what is signed, nothing but HTTP. */
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (request->is_direct || is_plain)
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
           (request->mail ? set_mail(call, request) : set_body(call, request));
}

struct http_call *http_send(struct http *http, const struct http_request *request, http_fn fn,
                            void *ctx)
{
    struct http_call *call = mem_alloc(sizeof(*call));

    *call = (struct http_call){.http = http, .fn = fn, .ctx = ctx};
    call->body = BUF_INIT(request->limit ? request->limit : HTTP_ANSWER_MAX);
    call->easy = curl_easy_init();
    if (!call->easy || !set_up(call, request) ||
        curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
        if (call->easy)
            free_call(call);
        else
            mem_free(call);
        return NULL;
    }
    call->next = http->calls;
    http->calls = call;
    return call;
}

void http_cancel(struct http *http, struct http_call *call)
{
    if (!call)
        return;
    unlink_call(http, call);
    free_call(call);
}

/* ---- life ---- */

struct http *http_new(struct loop *loop, const char *ca_bundle)
{
    struct http *http = mem_alloc(sizeof(*http));

    *http = (struct http){.loop = loop, .ca_bundle = ca_bundle};
    http->timer = (struct loop_timer){.fn = on_time, .ctx = http};
    http->kick = (struct loop_deferred){.fn = on_time, .ctx = http};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        http->multi = curl_multi_init();
    if (!http->multi) {
        errno = ENOMEM;
        return http_free(http);
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS);
    return http;
}

struct http *http_free(struct http *http)
{
    if (!http)
        return NULL;
    while (http->calls)
        http_cancel(http, http->calls);
    if (http->multi)
        curl_multi_cleanup(http->multi);
    loop_timer_stop(http->loop, &http->timer);
    loop_undefer(http->loop, &http->kick);
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        if (http->watches[i] && http->watches[i]->is_used)
            loop_remove(http->loop, &http->watches[i]->source);
        mem_free(http->watches[i]);
    }
    curl_global_cleanup();
    mem_free(http);
    return NULL;
}
