#include "library.h"
#include <string.h>

/* ---- static values ---- */
bool lib_len(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value x = a->at[0];
  if (value_is_node(x)) return trace_fault(t, "sir-len", "len of a tensor, %s; write x.shape[0]", value_describe(t, x));
  if (!value_is_tree(x) && x.kind != VAL_STR) return trace_fault(t, "sir-len", "len of %s", value_describe(t, x));
  *out = value_int(x.kind == VAL_STR ? (int64_t)strlen(x.u.s) : x.n);
  return true;
}

static bool is_list(Value v) { return v.kind == VAL_LIST || v.kind == VAL_TUPLE; }

bool lib_zip(Tracer *t, const BuiltinArgs *a, Value *out) {
  for (int i = 0; i < a->nrest; i++) {
    if (!is_list(a->rest[i]))
      return trace_fault(t, "sir-zip", "zip of %s; the leaves of a tree are `leaves(t)`",
                         value_describe(t, a->rest[i]));
    if (a->rest[i].n != a->rest[0].n)
      return trace_fault(t, "sir-zip", "zip of lists of different lengths: %u and %u", a->rest[0].n, a->rest[i].n);
  }
  uint32_t n = a->nrest ? a->rest[0].n : 0, width = (uint32_t)a->nrest;
  Value *at = ARENA_ARRAY(t->arena, Value, n + 1), *all = ARENA_ARRAY(t->arena, Value, (size_t)n * width + 1);
  for (uint32_t k = 0; k < n; k++) {
    Value *one = all + (size_t)k * width;
    for (uint32_t i = 0; i < width; i++) one[i] = a->rest[i].u.at[k];
    at[k] = value_tuple(one, width);
  }
  *out = value_list(at, n);
  return true;
}

bool lib_reversed(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value xs = a->at[0];
  if (!is_list(xs))
    return trace_fault(t, "sir-list", "reversed takes a list, not %s; `flip(x, axis)` turns a tensor around",
                       value_describe(t, xs));
  Value *at = ARENA_ARRAY(t->arena, Value, xs.n + 1);
  for (uint32_t i = 0; i < xs.n; i++) at[i] = xs.u.at[xs.n - 1 - i];
  *out = value_list(at, xs.n);
  return true;
}

bool lib_kind(Tracer *t, const BuiltinArgs *a, Value *out) {
  (void)t;
  *out = value_str(value_kind_name(a->at[0]));
  return true;
}

bool lib_matches(Tracer *t, const BuiltinArgs *a, Value *out) {
  *out = value_bool(value_matches(t, a->at[0].u.s, a->at[1].u.s));
  return true;
}

bool lib_get(Tracer *t, const BuiltinArgs *a, Value *out) {
  if (a->at[0].kind != VAL_RECORD)
    return trace_fault(t, "sir-record", "get takes a record, not %s", value_describe(t, a->at[0]));
  const Value *v = value_field(a->at[0], trace_intern(t, a->at[1].u.s));
  return trace_now(t, v ? *v : a->at[2], out);
}

bool lib_debug(Tracer *t, const BuiltinArgs *a, Value *out) {
  (void)t;
  (void)a;
  *out = value_none(); /* of debug artefacts, which a later version makes: nothing is to be done */
  return true;
}

/* ---- params of modules ---- */
static bool selected(Tracer *t, const char *name, Value match, Value except) {
  return (match.kind == VAL_NONE || value_matches(t, name, match.u.s)) &&
         (except.kind == VAL_NONE || !value_matches(t, name, except.u.s));
}

/* The params of a module by their paths: references (given or not), and what a view has instead. */
static Value named(Tracer *t, Value module, Value match, Value except, bool frozen, bool given) {
  Walk walk = {0};
  value_walk(t, module, &walk);
  Value *at = ARENA_ARRAY(t->arena, Value, walk.n + 1);
  const char **key = ARENA_ARRAY(t->arena, const char *, walk.n + 1);
  uint32_t n = 0;
  for (uint32_t i = 0; i < walk.n; i++) {
    WalkItem w = walk.at[i];
    bool ref = w.value.kind == VAL_REF;
    if (w.cell->kind != CELL_PARAM || (ref && w.cell->frozen && !frozen) || !selected(t, w.path, match, except))
      continue;
    at[n] = ref ? value_ref(w.cell, given) : w.value;
    key[n++] = trace_intern(t, w.path);
  }
  return value_record(key, at, n);
}

