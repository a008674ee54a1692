/* Between simplify.c (patterns, the driver) and simplify_move.c (rules written in C). */
#ifndef SINTER_PASS_SIMPLIFY_STEP_H
#define SINTER_PASS_SIMPLIFY_STEP_H
#include "simplify.h"

/* What v can be replaced by, or 0. New nodes are made at g->loc with g->copy. `single`: no other node uses the
 * operands. */
typedef Id SimplifyStep(Graph *g, Id v, bool single);

#define RULE(...)
#define STEP(name, mode, op) SimplifyStep step_##name;
#include "simplify.rules"
#undef RULE
#undef STEP
#endif
