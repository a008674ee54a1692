/* The gradient of attention on a GPU (pass/attention_grad.c): of the queries, row by row, or of keys and values, key by
 * key. A warp has a few of them, its own, and walks over the others, 32 at a time, one a lane: the products of both,
 * the weight and its slope. What the results are sums of then goes through shared memory to the lanes that have columns
 * of the results, in registers to the end. Others that no own one sees are left out. Own ones beyond the last repeat it
 * and store nothing. */
#include "attention.h"
#include "hole.h"
#include "threads.h"
#include <string.h>

enum { WARPS = 4, OWN = 4, HELD = 8, PART = 4 }; /* of a block; of a warp; vectors of columns of all, of a part */

typedef struct Grad {
  Lower *l;
  Gemm inner[2]; /* products of the scores, products of cotangents and values; the second may be missing */
  int inners;
  Gemm result[2]; /* of the group's last products, whose left sides are rows by keys */
  int results;
  bool of_keys;  /* the results' rows are keys */
  Softmax parts; /* of which it has but x, the scores, and e, the weights */
  Id lse;        /* of each row */
  DType dtype;
  int rank;
  int count, nv;   /* own ones of a warp; vectors of columns */
  Ex at[MAX_RANK]; /* the place of the head */
  Ex first;        /* own one of the warp */
  Ex column;       /* of the lane */
  uint32_t shared, out[2];
} Grad;

static bool is_member(const Lower *l, Id v) { return l->all->groups->of[v] == l->number; }

/* The members' parts. */
static void find_parts(Grad *w) {
  Lower *l = w->l;
  const Graph *g = l->g;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    if (graph_op(g, v) == OP_DOT_GENERAL) {
      if (is_member(l, *graph_in(g, v)))
        w->result[w->results++] = gemm_of(l, v);
      else
        w->inner[w->inners++] = gemm_of(l, v);
    }
  }
  int n;
  w->rank = graph_rank(g, w->inner[0].v);
  w->dtype = w->inner[0].dtype;
  w->of_keys = graph_attr(g, w->result[0].v, "contract", &n)[0] == w->rank - 2;
}

static Ex literal(Grad *w, double x) { return ex_float(w->l->k, w->dtype, x); }

static Sym extent(const Grad *w, bool keys) { return graph_shape(w->l->g, w->inner[0].v)[w->rank - (keys ? 1 : 2)]; }

static Ex own_one(Grad *w, Ex i) {
  return attention_last(w->l->k, ex_add(w->l->k, w->first, i), lower_dim(w->l, extent(w, w->of_keys)));
}

static Ex column_of(Grad *w, Ex v) {
  Kernel *k = w->l->k;
  return ex_add(k, w->column, ex_mul(k, v, ex_idx(k, LOOP_WARP_THREADS)));
}

static void at_head(Grad *w, Ex head) {
  threads_index(w->l, head, graph_shape(w->l->g, w->inner[0].v), w->rank - 2, w->at);
  for (int p = 0; p < w->inners + w->results; p++) {
    Gemm *g = p < w->inners ? &w->inner[p] : &w->result[p - w->inners];
    for (int i = 0; i < g->nb; i++) g->batch[i] = w->at[i];
    for (int i = 0; i < g->nfx - 1; i++) g->xs[i] = w->at[g->nb + i];
  }
}

/* The place of a score. */
static void at_pair(Grad *w, Ex own, Ex other) {
  w->at[w->rank - 2] = w->of_keys ? other : own;
  w->at[w->rank - 1] = w->of_keys ? own : other;
}

/* The products of an inner one between the lane's other and the warp's own ones; lanes along the sum where both lie so.
 */
