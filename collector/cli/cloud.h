/* cloud: what the cloud said of the fleet, on the terminal. */
#ifndef COLLECTOR_CLI_CLOUD_H
#define COLLECTOR_CLI_CLOUD_H

#include "collector/cli/table.h"

struct cJSON;

/* Two cells: tasks (running of desired, and those that are unhealthy), and the deployment. */
void cloud_add_service(struct table *table, const struct cJSON *cloud);
/* What could not be read, and what would mend it; nothing where nothing is missing, or without a
 * cloud (NULL). */
void cloud_print_missing(const struct cJSON *cloud);
/* The document of one service. */
void cloud_print_service(const struct cJSON *document);

#endif
