/* A kernel for what the kernels of kernels/cuda do not use: test_instructions.c checks each. One block. */
#include "vocabulary.h"

/* ---- numbers ---- */

KERNEL(to_f16, 256, 1, (f16 *, out), (const float *, in), (i32, n)) {
  for (i32 i = (i32)threadIdx.x; i < n; i += (i32)blockDim.x) out[i] = f32_to_f16(in[i]);
}

KERNEL(from_f16, 256, 1, (float *, out), (const f16 *, in), (i32, n)) {
  for (i32 i = (i32)threadIdx.x; i < n; i += (i32)blockDim.x)
    out[i] = i % 2 ? f16_to_f32(in[i]) : low_f16(pack_f16(f16_to_f32(in[i]), 0)); /* even ones through a pair */
}

KERNEL(to_tf32, 256, 1, (u32 *, out), (const float *, in), (i32, n)) {
  for (i32 i = (i32)threadIdx.x; i < n; i += (i32)blockDim.x) out[i] = f32_to_tf32(in[i]);
}

KERNEL(approximate, 32, 1, (float *, out), (const float *, in)) {
  float x = in[threadIdx.x], *to = out + threadIdx.x * 5;
  to[0] = ex2_approx(x), to[1] = lg2_approx(x), to[2] = rcp_approx(x), to[3] = rsqrt_approx(x), to[4] = tanh_approx(x);
}

KERNEL(parameters, 1, 1, (u32 *, out), (u8, a), (i8, b), (u16, c), (i16, d), (u32, e), (i32, f), (u64, g), (i64, h),
       (float, i), (double, j), (bf16, k), (f16, l), (i32, m), (i32, n), (i32, o), (i32, p), (i32, q)) {
  out[0] = __umulhi((u32)a << 24, (u32)(i32)b) + c + (u32)(i32)d + e + (u32)f + (u32)g + (u32)h;
  out[1] = (u32)__float_as_int(__int_as_float(__float_as_int(i)));
  out[2] = (u32)(__double_as_longlong(__longlong_as_double(__double_as_longlong(j))) >> 32);
  out[3] = (u32)k.bits << 16 | l.bits;
  out[4] = (u32)(m + 10 * n + 100 * o + 1000 * p + 10000 * q);
}

/* ---- memory ---- */

KERNEL(pairs, 32, 1, (u32 *, out), (const u32 *, in)) { /* words 2t and 2t + 1, exchanged on the second way */
  u32 at = threadIdx.x * 2;
  Vec2 a = ld_global_v2(in + at), b = ld_global_nc_v2(in + at), c = {b.y, b.x};
  st_global_v2(out + at, a);
  st_global_v2(out + 64 + at, c);
}

/* ---- warps and barriers ---- */

KERNEL(shuffles, 32, 1, (i32 *, out)) {
  i32 t = (i32)threadIdx.x, *to = out + t * 5;
  to[0] = __shfl_sync(ALL_LANES, t, 7);
  to[1] = __shfl_up_sync(ALL_LANES, t, 3);
  to[2] = __shfl_down_sync(ALL_LANES, t, 3);
  to[3] = __shfl_xor_sync(ALL_LANES, t, 5);
  to[4] = t < 8 ? __shfl_xor_sync(0xffu, t, 1) : -1;
  if (t < 8) __syncwarp(0xffu);
}

/* Warp 0 hands the numbers on to warp 1, which waits for them; warp 0 waits only before it overwrites them. */
KERNEL(handover, 64, 1, (u32 *, out), (i32, rounds)) {
  SHARED(shared);
  u32 slot = shared_address(shared) + (threadIdx.x & 31) * 4;
  for (i32 i = 0; i < rounds; i++) {
    if (threadIdx.x < 32) {
      if (i) bar_sync(2, 64);
      st_shared_u32(slot, (u32)i * 32 + threadIdx.x);
      bar_arrive(1, 64);
    } else {
      bar_sync(1, 64);
      out[i * 32 + (i32)(threadIdx.x & 31)] = ld_shared_u32(slot);
      if (i + 1 < rounds) bar_arrive(2, 64);
    }
  }
}

