/* Artefacts with code for GPUs, `sinter compile --gpu`: what the options allow, what every kind of binary says of its
 * code, the same bytes again; with a stand-in for NVRTC, so without NVIDIA's software. Then with NVRTC itself: every
 * launch of the description against the machine code that it launches. Runs cc from the root of the repository. */
#include "abi.h"
#include "cubin.h"
#include "cuda_rtc.h"
#include "gpu_card.h"
#include "gpu_code.h"
#include "pass.h"
#include "sinter.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include "run_sinter.h"

/* Rows, a sum in parts, a failure that must not be stored, a copy of an input, two states that change places. */
static const char MODEL[] = "state a: f32[8] = ones([8])\n"
                            "state b: f32[8] = zeros([8])\n"
                            "state table: f32[5, 4] = ones([5, 4])\n"
                            "entry rows(x: f32[B, 300]) -> f32[B, 300] where B <= 9 { softmax(x * 2, -1) }\n"
                            "entry total(x: f32[B, 8]) -> (f32[8], f32[B, 8]) where B <= 999 { (sum(x, 0), x) }\n"
                            "entry swap(x: f32[8]) -> f32[8] {\n  old = a\n  a <- b\n  b <- old\n  x + a\n}\n"
                            "entry may_fail(i: i64[B], v: f32[4]) -> f32[B, 4] where B <= 11 {\n"
                            "  table[0] <- v\n  table[i]\n}\n";

static char fake[128];
static bool there; /* an NVRTC that can be used */

static int make(void **state) {
  (void)state;
  Ctx c = ctx_new();
  const char *id;
  there = cuda_rtc_open(&c) != NULL;
  if (!there) printf("skipped: %s\n", diag_first(c.diag, &id));
  ctx_free(&c);
  snprintf(folder, sizeof folder, "/tmp/test_gpu_code_%d", (int)getpid());
  snprintf(fake, sizeof fake, "%s/fake", folder);
  if (mkdir(folder, 0777) || mkdir(fake, 0777)) return 1;
  char path[128];
  snprintf(path, sizeof path, "%s/m.sir", folder);
  FILE *f = fopen(path, "w");
  if (!f || fputs(MODEL, f) < 0 || fclose(f)) return 1;
  return shell("cc -shared -fPIC -DMAJOR=13 $ROOT/tests/nvrtc/fake_nvrtc.c -o fake/libnvrtc.so.13 && "
               "cc -shared -fPIC -x c /dev/null -o fake/libnvrtc-builtins.so.13.7");
}

static void stand_in(bool on) {
  if (on)
    setenv("SINTER_NVRTC", fake, 1);
  else
    unsetenv("SINTER_NVRTC");
}

static void says(const char *arguments, int status, const char *sentence) {
  assert_int_equal(sinter(arguments), status);
  assert_string_equal(err, sentence);
}

static void refusals(void **state) {
  (void)state;
#define USE "`sinter compile --help` says how it is used.\n"
#define NO_GPU(word)                                                                                                   \
  "error: '" word "' is no GPU to compile for: give --gpu sm_80, sm_90a or another one from sm_80 on, or compute_80 "  \
  "for all that come later, several of them with commas between [gpu-arch]\n"
  stand_in(true);
  says("compile m.sir --gpu sm_75 -o m.so", 1, NO_GPU("sm_75"));
  says("compile m.sir --gpu sm_80, -o m.so", 1, NO_GPU(""));
  says("compile m.sir --gpu sm_80,90a -o m.so", 1, NO_GPU("90a"));
  says("compile m.sir --gpu compute_90a -o m.so", 1, NO_GPU("compute_90a"));
  says("compile m.sir --gpu sm_90f -o m.so", 1, NO_GPU("sm_90f"));
  says("compile m.sir --gpu sm_120 -o m.so", 1,
       "error: NVRTC 13.7 does not compile for the architecture \"sm_120\"; it does for sm_80, sm_90 (some also with a "
       "letter, as sm_90a), and to PTX for compute_80 and so on [cuda-arch]\n");
  says("compile m.sir --gpu sm_80 --emit loop", 2,
       "sinter: --gpu goes with --emit so, lib or obj, not with loop\n" USE);
  says("compile m.sir --gpu sm_80 --emit exe -o m", 2,
       "sinter: --gpu goes with --emit so, lib or obj, not with exe\n" USE);
  setenv("SINTER_NVRTC", "/nowhere/lib.so", 1);
  assert_int_equal(sinter("compile m.sir --gpu sm_80 -o m.so"), 1);
  assert_non_null(strstr(err, "error: SINTER_NVRTC: /nowhere/lib.so cannot be used: "));
  assert_non_null(strstr(err, " [no-nvrtc]\n"));
  stand_in(true);
  assert_int_equal(sinter("compile m.sir --gpu sm_90 -o m.so"), 1); /* the stand-in's code is no cubin */
  assert_non_null(strstr(err, "m_sm80_0.cu for sm_90: the cubin cannot be read: it is no cubin [audit-cubin]\n"));
  assert_int_equal(shell("ls"), 0);
  assert_string_equal(out, "fake\nm.sir\nstderr\nstdout\n"); /* nothing was written */
}

