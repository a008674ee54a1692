/* The tracer's frame: mistakes and their places, files, declarations, modules, names. */
#include "parse.h"
#include "trace.h"
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text and mistakes ---- */
const char *trace_intern(Tracer *t, const char *s) { return str_intern(t->ctx->names, s); }

char *trace_printf(Tracer *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *s = arena_vprintf(t->arena, fmt, ap);
  va_end(ap);
  return s;
}

const char *trace_near(Tracer *t, const char *word, const NameList *have) {
  const char *near = str_nearest(word, have->at, have->n);
  return near ? trace_printf(t, "; did you mean `%s`?", near) : "";
}

/* At n; inside the library at the call that led there, with the function's name. */
static bool fault(Tracer *t, const Ast *n, Frame *fr, const char *id, const char *text) {
  int links = (int)t->chain.n;
  const char *label = NULL;
  if (links && t->chain.at[links - 1].call == n) /* a wrong call: not yet in it */
    links--;
  while (fr && fr->file->library) {
    bool user = false;
    for (int i = 0; i < links; i++) user |= !t->chain.at[i].frame->file->library;
    if (!user) break;
    ChainLink *c = &t->chain.at[--links];
    label = c->label;
    n = c->call;
    fr = c->frame;
  }
  Loc loc = n ? n->place ? n->place : n->loc : 0;
  if (label)
    diag_error(t->diag, id, loc, "in %s: %s", label, text);
  else
    diag_error(t->diag, id, loc, "%s", text);
  for (int i = links - 1, shown = 0; i >= 0; i--, shown++) {
    if (links > 8 && shown == 3) {
      diag_note(t->diag, 0, "... %d more calls", links - 6);
      i = 2;
    }
    diag_note(t->diag, t->chain.at[i].call->loc, "in %s, called here", t->chain.at[i].label);
  }
  return false;
}

bool trace_fault(Tracer *t, const char *id, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *s = arena_vprintf(t->arena, fmt, ap);
  va_end(ap);
  return fault(t, t->node, t->frame, id, s);
}

bool trace_fault_at(Tracer *t, const Ast *n, Frame *fr, const char *id, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *s = arena_vprintf(t->arena, fmt, ap);
  va_end(ap);
  return fault(t, n, fr, id, s);
}

void trace_note(Tracer *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *s = arena_vprintf(t->arena, fmt, ap);
  va_end(ap);
  diag_note(t->diag, 0, "%s", s);
}

bool trace_warn(Tracer *t, const char *id, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *s = arena_vprintf(t->arena, fmt, ap);
  va_end(ap);
  diag_warning(t->diag, id, t->loc, "%s", s);
  return true;
}

bool trace_later(Tracer *t, const char *what) {
  return trace_fault(t, "sir-later", "%s comes in a later version of Sinter", what);
}

/* ---- files ---- */
Frame *trace_frame(Tracer *t, SourceFile *f, Instance *me, const char *label) {
  Frame *fr = ARENA_NEW(t->arena, Frame);
  fr->file = f;
  fr->me = me;
  fr->label = label;
  return fr;
}

static const char *base_name(Tracer *t, const char *path) {
  const char *slash = strrchr(path, '/');
  return trace_intern(t, slash ? slash + 1 : path);
}

static Instance *instance_new(Tracer *t, const char *name, SourceFile *f) {
  Instance *m = ARENA_NEW(t->arena, Instance);
  m->name = name;
  m->file = f;
  m->origin = m;
  return m;
}

SourceFile *trace_load(Tracer *t, const char *path, const char *text, size_t n, bool library) {
  SourceFile *f = ARENA_NEW(t->arena, SourceFile);
  f->path = path;
  f->library = library;
  if (!sir_parse(t->arena, t->ctx->names, t->diag, path, text, n, &f->ast)) return NULL;
  f->instance = instance_new(t, base_name(t, path), f);
  vec_push(t->arena, &t->files, f);
  return f;
}

static bool declares(const Ast *d) {
  switch (d->kind) {
  case AST_CONST:
  case AST_PARAM:
  case AST_STATE:
  case AST_STATE_LOCAL:
  case AST_FIELD_DECL:
  case AST_MODULE:
  case AST_ENTRY:
  case AST_FN: return d->text != NULL;
  default: return false;
  }
}

