/* Values as nodes: how numbers meet tensors, broadcasting, the operators. */
#include "trace.h"
#include "integer.h"
#include "scalar.h"
#include <math.h>
#include <string.h>

Id trace_size(Tracer *t, Sym s) {
  int64_t i;
  return sym_is_int(t->syms, s, &i) ? g_const_int(t->g, DT_I64, i) : g_dim(t->g, s);
}

bool trace_weak(Tracer *t, Value x, Id *out) {
  switch ((ValueKind)x.kind) {
  case VAL_WEAK: *out = trace_lift(t, x); break;
  case VAL_INT: *out = g_const(t->g, DT_F64, (double)x.u.i); break;
  case VAL_FLOAT: *out = g_const(t->g, DT_F64, x.u.f); break;
  case VAL_DIM: *out = g_convert(t->g, DT_F64, g_dim(t->g, x.u.dim)); break;
  default: BUG("weak of %s", value_kind_name(x));
  }
  return *out != 0;
}

static bool int_fits(int64_t x, DType d) {
  int bits = (int)dtype_size(d) * 8;
  if (dtype_is_signed(d)) return bits == 64 || (x >= -((int64_t)1 << (bits - 1)) && x < (int64_t)1 << (bits - 1));
  return x >= 0 && (bits == 64 || x < (int64_t)1 << bits);
}

bool trace_tensor(Tracer *t, Value x, DType want, Id *out) {
  const char *type = dtype_name(want);
  if (x.kind == VAL_REF) {
    *out = trace_read(t, x.u.cell);
    return *out != 0;
  }
  if (x.kind == VAL_TENSOR) {
    *out = trace_lift(t, x);
    return *out != 0;
  }
  if (x.kind == VAL_WEAK) {
    if (want && !dtype_is_float(want))
      return trace_fault(t, "sir-float-meets", "a float meets %s; write `.to(f32)`", type);
    *out = g_convert(t->g, want ? want : DT_F32, trace_lift(t, x));
    return *out != 0;
  }
  if (x.kind == VAL_DIM) {
    if (want == DT_BOOL)
      return trace_fault(t, "sir-number-meets", "%s meets a tensor of bool; write `.to(f32)`", value_describe(t, x));
    *out = g_convert(t->g, want ? want : DT_I64, g_dim(t->g, x.u.dim));
    return *out != 0;
  }
  bool is_bool = x.kind == VAL_BOOL;
  if (!is_bool && !value_is_number(x))
    return trace_fault(t, "sir-not-tensor", "a tensor stands here, not %s", value_describe(t, x));
  DType d = want ? want : is_bool ? DT_BOOL : x.kind == VAL_INT ? DT_I64 : DT_F32;
  if (is_bool != (d == DT_BOOL))
    return trace_fault(t, "sir-number-meets", "%s meets a tensor of %s; write `.to(%s)`", value_describe(t, x), type,
                       d == DT_BOOL ? "f32" : "bool");
  if (x.kind == VAL_FLOAT && !dtype_is_float(d))
    return trace_fault(t, "sir-float-meets", "the float %s meets a tensor of %s; write `.to(f32)`", value_text(t, x),
                       type);
  if (x.kind == VAL_INT && !dtype_is_float(d)) {
    if (!int_fits(x.u.i, d))
      return trace_fault(t, "sir-int-range", "%lld does not fit %s", (long long)x.u.i, dtype_name(d));
    *out = g_const_int(t->g, d, x.u.i);
    return *out != 0;
  }
  double f = is_bool ? x.u.b : x.kind == VAL_INT ? (double)x.u.i : x.u.f;
  double r = dtype_is_float(d) ? scalar_round(d, f) : f;
  if (isfinite(f) && (isinf(r) || (r == 0 && f != 0)))
    trace_warn(t, "sir-float-range", "%s becomes %s in %s", value_text(t, x), r == 0 ? "0" : "inf", dtype_name(d));
  *out = g_const(t->g, d, f);
  return *out != 0;
}

/* ---- shapes ---- */
bool trace_equal_dims(Tracer *t, Sym a, Sym b) { return a == b || sym_same(t->facts, a, b); }

