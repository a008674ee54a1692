/* Kernels under ThreadSanitizer with fibers are clean; kernels with a planted fault are caught: by a wrong result in
 * the emulator, by the emulator's refusal, by a race with the line, or by the address sanitizer. */
#include "gpu_case.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { SEEDS = 10, RUNS = 2 * SEEDS }; /* lazy or not */

/* ---- programs built with a sanitizer ---- */

static char output[1 << 16];

static void start(const char *program, char **argv) { /* fills output; argv[0] is set */
  char path[512];
  int pipes[2];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
  assert_true(n > 0);
  path[n] = 0;
  strcpy(strrchr(path, '/') + 1, program);
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork();
  if (!child) {
    dup2(pipes[1], 1), dup2(pipes[1], 2);
    close(pipes[0]);
    setenv("TSAN_OPTIONS", "halt_on_error=1", 1);
    personality(ADDR_NO_RANDOMIZE); /* the sanitizers want fixed places of memory */
    argv[0] = path;
    execv(path, argv);
    _exit(127);
  }
  close(pipes[1]);
  size_t have = 0;
  while (have < sizeof output - 1 && (n = read(pipes[0], output + have, sizeof output - 1 - have)) > 0)
    have += (size_t)n;
  output[have] = 0;
  close(pipes[0]);
  waitpid(child, NULL, 0);
  if (!have) fail_msg("%s %s printed nothing", program, argv[1]);
  if (strncmp(output, "FATAL: ThreadSanitizer", 22) == 0) {
    print_message("this system does not let the thread sanitizer start\n");
    skip(); /* memory laid out at random by the kernel, beyond what the sanitizer can map */
  }
}

typedef struct Case {
  const char *kernel;
  int size[3];
} Case;

static void run(const char *program, const Case *c, int seed, int seeds) {
  char number[5][16], *argv[] = {NULL, (char *)c->kernel, number[0], number[1], number[2], number[3], number[4], NULL};
  int values[5] = {c->size[0], c->size[1], c->size[2], seed, seeds};
  for (int i = 0; i < 5; i++) snprintf(number[i], sizeof number[i], "%d", values[i]);
  start(program, argv);
}

static void expect(const char *words, const char *program, const Case *c) {
  if (!strstr(output, words))
    fail_msg("%s %s %d %d %d: not \"%s\" but\n%.4000s", program, c->kernel, c->size[0], c->size[1], c->size[2], words,
             output);
}

/* "FILE:LINE" of the first line with this text, in the kernel's source without faults. */
static void place(char *to, size_t room, const char *kernel, const char *text) {
  char file[128], line[512];
  if (!strncmp(kernel, "misuse", 6))
    snprintf(file, sizeof file, "tests/gpu_race/misuse.cu");
  else if (!strncmp(kernel, "filled", 6))
    snprintf(file, sizeof file, "kernels/cuda/gemm_sm90.cu");
  else if (!strncmp(kernel, "wgmma", 5))
    snprintf(file, sizeof file, "tests/gpu_emulator/instructions.cu");
  else if (!strncmp(kernel, "product", 7))
    snprintf(file, sizeof file, "kernels/cuda/gemm_sm90.cu");
  else if (strstr(kernel, ".sums"))
    snprintf(file, sizeof file, "kernels/cuda/gemm_result.h");
  else
    snprintf(file, sizeof file, "kernels/cuda/%.*s.cu", (int)strcspn(kernel, "."), kernel);
  FILE *f = fopen(file, "r");
  assert_non_null(f);
  int n = 1;
  while (fgets(line, sizeof line, f) && !strstr(line, text)) n++;
  if (feof(f)) fail_msg("no line of %s has \"%s\"", file, text);
  fclose(f);
  snprintf(to, room, "%s:%d", file, n);
}

/* ---- planted faults ---- */

