#include "pass.h"
#include <stdlib.h>
#include <string.h>

static Graph *map_graph(const Graph *g, GraphPass *pass, void *ctx, Id *map) {
  Graph *to = graph_new(g->ctx, NULL);
  to->facts = g->facts;
  return pass(ctx, g, to, map) ? to : NULL;
}

bool entry_map(Entry *e, GraphPass *pass, void *ctx) {
  entry_roots(e);
  Id *map = mem_alloc(e->graph->node.n * sizeof(Id));
  Graph *to = map_graph(e->graph, pass, ctx, map);
  if (to) entry_replace(e, to, map);
  free(map);
  return to != NULL;
}

bool program_map(Program *p, GraphPass *pass, void *ctx) {
  for (uint32_t i = 0; i < p->cells.n; i++) {
    Cell *c = &p->cells.at[i];
    if (!c->init) continue;
    Id *map = mem_alloc(c->init->node.n * sizeof(Id));
    Graph *to = map_graph(c->init, pass, ctx, map);
    free(map);
    if (!to) return false;
    c->init = to;
  }
  for (uint32_t i = 0; i < p->entries.n; i++)
    if (!entry_map(&p->entries.at[i], pass, ctx)) return false;
  return true;
}

/* ---- inlining ------------------------------------------------------------------------------------------------------
 */

typedef struct Inliner {
  bool composites, failed;
  int depth;
  Id *first; /* by node of `from`: where the results of an inlined node start in `result`, plus one */
  Vec(Id) result;
} Inliner;

static bool inline_graph(const Graph *from, Graph *to, Id *map, bool composites, int depth);

static Id inline_node(void *ctx, const Graph *from, Id v, Graph *to, const Id *map) {
  Inliner *s = ctx;
  Op op = graph_op(from, v);
  Arena *arena = to->ctx->arena;
  if (op == OP_GET && s->first[graph_in(from, v)[0]])
    return s->result.at[s->first[graph_in(from, v)[0]] - 1 + (uint32_t)graph_attr_int(from, v, "index")];
  if (op != OP_COMPOSITE && op != OP_CALL) return 0;
  Graph *body = graph_new(to->ctx, to);
  Id *inner = mem_alloc(graph_body(from, v)->node.n * sizeof(Id));
  bool ok = inline_graph(graph_body(from, v), body, inner, s->composites, s->depth + 1);
  free(inner);
  if (!ok) {
    s->failed = true;
    return 0;
  }
  uint32_t nin = graph_at(from, v)->nin, nout = body->output.n;
  Id *in = ARENA_ARRAY(arena, Id, nin + 1), *out = ARENA_ARRAY(arena, Id, nout);
  for (uint32_t i = 0; i < nin; i++) in[i] = map[graph_in(from, v)[i]];
  if (op == OP_COMPOSITE && !s->composites) return g_body(to, op, graph_attr_str(from, v, "name"), body, in, (int)nin);
  if (!graph_inline(to, body, in, out)) return 0;
  s->first[v] = s->result.n + 1;
  for (uint32_t i = 0; i < nout; i++) vec_push(arena, &s->result, out[i]);
  return out[0]; /* of a node with several results only its gets are read */
}

static bool inline_graph(const Graph *from, Graph *to, Id *map, bool composites, int depth) {
  if (depth > 200)
    return diag_error(from->ctx->diag, "body-depth", from->loc, "functions call each other more than 200 deep");
  Inliner s = {.composites = composites, .depth = depth, .first = mem_alloc(from->node.n * sizeof(Id))};
  bool ok = graph_rebuild(from, to, inline_node, &s, map) && !s.failed;
  free(s.first);
  return ok;
}

bool pass_inline_calls(void *ctx, const Graph *from, Graph *to, Id *map) {
  (void)ctx;
  return inline_graph(from, to, map, false, 0);
}

bool pass_inline_all(void *ctx, const Graph *from, Graph *to, Id *map) {
  (void)ctx;
  return inline_graph(from, to, map, true, 0);
}
