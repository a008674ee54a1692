/* Plain loop nests, shared by the strategies that build them (strat_nest.c, strat_window.c, strat_conv.c). */
#ifndef SINTER_SCHED_NEST_H
#define SINTER_SCHED_NEST_H
#include "threads.h"
#include "window.h"

/* Opens loops over a shape: the first axes as stage axes, the last as a vector loop of `lanes` (0: scalar). On a GPU a
 * thread has one element. */
void nest_open(Lower *, const Sym *shape, int rank, int lanes, Ex *index);
void nest_close(Lower *);
uint32_t nest_result(Lower *, Id v); /* the memory of v, which the kernel itself reads again */

/* The operand's place along an axis of n elements of element k of window p. What has to hold for it to be there is
 * added to *inside (0: it always is). */
Ex window_place(Lower *, const Windows *, int axis, Sym n, Ex p, Ex k, Ex *inside);
/* lower_pull where `inside` holds (0: everywhere), else `other`; there the index may be anything. */
Ex window_pull(Lower *, Id v, const Ex *index, int n, Ex inside, Ex other);
/* Whether `value` comes before `old` as a window's maximum: it is larger, or the first that is NaN; or there is `none`.
 */
Ex window_wins(Lower *, Ex value, Ex old, Ex none);
/* window_rows.c: a pool, or the gradient of max pooling whose windows have every element, where rows are short and
 * windows two wide; else false. `cost`: operations a window. */
bool window_rows(Lower *, Id v, const Windows *, double cost);
#endif
