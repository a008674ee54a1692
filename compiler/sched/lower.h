/* From groups to Loop IR. Each strategy builds one kernel of one group for one level; `pull` works out the value of any
 * node at an index, through free nodes and members of the group, down to loads of what is stored. The naive nest of a
 * group and its tuned form come from the same pull. */
#ifndef SINTER_SCHED_LOWER_H
#define SINTER_SCHED_LOWER_H
#include "group.h"
#include "loop.h"
#include "target.h"

typedef enum {
  ARG_NODE,    /* the memory of a stored node, perhaps seen with another shape */
  ARG_RANDOM,  /* u32[4]: seed, call number */
  ARG_SCRATCH, /* memory of this kernel alone, from one stage to the next */
  ARG_PACKED   /* panels of a parameter made by `prepare` */
} ArgKind;

typedef struct LowArg { /* what a parameter of the kernel stands for, in its order */
  ArgKind kind;
  Id node; /* NODE, PACKED */
  bool out;
  const char *layout; /* PACKED: how it is packed: equal layouts of one parameter are one derived buffer */
} LowArg;

typedef struct LowStage {
  int stage; /* in the kernel */
  Sym work;  /* rough nanoseconds of all its tasks on one thread */
  Sym flops; /* operations of all its tasks, for reports; 0: it only moves data */
  bool serial;
  bool combines;      /* what the stage before has left in parts */
  bool prepares;      /* packs a parameter: belongs into `prepare` where the parameter is not updated */
  bool copies;        /* copies the old value of a dynamic update: left out where it is done in place */
  const Step *launch; /* of the entry's plan, set by the planner; NULL: left out, or in `prepare` */
} LowStage;

typedef struct Lowered {
  int kernel; /* in the module */
  Vec(LowArg) args;
  Vec(LowStage) stages; /* in order */
  const char *schedule; /* "gemm(MR = 6, NV = 2, ...)", for explain */
  const char *tiles;    /* the register tiles among which the strategy chose, and by what; may be NULL */
} Lowered;

typedef struct FailPlace { /* code - 1 indexes these */
  Loc loc;
  Op op;
} FailPlace;

typedef Vec(FailPlace) FailPlaces;

typedef struct Lowering { /* what the groups of one entry share */
  Ctx *ctx;
  LoopModule *module;
  const Target *target;
  const Groups *groups;
  const SymFacts *facts;
  const uint8_t *updated; /* node -> it is a CELL that this entry writes; may be NULL */
  FailPlaces *places;
  bool tf32; /* products may do with operands of 10 bits of mantissa */
  const Dim *dims;
  uint32_t ndims;
} Lowering;

/* Makes the kernel of group number `group`; the name of the kernel begins with `name`. */
bool lower_group(Lowering *, int group, const char *name, Lowered *out);

/* ---- for the strategies ---- */
typedef struct Memo {
  Id v;
  int n;
  Ex index[MAX_RANK];
  Ex value;
} Memo;

typedef struct Team { /* the threads of a block that share a row */
  LoopScope scope;
  Ex number; /* of the thread in it */
  int64_t threads;
} Team;

typedef struct Lower {
  Lowering *all;
  const Graph *g;
  const Group *grp;
  int number;
  Kernel *k;
  Lowered *out;
  Vec(Memo) memo;
  Ex at[MAX_RANK]; /* the space's index where the body stands */
  Ex guard;        /* 0, or the condition under which what is being pulled exists: loads only then */
  int flat;        /* > 0: at[0] numbers the elements of the whole space */
  int merged; /* > 0: so many last axes of the space are walked as one: `line` numbers their elements, and is the */
  Ex line;    /* index of the last of them, those before it are 0 */
  Team team;  /* threads 0: none */
} Lower;

bool lower_gpu(const Lower *);             /* stages have blocks of threads (threads.h) */
int lower_lanes(const Lower *);            /* lanes that suit the widest type of the group, on a GPU of the memory that
                                            it reads and stores; 1 in a GPU's plain nests */
Tail lower_tail(const Lower *);            /* mask where every type of the group can be masked, else peel */
bool lower_in_memory(const Lower *, Id v); /* another group or the caller has stored it: it is loaded */
Id lower_memory(const Lower *, Id v);      /* v if it is in memory, of a 16-bit float as f32 that float; else 0 */
bool lower_seen(const Lower *, Id v);      /* lower_memory of v, or of what it shows in another shape */
/* What stands for v, a 16-bit float as f32, in this kernel: where the kernel makes that float itself, the f32 that it
 * rounds when it stores it; else v. */
