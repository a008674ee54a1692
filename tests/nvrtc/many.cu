// Several kernels in one program: no parameters; more than 4 KB of them; every width of access; cp.async; a call.
struct Large {
  char c[5000];
};
extern "C" __global__ void none() {}
extern "C" __global__ void large(Large p, char *out, char c, double d) { out[0] = p.c[threadIdx.x] + c + (char)d; }
extern "C" __global__ void __launch_bounds__(128, 2) widths(char *out, const char *in) {
  out[0] = in[1];
  ((short *)out)[1] = ((const short *)in)[2];
  ((int *)out)[1] = ((const int *)in)[2];
  ((double *)out)[1] = ((const double *)in)[2];
  ((float4 *)out)[1] = ((const float4 *)in)[2];
}
extern "C" __global__ void copies(const char *in) {
  extern __shared__ int room[];
  unsigned to = (unsigned)__cvta_generic_to_shared(room) + threadIdx.x * 32;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(in));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to + 8), "l"(in + 8));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + 16), "l"(in + 16));
  asm volatile("cp.async.wait_all;");
}
