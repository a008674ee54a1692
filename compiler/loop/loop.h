/* The Loop IR: kernels, stages and plans (the pages beside this file say what they mean). One module holds the kernels
 * and plans of an artefact. A kernel is a tree of statements over hash-consed expressions; its header (dimensions,
 * buffers, facts) speaks in Syms, its bodies in expressions of dtype idx. Strategies build it with the functions below,
 * as short to write as the text is; everything built ends in loop_verify. Nothing here is specific to a back end.
 *
 * Implemented in loop.c (builders), loop_text.c (print), loop_parse.c (read), loop_verify.c, loop_run.c (interpreter).
 */
#ifndef SINTER_LOOP_LOOP_H
#define SINTER_LOOP_LOOP_H
#include "graph.h" /* Ctx, Dim, Op, DType */

enum { LOOP_RANK = 8, LOOP_AXES = 6, LOOP_THREAD_AXES = 3, LOOP_LANES = 64 };
typedef uint32_t Ex; /* expression of a kernel; 0 is none */

/* ---- expressions ---------------------------------------------------------------------------------------------------
 * op is an element-wise op of ops.def (a comparison gives bool) or one of its LOOP rows. `lanes` is 1 for scalars.
 * Pure: a LOAD or REG is read where the statement that holds the expression stands; `let` (STMT_LET) fixes a value at a
 * point. */
typedef struct Expr {
  uint8_t op, dtype, nin; /* nin: all operands, of LOAD and REG: the indices */
  uint16_t lanes;
  uint32_t in;    /* first operand in kernel->arg */
  uint32_t ref;   /* VAR: variable; REG: register; LOAD, LEN: buffer */
  Ex mask, other; /* LOAD: mask (bool) and the value where it is false; 0: none */
  union {
    int64_t i; /* LITERAL of integer, bool, idx */
    double f;  /* LITERAL of float */
  } u;
  uint32_t next; /* hash chain */
  int line;      /* of the text it was read from, 0 if built */
} Expr;

/* ---- buffers and variables ------------------------------------------------------------------------------------------
 */
typedef enum {
  BUF_IN,
  BUF_OUT,
  BUF_INOUT,
  BUF_THREAD,
  BUF_SHARED
} BufKind; /* parameters; allocs of a task, of a block */
typedef enum { LAYOUT_ROWS, LAYOUT_STRIDES, LAYOUT_PANEL, LAYOUT_SWIZZLE } Layout;

typedef struct LoopBuf {
  const char *name;
  BufKind kind;
  DType dtype;
  bool list; /* a list of tensors of rank 1 (segmented stages) */
  int rank;
  Sym dim[LOOP_RANK];
  Layout layout;
  Sym stride[LOOP_RANK]; /* STRIDES, in elements */
  int panel_axis, width; /* PANEL(axis, width); SWIZZLE(width) */
  Sym align;             /* bytes; 0: the element's */
  Sym buffers;           /* rolling rows; 0: none */
  int inplace;           /* index of the buffer whose memory it is, or -1 */
  Sym at;                /* plan buffers: offset in the arena; 0 elsewhere */
  int line;
} LoopBuf;

/* What acts together, and where a value is the same: a block of threads, a warp of 32 of them, one thread alone. */
typedef enum { LOOP_BLOCK, LOOP_WARP, LOOP_THREAD } LoopScope;
enum { LOOP_BLOCK_THREADS = 1024, LOOP_WARP_THREADS = 32 };

typedef enum { FOR_SERIAL, FOR_UNROLL, FOR_VECTOR, FOR_THREAD } ForMode;
typedef enum { TAIL_NONE, TAIL_MASK, TAIL_PEEL, TAIL_OVERLAP, TAIL_PAD } Tail;

