/* Shape rules of windows: convolution, pooling and its gradient. */
#include "op_rules.h"
#include "window.h"
#include <string.h>

/* The attributes from number k on: strides, lo, hi, base_dilation, dilation; one entry each an axis. */
static bool read_windows(Infer *f, int k, int n, Windows *w) {
  w->n = n;
  for (int i = k; i < k + 5; i++)
    if (f->nattr[i] != n) return infer_fail(f, "op-attribute", "%d entries for %d axes", f->nattr[i], n);
  for (int i = 0; i < n; i++) {
    w->stride[i] = f->attr[k][i], w->base[i] = f->attr[k + 3][i], w->step[i] = f->attr[k + 4][i];
    w->lo[i] = (Sym)f->attr[k + 1][i], w->hi[i] = (Sym)f->attr[k + 2][i];
    if (w->stride[i] < 1 || w->base[i] < 1 || w->step[i] < 1)
      return infer_fail(f, "op-attribute", "strides and dilations are at least 1, not %lld",
                        (long long)(w->stride[i] < 1 ? w->stride[i]
                                    : w->base[i] < 1 ? w->base[i]
                                                     : w->step[i]));
  }
  return true;
}

/* The number of windows along an axis of n elements. */
static bool count(Infer *f, const Windows *w, int i, Sym n, Sym *out) {
  *out = window_count(f->g, w, i, n);
  Sym zero = sym_int(f->g->ctx->syms, 0);
  if (sym_overflowed(f->g->ctx->syms, *out)) return infer_fail(f, "op-shape", "a size leaves 64 bits");
  if (graph_decide(f->g, SYM_LT, *out, zero) != 1) return true;
  return infer_fail(f, "op-shape", "a window of %s elements is longer than the %s of axis %d with what is around them",
                    infer_sym(f, w->size[i]), infer_sym(f, n), i);
}

bool infer_conv(Infer *f) {
  const Graph *g = f->g;
  Id x = f->in[0], k = f->in[1];
  SymTab *t = g->ctx->syms;
  Windows w;
  int n = graph_rank(g, x) - 2;
  if (!infer_one_dtype(f, f->in, 2)) return false;
  if (n < 1 || n > 3 || graph_rank(g, k) != n + 2)
    return infer_fail(f, "op-shape", "it takes [N, C, spatial] and [O, I, spatial] with the same 1 to 3 spatial axes");
  if (!read_windows(f, 0, n, &w)) return false;
  int64_t groups = f->attr[5][0], batches = f->attr[6][0], reverse = f->attr[7][0];
  if (groups < 1 || batches < 1 || (groups > 1 && batches > 1))
    return infer_fail(f, "op-attribute", "groups or batch_groups is 1, the other at least 1");
  if (reverse != 0 && reverse != 1) return infer_fail(f, "op-attribute", "reverse is 0 or 1");
  const Sym *xs = graph_shape(g, x), *ks = graph_shape(g, k);
  Sym in = sym_mul(t, ks[1], sym_int(t, groups)), shape[5] = {xs[0], ks[0]}, sizes[3], channels = xs[1];
  for (int i = 0; i < n; i++) w.size[i] = ks[2 + i], sizes[i] = xs[2 + i];
  if (!graph_same_size(g, channels, in))
    return infer_fail(f, "op-shape", "there are %s channels, and the kernel takes %s in %lld group%s",
                      infer_sym(f, channels), infer_sym(f, ks[1]), (long long)groups, groups > 1 ? "s" : "");
  if (!sym_divides(g->facts ? g->facts : sym_facts_new(g->ctx->arena, t), groups * batches, shape[1]))
    return infer_fail(f, "op-shape", "%s results do not divide into %lld groups", infer_sym(f, shape[1]),
                      (long long)(groups * batches));
  if (batches > 1 &&
      !(shape[0] = sym_divided(g->facts ? g->facts : sym_facts_new(g->ctx->arena, t), shape[0], sym_int(t, batches))))
    return infer_fail(f, "op-shape", "the first axis does not divide into %lld groups", (long long)batches);
  for (int i = 0; i < n; i++)
    if (!count(f, &w, i, sizes[i], &shape[2 + i])) return false;
  f->dtype = graph_dtype(g, x);
  f->rank = n + 2;
  memcpy(f->shape, shape, sizeof(Sym) * (size_t)(n + 2));
  return true;
}

bool infer_window(Infer *f) {
  const Graph *g = f->g;
  Id x = f->in[0];
  int rank = graph_rank(g, x);
  Sym shape[MAX_RANK];
  Windows w;
  if (!infer_dtype(f, x) || !read_windows(f, 1, rank, &w)) return false;
  if (f->nattr[0] != rank) return infer_fail(f, "op-attribute", "%d sizes for rank %d", f->nattr[0], rank);
  for (int i = 0; i < rank; i++) {
    if (f->attr[0][i] < 1)
      return infer_fail(f, "op-attribute", "a window has at least 1 element, not %lld", (long long)f->attr[0][i]);
    w.size[i] = sym_int(g->ctx->syms, f->attr[0][i]);
    shape[i] = graph_shape(g, x)[i];
  }
  for (int i = 0; i < rank; i++)
    if (!count(f, &w, i, shape[i], &f->shape[i])) return false;
  f->dtype = graph_dtype(g, x);
  f->rank = rank;
  return true;
}

static bool shaped(const Infer *f, Id v, const char *what, const Sym *shape) {
  const Graph *g = f->g;
  bool same = graph_rank(g, v) == f->rank;
  for (int i = 0; same && i < f->rank; i++) same = graph_same_size(g, graph_shape(g, v)[i], shape[i]);
  return same ||
         infer_fail(f, "op-shape", "%s is to be %s", what, graph_shape_text(f->g->ctx, f->dtype, shape, f->rank));
}

bool infer_select_scatter(Infer *f) {
  return infer_one_dtype(f, f->in, 2) && infer_window(f) && shaped(f, f->in[1], "the update", f->shape) &&
         infer_take(f, f->in[0]);
}

bool infer_select_gather(Infer *f) {
  Sym shape[MAX_RANK];
  if (!infer_one_dtype(f, f->in, 2) || !infer_window(f)) return false;
  for (int i = 0; i < f->rank; i++) shape[i] = graph_shape(f->g, f->in[0])[i];
  return shaped(f, f->in[1], "the second", shape);
}
