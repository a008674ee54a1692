/* The skeletons of attention's backward with the holes that a model's attention may have: other head dimensions, f16,
 * fewer heads of keys, fewer queries than keys, rows that see nothing, scores that are worked out, one of the gradients
 * of keys and values alone, 4 neighbours at once. */
#include "attention_holes.h"

typedef struct {
  void *dq, *dk, *dv; /* dk and dv: of every head of queries */
  const void *q, *k, *v, *g;
  const float *lse, *delta, *mask; /* mask: [T][S]; NULL: none */
  i32 T, S, group, causal;
  float scale;
} GradArgs;

DEVICE const void *element(const void *base, i64 row, int d, i32 at) { return (const u16 *)base + row * d + at; }
DEVICE void put(void *base, i64 row, int d, i32 at, int width, const float *v, u32 (*pack)(float, float)) {
  for (int i = 0; i < width; i += 4) {
    Vec2 packed = {pack(v[i], v[i + 1]), pack(v[i + 2], v[i + 3])};
    st_global_v2((u16 *)base + row * d + at + i, packed);
  }
}

#define HOLES(name, d, pack, width)                                                                                    \
  typedef GradArgs name##_args;                                                                                        \
  DEVICE i32 name##_T(GradArgs args) { return args.T; }                                                                \
  DEVICE i32 name##_S(GradArgs args) { return args.S; }                                                                \
  DEVICE const void *name##_q_at(GradArgs args, i32 outer, i32 row, i32 at) {                                          \
    return element(args.q, (i64)outer * args.T + row, d, at);                                                          \
  }                                                                                                                    \
  DEVICE const void *name##_g_at(GradArgs args, i32 outer, i32 row, i32 at) {                                          \
    return element(args.g, (i64)outer * args.T + row, d, at);                                                          \
  }                                                                                                                    \
  DEVICE const void *name##_k_at(GradArgs args, i32 outer, i32 key, i32 at) {                                          \
    return element(args.k, (i64)(outer / args.group) * args.S + key, d, at);                                           \
  }                                                                                                                    \
  DEVICE const void *name##_v_at(GradArgs args, i32 outer, i32 key, i32 at) {                                          \
    return element(args.v, (i64)(outer / args.group) * args.S + key, d, at);                                           \
  }                                                                                                                    \
  DEVICE i32 name##_seen(GradArgs args, i32 row) {                                                                     \
    i32 keys = row + 1 + args.S - args.T;                                                                              \
    return !args.causal ? args.S : keys < 0 ? 0 : keys;                                                                \
  }

#define OF_Q(name, d, pack, width)                                                                                     \
  HOLES(name, d, pack, width)                                                                                          \
  DEVICE void name##_store(GradArgs args, i32 outer, i32 row, i32 n, const float *v) {                                 \
    put(args.dq, (i64)outer *args.T + row, d, n, width, v, pack);                                                      \
  }
#define OF_KV(name, d, pack, width, results)                                                                           \
  HOLES(name, d, pack, width)                                                                                          \
  DEVICE void name##_store(GradArgs args, i32 outer, i32 key, i32 n, const float *dk, const float *dv) {               \
    if ((results) & 1) put(args.dk, (i64)outer *args.S + key, d, n, width, dk, pack);                                  \
    if ((results) & 2) put(args.dv, (i64)outer *args.S + key, d, n, width, dv, pack);                                  \
  }

#define LSE(name)                                                                                                      \
  DEVICE float name##_lse(GradArgs args, i32 outer, i32 row) { return args.lse[(i64)outer * args.T + row]; }
#define DELTA(name)                                                                                                    \
  DEVICE float name##_delta(GradArgs args, i32 outer, i32 row) { return args.delta[(i64)outer * args.T + row]; }

DEVICE float weight(GradArgs args, i32 outer, i32 row, i32 key, float x) {
  float score = x * args.scale + args.mask[(i64)row * args.S + key];
  return ex2_approx((score - args.lse[(i64)outer * args.T + row]) * LOG2_E);
}
#define WEIGHT(name)                                                                                                   \
  DEVICE float name##_weight(GradArgs args, i32 outer, i32 row, i32 key, float x) {                                    \
    return weight(args, outer, row, key, x);                                                                           \
  }
