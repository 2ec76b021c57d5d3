/* Reads a fleet file: YAML nodes in, a struct fleet or messages with line and column out. */
#include "collector/fleet_parser.h"

#include "common/mem.h"
#include "common/text.h"
#include "proto/proto.h"
#include "proto/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_PATH    "/"
#define DEFAULT_TIMEOUT 2000

static const char *const records[] = {"A", "SRV"};

/* What a service's own keys may override. */
struct defaults {
    struct check_settings settings;
    const char *record;
};

static void on_default(struct parser *parser, const char *key, const yaml_node_t *key_node,
                       const yaml_node_t *value, void *ctx)
{
    static const char *const others[] = {"record"};
    struct defaults *defaults = ctx;

    if (strcmp(key, "record") == 0)
        defaults->record = parser_one_of(parser, value, "record", records, ARRAY_SIZE(records));
    else if (!parser_read_setting(parser, key, key_node, value, &defaults->settings))
        parser_unknown_setting(parser, key_node, key, "defaults", others, ARRAY_SIZE(others));
}

/* ---- services ---- */

struct service_keys {
    struct check_settings settings;
    const char *record;
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

static void read_through(struct parser *parser, const yaml_node_t *node,
                         struct fleet_service *service)
{
    size_t count = 0;

    if (node->type == YAML_SEQUENCE_NODE)
        count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count == 0 || count > FLEET_THROUGH_MAX) {
        parser_fail(parser, node, "through: expected a list of 1 to %d services",
                    FLEET_THROUGH_MAX);
        return;
    }
    service->through = arena_alloc(&parser->fleet->arena, count, sizeof(*service->through));
    for (size_t i = 0; i < count; i++) {
        const char *text = parser_scalar(
            parser, parser_node(parser, node->data.sequence.items.start[i]), "a service");
        if (text)
            service->through[service->through_count++] = parser_keep(parser, text);
    }
}

static void read_tasks(struct parser *parser, const yaml_node_t *node,
                       struct fleet_service *service)
{
    const char *text = parser_scalar(parser, node, "tasks");
    char *end = NULL;
    long count = text ? strtol(text, &end, 10) : 1;

    if (text && (end == text || *end || count < 1 || count > FLEET_TASKS_MAX))
        parser_fail(parser, node, "tasks '%.40s': expected a number from 1 to %d", text,
                    FLEET_TASKS_MAX);
    service->tasks = count;
}

static void on_service_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                           const yaml_node_t *value, void *ctx)
{
    static const char *const others[] = {"names", "record", "checks", "agents", "tasks", "through"};
    static const char *const agents[] = {"expected", "none"};
    struct service_keys *keys = ctx;

    if (strcmp(key, "checks") == 0) {
        keys->checks = value;
    } else if (strcmp(key, "names") == 0) {
        keys->names = value;
        read_name_list(parser, value, keys->service);
    } else if (strcmp(key, "tasks") == 0) {
        read_tasks(parser, value, keys->service);
    } else if (strcmp(key, "through") == 0) {
        read_through(parser, value, keys->service);
    } else if (strcmp(key, "record") == 0) {
        keys->record = parser_one_of(parser, value, "record", records, ARRAY_SIZE(records));
    } else if (strcmp(key, "agents") == 0) {
        const char *word = parser_one_of(parser, value, "agents", agents, ARRAY_SIZE(agents));
        keys->service->has_agents = !word || strcmp(word, "none") != 0;
    } else if (parser_read_setting(parser, key, key_node, value, &keys->settings)) {
        if (strcmp(key, "check") == 0)
            keys->single = key_node;
    } else {
        parser_unknown_setting(parser, key_node, key, "a service", others, ARRAY_SIZE(others));
    }
}

