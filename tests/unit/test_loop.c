/* The Loop IR: text that reads back, every kernel of tests/loop against loops in C over several sizes, task orders and
 * levels, and every planted fault of tests/loop/bad, which must be named by its own sentence. */
#include "loop_pressure.h"
#include "scalar.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* last, as it wants */
#include <cmocka.h>

enum { MAX_ARGS = 12 };

static uint64_t random_state = 88172645463325252u;
static double uniform(double lo, double hi) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return lo + (hi - lo) * (double)(random_state >> 11) * 0x1p-53;
}

static LoopModule *load(Ctx *c, const char *file) {
  char path[128];
  size_t n;
  const char *why = "";
  snprintf(path, sizeof path, "tests/loop/%s.loop", file);
  char *text = file_read(c->arena, path, &n, &why);
  if (!text) fail_msg("%s: %s", path, why);
  LoopModule *m = NULL;
  if (!loop_parse(c, path, text, n, &m)) fail_msg("%s: %s", path, diag_first(c->diag, NULL));
  return m;
}

/* ---- text ---- */

static void reads_back(const char *file) {
  Ctx c = ctx_new();
  LoopModule *m = load(&c, file), *again = NULL;
  Buf a = {0}, b = {0};
  loop_print(m, &a);
  if (!loop_parse(&c, "printed", a.at, a.n, &again)) fail_msg("%s, printed: %s", file, diag_first(c.diag, NULL));
  loop_print(again, &b);
  assert_string_equal(a.at, b.at);
  buf_free(&a);
  buf_free(&b);
  ctx_free(&c);
}

static void test_text(void **state) {
  (void)state;
  const char *file[] = {"elem", "half", "gemm", "conv", "attention", "lstm", "rows", "blocks"};
  for (int i = 0; i < 8; i++) reads_back(file[i]);
}

static void test_canonical(void **state) {
  (void)state;
  const char *text =
      "const W = 4 * 2\n"
      "fn twice(x) { let t = x + x; return t }\n"
      "kernel k(N in 1..=99; in x: f32[N, cdiv(N, 4)] align 64, out y: f32[N] inplace x) where N % 4 == 0, N < 90 {\n"
      "  stage s(i < N) { reg t[2]: f32x8 = 0.0; for j in 0..N vector W tail mask { if j < N { t[1] = twice(x[j, 0]) "
      "mask x[j, 0] > 0 } else if j > 3 { fail 2 if N == 3 } else { prefetch y[i] } }; y[i] = hadd(t[0]) } }\n"
      "plan p(N in 1..=99; inout x: f32[N, cdiv(N, 4)]) { buf z: f32[N, up(N, 8)] panel(1, 8) at up(4 * N, 64); "
      "barrier; launch k.s(N = N // 2; x, y = x[0]) serial commit; copy x[0 .. 1] <- x[1 .. 2] }\n"
      "entry e { variant when N <= 4 && N % 2 == 0 cpu v3 -> p; variant -> p }\n";
  const char *want = "kernel k(N in 1..=99; in x: f32[N, ((N + 3) // 4)] align 64, out y: f32[N] inplace x) where ((N "
                     "% 4) == 0), (N < 90) {\n"
                     "  stage s(i < N) {\n"
                     "    reg t[2]: f32x8 = 0.0\n"
                     "    for j in 0..N vector 8 tail mask {\n"
                     "      if j < N {\n"
                     "        let x_2 = x[j, 0]\n"
                     "        let t_2 = x_2 + x_2\n"
                     "        t[1] = t_2 mask x[j, 0] > 0.0\n"
                     "      } else if j > 3 {\n"
                     "        fail 2 if N == 3\n"
                     "      } else {\n"
                     "        prefetch y[i]\n"
                     "      }\n"
                     "    }\n"
                     "    y[i] = hadd(t[0])\n"
                     "  }\n"
                     "}\n"
                     "\n"
                     "plan p(N in 1..=99; inout x: f32[N, ((N + 3) // 4)]) {\n"
                     "  buf z: f32[N, 8 * ((N + 7) // 8)] panel(1, 8) at 64 * ((4 * N + 63) // 64)\n"
                     "  barrier\n"
                     "  launch k.s(N = (N // 2); x, y = x[0]) serial commit\n"
                     "  copy x[0 .. 1] <- x[1 .. 2]\n"
                     "}\n"
                     "\n"
                     "entry e {\n"
                     "  variant when (N <= 4) * ((N % 2) == 0) cpu v3 -> p\n"
                     "  variant -> p\n"
                     "}\n";
  Ctx c = ctx_new();
  LoopModule *m = NULL;
  if (!loop_parse(&c, "text", text, strlen(text), &m)) fail_msg("%s", diag_first(c.diag, NULL));
  Buf b = {0};
  loop_print(m, &b);
  assert_string_equal(b.at, want);
  const Stmt *s = m->kernels.at[0]->stages.at[0]->body;
  assert_int_equal(s->line, 4);
  buf_free(&b);
  ctx_free(&c);
}

/* ---- building ---- */

static void test_build(void **state) {
  (void)state;
  Ctx c = ctx_new();
  LoopModule *m = loop_module_new(&c);
  Kernel *k = loop_kernel(m, "axpy");
  Ex n = loop_dim(k, "N", 1, 1000), j;
  Sym dim[] = {sym_var(c.syms, "N")};
  uint32_t x = loop_param(k, "x", BUF_IN, DT_F32, dim, 1), y = loop_param(k, "y", BUF_INOUT, DT_F32, dim, 1);
  loop_stage(k, "main");
  Ex t = loop_axis(k, "t", sym_div_up(c.syms, dim[0], sym_int(c.syms, 64)));
  Ex lo = ex_mul(k, t, ex_idx(k, 64));
  loop_for(k, "j", lo, ex_op2(k, OP_MINIMUM, n, ex_add(k, lo, ex_idx(k, 64))), FOR_VECTOR, 8, TAIL_MASK, &j);
  Ex v = loop_let(k, "t", ex_load(k, x, &j, 1, 0, 0)); /* the axis has this name too */
  loop_store(k, y, &j, 1, ex_op3(k, OP_FMA, v, ex_float(k, DT_F32, 2.0), ex_load(k, y, &j, 1, 0, 0)), 0);
  loop_end(k);
  assert_int_equal(loop_access(k, x, &j, 1, 8), ACCESS_CONTIGUOUS);
  assert_int_equal(loop_divisor(k, j), 8);

  /* folding keeps built code small */
  assert_int_equal(ex_add(k, n, ex_idx(k, 0)), n);
  assert_int_equal(ex_add(k, ex_idx(k, 0), n), n);
  assert_int_equal(ex_mul(k, n, ex_idx(k, 1)), n);
  assert_int_equal(ex_mul(k, n, ex_idx(k, 0)), ex_idx(k, 0));
  assert_int_equal(ex_op2(k, OP_SUB, ex_add(k, n, ex_idx(k, 3)), ex_idx(k, 3)), n);
  assert_int_equal(ex_op2(k, OP_FLOOR_MOD, ex_idx(k, -7), ex_idx(k, 4)), ex_idx(k, 1));
  assert_int_equal(ex_op2(k, OP_AND, ex_int(k, DT_BOOL, 1), ex_op2(k, OP_LESS, t, n)), ex_op2(k, OP_LESS, t, n));
  assert_int_equal(ex_at(k, ex_mul(k, j, ex_idx(k, 0)))->lanes, 8); /* lanes are kept */
  assert_int_equal(loop_sym(k, sym_div_up(c.syms, dim[0], sym_int(c.syms, 64))), ex_cdiv(k, n, ex_idx(k, 64)));

  Buf b = {0};
  loop_print(m, &b);
  assert_string_equal(b.at, "kernel axpy(N in 1..=1000; in x: f32[N], inout y: f32[N]) {\n"
                            "  stage main(t < ((N + 63) // 64)) {\n"
                            "    for j in t * 64..min(N, t * 64 + 64) vector 8 tail mask {\n"
                            "      let t_2 = x[j]\n"
                            "      y[j] = fma(t_2, 2.0, y[j])\n"
                            "    }\n"
                            "  }\n"
                            "}\n");
  buf_free(&b);
  assert_true(loop_verify(m, "v3"));

  /* a mistake in a built kernel is shown with its statement */
  loop_stage(k, "bad");
  Ex u = loop_axis(k, "u", dim[0]);
  loop_store(k, x, &u, 1, ex_float(k, DT_F32, 0), 0);
  assert_false(loop_verify(m, "v3"));
  diag_print(c.diag, &b);
  assert_non_null(strstr(b.at, "axpy.bad: x is an input: stored to [loop-input-stored]"));
  assert_non_null(strstr(b.at, "in: x[u] = 0.0"));
  buf_free(&b);
  ctx_free(&c);
}

