/* The vector maths through emitted code on every level of a machine: bounds in ulp against libm in the next wider type,
 * and corner cases bit by bit. 2^20 arguments (f64: 2^18) a function and level: random bit
 * patterns, and a range where the function has shape. `test_vecmath --exhaustive [FUNCTION]` walks all 2^32 arguments
 * of the f32 functions (minutes each) and prints the worst. */
#include "expand_math.h"
#include "jit.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef long double Ref1(long double);
static long double sigmoid_ref(long double x) { return 1 / (1 + expl(-x)); }
static long double rsqrt_ref(long double x) { return 1 / sqrtl(x); }
static long double sign_ref(long double x) { return isnan(x) ? x : (x > 0) - (x < 0); }

static const struct Function {
  const char *name;
  Op op;
  Ref1 *wide;            /* for f64 */
  double (*ref)(double); /* for f32; NULL: wide */
  double lo, hi;         /* range with shape */
  double bound32, bound64;
} FUNCTIONS[] = {
    {"exp", OP_EXP, expl, exp, -20, 20, 2, 4},      {"expm1", OP_EXPM1, expm1l, expm1, -3, 3, 2, 4},
    {"log", OP_LOG, logl, log, 0, 4, 2, 4},         {"log1p", OP_LOG1P, log1pl, log1p, -1, 3, 2, 4},
    {"tanh", OP_TANH, tanhl, tanh, -10, 10, 2, 4},  {"sigmoid", OP_SIGMOID, sigmoid_ref, NULL, -20, 20, 3, 4},
    {"erf", OP_ERF, erfl, erf, -6, 6, 2, 4},        {"sin", OP_SIN, sinl, sin, -1e5, 1e5, 2, 4},
    {"cos", OP_COS, cosl, cos, -1e5, 1e5, 2, 4},    {"rsqrt", OP_RSQRT, rsqrt_ref, NULL, 0, 100, 2, 4},
    {"sign", OP_SIGN, sign_ref, NULL, -1, 1, 0, 0},
};
enum { FUNCTION_COUNT = sizeof FUNCTIONS / sizeof *FUNCTIONS, N = 1 << 14, POW = FUNCTION_COUNT };

/* Code with a stage each: f32 functions, pow f32, then f64. */
static void *build(const Target *t) {
  Ctx c = jit_ctx();
  LoopModule *m = loop_module_new(&c);
  for (int wide = 0; wide < 2; wide++)
    for (int i = 0; i <= FUNCTION_COUNT; i++) {
      DType d = wide ? DT_F64 : DT_F32;
      Kernel *k = loop_kernel(m, i == POW ? "pow" : FUNCTIONS[i].name);
      Sym n = sym_int(c.syms, N);
      uint32_t x = loop_param(k, "x", BUF_IN, d, &n, 1), y = loop_param(k, "y", BUF_IN, d, &n, 1),
               z = loop_param(k, "z", BUF_OUT, d, &n, 1);
      Ex j, a;
      loop_stage(k, "main");
      loop_axis(k, "t", sym_int(c.syms, 1));
      loop_for(k, "j", ex_idx(k, 0), ex_idx(k, N), FOR_VECTOR, target_lanes(t, d), TAIL_NONE, &j);
      a = ex_load(k, x, &j, 1, 0, 0);
      loop_store(k, z, &j, 1,
                 i == POW ? ex_op2(k, OP_POW, a, ex_load(k, y, &j, 1, 0, 0)) : ex_op1(k, FUNCTIONS[i].op, a), 0);
      loop_end(k);
    }
  expand_math_module(m, t);
  EmitResult r;
  if (!emit_object(&(EmitRequest){.module = m, .target = t, .arena = c.arena}, &r)) fail_msg("%s", r.error);
  void *code = jit_machine.open(m, t, &r);
  arena_free(c.arena);
  return code;
}

static void run(void *code, int f, bool wide, void *x, void *y, void *z) {
  void *bufs[] = {x, y, z};
  SinterFail fail[1] = {0};
  SinterCall call = {sizeof call, 1, NULL, bufs, fail};
  size_t bytes = N * (wide ? sizeof(double) : sizeof(float));
  JitBlock blocks[] = {{x, bytes}, {y, bytes}, {z, bytes}};
  jit_machine.call(code, f + wide * (FUNCTION_COUNT + 1), &call, 0, 3, blocks, 3, 0, 1, 0);
}

