/* The graph: tensor SSA. Nodes are small, append-only and hash-consed; operands have smaller ids than users; every node
 * has a dtype and a shape of Syms. A node is born through graph_node, which infers its shape, checks it and merges it
 * with an equal one, so no pass can make an ill-typed node. Passes rebuild: they read one graph and write another.
 *
 * A Program is a traced model: its cells (params and states) and its entries, each with a graph of its own. All graphs
 * of a program share one SymTab, StrTab, Arena and Diag (a Ctx). */
#ifndef SINTER_GRAPH_GRAPH_H
#define SINTER_GRAPH_GRAPH_H
#include "diag.h"
#include "op.h"
#include "sym.h"
#include "vec.h"

enum { MAX_RANK = 8 };
typedef uint32_t Id; /* a node; 0 is none */

typedef struct Ctx { /* one compilation */
  Arena *arena;
  StrTab *names;
  SymTab *syms;
  Diag *diag;
} Ctx;
Ctx ctx_new(void);    /* a fresh arena with all the rest in it. Graphs point to the Ctx: it stays where it is */
void ctx_free(Ctx *); /* releases everything made with it */

typedef struct Node {
  uint8_t op, dtype, rank;
  uint32_t nin;
  uint32_t in;    /* first operand in graph->edge */
  uint32_t shape; /* first dimension in graph->dim */
  uint32_t attr;  /* first word in graph->word: each attribute is a count and its words, in the order of ops.def */
  uint32_t nword;
  uint32_t copy; /* copy tag: 0 shared; nodes of different tags never merge (recomputation) */
  uint32_t next; /* hash chain */
  Loc loc;
} Node;

typedef struct Graph Graph;
struct Graph {
  Ctx *ctx;
  Graph *parent;  /* of a body */
  Vec(Node) node; /* node[0] unused */
  Vec(Id) edge;
  Vec(Sym) dim;
  Vec(int64_t) word;
  Vec(Graph *) body; /* what G attributes index */
  Vec(Id) input;     /* INPUT nodes in order */
  Vec(Id) output;
  const SymFacts *facts; /* of the entry; NULL: dimensions are 1 to 2^31-1 */
  uint32_t *slot, mask;
  uint32_t unique; /* for UNIQUE ops */
  Loc loc;         /* given to new nodes */
  uint32_t copy;   /* given to new nodes */
  uint32_t frozen; /* set while a pass counts on ids: graph_node then BUGs (0 normally) */
};

Graph *graph_new(Ctx *, Graph *parent);

/* ---- reading -------------------------------------------------------------------------------------------------------
 */
static inline const Node *graph_at(const Graph *g, Id v) { return &g->node.at[v]; }
static inline const Id *graph_in(const Graph *g, Id v) { return g->edge.at + g->node.at[v].in; }
static inline const Sym *graph_shape(const Graph *g, Id v) { return g->dim.at + g->node.at[v].shape; }
static inline DType graph_dtype(const Graph *g, Id v) { return (DType)g->node.at[v].dtype; }
static inline int graph_rank(const Graph *g, Id v) { return g->node.at[v].rank; }
static inline Op graph_op(const Graph *g, Id v) { return (Op)g->node.at[v].op; }

/* Attribute k (its place in the attrs column) as words; *n gets their number. A P attribute's words are both lists one
 * after the other. Names below are checked against the op: a wrong name is a BUG. */
const int64_t *graph_attr(const Graph *, Id, const char *name, int *n);
int64_t graph_attr_int(const Graph *, Id, const char *name); /* kinds i, d, s (the interned pointer), G (body index) */
const char *graph_attr_str(const Graph *, Id, const char *name);
Graph *graph_body(const Graph *, Id);                  /* of COMPOSITE and CALL */
int graph_results(const Graph *, Id);                  /* 1, or the outputs of a body with several */
bool graph_constant(const Graph *, Id, double *value); /* a rank-0 (or broadcast) number: its value */
const char *graph_type(const Graph *, Id);             /* "f32[B, 10]", in the arena */
const char *graph_shape_text(Ctx *, DType, const Sym *shape, int rank);

