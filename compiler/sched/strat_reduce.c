/* One reduction over axes other than just the last, with its prologue inside the loops and its epilogue behind them.
 * The last axis is the vector axis: kept, each lane is a result of its own; reduced, the lanes fold at the end. */
#include "fold.h"
#include <string.h>

static bool reduced(const Lower *l, Id v, int axis) {
  int n;
  const int64_t *axes = graph_attr(l->g, v, "axes", &n);
  for (int i = 0; i < n; i++)
    if (axes[i] == axis) return true;
  return false;
}

static Ex finish(Lower *l, Id r, Ex e) {
  return graph_dtype(l->g, r) == DT_BOOL ? ex_op2(l->k, OP_NOT_EQUAL, e, ex_int(l->k, DT_I32, 0)) : e;
}

void strat_reduce(Lower *l) {
  static const char *const name[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
  const Group *grp = l->grp;
  Kernel *k = l->k;
  Id r = grp->anchor, x = *graph_in(l->g, r);
  Op o = graph_op(l->g, r);
  DType d = fold_dtype(graph_dtype(l->g, r));
  int rank = graph_rank(l->g, x), last = rank - 1, lanes = lower_lanes(l), n = 0, axes = 0;
  bool inner = reduced(l, r, last);
  Ex in[MAX_RANK], out[MAX_RANK], zero = ex_idx(k, 0), e;
  SymTab *t = l->all->ctx->syms;

  lower_stage(l, "main", lower_total(l, graph_shape(l->g, x), rank), grp->cost, false);
  for (int i = 0; i < (inner ? rank : last); i++) /* kept axes: tasks, as far as they go */
    if (!reduced(l, r, i) && axes < LOOP_AXES - 1)
      in[i] = loop_axis(k, name[i], graph_shape(l->g, x)[i]), axes++;
    else
      in[i] = 0;
  Ex lo = zero, hi = lower_dim(l, graph_shape(l->g, x)[last]);
  const int block = 4;
  if (!inner) { /* columns: a task takes a few vectors of them */
    Ex c = loop_axis(k, "c", sym_div_up(t, graph_shape(l->g, x)[last], sym_int(t, block * lanes)));
    lo = ex_mul(k, c, ex_idx(k, block * lanes));
    hi = ex_op2(k, OP_MINIMUM, hi, ex_add(k, lo, ex_idx(k, block * lanes)));
  } else if (!axes)
    loop_axis(k, "t", sym_int(t, 1));
  for (int i = 0; i < last; i++)
    if (!reduced(l, r, i) && !in[i])
      loop_for(k, name[i], zero, lower_dim(l, graph_shape(l->g, x)[i]), FOR_SERIAL, 0, TAIL_NONE, &in[i]);
  if (!inner) loop_for(k, "j", lo, hi, FOR_VECTOR, lanes, lower_tail(l), &in[last]);
  uint32_t acc = loop_reg(k, "acc", d, lanes, 0, NULL, fold_start(l, o, d));
  int depth = k->depth;
  uint32_t mark = l->memo.n;
  for (int i = 0; i < last; i++)
    if (reduced(l, r, i))
      loop_for(k, name[i], zero, lower_dim(l, graph_shape(l->g, x)[i]), FOR_SERIAL, 0, TAIL_NONE, &in[i]);
  if (inner) loop_for(k, "j", lo, hi, FOR_VECTOR, lanes, lower_tail(l), &in[last]);
  e = lower_pull(l, x, in, rank);
  if (graph_dtype(l->g, x) == DT_BOOL) e = ex_convert(k, DT_I32, e);
  loop_assign(k, acc, NULL, 0, ex_op2(k, fold_step(o), ex_reg(k, acc, NULL, 0), e), 0);
  while (k->depth > depth) loop_end(k);
  l->memo.n = mark;
  for (int i = 0; i < rank; i++)
    if (!reduced(l, r, i)) out[n++] = in[i];
  e = ex_reg(k, acc, NULL, 0);
  lower_remember(l, r, out, n, loop_let(k, "sum", finish(l, r, inner ? ex_op1(k, fold_lanes(o), e) : e)));
  lower_store_outputs(l, out);
  while (k->depth) loop_end(k);
  l->out->schedule = arena_printf(l->all->ctx->arena, "steps(%s, vectorize = %d, tail = %s)",
                                  inner ? "rows" : "columns", lanes, lower_tail(l) == TAIL_MASK ? "mask" : "peel");
}
