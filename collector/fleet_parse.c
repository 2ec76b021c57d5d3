/* Reads a fleet file: YAML nodes in, a struct fleet or messages with line and column out. */
#include "collector/fleet_parser.h"

#include "common/mem.h"
#include "common/text.h"
#include "proto/proto.h"
#include "proto/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MIN_MS  100
#define DEFAULT_PATH    "/"
#define DEFAULT_TIMEOUT 2000

/* What a service's own keys may override. */
struct settings {
    const char *check, *path, *status, *record;
    int64_t port, timeout_ms;
};

static const char *const check_types[] = {"tcp",   "tls",      "http",  "grpc", "udp",
                                          "mysql", "postgres", "redis", "none"};
/* The checks that agents of this version can do. */
static const char *const probed_types[] = {"tcp", "http"};

static void read_port(struct parser *parser, const yaml_node_t *node, int64_t *port)
{
    const char *text = parser_scalar(parser, node, "port");

    if (text && !text_to_int(text, 1, 65535, port))
        parser_fail(parser, node, "port is '%.60s'; expected a number from 1 to 65535", text);
}

static void read_timeout(struct parser *parser, const yaml_node_t *node, int64_t *timeout_ms)
{
    const char *text = parser_scalar(parser, node, "timeout");
    int64_t ms;

    if (!text)
        return;
    if (!text_to_duration_ms(text, &ms) || ms < TIMEOUT_MIN_MS || ms > PROTO_TIMEOUT_MAX)
        parser_fail(parser, node,
                    "timeout is '%.60s'; expected a duration from 100ms to 60s, such as 2s", text);
    else
        *timeout_ms = ms;
}

static void read_path(struct parser *parser, const yaml_node_t *node, const char **path)
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
        *path = parser_keep(parser, text);
}

static void read_status(struct parser *parser, const yaml_node_t *node, const char **status)
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
        *status = parser_keep(parser, buf_text(&set));
}

static const char *const records[] = {"A", "SRV"};

/* The keys that defaults, services and checks share. False: none of them. */
static bool read_setting(struct parser *parser, const char *key, const yaml_node_t *value,
                         struct settings *settings)
{
    if (strcmp(key, "check") == 0)
        settings->check =
            parser_one_of(parser, value, "check", check_types, ARRAY_SIZE(check_types));
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
        settings->record = parser_one_of(parser, value, "record", records, ARRAY_SIZE(records));
    else
        parser_unknown_key(parser, key_node, key, "defaults", known, ARRAY_SIZE(known));
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
        parser_fail(parser, node, "names is %s; expected a list of discovery names",
                    parser_kind_of(node));
        return;
    }
    count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count == 0 || count > PROTO_NAMES_MAX) {
        parser_fail(parser, node, "names has %zu entries; expected 1 to %d", count,
                    PROTO_NAMES_MAX);
        return;
    }
    service->names = arena_alloc(&parser->fleet->arena, count, sizeof(*service->names));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = parser_node(parser, node->data.sequence.items.start[i]);
        const char *text = parser_scalar(parser, item, "a name");
        if (!text)
            continue;
        if (!text_is_hostname(text))
            parser_fail(parser, item, "'%.60s' is not a host name", text);
        for (size_t j = 0; j < service->name_count; j++)
            if (strcmp(service->names[j], text) == 0)
                parser_fail(parser, item, "the name '%.60s' stands twice", text);
        service->names[service->name_count++] = parser_keep(parser, text);
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
        keys->settings.record =
            parser_one_of(parser, value, "record", records, ARRAY_SIZE(records));
    } else if (strcmp(key, "agents") == 0) {
        const char *word = parser_one_of(parser, value, "agents", agents, ARRAY_SIZE(agents));
        keys->service->has_agents = !word || strcmp(word, "none") != 0;
    } else if (read_setting(parser, key, value, &keys->settings)) {
        if (strcmp(key, "check") == 0)
            keys->single = key_node;
    } else {
        parser_unknown_key(parser, key_node, key, "a service", known, ARRAY_SIZE(known));
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
        parser_fail(parser, node, "service '%s' has no port: give 'port', or 'record: SRV'",
                    service->name);
    for (size_t i = 0; i + 1 < service->check_count; i++)
        if (strcmp(service->checks[i].name, name) == 0)
            parser_fail(parser, node,
                        "service '%s' has two checks named '%.60s'; give each a 'name'",
                        service->name, name);
    if (!is_probed(check->type))
        parser_warn(
            parser, node,
            "agents of this version cannot do '%s' checks: '%s' will be probe-error (they do %s)",
            check->type, service->name, parser_list_of(probed_types, ARRAY_SIZE(probed_types)));
    if (check->port == FLEET_MYSQL_PORT && strcmp(check->type, "tcp") == 0)
        parser_warn(
            parser, node,
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
        parser_unknown_key(parser, key_node, key, "a check", known, ARRAY_SIZE(known));
        return;
    }
    text = parser_scalar(parser, value, "name");
    if (text && (!*text || strlen(text) > 63 || strcspn(text, ":, \t->*") != strlen(text)))
        parser_fail(parser, value,
                    "check name '%.60s': expected 1 to 63 characters, none of ': , > - *'", text);
    else if (text)
        keys->name = parser_keep(parser, text);
}

