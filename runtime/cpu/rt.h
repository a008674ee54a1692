/* What the files of the runtime inside an artefact share. It reads the description that was linked beside it and trusts
 * it (tools check it first, sinter.h); it checks all that comes from the caller, and never ends the process. Memory is
 * allocated when weights are opened and a context is created, and for a moment when weights are saved. The one thing
 * that is not an object of the caller's is the pool of threads, one an artefact. */
#ifndef SINTER_RT_H
#define SINTER_RT_H
#include "abi.h"
#include "sys.h"

/* Linked beside us by the compiler. */
extern const SinterImage sinter_image __attribute__((visibility("hidden")));
extern const unsigned char sinter_model[] __attribute__((visibility("hidden"))); /* the description */

#define RT_MODEL           ((const SinterModel *)(const void *)sinter_model)
#define RT_TEXT(offset)    ((const char *)sinter_model + (offset))
#define RT_RECORDS(T, ref) ((const T *)(const void *)(sinter_model + (ref).at))

enum { RT_MESSAGE = 768, RT_THREADS = 256, RT_NAMES = 96 };

static inline uint64_t rt_up(uint64_t n) { return (n + 63) & ~63ull; }
void *memcpy(void *restrict, const void *restrict, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);

/* rt_text.c: sentences. %s, %d (int64_t), %u (uint64_t); text that does not fit in RT_MESSAGE ends in "...". */
void rt_append(char *message, const char *fmt, ...);
int rt_fail(char *message, int status, const char *fmt, ...); /* replaces the message, returns the status */
void rt_append_shape(char *message, const char *type, uint32_t rank, const int64_t *dim); /* "f32[3, 4]" */
const char *rt_error(int error); /* of an errno number, or -1: the file is too short */
bool rt_equal(const char *, const char *);
bool rt_starts(const char *, const char *prefix);
const char *rt_dtype(uint32_t dtype); /* "f32" */
uint32_t rt_dtype_size(uint32_t dtype);

/* rt_sym.c: false on overflow or division by zero. */
bool rt_sym(const SinterModel *, SinterSym, const int64_t *dims, int64_t *out);

/* rt_level.c: the level to use, or -1 and a sentence. */
int rt_level(char *message);
const char *rt_level_name(uint32_t level);
uint64_t rt_float_mode(void); /* sets round to nearest, denormals kept, no traps; returns what was */
void rt_float_mode_back(uint64_t);
static inline void rt_pause(void) {
#if defined __x86_64__
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield");
#endif
}

/* ---- rt_plan.c ---- */
typedef struct Launch { /* a step with everything evaluated */
  uint8_t kind, flags;
  uint32_t step; /* of the plan */
  SinterKernel *kernel;
  int64_t tasks, work;
  SinterCall call;
  void *to; /* COPY */
  const void *from;
  size_t bytes;
} Launch;

typedef struct Run {
  Launch *launch;
  uint32_t n;
  int threads;       /* how many walk it; 1 when nothing is worth more */
  uint32_t patience; /* microseconds that a thread spins at most before it sleeps */
  int64_t work;      /* nanoseconds of what all threads share */
  SinterFail *fail;  /* [threads] */
  uint64_t *ticks;   /* of a profile: [rows][steps], or NULL */
  uint32_t rows, steps;
} Run;

typedef struct Span {
  char *at;
  uint64_t bytes;
} Span;

typedef struct Binding { /* where the buffers of a plan are */
  SinterWeights *weights;
  const Span *inputs, *outputs;
  char *arena;
  uint64_t arena_bytes;
  uint32_t *random;
  const int64_t *dims;
  SinterFail *fail;
  int threads; /* at most */
} Binding;

uint64_t rt_plan_bytes(const SinterPlan *); /* of the records that binding needs */
uint64_t rt_plan_bytes_max(void);           /* of any plan */
/* False: the sizes overflow, or a buffer does not fit where the plan puts it. */
bool rt_plan_bind(Run *, void *records, const SinterPlan *, const Binding *);
uint32_t rt_plan_walk(const Run *, int tid); /* the number of meetings */
const SinterFail *rt_plan_run(Run *);        /* NULL, or the failure with the smallest (code, task) */

/* ---- rt_pool.c ---- */
void rt_pool_open(void); /* one more user; the last close ends the threads */
void rt_pool_close(void);
void rt_pool_run(Run *); /* on run->threads threads, or fewer: sets it to what it got */
bool rt_meet(const Run *, int tid, uint32_t turn, bool failed); /* true once a thread had failed before this turn */
void rt_lock(uint32_t *);                                       /* a lock that is held briefly; unlocked is 0 */
void rt_unlock(uint32_t *);

/* ---- runtime/cuda: gpu_weights.c, gpu_context.c ---- */
typedef struct GpuWeights GpuWeights; /* cells and constants on a GPU, as long as there are contexts that use them */
typedef struct GpuContext GpuContext; /* memory there, and a queue */
typedef struct RtGpuCall {
  uint32_t entry;
  const SinterPlan *plan; /* one of SinterModel.gpu_plans */
  const int64_t *dims;
  const Span *ports; /* inputs, then outputs: of the host, or of the GPU */
  const uint32_t *random;
  int64_t failed; /* is set to the smallest code of a failure that was counted; 0: none was */
} RtGpuCall;