static uint64_t next(uint64_t *s) { /* splitmix64 */
  uint64_t z = *s += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

/* Error in units of the last place of the result's type; 0 where got is what it must be, inf where it is wrong in kind.
 */
static double ulps(long double got, long double ref, bool wide) {
  long double top = wide ? 0x1p1024L : 0x1p128L;
  int digits = wide ? 53 : 24, low = wide ? -1074 : -149, e;
  if (isnan(ref)) return isnan(got) ? 0 : INFINITY;
  if (isinf(ref)) return got == ref ? 0 : INFINITY;
  if (ref == 0) return got == 0 && signbit(got) == signbit(ref) ? 0 : INFINITY;
  if (isnan(got) || (got != 0 && signbit(got) != signbit(ref))) return INFINITY;
  if (isinf(got)) got = copysignl(top, got); /* as if the exponents went on */
  if (fabsl(ref) > top) ref = copysignl(top, ref);
  frexpl(ref, &e);
  int unit = e - digits < low ? low : e - digits;
  return (double)(fabsl(got - ref) / ldexpl(1, unit));
}

static const double SPECIAL[] = {0.0,
                                 -0.0,
                                 1,
                                 -1,
                                 0.5,
                                 -0.5,
                                 2,
                                 -2,
                                 3,
                                 -3,
                                 INFINITY,
                                 -INFINITY,
                                 NAN,
                                 0x1p-149,
                                 -0x1p-149,
                                 0x1p-126,
                                 -0x1p-126,
                                 0x1.fffffep127,
                                 -0x1.fffffep127,
                                 88.72283,
                                 88.72284,
                                 -103.97,
                                 -103.98,
                                 -87.4,
                                 0x1p-1022,
                                 0x1p-1074,
                                 -0x1p-1074,
                                 709.78,
                                 709.79,
                                 -745.1,
                                 -745.2,
                                 1e300,
                                 -1e300,
                                 1e22,
                                 3.14159265358979,
                                 1.5707963267948966,
                                 0x1.921fb6p+0,
                                 16367173.0,
                                 1e-30,
                                 -1e-30,
                                 0x1p-13,
                                 1.9,
                                 1e5,
                                 5,
                                 -5,
                                 7,
                                 1023.5,
                                 0x1p53,
                                 -0x1p53,
                                 0x1p53 + 2,
                                 0.1,
                                 10,
                                 -10,
                                 4};
enum { SPECIALS = sizeof SPECIAL / sizeof *SPECIAL };

static int check_function(void *code, int f, bool wide, const char *level, double *worst_out) {
  static double x64[N], y64[N], z64[N];
  static float x32[N], y32[N], z32[N];
  const struct Function *fn = f == POW ? NULL : &FUNCTIONS[f];
  double bound = f == POW ? (wide ? 4 : 2) : wide ? fn->bound64 : fn->bound32, worst = 0;
  uint64_t seed = 42;
  int wrong = 0, rounds = (wide ? 1 << 18 : 1 << 20) / N;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < N; i++) {
      uint64_t r = next(&seed), q = next(&seed);
      double u = (double)(r >> 11) * 0x1p-53, v = (double)(q >> 11) * 0x1p-53, x, y = 0;
      if (round == 0 && i < SPECIALS * SPECIALS)
        x = SPECIAL[i % SPECIALS], y = SPECIAL[i / SPECIALS % SPECIALS];
      else if (round & 1) {
        x = f == POW ? exp((u - 0.5) * 8) : fn->lo + (fn->hi - fn->lo) * u;
        y = (v - 0.5) * (wide ? 300 : 40);
        if (f == POW && i % 4 == 0) x = i % 8 ? 1 + (u - 0.5) * 0x1p-12 : -floor(x), y = i % 8 ? y * 0x1p16 : floor(y);
      } else if (wide)
        memcpy(&x, &r, 8), memcpy(&y, &q, 8);
      else {
        float a, b;
        memcpy(&a, &(uint32_t){(uint32_t)r}, 4);
        memcpy(&b, &(uint32_t){(uint32_t)q}, 4);
        x = a, y = b;
      }
      x64[i] = x, y64[i] = y, x32[i] = (float)x, y32[i] = (float)y;
    }
    if (wide)
      run(code, f, true, x64, y64, z64);
    else
      run(code, f, false, x32, y32, z32);
    for (int i = 0; i < N; i++) {
      double x = wide ? x64[i] : (double)x32[i], y = wide ? y64[i] : (double)y32[i];
      long double got = wide ? z64[i] : (long double)z32[i];
      long double ref = f == POW           ? (wide ? powl(x, y) : (long double)pow(x, y))
                        : !wide && fn->ref ? (long double)fn->ref(x)
                                           : fn->wide(x);
      double e = ulps(got, ref, wide), allow = bound;
      if (e > worst && !isinf(e)) worst = e;
      if (e > allow && wrong++ < 5)
        printf("%s %s %s(%a, %a) = %La, expected %La: %.2f ulp\n", level, wide ? "f64" : "f32",
               f == POW ? "pow" : fn->name, x, y, got, ref, e);
    }
  }
  *worst_out = worst;
  return wrong;
}

