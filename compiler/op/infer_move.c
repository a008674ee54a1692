/* Shape rules of movement and indexing. */
#include "op_rules.h"
#include <string.h>

bool infer_same(Infer *f) { return infer_rising(f, 0, graph_rank(f->g, f->in[0])) && infer_take(f, f->in[0]); }

bool infer_broadcast(Infer *f) {
  Id x = f->in[0];
  if (!infer_shape(f, 0)) return false;
  f->dtype = graph_dtype(f->g, x);
  if (f->nattr[1] != graph_rank(f->g, x))
    return infer_fail(f, "op-axis", "%d axes are named for rank %d", f->nattr[1], graph_rank(f->g, x));
  if (!infer_rising(f, 1, f->rank)) return false;
  for (int i = 0; i < f->nattr[1]; i++) {
    Sym from = graph_shape(f->g, x)[i], to = f->shape[f->attr[1][i]];
    if (!graph_same_size(f->g, from, to))
      return infer_fail(f, "op-shape", "axis %d is %s, but axis %lld of the result %s is %s", i, infer_sym(f, from),
                        (long long)f->attr[1][i], graph_shape_text(f->g->ctx, f->dtype, f->shape, f->rank),
                        infer_sym(f, to));
  }
  return true;
}

bool infer_reshape(Infer *f) {
  Id x = f->in[0];
  SymTab *t = f->g->ctx->syms;
  if (!infer_shape(f, 0)) return false;
  f->dtype = graph_dtype(f->g, x);
  Sym a = sym_product(t, graph_shape(f->g, x), graph_rank(f->g, x)), b = sym_product(t, f->shape, f->rank);
  int64_t p, q;
  if (graph_same_size(f->g, a, b)) return true;
  const char *to = graph_shape_text(f->g->ctx, f->dtype, f->shape, f->rank);
  if (sym_is_int(t, a, &p) && sym_is_int(t, b, &q))
    return infer_fail(f, "op-shape", "%lld elements do not fit %s, which has %lld", (long long)p, to, (long long)q);
  return infer_fail(f, "op-shape", "%s elements are not known to be the %s of %s", infer_sym(f, a), infer_sym(f, b),
                    to);
}

bool infer_transpose(Infer *f) {
  Id x = f->in[0];
  int rank = graph_rank(f->g, x);
  unsigned seen = 0;
  if (f->nattr[0] != rank) return infer_fail(f, "op-axis", "%d axes are named for rank %d", f->nattr[0], rank);
  infer_take(f, x);
  for (int i = 0; i < rank; i++) {
    if (!infer_axis(f, f->attr[0][i], rank)) return false;
    if (seen & 1u << f->attr[0][i])
      return infer_fail(f, "op-axis", "axis %lld is named twice", (long long)f->attr[0][i]);
    seen |= 1u << f->attr[0][i];
    f->shape[i] = graph_shape(f->g, x)[f->attr[0][i]];
  }
  return true;
}

/* Every list has one entry an axis of operand 0. */
static bool per_axis(Infer *f, int lists) {
  infer_take(f, f->in[0]);
  for (int k = 0; k < lists; k++)
    if (f->nattr[k] != f->rank) return infer_fail(f, "op-attribute", "%d entries for rank %d", f->nattr[k], f->rank);
  return true;
}

bool infer_slice(Infer *f) {
  SymTab *t = f->g->ctx->syms;
  if (!per_axis(f, 3)) return false;
  for (int i = 0; i < f->rank; i++) {
    Sym from = (Sym)f->attr[0][i], to = (Sym)f->attr[1][i], n = f->shape[i];
    int64_t step = f->attr[2][i];
    if (step <= 0)
      return infer_fail(f, "op-attribute", "the step %lld of axis %d; steps are at least 1", (long long)step, i);
    if (graph_decide(f->g, SYM_LE, sym_int(t, 0), from) == 0 || graph_decide(f->g, SYM_LE, from, to) == 0 ||
        graph_decide(f->g, SYM_LE, to, n) == 0)
      return infer_fail(f, "op-shape", "%s to %s does not lie within axis %d of %s", infer_sym(f, from),
                        infer_sym(f, to), i, infer_sym(f, n));
    Sym size = sym_sub(t, to, from);
    f->shape[i] = step == 1 ? size : sym_div_up(t, size, sym_int(t, step));
    if (!infer_size(f, f->shape[i])) return false;
  }
  return true;
}

bool infer_pad(Infer *f) {
  SymTab *t = f->g->ctx->syms;
  if (!per_axis(f, 3)) return false;
  for (int i = 0; i < f->rank; i++) {
    int64_t inner = f->attr[2][i];
    if (inner < 0)
      return infer_fail(f, "op-attribute", "the interior %lld of axis %d is negative", (long long)inner, i);
    Sym n = f->shape[i], gaps = sym_mul(t, sym_sub(t, n, sym_int(t, 1)), sym_int(t, inner));
    f->shape[i] = sym_add(t, sym_add(t, (Sym)f->attr[0][i], (Sym)f->attr[1][i]), sym_add(t, n, gaps));
    if (!infer_size(f, f->shape[i])) return false;
  }
  return true;
}