static Ex put_three(void *ctx, Kernel *k, Ex e) { return e == *(Ex *)ctx ? ex_idx(k, 3) : 0; }

static void test_rewrite(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Kernel *k = loop_kernel(loop_module_new(&c), "k");
  Ex n = loop_dim(k, "N", 1, 9), m = loop_dim(k, "M", 1, 9);
  Ex e = ex_add(k, ex_mul(k, n, ex_idx(k, 2)), m);
  assert_int_equal(ex_rewrite(k, e, put_three, &n), ex_add(k, ex_idx(k, 6), m));
  ctx_free(&c);
}

/* A value used twice at every level: text of this without names would have 2^30 operations. */
static void test_shared_text(void **state) {
  (void)state;
  Ctx c = ctx_new();
  LoopModule *m = loop_module_new(&c), *again = NULL;
  Kernel *k = loop_kernel(m, "k");
  Sym dim[] = {sym_int(c.syms, 8)};
  uint32_t y = loop_param(k, "y", BUF_INOUT, DT_F32, dim, 1);
  loop_stage(k, "s");
  Ex i = loop_axis(k, "i", dim[0]), e = ex_load(k, y, &i, 1, 0, 0);
  for (int n = 0; n < 30; n++) e = ex_op3(k, OP_FMA, e, ex_op1(k, OP_TANH, e), ex_float(k, DT_F32, 0.25));
  loop_store(k, y, &i, 1, e, 0);
  Buf a = {0}, b = {0};
  loop_print(m, &a);
  assert_true(a.n < 3000);
  if (!loop_parse(&c, "printed", a.at, a.n, &again)) fail_msg("%s", diag_first(c.diag, NULL));
  loop_print(again, &b);
  assert_string_equal(a.at, b.at);
  assert_true(loop_verify(m, "v4") && loop_verify(again, "v4"));
  buf_free(&a);
  buf_free(&b);
  ctx_free(&c);
}

/* What a loop keeps alive: v, both splats, and the two factors. With literals anchored the splat of a is multiplied in
 * the loop, so it lives there itself. Unrolled turns count their literals, not their values. */
static void test_pressure(void **state) {
  (void)state;
  static const char text[] = "kernel weigh(N in 1..=64; in x: f32[N], in s: f32[2], out y: f32[N]) {\n"
                             "  stage main(t < 1) {\n"
                             "    let a = s[0]\n"
                             "    let b = s[1]\n"
                             "    for j in 0..N vector 8 tail mask {\n"
                             "      let v = x[j]\n"
                             "      y[j] = v * 2.0 + (v + splat(a, 8) * 3.0) * (v - b)\n"
                             "    }\n"
                             "  }\n"
                             "  stage held(t < 1) {\n"
                             "    reg r[4]: f32x8 = 0.0\n"
                             "    for i in 0..4 unroll {\n"
                             "      r[i] = x[i * 8 + lane(8)] * 5.0\n"
                             "    }\n"
                             "    for i in 0..4 unroll {\n"
                             "      y[i * 8 + lane(8)] = r[i]\n"
                             "    }\n"
                             "  }\n"
                             "}\n";
  Ctx c = ctx_new();
  LoopModule *m;
  if (!loop_parse(&c, "weigh", text, strlen(text), &m)) fail_msg("%s", diag_first(c.diag, NULL));
  const Kernel *k = m->kernels.at[0];
  for (int bytes = 16; bytes <= 32; bytes *= 2)
    for (int anchored = 0; anchored < 2; anchored++) {
      LoopPressure p = loop_pressure(k, k->stages.at[0], bytes, false, anchored, c.arena);
      assert_int_equal(p.vectors, 5 * (32 / bytes));
      assert_int_equal(p.literals.n, 2);
      for (int i = 0; i < 2; i++) {
        assert_int_equal(p.literals.at[i].uses, 1);
        assert_int_equal(p.literals.at[i].anchor, ex_at(k, p.literals.at[i].value)->u.f == 3.0);
      }
      p = loop_pressure(k, k->stages.at[1], bytes, false, anchored, c.arena);
      assert_int_equal(p.vectors, (4 + 1) * (32 / bytes));
      assert_int_equal(p.literals.n, 1);
      assert_int_equal(p.literals.at[0].uses, 4);
    }
  ctx_free(&c);
}

/* 32 bits hold the indices of a stage where bounds say so, of its buffers too, and nothing read becomes one. */
static void test_narrow(void **state) {
  (void)state;
  static const struct {
    const char *bounds, *stage;
    bool narrow;
  } c[] = {
      {"N in 1..=1000", "(i < N) threads(t < 64) { for j in 0..N thread { y[i, j] = x[i, (j + 3) % N] } }", true},
      {"N in 1..=1000", "(i < N * N) { let r = i // N; y[r, i % N] = x[min(r, N - 1), max(0, r - 5)] }", true},
      {"N in 1..=100000", "(i < N) { y[i, 0] = x[i, 0] }", false}, /* of the buffer */
      {"N in 1..=2147483647", "(i < 1) { y[i, 0] = 1.0 }", false},
      {"N in 1..=1000", "(i < N) { y[i, 0] = x[i, i * i * i * i % N] }", false},               /* on the way */
      {"N in 1..=1000", "(i < N) { y[i, 0] = x[i, idx(n[i])] }", false},                       /* of what is read */
      {"N in 1..=1000", "(i < N) { for j in 0..N step 2147483647 { y[i, j] = 1.0 } }", false}, /* beyond the end */
      {"N in 1..=1000", "(i < N) { y[i, 0] = x[i, (N - i) // (N - 1)] }", false},              /* a divisor of 0 */
  };
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    Ctx x = ctx_new();
    LoopModule *m;
    const char *text =
        arena_printf(x.arena, "kernel k(%s; in x: f32[N, N], in n: i64[N], out y: f32[N, N]) {\n  stage s%s\n}\n",
                     c[i].bounds, c[i].stage);
    if (!loop_parse(&x, "text", text, strlen(text), &m)) fail_msg("%s", diag_first(x.diag, NULL));
    if (loop_narrow(m->kernels.at[0], m->kernels.at[0]->stages.at[0]) != c[i].narrow) fail_msg("%s", text);
    ctx_free(&x);
  }
}

