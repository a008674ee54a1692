/* Statements: bindings and patterns, static control, updates, assertions. */
#include "trace.h"
#include <string.h>

bool trace_unpack(Tracer *t, const Ast *p, Value x, Frame *fr) {
  const Ast *node = t->node;
  if (p->kind == AST_NAME) return trace_set(t, p->text, x, fr);
  t->node = p;
  bool ok = true;
  if (p->kind == AST_RECORD) {
    if (x.kind != VAL_RECORD)
      ok = trace_fault(t, "sir-pattern", "a record pattern takes a record, this is %s", value_describe(t, x));
    for (uint32_t i = 0; ok && i < p->nkids; i++) {
      const Ast *k = p->kids[i];
      Value y;
      ok = trace_field(t, x, k->text, &y) &&
           (k->kids[0] ? trace_unpack(t, k->kids[0], y, fr) : trace_set(t, k->text, y, fr));
    }
  } else if (x.kind != VAL_LIST && x.kind != VAL_TUPLE) {
    ok = trace_fault(t, "sir-pattern", "the pattern takes %u values, this is %s", p->nkids, value_describe(t, x));
  } else if (x.n != p->nkids) {
    ok = trace_fault(t, "sir-pattern", "the pattern takes %u values, this has %u", p->nkids, x.n);
  }
  for (uint32_t i = 0; ok && p->kind != AST_RECORD && i < p->nkids; i++)
    ok = trace_unpack(t, p->kids[i], x.u.at[i], fr);
  t->node = node;
  return ok;
}

static bool bind(Tracer *t, const Ast *s, Frame *fr) {
  Value x;
  if (!trace_ev(t, s->kids[2], fr, &x)) return false;
  if (s->kids[1] && !trace_check(t, s->kids[1], x, fr, "this", false, &x)) return false;
  return trace_unpack(t, s->kids[0], x, fr);
}

static bool augment(Tracer *t, const Ast *s, Frame *fr) {
  Value a, b;
  const char *name = s->kids[0]->text;
  if (!trace_ev(t, s->kids[0], fr, &a) || !trace_ev(t, s->kids[1], fr, &b)) return false;
  if (!names_get(&fr->names, name))
    return trace_fault(t, "sir-aug-local",
                       "`%s=` rebinds a local; `%s` is none (a param or state is written with `<-`)",
                       sir_op_text(s->op), name);
  trace_at(t, s, fr);
  return trace_binary(t, s->op, a, b, &a) && trace_set(t, name, a, fr);
}

/* ---- assertions ---- */
static bool learn(Tracer *t, const Ast *n, Frame *fr) {
  if (n->kind == AST_BIN && n->op == SIR_AND) return learn(t, n->kids[0], fr) && learn(t, n->kids[1], fr);
  if (n->kind != AST_BIN || n->op < SIR_EQ || n->op > SIR_GE) return true;
  Value a, b;
  if (!trace_ev(t, n->kids[0], fr, &a) || !trace_ev(t, n->kids[1], fr, &b)) return false;
  if (!value_is_size(a) || !value_is_size(b)) return true;
  Sym x = value_as_sym(t, a), y = value_as_sym(t, b);
  switch (n->op) {
  case SIR_EQ: sym_fact(t->facts, SYM_EQ, x, y); break;
  case SIR_NE: sym_fact(t->facts, SYM_NE, x, y); break;
  case SIR_LT: sym_fact(t->facts, SYM_LT, x, y); break;
  case SIR_LE: sym_fact(t->facts, SYM_LE, x, y); break;
  case SIR_GT: sym_fact(t->facts, SYM_LT, y, x); break;
  default: sym_fact(t->facts, SYM_LE, y, x); break;
  }
  return true;
}

void trace_require(Tracer *t, Sym cond, const char *text) {
  for (uint32_t i = 0; i < t->entry->checks.n; i++)
    if (t->entry->checks.at[i].cond == cond) return;
  vec_push(t->arena, &t->entry->checks, (Check){cond, text, t->loc});
}

