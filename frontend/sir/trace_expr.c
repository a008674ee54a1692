/* Expressions. */
#include "trace.h"
#include <stdlib.h>
#include <string.h>

static bool read_ref(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  (void)ctx, (void)n;
  *out = *leaf;
  return leaf->kind != VAL_REF || leaf->given || trace_node(t, trace_read(t, leaf->u.cell), out);
}

static bool has_plain_ref(Value v) {
  if (v.kind == VAL_REF) return !v.given;
  if (value_is_tree(v))
    for (uint32_t i = 0; i < v.n; i++)
      if (has_plain_ref(v.u.at[i])) return true;
  return false;
}

bool trace_now(Tracer *t, Value x, Value *out) {
  if (x.kind == VAL_REF) return trace_node(t, trace_read(t, x.u.cell), out);
  if (value_is_tree(x) && has_plain_ref(x)) return tree_map(t, read_ref, NULL, &x, 1, out);
  *out = x;
  return true;
}

bool trace_ev(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value x;
  return trace_raw(t, n, fr, &x) && trace_now(t, x, out);
}

NameMap trace_names_copy(Tracer *t, const NameMap *m) {
  NameMap c = {0};
  if (m->e.n) {
    vec_reserve(t->arena, &c.e, m->e.n);
    memcpy(c.e.at, m->e.at, sizeof *c.e.at * m->e.n);
    c.e.n = m->e.n;
  }
  return c;
}

/* ---- literals ---- */
static bool string(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  if (n->text) return *out = value_str(n->text), true;
  Buf b = {0};
  bool ok = true;
  for (uint32_t i = 0; ok && i < n->nkids; i++) {
    Value x;
    if (n->kids[i]->kind == AST_TEXT)
      buf_put(&b, n->kids[i]->text);
    else if ((ok = trace_ev(t, n->kids[i], fr, &x)))
      buf_put(&b, value_text(t, x));
    if (ok && b.n > TRACE_LIST)
      ok = trace_fault(t, "sir-list-length", "a str of %zu elements is too long to trace", b.n);
  }
  if (ok) *out = value_str(arena_strndup(t->arena, b.at ? b.at : "", b.n));
  buf_free(&b);
  return ok;
}

static bool range(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value a, b;
  if (!trace_ev(t, n->kids[0], fr, &a) || !trace_ev(t, n->kids[1], fr, &b)) return false;
  if (a.kind == VAL_DIM || value_is_node(a) || b.kind == VAL_DIM || value_is_node(b)) {
    Value end = b.kind == VAL_DIM || value_is_node(b) ? b : a;
    return trace_fault(t, "sir-range-symbolic",
                       "this range runs to %s, not known while tracing: write `for i in scan(arange(n))`",
                       end.kind == VAL_DIM ? value_text(t, end) : "a tensor");
  }
  if (a.kind != VAL_INT || b.kind != VAL_INT)
    return trace_fault(t, "sir-range", "a range runs between ints, not %s and %s", value_describe(t, a),
                       value_describe(t, b));
  int64_t count;
  if (b.u.i <= a.u.i)
    count = 0;
  else if (__builtin_sub_overflow(b.u.i, a.u.i, &count) || count > TRACE_LIST)
    return trace_fault(t, "sir-list-length", "the range %lld..%lld is too long to trace", (long long)a.u.i,
                       (long long)b.u.i);
  Value *at = ARENA_ARRAY(t->arena, Value, count + 1);
  for (int64_t i = 0; i < count; i++) at[i] = value_int(a.u.i + i);
  *out = value_list(at, (uint32_t)count);
  return true;
}

static bool sequence(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value *at = ARENA_ARRAY(t->arena, Value, n->nkids + 1);
  for (uint32_t i = 0; i < n->nkids; i++)
    if (!trace_ev(t, n->kids[i], fr, &at[i])) return false;
  *out = n->kind == AST_LIST ? value_list(at, n->nkids) : value_tuple(at, n->nkids);
  return true;
}

