/* The vocabulary that all kernel text is written in: one text, two readings.
 *   NVRTC and nvcc: inline PTX. No include path and no header of NVIDIA's is needed; sm_80 or later, the parts marked
 *     sm_90 and sm_90a only where the text uses them.
 *   gcc and clang as C (gnu17, -fno-strict-aliasing): calls of the emulator in kernels/emulator, a fiber a thread.
 * Names: an operation is called after its PTX instruction, dots as underscores, fixed qualifiers left out; CUDA's own
 * names (threadIdx, __syncthreads, __shfl_xor_sync, atomicAdd, ...) are used as they are. In brackets stands the
 * section of the PTX ISA (9.0, chapter 9.7) that defines the instruction, by title: its numbers move between versions.
 * Kernel text keeps to the common subset of C and CUDA C++: no templates, no references, constants as enum or #define.
 * Shared memory is addressed by 32-bit numbers, converted once from the base (shared_address): NVRTC computes with
 * 64-bit pointers otherwise. Arguments written `literal` must be integer constants in the text. */
#ifndef SINTER_VOCABULARY_H
#define SINTER_VOCABULARY_H

/* m(0, p0), m(0 + 1, p1), ...: up to 32 arguments */
#define EACH_1(m, i, p)       m(i, p)
#define EACH_2(m, i, p, ...)  m(i, p), EACH_1(m, i + 1, __VA_ARGS__)
#define EACH_3(m, i, p, ...)  m(i, p), EACH_2(m, i + 1, __VA_ARGS__)
#define EACH_4(m, i, p, ...)  m(i, p), EACH_3(m, i + 1, __VA_ARGS__)
#define EACH_5(m, i, p, ...)  m(i, p), EACH_4(m, i + 1, __VA_ARGS__)
#define EACH_6(m, i, p, ...)  m(i, p), EACH_5(m, i + 1, __VA_ARGS__)
#define EACH_7(m, i, p, ...)  m(i, p), EACH_6(m, i + 1, __VA_ARGS__)
#define EACH_8(m, i, p, ...)  m(i, p), EACH_7(m, i + 1, __VA_ARGS__)
#define EACH_9(m, i, p, ...)  m(i, p), EACH_8(m, i + 1, __VA_ARGS__)
#define EACH_10(m, i, p, ...) m(i, p), EACH_9(m, i + 1, __VA_ARGS__)
#define EACH_11(m, i, p, ...) m(i, p), EACH_10(m, i + 1, __VA_ARGS__)
#define EACH_12(m, i, p, ...) m(i, p), EACH_11(m, i + 1, __VA_ARGS__)
#define EACH_13(m, i, p, ...) m(i, p), EACH_12(m, i + 1, __VA_ARGS__)
#define EACH_14(m, i, p, ...) m(i, p), EACH_13(m, i + 1, __VA_ARGS__)
#define EACH_15(m, i, p, ...) m(i, p), EACH_14(m, i + 1, __VA_ARGS__)
#define EACH_16(m, i, p, ...) m(i, p), EACH_15(m, i + 1, __VA_ARGS__)
#define EACH_17(m, i, p, ...) m(i, p), EACH_16(m, i + 1, __VA_ARGS__)
#define EACH_18(m, i, p, ...) m(i, p), EACH_17(m, i + 1, __VA_ARGS__)
#define EACH_19(m, i, p, ...) m(i, p), EACH_18(m, i + 1, __VA_ARGS__)
#define EACH_20(m, i, p, ...) m(i, p), EACH_19(m, i + 1, __VA_ARGS__)
#define EACH_21(m, i, p, ...) m(i, p), EACH_20(m, i + 1, __VA_ARGS__)
#define EACH_22(m, i, p, ...) m(i, p), EACH_21(m, i + 1, __VA_ARGS__)
#define EACH_23(m, i, p, ...) m(i, p), EACH_22(m, i + 1, __VA_ARGS__)
#define EACH_24(m, i, p, ...) m(i, p), EACH_23(m, i + 1, __VA_ARGS__)
#define EACH_25(m, i, p, ...) m(i, p), EACH_24(m, i + 1, __VA_ARGS__)
#define EACH_26(m, i, p, ...) m(i, p), EACH_25(m, i + 1, __VA_ARGS__)
#define EACH_27(m, i, p, ...) m(i, p), EACH_26(m, i + 1, __VA_ARGS__)
#define EACH_28(m, i, p, ...) m(i, p), EACH_27(m, i + 1, __VA_ARGS__)
#define EACH_29(m, i, p, ...) m(i, p), EACH_28(m, i + 1, __VA_ARGS__)
#define EACH_30(m, i, p, ...) m(i, p), EACH_29(m, i + 1, __VA_ARGS__)
#define EACH_31(m, i, p, ...) m(i, p), EACH_30(m, i + 1, __VA_ARGS__)
#define EACH_32(m, i, p, ...) m(i, p), EACH_31(m, i + 1, __VA_ARGS__)
#define EACH_COUNT_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21,    \
                    a22, a23, a24, a25, a26, a27, a28, a29, a30, a31, a32, count, ...)                                 \
  count
