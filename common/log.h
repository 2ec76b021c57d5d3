/* log: key=value lines on stderr.
 *
 *   time=2026-11-20T09:41:00.123Z level=info event=run-judged run=42 verdict=pass
 *
 * The owning loop logs; library code returns. A value that came from outside goes through
 * log_quote(), so that a line stays a line. Never log a token, a key or a password.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/* "error", "warn", "info" or "debug"; false for anything else. */
bool log_level_parse(const char *text, enum log_level *ret_level);

void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `text` quoted and escaped into `out` (JSON rules), cut where it would not fit. Returns `out`. */
const char *log_quote(const char *text, char *out, size_t size);
#define LOG_QUOTE(text) log_quote((text), (char[640]){0}, 640)

#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_write(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_write(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

#endif
