/* One reduction over axes other than just the last, with its prologue inside the loops and its epilogue behind them.
 * The last axis is the vector axis: kept, each lane is a result of its own; reduced, the lanes fold at the end.
 *
 * Where little is kept and much is reduced there would be few tasks: then a reduced axis is cut into parts. The first
 * stage reduces each part into a row of scratch memory, the second one reduces these rows in their order and has the
 * epilogue. How many parts there are depends on shapes (and lanes) alone, so the result has the same bits for any
 * number of threads.
 *
 * On a GPU a thread has a vector of columns, or the threads of a block share the last axis. */
#include "fold.h"
#include "threads.h"
#include <string.h>

enum { BLOCK = 4 };                      /* vectors of columns that a task takes */
enum { FEW_TASKS = 16, ALL_TASKS = 32 }; /* up to so many tasks more are wanted, up to so many */
enum { PART = 1 << 15 };                 /* elements of a part at least */
enum { SUMS = 4, CHEAP = 8 };            /* registers; operations an element that leave room for them */
enum { WORTH_PARTS = 1 << 17 };          /* elements that may be reduced: fewer are not worth a second stage */
enum { FEW_BLOCKS = 256, ALL_BLOCKS = 512, BLOCK_PART = 1 << 13, BLOCK_WORTH = 1 << 15 }; /* the same for a GPU */

static const char *const AXIS[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};

typedef enum { WHOLE, PARTIAL, COMBINE } Part;

typedef struct Reduce {
  Lower *l;
  Id r, x; /* the reduction, its operand */
  Op op;
  DType dtype; /* of the accumulator */
  int rank, lanes;
  Sym shape[MAX_RANK];
  bool reduced[MAX_RANK];
  bool inner;  /* the last axis is reduced */
  bool flat;   /* all are, and count as one: the elements of the space */
  int merged;  /* so many last axes, all reduced, count as one */
  int threads; /* of a block; 0: for a processor */
  int sums;    /* registers that sum along the last axis, so that one addition need not wait for another */
  int cut;     /* the axis that is cut into parts, -1: none is */
  Sym rows, parts;
  int most;         /* parts at most */
  uint32_t scratch; /* [parts][kept axes] */
} Reduce;

static Ex finish(Lower *l, Id r, Ex e) {
  return graph_dtype(l->g, r) == DT_BOOL ? ex_op2(l->k, OP_NOT_EQUAL, e, ex_int(l->k, DT_I32, 0)) : e;
}

static int64_t most_of(const Lower *l, Sym s) {
  int64_t lo, hi;
  sym_range(l->all->facts, s, &lo, &hi);
  return hi;
}

/* Columns that a task takes. */
static int columns_of(const Reduce *q) { return q->threads ? q->threads * q->lanes : BLOCK * q->lanes; }

/* Whether and how a reduced axis is cut: the longest, into parts of at least PART elements. */
static void plan_parts(Reduce *q) {
  const Lower *l = q->l;
  SymTab *t = l->all->ctx->syms;
  Sym one = sym_int(t, 1), tasks = one, others = one, total = lower_total(l, q->shape, q->rank);
  int64_t n;
  q->cut = -1;
  for (int i = 0; i < q->rank; i++) {
    bool columns = i == q->rank - 1 && !q->inner;
    if (q->reduced[i])
      q->cut = q->cut < 0 || most_of(l, q->shape[i]) > most_of(l, q->shape[q->cut]) ? i : q->cut;
    else
      tasks = sym_mul(t, tasks, columns ? sym_div_up(t, q->shape[i], sym_int(t, columns_of(q))) : q->shape[i]);
  }
  if (most_of(l, tasks) > (q->threads ? FEW_BLOCKS : FEW_TASKS) ||
      most_of(l, total) < (q->threads ? BLOCK_WORTH : WORTH_PARTS)) {
    q->cut = -1;
    return;
  }
  q->most = (int)((q->threads ? ALL_BLOCKS : ALL_TASKS) / most_of(l, tasks));
  for (int i = 0; i < q->rank; i++)
    if (i != q->cut) others = sym_mul(t, others, q->shape[i]);
  if (!sym_nonneg(l->all->facts, sym_sub(t, others, one))) others = sym_op(t, SYM_MAX, others, one);
  Sym least = sym_op(t, SYM_MAX, one, sym_op(t, SYM_FLOORDIV, sym_int(t, q->threads ? BLOCK_PART : PART), others));
  q->rows = sym_op(t, SYM_MAX, least, sym_div_up(t, q->shape[q->cut], sym_int(t, q->most)));
  if (q->cut == q->rank - 1) q->rows = sym_round_up(t, q->rows, sym_int(t, q->lanes));
  q->parts = sym_div_up(t, q->shape[q->cut], q->rows);
  if (sym_is_int(t, q->parts, &n)) q->most = (int)n;
  if (q->most < 2) q->cut = -1;
}

