/* canreach-agent: settings, then the loop. */
#include "agent/agent.h"
#include "agent/budget.h"
#include "agent/check.h"
#include "agent/resolver.h"
#include "agent/sandbox.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/text.h"
#include "common/version.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct settings {
    struct options_list collectors, networks, suffixes, checks;
    const char *cluster, *service, *task, *zone, *mode, *revision;
    const char *tls_ca, *tls_cert, *tls_key;
    const char *vpc_resolver;
    const char *log_level;
    int64_t dns_rate, throughput;
    bool help, version;
};

#define END_SECONDS  3
#define ECS_RESOLVER "169.254.169.253"

#define FIELD(name) offsetof(struct settings, name)

static const struct option_spec specs[] = {
    {"collector", "CANREACH_COLLECTOR", OPTION_LIST, FIELD(collectors), "URL...", NULL, 0, 0,
     "where to pull from: tcp://HOST:PORT or ipc:///PATH; tried in turn"},
    {"service", "CANREACH_SERVICE", OPTION_STRING, FIELD(service), "NAME", NULL, 0, 0,
     "this task's service, as the fleet file names it; in ECS: from the task metadata"},
    {"task", "CANREACH_TASK", OPTION_STRING, FIELD(task), "NAME", NULL, 0, 0,
     "this task; in ECS: its id, else the host name"},
    {"zone", "CANREACH_ZONE", OPTION_STRING, FIELD(zone), "NAME", NULL, 0, 0,
     "availability zone; in ECS: from the task metadata"},
    {"cluster", "CANREACH_CLUSTER", OPTION_STRING, FIELD(cluster), "NAME", NULL, 0, 0,
     "cluster; in ECS: from the task metadata"},
    {"network-mode", "CANREACH_NETWORK_MODE", OPTION_STRING, FIELD(mode), "MODE", NULL, 0, 0,
     "awsvpc, host, bridge or none; in ECS: from the task metadata"},
    {"revision", "CANREACH_REVISION", OPTION_STRING, FIELD(revision), "NAME", NULL, 0, 0,
     "of what the task runs; default: the ECS task definition"},
    {"allow-net", "CANREACH_ALLOW_NET", OPTION_LIST, FIELD(networks), "CIDR...", NULL, 0, 0,
     "connect only inside these; without it: private networks and the task's own subnets"},
    {"allow-suffix", "CANREACH_ALLOW_SUFFIX", OPTION_LIST, FIELD(suffixes), "DOMAIN...", NULL, 0, 0,
     "resolve only names below these; without it: any"},
    {"checks", "CANREACH_CHECKS", OPTION_LIST, FIELD(checks), "CHECK...", NULL, 0, 0,
     "the only checks to do, such as http; default: all"},
    {"tls-ca", "CANREACH_TLS_CA", OPTION_STRING, FIELD(tls_ca), "FILE", NULL, 0, 0,
     "trust the CAs in this PEM file, besides the system's"},
    {"tls-cert", "CANREACH_TLS_CERT", OPTION_STRING, FIELD(tls_cert), "FILE", NULL, 0, 0,
     "show this certificate (PEM, with its chain) to servers that ask for one"},
    {"tls-key", "CANREACH_TLS_KEY", OPTION_STRING, FIELD(tls_key), "FILE", NULL, 0, 0,
     "its private key (PEM)"},
    {"vpc-resolver", "CANREACH_VPC_RESOLVER", OPTION_STRING, FIELD(vpc_resolver), "ADDRESS|none",
     NULL, 0, 0, "ask this resolver too where it is not configured; in ECS: 169.254.169.253"},
    {"dns-rate", "CANREACH_DNS_RATE", OPTION_INT, FIELD(dns_rate), "N", "100", 10, BUDGET_DNS_MAX,
     "DNS queries a second, 10 to 500"},
    {"allow-throughput", "CANREACH_ALLOW_THROUGHPUT", OPTION_INT, FIELD(throughput), "BYTES", "0",
     0, PROTO_RATE_BYTES_MAX, "what a throughput check may download; without it: none"},
    {"log-level", "CANREACH_LOG_LEVEL", OPTION_STRING, FIELD(log_level), "LEVEL", "info", 0, 0,
     "error, warn, info or debug"},
    {"help", NULL, OPTION_FLAG, FIELD(help), NULL, NULL, 0, 0, "print this and exit"},
    {"version", NULL, OPTION_FLAG, FIELD(version), NULL, NULL, 0, 0, "print the version and exit"},
};

static bool is_address(const char *text)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static int usage_error(const char *text)
{
    fprintf(stderr, "canreach-agent: %s\nTry 'canreach-agent --help'.\n", text);
    return 2;
}

static void print_help(void)
{
    puts("Usage: canreach-agent --collector URL... [OPTION...]\n\n"
         "Runs inside a service's task: pulls probe assignments from the collector, resolves and\n"
         "connects to every peer over its discovery name, and reports. Opens no port.\n");
    options_print_help(specs, ARRAY_SIZE(specs));
}

static int check_urls(const struct options_list *urls, struct error *err)
{
    for (size_t i = 0; i < urls->count; i++)
        if (strncmp(urls->items[i], "tcp://", 6) != 0 && strncmp(urls->items[i], "ipc:///", 7) != 0)
            return error_set(err, -EINVAL,
                             "--collector: '%.80s' is not tcp://HOST:PORT or ipc:///PATH",
                             urls->items[i]);
    return 0;
}

static int check_checks(const struct options_list *checks, struct error *err)
{
    for (size_t i = 0; i < checks->count; i++)
        if (!check_find(checks->items[i]))
            return error_set(err, -EINVAL,
                             "--checks: '%.40s' is no check (there are: tcp, http, ...)",
                             checks->items[i]);
    return 0;
}

