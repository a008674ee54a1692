/* Gradient rules of convolution and pooling. Each is another op of windows, so that they can be derived again. */
#include "vjp.h"
#include "window.h"

#define RULE(name) bool vjp_##name(Graph *g, Id y, const Id *ct, const bool *want, Id *out)

/* What windows of y over x (of n elements) become from the side of x: those windows of y, spread by the stride, that
 * hold an element. Their elements come backwards. */
static void turned(Graph *g, const Windows *w, int i, Sym n, Sym windows, Windows *to) {
  SymTab *t = g->ctx->syms;
  to->stride[i] = w->base[i];
  to->base[i] = w->stride[i];
  to->step[i] = w->step[i];
  to->size[i] = w->size[i];
  to->lo[i] = sym_sub(t, sym_sub(t, window_span(g, w->size[i], w->step[i]), sym_int(t, 1)), w->lo[i]);
  window_fit(g, to, i, windows, n);
}

/* w [groups * O, I, ..] as [groups * I, O, ..]. */
static Id swapped(Graph *g, Id w, int64_t groups) {
  SymTab *t = g->ctx->syms;
  int rank = graph_rank(g, w), axes[MAX_RANK];
  Sym shape[MAX_RANK], parts[MAX_RANK], k = sym_int(t, groups);
  for (int i = 0; i < rank; i++) shape[i] = graph_shape(g, w)[i], axes[i] = i;
  if (groups == 1) {
    axes[0] = 1, axes[1] = 0;
    return g_transpose(g, w, axes);
  }
  parts[0] = k;
  parts[1] = sym_op(t, SYM_FLOORDIV, shape[0], k);
  for (int i = 1; i < rank; i++) parts[i + 1] = shape[i];
  for (int i = 0; i <= rank; i++) axes[i] = i;
  axes[1] = 2, axes[2] = 1;
  Id v = g_transpose(g, g_reshape(g, w, parts, rank + 1), axes);
  shape[0] = sym_mul(t, k, parts[2]);
  shape[1] = parts[1];
  return g_reshape(g, v, shape, rank);
}

static Id flipped(Graph *g, Id v) { /* the first two axes change places */
  int axes[MAX_RANK];
  for (int i = 0; i < MAX_RANK; i++) axes[i] = i;
  axes[0] = 1, axes[1] = 0;
  return g_transpose(g, v, axes);
}

/* By x: the cotangent, spread by the strides, with the kernel backwards and its channels swapped. */
static Id conv_x(Graph *g, Id y, Id ct, const Windows *w, int64_t groups, int64_t batches, bool reverse) {
  SymTab *t = g->ctx->syms;
  Id x = graph_in(g, y)[0], k = graph_in(g, y)[1];
  Windows to = {.n = w->n};
  int rank = w->n + 2, axes[MAX_RANK];
  Sym shape[MAX_RANK], parts[MAX_RANK];
  for (int i = 0; i < rank; i++) shape[i] = graph_shape(g, x)[i];
  for (int i = 0; i < w->n; i++) turned(g, w, i, shape[2 + i], graph_shape(g, y)[2 + i], &to);
  Id r = g_conv(g, ct, swapped(g, k, groups * batches), &to, groups * batches, 1, !reverse);
  if (!r || batches == 1) return r;
  parts[0] = graph_shape(g, r)[0]; /* [N, batches * I, ..] to [batches * N, I, ..] */
  parts[1] = sym_int(t, batches);
  for (int i = 1; i < rank; i++) parts[i + 1] = shape[i];
  for (int i = 0; i <= rank; i++) axes[i] = i;
  axes[0] = 1, axes[1] = 0;
  return g_reshape(g, g_transpose(g, g_reshape(g, r, parts, rank + 1), axes), shape, rank);
}

/* By w: windows the size of y over x, steps and strides exchanged; what was a batch is summed over. */
static Id conv_w(Graph *g, Id y, Id ct, const Windows *w, int64_t groups, int64_t batches, bool reverse) {
  Id x = graph_in(g, y)[0];
  Windows to = {.n = w->n};
  int axes[3], rank = w->n;
  for (int i = 0; i < rank; i++) {
    to.stride[i] = w->step[i];
    to.step[i] = w->stride[i];
    to.base[i] = w->base[i];
    to.size[i] = graph_shape(g, y)[2 + i];
    to.lo[i] = w->lo[i];
    window_fit(g, &to, i, graph_shape(g, x)[2 + i], w->size[i]);
    axes[i] = 2 + i;
  }
  Id r = flipped(g, g_conv(g, flipped(g, x), flipped(g, ct), &to, batches, groups, false));
  return reverse ? g_reverse(g, r, axes, rank) : r;
}

RULE(conv) {
  Windows w;
  window_read(g, y, &w);
  int64_t groups = graph_attr_int(g, y, "groups"), batches = graph_attr_int(g, y, "batch_groups");
  bool reverse = graph_attr_int(g, y, "reverse");
  if (want[0] && !(out[0] = conv_x(g, y, ct[0], &w, groups, batches, reverse))) return false;
  return !want[1] || (out[1] = conv_w(g, y, ct[0], &w, groups, batches, reverse)) != 0;
}

RULE(window_sum) {
  (void)want;
  Id x = graph_in(g, y)[0];
  Windows w, to;
  window_read(g, y, &w);
  to.n = w.n;
  for (int i = 0; i < w.n; i++) turned(g, &w, i, graph_shape(g, x)[i], graph_shape(g, y)[i], &to);
  out[0] = g_window(g, OP_WINDOW_SUM, ct[0], 0, &to);
  return out[0] != 0;
}

static bool select_rule(Graph *g, Op op, Id y, Id ct, Id *out) {
  Windows w;
  window_read(g, y, &w);
  *out = g_window(g, op, graph_in(g, y)[0], ct, &w);
  return *out != 0;
}

/* Where the maximum stands does not change with x: x itself gets nothing from select_and_*. */
RULE(window_max) { return (void)want, select_rule(g, OP_SELECT_SCATTER, y, ct[0], &out[0]); }
RULE(select_scatter) { return !want[1] || select_rule(g, OP_SELECT_GATHER, y, ct[0], &out[1]); }
RULE(select_gather) { return !want[1] || select_rule(g, OP_SELECT_SCATTER, y, ct[0], &out[1]); }
