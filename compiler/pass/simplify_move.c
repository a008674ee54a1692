/* Rules of movement, reductions and products, and folding: what a pattern cannot say because attributes change. */
#include "scalar.h"
#include "simplify_step.h"
#include <math.h>
#include <string.h>

static bool same_size(const Graph *g, Sym a, Sym b) {
  return g->facts ? sym_same(g->facts, a, b) : a == b && !sym_overflowed(g->ctx->syms, a);
}
static bool is_int(const Graph *g, Sym s, int64_t k) {
  int64_t x;
  return sym_is_int(g->ctx->syms, s, &x) && x == k;
}

static bool at_least_one(const Graph *g, Sym s) {
  int64_t x;
  if (sym_is_int(g->ctx->syms, s, &x)) return x >= 1;
  return g->facts ? sym_nonneg(g->facts, sym_sub(g->ctx->syms, s, sym_int(g->ctx->syms, 1)))
                  : sym_var_name(g->ctx->syms, s) != NULL;
}

/* The operand of v if that is a node of this op; else 0. */
static Id operand_of(const Graph *g, Id v, Op op) {
  Id x = graph_in(g, v)[0];
  return graph_op(g, x) == op ? x : 0;
}

static Id first_of(const Graph *g, Id v) { return graph_in(g, v)[0]; }

/* ---- element by element --------------------------------------------------------------------------------------------
 */

Id step_fold(Graph *g, Id v, bool single) {
  (void)single;
  Scalar in[3], out;
  Op op = graph_op(g, v);
  int n = (int)graph_at(g, v)->nin;
  for (int i = 0; i < n; i++) {
    Id x = graph_in(g, v)[i];
    if (graph_op(g, x) != OP_CONSTANT || graph_rank(g, x)) return 0;
    memcpy(&in[i], graph_attr(g, x, "value", NULL), sizeof in[i]);
  }
  DType from = graph_dtype(g, graph_in(g, v)[op == OP_SELECT]), to = graph_dtype(g, v);
  if (op == OP_CONVERT)
    out = scalar_convert(from, to, in[0]);
  else if (!eval_scalar(op, from, in, &out))
    return 0;
  return dtype_is_float(to) ? g_const(g, to, out.f) : g_const_int(g, to, out.i);
}

Id step_div_power_of_two(Graph *g, Id v, bool single) {
  (void)single;
  double c;
  int e;
  DType d = graph_dtype(g, v);
  if (!dtype_is_float(d) || !graph_constant(g, graph_in(g, v)[1], &c) || !isfinite(c) || fabs(frexp(c, &e)) != 0.5)
    return 0;
  double r = 1 / c, least = d == DT_F64 ? 0x1p-1022 : d == DT_F16 ? 0x1p-14 : 0x1p-126;
  if (!isfinite(scalar_round(d, r)) || fabs(r) < least || fabs(c) < least) return 0;
  Id k = g_spread(g, g_const(g, d, r), graph_shape(g, graph_in(g, v)[1]), graph_rank(g, graph_in(g, v)[1]));
  return g_binary(g, OP_MUL, first_of(g, v), k);
}

Id step_convert_convert(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_CONVERT);
  if (!x) return 0;
  DType from = graph_dtype(g, first_of(g, x)), by = graph_dtype(g, x);
  bool keeps = from == DT_BOOL || (from == DT_F32 && by == DT_F64) ||
               (from == DT_I32 && (by == DT_I64 || by == DT_F64)) ||
               (dtype_is_half(from) && !dtype_is_half(by) && dtype_is_float(by));
  return keeps ? g_convert(g, graph_dtype(g, v), first_of(g, x)) : 0;
}

static bool from_scalar(const Graph *g, Id x) {
  return graph_op(g, x) == OP_BROADCAST && !graph_rank(g, first_of(g, x));
}

static Id same_op(Graph *g, Id v, const Id *in) {
  Attrs a = {0};
  if (graph_op(g, v) == OP_CONVERT) attr_int(&a, graph_dtype(g, v));
  return graph_node(g, graph_op(g, v), in, (int)graph_at(g, v)->nin, &a);
}

