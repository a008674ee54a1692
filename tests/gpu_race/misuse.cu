/* What kernels must not do, each in one line, with the right way beside some. Shared memory: 4 bytes a thread. */
#include "vocabulary.h"
enum { /* as in gpu_case.c */
       SHUFFLE_FOR_SYNCWARP,
       SYNCWARP,
       SUM_OF_BLOCKS,
       ATOMIC_SUM_OF_BLOCKS,
       GLOBAL_BOUNDS,
       SHARED_BOUNDS,
       SHARED_ADDRESS_BOUNDS,
       UNWRITTEN,
       UNALIGNED,
       DIVERGED_SHUFFLE,
       ENDED_LANES,
       DIVERGENT_BARRIER,
       BARRIER_COUNT
};

KERNEL(misuse, 64, 1, (bf16 *, out), (const bf16 *, in), (float *, sum), (i32, what)) {
  SHARED(shared);
  float *s = (float *)shared;
  int t = (int)threadIdx.x, i = (int)(blockIdx.x * blockDim.x) + t;
  float v = bf16_to_f32(in[i]);
  u32 beyond = shared_address(shared) + blockDim.x * 4;
  if (what == SHUFFLE_FOR_SYNCWARP || what == SYNCWARP) {
    s[t] = v;
    if (what == SYNCWARP)
      __syncwarp();
    else
      v += __shfl_xor_sync(ALL_LANES, v, 1);
    v = s[t ^ 1]; /* written by the neighbour */
  }
  if (what == SUM_OF_BLOCKS && t == 0) *sum = *sum + v;
  if (what == ATOMIC_SUM_OF_BLOCKS && t == 0) atomicAdd(sum, v);
  if (what == GLOBAL_BOUNDS && i > 0) v = bf16_to_f32(in[i + 1]); /* of the last thread */
  if (what == SHARED_BOUNDS) s[t + 1] = v;
  if (what == SHARED_ADDRESS_BOUNDS) st_shared_f32(beyond, v);
  if (what == UNWRITTEN) v = s[t];
  if (what == UNALIGNED) v = low_bf16(ld_global_v4(in + 1).x);
  if (what == DIVERGED_SHUFFLE && t % 2) v = __shfl_xor_sync(ALL_LANES, v, 1);
  if (what == ENDED_LANES && t % 2) return;
  if (what == ENDED_LANES) v = __shfl_xor_sync(ALL_LANES, v, 2);
  if (what == DIVERGENT_BARRIER && t < 32) {
    __syncthreads();
    v += 1;
  } else {
    __syncthreads();
  }
  if (what == BARRIER_COUNT && t < 32) bar_sync(1, 64);
  out[i] = f32_to_bf16(v);
}
