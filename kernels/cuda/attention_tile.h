/* What all skeletons of attention have behind their holes: their numbers, the way of an operand's rows into shared
 * memory and that of results out of it. */
#define D        ATTENTION_D
#define OWN      ATTENTION_NUMBER(0, ATTENTION_TILE)
#define OTHER    ATTENTION_NUMBER(1, ATTENTION_TILE)
#define STAGES   ATTENTION_NUMBER(2, ATTENTION_TILE)
#define THREADS  ATTENTION_NUMBER(3, ATTENTION_TILE)
#define ROW      (ATTENTION_CHUNKS(D) * 16) /* bytes of a row of a tile */
#define OWN_TILE (OWN * ROW)
#define TILE     (OTHER * ROW)
#define STAGED   (D * 4 + 32) /* bytes of a row of results on their way */

/* Of shared memory the kernel lays out what its launch gives; what results take of it later is there. */
#define LAID_OUT(bytes, results)                                                                                       \
  _Static_assert((bytes) == ATTENTION_NUMBER(4, ATTENTION_TILE) && (results) <= (bytes), "bytes of ATTENTION_TILE")

/* NAME_load<what>: n rows of an operand, chunk q of row r to `place`; what lies behind the last one is zero. */
#define LOAD_TILE(what, n, threads, place)                                                                             \
  DEVICE void ATTENTION_HOLE(_load##what)(ATTENTION_HOLE(_args) args, i32 outer, u32 tile, i32 row0, i32 rows) {       \
    ROLLED for (int c = (int)threadIdx.x; c < (n) * (D / 8); c += (threads)) {                                         \
      int r = c / (D / 8), q = c % (D / 8);                                                                            \
      bool inside = row0 + r < rows;                                                                                   \
      const void *from = ATTENTION_HOLE(what##_at)(args, outer, inside ? row0 + r : rows - 1, q * 8);                  \
      cp_async_16(place, from, inside ? 16 : 0);                                                                       \
    }                                                                                                                  \
  }
