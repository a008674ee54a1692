/* Kernel text printed for a GPU (emit/cuda_text.c): compiled as C and run by the emulator it gives what the interpreter
 * of the Loop IR gives, bit for bit: the blocks of tests/loop, and every kernel that has threads of the programs in
 * tests/plan and beside this file, and of random graphs; a kernel that sums in another order, within a bound.
 * Arguments: the files to try, instead of all. Run from the root.
 * With SANITIZER defined, "thread -g" or "address -g" (tests/gpu_race), the text is compiled with it: 10 orders of
 * threads, asynchronous operations late, the same bits in each. WITHOUT is what is taken out of the text of kernels. */
#include "cuda_text.h"
#include "emulator.h"
#include "expand_math.h"
#include "gen.h"
#include "pass.h"
#include "plan.h"
#include "scalar.h"
#include "simplify.h"
#include "sir.h"
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka wants the headers above it
#include <cmocka.h>
#include "each_file.h"

#ifdef SANITIZER
enum { ORDERS = 10, LATE = 1 };
#define OPTIMISED "-O1"
#else
enum { ORDERS = 2, LATE = 0 };
#define OPTIMISED "-O0" /* compiling takes far longer than running */
#define SANITIZER "undefined -fsanitize-undefined-trap-on-error"
#endif

static char folder[] = "/tmp/sinter_test_XXXXXX";

typedef struct Dims {
  const Kernel *k;
  const int64_t *value;
} Dims;

static bool look_up(void *ctx, const char *name, int64_t *v) {
  const Dims *d = ctx;
  for (uint32_t i = 0; i < d->k->dims.n; i++)
    if (!strcmp(d->k->dims.at[i].name, name)) return *v = d->value[i], true;
  return false;
}

static int64_t eval(const Kernel *k, const int64_t *dims, Sym s) {
  Dims d = {k, dims};
  int64_t v = 0;
  assert_true(sym_eval(k->ctx->syms, s, look_up, &d, &v));
  return v;
}

static int64_t elements(const Kernel *k, const int64_t *dims, const LoopBuf *b) {
  int64_t n = 1;
  for (int i = 0; i < b->rank; i++) n *= eval(k, dims, b->dim[i]);
  return n;
}

static uint64_t state = 88172645463325252u;
static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

/* Numbers below `most`, a power of two. */
static void fill(char *at, DType d, int64_t n, float most) {
  for (int64_t i = 0; i < n; i++, at += dtype_size(d)) {
    uint64_t x = draw(), small = d == DT_BOOL ? x & 1 : d == DT_U32 ? x : x % 3;
    float f = (float)((int64_t)(x >> 40) - (1 << 23)) * 0x1p-23f * most;
    if (dtype_is_float(d))
      scalar_store(d, scalar_of(d, f), at);
    else
      memcpy(at, &small, dtype_size(d));
  }
}

static bool same(const char *a, const char *b, DType d) {
  return !memcmp(a, b, dtype_size(d)) ||
         (dtype_is_float(d) && isnan(scalar_load(d, a).f) && isnan(scalar_load(d, b).f));
}

/* The largest finite number of a tensor: what roundings of its sums are measured by. */
static double largest(const char *at, DType d, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) {
    double x = fabs(scalar_load(d, at + (size_t)i * dtype_size(d)).f);
    if (isfinite(x) && x > most) most = x;
  }
  return most;
}

static double unit_of(DType d) { return d == DT_BF16 ? 0x1p-7 : d == DT_F16 ? 0x1p-10 : 0; }

/* Where a sum in f32 is in another order: by roundings of its terms, to 16 bits if the kernel does that, and one unit
 * of a result of 16 bits. */
static bool close_enough(const char *a, const char *b, DType d, double most, DType rounds) {
  if (same(a, b, d)) return true;
  if (!dtype_is_float(d)) return false;
  double x = scalar_load(d, a).f, y = scalar_load(d, b).f;
  return fabs(x - y) <= (0x1p-18 + unit_of(rounds)) * most + unit_of(d) * fabs(y);
}

