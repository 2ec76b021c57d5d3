/* arena: memory of one decoded document, freed at once. Strings and arrays of a message or a
 * fleet file point into it and live as long as it does. */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
};

void *arena_alloc(struct arena *arena, size_t count,
                  size_t size); /* zeroed, aligned for any type */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void arena_deinit(struct arena *arena);

#endif
