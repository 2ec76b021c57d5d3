#include "collector/cloud/sigv4.h"

#include "common/arena.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ALGORITHM      "AWS4-HMAC-SHA256"
#define PARAMETERS_MAX 64
#define DATE_LENGTH    8

void sigv4_time(int64_t wall_ms, char text[SIGV4_TIME_MAX])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(text, SIGV4_TIME_MAX, "%Y%m%dT%H%M%SZ", &tm);
}

void sigv4_encode(struct buf *out, const char *text, size_t length, const char *also)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x80 && isalnum(c)) || (c && strchr("-._~", c)) || (c && strchr(also, c)))
            buf_putc(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static void put_hex(struct buf *out, const unsigned char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        buf_printf(out, "%02x", data[i]);
}

static void put_hash(struct buf *out, const void *data, size_t length)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256(data ? data : "", length, digest);
    put_hex(out, digest, sizeof(digest));
}

/* ---- the canonical request ---- */

/* Without ".", ".." and empty segments (RFC 3986 section 5.2.4), as the vendor's own do it for all
 * but S3; then encoded, once more where it was already. */
static void put_path(struct buf *out, const char *path)
{
    const char *segments[PARAMETERS_MAX];
    size_t lengths[PARAMETERS_MAX], count = 0, length = strlen(path);
    const char *at = path;

    while (*at) {
        size_t n = strcspn(at, "/");
        if (n == 2 && strncmp(at, "..", 2) == 0) {
            count -= count > 0;
        } else if (n && !(n == 1 && *at == '.') && count < PARAMETERS_MAX) {
            segments[count] = at;
            lengths[count++] = n;
        }
        at += n + (at[n] == '/');
    }
    for (size_t i = 0; i < count; i++) {
        buf_putc(out, '/');
        sigv4_encode(out, segments[i], lengths[i], "");
    }
    if (!count || path[length - 1] == '/')
        buf_putc(out, '/');
}

struct parameter {
    const char *name, *value; /* encoded */
};

static int by_name_and_value(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->value, y->value);
}

static const char *encode_again(struct arena *arena, const char *text, size_t length)
{
    CLEANUP_BUF struct buf plain = BUF_INIT(BUF_UNBOUNDED), encoded = BUF_INIT(BUF_UNBOUNDED);

    for (size_t i = 0; i < length; i++) {
        char hex[3] = {0};
        if (text[i] == '%' && i + 2 < length && isxdigit((unsigned char)text[i + 1]) &&
            isxdigit((unsigned char)text[i + 2])) {
            memcpy(hex, text + i + 1, 2);
            buf_putc(&plain, (char)strtol(hex, NULL, 16));
            i += 2;
        } else {
            buf_putc(&plain, text[i]);
        }
    }
    sigv4_encode(&encoded, buf_text(&plain), plain.length, "");
    return arena_strdup(arena, buf_text(&encoded));
}

/* Sorted by name, then by value: never as "name=value", where '=' would sort after '-'. */
static int put_query(struct buf *out, const char *query)
{
    struct parameter parameters[PARAMETERS_MAX];
    struct arena arena = {0};
    size_t count = 0;
    int r = 0;

    while (*query && r == 0) {
        size_t length = strcspn(query, "&"), name = strcspn(query, "=");
        if (name > length)
            name = length;
        if (count == PARAMETERS_MAX)
            r = -E2BIG;
        else if (length)
            parameters[count++] = (struct parameter){
                encode_again(&arena, query, name),
                name < length ? encode_again(&arena, query + name + 1, length - name - 1) : ""};
        query += length + (query[length] == '&');
    }
    if (count)
        qsort(parameters, count, sizeof(*parameters), by_name_and_value);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%s=%s", i ? "&" : "", parameters[i].name, parameters[i].value);
    arena_deinit(&arena);
    return r;
}

/* Runs of spaces are one; none at the ends. */
static void put_value(struct buf *out, const char *value)
{
    bool has_space = false;

    while (isspace((unsigned char)*value))
        value++;
    for (; *value; value++) {
        if (isspace((unsigned char)*value)) {
            has_space = true;
            continue;
        }
        if (has_space)
            buf_putc(out, ' ');
        has_space = false;
        buf_putc(out, *value);
    }
}

static void put_lower(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_putc(out, (char)tolower((unsigned char)*text));
}

