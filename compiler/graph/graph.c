#include "graph.h"
#include "infer.h"
#include "scalar.h"
#include <stdlib.h>
#include <string.h>

Ctx ctx_new(void) {
  Arena *a = arena_new();
  StrTab *names = strtab_new(a);
  return (Ctx){.arena = a, .names = names, .syms = sym_tab_new(a, names), .diag = diag_new(a)};
}

void ctx_free(Ctx *c) {
  arena_free(c->arena);
  *c = (Ctx){0};
}

Graph *graph_new(Ctx *ctx, Graph *parent) {
  Graph *g = ARENA_NEW(ctx->arena, Graph);
  g->ctx = ctx;
  g->parent = parent;
  g->facts = parent ? parent->facts : NULL;
  g->loc = parent ? parent->loc : 0;
  g->mask = 63;
  g->slot = ARENA_ARRAY(ctx->arena, uint32_t, g->mask + 1);
  vec_push(ctx->arena, &g->node, (Node){0});
  vec_reserve(ctx->arena, &g->edge, 1); /* so that a place in them is one also while they are empty */
  vec_reserve(ctx->arena, &g->dim, 1);
  vec_reserve(ctx->arena, &g->word, 1);
  return g;
}

/* ---- reading -------------------------------------------------------------------------------------------------------
 */

static const int64_t *attr_at(const Graph *g, const Node *v, int k, int *n) {
  const int64_t *w = g->word.at + v->attr;
  for (; k; k--) w += 1 + w[0];
  *n = (int)w[0];
  return w + 1;
}

const int64_t *graph_attr(const Graph *g, Id v, const char *name, int *n) {
  const Node *x = graph_at(g, v);
  int k = op_attr_index(x->op, name, strlen(name)), unused;
  if (k < 0) BUG("%s has no attribute %s", OP_INFO[x->op].text, name);
  return attr_at(g, x, k, n ? n : &unused);
}

int64_t graph_attr_int(const Graph *g, Id v, const char *name) {
  int n;
  const int64_t *w = graph_attr(g, v, name, &n);
  if (n != 1) BUG("attribute %s of %s is a list", name, OP_INFO[graph_op(g, v)].text);
  return w[0];
}

const char *graph_attr_str(const Graph *g, Id v, const char *name) {
  return (const char *)(intptr_t)graph_attr_int(g, v, name);
}

Graph *graph_body(const Graph *g, Id v) { return g->body.at[graph_attr_int(g, v, "body")]; }

int graph_results(const Graph *g, Id v) {
  return OP_INFO[graph_op(g, v)].cls == CLASS_BODY && graph_dtype(g, v) == DT_NONE ? (int)graph_body(g, v)->output.n
                                                                                   : 1;
}

bool graph_constant(const Graph *g, Id v, double *value) {
  while (graph_op(g, v) == OP_BROADCAST) v = graph_in(g, v)[0];
  if (graph_op(g, v) != OP_CONSTANT) return false;
  int n;
  const int64_t *w = graph_attr(g, v, "value", &n);
  if (n != 1) return false;
  double x;
  memcpy(&x, w, sizeof x);
  if (value) *value = dtype_is_float(graph_dtype(g, v)) ? x : (double)w[0];
  return true;
}

const char *graph_shape_text(Ctx *c, DType d, const Sym *shape, int rank) {
  Buf b = {0};
  buf_printf(&b, "%s[", dtype_name(d));
  for (int i = 0; i < rank; i++) {
    buf_put(&b, i ? ", " : "");
    sym_print(c->syms, shape[i], &b);
  }
  buf_put(&b, "]");
  const char *r = arena_strndup(c->arena, b.at, b.n);
  buf_free(&b);
  return r;
}