const Ast *trace_decl(const SourceFile *f, const char *name) {
  const Ast *b = f->ast.body;
  for (uint32_t i = 0; i < b->nkids; i++) {
    const Ast *d = b->kids[i];
    if (declares(d) && d->text == name) return d;
    for (uint32_t k = 0; d->kind == AST_USE && k < d->nkids; k++)
      if (d->kids[k]->text == name) return d->kids[k];
  }
  return NULL;
}

void trace_decl_names(Tracer *t, const SourceFile *f, NameList *out) {
  const Ast *b = f->ast.body;
  for (uint32_t i = 0; i < b->nkids; i++) {
    const Ast *d = b->kids[i];
    if (declares(d)) vec_push(t->arena, out, d->text);
    for (uint32_t k = 0; d->kind == AST_USE && k < d->nkids; k++) vec_push(t->arena, out, d->kids[k]->text);
  }
}

SourceFile *trace_library(Tracer *t, const char *name) {
  const char *path = trace_printf(t, "lib/%s.sir", name);
  for (uint32_t i = 0; i < t->files.n; i++)
    if (t->files.at[i]->library && strcmp(t->files.at[i]->path, path) == 0) return t->files.at[i];
  size_t n;
  const char *text = lib_source(name, &n);
  if (!text) return NULL;
  SourceFile *f = trace_load(t, path, text, n, true);
  if (!f) BUG("the library's %s does not parse: %s", path, diag_first(t->diag, NULL));
  return f;
}

static bool use_file(Tracer *t, const Ast *u, Frame *fr, Value *out) {
  const char *name = u->kids[0]->text, *slash = strrchr(fr->file->path, '/'), *why;
  const char *path =
      name[0] == '/' || !slash ? name : trace_printf(t, "%.*s/%s", (int)(slash - fr->file->path), fr->file->path, name);
  char *real = realpath(path, NULL);
  if (!real) return trace_fault_at(t, u, fr, "sir-no-file", "there is no file \"%s\"", name);
  const char *id = trace_intern(t, real);
  free(real);
  for (SourceFile *f = fr->file; f; f = f->user)
    if (f->id == id)
      return trace_fault_at(t, u, fr, "sir-use-cycle", "\"%s\" uses itself%s", name,
                            f == fr->file ? "" : " by way of another file");
  for (uint32_t i = 0; i < t->files.n; i++)
    if (t->files.at[i]->id == id) {
      *out = value_instance(t->files.at[i]->instance);
      return true;
    }
  size_t n;
  char *text = file_read(t->arena, path, &n, &why);
  if (!text) return trace_fault_at(t, u, fr, "sir-no-file", "the file \"%s\" cannot be read: %s", name, why);
  SourceFile *f = trace_load(t, path, text, n, false);
  if (!f) return false;
  f->id = id;
  f->user = fr->file;
  f->alias = fr->file->alias ? trace_printf(t, "%s.%s", fr->file->alias, u->text) : u->text;
  *out = value_instance(f->instance);
  return true;
}

bool trace_space(Tracer *t, const Ast *u, Frame *fr, Value *out) {
  if (u->kind == AST_USE_FILE) return use_file(t, u, fr, out);
  if (strcmp(u->text, "core") != 0) {
    if (lib_lookup(t, u->text, out) && out->kind == VAL_SPACE) return true;
    SourceFile *f = trace_library(t, u->text);
    if (f) {
      *out = value_instance(f->instance);
      return true;
    }
  }
  const char *have = "";
  for (const char *const *s = lib_sources(); *s; s++) have = trace_printf(t, "%s%s%s", have, have[0] ? ", " : "", *s);
  return trace_fault_at(t, u, fr, "sir-no-namespace", "the library has no namespace `%s`; it has %s", u->text, have);
}

/* ---- declarations ---- */
static bool rename_field(Tracer *t, const Ast *as, Instance *me, const char *name, Frame *fr) {
  Value v;
  if (!as) return true;
  if (!trace_ev(t, as, fr, &v)) return false;
  if (strchr(v.u.s, '/') || strlen(v.u.s) > 200)
    return trace_fault_at(t, as, fr, "sir-name", "\"%s\" is no step of a name: at most 200 characters, without `/`",
                          v.u.s);
  names_set(t, &me->renamed, name, v);
  return true;
}