/* ---- building ------------------------------------------------------------------------------------------------------
 * All return 0 after a diag_error at g->loc if operands, attributes or shapes do not fit (callers that checked before
 * may treat 0 as a BUG). A 0 operand gives 0 without another message. */
typedef struct Attrs { /* words under construction; {0} is empty */
  int64_t word[96];
  int n;
  const int64_t *big; /* instead of word for a V attribute of many numbers */
  int nbig;
} Attrs;
void attr_int(Attrs *, int64_t); /* kinds i, d, G; s: (int64_t)(intptr_t)interned */
void attr_str(Ctx *, Attrs *, const char *);
void attr_ints(Attrs *, const int64_t *, int n); /* kind I; also V in bits */
void attr_syms(Attrs *, const Sym *, int n);
void attr_pair(Attrs *, const int *a, const int *b, int n);
Id graph_node(Graph *, Op, const Id *in, int nin, const Attrs *); /* attrs may be NULL */

Id g_input(Graph *, DType, const Sym *shape, int rank);          /* appended to g->input */
Id g_cell(Graph *, int cell, DType, const Sym *shape, int rank); /* the value of a cell when the entry begins */
Id g_const(Graph *, DType, double);                              /* rank 0; integers beyond 2^53: g_const_int */
Id g_const_int(Graph *, DType, int64_t);
Id g_full(Graph *, DType, double, const Sym *shape, int rank);
Id g_unary(Graph *, Op, Id);
Id g_binary(Graph *, Op, Id, Id); /* BINARY and COMPARE; a rank-0 side meets any shape */
Id g_select(Graph *, Id c, Id a, Id b);
Id g_convert(Graph *, DType, Id);                                         /* the operand itself if it has the type */
Id g_broadcast(Graph *, Id, const Sym *shape, int rank, const int *axes); /* axes: one for each operand axis */
Id g_spread(Graph *, Id, const Sym *shape, int rank);                     /* rank 0 to a shape; itself if it has it */
Id g_reshape(Graph *, Id, const Sym *shape, int rank);
Id g_transpose(Graph *, Id, const int *axes);
Id g_slice(Graph *, Id, const Sym *starts, const Sym *ends, const int64_t *steps);
Id g_pad(Graph *, Id, const Sym *lo, const Sym *hi, const int64_t *interior);
Id g_reverse(Graph *, Id, const int *axes, int n);
Id g_concat(Graph *, const Id *, int n, int axis);
Id g_reduce(Graph *, Op, Id, const int *axes, int n); /* n 0: the operand itself */
Id g_arg(Graph *, Op, Id, int axis);
Id g_dot(Graph *, Id x, Id y, const int *cx, const int *cy, int nc, const int *bx, const int *by, int nb);
Id g_gather(Graph *, Id x, const Id *index, int n, int axis);
Id g_scatter_add(Graph *, Id x, const Id *index, int n, int axis, Id update);
Id g_dynamic_slice(Graph *, Id x, const Id *starts, const int *axes, const Sym *sizes, int n);
Id g_dynamic_update(Graph *, Id x, const Id *starts, const int *axes, int n, Id update);
Id g_iota(Graph *, DType, const Sym *shape, int rank, int axis);
Id g_dim(Graph *, Sym); /* a size as an i64[] */
Id g_random(Graph *, const char *kind, DType, const Sym *shape, int rank, const char *key, int lanes);
Id g_body(Graph *, Op, const char *name, Graph *body, const Id *in, int nin); /* COMPOSITE (name) or CALL; see g_get */
Id g_get(Graph *, Id, int k); /* result k; the node itself if it has one result */

/* Nodes that `outputs` need, in order (operands first): writes at most g->node.n ids, returns their number. */
int graph_reach(const Graph *, const Id *outputs, int n, Id *order);
/* The body's nodes made again in g with these values for its inputs; writes one id for each output of the body. */
bool graph_inline(Graph *, const Graph *body, const Id *args, Id *outputs);