Id step_scalar_operand(Graph *g, Id v, bool single) {
  (void)single;
  Id in[3];
  int n = (int)graph_at(g, v)->nin, full = 0, scalars = 0;
  for (int i = 0; i < n; i++) {
    in[i] = graph_in(g, v)[i];
    if (from_scalar(g, in[i]))
      scalars++;
    else
      full += graph_rank(g, in[i]) > 0;
  }
  if (!scalars || !full) return 0;
  for (int i = 0; i < n; i++)
    if (from_scalar(g, in[i])) in[i] = first_of(g, in[i]);
  return same_op(g, v, in);
}

Id step_broadcast_later(Graph *g, Id v, bool single) {
  Id in[3], first = 0;
  int n = (int)graph_at(g, v)->nin, na = 0;
  const int64_t *axes = NULL;
  for (int i = 0; i < n; i++) {
    Id x = in[i] = graph_in(g, v)[i];
    if (!graph_rank(g, x)) continue;
    if (graph_op(g, x) != OP_BROADCAST || !(single || from_scalar(g, x))) return 0;
    in[i] = first_of(g, x);
    int m;
    const int64_t *a = graph_attr(g, x, "axes", &m);
    if (first && (m != na || (m && memcmp(a, axes, (size_t)m * sizeof *a)))) return 0;
    if (!first) first = x, axes = a, na = m;
  }
  if (!first) return 0;
  int to[MAX_RANK];
  for (int i = 0; i < na; i++) to[i] = (int)axes[i];
  Id r = same_op(g, v, in);
  return graph_rank(g, r) == na ? g_broadcast(g, r, graph_shape(g, v), graph_rank(g, v), to) : 0;
}

Id step_reshape_later(Graph *g, Id v, bool single) {
  Id in[3], first = 0;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) {
    Id x = in[i] = graph_in(g, v)[i];
    if (!graph_rank(g, x)) continue;
    if (graph_op(g, x) != OP_RESHAPE) return 0;
    Id from = in[i] = first_of(g, x);
    int rank = graph_rank(g, from);
    if (!rank || rank > graph_rank(g, v) || (rank == graph_rank(g, v) && !single)) return 0;
    if (!first) first = from;
    if (graph_rank(g, first) != rank) return 0;
    for (int k = 0; k < rank; k++)
      if (!same_size(g, graph_shape(g, first)[k], graph_shape(g, from)[k])) return 0;
  }
  return first ? g_reshape(g, same_op(g, v, in), graph_shape(g, v), graph_rank(g, v)) : 0;
}

/* ---- movement ------------------------------------------------------------------------------------------------------
 */

Id step_broadcast_ones(Graph *g, Id v, bool single) {
  (void)single;
  int n;
  const int64_t *axes = graph_attr(g, v, "axes", &n);
  for (int i = 0, k = 0; i < graph_rank(g, v); i++) {
    if (k < n && axes[k] == i)
      k++;
    else if (!is_int(g, graph_shape(g, v)[i], 1))
      return 0;
  }
  return g_reshape(g, first_of(g, v), graph_shape(g, v), graph_rank(g, v));
}

Id step_broadcast_broadcast(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_BROADCAST);
  if (!x) return 0;
  int n, to[MAX_RANK];
  const int64_t *outer = graph_attr(g, v, "axes", NULL), *inner = graph_attr(g, x, "axes", &n);
  for (int i = 0; i < n; i++) to[i] = (int)outer[inner[i]];
  return g_broadcast(g, first_of(g, x), graph_shape(g, v), graph_rank(g, v), to);
}

Id step_transpose_ones(Graph *g, Id v, bool single) {
  (void)single;
  const int64_t *axes = graph_attr(g, v, "axes", NULL);
  int64_t last = -1;
  for (int i = 0; i < graph_rank(g, v); i++) {
    if (is_int(g, graph_shape(g, v)[i], 1)) continue;
    if (axes[i] < last) return 0;
    last = axes[i];
  }
  return g_reshape(g, first_of(g, v), graph_shape(g, v), graph_rank(g, v));
}

