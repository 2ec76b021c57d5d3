#include "collector/cloud/discover.h"

#include "collector/fleet.h"
#include "common/text.h"
#include "proto/proto.h"
#include "proto/status.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX  PROTO_NAMES_MAX
#define CHECKS_MAX FLEET_CHECKS_MAX
#define TEXT_MAX   256

struct check {
    char name[64], path[TEXT_MAX], status[64];
    const char *type;
    int64_t port;
    bool is_unverified;
    const char *why; /* for the comment */
};

struct service {
    const struct estate_service *ecs;
    const struct estate_definition *definition; /* NULL: not known */
    char key[TEXT_MAX];
    char names[NAMES_MAX][TEXT_MAX];
    size_t name_count;
    bool is_srv, is_connect;
    struct check checks[CHECKS_MAX];
    size_t check_count;
    struct buf notes; /* lines of comment */
};

/* A comment is a line: what came from elsewhere does not end it. (The reader of fleet files counts
 * brackets in comments, too.) */
static void put_comment(struct buf *out, const char *text)
{
    for (; *text; text++)
        if (*text >= ' ' && *text < 0x7f && !strchr("[]{}", *text))
            buf_putc(out, *text);
        else
            buf_putc(out, '?');
}

static void note(struct service *service, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void note(struct service *service, const char *format, ...)
{
    CLEANUP_BUF struct buf text = BUF_INIT(1024);
    va_list args;

    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    buf_puts(&service->notes, "    # ");
    put_comment(&service->notes, buf_text(&text));
    buf_putc(&service->notes, '\n');
}

/* ---- names ---- */

static void add_name(struct service *service, const char *text)
{
    for (size_t i = 0; i < service->name_count; i++)
        if (strcmp(service->names[i], text) == 0)
            return;
    if (!text_is_hostname(text))
        note(service, "left out: '%.80s' is not a host name", text);
    else if (service->name_count < NAMES_MAX)
        text_copy(service->names[service->name_count++], TEXT_MAX, text);
}

static void add_name_in(struct service *service, const char *name, const char *domain)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof(text), "%.127s.%.127s", name, domain);
    add_name(service, text);
}

static bool has_record(const struct estate_registry *registry, const char *type)
{
    const struct estate_dns_record *records = registry->records.items;

    for (size_t i = 0; i < registry->records.count; i++)
        if (strcmp(records[i].type, type) == 0)
            return true;
    return false;
}

static void add_registered(const struct estate *estate, struct service *service,
                           const struct estate_registration *registration, bool wants_srv)
{
    const struct estate_registry *registry =
        estate_find(estate, ESTATE_REGISTRIES, estate_short_name(registration->registry));
    const struct estate_namespace *namespace =
        registry ? estate_find(estate, ESTATE_NAMESPACES, registry->namespace) : NULL;
    bool is_srv;

    if (!registry || !namespace) {
        if (!wants_srv)
            note(service, "left out: the registry %.120s is not known",
                 estate_short_name(registration->registry));
        return;
    }
    is_srv =
        !has_record(registry, "A") && !has_record(registry, "AAAA") && has_record(registry, "SRV");
    if (strcmp(namespace->type, "HTTP") == 0 ||
        (!is_srv && !has_record(registry, "A") && !has_record(registry, "AAAA"))) {
        if (!wants_srv)
            note(service, "left out: %.80s.%.80s has no DNS records", registry->name,
                 namespace->name);
    } else if (is_srv == wants_srv) {
        add_name_in(service, registry->name, namespace->name);
    }
}

/* Service Connect's: an alias, or DISCOVERY-NAME.NAMESPACE. A fleet file's service has all of its
 * checks at all of its names, and an endpoint has a port of its own: the first one is taken. */
static void add_connected(const struct estate *estate, struct service *service)
{
    const struct estate_connect *endpoints = service->ecs->connect.items;
    const char *domain = estate_short_name(service->ecs->connect_namespace);
    const struct estate_namespace *namespace = estate_find(estate, ESTATE_NAMESPACES, domain);

    if (namespace) /* it was given by its ARN */
        domain = namespace->name;
    for (size_t i = 0; i < service->ecs->connect.count; i++) {
        const struct estate_connect *endpoint = &endpoints[i];
        const struct estate_alias *aliases = endpoint->aliases.items;
        const char *name =
            *endpoint->discovery_name ? endpoint->discovery_name : endpoint->port_name;
        if (i)
            note(service,
                 "left out: its Service Connect endpoint %.80s: give it a service of its own here",
                 name);
        else if (endpoint->aliases.count && *aliases[0].name)
            add_name(service, aliases[0].name);
        else
            add_name_in(service, name, domain);
    }
    service->is_connect = service->name_count > 0;
}

