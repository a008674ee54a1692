/* The library of SIR: every builtin and every function and module of frontend/lib, traced from small texts, against
 * closed forms; gradients and second derivatives against central differences in f64; optimizers against their formulas
 * in C; the page of signatures against the table. */
#include "eval.h"
#include "library.h"
#include "sir.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Traced {
  Ctx ctx;
  Program program;
  Tensor *cells;
} Traced;

static void say_and_fail(const Ctx *c, const char *text) {
  Buf b = {0};
  diag_print(c->diag, &b);
  print_error("%s\n%s\n", text, b.at ? b.at : "no message");
  buf_free(&b);
  fail();
}

static void trace(Traced *p, const char *text) {
  *p = (Traced){.ctx = ctx_new()};
  if (!sir_trace_text(&p->ctx, "test.sir", text, strlen(text), NULL, &p->program)) say_and_fail(&p->ctx, text);
  p->cells = ARENA_ARRAY(p->ctx.arena, Tensor, p->program.cells.n + 1);
  if (!cells_start(&p->program, 7, p->ctx.arena, p->cells)) say_and_fail(&p->ctx, text);
}

static const Entry *entry_of(const Traced *p, const char *name) {
  for (uint32_t i = 0; i < p->program.entries.n; i++)
    if (!strcmp(p->program.entries.at[i].name, name)) return &p->program.entries.at[i];
  fail_msg("no entry %s", name);
  return NULL;
}

static Tensor *call_entry(Traced *p, const char *text, const char *name, const NamedTensor *in, int nin, uint32_t call,
                          bool wide) {
  const Entry *e = entry_of(p, name);
  EntryCall c = {
      .inputs = in, .ninputs = nin, .cells = p->cells, .seed = 7, .call = call, .wide = wide, .arena = p->ctx.arena};
  c.outputs = ARENA_ARRAY(p->ctx.arena, Tensor, e->outputs.n + 1);
  if (!entry_eval(&p->program, e, &c)) say_and_fail(&p->ctx, text);
  assert_int_equal(c.fail.node, 0);
  return c.outputs;
}

static double number(const Tensor *x, int64_t k) {
  Scalar s = tensor_at(x, k);
  return dtype_is_float(x->dtype) ? s.f : (double)s.i;
}

/* ---- closed forms ---- */
typedef struct Array {
  int rank;
  int64_t dim[4];
  double v[24];
} Array;

typedef struct Case {
  const char *text; /* one entry e(x, ..) */
  Array in[3];
  Array out;
} Case;

static Tensor tensor_of(Arena *a, const Port *port, const Array *x) {
  Tensor r = tensor_new(a, port->dtype, x->dim, x->rank);
  for (int64_t k = 0; k < tensor_count(&r); k++) tensor_set(&r, k, scalar_of(r.dtype, x->v[k]));
  return r;
}

static void check_case(const Case *c) {
  Traced p;
  trace(&p, c->text);
  const Entry *e = entry_of(&p, "e");
  NamedTensor in[3];
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *port = &e->inputs.at[i];
    Array x = c->in[i];
    if (port->dtype == DT_F32 || port->dtype == DT_F64) { /* wide: f64 */
      Port wide = *port;
      wide.dtype = DT_F64;
      in[i] = (NamedTensor){port->name, tensor_of(p.ctx.arena, &wide, &x)};
    } else {
      in[i] = (NamedTensor){port->name, tensor_of(p.ctx.arena, port, &x)};
    }
  }
  Tensor *out = call_entry(&p, c->text, "e", in, (int)e->inputs.n, 0, true);
  bool good = out->rank == c->out.rank;
  for (int i = 0; i < out->rank && good; i++) good = out->dim[i] == c->out.dim[i];
  for (int64_t k = 0; k < tensor_count(out) && good; k++) {
    double a = number(out, k), b = c->out.v[k];
    good = (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-7 * (1 + fabs(b)); /* constants are f32 */
    if (!good) print_error("element %lld is %.12g, not %.12g\n", (long long)k, a, b);
  }
  if (!good) fail_msg("%s", c->text);
  ctx_free(&p.ctx);
}

#define V(n, ...)                                                                                                      \
  {                                                                                                                    \
    1, {n}, { __VA_ARGS__ }                                                                                            \
  }
#define M(n, m, ...)                                                                                                   \
  {                                                                                                                    \
    2, {n, m}, { __VA_ARGS__ }                                                                                         \
  }
#define S(...)                                                                                                         \
  {                                                                                                                    \
    0, {0}, { __VA_ARGS__ }                                                                                            \
  }
#define ONE(expr, n, ...)                                                                                              \
  "entry e(x: f32[" #n "]) -> f32[" #n "] { " expr " }", { V(n, __VA_ARGS__) }

static const Case ELEMENT[] = {
    {ONE("abs(x)", 3, -2, 0, 3.5), V(3, 2, 0, 3.5)},
    {ONE("sign(x)", 3, -2, 0, 3.5), V(3, -1, 0, 1)},
    {ONE("exp(x)", 2, 0, 1), V(2, 1, 2.718281828459045)},
    {ONE("expm1(x)", 2, 0, 1), V(2, 0, 1.718281828459045)},
    {ONE("log(x)", 2, 1, 10), V(2, 0, 2.302585092994046)},
    {ONE("log1p(x)", 2, 0, 1), V(2, 0, 0.6931471805599453)},
    {ONE("sqrt(x)", 2, 4, 2), V(2, 2, 1.4142135623730951)},
    {ONE("rsqrt(x)", 2, 4, 16), V(2, 0.5, 0.25)},
    {ONE("sin(x)", 2, 0, 1), V(2, 0, 0.8414709848078965)},
    {ONE("cos(x)", 2, 0, 1), V(2, 1, 0.5403023058681398)},
    {ONE("tanh(x)", 2, 0, 1), V(2, 0, 0.7615941559557649)},
    {ONE("sigmoid(x)", 2, 0, 1), V(2, 0.5, 0.7310585786300049)},
    {ONE("erf(x)", 2, 0, 1), V(2, 0, 0.8427007929497149)},
    {ONE("floor(x)", 3, -1.5, 0.5, 2), V(3, -2, 0, 2)},
    {ONE("ceil(x)", 3, -1.5, 0.5, 2), V(3, -1, 1, 2)},
    {ONE("round(x)", 4, -1.5, 0.5, 1.5, 2), V(4, -2, 0, 2, 2)},
    {ONE("trunc(x)", 3, -1.5, 0.5, 2), V(3, -1, 0, 2)},
    {ONE("is_nan(x).to(f32)", 3, NAN, INFINITY, 2), V(3, 1, 0, 0)},
    {ONE("is_inf(x).to(f32)", 3, NAN, -INFINITY, 2), V(3, 0, 1, 0)},
    {ONE("is_finite(x).to(f32)", 3, NAN, INFINITY, 2), V(3, 0, 0, 1)},
    {ONE("maximum(x, 1)", 3, -1, 1, NAN), V(3, 1, 1, NAN)},
    {ONE("minimum(1, x)", 3, -1, 1, 3), V(3, -1, 1, 1)},
    {ONE("where(x > 0, x, -1)", 3, -1, 1, 3), V(3, -1, 1, 3)},
    {ONE("where(true, x, 0) + where(false, x, 0)", 3, -1, 1, 3), V(3, -1, 1, 3)},
    {ONE("x // 2", 4, -3, 3, -4, 5), V(4, -2, 1, -2, 2)},
    {ONE("x % 3", 4, -1, 4, 3, 5.5), V(4, 2, 1, 0, 2.5)},
    {ONE("relu(x)", 4, -1, 0, 2, NAN), V(4, 0, 0, 2, NAN)},
    {ONE("leaky_relu(x, 0.5)", 3, -1, 0, 2), V(3, -0.5, 0, 2)},
    {ONE("silu(x)", 2, 0, 1), V(2, 0, 0.7310585786300049)},
    {ONE("gelu(x)", 3, 0, 1, -2), V(3, 0, 0.8413447460685429, -0.04550026389635842)},
    {ONE("gelu(x, approximate = \"tanh\")", 3, 0, 1, -2), V(3, 0, 0.8411919906082768, -0.04540230591222494)},
    {ONE("softplus(x)", 3, 0, 1, -800), V(3, 0.6931471805599453, 1.3132616875182228, 0)},
    {ONE("clamp(x, 0, 1)", 3, -1, 0.5, 2), V(3, 0, 0.5, 1)},
    {ONE("clamp(x, max = 1)", 3, -1, 0.5, 2), V(3, -1, 0.5, 1)},
    {ONE("stop_gradient(x)", 2, 1, 2), V(2, 1, 2)},
    {ONE("leaf(x)", 2, 1, 2), V(2, 1, 2)},
    {ONE("x * inf", 2, 1, 2), V(2, INFINITY, INFINITY)},
    {"entry e(x: f32[3]) -> i64[3] { x.to(i64) }", {V(3, -1.5, 1.5, 2)}, V(3, -1, 1, 2)},
    {"entry e(x: f32[3]) -> bool[3] { to(x, bool) }", {V(3, -1.5, 0, 2)}, V(3, 1, 0, 1)},
    {"entry e(x: i64[4]) -> i64[4] { x // 2 * 10 + x % 3 }", {V(4, -3, 3, -4, 5)}, V(4, -20, 10, -18, 22)},
    {"entry e(x: i64[3]) -> i64[3] { maximum(x, 1) + minimum(x, 0) + abs(x) + sign(x) }",
     {V(3, -3, 0, 4)},
     V(3, 0, 1, 9)},
    {"entry e(x: f32[B]) -> f32[B] { x * sqrt(B) + maximum(B, 2) }", {V(4, 1, 2, 3, 4)}, V(4, 6, 8, 10, 12)},
    /* static numbers */
    {"entry e(x: f32[1]) -> f32[1] { x * sqrt(16) + abs(-2) + floor(-1.5) + maximum(2, 3.5) + exp(0) + round(2.5) }",
     {V(1, 1)},
     V(1, 10.5)},
};

