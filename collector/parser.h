/* parser: a YAML document as it is read: its nodes, and messages that say where and what. For the
 * fleet file and the collector's configuration. */
#ifndef COLLECTOR_PARSER_H
#define COLLECTOR_PARSER_H

#include "collector/fleet.h"

#include <yaml.h>

#define PARSER_NODES_MAX 200000 /* visited: aliases could make a small file a large one */
#define PARSER_KEYS_MAX  4096   /* of one mapping: each is compared with those before it */

struct parser {
    const char *origin;
    yaml_document_t document;
    struct arena *arena; /* of what is kept */
    struct fleet *fleet; /* that is read; NULL: it is no fleet file */
    bool is_lenient;     /* what is lacking may come from elsewhere (source: ecs) */
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

/* Something is lacking: a failure, or, where that may be, a warning. */
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
/* The items of a list, each once; false with a message where it is none, or has more than `most`.
 */
typedef void (*parser_item_fn)(struct parser *parser, const yaml_node_t *item, void *ctx);
bool parser_each_item(struct parser *parser, const yaml_node_t *list, const char *what, size_t most,
                      parser_item_fn fn, void *ctx);
/* A duration ("90s") within the bounds; false with a message. */
bool parser_duration(struct parser *parser, const yaml_node_t *node, const char *what,
                     int64_t min_ms, int64_t max_ms, int64_t *ret_ms);
bool parser_int(struct parser *parser, const yaml_node_t *node, const char *what, int64_t min,
                int64_t max, int64_t *ret_value);

/* Calls `fn` for each key, after refusing what is no key and what stands twice. */
void parser_each_key(struct parser *parser, const yaml_node_t *mapping, parser_key_fn fn,
                     void *ctx);
void parser_unknown_key(struct parser *parser, const yaml_node_t *node, const char *key,
                        const char *where, const char *const *known, size_t count);

/* A copy that lives as long as the arena. */
const char *parser_keep(struct parser *parser, const char *text);
/* "; did you mean 'x'?" or ""; and "a, b, c". Valid until the next call. */
const char *parser_suggest(const char *word, const char *const *candidates, size_t count);
const char *parser_list_of(const char *const *words, size_t count);

#endif
