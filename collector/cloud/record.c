#include "collector/cloud/record.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

void *record_add(struct arena *arena, struct record_list *list, size_t size)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        void *items = arena_alloc(arena, capacity, size);
        if (list->count)
            memcpy(items, list->items, list->count * size);
        list->items = items;
        list->capacity = capacity;
    }
    return (char *)list->items + list->count++ * size;
}

void record_add_text(struct arena *arena, struct record_list *list, const char *text)
{
    const char **place = record_add(arena, list, sizeof(*place));

    *place = arena_strdup(arena, text);
}

const char *record_text(const struct record_list *list, size_t index)
{
    return ((const char **)list->items)[index];
}

bool record_has_text(const struct record_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(record_text(list, i), text) == 0)
            return true;
    return false;
}

const struct record_type *record_nested(const struct record_type *type, const char *key)
{
    for (size_t i = 0; i < type->field_count; i++)
        if (strcmp(type->fields[i].key, key) == 0)
            return type->fields[i].type;
    return NULL;
}

/* ---- reading ---- */

int64_t record_time(const char *text)
{
    char *end = NULL;
    double seconds = strtod(text, &end);
    int64_t ms = 0;

    if (clock_from_rfc3339(text, &ms))
        return ms;
    return end != text && !*end && seconds > 0 && seconds < 1e11 ? (int64_t)(seconds * 1000) : 0;
}

/* "a/b:c" */
static void read_texts(struct arena *arena, struct record_list *list, const struct tree *tree,
                       const char *path)
{
    char outer[128];
    const char *colon = strchr(path, ':'), *inner = colon ? colon + 1 : "";

    snprintf(outer, sizeof(outer), "%.*s", (int)(colon ? colon - path : (long)strlen(path)), path);
    for (const struct tree *item = tree_items(tree, outer); item; item = item->next) {
        const char *text = tree_text(item, inner, NULL);
        if (text && *text)
            record_add_text(arena, list, text);
    }
}

static void read_field(struct arena *arena, const struct record_field *field, void *place,
                       const struct tree *tree, const char *path, enum record_form form)
{
    switch (field->kind) {
    case RECORD_TEXT:
        *(const char **)place = arena_strdup(arena, tree_text(tree, path, ""));
        break;
    case RECORD_INT:
        *(int64_t *)place = tree_int(tree, path, 0);
        break;
    case RECORD_BOOL:
        *(bool *)place = tree_bool(tree, path);
        break;
    case RECORD_TIME:
        *(int64_t *)place = record_time(tree_text(tree, path, ""));
        break;
    case RECORD_TEXTS:
        read_texts(arena, place, tree, path);
        break;
    case RECORD_LIST:
        record_read_list(arena, field->type, place, tree_items(tree, path), form);
        break;
    }
}

void record_read(struct arena *arena, const struct record_type *type, void *record,
                 const struct tree *tree, enum record_form form)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];
        const char *path = form == RECORD_OURS ? field->key : field->source;
        void *place = (char *)record + field->offset;
        if (path)
            read_field(arena, field, place, tree, path, form);
        else if (field->kind == RECORD_TEXT)
            *(const char **)place = "";
    }
}

void record_read_list(struct arena *arena, const struct record_type *type, struct record_list *list,
                      const struct tree *items, enum record_form form)
{
    for (; items; items = items->next)
        record_read(arena, type, record_add(arena, list, type->size), items, form);
}

/* ---- writing ---- */

static bool is_empty(const struct record_field *field, const void *place)
{
    switch (field->kind) {
    case RECORD_TEXT:
        return !**(const char *const *)place;
    case RECORD_INT:
    case RECORD_TIME:
        return *(const int64_t *)place == 0;
    case RECORD_BOOL:
        return !*(const bool *)place;
    default:
        return ((const struct record_list *)place)->count == 0;
    }
}

static void write_value(const struct record_field *field, const void *place, struct buf *out)
{
    const struct record_list *list = place;
    char time[CLOCK_RFC3339_MAX];

    switch (field->kind) {
    case RECORD_TEXT:
        buf_put_json(out, *(const char *const *)place);
        break;
    case RECORD_INT:
        buf_put_int(out, *(const int64_t *)place);
        break;
    case RECORD_BOOL:
        buf_puts(out, "true");
        break;
    case RECORD_TIME:
        clock_rfc3339(*(const int64_t *)place, time);
        buf_put_json(out, time);
        break;
    case RECORD_TEXTS:
        buf_put_json_list(out, list->items, list->count);
        break;
    case RECORD_LIST:
        record_write_list(field->type, list, out);
        break;
    }
}

void record_write(const struct record_type *type, const void *record, struct buf *out)
{
    const char *separator = "";

    buf_putc(out, '{');
    for (size_t i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];
        const void *place = (const char *)record + field->offset;
        if (is_empty(field, place))
            continue;
        buf_printf(out, "%s\"%s\":", separator, field->key);
        write_value(field, place, out);
        separator = ",";
    }
    buf_putc(out, '}');
}

void record_write_list(const struct record_type *type, const struct record_list *list,
                       struct buf *out)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        buf_puts(out, i ? "," : "");
        record_write(type, (const char *)list->items + i * type->size, out);
    }
    buf_putc(out, ']');
}