static void find_names(const struct estate *estate, struct service *service)
{
    const struct estate_registration *registrations = service->ecs->registrations.items;

    for (size_t i = 0; i < service->ecs->registrations.count; i++)
        add_registered(estate, service, &registrations[i], false);
    if (!service->name_count) {
        for (size_t i = 0; i < service->ecs->registrations.count; i++)
            add_registered(estate, service, &registrations[i], true);
        service->is_srv = service->name_count > 0;
    }
    if (!service->name_count)
        add_connected(estate, service);
    else if (service->ecs->connect.count)
        note(service, "it has a Service Connect endpoint too");
}

/* ---- checks ---- */

static bool has_word(const char *text, const char *word)
{
    return strstr(text, word) != NULL;
}

/* "curl -f http://localhost:8080/health || exit 1": scheme, port and path. */
static bool find_url(const char *command, bool *ret_is_tls, int64_t *ret_port, char *path,
                     size_t size)
{
    const char *at = strstr(command, "http"), *host, *end;
    size_t length;

    if (!at)
        return false;
    *ret_is_tls = strncmp(at, "https://", 8) == 0;
    if (!*ret_is_tls && strncmp(at, "http://", 7) != 0)
        return false;
    host = at + (*ret_is_tls ? 8 : 7);
    length = strcspn(host, ":/ \"'|;&)");
    if (*host == '[')
        length = strcspn(host, "]") + 1;
    end = host + length;
    *ret_port = *ret_is_tls ? 443 : 80;
    if (*end == ':')
        *ret_port = strtoll(end + 1, (char **)&end, 10);
    length = *end == '/' ? strcspn(end, " \"'|;&)#\t\r\n\\$`") : 0;
    if (length >= size)
        return false;
    snprintf(path, size, "%.*s", length ? (int)length : 1, length ? end : "/");
    return true;
}

/* The words of a health check's command, as one text. */
static void join_command(const struct estate_container_definition *container, struct buf *out)
{
    for (size_t i = 0; i < container->health.count; i++)
        buf_printf(out, "%s%s", i ? " " : "", record_text(&container->health, i));
}

static bool check_by_command(struct check *check,
                             const struct estate_container_definition *container)
{
    static const struct {
        const char *word, *type;
        int64_t port;
    } tools[] = {{"grpc_health_probe", "grpc", 0},
                 {"redis-cli", "redis", 6379},
                 {"pg_isready", "postgres", 5432},
                 {"mysqladmin", "mysql", 3306},
                 {"mariadb-admin", "mysql", 3306}};
    CLEANUP_BUF struct buf text = BUF_INIT(4096);
    const char *command;
    char path[TEXT_MAX];
    int64_t port;
    bool is_tls;

    join_command(container, &text);
    command = buf_text(&text);
    if (find_url(command, &is_tls, &port, path, sizeof(path)) && port == check->port) {
        check->type = is_tls ? "https" : "http";
        text_copy(check->path, sizeof(check->path), path);
        check->is_unverified =
            is_tls && (has_word(command, " -k") || has_word(command, "k https") ||
                       has_word(command, "--insecure"));
        check->why = "its container's health check";
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        char number[16];
        snprintf(number, sizeof(number), "%lld", (long long)check->port);
        if (!has_word(command, tools[i].word) ||
            (check->port != tools[i].port && !has_word(command, number)))
            continue;
        check->type = tools[i].type;
        check->why = "its container's health check";
        return true;
    }
    return false;
}

static bool check_by_target_group(const struct estate *estate, const struct service *service,
                                  const struct estate_container_definition *container,
                                  struct check *check)
{
    const struct estate_balancing *balancings = service->ecs->balancings.items;

