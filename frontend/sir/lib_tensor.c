#include "library.h"
#include <math.h>
#include <string.h>

/* ---- arguments ---- */
int lib_dims(Tracer *t, Id x, Sym *shape) {
  int rank = graph_rank(t->g, x);
  for (int i = 0; i < rank; i++) shape[i] = graph_shape(t->g, x)[i];
  return rank;
}

const char *lib_shape_text(Tracer *t, const Sym *shape, int rank) {
  const char *s = graph_shape_text(t->ctx, DT_F32, shape, rank);
  return s + strlen(dtype_name(DT_F32));
}

bool lib_dtype(Tracer *t, DType d) {
  return dtype_in_graph(d) || trace_later(t, trace_printf(t, "the dtype %s", dtype_name(d)));
}

bool lib_number(Value v, double *x) {
  *x = v.kind == VAL_INT ? (double)v.u.i : v.u.f;
  return value_is_number(v);
}

static bool fits(Tracer *t, const Sym *shape, int rank, const char *what) {
  if (sym_overflowed(t->syms, sym_product(t->syms, shape, rank)))
    return trace_fault(t, "sir-size", "%s %s has more elements than 64 bits count", what,
                       lib_shape_text(t, shape, rank));
  return true;
}

bool lib_shape(Tracer *t, Value list, const char *what, Sym *shape, int *rank) {
  if (list.kind != VAL_LIST && list.kind != VAL_TUPLE)
    return trace_fault(t, "sir-shape-list", "%s is a list like [3, 4], not %s", what, value_describe(t, list));
  if (list.n > MAX_RANK)
    return trace_fault(t, "sir-rank", "%s has %u axes; a tensor has at most %d", what, list.n, MAX_RANK);
  for (uint32_t i = 0; i < list.n; i++) {
    Value v = list.u.at[i];
    if (!(shape[i] = value_as_sym(t, v)))
      return trace_fault(t, "sir-shape-list", "%s is a list of ints, not of %s", what, value_describe(t, v));
    if (!sym_nonneg(t->facts, shape[i])) {
      if (v.kind == VAL_INT) return trace_fault(t, "sir-size", "%s has the size %s", what, value_text(t, v));
      if (trace_decide(t, SIR_GE, shape[i], sym_int(t->syms, 0)) == 0 || !t->entry)
        return trace_fault(t, "sir-size", "%s has the size %s, which is negative", what, value_text(t, v));
      trace_require(t, sym_op(t->syms, SYM_LE, sym_int(t->syms, 0), shape[i]),
                    trace_printf(t, "the size %s is negative", value_text(t, v)));
    }
  }
  *rank = (int)list.n;
  return fits(t, shape, *rank, what);
}

bool lib_axis(Tracer *t, Id x, int64_t axis, int *k) {
  int rank = graph_rank(t->g, x);
  if (axis < -rank || axis >= rank)
    return trace_fault(t, "sir-axis", "%s has no axis %lld", graph_type(t->g, x), (long long)axis);
  *k = (int)(axis < 0 ? axis + rank : axis);
  return true;
}

bool lib_axes(Tracer *t, Id x, Value axis, int *axes, int *n) {
  int rank = graph_rank(t->g, x);
  bool seen[MAX_RANK] = {false};
  Value one[1] = {axis};
  const Value *at = one;
  uint32_t count = 1;
  if (axis.kind == VAL_NONE) {
    memset(seen, true, sizeof seen);
    count = 0;
  } else if (axis.kind == VAL_LIST || axis.kind == VAL_TUPLE) {
    at = axis.u.at;
    count = axis.n;
  }
  for (uint32_t i = 0; i < count; i++) {
    int k;
    if (at[i].kind == VAL_DIM)
      return trace_fault(t, "sir-static-int", "the axis is %s; it has to be known while tracing",
                         value_describe(t, at[i]));
    if (at[i].kind != VAL_INT)
      return trace_fault(t, "sir-axis", "the axis is an int, not %s", value_describe(t, at[i]));
    TRY(lib_axis(t, x, at[i].u.i, &k));
    if (seen[k]) return trace_fault(t, "sir-axis", "axis %d of %s is given twice", k, graph_type(t->g, x));
    seen[k] = true;
  }
  *n = 0;
  for (int k = 0; k < rank; k++)
    if (seen[k]) axes[(*n)++] = k;
  return true;
}

/* Parameter of a builtin that is declared `int` but has to be known while tracing. */
static bool known_int(Tracer *t, Value v, const char *what, int64_t *i) {
  if (v.kind != VAL_INT)
    return trace_fault(t, "sir-static-int", "%s is %s; it has to be known while tracing", what, value_describe(t, v));
  *i = v.u.i;
  return true;
}

static bool axis_arg(Tracer *t, Id x, Value v, int *k) {
  int64_t i;
  TRY(known_int(t, v, "the axis", &i));
  return lib_axis(t, x, i, k);
}

