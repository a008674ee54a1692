#include "graph.h"
#include "infer.h"
#include <string.h>

/* What fails here is a mistake of ours, but it is said as an error so that the driver can name the pass. */
static bool broken(const Graph *g, Id v, const char *what) {
  return diag_error(g->ctx->diag, "verify", v ? graph_at(g, v)->loc : g->loc, "the graph is broken at node %u (%s): %s",
                    v, v ? OP_INFO[graph_op(g, v)].text : "none", what);
}

static bool same_key(const Graph *g, const Node *x, const Node *y) {
  return x->op == y->op && x->copy == y->copy && x->nin == y->nin && x->nword == y->nword &&
         !memcmp(g->edge.at + x->in, g->edge.at + y->in, x->nin * sizeof(Id)) &&
         !memcmp(g->word.at + x->attr, g->word.at + y->attr, x->nword * sizeof(int64_t));
}

static bool verify_node(const Graph *g, Id v) {
  const Node *x = graph_at(g, v);
  if (x->op == OP_NONE || x->op >= OP_COUNT || !INFER[x->op]) return broken(g, v, "it is no op of the graph");
  if (OP_INFO[x->op].arity >= 0 && (int)x->nin != OP_INFO[x->op].arity) return broken(g, v, "its number of operands");
  for (uint32_t i = 0; i < x->nin; i++) {
    Id a = graph_in(g, v)[i];
    if (!a || a >= v) return broken(g, v, "an operand does not come before it");
    if (graph_dtype(g, a) == DT_NONE && x->op != OP_GET) return broken(g, v, "an operand has several results");
  }
  Infer f = {.g = (Graph *)g, .op = (Op)x->op, .in = graph_in(g, v), .nin = (int)x->nin};
  const int64_t *w = g->word.at + x->attr, *end = w + x->nword;
  const char *name;
  int len;
  char kind;
  for (int k = 0; op_attr(x->op, k, &name, &len, &kind); k++) {
    if (w >= end || w[0] < 0 || w[0] > end - w - 1) return broken(g, v, "its attributes");
    f.attr[k] = w + 1;
    f.nattr[k] = (int)w[0];
    w += 1 + w[0];
  }
  if (w != end) return broken(g, v, "its attributes");
  Loc loc = g->loc;
  ((Graph *)g)->loc = x->loc;
  bool ok = INFER[x->op](&f);
  ((Graph *)g)->loc = loc;
  if (!ok) return broken(g, v, "its shape rule refuses it");
  bool same = f.dtype == x->dtype && f.rank == x->rank;
  for (int i = 0; same && i < f.rank; i++) same = graph_same_size(g, f.shape[i], graph_shape(g, v)[i]);
  if (!same) return broken(g, v, "its type is not what its shape rule gives");
  if (!(OP_INFO[x->op].flags & OPF_UNIQUE))
    for (Id y = x->next; y; y = graph_at(g, y)->next)
      if (same_key(g, x, graph_at(g, y))) return broken(g, v, "an equal node exists");
  return true;
}

static bool verify(const Graph *g, bool body, int depth) {
  if (depth > 200) return broken(g, 0, "bodies in bodies without end");
  for (uint32_t i = 0; i < g->input.n; i++) {
    Id v = g->input.at[i];
    if (!v || v >= g->node.n || graph_op(g, v) != OP_INPUT || graph_attr_int(g, v, "ordinal") != i)
      return broken(g, 0, "an input is not the INPUT node of its number");
  }
  for (uint32_t i = 0; i < g->output.n; i++)
    if (!g->output.at[i] || g->output.at[i] >= g->node.n || graph_dtype(g, g->output.at[i]) == DT_NONE)
      return broken(g, 0, "an output is no value");
  for (Id v = 1; v < g->node.n; v++) {
    if (!verify_node(g, v)) return false;
    if (graph_op(g, v) == OP_INPUT &&
        (graph_attr_int(g, v, "ordinal") >= g->input.n || g->input.at[graph_attr_int(g, v, "ordinal")] != v))
      return broken(g, v, "it is not listed as an input");
    if (body && graph_op(g, v) == OP_CELL) return broken(g, v, "a body reads a cell; it is to be an operand");
    if ((graph_op(g, v) == OP_COMPOSITE || graph_op(g, v) == OP_CALL) && !verify(graph_body(g, v), true, depth + 1))
      return false;
  }
  return true;
}

