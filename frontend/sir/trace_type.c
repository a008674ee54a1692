/* Types: of params, of arguments and results; how a signature binds dimensions. */
#include "trace.h"
#include <ctype.h>
#include <string.h>

bool trace_dtype(Tracer *t, const char *name, Frame *fr, DType *out) {
  Value v;
  DType d = dtype_parse(name);
  if (d && d != DT_IDX) {
    *out = d;
    return dtype_in_graph(d) || trace_later(t, trace_printf(t, "the dtype %s", name));
  }
  if (!trace_lookup(t, name, fr, &v)) return false;
  if (v.kind != VAL_DTYPE) return trace_fault(t, "sir-no-dtype", "`%s` is no dtype", name);
  *out = v.u.dtype;
  return true;
}

bool trace_check_size(Tracer *t, DType d, const Sym *shape, int rank) {
  int64_t total = 1, n;
  for (int i = 0; i < rank; i++) {
    if (sym_overflowed(t->syms, shape[i]))
      return trace_fault(t, "sir-size", "a dimension leaves the 64 bits of an int");
    if (!sym_is_int(t->syms, shape[i], &n)) continue;
    if (n < 0) return trace_fault(t, "sir-size", "a dimension is at least 0, this is %lld", (long long)n);
    if (__builtin_mul_overflow(total, n, &total) || total > (INT64_MAX >> 8))
      return trace_fault(t, "sir-size", "%s has more elements than memory can hold",
                         graph_shape_text(t->ctx, d, shape, rank));
  }
  return true;
}

static bool dimension(Tracer *t, const Ast *d, Frame *fr, Sym *out) {
  Value v;
  if (d->kind == AST_REST || d->kind == AST_ANY)
    return trace_fault(t, "sir-open-shape",
                       "`%s` stands in the types of fn parameters; here the shape is written in full",
                       d->kind == AST_REST ? "..." : "_");
  if (!trace_ev(t, d->kind == AST_GIVEN ? d->kids[0] : d, fr, &v)) return false;
  if (!value_is_size(v)) return trace_fault(t, "sir-dimension", "a dimension is an int, not %s", value_describe(t, v));
  *out = value_as_sym(t, v);
  return true;
}

bool trace_tensor_type(Tracer *t, const Ast *type, Frame *fr, DType *d, Sym *shape, int *rank) {
  if (type->kind != AST_T_TENSOR)
    return trace_fault(t, "sir-tensor-type", "a param or state of one tensor has a type like f32[D]");
  if (type->nkids > MAX_RANK)
    return trace_fault(t, "sir-rank", "a tensor has at most %d axes, this has %u", MAX_RANK, type->nkids);
  if (!trace_dtype(t, type->text, fr, d)) return false;
  for (uint32_t i = 0; i < type->nkids; i++)
    if (!dimension(t, type->kids[i], fr, &shape[i])) return false;
  *rank = (int)type->nkids;
  return trace_check_size(t, *d, shape, *rank);
}

static const char *show(Tracer *t, const Ast *type) {
  Buf b = {0};
  ast_print(t->diag, type, &b);
  size_t n = b.n;
  while (n && b.at[n - 1] == '\n') n--;
  char *s = arena_strndup(t->arena, b.at ? b.at : "", n);
  buf_free(&b);
  return s;
}

static bool mismatch(Tracer *t, const char *what, Value x, const Ast *type) {
  return trace_fault(t, "sir-type", "%s is %s, its type %s", what, value_describe(t, x), show(t, type));
}

static bool check_name(Tracer *t, const Ast *type, Value x, Frame *fr, const char *what, Value *out) {
  const char *name = type->text;
  bool is_float = strcmp(name, "float") == 0, ok;
  *out = x;
  if (is_float && x.kind == VAL_DIM) {
    Id v;
    if (!trace_weak(t, x, &v)) return false;
    *out = value_weak(t->g, v);
    return true;
  }
  if (strcmp(name, "int") == 0)
    ok = value_is_size(x);
  else if (is_float)
    ok = value_is_number(x) || x.kind == VAL_WEAK;
  else if (strcmp(name, "bool") == 0)
    ok = x.kind == VAL_BOOL;
  else if (strcmp(name, "str") == 0)
    ok = x.kind == VAL_STR;
  else if (strcmp(name, "dtype") == 0)
    ok = x.kind == VAL_DTYPE;
  else if (strcmp(name, "fn") == 0)
    ok = value_callable(x) || x.kind == VAL_LIST;
  else if (strcmp(name, "tensor") == 0)
    ok = value_is_node(x);
  else {
    Value m = value_none();
    const char *dot = strchr(name, '.');
    const char *first = dot ? str_intern_n(t->ctx->names, name, (size_t)(dot - name)) : name;
    if (!trace_lookup(t, first, fr, &m)) return false;
    while (dot) {
      const char *next = strchr(dot + 1, '.');
      const char *step =
          next ? str_intern_n(t->ctx->names, dot + 1, (size_t)(next - dot - 1)) : trace_intern(t, dot + 1);
      if (!trace_field(t, m, step, &m)) return false;
      dot = next;
    }
    if (m.kind != VAL_MODULE) return trace_fault(t, "sir-no-type", "`%s` is no type", name);
    ok = x.kind == VAL_INSTANCE && x.u.instance->name == m.u.module->name && x.u.instance->file == m.u.module->file;
  }
  if (!ok) return mismatch(t, what, x, type);
  if (is_float && x.kind == VAL_INT) *out = value_float((double)x.u.i);
  return true;
}

/* Whether a bare name among the dimensions of a signature is new here, and so binds. */
static bool binds(const Ast *d, Frame *fr) {
  if (d->kind != AST_NAME || !isupper((unsigned char)d->text[0]) || namelist_has(&fr->known, d->text)) return false;
  Instance *me = fr->me;
  return !me || me == fr->file->instance || (!names_get(&me->args, d->text) && !names_get(&me->fields, d->text));
}

