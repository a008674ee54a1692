/* Shape rules of leaves, element-wise ops, reductions, products and bodies; those of movement and indexing are in
 * infer_move.c. A rule says what is wrong in one sentence that names the op and both types. */
#include "op_rules.h"
#include <string.h>

bool infer_fail(const Infer *f, const char *id, const char *fmt, ...) {
  Buf b = {0};
  va_list ap;
  va_start(ap, fmt);
  buf_put(&b, arena_vprintf(f->g->ctx->arena, fmt, ap));
  va_end(ap);
  diag_error(f->g->ctx->diag, id, f->g->loc, "`%s`%s%s: %s", OP_INFO[f->op].text, f->nin ? " of " : "",
             infer_operands(f), b.at);
  buf_free(&b);
  return false;
}

const char *infer_operands(const Infer *f) {
  Buf b = {0};
  int shown = f->nin > 4 ? 3 : f->nin;
  for (int i = 0; i < shown; i++)
    buf_printf(&b, "%s%s", !i ? "" : i + 1 == f->nin ? " and " : ", ", graph_type(f->g, f->in[i]));
  if (shown < f->nin) buf_printf(&b, " and %d more", f->nin - shown);
  const char *r = arena_strndup(f->g->ctx->arena, b.at ? b.at : "", b.n);
  buf_free(&b);
  return r;
}

const char *infer_sym(const Infer *f, Sym s) { return sym_text(f->g->ctx->syms, s, f->g->ctx->arena); }

bool infer_take(Infer *f, Id x) {
  f->dtype = graph_dtype(f->g, x);
  f->rank = graph_rank(f->g, x);
  for (int i = 0; i < f->rank; i++) f->shape[i] = graph_shape(f->g, x)[i];
  return true;
}

bool infer_dtype(const Infer *f, Id x) {
  if (op_takes(f->op, graph_dtype(f->g, x))) return true;
  const char *d = OP_INFO[f->op].dtypes;
  return infer_fail(f, "op-dtype", "it takes %s",
                    !strcmp(d, "F")    ? "floats"
                    : !strcmp(d, "I")  ? "integers"
                    : !strcmp(d, "B")  ? "bools"
                    : !strcmp(d, "IB") ? "integers and bools"
                                       : "numbers, a bool is none");
}

bool infer_one_dtype(const Infer *f, const Id *in, int n) {
  for (int i = 0; i < n; i++) {
    if (!infer_dtype(f, in[i])) return false;
    if (graph_dtype(f->g, in[i]) != graph_dtype(f->g, in[0]))
      return infer_fail(f, "op-dtype", "the dtypes differ; convert one of them");
  }
  return true;
}

bool infer_axis(const Infer *f, int64_t axis, int rank) {
  if (axis >= 0 && axis < rank) return true;
  return infer_fail(f, "op-axis", "there is no axis %lld, the rank is %d", (long long)axis, rank);
}

bool infer_rising(const Infer *f, int k, int rank) {
  for (int i = 0; i < f->nattr[k]; i++) {
    if (!infer_axis(f, f->attr[k][i], rank)) return false;
    if (i && f->attr[k][i] <= f->attr[k][i - 1])
      return infer_fail(f, "op-axis", "the axes are to rise, but %lld comes after %lld", (long long)f->attr[k][i],
                        (long long)f->attr[k][i - 1]);
  }
  return true;
}

bool infer_shape(Infer *f, int k) {
  if (f->nattr[k] > MAX_RANK)
    return infer_fail(f, "op-shape", "a shape of rank %d; at most %d axes", f->nattr[k], MAX_RANK);
  f->rank = f->nattr[k];
  for (int i = 0; i < f->rank; i++) {
    f->shape[i] = (Sym)f->attr[k][i];
    if (!infer_size(f, f->shape[i])) return false;
  }
  return true;
}

bool infer_size(const Infer *f, Sym s) {
  int64_t k;
  if (!s) BUG("a size of %s is none", OP_INFO[f->op].text);
  if (sym_overflowed(f->g->ctx->syms, s)) return infer_fail(f, "op-shape", "a size leaves 64 bits");
  if (sym_is_int(f->g->ctx->syms, s, &k)
          ? k < 0
          : f->g->facts && sym_decide(f->g->facts, SYM_LT, s, sym_int(f->g->ctx->syms, 0)) == 1)
    return infer_fail(f, "op-shape", "the size %s is negative", infer_sym(f, s));
  return true;
}

/* ---- leaves --------------------------------------------------------------------------------------------------------
 */