static Sym size_one(Tracer *t) { return sym_int(t->syms, 1); }

bool lib_later(Tracer *t, const BuiltinArgs *a, Value *out) {
  (void)out;
  return trace_later(t, trace_printf(t, "`%s`", a->builtin->name));
}

/* ---- element by element ---- */
static bool static_unary(Tracer *t, Op op, Value v, Value *out) {
  double x, r = NAN;
  (void)lib_number(v, &x);
  bool integer = v.kind == VAL_INT;
  switch (op) {
  case OP_IS_NAN: *out = value_bool(isnan(x)); return true;
  case OP_IS_INF: *out = value_bool(isinf(x)); return true;
  case OP_IS_FINITE: *out = value_bool(isfinite(x)); return true;
  case OP_SIGN:
    *out = integer ? value_int((x > 0) - (x < 0)) : value_float(isnan(x) ? x : (double)((x > 0) - (x < 0)));
    return true;
  case OP_ABS:
    if (integer && v.u.i == INT64_MIN)
      return trace_fault(t, "sir-undefined", "abs(%s) leaves the 64 bits of an int", value_text(t, v));
    *out = integer ? value_int(v.u.i < 0 ? -v.u.i : v.u.i) : value_float(fabs(x));
    return true;
  case OP_STOP_GRADIENT: *out = v; return true;
  case OP_FLOOR:
  case OP_CEIL:
  case OP_ROUND:
  case OP_TRUNC:
    *out = v;
    if (integer) return true;
    r = op == OP_FLOOR ? floor(x) : op == OP_CEIL ? ceil(x) : op == OP_ROUND ? nearbyint(x) : trunc(x);
    if (!(fabs(r) < 9.2e18))
      return trace_fault(t, "sir-undefined", "%s(%s) is not defined", OP_INFO[op].text, value_text(t, v));
    *out = value_int((int64_t)r);
    return true;
  case OP_EXP: r = exp(x); break;
  case OP_EXPM1: r = expm1(x); break;
  case OP_LOG: r = log(x); break;
  case OP_LOG1P: r = log1p(x); break;
  case OP_SQRT: r = sqrt(x); break;
  case OP_RSQRT: r = 1 / sqrt(x); break;
  case OP_SIN: r = sin(x); break;
  case OP_COS: r = cos(x); break;
  case OP_TANH: r = tanh(x); break;
  case OP_SIGMOID: r = 1 / (1 + exp(-x)); break;
  case OP_ERF: r = erf(x); break;
  default: BUG("no static %s", OP_INFO[op].text);
  }
  if (!isfinite(r) && isfinite(x))
    return trace_fault(t, "sir-undefined", "%s(%s) is not defined", OP_INFO[op].text, value_text(t, v));
  *out = value_float(r);
  return true;
}

bool lib_unary(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value x = a->at[0];
  Op op = (Op)a->builtin->op;
  if (value_is_number(x)) return static_unary(t, op, x, out);
  if (x.kind == VAL_DIM) { /* a float of dimensions */
    Id w;
    TRY(trace_weak(t, x, &w));
    x = value_weak(t->g, w);
  }
  return trace_ew(t, op, &x, 1, NULL, out);
}

static bool stop_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  (void)ctx;
  (void)n;
  Value v;
  TRY(trace_now(t, *leaf, &v));
  *out = v;
  if (v.kind != VAL_TENSOR && v.kind != VAL_WEAK) return true;
  Id x = trace_lift(t, v);
  if (!x || !dtype_is_float(graph_dtype(t->g, x)) || v.kind == VAL_WEAK) return x != 0;
  return trace_node(t, g_unary(t->g, OP_STOP_GRADIENT, x), out);
}

bool lib_stop_gradient(Tracer *t, const BuiltinArgs *a, Value *out) {
  return tree_map(t, stop_leaf, NULL, &a->at[0], 1, out);
}

bool lib_pair(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value x = a->at[0], y = a->at[1];
  bool larger = a->builtin->op == OP_MAXIMUM;
  if (value_is_number(x) && value_is_number(y)) {
    double p, q;
    (void)lib_number(x, &p);
    (void)lib_number(y, &q);
    bool first = x.kind == VAL_INT && y.kind == VAL_INT ? (larger ? x.u.i >= y.u.i : x.u.i <= y.u.i)
                                                        : isnan(p) || (!isnan(q) && (larger ? p >= q : p <= q));
    *out = first ? x : y;
    return true;
  }
  if (value_is_size(x) && value_is_size(y)) {
    *out = value_sym(t, sym_op(t->syms, larger ? SYM_MAX : SYM_MIN, value_as_sym(t, x), value_as_sym(t, y)));
    return true;
  }
  return trace_ew(t, (Op)a->builtin->op, a->at, 2, NULL, out);
}

