#include "flat.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Value {
  const char *name; /* interned: dotted for a field or an element */
  Id v;
  int index; /* -1, or the result of v that it is */
} Value;

typedef struct Env { /* names of one graph: a hash table by the address of the name */
  Value *at;
  uint32_t n, mask;
} Env;

typedef struct Reader {
  Ctx *c;
  const AstFile *file;
  Program *p;
  Entry *entry; /* NULL in the start value of a cell */
  Env decl;     /* cells (index = cell), consts and fns (v = kid of the file) */
} Reader;

static bool fail(Reader *r, const char *id, const Ast *at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static bool fail(Reader *r, const char *id, const Ast *at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  diag_error(r->c->diag, id, at ? at->loc : 0, "%s", arena_vprintf(r->c->arena, fmt, ap));
  va_end(ap);
  return false;
}

/* ---- names ---------------------------------------------------------------------------------------------------------
 */

static Value *env_slot(const Env *e, const char *name) {
  uint32_t h = (uint32_t)hash_bytes(&name, sizeof name, 0) & e->mask;
  while (e->at[h].name && e->at[h].name != name) h = (h + 1) & e->mask;
  return &e->at[h];
}

static const Value *env_find(const Env *e, const char *name) {
  const Value *v = e->at ? env_slot(e, name) : NULL;
  return v && v->name ? v : NULL;
}

static void env_put(Reader *r, Env *e, Value v) {
  if (!e->at || e->n * 2 > e->mask) {
    Env old = *e;
    e->mask = e->at ? e->mask * 2 + 1 : 63;
    e->at = ARENA_ARRAY(r->c->arena, Value, e->mask + 1);
    for (uint32_t i = 0; old.at && i <= old.mask; i++)
      if (old.at[i].name) *env_slot(e, old.at[i].name) = old.at[i];
  }
  Value *s = env_slot(e, v.name);
  e->n += !s->name;
  *s = v;
}

/* "batch.x.0" of batch.x[0]; NULL if it is no path. */
static const char *path_of(Reader *r, const Ast *a) {
  if (a->kind == AST_NAME) return a->text;
  if (a->kind != AST_FIELD && (a->kind != AST_INDEX || a->nkids != 2 || a->kids[1]->kind != AST_INT)) return NULL;
  const char *base = path_of(r, a->kids[0]);
  if (!base) return NULL;
  return str_intern(r->c->names, a->kind == AST_FIELD
                                     ? arena_printf(r->c->arena, "%s.%s", base, a->text)
                                     : arena_printf(r->c->arena, "%s.%llu", base, (unsigned long long)a->kids[1]->u.i));
}

/* ---- sizes, types, numbers -----------------------------------------------------------------------------------------
 */

static Dim *dim_of(const Entry *e, const char *name) {
  for (uint32_t i = 0; e && i < e->dims.n; i++)
    if (!strcmp(e->dims.at[i].name, name)) return &e->dims.at[i];
  return NULL;
}

static void dim_add(Reader *r, const char *name, bool given) {
  Dim *d = dim_of(r->entry, name);
  if (d)
    d->given |= given;
  else
    vec_push(r->c->arena, &r->entry->dims, (Dim){sym_var(r->c->syms, name), name, 1, INT32_MAX, given});
}

/* A size; 0 after an error. `bind`: a new name is a new dimension. */
static Sym size_of(Reader *r, const Ast *a, bool bind) {
  SymTab *t = r->c->syms;
  if (a->kind == AST_INT && a->u.i <= INT64_MAX) return sym_int(t, (int64_t)a->u.i);
  if (a->kind == AST_NAME) {
    if (bind) dim_add(r, a->text, false);
    if (dim_of(r->entry, a->text)) return sym_var(t, a->text);
    return fail(r, "flat-dimension", a, "there is no dimension `%s` in this entry", a->text);
  }
  if (a->kind == AST_UN && a->op == SIR_NEG) {
    Sym s = size_of(r, a->kids[0], bind);
    return s ? sym_sub(t, sym_int(t, 0), s) : 0;
  }
  bool call =
      a->kind == AST_CALL && a->nkids == 3 && (ast_is_name(a->kids[0], "min") || ast_is_name(a->kids[0], "max"));
  if (a->kind != AST_BIN && !call)
    return fail(r, "flat-dimension", a, "a size is written with numbers, dimensions, + - * // %% min and max");
  Sym x = size_of(r, a->kids[call], bind), y = x ? size_of(r, a->kids[call + 1], bind) : 0;
  if (!x || !y) return 0;
  if (call) return sym_op(t, ast_is_name(a->kids[0], "min") ? SYM_MIN : SYM_MAX, x, y);
  switch (a->op) {
  case SIR_ADD: return sym_add(t, x, y);
  case SIR_SUB: return sym_sub(t, x, y);
  case SIR_MUL: return sym_mul(t, x, y);
  case SIR_FLOOR_DIV: return sym_op(t, SYM_FLOORDIV, x, y);
  case SIR_MOD: return sym_op(t, SYM_MOD, x, y);
  case SIR_LT: return sym_op(t, SYM_LT, x, y);
  case SIR_LE: return sym_op(t, SYM_LE, x, y);
  case SIR_GT: return sym_op(t, SYM_LT, y, x);
  case SIR_GE: return sym_op(t, SYM_LE, y, x);
  case SIR_EQ: return sym_op(t, SYM_EQ, x, y);
  case SIR_NE: return sym_op(t, SYM_NE, x, y);
  default:
    return fail(r, "flat-dimension", a, "`%s` of sizes; they know + - * // %% and comparisons", sir_op_text(a->op));
  }
}

static bool type_of(Reader *r, const Ast *a, bool bind, DType *d, Sym *shape, int *rank) {
  if (a->kind != AST_T_TENSOR) return fail(r, "flat-type", a, "a tensor type like f32[B, 10] stands here");
  *d = dtype_parse(a->text);
  if (*d == DT_NONE || !dtype_in_graph(*d))
    return fail(r, "flat-type", a, "there is no dtype `%s`; use f32, f64, i32, i64 or bool", a->text);
  if (a->nkids > MAX_RANK) return fail(r, "flat-type", a, "%u axes; a tensor has at most %d", a->nkids, MAX_RANK);
  *rank = (int)a->nkids;
  for (uint32_t i = 0; i < a->nkids; i++)
    if (!(shape[i] = size_of(r, a->kids[i], bind))) return false;
  return true;
}

static bool int_of(Reader *r, const Ast *a, int64_t *k) {
  bool minus = a->kind == AST_UN && a->op == SIR_NEG;
  const Ast *x = minus ? a->kids[0] : a;
  if (x->kind != AST_INT || x->u.i > (uint64_t)INT64_MAX + minus)
    return fail(r, "flat-number", a, "a whole number of 64 bits stands here");
  *k = minus ? (int64_t)(0 - x->u.i) : (int64_t)x->u.i;
  return true;
}

/* The bits of a number as a constant of this dtype. */
static bool number_of(Reader *r, const Ast *a, DType d, int64_t *bits) {
  bool minus = a->kind == AST_UN && a->op == SIR_NEG;
  const Ast *x = minus ? a->kids[0] : a;
  double f;
  if (d == DT_BOOL) {
    *bits = (int64_t)a->u.i;
    return a->kind == AST_BOOL || fail(r, "flat-number", a, "true or false stands here, for bool");
  }
  if (dtype_is_int(d)) {
    if (!int_of(r, a, bits)) return false;
    return d != DT_I32 || (*bits >= INT32_MIN && *bits <= INT32_MAX) ||
           fail(r, "flat-number", a, "%lld does not fit i32", (long long)*bits);
  }
  if (x->kind == AST_FLOAT)
    f = x->u.f;
  else if (x->kind == AST_INT)
    f = (double)x->u.i;
  else if (ast_is_name(x, "inf"))
    f = INFINITY;
  else if (ast_is_name(x, "nan"))
    f = NAN;
  else
    return fail(r, "flat-number", a, "a number stands here, for %s", dtype_name(d));
  f = minus ? -f : f;
  memcpy(bits, &f, sizeof f);
  return true;
}

static bool is_number(const Ast *a) {
  if (a->kind == AST_UN && a->op == SIR_NEG) a = a->kids[0];
  return a->kind == AST_INT || a->kind == AST_FLOAT || a->kind == AST_BOOL || ast_is_name(a, "inf") ||
         ast_is_name(a, "nan");
}

static Id constant(Reader *r, Graph *g, const Ast *a, DType d) {
  int64_t bits;
  double x;
  if (!number_of(r, a, d, &bits)) return 0;
  memcpy(&x, &bits, sizeof x);
  return dtype_is_float(d) ? g_const(g, d, x) : g_const_int(g, d, bits);
}

/* ---- operands ------------------------------------------------------------------------------------------------------
 */

static bool numbers(Reader *r, const Ast *a, DType d, void *words) { /* of a list, nested or flat */
  Vec(int64_t) *w = words;
  int64_t bits;
  if (a->kind != AST_LIST) {
    if (!number_of(r, a, d, &bits)) return false;
    vec_push(r->c->arena, w, bits);
    return true;
  }
  for (uint32_t i = 0; i < a->nkids; i++)
    if (!numbers(r, a->kids[i], d, words)) return false;
  return true;
}

static const Ast *named(const Ast *call, const char *name) {
  for (uint32_t i = 1; i < call->nkids; i++)
    if (call->kids[i]->kind == AST_NAMED && !strcmp(call->kids[i]->text, name)) return call->kids[i]->kids[0];
  return NULL;
}

/* The node of `const c0: f32[4] = constant([..])` or `load("f", offset = 0)`. */
static Id const_node(Reader *r, Graph *g, const Ast *a) {
  DType d;
  Sym shape[MAX_RANK];
  int rank;
  const Ast *call = a->kids[1];
  if (!a->kids[0]) return fail(r, "flat-form", a, "`const %s` needs a type in the flat form", a->text);
  if (!type_of(r, a->kids[0], false, &d, shape, &rank)) return 0;
  Loc loc = g->loc;
  g->loc = a->loc;
  Attrs w = {0};
  Op op = OP_NONE;
  if (call->kind == AST_CALL && ast_is_name(call->kids[0], "constant") && call->nkids == 2) {
    Vec(int64_t) v = {0};
    op = OP_CONSTANT;
    if (!numbers(r, call->kids[1], d, &v)) return 0;
    attr_ints(&w, v.at, (int)v.n);
  } else if (call->kind == AST_CALL && ast_is_name(call->kids[0], "load") && call->nkids == 3 &&
             call->kids[1]->kind == AST_STR && call->kids[1]->text && named(call, "offset")) {
    int64_t offset;
    op = OP_DATA;
    if (!int_of(r, named(call, "offset"), &offset)) return 0;
    attr_str(r->c, &w, call->kids[1]->text);
    attr_int(&w, offset);
  } else
    return fail(r, "flat-form", call, "a const of the flat form is constant([..]) or load(\"file\", offset = 0)");
  attr_int(&w, d);
  attr_syms(&w, shape, rank);
  uint32_t before = g->node.n;
  Id v = graph_node(g, op, NULL, 0, &w);
  g->loc = loc;
  if (v >= before && a->place) g->node.at[v].loc = a->place;
  return v;
}

/* A name, `constant(x, dtype)`, or a bare number of dtype `want`; 0 after an error. */
static Id operand(Reader *r, Graph *g, Env *env, const Ast *a, DType want) {
  if (a->kind == AST_CALL && ast_is_name(a->kids[0], "constant") && a->nkids == 3 && a->kids[2]->kind == AST_NAME) {
    DType d = dtype_parse(a->kids[2]->text);
    if (d == DT_NONE || !dtype_in_graph(d))
      return fail(r, "flat-type", a->kids[2], "there is no dtype `%s`; use f32, f64, i32, i64 or bool",
                  a->kids[2]->text);
    return constant(r, g, a->kids[1], d);
  }
  if (a->kind == AST_BOOL) return g_const_int(g, DT_BOOL, (int64_t)a->u.i);
  if (is_number(a))
    return want == DT_NONE ? fail(r, "flat-number", a, "this number needs a dtype: constant(1.0, f32)")
                           : constant(r, g, a, want);
  const char *name = path_of(r, a);
  if (!name) return fail(r, "flat-form", a, "an operand of the flat form is a name or a number");
  const Value *v = env_find(env, name);
  if (v) return v->index < 0 ? v->v : g_get(g, v->v, v->index);
  v = env_find(&r->decl, name);
  const Ast *decl = v ? r->file->body->kids[v->v] : NULL;
  Id node = 0;
  if (v && decl->kind == AST_CONST) {
    node = const_node(r, g, decl);
  } else if (v && v->index >= 0 && r->entry && !g->parent) {
    const Cell *c = &r->p->cells.at[v->index];
    node = g_cell(g, v->index, c->dtype, c->shape, c->rank);
  } else
    return fail(r, "flat-name", a,
                v && v->index >= 0 ? "`%s` is a cell: a body or a start value cannot read it" : "there is no `%s` here",
                name);
  if (node) env_put(r, env, (Value){name, node, -1});
  return node;
}

/* ---- lines ---------------------------------------------------------------------------------------------------------
 */

static bool block(Reader *r, Graph *g, Env *env, const Ast *b);

static bool size_list(Reader *r, const Ast *a, Attrs *w) {
  Sym s[24];
  bool list = a->kind == AST_LIST;
  uint32_t n = list ? a->nkids : 1;
  if (n > 24) return fail(r, "flat-attribute", a, "a list of %u; a tensor has at most %d axes", n, MAX_RANK);
  for (uint32_t i = 0; i < n; i++)
    if (!(s[i] = size_of(r, list ? a->kids[i] : a, false))) return false;
  attr_syms(w, s, (int)n);
  return true;
}

static bool int_list(Reader *r, const Ast *a, int64_t *k, uint32_t *n) {
  if (a->kind != AST_LIST || a->nkids > 24)
    return fail(r, "flat-attribute", a, "a list of at most 24 whole numbers stands here");
  for (*n = 0; *n < a->nkids; ++*n)
    if (!int_of(r, a->kids[*n], &k[*n])) return false;
  return true;
}

static bool attribute(Reader *r, const Ast *a, char kind, Attrs *w) {
  int64_t k[48];
  uint32_t n, m;
  switch (kind) {
  case 'i':
    if (!int_of(r, a, k)) return false;
    attr_int(w, k[0]);
    return true;
  case 'd':
    k[0] = a->kind == AST_NAME ? dtype_parse(a->text) : DT_NONE;
    if (k[0] == DT_NONE) return fail(r, "flat-attribute", a, "a dtype stands here");
    attr_int(w, k[0]);
    return true;
  case 's':
    if (a->kind != AST_STR || !a->text) return fail(r, "flat-attribute", a, "a string stands here");
    attr_str(r->c, w, a->text);
    return true;
  case 'I':
    if (!int_list(r, a, k, &n)) return false;
    attr_ints(w, k, (int)n);
    return true;
  case 'S': return size_list(r, a, w);
  case 'P':
    if (a->kind != AST_LIST || a->nkids != 2 || !int_list(r, a->kids[0], k, &n) ||
        !int_list(r, a->kids[1], k + n, &m) || n != m)
      return fail(r, "flat-attribute", a, "two lists of one length stand here: [[1], [0]]");
    attr_ints(w, k, (int)(n + m));
    return true;
  default: return fail(r, "flat-attribute", a, "this attribute cannot be written");
  }
}

/* The attributes of an op by name, in the order of ops.def. */
static bool attributes(Reader *r, const Ast *call, Op op, Attrs *w, uint32_t *copy) {
  const char *name;
  int len;
  char kind;
  for (uint32_t i = 1; i < call->nkids; i++) {
    const Ast *x = call->kids[i];
    int64_t k;
    if (x->kind != AST_NAMED) continue;
    if (!strcmp(x->text, "copy")) {
      if (!int_of(r, x->kids[0], &k)) return false;
      if (k < 0 || k > INT32_MAX) return fail(r, "flat-attribute", x, "a copy tag is 0 to 2147483647");
      *copy = (uint32_t)k;
    } else if (op_attr_index(op, x->text, strlen(x->text)) < 0 || op == OP_COMPOSITE || op == OP_CALL)
      return fail(r, "flat-attribute", x, "`%s` has no attribute `%s`", OP_INFO[op].text, x->text);
  }
  for (int k = 0; op != OP_COMPOSITE && op != OP_CALL && op_attr(op, k, &name, &len, &kind); k++) {
    const Ast *a = named(call, arena_strndup(r->c->arena, name, (size_t)len));
    if (!a) return fail(r, "flat-attribute", call, "`%s` needs `%.*s = `", OP_INFO[op].text, len, name);
    if (!attribute(r, a, kind, w)) return false;
  }
  return true;
}

/* `fn(a: f32[B]) { .. }` as a graph of its own. */
static Graph *body_of(Reader *r, Graph *parent, const Ast *fn) {
  Graph *g = graph_new(r->c, parent);
  Env env = {0};
  const Ast *args = fn->kids[0];
  for (uint32_t i = 0; i < args->nkids; i++) {
    const Ast *a = args->kids[i];
    DType d;
    Sym shape[MAX_RANK];
    int rank;
    if (a->kind != AST_ARG || !a->kids[0] || a->kids[1]) {
      fail(r, "flat-form", a, "a body takes inputs like a: f32[B]");
      return NULL;
    }
    if (!type_of(r, a->kids[0], false, &d, shape, &rank)) return NULL;
    g->loc = a->loc;
    Id v = g_input(g, d, shape, rank);
    if (!v) return NULL;
    env_put(r, &env, (Value){a->text, v, -1});
  }
  if (!block(r, g, &env, fn->kids[3])) return NULL;
  const Ast *b = fn->kids[3], *last = b->nkids ? b->kids[b->nkids - 1] : NULL;
  if (!last || last->kind == AST_BIND || last->kind == AST_UPDATE || last->kind == AST_ASSERT) {
    fail(r, "flat-form", fn, "a body ends with its value");
    return NULL;
  }
  bool several = last->kind == AST_TUPLE;
  for (uint32_t i = 0; i < (several ? last->nkids : 1); i++) {
    Id v = operand(r, g, &env, several ? last->kids[i] : last, DT_NONE);
    if (!v) return NULL;
    vec_push(r->c->arena, &g->output, v);
  }
  return g;
}

/* The dtype that a bare number has: that of the first operand that is a node (in select: of a choice), else the
 * result's. */
static DType context(const Graph *g, Op op, const Ast *const *arg, const Id *in, int n, DType result) {
  if (OP_INFO[op].cls == CLASS_BODY) return DT_NONE;
  for (int i = op == OP_SELECT; i < n; i++)
    if (!is_number(arg[i]) && in[i] && !(graph_op(g, in[i]) == OP_CONSTANT && !graph_rank(g, in[i])))
      return graph_dtype(g, in[i]);
  return OP_INFO[op].cls == CLASS_COMPARE || op == OP_IS_NAN || op == OP_IS_INF || op == OP_IS_FINITE ? DT_NONE
                                                                                                      : result;
}

static bool same_type(Reader *r, const Graph *g, Id v, const Ast *type, const char *what) {
  DType d;
  Sym shape[MAX_RANK];
  int rank;
  if (!type_of(r, type, false, &d, shape, &rank)) return false;
  bool same = d == graph_dtype(g, v) && rank == graph_rank(g, v);
  for (int i = 0; same && i < rank; i++)
    same = graph_shape(g, v)[i] == shape[i] || (g->facts && sym_same(g->facts, graph_shape(g, v)[i], shape[i]));
  return same || fail(r, "flat-type", type, "%s gives %s, the text says %s", what, graph_type(g, v),
                      graph_shape_text(r->c, d, shape, rank));
}

/* What the shape rules let pass because the facts do not decide it. Whoever traces proves it; here the text has to. */
static bool proved(Reader *r, const Graph *g, Id v, const Ast *at) {
  SymTab *t = r->c->syms;
  if (!g->facts) return true; /* all sizes are numbers */
  for (int i = 0; i < graph_rank(g, v); i++)
    if (!sym_nonneg(g->facts, graph_shape(g, v)[i]))
      return fail(r, "flat-unproved", at, "the size %s is not known to be at least 0; say so in `where`",
                  sym_text(t, graph_shape(g, v)[i], r->c->arena));
  Op op = graph_op(g, v);
  if (op != OP_SLICE && op != OP_DYNAMIC_SLICE) return true;
  int n;
  const int64_t *start = op == OP_SLICE ? graph_attr(g, v, "starts", &n) : NULL;
  const int64_t *end = graph_attr(g, v, op == OP_SLICE ? "ends" : "sizes", &n);
  const int64_t *axis = op == OP_SLICE ? NULL : graph_attr(g, v, "axes", &n);
  for (int i = 0; i < n; i++) {
    Sym from = start ? (Sym)start[i] : sym_int(t, 0), to = (Sym)end[i];
    Sym size = graph_shape(g, graph_in(g, v)[0])[axis ? axis[i] : i];
    if (!sym_nonneg(g->facts, from) || sym_decide(g->facts, SYM_LE, from, to) != 1 ||
        sym_decide(g->facts, SYM_LE, to, size) != 1)
      return fail(r, "flat-unproved", at, "`%s`: %s to %s is not known to lie within %s; say so in `where`",
                  OP_INFO[op].text, sym_text(t, from, r->c->arena), sym_text(t, to, r->c->arena),
                  sym_text(t, size, r->c->arena));
  }
  return true;
}

/* `v7: f32[B] = op(..)` and `(v1, v2): (f32[], f32[B]) = composite(..)` */
static bool line(Reader *r, Graph *g, Env *env, const Ast *s) {
  const Ast *pattern = s->kids[0], *type = s->kids[1], *call = s->kids[2];
  if (!type || call->kind != AST_CALL || call->kids[0]->kind != AST_NAME)
    return fail(r, "flat-form", s, "a line of the flat form is `v0: f32[B] = op(..)`");
  Op op = op_parse(call->kids[0]->text);
  if (op == OP_NONE || op == OP_INPUT || op == OP_CELL || op == OP_CONSTANT || op == OP_DATA || op == OP_GET)
    return fail(r, "flat-op", call, "there is no op `%s` in the flat form", call->kids[0]->text);
  Vec(Id) in = {0};
  Vec(const Ast *) arg = {0};
  Arena *arena = r->c->arena;
  const Ast *fn = NULL, *name = NULL;
  Attrs w = {0};
  uint32_t copy = 0;
  bool body = op == OP_COMPOSITE || op == OP_CALL;
  for (uint32_t i = 1; i < call->nkids; i++) {
    const Ast *a = call->kids[i];
    if (a->kind == AST_NAMED) continue;
    if (body && a->kind == AST_FN && !fn)
      fn = a;
    else if (op == OP_COMPOSITE && a->kind == AST_STR && !name)
      name = a;
    else
      vec_push(arena, &arg, a);
  }
  if (!attributes(r, call, op, &w, &copy)) return false;
  DType result = DT_NONE;
  if (type->kind == AST_T_TENSOR) result = dtype_parse(type->text);
  for (uint32_t i = 0; i < arg.n; i++) {
    Id v = is_number(arg.at[i]) ? 0 : operand(r, g, env, arg.at[i], DT_NONE);
    if (!v && !is_number(arg.at[i])) return false;
    vec_push(arena, &in, v);
  }
  DType want = context(g, op, arg.at, in.at, (int)arg.n, result);
  for (uint32_t i = 0; i < arg.n; i++)
    if (!in.at[i] && !(in.at[i] = operand(r, g, env, arg.at[i], want))) return false;
  Id v;
  g->loc = s->loc;
  g->copy = copy;
  uint32_t before = g->node.n;
  if (body) {
    if (!fn || (op == OP_COMPOSITE && (!name || !name->text)))
      return fail(r, "flat-form", call, "`%s` takes %sa body fn(..) {..}", OP_INFO[op].text,
                  op == OP_COMPOSITE ? "a name and " : "");
    g->copy = 0;
    Graph *b = body_of(r, g, fn);
    g->copy = copy;
    v = b ? g_body(g, op, name ? name->text : NULL, b, in.at, (int)in.n) : 0;
  } else
    v = graph_node(g, op, in.at, (int)in.n, &w);
  g->copy = 0;
  if (!v) return false;
  if (v >= before && !proved(r, g, v, s)) return false;
  if (v >= before && s->place) g->node.at[v].loc = s->place;
  int n = graph_results(g, v);
  bool tuple = pattern->kind == AST_TUPLE;
  if (tuple != (n > 1) || (tuple && (type->kind != AST_T_TUPLE || (int)type->nkids != n || (int)pattern->nkids != n)))
    return fail(r, "flat-form", pattern, "`%s` gives %d result%s: as many names and types stand before `=`",
                OP_INFO[op].text, n, n > 1 ? "s" : "");
  for (int k = 0; k < n; k++) {
    const Ast *x = tuple ? pattern->kids[k] : pattern;
    if (x->kind != AST_NAME) return fail(r, "flat-form", x, "a name stands here");
    if (env_find(env, x->text) || env_find(&r->decl, x->text))
      return fail(r, "flat-name", x, "there are two `%s`", x->text);
    /* a type is checked on a result that nobody uses too, without making its node */
    const Graph *at = tuple ? graph_body(g, v) : g;
    if (!same_type(r, at, tuple ? at->output.at[k] : v, tuple ? type->kids[k] : type,
                   arena_printf(arena, "`%s`", OP_INFO[op].text)))
      return false;
    env_put(r, env, (Value){x->text, v, tuple ? k : -1});
  }
  return true;
}

/* All lines of a block but updates, asserts and its value, which belong to whoever reads it. */
static bool block(Reader *r, Graph *g, Env *env, const Ast *b) {
  for (uint32_t i = 0; i < b->nkids; i++) {
    const Ast *s = b->kids[i];
    bool last = i + 1 == b->nkids, entry = r->entry && !g->parent;
    if (s->kind == AST_BIND) {
      if (!line(r, g, env, s)) return false;
    } else if (!(entry && (s->kind == AST_UPDATE || s->kind == AST_ASSERT)) && !last)
      return fail(r, "flat-form", s, "a line of the flat form is `v0: f32[B] = op(..)`");
  }
  return true;
}

/* ---- entries -------------------------------------------------------------------------------------------------------
 */

static const char *dotted(Reader *r, const char *base, const char *part) {
  return str_intern(r->c->names, base ? arena_printf(r->c->arena, "%s.%s", base, part) : part);
}

static const char *numbered(Reader *r, const char *base, uint64_t k) {
  return dotted(r, base, arena_printf(r->c->arena, "%llu", (unsigned long long)k));
}

static bool length_of(Reader *r, const Ast *list, uint64_t *n) {
  const Ast *a = list->kids[1];
  *n = a->u.i;
  return (a->kind == AST_INT && a->u.i <= 4096) ||
         fail(r, "flat-type", a, "the length of a list of tensors is a number up to 4096");
}

/* Appends the ports of one parameter. */
static bool inputs(Reader *r, Graph *g, Env *env, const Ast *type, const char *name, const char *doc, bool inout,
                   const Ast *at) {
  if (r->entry->inputs.n > 65536) return fail(r, "flat-type", at, "more than 65536 inputs");
  if (type->kind == AST_T_RECORD) {
    for (uint32_t i = 0; i < type->nkids; i++) {
      const Ast *f = type->kids[i];
      if (!inputs(r, g, env, f->kids[0], dotted(r, name, f->text), f->doc, inout, f)) return false;
    }
    return true;
  }
  if (type->kind == AST_T_TUPLE || type->kind == AST_T_LIST) {
    uint64_t n = type->nkids;
    if (type->kind == AST_T_LIST && !length_of(r, type, &n)) return false;
    for (uint64_t i = 0; i < n; i++)
      if (!inputs(r, g, env, type->kids[type->kind == AST_T_LIST ? 0 : i], numbered(r, name, i), NULL, inout, at))
        return false;
    return true;
  }
  Port p = {.name = name, .inout = inout, .doc = doc, .loc = at->place ? at->place : at->loc};
  if (!type_of(r, type, true, &p.dtype, p.shape, &p.rank)) return false;
  if (env_find(env, name) || env_find(&r->decl, name)) return fail(r, "flat-name", at, "there are two `%s`", name);
  g->loc = p.loc;
  p.node = g_input(g, p.dtype, p.shape, p.rank);
  if (!p.node) return false;
  env_put(r, env, (Value){name, p.node, -1});
  vec_push(r->c->arena, &r->entry->inputs, p);
  return true;
}

/* Appends the ports of the result: type and value have one form. */
static bool outputs(Reader *r, Graph *g, Env *env, const Ast *type, const Ast *value, const char *name,
                    const char *doc) {
  if (type->kind == AST_T_RECORD) {
    bool fits = value->kind == AST_RECORD && value->nkids == type->nkids;
    for (uint32_t i = 0; fits && i < type->nkids; i++)
      fits = value->kids[i]->kind == AST_PAIR && value->kids[i]->text == type->kids[i]->text && value->kids[i]->kids[0];
    if (!fits) return fail(r, "flat-type", value, "the value is to be a record with the fields of its type");
    for (uint32_t i = 0; i < type->nkids; i++)
      if (!outputs(r, g, env, type->kids[i]->kids[0], value->kids[i]->kids[0], dotted(r, name, type->kids[i]->text),
                   type->kids[i]->doc))
        return false;
    return true;
  }
  if (type->kind == AST_T_TUPLE || type->kind == AST_T_LIST) {
    uint64_t n = type->nkids;
    if (type->kind == AST_T_LIST && !length_of(r, type, &n)) return false;
    if ((value->kind != AST_TUPLE && value->kind != AST_LIST) || value->nkids != n)
      return fail(r, "flat-type", value, "%llu values are to stand here", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
      if (!outputs(r, g, env, type->kids[type->kind == AST_T_LIST ? 0 : i], value->kids[i], numbered(r, name, i), NULL))
        return false;
    return true;
  }
  Port p = {.name = name, .doc = doc, .loc = value->loc};
  if (!type_of(r, type, false, &p.dtype, p.shape, &p.rank)) return false;
  p.node = operand(r, g, env, value, DT_NONE);
  if (!p.node || !same_type(r, g, p.node, type, "the value")) return false;
  vec_push(r->c->arena, &r->entry->outputs, p);
  return true;
}

static bool check(Reader *r, const Ast *cond, const Ast *message, Loc loc) {
  static const SymOp op[SIR_OP_COUNT] = {
      [SIR_LT] = SYM_LT, [SIR_GT] = SYM_LT, [SIR_LE] = SYM_LE, [SIR_GE] = SYM_LE, [SIR_EQ] = SYM_EQ, [SIR_NE] = SYM_NE};
  bool compare = cond->kind == AST_BIN && cond->op >= SIR_EQ && cond->op <= SIR_GE,
       turn = cond->op == SIR_GT || cond->op == SIR_GE;
  if (!compare) return fail(r, "flat-form", cond, "a fact is one comparison of sizes");
  Sym a = size_of(r, cond->kids[turn], false), b = a ? size_of(r, cond->kids[!turn], false) : 0;
  if (!b) return false;
  if (message && (message->kind != AST_STR || !message->text))
    return fail(r, "flat-form", message, "the sentence of an assert is a string");
  Check c = {sym_op(r->c->syms, op[cond->op], a, b), NULL, loc};
  c.text = message ? message->text
                   : arena_strndup(r->c->arena, r->file->text + (cond->loc - r->file->base), cond->end - cond->loc);
  vec_push(r->c->arena, &r->entry->checks, c);
  sym_fact(r->entry->facts, op[cond->op], a, b);
  return true;
}

static bool update(Reader *r, Graph *g, Env *env, const Ast *s) {
  const char *name = path_of(r, s->kids[0]);
  const Value *cell = name ? env_find(&r->decl, name) : NULL;
  Id v = operand(r, g, env, s->kids[1], DT_NONE);
  if (!v) return false;
  if (cell && cell->index >= 0) {
    const Cell *c = &r->p->cells.at[cell->index];
    for (uint32_t i = 0; i < r->entry->updates.n; i++)
      if (r->entry->updates.at[i].cell == cell->index) return fail(r, "flat-name", s, "`%s` is written twice", name);
    bool same = c->dtype == graph_dtype(g, v) && c->rank == graph_rank(g, v);
    for (int i = 0; same && i < c->rank; i++) same = c->shape[i] == graph_shape(g, v)[i];
    if (!same)
      return fail(r, "flat-type", s, "`%s` is %s, the new value %s", name,
                  graph_shape_text(r->c, c->dtype, c->shape, c->rank), graph_type(g, v));
    vec_push(r->c->arena, &r->entry->updates, (Update){cell->index, v, s->place ? s->place : s->loc});
    return true;
  }
  for (uint32_t i = 0; name && i < r->entry->inputs.n; i++) {
    Port *p = &r->entry->inputs.at[i];
    if (strcmp(p->name, name) || !p->inout) continue;
    if (p->update) return fail(r, "flat-name", s, "`%s` is written twice", name);
    if (strcmp(graph_type(g, v), graph_type(g, p->node)))
      return fail(r, "flat-type", s, "`%s` is %s, the new value %s", name, graph_type(g, p->node), graph_type(g, v));
    p->update = v;
    return true;
  }
  return fail(r, "flat-name", s, "`<-` writes a param, a state or an inout");
}

static bool entry(Reader *r, const Ast *a) {
  const Ast *args = a->kids[0], *type = a->kids[1], *where = a->kids[2], *mode = a->kids[3], *b = a->kids[4];
  for (uint32_t i = 0; i + 1 < r->p->entries.n; i++)
    if (!strcmp(r->p->entries.at[i].name, a->text))
      return fail(r, "flat-name", a, "there are two entries `%s`", a->text);
  Entry *e = r->entry;
  *e = (Entry){.name = a->text,
               .doc = a->doc,
               .loc = a->place ? a->place : a->loc,
               .training = mode && !strcmp(mode->text, "train")};
  Graph *g = e->graph = graph_new(r->c, NULL);
  g->facts = e->facts = sym_facts_new(r->c->arena, r->c->syms);
  Env env = {0};
  for (uint32_t i = 0; i < args->nkids; i++) {
    const Ast *x = args->kids[i];
    if (x->kind == AST_ARG_DIM)
      dim_add(r, x->text, true);
    else if (!x->kids[0])
      return fail(r, "flat-form", x, "the input `%s` needs a type", x->text);
    else if (!inputs(r, g, &env, x->kids[0], x->text, x->doc, x->kind == AST_ARG_INOUT, x))
      return false;
  }
  for (uint32_t i = 0; where && i < where->nkids; i++)
    if (!check(r, where->kids[i], NULL, where->kids[i]->loc)) return false;
  for (uint32_t i = 0; i < b->nkids; i++)
    if (b->kids[i]->kind == AST_ASSERT &&
        !check(r, b->kids[i]->kids[0], b->kids[i]->kids[1], b->kids[i]->place ? b->kids[i]->place : b->kids[i]->loc))
      return false;
  for (uint32_t i = 0; i < e->dims.n; i++) sym_range(e->facts, e->dims.at[i].var, &e->dims.at[i].lo, &e->dims.at[i].hi);
  if (!block(r, g, &env, b)) return false;
  const Ast *last = b->nkids ? b->kids[b->nkids - 1] : NULL;
  for (uint32_t i = 0; i < b->nkids; i++)
    if (b->kids[i]->kind == AST_UPDATE && !update(r, g, &env, b->kids[i])) return false;
  bool value = last && last->kind != AST_BIND && last->kind != AST_UPDATE && last->kind != AST_ASSERT;
  if (value != (type != NULL))
    return fail(r, "flat-form", value ? last : a,
                value ? "the entry gives a value but its head has no `->`" : "the entry ends without its value");
  if (value && !outputs(r, g, &env, type, last, NULL, NULL)) return false;
  g->loc = e->loc;
  entry_roots(e);
  return true;
}

/* ---- the file ------------------------------------------------------------------------------------------------------
 */

static bool cell(Reader *r, const Ast *a, uint32_t kid) {
  Cell c = {.kind = a->kind == AST_PARAM   ? CELL_PARAM
                    : a->kind == AST_STATE ? CELL_STATE
                                           : CELL_LOCAL,
            .doc = a->doc,
            .loc = a->place ? a->place : a->loc};
  const Ast *type = a->kids[0], *start = a->kids[1], *as = a->kids[2];
  c.name = as ? as->text : a->text;
  if (!type || a->kids[3] || !c.name)
    return fail(r, "flat-form", a, "a cell of the flat form is like param p0: f32[10] = init_0() as \"fc.bias\"");
  if (env_find(&r->decl, a->text)) return fail(r, "flat-name", a, "there are two `%s`", a->text);
  for (uint32_t i = 0; i < r->p->cells.n; i++)
    if (!strcmp(r->p->cells.at[i].name, c.name))
      return fail(r, "flat-name", as ? as : a, "two cells are called \"%s\"", c.name);
  if (!type_of(r, type, false, &c.dtype, c.shape, &c.rank)) return false;
  if (start) {
    Graph *g = c.init = graph_new(r->c, NULL);
    g->loc = start->loc;
    Id v = 0;
    if (start->kind == AST_CALL && start->kids[0]->kind == AST_NAME && start->nkids == 1) {
      const Value *f = env_find(&r->decl, start->kids[0]->text);
      const Ast *fn = f ? r->file->body->kids[f->v] : NULL;
      if (!fn || fn->kind != AST_FN || fn->kids[0]->nkids)
        return fail(r, "flat-name", start, "there is no fn `%s` without arguments above", start->kids[0]->text);
      if (!(c.init = g = body_of(r, NULL, fn))) return false;
      if (g->output.n != 1) return fail(r, "flat-type", start, "the start value is one tensor");
      v = g->output.at[0];
    } else {
      v = operand(r, g, &(Env){0}, start, c.dtype);
      v = v ? g_spread(g, v, c.shape, c.rank) : 0;
      vec_push(r->c->arena, &g->output, v);
    }
    if (!v || !same_type(r, g, v, type, "the start value")) return false;
  }
  env_put(r, &r->decl, (Value){a->text, kid, (int)r->p->cells.n});
  vec_push(r->c->arena, &r->p->cells, c);
  return true;
}

static bool freeze(Reader *r, const Ast *a) {
  const Value *v = a->nkids == 2 && ast_is_name(a->kids[0], "freeze") && a->kids[1]->kind == AST_NAME
                       ? env_find(&r->decl, a->kids[1]->text)
                       : NULL;
  if (!v || v->index < 0) return fail(r, "flat-form", a, "this is no declaration of the flat form");
  r->p->cells.at[v->index].frozen = true;
  return true;
}

static bool our_name(const char *s, char first) {
  if (*s++ != first || !isdigit((unsigned char)*s)) return false;
  while (isdigit((unsigned char)*s)) s++;
  while (*s == '_') s++;
  return !*s;
}

static bool flat_block(const Ast *b) {
  for (uint32_t i = 0; i < b->nkids; i++) {
    const Ast *s = b->kids[i];
    if (s->kind == AST_UPDATE || s->kind == AST_ASSERT) continue;
    if (s->kind != AST_BIND) {
      if (i + 1 < b->nkids || s->kind == AST_BIN || s->kind == AST_IF || s->kind == AST_FOR || s->kind == AST_RETURN ||
          (s->kind == AST_CALL && !ast_is_name(s->kids[0], "constant")))
        return false;
      continue;
    }
    const Ast *p = s->kids[0], *call = s->kids[2];
    if (p->kind == AST_TUPLE && p->nkids) p = p->kids[0];
    if (p->kind != AST_NAME || !our_name(p->text, 'v') || !s->kids[1] || call->kind != AST_CALL ||
        call->kids[0]->kind != AST_NAME || op_parse(call->kids[0]->text) == OP_NONE)
      return false;
  }
  return true;
}

bool flat_is(const AstFile *f) {
  bool any = false;
  for (uint32_t i = 0; i < f->body->nkids; i++) {
    const Ast *a = f->body->kids[i];
    switch (a->kind) {
    case AST_PARAM:
    case AST_STATE:
    case AST_STATE_LOCAL:
      if (!our_name(a->text, a->kind == AST_PARAM ? 'p' : 's') || !a->kids[0] || !a->kids[2]) return false;
      any = true;
      break;
    case AST_CONST:
      if (!our_name(a->text, 'c') || !a->kids[0]) return false;
      break;
    case AST_FN:
      if (a->kids[0]->nkids || !flat_block(a->kids[3])) return false;
      break;
    case AST_ENTRY: /* without a line of its own it says the same in SIR, which then reads it */
      if (!flat_block(a->kids[4])) return false;
      for (uint32_t k = 0; k < a->kids[4]->nkids; k++) any |= a->kids[4]->kids[k]->kind == AST_BIND;
      break;
    case AST_CALL:
      if (!ast_is_name(a->kids[0], "freeze")) return false;
      break;
    default: return false;
    }
  }
  return any;
}

bool flat_read(Ctx *c, const AstFile *f, Program *out) {
  *out = (Program){.ctx = c};
  const char *slash = strrchr(f->path, '/'), *base = slash ? slash + 1 : f->path;
  out->name = arena_strndup(c->arena, base, strcspn(base, "."));
  Reader r = {.c = c, .file = f, .p = out};
  bool ok = true;
  for (uint32_t i = 0; i < f->body->nkids; i++) {
    const Ast *a = f->body->kids[i];
    switch (a->kind) {
    case AST_PARAM:
    case AST_STATE:
    case AST_STATE_LOCAL: ok &= cell(&r, a, i); break;
    case AST_CONST:
    case AST_FN:
      if (env_find(&r.decl, a->text))
        ok = fail(&r, "flat-name", a, "there are two `%s`", a->text);
      else
        env_put(&r, &r.decl, (Value){a->text, i, -1});
      break;
    case AST_CALL: ok &= freeze(&r, a); break;
    case AST_ENTRY: {
      Entry e = {0};
      vec_push(c->arena, &out->entries, e);
      r.entry = &vec_last(&out->entries);
      ok &= entry(&r, a);
      r.entry = NULL;
      break;
    }
    default: ok = fail(&r, "flat-form", a, "this is no declaration of the flat form");
    }
    if (diag_errors(c->diag) >= 10) return false;
  }
  return ok;
}