/* Code that was recorded, with what ptxas might say of it. */
static void slow(void **state) {
  (void)state;
  Ctx c = ctx_new();
  const char *why;
  CudaProgram p = {.name = "shuffles.cu"};
  CudaImage m = {.program = &p, .arch = "sm_80"};
  m.code = (const uint8_t *)file_read(c.arena, "tests/nvrtc/cubins/shuffles.sm_80.cubin", &m.size, &why);
  assert_non_null(m.code);
  assert_true(gpu_accept(&c, &m));
  Buf said = {0};
  diag_print(c.diag, &said);
  assert_int_equal(said.n, 0);
  vec_push(c.arena, &m.functions, ((CudaFunction){.name = "k", .kernel = true, .spill_stores = 24, .spill_loads = 8}));
  assert_true(gpu_accept(&c, &m));
  diag_print(c.diag, &said);
  assert_string_equal(said.at,
                      "warning: k for sm_80: registers do not suffice: a thread stores 24 and loads 8 bytes of "
                      "them in memory: that is right, but slower than it could be [gpu-slow]\n");
  buf_free(&said);
  ctx_free(&c);
}

/* Kernels for a processor instead: what cannot be written is said, with the place of the group. */
static void no_threads(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  GpuCode g = {0};
  const char *id;
  char path[128];
  snprintf(path, sizeof path, "%s/m.sir", folder);
  Unit unit = {.program = &p};
  assert_true(sir_trace(&c, path, NULL, &p) && program_map(&p, pass_inline_all, NULL) && gpu_archs(&c, "sm_80", &g));
  assert_true(plan_level(&unit, target_find("v3"), &g.level));
  assert_false(gpu_texts(&p, &g));
  assert_string_equal(diag_first(c.diag, &id),
                      "kernel rows_0_row cannot be written for a GPU: there are no threads in main");
  assert_string_equal(id, "gpu-kernel");
  Buf said = {0};
  diag_print(c.diag, &said);
  assert_non_null(strstr(said.at, "m.sir:4:58: error: "));
  buf_free(&said);
  ctx_free(&c);
}

