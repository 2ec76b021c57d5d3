#include "common/mem.h"

#include "common/log.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static atomic_size_t used;

static void *checked(void *pointer, size_t size)
{
    if (!pointer) {
        log_error("out-of-memory", "bytes=%zu", size);
        abort();
    }
    return pointer;
}

/* Relaxed: a sum, nothing is published by it. NNG's threads allocate through us too. */
static void *account(void *pointer)
{
    if (pointer)
        atomic_fetch_add_explicit(&used, malloc_usable_size(pointer), memory_order_relaxed);
    return pointer;
}

static void unaccount(void *pointer)
{
    if (pointer)
        atomic_fetch_sub_explicit(&used, malloc_usable_size(pointer), memory_order_relaxed);
}

size_t mem_used(void)
{
    return atomic_load_explicit(&used, memory_order_relaxed);
}

void *mem_lib_malloc(size_t size)
{
    return account(malloc(size ? size : 1));
}

void *mem_lib_realloc(void *old, size_t size)
{
    size_t before = old ? malloc_usable_size(old) : 0;
    void *grown = realloc(old, size ? size : 1);

    if (!grown)
        return NULL;
    atomic_fetch_sub_explicit(&used, before, memory_order_relaxed);
    return account(grown);
}

void *mem_alloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_array(size_t count, size_t size)
{
    return account(checked(calloc(count ? count : 1, size ? size : 1), count));
}

void *mem_resize(void *old, size_t count, size_t size)
{
    size_t before = old ? malloc_usable_size(old) : 0;
    void *grown = checked(reallocarray(old, count ? count : 1, size), count);

    atomic_fetch_sub_explicit(&used, before, memory_order_relaxed);
    return account(grown);
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
    unaccount(pointer);
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
