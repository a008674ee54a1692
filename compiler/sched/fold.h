/* How a reduction starts, steps, and folds its lanes; shared by the strategies that reduce. */
#ifndef SINTER_SCHED_FOLD_H
#define SINTER_SCHED_FOLD_H
#include "lower.h"

Ex fold_start(Lower *, Op reduce, DType);
Op fold_step(Op reduce);  /* the binary op */
Op fold_lanes(Op reduce); /* HADD, HMAX, HMIN */
DType fold_dtype(DType);  /* of the accumulator: bools fold as i32 */
/* argmax and argmin: v's operand at `index` with axis `axis` running; the result as i64. Opens and closes a loop. A
 * team (Lower.team) shares it. */
Ex fold_arg(Lower *, Id v, const Ex *index, int axis);
#endif