const char *graph_type(const Graph *g, Id v) {
  if (graph_dtype(g, v) != DT_NONE)
    return graph_shape_text(g->ctx, graph_dtype(g, v), graph_shape(g, v), graph_rank(g, v));
  const Graph *body = graph_body(g, v);
  Buf b = {0};
  buf_put(&b, "(");
  for (uint32_t i = 0; i < body->output.n; i++)
    buf_printf(&b, "%s%s", i ? ", " : "", graph_type(body, body->output.at[i]));
  buf_put(&b, body->output.n == 1 ? ",)" : ")");
  const char *r = arena_strndup(g->ctx->arena, b.at, b.n);
  buf_free(&b);
  return r;
}

/* ---- making a node -------------------------------------------------------------------------------------------------
 */

bool graph_same_size(const Graph *g, Sym a, Sym b) {
  return g->facts ? sym_same(g->facts, a, b) : a == b && !sym_overflowed(g->ctx->syms, a);
}

int graph_decide(const Graph *g, SymOp op, Sym a, Sym b) {
  if (g->facts) return sym_decide(g->facts, op, a, b);
  Arena *scratch = arena_new();
  int r = sym_decide(sym_facts_new(scratch, g->ctx->syms), op, a, b);
  arena_free(scratch);
  return r;
}

static void attr_words(Graph *g, Op op, const Attrs *a, Infer *f) {
  uint32_t start = g->word.n;
  if (a && a->big) {
    vec_push(g->ctx->arena, &g->word, a->nbig);
    vec_reserve(g->ctx->arena, &g->word, (uint32_t)a->nbig);
    memcpy(g->word.at + g->word.n, a->big, sizeof(int64_t) * (size_t)a->nbig);
    g->word.n += (uint32_t)a->nbig;
  }
  for (int i = 0; a && i < a->n; i++) vec_push(g->ctx->arena, &g->word, a->word[i]);
  const int64_t *w = g->word.at + start, *end = g->word.at + g->word.n;
  const char *name;
  int len;
  char kind;
  for (int k = 0; op_attr(op, k, &name, &len, &kind); k++) {
    bool one = strchr("idsG", kind), pair = kind == 'P';
    if (k == MAX_ATTRS || w >= end || w[0] < 0 || w[0] > end - w - 1 || (one && w[0] != 1) || (pair && w[0] % 2))
      BUG("attributes of %s do not fit %s", OP_INFO[op].text, OP_INFO[op].attrs);
    f->attr[k] = w + 1;
    f->nattr[k] = (int)w[0];
    w += 1 + w[0];
  }
  if (w != end) BUG("too many attributes of %s", OP_INFO[op].text);
}

/* Numbers as their type holds them, so that equal constants are equal words. */
static void normalize_constant(Infer *f) {
  DType d = (DType)f->attr[1][0];
  int64_t *w = (int64_t *)(intptr_t)f->attr[0];
  for (int i = 0; i < f->nattr[0]; i++) {
    double x;
    memcpy(&x, &w[i], sizeof x);
    if (dtype_is_float(d)) {
      x = x != x ? __builtin_nan("") : scalar_round(d, x);
      memcpy(&w[i], &x, sizeof x);
    } else if (d == DT_BOOL)
      w[i] = w[i] != 0;
    else if (d == DT_I32)
      w[i] = (int32_t)(uint32_t)(uint64_t)w[i];
  }
}

/* The order of two operands of a commutative op. It must not depend on when a leaf that has no line of its own in the
 * flat form (input, cell, data, constant) was made, or reading a printed graph would give another one. */
static int compare_words(const Graph *g, const Node *x, const Node *y) {
  uint32_t n = x->nword < y->nword ? x->nword : y->nword;
  for (uint32_t i = 0; i < n; i++) {
    int64_t a = g->word.at[x->attr + i], b = g->word.at[y->attr + i];
    if (a != b) return a < b ? -1 : 1;
  }
  return x->nword == y->nword ? 0 : x->nword < y->nword ? -1 : 1;
}

static int leaf_order(const Graph *g, Id v) {
  switch (graph_op(g, v)) {
  case OP_INPUT: return 1;
  case OP_CELL: return 2;
  case OP_DATA: return 3;
  case OP_CONSTANT: return 4;
  default: return 0;
  }
}

