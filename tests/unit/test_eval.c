/* The reference evaluator: the `defined` column of ops.def at its corners, moves, reductions, failures, and whole
 * calls. */
#include "eval.h"
#include "philox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

/* ---- one element ---- */
typedef struct Row {
  Op op;
  DType d;
  Scalar in[3], want; /* booleans and comparisons in .i */
} Row;
#define F(x)    {.f = (x)}
#define I(x)    {.i = (x)}
#define I32_MIN (-2147483647 - 1)
#define DEN     0x1p-149 /* the least f32 */

static const Row ROWS[] = {
    {OP_NEG, DT_F32, {F(0.0)}, F(-0.0)},
    {OP_NEG, DT_I32, {I(I32_MIN)}, I(I32_MIN)},
    {OP_NEG, DT_I64, {I(INT64_MIN)}, I(INT64_MIN)},
    {OP_ABS, DT_F64, {F(-0.0)}, F(0.0)},
    {OP_ABS, DT_F32, {F(NAN)}, F(NAN)},
    {OP_ABS, DT_I32, {I(I32_MIN)}, I(I32_MIN)},
    {OP_ABS, DT_I64, {I(-7)}, I(7)},
    {OP_SIGN, DT_F32, {F(-0.0)}, F(0.0)},
    {OP_SIGN, DT_F32, {F(-3.0)}, F(-1.0)},
    {OP_SIGN, DT_F64, {F(INFINITY)}, F(1.0)},
    {OP_SIGN, DT_F32, {F(NAN)}, F(NAN)},
    {OP_SIGN, DT_I32, {I(-9)}, I(-1)},
    {OP_SIGN, DT_I64, {I(0)}, I(0)},
    {OP_EXP, DT_F32, {F(0.0)}, F(1.0)},
    {OP_EXP, DT_F32, {F(89.0)}, F(INFINITY)},
    {OP_EXP, DT_F64, {F(-INFINITY)}, F(0.0)},
    {OP_EXP, DT_F32, {F(-104.0)}, F(0.0)},
    {OP_EXP, DT_F32, {F(1.0)}, F((float)2.718281828459045)},
    {OP_EXPM1, DT_F64, {F(1e-20)}, F(1e-20)},
    {OP_EXPM1, DT_F32, {F(-INFINITY)}, F(-1.0)},
    {OP_LOG, DT_F32, {F(0.0)}, F(-INFINITY)},
    {OP_LOG, DT_F32, {F(-0.0)}, F(-INFINITY)},
    {OP_LOG, DT_F64, {F(-1.0)}, F(NAN)},
    {OP_LOG, DT_F64, {F(INFINITY)}, F(INFINITY)},
    {OP_LOG1P, DT_F32, {F(-1.0)}, F(-INFINITY)},
    {OP_LOG1P, DT_F32, {F(-2.0)}, F(NAN)},
    {OP_LOG1P, DT_F64, {F(1e-20)}, F(1e-20)},
    {OP_SQRT, DT_F32, {F(-1.0)}, F(NAN)},
    {OP_SQRT, DT_F32, {F(-0.0)}, F(-0.0)},
    {OP_SQRT, DT_F32, {F(2.0)}, F((float)1.4142135623730951)},
    {OP_SQRT, DT_F64, {F(INFINITY)}, F(INFINITY)},
    {OP_RSQRT, DT_F32, {F(0.0)}, F(INFINITY)},
    {OP_RSQRT, DT_F32, {F(4.0)}, F(0.5)},
    {OP_RSQRT, DT_F32, {F(INFINITY)}, F(0.0)},
    {OP_RSQRT, DT_F64, {F(-1.0)}, F(NAN)},
    {OP_SIN, DT_F32, {F(-0.0)}, F(-0.0)},
    {OP_SIN, DT_F32, {F(INFINITY)}, F(NAN)},
    {OP_COS, DT_F64, {F(0.0)}, F(1.0)},
    {OP_COS, DT_F64, {F(-INFINITY)}, F(NAN)},
    {OP_TANH, DT_F32, {F(100.0)}, F(1.0)},
    {OP_TANH, DT_F64, {F(-0.0)}, F(-0.0)},
    {OP_TANH, DT_F64, {F(-INFINITY)}, F(-1.0)},
    {OP_SIGMOID, DT_F32, {F(0.0)}, F(0.5)},
    {OP_SIGMOID, DT_F64, {F(-INFINITY)}, F(0.0)},
    {OP_SIGMOID, DT_F64, {F(1000.0)}, F(1.0)},
    {OP_SIGMOID, DT_F32, {F(NAN)}, F(NAN)},
    {OP_ERF, DT_F32, {F(INFINITY)}, F(1.0)},
    {OP_ERF, DT_F64, {F(-0.0)}, F(-0.0)},
    {OP_FLOOR, DT_F32, {F(-0.5)}, F(-1.0)},
    {OP_CEIL, DT_F32, {F(-0.5)}, F(-0.0)},
    {OP_ROUND, DT_F32, {F(2.5)}, F(2.0)},
    {OP_ROUND, DT_F64, {F(3.5)}, F(4.0)},
    {OP_ROUND, DT_F64, {F(-0.5)}, F(-0.0)},
    {OP_ROUND, DT_F64, {F(0.49999999999999994)}, F(0.0)},
    {OP_TRUNC, DT_F32, {F(-1.9)}, F(-1.0)},
    {OP_FLOOR, DT_F64, {F(NAN)}, F(NAN)},
    {OP_NOT, DT_I32, {I(0)}, I(-1)},
    {OP_NOT, DT_BOOL, {I(1)}, I(0)},
    {OP_NOT, DT_BOOL, {I(0)}, I(1)},
    {OP_NOT, DT_I64, {I(INT64_MAX)}, I(INT64_MIN)},
    {OP_IS_NAN, DT_F32, {F(NAN)}, I(1)},
    {OP_IS_NAN, DT_F32, {F(INFINITY)}, I(0)},
    {OP_IS_INF, DT_F64, {F(-INFINITY)}, I(1)},
    {OP_IS_INF, DT_F64, {F(NAN)}, I(0)},
    {OP_IS_FINITE, DT_F32, {F(NAN)}, I(0)},
    {OP_IS_FINITE, DT_F32, {F(DEN)}, I(1)},
    {OP_LEAF, DT_F32, {F(-0.0)}, F(-0.0)},
    {OP_LEAF, DT_I32, {I(5)}, I(5)},
    {OP_STOP_GRADIENT, DT_BOOL, {I(1)}, I(1)},
    {OP_ADD, DT_F32, {F(16777216.0), F(1.0)}, F(16777216.0)},
    {OP_ADD, DT_F64, {F(16777216.0), F(1.0)}, F(16777217.0)},
    {OP_ADD, DT_F32, {F(INFINITY), F(-INFINITY)}, F(NAN)},
    {OP_ADD, DT_I32, {I(2147483647), I(1)}, I(I32_MIN)},
    {OP_ADD, DT_I64, {I(INT64_MAX), I(1)}, I(INT64_MIN)},
    {OP_ADD, DT_F32, {F(DEN), F(DEN)}, F(2 * DEN)},
    {OP_SUB, DT_I32, {I(I32_MIN), I(1)}, I(2147483647)},
    {OP_SUB, DT_F32, {F(0.0), F(0.0)}, F(0.0)},
    {OP_MUL, DT_I32, {I(65536), I(65536)}, I(0)},
    {OP_MUL, DT_F32, {F(0.0), F(INFINITY)}, F(NAN)},
    {OP_MUL, DT_F32, {F(1.5), F(DEN)}, F(2 * DEN)},
    {OP_MUL, DT_I64, {I(INT64_MIN), I(-1)}, I(INT64_MIN)},
    {OP_DIV, DT_F32, {F(1.0), F(0.0)}, F(INFINITY)},
    {OP_DIV, DT_F64, {F(0.0), F(0.0)}, F(NAN)},
    {OP_DIV, DT_F32, {F(1.0), F(3.0)}, F((float)(1.0 / 3))},
    {OP_DIV, DT_I32, {I(7), I(0)}, I(0)},
    {OP_DIV, DT_I32, {I(I32_MIN), I(-1)}, I(I32_MIN)},
    {OP_DIV, DT_I64, {I(INT64_MIN), I(-1)}, I(INT64_MIN)},
    {OP_DIV, DT_I32, {I(-7), I(2)}, I(-3)},
    {OP_REM, DT_F32, {F(-7.5), F(2.0)}, F(-1.5)},
    {OP_REM, DT_F64, {F(1.0), F(0.0)}, F(NAN)},
    {OP_REM, DT_F64, {F(1.0), F(INFINITY)}, F(1.0)},
    {OP_REM, DT_F32, {F(-4.0), F(2.0)}, F(-0.0)},
    {OP_REM, DT_I32, {I(7), I(0)}, I(0)},
    {OP_REM, DT_I32, {I(I32_MIN), I(-1)}, I(0)},
    {OP_REM, DT_I64, {I(INT64_MIN), I(-1)}, I(0)},
    {OP_REM, DT_I32, {I(-7), I(2)}, I(-1)},
    {OP_POW, DT_F32, {F(NAN), F(0.0)}, F(1.0)},
    {OP_POW, DT_F64, {F(0.0), F(0.0)}, F(1.0)},
    {OP_POW, DT_F64, {F(-2.0), F(0.5)}, F(NAN)},
    {OP_POW, DT_F32, {F(0.0), F(-1.0)}, F(INFINITY)},
    {OP_POW, DT_I32, {I(3), I(-1)}, I(0)},
    {OP_POW, DT_I32, {I(2), I(31)}, I(I32_MIN)},
    {OP_POW, DT_I32, {I(2), I(32)}, I(0)},
    {OP_POW, DT_I64, {I(0), I(0)}, I(1)},
    {OP_POW, DT_I64, {I(-3), I(3)}, I(-27)},
    {OP_MAXIMUM, DT_F32, {F(NAN), F(1.0)}, F(NAN)},
    {OP_MAXIMUM, DT_F32, {F(1.0), F(NAN)}, F(NAN)},
    {OP_MAXIMUM, DT_F64, {F(-INFINITY), F(1.0)}, F(1.0)},
    {OP_MAXIMUM, DT_I32, {I(-3), I(2)}, I(2)},
    {OP_MINIMUM, DT_F32, {F(NAN), F(1.0)}, F(NAN)},
    {OP_MINIMUM, DT_F32, {F(1.0), F(NAN)}, F(NAN)},
    {OP_MINIMUM, DT_F64, {F(INFINITY), F(1.0)}, F(1.0)},
    {OP_MINIMUM, DT_I64, {I(-3), I(2)}, I(-3)},
    {OP_AND, DT_I32, {I(12), I(10)}, I(8)},
    {OP_AND, DT_BOOL, {I(1), I(0)}, I(0)},
    {OP_OR, DT_I64, {I(12), I(10)}, I(14)},
    {OP_OR, DT_BOOL, {I(1), I(0)}, I(1)},
    {OP_XOR, DT_I32, {I(12), I(10)}, I(6)},
    {OP_XOR, DT_BOOL, {I(1), I(1)}, I(0)},
    {OP_SHL, DT_I32, {I(1), I(31)}, I(I32_MIN)},
    {OP_SHL, DT_I32, {I(1), I(32)}, I(0)},
    {OP_SHL, DT_I32, {I(1), I(-1)}, I(0)},
    {OP_SHL, DT_I64, {I(1), I(63)}, I(INT64_MIN)},
    {OP_SHL, DT_I64, {I(1), I(64)}, I(0)},
    {OP_SHR, DT_I32, {I(-8), I(1)}, I(-4)},
    {OP_SHR, DT_I32, {I(-8), I(32)}, I(-1)},
    {OP_SHR, DT_I32, {I(8), I(40)}, I(0)},
    {OP_SHR, DT_I32, {I(-8), I(-1)}, I(-1)},
    {OP_SHR, DT_I64, {I(8), I(-1)}, I(0)},
    {OP_EQUAL, DT_F32, {F(NAN), F(NAN)}, I(0)},
    {OP_EQUAL, DT_F64, {F(0.0), F(-0.0)}, I(1)},
    {OP_EQUAL, DT_BOOL, {I(1), I(1)}, I(1)},
    {OP_NOT_EQUAL, DT_F32, {F(NAN), F(NAN)}, I(1)},
    {OP_NOT_EQUAL, DT_I32, {I(3), I(3)}, I(0)},
    {OP_LESS, DT_F32, {F(NAN), F(1.0)}, I(0)},
    {OP_LESS, DT_I32, {I(-1), I(0)}, I(1)},
    {OP_LESS_EQUAL, DT_F64, {F(1.0), F(NAN)}, I(0)},
    {OP_LESS_EQUAL, DT_I64, {I(2), I(2)}, I(1)},
    {OP_GREATER, DT_F32, {F(NAN), F(1.0)}, I(0)},
    {OP_GREATER, DT_I32, {I(1), I(0)}, I(1)},
    {OP_GREATER_EQUAL, DT_F64, {F(NAN), F(NAN)}, I(0)},
    {OP_GREATER_EQUAL, DT_I64, {I(2), I(3)}, I(0)},
    {OP_SELECT, DT_F32, {I(1), F(-0.0), F(NAN)}, F(-0.0)},
    {OP_SELECT, DT_F32, {I(0), F(NAN), F(2.0)}, F(2.0)},
    {OP_SELECT, DT_BOOL, {I(0), I(1), I(0)}, I(0)},
};
enum { NROWS = sizeof ROWS / sizeof *ROWS };

