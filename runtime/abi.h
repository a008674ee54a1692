/* The interface between generated code, the runtime inside an artefact and the tools that open artefacts: described
 * like a file format, stand-alone, versioned. An artefact holds one read-only description (SinterModel) whose records
 * refer to each other by byte offsets from its start, so it needs no relocation; little-endian, records aligned to 8.
 * Beside it stand a table of kernel functions, a block of constants, and the functions of SinterApi, found by
 * `sinter_query_v1`. Every struct that both sides of a version boundary may see starts with its size. */
#ifndef SINTER_ABI_H
#define SINTER_ABI_H
#include <stddef.h>
#include <stdint.h>

#define SINTER_ABI_VERSION 2
enum { SINTER_MAX_RANK = 8 };

/* ---- status --------------------------------------------------------------------------------------------------------
 */
#ifndef SINTER_STATUS
#define SINTER_STATUS
enum sinter_status {
  SINTER_OK = 0,
  SINTER_ERROR_ARGUMENT = 1, /* a null pointer, a misaligned pointer, inputs that overlap outputs, an unknown name */
  SINTER_ERROR_SHAPE =
      2, /* a dimension outside its bounds, a `where` or assert that does not hold, a wrong shape or type */
  SINTER_ERROR_WORKSPACE = 3,  /* dimensions above those the context was made for, memory passed in too small */
  SINTER_ERROR_MEMORY = 4,     /* the system gave no memory */
  SINTER_ERROR_WEIGHTS = 5,    /* a weight file that is missing, damaged, or does not fit the model */
  SINTER_ERROR_IO = 6,         /* a file that cannot be written */
  SINTER_ERROR_CPU = 7,        /* no code for this processor */
  SINTER_ERROR_BUSY = 8,       /* an updating call while another call uses the same weights */
  SINTER_ERROR_INDEX = 9,      /* an index out of range in the data; nothing was stored */
  SINTER_ERROR_ARTEFACT = 10,  /* not an artefact, damaged, or of another version */
  SINTER_ERROR_GPU = 11,       /* no GPU, no driver, a driver too old, no code for this GPU */
  SINTER_ERROR_GPU_FAILED = 12 /* the driver refused a call, or the GPU failed: this process can use it no more */
};
#endif

/* ---- what kernels see -----------------------------------------------------------------------------------------------
 */
typedef struct SinterFail {
  int64_t code; /* of `fail`: 0 none; the smallest (code, task) wins */
  int64_t task;
  int64_t pad[6]; /* a cache line a thread */
} SinterFail;

typedef struct SinterCall {
  uint32_t size;
  uint32_t threads;
  const int64_t *dims; /* values of the kernel's dimensions, in its order */
  void *const *bufs;   /* addresses of the kernel's parameters, in its order; NULL where the stage does not use one */
  SinterFail *fail;    /* [tid] */
} SinterCall;
/* Tasks lo <= k < hi of one stage, numbered linearly over its axes (the last axis fastest). At most 4 KB of stack. */
typedef void SinterKernel(const SinterCall *, int64_t lo, int64_t hi, int32_t tid);

/* ---- the description ------------------------------------------------------------------------------------------------
 */
typedef struct SinterRef {
  uint32_t at, n;
} SinterRef;                 /* n records at byte offset `at` of the description */
typedef uint32_t SinterText; /* offset of a text that ends in NUL; 0: none */
typedef struct SinterSym {
  uint32_t at, n;
} SinterSym; /* n = 0: the number `at`; else n SinterCode at offset `at`, postfix */
typedef struct SinterCode {
  int64_t op, operand;
} SinterCode;
enum { /* checked 64-bit arithmetic; // and % floor; comparisons give 0 or 1. The same numbers as SymCode in
          compiler/sym/sym.h */
       SINTER_SYM_INT,
       SINTER_SYM_VAR /* operand: index in SinterModel.dims */,
       SINTER_SYM_ADD,
       SINTER_SYM_MUL,
       SINTER_SYM_FLOORDIV,
       SINTER_SYM_MOD,
       SINTER_SYM_MIN,
       SINTER_SYM_MAX,
       SINTER_SYM_LT,
       SINTER_SYM_LE,
       SINTER_SYM_EQ,
       SINTER_SYM_NE
};

/* Element types; the same numbers as DType in compiler/graph/dtype.h. */
enum {
  SINTER_F32 = 1,
  SINTER_F64,
  SINTER_F16,
  SINTER_BF16,
  SINTER_I8,
  SINTER_I16,
  SINTER_I32,
  SINTER_I64,
  SINTER_U8,
  SINTER_U16,
  SINTER_U32,
  SINTER_U64,
  SINTER_BOOL
};