static bool record(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  NameMap m = {0};
  for (uint32_t i = 0; i < n->nkids; i++) {
    const Ast *k = n->kids[i];
    Value x;
    if (k->kind == AST_SPREAD) {
      if (!trace_ev(t, k->kids[0], fr, &x)) return false;
      if (x.kind != VAL_RECORD)
        return trace_fault(t, "sir-spread", "`...` spreads a record, not %s", value_describe(t, x));
      for (uint32_t j = 0; j < x.n; j++) {
        Value y = x.u.at[j];
        if (y.kind == VAL_REF && !trace_now(t, y, &y)) return false;
        names_set(t, &m, x.x.key[j], y);
      }
    } else {
      if (k->kids[0] ? !trace_ev(t, k->kids[0], fr, &x) : !(trace_lookup(t, k->text, fr, &x) && trace_now(t, x, &x)))
        return false;
      names_set(t, &m, k->text, x);
    }
  }
  const char **key = ARENA_ARRAY(t->arena, const char *, m.e.n + 1);
  Value *at = ARENA_ARRAY(t->arena, Value, m.e.n + 1);
  for (uint32_t i = 0; i < m.e.n; i++) {
    key[i] = m.e.at[i].name;
    at[i] = m.e.at[i].value;
  }
  *out = value_record(key, at, m.e.n);
  return true;
}

bool trace_items(Tracer *t, Value x) {
  if (x.kind == VAL_TENSOR || x.kind == VAL_WEAK || x.kind == VAL_DIM)
    return trace_fault(t, "sir-for-tensor", "`for` runs over static lists, this is %s: write `for x in scan(xs)`",
                       value_describe(t, x));
  if (x.kind == VAL_RECORD)
    return trace_fault(t, "sir-for-record", "`for` over a record: take `items(r)` or `leaves(r)`");
  if (x.kind != VAL_LIST && x.kind != VAL_TUPLE)
    return trace_fault(t, "sir-for", "`for` runs over lists, this is %s", value_describe(t, x));
  return true;
}

static bool comp_part(Tracer *t, const Ast *n, uint32_t part, Frame *fr, Values *out) {
  Value x;
  if (part == n->nkids) {
    if (!trace_ev(t, n->kids[0], fr, &x)) return false;
    if (out->n >= TRACE_LIST)
      return trace_fault(t, "sir-list-length", "a list of %u elements is too long to trace", out->n);
    vec_push(t->arena, out, x);
    return true;
  }
  const Ast *k = n->kids[part];
  if (k->kind == AST_CIF) {
    bool yes;
    return trace_ev(t, k->kids[0], fr, &x) && trace_truth(t, x, "the condition of a comprehension", &yes) &&
           (!yes || comp_part(t, n, part + 1, fr, out));
  }
  if (!trace_ev(t, k->kids[1], fr, &x) || !trace_items(t, x)) return false;
  bool ok = true;
  for (uint32_t i = 0; ok && i < x.n; i++) {
    vec_push(t->arena, &fr->turns, (int)i);
    ok = trace_unpack(t, k->kids[0], x.u.at[i], fr) && comp_part(t, n, part + 1, fr, out);
    fr->turns.n--;
  }
  return ok;
}

static bool comprehension(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  if (n->nkids > TRACE_LOOPS)
    return trace_fault(t, "sir-comprehension", "a comprehension has at most %d `for` and `if`, this has %u",
                       TRACE_LOOPS - 1, n->nkids - 1);
  NameMap saved = trace_names_copy(t, &fr->names);
  Values v = {0};
  bool ok = comp_part(t, n, 1, fr, &v);
  fr->names = saved;
  *out = value_list(v.at, v.n);
  return ok;
}

/* ---- operators ---- */
static bool is_bool(Value x) {
  return x.kind == VAL_TENSOR && graph_dtype(x.x.graph, x.u.id) == DT_BOOL && graph_rank(x.x.graph, x.u.id) == 0;
}