Id lower_unrounded(const Lower *, Id v);
/* The type in which v can be packed without loss: its own, or the 16 bits that are behind it. */
DType lower_packed_type(const Lower *, Id v);
/* Whether neighbours along this axis of v are neighbours in the memory that v is read from. */
bool lower_along(const Lower *, Id v, int axis);
Ex lower_pull(Lower *, Id v, const Ex *index, int n);
/* The same where the index has no lanes and the value is wanted in all of them: 16 bits are spread before they are
 * converted, which is cheaper than the other way round. */
Ex lower_pull_spread(Lower *, Id v, const Ex *index, int n, int lanes);
void lower_remember(Lower *, Id v, const Ex *index, int n, Ex value);
Ex lower_load(Lower *, Id v, const Sym *shape, int rank, const Ex *index, Ex mask);
uint32_t lower_param(Lower *, Id v, const Sym *shape, int rank, bool out);
uint32_t lower_scratch(Lower *, const char *name, DType, const Sym *shape, int rank, ArgKind, Id node);
/* The parameter behind a chain of transposes and of 16 bits as f32, if the entry leaves it alone; else 0. */
Id lower_parameter(const Lower *, Id v);
/* A buffer of panels, `width` elements of the last axis wide. Of parameter `cell` (0: none) `prepare` makes it once for
 * all products that name the same layout. */
uint32_t lower_panels(Lower *, DType, const Sym *shape, int rank, int width, Id cell, const char *layout);
void lower_store(Lower *, Id v, const Ex *index, int n, Ex value);
/* Stores all outputs of the group at `at`, NULL: each at its lower_member_index. All are worked out before the first is
 * stored, for it may be stored over what another one reads. */
void lower_store_outputs(Lower *, const Ex *at);
void lower_store_full(Lower *, const Ex *at);            /* those of the space's rank */
void lower_store_reduced(Lower *, const Ex *at);         /* the others: numbers of a row, of a sum */
void lower_member_index(const Lower *, Id v, Ex *index); /* at, seen from member v: its rows or its full index */
void lower_stage(Lower *, const char *name, Sym elements, double cost, bool serial);
/* Registers for a tile of products: without those that 64-bit multiplication or the conversion of f16 in pieces takes
 * where it is no instruction. */
int lower_tile_registers(const Lower *, DType);
/* Notes a register tile that was weighed: rows by vectors, products a load, how much of it is used. */
void lower_weighed(Lower *, int rows, int vectors, double loads, double fill);
/* Work of the stage begun: multiply-adds of 1 / (4 lanes) ns, and bytes that come from beyond L1, 64 of them a ns. */
void lower_products(Lower *, Sym products, int lanes, Sym bytes);
void lower_fail(Lower *, Id v, Ex cond);
/* Squares of `rows` (a power of two, at most `lanes`) vectors turned over: element b * rows + j of vector i becomes
 * element b * rows + i of vector j. Halves of pairs change places, for distances 1, 2, 4, ... */
void lower_turn_over(Kernel *, Ex *row, int rows, int lanes);
Ex lower_dim(Lower *, Sym);
Ex lower_zero(Lower *, DType);
Ex lower_number(Lower *, DType, double);
Sym lower_total(const Lower *, const Sym *shape, int n);

/* lower_random.c: the number that RANDOM node v has at an element; and of four vectors of elements from `first` on (a
 * multiple of 4), for the types that take one word: a block of Philox is then worked out once, not four times. */
Ex lower_random(Lower *, Id v, Ex element);
bool lower_random_short(const Lower *, Id v);
void lower_random_run(Lower *, Id v, Ex first, int lanes, Ex out[4]);

/* How many last axes of `space` can be walked as one by all members, or by what a reduction reads and the members
 * before it; 1: none but the last. */
int elem_merged(const Lower *, const Sym *space, int rank, Id reduction);
/* Whether v, whose last `n` axes are those of the space, reads along them only by the number of the element in them.
 * `root`: v itself, as in elem_flat. */
bool elem_merges(const Lower *, Id v, int n, bool root);
/* Whether v can be worked out from the number of the element in the space alone (Lower.flat). `root`: v itself, what it
 * reads of the group is asked on its own. */
bool elem_flat(const Lower *, Id v, bool root);
void strat_elem(Lower *);
void strat_row(Lower *);
void strat_reduce(Lower *);
bool strat_reduce_rows(Lower *); /* a group of rows that is one reduction, of few rows that are long; else false */
void strat_nest(Lower *);
void strat_gemm(Lower *);
void strat_conv(Lower *);
void strat_attention(Lower *);
void attention_grad_threads(Lower *); /* of a GPU: elsewhere there is no such group */
void strat_window(Lower *);           /* of the windows that stand alone */
#endif
