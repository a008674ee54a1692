/* Sums that ride on a product on a GPU (pass/fuse.c): of its rows, for each column, or of each row along it. Blocks of
 * threads that have what is kept side by side and share what is summed; the stage that adds up what tiles have summed.
 */
#ifndef SINTER_SCHED_TILE_SUMS_H
#define SINTER_SCHED_TILE_SUMS_H
#include "lower.h"

typedef struct TileSums {
  Id sum;           /* the reduction; 0: nothing is summed */
  bool along;       /* each row, along the columns; else the rows */
  Sym summed, kept; /* rows and columns, or columns and rows, flat */
  Sym parts;        /* of what is summed */
  uint32_t partial; /* [parts][kept] */
} TileSums;

typedef struct SumBlock { /* while a block of threads is open */
  Ex part, run;           /* of what is summed; of a part the thread's */
  Ex kept, across, there; /* flat; its place in the block; whether there is such a one */
  uint32_t acc, runs;     /* a thread's register; shared memory */
} SumBlock;

/* What rides on the product of the group; its memory is a parameter of the kernel. */
TileSums tile_sums_of(Lower *, Sym rows, Sym columns);
/* The axes and threads of the stage just begun, a part of what is summed a block or (not `parts`) all of it; opens an
 * `if` where there is something to be kept. */
void tile_sums_open(Lower *, const TileSums *, bool parts, SumBlock *);
Ex tile_sums_run(Lower *, const TileSums *, const SumBlock *); /* what a thread sums of a part, in turn; opens a loop */
void tile_sums_add(Lower *, const SumBlock *, Ex value);
/* All runs together, in the threads that have the first: inside of an `if` again. */
Ex tile_sums_close(Lower *, const SumBlock *);
void tile_sums_stage(Lower *, const TileSums *); /* adds up the parts, stores what is made of the sum */
#endif