/* Stable: what has the same name keeps its order. */
static void sort_headers(const struct sigv4_request *request, const struct sigv4_header **sorted)
{
    for (size_t i = 0; i < request->header_count; i++) {
        size_t at = i;
        while (at && strcasecmp(sorted[at - 1]->name, request->headers[i].name) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = &request->headers[i];
    }
}

static void put_headers(const struct sigv4_header **sorted, size_t count, struct buf *out,
                        struct buf *names)
{
    for (size_t i = 0; i < count; i++) {
        bool is_more = i && strcasecmp(sorted[i]->name, sorted[i - 1]->name) == 0;
        if (is_more) {
            buf_putc(out, ',');
        } else {
            buf_puts(out, i ? "\n" : "");
            put_lower(out, sorted[i]->name);
            buf_putc(out, ':');
            buf_puts(names, i ? ";" : "");
            put_lower(names, sorted[i]->name);
        }
        put_value(out, sorted[i]->value);
    }
    buf_putc(out, '\n');
}

static int put_canonical(const struct sigv4_request *request, struct buf *out, struct buf *names)
{
    const struct sigv4_header *sorted[SIGV4_HEADERS_MAX];
    int r;

    buf_printf(out, "%s\n", request->method);
    put_path(out, request->path);
    buf_putc(out, '\n');
    r = put_query(out, request->query);
    buf_putc(out, '\n');
    sort_headers(request, sorted);
    put_headers(sorted, request->header_count, out, names);
    buf_printf(out, "\n%s\n", buf_text(names));
    put_hash(out, request->body, request->body_length);
    return r;
}

/* ---- the signature ---- */

static bool hmac(const void *key, size_t key_length, const char *text,
                 unsigned char digest[SHA256_DIGEST_LENGTH])
{
    return HMAC(EVP_sha256(), key, (int)key_length, (const unsigned char *)text, strlen(text),
                digest, NULL) != NULL;
}

static bool sign(const struct sigv4_scope *scope, const char *date, const char *text,
                 unsigned char digest[SHA256_DIGEST_LENGTH])
{
    CLEANUP_BUF struct buf secret = BUF_INIT(4096);
    unsigned char key[SHA256_DIGEST_LENGTH], next[SHA256_DIGEST_LENGTH];
    bool is_done;

    buf_printf(&secret, "AWS4%s", scope->secret_key);
    is_done = !buf_is_full(&secret) && hmac(buf_text(&secret), secret.length, date, key) &&
              hmac(key, sizeof(key), scope->region, next) &&
              hmac(next, sizeof(next), scope->service, key) &&
              hmac(key, sizeof(key), "aws4_request", next) &&
              hmac(next, sizeof(next), text, digest);
    OPENSSL_cleanse(secret.data, secret.length);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(next, sizeof(next));
    return is_done;
}

int sigv4_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
               struct sigv4_result *ret_result)
{
    CLEANUP_BUF struct buf names = BUF_INIT(4096);
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char date[DATE_LENGTH + 1], credential[256];
    int r;

    *ret_result = (struct sigv4_result){BUF_INIT(BUF_UNBOUNDED), BUF_INIT(4096), BUF_INIT(4096)};
    if (request->header_count > SIGV4_HEADERS_MAX)
        return -E2BIG;
    r = put_canonical(request, &ret_result->canonical, &names);
    if (r < 0)
        return r;
    snprintf(date, sizeof(date), "%.8s", scope->time);
    snprintf(credential, sizeof(credential), "%s/%s/%s/aws4_request", date, scope->region,
             scope->service);
    buf_printf(&ret_result->string_to_sign, ALGORITHM "\n%s\n%s\n", scope->time, credential);
    put_hash(&ret_result->string_to_sign, buf_text(&ret_result->canonical),
             ret_result->canonical.length);
    if (!sign(scope, date, buf_text(&ret_result->string_to_sign), digest))
        return -EIO;
    buf_printf(&ret_result->authorization,
               ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=", scope->access_key,
               credential, buf_text(&names));
    put_hex(&ret_result->authorization, digest, sizeof(digest));
    return 0;
}

void sigv4_result_deinit(struct sigv4_result *result)
{
    buf_deinit(&result->canonical);
    buf_deinit(&result->string_to_sign);
    buf_deinit(&result->authorization);
}
