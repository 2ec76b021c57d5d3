#include "proto/codec.h"

#include "common/json.h"
#include "common/text.h"
#include "proto/outcome.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

static const void *at_const(const void *message, size_t offset)
{
    return (const char *)message + offset;
}

static void *at(void *message, size_t offset)
{
    return (char *)message + offset;
}

static size_t count_of(const struct field *field, const void *message)
{
    return *(const size_t *)at_const(message, field->count_offset);
}

static void encode_list(struct buf *out, const struct field *field, const void *message)
{
    const void *value = at_const(message, field->offset);
    size_t count = count_of(field, message);

    buf_putc(out, '[');
    for (size_t i = 0; i < count && !buf_is_full(out); i++) {
        if (i)
            buf_putc(out, ',');
        if (field->kind == FIELD_STRINGS)
            buf_put_json(out, (*(const char *const *const *)value)[i]);
        else if (field->kind == FIELD_INTS)
            buf_put_int(out, (*(const int64_t *const *)value)[i]);
        else
            codec_encode_row(out, field->rows, *(const char *const *)value + i * field->row_size);
    }
    buf_putc(out, ']');
}

static void encode_value(struct buf *out, const struct field *field, const void *message)
{
    const void *value = at_const(message, field->offset);
    const char *text;

    switch (field->kind) {
    case FIELD_STRING:
        text = *(const char *const *)value;
        buf_put_json(out, text ? text : "");
        break;
    case FIELD_INT:
        buf_put_int(out, *(const int64_t *)value);
        break;
    case FIELD_BOOL:
        buf_puts(out, *(const bool *)value ? "true" : "false");
        break;
    case FIELD_OUTCOME:
        buf_put_json(out, outcome_name(*(const enum proto_outcome *)value));
        break;
    case FIELD_PHASE:
        buf_put_json(out, phase_name(*(const enum proto_phase *)value));
        break;
    case FIELD_STRINGS:
    case FIELD_INTS:
    case FIELD_ROWS:
        encode_list(out, field, message);
        break;
    }
}

/* What a decoder fills in by itself when the field is missing. */
static bool is_default(const struct field *field, const void *message)
{
    const void *value = at_const(message, field->offset);
    const char *text;

    switch (field->kind) {
    case FIELD_STRING:
        text = *(const char *const *)value;
        return !text || !*text;
    case FIELD_INT:
        return *(const int64_t *)value == 0;
    case FIELD_BOOL:
        return !*(const bool *)value;
    case FIELD_STRINGS:
    case FIELD_INTS:
    case FIELD_ROWS:
        return count_of(field, message) == 0;
    case FIELD_OUTCOME:
    case FIELD_PHASE:
        break;
    }
    return false;
}

void codec_encode_row(struct buf *out, const struct field *columns, const void *row)
{
    const struct field *end = columns;

    while (end->name)
        end++;
    while (end > columns && end[-1].is_optional && is_default(&end[-1], row))
        end--;
    for (const struct field *field = columns; field < end; field++) {
        buf_putc(out, field == columns ? '[' : ',');
        encode_value(out, field, row);
    }
    buf_putc(out, ']');
}

void codec_encode(struct buf *out, const struct field *fields, const void *message,
                  bool without_rows)
{
    for (const struct field *field = fields; field->name; field++) {
        if (field->is_optional ? is_default(field, message)
                               : without_rows && field->kind == FIELD_ROWS)
            continue;
        buf_printf(out, ",\"%s\":", field->name);
        encode_value(out, field, message);
    }
}

/* Control characters (C0, DEL, C1) would reach terminals and logs; bytes that are no UTF-8 would
 * grow when they are encoded again. Each becomes '?', so that no text gets longer. */
static void make_printable(char *text)
{
    for (size_t length; *text; text += length) {
        const unsigned char *c = (const unsigned char *)text;
        length = text_utf8_length(text);
        if (length == 0 || c[0] < 0x20 || c[0] == 0x7f) {
            length = 1;
            *text = '?';
        } else if (c[0] == 0xc2 && c[1] < 0xa0) {
            memset(text, '?', length);
        }
    }
}

static int decode_string(const cJSON *item, size_t max, const char *name, struct arena *arena,
                         const char **ret_text, struct error *err)
{
    char *text;

    if (!cJSON_IsString(item))
        return error_set(err, -EINVAL, "field '%s' is not a string", name);
    if (strlen(item->valuestring) > max)
        return error_set(err, -EINVAL, "field '%s' is longer than %zu bytes", name, max);
    text = arena_strdup(arena, item->valuestring);
    make_printable(text);
    *ret_text = text;
    return 0;
}

static int decode_int(const cJSON *item, const struct field *field, int64_t min, int64_t max,
                      int64_t *ret_value, struct error *err)
{
    int64_t value;

    if (!json_is_int(item, &value))
        return error_set(err, -EINVAL, "field '%s' is not a whole number", field->name);
    if (value < min || value > max)
        return error_set(err, -EINVAL, "field '%s' is %lld, expected %lld to %lld", field->name,
                         (long long)value, (long long)min, (long long)max);
    *ret_value = value;
    return 0;
}

