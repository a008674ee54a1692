/* The vocabulary as kernel text sees it when it is compiled as C. vocabulary.h includes this; it says what each
 * operation does. Operations are macros where a message must name the line of the kernel. */
#ifndef SINTER_EMULATED_H
#define SINTER_EMULATED_H
#include "emulator.h"
#include <math.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef struct {
  u16 bits;
} bf16;
typedef struct {
  u16 bits;
} f16;
typedef struct {
  u32 x, y, z, w;
} __attribute__((aligned(16))) Vec4;
typedef struct {
  u32 x, y;
} __attribute__((aligned(8))) Vec2;
typedef struct {
  u64 word[16];
} __attribute__((aligned(64))) TensorMap;

/* ---- where a thread is ---- */

typedef struct EmuIndex {
  unsigned x, y, z;
} EmuIndex;
typedef struct EmuPlace { /* of the running thread */
  EmuIndex thread, block, block_size, grid_size;
  int lane;
  u8 *shared;
} EmuPlace;
/* initial-exec: found without a call, also by libraries that are opened */
extern _Thread_local EmuPlace *emu_place __attribute__((tls_model("initial-exec")));
#define threadIdx (emu_place->thread)
#define blockIdx  (emu_place->block)
#define blockDim  (emu_place->block_size)
#define gridDim   (emu_place->grid_size)

typedef struct EmuSite { /* a place in kernel text */
  const char *file;
  int line;
} EmuSite;
#define EMU_HERE                                                                                                       \
  __extension__({                                                                                                      \
    static const EmuSite emu_site_ = {__FILE__, __LINE__};                                                             \
    &emu_site_;                                                                                                        \
  })

/* ---- kernels: a function, its description, and one thread's call with the parameters unpacked ---- */

#define EMU_TYPE_(type, name) type
#define EMU_ARGUMENT(i, p)    *(EMU_TYPE_ p *)emu_params_[i]
#define EMU_SIZE(i, p)        sizeof(EMU_TYPE_ p)
#define EMU_TEXT_(x)          #x
#define EMU_TEXT(x)           EMU_TEXT_(x)
#ifdef KERNEL_VARIANT /* several variants of one text in a program: "gemm.without_wait" */
#define EMU_NAME(name) #name "." EMU_TEXT(KERNEL_VARIANT)
#else
#define EMU_NAME(name) #name
#endif
#define KERNEL(name, threads, blocks, ...)                                                                             \
  static void name(EACH(PARAMETER, __VA_ARGS__));                                                                      \
  static void name##_run_(void *const *emu_params_) { name(EACH(EMU_ARGUMENT, __VA_ARGS__)); }                         \
  static const size_t name##_size_[] = {EACH(EMU_SIZE, __VA_ARGS__)};                                                  \
  static EmulatorKernel name##_kernel_ = {                                                                             \
      EMU_NAME(name), __FILE__, name##_run_, name##_size_, sizeof name##_size_ / sizeof *name##_size_, threads, 0};    \
  __attribute__((constructor)) static void name##_register_(void) { emulator_register(&name##_kernel_); }              \
  static void name(EACH(PARAMETER, __VA_ARGS__))
#define DEVICE       static inline __attribute__((always_inline, unused))
#define TENSOR_MAP   const TensorMap
#define CONSTANT     const
#define SHARED(name) u8 *const name = emu_place->shared
#define UNROLL(i, n) for (int i = 0; i < (n); i++)
#define ROLLED
#define ALL_LANES 0xffffffffu

/* ---- numbers ---- */