typedef enum { VAR_DIM, VAR_AXIS, VAR_LOOP, VAR_LET, VAR_SEGMENT, VAR_OFFSET, VAR_THREAD, VAR_REDUCE } VarKind;
typedef struct LoopVar {
  const char *name;
  VarKind kind;
  DType dtype;
  uint16_t lanes;
  Ex value;        /* LET */
  ForMode mode;    /* LOOP */
  Tail tail;       /* LOOP */
  Ex lo;           /* LOOP: where it starts */
  int64_t step;    /* LOOP: from turn to turn; the width of a vector loop */
  LoopScope scope; /* THREAD, REDUCE: where it is the same */
} LoopVar;

typedef struct LoopReg { /* `reg t[6][2]: f32x16 = 0.0`: a tile of registers */
  const char *name;
  DType dtype;
  uint16_t lanes;
  int rank;
  int64_t dim[2];
} LoopReg;

/* ---- statements -----------------------------------------------------------------------------------------------------
 */
typedef enum {
  STMT_LET,
  STMT_REG,
  STMT_ALLOC,
  STMT_ASSIGN,
  STMT_STORE,
  STMT_FOR,
  STMT_IF,
  STMT_FAIL,
  STMT_PREFETCH,
  STMT_BARRIER,
  STMT_REDUCE
} StmtKind;

typedef struct Stmt Stmt;
struct Stmt {
  StmtKind kind;
  int line;
  Stmt *next;          /* in its block */
  Stmt *body, *other;  /* FOR: body; IF: then, else */
  uint32_t ref;        /* LET, FOR, REDUCE: variable; REG, ASSIGN: register; ALLOC, STORE, PREFETCH: buffer */
  Ex index[LOOP_RANK]; /* of a place; the lanes of an index make the access a vector */
  int nindex;
  Ex value;     /* LET, ASSIGN, STORE, REDUCE; REG: start value or 0; IF, FAIL: the condition */
  Ex mask;      /* ASSIGN, STORE: 0 or a bool */
  Ex lo, hi;    /* FOR: idx, half open */
  int64_t step; /* FOR: 1 unless given */
  ForMode mode;
  int width; /* FOR_VECTOR */
  Tail tail;
  int64_t code;    /* FAIL */
  LoopScope scope; /* BARRIER, REDUCE: LOOP_BLOCK or LOOP_WARP */
  Op op;           /* REDUCE: ADD, MAXIMUM, MINIMUM */
};

typedef struct LoopAxes { /* of a product, the last one innermost; each has a variable in the plain form */
  int n;
  uint32_t var[LOOP_RANK];
  Sym extent[LOOP_RANK];
} LoopAxes;

/* How a product's tiles sum rows, or each row along its columns: runs of so many one after the other, then the runs of
 * so many in order. Tiles have a multiple of these. */
enum { LOOP_SUM_RUN = 4, LOOP_SUM_PART = 64 };

/* The parts of a stage that is a product in its plain form: a thread has one element of the result, loops over the sum,
 * then stores. By them a kernel written by hand can stand for the stage. They are statements and variables of the stage
 * itself, so that they stay right when its expressions are rewritten. What a and b read besides the variables of axes
 * are lets; inside the sum's body neither uses one of the other's. The text form does not have them: a stage that was
 * read has none. */
typedef struct LoopProduct {
  LoopAxes outer, rows, columns, sums; /* of the result and both operands; of a alone; of b alone; of a and b alone */
  const Stmt *a, *b; /* in the body of the innermost sum: the first statements of an operand; a ends at b, b at add */
  const Stmt *add;   /* sum = fma(a, b, sum) */
  uint32_t a_value, b_value;  /* the lets that hold the operands, in the type of the sum */
  DType a_type, b_type;       /* in which an operand can be kept without loss: its own, or the 16 bits behind it */
  bool tf32;                  /* operands of f32 may keep but 10 bits of their mantissa */
  uint32_t sum;               /* a register */
  const Stmt *epilogue, *end; /* from the first statement that follows the sum, to the end of its block (NULL) or to */
                              /* what adds up `summed`: it stores */
  uint32_t summed; /* 0, or the let of the epilogue, in f32, of which parts of LOOP_SUM_PART rows, from a multiple of */
  uint32_t partial; /* them on, are also summed into this buffer: [parts][columns], both flat */
  bool along;       /* or parts of so many columns: [parts][rows] */
  uint32_t
      part;  /* 0, or the first of `outer`: which part of the sum a thread has; then chunk terms of the first axis */
  Sym chunk; /* summed over are a part, from part * chunk on, as far as there are so many */
} LoopProduct;

