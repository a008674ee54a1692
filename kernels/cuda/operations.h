/* What the operations of the Loop IR mean, for kernel text that is printed from it (compiler/emit/cuda_text.c): the
 * column `defined` of compiler/graph/ops.def, to the bit. Compile it without contraction (--fmad=false): fma is written
 * where it is meant. */
#ifndef SINTER_OPERATIONS_H
#define SINTER_OPERATIONS_H
#include "vocabulary.h"

/* bits */
DEVICE u64 f64_bits(double x) {
  u64 y;
  memcpy(&y, &x, 8);
  return y;
}
DEVICE double bits_f64(u64 x) {
  double y;
  memcpy(&y, &x, 8);
  return y;
}
DEVICE bf16 bits_bf16(u32 x) {
  bf16 y;
  y.bits = (u16)x;
  return y;
}
DEVICE f16 bits_f16(u32 x) {
  f16 y;
  y.bits = (u16)x;
  return y;
}

/* max and min: a where it wins or is NaN, else b */
#define LOOP_EXTREMES(name, type, a_is_nan)                                                                            \
  DEVICE type max_##name(type a, type b) { return a > b || a_is_nan ? a : b; }                                         \
  DEVICE type min_##name(type a, type b) { return a < b || a_is_nan ? a : b; }
LOOP_EXTREMES(f32, float, a != a)
LOOP_EXTREMES(f64, double, a != a)
LOOP_EXTREMES(i32, i32, 0)
LOOP_EXTREMES(i64, i64, 0)
LOOP_EXTREMES(u32, u32, 0)

/* Integers: sums and products wrap, x / 0 is 0, shifts beyond the width give 0 or the sign; // and % floor, and are 0
 * for a divisor 0, which only inactive lanes have. */
#define LOOP_INTEGER(name, type, wide, bits)                                                                           \
  DEVICE type add_##name(type a, type b) { return (type)((wide)a + (wide)b); }                                         \
  DEVICE type sub_##name(type a, type b) { return (type)((wide)a - (wide)b); }                                         \
  DEVICE type mul_##name(type a, type b) { return (type)((wide)a * (wide)b); }                                         \
  DEVICE type shl_##name(type a, type b) { return b < 0 || b >= bits ? 0 : (type)((wide)a << b); }                     \
  DEVICE type shr_##name(type a, type b) { return a >> (b < 0 || b >= bits ? bits - 1 : b); }
#define LOOP_SIGNED(name, type, wide, bits)                                                                            \
  LOOP_INTEGER(name, type, wide, bits)                                                                                 \
  DEVICE type neg_##name(type a) { return (type)(0 - (wide)a); }                                                       \
  DEVICE type abs_##name(type a) { return a < 0 ? neg_##name(a) : a; }                                                 \
  DEVICE type div_##name(type a, type b) { return b == 0 ? 0 : b == -1 ? neg_##name(a) : a / b; }                      \
  DEVICE type rem_##name(type a, type b) { return b == 0 || b == -1 ? 0 : a % b; }                                     \
  DEVICE type floor_div_##name(type a, type b) {                                                                       \
    return b == 0 ? 0 : b == -1 ? neg_##name(a) : a / b - (a % b != 0 && (a < 0) != (b < 0));                          \
  }                                                                                                                    \
  DEVICE type floor_mod_##name(type a, type b) {                                                                       \
    return b == 0 || b == -1 ? 0 : a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);                                 \
  }
LOOP_SIGNED(i32, i32, u32, 32)
LOOP_SIGNED(i64, i64, u64, 64)
#define LOOP_UNSIGNED(name, type, bits)                                                                                \
  DEVICE type add_##name(type a, type b) { return a + b; }                                                             \
  DEVICE type sub_##name(type a, type b) { return a - b; }                                                             \
  DEVICE type mul_##name(type a, type b) { return a * b; }                                                             \
  DEVICE type shl_##name(type a, type b) { return b >= bits ? 0 : a << b; }                                            \
  DEVICE type shr_##name(type a, type b) { return b >= bits ? 0 : a >> b; }
LOOP_UNSIGNED(u32, u32, 32)
LOOP_UNSIGNED(u64, u64, 64)
DEVICE u32 mulhi_u32(u32 a, u32 b) { return (u32)((u64)a * b >> 32); }

/* Floats to integers truncate and saturate; NaN is 0. The bounds are exact in either float type but the upper one,
 * which is the first number beyond. */
#define LOOP_SATURATE(to, type, from, real, least, beyond, most)                                                       \
  DEVICE type from##_to_##to(real x) { return x != x ? 0 : x >= beyond ? most : x <= least ? (type)least : (type)x; }
LOOP_SATURATE(i32, i32, f32, float, -2147483648.0f, 2147483648.0f, 2147483647)
LOOP_SATURATE(i32, i32, f64, double, -2147483648.0, 2147483647.0, 2147483647)
LOOP_SATURATE(i64, i64, f32, float, -9223372036854775808.0f, 9223372036854775808.0f, 9223372036854775807)
LOOP_SATURATE(i64, i64, f64, double, -9223372036854775808.0, 9223372036854775808.0, 9223372036854775807)
LOOP_SATURATE(u32, u32, f32, float, 0.0f, 4294967296.0f, 4294967295u)
LOOP_SATURATE(u32, u32, f64, double, 0.0, 4294967295.0, 4294967295u)

/* The failures of a call: how many there were, then how many of each code from 1. */
DEVICE void fail_with(u32 *failed, int code) {
  atomicAdd(failed + code, 1u);
  atomicAdd(failed, 1u);
}

/* 16 bytes a thread of a line of blocks, by one access where both sides lie so. */
DEVICE void copy_bytes(u8 *to, const u8 *from, i64 bytes) {
  i64 at = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * 16;
  if (at + 16 <= bytes && ((u64)to | (u64)from) % 16 == 0) {
    *(Vec4 *)(to + at) = *(const Vec4 *)(from + at);
    return;
  }
  for (int i = 0; i < 16 && at + i < bytes; i++) to[at + i] = from[at + i];
}
#endif