static void test_access(void **state) {
  (void)state;
  const char *text = "kernel k(N in 1..=99, M in 1..=99; in x: f32[N, M], in p: f32[N, M] panel(1, 32), in s: f32[N, "
                     "M] strides(1, N), in i: i32[N], out y: f32[N]) {\n"
                     "  stage s(t < N) {\n"
                     "    for j in 0..M vector 16 tail mask { y[j] = x[t, j] }\n"         /* contiguous */
                     "    for j in 0..N vector 16 tail mask { y[j] = x[j, 0] }\n"         /* strided */
                     "    for j in 0..N vector 16 tail mask { y[j] = x[t, t] }\n"         /* scalar: not of lanes */
                     "    for j in 0..N vector 16 tail mask { y[j] = x[0, idx(i[j])] }\n" /* gather */
                     "    for j in 0..N vector 16 tail mask { y[j] = s[j, t] }\n"     /* contiguous by its strides */
                     "    for j in 0..M vector 16 tail mask { y[j] = p[t, j] }\n"     /* contiguous: within one panel */
                     "    for j in 0..M vector 16 tail mask { y[j] = p[t, j + t] }\n" /* gather: may cross panels */
                     "    for j in 0..M vector 16 tail mask { y[j] = x[t, j * M] }\n" /* strided, known at run time */
                     "    for j in 0..M vector 16 tail mask { y[j] = x[t + lane(16) - lane(16), t] }\n" /* splat */
                     "  }\n}\n";
  const Access want[] = {ACCESS_CONTIGUOUS, ACCESS_STRIDED, ACCESS_SCALAR,  ACCESS_GATHER, ACCESS_CONTIGUOUS,
                         ACCESS_CONTIGUOUS, ACCESS_GATHER,  ACCESS_STRIDED, ACCESS_SPLAT};
  Ctx c = ctx_new();
  LoopModule *m = NULL;
  if (!loop_parse(&c, "text", text, strlen(text), &m)) fail_msg("%s", diag_first(c.diag, NULL));
  int i = 0;
  for (const Stmt *s = m->kernels.at[0]->stages.at[0]->body; s; s = s->next, i++) {
    const Kernel *k = m->kernels.at[0];
    const Expr *x = ex_at(k, s->body->value);
    assert_int_equal(loop_access(k, x->ref, k->arg.at + x->in, x->nin, x->lanes), want[i]);
  }
  assert_int_equal(i, 9);
  ctx_free(&c);
}

/* ---- kernels against C ---- */

typedef struct Case {
  const char *file, *plan, *levels, *chosen;
  int64_t dims[8];
  int seeds, nargs, status;
  double tol;
  struct {
    void *data;
    size_t bytes;
    const double *want; /* NULL: not compared */
  } arg[MAX_ARGS];
} Case;

static void *kept[4096]; /* what the references allocate, until the end of a test */
static int nkept;
static void *keep(size_t bytes) { return kept[nkept++] = test_calloc(1, bytes + 8); }
static void drop(void) {
  while (nkept) test_free(kept[--nkept]);
}

static float *floats(int64_t n, double lo, double hi) {
  float *x = keep((size_t)n * 4);
  for (int64_t i = 0; i < n; i++) x[i] = (float)uniform(lo, hi);
  return x;
}
static double *doubles(int64_t n) { return keep((size_t)n * 8); }

static void add_arg(Case *c, void *data, int64_t n, size_t size, const double *want) {
  c->arg[c->nargs].data = data ? data : keep((size_t)n * size);
  c->arg[c->nargs].bytes = (size_t)n * size;
  c->arg[c->nargs++].want = want;
}
static void in(Case *c, float *x, int64_t n) { add_arg(c, x, n, 4, NULL); }
static void out(Case *c, int64_t n, const double *want) { add_arg(c, NULL, n, 4, want); }

static double number(DType d, const void *p, size_t i) {
  return d == DT_F32        ? (double)((const float *)p)[i]
         : d == DT_F64      ? ((const double *)p)[i]
         : d == DT_I32      ? (double)((const int32_t *)p)[i]
         : dtype_is_half(d) ? scalar_load(d, (const uint16_t *)p + i).f
                            : (double)((const uint8_t *)p)[i];
}

static void compare(const Case *c, const char *level, const LoopBuf *b, const void *got, const double *want,
                    size_t bytes) {
  size_t n = bytes / dtype_size(b->dtype);
  double size = 1e-3, err = 0;
  for (size_t i = 0; i < n; i++) size = fmax(size, fabs(want[i]));
  for (size_t i = 0; i < n; i++) {
    double g = number(b->dtype, got, i);
    err = isfinite(g) ? fmax(err, fabs(g - want[i])) : INFINITY;
  }
  if (err > (dtype_is_float(b->dtype) ? (c->tol ? c->tol : 2e-6) * size : 0))
    fail_msg("%s.%s %s at %s: error %g of %g", c->file, c->plan, b->name, level, err, size);
}

/* Runs with several levels and orders of tasks; bits must not depend on the order. */
static void agree(const Case *c) {
  Ctx x = ctx_new();
  LoopModule *m = load(&x, c->file);
  char levels[16], *save = NULL;
  snprintf(levels, sizeof levels, "%s", c->levels ? c->levels : "v4 v3 v2");
  for (char *level = strtok_r(levels, " ", &save); level; level = strtok_r(NULL, " ", &save)) {
    void *first[MAX_ARGS] = {0};
    for (int seed = 0; seed < (c->seeds ? c->seeds : 1); seed++) {
      LoopArg args[MAX_ARGS] = {{0}};
      for (int i = 0; i < c->nargs; i++)
        args[i].data = memcpy(test_malloc(c->arg[i].bytes + 1), c->arg[i].data, c->arg[i].bytes);
      LoopRun run = {.level = level, .seed = (uint32_t)seed};
      if (!loop_run(m, c->plan, c->dims, args, &run)) {
        Buf b = {0};
        diag_print(x.diag, &b);
        fail_msg("%s.%s at %s: %s", c->file, c->plan, level, b.at);
      }
      assert_int_equal(run.status, c->status);
      if (c->chosen) assert_string_equal(run.plan, c->chosen);
      const Plan *p = loop_module_plan(m, run.plan, NULL);
      assert_int_equal(c->nargs, p->nparams);
      for (int i = 0; i < c->nargs; i++) {
        if (c->arg[i].want) compare(c, level, &p->bufs.at[i], args[i].data, c->arg[i].want, c->arg[i].bytes);
        if (seed) assert_memory_equal(args[i].data, first[i], c->arg[i].bytes);
        if (seed)
          test_free(args[i].data);
        else
          first[i] = args[i].data;
      }
    }
    for (int i = 0; i < c->nargs; i++) test_free(first[i]);
  }
  ctx_free(&x);
  drop();
}

