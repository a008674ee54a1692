/* Stages of a kernel as C functions: one statement of the Loop IR after another, unrolled loops unrolled, registers as
 * local variables, what a statement uses twice as constants before it. */
#include "c_text.h"
#include "scalar.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LONG = 96 }; /* an expression with more letters gets a name */

static const char *value(CText *, Ex);
static const char *lane(CText *, Ex, int l);
static void block(CText *, const Stmt *);

static const Expr *at(const CText *c, Ex e) { return ex_at(c->k, e); }
static Ex in(const CText *c, const Expr *x, int i) { return c->k->arg.at[x->in + (uint32_t)i]; }
static bool is_idx(const CText *c, Ex e) { return at(c, e)->dtype == DT_IDX; }

static void refuse(CText *c, const char *what, const char *name) {
  if (!c->error) c->error = arena_printf(c->arena, "kernel %s cannot be written as C: %s %s", c->k->name, what, name);
}

static void line(CText *c) { buf_printf(&c->out, "%*s", 2 * c->depth, ""); }

const char *c_buffer(const CText *c, uint32_t buf) {
  return arena_printf(c->arena, "%s_%u", c->k->bufs.at[buf].name, buf);
}

/* ---- indices ---- */

/* The value that an index has in lane l, where it is known while printing. */
static bool known_lane(const CText *c, Ex e, int l, int64_t *v) {
  const Expr *x = at(c, e);
  int64_t a, b;
  if (x->dtype != DT_IDX) return false;
  switch (x->op) {
  case OP_LITERAL: return *v = x->u.i, true;
  case OP_LANE: return *v = l, true;
  case OP_SPLAT: return known_lane(c, in(c, x, 0), l, v);
  case OP_VAR:
    if (c->unrolled[x->ref]) return *v = c->turn[x->ref], true;
    return c->k->vars.at[x->ref].kind == VAR_LET && known_lane(c, c->k->vars.at[x->ref].value, l, v);
  case OP_ADD:
  case OP_SUB:
  case OP_MUL:
  case OP_FLOOR_DIV:
  case OP_FLOOR_MOD: break;
  default: return false;
  }
  if (!known_lane(c, in(c, x, 0), l, &a) || !known_lane(c, in(c, x, 1), l, &b)) return false;
  if (x->op == OP_ADD) return *v = a + b, true;
  if (x->op == OP_SUB) return *v = a - b, true;
  if (x->op == OP_MUL) return *v = a * b, true;
  if (b <= 0) return false;
  int64_t q = a / b - (a % b < 0);
  return *v = x->op == OP_FLOOR_DIV ? q : a - q * b, true;
}

static bool known(const CText *c, Ex e, int64_t *v) { return at(c, e)->lanes == 1 && known_lane(c, e, 0, v); }

static const char *sum(CText *c, const char *a, const char *sign, const char *b) {
  bool zero = !strcmp(b, "0");
  if (zero && *sign != '*') return a;
  if (!strcmp(a, "0")) return *sign == '+' ? b : *sign == '*' ? a : arena_printf(c->arena, "(0 - %s)", b);
  if (*sign == '*' && zero) return b;
  if (*sign == '*' && !strcmp(a, "1")) return b;
  if (*sign == '*' && !strcmp(b, "1")) return a;
  return arena_printf(c->arena, "(%s %s %s)", a, sign, b);
}

/* Where an element lies, in elements from the start of its buffer. */
static const char *offset(CText *c, uint32_t buf, const Ex *index, int n, int l) {
  LoopBuf b = c->k->bufs.at[buf];
  const char *o = "0", *i[LOOP_RANK], *d[LOOP_RANK];
  if (b.list || b.layout == LAYOUT_SWIZZLE || b.layout == LAYOUT_STRIDES || b.buffers) {
    refuse(c, "the layout of", b.name);
    return "0";
  }
  for (int k = 0; k < n; k++) i[k] = lane(c, index[k], l), d[k] = value(c, loop_sym(c->k, b.dim[k]));
  int panel = b.layout == LAYOUT_PANEL ? b.panel_axis : -1;
  const char *w = arena_printf(c->arena, "%d", b.width), *idx[2] = {"0", "0"};
  int64_t v;
  if (panel >= 0) {
    if (at(c, index[panel])->lanes == 1 && known(c, index[panel], &v)) {
      idx[0] = arena_printf(c->arena, "%lld", (long long)(v / b.width));
      idx[1] = arena_printf(c->arena, "%lld", (long long)(v % b.width));
    } else {
      idx[0] = arena_printf(c->arena, "%s(%s, %s)", c_call(c, OP_FLOOR_DIV, DT_I64, 1), i[panel], w);
      idx[1] = arena_printf(c->arena, "%s(%s, %s)", c_call(c, OP_FLOOR_MOD, DT_I64, 1), i[panel], w);
    }
    o = idx[0];
  }
  for (int k = 0; k < n; k++)
    if (k != panel) o = sum(c, sum(c, o, "*", d[k]), "+", i[k]);
  return panel < 0 ? o : sum(c, sum(c, o, "*", w), "+", idx[1]);
}

static const char *new_name(CText *c) { return arena_printf(c->arena, "v%u", c->names++); }