    for (size_t i = 0; i < service->ecs->balancings.count; i++) {
        const struct estate_target_group *group =
            estate_find(estate, ESTATE_TARGET_GROUPS, balancings[i].target_group);
        bool is_traffic_port =
            group && (!*group->health_port || strcmp(group->health_port, "traffic-port") == 0);
        if (!group || balancings[i].port != check->port || !is_traffic_port ||
            strcmp(balancings[i].container, container->name) != 0)
            continue;
        if (strcmp(group->protocol_version, "GRPC") == 0) {
            if (!has_word(group->health_path, "grpc.health.v1"))
                continue;
            check->type = "grpc";
        } else if (strcmp(group->health_protocol, "HTTP") == 0 ||
                   strcmp(group->health_protocol, "HTTPS") == 0) {
            bool is_tls = strcmp(group->health_protocol, "HTTPS") == 0;
            check->type = is_tls ? "https" : "http";
            text_copy(check->path, sizeof(check->path),
                      *group->health_path ? group->health_path : "/");
            if (*group->matcher && strcmp(group->matcher, "200-299") != 0)
                text_copy(check->status, sizeof(check->status), group->matcher);
            check->is_unverified = is_tls; /* a load balancer does not verify its targets either */
        } else {
            continue;
        }
        check->why = "its target group's health check";
        return true;
    }
    return false;
}

static void choose_type(const struct estate *estate, const struct service *service,
                        const struct estate_container_definition *container,
                        const struct estate_port *port, struct check *check)
{
    static const struct {
        int64_t port;
        const char *type;
    } known[] = {{3306, "mysql"}, {5432, "postgres"}, {6379, "redis"}};

    if (check_by_command(check, container) ||
        check_by_target_group(estate, service, container, check))
        return;
    if (strcmp(port->app_protocol, "http") == 0) {
        check->type = "http";
        text_copy(check->path, sizeof(check->path), "/");
        text_copy(check->status, sizeof(check->status), "200-499");
        check->why = "no health path is known: any answer below 500 will do";
        return;
    }
    check->type = "tcp";
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].port == check->port) {
            check->type = known[i].type;
            check->why = "by its port";
        }
}

/* Printable ASCII: YAML refuses some of the rest. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

/* What the fleet file would refuse, however it came about, is left out. */
static void drop_what_is_odd(struct check *check)
{
    if (*check->path != '/' || strlen(check->path) > PROTO_PATH_MAX || !is_plain(check->path) ||
        strchr(check->path, ' '))
        *check->path = '\0';
    if (*check->status && !status_set_is_valid(check->status))
        *check->status = '\0';
}

static void name_check(struct service *service, struct check *check, const char *name)
{
    size_t at = 0;

    snprintf(check->name, sizeof(check->name), "%s", name);
    if (!*check->name || !is_plain(check->name) ||
        strcspn(check->name, ":, \t->*") != strlen(check->name))
        snprintf(check->name, sizeof(check->name), "%s_%lld", check->type, (long long)check->port);
    for (size_t i = 0; i < service->check_count; i++)
        at += strcmp(service->checks[i].name, check->name) == 0;
    if (at)
        snprintf(check->name, sizeof(check->name), "%s_%lld_%zu", check->type,
                 (long long)check->port, service->check_count);
}

static void add_check(const struct estate *estate, struct service *service,
                      const struct estate_container_definition *container,
                      const struct estate_port *port)
{
    struct check *check = &service->checks[service->check_count];

    if (strcmp(port->protocol, "udp") == 0) {
        note(service, "left out: %lld/udp: give it a check with what to send and expect",
             (long long)port->port);
        return;
    }
    for (size_t i = 0; i < service->check_count; i++)
        if (service->checks[i].port == port->port)
            return;
    if (service->check_count == CHECKS_MAX || port->port < 1 || port->port > 65535)
        return;
    *check = (struct check){.port = port->port};
    choose_type(estate, service, container, port, check);
    drop_what_is_odd(check);
    name_check(service, check, port->name);
    service->check_count++;
}

/* The port that the registry or the load balancer leads to, or where callers of Service Connect go;
 * 0: any. */
static bool is_wanted(const struct service *service,
                      const struct estate_container_definition *container,
                      const struct estate_port *port)
{
    const struct estate_registration *registrations = service->ecs->registrations.items;
    const struct estate_balancing *balancings = service->ecs->balancings.items;
    const struct estate_connect *endpoint = service->ecs->connect.items;
    bool is_chosen = false, is_any = true;

    if (service->is_connect)
        return *port->name && strcmp(endpoint->port_name, port->name) == 0;
    for (size_t i = 0; i < service->ecs->registrations.count; i++) {
        int64_t number = registrations[i].container_port ? registrations[i].container_port
                                                         : registrations[i].port;
        is_any &= !number;
        is_chosen |= number == port->port;
    }
    for (size_t i = 0; i < service->ecs->balancings.count; i++) {
        is_any = false;
        is_chosen |= balancings[i].port == port->port &&
                     strcmp(balancings[i].container, container->name) == 0;
    }
    return is_any || is_chosen;
}

