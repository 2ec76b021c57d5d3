#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t clock_mono_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_rfc3339(int64_t wall_ms, char text[CLOCK_RFC3339_MAX])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    char date[24];

    gmtime_r(&seconds, &parts);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, CLOCK_RFC3339_MAX, "%s.%03dZ", date, (int)(wall_ms % 1000));
}

bool clock_from_rfc3339(const char *text, int64_t *ret_wall_ms)
{
    struct tm tm = {0};
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t ms = 0, unit = 100, offset_minutes = 0;
    int hours, minutes;

    if (!at)
        return false;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            ms += (*at - '0') * unit;
    if (*at == '+' || *at == '-') {
        if (strlen(at) != 6 || sscanf(at + 1, "%2d:%2d", &hours, &minutes) != 2)
            return false;
        offset_minutes = (*at == '-' ? -1 : 1) * (hours * 60 + minutes);
    } else if (strcmp(at, "Z") != 0) {
        return false;
    }
    *ret_wall_ms = ((int64_t)timegm(&tm) - offset_minutes * 60) * 1000 + ms;
    return true;
}