static void on_signal(void *ctx)
{
    struct agent **agent = ctx;

    agent_leave(*agent);
}

/* The VPC's own resolver: as given, else ECS' address for it where tasks have an interface of their
 * own. */
static const char *vpc_resolver(const struct settings *settings, const struct identity *identity,
                                const struct host *host)
{
    bool is_awsvpc = identity->is_ecs && identity->mode && strcmp(identity->mode, "awsvpc") == 0;

    if (settings->vpc_resolver)
        return strcmp(settings->vpc_resolver, "none") == 0 ? "" : settings->vpc_resolver;
    return is_awsvpc && !host_uses_vpc_resolver(host) ? ECS_RESOLVER : "";
}

/* Before NNG's threads: they inherit it all. */
static int give_up_rights(struct error *err)
{
    bool was_root = false;
    int r = sandbox_drop_root(&was_root, err);

    if (r < 0)
        log_warn("still-root", "error=%s", LOG_QUOTE(err->text));
    if (was_root)
        log_info("root-dropped", "user=%d", SANDBOX_USER);
    r = sandbox_enter(err);
    if (r == -ENOSYS)
        log_warn("no-seccomp", "error=%s", LOG_QUOTE(err->text));
    return r == -ENOSYS ? 0 : r;
}

/* With everything read: until a signal. */
static int serve(const struct agent_settings *settings, struct error *err)
{
    struct loop *loop = loop_new();
    struct agent *agent = NULL;
    int status = 1;

    /* Before NNG starts its threads: they inherit the blocked signals. */
    if (!loop || loop_catch_signals(loop, on_signal, &agent) < 0)
        goto done;
    agent = agent_new(loop, settings, err);
    if (!agent) {
        log_error("start-failed", "error=%s", LOG_QUOTE(err->text));
        goto done;
    }
    log_info("started", "version=%s service=%s task=%s instance=%s addresses=%zu resolvers=%zu",
             CANREACH_VERSION, LOG_QUOTE(settings->identity->service),
             LOG_QUOTE(settings->identity->task), settings->identity->instance,
             settings->host->address_count, settings->host->resolver_count);
    status = loop_run(loop) < 0 ? 1 : 0;
done:
    /* NNG's close can wait for ever (1.5.2): the end is not to hang on it. */
    alarm(END_SECONDS);
    agent_free(agent);
    loop_free(loop);
    return status;
}

/* Everything that is read before rights are given up. 0 or a negative errno with `err`. */
static int prepare(const struct settings *settings, struct identity *identity, struct host *host,
                   struct policy *policy, struct agent_settings *agent, struct error *err)
{
    struct tls_settings tls = {settings->tls_ca, settings->tls_cert, settings->tls_key};
    int r = identity_complete(identity, err);

    if (r < 0)
        return r;
    r = host_read(host, NULL);
    if (r < 0)
        return error_set(err, r, "cannot list the network interfaces");
    r = policy_init(policy, &settings->networks, &settings->suffixes, host, err);
    if (r < 0)
        return r;
    policy->checks = &settings->checks;
    agent->tls = tls_new(&tls, err);
    if (!agent->tls)
        return -EINVAL;
    agent->vpc_resolver = vpc_resolver(settings, identity, host);
    return give_up_rights(err);
}

static int run(const struct settings *settings, struct identity *identity, struct error *err)
{
    struct host *host = mem_alloc(sizeof(*host));
    struct policy *policy = mem_alloc(sizeof(*policy));
    struct agent_settings agent = {
        .identity = identity,
        .host = host,
        .policy = policy,
        .collectors = &settings->collectors,
        .dns_rate = settings->dns_rate,
        .throughput_bytes = settings->throughput,
    };
    int r = prepare(settings, identity, host, policy, &agent, err);
    int status = r < 0 ? usage_error(err->text) : serve(&agent, err);

    tls_free(agent.tls);
    mem_free(policy);
    mem_free(host);
    return status;
}

/* Runs with settings that parsed; the exit status. */
static int start(const struct settings *settings)
{
    struct identity identity = {.cluster = settings->cluster,
                                .service = settings->service,
                                .task = settings->task,
                                .zone = settings->zone,
                                .mode = settings->mode,
                                .revision = settings->revision};
    enum log_level level;
    struct error err;
    int status;

    if (settings->help) {
        print_help();
        return 0;
    }
    if (settings->version) {
        puts("canreach-agent " CANREACH_VERSION);
        return 0;
    }
    if (!log_level_parse(settings->log_level, &level))
        return usage_error("--log-level: expected error, warn, info or debug");
    log_set_level(level);
    if (!settings->collectors.count)
        return usage_error("--collector is needed: tcp://HOST:PORT or ipc:///PATH");
    if (check_urls(&settings->collectors, &err) < 0 || check_checks(&settings->checks, &err) < 0)
        return usage_error(err.text);
    if (settings->vpc_resolver && strcmp(settings->vpc_resolver, "none") != 0 &&
        !is_address(settings->vpc_resolver))
        return usage_error("--vpc-resolver: expected an address such as 10.0.0.2, or none");
    status = run(settings, &identity, &err);
    identity_deinit(&identity);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct error err;
    int status;

    json_account_memory();
    tls_account_memory();
    resolver_account_memory();
    if (options_parse(specs, ARRAY_SIZE(specs), &settings, argc, argv, NULL, &err) < 0)
        status = usage_error(err.text);
    else
        status = start(&settings);
    options_deinit(specs, ARRAY_SIZE(specs), &settings);
    return status;
}
