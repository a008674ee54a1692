#include "softmax.h"
#include <math.h>

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
  while (graph_op(g, v) == OP_RESHAPE || graph_op(g, v) == OP_STOP_GRADIENT) v = *graph_in(g, v);
  return row_shape(g, v, x, axis) ? v : 0;
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
  return graph_op(g, v) == op && *graph_in(g, v) == x && graph_attr(g, v, "axes", &n)[0] == axis && n == 1;
}

/* Whether total is the sum of e along an axis, which it tells. */
static bool sum_of(const Graph *g, Id e, Id spread, bool inverted, int *axis) {
  for (*axis = 0; *axis < graph_rank(g, e); ++*axis) {
    Id total = row_spread(g, spread, e, *axis);
    if (!total) continue;
    if (inverted) {
      if (graph_op(g, total) != OP_DIV || !is_number(g, graph_in(g, total)[0], 1)) continue;
      total = row_value(g, graph_in(g, total)[1], e, *axis);
    }
    if (total && reduces(g, OP_REDUCE_SUM, unguarded(g, total, e, *axis, 0, 1), e, *axis)) return true;
  }
  return false;
}

Id graph_softmax(const Graph *g, Id p, int *axis) {
  Op op = graph_op(g, p);
  if (op != OP_MUL && op != OP_DIV) return 0;
  const Id *in = graph_in(g, p);
  int k = op == OP_MUL && graph_op(g, in[0]) != OP_EXP;
  Id e = in[k];
  if (graph_op(g, e) != OP_EXP || !graph_rank(g, e) || !sum_of(g, e, in[1 - k], op == OP_MUL, axis)) return 0;
  Id difference = *graph_in(g, e);
  if (graph_op(g, difference) != OP_SUB) return 0;
  Id x = graph_in(g, difference)[0], most = row_spread(g, graph_in(g, difference)[1], x, *axis);
  if (!most) return 0;
  most = row_value(g, unguarded(g, most, x, *axis, -INFINITY, 0), x, *axis);
  return most && reduces(g, OP_REDUCE_MAX, most, x, *axis) ? x : 0;
}