typedef struct Convert {
  DType from, to;
  Scalar in, want;
} Convert;
static const Convert CONVERTS[] = {
    {DT_F32, DT_I32, F(2.9), I(2)},
    {DT_F32, DT_I32, F(-2.9), I(-2)},
    {DT_F32, DT_I32, F(NAN), I(0)},
    {DT_F32, DT_I32, F(3e9), I(2147483647)},
    {DT_F32, DT_I32, F(-INFINITY), I(I32_MIN)},
    {DT_F64, DT_I32, F(2147483647.5), I(2147483647)},
    {DT_F64, DT_I32, F(-2147483648.5), I(I32_MIN)},
    {DT_F64, DT_I64, F(0x1p63), I(INT64_MAX)},
    {DT_F64, DT_I64, F(-0x1p63), I(INT64_MIN)},
    {DT_F64, DT_I64, F(INFINITY), I(INT64_MAX)},
    {DT_F32, DT_BOOL, F(NAN), I(1)},
    {DT_F32, DT_BOOL, F(-0.0), I(0)},
    {DT_I32, DT_BOOL, I(4), I(1)},
    {DT_BOOL, DT_F32, I(1), F(1.0)},
    {DT_BOOL, DT_I64, I(1), I(1)},
    {DT_I64, DT_I32, I(INT64_C(4294967299)), I(3)},
    {DT_I32, DT_I64, I(-5), I(-5)},
    {DT_F64, DT_F32, F(1e300), F(INFINITY)},
    {DT_F64, DT_F32, F(1.0 + 0x1p-30), F(1.0)},
    {DT_I32, DT_F32, I(16777217), F(16777216.0)},
    {DT_I64, DT_F64, I(INT64_MAX), F(0x1p63)},
    {DT_I64, DT_F32, I(INT64_C(0x40000040000001)),
     F(0x40000080000000p0)}, /* by way of a double it would be 0x40000000000000 */
};

