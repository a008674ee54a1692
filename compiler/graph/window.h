/* Windows: what conv_general, reduce_window_*, select_and_scatter and select_and_gather share. Along an axis, element i
 * of the operand stands at place i * base; lo places before the first and hi after the last hold nothing (a negative
 * number takes places away). Window p begins at place p * stride - lo and has `size` elements `step` places apart;
 * there are as many windows as lie within. conv_general has one of these an axis of space, the others one an axis of
 * the operand. */
#ifndef SINTER_GRAPH_WINDOW_H
#define SINTER_GRAPH_WINDOW_H
#include "graph.h"

typedef struct Windows {
  int n;                                                    /* axes */
  int64_t stride[MAX_RANK], base[MAX_RANK], step[MAX_RANK]; /* all at least 1 */
  Sym size[MAX_RANK], lo[MAX_RANK], hi[MAX_RANK];           /* size: numbers, but of conv_general those of w */
} Windows;

Windows window_plain(const Graph *, int n);       /* windows of one element, nothing around: y is x */
void window_read(const Graph *, Id v, Windows *); /* of a WINDOW node */
Sym window_span(const Graph *, Sym count,
                int64_t step); /* places from the first of `count` elements to behind the last */
/* Windows of an axis of n elements. Not decided whether that is negative: that is up to the caller. */
Sym window_count(const Graph *, const Windows *, int axis, Sym n);
/* Sets hi of this axis so that exactly `count` windows fit and no place is left over. */
void window_fit(const Graph *, Windows *, int axis, Sym n, Sym count);

Id g_conv(Graph *, Id x, Id w, const Windows *, int64_t groups, int64_t batch_groups, bool reverse);
Id g_window(Graph *, Op, Id x, Id other, const Windows *); /* other: the second operand of select_and_*, else 0 */
#endif