static uint32_t dots(Grad *w, Gemm *g, Ex other, int lanes) {
  Lower *l = w->l;
  Kernel *k = l->k;
  int64_t count = w->count;
  bool right = w->of_keys; /* own ones are rows of the right side */
  Ex d, i, at[MAX_RANK], size = lower_dim(l, graph_shape(l->g, g->x)[g->cx[0]]);
  uint32_t t = loop_reg(k, "t", w->dtype, lanes, 1, &count, lower_zero(l, w->dtype)), mark = l->memo.n;
  loop_for_step(k, "d", ex_idx(k, 0), size, lanes, &d);
  g->k[0] = lanes > 1 ? ex_add(k, d, ex_lane(k, lanes)) : d;
  gemm_operand_index(g, !right, other, at);
  Id v = right ? g->x : g->y, own = right ? g->y : g->x;
  Ex b = loop_let(k, "b", lower_pull(l, v, at, graph_rank(l->g, v)));
  attention_each(k, "i", w->count, &i);
  gemm_operand_index(g, right, own_one(w, i), at);
  Ex a = lower_pull(l, own, at, graph_rank(l->g, own));
  loop_assign(k, t, &i, 1, ex_op3(k, OP_FMA, a, b, ex_reg(k, t, &i, 1)), 0);
  loop_end(k);
  loop_end(k);
  l->memo.n = mark;
  if (lanes == 1) return t;
  uint32_t whole = loop_reg(k, "dot", w->dtype, 1, 1, &count, 0);
  attention_each(k, "i", w->count, &i);
  loop_assign(k, whole, &i, 1, ex_op1(k, OP_HADD, ex_reg(k, t, &i, 1)), 0);
  loop_end(k);
  return whole;
}

static int sum_lanes(Grad *w, const Gemm *g) {
  Lower *l = w->l;
  bool along = lower_along(l, g->x, g->cx[0]) && lower_along(l, g->y, g->cy[0]);
  return along ? threads_lanes(l, graph_shape(l->g, g->x)[g->cx[0]]) : 1;
}

/* What the results sum of the own ones and 32 others. */
static void terms(Grad *w, Ex block, Ex others) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Ex i, lane = loop_lane_id(k), other = loop_let(k, "other", ex_add(k, block, lane)),
        there = loop_let(k, "there", attention_last(k, other, others));
  uint32_t t[2], mark = l->memo.n;
  for (int p = 0; p < w->inners; p++) t[p] = dots(w, &w->inner[p], there, sum_lanes(w, &w->inner[p]));
  attention_each(k, "i", w->count, &i);
  at_pair(w, loop_let(k, "own", own_one(w, i)), there);
  attention_limit(l, &w->parts, w->at[w->rank - 2]);
  for (int p = 0; p < w->inners; p++)
    lower_remember(l, w->inner[p].v, w->at, w->rank, loop_let(k, "x", ex_reg(k, t[p], &i, 1)));
  for (int r = 0; r < w->results; r++) {
    Ex c = lower_pull(l, w->result[r].x, w->at, w->rank), place[4] = {loop_warp(k), ex_idx(k, r), i, lane};
    c = ex_op3(k, OP_SELECT, ex_op2(k, OP_LESS, other, others), c, literal(w, 0));
    loop_store(k, w->shared, place, 4, c, 0);
  }
  loop_end(k);
  l->memo.n = mark;
}

/* Adds the block's terms to the results. */
static void add_terms(Grad *w, Ex block, Ex others) {
  Lower *l = w->l;
  Kernel *k = l->k;
  int64_t nv = w->nv;
  Ex i, v, j, at[MAX_RANK], size = lower_dim(l, w->result[0].n);
  Ex left = ex_op2(k, OP_MINIMUM, ex_idx(k, LOOP_WARP_THREADS), ex_op2(k, OP_SUB, others, block));
  uint32_t mark = l->memo.n;
  loop_for(k, "j", ex_idx(k, 0), loop_let(k, "left", left), FOR_SERIAL, 0, TAIL_NONE, &j);
  for (int r = 0; r < w->results; r++) {
    Gemm *g = &w->result[r];
    uint32_t b = loop_reg(k, "b", w->dtype, 1, 1, &nv, 0);
    g->k[0] = ex_add(k, block, j);
    attention_each(k, "v", w->nv, &v);
    gemm_operand_index(g, true, attention_last(k, column_of(w, v), size), at);
    loop_assign(k, b, &v, 1, lower_pull(l, g->y, at, graph_rank(l->g, g->y)), 0);
    loop_end(k);
    l->memo.n = mark;
    attention_each(k, "i", w->count, &i);
    Ex place[4] = {loop_warp(k), ex_idx(k, r), i, j}, term = loop_let(k, "term", ex_load(k, w->shared, place, 4, 0, 0));
    attention_each(k, "v", w->nv, &v);
    Ex iv[2] = {i, v}, sum = ex_op3(k, OP_FMA, term, ex_reg(k, b, &v, 1), ex_reg(k, w->out[r], iv, 2));
    loop_assign(k, w->out[r], iv, 2, sum, 0);
    loop_end(k);
    loop_end(k);
  }
  loop_end(k);
}

