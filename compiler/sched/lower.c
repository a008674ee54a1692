#include "lower.h"
#include <math.h>
#include <string.h>

Ex lower_dim(Lower *l, Sym s) { return loop_sym(l->k, s); }
Ex lower_number(Lower *l, DType d, double x) {
  return dtype_is_float(d) ? ex_float(l->k, d, x) : ex_int(l->k, d, (int64_t)x);
}
Ex lower_zero(Lower *l, DType d) { return lower_number(l, d, 0); }
Sym lower_total(const Lower *l, const Sym *shape, int n) { return sym_product(l->all->ctx->syms, shape, n); }

static Ex both(Lower *l, Ex a, Ex b) { return !a ? b : !b ? a : ex_op2(l->k, OP_AND, a, b); }

/* ---- parameters ---- */

static const char *node_name(const Lower *l, Id v, bool out) {
  Op o = graph_op(l->g, v);
  return arena_printf(l->all->ctx->arena, "%s%u", out ? "y" : o == OP_INPUT ? "x" : o == OP_CELL ? "p" : "v", v);
}

uint32_t lower_param(Lower *l, Id v, const Sym *shape, int rank, bool out) {
  for (uint32_t i = 0; i < l->out->args.n; i++) {
    const LowArg *a = &l->out->args.at[i];
    const LoopBuf *b = loop_buf(l->k, i);
    if (a->kind == ARG_NODE && a->node == v && a->out == out && b->rank == rank &&
        !memcmp(b->dim, shape, (size_t)rank * sizeof *shape))
      return i;
  }
  uint32_t b = loop_param(l->k, node_name(l, v, out), out ? BUF_OUT : BUF_IN, graph_dtype(l->g, v), shape, rank);
  vec_push(l->all->ctx->arena, &l->out->args, (LowArg){.kind = ARG_NODE, .node = v, .out = out});
  return b;
}

uint32_t lower_scratch(Lower *l, const char *name, DType d, const Sym *shape, int rank, ArgKind kind, Id node) {
  uint32_t b = loop_param(l->k, name, kind == ARG_RANDOM ? BUF_IN : BUF_INOUT, d, shape, rank);
  vec_push(l->all->ctx->arena, &l->out->args, (LowArg){.kind = kind, .node = node});
  return b;
}

static bool is_one(const Lower *l, Sym s) {
  int64_t k;
  return sym_is_int(l->all->ctx->syms, s, &k) && k == 1;
}

/* The same memory with the merged axes as one, if that is how it is walked. */
static int merge(const Lower *l, const Sym *shape, int rank, const Ex *index, Sym *to, Ex *at) {
  int kept = l->merged && rank >= l->merged && index[rank - 1] == l->line ? rank - l->merged : rank;
  memcpy(to, shape, (size_t)kept * sizeof *to);
  memcpy(at, index, (size_t)kept * sizeof *at);
  if (kept == rank) return rank;
  to[kept] = lower_total(l, shape + kept, l->merged);
  at[kept] = l->line;
  return kept + 1;
}

Ex lower_load(Lower *l, Id v, const Sym *shape, int rank, const Ex *index, Ex mask) {
  Sym as[MAX_RANK];
  Ex at[MAX_RANK];
  mask = both(l, mask, l->guard);
  if (l->flat) {
    Sym total = lower_total(l, shape, rank);
    int64_t one;
    if (sym_is_int(l->all->ctx->syms, total, &one) && one == 1) {
      Ex zero = ex_idx(l->k, 0);
      return ex_load(l->k, lower_param(l, v, &total, 1, false), &zero, 1, mask, 0);
    }
    return ex_load(l->k, lower_param(l, v, &total, 1, false), l->at, 1, mask, 0);
  }
  rank = merge(l, shape, rank, index, as, at);
  while (lower_gpu(l) && rank > 1 && is_one(l, as[rank - 1])) rank--; /* what lies side by side is then seen to */
  return ex_load(l->k, lower_param(l, v, as, rank, false), at, rank, mask, 0);
}

Id lower_parameter(const Lower *l, Id v) {
  while (graph_op(l->g, v) == OP_TRANSPOSE || group_widens(l->g, v)) v = *graph_in(l->g, v);
  return graph_op(l->g, v) == OP_CELL && !(l->all->updated && l->all->updated[v]) ? v : 0;
}

uint32_t lower_panels(Lower *l, DType d, const Sym *shape, int rank, int width, Id cell, const char *layout) {
  uint32_t buf = lower_scratch(l, "panels", d, shape, rank, cell ? ARG_PACKED : ARG_SCRATCH, cell);
  LoopBuf *b = loop_buf(l->k, buf);
  b->layout = LAYOUT_PANEL;
  b->panel_axis = rank - 1;
  b->width = width;
  b->align = sym_int(l->all->ctx->syms, 64);
  if (cell) vec_last(&l->out->args).layout = str_intern(l->all->ctx->names, layout);
  return buf;
}