static void binaries(void **state) {
  (void)state;
  stand_in(true);
  assert_int_equal(shell("mkdir -p a b"), 0);
  assert_int_equal(sinter("compile m.sir --cpu v2 --gpu compute_80,compute_90,compute_80 -j 1 --size --time --check "
                          "--dump-dir a/dump -o a/m.so"),
                   0);
  assert_non_null(strstr(out, "  code for GPUs\n"));
  assert_non_null(strstr(err, " ms  plan_gpu\n"));
  assert_non_null(strstr(err, " ms  NVRTC (compute_80 "));
  assert_null(strstr(err, "error"));
  assert_int_equal(shell("cat a/dump/*_kernels_0_sm80.cu && ls a/dump"), 0);
  assert_non_null(strstr(out, "#include \"operations.h\"\n"));
  assert_non_null(strstr(out, "_expand_math_gpu.loop\n"));
  assert_int_equal(sinter("info a/m.so"), 0);
  const char *line = strstr(out, "\nGPU code: compute_80 (PTX, ");
  assert_non_null(line);
  assert_non_null(strstr(line, " KB), compute_90 (PTX, "));
  assert_int_equal(sinter("compile m.sir --cpu v2 --gpu compute_80,compute_90 -j 5 -o b/m.so"), 0);
  assert_int_equal(shell("cmp a/m.so b/m.so && cmp a/m.h b/m.h"), 0); /* the same bytes */
  assert_int_equal(sinter("compile m.sir --cpu v2 -o b/plain.so"), 0);
  assert_int_equal(sinter("info b/plain.so"), 0);
  assert_null(strstr(out, "GPU code"));
  static const char *const others[] = {"obj -o b/m.o", "lib -o b/libm.a"};
  for (int i = 0; i < 2; i++) {
    char arguments[128];
    snprintf(arguments, sizeof arguments, "compile m.sir --cpu v2 --gpu compute_80 --size --emit %s", others[i]);
    assert_int_equal(sinter(arguments), 0);
    assert_non_null(strstr(out, "  code for GPUs\n"));
  }
  assert_int_equal(sinter("compile m.sir --cpu v2 --gpu compute_80 --max-size 1K -o b/no.so"), 1);
  assert_non_null(strstr(err, "; fewer levels (--cpu) or architectures (--gpu) make it smaller [max-size]\n"));
  assert_int_equal(shell("grep -q k0_rows_0_row_main b/m.o && grep -q k0_rows_0_row_main b/libm.a"), 0);
  assert_int_equal(sinter("info a/m.so --kernels"), 0);
  assert_non_null(strstr(out, "\n  compute_80 k0_rows_0_row_main\n"));
  assert_non_null(strstr(out, "\nGPU code: compute_80 (PTX, "));
}

/* ---- launches against code ---- */

typedef struct Opened {
  SinterArtefact art;
  char *file;
  size_t bytes;
  const char *code; /* the block of code: it begins with a cubin */
} Opened;

static Opened open_artefact(const char *name) {
  Opened o;
  char path[128], why[SINTER_WHY];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (!sinter_artefact_read(&o.art, path, why)) fail_msg("%s", why);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  o.bytes = o.art.bytes;
  o.file = malloc(o.bytes);
  assert_int_equal(fread(o.file, 1, o.bytes, f), o.bytes);
  fclose(f);
  o.code = NULL;
  for (const char *p = o.file + 64; !o.code && p + 64 < o.file + o.bytes; p += 64)
    if (!memcmp(p, "\177ELF", 4) && p[18] == (char)190) o.code = p;
  assert_non_null(o.code);
  return o;
}

static const CubinKernel *kernel_named(const Cubin *c, const char *name) {
  for (uint32_t i = 0; i < c->nkernels; i++)
    if (!strcmp(c->kernel[i].name, name)) return &c->kernel[i];
  return NULL;
}

/* Each kernel is in the program that is said to hold it. */
static const CubinKernel **image_kernels(Arena *a, const Opened *o, const SinterGpuImage *g) {
  const SinterModel *m = o->art.model;
  const SinterGpuProgram *p = SINTER_LIST(SinterGpuProgram, m, g->programs);
  const SinterGpuKernel *k = SINTER_LIST(SinterGpuKernel, m, g->kernels);
  const CubinKernel **found = ARENA_ARRAY(a, const CubinKernel *, g->kernels.n + 1);
  Cubin *c = ARENA_ARRAY(a, Cubin, g->programs.n + 1);
  for (uint32_t i = 0; i < g->programs.n; i++) {
    const char *why;
    char *copy = memcpy(arena_alloc(a, p[i].bytes), o->code + p[i].at, p[i].bytes);
    assert_true(o->code + p[i].at + p[i].bytes <= o->file + o->bytes);
    if (!cubin_read(a, copy, p[i].bytes, &c[i], &why)) fail_msg("program %u: %s", i, why);
    assert_int_equal(c[i].sm, g->sm);
  }
  for (uint32_t i = 0; i < g->kernels.n; i++) {
    found[i] = kernel_named(&c[k[i].program], sinter_text(m, k[i].name));
    if (!found[i]) fail_msg("there is no %s", sinter_text(m, k[i].name));
  }
  return found;
}

