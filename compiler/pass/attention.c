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

/* Axes that scores have at most: those of a stage (the last of which numbers blocks of rows) and one of keys. */
#define SCORE_AXES 7
/* So few keys, where their number is known, are no attention: a row of scores is a vector or two. */
#define FEW_KEYS 16

bool group_scores(const Graph *g, Id product) {
  int n, rank = graph_rank(g, product);
  int64_t keys;
  if (graph_op(g, product) != OP_DOT_GENERAL || rank < 2 || rank > SCORE_AXES) return false;
  if (sym_is_int(g->ctx->syms, graph_shape(g, product)[rank - 1], &keys) && keys < FEW_KEYS) return false;
  graph_attr(g, product, "batch", &n);
  int batch = n / 2;
  graph_attr(g, product, "contract", &n);
  return n == 2 && batch <= rank - 2 && graph_rank(g, graph_in(g, product)[1]) == batch + 2;
}

bool group_weighs(const Graph *g, Id product) {
  if (graph_op(g, product) != OP_DOT_GENERAL) return false;
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
  if (!group_weighs(g, product)) return false;
  Id w = graph_unrounded(g, graph_in(g, product)[0]);
  return graph_softmax(g, w, out) && out->axis == graph_rank(g, w) - 1;
}
