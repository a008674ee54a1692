#include "tile_sums.h"
#include "threads.h"

enum { RUNS = LOOP_SUM_PART / LOOP_SUM_RUN, ACROSS = 32 }; /* threads down and across a block */

TileSums tile_sums_of(Lower *l, Sym rows, Sym columns) {
  TileSums s = {0};
  SymTab *t = l->all->ctx->syms;
  int n;
  for (uint32_t i = 0; i < l->grp->members.n; i++)
    if (OP_INFO[graph_op(l->g, l->grp->members.at[i])].cls == CLASS_REDUCE) s.sum = l->grp->members.at[i];
  if (!s.sum) return s;
  s.along = graph_attr(l->g, s.sum, "axes", &n)[0] != 0;
  s.summed = s.along ? columns : rows;
  s.kept = s.along ? rows : columns;
  s.parts = sym_div_up(t, s.summed, sym_int(t, LOOP_SUM_PART));
  s.partial = lower_scratch(l, "summed", DT_F32, (Sym[]){s.parts, s.kept}, 2, ARG_SCRATCH, 0);
  return s;
}

void tile_sums_open(Lower *l, const TileSums *s, bool parts, SumBlock *b) {
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  if (parts) b->part = loop_axis(k, "part", s->parts);
  Ex block = loop_axis(k, "b", sym_div_up(t, s->kept, sym_int(t, ACROSS)));
  b->run = loop_threads(k, "run", RUNS);
  b->across = loop_threads(k, "t", ACROSS);
  b->runs = loop_alloc_shared(k, "runs", DT_F32, (Sym[]){sym_int(t, RUNS), sym_int(t, ACROSS)}, 2);
  b->kept = loop_let(k, "kept", ex_add(k, ex_mul(k, block, ex_idx(k, ACROSS)), b->across));
  b->acc = loop_reg(k, "acc", DT_F32, 1, 0, NULL, lower_zero(l, DT_F32));
  b->there = ex_op2(k, OP_LESS, b->kept, lower_dim(l, s->kept));
  loop_if(k, b->there);
}

Ex tile_sums_run(Lower *l, const TileSums *s, const SumBlock *b) {
  Kernel *k = l->k;
  Ex i, first = ex_add(k, ex_mul(k, b->part, ex_idx(k, LOOP_SUM_PART)), ex_mul(k, b->run, ex_idx(k, LOOP_SUM_RUN)));
  loop_for(k, "i", ex_idx(k, 0), ex_idx(k, LOOP_SUM_RUN), FOR_SERIAL, 0, TAIL_NONE, &i);
  i = loop_let(k, "at", ex_add(k, first, i));
  loop_if(k, ex_op2(k, OP_LESS, i, lower_dim(l, s->summed)));
  return i;
}

void tile_sums_add(Lower *l, const SumBlock *b, Ex value) {
  loop_assign(l->k, b->acc, NULL, 0, ex_add(l->k, ex_reg(l->k, b->acc, NULL, 0), value), 0);
}

Ex tile_sums_close(Lower *l, const SumBlock *b) {
  Kernel *k = l->k;
  Ex at[2] = {b->run, b->across}, first = ex_op2(k, OP_EQUAL, b->run, ex_idx(k, 0));
  while (k->depth) loop_end(k);
  loop_store(k, b->runs, at, 2, ex_reg(k, b->acc, NULL, 0), 0);
  loop_barrier(k, LOOP_BLOCK);
  loop_if(k, ex_op2(k, OP_AND, first, b->there));
  uint32_t all = loop_reg(k, "all", DT_F32, 1, 0, NULL, lower_zero(l, DT_F32));
  loop_for(k, "r", ex_idx(k, 0), ex_idx(k, RUNS), FOR_SERIAL, 0, TAIL_NONE, &at[0]);
  loop_assign(k, all, NULL, 0, ex_add(k, ex_reg(k, all, NULL, 0), ex_load(k, b->runs, at, 2, 0, 0)), 0);
  loop_end(k);
  return loop_let(k, "all", ex_reg(k, all, NULL, 0));
}

void tile_sums_stage(Lower *l, const TileSums *s) {
  Kernel *k = l->k;
  SumBlock b;
  Ex at[2], index[MAX_RANK];
  int rank = graph_rank(l->g, s->sum);
  lower_stage(l, "add", sym_mul(l->all->ctx->syms, s->parts, s->kept), 1, false);
  vec_last(&l->out->stages).combines = true;
  tile_sums_open(l, s, false, &b);
  loop_for_step(k, "p", b.run, lower_dim(l, s->parts), RUNS, &at[0]);
  at[1] = b.kept;
  tile_sums_add(l, &b, ex_load(k, s->partial, at, 2, 0, 0));
  Ex all = tile_sums_close(l, &b);
  threads_index(l, b.kept, graph_shape(l->g, s->sum), rank, index);
  lower_remember(l, s->sum, index, rank, all);
  lower_store_reduced(l, index);
  while (k->depth) loop_end(k);
}