/* ---- ldmatrix, stmatrix: 4 matrices of 8x8; what: bit 0 stores, bit 1 loads transposed ---- */

KERNEL(matrices, 32, 1, (u32 *, out), (const u32 *, in), (i32, what)) {
  SHARED(shared);
  u32 row = shared_address(shared) + threadIdx.x * 16, r[4], t = threadIdx.x;
  UNROLL (i, 4) r[i] = in[i * 32 + (i32)t];
  if (what & 1)
    stmatrix_x4_trans(row, r);
  else
    stmatrix_x4(row, r);
  __syncwarp();
  UNROLL (i, 4) out[i * 32 + (i32)t] = ld_shared_u32(row + (u32)i * 4); /* the bytes as they lie */
  if (what & 2)
    ldmatrix_x4_trans(r, row);
  else
    ldmatrix_x4(r, row);
  UNROLL (i, 4) out[128 + i * 32 + (i32)t] = r[i];
}

KERNEL(bank_conflicts, 32, 1, (u32 *, out)) { /* the 8 rows of each matrix lie in one bank, 128 bytes apart */
  SHARED(shared);
  u32 r[4], base = shared_address(shared);
  UNROLL (i, 8) st_shared_u32(base + (threadIdx.x + (u32)i * 32) * 4, 0);
  __syncwarp();
  ldmatrix_x4(r, base + threadIdx.x % 8 * 128);
  out[threadIdx.x] = r[0] | r[1] | r[2] | r[3];
}

/* ---- products: a[m][k] and b[n][k] of 16-bit or 32-bit elements, d[m][n] ---- */

#define MMA(name, K, multiply)                                                                                         \
  KERNEL(name, 32, 1, (float *, d), (const u32 *, a), (const u32 *, b)) { /* a, b: 16 and 8 rows of 8 registers */     \
    int g = (int)threadIdx.x / 4, t = (int)threadIdx.x % 4;                                                            \
    u32 fa[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};                          \
    u32 fb[2] = {b[g * 8 + t], b[g * 8 + t + 4]};                                                                      \
    float fd[4] = {1, 1, 1, 1};                                                                                        \
    multiply(fd, fa, fb);                                                                                              \
    UNROLL (i, 4) d[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = fd[i];                                                      \
  }
MMA(mma_bf16, 16, mma_m16n8k16_bf16)
MMA(mma_f16, 16, mma_m16n8k16_f16)
MMA(mma_tf32, 8, mma_m16n8k8_tf32)

/* An operand in[rows][128 bytes], swizzled: rows along k, or (mn) lines of 64 elements along m or n. */
DEVICE void place_operand(u32 to, const u32 *in, int rows, bool mn) {
  for (int i = (int)threadIdx.x; i < rows * 32; i += 128)
    if (mn) { /* two rows, one k */
      int r = i / 64 * 2, k = i % 64, shift = k % 2 * 16;
      u32 pair = (in[r * 32 + k / 2] >> shift & 0xffff) | (in[r * 32 + 32 + k / 2] >> shift & 0xffff) << 16;
      st_shared_u32(to + (u32)(r / 64 * 8192 + k * 128 + ((r % 64 / 8 ^ (k & 7)) << 4) + r % 8 * 2), pair);
    } else {
      int r = i / 32, word = i % 32;
      st_shared_u32(to + (u32)(r * 128 + ((word / 4 ^ (r & 7)) << 4) + word % 4 * 4), in[i]);
    }
}

#define WGMMA(name, n, a_mn, b_mn, issue)                                                                              \
  KERNEL(name, 128, 1, (float *, out), (const u32 *, a), (const u32 *, b)) {                                           \
    SHARED(shared);                                                                                                    \
    u32 a_tile = shared_address(shared), b_tile = a_tile + 8192, fa[16];                                               \
    int lane = (int)threadIdx.x % 32, row = (int)threadIdx.x / 32 * 16 + lane / 4;                                     \
    float d[n / 2];                                                                                                    \
    place_operand(a_tile, a, 64, a_mn);                                                                                \
    place_operand(b_tile, b, n, b_mn);                                                                                 \
    fence_proxy_async();                                                                                               \
    __syncthreads();                                                                                                   \
    UNROLL (i, 16) fa[i] = a[(row + i % 2 * 8) * 32 + i / 4 * 8 + lane % 4 + i % 4 / 2 * 4];                           \
    UNROLL (i, n / 2) d[i] = 1; /* is not read: accumulate is 0 at first */                                            \
    wgmma_fence();                                                                                                     \
    UNROLL (k, 4) {                                                                                                    \
      u64 da = a_mn ? wgmma_mn_major(a_tile + k * 2048, 8192) : wgmma_k_major(a_tile + k * 32);                        \
      u64 db = b_mn ? wgmma_mn_major(b_tile + k * 2048, 8192) : wgmma_k_major(b_tile + k * 32);                        \
      (void)da, (void)fa[k];                                                                                           \
      issue;                                                                                                           \
    }                                                                                                                  \
    wgmma_commit();                                                                                                    \
    wgmma_wait(0);                                                                                                     \
    wgmma_hold(d, n / 2);                                                                                              \
    UNROLL (i, n / 2) out[(row + i / 2 % 2 * 8) * n + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];                        \
  }
WGMMA(wgmma_bf16_8, 8, false, false, wgmma_bf16(8, d, da, db, k > 0, 0, 0))
WGMMA(wgmma_f16_64, 64, false, false, wgmma_f16(64, d, da, db, k > 0, 0, 0))
WGMMA(wgmma_tf32_16, 16, false, false, wgmma_tf32(16, d, da, db, k > 0))
WGMMA(wgmma_bf16_mn_128, 128, true, true, wgmma_bf16(128, d, da, db, k > 0, 1, 1))
WGMMA(wgmma_f16_mn_192, 192, true, false, wgmma_f16(192, d, da, db, k > 0, 1, 0))
WGMMA(wgmma_regs_256, 256, false, true, wgmma_regs_f16(256, d, fa + k * 4, db, k > 0, 1))

/* ---- TMA: a box comes to shared memory, is shown as it lies there, and goes to another tensor ---- */

KERNEL(load_without_wait, 32, 1, (TENSOR_MAP, from), (i32, what)) {
  SHARED(shared);
  u32 box = shared_address(shared), barrier = box + 1024;
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    if (what == 1) st_shared_u32(barrier + 4, 0); /* overwrites it */
    mbarrier_arrive_expect_tx(barrier, 1024);
    tma_load_2d(box, &from, barrier, 0, 0);
  }
}

