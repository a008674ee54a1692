/* Products for a GPU in plain form: a thread has one element of the result and reads the operands as they lie. The
 * stage keeps its parts beside it (LoopProduct), by which emit/cuda_skeleton.c can put a kernel with tiles in its
 * place.
 */
#include "gemm.h"
#include "product.h"
#include "tile_sums.h"
#include "threads.h"
#include <string.h>

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

static ProductCut plan_cut(Gemm *g) {
  const Lower *l = g->l;
  const Graph *gr = l->g;
  SymTab *t = gr->ctx->syms;
  const Sym *shape = graph_shape(gr, g->v);
  int rank = graph_rank(gr, g->v), first = g->nb + g->nfx;
  Sym inner = sym_int(t, 1);
  if (g->dtype != DT_F32 || !g->nc || rank == LOOP_RANK) return (ProductCut){0};
  for (int i = 1; i < g->nc; i++) inner = sym_mul(t, inner, graph_shape(gr, g->x)[g->cx[i]]);
  return product_cut(l, sym_product(t, shape, g->nb), sym_product(t, shape + g->nb, g->nfx),
                     sym_product(t, shape + first, rank - first), graph_shape(gr, g->x)[g->cx[0]], inner,
                     g->nc == 1 && dtype_is_half(lower_packed_type(l, g->x)) ? 64 : 8);
}

/* ---- stages ---- */

static void open_sums(Gemm *g, const ProductCut *c, Ex part) {
  static const char *const name[] = {"k", "k1", "k2", "k3", "k4", "k5", "k6", "k7"};
  for (int i = 0; i < g->nc; i++)
    product_loop(g->l, g->l->k->stage->product, name[i], graph_shape(g->l->g, g->x)[g->cx[i]], FOR_SERIAL, c, part,
                 &g->k[i]);
}

/* Threads for all elements of the result, or for what is kept of them, each with those of a run in turn. */
static void open_elements(Gemm *g, const TileSums *s, SumBlock *b, const Sym *shape, int rank, Ex *index) {
  Lower *l = g->l;
  if (!s->sum) {
    if (rank)
      threads_index(l, threads_line(l, lower_total(l, shape, rank)), shape, rank, index);
    else
      threads_one(l);
    return;
  }
  tile_sums_open(l, s, true, b);
  Ex run = tile_sums_run(l, s, b);
  threads_index(l, s->along ? b->kept : run, shape, g->nfx, index);
  threads_index(l, s->along ? run : b->kept, shape + g->nfx, g->nfy, index + g->nfx);
}

/* Stores what is made of an element of the product. */
static void store_elements(Gemm *g, const TileSums *s, const SumBlock *b, const Ex *index) {
  Lower *l = g->l;
  Kernel *k = l->k;
  LoopProduct *p = k->stage->product;
  lower_store_full(l, index);
  if (!s->sum) return;
  Ex value = loop_let(k, "summed", lower_pull(l, *graph_in(l->g, s->sum), index, graph_rank(l->g, g->v)));
  Stmt **at = product_next(k);
  tile_sums_add(l, b, value);
  if (p) {
    p->end = *at;
    p->summed = ex_at(k, value)->ref;
    p->partial = s->partial;
    p->along = s->along;
  }
  Ex all = tile_sums_close(l, b), place[2] = {b->part, b->kept};
  loop_store(k, s->partial, place, 2, all, 0);
}

static void sum_stage(Gemm *g, const ProductCut *c, const TileSums *s) {
  Lower *l = g->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int cut = c->parts > 0, rank = graph_rank(l->g, g->v) + cut, first = cut + g->nb, second = first + g->nfx;
  Sym shape[MAX_RANK + 1], products = sym_mul(t, gemm_column(g), g->m);
  Ex index[MAX_RANK + 1], row = ex_idx(k, 0), column = ex_idx(k, 0);
  SumBlock block;
  const TileSums none = {0};
  if (cut) s = &none;
  lower_stage(l, cut ? "partial" : "main", products, 1, false);
  lower_products(l, products, g->lanes, sym_int(t, 0));
  shape[0] = sym_int(t, c->parts);
  memcpy(shape + cut, graph_shape(l->g, g->v), (size_t)(rank - cut) * sizeof *shape);
  LoopProduct *p = k->stage->product = ARENA_NEW(l->all->ctx->arena, LoopProduct);
  open_elements(g, s, &block, shape, rank, index);
  for (int i = 0; i < rank; i++)
    product_axis(l, i < first ? &p->outer : i < second ? &p->rows : &p->columns, index[i], shape[i]);
  if (cut) p->part = p->outer.var[0], p->chunk = c->chunk;
  for (int i = 0; i < g->nb; i++) g->batch[i] = index[cut + i];
  for (int i = 0; i < g->nfx; i++) g->xs[i] = row = index[first + i];
  for (int i = 0; i < g->nfy; i++) g->ys[i] = column = index[second + i];
  p->tf32 = l->all->tf32;
  p->sum = loop_reg(k, "sum", g->dtype, 1, 0, NULL, lower_zero(l, g->dtype));
  Ex sum = ex_reg(k, p->sum, NULL, 0);
  open_sums(g, c, cut ? index[0] : 0);
  product_whole(l, p);
  Stmt **at = product_next(k);
  Ex a = operand(g, false, row, &p->a_type);
  p->a = *at;
  at = product_next(k);
  Ex b = operand(g, true, column, &p->b_type);
  p->b = *at;
  at = product_next(k);
  loop_assign(k, p->sum, NULL, 0,
              dtype_is_float(g->dtype) ? ex_op3(k, OP_FMA, a, b, sum) : ex_add(k, sum, ex_mul(k, a, b)), 0);
  p->add = *at;
  p->a_value = ex_at(k, a)->ref;
  p->b_value = ex_at(k, b)->ref;
  for (int i = 0; i < g->nc; i++) loop_end(k);
  at = product_next(k);
  if (cut)
    loop_store(k, c->scratch, index, rank, sum, 0);
  else {
    lower_remember(l, g->v, index, rank, sum);
    store_elements(g, s, &block, index);
  }
  p->epilogue = *at;
  while (k->depth) loop_end(k);
}

