/* out[r][c] = softmax over c of scale * in[r][c]: one block a row, the row in registers, one read and one write.
 * Grid: rows. Block: 256. Shared memory: 64 bytes. 1 <= columns <= 2048 * VECTORS; 16-byte accesses where columns is a
 * multiple of 8. */
#include "vocabulary.h"
#ifndef VECTORS
#define VECTORS 2 /* of 8 elements, a thread */
#endif
enum { THREADS = 256, WARPS = THREADS / 32 };

DEVICE float warp_max(float v) {
  UNROLL (i, 5) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, 16 >> i));
  return v;
}

DEVICE float warp_sum(float v) {
  UNROLL (i, 5) v += __shfl_xor_sync(ALL_LANES, v, 16 >> i);
  return v;
}

DEVICE void load_8(float *x, const bf16 *row, i32 first, i32 columns) {
  if (columns % 8 == 0 && first < columns) {
    Vec4 v = ld_global_nc_v4(row + first);
    u32 pair[4] = {v.x, v.y, v.z, v.w};
    UNROLL (i, 4) {
      x[2 * i] = low_bf16(pair[i]);
      x[2 * i + 1] = high_bf16(pair[i]);
    }
  } else {
    UNROLL (i, 8) x[i] = first + i < columns ? bf16_to_f32(row[first + i]) : 0;
  }
}

DEVICE void store_8(bf16 *row, i32 first, i32 columns, const float *x) {
  if (columns % 8 == 0 && first < columns) {
    Vec4 v = {pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])};
    st_global_v4(row + first, v);
  } else {
    UNROLL (i, 8)
      if (first + i < columns) row[first + i] = f32_to_bf16(x[i]);
  }
}

KERNEL(softmax, 256, 4, (bf16 *, out), (const bf16 *, in), (i32, columns), (float, scale)) {
  SHARED(shared);
  float *warp_maxima = (float *)shared, *warp_sums = warp_maxima + WARPS;
  int t = (int)threadIdx.x, lane = t & 31, warp = t >> 5;
  i64 row = (i64)blockIdx.x * columns;
  float x[VECTORS * 8], base2 = scale * 1.4426950408889634f, most = -3.4e38f, sum = 0;

  UNROLL (i, VECTORS) load_8(x + i * 8, in + row, (i * THREADS + t) * 8, columns);
  UNROLL (i, VECTORS * 8) {
    x[i] *= base2;
    if ((i / 8 * THREADS + t) * 8 + i % 8 < columns) most = fmaxf(most, x[i]);
  }
  most = warp_max(most);
  if (lane == 0) warp_maxima[warp] = most;
  __syncthreads();
  most = warp_max(warp_maxima[lane & (WARPS - 1)]);

  UNROLL (i, VECTORS * 8) {
    x[i] = (i / 8 * THREADS + t) * 8 + i % 8 < columns ? ex2_approx(x[i] - most) : 0;
    sum += x[i];
  }
  sum = warp_sum(sum);
  if (lane == 0) warp_sums[warp] = sum;
  __syncthreads();
  sum = warp_sum(lane < WARPS ? warp_sums[lane] : 0);

  float inverse = rcp_approx(sum);
  UNROLL (i, VECTORS * 8) x[i] *= inverse;
  UNROLL (i, VECTORS) store_8(out + row, (i * THREADS + t) * 8, columns, x + i * 8);
}