static double gelu(double x) { return 0.5 * x * (1 + tanh(0.7978845608 * (x + 0.044715 * x * x * x))); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static void test_elementwise(void **state) {
  (void)state;
  const int64_t size[][2] = {{1, 1}, {3, 17}, {2, 32}, {5, 3}, {1, 35}};
  const char *how[] = {"elem_mask", "elem_peel", "elem_overlap", "elem_scalar"};
  for (int s = 0; s < 5; s++) {
    int64_t M = size[s][0], N = size[s][1];
    for (int h = 0; h < 4; h++) {
      float *x = floats(M * N, -1, 1), *a = floats(N, -1, 1), *b = floats(M, -1, 1);
      double *y = doubles(M * N);
      for (int64_t i = 0; i < M * N; i++) y[i] = gelu((double)x[i] * a[i % N] + b[i / N]);
      Case c = {.file = "elem", .plan = how[h], .dims = {M, N}};
      in(&c, x, M * N), in(&c, a, N), in(&c, b, M), out(&c, M * N, y);
      agree(&c);
    }
    float *x = floats(M * N, -1, 1);
    double *y = doubles(M * N);
    for (int64_t i = 0; i < M * N; i++) y[i] = x[i] * 2.0 + 1.0;
    Case c = {.file = "elem", .plan = "elem_pad", .dims = {M, N}, .seeds = 2};
    in(&c, x, M * N), out(&c, M * N, y);
    agree(&c);
  }
  const int64_t len[] = {1, 255, 257, 600};
  for (int s = 0; s < 4; s++) {
    int64_t N = len[s];
    float *x = floats(N, -1, 1);
    double *y = doubles(N);
    for (int64_t i = 0; i < N; i++) y[i] = x[i] * 3.0;
    Case c = {.file = "elem", .plan = "inplace", .dims = {N}, .seeds = 2};
    add_arg(&c, x, N, 4, y);
    agree(&c);
  }
}

static void test_half(void **state) {
  (void)state;
  const int64_t size[][2] = {{1, 1}, {3, 17}, {2, 32}};
  const char *how[] = {"half_mask", "half_peel", "half_scalar"};
  for (int s = 0; s < 3; s++)
    for (int h = 0; h < 3; h++) {
      int64_t M = size[s][0], N = size[s][1];
      uint16_t *x = keep((size_t)(2 * M * N)), *a = keep((size_t)(2 * N));
      double *y = doubles(M * N), *z = doubles(M * N);
      for (int64_t i = 0; i < M * N; i++) scalar_store(DT_BF16, (Scalar){.f = uniform(-2, 2)}, x + i);
      for (int64_t i = 0; i < N; i++) scalar_store(DT_F16, (Scalar){.f = uniform(-2, 2)}, a + i);
      for (int64_t i = 0; i < M * N; i++) { /* a product of 8 bits by 11 is exact in f32 */
        double v = (float)(scalar_load(DT_BF16, x + i).f * scalar_load(DT_F16, a + i % N).f + 0.5);
        y[i] = scalar_round(DT_BF16, v), z[i] = scalar_round(DT_F16, exp(v));
      }
      Case c = {.file = "half", .plan = how[h], .dims = {M, N}};
      add_arg(&c, x, M * N, 2, NULL), add_arg(&c, a, N, 2, NULL);
      add_arg(&c, NULL, M * N, 2, y), add_arg(&c, NULL, M * N, 2, z);
      agree(&c);
    }
}

static void test_exp(void **state) { /* the vector maths in Loop IR: at most 2 ulp, and the ends */
  (void)state;
  enum { N = 600 };
  static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 89.5f, -110.0f, -103.5f, 88.7f};
  float x[N], y[N] = {0};
  for (int i = 0; i < N; i++) x[i] = (float)uniform(-100, 88);
  memcpy(x, special, sizeof special);
  Ctx c = ctx_new();
  LoopModule *m = load(&c, "elem");
  LoopArg args[] = {{.data = x}, {.data = y}};
  assert_true(loop_run(m, "vexp", (int64_t[]){N}, args, &(LoopRun){.level = "v4"}));
  for (int i = 0; i < N; i++) {
    double want = exp(x[i]);
    if (isnan(want))
      assert_true(isnan(y[i]));
    else if (isinf((float)want))
      assert_true(isinf(y[i]) && y[i] > 0);
    else
      assert_true(fabs(y[i] - want) <= 2 * (double)(nextafterf((float)want, INFINITY) - (float)want));
  }
  ctx_free(&c);
}

static void test_moves(void **state) {
  (void)state;
  const int64_t len[] = {1, 7, 24, 31};
  for (int bad = 0; bad < 2; bad++)
    for (int s = 0; s < 4; s++) {
      int64_t N = len[s], T = 13;
      float *x = floats(N * 2, -1, 1);
      int32_t *idx = keep((size_t)N * 4);
      double *tab = doubles(T), *y = doubles(N), *h = doubles(N), *r = doubles(N);
      for (int64_t i = 0; i < T; i++) tab[i] = uniform(-1, 1);
      for (int64_t i = 0; i < N; i++) idx[i] = (int32_t)uniform(0, 13);
      for (int64_t i = 0; i < N; i++) {
        int64_t mirror = i / 8 * 8 + 7 - i % 8;
        y[i] = x[2 * i + 1] + tab[idx[i]];
        h[i] = x[2 * i];
        r[i] = mirror < N ? x[2 * mirror] : 0;
      }
      if (bad) idx[N / 2] = (int32_t)T;
      Case c = {.file = "elem", .plan = "moves", .dims = {N, T}, .seeds = 2, .status = bad ? 7 : 0};
      in(&c, x, N * 2), add_arg(&c, idx, N, 4, NULL), add_arg(&c, tab, T, 8, NULL);
      out(&c, N, bad ? NULL : y), add_arg(&c, NULL, N, 8, h), out(&c, N, r);
      agree(&c);
    }
}

static void test_pool_scatter(void **state) {
  (void)state;
  const int64_t size[][4] = {{1, 2, 2, 1}, {2, 5, 7, 9}, {1, 4, 6, 16}};
  for (int s = 0; s < 3; s++) {
    int64_t B = size[s][0], H = size[s][1], W = size[s][2], C = size[s][3], n = B * (H / 2) * (W / 2) * C;
    float *x = floats(B * H * W * C, -4, 4);
    double *y = doubles(n), *k = doubles(n);
    for (int64_t i = 0; i < B * H * W * C; i++) x[i] = rintf(x[i]);
    for (int64_t b = 0, o = 0; b < B; b++)
      for (int64_t i = 0; i < H / 2; i++)
        for (int64_t j = 0; j < W / 2; j++)
          for (int64_t c = 0; c < C; c++, o++) {
            y[o] = -INFINITY;
            for (int64_t u = 0; u < 4; u++) {
              int64_t at = (2 * i + u / 2) * W + 2 * j + u % 2;
              double e = x[(b * H * W + at) * C + c];
              if (e > y[o]) y[o] = e, k[o] = (double)at;
            }
          }
    Case c = {.file = "elem", .plan = "pool", .dims = {B, H, W, C}};
    in(&c, x, B * H * W * C), out(&c, n, y), out(&c, n, k);
    agree(&c);
  }
  const int64_t sc[][3] = {{1, 1, 1}, {13, 5, 17}, {30, 9, 16}};
  for (int s = 0; s < 3; s++) {
    int64_t E = sc[s][0], R = sc[s][1], C = sc[s][2];
    float *x = floats(E * C, -1, 1), *y = floats(R * C, -1, 1);
    int32_t *idx = keep((size_t)E * 4);
    double *w = doubles(R * C);
    for (int64_t i = 0; i < R * C; i++) w[i] = y[i];
    for (int64_t e = 0; e < E; e++) {
      idx[e] = (int32_t)uniform(0, (double)R);
      for (int64_t c = 0; c < C; c++) w[idx[e] * C + c] += x[e * C + c];
    }
    Case c = {.file = "elem", .plan = "scatter", .dims = {E, R, C}, .seeds = 2};
    in(&c, x, E * C), add_arg(&c, idx, E, 4, NULL), add_arg(&c, y, R * C, 4, w);
    agree(&c);
  }
}

