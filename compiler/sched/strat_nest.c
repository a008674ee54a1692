/* One node by its plain loop nest: arg-max and arg-min over an axis that is not the last, scatter_add, dynamic_update,
 * concat. Correct first: what becomes hot gets a strategy of its own. */
#include "fold.h"
#include "nest.h"
#include <string.h>

static const char *const AXIS[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};

void nest_open(Lower *l, const Sym *shape, int rank, int lanes, Ex *index) {
  Kernel *k = l->k;
  if (lower_gpu(l)) {
    Ex end;
    threads_space(l, shape, rank, 1, index, &end);
    return;
  }
  int last = lanes ? rank - 1 : rank, axes = last < LOOP_AXES ? last : LOOP_AXES;
  for (int i = 0; i < axes; i++) index[i] = loop_axis(k, AXIS[i], shape[i]);
  if (!axes) loop_axis(k, "t", sym_int(l->all->ctx->syms, 1));
  for (int i = axes; i < last; i++)
    loop_for(k, AXIS[i], ex_idx(k, 0), lower_dim(l, shape[i]), FOR_SERIAL, 0, TAIL_NONE, &index[i]);
  if (lanes)
    loop_for(k, AXIS[last], ex_idx(k, 0), lower_dim(l, shape[last]), FOR_VECTOR, lanes, lower_tail(l), &index[last]);
}

void nest_close(Lower *l) {
  while (l->k->depth) loop_end(l->k);
}

static void nest_arg(Lower *l, Id v) {
  Id x = *graph_in(l->g, v);
  int axis = (int)graph_attr_int(l->g, v, "axis"), n = graph_rank(l->g, v);
  Ex out[MAX_RANK], in[MAX_RANK];
  lower_stage(l, "main", lower_total(l, graph_shape(l->g, x), n + 1), 3, false);
  nest_open(l, graph_shape(l->g, v), n, 0, out);
  for (int i = 0; i <= n; i++) in[i] = i == axis ? 0 : out[i - (i > axis)];
  lower_store(l, v, out, n, fold_arg(l, v, in, axis));
  nest_close(l);
}

static void copy_stage(Lower *l, Id v, Id x) { /* v's memory gets x */
  int n = graph_rank(l->g, v);
  Ex index[MAX_RANK];
  lower_stage(l, "copy", lower_total(l, graph_shape(l->g, v), n), 1, false);
  nest_open(l, graph_shape(l->g, v), n, n ? lower_lanes(l) : 0, index);
  lower_store(l, v, index, n, lower_pull(l, x, index, n));
  nest_close(l);
}

uint32_t nest_result(Lower *l, Id v) {
  uint32_t b = lower_param(l, v, graph_shape(l->g, v), graph_rank(l->g, v), true);
  loop_buf(l->k, b)->kind = BUF_INOUT;
  return b;
}

static int64_t most_of(const Lower *l, Sym s) {
  int64_t lo, hi;
  sym_range(l->all->facts, s, &lo, &hi);
  return hi;
}

/* In how many classes a GPU divides the rows that are added to, of so many, where there are few columns: each goes
 * through all updates, which is quick, and adds its own. */
static int row_classes(int64_t rows, int64_t updates, int64_t columns) {
  enum { MOST = 64, THREADS_WANTED = 1 << 16, UPDATES = 8 };
  int n = 1;
  while (n < MOST && 2 * n <= rows && 2 * n <= updates / UPDATES && 2 * n <= THREADS_WANTED / columns) n *= 2;
  return n;
}

/* A thread has its index on the first axes, and one column of the last axis (-1: there are none), of the class of rows
 * that is returned. */
static Ex thread_columns(Lower *l, int classes, const Sym *shape, int axes, int last, Ex *index) {
  Sym own[MAX_RANK + 1] = {sym_int(l->all->ctx->syms, classes)};
  Ex end, at[MAX_RANK + 1];
  memcpy(own + 1, shape, (size_t)axes * sizeof *own);
  if (last >= 0) own[axes + 1] = shape[last];
  threads_space(l, own, axes + 1 + (last >= 0), 1, at, &end);
  memcpy(index, at + 1, (size_t)axes * sizeof *index);
  if (last >= 0) index[last] = at[axes + 1];
  return at[0];
}

