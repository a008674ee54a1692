// A name that nobody declared.
extern "C" __global__ void wrong(float *out) { out[0] = missing; }
