/* malloc and aligned_alloc that fail at the n-th call, for programs linked with -Wl,--wrap=malloc,--wrap=aligned_alloc:
 * what they and the static libraries in them ask for, not the C library's own. */
#ifndef SINTER_TEST_FAILING_MALLOC_H
#define SINTER_TEST_FAILING_MALLOC_H
#include <stdlib.h>

static int malloc_calls, malloc_fails_at; /* 0: never */
static int malloc_refuses(void) { return ++malloc_calls == malloc_fails_at; }

void *__real_malloc(size_t);
void *__wrap_malloc(size_t);
void *__wrap_malloc(size_t n) { return malloc_refuses() ? NULL : __real_malloc(n); }
void *__real_aligned_alloc(size_t, size_t);
void *__wrap_aligned_alloc(size_t, size_t);
void *__wrap_aligned_alloc(size_t to, size_t n) { return malloc_refuses() ? NULL : __real_aligned_alloc(to, n); }
#endif