/* Two updates may meet in one element: each task takes all updates in their order, but only its own columns, a few
 * vectors of the last axis (and its own index on the axes before those scattered over). Without an axis behind them
 * there are no columns. */
static void nest_scatter(Lower *l, Id v) {
  enum { BLOCK = 4 }; /* vectors of columns that a task takes */
  const Id *in = graph_in(l->g, v);
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int axis = (int)graph_attr_int(l->g, v, "axis"), m = (int)graph_at(l->g, v)->nin - 2, ri = graph_rank(l->g, in[1]),
      n = graph_rank(l->g, v), axes = 0, lanes = lower_lanes(l);
  Id update = in[m + 1];
  const Sym *shape = graph_shape(l->g, update);
  int nu = graph_rank(l->g, update);
  bool columns = nu > axis + ri, gpu = lower_gpu(l), several = columns && !gpu; /* columns of a task */
  if (lower_in_memory(l, update) && !gpu)                                       /* the indices are no vectors */
    lanes = l->all->target->vector_bytes / (int)dtype_size(graph_dtype(l->g, v));
  uint32_t y = nest_result(l, v);
  Ex u[MAX_RANK] = {0}, at[MAX_RANK], ok = 0, lo = ex_idx(k, 0), hi = 0, class = 0;
  copy_stage(l, v, in[0]);
  lower_stage(l, "add", lower_total(l, shape, nu), columns ? 2 : 6, !columns && !axis);
  int64_t threads = most_of(l, sym_mul(t, lower_total(l, shape, axis), columns ? shape[nu - 1] : sym_int(t, 1)));
  int classes =
      gpu ? row_classes(most_of(l, graph_shape(l->g, v)[axis]), most_of(l, lower_total(l, shape + axis, ri)), threads)
          : 1;
  if (gpu) class = thread_columns(l, classes, shape, axes = axis, columns ? nu - 1 : -1, u);
  for (; axes < axis && axes < LOOP_AXES - 1; axes++) u[axes] = loop_axis(k, AXIS[axes], shape[axes]);
  if (several) {
    Ex c = loop_axis(k, "c", sym_div_up(t, shape[nu - 1], sym_int(t, BLOCK * lanes)));
    lo = loop_let(k, "lo", ex_mul(k, c, ex_idx(k, BLOCK * lanes)));
    hi = loop_let(k, "hi", ex_op2(k, OP_MINIMUM, lower_dim(l, shape[nu - 1]), ex_add(k, lo, ex_idx(k, BLOCK * lanes))));
  } else if (!axes && !gpu)
    loop_axis(k, "t", sym_int(t, 1));
  for (int i = axes; i < axis + ri; i++)
    loop_for(k, AXIS[i], ex_idx(k, 0), lower_dim(l, shape[i]), FOR_SERIAL, 0, TAIL_NONE, &u[i]);
  for (int j = 0; j < m; j++) {
    Ex size = lower_dim(l, graph_shape(l->g, in[0])[axis + j]);
    Ex i = loop_let(k, "i", ex_convert(k, DT_IDX, lower_pull(l, in[1 + j], u + axis, ri)));
    Ex in_range = ex_op2(k, OP_AND, ex_op2(k, OP_GREATER_EQUAL, i, ex_idx(k, 0)), ex_op2(k, OP_LESS, i, size));
    ok = ok ? ex_op2(k, OP_AND, ok, in_range) : in_range;
    at[axis + j] = i;
  }
  ok = loop_let(k, "inside", ok);
  lower_fail(l, v, ex_op1(k, OP_NOT, ok));
  if (classes > 1)
    ok = ex_op2(k, OP_AND, ok, ex_op2(k, OP_EQUAL, ex_op2(k, OP_FLOOR_MOD, at[axis], ex_idx(k, classes)), class));
  loop_if(k, ok);
  for (int i = axis + ri; i < nu - 1; i++)
    loop_for(k, AXIS[i], ex_idx(k, 0), lower_dim(l, shape[i]), FOR_SERIAL, 0, TAIL_NONE, &u[i]);
  if (several) loop_for(k, "j", lo, hi, FOR_VECTOR, lanes, lower_tail(l), &u[nu - 1]);
  for (int i = 0; i < axis; i++) at[i] = u[i];
  for (int i = axis + ri; i < nu; i++) at[i - ri + m] = u[i];
  Ex e = lower_pull(l, update, u, nu);
  loop_store(k, y, at, n, ex_add(k, ex_load(k, y, at, n, 0, 0), e), 0);
  nest_close(l);
  l->out->schedule = columns ? arena_printf(l->all->ctx->arena, "nest(columns, vectorize = %d)", lanes) : "nest";
}