static const Case REDUCE[] = {
    {"entry e(x: f32[B, 3]) -> f32[] { sum(x) }", {M(2, 3, 1, 2, 3, 4, 5, 6)}, S(21)},
    {"entry e(x: f32[B, 3]) -> f32[3] { sum(x, 0) }", {M(2, 3, 1, 2, 3, 4, 5, 6)}, V(3, 5, 7, 9)},
    {"entry e(x: f32[B, 3]) -> f32[B, 1] { x.sum(-1, keepdim = true) }", {M(2, 3, 1, 2, 3, 4, 5, 6)}, M(2, 1, 6, 15)},
    {"entry e(x: f32[B, 3]) -> f32[1, 1] { x.sum([0, 1], keepdim = true) }", {M(2, 3, 1, 2, 3, 4, 5, 6)}, M(1, 1, 21)},
    {"entry e(x: f32[B, 3]) -> f32[B] { max(x, axis = 1) }", {M(2, 3, 1, 2, 3, 4, NAN, 6)}, V(2, 3, NAN)},
    {"entry e(x: f32[B, 3]) -> f32[B] { min(x, axis = 1) }", {M(2, 3, 1, 2, 3, 6, 5, 4)}, V(2, 1, 4)},
    {"entry e(x: f32[B, 3]) -> bool[B] { any(x > 2, 1) }", {M(2, 3, 0, 1, 2, 1, 2, 3)}, V(2, 0, 1)},
    {"entry e(x: f32[B, 3]) -> bool[3] { all(x > 0, 0) }", {M(2, 3, 0, 1, 2, 1, 2, 3)}, V(3, 0, 1, 1)},
    {"entry e(x: f32[B, 3]) -> i64[B] { argmax(x, -1) }", {M(2, 3, 0, 2, 2, 1, 0, -3)}, V(2, 1, 0)},
    {"entry e(x: f32[B, 3]) -> i64[] { argmin(x) }", {M(2, 3, 0, 2, 2, 1, 0, -3)}, S(5)},
    {"entry e(x: f32[B, 3]) -> i64[] { count(x) * 10 + count(x, 1) + tensor(0) }", {M(2, 3, 0)}, S(63)},
    {"entry e(x: f32[B, 3]) -> f32[] { mean(x) }", {M(2, 3, 1, 2, 3, 4, 5, 6)}, S(3.5)},
    {"entry e(x: f32[B, 3]) -> f32[3] { mean(x, axis = 0) }", {M(2, 3, 1, 2, 3, 4, 5, 6)}, V(3, 2.5, 3.5, 4.5)},
    {"entry e(x: f32[B, 3]) -> f32[B] { var(x, 1) }", {M(2, 3, 1, 2, 3, 4, 6, 8)}, V(2, 1, 4)},
    {"entry e(x: f32[B, 3]) -> f32[B] { std(x, 1, correction = 0) }",
     {M(2, 3, 1, 1, 4, 4, 6, 8)},
     V(2, 1.4142135623730951, 1.632993161855452)},
    {"entry e(x: f32[B, 2]) -> f32[B] { logsumexp(x, 1) }",
     {M(2, 2, 0, 0, 1000, 1000)},
     V(2, 0.6931471805599453, 1000.6931471805599)},
    {"entry e(x: f32[B, 2]) -> f32[B, 2] { softmax(x, axis = -1) }",
     {M(2, 2, 0, 1, 1000, 1000)},
     M(2, 2, 0.2689414213699951, 0.7310585786300049, 0.5, 0.5)},
    {"entry e(x: f32[B, 2]) -> f32[B, 2] { log_softmax(x, -1) }",
     {M(2, 2, 0, 1, 1000, 1000)},
     M(2, 2, -1.3132616875182228, -0.3132616875182228, -0.6931471805599453, -0.6931471805599453)},
};

static const Case SHAPE[] = {
    {"entry e(x: f32[B, 4]) -> f32[2, B, 2] { x.reshape([B, 2, -1]).transpose(0, 1) }",
     {M(2, 4, 1, 2, 3, 4, 5, 6, 7, 8)},
     {3, {2, 2, 2}, {1, 2, 5, 6, 3, 4, 7, 8}}},
    {"entry e(x: f32[B, 4]) -> f32[4 * B] { reshape(x, [-1]) }", {M(1, 4, 1, 2, 3, 4)}, V(4, 1, 2, 3, 4)},
    {"entry e(x: f32[1, B, 2]) -> f32[2, 1, B] { permute(x, [2, 0, -2]) }",
     {{3, {1, 2, 2}, {1, 2, 3, 4}}},
     {3, {2, 1, 2}, {1, 3, 2, 4}}},
    {"entry e(x: f32[B, 2]) -> f32[2, B] { x.T }", {M(2, 2, 1, 2, 3, 4)}, M(2, 2, 1, 3, 2, 4)},
    {"entry e(x: f32[1, B, 1]) -> f32[B] { squeeze(x, [0, -1]) }", {{3, {1, 2, 1}, {1, 2}}}, V(2, 1, 2)},
    {"entry e(x: f32[2]) -> f32[3, 2] { expand(x, [3, 2]) }", {V(2, 1, 2)}, M(3, 2, 1, 2, 1, 2, 1, 2)},
    {"entry e(x: f32[B], y: f32[2]) -> f32[B + 3] { concat([x, y, x[:1]], axis = 0) }",
     {V(2, 1, 2), V(2, 3, 4)},
     V(5, 1, 2, 3, 4, 1)},
    {"entry e(x: f32[2]) -> f32[2, 2] { stack([x, x * 2], axis = -1) }", {V(2, 1, 2)}, M(2, 2, 1, 2, 2, 4)},
    {"entry e(x: f32[4]) -> f32[2] { [a, b] = chunk(x, 2); a * 10 + b }", {V(4, 1, 2, 3, 4)}, V(2, 13, 24)},
    {"entry e(x: f32[B, 3]) -> f32[B, 1] { [a, b] = split(x, [1, 2], axis = 1); a + sum(b, 1, true) }",
     {M(1, 3, 1, 2, 3)},
     M(1, 1, 6)},
    {"entry e(x: f32[B, 2]) -> f32[B, 2] { flip(x, 1) + flip(x, [0, 1]) }", {M(2, 2, 1, 2, 3, 4)}, M(2, 2, 6, 4, 6, 4)},
    {"entry e(x: f32[3]) -> f32[4] { pad(x, 2, -1, 0) }", {V(3, 1, 2, 3)}, V(4, 0, 0, 1, 2)},
    {"entry e(x: f32[B, 3]) -> f32[B, 2] { slice_axis(x, 1, 3, -1) }", {M(1, 3, 1, 2, 3)}, M(1, 2, 2, 3)},
    {"entry e(x: f32[B, 3], i: i64[B, 2]) -> f32[B, 2] { take(x, i, 1) }",
     {M(2, 3, 1, 2, 3, 4, 5, 6), M(2, 2, 0, 2, 1, 1)},
     M(2, 2, 1, 3, 5, 5)},
    {"entry e(x: f32[3], at: i64[]) -> f32[3] { set(x, 9, at) }", {V(3, 1, 2, 3), S(1)}, V(3, 1, 9, 3)},
    {"entry e(x: f32[3], i: i32[4]) -> f32[3] { index_add(x, i, tensor([1.0, 2.0, 4.0, 8.0])) }",
     {V(3, 0, 0, 0), V(4, 2, 0, 2, 1)},
     V(3, 2, 8, 5)},
    {"entry e(x: f32[2, B], y: f32[B, 3]) -> f32[2, 3] { x @ y }",
     {M(2, 2, 1, 2, 3, 4), M(2, 3, 1, 0, 2, 0, 1, 1)},
     M(2, 3, 1, 2, 4, 3, 4, 10)},
    {"entry e(x: f32[B], y: f32[B]) -> f32[] { x @ y }", {V(3, 1, 2, 3), V(3, 4, 5, 6)}, S(32)},
    {"entry e(x: f32[2], y: f32[2, 2, 1]) -> f32[2, 1] { x @ y }",
     {V(2, 1, 2), {3, {2, 2, 1}, {1, 2, 3, 4}}},
     M(2, 1, 5, 11)},
    {"entry e(x: f32[2, 1, 2], y: f32[1, 2, 2]) -> f32[2, 1, 2] { x @ y }",
     {{3, {2, 1, 2}, {1, 2, 3, 4}}, {3, {1, 2, 2}, {1, 0, 0, 10}}},
     {3, {2, 1, 2}, {1, 20, 3, 40}}},
    {"entry e(x: f32[2]) -> f32[2, 3] { full([2, 3], 7.0) + full([2, 3], x[0]) + full([2, 3], tensor([0.0, 1.0, 2.0])) "
     "}",
     {V(2, 1, 2)},
     M(2, 3, 8, 9, 10, 8, 9, 10)},
    {"entry e(x: f32[B]) -> f32[B] { zeros_like(x) + ones_like(x) + zeros([B]) + ones(x.shape) }",
     {V(2, 5, 6)},
     V(2, 2, 2)},
    {"entry e(x: f32[B]) -> i64[B + 1] { arange(B + 1) }", {V(2, 5, 6)}, V(3, 0, 1, 2)},
    {"entry e(x: f32[1]) -> f32[3] { x * linspace(0, 1, 3) + arange(3, f32) }", {V(1, 2)}, V(3, 0, 2, 4)},
    {"entry e(x: f32[1]) -> i64[2, 2] { tensor([[1, 2], [3, 4]]) }", {V(1, 2)}, M(2, 2, 1, 2, 3, 4)},
    {"entry e(x: f32[1]) -> bool[2] { tensor([true, false]) }", {V(1, 2)}, V(2, 1, 0)},
    {"entry e(x: i64[B]) -> bool[B, 3] { one_hot(x, 3) }", {V(2, 2, 0)}, M(2, 3, 0, 0, 1, 1, 0, 0)},
    {"entry e(x: f32[1]) -> f32[2, 2] { eye(2) }", {V(1, 0)}, M(2, 2, 1, 0, 0, 1)},
};

