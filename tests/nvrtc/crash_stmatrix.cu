// NVRTC 13.0.88 dies of this for sm_90: the address is a constant.
extern "C" __global__ void constant_address(float *out) {
  unsigned s = 0;
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%1,%1,%1};" ::"r"(s), "r"(s));
}