static Id constant(Graph *g, DType d, Scalar x) {
  Attrs a = {0};
  attr_int(&a, x.i);
  attr_int(&a, d);
  attr_syms(&a, NULL, 0);
  return graph_node(g, OP_CONSTANT, NULL, 0, &a);
}

static bool out_is_bool(Op o) {
  return OP_INFO[o].cls == CLASS_COMPARE || o == OP_IS_NAN || o == OP_IS_INF || o == OP_IS_FINITE;
}

static void elements(void **state) {
  (void)state;
  bool seen[OP_COUNT] = {0};
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL);
  Sym five = sym_int(ctx.syms, 5);
  for (int r = 0; r < NROWS; r++) {
    const Row *w = &ROWS[r];
    int n = OP_INFO[w->op].arity;
    seen[w->op] = true;
    for (int spread = -1; spread < n; spread++) { /* all scalars; then all but operand `spread` of rank 1 */
      Id in[3];
      for (int i = 0; i < n; i++) {
        in[i] = constant(g, w->op == OP_SELECT && !i ? DT_BOOL : w->d, w->in[i]);
        if (spread >= 0 && (n == 1 || i != spread)) in[i] = g_spread(g, in[i], &five, 1);
      }
      bool swap = n == 2 && (OP_INFO[w->op].flags & OPF_COMM); /* the graph may put these in either order */
      Id y = graph_node(g, w->op, in, n, NULL);
      if (!y) fail_msg("row %d, %s: %s", r, OP_INFO[w->op].text, diag_first(ctx.diag, NULL));
      Eval e = {.arena = ctx.arena};
      Tensor t;
      assert_true(graph_eval(g, &e, &y, 1, &t));
      DType d = out_is_bool(w->op) ? DT_BOOL : w->d;
      assert_int_equal(t.dtype, d);
      for (int64_t k = 0; k < tensor_count(&t); k++)
        if (!scalar_same(d, tensor_at(&t, k), w->want))
          fail_msg("row %d, %s%s: %.17g / %lld", r, OP_INFO[w->op].text, swap ? " (commutes)" : "", tensor_at(&t, k).f,
                   (long long)tensor_at(&t, k).i);
    }
  }
  for (Op o = OP_NONE + 1; o < OP_COUNT; o++)
    if (op_elementwise(o) && o != OP_CONVERT && !seen[o]) fail_msg("no row for `%s`", OP_INFO[o].text);
  for (size_t r = 0; r < sizeof CONVERTS / sizeof *CONVERTS; r++) {
    const Convert *w = &CONVERTS[r];
    Id y = g_convert(g, w->to, constant(g, w->from, w->in));
    Eval e = {.arena = ctx.arena};
    Tensor t;
    assert_true(graph_eval(g, &e, &y, 1, &t));
    if (!scalar_same(w->to, tensor_at(&t, 0), w->want))
      fail_msg("convert %d: %.17g / %lld", (int)r, tensor_at(&t, 0).f, (long long)tensor_at(&t, 0).i);
  }
  ctx_free(&ctx);
}

/* What only the Loop IR uses: other widths, fma, floor division. */
static void loop_scalars(void **state) {
  (void)state;
  static const Row rows[] = {
      {OP_ADD, DT_I8, {I(127), I(1)}, I(-128)},
      {OP_ADD, DT_U8, {I(255), I(2)}, I(1)},
      {OP_SUB, DT_U32, {I(0), I(1)}, I(4294967295)},
      {OP_DIV, DT_U64, {I(-1), I(2)}, I(INT64_MAX)},
      {OP_DIV, DT_I8, {I(-128), I(-1)}, I(-128)},
      {OP_LESS, DT_U64, {I(1), I(-1)}, I(1)},
      {OP_LESS, DT_IDX, {I(1), I(-1)}, I(0)},
      {OP_SHR, DT_U32, {I(0x80000000), I(31)}, I(1)},
      {OP_SHL, DT_U8, {I(255), I(4)}, I(240)},
      {OP_SHL, DT_U32, {I(1), I(32)}, I(0)},
      {OP_MAXIMUM, DT_U64, {I(-1), I(5)}, I(-1)},
      {OP_POW, DT_U32, {I(2), I(31)}, I(2147483648)},
      {OP_MULHI, DT_U32, {I(4294967295), I(4294967295)}, I(4294967294)},
      {OP_FLOOR_DIV, DT_IDX, {I(-7), I(2)}, I(-4)},
      {OP_FLOOR_MOD, DT_IDX, {I(-7), I(2)}, I(1)},
      {OP_FLOOR_DIV, DT_I32, {I(7), I(-2)}, I(-4)},
      {OP_FLOOR_MOD, DT_I32, {I(7), I(-2)}, I(-1)},
      {OP_FLOOR_DIV, DT_I32, {I(7), I(0)}, I(0)},
      {OP_FLOOR_MOD, DT_I32, {I(7), I(0)}, I(0)},
      {OP_FLOOR_DIV, DT_I32, {I(I32_MIN), I(-1)}, I(I32_MIN)},
      {OP_FMA, DT_F32, {F(16777215.0), F(16777215.0), F(-281474943156224.0)}, F(1.0)},
      {OP_FMA, DT_F64, {F(1.0 + 0x1p-52), F(1.0 - 0x1p-52), F(-1.0)}, F(-0x1p-104)},
      {OP_SCALE, DT_F32, {F(0x1.000002p0), F(-127)}, F(0x1p-127)},
      {OP_SCALE, DT_F32, {F(1.5), F(128)}, F(INFINITY)},
      {OP_EXP_NEG, DT_F64, {F(-1)}, F(0.36787944117144233)},
      {OP_EXP_NEG, DT_F32, {F(-INFINITY)}, F(0)},
      {OP_EXP_NEG, DT_F32, {F(-0.0)}, F(1)},
      {OP_EXP_NEG, DT_F32, {F(NAN)}, F(NAN)},
      {OP_EXP_NEG, DT_F32, {F(1)}, F(NAN)}, /* there is no such */
      {OP_SCALE, DT_F64, {F(1.5), F(-1074)}, F(0x1p-1073)},
      {OP_SCALE, DT_F64, {F(1.5), F(NAN)}, F(NAN)},
  };
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    Scalar out;
    assert_true(eval_scalar(rows[r].op, rows[r].d, rows[r].in, &out));
    DType d = out_is_bool(rows[r].op) ? DT_BOOL : rows[r].d;
    if (!scalar_same(d, out, rows[r].want)) fail_msg("row %d: %.17g / %lld", (int)r, out.f, (long long)out.i);
  }
  Scalar x[3] = {{.f = 1}, {.f = 1}, {.f = 1}}, out;
  assert_false(eval_scalar(OP_RESHAPE, DT_F32, x, &out));
  assert_false(eval_scalar(OP_AND, DT_F32, x, &out));
  assert_false(eval_scalar(OP_EXP, DT_I32, x, &out));
  unsigned char raw[8];
  scalar_store(DT_U16, (Scalar){.i = 65535}, raw);
  assert_int_equal(scalar_load(DT_U16, raw).i, 65535);
  assert_int_equal(scalar_load(DT_I16, raw).i, -1);
  assert_int_equal(scalar_bits(DT_F32, DT_I32, (Scalar){.f = -0.0}).i, I32_MIN);
  const double halves[] = {1, -2.5, 65504, 0x1p-24, 0x1p-14, INFINITY};
  for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
    scalar_store(DT_F16, (Scalar){.f = halves[i]}, raw);
    assert_true(scalar_load(DT_F16, raw).f == halves[i]);
  }
  assert_true(scalar_round(DT_F16, 65520) == INFINITY && scalar_round(DT_F16, 65519) == 65504);
  assert_true(scalar_round(DT_BF16, 1 + 0x1p-8) == 1 && scalar_round(DT_BF16, 1 + 3 * 0x1p-8) == 1 + 0x1p-6);
}