/* Gives an expression a name of its own before the statement. */
static const char *named(CText *c, Ex e, const char *text) {
  const Expr *x = at(c, e);
  if (c->stamp[e] == c->now && c->memo[e] && *c->memo[e] == 'v') return c->memo[e];
  const char *name = new_name(c);
  line(c);
  buf_printf(&c->out, "const %s %s = %s;\n", c_type(c, (DType)x->dtype, x->lanes), name, text);
  c->stamp[e] = c->now;
  return c->memo[e] = name;
}

/* An index as lane l has it. */
static const char *lane(CText *c, Ex e, int l) {
  Expr x = *at(c, e);
  if (x.lanes == 1) return value(c, e);
  if (x.dtype == DT_IDX) switch (x.op) {
    case OP_LANE: return arena_printf(c->arena, "%d", l);
    case OP_SPLAT: return lane(c, in(c, &x, 0), l);
    case OP_VAR:
      if (c->k->vars.at[x.ref].kind == VAR_LOOP) return sum(c, c->var[x.ref], "+", arena_printf(c->arena, "%d", l));
      return arena_printf(c->arena, "(int64_t)%s[%d]", c->var[x.ref], l);
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
      return sum(c, lane(c, in(c, &x, 0), l),
                 x.op == OP_ADD   ? "+"
                 : x.op == OP_SUB ? "-"
                                  : "*",
                 lane(c, in(c, &x, 1), l));
    case OP_FLOOR_DIV:
    case OP_FLOOR_MOD:
    case OP_MAXIMUM:
    case OP_MINIMUM:
      return arena_printf(c->arena, "%s(%s, %s)", c_call(c, (Op)x.op, DT_I64, 1), lane(c, in(c, &x, 0), l),
                          lane(c, in(c, &x, 1), l));
    default: break;
    }
  return arena_printf(c->arena, "(int64_t)%s[%d]", named(c, e, value(c, e)), l);
}

/* ---- values ---- */

static const char *value_lanes(CText *c, Ex e, int lanes) {
  const char *v = value(c, e);
  const Expr *x = at(c, e);
  if (lanes == 1 || x->lanes > 1) return v;
  return arena_printf(c->arena, x->dtype == DT_BOOL ? "%s(-(int32_t)%s)" : "%s(%s)", c_splat(c, (DType)x->dtype, lanes),
                      v);
}

static const char *number(CText *c, DType d, double f) {
  const char *end = d == DT_F32 ? "f" : "";
  if (isnan(f)) return arena_printf(c->arena, "__builtin_nan%s(\"\")", end);
  if (isinf(f)) return arena_printf(c->arena, "(%s__builtin_inf%s())", f < 0 ? "-" : "", end);
  const char *sign = signbit(f) ? "-" : "";
  if (f == floor(f) && fabs(f) < 1e6) return arena_printf(c->arena, "%s%.1f%s", sign, fabs(f), end);
  return arena_printf(c->arena, "%s%a%s", sign, fabs(f), end);
}

static const char *literal(CText *c, const Expr *x) {
  DType d = (DType)x->dtype;
  const char *s;
  uint16_t bits;
  if (dtype_is_half(d))
    scalar_store(d, (Scalar){.f = x->u.f}, &bits), s = arena_printf(c->arena, "%u", bits);
  else if (dtype_is_float(d))
    s = number(c, d, x->u.f);
  else if (d == DT_BOOL)
    s = x->u.i ? "true" : "false";
  else if (d == DT_U64 || d == DT_U32)
    s = arena_printf(c->arena, "%llu%s", (unsigned long long)(d == DT_U32 ? (uint32_t)x->u.i : (uint64_t)x->u.i),
                     d == DT_U64 ? "ull" : "u");
  else if (x->u.i == INT64_MIN)
    s = "INT64_MIN";
  else
    s = arena_printf(c->arena, x->u.i < 0 ? "(%lld)" : "%lld", (long long)x->u.i);
  if (x->lanes == 1) return s;
  return arena_printf(c->arena, d == DT_BOOL ? "%s(-(int32_t)%s)" : "%s(%s)", c_splat(c, d, x->lanes), s);
}

/* Whether it is a literal of all lanes other than 0, and which integer. */
static bool literal_of(const CText *c, Ex e, int64_t *whole) {
  const Expr *x = at(c, e);
  if (x->op == OP_SPLAT) return literal_of(c, in(c, x, 0), whole);
  if (x->op != OP_LITERAL) return false;
  if (dtype_is_float((DType)x->dtype)) return x->u.f < 0 || x->u.f > 0;
  *whole = x->u.i;
  return true;
}

static const char *convert(CText *c, const char *v, DType from, DType to, int w) {
  Arena *a = c->arena;
  from = c_number(from, w);
  to = c_number(to, w);
  if (from == to) return v;
  if (dtype_is_half(from)) return convert(c, arena_printf(a, "%s(%s)", c_half(c, from, DT_F32, w), v), DT_F32, to, w);
  if (dtype_is_half(to)) return arena_printf(a, "%s(%s)", c_half(c, DT_F32, to, w), convert(c, v, from, DT_F32, w));
  const char *t = c_type(c, to, w);
  bool ff = dtype_is_float(from), tf = dtype_is_float(to);
  if (to == DT_BOOL && w == 1) return arena_printf(a, "(%s != 0)", v);
  if (to == DT_BOOL) {
    const char *differs = arena_printf(a, "(%s != 0)", v);
    return dtype_size(from) == 4 ? arena_printf(a, "(%s)%s", t, differs)
                                 : arena_printf(a, "__builtin_convertvector(%s, %s)", differs, t);
  }
  if (ff && !tf) return arena_printf(a, "%s(%s)", c_saturate(c, from, to, w), v);
  if (w == 1) return arena_printf(a, "(%s)%s", t, v);
  if (from == DT_BOOL)
    return to == DT_I32 ? arena_printf(a, "-%s", v) : arena_printf(a, "__builtin_convertvector(-%s, %s)", v, t);
  return arena_printf(a, "__builtin_convertvector(%s, %s)", v, t);
}

