/* The kernels of kernels/cuda in the emulator: 10 seeds, asynchronous operations lazy or not; right against f64, and
 * the same bits each time. */
#include "gpu_case.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <cmocka.h>

enum { SEEDS = 10 };

static uint32_t runs; /* every seed lazy and not, or (`in_turn`) every other one lazy */
static int both(void **unused) { return (void)unused, runs = 2 * SEEDS, 0; }
static int in_turn(void **unused) { return (void)unused, runs = SEEDS, 0; }

static EmulatorCounters always(const char *kernel, int x, int y, int z) {
  uint64_t hash = 0;
  GpuResult r = {0};
  for (uint32_t run = 0; run < runs; run++) {
    GpuCase c = {kernel, {x, y, z}, runs > SEEDS ? run / 2 : run, run % 2};
    assert_true(gpu_case_run(&c, &r));
    if (!r.ran) fail_msg("%s %d %d %d, seed %u lazy %d: %s", kernel, x, y, z, c.seed, c.lazy, r.report.message);
    if (!GPU_CASE_RIGHT(r))
      fail_msg("%s %d %d %d, seed %u lazy %d: error %g", kernel, x, y, z, c.seed, c.lazy, r.error);
    if (run) assert_int_equal(r.hash, hash);
    hash = r.hash;
    assert_int_equal(r.report.counters.bank_conflicts, 0);
  }
  return r.report.counters;
}

static void softmax(void **unused) {
  (void)unused;
  EmulatorCounters n = always("softmax", 3, 4096, 0);
  assert_int_equal(n.blocks, 3);
  assert_int_equal(n.shuffles, 3 * 8 * 4 * 5);
  always("softmax", 2, 1000, 0);
  always("softmax", 2, 77, 0); /* rows that are no multiples of 16 bytes */
  always("softmax", 5, 1, 0);
  always("softmax", 1, 4095, 0);
}

static void gemm_sm80(void **unused) {
  (void)unused;
  EmulatorCounters n = always("gemm_sm80", 128, 256, 192);
  assert_int_equal(n.mma, 2 * 8 * 3 * 4 * 16);
  assert_int_equal(n.ldmatrix, 2 * 8 * 3 * 4 * 6);
  always("gemm_sm80", 130, 72, 136); /* tails of all three */
  always("gemm_sm80", 2, 3, 8);
  always("gemm_sm80", 37, 131, 320); /* pairs that are no multiples of 4 bytes */
}

static void gemm_simt(void **unused) { /* bit by bit */
  (void)unused;
  always("gemm_simt", 64, 128, 40);
  always("gemm_simt", 70, 67, 23); /* tails of all three, rows that are no multiples of 16 bytes */
  always("gemm_simt", 130, 67, 9); /* of the rows that are summed too */
  always("gemm_simt", 1, 3, 1);
}

static void gemm_sm90(void **unused) {
  (void)unused;
  EmulatorCounters n = always("gemm_sm90", 128, 256, 320);
  assert_int_equal(n.wgmma, 2 * 2 * 5 * 4);
  assert_int_equal(n.tma, 2 * 5 * 2 + 2 * 8 * 2);
  always("gemm_sm90", 300, 264, 72); /* tails; blocks with several tiles */
  always("gemm_sm90", 1, 8, 8);
  always("gemm_sm90", 257, 136, 1032);
  always("gemm_sm90", 4480, 128, 8);       /* more stores of a thread than may be under way */
  always("gemm_sm90.wide", 130, 520, 264); /* tiles of 128 x 256 */
}

static void gemm_variants(void **unused) {
  (void)unused;
  EmulatorCounters n = always("product_plain", 128, 256, 128);
  assert_int_equal(n.tma, (2 + 1) * 2 + 2 * 8 * 4);
  always("product_plain", 131, 264, 200);
  n = always("product_tn", 128, 64, 64);
  assert_int_equal(n.tma, 2 + 1); /* nothing is left for the second */
  assert_int_equal(n.wgmma, 2 * 4);
  static const char *const kernels[] = {"product_nt", "product_nn", "product_tn", "product_tt"};
  for (int i = 0; i < 4; i++) {
    always(kernels[i], 72, 136, 328); /* more steps than stages */
    always(kernels[i], 264, 136, 72); /* more tiles than blocks */
    always(kernels[i], 8, 8, 8);
  }
  always("product_nt", 37, 131, 40); /* rows of a k-major operand and columns are any number */
  always("product_tt", 72, 45, 104);
  static const char *const summed[] = {"product_sums", "product_sums_64"};
  for (int i = 0; i < 2; i++) {
    always(summed[i], 264, 136, 72); /* more tiles than blocks, 8 rows in the last part */
    always(summed[i], 63, 8, 328);
    always(summed[i], 129, 64, 40);
  }
  always("product_along", 264, 328, 72);
  always("product_along", 8, 67, 328); /* 3 columns in the last part */
}

