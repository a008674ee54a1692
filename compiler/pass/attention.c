/* Finds softmax(scores) @ v among the primitives. The forms are those that the library's softmax has after
 * simplification, with or without its guards for rows that are -inf throughout, of f32, f64, or 16 bits that are
 * computed as f32. */
#include "group.h"
#include <math.h>
#include <string.h>

/* The f32 that v is but for a rounding to 16 bits, which a kernel that has both leaves out. */
static Id unrounded(const Graph *g, Id v) {
  Id x = group_widens(g, v) ? *graph_in(g, v) : 0;
  return x && graph_op(g, x) == OP_CONVERT && graph_dtype(g, *graph_in(g, x)) == DT_F32 ? *graph_in(g, x) : v;
}

static Id behind_moves(const Graph *g, Id v) {
  for (;;) {
    Id x = unrounded(g, v);
    if (x == v && group_free(g, v) && OP_INFO[graph_op(g, v)].cls == CLASS_MOVE) x = *graph_in(g, v);
    if (x == v) return v;
    v = x;
  }
}

static bool number_of(const Graph *g, Id v, double *value) {
  int n;
  v = behind_moves(g, v);
  if (graph_op(g, v) != OP_CONSTANT || graph_rank(g, v) || !dtype_is_float(graph_dtype(g, v))) return false;
  memcpy(value, graph_attr(g, v, "value", &n), sizeof *value);
  return true;
}

static bool is_number(const Graph *g, Id v, double x) {
  double value;
  return number_of(g, v, &value) && value == x;
}

double group_score_factor(const Graph *g, Id score, Id product) {
  double x;
  score = unrounded(g, score);
  if (score == product) return 1;
  if (graph_op(g, score) != OP_MUL) return 0;
  const Id *in = graph_in(g, score);
  for (int i = 0; i < 2; i++)
    if (unrounded(g, in[i]) == product && number_of(g, in[1 - i], &x)) return x;
  return 0;
}

/* The largest of the row, or 0 where that is -inf. */
static bool is_shift(const Graph *g, Id v, Id most) {
  v = behind_moves(g, v);
  if (v == most) return true;
  const Id *in = graph_in(g, v);
  if (graph_op(g, v) != OP_SELECT || !is_number(g, in[1], 0) || behind_moves(g, in[2]) != most) return false;
  Id c = behind_moves(g, in[0]);
  const Id *of = graph_in(g, c);
  return graph_op(g, c) == OP_EQUAL && ((behind_moves(g, of[0]) == most && is_number(g, of[1], -INFINITY)) ||
                                        (behind_moves(g, of[1]) == most && is_number(g, of[0], -INFINITY)));
}

/* Whether the product's left side is its batch and row axes in order and, contracted, the last one; the right side has
 * one free axis. */
static bool weighs_rows(const Graph *g, Id product) {
  Id w = graph_in(g, product)[0];
  int n, rank = graph_rank(g, w);
  const int64_t *c = graph_attr(g, product, "contract", &n);
  if (rank < 2 || n != 2 || c[0] != rank - 1) return false;
  const int64_t *b = graph_attr(g, product, "batch", &n);
  for (int i = 0; i < n / 2; i++)
    if (b[i] != i) return false;
  return n / 2 <= rank - 2 && graph_rank(g, product) == rank;
}

bool group_attention(const Graph *g, Id product, const Ids *members, Attention *out) {
  *out = (Attention){0};
  if (graph_op(g, product) != OP_DOT_GENERAL || !weighs_rows(g, product)) return false;
  Id w = unrounded(g, graph_in(g, product)[0]);
  const Id *in = graph_in(g, w);
  out->divides = graph_op(g, w) == OP_DIV;
  if (graph_op(g, w) != OP_MUL && !out->divides) return false;
  bool second = graph_op(g, unrounded(g, in[0])) != OP_EXP && !out->divides;
  out->e = unrounded(g, in[second]);
  out->scale = in[!second];
  if (graph_op(g, out->e) != OP_EXP) return false;
  Id difference = unrounded(g, *graph_in(g, out->e));
  if (graph_op(g, difference) != OP_SUB) return false;
  out->score = unrounded(g, graph_in(g, difference)[0]);
  for (uint32_t i = 0; i < members->n; i++) {
    Id v = members->at[i], x = graph_at(g, v)->nin ? unrounded(g, *graph_in(g, v)) : 0;
    if (graph_op(g, v) == OP_REDUCE_MAX && x == out->score) out->most = v;
    if (graph_op(g, v) == OP_REDUCE_SUM && x == out->e) out->sum = v;
  }
  out->guarded = behind_moves(g, graph_in(g, difference)[1]) != out->most;
  return out->most && out->sum && is_shift(g, graph_in(g, difference)[1], out->most);
}