static int compare_operands(const Graph *g, Id a, Id b) {
  int x = leaf_order(g, a), y = leaf_order(g, b);
  if (x != y) return x - y;
  const Node *p = graph_at(g, a), *q = graph_at(g, b);
  if (x == 3 && p->nword == q->nword) { /* the file's name by its letters, not by its address */
    int c = strcmp(graph_attr_str(g, a, "file"), graph_attr_str(g, b, "file"));
    if (c) return c;
  }
  if (x) return p->op == OP_CONSTANT && p->nword != q->nword ? (int)p->nword - (int)q->nword : compare_words(g, p, q);
  Id base_a = p->op == OP_GET ? graph_in(g, a)[0] : a, base_b = q->op == OP_GET ? graph_in(g, b)[0] : b;
  if (base_a != base_b) return base_a < base_b ? -1 : 1;
  return p->op == OP_GET && q->op == OP_GET ? compare_words(g, p, q) : a < b ? -1 : a > b;
}

static Id identity(const Infer *f) {
  Id x = f->nin ? f->in[0] : 0;
  const Graph *g = f->g;
  if (f->op == OP_CONVERT) return graph_dtype(g, x) == f->dtype ? x : 0;
  if (OP_INFO[f->op].cls == CLASS_REDUCE || f->op == OP_REVERSE) return f->nattr[0] ? 0 : x;
  if (f->op == OP_TRANSPOSE) {
    for (int i = 0; i < f->rank; i++)
      if (f->attr[0][i] != i) return 0;
    return x;
  }
  if (f->op == OP_GET) return graph_dtype(g, x) != DT_NONE ? x : 0;
  if (f->op != OP_RESHAPE && f->op != OP_BROADCAST) return 0;
  if (graph_rank(g, x) != f->rank) return 0;
  for (int i = 0; i < f->rank; i++)
    if (!graph_same_size(g, graph_shape(g, x)[i], f->shape[i])) return 0;
  return x;
}

static void rehash(Graph *g) {
  uint32_t size = (g->mask + 1) * 2, *old = g->slot, n = g->mask + 1;
  g->slot = ARENA_ARRAY(g->ctx->arena, uint32_t, size);
  for (uint32_t s = 0; s < n; s++)
    for (uint32_t v = old[s], next; v; v = next) {
      Node *x = &g->node.at[v];
      next = x->next;
      uint64_t h = hash_bytes(g->edge.at + x->in, x->nin * sizeof(Id),
                              hash_bytes(g->word.at + x->attr, x->nword * sizeof(int64_t), x->op + 256u * x->copy));
      x->next = g->slot[h & (size - 1)];
      g->slot[h & (size - 1)] = v;
    }
  g->mask = size - 1;
}