/* A function beside a stage: statements that stand in loops over its parameters, which are not part of the text. */
typedef struct LoopHole {
  uint32_t var[4]; /* parameters: indices, in the order of the comment where the hole is */
  uint32_t reg[2]; /* parameters: numbers in registers */
  Stmt *text;
  Ex value;     /* what it gives; 0: it stores */
  Stmt **begin; /* of the text, while it is built */
} LoopHole;

/* The parts of a stage that is attention: softmax(score(q k^T)) v, rows of queries by keys, head by head. */
typedef struct LoopAttention {
  Sym heads, rows, keys;
  int64_t depth, columns; /* features of q and k, of v; 0: not known */
  int width;              /* neighbours that `store` stores */
  LoopHole q, k, v;       /* (head, row or key, feature): 8 neighbours from a multiple of 8 on */
  LoopHole seen;          /* (row): how many keys it sees at most */
  LoopHole score;         /* (head, row, key; product): the score */
  LoopHole scale;         /* (head, row; largest score, sum): by what results are multiplied */
  LoopHole row;           /* (head, row; largest score, sum): stores what a row has one of */
  LoopHole store;         /* (head, row, column; results): the epilogue */
  double factor;          /* a score is the product times this, where the key is seen; 0: what `score` says */
} LoopAttention;

/* The parts of a stage that is the gradient of attention, softmax(score(q k^T)) v, whose results have gradients g: of
 * the queries, or of the keys and perhaps the values. */
typedef struct LoopAttentionGrad {
  bool of_keys, of_values; /* else of the queries */
  Sym heads, rows, keys;
  int64_t depth;       /* features of q, k, v and g; 0: not known, or not the same */
  int width;           /* neighbours that `store` stores */
  LoopHole q, k, v, g; /* (head, row or key, feature): 8 neighbours from a multiple of 8 on */
  LoopHole seen;       /* (row): how many keys it sees at most */
  LoopHole weight;     /* (head, row, key; product q k): the weight */
  LoopHole slope;      /* (head, row, key; products q k, g v): the gradient of the first product */
  LoopHole lse, mean;  /* (head, row): a weight is exp(score - lse), a slope weight * (g v - mean) * factor */
  LoopHole store;      /* (head, row or key, column; results, of keys and values both): the epilogue */
  double factor;       /* a score is the product times this, where the key is seen; 0: `weight` and `slope` say all */
} LoopAttentionGrad;

typedef struct Stage {
  const char *name;
  int naxes;
  uint32_t axis[LOOP_AXES]; /* variables */
  Sym extent[LOOP_AXES];
  bool segmented; /* stage s(segment s, o of p chunk 64): axis[0] is s, axis[1] is o */
  uint32_t segment_buf;
  int64_t chunk;
  int threads; /* of a block, one block a task; 0: a task is one thread and what follows is not set */
  int nthread; /* axes of the block, row-major: threads(ty < 8, tx < 8) */
  uint32_t thread[LOOP_THREAD_AXES];
  int64_t thread_extent[LOOP_THREAD_AXES];
  uint32_t tid, warp, lane_id; /* variables that every block has */
  Stmt *body;
  LoopProduct *product; /* of a stage with threads, or NULL */
  LoopAttention *attention;
  LoopAttentionGrad *attention_grad;
  int line;
} Stage;

enum { LOOP_HOLES = 20 };
int loop_holes(Stage *, LoopHole **out); /* all that the stage has beside it; at most LOOP_HOLES */

