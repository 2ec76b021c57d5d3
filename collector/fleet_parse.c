/* Reads a fleet file: YAML nodes in, a struct fleet or messages with line and column out. */
#include "collector/fleet.h"

#include "common/mem.h"
#include "common/text.h"
#include "proto/proto.h"
#include "proto/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define NODES_MAX       200000 /* visited: aliases could make a small file a large one */
#define NESTING_MAX     64
#define TIMEOUT_MIN_MS  100
#define DEFAULT_PATH    "/"
#define DEFAULT_TIMEOUT 2000

struct parser {
    const char *origin;
    yaml_document_t document;
    struct fleet *fleet;
    struct fleet_messages *messages;
    size_t visited;
};

/* What a service's own keys may override. */
struct settings {
    const char *check, *path, *status, *record;
    int64_t port, timeout_ms;
};

static const char *const check_types[] = {"tcp",   "tls",      "http",  "grpc", "udp",
                                          "mysql", "postgres", "redis", "none"};
/* The checks that agents of this version can do. */
static const char *const probed_types[] = {"tcp", "http"};

/* ---- messages ---- */

static void __attribute__((format(printf, 4, 0)))
say(struct parser *parser, const yaml_mark_t *mark, bool is_error, const char *format, va_list args)
{
    struct fleet_messages *messages = parser->messages;

    if (is_error && ++messages->errors > FLEET_ERRORS_MAX)
        return;
    if (!is_error && ++messages->warnings > FLEET_ERRORS_MAX)
        return;
    buf_printf(&messages->text, "%s:", parser->origin);
    if (mark)
        buf_printf(&messages->text, "%zu:%zu:", mark->line + 1, mark->column + 1);
    buf_puts(&messages->text, is_error ? " error: " : " warning: ");
    buf_vprintf(&messages->text, format, args);
    buf_putc(&messages->text, '\n');
}

static void __attribute__((format(printf, 3, 4)))
fail(struct parser *parser, const yaml_node_t *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(parser, node ? &node->start_mark : NULL, true, format, args);
    va_end(args);
}

static void __attribute__((format(printf, 3, 4)))
warn(struct parser *parser, const yaml_node_t *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(parser, node ? &node->start_mark : NULL, false, format, args);
    va_end(args);
}

static const char *suggest(const char *word, const char *const *candidates, size_t count)
{
    static char text[96];
    const char *closest = text_closest(word, candidates, count);

    if (!closest)
        return "";
    snprintf(text, sizeof(text), "; did you mean '%.60s'?", closest);
    return text;
}

static const char *list_of(const char *const *words, size_t count)
{
    static char text[256];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? ", " : "", words[i]);
    return text;
}

/* ---- nodes ---- */

static const yaml_node_t *node_at(struct parser *parser, int index)
{
    return yaml_document_get_node(&parser->document, index);
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE     ? "a single value"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a mapping";
}

/* The text of a scalar, or NULL with a message. */
static const char *scalar(struct parser *parser, const yaml_node_t *node, const char *what)
{
    const char *text;

    if (node->type != YAML_SCALAR_NODE) {
        fail(parser, node, "%s is %s; expected a single value", what, kind_of(node));
        return NULL;
    }
    text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        fail(parser, node, "%s contains a NUL byte", what);
        return NULL;
    }
    return text;
}

static bool is_mapping(struct parser *parser, const yaml_node_t *node, const char *what)
{
    if (node->type == YAML_MAPPING_NODE)
        return true;
    fail(parser, node, "%s is %s; expected a mapping of keys and values", what, kind_of(node));
    return false;
}

typedef void (*key_fn)(struct parser *parser, const char *key, const yaml_node_t *key_node,
                       const yaml_node_t *value, void *ctx);