bool lib_where(Tracer *t, const BuiltinArgs *a, Value *out) {
  if (a->at[0].kind == VAL_BOOL) {
    *out = a->at[a->at[0].u.b ? 1 : 2];
    return true;
  }
  return trace_ew(t, OP_SELECT, a->at, 3, "where", out);
}

bool lib_to(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  DType d = a->at[1].u.dtype;
  TRY(lib_dtype(t, d));
  if (a->at[0].kind == VAL_WEAK && dtype_is_float(d)) {
    TRY(trace_tensor(t, a->at[0], d, &x));
  } else {
    TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  }
  return trace_node(t, g_convert(t->g, d, x), out);
}

/* ---- reductions ---- */
static bool keep_axes(Tracer *t, Id v, Sym *shape, int rank, const int *axes, int n, Value *out) {
  for (int i = 0; i < n; i++) shape[axes[i]] = size_one(t);
  return trace_node(t, g_reshape(t->g, v, shape, rank), out);
}

bool lib_reduce(Tracer *t, const BuiltinArgs *a, Value *out) {
  const char *name = a->builtin->name;
  Op op = (Op)a->builtin->op;
  if (value_is_node(a->at[1])) {
    if (op == OP_REDUCE_MAX || op == OP_REDUCE_MIN)
      return trace_fault(t, "sir-max-of-two",
                         "the second argument of %s is the axis; the %s of two tensors is `%simum(a, b)`", name,
                         op == OP_REDUCE_MAX ? "larger" : "smaller", name);
    return trace_fault(t, "sir-axis", "the axis of %s is an int, not %s", name, value_describe(t, a->at[1]));
  }
  Id x;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  DType d = graph_dtype(t->g, x);
  if ((op == OP_REDUCE_ANY || op == OP_REDUCE_ALL) != (d == DT_BOOL)) {
    if (d == DT_BOOL) return trace_fault(t, "sir-dtype", "%s of %s; write `.to(i64)`", name, graph_type(t->g, x));
    return trace_fault(t, "sir-dtype", "%s of %s, not bool", name, graph_type(t->g, x));
  }
  int axes[MAX_RANK], n;
  Sym shape[MAX_RANK];
  TRY(lib_axes(t, x, a->at[1], axes, &n));
  int rank = lib_dims(t, x, shape);
  Id v = g_reduce(t->g, op, x, axes, n);
  if (!v || !a->at[2].u.b) return trace_node(t, v, out);
  return keep_axes(t, v, shape, rank, axes, n, out);
}

