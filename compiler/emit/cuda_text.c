/* Vectors are written lane by lane: a GPU computes them so. What makes them worth it is one access of 16 bytes where a
 * buffer's elements lie side by side. Unrolled loops stay loops (UNROLL), registers arrays that they index. */
#include "cuda_skeleton.h"
#include "scalar.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LONG = 96 }; /* an expression with more letters gets a name */

static const char *value(Cuda *, Ex, int lane);
static void block(Cuda *, const Stmt *);

static const Expr *at(const Cuda *c, Ex e) { return ex_at(c->k, e); }
static Ex in(const Cuda *c, const Expr *x, int i) { return c->k->arg.at[x->in + (uint32_t)i]; }

static const char *refuse(Cuda *c, const char *what, const char *name) {
  if (!c->error)
    c->error = arena_printf(c->arena, "kernel %s cannot be written for a GPU: %s %s", c->k->name, what, name);
  return "0";
}

static void line(Cuda *c) { buf_printf(&c->out, "%*s", 2 * c->depth, ""); }
#define LINE(c, ...) (line(c), buf_printf(&(c)->out, __VA_ARGS__))
#define TEXT(c, ...) arena_printf((c)->arena, __VA_ARGS__)

static void open_brace(Cuda *c) {
  buf_put(&c->out, "{\n");
  c->depth++;
}

static void close_brace(Cuda *c) {
  c->depth--;
  LINE(c, "}\n");
}

/* ---- types and names ---- */

/* "f32": as in the names of operations.h */
static const char *suffix(const Cuda *c, DType d) { return dtype_name(d == DT_IDX ? c->index : d); }

static const char *type_of(const Cuda *c, DType d) {
  switch (d) {
  case DT_F32: return "float";
  case DT_F64: return "double";
  case DT_BOOL: return "int";
  default: return suffix(c, d);
  }
}

static const char *in_memory(const Cuda *c, DType d) { return d == DT_BOOL ? "u8" : type_of(c, d); }

static const char *buffer(const Cuda *c, uint32_t buf) { return TEXT(c, "%s_b%u", c->k->bufs.at[buf].name, buf); }
static const char *reg_name(const Cuda *c, uint32_t reg) { return TEXT(c, "%s_r%u", c->k->regs.at[reg].name, reg); }
static const char *lane_name(const Cuda *c, const char *name, int lanes, int l) {
  return lanes == 1 ? name : TEXT(c, "%sl%d", name, l);
}
static const char *new_name(Cuda *c) { return TEXT(c, "v%u", c->names++); }
static const char *bind(Cuda *c, uint32_t var) {
  return c->var[var] = TEXT(c, "%s_%u", c->k->vars.at[var].name, c->names++);
}

/* ---- expressions ---- */

static const char *sum(Cuda *c, const char *a, const char *b) {
  return !strcmp(a, "0") ? b : !strcmp(b, "0") ? a : TEXT(c, "(%s + %s)", a, b);
}

static const char *product(Cuda *c, const char *a, const char *b) {
  if (!strcmp(a, "0") || !strcmp(b, "0")) return "0";
  return !strcmp(a, "1") ? b : !strcmp(b, "1") ? a : TEXT(c, "(%s * %s)", a, b);
}

static const char *size(Cuda *c, Sym s) { return value(c, loop_sym(c->k, s), 0); }

/* Where an element lies, in elements from the start of its buffer. */
static const char *offset(Cuda *c, uint32_t buf, const Ex *index, int n, int l) {
  LoopBuf b = c->k->bufs.at[buf];
  if (b.list || b.layout == LAYOUT_PANEL || b.layout == LAYOUT_STRIDES) return refuse(c, "the layout of", b.name);
  const char *o = "0", *row = "0";
  for (int i = 0; i < n; i++) {
    const char *x = value(c, index[i], l), *d = b.buffers && !i ? size(c, b.buffers) : size(c, b.dim[i]);
    if (b.buffers && !i) x = TEXT(c, "floor_mod_%s(%s, %s)", suffix(c, DT_IDX), x, d);
    if (b.layout == LAYOUT_SWIZZLE && i == n - 1) {
      const char *w = TEXT(c, "%d", b.width);
      x = TEXT(c, "((%s / %s ^ %s %% (%s / %s)) * %s + %s %% %s)", x, w, row, d, w, w, x, w);
    }
    row = x;
    o = sum(c, product(c, o, d), x);
  }
  return o;
}

static const char *number(Cuda *c, DType d, double f) {
  if (isnan(f)) return TEXT(c, "((%s)__uint_as_float(0x7fc00000u))", type_of(c, d));
  if (isinf(f)) return TEXT(c, "((%s)__uint_as_float(0x%cf800000u))", type_of(c, d), f < 0 ? 'f' : '7');
  const char *end = d == DT_F32 ? "f" : "";
  if (f == floor(f) && fabs(f) < 1e6) return TEXT(c, signbit(f) ? "(-%.1f%s)" : "%.1f%s", fabs(f), end);
  return TEXT(c, f < 0 ? "(%a%s)" : "%a%s", f, end);
}

static const char *half_number(Cuda *c, DType d, double f) {
  uint16_t h;
  scalar_store(d, (Scalar){.f = f}, &h);
  return TEXT(c, "bits_%s(0x%04xu)", dtype_name(d), h);
}

static const char *literal(Cuda *c, const Expr *x) {
  DType d = (DType)x->dtype;
  if (dtype_is_half(d)) return half_number(c, d, x->u.f);
  if (dtype_is_float(d)) return number(c, d, x->u.f);
  if (d == DT_U32) return TEXT(c, "%uu", (uint32_t)x->u.i);
  if (d == DT_U64) return TEXT(c, "%lluull", (unsigned long long)x->u.i);
  if (x->u.i == INT64_MIN) return "(-9223372036854775807ll - 1)";
  if (x->u.i == INT32_MIN) return "(-2147483647 - 1)";
  const char *end = x->u.i > INT32_MAX || x->u.i < INT32_MIN ? "ll" : "";
  return TEXT(c, x->u.i < 0 ? "(%lld%s)" : "%lld%s", (long long)x->u.i, end);
}

static const char *both(Cuda *c, const char *a, const char *b) { return !a ? b : !b ? a : TEXT(c, "(%s && %s)", a, b); }