/* Bounds and facts hold, and it is quickly interpreted. */
static bool possible(const Kernel *k, const int64_t *dims) {
  for (uint32_t i = 0; i < k->facts.n; i++)
    if (!eval(k, dims, k->facts.at[i])) return false;
  for (int i = 0; i < k->nparams; i++)
    if (elements(k, dims, &k->bufs.at[i]) > 1 << 18) return false;
  return true;
}

typedef struct Memory { /* of each parameter */
  char *data[64];
  int64_t n[64];
} Memory;

/* The stages in order as a plan whose buffers the caller fills. Returns the status. */
static int64_t interpret(const LoopModule *from, Kernel *k, const int64_t *dims, const Memory *mem) {
  Arena *a = k->ctx->arena;
  LoopModule *m = loop_module_new(k->ctx);
  Plan *plan = ARENA_NEW(a, Plan);
  LoopArg args[64] = {{0}};
  int home[64];
  bool *loads = ARENA_ARRAY(a, bool, k->bufs.n), *stores = ARENA_ARRAY(a, bool, k->bufs.n);
  *m = *from;
  memset(&m->plans, 0, sizeof m->plans);
  memset(&m->entries, 0, sizeof m->entries);
  vec_push(a, &m->plans, plan);
  plan->name = "probe";
  for (uint32_t i = 0; i < k->dims.n; i++) vec_push(a, &plan->dims, k->dims.at[i]);
  for (int i = 0; i < k->nparams; i++) {
    LoopBuf b = k->bufs.at[i];
    home[i] = b.inplace >= 0 ? home[b.inplace] : (int)plan->bufs.n;
    if (b.inplace >= 0) continue;
    args[home[i]].data = mem->data[i];
    b.kind = BUF_INOUT;
    vec_push(a, &plan->bufs, b);
  }
  plan->nparams = (int)plan->bufs.n;
  Step **tail = &plan->steps;
  for (int i = 0; i < (int)k->stages.n; i++) {
    Step *s = ARENA_NEW(a, Step);
    *s = (Step){.kind = STEP_LAUNCH, .stage = i, .ndims = (int)k->dims.n, .nviews = k->nparams};
    while (m->kernels.at[s->kernel] != k) s->kernel++;
    s->dims = ARENA_ARRAY(a, Sym, k->dims.n + 1);
    s->views = ARENA_ARRAY(a, View, k->nparams + 1);
    for (uint32_t j = 0; j < k->dims.n; j++) s->dims[j] = k->dims.at[j].var;
    loop_uses(k, k->stages.at[i], loads, stores);
    for (int j = 0; j < k->nparams; j++) s->views[j].buf = loads[j] || stores[j] ? home[j] : -1;
    *tail = s, tail = &s->next;
  }
  LoopRun run = {.level = TARGET_GPU.name, .seed = 1};
  if (!loop_run(m, "probe", dims, args, &run)) {
    Buf b = {0};
    diag_print(k->ctx->diag, &b);
    fail_msg("%s: %s", k->name, b.at);
  }
  return run.status;
}

typedef struct EncodedMap {
  _Alignas(64) uint64_t word[16];
} EncodedMap;

static EncodedMap encode(const Kernel *k, const CudaTensor *t, const int64_t *dims, char *at) {
  EncodedMap map;
  EmulatorTensor e = {.element_bytes = (int)dtype_size(t->dtype), .rank = t->rank, .swizzle = t->swizzle};
  e.base = at + eval(k, dims, t->at);
  for (int i = 0; i < t->rank; i++) {
    e.dims[i] = (uint64_t)eval(k, dims, t->dim[i]);
    e.box[i] = t->box[i];
    if (i) e.strides[i - 1] = (uint64_t)eval(k, dims, t->stride[i - 1]);
  }
  const char *refused = emulator_tensor_map(&map, &e);
  if (refused) fail_msg("%s, a map of %s: %s", k->name, k->bufs.at[t->buf].name, refused);
  return map;
}