/* ---- tensors ---- */
typedef struct T {
  Ctx ctx;
  Graph *g;
  int64_t b; /* the dimension B */
} T;

static void setup(T *t) { /* in place: the graph keeps the address of ctx */
  *t = (T){.ctx = ctx_new()};
  t->g = graph_new(&t->ctx, NULL);
}

static bool dims(void *ctx, const char *name, int64_t *value) {
  *value = ((T *)ctx)->b;
  return !strcmp(name, "B");
}

static Sym S(T *t, int64_t n) { return sym_int(t->ctx.syms, n); }

static Id tensor(T *t, DType d, const char *shape, const double *v) { /* a constant; sizes by digit */
  Attrs a = {0};
  Sym s[MAX_RANK];
  int64_t w[200];
  int rank = (int)strlen(shape), n = 1;
  for (int i = 0; i < rank; i++) n *= shape[i] - '0', s[i] = S(t, shape[i] - '0');
  for (int i = 0; i < n; i++) {
    if (dtype_is_float(d))
      memcpy(&w[i], &v[i], 8);
    else
      w[i] = (int64_t)v[i];
  }
  attr_ints(&a, w, n);
  attr_int(&a, d);
  attr_syms(&a, s, rank);
  return graph_node(t->g, OP_CONSTANT, NULL, 0, &a);
}

static Id counting(T *t, DType d, const char *shape) { /* 1, 2, 3, ... */
  double v[200];
  for (int i = 0; i < 200; i++) v[i] = i + 1;
  return tensor(t, d, shape, v);
}

static Id ints(T *t, DType d, int n, const double *v) {
  char shape[2] = {(char)('0' + n), 0};
  return tensor(t, d, shape, v);
}
#define L(...) ((const double[]){__VA_ARGS__})

/* The value has this shape and these numbers; returns the failure. */
static EvalFail expect(T *t, Id y, const char *shape, const double *want) {
  if (!y) fail_msg("%s", diag_first(t->ctx.diag, NULL));
  Eval e = {.dims = dims, .dims_ctx = t, .arena = t->ctx.arena};
  Tensor r;
  if (!graph_eval(t->g, &e, &y, 1, &r)) fail_msg("%s", diag_first(t->ctx.diag, NULL));
  assert_int_equal(r.rank, strlen(shape));
  for (int i = 0; i < r.rank; i++) assert_int_equal(r.dim[i], shape[i] - '0');
  for (int64_t k = 0; k < tensor_count(&r); k++) {
    Scalar x = tensor_at(&r, k);
    double got = dtype_is_float(r.dtype) ? x.f : (double)x.i;
    if (got != want[k] && !(isnan(got) && isnan(want[k])))
      fail_msg("%s, element %d: %.17g instead of %.17g", OP_INFO[graph_op(t->g, y)].text, (int)k, got, want[k]);
  }
  return e.fail;
}

static void moves(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Id x = counting(&t, DT_I32, "23");
  expect(&t, g_broadcast(g, x, (Sym[]){S(&t, 2), S(&t, 2), S(&t, 3)}, 3, (int[]){0, 2}), "223",
         L(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6));
  expect(&t, g_spread(g, g_const(g, DT_F32, 7), (Sym[]){S(&t, 2), S(&t, 2)}, 2), "22", L(7, 7, 7, 7));
  expect(&t, g_reshape(g, x, (Sym[]){S(&t, 3), S(&t, 2)}, 2), "32", L(1, 2, 3, 4, 5, 6));
  expect(&t, g_transpose(g, x, (int[]){1, 0}), "32", L(1, 4, 2, 5, 3, 6));
  expect(&t, g_transpose(g, counting(&t, DT_F64, "223"), (int[]){2, 0, 1}), "322",
         L(1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12));
  expect(&t, g_slice(g, counting(&t, DT_F32, "7"), (Sym[]){S(&t, 1)}, (Sym[]){S(&t, 7)}, (int64_t[]){2}), "3",
         L(2, 4, 6));
  expect(&t, g_slice(g, x, (Sym[]){S(&t, 1), S(&t, 0)}, (Sym[]){S(&t, 2), S(&t, 2)}, (int64_t[]){1, 1}), "12", L(4, 5));
  expect(&t, g_slice(g, x, (Sym[]){S(&t, 1), S(&t, 0)}, (Sym[]){S(&t, 1), S(&t, 3)}, (int64_t[]){1, 1}), "03", L(0));
  expect(&t, g_reverse(g, x, (int[]){1}, 1), "23", L(3, 2, 1, 6, 5, 4));
  expect(&t, g_reverse(g, x, (int[]){1, 0}, 2), "23", L(6, 5, 4, 3, 2, 1));
  expect(&t, g_concat(g, (Id[]){x, counting(&t, DT_I32, "21"), x}, 3, 1), "27",
         L(1, 2, 3, 1, 1, 2, 3, 4, 5, 6, 2, 4, 5, 6));
  expect(&t, g_concat(g, (Id[]){x, x}, 2, 0), "43", L(1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6));
  ctx_free(&t.ctx);
}