static bool check_tensor(Tracer *t, const Ast *type, Value x, Frame *fr, const char *what, bool bind, Value *out) {
  DType d = dtype_parse(type->text);
  Id v;
  *out = x;
  if (d && !dtype_in_graph(d)) return trace_later(t, trace_printf(t, "the dtype %s", type->text));
  if (!value_is_leaf(x)) return mismatch(t, what, x, type);
  if (!trace_tensor(t, x, x.kind == VAL_REF ? DT_NONE : d, &v)) return false;
  if (x.kind != VAL_REF) *out = value_node(t->g, v);
  DType got = graph_dtype(t->g, v);
  if (!d && bind && !names_get(&fr->names, type->text) && !(fr->me && names_get(&fr->me->args, type->text)))
    names_set(t, &fr->names, type->text, value_dtype(got));
  if (!trace_dtype(t, type->text, fr, &d)) return false;
  const char *is = trace_printf(t, "%s is %s, its type %s", what, graph_type(t->g, v), show(t, type));
  if (d != got) return trace_fault(t, "sir-type", "%s; write `.to(%s)`", is, dtype_name(d));
  int rank = graph_rank(t->g, v), dims = (int)type->nkids, rest = -1;
  Sym shape[MAX_RANK];
  for (int i = 0; i < rank; i++) shape[i] = graph_shape(t->g, v)[i];
  for (int i = 0; i < dims && rest < 0; i++) rest = type->kids[i]->kind == AST_REST ? i : -1;
  if (rest < 0 ? dims != rank : rank < dims - 1) return trace_fault(t, "sir-type", "%s: the ranks differ", is);
  for (int i = 0; i < dims; i++) {
    const Ast *k = type->kids[i];
    if (k->kind == AST_REST || k->kind == AST_ANY) continue;
    int axis = rest >= 0 && i > rest ? rank - dims + i : i;
    Sym n = shape[axis], want;
    if (bind && binds(k, fr)) {
      vec_push(t->arena, &fr->known, k->text);
      if (!trace_set(t, k->text, value_sym(t, n), fr)) return false;
      continue;
    }
    if (!dimension(t, k, fr, &want)) return false;
    if (!trace_equal_dims(t, want, n)) {
      const char *w = sym_text(t->syms, want, t->arena);
      const char *name = k->kind == AST_NAME && strcmp(k->text, w) != 0 ? trace_printf(t, "%s = ", k->text) : "";
      return trace_fault(t, "sir-type", "%s: axis %d is %s, not %s%s", is, rest >= 0 ? axis - rank : axis,
                         sym_text(t->syms, n, t->arena), name, w);
    }
  }
  return true;
}

bool trace_check(Tracer *t, const Ast *type, Value x, Frame *fr, const char *what, bool bind, Value *out) {
  uint32_t n = type->nkids;
  if (type->kind == AST_T_NAME) return check_name(t, type, x, fr, what, out);
  if (type->kind == AST_T_TENSOR) return check_tensor(t, type, x, fr, what, bind, out);
  Value *at = ARENA_ARRAY(t->arena, Value, (type->kind == AST_T_LIST ? x.n : n) + 1);
  if (type->kind == AST_T_RECORD) {
    const char **key = ARENA_ARRAY(t->arena, const char *, n + 1);
    bool same = x.kind == VAL_RECORD && x.n == n;
    for (uint32_t i = 0; same && i < n; i++) same = value_field(x, key[i] = type->kids[i]->text) != NULL;
    if (!same) {
      const char *have = x.kind == VAL_RECORD ? "{" : value_describe(t, x), *want = "{";
      for (uint32_t i = 0; x.kind == VAL_RECORD && i < x.n; i++)
        have = trace_printf(t, "%s%s%s", have, i ? ", " : "", x.x.key[i]);
      for (uint32_t i = 0; i < n; i++) want = trace_printf(t, "%s%s%s", want, i ? ", " : "", type->kids[i]->text);
      return trace_fault(t, "sir-type", "%s is %s%s, its type %s}", what, have, x.kind == VAL_RECORD ? "}" : "", want);
    }
    for (uint32_t i = 0; i < n; i++)
      if (!trace_check(t, type->kids[i]->kids[0], *value_field(x, key[i]), fr, trace_printf(t, "%s.%s", what, key[i]),
                       bind, &at[i]))
        return false;
    *out = value_record(key, at, n);
    return true;
  }
  if (type->kind == AST_T_TUPLE) {
    if (x.kind != VAL_TUPLE || x.n != n)
      return trace_fault(t, "sir-type", "%s is %s, its type a tuple of %u", what, value_describe(t, x), n);
    for (uint32_t i = 0; i < n; i++)
      if (!trace_check(t, type->kids[i], x.u.at[i], fr, what, bind, &at[i])) return false;
    *out = value_tuple(at, n);
    return true;
  }
  Value length;
  if (!trace_ev(t, type->kids[1], fr, &length)) return false;
  if (length.kind != VAL_INT)
    return trace_fault(t, "sir-dimension", "the length of a list is an int, not %s", value_describe(t, length));
  if (x.kind != VAL_LIST || x.n != length.u.i)
    return trace_fault(t, "sir-type", "%s is %s, its type a list of %lld", what, value_describe(t, x),
                       (long long)length.u.i);
  for (uint32_t i = 0; i < x.n; i++)
    if (!trace_check(t, type->kids[0], x.u.at[i], fr, trace_printf(t, "%s[%u]", what, i), bind, &at[i])) return false;
  *out = value_list(at, x.n);
  return true;
}
