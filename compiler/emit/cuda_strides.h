/* Where the elements of an operand or of a result lie: so many elements further in a buffer for each step along an
 * axis. What a tensor map can be made of. */
#ifndef SINTER_EMIT_CUDA_STRIDES_H
#define SINTER_EMIT_CUDA_STRIDES_H
#include "loop.h"

typedef struct AxisList { /* which axes: groups behind each other */
  int n;
  uint32_t var[3 * LOOP_RANK];
} AxisList;

typedef struct Strides {
  uint32_t buf;
  Sym at;                  /* the first one, in elements from the start of the buffer */
  Sym step[3 * LOOP_RANK]; /* by axis */
  int unit[3 * LOOP_RANK]; /* a number known to divide the step: 1, 2, 4 or 8 (0 is divided by 8) */
  int at_unit;
} Strides;

typedef struct Run { /* axes that are as one: each goes on where the next one ends */
  Sym step, extent;
  Sym behind; /* numbers of the axes inside it */
  int unit;
} Run;
typedef struct Runs {
  int n;
  Run run[LOOP_RANK]; /* the last one innermost */
} Runs;

void strides_axes(AxisList *, const LoopAxes *);                                       /* appends a group */
bool strides_of(Kernel *, uint32_t buf, const Ex *index, const AxisList *, Strides *); /* false: it is not so */
/* A group of axes, of which the first one is number `first` of the strides, in runs: where in all of them an axis goes
 * on as the one before it ends. Axes of one turn are left out. */
void strides_runs(const Kernel *, const Strides *const *, int n, const LoopAxes *, int first, Runs *);
#endif