static TCell *cell_new(Tracer *t, const TCell *like) {
  TCell *c = ARENA_NEW(t->arena, TCell);
  *c = *like;
  c->index = (int)t->cells.n;
  c->slot = -1;
  vec_push(t->arena, &t->cells, c);
  return c;
}

typedef struct StoredCtx {
  const Ast *n;
  TCell *cell; /* the draft; its first use is itself */
  bool typed, several;
} StoredCtx;

static bool stored_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  (void)n;
  StoredCtx *s = ctx;
  TCell *c = s->several ? cell_new(t, s->cell) : s->cell;
  if (leaf->kind != VAL_NONE) {
    Id v;
    if (!trace_tensor(t, *leaf, s->typed ? s->cell->dtype : DT_NONE, &v)) return false;
    const Sym *shape = graph_shape(t->g, v);
    int rank = graph_rank(t->g, v);
    DType d = graph_dtype(t->g, v);
    if (s->typed && (d != s->cell->dtype || !trace_same_shape(t, shape, rank, s->cell->shape, s->cell->rank)))
      return trace_fault(t, "sir-start-shape", "`%s` is %s, its start value %s", s->n->text,
                         graph_shape_text(t->ctx, s->cell->dtype, s->cell->shape, s->cell->rank), graph_type(t->g, v));
    c->dtype = d;
    c->rank = rank;
    for (int i = 0; i < rank; i++) c->shape[i] = shape[i];
    c->start = value_node(t->g, v);
  }
  *out = value_ref(c, false);
  return true;
}

static bool stored(Tracer *t, const Ast *n, Instance *me, Frame *fr) {
  const Ast *type = n->kids[0], *start = n->kids[1], *cond = n->kids[3];
  if (!t->scope->root)
    return trace_fault(t, "sir-param-in-entry",
                       "the module of `%s` is made while an entry runs; make it a field of the file, so that its "
                       "params have names and storage",
                       n->text);
  if (!rename_field(t, n->kids[2], me, n->text, fr)) return false;
  if (cond) {
    Value c;
    bool on;
    if (!trace_ev(t, cond, fr, &c) || !trace_truth(t, c, "the condition of a param", &on)) return false;
    if (!on) {
      names_set(t, &me->fields, n->text, value_none());
      return true;
    }
  }
  TCell *c = cell_new(t, &(TCell){.kind = n->kind == AST_PARAM   ? CELL_PARAM
                                          : n->kind == AST_STATE ? CELL_STATE
                                                                 : CELL_LOCAL,
                                  .doc = n->doc,
                                  .loc = n->loc});
  if (type && !trace_tensor_type(t, type, fr, &c->dtype, c->shape, &c->rank)) return false;
  TCell *owner = t->owner;
  t->owner = c;
  Value x = value_none(), field = value_none();
  bool ok = !start || trace_ev(t, start, fr, &x);
  if (ok && value_callable(x)) {
    if (!type)
      ok = trace_fault(t, "sir-start-fn", "`%s` has no type; a start value that is a function needs one", n->text);
    else {
      Value args[2] = {value_shape(t, c->shape, c->rank), value_dtype(c->dtype)};
      ok = trace_call_at(t, x, args, 2, NULL, 0, start, fr, &x) && trace_now(t, x, &x);
    }
  }
  vec_push(t->arena, &me->stored, n->text);
  if (ok) {
    StoredCtx s = {n, c, type != NULL, value_is_tree(x)};
    if (start && x.kind == VAL_NONE)
      ok = trace_fault(t, "sir-start-none", "the start value of `%s` is none", n->text);
    else
      ok = tree_map(t, stored_leaf, &s, &x, 1, &field);
  }
  t->owner = owner;
  if (ok) names_set(t, &me->fields, n->text, field);
  return ok;
}