bool graph_verify(const Graph *g) { return verify(g, false, 0); }

static bool has_type(const Graph *g, Id v, DType d, const Sym *shape, int rank) {
  if (!v || v >= g->node.n || graph_dtype(g, v) != d || graph_rank(g, v) != rank) return false;
  for (int i = 0; i < rank; i++)
    if (!graph_same_size(g, graph_shape(g, v)[i], shape[i])) return false;
  return true;
}

static bool broken_program(const Program *p, Loc loc, const char *what, const char *name) {
  return diag_error(p->ctx->diag, "verify", loc, "the program is broken at %s: %s", name ? name : "a result", what);
}

static bool verify_entry(const Program *p, const Entry *e) {
  const Graph *g = e->graph;
  if (!graph_verify(g)) return false;
  if (g->facts != e->facts) return broken_program(p, e->loc, "the facts of its graph are not its own", e->name);
  if (g->input.n != e->inputs.n) return broken_program(p, e->loc, "the number of its inputs", e->name);
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *x = &e->inputs.at[i];
    if (x->node != g->input.at[i] || !has_type(g, x->node, x->dtype, x->shape, x->rank))
      return broken_program(p, x->loc, "an input's node", x->name);
    if (x->update && (!x->inout || !has_type(g, x->update, x->dtype, x->shape, x->rank)))
      return broken_program(p, x->loc, "an inout's update", x->name);
    for (uint32_t k = 0; k < i; k++)
      if (!strcmp(e->inputs.at[k].name, x->name)) return broken_program(p, x->loc, "two inputs of this name", x->name);
  }
  for (uint32_t i = 0; i < e->outputs.n; i++) {
    const Port *x = &e->outputs.at[i];
    if (!has_type(g, x->node, x->dtype, x->shape, x->rank))
      return broken_program(p, x->loc, "an output's node", x->name);
  }
  for (uint32_t i = 0; i < e->updates.n; i++) {
    const Update *u = &e->updates.at[i];
    if (u->cell < 0 || u->cell >= (int)p->cells.n) return broken_program(p, u->loc, "an update of no cell", e->name);
    const Cell *c = &p->cells.at[u->cell];
    if (!has_type(g, u->value, c->dtype, c->shape, c->rank))
      return broken_program(p, u->loc, "an update's type", c->name);
    for (uint32_t k = 0; k < i; k++)
      if (e->updates.at[k].cell == u->cell) return broken_program(p, u->loc, "a cell is updated twice", c->name);
  }
  for (Id v = 1; v < g->node.n; v++) {
    if (graph_op(g, v) != OP_CELL) continue;
    int64_t k = graph_attr_int(g, v, "cell");
    if (k < 0 || k >= p->cells.n || !has_type(g, v, p->cells.at[k].dtype, p->cells.at[k].shape, p->cells.at[k].rank))
      return broken(g, v, "it is not of its cell's type");
  }
  return true;
}

bool program_verify(const Program *p) {
  for (uint32_t i = 0; i < p->cells.n; i++) {
    const Cell *c = &p->cells.at[i];
    for (uint32_t k = 0; k < i; k++)
      if (!strcmp(p->cells.at[k].name, c->name)) return broken_program(p, c->loc, "two cells of this name", c->name);
    for (int k = 0; k < c->rank; k++)
      if (!sym_is_int(p->ctx->syms, c->shape[k], NULL))
        return broken_program(p, c->loc, "its shape is not constant", c->name);
    if (!c->init) continue;
    if (!graph_verify(c->init)) return false;
    if (c->init->input.n || c->init->output.n != 1 ||
        !has_type(c->init, c->init->output.at[0], c->dtype, c->shape, c->rank))
      return broken_program(p, c->loc, "its start value", c->name);
  }
  for (uint32_t i = 0; i < p->entries.n; i++)
    if (!verify_entry(p, &p->entries.at[i])) return false;
  return true;
}
