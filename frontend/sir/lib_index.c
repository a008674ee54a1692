#include "library.h"
#include <string.h>

/* What happens to one axis of x. A moving axis starts at an integer scalar of the graph; a gathered one is read at the
 * positions in a tensor; the others are sliced. */
typedef struct Axis {
  Sym from, to, size;
  int64_t step;
  Id moves;   /* i64[] start, or 0 */
  Id gather;  /* i64 indices, or 0 */
  bool drops; /* indexed by an int: not in the result */
} Axis;

typedef struct Index {
  Id x;
  int rank;
  Sym shape[MAX_RANK];
  Axis axis[MAX_RANK];
  int out[2 * MAX_RANK], nout; /* axes of x in the result's order, -1: a new one */
} Index;

static const char *text(Tracer *t, Sym s) { return value_text(t, value_sym(t, s)); }
static Sym number(Tracer *t, int64_t i) { return sym_int(t->syms, i); }

/* ---- ends that move ---- */
/* Index arithmetic on nodes as a polynomial: a node that is no arithmetic is an atom with a name no dimension has. */
static Sym affine(Tracer *t, Id v, int depth) {
  Op op = graph_op(t->g, v);
  double c;
  if (op == OP_DIM) return (Sym)graph_attr_int(t->g, v, "value");
  if (op == OP_CONSTANT && graph_constant(t->g, v, &c)) return number(t, graph_attr_int(t->g, v, "value"));
  if (depth < 20 && (op == OP_ADD || op == OP_SUB || op == OP_MUL)) {
    Sym a = affine(t, graph_in(t->g, v)[0], depth + 1), b = affine(t, graph_in(t->g, v)[1], depth + 1);
    return op == OP_ADD ? sym_add(t->syms, a, b) : op == OP_SUB ? sym_sub(t->syms, a, b) : sym_mul(t->syms, a, b);
  }
  return sym_var(t->syms, trace_printf(t, "%%%u", v));
}

static bool moves(Tracer *t, Sym s) {
  SymNames names = {0};
  sym_names(t->syms, s, t->arena, &names);
  for (uint32_t i = 0; i < names.n; i++)
    if (names.at[i][0] == '%') return true;
  return false;
}

/* An end of a slice as a Sym (through affine for a tensor) and, for a tensor, its node. */
static bool slice_end(Tracer *t, Value v, Sym missing, Sym *s, Id *node) {
  *node = 0;
  if (v.kind == VAL_NONE) {
    *s = missing;
    return true;
  }
  if (value_is_size(v)) {
    *s = value_as_sym(t, v);
    return true;
  }
  if (v.kind == VAL_TENSOR) {
    TRY((*node = trace_lift(t, v)));
    if (dtype_is_int(graph_dtype(t->g, *node)) && graph_rank(t->g, *node) == 0) {
      *s = affine(t, *node, 0);
      return (*node = g_convert(t->g, DT_I64, *node)) != 0;
    }
  }
  return trace_fault(t, "sir-index", "the end of a slice is an int or an integer scalar, not %s", value_describe(t, v));
}

/* from <= to by the facts, or a fault about the slice. */
static bool ordered(Tracer *t, Sym a, Sym b, Sym from, Sym to, int k, Sym n) {
  int yes = trace_decide(t, SIR_LE, a, b);
  if (yes == 0)
    return trace_fault(t, "sir-slice-range", "the slice %s:%s leaves axis %d, which has %s", text(t, from), text(t, to),
                       k, text(t, n));
  if (yes < 0)
    return trace_fault(t, "sir-unproved", "the slice %s:%s of axis %d, which has %s: say `where %s <= %s`",
                       text(t, from), text(t, to), k, text(t, n), text(t, a), text(t, b));
  return true;
}

