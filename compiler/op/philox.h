/* Philox 4x32-10, the counter-based generator behind every random number, and how a draw is made from it. key = the
 * seed (low word first); counter = (block of elements, place, iteration, call): place is hash_fnv32 of the node's key
 * text, iteration is 0 outside of loops and lanes, call is the entry's call number. Same bits everywhere. */
#ifndef SINTER_OP_PHILOX_H
#define SINTER_OP_PHILOX_H
#include "dtype.h"

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

typedef struct Draw {
  uint64_t seed;
  uint32_t place, iteration, call;
} Draw;

/* Word e % 4 of block e / 4. */
uint32_t philox_word(const Draw *, uint64_t element);
/* Uniform in [0, 1). f32: the upper 24 bits of the element's word times 2^-24. f64: block e / 2, words a and b = 2 (e %
 * 2) and the next: ((a >> 5) * 2^26 + (b >> 6)) * 2^-53. */
double philox_uniform(const Draw *, DType, uint64_t element);
/* `bits`: the upper 31 bits of the element's word. */
int32_t philox_bits(const Draw *, uint64_t element);
#endif
