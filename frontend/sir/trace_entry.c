/* Entries, and the whole: a file becomes a Program. */
#include "flat.h"
#include "parse.h"
#include "trace.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs ---- */
static void add_dim(Tracer *t, const char *name, bool given, Frame *fr) {
  Sym var = sym_var(t->syms, name);
  names_set(t, &fr->names, name, value_sym(t, var));
  vec_push(t->arena, &fr->known, name);
  vec_push(t->arena, &t->entry->dims, (Dim){.var = var, .name = name, .given = given});
}

static bool make_input(Tracer *t, const Ast *type, const char *path, bool inout, const char *doc, const Ast *p,
                       Frame *fr, Value *out) {
  uint32_t n = type->nkids;
  if (type->kind == AST_T_RECORD || type->kind == AST_T_TUPLE) {
    Value *at = ARENA_ARRAY(t->arena, Value, n + 1);
    const char **key = ARENA_ARRAY(t->arena, const char *, n + 1);
    bool record = type->kind == AST_T_RECORD;
    for (uint32_t i = 0; i < n; i++) {
      const Ast *k = type->kids[i];
      key[i] = k->text;
      const char *step = record ? trace_printf(t, "%s.%s", path, k->text) : trace_printf(t, "%s.%u", path, i);
      if (!make_input(t, record ? k->kids[0] : k, step, inout, record ? k->doc : NULL, p, fr, &at[i])) return false;
    }
    *out = record ? value_record(key, at, n) : value_tuple(at, n);
    return true;
  }
  if (type->kind == AST_T_LIST) {
    Value length;
    if (!trace_ev(t, type->kids[1], fr, &length)) return false;
    if (length.kind != VAL_INT || length.u.i < 0 || length.u.i > 4096)
      return trace_fault(t, "sir-entry-list", "a list among the inputs has 0 to 4096 elements, this has %s",
                         value_text(t, length));
    Value *at = ARENA_ARRAY(t->arena, Value, length.u.i + 1);
    for (int64_t i = 0; i < length.u.i; i++)
      if (!make_input(t, type->kids[0], trace_printf(t, "%s.%lld", path, (long long)i), inout, NULL, p, fr, &at[i]))
        return false;
    *out = value_list(at, (uint32_t)length.u.i);
    return true;
  }
  bool open = type->kind != AST_T_TENSOR;
  for (uint32_t i = 0; !open && i < n; i++) open = type->kids[i]->kind == AST_REST || type->kids[i]->kind == AST_ANY;
  if (open) return trace_fault(t, "sir-entry-type", "`%s` is a tensor of known rank, like f32[B, 64]", path);
  for (uint32_t i = 0; i < n; i++) {
    const Ast *d = type->kids[i];
    if (d->kind == AST_NAME && isupper((unsigned char)d->text[0]) && !names_get(&fr->names, d->text))
      add_dim(t, d->text, false, fr);
  }
  DType dt;
  Sym shape[MAX_RANK];
  int rank;
  if (!trace_tensor_type(t, type, fr, &dt, shape, &rank)) return false;
  t->loc = t->g->loc = p->loc;
  Id v = g_input(t->g, dt, shape, rank);
  if (!v) return false;
  Port port = {.name = path, .dtype = dt, .rank = rank, .inout = inout, .node = v, .doc = doc, .loc = p->loc};
  memcpy(port.shape, shape, sizeof *shape * (size_t)rank);
  vec_push(t->arena, &t->entry->inputs, port);
  *out = value_node(t->g, v);
  if (inout) {
    TCell *c = ARENA_NEW(t->arena, TCell);
    *c = (TCell){.kind = TCELL_INOUT,
                 .dtype = dt,
                 .rank = rank,
                 .name = path,
                 .input = v,
                 .slot = -1,
                 .index = -1,
                 .loc = p->loc};
    memcpy(c->shape, shape, sizeof *shape * (size_t)rank);
    *out = value_ref(c, true);
  }
  return true;
}

/* Upper-case names of a `where` that nothing declares are dimensions. */
static void where_dims(Tracer *t, const Ast *n, Frame *fr) {
  if (n->kind == AST_NAME && isupper((unsigned char)n->text[0]) && !names_get(&fr->names, n->text) &&
      !names_get(&fr->me->fields, n->text) && !trace_decl(fr->file, n->text))
    add_dim(t, n->text, false, fr);
  for (uint32_t i = 0; i < n->nkids; i++)
    if (n->kids[i]) where_dims(t, n->kids[i], fr);
}

