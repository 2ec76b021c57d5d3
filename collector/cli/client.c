#include "collector/cli/client.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/version.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_DEPTH_MAX 16

struct client {
    CURL *curl;
    struct curl_slist *headers;
    char *url;  /* as the user gave it */
    char *base; /* what paths are appended to */
    struct buf answer;
    char curl_error[CURL_ERROR_SIZE];
};

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct client *client = ctx;

    buf_append(&client->answer, data, size * count);
    return buf_is_full(&client->answer) ? 0 : size * count;
}

static int set_url(struct client *client, const char *url, struct error *err)
{
    size_t length = strlen(url);

    client->url = mem_strdup(url);
    if (strncmp(url, "unix://", 7) == 0 && url[7] == '/') {
        curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, url + 7);
        client->base = mem_strdup("http://localhost");
        return 0;
    }
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return error_set(
            err, -EINVAL,
            "the collector's URL is '%.80s'; expected http://HOST:PORT, https://... or "
            "unix:///PATH",
            url);
    client->base = mem_strdup(url);
    while (length && client->base[length - 1] == '/')
        client->base[--length] = '\0';
    return 0;
}

struct client *client_new(const char *url, struct error *err)
{
    struct client *client = mem_alloc(sizeof(*client));
    const char *env = getenv("CANREACH_URL");

    client->answer = BUF_INIT(CLIENT_ANSWER_MAX);
    client->curl = curl_easy_init();
    if (!client->curl) {
        error_set(err, -ENOMEM, "libcurl cannot start");
        return client_free(client);
    }
    if (set_url(client, url ? url : env && *env ? env : CLIENT_URL_DEFAULT, err) < 0)
        return client_free(client);
    client->headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(client->curl, CURLOPT_USERAGENT, "canreach/" CANREACH_VERSION);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, client->headers);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, client->curl_error);
    curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MS);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)CLIENT_TIMEOUT_MS);
    return client;
}

struct client *client_free(struct client *client)
{
    if (!client)
        return NULL;
    curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->headers);
    buf_deinit(&client->answer);
    mem_free(client->url);
    mem_free(client->base);
    mem_free(client);
    return NULL;
}

static int perform(struct client *client, const char *path, const char *body, long *ret_status,
                   struct error *err)
{
    CLEANUP_BUF struct buf url = BUF_INIT(8192);
    CURLcode code;

    buf_printf(&url, "%s%s", client->base, path);
    buf_reset(&client->answer);
    client->curl_error[0] = '\0';
    curl_easy_setopt(client->curl, CURLOPT_URL, buf_text(&url));
    if (body)
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body);
    else
        curl_easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    code = curl_easy_perform(client->curl);
    if (code != CURLE_OK)
        return error_set(err, -EIO, "cannot reach the collector at %.200s: %s", client->url,
                         client->curl_error[0] ? client->curl_error : curl_easy_strerror(code));
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, ret_status);
    return 0;
}

int client_call(struct client *client, const char *path, const char *body,
                struct cJSON **ret_answer, struct error *err)
{
    struct error why;
    cJSON *answer;
    long status = 0;
    int r = perform(client, path, body, &status, err);

    if (r < 0)
        return r;
    answer = json_parse(buf_text(&client->answer), client->answer.length, ANSWER_DEPTH_MAX, &why);
    if (!answer)
        return error_set(err, -EIO,
                         "%.200s answered with status %ld and no JSON: is this canreach?",
                         client->url, status);
    if (status >= 200 && status < 300) {
        *ret_answer = answer;
        return 0;
    }
    r = status == 404                   ? -ENOENT
        : status == 409                 ? -EBUSY
        : status >= 400 && status < 500 ? -EINVAL
                                        : -EIO;
    error_set(err, r, "%s", json_string(answer, "detail", "the collector gave no reason"));
    json_free(answer);
    return r;
}

const char *client_escape(const char *text, char *out, unsigned long size)
{
    unsigned long used = 0;

    for (; *text && used + 4 < size; text++)
        if (isalnum((unsigned char)*text) || strchr("-._~", *text))
            out[used++] = *text;
        else
            used +=
                (unsigned long)snprintf(out + used, size - used, "%%%02X", (unsigned char)*text);
    out[used] = '\0';
    return out;
}