static const Case INDEX[] = {
    {"entry e(x: f32[3, 2]) -> f32[2] { x[1] + x[-1] }", {M(3, 2, 1, 2, 3, 4, 5, 6)}, V(2, 8, 10)},
    {"entry e(x: f32[3, 2]) -> f32[3] { x[:, 1] * 10 + x[..., 0] }", {M(3, 2, 1, 2, 3, 4, 5, 6)}, V(3, 21, 43, 65)},
    {"entry e(x: f32[B, 2]) -> f32[B - 1, 2] where B >= 2 { x[1:] - x[:-1] }",
     {M(3, 2, 1, 2, 3, 4, 7, 8)},
     M(2, 2, 2, 2, 4, 4)},
    {"entry e(x: f32[5]) -> f32[3] { x[::2] }", {V(5, 1, 2, 3, 4, 5)}, V(3, 1, 3, 5)},
    {"entry e(x: f32[B]) -> f32[(B + 1) // 2] { x[::2] }", {V(5, 1, 2, 3, 4, 5)}, V(3, 1, 3, 5)},
    {"entry e(x: f32[5]) -> f32[2] { x[1:100:2] }", {V(5, 1, 2, 3, 4, 5)}, V(2, 2, 4)},
    {"entry e(x: f32[2]) -> f32[2, 2] { x[:, none] * x[none, :] }", {V(2, 2, 3)}, M(2, 2, 4, 6, 6, 9)},
    {"entry e(x: f32[3, 2], i: i64[2]) -> f32[2, 2] { x[i] }",
     {M(3, 2, 1, 2, 3, 4, 5, 6), V(2, 2, 0)},
     M(2, 2, 5, 6, 1, 2)},
    {"entry e(x: f32[2, 3], i: i32[2]) -> f32[2] { x[arange(2), i] }",
     {M(2, 3, 1, 2, 3, 4, 5, 6), V(2, 2, 0)},
     V(2, 3, 4)},
    {"entry e(x: f32[2, 3], i: i32[2]) -> f32[2] { x[1, i] }", {M(2, 3, 1, 2, 3, 4, 5, 6), V(2, 2, 0)}, V(2, 6, 4)},
    {"entry e(x: f32[2, 3], i: i64[2, 1]) -> f32[2, 2, 1] { x[:, i] }",
     {M(2, 3, 1, 2, 3, 4, 5, 6), M(2, 1, 2, 0)},
     {3, {2, 2, 1}, {3, 1, 6, 4}}},
    {"entry e(x: f32[4], at: i64[]) -> f32[2] { x[at:at + 2] }", {V(4, 1, 2, 3, 4), S(1)}, V(2, 2, 3)},
    {"entry e(x: f32[4, 2], at: i32[]) -> f32[2] { x[at] }", {M(4, 2, 1, 2, 3, 4, 5, 6, 7, 8), S(2)}, V(2, 5, 6)},
    {"entry e(x: f32[4, 3], at: i64[]) -> f32[1, 2] { x[at + 1 : at + 2, 1:] }",
     {M(4, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), S(2)},
     M(1, 2, 11, 12)},
    {"entry e(inout h: f32[4], x: f32[2], at: i64[]) -> f32[4] { h[at:at + 2] <- x; h }",
     {V(4, 1, 2, 3, 4), V(2, 8, 9), S(1)},
     V(4, 1, 8, 9, 4)},
    {"entry e(inout h: f32[2, 2], x: f32[2]) -> f32[2, 2] { h[:, 1] <- x; h[0] <- h[0] * 10; h }",
     {M(2, 2, 1, 2, 3, 4), V(2, 8, 9)},
     M(2, 2, 10, 80, 3, 9)},
    {"entry e(inout h: f32[3], x: f32[1]) -> f32[3] { h[:] <- x[0]; h[1] <- 5; h }",
     {V(3, 1, 2, 3), V(1, 7)},
     V(3, 7, 5, 7)},
};

static const Case TREES[] = {
    {"entry e(x: f32[1]) -> f32[1] { x * len([1, 2, 3]) + len(\"ab\") + len({a = 1}) }", {V(1, 1)}, V(1, 6)},
    {"entry e(x: f32[1]) -> f32[1] { for (a, b) in zip([1, 2], [10, 20]) { x = x * a + b }; x }", {V(1, 1)}, V(1, 42)},
    {"entry e(x: f32[1]) -> f32[1] { for a in reversed([1, 2, 3]) { x = x * 10 + a }; x }", {V(1, 0)}, V(1, 321)},
    {"entry e(x: f32[1]) -> f32[1] { if kind(x) == \"tensor\" and kind(relu) == \"fn\" and kind(none) == \"none\" and "
     "kind({a = 1}) == \"record\" { x } else { -x } }",
     {V(1, 5)},
     V(1, 5)},
    {"entry e(x: f32[1]) -> f32[1] { t = map(fn(a, b) { a * b }, {p = x, q = [x, 2]}, {p = 2, q = [3, x]}); "
     "add_all(leaves(t)) }",
     {V(1, 5)},
     V(1, 35)},
    {"entry e(x: f32[1]) -> f32[1] { t = rebuild({p = 0, q = (0, 0)}, [x, 2 * x, 3 * x]); t.p + t.q[1] * 10 }",
     {V(1, 1)},
     V(1, 31)},
    {"entry e(x: f32[1]) -> f32[1] { for (k, v) in items({a = 1, bb = 20}) { x = x + len(k) * v }; x }",
     {V(1, 0)},
     V(1, 41)},
    {"entry e(x: f32[1]) -> f32[1] { x + get({a = 1}, \"a\", 5) + get({a = 1}, \"b\", 10) + (if get({a = 1}, \"c\") == "
     "none { 100 } else { 0 }) }",
     {V(1, 0)},
     V(1, 111)},
    {"entry e(x: f32[1]) -> f32[1] { if matches(\"fc.bias\", \"*.bias\") and not matches(\"fc.bias\", \"*.{{w,v}}*\") "
     "and matches(\"l1\", \"{{l,m}}?\") { x } else { -x } }",
     {V(1, 3)},
     V(1, 3)},
    {"entry e(x: f32[1]) -> f32[1] { debug.print(\"x {x}\"); debug.check(x, \"finite\"); x }", {V(1, 3)}, V(1, 3)},
    {"module M() {\n param w: f32[1] = ones([1])\n param b: f32[1] = ones([1]) * 2\n state s: f32[1]\n fn forward(x) { "
     "x * w + b } }\n"
     "net = M()\nfreeze(net.b)\n"
     "entry e(x: f32[1]) -> f32[1] { net(x) * 100 + len(leaves(params(net))) * 10 + len(refs(net, frozen = true)) + "
     "params(net).w + len(params(net, except = \"w*\")) }",
     {V(1, 3)},
     V(1, 513)},
    {"module M() {\n param w: f32[1] = ones([1])\n fn forward(x) { x * w } }\nnet = M()\n"
     "entry e(x: f32[1]) -> f32[1] { other = bind(net, {w = x}); for p in leaves(refs(net)) { p <- p * 3 }; net(x) * "
     "100 + other(x) }",
     {V(1, 2)},
     V(1, 604)},
    {"module M() {\n param w: f32[1] = ones([1]) * 4\n fn forward(x) { x * w } }\nnet = M()\ntarget = copy(net)\n"
     "entry e(x: f32[1]) -> f32[1] { net.w <- x; target(x) * 10 + net(x) + len(params(target)) }",
     {V(1, 2)},
     V(1, 84)},
    {"module M(DT: dtype = f32) {\n param w: DT[1] = ones([1], DT)\n fn forward(x: DT[1]) { x * w } }\nnet = M()\nwide "
     "= cast(net, f64)\n"
     "entry e(x: f32[1]) -> f64[1] { net.w <- x; wide(x.to(f64)) }",
     {V(1, 3)},
     V(1, 9)},
    {"entry e(x: f32[2]) -> f32[2] { hessian_vector(fn(a) { sum(a * a * a) }, x, tensor([1.0, 2.0])) }",
     {V(2, 2, 3)},
     V(2, 12, 36)},
    {"entry e(x: f32[2]) -> f32[2] { grad(fn(a) { sum(a ** 3) }, x) }", {V(2, 2, 3)}, V(2, 12, 27)},
    {"entry e(x: f32[2]) -> f32[2] { y = x * 2; grad([sum(x * y), sum(stop_gradient(x) * x)], x) }",
     {V(2, 2, 3)},
     V(2, 10, 15)},
    {"entry e(x: f32[2]) -> f32[2] { y = leaf(x * 2); grad(sum(y ** 2), y) }", {V(2, 2, 3)}, V(2, 8, 12)},
};