static int64_t emulate(Kernel *k, const CudaStage *made, const int64_t *dims, const Memory *mem, uint32_t seed) {
  enum { CODES = 64 };
  uint32_t failed[CODES] = {0};
  for (uint32_t s = 0; s < k->stages.n; s++) {
    uint64_t word[128];
    EncodedMap map[3];
    void *params[4] = {word};
    int n = 0, nparams = 1;
    for (uint32_t i = 0; i < made[s].args.n; i++) {
      CudaArg a = made[s].args.at[i];
      if (a.kind == CUDA_BUFFER) {
        int home = k->bufs.at[a.index].inplace;
        word[n++] = (uint64_t)(uintptr_t)mem->data[home >= 0 ? (uint32_t)home : a.index];
      } else if (a.kind == CUDA_TENSOR) {
        const CudaTensor *t = &made[s].tensors.at[a.index];
        int home = k->bufs.at[t->buf].inplace;
        map[a.index] = encode(k, t, dims, mem->data[home >= 0 ? (uint32_t)home : t->buf]);
        params[nparams++] = &map[a.index];
      } else
        word[n++] = a.kind == CUDA_DIM ? (uint64_t)dims[a.index] : (uint64_t)(uintptr_t)failed;
    }
    int64_t blocks = eval(k, dims, made[s].grid);
    if (!blocks) continue;
    const EmulatorKernel *kernel = emulator_find(made[s].name);
    if (!kernel) fail_msg("%s is not in the text", made[s].name);
    assert_int_equal(kernel->n_params, nparams);
    assert_int_equal(kernel->param_size[0], (size_t)n * 8);
    EmulatorLaunch l = {
        {(unsigned)blocks, 1, 1}, {(unsigned)made[s].threads, 1, 1}, (size_t)made[s].shared, params, seed,
        LATE || seed % 2};
    EmulatorReport report;
    if (!emulator_launch(kernel, &l, &report)) fail_msg("%s: %s", made[s].name, report.message);
    assert_int_equal(report.counters.bank_conflicts, 0);
  }
  for (int i = 1; i < CODES; i++)
    if (failed[i]) return i;
  return 0;
}

