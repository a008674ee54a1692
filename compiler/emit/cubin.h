/* A reader of cubins, the ELF files of machine code for NVIDIA's GPUs as CUDA 13 writes them (ABI 8): what a launch
 * must know of a kernel, and its instructions. NVIDIA does not document the format; what is read here was compared with
 * nvdisasm, cuobjdump and what ptxas prints. */
#ifndef SINTER_EMIT_CUBIN_H
#define SINTER_EMIT_CUBIN_H
#include "arena.h"
#include <stdbool.h>

typedef struct CubinParam {
  uint32_t offset, size; /* bytes, in the block of parameters */
} CubinParam;

typedef struct CubinKernel {
  const char *name;
  uint32_t registers;   /* a thread */
  uint32_t frame;       /* bytes of local memory a thread */
  uint32_t shared;      /* bytes of static shared memory a block */
  uint32_t threads[3];  /* of a block at most (__launch_bounds__), along x, y, z; 0: not said */
  uint32_t param_bytes; /* of all parameters */
  uint32_t nparams;     /* in the order of the source */
  CubinParam *param;
  const uint8_t *code; /* CUBIN_INSTRUCTION bytes each */
  uint32_t ninstructions;
} CubinKernel;
enum { CUBIN_INSTRUCTION = 16 };

typedef struct Cubin {
  uint32_t sm; /* 90: sm_90 or sm_90a, which the file does not tell apart */
  uint32_t nkernels;
  CubinKernel *kernel; /* sorted by name */
} Cubin;

/* `p`: n bytes, aligned to 8, which the result points into. False with a sentence part in *why ("its table of sections
 * is damaged"): any bytes are safe to read. */
bool cubin_read(Arena *, const void *p, size_t n, Cubin *, const char **why);
#endif
