/* config: the collector's configuration file (--config, YAML or JSON): the gate's rules, schedules,
 * alerts, how long runs are kept. canreach-collector(8) has all of it. */
#ifndef COLLECTOR_CONFIG_H
#define COLLECTOR_CONFIG_H

#include "collector/alert/alerts.h"
#include "collector/gate/gates.h"
#include "collector/retention.h"
#include "collector/schedule/schedules.h"

#define CONFIG_BYTES_MAX (256 * 1024)

struct config {
    struct gate_settings gate;
    struct retention_settings retention;
    struct schedule_settings *schedules;
    size_t schedule_count;
    struct alert_settings alerts;
    struct destination *destinations; /* the same as the alerts' */
    struct arena arena;
};

/* What holds without a file. */
void config_init(struct config *config);
/* -EINVAL: it has errors, which are in `messages`, with line and column. Time zones are read:
 * before any thread is started (zone.h). Secrets are taken from the environment or files that it
 * names. */
int config_load(struct config *config, const char *path, struct fleet_messages *messages);
int config_parse(struct config *config, const char *origin, const char *text, size_t length,
                 struct fleet_messages *messages);
void config_deinit(struct config *config);

#endif