static int decode_phase(const cJSON *item, const struct field *field, enum proto_phase *ret_phase,
                        struct error *err)
{
    if (cJSON_IsString(item))
        for (int phase = 0; phase < PHASE_COUNT; phase++)
            if (strcmp(item->valuestring, phase_name((enum proto_phase)phase)) == 0) {
                *ret_phase = (enum proto_phase)phase;
                return 0;
            }
    return error_set(err, -EINVAL, "field '%s' is not a phase", field->name);
}

static int decode_row(const cJSON *row, const struct field *field, void *out, struct arena *arena,
                      struct error *err);

static int decode_item(const cJSON *item, const struct field *field, void *list, size_t index,
                       struct arena *arena, struct error *err)
{
    switch (field->kind) {
    case FIELD_STRINGS:
        return decode_string(item, field->item_max, field->name, arena, (const char **)list + index,
                             err);
    case FIELD_INTS:
        return decode_int(item, field, 0, INT64_MAX, (int64_t *)list + index, err);
    default:
        return decode_row(item, field, (char *)list + index * field->row_size, arena, err);
    }
}

static int decode_list(const cJSON *array, const struct field *field, void *message,
                       struct arena *arena, struct error *err)
{
    size_t item_size = field->kind == FIELD_ROWS ? field->row_size : sizeof(int64_t);
    size_t count = 0;
    const cJSON *item;
    void *list;

    if (!cJSON_IsArray(array))
        return error_set(err, -EINVAL, "field '%s' is not a list", field->name);
    if (cJSON_GetArraySize(array) > field->max)
        return error_set(err, -EINVAL, "field '%s' has more than %lld items", field->name,
                         (long long)field->max);
    list = arena_alloc(arena, (size_t)cJSON_GetArraySize(array), item_size);
    cJSON_ArrayForEach(item, array)
    {
        int r = decode_item(item, field, list, count++, arena, err);
        if (r < 0)
            return r;
    }
    memcpy(at(message, field->offset), &list, sizeof(list));
    *(size_t *)at(message, field->count_offset) = count;
    return 0;
}

static int decode_value(const cJSON *item, const struct field *field, void *message,
                        struct arena *arena, struct error *err)
{
    void *value = at(message, field->offset);

    switch (field->kind) {
    case FIELD_STRING:
        return decode_string(item, (size_t)field->max, field->name, arena, value, err);
    case FIELD_INT:
        return decode_int(item, field, field->min, field->max, value, err);
    case FIELD_BOOL:
        if (!cJSON_IsBool(item))
            return error_set(err, -EINVAL, "field '%s' is not true or false", field->name);
        *(bool *)value = cJSON_IsTrue(item);
        return 0;
    case FIELD_OUTCOME:
        if (!cJSON_IsString(item))
            return error_set(err, -EINVAL, "field '%s' is not an outcome", field->name);
        *(enum proto_outcome *)value = outcome_from_name(item->valuestring);
        return 0;
    case FIELD_PHASE:
        return decode_phase(item, field, value, err);
    case FIELD_STRINGS:
    case FIELD_INTS:
    case FIELD_ROWS:
        return decode_list(item, field, message, arena, err);
    }
    return -EINVAL;
}

static void set_empty(const struct field *field, void *message)
{
    if (field->kind == FIELD_STRING)
        *(const char **)at(message, field->offset) = "";
}

/* A row may be longer (a newer sender) or end before its optional fields (an older one). */
static int decode_row(const cJSON *row, const struct field *field, void *out, struct arena *arena,
                      struct error *err)
{
    const cJSON *item = cJSON_IsArray(row) ? row->child : NULL;

    if (!cJSON_IsArray(row))
        return error_set(err, -EINVAL, "a row of '%s' is not a list", field->name);
    for (const struct field *column = field->rows; column->name; column++) {
        int r;
        if (!item) {
            if (!column->is_optional)
                return error_set(err, -EINVAL, "a row of '%s' ends before '%s'", field->name,
                                 column->name);
            set_empty(column, out);
            continue;
        }
        r = decode_value(item, column, out, arena, err);
        if (r < 0)
            return r;
        item = item->next;
    }
    return 0;
}

int codec_decode(const struct cJSON *object, const struct field *fields, void *message,
                 struct arena *arena, struct error *err)
{
    for (const struct field *field = fields; field->name; field++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, field->name);
        int r;

        if (!item && field->is_optional) {
            set_empty(field, message);
            continue;
        }
        if (!item)
            return error_set(err, -EINVAL, "field '%s' is missing", field->name);
        r = decode_value(item, field, message, arena, err);
        if (r < 0)
            return r;
    }
    return 0;
}
