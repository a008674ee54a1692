/* Functions on vectors for printed kernels: one instruction where the level has it and the vector is of a legal width,
 * else lane by lane. Each means what the column `defined` of ops.def says. */
#include "c_text.h"
#include <stdio.h>
#include <string.h>

static bool made(CText *c, const char *key) {
  for (uint32_t i = 0; i < c->made.n; i++)
    if (!strcmp(c->made.at[i], key)) return true;
  vec_push(c->arena, &c->made, key);
  return false;
}

DType c_number(DType d, int lanes) { return d != DT_IDX ? d : lanes > 1 ? DT_I32 : DT_I64; }

const char *c_element(DType d) {
  static const char *const name[] = {
      [DT_F32] = "float",    [DT_F64] = "double",   [DT_I8] = "int8_t",  [DT_I16] = "int16_t",
      [DT_I32] = "int32_t",  [DT_I64] = "int64_t",  [DT_U8] = "uint8_t", [DT_U16] = "uint16_t",
      [DT_U32] = "uint32_t", [DT_U64] = "uint64_t", [DT_IDX] = "int64_t"};
  if (d == DT_BOOL) return "uint8_t";
  if (dtype_is_half(d)) return "uint16_t"; /* their bits */
  return name[d];
}

const char *c_type(CText *c, DType d, int lanes) {
  d = c_number(d, lanes);
  if (lanes == 1) return d == DT_BOOL ? "bool" : c_element(d);
  if (d == DT_BOOL) d = DT_I32;
  const char *name = arena_printf(c->arena, "%sx%d", dtype_name(d), lanes);
  if (!made(c, name))
    buf_printf(&c->types, "typedef %s %s __attribute__((vector_size(%d)));\n", c_element(d), name,
               (int)dtype_size(d) * lanes);
  return name;
}

const char *c_memory(CText *c, DType d, int lanes) {
  DType e = d == DT_BOOL ? DT_U8 : c_number(d, lanes);
  const char *type = c_type(c, e, lanes), *name = arena_printf(c->arena, "%s_at", type);
  if (!made(c, name))
    buf_printf(&c->types, "typedef %s %s __attribute__((aligned(%d), may_alias));\n", type, name, (int)dtype_size(e));
  return name;
}

/* "_mm512" where such a vector is one register of the level, else NULL. */
static const char *registers(const CText *c, DType d, int lanes) {
  int bytes = (int)dtype_size(c_number(d, lanes)) * lanes;
  if (lanes == 1 || bytes > c->target->vector_bytes) return NULL;
  return bytes == 64 ? "_mm512" : bytes == 32 ? "_mm256" : bytes == 16 ? "_mm" : NULL;
}

static const char *suffix(DType d) { return d == DT_F32 ? "ps" : "pd"; }
static const char *cast(DType d, const char *regs) { /* "__m512d" */
  return !strcmp(regs, "_mm512")   ? d == DT_F32   ? "__m512"
                                     : d == DT_F64 ? "__m512d"
                                                   : "__m512i"
         : !strcmp(regs, "_mm256") ? d == DT_F32   ? "__m256"
                                     : d == DT_F64 ? "__m256d"
                                                   : "__m256i"
         : d == DT_F32             ? "__m128"
         : d == DT_F64             ? "__m128d"
                                   : "__m128i";
}

/* The bits of a mask of i32 lanes, on v4. */
static const char *mask_bits(CText *c, int lanes) {
  const char *regs = registers(c, DT_I32, lanes);
  return regs ? arena_printf(c->arena, "%s_movepi32_mask((%s)m)", regs, cast(DT_I32, regs)) : NULL;
}

/* Begins `static inline RESULT NAME(`; false if it is there already. */
static bool begin(CText *c, const char *name, const char *result) {
  if (made(c, name)) return false;
  buf_printf(&c->helpers, "static inline __attribute__((unused)) %s %s", result, name); /* some are simplified away */
  return true;
}