Value lib_form(Tracer *t, Value w) {
  if (value_is_module(w)) return named(t, w, value_none(), value_none(), false, false);
  if (!value_is_tree(w) || !value_contains_module(w)) return w;
  Value *at = ARENA_ARRAY(t->arena, Value, w.n + 1);
  for (uint32_t i = 0; i < w.n; i++) at[i] = lib_form(t, w.u.at[i]);
  return w.kind == VAL_RECORD ? value_record(w.x.key, at, w.n)
         : w.kind == VAL_LIST ? value_list(at, w.n)
                              : value_tuple(at, w.n);
}

/* A tree to compute with: of a module, the record of its params. */
static Value value_tree(Tracer *t, Value v) { return value_is_module(v) ? lib_form(t, v) : v; }

bool lib_params(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value net = a->at[0];
  if (net.kind == VAL_RECORD && !value_contains_module(net)) { /* what params gave: a part of it */
    Value *at = ARENA_ARRAY(t->arena, Value, net.n + 1);
    const char **key = ARENA_ARRAY(t->arena, const char *, net.n + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < net.n; i++)
      if (selected(t, net.x.key[i], a->at[1], a->at[2])) {
        TRY(trace_now(t, net.u.at[i], &at[n]));
        key[n++] = net.x.key[i];
      }
    *out = value_record(key, at, n);
    return true;
  }
  if (!value_contains_module(net))
    return trace_fault(t, "sir-params", "params of %s; it takes a module", value_describe(t, net));
  return trace_now(t, named(t, net, a->at[1], a->at[2], false, false), out);
}

static bool give_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  (void)ctx;
  (void)n;
  if (leaf->kind != VAL_REF)
    return trace_fault(t, "sir-refs", "refs of %s, a value; it takes a module or a tree of params and states",
                       value_describe(t, *leaf));
  *out = value_ref(leaf->u.cell, true);
  return true;
}

bool lib_refs(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value net = a->at[0];
  if (!value_contains_module(net)) return tree_map(t, give_leaf, NULL, &net, 1, out);
  Value all = named(t, net, a->at[1], a->at[2], a->at[3].u.b, true);
  Value *at = ARENA_ARRAY(t->arena, Value, all.n + 1);
  const char **key = ARENA_ARRAY(t->arena, const char *, all.n + 1);
  uint32_t n = 0;
  for (uint32_t i = 0; i < all.n; i++)
    if (all.u.at[i].kind == VAL_REF) {
      at[n] = all.u.at[i];
      key[n++] = all.x.key[i];
    }
  *out = value_record(key, at, n);
  return true;
}

bool lib_freeze(Tracer *t, const BuiltinArgs *a, Value *out) {
  Walk walk = {0};
  Values leaves = {0};
  value_walk(t, a->at[0], &walk);
  for (uint32_t i = 0; i < walk.n; i++) walk.at[i].cell->frozen = true;
  tree_flatten(t, a->at[0], &leaves); /* single params too */
  for (uint32_t i = 0; i < leaves.n; i++) {
    if (leaves.at[i].kind == VAL_REF)
      leaves.at[i].u.cell->frozen = true;
    else if (!walk.n && !value_contains_module(a->at[0]))
      return trace_fault(t, "sir-freeze", "freeze of %s; it takes a module or params", value_describe(t, leaves.at[i]));
  }
  *out = value_none();
  return true;
}

/* ---- trees ---- */
typedef struct Mapping {
  Value f;
  const Ast *caller;
  Frame *frame;
} Mapping;

static bool map_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  const Mapping *m = ctx;
  Value *args = ARENA_ARRAY(t->arena, Value, n), r;
  for (int i = 0; i < n; i++) TRY(trace_now(t, leaf[i], &args[i]));
  t->caller = m->caller; /* the call before may have moved it */
  t->caller_frame = m->frame;
  TRY(trace_call(t, m->f, args, n, NULL, 0, &r));
  return trace_now(t, r, out);
}

