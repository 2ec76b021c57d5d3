/* canreach fleet import: a fleet file out of ECS and Cloud Map. Needs no collector. */
#include "collector/cli/command.h"
#include "collector/cloud/discover.h"
#include "collector/cloud/gather.h"
#include "common/clock.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MIN_MS 1000
#define TIMEOUT_MAX_MS 600000
#define PROGRESS_MS    200

struct settings {
    struct common_settings common;
    struct options_list clusters;
    const char *region, *name;
    int64_t timeout_ms;
};

static const struct option_spec specs[] = {
    COMMON_OPTIONS,
    {"cluster", NULL, OPTION_LIST, offsetof(struct settings, clusters), "NAME", NULL, 0, 0,
     "the ECS cluster"},
    {"region", NULL, OPTION_STRING, offsetof(struct settings, region), "REGION", NULL, 0, 0,
     "of the cluster"},
    {"name", NULL, OPTION_STRING, offsetof(struct settings, name), "NAME", NULL, 0, 0,
     "of the fleet"},
    {"timeout", NULL, OPTION_DURATION, offsetof(struct settings, timeout_ms), "TIME", "60s",
     TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, "for all of it"},
};

struct import {
    struct loop *loop;
    struct aws *aws;
    struct estate *estate;
    struct loop_timer progress;
};

static void on_estate(void *ctx, struct estate *estate)
{
    struct import *import = ctx;

    import->estate = estate;
    loop_stop(import->loop);
}

static void show_progress(void *ctx)
{
    struct import *import = ctx;
    struct aws_counters counters = aws_counters(import->aws);

    fprintf(stderr, "\rreading: %llu calls, %llu repeated", (unsigned long long)counters.requests,
            (unsigned long long)counters.retries);
    loop_timer_in_ms(import->loop, &import->progress, PROGRESS_MS);
}

/* An earlier line has said the same: no credentials, say. A permission is a call's own. */
static bool is_said(const struct estate_missing *missing, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (!missing[index].is_permission && strcmp(missing[i].code, missing[index].code) == 0 &&
            strcmp(missing[i].text, missing[index].text) == 0)
            return true;
    return false;
}

/* What could not be read, a line each. */
static void say_missing(const struct estate *estate)
{
    const struct estate_missing *missing = estate->parts[ESTATE_MISSING].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_MISSING); i++) {
        if (is_said(missing, i))
            continue;
        fprintf(stderr, "canreach fleet: %s%s%s: %s%s%s\n", missing[i].call,
                *missing[i].of ? " " : "", missing[i].of, missing[i].code,
                *missing[i].text ? ": " : "", missing[i].text);
        if (missing[i].is_permission)
            fprintf(stderr, "  allow %s, see deploy/aws/collector-policy.json\n", missing[i].call);
    }
}

static int print_fleet(const struct settings *settings, const struct import *import,
                       uint64_t began_us)
{
    const struct estate *estate = import->estate;
    CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED), heading = BUF_INIT(4096);
    const char *name =
        settings->name ? settings->name : estate_short_name(settings->clusters.items[0]);
    char time[CLOCK_RFC3339_MAX];
    struct aws_counters counters = aws_counters(import->aws);
    size_t count;

    say_missing(estate);
    if (!estate_count(estate, ESTATE_SERVICES) && estate_count(estate, ESTATE_MISSING))
        return EXIT_USAGE;
    if (!estate_count(estate, ESTATE_SERVICES))
        return command_error("fleet", EXIT_NO_VERDICT, "%s has no services%s",
                             estate_short_name(settings->clusters.items[0]),
                             settings->clusters.count > 1 ? ", nor have the others" : "");
    clock_rfc3339(estate->taken_ms, time);
    buf_printf(&heading,
               "Written by canreach fleet import, %.19sZ, %s. Every service is expected to "
               "reach every other one:\n# say otherwise under 'expect'.",
               time, estate->region);
    count =
        discover_fleet(estate, &(struct discover_settings){name, buf_text(&heading), false}, &text);
    fputs(buf_text(&text), stdout);
    fprintf(stderr, "%zu services, %llu calls, %.1f s, keys from: %s\n", count,
            (unsigned long long)counters.requests, (double)(clock_mono_us() - began_us) / 1e6,
            aws_key_source(import->aws));
    return estate_count(estate, ESTATE_MISSING) ? EXIT_NO_VERDICT : EXIT_PASS;
}

static int import_fleet(const struct settings *settings)
{
    struct import import = {.loop = loop_new()};
    struct gather_request request = {
        .clusters = (const char *const *)settings->clusters.items,
        .cluster_count = settings->clusters.count,
        .is_fleet_only = true,
        .deadline_ms = settings->timeout_ms,
    };
    uint64_t began_us = clock_mono_us();
    struct error err;
    int status = EXIT_USAGE;

    if (!import.loop)
        return command_error("fleet", EXIT_USAGE, "no event loop");
    import.aws = aws_new(import.loop, settings->region, &err);
    if (!import.aws) {
        loop_free(import.loop);
        return command_error("fleet", EXIT_USAGE, "%s", err.text);
    }
    import.progress = (struct loop_timer){.fn = show_progress, .ctx = &import};
    if (isatty(STDERR_FILENO))
        loop_timer_in_ms(import.loop, &import.progress, PROGRESS_MS);
    gather_begin(import.aws, import.loop, &request, on_estate, &import);
    if (loop_run(import.loop) == 0 && import.estate) {
        if (isatty(STDERR_FILENO))
            fputs("\r\x1b[K", stderr);
        status = print_fleet(settings, &import, began_us);
    }
    loop_timer_stop(import.loop, &import.progress);
    estate_free(import.estate);
    aws_free(import.aws);
    loop_free(import.loop);
    return status;
}

int cmd_import(int argc, char **argv)
{
    struct settings settings = {0};
    struct options_list words = {0};
    int status = command_parse("fleet", specs, ARRAY_SIZE(specs), &settings, argc, argv, &words, 1);

    if (status < 0 && !settings.clusters.count)
        status = command_error("fleet", EXIT_USAGE, "import: --cluster NAME is needed");
    if (status < 0 && settings.clusters.count > GATHER_CLUSTERS_MAX)
        status =
            command_error("fleet", EXIT_USAGE, "import: at most %d clusters", GATHER_CLUSTERS_MAX);
    if (status < 0)
        status = import_fleet(&settings);
    options_list_deinit(&words);
    options_deinit(specs, ARRAY_SIZE(specs), &settings);
    return status;
}
