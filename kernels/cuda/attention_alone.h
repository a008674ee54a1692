/* The holes of a skeleton of attention, or of its backward, that stands alone: all tensors [heads][positions]
 * [ATTENTION_D], of bf16. The file defines ATTENTION_NAME, ATTENTION_D and ATTENTION_TILE before it, and of the
 * backward ATTENTION_RESULTS, 0 for that of queries. */
#define ATTENTION_SCALE args.scale
#define ATTENTION_TYPE  bf16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
typedef struct {
  bf16 *out, *dk, *dv; /* out: also the gradient of q */
  float *lse;
  const float *delta;
  const bf16 *q, *k, *v, *g;
  i32 positions, causal;
  float scale;
} ATTENTION_HOLE(_args);
DEVICE i64 ATTENTION_HOLE(_element)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, i32 d) {
  return ((i64)outer * args.positions + row) * ATTENTION_D + d;
}
DEVICE i32 ATTENTION_HOLE(_T)(ATTENTION_HOLE(_args) args) { return args.positions; }
DEVICE i32 ATTENTION_HOLE(_S)(ATTENTION_HOLE(_args) args) { return args.positions; }
DEVICE const void *ATTENTION_HOLE(_q_at)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, i32 d) {
  return args.q + ATTENTION_HOLE(_element)(args, outer, row, d);
}
DEVICE const void *ATTENTION_HOLE(_k_at)(ATTENTION_HOLE(_args) args, i32 outer, i32 key, i32 d) {
  return args.k + ATTENTION_HOLE(_element)(args, outer, key, d);
}
DEVICE const void *ATTENTION_HOLE(_v_at)(ATTENTION_HOLE(_args) args, i32 outer, i32 key, i32 n) {
  return args.v + ATTENTION_HOLE(_element)(args, outer, key, n);
}
DEVICE i32 ATTENTION_HOLE(_seen)(ATTENTION_HOLE(_args) args, i32 row) { return args.causal ? row + 1 : args.positions; }
DEVICE void ATTENTION_HOLE(_put)(bf16 *to, const float *v) {
  Vec4 packed = {pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7])};
  st_global_v4(to, packed);
}
#if defined(ATTENTION_RESULTS) && ATTENTION_RESULTS
DEVICE void ATTENTION_HOLE(_store)(ATTENTION_HOLE(_args) args, i32 outer, i32 key, i32 n, const float *dk,
                                   const float *dv) {
  ATTENTION_HOLE(_put)(args.dk + ATTENTION_HOLE(_element)(args, outer, key, n), dk);
  ATTENTION_HOLE(_put)(args.dv + ATTENTION_HOLE(_element)(args, outer, key, n), dv);
}
#else
DEVICE void ATTENTION_HOLE(_store)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, i32 n, const float *v) {
  ATTENTION_HOLE(_put)(args.out + ATTENTION_HOLE(_element)(args, outer, row, n), v);
}
#endif
#ifdef ATTENTION_RESULTS
DEVICE const void *ATTENTION_HOLE(_g_at)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, i32 n) {
  return args.g + ATTENTION_HOLE(_element)(args, outer, row, n);
}
DEVICE float ATTENTION_HOLE(_lse)(ATTENTION_HOLE(_args) args, i32 outer, i32 row) {
  return args.lse[(i64)outer * args.positions + row];
}
DEVICE float ATTENTION_HOLE(_delta)(ATTENTION_HOLE(_args) args, i32 outer, i32 row) {
  return args.delta[(i64)outer * args.positions + row];
}
#else
DEVICE float ATTENTION_HOLE(_scale)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, float most, float sum) {
  (void)args, (void)outer, (void)row, (void)most;
  return rcp_approx(sum);
}
DEVICE void ATTENTION_HOLE(_row)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, float most, float sum) {
  args.lse[(i64)outer * args.positions + row] = most + lg2_approx(sum) * LN_2;
}
#endif