static bool is_agent(const struct estate_container_definition *container)
{
    return has_word(container->name, "canreach") || has_word(container->image, "canreach");
}

/* Callers of Service Connect use the alias' port, and reach the proxy by it. */
static void use_alias_ports(struct service *service)
{
    const struct estate_connect *endpoint = service->ecs->connect.items;
    const struct estate_alias *aliases = endpoint->aliases.items;

    for (size_t i = 0; i < service->check_count; i++)
        if (endpoint->aliases.count && aliases[0].port > 0 && aliases[0].port <= 65535)
            service->checks[i].port = aliases[0].port;
}

static void find_checks(const struct estate *estate, struct service *service)
{
    const struct estate_container_definition *containers =
        service->definition ? service->definition->containers.items : NULL;
    bool has_agent = false;

    for (size_t i = 0; containers && i < service->definition->containers.count; i++) {
        const struct estate_port *ports = containers[i].ports.items;
        has_agent |= is_agent(&containers[i]);
        for (size_t j = 0; j < containers[i].ports.count && !is_agent(&containers[i]); j++)
            if (is_wanted(service, &containers[i], &ports[j]))
                add_check(estate, service, &containers[i], &ports[j]);
    }
    if (service->is_connect)
        use_alias_ports(service);
    if (!service->definition)
        note(service, "its task definition could not be read: the checks are missing");
    else if (!has_agent)
        note(service,
             "no container of %.100s looks like canreach-agent: add it, or write 'agents: none'",
             estate_short_name(service->definition->arn));
    if (service->check_count && !service->name_count) {
        note(service, "it has no discovery name: nobody reaches it by name");
        service->check_count = 0;
    }
}

/* ---- writing ---- */

static void put_scalar(struct buf *out, const char *text)
{
    size_t length = strlen(text);

    if (length && (isalpha((unsigned char)*text) || *text == '/' || *text == '_') &&
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") ==
            length)
        buf_puts(out, text);
    else
        buf_put_json(out, text);
}

static void put_names(const struct service *service, const char *domain, struct buf *out)
{
    char usual[2 * TEXT_MAX];

    snprintf(usual, sizeof(usual), "%s.%s", service->key, domain);
    if (!service->name_count || (service->name_count == 1 && strcmp(service->names[0], usual) == 0))
        return;
    buf_puts(out, "    names: [");
    for (size_t i = 0; i < service->name_count; i++) {
        buf_puts(out, i ? ", " : "");
        put_scalar(out, service->names[i]);
    }
    buf_puts(out, "]\n");
}

static void put_check_keys(const struct service *service, const struct check *check,
                           const char *indent, const char *first, struct buf *out)
{
    buf_printf(out, "%scheck: %s%s%s\n", first, check->type, check->why ? "  # " : "",
               check->why ? check->why : "");
    if (!service->is_srv)
        buf_printf(out, "%sport: %lld\n", indent, (long long)check->port);
    if (*check->path) {
        buf_printf(out, "%spath: ", indent);
        put_scalar(out, check->path);
        buf_putc(out, '\n');
    }
    if (*check->status) {
        buf_printf(out, "%sstatus: ", indent);
        buf_put_json(out, check->status);
        buf_putc(out, '\n');
    }
    if (check->is_unverified)
        buf_printf(out, "%sverify: false  # nor does that one\n", indent);
}

static void put_checks(const struct service *service, struct buf *out)
{
    if (!service->check_count) {
        buf_puts(out, "    check: none\n");
    } else if (service->check_count == 1) {
        put_check_keys(service, &service->checks[0], "    ", "    ", out);
    } else {
        buf_puts(out, "    checks:\n");
        for (size_t i = 0; i < service->check_count; i++) {
            buf_puts(out, "      - name: ");
            put_scalar(out, service->checks[i].name);
            buf_putc(out, '\n');
            put_check_keys(service, &service->checks[i], "        ", "        ", out);
        }
    }
}

