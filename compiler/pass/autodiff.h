/* Symbolic reverse mode: gradients are more nodes of the same graph, so they can be differentiated again. The rules are
 * op/vjp.h; a composite or call goes back through its body, made again in the graph. Nothing is recomputed on purpose
 * (nodes merge with the forward ones). A backward node has the place of its forward node. */
#ifndef SINTER_PASS_AUTODIFF_H
#define SINTER_PASS_AUTODIFF_H
#include "graph.h"

/* out[i] = the sum over k of cts[k] times the derivative of ys[k] by wrt[i], with type and shape of wrt[i]; 0 where
 * nothing flows (no path, only integers on it, stop_gradient). cts[k] has the shape of ys[k]; NULL: ones. What lies
 * behind a wrt is not visited: wrt nodes count as independent of each other. False after a diag_error. */
bool graph_grad(Graph *g, const Id *ys, const Id *cts, int ny, const Id *wrt, int nwrt, Id *out);

/* Whether y is wrt or depends on it by any path of operands, whatever flows there. */
bool graph_depends(const Graph *g, Id y, Id wrt);
#endif
