/* One element: the meaning of every element-wise op of ops.def, exactly as its `defined` column says. Both reference
 * interpreters (graph and loop) and constant folding take it from here. A float is held as a double (an f32 is a double
 * that is exactly a float), an integer as its value in 64 bits (u64: its bits), a bool as 0 or 1. f32 is rounded after
 * each basic operation, which is what single precision gives; exp, tanh, ... are computed in double and rounded once;
 * f16 and bf16 are what f32 gives, rounded to them; integers wrap to their width. No state, no errors. */
#ifndef SINTER_GRAPH_SCALAR_H
#define SINTER_GRAPH_SCALAR_H
#include "op.h"

typedef union Scalar {
  double f;
  int64_t i;
} Scalar;

/* Applies op to n elements. `d` is the type of the operands (SELECT: of the second and third); comparisons and
 * predicates give bool. in[k] moves by step[k] from element to element: 0 for a scalar that meets all. `out` may be an
 * operand whose step is 1. Also FMA, SCALE, FLOOR_DIV, FLOOR_MOD (by 0: 0) and MULHI of the LOOP rows. False if op is
 * no such op of the type: nothing is done then (CONVERT: scalar_convert, BITS: scalar_bits). */
bool scalar_map(Op, DType d, int64_t n, const Scalar *const *in, const int *step, Scalar *out);
bool eval_scalar(Op, DType d, const Scalar *in, Scalar *out); /* one element */

/* Float to integer truncates and saturates, NaN is 0; to bool: x != 0. */
Scalar scalar_convert(DType from, DType to, Scalar);
Scalar scalar_bits(DType from, DType to, Scalar); /* the same bits as another type of that size */
Scalar scalar_of(DType, double value);            /* a number as an element of the type: converted from f64 */
Scalar scalar_fit(DType, Scalar);                 /* floats rounded (ties to even), integers wrapped to the type */
double scalar_round(DType, double); /* to the nearest of a float type, ties to even; 16 bits: of the nearest f32 */
double scalar_beside(DType, double, bool up); /* the next number of a float type, up or down; 0 stays */
int64_t scalar_wrap(DType, int64_t);          /* to the width of an integer type; bool: its lowest bit */
bool scalar_same(DType, Scalar, Scalar);      /* equal bits, all NaNs being one */

Scalar scalar_load(DType, const void *); /* from memory as models and kernels lay it out */
void scalar_store(DType, Scalar, void *);
#endif