static void put_service(const struct service *service, const char *domain, struct buf *out)
{
    buf_puts(out, "  ");
    put_scalar(out, service->key);
    buf_puts(out, ":  # ");
    put_comment(out, service->ecs->cluster);
    buf_putc(out, '/');
    put_comment(out, service->ecs->name);
    buf_puts(out, ", ");
    put_comment(out, estate_short_name(service->ecs->definition));
    buf_putc(out, '\n');
    buf_puts(out, buf_text(&service->notes));
    put_names(service, domain, out);
    if (service->is_srv)
        buf_puts(out, "    record: SRV\n");
    put_checks(service, out);
}

/* ---- the whole ---- */

/* One name in two clusters: each is told by its cluster, since agents of both may say the bare
 * name.
 */
static void name_service(const struct estate *estate, struct service *service)
{
    const struct estate_service *services = estate->parts[ESTATE_SERVICES].items;
    size_t count = 0;

    for (size_t i = 0; i < estate_count(estate, ESTATE_SERVICES); i++)
        count += strcmp(services[i].name, service->ecs->name) == 0 &&
                 strcmp(services[i].cluster, service->ecs->cluster) != 0;
    if (!count) {
        snprintf(service->key, sizeof(service->key), "%s", service->ecs->name);
        return;
    }
    snprintf(service->key, sizeof(service->key), "%s.%s", service->ecs->cluster,
             service->ecs->name);
    note(service, "another cluster has a service of this name: give its agents --service %s",
         service->key);
}

/* ECS' own rules for names are stricter; whoever answers may not know them. */
static bool is_usable(const struct estate_service *service)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t name = strlen(service->name), cluster = strlen(service->cluster);

    return name && name + cluster < PROTO_NAME_MAX && strspn(service->name, allowed) == name &&
           strspn(service->cluster, allowed) == cluster && *service->name != '-' &&
           *service->cluster != '-';
}

static const char *domain_of(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot ? dot + 1 : "";
}

/* The one that most services are found in. */
static const char *usual_domain(const struct service *services, size_t count)
{
    const char *best = "";
    size_t most = 0;

    for (size_t i = 0; i < count; i++) {
        const char *domain = services[i].name_count ? domain_of(services[i].names[0]) : "";
        size_t hits = 0;
        for (size_t j = 0; j < count && *domain; j++)
            hits += services[j].name_count && strcmp(domain_of(services[j].names[0]), domain) == 0;
        if (hits > most) {
            most = hits;
            best = domain;
        }
    }
    return best;
}

static int by_cluster_and_name(const void *a, const void *b)
{
    const struct service *x = a, *y = b;
    int order = strcmp(x->ecs->cluster, y->ecs->cluster);

    return order ? order : strcmp(x->ecs->name, y->ecs->name);
}

size_t discover_fleet(const struct estate *estate, const struct discover_settings *settings,
                      struct buf *out)
{
    const struct estate_service *found = estate->parts[ESTATE_SERVICES].items;
    size_t total = estate_count(estate, ESTATE_SERVICES), count = 0;
    struct arena arena = {0};
    struct service *services = arena_alloc(&arena, total + 1, sizeof(*services));
    const char *domain;

    for (size_t i = 0; i < total; i++) {
        struct service *service = &services[count];
        if (strcmp(found[i].status, "ACTIVE") != 0 || !is_usable(&found[i]) ||
            estate_find_service(estate, found[i].cluster, found[i].name) != &found[i] ||
            count == FLEET_SERVICES_MAX)
            continue;
        *service = (struct service){.ecs = &found[i], .notes = BUF_INIT(16384)};
        service->definition = estate_find(estate, ESTATE_DEFINITIONS, found[i].definition);
        name_service(estate, service);
        find_names(estate, service);
        find_checks(estate, service);
        count++;
    }
    qsort(services, count, sizeof(*services), by_cluster_and_name);
    domain = settings->is_explicit ? "" : usual_domain(services, count);
    if (*settings->heading)
        buf_printf(out, "# %s\n", settings->heading);
    buf_puts(out, "fleet: ");
    put_scalar(out, settings->fleet);
    buf_putc(out, '\n');
    if (*domain)
        buf_printf(out, "namespace: %s\n", domain);
    buf_puts(out, count ? "services:\n" : "services: {}\n");
    for (size_t i = 0; i < count; i++) {
        put_service(&services[i], domain, out);
        buf_deinit(&services[i].notes);
    }
    arena_deinit(&arena);
    return count;
}