/* A static operand of `not`, `and` or `or`; `own` is the operator that tensors have instead. */
static bool operand_truth(Tracer *t, Value x, const char *sign, const char *own, bool *out) {
  if (value_is_node(x) && !is_bool(x))
    return trace_fault(t, "sir-tensor-logic", "%s takes single bools, this is %s; element by element it is %s", sign,
                       value_describe(t, x), own);
  return trace_truth(t, x, sign, out);
}

static bool unary(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value x;
  bool b;
  if (!trace_ev(t, n->kids[0], fr, &x)) return false;
  trace_at(t, n, fr);
  if (n->op == SIR_NOT) {
    if (is_bool(x)) return trace_ew(t, OP_NOT, &x, 1, "`not`", out);
    if (!operand_truth(t, x, "`not`", "`~a`", &b)) return false;
    *out = value_bool(!b);
    return true;
  }
  const char *text = sir_op_text(n->op);
  if (value_is_node(x))
    return trace_ew(t, n->op == SIR_NEG ? OP_NEG : OP_NOT, &x, 1, trace_printf(t, "`%s`", text), out);
  if (n->op == SIR_NEG) {
    if (x.kind == VAL_INT || x.kind == VAL_DIM) return trace_binary(t, SIR_SUB, value_int(0), x, out);
    if (x.kind == VAL_FLOAT) return *out = value_float(-x.u.f), true;
  } else if (x.kind == VAL_INT) {
    return *out = value_int(~x.u.i), true;
  } else if (x.kind == VAL_BOOL) {
    return *out = value_bool(!x.u.b), true;
  }
  return trace_fault(t, "sir-operands", "`%s` of %s", text, value_describe(t, x));
}

static bool logic(Tracer *t, const Ast *n, Value a, Frame *fr, Value *out) {
  Value b;
  bool and = n->op == SIR_AND, x, y;
  const char *what = and ? "`and`" : "`or`", *own = and ? "`(a) & (b)`" : "`(a) | (b)`";
  if (!is_bool(a)) {
    if (!operand_truth(t, a, what, own, &x)) return false;
    if (x == !and) return *out = a, true;
    if (!trace_ev(t, n->kids[1], fr, &b)) return false;
    *out = b;
    return is_bool(b) || operand_truth(t, b, what, own, &y);
  }
  if (!trace_ev(t, n->kids[1], fr, &b)) return false;
  trace_at(t, n, fr);
  if (is_bool(b)) return trace_ew(t, and? OP_AND : OP_OR, (Value[]){a, b}, 2, what, out);
  if (!operand_truth(t, b, what, own, &y)) return false;
  *out = and ? (y ? a : value_bool(false)) : y ? value_bool(true) : a;
  return true;
}

static bool binary(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value a, b;
  if (!trace_ev(t, n->kids[0], fr, &a)) return false;
  if (n->op == SIR_AND || n->op == SIR_OR) return logic(t, n, a, fr, out);
  if (!trace_ev(t, n->kids[1], fr, &b)) return false;
  trace_at(t, n, fr);
  return trace_binary(t, n->op, a, b, out);
}

/* ---- fields and indices ---- */
static bool tensor_field(Tracer *t, Value x, const char *name, Value *out) {
  Id v;
  if (!trace_tensor(t, x, DT_NONE, &v)) return false;
  int rank = graph_rank(t->g, v);
  if (strcmp(name, "shape") == 0) return *out = value_shape(t, graph_shape(t->g, v), rank), true;
  if (strcmp(name, "dtype") == 0) return *out = value_dtype(graph_dtype(t->g, v)), true;
  if (strcmp(name, "rank") == 0) return *out = value_int(rank), true;
  bool T = strcmp(name, "T") == 0;
  if (!T && strcmp(name, "mT") != 0)
    return foreign_name(name)
               ? trace_fault(t, "sir-foreign-name", "`%s` is not SIR; write %s", name, foreign_name(name))
               : trace_fault(t, "sir-no-field", "a tensor has no field `%s`", name);
  if (T && rank != 2)
    return trace_fault(t, "sir-transpose", "`.T` is for rank 2, this is %s; `.mT` swaps the last two axes",
                       graph_type(t->g, v));
  if (rank < 2)
    return trace_fault(t, "sir-transpose", "`.mT` swaps the last two axes, this is %s", graph_type(t->g, v));
  int axes[MAX_RANK];
  for (int i = 0; i < rank; i++) axes[i] = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
  return trace_node(t, g_transpose(t->g, v, axes), out);
}