static void compare(const LoopModule *m, Kernel *k, const CudaStage *made, const int64_t *dims) {
  Memory theirs = {0};
  float range = 4;
  assert_true(k->nparams < 64);
  for (uint32_t i = 0; i < k->stages.n;
       i++) /* whose exp(score - lse) is at most 1 in earnest, and here not far above */
    if (k->stages.at[i]->attention_grad) range = 0.5F;
  for (int i = 0; i < k->nparams; i++) {
    const LoopBuf *b = &k->bufs.at[i];
    theirs.n[i] = elements(k, dims, b);
    if (posix_memalign((void **)&theirs.data[i], 64, (size_t)theirs.n[i] * dtype_size(b->dtype) + 8)) abort();
    fill(theirs.data[i], b->dtype, theirs.n[i], range);
  }
  Memory start = theirs;
  for (int i = 0; i < k->nparams; i++) {
    size_t bytes = (size_t)theirs.n[i] * dtype_size(k->bufs.at[i].dtype);
    start.data[i] = memcpy(test_malloc(bytes + 8), theirs.data[i], bytes);
  }
  int64_t status = interpret(m, k, dims, &theirs);
  bool reordered = false;
  DType rounds = DT_F32;
  for (uint32_t i = 0; i < k->stages.n; i++) {
    reordered |= made[i].reordered;
    if (dtype_is_half(made[i].rounds)) rounds = made[i].rounds;
  }
  Memory first = {0}; /* what the first order of threads gave */
  for (uint32_t seed = 0; seed < ORDERS; seed++) {
    Memory mine = theirs;
    for (int i = 0; i < k->nparams; i++) {
      size_t bytes = (size_t)theirs.n[i] * dtype_size(k->bufs.at[i].dtype);
      if (posix_memalign((void **)&mine.data[i], 64, bytes)) abort();
      memcpy(mine.data[i], start.data[i], bytes);
    }
    int64_t got = emulate(k, made, dims, &mine, seed);
    if (got != status) fail_msg("%s: status %lld, the interpreter %lld", k->name, (long long)got, (long long)status);
    for (int i = 0; i < k->nparams; i++) {
      DType d = k->bufs.at[i].dtype;
      double most = reordered ? largest(theirs.data[i], d, theirs.n[i]) : 0;
      for (int64_t j = 0; j < theirs.n[i]; j++) {
        const char *x = mine.data[i] + (size_t)j * dtype_size(d), *y = theirs.data[i] + (size_t)j * dtype_size(d);
        if (!(reordered ? close_enough(x, y, d, most, rounds) : same(x, y, d)))
          fail_msg("%s: element %lld of %s differs from the interpreter's (first dimension %lld)", k->name,
                   (long long)j, k->bufs.at[i].name, k->dims.n ? (long long)dims[0] : 0);
      }
    }
    for (int i = 0; i < k->nparams && seed; i++) {
      size_t bytes = (size_t)theirs.n[i] * dtype_size(k->bufs.at[i].dtype);
      if (memcmp(mine.data[i], first.data[i], bytes))
        fail_msg("%s: %s has other bits in another order of threads", k->name, k->bufs.at[i].name);
      free(mine.data[i]);
    }
    if (!seed) first = mine;
  }
  for (int i = 0; i < k->nparams; i++) {
    free(theirs.data[i]), free(first.data[i]);
    test_free(start.data[i]);
  }
}

static bool has_threads(const Kernel *k) {
  for (uint32_t i = 0; i < k->stages.n; i++)
    if (!k->stages.at[i]->threads) return false;
  return true;
}

static void *build(const Buf *text) {
  static int number;
  char command[512], path[64];
  snprintf(path, sizeof path, "%s/k.c", folder);
  FILE *f = fopen(path, "w");
  assert_true(f && fwrite(text->at, 1, text->n, f) == text->n && !fclose(f));
  snprintf(path, sizeof path, "%s/k%d.so", folder, number++);
  snprintf(command, sizeof command,
           CC " -std=gnu17 " OPTIMISED " -fno-strict-aliasing -ffp-contract=off -fsanitize=" SANITIZER
              " -Wall -Wextra -Werror"
              " -Wno-maybe-uninitialized -Wno-unused-variable -Wno-unused-but-set-variable -Wno-psabi -shared -fPIC"
              " -Ikernels/cuda -Ikernels/emulator %s/k.c -o %s -lm",
           folder, path);
  if (system(command)) fail_msg("the C compiler refuses the text; it is %s/k.c", folder);
  void *code = dlopen(path, RTLD_NOW);
  if (!code) fail_msg("%s", dlerror());
  return code;
}

/* A kernel's stages for sm_80, appended; for sm_90a only where that is another text: else NULL. */
static CudaStage *print_kernel(Kernel *k, int sm, Buf *text) {
  Arena *a = k->ctx->arena;
  CudaStage *made = ARENA_ARRAY(a, CudaStage, k->stages.n);
  Buf mine = {0};
  bool other = false;
  for (uint32_t s = 0; s < k->stages.n; s++) {
    const char *why = "";
    CudaWanted want = {sm, false, arena_printf(a, "%s_%s_sm%d", k->name, k->stages.at[s]->name, sm)};
    if (!cuda_text_stage(k, k->stages.at[s], &want, &made[s], &mine, &why)) fail_msg("%s", why);
    other |= made[s].schedule && strstr(made[s].schedule, "_sm90(");
  }
  bool kept = sm == 80 || other;
  if (kept) buf_put(text, mine.at);
  buf_free(&mine);
  return kept ? made : NULL;
}

