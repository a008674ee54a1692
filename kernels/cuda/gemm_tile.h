/* The tile of one operand in 16 bits, for ldmatrix; included for each of the two by gemm_sm80.cu, with
 *   TILE(name)  its functions: TILE(_at) or TILE(_load) is the hole
 *   TILE_ROWS   rows of the tile (of b: columns of the result)
 *   TILE_K      1: a line of the tile is a row, GEMM_BK terms of it; 0: a line is a term, TILE_ROWS of them
 *   TILE_AT     1: chunks of 8 are copied from memory; 0: they are worked out by threads, one step ahead
 * In each line chunks change places, so that neither the 8 lines of a matrix nor the chunks of a copy meet in a bank.
 */
#define TILE_LINES  (TILE_K ? TILE_ROWS : GEMM_BK)
#define TILE_CHUNKS ((TILE_K ? GEMM_BK : TILE_ROWS) / 8)
#define TILE_TURNS  (TILE_LINES * TILE_CHUNKS / GEMM_THREADS)

DEVICE u32 TILE(_chunk)(u32 tile, int line, int chunk) {
  int turned = TILE_CHUNKS >= 8 ? line & 7 : TILE_CHUNKS == 4 ? line >> 1 & 3 : line >> 2 & 1;
  return tile + (u32)(line * TILE_CHUNKS + (chunk ^ turned)) * 16;
}

#if TILE_AT
DEVICE void TILE(_copy)(GEMM_ARGS args, u32 tile, GEMM_INDEX outer, GEMM_INDEX row0, GEMM_INDEX rows, GEMM_INDEX k0,
                        GEMM_INDEX depth) {
  UNROLL (i, TILE_TURNS) {
    int c = i * GEMM_THREADS + (int)threadIdx.x, line = c / TILE_CHUNKS, chunk = c % TILE_CHUNKS;
    GEMM_INDEX row = row0 + (TILE_K ? line : chunk * 8), k = k0 + (TILE_K ? chunk * 8 : line);
    const void *from = 0;
    if (row < rows && k < depth) from = TILE(_at)(args, outer, row, k);
    cp_async_16(TILE(_chunk)(tile, line, chunk), from, from ? 16 : 0);
  }
}
#else
/* Into registers, from where `put` takes it once the tile's place is free: the loads are under way meanwhile. */
DEVICE void TILE(_fetch)(GEMM_ARGS args, Vec4 *to, GEMM_INDEX outer, GEMM_INDEX row0, GEMM_INDEX rows, GEMM_INDEX k0,
                         GEMM_INDEX depth) {
  UNROLL (i, TILE_TURNS) {
    int c = i * GEMM_THREADS + (int)threadIdx.x, line = c / TILE_CHUNKS, chunk = c % TILE_CHUNKS;
    GEMM_INDEX row = row0 + (TILE_K ? line : chunk * 8), k = k0 + (TILE_K ? chunk * 8 : line);
    float v[8];
    UNROLL (j, 8) v[j] = 0;
    if (row < rows && k < depth) TILE(_load)(args, outer, row, k, v);
    to[i].x = GEMM_PACK(v[0], v[1]);
    to[i].y = GEMM_PACK(v[2], v[3]);
    to[i].z = GEMM_PACK(v[4], v[5]);
    to[i].w = GEMM_PACK(v[6], v[7]);
  }
}

DEVICE void TILE(_put)(u32 tile, const Vec4 *from) {
  UNROLL (i, TILE_TURNS) {
    int c = i * GEMM_THREADS + (int)threadIdx.x;
    st_shared_v4(TILE(_chunk)(tile, c / TILE_CHUNKS, c % TILE_CHUNKS), from[i]);
  }
}
#endif
#undef TILE_LINES
#undef TILE_CHUNKS
#undef TILE_TURNS
#undef TILE
#undef TILE_ROWS
#undef TILE_K
#undef TILE_AT