Id graph_node(Graph *g, Op op, const Id *in, int nin, const Attrs *attrs) {
  const OpInfo *info = &OP_INFO[op];
  Arena *arena = g->ctx->arena;
  if (g->frozen) BUG("a node of %s is made while the graph is frozen", info->text);
  if (op == OP_NONE || op >= OP_COUNT || !INFER[op]) BUG("%s is no op of the graph", info->text);
  for (int i = 0; i < nin; i++)
    if (!in[i])
      return 0;
    else if (in[i] >= g->node.n)
      BUG("operand %u of %s is no node", in[i], info->text);
  if (info->arity >= 0 && nin != info->arity) {
    diag_error(g->ctx->diag, "op-operands", g->loc, "`%s` takes %d operand%s, %d given", info->text, info->arity,
               info->arity == 1 ? "" : "s", nin);
    return 0;
  }
  for (int i = 0; i < nin; i++)
    if (graph_dtype(g, in[i]) == DT_NONE && op != OP_GET) {
      diag_error(g->ctx->diag, "op-operands", g->loc, "operand %d of `%s` has several results; take one of them", i + 1,
                 info->text);
      return 0;
    }
  int64_t size;
  if (op == OP_DIM && attrs && attrs->n == 2 && sym_is_int(g->ctx->syms, (Sym)attrs->word[1], &size))
    return g_const_int(g, DT_I64, size);
  uint32_t word = g->word.n, edge = g->edge.n;
  Infer f = {.g = g, .op = op, .nin = nin};
  attr_words(g, op, attrs, &f);
  for (int i = 0; i < nin; i++) vec_push(arena, &g->edge, in[i]);
  f.in = g->edge.at + edge;
  if (op == OP_CONSTANT) normalize_constant(&f);
  if (!INFER[op](&f)) {
    g->word.n = word, g->edge.n = edge;
    return 0;
  }
  Id *own = g->edge.at + edge;
  if ((info->flags & OPF_COMM) && compare_operands(g, own[0], own[1]) > 0) {
    Id a = own[0];
    own[0] = own[1], own[1] = a;
  }
  uint32_t nword = g->word.n - word;
  uint64_t h = hash_bytes(own, (size_t)nin * sizeof(Id),
                          hash_bytes(g->word.at + word, nword * sizeof(int64_t), op + 256u * g->copy));
  Id same = identity(&f);
  for (Id v = info->flags & OPF_UNIQUE ? 0 : g->slot[h & g->mask]; v && !same; v = g->node.at[v].next) {
    const Node *x = graph_at(g, v);
    if (x->op == op && x->copy == g->copy && (int)x->nin == nin && x->nword == nword &&
        (!nin || !memcmp(g->edge.at + x->in, own, (size_t)nin * sizeof(Id))) &&
        (!nword || !memcmp(g->word.at + x->attr, g->word.at + word, nword * sizeof(int64_t))))
      same = v;
  }
  if (same) {
    g->word.n = word, g->edge.n = edge;
    return same;
  }
  Node x = {.op = (uint8_t)op,
            .dtype = (uint8_t)f.dtype,
            .rank = (uint8_t)f.rank,
            .nin = (uint32_t)nin,
            .in = edge,
            .shape = g->dim.n,
            .attr = word,
            .nword = nword,
            .copy = g->copy,
            .loc = g->loc};
  for (int i = 0; i < f.rank; i++) vec_push(arena, &g->dim, f.shape[i]);
  if (!(info->flags & OPF_UNIQUE)) {
    x.next = g->slot[h & g->mask];
    g->slot[h & g->mask] = g->node.n;
  }
  vec_push(arena, &g->node, x);
  if (g->node.n > g->mask) rehash(g);
  return g->node.n - 1;
}

/* ---- walking and rebuilding ----------------------------------------------------------------------------------------
 */

int graph_reach(const Graph *g, const Id *outputs, int n, Id *order) {
  uint8_t *need = mem_alloc(g->node.n);
  for (int i = 0; i < n; i++) need[outputs[i]] = 1;
  need[0] = 0;
  for (Id v = g->node.n - 1; v > 0; v--)
    for (uint32_t i = 0; need[v] && i < g->node.at[v].nin; i++) need[graph_in(g, v)[i]] = 1;
  int count = 0;
  for (Id v = 1; v < g->node.n; v++)
    if (need[v]) order[count++] = v;
  free(need);
  return count;
}