void lower_store(Lower *l, Id v, const Ex *index, int n, Ex value) {
  const Sym *shape = graph_shape(l->g, v);
  if (l->flat) {
    Sym total = lower_total(l, shape, graph_rank(l->g, v));
    loop_store(l->k, lower_param(l, v, &total, 1, true), l->at, 1, value, 0);
    return;
  }
  Sym as[MAX_RANK];
  Ex at[MAX_RANK];
  n = merge(l, shape, n, index, as, at);
  loop_store(l->k, lower_param(l, v, as, n, true), at, n, value, 0);
}

/* The outputs of some ranks at `at`, NULL: each where it is a member. */
static void store_outputs(Lower *l, int lowest, int highest, const Ex *at) {
  uint32_t n = l->grp->outputs.n;
  Ex index[MAX_RANK], *value = ARENA_ARRAY(l->all->ctx->arena, Ex, n + 1);
  for (int store = 0; store < 2; store++)
    for (uint32_t i = 0; i < n; i++) {
      Id v = l->grp->outputs.at[i];
      int rank = graph_rank(l->g, v);
      if (rank < lowest || rank > highest) continue;
      if (!at) lower_member_index(l, v, index);
      if (store)
        lower_store(l, v, at ? at : index, rank, value[i]);
      else
        value[i] = lower_pull(l, v, at ? at : index, rank);
    }
}

void lower_store_outputs(Lower *l, const Ex *at) { store_outputs(l, 0, MAX_RANK, at); }

void lower_store_full(Lower *l, const Ex *at) { store_outputs(l, l->grp->rank, MAX_RANK, at); }

void lower_store_reduced(Lower *l, const Ex *at) { store_outputs(l, 0, l->grp->rank - 1, at); }

void lower_turn_over(Kernel *k, Ex *row, int rows, int lanes) {
  for (int i = 0; i < rows; i++) /* equal along the lanes: worked out of the other indices */
    if (ex_at(k, row[i])->lanes == 1) row[i] = ex_splat(k, row[i], lanes);
  for (int h = 1; h < rows; h *= 2) {
    Ex lane = ex_lane(k, lanes),
       odd = ex_op2(k, OP_FLOOR_MOD, ex_op2(k, OP_FLOOR_DIV, lane, ex_idx(k, h)), ex_idx(k, 2));
    Ex low = ex_add(k, lane, ex_mul(k, odd, ex_idx(k, lanes - h))), high = ex_add(k, low, ex_idx(k, h));
    for (int i = 0; i < rows; i++) {
      if (i & h) continue;
      Ex a = row[i], b = row[i + h];
      row[i] = loop_let(k, "a", ex_op3(k, OP_PERM2, a, b, low));
      row[i + h] = loop_let(k, "b", ex_op3(k, OP_PERM2, a, b, high));
    }
  }
}

void lower_fail(Lower *l, Id v, Ex cond) {
  FailPlace p = {graph_at(l->g, v)->loc, graph_op(l->g, v)};
  uint32_t i = 0;
  while (i < l->all->places->n && (l->all->places->at[i].loc != p.loc || l->all->places->at[i].op != p.op)) i++;
  if (i == l->all->places->n) vec_push(l->all->ctx->arena, l->all->places, p);
  loop_fail(l->k, i + 1, cond);
}

/* ---- pull ---- */

/* The only index of an axis of size 1 is 0, so that equal reads look equal. */
static void plain_index(const Lower *l, Id v, const Ex *given, int n, Ex *index) {
  int64_t one;
  for (int i = 0; i < n; i++)
    index[i] = sym_is_int(l->all->ctx->syms, graph_shape(l->g, v)[i], &one) && one == 1 ? ex_idx(l->k, 0) : given[i];
}

void lower_remember(Lower *l, Id v, const Ex *index, int n, Ex value) {
  Memo m = {.v = v, .n = n, .value = value};
  plain_index(l, v, index, n, m.index);
  vec_push(l->all->ctx->arena, &l->memo, m);
}

static Ex recall(const Lower *l, Id v, const Ex *index, int n) {
  for (uint32_t i = l->memo.n; i-- > 0;) {
    const Memo *m = &l->memo.at[i];
    if (m->v == v && m->n == n && !memcmp(m->index, index, (size_t)n * sizeof *index)) return m->value;
  }
  return 0;
}

static Ex in_range(Lower *l, Ex i, Ex lo, Ex hi) { /* lo <= i < hi */
  return ex_op2(l->k, OP_AND, ex_op2(l->k, OP_GREATER_EQUAL, i, lo), ex_op2(l->k, OP_LESS, i, hi));
}

