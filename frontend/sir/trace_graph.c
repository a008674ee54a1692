/* Graphs under construction: the value of a cell now, values of other graphs brought into the current one, bodies. */
#include "trace.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Scope *trace_scope_new(Tracer *t, Graph *g, Scope *parent) {
  Scope *s = ARENA_NEW(t->arena, Scope);
  s->g = g;
  s->parent = parent;
  return s;
}

void trace_enter(Tracer *t, Scope *s) {
  t->scope = s;
  t->g = s->g;
  t->g->loc = t->loc;
}

void trace_at(Tracer *t, const Ast *n, Frame *fr) {
  if (!fr->file->library) t->loc = n->place ? n->place : n->loc;
  t->g->loc = t->loc;
}

Scope *trace_push(Tracer *t) {
  Graph *g = graph_new(t->ctx, t->g);
  g->facts = t->facts;
  Scope *s = trace_scope_new(t, g, t->scope);
  trace_enter(t, s);
  return s;
}

Graph *trace_pop(Tracer *t, Id **captured, int *n) {
  Scope *s = t->scope;
  trace_enter(t, s->parent);
  *n = (int)s->captures.n;
  *captured = ARENA_ARRAY(t->arena, Id, *n + 1);
  for (int i = 0; i < *n; i++) (*captured)[i] = s->captures.at[i].outer.u.id;
  return s->g;
}

static CellNow *cell_now(Scope *s, const TCell *c) {
  for (uint32_t i = 0; i < s->cells.n; i++)
    if (s->cells.at[i].cell == c) return &s->cells.at[i];
  return NULL;
}

const CellNow *trace_cell(Tracer *t, const TCell *c) { return cell_now(t->scope, c); }

static Id lift_in(Tracer *t, Graph *from, Id v, Scope *s);

static Id read_in(Tracer *t, TCell *c, Scope *s) {
  for (Scope *at = s;; at = at->parent) {
    CellNow *n = cell_now(at, c);
    if (n) return lift_in(t, at->g, n->now, s);
    if (at->parent) continue;
    if (at->root) return g_cell(at->g, c->index, c->dtype, c->shape, c->rank);
    if (c->kind == TCELL_INOUT) return lift_in(t, at->g, c->input, s);
    if (c->slot < 0) {
      trace_fault(t, "sir-param-unnamed",
                  "this reads a param of a module that is no field of the file, so it has no name and no storage: make "
                  "the module a field, `net = Net()`");
      return 0;
    }
    return lift_in(t, at->g, g_cell(at->g, c->slot, c->dtype, c->shape, c->rank), s);
  }
}

Id trace_read(Tracer *t, TCell *c) { return read_in(t, c, t->scope); }

/* A value of the file in another graph: its expression made again, with params as they are now. Nodes that stay apart
 * by nature (leaf) are made once for the same operands. */
static Id lift_root(Tracer *t, Id v, Scope *s) {
  Graph *root = t->rootscope->g;
  uint32_t n = root->node.n;
  Id *map = mem_alloc(sizeof *map * n * 2), *order = map + n;
  int many = graph_reach(root, &v, 1, order);
  for (int i = 0; i < many; i++) {
    Id x = order[i], made = 0;
    bool unique = OP_INFO[graph_op(root, x)].flags & OPF_UNIQUE;
    if (graph_op(root, x) == OP_CELL) {
      made = read_in(t, t->cells.at[graph_attr_int(root, x, "cell")], s);
    } else {
      for (uint32_t k = 0; unique && k < s->lifted.n && !made; k++) {
        Capture *c = &s->lifted.at[k];
        bool same = c->outer.u.id == x;
        for (uint32_t j = 0; same && j < graph_at(root, x)->nin; j++)
          same = graph_in(s->g, c->inner)[j] == map[graph_in(root, x)[j]];
        made = same ? c->inner : 0;
      }
      if (!made) {
        made = graph_copy_node(root, x, s->g, map);
        if (made && unique) vec_push(t->arena, &s->lifted, (Capture){value_node(root, x), made});
      }
    }
    map[x] = made;
    if (!made) break;
  }
  Id out = map[v];
  free(map);
  return out;
}

static Id lift_in(Tracer *t, Graph *from, Id v, Scope *s) {
  if (!v || from == s->g) return v;
  if (from == t->rootscope->g) return lift_root(t, v, s);
  if (!s->parent) BUG("a value of another entry");
  Op op = graph_op(from, v);
  if (op == OP_CONSTANT || op == OP_DIM) return graph_copy_node(from, v, s->g, NULL);
  Id outer = lift_in(t, from, v, s->parent);
  for (uint32_t i = 0; i < s->captures.n; i++)
    if (s->captures.at[i].outer.u.id == outer) return s->captures.at[i].inner;
  Graph *g = s->parent->g;
  Id inner = outer ? g_input(s->g, graph_dtype(g, outer), graph_shape(g, outer), graph_rank(g, outer)) : 0;
  if (inner) vec_push(t->arena, &s->captures, (Capture){value_node(g, outer), inner});
  return inner;
}

Id trace_lift(Tracer *t, Value v) { return lift_in(t, v.x.graph, v.u.id, t->scope); }

Id trace_leaf(Tracer *t, Id v) { return v ? g_unary(t->g, OP_LEAF, v) : 0; }