static void gemm_filled(void **unused) {
  (void)unused;
  EmulatorCounters n = always("filled_nt", 128, 128, 128);
  assert_int_equal(n.tma, 2 + 1); /* of the second product half is left */
  n = always("filled_tn", 128, 64, 64);
  assert_int_equal(n.tma, 1);
  assert_int_equal(n.cp_async, 128 * 64 / 8);
  static const char *const kernels[] = {"filled_nt", "filled_tn", "filled_nn", "filled_tt"};
  for (int i = 0; i < 4; i++) {
    always(kernels[i], 72, 136, 328); /* more steps than stages */
    always(kernels[i], 264, 136, 72); /* more tiles than blocks */
    always(kernels[i], 8, 8, 8);
  }
  always("filled_nt", 37, 131, 104);
  n = always("filled_tf32", 128, 64, 64);
  assert_int_equal(n.wgmma, 2 * 2 * 4); /* 32 terms in a step */
  always("filled_tf32", 133, 70, 301);  /* any number of everything */
  always("filled_tf32_turned", 75, 133, 205);
  always("filled_tf32_turned", 3, 5, 7);
}

static void gemm_tiles(void **unused) {
  (void)unused;
  static const char *const kernels[] = {"tiled_nt", "tiled_nn", "tiled_tn", "tiled_tt", "tiled_worked", "tiled_sums"};
  for (int i = 0; i < 6; i++) {
    always(kernels[i], 72, 136, 232); /* more steps than stages, tiles that are not full */
    always(kernels[i], 8, 8, 8);
  }
  always("tiled_nt", 37, 131, 40); /* rows of a k-major operand and columns are any number */
  always("tiled_tt", 75, 43, 104); /* so are those of an operand that is worked out */
  always("tiled_worked", 67, 35, 41);
  always("tiled_sums", 193, 131, 40);
  always("tiled_along", 75, 202, 104);
  always("tiled_along", 8, 67, 40);
  EmulatorCounters n = always("tiled_tn", 128, 128, 64);
  assert_int_equal(n.cp_async, 2 * (2 * 128 * 32 / 8)); /* of the second product nothing is left */
}

static void attention_sm80(void **unused) {
  (void)unused;
  for (int causal = 0; causal < 2; causal++) {
    always("attention_sm80", 2, 192, causal);
    always("attention_sm80", 1, 77, causal);
    always("attention_sm80", 3, 1, causal);
  }
}

static void attention_variants(void **unused) {
  (void)unused;
  always("attention_d32", 2, 130, 141);
  always("attention_d32", 1, 77, 9); /* rows of queries, a whole block of them, that see nothing */
  always("attention_d96", 4, 65, 33);
  always("attention_d96", 1, 1, 200); /* one query of a cache */
  always("attention_d128", 2, 70, 131);
  always("attention_d128", 1, 64, 64);
  always("attention_d64_sm90", 2, 130, 300);
  always("attention_d128_sm90", 1, 140, 9);
  always("attention_d128_sm90", 2, 70, 131);
  always("attention_d64_sm90_masked", 2, 130, 260);
  always("attention_d64_sm90_masked", 1, 64, 64);
  always("attention_d128_sm90_masked", 1, 131, 192);
  always("attention_d128_sm90_masked", 2, 70, 77);
}

static void attention_grad_sm80(void **unused) {
  (void)unused;
  for (int causal = 0; causal < 2; causal++) {
    EmulatorCounters q = always("attention_grad_q_sm80", 2, 192, causal),
                     kv = always("attention_grad_kv_sm80", 2, 192, causal);
    assert_int_equal(q.blocks, 4);
    assert_int_equal(kv.blocks, 4);
    /* steps of 16 rows that the warps of a head's two blocks take, 32 own rows each; of keys two warps have none */
    int of_rows = causal ? 2 + 4 + 6 + 8 + 10 + 12 + 12 + 12 : 8 * 12,
        of_keys = causal ? 12 + 10 + 8 + 6 + 4 + 2 : 6 * 12;
    assert_int_equal(q.mma, 2 * of_rows * 48);
    assert_int_equal(kv.mma, 2 * of_keys * 64);
    always("attention_grad_q_sm80", 1, 77, causal);
    always("attention_grad_kv_sm80", 1, 77, causal);
  }
}

