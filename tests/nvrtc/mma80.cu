// A warp multiplies 16 x K by K x 8 in bf16, K in steps of 16, by cp.async, ldmatrix and mma.sync. sm_80 and later.
typedef unsigned u32;

extern "C" __global__ void __launch_bounds__(32) mma80(float *out, const char *a, const char *b, int steps) {
  __shared__ __align__(16) char tile_a[16 * 32], tile_b[8 * 32]; // 32 bytes of K a row
  u32 lane = threadIdx.x, at_a = (u32)__cvta_generic_to_shared(tile_a), at_b = (u32)__cvta_generic_to_shared(tile_b);
  float d[4] = {0, 0, 0, 0};
  for (int k = 0; k < steps; k++, a += 16 * 32, b += 8 * 32) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at_a + lane * 16), "l"(a + lane * 16));
    if (lane < 16)
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at_b + lane * 16), "l"(b + lane * 16));
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncwarp();
    u32 x[4], y[2];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at_a + lane % 16 * 32 + lane / 16 * 16));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(y[0]), "=r"(y[1])
                 : "r"(at_b + lane % 8 * 32 + lane / 8 % 2 * 16));
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    __syncwarp();
  }
  for (int i = 0; i < 4; i++) out[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}
