/* mem: allocation that does not return without memory.
 *
 * Everything that grows is capped before it allocates (a message is at most 128 KiB, a fleet file
 * 1 MiB, ...), so running out of memory is not an input error: it is logged and the process ends,
 * and its supervisor starts it again. Nothing acknowledged is lost by that.
 */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                           /* zeroed */
void *mem_array(size_t count, size_t size);             /* zeroed, overflow-checked */
void *mem_resize(void *old, size_t count, size_t size); /* not zeroed, overflow-checked */
char *mem_strdup(const char *text);
void *mem_dup(const void *data, size_t size);
void mem_free(void *pointer); /* accepts NULL */

/* Bytes now held, as the allocator rounds them: the account that a program's own limits rest on.
 * Libraries that take their memory from here (c-ares, OpenSSL, nghttp2 in the agent) are in it. */
size_t mem_used(void);

/* The same memory with the C library's signatures, for libraries: NULL when there is none. */
void *mem_lib_malloc(size_t size);
void *mem_lib_realloc(void *old, size_t size);

/* Grows `*array` of `size`-byte elements so that one more fits after `count`. */
void mem_grow(void *array, size_t count, size_t *capacity, size_t size);

#endif