static bool tie(Tracer *t, const Ast *n, Frame *fr) {
  Value a, b, owner;
  if (!trace_raw(t, n->kids[0], fr, &a) || !trace_raw(t, n->kids[1], fr, &b)) return false;
  if (a.kind != VAL_REF || b.kind != VAL_REF || n->kids[0]->kind != AST_FIELD)
    return trace_fault(t, "sir-tie", "`tie` joins two params, `tie head.weight = wte.weight`");
  TCell *x = a.u.cell, *y = b.u.cell;
  if (x->dtype != y->dtype || !trace_same_shape(t, x->shape, x->rank, y->shape, y->rank))
    return trace_fault(t, "sir-tie-shape", "`tie` joins %s and %s: one tensor has one shape", value_describe(t, a),
                       value_describe(t, b));
  if (!trace_ev(t, n->kids[0]->kids[0], fr, &owner)) return false;
  if (owner.kind != VAL_INSTANCE || !names_get(&owner.u.instance->fields, n->kids[0]->text))
    return trace_fault(t, "sir-tie", "`tie` joins two params, `tie head.weight = wte.weight`");
  names_set(t, &owner.u.instance->fields, n->kids[0]->text, b);
  return true;
}

static const SirDefine *define_of(Tracer *t, SourceFile *f, const char *name) {
  for (int i = 0; f->root && t->options && i < t->options->ndefines; i++)
    if (strcmp(t->options->defines[i].name, name) == 0) return &t->options->defines[i];
  return NULL;
}

static bool constant(Tracer *t, const Ast *n, Instance *me, Frame *fr) {
  const SirDefine *d = define_of(t, fr->file, n->text);
  const Ast *expr = n->kids[1];
  Value x;
  if (d) {
    expr =
        sir_parse_expr(t->arena, t->ctx->names, t->diag, trace_printf(t, "-D %s", d->name), d->value, strlen(d->value));
    if (!expr) return false;
  }
  if (!trace_ev(t, expr, fr, &x) ||
      (n->kids[0] && !trace_check(t, n->kids[0], x, fr, trace_printf(t, "`%s`", n->text), false, &x)))
    return false;
  names_set(t, &me->fields, n->text, x);
  return true;
}

