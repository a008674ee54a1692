/* Products: what the holes of their skeletons are, and what these share: which tile a block has, and the result on its
 * way out. A skeleton is included behind the holes that compiler/emit prints, and is then a kernel GEMM_NAME; alone it
 * has holes of its own. It defines GEMM_THREADS, includes this, and in the end gemm_end.h, which undefines everything.
 * `outer` numbers the products of a batch, m rows, n columns, k the terms of a sum: a NAME_index each, i32 or i64.
 * - NAME_args: the kernel's words, a struct; NAME_outer(args), NAME_M(args), NAME_N(args): how many there are
 * - NAME_from(args, outer), NAME_to(args, outer): the terms that are summed, the second is the first that is not
 * - NAME_a_load(args, outer, m, k, v), NAME_b_load(args, outer, n, k, v): a run of neighbours of an operand as floats,
 *   8 of 16 bits for tensor cores, else 4. The first is inside the operand; v of those beyond its end stays as it was
 * - NAME_a_at(args, outer, m, k), NAME_b_at(args, outer, n, k): instead of these where GEMM_A_AT, GEMM_B_AT is 1: where
 *   the run lies, at a multiple of 16 bytes, or 0: it is zeros
 * - GEMM_A_K, GEMM_B_K: 1: the neighbours of a run have one row (of b: column) and follow along k, 0: one term
 * - GEMM_A_WIDE, GEMM_B_WIDE: 1: no run reaches beyond the end
 * - NAME_store(args, outer, m, n, v): the epilogue; takes the sums of GEMM_VC neighbouring columns, 4 or 8
 * - GEMM_SUMS: 0; else the epilogue leaves in v what is to be summed, tiles have whole parts of GEMM_PART, and
 *   NAME_partial(args, outer, m, n, x) takes the sum of a part, 1: of a column, from row m on, 2: of a row, from n on
 * - GEMM_PARAMETERS: the kernel's, from which GEMM_BEGIN, first in its body, makes `args` if they are not one already
 * - GEMM_BM, GEMM_BN, GEMM_BK: rows, columns and terms of a tile; GEMM_STAGES of it; GEMM_WARPS_M, GEMM_WARPS_N share
 *   it; GEMM_BLOCKS of a multiprocessor, for which registers must suffice
 * - GEMM_ELEMENT, GEMM_PACK, GEMM_MMA: for tensor cores, bytes of an element in a tile, two floats as a word, a product
 */
#define GEMM_JOIN_(a, b)    a##b
#define GEMM_JOIN(a, b)     GEMM_JOIN_(a, b)
#define GEMM_FN(name)       GEMM_JOIN(GEMM_NAME, name) /* of this product: several are in one text */
#define GEMM_ARGS           GEMM_FN(_args)
#define GEMM_INDEX          GEMM_FN(_index)
#define GEMM_KERNEL_OF(...) KERNEL(__VA_ARGS__) /* its arguments are expanded before */

/* A line of the result in shared memory, in floats: 8 more than there are columns, so that the 4 rows whose pairs 16
 * lanes store together lie in different banks. */
#define GEMM_LINE         (GEMM_BN + 8)
#define GEMM_RESULT_BYTES (GEMM_BM * GEMM_LINE * 4)
#define GEMM_PART         64 /* LOOP_SUM_PART, LOOP_SUM_RUN of the compiler */
#define GEMM_RUN          4

typedef struct {
  GEMM_INDEX outer, m0, n0;
} GEMM_FN(_place);

/* Blocks go down GEMM_GROUP tiles of rows before they go on to the next columns, so that those which run together read
 * few rows and columns, and find them in the L2 cache. */