static bool slice_axis(Tracer *t, const IndexItem *item, int k, Sym n, Axis *x) {
  x->step = 1;
  if (item->step.kind != VAL_NONE) {
    if (item->step.kind != VAL_INT || item->step.u.i < 1)
      return trace_fault(t, "sir-slice-step", "the step of a slice is an int of at least 1; `flip(x, axis)` reverses");
    x->step = item->step.u.i;
  }
  Id a, z;
  Sym from, to, zero = number(t, 0);
  TRY(slice_end(t, item->from, zero, &from, &a));
  TRY(slice_end(t, item->to, n, &to, &z));
  if (a || z) {
    Sym size = sym_sub(t->syms, to, from);
    if (x->step != 1) return trace_fault(t, "sir-slice-step", "a slice that moves has no step");
    if (!a || moves(t, size))
      return trace_fault(
          t, "sir-slice-extent",
          "the extent of this slice of axis %d is not known while tracing; both ends must move together: x[at:at + 1]",
          k);
    if (!sym_nonneg(t->facts, size) || trace_decide(t, SIR_LE, size, n) != 1)
      return trace_fault(t, "sir-slice-range", "a slice of %s of axis %d, which has %s", text(t, size), k, text(t, n));
    *x = (Axis){.from = zero, .to = n, .size = size, .step = 1, .moves = a};
    return true;
  }
  if (item->from.kind != VAL_NONE && trace_decide(t, SIR_LT, from, zero) == 1) from = sym_add(t->syms, from, n);
  if (item->to.kind != VAL_NONE && trace_decide(t, SIR_LT, to, zero) == 1) to = sym_add(t->syms, to, n);
  int64_t p, q, m;
  if (sym_is_int(t->syms, from, &p) && sym_is_int(t->syms, to, &q) && sym_is_int(t->syms, n, &m)) { /* NumPy clamps */
    p = p < 0 ? 0 : p > m ? m : p;
    q = q < 0 ? 0 : q > m ? m : q;
    from = number(t, p);
    to = number(t, q < p ? p : q);
  }
  TRY(ordered(t, zero, from, from, to, k, n));
  TRY(ordered(t, from, to, from, to, k, n));
  TRY(ordered(t, to, n, from, to, k, n));
  x->from = from;
  x->to = to;
  x->size = sym_div_up(t->syms, sym_sub(t->syms, to, from), number(t, x->step));
  return true;
}

static bool int_axis(Tracer *t, Sym i, int k, Sym n, Axis *x) {
  Sym zero = number(t, 0);
  if (trace_decide(t, SIR_LT, i, zero) == 1) i = sym_add(t->syms, i, n);
  int low = trace_decide(t, SIR_GE, i, zero), high = trace_decide(t, SIR_LT, i, n);
  if (!low || !high)
    return trace_fault(t, "sir-index-range", "index %s of axis %d, which has %s", text(t, i), k, text(t, n));
  if (low < 0 || high < 0)
    return trace_fault(t, "sir-unproved", "index %s of axis %d, which has %s: say so with `where %s > %s`", text(t, i),
                       k, text(t, n), text(t, n), text(t, i));
  *x = (Axis){.from = i, .to = sym_add(t->syms, i, number(t, 1)), .size = number(t, 1), .step = 1, .drops = true};
  return true;
}

/* One item that is a value: an int, a dimension, an integer scalar or tensor. */
static bool value_axis(Tracer *t, Value v, int k, Sym n, Axis *x) {
  if (value_is_size(v)) return int_axis(t, value_as_sym(t, v), k, n, x);
  if (v.kind != VAL_TENSOR)
    return trace_fault(t, "sir-index", "an index is an int or an integer tensor, not %s", value_describe(t, v));
  Id i = trace_lift(t, v);
  TRY(i);
  if (!dtype_is_int(graph_dtype(t->g, i)))
    return trace_fault(t, "sir-index", "an index is an int or an integer tensor, not %s%s", graph_type(t->g, i),
                       graph_dtype(t->g, i) == DT_BOOL ? "; `where` chooses by a mask" : "");
  double c;
  if (!graph_rank(t->g, i) && graph_constant(t->g, i, &c)) return int_axis(t, number(t, (int64_t)c), k, n, x);
  bool scalar = graph_rank(t->g, i) == 0;
  TRY((i = g_convert(t->g, DT_I64, i)));
  *x = scalar ? (Axis){.from = number(t, 0), .to = n, .size = number(t, 1), .step = 1, .moves = i, .drops = true}
              : (Axis){.from = number(t, 0), .to = n, .size = n, .step = 1, .gather = i};
  return true;
}

