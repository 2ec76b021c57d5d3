/* Reads what a check may say: one table of keys, with the types that look at each. */
#include "collector/fleet_parser.h"

#include "common/text.h"
#include "proto/proto.h"
#include "proto/status.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MIN_MS 100

static const char *const check_types[] = {"tcp", "tls",   "http",     "https", "grpc",
                                          "udp", "mysql", "postgres", "redis", "none"};

/* ---- one reader a kind of value ---- */

static void read_type(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    check->type = parser_one_of(parser, node, "check", check_types, ARRAY_SIZE(check_types));
}

static void read_port(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    const char *text = parser_scalar(parser, node, "port");
    int64_t port;

    if (!text)
        return;
    if (text_to_int(text, 1, 65535, &port))
        check->port = (uint16_t)port;
    else
        parser_fail(parser, node, "port is '%.60s'; expected a number from 1 to 65535", text);
}

static void read_timeout(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    const char *text = parser_scalar(parser, node, "timeout");
    int64_t ms;

    if (!text)
        return;
    if (!text_to_duration_ms(text, &ms) || ms < TIMEOUT_MIN_MS || ms > PROTO_TIMEOUT_MAX)
        parser_fail(parser, node,
                    "timeout is '%.60s'; expected a duration from 100ms to 60s, such as 2s", text);
    else
        check->timeout_ms = ms;
}

static void read_path(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    const char *text = parser_scalar(parser, node, "path");

    if (!text)
        return;
    if (text[0] != '/' || strlen(text) > PROTO_PATH_MAX)
        parser_fail(parser, node,
                    "path is '%.60s'; expected it to begin with '/', at most %d bytes", text,
                    PROTO_PATH_MAX);
    else if (strcspn(text, " \t\r\n\x7f") != strlen(text))
        parser_fail(parser, node,
                    "path holds a space or control character; write %%20 for a space");
    else
        check->path = parser_keep(parser, text);
}

static void read_status(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    CLEANUP_BUF struct buf set = BUF_INIT(127);
    const yaml_node_item_t *item;
    const char *text;

    if (node->type != YAML_SEQUENCE_NODE) {
        text = parser_scalar(parser, node, "status");
        buf_puts(&set, text ? text : "200");
    } else {
        for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
            text = parser_scalar(parser, parser_node(parser, *item), "a status");
            buf_printf(&set, "%s%s", set.length ? "," : "", text ? text : "200");
        }
    }
    if (buf_is_full(&set) || !status_set_is_valid(buf_text(&set)))
        parser_fail(
            parser, node,
            "status is '%.60s'; expected a status, a range or a list, such as 200-299 or [200, "
            "404]",
            buf_text(&set));
    else
        check->status = parser_keep(parser, buf_text(&set));
}

static void read_bool(struct parser *parser, const yaml_node_t *node, const char *what, bool *value)
{
    static const char *const words[] = {"true", "false"};
    const char *word = parser_one_of(parser, node, what, words, ARRAY_SIZE(words));

    if (word)
        *value = strcmp(word, "true") == 0;
}

static void read_tls(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    read_bool(parser, node, "tls", &check->is_tls);
}

static void read_verify(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    bool is_verified = !check->is_unverified;

    read_bool(parser, node, "verify", &is_verified);
    check->is_unverified = !is_verified;
}

/* Text of 1 to `max` bytes; nothing that could end a line of a protocol. */
static void read_text(struct parser *parser, const yaml_node_t *node, const char *what, size_t max,
                      const char **ret_text)
{
    const char *text = parser_scalar(parser, node, what);

    if (!text)
        return;
    if (!*text || strlen(text) > max)
        parser_fail(parser, node, "%s has %zu bytes; expected 1 to %zu", what, strlen(text), max);
    else if (strcspn(text, "\r\n") != strlen(text))
        parser_fail(parser, node, "%s holds a line end", what);
    else
        *ret_text = parser_keep(parser, text);
}

static void read_method(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    /* Those that change nothing at the target (RFC 9110 section 9.2.1): a probe is no client. */
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS"};
    const char *method = parser_one_of(parser, node, "method", methods, ARRAY_SIZE(methods));

    if (method)
        check->method = method;
}

static void read_host(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    const char *text = parser_scalar(parser, node, "host");
    size_t length = text ? strlen(text) : 0;

    if (!text)
        return;
    if (!length || length > PROTO_HOST_MAX ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:[]") !=
            length)
        parser_fail(parser, node, "host is '%.60s'; expected a host name, with :PORT if need be",
                    text);
    else
        check->host = parser_keep(parser, text);
}

static void read_match(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    read_text(parser, node, "the text to find", PROTO_MATCH_MAX, &check->match);
}

