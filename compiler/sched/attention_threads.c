/* Attention on a GPU: a warp has a few rows and walks over the keys, one a lane at a time. A lane works out the rows'
 * scores of its key; what the warp finds of them, largest and sum, is carried along (online softmax). Their
 * exponentials go through shared memory to the lanes that then have the columns of the results, in registers to the
 * end. Keys that a causal mask hides from all rows of the warp are left out. Rows beyond the last one repeat it and
 * store nothing. */
#include "attention.h"
#include "hole.h"
#include "threads.h"
#include <string.h>

enum { WARPS = 4, ROWS = 4, HELD = 8, PART = 4 }; /* of a block; of a warp; vectors of columns of all, of a part */

typedef struct Warp {
  Lower *l;
  Softmax parts;
  Gemm scores, result;
  DType dtype;
  int rank; /* of the scores and of the result */
  int nr, nv;
  Ex at[MAX_RANK]; /* the scores' index up to the row */
  Ex first, rows;  /* row of the warp; all rows */
  Ex keys, seen;   /* all keys; those that some row of the warp sees */
  Ex column;       /* of the lane */
  uint32_t e;      /* shared: exponentials of each warp's rows and 32 keys */
  uint32_t most, sum, out;
} Warp;

Ex attention_last(Kernel *k, Ex i, Ex n) { return ex_op2(k, OP_MINIMUM, i, ex_op2(k, OP_SUB, n, ex_idx(k, 1))); }

void attention_each(Kernel *k, const char *name, int n, Ex *var) {
  loop_for(k, name, ex_idx(k, 0), ex_idx(k, n), FOR_UNROLL, 0, TAIL_NONE, var);
}

static Ex literal(Warp *w, double x) { return ex_float(w->l->k, w->dtype, x); }

static Ex row_of(Warp *w, Ex i) { return attention_last(w->l->k, ex_add(w->l->k, w->first, i), w->rows); }

static Ex column_of(Warp *w, Ex v) {
  Kernel *k = w->l->k;
  return ex_add(k, w->column, ex_mul(k, v, ex_idx(k, LOOP_WARP_THREADS)));
}

static Ex exponential(Warp *w, Ex i, Ex j) {
  Ex at[3] = {loop_warp(w->l->k), i, j};
  return ex_load(w->l->k, w->e, at, 3, 0, 0);
}

/* The products of the lane's key with the rows, as vectors along the sum where both lie so. */
static uint32_t dots(Warp *w, Ex key, int lanes) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Gemm *g = &w->scores;
  int64_t nr = w->nr;
  Ex d, i, at[MAX_RANK], size = lower_dim(l, graph_shape(l->g, g->x)[g->cx[0]]);
  uint32_t t = loop_reg(k, "t", w->dtype, lanes, 1, &nr, lower_zero(l, w->dtype)), mark = l->memo.n;
  loop_for_step(k, "d", ex_idx(k, 0), size, lanes, &d);
  g->k[0] = lanes > 1 ? ex_add(k, d, ex_lane(k, lanes)) : d;
  gemm_operand_index(g, true, key, at);
  Ex b = loop_let(k, "b", lower_pull(l, g->y, at, graph_rank(l->g, g->y)));
  attention_each(k, "i", w->nr, &i);
  gemm_operand_index(g, false, row_of(w, i), at);
  Ex a = lower_pull(l, g->x, at, graph_rank(l->g, g->x));
  loop_assign(k, t, &i, 1, ex_op3(k, OP_FMA, a, b, ex_reg(k, t, &i, 1)), 0);
  loop_end(k);
  loop_end(k);
  l->memo.n = mark;
  return t;
}

/* The exponentials of 32 keys. A row that has seen nothing but -inf keeps distances from 0: its sum and results stay 0.
 */