static void pads(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Id x = counting(&t, DT_F32, "4");
  static const struct {
    int64_t lo, hi, interior;
    const char *shape;
    double want[12];
  } rows[] = {
      {1, 2, 0, "7", {0, 1, 2, 3, 4, 0, 0}},
      {0, 0, 2, ":", {1, 0, 0, 2, 0, 0, 3, 0, 0, 4}},
      {1, 1, 1, "9", {0, 1, 0, 2, 0, 3, 0, 4, 0}},
      {-1, 0, 0, "3", {2, 3, 4}},
      {0, -2, 0, "2", {1, 2}},
      {-1, -1, 1, "5", {0, 2, 0, 3, 0}},
      {-2, 1, 1, "6", {2, 0, 3, 0, 4, 0}},
      {-3, 0, 1, "4", {0, 3, 0, 4}},
      {-3, -3, 1, "1", {0}},
      {5, -7, 0, "2", {0, 0}},
      {-6, 5, 0, "3", {0, 0, 0}},
      {-4, 0, 0, "0", {0}},
  };
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    Id y = g_pad(g, x, (Sym[]){S(&t, rows[r].lo)}, (Sym[]){S(&t, rows[r].hi)}, (int64_t[]){rows[r].interior});
    expect(&t, y, rows[r].shape, rows[r].want);
  }
  expect(&t,
         g_pad(g, counting(&t, DT_I64, "22"), (Sym[]){S(&t, 1), S(&t, -1)}, (Sym[]){S(&t, 0), S(&t, 1)},
               (int64_t[]){0, 0}),
         "32", L(0, 0, 2, 0, 4, 0));
  ctx_free(&t.ctx);
}

static void indexing(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Id x = counting(&t, DT_F32, "23"), good = ints(&t, DT_I32, 3, L(2, 0, 2)), bad = ints(&t, DT_I64, 3, L(1, -1, 5));
  Id zero = g_const_int(g, DT_I64, 0), one = g_const_int(g, DT_I64, 1), two = g_const_int(g, DT_I64, 2),
     below = g_const_int(g, DT_I64, -1);
  Id y = g_gather(g, x, &good, 1, 1);
  assert_int_equal(expect(&t, y, "23", L(3, 1, 3, 6, 4, 6)).node, 0);
  y = g_gather(g, x, &bad, 1, 1); /* clamps */
  assert_int_equal(expect(&t, y, "23", L(2, 1, 3, 5, 4, 6)).node, y);
  y = g_gather(g, x, &one, 1, 0);
  assert_int_equal(expect(&t, y, "3", L(4, 5, 6)).node, 0);
  Id row = ints(&t, DT_I64, 3, L(0, 1, 1)), column = ints(&t, DT_I64, 3, L(2, 0, 1)),
     beyond = ints(&t, DT_I64, 3, L(2, 0, 3));
  y = g_gather(g, x, (Id[]){row, column}, 2, 0);
  assert_int_equal(expect(&t, y, "3", L(3, 4, 5)).node, 0);
  y = g_gather(g, x, (Id[]){row, beyond}, 2, 0);
  assert_int_equal(expect(&t, y, "3", L(3, 4, 6)).node, y);

  Id update = counting(&t, DT_F32, "23");
  y = g_scatter_add(g, x, &good, 1, 1, update); /* a place twice: both arrive */
  assert_int_equal(expect(&t, y, "23", L(1 + 2, 2, 3 + 1 + 3, 4 + 5, 5, 6 + 4 + 6)).node, 0);
  y = g_scatter_add(g, x, &bad, 1, 1, update); /* drops */
  assert_int_equal(expect(&t, y, "23", L(1, 2 + 1, 3, 4, 5 + 4, 6)).node, y);
  Id one_32 = ints(&t, DT_I32, 1, L(1)), big = tensor(&t, DT_I32, "1", L(2147483647));
  y = g_scatter_add(g, tensor(&t, DT_I32, "2", L(0, 1)), &one_32, 1, 0, big);
  assert_int_equal(expect(&t, y, "2", L(0, I32_MIN)).node, 0);

  y = g_dynamic_slice(g, x, &one, (int[]){1}, (Sym[]){S(&t, 2)}, 1);
  assert_int_equal(expect(&t, y, "22", L(2, 3, 5, 6)).node, 0);
  y = g_dynamic_slice(g, x, &two, (int[]){1}, (Sym[]){S(&t, 2)}, 1);
  assert_int_equal(expect(&t, y, "22", L(2, 3, 5, 6)).node, y);
  y = g_dynamic_slice(g, x, (Id[]){one, below}, (int[]){0, 1}, (Sym[]){S(&t, 1), S(&t, 2)}, 2);
  assert_int_equal(expect(&t, y, "12", L(4, 5)).node, y);

  Id block = tensor(&t, DT_F32, "12", L(70, 80));
  y = g_dynamic_update(g, x, (Id[]){one, one}, (int[]){0, 1}, 2, block);
  assert_int_equal(expect(&t, y, "23", L(1, 2, 3, 4, 70, 80)).node, 0);
  y = g_dynamic_update(g, x, (Id[]){zero, two}, (int[]){0, 1}, 2, block); /* gives x */
  assert_int_equal(expect(&t, y, "23", L(1, 2, 3, 4, 5, 6)).node, y);
  y = g_dynamic_update(g, x, (Id[]){below, zero}, (int[]){0, 1}, 2, block);
  assert_int_equal(expect(&t, y, "23", L(1, 2, 3, 4, 5, 6)).node, y);
  ctx_free(&t.ctx);
}