/* Calls `fn` for each key, after refusing what is no key and what stands twice. */
static void each_key(struct parser *parser, const yaml_node_t *mapping, key_fn fn, void *ctx)
{
    const yaml_node_pair_t *first = mapping->data.mapping.pairs.start;

    for (const yaml_node_pair_t *pair = first; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key_node = node_at(parser, pair->key);
        const char *key = scalar(parser, key_node, "a key");
        bool is_repeated = false;

        if (!key || ++parser->visited > NODES_MAX)
            continue;
        for (const yaml_node_pair_t *at = first; at < pair && !is_repeated; at++) {
            const yaml_node_t *other = node_at(parser, at->key);
            is_repeated = other->type == YAML_SCALAR_NODE &&
                          strcmp((const char *)other->data.scalar.value, key) == 0;
            if (is_repeated)
                fail(parser, key_node, "'%.60s' stands twice; first in line %zu", key,
                     other->start_mark.line + 1);
        }
        if (!is_repeated)
            fn(parser, key, key_node, node_at(parser, pair->value), ctx);
    }
}

static void unknown_key(struct parser *parser, const yaml_node_t *node, const char *key,
                        const char *where, const char *const *known, size_t count)
{
    fail(parser, node, "unknown key '%.60s' in %s%s (known: %s)", key, where,
         suggest(key, known, count), list_of(known, count));
}

/* ---- values ---- */

static const char *keep(struct parser *parser, const char *text)
{
    return arena_strdup(&parser->fleet->arena, text);
}

static const char *one_of(struct parser *parser, const yaml_node_t *node, const char *what,
                          const char *const *words, size_t count)
{
    const char *text = scalar(parser, node, what);

    if (!text)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0)
            return words[i];
    fail(parser, node, "%s is '%.60s'; expected one of %s%s", what, text, list_of(words, count),
         suggest(text, words, count));
    return NULL;
}

static void read_port(struct parser *parser, const yaml_node_t *node, int64_t *port)
{
    const char *text = scalar(parser, node, "port");

    if (text && !text_to_int(text, 1, 65535, port))
        fail(parser, node, "port is '%.60s'; expected a number from 1 to 65535", text);
}

static void read_timeout(struct parser *parser, const yaml_node_t *node, int64_t *timeout_ms)
{
    const char *text = scalar(parser, node, "timeout");
    int64_t ms;

    if (!text)
        return;
    if (!text_to_duration_ms(text, &ms) || ms < TIMEOUT_MIN_MS || ms > PROTO_TIMEOUT_MAX)
        fail(parser, node, "timeout is '%.60s'; expected a duration from 100ms to 60s, such as 2s",
             text);
    else
        *timeout_ms = ms;
}

static void read_path(struct parser *parser, const yaml_node_t *node, const char **path)
{
    const char *text = scalar(parser, node, "path");

    if (!text)
        return;
    if (text[0] != '/' || strlen(text) > PROTO_PATH_MAX)
        fail(parser, node, "path is '%.60s'; expected it to begin with '/', at most %d bytes", text,
             PROTO_PATH_MAX);
    else if (strcspn(text, " \t\r\n\x7f") != strlen(text))
        fail(parser, node, "path holds a space or control character; write %%20 for a space");
    else
        *path = keep(parser, text);
}

static void read_status(struct parser *parser, const yaml_node_t *node, const char **status)
{
    CLEANUP_BUF struct buf set = BUF_INIT(127);
    const yaml_node_item_t *item;
    const char *text;

    if (node->type != YAML_SEQUENCE_NODE) {
        text = scalar(parser, node, "status");
        buf_puts(&set, text ? text : "200");
    } else {
        for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
            text = scalar(parser, node_at(parser, *item), "a status");
            buf_printf(&set, "%s%s", set.length ? "," : "", text ? text : "200");
        }
    }
    if (buf_is_full(&set) || !status_set_is_valid(buf_text(&set)))
        fail(parser, node,
             "status is '%.60s'; expected a status, a range or a list, such as 200-299 or [200, "
             "404]",
             buf_text(&set));
    else
        *status = keep(parser, buf_text(&set));
}

