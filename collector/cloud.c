#include "collector/cloud.h"

#include "collector/cloud/discover.h"
#include "collector/cloud/gather.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <string.h>

#define INQUIRIES_MAX 4 /* at once */

struct asked {
    struct cloud *cloud;
    int64_t run;
    struct inquiry *inquiry; /* NULL: a free place */
};

struct cloud {
    struct loop *loop;
    struct aws *aws;
    struct arena arena; /* of the settings */
    const char *fleet;
    const char **clusters;
    size_t cluster_count;
    bool is_followed;
    int64_t deadline_ms;
    struct cloud_events events;

    struct estate *last; /* with tasks and network */
    struct gather *facts, *follow;
    struct asked asked[INQUIRIES_MAX];
    int64_t runs[CLOUD_RUNS_MAX]; /* that wait */
    size_t run_count;
    struct loop_timer timer;
    char *text; /* of the fleet file, as it was handed on; NULL before the first */
    char problem[256];
};

/* ---- the fleet out of an estate ---- */

/* A fleet that is made of half of what there is would drop services that are there. */
static const struct estate_missing *find_gap(const struct estate *estate)
{
    const struct estate_missing *missing = estate->parts[ESTATE_MISSING].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_MISSING); i++)
        if ((strncmp(missing[i].call, "ecs:", 4) == 0 && !strstr(missing[i].call, "Tasks")) ||
            strncmp(missing[i].call, "servicediscovery:ListN", 22) == 0 ||
            strncmp(missing[i].call, "servicediscovery:ListS", 22) == 0)
            return &missing[i];
    return NULL;
}

static void follow_estate(struct cloud *cloud, const struct estate *estate)
{
    const struct estate_missing *gap = find_gap(estate);
    CLEANUP_BUF struct buf text = BUF_INIT(BUF_UNBOUNDED);

    if (gap) {
        snprintf(cloud->problem, sizeof(cloud->problem), "%s: %s%s%.150s", gap->call, gap->code,
                 *gap->text ? ": " : "", gap->text);
        log_warn("cloud-not-followed",
                 "call=%s code=%s of=%s hint=\"the services stay as they were\"",
                 LOG_QUOTE(gap->call), LOG_QUOTE(gap->code), LOG_QUOTE(gap->of));
        return;
    }
    discover_fleet(estate, &(struct discover_settings){cloud->fleet, "", true}, &text);
    *cloud->problem = '\0';
    if (cloud->text && strcmp(cloud->text, buf_text(&text)) == 0)
        return;
    mem_free(cloud->text);
    cloud->text = mem_strdup(buf_text(&text));
    log_info("cloud-followed", "services=%zu", estate_count(estate, ESTATE_SERVICES));
    cloud->events.on_fleet(cloud->events.ctx, cloud->text, text.length);
}

/* ---- asking ---- */

static struct gather_request request_of(const struct cloud *cloud, bool is_fleet_only)
{
    return (struct gather_request){
        .clusters = cloud->clusters,
        .cluster_count = cloud->cluster_count,
        .is_fleet_only = is_fleet_only,
        .former = cloud->last,
        .deadline_ms = cloud->deadline_ms,
    };
}

static void note_missing(const struct estate *estate)
{
    const struct estate_missing *missing = estate->parts[ESTATE_MISSING].items;

    for (size_t i = 0; i < estate_count(estate, ESTATE_MISSING); i++)
        log_warn("cloud-not-read", "call=%s code=%s of=%s times=%lld text=%s",
                 LOG_QUOTE(missing[i].call), LOG_QUOTE(missing[i].code), LOG_QUOTE(missing[i].of),
                 (long long)missing[i].count, LOG_QUOTE(missing[i].text));
}

static void on_facts(void *ctx, struct estate *estate)
{
    struct cloud *cloud = ctx;
    int64_t runs[CLOUD_RUNS_MAX];
    size_t count = cloud->run_count;

    cloud->facts = NULL;
    if (count)
        memcpy(runs, cloud->runs, count * sizeof(*runs));
    cloud->run_count = 0;
    log_info("cloud-read", "services=%zu tasks=%zu missing=%zu ms=%lld",
             estate_count(estate, ESTATE_SERVICES), estate_count(estate, ESTATE_TASKS),
             estate_count(estate, ESTATE_MISSING), (long long)(clock_wall_ms() - estate->taken_ms));
    note_missing(estate);
    /* The other reader may still hold on to the former one. */
    cloud->follow = gather_cancel(cloud->follow);
    if (cloud->is_followed)
        loop_timer_in_ms(cloud->loop, &cloud->timer, CLOUD_FOLLOW_MS);
    cloud->last = estate_free(cloud->last);
    cloud->last = estate;
    if (cloud->is_followed)
        follow_estate(cloud, estate);
    cloud->events.on_estate(cloud->events.ctx, estate, runs, count);
}

void cloud_remember(struct cloud *cloud, struct estate *estate)
{
    estate_free(cloud->last);
    cloud->last = estate;
}