static void reductions(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Id x = counting(&t, DT_F32, "232"), none = tensor(&t, DT_F32, "20", NULL), no_int = tensor(&t, DT_I32, "20", NULL),
     no_bool = tensor(&t, DT_BOOL, "20", NULL);
  int one[] = {1}, outer[] = {0, 2};
  expect(&t, g_reduce(g, OP_REDUCE_SUM, x, outer, 2), "3", L(1 + 2 + 7 + 8, 3 + 4 + 9 + 10, 5 + 6 + 11 + 12));
  expect(&t, g_reduce(g, OP_REDUCE_MAX, x, one, 1), "22", L(5, 6, 11, 12));
  expect(&t, g_reduce(g, OP_REDUCE_MIN, x, one, 1), "22", L(1, 2, 7, 8));
  expect(&t, g_reduce(g, OP_REDUCE_SUM, none, one, 1), "2", L(0, 0));
  expect(&t, g_reduce(g, OP_REDUCE_MAX, none, one, 1), "2", L(-INFINITY, -INFINITY));
  expect(&t, g_reduce(g, OP_REDUCE_MIN, none, one, 1), "2", L(INFINITY, INFINITY));
  expect(&t, g_reduce(g, OP_REDUCE_MAX, no_int, one, 1), "2", L(I32_MIN, I32_MIN));
  expect(&t, g_reduce(g, OP_REDUCE_MIN, no_int, one, 1), "2", L(2147483647, 2147483647));
  expect(&t, g_reduce(g, OP_REDUCE_ANY, no_bool, one, 1), "2", L(0, 0));
  expect(&t, g_reduce(g, OP_REDUCE_ALL, no_bool, one, 1), "2", L(1, 1));
  Id bools = tensor(&t, DT_BOOL, "22", L(1, 0, 0, 0)),
     nans = tensor(&t, DT_F32, "23", L(1, NAN, 2, -INFINITY, -INFINITY, -INFINITY));
  expect(&t, g_reduce(g, OP_REDUCE_ANY, bools, one, 1), "2", L(1, 0));
  expect(&t, g_reduce(g, OP_REDUCE_ALL, bools, outer, 1), "2", L(0, 0));
  expect(&t, g_reduce(g, OP_REDUCE_MAX, nans, one, 1), "2", L(NAN, -INFINITY));
  expect(&t, g_reduce(g, OP_REDUCE_MIN, nans, one, 1), "2", L(NAN, -INFINITY));
  expect(&t, g_reduce(g, OP_REDUCE_SUM, tensor(&t, DT_I32, "2", L(2147483647, 1)), (int[]){0}, 1), "", L(I32_MIN));
  Id wide = tensor(&t, DT_F32, "4", L(16777216, 1, 1, 1)); /* sums in double, rounded once */
  expect(&t, g_reduce(g, OP_REDUCE_SUM, wide, (int[]){0}, 1), "", L(16777220));

  Id many = tensor(&t, DT_F32, "25", L(1, 9, NAN, 9, NAN, 3, 7, 7, 2, 2)),
     whole = tensor(&t, DT_I64, "32", L(5, 1, 5, 2, 4, 2));
  expect(&t, g_arg(g, OP_ARGMAX, many, 1), "2", L(2, 1));
  expect(&t, g_arg(g, OP_ARGMIN, many, 1), "2", L(2, 3));
  expect(&t, g_arg(g, OP_ARGMAX, whole, 0), "2", L(0, 1));
  expect(&t, g_arg(g, OP_ARGMIN, whole, 0), "2", L(2, 0));
  expect(&t, g_arg(g, OP_ARGMAX, none, 1), "2", L(0, 0));
  ctx_free(&t.ctx);
}

static void products(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Id x = counting(&t, DT_F32, "23"), y = counting(&t, DT_F32, "32"), i = counting(&t, DT_I32, "23"),
     none = tensor(&t, DT_F32, "20", NULL), nothing = tensor(&t, DT_F32, "02", NULL);
  expect(&t, g_dot(g, x, y, (int[]){1}, (int[]){0}, 1, NULL, NULL, 0), "22", L(22, 28, 49, 64));
  expect(&t, g_dot(g, x, x, (int[]){1}, (int[]){1}, 1, (int[]){0}, (int[]){0}, 1), "2", L(14, 77));
  expect(&t, g_dot(g, i, i, (int[]){0, 1}, (int[]){0, 1}, 2, NULL, NULL, 0), "", L(91));
  expect(&t, g_dot(g, none, nothing, (int[]){1}, (int[]){0}, 1, NULL, NULL, 0), "22", L(0, 0, 0, 0));
  Id p = counting(&t, DT_F64, "22"), q = counting(&t, DT_F64, "2"); /* batch axes lead, then what is free of x, of y */
  expect(&t, g_dot(g, p, q, NULL, NULL, 0, (int[]){1}, (int[]){0}, 1), "22", L(1, 3, 4, 8));
  expect(&t, g_dot(g, q, q, NULL, NULL, 0, NULL, NULL, 0), "22", L(1, 2, 2, 4));
  Id big = tensor(&t, DT_I32, "1", L(65536)), a = tensor(&t, DT_F32, "3", L(16777216, 1, 1)),
     ones = tensor(&t, DT_F32, "3", L(1, 1, 1));
  expect(&t, g_dot(g, big, big, (int[]){0}, (int[]){0}, 1, NULL, NULL, 0), "", L(0));
  expect(&t, g_dot(g, a, ones, (int[]){0}, (int[]){0}, 1, NULL, NULL, 0), "", L(16777218));
  ctx_free(&t.ctx);
}

static void leaves(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Sym b = sym_var(t.ctx.syms, str_intern(t.ctx.names, "B"));
  t.b = 3;
  expect(&t, g_iota(g, DT_I64, (Sym[]){S(&t, 2), b}, 2, 1), "23", L(0, 1, 2, 0, 1, 2));
  expect(&t, g_iota(g, DT_F32, (Sym[]){S(&t, 2), b}, 2, 0), "23", L(0, 0, 0, 1, 1, 1));
  expect(&t, g_dim(g, sym_mul(t.ctx.syms, b, b)), "", L(9));
  Draw d = {77, hash_fnv32("net.noise"), 0, 5};
  Id u = g_random(g, "uniform", DT_F32, &b, 1, "net.noise", 0),
     v = g_random(g, "uniform", DT_F64, &b, 1, "net.noise", 0), w = g_random(g, "bits", DT_I32, &b, 1, "net.noise", 0);
  Eval e = {.dims = dims, .dims_ctx = &t, .seed = 77, .call = 5, .arena = t.ctx.arena};
  Tensor r[3];
  assert_true(graph_eval(g, &e, (Id[]){u, v, w}, 3, r));
  for (int k = 0; k < 3; k++) {
    assert_true(tensor_at(&r[0], k).f == philox_uniform(&d, DT_F32, (uint64_t)k));
    assert_true(tensor_at(&r[1], k).f == philox_uniform(&d, DT_F64, (uint64_t)k));
    assert_int_equal(tensor_at(&r[2], k).i, philox_bits(&d, (uint64_t)k));
  }
  e.wide = true; /* the same draw of 24 bits */
  assert_true(graph_eval(g, &e, &u, 1, r));
  assert_int_equal(r[0].dtype, DT_F64);
  assert_true(tensor_at(&r[0], 2).f == philox_uniform(&d, DT_F32, 2));
  ctx_free(&t.ctx);
}

static void bodies(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g, *body = graph_new(&t.ctx, g);
  Sym three = S(&t, 3);
  Id p = g_input(body, DT_F32, &three, 1), k = g_input(body, DT_I64, NULL, 0);
  Id sum = g_reduce(body, OP_REDUCE_SUM, p, (int[]){0}, 1), one = g_gather(body, p, &k, 1, 0);
  vec_push(t.ctx.arena, &body->output, sum);
  vec_push(t.ctx.arena, &body->output, one);
  Id x = counting(&t, DT_F32, "3"), y = g_body(g, OP_COMPOSITE, "pick", body, (Id[]){x, g_const_int(g, DT_I64, 1)}, 2);
  expect(&t, g_get(g, y, 0), "", L(6));
  assert_int_equal(expect(&t, g_get(g, y, 1), "", L(2)).node, 0);
  Id z = g_body(g, OP_CALL, NULL, body, (Id[]){x, g_const_int(g, DT_I64, 9)}, 2);
  assert_int_equal(expect(&t, g_get(g, z, 1), "", L(3)).node, z); /* the outer node, the inner place */
  ctx_free(&t.ctx);
}

