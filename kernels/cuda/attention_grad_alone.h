/* The holes of a skeleton of attention's backward that stands alone: all tensors [heads][positions][ATTENTION_D], of
 * bf16. The file defines ATTENTION_NAME and ATTENTION_D before it, and ATTENTION_RESULTS where it is of keys. */
#define ATTENTION_SCALE      args.scale
#define ATTENTION_PACK       pack_bf16
#define ATTENTION_MMA        mma_m16n8k16_bf16
#define ATTENTION_WGMMA      wgmma_bf16
#define ATTENTION_WGMMA_REGS wgmma_regs_bf16
#define ATTENTION_WIDTH      8
#define ATTENTION_BEGIN
typedef struct {
  bf16 *dq, *dk, *dv;
  const bf16 *q, *k, *v, *g;
  const float *lse, *delta;
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
DEVICE const void *ATTENTION_HOLE(_g_at)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, i32 n) {
  return args.g + ATTENTION_HOLE(_element)(args, outer, row, n);
}
DEVICE i32 ATTENTION_HOLE(_seen)(ATTENTION_HOLE(_args) args, i32 row) { return args.causal ? row + 1 : args.positions; }
DEVICE float ATTENTION_HOLE(_lse)(ATTENTION_HOLE(_args) args, i32 outer, i32 row) {
  return args.lse[(i64)outer * args.positions + row];
}
DEVICE float ATTENTION_HOLE(_delta)(ATTENTION_HOLE(_args) args, i32 outer, i32 row) {
  return args.delta[(i64)outer * args.positions + row];
}
DEVICE void ATTENTION_HOLE(_put)(bf16 *to, const float *v) {
  Vec4 packed = {pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7])};
  st_global_v4(to, packed);
}
#ifdef ATTENTION_RESULTS
DEVICE void ATTENTION_HOLE(_store)(ATTENTION_HOLE(_args) args, i32 outer, i32 key, i32 n, const float *dk,
                                   const float *dv) {
  ATTENTION_HOLE(_put)(args.dk + ATTENTION_HOLE(_element)(args, outer, key, n), dk);
  ATTENTION_HOLE(_put)(args.dv + ATTENTION_HOLE(_element)(args, outer, key, n), dv);
}
#else
DEVICE void ATTENTION_HOLE(_store)(ATTENTION_HOLE(_args) args, i32 outer, i32 row, i32 n, const float *dq) {
  ATTENTION_HOLE(_put)(args.dq + ATTENTION_HOLE(_element)(args, outer, row, n), dq);
}
#endif
