/* Memory with few, named lifetimes. An arena hands out zeroed memory and frees it all at once; there is no free of a
 * single object. Running out of memory in the compiler is fatal: it prints one sentence and exits with status 70. */
#ifndef SINTER_BASE_ARENA_H
#define SINTER_BASE_ARENA_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *);                 /* NULL is allowed */
void *arena_alloc(Arena *, size_t bytes); /* zeroed, aligned to 16 */
char *arena_strndup(Arena *, const char *, size_t n);
char *arena_printf(Arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *, const char *fmt, va_list);

#define ARENA_NEW(a, T)      ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_alloc((a), sizeof(T) * (size_t)(n)))

void *mem_alloc(size_t bytes);        /* malloc that cannot fail; zeroed; released by free() */
void *mem_grow(void *, size_t bytes); /* realloc that cannot fail */
#endif
