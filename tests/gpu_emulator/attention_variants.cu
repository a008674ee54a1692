/* The skeletons of attention with the holes that a model's attention may have: other head dimensions, f16, fewer heads
 * of keys, fewer queries than keys, a mask that is added, rows that see nothing. */
#include "attention_holes.h"

typedef struct {
  void *out;
  float *lse;
  const void *q, *k, *v;
  const float *mask; /* [T][S]; NULL: none */
  i32 T, S, group, causal;
  float scale;
} AttentionArgs;

DEVICE const void *element(const void *base, i64 row, int d, i32 at) { return (const u16 *)base + row * d + at; }

#define HOLES(name, d, pack)                                                                                           \
  typedef AttentionArgs name##_args;                                                                                   \
  DEVICE i32 name##_T(AttentionArgs args) { return args.T; }                                                           \
  DEVICE i32 name##_S(AttentionArgs args) { return args.S; }                                                           \
  DEVICE const void *name##_q_at(AttentionArgs args, i32 outer, i32 row, i32 at) {                                     \
    return element(args.q, (i64)outer * args.T + row, d, at);                                                          \
  }                                                                                                                    \
  DEVICE const void *name##_k_at(AttentionArgs args, i32 outer, i32 key, i32 at) {                                     \
    return element(args.k, (i64)(outer / args.group) * args.S + key, d, at);                                           \
  }                                                                                                                    \
  DEVICE const void *name##_v_at(AttentionArgs args, i32 outer, i32 key, i32 at) {                                     \
    return element(args.v, (i64)(outer / args.group) * args.S + key, d, at);                                           \
  }                                                                                                                    \
  DEVICE i32 name##_seen(AttentionArgs args, i32 row) {                                                                \
    i32 keys = row + 1 + args.S - args.T;                                                                              \
    return !args.causal ? args.S : keys < 0 ? 0 : keys;                                                                \
  }                                                                                                                    \
  DEVICE float name##_scale(AttentionArgs args, i32 outer, i32 row, float most, float sum) {                           \
    (void)args, (void)outer, (void)row, (void)most;                                                                    \
    return sum == 0 ? 0 : rcp_approx(sum);                                                                             \
  }                                                                                                                    \
  DEVICE void name##_store(AttentionArgs args, i32 outer, i32 row, i32 n, const float *v) {                            \
    Vec4 packed = {pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])};                            \
    st_global_v4((u16 *)args.out + ((i64)outer * args.T + row) * d + n, packed);                                       \
  }                                                                                                                    \
  DEVICE void name##_row(AttentionArgs args, i32 outer, i32 row, float most, float sum) {                              \
    args.lse[(i64)outer * args.T + row] = most + lg2_approx(sum) * LN_2;                                               \
  }

#define SCORE(name)                                                                                                    \
  DEVICE float name##_score(AttentionArgs args, i32 outer, i32 row, i32 key, float x) {                                \
    (void)outer;                                                                                                       \
    return x * args.scale + args.mask[(i64)row * args.S + key];                                                        \
  }

#define ATTENTION_NAME  attention_d32
#define ATTENTION_D     32
#define ATTENTION_TILE  64, 64, 2, 128, 25600
#define ATTENTION_SCALE args.scale
#define ATTENTION_TYPE  bf16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
HOLES(attention_d32, 32, pack_bf16)
#include "attention_sm80.cu"

#define ATTENTION_NAME  attention_d96
#define ATTENTION_D     96
#define ATTENTION_TILE  64, 64, 2, 128, 66560
#define ATTENTION_SCALE args.scale
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
HOLES(attention_d96, 96, pack_f16)
#include "attention_sm80.cu"

#define ATTENTION_NAME  attention_d128
#define ATTENTION_D     128
#define ATTENTION_TILE  64, 64, 2, 128, 81920
#define ATTENTION_SCALE 1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
HOLES(attention_d128, 128, pack_f16)
SCORE(attention_d128)
#include "attention_sm80.cu"

#define ATTENTION_NAME  attention_d64_sm90
#define ATTENTION_D     64
#define ATTENTION_TILE  128, 128, 2, 384, 81992
#define ATTENTION_SCALE args.scale
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
HOLES(attention_d64_sm90, 64, pack_f16)
#include "attention_sm90.cu"

#define ATTENTION_NAME  attention_d128_sm90
#define ATTENTION_D     128
#define ATTENTION_TILE  128, 128, 2, 384, 163912
#define ATTENTION_SCALE args.scale
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
HOLES(attention_d128_sm90, 128, pack_f16)
#include "attention_sm90.cu"

#define ATTENTION_NAME  attention_d64_sm90_masked
#define ATTENTION_D     64
#define ATTENTION_TILE  128, 64, 2, 384, 49224
#define ATTENTION_SCALE 1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
HOLES(attention_d64_sm90_masked, 64, pack_f16)
SCORE(attention_d64_sm90_masked)
#include "attention_sm90.cu"

#define ATTENTION_NAME  attention_d128_sm90_masked
#define ATTENTION_D     128
#define ATTENTION_TILE  128, 64, 2, 384, 98376
#define ATTENTION_SCALE 1
#define ATTENTION_SCORE
#define ATTENTION_TYPE  f16
#define ATTENTION_WIDTH 8
#define ATTENTION_BEGIN
HOLES(attention_d128_sm90_masked, 128, pack_f16)
SCORE(attention_d128_sm90_masked)
#include "attention_sm90.cu"
