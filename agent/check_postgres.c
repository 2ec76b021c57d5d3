/* postgres: a startup message, as pg_isready sends it, and the server's first answer
 * (https://www.postgresql.org/docs/15/protocol-flow.html, protocol 3.0). Asking for a password, or
 * refusing this user or database, proves a server that takes sessions.
 */
#include "agent/check.h"

#include "common/text.h"

#include <string.h>

#define ANSWER_MAX 4096 /* bytes: of the first message */

static void begin(struct exchange *exchange)
{
    /* length, version 3.0, then name and value pairs */
    static const char startup[] = "\0\0\0\x43\0\3\0\0user\0canreach\0database\0postgres\0"
                                  "application_name\0canreach\0";

    _Static_assert(sizeof(startup) == 0x43, "the message holds its own length");
    exchange->text = BUF_INIT(ANSWER_MAX);
    exchange->out = startup;
    exchange->out_length = sizeof(startup);
}

/* A field of an ErrorResponse: a type byte and a string each, then a NUL. */
static const char *error_field(const char *fields, const char *end, char wanted)
{
    while (fields < end && *fields) {
        const char *value = fields + 1;
        const char *stop = memchr(value, '\0', (size_t)(end - value));
        if (!stop)
            return "";
        if (*fields == wanted)
            return value;
        fields = stop + 1;
    }
    return "";
}

static enum check_result judge_error(struct exchange *exchange, const char *fields, const char *end)
{
    /* starting up or shutting down; too many connections; out of memory, disk or slots */
    static const char *const unable[] = {"57P01", "57P02", "57P03", "53300", "53200", "53100"};
    const char *code = error_field(fields, end, 'C');

    for (size_t i = 0; i < ARRAY_SIZE(unable); i++)
        if (strcmp(code, unable[i]) == 0)
            return exchange_fail(exchange, OUTCOME_NOT_SERVING, "%s: %s", code,
                                 error_field(fields, end, 'M'));
    if (strlen(code) != 5)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "an error without an SQLSTATE");
    return CHECK_PASSED;
}

static enum check_result judge(struct exchange *exchange, const char *message, size_t length)
{
    static const char terminate[] = "X\0\0\0\4";

    if (*message == 'E')
        return judge_error(exchange, message + 5, message + length);
    /* Authentication is asked for, or was not needed: a word of farewell, or it logs a lost client.
     */
    exchange->has_farewell = true;
    exchange->out = terminate;
    exchange->out_length = sizeof(terminate) - 1;
    return CHECK_PASSED;
}

static enum check_result feed(struct exchange *exchange, const char *data, size_t length)
{
    const unsigned char *bytes;
    size_t size;

    buf_append(&exchange->text, data, length);
    bytes = (const unsigned char *)buf_text(&exchange->text);
    if (bytes[0] != 'R' && bytes[0] != 'E' && bytes[0] != 'v')
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "not PostgreSQL: '%.*s'",
                             (int)(exchange->text.length < 24 ? exchange->text.length : 24),
                             buf_text(&exchange->text));
    if (exchange->text.length < 5)
        return CHECK_MORE;
    size = ((size_t)bytes[1] << 24 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 8 | bytes[4]) + 1;
    if (size < 5 + 4 || size > ANSWER_MAX)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "a first message of %zu bytes", size);
    return exchange->text.length < size ? CHECK_MORE
                                        : judge(exchange, buf_text(&exchange->text), size);
}

const struct check_type check_postgres = {.name = "postgres", .begin = begin, .feed = feed};