static void exponentials(Warp *w, Ex block, int lanes) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Ex i, v, at[MAX_RANK], lane = loop_lane_id(k);
  Ex key = loop_let(k, "key", ex_add(k, block, lane)), there = loop_let(k, "there", attention_last(k, key, w->keys));
  uint32_t t = dots(w, there, lanes), mark = l->memo.n;
  attention_each(k, "i", w->nr, &i);
  memcpy(at, w->at, sizeof at);
  at[w->rank - 2] = loop_let(k, "row", row_of(w, i));
  at[w->rank - 1] = there;
  attention_limit(l, &w->parts, at[w->rank - 2]);
  Ex dot = ex_reg(k, t, &i, 1);
  lower_remember(l, w->scores.v, at, w->rank, loop_let(k, "dot", lanes > 1 ? ex_op1(k, OP_HADD, dot) : dot));
  Ex none = literal(w, -__builtin_inf()), score = lower_pull(l, w->parts.x, at, w->rank);
  score = loop_let(k, "score", ex_op3(k, OP_SELECT, ex_op2(k, OP_LESS, key, w->seen), score, none));
  Ex best = loop_reduce(k, "best", OP_MAXIMUM, LOOP_WARP, score);
  Ex old = loop_let(k, "old", ex_reg(k, w->most, &i, 1)), now = loop_let(k, "now", ex_op2(k, OP_MAXIMUM, old, best));
  Ex hidden = ex_op2(k, OP_EQUAL, now, none);
  Ex shift = loop_let(k, "shift", ex_op3(k, OP_SELECT, hidden, lower_zero(l, w->dtype), now));
  Ex decay = loop_let(k, "decay", ex_op1(k, OP_EXP_NEG, ex_op2(k, OP_SUB, old, shift)));
  Ex e = loop_let(k, "e", ex_op1(k, OP_EXP_NEG, ex_op2(k, OP_SUB, score, shift)));
  Ex total = loop_reduce(k, "total", OP_ADD, LOOP_WARP, e), place[3] = {loop_warp(k), i, lane};
  loop_store(k, w->e, place, 3, e, 0);
  loop_assign(k, w->most, &i, 1, now, 0);
  loop_assign(k, w->sum, &i, 1, ex_op3(k, OP_FMA, ex_reg(k, w->sum, &i, 1), decay, total), 0);
  attention_each(k, "v", w->nv, &v);
  Ex iv[2] = {i, v};
  loop_assign(k, w->out, iv, 2, ex_mul(k, ex_reg(k, w->out, iv, 2), decay), 0);
  loop_end(k);
  loop_end(k);
  l->memo.n = mark;
}

/* What the exponentials of the block's keys weigh of the values. */
static void weigh(Warp *w, Ex block) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Gemm *g = &w->result;
  int64_t nv = w->nv;
  Ex i, v, j, at[MAX_RANK], size = lower_dim(l, g->n);
  Ex left = loop_let(k, "left", ex_op2(k, OP_MINIMUM, ex_idx(k, LOOP_WARP_THREADS), ex_op2(k, OP_SUB, w->seen, block)));
  uint32_t mark = l->memo.n;
  loop_for(k, "j", ex_idx(k, 0), left, FOR_SERIAL, 0, TAIL_NONE, &j);
  uint32_t b = loop_reg(k, "b", w->dtype, 1, 1, &nv, 0);
  g->k[0] = ex_add(k, block, j);
  attention_each(k, "v", w->nv, &v);
  gemm_operand_index(g, true, attention_last(k, column_of(w, v), size), at);
  loop_assign(k, b, &v, 1, lower_pull(l, g->y, at, graph_rank(l->g, g->y)), 0);
  loop_end(k);
  l->memo.n = mark;
  attention_each(k, "i", w->nr, &i);
  Ex e = loop_let(k, "e", exponential(w, i, j));
  attention_each(k, "v", w->nv, &v);
  Ex iv[2] = {i, v};
  loop_assign(k, w->out, iv, 2, ex_op3(k, OP_FMA, e, ex_reg(k, b, &v, 1), ex_reg(k, w->out, iv, 2)), 0);
  loop_end(k);
  loop_end(k);
  loop_end(k);
}

