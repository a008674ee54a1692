/* The compiler: from a traced program to an artefact with its header, or to one of the forms in between. Mistakes of
 * the model's author and of the caller go to the program's Diag; a failure leaves no output file. */
#ifndef SINTER_COMPILER_H
#define SINTER_COMPILER_H
#include "graph.h"

typedef enum { EMIT_SO, EMIT_EXE, EMIT_OBJ, EMIT_LIB, EMIT_GRAPH, EMIT_LOOP, EMIT_LLVM, EMIT_ASM } EmitKind;

typedef struct CompileWeights { /* of a file, laid out as the description of the artefact says */
  uint8_t *cells, *given;       /* the storage of all cells; by cell: 1: the file has its data */
  uint64_t seed, *calls;        /* calls: by entry */
  const char *note;             /* for people; "" if there is none */
} CompileWeights;
/* Reads them, checked against a description (SinterModel of runtime/abi.h); memory of the arena. False after *why. The
 * caller brings it (libsinter has one), so that weight files have one reader. */
typedef bool CompileReadWeights(Arena *, const char *path, const void *model, CompileWeights *, const char **why);

typedef struct CompileOptions {
  EmitKind emit;
  const char *output;   /* the file; NULL from EMIT_GRAPH on: the text comes back in the result */
  const char *source;   /* path of the model, named in the header and the artefact without its folder */
  const char *prefix;   /* of the C functions; NULL: the program's name */
  const char *target;   /* "x86_64", "aarch64"; NULL: the machine that the compiler runs on */
  const char *cpu;      /* levels of the target, "v2,v3,v4", or "native"; NULL: all for binaries, one for texts */
  const char *gpu;      /* of binaries but an exe: code for GPUs too, "sm_80,sm_90a,compute_80"; NULL: none */
  bool tf32;            /* products of f32 on a GPU may round their operands to tf32: --precision tf32 */
  int jobs;             /* processes that generate code at once; 0: one a processor */
  const char *dump_dir; /* numbered files of every form in between; NULL: none */
  bool time;            /* the time of every pass goes to result->notes */
  bool check;           /* evaluate before and after every pass, and interpret the kernels */
  bool no_explain;      /* leave out of the library what `sinter explain` reads there */
  const char *linker;   /* NULL: ld.lld-19 */
  bool size;            /* of binaries: what its bytes are, to result->text */
  uint64_t max_size;    /* of binaries: a larger one is refused; 0: none is */
  const char *weights;  /* a file whose weights go into an executable, prepared for its levels; NULL: none */
  CompileReadWeights *read_weights;
} CompileOptions;

typedef struct CompileResult { /* released by the caller: buf_free */
  Buf text;                    /* from EMIT_GRAPH on, without an output; of `size` */
  Buf notes;                   /* for people: times, sizes */
} CompileResult;

bool compile_program(Program *, const CompileOptions *,
                     CompileResult *); /* the program is changed; false after diag_error */
/* What `sinter explain` prints: kernels with their members, why neighbours were or were not fused, bytes, operations,
 * schedules, memory. A shared library carries the same text in a section that is not loaded. */
bool explain_program(Program *, const CompileOptions *, Buf *);
/* What `sinter bench --emit c` writes: one kernel as a stand-alone C program with data, main and timing. */
typedef struct BenchSource {
  const char *entry;  /* NULL: the only one */
  const char *kernel; /* "k3" or "3", as explain numbers them, or the kernel's name */
  const char *const *dims;
  const int64_t *values; /* of dims; the others are at their bound where it is at most 65536, else 64 */
  int ndims;
} BenchSource;
bool bench_program(Program *, const CompileOptions *, const BenchSource *, Buf *); /* options: one level */
/* What `sinter cuda` does: files of CUDA C through NVRTC, as those who write kernels for the compiler want it. No GPU.
 */
typedef struct CudaCommand {
  const char *const *files;
  int nfiles;
  const char *archs; /* "sm_80,sm_90a"; compute_80: PTX */
  const char *const *options;
  int noptions;       /* of NVRTC: "-DN=4" */
  const char *output; /* a folder, made if need be, for FILE.ARCH.cubin and .ptx; NULL: none are written */
  bool audit;         /* refuse local memory, spills, advice of ptxas, fewer instructions than `least` */
  const char *const *least;
  int nleast;  /* "HGMMA=4", "KERNEL:LDG.128=2" */
  int jobs;    /* processes at once; 0: one a processor */
  int seconds; /* that a compilation may take; 0: as the compiler has it */
} CudaCommand;
bool cuda_command(Ctx *, const CudaCommand *, Buf *); /* the report; false after diag_error, with what there is of it */
bool cuda_where(Ctx *, Buf *);                        /* which NVRTC is used; false after diag_error */
const char *emit_kind_name(EmitKind);
bool emit_kind_is_binary(EmitKind); /* a file of machine code; else a text */
#endif
