/* tree: a document as a cloud's API answers it, JSON or XML, in one shape.
 *
 * A member of a JSON object and an XML element are a node with a name; the items of a JSON list are
 * nodes named "item". So the children of a list are its items in both: EC2's <item>, ELB's <member>
 * and Route 53's <ResourceRecordSet> alike. A scalar has a text and no children; JSON's null is no
 * node at all. XML attributes and namespaces are not kept: no answer that we read uses them.
 */
#ifndef COLLECTOR_CLOUD_TREE_H
#define COLLECTOR_CLOUD_TREE_H

#include "common/arena.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREE_DEPTH_MAX 32
#define TREE_NODES_MAX 2000000

struct tree {
    const char *name;  /* "" for the root of a JSON document */
    const char *text;  /* of a scalar; NULL: a container */
    struct tree *last; /* child, while it is built */
    const struct tree *first, *next;
};

/* Nodes and texts live in the arena. NULL with `err`: not such a document, too deep, too many
 * nodes; XML with a document type (entities) is refused. */
const struct tree *tree_parse_json(struct arena *arena, const char *text, size_t length,
                                   struct error *err);
const struct tree *tree_parse_xml(struct arena *arena, const char *text, size_t length,
                                  struct error *err);

/* The node at a path such as "awsvpcConfiguration/subnets", or NULL; accepts a NULL node. */
const struct tree *tree_get(const struct tree *node, const char *path);
/* Its text, or `fallback`. */
const char *tree_text(const struct tree *node, const char *path, const char *fallback);
int64_t tree_int(const struct tree *node, const char *path, int64_t fallback);
bool tree_bool(const struct tree *node, const char *path);
/* The first child of a list at a path; then along `next`. */
const struct tree *tree_items(const struct tree *node, const char *path);

#endif