enum { SINTER_LEVEL_V2 = 0, SINTER_LEVEL_V3, SINTER_LEVEL_V4, SINTER_LEVEL_A64, SINTER_LEVELS };

typedef struct SinterCell { /* a param or state; its shape is constant */
  SinterText name, doc;
  uint8_t kind;                  /* 0 param, 1 state (saved), 2 local state (not saved) */
  uint8_t dtype, rank, has_init; /* has_init: the init entry sets it; a param without must come from the file */
  uint32_t pad;
  int64_t dim[SINTER_MAX_RANK];
  uint64_t at, bytes; /* in the storage of the weights; at is a multiple of 64 */
} SinterCell;

typedef struct SinterPort { /* an input or output of an entry */
  SinterText name, doc;     /* name 0: the one result without a name */
  uint8_t dtype, rank, inout, pad[5];
  uint32_t field, pad2; /* byte offset of its pointer in the in (inout too) or out struct */
  SinterSym dim[SINTER_MAX_RANK];
} SinterPort;

typedef struct SinterDim { /* a dimension of an entry: a field of its in struct */
  uint32_t index;          /* in SinterModel.dims */
  uint32_t field;          /* byte offset of its int64_t in the in struct */
  int64_t lo, hi;
} SinterDim;

typedef struct SinterCheck { /* a fact that must not be 0 at call */
  SinterSym cond;
  SinterText text; /* the condition as written, or the sentence of an assert */
  uint32_t pad;
} SinterCheck;

enum {
  SINTER_BUF_INPUT,
  SINTER_BUF_OUTPUT,
  SINTER_BUF_CELL,
  SINTER_BUF_DERIVED,
  SINTER_BUF_CONST,
  SINTER_BUF_ARENA,
  SINTER_BUF_RANDOM
};
typedef struct SinterBuf { /* where a buffer of a plan lies */
  uint8_t kind, pad[3];
  uint32_t index; /* INPUT, OUTPUT: port (an inout is an INPUT); CELL; DERIVED; CONST */
  SinterSym at;   /* ARENA: byte offset, a multiple of 64 */
  SinterSym bytes;
} SinterBuf; /* RANDOM: u32[4] = seed low, seed high, call number, 0 */

typedef struct SinterView {
  uint32_t buf, pad;
  SinterSym at;
} SinterView; /* at: bytes beyond the buffer's start; buf = UINT32_MAX: NULL */

enum { SINTER_STEP_LAUNCH, SINTER_STEP_BARRIER, SINTER_STEP_COPY };
enum { SINTER_STEP_SERIAL = 1, SINTER_STEP_COMMIT = 2 };
typedef struct SinterStep {
  uint8_t kind, flags, pad[2]; /* COMMIT: skipped once the call has failed */
  uint32_t kernel;             /* LAUNCH: index in the kernel table */
  SinterSym tasks;             /* LAUNCH: number of tasks; thread t of T takes [t*n/T, (t+1)*n/T) */
  SinterSym work;              /* LAUNCH: rough nanoseconds on one thread: small stages run on one */
  SinterRef dims;              /* LAUNCH: SinterSym each */
  SinterRef views;             /* LAUNCH: SinterView each; COPY: destination, source */
  SinterSym bytes;             /* COPY; LAUNCH: of the buffers that it reads and of those that it writes, for reports */
  SinterSym flops;             /* LAUNCH: operations by the formula (2 M N K and the epilogue), for reports */
} SinterStep;

typedef struct SinterPlan {
  SinterRef bufs, steps;
  SinterSym arena; /* bytes */
} SinterPlan;      /* a barrier stands between a launch that can set an error and the next COMMIT */

typedef struct SinterVariant { /* the first that fits wins */
  SinterSym when;              /* not 0; the number 1: always */
  uint32_t level, plan; /* level: SINTER_LEVEL_*, plan in SinterModel.plans; or SINTER_LEVELS + i for gpu_images[i],
                           plan in gpu_plans */
} SinterVariant;

enum {
  SINTER_ENTRY_TRAIN = 1 /* marked `train` */,
  SINTER_ENTRY_UPDATES = 2 /* stores cells */,
  SINTER_ENTRY_RANDOM = 4,
  SINTER_ENTRY_HIDDEN = 8 /* init */
};
typedef struct SinterEntry {
  SinterText name, doc;
  uint32_t flags;
  uint32_t in_bytes, out_bytes, pad; /* of the structs in the header */
  SinterRef inputs, outputs;         /* SinterPort */
  SinterRef dims;                    /* SinterDim */
  SinterRef checks;                  /* SinterCheck */
  SinterRef variants;                /* SinterVariant */
} SinterEntry;

typedef struct SinterDerived { /* what `prepare` makes of a parameter (packed panels, ...): per level, never saved */
  SinterText name, kind;
  uint32_t level, cell; /* made anew after the cell changed */
  uint32_t plan, pad;   /* its buffers: the cell, this derived buffer, arena */
  uint64_t at, bytes;   /* in the derived storage of its level */
} SinterDerived;