static Ex clamp(Lower *l, Ex i, Ex hi) { /* into 0 .. hi - 1 */
  return ex_op2(l->k, OP_MAXIMUM, ex_op2(l->k, OP_MINIMUM, i, ex_op2(l->k, OP_SUB, hi, ex_idx(l->k, 1))),
                ex_idx(l->k, 0));
}

static Ex linear_index(Lower *l, const Sym *shape, int rank, const Ex *index) {
  if (l->flat) return l->at[0];
  Ex x = ex_idx(l->k, 0);
  for (int i = 0; i < rank; i++) x = ex_add(l->k, ex_mul(l->k, x, lower_dim(l, shape[i])), index[i]);
  return x;
}

bool lower_in_memory(const Lower *l, Id v) { /* a free node that is an output is stored, but nothing waits for it */
  return group_leaf(l->g, v) ||
         (!group_free(l->g, v) && l->all->groups->stored[v] && l->all->groups->of[v] != l->number);
}

Id lower_memory(const Lower *l, Id v) {
  if (group_widens(l->g, v)) v = *graph_in(l->g, v);
  return lower_in_memory(l, v) ? v : 0;
}

bool lower_seen(const Lower *l, Id v) {
  return lower_memory(l, v) || (graph_op(l->g, v) == OP_RESHAPE && lower_memory(l, *graph_in(l->g, v)));
}

DType lower_packed_type(const Lower *l, Id v) {
  Id x = v;
  while (graph_op(l->g, x) == OP_TRANSPOSE || graph_op(l->g, x) == OP_RESHAPE) x = *graph_in(l->g, x);
  return graph_dtype(l->g, group_widens(l->g, x) ? *graph_in(l->g, x) : v);
}

/* What a clamped index reads: nothing is read where an axis is so short that there is no right index. */
typedef struct Guarded {
  Ex outer;
  uint32_t memo;
} Guarded;

static Guarded guard_open(Lower *l) { return (Guarded){l->guard, l->memo.n}; }

static void guard_size(Lower *l, Sym size) { /* the size is to be 1 at least */
  int64_t lo, hi;
  sym_range(l->all->facts, size, &lo, &hi);
  if (lo < 1) l->guard = both(l, l->guard, ex_op2(l->k, OP_GREATER, lower_dim(l, size), ex_idx(l->k, 0)));
}

static void guard_close(Lower *l, Guarded g) {
  if (l->guard != g.outer) l->memo.n = g.memo; /* it holds under the guard alone */
  l->guard = g.outer;
}

/* Neighbouring axes of one shape that hold as many elements as neighbouring axes of the other. */
typedef struct AxisBlock {
  int from, nfrom, to, nto;
} AxisBlock;

/* The blocks of a reshape, as small as they can be; one of all axes where sizes do not say more. Returns their number.
 */
static int axis_blocks(SymTab *t, const Sym *from, int nf, const Sym *to, int nt, AxisBlock *out) {
  int n = 0, i = 0, j = 0;
  for (; i < nf || j < nt; n++) {
    Sym p = sym_int(t, 1), q = p;
    out[n] = (AxisBlock){.from = i, .to = j};
    do {
      if (i < nf && (j == nt || p == q || sym_exact(t, q, p)))
        p = sym_mul(t, p, from[i++]);
      else if (j < nt)
        q = sym_mul(t, q, to[j++]);
      else {
        out[0] = (AxisBlock){0, nf, 0, nt};
        return 1;
      }
    } while (p != q);
    out[n].nfrom = i - out[n].from, out[n].nto = j - out[n].to;
  }
  return n;
}

