#include "expand_math.h"
#include <math.h>

/* Coefficients: own fits (weighted least squares on Chebyshev nodes in 60 digits), ascending powers. */
static const double EXP32[] = {0x1.fffffcp-2, 0x1.555490p-3, 0x1.5558fep-5, 0x1.123b0ep-7,
                               0x1.6a1d9cp-10}; /* (e^r - 1 - r) / r^2 */
static const double EXP64[] = {0x1p-1,
                               0x1.555555555555bp-3,
                               0x1.5555555555501p-5,
                               0x1.111111110ebc4p-7,
                               0x1.6c16c16c30b15p-10,
                               0x1.a01a01b3ba430p-13,
                               0x1.a01a01354cea5p-16,
                               0x1.71ddef892c853p-19,
                               0x1.27e5b5bf2fa67p-22,
                               0x1.af6cf31b25019p-26,
                               0x1.1e3c73b73b92ap-29};
static const double LOG32[] = {
    0x1.555548p-2,  -0x1.000006p-2, 0x1.99a4dcp-3,  -0x1.555cccp-3, 0x1.233502p-3,
    -0x1.fc1098p-4, 0x1.e7019cp-4,  -0x1.de9eb2p-4, 0x1.14a180p-4}; /* (log(1 + f) - f + f^2 / 2) / f^3 */
static const double LOG64[] = {
    0x1.5555555555555p-1, 0x1.9999999999e01p-2, 0x1.249249242b0f3p-2, 0x1.c71c725939825p-3, 0x1.745cde22aaa65p-3,
    0x1.3b20aed5e19e3p-3, 0x1.0f5c7e6d202c4p-3, 0x1.0f65be7792679p-3}; /* (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2 */
static const double TANH32[] = {-0x1.55552ep-2, 0x1.110642p-3, -0x1.b81d5ep-5, 0x1.5155c6p-6,
                                -0x1.722236p-8}; /* (tanh(x) - x) / x^3 in x^2 */
static const double ERF32[] = {0x1.06eba8p-3, -0x1.812742p-2,  0x1.ce2de2p-4, -0x1.b80b0cp-6,
                               0x1.54a480p-8, -0x1.a8fbe2p-11, 0x1.5892d8p-14}; /* erf(x) / x - 1 in x^2 */
static const double LOGERFC32[] = {0x1.7bea94p-13, -0x1.2129eep+0, -0x1.443dd0p-1, -0x1.bbcc6cp-4,
                                   0x1.9c4a34p-6,  -0x1.12783cp-8, 0x1.cb4118p-12, -0x1.67076ep-16};
static const double LOG2ERFC32[] = {
    -0x1.a0be84p+0, -0x1.d63ec4p-1, -0x1.2fabe2p-3,  0x1.c4b920p-6, 0x1.e54bc0p-13,
    -0x1.3b3af6p-9, 0x1.deabd2p-11, -0x1.63ee4ep-13, 0x1.c01642p-17}; /* log2(erfc(x)) / x */
static const double EXP2_32[] = {0x1.62e430p-1, 0x1.ebfbdep-3,  0x1.c6af6ep-5,
                                 0x1.3b2ba0p-7, 0x1.5f07b4p-10, 0x1.4308fap-13}; /* (2^x - 1) / x */
static const double ERF64[] = {0x1.06eba8214db69p-3,   -0x1.812746b0379e7p-2,  0x1.ce2f21a042bdep-4,
                               -0x1.b82ce312889bep-6,  0x1.565bcd0e650c1p-8,   -0x1.c02db3feed242p-11,
                               0x1.f9a326c26c1b2p-14,  -0x1.f4d2561f99d64p-17, 0x1.b9e650de20161p-20,
                               -0x1.5f6d94d88ffb1p-23, 0x1.fc4375f026b28p-27,  -0x1.4e60f92a3ea4dp-30,
                               0x1.7f0951605694bp-34,  -0x1.29bdf99d48031p-38};
static const double ERFC64[] = {0x1.afbb3f3b7343bp-3,   -0x1.7ca88dec217a6p-2,  0x1.01c11a735cd98p-2,
                                -0x1.0011543716c60p-3,  0x1.470ba1f67f3c8p-5,   -0x1.05bb2fe5d0759p-8,
                                -0x1.5a5716d3b9a0ap-9,  0x1.cb3b613d8a99bp-11,  0x1.def2cee0ab498p-13,
                                -0x1.0e4606b18771bp-13, -0x1.1eb7d932bd759p-15, 0x1.38505c6ce3b67p-16,
                                0x1.f841bebcb6e5dp-18,  -0x1.4d5b4fe9ba07ap-19, -0x1.2c2426d8d13d0p-19,
                                -0x1.fd5f344a2edb2p-22}; /* e^(x^2) erfc(x) in (x - 2.5) / (x + 2.5) */
static const double SIN32[] = {-0x1.5555554c9859fp-3, 0x1.1111087de2a5ap-7, -0x1.a00f89d6db56cp-13,
                               0x1.6cd393737e7c4p-19}; /* (sin(r) - r) / r^3 in r^2 */