static const char *const records[] = {"A", "SRV"};

/* The keys that defaults, services and checks share. False: none of them. */
static bool read_setting(struct parser *parser, const char *key, const yaml_node_t *value,
                         struct settings *settings)
{
    if (strcmp(key, "check") == 0)
        settings->check = one_of(parser, value, "check", check_types, ARRAY_SIZE(check_types));
    else if (strcmp(key, "port") == 0)
        read_port(parser, value, &settings->port);
    else if (strcmp(key, "path") == 0)
        read_path(parser, value, &settings->path);
    else if (strcmp(key, "status") == 0)
        read_status(parser, value, &settings->status);
    else if (strcmp(key, "timeout") == 0)
        read_timeout(parser, value, &settings->timeout_ms);
    else
        return false;
    return true;
}

static void on_default(struct parser *parser, const char *key, const yaml_node_t *key_node,
                       const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"check", "port", "path", "status", "timeout", "record"};
    struct settings *settings = ctx;

    if (read_setting(parser, key, value, settings))
        return;
    if (strcmp(key, "record") == 0)
        settings->record = one_of(parser, value, "record", records, ARRAY_SIZE(records));
    else
        unknown_key(parser, key_node, key, "defaults", known, ARRAY_SIZE(known));
}

/* ---- services ---- */

struct service_keys {
    struct settings settings;
    struct fleet_service *service;
    const yaml_node_t *checks, *names;
    const yaml_node_t *single; /* a key that belongs to a single check */
};

static void read_name_list(struct parser *parser, const yaml_node_t *node,
                           struct fleet_service *service)
{
    size_t count;

    if (node->type != YAML_SEQUENCE_NODE) {
        fail(parser, node, "names is %s; expected a list of discovery names", kind_of(node));
        return;
    }
    count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count == 0 || count > PROTO_NAMES_MAX) {
        fail(parser, node, "names has %zu entries; expected 1 to %d", count, PROTO_NAMES_MAX);
        return;
    }
    service->names = arena_alloc(&parser->fleet->arena, count, sizeof(*service->names));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = node_at(parser, node->data.sequence.items.start[i]);
        const char *text = scalar(parser, item, "a name");
        if (!text)
            continue;
        if (!text_is_hostname(text))
            fail(parser, item, "'%.60s' is not a host name", text);
        for (size_t j = 0; j < service->name_count; j++)
            if (strcmp(service->names[j], text) == 0)
                fail(parser, item, "the name '%.60s' stands twice", text);
        service->names[service->name_count++] = keep(parser, text);
    }
}

static void on_service_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                           const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"names", "record", "check",   "checks", "port",
                                        "path",  "status", "timeout", "agents"};
    static const char *const agents[] = {"expected", "none"};
    struct service_keys *keys = ctx;

    if (strcmp(key, "checks") == 0) {
        keys->checks = value;
    } else if (strcmp(key, "names") == 0) {
        keys->names = value;
        read_name_list(parser, value, keys->service);
    } else if (strcmp(key, "record") == 0) {
        keys->settings.record = one_of(parser, value, "record", records, ARRAY_SIZE(records));
    } else if (strcmp(key, "agents") == 0) {
        const char *word = one_of(parser, value, "agents", agents, ARRAY_SIZE(agents));
        keys->service->has_agents = !word || strcmp(word, "none") != 0;
    } else if (read_setting(parser, key, value, &keys->settings)) {
        if (strcmp(key, "check") == 0)
            keys->single = key_node;
    } else {
        unknown_key(parser, key_node, key, "a service", known, ARRAY_SIZE(known));
    }
}

static bool is_probed(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(probed_types); i++)
        if (strcmp(probed_types[i], type) == 0)
            return true;
    return false;
}