#define EACH_COUNT(...)                                                                                                \
  EACH_COUNT_(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, \
              9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define EACH_CALL(f, m, ...)   f(m, 0, __VA_ARGS__)
#define EACH_NAME_(n)          EACH_##n
#define EACH_NAME(n)           EACH_NAME_(n)
#define EACH(m, ...)           EACH_CALL(EACH_NAME(EACH_COUNT(__VA_ARGS__)), m, __VA_ARGS__)
#define PARAMETER_(type, name) type name
#define PARAMETER(i, p)        PARAMETER_ p

/* KERNEL(name, most threads a block, least blocks a multiprocessor, (type, parameter), ...) { body } */

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)

#define _Static_assert static_assert
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef struct {
  u16 bits;
} bf16;
typedef struct {
  u16 bits;
} f16;
typedef struct __align__(16) {
  u32 x, y, z, w;
} Vec4; /* 16 bytes: what one load or store of a thread moves */
typedef struct __align__(8) {
  u32 x, y;
} Vec2;
typedef struct __align__(64) {
  u64 word[16];
} TensorMap; /* cuTensorMapEncodeTiled fills it */

#define KERNEL(name, threads, blocks, ...)                                                                             \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(EACH(PARAMETER, __VA_ARGS__))
#define DEVICE       static __device__ __forceinline__
#define TENSOR_MAP   const __grid_constant__ TensorMap /* the type of a kernel's parameter, used by its address */
#define CONSTANT     const __grid_constant__           /* before the type of a parameter that is indexed */
#define SHARED(name) extern __shared__ __align__(1024) u8 name[] /* the block's dynamic shared memory */
/* for (int i = 0; i < n; i++), unrolled: what keeps arrays in registers */
#define UNROLL(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)
/* before a loop: it stays one */
#define ROLLED    _Pragma("unroll 1")
#define ALL_LANES 0xffffffffu

/* ---- numbers [Data Movement and Conversion: cvt] [Floating Point: ex2, lg2, rcp, rsqrt, tanh] ---- */

DEVICE float bf16_to_f32(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
DEVICE bf16 f32_to_bf16(float x) {
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
DEVICE float f16_to_f32(f16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
DEVICE f16 f32_to_f16(float x) {
  f16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
/* two in one register, the first in the low half */
DEVICE u32 pack_bf16(float low, float high) {
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
DEVICE u32 pack_f16(float low, float high) {
  u32 y;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
DEVICE float low_bf16(u32 x) { return __uint_as_float(x << 16); }
DEVICE float high_bf16(u32 x) { return __uint_as_float(x & 0xffff0000u); }
DEVICE float low_f16(u32 x) {
  f16 y;
  y.bits = (u16)x;
  return f16_to_f32(y);
}
DEVICE float high_f16(u32 x) {
  f16 y;
  y.bits = (u16)(x >> 16);
  return f16_to_f32(y);
}
DEVICE u32 f32_to_tf32(float x) { /* 10 bits of mantissa, ties away from zero; the low 13 bits are zero */
  u32 y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y & 0xffffe000u;
}
#define APPROXIMATE(name, instruction)                                                                                 \
  DEVICE float name(float x) {                                                                                         \
    float y;                                                                                                           \
    asm(instruction " %0, %1;" : "=f"(y) : "f"(x));                                                                    \
    return y;                                                                                                          \
  }
APPROXIMATE(ex2_approx, "ex2.approx.ftz.f32")
APPROXIMATE(lg2_approx, "lg2.approx.ftz.f32")
APPROXIMATE(rcp_approx, "rcp.approx.ftz.f32")
APPROXIMATE(rsqrt_approx, "rsqrt.approx.ftz.f32")
APPROXIMATE(tanh_approx, "tanh.approx.f32")

/* ---- memory [Data Movement: ld, ld.global.nc, st, cvta]; addresses are multiples of the size ---- */

DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }
DEVICE Vec4 ld_global_v4(const void *p) {
  Vec4 v;
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p)
               : "memory");
  return v;
}
DEVICE Vec4 ld_global_nc_v4(const void *p) { /* of what nothing writes while the kernel runs; read once */
  Vec4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}
DEVICE void st_global_v4(void *p, Vec4 v) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
DEVICE Vec2 ld_global_v2(const void *p) {
  Vec2 v;
  asm volatile("ld.global.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p) : "memory");
  return v;
}
DEVICE Vec2 ld_global_nc_v2(const void *p) {
  Vec2 v;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
  return v;
}
DEVICE void st_global_v2(void *p, Vec2 v) {
  asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(v.x), "r"(v.y) : "memory");
}
DEVICE u32 ld_shared_u32(u32 p) {
  u32 v;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(p) : "memory");
  return v;
}
DEVICE float ld_shared_f32(u32 p) { return __uint_as_float(ld_shared_u32(p)); }
DEVICE Vec4 ld_shared_v4(u32 p) {
  Vec4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(p)
               : "memory");
  return v;
}
DEVICE void st_shared_u32(u32 p, u32 v) { asm volatile("st.shared.u32 [%0], %1;" ::"r"(p), "r"(v) : "memory"); }
DEVICE void st_shared_f32(u32 p, float v) { st_shared_u32(p, __float_as_uint(v)); }
DEVICE void st_shared_v2(u32 p, u32 x, u32 y) {
  asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(p), "r"(x), "r"(y) : "memory");
}
DEVICE void st_shared_v4(u32 p, Vec4 v) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

