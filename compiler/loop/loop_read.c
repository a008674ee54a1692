#include "loop_read.h"
#include "integer.h"
#include "loop_words.h"
#include <math.h>
#include <string.h>

/* ---- names ---- */

static bool is_const(const Reader *r, const char *name, int64_t *v) {
  for (uint32_t i = 0; i < r->consts.n; i++)
    if (r->consts.at[i].name == name) {
      *v = r->consts.at[i].value;
      return true;
    }
  return false;
}

static const Scoped *find(const Reader *r, const char *name) {
  for (uint32_t i = r->scope.n; i > r->scope_from; i--)
    if (r->scope.at[i - 1].name == name) return &r->scope.at[i - 1];
  return NULL;
}

void read_declare(Reader *r, Loc loc, Scoped s) {
  int64_t v;
  if (find(r, s.name) || is_const(r, s.name, &v)) read_fail(r, "loop-twice", loc, "%s is declared twice", s.name);
  vec_push(r->ctx->arena, &r->scope, s);
}

const Scoped *read_find(Reader *r, const char *name, Loc loc) {
  const Scoped *s = find(r, name);
  if (s) return s;
  Vec(const char *) names = {0};
  for (uint32_t i = r->scope_from; i < r->scope.n; i++) vec_push(r->ctx->arena, &names, r->scope.at[i].name);
  const char *near = str_nearest(name, names.at, names.n);
  read_fail(r, "loop-name", loc, near ? "unknown name %s: did you mean %s?" : "unknown name %s", name, near);
}

/* ---- Syms ---- */

static Sym sym_binary(Reader *r, const Ast *a, const char *op, Sym x, Sym y) {
  SymTab *t = r->ctx->syms;
  int64_t zero;
  if (!strcmp(op, "+")) return sym_add(t, x, y);
  if (!strcmp(op, "-")) return sym_sub(t, x, y);
  if (!strcmp(op, "*") || !strcmp(op, "&&")) return sym_mul(t, x, y);
  if (!strcmp(op, "<")) return sym_op(t, SYM_LT, x, y);
  if (!strcmp(op, "<=")) return sym_op(t, SYM_LE, x, y);
  if (!strcmp(op, ">")) return sym_op(t, SYM_LT, y, x);
  if (!strcmp(op, ">=")) return sym_op(t, SYM_LE, y, x);
  if (!strcmp(op, "==")) return sym_op(t, SYM_EQ, x, y);
  if (!strcmp(op, "!=")) return sym_op(t, SYM_NE, x, y);
  if (!strcmp(op, "||") || !strcmp(op, "max")) return sym_op(t, SYM_MAX, x, y);
  if (!strcmp(op, "min")) return sym_op(t, SYM_MIN, x, y);
  if (sym_is_int(t, y, &zero) && !zero) read_fail(r, "loop-sym", a->loc, "a size is divided by 0");
  if (!strcmp(op, "//")) return sym_op(t, SYM_FLOORDIV, x, y);
  if (!strcmp(op, "%")) return sym_op(t, SYM_MOD, x, y);
  if (!strcmp(op, "cdiv")) return sym_div_up(t, x, y);
  if (!strcmp(op, "up")) return sym_round_up(t, x, y);
  read_fail(r, "loop-sym", a->loc, "`%s` has no meaning for sizes: use + - * // %% cdiv up min max and comparisons",
            op);
}

static Sym sym_of(Reader *r, const Ast *a) {
  SymTab *t = r->ctx->syms;
  int64_t v;
  switch (a->kind) {
  case AST_NUMBER:
    if (a->real || a->i > INT64_MAX) read_fail(r, "loop-sym", a->loc, "a size is an integer");
    return sym_int(t, (int64_t)a->i);
  case AST_NAME:
    if (is_const(r, a->name, &v)) return sym_int(t, v);
    for (uint32_t i = 0; i < r->ndims; i++)
      if (r->dims[i].name == a->name) return r->dims[i].var;
    read_fail(r, "loop-name", a->loc, "unknown dimension %s", a->name);
  case AST_UNARY:
    if (*a->name == '!') return sym_op(t, SYM_EQ, read_sym(r, a->in.at[0]), sym_int(t, 0));
    return sym_sub(t, sym_int(t, 0), read_sym(r, a->in.at[0]));
  case AST_BINARY:
  case AST_CALL:
    if (a->in.n != 2)
      read_fail(r, "loop-sym", a->loc, "`%s` has no meaning for sizes with %u operands", a->name, a->in.n);
    return sym_binary(r, a, a->name, read_sym(r, a->in.at[0]), read_sym(r, a->in.at[1]));
  case AST_INDEX: break;
  }
  read_fail(r, "loop-sym", a->loc, "an element of %s where a size is needed: sizes are known before anything runs",
            a->name);
}