static void add_check(struct parser *parser, const yaml_node_t *node, struct fleet_service *service,
                      const char *name, const struct settings *settings)
{
    struct fleet_check *check = &service->checks[service->check_count];
    bool is_srv = strcmp(service->record, "SRV") == 0;

    *check = (struct fleet_check){
        .name = name,
        .type = settings->check,
        .port = is_srv ? 0 : (uint16_t)settings->port,
        .path = settings->path,
        .status = settings->status,
        .timeout_ms = settings->timeout_ms,
    };
    service->check_count++;
    if (!is_srv && !settings->port)
        fail(parser, node, "service '%s' has no port: give 'port', or 'record: SRV'",
             service->name);
    for (size_t i = 0; i + 1 < service->check_count; i++)
        if (strcmp(service->checks[i].name, name) == 0)
            fail(parser, node, "service '%s' has two checks named '%.60s'; give each a 'name'",
                 service->name, name);
    if (!is_probed(check->type))
        warn(parser, node,
             "agents of this version cannot do '%s' checks: '%s' will be probe-error (they do %s)",
             check->type, service->name, list_of(probed_types, ARRAY_SIZE(probed_types)));
    if (check->port == FLEET_MYSQL_PORT && strcmp(check->type, "tcp") == 0)
        warn(parser, node,
             "a plain tcp check on port %d: MySQL and MariaDB block a client address after 100 "
             "interrupted handshakes (max_connect_errors), the app's too; use 'check: mysql'",
             FLEET_MYSQL_PORT);
}

struct check_keys {
    struct settings settings;
    const char *name;
};

static void on_check_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                         const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"name", "check", "port", "path", "status", "timeout"};
    struct check_keys *keys = ctx;
    const char *text;

    if (read_setting(parser, key, value, &keys->settings))
        return;
    if (strcmp(key, "name") != 0) {
        unknown_key(parser, key_node, key, "a check", known, ARRAY_SIZE(known));
        return;
    }
    text = scalar(parser, value, "name");
    if (text && (!*text || strlen(text) > 63 || strcspn(text, ":, \t->*") != strlen(text)))
        fail(parser, value, "check name '%.60s': expected 1 to 63 characters, none of ': , > - *'",
             text);
    else if (text)
        keys->name = keep(parser, text);
}

static void read_checks(struct parser *parser, const struct service_keys *keys)
{
    struct fleet_service *service = keys->service;
    const yaml_node_t *list = keys->checks;
    size_t count;

    if (list->type != YAML_SEQUENCE_NODE) {
        fail(parser, list, "checks is %s; expected a list", kind_of(list));
        return;
    }
    count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (count == 0 || count > FLEET_CHECKS_MAX) {
        fail(parser, list, "checks has %zu entries; expected 1 to %d", count, FLEET_CHECKS_MAX);
        return;
    }
    if (keys->single)
        fail(parser, keys->single, "service '%s' has both 'check' and 'checks'", service->name);
    service->checks = arena_alloc(&parser->fleet->arena, count, sizeof(*service->checks));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = node_at(parser, list->data.sequence.items.start[i]);
        struct check_keys check = {.settings = keys->settings};
        if (!is_mapping(parser, item, "a check"))
            continue;
        each_key(parser, item, on_check_key, &check);
        if (check.settings.check && strcmp(check.settings.check, "none") == 0)
            fail(parser, item, "'none' is no check to list; give the service 'check: none'");
        else if (check.settings.check)
            add_check(parser, item, service, check.name ? check.name : check.settings.check,
                      &check.settings);
    }
}

struct services_ctx {
    struct settings defaults;
    const char *namespace;
};

static bool is_service_name(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= PROTO_NAME_MAX && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               length;
}

static void default_name(struct parser *parser, const yaml_node_t *node,
                         struct fleet_service *service, const char *namespace)
{
    const char *name;

    if (service->check_count == 0)
        return;
    if (!namespace) {
        fail(parser, node, "service '%s' has no discovery name: give 'names', or a 'namespace'",
             service->name);
        return;
    }
    name = arena_printf(&parser->fleet->arena, "%s.%s", service->name, namespace);
    if (!text_is_hostname(name))
        fail(parser, node, "'%.80s' is not a host name; give 'names'", name);
    service->names = arena_alloc(&parser->fleet->arena, 1, sizeof(*service->names));
    service->names[service->name_count++] = name;
}