static void store_results(Grad *w, Ex own, Ex column, const Ex *value) {
  Lower *l = w->l;
  Ex at[MAX_RANK];
  memcpy(at, w->at, sizeof at);
  at[w->rank - 2] = own;
  at[w->rank - 1] = column;
  for (int r = 0; r < w->results; r++) lower_remember(l, w->result[r].v, at, w->rank, value[r]);
  lower_store_full(l, at);
}

static void finish(Grad *w) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Ex i, v, value[2];
  uint32_t mark = l->memo.n;
  attention_each(k, "i", w->count, &i);
  Ex own = loop_let(k, "own", ex_add(k, w->first, i));
  loop_if(k, ex_op2(k, OP_LESS, own, lower_dim(l, extent(w, w->of_keys))));
  attention_each(k, "v", w->nv, &v);
  Ex column = loop_let(k, "column", column_of(w, v)), iv[2] = {i, v};
  loop_if(k, ex_op2(k, OP_LESS, column, lower_dim(l, w->result[0].n)));
  for (int r = 0; r < w->results; r++) value[r] = loop_let(k, "y", ex_reg(k, w->out[r], iv, 2));
  store_results(w, own, column, value);
  while (k->depth > 1) loop_end(k);
  l->memo.n = mark;
}

/* ---- the parts, for kernels written by hand ---- */

/* The exponential among the members, whose operand is score - lse. */
static void find_rows(Grad *w) {
  const Graph *g = w->l->g;
  for (uint32_t i = 0; i < w->l->grp->members.n; i++) {
    Id v = w->l->grp->members.at[i], difference = graph_op(g, v) == OP_EXP ? *graph_in(g, v) : 0;
    if (!difference || graph_op(g, difference) != OP_SUB) continue;
    Id lse = graph_in(g, difference)[1];
    if (graph_op(g, lse) != OP_BROADCAST || !group_copied(g, lse)) continue; /* one of the program's */
    w->parts.x = graph_in(g, difference)[0];
    w->parts.e = v;
    w->lse = *graph_in(g, lse);
  }
}

/* The sums that slope = weight * (products - sums) * factor has a row; 0: it is not so. `hidden`: what masks scores
 * masks slopes too, which their weights of 0 do already. */
static Id find_mean(Grad *w, Id slope, double factor, bool hides) {
  const Graph *g = w->l->g;
  double x, times = 1;
  for (Id v = slope;;) {
    const Id *in = graph_in(g, v);
    Op op = graph_op(g, v);
    if (hides && op == OP_SELECT && in[0] == graph_in(g, w->parts.x)[0] && graph_constant(g, in[2], &x) && x == 0)
      v = in[1];
    else if (op == OP_MUL && graph_constant(g, in[1], &x))
      v = in[0], times *= x;
    else if (op == OP_MUL && graph_constant(g, in[0], &x))
      v = in[1], times *= x;
    else if (op == OP_MUL && (in[0] == w->parts.e || in[1] == w->parts.e)) {
      Id d = in[in[0] == w->parts.e];
      if (graph_op(g, d) != OP_SUB || graph_in(g, d)[0] != w->inner[1].v) return 0;
      d = graph_in(g, d)[1];
      return graph_op(g, d) == OP_BROADCAST && (float)times == (float)factor ? *graph_in(g, d) : 0;
    } else
      return 0;
  }
}

static void operand_hole(Grad *w, LoopHole *h, const LoopAttentionGrad *a, Gemm *g, bool right) {
  Ex var[3], at[MAX_RANK];
  hole_begin(w->l, h, 3, (Sym[]){a->heads, right ? a->keys : a->rows, graph_shape(w->l->g, g->x)[g->cx[0]]}, HOLE_RUN,
             var);
  at_head(w, var[0]);
  g->k[0] = ex_add(w->l->k, var[2], ex_lane(w->l->k, HOLE_RUN));
  gemm_operand_index(g, right, var[1], at);
  Id v = right ? g->y : g->x;
  hole_end(w->l, h, lower_pull(w->l, v, at, graph_rank(w->l->g, v)));
}

/* The right side of a result. */
static void column_hole(Grad *w, LoopHole *h, const LoopAttentionGrad *a, Gemm *g) {
  Ex var[3], at[MAX_RANK];
  hole_begin(w->l, h, 3, (Sym[]){a->heads, w->of_keys ? a->rows : a->keys, g->n}, 1, var);
  at_head(w, var[0]);
  g->k[0] = var[1];
  gemm_operand_index(g, true, var[2], at);
  hole_end(w->l, h, lower_pull(w->l, g->y, at, graph_rank(w->l->g, g->y)));
}