Id step_transpose_transpose(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_TRANSPOSE);
  if (!x) return 0;
  int to[MAX_RANK];
  const int64_t *outer = graph_attr(g, v, "axes", NULL), *inner = graph_attr(g, x, "axes", NULL);
  for (int i = 0; i < graph_rank(g, v); i++) to[i] = (int)inner[outer[i]];
  return g_transpose(g, first_of(g, x), to);
}

Id step_transpose_broadcast(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_BROADCAST);
  if (!x) return 0;
  int n, to[MAX_RANK], where[MAX_RANK];
  const int64_t *perm = graph_attr(g, v, "axes", NULL), *axes = graph_attr(g, x, "axes", &n);
  for (int i = 0; i < graph_rank(g, v); i++) where[perm[i]] = i;
  for (int i = 0; i < n; i++) {
    to[i] = where[axes[i]];
    if (i && to[i] <= to[i - 1]) return 0;
  }
  return g_broadcast(g, first_of(g, x), graph_shape(g, v), graph_rank(g, v), to);
}

Id step_reshape_reshape(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_RESHAPE);
  if (!x) return 0;
  Sym a = sym_product(g->ctx->syms, graph_shape(g, first_of(g, x)), graph_rank(g, first_of(g, x)));
  Sym b = sym_product(g->ctx->syms, graph_shape(g, v), graph_rank(g, v)); /* equality by facts does not chain */
  return same_size(g, a, b) ? g_reshape(g, first_of(g, x), graph_shape(g, v), graph_rank(g, v)) : 0;
}

Id step_reverse_reverse(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_REVERSE);
  if (!x) return 0;
  int n, m, to[MAX_RANK], k = 0;
  const int64_t *a = graph_attr(g, v, "axes", &n), *b = graph_attr(g, x, "axes", &m);
  for (int axis = 0; axis < graph_rank(g, v); axis++) {
    int times = 0;
    for (int i = 0; i < n; i++) times += a[i] == axis;
    for (int i = 0; i < m; i++) times += b[i] == axis;
    if (times == 1) to[k++] = axis;
  }
  return g_reverse(g, first_of(g, x), to, k);
}

Id step_move_full(Graph *g, Id v, bool single) {
  (void)single;
  Op op = graph_op(g, v);
  Id x = op == OP_CONCAT ? 0 : first_of(g, v);
  if (!x || op == OP_BROADCAST || op == OP_PAD || !from_scalar(g, x)) return 0;
  return g_spread(g, first_of(g, x), graph_shape(g, v), graph_rank(g, v));
}

typedef struct Cut { /* a slice with steps of 1 */
  const int64_t *start, *end;
  bool unit;
} Cut;

static Cut cut_of(const Graph *g, Id v) {
  int n;
  Cut c = {graph_attr(g, v, "starts", &n), graph_attr(g, v, "ends", NULL), true};
  const int64_t *step = graph_attr(g, v, "steps", NULL);
  for (int i = 0; i < n; i++) c.unit &= step[i] == 1;
  return c;
}

static const int64_t UNIT_STEPS[MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};

Id step_slice_whole(Graph *g, Id v, bool single) {
  (void)single;
  Id x = first_of(g, v);
  Cut c = cut_of(g, v);
  for (int i = 0; i < graph_rank(g, v); i++)
    if (!c.unit || !is_int(g, (Sym)c.start[i], 0) || !same_size(g, (Sym)c.end[i], graph_shape(g, x)[i])) return 0;
  return x;
}

Id step_slice_slice(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_SLICE);
  Sym from[MAX_RANK], to[MAX_RANK];
  if (!x) return 0;
  Cut outer = cut_of(g, v), inner = cut_of(g, x);
  if (!outer.unit || !inner.unit) return 0;
  for (int i = 0; i < graph_rank(g, v); i++) {
    from[i] = sym_add(g->ctx->syms, (Sym)inner.start[i], (Sym)outer.start[i]);
    to[i] = sym_add(g->ctx->syms, (Sym)inner.start[i], (Sym)outer.end[i]);
  }
  return g_slice(g, first_of(g, x), from, to, UNIT_STEPS);
}

