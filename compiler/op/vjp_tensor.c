/* Gradient rules of moves, indexing, reductions and products. Shapes and attributes are copied before nodes are made:
 * the graph's arrays move when it grows. */
#include "vjp.h"
#include <string.h>

#define RULE(name) bool vjp_##name(Graph *g, Id y, const Id *ct, const bool *want, Id *out)

typedef struct Shape {
  int rank;
  Sym dim[MAX_RANK];
} Shape;

static Shape shape_of(const Graph *g, Id v) {
  Shape s = {.rank = graph_rank(g, v)};
  for (int i = 0; i < s.rank; i++) s.dim[i] = graph_shape(g, v)[i];
  return s;
}

static int ints(const Graph *g, Id v, const char *attr, int *to) {
  int n;
  const int64_t *w = graph_attr(g, v, attr, &n);
  for (int i = 0; i < n; i++) to[i] = (int)w[i];
  return n;
}

static void syms(const Graph *g, Id v, const char *attr, Sym *to) {
  int n;
  const int64_t *w = graph_attr(g, v, attr, &n);
  for (int i = 0; i < n; i++) to[i] = (Sym)w[i];
}

static Id in(const Graph *g, Id y, int k) { return graph_in(g, y)[k]; }
static int operands(const Graph *g, Id y) { return (int)graph_at(g, y)->nin; }

static Id zeros(Graph *g, Id like) {
  Shape s = shape_of(g, like);
  return g_full(g, graph_dtype(g, like), 0, s.dim, s.rank);
}

/* Axes of 0..rank-1 that are not among the n listed. */
static int others(const int *axes, int n, int rank, int *to) {
  int k = 0;
  for (int i = 0; i < rank; i++) {
    bool listed = false;
    for (int j = 0; j < n; j++) listed |= axes[j] == i;
    if (!listed) to[k++] = i;
  }
  return k;
}

/* v, which lacks the listed axes, spread along them to the shape of `like`. */
static Id along(Graph *g, Id v, Id like, const int *axes, int n) {
  Shape s = shape_of(g, like);
  int keep[MAX_RANK];
  others(axes, n, s.rank, keep);
  return n ? g_broadcast(g, v, s.dim, s.rank, keep) : v;
}

/* ---- moves ---------------------------------------------------------------------------------------------------------
 */
RULE(broadcast) {
  (void)want;
  int axes[MAX_RANK], gone[MAX_RANK], n = ints(g, y, "axes", axes), k = others(axes, n, graph_rank(g, y), gone);
  out[0] = k ? g_reduce(g, OP_REDUCE_SUM, ct[0], gone, k) : ct[0];
  return out[0] != 0;
}

RULE(reshape) {
  (void)want;
  Shape s = shape_of(g, in(g, y, 0));
  out[0] = g_reshape(g, ct[0], s.dim, s.rank);
  return out[0] != 0;
}

RULE(transpose) {
  (void)want;
  int axes[MAX_RANK], back[MAX_RANK], n = ints(g, y, "axes", axes);
  for (int i = 0; i < n; i++) back[axes[i]] = i;
  out[0] = g_transpose(g, ct[0], back);
  return out[0] != 0;
}

RULE(slice) {
  (void)want;
  SymTab *t = g->ctx->syms;
  Shape x = shape_of(g, in(g, y, 0)), r = shape_of(g, y);
  Sym lo[MAX_RANK], hi[MAX_RANK];
  int steps[MAX_RANK];
  int64_t interior[MAX_RANK];
  syms(g, y, "starts", lo);
  ints(g, y, "steps", steps);
  for (int i = 0; i < x.rank; i++) { /* the last element taken is at start + (n - 1) step */
    Sym last = sym_add(t, lo[i], sym_mul(t, sym_sub(t, r.dim[i], sym_int(t, 1)), sym_int(t, steps[i])));
    hi[i] = sym_sub(t, sym_sub(t, x.dim[i], sym_int(t, 1)), last);
    interior[i] = steps[i] - 1;
  }
  out[0] = g_pad(g, ct[0], lo, hi, interior);
  return out[0] != 0;
}