static bool infer_attrs(Infer *f) {
  int dtype = -1, shape = -1;
  const char *name;
  int len;
  char kind;
  for (int k = 0; op_attr(f->op, k, &name, &len, &kind); k++) {
    if (kind == 'd') dtype = k;
    if (kind == 'S') shape = k;
  }
  int64_t d = f->attr[dtype][0];
  if (d <= DT_NONE || d >= DT_COUNT || !dtype_in_graph((DType)d))
    return infer_fail(f, "op-dtype", "the dtype %s is not supported yet; use f32, f64, f16, bf16, i32, i64 or bool",
                      d > DT_NONE && d < DT_COUNT ? dtype_name((DType)d) : "none");
  f->dtype = (DType)d;
  if (!infer_shape(f, shape)) return false;
  if (f->op == OP_CONSTANT) {
    int64_t n;
    if (!sym_is_int(f->g->ctx->syms, sym_product(f->g->ctx->syms, f->shape, f->rank), &n) || n != f->nattr[0])
      return infer_fail(f, "op-shape", "%d numbers for %s", f->nattr[0],
                        graph_shape_text(f->g->ctx, f->dtype, f->shape, f->rank));
  } else if (f->op == OP_IOTA) {
    if (f->dtype == DT_BOOL) return infer_fail(f, "op-dtype", "it gives numbers, a bool is none");
    return infer_axis(f, f->attr[1][0], f->rank);
  } else if (f->op == OP_RANDOM) {
    const char *what = (const char *)(intptr_t)f->attr[0][0];
    bool uniform = !strcmp(what, "uniform");
    if (!uniform && strcmp(what, "bits"))
      return infer_fail(f, "op-attribute", "there is no kind \"%s\"; it gives \"uniform\" or \"bits\"", what);
    if (uniform ? !dtype_is_float(f->dtype) || dtype_is_half(f->dtype) : f->dtype != DT_I32)
      return infer_fail(f, "op-dtype", "\"%s\" gives %s", what, uniform ? "f32 or f64" : "i32");
    if (f->attr[3][0] < 0 || f->attr[3][0] > f->rank)
      return infer_fail(f, "op-attribute", "%lld lanes, the rank is %d", (long long)f->attr[3][0], f->rank);
  } else if (f->op == OP_DATA && f->attr[1][0] < 0) {
    return infer_fail(f, "op-attribute", "the offset %lld is negative", (long long)f->attr[1][0]);
  }
  return true;
}

static bool infer_dim(Infer *f) {
  if (f->nattr[0] != 1) BUG("dim of %d sizes", f->nattr[0]);
  if (sym_overflowed(f->g->ctx->syms, (Sym)f->attr[0][0])) return infer_fail(f, "op-shape", "a size leaves 64 bits");
  f->dtype = DT_I64;
  return true;
}

/* ---- element by element --------------------------------------------------------------------------------------------
 */

/* Shape of all operands together: a rank-0 one meets any shape. */
static bool common_shape(Infer *f) {
  int first = -1;
  f->rank = 0;
  for (int i = 0; i < f->nin; i++) {
    int rank = graph_rank(f->g, f->in[i]);
    const Sym *shape = graph_shape(f->g, f->in[i]);
    if (!rank) continue;
    if (first < 0) {
      first = i;
      f->rank = rank;
      memcpy(f->shape, shape, (size_t)rank * sizeof(Sym));
      continue;
    }
    if (rank != f->rank) return infer_fail(f, "op-shape", "the ranks %d and %d differ", f->rank, rank);
    for (int k = 0; k < rank; k++)
      if (!graph_same_size(f->g, f->shape[k], shape[k]))
        return infer_fail(f, "op-shape", "axis %d is %s and %s", k, infer_sym(f, f->shape[k]), infer_sym(f, shape[k]));
  }
  return true;
}

static bool infer_elem(Infer *f) {
  f->dtype = graph_dtype(f->g, f->in[0]);
  return infer_one_dtype(f, f->in, f->nin) && common_shape(f);
}

static bool infer_compare(Infer *f) {
  bool ok = infer_elem(f);
  f->dtype = DT_BOOL;
  return ok;
}

static bool infer_predicate(Infer *f) { return infer_compare(f); }

static bool infer_select(Infer *f) {
  if (graph_dtype(f->g, f->in[0]) != DT_BOOL) return infer_fail(f, "op-dtype", "the condition is to be bool");
  f->dtype = graph_dtype(f->g, f->in[1]);
  return infer_one_dtype(f, f->in + 1, 2) && common_shape(f);
}

static bool infer_convert(Infer *f) {
  int64_t d = f->attr[0][0];
  infer_take(f, f->in[0]);
  if (d <= DT_NONE || d >= DT_COUNT || !dtype_in_graph((DType)d))
    return infer_fail(f, "op-dtype", "the dtype %s is not supported yet; use f32, f64, f16, bf16, i32, i64 or bool",
                      d > DT_NONE && d < DT_COUNT ? dtype_name((DType)d) : "none");
  f->dtype = (DType)d;
  return true;
}

/* ---- reductions and products ---------------------------------------------------------------------------------------
 */

static void drop_axes(Infer *f, Id x, const int64_t *axes, int n) {
  int rank = graph_rank(f->g, x);
  f->dtype = graph_dtype(f->g, x);
  f->rank = 0;
  for (int i = 0, k = 0; i < rank; i++) {
    if (k < n && axes[k] == i)
      k++;
    else
      f->shape[f->rank++] = graph_shape(f->g, x)[i];
  }
}