static const char *mask_and(CText *c, const char *a, const char *b) {
  return !a ? b : !b ? a : arena_printf(c->arena, "(%s & %s)", a, b);
}

static const char *load(CText *c, const Expr *x) {
  Arena *a = c->arena;
  DType d = (DType)x->dtype;
  int w = x->lanes, n = x->nin;
  Ex index[LOOP_RANK];
  memcpy(index, c->k->arg.at + x->in, (size_t)n * sizeof *index);
  const char *b = c_buffer(c, x->ref), *zero = w == 1 ? "0" : arena_printf(a, "(%s){0}", c_type(c, d, w));
  const char *mask = x->mask ? value_lanes(c, x->mask, w) : NULL;
  const char *other = x->other ? value_lanes(c, x->other, w) : zero;
  const char *yes = d == DT_BOOL ? " != 0" : "";
  if (w > 1) mask = mask_and(c, mask, c->mask);
  if (w == 1) {
    const char *o = offset(c, x->ref, index, n, 0);
    return mask ? arena_printf(a, "(%s ? %s[%s]%s : %s)", mask, b, o, yes, other)
                : arena_printf(a, "(%s[%s]%s)", b, o, yes);
  }
  if (mask) { /* it is used in several places */
    const char *name = new_name(c);
    line(c);
    buf_printf(&c->out, "const %s %s = %s;\n", c_type(c, DT_BOOL, w), name, mask);
    mask = name;
  }
  switch (loop_access(c->k, x->ref, index, n, w)) {
  case ACCESS_SPLAT: {
    const char *o = offset(c, x->ref, index, n, 0), *s = c_splat(c, d, w), *sign = d == DT_BOOL ? "-(int32_t)" : "";
    if (!mask) return arena_printf(a, "%s(%s(%s[%s]%s))", s, sign, b, o, yes);
    return arena_printf(a, "%s(%s, %s(%s(%s(%s) ? %s[%s]%s : 0)), %s)", c_select(c, d, w), mask, s, sign,
                        c_any(c, w, false), mask, b, o, yes, other);
  }
  case ACCESS_CONTIGUOUS: {
    const char *o = offset(c, x->ref, index, n, 0);
    if (mask) return arena_printf(a, "%s(%s + %s, %s, %s)", c_load(c, d, w), b, o, mask, other);
    const char *v = arena_printf(a, "*(const %s *)(%s + %s)", c_memory(c, d, w), b, o);
    if (d == DT_BOOL) return arena_printf(a, "__builtin_convertvector(%s != 0, %s)", v, c_type(c, d, w));
    return v;
  }
  default: {
    Buf t = {0};
    buf_printf(&t, "(%s){", c_type(c, d, w));
    const char *rest = mask && x->other ? named(c, x->other, other) : NULL;
    if (rest && at(c, x->other)->lanes == 1) rest = NULL, refuse(c, "a masked load from", b);
    for (int l = 0; l < w; l++) {
      const char *o = offset(c, x->ref, index, n, l);
      const char *v = arena_printf(a, d == DT_BOOL ? "-(int32_t)(%s[%s] != 0)" : "%s[%s]", b, o);
      buf_put(&t, l ? ", " : "");
      if (mask && rest)
        buf_printf(&t, "%s[%d] ? %s : %s[%d]", mask, l, v, rest, l);
      else if (mask)
        buf_printf(&t, "%s[%d] ? %s : 0", mask, l, v);
      else
        buf_put(&t, v);
    }
    buf_put(&t, "}");
    const char *s = arena_printf(a, "%s", t.at);
    buf_free(&t);
    return s;
  }
  }
}

static const char *compare(CText *c, Op op, Ex x, Ex y, int w) {
  static const char *const sign[] = {"==", "!=", "<", "<=", ">", ">="};
  DType d = c_number((DType)at(c, x)->dtype, w);
  const char *s = sign[op - OP_EQUAL], *a = value_lanes(c, x, w), *b = value_lanes(c, y, w);
  if (w == 1) return arena_printf(c->arena, "(%s %s %s)", a, s, b);
  if (d == DT_BOOL) return arena_printf(c->arena, op == OP_EQUAL ? "~(%s ^ %s)" : "(%s ^ %s)", a, b);
  if (dtype_size(d) == 4) return arena_printf(c->arena, "(%s)(%s %s %s)", c_type(c, DT_BOOL, w), a, s, b);
  return arena_printf(c->arena, "__builtin_convertvector(%s %s %s, %s)", a, s, b, c_type(c, DT_BOOL, w));
}

