/* Rows longer than a block of threads holds, planned for a GPU: how often their kernels read them, what `sinter
 * explain` prints of that, and how exact sums are that are gathered before the largest element or the mean is known.
 * Run from the root. */
#include "check.h"
#include "compiler.h"
#include "pass.h"
#include "simplify.h"
#include "sir.h"
#include "target.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

typedef struct Planned {
  Ctx c;
  Program p;
  Unit unit;
  LevelUnit level;
} Planned;

static void plan(Planned *t, const char *body) {
  char text[2048];
  *t = (Planned){.c = ctx_new()};
  snprintf(text, sizeof text, "use nn, loss\nentry f%s", body);
  bool ok = sir_trace_text(&t->c, "test.sir", text, strlen(text), NULL, &t->p) &&
            program_map(&t->p, pass_inline_all, NULL) && program_map(&t->p, pass_simplify, NULL) &&
            program_map(&t->p, pass_half, NULL);
  t->unit = (Unit){.program = &t->p};
  if (!ok || !plan_level(&t->unit, &TARGET_GPU, &t->level) || !loop_verify(t->level.module, "gpu"))
    fail_msg("%s: %s", body, diag_first(t->c.diag, NULL));
}

/* ---- passes ---- */

/* Loops of a stage, one after another, that read this buffer. */
static int readers(const Kernel *k, const Stage *stage, uint32_t buf) {
  bool *loads = calloc(k->bufs.n, sizeof *loads), *stores = calloc(k->bufs.n, sizeof *stores);
  int n = 0;
  for (Stmt *s = stage->body; s; s = s->next) {
    Stmt alone = *s;
    Stage part = *stage;
    alone.next = NULL;
    part.body = &alone;
    memset(loads, 0, k->bufs.n * sizeof *loads);
    loop_uses(k, &part, loads, stores);
    n += s->kind == STMT_FOR && loads[buf];
  }
  free(loads);
  free(stores);
  return n;
}

#define CROSS(n)  "sum(d * abs(x - " #n "), -1)"
#define FIVE_SUMS CROSS(2) "+" CROSS(3) "+" CROSS(4) "+" CROSS(5) "+" CROSS(6)

