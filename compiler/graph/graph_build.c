#include "graph.h"
#include <string.h>

static void need(const Attrs *a, int n) {
  if (a->n + n > (int)(sizeof a->word / sizeof *a->word)) BUG("attributes of more than %d words", a->n + n);
}

void attr_ints(Attrs *a, const int64_t *v, int n) {
  if (!a->n && !a->big && n > 64) { /* the numbers of a constant */
    a->big = v;
    a->nbig = n;
    return;
  }
  need(a, n + 1);
  a->word[a->n++] = n;
  if (n) memcpy(a->word + a->n, v, (size_t)n * sizeof *v);
  a->n += n;
}

void attr_int(Attrs *a, int64_t v) { attr_ints(a, &v, 1); }
void attr_str(Ctx *c, Attrs *a, const char *s) { attr_int(a, (int64_t)(intptr_t)str_intern(c->names, s)); }

void attr_syms(Attrs *a, const Sym *s, int n) {
  need(a, n + 1);
  a->word[a->n++] = n;
  for (int i = 0; i < n; i++) a->word[a->n++] = s[i];
}

static void attr_axes(Attrs *a, const int *v, int n) {
  need(a, n + 1);
  a->word[a->n++] = n;
  for (int i = 0; i < n; i++) a->word[a->n++] = v[i];
}

void attr_pair(Attrs *a, const int *x, const int *y, int n) {
  need(a, 2 * n + 1);
  a->word[a->n++] = 2 * n;
  for (int i = 0; i < n; i++) a->word[a->n++] = x[i];
  for (int i = 0; i < n; i++) a->word[a->n++] = y[i];
}

/* Distinct axes in rising order; what is wrong with them is the shape rule's to say. */
static void attr_set(Attrs *a, const int *axes, int n) {
  int64_t *w = a->word + a->n + 1;
  attr_axes(a, axes, n);
  for (int i = 1; i < n; i++)
    for (int k = i; k > 0 && w[k - 1] > w[k]; k--) {
      int64_t x = w[k];
      w[k] = w[k - 1];
      w[k - 1] = x;
    }
}

Id g_input(Graph *g, DType d, const Sym *shape, int rank) {
  Attrs a = {0};
  attr_int(&a, g->input.n);
  attr_int(&a, d);
  attr_syms(&a, shape, rank);
  Id v = graph_node(g, OP_INPUT, NULL, 0, &a);
  if (v) vec_push(g->ctx->arena, &g->input, v);
  return v;
}

Id g_cell(Graph *g, int cell, DType d, const Sym *shape, int rank) {
  Attrs a = {0};
  attr_int(&a, cell);
  attr_int(&a, d);
  attr_syms(&a, shape, rank);
  return graph_node(g, OP_CELL, NULL, 0, &a);
}

static Id constant(Graph *g, DType d, int64_t word) {
  Attrs a = {0};
  uint32_t copy = g->copy;
  attr_int(&a, word);
  attr_int(&a, d);
  attr_syms(&a, NULL, 0);
  g->copy = 0; /* a number has no need of copies */
  Id v = graph_node(g, OP_CONSTANT, NULL, 0, &a);
  g->copy = copy;
  return v;
}

Id g_const(Graph *g, DType d, double x) {
  int64_t w;
  if (!dtype_is_float(d))
    return g_const_int(g, d, x != x ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (int64_t)x);
  memcpy(&w, &x, sizeof w);
  return constant(g, d, w);
}

Id g_const_int(Graph *g, DType d, int64_t x) {
  return dtype_is_float(d) ? g_const(g, d, (double)x) : constant(g, d, x);
}
Id g_full(Graph *g, DType d, double x, const Sym *shape, int rank) {
  return g_spread(g, g_const(g, d, x), shape, rank);
}
Id g_unary(Graph *g, Op op, Id x) { return graph_node(g, op, &x, 1, NULL); }
Id g_binary(Graph *g, Op op, Id x, Id y) { return graph_node(g, op, (Id[]){x, y}, 2, NULL); }
Id g_select(Graph *g, Id c, Id x, Id y) { return graph_node(g, OP_SELECT, (Id[]){c, x, y}, 3, NULL); }

Id g_convert(Graph *g, DType d, Id x) {
  Attrs a = {0};
  attr_int(&a, d);
  return graph_node(g, OP_CONVERT, &x, 1, &a);
}

Id g_broadcast(Graph *g, Id x, const Sym *shape, int rank, const int *axes) {
  Attrs a = {0};
  if (!x) return 0;
  attr_syms(&a, shape, rank);
  attr_axes(&a, axes, graph_rank(g, x));
  return graph_node(g, OP_BROADCAST, &x, 1, &a);
}

Id g_spread(Graph *g, Id x, const Sym *shape, int rank) {
  if (!x) return 0;
  if (graph_rank(g, x) == 0) return rank ? g_broadcast(g, x, shape, rank, NULL) : x;
  int axes[MAX_RANK];
  for (int i = 0; i < graph_rank(g, x); i++) axes[i] = i;
  return g_broadcast(g, x, shape, rank, axes); /* the operand itself, or the rule says what differs */
}

Id g_reshape(Graph *g, Id x, const Sym *shape, int rank) {
  Attrs a = {0};
  attr_syms(&a, shape, rank);
  return graph_node(g, OP_RESHAPE, &x, 1, &a);
}

Id g_transpose(Graph *g, Id x, const int *axes) {
  Attrs a = {0};
  if (!x) return 0;
  attr_axes(&a, axes, graph_rank(g, x));
  return graph_node(g, OP_TRANSPOSE, &x, 1, &a);
}