static const char *load(Cuda *c, const Expr *x, int l) {
  Ex index[LOOP_RANK];
  memcpy(index, c->k->arg.at + x->in, (size_t)x->nin * sizeof *index);
  const char *b = TEXT(c, "%s[%s]", buffer(c, x->ref), offset(c, x->ref, index, x->nin, l));
  const char *mask = x->mask ? value(c, x->mask, l) : NULL;
  if (x->lanes > 1 && c->mask) mask = both(c, mask, c->mask[l]);
  if (!mask) return b;
  DType d = (DType)x->dtype;
  const char *other = x->other ? value(c, x->other, l) : dtype_is_half(d) ? half_number(c, d, 0) : "0";
  return TEXT(c, "(%s ? %s : %s)", mask, b, other);
}

static const char *convert(Cuda *c, const char *v, DType from, DType to) {
  if (from == DT_IDX) from = c->index;
  if (to == DT_IDX) to = c->index;
  if (from == to) return v;
  if (dtype_is_half(from)) return convert(c, TEXT(c, "%s_to_f32(%s)", dtype_name(from), v), DT_F32, to);
  if (dtype_is_half(to)) return TEXT(c, "f32_to_%s(%s)", dtype_name(to), convert(c, v, from, DT_F32));
  if (to == DT_BOOL) return TEXT(c, "(%s != 0)", v);
  if (dtype_is_float(from) && !dtype_is_float(to)) {
    if (to != DT_I32 && to != DT_I64 && to != DT_U32) return refuse(c, "a conversion to", dtype_name(to));
    return TEXT(c, "%s_to_%s(%s)", dtype_name(from), dtype_name(to), v);
  }
  return TEXT(c, "((%s)%s)", type_of(c, to), v);
}

static const char *bits(Cuda *c, const char *v, DType from, DType to) {
  if (from == DT_F32) return convert(c, TEXT(c, "__float_as_uint(%s)", v), DT_U32, to);
  if (from == DT_F64) return convert(c, TEXT(c, "f64_bits(%s)", v), DT_U64, to);
  if (to == DT_F32) return TEXT(c, "__uint_as_float(%s)", convert(c, v, from, DT_U32));
  if (to == DT_F64) return TEXT(c, "bits_f64(%s)", convert(c, v, from, DT_U64));
  if (dtype_is_half(from)) v = TEXT(c, "%s.bits", v), from = DT_U16;
  if (dtype_is_half(to)) return TEXT(c, "bits_%s(%s)", dtype_name(to), convert(c, v, from, DT_U32));
  return convert(c, v, from, to);
}

/* Halves of lanes from..from+n-1 folded on each other: lane i of op(lower half, upper half). */
static const char *fold(Cuda *c, Ex e, Op op, int lanes) {
  const char *v[LOOP_LANES];
  DType d = (DType)at(c, e)->dtype;
  for (int i = 0; i < lanes; i++) v[i] = value(c, e, i);
  for (int n = lanes / 2; n; n /= 2)
    for (int i = 0; i < n; i++)
      v[i] = op == OP_AND       ? TEXT(c, "(%s && %s)", v[i], v[i + n])
             : op == OP_OR      ? TEXT(c, "(%s || %s)", v[i], v[i + n])
             : op == OP_ADD     ? dtype_is_float(d) ? TEXT(c, "(%s + %s)", v[i], v[i + n])
                                                    : TEXT(c, "add_%s(%s, %s)", suffix(c, d), v[i], v[i + n])
                 : op == OP_MAXIMUM ? TEXT(c, "max_%s(%s, %s)", suffix(c, d), v[i], v[i + n])
                                : TEXT(c, "min_%s(%s, %s)", suffix(c, d), v[i], v[i + n]);
  return v[0];
}

/* One lane of a vector, by an index that the compiler knows once loops are unrolled. */
static const char *pick(Cuda *c, const Expr *x, int l) {
  int w = at(c, in(c, x, 0))->lanes, sources = x->op == OP_PERM2 ? 2 : 1;
  Ex index = in(c, x, x->nin - 1);
  const char *name = new_name(c);
  Buf t = {0};
  for (int s = 0; s < sources; s++)
    for (int i = 0; i < w; i++) buf_printf(&t, "%s%s", s + i ? ", " : "", value(c, in(c, x, s), i));
  LINE(c, "const %s %s[%d] = {%s};\n", type_of(c, (DType)x->dtype), name, w * sources, t.at);
  buf_free(&t);
  return TEXT(c, "%s[%s]", name, value(c, index, l));
}

static const char *function(const Cuda *c, Op op, DType d) {
  const char *f = d == DT_F32 ? "f" : "";
  switch (op) {
  case OP_ABS: return dtype_is_float(d) ? TEXT(c, "fabs%s", f) : TEXT(c, "abs_%s", suffix(c, d));
  case OP_SQRT: return TEXT(c, "sqrt%s", f);
  case OP_FLOOR: return TEXT(c, "floor%s", f);
  case OP_CEIL: return TEXT(c, "ceil%s", f);
  case OP_ROUND: return TEXT(c, "rint%s", f);
  case OP_TRUNC: return TEXT(c, "trunc%s", f);
  case OP_FMA: return TEXT(c, "fma%s", f);
  case OP_MAXIMUM: return TEXT(c, "max_%s", suffix(c, d));
  case OP_MINIMUM: return TEXT(c, "min_%s", suffix(c, d));
  case OP_REM: return dtype_is_float(d) ? TEXT(c, "fmod%s", f) : TEXT(c, "rem_%s", suffix(c, d));
  case OP_NEG: return TEXT(c, "neg_%s", suffix(c, d));
  case OP_ADD:
  case OP_SUB:
  case OP_MUL:
  case OP_DIV:
  case OP_SHL:
  case OP_SHR:
  case OP_MULHI: return TEXT(c, "%s_%s", OP_INFO[op].text, suffix(c, d));
  case OP_FLOOR_DIV: return TEXT(c, "floor_div_%s", suffix(c, d));
  case OP_FLOOR_MOD: return TEXT(c, "floor_mod_%s", suffix(c, d));
  default: return NULL;
  }
}

