/* Places in source text and what is said about them. A user's mistake is a value: `return diag_error(...)`. A mistake
 * of ours is BUG(). Messages collect in the Diag; whoever owns it prints them (diag_print). */
#ifndef SINTER_BASE_DIAG_H
#define SINTER_BASE_DIAG_H
#include "arena.h"
#include "str.h"
#include <stdbool.h>

typedef uint32_t Loc; /* a place: 0 is none, else source and offset, or a foreign place (diag_foreign) */

typedef struct Diag Diag;
Diag *diag_new(Arena *);

/* Registers a text (kept by reference) and returns the Loc of its first byte; the byte at offset k is that + k. */
Loc diag_source(Diag *, const char *path, const char *text, size_t n);
Loc diag_foreign(Diag *, const char *path, int line, int col); /* a place known by name only: from `#@ "f.sir":12:5` */

typedef struct Place {
  const char *path, *text; /* text: the line, not terminated; NULL for foreign places */
  int line, col, n;        /* from 1; n: bytes of the line */
} Place;
bool diag_place(const Diag *, Loc, Place *); /* false for 0 */

/* `id` is a stable kebab-case name, printed in brackets after the sentence; each id has a test with its exact text.
 * Both return false. A note belongs to the error before it (call chains, both shapes, "did you mean"). */
bool diag_error(Diag *, const char *id, Loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool diag_note(Diag *, Loc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool diag_warning(Diag *, const char *id, Loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

int diag_errors(const Diag *);           /* how many errors so far */
void diag_print(const Diag *, Buf *out); /* path:line:col: error: sentence [id], the line and a caret, the notes */
const char *diag_first(const Diag *, const char **id); /* sentence of the first error, or NULL */
void diag_reset(Diag *);                               /* forgets messages, keeps sources */

_Noreturn void bug_(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define BUG(...) bug_(__FILE__, __LINE__, __VA_ARGS__)
#endif
