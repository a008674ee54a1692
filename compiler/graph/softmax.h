/* Softmax found among the primitives that it is made of. */
#ifndef SINTER_GRAPH_SOFTMAX_H
#define SINTER_GRAPH_SOFTMAX_H
#include "graph.h"

/* softmax(x) along an axis as the library and its users write it: e * scale or e / scale, with e = exp(x - most). */
typedef struct Softmax {
  Id x, most, e, sum;
  Id scale;     /* 1 / sum or sum, in the shape of x */
  int axis;     /* along which `most` and `sum` reduce */
  bool divides; /* e / scale */
  bool guarded; /* where x is -inf throughout, 0 stands for `most`: no NaN */
} Softmax;

/* Whether p is softmax; graphs before and after pass/half.c, whose roundings x and e do not have. */
bool graph_softmax(const Graph *, Id p, Softmax *);

/* The f32 that v is but for a rounding to 16 bits made by pass/half.c, which a kernel that has both leaves out. */
Id graph_unrounded(const Graph *, Id v);
#endif
