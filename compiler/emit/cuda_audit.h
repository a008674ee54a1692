/* What compiled kernels must not do, and what they must: a fast kernel that has become slow shows it here, without a
 * GPU. No local memory (registers that did not fit, arrays indexed at run time), no advice of ptxas, instructions that
 * the kernel was written for. */
#ifndef SINTER_EMIT_CUDA_AUDIT_H
#define SINTER_EMIT_CUDA_AUDIT_H
#include "cuda_compile.h"
#include "sass.h"

typedef struct CudaMinimum {
  const char *kernel;    /* NULL: every kernel */
  const char *operation; /* as sass_named() takes it: "HGMMA", "LDG.128" */
  uint32_t least;
} CudaMinimum;

/* Of a cubin. False after a diag_error for each rule that is broken. */
bool cuda_audit(Ctx *, const CudaImage *, const CudaMinimum *, int nminima);
#endif