bool trace_same_shape(Tracer *t, const Sym *a, int na, const Sym *b, int nb) {
  for (int i = 0; na == nb && i < na; i++)
    if (!trace_equal_dims(t, a[i], b[i])) return false;
  return na == nb;
}

int trace_decide(Tracer *t, SirOp op, Sym a, Sym b) {
  switch (op) {
  case SIR_EQ: return sym_decide(t->facts, SYM_EQ, a, b);
  case SIR_NE: return sym_decide(t->facts, SYM_NE, a, b);
  case SIR_LT: return sym_decide(t->facts, SYM_LT, a, b);
  case SIR_LE: return sym_decide(t->facts, SYM_LE, a, b);
  case SIR_GT: return sym_decide(t->facts, SYM_LT, b, a);
  case SIR_GE: return sym_decide(t->facts, SYM_LE, b, a);
  default: BUG("decide %d", op);
  }
}

static bool is_one(Tracer *t, Sym s) {
  int64_t i;
  return sym_is_int(t->syms, s, &i) && i == 1;
}

static const char *types_of(Tracer *t, const Id *v, int n) {
  const char *s = "";
  for (int i = 0; i < n; i++) s = trace_printf(t, "%s%s%s", s, i ? " and " : "", graph_type(t->g, v[i]));
  return s;
}

bool trace_join_shapes(Tracer *t, const Sym *const *shapes, const int *ranks, const Id *shown, int n, const char *sign,
                       Sym *shape, int *rank) {
  int r = 0;
  for (int i = 0; i < n; i++) r = ranks[i] > r ? ranks[i] : r;
  for (int k = 0; k < r; k++) shape[k] = sym_int(t->syms, 1);
  for (int i = 0; i < n; i++)
    for (int k = 0; k < ranks[i]; k++) {
      Sym *o = &shape[r - ranks[i] + k], s = shapes[i][k];
      if (is_one(t, *o))
        *o = s;
      else if (!is_one(t, s) && !trace_equal_dims(t, s, *o))
        return trace_fault(t, "sir-shapes", "%s of %s: axis %d is %s and %s", sign, types_of(t, shown, n), k - ranks[i],
                           sym_text(t->syms, *o, t->arena), sym_text(t->syms, s, t->arena));
    }
  *rank = r;
  return true;
}

bool trace_join(Tracer *t, const Id *v, int n, const char *sign, Sym *shape, int *rank) {
  const Sym **shapes = ARENA_ARRAY(t->arena, const Sym *, n);
  int *ranks = ARENA_ARRAY(t->arena, int, n);
  for (int i = 0; i < n; i++) {
    shapes[i] = graph_shape(t->g, v[i]);
    ranks[i] = graph_rank(t->g, v[i]);
  }
  return trace_join_shapes(t, shapes, ranks, v, n, sign, shape, rank);
}

Id trace_expand(Tracer *t, Id v, const Sym *shape, int rank) {
  int r = graph_rank(t->g, v), off = rank - r, keep[MAX_RANK], n = 0;
  Sym own[MAX_RANK], kept[MAX_RANK];
  if (r == 0) return v;
  memcpy(own, graph_shape(t->g, v), sizeof *own * (size_t)r);
  if (trace_same_shape(t, own, r, shape, rank)) return v;
  for (int i = 0; i < r; i++)
    if (!is_one(t, own[i]) || trace_equal_dims(t, shape[off + i], own[i])) {
      kept[n] = own[i];
      keep[n++] = off + i;
    }
  if (n < r) v = g_reshape(t->g, v, kept, n);
  return v ? g_broadcast(t->g, v, shape, rank, keep) : 0;
}

Id trace_spread(Tracer *t, Id v, const Sym *shape, int rank) {
  v = v ? trace_expand(t, v, shape, rank) : 0;
  return v ? g_spread(t->g, v, shape, rank) : 0;
}

/* ---- element-wise ---- */
static const char *described(Tracer *t, const Value *a, int n) {
  const char *s = "";
  for (int i = 0; i < n; i++) s = trace_printf(t, "%s%s%s", s, i ? " and " : "", value_describe(t, a[i]));
  return s;
}

