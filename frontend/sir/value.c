#include "value.h"
#include "tracer.h"
#include <math.h>
#include <string.h>

Value value_sym(Tracer *t, Sym s) {
  int64_t i;
  return sym_is_int(t->syms, s, &i) ? value_int(i) : (Value){.kind = VAL_DIM, .u.dim = s};
}

static uint16_t deepest(const Value *at, uint32_t n) {
  uint16_t d = 0;
  for (uint32_t i = 0; i < n; i++) d = at[i].deep > d ? at[i].deep : d;
  return d < UINT16_MAX ? d + 1 : d;
}

Value value_instance(Instance *m) { return (Value){.kind = VAL_INSTANCE, .u.instance = m, .deep = m->deep}; }

Value value_list(const Value *at, uint32_t n) {
  return (Value){.kind = VAL_LIST, .n = n, .u.at = at, .deep = deepest(at, n)};
}

Value value_tuple(const Value *at, uint32_t n) {
  return (Value){.kind = VAL_TUPLE, .n = n, .u.at = at, .deep = deepest(at, n)};
}

Value value_record(const char *const *key, const Value *at, uint32_t n) {
  return (Value){.kind = VAL_RECORD, .n = n, .u.at = at, .x.key = key, .deep = deepest(at, n)};
}

Value value_shape(Tracer *t, const Sym *shape, int rank) {
  Value *at = ARENA_ARRAY(t->arena, Value, rank + 1);
  for (int i = 0; i < rank; i++) at[i] = value_sym(t, shape[i]);
  return value_list(at, (uint32_t)rank);
}

bool value_is_leaf(Value v) {
  return value_is_node(v) || value_is_number(v) || v.kind == VAL_BOOL || v.kind == VAL_DIM;
}

bool value_callable(Value v) {
  return v.kind == VAL_FN || v.kind == VAL_BUILTIN || v.kind == VAL_MODULE || v.kind == VAL_INSTANCE;
}

bool value_contains_module(Value v) {
  if (v.kind == VAL_INSTANCE) return true;
  if (value_is_tree(v))
    for (uint32_t i = 0; i < v.n; i++)
      if (value_contains_module(v.u.at[i])) return true;
  return false;
}

bool value_is_module(Value v) {
  if (v.kind == VAL_INSTANCE) return true;
  if (v.kind != VAL_LIST || !value_contains_module(v)) return false;
  for (uint32_t i = 0; i < v.n; i++)
    if (!value_is_module(v.u.at[i]) && !value_callable(v.u.at[i])) return false;
  return true;
}

Sym value_as_sym(Tracer *t, Value v) {
  return v.kind == VAL_INT ? sym_int(t->syms, v.u.i) : v.kind == VAL_DIM ? v.u.dim : 0;
}

bool value_same(Tracer *t, Value a, Value b) {
  if (value_is_number(a) && value_is_number(b)) {
    if (a.kind == VAL_INT && b.kind == VAL_INT) return a.u.i == b.u.i;
    double x = a.kind == VAL_INT ? (double)a.u.i : a.u.f, y = b.kind == VAL_INT ? (double)b.u.i : b.u.f;
    return x == y;
  }
  if (a.kind != b.kind) return false;
  switch ((ValueKind)a.kind) {
  case VAL_NONE: return true;
  case VAL_BOOL: return a.u.b == b.u.b;
  case VAL_STR: return strcmp(a.u.s, b.u.s) == 0;
  case VAL_DTYPE: return a.u.dtype == b.u.dtype;
  case VAL_DIM: return a.u.dim == b.u.dim;
  case VAL_TENSOR:
  case VAL_WEAK: return a.u.id == b.u.id && a.x.graph == b.x.graph;
  case VAL_REF: return a.u.cell == b.u.cell;
  case VAL_LIST:
  case VAL_TUPLE:
  case VAL_RECORD:
    if (a.n != b.n) return false;
    for (uint32_t i = 0; i < a.n; i++)
      if ((a.kind == VAL_RECORD && a.x.key[i] != b.x.key[i]) || !value_same(t, a.u.at[i], b.u.at[i])) return false;
    return true;
  case VAL_FN: return a.u.fn->node == b.u.fn->node && a.u.fn->me == b.u.fn->me;
  case VAL_BUILTIN: return a.u.builtin == b.u.builtin && a.x.data == b.x.data;
  case VAL_MODULE: return a.u.module->node == b.u.module->node;
  case VAL_INSTANCE: return a.u.instance == b.u.instance;
  case VAL_SPACE: return a.u.space == b.u.space;
  default: return false;
  }
}