/* An axis that becomes several is put together of them; only where axes become others is anything divided. */
static Ex pull_reshape(Lower *l, Id v, const Ex *index, int n) {
  const Graph *g = l->g;
  Id x = *graph_in(g, v);
  const Sym *from = graph_shape(g, x), *to = graph_shape(g, v);
  int rank = graph_rank(g, x), wide[2 * MAX_RANK], all = 0;
  AxisBlock block[2 * MAX_RANK];
  int blocks = axis_blocks(g->ctx->syms, from, rank, to, n, block);
  bool simple = true; /* axes of size 1 come and go, no more */
  Ex at[MAX_RANK];
  for (int b = 0; b < blocks; b++) {
    int others = 0;
    wide[b] = 0;
    for (int i = 0; i < block[b].nfrom; i++) wide[b] += !is_one(l, from[block[b].from + i]);
    for (int j = 0; j < block[b].nto; j++) others += !is_one(l, to[block[b].to + j]);
    simple &= wide[b] <= 1 && others <= 1;
    all += wide[b];
  }
  bool numbered = l->flat;                                  /* the number of the element is all that is known */
  Id memory = simple && !numbered ? 0 : lower_memory(l, x); /* the same memory, seen with the other shape */
  if (memory) return ex_convert(l->k, graph_dtype(g, x), lower_load(l, memory, to, n, index, 0));
  if (numbered) {
    blocks = 1;
    block[0] = (AxisBlock){0, rank, 0, n};
    wide[0] = all;
  }
  for (int b = 0; b < blocks; b++) {
    Ex e = numbered ? l->at[0] : ex_idx(l->k, 0);
    for (int j = block[b].to; j < block[b].to + block[b].nto; j++)
      if (!numbered && !is_one(l, to[j])) e = ex_add(l->k, ex_mul(l->k, e, lower_dim(l, to[j])), index[j]);
    for (int i = block[b].from + block[b].nfrom - 1; i >= block[b].from; i--) {
      bool one = is_one(l, from[i]), first = !one && --wide[b] == 0;
      at[i] = one ? ex_idx(l->k, 0) : first ? e : ex_op2(l->k, OP_FLOOR_MOD, e, lower_dim(l, from[i]));
      if (!one && !first) e = ex_op2(l->k, OP_FLOOR_DIV, e, lower_dim(l, from[i]));
    }
  }
  return lower_pull(l, x, at, rank);
}

bool lower_along(const Lower *l, Id v, int axis) {
  const Graph *g = l->g;
  for (; !lower_memory(l, v); v = *graph_in(g, v)) {
    int n, rank = graph_rank(g, v), from = graph_at(g, v)->nin ? graph_rank(g, *graph_in(g, v)) : 0;
    const int64_t *axes = NULL;
    AxisBlock block[2 * MAX_RANK];
    switch (graph_op(g, v)) {
    case OP_CONVERT:
      if (!group_widens(g, v)) return false;
      break;
    case OP_TRANSPOSE: axis = (int)graph_attr(g, v, "axes", &n)[axis]; break;
    case OP_BROADCAST: {
      int at = -1;
      axes = graph_attr(g, v, "axes", &n);
      for (int i = 0; i < n; i++)
        if (axes[i] == axis) at = i;
      if (at < 0) return false;
      axis = at;
      break;
    }
    case OP_SLICE:
      if (graph_attr(g, v, "steps", &n)[axis] != 1) return false;
      break;
    case OP_RESHAPE: { /* the last of its block, which ends alike on both sides */
      const Id x = *graph_in(g, v);
      n = axis_blocks(g->ctx->syms, graph_shape(g, x), from, graph_shape(g, v), rank, block);
      if (lower_memory(l, x)) return axis == rank - 1;
      int b = 0;
      while (b < n && axis >= block[b].to + block[b].nto) b++;
      if (b == n || axis != block[b].to + block[b].nto - 1 || block[b].nfrom < 1) return false;
      axis = block[b].from + block[b].nfrom - 1;
      if (block[b].nfrom > 1 && graph_shape(g, x)[axis] != graph_shape(g, v)[block[b].to + block[b].nto - 1])
        return false;
      break;
    }
    default: return true; /* worked out: it costs the same along each axis */
    }
  }
  return axis == graph_rank(g, v) - 1;
}

static Ex pull_pad(Lower *l, Id v, const Ex *index, int n) {
  const Graph *g = l->g;
  Kernel *k = l->k;
  Id x = *graph_in(g, v);
  int m;
  const int64_t *lo = graph_attr(g, v, "lo", &m), *hi = graph_attr(g, v, "hi", &m),
                *interior = graph_attr(g, v, "interior", &m);
  Ex at[MAX_RANK], inside = 0;
  int64_t zero;
  Guarded guard = guard_open(l);
  for (int i = 0; i < n; i++) {
    bool still = sym_is_int(g->ctx->syms, (Sym)lo[i], &zero) && zero == 0 &&
                 sym_is_int(g->ctx->syms, (Sym)hi[i], &zero) && zero == 0 && interior[i] == 0;
    at[i] = index[i];
    if (still) continue;
    Ex q = ex_op2(k, OP_SUB, index[i], lower_dim(l, (Sym)lo[i])), size = lower_dim(l, graph_shape(g, x)[i]);
    if (interior[i]) {
      Ex step = ex_idx(k, interior[i] + 1);
      inside = both(l, inside, ex_op2(k, OP_EQUAL, ex_op2(k, OP_FLOOR_MOD, q, step), ex_idx(k, 0)));
      q = ex_op2(k, OP_FLOOR_DIV, q, step);
    }
    inside = both(l, inside, in_range(l, q, ex_idx(k, 0), size));
    at[i] = clamp(l, q, size);
    guard_size(l, graph_shape(g, x)[i]);
  }
  Ex value = lower_pull(l, x, at, n);
  guard_close(l, guard);
  return inside ? ex_op3(k, OP_SELECT, inside, value, lower_zero(l, graph_dtype(g, v))) : value;
}