/* floor_div and mod have no op of their own: both floor, built on the truncating div and rem. */
typedef enum { EW_OP, EW_FLOOR_DIV, EW_MOD } EwKind;

static Id floored(Tracer *t, EwKind kind, Id a, Id b) {
  Graph *g = t->g;
  DType d = graph_dtype(g, a);
  if (kind == EW_FLOOR_DIV && dtype_is_float(d)) return g_unary(g, OP_FLOOR, g_binary(g, OP_DIV, a, b));
  Id zero = g_const(g, d, 0), r = g_binary(g, OP_REM, a, b), fix;
  double k;
  if (graph_constant(g, b, &k) && k != 0) { /* the remainder has not the sign of the divisor */
    fix = g_binary(g, k > 0 ? OP_LESS : OP_GREATER, r, zero);
  } else {
    Id apart = g_binary(g, OP_NOT_EQUAL, g_binary(g, OP_LESS, r, zero), g_binary(g, OP_LESS, b, zero));
    fix = g_binary(g, OP_AND, g_binary(g, OP_NOT_EQUAL, r, zero), apart);
  }
  if (kind == EW_MOD) return g_select(g, fix, g_binary(g, OP_ADD, r, b), r);
  Id q = g_binary(g, OP_DIV, a, b);
  return g_select(g, fix, g_binary(g, OP_SUB, q, g_const(g, d, 1)), q);
}

static Id make(Tracer *t, EwKind kind, Op op, const Id *v, int n) {
  if (kind != EW_OP) return floored(t, kind, v[0], v[1]);
  if (op == OP_SELECT) return g_select(t->g, v[0], v[1], v[2]);
  return n == 1 ? g_unary(t->g, op, v[0]) : g_binary(t->g, op, v[0], v[1]);
}

static bool takes(Tracer *t, Op op, const Id *v, const Value *args, int n, const char *sign) {
  DType d = graph_dtype(t->g, v[n - 1]);
  const char *types = types_of(t, v, n);
  if (op == OP_SELECT && graph_dtype(t->g, v[0]) != DT_BOOL)
    return trace_fault(t, "sir-where-condition", "the condition of where is %s, not bool", graph_type(t->g, v[0]));
  if (op == OP_DIV && !dtype_is_float(d))
    return trace_fault(t, "sir-divide-integer", "`/` of %s: integers divide with `//`, or write `.to(f32)`", types);
  if (op == OP_POW && dtype_is_int(d) && args[1].kind == VAL_INT && args[1].u.i < 0)
    return trace_fault(t, "sir-negative-power", "%s of %s and %lld: integers take no negative power; write `.to(f32)`",
                       sign, graph_type(t->g, v[0]), (long long)args[1].u.i);
  if (op_takes(op, d)) return true;
  if (d == DT_BOOL) return trace_fault(t, "sir-op-dtype", "%s of %s: write `.to(i64)`, or `&`, `|`, `^`", sign, types);
  if (dtype_is_float(d)) return trace_fault(t, "sir-op-dtype", "%s of %s: it is for integers and bools", sign, types);
  return trace_fault(t, "sir-op-dtype", "%s of %s; write `.to(f32)`", sign, types);
}