const char *value_kind_name(Value v) {
  switch ((ValueKind)v.kind) {
  case VAL_NONE: return "none";
  case VAL_BOOL: return "bool";
  case VAL_INT:
  case VAL_DIM: return "int";
  case VAL_FLOAT: return "float";
  case VAL_STR: return "str";
  case VAL_DTYPE: return "dtype";
  case VAL_TENSOR:
  case VAL_WEAK:
  case VAL_REF: return "tensor";
  case VAL_LIST: return "list";
  case VAL_TUPLE: return "tuple";
  case VAL_RECORD: return "record";
  case VAL_FN:
  case VAL_BUILTIN:
  case VAL_MODULE: return "fn";
  case VAL_INSTANCE: return "module";
  default: return "namespace";
  }
}

const char *value_describe(Tracer *t, Value v) {
  char b[40];
  switch ((ValueKind)v.kind) {
  case VAL_BOOL: return v.u.b ? "true" : "false";
  case VAL_INT: return trace_printf(t, "int %lld", (long long)v.u.i);
  case VAL_FLOAT: return trace_printf(t, "float %s", format_float(b, v.u.f, 17));
  case VAL_DIM: return trace_printf(t, "int %s", sym_text(t->syms, v.u.dim, t->arena));
  case VAL_STR: return trace_printf(t, "\"%s\"", v.u.s);
  case VAL_TENSOR: return graph_type(v.x.graph, v.u.id);
  case VAL_REF: return graph_shape_text(t->ctx, v.u.cell->dtype, v.u.cell->shape, v.u.cell->rank);
  case VAL_INSTANCE: return trace_printf(t, "module %s", v.u.instance->name);
  default: return value_kind_name(v);
  }
}

static void put_text(Tracer *t, Value v, Buf *b) {
  char s[40];
  switch ((ValueKind)v.kind) {
  case VAL_INT: buf_printf(b, "%lld", (long long)v.u.i); break;
  case VAL_FLOAT: buf_put(b, format_float(s, v.u.f, 17)); break;
  case VAL_DIM: sym_print(t->syms, v.u.dim, b); break;
  case VAL_STR: buf_put(b, v.u.s); break;
  case VAL_DTYPE: buf_put(b, dtype_name(v.u.dtype)); break;
  case VAL_LIST:
  case VAL_TUPLE:
  case VAL_RECORD:
    buf_put(b, v.kind == VAL_LIST ? "[" : v.kind == VAL_TUPLE ? "(" : "{");
    for (uint32_t i = 0; i < v.n && b->n < 4096; i++) {
      buf_put(b, i ? ", " : "");
      if (v.kind == VAL_RECORD) buf_printf(b, "%s = ", v.x.key[i]);
      put_text(t, v.u.at[i], b);
    }
    buf_put(b, v.kind == VAL_LIST ? "]" : v.kind == VAL_TUPLE ? (v.n == 1 ? ",)" : ")") : "}");
    break;
  default: buf_put(b, value_describe(t, v));
  }
}

const char *value_text(Tracer *t, Value v) {
  if (v.kind == VAL_STR) return v.u.s;
  Buf b = {0};
  put_text(t, v, &b);
  char *s = arena_strndup(t->arena, b.at ? b.at : "", b.n);
  buf_free(&b);
  return s;
}

