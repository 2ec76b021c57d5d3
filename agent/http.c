#include "agent/http.h"

#include "common/text.h"
#include "common/version.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* "HTTP/1.x NNN" and then a space or nothing; -1 when it is not that (RFC 9112 section 4). */
static int parse_status_line(const char *line)
{
    if (strncmp(line, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)line[7]) || line[8] != ' ')
        return -1;
    for (int i = 9; i < 12; i++)
        if (!isdigit((unsigned char)line[i]))
            return -1;
    if (line[12] && line[12] != ' ')
        return -1;
    return (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
}

/* Only what says where the body ends (RFC 9112 section 6.3). */
static void take_header(struct http_answer *answer)
{
    static const char length[] = "content-length:", coding[] = "transfer-encoding:";
    const char *value;
    int64_t bytes;

    if (strncasecmp(answer->text, length, sizeof(length) - 1) == 0) {
        value = answer->text + sizeof(length) - 1;
        if (text_to_int(value + strspn(value, " \t"), 0, INT64_MAX, &bytes)) {
            answer->has_length = true;
            answer->left = (uint64_t)bytes;
        }
    } else if (strncasecmp(answer->text, coding, sizeof(coding) - 1) == 0) {
        answer->is_chunked |= strcasestr(answer->text, "chunked") != NULL;
    }
}

/* A complete line, without its end. */
static enum http_result take_line(struct http_answer *answer)
{
    size_t kept = answer->line < sizeof(answer->text) - 1 ? answer->line : sizeof(answer->text) - 1;

    if (kept && answer->text[kept - 1] == '\r' && kept == answer->line)
        kept--;
    answer->text[kept] = '\0';
    answer->line = 0;
    if (!answer->status) {
        answer->status = parse_status_line(answer->text);
        return answer->status < 100 ? HTTP_BAD : HTTP_MORE;
    }
    if (kept) {
        take_header(answer);
        return HTTP_MORE;
    }
    if (answer->status >= 200 || answer->status == 101) {
        answer->left = answer->is_chunked ? 0 : answer->left;
        return HTTP_DONE;
    }
    answer->has_length = answer->is_chunked = false;
    answer->status = 0; /* interim: the final answer follows (RFC 9110 section 15.2) */
    return HTTP_MORE;
}

enum http_result http_feed(struct http_answer *answer, const char *data, size_t length,
                           size_t *ret_used)
{
    enum http_result result = HTTP_MORE;
    size_t i;

    for (i = 0; i < length && result == HTTP_MORE; i++) {
        if (++answer->head > HTTP_HEAD_MAX) {
            result = HTTP_BAD;
        } else if (data[i] == '\n') {
            result = take_line(answer);
        } else {
            if (answer->line < sizeof(answer->text) - 1)
                answer->text[answer->line] = data[i];
            /* What is not HTTP need not send a line end before we say so. */
            if (!answer->status && answer->line < 5 && data[i] != "HTTP/"[answer->line])
                result = HTTP_BAD;
            answer->line++;
        }
    }
    *ret_used = i;
    return result;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte between two chunks' data (RFC 9112 section 7.1). */
static enum http_result feed_chunk_byte(struct http_answer *answer, char c)
{
    switch (answer->chunk) {
    case CHUNK_SIZE:
        if (hex_value(c) >= 0) {
            if (answer->left >> 56)
                return HTTP_BAD;
            answer->left = answer->left << 4 | (uint64_t)hex_value(c);
            answer->line++;
            return HTTP_MORE;
        }
        if (!answer->line)
            return HTTP_BAD;
        answer->chunk = CHUNK_EXTENSION;
        __attribute__((fallthrough)); /* the line may end here */
    case CHUNK_EXTENSION:
        if (c == '\n') {
            answer->line = 0;
            answer->chunk = answer->left ? CHUNK_DATA : CHUNK_TRAILER;
        }
        return HTTP_MORE;
    case CHUNK_END:
        if (c == '\n')
            answer->chunk = CHUNK_SIZE;
        return c == '\n' || c == '\r' ? HTTP_MORE : HTTP_BAD;
    case CHUNK_TRAILER:
        if (c == '\n' && !answer->line)
            return HTTP_DONE;
        answer->line = c == '\n' ? 0 : answer->line + (c != '\r');
        return HTTP_MORE;
    case CHUNK_DATA:
        break;
    }
    return HTTP_BAD;
}

static size_t take_body(struct http_answer *answer, const char *data, size_t length,
                        struct buf *out)
{
    size_t part = length < answer->left ? length : (size_t)answer->left;

    if (out)
        buf_append(out, data, part);
    answer->left -= part;
    answer->body += part;
    return part;
}

static enum http_result feed_chunks(struct http_answer *answer, const char *data, size_t length,
                                    struct buf *out)
{
    enum http_result result = HTTP_MORE;

    for (size_t i = 0; i < length && result == HTTP_MORE;) {
        if (answer->chunk != CHUNK_DATA) {
            result = feed_chunk_byte(answer, data[i++]);
            continue;
        }
        i += take_body(answer, data + i, length - i, out);
        if (!answer->left)
            answer->chunk = CHUNK_END;
    }
    return result;
}

enum http_result http_feed_body(struct http_answer *answer, const char *data, size_t length,
                                struct buf *out)
{
    if (answer->is_chunked)
        return feed_chunks(answer, data, length, out);
    if (!answer->has_length)
        answer->left = UINT64_MAX;
    take_body(answer, data, length, out);
    return answer->left ? HTTP_MORE : HTTP_DONE;
}

void http_request(struct buf *out, const char *method, const char *path, const char *host, int port)
{
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s", method, path, host);
    if (port)
        buf_printf(out, ":%d", port);
    buf_puts(out, "\r\nUser-Agent: canreach/" CANREACH_VERSION
                  "\r\nAccept: */*\r\nConnection: close\r\n\r\n");
}
