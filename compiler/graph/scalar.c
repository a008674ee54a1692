#include "scalar.h"
#include <math.h>
#include <string.h>

/* ---- types ---- */

static uint32_t bits_of_float(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

static float float_of_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

/* Rounds to a mantissa of `bits` bits (with the leading one) at least exponent `emin`, largest finite `most`. */
static double round_small(double x, int bits, int emin, double most) {
  if (!isfinite(x) || x == 0) return x;
  int e;
  frexp(x, &e); /* |x| in [2^(e-1), 2^e) */
  int unit = (e - 1 < emin ? emin : e - 1) - (bits - 1);
  double r = ldexp(nearbyint(ldexp(x, -unit)), unit);
  return fabs(r) > most ? copysign(INFINITY, x) : r;
}

double scalar_round(DType d, double x) {
  switch (d) {
  case DT_F32: return (double)(float)x;
  case DT_F16: return round_small((double)(float)x, 11, -14, 65504.0);
  case DT_BF16: return round_small((double)(float)x, 8, -126, 0x1.FEp127);
  default: return x;
  }
}

int64_t scalar_wrap(DType d, int64_t v) {
  switch (d) {
  case DT_I8: return (int8_t)v;
  case DT_I16: return (int16_t)v;
  case DT_I32: return (int32_t)v;
  case DT_U8: return (uint8_t)v;
  case DT_U16: return (uint16_t)v;
  case DT_U32: return (uint32_t)v;
  case DT_BOOL: return v & 1;
  default: return v;
  }
}

Scalar scalar_fit(DType d, Scalar x) {
  return dtype_is_float(d) ? (Scalar){.f = scalar_round(d, x.f)} : (Scalar){.i = scalar_wrap(d, x.i)};
}

bool scalar_same(DType d, Scalar a, Scalar b) { return a.i == b.i || (dtype_is_float(d) && isnan(a.f) && isnan(b.f)); }

static uint16_t half_bits(double x) {
  uint16_t sign = signbit(x) ? 0x8000 : 0;
  if (isnan(x)) return 0x7E00 | sign;
  x = fabs(scalar_round(DT_F16, x));
  if (isinf(x)) return 0x7C00 | sign;
  if (x < 0x1p-14) return (uint16_t)(sign | (uint16_t)ldexp(x, 24));
  int e;
  double m = frexp(x, &e); /* m in [0.5, 1) */
  return (uint16_t)(sign | ((e + 14) << 10) | ((uint16_t)ldexp(m, 11) & 0x3FF));
}

static double half_value(uint16_t h) {
  int e = h >> 10 & 31, m = h & 0x3FF;
  double x = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(m + 1024, e - 25) : ldexp(m, -24);
  return h & 0x8000 ? -x : x;
}

static uint16_t bf16_bits(double x) {
  return isnan(x) ? 0x7FC0 | (signbit(x) ? 0x8000 : 0)
                  : (uint16_t)(bits_of_float((float)scalar_round(DT_BF16, x)) >> 16);
}

Scalar scalar_load(DType d, const void *p) {
  Scalar s = {0};
  switch (d) {
#define CASE(D, T, field)                                                                                              \
  case D: {                                                                                                            \
    T v;                                                                                                               \
    memcpy(&v, p, sizeof v);                                                                                           \
    s.field = v;                                                                                                       \
    return s;                                                                                                          \
  }
    CASE(DT_F32, float, f)
    CASE(DT_F64, double, f)
    CASE(DT_I8, int8_t, i)
    CASE(DT_I16, int16_t, i)
    CASE(DT_I32, int32_t, i)
    CASE(DT_I64, int64_t, i)
    CASE(DT_IDX, int64_t, i)
    CASE(DT_U8, uint8_t, i)
    CASE(DT_U16, uint16_t, i)
    CASE(DT_U32, uint32_t, i)
#undef CASE
  case DT_U64: memcpy(&s.i, p, 8); return s;
  case DT_BOOL: s.i = *(const uint8_t *)p != 0; return s;
  case DT_F16:
  case DT_BF16: {
    uint16_t h;
    memcpy(&h, p, 2);
    s.f = d == DT_F16 ? half_value(h) : (double)float_of_bits((uint32_t)h << 16);
    return s;
  }
  default: return s;
  }
}

void scalar_store(DType d, Scalar s, void *p) {
  switch (d) {
  case DT_F32: {
    float v = (float)s.f;
    memcpy(p, &v, 4);
    return;
  }
  case DT_F16:
  case DT_BF16: {
    uint16_t h = d == DT_F16 ? half_bits(s.f) : bf16_bits(s.f);
    memcpy(p, &h, 2);
    return;
  }
  default: { /* two's complement: the low bytes, whatever the sign; F64 by its bits */
    uint64_t u;
    memcpy(&u, &s, 8);
    switch (dtype_size(d)) {
    case 1: *(uint8_t *)p = (uint8_t)u; return;
    case 2: memcpy(p, &(uint16_t){(uint16_t)u}, 2); return;
    case 4: memcpy(p, &(uint32_t){(uint32_t)u}, 4); return;
    case 8: memcpy(p, &u, 8); return;
    default: return;
    }
  }
  }
}

double scalar_beside(DType d, double x, bool up) {
  uint16_t bits;
  if (x == 0 || !isfinite(x)) return x;
  if (d == DT_F64) return nextafter(x, up ? INFINITY : -INFINITY);
  if (!dtype_is_half(d)) return (double)nextafterf((float)x, up ? INFINITY : -INFINITY);
  scalar_store(d, (Scalar){.f = x}, &bits);
  bits = (uint16_t)(up == (x > 0) ? bits + 1 : bits - 1); /* away from 0 is the next pattern */
  return scalar_load(d, &bits).f;
}

Scalar scalar_bits(DType from, DType to, Scalar s) {
  char raw[8] = {0};
  scalar_store(from, s, raw);
  return scalar_load(to, raw);
}

static int64_t saturate(DType d, double x) {
  int bits = (int)dtype_size(d) * 8;
  x = isnan(x) ? 0 : trunc(x);
  if (dtype_is_signed(d)) {
    double top = ldexp(1, bits - 1);
    if (x >= top) return (int64_t)((UINT64_C(1) << (bits - 1)) - 1);
    if (x <= -top) return scalar_wrap(d, (int64_t)(UINT64_C(1) << (bits - 1)));
    return (int64_t)x;
  }
  if (x <= 0) return 0;
  if (x >= ldexp(1, bits)) return bits == 64 ? -1 : (int64_t)((UINT64_C(1) << bits) - 1);
  return (int64_t)(uint64_t)x;
}

Scalar scalar_convert(DType from, DType to, Scalar s) {
  bool real = dtype_is_float(from);
  if (to == DT_BOOL) return (Scalar){.i = real ? s.f != 0 : s.i != 0};
  if (!dtype_is_float(to)) return (Scalar){.i = real ? saturate(to, s.f) : scalar_wrap(to, s.i)};
  if (real) return (Scalar){.f = scalar_round(to, s.f)};
  /* straight from the integer: a 64-bit one must not be rounded to double first */
  if (to == DT_F64) return (Scalar){.f = from == DT_U64 ? (double)(uint64_t)s.i : (double)s.i};
  return (Scalar){.f = scalar_round(to, from == DT_U64 ? (double)(float)(uint64_t)s.i : (double)(float)s.i)};
}

Scalar scalar_of(DType d, double x) { return scalar_convert(DT_F64, d, (Scalar){.f = x}); }

/* ---- ops ---- */

static bool is_unsigned(DType d) { return dtype_is_int(d) && !dtype_is_signed(d); }

static int64_t int_div(DType d, int64_t a, int64_t b, bool rem) {
  if (!b) return 0;
  if (is_unsigned(d)) return rem ? (int64_t)((uint64_t)a % (uint64_t)b) : (int64_t)((uint64_t)a / (uint64_t)b);
  if (b == -1) return rem ? 0 : (int64_t)(0 - (uint64_t)a);
  return rem ? a % b : a / b;
}

static int64_t int_floor(DType d, int64_t a, int64_t b, bool mod) {
  int64_t q = int_div(d, a, b, false), r = int_div(d, a, b, true);
  bool down = !is_unsigned(d) && r && (r < 0) != (b < 0);
  return mod ? r + (down ? b : 0) : q - down;
}

static int64_t int_pow(DType d, int64_t a, int64_t b) {
  if (b < 0 && !is_unsigned(d)) return 0;
  uint64_t r = 1, x = (uint64_t)a;
  for (uint64_t e = (uint64_t)b; e; e >>= 1, x *= x)
    if (e & 1) r *= x;
  return (int64_t)r;
}

static int64_t int_shift(DType d, int64_t a, int64_t b, bool left) {
  int bits = (int)dtype_size(d) * 8;
  bool out = is_unsigned(d) ? (uint64_t)b >= (uint64_t)bits : b < 0 || b >= bits;
  if (left) return out ? 0 : (int64_t)((uint64_t)a << b);
  if (is_unsigned(d)) return out ? 0 : (int64_t)((uint64_t)a >> b);
  return a >> (out ? 63 : b);
}

static bool int_less(DType d, int64_t a, int64_t b) { return d == DT_U64 ? (uint64_t)a < (uint64_t)b : a < b; }

#define A in[0][k * step[0]]
#define B in[1][k * step[1]]
#define C in[2][k * step[2]]
#define EACH(field, expr)                                                                                              \
  do {                                                                                                                 \
    for (int64_t k = 0; k < n; k++) out[k].field = (expr);                                                             \
    return true;                                                                                                       \
  } while (0)
#define FLOAT_EACH(expr)                                                                                               \
  do {                                                                                                                 \
    if (d == DT_F32)                                                                                                   \
      for (int64_t k = 0; k < n; k++) out[k].f = (double)(float)(expr);                                                \
    else                                                                                                               \
      for (int64_t k = 0; k < n; k++) out[k].f = scalar_round(d, (expr));                                              \
    return true;                                                                                                       \
  } while (0)

/* In double: its + - * / and sqrt of two floats, rounded to float, are what single precision gives. */
static bool map_float(Op op, DType d, int64_t n, const Scalar *const *in, const int *step, Scalar *out) {
  switch (op) {
  case OP_NEG: EACH(f, -A.f);
  case OP_ABS: EACH(f, fabs(A.f));
  case OP_SIGN: EACH(f, isnan(A.f) ? A.f : (double)((A.f > 0) - (A.f < 0)));
  case OP_EXP: FLOAT_EACH(exp(A.f));
  case OP_EXP_NEG: FLOAT_EACH(A.f > 0 ? NAN : exp(A.f));
  case OP_EXPM1: FLOAT_EACH(expm1(A.f));
  case OP_LOG: FLOAT_EACH(log(A.f));
  case OP_LOG1P: FLOAT_EACH(log1p(A.f));
  case OP_SQRT: FLOAT_EACH(sqrt(A.f));
  case OP_RSQRT: FLOAT_EACH(1.0 / scalar_round(dtype_computed(d), sqrt(A.f)));
  case OP_SIN: FLOAT_EACH(sin(A.f));
  case OP_COS: FLOAT_EACH(cos(A.f));
  case OP_TANH: FLOAT_EACH(tanh(A.f));
  case OP_SIGMOID: FLOAT_EACH(A.f < -40 ? exp(A.f) : 1.0 / (1.0 + exp(-A.f))); /* the second overflows */
  case OP_ERF: FLOAT_EACH(erf(A.f));
  case OP_FLOOR: EACH(f, floor(A.f));
  case OP_CEIL: EACH(f, ceil(A.f));
  case OP_ROUND: EACH(f, nearbyint(A.f));
  case OP_TRUNC: EACH(f, trunc(A.f));
  case OP_IS_NAN: EACH(i, isnan(A.f) != 0);
  case OP_IS_INF: EACH(i, isinf(A.f) != 0);
  case OP_IS_FINITE: EACH(i, isfinite(A.f) != 0);
  case OP_ADD: FLOAT_EACH(A.f + B.f);
  case OP_SUB: FLOAT_EACH(A.f - B.f);
  case OP_MUL: FLOAT_EACH(A.f * B.f);
  case OP_DIV: FLOAT_EACH(A.f / B.f);
  case OP_REM: FLOAT_EACH(fmod(A.f, B.f));
  case OP_POW: FLOAT_EACH(pow(A.f, B.f));
  case OP_MAXIMUM: EACH(f, A.f > B.f || isnan(A.f) ? A.f : B.f);
  case OP_MINIMUM: EACH(f, A.f < B.f || isnan(A.f) ? A.f : B.f);
  case OP_EQUAL: EACH(i, A.f == B.f);
  case OP_NOT_EQUAL: EACH(i, A.f != B.f);
  case OP_LESS: EACH(i, A.f < B.f);
  case OP_LESS_EQUAL: EACH(i, A.f <= B.f);
  case OP_GREATER: EACH(i, A.f > B.f);
  case OP_GREATER_EQUAL: EACH(i, A.f >= B.f);
  case OP_FMA:
    if (d == DT_F32) EACH(f, (double)fmaf((float)A.f, (float)B.f, (float)C.f));
    EACH(f, fma(A.f, B.f, C.f));
  case OP_SCALE: FLOAT_EACH(isnan(B.f) ? B.f : ldexp(A.f, (int)fmax(-4096, fmin(4096, B.f))));
  default: return false;
  }
}

static bool map_int(Op op, DType d, int64_t n, const Scalar *const *in, const int *step, Scalar *out) {
#define U(x)       ((uint64_t)(x))
#define WRAP(expr) EACH(i, scalar_wrap(d, (int64_t)(expr)))
  switch (op) {
  case OP_NEG: WRAP(0 - U(A.i));
  case OP_ABS: WRAP(A.i < 0 && !is_unsigned(d) ? 0 - U(A.i) : U(A.i));
  case OP_SIGN: EACH(i, is_unsigned(d) ? A.i != 0 : (A.i > 0) - (A.i < 0));
  case OP_NOT:
    if (d == DT_BOOL) EACH(i, !A.i);
    WRAP(~A.i);
  case OP_ADD: WRAP(U(A.i) + U(B.i));
  case OP_SUB: WRAP(U(A.i) - U(B.i));
  case OP_MUL: WRAP(U(A.i) * U(B.i));
  case OP_DIV: WRAP(int_div(d, A.i, B.i, false));
  case OP_REM: WRAP(int_div(d, A.i, B.i, true));
  case OP_POW: WRAP(int_pow(d, A.i, B.i));
  case OP_FLOOR_DIV: WRAP(int_floor(d, A.i, B.i, false));
  case OP_FLOOR_MOD: WRAP(int_floor(d, A.i, B.i, true));
  case OP_MAXIMUM: EACH(i, int_less(d, B.i, A.i) ? A.i : B.i);
  case OP_MINIMUM: EACH(i, int_less(d, A.i, B.i) ? A.i : B.i);
  case OP_AND: EACH(i, A.i & B.i);
  case OP_OR: EACH(i, A.i | B.i);
  case OP_XOR: EACH(i, A.i ^ B.i);
  case OP_SHL: WRAP(int_shift(d, A.i, B.i, true));
  case OP_SHR: WRAP(int_shift(d, A.i, B.i, false));
  case OP_EQUAL: EACH(i, A.i == B.i);
  case OP_NOT_EQUAL: EACH(i, A.i != B.i);
  case OP_LESS: EACH(i, int_less(d, A.i, B.i));
  case OP_LESS_EQUAL: EACH(i, !int_less(d, B.i, A.i));
  case OP_GREATER: EACH(i, int_less(d, B.i, A.i));
  case OP_GREATER_EQUAL: EACH(i, !int_less(d, A.i, B.i));
  case OP_MULHI: WRAP(U((uint32_t)A.i) * U((uint32_t)B.i) >> 32);
  default: return false;
  }
}

bool scalar_map(Op op, DType d, int64_t n, const Scalar *const *in, const int *step, Scalar *out) {
  if (op == OP_SELECT) {
    for (int64_t k = 0; k < n; k++) out[k] = A.i ? B : C;
    return true;
  }
  if (op == OP_LEAF || op == OP_STOP_GRADIENT) {
    for (int64_t k = 0; k < n; k++) out[k] = A;
    return true;
  }
  return dtype_is_float(d) ? map_float(op, d, n, in, step, out) : map_int(op, d, n, in, step, out);
}

bool eval_scalar(Op op, DType d, const Scalar *in, Scalar *out) {
  const Scalar *const p[3] = {&in[0], &in[1], &in[2]};
  return scalar_map(op, d, 1, p, (const int[]){0, 0, 0}, out);
}