static void launch_fits(const SinterModel *m, const SinterGpuStep *s, const CubinKernel *k) {
  const SinterGpuArg *a = SINTER_LIST(SinterGpuArg, m, s->args);
  uint32_t words = 0, tensors = 0, failed = 0;
  for (uint32_t i = 0; i < s->args.n; i++) {
    *(a[i].kind == SINTER_GPU_ARG_TENSOR ? &tensors : &words) += 1;
    failed += a[i].kind == SINTER_GPU_ARG_FAILED;
  }
  assert_int_equal(k->nparams, (words > 0) + tensors);
  if (words) assert_int_equal(k->param[0].size, words * 8);
  for (uint32_t i = words > 0; i < k->nparams; i++) assert_int_equal(k->param[i].size, 128);
  assert_int_equal(k->threads[0], s->block);
  assert_int_equal(failed > 0, s->flags != 0);
}

static void launches(const char *model, uint32_t least_kernels) {
  Arena *a = arena_new();
  char arguments[256];
  snprintf(arguments, sizeof arguments, "compile %s --cpu v3 --gpu sm_90a,sm_80,compute_80 -o real.so", model);
  if (sinter(arguments)) fail_msg("%s", err);
  Opened o = open_artefact("real.so");
  const SinterModel *m = o.art.model;
  const SinterGpuImage *g = SINTER_LIST(SinterGpuImage, m, m->gpu_images);
  assert_int_equal(m->gpu_images.n, 3);
  assert_true(g[0].kind == SINTER_GPU_CUBIN_EXACT && g[1].kind == SINTER_GPU_CUBIN && g[2].kind == SINTER_GPU_PTX);
  assert_true(g[0].sm == 90 && g[1].sm == 80 && g[2].sm == 80);
  const SinterGpuProgram *ptx = SINTER_LIST(SinterGpuProgram, m, g[2].programs);
  for (uint32_t i = 0; i < g[2].programs.n; i++)
    assert_int_equal(strlen(o.code + ptx[i].at) + 1, ptx[i].bytes); /* its end is there */
  const CubinKernel **kernels[2] = {image_kernels(a, &o, &g[0]), image_kernels(a, &o, &g[1])};
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries);
  assert_true(g[0].kernels.n >= least_kernels);
  uint32_t steps = 0;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterVariant *v = SINTER_LIST(SinterVariant, m, e[i].variants);
    assert_int_equal(v[0].level, SINTER_LEVEL_V3);
    assert_int_equal(e[i].variants.n, i == m->init ? 1 : 4); /* start values are the processor's */
    for (uint32_t k = 1; k < e[i].variants.n; k++) {
      assert_int_equal(v[k].level, SINTER_LEVELS + k - 1);
      const SinterPlan *p = SINTER_LIST(SinterPlan, m, m->gpu_plans) + v[k].plan;
      const SinterGpuStep *s = SINTER_LIST(SinterGpuStep, m, p->steps);
      for (uint32_t n = 0; n < p->steps.n; n++, steps++)
        if (k < 3) launch_fits(m, &s[n], kernels[k - 1][s[n].kernel]);
    }
  }
  assert_true(steps > 0);
  free(o.file);
  sinter_artefact_close(&o.art);
  arena_free(a);
}

static void code(void **state) {
  (void)state;
  if (!there) skip(); /* no NVRTC: why was printed by make() */
  stand_in(false);
  launches("m.sir", 8);
  launches("$ROOT/tests/plan/rows.sir", 20);
  launches("$ROOT/tests/plan/indices.sir", 20);
  launches("$ROOT/tests/plan/updates.sir", 10); /* several stages in one launch */
}

/* ---- explain ---- */

