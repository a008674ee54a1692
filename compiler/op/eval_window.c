/* Convolution, pooling and its gradient: plain loops over windows. */
#include "eval_run.h"
#include "window.h"
#include <math.h>

typedef struct Axis { /* one axis of windows, in numbers */
  int64_t in, size, out, lo, stride, base, step;
} Axis;

static bool axes(const Frame *f, Id v, const int64_t *in, const int64_t *out, Axis *a, int *n) {
  Windows w;
  window_read(f->g, v, &w);
  *n = w.n;
  for (int i = 0; i < w.n; i++) {
    a[i] = (Axis){.in = in[i], .out = out[i], .stride = w.stride[i], .base = w.base[i], .step = w.step[i]};
    if (!eval_sym(f, v, w.lo[i], &a[i].lo) || !eval_sym(f, v, w.size[i], &a[i].size)) return false;
  }
  return true;
}

/* The operand's element that is number k of window p, or -1 where there is none. */
static int64_t seen(const Axis *a, int64_t p, int64_t k) {
  int64_t at = p * a->stride + k * a->step - a->lo;
  if (at < 0 || at % a->base || at / a->base >= a->in) return -1;
  return at / a->base;
}

bool eval_conv(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)nin;
  const Value *x = in[0], *w = in[1];
  int64_t groups = graph_attr_int(f->g, v, "groups"), batches = graph_attr_int(f->g, v, "batch_groups");
  bool reverse = graph_attr_int(f->g, v, "reverse");
  Axis a[3];
  int n;
  if (!axes(f, v, x->dim + 2, out->dim + 2, a, &n)) return false;
  for (; n < 3; n++) a[n] = (Axis){1, 1, 1, 0, 1, 1, 1};
  int64_t inner = w->dim[1], per = out->dim[1] / (groups * batches);
  if (x->dim[1] != inner * groups || x->dim[0] != out->dim[0] * batches || per * groups * batches != w->dim[0])
    return eval_refuse(f, v, "the shapes do not fit");
  Scalar *to = out->at;
  for (int64_t b = 0; b < out->dim[0]; b++)
    for (int64_t o = 0; o < out->dim[1]; o++)
      for (int64_t p = 0; p < a[0].out * a[1].out * a[2].out; p++, to++) {
        int64_t at[3] = {p / a[2].out / a[1].out, p / a[2].out % a[1].out, p % a[2].out}, group = o / per;
        int64_t row = batches > 1 ? group * out->dim[0] + b : b, first = groups > 1 ? group * inner : 0;
        const Scalar *k = w->at + o * inner * a[0].size * a[1].size * a[2].size;
        Scalar sum = {0};
        for (int64_t c = 0; c < inner; c++)
          for (int64_t i = 0; i < a[0].size * a[1].size * a[2].size; i++, k++) {
            int64_t e[3] = {i / a[2].size / a[1].size, i / a[2].size % a[1].size, i % a[2].size},
                    place = row * x->dim[1] + first + c;
            bool there = true;
            for (int j = 0; j < 3; j++) {
              int64_t s = seen(&a[j], at[j], reverse ? a[j].size - 1 - e[j] : e[j]);
              there &= s >= 0;
              place = place * a[j].in + s;
            }
            if (there) eval_add_product(f, out->dtype, &sum, x->at[place], *k);
          }
        *to = scalar_fit(out->dtype, sum);
      }
  return true;
}

/* The next index of a block in row-major order; false past the last. */
static bool next(int64_t *at, const int64_t *dim, int rank) {
  for (int i = rank - 1; i >= 0; i--) {
    if (++at[i] < dim[i]) return true;
    at[i] = 0;
  }
  return false;
}

typedef struct Pool {
  Axis a[MAX_RANK];
  int rank;
  int64_t size[MAX_RANK], stride[MAX_RANK]; /* of the window; of the operand */
} Pool;

static bool pool_new(const Frame *f, Id v, const Value *x, const int64_t *out, Pool *p) {
  if (!axes(f, v, x->dim, out, p->a, &p->rank)) return false;
  for (int i = 0; i < p->rank; i++) p->size[i] = p->a[i].size;
  eval_strides(x->dim, x->rank, p->stride);
  return true;
}

/* The operand's element that is number k of window p, or -1. */
static int64_t place(const Pool *w, const int64_t *p, const int64_t *k) {
  int64_t at = 0;
  for (int i = 0; i < w->rank; i++) {
    int64_t s = seen(&w->a[i], p[i], k[i]);
    if (s < 0) return -1;
    at += s * w->stride[i];
  }
  return at;
}

bool eval_window(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)nin;
  Pool w;
  int64_t p[MAX_RANK] = {0};
  bool sum = graph_op(f->g, v) == OP_WINDOW_SUM, floats = dtype_is_float(out->dtype);
  Scalar lowest = {.f = -INFINITY};
  if (!floats) lowest = scalar_convert(DT_F64, out->dtype, lowest); /* saturates */
  if (!pool_new(f, v, in[0], out->dim, &w)) return false;
  for (int64_t o = 0; o < out->n; o++, next(p, out->dim, out->rank)) {
    Scalar acc = sum ? (Scalar){0} : lowest;
    int64_t k[MAX_RANK] = {0};
    do {
      int64_t at = place(&w, p, k);
      if (at < 0) continue;
      Scalar x = in[0]->at[at];
      if (!sum)
        eval_scalar(OP_MAXIMUM, out->dtype, (Scalar[]){acc, x}, &acc);
      else
        eval_add(f, out->dtype, &acc, x);
    } while (next(k, w.size, w.rank));
    out->at[o] = scalar_fit(out->dtype, acc);
  }
  return true;
}

/* Where window p of x has its first maximum; -1: it holds nothing. */
static int64_t selected(const Pool *w, const Value *x, const int64_t *p) {
  int64_t best = -1, k[MAX_RANK] = {0};
  do {
    int64_t at = place(w, p, k);
    if (at < 0) continue;
    if (best < 0)
      best = at;
    else if (dtype_is_float(x->dtype)) {
      double a = x->at[at].f, b = x->at[best].f;
      if (a > b || (isnan(a) && !isnan(b))) best = at;
    } else if (x->at[at].i > x->at[best].i)
      best = at;
  } while (next(k, w->size, w->rank));
  return best;
}

bool eval_select(Frame *f, Id v, const Value *const *in, int nin, Value *out) {
  (void)nin;
  Pool w;
  int64_t p[MAX_RANK] = {0};
  bool scatter = graph_op(f->g, v) == OP_SELECT_SCATTER;
  const Value *windows = scatter ? in[1] : out;
  if (!pool_new(f, v, in[0], windows->dim, &w)) return false;
  for (int64_t o = 0; o < windows->n; o++, next(p, windows->dim, windows->rank)) {
    int64_t at = selected(&w, in[0], p);
    if (at < 0) continue;
    if (!scatter)
      out->at[o] = in[1]->at[at];
    else
      eval_add(f, out->dtype, &out->at[at], in[1]->at[o]);
  }
  for (int64_t k = 0; k < out->n; k++) out->at[k] = scalar_fit(out->dtype, out->at[k]);
  return true;
}
