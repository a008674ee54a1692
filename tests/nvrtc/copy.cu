// 16 bytes a thread.
extern "C" __global__ void __launch_bounds__(256) copy(float4 *__restrict__ out, const float4 *__restrict__ in, int n) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i < n) out[i] = in[i];
}