typedef struct SinterConst {
  uint64_t at, bytes;
} SinterConst; /* in the block of constants; at is a multiple of 64 */
typedef struct SinterPlace {
  SinterText file;
  uint32_t line, col, op;
} SinterPlace; /* by code of `fail` - 1; op: text of what failed */
typedef struct SinterKernelInfo {
  SinterText name, stage;
  uint32_t level, pad;
} SinterKernelInfo;

/* ---- code for GPUs, and plans of it ----
 * A plan is a SinterPlan of SinterGpuSteps, each after the other. What lies where: cells and constants as on the host,
 * in memory of the device; nothing is DERIVED; the arena; then inputs and outputs, aligned to 256; RANDOM. The failures
 * of a call are uint32_t: how many there were, then how many by code from 1 (SinterModel.places). */
enum {
  SINTER_GPU_PTX,        /* text that ends in NUL: any GPU from sm on */
  SINTER_GPU_CUBIN,      /* the same major version, from sm on */
  SINTER_GPU_CUBIN_EXACT /* built for sm_90a and the like: no other GPU runs it */
};
typedef struct SinterGpuProgram {
  uint64_t at, bytes; /* in SinterImage.gpu; at is a multiple of 64 */
} SinterGpuProgram;

typedef struct SinterGpuKernel {
  SinterText name, stage; /* of the function; of the stage it runs, for reports */
  uint32_t program;       /* in SinterGpuImage.programs */
  uint32_t shared;        /* dynamic shared memory, bytes */
} SinterGpuKernel;

typedef struct SinterGpuImage { /* the code for one architecture */
  uint8_t kind, pad[3];
  uint32_t sm; /* 90 for compute capability 9.0 */
  SinterRef programs, kernels;
} SinterGpuImage;

typedef struct SinterGpuTensor { /* a map as cuTensorMapEncodeTiled makes it; axes innermost first, sizes in elements */
  uint32_t view;                 /* in SinterGpuStep.views: where it starts */
  uint8_t dtype, rank, swizzle /* bytes: 0, 32, 64, 128 */, pad;
  SinterSym dim[5], stride[4]; /* strides in bytes, of axes 1 to rank - 1 */
  uint32_t box[5], pad2;
} SinterGpuTensor;

enum { SINTER_GPU_ARG_VIEW, SINTER_GPU_ARG_DIM, SINTER_GPU_ARG_FAILED, SINTER_GPU_ARG_TENSOR };
typedef struct SinterGpuArg { /* VIEW, DIM and FAILED come first: words of 8 bytes of one struct, the first parameter */
  uint32_t kind, index;       /* in SinterGpuStep.views, .dims, .tensors */
} SinterGpuArg;

enum { SINTER_GPU_FAILS = 1, SINTER_GPU_COMMIT = 2 };
typedef struct SinterGpuStep { /* one launch; grid and block are along x */
  uint32_t flags;              /* FAILS: it may count a failure; COMMIT: it stores nothing once one was counted */
  uint32_t kernel;             /* in SinterGpuImage.kernels */
  SinterSym grid;              /* blocks: 0 to 2^31 - 1; 0: not launched */
  uint32_t block, pad;         /* threads */
  SinterRef args, views, dims, tensors; /* SinterGpuArg, SinterView, SinterSym, SinterGpuTensor */
  SinterSym bytes, flops;               /* for reports */
} SinterGpuStep;

typedef struct SinterModel {
  uint32_t size;                             /* of this struct */
  uint32_t abi;                              /* SINTER_ABI_VERSION */
  uint64_t bytes;                            /* of the whole description */
  SinterText name, prefix, compiler, source; /* base name; C prefix; "sinter 0.1.0"; file it was compiled from */
  uint32_t levels;                           /* bit SINTER_LEVEL_*: code is present */
  uint32_t init;                             /* entry that sets the cells with start values, or UINT32_MAX */
  SinterRef dims; /* SinterText each: dimension names of all entries, the fields of PREFIX_dims in this order */
  SinterRef cells, entries, derived, plans, consts, places, kernels;
  uint64_t cells_bytes; /* storage of all cells */
  uint64_t derived_bytes[SINTER_LEVELS];
  SinterRef gpu_images, gpu_plans; /* SinterGpuImage, SinterPlan */
} SinterModel;

/* What the linker puts together: generated data that the runtime inside the artefact reads by hidden names: this struct
 * is `sinter_image`, and the description that it points at is `sinter_model`. */
