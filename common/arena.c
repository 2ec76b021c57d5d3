#include "common/arena.h"

#include "common/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_MIN 4096

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    max_align_t data[];
};

static struct arena_block *block_with_room(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->blocks;

    if (block && block->size - block->used >= size)
        return block;
    block = mem_alloc(sizeof(*block) + (size > ARENA_BLOCK_MIN ? size : ARENA_BLOCK_MIN));
    block->size = size > ARENA_BLOCK_MIN ? size : ARENA_BLOCK_MIN;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    const size_t align = sizeof(max_align_t);
    struct arena_block *block;
    size_t bytes;
    void *result;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        abort();
    bytes = (bytes + align - 1) / align * align;
    block = block_with_room(arena, bytes);
    result = (char *)block->data + block->used;
    block->used += bytes;
    return result;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    size_t length = strlen(text) + 1;

    return memcpy(arena_alloc(arena, length, 1), text, length);
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text;
    int length;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    text = arena_alloc(arena, (size_t)length + 1, 1);
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

void arena_deinit(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        mem_free(block);
    }
}
