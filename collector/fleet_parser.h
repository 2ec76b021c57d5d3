/* fleet_parser: what the reader of fleet files shares: fleet_parse.c (services), fleet_check.c
 * (what a check may say) and fleet_expect.c (expectations). Internal to it.
 */
#ifndef COLLECTOR_FLEET_PARSER_H
#define COLLECTOR_FLEET_PARSER_H

#include "collector/parser.h"

/* ---- fleet_check.c ---- */

#define SETTINGS_MAX 32

/* The keys that defaults, services and checks share. */
struct check_settings {
    struct fleet_check check;               /* without a name */
    const yaml_node_t *given[SETTINGS_MAX]; /* where each key stood, by its place in the table */
};

/* False: none of these keys. */
bool parser_read_setting(struct parser *parser, const char *key, const yaml_node_t *key_node,
                         const yaml_node_t *value, struct check_settings *settings);
/* Says that `key` is neither one of them nor one of `others`. */
void parser_unknown_setting(struct parser *parser, const yaml_node_t *node, const char *key,
                            const char *where, const char *const *others, size_t count);
/* Once all keys of a check are read: those that its type does not look at, and what does not fit
 * together. */
void parser_judge_settings(struct parser *parser, const struct check_settings *settings);

/* fleet_expect.c: the `expect` section (NULL: none), once the services are known. */
void parser_read_expect(struct parser *parser, const yaml_node_t *expect);

#endif