#define SLOPE(name)                                                                                                    \
  DEVICE float name##_slope(GradArgs args, i32 outer, i32 row, i32 key, float x, float dp) {                           \
    return weight(args, outer, row, key, x) * (dp - args.delta[(i64)outer * args.T + row]) * args.scale;               \
  }

/* ---- of queries ---- */

#define ATTENTION_NAME    grad_q_d32
#define ATTENTION_D       32
#define ATTENTION_TILE    128, 64, 2, 128, 30720
#define ATTENTION_RESULTS 0
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    bf16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_Q(grad_q_d32, 32, pack_bf16, 8)
LSE(grad_q_d32)
DELTA(grad_q_d32)
#include "attention_grad_q_sm80.cu"

#define ATTENTION_NAME    grad_q_d96
#define ATTENTION_D       96
#define ATTENTION_TILE    64, 64, 2, 128, 53248
#define ATTENTION_RESULTS 0
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   4
#define ATTENTION_BEGIN
OF_Q(grad_q_d96, 96, pack_f16, 4)
LSE(grad_q_d96)
DELTA(grad_q_d96)
#include "attention_grad_q_sm80.cu"

#define ATTENTION_NAME    grad_q_d128_score
#define ATTENTION_D       128
#define ATTENTION_TILE    64, 64, 2, 128, 65536
#define ATTENTION_RESULTS 0
#define ATTENTION_SCALE   0
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_Q(grad_q_d128_score, 128, pack_f16, 8)
SLOPE(grad_q_d128_score)
#include "attention_grad_q_sm80.cu"

/* ---- of keys and values ---- */

#define ATTENTION_NAME    grad_kv_d32
#define ATTENTION_D       32
#define ATTENTION_TILE    128, 64, 2, 128, 31744
#define ATTENTION_RESULTS 3
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    bf16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d32, 32, pack_bf16, 8, 3)
LSE(grad_kv_d32)
DELTA(grad_kv_d32)
#include "attention_grad_kv_sm80.cu"

#define ATTENTION_NAME    grad_kv_d64_v
#define ATTENTION_D       64
#define ATTENTION_TILE    128, 64, 2, 128, 50176
#define ATTENTION_RESULTS 2
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d64_v, 64, pack_f16, 8, 2)
LSE(grad_kv_d64_v)
#include "attention_grad_kv_sm80.cu"

#define ATTENTION_NAME    grad_kv_d96_k
#define ATTENTION_D       96
#define ATTENTION_TILE    64, 64, 2, 128, 67584
#define ATTENTION_RESULTS 1
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   4
#define ATTENTION_BEGIN
OF_KV(grad_kv_d96_k, 96, pack_f16, 4, 1)
LSE(grad_kv_d96_k)
DELTA(grad_kv_d96_k)
#include "attention_grad_kv_sm80.cu"

#define ATTENTION_NAME    grad_kv_d128
#define ATTENTION_D       128
#define ATTENTION_TILE    64, 64, 2, 128, 82944
#define ATTENTION_RESULTS 3
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d128, 128, pack_f16, 8, 3)
LSE(grad_kv_d128)
DELTA(grad_kv_d128)
#include "attention_grad_kv_sm80.cu"

#define ATTENTION_NAME    grad_kv_d64_score_v
#define ATTENTION_D       64
#define ATTENTION_TILE    64, 64, 2, 128, 41984
#define ATTENTION_RESULTS 2
#define ATTENTION_SCALE   0
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d64_score_v, 64, pack_f16, 8, 2)
WEIGHT(grad_kv_d64_score_v)
#include "attention_grad_kv_sm80.cu"

#define ATTENTION_NAME    grad_kv_d128_score
#define ATTENTION_D       128
#define ATTENTION_TILE    64, 64, 2, 128, 82944
#define ATTENTION_RESULTS 3
#define ATTENTION_SCALE   0
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d128_score, 128, pack_f16, 8, 3)
WEIGHT(grad_kv_d128_score)
SLOPE(grad_kv_d128_score)
#include "attention_grad_kv_sm80.cu"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define ATTENTION_NAME    grad_kv_d64_sm90
#define ATTENTION_D       64
#define ATTENTION_TILE    128, 64, 3, 384, 83504
#define ATTENTION_RESULTS 3
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d64_sm90, 64, pack_f16, 8, 3)
LSE(grad_kv_d64_sm90)
DELTA(grad_kv_d64_sm90)
#include "attention_grad_kv_sm90.cu"