/* (T a, T b) { T r = {0}; lane by lane } of n operands. */
static void by_lanes(CText *c, const char *type, int lanes, const char *scalar, int n) {
  static const char *const p[] = {"", "(%s a)", "(%s a, %s b)", "(%s a, %s b, %s c)"};
  char parameters[160];
  snprintf(parameters, sizeof parameters, p[n], type, type, type);
  buf_printf(&c->helpers, "%s {\n  %s r = {0};\n  for (int i = 0; i < %d; i++) r[i] = %s(a[i]%s%s);\n  return r;\n}\n",
             parameters, type, lanes, scalar, n > 1 ? ", b[i]" : "", n > 2 ? ", c[i]" : "");
}

/* ---- operations of scalars ---- */

static const char *unsigned_of(DType d) {
  static const char *const name[] = {"uint8_t", "uint16_t", "uint32_t", "uint64_t"};
  size_t n = dtype_size(d);
  return name[n == 1 ? 0 : n == 2 ? 1 : n == 4 ? 2 : 3];
}

static void scalar_body(CText *c, Op op, DType d) {
  const char *t = c_element(d), *u = unsigned_of(d);
  Buf *b = &c->helpers;
  bool fl = dtype_is_float(d), sgn = !fl && dtype_is_signed(d);
  int bits = 8 * (int)dtype_size(d);
  switch (op) {
  case OP_FMA:
    if (c->target->has_fma)
      buf_printf(b, "(%s a, %s b, %s c) { return __builtin_fma%s(a, b, c); }\n", t, t, t, d == DT_F32 ? "f" : "");
    else
      buf_printf(b, "(%s a, %s b, %s c) { return a * b + c; }\n", t, t, t);
    return;
  case OP_SQRT:
    if (d == DT_F32)
      buf_put(b, "(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }\n");
    else
      buf_put(b, "(double a) { return _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(a))); }\n");
    return;
  case OP_FLOOR:
  case OP_CEIL:
  case OP_ROUND:
  case OP_TRUNC: {
    int how = op == OP_FLOOR ? 9 : op == OP_CEIL ? 10 : op == OP_TRUNC ? 11 : 8;
    if (d == DT_F32)
      buf_printf(b, "(float a) { return _mm_cvtss_f32(_mm_round_ss(_mm_setzero_ps(), _mm_set_ss(a), %d)); }\n", how);
    else
      buf_printf(b, "(double a) { return _mm_cvtsd_f64(_mm_round_sd(_mm_setzero_pd(), _mm_set_sd(a), %d)); }\n", how);
    return;
  }
  case OP_SCALE: /* of v4 alone: elsewhere expand_math made products of it */
    if (d == DT_F32)
      buf_put(b, "(float a, float n) { return _mm_cvtss_f32(_mm_scalef_ss(_mm_set_ss(a), _mm_set_ss(n))); }\n");
    else
      buf_put(b, "(double a, double n) { return _mm_cvtsd_f64(_mm_scalef_sd(_mm_set_sd(a), _mm_set_sd(n))); }\n");
    return;
  case OP_ABS:
    if (fl)
      buf_printf(b, "(%s a) { return __builtin_fabs%s(a); }\n", t, d == DT_F32 ? "f" : "");
    else
      buf_printf(b, sgn ? "(%s a) { return (%s)(a < 0 ? 0 - (%s)a : (%s)a); }\n" : "(%s a) { return a; }\n", t, t, u,
                 u);
    return;
  case OP_MAXIMUM:
  case OP_MINIMUM:
    buf_printf(b, "(%s a, %s b) { return a %c b%s ? a : b; }\n", t, t, op == OP_MAXIMUM ? '>' : '<',
               fl ? " || a != a" : "");
    return;
  case OP_SHL:
    buf_printf(b, "(%s a, %s n) { return (%s)n > %d ? 0 : (%s)((%s)a << n); }\n", t, t, u, bits - 1, t, u);
    return;
  case OP_SHR:
    if (sgn)
      buf_printf(b, "(%s a, %s n) { return (%s)(a >> ((%s)n > %d ? %d : n)); }\n", t, t, t, u, bits - 1, bits - 1);
    else
      buf_printf(b, "(%s a, %s n) { return n > %d ? 0 : (%s)(a >> n); }\n", t, t, bits - 1, t);
    return;
  case OP_DIV:
  case OP_REM:
    if (fl)
      buf_printf(b, "(%s a, %s b) { return fmod%s(a, b); }\n", t, t, d == DT_F32 ? "f" : "");
    else if (op == OP_DIV)
      buf_printf(b, "(%s a, %s b) { return b == 0 ? 0 : %s(%s)(a / b); }\n", t, t,
                 sgn ? arena_printf(c->arena, "b == -1 ? (%s)(0 - (%s)a) : ", t, u) : "", t);
    else
      buf_printf(b, "(%s a, %s b) { return b == 0%s ? 0 : (%s)(a %% b); }\n", t, t, sgn ? " || b == -1" : "", t);
    return;
  case OP_FLOOR_DIV:
    buf_printf(b, "(%s a, %s b) {\n  if (b == 0) return 0;\n", t, t);
    if (sgn)
      buf_printf(b, "  if (b == -1) return (%s)(0 - (%s)a);\n  return (%s)(a / b - (a %% b != 0 && (a ^ b) < 0));\n}\n",
                 t, u, t);
    else
      buf_printf(b, "  return (%s)(a / b);\n}\n", t);
    return;
  case OP_FLOOR_MOD:
    buf_printf(b, "(%s a, %s b) {\n  if (b == 0%s) return 0;\n", t, t, sgn ? " || b == -1" : "");
    buf_printf(b,
               sgn ? "  %s r = (%s)(a %% b);\n  return (%s)(r != 0 && (r ^ b) < 0 ? r + b : r);\n}\n"
                   : "  %s r = (%s)(a %% b);\n  return (%s)r;\n}\n",
               t, t, t);
    return;
  case OP_MULHI: buf_put(b, "(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }\n"); return;
  default: BUG("c_text: no function for %s", OP_INFO[op].text);
  }
}