/* By what the results of a row are multiplied or divided. A row of -inf alone has no sum: what the program makes of
 * that comes out. */
static Ex scale_of(Warp *w, const Ex *at, Ex most, Ex sum) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Ex best = loop_let(k, "most", most), lost = literal(w, w->parts.guarded ? 0 : __builtin_nan(""));
  Ex hidden = ex_op2(k, OP_EQUAL, best, literal(w, -__builtin_inf()));
  lower_remember(l, w->parts.most, at, w->rank - 1, best);
  lower_remember(l, w->parts.sum, at, w->rank - 1, loop_let(k, "sum", ex_op3(k, OP_SELECT, hidden, lost, sum)));
  return loop_let(k, "scale", lower_pull(l, w->parts.scale, at, w->rank));
}

static bool reduced(const Lower *l) {
  for (uint32_t i = 0; i < l->grp->outputs.n; i++)
    if (graph_rank(l->g, l->grp->outputs.at[i]) < l->grp->rank) return true;
  return false;
}

/* A sum over no keys is 0. */
static void finish(Warp *w) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Ex i, v, at[MAX_RANK], zero = ex_idx(k, 0);
  uint32_t mark = l->memo.n;
  int64_t least, most;
  sym_range(l->all->facts, graph_shape(l->g, w->scores.v)[w->rank - 1], &least, &most);
  attention_each(k, "i", w->nr, &i);
  Ex row = loop_let(k, "row", ex_add(k, w->first, i));
  loop_if(k, ex_op2(k, OP_LESS, row, w->rows));
  memcpy(at, w->at, sizeof at);
  at[w->rank - 2] = row;
  at[w->rank - 1] = zero;
  Ex scale = scale_of(w, at, ex_reg(k, w->most, &i, 1), ex_reg(k, w->sum, &i, 1));
  if (reduced(l)) {
    loop_if(k, ex_op2(k, OP_EQUAL, w->column, zero));
    lower_store_reduced(l, at);
    loop_end(k);
  }
  attention_each(k, "v", w->nv, &v);
  Ex iv[2] = {i, v}, y = ex_op2(k, w->parts.divides ? OP_DIV : OP_MUL, ex_reg(k, w->out, iv, 2), scale);
  if (least < 1) y = ex_op3(k, OP_SELECT, ex_op2(k, OP_GREATER, w->keys, zero), y, lower_zero(l, w->dtype));
  at[w->rank - 1] = loop_let(k, "column", column_of(w, v));
  loop_if(k, ex_op2(k, OP_LESS, at[w->rank - 1], lower_dim(l, w->result.n)));
  lower_remember(l, w->result.v, at, w->rank, loop_let(k, "y", y));
  lower_store_full(l, at);
  while (k->depth > 1) loop_end(k);
  l->memo.n = mark;
}

/* ---- the parts, for kernels written by hand ---- */

static void outer_at(Warp *w) {
  Gemm *g = &w->scores;
  for (int i = 0; i < g->nb; i++) g->batch[i] = w->at[i];
  for (int i = 0; i < g->nfx - 1; i++) g->xs[i] = w->at[g->nb + i];
  for (int i = 0; i < w->result.nb; i++) w->result.batch[i] = w->at[i];
}

/* The scores' place of a head. */
static void at_head(Warp *w, Ex head) {
  threads_index(w->l, head, graph_shape(w->l->g, w->scores.v), w->rank - 2, w->at);
  outer_at(w);
}