DEVICE float __uint_as_float(u32 x) {
  float y;
  memcpy(&y, &x, 4);
  return y;
}
DEVICE u32 __float_as_uint(float x) {
  u32 y;
  memcpy(&y, &x, 4);
  return y;
}
DEVICE float __int_as_float(i32 x) { return __uint_as_float((u32)x); }
DEVICE i32 __float_as_int(float x) { return (i32)__float_as_uint(x); }
DEVICE double __longlong_as_double(i64 x) {
  double y;
  memcpy(&y, &x, 8);
  return y;
}
DEVICE i64 __double_as_longlong(double x) {
  i64 y;
  memcpy(&y, &x, 8);
  return y;
}
DEVICE u32 __umulhi(u32 a, u32 b) { return (u32)((u64)a * b >> 32); }
DEVICE float bf16_to_f32(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
DEVICE bf16 f32_to_bf16(float x) {
  u32 u = __float_as_uint(x);
  return x != x ? (bf16){0x7fff} : (bf16){(u16)((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
u16 emu_f32_to_f16(float);
float emu_f16_to_f32(u16);
DEVICE float f16_to_f32(f16 x) { return emu_f16_to_f32(x.bits); }
DEVICE f16 f32_to_f16(float x) { return (f16){emu_f32_to_f16(x)}; }
DEVICE u32 pack_bf16(float low, float high) { return f32_to_bf16(low).bits | (u32)f32_to_bf16(high).bits << 16; }
DEVICE u32 pack_f16(float low, float high) { return f32_to_f16(low).bits | (u32)f32_to_f16(high).bits << 16; }
DEVICE float low_bf16(u32 x) { return __uint_as_float(x << 16); }
DEVICE float high_bf16(u32 x) { return __uint_as_float(x & 0xffff0000u); }
DEVICE float low_f16(u32 x) { return emu_f16_to_f32((u16)x); }
DEVICE float high_f16(u32 x) { return emu_f16_to_f32((u16)(x >> 16)); }
DEVICE u32 f32_to_tf32(float x) {
  u32 u = __float_as_uint(x);
  return x != x ? 0x7fffe000u : ((u & 0x7f800000u) == 0x7f800000u ? u : u + 0x1000) & 0xffffe000u;
}
DEVICE float ex2_approx(float x) { return exp2f(x); }
DEVICE float lg2_approx(float x) { return log2f(x); }
DEVICE float rcp_approx(float x) { return 1 / x; }
DEVICE float rsqrt_approx(float x) { return 1 / sqrtf(x); }
DEVICE float tanh_approx(float x) { return tanhf(x); }

/* ---- memory. A shared address is EMU_SHARED_BASE plus the offset: 0 is none, and alignment is the block's ---- */

enum { EMU_SHARED_BASE = 1024 };
u32 emu_shared_address(const void *, const EmuSite *);
void *emu_shared(u32 address, int bytes, const EmuSite *);   /* checks bounds and alignment */
void *emu_aligned(const void *, int bytes, const EmuSite *); /* checks for a multiple; casts const away */
#define shared_address(p)   emu_shared_address(p, EMU_HERE)
#define ld_global_v2(p)     (*(const Vec2 *)emu_aligned(p, 8, EMU_HERE))
#define ld_global_nc_v2(p)  ld_global_v2(p)
#define st_global_v2(p, v)  ((void)(*(Vec2 *)emu_aligned(p, 8, EMU_HERE) = (v)))
#define ld_global_v4(p)     (*(const Vec4 *)emu_aligned(p, 16, EMU_HERE))
#define ld_global_nc_v4(p)  ld_global_v4(p)
#define st_global_v4(p, v)  ((void)(*(Vec4 *)emu_aligned(p, 16, EMU_HERE) = (v)))
#define ld_shared_u32(p)    (*(u32 *)emu_shared(p, 4, EMU_HERE))
#define ld_shared_f32(p)    (*(float *)emu_shared(p, 4, EMU_HERE))
#define ld_shared_v4(p)     (*(Vec4 *)emu_shared(p, 16, EMU_HERE))
#define st_shared_u32(p, v) ((void)(*(u32 *)emu_shared(p, 4, EMU_HERE) = (v)))
#define st_shared_f32(p, v) ((void)(*(float *)emu_shared(p, 4, EMU_HERE) = (v)))
#define st_shared_v4(p, v)  ((void)(*(Vec4 *)emu_shared(p, 16, EMU_HERE) = (v)))
#define st_shared_v2(p, x, y)                                                                                          \
  __extension__({                                                                                                      \
    u32 *emu_to_ = emu_shared(p, 8, EMU_HERE);                                                                         \
    emu_to_[0] = (x), emu_to_[1] = (y);                                                                                \
  })
#define atomicAdd(p, v)                                                                                                \
  __extension__({                                                                                                      \
    __typeof__(p) emu_p_ = (p);                                                                                        \
    __typeof__(*emu_p_) emu_old_, emu_new_, emu_v_ = (v);                                                              \
    __atomic_load(emu_p_, &emu_old_, __ATOMIC_RELAXED);                                                                \
    do emu_new_ = emu_old_ + emu_v_;                                                                                   \
    while (!__atomic_compare_exchange(emu_p_, &emu_old_, &emu_new_, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED));           \
    emu_old_;                                                                                                          \
  })

/* ---- barriers, warps ---- */

void emu_barrier(u32 id, u32 threads, const EmuSite *); /* threads 0: all that live */
void emu_barrier_arrive(u32 id, u32 threads, const EmuSite *);
void emu_syncwarp(u32 mask, const EmuSite *);
void emu_shuffle(u32 mask, void *value, size_t bytes, int from, const EmuSite *);
#define __syncthreads()         emu_barrier(0, 0, EMU_HERE)
#define bar_sync(id, threads)   emu_barrier(id, threads, EMU_HERE)
#define bar_arrive(id, threads) emu_barrier_arrive(id, threads, EMU_HERE)
#define __syncwarp(...)         emu_syncwarp(ALL_LANES __VA_OPT__(&(u32)(__VA_ARGS__)), EMU_HERE) /* [mask] */
#define EMU_SHUFFLE(mask, v, from)                                                                                     \
  __extension__({                                                                                                      \
    __typeof__(v) emu_v_ = (v);                                                                                        \
    int emu_lane_ = emu_place->lane;                                                                                   \
    (void)emu_lane_;                                                                                                   \
    emu_shuffle(mask, &emu_v_, sizeof emu_v_, from, EMU_HERE);                                                         \
    emu_v_;                                                                                                            \
  })
#define __shfl_sync(mask, v, lane)   EMU_SHUFFLE(mask, v, (int)(lane) & 31)
#define __shfl_xor_sync(mask, v, by) EMU_SHUFFLE(mask, v, (emu_lane_ ^ (int)(by)) & 31)
#define __shfl_down_sync(mask, v, by)                                                                                  \
  EMU_SHUFFLE(mask, v, emu_lane_ + (int)(by) < 32 ? emu_lane_ + (int)(by) : emu_lane_)
#define __shfl_up_sync(mask, v, by) EMU_SHUFFLE(mask, v, emu_lane_ >= (int)(by) ? emu_lane_ - (int)(by) : emu_lane_)

typedef enum { EMU_BF16, EMU_F16, EMU_TF32 } EmuType;
void emu_ldmatrix(u32 *r, u32 row, int trans, const EmuSite *);
void emu_stmatrix(u32 row, const u32 *r, int trans, const EmuSite *);
void emu_mma(EmuType, float *d, const u32 *a, const u32 *b, const EmuSite *);
#define ldmatrix_x4(r, row)        emu_ldmatrix(r, row, 0, EMU_HERE)
#define ldmatrix_x4_trans(r, row)  emu_ldmatrix(r, row, 1, EMU_HERE)
#define stmatrix_x4(row, r)        emu_stmatrix(row, r, 0, EMU_HERE)
#define stmatrix_x4_trans(row, r)  emu_stmatrix(row, r, 1, EMU_HERE)
#define mma_m16n8k16_bf16(d, a, b) emu_mma(EMU_BF16, d, a, b, EMU_HERE)
#define mma_m16n8k16_f16(d, a, b)  emu_mma(EMU_F16, d, a, b, EMU_HERE)
#define mma_m16n8k8_tf32(d, a, b)  emu_mma(EMU_TF32, d, a, b, EMU_HERE)

/* ---- asynchronous copies ---- */

void emu_cp_async(u32 to, const void *from, u32 bytes, const EmuSite *);
void emu_cp_async_commit(void);
void emu_cp_async_wait(int groups);
#define cp_async_16(to, from, bytes) emu_cp_async(to, from, bytes, EMU_HERE)
#define cp_async_commit()            emu_cp_async_commit()
#define cp_async_wait(groups)        emu_cp_async_wait(groups)

void emu_mbarrier_init(u32 barrier, u32 arrivals, const EmuSite *);
void emu_mbarrier_arrive(u32 barrier, u32 bytes, const EmuSite *);
void emu_mbarrier_wait(u32 barrier, u32 parity, const EmuSite *);
#define mbarrier_init(barrier, arrivals)          emu_mbarrier_init(barrier, arrivals, EMU_HERE)
#define fence_mbarrier_init()                     ((void)0)
#define mbarrier_arrive(barrier)                  emu_mbarrier_arrive(barrier, 0, EMU_HERE)
#define mbarrier_arrive_expect_tx(barrier, bytes) emu_mbarrier_arrive(barrier, bytes, EMU_HERE)
#define mbarrier_wait(barrier, parity)            emu_mbarrier_wait(barrier, parity, EMU_HERE)

void emu_tma_load(u32 to, const TensorMap *, u32 barrier, int rank, const i32 *at, const EmuSite *);
void emu_tma_store(const TensorMap *, u32 from, int rank, const i32 *at, const EmuSite *);
void emu_bulk_commit(void);
void emu_bulk_wait(int groups, bool read_only);
void emu_fence_proxy_async(void);
#define tma_load_2d(to, map, barrier, x, y)       emu_tma_load(to, map, barrier, 2, (const i32[]){x, y}, EMU_HERE)
#define tma_load_3d(to, map, barrier, x, y, z)    emu_tma_load(to, map, barrier, 3, (const i32[]){x, y, z}, EMU_HERE)
#define tma_load_4d(to, map, barrier, x, y, z, w) emu_tma_load(to, map, barrier, 4, (const i32[]){x, y, z, w}, EMU_HERE)
#define tma_store_2d(map, from, x, y)             emu_tma_store(map, from, 2, (const i32[]){x, y}, EMU_HERE)
#define tma_store_3d(map, from, x, y, z)          emu_tma_store(map, from, 3, (const i32[]){x, y, z}, EMU_HERE)
#define tma_store_4d(map, from, x, y, z, w)       emu_tma_store(map, from, 4, (const i32[]){x, y, z, w}, EMU_HERE)
#define bulk_commit()                             emu_bulk_commit()
#define bulk_wait(groups)                         emu_bulk_wait(groups, false)
#define bulk_wait_read(groups)                    emu_bulk_wait(groups, true)
#define fence_proxy_async()                       emu_fence_proxy_async()

/* ---- warpgroups ---- */

typedef struct EmuWgmma { /* equal in all 128 threads */
  EmuType type;
  int columns;
  u64 a, b; /* descriptors; a is 0 where the operand is in registers */
  bool accumulate, a_mn, b_mn;
} EmuWgmma;
void emu_wgmma(const EmuWgmma *, float *d, const u32 *a_regs, const EmuSite *);
void emu_wgmma_fence(void);
void emu_wgmma_commit(const EmuSite *);
void emu_wgmma_wait(int groups, const EmuSite *);
void emu_setmaxnreg(int registers, const EmuSite *);
DEVICE u64 wgmma_k_major(u32 p) { return (u64)((p & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62; }
DEVICE u64 wgmma_mn_major(u32 p, u32 stride) {
  return (u64)((p & 0x3ffff) >> 4) | (u64)(stride >> 4) << 16 | (u64)64 << 32 | (u64)1 << 62;
}
#define EMU_WGMMA(type, n, d, regs, a, b, accumulate, a_mn, b_mn)                                                      \
  emu_wgmma(&(const EmuWgmma){type, n, a, b, accumulate, a_mn, b_mn}, d, regs, EMU_HERE)
#define wgmma_bf16(n, d, a, b, accumulate, a_mn, b_mn) EMU_WGMMA(EMU_BF16, n, d, NULL, a, b, accumulate, a_mn, b_mn)
#define wgmma_f16(n, d, a, b, accumulate, a_mn, b_mn)  EMU_WGMMA(EMU_F16, n, d, NULL, a, b, accumulate, a_mn, b_mn)
#define wgmma_tf32(n, d, a, b, accumulate)             EMU_WGMMA(EMU_TF32, n, d, NULL, a, b, accumulate, 0, 0)
#define wgmma_regs_bf16(n, d, a, b, accumulate, b_mn)  EMU_WGMMA(EMU_BF16, n, d, a, 0, b, accumulate, 0, b_mn)
#define wgmma_regs_f16(n, d, a, b, accumulate, b_mn)   EMU_WGMMA(EMU_F16, n, d, a, 0, b, accumulate, 0, b_mn)
#define wgmma_fence()                                  emu_wgmma_fence()
#define wgmma_commit()                                 emu_wgmma_commit(EMU_HERE)
#define wgmma_wait(groups)                             emu_wgmma_wait(groups, EMU_HERE)
#define wgmma_hold(d, n)                               ((void)0)
#define setmaxnreg_inc(registers)                      emu_setmaxnreg(registers, EMU_HERE)
#define setmaxnreg_dec(registers)                      emu_setmaxnreg(registers, EMU_HERE)
#define griddepcontrol_wait()                          ((void)0)
#define griddepcontrol_launch_dependents()             ((void)0)
#endif