/* ---- operations of vectors ---- */

static int operands(Op op) { return OP_INFO[op].arity; }

/* The instruction, as an expression of a, b and c; NULL: there is none. */
static const char *instruction(CText *c, Op op, DType d, int lanes) {
  const char *regs = registers(c, d, lanes), *t = regs ? cast(d, regs) : NULL;
  Arena *a = c->arena;
  if (!regs) return NULL;
  if (op == OP_MULHI)
    return arena_printf(
        a,
        "(%s)(((u64x%d)%s_mul_epu32((%s)a, (%s)b) >> 32) | ((u64x%d)%s_mul_epu32(%s_srli_epi64((%s)a, 32), "
        "%s_srli_epi64((%s)b, 32)) & 0xffffffff00000000))",
        c_type(c, d, lanes), lanes / 2, regs, t, t, lanes / 2, regs, regs, t, regs, t);
  if (!dtype_is_float(d)) return NULL;
  const char *s = suffix(d);
  switch (op) {
  case OP_FMA:
    if (!c->target->has_fma) return "a * b + c";
    return arena_printf(a, "(%s)%s_fmadd_%s((%s)a, (%s)b, (%s)c)", c_type(c, d, lanes), regs, s, t, t, t);
  case OP_SCALE: return arena_printf(a, "(%s)%s_scalef_%s((%s)a, (%s)b)", c_type(c, d, lanes), regs, s, t, t);
  case OP_SQRT: return arena_printf(a, "(%s)%s_sqrt_%s((%s)a)", c_type(c, d, lanes), regs, s, t);
  case OP_FLOOR:
  case OP_CEIL:
  case OP_ROUND:
  case OP_TRUNC:
    return arena_printf(a, "(%s)%s_%s_%s((%s)a, %d)", c_type(c, d, lanes), regs,
                        !strcmp(regs, "_mm512") ? "roundscale" : "round", s, t,
                        op == OP_FLOOR   ? 9
                        : op == OP_CEIL  ? 10
                        : op == OP_TRUNC ? 11
                                         : 8);
  case OP_MAXIMUM:
  case OP_MINIMUM: {
    const char *quick = c_quick(c, op, d, lanes);
    if (!strcmp(regs, "_mm512"))
      return arena_printf(a, "(%s)_mm512_mask_mov_%s((%s)%s(a, b), _mm512_cmp_%s_mask((%s)a, (%s)a, 3), (%s)a)",
                          c_type(c, d, lanes), s, t, quick, s, t, t, t);
    return arena_printf(a, "(%s)%s_blendv_%s((%s)%s(a, b), (%s)a, (%s)(a != a))", c_type(c, d, lanes), regs, s, t,
                        quick, t, t);
  }
  default: return NULL;
  }
}

