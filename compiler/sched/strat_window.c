/* Pooling and its gradient. A pool takes a vector of the last axis at a time and walks the window; so does the gradient
 * of max pooling where windows do not meet, else it goes window by window within the axes that no window spans (on a
 * GPU: element by element). */
#include "fold.h"
#include "nest.h"
#include <string.h>

static const char *const AXIS[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
static const char *const WINDOW[] = {"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"};
/* Windows of up to so many elements are unrolled. */
#define UNROLL 16

static bool not_above(const Lower *l, Sym s, int64_t most) {
  int64_t n;
  return sym_is_int(l->all->ctx->syms, s, &n) && n <= most;
}

static bool is_int(const Lower *l, Sym s, int64_t want) {
  int64_t n;
  return sym_is_int(l->all->ctx->syms, s, &n) && n == want;
}

Ex window_place(Lower *l, const Windows *w, int i, Sym n, Ex p, Ex e, Ex *inside) {
  Kernel *k = l->k;
  Ex at = ex_add(k, ex_mul(k, p, ex_idx(k, w->stride[i])), ex_mul(k, e, ex_idx(k, w->step[i])));
  at = ex_op2(k, OP_SUB, at, lower_dim(l, w->lo[i]));
  if (not_above(l, w->lo[i], 0) && not_above(l, w->hi[i], 0) && w->base[i] == 1) return at;
  Ex base = ex_idx(k, w->base[i]), ok = ex_op2(k, OP_GREATER_EQUAL, at, ex_idx(k, 0));
  if (w->base[i] > 1) {
    ok = ex_op2(k, OP_AND, ok, ex_op2(k, OP_EQUAL, ex_op2(k, OP_FLOOR_MOD, at, base), ex_idx(k, 0)));
    at = ex_op2(k, OP_FLOOR_DIV, at, base);
  }
  ok = ex_op2(k, OP_AND, ok, ex_op2(k, OP_LESS, at, lower_dim(l, n)));
  *inside = *inside ? ex_op2(k, OP_AND, *inside, ok) : ok;
  return at;
}

Ex window_pull(Lower *l, Id v, const Ex *index, int n, Ex inside, Ex other) {
  if (!inside) return lower_pull(l, v, index, n);
  const Graph *g = l->g;
  Kernel *k = l->k;
  Ex at[MAX_RANK], from[MAX_RANK];
  Id x = v;
  int m;
  memcpy(at, index, (size_t)n * sizeof *at);
  while (graph_op(g, x) == OP_TRANSPOSE && !lower_in_memory(l, x)) {
    const int64_t *axes = graph_attr(g, x, "axes", &m);
    memcpy(from, at, sizeof from);
    for (int i = 0; i < n; i++) at[axes[i]] = from[i];
    x = *graph_in(g, x);
  }
  Id memory = lower_memory(l, x);
  if (!memory && graph_op(g, x) == OP_RESHAPE) memory = lower_memory(l, *graph_in(g, x));
  if (memory) {
    uint32_t b = lower_param(l, memory, graph_shape(g, x), n, false);
    if (graph_dtype(g, memory) == graph_dtype(g, v)) return loop_let(k, "x", ex_load(k, b, at, n, inside, other));
    Ex e = loop_let(k, "x", ex_load(k, b, at, n, inside, 0)); /* 0 in every type */
    e = ex_convert(k, graph_dtype(g, v), e);
    return other == lower_zero(l, graph_dtype(g, v)) ? e : loop_let(k, "x", ex_op3(k, OP_SELECT, inside, e, other));
  }
  for (int i = 0; i < n; i++) {
    Ex last = ex_op2(k, OP_SUB, lower_dim(l, graph_shape(g, v)[i]), ex_idx(k, 1));
    at[i] = ex_op2(k, OP_MAXIMUM, ex_op2(k, OP_MINIMUM, index[i], last), ex_idx(k, 0));
  }
  return loop_let(k, "x", ex_op3(k, OP_SELECT, inside, lower_pull(l, v, at, n), other));
}

/* Opens loops over the window's elements; their numbers in e. */
static void open_window(Lower *l, const Windows *w, Ex *e) {
  Kernel *k = l->k;
  int64_t all = 1, size;
  for (int i = 0; i < w->n; i++)
    if (sym_is_int(l->all->ctx->syms, w->size[i], &size)) all *= size;
  for (int i = 0; i < w->n; i++) {
    e[i] = ex_idx(k, 0);
    if (!is_int(l, w->size[i], 1))
      loop_for(k, WINDOW[i], e[i], lower_dim(l, w->size[i]), all <= UNROLL ? FOR_UNROLL : FOR_SERIAL, 0, TAIL_NONE,
               &e[i]);
  }
}

static double window_cost(const Lower *l, const Windows *w) {
  int64_t size;
  double cost = 2;
  for (int i = 0; i < w->n; i++)
    if (sym_is_int(l->all->ctx->syms, w->size[i], &size)) cost *= (double)size;
  return cost;
}

/* Lanes for the last axis of a shape: no more than hold it. */
static int lanes_of(const Lower *l, const Sym *shape, int rank) {
  int lanes = lower_lanes(l);
  while (rank && lanes > 2 && not_above(l, shape[rank - 1], lanes / 2)) lanes /= 2;
  return lanes;
}

static void pool(Lower *l, Id v, const Windows *w) {
  Kernel *k = l->k;
  Id x = *graph_in(l->g, v);
  DType d = graph_dtype(l->g, v);
  Op fold = graph_op(l->g, v) == OP_WINDOW_SUM ? OP_REDUCE_SUM : OP_REDUCE_MAX;
  int rank = w->n, lanes = rank ? lanes_of(l, graph_shape(l->g, v), rank) : 0;
  Ex p[MAX_RANK], e[MAX_RANK], at[MAX_RANK], inside = 0, start = fold_start(l, fold, d);
  if (window_rows(l, v, w, window_cost(l, w))) return;
  lower_stage(l, "main", lower_total(l, graph_shape(l->g, v), rank), window_cost(l, w), false);
  nest_open(l, graph_shape(l->g, v), rank, lanes, p);
  uint32_t acc = loop_reg(k, "acc", d, lanes ? lanes : 1, 0, NULL, start), mark = l->memo.n;
  int depth = k->depth;
  open_window(l, w, e);
  for (int i = 0; i < rank; i++) at[i] = window_place(l, w, i, graph_shape(l->g, x)[i], p[i], e[i], &inside);
  Ex value = window_pull(l, x, at, rank, inside, start);
  loop_assign(k, acc, NULL, 0, ex_op2(k, fold_step(fold), ex_reg(k, acc, NULL, 0), value), 0);
  while (k->depth > depth) loop_end(k);
  l->memo.n = mark;
  lower_store(l, v, p, rank, ex_reg(k, acc, NULL, 0));
  nest_close(l);
}

static Ex newly_nan(Lower *l, Ex value, Ex old) {
  Kernel *k = l->k;
  return ex_op2(k, OP_AND, ex_op1(k, OP_IS_NAN, value), ex_op1(k, OP_NOT, ex_op1(k, OP_IS_NAN, old)));
}

Ex window_wins(Lower *l, Ex value, Ex old, Ex none) {
  Ex win = ex_op2(l->k, OP_GREATER, value, old);
  if (dtype_is_float(ex_at(l->k, value)->dtype)) win = ex_op2(l->k, OP_OR, win, newly_nan(l, value, old));
  return loop_let(l->k, "win", ex_op2(l->k, OP_OR, win, none));
}

/* Where window p of x has its first maximum, in `at`; the answer is whether there is one. */
static Ex first_maximum(Lower *l, Id x, const Windows *w, const Ex *p, Ex *at) {
  Kernel *k = l->k;
  DType d = graph_dtype(l->g, x);
  Ex zero = ex_int(k, DT_I64, 0), e[MAX_RANK], q[MAX_RANK], inside = 0;
  uint32_t best = loop_reg(k, "best", d, 1, 0, NULL, lower_zero(l, d)),
           some = loop_reg(k, "some", DT_I64, 1, 0, NULL, zero);
  uint32_t where[MAX_RANK], mark = l->memo.n;
  for (int i = 0; i < w->n; i++) where[i] = loop_reg(k, "where", DT_I64, 1, 0, NULL, zero);
  int depth = k->depth;
  open_window(l, w, e);
  for (int i = 0; i < w->n; i++) q[i] = window_place(l, w, i, graph_shape(l->g, x)[i], p[i], e[i], &inside);
  Ex value = loop_let(k, "x", window_pull(l, x, q, w->n, inside, lower_zero(l, d))), old = ex_reg(k, best, NULL, 0);
  Ex win = ex_op2(k, OP_GREATER, value, old);
  if (dtype_is_float(d)) win = ex_op2(k, OP_OR, win, newly_nan(l, value, old));
  win = ex_op2(k, OP_OR, win, ex_op2(k, OP_EQUAL, ex_reg(k, some, NULL, 0), zero));
  win = loop_let(k, "win", inside ? ex_op2(k, OP_AND, inside, win) : win);
  loop_assign(k, some, NULL, 0, ex_op3(k, OP_SELECT, win, ex_int(k, DT_I64, 1), ex_reg(k, some, NULL, 0)), 0);
  for (int i = 0; i < w->n; i++)
    loop_assign(k, where[i], NULL, 0,
                ex_op3(k, OP_SELECT, win, ex_convert(k, DT_I64, q[i]), ex_reg(k, where[i], NULL, 0)), 0);
  loop_assign(k, best, NULL, 0, ex_op3(k, OP_SELECT, win, value, old), 0);
  while (k->depth > depth) loop_end(k);
  l->memo.n = mark;
  for (int i = 0; i < w->n; i++) at[i] = loop_let(k, "at", ex_convert(k, DT_IDX, ex_reg(k, where[i], NULL, 0)));
  return loop_let(k, "found", ex_op2(k, OP_NOT_EQUAL, ex_reg(k, some, NULL, 0), zero));
}

static void select_gather(Lower *l, Id v, const Windows *w) {
  Id x = graph_in(l->g, v)[0], other = graph_in(l->g, v)[1];
  Ex p[MAX_RANK], at[MAX_RANK];
  lower_stage(l, "main", lower_total(l, graph_shape(l->g, v), w->n), 3 * window_cost(l, w), false);
  nest_open(l, graph_shape(l->g, v), w->n, 0, p);
  Ex found = first_maximum(l, x, w, p, at);
  lower_store(l, v, p, w->n, window_pull(l, other, at, w->n, found, lower_zero(l, graph_dtype(l->g, v))));
  nest_close(l);
}

static bool spans_nothing(const Lower *l, const Windows *w, int i) {
  return is_int(l, w->size[i], 1) && is_int(l, w->lo[i], 0) && is_int(l, w->hi[i], 0) && w->stride[i] == 1 &&
         w->base[i] == 1;
}

static void open_tasks(Lower *l, const Sym *shape, int n, Ex *index) {
  if (lower_gpu(l)) {
    nest_open(l, shape, n, 0, index);
    return;
  }
  for (int a = 0; a < n; a++) index[a] = loop_axis(l->k, AXIS[a], shape[a]);
  if (!n) loop_axis(l->k, "t", sym_int(l->all->ctx->syms, 1));
}

/* Windows that have nothing around them and do not meet: every element is in one of them at most. */
static bool apart(const Lower *l, const Windows *w) {
  int64_t size, most = 1;
  for (int i = 0; i < w->n; i++) {
    bool reaches = !sym_is_int(l->all->ctx->syms, w->size[i], &size) || (size - 1) * w->step[i] >= w->stride[i];
    if (reaches || w->base[i] > 1 || !is_int(l, w->lo[i], 0) || !is_int(l, w->hi[i], 0)) return false;
    most *= size;
  }
  return w->n && most <= UNROLL;
}

/* Every element is in one of windows that are apart. */
static bool covered(const Lower *l, Id v, const Windows *w) {
  SymTab *t = l->all->ctx->syms;
  const Sym *x = graph_shape(l->g, v), *p = graph_shape(l->g, graph_in(l->g, v)[1]);
  for (int i = 0; i < w->n; i++)
    if (!is_int(l, w->size[i], w->stride[i]) || w->step[i] > 1 || x[i] != sym_mul(t, p[i], sym_int(t, w->stride[i])))
      return false;
  return true;
}

/* A vector of windows at a time: the number of the first maximum among a window's elements, then all of them. */
static void scatter_apart(Lower *l, Id v, const Windows *w, uint32_t y) {
  Kernel *k = l->k;
  Id x = graph_in(l->g, v)[0], update = graph_in(l->g, v)[1];
  DType d = graph_dtype(l->g, v);
  int rank = w->n, lanes = lanes_of(l, graph_shape(l->g, update), rank), element = 0;
  Ex p[MAX_RANK], e[MAX_RANK], at[MAX_RANK], inside = 0, zero = lower_zero(l, d), number = ex_idx(k, 0);
  lower_stage(l, "add", lower_total(l, graph_shape(l->g, update), rank), 3 * window_cost(l, w), false);
  nest_open(l, graph_shape(l->g, update), rank, lanes, p);
  uint32_t best = loop_reg(k, "best", d, lanes, 0, NULL, zero), mark = l->memo.n;
  uint32_t first = loop_reg(k, "first", DT_I32, lanes, 0, NULL, ex_int(k, DT_I32, -1));
  int depth = k->depth;
  for (int pass = 0; pass < 2; pass++) {
    Ex g = pass ? ex_add(k, lower_pull(l, update, p, rank), zero) : 0, /* a sum: of -0 it is 0 */
        old = ex_reg(k, best, NULL, 0), won = ex_reg(k, first, NULL, 0);
    open_window(l, w, e);
    for (int i = element = 0; i < rank; i++) {
      at[i] = window_place(l, w, i, graph_shape(l->g, x)[i], p[i], e[i], &inside);
      number = i ? ex_add(k, ex_mul(k, number, lower_dim(l, w->size[i])), e[i]) : e[i];
    }
    Ex mine = ex_convert(k, DT_I32, number);
    if (pass) {
      loop_store(k, y, at, rank, ex_op3(k, OP_SELECT, ex_op2(k, OP_EQUAL, won, mine), g, zero), 0);
    } else {
      Ex value = lower_pull(l, x, at, rank),
         win = window_wins(l, value, old, ex_op2(k, OP_LESS, won, ex_int(k, DT_I32, 0)));
      loop_assign(k, first, NULL, 0, ex_op3(k, OP_SELECT, win, mine, won), 0);
      loop_assign(k, best, NULL, 0, ex_op3(k, OP_SELECT, win, value, old), 0);
    }
    while (k->depth > depth) loop_end(k);
    l->memo.n = mark;
  }
  nest_close(l);
}

/* On a GPU a thread has one element: it finds the maximum of each window that it is in, and takes the updates of those
 * that are its own, in the order of the windows. */
static void take_updates(Lower *l, Id v, const Windows *w) {
  Kernel *k = l->k;
  Id x = graph_in(l->g, v)[0], update = graph_in(l->g, v)[1];
  DType d = graph_dtype(l->g, v);
  Ex q[MAX_RANK], p[MAX_RANK], at[MAX_RANK], e, inside = 0, zero = ex_idx(k, 0);
  int rank = w->n;
  lower_stage(l, "main", lower_total(l, graph_shape(l->g, v), rank), window_cost(l, w) * window_cost(l, w), false);
  nest_open(l, graph_shape(l->g, v), rank, 0, q);
  uint32_t acc = loop_reg(k, "acc", d, 1, 0, NULL, lower_zero(l, d)), mark = l->memo.n;
  int depth = k->depth;
  for (int i = 0; i < rank; i++) {
    p[i] = q[i];
    if (spans_nothing(l, w, i)) continue;
    Ex size = lower_dim(l, w->size[i]), stride = ex_idx(k, w->stride[i]);
    loop_for(k, WINDOW[i], zero, size, FOR_SERIAL, 0, TAIL_NONE, &e);
    e = ex_op2(k, OP_SUB, ex_op2(k, OP_SUB, size, ex_idx(k, 1)), e); /* the first window has it last */
    Ex begin = ex_add(k, ex_mul(k, q[i], ex_idx(k, w->base[i])), lower_dim(l, w->lo[i]));
    begin = loop_let(k, "begin", ex_op2(k, OP_SUB, begin, ex_mul(k, e, ex_idx(k, w->step[i]))));
    p[i] = loop_let(k, "p", ex_op2(k, OP_FLOOR_DIV, begin, stride));
    Ex ok = ex_op2(k, OP_AND, ex_op2(k, OP_GREATER_EQUAL, begin, zero),
                   ex_op2(k, OP_LESS, p[i], lower_dim(l, graph_shape(l->g, update)[i])));
    if (w->stride[i] > 1) ok = ex_op2(k, OP_AND, ok, ex_op2(k, OP_EQUAL, begin, ex_mul(k, p[i], stride)));
    inside = inside ? ex_op2(k, OP_AND, inside, ok) : ok;
  }
  if (inside) loop_if(k, inside);
  Ex mine = first_maximum(l, x, w, p, at);
  for (int i = 0; i < rank; i++) mine = ex_op2(k, OP_AND, mine, ex_op2(k, OP_EQUAL, at[i], q[i]));
  loop_if(k, mine);
  loop_assign(k, acc, NULL, 0, ex_add(k, ex_reg(k, acc, NULL, 0), lower_pull(l, update, p, rank)), 0);
  while (k->depth > depth) loop_end(k);
  l->memo.n = mark;
  lower_store(l, v, q, rank, ex_reg(k, acc, NULL, 0));
  nest_close(l);
}

static void select_scatter(Lower *l, Id v, const Windows *w) {
  Kernel *k = l->k;
  Id x = graph_in(l->g, v)[0], update = graph_in(l->g, v)[1];
  Ex p[MAX_RANK], at[MAX_RANK], zero = lower_zero(l, graph_dtype(l->g, v)), i;
  int rank = w->n, outer = 0;
  bool alone = apart(l, w);
  if (lower_gpu(l) && !alone) {
    take_updates(l, v, w);
    return;
  }
  uint32_t y = nest_result(l, v);
  if (alone && covered(l, v, w)) {
    if (window_rows(l, v, w, 3 * window_cost(l, w))) return;
    scatter_apart(l, v, w, y);
    return;
  }
  while (outer < rank && outer < LOOP_AXES && spans_nothing(l, w, outer)) outer++;
  lower_stage(l, "zero", lower_total(l, graph_shape(l->g, v), rank), 1, false);
  int axes = lower_gpu(l) ? rank : outer;
  open_tasks(l, graph_shape(l->g, v), axes, at);
  for (int a = axes; a < rank; a++) {
    bool last = a == rank - 1;
    loop_for(k, AXIS[a], ex_idx(k, 0), lower_dim(l, graph_shape(l->g, v)[a]), last ? FOR_VECTOR : FOR_SERIAL,
             last ? lower_lanes(l) : 0, last ? lower_tail(l) : TAIL_NONE, &at[a]);
  }
  loop_store(k, y, at, rank, zero, 0);
  nest_close(l);
  if (alone) {
    scatter_apart(l, v, w, y);
    return;
  }
  lower_stage(l, "add", lower_total(l, graph_shape(l->g, update), rank), 4 * window_cost(l, w),
              false); /* the same tasks */
  open_tasks(l, graph_shape(l->g, v), outer, p);
  for (int a = outer; a < rank; a++) {
    loop_for(k, AXIS[a], ex_idx(k, 0), lower_dim(l, graph_shape(l->g, update)[a]), FOR_SERIAL, 0, TAIL_NONE, &i);
    p[a] = i;
  }
  Ex found = first_maximum(l, x, w, p, at), e = lower_pull(l, update, p, rank);
  loop_if(k, found);
  loop_store(k, y, at, rank, ex_add(k, ex_load(k, y, at, rank, 0, 0), e), 0);
  nest_close(l);
}

void strat_window(Lower *l) {
  Id v = l->grp->anchor;
  Windows w;
  window_read(l->g, v, &w);
  l->out->schedule = "window";
  if (graph_op(l->g, v) == OP_SELECT_SCATTER)
    select_scatter(l, v, &w);
  else if (graph_op(l->g, v) == OP_SELECT_GATHER)
    select_gather(l, v, &w);
  else
    pool(l, v, &w);
}
