#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static enum log_level threshold = LOG_LEVEL_INFO;
static atomic_uint lost; /* lines, since the last one that was written */

void log_set_level(enum log_level level)
{
    threshold = level;
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names); i++)
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    return false;
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    char line[LOG_LINE_MAX], when[CLOCK_RFC3339_MAX];
    unsigned lost_before;
    size_t length;
    va_list args;

    if (level > threshold)
        return;
    clock_rfc3339(clock_wall_ms(), when);
    length = (size_t)snprintf(line, sizeof(line), "time=%s level=%s ", when, level_names[level]);
    lost_before = atomic_exchange(&lost, 0);
    if (lost_before)
        length +=
            (size_t)snprintf(line + length, sizeof(line) - length, "lines_lost=%u ", lost_before);
    length += (size_t)snprintf(line + length, sizeof(line) - length, "event=%s%s", event,
                               *format ? " " : "");
    va_start(args, format);
    vsnprintf(line + length, sizeof(line) - 1 - length, format, args);
    va_end(args);
    length = strlen(line);
    line[length++] = '\n';
    /* One write, so that lines of several threads do not mix. Nobody to tell if it fails; and a
     * reader that stands still must not hold us up: the line is lost then. */
    if (poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, 0) != 1 ||
        write(STDERR_FILENO, line, length) < 0)
        atomic_fetch_add(&lost, lost_before + 1);
}

const char *log_quote(const char *text, char *out, size_t size)
{
    CLEANUP_BUF struct buf quoted = BUF_INIT(BUF_UNBOUNDED);
    char head[LOG_LINE_MAX];

    snprintf(head, sizeof(head), "%s", text);
    buf_put_json(&quoted, head);
    if (quoted.length >= size) {
        /* An escape takes six bytes at most. */
        head[(size - 3) / 6] = '\0';
        buf_reset(&quoted);
        buf_put_json(&quoted, head);
    }
    snprintf(out, size, "%s", buf_text(&quoted));
    return out;
}
