/* Sums of rows on a GPU that ride on a product (pass/fuse.c): blocks of threads that have the columns side by side and
 * share their rows, and the stage that adds up what tiles have summed. */
#ifndef SINTER_SCHED_COLUMN_SUMS_H
#define SINTER_SCHED_COLUMN_SUMS_H
#include "lower.h"

typedef struct ColumnSums {
  Id sum; /* the reduction; 0: nothing is summed */
  Sym rows, columns, parts;
  uint32_t partial; /* [parts][columns] */
} ColumnSums;

typedef struct SumBlock { /* while a block of threads is open */
  Ex part, run, column;   /* of the rows; of a part the thread's; flat */
  Ex across, inside;      /* the thread among its columns; whether there is a column */
  uint32_t acc, runs;     /* a thread's register; shared memory */
} SumBlock;

/* What rides on the product of the group; its memory is a parameter of the kernel. */
ColumnSums column_sums_of(Lower *, Sym rows, Sym columns);
/* The axes and threads of the stage just begun, one part of the rows a block or (not `parts`) all of them; opens an
 * `if` where there is a column. */
void column_sums_open(Lower *, const ColumnSums *, bool parts, SumBlock *);
void column_sums_add(Lower *, const SumBlock *, Ex value);
/* All runs together, in the threads that have one: inside of an `if` again. */
Ex column_sums_close(Lower *, const SumBlock *);
void column_sums_stage(Lower *, const ColumnSums *); /* adds up the parts, stores what is made of the sum */
#endif