static bool nonneg(const Graph *g, Sym s) {
  int64_t n;
  return sym_is_int(g->ctx->syms, s, &n) ? n >= 0 : g->facts && sym_nonneg(g->facts, s);
}

/* Of the places where operand elements went; those cropped away get zero. */
RULE(pad) {
  (void)want;
  SymTab *t = g->ctx->syms;
  Shape x = shape_of(g, in(g, y, 0));
  Sym lo[MAX_RANK], hi[MAX_RANK], start[MAX_RANK], end[MAX_RANK];
  int interior[MAX_RANK];
  int64_t steps[MAX_RANK], flat[MAX_RANK] = {0};
  bool inside = true, stepped = false;
  syms(g, y, "lo", lo);
  syms(g, y, "hi", hi);
  ints(g, y, "interior", interior);
  for (int i = 0; i < x.rank; i++) {
    Sym gaps = sym_mul(t, sym_sub(t, x.dim[i], sym_int(t, 1)), sym_int(t, interior[i]));
    start[i] = lo[i];
    end[i] = sym_add(t, lo[i], sym_add(t, x.dim[i], gaps));
    steps[i] = interior[i] + 1;
    stepped |= interior[i] != 0;
    inside &= nonneg(g, lo[i]) && nonneg(g, hi[i]);
  }
  Id c = ct[0];
  if (!inside) { /* crop what was padded and pad what was cropped; then only the steps are left */
    Sym zero = sym_int(t, 0);
    for (int i = 0; i < x.rank; i++) {
      end[i] = sym_sub(t, end[i], start[i]);
      start[i] = zero;
      lo[i] = sym_sub(t, zero, lo[i]);
      hi[i] = sym_sub(t, zero, hi[i]);
    }
    c = g_pad(g, c, lo, hi, flat);
  }
  out[0] = inside || stepped ? g_slice(g, c, start, end, steps) : c;
  return out[0] != 0;
}

RULE(reverse) {
  (void)want;
  int axes[MAX_RANK], n = ints(g, y, "axes", axes);
  out[0] = g_reverse(g, ct[0], axes, n);
  return out[0] != 0;
}

RULE(concat) {
  SymTab *t = g->ctx->syms;
  int axis = (int)graph_attr_int(g, y, "axis"), n = operands(g, y);
  Sym start[MAX_RANK], end[MAX_RANK], at = sym_int(t, 0);
  int64_t steps[MAX_RANK];
  for (int k = 0; k < n; k++) {
    Shape x = shape_of(g, in(g, y, k));
    for (int i = 0; i < x.rank; i++) start[i] = sym_int(t, 0), end[i] = x.dim[i], steps[i] = 1;
    start[axis] = at;
    at = end[axis] = sym_add(t, at, x.dim[axis]);
    if (want[k]) out[k] = g_slice(g, ct[0], start, end, steps);
  }
  return true;
}

/* ---- indexing ------------------------------------------------------------------------------------------------------
 */
static int indices(const Graph *g, Id y, Id *to, bool update) { /* operands between the first and, if any, the update */
  int n = operands(g, y) - (update ? 2 : 1);
  for (int i = 0; i < n; i++) to[i] = in(g, y, i + 1);
  return n;
}

RULE(gather) {
  Id index[MAX_RANK];
  int n = indices(g, y, index, false), axis = (int)graph_attr_int(g, y, "axis");
  if (want[0]) out[0] = g_scatter_add(g, zeros(g, in(g, y, 0)), index, n, axis, ct[0]);
  return true;
}

RULE(scatter_add) {
  Id index[MAX_RANK];
  int n = indices(g, y, index, true), axis = (int)graph_attr_int(g, y, "axis");
  if (want[0]) out[0] = ct[0];
  if (want[n + 1]) out[n + 1] = g_gather(g, ct[0], index, n, axis);
  return true;
}

RULE(dynamic_slice) {
  Id starts[MAX_RANK];
  int axes[MAX_RANK], n = indices(g, y, starts, false);
  ints(g, y, "axes", axes);
  if (want[0]) out[0] = g_dynamic_update(g, zeros(g, in(g, y, 0)), starts, axes, n, ct[0]);
  return true;
}