/* Dimensions in the order in which the parameters name them, though `where` came first. */
static void order_dims(const Ast *n, Entry *e, uint32_t *placed) {
  for (uint32_t i = *placed; n->text && i < e->dims.n; i++)
    if (e->dims.at[i].name == n->text && (n->kind == AST_ARG_DIM || n->kind == AST_NAME)) {
      Dim d = e->dims.at[i];
      memmove(&e->dims.at[*placed + 1], &e->dims.at[*placed], sizeof d * (i - *placed));
      e->dims.at[(*placed)++] = d;
    }
  for (uint32_t i = 0; i < n->nkids; i++)
    if (n->kids[i]) order_dims(n->kids[i], e, placed);
}

static bool signature_in(Tracer *t, const Ast *n, Frame *fr) {
  const Ast *params = n->kids[0], *where = n->kids[2];
  for (uint32_t i = 0; i < params->nkids; i++)
    if (params->kids[i]->kind == AST_ARG_DIM) add_dim(t, params->kids[i]->text, true, fr);
  for (uint32_t i = 0; where && i < where->nkids; i++) { /* facts first: shapes may need them */
    where_dims(t, where->kids[i], fr);
    if (!trace_assert(t, where->kids[i], NULL, fr)) return false;
  }
  for (uint32_t i = 0; i < params->nkids; i++) {
    const Ast *p = params->kids[i];
    Value x;
    if (p->kind == AST_ARG_DIM) continue;
    if (names_get(&fr->names, p->text))
      return trace_fault_at(t, p, fr, "sir-entry-name", "`%s` is a dimension already", p->text);
    t->node = p;
    if (!p->kids[0])
      return trace_fault(t, "sir-entry-type", "`%s` is a tensor of known rank, like f32[B, 64]", p->text);
    if (!make_input(t, p->kids[0], p->text, p->kind == AST_ARG_INOUT, p->doc, p, fr, &x)) return false;
    names_set(t, &fr->names, p->text, x);
    vec_push(t->arena, &fr->known, p->text);
  }
  t->node = n;
  Entry *e = t->entry;
  uint32_t placed = 0;
  order_dims(params, e, &placed);
  for (uint32_t i = 0; i < e->dims.n; i++) {
    Dim *d = &e->dims.at[i];
    bool found = d->given;
    for (uint32_t k = 0; !found && k < e->inputs.n; k++)
      for (int a = 0; a < e->inputs.at[k].rank; a++) found |= e->inputs.at[k].shape[a] == d->var;
    if (!found)
      return trace_fault(t, "sir-dim-unsolved",
                         "the dimension %s is no axis of an input by itself; declare it, `dim %s`", d->name, d->name);
  }
  return true;
}

/* ---- outputs ---- */
static bool read_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  (void)ctx, (void)n;
  return trace_now(t, *leaf, out);
}

static bool add_output(Tracer *t, Value x, const Ast *type, const char *path, const char *doc) {
  if (value_is_tree(x)) {
    for (uint32_t i = 0; i < x.n; i++) {
      const char *step = x.kind == VAL_RECORD ? x.x.key[i] : trace_printf(t, "%u", i);
      const Ast *k = NULL;
      const char *d = NULL;
      if (type && type->kind == AST_T_RECORD && x.kind == VAL_RECORD) {
        k = type->kids[i]->kids[0];
        d = type->kids[i]->doc;
      } else if (type && type->kind == AST_T_TUPLE) {
        k = type->kids[i];
      } else if (type && type->kind == AST_T_LIST) {
        k = type->kids[0];
      }
      if (!add_output(t, x.u.at[i], k, path ? trace_printf(t, "%s.%s", path, step) : step, d)) return false;
    }
    return true;
  }
  Id v;
  if (!trace_tensor(t, x, DT_NONE, &v)) return false;
  Port p = {.name = path,
            .dtype = graph_dtype(t->g, v),
            .rank = graph_rank(t->g, v),
            .node = v,
            .doc = doc,
            .loc = graph_at(t->g, v)->loc};
  for (int i = 0; i < p.rank; i++) p.shape[i] = graph_shape(t->g, v)[i];
  vec_push(t->arena, &t->entry->outputs, p);
  return true;
}

