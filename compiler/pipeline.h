/* Inside of the compiler: one run through the passes, shared by the driver (pipeline.c), code
 * generation in child processes (objects.c) and explain.c. */
#ifndef SINTER_PIPELINE_H
#define SINTER_PIPELINE_H
#include "c_text.h"
#include "compiler.h"
#include "emitter.h"
#include "host_blob.h"
#include "link.h"
#include "plan.h"

typedef struct Compilation {
  Program *program;
  const CompileOptions *options;
  CompileResult *result;
  Unit unit;
  LevelUnit level[LEVEL_COUNT];
  int nlevels;
  GpuCode gpu;
  const CudaRtc *rtc;               /* wanted for options->gpu */
  bool *unchecked, start_unchecked; /* by --check: an entry each; the start values */
  int dumps;                        /* files written to dump_dir so far */
  double since;                     /* seconds, start of the step being timed */
} Compilation;

bool compile_levels(Compilation *); /* options->cpu to level[].target; false after diag_error */
bool compile_graphs(Compilation *); /* the graph passes */
bool compile_loops(Compilation *);  /* plans and kernels of every level */
bool compile_dump(Compilation *, const char *name, const char *ext, const Buf *text);
void compile_timed(Compilation *, const char *name); /* notes the time since the last call; "": only starts the clock */

/* gpu.c: options->gpu */
bool gpu_choose(Compilation *);                          /* architectures, and whether NVRTC compiles for them */
bool gpu_write(Compilation *);                           /* the text of the kernels that the level has */
bool gpu_build(Compilation *, const LinkFolder *folder); /* their code */

/* explain.c: what `sinter explain` prints of levels that compile_loops made. */
void explain_levels(const Compilation *, Buf *);
void explain_dims(const Plan *, Buf *); /* "at B = 256, T = 64": dimensions as plan_typical has them */
/* explain_gpu.c: of one launch, for each architecture. */
void explain_launch(const Compilation *, const Plan *, const Step *, Buf *);

/* bench_source.c: a kernel with its stages and sizes; options: one level, an `emit` that comes to code. */
bool bench_kernel(Compilation *, const BenchSource *, CProgram *out);

/* objects.c */
const SinterEmitter *emitter_open(Ctx *); /* NULL after diag_error */
typedef Vec(const char *) ObjectPaths;
/* Generates code for all kernels of all levels into files of the folder, several kernels a child process. */
bool emit_objects(Compilation *, const SinterEmitter *, const LinkFolder *, ObjectPaths *out);

/* weights.c: reads options->weights into an object that goes into the artefact; false after diag_error. */
bool compile_weights(Compilation *, const HostBlob *, const LinkFolder *, const char **object);
#endif
