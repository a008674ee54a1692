/* How many vectors a stage keeps alive: the one estimate by which strategies choose how much to hold in registers and
 * emitters which constants. It follows the order in which values are worked out (loop_order), statement by statement,
 * and counts at each place the values that are still to be used: registers of the Loop IR, lets, parts of expressions,
 * and what a loop reads that does not change in it. Addresses and literals are not counted. */
#ifndef SINTER_LOOP_LOOP_PRESSURE_H
#define SINTER_LOOP_LOOP_PRESSURE_H
#include "loop.h"

typedef struct LoopLiteral { /* a literal met by vectors */
  Ex value;
  int uses;    /* in the text of the stage, an unrolled loop counted as often as it turns */
  bool known;  /* some use is in a high half of a product: emitters make better code of a number they know */
  bool anchor; /* some use does not change in a loop but for being kept there (see `anchored`) */
} LoopLiteral;

typedef struct LoopPressure {
  int vectors;               /* most that are alive at once */
  Vec(LoopLiteral) literals; /* by uses, most first; equal ones in the order they are met */
} LoopPressure;

/* How many registers an expression takes while it is worked out, as for a tree (Sethi and Ullman). `memo` holds one
 * byte an expression of the kernel, all 0 at first. */
int loop_need(const Kernel *, uint8_t *memo, Ex);
/* The order in which the first three operands of an expression are worked out: what needs most registers first, for the
 * rest then waits in fewer. Returns how many there are. */
int loop_order(const Kernel *, uint8_t *memo, const Expr *, int order[3]);

/* Of a stage, with its formulas in basic operations. `vector_bytes` is the size of a register; `masks`: results of
 * comparisons have registers of their own. What does not change in a loop is taken to be worked out before it; with
 * `anchored` not if a literal is in it. */
LoopPressure loop_pressure(const Kernel *, const Stage *, int vector_bytes, bool masks, bool anchored, Arena *);
/* Where more are alive than so many registers hold: lets become part of what uses them, if that makes it fewer. */
void loop_sink(Kernel *, Stage *, int vector_bytes, bool masks, int registers);
#endif
