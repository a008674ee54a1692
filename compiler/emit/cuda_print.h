/* The inner state of the printer of kernel text, for the files that print parts of a stage: cuda_text.c, which owns it,
 * and cuda_holes.c. */
#ifndef SINTER_EMIT_CUDA_PRINT_H
#define SINTER_EMIT_CUDA_PRINT_H
#include "cuda_text.h"

typedef struct Cuda {
  Kernel *k;
  const Stage *stage;
  DType index; /* of what is idx: i32 where that holds all (loop_narrow), else i64 */
  Arena *arena;
  Buf out;
  const char *error;
  bool part; /* a function of a kernel, which gives it the number of its block */
  int depth, shared;
  uint32_t names, now;
  const char **var;       /* of a variable: its name, of lane l with ll behind */
  const char **mask;      /* by lane: which are active; NULL: all */
  uint32_t *stamp, *uses; /* of expressions in the statement being written */
  const char ***lane;     /* of an expression: the text of each lane; under `stamp` */
  bool *alone;            /* of a buffer: no other name for its memory */
  bool *used;             /* of a variable: some statement other than a let needs it */
} Cuda;

/* What stands before a body, each as it is used by what follows. */
typedef struct Given {
  const char *name, *text;
} Given;
typedef Vec(Given) Givens;

/* The expressions of the kernel are all there; the arena is the caller's to free. */
Cuda cuda_print_new(Kernel *, const Stage *);
void cuda_print_given(Cuda *);                                              /* names of dimensions */
void cuda_print_block(Cuda *, const Stmt *);                                /* appends to c->out */
const char *cuda_print_value(Cuda *, Ex);                                   /* of a scalar, where c->out ends */
const char *cuda_print_place(Cuda *, uint32_t buf, const Ex *index, int n); /* "x_b0 + offset", of lane 0 */
const char *cuda_print_reg(const Cuda *, uint32_t reg);
/* The struct NAME_args, and the names of its words for bodies. */
void cuda_print_arguments(Cuda *, const CudaWanted *, const bool *loads, const bool *stores, CudaStage *made, Givens *,
                          Buf *out);
void cuda_print_body(const Givens *, const char *body, Buf *out);
#endif
