// With the other kernels here: every instruction that sass.h names, for sm_90a; the FP8 product for sm_120.
typedef unsigned u32;
typedef unsigned long long u64;

extern "C" __global__ void atomics(float *f, int *i) {
  __shared__ int room[32];
  room[threadIdx.x] = i[threadIdx.x];
  __syncthreads();
  atomicAdd(f, 1.f);
  i[1] = atomicAdd(i, 2) + atomicCAS(i + 8, 1, 2) + atomicAdd(&room[threadIdx.x], 1);
}

extern "C" __global__ void generic(float **f, int n) {
  __shared__ float room[64];
  float *p = n > 3 ? room : f[0];
  p[threadIdx.x] = p[threadIdx.x + 1] + 1;
}

extern "C" __global__ void doubles(double *d) {
  double x[2] = {0, 0};
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(x[0]), "+d"(x[1])
               : "d"(d[0]), "d"(d[1]));
  d[2] = fma(x[0], 3.0, x[1]);
}

extern "C" __global__ void integers(int *d, const u32 *a) {
  int x[4] = {0, 0, 0, 0};
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(x[0]), "+r"(x[1]), "+r"(x[2]), "+r"(x[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(a[4]), "r"(a[5]));
  d[0] = x[0] + x[1] + x[2] + x[3];
}

#if __CUDA_ARCH__ == 1200
extern "C" __global__ void fp8(float *d, const u32 *a) {
  float x[4] = {0, 0, 0, 0};
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(x[0]), "+f"(x[1]), "+f"(x[2]), "+f"(x[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(a[4]), "r"(a[5]));
  d[0] = x[0] + x[1] + x[2] + x[3];
}
#endif

#if __CUDA_ARCH__ >= 900
extern "C" __global__ void bulk(u64 tensor, float *f, u32 *x) {
  extern __shared__ u32 room[];
  u32 at = (u32)__cvta_generic_to_shared(room);
  asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1,%1};" ::"r"(at + threadIdx.x * 16), "r"(x[0]));
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2,%2}], [%1];" ::"l"(tensor), "r"(at),
               "r"(x[1]));
  asm volatile(
      "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%0, {%2,%2}], [%1];" ::"l"(tensor),
      "r"(at), "r"(x[1]));
  asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], 256;" ::"l"(f), "r"(at));
  asm volatile("cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;");
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 256, [%2];" ::"r"(at),
               "l"(f), "r"(at + 512));
}
#endif

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
extern "C" __global__ void __launch_bounds__(128, 1) small_types(float *f, int *i, u64 a) {
  float x[4] = {f[0], f[1], 0, 0};
  int y[4] = {i[0], i[1], 0, 0};
  asm volatile("setmaxnreg.dec.sync.aligned.u32 64;");
  asm volatile("wgmma.fence.sync.aligned;");
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%0,%1,%2,%3}, %4, %5, 1, 1, 1;"
               : "+f"(x[0]), "+f"(x[1]), "+f"(x[2]), "+f"(x[3])
               : "l"(a), "l"(a + 7));
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 {%0,%1,%2,%3}, %4, %5, 1;"
               : "+r"(y[0]), "+r"(y[1]), "+r"(y[2]), "+r"(y[3])
               : "l"(a), "l"(a + 7));
  asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;" ::: "memory");
  f[threadIdx.x] = x[0] + x[1] + x[2] + x[3];
  i[threadIdx.x] = y[0] + y[1] + y[2] + y[3];
}
#endif