typedef struct Kernel {
  const char *name;
  Ctx *ctx;
  Vec(Dim) dims;
  Vec(LoopBuf) bufs; /* parameters first, then allocs */
  int nparams;
  Vec(Sym) facts; /* conditions (0 or 1) assumed of the dimensions */
  Vec(Stage *) stages;
  Vec(Expr) ex; /* ex[0] unused */
  Vec(Ex) arg;
  Vec(LoopVar) vars; /* dims first, in order */
  Vec(LoopReg) regs;
  uint32_t *slot, mask;
  int line;
  /* building: where the next statement goes */
  Stage *stage;
  Stmt **tail[64];
  Stmt *open[64];
  int depth;
  int cur_line;
} Kernel;

/* ---- plans ---- */
typedef enum { STEP_LAUNCH, STEP_BARRIER, STEP_COPY, STEP_CALL, STEP_LOOP, STEP_LOOP_UNTIL, STEP_BRANCH } StepKind;

typedef struct View { /* buffer, sub-buffer at leading indices, or lo..hi of its first axis */
  int buf;            /* in plan->bufs */
  int nindex;
  Sym index[LOOP_RANK];
  Sym hi;    /* 0: none; then index[nindex-1] .. hi is a slice */
  int nlist; /* > 0: {a, b}: list of views */
  struct View *list;
} View;

typedef struct Step Step;
struct Step {
  StepKind kind;
  int line;
  Step *next;
  int kernel, stage, plan; /* LAUNCH; CALL */
  int ndims, nviews;
  Sym *dims;           /* LAUNCH: a value for each dimension of the kernel; CALL: of the plan */
  View *views;         /* a view for each parameter; buf -1: not bound (the stage does not use it); COPY: dst, src */
  bool serial, commit; /* what follows up to `bytes` is not part of the text */
  int batch;           /* on a GPU: steps of one number, side by side, may run at the same time; 0: it stands alone */
  Sym work;            /* LAUNCH: rough nanoseconds on one thread; 0: not known */
  Sym flops;           /* LAUNCH: operations by the formula; 0: none */
  Sym bytes;           /* LAUNCH: of the buffers it reads and of those it writes; COPY: of one side */
  const char *var;     /* LOOP */
  Sym lo, hi;          /* LOOP; LOOP_UNTIL max in hi; BRANCH condition in lo, or 0 with views[0] as flag */
  Step *body, *other;
};

typedef struct Plan {
  const char *name;
  Vec(Dim) dims;
  Vec(LoopBuf) bufs; /* parameters first, then `buf` in order of declaration */
  int nparams;
  Vec(Sym) facts;
  Step *steps;
  int line;
} Plan;

typedef struct PlanVariant {
  Sym when;          /* 0: always */
  const char *level; /* "v4", "v3", "v2"; NULL: every level */
  bool gpu;
  const char *plan;
} PlanVariant;

typedef struct PlanEntry {
  const char *name;
  Vec(PlanVariant) variants;
  int line;
} PlanEntry;

typedef struct LoopModule {
  Ctx *ctx;
  Vec(Kernel *) kernels;
  Vec(Plan *) plans;
  Vec(PlanEntry *) entries;
  const char *text; /* what it was read from, or NULL */
  size_t ntext;
  Loc source; /* of the first byte of text */
} LoopModule;

LoopModule *loop_module_new(Ctx *);
Kernel *loop_module_kernel(const LoopModule *, const char *name, int *index); /* NULL if there is none */
Plan *loop_module_plan(const LoopModule *, const char *name, int *index);

/* ---- building a kernel ----
 * Operands of one expression have one dtype; literals are made with it. Scalars meet vectors. A wrong use is a BUG here
 * (strategies are ours); the reader checks before it builds. */
Kernel *loop_kernel(LoopModule *, const char *name); /* appended to the module; the name is made unique by _2, _3 */
Ex loop_dim(Kernel *, const char *name, int64_t lo, int64_t hi); /* declares a dimension; its value as idx */
uint32_t loop_param(Kernel *, const char *name, BufKind, DType, const Sym *dims, int rank); /* returns the buffer */
LoopBuf *loop_buf(Kernel *, uint32_t);
void loop_fact(Kernel *, Sym cond);           /* once, if it is given again */
Sym loop_multiple(SymTab *, Sym, int64_t of); /* the fact that it is a multiple */
Ex loop_sym(Kernel *, Sym);                   /* a Sym over the kernel's dimensions as an expression */
double loop_likely(const Kernel *, Sym); /* its value when a dimension without a bound of its own is a thousand or so */

