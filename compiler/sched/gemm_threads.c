/* Products for a GPU in plain form: a thread has one element of the result and reads the operands as they lie. The
 * stage keeps its parts beside it (LoopProduct), by which emit/cuda_skeleton.c can put a kernel with tiles in its
 * place.
 */
#include "gemm.h"
#include "threads.h"
#include <math.h>
#include <string.h>

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

/* ---- a sum in parts ---- */

typedef struct Cut { /* parts 0: the sum is whole */
  int64_t parts;
  Sym chunk; /* of the first axis summed over */
  uint32_t scratch;
} Cut;

enum { BLOCKS = 216, TILE = 128 }; /* that fill a GPU; of a side */
enum { TERMS = 512, PARTS = 32 };  /* of a part, at least; at most */

/* Where the result has few tiles and the sum is long, as in the gradients of weights, parts of it are work for more
 * blocks. Their number is fixed, their length follows the sizes; each begins at a multiple of 8
 * terms, of an only axis of 16 bits of 64: where a step of a tile begins. */
static Cut plan_cut(Gemm *g) {
  const Lower *l = g->l;
  const Graph *gr = l->g;
  SymTab *t = gr->ctx->syms;
  const Sym *shape = graph_shape(gr, g->v);
  int rank = graph_rank(gr, g->v), first = g->nb + g->nfx;
  Sym inner = sym_int(t, 1);
  if (g->dtype != DT_F32 || !g->nc || rank == LOOP_RANK) return (Cut){0};
  for (int i = 1; i < g->nc; i++) inner = sym_mul(t, inner, graph_shape(gr, g->x)[g->cx[i]]);
  Sym axis = graph_shape(gr, g->x)[g->cx[0]];
  double terms = loop_likely(l->k, sym_mul(t, axis, inner)), tiles = loop_likely(l->k, sym_product(t, shape, g->nb));
  tiles *= ceil(loop_likely(l->k, sym_product(t, shape + g->nb, g->nfx)) / TILE);
  tiles *= ceil(loop_likely(l->k, sym_product(t, shape + first, rank - first)) / TILE);
  double parts = fmin(fmin(floor(BLOCKS / tiles), floor(terms / TERMS)), fmin(PARTS, loop_likely(l->k, axis)));
  if (!(parts >= 2)) return (Cut){0};
  Cut c = {.parts = (int64_t)parts, .chunk = sym_div_up(t, axis, sym_int(t, (int64_t)parts))};
  int64_t begins = g->nc == 1 && dtype_is_half(lower_packed_type(l, g->x)) ? 64 : 8;
  if (!sym_divides(l->all->facts, begins, inner)) c.chunk = sym_round_up(t, c.chunk, sym_int(t, begins));
  return c;
}

/* ---- stages ---- */

static void open_sums(Gemm *g, const Cut *c, Ex part) {
  static const char *const name[] = {"k", "k1", "k2", "k3", "k4", "k5", "k6", "k7"};
  Lower *l = g->l;
  Kernel *k = l->k;
  LoopProduct *p = k->stage->product;
  for (int i = 0; i < g->nc; i++) {
    Sym extent = graph_shape(l->g, g->x)[g->cx[i]];
    Ex lo = ex_idx(k, 0), hi = lower_dim(l, extent);
    if (!i && c->parts) {
      Ex chunk = lower_dim(l, c->chunk);
      lo = loop_let(k, "lo", ex_mul(k, part, chunk));
      hi = ex_op2(k, OP_MINIMUM, hi, ex_add(k, lo, chunk));
    }
    loop_for(k, name[i], lo, hi, FOR_SERIAL, 0, TAIL_NONE, &g->k[i]);
    axes_add(l, &p->sums, g->k[i], extent);
  }
}