static bool read_items(Tracer *t, Id x, const IndexItem *items, int n, Index *ix) {
  *ix = (Index){.x = x};
  ix->rank = lib_dims(t, x, ix->shape);
  int full = 0, rests = 0, first = -1, last = 0, picks = 0;
  bool vectors = false;
  for (int k = 0; k < n; k++) {
    bool fresh = items[k].kind == ITEM_VALUE && items[k].value.kind == VAL_NONE;
    rests += items[k].kind == ITEM_REST;
    full += items[k].kind != ITEM_REST && !fresh;
    if (items[k].kind == ITEM_VALUE && !fresh) {
      first = first < 0 ? k : first;
      last = k;
      picks++;
      vectors |= items[k].value.kind == VAL_TENSOR && graph_rank(items[k].value.x.graph, items[k].value.u.id) > 0;
    }
  }
  if (rests > 1) return trace_fault(t, "sir-index", "an index has one `...` at most");
  if (vectors && last - first >= picks) /* NumPy would move their axes to the front */
    return trace_fault(t, "sir-index-apart",
                       "an integer tensor and the other integer indices stand apart: index in two steps, x[0][:, i], "
                       "or transpose first");
  if (full > ix->rank) return trace_fault(t, "sir-index", "%d indices of %s", full, graph_type(t->g, x));
  IndexItem whole = {.kind = ITEM_SLICE};
  int a = 0;
  for (int k = 0; k < n; k++) {
    if (items[k].kind == ITEM_VALUE && items[k].value.kind == VAL_NONE) {
      if (ix->nout >= MAX_RANK) return trace_fault(t, "sir-rank", "an index with more than %d axes", MAX_RANK);
      ix->out[ix->nout++] = -1;
      continue;
    }
    for (int m = items[k].kind == ITEM_REST ? ix->rank - full : 1; m > 0; m--, a++) {
      if (items[k].kind == ITEM_VALUE) {
        TRY(value_axis(t, items[k].value, a, ix->shape[a], &ix->axis[a]));
      } else {
        TRY(slice_axis(t, items[k].kind == ITEM_REST ? &whole : &items[k], a, ix->shape[a], &ix->axis[a]));
      }
      if (!ix->axis[a].drops) ix->out[ix->nout++] = a;
    }
  }
  for (; a < ix->rank; a++) {
    TRY(slice_axis(t, &whole, a, ix->shape[a], &ix->axis[a]));
    ix->out[ix->nout++] = a;
  }
  return true;
}

/* The index tensors in their common shape. */
static bool gather_indices(Tracer *t, const Index *ix, Id *index, int *n, int *first, Sym *shape, int *rank) {
  *n = 0;
  for (int a = 0; a < ix->rank; a++)
    if (ix->axis[a].gather) {
      if (!*n) *first = a;
      index[(*n)++] = ix->axis[a].gather;
    }
  if (!*n) return true;
  TRY(trace_join(t, index, *n, "the indices", shape, rank));
  for (int i = 0; i < *n; i++) TRY((index[i] = trace_spread(t, index[i], shape, *rank)));
  return true;
}

