/* What an artefact's bytes are: read from the map that the linker writes (ld.lld -Map), so after it has dropped what is
 * not used and merged equal constants. */
#ifndef SINTER_EMIT_SIZE_MAP_H
#define SINTER_EMIT_SIZE_MAP_H
#include "graph.h"
#include "target.h"

typedef enum SizePart {
  SIZE_CONSTANTS, /* of kernels: numbers and masks, equal ones shared between levels */
  SIZE_TABLES,    /* entries, plans, formulas of sizes, names; the exported functions */
  SIZE_DATA,      /* constants of the model, such as tables in its source */
  SIZE_GPU,       /* code for GPUs */
  SIZE_RUNTIME,
  SIZE_WEIGHTS, /* of --weights */
  SIZE_EXPLAIN, /* the text that `sinter explain` reads; not loaded */
  SIZE_PARTS
} SizePart;

typedef struct SizeKernel {
  const char *name; /* with its stage: `step_3_gemm_main` */
  uint64_t bytes[LEVEL_COUNT], all;
} SizeKernel;

typedef struct SizeMap {
  uint64_t bytes;                               /* of the file */
  uint64_t part[SIZE_PARTS], code[LEVEL_COUNT]; /* bytes in the file; code: of kernels */
  Vec(SizeKernel) kernels;                      /* largest first */
} SizeMap;

/* `map`: text of the linker, `bytes`: the size of the file that is written. Lines that are not understood count for
 * nothing. The objects are known by their names: host.o, runtime*.o, weights.o, LEVEL_*.o. */
void size_map_read(Arena *, const char *map, uint64_t bytes, SizeMap *out);

/* A table for people; what the map does not say is its last row. */
void size_map_print(const SizeMap *, const char *file, Buf *out);

/* False after diag_error, which names the largest parts, if the file would have more bytes than `most`. */
bool size_map_within(Ctx *, const SizeMap *, const char *file, uint64_t most);
#endif