const Value *value_field(Value r, const char *name) {
  for (uint32_t i = 0; i < r.n; i++)
    if (r.x.key[i] == name || strcmp(r.x.key[i], name) == 0) return &r.u.at[i];
  return NULL;
}

/* ---- trees ---- */
static const char *fields_text(Tracer *t, Value v) {
  if (v.kind != VAL_RECORD) return value_kind_name(v);
  Buf b = {0};
  for (uint32_t i = 0; i < v.n && b.n < 200; i++) buf_printf(&b, "%s%s", i ? ", " : "{", v.x.key[i]);
  char *s = trace_printf(t, "%s%s}", b.at ? b.at : "{", b.n >= 200 ? ", ..." : "");
  buf_free(&b);
  return s;
}

static bool forms_differ(Tracer *t, const Value *trees, int n) {
  Buf b = {0};
  bool record = trees[0].kind == VAL_RECORD;
  for (int i = 0; i < n; i++) {
    buf_put(&b, i ? " and " : "");
    if (record)
      buf_put(&b, fields_text(t, trees[i]));
    else if (trees[i].kind == VAL_LIST || trees[i].kind == VAL_TUPLE)
      buf_printf(&b, "%s of %u", value_kind_name(trees[i]), trees[i].n);
    else
      buf_put(&b, value_kind_name(trees[i]));
  }
  trace_fault(t, "sir-tree-form", record ? "the trees differ in their fields: %s" : "the trees differ: %s", b.at);
  buf_free(&b);
  return false;
}

bool tree_map(Tracer *t, TreeFn *f, void *ctx, const Value *trees, int n, Value *out) {
  Value a = trees[0];
  if (!value_is_tree(a)) return f(t, ctx, trees, n, out);
  for (int i = 1; i < n; i++) {
    bool same = trees[i].kind == a.kind && trees[i].n == a.n;
    for (uint32_t k = 0; same && a.kind == VAL_RECORD && k < a.n; k++) same = a.x.key[k] == trees[i].x.key[k];
    if (!same) return forms_differ(t, trees, n);
  }
  Value *at = ARENA_ARRAY(t->arena, Value, a.n + 1), *row = ARENA_ARRAY(t->arena, Value, n);
  for (uint32_t k = 0; k < a.n; k++) {
    for (int i = 0; i < n; i++) row[i] = trees[i].u.at[k];
    if (!tree_map(t, f, ctx, row, n, &at[k])) return false;
  }
  *out = a.kind == VAL_RECORD ? value_record(a.x.key, at, a.n)
         : a.kind == VAL_LIST ? value_list(at, a.n)
                              : value_tuple(at, a.n);
  return true;
}

void tree_flatten(Tracer *t, Value tree, Values *out) {
  if (!value_is_tree(tree)) {
    vec_push(t->arena, out, tree);
    return;
  }
  for (uint32_t i = 0; i < tree.n; i++) tree_flatten(t, tree.u.at[i], out);
}

static bool next_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  (void)t, (void)leaf, (void)n;
  const Value **next = ctx;
  *out = *(*next)++;
  return true;
}

Value tree_refill(Tracer *t, Value form, const Value *leaves) {
  Value out = form;
  tree_map(t, next_leaf, &leaves, &form, 1, &out);
  return out;
}

bool tree_same_form(Value a, Value b) {
  if (!value_is_tree(a)) return !value_is_tree(b);
  if (a.kind != b.kind || a.n != b.n) return false;
  for (uint32_t i = 0; i < a.n; i++)
    if ((a.kind == VAL_RECORD && a.x.key[i] != b.x.key[i]) || !tree_same_form(a.u.at[i], b.u.at[i])) return false;
  return true;
}

