#include "library.h"

/* A uniform draw in [0, 1), keyed by where it stands, of f32 for 16 bits. kind tells several draws of one call apart.
 */
static bool draw(Tracer *t, const char *kind, Value shape, DType d, Id *out) {
  Sym sizes[MAX_RANK];
  int rank;
  const char *key;
  TRY(lib_dtype(t, d));
  if (!dtype_is_float(d))
    return trace_fault(t, "sir-dtype", "random numbers of %s; draw floats, or `random.randint`", dtype_name(d));
  TRY(lib_shape(t, shape, "the shape of random numbers", sizes, &rank));
  TRY(trace_random_key(t, kind, &key));
  *out = g_random(t->g, "uniform", dtype_computed(d), sizes, rank, key, 0);
  return *out != 0;
}

bool lib_random_uniform(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id u;
  double low, high;
  DType d = a->at[3].u.dtype;
  Value span;
  TRY(draw(t, "uniform", a->at[0], d, &u));
  *out = value_node(t->g, u);
  if (!lib_number(a->at[1], &low) || !lib_number(a->at[2], &high) || low != 0 || high != 1) {
    TRY(trace_binary(t, SIR_SUB, a->at[2], a->at[1], &span));
    TRY(trace_binary(t, SIR_MUL, *out, span, out));
    TRY(trace_binary(t, SIR_ADD, *out, a->at[1], out));
    TRY(trace_tensor(t, *out, DT_NONE, &u));
  }
  return trace_node(t, g_convert(t->g, d, u), out);
}

bool lib_random_normal(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id u, v; /* Box and Muller: sqrt(-2 log(1 - u)) cos(2 pi v), where 1 - u is never 0 */
  DType result = a->at[1].u.dtype, d = dtype_computed(result);
  Graph *g = t->g;
  TRY(draw(t, "normal", a->at[0], d, &u));
  TRY(draw(t, "normal_angle", a->at[0], d, &v));
  Id r = g_unary(g, OP_LOG, g_binary(g, OP_SUB, g_const(g, d, 1), u));
  r = g_unary(g, OP_SQRT, g_binary(g, OP_MUL, r, g_const(g, d, -2)));
  Id c = g_unary(g, OP_COS, g_binary(g, OP_MUL, v, g_const(g, d, 6.283185307179586)));
  return trace_node(t, g_convert(g, result, g_binary(g, OP_MUL, r, c)), out);
}

bool lib_random_bernoulli(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id u;
  double p;
  if (lib_number(a->at[0], &p) && !(p >= 0 && p <= 1))
    return trace_fault(t, "sir-probability", "a probability is from 0 to 1, not %s", value_text(t, a->at[0]));
  TRY(draw(t, "bernoulli", a->at[1], DT_F32, &u));
  return trace_binary(t, SIR_LT, value_node(t->g, u), a->at[0], out);
}

/* A bound of randint, an i64 value, as one that multiplies with f64. */
static bool wide(Tracer *t, Value v, Value *out) {
  Id x;
  TRY(trace_tensor(t, v, DT_NONE, &x));
  if (!dtype_is_int(graph_dtype(t->g, x)))
    return trace_fault(t, "sir-dtype", "the bounds of randint are integers, not %s", value_describe(t, v));
  return trace_node(t, g_convert(t->g, DT_F64, x), out);
}

bool lib_random_randint(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id u, i;
  Value span;
  TRY(trace_binary(t, SIR_SUB, a->at[1], a->at[0], &span));
  if (span.kind == VAL_INT && span.u.i < 1)
    return trace_fault(t, "sir-randint", "randint from %s to below %s has no number to give", value_text(t, a->at[0]),
                       value_text(t, a->at[1]));
  TRY(wide(t, span, &span));
  TRY(draw(t, "randint", a->at[2], DT_F64, &u));
  TRY(trace_binary(t, SIR_MUL, value_node(t->g, u), span, out));
  TRY(trace_tensor(t, *out, DT_NONE, &i));
  TRY(trace_node(t, g_convert(t->g, DT_I64, i), out)); /* truncates, and the product is not negative */
  return trace_binary(t, SIR_ADD, *out, a->at[0], out);
}

bool lib_random_categorical(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x, u;
  Sym shape[MAX_RANK];
  int k;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  if (a->at[1].kind != VAL_INT)
    return trace_fault(t, "sir-static-int", "the axis is %s; it has to be known while tracing",
                       value_describe(t, a->at[1]));
  TRY(lib_axis(t, x, a->at[1].u.i, &k));
  int rank = lib_dims(t, x, shape);
  TRY(draw(t, "categorical", value_shape(t, shape, rank), graph_dtype(t->g, x), &u));
  Graph *g = t->g; /* the largest of logits + Gumbel noise */
  x = g_convert(g, dtype_computed(graph_dtype(g, x)), x);
  Id noise = g_unary(g, OP_LOG, g_unary(g, OP_NEG, g_unary(g, OP_LOG, u)));
  return trace_node(t, g_arg(g, OP_ARGMAX, g_binary(g, OP_SUB, x, noise), k), out);
}