Id graph_copy_node(const Graph *from, Id v, Graph *to, const Id *map) {
  const Node *x = graph_at(from, v);
  Arena *arena = to->ctx->arena;
  Vec(int64_t) word = {0};
  Vec(Id) in = {0};
  vec_reserve(arena, &word, x->nword);
  vec_reserve(arena, &in, x->nin);
  for (uint32_t i = 0; i < x->nin; i++) in.at[i] = map[graph_in(from, v)[i]];
  if (x->nword) memcpy(word.at, from->word.at + x->attr, x->nword * sizeof(int64_t));
  if (OP_INFO[x->op].cls == CLASS_BODY && x->op != OP_GET && from != to) {
    vec_push(arena, &to->body, graph_body(from, v));
    word.at[x->nword - 1] = to->body.n - 1; /* `body` is the last attribute */
  }
  Attrs a = {0};
  if (x->nword <= sizeof a.word / sizeof *a.word) {
    if (x->nword) memcpy(a.word, word.at, x->nword * sizeof(int64_t));
    a.n = (int)x->nword;
  } else { /* only a constant of many numbers is that long; they come first */
    a.big = word.at + 1;
    a.nbig = (int)word.at[0];
    a.n = (int)x->nword - 1 - a.nbig;
    memcpy(a.word, word.at + 1 + a.nbig, (size_t)a.n * sizeof(int64_t));
  }
  Loc loc = to->loc;
  uint32_t copy = to->copy;
  to->loc = x->loc;
  if (!copy) to->copy = x->copy;
  Id r = graph_node(to, x->op, in.at, (int)x->nin, &a);
  to->loc = loc;
  to->copy = copy;
  return r;
}

bool graph_rebuild(const Graph *from, Graph *to, GraphVisit *fn, void *ctx, Id *map) {
  Id *order = mem_alloc(from->node.n * sizeof(Id));
  int n = graph_reach(from, from->output.at, (int)from->output.n, order);
  Loc loc = to->loc;
  bool ok = true;
  memset(map, 0, from->node.n * sizeof(Id));
  for (uint32_t i = 0; i < from->input.n; i++) {
    Id v = from->input.at[i];
    to->loc = graph_at(from, v)->loc;
    map[v] = g_input(to, graph_dtype(from, v), graph_shape(from, v), graph_rank(from, v));
  }
  for (int i = 0; i < n && ok; i++) {
    Id v = order[i];
    if (map[v]) continue;
    to->loc = graph_at(from, v)->loc;
    to->copy = graph_at(from, v)->copy;
    map[v] = fn ? fn(ctx, from, v, to, map) : 0;
    to->copy = 0;
    if (!map[v]) map[v] = graph_copy_node(from, v, to, map);
    ok = map[v] != 0;
  }
  to->loc = loc;
  to->output.n = 0;
  for (uint32_t i = 0; i < from->output.n && ok; i++) vec_push(to->ctx->arena, &to->output, map[from->output.at[i]]);
  free(order);
  return ok;
}

bool graph_inline(Graph *g, const Graph *body, const Id *args, Id *outputs) {
  Id *order = mem_alloc(body->node.n * sizeof(Id)), *map = mem_alloc(body->node.n * sizeof(Id));
  int n = graph_reach(body, body->output.at, (int)body->output.n, order);
  bool ok = true;
  for (uint32_t i = 0; i < body->input.n; i++) map[body->input.at[i]] = args[i];
  for (int i = 0; i < n && ok; i++)
    if (!map[order[i]]) ok = (map[order[i]] = graph_copy_node(body, order[i], g, map)) != 0;
  for (uint32_t i = 0; i < body->output.n && ok; i++) outputs[i] = map[body->output.at[i]];
  free(order);
  free(map);
  return ok;
}

void entry_roots(Entry *e) {
  Graph *g = e->graph;
  Arena *a = g->ctx->arena;
  g->output.n = 0;
  for (uint32_t i = 0; i < e->outputs.n; i++) vec_push(a, &g->output, e->outputs.at[i].node);
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (e->inputs.at[i].update) vec_push(a, &g->output, e->inputs.at[i].update);
  for (uint32_t i = 0; i < e->updates.n; i++) vec_push(a, &g->output, e->updates.at[i].value);
}

void entry_replace(Entry *e, Graph *to, const Id *map) {
  for (uint32_t i = 0; i < e->outputs.n; i++) e->outputs.at[i].node = map[e->outputs.at[i].node];
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    e->inputs.at[i].node = map[e->inputs.at[i].node];
    e->inputs.at[i].update = map[e->inputs.at[i].update];
  }
  for (uint32_t i = 0; i < e->updates.n; i++) e->updates.at[i].value = map[e->updates.at[i].value];
  e->graph = to;
  entry_roots(e);
}
