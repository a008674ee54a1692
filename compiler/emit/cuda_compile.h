/* CUDA C to machine code, without a GPU: every program for every architecture by a child process of its own, because
 * NVRTC can crash, and because it does not use several processors within one process. A crash, a hang, running out of
 * memory and a mistake in the text are sentences; then the text is kept in a file that the sentence names. The code
 * depends on program, architecture, options and NVRTC alone. */
#ifndef SINTER_EMIT_CUDA_COMPILE_H
#define SINTER_EMIT_CUDA_COMPILE_H
#include "children.h"
#include "cuda_rtc.h"

typedef struct CudaFunction { /* what ptxas says of a kernel, or of a function that is not inlined */
  const char *name;
  bool kernel;
  uint32_t registers;                        /* of a kernel */
  uint32_t shared;                           /* static shared memory, bytes, of a kernel */
  uint32_t stack, spill_stores, spill_loads; /* bytes */
} CudaFunction;
typedef Vec(CudaFunction) CudaFunctions;
typedef Vec(const char *) CudaAdvice;

typedef struct CudaImage {
  const CudaProgram *program;
  const char *arch;    /* "sm_90a", "compute_80" */
  const uint8_t *code; /* a cubin; for compute_*: PTX, ended by '\0' beyond its size. NULL: it failed */
  size_t size;
  const char *log;
  CudaFunctions functions; /* of a cubin */
  CudaAdvice advice;       /* lines of ptxas with a number C75xx: wgmma or setmaxnreg are not as they were meant; C7519,
                              a fence that ptxas puts in, is none */
  double seconds;          /* processor time */
} CudaImage;

typedef struct CudaOptions {
  const LinkFolder *folder; /* for what is in between */
  const char *const *archs;
  int narchs;
  const char *const *options; /* further ones of NVRTC: "-DN=4" */
  int noptions;
  const char
      *keep;   /* the folder where texts of failed programs go, each in a new folder; NULL: that for temporary files */
  int jobs;    /* processes at once; 0: one a processor */
  int seconds; /* a process may take; 0: CUDA_SECONDS */
  uint64_t memory; /* address space of a process, bytes; 0: no limit */
} CudaOptions;
enum { CUDA_SECONDS = 300 };

/* Fills images[program * narchs + arch]. All are tried; false after a diag_error for each that failed. */
bool cuda_compile(Ctx *, const CudaRtc *, const CudaProgram *, int nprograms, const CudaOptions *, CudaImage *images);

/* The files of kernels/cuda, which kernel text includes; put into the compiler when it is built. */
extern const CudaHeader CUDA_HEADERS[];
extern const int CUDA_HEADER_COUNT;

void cuda_read_log(Arena *, CudaImage *); /* `functions` and `advice` from `log` */
#endif