Sym read_sym(Reader *r, const Ast *a) {
  Sym s = sym_of(r, a);
  if (sym_overflowed(r->ctx->syms, s)) read_fail(r, "loop-sym", a->loc, "this size does not fit in 64 bits");
  return s;
}

/* ---- literals ---- */

static Val int_val(int64_t v) { return (Val){.lit = true, .i = v}; }
static Val real_val(double v) { return (Val){.lit = true, .real = true, .f = v}; }
static Val ex_val(Ex e) { return (Val){.e = e}; }
static double as_real(Val v) { return v.real ? v.f : v.big ? (double)(uint64_t)v.i : (double)v.i; }

Ex read_as(Reader *r, Val v, DType d, Loc loc) {
  if (!v.lit) {
    DType has = ex_at(r->k, v.e)->dtype;
    if (has != d) read_fail(r, "loop-type", loc, "%s where %s is needed: convert", dtype_name(has), dtype_name(d));
    return v.e;
  }
  if (dtype_is_float(d)) {
    double x = as_real(v);
    if (isfinite(x) && d == DT_F32 && !isfinite((float)x))
      read_fail(r, "loop-literal", loc, "%g does not fit in f32", x);
    return ex_float(r->k, d, x);
  }
  if (v.real) read_fail(r, "loop-literal", loc, "a float literal where %s is needed", dtype_name(d));
  int bits = (int)dtype_size(d) * 8;
  bool fits = d == DT_U64          ? v.big || v.i >= 0
              : v.big              ? false
              : d == DT_BOOL       ? v.i == 0 || v.i == 1
              : bits == 64         ? true
              : dtype_is_signed(d) ? v.i >= -(INT64_C(1) << (bits - 1)) && v.i < INT64_C(1) << (bits - 1)
                                   : v.i >= 0 && v.i < INT64_C(1) << bits;
  if (!fits && v.big)
    read_fail(r, "loop-literal", loc, "%llu does not fit in %s", (unsigned long long)v.i, dtype_name(d));
  if (!fits) read_fail(r, "loop-literal", loc, "%lld does not fit in %s", (long long)v.i, dtype_name(d));
  return ex_int(r->k, d, v.i);
}

Ex read_plain(Reader *r, Val v, Loc loc) { return v.lit ? read_as(r, v, v.real ? DT_F32 : DT_IDX, loc) : v.e; }

