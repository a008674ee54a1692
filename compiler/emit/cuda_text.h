/* Stages of the Loop IR that have blocks of threads, as kernel text in the vocabulary of kernels/cuda: the common
 * subset of C and CUDA C++, over vocabulary.h and operations.h there. */
#ifndef SINTER_EMIT_CUDA_TEXT_H
#define SINTER_EMIT_CUDA_TEXT_H
#include "loop.h"

/* What a launch passes. The words (BUFFER, DIM, FAILED) are one struct by value, the kernel's first parameter: 8 bytes
 * each, the address of a buffer (16-byte aligned), a dimension as i64, the address of the call's failures (fail_with in
 * operations.h). Each TENSOR is a parameter of its own behind it. */
typedef enum { CUDA_BUFFER, CUDA_DIM, CUDA_FAILED, CUDA_TENSOR } CudaArgKind;
typedef struct CudaArg {
  CudaArgKind kind;
  uint32_t index; /* BUFFER: parameter of the Loop IR's kernel; DIM: its dimension; TENSOR: in CudaStage.tensors */
} CudaArg;

typedef struct CudaTensor { /* a map as cuTensorMapEncodeTiled makes it: elements, innermost axis first */
  uint32_t buf;             /* parameter of the Loop IR's kernel */
  DType dtype;
  int rank, swizzle;     /* swizzle: 0, 32, 64, 128 bytes */
  Sym at;                /* bytes beyond the buffer's start, a multiple of 16 */
  Sym dim[5], stride[4]; /* strides in bytes, multiples of 16, of axes 1 to rank - 1 */
  uint32_t box[5];
} CudaTensor;

typedef struct CudaStage { /* how the kernel is launched; Syms are over the dimensions of the Loop IR's kernel */
  const char *name;
  int threads;    /* of a block, along x */
  Sym grid;       /* blocks, along x */
  int shared;     /* bytes of dynamic shared memory */
  bool fails;     /* it can count a failure */
  bool reordered; /* it sums in another order than the Loop IR does: roundings differ */
  DType rounds;   /* and rounds what it multiplies to these 16 bits, if they are */
  Vec(CudaArg) args;
  Vec(CudaTensor) tensors;
  const char
      *schedule; /* of a skeleton, for people: "gemm_sm80(128 x 128 x 64, 3 stages)"; NULL: printed from the stage */
  const char *unfit; /* of attention that is: why no skeleton stands for it */
} CudaStage;

typedef struct CudaWanted {
  int sm;           /* 80, 90 (which is sm_90a) */
  bool commit;      /* it is launched behind what may fail, and stores nothing once that has */
  const char *name; /* of the kernel */
} CudaWanted;

/* Appends the kernel to a text that begins with cuda_text_begin. The Loop IR is verified and its vector maths expanded;
 * *made is allocated in its arena. False: *why says what cannot be written. */
void cuda_text_begin(Buf *out);
bool cuda_text_stage(Kernel *, const Stage *, const CudaWanted *, CudaStage *made, Buf *out, const char **why);
/* The same as a function NAME(NAME_args, u32 block), of a kernel that shares its blocks out (cuda_batch.h). */
bool cuda_text_part(Kernel *, const Stage *, const CudaWanted *, CudaStage *made, Buf *out, const char **why);
#endif
