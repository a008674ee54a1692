/* What the two strategies of attention share. */
#ifndef SINTER_SCHED_ATTENTION_H
#define SINTER_SCHED_ATTENTION_H
#include "gemm.h"

Id attention_scores(const Lower *); /* the product of the scores: the other one of the group */
/* How many of `keys` the rows up to `last` see at most, where a causal mask hides the others; else all. */
Ex attention_seen(Lower *, const Attention *, Ex last, Ex keys);
/* Work and operations of the stage begun, whose tasks have so many rows; a score's exponential and masks are taken as
 * so many products. */
void attention_work(const Gemm *scores, Sym columns, int rows);
void attention_threads(Lower *); /* of a GPU */
#endif