static void test_lists(void **state) { /* AdamW over many tensors */
  (void)state;
  const int64_t sizes[3][4] = {{1}, {64, 1, 130}, {63, 65, 7, 200}};
  const int count[] = {1, 3, 4};
  float step[] = {0.01f, 1.5f, 2.5f, 0.1f};
  for (int s = 0; s < 3; s++)
    for (uint32_t seed = 0; seed < 2; seed++) {
      void *t[4][4];
      double *w[3][4];
      int64_t *len = keep(4 * sizeof *len);
      for (int i = 0; i < count[s]; i++) {
        len[i] = sizes[s][i];
        for (int a = 0; a < 4; a++) t[a][i] = floats(len[i], 0.1, 1);
        for (int a = 0; a < 3; a++) w[a][i] = doubles(len[i]);
        for (int64_t j = 0; j < len[i]; j++) {
          double p = ((float *)t[0][i])[j], g = ((float *)t[1][i])[j], m = 0.9 * ((float *)t[2][i])[j] + 0.1 * g,
                 v = 0.999 * ((float *)t[3][i])[j] + 0.001 * g * g;
          w[0][i][j] = p - 0.01 * (m * 1.5 / (sqrt(v * 2.5) + 1e-8) + 0.1 * p);
          w[1][i][j] = m;
          w[2][i][j] = v;
        }
      }
      Ctx c = ctx_new();
      LoopModule *m = load(&c, "elem");
      LoopArg args[5];
      for (int a = 0; a < 4; a++) args[a] = (LoopArg){.nlist = count[s], .list = t[a], .list_len = len};
      args[4] = (LoopArg){.data = step};
      if (!loop_run(m, "adamw", (int64_t[]){count[s]}, args, &(LoopRun){.level = "v4", .seed = seed}))
        fail_msg("%s", diag_first(c.diag, NULL));
      for (int i = 0; i < count[s]; i++)
        for (int64_t j = 0; j < len[i]; j++) {
          assert_true(fabs(((float *)t[0][i])[j] - w[0][i][j]) < 2e-6);
          assert_true(fabs(((float *)t[2][i])[j] - w[1][i][j]) < 2e-6);
          assert_true(fabs(((float *)t[3][i])[j] - w[2][i][j]) < 2e-6);
        }
      ctx_free(&c);
      drop();
    }
}

static void softmax_rows(const float *x, int64_t M, int64_t N, double *y) {
  for (int64_t i = 0; i < M; i++) {
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < N; j++) top = fmax(top, x[i * N + j]);
    for (int64_t j = 0; j < N; j++) sum += exp(x[i * N + j] - top);
    for (int64_t j = 0; j < N; j++) y[i * N + j] = exp(x[i * N + j] - top) / sum;
  }
}

static void layernorm_case(const char *file, int64_t M, int64_t N) {
  float *x = floats(M * N, -1, 1), *g = floats(N, -1, 1), *b = floats(N, -1, 1);
  double *y = doubles(M * N), *st = doubles(2 * M);
  for (int64_t i = 0; i < M; i++) {
    double mean = 0, var = 0;
    for (int64_t j = 0; j < N; j++) mean += x[i * N + j] / (double)N;
    for (int64_t j = 0; j < N; j++) var += (x[i * N + j] - mean) * (x[i * N + j] - mean) / (double)N;
    st[2 * i] = mean;
    st[2 * i + 1] = 1 / sqrt(var + 1e-5);
    for (int64_t j = 0; j < N; j++) y[i * N + j] = (x[i * N + j] - mean) * st[2 * i + 1] * g[j] + b[j];
  }
  Case c = {.file = file, .plan = "layernorm", .dims = {M, N}, .tol = 3e-5};
  in(&c, x, M * N), in(&c, g, N), in(&c, b, N), out(&c, M * N, y), out(&c, M * 2, st);
  agree(&c);
}

static void test_rows(void **state) {
  (void)state;
  const int64_t size[][2] = {{1, 1}, {3, 17}, {2, 32}, {5, 3}, {1, 35}, {2, 65}, {1, 130}};
  for (int s = 0; s < 7; s++) {
    int64_t M = size[s][0], N = size[s][1];
    const char *levels[] = {"v4", "v3 v2"};
    for (int l = 0; l < 2; l++) {
      float *x = floats(M * N, -30, 30);
      double *y = doubles(M * N);
      softmax_rows(x, M, N, y);
      Case c = {.file = "rows",
                .plan = "softmax",
                .dims = {M, N},
                .seeds = 2,
                .levels = levels[l],
                .chosen = l         ? "softmax_peel"
                          : N <= 64 ? "softmax_short"
                                    : "softmax_long"};
      in(&c, x, M * N), out(&c, M * N, y);
      agree(&c);
    }
    layernorm_case("rows", M, N);
  }
}

static void test_same_bits(void **state) { /* mask and peel fold in one order */
  (void)state;
  enum { M = 2, N = 77 };
  float x[M * N], y[2][M * N];
  for (int i = 0; i < M * N; i++) x[i] = (float)uniform(-30, 30);
  Ctx c = ctx_new();
  LoopModule *m = load(&c, "rows");
  for (int i = 0; i < 2; i++) {
    LoopArg args[] = {{.data = x}, {.data = y[i]}};
    assert_true(loop_run(m, i ? "softmax_long" : "softmax_peel", (int64_t[]){M, N}, args, &(LoopRun){.level = "v4"}));
  }
  assert_memory_equal(y[0], y[1], sizeof y[0]);
  ctx_free(&c);
}

static void test_gemm(void **state) {
  (void)state;
  const int64_t size[][3] = {{1, 1, 1}, {7, 35, 17}, {6, 32, 8}, {13, 65, 9}, {12, 33, 31}};
  for (int s = 0; s < 5; s++) {
    int64_t M = size[s][0], N = size[s][1], K = size[s][2];
    float *A = floats(M * K, -1, 1), *B = floats(K * N, -1, 1), *bias = floats(N, -1, 1);
    float *R = floats(M * N, 1, 2); /* so that a single result is no small difference of large numbers */
    double *C = doubles(M * N), *S = doubles(M);
    for (int64_t i = 0; i < M * N; i++) {
      double t = bias[i % N];
      for (int64_t k = 0; k < K; k++) t += (double)A[i / N * K + k] * B[k * N + i % N];
      C[i] = gelu(t) + R[i];
      S[i / N] += C[i];
    }
    Case c = {.file = "gemm", .plan = "gemm", .levels = "v4", .seeds = 2, .tol = 3e-6, .dims = {M, N, K}};
    in(&c, A, M * K), in(&c, B, K * N), in(&c, bias, N), in(&c, R, M * N), out(&c, M * N, C), out(&c, M, S);
    agree(&c);

    float *X = floats(K * M, -1, 1), *G = floats(K * N, -1, 1);
    double *W = doubles(M * N);
    for (int64_t i = 0; i < M * N; i++)
      for (int64_t k = 0; k < K; k++) W[i] += (double)X[k * M + i / N] * G[k * N + i % N];
    Case w = {.file = "gemm", .plan = "wgrad", .levels = "v4", .seeds = 2, .dims = {M, N, K}};
    in(&w, X, K * M), in(&w, G, K * N), out(&w, M * N, W);
    agree(&w);

    int64_t P = (N + 15) / 16;
    uint8_t *q = keep((size_t)(M * K * 4));
    int8_t *packed = keep((size_t)(P * K * 64));
    float *scale = floats(N, -1, 1);
    double *Q = doubles(M * N);
    for (int64_t i = 0; i < M * K * 4; i++) q[i] = (uint8_t)uniform(0, 256);
    for (int64_t i = 0; i < P * K * 64; i++) packed[i] = (int8_t)uniform(-128, 128);
    for (int64_t i = 0; i < M * N; i++) {
      int64_t t = 0, n = i % N;
      for (int64_t k = 0; k < 4 * K; k++)
        t += (int64_t)q[i / N * K * 4 + k] * packed[((n / 16 * K + k / 4) * 16 + n % 16) * 4 + k % 4];
      Q[i] = (double)t * scale[n];
    }
    Case d = {.file = "gemm", .plan = "q8", .levels = "v4", .dims = {M, N, K}};
    add_arg(&d, q, M * K * 4, 1, NULL), add_arg(&d, packed, P * K * 64, 1, NULL), in(&d, scale, N), out(&d, M * N, Q);
    agree(&d);
  }
}

