/* The tracer: executes the tree of a SIR file and leaves graphs. It has two halves. TRACE (value.c, tracer.c,
 * trace_*.c) knows files, declarations, names, expressions, statements, calls, types, entries. LIB (lib_*.c) knows
 * indexing and what lib/NAME.sir is written in: the builtins. This header is what each gives the other; sir.h is the
 * outside.
 *
 * Every function that returns bool returns false after a mistake was reported (or while a `return` unwinds): the caller
 * returns false at once. Ids are nodes of the current graph, t->g. A g_* function of graph.h that gives 0 has reported.
 */
#ifndef SINTER_SIR_TRACER_H
#define SINTER_SIR_TRACER_H
#include "value.h"

enum { TRACE_DEPTH = 90 }; /* calls inside calls */

typedef struct Signature Signature;

struct SourceFile {
  const char *path;
  const char *id; /* its real path; NULL of the library and of texts */
  AstFile ast;
  Instance *instance;
  bool root, library;
  SourceFile *user;  /* the file whose `use` brought it; NULL: the root, the library */
  const char *alias; /* of a used file: its name there, dotted: first step of its params' names */
  NameList busy;     /* declarations being worked out */
};

struct Frame { /* names of one call */
  SourceFile *file;
  Instance *me; /* NULL: none */
  NameMap names;
  NameList known; /* parameters and dimensions bound so far in the signature */
  Frame *up;      /* of the call; NULL in entries and bodies. With `call` and `up_turns` the key of random numbers */
  const Ast *call;
  const int *up_turns; /* the caller's turns at the call */
  int nup_turns;
  const Ast *node;   /* the fn or entry; its CALL nodes are numbered in order */
  Vec(int) turns;    /* static loop turns around here */
  const char *label; /* for messages */
};

typedef struct ChainLink {
  const char *label;
  Frame *frame;
  const Ast *call;
} ChainLink;

typedef struct PastWrite {
  Id first;
  Loc loc;
} PastWrite;             /* the value that a write replaced, and where it was written */
typedef struct CellNow { /* a cell in one graph */
  TCell *cell;
  Id now;   /* what reads give: after a write leaf(value) */
  Id value; /* what was written last; 0: never */
  Loc loc;  /* of the last write */
  Vec(PastWrite) past;
} CellNow;

typedef struct Capture {
  Value outer;
  Id inner;
} Capture;
typedef struct Scope Scope;
struct Scope { /* a graph under construction */
  Graph *g;
  Scope *parent; /* of a body */
  bool root;     /* the file's graph: start values and expressions outside entries */
  Vec(CellNow) cells;
  Vec(Capture) lifted;   /* values of other graphs already here: the file's, and captures of a body */
  Vec(Capture) captures; /* of a body: in the order of its extra inputs */
};

struct Tracer {
  Ctx *ctx;
  Arena *arena; /* ctx->arena */
  SymTab *syms;
  Diag *diag;
  Scope *scope, *rootscope;
  Graph *g;        /* scope->g */
  SymFacts *facts; /* of the entry; outside, of nothing: rootfacts */
  SymFacts *rootfacts;
  Program *program;
  Entry *entry; /* being traced; NULL */
  Loc loc;      /* the user's place that new nodes get */
  Vec(SourceFile *) files;
  SourceFile *core; /* lib/core.sir: names everywhere */
  const struct SirOptions *options;
  Vec(TCell *) cells;
  int training;         /* the ambient `training`: -1 not said, 0, 1 */
  const char *asked;    /* who asked `training` while it was -1; NULL: nobody */
  TCell *owner;         /* whose start value is being worked out; NULL */
  Vec(ChainLink) chain; /* calls around here */
  const Ast *node;      /* innermost expression or statement: where faults are shown */
  Frame *frame;         /* its frame */
  const Ast *caller;    /* CALL of the builtin that runs, and its frame: for keys, grad's notes, calling back */
  Frame *caller_frame;
  bool returning; /* false was returned because `return` unwinds to its fn */
  Value returned;
  const Ast *return_node;
  int depth;                         /* calls */
  int nest;                          /* expressions inside expressions, over all calls */
  uint64_t steps;                    /* expressions evaluated */
  uint32_t marks;                    /* value_walk */
  uint32_t named;                    /* the mark of cells that have their name; 0 until the file's body is traced */
  Vec(const Signature *) signatures; /* of builtins, parsed */
};

/* ==== TRACE gives ================================================================================================= */
/* A mistake at the innermost expression (inside the library: at the call that led there), with the chain of calls as
 * notes. id: kebab-case, "sir-..."; one sentence. Always false. */
