/* Translation validation: an entry as planned for a level, run by the loop interpreter, against its graph, run by the
 * reference evaluator, on seeded inputs. Used by `--check` and by the tests. */
#ifndef SINTER_CHECK_H
#define SINTER_CHECK_H
#include "plan.h"

typedef struct CheckResult {
  double distance;   /* largest |difference| over the tolerance's scale: at most 1 is good */
  const char *where; /* "output loss", "cell fc.weight" */
} CheckResult;

enum { CHECK_MOST = 100000000 }; /* operations of an evaluation that are worth waiting for: some seconds */
/* Why checking the entry (-1: the start values) is not worth trying: "evaluating it takes more than ..."; NULL: do. */
const char *check_too_much(const Program *, int entry, int64_t size);

/* Every dimension gets the value nearest to `size` that its bounds and the facts of `where` allow. Inputs lie in
 * [-2, 2], every other one an eighth, or are 0, 1 and 2 where they are whole. False after a diag_error: a fault of the
 * interpreter, or values that are further from the graph than op/reference.h allows. Packed parameters are made by
 * their own plans. */
bool check_entry(const Unit *, const LevelUnit *, int entry, int64_t size, uint64_t seed, CheckResult *);
/* The start values of all cells under a seed, likewise. */
bool check_start(const Unit *, const LevelUnit *, uint64_t seed, CheckResult *);

/* The program as it is now; passes leave the graphs it refers to as they are. */
Program check_snapshot(const Program *);
/* An entry before and after a graph pass, both by the reference evaluator, with start values of cells. Inputs as above.
 */
bool check_pass(const Program *before, const Program *after, const char *pass, int entry, int64_t size, uint64_t seed);
#endif