typedef struct RtGpu { /* an int is a status, with a sentence in the message */
  int (*move)(SinterWeights *, const char *device, char *message); /* by whoever has them alone: sets `gpu` */
  void (*close)(GpuWeights *);
  uint32_t (*level)(const GpuWeights *);                                          /* SinterVariant.level of its code */
  int (*get)(GpuWeights *, void *to, uint64_t at, uint64_t bytes, char *message); /* `at`: in the cells */
  int (*set)(GpuWeights *, uint64_t at, const void *from, uint64_t bytes, char *message);
  int (*fetch)(GpuWeights *, char *cells, char *message); /* all cells, if they have changed there */
  int (*create)(GpuContext **, GpuWeights **on, SinterWeights *, const int64_t *most, char *message);
  void (*free)(GpuContext *); /* NULL is allowed */
  int (*call)(GpuContext *, RtGpuCall *, char *message);
} RtGpu;
/* Empty where an artefact has no code for GPUs, and in a program without a C library. */
extern const RtGpu rt_gpu __attribute__((visibility("hidden")));

/* ---- rt_weights.c ---- */
struct SinterWeights {
  int status; /* of the failed open, or 0 */
  int level;
  uint64_t bytes; /* of this block */
  uint64_t seed;
  uint32_t users; /* calls that read; RT_ALONE: one that writes */
  uint32_t prepare_lock, message_lock;
  uint32_t counted; /* in the pool's users */
  char *cells, *derived;
  GpuWeights *gpu;      /* where calls find the cells, which are behind here then; NULL: here */
  uint8_t *stale;       /* [derived]: must be made anew before use */
  uint64_t *first_call; /* [entry]: call numbers of the weight file, where contexts begin */
  uint64_t *last_call;  /* [entry]: the highest of any context, saved */
  char message[RT_MESSAGE];
};
enum { RT_ALONE = 0x80000000u };
bool rt_take(SinterWeights *, bool alone);
void rt_release(SinterWeights *, bool alone);
/* Makes the object; with `stored`, cells and what is prepared lie there instead of behind it. Then `opened` with the
 * status of filling it. */
int rt_weights_make(SinterWeights **, uint64_t seed, SinterEmbedded *stored);
__attribute__((noinline)) int rt_weights_opened(SinterWeights *, int status);
int rt_weights_start(SinterWeights *); /* runs the hidden entry that sets all cells to their start values */
/* fmt with one %s */
__attribute__((noinline)) int rt_weights_fail(SinterWeights *, int status, const char *fmt, const char *text);

/* ---- rt_tensors.c: safetensors ---- */
typedef struct Tensor {
  const char *name, *value; /* value: of metadata; NULL for tensors */
  const char *type;         /* "F32" */
  uint32_t rank, bits;      /* of an element */
  int64_t dim[SINTER_MAX_RANK];
  uint64_t begin, end; /* in the file */
} Tensor;

typedef struct Tensors {
  int file;
  Tensor *at;        /* in the order of the file */
  uint32_t *by_name; /* tensors first, then metadata */
  uint32_t n, tensors;
  void *block;
  uint64_t bytes;
} Tensors;

int rt_tensors_open(Tensors *, const char *path, char *message); /* a status; the whole header is checked */
void rt_tensors_close(Tensors *);
const Tensor *rt_tensors_find(const Tensors *, const char *prefix, const char *name); /* prefix + name */
const char *rt_tensor_type(uint32_t dtype);                                           /* "F32" for SINTER_F32 */

/* ---- rt_match.c: which tensor of a file is which cell of a model ---- */
typedef struct RtMatch { /* the caller fills in the first three, strip = "", and opens `file` */
  const SinterModel *model;
  const char *path;
  char *message;
  Tensors file;
  const char *strip;       /* a name whose root is left out when cells are looked up, or "" */
  char prefix[RT_NAMES];   /* put before names: "" or ending in a point */
  uint32_t missing, extra; /* states that are not in the file; tensors that are of no cell */
  const char *first_missing, *first_extra;
  bool init; /* something that has a start value is not in the file */
} RtMatch;

/* A status: parameters and states of modules must be there, all shapes and types fit; strict: nothing is missing or
 * too much. */
int rt_match(RtMatch *, bool strict);
const Tensor *rt_match_find(const RtMatch *, const SinterCell *); /* after rt_match; not for local states */
void rt_match_numbers(const RtMatch *, uint64_t *seed_or_null, uint64_t *calls); /* of the metadata; calls: by entry */
void rt_match_notes(const RtMatch *); /* what is missing or too much, as the message; "" if nothing */

/* ---- the API: as PREFIX_ functions of the header ---- */
int sinter_rt_open(SinterWeights **, const char *safetensors_or_null, uint64_t seed);
int sinter_rt_open_strict(SinterWeights **, const char *safetensors_or_null, uint64_t seed);
void sinter_rt_close(SinterWeights *);
int sinter_rt_save(SinterWeights *, const char *path);
int sinter_rt_get(SinterWeights *, const char *name, void *data, size_t bytes);
int sinter_rt_set(SinterWeights *, const char *name, const void *data, size_t bytes);
const char *sinter_rt_open_message(const SinterWeights *);
size_t sinter_rt_workspace(const int64_t *max_dims, int threads);
int sinter_rt_create(SinterContext **, SinterWeights *, const int64_t *max_dims, void *memory_or_null, size_t);
void sinter_rt_free(SinterContext *);
int sinter_rt_call(SinterContext *, uint32_t entry, const void *in, void *out);
const char *sinter_rt_message(const SinterContext *);
int sinter_rt_threads(SinterContext *, int n);
uint64_t sinter_rt_call_number(const SinterContext *, uint32_t entry);
void sinter_rt_set_call_number(SinterContext *, uint32_t entry, uint64_t);
int sinter_rt_level(void);
int sinter_rt_profile(SinterContext *, uint64_t *ticks, uint32_t threads, uint32_t steps);
int sinter_rt_to(SinterWeights *, const char *device);
extern const SinterApi sinter_rt_api;
#endif
