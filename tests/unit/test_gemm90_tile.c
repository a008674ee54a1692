/* The tiles of products on sm_90a: what the model says of shapes for which the answer is plain. */
#include "gemm90_tile.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static void choices(void **unused) {
  (void)unused;
  static const struct {
    Gemm90Size size;
    int bm, bn;
  } rows[] = {
      {{1, 4096, 4096, 4096, 2, 2, GEMM90_TMA, GEMM90_TMA},
       128,
       256}, /* large: the tile that brings the fewest bytes */
      {{1, 8192, 8192, 512, 2, 2, GEMM90_TMA, GEMM90_TMA}, 128, 256},
      {{1, 1024, 1024, 1024, 2, 2, GEMM90_TMA, GEMM90_TMA}, 128, 64}, /* 128 blocks instead of 64 or 32 */
      {{1, 1, 4096, 4096, 2, 2, GEMM90_TMA, GEMM90_TMA},
       64,
       64}, /* a row: as many blocks as there may be, none of them half empty */
      {{1, 4096, 48, 4096, 2, 2, GEMM90_TMA, GEMM90_TMA}, 64, 64},
      {{256, 64, 128, 64, 2, 2, GEMM90_TMA, GEMM90_TMA},
       64,
       128}, /* many small ones: half of a tile of 128 rows would be nothing */
      /* filled tiles leave no registers for 256 columns; one that is worked out is best brought once for many columns
       */
      {{1, 4096, 4096, 4096, 2, 2, GEMM90_COPIED, GEMM90_TMA}, 128, 128},
      {{1, 8192, 512, 4096, 2, 2, GEMM90_WORKED, GEMM90_TMA}, 128, 128},
      {{1, 4096, 4096, 4096, 2, 4, GEMM90_WORKED, GEMM90_WORKED}, 128, 128},
  };
  Arena *a = arena_new();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why;
    const Gemm90Tile *t = gemm90_tile(a, &rows[i].size, &why);
    if (t->bm != rows[i].bm || t->bn != rows[i].bn) {
      for (int k = 0; k < GEMM90_TILES; k++)
        printf("%d x %d: %.0f\n", GEMM90_TILE[k].bm, GEMM90_TILE[k].bn, gemm90_cycles(&rows[i].size, &GEMM90_TILE[k]));
      fail_msg("row %zu: %d x %d, %s", i, t->bm, t->bn, why);
    }
  }
  arena_free(a);
}

static void reasons(void **unused) {
  (void)unused;
  Arena *a = arena_new();
  const char *why;
  gemm90_tile(a, &(Gemm90Size){1, 4096, 4096, 4096, 2, 2, GEMM90_TMA, GEMM90_TMA}, &why);
  assert_string_equal(
      why, "512 tiles fill 96% of 4 waves of 132; 291 kilocycles (37 by memory alone), 128 x 128 would take 384");
  arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(choices), cmocka_unit_test(reasons)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