static void on_service(struct parser *parser, const char *key, const yaml_node_t *key_node,
                       const yaml_node_t *value, void *ctx)
{
    const struct services_ctx *services = ctx;
    struct fleet *fleet = parser->fleet;
    struct fleet_service *service = &fleet->services[fleet->service_count];
    struct service_keys keys = {.settings = services->defaults, .service = service};
    bool is_empty = value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0;

    if (!is_service_name(key)) {
        fail(parser, key_node,
             "'%.60s' is not a service name; expected letters, digits, '-', '_' and '.'", key);
        return;
    }
    *service = (struct fleet_service){.name = keep(parser, key), .has_agents = true};
    fleet->service_count++;
    if (!is_empty && !is_mapping(parser, value, "a service"))
        return;
    if (!is_empty)
        each_key(parser, value, on_service_key, &keys);
    service->record = keys.settings.record ? keys.settings.record : "A";
    if (keys.checks) {
        read_checks(parser, &keys);
    } else if (keys.settings.check && strcmp(keys.settings.check, "none") != 0) {
        service->checks = arena_alloc(&fleet->arena, 1, sizeof(*service->checks));
        add_check(parser, key_node, service, keys.settings.check, &keys.settings);
    }
    if (!keys.names)
        default_name(parser, key_node, service, services->namespace);
    if (!service->has_agents && service->check_count == 0)
        warn(parser, key_node, "service '%s' has neither agents nor a check: nothing will test it",
             service->name);
}

/* ---- expectations ---- */

static char *trim(char *text)
{
    char *end;

    text += strspn(text, " \t");
    end = text + strlen(text);
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    return text;
}

/* SIZE_MAX for "*"; false with a message for a service that nothing defines. */
static bool find_service(struct parser *parser, const yaml_node_t *node, const char *name,
                         size_t *ret_service)
{
    const struct fleet *fleet = parser->fleet;
    const char **names;

    *ret_service = SIZE_MAX;
    if (strcmp(name, "*") == 0)
        return true;
    *ret_service = fleet_find_service(fleet, name);
    if (*ret_service != SIZE_MAX)
        return true;
    names = mem_array(fleet->service_count, sizeof(*names));
    for (size_t i = 0; i < fleet->service_count; i++)
        names[i] = fleet->services[i].name;
    fail(parser, node, "no service '%.60s' is defined%s", name,
         suggest(name, names, fleet->service_count));
    mem_free(names);
    return false;
}

static bool find_check(struct parser *parser, const yaml_node_t *node, size_t target,
                       const char *check, size_t *ret_check)
{
    const struct fleet_service *service;

    *ret_check = SIZE_MAX;
    if (!check)
        return true;
    if (target == SIZE_MAX) {
        fail(parser, node, "'*:%.60s': a check needs one service, not '*'", check);
        return false;
    }
    service = &parser->fleet->services[target];
    for (size_t i = 0; i < service->check_count; i++)
        if (strcmp(service->checks[i].name, check) == 0) {
            *ret_check = i;
            return true;
        }
    fail(parser, node, "service '%s' has no check '%.60s'", service->name, check);
    return false;
}

/* No two shapes of line weigh the same, so that no pair is decided by the order of lines: a named
 * source beats a named target, a named check only breaks a tie. */
static int specificity(const struct fleet_rule *rule)
{
    return 5 * (rule->source != SIZE_MAX) + 3 * (rule->target != SIZE_MAX) +
           (rule->check != SIZE_MAX);
}

