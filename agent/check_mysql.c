/* mysql: the server's greeting, a whole handshake with a user that need not exist, and the server's
 * verdict (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html).
 *
 * A handshake that breaks off counts against the client's address, which is the app's; after 100 of
 * them (max_connect_errors) the server blocks it. One that ends with "access denied" does not.
 */
#include "agent/check.h"

#include <string.h>

#define PACKET_MAX 4096 /* bytes of payload */

#define CLIENT_PROTOCOL_41       0x00000200U
#define CLIENT_SECURE_CONNECTION 0x00008000U
#define CLIENT_PLUGIN_AUTH       0x00080000U

#define ERROR_TOO_MANY_CONNECTIONS 1040
#define ERROR_HOST_IS_BLOCKED      1129
#define ERROR_HOST_NOT_PRIVILEGED  1130
#define ERROR_SHUTDOWN             1053

enum step { STEP_GREETING, STEP_VERDICT };

static void begin(struct exchange *exchange)
{
    exchange->text = BUF_INIT(4 + PACKET_MAX);
    exchange->reply = BUF_INIT(256);
}

static void put_int(struct buf *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_putc(out, (char)(value >> 8 * i & 0xff));
}

static void send_packet(struct exchange *exchange, const struct buf *payload, uint8_t sequence)
{
    buf_reset(&exchange->reply);
    put_int(&exchange->reply, (uint32_t)payload->length, 3);
    put_int(&exchange->reply, sequence, 1);
    buf_append(&exchange->reply, buf_text(payload), payload->length);
    exchange->out = buf_text(&exchange->reply);
    exchange->out_length = exchange->reply.length;
}

static void send_login(struct exchange *exchange, uint8_t sequence)
{
    CLEANUP_BUF struct buf payload = BUF_INIT(128);

    put_int(&payload, CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH, 4);
    put_int(&payload, PACKET_MAX, 4);
    put_int(&payload, 45, 1); /* utf8mb4_general_ci */
    for (int i = 0; i < 23; i++)
        buf_putc(&payload, '\0');
    buf_append(&payload, "canreach", sizeof("canreach"));
    put_int(&payload, 0, 1); /* no password */
    buf_append(&payload, "mysql_native_password", sizeof("mysql_native_password"));
    send_packet(exchange, &payload, sequence);
}

static enum check_result judge_error(struct exchange *exchange, const unsigned char *payload,
                                     size_t length)
{
    int code = length >= 3 ? payload[1] | payload[2] << 8 : 0;
    size_t skip = length >= 9 && payload[3] == '#' ? 9 : 3; /* the SQLSTATE */
    int rest = length > skip ? (int)(length - skip) : 0;

    switch (code) {
    case 0:
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "an error without a code");
    case ERROR_TOO_MANY_CONNECTIONS:
    case ERROR_HOST_IS_BLOCKED:
    case ERROR_HOST_NOT_PRIVILEGED:
    case ERROR_SHUTDOWN:
        return exchange_fail(exchange, OUTCOME_NOT_SERVING, "error %d: %.*s", code,
                             rest < 120 ? rest : 120, (const char *)payload + skip);
    default: /* access denied and its like: it serves */
        return CHECK_PASSED;
    }
}

static enum check_result judge_greeting(struct exchange *exchange, const unsigned char *payload,
                                        size_t length, uint8_t sequence)
{
    if (length && payload[0] == 0xff)
        return judge_error(exchange, payload, length);
    /* protocol 10, then the version as a string */
    if (length < 2 || payload[0] != 10 || !memchr(payload + 1, '\0', length - 1))
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "no MySQL greeting");
    exchange->step = STEP_VERDICT;
    send_login(exchange, (uint8_t)(sequence + 1));
    return CHECK_MORE;
}

static enum check_result judge_verdict(struct exchange *exchange, const unsigned char *payload,
                                       size_t length, uint8_t sequence)
{
    CLEANUP_BUF struct buf payload_out = BUF_INIT(8);

    if (length && payload[0] == 0xff)
        return judge_error(exchange, payload, length);
    if (length && payload[0] == 0xfe) { /* another plugin, please: an empty answer to it */
        send_packet(exchange, &payload_out, (uint8_t)(sequence + 1));
        return CHECK_MORE;
    }
    if (length && payload[0] == 0x01) /* more data of a plugin: it will not be satisfied */
        return CHECK_MORE;
    if (!length || payload[0] != 0x00)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "no verdict on the login");
    exchange->has_farewell = true;
    put_int(&payload_out, 1, 1); /* logged in: COM_QUIT */
    send_packet(exchange, &payload_out, 0);
    return CHECK_PASSED;
}

/* One packet: 3 bytes of length, a sequence number, the payload. */
static enum check_result take_packet(struct exchange *exchange, bool *ret_is_whole)
{
    const unsigned char *bytes = (const unsigned char *)buf_text(&exchange->text);
    size_t have = exchange->text.length, length;
    enum check_result result;

    *ret_is_whole = false;
    if (have < 4)
        return CHECK_MORE;
    length = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16;
    if (length > PACKET_MAX)
        return exchange_fail(exchange, OUTCOME_BAD_REPLY, "not MySQL: '%.*s'",
                             (int)(have < 24 ? have : 24), (const char *)bytes);
    if (have < 4 + length)
        return CHECK_MORE;
    *ret_is_whole = true;
    result = exchange->step == STEP_GREETING ? judge_greeting(exchange, bytes + 4, length, bytes[3])
                                             : judge_verdict(exchange, bytes + 4, length, bytes[3]);
    memmove(exchange->text.data, exchange->text.data + 4 + length, have - 4 - length);
    buf_truncate(&exchange->text, have - 4 - length);
    return result;
}

static enum check_result feed(struct exchange *exchange, const char *data, size_t length)
{
    enum check_result result = CHECK_MORE;
    bool is_whole = true;

    /* In portions: a chatty peer fills the buffer, never more. */
    while (result == CHECK_MORE && (length || is_whole)) {
        size_t room = exchange->text.limit - exchange->text.length;
        size_t part = length < room ? length : room;
        buf_append(&exchange->text, data, part);
        data += part;
        length -= part;
        result = take_packet(exchange, &is_whole);
        if (!is_whole && !length)
            break;
    }
    return result;
}

const struct check_type check_mysql = {.name = "mysql", .begin = begin, .feed = feed};
