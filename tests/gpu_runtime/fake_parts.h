/* What the files of libcuda-fake.so share. Errors are CUresult, 0 is success. */
#ifndef SINTER_FAKE_PARTS_H
#define SINTER_FAKE_PARTS_H
#include "cubin.h"
#include "cuda_api.h"
#include "emulator.h"
#include "fake_cuda.h"
#include <pthread.h>

/* The driver's functions, checked against what the runtime believes. */
#define DECLARE(name, parameters) CUresult name parameters;
CUDA_REQUIRED(DECLARE)
CUDA_OPTIONAL(DECLARE)
#undef DECLARE

enum { FAKE_PARAMS = 4096 /* bytes */ };

typedef enum FakeKind { MODULE = 1, STREAM, EVENT, GRAPH, EXEC, PINNED } FakeKind;
typedef struct FakeObject {
  FakeKind kind;
  struct FakeObject *next;
} FakeObject;

typedef struct FakeFunction {
  const char *name;
  const EmulatorKernel *runs;
  uint32_t threads; /* of a block at most */
  uint32_t shared;  /* static, bytes */
  uint32_t dynamic; /* that it asked for */
  uint32_t nparams, param_bytes;
  CubinParam param[EMULATOR_MAX_PARAMS];
} FakeFunction;

typedef struct FakeModule {
  FakeObject object;
  Arena *arena;
  Cubin cubin;
  const char *ptx; /* or NULL */
} FakeModule;

typedef struct FakeKernel { /* a launch, with the block of parameters as the hardware has it */
  const FakeFunction *function;
  unsigned grid[3], block[3], shared;
  char params[FAKE_PARAMS];
} FakeKernel;

typedef struct FakeEvent {
  FakeObject object;
  struct FakeStream *stream;
  uint64_t recorded; /* how often */
  bool passed;
} FakeEvent;

typedef struct FakeOp {
  enum { OP_IN, OP_OUT, OP_EVENT, OP_KERNEL } kind;
  void *to;
  const void *from;
  size_t bytes;
  FakeEvent *event;
  uint64_t recorded;
  FakeKernel kernel;
  struct FakeOp *next;
} FakeOp;

typedef struct FakeGraph {
  FakeObject object;
  uint32_t n;
  CUgraphNode last;
  FakeKernel **node; /* each its own handle */
} FakeGraph;

typedef struct FakeExec {
  FakeObject object;
  FakeGraph *graph;
  uint32_t n;
  FakeKernel *node;
} FakeExec;

typedef struct FakeStream {
  FakeObject object;
  FakeOp *first;
  FakeGraph *capture;
  int mode; /* of the capture */
  pthread_t capturer;
} FakeStream;

typedef struct FakePinned {
  FakeObject object;
  char *memory;
  size_t bytes;
} FakePinned;

typedef struct Fake {
  pthread_mutex_t lock;
  bool configured, eager;
  uint32_t cc, no_memory, fault, fail, fallible, allocations;
  int version, devices, pointer_gpu, sticky;
  FakeObject *objects;
  FakeState state;
} Fake;
extern Fake fake;

__attribute__((format(printf, 2, 3))) int fake_refuse(int code, const char *fmt, ...); /* says it, returns the code */
void *fake_new(FakeKind, size_t bytes);
bool fake_lives(const void *, FakeKind);
void fake_delete(void *);

/* fake_image.c */
void fake_code_load(void);                                                    /* of SINTER_FAKE_CODE */
int fake_image_read(FakeModule *, const void *image, char *log, size_t room); /* a cubin or PTX that this GPU takes */
void fake_image_free(FakeModule *);
int fake_image_function(FakeModule *, const char *name, FakeFunction **); /* lives as long as the module */
int fake_kernel_set(FakeKernel *, const CudaNode *);                      /* a launch, checked */
bool fake_kernel_run(const FakeKernel *);

/* fake_memory.c: each block ends (rounded up to 256 bytes) at a page that nothing can touch. */
CUdeviceptr fake_memory_new(size_t bytes); /* 0: the system has none */
bool fake_memory_free(CUdeviceptr);
bool fake_memory_holds(CUdeviceptr, uint64_t bytes);
void fake_memory_open(bool open);
#endif