static void add_rule(struct parser *parser, const yaml_node_t *node, const struct fleet_rule *rule)
{
    struct fleet *fleet = parser->fleet;

    for (size_t i = 0; i < fleet->rule_count; i++) {
        const struct fleet_rule *other = &fleet->rules[i];
        if (other->source == rule->source && other->target == rule->target &&
            other->check == rule->check && other->expected != rule->expected) {
            fail(parser, node, "the same pair stands under both 'allow' and 'deny'");
            return;
        }
    }
    if (fleet->rule_count == FLEET_RULES_MAX)
        fail(parser, node, "more than %d expectations", FLEET_RULES_MAX);
    else
        fleet->rules[fleet->rule_count++] = *rule;
}

/* "source -> target[:check], target[:check]" */
static void read_line(struct parser *parser, const yaml_node_t *node, char *line,
                      enum expectation expected)
{
    char *arrow = strstr(line, "->"), *rest, *target;
    struct fleet_rule rule = {.expected = expected};

    if (!arrow) {
        fail(parser, node, "'%.60s': expected 'source -> target, target:check'", line);
        return;
    }
    *arrow = '\0';
    if (!find_service(parser, node, trim(line), &rule.source))
        return;
    if (rule.source != SIZE_MAX && !parser->fleet->services[rule.source].has_agents) {
        fail(parser, node, "service '%s' has 'agents: none': nothing can probe from it",
             parser->fleet->services[rule.source].name);
        return;
    }
    for (rest = arrow + 2; (target = strsep(&rest, ","));) {
        char *name = trim(target), *check = strchr(name, ':');
        if (check)
            *check++ = '\0';
        if (find_service(parser, node, name, &rule.target) &&
            find_check(parser, node, rule.target, check, &rule.check)) {
            if (rule.target != SIZE_MAX && parser->fleet->services[rule.target].check_count == 0)
                fail(parser, node, "service '%s' has 'check: none': it cannot be reached",
                     parser->fleet->services[rule.target].name);
            else
                add_rule(parser, node, &rule);
        }
    }
}

static void read_rules(struct parser *parser, const yaml_node_t *node, enum expectation expected)
{
    const yaml_node_item_t *item;

    if (node->type != YAML_SEQUENCE_NODE) {
        fail(parser, node, "%s is %s; expected a list of 'source -> target'",
             expectation_name(expected), kind_of(node));
        return;
    }
    for (item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        const yaml_node_t *line = node_at(parser, *item);
        const char *text = scalar(parser, line, "an expectation");
        char *copy;
        if (!text || ++parser->visited > NODES_MAX)
            continue;
        copy = mem_strdup(text);
        read_line(parser, line, copy, expected);
        mem_free(copy);
    }
}

static void on_expect(struct parser *parser, const char *key, const yaml_node_t *key_node,
                      const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"default", "allow", "deny", "observe"};
    static const char *const words[] = {"allow", "deny", "observe"};
    const char *word;

    (void)ctx;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcmp(key, words[i]) == 0) {
            read_rules(parser, value, (enum expectation)i);
            return;
        }
    if (strcmp(key, "default") != 0) {
        unknown_key(parser, key_node, key, "expect", known, ARRAY_SIZE(known));
        return;
    }
    word = one_of(parser, value, "default", words, ARRAY_SIZE(words));
    for (size_t i = 0; word && i < ARRAY_SIZE(words); i++)
        if (word == words[i])
            parser->fleet->fallback = (enum expectation)i;
}

static int by_specificity(const void *a, const void *b)
{
    return specificity(b) - specificity(a);
}

/* ---- the whole ---- */

struct sections {
    const yaml_node_t *fleet, *namespace, *defaults, *services, *expect;
};

static void on_section(struct parser *parser, const char *key, const yaml_node_t *key_node,
                       const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"fleet", "namespace", "defaults", "services", "expect"};
    struct sections *sections = ctx;
    const yaml_node_t **places[] = {&sections->fleet, &sections->namespace, &sections->defaults,
                                    &sections->services, &sections->expect};

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(key, known[i]) == 0) {
            *places[i] = value;
            return;
        }
    unknown_key(parser, key_node, key, "the fleet file", known, ARRAY_SIZE(known));
}

