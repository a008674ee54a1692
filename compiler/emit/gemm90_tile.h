/* Which tile a product has on sm_90a (kernels/cuda/gemm_sm90.cu): told from sizes alone, without a chip. */
#ifndef SINTER_EMIT_GEMM90_TILE_H
#define SINTER_EMIT_GEMM90_TILE_H
#include "str.h"

/* The H100 and the H200 have 132 multiprocessors in all forms but the PCIe card (114). The compiler does not know the
 * card, and the number of blocks is decided when it compiles: so many as run at once on 132. More would lose what a
 * block gains by going on (the next tile is loaded while this one is stored); where there are fewer multiprocessors
 * some blocks wait for a place, and the result is the same. */
enum { GEMM90_MULTIPROCESSORS = 132 };

typedef enum Gemm90By { GEMM90_TMA, GEMM90_COPIED, GEMM90_WORKED } Gemm90By; /* what brings an operand */

typedef struct Gemm90Size {
  int64_t products, m, n, k;
  int stored;  /* bytes that the epilogue reads and writes for an element */
  int element; /* bytes of an operand's in a tile */
  Gemm90By a, b;
} Gemm90Size;

typedef struct Gemm90Tile {
  int bm, bn, stages;
  int together; /* blocks on a multiprocessor */
  int shared;   /* bytes */
} Gemm90Tile;

enum { GEMM90_TILES = 5 };
extern const Gemm90Tile GEMM90_TILE[GEMM90_TILES]; /* larger ones first */
/* Cycles by the model. */
double gemm90_cycles(const Gemm90Size *, const Gemm90Tile *);
/* The cheapest; *why, for people: what the choice is by. */
const Gemm90Tile *gemm90_tile(Arena *, const Gemm90Size *, const char **why);
#endif