static void try_module(LoopModule *m) {
  enum { ARCHS = 2 };
  static const int64_t sizes[] = {1, 7, 64, 132, 1028};
  expand_math_module(m, &TARGET_GPU);
  assert_true(loop_verify(m, TARGET_GPU.name));
  Buf text = {0};
  Arena *a = m->ctx->arena;
  static const int sms[ARCHS] = {80, 90};
  CudaStage *(*made)[ARCHS] = arena_alloc(a, (m->kernels.n + 1) * sizeof *made);
  int tried = 0;
  cuda_text_begin(&text);
  size_t begin = text.n;
  for (uint32_t i = 0; i < m->kernels.n; i++)
    for (int arch = 0; arch < ARCHS; arch++)
      made[i][arch] = has_threads(m->kernels.at[i]) ? print_kernel(m->kernels.at[i], sms[arch], &text) : NULL;
  const char *without = getenv("WITHOUT");
  for (char *at = text.at + begin; without && (at = strstr(at, without));) memset(at, ' ', strlen(without));
  if (getenv("SHOW")) puts(text.at);
  void *code = build(&text);
  for (uint32_t i = 0; i < m->kernels.n; i++) {
    Kernel *k = m->kernels.at[i];
    int here = 0;
    int64_t dims[32], before[32];
    for (size_t s = 0; made[i][0] && s < sizeof sizes / sizeof *sizes; s++) {
      for (uint32_t d = 0; d < k->dims.n; d++) {
        const Dim *x = &k->dims.at[d];
        dims[d] = sizes[s] < x->lo ? x->lo : sizes[s] > x->hi ? x->hi : sizes[s];
      }
      if (!possible(k, dims) || (here && !memcmp(dims, before, k->dims.n * sizeof *dims))) continue;
      for (int arch = 0; arch < ARCHS; arch++)
        if (made[i][arch]) compare(m, k, made[i][arch], dims);
      memcpy(before, dims, sizeof dims);
      here++;
    }
    if (made[i][0] && !here) fail_msg("%s: no size is tried", k->name);
    tried += here;
  }
  dlclose(code);
  buf_free(&text);
  assert_true(tried > 0);
}

static LoopModule *planned(Program *p, bool tf32) {
  LevelUnit level;
  bool ok =
      program_map(p, pass_inline_all, NULL) && program_map(p, pass_simplify, NULL) && program_map(p, pass_half, NULL);
  Unit unit = {.program = p, .init = ok ? plan_init_entry(p) : NULL, .tf32 = tf32};
  if (!ok || !plan_level(&unit, &TARGET_GPU, &level)) fail_msg("%s: %s", p->name, diag_first(p->ctx->diag, NULL));
  return level.module;
}

static void one_file(void **state_) {
  const char *path = *state_;
  Ctx c = ctx_new();
  LoopModule *m = NULL;
  Program p;
  if (strstr(path, ".loop")) {
    size_t n;
    const char *why = "";
    char *text = file_read(c.arena, path, &n, &why);
    if (!text || !loop_parse(&c, path, text, n, &m)) fail_msg("%s: %s", path, text ? diag_first(c.diag, NULL) : why);
  } else {
    if (!sir_trace(&c, path, NULL, &p)) fail_msg("%s: %s", path, diag_first(c.diag, NULL));
    m = planned(&p, strstr(path, "tf32"));
  }
  try_module(m);
  ctx_free(&c);
}

/* Random graphs (fuzz/gen.h). SEEDS=FIRST..LAST tries others than the fixed ones, and no files; the names of kernels
 * begin with their seed. */