static const double COS32[] = {0x1.5555554f34a6ap-5, -0x1.6c16b87d0236dp-10, 0x1.a0110dbe2b734p-16,
                               -0x1.2427048b6a000p-22}; /* (cos(r) - 1 + r^2 / 2) / r^4 */
static const double SIN64[] = {-0x1.5555555555555p-3, 0x1.111111111110bp-7,   -0x1.a01a01a018a78p-13,
                               0x1.71de3a53309f6p-19, -0x1.ae64528c9a7b5p-26, 0x1.61208b2855401p-33,
                               -0x1.aaa179c5dd3edp-41};
static const double COS64[] = {0x1.5555555555555p-5,   -0x1.6c16c16c16c10p-10, 0x1.a01a01a018d89p-16,
                               -0x1.27e4fb75f6f30p-22, 0x1.1eed8c9c4aab4p-29,  -0x1.93932fd84a010p-37,
                               0x1.aac1dc279eb03p-45};
/* 2/pi in pieces of 28 and of 26 bits, the first just below the point. */
static const int32_t TWO_OVER_PI_28[] = {170891318, 240010261, 44024437, 131200308,
                                         232525238, 43358524,  70845471, 240214955};
static const int32_t TWO_OVER_PI_26[] = {42722829, 48555073, 21659401, 56087029, 13858563, 28715353, 38736100, 4324945,
                                         26128250, 62674459, 29957006, 37899730, 58726692, 49193117, 6588223,  35515164,
                                         46442140, 65964067, 24988590, 54822121, 41009306, 54917092, 5137525,  37323603,
                                         15192690, 4585659,  58608142, 52426903, 67074070, 25231090, 63202006, 34237727,
                                         28629499, 15891632, 40752081, 37709470, 25143477, 55737260, 33225084, 24853767,
                                         15195689, 19476134, 50255852, 18845021, 2185228,  50622407};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

/* ---- short words for building ---- */
typedef struct Math {
  Kernel *k;
  DType d, i;      /* the float type, the integer type of its size */
  const Target *t; /* NULL: any */
} Math;

static bool has_scale(Math m) { return m.t && m.t->has_scale; }

static Ex num(Math m, double v) { return ex_float(m.k, m.d, v); }
static Ex whole(Math m, int64_t v) { return ex_int(m.k, m.i, v); }
static Ex add(Math m, Ex a, Ex b) { return ex_op2(m.k, OP_ADD, a, b); }
static Ex sub(Math m, Ex a, Ex b) { return ex_op2(m.k, OP_SUB, a, b); }
static Ex mul(Math m, Ex a, Ex b) { return ex_op2(m.k, OP_MUL, a, b); }
static Ex quo(Math m, Ex a, Ex b) { return ex_op2(m.k, OP_DIV, a, b); }
static Ex fma_(Math m, Ex a, Ex b, Ex c) { return ex_op3(m.k, OP_FMA, a, b, c); }
static Ex neg(Math m, Ex a) { return ex_op1(m.k, OP_NEG, a); }
static Ex abs_(Math m, Ex a) { return ex_op1(m.k, OP_ABS, a); }
static Ex less(Math m, Ex a, Ex b) { return ex_op2(m.k, OP_LESS, a, b); }
static Ex equal(Math m, Ex a, Ex b) { return ex_op2(m.k, OP_EQUAL, a, b); }
static Ex both(Math m, Ex a, Ex b) { return ex_op2(m.k, OP_AND, a, b); }
static Ex choose(Math m, Ex c, Ex a, Ex b) { return ex_op3(m.k, OP_SELECT, c, a, b); }
static Ex at_least(Math m, double v, Ex x) { return ex_op2(m.k, OP_MAXIMUM, num(m, v), x); } /* NaN stays NaN */
static Ex at_most(Math m, double v, Ex x) { return ex_op2(m.k, OP_MINIMUM, num(m, v), x); }
static Ex to_bits(Math m, Ex x) { return ex_bits(m.k, m.i, x); }
static Ex from_bits(Math m, Ex i) { return ex_bits(m.k, m.d, i); }
static Ex shl(Math m, Ex i, int n) { return ex_op2(m.k, OP_SHL, i, whole(m, n)); }
static Ex shr(Math m, Ex i, int n) { return ex_op2(m.k, OP_SHR, i, whole(m, n)); }
static bool wide(Math m) { return m.d == DT_F64; }
static int mantissa(Math m) { return wide(m) ? 52 : 23; }
static int bias(Math m) { return wide(m) ? 1023 : 127; }

static Ex horner(Math m, Ex x, const double *c, int n) {
  Ex r = num(m, c[n - 1]);
  for (int i = n - 2; i >= 0; i--) r = fma_(m, r, x, num(m, c[i]));
  return r;
}
static Ex copysign_(Math m, Ex mag, Ex x) { /* mag >= 0 */
  Ex sign = ex_op2(m.k, OP_AND, to_bits(m, x), whole(m, wide(m) ? INT64_MIN : INT32_MIN));
  return from_bits(m, ex_op2(m.k, OP_OR, to_bits(m, mag), sign));
}