static const Case LOSSES[] = {
    {"use loss\nentry e(x: f32[B, 2], y: f32[B, 2]) -> f32[] { loss.mse(x, y) }", {M(1, 2, 1, 2), M(1, 2, 3, 2)}, S(2)},
    {"use loss\nentry e(x: f32[B, 2], y: i64[B]) -> f32[] { loss.cross_entropy(x, y) }",
     {M(2, 2, 0, 1, 3, 3), V(2, 1, 0)},
     S((0.3132616875182228 + 0.6931471805599453) / 2)},
    {"use loss\nentry e(x: f32[B], y: f32[B]) -> f32[] { loss.bce_with_logits(x, y) }",
     {V(2, 0, 1), V(2, 0, 1)},
     S((0.6931471805599453 + 0.3132616875182228) / 2)},
    {"use nn\nentry e(x: f32[B, 2]) -> f32[B, 2] { nn.layer_norm(x, eps = 0.0) }",
     {M(2, 2, 1, 3, 5, 5.5)},
     M(2, 2, -1, 1, -1, 1)},
    {"use nn\nentry e(x: f32[B, 2]) -> f32[B, 2] { nn.attention(x, x * 0, x, causal = true) }",
     {M(2, 2, 1, 2, 3, 4)},
     M(2, 2, 1, 2, 2, 3)},
    {"use nn\nentry e(x: f32[B, 2]) -> f32[B, 2] { nn.attention(x, x * 0, x, length = 1) }",
     {M(2, 2, 1, 2, 3, 4)},
     M(2, 2, 1, 2, 1, 2)},
    /* no key at all: zeros; 3 queries by 2 keys: the first sees none; 2 of 3 keys count for 1 query, causal or not */
    {"use nn\nentry e(x: f32[B, 2]) -> f32[B, 2] { nn.attention(x, x, x, length = 0) }",
     {M(2, 2, 1, 2, 3, 4)},
     M(2, 2, 0, 0, 0, 0)},
    {"use nn\nentry e(x: f32[3, 1], y: f32[2, 1]) -> f32[3, 1] { nn.attention(x * 0, y, y, causal = true) }",
     {M(3, 1, 1, 2, 3), M(2, 1, 4, 6)},
     M(3, 1, 0, 4, 5)},
    {"use nn\nentry e(x: f32[2, 1], y: f32[3, 1], n: i64[]) -> f32[2, 1] { nn.attention(x * 0, y, y, causal = true, "
     "length = n) }",
     {M(2, 1, 1, 2), M(3, 1, 4, 6, 99), S(2)},
     M(2, 1, 4, 5)},
    {"use nn\nentry e(x: f32[B, 1], m: bool[B, 2], y: f32[2, 1]) -> f32[B, 1] { nn.attention(x, y, y, mask = m) }",
     {M(3, 1, 0, 0, 0), M(3, 2, 1, 0, 1, 1, 0, 0), M(2, 1, 4, 6)},
     M(3, 1, 4, 5, 0)},
    {"use nn\nentry e(x: f32[B, 1], m: f32[B, 2], y: f32[2, 1]) -> f32[B, 1] { nn.attention(x, y, y, mask = m, scale = "
     "0.5) }",
     {M(2, 1, 1, 2), M(2, 2, 0, -1, 0, -INFINITY), M(2, 1, 4, 6)},
     M(2, 1, 5, 4)},
    /* two heads of q for each of k and v, the mask one for each head of q */
    {"use nn\nentry e(x: f32[4, 1], y: f32[2, 1], m: bool[4, 1]) -> f32[4, 1, 1] { nn.attention(x[:, :, none] * 0, "
     "y[:, :, none], y[:, :, none], mask = m[:, :, none]) }",
     {M(4, 1, 1, 2, 3, 4), M(2, 1, 4, 6), M(4, 1, 1, 0, 1, 1)},
     {3, {4, 1, 1}, {4, 0, 6, 6}}},
    {"use nn\nentry e(x: f32[2, 1, 1], y: f32[1, 2, 1], m: bool[1, 1, 2]) -> f32[2, 1, 1] { nn.attention(x * 0, y, y, "
     "mask = m) }",
     {{3, {2, 1, 1}, {1, 2}}, {3, {1, 2, 1}, {4, 6}}, {3, {1, 1, 2}, {0, 1}}},
     {3, {2, 1, 1}, {6, 6}}},
    {"use nn\nentry e(x: f32[B, 2]) -> f32[B, 2] { nn.rms_norm(x, eps = 0.0) }",
     {M(2, 2, 1, 7, -3, 4)},
     M(2, 2, 0.2, 1.4, -0.8485281374238570, 1.1313708498984760)},
    {"use nn\nentry e(x: f32[1, 2]) -> f32[1, 2] { nn.rms_norm(x, x[0]) }",
     {M(1, 2, 1e-4, -1e-4)},
     M(1, 2, 2.7819744094289e-5, 2.7819744094289e-5)},
    {"use optim\nentry e(x: f32[B], y: f32[1]) -> f32[B] { (g, n) = optim.clip_norm({a = x, b = (y,)}, 6.5); g.a + n + "
     "g.b[0] }",
     {V(2, 3, 4), V(1, 12)},
     V(2, 20.5, 21)},
    {"use optim\nentry e(x: f32[B]) -> f32[B] { optim.clip_norm([x], 6)[0][0] }", {V(2, 3, 4)}, V(2, 3, 4)},
    {"use nn\nnet = nn.Sequential([nn.Dropout(0.5), relu])\nentry e(x: f32[B]) -> f32[B] eval { net(x) }",
     {V(2, 1, -2)},
     V(2, 1, 0)},
    {"use optim\nentry e(s: i64[]) -> f32[2] { f = optim.cosine(warmup = 10, total = 30, peak = 2.0); g = "
     "optim.constant(0.5); stack([f(s), s.to(f32) * g(s)]) }",
     {S(5)},
     V(2, 1, 2.5)},
    {"use optim\nentry e(s: i64[]) -> f32[] { optim.cosine(warmup = 10, total = 30, peak = 2.0)(s) }", {S(20)}, S(1)},
    {"use optim\nentry e(s: i64[]) -> f32[] { optim.cosine(warmup = 0, total = 30)(s) }", {S(99)}, S(0)},
};

#define L3(a, b, c, ...)                                                                                               \
  {                                                                                                                    \
    3, {a, b, c}, { __VA_ARGS__ }                                                                                      \
  }
static const Case WINDOWS[] = {
    {"entry e(x: f32[1, 1, 4], w: f32[1, 1, 2]) -> f32[1, 1, 3] { conv(x, w) }",
     {L3(1, 1, 4, 1, 2, 3, 4), L3(1, 1, 2, 1, 10)},
     L3(1, 1, 3, 21, 32, 43)},
    {"entry e(x: f32[1, 1, N], w: f32[1, 1, 2]) -> f32[1, 1, N // 2 + 1] { conv(x, w, stride = 2, padding = 1) }",
     {L3(1, 1, 4, 1, 2, 3, 4), L3(1, 1, 2, 1, 10)},
     L3(1, 1, 3, 10, 32, 4)},
    {"entry e(x: f32[1, 1, N], w: f32[1, 1, 2]) -> f32[1, 1, N - 2] { conv(x, w, dilation = 2) }", /* N is checked */
     {L3(1, 1, 4, 1, 2, 3, 4), L3(1, 1, 2, 1, 10)},
     L3(1, 1, 2, 31, 42)},
    {"entry e(x: f32[1, 1, 4], w: f32[1, 1, 2]) -> f32[1, 1, 3] { conv(x, w, padding = [(1, -1)]) }",
     {L3(1, 1, 4, 1, 2, 3, 4), L3(1, 1, 2, 1, 10)},
     L3(1, 1, 3, 10, 21, 32)},
    {"entry e(x: f32[1, 2, 2], w: f32[2, 1, 1]) -> f32[1, 2, 2] { conv(x, w, groups = 2) }",
     {L3(1, 2, 2, 1, 2, 3, 4), L3(2, 1, 1, 10, 100)},
     L3(1, 2, 2, 10, 20, 300, 400)},
    {"entry e(x: f32[1, 1, 2, 2], w: f32[1, 1, 2, 2]) -> f32[1, 1, 1, 1] { x.conv(w, [1, 1], [0, 0]) }",
     {{4, {1, 1, 2, 2}, {1, 2, 3, 4}}, {4, {1, 1, 2, 2}, {1, 10, 100, 1000}}},
     {4, {1, 1, 1, 1}, {4321}}},
    {"entry e(x: i64[1, 1, 3], w: i64[2, 1, 2]) -> i64[1, 2, 2] { conv(x, w) }",
     {L3(1, 1, 3, 1, 2, 3), L3(2, 1, 2, 1, 10, -1, 1)},
     L3(1, 2, 2, 21, 32, 1, 1)},
    {"entry e(x: f32[1, 1, 2], w: f32[1, 1, 2]) -> f32[1, 1, 4] { conv_transpose(x, w, stride = 2) }",
     {L3(1, 1, 2, 1, 2), L3(1, 1, 2, 1, 10)},
     L3(1, 1, 4, 1, 10, 2, 20)},
    {"entry e(x: f32[1, 1, 2], w: f32[1, 1, 2]) -> f32[1, 1, 5] { conv_transpose(x, w, 2, output_padding = 1) }",
     {L3(1, 1, 2, 1, 2), L3(1, 1, 2, 1, 10)},
     L3(1, 1, 5, 1, 10, 2, 20, 0)},
    {"entry e(x: f32[1, 1, 3], w: f32[1, 1, 2]) -> f32[1, 1, 2] { conv_transpose(x, w, padding = 1) }",
     {L3(1, 1, 3, 1, 2, 3), L3(1, 1, 2, 1, 10)},
     L3(1, 1, 2, 12, 23)},
    {"entry e(x: f32[1, 4, 1], w: f32[4, 1, 1]) -> f32[1, 2, 1] { conv_transpose(x, w, groups = 2) }",
     {L3(1, 4, 1, 1, 2, 3, 4), L3(4, 1, 1, 1, 10, 100, 1000)},
     L3(1, 2, 1, 21, 4300)},
    {"entry e(x: f32[1, 1, 5]) -> f32[1, 1, 2] { max_pool(x, 2) }", {L3(1, 1, 5, 1, 3, 3, 2, 5)}, L3(1, 1, 2, 3, 3)},
    {"entry e(x: f32[1, 1, 5]) -> f32[1, 1, 3] { max_pool(x, 2, padding = 1) }",
     {L3(1, 1, 5, -1, -3, -3, -2, -5)},
     L3(1, 1, 3, -1, -3, -2)},
    {"entry e(x: f32[1, 1, 5]) -> f32[1, 1, 5] { grad(sum(max_pool(x, 3, stride = 1)), x) }", /* the first of equals */
     {L3(1, 1, 5, 1, 3, 3, 2, 5)},
     L3(1, 1, 5, 0, 2, 0, 0, 1)},
    {"entry e(x: f32[1, 1, 5]) -> f32[1, 1, 3] { avg_pool(x, 2, padding = 1) }",
     {L3(1, 1, 5, 1, 3, 3, 2, 5)},
     L3(1, 1, 3, 0.5, 3, 3.5)},
    {"entry e(x: f32[1, 1, 5]) -> f32[1, 1, 3] { avg_pool(x, [2], padding = [1], count_include_pad = false) }",
     {L3(1, 1, 5, 1, 3, 3, 2, 5)},
     L3(1, 1, 3, 1, 3, 3.5)},
    {"use nn\nnet = [nn.BatchNorm1d(2, eps = 0.0), nn.Flatten()]\nentry e(x: f32[B, 2]) -> f32[B, 2] train { net(x) }",
     {M(2, 2, 1, 2, 3, 6)},
     M(2, 2, -1, -1, 1, 1)},
    {"use nn\nnet = nn.BatchNorm1d(2, eps = 3.0, affine = false)\nentry e(x: f32[B, 2]) -> f32[B, 2] eval { net(x) }",
     {M(2, 2, 1, 2, 3, 6)},
     M(2, 2, 0.5, 1, 1.5, 3)},
};

