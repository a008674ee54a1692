/* What one call of an entry means, and whether results computed elsewhere are as good. */
#ifndef SINTER_OP_REFERENCE_H
#define SINTER_OP_REFERENCE_H
#include "eval.h"

typedef enum Part { PART_OUTPUT, PART_CELL, PART_INOUT } Part;

typedef struct Reference {
  const Program *p;
  const Entry *e;
  EntryCall call;         /* as given: cells before the call, no results */
  bool ok;                /* false: the call fails because of its data */
  EntryCall want;         /* the evaluator's results */
  EntryCall wide, nudged; /* in f64, and by careless rounding; made when first wanted */
} Reference;

/* `call` gives inputs, dimensions, cells, seed and arena, which must live on; its cells stay as they are. False after a
 * diag_error; a failure that depends on data is a result. */
bool reference_run(Reference *, const Program *, const Entry *, const EntryCall *call);
/* Output, cell or inout number i after the call; after a failure cells and inouts are as before, outputs have no value.
 */
const Tensor *reference_result(const Reference *, Part, uint32_t i);
/* How far `got` is from that, in units of what may be: up to 1 is good. Integers are equal or 2 units away. `*at` (may
 * be NULL) gets the element that is furthest. A float may be 4e-6 (f64: 1e-13, 16 bits: one unit in the last place) of
 * the tensor's largest value away. Beyond, a result is measured by its distance from the same call computed in f64: it
 * may be 8 times as far as rounding alone leads there, which is read off the evaluator, and again with all inputs moved
 * by one unit in their last place, sums rounded at each addition and half of all results by one unit beside. Where
 * rounding is magnified (cancellation, quotients of small numbers) it is for all. So it is for 16 bits, which the
 * evaluator rounds after each op, a kernel only where it stores them (sched/README.md): at some of the same places, and
 * so no worse. */
double reference_distance(Reference *, Part, uint32_t i, const Tensor *got, int64_t *at);
/* The rule's first part alone, for values that no call makes. */
double reference_plain_distance(const Tensor *got, const Tensor *want, int64_t *at);
#endif
