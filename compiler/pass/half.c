/* 16-bit floats are stored, never computed on: an op with an operand or a result of f16 or bf16 becomes the same op of
 * f32 between converts. What only moves elements (and the leaves) stays as it is. The graph afterwards means what it
 * meant before, for the evaluator computes 16 bits just so. A kernel may leave out the roundings made here, but not
 * those that the model asks for (`x.to(bf16)`): behind these stands a stop_gradient, which else has no meaning any
 * more. sched/README.md has the rule. */
#include "group.h"
#include "pass.h"
#include <string.h>

/* The same op with the same attributes, of other operands. */
static Id again(Graph *to, const Graph *g, Id v, const Id *in) {
  const Node *x = graph_at(g, v);
  Attrs a = {0};
  if (x->nword > sizeof a.word / sizeof *a.word) BUG("%s with %u words", OP_INFO[x->op].text, x->nword);
  if (x->nword) memcpy(a.word, g->word.at + x->attr, x->nword * sizeof *a.word);
  a.n = (int)x->nword;
  return graph_node(to, x->op, in, (int)x->nin, &a);
}

/* The value of v, a node of 16 bits, in f32. The conversion stands before the moves, which each reader works out anew,
 * so that fusion sees the same chains as in f32. */
static Id widened(Graph *g, Id v) {
  Op op = graph_op(g, v);
  double number;
  Id in[1 + MAX_RANK];
  if (!dtype_is_half(graph_dtype(g, v))) return v;
  if (op == OP_CONSTANT && !graph_rank(g, v) && graph_constant(g, v, &number)) return g_const(g, DT_F32, number);
  if (!group_move(op)) return g_convert(g, DT_F32, v);
  memcpy(in, graph_in(g, v), graph_at(g, v)->nin * sizeof *in);
  in[0] = widened(g, in[0]);
  return again(g, g, v, in);
}

static Id visit(void *ctx, const Graph *from, Id v, Graph *to, const Id *map) {
  const Node *x = graph_at(from, v);
  DType d = (DType)x->dtype;
  bool half = dtype_is_half(d), any = half;
  Op op = x->op;
  (void)ctx;
  for (uint32_t i = 0; i < x->nin; i++) any |= dtype_is_half(graph_dtype(from, graph_in(from, v)[i]));
  if (!any || op == OP_INPUT || op == OP_CELL || op == OP_DATA || op == OP_CONSTANT || op == OP_CONCAT ||
      op == OP_GATHER || op == OP_DYNAMIC_UPDATE || group_move(op))
    return 0;                                                                  /* copied */
  if (op == OP_LEAF || op == OP_STOP_GRADIENT) return map[*graph_in(from, v)]; /* gradients have been taken */
  Id *in = ARENA_ARRAY(to->ctx->arena, Id, x->nin + 1);
  for (uint32_t i = 0; i < x->nin; i++) in[i] = widened(to, map[graph_in(from, v)[i]]);
  Id y = op == OP_CONVERT ? g_convert(to, dtype_computed(d), in[0])
         : op == OP_IOTA  ? g_iota(to, DT_F32, graph_shape(from, v), x->rank, (int)graph_attr_int(from, v, "axis"))
                          : again(to, from, v, in);
  if (half) y = g_convert(to, d, y);
  return half && op == OP_CONVERT && graph_op(to, y) == OP_CONVERT ? g_unary(to, OP_STOP_GRADIENT, y) : y;
}

bool pass_half(void *ctx, const Graph *from, Graph *to, Id *map) {
  (void)ctx;
  return graph_rebuild(from, to, visit, NULL, map);
}
