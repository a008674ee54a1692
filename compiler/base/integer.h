/* Integer arithmetic that C lacks: division rounded to -inf, as in Sym, SIR and the Loop IR, and the greatest common
 * divisor. The divisor is not 0, nor -1 with the least integer. */
#ifndef SINTER_BASE_INTEGER_H
#define SINTER_BASE_INTEGER_H
#include <stdint.h>

static inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
static inline int64_t floor_mod(int64_t a, int64_t b) { return a - floor_div(a, b) * b; }

static inline int64_t gcd(int64_t a, int64_t b) { /* of two numbers below 2^63 in size */
  while (b) {
    int64_t r = b == -1 ? 0 : a % b;
    a = b;
    b = r;
  }
  return a < 0 ? -a : a;
}
#endif
