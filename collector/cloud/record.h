/* record: structs described by tables, so that one table reads a vendor's answer, writes our JSON
 * and reads it back (and tells what changed between two of them).
 *
 * Memory is of an arena. A text that is not there is "", a number 0.
 */
#ifndef COLLECTOR_CLOUD_RECORD_H
#define COLLECTOR_CLOUD_RECORD_H

#include "collector/cloud/tree.h"
#include "common/arena.h"
#include "common/buf.h"

#include <stddef.h>

struct record_list {
    void *items; /* of the type that the table says; const char * for RECORD_TEXTS */
    size_t count, capacity;
};

enum record_kind {
    RECORD_TEXT,  /* const char * */
    RECORD_INT,   /* int64_t */
    RECORD_BOOL,  /* bool */
    RECORD_TIME,  /* int64_t, wall clock, ms; JSON: RFC 3339, or the vendor's seconds */
    RECORD_TEXTS, /* struct record_list of const char * */
    RECORD_LIST   /* struct record_list of `type` */
};

struct record_type;

struct record_field {
    const char *key;    /* in our JSON */
    const char *source; /* path in the vendor's answer; "a/b:c": of each item of a/b its c; NULL:
                           not there */
    enum record_kind kind;
    size_t offset;
    const struct record_type *type;
};

struct record_type {
    size_t size;
    const struct record_field *fields;
    size_t field_count;
};

enum record_form { RECORD_VENDOR, RECORD_OURS };

/* Fills a zeroed record. */
void record_read(struct arena *arena, const struct record_type *type, void *record,
                 const struct tree *tree, enum record_form form);
/* As a JSON object; what is empty is left out. */
void record_write(const struct record_type *type, const void *record, struct buf *out);
void record_write_list(const struct record_type *type, const struct record_list *list,
                       struct buf *out);
void record_read_list(struct arena *arena, const struct record_type *type, struct record_list *list,
                      const struct tree *items, enum record_form form);

/* Wall clock, ms, of RFC 3339 or of seconds since the epoch with a fraction (JSON 1.1); 0: neither.
 */
int64_t record_time(const char *text);

/* The type of a list in a record. */
const struct record_type *record_nested(const struct record_type *type, const char *key);

/* A zeroed item at the end. */
void *record_add(struct arena *arena, struct record_list *list, size_t size);
void record_add_text(struct arena *arena, struct record_list *list, const char *text);
const char *record_text(const struct record_list *list, size_t index);
bool record_has_text(const struct record_list *list, const char *text);

#endif
