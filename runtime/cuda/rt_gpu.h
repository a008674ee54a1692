/* The runtime on one NVIDIA GPU: code for several architectures in one artefact, memory, and plans of kernels that run
 * as CUDA graphs. The rest of the runtime knows of CUDA what stands here. No call ends the process: each returns a
 * status and leaves a sentence in `message` (RT_MESSAGE bytes); a call that fails has made nothing and changed nothing
 * (but for what a copy was to fill), unless it says that the GPU failed: then every further call on this device is
 * refused, because CUDA can do no more in this process, and its memory is the driver's until the process ends. */
#ifndef SINTER_RT_GPU_H
#define SINTER_RT_GPU_H
#include "cuda_api.h"
#include "rt.h"

/* ---- code ---- */

enum { GPU_PTX = SINTER_GPU_PTX, GPU_CUBIN = SINTER_GPU_CUBIN, GPU_CUBIN_EXACT = SINTER_GPU_CUBIN_EXACT };
typedef struct GpuKernel {
  const char *name;
  uint32_t program; /* which of the image holds it */
  uint32_t shared;  /* dynamic shared memory, bytes at most */
} GpuKernel;

typedef struct GpuImage {
  uint8_t kind; /* PTX (texts that end in NUL; any GPU from sm on), CUBIN (the same major version, from sm on),
                   CUBIN_EXACT (built for sm_90a and the like: no other GPU runs it) */
  uint32_t sm;  /* 90 for compute capability 9.0 */
  const void *const *programs;
  uint32_t nprograms, nkernels;
  const GpuKernel *kernels; /* by GpuStep.kernel */
} GpuImage;

/* gpu_image.c: the one to use on a GPU of compute capability `sm`; NULL: none. */
const GpuImage *gpu_choose_image(const GpuImage *, uint32_t n, uint32_t sm);

/* ---- gpu_driver.c: the one driver of the process ---- */

/* Opens libcuda at the first call, from several threads too; SINTER_LIBCUDA names another library. A status. */
int gpu_driver(const CudaApi **, char *message);
bool gpu_sticky(CUresult);                             /* after it CUDA does nothing any more in this process */
const char *gpu_error_name(const CudaApi *, CUresult); /* "CUDA_ERROR_ILLEGAL_ADDRESS" */

/* ---- sys_library.c ---- */
/* Whether there can be any: not in a static program, where one would bring a second C library along. */
bool sys_library_any(void);
void *sys_library_open(const char *name);                  /* stays open; NULL: it is not there */
void *sys_library_symbol(void *library, const char *name); /* NULL: it has none */

/* ---- gpu_device.c: a GPU with the code for it. Several threads may use it at once. ---- */

typedef struct GpuDevice {
  const CudaApi *api;
  const GpuImage *image;
  CUdevice device;
  CUcontext context;
  CUmodule *module;   /* by GpuKernel.program */
  CUfunction *kernel; /* by GpuStep.kernel */
  uint32_t sm, multiprocessors, shared_most;
  uint32_t dead; /* the GPU failed */
  uint64_t bytes;
  char name[64];
} GpuDevice;

enum { GPU_ANY = -1 };
/* The GPU of this number, GPU_ANY: the one that SINTER_GPU numbers, else the first. The images must stay. */
int gpu_open(GpuDevice **, const GpuImage *, uint32_t n, int number, char *message);
void gpu_close(GpuDevice *);                                              /* after its queues; NULL is allowed */
int gpu_alloc(GpuDevice *, uint64_t bytes, CUdeviceptr *, char *message); /* aligned to 256, at least; not cleared */
void gpu_free(GpuDevice *, CUdeviceptr);                                  /* 0 is allowed */

/* For the files of this folder: the context is current in between. `enter` refuses a dead device. */
int gpu_enter(GpuDevice *, char *message);
void gpu_leave(GpuDevice *);
/* A status, with a sentence that says what was refused: "a copy to it". */
int gpu_check(GpuDevice *, CUresult, const char *what, char *message);

/* ---- gpu_queue.c, gpu_graph.c: work in order, of one thread at a time ---- */

enum { GPU_ADDRESS, GPU_VALUE, GPU_TENSOR, GPU_NOWHERE = UINT32_MAX };
typedef struct GpuTensor { /* as cuTensorMapEncodeTiled has it; dims and box are elements, innermost first */
  uint8_t type;            /* CUtensorMapDataType: 9 is bf16 */
  uint8_t rank, swizzle;   /* CUtensorMapSwizzle: 3 is 128 bytes */
  uint64_t dims[5];
  uint64_t strides[4]; /* bytes, of dimensions 1 to rank - 1 */
  uint32_t box[5];
} GpuTensor;

typedef struct GpuArgument { /* of a kernel, in the order of its parameters */
  uint8_t kind;
  bool joined;   /* ADDRESS, VALUE: one more word of 8 bytes of the parameter before, which is a struct then */
  uint32_t slot; /* ADDRESS, TENSOR: of GpuCall.base; GPU_NOWHERE: the address is 0 */
  uint64_t at;   /* ADDRESS, TENSOR: bytes beyond; VALUE: its bits, the low ones if it is shorter */
  const GpuTensor *tensor;
} GpuArgument;