/* As NVIDIA's occupancy calculator has it. */
static void occupancy(void **state) {
  (void)state;
  static const struct {
    int sm, threads;
    uint32_t registers, shared;
    int blocks;
  } rows[] = {{80, 256, 32, 0, 8}, /* by warps */
              {80, 32, 16, 0, 32}, /* by blocks */
              {86, 32, 16, 0, 16},
              {86, 256, 32, 0, 6},
              {80, 128, 64, 0, 8}, /* by registers: 2048 a warp */
              {80, 128, 65, 0, 7}, /* 2304 a warp: 28 warps */
              {90, 1024, 64, 0, 1},
              {90, 384, 168, 213056, 1},
              {80, 256, 128, 98304, 1} /* by shared memory: with the system's 97 KB of 164 */,
              {90, 256, 128, 98304, 2},
              {80, 256, 32, 170000, 0}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (gpu_blocks(gpu_card(rows[i].sm), rows[i].threads, rows[i].registers, rows[i].shared) != rows[i].blocks)
      fail_msg("row %zu", i);
  assert_null(gpu_card(120));
}

static void explains(void **state) {
  (void)state;
  stand_in(true);
  assert_int_equal(sinter("explain m.sir --gpu compute_80"), 0);
  assert_null(strstr(out, " on v"));
  assert_non_null(strstr(out, "entry rows on gpu: 1 kernels\n"));
  assert_non_null(strstr(out, ", passes = 3, hold = registers)\n    launch main\n      compute_80: "));
  assert_non_null(strstr(out, "    copy x0 to o1\n      compute_80: "));
  assert_non_null(strstr(out, " blocks of 256 threads, at B = 999: 8; PTX, which the driver compiles\n"));
  assert_int_equal(sinter("explain m.sir --gpu compute_80 --cpu v2"), 0);
  assert_non_null(strstr(out, "entry rows on v2: 1 kernels\n"));
  assert_non_null(strstr(out, "entry rows on gpu: 1 kernels\n"));
  assert_int_equal(sinter("explain $ROOT/tests/plan/updates.sir --gpu compute_80"), 0);
  assert_non_null(strstr(out, "    launch main, at once with 1 more\n      compute_80: "));
  if (!there) skip(); /* no NVRTC, whose registers are printed: why was printed by make() */
  stand_in(false);
  assert_int_equal(sinter("explain m.sir --gpu sm_80,sm_90a,sm_89"), 0);
  assert_non_null(strstr(out, " registers, "));
  assert_non_null(strstr(out, " of its warps, "));
  assert_non_null(strstr(out, "; A100 SXM 80 GB: at least "));
  assert_non_null(strstr(out, "; H100 SXM: at least "));
  assert_non_null(strstr(out, " us, bound by memory\n"));
  assert_int_equal(sinter("compile m.sir --cpu v2 --gpu sm_80 -o said.so"), 0);
  assert_int_equal(sinter("explain said.so"), 0); /* what a library carries */
  assert_non_null(strstr(out, "entry rows on v2: 1 kernels\n"));
  assert_non_null(strstr(out, "; A100 SXM 80 GB: at least "));
}

static void same_code(void **state) {
  (void)state;
  if (!there) skip(); /* no NVRTC: why was printed by make() */
  stand_in(false);
  assert_int_equal(shell("mkdir -p c d"), 0);
  assert_int_equal(sinter("compile m.sir --cpu v2 --gpu sm_80,sm_90a -j 1 -o c/m.so"), 0);
  assert_int_equal(sinter("compile m.sir --cpu v2 --gpu sm_80,sm_90a -j 3 -o d/m.so"), 0);
  assert_int_equal(shell("cmp c/m.so d/m.so"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(refusals),  cmocka_unit_test(no_threads),
                                     cmocka_unit_test(slow),      cmocka_unit_test(binaries),
                                     cmocka_unit_test(code),      cmocka_unit_test(same_code),
                                     cmocka_unit_test(occupancy), cmocka_unit_test(explains)};
  return cmocka_run_group_tests(tests, make, clean);
}
