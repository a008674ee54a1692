#include "column_sums.h"
#include "threads.h"

enum { RUNS = LOOP_SUM_ROWS / LOOP_SUM_RUN, ACROSS = 32 }; /* threads down and across a block */

ColumnSums column_sums_of(Lower *l, Sym rows, Sym columns) {
  ColumnSums s = {.rows = rows, .columns = columns};
  for (uint32_t i = 0; i < l->grp->members.n; i++)
    if (OP_INFO[graph_op(l->g, l->grp->members.at[i])].cls == CLASS_REDUCE) s.sum = l->grp->members.at[i];
  if (!s.sum) return s;
  SymTab *t = l->all->ctx->syms;
  s.parts = sym_div_up(t, rows, sym_int(t, LOOP_SUM_ROWS));
  s.partial = lower_scratch(l, "summed", DT_F32, (Sym[]){s.parts, columns}, 2, ARG_SCRATCH, 0);
  return s;
}

void column_sums_open(Lower *l, const ColumnSums *s, bool parts, SumBlock *b) {
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  if (parts) b->part = loop_axis(k, "part", s->parts);
  Ex block = loop_axis(k, "b", sym_div_up(t, s->columns, sym_int(t, ACROSS)));
  b->run = loop_threads(k, "run", RUNS);
  Ex across = loop_threads(k, "t", ACROSS);
  b->runs = loop_alloc_shared(k, "runs", DT_F32, (Sym[]){sym_int(t, RUNS), sym_int(t, ACROSS)}, 2);
  b->column = loop_let(k, "column", ex_add(k, ex_mul(k, block, ex_idx(k, ACROSS)), across));
  b->acc = loop_reg(k, "acc", DT_F32, 1, 0, NULL, lower_zero(l, DT_F32));
  b->inside = ex_op2(k, OP_LESS, b->column, lower_dim(l, s->columns));
  b->across = across;
  loop_if(k, b->inside);
}

void column_sums_add(Lower *l, const SumBlock *b, Ex value) {
  loop_assign(l->k, b->acc, NULL, 0, ex_add(l->k, ex_reg(l->k, b->acc, NULL, 0), value), 0);
}

Ex column_sums_close(Lower *l, const SumBlock *b) {
  Kernel *k = l->k;
  Ex at[2] = {b->run, b->across}, first = ex_op2(k, OP_EQUAL, b->run, ex_idx(k, 0));
  while (k->depth) loop_end(k);
  loop_store(k, b->runs, at, 2, ex_reg(k, b->acc, NULL, 0), 0);
  loop_barrier(k, LOOP_BLOCK);
  loop_if(k, ex_op2(k, OP_AND, first, b->inside));
  uint32_t all = loop_reg(k, "all", DT_F32, 1, 0, NULL, lower_zero(l, DT_F32));
  loop_for(k, "r", ex_idx(k, 0), ex_idx(k, RUNS), FOR_SERIAL, 0, TAIL_NONE, &at[0]);
  loop_assign(k, all, NULL, 0, ex_add(k, ex_reg(k, all, NULL, 0), ex_load(k, b->runs, at, 2, 0, 0)), 0);
  loop_end(k);
  return loop_let(k, "all", ex_reg(k, all, NULL, 0));
}

void column_sums_stage(Lower *l, const ColumnSums *s) {
  Kernel *k = l->k;
  SumBlock b;
  Ex at[2], index[MAX_RANK];
  int rank = graph_rank(l->g, s->sum);
  lower_stage(l, "add", sym_mul(l->all->ctx->syms, s->parts, s->columns), 1, false);
  vec_last(&l->out->stages).combines = true;
  column_sums_open(l, s, false, &b);
  loop_for_step(k, "p", b.run, lower_dim(l, s->parts), RUNS, &at[0]);
  at[1] = b.column;
  column_sums_add(l, &b, ex_load(k, s->partial, at, 2, 0, 0));
  Ex all = column_sums_close(l, &b);
  threads_index(l, b.column, graph_shape(l->g, s->sum), rank, index);
  lower_remember(l, s->sum, index, rank, all);
  lower_store_reduced(l, index);
  while (k->depth) loop_end(k);
}