/* The sign between two operands, where C means the same; NULL: it does not. */
static const char *sign_of(Op op, DType from) {
  bool real = dtype_is_float(from), index = from == DT_IDX, flag = from == DT_BOOL;
  switch (op) {
  case OP_ADD: return real || index ? "+" : NULL;
  case OP_SUB: return real || index ? "-" : NULL;
  case OP_MUL: return real || index ? "*" : NULL;
  case OP_DIV: return real ? "/" : NULL;
  case OP_AND: return flag ? "&&" : "&";
  case OP_OR: return flag ? "||" : "|";
  case OP_XOR: return flag ? "!=" : "^";
  case OP_EQUAL: return "==";
  case OP_NOT_EQUAL: return "!=";
  case OP_LESS: return "<";
  case OP_LESS_EQUAL: return "<=";
  case OP_GREATER: return ">";
  case OP_GREATER_EQUAL: return ">=";
  default: return NULL;
  }
}

/* The f32 that e rounds to 16 bits, or 0. */
static Ex unrounded(const Cuda *c, Ex e) {
  const Expr *x = at(c, e);
  if (x->op != OP_CONVERT || !dtype_is_half((DType)x->dtype)) return 0;
  return at(c, in(c, x, 0))->dtype == DT_F32 ? in(c, x, 0) : 0;
}

/* A let that rounds to 16 bits keeps what it rounds, so that its use can round two lanes at once. */
static bool late(const Cuda *c, uint32_t var) {
  const LoopVar *v = &c->k->vars.at[var];
  if (v->kind != VAR_LET) return false;
  const Expr *x = at(c, v->value);
  return x->op == OP_VAR ? late(c, x->ref) : unrounded(c, v->value) != 0;
}

/* What a lane of e rounds to 16 bits, or NULL. */
static const char *before_rounding(Cuda *c, Ex e, int l) {
  const Expr x = *at(c, e);
  if (x.op == OP_VAR && late(c, x.ref)) return lane_name(c, c->var[x.ref], x.lanes, l);
  return unrounded(c, e) ? value(c, unrounded(c, e), l) : NULL;
}

static const char *operate(Cuda *c, Ex e, int l) {
  Expr x = *at(c, e);
  Op op = (Op)x.op;
  DType d = (DType)x.dtype;
  Ex a = x.nin ? in(c, &x, 0) : 0;
  DType from = a ? (DType)at(c, a)->dtype : d;
  switch (op) {
  case OP_LITERAL: return literal(c, &x);
  case OP_LANE: return TEXT(c, "%d", l);
  case OP_LOAD: return load(c, &x, l);
  case OP_VAR: {
    const LoopVar *v = &c->k->vars.at[x.ref];
    if (v->kind == VAR_LOOP && v->lanes > 1) return l ? TEXT(c, "(%s + %d)", c->var[x.ref], l) : c->var[x.ref];
    const char *name = lane_name(c, c->var[x.ref], v->lanes, l);
    return late(c, x.ref) ? convert(c, name, DT_F32, d) : name;
  }
  case OP_REG: {
    const char *name = reg_name(c, x.ref);
    for (int i = 0; i < x.nin; i++) name = TEXT(c, "%s[%s]", name, value(c, in(c, &x, i), 0));
    return x.lanes > 1 ? TEXT(c, "%s[%d]", name, l) : name;
  }
  case OP_SPLAT: return value(c, a, 0);
  case OP_CONVERT: return convert(c, value(c, a, l), from, d);
  case OP_BITS: return bits(c, value(c, a, l), from, d);
  case OP_EXTRACT:
  case OP_PERM:
  case OP_PERM2: return pick(c, &x, l);
  case OP_HADD:
  case OP_HMAX:
  case OP_HMIN: return fold(c, a, op == OP_HADD ? OP_ADD : op == OP_HMAX ? OP_MAXIMUM : OP_MINIMUM, at(c, a)->lanes);
  case OP_ANY:
  case OP_ALL: return fold(c, a, op == OP_ANY ? OP_OR : OP_AND, at(c, a)->lanes);
  case OP_LEN:
  case OP_DOT4:
  case OP_SCALE: return refuse(c, "there is no text for", OP_INFO[op].text);
  default: break;
  }
  const char *v[3] = {0}, *sign = x.nin == 2 ? sign_of(op, from) : NULL;
  for (int i = 0; i < x.nin && i < 3; i++) v[i] = value(c, in(c, &x, i), l);
  if (op == OP_SELECT) return TEXT(c, "(%s ? %s : %s)", v[0], v[1], v[2]);
  if (op == OP_IS_NAN) return TEXT(c, "(%s != %s)", v[0], v[0]);
  if (op == OP_NOT) return TEXT(c, d == DT_BOOL ? "(!%s)" : "(~%s)", v[0]);
  if (op == OP_NEG && (dtype_is_float(d) || d == DT_IDX)) return TEXT(c, "(-%s)", v[0]);
  if (op == OP_LEAF || op == OP_STOP_GRADIENT) return v[0];
  if (sign && d == DT_IDX && op == OP_ADD) return sum(c, v[0], v[1]);
  if (sign && d == DT_IDX && op == OP_MUL) return product(c, v[0], v[1]);
  if (sign) return TEXT(c, "(%s %s %s)", v[0], sign, v[1]);
  const char *f = function(c, op, d);
  if (!f) return refuse(c, "there is no text for", OP_INFO[op].text);
  return x.nin == 1   ? TEXT(c, "%s(%s)", f, v[0])
         : x.nin == 2 ? TEXT(c, "%s(%s, %s)", f, v[0], v[1])
                      : TEXT(c, "%s(%s, %s, %s)", f, v[0], v[1], v[2]);
}

/* Whether all rows of this many elements begin at a multiple of so many lanes. */
static bool rows_whole(const Cuda *c, Sym size, int lanes) {
  SymTab *t = c->k->ctx->syms;
  Sym fact = loop_multiple(t, size, lanes);
  int64_t holds;
  if (sym_is_int(t, fact, &holds)) return holds;
  for (uint32_t i = 0; i < c->k->facts.n; i++)
    if (c->k->facts.at[i] == fact) return true;
  return false;
}

/* A vector of a buffer's neighbours may be one access: 16 bytes at a multiple of 16, 8 of 8 or 4 of 4. */
static bool whole(const Cuda *c, uint32_t buf, const Ex *index, int n, int lanes) {
  const LoopBuf *b = &c->k->bufs.at[buf];
  size_t one = dtype_size(b->dtype), all = (size_t)lanes * one;
  if (lanes == 1 || (all != 16 && all != 8 && all != 4) || b->kind > BUF_INOUT) return false;
  if (loop_access(c->k, buf, index, n, lanes) != ACCESS_CONTIGUOUS || loop_divisor(c->k, index[n - 1]) % lanes)
    return false;
  return n == 1 || rows_whole(c, b->dim[n - 1], lanes);
}