#define ATTENTION_NAME    grad_kv_d128_sm90
#define ATTENTION_D       128
#define ATTENTION_TILE    128, 64, 3, 384, 165424
#define ATTENTION_RESULTS 3
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d128_sm90, 128, pack_f16, 8, 3)
LSE(grad_kv_d128_sm90)
DELTA(grad_kv_d128_sm90)
#include "attention_grad_kv_sm90.cu"

#define ATTENTION_NAME    grad_q_d64_sm90
#define ATTENTION_D       64
#define ATTENTION_TILE    128, 128, 2, 384, 98336
#define ATTENTION_RESULTS 0
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_Q(grad_q_d64_sm90, 64, pack_f16, 8)
LSE(grad_q_d64_sm90)
DELTA(grad_q_d64_sm90)
#include "attention_grad_q_sm90.cu"

#define ATTENTION_NAME    grad_q_d128_sm90
#define ATTENTION_D       128
#define ATTENTION_TILE    128, 128, 2, 384, 196640
#define ATTENTION_RESULTS 0
#define ATTENTION_SCALE   args.scale
#define ATTENTION_TYPE    f16
#define ATTENTION_WIDTH   8
#define ATTENTION_BEGIN
OF_Q(grad_q_d128_sm90, 128, pack_f16, 8)
LSE(grad_q_d128_sm90)
DELTA(grad_q_d128_sm90)
#include "attention_grad_q_sm90.cu"

#define ATTENTION_NAME    grad_q_d64_score_sm90
#define ATTENTION_D       64
#define ATTENTION_TILE    128, 64, 2, 384, 65568
#define ATTENTION_RESULTS 0
#define ATTENTION_SCALE   1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_Q(grad_q_d64_score_sm90, 64, pack_f16, 8)
SLOPE(grad_q_d64_score_sm90)
#include "attention_grad_q_sm90.cu"

#define ATTENTION_NAME    grad_q_d128_score_sm90
#define ATTENTION_D       128
#define ATTENTION_TILE    128, 64, 2, 384, 131104
#define ATTENTION_RESULTS 0
#define ATTENTION_SCALE   1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_Q(grad_q_d128_score_sm90, 128, pack_f16, 8)
SLOPE(grad_q_d128_score_sm90)
#include "attention_grad_q_sm90.cu"

#define ATTENTION_NAME    grad_kv_d64_score_sm90
#define ATTENTION_D       64
#define ATTENTION_TILE    128, 64, 3, 384, 83504
#define ATTENTION_RESULTS 3
#define ATTENTION_SCALE   1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d64_score_sm90, 64, pack_f16, 8, 3)
WEIGHT(grad_kv_d64_score_sm90)
SLOPE(grad_kv_d64_score_sm90)
#include "attention_grad_kv_sm90.cu"

#define ATTENTION_NAME    grad_kv_d128_score_sm90
#define ATTENTION_D       128
#define ATTENTION_TILE    128, 32, 5, 384, 148816
#define ATTENTION_RESULTS 3
#define ATTENTION_SCALE   1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d128_score_sm90, 128, pack_f16, 8, 3)
WEIGHT(grad_kv_d128_score_sm90)
SLOPE(grad_kv_d128_score_sm90)
#include "attention_grad_kv_sm90.cu"

#define ATTENTION_NAME    grad_kv_d128_score_k_sm90
#define ATTENTION_D       128
#define ATTENTION_TILE    128, 32, 5, 384, 148816
#define ATTENTION_RESULTS 1
#define ATTENTION_SCALE   1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
OF_KV(grad_kv_d128_score_k_sm90, 128, pack_f16, 8, 1)
SLOPE(grad_kv_d128_score_k_sm90)
#include "attention_grad_kv_sm90.cu"
#endif
