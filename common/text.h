/* text: small things about strings that several modules need. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Copies and NUL-terminates; false (and an empty `out`) when it does not fit. */
bool text_copy(char *out, size_t size, const char *text);

/* The address of "ADDRESS:PORT" or "[ADDRESS]:PORT"; false (and an empty `out`) when there is none,
 * or it does not fit. */
bool text_address(char *out, size_t size, const char *endpoint);

/* Length in bytes of the valid UTF-8 sequence at `text` (1 to 4), or 0 (RFC 3629). */
size_t text_utf8_length(const char *text);

/* Whole-string decimal; false on anything else or out of range. */
bool text_to_int(const char *text, int64_t min, int64_t max, int64_t *ret_value);

/* "500ms", "2s", "1.5s", "3m", "1h", "30d" into milliseconds; a bare number is refused. */
bool text_to_duration_ms(const char *text, int64_t *ret_ms);

/* The candidate closest to `word` (edit distance, at most a third of its length and 3), or NULL. */
const char *text_closest(const char *word, const char *const *candidates, size_t count);

/* A host name: dot-separated labels of letters, digits, '-' and '_', 1 to 63 each, 253 in all
 * (RFC 1123 section 2.1; '_' as DNS-SD uses it). */
bool text_is_hostname(const char *text);

/* `name` equals `suffix` or ends with ".suffix"; both without regard to case. */
bool text_has_domain_suffix(const char *name, const char *suffix);

#endif