static bool declare(Tracer *t, const Ast *n, Instance *me, Frame *fr) {
  const Ast *node = t->node;
  Frame *frame = t->frame;
  Value x;
  bool ok = true;
  t->node = n;
  t->frame = fr;
  if (declares(n) && n->kind != AST_FN && n->kind != AST_MODULE && n->kind != AST_ENTRY &&
      names_get(&me->fields, n->text)) {
    ok = true; /* named before, in a used file */
  } else
    switch (n->kind) {
    case AST_USE:
      for (uint32_t i = 0; ok && i < n->nkids; i++) ok = trace_space(t, n->kids[i], fr, &x);
      break;
    case AST_FN:
      if (n->kids[4]) ok = trace_later(t, "a fn with a vjp");
      break;
    case AST_MODULE:
    case AST_ENTRY: break;
    case AST_CONST: ok = constant(t, n, me, fr); break;
    case AST_FIELD_DECL:
      ok = trace_ev(t, n->kids[1], fr, &x) &&
           (!n->kids[0] || trace_check(t, n->kids[0], x, fr, trace_printf(t, "`%s`", n->text), false, &x)) &&
           rename_field(t, n->kids[2], me, n->text, fr);
      if (ok) {
        names_set(t, &me->fields, n->text, x);
        if (value_contains_module(x)) vec_push(t->arena, &me->owned, n->text);
      }
      break;
    case AST_PARAM:
    case AST_STATE:
    case AST_STATE_LOCAL: ok = stored(t, n, me, fr); break;
    case AST_OWN: {
      Value *arg = names_get(&me->args, n->text);
      if (!arg) {
        ok = trace_fault(t, "sir-own", "`own` takes a constructor argument; `%s` is none", n->text);
        break;
      }
      names_set(t, &me->fields, n->text, *arg);
      vec_push(t->arena, &me->owned, n->text);
      ok = rename_field(t, n->kids[0], me, n->text, fr);
      break;
    }
    case AST_TIE: ok = tie(t, n, fr); break;
    case AST_ASSERT: ok = trace_assert(t, n->kids[0], n->kids[1], fr); break;
    default: ok = trace_ev(t, n, fr, &x);
    }
  t->node = node;
  t->frame = frame;
  return ok;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Two params of one path would be one name in the weight file. */
static bool distinct(Tracer *t, Instance *me, const Ast *n, Frame *fr) {
  Walk w = {0};
  value_walk(t, value_instance(me), &w);
  const char **names = mem_alloc(sizeof *names * (w.n + 1)), *twice = NULL;
  for (uint32_t i = 0; i < w.n; i++) names[i] = w.at[i].path;
  qsort(names, w.n, sizeof *names, by_text);
  for (uint32_t i = 1; i < w.n && !twice; i++) twice = strcmp(names[i], names[i - 1]) == 0 ? names[i] : NULL;
  free(names);
  return !twice || trace_fault_at(t, n, fr, "sir-same-name", "two params are called `%s`", twice);
}

/* Declarations in order; fns first, they see each other. */
static bool body(Tracer *t, const Ast *b, Instance *me, Frame *fr) {
  for (uint32_t i = 0; i < b->nkids; i++)
    if (b->kids[i]->kind == AST_FN && b->kids[i]->text) {
      Fn *f = ARENA_NEW(t->arena, Fn);
      *f = (Fn){.node = b->kids[i], .file = fr->file, .me = me, .name = b->kids[i]->text};
      names_set(t, &me->fns, f->name, (Value){.kind = VAL_FN, .u.fn = f});
    }
  for (uint32_t i = 0; i < b->nkids; i++) {
    const Ast *n = b->kids[i];
    if (!declare(t, n, me, fr)) return false;
    if (n->text && (namelist_has(&me->stored, n->text) || namelist_has(&me->owned, n->text)) && n->kind != AST_FN &&
        !distinct(t, me, n, fr))
      return false;
  }
  return true;
}

bool trace_file_body(Tracer *t, SourceFile *f) {
  return body(t, f->ast.body, f->instance, trace_frame(t, f, f->instance, f->instance->name));
}

bool trace_construct(Tracer *t, ModuleDecl *m, const Value *args, int n, const NamedArg *named, int nnamed,
                     Value *out) {
  Instance *me = instance_new(t, m->name, m->file);
  Frame *fr = trace_frame(t, m->file, me, m->name);
  if (!trace_bind_args(t, m->node->kids[0], args, n, named, nnamed, fr, m->name)) return false;
  me->args = fr->names;
  fr->names = (NameMap){0};
  if (!body(t, m->node->kids[1], me, fr)) return false;
  const NameMap *maps[] = {&me->args, &me->fields};
  for (int i = 0; i < 2; i++)
    for (uint32_t k = 0; k < maps[i]->e.n; k++)
      me->deep = maps[i]->e.at[k].value.deep > me->deep ? maps[i]->e.at[k].value.deep : me->deep;
  me->deep++;
  *out = value_instance(me);
  return true;
}

/* ---- names ---- */
bool trace_member(Tracer *t, Instance *me, const char *name, Value *out) {
  Value *f = names_get(&me->fields, name);
  if (!f) return false;
  *out = me->over ? value_view(t, *f, me->over) : *f;
  return true;
}

static Value fn_of(Tracer *t, Value fn, Instance *me) {
  Fn *f = ARENA_NEW(t->arena, Fn);
  *f = *fn.u.fn;
  f->me = me;
  return (Value){.kind = VAL_FN, .u.fn = f};
}

bool trace_of_file(Tracer *t, SourceFile *f, const char *name, Value *out) {
  const Ast *n = trace_decl(f, name);
  Instance *me = f->instance;
  Frame *fr = trace_frame(t, f, me, me->name);
  switch (n->kind) {
  case AST_FN: {
    if (n->kids[4]) return trace_later(t, "a fn with a vjp");
    Fn *fn = ARENA_NEW(t->arena, Fn);
    *fn = (Fn){.node = n, .file = f, .me = me, .name = n->text};
    *out = (Value){.kind = VAL_FN, .u.fn = fn};
    return true;
  }
  case AST_MODULE: {
    ModuleDecl *m = ARENA_NEW(t->arena, ModuleDecl);
    *m = (ModuleDecl){n, f, n->text};
    *out = (Value){.kind = VAL_MODULE, .u.module = m};
    return true;
  }
  case AST_ENTRY:
    return trace_fault(t, "sir-call-entry", "`%s` is an entry: C calls it, SIR does not; move what both need into a fn",
                       name);
  case AST_NAME:
  case AST_USE_FILE: return trace_space(t, n, fr, out);
  default: break;
  }
  if (trace_member(t, me, name, out)) return true;
  if (namelist_has(&f->busy, name)) return trace_fault(t, "sir-needs-itself", "`%s` needs itself", name);
  if (f->root) {
    Place p;
    diag_place(t->diag, n->loc, &p);
    return trace_fault(t, "sir-order", "`%s` is declared below on line %d; values are made in order", name, p.line);
  }
  vec_push(t->arena, &f->busy, name);
  Scope *scope = t->scope;
  SymFacts *facts = t->facts;
  t->facts = t->rootfacts;
  trace_enter(t, t->rootscope);
  bool ok = declare(t, n, me, fr);
  t->facts = facts;
  trace_enter(t, scope);
  (void)vec_pop(&f->busy);
  if (ok && t->named && !f->library) /* named by an entry first */
    ok = trace_name_cells(t, f);
  return ok && trace_member(t, me, name, out);
}

static void names_of(Tracer *t, const NameMap *m, NameList *out) {
  for (uint32_t i = 0; i < m->e.n; i++) vec_push(t->arena, out, m->e.at[i].name);
}

bool trace_lookup(Tracer *t, const char *name, Frame *fr, Value *out) {
  Value *v = names_get(&fr->names, name);
  if (v) {
    *out = *v;
    return true;
  }
  Instance *file = fr->file->instance, *two[] = {fr->me, fr->me == file ? NULL : file};
  for (int i = 0; i < 2; i++) {
    Instance *me = two[i];
    if (!me) continue;
    if (trace_member(t, me, name, out)) return true;
    if ((v = names_get(&me->args, name))) return *out = *v, true;
    if ((v = names_get(&me->fns, name))) return *out = fn_of(t, *v, me), true;
    if (me == file && trace_decl(fr->file, name)) return trace_of_file(t, fr->file, name, out);
  }
  if (trace_decl(t->core, name)) return trace_of_file(t, t->core, name, out);
  if (lib_lookup(t, name, out)) return true;
  DType d = dtype_parse(name);
  if (d && d != DT_IDX) {
    *out = value_dtype(d);
    return dtype_in_graph(d) || trace_later(t, trace_printf(t, "the dtype %s", name));
  }
  if (strcmp(name, "init") == 0) {
    SourceFile *init = trace_library(t, "init");
    if (init) return *out = value_instance(init->instance), true;
  }
  if (foreign_name(name))
    return trace_fault(t, "sir-foreign-name", "`%s` is not SIR; write %s", name, foreign_name(name));
  NameList have = {0};
  names_of(t, &fr->names, &have);
  for (int i = 0; i < 2; i++)
    if (two[i]) {
      names_of(t, &two[i]->fields, &have);
      names_of(t, &two[i]->args, &have);
      names_of(t, &two[i]->fns, &have);
    }
  trace_decl_names(t, fr->file, &have);
  trace_decl_names(t, t->core, &have);
  lib_names(t, &have);
  return trace_fault(t, "sir-unknown-name", "there is no `%s` here%s", name, trace_near(t, name, &have));
}

bool trace_set(Tracer *t, const char *name, Value x, Frame *fr) {
  if (strcmp(name, "_") == 0) return true;
  Instance *me = fr->me;
  if (me && !names_get(&fr->names, name)) { /* a parameter may hide a field, and is rebound then */
    bool file = me == fr->file->instance;
    const Ast *d = file ? trace_decl(fr->file, name) : NULL;
    bool is_const = d && d->kind == AST_CONST;
    if ((names_get(&me->fields, name) && !is_const) || (!file && names_get(&me->fns, name)))
      return trace_fault(t, "sir-field-hidden",
                         "`%s` is a field of %s; a local needs another name (`<-` writes a param or state)", name,
                         me->name);
  }
  names_set(t, &fr->names, name, x);
  return true;
}