static const char *permute(CText *c, const Expr *x) {
  bool two = x->op == OP_PERM2;
  Ex a = in(c, x, 0), index = in(c, x, two ? 2 : 1);
  int m = at(c, a)->lanes, n = x->lanes, fixed = 0;
  int64_t from[LOOP_LANES];
  DType d = (DType)x->dtype;
  while (fixed < n && known_lane(c, index, fixed, &from[fixed])) fixed++;
  const char *va = value(c, a), *vb = two ? value_lanes(c, in(c, x, 1), m) : va;
  if (fixed < n)
    return arena_printf(c->arena, "%s(%s%s%s, %s)", c_permute(c, d, m, n, two), va, two ? ", " : "", two ? vb : "",
                        value(c, index));
  if (!two) vb = va = named(c, a, va);
  Buf t = {0};
  buf_printf(&t, "__builtin_shufflevector(%s, %s", va, vb);
  for (int i = 0; i < n; i++) buf_printf(&t, ", %lld", (long long)from[i]);
  buf_put(&t, ")");
  const char *s = arena_printf(c->arena, "%s", t.at);
  buf_free(&t);
  return s;
}

static const char *binary(CText *c, const char *sign, const char *a, const char *b, DType d, int w) {
  const char *s = arena_printf(c->arena, "(%s %s %s)", a, sign, b);
  bool narrow = w == 1 && d != DT_IDX && !dtype_is_float(d) && dtype_size(d) < 8;
  return narrow ? arena_printf(c->arena, "((%s)%s)", c_element(d), s) : s;
}

static const char *operate(CText *c, Ex e) {
  Expr x = *at(c, e);
  Op op = (Op)x.op;
  DType d = (DType)x.dtype;
  int w = x.lanes;
  Arena *a = c->arena;
  int64_t n = 0;
  if (op == OP_LITERAL) return literal(c, &x);
  if (op == OP_LOAD) return load(c, &x);
  if (op == OP_VAR) {
    if (w > 1 && c->k->vars.at[x.ref].kind == VAR_LOOP)
      return arena_printf(a, "(%s(%s) + %s())", c_splat(c, DT_IDX, w), c->var[x.ref], c_iota(c, w));
    return c->var[x.ref];
  }
  if (op == OP_REG) {
    const LoopReg *r = &c->k->regs.at[x.ref];
    const char *name = arena_printf(a, "%s_%u", r->name, x.ref);
    for (int k = 0; k < x.nin; k++) {
      if (!known(c, in(c, &x, k), &n)) BUG("%s: index of register %s", c->k->name, r->name);
      name = arena_printf(a, "%s_%lld", name, (long long)n);
    }
    return name;
  }
  Ex i0 = x.nin > 0 ? in(c, &x, 0) : 0, i1 = x.nin > 1 ? in(c, &x, 1) : 0;
  DType from = i0 ? (DType)at(c, i0)->dtype : d;
  int iw =
      i0 && (op == OP_HADD || op == OP_HMAX || op == OP_HMIN || op == OP_ANY || op == OP_ALL) ? at(c, i0)->lanes : w;
  if (op == OP_PERM || op == OP_PERM2) return permute(c, &x);
  if (op == OP_EXTRACT) {
    if (!known(c, i1, &n)) BUG("%s: extract of a lane that is not constant", c->k->name);
    const char *v = arena_printf(a, "%s[%lld]", named(c, i0, value(c, i0)), (long long)n);
    return d == DT_BOOL ? arena_printf(a, "(%s != 0)", v) : v;
  }
  if (OP_INFO[op].cls == CLASS_COMPARE) return compare(c, op, i0, i1, w);
  if (op == OP_CONVERT) return convert(c, value_lanes(c, i0, w), from, d, w);
  const char *v[3] = {0};
  for (int i = 0; i < x.nin && i < 3; i++) v[i] = value_lanes(c, in(c, &x, i), iw);
  bool flag = d == DT_BOOL && w == 1;
  switch (op) {
  case OP_SPLAT:
  case OP_LEAF:
  case OP_STOP_GRADIENT: return v[0];
  case OP_LANE: return arena_printf(a, "%s()", c_iota(c, w));
  case OP_NEG: return w == 1 ? arena_printf(a, "((%s)-%s)", c_element(d), v[0]) : arena_printf(a, "(-%s)", v[0]);
  case OP_NOT:
    return w == 1 && d == DT_BOOL ? arena_printf(a, "(!%s)", v[0])
           : w == 1               ? arena_printf(a, "((%s)~%s)", c_element(d), v[0])
                                  : arena_printf(a, "(~%s)", v[0]);
  case OP_IS_NAN:
    if (w == 1) return arena_printf(a, "(%s != %s)", v[0], v[0]);
    return dtype_size(from) == 4
               ? arena_printf(a, "(%s)(%s != %s)", c_type(c, DT_BOOL, w), v[0], v[0])
               : arena_printf(a, "__builtin_convertvector(%s != %s, %s)", v[0], v[0], c_type(c, DT_BOOL, w));
  case OP_BITS:
    if (w == 1) return arena_printf(a, "%s(%s)", c_bits(c, from, d), v[0]);
    return arena_printf(a, "(%s)%s", c_type(c, d, w), v[0]);
  case OP_ADD: return d == DT_IDX && w == 1 ? sum(c, v[0], "+", v[1]) : binary(c, "+", v[0], v[1], d, w);
  case OP_SUB: return d == DT_IDX && w == 1 ? sum(c, v[0], "-", v[1]) : binary(c, "-", v[0], v[1], d, w);
  case OP_MUL: return d == DT_IDX && w == 1 ? sum(c, v[0], "*", v[1]) : binary(c, "*", v[0], v[1], d, w);
  case OP_AND: return flag ? arena_printf(a, "(%s && %s)", v[0], v[1]) : binary(c, "&", v[0], v[1], d, w);
  case OP_OR: return flag ? arena_printf(a, "(%s || %s)", v[0], v[1]) : binary(c, "|", v[0], v[1], d, w);
  case OP_XOR: return flag ? arena_printf(a, "(%s != %s)", v[0], v[1]) : binary(c, "^", v[0], v[1], d, w);
  case OP_DIV:
    if (dtype_is_float(d)) return binary(c, "/", v[0], v[1], d, w);
    break;
  case OP_SHL:
  case OP_SHR:
    if (w > 1 && literal_of(c, i1, &n) && n >= 0 && n < 8 * (int64_t)dtype_size(c_number(d, w)))
      return arena_printf(a, "(%s %s %lld)", v[0], op == OP_SHL ? "<<" : ">>", (long long)n);
    break;
  case OP_SELECT:
    if (w == 1) return arena_printf(a, "(%s ? %s : %s)", v[0], v[1], v[2]);
    return arena_printf(a, "%s(%s, %s, %s)", c_select(c, d, w), v[0], v[1], v[2]);
  case OP_MAXIMUM:
  case OP_MINIMUM:
    if (!dtype_is_float(d)) break;
    if (literal_of(c, i1, &n)) return arena_printf(a, "%s(%s, %s)", c_quick(c, op, d, w), v[1], v[0]);
    if (literal_of(c, i0, &n)) return arena_printf(a, "%s(%s, %s)", c_quick(c, op, d, w), v[0], v[1]);
    break;
  case OP_HADD:
  case OP_HMAX:
  case OP_HMIN: return iw == 1 ? v[0] : arena_printf(a, "%s(%s)", c_fold(c, op, d, iw), v[0]);
  case OP_ANY:
  case OP_ALL: return iw == 1 ? v[0] : arena_printf(a, "%s(%s)", c_any(c, iw, op == OP_ALL), v[0]);
  case OP_LEN:
  case OP_DOT4: refuse(c, "there is no C yet for", OP_INFO[op].text); return "0";
  default: break;
  }
  const char *f = c_call(c, op, d, w);
  if (x.nin == 1) return arena_printf(a, "%s(%s)", f, v[0]);
  if (x.nin == 2) return arena_printf(a, "%s(%s, %s)", f, v[0], v[1]);
  return arena_printf(a, "%s(%s, %s, %s)", f, v[0], v[1], v[2]);
}