Id g_slice(Graph *g, Id x, const Sym *starts, const Sym *ends, const int64_t *steps) {
  Attrs a = {0};
  if (!x) return 0;
  attr_syms(&a, starts, graph_rank(g, x));
  attr_syms(&a, ends, graph_rank(g, x));
  attr_ints(&a, steps, graph_rank(g, x));
  return graph_node(g, OP_SLICE, &x, 1, &a);
}

Id g_pad(Graph *g, Id x, const Sym *lo, const Sym *hi, const int64_t *interior) {
  Attrs a = {0};
  if (!x) return 0;
  attr_syms(&a, lo, graph_rank(g, x));
  attr_syms(&a, hi, graph_rank(g, x));
  attr_ints(&a, interior, graph_rank(g, x));
  return graph_node(g, OP_PAD, &x, 1, &a);
}

static Id with_axes(Graph *g, Op op, Id x, const int *axes, int n) {
  Attrs a = {0};
  attr_set(&a, axes, n);
  return graph_node(g, op, &x, 1, &a);
}

Id g_reverse(Graph *g, Id x, const int *axes, int n) { return with_axes(g, OP_REVERSE, x, axes, n); }
Id g_reduce(Graph *g, Op op, Id x, const int *axes, int n) { return with_axes(g, op, x, axes, n); }

static Id with_axis(Graph *g, Op op, const Id *in, int n, int axis) {
  Attrs a = {0};
  attr_int(&a, axis);
  return graph_node(g, op, in, n, &a);
}

Id g_concat(Graph *g, const Id *in, int n, int axis) { return with_axis(g, OP_CONCAT, in, n, axis); }
Id g_arg(Graph *g, Op op, Id x, int axis) { return with_axis(g, op, &x, 1, axis); }

Id g_dot(Graph *g, Id x, Id y, const int *cx, const int *cy, int nc, const int *bx, const int *by, int nb) {
  Attrs a = {0};
  attr_pair(&a, cx, cy, nc);
  attr_pair(&a, bx, by, nb);
  return graph_node(g, OP_DOT_GENERAL, (Id[]){x, y}, 2, &a);
}

enum { MAX_INDICES = MAX_RANK };

/* x, the indices, and `last` if it is not 0, as operands: their number, or -1 with too many. */
static int gather_operands(Graph *g, Op op, Id *out, Id x, const Id *index, int n, Id last) {
  if (n > MAX_INDICES) {
    diag_error(g->ctx->diag, "op-operands", g->loc, "`%s` of %d axes: a tensor has at most %d", OP_INFO[op].text, n,
               MAX_RANK);
    return -1;
  }
  int k = 0;
  out[k++] = x;
  for (int i = 0; i < n; i++) out[k++] = index[i];
  if (op == OP_SCATTER_ADD || op == OP_DYNAMIC_UPDATE) out[k++] = last;
  return k;
}

Id g_gather(Graph *g, Id x, const Id *index, int n, int axis) {
  Id in[MAX_INDICES + 2];
  n = gather_operands(g, OP_GATHER, in, x, index, n, 0);
  return n < 0 ? 0 : with_axis(g, OP_GATHER, in, n, axis);
}

Id g_scatter_add(Graph *g, Id x, const Id *index, int n, int axis, Id update) {
  Id in[MAX_INDICES + 2];
  n = gather_operands(g, OP_SCATTER_ADD, in, x, index, n, update);
  return n < 0 ? 0 : with_axis(g, OP_SCATTER_ADD, in, n, axis);
}

Id g_dynamic_slice(Graph *g, Id x, const Id *starts, const int *axes, const Sym *sizes, int n) {
  Id in[MAX_INDICES + 2];
  Attrs a = {0};
  int k = gather_operands(g, OP_DYNAMIC_SLICE, in, x, starts, n, 0);
  if (k < 0) return 0;
  attr_axes(&a, axes, n);
  attr_syms(&a, sizes, n);
  return graph_node(g, OP_DYNAMIC_SLICE, in, k, &a);
}

Id g_dynamic_update(Graph *g, Id x, const Id *starts, const int *axes, int n, Id update) {
  Id in[MAX_INDICES + 2];
  Attrs a = {0};
  int k = gather_operands(g, OP_DYNAMIC_UPDATE, in, x, starts, n, update);
  if (k < 0) return 0;
  attr_axes(&a, axes, n);
  return graph_node(g, OP_DYNAMIC_UPDATE, in, k, &a);
}

Id g_iota(Graph *g, DType d, const Sym *shape, int rank, int axis) {
  Attrs a = {0};
  attr_syms(&a, shape, rank);
  attr_int(&a, axis);
  attr_int(&a, d);
  return graph_node(g, OP_IOTA, NULL, 0, &a);
}

Id g_dim(Graph *g, Sym s) {
  Attrs a = {0};
  attr_syms(&a, &s, 1);
  return graph_node(g, OP_DIM, NULL, 0, &a);
}

Id g_random(Graph *g, const char *kind, DType d, const Sym *shape, int rank, const char *key, int lanes) {
  Attrs a = {0};
  attr_str(g->ctx, &a, kind);
  attr_syms(&a, shape, rank);
  attr_str(g->ctx, &a, key);
  attr_int(&a, lanes);
  attr_int(&a, d);
  return graph_node(g, OP_RANDOM, NULL, 0, &a);
}

Id g_body(Graph *g, Op op, const char *name, Graph *body, const Id *in, int nin) {
  Attrs a = {0};
  if (op == OP_COMPOSITE) attr_str(g->ctx, &a, name);
  attr_int(&a, g->body.n);
  vec_push(g->ctx->arena, &g->body, body);
  Id v = graph_node(g, op, in, nin, &a);
  if (!v) g->body.n--;
  return v;
}

Id g_get(Graph *g, Id v, int k) { return v ? with_axis(g, OP_GET, &v, 1, k) : 0; }