bool trace_assert(Tracer *t, const Ast *cond, const Ast *message, Frame *fr) {
  Value x, text;
  bool holds;
  if (!trace_ev(t, cond, fr, &x)) return false;
  if (value_is_node(x)) {
    Id v;
    Sym s;
    if (!trace_tensor(t, x, DT_NONE, &v)) return false;
    if (graph_dtype(t->g, v) != DT_BOOL || !trace_node_sym(t, v, &s))
      return trace_fault(t, "sir-assert-tensor",
                         "an assert is over static values and dimensions; `debug.check` looks at tensors");
    if (!t->entry)
      return trace_fault(t, "sir-assert-tensor",
                         "an assert over dimensions stands in an entry, or in a fn that one calls");
    text = value_str(NULL);
    if (message && (!trace_ev(t, message, fr, &text) || text.kind != VAL_STR))
      return trace_fault(t, "sir-assert-message", "the message of an assert is a str");
    if (!message) {
      Buf b = {0};
      ast_print(t->diag, cond, &b);
      text.u.s = arena_strndup(t->arena, b.at, b.n);
      buf_free(&b);
    }
    vec_push(t->arena, &t->entry->checks, (Check){s, text.u.s, cond->loc});
    return learn(t, cond, fr);
  }
  if (!trace_truth(t, x, "an assert", &holds)) return false;
  if (holds) return true;
  if (!message) return trace_fault(t, "sir-assert", "the assertion does not hold");
  return trace_ev(t, message, fr, &text) && trace_fault(t, "sir-assert", "%s", value_text(t, text));
}

/* ---- control ---- */
bool trace_if(Tracer *t, const Ast *s, Frame *fr, Value *out) {
  *out = value_none();
  for (;;) {
    Value c;
    bool yes;
    if (!trace_ev(t, s->kids[0], fr, &c)) return false;
    if (c.kind == VAL_TENSOR) {
      if (graph_dtype(c.x.graph, c.u.id) != DT_BOOL || graph_rank(c.x.graph, c.u.id))
        return trace_fault(t, "sir-if-tensor",
                           "the condition of if is %s; it takes bool[], `where(c, a, b)` chooses by element",
                           value_describe(t, c));
      return trace_later(t, "an `if` whose condition is a tensor");
    }
    if (!trace_truth(t, c, "the condition of if", &yes)) return false;
    if (yes) return trace_block(t, s->kids[1], fr, out);
    if (!s->kids[2]) return true;
    if (s->kids[2]->kind != AST_IF) return trace_block(t, s->kids[2], fr, out);
    s = s->kids[2];
  }
}

bool trace_region(Tracer *t, const Ast *s, Frame *fr, Value *out) {
  if (strcmp(s->text, "checkpoint") == 0) return trace_later(t, "`checkpoint`");
  int training = t->training;
  t->training = strcmp(s->text, "train") == 0;
  bool ok = trace_block(t, s->kids[0], fr, out);
  t->training = training;
  return ok;
}

static bool for_loop(Tracer *t, const Ast *s, Frame *fr) {
  const Ast *src = s->kids[1];
  Value x, none;
  if (src->kind == AST_CALL && ast_is_name(src->kids[0], trace_intern(t, "scan")))
    return trace_later(t, "a `for` over scan");
  if (!trace_ev(t, src, fr, &x) || !trace_items(t, x)) return false;
  bool ok = true;
  for (uint32_t i = 0; ok && i < x.n; i++) {
    vec_push(t->arena, &fr->turns, (int)i);
    ok = trace_unpack(t, s->kids[0], x.u.at[i], fr) && trace_block(t, s->kids[2], fr, &none);
    fr->turns.n--;
  }
  return ok;
}

static bool give(Tracer *t, const Ast *s, Frame *fr) {
  Value x = value_none();
  if (s->kids[0] && !trace_ev(t, s->kids[0], fr, &x)) return false;
  t->returning = true;
  t->returned = x;
  return false;
}

/* ---- updates ---- */
static const char *spell(Tracer *t, const Ast *n) {
  return n->kind == AST_NAME    ? n->text
         : n->kind == AST_FIELD ? trace_printf(t, "%s.%s", spell(t, n->kids[0]), n->text)
                                : trace_printf(t, "%s[...]", spell(t, n->kids[0]));
}

/* A path without reading it; NONE: a slice of a reference, or an index that no list has. */
static bool target(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value base, i;
  if (n->kind == AST_NAME) return trace_raw(t, n, fr, out);
  if (!target(t, n->kids[0], fr, &base)) return false;
  if (n->kind == AST_FIELD)
    return (base.kind != VAL_REF || trace_now(t, base, &base)) && trace_field(t, base, n->text, out);
  *out = value_none();
  if (base.kind != VAL_LIST && base.kind != VAL_TUPLE && base.kind != VAL_RECORD) return true;
  if (n->nkids != 2 || n->kids[1]->kind == AST_SLICE || n->kids[1]->kind == AST_REST) return true;
  if (!trace_ev(t, n->kids[1], fr, &i)) return false;
  if (base.kind == VAL_RECORD) return i.kind != VAL_STR || trace_field(t, base, i.u.s, out);
  if (i.kind == VAL_INT && i.u.i >= -(int64_t)base.n && i.u.i < (int64_t)base.n)
    *out = base.u.at[i.u.i < 0 ? i.u.i + base.n : i.u.i];
  return true;
}

