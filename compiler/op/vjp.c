#include "vjp.h"
#include <math.h>

#define IN(k)      (graph_in(g, y)[k])
#define RULE(name) bool vjp_##name(Graph *g, Id y, const Id *ct, const bool *want, Id *out)

static Id num(Graph *g, Id like, double x) { return g_const(g, graph_dtype(g, like), x); }
static Id add(Graph *g, Id a, Id b) { return g_binary(g, OP_ADD, a, b); }
static Id sub(Graph *g, Id a, Id b) { return g_binary(g, OP_SUB, a, b); }
static Id mul(Graph *g, Id a, Id b) { return g_binary(g, OP_MUL, a, b); }
static Id div_(Graph *g, Id a, Id b) { return g_binary(g, OP_DIV, a, b); }
static Id neg(Graph *g, Id a) { return g_unary(g, OP_NEG, a); }

RULE(none) {
  (void)g, (void)y, (void)ct, (void)want, (void)out;
  return true;
}
RULE(stop) { return vjp_none(g, y, ct, want, out); }

/* ---- one operand: out = ct times a factor ---- */
#define UNARY(name, expr)                                                                                              \
  RULE(name) {                                                                                                         \
    (void)want;                                                                                                        \
    Id x = IN(0), c = ct[0];                                                                                           \
    (void)x;                                                                                                           \
    out[0] = (expr);                                                                                                   \
    return out[0] != 0;                                                                                                \
  }
UNARY(neg, neg(g, c))
UNARY(abs, mul(g, c, g_unary(g, OP_SIGN, x)))
UNARY(exp, mul(g, c, y))
UNARY(expm1, mul(g, c, add(g, y, num(g, y, 1))))
UNARY(log, div_(g, c, x))
UNARY(log1p, div_(g, c, add(g, x, num(g, x, 1))))
UNARY(sqrt, div_(g, c, mul(g, y, num(g, y, 2))))
UNARY(rsqrt, mul(g, c, mul(g, mul(g, y, mul(g, y, y)), num(g, y, -0.5))))
UNARY(sin, mul(g, c, g_unary(g, OP_COS, x)))
UNARY(cos, mul(g, c, neg(g, g_unary(g, OP_SIN, x))))
UNARY(tanh, mul(g, c, sub(g, num(g, y, 1), mul(g, y, y))))
UNARY(sigmoid, mul(g, c, mul(g, y, sub(g, num(g, y, 1), y))))
UNARY(erf, mul(g, c, mul(g, g_unary(g, OP_EXP, neg(g, mul(g, x, x))), num(g, x, 2 / sqrt(acos(-1))))))
UNARY(leaf, c)
UNARY(convert, g_convert(g, graph_dtype(g, x), c)) /* only a float operand is ever wanted */

/* ---- two operands ---- */
#define BINARY(name, left, right)                                                                                      \
  RULE(name) {                                                                                                         \
    Id p = IN(0), q = IN(1), c = ct[0];                                                                                \
    (void)p, (void)q;                                                                                                  \
    if (want[0]) out[0] = (left);                                                                                      \
    if (want[1]) out[1] = (right);                                                                                     \
    return true;                                                                                                       \
  }
BINARY(add, c, c)
BINARY(sub, c, neg(g, c))
BINARY(mul, mul(g, c, q), mul(g, c, p))
BINARY(div, div_(g, c, q), neg(g, div_(g, mul(g, c, y), q)))
BINARY(rem, c, neg(g, mul(g, c, g_unary(g, OP_TRUNC, div_(g, p, q)))))

/* By x: p x^(p-1), 0 where p is 0. By p: y ln x, 0 where x <= 0 (the logarithm does not see those x). */
RULE(pow) {
  Id x = IN(0), p = IN(1), c = ct[0];
  double k;
  if (want[0]) {
    if (graph_constant(g, p, &k)) {
      Id slope = k == 1   ? 0
                 : k == 2 ? mul(g, x, num(g, x, 2))
                          : mul(g, g_binary(g, OP_POW, x, num(g, x, k - 1)), num(g, x, k));
      if (k != 0) out[0] = k == 1 ? c : mul(g, c, slope);
    } else {
      Id slope = mul(g, p, g_binary(g, OP_POW, x, sub(g, p, num(g, p, 1))));
      out[0] = g_select(g, g_binary(g, OP_EQUAL, p, num(g, p, 0)), num(g, p, 0), mul(g, c, slope));
    }
  }
  if (want[1]) {
    Id positive = g_binary(g, OP_GREATER, x, num(g, x, 0));
    Id log = g_unary(g, OP_LOG, g_select(g, positive, x, num(g, x, 1)));
    out[1] = g_select(g, positive, mul(g, c, mul(g, y, log)), num(g, x, 0));
  }
  return true;
}

static Id share(Graph *g, Op wins, Id a, Id b) { /* 1 to the winner, a half to each of two equals */
  Id tie = g_select(g, g_binary(g, OP_EQUAL, a, b), num(g, a, 0.5), num(g, a, 0));
  return g_select(g, g_binary(g, wins, a, b), num(g, a, 1), tie);
}

RULE(extreme) {
  Id p = IN(0), q = IN(1);
  Op wins = graph_op(g, y) == OP_MAXIMUM ? OP_GREATER : OP_LESS;
  if (want[0]) out[0] = mul(g, ct[0], share(g, wins, p, q));
  if (want[1]) out[1] = mul(g, ct[0], share(g, wins, q, p));
  return true;
}

RULE(select) {
  Id c = IN(0), zero = num(g, y, 0);
  if (want[1]) out[1] = g_select(g, c, ct[0], zero);
  if (want[2]) out[2] = g_select(g, c, zero, ct[0]);
  return true;
}
