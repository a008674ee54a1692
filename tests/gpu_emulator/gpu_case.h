/* One problem for a test kernel: inputs from a fixed stream of numbers, a launch in the emulator, the result against
 * f64. */
#ifndef SINTER_TESTS_GPU_CASE_H
#define SINTER_TESTS_GPU_CASE_H
#include "emulator.h"

typedef struct GpuCase {
  const char *kernel; /* its name; what precedes a dot says which problem it solves: "gemm_sm80.no_wait" */
  int size[3];        /* softmax: rows, columns. gemm: M, N, K. attention: heads, positions, causal; of the
                         variants: heads, queries, keys. misuse: which */
  uint32_t seed;
  bool lazy;
} GpuCase;

typedef struct GpuResult {
  bool ran;      /* else report.message says why not */
  double error;  /* root of the sum of squares, relative; NaN if the kernel wrote NaN, or nothing */
  uint64_t hash; /* of the bits of the result */
  EmulatorReport report;
} GpuResult;

bool gpu_case_run(const GpuCase *, GpuResult *); /* false: no such kernel */

/* Results are rounded to bf16, half a unit of 2^-8 at most: 1.7e-3 in the root mean square. */
#define GPU_CASE_RIGHT(r) ((r).ran && (r).error < 3e-3)
#endif