static void random_graphs(void **state_) {
  unsigned first = 1, last = 24;
  const char *seeds = getenv("SEEDS");
  if (seeds && sscanf(seeds, "%u..%u", &first, &last) != 2) fail_msg("SEEDS is to be FIRST..LAST");
  Ctx c = ctx_new();
  Program p = {.ctx = &c, .name = "fuzz"};
  for (unsigned seed = first; seed <= last; seed++) fuzz_add(&p, seed, *state_ != NULL);
  try_module(planned(&p, false));
  ctx_free(&c);
}

/* ---- what it looks like, and what is refused ---- */

static LoopModule *parse(Ctx *c, const char *stage) {
  LoopModule *m = NULL;
  const char *text =
      arena_printf(c->arena, "kernel k(N in 1..=99; in x: f32[N], out y: f32[N], in p: f32 list) {\n%s\n}\n", stage);
  if (!loop_parse(c, "text", text, strlen(text), &m)) fail_msg("%s", diag_first(c->diag, NULL));
  return m;
}

/* Appended to b as kernel NAME; the kernel is the last of the module. */
static CudaStage printed(LoopModule *m, const char *name, bool commit, Buf *b) {
  CudaStage made;
  const char *why;
  Kernel *k = vec_last(&m->kernels);
  expand_math_module(m, &TARGET_GPU);
  assert_true(loop_verify(m, TARGET_GPU.name));
  if (!cuda_text_stage(k, k->stages.at[0], &(CudaWanted){80, commit, name}, &made, b, &why)) fail_msg("%s", why);
  return made;
}

/* The text is the file's; BLESS=1 writes it. */
static void must_be(Arena *a, const char *path, const Buf *b) {
  size_t n;
  const char *why;
  if (getenv("BLESS")) {
    FILE *f = fopen(path, "w");
    assert_true(f && fwrite(b->at, 1, b->n, f) == b->n && !fclose(f));
  }
  const char *want = file_read(a, path, &n, &why);
  if (!want) fail_msg("%s: %s", path, why);
  assert_string_equal(b->at, want);
}

static void exact(void **state_) {
  (void)state_;
  Ctx c = ctx_new();
  LoopModule *m = parse(&c, "stage main(i < cdiv(N, 64)) threads(t < 64) {\n"
                            "  reduce n = add warp i32(t)\n"
                            "  fail 3 if n < 0\n"
                            "  for j in (i * 64 + t) * 4..min(N, (i * 64 + t) * 4 + 4) vector 4 tail mask {\n"
                            "    y[j] = x[j] * 2.0\n"
                            "  }\n"
                            "}");
  Buf b = {0};
  cuda_text_begin(&b);
  CudaStage made = printed(m, "k_main", true, &b);
  /* 16 bits: 8 lanes in 16 bytes, beside floats 4 in 8, rounded by twos also where they are named before */
  static const char half[] =
      "kernel h(N in 1..=99; in x: bf16[N * 8], in z: f16[N * 8], in w: f32[N * 8], out y: bf16[N * 8], out v: f16[N * "
      "8]) {\n"
      "  stage main(i < N) threads(t < 32) {\n"
      "    if t == 0 { for j in i * 8..i * 8 + 8 vector 8 { y[j] = bf16(f32(x[j]) + f32(z[j])) } }\n"
      "    for j in i * 8..i * 8 + 8 vector 4 {\n"
      "      let r = f16(w[j])\n"
      "      if t == 1 { v[j] = r }\n"
      "    }\n"
      "  }\n"
      "}\n";
  if (!loop_parse(&c, "half", half, strlen(half), &m)) fail_msg("%s", diag_first(c.diag, NULL));
  printed(m, "h_main", false, &b);
  must_be(c.arena, "tests/gpu_text/exact.txt", &b);
  assert_int_equal(made.threads, 64);
  assert_int_equal(made.shared, 0);
  assert_true(made.fails);
  buf_free(&b);
  ctx_free(&c);
}

