#include "collector/fleet_merge.h"

#include "common/text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 64

struct document {
    yaml_document_t yaml;
    const yaml_node_t *root;
};

/* ---- YAML as JSON ---- */

static const yaml_node_t *node_at(struct document *document, int index)
{
    return yaml_document_get_node(&document->yaml, index);
}

static const char *text_of(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : "";
}

static void put_node(struct document *document, const yaml_node_t *node, unsigned depth,
                     struct buf *out)
{
    const char *separator = "";

    if (!node || depth > DEPTH_MAX || node->type == YAML_SCALAR_NODE) {
        buf_put_json(out, text_of(node));
    } else if (node->type == YAML_SEQUENCE_NODE) {
        buf_putc(out, '[');
        for (const yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top; item++, separator = ",") {
            buf_puts(out, separator);
            put_node(document, node_at(document, *item), depth + 1, out);
        }
        buf_putc(out, ']');
    } else {
        buf_putc(out, '{');
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top; pair++, separator = ",") {
            buf_puts(out, separator);
            buf_put_json(out, text_of(node_at(document, pair->key)));
            buf_putc(out, ':');
            put_node(document, node_at(document, pair->value), depth + 1, out);
        }
        buf_putc(out, '}');
    }
}

/* The value of a key; NULL: not there, or no mapping. */
static const yaml_node_t *value_of(struct document *document, const yaml_node_t *node,
                                   const char *key)
{
    if (!node || node->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++)
        if (strcmp(text_of(node_at(document, pair->key)), key) == 0)
            return node_at(document, pair->value);
    return NULL;
}

/* ---- one service out of two ---- */

static bool is_overridden(struct document *written, const yaml_node_t *service, const char *key)
{
    static const char *const checked[] = {"check", "checks", "path", "status", "verify"};

    if (value_of(written, service, key))
        return true;
    if (!value_of(written, service, "check") && !value_of(written, service, "checks"))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(checked); i++)
        if (strcmp(checked[i], key) == 0)
            return true;
    return false;
}

static void put_keys(struct document *document, const yaml_node_t *service,
                     struct document *written, const yaml_node_t *overriding,
                     const char **separator, struct buf *out)
{
    if (!service || service->type != YAML_MAPPING_NODE)
        return;
    for (const yaml_node_pair_t *pair = service->data.mapping.pairs.start;
         pair < service->data.mapping.pairs.top; pair++) {
        const char *key = text_of(node_at(document, pair->key));
        if (overriding && is_overridden(written, overriding, key))
            continue;
        buf_puts(out, *separator);
        buf_put_json(out, key);
        buf_putc(out, ':');
        put_node(document, node_at(document, pair->value), 0, out);
        *separator = ",";
    }
}

static void put_services(struct document *written, struct document *found, struct buf *out)
{
    const yaml_node_t *ours = value_of(written, written->root, "services");
    const yaml_node_t *theirs = value_of(found, found->root, "services");
    const char *separator = "", *inner;

    buf_puts(out, "\"services\":{");
    for (const yaml_node_pair_t *pair = theirs ? theirs->data.mapping.pairs.start : NULL;
         theirs && pair < theirs->data.mapping.pairs.top; pair++, separator = ",") {
        const char *name = text_of(node_at(found, pair->key));
        const yaml_node_t *overriding = value_of(written, ours, name);
        buf_puts(out, separator);
        buf_put_json(out, name);
        buf_puts(out, ":{");
        inner = "";
        put_keys(found, node_at(found, pair->value), written, overriding, &inner, out);
        put_keys(written, overriding, written, NULL, &inner, out);
        buf_putc(out, '}');
    }
    for (const yaml_node_pair_t *pair = ours ? ours->data.mapping.pairs.start : NULL;
         ours && pair < ours->data.mapping.pairs.top; pair++) {
        const char *name = text_of(node_at(written, pair->key));
        if (value_of(found, theirs, name))
            continue;
        buf_puts(out, separator);
        buf_put_json(out, name);
        buf_putc(out, ':');
        put_node(written, node_at(written, pair->value), 0, out);
        separator = ",";
    }
    buf_putc(out, '}');
}

/* ---- the whole ---- */

static bool load(struct document *document, const char *text, size_t length)
{
    yaml_parser_t parser;
    bool is_loaded;

    if (!yaml_parser_initialize(&parser))
        return false;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    is_loaded = yaml_parser_load(&parser, &document->yaml) != 0;
    yaml_parser_delete(&parser);
    if (!is_loaded)
        return false;
    document->root = yaml_document_get_root_node(&document->yaml);
    return true;
}

static int merge(struct document *written, struct document *found, struct buf *out,
                 struct error *err)
{
    const yaml_node_t *theirs = value_of(found, found->root, "services");
    const yaml_node_t *ours = value_of(written, written->root, "services");

    if (!written->root || written->root->type != YAML_MAPPING_NODE || !theirs ||
        theirs->type != YAML_MAPPING_NODE || (ours && ours->type != YAML_MAPPING_NODE))
        return error_set(err, -EINVAL, "not fleet files");
    buf_putc(out, '{');
    for (const yaml_node_pair_t *pair = written->root->data.mapping.pairs.start;
         pair < written->root->data.mapping.pairs.top; pair++) {
        const char *key = text_of(node_at(written, pair->key));
        if (strcmp(key, "services") == 0)
            continue;
        buf_put_json(out, key);
        buf_putc(out, ':');
        put_node(written, node_at(written, pair->value), 0, out);
        buf_putc(out, ',');
    }
    put_services(written, found, out);
    buf_putc(out, '}');
    return buf_is_full(out) ? error_set(err, -E2BIG, "the fleet is too large") : 0;
}

int fleet_merge(const char *written, size_t written_length, const char *found, size_t found_length,
                struct buf *out, struct error *err)
{
    struct document ours = {0}, theirs = {0};
    bool has_ours = load(&ours, written, written_length);
    bool has_theirs = load(&theirs, found, found_length);
    int r = has_ours && has_theirs ? merge(&ours, &theirs, out, err)
                                   : error_set(err, -EINVAL, "not YAML");

    if (has_ours)
        yaml_document_delete(&ours.yaml);
    if (has_theirs)
        yaml_document_delete(&theirs.yaml);
    return r;
}