static uint32_t parts_memory(Reduce *q) {
  Sym shape[MAX_RANK + 1] = {sym_int(q->l->all->ctx->syms, q->most)};
  int n = graph_rank(q->l->g, q->r);
  memcpy(shape + 1, graph_shape(q->l->g, q->r), (size_t)n * sizeof *shape);
  return lower_scratch(q->l, "parts", q->dtype, shape, n + 1, ARG_SCRATCH, 0);
}

/* lo..hi of an axis, of the part of it if it is cut. */
static void bounds(Reduce *q, int axis, Ex part, Ex *lo, Ex *hi) {
  Kernel *k = q->l->k;
  *lo = ex_idx(k, 0);
  *hi = lower_dim(q->l, q->shape[axis]);
  if (!part || axis != q->cut) return;
  Ex rows = loop_let(k, "rows", lower_dim(q->l, q->rows));
  *lo = loop_let(k, "lo", ex_mul(k, part, rows));
  *hi = loop_let(k, "hi", ex_op2(k, OP_MINIMUM, *hi, ex_add(k, *lo, rows)));
}

static void axis_loop(Reduce *q, int axis, Ex part, Ex *index) {
  Ex lo, hi;
  bounds(q, axis, part, &lo, &hi);
  loop_for(q->l->k, AXIS[axis], lo, hi, FOR_SERIAL, 0, TAIL_NONE, index);
}

static void accumulate(Reduce *q, uint32_t acc, Ex *in, Ex sum) {
  Lower *l = q->l;
  uint32_t mark = l->memo.n;
  Ex at[MAX_RANK], line = in[q->rank - 1];
  int rank = graph_rank(l->g, q->x);
  for (int i = 0; i < rank; i++) at[i] = i < q->rank - 1 ? in[i] : ex_idx(l->k, 0);
  at[rank - 1] = line;
  if (q->flat) l->flat = 1, l->at[0] = line;
  if (q->merged > 1) l->merged = q->merged, l->line = line;
  Ex e = lower_pull(l, q->x, at, rank), old = ex_reg(l->k, acc, &sum, q->sums > 1);
  if (graph_dtype(l->g, q->x) == DT_BOOL) e = ex_convert(l->k, DT_I32, e);
  loop_assign(l->k, acc, &sum, q->sums > 1, ex_op2(l->k, fold_step(q->op), old, e), 0);
  l->flat = l->merged = 0;
  l->memo.n = mark;
}

