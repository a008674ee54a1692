#include "window.h"

Windows window_plain(const Graph *g, int n) {
  Windows w = {.n = n};
  for (int i = 0; i < n; i++) {
    w.stride[i] = w.base[i] = w.step[i] = 1;
    w.size[i] = sym_int(g->ctx->syms, 1);
    w.lo[i] = w.hi[i] = sym_int(g->ctx->syms, 0);
  }
  return w;
}

void window_read(const Graph *g, Id v, Windows *w) {
  int n;
  const int64_t *stride = graph_attr(g, v, "strides", &n), *lo = graph_attr(g, v, "lo", &n),
                *hi = graph_attr(g, v, "hi", &n), *base = graph_attr(g, v, "base_dilation", &n),
                *step = graph_attr(g, v, "dilation", &n);
  const int64_t *size = graph_op(g, v) == OP_CONV_GENERAL ? NULL : graph_attr(g, v, "window", &n);
  w->n = n;
  for (int i = 0; i < n; i++) {
    w->stride[i] = stride[i], w->base[i] = base[i], w->step[i] = step[i];
    w->lo[i] = (Sym)lo[i], w->hi[i] = (Sym)hi[i];
    w->size[i] = size ? sym_int(g->ctx->syms, size[i]) : graph_shape(g, graph_in(g, v)[1])[2 + i];
  }
}

Sym window_span(const Graph *g, Sym count, int64_t step) {
  SymTab *t = g->ctx->syms;
  Sym one = sym_int(t, 1);
  return sym_add(t, sym_mul(t, sym_sub(t, count, one), sym_int(t, step)), one);
}

Sym window_count(const Graph *g, const Windows *w, int i, Sym n) {
  SymTab *t = g->ctx->syms;
  Sym room = sym_add(t, sym_add(t, w->lo[i], w->hi[i]), window_span(g, n, w->base[i]));
  room = sym_sub(t, room, window_span(g, w->size[i], w->step[i]));
  return sym_add(t, sym_op(t, SYM_FLOORDIV, room, sym_int(t, w->stride[i])), sym_int(t, 1));
}

void window_fit(const Graph *g, Windows *w, int i, Sym n, Sym count) {
  SymTab *t = g->ctx->syms;
  Sym need = sym_mul(t, sym_sub(t, count, sym_int(t, 1)), sym_int(t, w->stride[i]));
  need = sym_add(t, need, window_span(g, w->size[i], w->step[i]));
  w->hi[i] = sym_sub(t, sym_sub(t, need, window_span(g, n, w->base[i])), w->lo[i]);
}

static void put(Attrs *a, const Windows *w) {
  attr_ints(a, w->stride, w->n);
  attr_syms(a, w->lo, w->n);
  attr_syms(a, w->hi, w->n);
  attr_ints(a, w->base, w->n);
  attr_ints(a, w->step, w->n);
}

Id g_conv(Graph *g, Id x, Id w, const Windows *win, int64_t groups, int64_t batch_groups, bool reverse) {
  Attrs a = {0};
  put(&a, win);
  attr_int(&a, groups);
  attr_int(&a, batch_groups);
  attr_int(&a, reverse);
  return graph_node(g, OP_CONV_GENERAL, (Id[]){x, w}, 2, &a);
}

Id g_window(Graph *g, Op op, Id x, Id other, const Windows *w) {
  Attrs a = {0};
  int64_t size[MAX_RANK] = {0};
  for (int i = 0; i < w->n; i++)
    if (!sym_is_int(g->ctx->syms, w->size[i], &size[i])) BUG("the window of %s is no number", OP_INFO[op].text);
  attr_ints(&a, size, w->n);
  put(&a, w);
  return graph_node(g, op, (Id[]){x, other}, op == OP_SELECT_SCATTER || op == OP_SELECT_GATHER ? 2 : 1, &a);
}
