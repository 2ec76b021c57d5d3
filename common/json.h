/* json: cJSON behind a size and depth limit, and the few accessors that bad input makes us need. */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

/* Parses exactly one JSON value of `length` bytes. The nesting is checked before cJSON sees the
 * text, since cJSON recurses. Returns NULL with `err` set; the caller frees with json_free(). */
struct cJSON *json_parse(const char *text, size_t length, unsigned max_depth, struct error *err);
void json_free(struct cJSON *value);

/* The member's string, or `fallback` when it is missing or no string. Borrowed from `object`. */
const char *json_string(const struct cJSON *object, const char *key, const char *fallback);
/* The member's whole number within the range, or `fallback`. */
int64_t json_int(const struct cJSON *object, const char *key, int64_t min, int64_t max,
                 int64_t fallback);
/* True for a number without fraction that a double holds exactly. */
bool json_is_int(const struct cJSON *value, int64_t *ret_value);
bool json_bool(const struct cJSON *object, const char *key, bool fallback);

void json_free_pointer(struct cJSON **value);
/* A request's body: as json_parse(), an object that has no member but these. */
struct cJSON *json_parse_body(const char *text, size_t length, unsigned max_depth,
                              const char *const *known, size_t count, struct error *err);
/* A duration in milliseconds: "30s", or a whole number of them; 0 where there is none. -EINVAL with
 * `err`: it is neither, or out of range. */
int json_duration_ms(const struct cJSON *object, const char *key, int64_t min_ms, int64_t max_ms,
                     int64_t *ret_ms, struct error *err);

/* Has cJSON take its memory from common/mem, so that it is accounted for. Before any other use. */
void json_account_memory(void);

#define CLEANUP_JSON __attribute__((cleanup(json_free_pointer)))

#endif