static void add_check(struct parser *parser, const yaml_node_t *node, struct fleet_service *service,
                      const char *name, const struct check_settings *settings)
{
    struct fleet_check *check = &service->checks[service->check_count];
    bool is_srv = strcmp(service->record, "SRV") == 0;

    *check = settings->check;
    check->name = name;
    service->check_count++;
    parser_judge_settings(parser, settings);
    /* A followed service's port comes from the cloud: what the file says of it is not all. */
    if (!is_srv && !check->port && parser->fleet->is_followed) {
        service->check_count--;
        return;
    }
    if (!is_srv && !check->port)
        parser_fail(parser, node, "service '%s' has no port: give 'port', or 'record: SRV'",
                    service->name);
    if (is_srv)
        check->port = 0;
    for (size_t i = 0; i + 1 < service->check_count; i++)
        if (strcmp(service->checks[i].name, name) == 0)
            parser_fail(parser, node,
                        "service '%s' has two checks named '%.60s'; give each a 'name'",
                        service->name, name);
    if (check->port == FLEET_MYSQL_PORT && strcmp(check->type, "tcp") == 0)
        parser_warn(
            parser, node,
            "a plain tcp check on port %d: MySQL and MariaDB block a client address after 100 "
            "interrupted handshakes (max_connect_errors), the app's too; use 'check: mysql'",
            FLEET_MYSQL_PORT);
}

struct check_keys {
    struct check_settings settings;
    const char *name;
};

static void on_check_key(struct parser *parser, const char *key, const yaml_node_t *key_node,
                         const yaml_node_t *value, void *ctx)
{
    static const char *const others[] = {"name"};
    struct check_keys *keys = ctx;
    const char *text;

    if (parser_read_setting(parser, key, key_node, value, &keys->settings))
        return;
    if (strcmp(key, "name") != 0) {
        parser_unknown_setting(parser, key_node, key, "a check", others, ARRAY_SIZE(others));
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
        memset(check.settings.given, 0, sizeof(check.settings.given));
        if (!parser_is_mapping(parser, item, "a check"))
            continue;
        parser_each_key(parser, item, on_check_key, &check);
        if (check.settings.check.type && strcmp(check.settings.check.type, "none") == 0)
            parser_fail(parser, item, "'none' is no check to list; give the service 'check: none'");
        else if (check.settings.check.type)
            add_check(parser, item, service, check.name ? check.name : check.settings.check.type,
                      &check.settings);
    }
}

struct services_ctx {
    struct defaults defaults;
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
    if (!namespace && parser->fleet->is_followed) {
        service->check_count = 0;
        return;
    }
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
    struct service_keys keys = {.settings = services->defaults.settings,
                                .record = services->defaults.record,
                                .service = service};
    bool is_empty = value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0;

