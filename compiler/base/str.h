/* Interned names (equal text is the same pointer) and a growing text buffer. */
#ifndef SINTER_BASE_STR_H
#define SINTER_BASE_STR_H
#include "arena.h"
#include <stdbool.h>

typedef struct StrTab StrTab;
StrTab *strtab_new(Arena *);
const char *str_intern(StrTab *, const char *); /* lives as long as the table's arena */
const char *str_intern_n(StrTab *, const char *, size_t n);

typedef struct Buf { /* text under construction; {0} is empty; at[n] is '\0' */
  char *at;
  size_t n, cap;
} Buf;
void buf_printf(Buf *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_put(Buf *, const char *);
void buf_write(Buf *, const void *, size_t); /* bytes */
void buf_free(Buf *);

uint64_t hash_bytes(const void *, size_t, uint64_t seed); /* for tables, never written to a file */
uint32_t hash_fnv32(const char *);                        /* FNV-1a, stable: part of the random numbers' key */
uint64_t crc64(const void *, size_t, uint64_t crc);       /* CRC-64/XZ (ECMA-182, reflected); start with 0 */

/* The nearest of `n` words to `word` by edit distance, if near enough for "did you mean"; else NULL. */
const char *str_nearest(const char *word, const char *const *words, size_t n);
bool str_match(const char *pattern, const char *text); /* shell-like: * and ? */

/* Shortest decimal text that reads back as the same number; floats always carry a point or exponent, inf, nan.
 * `digits` 9 for f32, 17 for f64. Returns `out` (at least 32 bytes). */
char *format_float(char *out, double, int digits);

/* Whole files. Reading returns NULL and sets *why to a sentence; writing goes to a temporary file that is renamed. */
char *file_read(Arena *, const char *path, size_t *n, const char **why);
bool file_write(Arena *, const char *path, const void *, size_t n, const char **why);
#endif