#define CASES(name, table)                                                                                             \
  static void name(void **s) {                                                                                         \
    (void)s;                                                                                                           \
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) check_case(&table[i]);                                   \
  }
CASES(test_element, ELEMENT)
CASES(test_reduce, REDUCE)
CASES(test_shape, SHAPE)
CASES(test_index, INDEX)
CASES(test_trees, TREES)
CASES(test_losses, LOSSES)
CASES(test_windows, WINDOWS)

/* The names of a PyTorch state dict; what one batch makes of the running statistics. */
static void test_batch_norm(void **state) {
  (void)state;
  const char *text = "use nn\nmodule Net() {\n conv = nn.Conv2d(2, 3, [1, 2], groups = 1)\n bn = nn.BatchNorm2d(3)\n"
                     " up = nn.ConvTranspose2d(3, 4, 2, bias = false)\n"
                     " fn forward(x) { up(bn(x)) }\n}\nnet = Net() as \"\"\n"
                     "entry step(x: f32[B, 3, 1, 2]) -> f32[] train { sum(net(x)) }\n";
  static const struct {
    const char *name;
    int rank;
    int64_t dim[4];
  } want[] = {{"conv.weight", 4, {3, 2, 1, 2}},
              {"conv.bias", 1, {3}},
              {"bn.weight", 1, {3}},
              {"bn.bias", 1, {3}},
              {"bn.running_mean", 1, {3}},
              {"bn.running_var", 1, {3}},
              {"bn.num_batches_tracked", 0, {0}},
              {"up.weight", 4, {3, 4, 2, 2}}};
  Traced p;
  trace(&p, text);
  assert_int_equal(p.program.cells.n, sizeof want / sizeof *want);
  for (uint32_t i = 0; i < p.program.cells.n; i++) {
    assert_string_equal(p.program.cells.at[i].name, want[i].name);
    assert_int_equal(p.cells[i].rank, want[i].rank);
    for (int k = 0; k < want[i].rank; k++) assert_int_equal(p.cells[i].dim[k], want[i].dim[k]);
  }
  int64_t dim[4] = {2, 3, 1, 2};
  NamedTensor x = {"x", tensor_new(p.ctx.arena, DT_F64, dim, 4)};
  static const double at[] = {1, 2, 0, 0, 10, 10,
                              3, 6, 0, 4, 10, 10}; /* means 3, 1, 10; unbiased variances 14/3, 4, 0 */
  for (int k = 0; k < 12; k++) tensor_set(&x.value, k, (Scalar){.f = at[k]});
  for (uint32_t call = 0; call < 2; call++) call_entry(&p, text, "step", &x, 1, call, true);
  static const double mean[] = {3, 1, 10}, var[] = {14.0 / 3, 4, 0};
  for (int k = 0; k < 3; k++) {
    assert_true(fabs(number(&p.cells[4], k) - 0.19 * mean[k]) < 1e-6);
    assert_true(fabs(number(&p.cells[5], k) - (0.81 + 0.19 * var[k])) < 1e-6);
  }
  assert_true(number(&p.cells[6], 0) == 2);
  ctx_free(&p.ctx);
}

/* ---- gradients against central differences ---- */
typedef struct Slope {
  const char *expr; /* of x: f32[B, 3], y: f32[B, 3], i: i64[B] below 3 */
  double low, high; /* of x and y */
} Slope;

static const Slope SLOPES[] = {
    {"abs(x)", 0.2, 2},
    {"exp(x)", -1, 1},
    {"expm1(x)", -1, 1},
    {"log(x)", 0.5, 2},
    {"log1p(x)", 0.5, 2},
    {"sqrt(x)", 0.5, 2},
    {"rsqrt(x)", 0.5, 2},
    {"sin(x)", -2, 2},
    {"cos(x)", -2, 2},
    {"tanh(x)", -2, 2},
    {"sigmoid(x)", -2, 2},
    {"erf(x)", -2, 2},
    {"-x", -2, 2},
    {"x + y * 3", -2, 2},
    {"x - y", -2, 2},
    {"x * y", -2, 2},
    {"x / y", 0.5, 2},
    {"y / x", 0.5, 2},
    {"x ** 3", -2, 2},
    {"x ** y", 0.5, 2},
    {"y ** x", 0.5, 2},
    {"2 ** x", -2, 2},
    {"x % 0.7", 0.1, 0.6},
    {"maximum(x, y)", -2, 2},
    {"minimum(x, y)", -2, 2},
    {"where(x > y, x * x, y * x)", -2, 2},
    {"x.to(f64) * x.to(f64)", -2, 2},
    {"sum(x * x, 0)", -2, 2},
    {"sum(x, keepdim = true) ** 2", -2, 2},
    {"max(x, 1) ** 2", -2, 2},
    {"min(x, 0)", -2, 2},
    {"mean(x, 1) ** 2", -2, 2},
    {"var(x, 1)", -2, 2},
    {"std(x, 1)", -2, 2},
    {"logsumexp(x, 1)", -2, 2},
    {"softmax(x, 1)", -2, 2},
    {"softmax(x, 0)", -2, 2},
    {"log_softmax(x, -1)", -2, 2},
    {"relu(x - y)", -2, 2},
    {"leaky_relu(x - y)", -2, 2},
    {"silu(x)", -2, 2},
    {"gelu(x)", -2, 2},
    {"gelu(x, approximate = \"tanh\")", -2, 2},
    {"softplus(x)", -2, 2},
    {"clamp(x, -1.05, 1.05)", -2, 2},
    {"(x * x).reshape([-1, 1])", -2, 2},
    {"(x * x).transpose(0, 1)", -2, 2},
    {"permute(x * y, [1, 0])", -2, 2},
    {"squeeze((x * x)[none, :], 0)", -2, 2},
    {"expand(x * x, [2, B, 3])", -2, 2},
    {"concat([x, x * y], 1)", -2, 2},
    {"stack([x * x, y])", -2, 2},
    {"chunk(x * x, 3, axis = 1)[1]", -2, 2},
    {"split(x * x, [1, 2], axis = 1)[1]", -2, 2},
    {"flip(x * y, 0)", -2, 2},
    {"pad(x * x, 1, -1, 1)", -2, 2},
    {"take(x * x, i[:, none], 1)", -2, 2},
    {"set(x * x, y[:, 0], i[0], axis = 1)", -2, 2},
    {"index_add(zeros([3, 3]), i, x * x)", -2, 2},
    {"index_add(x[0] ** 2, i, y[:, 0])", -2, 2},
    {"set(y, (x * x)[:, 0], i[0], axis = 1)", -2, 2},
    {"x @ y.T", -2, 2},
    {"y @ (x * x).T @ x", -2, 2},
    {"(x[none, :] @ y.T[none, :]) ** 2", -2, 2},
    {"(x * x)[0]", -2, 2},
    {"(x * x)[:, ::2]", -2, 2},
    {"(x * x)[:, 1:]", -2, 2},
    {"(x * x).T[i]", -2, 2},
    {"(x * x)[arange(B), i]", -2, 2},
    {"(x * x)[:, i[0]:i[0] + 1]", -2, 2},
    {"(x * x)[:, i[0]]", -2, 2},
    {"leaf(x) * x", -2, 2},
    {"stop_gradient(y) * x * x", -2, 2},
    {"nn.layer_norm(x, y[0], y[0])", -2, 2},
    {"nn.attention(x, y, x * y)", -1, 1},
    {"nn.attention(x, y, x * y, causal = true, length = i[0], mask = x @ y.T)", -1, 1}, /* some rows see nothing */
    {"nn.attention(stack([x, y, x * y, y * y]), stack([y, x]), stack([x * x, y]), scale = 2.0)", -1, 1},
    {"nn.rms_norm(x, y[0])", -2, 2},
    {"optim.clip_norm([x, x * y], 0.5)[0][1]", 0.5, 2},
    {"conv((x * x)[:, none, :], y[:1][:, none, :], padding = 1)", -2, 2},
    {"conv(y[:, none, :], (x * x)[:, none, :], stride = 2, padding = 1)", -2, 2},
    {"conv_transpose(x[:, :, none] ** 2, y.T[:, :, none], stride = 2, padding = 0)", -2, 2},
    {"max_pool((x * y)[:, none, :], 2, stride = 1) ** 2", -2, 2},
    {"avg_pool((x * x)[none, none, :], [1, 3], stride = 1, padding = [0, 1], count_include_pad = false)", -2, 2},
    {"loss.mse(x, y)", -2, 2},
    {"loss.cross_entropy(x, i)", -2, 2},
    {"loss.bce_with_logits(x, sigmoid(y))", -2, 2},
};