/* One of a few symbols on vectors does it. */
static const char *symbols(CText *c, Op op, DType d, int lanes) {
  if (op != OP_ABS) return NULL;
  const char *t = c_type(c, d, lanes);
  if (d == DT_F32) return arena_printf(c->arena, "(%s)((%s)a & 0x7fffffff)", t, c_type(c, DT_I32, lanes));
  if (d == DT_F64) return arena_printf(c->arena, "(%s)((%s)a & 0x7fffffffffffffff)", t, c_type(c, DT_I64, lanes));
  return NULL;
}

const char *c_call(CText *c, Op op, DType d, int lanes) {
  d = c_number(d, lanes);
  char word[16];
  size_t k = 0;
  const char *name = op == OP_FLOOR_DIV ? "floor_div" : op == OP_FLOOR_MOD ? "floor_mod" : OP_INFO[op].text;
  while (name[k] && k < 15) word[k] = name[k], k++;
  word[k] = 0;
  const char *t = c_type(c, d, lanes), *full = arena_printf(c->arena, "%s_%s", word, lanes > 1 ? t : dtype_name(d));
  for (uint32_t i = 0; i < c->made.n; i++)
    if (!strcmp(c->made.at[i], full)) return full;
  if (lanes == 1) {
    begin(c, full, t);
    scalar_body(c, op, d);
    return full;
  }
  if (op == OP_MULHI && registers(c, d, lanes)) c_type(c, DT_U64, lanes / 2);
  const char *one = symbols(c, op, d, lanes), *scalar = NULL;
  if (!one) one = instruction(c, op, d, lanes);
  if (!one) scalar = c_call(c, op, d, 1);
  begin(c, full, t);
  static const char *const p[] = {"", "(%s a)", "(%s a, %s b)", "(%s a, %s b, %s c)"};
  if (!one)
    by_lanes(c, t, lanes, scalar, operands(op));
  else {
    char parameters[160];
    snprintf(parameters, sizeof parameters, p[operands(op)], t, t, t);
    buf_printf(&c->helpers, "%s { return %s; }\n", parameters, one);
  }
  return full;
}

const char *c_quick(CText *c, Op op, DType d, int lanes) {
  const char *word = op == OP_MAXIMUM ? "max" : "min", *t = c_type(c, d, lanes), *regs = registers(c, d, lanes);
  const char *name = arena_printf(c->arena, "%s_%s", word, lanes > 1 ? t : dtype_name(d));
  char sign = op == OP_MAXIMUM ? '>' : '<';
  if (lanes > 1 && !regs) {
    const char *scalar = c_quick(c, op, d, 1);
    if (begin(c, name, t)) by_lanes(c, t, lanes, scalar, 2);
  } else if (begin(c, name, t)) {
    if (lanes == 1)
      buf_printf(&c->helpers, "(%s a, %s b) { return a %c b ? a : b; }\n", t, t, sign);
    else
      buf_printf(&c->helpers, "(%s a, %s b) { return (%s)%s_%s_%s((%s)a, (%s)b); }\n", t, t, t, regs, word, suffix(d),
                 cast(d, regs), cast(d, regs));
  }
  return name;
}

const char *c_splat(CText *c, DType d, int lanes) {
  d = c_number(d, lanes);
  const char *t = c_type(c, d, lanes), *name = arena_printf(c->arena, "splat_%s", t);
  if (begin(c, name, t)) {
    buf_printf(&c->helpers, "(%s a) { return (%s){", d == DT_BOOL ? "int32_t" : c_element(d), t);
    for (int i = 0; i < lanes; i++) buf_put(&c->helpers, i ? ", a" : "a");
    buf_put(&c->helpers, "}; }\n");
  }
  return name;
}

const char *c_fail(CText *c) {
  if (begin(c, "fail", "void"))
    buf_put(&c->helpers, "(int64_t code) {\n  if (!failed || code < failed) failed = code;\n}\n");
  return "fail";
}

const char *c_iota(CText *c, int lanes) {
  const char *t = c_type(c, DT_IDX, lanes), *name = arena_printf(c->arena, "iota_%d", lanes);
  if (begin(c, name, t)) {
    buf_printf(&c->helpers, "(void) { return (%s){", t);
    for (int i = 0; i < lanes; i++) buf_printf(&c->helpers, i ? ", %d" : "%d", i);
    buf_put(&c->helpers, "}; }\n");
  }
  return name;
}

