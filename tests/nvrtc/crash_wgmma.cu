// NVRTC 13.0.88 dies of this for sm_90a, and ptxas leaves the wgmma out: its descriptor is 0.
typedef unsigned long long u64;
extern "C" __global__ void __launch_bounds__(128) constant_descriptors(float *out) {
  float d[4] = {0};
  u64 a = 0, b = 0;
  asm volatile("wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {%0,%1,%2,%3}, %4, %5, 1, 1, 1;"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "l"(a), "l"(b));
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  out[0] = d[0];
}
