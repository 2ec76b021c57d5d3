#include "common/mem.h"

#include "common/log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *pointer, size_t size)
{
    if (!pointer) {
        log_error("out-of-memory", "bytes=%zu", size);
        abort();
    }
    return pointer;
}

void *mem_alloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_array(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1), count);
}

void *mem_resize(void *old, size_t count, size_t size)
{
    return checked(reallocarray(old, count ? count : 1, size), count);
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

void *mem_dup(const void *data, size_t size)
{
    void *copy = mem_alloc(size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

void mem_free(void *pointer)
{
    free(pointer);
}

void mem_grow(void *array, size_t count, size_t *capacity, size_t size)
{
    void *old;

    if (count < *capacity)
        return;
    memcpy(&old, array, sizeof(old));
    *capacity = *capacity ? *capacity * 2 : 8;
    old = mem_resize(old, *capacity, size);
    memcpy(array, &old, sizeof(old));
}