/* Arithmetic on two literals stays a literal. False for comparisons. */
static bool fold_literals(Reader *r, const Ast *a, const char *op, Val x, Val y, Val *out) {
  if (x.real || y.real) {
    double p = as_real(x), q = as_real(y);
    if (!strcmp(op, "+"))
      *out = real_val(p + q);
    else if (!strcmp(op, "-"))
      *out = real_val(p - q);
    else if (!strcmp(op, "*"))
      *out = real_val(p * q);
    else if (!strcmp(op, "/"))
      *out = real_val(p / q);
    else if (!strcmp(op, "min"))
      *out = real_val(p < q ? p : q);
    else if (!strcmp(op, "max"))
      *out = real_val(p > q ? p : q);
    else
      return false;
    return true;
  }
  int64_t p = x.i, q = y.i, s = 0;
  bool over = x.big || y.big, div = !strcmp(op, "//") || !strcmp(op, "%") || !strcmp(op, "cdiv") || !strcmp(op, "up");
  if (div && q < 1)
    read_fail(r, "loop-constant", a->loc, "a constant is divided by %lld: divisors are positive", (long long)q);
  if (!strcmp(op, "+"))
    over |= __builtin_add_overflow(p, q, &s);
  else if (!strcmp(op, "-"))
    over |= __builtin_sub_overflow(p, q, &s);
  else if (!strcmp(op, "*"))
    over |= __builtin_mul_overflow(p, q, &s);
  else if (!strcmp(op, "//"))
    s = floor_div(p, q);
  else if (!strcmp(op, "%"))
    s = p - floor_div(p, q) * q;
  else if (!strcmp(op, "cdiv"))
    s = floor_div(p, q) + (p - floor_div(p, q) * q != 0);
  else if (!strcmp(op, "up"))
    over |= __builtin_mul_overflow(floor_div(p, q) + (p - floor_div(p, q) * q != 0), q, &s);
  else if (!strcmp(op, "min"))
    s = p < q ? p : q;
  else if (!strcmp(op, "max"))
    s = p > q ? p : q;
  else if (!strcmp(op, "&"))
    s = p & q;
  else if (!strcmp(op, "|"))
    s = p | q;
  else if (!strcmp(op, "^"))
    s = p ^ q;
  else if ((!strcmp(op, "<<") || !strcmp(op, ">>")) && q >= 0 && q < 63)
    s = *op == '<' ? (int64_t)((uint64_t)p << q) : p >> q;
  else
    return false;
  if (over) read_fail(r, "loop-constant", a->loc, "this constant does not fit in 64 bits");
  *out = int_val(s);
  return true;
}

/* ---- operations ---- */

/* Gives literals the type of the others, f32 or idx if all are literals. */
static void unify(Reader *r, const Ast *a, Val *v, int n, Ex *out) {
  DType d = DT_IDX;
  bool typed = false;
  for (int i = 0; i < n; i++)
    if (!v[i].lit && !typed) {
      d = ex_at(r->k, v[i].e)->dtype;
      typed = true;
    }
  for (int i = 0; i < n && !typed; i++)
    if (v[i].real) d = DT_F32;
  for (int i = 0; i < n; i++) out[i] = read_as(r, v[i], d, a->loc);
}

static Val make(Reader *r, const Ast *a, Op op, const Ex *in, int n) {
  const char *why = ex_why_not(r->k, op, in, n);
  if (why)
    read_fail(r,
              strstr(why, "lanes")            ? "loop-lanes"
              : strstr(why, "convert to f32") ? "loop-half"
                                              : "loop-type",
              a->loc, "%s", why);
  return ex_val(n == 1   ? ex_op1(r->k, op, in[0])
                : n == 2 ? ex_op2(r->k, op, in[0], in[1])
                         : ex_op3(r->k, op, in[0], in[1], in[2]));
}

static Val binary(Reader *r, const Ast *a) {
  Val v[2] = {read_value(r, a->in.at[0]), read_value(r, a->in.at[1])}, out;
  if (v[0].lit && v[1].lit && fold_literals(r, a, a->name, v[0], v[1], &out)) return out;
  if (!r->k) read_fail(r, "loop-constant", a->loc, "`%s` has no meaning in a constant", a->name);
  Ex in[2];
  unify(r, a, v, 2, in);
  DType d = ex_at(r->k, in[0])->dtype;
  if (dtype_is_half(d)) read_fail(r, "loop-half", a->loc, "arithmetic on %s: convert to f32 first", dtype_name(d));
  for (int i = 0; i < LOOP_INFIXES; i++) {
    if (strcmp(LOOP_INFIX[i].text, a->name)) continue;
    if (loop_infix_of(LOOP_INFIX[i].op, d) != &LOOP_INFIX[i])
      read_fail(r, "loop-type", a->loc, "%s on %s", a->name, dtype_name(d));
    return make(r, a, LOOP_INFIX[i].op, in, 2);
  }
  read_fail(r, "loop-syntax", a->loc, "unknown operator %s", a->name);
}

static Val unary(Reader *r, const Ast *a) {
  Val v = read_value(r, a->in.at[0]);
  if (*a->name == '-' && v.lit) {
    if (v.real) return real_val(-v.f);
    if (v.big && v.i != INT64_MIN)
      read_fail(r, "loop-literal", a->loc, "-%llu does not fit in 64 bits", (unsigned long long)v.i);
    return int_val(v.big ? INT64_MIN : (int64_t)(0 - (uint64_t)v.i));
  }
  if (!r->k) read_fail(r, "loop-constant", a->loc, "`%s` has no meaning in a constant", a->name);
  if (*a->name == '!') return make(r, a, OP_NOT, (Ex[]){read_as(r, v, DT_BOOL, a->loc)}, 1);
  return make(r, a, OP_NEG, &v.e, 1);
}