typedef enum {
  RIGHT,
  WRONG,
  MOSTLY_WRONG,
  SOMETIMES_WRONG,
  REFUSED,
  NOT_RUN
} Plain; /* of 20 runs; a refusal is wrong too */
typedef struct Fault {
  const char *name;
  Case of;
  Plain plain;
  const char *says; /* REFUSED: the message */
  const char
      *line; /* that the refusal or ThreadSanitizer names; NULL, not refused: a fault of values, it sees nothing */
} Fault;

static void plain_runs(const Fault *f, const char *where) {
  int wrong = 0;
  for (uint32_t i = 0; i < RUNS; i++) {
    GpuResult r;
    assert_true(
        gpu_case_run(&(GpuCase){f->of.kernel, {f->of.size[0], f->of.size[1], f->of.size[2]}, i / 2, i % 2}, &r));
    wrong += !GPU_CASE_RIGHT(r);
    if (f->plain != REFUSED) continue;
    assert_false(r.ran);
    if (!strstr(r.report.message, f->says))
      fail_msg("%s: not \"%s\" but \"%s\"", f->of.kernel, f->says, r.report.message);
    if (!strstr(r.report.message, where)) fail_msg("%s: not at %s: %s", f->of.kernel, where, r.report.message);
  }
  print_message("%s: wrong in %d of %d runs\n", f->of.kernel, wrong, RUNS);
  if (f->plain == RIGHT) assert_int_equal(wrong, 0);
  if (f->plain == WRONG || f->plain == REFUSED) assert_int_equal(wrong, RUNS);
  if (f->plain == SOMETIMES_WRONG) assert_in_range(wrong, 1, RUNS);
}

static void caught(void **state) {
  const Fault *f = *state;
  const Case *c = &f->of;
  char where[256] = "";
  if (f->line) place(where, sizeof where, f->of.kernel, f->line);
  plain_runs(f, where);
  if (f->plain != REFUSED && !f->line) return;
  const char *words = f->plain == REFUSED ? f->says : "WARNING: ThreadSanitizer: data race";
  for (int seed = 0; seed < 4;
       seed++) { /* gcc's sees all in the first order; clang's follows only 255 fibers at once */
    run("gpu_tsan", c, seed, 1);
    if (strstr(output, words) && strstr(output, where)) return;
  }
  expect(words, "gpu_tsan", c);
  expect(where, "gpu_tsan", c);
}

static void caught_by_asan(void **state) {
  const Fault *f = *state;
  const Case *c = &f->of;
  char where[256];
  run("gpu_asan", c, 0, 1);
  expect(f->says, "gpu_asan", c);
  place(where, sizeof where, f->of.kernel, f->line);
  expect(where, "gpu_asan", c);
}

/* ---- and what is right ---- */