/* Gives the lanes of a load names of their own, by one access. */
static void load_whole(Cuda *c, Ex e, const Expr *x) {
  static const char part[] = "xyzw";
  DType d = (DType)x->dtype;
  int one = (int)dtype_size(d), words = x->lanes * one / 4;
  Ex index[LOOP_RANK];
  memcpy(index, c->k->arg.at + x->in, (size_t)x->nin * sizeof *index);
  const char *o = offset(c, x->ref, index, x->nin, 0), *name = new_name(c);
  bool fixed = c->k->bufs.at[x->ref].kind == BUF_IN && c->alone[x->ref];
  const char *from = TEXT(c, "%s + %s", buffer(c, x->ref), o);
  if (words == 1)
    LINE(c, "const u32 %s = *(const u32 *)(%s);\n", name, from);
  else
    LINE(c, "const Vec%d %s = ld_global_%sv%d(%s);\n", words, name, fixed ? "nc_" : "", words, from);
  for (int l = 0; l < x->lanes; l++) {
    const char *word = words == 1 ? name : TEXT(c, "%s.%c", name, part[l * one / 4]);
    if (one == 8)
      c->lane[e][l] = bits(c, TEXT(c, "((u64)%s.%c << 32 | %s)", name, part[2 * l + 1], word), DT_U64, d);
    else if (one == 4)
      c->lane[e][l] = bits(c, word, DT_U32, d);
    else if (dtype_is_half(d))
      c->lane[e][l] = TEXT(c, "bits_%s(%s%s)", dtype_name(d), word, l % 2 ? " >> 16" : "");
    else {
      const char *low = l * one % 4 ? TEXT(c, "(%s >> %d)", word, 8 * (l * one % 4)) : word;
      c->lane[e][l] = bits(c, TEXT(c, "((u%d)%s)", 8 * one, low), one == 2 ? DT_U16 : DT_U8, d);
    }
  }
}

/* The text of one lane. What is used several times in a statement, or long, is named before it. */
static const char *value(Cuda *c, Ex e, int l) {
  const Expr x = *at(c, e);
  if (x.lanes == 1) l = 0;
  if (c->stamp[e] != c->now) {
    c->stamp[e] = c->now;
    c->uses[e] = 1;
    c->lane[e] = NULL;
  }
  if (!c->lane[e]) c->lane[e] = ARENA_ARRAY(c->arena, const char *, x.lanes);
  if (c->lane[e][l]) return c->lane[e][l];
  if (x.op == OP_LOAD && x.lanes > 1 && !x.mask && !c->mask && whole(c, x.ref, c->k->arg.at + x.in, x.nin, x.lanes)) {
    load_whole(c, e, &x);
    return c->lane[e][l];
  }
  const char *s = operate(c, e, l);
  bool plain = x.op == OP_VAR || x.op == OP_REG || x.op == OP_LITERAL || x.op == OP_LANE;
  if (!plain && (c->uses[e] > 1 || strlen(s) > LONG)) {
    const char *name = new_name(c);
    LINE(c, "const %s %s = %s;\n", type_of(c, (DType)x.dtype), name, s);
    s = name;
  }
  return c->lane[e][l] = s;
}

/* ---- statements ---- */

/* Counts a use by an operation of so many lanes: a scalar among them is used by each. */
static void count(Cuda *c, Ex e, int lanes) {
  if (!e) return;
  const Expr *x = at(c, e);
  if (c->stamp[e] != c->now) {
    c->stamp[e] = c->now;
    c->uses[e] = 0;
    c->lane[e] = NULL;
  }
  bool before = c->uses[e] > 0;
  c->uses[e] += x->lanes == 1 && lanes > 1 ? 2 : 1;
  if (before) return;
  for (int i = 0; i < x->nin; i++) count(c, in(c, x, i), x->lanes);
  count(c, x->mask, x->lanes);
  count(c, x->other, x->lanes);
}

static int place_lanes(const Cuda *c, const Stmt *s) {
  int lanes = s->kind == STMT_ASSIGN || s->kind == STMT_REG ? c->k->regs.at[s->ref].lanes : 1;
  for (int i = 0; i < s->nindex; i++)
    if (at(c, s->index[i])->lanes > lanes) lanes = at(c, s->index[i])->lanes;
  return lanes;
}

static void begin(Cuda *c, const Stmt *s) {
  int lanes = place_lanes(c, s);
  c->now++;
  count(c, s->value, lanes);
  count(c, s->mask, lanes);
  count(c, s->lo, 1);
  count(c, s->hi, 1);
  for (int i = 0; i < s->nindex; i++) count(c, s->index[i], lanes);
}

static void braces(Cuda *c, const Stmt *body) {
  open_brace(c);
  block(c, body);
  close_brace(c);
}

/* A body whose lanes are active where these say so; skipped where none is. */
static void masked(Cuda *c, const char **mask, int lanes, const Stmt *body) {
  const char **outer = c->mask;
  Buf any = {0};
  for (int l = 0; l < lanes; l++) {
    const char *name = new_name(c);
    LINE(c, "const int %s = %s;\n", name, outer ? both(c, outer[l], mask[l]) : mask[l]);
    mask[l] = name;
    buf_printf(&any, "%s%s", l ? " || " : "", name);
  }
  LINE(c, "if (%s) ", any.at);
  buf_free(&any);
  c->mask = mask;
  braces(c, body);
  c->mask = outer;
}

static void put_if(Cuda *c, const Stmt *s) {
  int lanes = at(c, s->value)->lanes;
  const char *v[2][LOOP_LANES];
  begin(c, s);
  if (lanes == 1) {
    const char *cond = value(c, s->value, 0);
    LINE(c, "if (%s) ", cond);
    braces(c, s->body);
    if (!s->other) return;
    LINE(c, "else ");
    braces(c, s->other);
    return;
  }
  for (int l = 0; l < lanes; l++) {
    v[0][l] = new_name(c);
    const char *cond = value(c, s->value, l);
    LINE(c, "const int %s = %s;\n", v[0][l], cond);
    v[1][l] = TEXT(c, "!%s", v[0][l]);
  }
  masked(c, v[0], lanes, s->body);
  if (s->other) masked(c, v[1], lanes, s->other);
}