static bool ew(Tracer *t, EwKind kind, Op op, const Value *given, int n, const char *sign, Value *out) {
  Value args[3];
  Id v[3];
  bool select = op == OP_SELECT, weak = false, real = false;
  int data = select ? 1 : 0;
  DType d = DT_NONE;
  if (!sign) sign = trace_printf(t, "`%s`", OP_INFO[op].text);
  for (int i = 0; i < n; i++) {
    if (!value_is_leaf(given[i])) return trace_fault(t, "sir-operands", "%s of %s", sign, described(t, given, n));
    args[i] = given[i];
    if (args[i].kind == VAL_REF && !trace_now(t, args[i], &args[i])) return false;
  }
  for (int i = data; i < n; i++) {
    weak |= args[i].kind == VAL_WEAK;
    real |= args[i].kind == VAL_WEAK || args[i].kind == VAL_FLOAT;
    if (args[i].kind != VAL_TENSOR) continue;
    DType e = graph_dtype(args[i].x.graph, args[i].u.id);
    if (d && e != d)
      return trace_fault(t, "sir-dtype-mix", "%s of %s: dtypes do not mix; write `.to(%s)`", sign,
                         described(t, args + data, n - data), dtype_name(d));
    d = e;
  }
  if (!d && weak && !select) {
    for (int i = 0; i < n; i++) {
      if (args[i].kind == VAL_BOOL) return trace_fault(t, "sir-operands", "%s of %s", sign, described(t, given, n));
      if (!trace_weak(t, args[i], &v[i])) return false;
    }
    if (!takes(t, op, v, args, n, sign)) return false;
    Id r = make(t, kind, op, v, n);
    *out = r && graph_dtype(t->g, r) == DT_BOOL ? value_node(t->g, r) : value_weak(t->g, r);
    return r != 0;
  }
  if (!d && real) d = DT_F32;
  for (int i = 0; i < n; i++)
    if (!trace_tensor(t, args[i], i < data ? DT_NONE : d, &v[i])) return false;
  if (!takes(t, op, v, args, n, sign)) return false;
  Sym shape[MAX_RANK];
  int rank;
  if (!trace_join(t, v, n, sign, shape, &rank)) return false;
  for (int i = 0; i < n; i++)
    if (!(v[i] = trace_expand(t, v[i], shape, rank))) return false;
  return trace_node(t, make(t, kind, op, v, n), out);
}

bool trace_ew(Tracer *t, Op op, const Value *args, int n, const char *sign, Value *out) {
  return ew(t, EW_OP, op, args, n, sign, out);
}

/* ---- operators ---- */
static bool overflow(Tracer *t, SirOp op) {
  return trace_fault(t, "sir-int-overflow", "`%s` leaves the 64 bits of an int", sir_op_text(op));
}

static bool zero_division(Tracer *t) { return trace_fault(t, "sir-division-by-zero", "division by zero"); }

static bool int_op(Tracer *t, SirOp op, int64_t a, int64_t b, Value *out) {
  int64_t r = 0;
  bool bad = false;
  switch (op) {
  case SIR_ADD: bad = __builtin_add_overflow(a, b, &r); break;
  case SIR_SUB: bad = __builtin_sub_overflow(a, b, &r); break;
  case SIR_MUL: bad = __builtin_mul_overflow(a, b, &r); break;
  case SIR_DIV:
    if (!b) return zero_division(t);
    *out = value_float((double)a / (double)b);
    return true;
  case SIR_FLOOR_DIV:
  case SIR_MOD:
    if (!b) return zero_division(t);
    if (b == -1) {
      bad = op == SIR_FLOOR_DIV && __builtin_sub_overflow((int64_t)0, a, &r);
      break;
    }
    r = op == SIR_FLOOR_DIV ? floor_div(a, b) : a - floor_div(a, b) * b;
    break;
  case SIR_POW:
    if (b < 0) {
      if (!a) return zero_division(t);
      *out = value_float(pow((double)a, (double)b));
      return true;
    }
    r = 1;
    if (a == 0 || a == 1 || a == -1)
      r = b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a;
    else
      for (int64_t i = 0; i < b && !bad; i++) bad = __builtin_mul_overflow(r, a, &r);
    break;
  case SIR_SHL:
    if (b < 0) return trace_fault(t, "sir-shift", "`<<` by %lld: a shift is at least 0", (long long)b);
    if (a) {
      bad = b > 62 || __builtin_mul_overflow(a, (int64_t)1 << b, &r);
    }
    break;
  case SIR_SHR:
    if (b < 0) return trace_fault(t, "sir-shift", "`>>` by %lld: a shift is at least 0", (long long)b);
    r = b > 62 ? (a < 0 ? -1 : 0) : a >> b;
    break;
  case SIR_BIT_AND: r = a & b; break;
  case SIR_BIT_OR: r = a | b; break;
  case SIR_BIT_XOR: r = a ^ b; break;
  default: BUG("operator %d", op);
  }
  if (bad) return overflow(t, op);
  *out = value_int(r);
  return true;
}

static bool operands(Tracer *t, SirOp op, Value a, Value b) {
  return trace_fault(t, "sir-operands", "`%s` of %s and %s", sir_op_text(op), value_describe(t, a),
                     value_describe(t, b));
}