static const char *value(CText *c, Ex e) {
  int64_t n;
  if (c->stamp[e] == c->now && c->memo[e]) return c->memo[e];
  if (is_idx(c, e) && known(c, e, &n)) return arena_printf(c->arena, n < 0 ? "(%lld)" : "%lld", (long long)n);
  const char *s = operate(c, e);
  const Expr *x = at(c, e);
  bool plain = x->op == OP_VAR || x->op == OP_REG || (x->op == OP_LITERAL && x->lanes == 1);
  if (c->stamp[e] != c->now) c->stamp[e] = c->now, c->uses[e] = 1;
  c->memo[e] = NULL;
  if (!plain && (c->uses[e] > 1 || strlen(s) > LONG)) return named(c, e, s);
  return plain ? c->memo[e] = s : s;
}

/* ---- statements ---- */

static void count(CText *c, Ex e) {
  if (!e) return;
  if (c->stamp[e] != c->now) {
    c->stamp[e] = c->now;
    c->uses[e] = 0;
    c->memo[e] = NULL;
  }
  if (c->uses[e]++) return;
  const Expr *x = at(c, e);
  for (int i = 0; i < x->nin; i++) count(c, in(c, x, i));
  count(c, x->mask);
  count(c, x->other);
}

static void begin(CText *c, const Stmt *s) {
  c->now++;
  count(c, s->value);
  count(c, s->mask);
  count(c, s->lo);
  count(c, s->hi);
  for (int i = 0; i < s->nindex; i++) count(c, s->index[i]);
}

static const char *bind(CText *c, uint32_t var) {
  return c->var[var] = arena_printf(c->arena, "%s_%u", c->k->vars.at[var].name, c->names++);
}

static void braces(CText *c, const Stmt *body) {
  buf_put(&c->out, "{\n");
  c->depth++;
  block(c, body);
  c->depth--;
  line(c);
  buf_put(&c->out, "}\n");
}

/* A body whose lanes are active where `mask` says so. */
static void masked(CText *c, const char *mask, int lanes, const Stmt *body) {
  const char *old = c->mask, *name = new_name(c);
  line(c);
  buf_printf(&c->out, "const %s %s = %s;\n", c_type(c, DT_BOOL, lanes), name, mask_and(c, old, mask));
  line(c);
  buf_printf(&c->out, "if (%s(%s)) ", c_any(c, lanes, false), name);
  c->mask = name;
  braces(c, body);
  c->mask = old;
}

