/* The reference evaluator: what a graph means. Everything else is compared with it, so it is written to be read, not to
 * be fast. Each op gives exactly what the `defined` column of ops.def says; element-wise ops are graph/scalar.h's; sums
 * (reduce_sum, dot_general, scatter_add) of floats accumulate in double in row-major order and are rounded once. In
 * `wide` mode every float is computed and handed out as f64 (gradient checks, references for tolerances). */
#ifndef SINTER_OP_EVAL_H
#define SINTER_OP_EVAL_H
#include "graph.h"
#include "scalar.h"

typedef struct Tensor { /* packed, row-major; data is the owner's */
  DType dtype;
  int rank;
  int64_t dim[MAX_RANK];
  void *data;
} Tensor;

int64_t tensor_count(const Tensor *);                            /* elements */
Tensor tensor_new(Arena *, DType, const int64_t *dim, int rank); /* zeros */
Scalar tensor_at(const Tensor *, int64_t k);                     /* element k in row-major order */
void tensor_set(Tensor *, int64_t k, Scalar);
/* The largest |a - b| over the elements: 0 for two NaNs or equal infinities, infinity where only one is such a thing or
 * shapes or types differ. *where (may be NULL) gets the element. */
double tensor_distance(const Tensor *a, const Tensor *b, int64_t *where);
double tensor_largest(const Tensor *); /* the largest finite |element|; 0 if none */

/* A failure that depends on data (an index out of range): the first node in order; in a body, the node that has it. */
typedef struct EvalFail {
  Id node; /* 0: none */
  Loc loc; /* the innermost place */
} EvalFail;

typedef struct Eval {
  SymLookup *dims; /* values of the dimensions; NULL if there are none */
  void *dims_ctx;
  const Tensor *inputs; /* by ordinal */
  int ninputs;
  const Tensor *cells; /* by number */
  int ncells;
  uint64_t seed;
  uint32_t call; /* the call number of random draws */
  bool wide;
  bool stepwise; /* sums are rounded after every addition, as a plain loop would, and half of all results are the
                  * neighbours of the nearest: how much rounding matters here */
  Arena *arena;  /* of the results */
  EvalFail fail;
} Eval;

/* Evaluates `n` nodes (with one result each) of the graph. Floats among inputs and cells may be f32 or f64 in wide
 * mode, else they have the node's type. False after a diag_error: an input of another type or shape, a dimension
 * without a value, a file that cannot be read. A data-dependent failure sets e->fail and leaves the results
 * unspecified. */
bool graph_eval(const Graph *, Eval *e, const Id *outputs, int n, Tensor *results);
/* About how many scalar operations that takes; counting stops beyond `most`. */
double graph_work(const Graph *, SymLookup *dims, void *dims_ctx, const Id *outputs, int n, double most);

typedef struct NamedTensor {
  const char *name; /* of the port; NULL for the only input */
  Tensor value;
} NamedTensor;

typedef struct NamedDim {
  const char *name;
  int64_t value;
} NamedDim;

typedef struct EntryCall {
  const NamedTensor *inputs; /* every input port once, in any order */
  int ninputs;
  const NamedDim *dims; /* those of `dim N`; others are found from the inputs */
  int ndims;
  Tensor *cells; /* one for each cell of the program; replaced when the call succeeds */
  uint64_t seed;
  uint32_t call;
  bool wide, stepwise;
  Arena *arena;    /* of all results */
  Tensor *outputs; /* one for each output port */
  Tensor *inouts;  /* NULL, or one for each input port: the new value of an inout (its old one if never written) */
  EvalFail fail;
} EntryCall;

/* One call of an entry: binds the dimensions, checks bounds and facts, evaluates. False after a diag_error (refused
 * before anything ran) or with call->fail set; then cells, outputs and inouts are as before. */
bool entry_eval(const Program *, const Entry *, EntryCall *);

/* The start values of all cells under a seed: their init, else zeros. A param without an init becomes a Tensor without
 * data (it must come from a weight file). `cells` has program->cells.n entries. False after a diag_error. */
bool cells_start(const Program *, uint64_t seed, Arena *, Tensor *cells);
#endif
