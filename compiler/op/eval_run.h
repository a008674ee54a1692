/* Shared by the files of the evaluator (eval*.c) and nobody else: values under way and the helpers that move them. */
#ifndef SINTER_OP_EVAL_RUN_H
#define SINTER_OP_EVAL_RUN_H
#include "eval.h"

typedef struct Value Value;
struct Value { /* freed by value_free */
  DType dtype;
  int rank;
  int64_t dim[MAX_RANK], n;
  Scalar *at;
  Value *part; /* of a node of several results: nparts values */
  int nparts;
};

typedef struct Frame { /* one graph under evaluation */
  Eval *e;
  const Graph *g;
  const Value *const *args; /* of its inputs */
  int nargs, depth;
  Id outer; /* in a body: the node of the outermost graph */
} Frame;

/* Fills out->at: type, shape and zeroed elements are there already (not of a node of several results). False after a
 * diag_error. */
typedef bool EvalFn(Frame *, Id v, const Value *const *in, int nin, Value *out);
#define OP(NAME, text, arity, cls, flags, dtypes, attrs, shape, vjp, eval, ...) EvalFn eval_##eval;
#include "ops.def"
#undef OP

DType eval_type(const Frame *, DType);                         /* f64 for floats in wide mode */
void eval_add(const Frame *, DType, Scalar *sum, Scalar term); /* floats in double, or as Eval.stepwise says */
void eval_add_product(const Frame *, DType, Scalar *sum, Scalar x, Scalar y);
bool eval_sym(const Frame *, Id v, Sym, int64_t *out);
bool eval_syms(const Frame *, Id v, const char *attr, int64_t *out); /* an S attribute */
bool eval_refuse(const Frame *, Id v, const char *why); /* the values do not fit the node: false after diag_error */
void eval_fail(Frame *, Id v);
bool frame_run(Frame *, const Id *outputs, int n, Value *results);
void value_free(Value *);

void eval_strides(const int64_t *dim, int rank, int64_t *stride);
/* Copies a block of dim[rank] elements; element idx goes from src[from + sum idx * sstride] to dst[to + sum idx *
 * dstride]. */
void eval_copy(Scalar *dst, int64_t to, const int64_t *dstride, const Scalar *src, int64_t from, const int64_t *sstride,
               const int64_t *dim, int rank);
#endif