bool trace_write(Tracer *t, TCell *c, Id value) {
  Scope *s = t->scope;
  if (s->root) return trace_fault(t, "sir-update-outside", "an update stands in an entry, or in a fn that one calls");
  if (s->parent) BUG("an update inside a composite of the library");
  Id first = trace_read(t, c);
  if (!first || !value) return false;
  CellNow *n = cell_now(s, c);
  if (!n) {
    vec_push(t->arena, &s->cells, (CellNow){.cell = c});
    n = &vec_last(&s->cells);
  }
  vec_push(t->arena, &n->past, (PastWrite){first, t->loc});
  /* Reads after the write give a leaf: the gradient with respect to a param is that of the param, not of its
   * expression. */
  n->now = trace_leaf(t, value);
  n->value = value;
  n->loc = t->loc;
  return n->now != 0;
}

/* ---- start values ---- */
typedef struct InitCtx {
  Tracer *t;
  Graph **init;
  const char *bad; /* a param without a start value that this one needs */
} InitCtx;

static Id init_node(void *ctx, const Graph *from, Id v, Graph *to, const Id *map) {
  InitCtx *c = ctx;
  Tracer *t = c->t;
  (void)map;
  const Sym *shape = graph_shape(from, v);
  int rank = graph_rank(from, v);
  DType d = graph_dtype(from, v);
  if (graph_op(from, v) == OP_RANDOM) { /* "@cell#draw": the cell has its name by now */
    const char *key = graph_attr_str(from, v, "key");
    int cell = 0, draw = 0;
    if (sscanf(key, "@%d#%d", &cell, &draw) == 2) {
      const char *name = t->cells.at[cell]->name ? t->cells.at[cell]->name : "";
      key = draw ? trace_printf(t, "%s#%d", name, draw) : name;
    }
    return g_random(to, graph_attr_str(from, v, "kind"), d, shape, rank, key, (int)graph_attr_int(from, v, "lanes"));
  }
  if (graph_op(from, v) == OP_CELL) {
    TCell *other = t->cells.at[graph_attr_int(from, v, "cell")];
    Id out = 0;
    if (c->init[other->index]) return graph_inline(to, c->init[other->index], NULL, &out) ? out : 0;
    if (other->kind != CELL_PARAM) return g_full(to, d, 0, shape, rank);
    c->bad = other->name ? other->name : "a param";
    return g_full(to, d, 0, shape, rank);
  }
  return 0;
}

bool trace_init_graphs(Tracer *t, Graph **init) {
  Graph *root = t->rootscope->g;
  Id *map = mem_alloc(sizeof *map * root->node.n);
  bool ok = true;
  for (uint32_t i = 0; ok && i < t->cells.n; i++) {
    TCell *c = t->cells.at[i];
    init[i] = NULL;
    if (c->start.kind == VAL_NONE || c->slot < 0) continue;
    InitCtx ctx = {t, init, NULL};
    Graph *g = graph_new(t->ctx, NULL);
    root->output.n = 0;
    vec_push(t->arena, &root->output, c->start.u.id);
    memset(map, 0, sizeof *map * root->node.n);
    ok = graph_rebuild(root, g, init_node, &ctx, map);
    if (ok && ctx.bad)
      ok = diag_error(t->diag, "sir-start-needs-weights", c->loc,
                      "the start value of `%s` needs `%s`, which only the weight file gives", c->name, ctx.bad);
    init[i] = g;
  }
  free(map);
  return ok;
}

/* ---- conditions over dimensions ---- */
bool trace_node_sym(Tracer *t, Id v, Sym *out) {
  const Graph *g = t->g;
  SymTab *s = t->syms;
  Id *order = mem_alloc(sizeof *order * g->node.n);
  Sym *value = mem_alloc(sizeof *value * g->node.n);
  int n = graph_reach(g, &v, 1, order);
  bool ok = graph_rank(g, v) == 0;
  for (int i = 0; ok && i < n; i++) {
    Id x = order[i];
    const Id *in = graph_in(g, x);
    Sym a = graph_at(g, x)->nin > 0 ? value[in[0]] : 0, b = graph_at(g, x)->nin > 1 ? value[in[1]] : 0, r = 0,
        one = sym_int(s, 1);
    double k;
    switch (graph_op(g, x)) {
    case OP_DIM: {
      int words;
      r = (Sym)graph_attr(g, x, "value", &words)[0];
      break;
    }
    case OP_CONSTANT:
      if (graph_constant(g, x, &k) && k == (double)(int64_t)k) r = sym_int(s, (int64_t)k);
      break;
    case OP_ADD: r = sym_add(s, a, b); break;
    case OP_SUB: r = sym_sub(s, a, b); break;
    case OP_MUL:
    case OP_AND: r = sym_mul(s, a, b); break;
    case OP_OR: r = sym_op(s, SYM_MAX, a, b); break;
    case OP_NOT: r = sym_sub(s, one, a); break;
    case OP_MAXIMUM: r = sym_op(s, SYM_MAX, a, b); break;
    case OP_MINIMUM: r = sym_op(s, SYM_MIN, a, b); break;
    case OP_LESS: r = sym_op(s, SYM_LT, a, b); break;
    case OP_LESS_EQUAL: r = sym_op(s, SYM_LE, a, b); break;
    case OP_GREATER: r = sym_op(s, SYM_LT, b, a); break;
    case OP_GREATER_EQUAL: r = sym_op(s, SYM_LE, b, a); break;
    case OP_EQUAL: r = sym_op(s, SYM_EQ, a, b); break;
    case OP_NOT_EQUAL: r = sym_op(s, SYM_NE, a, b); break;
    default: break;
    }
    value[x] = r;
    ok = r != 0;
  }
  *out = ok ? value[v] : 0;
  free(order);
  free(value);
  return ok;
}
