/* codec: a struct to and from JSON, driven by one table of bounded fields.
 *
 * Internal to proto/: proto.c holds the tables, this file knows how to walk one. The same table
 * encodes and decodes, so that the two sides cannot drift apart.
 */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

enum field_kind {
    FIELD_STRING,  /* const char *; at most `max` bytes; NULL is encoded as "" */
    FIELD_INT,     /* int64_t within min..max */
    FIELD_BOOL,    /* bool */
    FIELD_OUTCOME, /* enum proto_outcome, by name */
    FIELD_PHASE,   /* enum proto_phase, by name */
    FIELD_STRINGS, /* const char ** + size_t; at most `max` items of at most `item_max` bytes */
    FIELD_INTS,    /* int64_t * + size_t; at most `max` items, each >= 0 */
    FIELD_ROWS     /* array of structs + size_t; each row a JSON array in the table's order */
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    size_t count_offset; /* lists and rows */
    int64_t min, max;
    size_t item_max;          /* FIELD_STRINGS */
    size_t row_size;          /* FIELD_ROWS */
    const struct field *rows; /* FIELD_ROWS; ends with a NULL name */
    bool is_optional;         /* may be missing: then zero, "" or empty */
};

/* The fields as members of an object, without the braces: `,"name":value` each; optional ones only
 * when they say something. Required rows are left out when `without_rows`: the caller appends them.
 */
void codec_encode(struct buf *out, const struct field *fields, const void *message,
                  bool without_rows);

/* One row, `[value,...]`, without the optional columns at its end that say nothing. */
void codec_encode_row(struct buf *out, const struct field *columns, const void *row);

/* Fills `message` from `object`. Unknown members are ignored (a newer sender); a missing required
 * one, a wrong type, or a value over its limit gives -EINVAL and names the field. */
int codec_decode(const struct cJSON *object, const struct field *fields, void *message,
                 struct arena *arena, struct error *err);

#endif