Id step_slice_pad(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_PAD);
  if (!x) return 0;
  Cut c = cut_of(g, v);
  const int64_t *lo = graph_attr(g, x, "lo", NULL), *inside = graph_attr(g, x, "interior", NULL);
  for (int i = 0; i < graph_rank(g, v); i++) {
    Sym n = graph_shape(g, first_of(g, x))[i];
    if (!c.unit || inside[i] || !same_size(g, (Sym)c.start[i], (Sym)lo[i]) ||
        !same_size(g, (Sym)c.end[i], sym_add(g->ctx->syms, (Sym)lo[i], n)))
      return 0;
  }
  return first_of(g, x);
}

Id step_slice_concat(Graph *g, Id v, bool single) {
  (void)single;
  Id x = operand_of(g, v, OP_CONCAT);
  if (!x) return 0;
  Cut c = cut_of(g, v);
  int64_t axis = graph_attr_int(g, x, "axis");
  for (int i = 0; i < graph_rank(g, v); i++)
    if (!c.unit ||
        (i != axis && (!is_int(g, (Sym)c.start[i], 0) || !same_size(g, (Sym)c.end[i], graph_shape(g, x)[i]))))
      return 0;
  Sym at = sym_int(g->ctx->syms, 0);
  for (uint32_t k = 0; k < graph_at(g, x)->nin; k++) {
    Id part = graph_in(g, x)[k];
    Sym end = sym_add(g->ctx->syms, at, graph_shape(g, part)[axis]);
    if (same_size(g, at, (Sym)c.start[axis]) && same_size(g, end, (Sym)c.end[axis])) return part;
    at = end;
  }
  return 0;
}

Id step_pad_nothing(Graph *g, Id v, bool single) {
  (void)single;
  const int64_t *lo = graph_attr(g, v, "lo", NULL), *hi = graph_attr(g, v, "hi", NULL),
                *inside = graph_attr(g, v, "interior", NULL);
  for (int i = 0; i < graph_rank(g, v); i++)
    if (inside[i] || !is_int(g, (Sym)lo[i], 0) || !is_int(g, (Sym)hi[i], 0)) return 0;
  return first_of(g, v);
}

Id step_concat_one(Graph *g, Id v, bool single) {
  (void)single;
  return graph_at(g, v)->nin == 1 ? first_of(g, v) : 0;
}

Id step_dynamic_constant(Graph *g, Id v, bool single) {
  (void)single;
  SymTab *t = g->ctx->syms;
  Id x = first_of(g, v);
  int n;
  const int64_t *axes = graph_attr(g, v, "axes", &n), *size = graph_attr(g, v, "sizes", NULL);
  Sym from[MAX_RANK], to[MAX_RANK];
  for (int i = 0; i < graph_rank(g, v); i++) from[i] = sym_int(t, 0), to[i] = graph_shape(g, x)[i];
  for (int k = 0; k < n; k++) {
    Id start = graph_in(g, v)[1 + k];
    Sym at = 0;
    if (graph_op(g, start) == OP_CONSTANT)
      at = sym_int(t, graph_attr(g, start, "value", NULL)[0]);
    else if (graph_op(g, start) == OP_DIM)
      at = (Sym)graph_attr_int(g, start, "value");
    if (!at) return 0;
    Sym end = sym_add(t, at, (Sym)size[k]), n_axis = to[axes[k]];
    int64_t p, q;
    bool within = g->facts ? sym_nonneg(g->facts, at) && sym_decide(g->facts, SYM_LE, end, n_axis) == 1
                           : sym_is_int(t, at, &p) && p >= 0 && sym_is_int(t, sym_sub(t, n_axis, end), &q) && q >= 0;
    if (!within) return 0;
    from[axes[k]] = at;
    to[axes[k]] = end;
  }
  return g_slice(g, x, from, to, UNIT_STEPS);
}

/* ---- reductions ----------------------------------------------------------------------------------------------------
 */

