#include "common/buf.h"

#include "common/mem.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

void buf_deinit(struct buf *buf)
{
    mem_free(buf->data);
    buf->data = NULL;
    buf->length = buf->capacity = 0;
}

void buf_reset(struct buf *buf)
{
    buf_truncate(buf, 0);
    buf->full = false;
}

bool buf_is_full(const struct buf *buf)
{
    return buf->full;
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

void buf_truncate(struct buf *buf, size_t length)
{
    if (!buf->data)
        return;
    buf->length = length;
    buf->data[length] = '\0';
}

static bool make_room(struct buf *buf, size_t more)
{
    size_t need = buf->length + more;

    if (buf->full || need > buf->limit) {
        buf->full = true;
        return false;
    }
    if (need + 1 > buf->capacity) {
        size_t capacity = buf->capacity ? buf->capacity : 128;
        while (capacity < need + 1)
            capacity *= 2;
        buf->data = mem_resize(buf->data, capacity, 1);
        buf->capacity = capacity;
    }
    return true;
}

void buf_append(struct buf *buf, const void *data, size_t length)
{
    if (!make_room(buf, length))
        return;
    if (length)
        memcpy(buf->data + buf->length, data, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
}

void buf_puts(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_putc(struct buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0 || !make_room(buf, (size_t)length))
        return;
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, args);
    buf->length += (size_t)length;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_put_int(struct buf *buf, int64_t value)
{
    char digits[24];
    char *at = digits + sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    buf_append(buf, at, (size_t)(digits + sizeof(digits) - at));
}

static void put_escaped(struct buf *buf, unsigned char c)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (const char *pair = names; *pair; pair += 2)
        if ((unsigned char)pair[0] == c) {
            char escape[2] = {'\\', pair[1]};
            buf_append(buf, escape, 2);
            return;
        }
    buf_printf(buf, "\\u%04x", c);
}

void buf_put_json(struct buf *buf, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    buf_putc(buf, '"');
    while (*at) {
        const unsigned char *plain = at;
        size_t length;

        while (*at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\')
            at++;
        buf_append(buf, plain, (size_t)(at - plain));
        if (!*at)
            break;
        if (*at < 0x80) {
            put_escaped(buf, *at++);
            continue;
        }
        length = text_utf8_length((const char *)at);
        if (length)
            buf_append(buf, at, length);
        else
            buf_puts(buf, "\xEF\xBF\xBD");
        at += length ? length : 1;
    }
    buf_putc(buf, '"');
}

void buf_put_json_list(struct buf *buf, const char *const *items, size_t count)
{
    buf_putc(buf, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(buf, ',');
        buf_put_json(buf, items[i]);
    }
    buf_putc(buf, ']');
}