static void collect_columns(struct fleet *fleet)
{
    size_t count = 0;

    for (size_t i = 0; i < fleet->service_count; i++)
        count += fleet->services[i].check_count;
    fleet->columns = arena_alloc(&fleet->arena, count, sizeof(*fleet->columns));
    for (size_t i = 0; i < fleet->service_count; i++)
        for (size_t j = 0; j < fleet->services[i].check_count; j++)
            fleet->columns[fleet->column_count++] = (struct fleet_column){i, j};
}

static void read_services(struct parser *parser, const struct sections *sections,
                          const yaml_node_t *root)
{
    struct services_ctx services = {
        .defaults = {.status = STATUS_SET_DEFAULT,
                     .path = DEFAULT_PATH,
                     .timeout_ms = DEFAULT_TIMEOUT,
                     .check = "tcp"},
    };
    size_t count;

    if (sections->defaults && is_mapping(parser, sections->defaults, "defaults"))
        each_key(parser, sections->defaults, on_default, &services.defaults);
    if (sections->namespace) {
        services.namespace = scalar(parser, sections->namespace, "namespace");
        if (services.namespace && !text_is_hostname(services.namespace))
            fail(parser, sections->namespace, "'%.60s' is not a domain name", services.namespace);
    }
    if (!sections->services) {
        fail(parser, root, "no 'services': a fleet needs at least one");
        return;
    }
    if (!is_mapping(parser, sections->services, "services"))
        return;
    count = (size_t)(sections->services->data.mapping.pairs.top -
                     sections->services->data.mapping.pairs.start);
    if (count == 0 || count > FLEET_SERVICES_MAX) {
        fail(parser, sections->services, "services has %zu entries; expected 1 to %d", count,
             FLEET_SERVICES_MAX);
        return;
    }
    parser->fleet->services =
        arena_alloc(&parser->fleet->arena, count, sizeof(*parser->fleet->services));
    each_key(parser, sections->services, on_service, &services);
    collect_columns(parser->fleet);
}

static size_t count_rules(struct parser *parser, const yaml_node_t *expect)
{
    size_t count = 0;

    for (const yaml_node_pair_t *pair = expect->data.mapping.pairs.start;
         pair < expect->data.mapping.pairs.top; pair++) {
        const yaml_node_t *list = node_at(parser, pair->value);
        if (list->type != YAML_SEQUENCE_NODE)
            continue;
        for (const yaml_node_item_t *item = list->data.sequence.items.start;
             item < list->data.sequence.items.top; item++) {
            const yaml_node_t *line = node_at(parser, *item);
            count++;
            if (line->type == YAML_SCALAR_NODE)
                for (const char *c = (const char *)line->data.scalar.value; *c; c++)
                    count += *c == ',';
        }
    }
    return count < FLEET_RULES_MAX ? count : FLEET_RULES_MAX;
}

static void read_root(struct parser *parser, const yaml_node_t *root)
{
    struct sections sections = {0};
    struct fleet *fleet = parser->fleet;
    const char *name;

    if (!is_mapping(parser, root, "a fleet file"))
        return;
    each_key(parser, root, on_section, &sections);
    name = sections.fleet ? scalar(parser, sections.fleet, "fleet") : "fleet";
    if (name && (!*name || strlen(name) > PROTO_NAME_MAX))
        fail(parser, sections.fleet, "the fleet's name has to have 1 to %d bytes", PROTO_NAME_MAX);
    fleet->name = keep(parser, name ? name : "fleet");
    read_services(parser, &sections, root);
    if (sections.expect && is_mapping(parser, sections.expect, "expect")) {
        fleet->rules =
            arena_alloc(&fleet->arena, count_rules(parser, sections.expect), sizeof(*fleet->rules));
        each_key(parser, sections.expect, on_expect, NULL);
        qsort(fleet->rules, fleet->rule_count, sizeof(*fleet->rules), by_specificity);
    }
}