static void test_attention(void **state) {
  (void)state;
  const int64_t size[][3] = {{1, 1, 1}, {2, 7, 5}, {1, 33, 32}, {2, 18, 17}};
  for (int s = 0; s < 4; s++) {
    int64_t H = size[s][0], T = size[s][1], D = size[s][2], n = T * H * D;
    float *Q = floats(n, -1, 1), *K = floats(n, -1, 1), *V = floats(n, -1, 1);
    double *O = doubles(n), *L = doubles(H * T), *p = doubles(T);
    for (int64_t h = 0; h < H; h++)
      for (int64_t i = 0; i < T; i++) {
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j <= i; j++) {
          p[j] = 0;
          for (int64_t d = 0; d < D; d++)
            p[j] += (double)Q[(i * H + h) * D + d] * K[(j * H + h) * D + d] / sqrt((double)D);
          top = fmax(top, p[j]);
        }
        for (int64_t j = 0; j <= i; j++) sum += exp(p[j] - top);
        L[h * T + i] = top + log(sum);
        for (int64_t j = 0; j <= i; j++)
          for (int64_t d = 0; d < D; d++) O[(i * H + h) * D + d] += exp(p[j] - top) / sum * V[(j * H + h) * D + d];
      }
    Case c = {.file = "attention", .plan = "attention", .levels = "v4", .seeds = 2, .dims = {H, T, D}};
    in(&c, Q, n), in(&c, K, n), in(&c, V, n), out(&c, n, O), out(&c, H * T, L);
    agree(&c);
  }
}

static double padded(const double *x, int64_t H, int64_t W, int64_t C, int64_t h, int64_t w, int64_t c) {
  return h < 0 || h >= H || w < 0 || w >= W ? 0 : x[(h * W + w) * C + c];
}

static void test_conv(void **state) {
  (void)state;
  const int64_t size[][5] = {{1, 1, 1, 1, 1}, {2, 3, 5, 3, 17}, {1, 5, 9, 2, 16}, {1, 4, 13, 5, 3}};
  for (int s = 0; s < 4; s++)
    for (int way = 0; way < 2; way++) {
      int64_t B = size[s][0], H = size[s][1], W = size[s][2], CI = size[s][3], CO = size[s][4];
      float *x = floats(B * H * W * CI, -1, 1), *w = floats(9 * CI * CO, -1, 1), *bias = floats(CO, -1, 1);
      double *xd = doubles(B * H * W * CI), *y = doubles(B * H * W * CO);
      for (int64_t i = 0; i < B * H * W * CI; i++) xd[i] = x[i];
      for (int64_t o = 0; o < B * H * W * CO; o++) {
        int64_t co = o % CO, j = o / CO % W, h = o / CO / W % H, b = o / CO / W / H;
        double t = bias[co];
        for (int64_t k = 0; k < 9; k++)
          for (int64_t ci = 0; ci < CI; ci++)
            t += padded(xd + b * H * W * CI, H, W, CI, h + k / 3 - 1, j + k % 3 - 1, ci) * w[(k * CI + ci) * CO + co];
        y[o] = fmax(t, 0);
      }
      Case c = {.file = "conv",
                .plan = way ? "wino" : "conv3",
                .levels = "v4",
                .seeds = 2,
                .tol = 4e-6,
                .dims = {B, H, W, CI, CO}};
      in(&c, x, B * H * W * CI), in(&c, w, 9 * CI * CO), in(&c, bias, CO), out(&c, B * H * W * CO, y);
      agree(&c);
    }
  const int64_t chain[][5] = {{1, 1, 1, 1, 1}, {5, 3, 2, 17, 3}, {9, 4, 3, 16, 5}, {8, 2, 2, 5, 18}};
  for (int s = 0; s < 4; s++) {
    int64_t H = chain[s][0], W = chain[s][1], C = chain[s][2], E = chain[s][3], D = chain[s][4];
    float *x = floats(H * W * C, -1, 1), *w1 = floats(C * E, -1, 1), *wd = floats(9 * E, -1, 1),
          *w2 = floats(E * D, -1, 1);
    double *a = doubles(H * W * E), *b = doubles(H * W * E), *y = doubles(H * W * D);
    for (int64_t i = 0; i < H * W * E; i++) {
      for (int64_t k = 0; k < C; k++) a[i] += (double)x[i / E * C + k] * w1[k * E + i % E];
      a[i] = fmax(a[i], 0);
    }
    for (int64_t i = 0; i < H * W * E; i++) {
      for (int64_t k = 0; k < 9; k++)
        b[i] += padded(a, H, W, E, i / E / W + k / 3 - 1, i / E % W + k % 3 - 1, i % E) * wd[k * E + i % E];
      b[i] = fmax(b[i], 0);
    }
    for (int64_t i = 0; i < H * W * D; i++)
      for (int64_t e = 0; e < E; e++) y[i] += b[i / D * E + e] * w2[e * D + i % D];
    Case c = {.file = "conv", .plan = "chain", .levels = "v4", .seeds = 2, .dims = {H, W, C, E, D}};
    in(&c, x, H * W * C), in(&c, w1, C * E), in(&c, wd, 9 * E), in(&c, w2, E * D), out(&c, H * W * D, y);
    agree(&c);
  }
}

static void test_lstm(void **state) {
  (void)state;
  const int64_t size[][3] = {{1, 1, 1}, {3, 4, 9}, {2, 3, 8}};
  for (int s = 0; s < 3; s++) {
    enum { T = 3 };
    int64_t B = size[s][0], I = size[s][1], H = size[s][2];
    float *x = floats(T * B * I, -1, 1), *h0 = floats(B * H, -1, 1), *c0 = floats(B * H, -1, 1),
          *W = floats(I * 4 * H, -1, 1), *R = floats(H * 4 * H, -1, 1), *bias = floats(4 * H, -1, 1);
    double *y = doubles(T * B * H), *h = doubles(B * H), *cell = doubles(B * H);
    for (int64_t i = 0; i < B * H; i++) h[i] = h0[i], cell[i] = c0[i];
    for (int64_t t = 0; t < T; t++) {
      for (int64_t o = 0; o < B * H; o++) {
        double g[4];
        for (int k = 0; k < 4; k++) {
          g[k] = bias[k * H + o % H];
          for (int64_t i = 0; i < I; i++) g[k] += (double)x[(t * B + o / H) * I + i] * W[(i * 4 + k) * H + o % H];
          for (int64_t i = 0; i < H; i++) g[k] += h[o / H * H + i] * R[(i * 4 + k) * H + o % H];
        }
        cell[o] = sigmoid(g[1]) * cell[o] + sigmoid(g[0]) * tanh(g[2]);
        y[t * B * H + o] = sigmoid(g[3]) * tanh(cell[o]);
      }
      memcpy(h, y + t * B * H, (size_t)(B * H) * 8);
    }
    Case c = {.file = "lstm", .plan = "lstm", .seeds = 2, .dims = {B, I, H}};
    in(&c, x, T * B * I), in(&c, h0, B * H), in(&c, c0, B * H), in(&c, W, I * 4 * H), in(&c, R, H * 4 * H),
        in(&c, bias, 4 * H);
    out(&c, T * B * H, y), out(&c, B * H, cell);
    agree(&c);
  }
  const int64_t len[] = {1, 9, 40};
  for (int s = 0; s < 3; s++) {
    float *x = floats(len[s], 0.5, 2.4);
    double *w = doubles(len[s]), *done = doubles(1);
    *done = 1;
    for (int64_t i = 0; i < len[s]; i++) {
      w[i] = x[i] * 0.5;
      if (w[i] >= 1) *done = 0;
    }
    Case c = {.file = "lstm", .plan = "halve", .dims = {len[s]}};
    add_arg(&c, x, len[s], 4, w), out(&c, 1, done);
    agree(&c);
  }
}

/* ---- blocks of threads ---- */