/* ---- failures and refusals ---- */
static void first_failure(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Id x = counting(&t, DT_F32, "3"), far = g_const_int(g, DT_I64, 8);
  g->loc = diag_foreign(t.ctx.diag, "m.sir", 4, 2);
  Loc at = g->loc;
  Id first = g_gather(g, x, &far, 1, 0);
  g->loc = diag_foreign(t.ctx.diag, "m.sir", 5, 2);
  Id second = g_dynamic_slice(g, x, &far, (int[]){0}, (Sym[]){S(&t, 1)}, 1), both[] = {second, first};
  Eval e = {.arena = t.ctx.arena};
  Tensor r[2];
  assert_true(graph_eval(g, &e, both, 2, r));
  assert_int_equal(e.fail.node, first);
  assert_int_equal(e.fail.loc, at);
  assert_int_equal(diag_errors(t.ctx.diag), 0);
  ctx_free(&t.ctx);
}

static void refused(Ctx *ctx, const char *id, const char *sentence) {
  const char *got_id, *got = diag_first(ctx->diag, &got_id);
  assert_non_null(got);
  assert_string_equal(got, sentence);
  assert_string_equal(got_id, id);
  diag_reset(ctx->diag);
}

static void refusals(void **state) {
  (void)state;
  T t;
  setup(&t);
  Graph *g = t.g;
  Ctx *c = &t.ctx;
  Sym n = sym_var(c->syms, str_intern(c->names, "N"));
  Id x = g_input(g, DT_F32, &n, 1), cell = g_cell(g, 0, DT_F32, NULL, 0), y = g_iota(g, DT_I32, &n, 1, 0);
  Tensor r, in = tensor_new(c->arena, DT_F64, (int64_t[]){2, 2}, 2);
  Eval e = {.arena = c->arena};
  assert_false(graph_eval(g, &e, &y, 1, &r));
  refused(c, "eval-dimension", "`N` has no value: a dimension in it is not given, or it is beyond 64 bits");
  t.b = 4;
  Sym b = sym_var(c->syms, str_intern(c->names, "B"));
  Id z = g_input(g, DT_F32, &b, 1),
     far = g_iota(g, DT_I32, (Sym[]){sym_mul(c->syms, b, S(&t, INT64_C(1) << 40))}, 1, 0);
  (void)x;
  e = (Eval){.arena = c->arena, .dims = dims, .dims_ctx = &t, .inputs = (Tensor[]){in, in}, .ninputs = 2};
  assert_false(graph_eval(g, &e, &z, 1, &r));
  refused(c, "eval-input", "input 1 needs a value of type f32[B] and gets f64[2, 2]");
  assert_false(graph_eval(g, &e, &cell, 1, &r));
  refused(c, "eval-input", "cell 0 needs a value of type f32[] and gets none");
  assert_false(graph_eval(g, &e, &far, 1, &r));
  refused(c, "eval-shape", "`iota` cannot be evaluated at these dimensions: its shape is negative or too large");
  Id lanes = g_random(g, "uniform", DT_F32, &b, 1, "k", 1);
  assert_false(graph_eval(g, &e, &lanes, 1, &r));
  refused(c, "eval-random", "`random` with lanes is not supported yet");
  Attrs a = {0};
  attr_str(c, &a, "tests/no such file");
  attr_int(&a, 0);
  attr_int(&a, DT_F32);
  attr_syms(&a, &b, 1);
  Id data = graph_node(g, OP_DATA, NULL, 0, &a);
  assert_false(graph_eval(g, &e, &data, 1, &r));
  refused(c, "eval-data", "cannot read 16 bytes of `tests/no such file`");
  Graph *body = graph_new(c, NULL); /* the identity, wrapped again and again */
  Id arg = g_input(body, DT_F32, NULL, 0);
  vec_push(c->arena, &body->output, arg);
  for (int i = 0; i < 201; i++) {
    Graph *outer = graph_new(c, NULL);
    arg = g_input(outer, DT_F32, NULL, 0);
    arg = g_body(outer, OP_CALL, NULL, body, &arg, 1);
    vec_push(c->arena, &outer->output, arg);
    body = outer;
  }
  e = (Eval){.arena = c->arena, .inputs = (Tensor[]){tensor_new(c->arena, DT_F32, NULL, 0)}, .ninputs = 1};
  assert_false(graph_eval(body, &e, body->output.at, 1, &r));
  refused(c, "eval-depth", "bodies nest more than 200 deep");
  ctx_free(c);
}

static void distance(void **state) {
  (void)state;
  Arena *a = arena_new();
  Tensor x = tensor_new(a, DT_F32, (int64_t[]){3}, 1), y = tensor_new(a, DT_F32, (int64_t[]){3}, 1),
         z = tensor_new(a, DT_F32, (int64_t[]){4}, 1);
  const double p[] = {NAN, INFINITY, 1}, q[] = {NAN, INFINITY, 1.5};
  int64_t where;
  for (int k = 0; k < 3; k++) tensor_set(&x, k, (Scalar){.f = p[k]}), tensor_set(&y, k, (Scalar){.f = q[k]});
  assert_true(tensor_distance(&x, &y, &where) == 0.5 && where == 2);
  tensor_set(&y, 1, (Scalar){.f = -INFINITY});
  assert_true(tensor_distance(&x, &y, &where) == INFINITY && where == 1);
  tensor_set(&y, 0, (Scalar){.f = 0});
  assert_true(tensor_distance(&x, &y, &where) == INFINITY && where == 0);
  assert_true(tensor_distance(&x, &z, NULL) == INFINITY);
  assert_true(tensor_largest(&x) == 1);
  arena_free(a);
}

/* ---- calls ---- */
/* entry step(x: f32[B], inout h: f32[B], k: i64[], dim N) -> (sum: f32[], n: f32[N]) where B <= N: the cell `w`
 * (f32[3]) counts up, h becomes h + x * w[k]. */