static void put_if(CText *c, const Stmt *s) {
  begin(c, s);
  int lanes = at(c, s->value)->lanes;
  const char *v = value(c, s->value);
  if (lanes == 1) {
    line(c);
    buf_printf(&c->out, "if (%s) ", v);
    braces(c, s->body);
    if (!s->other) return;
    line(c);
    buf_put(&c->out, "else ");
    braces(c, s->other);
    return;
  }
  const char *cond = new_name(c);
  line(c);
  buf_printf(&c->out, "const %s %s = %s;\n", c_type(c, DT_BOOL, lanes), cond, v);
  masked(c, cond, lanes, s->body);
  if (s->other) masked(c, arena_printf(c->arena, "~%s", cond), lanes, s->other);
}

static void put_vector(CText *c, const Stmt *s) {
  int w = s->width;
  int64_t a = 0, b = 0;
  begin(c, s);
  bool fixed = known(c, s->lo, &a) && known(c, s->hi, &b), exact = s->tail == TAIL_NONE || (fixed && (b - a) % w == 0);
  if (fixed && b <= a) return;
  const char *lo = value(c, s->lo), *hi = value(c, s->hi);
  if (!fixed) lo = named(c, s->lo, lo), hi = named(c, s->hi, hi);
  const char *full = hi, *j = bind(c, s->ref);
  line(c);
  buf_put(&c->out, "{\n");
  c->depth++;
  line(c);
  buf_printf(&c->out, "int64_t %s = %s;\n", j, lo);
  if (!exact) {
    full = new_name(c);
    line(c);
    buf_printf(&c->out, "const int64_t %s = %s + (%s - %s%s) / %d * %d;\n", full, lo, hi, lo,
               s->tail == TAIL_PAD ? arena_printf(c->arena, " + %d", w - 1) : "", w, w);
  }
  line(c);
  buf_printf(&c->out, "for (; %s < %s; %s += %d) ", j, full, j, w);
  braces(c, s->body);
  if (!exact && s->tail != TAIL_PAD) {
    line(c);
    buf_printf(&c->out, "if (%s < %s) {\n", j, hi);
    c->depth++;
    if (s->tail == TAIL_OVERLAP) {
      line(c);
      buf_printf(&c->out, "if (%s > %s) ", full, lo);
      buf_put(&c->out, "{\n");
      c->depth++;
      line(c);
      buf_printf(&c->out, "%s = %s - %d;\n", j, hi, w);
      block(c, s->body);
      c->depth--;
      line(c);
      buf_put(&c->out, "} else {\n");
      c->depth++;
    }
    const char *rest = arena_printf(c->arena, "(%s() < %s(%s - %s))", c_iota(c, w), c_splat(c, DT_IDX, w), hi, j);
    masked(c, rest, w, s->body);
    if (s->tail == TAIL_OVERLAP) {
      c->depth--;
      line(c);
      buf_put(&c->out, "}\n");
    }
    c->depth--;
    line(c);
    buf_put(&c->out, "}\n");
  }
  c->depth--;
  line(c);
  buf_put(&c->out, "}\n");
}

static void put_for(CText *c, const Stmt *s) {
  int64_t lo, hi;
  if (s->mode == FOR_THREAD) return refuse(c, "a loop over threads,", c->k->vars.at[s->ref].name);
  if (s->mode == FOR_VECTOR) return put_vector(c, s);
  begin(c, s);
  bool fixed = known(c, s->lo, &lo) && known(c, s->hi, &hi);
  if (s->mode == FOR_UNROLL && !fixed) BUG("%s: an unrolled loop without constant bounds", c->k->name);
  if (fixed && (s->mode == FOR_UNROLL || hi - lo <= s->step)) {
    c->unrolled[s->ref] = true;
    for (int64_t i = lo; i < hi; i += s->step) {
      c->turn[s->ref] = i;
      line(c);
      braces(c, s->body);
    }
    c->unrolled[s->ref] = false;
    return;
  }
  const char *a = value(c, s->lo), *b = fixed ? value(c, s->hi) : named(c, s->hi, value(c, s->hi)),
             *i = bind(c, s->ref);
  line(c);
  buf_printf(&c->out, "for (int64_t %s = %s; %s < %s; %s += %lld) ", i, a, i, b, i, (long long)s->step);
  braces(c, s->body);
}

static void put_reg(CText *c, const Stmt *s) {
  const LoopReg *r = &c->k->regs.at[s->ref];
  begin(c, s);
  const char *v = s->value ? value_lanes(c, s->value, r->lanes) : r->lanes > 1 ? "{0}" : "0";
  const char *t = c_type(c, r->dtype, r->lanes);
  for (int64_t i = 0; i < (r->rank > 0 ? r->dim[0] : 1); i++)
    for (int64_t j = 0; j < (r->rank > 1 ? r->dim[1] : 1); j++) {
      line(c);
      buf_printf(&c->out, "%s %s_%u", t, r->name, s->ref);
      if (r->rank > 0) buf_printf(&c->out, "_%lld", (long long)i);
      if (r->rank > 1) buf_printf(&c->out, "_%lld", (long long)j);
      buf_printf(&c->out, " = %s;\n", v);
    }
}

