#include "common/options.h"

#include "common/mem.h"
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64

int options_list_add(struct options_list *list, const char *text, size_t length)
{
    char *item;

    if (list->count == OPTIONS_LIST_MAX)
        return -E2BIG;
    item = mem_alloc(length + 1);
    memcpy(item, text, length);
    list->items[list->count++] = item;
    return 0;
}

void options_list_deinit(struct options_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->items[i]);
    list->count = 0;
}

static int add_all(struct options_list *list, const char *value)
{
    while (*value) {
        size_t length = strcspn(value, ", ");
        if (length && options_list_add(list, value, length) < 0)
            return -E2BIG;
        value += length;
        value += strspn(value, ", ");
    }
    return 0;
}

static int set_number(const struct option_spec *spec, void *field, const char *value,
                      const char *origin, struct error *err)
{
    int64_t number;
    bool is_duration = spec->type == OPTION_DURATION;

    if (is_duration ? !text_to_duration_ms(value, &number)
                    : !text_to_int(value, INT64_MIN, INT64_MAX, &number))
        return error_set(err, -EINVAL, "%s: '%.60s' is not %s", origin, value,
                         is_duration ? "a duration such as 500ms, 2s or 5m" : "a whole number");
    if (number < spec->min || number > spec->max)
        return error_set(err, -EINVAL, "%s: %.60s is out of range, %lld to %lld%s", origin, value,
                         (long long)spec->min, (long long)spec->max, is_duration ? " ms" : "");
    memcpy(field, &number, sizeof(number));
    return 0;
}

static int set_value(const struct option_spec *spec, void *settings, const char *value,
                     const char *origin, struct error *err)
{
    void *field = (char *)settings + spec->offset;

    switch (spec->type) {
    case OPTION_FLAG:
        *(bool *)field = strcmp(value, "0") != 0 && *value;
        return 0;
    case OPTION_STRING:
        memcpy(field, &value, sizeof(value));
        return 0;
    case OPTION_LIST:
        if (add_all(field, value) < 0)
            return error_set(err, -EINVAL, "%s: more than %d values", origin, OPTIONS_LIST_MAX);
        return 0;
    case OPTION_INT:
    case OPTION_DURATION:
        return set_number(spec, field, value, origin, err);
    }
    return -EINVAL;
}

static const struct option_spec *find(const struct option_spec *specs, size_t count,
                                      const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(specs[i].name) == length && strncmp(specs[i].name, name, length) == 0)
            return &specs[i];
    return NULL;
}

static int unknown_option(const struct option_spec *specs, size_t count, const char *argument,
                          struct error *err)
{
    const char *names[OPTIONS_MAX];
    const char *closest;
    char name[64];

    for (size_t i = 0; i < count && i < OPTIONS_MAX; i++)
        names[i] = specs[i].name;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(argument, "="), argument);
    closest = text_closest(name + strspn(name, "-"), names, count);
    if (closest)
        return error_set(err, -EINVAL, "unknown option '%s'; did you mean '--%s'?", name, closest);
    return error_set(err, -EINVAL, "unknown option '%s'", name);
}

/* One option of argv; advances `*at` past its value. */
static int parse_one(const struct option_spec *specs, size_t count, void *settings, int argc,
                     char *const *argv, int *at, bool *seen, struct error *err)
{
    const char *argument = argv[*at];
    const char *name = strcmp(argument, "-o") == 0 ? "output" : argument + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_spec *spec = NULL;
    const char *value = equals ? equals + 1 : NULL;
    char origin[72];

    if (strncmp(argument, "--", 2) == 0 || strcmp(argument, "-o") == 0)
        spec = find(specs, count, name, length);
    if (!spec)
        return unknown_option(specs, count, argument, err);
    snprintf(origin, sizeof(origin), "--%s", spec->name);
    if (spec->type == OPTION_FLAG) {
        if (value)
            return error_set(err, -EINVAL, "%s takes no value", origin);
        value = "1";
    } else if (!value) {
        if (*at + 1 >= argc)
            return error_set(err, -EINVAL, "%s needs a value: %s %s", origin, origin,
                             spec->argument);
        value = argv[++*at];
    }
    /* The first flag of a list replaces what the environment gave. */
    if (spec->type == OPTION_LIST && !seen[spec - specs])
        options_list_deinit((struct options_list *)(void *)((char *)settings + spec->offset));
    seen[spec - specs] = true;
    return set_value(spec, settings, value, origin, err);
}

int options_parse(const struct option_spec *specs, size_t count, void *settings, int argc,
                  char *const *argv, struct options_list *positional, struct error *err)
{
    bool seen[OPTIONS_MAX] = {false};
    int r;

    for (size_t i = 0; i < count; i++) {
        const char *value = specs[i].env ? getenv(specs[i].env) : NULL;
        const char *origin = value ? specs[i].env : specs[i].name;
        if (!value || !*value)
            value = specs[i].fallback;
        if (value) {
            r = set_value(&specs[i], settings, value, origin, err);
            if (r < 0)
                return r;
        }
    }
    for (int at = 1; at < argc; at++) {
        if (argv[at][0] != '-' || !argv[at][1]) {
            if (!positional)
                return error_set(err, -EINVAL, "unexpected argument '%.80s'", argv[at]);
            if (options_list_add(positional, argv[at], strlen(argv[at])) < 0)
                return error_set(err, -EINVAL, "too many arguments");
            continue;
        }
        r = parse_one(specs, count, settings, argc, argv, &at, seen, err);
        if (r < 0)
            return r;
    }
    return 0;
}

void options_deinit(const struct option_spec *specs, size_t count, void *settings)
{
    for (size_t i = 0; i < count; i++)
        if (specs[i].type == OPTION_LIST)
            options_list_deinit(
                (struct options_list *)(void *)((char *)settings + specs[i].offset));
}

void options_print_help(const struct option_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct option_spec *spec = &specs[i];
        char left[64];

        snprintf(left, sizeof(left), "--%s%s%s", spec->name, spec->argument ? " " : "",
                 spec->argument ? spec->argument : "");
        printf("  %-26s %s", left, spec->help);
        if (spec->fallback)
            printf(" [%s]", spec->fallback);
        if (spec->env)
            printf(" (%s)", spec->env);
        putchar('\n');
    }
}
