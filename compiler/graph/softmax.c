#include "softmax.h"
#include <math.h>

Id graph_unrounded(const Graph *g, Id v) {
  Id x = graph_op(g, v) == OP_CONVERT ? *graph_in(g, v) : 0;
  bool rounds = x && graph_dtype(g, v) == DT_F32 && graph_op(g, x) == OP_CONVERT && dtype_is_half(graph_dtype(g, x)) &&
                graph_dtype(g, *graph_in(g, x)) == DT_F32;
  return rounds ? *graph_in(g, x) : v;
}

/* Whether v is one number for each row of x: without the axis, or with size 1 there. */
static bool row_shape(const Graph *g, Id v, Id x, int axis) {
  int rank = graph_rank(g, x), n = graph_rank(g, v), at = 0;
  int64_t one;
  if (n != rank && n != rank - 1) return false;
  for (int i = 0; i < rank; i++) {
    Sym size = at < n ? graph_shape(g, v)[at] : 0;
    if (i != axis) {
      if (size != graph_shape(g, x)[i]) return false;
      at++;
    } else if (n == rank) {
      if (!sym_is_int(g->ctx->syms, size, &one) || one != 1) return false;
      at++;
    }
  }
  return true;
}

/* The number of a row behind reshapes of its shape. */
static Id row_value(const Graph *g, Id v, Id x, int axis) {
  for (Id next = v;; v = next) {
    next = graph_op(g, v) == OP_RESHAPE || graph_op(g, v) == OP_STOP_GRADIENT ? *graph_in(g, v) : graph_unrounded(g, v);
    if (next == v) return row_shape(g, v, x, axis) ? v : 0;
  }
}

/* What v, of the shape of x, has in all of a row. */
static Id row_spread(const Graph *g, Id v, Id x, int axis) {
  int n;
  while (graph_op(g, v) == OP_STOP_GRADIENT) v = *graph_in(g, v);
  if (graph_op(g, v) != OP_BROADCAST) return 0;
  const int64_t *axes = graph_attr(g, v, "axes", &n);
  bool whole = n == graph_rank(g, x); /* else without the axis */
  for (int i = 0; i < n; i++)
    if (axes[i] != i + (!whole && i >= axis)) return 0;
  return row_value(g, *graph_in(g, v), x, axis);
}

static bool is_number(const Graph *g, Id v, double x) {
  double value;
  return graph_constant(g, v, &value) && value == x;
}

/* What is meant by v = where(row == none, instead, row), or v itself. */
static Id unguarded(const Graph *g, Id v, Id x, int axis, double none, double instead) {
  if (graph_op(g, v) != OP_SELECT || !is_number(g, graph_in(g, v)[1], instead)) return v;
  Id row = row_value(g, graph_in(g, v)[2], x, axis), c = row_value(g, graph_in(g, v)[0], x, axis);
  if (!row || !c || graph_op(g, c) != OP_EQUAL) return v;
  const Id *of = graph_in(g, c);
  for (int i = 0; i < 2; i++)
    if (is_number(g, of[1 - i], none) && row_value(g, of[i], x, axis) == row) return row;
  return v;
}

static bool reduces(const Graph *g, Op op, Id v, Id x, int axis) {
  int n;
  return v && graph_op(g, v) == op && *graph_in(g, v) == x && graph_attr(g, v, "axes", &n)[0] == axis && n == 1;
}

/* The sum of e that `scale` spreads along an axis, which it tells, or its inverse. */
static Id sum_of(const Graph *g, Id e, Id scale, bool inverted, int *axis) {
  for (*axis = 0; *axis < graph_rank(g, e); ++*axis) {
    Id sum = row_spread(g, scale, e, *axis);
    if (sum && inverted) {
      bool inverse = graph_op(g, sum) == OP_DIV && is_number(g, graph_in(g, sum)[0], 1);
      sum = inverse ? row_value(g, graph_in(g, sum)[1], e, *axis) : 0;
    }
    if (sum) sum = unguarded(g, sum, e, *axis, 0, 1);
    if (reduces(g, OP_REDUCE_SUM, sum, e, *axis)) return sum;
  }
  return 0;
}

bool graph_softmax(const Graph *g, Id p, Softmax *out) {
  Op op = graph_op(g, p);
  *out = (Softmax){.divides = op == OP_DIV};
  if (op != OP_MUL && op != OP_DIV) return false;
  const Id *in = graph_in(g, p);
  int k = op == OP_MUL && graph_op(g, graph_unrounded(g, in[0])) != OP_EXP;
  out->e = graph_unrounded(g, in[k]);
  out->scale = in[1 - k];
  if (graph_op(g, out->e) != OP_EXP) return false;
  out->sum = sum_of(g, in[k], out->scale, op == OP_MUL, &out->axis);
  Id difference = graph_unrounded(g, *graph_in(g, out->e));
  if (!out->sum || graph_op(g, difference) != OP_SUB) return false;
  Id x = graph_in(g, difference)[0], shift = row_spread(g, graph_in(g, difference)[1], x, out->axis);
  out->x = graph_unrounded(g, x);
  out->most = shift ? unguarded(g, shift, x, out->axis, -INFINITY, 0) : 0;
  out->guarded = out->most != shift;
  return reduces(g, OP_REDUCE_MAX, out->most, x, out->axis);
}
