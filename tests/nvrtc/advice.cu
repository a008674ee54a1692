// ptxas has two remarks (sm_90a): C7508, setmaxnreg without a known number of registers, is bad; C7519, a fence that it
// puts in itself, is not.
typedef unsigned long long u64;
extern "C" __global__ void maxnreg(float *out) {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
  out[0] = 1;
}
extern "C" __global__ void __launch_bounds__(128) no_fence(float *out, u64 a) {
  float d[4] = {out[0], out[1], 0, 0};
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0,%1,%2,%3}, %4, %5, 1, 1, 1, 0, 0;"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "l"(a), "l"(a + 7));
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  out[threadIdx.x] = d[0] + d[1] + d[2] + d[3];
}