/* The start of a dynamic slice along one axis: checked and clamped into 0 .. size - length. */
static Ex dynamic_start(Lower *l, Id v, Id start, Sym size, Sym length) {
  Kernel *k = l->k;
  Ex s = ex_convert(k, DT_IDX, lower_pull(l, start, NULL, 0)),
     room = lower_dim(l, sym_sub(l->all->ctx->syms, size, length));
  lower_fail(l, v, ex_op2(k, OP_OR, ex_op2(k, OP_LESS, s, ex_idx(k, 0)), ex_op2(k, OP_GREATER, s, room)));
  return ex_op2(k, OP_MAXIMUM, ex_op2(k, OP_MINIMUM, s, room), ex_idx(k, 0));
}

static Ex pull_dynamic_slice(Lower *l, Id v, const Ex *index, int n) {
  const Graph *g = l->g;
  SymTab *t = g->ctx->syms;
  const Id *in = graph_in(g, v);
  int m;
  const int64_t *axes = graph_attr(g, v, "axes", &m);
  Guarded guard = guard_open(l);
  Ex at[MAX_RANK];
  memcpy(at, index, (size_t)n * sizeof *at);
  for (int i = 0; i < m; i++) {
    Sym size = graph_shape(g, in[0])[axes[i]], length = graph_shape(g, v)[axes[i]];
    at[axes[i]] = ex_add(l->k, dynamic_start(l, v, in[1 + i], size, length), index[axes[i]]);
  }
  for (int i = 0; i < m; i++) /* the slice fits at all */
    guard_size(l, sym_add(t, sym_sub(t, graph_shape(g, in[0])[axes[i]], graph_shape(g, v)[axes[i]]), sym_int(t, 1)));
  Ex value = lower_pull(l, in[0], at, n);
  guard_close(l, guard);
  return value;
}

static Ex pull_gather(Lower *l, Id v, const Ex *index, int n) {
  const Graph *g = l->g;
  Kernel *k = l->k;
  const Id *in = graph_in(g, v);
  int axis = (int)graph_attr_int(g, v, "axis"), m = (int)graph_at(g, v)->nin - 1, ri = graph_rank(g, in[1]);
  Ex at[MAX_RANK];
  Guarded guard = guard_open(l);
  for (int i = 0; i < axis; i++) at[i] = index[i];
  for (int j = 0; j < m; j++) {
    Ex size = lower_dim(l, graph_shape(g, in[0])[axis + j]);
    if (graph_op(g, in[1 + j]) == OP_IOTA) { /* in range by itself: its own axis */
      at[axis + j] = index[axis + graph_attr_int(g, in[1 + j], "axis")];
      continue;
    }
    Ex i = ex_convert(k, DT_IDX, lower_pull(l, in[1 + j], index + axis, ri));
    i = loop_let(k, "i", i);
    lower_fail(l, v, ex_op1(k, OP_NOT, in_range(l, i, ex_idx(k, 0), size)));
    at[axis + j] = clamp(l, i, size);
  }
  for (int j = 0; j < m; j++) guard_size(l, graph_shape(g, in[0])[axis + j]); /* the indices themselves are read */
  for (int i = axis + ri; i < n; i++) at[i - ri + m] = index[i];
  Ex value = lower_pull(l, in[0], at, graph_rank(g, in[0]));
  guard_close(l, guard);
  return value;
}

static Ex pull_one_hot(Lower *l, Id v, const Ex *index, int n) {
  const Graph *g = l->g;
  Kernel *k = l->k;
  const Id *in = graph_in(g, v);
  int axis = (int)graph_attr_int(g, v, "axis"), m = (int)graph_at(g, v)->nin - 2, ri = graph_rank(g, in[1]);
  Ex where[MAX_RANK], at[MAX_RANK], size = lower_dim(l, graph_shape(g, v)[axis + m - 1]);
  for (int i = 0; i < ri; i++) where[i] = i < m - 1 ? index[axis + i] : ex_idx(k, 0);
  for (int i = 0; i < n - m + ri; i++)
    at[i] = i < axis ? index[i] : i < axis + ri ? where[i - axis] : index[i - ri + m];
  Ex place = loop_let(k, "i", ex_convert(k, DT_IDX, lower_pull(l, in[m], where, ri)));
  lower_fail(l, v, ex_op1(k, OP_NOT, in_range(l, place, ex_idx(k, 0), size)));
  Ex update = lower_pull(l, in[m + 1], at, n - m + ri), hit = ex_op2(k, OP_EQUAL, place, index[axis + m - 1]);
  return ex_add(k, lower_pull(l, in[0], index, n), ex_op3(k, OP_SELECT, hit, update, lower_zero(l, graph_dtype(g, v))));
}