DEVICE GEMM_FN(_place) GEMM_FN(_place_of)(GEMM_ARGS args) {
  enum { GROUP = 8 };
  GEMM_INDEX block = (GEMM_INDEX)blockIdx.y * (GEMM_INDEX)gridDim.x + (GEMM_INDEX)blockIdx.x;
  GEMM_INDEX down = (GEMM_FN(_M)(args) + GEMM_BM - 1) / GEMM_BM, across = (GEMM_FN(_N)(args) + GEMM_BN - 1) / GEMM_BN;
  GEMM_INDEX tile = block % (down * across), first = tile / (GROUP * across) * GROUP,
             in_group = tile % (GROUP * across);
  GEMM_INDEX rows = down - first < GROUP ? down - first : GROUP;
  GEMM_FN(_place) place;
  place.outer = block / (down * across);
  place.m0 = (first + in_group % rows) * GEMM_BM;
  place.n0 = in_group / rows * GEMM_BN;
  return place;
}

/* All threads, behind a barrier. Neighbouring threads have neighbouring columns. With GEMM_SUMS the epilogue leaves the
 * values that are to be summed: they take the place of the result, then a thread sums GEMM_PART of them by runs, in the
 * order of the plain form, down a column (1) or along a row (2). */
DEVICE void GEMM_FN(_store_tile)(GEMM_ARGS args, GEMM_FN(_place) place, u32 result) {
  enum { CHUNKS = GEMM_BN / GEMM_VC };
  GEMM_INDEX rows = GEMM_FN(_M)(args), columns = GEMM_FN(_N)(args);
  for (int i = (int)threadIdx.x; i < GEMM_BM * CHUNKS; i += GEMM_THREADS) {
    int row = i / CHUNKS, column = i % CHUNKS * GEMM_VC;
    float v[GEMM_VC];
    if (place.m0 + row >= rows || place.n0 + column >= columns) continue;
    UNROLL (j, GEMM_VC / 4) {
      Vec4 four = ld_shared_v4(result + (u32)(row * GEMM_LINE + column + j * 4) * 4);
      v[j * 4] = __uint_as_float(four.x);
      v[j * 4 + 1] = __uint_as_float(four.y);
      v[j * 4 + 2] = __uint_as_float(four.z);
      v[j * 4 + 3] = __uint_as_float(four.w);
    }
    GEMM_FN(_store)(args, place.outer, place.m0 + row, place.n0 + column, v);
#if GEMM_SUMS
    UNROLL (j, GEMM_VC / 4) {
      Vec4 four = {__float_as_uint(v[j * 4]), __float_as_uint(v[j * 4 + 1]), __float_as_uint(v[j * 4 + 2]),
                   __float_as_uint(v[j * 4 + 3])};
      st_shared_v4(result + (u32)(row * GEMM_LINE + column + j * 4) * 4, four);
    }
#endif
  }
#if GEMM_SUMS
  __syncthreads();
  enum { KEPT = GEMM_SUMS == 1 ? GEMM_BN : GEMM_BM, SUMMED = GEMM_SUMS == 1 ? GEMM_BM : GEMM_BN };
  for (int i = (int)threadIdx.x; i < SUMMED / GEMM_PART * KEPT; i += GEMM_THREADS) {
    int kept = i % KEPT, first = i / KEPT * GEMM_PART;
    int row = GEMM_SUMS == 1 ? first : kept, column = GEMM_SUMS == 1 ? kept : first;
    GEMM_INDEX m = place.m0 + row, n = place.n0 + column, left = GEMM_SUMS == 1 ? rows - m : columns - n;
    u32 at = result + (u32)(row * GEMM_LINE + column) * 4;
    float all = 0;
    if (m >= rows || n >= columns) continue;
    for (int run = 0; run < GEMM_PART; run += GEMM_RUN) {
      float x[GEMM_RUN], part = 0;
#if GEMM_SUMS == 1
      UNROLL (j, GEMM_RUN) x[j] = ld_shared_f32(at + (u32)((run + j) * GEMM_LINE) * 4);
#else
      Vec4 four = ld_shared_v4(at + (u32)run * 4);
      x[0] = __uint_as_float(four.x), x[1] = __uint_as_float(four.y);
      x[2] = __uint_as_float(four.z), x[3] = __uint_as_float(four.w);
#endif
      UNROLL (j, GEMM_RUN)
        if (run + j < left) part += x[j];
      all += part;
    }
    GEMM_FN(_partial)(args, place.outer, m, n, all);
  }
#endif
}