static void read_checks(struct parser *parser, const struct service_keys *keys)
{
    struct fleet_service *service = keys->service;
    const yaml_node_t *list = keys->checks;
    size_t count;

    if (list->type != YAML_SEQUENCE_NODE) {
        parser_fail(parser, list, "checks is %s; expected a list", parser_kind_of(list));
        return;
    }
    count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (count == 0 || count > FLEET_CHECKS_MAX) {
        parser_fail(parser, list, "checks has %zu entries; expected 1 to %d", count,
                    FLEET_CHECKS_MAX);
        return;
    }
    if (keys->single)
        parser_fail(parser, keys->single, "service '%s' has both 'check' and 'checks'",
                    service->name);
    service->checks = arena_alloc(&parser->fleet->arena, count, sizeof(*service->checks));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = parser_node(parser, list->data.sequence.items.start[i]);
        struct check_keys check = {.settings = keys->settings};
        if (!parser_is_mapping(parser, item, "a check"))
            continue;
        parser_each_key(parser, item, on_check_key, &check);
        if (check.settings.check && strcmp(check.settings.check, "none") == 0)
            parser_fail(parser, item, "'none' is no check to list; give the service 'check: none'");
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
        parser_fail(parser, node,
                    "service '%s' has no discovery name: give 'names', or a 'namespace'",
                    service->name);
        return;
    }
    name = arena_printf(&parser->fleet->arena, "%s.%s", service->name, namespace);
    if (!text_is_hostname(name))
        parser_fail(parser, node, "'%.80s' is not a host name; give 'names'", name);
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
        parser_fail(parser, key_node,
                    "'%.60s' is not a service name; expected letters, digits, '-', '_' and '.'",
                    key);
        return;
    }
    *service = (struct fleet_service){.name = parser_keep(parser, key), .has_agents = true};
    fleet->service_count++;
    if (!is_empty && !parser_is_mapping(parser, value, "a service"))
        return;
    if (!is_empty)
        parser_each_key(parser, value, on_service_key, &keys);
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
        parser_warn(parser, key_node,
                    "service '%s' has neither agents nor a check: nothing will test it",
                    service->name);
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
    parser_unknown_key(parser, key_node, key, "the fleet file", known, ARRAY_SIZE(known));
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

    if (sections->defaults && parser_is_mapping(parser, sections->defaults, "defaults"))
        parser_each_key(parser, sections->defaults, on_default, &services.defaults);
    if (sections->namespace) {
        services.namespace = parser_scalar(parser, sections->namespace, "namespace");
        if (services.namespace && !text_is_hostname(services.namespace))
            parser_fail(parser, sections->namespace, "'%.60s' is not a domain name",
                        services.namespace);
    }
    if (!sections->services) {
        parser_fail(parser, root, "no 'services': a fleet needs at least one");
        return;
    }
    if (!parser_is_mapping(parser, sections->services, "services"))
        return;
    count = (size_t)(sections->services->data.mapping.pairs.top -
                     sections->services->data.mapping.pairs.start);
    if (count == 0 || count > FLEET_SERVICES_MAX) {
        parser_fail(parser, sections->services, "services has %zu entries; expected 1 to %d", count,
                    FLEET_SERVICES_MAX);
        return;
    }
    parser->fleet->services =
        arena_alloc(&parser->fleet->arena, count, sizeof(*parser->fleet->services));
    parser_each_key(parser, sections->services, on_service, &services);
    collect_columns(parser->fleet);
}

static void read_root(struct parser *parser, const yaml_node_t *root)
{
    struct sections sections = {0};
    struct fleet *fleet = parser->fleet;
    const char *name;

    if (!parser_is_mapping(parser, root, "a fleet file"))
        return;
    parser_each_key(parser, root, on_section, &sections);
    name = sections.fleet ? parser_scalar(parser, sections.fleet, "fleet") : "fleet";
    if (name && (!*name || strlen(name) > PROTO_NAME_MAX))
        parser_fail(parser, sections.fleet, "the fleet's name has to have 1 to %d bytes",
                    PROTO_NAME_MAX);
    fleet->name = parser_keep(parser, name ? name : "fleet");
    read_services(parser, &sections, root);
    parser_read_expect(parser, sections.expect);
}

struct fleet *fleet_parse(const char *origin, const char *text, size_t length,
                          struct fleet_messages *messages)
{
    struct parser parser = {.origin = origin, .messages = messages};
    const yaml_node_t *root;

    if (!messages->text.limit)
        messages->text = BUF_INIT(65536);
    if (length > FLEET_BYTES_MAX) {
        parser_fail(&parser, NULL, "%zu bytes; a fleet file has at most %d", length,
                    FLEET_BYTES_MAX);
        return NULL;
    }
    if (!parser_load(&parser, text, length))
        return NULL;
    parser.fleet = mem_alloc(sizeof(*parser.fleet));
    parser.fleet->references = 1;
    root = yaml_document_get_root_node(&parser.document);
    if (root)
        read_root(&parser, root);
    else
        parser_fail(&parser, NULL, "the file is empty");
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
        parser_fail(&parser, NULL, "cannot open: %s", strerror(errno));
        return NULL;
    }
    while ((n = fread(data, 1, sizeof(data), file)) > 0 && !buf_is_full(&text))
        buf_append(&text, data, n);
    if (ferror(file))
        parser_fail(&parser, NULL, "cannot read: %s", strerror(errno));
    else if (buf_is_full(&text))
        parser_fail(&parser, NULL, "more than %d bytes; a fleet file is smaller", FLEET_BYTES_MAX);
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