/* Whether the loop is one whole vector. */
static bool one_vector(const Cuda *c, const Stmt *s) {
  const Expr *hi = at(c, s->hi);
  int64_t n;
  return hi->op == OP_ADD && in(c, hi, 0) == s->lo && ex_is_int(c->k, in(c, hi, 1), &n) && n == s->width;
}

/* Whole vectors, then what is left. */
static void put_vector(Cuda *c, const Stmt *s) {
  const char *rest[LOOP_LANES];
  int w = s->width;
  begin(c, s);
  const char *lo = value(c, s->lo, 0), *hi = value(c, s->hi, 0), *j = bind(c, s->ref), *end = new_name(c);
  if (s->tail == TAIL_PAD || s->tail == TAIL_OVERLAP) refuse(c, "this tail of the loop", c->k->vars.at[s->ref].name);
  line(c);
  open_brace(c);
  if (one_vector(c, s)) {
    LINE(c, "const %s %s = %s;\n", suffix(c, DT_IDX), j, lo);
    block(c, s->body);
    close_brace(c);
    return;
  }
  LINE(c, "%s %s = %s;\n", suffix(c, DT_IDX), j, lo);
  LINE(c, "const %s %s = %s;\n", suffix(c, DT_IDX), end, hi);
  LINE(c, "for (; %s + %d <= %s; %s += %d) ", j, w, end, j, w);
  braces(c, s->body);
  if (s->tail) {
    LINE(c, "if (%s < %s) ", j, end);
    open_brace(c);
    for (int l = 0; l < w; l++) rest[l] = TEXT(c, "%s + %d < %s", j, l, end);
    masked(c, rest, w, s->body);
    close_brace(c);
  }
  close_brace(c);
}

static void put_for(Cuda *c, const Stmt *s) {
  if (s->mode == FOR_VECTOR) {
    put_vector(c, s);
    return;
  }
  begin(c, s);
  const char *lo = value(c, s->lo, 0), *hi = value(c, s->hi, 0), *i = bind(c, s->ref);
  if (s->mode == FOR_UNROLL) {
    const char *turn = new_name(c), *span = !strcmp(lo, "0") ? hi : TEXT(c, "(%s - %s)", hi, lo);
    if (s->step > 1) span = TEXT(c, "(%s + %lld) / %lld", span, (long long)s->step - 1, (long long)s->step);
    LINE(c, "UNROLL (%s, %s) ", turn, span);
    open_brace(c);
    LINE(c, "const %s %s = %s;\n", suffix(c, DT_IDX), i,
         sum(c, lo, product(c, turn, TEXT(c, "%lld", (long long)s->step))));
    block(c, s->body);
    close_brace(c);
    return;
  }
  const char *step = TEXT(c, "%lld", (long long)s->step);
  if (s->mode == FOR_THREAD) {
    lo = sum(c, lo, product(c, c->var[c->stage->tid], step));
    step = TEXT(c, "%lld", (long long)s->step * c->stage->threads);
  }
  const char *end = new_name(c);
  LINE(c, "for (%s %s = %s, %s = %s; %s < %s; %s += %s) ", suffix(c, DT_IDX), i, lo, end, hi, i, end, i, step);
  braces(c, s->body);
}

static void put_let(Cuda *c, const Stmt *s) {
  const LoopVar v = c->k->vars.at[s->ref];
  const char *text[LOOP_LANES];
  if (!c->used[s->ref]) return;
  begin(c, s);
  bool rounds = late(c, s->ref);
  for (int l = 0; l < v.lanes; l++) text[l] = rounds ? before_rounding(c, s->value, l) : value(c, s->value, l);
  const char *name = bind(c, s->ref), *type = type_of(c, rounds ? DT_F32 : v.dtype);
  for (int l = 0; l < v.lanes; l++) LINE(c, "const %s %s = %s;\n", type, lane_name(c, name, v.lanes, l), text[l]);
}

/* Sets or declares a tile of registers, element by element and lane by lane. */
static void put_reg(Cuda *c, const Stmt *s) {
  const LoopReg *r = &c->k->regs.at[s->ref];
  const char *name = reg_name(c, s->ref), *element = name, *v[LOOP_LANES];
  begin(c, s);
  for (int l = 0; s->value && l < r->lanes; l++) v[l] = value(c, s->value, l);
  LINE(c, "%s %s", type_of(c, r->dtype), name);
  for (int i = 0; i < r->rank; i++) buf_printf(&c->out, "[%lld]", (long long)r->dim[i]);
  if (r->lanes > 1) buf_printf(&c->out, "[%d]", r->lanes);
  buf_put(&c->out, ";\n");
  if (!s->value) return;
  for (int i = 0; i < r->rank; i++) {
    const char *turn = new_name(c);
    LINE(c, "UNROLL (%s, %lld)\n", turn, (long long)r->dim[i]);
    c->depth++;
    element = TEXT(c, "%s[%s]", element, turn);
  }
  line(c);
  open_brace(c);
  for (int l = 0; l < r->lanes; l++) LINE(c, "%s%s = %s;\n", element, r->lanes > 1 ? TEXT(c, "[%d]", l) : "", v[l]);
  close_brace(c);
  c->depth -= r->rank;
}

static void put_assign(Cuda *c, const Stmt *s) {
  const LoopReg r = c->k->regs.at[s->ref];
  const char *name = reg_name(c, s->ref), *v[LOOP_LANES], *m[LOOP_LANES];
  begin(c, s);
  for (int i = 0; i < s->nindex; i++) name = TEXT(c, "%s[%s]", name, value(c, s->index[i], 0));
  for (int l = 0; l < r.lanes; l++) {
    v[l] = value(c, s->value, l);
    m[l] = s->mask ? value(c, s->mask, l) : NULL;
    if (r.lanes > 1 && c->mask) m[l] = both(c, m[l], c->mask[l]);
  }
  for (int l = 0; l < r.lanes; l++) { /* a lane reads only its own old value, or what has a name by now */
    const char *to = r.lanes > 1 ? TEXT(c, "%s[%d]", name, l) : name;
    LINE(c, m[l] ? "if (%s) %s = %s;\n" : "%s%s = %s;\n", m[l] ? m[l] : "", to, v[l]);
  }
}

