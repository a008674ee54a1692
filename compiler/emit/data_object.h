/* A relocatable ELF object of one symbol and the bytes at it, written by ourselves: bytes that no code generator should
 * have to read. */
#ifndef SINTER_EMIT_DATA_OBJECT_H
#define SINTER_EMIT_DATA_OBJECT_H
#include "arena.h"

typedef struct DataObject {
  uint8_t *file; /* of the arena */
  size_t size;
  uint8_t *data; /* in the file: `bytes` zeros, to be filled in */
} DataObject;

/* The symbol is hidden; its bytes are aligned to a page, in memory that can be written. arch: of LinkArch. */
DataObject data_object(Arena *, const char *arch, const char *symbol, size_t bytes);
#endif
