/* buf: a text buffer that grows up to a limit and remembers that it did not fit.
 *
 * Writers need not check each call: once a write does not fit, the buffer is `full`, keeps what it
 * had, and ignores the rest. The owner asks buf_is_full() once, at the end.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* always NUL-terminated once something was written */
    size_t length;
    size_t capacity;
    size_t limit; /* bytes, without the NUL */
    bool full;
};

#define BUF_INIT(max) ((struct buf){.limit = (max)})
#define BUF_UNBOUNDED ((size_t)1 << 30)

void buf_deinit(struct buf *buf);
void buf_reset(struct buf *buf);
bool buf_is_full(const struct buf *buf);
const char *buf_text(const struct buf *buf); /* never NULL */

/* Cuts back to an earlier length, e.g. to take back a row that did not fit. */
void buf_truncate(struct buf *buf, size_t length);

void buf_append(struct buf *buf, const void *data, size_t length);
void buf_puts(struct buf *buf, const char *text);
void buf_putc(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void buf_put_int(struct buf *buf, int64_t value);

/* A JSON string literal, quoted and escaped (RFC 8259 section 7); invalid UTF-8 becomes U+FFFD. */
void buf_put_json(struct buf *buf, const char *text);

/* A JSON list of such strings. */
void buf_put_json_list(struct buf *buf, const char *const *items, size_t count);

#define CLEANUP_BUF __attribute__((cleanup(buf_deinit)))

#endif
