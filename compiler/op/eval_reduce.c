/* Ops that fold many elements into one: reductions, places of extremes, products. */
#include "eval_run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Scalar least(DType d, bool greatest) {
  if (dtype_is_float(d)) return (Scalar){.f = greatest ? INFINITY : -INFINITY};
  return scalar_convert(DT_F64, d, (Scalar){.f = greatest ? INFINITY : -INFINITY}); /* saturates at the end */
}

static void fold(const Frame *f, Op op, DType d, Scalar *acc, Scalar x) {
  switch (op) {
  case OP_REDUCE_SUM: eval_add(f, d, acc, x); break;
  case OP_REDUCE_MAX: eval_scalar(OP_MAXIMUM, d, (Scalar[]){*acc, x}, acc); break;
  case OP_REDUCE_MIN: eval_scalar(OP_MINIMUM, d, (Scalar[]){*acc, x}, acc); break;
  case OP_REDUCE_ANY: acc->i |= x.i; break;
  case OP_REDUCE_ALL: acc->i &= x.i; break;
  default: BUG("no reduction");
  }
}

/* Adds x[at + ..] along the axes left to acc[to + ..]; a reduced axis has the stride 0 in acc. */
static void reduce_walk(const Frame *f, Op op, DType d, Scalar *acc, const int64_t *astride, const Scalar *x,
                        const int64_t *xstride, const int64_t *dim, int rank) {
  if (!rank) {
    fold(f, op, d, acc, *x);
    return;
  }
  for (int64_t k = 0; k < dim[0]; k++)
    reduce_walk(f, op, d, acc + k * astride[0], astride + 1, x + k * xstride[0], xstride + 1, dim + 1, rank - 1);
}

bool eval_reduce(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)nin;
  const Value *x = in[0];
  Op op = graph_op(f->g, v);
  DType d = out->dtype;
  int n;
  const int64_t *axes = graph_attr(f->g, v, "axes", &n);
  int64_t xs[MAX_RANK], os[MAX_RANK], stride[MAX_RANK];
  bool gone[MAX_RANK] = {0};
  for (int i = 0; i < n; i++) gone[axes[i]] = true;
  eval_strides(x->dim, x->rank, xs);
  eval_strides(out->dim, out->rank, os);
  for (int i = 0, k = 0; i < x->rank; i++) {
    if (!gone[i] && x->dim[i] != out->dim[k]) return eval_refuse(f, v, "an axis has another size");
    stride[i] = gone[i] ? 0 : os[k++];
  }
  Scalar start =
      op == OP_REDUCE_MAX || op == OP_REDUCE_MIN ? least(d, op == OP_REDUCE_MIN) : (Scalar){.i = op == OP_REDUCE_ALL};
  for (int64_t k = 0; k < out->n; k++) out->at[k] = start;
  if (x->n) reduce_walk(f, op, d, out->at, stride, x->at, xs, x->dim, x->rank);
  for (int64_t k = 0; k < out->n; k++) out->at[k] = scalar_fit(d, out->at[k]);
  return true;
}

bool eval_arg(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)nin;
  const Value *x = in[0];
  int64_t axis = graph_attr_int(f->g, v, "axis"), size = x->dim[axis], stride[MAX_RANK];
  Op wins = graph_op(f->g, v) == OP_ARGMAX ? OP_GREATER : OP_LESS;
  bool floats = dtype_is_float(x->dtype);
  eval_strides(x->dim, x->rank, stride);
  int64_t after = stride[axis];
  for (int64_t k = 0; k < out->n; k++) {
    const Scalar *at = x->at + k / after * after * size + k % after;
    int64_t best = 0;
    for (int64_t i = 1; i < size; i++) {
      Scalar a = at[i * after], b = at[best * after], won;
      if (floats && isnan(b.f)) break;
      eval_scalar(wins, x->dtype, (Scalar[]){a, b}, &won);
      if (won.i || (floats && isnan(a.f))) best = i;
    }
    out->at[k].i = best;
  }
  return true;
}

/* ---- products ------------------------------------------------------------------------------------------------------
 */
/* Offsets of all points of the listed axes of x in row-major order; *n gets their number, the caller frees. */
static int64_t *offsets(const Value *x, const int *axes, int naxes, int64_t *n) {
  int64_t stride[MAX_RANK], total = 1;
  eval_strides(x->dim, x->rank, stride);
  for (int i = 0; i < naxes; i++) total *= x->dim[axes[i]];
  int64_t *r = mem_alloc(sizeof(int64_t) * (size_t)total + 1);
  for (int64_t k = 0; k < total; k++) {
    int64_t rest = k;
    for (int i = naxes - 1; i >= 0; i--) {
      r[k] += rest % x->dim[axes[i]] * stride[axes[i]];
      rest /= x->dim[axes[i]];
    }
  }
  *n = total;
  return r;
}

typedef struct Side { /* axes of an operand by their part in the product */
  int batch[MAX_RANK], sum[MAX_RANK], free[MAX_RANK], nfree;
} Side;

static void side(Side *s, const Value *x, const int64_t *sum, int nsum, const int64_t *batch, int nbatch) {
  bool used[MAX_RANK] = {0};
  for (int i = 0; i < nsum; i++) used[s->sum[i] = (int)sum[i]] = true;
  for (int i = 0; i < nbatch; i++) used[s->batch[i] = (int)batch[i]] = true;
  s->nfree = 0;
  for (int i = 0; i < x->rank; i++)
    if (!used[i]) s->free[s->nfree++] = i;
}

bool eval_dot(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)nin;
  const Value *x = in[0], *y = in[1];
  int nc, nb;
  const int64_t *contract = graph_attr(f->g, v, "contract", &nc), *batch = graph_attr(f->g, v, "batch", &nb);
  nc /= 2, nb /= 2;
  Side sx, sy;
  side(&sx, x, contract, nc, batch, nb);
  side(&sy, y, contract + nc, nc, batch + nb, nb);
  int64_t n, m, bn, bm, fx, fy;
  int64_t *xb = offsets(x, sx.batch, nb, &bn), *yb = offsets(y, sy.batch, nb, &bm), *xs = offsets(x, sx.sum, nc, &n),
          *ys = offsets(y, sy.sum, nc, &m), *xf = offsets(x, sx.free, sx.nfree, &fx),
          *yf = offsets(y, sy.free, sy.nfree, &fy);
  bool ok = n == m && bn == bm && bn * fx * fy == out->n;
  Scalar *to = out->at;
  for (int64_t b = 0; ok && b < bn; b++)
    for (int64_t i = 0; i < fx; i++)
      for (int64_t j = 0; j < fy; j++, to++) {
        const Scalar *p = x->at + xb[b] + xf[i], *q = y->at + yb[b] + yf[j];
        for (int64_t k = 0; k < n; k++) eval_add_product(f, out->dtype, to, p[xs[k]], q[ys[k]]);
        *to = scalar_fit(out->dtype, *to);
      }
  free(xb), free(yb), free(xs), free(ys), free(xf), free(yf);
  return ok || eval_refuse(f, v, "the shapes do not fit");
}
