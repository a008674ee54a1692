/* Softmax found among the primitives that it is made of. */
#ifndef SINTER_PASS_SOFTMAX_H
#define SINTER_PASS_SOFTMAX_H
#include "graph.h"

/* x where p is softmax(x) along *axis, as the library and its users write it: e / sum(e) or e * (1 / sum(e)) with
 * e = exp(x - max(x)), with or without guards for what is -inf throughout, where p is then 0. Else 0. */
Id graph_softmax(const Graph *, Id p, int *axis);
#endif