bool lib_map(Tracer *t, const BuiltinArgs *a, Value *out) {
  if (!value_callable(a->at[0]) && !value_is_module(a->at[0]))
    return trace_fault(t, "sir-map", "map takes a function first, not %s", value_describe(t, a->at[0]));
  if (!a->nrest) return trace_fault(t, "sir-map", "map takes a function and at least one tree");
  Value *trees = ARENA_ARRAY(t->arena, Value, a->nrest);
  for (int i = 0; i < a->nrest; i++) trees[i] = value_tree(t, a->rest[i]);
  Mapping m = {a->at[0], t->caller, t->caller_frame};
  return tree_map(t, map_leaf, &m, trees, a->nrest, out);
}

bool lib_leaves(Tracer *t, const BuiltinArgs *a, Value *out) {
  Values v = {0};
  tree_flatten(t, value_tree(t, a->at[0]), &v);
  return trace_now(t, value_list(v.at, v.n), out);
}

bool lib_items(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value r = value_tree(t, a->at[0]);
  if (r.kind != VAL_RECORD)
    return trace_fault(t, "sir-record", "items takes a record or a module, not %s", value_describe(t, r));
  Value *at = ARENA_ARRAY(t->arena, Value, r.n + 1), *pairs = ARENA_ARRAY(t->arena, Value, 2 * r.n + 1);
  for (uint32_t i = 0; i < r.n; i++) {
    pairs[2 * i] = value_str(r.x.key[i]);
    TRY(trace_now(t, r.u.at[i], &pairs[2 * i + 1]));
    if (r.u.at[i].kind == VAL_REF && r.u.at[i].given) pairs[2 * i + 1] = r.u.at[i];
    at[i] = value_tuple(pairs + 2 * i, 2);
  }
  *out = value_list(at, r.n);
  return true;
}

bool lib_rebuild(Tracer *t, const BuiltinArgs *a, Value *out) {
  Values v = {0};
  Value form = value_tree(t, a->at[0]), xs = a->at[1];
  tree_flatten(t, form, &v);
  if (!is_list(xs)) return trace_fault(t, "sir-list", "rebuild takes a list of leaves, not %s", value_describe(t, xs));
  if (v.n != xs.n) return trace_fault(t, "sir-rebuild", "rebuild of a tree of %u leaves from %u", v.n, xs.n);
  *out = tree_refill(t, form, xs.u.at);
  return true;
}

bool lib_add_all(Tracer *t, const BuiltinArgs *a, Value *out) {
  Value xs = a->at[0], r;
  if (!is_list(xs))
    return trace_fault(t, "sir-list", "add_all takes a list, not %s; the leaves of a tree are `leaves(t)`",
                       value_describe(t, xs));
  if (!xs.n) return trace_fault(t, "sir-list", "add_all of an empty list");
  TRY(trace_now(t, xs.u.at[0], &r));
  for (uint32_t i = 1; i < xs.n; i++) {
    Value x;
    TRY(trace_now(t, xs.u.at[i], &x));
    TRY(trace_binary(t, SIR_ADD, r, x, &r));
  }
  *out = r;
  return true;
}

/* ---- views and copies ---- */
bool lib_bind_values(Tracer *t, Value net, Value values, DType dtypes, Value *out) {
  if (!value_contains_module(net))
    return trace_fault(t, "sir-bind", "%s of %s; it takes a module", dtypes ? "cast" : "bind", value_describe(t, net));
  if (values.kind != VAL_RECORD)
    return trace_fault(t, "sir-bind", "bind takes a record of values, as params(net) gives it, not %s",
                       value_describe(t, values));
  Walk walk = {0};
  NameList have = {0};
  Over *over = ARENA_NEW(t->arena, Over);
  over->dtypes = dtypes;
  value_walk(t, net, &walk);
  for (uint32_t i = 0; i < walk.n; i++) vec_push(t->arena, &have, walk.at[i].path);
  for (uint32_t k = 0; k < values.n; k++) {
    TCell *cell = NULL;
    for (uint32_t i = 0; i < walk.n && !cell; i++)
      if (!strcmp(walk.at[i].path, values.x.key[k])) cell = walk.at[i].cell;
    if (!cell)
      return trace_fault(t, "sir-bind", "bind: the module has no `%s`%s", values.x.key[k],
                         trace_near(t, values.x.key[k], &have));
    Id v;
    TRY(trace_tensor(t, values.u.at[k], cell->dtype, &v));
    TRY((v = trace_leaf(t, v)));
    vec_push(t->arena, &over->e, (OverEntry){cell, value_node(t->g, v)});
  }
  *out = value_view(t, net, over);
  return true;
}