Id lower_unrounded(const Lower *l, Id v) {
  const Graph *g = l->g;
  Id x = group_widens(g, v) ? *graph_in(g, v) : 0;
  if (!x || graph_op(g, x) != OP_CONVERT || lower_in_memory(l, x)) return v;
  return graph_dtype(g, *graph_in(g, x)) == DT_F32 ? *graph_in(g, x) : v;
}

static Ex pull_convert(Lower *l, Id v, const Ex *index, int n) {
  Id x = lower_unrounded(l, v);
  if (x != v) return lower_pull(l, x, index, n);
  return ex_convert(l->k, graph_dtype(l->g, v), lower_pull(l, *graph_in(l->g, v), index, n));
}

/* x - max(x) along the same axes, as a softmax has it. */
static bool never_above_zero(const Graph *g, Id v) {
  if (graph_op(g, v) != OP_SUB) return false;
  Id x = graph_in(g, v)[0], most = graph_in(g, v)[1];
  if (graph_op(g, most) != OP_BROADCAST || graph_op(g, *graph_in(g, most)) != OP_REDUCE_MAX) return false;
  int kept, reduced, at = 0;
  const int64_t *axes = graph_attr(g, most, "axes", &kept);
  Id max = *graph_in(g, most);
  const int64_t *away = graph_attr(g, max, "axes", &reduced);
  if (*graph_in(g, max) != x || kept + reduced != graph_rank(g, x)) return false;
  for (int i = 0, j = 0; i < graph_rank(g, x); i++) { /* each axis stays in its place, or is reduced */
    if (j < reduced && away[j] == i)
      j++;
    else if (at == kept || axes[at++] != i)
      return false;
  }
  return true;
}

static Ex pull_fresh(Lower *l, Id v, const Ex *index, int n) {
  const Graph *g = l->g;
  Kernel *k = l->k;
  const Id *in = graph_in(g, v);
  Op o = graph_op(g, v);
  DType d = graph_dtype(g, v);
  Ex at[MAX_RANK], arg[3];
  int m;
  switch (o) {
  case OP_CONSTANT: {
    int64_t bits = graph_attr(g, v, "value", &m)[0];
    double x;
    memcpy(&x, &bits, sizeof x);
    return dtype_is_float(d) ? ex_float(k, d, x) : ex_int(k, d, bits);
  }
  case OP_IOTA: return ex_convert(k, d, index[graph_attr_int(g, v, "axis")]);
  case OP_DIM: return ex_convert(k, DT_I64, lower_dim(l, (Sym)graph_attr(g, v, "value", &m)[0]));
  case OP_RANDOM: return lower_random(l, v, linear_index(l, graph_shape(g, v), n, index));
  case OP_BROADCAST: {
    const int64_t *axes = graph_attr(g, v, "axes", &m);
    if (l->flat) return lower_pull(l, in[0], NULL, 0);
    for (int i = 0; i < m; i++) at[i] = index[axes[i]];
    return lower_pull(l, in[0], at, m);
  }
  case OP_TRANSPOSE: {
    const int64_t *axes = graph_attr(g, v, "axes", &m);
    for (int i = 0; i < n; i++) at[axes[i]] = index[i];
    return lower_pull(l, in[0], at, n);
  }
  case OP_RESHAPE: return pull_reshape(l, v, index, n);
  case OP_SLICE: {
    const int64_t *starts = graph_attr(g, v, "starts", &m), *steps = graph_attr(g, v, "steps", &m);
    for (int i = 0; i < n; i++)
      at[i] = ex_add(k, lower_dim(l, (Sym)starts[i]), ex_mul(k, index[i], ex_idx(k, steps[i])));
    return lower_pull(l, in[0], at, n);
  }
  case OP_PAD: return pull_pad(l, v, index, n);
  case OP_REVERSE: {
    const int64_t *axes = graph_attr(g, v, "axes", &m);
    memcpy(at, index, (size_t)n * sizeof *at);
    for (int i = 0; i < m; i++)
      at[axes[i]] =
          ex_op2(k, OP_SUB, lower_dim(l, sym_sub(g->ctx->syms, graph_shape(g, v)[axes[i]], sym_int(g->ctx->syms, 1))),
                 index[axes[i]]);
    return lower_pull(l, in[0], at, n);
  }
  case OP_DYNAMIC_SLICE: return pull_dynamic_slice(l, v, index, n);
  case OP_GATHER: return pull_gather(l, v, index, n);
  case OP_SCATTER_ADD: return pull_one_hot(l, v, index, n);
  case OP_LEAF:
  case OP_STOP_GRADIENT: return lower_pull(l, in[0], index, n);
  case OP_CONVERT: return pull_convert(l, v, index, n);
  default: break;
  }
  if (!op_elementwise(o)) BUG("%s cannot be worked out inside a loop nest", OP_INFO[o].text);
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) arg[i] = lower_pull(l, in[i], index, graph_rank(g, in[i]) ? n : 0);
  if (o == OP_EXP && never_above_zero(g, in[0])) o = OP_EXP_NEG; /* takes a step less */
  return OP_INFO[o].arity == 1   ? ex_op1(k, o, arg[0])
         : OP_INFO[o].arity == 2 ? ex_op2(k, o, arg[0], arg[1])
                                 : ex_op3(k, o, arg[0], arg[1], arg[2]);
}