int read_place(Reader *r, const Ast *a, const Scoped *s, Ex *index) {
  bool reg = s->kind == SCOPE_REG;
  const LoopBuf *b = reg ? NULL : &r->k->bufs.at[s->id];
  int n = (int)a->in.n, want = reg ? r->k->regs.at[s->id].rank : b->list ? 2 : b->rank, w = 1;
  const char *name = s->name;
  if (n != want) read_fail(r, "loop-rank", a->loc, "%s has %d axes, %d indices given", name, want, n);
  for (int i = 0; i < n; i++) {
    index[i] = read_as(r, read_value(r, a->in.at[i]), DT_IDX, a->in.at[i]->loc);
    int lanes = ex_at(r->k, index[i])->lanes;
    if (lanes != 1 && w != 1 && lanes != w)
      read_fail(r, "loop-lanes", a->loc, "vectors of different lanes meet: %d and %d", w, lanes);
    if (lanes > 1) w = lanes;
  }
  if (reg && w > 1) read_fail(r, "loop-lanes", a->loc, "the index of register %s is a vector", name);
  return n;
}

static Val element(Reader *r, const Ast *a, const Ast *mask, const Ast *other) {
  const Scoped *s = read_find(r, a->name, a->loc);
  if (s->kind == SCOPE_VALUE) read_fail(r, "loop-name", a->loc, "%s is a value and has no elements", a->name);
  Ex index[LOOP_RANK];
  uint32_t id = s->id;
  bool reg = s->kind == SCOPE_REG;
  int n = read_place(r, a, s, index);
  if (reg) return ex_val(ex_reg(r->k, id, index, n));
  Ex m = 0, o = 0;
  DType d = r->k->bufs.at[id].dtype;
  if (mask) m = read_as(r, read_value(r, mask), DT_BOOL, mask->loc);
  if (other) o = read_as(r, read_value(r, other), d, other->loc);
  int w = 1;
  for (int i = 0; i < n; i++)
    if (ex_at(r->k, index[i])->lanes > w) w = ex_at(r->k, index[i])->lanes;
  int mw = m ? ex_at(r->k, m)->lanes : 1, ow = o ? ex_at(r->k, o)->lanes : 1;
  if (mw > 1 && w > 1 && mw != w)
    read_fail(r, "loop-lanes", a->loc, "vectors of different lanes meet: %d and %d", w, mw);
  if (ow > 1 && ow != (mw > w ? mw : w))
    read_fail(r, "loop-lanes", a->loc, "%d lanes where %d are needed", ow, mw > w ? mw : w);
  if (m && ex_is_int(r->k, m, NULL) && ex_at(r->k, m)->u.i) o = 0;
  return ex_val(ex_load(r->k, id, index, n, m, o));
}

/* A fn is a macro over values: arguments and lets become lets before the statement unless they are single names. */
static void bind(Reader *r, const char *name, Val v, Loc loc) {
  if (!v.lit && ex_at(r->k, v.e)->op != OP_VAR && ex_at(r->k, v.e)->op != OP_LITERAL) v.e = loop_let(r->k, name, v.e);
  read_declare(r, loc, (Scoped){.name = name, .kind = SCOPE_VALUE, .val = v});
}

