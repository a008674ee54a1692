// More values than registers: 96 in a block of 1,024 threads, which leaves 64 registers a thread.
extern "C" __global__ void __launch_bounds__(1024) spill(float *out, const float *in) {
  float x[96];
#pragma unroll
  for (int i = 0; i < 96; i++) x[i] = in[i * 1024 + threadIdx.x];
#pragma unroll
  for (int i = 0; i < 96; i++) x[i] += x[(i * 37 + 11) % 96] * x[(i * 53 + 5) % 96];
#pragma unroll
  for (int i = 0; i < 96; i++) out[i * 1024 + threadIdx.x] = x[i] * x[95 - i];
}