static const char SLOPE_TEXT[] =
    "use nn, loss, optim\n"
    "fn weights(y) { cos(arange(count(y)).to(y.dtype).reshape(y.shape) + 1) }\n"
    "fn total(x, y, i) { B = x.shape[0]; r = %s; sum(r * weights(r)).to(f32) }\n"
    "entry value(x: f32[B, 3], y: f32[B, 3], i: i64[B]) -> f32[] where B <= 5 { total(x, y, i) }\n"
    "entry slope(x: f32[B, 3], y: f32[B, 3], i: i64[B]) -> f32[B, 3] where B <= 5 { grad(total(x, y, i), x) }\n"
    "fn along(x, y, i) { g = grad(total(x, y, i), x); sum(g * weights(g)) + 0 * sum(x) }\n"
    "entry value2(x: f32[B, 3], y: f32[B, 3], i: i64[B]) -> f32[] where B <= 5 { along(x, y, i) }\n"
    "entry slope2(x: f32[B, 3], y: f32[B, 3], i: i64[B]) -> f32[B, 3] where B <= 5 { grad(along(x, y, i), x) }\n";

/* d value / d x[k] for every k against the entry that claims to know it; *x is one of the inputs or a cell. */
static void check_slope(Traced *p, const char *text, const char *value, const char *slope, int output, NamedTensor *in,
                        int nin, Tensor *x) {
  Tensor *known = call_entry(p, text, slope, in, nin, 0, true);
  known += output;
  assert_int_equal(tensor_count(known), tensor_count(x));
  for (int64_t k = 0; k < tensor_count(x); k++) {
    double h = 1e-5, at = tensor_at(x, k).f, y[2];
    for (int side = 0; side < 2; side++) {
      tensor_set(x, k, (Scalar){.f = at + (side ? h : -h)});
      y[side] = number(call_entry(p, text, value, in, nin, 0, true), 0);
    }
    tensor_set(x, k, (Scalar){.f = at});
    double want = (y[1] - y[0]) / (2 * h), have = number(known, k);
    if (!(fabs(want - have) <= 1e-6 * (1 + fabs(want))))
      fail_msg("%s: %s[%lld] is %.9g, differences give %.9g\n%s", value, slope, (long long)k, have, want, text);
  }
}

static double pattern(int k) { return 0.5 + 0.5 * sin(1.7 * k + 0.3 * k * k + 0.4); }

static void test_slopes(void **state) {
  (void)state;
  for (size_t n = 0; n < sizeof SLOPES / sizeof *SLOPES; n++) {
    char text[2048];
    snprintf(text, sizeof text, SLOPE_TEXT, SLOPES[n].expr);
    Traced p;
    trace(&p, text);
    static const int64_t sizes[] = {1, 3, 5}; /* one, odd, the bound */
    for (int s = 0; s < 3; s++) {
      int64_t dim[2] = {sizes[s], 3};
      NamedTensor in[3] = {{"x", tensor_new(p.ctx.arena, DT_F64, dim, 2)},
                           {"y", tensor_new(p.ctx.arena, DT_F64, dim, 2)},
                           {"i", tensor_new(p.ctx.arena, DT_I64, dim, 1)}};
      for (int64_t k = 0; k < 3 * sizes[s]; k++) {
        double span = SLOPES[n].high - SLOPES[n].low;
        tensor_set(&in[0].value, k, (Scalar){.f = SLOPES[n].low + span * pattern((int)k)});
        tensor_set(&in[1].value, k, (Scalar){.f = SLOPES[n].low + span * pattern((int)k + 31)});
      }
      for (int64_t k = 0; k < sizes[s]; k++) tensor_set(&in[2].value, k, (Scalar){.i = (k * 2 + 1) % 3});
      check_slope(&p, text, "value", "slope", 0, in, 3, &in[0].value);
      check_slope(&p, text, "value2", "slope2", 0, in, 3, &in[0].value);
    }
    ctx_free(&p.ctx);
  }
}

typedef struct Layer {
  const char *decl, *expr; /* of net and x: f32[B, 4], i: i64[B] */
  const char *types;       /* of the params' gradients */
} Layer;

static const Layer LAYERS[] = {
    {"net = nn.Linear(4, 2)", "net(x)", "(f32[2, 4], f32[2])"},
    {"net = nn.Linear(4, 2, bias = false)", "net(x)", "(f32[2, 4],)"},
    {"net = nn.LayerNorm(4)", "net(x)", "(f32[4], f32[4])"},
    {"net = nn.RMSNorm(4)", "net(x)", "(f32[4],)"},
    {"net = nn.Embedding(3, 4)", "net(i) * x", "(f32[3, 4],)"},
    {"net = [nn.Linear(4, 3), relu, nn.Dropout(0.4), nn.Linear(3, 2)]", "net(x)",
     "(f32[3, 4], f32[3], f32[2, 3], f32[2])"},
    {"net = nn.Conv2d(1, 2, 2, padding = 1)", "net(x.reshape([B, 1, 2, 2]))", "(f32[2, 1, 2, 2], f32[2])"},
    {"net = nn.Conv1d(2, 4, 2, stride = 2, padding = [(1, 1)], groups = 2)", "net(x.reshape([B, 2, 2]))",
     "(f32[4, 1, 2], f32[4])"},
    {"net = nn.ConvTranspose2d(1, 2, [2, 3], stride = 2, output_padding = 1)", "net(x.reshape([B, 1, 2, 2]))",
     "(f32[1, 2, 2, 3], f32[2])"},
    {"net = nn.BatchNorm1d(4)", "net(x) ** 2", "(f32[4], f32[4])"},
    {"net = [nn.Conv2d(1, 3, 3, padding = 1, bias = false), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Flatten(), "
     "nn.Linear(3, 2)]",
     "net(x.reshape([B, 1, 2, 2]))", "(f32[3, 1, 3, 3], f32[3], f32[3], f32[2, 3], f32[2])"},
    {"net = [nn.Conv2d(1, 2, 1), nn.AvgPool2d(2, stride = 1, padding = 1), nn.Flatten(), nn.Linear(18, 1)]",
     "net(x.reshape([B, 1, 2, 2]))", "(f32[2, 1, 1, 1], f32[2], f32[1, 18], f32[1])"},
    {"net = [nn.Linear(4, 3), gelu, nn.LayerNorm(3), nn.Linear(3, 3)]", "loss.cross_entropy(net(x), i)",
     "(f32[3, 4], f32[3], f32[3], f32[3], f32[3, 3], f32[3])"},
};

static void test_layers(void **state) {
  (void)state;
  for (size_t n = 0; n < sizeof LAYERS / sizeof *LAYERS; n++) {
    const Layer *l = &LAYERS[n];
    char text[2048], list[128] = "";
    int params = 0;
    for (const char *c = l->types; *c; c++) params += *c == '[';
    for (int i = 0; i < params; i++) snprintf(list + strlen(list), sizeof list - strlen(list), "g[%d], ", i);
    snprintf(
        text, sizeof text,
        "use nn, loss\n%s\n"
        "fn total(x, i) { B = x.shape[0]; r = %s; sum(r * cos(arange(count(r), f32).reshape(r.shape))) }\n"
        "entry value(x: f32[B, 4], i: i64[B]) -> f32[] where B <= 5 train { total(x, i) }\n"
        "entry slope(x: f32[B, 4], i: i64[B]) -> %s where B <= 5 train { g = leaves(grad(total(x, i), net)); (%s) }\n",
        l->decl, l->expr, l->types, list);
    Traced p;
    trace(&p, text);
    int64_t dim[2] = {3, 4};
    NamedTensor in[2] = {{"x", tensor_new(p.ctx.arena, DT_F64, dim, 2)},
                         {"i", tensor_new(p.ctx.arena, DT_I64, dim, 1)}};
    for (int k = 0; k < 12; k++) tensor_set(&in[0].value, k, (Scalar){.f = 2 * pattern(k) - 1});
    for (int k = 0; k < 3; k++) tensor_set(&in[1].value, k, (Scalar){.i = (k * 2 + 1) % 3});
    int found = 0;
    Tensor *param[8];
    for (uint32_t i = 0; i < p.program.cells.n; i++) { /* in f64, and away from start values like 0 and 1 */
      if (p.program.cells.at[i].kind != CELL_PARAM) continue;
      Tensor wide = tensor_new(p.ctx.arena, DT_F64, p.cells[i].dim, p.cells[i].rank);
      for (int64_t k = 0; k < tensor_count(&wide); k++)
        tensor_set(&wide, k, (Scalar){.f = number(&p.cells[i], k) + 0.3 * pattern((int)k + 17 * found)});
      p.cells[i] = wide;
      param[found++] = &p.cells[i];
    }
    assert_int_equal(found, params);
    for (int i = 0; i < params; i++) check_slope(&p, text, "value", "slope", i, in, 2, param[i]);
    ctx_free(&p.ctx);
  }
}

/* ---- random numbers and start values ---- */
static void moments(const Tensor *x, double *mean, double *var, double *low, double *high) {
  int64_t n = tensor_count(x);
  *mean = *var = 0;
  *low = INFINITY;
  *high = -INFINITY;
  for (int64_t k = 0; k < n; k++) {
    double v = number(x, k);
    *mean += v / (double)n;
    *low = fmin(*low, v);
    *high = fmax(*high, v);
  }
  for (int64_t k = 0; k < n; k++) *var += (number(x, k) - *mean) * (number(x, k) - *mean) / (double)n;
}