static void put_assign(CText *c, const Stmt *s) {
  const LoopReg r = c->k->regs.at[s->ref];
  begin(c, s);
  const char *name = arena_printf(c->arena, "%s_%u", r.name, s->ref);
  for (int i = 0; i < s->nindex; i++) {
    int64_t n;
    if (!known(c, s->index[i], &n)) BUG("%s: index of register %s", c->k->name, r.name);
    name = arena_printf(c->arena, "%s_%lld", name, (long long)n);
  }
  const char *m = s->mask ? value_lanes(c, s->mask, r.lanes) : NULL, *v = value_lanes(c, s->value, r.lanes);
  if (r.lanes > 1) m = mask_and(c, m, c->mask);
  if (m && r.lanes > 1)
    v = arena_printf(c->arena, "%s(%s, %s, %s)", c_select(c, r.dtype, r.lanes), m, v, name);
  else if (m)
    v = arena_printf(c->arena, "%s ? %s : %s", m, v, name);
  line(c);
  buf_printf(&c->out, "%s = %s;\n", name, v);
}

static void put_store(CText *c, const Stmt *s) {
  int w = 1;
  DType d = c->k->bufs.at[s->ref].dtype;
  begin(c, s);
  for (int i = 0; i < s->nindex; i++)
    if (at(c, s->index[i])->lanes > w) w = at(c, s->index[i])->lanes;
  const char *m = s->mask ? value_lanes(c, s->mask, w) : NULL, *v = value_lanes(c, s->value, w);
  const char *b = c_buffer(c, s->ref);
  if (w > 1) m = mask_and(c, m, c->mask);
  if (w == 1) {
    const char *o = offset(c, s->ref, s->index, s->nindex, 0);
    line(c);
    buf_printf(&c->out, m ? "if (%s) %s[%s] = %s;\n" : "%s%s[%s] = %s;\n", m ? m : "", b, o, v);
    return;
  }
  if (loop_access(c->k, s->ref, s->index, s->nindex, w) == ACCESS_CONTIGUOUS) {
    const char *o = offset(c, s->ref, s->index, s->nindex, 0), *f = m ? c_store(c, d, w) : NULL;
    const char *t = m ? NULL : c_memory(c, d, w);
    if (!m && d == DT_BOOL) v = arena_printf(c->arena, "__builtin_convertvector(-%s, %s)", v, c_type(c, DT_U8, w));
    line(c);
    if (m)
      buf_printf(&c->out, "%s(%s + %s, %s, %s);\n", f, b, o, m, v);
    else
      buf_printf(&c->out, "*(%s *)(%s + %s) = %s;\n", t, b, o, v);
    return;
  }
  const char *name = new_name(c), *all = m ? new_name(c) : NULL;
  line(c);
  buf_printf(&c->out, "const %s %s = %s;\n", c_type(c, d, w), name, v);
  if (m) line(c), buf_printf(&c->out, "const %s %s = %s;\n", c_type(c, DT_BOOL, w), all, m);
  for (int l = 0; l < w; l++) {
    const char *o = offset(c, s->ref, s->index, s->nindex, l);
    line(c);
    if (m) buf_printf(&c->out, "if (%s[%d]) ", all, l);
    buf_printf(&c->out, "%s[%s] = %s[%d]%s;\n", b, o, name, l, d == DT_BOOL ? " != 0" : "");
  }
}

static void put_alloc(CText *c, const Stmt *s) {
  const LoopBuf *b = &c->k->bufs.at[s->ref];
  int64_t n = 1, lo, hi;
  SymFacts *facts = sym_facts_new(c->arena, c->k->ctx->syms);
  for (uint32_t i = 0; i < c->k->dims.n; i++) {
    const Dim *d = &c->k->dims.at[i];
    sym_fact_range(facts, d->name, d->lo, d->hi);
  }
  for (int i = 0; i < b->rank; i++) {
    sym_range(facts, b->dim[i], &lo, &hi);
    if (b->layout == LAYOUT_PANEL && i == b->panel_axis && hi < 4096) hi = (hi + b->width - 1) / b->width * b->width;
    n = hi > 4096 || n > 4096 ? 4097 : n * (hi > 1 ? hi : 1);
  }
  if (n > 4096) refuse(c, "the scratch of a task,", b->name);
  line(c);
  buf_printf(&c->out, "%s %s[%lld] __attribute__((aligned(64)));\n", c_element(b->dtype), c_buffer(c, s->ref),
             (long long)n);
}

static void put_stmt(CText *c, const Stmt *s) {
  switch (s->kind) {
  case STMT_LET: {
    const Expr x = *at(c, s->value);
    int64_t n;
    if (!c->used[s->ref] || known(c, s->value, &n)) break;
    int lanes = c->k->vars.at[s->ref].lanes > x.lanes ? c->k->vars.at[s->ref].lanes : x.lanes;
    begin(c, s);
    const char *v = value_lanes(c, s->value, lanes), *name = bind(c, s->ref);
    line(c);
    buf_printf(&c->out, "const %s %s = %s;\n", c_type(c, (DType)x.dtype, lanes), name, v);
    break;
  }
  case STMT_REG: put_reg(c, s); break;
  case STMT_ALLOC: put_alloc(c, s); break;
  case STMT_ASSIGN: put_assign(c, s); break;
  case STMT_STORE: put_store(c, s); break;
  case STMT_IF: put_if(c, s); break;
  case STMT_FOR: put_for(c, s); break;
  case STMT_FAIL: {
    begin(c, s);
    int lanes = at(c, s->value)->lanes;
    const char *v = value(c, s->value), *any = lanes > 1 ? c_any(c, lanes, false) : NULL;
    if (any) v = arena_printf(c->arena, "%s(%s)", any, mask_and(c, v, c->mask));
    line(c);
    buf_printf(&c->out, "if (%s) %s(%lld);\n", v, c_fail(c), (long long)s->code);
    break;
  }
  case STMT_PREFETCH: {
    begin(c, s);
    const char *o = offset(c, s->ref, s->index, s->nindex, 0);
    line(c);
    buf_printf(&c->out, "__builtin_prefetch(%s + %s);\n", c_buffer(c, s->ref), o);
    break;
  }
  default: refuse(c, "a statement for GPUs in", c->k->name);
  }
}

