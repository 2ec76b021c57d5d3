/* redis: PING (https://redis.io/docs/latest/develop/reference/protocol-spec/). An error that wants
 * a password comes from a server that serves. */
#include "agent/check.h"

#include "common/text.h"

#include <string.h>

#define LINE_MAX_BYTES 512

static void begin(struct exchange *exchange)
{
    static const char ping[] = "PING\r\n";

    exchange->text = BUF_INIT(LINE_MAX_BYTES);
    exchange->out = ping;
    exchange->out_length = sizeof(ping) - 1;
}

static enum check_result judge(struct exchange *exchange, const char *line, int length)
{
    /* It answers, but not to its clients: it loads its data, has lost its master, is full, or is in
     * protected mode. */
    static const char *const unable[] = {"-LOADING", "-MASTERDOWN",
                                         "-BUSY",    "-CLUSTERDOWN",
                                         "-DENIED",  "-ERR max number of clients"};

    if (strncmp(line, "+PONG", 5) == 0)
        return CHECK_PASSED;
    for (size_t i = 0; i < ARRAY_SIZE(unable); i++)
        if (strncmp(line, unable[i], strlen(unable[i])) == 0)
            return exchange_fail(exchange, OUTCOME_NOT_SERVING, "%.*s", length - 1, line + 1);
    if (strncmp(line, "-NOAUTH", 7) == 0 || strncmp(line, "-NOPERM", 7) == 0 ||
        strncmp(line, "-ERR", 4) == 0)
        return CHECK_PASSED;
    return exchange_fail(exchange, OUTCOME_BAD_REPLY, "not Redis: '%.*s'",
                         length < 40 ? length : 40, line);
}

static enum check_result feed(struct exchange *exchange, const char *data, size_t length)
{
    const char *end;

    if (exchange->text.length == 0 && check_looks_like_tls(data, length))
        return exchange_fail(exchange, OUTCOME_TLS_EXPECTED, "the answer is a TLS record");
    buf_append(&exchange->text, data, length);
    end = memchr(buf_text(&exchange->text), '\n', exchange->text.length);
    if (end && end > buf_text(&exchange->text) && end[-1] == '\r')
        end--;
    if (end)
        return judge(exchange, buf_text(&exchange->text), (int)(end - buf_text(&exchange->text)));
    /* A first byte that no answer of Redis begins with need not become a line. */
    if (!strchr("+-", *buf_text(&exchange->text)) || buf_is_full(&exchange->text))
        return judge(exchange, buf_text(&exchange->text), (int)exchange->text.length);
    return CHECK_MORE;
}

const struct check_type check_redis = {.name = "redis", .begin = begin, .feed = feed};