/* The lanes of a value as words of 32 bits; two lanes are rounded to 16 bits at once. */
static int pack(Cuda *c, Ex e, DType d, const char **word) {
  int n = 0, one = (int)dtype_size(d), lanes = at(c, e)->lanes;
  for (int l = 0; l < lanes; l += one < 4 ? 4 / one : 1) {
    const char *low = before_rounding(c, e, l);
    if (low)
      word[n++] = TEXT(c, "pack_%s(%s, %s)", dtype_name(d), low, before_rounding(c, e, l + 1));
    else if (one < 4) {
      DType u = one == 2 ? DT_U16 : DT_U8;
      word[n] = bits(c, value(c, e, l), d, u);
      for (int i = 1; i < 4 / one; i++)
        word[n] = TEXT(c, "(%s | (u32)%s << %d)", word[n], bits(c, value(c, e, l + i), d, u), 8 * one * i);
      n++;
    } else if (one == 4)
      word[n++] = bits(c, value(c, e, l), d, DT_U32);
    else {
      const char *wide = new_name(c);
      LINE(c, "const u64 %s = %s;\n", wide, bits(c, value(c, e, l), d, DT_U64));
      word[n++] = TEXT(c, "(u32)%s", wide);
      word[n++] = TEXT(c, "(u32)(%s >> 32)", wide);
    }
  }
  return n;
}

static void put_store(Cuda *c, const Stmt *s) {
  const char *v[LOOP_LANES], *o[LOOP_LANES], *m[LOOP_LANES], *b = buffer(c, s->ref);
  int w = place_lanes(c, s);
  begin(c, s);
  if (w > 1 && !s->mask && !c->mask && at(c, s->value)->lanes == w && whole(c, s->ref, s->index, s->nindex, w)) {
    const char *word[4];
    int n = pack(c, s->value, c->k->bufs.at[s->ref].dtype, word);
    const char *name = n > 1 ? new_name(c) : NULL;
    const char *to = TEXT(c, "%s + %s", b, offset(c, s->ref, s->index, s->nindex, 0));
    if (n == 4) LINE(c, "const Vec4 %s = {%s, %s, %s, %s};\n", name, word[0], word[1], word[2], word[3]);
    if (n == 2) LINE(c, "const Vec2 %s = {%s, %s};\n", name, word[0], word[1]);
    if (n == 1)
      LINE(c, "*(u32 *)(%s) = %s;\n", to, word[0]);
    else
      LINE(c, "st_global_v%d(%s, %s);\n", n, to, name);
    return;
  }
  for (int l = 0; l < w; l++) {
    v[l] = value(c, s->value, l);
    o[l] = offset(c, s->ref, s->index, s->nindex, l);
    m[l] = s->mask ? value(c, s->mask, l) : NULL;
    if (w > 1 && c->mask) m[l] = both(c, m[l], c->mask[l]);
  }
  for (int l = 0; w > 1 && l < w; l++) { /* all are worked out before the first is stored */
    const char *name = new_name(c);
    LINE(c, "const %s %s = %s;\n", type_of(c, (DType)at(c, s->value)->dtype), name, v[l]);
    v[l] = name;
  }
  for (int l = 0; l < w; l++)
    LINE(c, m[l] ? "if (%s) %s[%s] = %s;\n" : "%s%s[%s] = %s;\n", m[l] ? m[l] : "", b, o[l], v[l]);
}

static const char *combine(const Cuda *c, Op op, DType d, const char *a, const char *b) {
  const char *sign = sign_of(op, d);
  return sign ? TEXT(c, "%s %s %s", a, sign, b) : TEXT(c, "%s(%s, %s)", function(c, op, d), a, b);
}

/* The order that loop.h promises. A lane with the bit of its half set has the second operand. Warps leave their results
 * in one of two rows of shared memory by turns, so that one barrier is enough: before a row is written again all
 * threads have come to the barrier of the other. */
static void put_reduce(Cuda *c, const Stmt *s) {
  DType d = c->k->vars.at[s->ref].dtype;
  const char *type = type_of(c, d), *name, *other = new_name(c), *half = new_name(c), *lane = c->var[c->stage->lane_id];
  begin(c, s);
  const char *v = value(c, s->value, 0);
  name = bind(c, s->ref);
  LINE(c, "%s %s = %s;\n", type, name, v);
  LINE(c, "UNROLL (%s, 5) ", half);
  open_brace(c);
  LINE(c, "const %s %s = __shfl_xor_sync(ALL_LANES, %s, 16 >> %s);\n", type, other, name, half);
  if (s->op == OP_ADD)
    LINE(c, "%s = %s;\n", name, combine(c, s->op, d, name, other));
  else
    LINE(c, "%s = (%s & 16 >> %s) ? %s : %s;\n", name, lane, half, combine(c, s->op, d, other, name),
         combine(c, s->op, d, name, other));
  close_brace(c);
  if (s->scope == LOOP_WARP || c->stage->threads == LOOP_WARP_THREADS) return;
  const char *row = new_name(c);
  LINE(c, "%s *const %s = (%s *)(partial + 256 * (reduces++ & 1));\n", type, row, type);
  LINE(c, "if (%s == 0) %s[%s] = %s;\n", lane, row, c->var[c->stage->warp], name);
  LINE(c, "__syncthreads();\n");
  LINE(c, "%s = %s[0];\n", name, row);
  LINE(c, "UNROLL (%s, %d) %s = %s;\n", half, c->stage->threads / LOOP_WARP_THREADS - 1, name,
       combine(c, s->op, d, name, TEXT(c, "%s[%s + 1]", row, half)));
}

static void put_alloc(Cuda *c, const Stmt *s) {
  const LoopBuf *b = &c->k->bufs.at[s->ref];
  int64_t n = 1, d;
  for (int i = 0; i < b->rank; i++) {
    if (!sym_is_int(c->k->ctx->syms, b->buffers && !i ? b->buffers : b->dim[i], &d) || d > 65536 || n > 65536) {
      refuse(c, "the size of", b->name);
      return;
    }
    n *= d;
  }
  const char *type = in_memory(c, b->dtype), *name = buffer(c, s->ref);
  if (b->kind == BUF_THREAD) {
    LINE(c, "%s %s[%lld];\n", type, name, (long long)n);
    return;
  }
  LINE(c, "%s *const %s = (%s *)(shared + %d);\n", type, name, type, c->shared);
  c->shared += (int)((n * (int64_t)dtype_size(b->dtype) + 15) / 16 * 16);
}

