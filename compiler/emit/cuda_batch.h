/* Several stages that may run at the same time (Step.batch) as one kernel: its blocks are shared out among them, each
 * runs the text that it has alone (cuda_text.h), so that results are the same to the bit. */
#ifndef SINTER_EMIT_CUDA_BATCH_H
#define SINTER_EMIT_CUDA_BATCH_H
#include "cuda_text.h"

typedef struct CudaPart {
  Kernel *kernel;
  const Stage *stage;
  bool commit;
} CudaPart;

/* The launch: (threads, 1, 1) threads, the sum of the parts' grids along x, one argument, a struct of words of 8 bytes:
 * for each part, in the order of `order`, the number of its first block and then the words of its own stage. */
typedef struct CudaBatch {
  const char *name;
  int threads, shared;
  bool fails;
  const CudaStage **stage; /* of each part, as it was given: its grid and its words */
  int *order;              /* numbers of parts */
} CudaBatch;

/* What a launch may pass: 4 KB. */
enum { CUDA_BATCH_WORDS = 512 };
int cuda_batch_words(const CudaPart *); /* that a part takes, at most */
/* Appends the kernel to a text that begins with cuda_text_begin. Equal parts have one text. *made is allocated in the
 * arena of the kernels. False: *why says what cannot be written. */
bool cuda_batch(const CudaPart *, int n, const CudaWanted *, CudaBatch *made, Buf *out, const char **why);
#endif