static Val inline_fn(Reader *r, const Ast *a, const Fn *f) {
  if (f->args.n != a->in.n)
    read_fail(r, "loop-call", a->loc, "%s takes %u arguments, %u are given", f->name, f->args.n, a->in.n);
  if (r->inlined >= 8) read_fail(r, "loop-call", a->loc, "calls of fns are nested more than 8 deep");
  if (++r->expansions > 20000) read_fail(r, "loop-call", a->loc, "more than 20000 calls of fns in one file");
  Vec(Val) args = {0};
  for (uint32_t i = 0; i < a->in.n; i++) {
    Val v = read_value(r, a->in.at[i]);
    vec_push(r->ctx->arena, &args, v);
  }
  uint32_t from = r->scope_from, seen = r->scope.n;
  r->scope_from = seen;
  r->inlined++;
  for (uint32_t i = 0; i < args.n; i++) bind(r, f->args.at[i], args.at[i], f->loc);
  for (uint32_t i = 0; i < f->lets.n; i++)
    bind(r, f->lets.at[i].name, read_value(r, f->lets.at[i].value), f->lets.at[i].loc);
  Val v = read_value(r, f->result);
  r->inlined--;
  r->scope_from = from;
  r->scope.n = seen;
  return v;
}

static int lanes_arg(Reader *r, const Ast *a) {
  Val v = read_value(r, a);
  if (!v.lit || v.real || v.i < 1 || v.i > LOOP_LANES || (v.i & (v.i - 1)))
    read_fail(r, "loop-lanes", a->loc, "a vector has 2, 4, .. %d lanes", LOOP_LANES);
  return (int)v.i;
}

static Op function_op(const char *n) {
  static const uint8_t more[] = {OP_EXTRACT, OP_PERM, OP_PERM2, OP_HADD,    OP_HMAX, OP_HMIN, OP_ANY,
                                 OP_ALL,     OP_FMA,  OP_SCALE, OP_EXP_NEG, OP_DOT4, OP_MULHI};
  if (!strcmp(n, "min")) return OP_MINIMUM;
  if (!strcmp(n, "max")) return OP_MAXIMUM;
  for (size_t i = 0; i < sizeof more; i++)
    if (!strcmp(OP_INFO[more[i]].text, n)) return more[i];
  Op op = op_parse(n);
  return op && OP_INFO[op].cls >= CLASS_UNARY && OP_INFO[op].cls <= CLASS_SELECT ? op : OP_NONE;
}

static void arity(Reader *r, const Ast *a, uint32_t n) {
  if (a->in.n != n) read_fail(r, "loop-call", a->loc, "%s takes %u arguments, %u are given", a->name, n, a->in.n);
}

