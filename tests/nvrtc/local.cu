// An array that is indexed at run time lies in local memory.
extern "C" __global__ void local_array(float *out, const int *index, int n) {
  float x[64];
  for (int i = 0; i < 64; i++) x[i] = out[i];
  for (int i = 0; i < n; i++) x[index[i] & 63] += 1;
  for (int i = 0; i < 64; i++) out[i] = x[i];
}