    memset(keys.settings.given, 0, sizeof(keys.settings.given));
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
    service->record = keys.record ? keys.record : "A";
    if (keys.checks) {
        read_checks(parser, &keys);
    } else if (keys.settings.check.type && strcmp(keys.settings.check.type, "none") != 0) {
        service->checks = arena_alloc(&fleet->arena, 1, sizeof(*service->checks));
        add_check(parser, key_node, service, keys.settings.check.type, &keys.settings);
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
    const yaml_node_t *fleet, *source, *clusters, *region, *namespace, *defaults, *services,
        *expect;
};

static void on_section(struct parser *parser, const char *key, const yaml_node_t *key_node,
                       const yaml_node_t *value, void *ctx)
{
    static const char *const known[] = {"fleet",     "source",   "clusters", "region",
                                        "namespace", "defaults", "services", "expect"};
    struct sections *sections = ctx;
    const yaml_node_t **places[] = {&sections->fleet,    &sections->source,    &sections->clusters,
                                    &sections->region,   &sections->namespace, &sections->defaults,
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

/* Once all services are known. */
static void check_through(struct parser *parser, const yaml_node_t *node)
{
    const struct fleet *fleet = parser->fleet;

    for (size_t i = 0; i < fleet->service_count; i++)
        for (size_t j = 0; j < fleet->services[i].through_count; j++)
            if (fleet_find_service(fleet, fleet->services[i].through[j]) == SIZE_MAX)
                parser_fail(parser, node, "service '%s': through: no service '%.60s'",
                            fleet->services[i].name, fleet->services[i].through[j]);
}

static void read_services(struct parser *parser, const struct sections *sections,
                          const yaml_node_t *root)
{
    struct services_ctx services = {
        .defaults.settings.check = {.type = "tcp",
                                    .status = STATUS_SET_DEFAULT,
                                    .path = DEFAULT_PATH,
                                    .timeout_ms = DEFAULT_TIMEOUT,
                                    .method = "",
                                    .host = "",
                                    .match = "",
                                    .send = "",
                                    .health = "",
                                    .server = "",
                                    .alpn = ""},
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
    if (!sections->services && parser->fleet->is_followed)
        return;
    if (!sections->services) {
        parser_fail(parser, root, "no 'services': a fleet needs at least one, or 'source: ecs'");
        return;
    }
    if (!parser_is_mapping(parser, sections->services, "services"))
        return;
    count = (size_t)(sections->services->data.mapping.pairs.top -
                     sections->services->data.mapping.pairs.start);
    if ((count == 0 && !parser->fleet->is_followed) || count > FLEET_SERVICES_MAX) {
        parser_fail(parser, sections->services, "services has %zu entries; expected 1 to %d", count,
                    FLEET_SERVICES_MAX);
        return;
    }
    parser->fleet->services =
        arena_alloc(&parser->fleet->arena, count, sizeof(*parser->fleet->services));
    parser_each_key(parser, sections->services, on_service, &services);
    check_through(parser, sections->services);
    collect_columns(parser->fleet);
}

static void read_clusters(struct parser *parser, const yaml_node_t *node)
{
    struct fleet *fleet = parser->fleet;
    size_t count = 0;

    if (node->type == YAML_SEQUENCE_NODE)
        count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count == 0 || count > FLEET_CLUSTERS_MAX) {
        parser_fail(parser, node,
                    "clusters: expected a list of 1 to %d ECS clusters (names or ARNs)",
                    FLEET_CLUSTERS_MAX);
        return;
    }
    fleet->clusters = arena_alloc(&fleet->arena, count, sizeof(*fleet->clusters));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item = parser_node(parser, node->data.sequence.items.start[i]);
        const char *text = parser_scalar(parser, item, "a cluster");
        if (text && (!*text || strlen(text) > PROTO_NAME_MAX))
            parser_fail(parser, item, "a cluster's name has 1 to %d bytes", PROTO_NAME_MAX);
        else if (text)
            fleet->clusters[fleet->cluster_count++] = parser_keep(parser, text);
    }
}

/* Where services come from, and where the cloud is asked. */
static void read_source(struct parser *parser, const struct sections *sections)
{
    static const char *const sources[] = {"file", "ecs"};
    static const char *const usual[] = {"default"};
    struct fleet *fleet = parser->fleet;
    const char *text;

    fleet->region = "";
    if (sections->source) {
        text = parser_one_of(parser, sections->source, "source", sources, ARRAY_SIZE(sources));
        fleet->is_followed = parser->is_lenient = text && strcmp(text, "ecs") == 0;
    }
    if (sections->region) {
        text = parser_scalar(parser, sections->region, "region");
        if (text && (!*text || strlen(text) > 63 ||
                     strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(text)))
            parser_fail(parser, sections->region,
                        "region is '%.60s'; expected one such as eu-west-1", text);
        else if (text)
            fleet->region = parser_keep(parser, text);
    }
    if (sections->clusters) {
        read_clusters(parser, sections->clusters);
    } else if (fleet->is_followed) {
        fleet->clusters = arena_alloc(&fleet->arena, 1, sizeof(*fleet->clusters));
        fleet->clusters[fleet->cluster_count++] = usual[0]; /* as ECS does */
    }
    if (sections->region && !fleet->cluster_count)
        parser_warn(parser, sections->region, "'region' means nothing without 'clusters'");
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
    read_source(parser, &sections);
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
    parser.arena = &parser.fleet->arena;
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