static Val call(Reader *r, const Ast *a) {
  Kernel *k = r->k;
  const char *n = a->name;
  if (!strcmp(n, "min") || !strcmp(n, "max") || !strcmp(n, "cdiv") || !strcmp(n, "up")) {
    arity(r, a, 2);
    Val v[2] = {read_value(r, a->in.at[0]), read_value(r, a->in.at[1])}, out;
    if (v[0].lit && v[1].lit && fold_literals(r, a, n, v[0], v[1], &out)) return out;
    Ex in[2];
    if (!k) read_fail(r, "loop-constant", a->loc, "%s of something that is no constant", n);
    unify(r, a, v, 2, in);
    if (*n == 'm') return make(r, a, function_op(n), in, 2);
    if (ex_at(k, in[0])->dtype != DT_IDX)
      read_fail(r, "loop-type", a->loc, "%s on %s", n, dtype_name(ex_at(k, in[0])->dtype));
    const char *why = ex_why_not(k, OP_FLOOR_DIV, in, 2);
    if (why) read_fail(r, "loop-lanes", a->loc, "%s", why);
    Ex q = ex_cdiv(k, in[0], in[1]);
    return ex_val(*n == 'u' ? ex_mul(k, q, in[1]) : q);
  }
  if (!k) read_fail(r, "loop-constant", a->loc, "%s has no meaning in a constant", n);
  for (uint32_t i = 0; i < r->fns.n; i++)
    if (r->fns.at[i].name == n) return inline_fn(r, a, &r->fns.at[i]);
  if (!strcmp(n, "load")) {
    if (a->in.n < 2 || a->in.n > 3 || a->in.at[0]->kind != AST_INDEX ||
        read_find(r, a->in.at[0]->name, a->loc)->kind != SCOPE_BUF)
      read_fail(r, "loop-call", a->loc,
                "load takes an element of a buffer, a mask and perhaps a value: load(B[i], mask, other)");
    return element(r, a->in.at[0], a->in.at[1], a->in.n == 3 ? a->in.at[2] : NULL);
  }
  if (!strcmp(n, "len")) {
    arity(r, a, 2);
    const Scoped *s = a->in.at[0]->kind == AST_NAME ? read_find(r, a->in.at[0]->name, a->loc) : NULL;
    if (!s || s->kind != SCOPE_BUF || !k->bufs.at[s->id].list)
      read_fail(r, "loop-call", a->loc, "len takes a list of tensors and an index: len(p, s)");
    uint32_t list = s->id;
    Ex i = read_as(r, read_value(r, a->in.at[1]), DT_IDX, a->loc);
    if (ex_at(k, i)->lanes > 1) read_fail(r, "loop-lanes", a->loc, "len takes one index, not a vector");
    return ex_val(ex_len(k, list, i));
  }
  if (!strcmp(n, "lane")) {
    arity(r, a, 1);
    return ex_val(ex_lane(k, lanes_arg(r, a->in.at[0])));
  }
  if (!strcmp(n, "splat")) {
    arity(r, a, 2);
    Ex e = read_plain(r, read_value(r, a->in.at[0]), a->loc);
    int w = lanes_arg(r, a->in.at[1]);
    if (ex_at(k, e)->lanes > 1) read_fail(r, "loop-lanes", a->loc, "splat of a vector");
    return ex_val(ex_splat(k, e, w));
  }
  DType d = dtype_parse(n);
  if (d != DT_NONE) {
    arity(r, a, 1);
    Val v = read_value(r, a->in.at[0]);
    return ex_val(v.lit ? read_as(r, v, d, a->loc) : ex_convert(k, d, v.e));
  }
  if (!strncmp(n, "bits_", 5) && (d = dtype_parse(n + 5)) != DT_NONE) {
    arity(r, a, 1);
    Ex e = read_plain(r, read_value(r, a->in.at[0]), a->loc);
    DType from = ex_at(k, e)->dtype;
    if (dtype_size(from) != dtype_size(d) || from == DT_BOOL || d == DT_BOOL)
      read_fail(r, "loop-type", a->loc, "%s of %s, which has another size", n, dtype_name(from));
    return ex_val(ex_bits(k, d, e));
  }
  Op op = function_op(n);
  if (!op) read_fail(r, "loop-name", a->loc, "unknown function %s", n);
  arity(r, a, (uint32_t)OP_INFO[op].arity);
  Val v[3];
  Ex in[3];
  int m = (int)a->in.n;
  for (int i = 0; i < m; i++) v[i] = read_value(r, a->in.at[i]);
  if (op == OP_SELECT) {
    in[0] = read_as(r, v[0], DT_BOOL, a->in.at[0]->loc);
    unify(r, a, v + 1, 2, in + 1);
  } else if (op == OP_EXTRACT || op == OP_PERM || op == OP_PERM2 || op == OP_DOT4) {
    for (int i = 0; i < m; i++) in[i] = read_plain(r, v[i], a->loc);
  } else {
    unify(r, a, v, m, in);
  }
  return make(r, a, op, in, m);
}

Val read_value(Reader *r, const Ast *a) {
  int64_t v;
  switch (a->kind) {
  case AST_NUMBER: return a->real ? real_val(a->f) : (Val){.lit = true, .i = (int64_t)a->i, .big = a->i > INT64_MAX};
  case AST_NAME: {
    if (!strcmp(a->name, "inf")) return real_val(INFINITY);
    if (!strcmp(a->name, "nan")) return real_val(NAN);
    if (is_const(r, a->name, &v)) return int_val(v);
    if (!r->k) read_fail(r, "loop-constant", a->loc, "%s is no constant", a->name);
    const Scoped *s = read_find(r, a->name, a->loc);
    if (s->kind == SCOPE_VALUE) return s->val;
    if (s->kind == SCOPE_BUF) read_fail(r, "loop-name", a->loc, "%s is a buffer, not a value", a->name);
    return element(r, a, NULL, NULL);
  }
  case AST_INDEX:
    if (!r->k) read_fail(r, "loop-constant", a->loc, "an element of %s is no constant", a->name);
    return element(r, a, NULL, NULL);
  case AST_UNARY: return unary(r, a);
  case AST_BINARY: return binary(r, a);
  case AST_CALL: return call(r, a);
  }
  BUG("expression of kind %d", a->kind);
}