/* A value of the group from the inner products. */
static void pair_hole(Grad *w, LoopHole *h, const LoopAttentionGrad *a, Id value, int inners) {
  static const char *const name[] = {"x", "dp"};
  Lower *l = w->l;
  Ex var[3], given[2];
  hole_begin(l, h, 3, (Sym[]){a->heads, a->rows, a->keys}, 1, var);
  for (int p = 0; p < inners; p++) given[p] = hole_given(l, h, p, name[p], w->dtype, 1);
  at_head(w, var[0]);
  w->at[w->rank - 2] = var[1], w->at[w->rank - 1] = var[2];
  attention_limit(l, &w->parts, var[1]);
  for (int p = 0; p < inners; p++) lower_remember(l, w->inner[p].v, w->at, w->rank, loop_let(l->k, "dot", given[p]));
  hole_end(l, h, lower_pull(l, value, w->at, w->rank));
}

static void row_hole(Grad *w, LoopHole *h, const LoopAttentionGrad *a, Id value) {
  Ex var[2];
  hole_begin(w->l, h, 2, (Sym[]){a->heads, a->rows}, 1, var);
  at_head(w, var[0]);
  w->at[w->rank - 2] = var[1];
  hole_end(w->l, h, lower_pull(w->l, value, w->at, w->rank - 1));
}

static Sym depth(const Grad *w, int p) { return graph_shape(w->l->g, w->inner[p].x)[w->inner[p].cx[0]]; }

/* Whether what a kernel written by hand reads of the results' products is what it reads of the inner ones. */
static bool same_operands(const Grad *w) {
  const Gemm *s = w->inner, *d = w->inner + 1, *r = w->result;
  if (w->inners < 2 || depth(w, 0) != depth(w, 1) || r->n != depth(w, 0)) return false;
  return r->y == (w->of_keys ? s->x : s->y) && (w->results < 2 || (r[1].y == d->x && r[1].x == w->parts.e));
}

/* Also declares all parameters of the kernel: shared memory comes behind them. NULL: no kernel written by hand fits. */
static LoopAttentionGrad *grad_parts(Grad *w) {
  Lower *l = w->l;
  const Graph *g = l->g;
  LoopAttentionGrad *a = ARENA_NEW(l->all->ctx->arena, LoopAttentionGrad);
  LoopHole other;
  const Sym *shape = graph_shape(g, w->inner[0].v);
  Ex var[3], given[2];
  *a = (LoopAttentionGrad){.of_keys = w->of_keys,
                           .of_values = w->results == 2,
                           .heads = lower_total(l, shape, w->rank - 2),
                           .rows = shape[w->rank - 2],
                           .keys = shape[w->rank - 1],
                           .width = hole_width(l)};
  if (!sym_is_int(l->all->ctx->syms, w->result[0].n, &a->depth)) a->depth = 0;
  for (int p = 0; p < w->inners; p++) {
    operand_hole(w, p ? &a->g : &a->q, a, &w->inner[p], false);
    operand_hole(w, p ? &a->v : &a->k, a, &w->inner[p], true);
  }
  for (int r = 0; r < w->results; r++) column_hole(w, &other, a, &w->result[r]);
  hole_begin(l, &a->seen, 1, &a->rows, 1, var);
  hole_end(l, &a->seen, attention_seen(l, &w->parts, var[0], lower_dim(l, a->keys)));
  pair_hole(w, &a->weight, a, w->parts.e, 1);
  pair_hole(w, &a->slope, a, w->result[0].x, w->inners);
  bool hides = attention_hides(l, &w->parts);
  a->factor = group_score_factor(g, hides ? graph_in(g, w->parts.x)[1] : w->parts.x, w->inner[0].v);
  Id mean = a->factor > 0 && w->inners == 2 ? find_mean(w, w->result[0].x, a->factor, hides) : 0;
  if (!mean) a->factor = 0;
  row_hole(w, &a->lse, a, w->lse);
  if (mean) row_hole(w, &a->mean, a, mean);
  hole_begin(l, &a->store, 3, (Sym[]){a->heads, w->of_keys ? a->keys : a->rows, w->result[0].n}, a->width, var);
  for (int r = 0; r < (w->of_keys ? 2 : 1); r++) /* values' may be no result */
    given[r] = hole_given(l, &a->store, r, r ? "dv" : "d", w->dtype, a->width);
  at_head(w, var[0]);
  store_results(w, var[1], ex_add(l->k, var[2], ex_lane(l->k, a->width)), given);
  hole_end(l, &a->store, 0);
  return same_operands(w) ? a : NULL;
}