static Program *program(T *t) {
  Ctx *c = &t->ctx;
  Program *p = ARENA_NEW(c->arena, Program);
  p->ctx = c;
  Cell w = {.name = "w", .kind = CELL_STATE, .dtype = DT_F32, .rank = 1, .shape = {S(t, 3)}};
  Cell r = {
      .name = "r", .kind = CELL_PARAM, .dtype = DT_F32, .rank = 1, .shape = {S(t, 2)}, .init = graph_new(c, NULL)};
  Cell q = {.name = "q", .kind = CELL_PARAM, .dtype = DT_F64, .rank = 0};
  Id start = g_random(r.init, "uniform", DT_F32, r.shape, 1, "r", 0);
  vec_push(c->arena, &r.init->output, start);
  vec_push(c->arena, &p->cells, w);
  vec_push(c->arena, &p->cells, r);
  vec_push(c->arena, &p->cells, q);
  Graph *g = t->g;
  Entry e = {.name = "step", .graph = g, .facts = sym_facts_new(c->arena, c->syms)};
  Sym b = sym_var(c->syms, str_intern(c->names, "B")), n = sym_var(c->syms, str_intern(c->names, "N"));
  Dim db = {b, "B", 1, 8, false}, dn = {n, "N", 1, 16, true};
  vec_push(c->arena, &e.dims, db);
  vec_push(c->arena, &e.dims, dn);
  Check check = {sym_op(c->syms, SYM_LE, b, n), "B <= N", 0};
  vec_push(c->arena, &e.checks, check);
  sym_fact_range(e.facts, str_intern(c->names, "B"), 1, 8);
  g->facts = e.facts;
  Id x = g_input(g, DT_F32, &b, 1), h = g_input(g, DT_F32, &b, 1), k = g_input(g, DT_I64, NULL, 0),
     cell = g_cell(g, 0, DT_F32, w.shape, 1);
  Id next = g_binary(g, OP_ADD, h, g_binary(g, OP_MUL, x, g_gather(g, cell, &k, 1, 0)));
  Port in[] = {{.name = "x", .dtype = DT_F32, .rank = 1, .shape = {b}, .node = x},
               {.name = "h", .dtype = DT_F32, .rank = 1, .shape = {b}, .node = h, .inout = true, .update = next},
               {.name = "k", .dtype = DT_I64, .node = k}};
  Port out[] = {{.name = "sum", .dtype = DT_F32, .node = g_reduce(g, OP_REDUCE_SUM, next, (int[]){0}, 1)},
                {.name = "n", .dtype = DT_F32, .rank = 1, .shape = {n}, .node = g_iota(g, DT_F32, &n, 1, 0)}};
  for (int i = 0; i < 3; i++) vec_push(c->arena, &e.inputs, in[i]);
  for (int i = 0; i < 2; i++) vec_push(c->arena, &e.outputs, out[i]);
  Update u = {0, g_binary(g, OP_ADD, cell, g_const(g, DT_F32, 1)), 0};
  vec_push(c->arena, &e.updates, u);
  vec_push(c->arena, &p->entries, e);
  return p;
}

static Tensor floats(Arena *a, int n, const double *v) {
  Tensor t = tensor_new(a, DT_F32, (int64_t[]){n}, 1);
  for (int k = 0; k < n; k++) tensor_set(&t, k, (Scalar){.f = v[k]});
  return t;
}

static void calls(void **state) {
  (void)state;
  T t;
  setup(&t);
  Arena *a = t.ctx.arena;
  Program *p = program(&t);
  const Entry *e = &p->entries.at[0];
  Tensor cells[3], out[2], inouts[3], k = tensor_new(a, DT_I64, NULL, 0);
  assert_true(cells_start(p, 9, a, cells));
  assert_true(tensor_at(&cells[0], 2).f == 0);
  Draw d = {9, hash_fnv32("r"), 0, 0};
  assert_true(tensor_at(&cells[1], 1).f == philox_uniform(&d, DT_F32, 1));
  assert_null(cells[2].data);
  assert_int_equal(cells[2].dtype, DT_F64);

  NamedTensor in[] = {{"k", k}, {"h", floats(a, 2, L(10, 20))}, {"x", floats(a, 2, L(1, 2))}, {"y", k}};
  NamedDim n[] = {{"N", 3}};
  EntryCall call = {
      .inputs = in, .ninputs = 3, .dims = n, .ndims = 1, .cells = cells, .arena = a, .outputs = out, .inouts = inouts};
  assert_true(entry_eval(p, e, &call));
  assert_true(tensor_at(&out[0], 0).f == 30 && out[1].dim[0] == 3);
  assert_true(tensor_at(&cells[0], 1).f == 1);
  assert_null(inouts[0].data);
  in[1].value = inouts[1];
  assert_true(entry_eval(p, e, &call)); /* now w is 1 */
  assert_true(tensor_at(&out[0], 0).f == 33 && tensor_at(&inouts[1], 1).f == 22 && tensor_at(&cells[0], 0).f == 2);

  tensor_set(&k, 0, (Scalar){.i = 3}); /* out of range: nothing is stored */
  assert_false(entry_eval(p, e, &call));
  assert_int_not_equal(call.fail.node, 0);
  assert_int_equal(diag_errors(t.ctx.diag), 0);
  assert_true(tensor_at(&out[0], 0).f == 33 && tensor_at(&cells[0], 0).f == 2 && tensor_at(&inouts[1], 1).f == 22);
  tensor_set(&k, 0, (Scalar){.i = 0});

  call.wide = true; /* all floats f64, f32 values still taken */
  EntryCall wide = call;
  Tensor copies[3] = {cells[0], cells[1], cells[2]};
  wide.cells = copies;
  assert_true(entry_eval(p, e, &wide));
  assert_int_equal(out[0].dtype, DT_F64);
  assert_int_equal(copies[0].dtype, DT_F64);
  assert_true(tensor_at(&copies[0], 0).f == 3);
  assert_true(entry_eval(p, e, &wide));
  call.wide = false;

  call.ninputs = 2;
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-input", "`step` needs a value for `x`");
  call.ninputs = 4;
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-input", "`step` has no input `y`");
  call.ninputs = 3;
  in[2].value = floats(a, 3, L(1, 2, 3));
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-shape", "`h` is f32[B], but the value given is f32[2]");
  in[2].value = k;
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-shape", "`x` is f32[B], but the value given is i64[]");
  in[2].value = floats(a, 2, L(1, 2));
  n[0].value = 1;
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-fact", "`B <= N` does not hold for these dimensions");
  n[0].value = 17;
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-bound", "the dimension `N` of `step` is 17, it is to be 1 to 16");
  call.ndims = 0;
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-dimension", "`step` needs a value for its dimension `N`");
  p->entries.at[0].dims.at[1].given = false;
  assert_false(entry_eval(p, e, &call));
  refused(&t.ctx, "call-dimension", "no input of `step` has the dimension `N` as a size of its own; say `dim N`");

  Graph *init = graph_new(&t.ctx, NULL);
  Id far = g_const_int(init, DT_I64, 9),
     bad = g_gather(init, g_full(init, DT_F32, 0, p->cells.at[0].shape, 1), &far, 1, 0);
  vec_push(a, &init->output, bad);
  p->cells.at[2].init = init;
  assert_false(cells_start(p, 9, a, cells));
  refused(&t.ctx, "cell-start", "the start value of `q` fails: an index in it is out of range");
  ctx_free(&t.ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(elements),      cmocka_unit_test(loop_scalars), cmocka_unit_test(moves),
      cmocka_unit_test(pads),          cmocka_unit_test(indexing),     cmocka_unit_test(reductions),
      cmocka_unit_test(products),      cmocka_unit_test(leaves),       cmocka_unit_test(bodies),
      cmocka_unit_test(first_failure), cmocka_unit_test(refusals),     cmocka_unit_test(distance),
      cmocka_unit_test(calls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
