/* The packed product C = A B by emitted code against the FMA peak of the same level measured beside it: one thread,
 * 512^3 unless given. `gemm_bench [--level v4] [--tile MRxNV] [--size MxNxK] [--unroll U] [--symbolic] [--save
 * FILE.o]`. Prints GF/s and per cent; exit code 1 if the product is wrong. No gate on speed here. */
#include "jit.h"
#include <math.h>
#include <time.h>

typedef struct Shape {
  int64_t m, n, k;
  int mr, nv, unroll, ahead;
  bool symbolic;
} Shape;

static Sym size_of(LoopModule *m, Kernel *k, const char *name, int64_t n, bool symbolic) {
  if (!symbolic) return sym_int(m->ctx->syms, n);
  loop_dim(k, name, 1, 1 << 20);
  return sym_var(m->ctx->syms, name);
}

/* B lies in panels of NR columns (layout panel), A and C in rows. A task is one panel; all of K at once. */
static void build_gemm(LoopModule *m, const Target *t, Shape s) {
  SymTab *st = m->ctx->syms;
  Kernel *k = loop_kernel(m, "gemm");
  int lanes = target_lanes(t, DT_F32), nr = s.nv * lanes;
  Sym M = size_of(m, k, "M", s.m, s.symbolic), N = size_of(m, k, "N", s.n, s.symbolic),
      K = size_of(m, k, "K", s.k, s.symbolic);
  uint32_t A = loop_param(k, "A", BUF_IN, DT_F32, (Sym[]){M, K}, 2);
  uint32_t P = loop_param(k, "P", BUF_IN, DT_F32, (Sym[]){K, sym_round_up(st, N, sym_int(st, nr))}, 2);
  uint32_t C = loop_param(k, "C", BUF_OUT, DT_F32, (Sym[]){M, N}, 2);
  loop_buf(k, P)->layout = LAYOUT_PANEL;
  loop_buf(k, P)->panel_axis = 1;
  loop_buf(k, P)->width = nr;
  loop_stage(k, "main");
  Ex jp = loop_axis(k, "jp", sym_div_up(st, N, sym_int(st, nr))), it, kk, u, v, i;
  loop_for(k, "it", ex_idx(k, 0), loop_sym(k, sym_op(st, SYM_FLOORDIV, M, sym_int(st, s.mr))), FOR_SERIAL, 0, TAIL_NONE,
           &it);
  uint32_t acc = loop_reg(k, "t", DT_F32, lanes, 2, (int64_t[]){s.mr, s.nv}, ex_float(k, DT_F32, 0));
  loop_for_step(k, "k", ex_idx(k, 0), loop_sym(k, K), s.unroll, &kk);
  loop_for(k, "u", ex_idx(k, 0), ex_idx(k, s.unroll), FOR_UNROLL, 0, TAIL_NONE, &u);
  Ex ku = ex_add(k, kk, u);
  uint32_t b = loop_reg(k, "b", DT_F32, lanes, 1, (int64_t[]){s.nv}, 0);
#define COL(v) ex_add(k, ex_add(k, ex_mul(k, jp, ex_idx(k, nr)), ex_mul(k, v, ex_idx(k, lanes))), ex_lane(k, lanes))
  loop_for(k, "v", ex_idx(k, 0), ex_idx(k, s.nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  loop_assign(k, b, &v, 1, ex_load(k, P, (Ex[]){ku, COL(v)}, 2, 0, 0), 0);
  if (s.ahead)
    loop_prefetch(k, P,
                  (Ex[]){ex_add(k, ku, ex_idx(k, s.ahead)),
                         ex_add(k, ex_mul(k, jp, ex_idx(k, nr)), ex_mul(k, v, ex_idx(k, lanes)))},
                  2);
  loop_end(k);
  loop_for(k, "i", ex_idx(k, 0), ex_idx(k, s.mr), FOR_UNROLL, 0, TAIL_NONE, &i);
  Ex row = ex_add(k, ex_mul(k, it, ex_idx(k, s.mr)), i), a = loop_let(k, "a", ex_load(k, A, (Ex[]){row, ku}, 2, 0, 0));
  loop_for(k, "v2", ex_idx(k, 0), ex_idx(k, s.nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  loop_assign(k, acc, (Ex[]){i, v}, 2, ex_op3(k, OP_FMA, a, ex_reg(k, b, &v, 1), ex_reg(k, acc, (Ex[]){i, v}, 2)), 0);
  loop_end(k);
  loop_end(k);
  loop_end(k);
  loop_end(k);
  loop_for(k, "i2", ex_idx(k, 0), ex_idx(k, s.mr), FOR_UNROLL, 0, TAIL_NONE, &i);
  loop_for(k, "v3", ex_idx(k, 0), ex_idx(k, s.nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  loop_store(k, C, (Ex[]){ex_add(k, ex_mul(k, it, ex_idx(k, s.mr)), i), COL(v)}, 2, ex_reg(k, acc, (Ex[]){i, v}, 2), 0);
  loop_end(k);
  loop_end(k);
  loop_end(k);
}

enum { CHAINS = 12 };
static void build_peak(LoopModule *m, const Target *t) {
  Kernel *k = loop_kernel(m, "peak");
  int lanes = target_lanes(t, DT_F32);
  Sym n = sym_int(m->ctx->syms, 2);
  uint32_t in = loop_param(k, "x", BUF_IN, DT_F32, &n, 1),
           out = loop_param(k, "y", BUF_OUT, DT_F32, (Sym[]){sym_int(m->ctx->syms, lanes * CHAINS)}, 1);
  loop_stage(k, "main");
  loop_axis(k, "t", sym_int(m->ctx->syms, 1));
  Ex a = loop_let(k, "a", ex_splat(k, ex_load(k, in, (Ex[]){ex_idx(k, 0)}, 1, 0, 0), lanes));
  Ex b = loop_let(k, "b", ex_splat(k, ex_load(k, in, (Ex[]){ex_idx(k, 1)}, 1, 0, 0), lanes)), i, c;
  uint32_t r = loop_reg(k, "r", DT_F32, lanes, 1, (int64_t[]){CHAINS}, ex_float(k, DT_F32, 1));
  loop_for(k, "i", ex_idx(k, 0), ex_idx(k, 1 << 20), FOR_SERIAL, 0, TAIL_NONE, &i);
  loop_for(k, "c", ex_idx(k, 0), ex_idx(k, CHAINS), FOR_UNROLL, 0, TAIL_NONE, &c);
  loop_assign(k, r, &c, 1, ex_op3(k, OP_FMA, ex_reg(k, r, &c, 1), a, b), 0);
  loop_end(k);
  loop_end(k);
  loop_for(k, "c2", ex_idx(k, 0), ex_idx(k, CHAINS), FOR_UNROLL, 0, TAIL_NONE, &c);
  loop_store(k, out, (Ex[]){ex_add(k, ex_mul(k, c, ex_idx(k, lanes)), ex_lane(k, lanes))}, 1, ex_reg(k, r, &c, 1), 0);
  loop_end(k);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static int less(const void *a, const void *b) {
  return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

int main(int argc, char **argv) {
  const Target *t = NULL;
  Shape s = {512, 512, 512, 0, 0, 4, 8, false};
  const char *save = NULL;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--level") && i + 1 < argc)
      t = target_find(argv[++i]);
    else if (!strcmp(argv[i], "--tile") && i + 1 < argc)
      sscanf(argv[++i], "%dx%d", &s.mr, &s.nv);
    else if (!strcmp(argv[i], "--size") && i + 1 < argc)
      sscanf(argv[++i], "%ldx%ldx%ld", &s.m, &s.n, &s.k);
    else if (!strcmp(argv[i], "--unroll") && i + 1 < argc)
      s.unroll = atoi(argv[++i]);
    else if (!strcmp(argv[i], "--ahead") && i + 1 < argc)
      s.ahead = atoi(argv[++i]);
    else if (!strcmp(argv[i], "--symbolic"))
      s.symbolic = true;
    else if (!strcmp(argv[i], "--save") && i + 1 < argc)
      save = argv[++i];
  }
  for (int i = LEVEL_V4; !t && i >= 0; i--)
    if (jit_runs(&TARGETS[i])) t = &TARGETS[i];
  if (!t || (!save && !jit_runs(t)))
    return fprintf(stderr, "gemm_bench: this machine does not run that level: skipped\n"), 77;
  if (!s.mr)
    s.mr = t->level == LEVEL_V4 || t->level == LEVEL_A64 ? 8
           : t->level == LEVEL_V3                        ? 6
                                                         : 4,
    s.nv = t->level == LEVEL_V4 || t->level == LEVEL_A64 ? 2
           : t->level == LEVEL_V3                        ? 2
                                                         : 2;
  Ctx ctx = jit_ctx();
  LoopModule *m = loop_module_new(&ctx);
  build_gemm(m, t, s);
  build_peak(m, t);
  double t0 = now();
  EmitRequest q = {.module = m, .target = t, .arena = ctx.arena, .text = save != NULL};
  EmitResult r;
  if (!emit_object(&q, &r)) return fprintf(stderr, "%s\n", r.error), 1;
  double made = now() - t0;
  if (save) {
    char ll[512];
    jit_write(save, r.object, r.size);
    snprintf(ll, sizeof ll, "%s.ll", save);
    jit_write(ll, r.text, strlen(r.text));
    if (!jit_runs(t)) return 0;
  }
  SinterKernel *const *f = jit_open(m, t, &r);
  int nr = s.nv * target_lanes(t, DT_F32);
  int64_t np = (s.n + nr - 1) / nr;
  float *A = aligned_alloc(64, (size_t)(s.m * s.k) * 4), *B = aligned_alloc(64, (size_t)(s.n * s.k) * 4),
        *P = aligned_alloc(64, (size_t)(np * nr * s.k + 4096) * 4),
        *C = aligned_alloc(64, (size_t)(s.m * np * nr + 64) * 4);
  for (int64_t i = 0; i < s.m * s.k; i++) A[i] = (float)((i * 7919) % 1000) / 1000 - 0.5f;
  for (int64_t i = 0; i < s.n * s.k; i++) B[i] = (float)((i * 104729) % 1000) / 1000 - 0.5f;
  memset(C, 0, (size_t)(s.m * s.n) * 4);
  for (int64_t j = 0; j < np; j++)
    for (int64_t k = 0; k < s.k; k++)
      for (int64_t c = 0; c < nr; c++) P[(j * s.k + k) * nr + c] = j * nr + c < s.n ? B[k * s.n + j * nr + c] : 0;
  int64_t dims[] = {s.m, s.n, s.k};
  void *bufs[] = {A, P, C};
  SinterFail fail[1] = {0};
  SinterCall call = {sizeof call, 1, dims, bufs, fail};
  float xy[2 + 16 * CHAINS] = {0.5f, 0.5f};
  void *pb[] = {xy, xy + 2};
  SinterCall peak = {sizeof peak, 1, NULL, pb, fail};
  enum { REPS = 15 };
  double g[REPS], p[REPS], flop = 2.0 * (double)s.m * (double)s.n * (double)s.k,
                           pflop = 2.0 * CHAINS * (1 << 20) * target_lanes(t, DT_F32);
  int inner = (int)(2e8 / flop) + 1;
  for (int rep = 0; rep < REPS; rep++) { /* interleaved, so that a slow phase of the machine hits both */
    double a = now();
    for (int i = 0; i < inner; i++) f[0](&call, 0, np, 0);
    double b = now();
    f[1](&peak, 0, 1, 0);
    double c = now();
    g[rep] = flop * inner / (b - a) * 1e-9;
    p[rep] = pflop / (c - b) * 1e-9;
  }
  double worst = 0;
  for (int64_t i = 0; i < s.m / s.mr * s.mr; i += 37)
    for (int64_t j = 0; j < s.n; j += 11) {
      double x = 0;
      for (int64_t k = 0; k < s.k; k++) x += (double)A[i * s.k + k] * B[k * s.n + j];
      double e = fabs(x - C[i * s.n + j]);
      if (!(e <= worst)) worst = e;
    }
  /* the best of both: other programs on this machine only make times longer */
  qsort(g, REPS, sizeof *g, less);
  qsort(p, REPS, sizeof *p, less);
  printf("%s %ldx%ldx%ld tile %dx%d unroll %d %s: %.1f GF/s, peak %.1f, %.1f %%; emitted in %.1f ms, %zu bytes; max "
         "error %.2g\n",
         t->name, s.m, s.n, s.k, s.mr, nr, s.unroll, s.symbolic ? "symbolic" : "constant", g[REPS - 1], p[REPS - 1],
         100 * g[REPS - 1] / p[REPS - 1], made * 1e3, r.size, worst);
  return !(worst < 1e-3);
}