const char *c_any(CText *c, int lanes, bool all) {
  const char *name = arena_printf(c->arena, "%s_%d", all ? "all" : "any", lanes), *t = c_type(c, DT_BOOL, lanes);
  if (!begin(c, name, "bool")) return name;
  const char *bits = c->target->level == LEVEL_V4 ? mask_bits(c, lanes) : NULL;
  if (!bits && registers(c, DT_I32, lanes)) {
    const char *regs = registers(c, DT_I32, lanes);
    bits = arena_printf(c->arena, "%s_movemask_ps((%s)m)", regs, cast(DT_F32, regs));
  }
  if (bits && all)
    buf_printf(&c->helpers, "(%s m) { return %s == %llu; }\n", t, bits, (1ull << lanes) - 1);
  else if (bits)
    buf_printf(&c->helpers, "(%s m) { return %s != 0; }\n", t, bits);
  else
    buf_printf(&c->helpers,
               "(%s m) {\n  bool r = %s;\n  for (int i = 0; i < %d; i++) r = r %s m[i] != 0;\n  return r;\n}\n", t,
               all ? "true" : "false", lanes, all ? "&&" : "||");
  return name;
}

const char *c_select(CText *c, DType d, int lanes) {
  d = c_number(d, lanes);
  const char *t = c_type(c, d, lanes), *m = c_type(c, DT_BOOL, lanes), *regs = registers(c, d, lanes);
  const char *name = arena_printf(c->arena, "select_%s", t);
  int size = d == DT_BOOL ? 4 : (int)dtype_size(d);
  DType whole = size == 1 ? DT_I8 : size == 2 ? DT_I16 : size == 4 ? DT_I32 : DT_I64;
  const char *w = c_type(c, whole, lanes);
  if (!begin(c, name, t)) return name;
  Buf *b = &c->helpers;
  buf_printf(b, "(%s m, %s a, %s b) {\n", m, t, t);
  if (c->target->level == LEVEL_V4 && regs && size >= 4 && mask_bits(c, lanes)) {
    const char *s = dtype_is_float(d) ? suffix(d) : size == 4 ? "epi32" : "epi64", *k = cast(d, regs);
    buf_printf(b, "  return (%s)%s_mask_blend_%s(%s, (%s)b, (%s)a);\n}\n", t, regs, s, mask_bits(c, lanes), k, k);
    return name;
  }
  if (size != 4) buf_printf(b, "  const %s w = __builtin_convertvector(m, %s);\n", w, w);
  if (regs && size >= 4 && strcmp(regs, "_mm512")) {
    const char *k = cast(size == 4 ? DT_F32 : DT_F64, regs);
    buf_printf(b, "  return (%s)%s_blendv_%s((%s)b, (%s)a, (%s)%s);\n}\n", t, regs, size == 4 ? "ps" : "pd", k, k, k,
               size == 4 ? "m" : "w");
  } else
    buf_printf(b, "  return (%s)((%s & (%s)a) | (~%s & (%s)b));\n}\n", t, size == 4 ? "m" : "w", w,
               size == 4 ? "m" : "w", w);
  return name;
}

const char *c_fold(CText *c, Op op, DType d, int lanes) {
  const char *t = c_type(c, d, lanes), *name = arena_printf(c->arena, "%s_%s", OP_INFO[op].text, t);
  for (uint32_t i = 0; i < c->made.n; i++)
    if (!strcmp(c->made.at[i], name)) return name;
  Op each = op == OP_HMAX ? OP_MAXIMUM : OP_MINIMUM;
  Arena *a = c->arena;
  if (lanes == 2) {
    const char *both = op == OP_HADD ? "a[0] + a[1]" : arena_printf(a, "%s(a[0], a[1])", c_call(c, each, d, 1));
    begin(c, name, c_element(d));
    buf_printf(&c->helpers, "(%s a) { return (%s)(%s); }\n", t, c_element(d), both);
    return name;
  }
  int h = lanes / 2;
  const char *half = c_type(c, d, h), *next = c_fold(c, op, d, h), *f = op == OP_HADD ? NULL : c_call(c, each, d, h);
  begin(c, name, c_element(d));
  buf_printf(&c->helpers, "(%s a) {\n  const %s x = __builtin_shufflevector(a, a", t, half);
  for (int i = 0; i < h; i++) buf_printf(&c->helpers, ", %d", i);
  buf_printf(&c->helpers, ");\n  const %s y = __builtin_shufflevector(a, a", half);
  for (int i = 0; i < h; i++) buf_printf(&c->helpers, ", %d", i + h);
  buf_printf(&c->helpers, ");\n  return %s(%s);\n}\n", next, f ? arena_printf(a, "%s(x, y)", f) : "x + y");
  return name;
}