/* What is worked out in f64 of f32 arguments, y may be none: in two halves, one after the other, where all lanes would
 * not be one vector. */
typedef Ex InF64(Math, Ex x, Ex y, bool flag);
static Ex half(Kernel *k, Ex x, int lanes, int which) {
  if (!x || ex_at(k, x)->lanes == 1) return x;
  return ex_op2(k, OP_PERM, x, ex_add(k, ex_lane(k, lanes / 2), ex_idx(k, which * lanes / 2)));
}
static Ex through_f64(Math f, InF64 *fn, Ex x, Ex y, bool flag) {
  Math m = {f.k, DT_F64, DT_I64, f.t};
  int lanes = ex_at(f.k, x)->lanes;
  if (lanes == 1 && y) lanes = ex_at(f.k, y)->lanes;
  int n = f.t && lanes > 2 && lanes > target_lanes(f.t, DT_F64) ? 2 : 1;
  Ex r[2];
  for (int i = 0; i < n; i++) {
    Ex a = n > 1 ? half(f.k, x, lanes, i) : x, b = n > 1 ? half(f.k, y, lanes, i) : y;
    r[i] = ex_convert(f.k, DT_F32, fn(m, ex_convert(f.k, DT_F64, a), b ? ex_convert(f.k, DT_F64, b) : 0, flag));
  }
  return n > 1 ? ex_op3(f.k, OP_PERM2, r[0], r[1], ex_lane(f.k, lanes)) : r[0];
}

/* ---- exp ---- */
static double rounder(Math m) { return wide(m) ? 0x1.8p52 : 0x1.8p23; } /* its unit is 1 */

/* x = n ln 2 + r; n is rounded by adding and taking off a number whose unit is 1. Returns that sum, the lowest bits of
 * which are those of the integer n + plus: an exponent, where plus is the bias. */
static Ex reduce_exp(Math m, Ex x, int plus, Ex *n, Ex *r) {
  double magic = rounder(m) + plus;
  Ex t = fma_(m, x, num(m, wide(m) ? 0x1.71547652b82fep+0 : 0x1.715476p+0), num(m, magic));
  *n = sub(m, t, num(m, magic));
  *r = fma_(m, *n, num(m, wide(m) ? -0x1.62e42fefp-1 : -0x1.62e4p-1), x);
  *r = fma_(m, *n, num(m, wide(m) ? -0x1.473de6af278edp-34 : -0x1.7f7d1cp-20), *r);
  return t;
}
static Ex power_of_two(Math m, Ex t) { return from_bits(m, shl(m, to_bits(m, t), mantissa(m))); }
/* e^r - 1 for small r. */
static Ex expm1_poly(Math m, Ex r) {
  Ex p = wide(m) ? horner(m, r, EXP64, COUNT(EXP64)) : horner(m, r, EXP32, COUNT(EXP32));
  return fma_(m, mul(m, p, r), r, r);
}
static Ex exp_normal(Math m, Ex x) { /* x where e^x is a normal number */
  Ex n, r, t = reduce_exp(m, x, bias(m), &n, &r);
  return mul(m, add(m, expm1_poly(m, r), num(m, 1)), power_of_two(m, t));
}
/* p * 2^n by two factors, of which only the second rounds; the lowest bits of t are those of n + twice the bias. */
static Ex scaled(Math m, Ex p, Ex t) {
  Math u = {m.k, m.d, wide(m) ? DT_U64 : DT_U32, m.t};
  Ex i = to_bits(u, t), a = shl(u, shr(u, i, 1), mantissa(m)), b = sub(u, shl(u, i, mantissa(m)), a);
  return mul(m, mul(m, p, from_bits(m, a)), from_bits(m, b));
}
static Ex exp_neg(Math m, Ex x) { /* of x that is not too large; the result may be denormal */
  Ex n, r;
  x = at_least(m, wide(m) ? -746 : -104, x);
  Ex t = reduce_exp(m, x, 2 * bias(m), &n, &r), p = add(m, expm1_poly(m, r), num(m, 1));
  return has_scale(m) ? ex_op2(m.k, OP_SCALE, p, n) : scaled(m, p, t);
}
static Ex exp_(Math m, Ex x) { return exp_neg(m, at_most(m, wide(m) ? 710 : 89, x)); } /* it may overflow */
/* 2 (2^(n-1) (e^r - 1) + 2^(n-1) - 1/2) */
static Ex expm1_(Math m, Ex x) {
  Ex n, r, c = wide(m) ? at_most(m, 710, at_least(m, -40, x)) : at_most(m, 89, at_least(m, -18, x));
  Ex h = power_of_two(m, reduce_exp(m, c, bias(m) - 1, &n, &r)),
     y = mul(m, fma_(m, h, expm1_poly(m, r), sub(m, h, num(m, 0.5))), num(m, 2));
  return choose(m, less(m, abs_(m, x), num(m, 0x1p-60)), x, y); /* keeps -0 and denormals */
}

