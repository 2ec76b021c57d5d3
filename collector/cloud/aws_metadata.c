#include "collector/cloud/aws_metadata.h"

#include "collector/cloud/aws_config.h"
#include "collector/cloud/tree.h"
#include "common/cidr.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_MS     2000
#define TRIES          3
#define RETRY_MS       200
#define ANSWER_MAX     ((size_t)64 << 10)
#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_HOST  "http://169.254.169.254"
#define ROLE_PATH      "/latest/meta-data/iam/security-credentials/"

/* An instance is asked for a token, for the role's name, and for its keys. */
enum step { STEP_CONTAINER, STEP_TOKEN, STEP_ROLE, STEP_KEYS };

struct aws_metadata {
    struct loop *loop;
    struct http *http;
    enum step step;
    char *url, *header; /* owned; header: NULL, or "Name: value", perhaps a secret */
    char token[1024];   /* of IMDSv2 */
    unsigned tries;
    struct http_call *call;
    struct loop_timer timer;
    aws_metadata_fn fn;
    void *ctx;
};

void aws_metadata_wipe(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
}

static void fail(struct aws_metadata *metadata, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void fail(struct aws_metadata *metadata, const char *format, ...)
{
    char why[ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    metadata->fn(metadata->ctx, NULL, why);
}

/* ---- one question ---- */

static void on_answer(void *ctx, const struct http_answer *answer);

static void try_once(void *ctx)
{
    struct aws_metadata *metadata = ctx;
    const char *headers[] = {metadata->header};
    struct http_request request = {
        .method = metadata->step == STEP_TOKEN ? "PUT" : "GET",
        .url = metadata->url,
        .headers = headers,
        .header_count = metadata->header ? 1 : 0,
        .timeout_ms = TIMEOUT_MS,
        .limit = ANSWER_MAX,
        .is_direct = true,
    };

    metadata->tries++;
    metadata->call = http_send(metadata->http, &request, on_answer, metadata);
    if (!metadata->call)
        fail(metadata, "%s: not a URL that can be asked", metadata->url);
}

static void set_header(struct aws_metadata *metadata, const char *name, const char *value)
{
    CLEANUP_BUF struct buf line = BUF_INIT(AWS_SECRET_MAX + 256);

    aws_metadata_wipe(metadata->header);
    mem_free(metadata->header);
    metadata->header = NULL;
    if (!value)
        return;
    buf_printf(&line, "%s: %s", name, value);
    metadata->header = mem_strdup(buf_text(&line));
    aws_metadata_wipe(line.data);
}

static void ask(struct aws_metadata *metadata, enum step step, const char *url)
{
    mem_free(metadata->url);
    metadata->url = mem_strdup(url);
    metadata->step = step;
    metadata->tries = 0;
    try_once(metadata);
}

/* ---- an instance ---- */

static void ask_instance(struct aws_metadata *metadata, enum step step, const char *path)
{
    const char *host = aws_config_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    char url[1024];
    size_t length;

    host = host ? host : INSTANCE_HOST;
    length = strlen(host);
    while (length && host[length - 1] == '/')
        length--;
    snprintf(url, sizeof(url), "%.*s%s", (int)length, host, path);
    if (step == STEP_TOKEN)
        set_header(metadata, "X-aws-ec2-metadata-token-ttl-seconds", "21600");
    else
        set_header(metadata, "X-aws-ec2-metadata-token", metadata->token);
    ask(metadata, step, url);
}

void aws_metadata_ask_instance(struct aws_metadata *metadata, aws_metadata_fn fn, void *ctx)
{
    const char *disabled = aws_config_variable("AWS_EC2_METADATA_DISABLED");

    metadata->fn = fn;
    metadata->ctx = ctx;
    if (disabled && strcasecmp(disabled, "true") == 0)
        fail(metadata, "AWS_EC2_METADATA_DISABLED is true");
    else
        ask_instance(metadata, STEP_TOKEN, "/latest/api/token");
}

/* The token, or the role's name. */
static void take_word(struct aws_metadata *metadata, const struct http_answer *answer)
{
    size_t length = strcspn(answer->body, "\r\n");
    char path[512];

    if (metadata->step == STEP_TOKEN) {
        snprintf(metadata->token, sizeof(metadata->token), "%.*s", (int)length, answer->body);
        ask_instance(metadata, STEP_ROLE, ROLE_PATH);
        return;
    }
    snprintf(path, sizeof(path), "%s%.*s", ROLE_PATH, (int)length, answer->body);
    ask_instance(metadata, STEP_KEYS, path);
}

/* Both endpoints use the same members. */
static void take_keys(struct aws_metadata *metadata, const struct http_answer *answer)
{
    struct arena arena = {0};
    struct error err = {""};
    const struct tree *root = tree_parse_json(&arena, answer->body, answer->length, &err);
    const char *expiration = tree_text(root, "Expiration", ""), *code = tree_text(root, "Code", "");
    struct aws_metadata_keys keys = {tree_text(root, "AccessKeyId", NULL),
                                     tree_text(root, "SecretAccessKey", NULL),
                                     tree_text(root, "Token", NULL), 0};

    if (!root)
        fail(metadata, "%s: %s", metadata->url, err.text);
    else if (*expiration && !clock_from_rfc3339(expiration, &keys.expires_ms))
        fail(metadata, "%s: Expiration '%.40s' is no time", metadata->url, expiration);
    else if (!keys.access || !keys.secret)
        fail(metadata, "%s: no keys in the answer%s%.80s", metadata->url, *code ? ": " : "", code);
    else
        metadata->fn(metadata->ctx, &keys, "");
    arena_deinit(&arena);
}

static void on_answer(void *ctx, const struct http_answer *answer)
{
    struct aws_metadata *metadata = ctx;
    bool is_passing = !answer->status || answer->status >= 500 || answer->status == 429;

    metadata->call = NULL;
    if (answer->status == 200 && (metadata->step == STEP_CONTAINER || metadata->step == STEP_KEYS))
        take_keys(metadata, answer);
    else if (answer->status == 200)
        take_word(metadata, answer);
    else if (is_passing && metadata->tries < TRIES)
        loop_timer_in_ms(metadata->loop, &metadata->timer, RETRY_MS);
    else if (answer->status)
        fail(metadata, "%.160s answers %d", metadata->url, answer->status);
    else
        fail(metadata, "%.120s: %.120s", metadata->url, answer->error);
}

/* ---- a container ---- */

/* The hosts that may have the authorization token over plain HTTP. */
static bool is_trusted_host(const char *url)
{
    static const char *const blocks[] = {"127.0.0.0/8", "::1", "169.254.170.2", "169.254.170.23",
                                         "fd00:ec2::23"};
    const char *host = url + strlen("http://");
    bool has_brackets = *host == '[';
    size_t length = has_brackets ? strcspn(host + 1, "]") : strcspn(host, ":/?");
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *address = NULL;
    char text[64];
    struct cidr cidr;

    snprintf(text, sizeof(text), "%.*s", (int)(length < sizeof(text) ? length : sizeof(text) - 1),
             host + has_brackets);
    if (strcasecmp(text, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        address = (struct sockaddr *)&v4;
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        address = (struct sockaddr *)&v6;
    for (size_t i = 0; address && i < ARRAY_SIZE(blocks); i++)
        if (cidr_parse(blocks[i], &cidr) && cidr_contains(&cidr, address))
            return true;
    return false;
}

bool aws_metadata_has_container(void)
{
    return aws_config_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
           aws_config_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

int aws_metadata_read_secret(const char *path, struct buf *out, struct error *err)
{
    FILE *file = fopen(path, "re");
    char data[4096];
    size_t n;

    if (!file)
        return error_set(err, -errno, "%s: cannot open: %s", path, strerror(errno));
    while ((n = fread(data, 1, sizeof(data), file)) > 0 && !buf_is_full(out))
        buf_append(out, data, n);
    OPENSSL_cleanse(data, sizeof(data));
    fclose(file);
    while (out->length && strchr("\r\n", out->data[out->length - 1]))
        buf_truncate(out, out->length - 1);
    if (!out->length || buf_is_full(out) || strcspn(out->data, "\r\n") != out->length)
        return error_set(err, -EINVAL, "%s: not one line of at most %d bytes", path,
                         AWS_SECRET_MAX);
    return 0;
}

/* The token's file beats its variable. False: it said why not. */
static bool set_authorization(struct aws_metadata *metadata)
{
    const char *path = aws_config_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_config_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    CLEANUP_BUF struct buf text = BUF_INIT(AWS_SECRET_MAX);
    struct error err;

    if (path && aws_metadata_read_secret(path, &text, &err) < 0) {
        fail(metadata, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %s", err.text);
        return false;
    }
    if (!path && token &&
        (strcspn(token, "\r\n") != strlen(token) || strlen(token) > AWS_SECRET_MAX)) {
        fail(metadata, "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line end, or is too long");
        return false;
    }
    set_header(metadata, "Authorization", path ? buf_text(&text) : token);
    aws_metadata_wipe(text.data);
    return true;
}

void aws_metadata_ask_container(struct aws_metadata *metadata, aws_metadata_fn fn, void *ctx)
{
    const char *relative = aws_config_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *url = aws_config_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char text[1024];

    metadata->fn = fn;
    metadata->ctx = ctx;
    if (relative) {
        snprintf(text, sizeof(text), "%s%s%s", CONTAINER_HOST, *relative == '/' ? "" : "/",
                 relative);
        url = text;
    } else if (!url || (strncasecmp(url, "https://", 8) != 0 &&
                        (strncasecmp(url, "http://", 7) != 0 || !is_trusted_host(url)))) {
        fail(metadata,
             "AWS_CONTAINER_CREDENTIALS_FULL_URI: '%.120s' is neither https nor on loopback, "
             "169.254.170.2, 169.254.170.23 or fd00:ec2::23",
             url ? url : "");
        return;
    }
    if (set_authorization(metadata))
        ask(metadata, STEP_CONTAINER, url);
}

/* ---- life ---- */

struct aws_metadata *aws_metadata_new(struct loop *loop, struct http *http)
{
    struct aws_metadata *metadata = mem_alloc(sizeof(*metadata));

    *metadata = (struct aws_metadata){.loop = loop, .http = http};
    metadata->timer = (struct loop_timer){.fn = try_once, .ctx = metadata};
    return metadata;
}

struct aws_metadata *aws_metadata_free(struct aws_metadata *metadata)
{
    if (!metadata)
        return NULL;
    http_cancel(metadata->http, metadata->call);
    loop_timer_stop(metadata->loop, &metadata->timer);
    set_header(metadata, "", NULL);
    OPENSSL_cleanse(metadata->token, sizeof(metadata->token));
    mem_free(metadata->url);
    mem_free(metadata);
    return NULL;
}
