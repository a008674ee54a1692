/* bench_gpu's parts: what a call gave, checked; the same product by cuBLAS. */
#ifndef SINTER_BENCH_PARTS_H
#define SINTER_BENCH_PARTS_H
#include "kit.h"
#include <stdbool.h>

typedef struct BenchTensor {
  uint32_t dtype, rank;
  int64_t dim[SINTER_MAX_RANK];
  const void *host, *gpu;
} BenchTensor;

/* How far a result is from one computed in f64, at elements drawn by chance: the root of the summed squares of the
 * differences, over that of the values. */
double check_product(const BenchTensor *a, const BenchTensor *b, const BenchTensor *y); /* y = a b, all in rows */
double check_attention(const BenchTensor *q, const BenchTensor *k, const BenchTensor *v, const BenchTensor *y,
                       bool causal);

/* cuBLAS, as the library KIT_CUBLAS or one that is found by its name; false: `why`. It works on `stream`, on which
 * the caller waits. */
typedef struct Cublas {
  void *handle;
  int (*product)(void *, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int,
                 const void *, void *, int, int, int, int);
} Cublas;
bool cublas_open(Cublas *, void *stream, const char **why);
bool cublas_product(const Cublas *, const BenchTensor *a, const BenchTensor *b, const BenchTensor *y,
                    bool tf32); /* into y */
#endif