/* The operand's elements along all reduced axes into the accumulator. */
static void reduce_loops(Reduce *q, uint32_t acc, Ex part, Ex *in) {
  Kernel *k = q->l->k;
  int depth = k->depth, last = q->rank - 1;
  Ex lo, hi, zero = ex_idx(k, 0);
  for (int i = 0; i < last; i++)
    if (q->reduced[i]) axis_loop(q, i, part, &in[i]);
  if (q->inner) {
    bounds(q, last, part, &lo, &hi);
    if (q->sums > 1) { /* blocks of several vectors, then the rest */
      Ex step = ex_idx(k, q->sums * q->lanes), block, sum, size = ex_op2(k, OP_SUB, hi, lo),
         blocks = loop_let(k, "blocks", ex_op2(k, OP_FLOOR_DIV, size, step));
      loop_for(k, "block", zero, blocks, FOR_SERIAL, 0, TAIL_NONE, &block);
      loop_for(k, "s", zero, ex_idx(k, q->sums), FOR_UNROLL, 0, TAIL_NONE, &sum);
      Ex first = ex_add(k, ex_add(k, lo, ex_mul(k, block, step)), ex_mul(k, sum, ex_idx(k, q->lanes)));
      in[last] = ex_add(k, first, ex_lane(k, q->lanes));
      accumulate(q, acc, in, sum);
      loop_end(k);
      loop_end(k);
      lo = ex_add(k, lo, ex_mul(k, blocks, step));
    }
    if (q->threads) { /* whole vectors in turn */
      Ex v;
      threads_loop(q->l, "v", zero, ex_op2(k, OP_FLOOR_DIV, ex_op2(k, OP_SUB, hi, lo), ex_idx(k, q->lanes)), &v);
      in[last] = ex_add(k, lo, ex_mul(k, v, ex_idx(k, q->lanes)));
      if (q->lanes > 1) in[last] = ex_add(k, in[last], ex_lane(k, q->lanes));
    } else
      loop_for(k, "j", lo, hi, FOR_VECTOR, q->lanes, lower_tail(q->l), &in[last]);
  }
  accumulate(q, acc, in, zero);
  while (k->depth > depth) loop_end(k);
}

/* Of all its registers: (0 + 1) + (2 + 3), then lanes. */
static Ex accumulated(Reduce *q, uint32_t acc) {
  Kernel *k = q->l->k;
  Ex e = 0;
  for (int s = 0; s < q->sums; s += 2) {
    Ex at[2] = {ex_idx(k, s), ex_idx(k, s + 1)}, x = ex_reg(k, acc, at, q->sums > 1);
    if (q->sums > 1) x = ex_op2(k, fold_step(q->op), x, ex_reg(k, acc, at + 1, 1));
    e = e ? ex_op2(k, fold_step(q->op), e, x) : x;
  }
  return q->inner && q->lanes > 1 ? ex_op1(k, fold_lanes(q->op), e) : e;
}

/* The columns lo..hi, a vector at a time; of a thread they are one vector or fewer. */
static void open_columns(Reduce *q, Ex lo, Ex hi, Ex *index) {
  Kernel *k = q->l->k;
  *index = lo;
  if (q->lanes > 1)
    loop_for(k, "j", lo, hi, FOR_VECTOR, q->lanes, lower_tail(q->l), index);
  else
    loop_if(k, ex_op2(k, OP_LESS, lo, lower_dim(q->l, q->shape[q->rank - 1])));
}

