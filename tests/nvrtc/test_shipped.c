/* What users get, compiled by NVRTC and audited: the kernels of kernels/cuda, and of every model every kernel that is
 * printed for a GPU; those of a program in 16-bit floats. No local memory, no spills, no advice of ptxas. Without NVRTC
 * every test is skipped, after the sentence that says why. Arguments: the files to try, instead of all. Runs from the
 * root of the repository. */
#include "cuda_audit.h"
#include "cuda_batch.h"
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

typedef Vec(CudaMinimum) Minima;

/* What a kernel by a skeleton was written for. */
static void expect(Ctx *c, const CudaStage *made, Minima *minima) {
  static const struct {
    const char *skeleton, *with, *instruction;
    uint32_t least;
  } written[] = {{"gemm_sm80(", "", "HMMA", 8},
                 {"gemm_sm80(", "", "LDSM", 4},
                 {"gemm_sm80(", "by cp.async", "LDGSTS.128", 1},
                 {"gemm_simt(", "", "FFMA", 512},
                 {"gemm_sm90(", "", "HGMMA", 4},
                 {"gemm_sm90(", "major by TMA", "UTMALDG", 1},
                 {"gemm_sm90(", "c by TMA", "UTMASTG", 1},
                 {"attention_sm80(", "", "HMMA", 16},
                 {"attention_sm80(", "", "LDSM", 4},
                 {"attention_sm90(", "", "HGMMA", 16},
                 {"attention_grad_q_sm80(", "scores scaled", "HMMA", 24},
                 {"attention_grad_q_sm80(", "scores scaled", "LDSM", 14},
                 {"attention_grad_q_sm80(", "", "LDGSTS.128", 4},
                 {"attention_grad_q_sm80(", "scores worked out", "HMMA", 12},
                 {"attention_grad_q_sm80(", "scores worked out", "LDSM", 8},
                 {"attention_grad_kv_sm80(", "scores scaled", "HMMA", 16},
                 {"attention_grad_kv_sm80(", "scores worked out", "HMMA", 12},
                 {"attention_grad_kv_sm80(", "", "LDSM", 8},
                 {"attention_grad_kv_sm80(", "", "LDGSTS.128", 4},
                 {"attention_grad_q_sm90(", "", "HGMMA", 12},
                 {"attention_grad_q_sm90(", "", "LDGSTS.128", 4},
                 {"attention_grad_kv_sm90(", "", "HGMMA", 8},
                 {"attention_grad_kv_sm90(", "", "LDGSTS.128", 4}};
  const char *schedule = made->schedule ? made->schedule : "";
  for (size_t i = 0; i < sizeof written / sizeof *written; i++)
    if (!strncmp(schedule, written[i].skeleton, strlen(written[i].skeleton)) && strstr(schedule, written[i].with))
      vec_push(c->arena, minima, ((CudaMinimum){made->name, written[i].instruction, written[i].least}));
}

/* An access of 16 bytes in the text of a kernel printed whole is one in the code. */
static void expect_wide(Ctx *c, const char *name, const char *text, Minima *minima) {
  static const char *const wide[][2] = {
      {"ld_global_v4(", "LDG.128"}, {"ld_global_nc_v4(", "LDG.128"}, {"st_global_v4(", "STG.128"}};
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
    if (strstr(text, wide[i][0])) vec_push(c->arena, minima, ((CudaMinimum){name, wide[i][1], 1}));
}

/* Appends a kernel for each batch of an entry's launches (plan/plan_batch.c); returns their number. */
static int print_batches(Ctx *c, const LoopModule *m, const Plan *plan, int sm, Buf *text) {
  enum { PARTS = 256 };
  CudaPart part[PARTS];
  const char *why = "";
  int n = 0, batches = 0;
  for (const Step *s = plan->steps, *next; s; s = next) {
    next = s->next;
    while (next && next->kind == STEP_BARRIER) next = next->next;
    if (s->kind == STEP_BARRIER || !s->batch) continue;
    Kernel *k = m->kernels.at[s->kernel];
    assert_true(n < PARTS);
    part[n++] = (CudaPart){k, k->stages.at[s->stage], s->commit};
    if (next && next->batch == s->batch) continue;
    CudaBatch made;
    CudaWanted want = {sm, false, arena_printf(c->arena, "%s_batch%d", plan->name, s->batch)};
    if (!cuda_batch(part, n, &want, &made, text, &why)) fail_msg("%s: %s", plan->name, why);
    n = 0;
    batches++;
  }
  return batches;
}