bool trace_field(Tracer *t, Value x, const char *name, Value *out) {
  NameList have = {0};
  if (x.kind == VAL_TENSOR || x.kind == VAL_WEAK) return tensor_field(t, x, name, out);
  if (x.kind == VAL_SPACE) return lib_space_get(t, x.u.space, name, out);
  if (x.kind == VAL_INSTANCE) {
    Instance *me = x.u.instance;
    Value *v;
    bool file = me->origin == me->file->instance;
    if (trace_member(t, me, name, out)) return true;
    if ((v = names_get(&me->args, name))) return *out = *v, true;
    if ((v = names_get(&me->fns, name))) {
      Fn *f = ARENA_NEW(t->arena, Fn);
      *f = *v->u.fn;
      f->me = me;
      return *out = (Value){.kind = VAL_FN, .u.fn = f}, true;
    }
    if (file && trace_decl(me->file, name)) return trace_of_file(t, me->file, name, out);
    const NameMap *maps[] = {&me->fields, &me->args, &me->fns};
    for (int i = 0; i < 3; i++)
      for (uint32_t k = 0; k < maps[i]->e.n; k++) vec_push(t->arena, &have, maps[i]->e.at[k].name);
    if (file) trace_decl_names(t, me->file, &have);
  } else if (x.kind == VAL_RECORD) {
    const Value *v = value_field(x, name);
    if (v) return *out = *v, true;
    for (uint32_t i = 0; i < x.n; i++) vec_push(t->arena, &have, x.x.key[i]);
  } else {
    return trace_fault(t, "sir-no-field", "%s has no field `%s`", value_describe(t, x), name);
  }
  const char *near = trace_near(t, name, &have);
  if (!near[0] && have.n) {
    near = "; it has ";
    for (uint32_t i = 0; i < have.n && i < 40; i++) near = trace_printf(t, "%s%s%s", near, i ? ", " : "", have.at[i]);
  }
  return trace_fault(t, "sir-no-field", "%s has no `%s`%s", value_describe(t, x), name, near);
}

static bool field(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value base;
  if (!trace_raw(t, n->kids[0], fr, &base) || (base.kind == VAL_REF && !trace_now(t, base, &base))) return false;
  trace_at(t, n, fr);
  return trace_field(t, base, n->text, out);
}

bool trace_index_item(Tracer *t, const Ast *k, Frame *fr, IndexItem *out) {
  *out = (IndexItem){.kind = k->kind == AST_REST ? ITEM_REST : k->kind == AST_SLICE ? ITEM_SLICE : ITEM_VALUE};
  if (k->kind == AST_REST) return true;
  if (k->kind != AST_SLICE) return trace_ev(t, k, fr, &out->value);
  return (!k->kids[0] || trace_ev(t, k->kids[0], fr, &out->from)) &&
         (!k->kids[1] || trace_ev(t, k->kids[1], fr, &out->to)) &&
         (!k->kids[2] || trace_ev(t, k->kids[2], fr, &out->step));
}

