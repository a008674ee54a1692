/* Stages of the Loop IR that have blocks of threads, as kernel text in the vocabulary of kernels/cuda: the common
 * subset of C and CUDA C++, over vocabulary.h and operations.h there. */
#ifndef SINTER_EMIT_CUDA_TEXT_H
#define SINTER_EMIT_CUDA_TEXT_H
#include "loop.h"

typedef struct CudaStage { /* how the kernel is launched */
  const char *name;
  int threads; /* of a block, along x; the grid is along x too: the product of the stage's extents */
  int shared;  /* bytes of dynamic shared memory */
  bool fails;
} CudaStage;

/* Appends the kernel `name` to a text that begins with cuda_text_begin. Its one parameter is by value a struct of
 * 8-byte words: the address of each buffer of the kernel that the stage uses, in order (16-byte aligned), then each
 * dimension as i64, then, if the stage can fail, the address of u32 counts by code, the first of which is not used. The
 * kernel is verified and its vector maths expanded. False: *why says what cannot be written. */
void cuda_text_begin(Buf *out);
bool cuda_text_stage(Kernel *, const Stage *, const char *name, CudaStage *made, Buf *out, const char **why);
#endif
