/* Calls of an entry: named values in, new values of cells and inouts out. */
#include "eval.h"
#include <inttypes.h>
#include <string.h>

typedef struct Bound { /* the dimensions of a call */
  const Entry *entry;
  int64_t *value;
  bool *known;
} Bound;

static bool lookup(void *ctx, const char *name, int64_t *value) {
  const Bound *b = ctx;
  for (uint32_t i = 0; i < b->entry->dims.n; i++)
    if (!strcmp(b->entry->dims.at[i].name, name)) {
      *value = b->value[i];
      return b->known[i];
    }
  return false;
}

static const char *port_name(const Port *p) { return p->name ? p->name : "the input"; }

static const Tensor *find(const EntryCall *c, const Port *p) {
  for (int i = 0; i < c->ninputs; i++) {
    const char *n = c->inputs[i].name;
    if (n == p->name || (n && p->name && !strcmp(n, p->name))) return &c->inputs[i].value;
  }
  return NULL;
}

static bool refuse_shape(const Program *p, const Port *port, const Tensor *t) {
  Ctx *x = p->ctx;
  Sym dim[MAX_RANK];
  for (int i = 0; i < t->rank && i < MAX_RANK; i++) dim[i] = sym_int(x->syms, t->dim[i]);
  return diag_error(x->diag, "call-shape", port->loc, "`%s` is %s, but the value given is %s", port_name(port),
                    graph_shape_text(x, port->dtype, port->shape, port->rank),
                    graph_shape_text(x, t->dtype, dim, t->rank));
}

static bool bind_given(const Program *p, const Entry *e, const EntryCall *c, Bound *b) {
  for (uint32_t i = 0; i < e->dims.n; i++)
    for (int k = 0; e->dims.at[i].given && k < c->ndims; k++)
      if (!strcmp(c->dims[k].name, e->dims.at[i].name)) {
        b->value[i] = c->dims[k].value;
        b->known[i] = true;
      }
  for (uint32_t i = 0; i < e->dims.n; i++)
    if (e->dims.at[i].given && !b->known[i])
      return diag_error(p->ctx->diag, "call-dimension", e->loc, "`%s` needs a value for its dimension `%s`", e->name,
                        e->dims.at[i].name);
  return true;
}

/* A size that is a bare name gives its value the first time it is met. */
static void bind_shape(const Program *p, const Entry *e, const Port *port, const Tensor *t, Bound *b) {
  for (int i = 0; i < port->rank; i++) {
    const char *name = sym_var_name(p->ctx->syms, port->shape[i]);
    for (uint32_t k = 0; name && k < e->dims.n; k++)
      if (!strcmp(e->dims.at[k].name, name) && !b->known[k]) {
        b->value[k] = t->dim[i];
        b->known[k] = true;
      }
  }
}

static bool check_facts(const Program *p, const Entry *e, Bound *b) {
  for (uint32_t i = 0; i < e->dims.n; i++) {
    const Dim *d = &e->dims.at[i];
    if (!b->known[i])
      return diag_error(p->ctx->diag, "call-dimension", e->loc,
                        "no input of `%s` has the dimension `%s` as a size of its own; say `dim %s`", e->name, d->name,
                        d->name);
    if (b->value[i] < d->lo || b->value[i] > d->hi)
      return diag_error(p->ctx->diag, "call-bound", e->loc,
                        "the dimension `%s` of `%s` is %" PRId64 ", it is to be %" PRId64 " to %" PRId64, d->name,
                        e->name, b->value[i], d->lo, d->hi);
  }
  for (uint32_t i = 0; i < e->checks.n; i++) {
    int64_t ok;
    if (!sym_eval(p->ctx->syms, e->checks.at[i].cond, lookup, b, &ok) || !ok)
      return diag_error(p->ctx->diag, "call-fact", e->checks.at[i].loc, "`%s` does not hold for these dimensions",
                        e->checks.at[i].text);
  }
  return true;
}

static bool fits(const Program *p, const Port *port, const Tensor *t, bool wide, Bound *b) {
  bool type = t->dtype == port->dtype || (wide && t->dtype == DT_F64 && dtype_is_float(port->dtype));
  if (!type || t->rank != port->rank) return refuse_shape(p, port, t);
  for (int i = 0; b && i < port->rank; i++) {
    int64_t n;
    if (!sym_eval(p->ctx->syms, port->shape[i], lookup, b, &n) || n != t->dim[i]) return refuse_shape(p, port, t);
  }
  return true;
}

