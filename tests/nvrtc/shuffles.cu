// Rows of 1,024 floats, one a block of 256 threads; a row stays in registers.
static __device__ float row_reduce(float x, bool sum, float *warps) {
  for (int step = 16; step; step >>= 1) {
    float other = __shfl_xor_sync(~0u, x, step);
    x = sum ? x + other : fmaxf(x, other);
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  x = warps[0];
  for (int w = 1; w < 8; w++) x = sum ? x + warps[w] : fmaxf(x, warps[w]);
  return x;
}

extern "C" __global__ void __launch_bounds__(256) softmax(float4 *__restrict__ out, const float4 *__restrict__ in) {
  __shared__ float maxima[8], sums[8];
  float4 v = in[blockIdx.x * 256 + threadIdx.x];
  float most = row_reduce(fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)), false, maxima);
  v.x = exp2f((v.x - most) * 1.44269504f);
  v.y = exp2f((v.y - most) * 1.44269504f);
  v.z = exp2f((v.z - most) * 1.44269504f);
  v.w = exp2f((v.w - most) * 1.44269504f);
  float scale = 1 / row_reduce(v.x + v.y + v.z + v.w, true, sums);
  out[blockIdx.x * 256 + threadIdx.x] = make_float4(v.x * scale, v.y * scale, v.z * scale, v.w * scale);
}