static bool update(Tracer *t, const Ast *s, Frame *fr) {
  const Ast *path = s->kids[0];
  Value ref, x, shown;
  IndexItem *item = NULL;
  int items = 0;
  if (!target(t, path, fr, &ref)) return false;
  if (ref.kind != VAL_REF && path->kind == AST_INDEX) {
    items = (int)path->nkids - 1;
    item = ARENA_ARRAY(t->arena, IndexItem, items + 1);
    for (int i = 0; i < items; i++)
      if (!trace_index_item(t, path->kids[i + 1], fr, &item[i])) return false;
    path = path->kids[0];
    if (!target(t, path, fr, &ref)) return false;
  }
  if (ref.kind != VAL_REF)
    return trace_now(t, ref, &shown) &&
           trace_fault(t, "sir-update-target", "`<-` writes a param, a state or an inout; `%s` is %s, a value%s",
                       spell(t, path), value_describe(t, shown), path->kind == AST_NAME ? "; `=` binds a name" : "");
  if (!trace_ev(t, s->kids[1], fr, &x)) return false;
  trace_at(t, s, fr);
  TCell *c = ref.u.cell;
  const char *name = item ? trace_printf(t, "%s[...]", spell(t, path)) : spell(t, path), *type = value_describe(t, ref);
  Id v, old;
  if (!trace_tensor(t, x, c->dtype, &v)) return false;
  if (graph_dtype(t->g, v) != c->dtype)
    return trace_fault(t, "sir-update-type", "`%s` is %s, the new value %s; write `.to(%s)`", name, type,
                       graph_type(t->g, v), dtype_name(c->dtype));
  if (item) {
    if (!(old = trace_read(t, c)) || !lib_index_update(t, old, item, items, v, &v)) return false;
  } else {
    if (graph_rank(t->g, v) == 0 && c->rank && x.kind != VAL_TENSOR && x.kind != VAL_WEAK)
      v = g_spread(t->g, v, c->shape, c->rank);
    if (!v) return false;
    if (!trace_same_shape(t, graph_shape(t->g, v), graph_rank(t->g, v), c->shape, c->rank))
      return trace_fault(t, "sir-update-shape", "`%s` is %s, the new value %s", name, type, graph_type(t->g, v));
  }
  return trace_write(t, c, v);
}

/* ---- blocks ---- */
static bool execute(Tracer *t, const Ast *s, Frame *fr, Value *out) {
  *out = value_none();
  switch (s->kind) {
  case AST_BIND: return bind(t, s, fr);
  case AST_AUG: return augment(t, s, fr);
  case AST_UPDATE: return update(t, s, fr);
  case AST_RETURN: return give(t, s, fr);
  case AST_ASSERT: return trace_assert(t, s->kids[0], s->kids[1], fr);
  case AST_FOR: return for_loop(t, s, fr);
  case AST_WHILE: return trace_later(t, "`while`");
  case AST_FN: return trace_fn(t, s, fr, out) && (!s->text || trace_set(t, s->text, *out, fr));
  default: return trace_ev(t, s, fr, out);
  }
}

bool trace_statement(Tracer *t, const Ast *s, Frame *fr, Value *out) {
  const Ast *node = t->node;
  Frame *frame = t->frame;
  t->node = s;
  t->frame = fr;
  t->nest++;
  bool ok = execute(t, s, fr, out);
  t->nest--;
  t->node = node;
  t->frame = frame;
  return ok;
}

bool trace_block(Tracer *t, const Ast *b, Frame *fr, Value *out) {
  *out = value_none();
  for (uint32_t i = 0; i < b->nkids; i++)
    if (!trace_statement(t, b->kids[i], fr, out)) return false;
  return true;
}

bool trace_run(Tracer *t, const Ast *b, Frame *fr, Value *out) {
  if (trace_block(t, b, fr, out)) return true;
  if (!t->returning) return false;
  t->returning = false;
  *out = t->returned;
  return true;
}