Ex lower_pull(Lower *l, Id v, const Ex *given, int n) {
  Ex index[MAX_RANK];
  plain_index(l, v, given, n, index);
  Ex x = recall(l, v, index, n);
  if (x) return x;
  bool memory = lower_in_memory(l, v);
  x = memory ? lower_load(l, v, graph_shape(l->g, v), n, index, 0) : pull_fresh(l, v, index, n);
  if (memory || l->all->groups->of[v] == l->number) x = loop_let(l->k, arena_printf(l->all->ctx->arena, "v%u", v), x);
  lower_remember(l, v, index, n, x);
  return x;
}

Ex lower_pull_spread(Lower *l, Id v, const Ex *index, int n, int lanes) {
  Id memory = group_widens(l->g, v) && lanes > 1 ? lower_memory(l, v) : 0;
  if (!memory) return lower_pull(l, v, index, n);
  Ex e = lower_load(l, memory, graph_shape(l->g, memory), n, index, 0);
  return ex_convert(l->k, DT_F32, ex_splat(l->k, e, lanes));
}

/* ---- one group ---- */

static int widest(const Lower *l) {
  size_t most = 1;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    if (dtype_size(graph_dtype(l->g, v)) > most) most = dtype_size(graph_dtype(l->g, v));
    for (uint32_t j = 0; j < graph_at(l->g, v)->nin; j++) {
      size_t s = dtype_size(graph_dtype(l->g, graph_in(l->g, v)[j]));
      if (s > most) most = s;
    }
  }
  return (int)(most < 4 ? 4 : most);
}

/* Of what v is read from. */
static size_t widest_read(const Lower *l, Id v) {
  size_t most = 0;
  if (lower_in_memory(l, v)) return dtype_size(graph_dtype(l->g, v));
  if (!group_free(l->g, v)) return 0; /* a member */
  for (uint32_t i = 0; i < graph_at(l->g, v)->nin; i++) {
    size_t s = widest_read(l, graph_in(l->g, v)[i]);
    if (s > most) most = s;
  }
  return most;
}

/* A GPU's vectors are lane by lane, one access of memory: 16 bytes of the widest type there, 16 bits at least. */
static int widest_memory(const Lower *l) {
  size_t most = 2;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    for (uint32_t j = 0; j < graph_at(l->g, v)->nin; j++) {
      size_t s = widest_read(l, graph_in(l->g, v)[j]);
      if (s > most) most = s;
    }
  }
  for (uint32_t i = 0; i < l->grp->outputs.n; i++) {
    size_t s = dtype_size(graph_dtype(l->g, l->grp->outputs.at[i]));
    if (s > most) most = s;
  }
  return (int)most;
}

int lower_lanes(const Lower *l) {
  if (!lower_gpu(l)) return l->all->target->vector_bytes / widest(l);
  return l->grp->kind == GROUP_NEST ? 1 : l->all->target->vector_bytes / widest_memory(l);
}

/* Whether v and what it reads, through moves and conversions, can be masked. */
static bool maskable(const Lower *l, Id v) {
  if (!target_mask(l->all->target, graph_dtype(l->g, v))) return false;
  bool through = group_move(graph_op(l->g, v)) || group_widens(l->g, v);
  return !through || maskable(l, *graph_in(l->g, v));
}

Tail lower_tail(const Lower *l) {
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    if (!target_mask(l->all->target, graph_dtype(l->g, v))) return TAIL_PEEL;
    for (uint32_t j = 0; j < graph_at(l->g, v)->nin; j++)
      if (!maskable(l, graph_in(l->g, v)[j])) return TAIL_PEEL;
  }
  return TAIL_MASK;
}

void lower_member_index(const Lower *l, Id v, Ex *index) {
  const Map *pos = &l->all->groups->pos[v];
  for (int i = 0; i < graph_rank(l->g, v); i++)
    index[i] = pos->axis[i] == AXIS_ZERO ? ex_idx(l->k, 0) : l->at[pos->axis[i]];
}

