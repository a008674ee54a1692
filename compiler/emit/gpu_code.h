/* The plans of a program as code for GPUs. Planned once (level); text and launches may differ from one kind of
 * architecture to another (GpuText), code does for each (GpuArch). */
#ifndef SINTER_EMIT_GPU_CODE_H
#define SINTER_EMIT_GPU_CODE_H
#include "cuda_batch.h"
#include "cuda_compile.h"
#include "plan.h"

typedef struct GpuLaunch { /* steps of a plan that are one launch: stages that run at once (Step.batch), a stage, a copy
                            */
  const Step **step;
  int n;
  const Step *next; /* the first step of the next one, NULL at the end */
} GpuLaunch;

typedef struct GpuFunction { /* once for all launches that are alike */
  CudaPart *part;            /* its stages; of the copy of bytes: no kernel, only whether it is a commit */
  int nparts;
  const char *name;
  int threads, shared;
  bool fails, commit; /* of some part */
  CudaStage made;     /* of a stage alone */
  CudaBatch batch;    /* of several */
  int program;        /* in GpuText.programs */
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

bool gpu_is_ptx(const GpuArch *);

/* False after a diag_error: it is no cubin. What is slow in it (cuda_audit) is a warning. */
bool gpu_accept(Ctx *, const CudaImage *);

/* "sm_80,sm_90a,compute_80": each once, in this order. False after diag_error. */
bool gpu_archs(Ctx *, const char *list, GpuCode *);
/* The text of every step of the entries (start values are computed by the processor). False after diag_error: what
 * cannot be written. */
bool gpu_texts(const Program *, GpuCode *);
/* The launch that begins at this step or, for a barrier launches nothing, behind it; n 0: there is none any more. */
GpuLaunch gpu_launch(const GpuCode *, const Step *);
const GpuFunction *gpu_function(const GpuCode *, const GpuText *, const GpuLaunch *, int *number);
Sym gpu_in_plan(Ctx *, const Kernel *, const Step *, Sym); /* over the dimensions of the plan, which the step gives */
/* Blocks of part number i, and of the whole launch, over the dimensions of the plan. */
Sym gpu_part_grid(Ctx *, const GpuFunction *, const GpuLaunch *, int i);
Sym gpu_grid(Ctx *, const GpuFunction *, const GpuLaunch *);
/* Compiles and looks through all. False after diag_error. */
bool gpu_compile(Ctx *, const CudaRtc *, const LinkFolder *, int jobs, GpuCode *);

enum { GPU_COPY_THREADS = 256, GPU_COPY_BYTES = 16 /* a thread */ };
#endif