static void attention_grad_variants(void **unused) {
  (void)unused;
  static const char *const kernels[] = {"grad_q_d32",   "grad_q_d96",          "grad_q_d128_score",
                                        "grad_kv_d32",  "grad_kv_d64_v",       "grad_kv_d96_k",
                                        "grad_kv_d128", "grad_kv_d64_score_v", "grad_kv_d128_score"};
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    always(kernels[i], 2, 70, 141); /* two heads of queries have the keys of one */
    if (i % 2)
      always(kernels[i], 1, 77, 9); /* rows of queries, a whole block of them, that see nothing */
    else
      always(kernels[i], 1, 1, 200); /* one query of a cache */
  }
}

static void attention_grad_sm90(void **unused) {
  (void)unused;
  for (int causal = 0; causal < 2; causal++) {
    EmulatorCounters n = always("attention_grad_kv_sm90", 1, 256, causal);
    /* of the tiles that see keys of a warpgroup */
    assert_int_equal(n.wgmma, (causal ? 4 + 3 + 2 + 1 : 4 * 4) * (8 + 8 + 4 + 4));
    always("attention_grad_kv_sm90", 1, 77, causal);
  }
  always("grad_kv_d64_sm90", 2, 70, 141);
  always("grad_kv_d64_sm90", 1, 300, 9); /* more tiles than stages; most rows see nothing */
  always("grad_kv_d128_sm90", 1, 70, 141);
}

/* What a causal mask hides is left out, whole steps of it, and no bit is another. */
static void attention_grad_hidden(void **unused) {
  (void)unused;
  static const char *const kernels[][2] = {{"attention_grad_q_sm80", "attention_grad_q_sm80.all"},
                                           {"attention_grad_kv_sm80", "attention_grad_kv_sm80.all"},
                                           {"attention_grad_q_sm90.narrow", "attention_grad_q_sm90.all"},
                                           {"attention_grad_kv_sm90", "attention_grad_kv_sm90.all"}};
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    for (int size = 100; size <= 300; size += 100) {
      GpuResult some, all;
      assert_true(gpu_case_run(&(GpuCase){kernels[i][0], {1, size, 1}, 1, true}, &some) && some.ran);
      assert_true(gpu_case_run(&(GpuCase){kernels[i][1], {1, size, 1}, 1, true}, &all) && all.ran);
      assert_true(GPU_CASE_RIGHT(some) && some.hash == all.hash);
      assert_true(some.report.counters.mma + some.report.counters.wgmma <
                  all.report.counters.mma + all.report.counters.wgmma);
    }
}

/* Scores that are worked out; sizes inside tiles, and behind their ends on either side. */
static void attention_grad_sm90_scores(void **unused) {
  (void)unused;
  static const char *const kernels[] = {"grad_q_d64_score_sm90", "grad_q_d128_score_sm90", "grad_kv_d64_score_sm90",
                                        "grad_kv_d128_score_sm90", "grad_kv_d128_score_k_sm90"};
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    always(kernels[i], 2, 70, 141);              /* two heads of queries have the keys of one */
    always(kernels[i], 1, 192, i % 2 ? 192 : 9); /* whole tiles are seen, or most rows see nothing */
  }
}

static void attention_sm90(void **unused) {
  (void)unused;
  for (int causal = 0; causal < 2; causal++) {
    always("attention_sm90", 1, 384, causal);
    always("attention_sm90", 2, 141, causal); /* the next head begins where this tensor's tile ends */
    always("attention_sm90", 1, 1, causal);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(softmax, both),
      cmocka_unit_test_setup(gemm_sm80, both),
      cmocka_unit_test_setup(gemm_sm90, both),
      cmocka_unit_test_setup(gemm_variants, in_turn),
      cmocka_unit_test_setup(gemm_filled, in_turn),
      cmocka_unit_test_setup(gemm_tiles, in_turn),
      cmocka_unit_test_setup(gemm_simt, both),
      cmocka_unit_test_setup(attention_sm80, both),
      cmocka_unit_test_setup(attention_variants, in_turn),
      cmocka_unit_test_setup(attention_sm90, both),
      cmocka_unit_test_setup(attention_grad_sm80, both),
      cmocka_unit_test_setup(attention_grad_variants, in_turn),
      cmocka_unit_test_setup(attention_grad_sm90, in_turn),
      cmocka_unit_test_setup(attention_grad_sm90_scores, in_turn),
      cmocka_unit_test(attention_grad_hidden),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
