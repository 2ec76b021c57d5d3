/* fleet_parser: a YAML document as it is read: its nodes, and messages that say where and what.
 *
 * Internal to the reader of fleet files: fleet_parse.c (services), fleet_check.c (what a check may
 * say) and fleet_expect.c (expectations).
 */
#ifndef COLLECTOR_FLEET_PARSER_H
#define COLLECTOR_FLEET_PARSER_H

#include "collector/fleet.h"

#include <yaml.h>

#define PARSER_NODES_MAX 200000 /* visited: aliases could make a small file a large one */
#define PARSER_KEYS_MAX  4096   /* of one mapping: each is compared with those before it */

struct parser {
    const char *origin;
    yaml_document_t document;
    struct fleet *fleet;
    struct fleet_messages *messages;
    size_t visited;
};

/* Reads the text into `parser->document`; false with a message. */
bool parser_load(struct parser *parser, const char *text, size_t length);

/* "ORIGIN:LINE:COLUMN: error: ..."; without a node: no place. */
void parser_fail(struct parser *parser, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void parser_warn(struct parser *parser, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Of what a service may lack, or of one that is not there: a failure, unless it may still come out
 * of the cloud (source: ecs); then a warning. */
void parser_lack(struct parser *parser, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const yaml_node_t *parser_node(struct parser *parser, int index);
const char *parser_kind_of(const yaml_node_t *node); /* "a list", ... */
/* The text of a scalar, or NULL with a message. */
const char *parser_scalar(struct parser *parser, const yaml_node_t *node, const char *what);
bool parser_is_mapping(struct parser *parser, const yaml_node_t *node, const char *what);
/* The word of `words` that the scalar is, or NULL with a message. */
const char *parser_one_of(struct parser *parser, const yaml_node_t *node, const char *what,
                          const char *const *words, size_t count);

typedef void (*parser_key_fn)(struct parser *parser, const char *key, const yaml_node_t *key_node,
                              const yaml_node_t *value, void *ctx);
/* Calls `fn` for each key, after refusing what is no key and what stands twice. */
void parser_each_key(struct parser *parser, const yaml_node_t *mapping, parser_key_fn fn,
                     void *ctx);
void parser_unknown_key(struct parser *parser, const yaml_node_t *node, const char *key,
                        const char *where, const char *const *known, size_t count);

/* A copy that lives as long as the fleet. */
const char *parser_keep(struct parser *parser, const char *text);
/* "; did you mean 'x'?" or ""; and "a, b, c". Valid until the next call. */
const char *parser_suggest(const char *word, const char *const *candidates, size_t count);
const char *parser_list_of(const char *const *words, size_t count);

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
