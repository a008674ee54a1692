/* Attention backward: what the holes of its skeletons are, and what these share, for attention_grad_q_sm80.cu and
 * _sm90.cu, of queries, and attention_grad_kv_sm80.cu and _sm90.cu, of keys and values; each includes it once more.
 * With p = exp(score - lse) and dp = g v^T, where g is the gradient of the result, the products of q and k have the
 * gradients p (dp - delta) scale. p and these are rounded to 16 bits before they are multiplied. `outer` numbers the
 * heads of queries: keys and values that several of them share have gradients of each.
 *
 * As in attention_holes.h: NAME_T, NAME_S, NAME_q_at, NAME_k_at, NAME_v_at, NAME_seen, ATTENTION_D, ATTENTION_TYPE,
 * ATTENTION_WIDTH, ATTENTION_BEGIN, ATTENTION_TILE, whose OWN are rows of what has the gradients. And:
 * - NAME_g_at(args, outer, row, n): the address of 8 elements of g, of 16 bits
 * - NAME_lse(args, outer, row), NAME_delta(args, outer, row): the logarithm of the sum of the exponentials of a row's
 *   scores, and the sum of g times the result over the row; where a score is x * ATTENTION_SCALE
 * - NAME_weight(args, outer, row, key, x), NAME_slope(args, outer, row, key, x, dp): else, p of a product x of q and k,
 *   and its gradient; where ATTENTION_SCORE is defined, and ATTENTION_SCALE 1. Both are 0 for keys that are not seen
 * - NAME_store(args, outer, row, n, dq): ATTENTION_WIDTH neighbours of the gradient of q
 * - NAME_store(args, outer, key, n, dk, dv): of those of k and v, where ATTENTION_RESULTS is 3. Where it is 1 dv means
 *   nothing; where it is 2 dk, and NAME_delta and NAME_slope are not called. It is 0 for the gradient of q */
#include "attention_tile.h"
#define OF_QUERIES (ATTENTION_RESULTS ? OTHER : OWN) /* rows of their tiles */
#define OF_KEYS    (ATTENTION_RESULTS ? OWN : OTHER)

/* 16 rows of accumulators, on their way to lanes that have 8 neighbours. */
DEVICE void ATTENTION_HOLE(_stage)(u32 to, const float *sum, float scale) {
  int lane = (int)threadIdx.x & 31;
  UNROLL (i, D / 2)
    st_shared_f32(to + (u32)((i / 2 % 2 * 8 + (lane >> 2)) * STAGED + (i / 4 * 8 + (lane & 3) * 2 + i % 2) * 4),
                  sum[i] * scale);
}

#ifdef ATTENTION_SCORE
/* Products x of q and k and dp of g and v become what the gradients sum: dp the slope, of keys x the weight. `own` is a
 * row of the block, `other` one of a tile. */
DEVICE void ATTENTION_HOLE(_work_out)(ATTENTION_HOLE(_args) args, i32 outer, i32 own, i32 other, float *x, float *dp) {
  i32 row = ATTENTION_RESULTS ? other : own, key = ATTENTION_RESULTS ? own : other;
#if ATTENTION_RESULTS != 2
  *dp = ATTENTION_HOLE(_slope)(args, outer, row, key, *x, *dp);
#endif
#if ATTENTION_RESULTS & 2
  *x = ATTENTION_HOLE(_weight)(args, outer, row, key, *x);
#endif
  (void)dp;
}
#endif

#if ATTENTION_RESULTS
#define OF_K (ATTENTION_RESULTS & 1)
#define OF_V (ATTENTION_RESULTS & 2)

/* What of the rows of queries lies beside their tile: lse, of base 2, and delta of each; number i of them. */
DEVICE float ATTENTION_HOLE(_known)(ATTENTION_HOLE(_args) args, i32 outer, i32 row0, i32 T, int i) {
  float x = 0;
#ifndef ATTENTION_SCORE
  i32 row = row0 + (i >> 1) < T ? row0 + (i >> 1) : T - 1;
  if ((i & 1) == 0) x = ATTENTION_HOLE(_lse)(args, outer, row) * LOG2_E;
#if OF_K
  if (i & 1) x = ATTENTION_HOLE(_delta)(args, outer, row);
#endif
#endif
  (void)args, (void)outer, (void)row0, (void)T, (void)i;
  return x;
}

/* The first tile of queries whose last row sees a key from key0 on. */
DEVICE i32 ATTENTION_HOLE(_begin)(ATTENTION_HOLE(_args) args, i32 key0, i32 T) {
  i32 begin = 0;
  for (i32 end = (T - 1) / OTHER + 1; begin < end;) {
    i32 middle = (begin + end) / 2, row = middle * OTHER + OTHER - 1;
    if ((i32)ATTENTION_HOLE(_seen)(args, row < T ? row : T - 1) <= key0)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

/* How many of n steps of rows of queries, from row0 on, see no key from key0 on. */
DEVICE int ATTENTION_HOLE(_hidden)(ATTENTION_HOLE(_args) args, i32 key0, i32 row0, i32 T, int rows, int n) {
  int step = 0;
  for (i32 last = row0 + rows - 1; step < n; step++, last += rows)
    if ((i32)ATTENTION_HOLE(_seen)(args, last < T ? last : T - 1) > key0) break;
  return step;
}

/* A warp's 16 keys, from key0 on: results that are staged, of keys before those of values, are stored. */
DEVICE void ATTENTION_HOLE(_leave)(ATTENTION_HOLE(_args) args, i32 outer, i32 key0, i32 S, u32 staged) {
  UNROLL (i, 16 * (D / 8) / 32) {
    int c = i * 32 + ((int)threadIdx.x & 31), r = c / (D / 8), n = c % (D / 8) * 8;
    float dk[8] = {0}, dv[8] = {0};
    if (OF_K) attention_staged(staged + (u32)(r * STAGED + n * 4), dk);
    if (OF_V) attention_staged(staged + (u32)((16 + r) * STAGED + n * 4), dv);
    UNROLL (part, 8 / ATTENTION_WIDTH)
      if (key0 + r < S)
        ATTENTION_HOLE(_store)(args, outer, key0 + r, n + part * ATTENTION_WIDTH, dk + part * ATTENTION_WIDTH,
                               dv + part * ATTENTION_WIDTH);
  }
}
#endif