static void reduce_stage(Reduce *q, Part what) {
  static const char *const stage_name[] = {"main", "partial", "combine"};
  Lower *l = q->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  const int last = q->rank - 1;
  int n = 0, axes = 0;
  Ex in[MAX_RANK] = {0}, out[MAX_RANK + 1], zero = ex_idx(k, 0), part = 0, e;
  Sym elements = what == COMBINE ? sym_mul(t, q->parts, lower_total(l, graph_shape(l->g, q->r), graph_rank(l->g, q->r)))
                                 : lower_total(l, q->shape, q->rank);
  lower_stage(l, stage_name[what], elements, what == COMBINE ? 1 : l->grp->cost, false);
  vec_last(&l->out->stages).combines = what == COMBINE;
  if (what == PARTIAL) part = loop_axis(k, "p", q->parts), axes++;
  for (int i = 0; i < (q->inner ? q->rank : last); i++) /* kept axes: tasks, as far as they go */
    if (!q->reduced[i] && axes < LOOP_AXES - 1) in[i] = loop_axis(k, AXIS[i], q->shape[i]), axes++;
  Ex lo = zero, hi = 0;
  if (!q->inner) { /* columns: a task takes a few vectors of them */
    int mine = columns_of(q);
    Ex c = loop_axis(k, "c", sym_div_up(t, q->shape[last], sym_int(t, mine)));
    lo = ex_mul(k, c, ex_idx(k, mine));
    if (q->threads) {
      mine = q->lanes;
      lo = loop_let(k, "lo", ex_add(k, lo, ex_mul(k, loop_threads(k, "t", q->threads), ex_idx(k, mine))));
    }
    hi = ex_op2(k, OP_MINIMUM, lower_dim(l, q->shape[last]), ex_add(k, lo, ex_idx(k, mine)));
  } else if (!axes)
    loop_axis(k, "t", sym_int(t, 1));
  if (q->inner && q->threads) {
    loop_threads(k, "t", q->threads);
    l->team = (Team){LOOP_BLOCK, loop_tid(k), q->threads};
  }
  for (int i = 0; i < last; i++)
    if (!q->reduced[i] && !in[i]) axis_loop(q, i, 0, &in[i]);
  if (!q->inner) open_columns(q, lo, hi, &in[last]);
  for (int i = 0; i < q->rank; i++)
    if (!q->reduced[i]) out[1 + n++] = in[i];
  if (what == COMBINE) {
    uint32_t acc = loop_reg(k, "acc", q->dtype, q->inner ? 1 : q->lanes, 0, NULL, fold_start(l, q->op, q->dtype));
    if (l->team.threads)
      threads_loop(l, "p", zero, lower_dim(l, q->parts), &out[0]);
    else
      loop_for(k, "p", zero, lower_dim(l, q->parts), FOR_SERIAL, 0, TAIL_NONE, &out[0]);
    e = ex_load(k, q->scratch, out, n + 1, 0, 0);
    loop_assign(k, acc, NULL, 0, ex_op2(k, fold_step(q->op), ex_reg(k, acc, NULL, 0), e), 0);
    loop_end(k);
    e = ex_reg(k, acc, NULL, 0);
  } else {
    int64_t sums = q->sums;
    uint32_t acc = loop_reg(k, "acc", q->dtype, q->lanes, sums > 1, &sums, fold_start(l, q->op, q->dtype));
    reduce_loops(q, acc, part, in);
    e = accumulated(q, acc);
  }
  if (l->team.threads) {
    e = threads_reduce(l, "sum", fold_step(q->op), e);
    threads_first(l);
  }
  if (what == PARTIAL) {
    out[0] = part;
    loop_store(k, q->scratch, out, n + 1, e, 0);
  } else {
    lower_remember(l, q->r, out + 1, n, loop_let(k, "sum", finish(l, q->r, e)));
    lower_store_outputs(l, out + 1);
  }
  while (k->depth) loop_end(k);
  l->team = (Team){0};
}

/* Whether all axes are reduced and every value can be found by the number of its element. */
static bool is_flat(const Reduce *q) {
  const Lower *l = q->l;
  const Graph *g = l->g;
  const Group *grp = l->grp;
  if (graph_rank(g, q->r) || q->rank < 2 || grp->rank != q->rank ||
      memcmp(grp->space, q->shape, (size_t)q->rank * sizeof(Sym)) || !elem_flat(l, q->x, false))
    return false;
  for (uint32_t i = 0; i < grp->members.n; i++)
    if (graph_rank(g, grp->members.at[i]) && !elem_flat(l, grp->members.at[i], true)) return false;
  return true;
}

