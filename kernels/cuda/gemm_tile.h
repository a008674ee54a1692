/* The tile of one operand, for ldmatrix and for wgmma; included for each of the two by gemm_sm80.cu, and by
 * gemm_sm90.cu for those that its producers fill. Before it are defined:
 *   TILE(name)  its functions; TILE(_at) or TILE(_load) is the hole
 *   TILE_ROWS   rows of the tile (of b: columns of the result)
 *   TILE_K      1: neighbours are brought along k, 0: along the rows
 *   TILE_AT     1: chunks of 16 bytes are copied from memory; 0: they are worked out by threads
 *   TILE_BATCH  of how many chunks a thread then works out the loads come before the first one is stored
 * A line is a row, GEMM_BK terms of it, or a term, TILE_ROWS of them, as neighbours are brought; ldmatrix and wgmma
 * turn words of 16 bits over, those of 32 are stored by row in any case. Boxes of 8 chunks of all lines lie behind each
 * other. In each line of a box chunks change places, so that neither the 8 lines of a matrix nor the chunks of a copy
 * meet in a bank; with lines of 128 bytes it is what TMA calls a swizzle of 128 bytes. */
#define TILE_RUN    (16 / GEMM_ELEMENT) /* neighbours */
#define TILE_TURNED (!TILE_K && GEMM_ELEMENT == 4)
#define TILE_BY_ROW (TILE_K || TILE_TURNED)
#define TILE_CHUNKS ((TILE_BY_ROW ? GEMM_BK : TILE_ROWS) / TILE_RUN)
#define TILE_LINES  (TILE_BY_ROW ? TILE_ROWS : GEMM_BK)
#define TILE_BOX    (TILE_CHUNKS < 8 ? TILE_CHUNKS : 8)
#define TILE_ACROSS ((TILE_K ? GEMM_BK : TILE_ROWS) / TILE_RUN) /* runs that are brought of a row, or of a term */
#define TILE_TURNS  (TILE_ROWS * GEMM_BK / TILE_RUN / GEMM_THREADS)
#define TILE_WIDE   (TILE_ACROSS < 8 ? TILE_ACROSS : 8)

DEVICE u32 TILE(_chunk)(u32 tile, int line, int chunk) {
  int turned = TILE_BOX == 8 ? line & 7 : TILE_BOX == 4 ? line >> 1 & 3 : line >> 2 & 1;
  return tile + (u32)((chunk / TILE_BOX * TILE_LINES + line) * TILE_BOX + (chunk % TILE_BOX ^ turned)) * 16;
}

/* Which run a thread brings the i-th time: always the same neighbours, of other lines. Of those that are turned a warp
 * has 8 of each of 4 terms: 32 banks. */
DEVICE void TILE(_turn)(int i, int *line, int *chunk) {
  int t = (int)threadIdx.x;
#if TILE_TURNED
  int group = (i * GEMM_THREADS + t) / (TILE_WIDE * 4);
  *line = t / TILE_WIDE % 4 + group / (TILE_ACROSS / TILE_WIDE) * 4;
  *chunk = t % TILE_WIDE + group % (TILE_ACROSS / TILE_WIDE) * TILE_WIDE;
#else
  *line = t / TILE_ACROSS + i * (GEMM_THREADS / TILE_ACROSS);
  *chunk = t % TILE_ACROSS;
#endif
}

#if TILE_AT
DEVICE void TILE(_copy)(GEMM_ARGS args, u32 tile, GEMM_INDEX outer, GEMM_INDEX row0, GEMM_INDEX rows, GEMM_INDEX k0,
                        GEMM_INDEX depth) {
  UNROLL (i, TILE_TURNS) {
    int line, chunk;
    TILE(_turn)(i, &line, &chunk);
    GEMM_INDEX row = row0 + (TILE_K ? line : chunk * TILE_RUN), k = k0 + (TILE_K ? chunk * TILE_RUN : line);
    const void *from = 0;
    if (row < rows && k < depth) from = TILE(_at)(args, outer, row, k);
    cp_async_16(TILE(_chunk)(tile, line, chunk), from, from ? 16 : 0);
  }
}
#else
/* Into registers, from the thread's chunk `first` on; `put` takes them from there. */
DEVICE void TILE(_fetch)(GEMM_ARGS args, Vec4 *to, int first, GEMM_INDEX outer, GEMM_INDEX row0, GEMM_INDEX rows,
                         GEMM_INDEX k0, GEMM_INDEX depth) {
  UNROLL (i, TILE_BATCH) {
    int line, chunk;
    TILE(_turn)(first + i, &line, &chunk);
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

DEVICE void TILE(_put)(u32 tile, int first, const Vec4 *from) {
  UNROLL (i, TILE_BATCH) {
    int line, chunk;
    TILE(_turn)(first + i, &line, &chunk);
#if TILE_TURNED
    UNROLL (q, 4) { /* each lane begins with another one, else their rows would meet in a bank */
      int j = (q + (chunk >> 1)) & 3;
      u32 word = j == 0 ? from[i].x : j == 1 ? from[i].y : j == 2 ? from[i].z : from[i].w;
      st_shared_u32(TILE(_chunk)(tile, chunk * 4 + j, line / 4) + (u32)(line % 4) * 4, word);
    }
#else
    st_shared_v4(TILE(_chunk)(tile, line, chunk), from[i]);
#endif
  }
}

DEVICE void TILE(_fill)(GEMM_ARGS args, u32 tile, GEMM_INDEX outer, GEMM_INDEX row0, GEMM_INDEX rows, GEMM_INDEX k0,
                        GEMM_INDEX depth) {
  ROLLED for (int first = 0; first < TILE_TURNS; first += TILE_BATCH) {
    Vec4 next[TILE_BATCH];
    TILE(_fetch)(args, next, first, outer, row0, rows, k0, depth);
    TILE(_put)(tile, first, next);
  }
}
#endif
#undef TILE_RUN
#undef TILE_TURNED
#undef TILE_BY_ROW
#undef TILE_CHUNKS
#undef TILE_LINES
#undef TILE_BOX
#undef TILE_WIDE
#undef TILE_ACROSS
#undef TILE_TURNS
#undef TILE
#undef TILE_ROWS
#undef TILE_K
#undef TILE_AT
#undef TILE_BATCH