static void test_level(void **state) {
  const Target *t = *state;
  if (jit_machine.missing()) {
    printf("skipped: %s\n", jit_machine.missing());
    skip(); /* not every system has the other machine's emulator */
  }
  if (!jit_machine.runs(t)) {
    printf("skipped: this machine does not run %s\n", t->says);
    skip(); /* v4 runs only where the processor has it */
  }
  void *code = build(t);
  int wrong = 0;
  for (int wide = 0; wide < 2; wide++)
    for (int f = 0; f <= FUNCTION_COUNT; f++) {
      double worst;
      wrong += check_function(code, f, wide, t->name, &worst);
      if (getenv("SINTER_ULPS"))
        printf("%s %s %-8s worst %.3f ulp\n", t->name, wide ? "f64" : "f32", f == POW ? "pow" : FUNCTIONS[f].name,
               worst);
    }
  assert_int_equal(wrong, 0);
}

/* The same for f32, quick where both are normal numbers. */
static double ulps32(float got, double ref) {
  uint64_t bits;
  memcpy(&bits, &ref, 8);
  int e = (int)(bits >> 52 & 0x7FF) - 1023;
  if (e < -126 || e > 126 || !isfinite(got)) return ulps(got, ref, false);
  uint64_t unit = (uint64_t)(1023 - (e - 23)) << 52; /* 1 / ulp */
  double scale;
  memcpy(&scale, &unit, 8);
  return fabs((double)got - ref) * scale;
}

static int exhaustive(const char *only) {
  static float x[N], z[N];
  int bad = 0;
  for (int level = LEVEL_V2; level <= LEVEL_V4; level++) {
    if (!jit_runs(&TARGETS[level]) || (level == LEVEL_V3 && jit_runs(&TARGETS[LEVEL_V4])))
      continue; /* v3 and v4 compute the same */
    void *code = build(&TARGETS[level]);
    for (int f = 0; f < FUNCTION_COUNT; f++) {
      const struct Function *fn = &FUNCTIONS[f];
      if (only && strcmp(only, fn->name)) continue;
      double worst = 0;
      float at = 0;
      for (uint64_t base = 0; base < 1ull << 32; base += N) {
        for (uint32_t i = 0; i < N; i++) memcpy(&x[i], &(uint32_t){(uint32_t)base + i}, 4);
        run(code, f, false, x, x, z);
        for (int i = 0; i < N; i++) {
          double e = fn->ref ? ulps32(z[i], fn->ref(x[i])) : ulps(z[i], fn->wide(x[i]), false);
          if (e > worst) worst = e, at = x[i];
        }
      }
      printf("%s %s: worst %.4f ulp at %a\n", TARGETS[level].name, fn->name, worst, (double)at);
      fflush(stdout);
      bad |= worst > fn->bound32;
    }
  }
  return bad;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "--exhaustive")) return exhaustive(argc > 2 ? argv[2] : NULL);
  struct CMUnitTest tests[LEVEL_COUNT];
  size_t n = 0;
  for (int i = 0; i < LEVEL_COUNT; i++)
    if (!strcmp(TARGETS[i].arch, jit_machine.arch))
      tests[n++] = (struct CMUnitTest){TARGETS[i].name, test_level, NULL, NULL, (void *)(uintptr_t)&TARGETS[i]};
  return _cmocka_run_group_tests("vecmath", tests, n, NULL, NULL);
}