static void test_block_rows(void **state) {
  (void)state;
  const int64_t size[][2] = {{1, 1}, {3, 65}, {4, 200}, {2, 7}};
  for (int s = 0; s < 4; s++) {
    int64_t M = size[s][0], N = size[s][1];
    for (int hand = 0; hand < 2; hand++) {
      float *x = floats(M * N, 0.1, 1);
      double *y = doubles(M), *z = doubles(M * N);
      for (int64_t i = 0; i < M * N; i++) y[i / N] += x[i];
      for (int64_t i = 0; i < M * N; i++) z[i] = x[i] / y[i / N];
      Case c = {.file = "blocks", .plan = hand ? "rowsum_hand" : "rowsum", .levels = "v4", .seeds = 3, .dims = {M, N}};
      in(&c, x, M * N), out(&c, M, y), out(&c, M * N, z);
      agree(&c);
    }
    float *x = floats(M * N, -30, 30);
    double *y = doubles(M * N);
    softmax_rows(x, M, N, y);
    Case c = {.file = "blocks", .plan = "softmax", .levels = "v4", .seeds = 3, .dims = {M, N}};
    in(&c, x, M * N), out(&c, M * N, y);
    agree(&c);
    layernorm_case("blocks", M, N);
  }
}

static void test_block_tiles(void **state) {
  (void)state;
  const int64_t size[][3] = {{1, 1, 1}, {9, 7, 17}, {8, 16, 24}};
  for (int s = 0; s < 6; s++) {
    int64_t M = size[s / 2][0], N = size[s / 2][1], K = size[s / 2][2];
    float *A = floats(M * K, -1, 1), *B = floats(K * N, -1, 1);
    double *C = doubles(M * N);
    for (int64_t i = 0; i < M * N; i++)
      for (int64_t k = 0; k < K; k++) C[i] += (double)A[i / N * K + k] * B[k * N + i % N];
    Case c = {
        .file = "blocks", .plan = s % 2 ? "tiled_rolling" : "tiled", .levels = "v4", .seeds = 3, .dims = {M, N, K}};
    in(&c, A, M * K), in(&c, B, K * N), out(&c, M * N, C);
    agree(&c);
  }
  enum { BLOCKS = 2, T = 96 };
  float *x = floats(BLOCKS * T, -1, 1);
  double *y = doubles(BLOCKS * T);
  for (int i = 0; i < BLOCKS * T; i++) y[i] = 4.0 * x[i] + 3 * (2 + i % T / 32); /* mirrored twice */
  Case c = {.file = "blocks", .plan = "mirror", .levels = "v4", .seeds = 3, .dims = {BLOCKS}};
  in(&c, x, BLOCKS * T), out(&c, BLOCKS * T, y);
  agree(&c);
}

/* The order of a reduce to the bit: halves of a warp folded on each other, then the warps from the first on. */
static void test_block_order(void **state) {
  (void)state;
  enum { B = 3, T = 128 };
  float x[B * T], sum[B * 5], top[B * 5];
  int32_t low[B * 5];
  for (int i = 0; i < B * T; i++) x[i] = (float)uniform(-1, 1);
  for (int i = T; i < 2 * T; i++) x[i] = i % 2 ? 0.0f : -0.0f; /* the signs of zeros show the order of max */
  x[2 * T + 77] = NAN;
  for (uint32_t seed = 0; seed < 3; seed++) {
    Ctx c = ctx_new();
    LoopModule *m = load(&c, "blocks");
    LoopArg args[] = {{.data = x}, {.data = sum}, {.data = top}, {.data = low}};
    assert_true(loop_run(m, "fold", (int64_t[]){B}, args, &(LoopRun){.level = "v4", .seed = seed}));
    for (int b = 0; b < B; b++) {
      float s[T], t[T], bs = 0, bt = 0;
      int32_t bl = INT32_MAX;
      memcpy(s, x + b * T, sizeof s);
      memcpy(t, x + b * T, sizeof t);
      for (int w = 0; w < T / 32; w++) {
        float *ws = s + 32 * w, *wt = t + 32 * w;
        int32_t wl = INT32_MAX;
        for (int i = 0; i < 32; i++) {
          int32_t v = isnan(wt[i]) ? 0 : (int32_t)(wt[i] * 1000.0f);
          if (v < wl) wl = v;
        }
        for (int half = 16; half; half /= 2)
          for (int i = 0; i < half; i++) {
            ws[i] += ws[i + half];
            wt[i] = wt[i] > wt[i + half] || isnan(wt[i]) ? wt[i] : wt[i + half];
          }
        bs = w ? bs + *ws : *ws;
        bt = w ? (bt > *wt || isnan(bt) ? bt : *wt) : *wt;
        if (wl < bl) bl = wl;
        assert_memory_equal(&sum[b * 5 + w], ws, 4);
        assert_memory_equal(&top[b * 5 + w], wt, 4);
        assert_int_equal(low[b * 5 + w], wl);
      }
      assert_memory_equal(&sum[b * 5 + 4], &bs, 4);
      assert_memory_equal(&top[b * 5 + 4], &bt, 4);
      assert_int_equal(low[b * 5 + 4], bl);
    }
    ctx_free(&c);
  }
}

/* Built by functions as it is written as text. */
static void test_block_build(void **state) {
  (void)state;
  Ctx c = ctx_new();
  LoopModule *m = loop_module_new(&c);
  Kernel *k = loop_kernel(m, "total");
  Ex n = loop_dim(k, "N", 1, 1000), j;
  Sym len = sym_var(c.syms, "N"), one = sym_int(c.syms, 1), warps = sym_int(c.syms, 4);
  uint32_t x = loop_param(k, "tid", BUF_IN, DT_F32, &len, 1), y = loop_param(k, "y", BUF_OUT, DT_F32, &one, 1);
  loop_stage(k, "main");
  Ex zero = loop_axis(k, "i", one), t = loop_threads(k, "t", 128);
  uint32_t sh = loop_alloc_shared(k, "sh", DT_F32, &warps, 1);
  uint32_t s = loop_reg(k, "s", DT_F32, 1, 0, NULL, ex_float(k, DT_F32, 0));
  loop_for(k, "j", ex_idx(k, 0), n, FOR_THREAD, 0, TAIL_NONE, &j);
  loop_assign(k, s, NULL, 0, ex_add(k, ex_reg(k, s, NULL, 0), ex_load(k, x, &j, 1, 0, 0)), 0);
  loop_end(k);
  Ex part = loop_reduce(k, "s", OP_ADD, LOOP_WARP, ex_reg(k, s, NULL, 0)), warp = loop_warp(k);
  loop_if(k, ex_op2(k, OP_EQUAL, loop_lane_id(k), ex_idx(k, 0)));
  loop_store(k, sh, &warp, 1, part, 0);
  loop_end(k);
  loop_barrier(k, LOOP_BLOCK);
  loop_if(k, ex_op2(k, OP_EQUAL, loop_tid(k), ex_idx(k, 0)));
  Ex sum = 0;
  for (int w = 0; w < 4; w++) {
    Ex at = ex_idx(k, w), v = ex_load(k, sh, &at, 1, 0, 0);
    sum = w ? ex_add(k, sum, v) : v;
  }
  loop_store(k, y, &zero, 1, sum, 0);
  loop_end(k);
  assert_int_not_equal(t, loop_tid(k)); /* of one axis they are equal and yet two names */
  Buf a = {0}, b = {0};
  loop_print(m, &a);
  assert_string_equal(a.at, "kernel total(N in 1..=1000; in tid_2: f32[N], out y: f32[1]) {\n"
                            "  stage main(i < 1) threads(t < 128) {\n"
                            "    alloc sh: f32[4] shared\n"
                            "    reg s: f32 = 0.0\n"
                            "    for j in 0..N thread {\n"
                            "      s = s + tid_2[j]\n"
                            "    }\n"
                            "    reduce s_2 = add warp s\n"
                            "    if lane_id == 0 {\n"
                            "      sh[warp] = s_2\n"
                            "    }\n"
                            "    barrier block\n"
                            "    if tid == 0 {\n"
                            "      y[i] = sh[0] + sh[1] + sh[2] + sh[3]\n"
                            "    }\n"
                            "  }\n"
                            "}\n");
  LoopModule *again = NULL;
  if (!loop_parse(&c, "printed", a.at, a.n, &again)) fail_msg("%s", diag_first(c.diag, NULL));
  loop_print(again, &b);
  assert_string_equal(a.at, b.at);
  assert_true(loop_verify(m, "v4") && loop_verify(again, "v4"));
  buf_free(&a);
  buf_free(&b);
  ctx_free(&c);
}