bool lib_bind(Tracer *t, const BuiltinArgs *a, Value *out) {
  return lib_bind_values(t, a->at[0], a->at[1], DT_NONE, out);
}

bool lib_cast(Tracer *t, const BuiltinArgs *a, Value *out) {
  DType d = a->at[1].u.dtype;
  TRY(lib_dtype(t, d));
  if (!dtype_is_float(d))
    return trace_fault(t, "sir-dtype", "cast of a module takes a float dtype, not %s", dtype_name(d));
  Value all = named(t, a->at[0], value_none(), value_none(), true, false);
  Value *at = ARENA_ARRAY(t->arena, Value, all.n + 1);
  const char **key = ARENA_ARRAY(t->arena, const char *, all.n + 1);
  uint32_t n = 0;
  for (uint32_t i = 0; i < all.n; i++) {
    Id v;
    TRY(trace_tensor(t, all.u.at[i], DT_NONE, &v));
    if (!dtype_is_float(graph_dtype(t->g, v))) continue;
    TRY(trace_node(t, g_convert(t->g, d, v), &at[n]));
    key[n++] = all.x.key[i];
  }
  return lib_bind_values(t, a->at[0], value_record(key, at, n), d, out);
}

typedef struct Copies { /* old cell -> new cell: a shared one stays shared */
  Vec(TCell *) from, to;
} Copies;

static bool copy_leaf(Tracer *t, void *ctx, const Value *leaf, int n, Value *out) {
  Copies *copies = ctx;
  (void)n;
  *out = *leaf;
  if (leaf->kind == VAL_INSTANCE) {
    const Instance *old = leaf->u.instance;
    Instance *m = ARENA_NEW(t->arena, Instance);
    *m = *old;
    m->over = NULL;
    m->origin = m;
    m->fields = (NameMap){0};
    m->fns = (NameMap){0};
    for (uint32_t i = 0; i < old->fields.e.n; i++) {
      Value v;
      TRY(tree_map(t, copy_leaf, ctx, &old->fields.e.at[i].value, 1, &v));
      names_set(t, &m->fields, old->fields.e.at[i].name, v);
    }
    for (uint32_t i = 0; i < old->fns.e.n; i++) {
      Fn *f = ARENA_NEW(t->arena, Fn);
      *f = *old->fns.e.at[i].value.u.fn;
      f->me = m;
      names_set(t, &m->fns, old->fns.e.at[i].name, (Value){.kind = VAL_FN, .u.fn = f});
    }
    *out = value_instance(m);
  } else if (leaf->kind == VAL_REF) {
    for (uint32_t i = 0; i < copies->from.n; i++)
      if (copies->from.at[i] == leaf->u.cell) {
        *out = value_ref(copies->to.at[i], false);
        return true;
      }
    TCell *c = ARENA_NEW(t->arena, TCell);
    *c = *leaf->u.cell;
    Id start = trace_read(t, leaf->u.cell);
    TRY(start);
    c->start = value_node(t->g, start);
    c->name = NULL;
    c->frozen = true;
    c->draws = 0;
    c->index = (int)t->cells.n;
    c->slot = -1;
    c->mark = 0;
    vec_push(t->arena, &t->cells, c);
    vec_push(t->arena, &copies->from, leaf->u.cell);
    vec_push(t->arena, &copies->to, c);
    *out = value_ref(c, false);
  }
  return true;
}

bool lib_copy(Tracer *t, const BuiltinArgs *a, Value *out) {
  Copies copies = {0};
  if (!value_contains_module(a->at[0]))
    return trace_fault(t, "sir-copy", "copy of %s; it takes a module", value_describe(t, a->at[0]));
  if (!t->scope->root) return trace_fault(t, "sir-copy", "copy makes params; it stands outside entries");
  return tree_map(t, copy_leaf, &copies, &a->at[0], 1, out);
}
