/* Products for a GPU in plain form: a thread has one element of the result and reads the operands as they lie. The
 * stage keeps its parts beside it (LoopProduct), by which emit/cuda_skeleton.c can put a kernel with tiles in its
 * place.
 */
#include "gemm.h"
#include "threads.h"

static void axes_add(const Lower *l, LoopAxes *a, Ex var, Sym extent) {
  a->var[a->n] = ex_at(l->k, var)->ref;
  a->extent[a->n++] = extent;
}

/* Sizes that are known to be whole vectors are a fact of the kernel: rows of them can be moved 16 bytes at a time. */
static void whole_vectors(Lower *l, const LoopAxes *a) {
  SymTab *t = l->all->ctx->syms;
  for (int i = 0; i < a->n; i++)
    for (int lanes = 4; lanes <= 8; lanes *= 2)
      if (!sym_is_int(t, a->extent[i], NULL) && sym_divides(l->all->facts, lanes, a->extent[i]))
        loop_fact(l->k, loop_multiple(t, a->extent[i], lanes));
}

/* The first statement behind a place in the block being built. */
static Stmt **next_statement(const Kernel *k) { return k->tail[k->depth]; }

/* Works an operand out at the sum's position; what was worked out for the other one is out of sight. What is 16 bits in
 * the graph is rounded to them, so that tensor cores multiply what the plain form does. */
static Ex operand(Gemm *g, bool right, Ex row, DType *type) {
  Lower *l = g->l;
  Kernel *k = l->k;
  Id v = right ? g->y : g->x;
  Ex at[MAX_RANK];
  uint32_t mark = l->memo.n;
  gemm_operand_index(g, right, row, at);
  *type = lower_packed_type(l, v);
  Ex value = lower_pull(l, v, at, graph_rank(l->g, v));
  value = loop_let(k, right ? "b" : "a", ex_convert(k, g->dtype, ex_convert(k, *type, value)));
  l->memo.n = mark;
  return value;
}

void gemm_threads(Gemm *g) {
  Lower *l = g->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int rank = graph_rank(l->g, g->v), first = g->nb + g->nfx;
  const Sym *shape = graph_shape(l->g, g->v);
  Ex index[MAX_RANK], row = ex_idx(k, 0), column = ex_idx(k, 0);
  Sym products = sym_mul(t, gemm_column(g), g->m);
  lower_stage(l, "main", products, 1, false);
  lower_products(l, products, g->lanes, sym_int(t, 0));
  LoopProduct *p = k->stage->product = ARENA_NEW(l->all->ctx->arena, LoopProduct);
  if (rank)
    threads_index(l, threads_line(l, lower_total(l, shape, rank)), shape, rank, index);
  else
    threads_one(l);
  for (int i = 0; i < rank; i++)
    axes_add(l, i < g->nb ? &p->outer : i < first ? &p->rows : &p->columns, index[i], shape[i]);
  for (int i = 0; i < g->nb; i++) g->batch[i] = index[i];
  for (int i = 0; i < g->nfx; i++) g->xs[i] = row = index[g->nb + i];
  for (int i = 0; i < g->nfy; i++) g->ys[i] = column = index[first + i];
  p->sum = loop_reg(k, "sum", g->dtype, 1, 0, NULL, lower_zero(l, g->dtype));
  Ex sum = ex_reg(k, p->sum, NULL, 0);
  gemm_open_sum(g);
  for (int i = 0; i < g->nc; i++) axes_add(l, &p->sums, g->k[i], graph_shape(l->g, g->x)[g->cx[i]]);
  whole_vectors(l, &p->rows);
  whole_vectors(l, &p->columns);
  whole_vectors(l, &p->sums);
  Stmt **at = next_statement(k);
  Ex a = operand(g, false, row, &p->a_type);
  p->a = *at;
  at = next_statement(k);
  Ex b = operand(g, true, column, &p->b_type);
  p->b = *at;
  at = next_statement(k);
  loop_assign(k, p->sum, NULL, 0,
              dtype_is_float(g->dtype) ? ex_op3(k, OP_FMA, a, b, sum) : ex_add(k, sum, ex_mul(k, a, b)), 0);
  p->add = *at;
  p->a_value = ex_at(k, a)->ref;
  p->b_value = ex_at(k, b)->ref;
  for (int i = 0; i < g->nc; i++) loop_end(k);
  at = next_statement(k);
  lower_remember(l, g->v, index, rank, sum);
  lower_store_outputs(l, index);
  p->epilogue = *at;
  while (k->depth) loop_end(k);
  l->out->schedule = "product(threads)";
}