/* The parts in their order, a vector of columns a thread; one where they are summed. */
static void combine_stage(Gemm *g, const ProductCut *c, const TileSums *s) {
  Lower *l = g->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int rank = graph_rank(l->g, g->v);
  const Sym *shape = graph_shape(l->g, g->v);
  int lanes = rank && !s->sum ? threads_lanes(l, shape[rank - 1]) : 1;
  Ex index[MAX_RANK + 1], hi, *of = index + 1;
  SumBlock block;
  lower_stage(l, "combine", sym_mul(t, sym_int(t, c->parts), lower_total(l, shape, rank)), 1, false);
  vec_last(&l->out->stages).combines = true;
  if (s->sum)
    open_elements(g, s, &block, shape, rank, of);
  else
    threads_space(l, shape, rank, lanes, of, &hi);
  if (lanes > 1) loop_for(k, "j", of[rank - 1], hi, FOR_VECTOR, lanes, lower_tail(l), &of[rank - 1]);
  uint32_t acc = loop_reg(k, "sum", g->dtype, lanes, 0, NULL, lower_zero(l, g->dtype));
  Ex sum = ex_reg(k, acc, NULL, 0);
  loop_for(k, "p", ex_idx(k, 0), ex_idx(k, c->parts), FOR_SERIAL, 0, TAIL_NONE, index);
  loop_assign(k, acc, NULL, 0, ex_add(k, sum, ex_load(k, c->scratch, index, rank + 1, 0, 0)), 0);
  loop_end(k);
  lower_remember(l, g->v, of, rank, loop_let(k, "all", sum));
  store_elements(g, s, &block, of);
  while (k->depth) loop_end(k);
}

/* What the stages read and store becomes parameters of the kernel, which stand before the shared memory of sums: by a
 * stage that is not kept. */
static void declare_parameters(Gemm *g, const TileSums *s) {
  Lower *l = g->l;
  Ex zero = ex_idx(l->k, 0), at[MAX_RANK];
  DType type;
  loop_stage(l->k, "declared");
  for (int i = 0; i < MAX_RANK; i++) at[i] = g->batch[i] = g->xs[i] = g->ys[i] = g->k[i] = zero;
  operand(g, false, zero, &type);
  operand(g, true, zero, &type);
  lower_remember(l, g->v, at, graph_rank(l->g, g->v), lower_zero(l, g->dtype));
  lower_store_full(l, at);
  lower_pull(l, *graph_in(l->g, s->sum), at, graph_rank(l->g, g->v));
  lower_remember(l, s->sum, at, graph_rank(l->g, s->sum), lower_zero(l, DT_F32));
  lower_store_reduced(l, at);
  l->memo.n = 0;
  (void)vec_pop(&l->k->stages);
}

void gemm_threads(Gemm *g) {
  Lower *l = g->l;
  Arena *a = l->all->ctx->arena;
  const Sym *result = graph_shape(l->g, g->v);
  int rank = graph_rank(l->g, g->v), first = g->nb + g->nfx;
  ProductCut c = plan_cut(g);
  TileSums s = tile_sums_of(l, lower_total(l, result + g->nb, g->nfx), lower_total(l, result + first, g->nfy));
  const char *schedule = "product(threads";
  if (c.parts) {
    Sym shape[MAX_RANK + 1] = {sym_int(l->all->ctx->syms, c.parts)};
    memcpy(shape + 1, result, (size_t)rank * sizeof *shape);
    c.scratch = lower_scratch(l, "parts", g->dtype, shape, rank + 1, ARG_SCRATCH, 0);
    schedule = arena_printf(a, "%s, parts = %d", schedule, (int)c.parts);
  }
  if (s.sum) declare_parameters(g, &s);
  sum_stage(g, &c, &s);
  if (c.parts) combine_stage(g, &c, &s);
  if (s.sum) {
    tile_sums_stage(l, &s);
    schedule = arena_printf(a, "%s, sums of %d %s", schedule, LOOP_SUM_PART, s.along ? "columns" : "rows");
  }
  l->out->schedule = arena_printf(a, "%s)", schedule);
}
