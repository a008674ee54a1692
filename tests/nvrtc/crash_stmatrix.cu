// NVRTC 13.0.88 dies of this for sm_90, and ptxas leaves the first stmatrix out: its address is a constant.
extern "C" __global__ void constant_address(unsigned *out) {
  extern __shared__ unsigned room[];
  unsigned s = 16, x = out[threadIdx.x];
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%1,%1,%1};" ::"r"(s), "r"(x) : "memory");
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%1,%1,%1};" ::"r"(s + 512 + threadIdx.x), "r"(x)
               : "memory");
  __syncthreads();
  out[threadIdx.x] = room[threadIdx.x] + room[threadIdx.x + 512];
}
