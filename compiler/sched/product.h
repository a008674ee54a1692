/* What products and convolutions for a GPU share: they note the parts of their plain form (LoopProduct), and cut a sum
 * that is long where the result is small. */
#ifndef SINTER_SCHED_PRODUCT_H
#define SINTER_SCHED_PRODUCT_H
#include "lower.h"

typedef struct ProductCut { /* parts 0: the sum is whole */
  int64_t parts;
  Sym chunk;        /* of the first axis summed over, a part */
  uint32_t scratch; /* [parts][result], the caller's */
} ProductCut;

/* Where the result has few tiles and the sum is long, as in the gradients of weights, parts of it are work for more
 * blocks. Their number is fixed, their length follows the sizes; each begins at a multiple of so many terms, where a
 * step of a tile does. `inner`: terms for each index of the first axis. */
ProductCut product_cut(const Lower *, Sym outer, Sym rows, Sym columns, Sym first, Sym inner, int64_t begins);

void product_axis(const Lower *, LoopAxes *, Ex var, Sym extent); /* noted behind the others */
/* Opens the loop over an axis of the sum and notes it; the first one's from where a part begins to where it ends. */
void product_loop(Lower *, LoopProduct *, const char *name, Sym extent, ForMode, const ProductCut *, Ex part, Ex *var);
/* Sizes that are known to be whole vectors become facts of the kernel: rows of them can be moved 16 bytes at a time. */
void product_whole(Lower *, const LoopProduct *);
Stmt **product_next(const Kernel *); /* where the next statement of the block being built will be */
#endif