/* The text for sm_80 or sm_90a of all stages of a model's kernels that have threads; *kernels is their number. */
static char *printed(Ctx *c, const char *path, int sm, int *kernels, Minima *minima) {
  Program p;
  LevelUnit planned;
  const char *why = "";
  bool ok = sir_trace(c, path, NULL, &p) && program_map(&p, pass_inline_all, NULL) &&
            program_map(&p, pass_simplify, NULL) && program_map(&p, pass_half, NULL);
  Unit unit = {.program = &p, .init = ok ? plan_init_entry(&p) : NULL, .tf32 = strstr(path, "tf32") != NULL};
  if (!ok || !plan_level(&unit, &TARGET_GPU, &planned)) fail_msg("%s: %s", path, diag_first(c->diag, NULL));
  expand_math_module(planned.module, &TARGET_GPU);
  Buf text = {0};
  cuda_text_begin(&text);
  for (uint32_t i = 0; i < planned.module->kernels.n; i++) {
    Kernel *k = planned.module->kernels.at[i];
    for (uint32_t s = 0; s < k->stages.n; s++) {
      CudaStage made;
      CudaWanted want = {sm, false, arena_printf(c->arena, "%s_%s", k->name, k->stages.at[s]->name)};
      size_t begin = text.n;
      if (!cuda_text_stage(k, k->stages.at[s], &want, &made, &text, &why)) fail_msg("%s: %s", path, why);
      expect(c, &made, minima);
      if (!made.schedule) expect_wide(c, made.name, text.at + begin, minima);
      ++*kernels;
    }
  }
  for (uint32_t i = 0; i < p.entries.n; i++)
    *kernels += print_batches(c, planned.module, planned.entries[i].plan, sm, &text);
  char *kept = arena_strndup(c->arena, text.at, text.n);
  buf_free(&text);
  return kept;
}

static void compiles_for(Ctx *c, const CudaRtc *rtc, const char *path, const char *arch) {
  static const char *const exact[] = {"--fmad=false"};
  Minima minima = {0};
  bool model = strstr(path, ".sir") != NULL;
  int kernels = 0;
  CudaProgram p = {.name = path, .headers = CUDA_HEADERS, .nheaders = CUDA_HEADER_COUNT, .is_file = !model};
  p.text = model ? printed(c, path, strcmp(arch, "sm_80") ? 90 : 80, &kernels, &minima) : text_of(c, path);
  if (!strncmp(path, "kernels/cuda/", 13)) { /* alone, a kernel is called as its file */
    const char *name = arena_printf(c->arena, "%.*s", (int)strcspn(path + 13, "."), path + 13);
    expect(c, &(CudaStage){.name = name, .schedule = arena_printf(c->arena, "%s(scores scaled", name)}, &minima);
  }
  assert_true(!model || kernels > 0);
  LinkFolder folder;
  assert_true(link_folder_make(c, &folder));
  CudaImage image;
  CudaOptions o = {.folder = &folder, .archs = &arch, .narchs = 1, .options = exact, .noptions = 1};
  bool ok = cuda_compile(c, rtc, &p, 1, &o, &image);
  link_folder_remove(&folder);
  if (!ok) fail_msg("%s", diag_first(c->diag, NULL));
  uint32_t most = 0;
  for (uint32_t k = 0; k < image.functions.n; k++)
    if (image.functions.at[k].registers > most) most = image.functions.at[k].registers;
  if (getenv("SHOW"))
    for (uint32_t k = 0; k < image.functions.n; k++)
      printf("%s: %u registers\n", image.functions.at[k].name, image.functions.at[k].registers);
  printf("%s for %s: %u kernels, at most %u registers, %zu bytes, %.1f s\n", path, arch, image.functions.n, most,
         image.size, image.seconds);
  if (!cuda_audit(c, &image, minima.at, (int)minima.n)) fail_msg("%s: %s", path, diag_first(c->diag, NULL));
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
  bool ours = !strncmp(path, "models/", 7) || strstr(path, "tiles") || strstr(path, "tf32") || strstr(path, "_grad_") ||
              strstr(path, "channels") || strstr(path, "tile_sums");
  /* test_gpu_models has what is left out here for sm_80 */
  bool apart = strstr(path, "tensor_maps") || strstr(path, "channels") || strstr(path, "tile_sums");
  if (!strstr(path, "_sm90") && !apart) compiles_for(&c, rtc, path, "sm_80");
  if (ours || strstr(path, "_sm90") || strstr(path, "tensor_maps")) compiles_for(&c, rtc, path, "sm_90a");
  ctx_free(&c);
}

int main(int argc, char **argv) {
  static const char *const patterns[] = {"kernels/cuda/*.cu",
                                         "tests/gpu_emulator/attention_grad_variants.cu",
                                         "models/*.sir",
                                         "tests/bench/models/*.sir",
                                         "tests/plan/half.sir",
                                         "tests/plan/long_rows.sir",
                                         "tests/gpu_text/tensor_maps.sir",
                                         "tests/gpu_text/score_tiles.sir",
                                         "tests/gpu_text/tiles.sir",
                                         "tests/gpu_text/tf32.sir",
                                         "tests/plan/channels.sir",
                                         "tests/plan/tile_sums.sir",
                                         "tests/plan/attention_tiles.sir",
                                         "tests/plan/attention_grad_tiles.sir",
                                         "tests/nvrtc/tensor_maps.sir",
                                         NULL};
  return each_file("shipped", argc, argv, patterns, compiles);
}
