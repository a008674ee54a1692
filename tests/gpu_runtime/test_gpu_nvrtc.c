/* The plan of two kernels with the code that NVRTC makes of kernels/cuda: cubins for sm_80 and sm_90a, PTX; on cards of
 * several kinds, through the fake driver, which reads the kernels' parameters from the code and copies arguments to
 * where the cubins say. Without NVRTC each test is skipped, after the sentence that says why. */
#include "cuda_compile.h"
#include "gpu_plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GEMM80, SOFTMAX, GEMM90, PROGRAMS, SM80 = 0, SM90A, PTX80, ARCHS };
static const char *const files[PROGRAMS] = {"gemm_sm80", "softmax", "gemm_sm90"};
static const char *const archs[ARCHS] = {"sm_80", "sm_90a", "compute_80"};

static Ctx ctx;
static bool there;
static const void *programs[ARCHS][2];
static GpuImage images[ARCHS] = {
    {.kind = GPU_CUBIN, .sm = 80, .programs = programs[SM80], .kernels = plan_kernels_sm80},
    {.kind = GPU_CUBIN_EXACT, .sm = 90, .programs = programs[SM90A], .kernels = plan_kernels_sm90},
    {.kind = GPU_PTX, .sm = 80, .programs = programs[PTX80], .kernels = plan_kernels_sm80}};

static const char *text(const char *path) {
  const char *why;
  size_t n;
  const char *s = file_read(ctx.arena, path, &n, &why);
  if (!s) fail_msg("%s", why);
  return s;
}

static const void *compiled(const CudaRtc *rtc, const LinkFolder *folder, int program, int arch) {
  static const char *const names[] = {"vocabulary.h", "gemm_result.h", "gemm_tile.h", "gemm_end.h"};
  CudaHeader headers[4];
  for (int i = 0; i < 4; i++)
    headers[i] = (CudaHeader){names[i], text(arena_printf(ctx.arena, "kernels/cuda/%s", names[i]))};
  const CudaProgram p = {.name = files[program],
                         .text = text(arena_printf(ctx.arena, "kernels/cuda/%s.cu", files[program])),
                         .headers = headers,
                         .nheaders = 4};
  const CudaOptions o = {.folder = folder, .archs = &archs[arch], .narchs = 1};
  CudaImage m;
  const char *id;
  if (!cuda_compile(&ctx, rtc, &p, 1, &o, &m)) fail_msg("%s", diag_first(ctx.diag, &id));
  void *code = arena_alloc(ctx.arena, m.size + 1);
  return memcpy(code, m.code, m.size);
}

static int make(void **state) {
  (void)state;
  LinkFolder folder;
  const char *id;
  ctx = ctx_new();
  const CudaRtc *rtc = cuda_rtc_open(&ctx);
  there = rtc != NULL;
  if (!there) {
    printf("skipped: %s\n", diag_first(ctx.diag, &id));
    return 0;
  }
  if (!link_folder_make(&ctx, &folder)) return -1;
  for (int a = 0; a < ARCHS; a++) {
    programs[a][0] = compiled(rtc, &folder, a == SM90A ? GEMM90 : GEMM80, a);
    programs[a][1] = compiled(rtc, &folder, SOFTMAX, a);
    images[a].nprograms = images[a].nkernels = 2;
  }
  link_folder_remove(&folder);
  return 0;
}

static int clean(void **state) {
  (void)state;
  ctx_free(&ctx);
  return 0;
}

static int want; /* the image that the card must get */
static void plan(void) {
  trial_begin(images, ARCHS);
  MUST(trial.device->image == &images[want]);
  trial_call(PLAN_M, 1);
  uint64_t first = trial.hash;
  trial_call(7, 2);
  trial_call(PLAN_M, 1); /* again, as a graph */
  MUST(trial.hash == first);
  trial_move(SLOT_ARENA);
  trial_move(SLOT_IN);
  trial_call(PLAN_M, 1);
  MUST(trial.hash == first && fake_state().instantiated == 2 && fake_state().nodes_set == 2);
  trial_end();
  setenv("SINTER_GPU_SYNC", "1", 1);
  trial_begin(images, ARCHS);
  trial_call(PLAN_M, 1);
  MUST(trial.hash == first && fake_state().instantiated == 2);
  trial_end();
}

static void cards(void **unused) {
  (void)unused;
  static const struct {
    const char *card;
    int image;
  } rows[] = {{"SINTER_FAKE_CC=80", SM80},
              {"SINTER_FAKE_CC=86", SM80},
              {"SINTER_FAKE_CC=90", SM90A},
              {"SINTER_FAKE_CC=100", PTX80},
              {"SINTER_FAKE_CC=120", PTX80}};
  if (!there) skip(); /* no NVRTC: there are no cubins to run; what is wanted of it was printed */
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    want = rows[i].image;
    int status = in_child(plan, (const char *[]){rows[i].card, NULL});
    if (status) fail_msg("%s: %d", rows[i].card, status);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(cards)};
  return cmocka_run_group_tests(tests, make, clean);
}
