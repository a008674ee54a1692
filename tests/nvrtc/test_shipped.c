/* What users get, compiled by NVRTC and audited: the kernels of kernels/cuda, and of every model every kernel that is
 * printed for a GPU; those of a program in 16-bit floats. No local memory, no spills, no advice of ptxas. Without NVRTC
 * every test is skipped, after the sentence that says why. Arguments: the files to try, instead of all. Runs from the
 * root of the repository. */
#include "cuda_audit.h"
#include "cuda_text.h"
#include "expand_math.h"
#include "pass.h"
#include "plan.h"
#include "simplify.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include "each_file.h"

static char *text_of(Ctx *c, const char *path) {
  const char *why;
  size_t n;
  char *text = file_read(c->arena, path, &n, &why);
  if (!text) fail_msg("%s: %s", path, why);
  return text;
}

/* The text of all stages of a model's kernels that have threads; *kernels is their number. */
static char *printed(Ctx *c, const char *path, int *kernels) {
  Program p;
  LevelUnit planned;
  const char *why = "";
  bool ok = sir_trace(c, path, NULL, &p) && program_map(&p, pass_inline_all, NULL) &&
            program_map(&p, pass_simplify, NULL) && program_map(&p, pass_half, NULL);
  Unit unit = {.program = &p, .init = ok ? plan_init_entry(&p) : NULL};
  if (!ok || !plan_level(&unit, &TARGET_GPU, &planned)) fail_msg("%s: %s", path, diag_first(c->diag, NULL));
  expand_math_module(planned.module, &TARGET_GPU);
  Buf text = {0};
  cuda_text_begin(&text);
  for (uint32_t i = 0; i < planned.module->kernels.n; i++) {
    Kernel *k = planned.module->kernels.at[i];
    for (uint32_t s = 0; s < k->stages.n; s++) {
      CudaStage made;
      CudaWanted want = {80, false, arena_printf(c->arena, "%s_%s", k->name, k->stages.at[s]->name)};
      if (!k->stages.at[s]->threads) continue; /* attention and convolutions have no blocks of threads yet */
      if (!cuda_text_stage(k, k->stages.at[s], &want, &made, &text, &why)) fail_msg("%s: %s", path, why);
      ++*kernels;
    }
  }
  char *kept = arena_strndup(c->arena, text.at, text.n);
  buf_free(&text);
  return kept;
}

static void compiles(void **state) {
  const char *path = *state;
  Ctx c = ctx_new();
  const CudaRtc *rtc = cuda_rtc_open(&c);
  if (!rtc) {
    printf("skipped: %s\n", diag_first(c.diag, NULL));
    ctx_free(&c);
    skip(); /* no NVRTC, as PyPI cannot be reached */
  }
  bool model = strstr(path, ".sir") != NULL;
  static const char *const both[] = {"sm_80", "sm_90a"};
  const char *const *archs = strstr(path, "_sm90") ? both + 1 : both;
  int narchs = model && !strstr(path, "tests/plan") ? 2 : 1, kernels = 0;
  static const char *const names[] = {
      "vocabulary.h",      "operations.h",      "gemm_sm80.cu",   "gemm_simt.cu",      "gemm_result.h",
      "gemm_tile.h",       "gemm_terms.h",      "gemm_end.h",     "attention_sm80.cu", "attention_sm90.cu",
      "attention_holes.h", "attention_alone.h", "attention_end.h"};
  CudaHeader headers[sizeof names / sizeof *names];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    headers[i] = (CudaHeader){names[i], text_of(&c, arena_printf(c.arena, "kernels/cuda/%s", names[i]))};
  CudaProgram p = {.name = path, .headers = headers, .nheaders = sizeof names / sizeof *names, .is_file = !model};
  p.text = model ? printed(&c, path, &kernels) : text_of(&c, path);
  if (model && !kernels) { /* it is one attention or convolution */
    assert_null(strstr(path, "models/digits"));
    ctx_free(&c);
    return;
  }
  LinkFolder folder;
  assert_true(link_folder_make(&c, &folder));
  CudaImage image[2];
  static const char *const exact[] = {"--fmad=false"};
  CudaOptions o = {.folder = &folder, .archs = archs, .narchs = narchs, .options = exact, .noptions = 1};
  bool ok = cuda_compile(&c, rtc, &p, 1, &o, image);
  link_folder_remove(&folder);
  if (!ok) fail_msg("%s", diag_first(c.diag, NULL));
  for (int i = 0; i < narchs; i++) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < image[i].functions.n; k++)
      if (image[i].functions.at[k].registers > most) most = image[i].functions.at[k].registers;
    printf("%s for %s: %u kernels, at most %u registers, %zu bytes, %.1f s\n", path, archs[i], image[i].functions.n,
           most, image[i].size, image[i].seconds);
    if (!cuda_audit(&c, &image[i], NULL, 0)) fail_msg("%s: %s", path, diag_first(c.diag, NULL));
  }
  ctx_free(&c);
}

int main(int argc, char **argv) {
  static const char *const patterns[] = {"kernels/cuda/*.cu",
                                         "models/*.sir",
                                         "tests/bench/models/*.sir",
                                         "tests/plan/half.sir",
                                         "tests/plan/attention_tiles.sir",
                                         NULL};
  return each_file("shipped", argc, argv, patterns, compiles);
}
