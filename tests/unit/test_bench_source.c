/* `sinter bench --emit c`: programs written for kernels of every kind compile without a warning by gcc and clang, and
 * the checksum of their results is that of the loop interpreter on the same data: bit for bit. Levels that this
 * processor lacks are compiled, not run. Arguments: models, all kernels of which are to be tried instead. Run from the
 * root. */
#include "group.h"
#include "pipeline.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka wants the headers above it
#include <cmocka.h>

typedef struct Case {
  const char *model, *entry, *kernel, *level;
  int64_t B;        /* the dimension of that name */
  const char *kind; /* what it is there for, a word of what `sinter explain` says of it */
} Case;

static const Case CASES[] = {
    {"models/digits.sir", "step", "k0", "v3", 7, "elementwise"},
    {"models/digits.sir", "step", "k1", "v4", 50, "gemm"}, /* packs its operand, epilogue of bias, relu and its slope */
    {"models/digits.sir", "step", "step_1_gemm", "v2", 7, "gemm"},
    {"models/digits.sir", "predict", "0", "v3", 50, "gemm"}, /* weights that were packed before */
    {"models/digits.sir", "step", "k2", "v3", 9, "random"},  /* short random numbers by permutations */
    {"models/digits.sir", "step", "k2", "v4", 9, "random"},
    {"models/digits.sir", "step", "k6", "v4", 256, "row"}, /* softmax, argmax, a gather and its scatter */
    {"models/digits.sir", "step", "k6", "v2", 7, "row"},
    {"models/digits.sir", "step", "k9", "v3", 1, "elementwise"}, /* scalars: cos, pow */
    {"models/digits.sir", "step", "k10", "v4", 50, "reduce"},
    {"models/digits_cnn.sir", "predict", "k2", "v3", 3, "conv"},
    {"models/digits_cnn.sir", "predict", "k4", "v4", 3, "conv"},
    {"models/digits_cnn.sir", "step", "k13", "v4", 3, "nest"}, /* max pooling */
    {"models/digits_cnn.sir", "step", "k23", "v3", 3, "nest"}, /* its gradient */
    {"models/digits_cnn.sir", "step", "k32", "v2", 3, "conv"},
    {"tests/plan/attention.sir", "causal", "k0", "v3", 3, "attention"},
    {"tests/plan/attention.sir", "wide", "k0", "v4", 0, "attention"},
    {"tests/plan/indices.sir", "along", "k0", "v4", 5, "gather"},
    {"tests/plan/half.sir", "chain", "k0", "v2", 5, "elementwise"}, /* conversions of f16 and bf16 */
    {"tests/plan/half.sir", "chain", "k0", "v3", 5, "elementwise"},
    {"tests/plan/half.sir", "chain", "k0", "v4", 5, "elementwise"},
    {"tests/plan/half.sir", "products", "k1", "v3", 5, "gemm"},
    {"tests/plan/half.sir", "products", "k0", "v4", 5, "gemm"},
    {"tests/plan/half.sir", "rows", "k0", "v3", 5, "row"},
    {"tests/plan/half.sir", "images", "k0", "v3", 3, "conv"},
    {"tests/plan/indices.sir", "pick", "k0", "v3", 5, "gather"},
};

/* ---- the data of the program ---- */

