#include "arena.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)64 << 10)

typedef struct Chunk {
  struct Chunk *next;
  size_t used, size;
} Chunk;

struct Arena {
  Chunk *chunk;
};

static void *must(void *p) {
  if (!p) {
    fprintf(stderr, "sinter: out of memory\n");
    exit(70);
  }
  return p;
}

void *mem_alloc(size_t bytes) { return must(calloc(1, bytes ? bytes : 1)); }
void *mem_grow(void *p, size_t bytes) { return must(realloc(p, bytes ? bytes : 1)); }
Arena *arena_new(void) { return mem_alloc(sizeof(Arena)); }

void arena_free(Arena *a) {
  if (!a) return;
  for (Chunk *c = a->chunk, *next; c; c = next) {
    next = c->next;
    free(c);
  }
  free(a);
}

void *arena_alloc(Arena *a, size_t bytes) {
  bytes = (bytes + 15) & ~(size_t)15;
  Chunk *c = a->chunk;
  if (!c || c->size - c->used < bytes) {
    size_t head = (sizeof(Chunk) + 15) & ~(size_t)15, size = head + (bytes > CHUNK ? bytes : CHUNK);
    c = mem_alloc(size);
    c->size = size;
    c->used = head;
    c->next = a->chunk;
    a->chunk = c;
  }
  void *p = (char *)c + c->used;
  c->used += bytes;
  return p;
}

char *arena_strndup(Arena *a, const char *s, size_t n) {
  char *p = arena_alloc(a, n + 1);
  if (n) memcpy(p, s, n);
  return p;
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  char *p = arena_alloc(a, (size_t)n + 1);
  vsnprintf(p, (size_t)n + 1, fmt, again);
  va_end(again);
  return p;
}

char *arena_printf(Arena *a, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *p = arena_vprintf(a, fmt, ap);
  va_end(ap);
  return p;
}
