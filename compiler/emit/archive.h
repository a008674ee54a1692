/* A static library of one object: System V's ar with GNU's symbol index, as every linker reads it. Dates and owners are
 * zero, so the same object gives the same bytes. */
#ifndef SINTER_EMIT_ARCHIVE_H
#define SINTER_EMIT_ARCHIVE_H
#include "arena.h"

/* `member`: the object's name in the library, `digits.o`; `symbols`: the global names that it defines. The result lies
 * in the arena, *bytes its size. */
uint8_t *archive_write(Arena *, const char *member, const uint8_t *object, size_t n, const char *const *symbols,
                       int nsymbols, size_t *bytes);
#endif