static void on_followed(void *ctx, struct estate *estate)
{
    struct cloud *cloud = ctx;

    cloud->follow = NULL;
    if (!cloud->text)
        log_info("cloud-known", "services=%zu definitions=%zu missing=%zu region=%s keys=%s",
                 estate_count(estate, ESTATE_SERVICES), estate_count(estate, ESTATE_DEFINITIONS),
                 estate_count(estate, ESTATE_MISSING), aws_region(cloud->aws),
                 LOG_QUOTE(aws_key_source(cloud->aws)));
    if (cloud->is_followed) {
        follow_estate(cloud, estate);
        loop_timer_in_ms(cloud->loop, &cloud->timer, CLOUD_FOLLOW_MS);
    } else {
        note_missing(estate);
    }
    /* Of use for its task definitions, until there is a better one. */
    if (!cloud->facts && (!cloud->last || !cloud->last->is_network_whole))
        cloud_remember(cloud, estate);
    else
        estate_free(estate);
}

static void on_time(void *ctx)
{
    struct cloud *cloud = ctx;
    struct gather_request request = request_of(cloud, true);

    if (cloud->facts && cloud->is_followed) /* it will tell */
        loop_timer_in_ms(cloud->loop, &cloud->timer, CLOUD_FOLLOW_MS);
    else if (!cloud->facts && !cloud->follow)
        cloud->follow = gather_begin(cloud->aws, cloud->loop, &request, on_followed, cloud);
}

bool cloud_want(struct cloud *cloud, int64_t run, bool is_fresh)
{
    struct gather_request request = request_of(cloud, false);

    if (cloud->run_count == CLOUD_RUNS_MAX || (is_fresh && cloud->facts))
        return false;
    request.is_fresh = is_fresh;
    cloud->runs[cloud->run_count++] = run;
    if (!cloud->facts)
        cloud->facts = gather_begin(cloud->aws, cloud->loop, &request, on_facts, cloud);
    return true;
}

bool cloud_is_reading(const struct cloud *cloud, int64_t run)
{
    for (size_t i = 0; i < cloud->run_count; i++)
        if (cloud->runs[i] == run)
            return true;
    return false;
}

static void on_found(void *ctx, struct estate *found)
{
    struct asked *asked = ctx;
    struct cloud *cloud = asked->cloud;

    asked->inquiry = NULL;
    log_info("cloud-asked", "run=%lld events=%zu flows=%zu lines=%zu missing=%zu",
             (long long)asked->run, estate_count(found, ESTATE_TRAIL),
             estate_count(found, ESTATE_FLOWS), estate_count(found, ESTATE_LOG_LINES),
             estate_count(found, ESTATE_MISSING));
    cloud->events.on_found(cloud->events.ctx, asked->run, found);
    estate_free(found);
}

bool cloud_inquire(struct cloud *cloud, int64_t run, struct inquiry_request *request,
                   int64_t deadline_ms)
{
    for (size_t i = 0; i < INQUIRIES_MAX; i++) {
        struct asked *asked = &cloud->asked[i];
        if (asked->inquiry)
            continue;
        *asked = (struct asked){cloud, run, NULL};
        asked->inquiry =
            inquiry_begin(cloud->aws, cloud->loop, request, deadline_ms, on_found, asked);
        return true;
    }
    return false;
}

struct aws *cloud_aws(const struct cloud *cloud)
{
    return cloud->aws;
}

const char *const *cloud_clusters(const struct cloud *cloud, size_t *ret_count)
{
    *ret_count = cloud->cluster_count;
    return cloud->clusters;
}

const char *cloud_problem(const struct cloud *cloud)
{
    return cloud->problem;
}

/* ---- life ---- */

struct cloud *cloud_new(struct loop *loop, const struct cloud_settings *settings,
                        const struct cloud_events *events, struct error *err)
{
    struct cloud *cloud = mem_alloc(sizeof(*cloud));

    *cloud = (struct cloud){.loop = loop,
                            .is_followed = settings->is_followed,
                            .deadline_ms = settings->deadline_ms,
                            .events = *events};
    cloud->timer = (struct loop_timer){.fn = on_time, .ctx = cloud};
    cloud->fleet = arena_strdup(&cloud->arena, settings->fleet);
    cloud->clusters =
        arena_alloc(&cloud->arena, settings->cluster_count + 1, sizeof(*cloud->clusters));
    for (size_t i = 0; i < settings->cluster_count; i++)
        cloud->clusters[cloud->cluster_count++] =
            arena_strdup(&cloud->arena, settings->clusters[i]);
    cloud->aws = aws_new(loop, *settings->region ? settings->region : NULL, err);
    if (!cloud->aws)
        return cloud_free(cloud);
    if (cloud->is_followed)
        snprintf(cloud->problem, sizeof(cloud->problem), "the clusters are being read");
    /* Once in any case: what is not allowed is known before the first run needs it. */
    loop_timer_in_ms(loop, &cloud->timer, 0);
    return cloud;
}

struct cloud *cloud_free(struct cloud *cloud)
{
    if (!cloud)
        return NULL;
    loop_timer_stop(cloud->loop, &cloud->timer);
    gather_cancel(cloud->facts);
    gather_cancel(cloud->follow);
    for (size_t i = 0; i < INQUIRIES_MAX; i++)
        inquiry_cancel(cloud->asked[i].inquiry);
    aws_free(cloud->aws);
    estate_free(cloud->last);
    mem_free(cloud->text);
    arena_deinit(&cloud->arena);
    mem_free(cloud);
    return NULL;
}
