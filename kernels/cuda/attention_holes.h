/* Attention forward: what the holes of its skeletons are, for attention_sm80.cu and attention_sm90.cu. A skeleton is
 * included behind the holes that compiler/emit prints, which it undefines (attention_end.h), and is then a kernel
 * ATTENTION_NAME; alone it has the holes of attention_alone.h. `outer` numbers the heads.
 * - NAME_T(args), NAME_S(args): rows of queries, keys, 1 at least
 * - NAME_q_at(args, outer, row, d), NAME_k_at(.., key, d), NAME_v_at(.., key, n): the address of 8 elements of 16 bits
 * - NAME_seen(args, row): how many keys the row sees at most; it never falls from row to row
 * - NAME_score(args, outer, row, key, x): the score that becomes of a product of q and k; where ATTENTION_SCORE is
 *   defined, and ATTENTION_SCALE 1; else it is x * ATTENTION_SCALE for all keys that are seen
 * - NAME_scale(args, outer, row, most, sum): by what a row's results are multiplied, from its largest score and the sum
 *   of the exponentials of the distances to it
 * - NAME_store(args, outer, row, n, v): ATTENTION_WIDTH (4 or 8) neighbours of the result
 * - NAME_row(args, outer, row, most, sum): takes the same two numbers, once for each row. The logarithm of the sum of
 *   the exponentials of its scores is most + log(sum); most is -infinite where nothing is seen
 * - ATTENTION_D: 32, 64, 96 or 128; ATTENTION_TYPE: bf16 or f16; ATTENTION_BEGIN: a statement
 * - ATTENTION_TILE: five numbers, with which the compiler launches it too: OWN, rows of a block, and OTHER, those of
 * the tiles that it walks over; STAGES, how many of these have room; THREADS of a block, and bytes of shared memory */
#ifndef SINTER_ATTENTION_HOLES_H
#define SINTER_ATTENTION_HOLES_H
#include "vocabulary.h"
#define LOG2_E                                                  1.4426950408889634f
#define LN_2                                                    0.6931471805599453f
#define INFINITE                                                __uint_as_float(0x7f800000u)
#define ATTENTION_PASTE_(a, b)                                  a##b
#define ATTENTION_PASTE(a, b)                                   ATTENTION_PASTE_(a, b)
#define ATTENTION_HOLE(what)                                    ATTENTION_PASTE(ATTENTION_NAME, what)
#define ATTENTION_KERNEL(name, threads, blocks, ...)            KERNEL(name, threads, blocks, __VA_ARGS__)
#define ATTENTION_PACK                                          ATTENTION_PASTE(pack_, ATTENTION_TYPE)
#define ATTENTION_MMA                                           ATTENTION_PASTE(mma_m16n8k16_, ATTENTION_TYPE)
#define ATTENTION_WGMMA                                         ATTENTION_PASTE(wgmma_, ATTENTION_TYPE)
#define ATTENTION_WGMMA_REGS                                    ATTENTION_PASTE(wgmma_regs_, ATTENTION_TYPE)
#define ATTENTION_NUMBER(which, ...)                            ATTENTION_PASTE(ATTENTION_NUMBER_, which)(__VA_ARGS__)
#define ATTENTION_NUMBER_0(own, other, stages, threads, shared) own
#define ATTENTION_NUMBER_1(own, other, stages, threads, shared) other
#define ATTENTION_NUMBER_2(own, other, stages, threads, shared) stages
#define ATTENTION_NUMBER_3(own, other, stages, threads, shared) threads
#define ATTENTION_NUMBER_4(own, other, stages, threads, shared) shared
/* Chunks of 16 bytes a row of a tile: 8 rows of a chunk meet in no bank where they are odd, or turned by the row. */
#define ATTENTION_CHUNKS(d) ((d) % 64 ? (d) / 8 + 1 : (d) / 8)
#define ATTENTION_AT(d, tile, row, q)                                                                                  \
  ((tile) + (u32)((row) * ATTENTION_CHUNKS(d) + ((d) % 64 ? (q) : ((q) ^ ((row) & 7)))) * 16)
/* The same for wgmma, of a tile of n rows: boxes of 64 columns, lines of 128 bytes that are swizzled. */
#define ATTENTION_BOX_AT(n, tile, row, q) ((tile) + (u32)((q) / 8 * (n) * 128 + (row) * 128 + (((q) ^ (row)) & 7) * 16))

/* 8 neighbours of a row of results that lie in shared memory. */
DEVICE void attention_staged(u32 from, float *v) {
  UNROLL (half, 2) {
    Vec4 x = ld_shared_v4(from + (u32)half * 16);
    v[half * 4] = __uint_as_float(x.x), v[half * 4 + 1] = __uint_as_float(x.y);
    v[half * 4 + 2] = __uint_as_float(x.z), v[half * 4 + 3] = __uint_as_float(x.w);
  }
}
#endif