const char *c_saturate(CText *c, DType from, DType to, int lanes) {
  const char *f = c_type(c, from, lanes), *t = c_type(c, to, lanes), *u = c_element(to);
  const char *name =
      arena_printf(c->arena, "%s_of_%s", lanes > 1 ? t : dtype_name(to), lanes > 1 ? f : dtype_name(from));
  int bits = 8 * (int)dtype_size(to);
  bool sgn = dtype_is_signed(to);
  const char *scalar = lanes > 1 ? c_saturate(c, from, to, 1) : NULL;
  if (!begin(c, name, t)) return name;
  if (lanes > 1)
    buf_printf(&c->helpers,
               "(%s a) {\n  %s r = {0};\n  for (int i = 0; i < %d; i++) r[i] = %s(a[i]);\n  return r;\n}\n", f, t,
               lanes, scalar);
  else if (sgn)
    buf_printf(&c->helpers,
               "(%s a) {\n  return a != a ? 0 : a >= 0x1p%d ? INT%d_MAX : a < -0x1p%d ? INT%d_MIN : (%s)a;\n}\n", f,
               bits - 1, bits, bits - 1, bits, u);
  else
    buf_printf(&c->helpers, "(%s a) {\n  return !(a > 0) ? 0 : a >= 0x1p%d ? UINT%d_MAX : (%s)a;\n}\n", f, bits, bits,
               u);
  return name;
}

const char *c_bits(CText *c, DType from, DType to) {
  const char *name = arena_printf(c->arena, "bits_%s_%s", dtype_name(from), dtype_name(to));
  if (begin(c, name, c_element(to)))
    buf_printf(&c->helpers, "(%s a) {\n  union {\n    %s a;\n    %s b;\n  } u = {a};\n  return u.b;\n}\n",
               c_element(from), c_element(from), c_element(to));
  return name;
}

const char *c_half(CText *c, DType from, DType to, int lanes) {
  Arena *a = c->arena;
  const char *t = c_type(c, to, lanes), *f = c_type(c, from, lanes), *regs = registers(c, DT_F32, lanes), *value = NULL,
             *name = arena_printf(a, "%s_of_%s", lanes > 1 ? t : dtype_name(to), lanes > 1 ? f : dtype_name(from));
  if (from == DT_BF16 && lanes == 1)
    value = arena_printf(a, "%s((uint32_t)a << 16)", c_bits(c, DT_U32, to));
  else if (from == DT_BF16)
    value = arena_printf(a, "(%s)(__builtin_convertvector(a, %s) << 16)", t, c_type(c, DT_U32, lanes));
  else if (lanes == 1)
    value = from == DT_F16 ? "_cvtsh_ss(a)" : "_cvtss_sh(a, 0)";
  else if (regs && !strcmp(regs, "_mm512"))
    value =
        arena_printf(a, from == DT_F16 ? "(%s)_mm512_cvtph_ps((__m256i)a)" : "(%s)_mm512_cvtps_ph((__m512)a, 0)", t);
  else if (regs && !strcmp(regs, "_mm256"))
    value =
        arena_printf(a, from == DT_F16 ? "(%s)_mm256_cvtph_ps((__m128i)a)" : "(%s)_mm256_cvtps_ph((__m256)a, 0)", t);
  const char *one = value ? NULL : c_half(c, from, to, 1);
  if (!begin(c, name, t)) return name;
  if (value)
    buf_printf(&c->helpers, "(%s a) { return %s; }\n", f, value);
  else
    buf_printf(&c->helpers,
               "(%s a) {\n  %s r = {0};\n  for (int i = 0; i < %d; i++) r[i] = %s(a[i]);\n  return r;\n}\n", f, t,
               lanes, one);
  return name;
}

