/* From a program to what one CPU level runs: kernels by the strategies, a plan an entry (order, memory, barriers,
 * commits), and the parameters that `prepare` packs. Offsets are Syms: the arena's size is the workspace formula of the
 * header. emit/ writes these structures into the artefact. */
#ifndef SINTER_PLAN_PLAN_H
#define SINTER_PLAN_PLAN_H
#include "lower.h"

/* Where a buffer of a plan lies; the numbers of SINTER_BUF_* in runtime/abi.h. */
typedef enum { BIND_INPUT, BIND_OUTPUT, BIND_CELL, BIND_DERIVED, BIND_CONST, BIND_ARENA, BIND_RANDOM } BindKind;
typedef struct PlanBind {
  BindKind kind;
  int index; /* port, cell, derived of this level, constant; ARENA: -1 (offset: LoopBuf.at) */
} PlanBind;

typedef struct EntryPlan {
  Plan *plan;           /* in the level's module; its name is the entry's */
  Vec(PlanBind) binds;  /* for each of plan->bufs */
  Sym arena;            /* bytes */
  Sym lower_bound;      /* bytes: most that is alive at once, for the printed ratio */
  bool random;          /* a kernel of it draws random numbers */
  Groups *groups;       /* for explain; group k is launched by kernels named from it */
  Vec(Lowered) kernels; /* for each group */
} EntryPlan;

typedef struct Derived {   /* a packed form of a parameter, made by its own plan */
  const char *name, *kind; /* "net.weight", "panels(32)" */
  int cell;
  uint64_t bytes;
  EntryPlan plan; /* binds: the cell and this derived buffer */
} Derived;

typedef struct PlanConst {
  const void *data;
  uint64_t bytes;
} PlanConst;

typedef struct Unit { /* what all levels share */
  const Program *program;
  const Entry *init; /* hidden entry that sets cells to their start values (its updates); NULL: there is none */
  FailPlaces places; /* code of `fail` - 1 */
  bool tf32;         /* products of f32 may round their operands to tf32, where that is fast */
  Vec(PlanConst) consts;
} Unit;

typedef struct LevelUnit {
  const Target *target;
  LoopModule *module;
  EntryPlan *entries; /* for each entry of the program */
  EntryPlan init;     /* sets the cells with start values; plan NULL if there are none */
  Vec(Derived) derived;
} LevelUnit;

/* Lowers every entry (graphs already simplified) for one level. False after diag_error. */
bool plan_level(Unit *, const Target *, LevelUnit *out);
/* The hidden entry for Unit.init: one graph that computes all start values, an update a cell. NULL if no cell has one.
 */
const Entry *plan_init_entry(const Program *);

/* ---- plan_size.c ---- */
/* Bytes from one index of axis k to the next, k = -1: of the whole buffer. A panel's axis is padded to its width. */
Sym plan_axis_bytes(SymTab *, const LoopBuf *, int k);
/* What the kernel of group k computes and moves in one call, all its launches. */
typedef struct PlanCost {
  Sym flops, bytes;
} PlanCost;
PlanCost plan_group_cost(SymTab *, const EntryPlan *, uint32_t k);
/* A SymLookup over a Plan: each dimension as dim_typical says. */
bool plan_typical(void *plan, const char *name, int64_t *value);
#endif