#define TMA_COPY(name, load, store)                                                                                    \
  KERNEL(name, 32, 1, (TENSOR_MAP, from), (TENSOR_MAP, to), (u32 *, raw), (u32, bytes), (i32, x), (i32, y)) {          \
    SHARED(shared);                                                                                                    \
    u32 box = shared_address(shared), barrier = box + bytes;                                                           \
    if (threadIdx.x == 0) {                                                                                            \
      mbarrier_init(barrier, 1);                                                                                       \
      fence_mbarrier_init();                                                                                           \
      mbarrier_arrive_expect_tx(barrier, bytes);                                                                       \
      load;                                                                                                            \
    }                                                                                                                  \
    __syncthreads();                                                                                                   \
    mbarrier_wait(barrier, 0);                                                                                         \
    for (u32 i = threadIdx.x * 4; i < bytes; i += 128) raw[i / 4] = ld_shared_u32(box + i);                            \
    if (threadIdx.x == 0) {                                                                                            \
      store;                                                                                                           \
      bulk_commit();                                                                                                   \
      bulk_wait(0);                                                                                                    \
    }                                                                                                                  \
  }
TMA_COPY(tma_copy_2d, tma_load_2d(box, &from, barrier, x, y), tma_store_2d(&to, box, x, y))
TMA_COPY(tma_copy_3d, tma_load_3d(box, &from, barrier, x, y, 1), tma_store_3d(&to, box, x, y, 1))
TMA_COPY(tma_copy_4d, tma_load_4d(box, &from, barrier, x, y, 1, -1), tma_store_4d(&to, box, x, y, 1, -1))