static unsigned axes_mask(const int64_t *axes, int n) {
  unsigned m = 0;
  for (int i = 0; i < n; i++) m |= 1u << axes[i];
  return m;
}

/* Where the axes of x that are not in `gone` end up when those are removed: fills to[] for the axes listed. */
static int place_after(unsigned gone, int64_t axis) {
  return (int)axis - __builtin_popcount(gone & ((1u << axis) - 1));
}

/* v reduces a broadcast along new axes only: the operand of the broadcast, spread over the axes that are left; its size
 * along the reduced ones goes to *count. 0 if not so. With `times` the operand is multiplied by the count first. */
static Id of_broadcast(Graph *g, Id v, bool times) {
  SymTab *t = g->ctx->syms;
  Id x = operand_of(g, v, OP_BROADCAST);
  if (!x) return 0;
  int n, m, to[MAX_RANK];
  const int64_t *axes = graph_attr(g, v, "axes", &n), *kept = graph_attr(g, x, "axes", &m);
  unsigned gone = axes_mask(axes, n);
  Sym count = sym_int(t, 1);
  if (gone & axes_mask(kept, m)) return 0;
  for (int i = 0; i < n; i++) {
    if (!times && !at_least_one(g, graph_shape(g, x)[axes[i]])) return 0;
    count = sym_mul(t, count, graph_shape(g, x)[axes[i]]);
  }
  if (sym_overflowed(t, count)) return 0;
  for (int i = 0; i < m; i++) to[i] = place_after(gone, kept[i]);
  Id r = first_of(g, x);
  DType d = graph_dtype(g, v), computed = dtype_computed(d); /* 16 bits have no room for every count */
  if (times)
    r = g_convert(g, d, g_binary(g, OP_MUL, g_convert(g, computed, r), g_convert(g, computed, g_dim(g, count))));
  return m == graph_rank(g, v) ? r : g_broadcast(g, r, graph_shape(g, v), graph_rank(g, v), to);
}

static Id of_reduce(Graph *g, Id v) {
  Id x = operand_of(g, v, graph_op(g, v));
  if (!x) return 0;
  int n, m, all[MAX_RANK], k = 0;
  const int64_t *outer = graph_attr(g, v, "axes", &n), *inner = graph_attr(g, x, "axes", &m);
  unsigned gone = axes_mask(inner, m), again = axes_mask(outer, n);
  for (int i = 0; i < graph_rank(g, first_of(g, x)); i++)
    if (gone & 1u << i || again & 1u << place_after(gone, i)) all[k++] = i;
  return g_reduce(g, graph_op(g, v), first_of(g, x), all, k);
}

static Id of_transpose(Graph *g, Id v) {
  Id x = operand_of(g, v, OP_TRANSPOSE);
  if (!x) return 0;
  int n, to[MAX_RANK];
  const int64_t *axes = graph_attr(g, v, "axes", &n), *perm = graph_attr(g, x, "axes", NULL);
  unsigned gone = axes_mask(axes, n);
  int64_t last = -1;
  for (int i = 0; i < graph_rank(g, x); i++) {
    if (gone & 1u << i) continue;
    if (perm[i] < last) return 0; /* what is left is in another order */
    last = perm[i];
  }
  for (int i = 0; i < n; i++) to[i] = (int)perm[axes[i]];
  return g_reduce(g, graph_op(g, v), first_of(g, x), to, n);
}

static Id of_neg(Graph *g, Id v, bool single) {
  Id x = operand_of(g, v, OP_NEG);
  int n, to[MAX_RANK];
  const int64_t *axes = graph_attr(g, v, "axes", &n);
  for (int i = 0; i < n; i++) to[i] = (int)axes[i];
  return x && single ? g_unary(g, OP_NEG, g_reduce(g, OP_REDUCE_SUM, first_of(g, x), to, n)) : 0;
}

static Id over_ones(Graph *g, Id v) {
  int n;
  const int64_t *axes = graph_attr(g, v, "axes", &n);
  for (int i = 0; i < n; i++)
    if (!is_int(g, graph_shape(g, first_of(g, v))[axes[i]], 1)) return 0;
  return g_reshape(g, first_of(g, v), graph_shape(g, v), graph_rank(g, v));
}

