/* cloud: what AWS says of the fleet: an estate for each run, and, where the fleet file says
 * `source: ecs`, the services of its clusters, looked at every CLOUD_FOLLOW_MS.
 *
 * At the start it looks at the clusters once in any case: what is not allowed is told then, and the
 * task definitions, a call each, are known when the first run comes. */
#ifndef COLLECTOR_CLOUD_H
#define COLLECTOR_CLOUD_H

#include "collector/cloud/estate.h"
#include "collector/cloud/inquiry.h"
#include "common/error.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOUD_FOLLOW_MS 60000
#define CLOUD_RUNS_MAX  64 /* that wait */

struct aws;
struct cloud;

struct cloud_settings {
    const char *fleet; /* its name */
    const char *const *clusters;
    size_t cluster_count;
    const char *region; /* "": as AWS's own tools find it */
    bool is_followed;
    int64_t deadline_ms; /* for one estate: a run that fails waits that long for it */
};

struct cloud_events {
    void *ctx;
    /* The clusters' services as a fleet file. Called when it is another one than before. */
    void (*on_fleet)(void *ctx, const char *text, size_t length);
    /* An estate for these runs; it is the cloud's. */
    void (*on_estate)(void *ctx, const struct estate *estate, const int64_t *runs, size_t count);
    /* What a run's inquiry found; it is the cloud's. */
    void (*on_found)(void *ctx, int64_t run, const struct estate *found);
};

/* The settings are copied. NULL with `err`: no region, configuration files that cannot be read. */
struct cloud *cloud_new(struct loop *loop, const struct cloud_settings *settings,
                        const struct cloud_events *events, struct error *err);
struct cloud *cloud_free(struct cloud *cloud); /* accepts NULL */

/* The task definitions of an earlier one: they never change. Takes it over. */
void cloud_remember(struct cloud *cloud, struct estate *estate);
/* A run wants an estate; `is_fresh`: with the network as it is now, not as of up to a minute ago.
 * False: too many wait, or it is being read just now and may not be fresh: ask again after it. */
bool cloud_want(struct cloud *cloud, int64_t run, bool is_fresh);
/* Whether an estate will come for that run. */
bool cloud_is_reading(const struct cloud *cloud, int64_t run);
/* Asks what AWS kept of a failing run's past. Takes over the request. False: too many are under
 * way. */
bool cloud_inquire(struct cloud *cloud, int64_t run, struct inquiry_request *request,
                   int64_t deadline_ms);
/* For calls of its own: borrowed, as long as the cloud. */
struct aws *cloud_aws(const struct cloud *cloud);
const char *const *cloud_clusters(const struct cloud *cloud, size_t *ret_count);
/* Why the clusters' services are not known; "" once they are. */
const char *cloud_problem(const struct cloud *cloud);

#endif