static bool results(Tracer *t, const Ast *n, Value out, Frame *fr) {
  const Ast *ret = n->kids[1];
  if (!ret) {
    if (out.kind == VAL_NONE || (value_is_tree(out) && out.n == 0)) return true;
    return trace_fault(t, "sir-entry-value", "%s gives a value but has no `->`", n->text);
  }
  t->node = ret;
  if (out.kind == VAL_NONE)
    return trace_fault(t, "sir-no-value", "%s gives no value: its body does not end in one", n->text);
  if (ret->kind == AST_T_NAME)
    return trace_fault(t, "sir-entry-result",
                       "an entry gives tensors and trees of them, with types like f32[B, 10] or {loss: f32[]}");
  bool ok = tree_map(t, read_leaf, NULL, &out, 1, &out) &&
            trace_check(t, ret, out, fr, trace_printf(t, "the value of %s", n->text), false, &out) &&
            add_output(t, out, ret, NULL, NULL);
  t->node = n;
  return ok;
}

static void updates(Tracer *t, Scope *s) {
  Entry *e = t->entry;
  for (uint32_t i = 0; i < s->cells.n; i++) {
    CellNow *c = &s->cells.at[i];
    if (!c->value) continue;
    if (c->cell->kind != TCELL_INOUT) vec_push(t->arena, &e->updates, (Update){c->cell->slot, c->value, c->loc});
    for (uint32_t k = 0; k < e->inputs.n; k++)
      if (c->cell->kind == TCELL_INOUT && e->inputs.at[k].node == c->cell->input) e->inputs.at[k].update = c->value;
  }
}

/* Once an entry is traced no gradient is taken any more: leaf and stop_gradient have done their work. */
static Id without_marks(void *ctx, const Graph *from, Id v, Graph *to, const Id *map) {
  Op op = graph_op(from, v);
  const Id *in = graph_in(from, v);
  if (op == OP_LEAF || op == OP_STOP_GRADIENT) return map[in[0]];
  if (op != OP_COMPOSITE && op != OP_CALL) return 0;
  const Graph *old = graph_body(from, v);
  Graph *body = graph_new(from->ctx, to);
  int n = (int)graph_at(from, v)->nin;
  Id *inner = mem_alloc(sizeof *inner * old->node.n), *args = mem_alloc(sizeof *args * (size_t)(n + 1)), made = 0;
  body->facts = to->facts;
  for (int i = 0; i < n; i++) args[i] = map[in[i]];
  if (graph_rebuild(old, body, without_marks, ctx, inner))
    made = g_body(to, op, op == OP_COMPOSITE ? graph_attr_str(from, v, "name") : NULL, body, args, n);
  free(inner);
  free(args);
  return made;
}

bool trace_entry(Tracer *t, const Ast *n, SourceFile *f, Entry *out) {
  *out = (Entry){.name = n->text, .doc = n->doc, .loc = n->loc};
  Graph *g = graph_new(t->ctx, NULL);
  SymFacts *rootfacts = t->facts;
  out->graph = g;
  out->facts = t->facts = sym_facts_new(t->arena, t->syms);
  g->facts = out->facts;
  Scope *s = trace_scope_new(t, g, NULL);
  Frame *fr = trace_frame(t, f, f->instance, n->text);
  const Ast *mode = n->kids[3];
  fr->node = n;
  t->entry = out;
  t->training = !mode ? -1 : strcmp(mode->text, "train") == 0;
  t->asked = NULL;
  t->node = n;
  t->frame = fr;
  t->loc = n->loc;
  out->training = t->training == 1;
  trace_enter(t, s);
  Value x;
  bool ok = signature_in(t, n, fr) && trace_run(t, n->kids[4], fr, &x) && results(t, n, x, fr);
  if (ok) {
    updates(t, s);
    for (uint32_t i = 0; i < out->dims.n; i++)
      sym_range(out->facts, out->dims.at[i].var, &out->dims.at[i].lo, &out->dims.at[i].hi);
    entry_roots(out); /* a graph of what is needed: tracing leaves much behind */
    Graph *clean = graph_new(t->ctx, NULL);
    clean->facts = out->facts;
    Id *map = mem_alloc(sizeof *map * g->node.n);
    ok = graph_rebuild(g, clean, without_marks, NULL, map);
    if (ok) entry_replace(out, clean, map);
    free(map);
  }
  t->training = -1;
  t->entry = NULL;
  t->facts = rootfacts;
  trace_enter(t, t->rootscope);
  return ok;
}

/* ---- programs ---- */
static bool check_defines(Tracer *t, SourceFile *f) {
  NameList have = {0};
  for (uint32_t i = 0; i < f->ast.body->nkids; i++)
    if (f->ast.body->kids[i]->kind == AST_CONST) vec_push(t->arena, &have, f->ast.body->kids[i]->text);
  for (int i = 0; t->options && i < t->options->ndefines; i++) {
    const char *name = t->options->defines[i].name;
    if (!namelist_has(&have, trace_intern(t, name)))
      return diag_error(t->diag, "sir-define", 0, "-D %s: %s has no `const %s`%s", name, f->instance->name, name,
                        trace_near(t, name, &have));
  }
  return true;
}