static bool infer_reduce(Infer *f) {
  if (!infer_dtype(f, f->in[0]) || !infer_rising(f, 0, graph_rank(f->g, f->in[0]))) return false;
  drop_axes(f, f->in[0], f->attr[0], f->nattr[0]);
  return true;
}

static bool infer_arg(Infer *f) {
  if (!infer_dtype(f, f->in[0]) || !infer_axis(f, f->attr[0][0], graph_rank(f->g, f->in[0]))) return false;
  drop_axes(f, f->in[0], f->attr[0], 1);
  f->dtype = DT_I64;
  return true;
}

static bool infer_dot(Infer *f) {
  Id x = f->in[0], y = f->in[1];
  const Graph *g = f->g;
  int rx = graph_rank(g, x), ry = graph_rank(g, y);
  bool ux[MAX_RANK] = {0}, uy[MAX_RANK] = {0};
  f->dtype = graph_dtype(g, x);
  f->rank = 0;
  if (!infer_one_dtype(f, f->in, 2)) return false;
  for (int k = 1; k >= 0; k--) /* batch, then contract */
    for (int i = 0, n = f->nattr[k] / 2; i < n; i++) {
      int64_t p = f->attr[k][i], q = f->attr[k][n + i];
      if (!infer_axis(f, p, rx) || !infer_axis(f, q, ry)) return false;
      if (ux[p] || uy[q])
        return infer_fail(f, "op-axis", "axis %lld of operand %d is named twice", (long long)(ux[p] ? p : q),
                          ux[p] ? 1 : 2);
      Sym a = graph_shape(g, x)[p], b = graph_shape(g, y)[q];
      if (!graph_same_size(g, a, b))
        return infer_fail(f, "op-shape", "axis %lld of the first is %s, axis %lld of the second is %s; %s",
                          (long long)p, infer_sym(f, a), (long long)q, infer_sym(f, b),
                          k ? "batch axes are to be equal" : "they are summed together and are to be equal");
      ux[p] = uy[q] = true;
      if (k) f->shape[f->rank++] = a;
    }
  for (int side = 0; side < 2; side++)
    for (int i = 0; i < (side ? ry : rx); i++) {
      if ((side ? uy : ux)[i]) continue;
      if (f->rank == MAX_RANK) return infer_fail(f, "op-shape", "the result has more than %d axes", MAX_RANK);
      f->shape[f->rank++] = graph_shape(g, side ? y : x)[i];
    }
  return true;
}

/* ---- bodies --------------------------------------------------------------------------------------------------------
 */

static bool same_type(const Graph *g, Id v, const Graph *body, Id w) {
  if (graph_dtype(g, v) != graph_dtype(body, w) || graph_rank(g, v) != graph_rank(body, w)) return false;
  for (int i = 0; i < graph_rank(g, v); i++)
    if (!graph_same_size(g, graph_shape(g, v)[i], graph_shape(body, w)[i])) return false;
  return true;
}

static void take_result(Infer *f, const Graph *body, Id r) {
  f->dtype = graph_dtype(body, r);
  f->rank = graph_rank(body, r);
  for (int i = 0; i < f->rank; i++) f->shape[i] = graph_shape(body, r)[i];
}

static bool infer_body(Infer *f) {
  int64_t k = f->attr[f->op == OP_COMPOSITE][0];
  if (k < 0 || k >= f->g->body.n) BUG("no body %lld", (long long)k);
  const Graph *body = f->g->body.at[k];
  if ((int)body->input.n != f->nin)
    return infer_fail(f, "op-operands", "its body takes %u, %d given", body->input.n, f->nin);
  if (!body->output.n) return infer_fail(f, "op-operands", "its body gives nothing");
  for (int i = 0; i < f->nin; i++)
    if (!same_type(f->g, f->in[i], body, body->input.at[i]))
      return infer_fail(f, "op-shape", "input %d of its body is %s, %s given", i + 1,
                        graph_type(body, body->input.at[i]), graph_type(f->g, f->in[i]));
  f->dtype = DT_NONE;
  f->rank = 0;
  if (body->output.n > 1) return true;
  take_result(f, body, body->output.at[0]);
  return true;
}

static bool infer_get(Infer *f) {
  Id v = f->in[0];
  int64_t k = f->attr[0][0];
  int n = graph_results(f->g, v);
  if (k < 0 || k >= n) return infer_fail(f, "op-attribute", "there is no result %lld, only %d", (long long)k, n);
  if (graph_dtype(f->g, v) != DT_NONE) return infer_take(f, v);
  const Graph *body = graph_body(f->g, v);
  take_result(f, body, body->output.at[k]);
  return true;
}

#define infer_none NULL
InferRule *const INFER[OP_COUNT] = {
    NULL,
#define OP(NAME, text, arity, cls, flags, dtypes, attrs, shape, ...) infer_##shape,
#include "ops.def"
#undef OP
};
