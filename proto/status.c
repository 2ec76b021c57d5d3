#include "proto/status.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>

/* Reads "NNN" or "NNN-NNN"; returns what follows it, or NULL. */
static const char *read_range(const char *text, long *ret_low, long *ret_high)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return NULL;
    *ret_low = *ret_high = strtol(text, &end, 10);
    if (*end == '-') {
        text = end + 1;
        if (!isdigit((unsigned char)*text))
            return NULL;
        *ret_high = strtol(text, &end, 10);
    }
    return end;
}

bool status_set_is_valid(const char *set)
{
    long low, high;

    for (;;) {
        set = read_range(set, &low, &high);
        if (!set || low < 100 || high > 599 || low > high)
            return false;
        if (!*set)
            return true;
        if (*set++ != ',')
            return false;
    }
}

bool status_set_contains(const char *set, int status)
{
    long low, high;

    while (set && *set) {
        set = read_range(set, &low, &high);
        if (!set)
            return false;
        if (status >= low && status <= high)
            return true;
        if (*set == ',')
            set++;
    }
    return false;
}
