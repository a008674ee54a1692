/* What the files of this folder share while one entry is planned: plan.c writes buffers and steps, plan_memory.c gives
 * the buffers of the arena their places, plan_barrier.c puts barriers between the steps. */
#ifndef SINTER_PLAN_PLANNER_H
#define SINTER_PLAN_PLANNER_H
#include "plan.h"

enum { SAMPLES = 3, OFFSET_SUMS = 4 };
typedef struct Sum { /* of bytes, and its values at sample dimensions: what is not at most there is not at most */
  Sym sum;
  int64_t sample[SAMPLES];
} Sum;

typedef struct Offset { /* in a part of the arena: the largest of these, none known to be at most another */
  int n;
  Sum at[OFFSET_SUMS];
} Offset;

typedef struct Life { /* of a buffer of the arena */
  int from, to;       /* positions of the launch that makes it and of its last reader */
  int part;           /* of the arena; -1: not in it */
  Offset at, end;     /* there: at and next are multiples of 64 bytes */
  Offset next;        /* where another may begin */
} Life;

typedef Vec(uint8_t) Answers;

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
  int position;       /* of the launches being written: their group's number; of copies: behind all groups */
  Vec(int) positions; /* of each step */
  int *home;          /* node -> the buffer of the plan that holds it, -1: none yet */
  int *last_use;      /* node -> last launch position that reads it */
  uint8_t *updated;   /* node -> a CELL (or the input of an inout) that this entry writes */
  Vec(Life) life;     /* of each buffer of the plan */
  Answers *known;     /* Sym -> what planner_at_most found out of a difference: trials ask the same again and again */
  bool failed;        /* after a diag_error */
} Planner;

bool planner_at_most(const Planner *, Sym a, Sym b); /* a <= b at all dimensions; false: not known */
static inline bool planner_is_one(SymTab *t, Sym s) {
  int64_t k;
  return sym_is_int(t, s, &k) && k == 1;
}

bool planner_apart(const Planner *, const Life *, const Life *); /* known to share no byte of the arena */
/* Places of the arena's buffers, its size and the lower bound. All lives are known. */
void plan_memory(Planner *);
/* Numbers the phases, as far as barriers stand whatever the places will be: those of the first and of the last step at
 * each position. Arrays of groups + 1. */
void plan_phases(Planner *, int *first, int *last);
/* Marks the steps that a failure must skip: a launch that reads what only a commit has stored is skipped with it, for
 * after a failure nothing would be there. */
void plan_commits(Planner *);
/* Brings steps together that may run at once (Step.batch), for a GPU. Places and commits are known. */
void plan_batches(Planner *);
/* Puts barriers where steps meet in memory. Places and commits are known. */
void plan_barriers(Planner *);
/* Which views of a launch or copy are read and written: arrays of its views. */
void planner_step_uses(const Planner *, const Step *, bool **read, bool **write);
/* Whether two buffers may share memory: places of one part of the arena that are not known to be apart, or one binding.
 */
bool planner_share_memory(const Planner *, int a, int b);
/* Kernels of the level from number first_kernel on that are the same as an earlier one are dropped; the plans from
 * number first_plan on and the entry launch that one. */
void plan_share(Planner *, uint32_t first_kernel, uint32_t first_plan);
#endif
