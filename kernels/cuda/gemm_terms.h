/* The tile of one operand in f32, term by term; included for each of the two by gemm_simt.cu, with TILE(name),
 * TILE_ROWS and TILE_K as gemm_tile.h has them. A thread brings 4 neighbours, along the terms or along the rows. */
#define TILE_ACROSS ((TILE_K ? GEMM_BK : TILE_ROWS) / 4)
#define TILE_TURNS  (TILE_ROWS * GEMM_BK / 4 / GEMM_THREADS)
#define TILE_LINE   (TILE_ROWS + 4)

DEVICE void TILE(_fetch)(GEMM_ARGS args, Vec4 *to, GEMM_INDEX outer, GEMM_INDEX row0, GEMM_INDEX rows, GEMM_INDEX k0,
                         GEMM_INDEX depth) {
  UNROLL (i, TILE_TURNS) {
    int c = i * GEMM_THREADS + (int)threadIdx.x, line = c / TILE_ACROSS, chunk = c % TILE_ACROSS * 4;
    GEMM_INDEX row = row0 + (TILE_K ? line : chunk), k = k0 + (TILE_K ? chunk : line);
    float v[4] = {0, 0, 0, 0};
    if (row < rows && k < depth) TILE(_load)(args, outer, row, k, v);
    to[i].x = __float_as_uint(v[0]);
    to[i].y = __float_as_uint(v[1]);
    to[i].z = __float_as_uint(v[2]);
    to[i].w = __float_as_uint(v[3]);
  }
}

DEVICE void TILE(_put)(u32 tile, const Vec4 *from) {
  UNROLL (i, TILE_TURNS) {
    int c = i * GEMM_THREADS + (int)threadIdx.x, line = c / TILE_ACROSS, chunk = c % TILE_ACROSS * 4;
    if (TILE_K) {
      u32 to = tile + (u32)(chunk * TILE_LINE + line) * 4;
      st_shared_u32(to, from[i].x);
      st_shared_u32(to + TILE_LINE * 4, from[i].y);
      st_shared_u32(to + TILE_LINE * 8, from[i].z);
      st_shared_u32(to + TILE_LINE * 12, from[i].w);
    } else
      st_shared_v4(tile + (u32)(line * TILE_LINE + chunk) * 4, from[i]);
  }
}
#undef TILE_ACROSS
#undef TILE_TURNS
#undef TILE_LINE
#undef TILE
#undef TILE_ROWS
#undef TILE_K