static uint64_t draw(uint64_t n) {
  uint64_t z = (n + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static void fill(char *at, DType d, uint64_t x, uint64_t below) {
  float f = (float)((int64_t)(x >> 40) - (1 << 23)) * 0x1p-23f;
  double g = (double)((int64_t)(x >> 11) - (INT64_C(1) << 52)) * 0x1p-52;
  uint64_t whole = d == DT_BOOL ? x & 1 : d == DT_U32 ? x : x % (dtype_size(d) == 1 && below > 128 ? 128 : below);
  if (dtype_is_half(d)) whole = d == DT_F16 ? (x & 0x83ff) | 0x3800 : (x & 0x807f) | 0x3f00;
  memcpy(at, d == DT_F32 ? (void *)&f : d == DT_F64 ? (void *)&g : (void *)&whole, dtype_size(d)); /* little-endian */
}

static void add(uint64_t *sum, const char *at, DType d) {
  float f;
  double g;
  memcpy(&f, at, 4);
  if (d == DT_F64) memcpy(&g, at, 8);
  static const char zero[8];
  if ((d == DT_F32 && f != f) || (d == DT_F64 && g != g)) at = zero;
  for (size_t i = 0; i < dtype_size(d); i++) *sum = (*sum ^ (unsigned char)at[i]) * 0x100000001b3;
}

/* The kernel's stages as a plan of their own, with a barrier between them, in the loop interpreter. */
static uint64_t interpret(const Compilation *c, const CProgram *p, uint64_t below) {
  const Kernel *k = p->kernel;
  Arena *a = k->ctx->arena;
  LoopModule *m = loop_module_new(k->ctx);
  Plan *plan = ARENA_NEW(a, Plan);
  LoopArg *args = ARENA_ARRAY(a, LoopArg, k->nparams + 1);
  int *home = ARENA_ARRAY(a, int, k->nparams + 1);
  size_t *n = ARENA_ARRAY(a, size_t, k->nparams + 1);
  bool *read = ARENA_ARRAY(a, bool, k->bufs.n), *write = ARENA_ARRAY(a, bool, k->bufs.n);
  *m = *c->level[0].module;
  vec_push(a, &m->plans, plan);
  plan->name = "bench";
  for (uint32_t i = 0; i < k->dims.n; i++) vec_push(a, &plan->dims, k->dims.at[i]);
  for (int i = 0; i < k->nparams; i++) {
    LoopBuf b = k->bufs.at[i];
    n[i] = (size_t)c_elements(p, i);
    if (b.inplace >= 0) continue;
    home[i] = (int)plan->bufs.n;
    char *data = arena_alloc(a, n[i] * dtype_size(b.dtype) + 8);
    for (size_t j = 0; j < n[i] && b.kind != BUF_OUT; j++)
      fill(data + j * dtype_size(b.dtype), b.dtype, draw(j + ((uint64_t)i << 40)), below);
    args[home[i]].data = data;
    if (b.kind == BUF_IN) b.kind = BUF_INOUT; /* perhaps it is stored over */
    vec_push(a, &plan->bufs, b);
  }
  for (int i = 0; i < k->nparams; i++)
    if (k->bufs.at[i].inplace >= 0) home[i] = home[k->bufs.at[i].inplace];
  plan->nparams = (int)plan->bufs.n;
  Step **tail = &plan->steps;
  for (int i = 0; i < p->nstages; i++) {
    Step *s = ARENA_NEW(a, Step);
    if (i) *tail = ARENA_NEW(a, Step), (*tail)->kind = STEP_BARRIER, tail = &(*tail)->next;
    *s = (Step){.kind = STEP_LAUNCH, .stage = p->stages[i], .ndims = (int)k->dims.n, .nviews = k->nparams};
    while (m->kernels.at[s->kernel] != k) s->kernel++;
    s->dims = ARENA_ARRAY(a, Sym, k->dims.n + 1);
    s->views = ARENA_ARRAY(a, View, k->nparams + 1);
    for (uint32_t j = 0; j < k->dims.n; j++) s->dims[j] = k->dims.at[j].var;
    loop_uses(k, k->stages.at[s->stage], read, write);
    for (int j = 0; j < k->nparams; j++) s->views[j].buf = read[j] || write[j] ? home[j] : -1;
    *tail = s, tail = &s->next;
  }
  LoopRun run = {.level = p->target->name, .seed = 1};
  if (!loop_run(m, "bench", p->dims, args, &run)) fail_msg("%s", diag_first(k->ctx->diag, NULL));
  uint64_t sum = 0xcbf29ce484222325;
  for (int i = 0; i < k->nparams; i++)
    for (size_t j = 0; j < n[i] && k->bufs.at[i].kind != BUF_IN; j++)
      add(&sum, (char *)args[home[i]].data + j * dtype_size(k->bufs.at[i].dtype), k->bufs.at[i].dtype);
  return sum;
}

/* ---- */

static char folder[] = "/tmp/sinter_test_XXXXXX";

static bool runs(const Target *t) {
#if defined __x86_64__
  __builtin_cpu_init();
  return t->level == LEVEL_V4   ? __builtin_cpu_supports("x86-64-v4")
         : t->level == LEVEL_V3 ? __builtin_cpu_supports("x86-64-v3")
                                : t->level == LEVEL_V2;
#else
  return false;
#endif
}

/* What a program says: the bound of integers, if it has some, and the checksum. */
static uint64_t said(const char *command, uint64_t *below) {
  char text[128];
  unsigned long long sum = 0, n = 1 << 14;
  bool found = false;
  FILE *f = popen(command, "r");
  assert_non_null(f);
  while (fgets(text, sizeof text, f)) {
    sscanf(text, "integers below %llu", &n);
    found |= sscanf(text, "checksum %llx", &sum) == 1;
  }
  assert_int_equal(pclose(f), 0);
  assert_true(found);
  *below = n;
  return sum;
}

static const char *trace(Compilation *c, Program *p, const Case *x, Ctx *ctx) {
  if (!sir_trace(ctx, x->model, &(SirOptions){0}, p)) return "tracing";
  c->program = p;
  return NULL;
}

static void compare(const Compilation *c, const CProgram *p, const Case *x) {
  static const char *const compilers[] = {"cc", "clang-19"};
  Buf text = {0};
  const char *why;
  char command[512];
  if (!c_program(p, &text, &why)) fail_msg("%s of %s: %s", x->kernel, x->model, why);
  snprintf(command, sizeof command, "%s/k.c", folder);
  FILE *f = fopen(command, "w");
  assert_true(f && fwrite(text.at, 1, text.n, f) == text.n && !fclose(f));
  buf_free(&text);
  for (int i = 0; i < 2; i++) {
    uint64_t below;
    snprintf(command, sizeof command,
             "%s -std=c17 -O2 -march=x86-64-%s -ffp-contract=off -fwrapv -Wall -Wextra -Werror %s/k.c -lm -o %s/k",
             compilers[i], x->level, folder, folder);
    if (system(command)) fail_msg("%s refuses %s of %s on %s", compilers[i], x->kernel, x->model, x->level);
    if (!runs(p->target)) continue;
    snprintf(command, sizeof command, "%s/k 0", folder);
    uint64_t got = said(command, &below), want = interpret(c, p, below);
    if (got != want)
      fail_msg("%s of entry %s of %s on %s by %s: %016llx, the interpreter has %016llx", x->kernel, x->entry, x->model,
               x->level, compilers[i], (unsigned long long)got, (unsigned long long)want);
  }
}

static void one(void **state) {
  const Case *x = *state;
  Ctx ctx = ctx_new();
  CompileResult none = {0};
  CompileOptions o = {.emit = EMIT_LLVM, .cpu = x->level};
  Compilation c = {.options = &o, .result = &none};
  Program program;
  CProgram p;
  const char *what = trace(&c, &program, x, &ctx), *dims[] = {"B"};
  BenchSource q = {.entry = x->entry, .kernel = x->kernel, .dims = dims, .values = &x->B, .ndims = x->B > 0};
  if (!what && !bench_kernel(&c, &q, &p)) what = "finding a kernel";
  if (what) fail_msg("%s: %s: %s", x->model, what, diag_first(ctx.diag, NULL));
  if (x->kind && !strstr(p.about, x->kind)) fail_msg("%s of %s is no %s:\n%s", x->kernel, x->model, x->kind, p.about);
  compare(&c, &p, x);
  ctx_free(&ctx);
}

/* Every kernel of a model, on every level. */
static void all_kernels(void **state) {
  for (int level = LEVEL_V2; level <= LEVEL_V4; level++) {
    Ctx ctx = ctx_new();
    Program p;
    Case x = {.model = *state, .level = TARGETS[level].name};
    CompileResult none = {0};
    CompileOptions o = {.emit = EMIT_LLVM, .cpu = x.level};
    Compilation c = {.options = &o, .result = &none};
    if (trace(&c, &p, &x, &ctx) || !compile_levels(&c) || !compile_graphs(&c) || !compile_loops(&c))
      fail_msg("%s: %s", x.model, diag_first(ctx.diag, NULL));
    for (uint32_t e = 0; e < p.entries.n; e++) {
      uint32_t n = c.level[0].entries[e].groups->at.n;
      for (uint32_t k = 0; k < n; k++) {
        char name[16];
        snprintf(name, sizeof name, "k%u", k);
        x.entry = p.entries.at[e].name;
        x.kernel = name;
        print_message("%s %s %s %s\n", x.model, x.entry, x.kernel, x.level);
        void *y = &x;
        one(&y);
      }
    }
    ctx_free(&ctx);
  }
}

static void refused(void **state) {
  (void)state;
  const struct {
    BenchSource q;
    const char *levels, *id, *sentence;
  } wrong[] = {
      {{"stop", "k0", NULL, NULL, 0}, "v3", "bench-entry", "there is no entry stop; did you mean step?"},
      {{"nothing", "k0", NULL, NULL, 0}, "v3", "bench-entry", "there is no entry nothing; `sinter check` lists them"},
      {{NULL, "k0", NULL, NULL, 0},
       "v3",
       "bench-entry",
       "the model has 3 entries: name the one that the kernel belongs to"},
      {{"predict", "k4", NULL, NULL, 0},
       "v3",
       "bench-kernel",
       "entry predict has no kernel k4: it has k0 to k3, which `sinter explain` lists"},
      {{"predict", "k", NULL, NULL, 0},
       "v3",
       "bench-kernel",
       "entry predict has no kernel k: it has k0 to k3, which `sinter explain` lists"},
      {{"predict", "0", (const char *[]){"N"}, (int64_t[]){3}, 1},
       "v3",
       "bench-dim",
       "entry predict has no dimension N"},
      {{"predict", "0", (const char *[]){"B"}, (int64_t[]){257}, 1},
       "v3",
       "bench-dim",
       "B is 257, but entry predict takes 1 to 256"},
      {{"predict", "0", NULL, NULL, 0}, "v2,v3", "bench-level", "a program in C is for one level: give one by --cpu"},
      {{"predict", "0", NULL, NULL, 0}, "a64", "bench-c", "programs in C are written for x86-64 only, not for AArch64"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    Ctx c = ctx_new();
    Program p;
    Buf text = {0};
    const char *id;
    assert_true(sir_trace(&c, "models/digits.sir", &(SirOptions){0}, &p));
    const char *target = strcmp(wrong[i].levels, "a64") ? NULL : "aarch64";
    assert_false(bench_program(&p, &(CompileOptions){.cpu = wrong[i].levels, .target = target}, &wrong[i].q, &text));
    assert_string_equal(diag_first(c.diag, &id), wrong[i].sentence);
    assert_string_equal(id, wrong[i].id);
    assert_int_equal(text.n, 0);
    ctx_free(&c);
  }
}

int main(int argc, char **argv) {
  enum { COUNT = sizeof CASES / sizeof *CASES };
  if (!mkdtemp(folder)) return 1;
  int n = argc > 1 ? argc - 1 : COUNT + 1;
  static char names[COUNT][96];
  struct CMUnitTest *tests = calloc((size_t)n, sizeof *tests);
  for (int i = 0; i < (argc > 1 ? n : COUNT); i++) {
    const Case *x = &CASES[argc > 1 ? 0 : i];
    if (argc == 1)
      snprintf(names[i], sizeof *names, "%s %s %s %s: %s", x->model, x->entry, x->kernel, x->level, x->kind);
    tests[i] = argc > 1 ? (struct CMUnitTest){argv[i + 1], all_kernels, NULL, NULL, argv[i + 1]}
                        : (struct CMUnitTest){names[i], one, NULL, NULL, (void *)(uintptr_t)x};
  }
  if (argc == 1) tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(refused);
  int failed = _cmocka_run_group_tests("bench_source", tests, (size_t)n, NULL, NULL);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command)) return 1;
  free(tests);
  return failed;
}