/* Refuses what would cost libyaml too much before it sees it: depth (its scanner looks at every
 * open level for each token). Brackets inside strings count too; no fleet file has so many. */
static bool is_too_deep(const char *text, size_t length)
{
    unsigned depth = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '[' || text[i] == '{')
            depth++;
        else if ((text[i] == ']' || text[i] == '}') && depth)
            depth--;
        if (depth > NESTING_MAX)
            return true;
    }
    return false;
}

static bool load_document(struct parser *parser, const char *text, size_t length)
{
    yaml_parser_t yaml;
    bool is_loaded;

    if (!yaml_parser_initialize(&yaml))
        return false;
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, length);
    is_loaded = yaml_parser_load(&yaml, &parser->document);
    if (!is_loaded) {
        yaml_node_t place = {.start_mark = yaml.problem_mark};
        if (yaml.error == YAML_READER_ERROR)
            fail(parser, NULL, "byte %zu: %s", yaml.problem_offset,
                 yaml.problem ? yaml.problem : "not readable");
        else
            fail(parser, &place, "not YAML or JSON: %s", yaml.problem ? yaml.problem : "syntax");
    }
    yaml_parser_delete(&yaml);
    return is_loaded;
}

struct fleet *fleet_parse(const char *origin, const char *text, size_t length,
                          struct fleet_messages *messages)
{
    struct parser parser = {.origin = origin, .messages = messages};
    const yaml_node_t *root;

    if (!messages->text.limit)
        messages->text = BUF_INIT(65536);
    if (length > FLEET_BYTES_MAX) {
        fail(&parser, NULL, "%zu bytes; a fleet file has at most %d", length, FLEET_BYTES_MAX);
        return NULL;
    }
    if (is_too_deep(text, length)) {
        fail(&parser, NULL, "nested deeper than %d levels", NESTING_MAX);
        return NULL;
    }
    if (!load_document(&parser, text, length))
        return NULL;
    parser.fleet = mem_alloc(sizeof(*parser.fleet));
    parser.fleet->references = 1;
    root = yaml_document_get_root_node(&parser.document);
    if (root)
        read_root(&parser, root);
    else
        fail(&parser, NULL, "the file is empty");
    yaml_document_delete(&parser.document);
    if (messages->errors > FLEET_ERRORS_MAX)
        buf_printf(&messages->text, "%s: ... and %zu more errors\n", origin,
                   messages->errors - FLEET_ERRORS_MAX);
    return messages->errors ? fleet_unref(parser.fleet) : parser.fleet;
}

struct fleet *fleet_load(const char *path, struct fleet_messages *messages, struct buf *ret_text)
{
    CLEANUP_BUF struct buf text = BUF_INIT(FLEET_BYTES_MAX + 1);
    struct parser parser = {.origin = path, .messages = messages};
    struct fleet *fleet;
    char data[65536];
    size_t n;
    FILE *file = fopen(path, "re");

    messages->text = BUF_INIT(65536);
    if (!file) {
        fail(&parser, NULL, "cannot open: %s", strerror(errno));
        return NULL;
    }
    while ((n = fread(data, 1, sizeof(data), file)) > 0 && !buf_is_full(&text))
        buf_append(&text, data, n);
    if (ferror(file))
        fail(&parser, NULL, "cannot read: %s", strerror(errno));
    else if (buf_is_full(&text))
        fail(&parser, NULL, "more than %d bytes; a fleet file is smaller", FLEET_BYTES_MAX);
    fclose(file);
    if (messages->errors)
        return NULL;
    fleet = fleet_parse(path, buf_text(&text), text.length, messages);
    if (fleet && ret_text)
        buf_append(ret_text, buf_text(&text), text.length);
    return fleet;
}

void fleet_messages_deinit(struct fleet_messages *messages)
{
    buf_deinit(&messages->text);
}