static void put_stmt(Cuda *c, const Stmt *s) {
  switch (s->kind) {
  case STMT_LET: put_let(c, s); break;
  case STMT_REG: put_reg(c, s); break;
  case STMT_ALLOC: put_alloc(c, s); break;
  case STMT_ASSIGN: put_assign(c, s); break;
  case STMT_STORE: put_store(c, s); break;
  case STMT_FOR: put_for(c, s); break;
  case STMT_IF: put_if(c, s); break;
  case STMT_REDUCE: put_reduce(c, s); break;
  case STMT_BARRIER: LINE(c, s->scope == LOOP_BLOCK ? "__syncthreads();\n" : "__syncwarp();\n"); break;
  case STMT_PREFETCH: break;
  case STMT_FAIL:
    begin(c, s);
    for (int l = 0; l < at(c, s->value)->lanes; l++) {
      const char *v = value(c, s->value, l);
      if (at(c, s->value)->lanes > 1 && c->mask) v = both(c, v, c->mask[l]);
      LINE(c, "if (%s) fail_with(failed, %lld);\n", v, (long long)s->code);
    }
    break;
  }
}

static void block(Cuda *c, const Stmt *s) {
  for (; s && !c->error; s = s->next) put_stmt(c, s);
}

/* ---- stages ---- */

static void mark(Cuda *c, Ex e, bool *seen) {
  if (!e || seen[e]) return;
  seen[e] = true;
  const Expr *x = at(c, e);
  if (x->op == OP_VAR) {
    c->used[x->ref] = true;
    if (c->k->vars.at[x->ref].kind == VAR_LET) mark(c, c->k->vars.at[x->ref].value, seen);
  }
  for (int i = 0; i < x->nin; i++) mark(c, in(c, x, i), seen);
  mark(c, x->mask, seen);
  mark(c, x->other, seen);
}

static void mark_all(Cuda *c, const Stmt *s, bool *seen) {
  for (; s; s = s->next) {
    if (s->kind == STMT_LET) continue; /* its value counts where something names it */
    const Ex root[] = {s->value, s->mask, s->lo, s->hi};
    for (int i = 0; i < 4; i++) mark(c, root[i], seen);
    for (int i = 0; i < s->nindex; i++) mark(c, s->index[i], seen);
    mark_all(c, s->body, seen);
    mark_all(c, s->other, seen);
  }
}

/* A block reduces together, by memory: one of a single warp does not. */
static bool reduces_block(const Stage *st, const Stmt *s) {
  for (; s; s = s->next)
    if ((s->kind == STMT_REDUCE && s->scope == LOOP_BLOCK && st->threads > LOOP_WARP_THREADS) ||
        reduces_block(st, s->body) || reduces_block(st, s->other))
      return true;
  return false;
}

Cuda cuda_print_new(Kernel *k, const Stage *st) {
  Arena *a = arena_new();
  DType index = loop_narrow(k, st) ? DT_I32 : DT_I64;
  Cuda c = {.k = k, .index = index, .stage = st, .arena = a, .depth = 1, .now = 1};
  size_t room = 2 * k->ex.n + 4096; /* sizes of buffers may add expressions */
  c.stamp = ARENA_ARRAY(a, uint32_t, room);
  c.uses = ARENA_ARRAY(a, uint32_t, room);
  c.lane = ARENA_ARRAY(a, const char **, room);
  c.var = ARENA_ARRAY(a, const char *, k->vars.n + 1);
  c.used = ARENA_ARRAY(a, bool, k->vars.n + 1);
  c.alone = ARENA_ARRAY(a, bool, k->bufs.n + 1);
  for (uint32_t i = 0; i < k->bufs.n; i++) c.alone[i] = k->bufs.at[i].inplace < 0;
  for (uint32_t i = 0; i < k->bufs.n; i++)
    if (k->bufs.at[i].inplace >= 0) c.alone[k->bufs.at[i].inplace] = false;
  return c;
}

static void give(Cuda *c, Givens *g, const char *type, const char *name, const char *text) {
  vec_push(c->arena, g, ((Given){name, TEXT(c, "  %s %s = %s;\n", type, name, text)}));
}

/* Where the thread is: its numbers in the block, the block's in the grid. */
static void give_place(Cuda *c, Givens *g) {
  const Stage *st = c->stage;
  const char *type = TEXT(c, "const %s", suffix(c, DT_IDX)), *tid = c->var[st->tid], *rest = tid;
  give(c, g, type, tid, TEXT(c, "(%s)threadIdx.x", suffix(c, DT_IDX)));
  give(c, g, type, c->var[st->warp], TEXT(c, "%s / 32", tid));
  give(c, g, type, c->var[st->lane_id], TEXT(c, "%s %% 32", tid));
  for (int i = st->nthread - 1; i >= 0; i--) {
    long long n = (long long)st->thread_extent[i];
    give(c, g, type, c->var[st->thread[i]], i ? TEXT(c, "%s %% %lld", rest, n) : rest);
    rest = TEXT(c, "%s / %lld", rest, n);
  }
  rest = TEXT(c, "(%s)%s", suffix(c, DT_IDX), c->part ? "block" : "blockIdx.x");
  c->now++;
  for (int i = st->naxes - 1; i > 0; i--) {
    const char *n = size(c, st->extent[i]);
    if (c->out.n) vec_push(c->arena, g, ((Given){"", arena_strndup(c->arena, c->out.at, c->out.n)})); /* parts of n */
    c->out.n = 0;
    give(c, g, type, c->var[st->axis[i]], TEXT(c, "%s %% %s", rest, n));
    rest = TEXT(c, "%s / %s", rest, n);
  }
  give(c, g, type, c->var[st->axis[0]], rest);
}

/* Whether a text has this name; "" is everywhere. */
static bool has_name(const char *text, const char *name) {
  size_t n = strlen(name);
  for (const char *s = text; (s = strstr(s, name)); s++) {
    if (!n) return true;
    const char ends[] = {s > text ? s[-1] : ' ', s[n]};
    if (!isalnum((unsigned char)ends[0]) && ends[0] != '_' && !isalnum((unsigned char)ends[1]) && ends[1] != '_')
      return true;
  }
  return false;
}