typedef struct SinterImage {
  const SinterModel *model;
  SinterKernel *const *kernels; /* by SinterStep.kernel */
  const unsigned char *consts;  /* aligned to 64 */
  const unsigned char *gpu;     /* code for GPUs, aligned to 64; NULL: there is none */
} SinterImage;

/* Weights that were put into an artefact when it was linked: hidden, `sinter_embedded`, or nothing. Offsets are bytes
 * from this struct. It lies in memory of the artefact's own, whose pages are the file's until they are written. */
typedef struct SinterEmbedded {
  uint32_t size, missing; /* missing: some start values are computed when they are opened */
  uint64_t seed;
  uint64_t calls;                  /* uint64_t by entry: call numbers */
  uint64_t given;                  /* uint8_t by cell: 1: its data are there */
  uint64_t cells;                  /* storage of all cells */
  uint64_t derived[SINTER_LEVELS]; /* storage of what is prepared for a level; 0: it is made when it is wanted */
} SinterEmbedded;

/* ---- the functions of an artefact ---- */
typedef struct SinterWeights SinterWeights;
typedef struct SinterContext SinterContext;
typedef struct SinterApi {
  uint32_t size, abi;
  const SinterModel *model;
  /* As the header's PREFIX_ functions; see runtime/sinter.h for what they promise. */
  int (*open)(SinterWeights **, const char *safetensors_or_null, uint64_t seed);
  int (*open_strict)(SinterWeights **, const char *safetensors_or_null,
                     uint64_t seed); /* refuses optional and extra tensors */
  void (*close)(SinterWeights *);
  int (*save)(SinterWeights *, const char *path);
  int (*get)(SinterWeights *, const char *name, void *data, size_t bytes);
  int (*set)(SinterWeights *, const char *name, const void *data, size_t bytes);
  const char *(*open_message)(const SinterWeights *);        /* error, or the notes of a successful open; "" if none */
  size_t (*workspace)(const int64_t *max_dims, int threads); /* max_dims: as SinterModel.dims; 0 if they do not fit */
  int (*create)(SinterContext **, SinterWeights *, const int64_t *max_dims, void *memory_or_null, size_t);
  void (*free)(SinterContext *);
  int (*call)(SinterContext *, uint32_t entry, const void *in, void *out);
  const char *(*message)(const SinterContext *);
  int (*threads)(SinterContext *, int n); /* at most n threads for this context's calls; 0: the default */
  uint64_t (*call_number)(const SinterContext *, uint32_t entry);
  void (*set_call_number)(SinterContext *, uint32_t entry, uint64_t);
  int (*level)(void); /* SINTER_LEVEL_* in use, -1: none fits this processor */
  /* Until called with NULL, each call of the context adds the ticks that thread t spent in step s of its plan (at a
   * barrier: waiting) to ticks[t * steps + s]; threads and steps beyond are left out. sinter_ticks() is the clock. */
  int (*profile)(SinterContext *, uint64_t *ticks_or_null, uint32_t threads, uint32_t steps);
  int (*to)(SinterWeights *, const char *device); /* "cpu", "cuda", "cuda:N": contexts made from now on run there */
} SinterApi;
typedef const SinterApi *SinterQuery(void); /* sinter_query_v1 of a shared library, PREFIX_query_v1 of static code */

static inline uint64_t sinter_ticks(void) { /* the processor's own clock: no call of the system */
#if defined __x86_64__
  return __builtin_ia32_rdtsc();
#elif defined __aarch64__
  uint64_t t;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#else
  return 0;
#endif
}

/* The ELF section with what `sinter explain` prints, as plain text: no part of what is loaded, so it takes no memory.
 */
#define SINTER_EXPLAIN_SECTION ".sinter.explain"

/* The machine an artefact is for: the numbers of ELF. */
enum { SINTER_MACHINE_X86_64 = 62, SINTER_MACHINE_AARCH64 = 183 };

/* The last bytes of a shared library, read before it is loaded, and of a program; from `abi` on they stand at the same
 * place in every version. Objects and static libraries have none. */
typedef struct SinterTail {
  uint64_t length;    /* of the file without this */
  uint64_t model;     /* where in the file the description stands, as it is in memory */
  uint32_t machine;   /* SINTER_MACHINE_* */
  uint32_t program;   /* 1: it is run, not loaded */
  uint32_t abi, size; /* size of this struct */
  char magic[8];      /* "SINTER\r\n" */
  uint64_t crc64;     /* CRC-64/XZ of all before it */
} SinterTail;

#ifdef __cplusplus
static_assert(sizeof(SinterTail) == 48, "");
#else
_Static_assert(sizeof(SinterFail) == 64, "a cache line");
_Static_assert(sizeof(SinterCell) == 96 && sizeof(SinterPort) == 88 && sizeof(SinterStep) == 56 &&
                   sizeof(SinterTail) == 48,
               "layout is part of the format");
#endif
#endif