static const Case right[] = {
    {"softmax", {3, 4096, 0}},
    {"softmax", {2, 77, 0}},
    {"gemm_sm80", {128, 128, 192}},
    {"gemm_sm80", {130, 72, 136}},
    {"tiled_nn", {40, 136, 104}},
    {"tiled_tn", {72, 72, 104}},
    {"tiled_worked", {67, 35, 201}},
    {"tiled_sums", {131, 72, 40}},
    {"tiled_along", {67, 131, 40}},
    {"gemm_simt", {64, 64, 40}},
    {"gemm_simt", {70, 67, 23}},
    {"gemm_sm90", {128, 128, 320}},
    {"gemm_sm90", {300, 264, 72}},
    {"product_plain", {131, 264, 72}},
    {"product_nt", {37, 131, 40}},
    {"product_nn", {136, 136, 328}},
    {"product_tn", {136, 136, 72}},
    {"product_tt", {72, 136, 328}},
    {"product_sums", {264, 136, 72}},
    {"product_sums_64", {72, 72, 40}},
    {"product_along", {136, 270, 72}},
    {"filled_nt", {37, 131, 328}},
    {"filled_tn", {72, 64, 328}},
    {"filled_tt", {40, 64, 328}},
    {"filled_tf32_turned", {75, 133, 205}},
    {"attention_sm80", {1, 77, 1}},
    {"attention_d32", {2, 70, 77}},
    {"attention_d128", {1, 65, 131}},
    {"attention_grad_q_sm80", {1, 200, 1}},
    {"grad_q_d96", {1, 65, 131}},
    {"attention_grad_kv_sm80", {1, 200, 1}},
    {"grad_kv_d128_score", {1, 65, 131}},
    {"attention_grad_kv_sm90", {1, 200, 1}},
    {"grad_kv_d64_sm90", {1, 130, 140}},
    {"attention_grad_q_sm90", {1, 200, 1}},
    {"grad_q_d64_sm90", {2, 70, 140}},
    {"grad_q_d64_score_sm90", {2, 70, 140}},
    {"grad_kv_d64_score_sm90", {1, 130, 140}},
    {"grad_kv_d128_score_sm90", {1, 70, 131}},
    {"attention_sm90", {1, 200, 0}},
    {"attention_d64_sm90", {1, 130, 140}},
    {"attention_d128_sm90_masked", {1, 70, 150}},
    {"wgmma_bf16_8", {0}},
    {"misuse", {1 /* SYNCWARP */}},
    {"misuse", {3 /* ATOMIC_SUM_OF_BLOCKS */}},
};

static void clean(void **state) {
  static const char *const programs[] = {"gpu_tsan", "gpu_asan"};
  const Case *c = *state;
  for (int i = 0; i < 2; i++) {
    run(programs[i], c, 0, SEEDS);
    if (strcmp(output, "right\n") != 0) fail_msg("%s %s: %.4000s", programs[i], c->kernel, output);
  }
}