static void test_random(void **state) {
  (void)state;
  static const struct {
    const char *expr, *type;
    double mean, var, low, high;
  } kinds[] = {{"random.uniform([20000])", "f32", 0.5, 1.0 / 12, 0, 1},
               {"random.uniform([20000], -2, 4)", "f32", 1, 3, -2, 4},
               {"random.uniform([20000], dtype = f64)", "f64", 0.5, 1.0 / 12, 0, 1},
               {"random.normal([20000])", "f32", 0, 1, -7, 7},
               {"random.bernoulli(0.25, [20000])", "bool", 0.25, 0.1875, 0, 1},
               {"random.randint(-3, 4, [20000])", "i64", 0, 4, -3, 3},
               {"random.categorical(expand(log(tensor([0.25, 0.75])), [20000, 2]))", "i64", 0.75, 0.1875, 0, 1}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char text[512];
    double mean, var, low, high;
    snprintf(text, sizeof text, "entry e(x: f32[1]) -> {a: %s[20000], b: %s[20000]} { {a = %s, b = %s} }",
             kinds[i].type, kinds[i].type, kinds[i].expr, kinds[i].expr);
    Traced p;
    trace(&p, text);
    int64_t one = 1;
    NamedTensor in = {"x", tensor_new(p.ctx.arena, DT_F32, &one, 1)};
    Tensor *out = call_entry(&p, text, "e", &in, 1, 0, false), *later = call_entry(&p, text, "e", &in, 1, 1, false),
           *again = call_entry(&p, text, "e", &in, 1, 0, false);
    moments(&out[0], &mean, &var, &low, &high);
    assert_true(fabs(mean - kinds[i].mean) < 0.05 && fabs(var - kinds[i].var) < 0.05 * (1 + kinds[i].var));
    assert_true(low >= kinds[i].low && high <= kinds[i].high);
    assert_true(tensor_distance(&out[0], &again[0], NULL) == 0);
    assert_true(tensor_distance(&out[0], &out[1], NULL) > 0);   /* another call site */
    assert_true(tensor_distance(&out[0], &later[0], NULL) > 0); /* another call */
    ctx_free(&p.ctx);
  }
}

static void test_init(void **state) {
  (void)state;
  static const char text[] =
      "use nn\n"
      "module All() {\n"
      "  param zeros: f32[100, 50] = init.zeros()\n  param ones: f32[100, 50] = init.ones()\n  param constant: "
      "f32[100, 50] = init.constant(3)\n"
      "  param uniform: f32[100, 50] = init.uniform(-1, 1)\n  param normal: f32[100, 50] = init.normal(2, 3)\n"
      "  param kaiming_uniform: f32[100, 50] = init.kaiming_uniform(a = sqrt(5))\n  param kaiming_normal: f32[100, 50] "
      "= init.kaiming_normal()\n"
      "  param xavier_uniform: f32[100, 50] = init.xavier_uniform()\n  param xavier_normal: f32[100, 50] = "
      "init.xavier_normal(2.0)\n"
      "  param conv: f32[10, 5, 10, 10] = init.kaiming_normal()\n}\n"
      "net = All()\nlinear = nn.Linear(50, 100)\n"
      "entry e(x: f32[1]) -> f32[1] { x }\n";
  static const struct {
    const char *name;
    double mean, var, bound;
  } want[] = {{"net.zeros", 0, 0, 0},
              {"net.ones", 1, 0, 1},
              {"net.constant", 3, 0, 3},
              {"net.uniform", 0, 1.0 / 3, 1},
              {"net.normal", 2, 9, 30},
              {"net.kaiming_uniform", 0, 1.0 / 150, 0.1414214},
              {"net.kaiming_normal", 0, 0.04, 2},
              {"net.xavier_uniform", 0, 0.04 / 3, 0.2000001},
              {"net.xavier_normal", 0, 8.0 / 150, 3},
              {"net.conv", 0, 0.004, 1},
              {"linear.weight", 0, 1.0 / 150, 0.1414214},
              {"linear.bias", 0, 1.0 / 150, 0.1414214}};
  Traced p;
  trace(&p, text);
  assert_int_equal(p.program.cells.n, sizeof want / sizeof *want);
  for (uint32_t i = 0; i < p.program.cells.n; i++) {
    double mean, var, low, high;
    assert_string_equal(p.program.cells.at[i].name, want[i].name);
    moments(&p.cells[i], &mean, &var, &low, &high);
    double slack = 6 * sqrt(want[i].var / (double)tensor_count(&p.cells[i])); /* six deviations of a mean */
    if (fabs(mean - want[i].mean) > slack + 1e-12 ||
        fabs(var - want[i].var) > 1e-12 + 0.12 * want[i].var * (i == 11 ? 4 : 1) || fmax(-low, high) > want[i].bound)
      fail_msg("%s: mean %g, variance %g, from %g to %g", want[i].name, mean, var, low, high);
  }
  ctx_free(&p.ctx);
}

static void test_dropout(void **state) {
  (void)state;
  static const char text[] = "use nn\nnet = nn.Dropout(0.25)\nentry e(x: f32[20000]) -> f32[20000] train { net(x) }\n";
  Traced p;
  trace(&p, text);
  int64_t n = 20000, zeros = 0;
  NamedTensor in = {"x", tensor_new(p.ctx.arena, DT_F32, &n, 1)};
  for (int64_t k = 0; k < n; k++) tensor_set(&in.value, k, (Scalar){.f = 3});
  Tensor *out = call_entry(&p, text, "e", &in, 1, 0, false);
  for (int64_t k = 0; k < n; k++) {
    double v = number(out, k);
    zeros += v == 0;
    assert_true(v == 0 || v == 4);
  }
  assert_in_range(zeros, 4700, 5300);
  ctx_free(&p.ctx);
}

/* ---- optimizers ---- */
typedef struct Adam {
  double p, m, v;
} Adam;

static double slope_of(double p) { return 2 * (p - 1.5) + cos(p); } /* of (p - 1.5)^2 + sin p */

static const char LOSS[] =
    "fn value() { sum((net.weight - 1.5) ** 2 + sin(net.weight)) + sum((net.bias - 1.5) ** 2 + sin(net.bias)) }\n";

static void test_optimizers(void **state) {
  (void)state;
  static const char groups[] = "opt = optim.AdamW(net, lr = 0.1,\n"
                               "  groups = [{match = \"b*\", decay = 0.0, lr = 0.05}, {match = \"*\", decay = 0.5}])";
  static const char *const decl[] = {
      "opt = optim.SGD(net, lr = 0.1)", "opt = optim.SGD(net, lr = 0.1, momentum = 0.9, decay = 0.01)",
      "opt = optim.AdamW(net, lr = optim.cosine(warmup = 2, total = 6, peak = 0.1), decay = 0.02)", groups};
  for (int o = 0; o < 4; o++) {
    char text[1024];
    snprintf(text, sizeof text,
             "use nn, optim\nnet = nn.Linear(2, 2)\n%s\n%sentry step(x: f32[1]) -> f32[] train { l = value(); "
             "opt.update(grad(l, net)); l }\n",
             decl[o], LOSS);
    Traced p;
    trace(&p, text);
    Adam a[6] = {{0}};
    for (int k = 0; k < 6; k++) a[k].p = number(&p.cells[k < 4 ? 0 : 1], k < 4 ? k : k - 4);
    int64_t one = 1;
    NamedTensor in = {"x", tensor_new(p.ctx.arena, DT_F64, &one, 1)};
    for (int t = 1; t <= 7; t++) {
      call_entry(&p, text, "step", &in, 1, (uint32_t)t, true);
      for (int k = 0; k < 6; k++) {
        Adam *q = &a[k];
        bool bias = k >= 4;
        double g = slope_of(q->p), lr = 0.1, decay = o == 1 ? 0.01 : o == 2 ? 0.02 : 0;
        if (o < 2) {
          g += decay * q->p;
          q->v = (o ? 0.9 : 0) * q->v + g;
          q->p -= lr * q->v;
          continue;
        }
        if (o == 2) lr = t < 2 ? 0.1 * t / 2 : 0.05 * (1 + cos(M_PI * fmin(t - 2, 4) / 4));
        if (o == 3) {
          lr = bias ? 0.05 : 0.1;
          decay = bias ? 0 : 0.5;
        }
        double b1 = 0.9f, b2 = 0.999f; /* constants are f32 */
        q->m = b1 * q->m + 0.1 * g;
        q->v = b2 * q->v + (float)(1 - 0.999) * g * g;
        q->p -= lr * decay * q->p;
        q->p -= lr * (q->m / (1 - pow(b1, t))) / (sqrt(q->v / (1 - pow(b2, t))) + 1e-8);
      }
      for (int k = 0; k < 6; k++) {
        double have = number(&p.cells[k < 4 ? 0 : 1], k < 4 ? k : k - 4);
        if (fabs(have - a[k].p) > 1e-6)
          fail_msg("%s: param %d after step %d is %.9g, the formula gives %.9g", decl[o], k, t, have, a[k].p);
      }
    }
    ctx_free(&p.ctx);
  }
}