/* ---- the stage ---- */

void attention_grad_threads(Lower *l) {
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Grad own = {.l = l}, *w = &own;
  find_parts(w);
  find_rows(w);
  if (!w->results || !w->inners || !w->parts.e) BUG("a copy that is no gradient of attention");
  LoopAttentionGrad *parts = grad_parts(w);
  const Sym *shape = graph_shape(l->g, w->inner[0].v), n = w->result[0].n;
  Sym space[MAX_RANK], owns = extent(w, w->of_keys), dims[4];
  int64_t columns, width = LOOP_WARP_THREADS, count, dim[2];
  bool held = sym_is_int(t, n, &columns) && columns <= HELD * width;
  int lead = w->rank - 2;
  w->nv = held ? (int)((columns + width - 1) / width) : PART;
  w->count = sym_is_int(t, owns, &count) && count < OWN ? count > 1 ? (int)count : 1 : OWN;
  memcpy(space, shape, (size_t)lead * sizeof *space);
  space[lead] = sym_div_up(t, owns, sym_int(t, WARPS * w->count));
  space[lead + 1] = held ? sym_int(t, 1) : sym_div_up(t, n, sym_int(t, PART * width));
  lower_stage(l, "main", sym_int(t, 0), 1, false);
  attention_work(&w->inner[0], sym_mul(t, n, sym_int(t, w->inners - 1 + w->results)), WARPS * w->count);
  k->stage->attention_grad = parts;
  Ex b = loop_axis(k, "b", lower_total(l, space, w->rank)), block, others, index[MAX_RANK];
  loop_threads(k, "t", WARPS * LOOP_WARP_THREADS);
  for (int p = 0; p < w->inners; p++) (void)sum_lanes(w, &w->inner[p]);
  dims[0] = sym_int(t, WARPS), dims[1] = sym_int(t, w->results), dims[2] = sym_int(t, w->count),
  dims[3] = sym_int(t, width);
  w->shared = loop_alloc_shared(k, "terms", w->dtype, dims, 4);
  threads_index(l, b, space, w->rank, index);
  memcpy(w->at, index, sizeof w->at);
  for (int p = 0; p < w->inners + w->results; p++) {
    Gemm *g = p < w->inners ? &w->inner[p] : &w->result[p - w->inners];
    for (int i = 0; i < g->nb; i++) g->batch[i] = index[i];
    for (int i = 0; i < g->nfx - 1; i++) g->xs[i] = index[g->nb + i];
  }
  w->column = loop_let(k, "n", ex_add(k, ex_mul(k, index[lead + 1], ex_idx(k, w->nv * width)), loop_lane_id(k)));
  Ex tile = ex_add(k, ex_mul(k, index[lead], ex_idx(k, WARPS)), loop_warp(k));
  w->first = loop_let(k, "first", ex_mul(k, tile, ex_idx(k, w->count)));
  loop_if(k, ex_op2(k, OP_LESS, w->first, lower_dim(l, owns)));
  dim[0] = w->count, dim[1] = w->nv;
  for (int r = 0; r < w->results; r++) w->out[r] = loop_reg(k, "out", w->dtype, 1, 2, dim, lower_zero(l, w->dtype));
  others = lower_dim(l, extent(w, !w->of_keys));
  if (!w->of_keys) others = attention_seen(l, &w->parts, own_one(w, ex_idx(k, w->count - 1)), others);
  loop_for_step(k, "block", ex_idx(k, 0), others, width, &block);
  if (w->of_keys && attention_hides(l, &w->parts)) { /* rows that do not see the first own key are left out */
    Ex row = loop_let(k, "row", attention_last(k, ex_add(k, block, ex_idx(k, width - 1)), others));
    loop_if(k, ex_op2(k, OP_LESS, w->first, attention_seen(l, &w->parts, row, lower_dim(l, owns))));
  }
  terms(w, block, others);
  loop_barrier(k, LOOP_WARP);
  add_terms(w, block, others);
  loop_barrier(k, LOOP_WARP);
  while (k->depth > 1) loop_end(k);
  finish(w);
  loop_end(k);
  l->out->schedule = arena_printf(l->all->ctx->arena, "attention_grad(threads = %d, %s = %d, vectors = %d)",
                                  (int)(WARPS * width), w->of_keys ? "keys" : "rows", w->count, w->nv);
}