static void passes(void **state) {
  (void)state;
  static const struct {
    const char *body, *schedule;
    int passes;
  } rows[] = {
      {"(x: f32[B, 16384]) -> f32[B, 16384] { softmax(x, -1) }", "passes = 3, hold = registers)", 1},
      {"(x: f32[B, 16384]) -> f32[B] { max(x, -1) }", "threads = 1024, lanes = 4, passes = 1, hold = n", 1},
      {"(x: bf16[B, 16384]) -> bf16[B, 16384] { softmax(x, -1) }", "passes = 3, hold = registers)", 1},
      {"(x: f32[B, 16384], w: f32[16384]) -> f32[B, 16384] { nn.layer_norm(x, w) }", "passes = 3, hold = registers)",
       1},
      {"(x: f32[B, 16385]) -> f32[B, 16385] { softmax(x, -1) }",
       "passes = 2, hold = n: each pass reads the row: reduce_max reduce_sum, store)", 2},
      {"(x: bf16[B, 50304]) -> bf16[B, 50304] { softmax(x, -1) }", "passes = 2, hold = n", 2},
      {"(x: f32[B, T]) -> f32[B, T] { softmax(x, -1) }", "passes = 2, hold = n", 2},
      {"(x: f32[B, T]) -> f32[B, T] { m = max(x, -1, keepdim = true); e = exp(x - where(m == -inf, 0, m)); n = sum(e, "
       "-1, keepdim = true); e * (1 / where(n == 0, 1, n)) }",
       "passes = 2, hold = n", 2},
      {"(x: f32[B, 50257]) -> f32[B, 50257] { log_softmax(x, -1) }", "passes = 2, hold = n", 2},
      {"(x: f32[B, 50257], y: i64[B]) -> f32[] { loss.cross_entropy(x, y) }",
       "passes = 1, hold = n: each pass reads the row: reduce_max reduce_sum)", 1},
      {"(x: f32[B, 50257], y: i64[B]) -> (f32[], f32[B, 50257]) { x = leaf(x); l = loss.cross_entropy(x, y); (l, "
       "grad(l, x)) }",
       "passes = 2, hold = n", 2},
      {"(x: bf16[B, 50257], y: i64[B]) -> (f32[], bf16[B, 50257]) { x = leaf(x); l = loss.cross_entropy(x.to(f32), y); "
       "(l, grad(l, x)) }",
       "passes = 2, hold = n", 2},
      {"(x: f32[B, 20001], w: f32[B, 20001]) -> f32[B, 20001] { x = leaf(x); grad(sum(softmax(x, -1) * w), x) }",
       "passes = 2, hold = n", 2},
      {"(x: f32[B, T], w: f32[B, T]) -> f32[B, T] { x = leaf(x); grad(sum(nn.masked_softmax(x) * w), x) }",
       "passes = 2, hold = n: each pass reads the row: reduce_max reduce_sum, store)", 2},
      {"(x: bf16[B, T], m: bool[B, T], w: bf16[B, T]) -> bf16[B, T] { x = leaf(x); "
       "grad(sum((nn.masked_softmax(where(m, x, -inf)) * w).to(f32)), x) }",
       "passes = 2, hold = n: each pass reads the row: reduce_max reduce_sum, store)", 2},
      {"(x: f32[B, 20001]) -> f32[B, 20001] { nn.layer_norm(x) }",
       "passes = 2, hold = n: each pass reads the row: reduce_sum, store)", 2},
      {"(x: bf16[B, 20000], w: bf16[20000]) -> bf16[B, 20000] { nn.layer_norm(x, w) }", "passes = 2, hold = n", 2},
      {"(x: f32[B, T], w: f32[T], s: f32[B, T]) -> f32[B, T] { x = leaf(x); grad(sum(nn.layer_norm(x, w) * s), x) }",
       "passes = 2, hold = n", 2},
      {"(x: f32[B, T], s: f32[B, T]) -> f32[B, T] { x = leaf(x); grad(sum(nn.rms_norm(x) * s), x) }",
       "passes = 2, hold = n", 2},
      /* more than registers have room for: all that is read of a row; eight lanes of sums */
      {"(x: bf16[B, 16384], w: bf16[16384], s: bf16[B, 16384]) -> bf16[B, 16384] { x = leaf(x); "
       "grad(sum(nn.layer_norm(x, w) * s), x) }",
       "rows(threads = 256, lanes = 8, passes = 2, hold = n", 2},
      {"(x: bf16[B, 20000]) -> bf16[B] { x = x.to(f32); d = x - mean(x, -1, keepdim = true); (" FIVE_SUMS
       ").to(bf16) }",
       "lanes = 4, passes = 1, hold = n", 1},
      /* three levels */
      {"(x: f32[B, 16500]) -> f32[B, 16500] { softmax(nn.layer_norm(x), -1) }",
       "passes = 3, hold = n: each pass reads the row: reduce_sum, reduce_max reduce_sum, store)", 3},
      /* what is left: squares of exponentials; a search for the place of the largest */
      {"(x: f32[B, 16500]) -> f32[B] { e = exp(x - max(x, -1, keepdim = true)); sum(e * e, -1) }",
       "passes = 2, hold = n: each pass reads the row: reduce_max, reduce_sum)", 2},
      {"(x: f32[B, 16500]) -> (f32[B, 16500], i64[B]) { (softmax(x, -1), argmax(x, -1)) }",
       "passes = 3, hold = n: each pass reads the row: reduce_max reduce_sum, argmax, store)", 3},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    Planned t;
    plan(&t, rows[i].body);
    const Lowered *low = &t.level.entries[0].kernels.at[0];
    const Kernel *k = t.level.module->kernels.at[low->kernel];
    if (!strstr(low->schedule, rows[i].schedule)) fail_msg("%s: %s", rows[i].body, low->schedule);
    int n = readers(k, k->stages.at[0], 0); /* x is what is read first */
    if (n != rows[i].passes) fail_msg("%s: x is read %d times", rows[i].body, n);
    ctx_free(&t.c);
  }
}

/* ---- exactness ---- */

enum { N = 20001 };
static float x[N], w[N], y[N];