#define EXTREME(name, f)                                                                                               \
  Id step_extreme_##name(Graph *g, Id v, bool single) {                                                                \
    (void)single;                                                                                                      \
    return graph_op(g, v) == OP_REDUCE_SUM ? 0 : f;                                                                    \
  }
#define SUM(name, f)                                                                                                   \
  Id step_sum_##name(Graph *g, Id v, bool single) {                                                                    \
    (void)single;                                                                                                      \
    return f;                                                                                                          \
  }
EXTREME(broadcast, of_broadcast(g, v, false))
EXTREME(reduce, of_reduce(g, v))
EXTREME(transpose, of_transpose(g, v))
EXTREME(ones, over_ones(g, v))
SUM(neg, of_neg(g, v, single))
SUM(broadcast, of_broadcast(g, v, true))
SUM(reduce, of_reduce(g, v))
SUM(transpose, of_transpose(g, v))
SUM(ones, over_ones(g, v))

/* ---- products ------------------------------------------------------------------------------------------------------
 */

typedef struct Dot {
  int nc, nb, c[2][MAX_RANK], b[2][MAX_RANK];
} Dot;

static Dot dot_of(const Graph *g, Id v) {
  Dot d = {0};
  int n;
  const int64_t *w = graph_attr(g, v, "contract", &n);
  d.nc = n / 2;
  for (int i = 0; i < n; i++) d.c[i / (d.nc ? d.nc : 1)][i % (d.nc ? d.nc : 1)] = (int)w[i];
  w = graph_attr(g, v, "batch", &n);
  d.nb = n / 2;
  for (int i = 0; i < n; i++) d.b[i / (d.nb ? d.nb : 1)][i % (d.nb ? d.nb : 1)] = (int)w[i];
  return d;
}

Id step_dot_transpose(Graph *g, Id v, bool single) {
  (void)single;
  Dot d = dot_of(g, v);
  Id in[2] = {graph_in(g, v)[0], graph_in(g, v)[1]};
  bool any = false;
  for (int side = 0; side < 2; side++) {
    Id x = in[side];
    if (graph_op(g, x) != OP_TRANSPOSE) continue;
    const int64_t *perm = graph_attr(g, x, "axes", NULL);
    unsigned used = 0;
    for (int i = 0; i < d.nc; i++) used |= 1u << d.c[side][i];
    for (int i = 0; i < d.nb; i++) used |= 1u << d.b[side][i];
    int64_t last = -1;
    bool rising = true;
    for (int i = 0; i < graph_rank(g, x); i++) {
      if (used & 1u << i) continue;
      rising &= perm[i] > last;
      last = perm[i];
    }
    if (!rising) continue; /* the free axes would come out in another order */
    for (int i = 0; i < d.nc; i++) d.c[side][i] = (int)perm[d.c[side][i]];
    for (int i = 0; i < d.nb; i++) d.b[side][i] = (int)perm[d.b[side][i]];
    in[side] = first_of(g, x);
    any = true;
  }
  return any ? g_dot(g, in[0], in[1], d.c[0], d.c[1], d.nc, d.b[0], d.b[1], d.nb) : 0;
}

Id step_transpose_dot(Graph *g, Id v, bool single) {
  Id x = operand_of(g, v, OP_DOT_GENERAL);
  if (!x || !single) return 0; /* a product that others need would be made twice */
  Dot d = dot_of(g, x);
  Id p = graph_in(g, x)[0], q = graph_in(g, x)[1];
  int fp = graph_rank(g, p) - d.nb - d.nc, fq = graph_rank(g, q) - d.nb - d.nc;
  const int64_t *perm = graph_attr(g, v, "axes", NULL);
  for (int i = 0; i < d.nb + fp + fq; i++)
    if (perm[i] != (i < d.nb ? i : i < d.nb + fq ? i + fp : i - fq)) return 0;
  return g_dot(g, q, p, d.c[1], d.c[0], d.nc, d.b[1], d.b[0], d.nb);
}