RULE(dynamic_update) {
  Id starts[MAX_RANK];
  int axes[MAX_RANK], n = indices(g, y, starts, true);
  Id update = in(g, y, n + 1);
  ints(g, y, "axes", axes);
  if (want[0]) out[0] = g_dynamic_update(g, ct[0], starts, axes, n, zeros(g, update));
  if (want[n + 1]) {
    Shape u = shape_of(g, update);
    Sym sizes[MAX_RANK];
    for (int i = 0; i < n; i++) sizes[i] = u.dim[axes[i]];
    out[n + 1] = g_dynamic_slice(g, ct[0], starts, axes, sizes, n);
  }
  return true;
}

/* ---- reductions and products ----------------------------------------------------------------------------------------
 */
RULE(reduce_sum) {
  (void)want;
  int axes[MAX_RANK], n = ints(g, y, "axes", axes);
  out[0] = along(g, ct[0], in(g, y, 0), axes, n);
  return out[0] != 0;
}

RULE(reduce_extreme) { /* in equal parts to all elements that are the extreme */
  (void)want;
  Id x = in(g, y, 0);
  int axes[MAX_RANK], n = ints(g, y, "axes", axes);
  if (!n) {
    out[0] = ct[0];
    return true;
  }
  Id hit = g_convert(g, graph_dtype(g, x), g_binary(g, OP_EQUAL, x, along(g, y, x, axes, n)));
  Id part = g_binary(g, OP_DIV, ct[0], g_reduce(g, OP_REDUCE_SUM, hit, axes, n));
  out[0] = g_binary(g, OP_MUL, along(g, part, x, axes, n), hit);
  return out[0] != 0;
}

typedef struct Side { /* an operand's axes by their part in the product */
  Id v;
  int rank, sum[MAX_RANK], batch[MAX_RANK], free[MAX_RANK], nfree;
} Side;

static void side(const Graph *g, Side *s, Id v, const int *sum, int ns, const int *batch, int nb) {
  int used[2 * MAX_RANK];
  s->v = v;
  s->rank = graph_rank(g, v);
  for (int i = 0; i < ns; i++) used[i] = s->sum[i] = sum[i];
  for (int i = 0; i < nb; i++) used[ns + i] = s->batch[i] = batch[i];
  s->nfree = others(used, ns + nb, s->rank, s->free);
}

/* The cotangent of operand a: ct times b summed over b's free axes, which start at axis `from` of ct. */
static Id other_side(Graph *g, Id ct, const Side *a, const Side *b, int ns, int nb, int from) {
  int sum[MAX_RANK], batch[MAX_RANK], have[MAX_RANK], back[MAX_RANK], n = 0;
  for (int i = 0; i < b->nfree; i++) sum[i] = from + i;
  for (int i = 0; i < nb; i++) batch[i] = i, have[n++] = a->batch[i];
  for (int i = 0; i < a->nfree; i++) have[n++] = a->free[i];
  for (int axis = 0; axis < b->rank; axis++) /* b's summed axes come last, in b's order */
    for (int i = 0; i < ns; i++)
      if (b->sum[i] == axis) have[n++] = a->sum[i];
  Id r = g_dot(g, ct, b->v, sum, b->free, b->nfree, batch, b->batch, nb);
  bool moved = false;
  for (int i = 0; i < n; i++) back[have[i]] = i, moved |= have[i] != i;
  return moved ? g_transpose(g, r, back) : r;
}

RULE(dot) {
  int contract[2 * MAX_RANK], batch[2 * MAX_RANK];
  int ns = ints(g, y, "contract", contract) / 2, nb = ints(g, y, "batch", batch) / 2;
  Side p, q;
  side(g, &p, in(g, y, 0), contract, ns, batch, nb);
  side(g, &q, in(g, y, 1), contract + ns, ns, batch + nb, nb);
  if (want[0]) out[0] = other_side(g, ct[0], &p, &q, ns, nb, nb + p.nfree);
  if (want[1]) out[1] = other_side(g, ct[0], &q, &p, ns, nb, nb);
  return true;
}