static void nest_dynamic_update(Lower *l, Id v) {
  const Id *in = graph_in(l->g, v);
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int n, rank = graph_rank(l->g, v);
  const int64_t *axes = graph_attr(l->g, v, "axes", &n);
  Id update = in[n + 1];
  Ex u[MAX_RANK], at[MAX_RANK], start[MAX_RANK], ok = 0;
  uint32_t y = nest_result(l, v);
  copy_stage(l, v, in[0]);
  vec_last(&l->out->stages).copies = true;
  lower_stage(l, "update", lower_total(l, graph_shape(l->g, update), rank), 2, false);
  nest_open(l, graph_shape(l->g, update), rank, 0, u);
  for (int i = 0; i < n; i++) {
    Sym room = sym_sub(t, graph_shape(l->g, v)[axes[i]], graph_shape(l->g, update)[axes[i]]);
    start[i] = loop_let(k, "start", ex_convert(k, DT_IDX, lower_pull(l, in[1 + i], NULL, 0)));
    Ex fits = ex_op2(k, OP_AND, ex_op2(k, OP_GREATER_EQUAL, start[i], ex_idx(k, 0)),
                     ex_op2(k, OP_LESS_EQUAL, start[i], lower_dim(l, room)));
    ok = ok ? ex_op2(k, OP_AND, ok, fits) : fits;
  }
  memcpy(at, u, (size_t)rank * sizeof *at);
  for (int i = 0; i < n; i++) at[axes[i]] = ex_add(k, u[axes[i]], start[i]);
  ok = loop_let(k, "inside", ok);
  lower_fail(l, v, ex_op1(k, OP_NOT, ok));
  Ex e = lower_pull(l, update, u, rank);
  loop_if(k, ok);
  loop_store(k, y, at, rank, e, 0);
  nest_close(l);
}

static void nest_concat(Lower *l, Id v) {
  int axis = (int)graph_attr_int(l->g, v, "axis"), rank = graph_rank(l->g, v);
  Sym from = sym_int(l->all->ctx->syms, 0);
  for (uint32_t i = 0; i < graph_at(l->g, v)->nin; i++) {
    Id x = graph_in(l->g, v)[i];
    Ex index[MAX_RANK], at[MAX_RANK];
    lower_stage(l, arena_printf(l->all->ctx->arena, "part%u", i), lower_total(l, graph_shape(l->g, x), rank), 1, false);
    nest_open(l, graph_shape(l->g, x), rank, lower_lanes(l), index);
    memcpy(at, index, sizeof at);
    at[axis] = ex_add(l->k, lower_dim(l, from), index[axis]);
    lower_store(l, v, at, rank, lower_pull(l, x, index, rank));
    nest_close(l);
    from = sym_add(l->all->ctx->syms, from, graph_shape(l->g, x)[axis]);
  }
}

void strat_nest(Lower *l) {
  Id v = l->grp->anchor;
  l->out->schedule = "nest";
  switch (graph_op(l->g, v)) {
  case OP_ARGMAX:
  case OP_ARGMIN: nest_arg(l, v); break;
  case OP_SCATTER_ADD: nest_scatter(l, v); break;
  case OP_DYNAMIC_UPDATE: nest_dynamic_update(l, v); break;
  case OP_CONCAT: nest_concat(l, v); break;
  case OP_WINDOW_SUM:
  case OP_WINDOW_MAX:
  case OP_SELECT_SCATTER:
  case OP_SELECT_GATHER: strat_window(l); break;
  default: BUG("no strategy for %s", OP_INFO[graph_op(l->g, v)].text);
  }
}
