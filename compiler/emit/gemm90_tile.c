/* The model, of an H200 (an H100 has less memory bandwidth, which moves all tiles alike): a multiprocessor multiplies
 * at the rate of its tensor cores, or waits for wgmma to read shared memory, or for tiles to come out of the L2 cache,
 * whichever is slowest; all of them together wait for memory. Tiles go in waves over the multiprocessors, an unfilled
 * last wave takes as long as a full one; the epilogue of a block is not hidden by its own loop, but by that of another
 * block beside it. */
#include "gemm90_tile.h"
#include "vec.h"

#define SHARED(bm, bn, stages)         ((stages) * (((bm) + (bn)) * 128 + 16) + (bm) * 256)
#define TILE(bm, bn, stages, together) {bm, bn, stages, together, SHARED(bm, bn, stages)}
const Gemm90Tile GEMM90_TILE[GEMM90_TILES] = {
    TILE(128, 256, 4, 1), TILE(128, 128, 6, 1), TILE(128, 64, 8, 1), TILE(64, 128, 4, 2), TILE(64, 64, 6, 2),
};
enum { BLOCK_SHARED = 227 * 1024, ALL_SHARED = 228 * 1024, TAKEN = 1024 /* by the system, of each block */ };
#define FITS(bm, bn, stages, together)                                                                                 \
  (SHARED(bm, bn, stages) <= BLOCK_SHARED && (together) * (SHARED(bm, bn, stages) + TAKEN) <= ALL_SHARED)
_Static_assert(FITS(128, 256, 4, 1) && FITS(128, 128, 6, 1) && FITS(128, 64, 8, 1) && FITS(64, 128, 4, 2) &&
                   FITS(64, 64, 6, 2),
               "shared memory");

/* Of a multiprocessor, or of the chip, in a cycle of 1.75 GHz. */
enum {
  FLOPS = 4096,       /* in 16 bits, of the tensor cores */
  SHARED_BYTES = 128, /* read by wgmma */
  CACHE_BYTES = 46,   /* of the L2 cache, to each of all multiprocessors */
  STORED_BYTES = 20,  /* its share of memory */
  CHIP_BYTES = 2700,  /* memory, for all */
  ISSUED = 4,         /* instructions of warps */
  BEGIN = 1500,
  TURN = 600 /* cycles: until the first tile is there; from the last product to the first store */
};

/* Instructions for 16 bytes of an operand: what a thread of a producer takes. Guessed, of addresses and a function. */
static const int WORK[] = {[GEMM90_TMA] = 0, [GEMM90_COPIED] = 16, [GEMM90_WORKED] = 96};

static int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t tiles_of(const Gemm90Size *s, const Gemm90Tile *t) {
  return s->products * up(s->m, t->bm) * up(s->n, t->bn);
}
static double most(double a, double b) { return a > b ? a : b; }

double gemm90_cycles(const Gemm90Size *s, const Gemm90Tile *t) {
  int64_t tiles = tiles_of(s, t), waves = up(tiles, GEMM90_MULTIPROCESSORS * t->together);
  int64_t beside = up(tiles, GEMM90_MULTIPROCESSORS); /* blocks that share a multiprocessor */
  if (beside > t->together) beside = t->together;
  double area = (double)t->bm * t->bn, steps = (double)up(s->k, 128 / s->element);
  double step = most(area * 64 * 2 / FLOPS, /* of half as many terms in twice as many bits the same */
                     t->bm / 64 * (64 + t->bn) * 128.0 / SHARED_BYTES);
  step = most(step, (t->bm + t->bn) * 128.0 / CACHE_BYTES);
  step = most(step, (t->bm * WORK[s->a] + t->bn * WORK[s->b]) * (128 / 16) / 32.0 / ISSUED);
  double epilogue = area * s->stored / STORED_BYTES + TURN;
  return BEGIN + (double)waves * ((double)beside * steps * step + epilogue);
}

static double memory_cycles(const Gemm90Size *s) {
  double read = (double)s->k * ((double)s->m + (double)s->n) * s->element,
         written = (double)s->m * (double)s->n * s->stored;
  return (double)s->products * (read + written) / CHIP_BYTES;
}

/* Where threads fill tiles there are twice as many as consumers, and less registers for sums. */
static bool possible(const Gemm90Size *s, const Gemm90Tile *t) {
  return t->bn <= 128 || (s->a == GEMM90_TMA && s->b == GEMM90_TMA);
}

const Gemm90Tile *gemm90_tile(Arena *a, const Gemm90Size *s, const char **why) {
  const Gemm90Tile *best = NULL, *second = NULL;
  for (const Gemm90Tile *t = GEMM90_TILE; t < GEMM90_TILE + GEMM90_TILES; t++)
    if (!possible(s, t))
      continue;
    else if (!best || gemm90_cycles(s, t) < gemm90_cycles(s, best))
      second = best, best = t;
    else if (!second || gemm90_cycles(s, t) < gemm90_cycles(s, second))
      second = t;
  int64_t tiles = tiles_of(s, best), room = GEMM90_MULTIPROCESSORS * best->together, waves = up(tiles, room);
  *why = arena_printf(a,
                      "%lld tiles fill %d%% of %lld wave%s of %lld; %.0f kilocycles (%.0f by memory alone), %d x %d "
                      "would take %.0f",
                      (long long)tiles, (int)(100 * tiles / (waves * room)), (long long)waves, waves > 1 ? "s" : "",
                      (long long)room, gemm90_cycles(s, best) / 1000, memory_cycles(s) / 1000, second->bm, second->bn,
                      gemm90_cycles(s, second) / 1000);
  return best;
}