static void block(CText *c, const Stmt *s) {
  for (; s && !c->error; s = s->next) put_stmt(c, s);
}

/* ---- stages ---- */

/* Marks the variables that an expression names. */
static void mark(const CText *c, Ex e, bool *seen, bool *used) {
  if (!e || seen[e]) return;
  seen[e] = true;
  const Expr *x = at(c, e);
  if (x->op == OP_VAR) used[x->ref] = true;
  for (int i = 0; i < x->nin; i++) mark(c, in(c, x, i), seen, used);
  mark(c, x->mask, seen, used);
  mark(c, x->other, seen, used);
}

static void mark_all(const CText *c, const Stmt *s, bool *seen, bool *used) {
  for (; s; s = s->next) {
    mark(c, s->value, seen, used);
    mark(c, s->mask, seen, used);
    mark(c, s->lo, seen, used);
    mark(c, s->hi, seen, used);
    for (int i = 0; i < s->nindex; i++) mark(c, s->index[i], seen, used);
    mark_all(c, s->body, seen, used);
    mark_all(c, s->other, seen, used);
  }
}

static bool alias(const Kernel *k, int i) { /* whether another parameter is the same memory */
  for (int j = 0; j < k->nparams; j++)
    if (k->bufs.at[j].inplace == i) return true;
  return k->bufs.at[i].inplace >= 0;
}

bool c_stage(CText *c, const Stage *st, const char *name) {
  Kernel *k = c->k;
  if (st->segmented) refuse(c, "the segmented stage", st->name);
  if (st->threads) refuse(c, "blocks of threads in", st->name);
  bool *loads = ARENA_ARRAY(c->arena, bool, k->bufs.n), *stores = ARENA_ARRAY(c->arena, bool, k->bufs.n);
  loop_uses(k, st, loads, stores);
  uint32_t room = 2 * k->ex.n + 4096; /* sizes of buffers may add expressions */
  c->var = ARENA_ARRAY(c->arena, const char *, k->vars.n + 1);
  c->turn = ARENA_ARRAY(c->arena, int64_t, k->vars.n + 1);
  c->unrolled = ARENA_ARRAY(c->arena, bool, k->vars.n + 1);
  c->uses = ARENA_ARRAY(c->arena, uint32_t, room);
  c->stamp = ARENA_ARRAY(c->arena, uint32_t, room);
  c->memo = ARENA_ARRAY(c->arena, const char *, room);
  c->used = ARENA_ARRAY(c->arena, bool, k->vars.n + 1);
  c->now = 1;
  c->mask = NULL;
  mark_all(c, st->body, ARENA_ARRAY(c->arena, bool, k->ex.n + 1), c->used);
  Buf before = c->out;
  c->out = (Buf){0};
  for (uint32_t i = 0; i < k->dims.n; i++) bind(c, i);
  c->depth = 1;
  for (int i = 0; i < k->nparams; i++) {
    if (!loads[i] && !stores[i]) continue;
    line(c);
    buf_printf(&c->out, "%s%s *%s%s = buffer[%d];\n", stores[i] ? "" : "const ", c_element(k->bufs.at[i].dtype),
               alias(k, i) ? "" : "restrict ", c_buffer(c, (uint32_t)i), i);
  }
  for (int i = 0; i < st->naxes; i++) {
    c->now++;
    const char *n = value(c, loop_sym(k, st->extent[i])), *v = bind(c, st->axis[i]);
    line(c);
    buf_printf(&c->out, "for (int64_t %s = 0; %s < %s; %s++) {\n", v, v, n, v);
    c->depth++;
  }
  block(c, st->body);
  for (; c->depth > 1;) {
    c->depth--;
    line(c);
    buf_put(&c->out, "}\n");
  }
  Buf body = c->out;
  c->out = before;
  buf_printf(&c->out, "static __attribute__((noinline)) void %s(const int64_t *size, void *const *buffer) {\n", name);
  bool sized = false;
  for (uint32_t i = 0; i < k->dims.n; i++) {
    if (!body.n || !strstr(body.at, c->var[i])) continue;
    buf_printf(&c->out, "  const int64_t %s = size[%u];\n", c->var[i], i);
    sized = true;
  }
  if (!sized) buf_put(&c->out, "  (void)size;\n");
  if (body.n) buf_write(&c->out, body.at, body.n);
  buf_put(&c->out, "}\n\n");
  buf_free(&body);
  if (k->ex.n > room) BUG("%s: its sizes have more expressions than it", k->name);
  return !c->error;
}
