/* A group of rows on its way to a kernel: strat_row.c, and row_sums.c for the rows that no block of threads can hold.
 */
#ifndef SINTER_SCHED_ROW_H
#define SINTER_SCHED_ROW_H
#include "lower.h"

typedef struct RowSum RowSum;
typedef struct Gather Gather;

typedef struct Row {
  Lower *l;
  int *level;       /* node -> level, for members */
  uint8_t *rowwise; /* node -> one value a row (a reduction, or at row positions) */
  Id *waits;        /* node -> the output in whose memory it waits for a later pass */
  uint32_t *reg;    /* node -> register + 1 that holds it along the row */
  int sums;         /* registers of each reduction in the pass under way */
  int lanes, nv;    /* nv: vectors of a held row, 0: not held */
  int last;
  int rows;            /* of a task, 1 or 2 */
  bool *one;           /* node -> it has one value a row, whatever its shape; with `apart` */
  RowSum **apart;      /* node -> how its sum is gathered a pass early; NULL: no sum is */
  Vec(Gather) gathers; /* of the pass under way */
  Ex vector;           /* number of the one where the body of a thread stands */
} Row;

bool row_member(const Row *, Id);
bool row_reduction(const Row *, Id);
Ex row_vectors(const Row *); /* how many the threads of a row have among them */
int row_level(Row *, Id);    /* how many passes over the row come before v is known, or what is needed to work it out */

void row_sums_begin(Row *); /* from now on sums are gathered early */
/* Whether v, a sum over what is known after `level` passes, can be gathered by pass number level - 1. */
bool row_sum_early(Row *, Id v, int level);
/* Registers of a thread for all sums that are gathered early, in words. */
int64_t row_sums_words(Row *);
/* Pass number `level` begins: its registers. `acc`: member -> register + 1 of its reduction; that of a largest element
 * may serve both. */
void row_sums_open(Row *, int level, const uint32_t *acc);
void row_sums_step(Row *); /* where the body stands */
/* After the pass: the part of sum v that this thread has, in lanes. What the row has one of may be worked out now. */
Ex row_sum_part(Row *, Id v);
#endif
