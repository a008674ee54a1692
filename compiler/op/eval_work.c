/* How much an evaluation is, without doing it. */
#include "eval.h"
#include "window.h"
#include <math.h>
#include <stdlib.h>

typedef struct Work {
  SymLookup *dims;
  void *dims_ctx;
  double sum, most;
} Work;

static double size(const Work *w, const Graph *g, Sym s) {
  int64_t n;
  return sym_eval(g->ctx->syms, s, w->dims, w->dims_ctx, &n) ? (double)n : INFINITY;
}

static double elements(const Work *w, const Graph *g, Id v) {
  double n = 1;
  for (int i = 0; i < graph_rank(g, v); i++) n *= size(w, g, graph_shape(g, v)[i]);
  return n;
}

static double window(const Work *w, const Graph *g, Id v) { /* elements of one */
  Windows win;
  double n = 1;
  window_read(g, v, &win);
  for (int i = 0; i < win.n; i++) n *= size(w, g, win.size[i]);
  return n;
}

static double node_work(const Work *w, const Graph *g, Id v) {
  const Id *in = graph_in(g, v);
  double out = elements(w, g, v), terms = 1, read = 0;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) read += elements(w, g, in[i]);
  switch (graph_op(g, v)) {
  case OP_DOT_GENERAL: {
    int n;
    const int64_t *contract = graph_attr(g, v, "contract", &n);
    for (int i = 0; i < n / 2; i++) terms *= size(w, g, graph_shape(g, in[0])[contract[i]]);
    return out * terms;
  }
  case OP_CONV_GENERAL: return out * window(w, g, v) * size(w, g, graph_shape(g, in[1])[1]);
  case OP_WINDOW_SUM:
  case OP_WINDOW_MAX:
  case OP_SELECT_GATHER: return out * window(w, g, v);
  case OP_SELECT_SCATTER: return out + elements(w, g, in[1]) * window(w, g, v);
  default: return out + read;
  }
}

static void add(Work *w, const Graph *g, const Id *outputs, int n) {
  Id *order = mem_alloc(sizeof(Id) * g->node.n);
  int count = graph_reach(g, outputs, n, order);
  for (int k = 0; k < count && w->sum <= w->most; k++) {
    Op op = graph_op(g, order[k]);
    if (op == OP_CALL || op == OP_COMPOSITE) {
      const Graph *body = graph_body(g, order[k]);
      w->sum += 1;
      add(w, body, body->output.at, (int)body->output.n);
    } else if (op != OP_GET)
      w->sum += node_work(w, g, order[k]);
  }
  free(order);
}

double graph_work(const Graph *g, SymLookup *dims, void *dims_ctx, const Id *outputs, int n, double most) {
  Work w = {dims, dims_ctx, 0, most};
  add(&w, g, outputs, n);
  return w.sum;
}