/* ---- log ---- */
/* x = 2^e m with sqrt(1/2) <= m < sqrt(2), x normal. */
static void reduce_log(Math m, Ex x, Ex *e, Ex *f) {
  int64_t from = wide(m) ? 0x3fe6a09e667f3bcd : 0x3f3504f3;
  Ex i = to_bits(m, x);
  *e = shr(m, sub(m, i, whole(m, from)), mantissa(m));
  *f = sub(m, from_bits(m, sub(m, i, shl(m, *e, mantissa(m)))), num(m, 1));
}
/* log(1 + f) + e ln 2 + c */
static Ex log_sum(Math m, Ex e, Ex f, Ex c) {
  Ex hi = num(m, wide(m) ? 0x1.62e42fefp-1 : 0x1.62e4p-1),
     lo = num(m, wide(m) ? 0x1.473de6af278edp-34 : 0x1.7f7d1cp-20);
  if (wide(m)) {
    Ex s = quo(m, f, add(m, f, num(m, 2))), z = mul(m, s, s), half = mul(m, mul(m, f, num(m, 0.5)), f);
    Ex r = mul(m, z, horner(m, z, LOG64, COUNT(LOG64))), low = mul(m, e, lo);
    if (c) low = add(m, low, c);
    Ex t = sub(m, half, add(m, mul(m, s, add(m, half, r)), low));
    return sub(m, mul(m, e, hi), sub(m, t, f));
  }
  Ex z = mul(m, f, f), y = mul(m, mul(m, horner(m, f, LOG32, COUNT(LOG32)), f), z);
  y = fma_(m, e, lo, y);
  if (c) y = add(m, y, c);
  y = fma_(m, z, num(m, -0.5), y);
  return fma_(m, e, hi, add(m, f, y));
}
static Ex log_(Math m, Ex x) {
  int up = wide(m) ? 54 : 25;
  Ex tiny = less(m, x, num(m, wide(m) ? 0x1p-1022 : 0x1p-126)), e, f;
  reduce_log(m, choose(m, tiny, mul(m, x, num(m, ldexp(1, up))), x), &e, &f);
  Ex ef = sub(m, ex_convert(m.k, m.d, e), choose(m, tiny, num(m, up), num(m, 0)));
  Ex r = log_sum(m, ef, f, 0), bad = choose(m, equal(m, x, num(m, 0)), num(m, -INFINITY), num(m, NAN));
  return choose(m, less(m, num(m, 0), x), choose(m, equal(m, x, num(m, INFINITY)), x, r), bad);
}
static Ex log1p_(Math m, Ex x) { /* near 0 f is x itself; else 1 + x, with what its rounding lost */
  Ex near = both(m, less(m, num(m, -0.29), x), less(m, x, num(m, 0.41))), u = add(m, x, num(m, 1)), e, f,
     zero = num(m, 0);
  reduce_log(m, u, &e, &f);
  Ex lost = choose(m, less(m, num(m, 1), x), sub(m, num(m, 1), sub(m, u, x)), sub(m, x, sub(m, u, num(m, 1))));
  Ex c = choose(m, near, zero, quo(m, lost, u));
  Ex r = log_sum(m, choose(m, near, zero, ex_convert(m.k, m.d, e)), choose(m, near, x, f), c);
  Ex bad = choose(m, equal(m, x, num(m, -1)), num(m, -INFINITY), num(m, NAN));
  r = choose(m, less(m, num(m, -1), x), choose(m, equal(m, x, num(m, INFINITY)), x, r), bad);
  return choose(m, less(m, abs_(m, x), num(m, 0x1p-60)), x, r);
}

