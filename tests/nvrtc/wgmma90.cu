// A warp group multiplies 64 x 16 by 16 x 8 in bf16: TMA brings both tiles, wgmma reads them in shared memory. sm_90a.
typedef unsigned u32;
typedef unsigned long long u64;
struct __align__(64) TensorMap {
  u64 opaque[16];
};

static __device__ u64 descriptor(u32 address) { // no swizzle; 8 x 8 cores of 128 bytes, 256 bytes from rows to rows
  return (u64)(address >> 4 & 0x3fff) | 8ull << 16 | 16ull << 32;
}

static __device__ void load(u32 to, const TensorMap *map, u32 barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %3}], [%2];" ::
          "r"(to),
      "l"(map), "r"(barrier), "r"(0)
      : "memory");
}

extern "C" __global__ void __launch_bounds__(128)
    wgmma90(float *out, const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b) {
  __shared__ __align__(1024) char tile_a[64 * 32];
  __shared__ __align__(1024) char tile_b[8 * 32];
  __shared__ u64 barrier;
  u32 at_a = (u32)__cvta_generic_to_shared(tile_a), at_b = (u32)__cvta_generic_to_shared(tile_b);
  u32 full = (u32)__cvta_generic_to_shared(&barrier), done = 0;
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(full));
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full), "r"(72 * 32) : "memory");
    load(at_a, &map_a, full);
    load(at_b, &map_b, full);
  }
  __syncthreads();
  while (!done)
    asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, p;}"
                 : "=r"(done)
                 : "r"(full)
                 : "memory");
  float d[4] = {0, 0, 0, 0};
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0,%1,%2,%3}, %4, %5, 0, 1, 1, 0, 0;"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "l"(descriptor(at_a)), "l"(descriptor(at_b)));
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  for (int i = 0; i < 4; i++) out[threadIdx.x * 4 + i] = d[i];
}