static void read_send(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    read_text(parser, node, "send", PROTO_SEND_MAX, &check->send);
}

static void read_health(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    read_text(parser, node, "grpc_service", PROTO_NAME_MAX, &check->health);
}

static void read_server(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    const char *text = parser_scalar(parser, node, "server_name");

    if (text && !text_is_hostname(text))
        parser_fail(parser, node, "server_name is '%.60s'; expected a host name", text);
    else if (text)
        check->server = parser_keep(parser, text);
}

static void read_alpn(struct parser *parser, const yaml_node_t *node, struct fleet_check *check)
{
    read_text(parser, node, "alpn", 64, &check->alpn);
    if (strspn(check->alpn,
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,") !=
        strlen(check->alpn))
        parser_fail(parser, node, "alpn is '%.60s'; expected protocols such as h2,http/1.1",
                    check->alpn);
}

static void on_throughput_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                              const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"path", "bytes"};
    struct fleet_check *check = ctx;
    const char *text;

    if (strcmp(key, "path") == 0) {
        read_path(parser, value, check);
    } else if (strcmp(key, "bytes") == 0) {
        text = parser_scalar(parser, value, "bytes");
        if (text && !text_to_int(text, 1, PROTO_RATE_BYTES_MAX, &check->rate_bytes))
            parser_fail(parser, value, "bytes is '%.60s'; expected a number from 1 to %d", text,
                        PROTO_RATE_BYTES_MAX);
    } else {
        parser_unknown_key(parser, key_node, key, "throughput", known, ARRAY_SIZE(known));
    }
}

static void read_throughput(struct parser *parser, const yaml_node_t *node,
                            struct fleet_check *check)
{
    if (!parser_is_mapping(parser, node, "throughput"))
        return;
    parser_each_key(parser, node, on_throughput_key, check);
    if (!check->rate_bytes)
        parser_fail(parser, node, "throughput needs 'bytes': how much to download");
}

/* ---- the table ---- */

static const struct {
    const char *key;
    const char *types; /* that look at it; NULL: all */
    void (*read)(struct parser *parser, const yaml_node_t *node, struct fleet_check *check);
} settings_table[] = {
    {"check", NULL, read_type},
    {"port", NULL, read_port},
    {"timeout", NULL, read_timeout},
    {"path", "http https", read_path},
    {"status", "http https", read_status},
    {"method", "http https", read_method},
    {"host", "http https grpc", read_host},
    {"body", "http https", read_match},
    {"throughput", "http https", read_throughput},
    {"send", "udp", read_send},
    {"answer", "udp", read_match},
    {"grpc_service", "grpc", read_health},
    {"tls", "http grpc redis", read_tls},
    {"verify", "tls https http grpc redis", read_verify},
    {"server_name", "tls https http grpc redis", read_server},
    {"alpn", "tls", read_alpn},
};
_Static_assert(ARRAY_SIZE(settings_table) <= SETTINGS_MAX, "a place for each key");

bool parser_read_setting(struct parser *parser, const char *key, const yaml_node_t *key_node,
                         const yaml_node_t *value, struct check_settings *settings)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings_table); i++)
        if (strcmp(settings_table[i].key, key) == 0) {
            settings->given[i] = key_node;
            settings_table[i].read(parser, value, &settings->check);
            return true;
        }
    return false;
}

void parser_unknown_setting(struct parser *parser, const yaml_node_t *node, const char *key,
                            const char *where, const char *const *others, size_t count)
{
    const char *known[ARRAY_SIZE(settings_table) + 8];
    size_t total = 0;

    for (size_t i = 0; i < count && i < 8; i++)
        known[total++] = others[i];
    for (size_t i = 0; i < ARRAY_SIZE(settings_table); i++)
        known[total++] = settings_table[i].key;
    parser_unknown_key(parser, node, key, where, known, total);
}

static bool is_one_of(const char *words, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = words; (at = strstr(at, word)); at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

void parser_judge_settings(struct parser *parser, const struct check_settings *settings)
{
    const struct fleet_check *check = &settings->check;
    bool is_tls = check->is_tls || is_one_of("tls https", check->type);

    for (size_t i = 0; i < ARRAY_SIZE(settings_table); i++) {
        const char *key = settings_table[i].key, *types = settings_table[i].types;
        if (!settings->given[i] || !types)
            continue;
        if (!is_one_of(types, check->type))
            parser_warn(parser, settings->given[i],
                        "'%s' means nothing to a '%s' check (only to: %s)", key, check->type,
                        types);
        else if (!is_tls && (strcmp(key, "verify") == 0 || strcmp(key, "server_name") == 0))
            parser_warn(parser, settings->given[i], "'%s' means nothing without 'tls: true'", key);
    }
}