/* ---- tanh, sigmoid, erf ---- */
static Ex tanh_(Math m, Ex x) {
  Ex a = abs_(m, x), r;
  if (wide(m)) {
    Ex t = expm1_(m, mul(m, at_most(m, 22, a), num(m, -2)));
    r = quo(m, neg(m, t), add(m, t, num(m, 2)));
    return copysign_(m, r, x);
  }
  Ex z = mul(m, x, x), small = fma_(m, mul(m, horner(m, z, TANH32, COUNT(TANH32)), z), a, a);
  Ex e = exp_normal(m, mul(m, at_most(m, 10, a), num(m, 2)));
  r = sub(m, num(m, 1), quo(m, num(m, 2), add(m, e, num(m, 1))));
  return copysign_(m, choose(m, less(m, a, num(m, 0.625)), small, r), x);
}
static Ex sigmoid_(Math m, Ex x) {
  Ex t = exp_neg(m, neg(m, abs_(m, x))), one = num(m, 1);
  return quo(m, choose(m, less(m, x, num(m, 0)), t, one), add(m, t, one));
}
/* x c(x), of which the first term is rounded once. */
static Ex product_of(Math m, Ex x, const double *c, int n) {
  return fma_(m, num(m, *c), x, mul(m, mul(m, horner(m, x, c + 1, n - 1), x), x));
}
/* 1 - 2^n - 2^n (2^f - 1) with n + f = log2(erfc(|x|)): good near 0 too, where erfc is near 1. */
static Ex erf_fused(Math m, Ex x) {
  double magic = rounder(m) + bias(m);
  Ex p = product_of(m, at_most(m, 3.95, abs_(m, x)), LOG2ERFC32, COUNT(LOG2ERFC32)), t = add(m, p, num(m, magic));
  Ex f = sub(m, p, sub(m, t, num(m, magic))), s = power_of_two(m, t);
  Ex e = product_of(m, f, EXP2_32, COUNT(EXP2_32));
  return copysign_(m, fma_(m, neg(m, s), e, sub(m, num(m, 1), s)), x);
}
static Ex erf_(Math m, Ex x) {
  if (!wide(m) && m.t && m.t->has_fma) return erf_fused(m, x);
  Ex a = abs_(m, x), z = mul(m, x, x), r, small;
  if (wide(m)) {
    Ex c = at_most(m, 6, a), u = quo(m, sub(m, c, num(m, 2.5)), add(m, c, num(m, 2.5)));
    r = sub(m, num(m, 1), mul(m, exp_normal(m, neg(m, mul(m, c, c))), horner(m, u, ERFC64, COUNT(ERFC64))));
    small = fma_(m, horner(m, z, ERF64, COUNT(ERF64)), x, x);
  } else {
    r = sub(m, num(m, 1), exp_normal(m, horner(m, at_most(m, 3.95, a), LOGERFC32, COUNT(LOGERFC32))));
    small = fma_(m, horner(m, z, ERF32, COUNT(ERF32)), x, x);
  }
  return choose(m, less(m, a, num(m, wide(m) ? 1 : 0.94)), small, copysign_(m, r, x));
}

/* ---- sin, cos ---- */
/* In f64 on every level, without fused operations. Each product of a piece of x and a piece of 2/pi is exact; whole
 * turns are taken off it exactly; the rests are added up with their rounding errors. So every finite x
 * is reduced to its quadrant and a rest right to far below an ulp. */
static Ex sin_cos_wide(Math m, Ex v, bool big, bool cosine) {
  Kernel *k = m.k;
  Ex part[2] = {v, 0}, sum = 0, low = num(m, 0);
  int pieces = big ? COUNT(TWO_OVER_PI_26) : COUNT(TWO_OVER_PI_28), bits = big ? 26 : 28;
  if (big) { /* the upper 27 bits of x, and the rest */
    part[0] = from_bits(m, ex_op2(k, OP_AND, to_bits(m, v), whole(m, (int64_t)0xFFFFFFFFFC000000)));
    part[1] = sub(m, v, part[0]);
  }
  for (int i = 0; i < pieces; i++)
    for (int j = 0; j < 1 + big; j++) {
      bool far = i >= 20; /* pieces that only a large x meets, moved up so that they are no denormals */
      double c = ldexp(big ? TWO_OVER_PI_26[i] : TWO_OVER_PI_28[i], 400 * far - bits * (i + 1) - 2); /* in turns */
      Ex p = mul(m, far ? mul(m, part[j], num(m, 0x1p-400)) : part[j], num(m, c));
      p = sub(m, p, ex_op1(k, OP_ROUND, p));
      if (!sum) {
        sum = p;
        continue;
      }
      Ex s = add(m, sum, p), b = sub(m, s, sum); /* sum + p = s + the error */
      low = add(m, low, add(m, sub(m, sum, sub(m, s, b)), sub(m, p, b)));
      sum = s;
    }
  sum = mul(m, sum, num(m, 4)); /* in quadrants */
  low = mul(m, low, num(m, 4));
  Ex n = ex_op1(k, OP_ROUND, sum), r = add(m, sub(m, sum, n), low);
  Ex again = ex_op1(k, OP_ROUND, r); /* the errors may have carried it over a half */
  n = add(m, n, again);
  r = mul(m, sub(m, r, again), num(m, 0x1.921fb54442d18p+0));
  Ex z = mul(m, r, r);
  Ex s = fma_(m, mul(m, horner(m, z, big ? SIN64 : SIN32, big ? COUNT(SIN64) : COUNT(SIN32)), z), r, r);
  Ex c = fma_(m, mul(m, z, z), horner(m, z, big ? COS64 : COS32, big ? COUNT(COS64) : COUNT(COS32)),
              fma_(m, z, num(m, -0.5), num(m, 1)));
  /* quadrant: n mod 4 from the sum's lowest bits */
  Ex q = to_bits(m, add(m, n, num(m, 0x1.8p52)));
  if (cosine) q = add(m, q, whole(m, 1));
  Ex odd = equal(m, ex_op2(k, OP_AND, q, whole(m, 1)), whole(m, 1));
  Ex y = choose(m, odd, c, s);
  return from_bits(m, ex_op2(k, OP_XOR, to_bits(m, y), shl(m, ex_op2(k, OP_AND, q, whole(m, 2)), 62)));
}
static Ex sin_cos_f32(Math m, Ex v, Ex none, bool cosine) {
  (void)none;
  return sin_cos_wide(m, v, false, cosine);
}
static Ex sin_cos(Math m, Ex x, bool cosine) {
  Ex y = wide(m) ? sin_cos_wide(m, x, true, cosine) : through_f64(m, sin_cos_f32, x, 0, cosine);
  return cosine ? y : choose(m, less(m, abs_(m, x), num(m, wide(m) ? 0x1p-27 : 0x1p-12)), x, y);
}

