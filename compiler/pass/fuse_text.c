/* Groups as text: what a kernel computes and stores, and why each neighbour was or was not fused. For `sinter explain`
 * and the golden tests. */
#include "group.h"
#include <string.h>

/* "add (digits.sir:12:5)" */
static void put_node(const Graph *g, Id v, Buf *b) {
  Place p;
  buf_printf(b, "%s", OP_INFO[graph_op(g, v)].text);
  if (!diag_place(g->ctx->diag, graph_at(g, v)->loc, &p)) return;
  const char *base = strrchr(p.path, '/');
  buf_printf(b, " (%s:%d:%d)", base ? base + 1 : p.path, p.line, p.col);
}

static void put_space(const Graph *g, const Group *x, Buf *b) {
  buf_put(b, "[");
  for (int i = 0; i < x->rank; i++)
    buf_printf(b, "%s%s", i ? ", " : "", sym_text(g->ctx->syms, x->space[i], g->ctx->arena));
  buf_put(b, "]");
}

void group_print(const Groups *all, uint32_t number, Buf *b) {
  const Graph *g = all->graph;
  const Group *x = &all->at.at[number];
  buf_printf(b, "  kernel k%u: %s over ", number, group_kind_name(x->kind));
  put_space(g, x, b);
  buf_put(b, "\n    computes ");
  for (uint32_t i = 0; i < x->members.n; i++) {
    buf_put(b, i ? ", " : "");
    put_node(g, x->members.at[i], b);
  }
  buf_put(b, "\n    stores ");
  for (uint32_t i = 0; i < x->outputs.n; i++) {
    buf_printf(b, "%s%s ", i ? ", " : "", graph_type(g, x->outputs.at[i]));
    put_node(g, x->outputs.at[i], b);
  }
  buf_put(b, "\n");
  for (uint32_t i = 0; i < all->notes.n; i++) {
    const FuseNote *n = &all->notes.at[i];
    if (all->of[n->consumer] != (int)number) continue;
    buf_put(b, n->fused ? "    fused with " : "    not fused with ");
    put_node(g, n->producer, b);
    buf_printf(b, n->sibling ? ", a sibling of %s: %s\n" : ", which %s reads: %s\n",
               OP_INFO[graph_op(g, n->consumer)].text, n->why);
  }
}