/* Names the params below a file's instance that have none yet, and gives them a cell of the program. */
bool trace_name_cells(Tracer *t, SourceFile *f) {
  Walk w = {0};
  Program *out = t->program;
  t->named = value_walk_from(t, value_instance(f->instance), f->alias ? f->alias : "", t->named, &w);
  for (uint32_t i = 0; i < w.n; i++) {
    TCell *c = w.at[i].cell;
    c->name = trace_intern(t, w.at[i].path);
    if (!c->name[0])
      return diag_error(t->diag, "sir-empty-name", c->loc,
                        "this param has an empty name: `as \"\"` left out every step");
    for (uint32_t k = 0; k < out->cells.n; k++)
      if (out->cells.at[k].name == c->name)
        return diag_error(t->diag, "sir-same-name", c->loc, "two params are called `%s`", c->name);
    c->slot = (int)out->cells.n;
    Cell cell = {.name = c->name,
                 .kind = (CellKind)c->kind,
                 .dtype = c->dtype,
                 .rank = c->rank,
                 .frozen = c->frozen,
                 .doc = c->doc,
                 .loc = c->loc};
    memcpy(cell.shape, c->shape, sizeof cell.shape);
    vec_push(t->arena, &out->cells, cell);
  }
  return true;
}

static bool trace_program(Tracer *t, SourceFile *root, Program *out) {
  if (!check_defines(t, root) || !trace_file_body(t, root) || !trace_name_cells(t, root)) return false;
  for (uint32_t i = 0; i < t->files.n; i++)
    if (!t->files.at[i]->library && t->files.at[i] != root && !trace_name_cells(t, t->files.at[i])) return false;
  bool ok = true;
  const Ast *b = root->ast.body;
  for (uint32_t i = 0; i < b->nkids && diag_errors(t->diag) < 10; i++) {
    Entry e;
    if (b->kids[i]->kind != AST_ENTRY) continue;
    bool good = trace_entry(t, b->kids[i], root, &e);
    t->chain.n = 0;
    ok &= good;
    if (good) vec_push(t->arena, &out->entries, e);
  }
  if (!ok) return false;
  Graph **init = ARENA_ARRAY(t->arena, Graph *, t->cells.n + 1);
  if (!trace_init_graphs(t, init)) return false;
  for (uint32_t i = 0; i < t->cells.n; i++)
    if (t->cells.at[i]->slot >= 0) {
      out->cells.at[t->cells.at[i]->slot].init = init[i];
      out->cells.at[t->cells.at[i]->slot].frozen = t->cells.at[i]->frozen;
    }
  return program_verify(out);
}

static const char *program_name(Ctx *c, const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  return str_intern_n(c->names, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

bool sir_trace_text(Ctx *c, const char *path, const char *text, size_t n, const SirOptions *options, Program *out) {
  Tracer *t = ARENA_NEW(c->arena, Tracer);
  *t = (Tracer){.ctx = c,
                .arena = c->arena,
                .syms = c->syms,
                .diag = c->diag,
                .options = options,
                .program = out,
                .training = -1};
  *out = (Program){.ctx = c, .name = program_name(c, path)};
  t->facts = t->rootfacts = sym_facts_new(t->arena, t->syms);
  Graph *g = graph_new(c, NULL);
  g->facts = t->rootfacts;
  t->rootscope = trace_scope_new(t, g, NULL);
  t->rootscope->root = true;
  trace_enter(t, t->rootscope);
  SourceFile *root = trace_load(t, path, text, n, false);
  if (!root) return false;
  if (flat_is(&root->ast)) return flat_read(c, &root->ast, out);
  root->root = true;
  char *real = realpath(path, NULL);
  root->id = real ? trace_intern(t, real) : NULL;
  free(real);
  t->core = trace_library(t, "core");
  if (!t->core) BUG("the library has no core");
  return trace_program(t, root, out);
}

bool sir_trace(Ctx *c, const char *path, const SirOptions *options, Program *out) {
  size_t n;
  const char *why;
  char *text = file_read(c->arena, path, &n, &why);
  if (!text) return diag_error(c->diag, "sir-no-file", 0, "%s", why);
  return sir_trace_text(c, path, text, n, options, out);
}
