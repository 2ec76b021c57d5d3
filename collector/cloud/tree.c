#include "collector/cloud/tree.h"

#include "common/buf.h"
#include "common/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_KEPT 64 /* element names repeat: one copy of each will do, mostly */
#define TEXT_MAX   ((size_t)1 << 20)

static struct tree *add_child(struct arena *arena, struct tree *parent, const char *name)
{
    struct tree *node = arena_alloc(arena, 1, sizeof(*node));

    node->name = name;
    if (!parent)
        return node;
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    return node;
}

/* ---- JSON ---- */

static void put_scalar(struct arena *arena, struct tree *node, const cJSON *value)
{
    if (cJSON_IsString(value))
        node->text = arena_strdup(arena, value->valuestring);
    else if (cJSON_IsBool(value))
        node->text = cJSON_IsTrue(value) ? "true" : "false";
    else
        node->text = arena_printf(arena, "%.17g", value->valuedouble);
}

/* The recursion is as deep as the document, which json_parse() has bounded. */
static void copy_json(struct arena *arena, struct tree *node, const cJSON *value)
{
    const cJSON *child;

    if (!cJSON_IsObject(value) && !cJSON_IsArray(value)) {
        put_scalar(arena, node, value);
        return;
    }
    cJSON_ArrayForEach(child, value)
    {
        if (!cJSON_IsNull(child))
            copy_json(
                arena,
                add_child(arena, node, child->string ? arena_strdup(arena, child->string) : "item"),
                child);
    }
}

const struct tree *tree_parse_json(struct arena *arena, const char *text, size_t length,
                                   struct error *err)
{
    CLEANUP_JSON cJSON *value = json_parse(text, length, TREE_DEPTH_MAX, err);
    struct tree *root;

    if (!value)
        return NULL;
    root = add_child(arena, NULL, "");
    copy_json(arena, root, value);
    return root;
}

/* ---- XML ---- */

struct reader {
    struct arena *arena;
    XML_Parser parser;
    struct tree *open[TREE_DEPTH_MAX];
    size_t depth, nodes;
    struct tree *root;
    struct buf text; /* of the open element, unless it has children */
    const char *names[NAMES_KEPT];
    const char *why; /* it was refused; NULL: it was not */
};

static void refuse(struct reader *reader, const char *why)
{
    reader->why = why;
    XML_StopParser(reader->parser, XML_FALSE);
}

static const char *keep_name(struct reader *reader, const char *name)
{
    const char **place;
    unsigned hash = 0;

    for (const char *at = name; *at; at++)
        hash = hash * 31 + (unsigned char)*at;
    place = &reader->names[hash % NAMES_KEPT];
    if (!*place || strcmp(*place, name) != 0)
        *place = arena_strdup(reader->arena, name);
    return *place;
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *reader = ctx;
    struct tree *node;

    (void)attributes;
    if (reader->depth == TREE_DEPTH_MAX) {
        refuse(reader, "nested too deep");
        return;
    }
    if (++reader->nodes > TREE_NODES_MAX) {
        refuse(reader, "too many elements");
        return;
    }
    node = add_child(reader->arena, reader->depth ? reader->open[reader->depth - 1] : NULL,
                     keep_name(reader, name));
    if (!reader->depth)
        reader->root = node;
    reader->open[reader->depth++] = node;
    buf_reset(&reader->text);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int length)
{
    struct reader *reader = ctx;

    if (reader->depth && !reader->open[reader->depth - 1]->first)
        buf_append(&reader->text, text, (size_t)length);
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
    struct reader *reader = ctx;
    struct tree *node = reader->open[--reader->depth];

    (void)name;
    if (buf_is_full(&reader->text))
        refuse(reader, "a text of more than 1 MiB");
    else if (!node->first)
        node->text =
            reader->text.length ? arena_strdup(reader->arena, buf_text(&reader->text)) : "";
    buf_reset(&reader->text);
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    refuse(ctx, "it declares a document type");
}

const struct tree *tree_parse_xml(struct arena *arena, const char *text, size_t length,
                                  struct error *err)
{
    struct reader reader = {.arena = arena, .text = BUF_INIT(TEXT_MAX)};
    enum XML_Status status;

    if (length > INT32_MAX) {
        error_set(err, -EFBIG, "%zu bytes of XML", length);
        return NULL;
    }
    reader.parser = XML_ParserCreate(NULL);
    if (!reader.parser) {
        error_set(err, -ENOMEM, "no memory for an XML parser");
        return NULL;
    }
    XML_SetUserData(reader.parser, &reader);
    XML_SetElementHandler(reader.parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader.parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader.parser, on_doctype);
    status = XML_Parse(reader.parser, text, (int)length, XML_TRUE);
    if (status == XML_STATUS_ERROR) {
        error_set(err, -EINVAL,
                  "not the XML that was expected: %s, line %lu column %lu of %zu bytes",
                  reader.why ? reader.why : XML_ErrorString(XML_GetErrorCode(reader.parser)),
                  XML_GetCurrentLineNumber(reader.parser),
                  XML_GetCurrentColumnNumber(reader.parser), length);
        reader.root = NULL;
    }
    XML_ParserFree(reader.parser);
    buf_deinit(&reader.text);
    return reader.root;
}

/* ---- reading ---- */

static const struct tree *child_named(const struct tree *node, const char *name, size_t length)
{
    const struct tree *child;

    for (child = node->first; child; child = child->next)
        if (strncmp(child->name, name, length) == 0 && !child->name[length])
            return child;
    return NULL;
}

const struct tree *tree_get(const struct tree *node, const char *path)
{
    while (node && *path) {
        size_t length = strcspn(path, "/");
        node = child_named(node, path, length);
        path += length + (path[length] == '/');
    }
    return node;
}

const char *tree_text(const struct tree *node, const char *path, const char *fallback)
{
    node = tree_get(node, path);
    return node && node->text ? node->text : fallback;
}

int64_t tree_int(const struct tree *node, const char *path, int64_t fallback)
{
    const char *text = tree_text(node, path, "");
    char *end = NULL;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    return end == text || errno ? fallback : value;
}

bool tree_bool(const struct tree *node, const char *path)
{
    return strcmp(tree_text(node, path, ""), "true") == 0;
}

const struct tree *tree_items(const struct tree *node, const char *path)
{
    node = tree_get(node, path);
    return node ? node->first : NULL;
}