typedef struct GpuStep { /* one launch, with everything evaluated */
  uint32_t kernel, grid[3], block[3], shared;
  const GpuArgument *arguments;
  uint32_t narguments;
} GpuStep;

typedef struct GpuCall {
  uint32_t entry;      /* with the dimensions: which graph it is. The steps of a graph differ in nothing but `base` */
  const int64_t *dims; /* GpuLimits.dims of them */
  const GpuStep *steps;
  uint32_t nsteps;
  const CUdeviceptr *base; /* GpuLimits.slots of them: weights, arena, inputs, outputs, wherever they are */
} GpuCall;

typedef struct GpuLimits { /* at most; memory for them is taken when a queue is opened */
  uint32_t dims, steps, arguments, slots;
  uint32_t stage; /* bytes of each of two pinned buffers, through which copies go */
} GpuLimits;

enum { GPU_GRAPHS = 8 /* kept by a queue; the one unused for longest gives way */ };
typedef struct GpuGraph {
  uint64_t used; /* when last, by GpuQueue.clock; 0: none is here */
  uint32_t entry, nsteps;
  int64_t *dims;
  CUdeviceptr *base; /* that its nodes hold */
  CUgraphNode *node; /* by step */
  CUgraph graph;     /* nodes are named by it */
  CUgraphExec exec;
} GpuGraph;

typedef struct GpuStage {
  void *memory;
  CUevent done;
  bool busy;
} GpuStage;

typedef struct GpuQueue {
  GpuDevice *device;
  GpuLimits most;
  CUstream own;    /* its own, where graphs are recorded */
  CUstream stream; /* where work goes: its own, or the caller's */
  GpuStage stage[2];
  uint32_t turn;
  bool one_by_one; /* SINTER_GPU_SYNC: no graphs; waits for each kernel and names the one that fails */
  uint64_t clock, bytes;
  GpuGraph graph[GPU_GRAPHS];
  uint64_t *words; /* [24 * most.arguments]: those of a launch as the driver copies them; aligned to 64 */
  void **params;   /* [most.arguments] */
} GpuQueue;

/* On the device, which must stay, with memory for whatever is within the limits. */
int gpu_queue_open(GpuQueue **, GpuDevice *, const GpuLimits *, char *message);
void gpu_queue_close(GpuQueue *); /* waits for its work; NULL is allowed */
/* Work goes to a stream of the caller's from now on, NULL: to its own; after a wait for what is under way. The stream
 * must live until another one is used or the queue is closed. */
int gpu_queue_use(GpuQueue *, CUstream, char *message);

int gpu_copy_in(GpuQueue *, CUdeviceptr to, const void *from, uint64_t bytes, char *message); /* `from` is free after */
int gpu_copy_out(GpuQueue *, void *to, CUdeviceptr from, uint64_t bytes, char *message);      /* waits */
/* The same in one copy of what fits into a buffer of GpuLimits.stage bytes: filled, then sent; or fetched, which waits,
 * and good until the next copy. */
int gpu_fill(GpuQueue *, char **stage, char *message);
int gpu_send(GpuQueue *, CUdeviceptr to, uint64_t bytes, char *message);
int gpu_fetch(GpuQueue *, CUdeviceptr from, uint64_t bytes, const char **stage, char *message);
int gpu_run(GpuQueue *, const GpuCall *, char *message); /* does not wait */
int gpu_wait(GpuQueue *, char *message);                 /* what failed since the last wait is said here */

/* gpu_graph.c, for gpu_queue.c; the context is current. None of them waits. */
int gpu_launch(GpuQueue *, CUstream, const GpuCall *, const GpuStep *, char *message); /* one step */
/* All steps, by the graph of this entry and its dimensions: captured now, or told what has moved since. */
int gpu_run_graph(GpuQueue *, const GpuCall *, char *message);
void gpu_drop_graph(GpuQueue *, GpuGraph *); /* its place is empty then; it may have been before */

/* ---- gpu_weights.c, gpu_context.c: what artefacts do with all this (rt.h: RtGpu) ---- */

static inline uint64_t gpu_up(uint64_t n) { return (n + 255) & ~255ull; }

struct GpuWeights {
  GpuDevice *device;
  GpuQueue *queue;    /* for copies of cells: under the lock */
  CUdeviceptr memory; /* cells as SinterCell.at has them, then the constants as SinterConst.at */
  uint64_t consts_at, bytes;
  uint32_t users;       /* contexts, and the weights that it belongs to */
  uint32_t lock, level; /* level: as SinterVariant's */
  bool ahead;           /* cells may have changed since they were fetched; written by who has the weights alone */
};
void gpu_weights_release(GpuWeights *); /* one user less; the last one closes the device */

/* Memory and a queue for calls with dimensions of `most` at most, where the weights are now; on the host *on is NULL,
 * and nothing is made. A context is one of the users of *on, of one thread at a time. */
int gpu_context_open(GpuContext **, GpuWeights **on, SinterWeights *, const int64_t *most, char *message);
void gpu_context_close(GpuContext *); /* NULL is allowed */
/* Returns when outputs are where they were wanted. A status of 0 with `failed`: an operation refused a value, outputs
 * on the host and states are as they were. */
int gpu_context_call(GpuContext *, RtGpuCall *, char *message);
#endif