Stage *loop_stage(Kernel *, const char *name);        /* begins a stage; ends the one before */
Ex loop_axis(Kernel *, const char *name, Sym extent); /* of the stage just begun */
void loop_segment(Kernel *, const char *s, const char *o, uint32_t list, int64_t chunk, Ex *tensor,
                  Ex *offset); /* instead of axes */
Ex loop_threads(Kernel *, const char *name,
                int64_t extent); /* an axis of the stage's blocks of threads, after its axes */
Ex loop_tid(Kernel *), loop_warp(Kernel *), loop_lane_id(Kernel *); /* of the thread; after loop_threads */
void loop_barrier(Kernel *, LoopScope);
/* op (ADD, MAXIMUM or MINIMUM) over the values of a warp's or block's threads: halves of a warp's lanes fold on each
 * other (lane i with i + 16, then 8, 4, 2, 1), then the results of the warps are taken in order. Orders no memory. */
Ex loop_reduce(Kernel *, const char *name, Op op, LoopScope, Ex value);
void loop_for(Kernel *, const char *name, Ex lo, Ex hi, ForMode, int width, Tail,
              Ex *var); /* until loop_end; width also the step of FOR_VECTOR */
void loop_for_step(Kernel *, const char *name, Ex lo, Ex hi, int64_t step, Ex *var); /* serial */
void loop_if(Kernel *, Ex cond);                                                     /* until loop_end or loop_else */
void loop_else(Kernel *);
void loop_end(Kernel *);
Ex loop_let(Kernel *, const char *name, Ex value);
uint32_t loop_reg(Kernel *, const char *name, DType, int lanes, int rank, const int64_t *dim,
                  Ex start);                                                              /* start 0: none */
uint32_t loop_alloc(Kernel *, const char *name, DType, const Sym *dims, int rank);        /* a task's own scratch */
uint32_t loop_alloc_shared(Kernel *, const char *name, DType, const Sym *dims, int rank); /* a block's */
void loop_assign(Kernel *, uint32_t reg, const Ex *index, int n, Ex value, Ex mask);
void loop_store(Kernel *, uint32_t buf, const Ex *index, int n, Ex value, Ex mask);
void loop_fail(Kernel *, int64_t code, Ex cond);
void loop_prefetch(Kernel *, uint32_t buf, const Ex *index, int n);

Ex ex_int(Kernel *, DType, int64_t); /* DT_IDX for indices */
Ex ex_float(Kernel *, DType, double);
static inline Ex ex_idx(Kernel *k, int64_t i) { return ex_int(k, DT_IDX, i); }
Ex ex_op1(Kernel *, Op, Ex);         /* element-wise, HADD, HMAX, HMIN, ANY, ALL */
Ex ex_op2(Kernel *, Op, Ex, Ex);     /* element-wise, FLOOR_DIV, FLOOR_MOD, MULHI, SCALE, PERM, EXTRACT */
Ex ex_op3(Kernel *, Op, Ex, Ex, Ex); /* SELECT, FMA, DOT4, PERM2 */
Ex ex_convert(Kernel *, DType, Ex);
Ex ex_bits(Kernel *, DType, Ex);
Ex ex_splat(Kernel *, Ex, int lanes);
Ex ex_lane(Kernel *, int lanes); /* idx 0 .. lanes-1 */
Ex ex_load(Kernel *, uint32_t buf, const Ex *index, int n, Ex mask, Ex other);
Ex ex_reg(Kernel *, uint32_t reg, const Ex *index, int n);
Ex ex_len(Kernel *, uint32_t list, Ex tensor); /* elements of a tensor of a list */
Ex ex_cdiv(Kernel *, Ex a, Ex b);              /* (a + b - 1) // b */
/* Why these operands do not fit op: a sentence in the arena, or NULL if they do (ex_op1..3 BUG on what this says). */
const char *ex_why_not(const Kernel *, Op, const Ex *in, int n);
static inline Ex ex_add(Kernel *k, Ex a, Ex b) { return ex_op2(k, OP_ADD, a, b); }
static inline Ex ex_mul(Kernel *k, Ex a, Ex b) { return ex_op2(k, OP_MUL, a, b); }
static inline const Expr *ex_at(const Kernel *k, Ex e) { return &k->ex.at[e]; }
bool ex_is_int(const Kernel *, Ex, int64_t *value);                        /* a literal */
Ex ex_rewrite(Kernel *, Ex, Ex (*fn)(void *ctx, Kernel *, Ex), void *ctx); /* bottom-up; fn returns 0 to keep */