/* ---- pow ---- */
typedef struct Two {
  Ex hi, lo;
} Two; /* an unevaluated sum */

static Two two_sum(Math m, Ex a, Ex b) {
  Ex s = add(m, a, b), t = sub(m, s, a);
  return (Two){s, add(m, sub(m, a, sub(m, s, t)), sub(m, b, t))};
}
static Two split(Math m, Ex a) {
  Ex c = mul(m, a, num(m, 134217729.0)), hi = sub(m, c, sub(m, c, a));
  return (Two){hi, sub(m, a, hi)};
}
static Two two_product(Math m, Ex a, Ex b) { /* without FMA: v2 has none */
  Two x = split(m, a), y = split(m, b);
  Ex p = mul(m, a, b), e = sub(m, mul(m, x.hi, y.hi), p);
  return (Two){p, add(m, add(m, add(m, e, mul(m, x.hi, y.lo)), mul(m, x.lo, y.hi)), mul(m, x.lo, y.lo))};
}
static Two two_mul(Math m, Two a, Two b) {
  Two p = two_product(m, a.hi, b.hi);
  return (Two){p.hi, add(m, p.lo, add(m, mul(m, a.hi, b.lo), mul(m, a.lo, b.hi)))};
}

/* log of a positive number as a sum of two; f64. What is added to LOG64[0] takes the error of the sum below 2e-21. */
static Two log_two(Math m, Ex x) {
  Ex tiny = less(m, x, num(m, 0x1p-1022)), e, f;
  reduce_log(m, choose(m, tiny, mul(m, x, num(m, 0x1p54)), x), &e, &f);
  e = sub(m, ex_convert(m.k, m.d, e), choose(m, tiny, num(m, 54), num(m, 0)));
  Two d = two_sum(m, f, num(m, 2)), s; /* s = f / (2 + f) */
  s.hi = quo(m, f, d.hi);
  Two back = two_product(m, s.hi, d.hi);
  s.lo = quo(m, sub(m, sub(m, sub(m, f, back.hi), back.lo), mul(m, s.hi, d.lo)), d.hi);
  Two z = two_mul(m, s, s), s3 = two_mul(m, s, z), third = two_mul(m, s3, (Two){num(m, LOG64[0]), num(m, -0x1.68p-56)});
  Ex rest = mul(m, mul(m, mul(m, z.hi, z.hi), s.hi), horner(m, z.hi, LOG64 + 1, COUNT(LOG64) - 1));
  Two sum = two_sum(m, mul(m, s.hi, num(m, 2)), third.hi);
  Ex low = add(m, add(m, sum.lo, mul(m, s.lo, num(m, 2))), add(m, third.lo, rest));
  Two top = two_sum(m, mul(m, e, num(m, 0x1.62e42fefp-1)), sum.hi);
  low = add(m, add(m, top.lo, low), mul(m, e, num(m, 0x1.473de6af278edp-34)));
  return two_sum(m, top.hi, low);
}

/* a^y of f32 numbers in f64, for 0 < a: 2^(y log2(a)), with polynomials as long as f32 needs (relative errors of 2e-10
 * in the power of two, 5e-11 in the logarithm). Nothing here is denormal, also where the result is in f32. */
static Ex pow_f32(Math m, Ex a, Ex y, bool flag) {
  Ex e, f, unit = num(m, rounder(m) + bias(m));
  (void)flag;
  reduce_log(m, a, &e, &f);
  Ex s = quo(m, f, add(m, f, num(m, 2))), z = mul(m, s, s);
  Ex l = mul(m, s, fma_(m, z, horner(m, z, LOG64, 5), num(m, 2)));
  Ex p = mul(m, fma_(m, l, num(m, 0x1.71547652b82fep+0), ex_convert(m.k, m.d, e)), y);
  p = at_most(m, 200, at_least(m, -200, p));
  Ex t = add(m, p, unit), r = mul(m, sub(m, p, sub(m, t, unit)), num(m, 0x1.62e42fefa39efp-1));
  return mul(m, fma_(m, mul(m, horner(m, r, EXP64, 7), r), r, add(m, r, num(m, 1))), power_of_two(m, t));
}
static Ex pow_f64(Math m, Ex a, Ex y) {
  Ex yc = at_most(m, 0x1p70, at_least(m, -0x1p70, y)); /* beyond it every result is 0, 1 or infinite */
  Two l = log_two(m, a), p = two_product(m, l.hi, yc);
  Ex e = exp_(m, p.hi), low = add(m, p.lo, mul(m, l.lo, yc));
  Ex finite = both(m, less(m, e, num(m, INFINITY)), less(m, num(m, 0), e));
  return choose(m, finite, fma_(m, e, low, e), e);
}
static Ex pow_float(Math m, Ex x, Ex y) {
  Kernel *k = m.k;
  Ex a = abs_(m, x), zero = num(m, 0), one = num(m, 1), inf = num(m, INFINITY);
  Ex r = wide(m) ? pow_f64(m, a, y) : through_f64(m, pow_f32, a, y, false);
  Ex edge = ex_op2(k, OP_OR, equal(m, a, zero), equal(m, a, inf)); /* log is infinite */
  r = choose(m, edge, choose(m, ex_op2(k, OP_XOR, equal(m, a, zero), less(m, zero, y)), inf, zero), r);
  r = choose(m, equal(m, a, one), one, r); /* 1^inf */
  Ex half = mul(m, y, num(m, 0.5)), is_whole = equal(m, ex_op1(k, OP_FLOOR, y), y);
  Ex odd = both(m, is_whole, ex_op1(k, OP_NOT, equal(m, ex_op1(k, OP_FLOOR, half), half)));
  Ex minus = less(m, to_bits(m, x), whole(m, 0)); /* -0, too */
  r = choose(m, both(m, minus, odd), neg(m, r), r);
  Ex broken = both(m, both(m, less(m, x, zero), less(m, num(m, -INFINITY), x)), ex_op1(k, OP_NOT, is_whole));
  r = choose(m, broken, num(m, NAN), r);
  r = choose(m, ex_op2(k, OP_OR, ex_op1(k, OP_IS_NAN, x), ex_op1(k, OP_IS_NAN, y)), num(m, NAN), r);
  return choose(m, ex_op2(k, OP_OR, equal(m, y, zero), equal(m, x, one)), one, r);
}