static void sum_stage(Gemm *g, const Cut *c) {
  Lower *l = g->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int cut = c->parts > 0, rank = graph_rank(l->g, g->v) + cut, first = cut + g->nb, second = first + g->nfx;
  Sym shape[MAX_RANK + 1], products = sym_mul(t, gemm_column(g), g->m);
  Ex index[MAX_RANK + 1], row = ex_idx(k, 0), column = ex_idx(k, 0);
  lower_stage(l, cut ? "partial" : "main", products, 1, false);
  lower_products(l, products, g->lanes, sym_int(t, 0));
  shape[0] = sym_int(t, c->parts);
  memcpy(shape + cut, graph_shape(l->g, g->v), (size_t)(rank - cut) * sizeof *shape);
  LoopProduct *p = k->stage->product = ARENA_NEW(l->all->ctx->arena, LoopProduct);
  if (rank)
    threads_index(l, threads_line(l, lower_total(l, shape, rank)), shape, rank, index);
  else
    threads_one(l);
  for (int i = 0; i < rank; i++)
    axes_add(l, i < first ? &p->outer : i < second ? &p->rows : &p->columns, index[i], shape[i]);
  if (cut) p->part = p->outer.var[0], p->chunk = c->chunk;
  for (int i = 0; i < g->nb; i++) g->batch[i] = index[cut + i];
  for (int i = 0; i < g->nfx; i++) g->xs[i] = row = index[first + i];
  for (int i = 0; i < g->nfy; i++) g->ys[i] = column = index[second + i];
  p->sum = loop_reg(k, "sum", g->dtype, 1, 0, NULL, lower_zero(l, g->dtype));
  Ex sum = ex_reg(k, p->sum, NULL, 0);
  open_sums(g, c, cut ? index[0] : 0);
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
  if (cut)
    loop_store(k, c->scratch, index, rank, sum, 0);
  else {
    lower_remember(l, g->v, index, rank, sum);
    lower_store_outputs(l, index);
  }
  p->epilogue = *at;
  while (k->depth) loop_end(k);
}

/* The parts in their order, a vector of columns a thread. */
static void combine_stage(Gemm *g, const Cut *c) {
  Lower *l = g->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int rank = graph_rank(l->g, g->v);
  const Sym *shape = graph_shape(l->g, g->v);
  int lanes = rank ? threads_lanes(l, shape[rank - 1]) : 1;
  Ex index[MAX_RANK + 1], hi, *of = index + 1;
  lower_stage(l, "combine", sym_mul(t, sym_int(t, c->parts), lower_total(l, shape, rank)), 1, false);
  vec_last(&l->out->stages).combines = true;
  threads_space(l, shape, rank, lanes, of, &hi);
  if (lanes > 1) loop_for(k, "j", of[rank - 1], hi, FOR_VECTOR, lanes, lower_tail(l), &of[rank - 1]);
  uint32_t acc = loop_reg(k, "sum", g->dtype, lanes, 0, NULL, lower_zero(l, g->dtype));
  Ex sum = ex_reg(k, acc, NULL, 0);
  loop_for(k, "p", ex_idx(k, 0), ex_idx(k, c->parts), FOR_SERIAL, 0, TAIL_NONE, index);
  loop_assign(k, acc, NULL, 0, ex_add(k, sum, ex_load(k, c->scratch, index, rank + 1, 0, 0)), 0);
  loop_end(k);
  lower_remember(l, g->v, of, rank, loop_let(k, "all", sum));
  lower_store_outputs(l, of);
  while (k->depth) loop_end(k);
}

void gemm_threads(Gemm *g) {
  Lower *l = g->l;
  Cut c = plan_cut(g);
  if (!c.parts) {
    sum_stage(g, &c);
    l->out->schedule = "product(threads)";
    return;
  }
  Sym shape[MAX_RANK + 1] = {sym_int(l->all->ctx->syms, c.parts)};
  int rank = graph_rank(l->g, g->v);
  memcpy(shape + 1, graph_shape(l->g, g->v), (size_t)rank * sizeof *shape);
  c.scratch = lower_scratch(l, "parts", g->dtype, shape, rank + 1, ARG_SCRATCH, 0);
  sum_stage(g, &c);
  combine_stage(g, &c);
  l->out->schedule = arena_printf(l->all->ctx->arena, "product(threads, parts = %d)", (int)c.parts);
}