static double as_double(Value v) { return v.kind == VAL_INT ? (double)v.u.i : v.u.f; }

static bool float_op(Tracer *t, SirOp op, Value x, Value y, Value *out) {
  double r, a = as_double(x), b = as_double(y);
  switch (op) {
  case SIR_ADD: r = a + b; break;
  case SIR_SUB: r = a - b; break;
  case SIR_MUL: r = a * b; break;
  case SIR_DIV:
  case SIR_FLOOR_DIV:
  case SIR_MOD:
    if (b == 0) return zero_division(t);
    r = op == SIR_DIV ? a / b : floor(a / b);
    if (op == SIR_MOD) {
      r = fmod(a, b);
      r += r != 0 && (r < 0) != (b < 0) ? b : 0;
    }
    break;
  case SIR_POW: r = pow(a, b); break;
  default: return operands(t, op, x, y);
  }
  *out = value_float(r);
  return true;
}

static bool is_compare(SirOp op) { return op >= SIR_EQ && op <= SIR_GE; }

static bool node_op(Tracer *t, SirOp op, Value a, Value b, Value *out) {
  static const Op ops[SIR_OP_COUNT] = {
      [SIR_ADD] = OP_ADD,       [SIR_SUB] = OP_SUB,       [SIR_MUL] = OP_MUL,    [SIR_DIV] = OP_DIV,
      [SIR_POW] = OP_POW,       [SIR_SHL] = OP_SHL,       [SIR_SHR] = OP_SHR,    [SIR_BIT_AND] = OP_AND,
      [SIR_BIT_OR] = OP_OR,     [SIR_BIT_XOR] = OP_XOR,   [SIR_EQ] = OP_EQUAL,   [SIR_NE] = OP_NOT_EQUAL,
      [SIR_LT] = OP_LESS,       [SIR_LE] = OP_LESS_EQUAL, [SIR_GT] = OP_GREATER, [SIR_GE] = OP_GREATER_EQUAL,
      [SIR_FLOOR_DIV] = OP_REM, [SIR_MOD] = OP_REM};
  if (op == SIR_POW && value_is_node(a) && ((b.kind == VAL_INT && b.u.i == 2) || (b.kind == VAL_FLOAT && b.u.f == 2))) {
    op = SIR_MUL; /* the same number, bit for bit, and cheaper to differentiate */
    b = a;
  }
  EwKind kind = op == SIR_FLOOR_DIV ? EW_FLOOR_DIV : op == SIR_MOD ? EW_MOD : EW_OP;
  return ew(t, kind, ops[op], (Value[]){a, b}, 2, trace_printf(t, "`%s`", sir_op_text(op)), out);
}

static bool concat_static(Tracer *t, Value a, Value b, Value *out) {
  size_t na = a.kind == VAL_STR ? strlen(a.u.s) : a.n, nb = b.kind == VAL_STR ? strlen(b.u.s) : b.n;
  if (na + nb > TRACE_LIST)
    return trace_fault(t, "sir-list-length", "a %s of %zu elements is too long to trace", value_kind_name(a), na + nb);
  if (a.kind == VAL_STR) {
    *out = value_str(trace_printf(t, "%s%s", a.u.s, b.u.s));
    return true;
  }
  Value *at = ARENA_ARRAY(t->arena, Value, na + nb + 1);
  if (na) memcpy(at, a.u.at, na * sizeof *at);
  if (nb) memcpy(at + na, b.u.at, nb * sizeof *at);
  *out = a.kind == VAL_LIST ? value_list(at, (uint32_t)(na + nb)) : value_tuple(at, (uint32_t)(na + nb));
  return true;
}

