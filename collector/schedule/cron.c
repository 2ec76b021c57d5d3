#include "collector/schedule/cron.h"

#include "common/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MINUTE     60
#define DAY        86400
#define DAYS_AHEAD (5 * 366)

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct field {
    const char *name;
    int min, max;
    const char *const *names; /* the first one is `min` */
    size_t name_count;
} fields[] = {
    {"minute", 0, 59, NULL, 0},
    {"hour", 0, 23, NULL, 0},
    {"day of month", 1, 31, NULL, 0},
    {"month", 1, 12, months, ARRAY_SIZE(months)},
    {"day of week", 0, 7, weekdays, ARRAY_SIZE(weekdays)},
};

/* ---- reading ---- */

/* A number, or a name; the rest of the text. -1: neither. */
static int read_value(const struct field *field, const char **text)
{
    char *end;
    long value;

    for (size_t i = 0; i < field->name_count; i++)
        if (strncasecmp(*text, field->names[i], 3) == 0 && !isalnum((unsigned char)(*text)[3])) {
            *text += 3;
            return field->min + (int)i;
        }
    if (!isdigit((unsigned char)**text))
        return -1;
    value = strtol(*text, &end, 10);
    *text = end;
    return value < field->min || value > field->max ? -1 : (int)value;
}

/* One item of a list: "*", "5", "1-5", each perhaps with "/2". */
static bool read_item(const struct field *field, const char **text, uint64_t *bits)
{
    int first = field->min, last = field->max, step = 1;

    if (**text == '*') {
        ++*text;
    } else {
        first = last = read_value(field, text);
        if (**text == '-') {
            ++*text;
            last = read_value(field, text);
        } else if (**text == '/') {
            last = field->max;
        }
    }
    if (first < 0 || last < first)
        return false;
    if (**text == '/') {
        const struct field steps = {"", 1, field->max, NULL, 0};
        ++*text;
        step = read_value(&steps, text);
    }
    for (int value = first; step > 0 && value <= last; value += step)
        *bits |= (uint64_t)1 << value;
    return step > 0;
}

static int read_field(const struct field *field, const char *text, size_t length, uint64_t *bits,
                      struct error *err)
{
    const char *at = text;

    *bits = 0;
    for (;;) {
        if (!read_item(field, &at, bits))
            break;
        if (at == text + length)
            return 0;
        if (*at++ != ',')
            break;
    }
    return error_set(err, -EINVAL, "%s '%.*s': expected %d to %d, lists, ranges, steps%s",
                     field->name, (int)length, text, field->min, field->max,
                     field->names ? ", names" : "");
}

static const char *expand(const char *text)
{
    static const struct {
        const char *name, *text;
    } shorthands[] = {
        {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@weekly", "0 0 * * 0"},
        {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(shorthands); i++)
        if (strcmp(shorthands[i].name, text) == 0)
            return shorthands[i].text;
    return text;
}

int cron_parse(const char *text, struct cron *ret_cron, struct error *err)
{
    const char *at = expand(text);
    uint64_t bits[ARRAY_SIZE(fields)];
    const char *starts[ARRAY_SIZE(fields)];

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        size_t length;
        int r;
        at += strspn(at, " \t");
        length = strcspn(at, " \t");
        starts[i] = at;
        if (!length)
            return error_set(
                err, -EINVAL,
                "'%.80s' has %zu fields; expected 5: minute, hour, day of month, month, "
                "day of week",
                text, i);
        r = read_field(&fields[i], at, length, &bits[i], err);
        if (r < 0)
            return r;
        at += length;
    }
    if (at[strspn(at, " \t")])
        return error_set(err, -EINVAL, "'%.80s' has more than 5 fields", text);
    *ret_cron = (struct cron){
        .minutes = bits[0],
        .hours = (uint32_t)bits[1],
        .days = (uint32_t)bits[2],
        .months = (uint32_t)bits[3],
        .weekdays = (uint32_t)(bits[4] | bits[4] >> 7), /* 7 is Sunday, too */
        .is_any_hour = *starts[1] == '*',
        .is_any_day = *starts[2] == '*',
        .is_any_weekday = *starts[4] == '*',
    };
    return 0;
}

/* ---- when ---- */

static bool is_day(const struct cron *cron, const struct tm *parts)
{
    bool day = cron->days >> parts->tm_mday & 1, weekday = cron->weekdays >> parts->tm_wday & 1;

    if (!(cron->months >> (parts->tm_mon + 1) & 1))
        return false;
    if (!cron->is_any_day && !cron->is_any_weekday)
        return day || weekday;
    return day && weekday;
}

static bool is_time(const struct cron *cron, int64_t local)
{
    time_t seconds = (time_t)local;
    struct tm parts;

    gmtime_r(&seconds, &parts);
    return is_day(cron, &parts) && cron->hours >> parts.tm_hour & 1 &&
           cron->minutes >> parts.tm_min & 1;
}

/* Whether a local time that the clock jumped over, up to this moment, would have been one. */
static bool is_in_gap(const struct cron *cron, int64_t from, int64_t to)
{
    for (int64_t local = from; local < to; local += MINUTE)
        if (is_time(cron, local))
            return true;
    return false;
}

static bool has_day(const struct cron *cron, int64_t local)
{
    time_t seconds = (time_t)local;
    struct tm parts;

    gmtime_r(&seconds, &parts);
    return is_day(cron, &parts);
}

/* The clock was set back, and showed this time before. */
static bool is_repeated(const struct zone *zone, int64_t at, int64_t offset)
{
    for (size_t i = 1; i < zone->count; i++) {
        int64_t back = zone->changes[i - 1].offset - zone->changes[i].offset;
        if (zone->changes[i].at <= at && at < zone->changes[i].at + back &&
            zone->changes[i].offset == offset)
            return true;
    }
    return false;
}

int64_t cron_next(const struct cron *cron, const struct zone *zone, int64_t after)
{
    int64_t at = after - after % MINUTE + MINUTE, end = at + (int64_t)DAYS_AHEAD * DAY;
    int64_t before = zone_offset(zone, at - MINUTE);

    while (at < end) {
        int64_t offset = zone_offset(zone, at), local = at + offset;
        if (offset > before && is_in_gap(cron, at + before, local))
            return at;
        before = offset;
        if (is_time(cron, local) && (cron->is_any_hour || !is_repeated(zone, at, offset)))
            return at;
        /* A day without it is left in one step, but for its last hours: the clock may change. */
        if (!has_day(cron, local) && DAY - local % DAY > 4 * 3600)
            at += DAY - local % DAY - 4 * 3600;
        else
            at += MINUTE;
        if (at < end)
            before = zone_offset(zone, at - MINUTE);
    }
    return 0;
}