/* The values of the input ports by the ordinals of their nodes, and the dimensions. */
static bool bind(const Program *p, const Entry *e, const EntryCall *c, Bound *b, Tensor *inputs) {
  if (!bind_given(p, e, c, b)) return false;
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *port = &e->inputs.at[i];
    const Tensor *t = find(c, port);
    if (!t)
      return diag_error(p->ctx->diag, "call-input", port->loc, "`%s` needs a value for `%s`", e->name, port_name(port));
    if (!fits(p, port, t, c->wide, NULL)) return false;
    bind_shape(p, e, port, t, b);
    inputs[graph_attr_int(e->graph, port->node, "ordinal")] = *t;
  }
  for (int k = 0; k < c->ninputs; k++) {
    bool known = false;
    for (uint32_t i = 0; i < e->inputs.n; i++) known |= find(c, &e->inputs.at[i]) == &c->inputs[k].value;
    if (!known)
      return diag_error(p->ctx->diag, "call-input", e->loc, "`%s` has no input `%s`", e->name,
                        c->inputs[k].name ? c->inputs[k].name : "without a name");
  }
  if (!check_facts(p, e, b)) return false;
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (!fits(p, &e->inputs.at[i], find(c, &e->inputs.at[i]), c->wide, b)) return false;
  return true;
}

/* Results in one list: outputs, then inouts that are written, then updates of cells. */
static bool run(const Program *p, const Entry *e, EntryCall *c, Bound *b, const Tensor *inputs, Arena *scratch) {
  uint32_t most = e->outputs.n + e->inputs.n + e->updates.n, n = 0;
  Id *want = ARENA_ARRAY(scratch, Id, most + 1);
  Tensor *got = ARENA_ARRAY(scratch, Tensor, most + 1);
  for (uint32_t i = 0; i < e->outputs.n; i++) want[n++] = e->outputs.at[i].node;
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (e->inputs.at[i].update) want[n++] = e->inputs.at[i].update;
  for (uint32_t i = 0; i < e->updates.n; i++) want[n++] = e->updates.at[i].value;
  Eval eval = {.dims = lookup,
               .dims_ctx = b,
               .inputs = inputs,
               .ninputs = (int)e->graph->input.n,
               .cells = c->cells,
               .ncells = (int)p->cells.n,
               .seed = c->seed,
               .call = c->call,
               .wide = c->wide,
               .stepwise = c->stepwise,
               .arena = c->arena};
  if (!graph_eval(e->graph, &eval, want, (int)n, got)) return false;
  if (eval.fail.node) {
    c->fail = eval.fail;
    return false;
  }
  n = 0;
  for (uint32_t i = 0; i < e->outputs.n; i++) c->outputs[i] = got[n++];
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *port = &e->inputs.at[i];
    const Tensor *value = port->update ? &got[n++] : find(c, port);
    if (c->inouts) c->inouts[i] = port->inout ? *value : (Tensor){0};
  }
  for (uint32_t i = 0; i < e->updates.n; i++) c->cells[e->updates.at[i].cell] = got[n++];
  return true;
}

bool entry_eval(const Program *p, const Entry *e, EntryCall *c) {
  c->fail = (EvalFail){0};
  Arena *scratch = arena_new();
  Bound b = {e, ARENA_ARRAY(scratch, int64_t, e->dims.n + 1), ARENA_ARRAY(scratch, bool, e->dims.n + 1)};
  Tensor *inputs = ARENA_ARRAY(scratch, Tensor, e->graph->input.n + 1);
  bool ok = bind(p, e, c, &b, inputs) && run(p, e, c, &b, inputs, scratch);
  arena_free(scratch);
  return ok;
}

bool cells_start(const Program *p, uint64_t seed, Arena *arena, Tensor *cells) {
  for (uint32_t i = 0; i < p->cells.n; i++) {
    const Cell *c = &p->cells.at[i];
    int64_t dim[MAX_RANK];
    for (int k = 0; k < c->rank; k++)
      if (!sym_is_int(p->ctx->syms, c->shape[k], &dim[k])) BUG("the cell `%s` has a size that is no number", c->name);
    Eval e = {.cells = cells, .ncells = (int)i, .seed = seed, .arena = arena};
    if (c->init) {
      if (!graph_eval(c->init, &e, c->init->output.at, 1, &cells[i])) return false;
      if (e.fail.node)
        return diag_error(p->ctx->diag, "cell-start", e.fail.loc,
                          "the start value of `%s` fails: an index in it is out of range", c->name);
    } else if (c->kind == CELL_PARAM) {
      cells[i] = (Tensor){.dtype = c->dtype, .rank = c->rank};
      memcpy(cells[i].dim, dim, sizeof(int64_t) * (size_t)c->rank);
    } else {
      cells[i] = tensor_new(arena, c->dtype, dim, c->rank);
    }
  }
  return true;
}