bool trace_fault(Tracer *, const char *id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool trace_fault_at(Tracer *, const Ast *, Frame *, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void trace_note(Tracer *, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* to the fault before it */
bool trace_warn(Tracer *, const char *id, const char *fmt, ...) __attribute__((format(printf, 3, 4))); /* true */
char *trace_printf(Tracer *, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* text in the arena */
/* "; did you mean `x`?" or "". */
const char *trace_near(Tracer *, const char *word, const NameList *have);
/* `value` refused because a later version brings it: sir-later. Always false. */
bool trace_later(Tracer *, const char *what);
const char *trace_intern(Tracer *, const char *);

/* Calls any callable value (a list of modules too: in order). named may be NULL. Place: t->caller. */
typedef struct NamedArg {
  const char *name;
  Value value;
} NamedArg;
bool trace_call(Tracer *, Value f, const Value *args, int n, const NamedArg *named, int nnamed, Value *out);

/* Value now: of a reference what it holds; inside trees of those that nobody handed out. */
bool trace_now(Tracer *, Value, Value *out);
Id trace_read(Tracer *, TCell *);                   /* node of the current graph; 0 after a fault */
bool trace_write(Tracer *, TCell *, Id value);      /* fits already; error outside entries */
const CellNow *trace_cell(Tracer *, const TCell *); /* in the current graph; NULL: neither read nor written there */
Id trace_leaf(Tracer *, Id);                        /* OP_LEAF: a value of its own for grad */

/* A value as a node of the current graph. Numbers take `want`, else i64, f32, bool (a warning if a float becomes 0 or
 * inf in it); faults for what is no tensor or does not fit. */
bool trace_tensor(Tracer *, Value, DType want, Id *out);
static inline bool trace_node(Tracer *t, Id v, Value *out) {
  *out = value_node(t->g, v);
  return v != 0;
}
Id trace_lift(Tracer *, Value tensor_or_weak); /* VAL_TENSOR, VAL_WEAK of any graph, in the current one */
bool trace_weak(Tracer *, Value, Id *out);     /* INT, FLOAT, DIM, WEAK as an f64[] node */
Id trace_size(Tracer *, Sym);                  /* an i64[] node: DIM or a constant */

bool trace_same_shape(Tracer *, const Sym *, int, const Sym *, int);
bool trace_equal_dims(Tracer *, Sym, Sym);           /* by the facts */
int trace_decide(Tracer *, SirOp compare, Sym, Sym); /* EQ NE LT LE GT GE: 1, 0, -1 not decided */
/* A condition over dimensions (a Sym of 0 or 1) that the facts do not decide: checked at every call of the entry. */
void trace_require(Tracer *, Sym cond, const char *text);
/* NumPy's broadcasting of nodes. join: the common shape, faults as "SIGN of f32[3] and f32[4]: axis -1 is 3 and 4";
 * sign comes with its backticks ("`+`", "the indices"). expand: v in that shape (rank 0 is left alone); spread: that
 * too. */
bool trace_join(Tracer *, const Id *, int n, const char *sign, Sym *shape, int *rank);
bool trace_join_shapes(Tracer *, const Sym *const *shapes, const int *ranks, const Id *shown, int n, const char *sign,
                       Sym *shape, int *rank);
Id trace_expand(Tracer *, Id, const Sym *shape, int rank);
Id trace_spread(Tracer *, Id, const Sym *shape, int rank);

/* An element-wise op of ops.def (UNARY, BINARY, COMPARE, SELECT: condition first) on values: numbers take the tensors'
 * dtype, shapes broadcast; only WEAKs and numbers give a WEAK. sign: for messages, NULL: the op's name. */
bool trace_ew(Tracer *, Op, const Value *args, int n, const char *sign, Value *out);
/* `a OP b` for every operator of SIR_OPS between two values, static ones too (checked 64-bit ints). */
bool trace_binary(Tracer *, SirOp, Value a, Value b, Value *out);
bool trace_truth(Tracer *, Value, const char *what, bool *out);
bool trace_field(Tracer *, Value, const char *name, Value *out); /* x.name without calling */

/* Key of a random draw here: of the start value's owner, or of entry path, call site and static turns. */
bool trace_random_key(Tracer *, const char *kind, const char **key);
const char *trace_dir(Tracer *); /* directory of the caller's file, for load("t.npy") */

/* A body: push makes a graph inside the current one and t->g; pop goes back and gives the captured outer nodes, to be
 * passed after the body's own inputs (their inputs were appended to the body in that order). */
Scope *trace_push(Tracer *);
Graph *trace_pop(Tracer *, Id **captured, int *n); /* captured: in the arena */

/* ==== LIB gives =================================================================================================== */
typedef struct BuiltinArgs {
  const Builtin *builtin; /* which is called */
  Value *at;              /* one for each parameter, defaults filled in; of a "*rest": NONE */
  const Value *rest;      /* what "*rest" takes */
  int nrest;
  void *data; /* of the VAL_BUILTIN */
} BuiltinArgs;

/* params: "x, axis = none, keepdim: bool = false", "*lists", "f, *trees". Defaults: none, true, false, numbers, strings
 * and dtypes. Types that are checked before the call: int (a dim too), float (an int becomes one, a dim a WEAK), bool,
 * str, dtype, tensor (numbers are left as they are); with a default of none, none is allowed too. The parser of this
 * string, unknown and missing arguments, did-you-mean: TRACE (trace_call.c). raw: arguments come as references, not as
 * values now (refs, freeze). Arguments that are VAL_REF otherwise have been read; given ones inside trees stay. */
struct Builtin {
  const char *name;
  const char *params;
  bool (*f)(Tracer *, const BuiltinArgs *, Value *out);
  bool raw;
  int op; /* free for the implementer: an Op, say */
};

/* A global name: builtins, inf, nan, and the namespaces random, debug. False: there is none (no fault). */
bool lib_lookup(Tracer *, const char *name, Value *out);
bool lib_space_get(Tracer *, const char *space, const char *name, Value *out); /* member of random, debug; faults */
void lib_names(Tracer *, NameList *out);                                       /* appended: for did-you-mean */
/* Text of lib/NAME.sir, embedded; NULL if there is none. names: all but core, NULL at the end, sorted. */
const char *lib_source(const char *name, size_t *n);
const char *const *lib_sources(void);

typedef struct IndexItem {
  enum { ITEM_VALUE, ITEM_REST, ITEM_SLICE } kind;
  Value value;          /* VALUE: int, dim, integer tensor, none (a new axis) */
  Value from, to, step; /* SLICE: NONE where absent */
} IndexItem;
bool lib_index(Tracer *, Id x, const IndexItem *, int n, Value *out);
bool lib_index_update(Tracer *, Id x, const IndexItem *, int n, Id value, Id *out); /* x with value there */
bool lib_matmul(Tracer *, Value a, Value b, Value *out);                            /* `@` */
#endif