/* Rebuilds: visits the nodes that the outputs need in order; fn makes the node in `to` (map: old id -> new id) or
 * returns 0 to have it copied as it is. map has from->node.n entries and belongs to the caller. Inputs are copied
 * first, in order. */
typedef Id GraphVisit(void *ctx, const Graph *from, Id v, Graph *to, const Id *map);
bool graph_rebuild(const Graph *from, Graph *to, GraphVisit *, void *ctx, Id *map);
Id graph_copy_node(const Graph *from, Id v, Graph *to, const Id *map); /* with to->copy, if it is set, else its own */

/* ---- programs ------------------------------------------------------------------------------------------------------
 */
typedef enum { CELL_PARAM, CELL_STATE, CELL_LOCAL } CellKind; /* LOCAL: a state that is not saved */

typedef struct Cell {
  const char *name; /* path, as in the weight file */
  CellKind kind;
  DType dtype;
  int rank;
  Sym shape[MAX_RANK]; /* constants */
  bool frozen;
  Graph *init; /* one output, no inputs; NULL: a state starts as zeros, a param must come from the weight file */
  const char *doc;
  Loc loc;
} Cell;

typedef struct Port { /* an input or output of an entry; records flatten to dotted names */
  const char *name;   /* NULL: the one result without a name; "0", "1": of a tuple */
  DType dtype;
  int rank;
  Sym shape[MAX_RANK];
  bool inout;
  Id node;   /* input: its INPUT node; output: its value */
  Id update; /* of an inout: the value stored when the entry ends; 0 if it is never written */
  const char *doc;
  Loc loc;
} Port;

typedef struct Update {
  int cell;
  Id value;
  Loc loc;
} Update;

typedef struct Dim { /* a dimension in the header of an entry, kernel or plan */
  Sym var;
  const char *name;
  int64_t lo, hi;
  bool given; /* `dim N` in the parameters: not found from an input's shape */
} Dim;

/* Where sizes are compared or shown as numbers: the bound if it is small enough to mean something, else 64 or the
 * least. */
static inline int64_t dim_typical(const Dim *d) { return d->hi <= 65536 ? d->hi : d->lo > 64 ? d->lo : 64; }

typedef struct Check { /* a fact of `where` or assert over dimensions, checked at call */
  Sym cond;            /* 0 or 1 */
  const char *text;    /* the sentence or the condition as written */
  Loc loc;
} Check;

typedef struct Entry {
  const char *name, *doc;
  Graph *graph;
  SymFacts *facts;
  Vec(Dim) dims; /* in order of appearance */
  Vec(Check) checks;
  Vec(Port) inputs, outputs;
  Vec(Update) updates;
  bool training; /* marked `train` */
  Loc loc;
} Entry;

typedef struct Program {
  Ctx *ctx;
  const char *name; /* base name of the source */
  Vec(Cell) cells;  /* in order of declaration, depth first */
  Vec(Entry) entries;
} Program;

/* Sets graph->output to all that the entry needs: outputs, then updates of inouts, then updates. Call it before a pass.
 */
void entry_roots(Entry *);
/* The entry's graph becomes `to`, which graph_rebuild made of it (same inputs) with this map. */
void entry_replace(Entry *, Graph *to, const Id *map);

/* graph_text.c: the flat form (sir.md section 7). `places`: whether to print `#@`. parse(print(p)) has the same nodes
 * in the same order. The reader is in frontend/sir (it is the SIR parser and tracer of flat files). */
void program_print(const Program *, bool places, Buf *);
void graph_print_body(const Graph *, Buf *); /* for dumps and tests: one node a line */
/* graph_verify.c: every invariant above; false after diag_error (called by the driver after each pass). */
bool graph_verify(const Graph *);
bool program_verify(const Program *);
#endif