/* Square and multiply over all bits; integers wrap, a negative exponent gives 0. */
static Ex pow_int(Kernel *k, Ex x, Ex y, DType d) {
  Ex one = ex_int(k, d, 1), zero = ex_int(k, d, 0), r = one, b = x;
  int bits = 8 * (int)dtype_size(d) - dtype_is_signed(d);
  for (int i = 0; i < bits; i++) {
    Ex bit = ex_op2(k, OP_AND, ex_op2(k, OP_SHR, y, ex_int(k, d, i)), one);
    r = ex_op3(k, OP_SELECT, ex_op2(k, OP_EQUAL, bit, one), ex_op2(k, OP_MUL, r, b), r);
    if (i + 1 < bits) b = ex_op2(k, OP_MUL, b, b);
  }
  return dtype_is_signed(d) ? ex_op3(k, OP_SELECT, ex_op2(k, OP_LESS, y, zero), zero, r) : r;
}

/* ---- 16-bit floats ---- */
static Ex masked(Math m, Ex i, int64_t bits) { return ex_op2(m.k, OP_AND, i, whole(m, bits)); }
static Ex above(Math m, Ex i, int64_t than) { return ex_op2(m.k, OP_GREATER, i, whole(m, than)); }

/* Half of the last place is added, a little less where the last bit is even; NaN stays NaN. */
static Ex bf16_bits(Math m, Ex x) {
  Ex b = to_bits(m, x), odd = masked(m, shr(m, b, 16), 1), r = add(m, add(m, b, whole(m, 0x7FFF)), odd);
  r = choose(m, ex_op1(m.k, OP_IS_NAN, x), ex_op2(m.k, OP_OR, b, whole(m, 0x400000)), r);
  return ex_op2(m.k, OP_SHR, ex_bits(m.k, DT_U32, r), ex_int(m.k, DT_U32, 16));
}

/* The exponent is moved by the difference of the biases; a denormal is rounded by the addition of a number whose last
 * place is its. */
static Ex f16_bits(Math m, Ex x) {
  const int bias = (127 - 15) << 23, magic = (127 - 15 + 23 - 10 + 1) << 23;
  Ex b = to_bits(m, x), size = masked(m, b, 0x7FFFFFFF), sign = shr(m, ex_op2(m.k, OP_XOR, b, size), 16);
  Ex normal = add(m, add(m, size, whole(m, 0xFFF - bias)), masked(m, shr(m, size, 13), 1));
  Ex denormal = sub(m, to_bits(m, add(m, from_bits(m, size), from_bits(m, whole(m, magic)))), whole(m, magic));
  Ex special = choose(m, above(m, size, 0x7F800000), whole(m, 0x7E00), whole(m, 0x7C00));
  Ex r = choose(m, above(m, size, (127 + 16) << 23), special, shr(m, normal, 13));
  r = choose(m, above(m, size, ((127 - 14) << 23) - 1), r, denormal);
  return ex_op2(m.k, OP_OR, r, sign);
}

/* Exponent and mantissa are moved to their places; a product adds the difference of the biases, which is exact, and
 * makes of denormals what they are. */
static Ex f16_value(Math m, Ex h) {
  Ex i = ex_convert(m.k, m.i, ex_bits(m.k, DT_U16, h)), size = shl(m, masked(m, i, 0x7FFF), 13);
  Ex value = to_bits(m, mul(m, from_bits(m, size), num(m, 0x1p112)));
  Ex special = choose(m, above(m, size, (0x7C00 << 13) - 1), whole(m, 0x7F800000), whole(m, 0));
  Ex sign = shl(m, masked(m, i, 0x8000), 16);
  return from_bits(m, ex_op2(m.k, OP_OR, ex_op2(m.k, OP_OR, value, special), sign));
}