bool lib_count(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int axes[MAX_RANK], n;
  Sym sizes[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(lib_axes(t, x, a->at[1], axes, &n));
  for (int i = 0; i < n; i++) sizes[i] = graph_shape(t->g, x)[axes[i]];
  *out = value_sym(t, sym_product(t->syms, sizes, n));
  return true;
}

bool lib_arg(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int k = 0;
  Sym shape[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  if (graph_dtype(t->g, x) == DT_BOOL)
    return trace_fault(t, "sir-dtype", "%s of %s; write `.to(i64)`", a->builtin->name, graph_type(t->g, x));
  if (a->at[1].kind == VAL_NONE) { /* of all elements in one row */
    int rank = lib_dims(t, x, shape);
    Sym all = sym_product(t->syms, shape, rank);
    x = g_reshape(t->g, x, &all, 1);
  } else {
    TRY(axis_arg(t, x, a->at[1], &k));
  }
  return trace_node(t, x ? g_arg(t->g, (Op)a->builtin->op, x, k) : 0, out);
}

/* ---- shape ---- */
bool lib_reshape(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  Value list = a->at[1];
  if (value_is_size(list))
    return trace_fault(t, "sir-shape-list", "the shape of reshape is a list: reshape(x, [%s, ...])",
                       value_text(t, list));
  Sym shape[MAX_RANK], old[MAX_RANK];
  int rank, open = -1, nold = lib_dims(t, x, old);
  Value sizes[MAX_RANK];
  if ((list.kind == VAL_LIST || list.kind == VAL_TUPLE) && list.n <= MAX_RANK) {
    for (uint32_t i = 0; i < list.n; i++) {
      sizes[i] = list.u.at[i];
      if (sizes[i].kind != VAL_INT || sizes[i].u.i != -1) continue;
      if (open >= 0) return trace_fault(t, "sir-reshape", "the shape of reshape has one -1 at most");
      open = (int)i;
      sizes[i] = value_int(1);
    }
    list = value_list(sizes, list.n);
  }
  TRY(lib_shape(t, list, "the shape of reshape", shape, &rank));
  Sym total = sym_product(t->syms, old, nold), rest = sym_product(t->syms, shape, rank);
  const char *from = graph_type(t->g, x);
  if (open >= 0) {
    int64_t zero;
    Sym k = sym_is_int(t->syms, rest, &zero) && !zero ? 0 : sym_divided(t->facts, total, rest);
    if (!k)
      return trace_fault(t, "sir-reshape", "reshape of %s to %s: %s does not divide by %s", from,
                         value_text(t, a->at[1]), value_text(t, value_sym(t, total)),
                         value_text(t, value_sym(t, rest)));
    shape[open] = k;
  } else if (!trace_equal_dims(t, total, rest)) {
    return trace_fault(t, "sir-reshape", "reshape of %s, %s elements, to %s, %s", from,
                       value_text(t, value_sym(t, total)), lib_shape_text(t, shape, rank),
                       value_text(t, value_sym(t, rest)));
  }
  return trace_node(t, g_reshape(t->g, x, shape, rank), out);
}

bool lib_transpose(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int p, q, order[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(axis_arg(t, x, a->at[1], &p));
  TRY(axis_arg(t, x, a->at[2], &q));
  for (int i = 0; i < MAX_RANK; i++) order[i] = i == p ? q : i == q ? p : i;
  return trace_node(t, g_transpose(t->g, x, order), out);
}

bool lib_permute(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int order[MAX_RANK], n = 0;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  Value axes = a->at[1];
  TRY(lib_axes(t, x, axes, order, &n)); /* each once */
  if ((axes.kind != VAL_LIST && axes.kind != VAL_TUPLE) || n != graph_rank(t->g, x))
    return trace_fault(t, "sir-axis", "permute of %s takes the list of its %d axes in their new order",
                       graph_type(t->g, x), graph_rank(t->g, x));
  for (uint32_t i = 0; i < axes.n; i++) TRY(lib_axis(t, x, axes.u.at[i].u.i, &order[i]));
  return trace_node(t, g_transpose(t->g, x, order), out);
}

bool lib_squeeze(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int axes[MAX_RANK], n, left = 0;
  Sym shape[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(lib_axes(t, x, a->at[1], axes, &n));
  int rank = lib_dims(t, x, shape);
  for (int i = 0, k = 0; i < rank; i++) {
    if (k < n && axes[k] == i) {
      k++;
      if (!trace_equal_dims(t, shape[i], size_one(t)))
        return trace_fault(t, "sir-squeeze", "squeeze of axis %d of %s: its size is not 1", i, graph_type(t->g, x));
    } else {
      shape[left++] = shape[i];
    }
  }
  return trace_node(t, g_reshape(t->g, x, shape, left), out);
}

/* v in a shape as arithmetic would broadcast it, or a fault that begins with `what`. */
static bool spread_to(Tracer *t, Id v, const Sym *shape, int rank, const char *what, Id *out) {
  Sym have[MAX_RANK];
  int n = lib_dims(t, v, have);
  bool good = n <= rank;
  for (int i = 0; i < n && good; i++)
    good = have[i] == size_one(t) || trace_equal_dims(t, have[i], shape[rank - n + i]);
  if (!good)
    return trace_fault(t, "sir-expand",
                       "%s of %s to %s: axes are matched from the last one, and only a size of 1 is repeated", what,
                       graph_type(t->g, v), lib_shape_text(t, shape, rank));
  return (*out = trace_spread(t, v, shape, rank)) != 0;
}

bool lib_expand(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  Sym shape[MAX_RANK];
  int rank;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(lib_shape(t, a->at[1], "the shape of expand", shape, &rank));
  TRY(spread_to(t, x, shape, rank, "expand", &x));
  return trace_node(t, x, out);
}

/* The elements of a list as nodes of one dtype: numbers among them take that of the first tensor. */
static bool nodes_of(Tracer *t, Value xs, const char *name, Id **out) {
  if (xs.kind != VAL_LIST && xs.kind != VAL_TUPLE)
    return trace_fault(t, "sir-list", "%s takes a list of tensors, not %s", name, value_describe(t, xs));
  if (!xs.n) return trace_fault(t, "sir-list", "%s of an empty list", name);
  DType want = DT_NONE;
  Id *at = ARENA_ARRAY(t->arena, Id, xs.n);
  for (uint32_t i = 0; i < xs.n; i++)
    if (value_is_node(xs.u.at[i]) && xs.u.at[i].kind != VAL_WEAK) {
      TRY(trace_tensor(t, xs.u.at[i], DT_NONE, &at[i]));
      want = want ? want : graph_dtype(t->g, at[i]);
    }
  for (uint32_t i = 0; i < xs.n; i++)
    if (!at[i]) TRY(trace_tensor(t, xs.u.at[i], want, &at[i]));
  *out = at;
  return true;
}

/* Same dtype, rank, and sizes but along axis k. */
static bool alike(Tracer *t, Id x, Id y, int k) {
  int rank = graph_rank(t->g, x);
  if (graph_dtype(t->g, x) != graph_dtype(t->g, y) || rank != graph_rank(t->g, y)) return false;
  for (int i = 0; i < rank; i++)
    if (i != k && !trace_equal_dims(t, graph_shape(t->g, x)[i], graph_shape(t->g, y)[i])) return false;
  return true;
}

static bool joined(Tracer *t, const char *name, const Id *xs, uint32_t n, int k, Value *out) {
  for (uint32_t i = 1; i < n; i++)
    if (!alike(t, xs[0], xs[i], k))
      return trace_fault(t, "sir-concat", "%s along axis %d of %s and %s", name, k, graph_type(t->g, xs[0]),
                         graph_type(t->g, xs[i]));
  return trace_node(t, n == 1 ? xs[0] : g_concat(t->g, xs, (int)n, k), out);
}

bool lib_concat(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id *xs;
  int k;
  TRY(nodes_of(t, a->at[0], "concat", &xs));
  TRY(axis_arg(t, xs[0], a->at[1], &k));
  return joined(t, "concat", xs, a->at[0].n, k, out);
}

bool lib_stack(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id *xs;
  int64_t axis;
  TRY(nodes_of(t, a->at[0], "stack", &xs));
  TRY(known_int(t, a->at[1], "the axis", &axis));
  int rank = graph_rank(t->g, xs[0]);
  if (axis < -rank - 1 || axis > rank || rank == MAX_RANK)
    return trace_fault(t, "sir-axis", "stack of %s along a new axis %lld", graph_type(t->g, xs[0]), (long long)axis);
  int k = (int)(axis < 0 ? axis + rank + 1 : axis);
  uint32_t n = a->at[0].n;
  for (uint32_t i = 1; i < n; i++)
    if (!alike(t, xs[0], xs[i], -1))
      return trace_fault(t, "sir-concat", "stack of %s and %s", graph_type(t->g, xs[0]), graph_type(t->g, xs[i]));
  for (uint32_t i = 0; i < n; i++) {
    Sym shape[MAX_RANK];
    (void)lib_dims(t, xs[i], shape);
    memmove(shape + k + 1, shape + k, sizeof *shape * (size_t)(rank - k));
    shape[k] = size_one(t);
    TRY((xs[i] = g_reshape(t->g, xs[i], shape, rank + 1)));
  }
  return joined(t, "stack", xs, n, k, out);
}

/* x[from:to] along one axis through the rules of indexing; ends are values. */
static bool slice_values(Tracer *t, Id x, Value from, Value to, int axis, Value *out) {
  IndexItem item[MAX_RANK];
  for (int i = 0; i <= axis; i++) item[i] = (IndexItem){.kind = ITEM_SLICE};
  item[axis].from = from;
  item[axis].to = to;
  return lib_index(t, x, item, axis + 1, out);
}

bool lib_slice_axis(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int k;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(axis_arg(t, x, a->at[3], &k));
  return slice_values(t, x, a->at[1], a->at[2], k, out);
}

/* Parts of these sizes, one after the other along axis k. */
static bool parts(Tracer *t, Id x, const Sym *sizes, uint32_t n, int k, Value *out) {
  Value *at = ARENA_ARRAY(t->arena, Value, n + 1);
  Sym from = sym_int(t->syms, 0);
  for (uint32_t i = 0; i < n; i++) {
    Sym to = sym_add(t->syms, from, sizes[i]);
    TRY(slice_values(t, x, value_sym(t, from), value_sym(t, to), k, &at[i]));
    from = to;
  }
  *out = value_list(at, n);
  return true;
}

bool lib_chunk(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int k;
  int64_t n;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(known_int(t, a->at[1], "the number of parts", &n));
  TRY(axis_arg(t, x, a->at[2], &k));
  Sym size = n < 1 || n > 65536 ? 0 : sym_divided(t->facts, graph_shape(t->g, x)[k], sym_int(t->syms, n));
  if (!size)
    return trace_fault(t, "sir-chunk", "chunk of axis %d of %s into %lld equal parts", k, graph_type(t->g, x),
                       (long long)n);
  Sym *sizes = ARENA_ARRAY(t->arena, Sym, n);
  for (int64_t i = 0; i < n; i++) sizes[i] = size;
  return parts(t, x, sizes, (uint32_t)n, k, out);
}

bool lib_split(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int k;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(axis_arg(t, x, a->at[2], &k));
  Value list = a->at[1];
  if (value_is_size(list))
    return trace_fault(t, "sir-split", "split takes the list of sizes; equal parts are `chunk(x, n)`");
  if (list.kind != VAL_LIST && list.kind != VAL_TUPLE)
    return trace_fault(t, "sir-split", "split takes the list of sizes, not %s", value_describe(t, list));
  Sym *sizes = ARENA_ARRAY(t->arena, Sym, list.n + 1), sum = sym_int(t->syms, 0);
  for (uint32_t i = 0; i < list.n; i++) {
    if (!(sizes[i] = value_as_sym(t, list.u.at[i])) || !sym_nonneg(t->facts, sizes[i]))
      return trace_fault(t, "sir-split", "a size of split is an int of at least 0, not %s",
                         value_describe(t, list.u.at[i]));
    sum = sym_add(t->syms, sum, sizes[i]);
  }
  Sym have = graph_shape(t->g, x)[k];
  if (!trace_equal_dims(t, sum, have))
    return trace_fault(t, "sir-split", "the sizes of split add up to %s, axis %d of %s has %s",
                       value_text(t, value_sym(t, sum)), k, graph_type(t->g, x), value_text(t, value_sym(t, have)));
  return parts(t, x, sizes, list.n, k, out);
}

bool lib_flip(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int axes[MAX_RANK], n;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(lib_axes(t, x, a->at[1], axes, &n));
  return trace_node(t, g_reverse(t->g, x, axes, n), out);
}

bool lib_pad(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  int k;
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(axis_arg(t, x, a->at[3], &k));
  Sym lo[MAX_RANK], hi[MAX_RANK], zero = sym_int(t->syms, 0);
  int64_t interior[MAX_RANK] = {0};
  for (int i = 0; i < MAX_RANK; i++) lo[i] = hi[i] = zero;
  lo[k] = value_as_sym(t, a->at[1]);
  hi[k] = value_as_sym(t, a->at[2]);
  Sym size = sym_add(t->syms, graph_shape(t->g, x)[k], sym_add(t->syms, lo[k], hi[k]));
  if (!sym_nonneg(t->facts, size))
    return trace_fault(t, "sir-pad", "pad of axis %d of %s by %s and %s leaves %s", k, graph_type(t->g, x),
                       value_text(t, a->at[1]), value_text(t, a->at[2]), value_text(t, value_sym(t, size)));
  return trace_node(t, g_pad(t->g, x, lo, hi, interior), out);
}

static bool integer_tensor(Tracer *t, Value v, const char *what, Id *out) {
  TRY(trace_tensor(t, v, DT_NONE, out));
  if (!dtype_is_int(graph_dtype(t->g, *out)))
    return trace_fault(t, "sir-index", "%s is an integer tensor, not %s", what, graph_type(t->g, *out));
  *out = g_convert(t->g, DT_I64, *out);
  return *out != 0;
}

bool lib_take(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x, i, index[MAX_RANK];
  int k;
  Sym shape[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(integer_tensor(t, a->at[1], "the second argument of take", &i));
  TRY(axis_arg(t, x, a->at[2], &k));
  bool good = graph_rank(t->g, i) == graph_rank(t->g, x);
  int rank = lib_dims(t, i, shape);
  for (int j = 0; j < rank && good; j++) good = j == k || trace_equal_dims(t, shape[j], graph_shape(t->g, x)[j]);
  if (!good)
    return trace_fault(t, "sir-take",
                       "take from %s by %s along axis %d: the other axes are the same; x[i] gathers whole rows",
                       graph_type(t->g, x), graph_type(t->g, i), k);
  for (int j = 0; j < rank; j++) TRY((index[j] = j == k ? i : g_iota(t->g, DT_I64, shape, rank, j)));
  return trace_node(t, g_gather(t->g, x, index, rank, 0), out);
}

bool lib_set(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x, v, at;
  int k;
  Sym shape[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(trace_tensor(t, a->at[1], graph_dtype(t->g, x), &v));
  TRY(axis_arg(t, x, a->at[3], &k));
  TRY(integer_tensor(t, a->at[2], "the position of set", &at));
  int rank = lib_dims(t, v, shape);
  if (rank == graph_rank(t->g, x) - 1) {
    memmove(shape + k + 1, shape + k, sizeof *shape * (size_t)(rank - k));
    shape[k] = size_one(t);
    TRY((v = g_reshape(t->g, v, shape, rank + 1)));
  }
  if (!alike(t, x, v, k) || graph_rank(t->g, at))
    return trace_fault(t, "sir-set", "set of %s into %s along axis %d at %s", graph_type(t->g, v), graph_type(t->g, x),
                       k, graph_type(t->g, at));
  return trace_node(t, g_dynamic_update(t->g, x, &at, &k, 1, v), out);
}

bool lib_index_add(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x, i, v;
  int k;
  Sym want[MAX_RANK], index[MAX_RANK], have[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(integer_tensor(t, a->at[1], "the second argument of index_add", &i));
  TRY(trace_tensor(t, a->at[2], graph_dtype(t->g, x), &v));
  TRY(axis_arg(t, x, a->at[3], &k));
  int ni = lib_dims(t, i, index), nx = lib_dims(t, x, have), n = nx - 1 + ni;
  bool good = ni == 1 && graph_dtype(t->g, v) == graph_dtype(t->g, x) && graph_rank(t->g, v) == n;
  if (good) {
    memcpy(want, have, sizeof want);
    want[k] = index[0];
    good = trace_same_shape(t, want, n, graph_shape(t->g, v), n);
  }
  if (!good)
    return trace_fault(t, "sir-index-add", "index_add of %s into %s by %s along axis %d", graph_type(t->g, v),
                       graph_type(t->g, x), graph_type(t->g, i), k);
  return trace_node(t, g_scatter_add(t->g, x, &i, 1, k, v), out);
}

bool lib_matmul(Tracer *t, Value a, Value b, Value *out) {
  Id v[2];
  TRY(trace_tensor(t, a, DT_NONE, &v[0]));
  TRY(trace_tensor(t, b, DT_NONE, &v[1]));
  Id x = v[0], y = v[1];
  const char *tx = graph_type(t->g, x), *ty = graph_type(t->g, y);
  DType d = graph_dtype(t->g, x);
  if (d != graph_dtype(t->g, y))
    return trace_fault(t, "sir-dtype-mix", "`@` of %s and %s: dtypes do not mix; write `.to(%s)`", tx, ty,
                       dtype_name(d));
  if (d == DT_BOOL) return trace_fault(t, "sir-dtype", "`@` of %s and %s; write `.to(f32)`", tx, ty);
  Sym p[MAX_RANK], q[MAX_RANK], shape[MAX_RANK];
  int np = lib_dims(t, x, p), nq = lib_dims(t, y, q), m = nq > 1 ? nq - 2 : 0, last = np - 1, zero = 0;
  if (!np || !nq) return trace_fault(t, "sir-matmul", "`@` of %s and %s: a scalar multiplies with `*`", tx, ty);
  if (!trace_equal_dims(t, p[last], q[m]))
    return trace_fault(t, "sir-matmul", "`@` of %s and %s: the inner axes are %s and %s", tx, ty,
                       value_text(t, value_sym(t, p[last])), value_text(t, value_sym(t, q[m])));
  if (nq <= 2) return trace_node(t, g_dot(t->g, x, y, &last, &m, 1, NULL, NULL, 0), out);
  if (np == 1) return trace_node(t, g_dot(t->g, y, x, &m, &zero, 1, NULL, NULL, 0), out);
  const Sym *both[2] = {p, q};
  int ranks[2] = {np - 2, nq - 2}, n, all[MAX_RANK];
  TRY(trace_join_shapes(t, both, ranks, v, 2, "`@`", shape, &n));
  for (int i = 0; i < 2; i++) {
    const Sym *s = i ? q : p;
    memcpy(shape + n, s + ranks[i], 2 * sizeof *shape);
    TRY((v[i] = trace_spread(t, v[i], shape, n + 2)));
  }
  for (int i = 0; i < n; i++) all[i] = i;
  last = n + 1;
  return trace_node(t, g_dot(t->g, v[0], v[1], &last, &n, 1, all, all, n), out);
}

/* ---- new tensors ---- */
bool lib_full(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id v;
  Sym shape[MAX_RANK];
  int rank;
  DType d = a->at[2].kind == VAL_DTYPE ? a->at[2].u.dtype : DT_NONE;
  TRY(!d || lib_dtype(t, d));
  TRY(lib_shape(t, a->at[0], "the shape of full", shape, &rank));
  TRY(trace_tensor(t, a->at[1], d, &v));
  if (d && graph_dtype(t->g, v) != d)
    return trace_fault(t, "sir-dtype", "full of %s as %s; write `.to(%s)`", graph_type(t->g, v), dtype_name(d),
                       dtype_name(d));
  TRY(spread_to(t, v, shape, rank, "full", &v));
  return trace_node(t, v, out);
}

bool lib_fill(Tracer *t, const BuiltinArgs *a, Value *out) {
  Sym shape[MAX_RANK];
  int rank;
  TRY(lib_dtype(t, a->at[1].u.dtype));
  TRY(lib_shape(t, a->at[0], a->builtin->op ? "the shape of ones" : "the shape of zeros", shape, &rank));
  return trace_node(t, g_full(t->g, a->at[1].u.dtype, a->builtin->op, shape, rank), out);
}

bool lib_fill_like(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  Sym shape[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  int rank = lib_dims(t, x, shape);
  return trace_node(t, g_full(t->g, graph_dtype(t->g, x), a->builtin->op, shape, rank), out);
}

static bool length(Tracer *t, Value n, const char *name, Sym *out) {
  if (value_is_node(n))
    return trace_fault(t, "sir-static-int", "the length of %s is a tensor; it has to be an int or a dimension", name);
  Value list = value_list(&n, 1);
  int rank;
  return lib_shape(t, list, trace_printf(t, "the length of %s", name), out, &rank);
}

bool lib_arange(Tracer *t, const BuiltinArgs *a, Value *out) {
  Sym n;
  DType d = a->at[1].u.dtype;
  TRY(lib_dtype(t, d));
  if (d == DT_BOOL) return trace_fault(t, "sir-dtype", "arange counts in numbers, not in bool");
  if (value_is_number(a->at[0]) && a->at[0].kind == VAL_FLOAT)
    return trace_fault(t, "sir-static-int", "the length of arange is an int, not %s", value_describe(t, a->at[0]));
  TRY(length(t, a->at[0], "arange", &n));
  return trace_node(t, g_iota(t->g, d, &n, 1, 0), out);
}

bool lib_linspace(Tracer *t, const BuiltinArgs *a, Value *out) {
  double from, to;
  Sym n;
  DType d = a->at[3].u.dtype;
  TRY(lib_dtype(t, d));
  if (!lib_number(a->at[0], &from) || !lib_number(a->at[1], &to) || a->at[2].kind != VAL_INT || !dtype_is_float(d))
    return trace_fault(t, "sir-static-int",
                       "linspace takes two numbers and an int that are known while tracing, and a float dtype");
  TRY(length(t, a->at[2], "linspace", &n));
  int64_t count = a->at[2].u.i; /* in f64, so that the last is `to` in f32 */
  Id v = g_binary(t->g, OP_MUL, g_iota(t->g, DT_F64, &n, 1, 0),
                  g_const(t->g, DT_F64, count > 1 ? (to - from) / (double)(count - 1) : 0));
  return trace_node(t, g_convert(t->g, d, g_binary(t->g, OP_ADD, v, g_const(t->g, DT_F64, from))), out);
}

typedef struct Literal {
  Vec(Value) at;
  Sym shape[MAX_RANK];
  int rank;
} Literal;

static bool literal(Tracer *t, Value v, int depth, Literal *l) {
  if (v.kind == VAL_LIST || v.kind == VAL_TUPLE) {
    if (depth == MAX_RANK)
      return trace_fault(t, "sir-rank", "these lists are more than %d deep; a tensor has at most that many axes",
                         MAX_RANK);
    if (depth == l->rank && !l->at.n) l->shape[l->rank++] = sym_int(t->syms, v.n);
    if (depth >= l->rank || l->shape[depth] != sym_int(t->syms, v.n))
      return trace_fault(t, "sir-ragged", "the lists of a tensor are of one length on every level");
    for (uint32_t i = 0; i < v.n; i++) TRY(literal(t, v.u.at[i], depth + 1, l));
    return true;
  }
  if (value_is_node(v))
    return trace_fault(t, "sir-literal", "tensor takes numbers, not %s; `stack(xs)` joins tensors",
                       value_describe(t, v));
  if (!value_is_number(v) && v.kind != VAL_BOOL)
    return trace_fault(t, "sir-literal", "tensor takes numbers, not %s", value_describe(t, v));
  if (depth != l->rank) return trace_fault(t, "sir-ragged", "the lists of a tensor are of one length on every level");
  vec_push(t->arena, &l->at, v);
  return true;
}

bool lib_tensor(Tracer *t, const BuiltinArgs *a, Value *out) {
  Literal l = {0};
  DType d = a->at[1].kind == VAL_DTYPE ? a->at[1].u.dtype : DT_NONE;
  TRY(!d || lib_dtype(t, d));
  if (value_is_node(a->at[0])) { /* a tensor already */
    Id x;
    TRY(trace_tensor(t, a->at[0], d, &x));
    return trace_node(t, d ? g_convert(t->g, d, x) : x, out);
  }
  TRY(literal(t, a->at[0], 0, &l));
  bool floats = false, bools = l.at.n > 0;
  for (uint32_t i = 0; i < l.at.n; i++) {
    floats |= l.at.at[i].kind == VAL_FLOAT;
    bools &= l.at.at[i].kind == VAL_BOOL;
  }
  d = d ? d : bools ? DT_BOOL : floats || !l.at.n ? DT_F32 : DT_I64;
  int64_t *words = ARENA_ARRAY(t->arena, int64_t, l.at.n + 1);
  for (uint32_t i = 0; i < l.at.n; i++) { /* through trace_tensor for its checks: what fits which dtype */
    Id one;
    int n;
    TRY(trace_tensor(t, l.at.at[i], d, &one));
    words[i] = graph_attr(t->g, one, "value", &n)[0];
  }
  Attrs attrs = {.big = words, .nbig = (int)l.at.n};
  attr_int(&attrs, d);
  attr_syms(&attrs, l.shape, l.rank);
  return trace_node(t, graph_node(t->g, OP_CONSTANT, NULL, 0, &attrs), out);
}