static void operand_hole(Warp *w, LoopHole *h, const LoopAttention *a, Gemm *g, bool right, bool contracted) {
  Ex var[3], at[MAX_RANK];
  Sym features = contracted ? graph_shape(w->l->g, w->scores.x)[w->scores.cx[0]] : w->result.n;
  hole_begin(w->l, h, 3, (Sym[]){a->heads, right ? a->keys : a->rows, features}, HOLE_RUN, var);
  at_head(w, var[0]);
  Ex d = ex_add(w->l->k, var[2], ex_lane(w->l->k, HOLE_RUN));
  g->k[0] = contracted ? d : var[1];
  gemm_operand_index(g, right, contracted ? var[1] : d, at);
  Id v = right ? g->y : g->x;
  hole_end(w->l, h, lower_pull(w->l, v, at, graph_rank(w->l->g, v)));
}

static void other_holes(Warp *w, LoopAttention *a) {
  Lower *l = w->l;
  Kernel *k = l->k;
  Ex var[3], *at = w->at;
  int row = w->rank - 2, last = w->rank - 1;
  hole_begin(l, &a->seen, 1, &a->rows, 1, var);
  hole_end(l, &a->seen, attention_seen(l, &w->parts, var[0], lower_dim(l, a->keys)));

  hole_begin(l, &a->score, 3, (Sym[]){a->heads, a->rows, a->keys}, 1, var);
  Ex x = hole_given(l, &a->score, 0, "x", w->dtype, 1);
  at_head(w, var[0]);
  at[row] = var[1], at[last] = var[2];
  attention_limit(l, &w->parts, at[row]);
  lower_remember(l, w->scores.v, at, w->rank, loop_let(k, "dot", x));
  hole_end(l, &a->score, lower_pull(l, w->parts.x, at, w->rank));

  for (int stored = 0; stored < 2; stored++) {
    LoopHole *h = stored ? &a->row : &a->scale;
    hole_begin(l, h, 2, (Sym[]){a->heads, a->rows}, 1, var);
    Ex most = hole_given(l, h, 0, "most", w->dtype, 1), sum = hole_given(l, h, 1, "sum", w->dtype, 1);
    at_head(w, var[0]);
    at[row] = var[1], at[last] = ex_idx(k, 0);
    x = scale_of(w, at, most, sum);
    if (stored) lower_store_reduced(l, at);
    hole_end(l, h, stored ? 0 : w->parts.divides ? ex_op2(k, OP_DIV, literal(w, 1), x) : x);
  }

  hole_begin(l, &a->store, 3, (Sym[]){a->heads, a->rows, w->result.n}, a->width, var);
  x = hole_given(l, &a->store, 0, "v", w->dtype, a->width);
  at_head(w, var[0]);
  at[row] = var[1], at[last] = ex_add(k, var[2], ex_lane(k, a->width));
  lower_remember(l, w->result.v, at, w->rank, x);
  lower_store_full(l, at);
  hole_end(l, &a->store, 0);
}

/* Also declares all parameters of the kernel: shared memory comes behind them. */
static LoopAttention *parts(Warp *w) {
  Lower *l = w->l;
  LoopAttention *a = ARENA_NEW(l->all->ctx->arena, LoopAttention);
  const Sym *shape = graph_shape(l->g, w->scores.v);
  Sym depth = graph_shape(l->g, w->scores.x)[w->scores.cx[0]];
  SymTab *t = l->all->ctx->syms;
  Id score = w->parts.x;
  *a = (LoopAttention){.heads = lower_total(l, shape, w->rank - 2),
                       .rows = shape[w->rank - 2],
                       .keys = shape[w->rank - 1],
                       .width = hole_width(l)};
  if (!sym_is_int(t, depth, &a->depth) || !sym_is_int(t, w->result.n, &a->columns)) a->depth = a->columns = 0;
  if (attention_hides(l, &w->parts)) score = graph_in(l->g, score)[1];
  a->factor = group_score_factor(l->g, score, w->scores.v);
  operand_hole(w, &a->q, a, &w->scores, false, true);
  operand_hole(w, &a->k, a, &w->scores, true, true);
  operand_hole(w, &a->v, a, &w->result, true, false);
  other_holes(w, a);
  return a;
}

/* ---- the stage ---- */