const char *c_load(CText *c, DType d, int lanes) {
  d = c_number(d, lanes);
  const char *t = c_type(c, d, lanes), *m = c_type(c, DT_BOOL, lanes), *regs = registers(c, d, lanes);
  const char *name = arena_printf(c->arena, "load_%s%s", d == DT_BOOL ? "bool_" : "", t);
  const char *select = c->target->level == LEVEL_V3 && regs && d == DT_F32 ? c_select(c, d, lanes) : NULL;
  if (!begin(c, name, t)) return name;
  Buf *b = &c->helpers;
  buf_printf(b, "(const %s *p, %s m, %s other) {\n", c_element(d), m, t);
  if (c->target->level == LEVEL_V4 && d != DT_BOOL && regs && dtype_size(d) >= 4 && mask_bits(c, lanes)) {
    const char *s = dtype_is_float(d) ? suffix(d) : dtype_size(d) == 4 ? "epi32" : "epi64";
    buf_printf(b, "  return (%s)%s_mask_loadu_%s((%s)other, %s, p);\n}\n", t, regs, s, cast(d, regs),
               mask_bits(c, lanes));
  } else if (select)
    buf_printf(b, "  return %s(m, (%s)%s_maskload_ps(p, (%s)m), other);\n}\n", select, t, regs, cast(DT_I32, regs));
  else
    buf_printf(b, "  %s r = other;\n  for (int i = 0; i < %d; i++)\n    if (m[i]) r[i] = %sp[i]%s;\n  return r;\n}\n",
               t, lanes, d == DT_BOOL ? "-(" : "", d == DT_BOOL ? " != 0)" : "");
  return name;
}

const char *c_store(CText *c, DType d, int lanes) {
  d = c_number(d, lanes);
  const char *t = c_type(c, d, lanes), *m = c_type(c, DT_BOOL, lanes), *regs = registers(c, d, lanes);
  const char *name = arena_printf(c->arena, "store_%s%s", d == DT_BOOL ? "bool_" : "", t);
  if (!begin(c, name, "void")) return name;
  Buf *b = &c->helpers;
  buf_printf(b, "(%s *p, %s m, %s a) {\n", c_element(d), m, t);
  if (c->target->level == LEVEL_V4 && d != DT_BOOL && regs && dtype_size(d) >= 4 && mask_bits(c, lanes)) {
    const char *s = dtype_is_float(d) ? suffix(d) : dtype_size(d) == 4 ? "epi32" : "epi64";
    buf_printf(b, "  %s_mask_storeu_%s(p, %s, (%s)a);\n}\n", regs, s, mask_bits(c, lanes), cast(d, regs));
  } else if (c->target->level == LEVEL_V3 && regs && d == DT_F32)
    buf_printf(b, "  %s_maskstore_ps(p, (%s)m, (%s)a);\n}\n", regs, cast(DT_I32, regs), cast(d, regs));
  else
    buf_printf(b, "  for (int i = 0; i < %d; i++)\n    if (m[i]) p[i] = a[i]%s;\n}\n", lanes,
               d == DT_BOOL ? " != 0" : "");
  return name;
}

const char *c_permute(CText *c, DType d, int lanes, int index_lanes, bool two) {
  const char *t = c_type(c, d, lanes), *r = c_type(c, d, index_lanes), *at = c_type(c, DT_IDX, index_lanes);
  const char *name = arena_printf(c->arena, "perm%s_%s_%d", two ? "2" : "", t, index_lanes);
  if (!begin(c, name, r)) return name;
  buf_printf(&c->helpers, "(%s a%s%s%s, %s at) {\n  %s r = {0};\n  for (int i = 0; i < %d; i++) r[i] = ", t,
             two ? ", " : "", two ? t : "", two ? " b" : "", at, r, index_lanes);
  if (two)
    buf_printf(&c->helpers, "at[i] < %d ? a[at[i]] : b[at[i] - %d];\n  return r;\n}\n", lanes, lanes);
  else
    buf_put(&c->helpers, "a[at[i]];\n  return r;\n}\n");
  return name;
}
