#include "autodiff.h"
#include "library.h"
#include <stdlib.h>

static bool leaf_of(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  Id v;
  (void)ctx;
  (void)n;
  TRY(trace_tensor(t, *leaf, DT_NONE, &v));
  return trace_node(t, trace_leaf(t, v), out);
}

bool lib_leaf(Tracer *t, const BuiltinArgs *a, Value *out) { return tree_map(t, leaf_of, NULL, &a->at[0], 1, out); }

/* ---- grad ---- */
typedef struct Wanted { /* what grad is taken by: the leaves of a form */
  Value form;
  Values refs;
  Id *node;
  int n;
} Wanted;

static int line_of(Tracer *t, Loc loc) {
  Place p;
  return diag_place(t->diag, loc, &p) ? p.line : 0;
}

/* ys as scalars of a float dtype. */
static bool read_ys(Tracer *t, Value y, Id **out, int *n) {
  bool list = y.kind == VAL_LIST || y.kind == VAL_TUPLE;
  *n = list ? (int)y.n : 1;
  *out = ARENA_ARRAY(t->arena, Id, *n + 1);
  for (int i = 0; i < *n; i++) {
    TRY(trace_tensor(t, list ? y.u.at[i] : y, DT_NONE, &(*out)[i]));
    Id v = (*out)[i];
    if (graph_rank(t->g, v) || !dtype_is_float(graph_dtype(t->g, v)))
      return trace_fault(t, "sir-grad-scalar", "grad of %s: it takes a scalar float%s", graph_type(t->g, v),
                         graph_rank(t->g, v) ? "; take the mean or the sum" : "");
  }
  if (!*n) return trace_fault(t, "sir-grad-scalar", "grad of an empty list");
  return true;
}

static bool read_wanted(Tracer *t, Value wrt, Wanted *w) {
  w->form = lib_form(t, wrt);
  tree_flatten(t, w->form, &w->refs);
  w->n = (int)w->refs.n;
  w->node = ARENA_ARRAY(t->arena, Id, w->n + 1);
  if (!w->n)
    return trace_fault(t, "sir-grad-nothing", "grad with respect to nothing: %s",
                       value_contains_module(wrt) ? "the module has no params that train" : "the tree has no leaves");
  for (int i = 0; i < w->n; i++) {
    Value x = w->refs.at[i];
    if (x.kind != VAL_TENSOR && x.kind != VAL_REF)
      return trace_fault(t, "sir-grad-wrt", "grad with respect to %s; it takes tensors", value_describe(t, x));
    TRY(trace_tensor(t, x, DT_NONE, &w->node[i]));
    Id v = w->node[i];
    Op op = graph_op(t->g, v);
    if (!dtype_is_float(graph_dtype(t->g, v)))
      return trace_fault(t, "sir-grad-wrt", "grad with respect to %s; it takes floats", graph_type(t->g, v));
    if (op != OP_INPUT && op != OP_CELL && op != OP_LEAF && x.kind != VAL_REF)
      return trace_fault(t, "sir-grad-value",
                         "grad is with respect to an input, a param, a state, an argument of the region or `leaf(t)`; "
                         "this is a value computed from others");
  }
  return true;
}

/* Whether ys depend on an earlier value of a wanted cell, which was updated since: then the sentence is said. */
static bool updated(Tracer *t, const bool *reached, Id y, Value ref, Id node) {
  const Scope *s = t->scope;
  for (uint32_t i = 0; i < s->cells.n; i++) {
    const CellNow *c = &s->cells.at[i];
    if (ref.kind == VAL_REF ? c->cell != ref.u.cell : c->now != node) continue;
    for (uint32_t k = 0; k < c->past.n; k++)
      if (reached[c->past.at[k].first]) {
        const char *name = c->cell->name ? trace_printf(t, "`%s`", c->cell->name) : "the param";
        (void)trace_fault(
            t, "sir-grad-updated",
            "%s was updated on line %d, after this value was computed on line %d; take the gradient before the update",
            name, line_of(t, c->past.at[k].loc), line_of(t, graph_at(t->g, y)->loc));
        return true;
      }
  }
  return false;
}

/* ": weight, bias, ...": of whom to say that nothing depends on them. */
static const char *names_of(Tracer *t, Value form) {
  if (form.kind != VAL_RECORD) return "";
  const char *s = trace_printf(t, ": %s", form.x.key[0]);
  for (uint32_t i = 1; i < form.n && i < 3; i++) s = trace_printf(t, "%s, %s", s, form.x.key[i]);
  return form.n > 3 ? trace_printf(t, "%s, ...", s) : s;
}

static bool gradient(Tracer *t, const Id *ys, int ny, const Wanted *w, Value *out) {
  Id *g = ARENA_ARRAY(t->arena, Id, w->n + 1);
  int nothing = 0;
  if (t->asked)
    return trace_fault(t, "sir-grad-training",
                       "a gradient, but %s asked `training` outside train and eval: mark the entry `train`", t->asked);
  bool *reached = ARENA_ARRAY(t->arena, bool, t->g->node.n);
  Id *order = ARENA_ARRAY(t->arena, Id, t->g->node.n);
  int n = graph_reach(t->g, ys, ny, order); /* a path through a comparison counts too: its gradient is zero */
  for (int i = 0; i < n; i++) reached[order[i]] = true;
  for (int i = 0; i < w->n; i++)
    if (!reached[w->node[i]]) {
      nothing++;
      if (updated(t, reached, ys[0], w->refs.at[i], w->node[i])) return false;
    }
  if (nothing == w->n)
    return trace_fault(t, "sir-grad-independent", "the value depends on none of these%s", names_of(t, w->form));
  if (nothing)
    trace_warn(t, "sir-grad-zero",
               "the value does not depend on %d of %d that its gradient is taken by: they get zeros", nothing, w->n);
  if (!graph_grad(t->g, ys, NULL, ny, w->node, w->n, g)) return false;
  Value *at = ARENA_ARRAY(t->arena, Value, w->n + 1);
  for (int i = 0; i < w->n; i++) {
    Sym shape[MAX_RANK];
    int rank = lib_dims(t, w->node[i], shape);
    TRY(trace_node(t, g[i] ? g[i] : g_full(t->g, graph_dtype(t->g, w->node[i]), 0, shape, rank), &at[i]));
  }
  *out = tree_refill(t, w->form, at);
  return true;
}

bool lib_grad(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value y = a->at[0], wrt = a->at[1];
  Wanted w = {0};
  if (value_callable(y)) { /* grad(fn(w) { .. }, at): the function at leaves of its own */
    Value start = lib_form(t, wrt), leaves, given;
    TRY(tree_map(t, leaf_of, NULL, &start, 1, &leaves));
    given = leaves;
    if (value_is_module(wrt)) TRY(lib_bind_values(t, wrt, leaves, DT_NONE, &given));
    if (value_is_module(wrt)) /* bind made leaves again: those are what the function sees */
      leaves = lib_form(t, given);
    const Ast *caller = t->caller;
    Frame *frame = t->caller_frame;
    TRY(trace_call(t, y, &given, 1, NULL, 0, &y));
    TRY(trace_now(t, y, &y));
    t->caller = caller;
    t->caller_frame = frame;
    wrt = leaves;
  }
  Id *ys;
  int ny;
  TRY(read_ys(t, y, &ys, &ny));
  TRY(read_wanted(t, wrt, &w));
  return gradient(t, ys, ny, &w, out);
}