void lower_stage(Lower *l, const char *name, Sym elements, double cost, bool serial) {
  SymTab *t = l->all->ctx->syms;
  loop_stage(l->k, name);
  l->memo.n = 0;
  /* a vector operation of 8 elements is taken as about a third of a nanosecond */
  Sym work = sym_op(t, SYM_FLOORDIV, sym_mul(t, elements, sym_int(t, (int64_t)ceil(cost) + 1)), sym_int(t, 24));
  vec_push(l->all->ctx->arena, &l->out->stages,
           (LowStage){.stage = (int)l->k->stages.n - 1, .work = work, .serial = serial && !lower_gpu(l)});
}

/* Operations by the formula: what padding, tails and later passes over a row add is not counted. */
static Sym group_flops(const Lower *l) {
  const Group *grp = l->grp;
  SymTab *t = l->all->ctx->syms;
  Id v = grp->anchor, x = v && graph_at(l->g, v)->nin ? *graph_in(l->g, v) : 0;
  Sym cost = sym_int(t, (int64_t)ceil(grp->cost)), sum;
  if (grp->kind == GROUP_NEST) return sym_int(t, 0);
  if (grp->kind == GROUP_REDUCE) return sym_mul(t, sym_product(t, graph_shape(l->g, x), graph_rank(l->g, x)), cost);
  if (!group_product(grp)) return sym_mul(t, sym_product(t, grp->space, grp->rank), cost);
  Sym elements = sym_product(t, graph_shape(l->g, v), graph_rank(l->g, v));
  sum = sym_mul(t, sym_int(t, 2), elements);
  if (grp->kind == GROUP_CONV) {
    Id w = graph_in(l->g, v)[1];
    sum = sym_mul(t, sum, sym_product(t, graph_shape(l->g, w) + 1, graph_rank(l->g, w) - 1));
  } else {
    int n;
    const int64_t *c = graph_attr(l->g, v, "contract", &n);
    for (int i = 0; i < n / 2; i++) sum = sym_mul(t, sum, graph_shape(l->g, x)[c[i]]);
  }
  return sym_add(t, sum, sym_mul(t, elements, sym_sub(t, cost, sym_int(t, 1)))); /* the product itself costs 1 */
}

int lower_tile_registers(const Lower *l, DType d) {
  const Target *t = l->all->target;
  const Id *in = graph_in(l->g, l->grp->anchor);
  bool pieces = d == DT_I64 && t->vector_regs < 32;
  for (int i = 0; i < 2 && !(t->needs & (CPU_F16C | CPU_NEON)); i++) pieces |= lower_packed_type(l, in[i]) == DT_F16;
  return pieces ? t->vector_regs - 4 : t->vector_regs;
}

void lower_weighed(Lower *l, int rows, int vectors, double loads, double fill) {
  const char *before = l->out->tiles;
  l->out->tiles = arena_printf(l->all->ctx->arena, "%s%s%d x %d (%.2f products a load, %.0f %% used)",
                               before ? before : "", before ? ", " : "", rows, vectors, loads, 100 * fill);
}

void lower_products(Lower *l, Sym products, int lanes, Sym bytes) {
  SymTab *t = l->all->ctx->syms;
  Sym ns = sym_op(t, SYM_FLOORDIV, products, sym_int(t, 4 * lanes));
  vec_last(&l->out->stages).work = sym_add(t, ns, sym_op(t, SYM_FLOORDIV, bytes, sym_int(t, 64)));
}

bool lower_group(Lowering *all, int group, const char *name, Lowered *out) {
  memset(out, 0, sizeof *out);
  const Group *grp = &all->groups->at.at[group];
  Lower l = {.all = all, .g = all->groups->graph, .grp = grp, .number = group, .out = out};
  l.k = loop_kernel(all->module, name);
  out->kernel = (int)all->module->kernels.n - 1;
  for (uint32_t i = 0; i < all->ndims; i++) loop_dim(l.k, all->dims[i].name, all->dims[i].lo, all->dims[i].hi);
  switch (grp->kind) {
  case GROUP_ELEM: strat_elem(&l); break;
  case GROUP_ROW:
    if (!strat_reduce_rows(&l)) strat_row(&l);
    break;
  case GROUP_REDUCE: strat_reduce(&l); break;
  case GROUP_GEMM: strat_gemm(&l); break;
  case GROUP_CONV: strat_conv(&l); break;
  case GROUP_ATTENTION: strat_attention(&l); break;
  case GROUP_ATTENTION_GRAD: attention_grad_threads(&l); break;
  case GROUP_NEST: strat_nest(&l); break;
  }
  uint32_t main = out->stages.n - 1;
  while (out->stages.at[main].combines) main--;
  if (!group_attends(grp)) out->stages.at[main].flops = group_flops(&l);
  return true;
}
