#include "collector/schedule/zone.h"

#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FOLDER "/usr/share/zoneinfo/"
#define DAY    86400

static int64_t offset_now(int64_t at)
{
    time_t seconds = (time_t)at;
    struct tm parts;

    return localtime_r(&seconds, &parts) ? parts.tm_gmtoff : 0;
}

static void add_change(struct zone *zone, size_t *capacity, int64_t at, int64_t offset)
{
    mem_grow(&zone->changes, zone->count, capacity, sizeof(*zone->changes));
    zone->changes[zone->count++] = (struct zone_change){at, offset};
}

/* Between two moments with different offsets, to the second. */
static int64_t find_change(int64_t before, int64_t after)
{
    int64_t offset = offset_now(before);

    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;
        if (offset_now(middle) == offset)
            before = middle;
        else
            after = middle;
    }
    return after;
}

static void read_changes(struct zone *zone, int64_t now)
{
    int64_t end = now + (int64_t)ZONE_YEARS * 366 * DAY, at = now - 400 * DAY;
    size_t capacity = 0;

    add_change(zone, &capacity, INT64_MIN, offset_now(at));
    for (; at < end; at += DAY)
        if (offset_now(at + DAY) != offset_now(at)) {
            int64_t change = find_change(at, at + DAY);
            add_change(zone, &capacity, change, offset_now(change));
        }
}

/* A file of the database begins so (RFC 8536 section 3.1). */
static bool is_zone_file(const char *path)
{
    char magic[4] = "";
    FILE *file = fopen(path, "rbe");
    bool is_zone = file && fread(magic, 1, 4, file) == 4 && memcmp(magic, "TZif", 4) == 0;

    if (file)
        fclose(file);
    return is_zone;
}

static bool is_known(const char *name)
{
    char path[128];

    if (strcmp(name, "UTC") == 0)
        return true;
    return *name && name[0] != '/' && !strstr(name, "..") &&
           snprintf(path, sizeof(path), FOLDER "%s", name) < (int)sizeof(path) &&
           is_zone_file(path);
}

int zone_load(const char *name, int64_t now, struct zone **ret_zone, struct error *err)
{
    const char *env = getenv("TZ");
    char *former = env ? mem_strdup(env) : NULL;
    struct zone *zone;

    if (!is_known(name) || strlen(name) >= sizeof(zone->name)) {
        mem_free(former);
        return error_set(err, -ENOENT,
                         "'%.60s' is no time zone of " FOLDER
                         " (Debian: tzdata); expected UTC, Europe/Berlin, ...",
                         name);
    }
    zone = mem_alloc(sizeof(*zone));
    text_copy(zone->name, sizeof(zone->name), name);
    setenv("TZ", name, 1);
    tzset();
    read_changes(zone, now);
    if (former)
        setenv("TZ", former, 1);
    else
        unsetenv("TZ");
    tzset();
    mem_free(former);
    *ret_zone = zone;
    return 0;
}

struct zone *zone_free(struct zone *zone)
{
    if (zone)
        mem_free(zone->changes);
    mem_free(zone);
    return NULL;
}

int64_t zone_offset(const struct zone *zone, int64_t at)
{
    size_t i = zone->count;

    while (i > 1 && zone->changes[i - 1].at > at)
        i--;
    return zone->changes[i - 1].offset;
}