void cuda_print_arguments(Cuda *c, const CudaWanted *want, const bool *loads, const bool *stores, CudaStage *made,
                          Givens *g, Buf *out) {
  Arena *kept = c->k->ctx->arena;
  Kernel *k = c->k;
  buf_put(out, "\ntypedef struct {\n");
  for (int i = 0; i < k->nparams; i++) {
    const char *b = buffer(c, (uint32_t)i),
               *type = TEXT(c, "%s%s *", stores[i] ? "" : "const ", in_memory(c, k->bufs.at[i].dtype));
    if (!loads[i] && !stores[i]) continue;
    buf_printf(out, "  %s%s;\n", type, b);
    vec_push(kept, &made->args, ((CudaArg){CUDA_BUFFER, (uint32_t)i}));
    give(c, g, TEXT(c, "%s%sconst", type, c->alone[i] ? "__restrict__ " : ""), b, TEXT(c, "args.%s", b));
  }
  for (uint32_t i = 0; i < k->dims.n; i++) {
    buf_printf(out, "  i64 %s;\n", c->var[i]);
    vec_push(kept, &made->args, ((CudaArg){CUDA_DIM, i}));
    give(c, g, TEXT(c, "const %s", suffix(c, DT_IDX)), c->var[i], TEXT(c, "args.%s", c->var[i]));
  }
  if (made->fails || want->commit) {
    buf_put(out, "  u32 *failed;\n");
    vec_push(kept, &made->args, (CudaArg){.kind = CUDA_FAILED});
    give(c, g, "u32 *const", "failed", "args.failed");
  }
  buf_printf(out, "} %s_args;\n", want->name);
}

void cuda_print_body(const Givens *g, const char *body, Buf *out) {
  Buf rest = {0};
  buf_put(&rest, body);
  for (uint32_t i = g->n; i-- > 0;) {
    if (!has_name(rest.at, g->at[i].name)) continue;
    Buf more = {0};
    buf_put(&more, g->at[i].text);
    buf_put(&more, rest.at);
    buf_free(&rest);
    rest = more;
  }
  buf_put(out, rest.at);
  buf_free(&rest);
}

static void put_kernel(Cuda *c, const CudaWanted *want, const bool *loads, const bool *stores, CudaStage *made,
                       Buf *out) {
  const char *name = want->name;
  const Stage *st = c->stage;
  Givens g = {0};
  Buf body = c->out;
  cuda_print_arguments(c, want, loads, stores, made, &g, out);
  if (reduces_block(st, st->body)) {
    give(c, &g, "u8 *const", "partial", "shared");
    give(c, &g, "int", "reduces", "0");
  }
  c->out = (Buf){0};
  give_place(c, &g);
  buf_free(&c->out);
  if (c->part)
    buf_printf(out, "\nDEVICE void %s(const %s_args args, const u32 block) {\n  (void)block;\n", name, name);
  else
    buf_printf(out, "\nKERNEL(%s, %d, 1, (%s_args, args)) {\n", name, st->threads, name);
  buf_printf(out, "%s%s", want->commit ? "  if (args.failed[0]) return;\n" : "",
             c->shared ? "  SHARED(shared);\n" : "");
  cuda_print_body(&g, body.n ? body.at : "", out);
  buf_put(out, "}\n");
  buf_free(&body);
}

/* ---- for other files that print (cuda_print.h) ---- */

void cuda_print_given(Cuda *c) {
  for (uint32_t i = 0; i < c->k->dims.n; i++) c->var[i] = TEXT(c, "%s_d%u", c->k->dims.at[i].name, i);
}

void cuda_print_block(Cuda *c, const Stmt *s) { block(c, s); }
const char *cuda_print_reg(const Cuda *c, uint32_t reg) { return reg_name(c, reg); }

const char *cuda_print_value(Cuda *c, Ex e) {
  c->now++;
  return value(c, e, 0);
}

const char *cuda_print_place(Cuda *c, uint32_t buf, const Ex *index, int n) {
  c->now++;
  return TEXT(c, "%s + %s", buffer(c, buf), offset(c, buf, index, n, 0));
}

/* ---- a whole stage ---- */

void cuda_text_begin(Buf *out) { buf_put(out, "#include \"operations.h\"\n"); }

static bool put_stage(Kernel *k, const Stage *st, const CudaWanted *want, bool part, CudaStage *made, Buf *out,
                      const char **why) {
  Cuda c = cuda_print_new(k, st);
  c.part = part;
  uint32_t room = 2 * k->ex.n + 4096;
  if (!st->threads) refuse(&c, "there are no threads in", st->name);
  if (st->segmented) refuse(&c, "the segmented stage", st->name);
  bool *loads = ARENA_ARRAY(c.arena, bool, 2 * k->bufs.n + 1), *stores = loads + k->bufs.n;
  loop_uses(k, st, loads, stores);
  cuda_print_given(&c);
  mark_all(&c, st->body, ARENA_ARRAY(c.arena, bool, k->ex.n + 1));
  if (!c.error) {
    const uint32_t given[] = {st->tid, st->warp, st->lane_id};
    for (int i = 0; i < 3; i++) bind(&c, given[i]);
    for (int i = 0; i < st->nthread; i++) bind(&c, st->thread[i]);
    for (int i = 0; i < st->naxes; i++) bind(&c, st->axis[i]);
    if (reduces_block(st, st->body)) c.shared = 512; /* two rows of the results of 32 warps, 8 bytes each */
    block(&c, st->body);
  }
  if (k->ex.n > room) BUG("%s: its sizes have more expressions than it", k->name);
  if (c.error)
    *why = arena_strndup(k->ctx->arena, c.error, strlen(c.error));
  else {
    *made = (CudaStage){.name = str_intern(k->ctx->names, want->name),
                        .threads = st->threads,
                        .grid = sym_product(k->ctx->syms, st->extent, st->naxes),
                        .shared = c.shared,
                        .fails = loop_fails(st)};
    put_kernel(&c, want, loads, stores, made, out);
  }
  bool ok = !c.error;
  if (!ok) buf_free(&c.out);
  arena_free(c.arena);
  return ok;
}

bool cuda_text_stage(Kernel *k, const Stage *st, const CudaWanted *want, CudaStage *made, Buf *out, const char **why) {
  if (cuda_skeleton_stage(k, st, want, made, out) || cuda_attention_stage(k, st, want, made, out) ||
      cuda_attention_grad_stage(k, st, want, made, out))
    return true;
  if (!put_stage(k, st, want, false, made, out, why)) return false;
  made->unfit = cuda_attention_unfit(k, st);
  return true;
}

bool cuda_text_part(Kernel *k, const Stage *st, const CudaWanted *want, CudaStage *made, Buf *out, const char **why) {
  return put_stage(k, st, want, true, made, out, why);
}
