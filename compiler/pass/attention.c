/* Finds softmax(scores) @ values among the primitives, and what its scores are of the product that they come from. */
#include "group.h"
#include <string.h>

double group_score_factor(const Graph *g, Id score, Id product) {
  double x;
  score = graph_unrounded(g, score);
  if (score == product) return 1;
  if (graph_op(g, score) != OP_MUL) return 0;
  const Id *in = graph_in(g, score);
  for (int i = 0; i < 2; i++)
    if (graph_unrounded(g, in[i]) == product && graph_constant(g, in[1 - i], &x)) return x;
  return 0;
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

bool group_attention(const Graph *g, Id product, Softmax *out) {
  if (graph_op(g, product) != OP_DOT_GENERAL || !weighs_rows(g, product)) return false;
  Id w = graph_unrounded(g, graph_in(g, product)[0]);
  return graph_softmax(g, w, out) && out->axis == graph_rank(g, w) - 1;
}