/* 0: an instruction does it, on a GPU all of it (emit/cuda_text.c). */
static Ex convert(Math m, Ex a, DType from, DType to) {
  if (m.t && m.t->threads) return 0;
  bool f16 = m.t && !(m.t->needs & (CPU_F16C | CPU_NEON));
  m.d = DT_F32, m.i = DT_I32;
  if (from == DT_F16 && f16) return ex_convert(m.k, to, f16_value(m, a));
  if (to != DT_BF16 && !(to == DT_F16 && f16)) return 0;
  if (dtype_is_half(from)) return ex_convert(m.k, to, ex_convert(m.k, DT_F32, a)); /* expanded in its turn */
  a = ex_convert(m.k, DT_F32, a);
  return ex_bits(m.k, to, ex_convert(m.k, DT_U16, to == DT_BF16 ? bf16_bits(m, a) : f16_bits(m, a)));
}

/* ---- the rewrite ---- */
static Ex expand(void *ctx, Kernel *k, Ex e) {
  const Target *t = ctx;
  Expr x = *ex_at(k, e);
  Op op = (Op)x.op;
  if (OP_INFO[op].cls != CLASS_UNARY && op != OP_POW && op != OP_SCALE && op != OP_EXP_NEG && op != OP_CONVERT)
    return 0;
  Ex a = k->arg.at[x.in];
  DType d = (DType)ex_at(k, a)->dtype;
  Math m = {k, d, d == DT_F64 ? DT_I64 : DT_I32, t};
  if (op == OP_CONVERT) return convert(m, a, d, (DType)x.dtype);
  if (op == OP_SCALE)
    return has_scale(m) ? 0 : scaled(m, a, add(m, k->arg.at[x.in + 1], num(m, rounder(m) + 2 * bias(m))));
  if (op == OP_POW) {
    Ex b = k->arg.at[x.in + 1];
    return dtype_is_float(d) ? pow_float(m, a, b) : pow_int(k, a, b, d);
  }
  if (op == OP_SIGN) {
    bool fl = dtype_is_float(d);
    Ex zero = ex_int(k, d, 0), one = ex_int(k, d, 1), up = ex_op2(k, OP_GREATER, a, zero);
    if (!fl && !dtype_is_signed(d)) return choose(m, up, one, zero);
    Ex r = choose(m, less(m, a, zero), ex_int(k, d, -1), zero);
    if (fl) r = choose(m, ex_op1(k, OP_IS_NAN, a), a, r);
    return choose(m, up, one, r);
  }
  if (d != DT_F32 && d != DT_F64) return 0;
  switch (op) {
  case OP_EXP: return exp_(m, a);
  case OP_EXP_NEG: return exp_neg(m, a);
  case OP_EXPM1: return expm1_(m, a);
  case OP_LOG: return log_(m, a);
  case OP_LOG1P: return log1p_(m, a);
  case OP_RSQRT: return quo(m, num(m, 1), ex_op1(k, OP_SQRT, a));
  case OP_SIN: return sin_cos(m, a, false);
  case OP_COS: return sin_cos(m, a, true);
  case OP_TANH: return tanh_(m, a);
  case OP_SIGMOID: return sigmoid_(m, a);
  case OP_ERF: return erf_(m, a);
  case OP_IS_INF: return equal(m, abs_(m, a), num(m, INFINITY));
  case OP_IS_FINITE: return less(m, abs_(m, a), num(m, INFINITY));
  default: return 0;
  }
}

Ex expand_math(Kernel *k, Ex e, const Target *t) {
  return e ? ex_rewrite(k, e, expand, (void *)(uintptr_t)t) : 0; /* which only reads it */
}

static void expand_block(Kernel *k, Stmt *s, const Target *t) {
  for (; s; s = s->next) {
    for (int i = 0; i < s->nindex; i++) s->index[i] = expand_math(k, s->index[i], t);
    s->value = expand_math(k, s->value, t);
    s->mask = expand_math(k, s->mask, t);
    s->lo = expand_math(k, s->lo, t);
    s->hi = expand_math(k, s->hi, t);
    if (s->kind == STMT_LET) k->vars.at[s->ref].value = s->value;
    expand_block(k, s->body, t);
    expand_block(k, s->other, t);
  }
}

void expand_math_kernel(Kernel *k, const Target *t) {
  for (uint32_t i = 0; i < k->stages.n; i++) {
    expand_block(k, k->stages.at[i]->body, t);
    LoopHole *hole[LOOP_HOLES];
    for (int n = loop_holes(k->stages.at[i], hole); n--;) {
      expand_block(k, hole[n]->text, t);
      hole[n]->value = expand_math(k, hole[n]->value, t);
    }
  }
}

void expand_math_module(const LoopModule *m, const Target *t) {
  for (uint32_t i = 0; i < m->kernels.n; i++) expand_math_kernel(m->kernels.at[i], t);
}
