/* The vector maths: exp, expm1, log, log1p, tanh, sigmoid, erf, sin, cos, pow, rsqrt, sign, is_inf and is_finite as
 * Loop IR, for any number of lanes, without a branch, a table in memory or a call, for one level or, without a Target,
 * for all of them; the bits are the same. Infinities, NaN, denormals and the sign of zero come out as C's functions
 * give them. Scale becomes two products on levels that have no such instruction, the conversion to bf16 and, without
 * F16C, those to and from f16 become operations on bits.
 *
 * Bounds in ulp, on levels with FMA and on v2: f32 exp, expm1, log, log1p, tanh, erf, sin, cos, pow 2; sigmoid 3.
 * f64: all 4. tests/unit/test_vecmath.c holds them to it; `test_vecmath --exhaustive` walks all f32 arguments. Found
 * that way (2026-11-25, worst of all 2^32, with FMA / v2): exp 1.02 / 0.99, log 0.83 / 0.82, tanh 1.33 / 1.33, erf 1.17
 * / 1.17, expm1 1.48 / 1.58.
 */
#ifndef SINTER_SCHED_EXPAND_MATH_H
#define SINTER_SCHED_EXPAND_MATH_H
#include "loop.h"
#include "target.h"

Ex expand_math(Kernel *, Ex, const Target *);                /* one expression, with all it is made of */
void expand_math_kernel(Kernel *, const Target *);           /* all statements */
void expand_math_module(const LoopModule *, const Target *); /* all kernels; nothing is left if it was done before */
#endif