void attention_threads(Lower *l) {
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Warp own = {.l = l, .scores = gemm_of(l, attention_scores(l)), .result = gemm_of(l, l->grp->anchor)}, *w = &own;
  if (!group_attention(l->g, l->grp->anchor, &w->parts)) BUG("a group that is not attention");
  Gemm *g = &w->scores;
  w->dtype = g->dtype;
  w->rank = graph_rank(l->g, g->v);
  LoopAttention *attention = parts(w);
  const Sym *shape = graph_shape(l->g, g->v), n = w->result.n;
  Sym depth = graph_shape(l->g, g->x)[g->cx[0]], space[MAX_RANK];
  int64_t columns, width = LOOP_WARP_THREADS, rows;
  bool held = sym_is_int(t, n, &columns) && columns <= HELD * width;
  int batch = w->rank - 2;
  w->nv = held ? (int)((columns + width - 1) / width) : PART;
  w->nr = sym_is_int(t, shape[batch], &rows) && rows < ROWS ? rows > 1 ? (int)rows : 1 : ROWS;
  int rows_own = WARPS * w->nr, part = w->nv * LOOP_WARP_THREADS;
  memcpy(space, shape, (size_t)batch * sizeof *space);
  space[batch] = sym_div_up(t, shape[batch], sym_int(t, rows_own));
  space[batch + 1] = held ? sym_int(t, 1) : sym_div_up(t, n, sym_int(t, part));
  lower_stage(l, "main", sym_int(t, 0), 1, false);
  attention_work(g, n, rows_own);
  k->stage->attention = attention;
  Ex b = loop_axis(k, "b", lower_total(l, space, w->rank)), block;
  loop_threads(k, "t", WARPS * LOOP_WARP_THREADS);
  int lanes = lower_along(l, g->x, g->cx[0]) && lower_along(l, g->y, g->cy[0]) ? threads_lanes(l, depth) : 1;
  Sym dims[3] = {sym_int(t, WARPS), sym_int(t, w->nr), sym_int(t, LOOP_WARP_THREADS)};
  w->e = loop_alloc_shared(k, "e", w->dtype, dims, 3);
  threads_index(l, b, space, w->rank, w->at);
  outer_at(w);
  w->column = loop_let(k, "n", ex_add(k, ex_mul(k, w->at[batch + 1], ex_idx(k, part)), loop_lane_id(k)));
  Ex tile = ex_add(k, ex_mul(k, w->at[batch], ex_idx(k, WARPS)), loop_warp(k));
  w->first = loop_let(k, "first", ex_mul(k, tile, ex_idx(k, w->nr)));
  w->rows = lower_dim(l, shape[batch]);
  w->keys = lower_dim(l, shape[batch + 1]);
  loop_if(k, ex_op2(k, OP_LESS, w->first, w->rows));
  int64_t dim[2] = {w->nr, w->nv};
  w->most = loop_reg(k, "most", w->dtype, 1, 1, dim, literal(w, -__builtin_inf()));
  w->sum = loop_reg(k, "sum", w->dtype, 1, 1, dim, lower_zero(l, w->dtype));
  w->out = loop_reg(k, "out", w->dtype, 1, 2, dim, lower_zero(l, w->dtype));
  w->seen = attention_seen(l, &w->parts, row_of(w, ex_idx(k, w->nr - 1)), w->keys);
  loop_for_step(k, "block", ex_idx(k, 0), w->seen, LOOP_WARP_THREADS, &block);
  exponentials(w, block, lanes);
  loop_barrier(k, LOOP_WARP);
  weigh(w, block);
  loop_barrier(k, LOOP_WARP);
  loop_end(k);
  finish(w);
  loop_end(k);
  l->out->schedule = arena_printf(l->all->ctx->arena, "attention(threads = %d, rows = %d, lanes = %d, vectors = %d)",
                                  WARPS * LOOP_WARP_THREADS, w->nr, lanes, w->nv);
}