static const Fault faults[] = {
    {"no_barrier_after_warp_sums", {"softmax.no_sync", {3, 2048}}, WRONG, NULL, "warp_sums[warp] = sum"},
    {"slots_that_slower_warps_read", {"softmax.reused_slots", {3, 2048}}, RIGHT, NULL, "warp_sums[warp] = sum"},
    {"cp_async_wait_one_too_many", {"gemm_sm80.late_wait", {128, 128, 192}}, WRONG, NULL, "ldmatrix_x4(fa[i]"},
    {"no_barrier_in_ring", {"gemm_sm80.no_sync", {128, 128, 256}}, WRONG, NULL, "ldmatrix_x4(fa[i]"},
    {"wrong_lanes_of_ldmatrix", {"gemm_sm80.wrong_lanes", {128, 128, 64}}, WRONG, NULL, NULL},
    {"no_barrier_of_tiles", {"gemm_simt.no_sync", {64, 64, 40}}, WRONG, NULL, "Vec4 x = ld_shared_v4"},
    {"rows_summed_early", {"gemm_simt.sums_early", {64, 64, 40}}, RIGHT, NULL, "x[j] = ld_shared_f32"},
    {"runs_of_warps_summed_early", {"product_sums.no_bar", {128, 136, 72}}, WRONG, NULL, "all += ld_shared_f32"},
    {"staged_over_tiles_in_use", {"attention_sm80.no_last_sync", {1, 77, 0}}, RIGHT, NULL, "st_shared_f32(staged"},
    {"rows_overwritten_while_read",
     {"attention_grad_q_sm80.no_sync", {1, 200, 0}},
     RIGHT,
     NULL,
     "_load_k)(args, outer, next"},
    {"staged_over_tiles_in_use",
     {"attention_grad_kv_sm80.no_last_sync", {1, 77, 0}},
     WRONG,
     NULL,
     "_stage)(staged + 16 * STAGED, dv[m][0], 1)"},
    {"rows_known_of_the_wrong_tile",
     {"attention_grad_kv_sm80.same_stage", {1, 200, 0}},
     WRONG,
     NULL,
     "st_shared_f32(known + (stage + 1)"},
    {"no_wait_for_empty",
     {"gemm_sm90.no_empty", {128, 128, 640}},
     REFUSED,
     "more arrivals than its count",
     "mbarrier_arrive_expect_tx("},
    {"stage_freed_early", {"gemm_sm90.early_free", {128, 128, 640}}, SOMETIMES_WRONG, NULL, "LOAD_A(a_tile"},
    {"no_wgmma_wait", {"gemm_sm90.no_wait", {128, 128, 320}}, WRONG, NULL, NULL},
    {"no_proxy_fence", {"gemm_sm90.no_fence", {128, 128, 64}}, RIGHT, NULL, "st_shared_u32(box"},
    {"no_proxy_fence_before_wgmma", {"wgmma_bf16_8.no_fence", {0}}, RIGHT, NULL, "st_shared_u32(to + (u32)(r * 128"},
    {"no_proxy_fence_behind_stores", {"filled_nt.no_fence", {128, 128, 64}}, RIGHT, NULL, "MULTIPLY(A_OPERAND"},
    {"no_proxy_fence_behind_copies", {"filled_tn.no_fence", {128, 64, 128}}, RIGHT, NULL, "MULTIPLY(A_OPERAND"},
    {"copies_landed_late", {"filled_tn.late_wait", {128, 64, 328}}, RIGHT, NULL, "MULTIPLY(A_OPERAND"},
    {"staging_rewritten", {"gemm_sm90.no_read_wait", {300, 264, 72}}, SOMETIMES_WRONG, NULL, "st_shared_u32(box"},
    {"accumulator_rescaled_early", {"attention_sm90.early_rescale", {1, 384, 0}}, WRONG, NULL, "o[i] *= shrink"},
    {"v_used_without_its_barrier", {"attention_sm90.no_v_wait", {1, 384, 0}}, RIGHT, NULL, "ATTENTION_WGMMA_REGS(D"},
    {"no_proxy_fence_behind_cp_async", {"attention_sm90.no_fence", {1, 128, 0}}, RIGHT, NULL, "ATTENTION_WGMMA(OTHER"},
    {"staged_over_q_in_use", {"attention_sm90.no_last_sync", {1, 384, 0}}, RIGHT, NULL, "st_shared_f32(staged"},
    {"wrong_stride_in_descriptor", {"attention_sm90.wrong_stride", {1, 128, 0}}, WRONG, NULL, NULL},
    {"no_proxy_fence_before_gradients",
     {"attention_grad_kv_sm90.no_fence", {1, 128, 0}},
     RIGHT,
     NULL,
     "_issue_dot)(s, k_tile"},
    {"rows_freed_early",
     {"attention_grad_kv_sm90.early_free", {1, 300, 0}},
     SOMETIMES_WRONG,
     NULL,
     "st_shared_f32(known + stage"},
    {"slopes_of_products_under_way", {"grad_q_d64_score_sm90.late_wait", {2, 70, 141}}, WRONG, NULL, NULL},
    {"end_while_stored",
     {"gemm_sm90.no_last_wait", {128, 128, 64}},
     REFUSED,
     "the thread ends before",
     "STORE_BOX(box"},
    {"shuffle_as_if_it_ordered_memory", {"misuse", {0}}, RIGHT, NULL, "written by the neighbour"},
    {"sum_of_blocks_without_atomics", {"misuse", {2}}, RIGHT, NULL, "*sum = *sum + v"},
    {"shared_address_out_of_bounds",
     {"misuse", {6}},
     REFUSED,
     "out of bounds: 4 bytes at offset 256",
     "st_shared_f32(beyond"},
    {"unwritten_shared_memory", {"misuse", {7}}, WRONG, NULL, NULL},
    {"unaligned", {"misuse", {8}}, REFUSED, "no multiple of 16", "ld_global_v4(in + 1)"},
    {"shuffle_in_diverged_code", {"misuse", {9}}, REFUSED, "waits for the other lanes at line", NULL},
    {"mask_names_lanes_that_ended",
     {"misuse", {10}},
     REFUSED,
     "names lanes that have ended",
     "__shfl_xor_sync(ALL_LANES, v, 2)"},
    {"divergent_barrier", {"misuse", {11}}, REFUSED, "divergent barrier: other threads wait at line", NULL},
    {"barrier_that_too_few_reach", {"misuse", {12}}, REFUSED, "waits for a barrier at line", NULL},
};

