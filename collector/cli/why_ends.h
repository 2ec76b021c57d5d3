/* why_ends: one pair's endpoints, each from both ends: what the source saw, what the target's own
 * agent saw.
 */
#ifndef COLLECTOR_CLI_WHY_ENDS_H
#define COLLECTOR_CLI_WHY_ENDS_H

struct cJSON;

/* `document` is the API's answer for a pair. */
void why_print_ends(const struct cJSON *document);

#endif
