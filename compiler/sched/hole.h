/* Functions beside a stage (LoopHole), by which a kernel written by hand can stand for it: statements and a value over
 * indices that are given to it, built like the stage itself. */
#ifndef SINTER_SCHED_HOLE_H
#define SINTER_SCHED_HOLE_H
#include "lower.h"

enum { HOLE_RUN = 8 }; /* neighbours of an operand of 16 bits that are loaded at once */

/* Begins a function of so many indices, each below its extent; the last goes in steps of `run`. */
void hole_begin(Lower *, LoopHole *, int n, const Sym *extent, int64_t run, Ex *var);
/* Number n of the values that the function is given besides; to be asked for in order, before other statements. */
Ex hole_given(Lower *, LoopHole *, int n, const char *name, DType, int lanes);
void hole_end(Lower *, LoopHole *, Ex value); /* 0: it only stores */
int hole_width(const Lower *);                /* how many neighbours of a result are stored at once */
#endif
