/* Shape rules: what graph_node asks of compiler/op. A rule checks operands and attributes of a node to be and gives its
 * dtype and shape, so that no ill-typed node can be made. The rules are op/infer*.c; the table there is built from the
 * `shape` column of ops.def. */
#ifndef SINTER_GRAPH_INFER_H
#define SINTER_GRAPH_INFER_H
#include "graph.h"

enum { MAX_ATTRS = 8 };

typedef struct Infer {
  Graph *g;
  Op op;
  const Id *in;
  int nin;
  const int64_t *attr[MAX_ATTRS]; /* words of attribute k, in the order of ops.def */
  int nattr[MAX_ATTRS];           /* their number */
  DType dtype;                    /* the answer; DT_NONE with rank 0: a node of several results */
  int rank;
  Sym shape[MAX_RANK];
} Infer;

/* False after a diag_error at g->loc. Every operand is a node of g and the number of operands fits the arity column. */
typedef bool InferRule(Infer *);
extern InferRule *const INFER[OP_COUNT]; /* op/infer.c; NULL for Loop IR rows */

/* Whether two sizes are known to be equal, or the first known to be at most the second, by the facts of the graph. */
bool graph_same_size(const Graph *, Sym, Sym);
int graph_decide(const Graph *, SymOp, Sym, Sym); /* as sym_decide; without facts dimensions are 1 to 2^31-1 */
#endif
