/* canreach-collector: settings, then the loop. */
#include "collector/collector.h"
#include "collector/httpd.h"
#include "collector/planner.h"
#include "common/log.h"
#include "common/options.h"
#include "common/text.h"
#include "common/version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct settings {
    const char *fleet, *store, *listen_agents, *listen_http, *config, *log_level;
    int64_t sample, cloud_ms;
    bool help, version;
};

#define END_SECONDS 3

#define FIELD(name) offsetof(struct settings, name)

static const struct option_spec specs[] = {
    {"fleet", "CANREACH_FLEET", OPTION_STRING, FIELD(fleet), "FILE", NULL, 0, 0,
     "the fleet file, YAML or JSON"},
    {"store", "CANREACH_STORE", OPTION_STRING, FIELD(store), "FILE", "canreach.db", 0, 0,
     "the SQLite database; made when missing, on a local disk"},
    {"listen-agents", "CANREACH_LISTEN_AGENTS", OPTION_STRING, FIELD(listen_agents), "URL",
     "tcp://127.0.0.1:7700", 0, 0, "where agents connect: tcp://ADDRESS:PORT or ipc:///PATH"},
    {"listen-http", "CANREACH_LISTEN_HTTP", OPTION_STRING, FIELD(listen_http), "ADDR",
     "127.0.0.1:7780", 0, 0, "the API: ADDRESS:PORT, [IPV6]:PORT or unix:PATH"},
    {"config", "CANREACH_CONFIG", OPTION_STRING, FIELD(config), "FILE", NULL, 0, 0,
     "gate rules, schedules, alerts, retention (YAML); see canreach-collector(8)"},
    {"sample", "CANREACH_SAMPLE", OPTION_INT, FIELD(sample), "N", "16", 1, 1000,
     "source tasks of one service in one run; larger services take turns"},
    {"cloud-timeout", "CANREACH_CLOUD_TIMEOUT", OPTION_DURATION, FIELD(cloud_ms), "TIME", "15s",
     1000, 60000, "for what AWS says of a run's fleet (clusters in the fleet file)"},
    {"log-level", "CANREACH_LOG_LEVEL", OPTION_STRING, FIELD(log_level), "LEVEL", "info", 0, 0,
     "error, warn, info or debug"},
    {"help", NULL, OPTION_FLAG, FIELD(help), NULL, NULL, 0, 0, "print this and exit"},
    {"version", NULL, OPTION_FLAG, FIELD(version), NULL, NULL, 0, 0, "print the version and exit"},
};

static int usage_error(const char *text)
{
    fprintf(stderr, "canreach-collector: %s\nTry 'canreach-collector --help'.\n", text);
    return 2;
}

static void print_help(void)
{
    puts("Usage: canreach-collector --fleet FILE [OPTION...]\n\n"
         "Hands probe assignments to the agents, stores what they report, builds the service x\n"
         "service matrix and serves it over HTTP. There are no tokens and no TLS yet: listen on\n"
         "loopback or a unix socket, or where only agents and you can connect.\n");
    options_print_help(specs, ARRAY_SIZE(specs));
}

static void on_signal(void *ctx)
{
    loop_stop(ctx);
}

/* One descriptor an agent: as many as the system lets us have. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Said once, since nothing asks who connects yet. */
static void warn_of_open_listener(const char *option, const char *address)
{
    static const char *const closed[] = {"unix:", "ipc://",     "127.",
                                         "[::1]", "tcp://127.", "tcp://[::1]"};

    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        if (strncmp(address, closed[i], strlen(closed[i])) == 0)
            return;
    log_warn("listener-open",
             "option=%s address=%s hint=\"no authentication yet: let only agents "
             "and yourself connect\"",
             option, address);
}

/* What is wrong in the settings is said before anything is opened. */
static int check_settings(const struct settings *settings, struct error *err)
{
    struct error why;

    if (httpd_check_address(settings->listen_http, &why) < 0)
        return error_set(err, -EINVAL, "--listen-http: %s", why.text);
    if (strncmp(settings->listen_agents, "tcp://", 6) != 0 &&
        strncmp(settings->listen_agents, "ipc:///", 7) != 0)
        return error_set(err, -EINVAL,
                         "--listen-agents: '%.80s' is not tcp://ADDRESS:PORT or ipc:///PATH",
                         settings->listen_agents);
    return 0;
}

static int serve(const struct settings *settings, const struct config *config, struct fleet *fleet,
                 const struct buf *text)
{
    struct collector_settings wanted = {
        .listen_agents = settings->listen_agents,
        .listen_http = settings->listen_http,
        .sample = settings->sample,
        .config = config,
        .cloud_ms = settings->cloud_ms,
        .fleet_text = buf_text(text),
        .fleet_length = text->length,
    };
    struct loop *loop = loop_new();
    struct store *store = NULL;
    struct collector *collector = NULL;
    struct error err = {"no event loop"};
    int status = 1;

    /* Before NNG and SQLite start threads: they inherit the blocked signals. */
    if (!loop || loop_catch_signals(loop, on_signal, loop) < 0)
        goto done;
    store = store_open(settings->store, &err);
    if (!store)
        goto done;
    collector = collector_new(loop, fleet, store, &wanted, &err);
    if (!collector)
        goto done;
    log_info("started", "version=%s fleet=%s services=%zu agents=%s http=%s store=%s",
             CANREACH_VERSION, LOG_QUOTE(fleet->name), fleet->service_count,
             settings->listen_agents, settings->listen_http, LOG_QUOTE(settings->store));
    warn_of_open_listener("--listen-agents", settings->listen_agents);
    warn_of_open_listener("--listen-http", settings->listen_http);
    status = loop_run(loop) < 0 ? 1 : 0;
    log_info("stopped", "status=%d", status);
done:
    /* NNG's close can wait for ever (1.5.2): the end is not to hang on it. */
    alarm(END_SECONDS);
    if (!collector)
        fprintf(stderr, "canreach-collector: %s\n", err.text);
    collector_free(collector);
    store_close(store);
    loop_free(loop);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct fleet_messages messages = {0};
    struct config config;
    CLEANUP_BUF struct buf text = BUF_INIT(FLEET_BYTES_MAX + 1);
    enum log_level level;
    struct fleet *fleet;
    struct error err;
    int status = 2;

    if (options_parse(specs, ARRAY_SIZE(specs), &settings, argc, argv, NULL, &err) < 0)
        return usage_error(err.text);
    if (settings.help) {
        print_help();
        return 0;
    }
    if (settings.version) {
        puts("canreach-collector " CANREACH_VERSION);
        return 0;
    }
    if (!log_level_parse(settings.log_level, &level))
        return usage_error("--log-level: expected error, warn, info or debug");
    log_set_level(level);
    if (!settings.fleet)
        return usage_error("--fleet is needed: a fleet file, see 'canreach help fleet'");
    if (check_settings(&settings, &err) < 0)
        return usage_error(err.text);
    raise_descriptors();
    config_init(&config);
    fleet = fleet_load(settings.fleet, &messages, &text);
    if (fleet && settings.config && config_load(&config, settings.config, &messages) < 0)
        fleet = fleet_unref(fleet);
    fputs(buf_text(&messages.text), stderr);
    if (fleet)
        status = serve(&settings, &config, fleet, &text);
    config_deinit(&config);
    fleet_unref(fleet);
    fleet_messages_deinit(&messages);
    return status;
}