bool infer_concat(Infer *f) {
  if (!f->nin) return infer_fail(f, "op-operands", "it needs an operand");
  int64_t axis = f->attr[0][0];
  if (!infer_one_dtype(f, f->in, f->nin) || !infer_axis(f, axis, graph_rank(f->g, f->in[0]))) return false;
  infer_take(f, f->in[0]);
  for (int k = 1; k < f->nin; k++) {
    if (graph_rank(f->g, f->in[k]) != f->rank)
      return infer_fail(f, "op-shape", "the ranks %d and %d differ", f->rank, graph_rank(f->g, f->in[k]));
    for (int i = 0; i < f->rank; i++) {
      Sym n = graph_shape(f->g, f->in[k])[i];
      if (i == axis)
        f->shape[i] = sym_add(f->g->ctx->syms, f->shape[i], n);
      else if (!graph_same_size(f->g, f->shape[i], n))
        return infer_fail(f, "op-shape", "axis %d is %s and %s", i, infer_sym(f, f->shape[i]), infer_sym(f, n));
    }
  }
  return infer_size(f, f->shape[axis]);
}

/* The shape of what indices in[1..n] pick of in[0] from axis on. */
static bool picked(Infer *f, int n) {
  Id x = f->in[0];
  const Graph *g = f->g;
  int64_t axis = f->attr[0][0];
  int rank = graph_rank(g, x);
  if (n < 1) return infer_fail(f, "op-operands", "it needs an index");
  if (!infer_dtype(f, x) || !infer_axis(f, axis, rank)) return false;
  if (axis + n > rank)
    return infer_fail(f, "op-axis", "%d indices from axis %lld on, the rank is %d", n, (long long)axis, rank);
  Id first = f->in[1];
  int ri = graph_rank(g, first);
  for (int k = 1; k <= n; k++) {
    DType d = graph_dtype(g, f->in[k]);
    if (d != DT_I32 && d != DT_I64)
      return infer_fail(f, "op-dtype", "index %d is %s, it is to be i32 or i64", k, dtype_name(d));
    bool same = graph_rank(g, f->in[k]) == ri;
    for (int i = 0; same && i < ri; i++)
      same = graph_same_size(g, graph_shape(g, first)[i], graph_shape(g, f->in[k])[i]);
    if (!same) return infer_fail(f, "op-shape", "the indices have two shapes");
  }
  if (rank - n + ri > MAX_RANK) return infer_fail(f, "op-shape", "the result has more than %d axes", MAX_RANK);
  f->dtype = graph_dtype(g, x);
  f->rank = 0;
  for (int i = 0; i < axis; i++) f->shape[f->rank++] = graph_shape(g, x)[i];
  for (int i = 0; i < ri; i++) f->shape[f->rank++] = graph_shape(g, first)[i];
  for (int i = (int)axis + n; i < rank; i++) f->shape[f->rank++] = graph_shape(g, x)[i];
  return true;
}

bool infer_gather(Infer *f) { return picked(f, f->nin - 1); }

/* The last operand has dtype and shape of the answer so far. */
static bool update_fits(Infer *f) {
  Id u = f->in[f->nin - 1];
  bool same = graph_dtype(f->g, u) == f->dtype && graph_rank(f->g, u) == f->rank;
  for (int i = 0; same && i < f->rank; i++) same = graph_same_size(f->g, graph_shape(f->g, u)[i], f->shape[i]);
  return same || infer_fail(f, "op-shape", "the update is %s, it is to be %s", graph_type(f->g, u),
                            graph_shape_text(f->g->ctx, f->dtype, f->shape, f->rank));
}

bool infer_scatter(Infer *f) {
  if (f->nin < 3) return infer_fail(f, "op-operands", "it needs an index and an update");
  return picked(f, f->nin - 2) && update_fits(f) && infer_take(f, f->in[0]);
}

static bool starts(Infer *f, int n) {
  if (f->nin < 1 || f->nattr[0] != n)
    return infer_fail(f, "op-operands", "%d starts for %d axes", n < 0 ? 0 : n, f->nattr[0]);
  if (!infer_rising(f, 0, graph_rank(f->g, f->in[0]))) return false;
  for (int k = 1; k <= n; k++)
    if (graph_dtype(f->g, f->in[k]) != DT_I64 || graph_rank(f->g, f->in[k]))
      return infer_fail(f, "op-dtype", "start %d is %s, it is to be i64[]", k, graph_type(f->g, f->in[k]));
  return infer_take(f, f->in[0]);
}

bool infer_dynamic_slice(Infer *f) {
  if (!starts(f, f->nin - 1)) return false;
  if (f->nattr[1] != f->nattr[0])
    return infer_fail(f, "op-attribute", "%d sizes for %d axes", f->nattr[1], f->nattr[0]);
  for (int i = 0; i < f->nattr[0]; i++) {
    Sym size = (Sym)f->attr[1][i], *n = &f->shape[f->attr[0][i]];
    if (!infer_size(f, size)) return false;
    if (graph_decide(f->g, SYM_LE, size, *n) == 0)
      return infer_fail(f, "op-shape", "%s elements of axis %lld, which has %s", infer_sym(f, size),
                        (long long)f->attr[0][i], infer_sym(f, *n));
    *n = size;
  }
  return true;
}

bool infer_dynamic_update(Infer *f) {
  if (!starts(f, f->nin - 2)) return false;
  Id u = f->in[f->nin - 1];
  if (graph_rank(f->g, u) == f->rank)
    for (int i = 0; i < f->nattr[0]; i++) {
      Sym size = graph_shape(f->g, u)[f->attr[0][i]], *n = &f->shape[f->attr[0][i]];
      if (graph_decide(f->g, SYM_LE, size, *n) == 0)
        return infer_fail(f, "op-shape", "%s elements for axis %lld, which has %s", infer_sym(f, size),
                          (long long)f->attr[0][i], infer_sym(f, *n));
      *n = size;
    }
  return update_fits(f) && infer_take(f, f->in[0]);
}