bool trace_binary(Tracer *t, SirOp op, Value a, Value b, Value *out) {
  const char *text = sir_op_text(op);
  if (op == SIR_MATMUL) return lib_matmul(t, a, b, out);
  if (value_is_node(a) || value_is_node(b)) {
    if ((a.kind == VAL_NONE || b.kind == VAL_NONE) && (op == SIR_EQ || op == SIR_NE)) {
      *out = value_bool(op == SIR_NE);
      return true;
    }
    return node_op(t, op, a, b, out);
  }
  bool equality = op == SIR_EQ || op == SIR_NE;
  if (a.kind == VAL_BOOL && b.kind == VAL_BOOL && (op == SIR_BIT_AND || op == SIR_BIT_OR || op == SIR_BIT_XOR)) {
    *out = value_bool(op == SIR_BIT_AND ? a.u.b && b.u.b : op == SIR_BIT_OR ? a.u.b || b.u.b : a.u.b != b.u.b);
    return true;
  }
  if ((a.kind == VAL_BOOL || b.kind == VAL_BOOL) && !equality)
    return trace_fault(t, "sir-bool-arithmetic", "`%s` of %s and %s: a bool is no number", text, value_describe(t, a),
                       value_describe(t, b));
  if (a.kind == VAL_DIM || b.kind == VAL_DIM) {
    if (value_is_size(a) && value_is_size(b)) {
      Sym x = value_as_sym(t, a), y = value_as_sym(t, b), r = 0;
      if (is_compare(op)) {
        int known = trace_decide(t, op, x, y);
        if (known >= 0) {
          *out = value_bool(known);
          return true;
        }
        Id v = trace_size(t, x), w = trace_size(t, y);
        return node_op(t, op, value_node(t->g, v), value_node(t->g, w), out);
      }
      if ((op == SIR_FLOOR_DIV || op == SIR_MOD) && b.kind == VAL_INT && !b.u.i) return zero_division(t);
      r = op == SIR_ADD   ? sym_add(t->syms, x, y)
          : op == SIR_SUB ? sym_sub(t->syms, x, y)
          : op == SIR_MUL ? sym_mul(t->syms, x, y)
                          : 0;
      if (op == SIR_FLOOR_DIV || op == SIR_MOD) {
        Sym q = op == SIR_FLOOR_DIV ? sym_divided(t->facts, x, y) : 0;
        r = q ? q : sym_op(t->syms, op == SIR_MOD ? SYM_MOD : SYM_FLOORDIV, x, y);
        if (op == SIR_MOD && sym_divided(t->facts, x, y)) r = sym_int(t->syms, 0);
      }
      if (r) {
        if (sym_overflowed(t->syms, r)) return overflow(t, op);
        *out = value_sym(t, r);
        return true;
      }
    }
    if ((value_is_size(a) || a.kind == VAL_FLOAT) && (value_is_size(b) || b.kind == VAL_FLOAT)) {
      Id x, y;
      return trace_weak(t, a, &x) && trace_weak(t, b, &y) &&
             node_op(t, op, value_weak(t->g, x), value_weak(t->g, y), out);
    }
    if (equality) {
      *out = value_bool(op == SIR_NE);
      return true;
    }
  }
  if (equality) {
    *out = value_bool(value_same(t, a, b) == (op == SIR_EQ));
    return true;
  }
  if (value_is_number(a) && value_is_number(b)) {
    bool ints = a.kind == VAL_INT && b.kind == VAL_INT;
    double x = as_double(a), y = as_double(b);
    if (is_compare(op)) {
      bool less = ints ? a.u.i < b.u.i : x < y, more = ints ? a.u.i > b.u.i : x > y,
           nan = !ints && (isnan(x) || isnan(y));
      *out = value_bool(op == SIR_LT ? less : op == SIR_GT ? more : op == SIR_LE ? !more && !nan : !less && !nan);
      return true;
    }
    return ints ? int_op(t, op, a.u.i, b.u.i, out) : float_op(t, op, a, b, out);
  }
  if (op == SIR_ADD && a.kind == b.kind && (a.kind == VAL_LIST || a.kind == VAL_TUPLE || a.kind == VAL_STR))
    return concat_static(t, a, b, out);
  return operands(t, op, a, b);
}

bool trace_truth(Tracer *t, Value x, const char *what, bool *out) {
  if (value_is_node(x))
    return trace_fault(t, "sir-tensor-condition", "%s is a tensor, %s; it has to be known while tracing", what,
                       value_describe(t, x));
  if (x.kind != VAL_BOOL) return trace_fault(t, "sir-not-bool", "%s is %s, not a bool", what, value_describe(t, x));
  *out = x.u.b;
  return true;
}
