#include "collector/cloud/ini.h"

#include "common/buf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct place {
    struct ini *ini;
    struct ini_entry **end; /* where the next one goes */
    const char *section, *parent;
};

/* Without spaces around, and without a comment after a space. */
static char *trimmed(struct arena *arena, const char *text, size_t length)
{
    char *copy;

    for (size_t i = 1; i < length; i++)
        if ((text[i] == '#' || text[i] == ';') && isspace((unsigned char)text[i - 1]))
            length = i;
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    while (length && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    copy = arena_alloc(arena, length + 1, 1);
    memcpy(copy, text, length);
    return copy;
}

static void add(struct place *place, const char *key, const char *value)
{
    struct ini_entry *entry = arena_alloc(&place->ini->arena, 1, sizeof(*entry));

    *entry = (struct ini_entry){place->section, key, value, NULL};
    *place->end = entry;
    place->end = &entry->next;
}

static bool read_line(struct place *place, const char *line, size_t length)
{
    struct arena *arena = &place->ini->arena;
    const char *equals = memchr(line, '=', length);
    char *text = trimmed(arena, line, length), *key;
    bool is_nested = isspace((unsigned char)*line) && place->parent;

    if (!*text || *text == '#' || *text == ';')
        return true;
    if (*text == '[' && text[strlen(text) - 1] == ']') {
        place->section = trimmed(arena, text + 1, strlen(text) - 2);
        place->parent = NULL;
        add(place, "", "");
        return true;
    }
    if (!equals || equals == line || !place->section)
        return false;
    key = trimmed(arena, line, (size_t)(equals - line));
    text = trimmed(arena, equals + 1, length - (size_t)(equals + 1 - line));
    if (is_nested)
        key = arena_printf(arena, "%s/%s", place->parent, key);
    else
        place->parent = *text ? NULL : key;
    add(place, key, text);
    return true;
}

int ini_parse(struct ini *ini, const char *origin, const char *text, size_t length,
              struct error *err)
{
    struct place place = {.ini = ini, .end = &ini->first};
    const char *end = text + length;

    ini->is_there = true;
    if (memchr(text, 0, length))
        return error_set(err, -EINVAL, "%s: holds a NUL byte", origin);
    for (size_t number = 1; text < end; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((stop ? stop : end) - text);
        if (line && !read_line(&place, text, line))
            return error_set(err, -EINVAL,
                             "%s:%zu: neither [section] nor key = value; see the AWS CLI's "
                             "configuration file format",
                             origin, number);
        text += line + (stop != NULL);
    }
    return 0;
}

/* Nothing there, or in a folder that is closed to us: a home of somebody else's. */
static bool is_out_of_sight(const char *path, int error)
{
    struct stat status;

    return error == ENOENT || error == ENOTDIR || (error == EACCES && stat(path, &status) < 0);
}

int ini_load(struct ini *ini, const char *path, struct error *err)
{
    CLEANUP_BUF struct buf text = BUF_INIT(INI_BYTES_MAX);
    FILE *file = fopen(path, "re");
    char data[4096];
    size_t n;
    int r = 0;

    if (!file && is_out_of_sight(path, errno))
        return 0;
    if (!file)
        return error_set(err, -errno, "%s: cannot open: %s", path, strerror(errno));
    while ((n = fread(data, 1, sizeof(data), file)) > 0 && !buf_is_full(&text))
        buf_append(&text, data, n);
    if (ferror(file))
        r = error_set(err, -EIO, "%s: cannot read: %s", path, strerror(errno));
    else if (buf_is_full(&text))
        r = error_set(err, -EFBIG, "%s: more than 1 MiB", path);
    fclose(file);
    return r < 0 ? r : ini_parse(ini, path, buf_text(&text), text.length, err);
}

void ini_deinit(struct ini *ini)
{
    arena_deinit(&ini->arena);
    *ini = (struct ini){0};
}

bool ini_has_section(const struct ini *ini, const char *section)
{
    for (const struct ini_entry *entry = ini->first; entry; entry = entry->next)
        if (strcmp(entry->section, section) == 0)
            return true;
    return false;
}

const char *ini_get(const struct ini *ini, const char *section, const char *key)
{
    const char *value = NULL;

    for (const struct ini_entry *entry = ini->first; entry; entry = entry->next)
        if (strcmp(entry->section, section) == 0 && strcmp(entry->key, key) == 0)
            value = entry->value; /* the last one counts */
    return value;
}
