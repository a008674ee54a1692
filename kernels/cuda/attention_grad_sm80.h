/* What the skeletons of attention's backward on sm_80 share, behind attention_grad_holes.h: the two kinds of products
 * of a warp with 16 rows of a tile. A warp has BANDS times 16 rows: each band multiplies what ldmatrix has brought. */
#define AT(tile, row, q) ATTENTION_AT(D, tile, row, q)
#define BANDS            (OWN * 2 / THREADS)
LOAD_TILE(_q, OF_QUERIES, THREADS, AT(tile, r, q))
LOAD_TILE(_g, OF_QUERIES, THREADS, AT(tile, r, q))
LOAD_TILE(_k, OF_KEYS, THREADS, AT(tile, r, q))
LOAD_TILE(_v, OF_KEYS, THREADS, AT(tile, r, q))

/* Where a lane's part of ldmatrix lies, from a row of a tile on that is a multiple of 8, and 2i chunks further along:
 * of 16 rows and two chunks in the order of a fragment of A, which transposed is that of B, and in the order of B. */
#define LIES_A(row)    AT(row, (int)threadIdx.x & 15, (int)threadIdx.x >> 4 & 1)
#define LIES_B(row)    AT(row, ((int)threadIdx.x & 7) + ((int)threadIdx.x >> 4 & 1) * 8, (int)threadIdx.x >> 3 & 1)
#define ALONG(lies, i) (D % 64 ? (lies) + (u32)(i) * 32 : (lies) ^ (u32)(i) * 32)

/* The warp's rows as fragments of A. */
DEVICE void ATTENTION_HOLE(_keep)(u32 (*a)[D / 16][4], u32 rows) {
  UNROLL (m, BANDS)
    UNROLL (i, D / 16) ldmatrix_x4(a[m][i], ALONG(LIES_A(rows), i) + m * 16 * ROW);
}

/* x = a b^T: the warp's rows, as fragments or, where these are none, in shared memory, and 16 rows of b */
DEVICE void ATTENTION_HOLE(_dot)(float (*x)[2][4], u32 (*kept)[D / 16][4], u32 rows, u32 b) {
  UNROLL (m, BANDS)
    UNROLL (q, 8) x[m][q / 4][q % 4] = 0;
  UNROLL (i, D / 16) {
    u32 fb[4], fa[BANDS][4];
    ldmatrix_x4(fb, ALONG(LIES_B(b), i));
    UNROLL (m, BANDS) {
      if (!kept) ldmatrix_x4(fa[m], ALONG(LIES_A(rows), i) + m * 16 * ROW);
      ATTENTION_MMA(x[m][0], kept ? kept[m][i] : fa[m], fb);
      ATTENTION_MMA(x[m][1], kept ? kept[m][i] : fa[m], fb + 2);
    }
  }
}

/* sum += x b, with 16 rows of b; accumulators of two tiles of 8 columns are the A fragment of 16 */
DEVICE void ATTENTION_HOLE(_add)(float (*sum)[D / 8][4], float (*x)[2][4], u32 b) {
  u32 fa[BANDS][4];
  UNROLL (m, BANDS)
    UNROLL (q, 4) fa[m][q] = ATTENTION_PACK(x[m][q / 2][q % 2 * 2], x[m][q / 2][q % 2 * 2 + 1]);
  UNROLL (n, D / 16) {
    u32 fb[4];
    ldmatrix_x4_trans(fb, ALONG(LIES_A(b), n));
    UNROLL (m, BANDS) {
      ATTENTION_MMA(sum[m][2 * n], fa[m], fb);
      ATTENTION_MMA(sum[m][2 * n + 1], fa[m], fb + 2);
    }
  }
}
