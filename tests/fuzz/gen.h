/* Bytes into valid graphs, for differential tests: any bytes give a graph that graph_verify accepts and that evaluates
 * at every size of its dimensions B (1 to 8) and N (1 to 5) without a failure, a NaN or an infinity. Magnitudes are
 * kept small, and what jumps (floor, comparisons, conversions to integers, ..) is only applied to values that every
 * correct evaluation computes exactly, so that two evaluations of one graph differ by rounding alone. All ops of the
 * graph occur but cell and load. */
#ifndef SINTER_TESTS_FUZZ_GEN_H
#define SINTER_TESTS_FUZZ_GEN_H
#include "eval.h"

typedef struct FuzzDims {
  int64_t b, n;
} FuzzDims;
enum { FUZZ_MAX_INPUTS = 6, FUZZ_MAX_B = 8, FUZZ_MAX_N = 5 };

Graph *fuzz_graph(Ctx *, const uint8_t *bytes, size_t n);     /* with outputs; some are gradients */
Program *fuzz_program(Ctx *, const uint8_t *bytes, size_t n); /* the same as entry `f(x0, ..) -> (y0, ..)` */
/* The program with f16 or bf16 where it had f64, and with its bodies inlined. False after a diag_error. */
bool fuzz_halve(Program *, DType half);
/* Adds the graph of bytes drawn with this seed to a program as entry `fSEED`; `halves`: with f16 or bf16 by turns. */
void fuzz_add(Program *, uint32_t seed, bool halves);
bool fuzz_lookup(void *fuzz_dims, const char *name, int64_t *value); /* a SymLookup */
/* Values for the inputs: floats in [-4, 4], half of them eighths, integers in [-9, 9]. Other seeds, other values. */
void fuzz_inputs(const Graph *, FuzzDims, uint64_t seed, Arena *, Tensor *in);
#endif