/* How an access moves from lane to lane: the verifier decides, emitters obey. */
typedef enum { ACCESS_SCALAR, ACCESS_SPLAT, ACCESS_CONTIGUOUS, ACCESS_STRIDED, ACCESS_GATHER } Access;
bool loop_constant(const Kernel *, Ex); /* constant once loops marked unroll are unrolled */
/* Whether 32 bits hold every index of a stage and every place in the buffers that it uses, whatever the dimensions are.
 */
bool loop_narrow(Kernel *, const Stage *);
int64_t loop_divisor(const Kernel *, Ex); /* a number that divides its value (of lane 0); 0: the value is 0 */
Access loop_access(const Kernel *, uint32_t buf, const Ex *index, int n, int lanes);

/* ---- text, checks, meaning ---- */
void loop_print(const LoopModule *, Buf *); /* canonical: two blanks a level, one statement a line */
void loop_print_kernel(const Kernel *, Buf *);
void loop_print_stmt(const Kernel *, const Stmt *,
                     Buf *); /* its own line without blanks and what is inside; for notes */
bool loop_parse(Ctx *, const char *path, const char *text, size_t n,
                LoopModule **out);            /* reads back to the same tree */
Loc loop_place(const LoopModule *, int line); /* of a line of the text; 0 if there is none */
/* Reports a mistake in a statement (s and stage may be NULL): at its line, or with its text if it was built. Returns
 * false. */
bool loop_fault(const LoopModule *, const Kernel *, const Stage *, const Stmt *s, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* Which buffers a stage loads from and stores to: arrays of k->bufs.n, may be NULL. A launch binds at least these. */
void loop_uses(const Kernel *, const Stage *, bool *loads, bool *stores);
bool loop_fails(const Stage *);           /* a task of it can set an error */
bool loop_kernel_fails(const Kernel *);   /* of any stage */
int loop_vector_bytes(const char *level); /* of a vector register: 16, 32 or 64 */
/* Registers of 32 bits that a thread in a block of so many may name; what is left is for addresses and temporaries. */
int loop_thread_registers(int threads);
bool loop_verify(const LoopModule *,
                 const char *level); /* level "v2" "v3" "v4" "a64": register counts; false after diag_error */

/* The interpreter: defines the meaning, finds the faults of loop.md section 9. Buffers are plain memory of the caller.
 */
typedef struct LoopArg {
  void *data; /* of the buffer's shape, as its layout has it in memory; for a list: the first of nlist */
  int nlist;
  void **list;
  int64_t *list_len;
} LoopArg;
typedef struct LoopRun {
  const char *level;         /* "v2": fma is multiply, then add */
  uint32_t seed;             /* order of tasks */
  int64_t status, fail_task; /* out: smallest code of `fail`, 0 none, and the first task of its stage that gave it */
  const char *plan;          /* out: the plan that ran */
} LoopRun;
bool loop_run(const LoopModule *, const char *entry_or_plan, const int64_t *dims, const LoopArg *args,
              LoopRun *); /* false after diag_error (a fault) */
#endif
