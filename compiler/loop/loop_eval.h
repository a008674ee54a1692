/* Private to the interpreter: a stage made ready to run (loop_eval.c), what runs it over memory and through plans
 * (loop_run.c), and the blocks of threads between them (loop_block.c). */
#ifndef SINTER_LOOP_LOOP_EVAL_H
#define SINTER_LOOP_LOOP_EVAL_H
#include "loop_mem.h"
#include "scalar.h"

/* Where an operand lies in the frame: lane i at `at + i * step`. */
typedef struct Slot {
  uint32_t at, step;
} Slot;

/* An expression to compute, with its operands found. */
typedef struct Code {
  const Expr *x;
  DType d; /* of the last operand */
  uint32_t to;
  Slot *in; /* all operands */
  Slot mask, other;
} Code;

/* A statement with the expressions to compute before it acts, operands first. */
typedef struct Act Act;
struct Act {
  const Stmt *s;
  Act *next, *body, *other;
  const Code *code;
  int n, lanes; /* lanes: of the indices */
  bool waits;   /* it, or a statement in it, acts for a whole block or warp */
  Slot *index, mask, value;
};

typedef struct Prog {
  const Kernel *k;
  const Stage *stage;
  Act *body;
  uint32_t *at;   /* of an expression: its first slot in the frame; 0: not used */
  uint32_t *var;  /* of a variable */
  uint32_t *reg;  /* of a register: its first element */
  uint32_t *flag; /* of a register: its first flag */
  uint32_t slots, flags;
  bool *uses; /* buffers */
} Prog;

typedef struct Task { /* or one thread of a block */
  const LoopModule *m;
  LoopRun *out;
  const Prog *p;
  Scalar *v;                  /* frame */
  uint8_t *set;               /* registers that have a value */
  Mem *mem;                   /* by buffer */
  const uint8_t *mask, *soft; /* by lane; NULL: all active, none soft */
  const Stmt *stmt;
  Accessor who;
  int64_t index;    /* of the task */
  int tid, threads; /* of a block: which and how many; 0 and 0 without threads */
  bool fused;       /* the level has multiply-adds that round once */
} Task;

#define TASK_FAULT(t, ...) loop_fault((t)->m, (t)->p->k, (t)->p->stage, (t)->stmt, "loop-run", __VA_ARGS__)

Prog *eval_compile(Arena *, const Kernel *, const Stage *);
/* A frame for one task: literals, lane numbers and dimensions are written into it once. Freed by eval_free. */
void eval_frame(Task *, const int64_t *dims);
void eval_free(Task *);
/* These return false after diag_error. */
bool eval_operands(Task *, const Act *); /* its expressions */
bool eval_act(Task *, const Act *);      /* expressions and the statement, with the blocks in it */
bool eval_block(Task *, const Act *);    /* this statement and those after it */
/* The turns of a loop that is no vector loop, from the bounds just computed: first, end and step. */
void eval_turns(const Task *, const Stmt *, int64_t *i, int64_t *end, int64_t *step);
/* Halves folded on each other until one is left; n is a power of two, LOOP_LANES at most. */
Scalar eval_fold(Op, DType, const Scalar *, int n);

/* The threads of a block, made once for a launch of `task`'s stage; `random` is the state of random_next, `next` the
 * number of the next actor. A run starts every thread with a copy of the task's frame. */
typedef struct Block Block;
Block *block_new(const Task *task, uint64_t *random, uint32_t *next);
bool block_run(Block *, const Task *task); /* false after diag_error */
void block_free(Block *);

static inline uint64_t random_next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

/* A shuffled 0 .. n-1. */
static inline void random_order(uint64_t *state, uint32_t *order, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    int64_t j = (int64_t)(random_next(state) % (uint64_t)(i + 1));
    order[i] = order[j];
    order[j] = (uint32_t)i;
  }
}
#endif
