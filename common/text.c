#include "common/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CLOSEST_WORD_MAX 63

bool text_copy(char *out, size_t size, const char *text)
{
    size_t length = strnlen(text, size);

    if (length >= size) {
        out[0] = '\0';
        return false;
    }
    memcpy(out, text, length + 1);
    return true;
}

bool text_address(char *out, size_t size, const char *endpoint)
{
    const char *begin = *endpoint == '[' ? endpoint + 1 : endpoint;
    const char *end = *endpoint == '[' ? strchr(begin, ']') : strrchr(begin, ':');
    size_t length = end ? (size_t)(end - begin) : strlen(begin);

    if (length >= size)
        length = 0;
    memcpy(out, begin, length);
    out[length] = '\0';
    return length > 0;
}

size_t text_utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t length = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
    uint32_t code;

    if (length == 1)
        return s[0] ? 1 : 0;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    code = s[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fU);
    }
    if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000))
        return 0;
    return code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : length;
}

bool text_to_int(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
    char *end;
    long long value;

    if (!isdigit((unsigned char)text[0]) && text[0] != '-')
        return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

bool text_to_duration_ms(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    double value;

    if (!isdigit((unsigned char)text[0]))
        return false;
    value = strtod(text, &end);
    if (value > 1e9)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (strcmp(end, units[i].name) == 0) {
            *ret_ms = (int64_t)(value * units[i].ms + 0.5);
            return true;
        }
    return false;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein distance over one row; both words at most CLOSEST_WORD_MAX bytes. */
static size_t distance(const char *a, const char *b)
{
    size_t row[CLOSEST_WORD_MAX + 1];
    size_t length_b = strlen(b);

    for (size_t j = 0; j <= length_b; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(change, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[length_b];
}

const char *text_closest(const char *word, const char *const *candidates, size_t count)
{
    size_t length = strlen(word);
    size_t limit = smaller(3, length / 3 + 1);
    const char *best = NULL;

    if (length > CLOSEST_WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t far;
        if (strlen(candidates[i]) > CLOSEST_WORD_MAX)
            continue;
        far = distance(word, candidates[i]);
        if (far <= limit) {
            best = candidates[i];
            limit = far ? far - 1 : 0;
            if (!far)
                break;
        }
    }
    return best;
}

bool text_is_hostname(const char *text)
{
    size_t label = 0;
    size_t length = strlen(text);

    if (length == 0 || length > 253)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '.') {
            if (label == 0 || text[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!isalnum((unsigned char)c) && c != '-' && c != '_')
            return false;
        if ((c == '-' && label == 0) || ++label > 63)
            return false;
    }
    return label > 0 && text[length - 1] != '-';
}

bool text_has_domain_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);

    if (tail && suffix[0] == '.') {
        suffix++;
        tail--;
    }
    if (length < tail || strcasecmp(name + length - tail, suffix) != 0)
        return false;
    return length == tail || name[length - tail - 1] == '.';
}
