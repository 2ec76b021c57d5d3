/* collector: ties the parts together: agents in, reports stored and acknowledged, runs judged. */
#ifndef COLLECTOR_COLLECTOR_H
#define COLLECTOR_COLLECTOR_H

#include "collector/fleet.h"
#include "collector/config.h"
#include "collector/store.h"
#include "common/error.h"
#include "common/loop.h"

#define COLLECTOR_PENDING_MAX 1024 /* reports of one turn, stored with one commit */

struct collector;

struct collector_settings {
    const char *listen_agents;   /* NNG URL */
    const char *listen_http;     /* ADDRESS:PORT or unix:PATH */
    int64_t sample;              /* source tasks per service and run */
    const struct config *config; /* borrowed */
    int64_t cloud_ms;            /* for the cloud's view of a run */
    const char *fleet_text;      /* as it was read, for the store */
    size_t fleet_length;
};

/* Fleet and store are borrowed. NULL with `err` set. */
struct collector *collector_new(struct loop *loop, struct fleet *fleet, struct store *store,
                                const struct collector_settings *settings, struct error *err);
struct collector *collector_free(struct collector *collector);

#endif