/* ---- load ---- */
static size_t npy(char *out, const char *descr, const char *shape, const void *data, size_t n) {
  size_t head = 118;
  memcpy(out, "\x93NUMPY\x01\0\x76\0", 10);
  memset(out + 10, ' ', head);
  int k = sprintf(out + 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
  out[10 + k] = ' ';
  out[10 + head - 1] = '\n';
  memcpy(out + 10 + head, data, n);
  return 10 + head + n;
}

static bool load_says(const char *path, const char *file, size_t n, const char *text, double *sum) {
  Ctx ctx = ctx_new();
  const char *why;
  assert_true(file_write(ctx.arena, path, file, n, &why));
  Program p;
  bool ok = sir_trace_text(&ctx, "test.sir", text, strlen(text), NULL, &p);
  if (ok) {
    int64_t one = 1;
    Tensor out, *cells = NULL;
    NamedTensor in = {"x", tensor_new(ctx.arena, DT_F32, &one, 1)};
    EntryCall c = {.inputs = &in, .ninputs = 1, .cells = cells, .arena = ctx.arena, .outputs = &out};
    assert_true(entry_eval(&p, &p.entries.at[0], &c));
    *sum = number(&out, 0);
  } else {
    assert_true(diag_errors(ctx.diag) > 0);
  }
  ctx_free(&ctx);
  return ok;
}

static void test_load(void **state) {
  (void)state;
  char path[] = "/tmp/sinter_load_XXXXXX", text[256], *file = mem_alloc(1 << 16);
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  snprintf(text, sizeof text, "const T = load(\"%s\")\nentry e(x: f32[1]) -> f32[] { sum(T.to(f32)) }\n", path);
  double sum = 0;
  float f[3] = {1.5, 2, 4};
  double d[2] = {0.25, 1};
  int32_t i[2] = {-3, 4};
  int64_t l[2] = {1 << 20, 1}, many[2000];
  char b[3] = {1, 0, 1};
  for (int k = 0; k < 2000; k++) many[k] = k % 2;
  assert_true(load_says(path, file, npy(file, "<f4", "3,", f, sizeof f), text, &sum) && sum == 7.5);
  assert_true(load_says(path, file, npy(file, "<f8", "1, 2", d, sizeof d), text, &sum) && sum == 1.25);
  assert_true(load_says(path, file, npy(file, "<i4", "2, 1", i, sizeof i), text, &sum) && sum == 1);
  assert_true(load_says(path, file, npy(file, "<i8", "2,", l, sizeof l), text, &sum) && sum == (1 << 20) + 1);
  assert_true(load_says(path, file, npy(file, "|b1", "3,", b, sizeof b), text, &sum) && sum == 2);
  assert_true(load_says(path, file, npy(file, "<f4", "", f, sizeof f), text, &sum) && sum == 1.5);
  assert_true(load_says(path, file, npy(file, "<i8", "20, 100", many, sizeof many), text, &sum) &&
              sum == 1000); /* stays in its file */
  assert_false(load_says(path, file, npy(file, ">f4", "3,", f, sizeof f), text, &sum));
  assert_false(load_says(path, file, npy(file, "<f4", "4,", f, sizeof f), text, &sum)); /* too short */
  assert_false(
      load_says(path, file, npy(file, "<f4", "4611686018427387904, 4611686018427387904", f, sizeof f), text, &sum));
  assert_false(load_says(path, file, npy(file, "<f4", "-1", f, sizeof f), text, &sum));
  size_t n = npy(file, "<f4", "3,", f, sizeof f);
  uint32_t seed = 99;
  for (int k = 0; k < 300; k++) { /* a sentence or a program, nothing else */
    char old[3];
    uint32_t at[3];
    for (int m = 0; m < 3; m++) {
      seed = seed * 1664525u + 1013904223u;
      at[m] = (seed >> 8) % 70;
      old[m] = file[at[m]];
      file[at[m]] = (char)(seed >> 24);
    }
    (void)load_says(path, file, k % 3 ? n : (size_t)at[0], text, &sum);
    for (int m = 3; m-- > 0;) file[at[m]] = old[m];
  }
  unlink(path);
  free(file);
}

/* ---- arguments that do not fit ---- */
static uint32_t mix(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* Every builtin with arguments drawn from a drawer of oddities: a program or a sentence, never a crash. */
static void test_wrong_arguments(void **state) {
  (void)state;
  static const char *const names[][2] = {
#define LIB(space, name, fn, op, raw, params, doc) {space, name},
#include "lib.def"
#undef LIB
  };
  static const char *const drawer[] = {"x",
                                       "y",
                                       "x[0]",
                                       "i",
                                       "c",
                                       "s",
                                       "B",
                                       "3",
                                       "1",
                                       "0",
                                       "-1",
                                       "9223372036854775807",
                                       "0.5",
                                       "-1.5",
                                       "inf",
                                       "nan",
                                       "true",
                                       "none",
                                       "\"*\"",
                                       "\"\"",
                                       "f32",
                                       "i64",
                                       "f16",
                                       "[]",
                                       "[0]",
                                       "[1, 0]",
                                       "[B, 3]",
                                       "[3, -1]",
                                       "[x, y]",
                                       "[i, 2]",
                                       "(1, x)",
                                       "()",
                                       "{a = x}",
                                       "{}",
                                       "params(net)",
                                       "refs(net)",
                                       "net",
                                       "[net, relu]",
                                       "nn.Linear",
                                       "relu",
                                       "sum",
                                       "random",
                                       "fn(p) { p }",
                                       "fn(p, q) { p * q }",
                                       "sum(x)",
                                       "sqrt(B)",
                                       "x.shape",
                                       "self",
                                       "net.weight",
                                       "axis = 1",
                                       "axis = -5",
                                       "dtype = bool",
                                       "match = \"w*\"",
                                       "keepdim = true"};
  enum { NAMES = sizeof names / sizeof *names, DRAWER = sizeof drawer / sizeof *drawer };
  const char *env = getenv("ROUNDS"); /* more of them by hand */
  uint32_t seed = 12345;
  for (int round = 0; round < (env ? atoi(env) : 3); round++)
    for (int k = 0; k < NAMES; k++) {
      char text[1024];
      int n = snprintf(text, sizeof text,
                       "use nn\nnet = nn.Linear(3, 2)\nentry e(x: f32[B, 3], y: f32[3], i: i64[B], c: bool[B, 3], s: "
                       "i64[]) -> f32[] where B <= 9 { r = %s%s%s(",
                       names[k][0], names[k][0][0] ? "." : "", names[k][1]);
      for (uint32_t a = 0, many = 1 + mix(&seed) % 4; a < many; a++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s", a ? ", " : "", drawer[mix(&seed) % DRAWER]);
      snprintf(text + n, sizeof text - (size_t)n, "); sum(x) }\n");
      if (getenv("SHOW")) print_message("%s", text);
      Ctx ctx = ctx_new();
      Program p;
      bool ok = sir_trace_text(&ctx, "test.sir", text, strlen(text), NULL, &p);
      if (!ok && !diag_errors(ctx.diag)) fail_msg("refused without a sentence: %s", text);
      ctx_free(&ctx);
    }
}

/* The same for indices, read and written. */
static void test_wrong_indices(void **state) {
  (void)state;
  static const char *const items[] = {"0",
                                      "-1",
                                      "2",
                                      "5",
                                      "B",
                                      "B - 1",
                                      ":",
                                      "1:",
                                      ":-1",
                                      ":B",
                                      "B:",
                                      "::2",
                                      "1:3:2",
                                      "::0",
                                      "::-1",
                                      "...",
                                      "none",
                                      "i",
                                      "i[0]",
                                      "s",
                                      "s:s + 1",
                                      "s:s + B",
                                      "s:",
                                      ":s",
                                      "s + 1:s + 2",
                                      "s:s",
                                      "i:i + 1",
                                      "x",
                                      "c",
                                      "0.5",
                                      "true",
                                      "\"a\"",
                                      "[0, 1]",
                                      "arange(3)",
                                      "arange(B)[:, none]",
                                      "tensor(1)",
                                      "tensor(-1)",
                                      "0:B:B",
                                      "9223372036854775807",
                                      "-9223372036854775807:",
                                      "s * s:s * s + 1",
                                      "i[0]:s"};
  enum { ITEMS = sizeof items / sizeof *items };
  const char *env = getenv("ROUNDS");
  uint32_t seed = 54321;
  for (int round = 0; round < (env ? atoi(env) : 3) * 80; round++) {
    char index[512] = "", text[2048];
    for (uint32_t k = 0, many = 1 + mix(&seed) % 4; k < many; k++)
      snprintf(index + strlen(index), sizeof index - strlen(index), "%s%s", k ? ", " : "", items[mix(&seed) % ITEMS]);
    const char *head =
        "entry e(inout h: f32[B, 3, 4], x: f32[B, 3, 4], i: i64[B], c: bool[B], s: i64[]) -> f32[] where B <= 9";
    if (mix(&seed) % 2)
      snprintf(text, sizeof text, "%s { sum(x[%s]) }\n", head, index);
    else
      snprintf(text, sizeof text, "%s { h[%s] <- h[%s] * 2; sum(h) }\n", head, index, index);
    Ctx ctx = ctx_new();
    Program p;
    bool ok = sir_trace_text(&ctx, "test.sir", text, strlen(text), NULL, &p);
    if (!ok && !diag_errors(ctx.diag)) fail_msg("refused without a sentence: %s", text);
    ctx_free(&ctx);
  }
}

/* ---- the page of signatures ---- */
static void test_signatures(void **state) {
  (void)state;
  const char *path = "frontend/sir/library.md", *why = NULL;
  Buf b = {0};
  lib_print_signatures(&b);
  Arena *a = arena_new();
  size_t n = 0;
  if (getenv("BLESS")) assert_true(file_write(a, path, b.at, b.n, &why));
  char *have = file_read(a, path, &n, &why);
  if (!have) fail_msg("%s", why);
  if (n != b.n || memcmp(have, b.at, n))
    fail_msg("%s is not what the table of builtins gives; BLESS=1 rewrites it", path);
  arena_free(a);
  buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_element),    cmocka_unit_test(test_reduce),          cmocka_unit_test(test_shape),
      cmocka_unit_test(test_index),      cmocka_unit_test(test_trees),           cmocka_unit_test(test_losses),
      cmocka_unit_test(test_slopes),     cmocka_unit_test(test_layers),          cmocka_unit_test(test_random),
      cmocka_unit_test(test_init),       cmocka_unit_test(test_dropout),         cmocka_unit_test(test_optimizers),
      cmocka_unit_test(test_load),       cmocka_unit_test(test_wrong_arguments), cmocka_unit_test(test_wrong_indices),
      cmocka_unit_test(test_signatures), cmocka_unit_test(test_windows),         cmocka_unit_test(test_batch_norm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
