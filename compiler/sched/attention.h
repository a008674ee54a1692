/* What the two strategies of attention share. */
#ifndef SINTER_SCHED_ATTENTION_H
#define SINTER_SCHED_ATTENTION_H
#include "gemm.h"

Id attention_scores(const Lower *); /* the product of the scores: the other one of the group */
/* Works out what such a mask compares keys with in this row, instead of reading it: it is then sure to grow by rows. */
void attention_limit(Lower *, const Softmax *, Ex row);
/* How many of `keys` the rows up to `last` see at most, where a causal mask hides the others; else all. */
bool attention_hides(const Lower *, const Softmax *); /* such a mask is all that hides keys, and the last operation */
Ex attention_seen(Lower *, const Softmax *, Ex last, Ex keys);
/* Work and operations of the stage begun, whose tasks have so many rows; a score's exponential and masks are taken as
 * so many products. */
void attention_work(const Gemm *scores, Sym columns, int rows);
void attention_threads(Lower *); /* of a GPU */

/* What its two forms on a GPU share: i, or the last one below n; an unrolled loop, until loop_end. */
Ex attention_last(Kernel *, Ex i, Ex n);
void attention_each(Kernel *, const char *name, int n, Ex *var);
#endif