/* What stands for the attention of these programs on sm_80 and sm_90a, as tests/gpu_text/attention.txt has it. */
static void attention(void **unused) {
  static const char *const programs[] = {"tests/plan/attention_grad_tiles.sir", "tests/gpu_text/score_tiles.sir",
                                         "tests/gpu_text/no_tiles.sir"};
  Buf b = {0}, text = {0};
  Ctx c = ctx_new();
  const char *why;
  (void)unused;
  for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
    Program p;
    if (!sir_trace(&c, programs[i], NULL, &p)) fail_msg("%s: %s", programs[i], diag_first(c.diag, NULL));
    LoopModule *m = planned(&p, false);
    expand_math_module(m, &TARGET_GPU);
    for (uint32_t j = 0; j < m->kernels.n; j++) {
      Kernel *k = m->kernels.at[j];
      for (uint32_t s = 0; s < k->stages.n; s++)
        for (int sm = 80; sm <= 90; sm += 10) {
          CudaStage made;
          if (!cuda_text_stage(k, k->stages.at[s], &(CudaWanted){sm, false, "k"}, &made, &text, &why))
            fail_msg("%s: %s", k->name, why);
          if (made.unfit || (made.schedule && !strncmp(made.schedule, "attention", 9)))
            buf_printf(&b, "%s on sm_%d: %s%s\n", k->name, sm, made.unfit ? "no skeleton: " : "",
                       made.unfit ? made.unfit : made.schedule);
        }
    }
  }
  must_be(c.arena, "tests/gpu_text/attention.txt", &b);
  buf_free(&b), buf_free(&text);
  ctx_free(&c);
}

static void refused(void **state_) {
  (void)state_;
  static const char *const stage[][2] = {
      {"stage s(i < N) { y[i] = x[i] }", "kernel k cannot be written for a GPU: there are no threads in s"},
      {"stage s(i < 1) threads(t < 32) { alloc q: f32[N] shared; if t < N { y[t] = x[t] } }",
       "kernel k cannot be written for a GPU: the size of q"},
      {"stage s(i < 1) threads(t < 32) { for j in 0..N vector 4 tail overlap { y[j] = x[j] } }",
       "kernel k cannot be written for a GPU: this tail of the loop j"},
      {"stage s(i < 1) threads(t < 32) { alloc q: f32[8] panel(0, 4) thread; q[t % 8] = x[0]; y[0] = q[t % 8] }",
       "kernel k cannot be written for a GPU: the layout of q"},
      {"stage s(segment g, o of p chunk 64) threads(t < 32) { y[0] = p[g, o] }",
       "kernel k cannot be written for a GPU: the segmented stage s"},
  };
  for (size_t i = 0; i < sizeof stage / sizeof *stage; i++) {
    Ctx c = ctx_new();
    LoopModule *m = parse(&c, stage[i][0]);
    CudaStage made;
    Buf b = {0};
    const char *why = "nothing";
    assert_false(cuda_text_stage(m->kernels.at[0], m->kernels.at[0]->stages.at[0], &(CudaWanted){80, false, "k_s"},
                                 &made, &b, &why));
    assert_string_equal(why, stage[i][1]);
    assert_int_equal(b.n, 0);
    ctx_free(&c);
  }
}

int main(int argc, char **argv) {
  static char halves[] = "halves";
  const struct CMUnitTest text[] = {cmocka_unit_test(exact),
                                    cmocka_unit_test(attention),
                                    cmocka_unit_test(refused),
                                    cmocka_unit_test(random_graphs),
                                    {"random_graphs, 16 bits", random_graphs, NULL, NULL, halves}};
  static const char *const patterns[] = {"tests/loop/blocks.loop", "tests/plan/[!d]*.sir", "tests/gpu_text/*.sir",
                                         NULL}; /* the C compiler takes half a minute for deep.sir */
  if (!mkdtemp(folder)) return 1;
  int bad = argc < 2 ? cmocka_run_group_tests(text, NULL, NULL) : 0;
  if (!getenv("SEEDS")) bad += each_file("gpu_text", argc, argv, patterns, one_file);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command) || bad;
}