/* ---- names ---- */
Value *names_get(const NameMap *m, const char *name) {
  for (uint32_t i = 0; i < m->e.n; i++)
    if (m->e.at[i].name == name) return &m->e.at[i].value;
  return NULL;
}

void names_set(Tracer *t, NameMap *m, const char *name, Value v) {
  Value *have = names_get(m, name);
  if (have)
    *have = v;
  else
    vec_push(t->arena, &m->e, (NameValue){name, v});
}

bool namelist_has(const NameList *l, const char *name) {
  for (uint32_t i = 0; i < l->n; i++)
    if (l->at[i] == name) return true;
  return false;
}

/* ---- views and walks ---- */
static const Value *over_get(const Over *o, const TCell *c) {
  for (uint32_t i = 0; o && i < o->e.n; i++)
    if (o->e.at[i].cell == c) return &o->e.at[i].value;
  return NULL;
}

static Value view_instance(Tracer *t, Instance *m, const Over *over) {
  Instance *v = ARENA_NEW(t->arena, Instance);
  *v = *m;
  Over *all = ARENA_NEW(t->arena, Over);
  for (uint32_t i = 0; m->over && i < m->over->e.n; i++)
    if (!over_get(over, m->over->e.at[i].cell)) vec_push(t->arena, &all->e, m->over->e.at[i]);
  for (uint32_t i = 0; i < over->e.n; i++) vec_push(t->arena, &all->e, over->e.at[i]);
  all->dtypes = over->dtypes ? over->dtypes : m->over ? m->over->dtypes : DT_NONE;
  v->over = all;
  if (all->dtypes) {
    v->args = (NameMap){0};
    for (uint32_t i = 0; i < m->args.e.n; i++) {
      NameValue a = m->args.e.at[i];
      if (a.value.kind == VAL_DTYPE && dtype_is_float(a.value.u.dtype)) a.value.u.dtype = all->dtypes;
      vec_push(t->arena, &v->args.e, a);
    }
  }
  return value_instance(v);
}

static bool view_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  (void)n;
  const Over *over = ctx;
  *out = *leaf;
  if (leaf->kind == VAL_INSTANCE)
    *out = view_instance(t, leaf->u.instance, over);
  else if (leaf->kind == VAL_REF && over_get(over, leaf->u.cell))
    *out = *over_get(over, leaf->u.cell);
  return true;
}

Value value_view(Tracer *t, Value v, const Over *over) {
  Value out = v;
  if (over) tree_map(t, view_leaf, (void *)over, &v, 1, &out);
  return out;
}

static const char *join(Tracer *t, const char *prefix, const char *step) {
  return !step[0] ? prefix : prefix[0] ? trace_printf(t, "%s.%s", prefix, step) : step;
}

static void walk_stored(Tracer *t, Value v, const Over *over, const char *path, uint32_t mark, Walk *out) {
  if (value_is_tree(v)) {
    for (uint32_t i = 0; i < v.n; i++)
      walk_stored(t, v.u.at[i], over,
                  v.kind == VAL_RECORD ? trace_printf(t, "%s.%s", path, v.x.key[i]) : trace_printf(t, "%s.%u", path, i),
                  mark, out);
  } else if (v.kind == VAL_REF && v.u.cell->mark != mark) {
    v.u.cell->mark = mark;
    const Value *other = over_get(over, v.u.cell);
    vec_push(t->arena, out, (WalkItem){path, v.u.cell, other ? *other : v});
  }
}