/* A static slice as Python's: ends clamp, negative ones count from the end. */
static bool static_slice(Tracer *t, Value x, const IndexItem *s, Value *out) {
  int64_t n = x.n, step = 1, from = 0, to = n;
  const Value *ends[] = {&s->from, &s->to, &s->step};
  for (int i = 0; i < 3; i++)
    if (ends[i]->kind != VAL_NONE && ends[i]->kind != VAL_INT)
      return trace_fault(t, "sir-index-list", "the index of a %s is an int, not %s", value_kind_name(x),
                         value_describe(t, *ends[i]));
  if (s->step.kind == VAL_INT) step = s->step.u.i;
  if (step < 1)
    return trace_fault(t, "sir-slice-step", "the step of a slice is an int of at least 1; `reversed(x)` reverses");
  if (s->from.kind == VAL_INT) from = s->from.u.i < 0 ? s->from.u.i + n : s->from.u.i;
  if (s->to.kind == VAL_INT) to = s->to.u.i < 0 ? s->to.u.i + n : s->to.u.i;
  from = from < 0 ? 0 : from > n ? n : from;
  to = to < 0 ? 0 : to > n ? n : to;
  Value *at = ARENA_ARRAY(t->arena, Value, n + 1);
  uint32_t m = 0;
  for (int64_t i = from; i<to; i += step> n ? n + 1 : step) at[m++] = x.u.at[i];
  *out = x.kind == VAL_LIST ? value_list(at, m) : value_tuple(at, m);
  return true;
}

static bool index_of(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  Value x;
  int items = (int)n->nkids - 1;
  if (!trace_raw(t, n->kids[0], fr, &x) || (x.kind == VAL_REF && !trace_now(t, x, &x))) return false;
  IndexItem *item = ARENA_ARRAY(t->arena, IndexItem, items + 1);
  for (int i = 0; i < items; i++)
    if (!trace_index_item(t, n->kids[i + 1], fr, &item[i])) return false;
  trace_at(t, n, fr);
  if (x.kind == VAL_TENSOR || x.kind == VAL_WEAK) {
    Id v;
    return trace_tensor(t, x, DT_NONE, &v) && lib_index(t, v, item, items, out);
  }
  if (x.kind == VAL_RECORD && items == 1 && item[0].kind == ITEM_VALUE && item[0].value.kind == VAL_STR)
    return trace_field(t, x, item[0].value.u.s, out);
  if ((x.kind != VAL_LIST && x.kind != VAL_TUPLE) || items != 1 || item[0].kind == ITEM_REST)
    return trace_fault(t, "sir-index", "%s takes no index like this", value_describe(t, x));
  if (item[0].kind == ITEM_SLICE) return static_slice(t, x, &item[0], out);
  if (item[0].value.kind != VAL_INT)
    return trace_fault(t, "sir-index-list", "the index of a %s is an int, not %s", value_kind_name(x),
                       value_describe(t, item[0].value));
  int64_t i = item[0].value.u.i;
  if (i < -(int64_t)x.n || i >= (int64_t)x.n)
    return trace_fault(t, "sir-index-range", "index %lld of a %s of %u", (long long)i, value_kind_name(x), x.n);
  *out = x.u.at[i < 0 ? i + x.n : i];
  return true;
}

/* ---- calls ---- */
static bool library_op(Tracer *t, const Ast *f, Frame *fr, Value *out) {
  if (trace_decl(t->core, f->text)) return trace_of_file(t, t->core, f->text, out);
  if (lib_lookup(t, f->text, out) && out->kind == VAL_BUILTIN) return true;
  if (foreign_name(f->text))
    return trace_fault_at(t, f, fr, "sir-foreign-name", "`%s` is not SIR; write %s", f->text, foreign_name(f->text));
  NameList have = {0};
  trace_decl_names(t, t->core, &have);
  lib_names(t, &have);
  return trace_fault_at(t, f, fr, "sir-unknown-op", "there is no op `%s`%s", f->text, trace_near(t, f->text, &have));
}