static const Fault memory_faults[] = {
    /* which the address sanitizer finds */
    {"global_out_of_bounds", {"misuse", {4}}, NOT_RUN, "heap-buffer-overflow", "of the last thread"},
    {"shared_out_of_bounds", {"misuse", {5}}, NOT_RUN, "use-after-poison", "s[t + 1] = v"},
};

/* ---- kernels that are printed from programs ---- */

static void printed(void **state) { /* PROGRAM FILE: 10 orders of threads each */
  char program[64], file[64], *argv[] = {NULL, file, NULL};
  assert_int_equal(sscanf(*state, "%63s %63s", program, file), 2);
  start(program, argv);
  if (strstr(output, "Sanitizer") || !strstr(output, "[  PASSED  ] 1 test(s)."))
    fail_msg("%s: %.4000s", (char *)*state, output);
}

/* Without its barriers a kernel of each form that has some is caught. */
static void printed_without_barriers(void **state) {
  char file[] = "/tmp/sinter_race_XXXXXX.sir", *argv[] = {NULL, file, NULL};
  int f = mkstemps(file, 4);
  assert_true(f >= 0 && write(f, *state, strlen(*state)) == (ssize_t)strlen(*state) && !close(f));
  setenv("WITHOUT", "__syncthreads();", 1);
  start("gpu_text_tsan", argv);
  unsetenv("WITHOUT");
  unlink(file);
  if (!strstr(output, "WARNING: ThreadSanitizer: data race") || !strstr(output, "k.c:"))
    fail_msg("no race was seen in %s\n%.4000s", (char *)*state, output);
}

static const char *const clean_texts[] = {
    "gpu_text_tsan tests/gpu_race/forms.sir", "gpu_text_asan tests/gpu_race/forms.sir",
    "gpu_batch_tsan tests/gpu_race/steps.sir", "gpu_batch_asan tests/gpu_race/steps.sir"};
static const char *const with_barriers[] = {
    "entry turned(x: f32[37, 70]) -> f32[70, 37] { x.T }",
    "entry row_of_block(x: f32[1, 1531]) -> f32[1, 1531] { softmax(x, -1) }",
    "entry parts(x: f32[1, 70000]) -> f32[1] { sum(x, 1) }",
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

int main(void) {
  struct CMUnitTest
      tests[COUNT(right) + COUNT(faults) + COUNT(memory_faults) + COUNT(clean_texts) + COUNT(with_barriers)],
      *t = tests;
  for (size_t i = 0; i < COUNT(right); i++)
    *t++ = (struct CMUnitTest){right[i].kernel, clean, NULL, NULL, (void *)&right[i]};
  for (size_t i = 0; i < COUNT(faults); i++)
    *t++ = (struct CMUnitTest){faults[i].name, caught, NULL, NULL, (void *)&faults[i]};
  for (size_t i = 0; i < COUNT(memory_faults); i++)
    *t++ = (struct CMUnitTest){memory_faults[i].name, caught_by_asan, NULL, NULL, (void *)&memory_faults[i]};
  for (size_t i = 0; i < COUNT(clean_texts); i++)
    *t++ = (struct CMUnitTest){clean_texts[i], printed, NULL, NULL, (void *)(uintptr_t)clean_texts[i]};
  for (size_t i = 0; i < COUNT(with_barriers); i++)
    *t++ = (struct CMUnitTest){with_barriers[i], printed_without_barriers, NULL, NULL,
                               (void *)(uintptr_t)with_barriers[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