static void walk_value(Tracer *t, Value v, const char *prefix, bool no_index, uint32_t mark, Walk *out) {
  if (v.kind == VAL_INSTANCE) {
    Instance *m = v.u.instance;
    for (uint32_t i = 0; i < m->fields.e.n; i++) {
      NameValue *f = &m->fields.e.at[i];
      const Value *as = names_get(&m->renamed, f->name);
      const char *step = as ? as->u.s : f->name;
      if (namelist_has(&m->stored, f->name))
        walk_stored(t, f->value, m->over, join(t, prefix, step), mark, out);
      else if (namelist_has(&m->owned, f->name))
        walk_value(t, m->over ? value_view(t, f->value, m->over) : f->value, join(t, prefix, step), !step[0], mark,
                   out);
    }
  } else if (value_is_tree(v)) {
    for (uint32_t i = 0; i < v.n; i++) {
      const char *step = v.kind == VAL_RECORD ? v.x.key[i] : trace_printf(t, "%u", i);
      walk_value(t, v.u.at[i], no_index && v.kind != VAL_RECORD ? prefix : join(t, prefix, step), false, mark, out);
    }
  }
}

uint32_t value_walk_from(Tracer *t, Value v, const char *prefix, uint32_t mark, Walk *out) {
  if (!mark) mark = ++t->marks;
  walk_value(t, v, prefix, false, mark, out);
  return mark;
}

void value_walk(Tracer *t, Value v, Walk *out) { value_walk_from(t, v, "", 0, out); }

bool value_matches(Tracer *t, const char *name, const char *pattern) {
  const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') : NULL;
  if (!close) return str_match(pattern, name);
  for (const char *p = open + 1; p <= close;) {
    const char *end = p;
    while (end < close && *end != ',') end++;
    if (value_matches(t, name,
                      trace_printf(t, "%.*s%.*s%s", (int)(open - pattern), pattern, (int)(end - p), p, close + 1)))
      return true;
    p = end + 1;
  }
  return false;
}

/* ---- other languages ---- */
const char *foreign_name(const char *name) {
  static const char *const table[][2] = {{"view", "`reshape(x, [a, b])`"},
                                         {"cat", "`concat(xs, axis)`"},
                                         {"concatenate", "`concat(xs, axis)`"},
                                         {"unsqueeze", "`x[:, none]`"},
                                         {"expand_dims", "`x[:, none]`"},
                                         {"size", "`x.shape[i]`"},
                                         {"numel", "`count(x)`"},
                                         {"detach", "`stop_gradient(x)`"},
                                         {"item", "the tensor itself"},
                                         {"float", "`x.to(f32)`"},
                                         {"long", "`x.to(i64)`"},
                                         {"astype", "`x.to(f32)`"},
                                         {"matmul", "`a @ b`"},
                                         {"mm", "`a @ b`"},
                                         {"bmm", "`a @ b`"},
                                         {"amax", "`max(x, axis)`"},
                                         {"amin", "`min(x, axis)`"},
                                         {"index_select", "`x[i]`"},
                                         {"take_along_axis", "`take(x, i, axis)`"},
                                         {"gather", "`take(x, i, axis)`"},
                                         {"swapaxes", "`transpose(x, a, b)`"},
                                         {"t", "`x.T`"},
                                         {"square", "`x ** 2`"},
                                         {"range", "`0..n`"},
                                         {"enumerate", "`zip(0..len(xs), xs)`"},
                                         {"print", "`debug.print(\"{x}\")`"},
                                         {"no_grad", "`stop_gradient(x)`"},
                                         {"backward", "`grad(loss, net)`"},
                                         {"rand", "`random.uniform(shape)`"},
                                         {"randn", "`random.normal(shape)`"},
                                         {"isinstance", "`kind(x)`"},
                                         {"callable", "`kind(x)`"},
                                         {"str", "`\"{x}\"`"},
                                         {"clip", "`clamp(x, min, max)`"},
                                         {"power", "`a ** b`"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strcmp(table[i][0], name) == 0) return table[i][1];
  return NULL;
}

const char *foreign_argument(const char *name) {
  static const char *const table[][2] = {{"dim", "axis"}, {"axes", "axis"}, {"dims", "axis"}, {"keepdims", "keepdim"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strcmp(table[i][0], name) == 0) return table[i][1];
  return NULL;
}