static bool call(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  const Ast *f = n->kids[0];
  Value *args = ARENA_ARRAY(t->arena, Value, n->nkids + 1), callee;
  NamedArg *named = ARENA_ARRAY(t->arena, NamedArg, n->nkids);
  int nargs = 0, nnamed = 0;
  if (f->kind == AST_FIELD) { /* x.f(a): a library op on a tensor */
    Value base;
    if (!trace_raw(t, f->kids[0], fr, &base) || (base.kind == VAL_REF && !trace_now(t, base, &base))) return false;
    if (base.kind == VAL_TENSOR || base.kind == VAL_WEAK) {
      args[nargs++] = base;
      if (!library_op(t, f, fr, &callee)) return false;
    } else {
      const Ast *node = t->node;
      t->node = f;
      bool ok = trace_field(t, base, f->text, &callee);
      t->node = node;
      if (!ok) return false;
    }
  } else if (!trace_ev(t, f, fr, &callee)) {
    return false;
  }
  bool raw = callee.kind == VAL_BUILTIN && callee.u.builtin->raw;
  for (uint32_t i = 1; i < n->nkids; i++) {
    const Ast *k = n->kids[i];
    Value x;
    if (k->kind == AST_NAMED)
      for (int j = 0; j < nnamed; j++)
        if (named[j].name == k->text)
          return trace_fault(t, "sir-argument-twice", "the argument `%s` is given twice", k->text);
    if (!(raw ? trace_raw : trace_ev)(t, k->kind == AST_NAMED ? k->kids[0] : k, fr, &x)) return false;
    if (k->kind == AST_NAMED)
      named[nnamed++] = (NamedArg){k->text, x};
    else
      args[nargs++] = x;
  }
  trace_at(t, n, fr);
  return trace_call_at(t, callee, args, nargs, named, nnamed, n, fr, out);
}

/* ---- all of them ---- */
static bool name(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  if (strcmp(n->text, "self") == 0) {
    *out = fr->me ? value_instance(fr->me) : value_none();
    return true;
  }
  if (strcmp(n->text, "training") == 0) {
    if (t->training < 0 && !t->asked)
      t->asked = t->chain.n ? vec_last(&t->chain).label : fr->label ? fr->label : "the entry";
    *out = value_bool(t->training == 1);
    return true;
  }
  return trace_lookup(t, n->text, fr, out);
}

static bool expression(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  switch (n->kind) {
  case AST_NAME: return name(t, n, fr, out);
  case AST_INT:
    if (n->u.i > INT64_MAX) return trace_fault(t, "sir-int-literal", "%s does not fit the 64 bits of an int", n->text);
    *out = value_int((int64_t)n->u.i);
    return true;
  case AST_FLOAT: *out = value_float(n->u.f); return true;
  case AST_BOOL: *out = value_bool(n->u.i != 0); return true;
  case AST_NONE: *out = value_none(); return true;
  case AST_STR: return string(t, n, fr, out);
  case AST_RANGE: return range(t, n, fr, out);
  case AST_UN: return unary(t, n, fr, out);
  case AST_BIN: return binary(t, n, fr, out);
  case AST_CALL: return call(t, n, fr, out);
  case AST_INDEX: return index_of(t, n, fr, out);
  case AST_FIELD: return field(t, n, fr, out);
  case AST_TUPLE:
  case AST_LIST: return sequence(t, n, fr, out);
  case AST_COMP: return comprehension(t, n, fr, out);
  case AST_RECORD: return record(t, n, fr, out);
  case AST_FN: return trace_fn(t, n, fr, out);
  case AST_IF: return trace_if(t, n, fr, out);
  case AST_REGION: return trace_region(t, n, fr, out);
  default: BUG("%s as an expression", ast_kind_name(n->kind));
  }
}

bool trace_raw(Tracer *t, const Ast *n, Frame *fr, Value *out) {
  const Ast *node = t->node;
  Frame *frame = t->frame;
  t->node = n;
  t->frame = fr;
  bool ok;
  if (++t->nest > TRACE_NEST)
    ok = trace_fault(t, "sir-depth", "this call does not end: its expressions are nested %d deep", TRACE_NEST);
  else if (++t->steps > TRACE_STEPS)
    ok = trace_fault(
        t, "sir-steps",
        "tracing this takes more than %d million steps; a loop of so many turns belongs into the model, not around it",
        TRACE_STEPS / 1000000);
  else
    ok = expression(t, n, fr, out);
  if (ok && out->deep > TRACE_TREE)
    ok = trace_fault(t, "sir-tree-depth", "a %s nested more than %d deep", value_kind_name(*out), TRACE_TREE);
  t->nest--;
  t->node = node;
  t->frame = frame;
  return ok;
}
