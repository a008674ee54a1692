/* The tile of one operand, for ldmatrix; included for each of the two by gemm_sm80.cu, with
 *   TILE(name)  its functions: TILE(_at) or TILE(_load) is the hole
 *   TILE_ROWS   rows of the tile (of b: columns of the result)
 *   TILE_K      1: neighbours are brought along k, 0: along the rows
 *   TILE_AT     1: chunks of 16 bytes are copied from memory; 0: they are worked out by threads, one step ahead
 * A line is a row, GEMM_BK terms of it, or a term, TILE_ROWS of them, as neighbours are brought; ldmatrix turns words
 * of 16 bits over, those of 32 are stored by row in any case. In each line chunks change places, so that neither the 8
 * lines of a matrix nor the chunks of a copy meet in a bank. */
#define TILE_RUN    (16 / GEMM_ELEMENT) /* neighbours */
#define TILE_TURNED (!TILE_K && GEMM_ELEMENT == 4)
#define TILE_BY_ROW (TILE_K || TILE_TURNED)
#define TILE_CHUNKS ((TILE_BY_ROW ? GEMM_BK : TILE_ROWS) / TILE_RUN)
#define TILE_ACROSS ((TILE_K ? GEMM_BK : TILE_ROWS) / TILE_RUN) /* runs that are brought of a row, or of a term */
#define TILE_TURNS  (TILE_ROWS * GEMM_BK / TILE_RUN / GEMM_THREADS)

DEVICE u32 TILE(_chunk)(u32 tile, int line, int chunk) {
  int turned = TILE_CHUNKS >= 8 ? line & 7 : TILE_CHUNKS == 4 ? line >> 1 & 3 : line >> 2 & 1;
  return tile + (u32)(line * TILE_CHUNKS + (chunk ^ turned)) * 16;
}

#if TILE_AT
DEVICE void TILE(_copy)(GEMM_ARGS args, u32 tile, GEMM_INDEX outer, GEMM_INDEX row0, GEMM_INDEX rows, GEMM_INDEX k0,
                        GEMM_INDEX depth) {
  UNROLL (i, TILE_TURNS) {
    int c = i * GEMM_THREADS + (int)threadIdx.x, line = c / TILE_ACROSS, chunk = c % TILE_ACROSS;
    GEMM_INDEX row = row0 + (TILE_K ? line : chunk * TILE_RUN), k = k0 + (TILE_K ? chunk * TILE_RUN : line);
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
    int c = i * GEMM_THREADS + (int)threadIdx.x, line = c / TILE_ACROSS, chunk = c % TILE_ACROSS;
    GEMM_INDEX row = row0 + (TILE_K ? line : chunk * TILE_RUN), k = k0 + (TILE_K ? chunk * TILE_RUN : line);
    float v[TILE_RUN];
    UNROLL (j, TILE_RUN) v[j] = 0;
    if (row < rows && k < depth) TILE(_load)(args, outer, row, k, v);
    to[i].x = GEMM_WORD(v, 0);
    to[i].y = GEMM_WORD(v, 1);
    to[i].z = GEMM_WORD(v, 2);
    to[i].w = GEMM_WORD(v, 3);
  }
}

DEVICE void TILE(_put)(u32 tile, const Vec4 *from) {
  UNROLL (i, TILE_TURNS) {
    int c = i * GEMM_THREADS + (int)threadIdx.x, line = c / TILE_ACROSS, chunk = c % TILE_ACROSS;
#if TILE_TURNED
    u32 in_chunk = (u32)(line % 4) * 4;
    st_shared_u32(TILE(_chunk)(tile, chunk * 4, line / 4) + in_chunk, from[i].x);
    st_shared_u32(TILE(_chunk)(tile, chunk * 4 + 1, line / 4) + in_chunk, from[i].y);
    st_shared_u32(TILE(_chunk)(tile, chunk * 4 + 2, line / 4) + in_chunk, from[i].z);
    st_shared_u32(TILE(_chunk)(tile, chunk * 4 + 3, line / 4) + in_chunk, from[i].w);
#else
    st_shared_v4(TILE(_chunk)(tile, line, chunk), from[i]);
#endif
  }
}
#endif
#undef TILE_RUN
#undef TILE_TURNED
#undef TILE_BY_ROW
#undef TILE_CHUNKS
#undef TILE_ACROSS
#undef TILE_TURNS
#undef TILE
#undef TILE_ROWS
#undef TILE_K
#undef TILE_AT