/* ---- planted faults ---- */

typedef struct Names {
  char name[8][16];
  int64_t value[8];
  int n;
} Names;

static bool value_of(void *ctx, const char *name, int64_t *v) {
  const Names *d = ctx;
  for (int i = 0; i < d->n; i++)
    if (!strcmp(d->name[i], name)) return *v = d->value[i], true;
  return false;
}

/* Memory of random numbers for the parameters of a plan. */
static void make_args(const LoopModule *m, const Plan *p, Names *dims, int64_t *lens, int nlens, LoopArg *args) {
  for (int i = 0; i < p->nparams; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    if (b->list) {
      args[i] = (LoopArg){.nlist = nlens, .list = keep((size_t)nlens * sizeof(void *)), .list_len = lens};
      for (int j = 0; j < nlens; j++) args[i].list[j] = floats(lens[j], 0.1, 1);
      continue;
    }
    int64_t n = 1;
    for (int a = 0; a < b->rank; a++) {
      int64_t d = 0;
      assert_true(sym_eval(m->ctx->syms, b->dim[a], value_of, dims, &d));
      n *= d;
    }
    args[i].data = b->dtype == DT_F32 ? (void *)floats(n, -1, 1) : keep((size_t)n * 8);
  }
}

/* `# sentence [id]`, then `# run PLAN DIM=N .. [level=v3] [list=70,5]`, then the module. */
static const char *run_bad(Ctx *c, char *text, size_t n, const char *path, uint32_t seed) {
  char *line = strstr(text, "\n# run ") + 7, words[128], *save = NULL;
  snprintf(words, sizeof words, "%.*s", (int)strcspn(line, "\n"), line);
  const char *name = strtok_r(words, " ", &save);
  LoopRun run = {.level = "v4", .seed = seed};
  Names dims = {0};
  int64_t lens[4] = {0}, value[8];
  int nlens = 0;
  for (char *w; (w = strtok_r(NULL, " ", &save));) {
    char *eq = strchr(w, '=');
    *eq = 0;
    if (!strcmp(w, "level"))
      run.level = eq + 1;
    else if (!strcmp(w, "list"))
      for (char *l = eq; l; l = strchr(l + 1, ',')) lens[nlens++] = strtol(l + 1, NULL, 10);
    else {
      snprintf(dims.name[dims.n], sizeof dims.name[0], "%s", w);
      dims.value[dims.n++] = strtol(eq + 1, NULL, 10);
    }
  }
  LoopModule *m = NULL;
  LoopArg args[MAX_ARGS] = {{0}};
  if (!loop_parse(c, path, text, n, &m)) return diag_first(c->diag, NULL);
  const Plan *p = loop_module_plan(m, name, NULL);
  if (!p) return "no such plan";
  for (uint32_t i = 0; i < p->dims.n; i++) assert_true(value_of(&dims, p->dims.at[i].name, &value[i]));
  make_args(m, p, &dims, lens, nlens, args);
  return loop_run(m, name, value, args, &run) ? "nothing" : diag_first(c->diag, NULL);
}

static void test_faults(void **state) {
  (void)state;
  DIR *d = opendir("tests/loop/bad");
  assert_non_null(d);
  int count = 0, missed = 0;
  for (struct dirent *e; (e = readdir(d));) {
    if (!strstr(e->d_name, ".loop")) continue;
    char path[300], want[128];
    snprintf(path, sizeof path, "tests/loop/bad/%s", e->d_name);
    Ctx c = ctx_new();
    size_t n;
    const char *why, *id = "";
    char *text = file_read(c.arena, path, &n, &why);
    assert_non_null(text);
    snprintf(want, sizeof want, "%.*s", (int)strcspn(text, "\n") - 2, text + 2);
    const char *said = run_bad(&c, text, n, path, 3);
    diag_first(c.diag, &id);
    char *want_id = strstr(want, " ["), with_id[64];
    snprintf(with_id, sizeof with_id, " [%s]", id);
    if (!want_id || strcmp(want_id, with_id))
      print_error("%s: said [%s], expected`%s`\n", path, id, want_id ? want_id : ""), missed++;
    if (want_id) *want_id = 0;
    if (!strstr(said, want)) print_error("%s: said `%s`, expected `%s`\n", path, said, want), missed++;
    Buf b = {0};
    diag_print(c.diag, &b);
    if (b.n && !strstr(b.at, path)) print_error("%s: no place in `%s`\n", path, b.at), missed++;
    buf_free(&b);
    for (uint32_t seed = 10; seed < 15 && strstr(text, "threads("); seed++) { /* any order of threads shows it */
      Ctx other = ctx_new();
      if (!strcmp(run_bad(&other, text, n, path, seed), "nothing"))
        print_error("%s: not seen with seed %u\n", path, seed), missed++;
      ctx_free(&other);
    }
    ctx_free(&c);
    drop();
    count++;
  }
  closedir(d);
  assert_int_equal(missed, 0);
  assert_true(count >= 132);
}

/* Text cut off or changed anywhere is refused or accepted, never a crash. */
static void test_garbage(void **state) {
  (void)state;
  const char *file[] = {"elem", "gemm", "rows", "blocks"};
  for (int f = 0; f < 4; f++) {
    char path[64];
    size_t n;
    const char *why;
    Arena *a = arena_new();
    snprintf(path, sizeof path, "tests/loop/%s.loop", file[f]);
    char *text = file_read(a, path, &n, &why);
    for (int i = 0; i < 150; i++) {
      char *t = arena_strndup(a, text, n);
      for (int k = 0; k < 3; k++) t[(size_t)uniform(0, (double)n)] = "(){}[];,.#0aN*%\n<>="[(size_t)uniform(0, 19)];
      Ctx c = ctx_new();
      LoopModule *m;
      if (loop_parse(&c, path, t, (size_t)uniform(0, (double)n * 1.5) % n, &m)) {
        Buf b = {0};
        loop_verify(m, "v4");
        loop_print(m, &b);
        buf_free(&b);
      } else
        assert_int_equal(diag_errors(c.diag), 1);
      ctx_free(&c);
    }
    arena_free(a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_text),         cmocka_unit_test(test_canonical),   cmocka_unit_test(test_build),
      cmocka_unit_test(test_rewrite),      cmocka_unit_test(test_access),      cmocka_unit_test(test_shared_text),
      cmocka_unit_test(test_elementwise),  cmocka_unit_test(test_exp),         cmocka_unit_test(test_moves),
      cmocka_unit_test(test_pool_scatter), cmocka_unit_test(test_lists),       cmocka_unit_test(test_rows),
      cmocka_unit_test(test_same_bits),    cmocka_unit_test(test_gemm),        cmocka_unit_test(test_attention),
      cmocka_unit_test(test_conv),         cmocka_unit_test(test_lstm),        cmocka_unit_test(test_faults),
      cmocka_unit_test(test_garbage),      cmocka_unit_test(test_pressure),    cmocka_unit_test(test_half),
      cmocka_unit_test(test_narrow),       cmocka_unit_test(test_block_rows),  cmocka_unit_test(test_block_tiles),
      cmocka_unit_test(test_block_order),  cmocka_unit_test(test_block_build),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
