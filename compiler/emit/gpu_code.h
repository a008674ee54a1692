/* The plans of a program as code for GPUs. Planned once (level); text and launches may differ from one kind of
 * architecture to another (GpuText), code does for each (GpuArch). */
#ifndef SINTER_EMIT_GPU_CODE_H
#define SINTER_EMIT_GPU_CODE_H
#include "cuda_compile.h"
#include "cuda_text.h"
#include "plan.h"

typedef struct GpuFunction { /* a stage as steps launch it, or (kernel -1) the copy of bytes; once for all that are
                                alike */
  int kernel, stage;
  bool commit;
  CudaStage made; /* of a copy: name and threads */
  int program;    /* in GpuText.programs */
} GpuFunction;

typedef struct GpuText {
  int sm; /* CudaWanted.sm */
  Vec(GpuFunction) functions;
  Vec(CudaProgram) programs; /* several kernels each */
} GpuText;

typedef struct GpuArch {
  const char *name; /* "sm_90a" */
  int kind, sm;     /* SINTER_GPU_* of runtime/abi.h; 90 */
  int text;         /* in GpuCode.texts */
  CudaImage *code;  /* by program of the text */
} GpuArch;

typedef struct GpuCode {
  LevelUnit level;
  Vec(GpuText) texts;
  Vec(GpuArch) archs; /* none: not asked for */
} GpuCode;

/* "sm_80,sm_90a,compute_80": each once, in this order. False after diag_error. */
bool gpu_archs(Ctx *, const char *list, GpuCode *);
/* The text of every step of the entries (start values are computed by the processor). False after diag_error: what
 * cannot be written. */
bool gpu_texts(const Program *, GpuCode *);
/* The same text has one function; NULL: the step launches nothing. */
const GpuFunction *gpu_function(const GpuText *, const Step *, int *number);
Sym gpu_in_plan(Ctx *, const Kernel *, const Step *, Sym); /* over the dimensions of the plan, which the step gives */
/* Blocks of a launch, over the dimensions of the plan. */
Sym gpu_grid(Ctx *, const GpuCode *, const GpuFunction *, const Step *);
/* Compiles and audits all. False after diag_error. */
bool gpu_compile(Ctx *, const CudaRtc *, const LinkFolder *, int jobs, GpuCode *);

enum { GPU_COPY_THREADS = 256, GPU_COPY_BYTES = 16 /* a thread */ };
#endif
