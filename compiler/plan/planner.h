/* What the files of this folder share while one entry is planned: plan.c writes buffers and steps, plan_memory.c gives
 * the buffers of the arena their places, plan_barrier.c puts barriers between the steps. */
#ifndef SINTER_PLAN_PLANNER_H
#define SINTER_PLAN_PLANNER_H
#include "plan.h"

typedef struct Life { /* of a buffer of the arena */
  int from, to;       /* positions of the launch that makes it and of its last reader */
  int slot;           /* -1: not in the arena */
  Sym at, end;        /* where in its slot */
} Life;

typedef struct Planner {
  Unit *unit;
  LevelUnit *level;
  EntryPlan *out;
  Arena *arena;
  SymTab *syms;
  const Graph *g;
  const Entry *e;
  const SymFacts *facts;
  Plan *plan;
  Step **tail;
  int *home;        /* node -> the buffer of the plan that holds it, -1: none yet */
  int *last_use;    /* node -> last launch position that reads it */
  uint8_t *updated; /* node -> a CELL (or the input of an inout) that this entry writes */
  Vec(Life) life;   /* of each buffer of the plan */
  bool failed;      /* after a diag_error */
} Planner;

bool planner_at_most(const Planner *, Sym a, Sym b); /* a <= b at all dimensions; false: not known */
static inline bool planner_is_one(SymTab *t, Sym s) {
  int64_t k;
  return sym_is_int(t, s, &k) && k == 1;
}

/* Places of the arena's buffers, its size and the lower bound. All lives are known. */
void plan_memory(Planner *);
/* Marks the steps that a failure must skip, then puts barriers where steps meet in memory. Places are known. */
void plan_barriers(Planner *);
/* Kernels of the level from number first_kernel on that are the same as an earlier one are dropped; the plans from
 * number first_plan on and the entry launch that one. */
void plan_share(Planner *, uint32_t first_kernel, uint32_t first_plan);
#endif