static double draw(void) { /* deviation 1, mean 0 */
  static uint64_t seed = 1;
  double sum = -6;
  for (int i = 0; i < 12; i++)
    sum += (double)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 40) / (1 << 24);
  return sum;
}

/* y = f(x, w) by the interpreter. */
static void run(const char *body) {
  Planned t;
  plan(&t, body);
  const EntryPlan *e = &t.level.entries[0];
  LoopArg args[3] = {{0}};
  for (uint32_t i = 0; i < e->binds.n; i++)
    args[i].data = e->binds.at[i].kind == BIND_OUTPUT ? y : e->binds.at[i].index ? w : x;
  LoopRun r = {.level = "gpu"};
  if (!loop_run(t.level.module, e->plan->name, NULL, args, &r)) fail_msg("%s: %s", body, diag_first(t.c.diag, NULL));
  ctx_free(&t.c);
}

static double mean(void) {
  double sum = 0;
  for (int i = 0; i < N; i++) sum += x[i];
  return sum / N;
}

static void within(const char *what, double got, double want, double bound) {
  if (!(fabs(got - want) <= bound)) fail_msg("%s: %.9g, not %.9g: %g away", what, got, want, got - want);
}

static void variance(const char *what, double bound) {
  double m = mean(), want = 0;
  for (int i = 0; i < N; i++) want += (x[i] - m) * (x[i] - m) / N;
  run("(x: f32[20001]) -> f32[] { d = x - mean(x); mean(d * d) }");
  within(what, y[0], want, bound * want);
}

static void variances(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) x[i] = (float)(10000 + draw());
  variance("a mean far above the deviation", 1e-6);
  for (int i = 0; i < N; i++) x[i] = (float)draw();
  variance("a mean near 0", 1e-6);
  x[0] = 10000;
  variance("the first element far from the others", 1e-6);
  for (int i = 0; i < 256; i++) x[i] = (float)(-30000 + draw());
  variance("the first of each thread far from the others", 1e-6);
  for (int i = 0; i < N; i++) x[i] = (float)(i * 0.25);
  variance("ever larger", 1e-6);
  for (int i = 0; i < N; i++) x[i] = 12345.678f;
  run("(x: f32[20001]) -> f32[] { d = x - mean(x); mean(d * d) }");
  within("all alike", y[0], 0, 1e-3); /* the mean is some units of 2^-10 off */
  for (int i = 0; i < N; i++) x[i] = (float)(1e20 * draw());
  run("(x: f32[20001]) -> f32[] { d = x - mean(x); mean(d * d) }");
  assert_true(isinf(y[0]));
}

/* As the gradient of a norm has it. */
static void products(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) x[i] = (float)(10000 + draw()), w[i] = (float)draw();
  double m = mean(), want = 0, size = 0, weights = 0;
  for (int i = 0; i < N; i++) want += w[i] * (x[i] - m), size += fabs(w[i] * (x[i] - m)), weights += w[i];
  run("(x: f32[20001], w: f32[20001]) -> f32[] { sum(w * (x - mean(x))) }");
  within("products with distances", y[0], want, 1e-6 * size + fabs(weights) * 0x1p-8); /* the mean is off */
}

static void exponentials(const char *what) {
  double most = -INFINITY, sum = 0;
  for (int i = 0; i < N; i++) most = x[i] > most ? x[i] : most;
  for (int i = 0; i < N; i++) sum += exp(x[i] - most);
  run("(x: f32[20001]) -> f32[20001] { softmax(x, -1) }");
  for (int i = 0; i < N; i++) within(what, y[i], exp(x[i] - most) / sum, 2e-6 * exp(x[i] - most) / sum + 1e-40);
}

static void softmaxes(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) x[i] = (float)draw();
  exponentials("around 0");
  for (int i = 0; i < N; i++) x[i] = (float)(i * 0x1p-10);
  exponentials("each element the largest so far");
  for (int i = 0; i < N; i++) x[i] = (float)(-i * 0x1p-5);
  exponentials("the first is the largest");
  for (int i = 0; i < N; i++) x[i] = (float)(3e38 * (i % 2 ? 1 : -1));
  exponentials("the largest numbers there are");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(passes), cmocka_unit_test(variances), cmocka_unit_test(products),
                                     cmocka_unit_test(softmaxes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