static Reduce reduction(Lower *l, Id r) {
  Reduce q = {.l = l, .r = r, .x = *graph_in(l->g, r), .op = graph_op(l->g, r), .lanes = lower_lanes(l), .sums = 1};
  int n;
  const int64_t *axes = graph_attr(l->g, r, "axes", &n);
  q.dtype = fold_dtype(graph_dtype(l->g, r));
  q.rank = graph_rank(l->g, q.x);
  memcpy(q.shape, graph_shape(l->g, q.x), (size_t)q.rank * sizeof *q.shape);
  for (int i = 0; i < n; i++) q.reduced[axes[i]] = true;
  q.inner = q.reduced[q.rank - 1];
  q.flat = is_flat(&q);
  if (q.flat) {
    q.shape[0] = lower_total(l, q.shape, q.rank);
    q.rank = 1;
  }
  int last_reduced = 0;
  while (last_reduced < q.rank && q.reduced[q.rank - 1 - last_reduced]) last_reduced++;
  q.merged = last_reduced > 1 && !lower_gpu(l) ? elem_merged(l, q.shape, q.rank, r) : 1;
  if (q.merged > last_reduced) q.merged = last_reduced;
  if (q.merged > 1) {
    q.rank -= q.merged - 1;
    q.shape[q.rank - 1] = lower_total(l, q.shape + q.rank - 1, q.merged);
    q.reduced[q.rank - 1] = true;
  }
  if (lower_gpu(l)) {
    int whole = l->all->target->vector_bytes / (int)dtype_size(q.dtype); /* of columns, whose parts wait in memory */
    q.lanes = threads_lanes(l, q.shape[q.rank - 1]);
    if (!q.inner && q.lanes > whole) q.lanes = whole;
    q.threads = threads_for(most_of(l, q.shape[q.rank - 1]) / q.lanes, THREADS);
  } else if (q.inner && l->grp->cost <= CHEAP && most_of(l, q.shape[q.rank - 1]) >= 2 * SUMS * q.lanes)
    q.sums = SUMS;
  plan_parts(&q);
  return q;
}

static void lower_reduction(Reduce *q) {
  Lower *l = q->l;
  Ctx *c = l->all->ctx;
  const char *parts = "";
  if (q->cut >= 0) {
    q->scratch = parts_memory(q);
    reduce_stage(q, PARTIAL);
    reduce_stage(q, COMBINE);
    parts = arena_printf(c->arena, ", parts = %s%d", sym_is_int(c->syms, q->parts, NULL) ? "" : "up to ", q->most);
  } else
    reduce_stage(q, WHOLE);
  if (q->threads) {
    l->out->schedule = arena_printf(c->arena, "threads(%s, threads = %d, vectorize = %d%s)",
                                    q->inner ? "rows" : "columns", q->threads, q->lanes, parts);
    return;
  }
  l->out->schedule = arena_printf(c->arena, "steps(%s, vectorize = %d, tail = %s%s)",
                                  q->flat         ? "fuse"
                                  : q->merged > 1 ? arena_printf(c->arena, "rows, fuse = %d", q->merged)
                                  : q->inner      ? "rows"
                                                  : "columns",
                                  q->lanes, lower_tail(l) == TAIL_MASK ? "mask" : "peel", parts);
}

void strat_reduce(Lower *l) {
  Reduce q = reduction(l, l->grp->anchor);
  lower_reduction(&q);
}

/* The one reduction of a group of rows all of whose outputs are like it; else 0. */
static Id only_reduction(const Lower *l) {
  const Graph *g = l->g;
  Id r = 0;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    OpClass cls = OP_INFO[graph_op(g, v)].cls;
    if (cls == CLASS_ARG || (cls == CLASS_REDUCE && r)) return 0;
    if (cls == CLASS_REDUCE) r = v;
  }
  for (uint32_t i = 0; r && i < l->grp->outputs.n; i++) {
    Id y = l->grp->outputs.at[i];
    if (graph_rank(g, y) != graph_rank(g, r) ||
        memcmp(graph_shape(g, y), graph_shape(g, r), (size_t)graph_rank(g, r) * sizeof(Sym)))
      return 0;
  }
  return r;
}

bool strat_reduce_rows(Lower *l) {
  Id r = only_reduction(l);
  if (!r) return false;
  Reduce q = reduction(l, r);
  if (q.cut >= 0) lower_reduction(&q);
  return q.cut >= 0;
}
