/* why_path: the two views of a failing pair's paths, side by side: what the VPC's configuration
 * does at each step, and what both ends saw; then what is logged of tasks that ended. */
#ifndef COLLECTOR_CLI_WHY_PATH_H
#define COLLECTOR_CLI_WHY_PATH_H

struct cJSON;

/* `document` is the API's answer for a pair. */
void why_print_paths(const struct cJSON *document);
void why_print_logs(const struct cJSON *document);

#endif
