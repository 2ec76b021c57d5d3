#include "agent/http.h"

#include "common/version.h"

#include <ctype.h>
#include <string.h>

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
    if (kept)
        return HTTP_MORE;
    if (answer->status >= 200 || answer->status == 101)
        return HTTP_DONE;
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

void http_request(struct buf *out, const char *path, const char *host, int port)
{
    buf_printf(out, "GET %s HTTP/1.1\r\nHost: %s", path, host);
    if (port != 80)
        buf_printf(out, ":%d", port);
    buf_puts(out, "\r\nUser-Agent: canreach/" CANREACH_VERSION
                  "\r\nAccept: */*\r\nConnection: close\r\n\r\n");
}