bool lib_index(Tracer *t, Id x, const IndexItem *items, int n, Value *out) {
  Index ix;
  TRY(read_items(t, x, items, n, &ix));
  Id start[MAX_RANK];
  int axes[MAX_RANK], nmove = 0;
  Sym sizes[MAX_RANK], starts[MAX_RANK], ends[MAX_RANK];
  int64_t steps[MAX_RANK];
  bool slices = false;
  for (int a = 0; a < ix.rank; a++) {
    const Axis *k = &ix.axis[a];
    if (k->moves) {
      start[nmove] = k->moves;
      sizes[nmove] = k->size;
      axes[nmove++] = a;
    }
    starts[a] = k->from;
    ends[a] = k->moves ? k->size : k->to;
    steps[a] = k->step;
    slices |= !k->moves && (k->from != number(t, 0) || k->step != 1 || !trace_equal_dims(t, k->to, ix.shape[a]));
  }
  if (nmove) TRY((x = g_dynamic_slice(t->g, x, start, axes, sizes, nmove)));
  if (slices) TRY((x = g_slice(t->g, x, starts, ends, steps)));
  Id index[MAX_RANK];
  Sym ishape[MAX_RANK], shape[2 * MAX_RANK];
  int nindex, first = 0, irank = 0, rank = 0, at = 0;
  TRY(gather_indices(t, &ix, index, &nindex, &first, ishape, &irank));
  if (nindex) {
    Sym kept[MAX_RANK];
    int nkept = 0, k = first;
    for (int a = 0; a < ix.rank; a++) { /* axes taken by an int go first */
      if (!ix.axis[a].drops)
        kept[nkept++] = ix.axis[a].size;
      else
        k -= a < first;
    }
    if (nkept - nindex + irank > MAX_RANK)
      return trace_fault(t, "sir-rank", "an index with %d axes; a tensor has at most %d", nkept - nindex + irank,
                         MAX_RANK);
    TRY((x = g_reshape(t->g, x, kept, nkept)));
    TRY((x = g_gather(t->g, x, index, nindex, k)));
  }
  for (int i = 0; i < ix.nout; i++) {
    int a = ix.out[i];
    if (a < 0 || !ix.axis[a].gather) {
      shape[rank++] = a < 0 ? number(t, 1) : ix.axis[a].size;
    } else if (!at++) {
      memcpy(shape + rank, ishape, sizeof *shape * (size_t)irank);
      rank += irank;
    }
    if (rank > MAX_RANK) return trace_fault(t, "sir-rank", "an index with more than %d axes", MAX_RANK);
  }
  return trace_node(t, g_reshape(t->g, x, shape, rank), out);
}

/* The tracer has seen to it that v is of x's dtype. */
bool lib_index_update(Tracer *t, Id x, const IndexItem *items, int n, Id v, Id *out) {
  DType d = graph_dtype(t->g, x);
  Index ix;
  TRY(read_items(t, x, items, n, &ix));
  Sym want[MAX_RANK], have[MAX_RANK], sizes[MAX_RANK];
  Id starts[MAX_RANK];
  int axes[MAX_RANK], nmove = 0, rank = 0;
  for (int i = 0; i < ix.nout; i++) {
    if (ix.out[i] < 0) return trace_fault(t, "sir-update-index", "a slice that is written has no `none`");
    want[rank++] = ix.axis[ix.out[i]].size;
  }
  for (int a = 0; a < ix.rank; a++) {
    const Axis *k = &ix.axis[a];
    if (k->gather) return trace_later(t, "an update through an integer tensor");
    if (k->step != 1) return trace_fault(t, "sir-update-index", "a slice that is written has no step");
    sizes[a] = k->size;
    if (!k->moves && k->from == number(t, 0) && trace_equal_dims(t, k->size, ix.shape[a])) continue;
    TRY((starts[nmove] = k->moves ? k->moves : trace_size(t, k->from)));
    axes[nmove++] = a;
  }
  int nv = lib_dims(t, v, have);
  bool fits = nv <= rank;
  for (int i = 0; i < nv && fits; i++)
    fits = have[i] == number(t, 1) || trace_equal_dims(t, have[i], want[rank - nv + i]);
  if (!fits)
    return trace_fault(t, "sir-update-type", "the slice is %s, the new value %s",
                       graph_shape_text(t->ctx, d, want, rank), graph_type(t->g, v));
  TRY((v = trace_spread(t, v, want, rank)));
  TRY((v = g_reshape(t->g, v, sizes, ix.rank)));
  *out = nmove ? g_dynamic_update(t->g, x, starts, axes, nmove, v) : v;
  return *out != 0;
}