/* ---- named barriers [Parallel Synchronization: barrier]: id 1 to 15 (0 is __syncthreads); threads: a multiple of 32,
 * those that come ---- */

DEVICE void bar_sync(u32 id, u32 threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
DEVICE void bar_arrive(u32 id, u32 threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

/* ---- [Data Movement, Asynchronous copy: cp.async]: 16 bytes from global to shared memory; of them `bytes` are read,
 * the rest is zero ---- */

DEVICE void cp_async_16(u32 to, const void *from, u32 bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
DEVICE void cp_async_commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* waits until at most `literal` of this thread's groups are under way */
#define cp_async_wait(literal) asm volatile("cp.async.wait_group %0;" ::"n"(literal) : "memory")

/* ---- [Warp-level Matrix: ldmatrix, stmatrix (sm_90)]: 8x8 matrices of 16-bit elements. Lanes 8i to 8i+7 give
 * the addresses of the rows of matrix i; lane l gets elements 2(l%4) and 2(l%4)+1 of row l/4 (trans: of column l/4)
 * ---- */

DEVICE void ldmatrix_x4(u32 *r, u32 row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
DEVICE void ldmatrix_x4_trans(u32 *r, u32 row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
DEVICE void stmatrix_x4(u32 row, const u32 *r) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(r[0]), "r"(r[1]),
               "r"(r[2]), "r"(r[3])
               : "memory");
}
DEVICE void stmatrix_x4_trans(u32 row, const u32 *r) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(r[0]),
               "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

/* ---- [Warp-level Matrix: mma, fragments of m16n8k16 and m16n8k8]: d[16][8] += a[16][K] b[K][8], sums in f32. With
 * g = lane / 4 and t = lane % 4 a lane's registers hold these (row, column):
 * - d: (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1)
 * - a of 16 bits, K is 16, the next column in the high half: (g, 2t), (g+8, 2t), (g, 2t+8), (g+8, 2t+8)
 * - b of 16 bits, the next row in the high half: (2t, g), (2t+8, g)
 * - a of tf32, K is 8: (g, t), (g+8, t), (g, t+4), (g+8, t+4); b: (t, g), (t+4, g) ---- */

#define MMA_SYNC(name, shape)                                                                                          \
  DEVICE void name(float *d, const u32 *a, const u32 *b) {                                                             \
    asm volatile("mma.sync.aligned." shape " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"          \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                  \
  }
MMA_SYNC(mma_m16n8k16_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MMA_SYNC(mma_m16n8k16_f16, "m16n8k16.row.col.f32.f16.f16.f32")
MMA_SYNC(mma_m16n8k8_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")

/* ---- [Parallel Synchronization: mbarrier] (sm_90): 8 bytes of shared memory. A phase ends when all arrivals and all
 * bytes expected have come; phases alternate between parity 0 (the first) and 1 ---- */

DEVICE void mbarrier_init(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
DEVICE void fence_mbarrier_init(void) { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVICE void mbarrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
DEVICE void mbarrier_arrive_expect_tx(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
/* until the phase of this parity has ended; on a fresh barrier parity 1 counts as ended */
DEVICE void mbarrier_wait(u32 barrier, u32 parity) {
  asm volatile("{\n.reg .pred done;\nAGAIN:\n"
               "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n"
               "@done bra.uni DONE;\nbra.uni AGAIN;\nDONE:\n}\n" ::"r"(barrier),
               "r"(parity)
               : "memory");
}

/* ---- "TMA" [Data Movement: cp.async.bulk.tensor, cp.async.bulk.wait_group] (sm_90): a box of a tensor map at
 * coordinates, innermost first. Loads end by taking their bytes off a barrier; what lies outside of the tensor is zero.
 * Stores form groups as cp.async does ---- */

#define TMA_LOAD "shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, "
DEVICE void tma_load_2d(u32 to, const TensorMap *map, u32 barrier, i32 x, i32 y) {
  asm volatile("cp.async.bulk.tensor.2d." TMA_LOAD "{%3, %4}], [%2];" ::"r"(to), "l"(map), "r"(barrier), "r"(x), "r"(y)
               : "memory");
}
DEVICE void tma_load_3d(u32 to, const TensorMap *map, u32 barrier, i32 x, i32 y, i32 z) {
  asm volatile("cp.async.bulk.tensor.3d." TMA_LOAD "{%3, %4, %5}], [%2];" ::"r"(to), "l"(map), "r"(barrier), "r"(x),
               "r"(y), "r"(z)
               : "memory");
}
DEVICE void tma_load_4d(u32 to, const TensorMap *map, u32 barrier, i32 x, i32 y, i32 z, i32 w) {
  asm volatile("cp.async.bulk.tensor.4d." TMA_LOAD "{%3, %4, %5, %6}], [%2];" ::"r"(to), "l"(map), "r"(barrier), "r"(x),
               "r"(y), "r"(z), "r"(w)
               : "memory");
}
DEVICE void tma_store_2d(const TensorMap *map, u32 from, i32 x, i32 y) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map), "r"(from),
               "r"(x), "r"(y)
               : "memory");
}
DEVICE void tma_store_3d(const TensorMap *map, u32 from, i32 x, i32 y, i32 z) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map), "r"(from),
               "r"(x), "r"(y), "r"(z)
               : "memory");
}
DEVICE void tma_store_4d(const TensorMap *map, u32 from, i32 x, i32 y, i32 z, i32 w) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(map),
               "r"(from), "r"(x), "r"(y), "r"(z), "r"(w)
               : "memory");
}
DEVICE void bulk_commit(void) { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/* until all but `literal` groups are written; _read: until their shared memory has been read and may be overwritten */
#define bulk_wait(literal)      asm volatile("cp.async.bulk.wait_group %0;" ::"n"(literal) : "memory")
#define bulk_wait_read(literal) asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(literal) : "memory")
/* orders this thread's ordinary accesses of shared memory, and those it knows of, before TMA and wgmma [membar, fence]
 */
DEVICE void fence_proxy_async(void) { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/* ---- [Asynchronous Warpgroup-level Matrix: wgmma] (sm_90a): 128 threads, d[64][n] += a[64][k] b[k][n], in groups as
 * cp.async. Lane l of warp w holds in d[2i], d[2i+1]: row 16w + l/4 + 8(i%2), columns 8(i/2) + 2(l%4) and the next. n
 * is 8, 16, 32, 64, 80, 96, 128, 160, 176, 192 or 256. Descriptors [Matrix Descriptor Format] say where an operand lies
 * in shared memory; both layouts have the swizzle of 128 bytes:
 * - k-major: rows (of m or n) of 128 bytes, k along them, 8 rows every 1024 bytes; k advances by adding 32 bytes
 * - mn-major: lines (of k) of 64 elements of m or n, 8 lines every 1024 bytes, the next 64 elements `stride` bytes on
 * ---- */

DEVICE u64 wgmma_k_major(u32 p) { return (u64)((p & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62; }
DEVICE u64 wgmma_mn_major(u32 p, u32 stride) {
  return (u64)((p & 0x3ffff) >> 4) | (u64)(stride >> 4) << 16 | (u64)64 << 32 | (u64)1 << 62;
}
DEVICE void wgmma_fence(void) { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_commit(void) { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
#define wgmma_wait(literal) asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(literal) : "memory")
/* No use of d[0] to d[n-1] is moved across this by the compiler: after wgmma_wait, which does not name them. */
#define wgmma_hold(d, n)                                                                                               \
  do {                                                                                                                 \
    UNROLL (hold_, n) asm volatile("" : "+f"((d)[hold_])::"memory");                                                   \
  } while (0)

/* The register lists: decades of operand numbers and of array elements, the table of what each n takes of them. */
#define REG_2(t)     "%" #t "0, %" #t "1"
#define REG_4(t)     REG_2(t) ", %" #t "2, %" #t "3"
#define REG_6(t)     REG_4(t) ", %" #t "4, %" #t "5"
#define REG_8(t)     REG_6(t) ", %" #t "6, %" #t "7"
#define REG_10(t)    REG_8(t) ", %" #t "8, %" #t "9"
#define ACC_2(d, t)  "+f"((d)[t##0]), "+f"((d)[t##1])
#define ACC_4(d, t)  ACC_2(d, t), "+f"((d)[t##2]), "+f"((d)[t##3])
#define ACC_6(d, t)  ACC_4(d, t), "+f"((d)[t##4]), "+f"((d)[t##5])
#define ACC_8(d, t)  ACC_6(d, t), "+f"((d)[t##6]), "+f"((d)[t##7])
#define ACC_10(d, t) ACC_8(d, t), "+f"((d)[t##8]), "+f"((d)[t##9])
#define REG_40       REG_10() ", " REG_10(1) ", " REG_10(2) ", " REG_10(3)
#define ACC_40(d)    ACC_10(d, ), ACC_10(d, 1), ACC_10(d, 2), ACC_10(d, 3)
#define REG_80       REG_40 ", " REG_10(4) ", " REG_10(5) ", " REG_10(6) ", " REG_10(7)
#define ACC_80(d)    ACC_40(d), ACC_10(d, 4), ACC_10(d, 5), ACC_10(d, 6), ACC_10(d, 7)
/* WGMMA_n: the registers, the accumulators, the numbers of the operands that follow them */
#define WGMMA_8(d)  REG_4(), (ACC_4(d, )), 4, 5, 6, 7, 8, 9, 10
#define WGMMA_16(d) REG_8(), (ACC_8(d, )), 8, 9, 10, 11, 12, 13, 14
#define WGMMA_32(d) REG_10() ", " REG_6(1), (ACC_10(d, ), ACC_6(d, 1)), 16, 17, 18, 19, 20, 21, 22
#define WGMMA_64(d)                                                                                                    \
  REG_10()                                                                                                             \
  ", " REG_10(1) ", " REG_10(2) ", " REG_2(3), (ACC_10(d, ), ACC_10(d, 1), ACC_10(d, 2), ACC_2(d, 3)), 32, 33, 34, 35, \
      36, 37, 38
#define WGMMA_80(d) REG_40, (ACC_40(d)), 40, 41, 42, 43, 44, 45, 46
#define WGMMA_96(d) REG_40 ", " REG_8(4), (ACC_40(d), ACC_8(d, 4)), 48, 49, 50, 51, 52, 53, 54
#define WGMMA_128(d)                                                                                                   \
  REG_40 ", " REG_10(4) ", " REG_10(5) ", " REG_4(6), (ACC_40(d), ACC_10(d, 4), ACC_10(d, 5), ACC_4(d, 6)), 64, 65,    \
      66, 67, 68, 69, 70
#define WGMMA_160(d) REG_80, (ACC_80(d)), 80, 81, 82, 83, 84, 85, 86
#define WGMMA_176(d) REG_80 ", " REG_8(8), (ACC_80(d), ACC_8(d, 8)), 88, 89, 90, 91, 92, 93, 94
#define WGMMA_192(d)                                                                                                   \
  REG_80 ", " REG_10(8) ", " REG_6(9), (ACC_80(d), ACC_10(d, 8), ACC_6(d, 9)), 96, 97, 98, 99, 100, 101, 102
#define WGMMA_256(d)                                                                                                   \
  REG_80 ", " REG_10(8) ", " REG_10(9) ", " REG_10(10) ", " REG_10(11) ", " REG_8(12),                                 \
      (ACC_80(d), ACC_10(d, 8), ACC_10(d, 9), ACC_10(d, 10), ACC_10(d, 11), ACC_8(d, 12)), 128, 129, 130, 131, 132,    \
      133, 134
#define WGMMA_LIST(...) __VA_ARGS__
#define WGMMA_BEGIN(accumulate, shape, regs)                                                                           \
  "{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, %" #accumulate ", 0;\nwgmma.mma_async.sync.aligned." shape       \
  " {" regs "}, "
#define WGMMA_SS_(shape, a, b, acc, a_mn, b_mn, regs, list, i0, i1, i2, i3, i4, i5, i6)                                \
  asm volatile(WGMMA_BEGIN(i2, shape, regs) "%" #i0 ", %" #i1 ", accumulate, 1, 1, %" #i3 ", %" #i4 ";\n}\n"           \
               : WGMMA_LIST list                                                                                       \
               : "l"(a), "l"(b), "r"((u32)(acc)), "n"(a_mn), "n"(b_mn))
#define WGMMA_RS_(shape, a, b, acc, b_mn, regs, list, i0, i1, i2, i3, i4, i5, i6)                                      \
  asm volatile(WGMMA_BEGIN(i5, shape, regs) "{%" #i0 ", %" #i1 ", %" #i2 ", %" #i3 "}, %" #i4                          \
                                            ", accumulate, 1, 1, %" #i6 ";\n}\n"                                       \
               : WGMMA_LIST list                                                                                       \
               : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b), "r"((u32)(acc)), "n"(b_mn))
#define WGMMA_TF32_(shape, a, b, acc, regs, list, i0, i1, i2, i3, i4, i5, i6)                                          \
  asm volatile(WGMMA_BEGIN(i2, shape, regs) "%" #i0 ", %" #i1 ", accumulate, 1, 1;\n}\n"                               \
               : WGMMA_LIST list                                                                                       \
               : "l"(a), "l"(b), "r"((u32)(acc)))
#define WGMMA_SS(...)   WGMMA_SS_(__VA_ARGS__)
#define WGMMA_RS(...)   WGMMA_RS_(__VA_ARGS__)
#define WGMMA_TF32(...) WGMMA_TF32_(__VA_ARGS__)
#define WGMMA_ROW(n, d) WGMMA_##n(d)
#define WGMMA_TEXT_(n)  #n
#define WGMMA_TEXT(n)   WGMMA_TEXT_(n)
/* n literal; a and b descriptors; accumulate 0: d is not read; a_mn, b_mn literal: 1 where the layout is mn-major */
#define wgmma_bf16(n, d, a, b, accumulate, a_mn, b_mn)                                                                 \
  WGMMA_SS("m64n" WGMMA_TEXT(n) "k16.f32.bf16.bf16", a, b, accumulate, a_mn, b_mn, WGMMA_ROW(n, d))
#define wgmma_f16(n, d, a, b, accumulate, a_mn, b_mn)                                                                  \
  WGMMA_SS("m64n" WGMMA_TEXT(n) "k16.f32.f16.f16", a, b, accumulate, a_mn, b_mn, WGMMA_ROW(n, d))
#define wgmma_tf32(n, d, a, b, accumulate)                                                                             \
  WGMMA_TF32("m64n" WGMMA_TEXT(n) "k8.f32.tf32.tf32", a, b, accumulate, WGMMA_ROW(n, d)) /* k-major only; k is 8 */
/* a: four registers, laid out as mma_m16n8k16's, warp w holding rows 16w to 16w+15 */
#define wgmma_regs_bf16(n, d, a, b, accumulate, b_mn)                                                                  \
  WGMMA_RS("m64n" WGMMA_TEXT(n) "k16.f32.bf16.bf16", a, b, accumulate, b_mn, WGMMA_ROW(n, d))
#define wgmma_regs_f16(n, d, a, b, accumulate, b_mn)                                                                   \
  WGMMA_RS("m64n" WGMMA_TEXT(n) "k16.f32.f16.f16", a, b, accumulate, b_mn, WGMMA_ROW(n, d))

/* ---- [Miscellaneous: setmaxnreg] (sm_90a): registers a thread of this warp; [Parallel Synchronization:
 * griddepcontrol] ---- */

#define setmaxnreg_inc(literal) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(literal))
#define setmaxnreg_dec(literal) asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(literal))
DEVICE void griddepcontrol_wait(void) { asm volatile("griddepcontrol.wait;" ::: "memory"); }
DEVICE void griddepcontrol_launch_dependents(void) { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

#else
#include "emulated.h"
#endif
#endif
