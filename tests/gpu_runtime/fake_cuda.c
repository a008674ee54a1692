/* See fake_cuda.h. The functions of the driver; what they work on is in fake_image.c and fake_memory.c. */
#include "fake_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Fake fake = {.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

int fake_refuse(int code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "fake driver: ");
  vfprintf(stderr, fmt, ap);
  fprintf(stderr, "\n");
  va_end(ap);
  return code;
}

static int number(const char *name, int otherwise) {
  const char *s = getenv(name);
  return s ? atoi(s) : otherwise;
}

static void configure(void) {
  if (fake.configured) return;
  fake.configured = true;
  fake.cc = (uint32_t)number("SINTER_FAKE_CC", 90);
  fake.version = number("SINTER_FAKE_VERSION", 13000);
  fake.devices = number("SINTER_FAKE_DEVICES", 1);
  fake.no_memory = (uint32_t)number("SINTER_FAKE_NO_MEMORY", 0);
  fake.fault = (uint32_t)number("SINTER_FAKE_FAULT", 0);
  fake.fail = (uint32_t)number("SINTER_FAKE_FAIL", 0);
  fake_code_load();
  fake.pointer_gpu = number("SINTER_FAKE_POINTER_GPU", 0);
  fake.eager = number("SINTER_FAKE_EAGER", 0) != 0;
}

/* ---- what each call begins with ---- */

static int lock(void) {
  pthread_mutex_lock(&fake.lock);
  configure();
  return 0;
}
static void unlock(const int *unused) {
  (void)unused;
  pthread_mutex_unlock(&fake.lock);
}
#define LOCKED __attribute__((cleanup(unlock), unused)) int locked = lock()

static _Thread_local uint32_t current; /* contexts that this thread has pushed */

static int begin(bool wants_context) {
  fake.state.calls++;
  if (++fake.fallible == fake.fail) return CUDA_ERROR_NOT_SUPPORTED;
  if (fake.sticky) return fake.sticky;
  if (wants_context && !current) return fake_refuse(CUDA_ERROR_INVALID_CONTEXT, "no context is current");
  return 0;
}
#define BEGIN_(wants_context)                                                                                          \
  LOCKED;                                                                                                              \
  do {                                                                                                                 \
    int begun = begin(wants_context);                                                                                  \
    if (begun) return begun;                                                                                           \
  } while (0)
#define BEGIN       BEGIN_(true)
#define BEGIN_EARLY BEGIN_(false) /* no context is wanted */
/* What gives something back: it is never made to fail. */
#define BEGIN_FREE                                                                                                     \
  LOCKED;                                                                                                              \
  do {                                                                                                                 \
    fake.state.calls++;                                                                                                \
    if (fake.sticky) return fake.sticky;                                                                               \
  } while (0)
#define MUST_LIVE(object, kind)                                                                                        \
  do {                                                                                                                 \
    if (!fake_lives(object, kind)) return fake_refuse(CUDA_ERROR_INVALID_HANDLE, "%s: no such " #kind, __func__);      \
  } while (0)

/* ---- objects ---- */

void *fake_new(FakeKind kind, size_t bytes) {
  FakeObject *o = calloc(1, bytes);
  if (!o) abort();
  o->kind = kind;
  o->next = fake.objects;
  fake.objects = o;
  return o;
}

bool fake_lives(const void *p, FakeKind kind) {
  const FakeObject *o = fake.objects;
  while (o && o != p) o = o->next;
  return o && o->kind == kind;
}

void fake_delete(void *p) {
  FakeObject **at = &fake.objects;
  while (*at != p) at = &(*at)->next;
  *at = (*at)->next;
  free(p);
}

/* ---- operations of streams ---- */

static void run(const FakeOp *op) {
  if (fake.sticky) return;
  switch (op->kind) {
  case OP_IN:
  case OP_OUT:
    fake_memory_open(true);
    memcpy(op->to, op->from, op->bytes);
    fake_memory_open(false);
    return;
  case OP_EVENT: return;
  case OP_KERNEL:
    if (++fake.state.kernels_run == fake.fault) {
      fake.sticky = CUDA_ERROR_ILLEGAL_ADDRESS;
      return;
    }
    fake_memory_open(true);
    if (!fake_kernel_run(&op->kernel)) fake.sticky = CUDA_ERROR_LAUNCH_FAILED;
    fake_memory_open(false);
    return;
  }
}

/* Runs what the stream holds, until an event was passed if one is given. */
static void drain(FakeStream *s, const FakeEvent *until) {
  for (FakeOp *op = s->first; op; op = s->first) {
    const FakeEvent *e = op->event;
    run(op);
    s->first = op->next;
    if (e && op->recorded == e->recorded) ((FakeEvent *)(uintptr_t)e)->passed = true;
    free(op);
    if (e && e == until && e->passed) return;
  }
}

static void drain_all(void) {
  for (FakeObject *o = fake.objects; o; o = o->next)
    if (o->kind == STREAM) drain((FakeStream *)o, NULL);
}

static void enqueue(FakeStream *s, const FakeOp *op) {
  FakeOp *copy = malloc(sizeof *copy), **at = &s->first;
  if (!copy) abort();
  *copy = *op;
  copy->next = NULL;
  while (*at) at = &(*at)->next;
  *at = copy;
  if (fake.eager) drain(s, NULL);
}

/* What a capture forbids, it forbids to the thread that began it; to every other thread too if it is a global one. */
static bool capturing(void) {
  for (const FakeObject *o = fake.objects; o; o = o->next) {
    const FakeStream *s = (const FakeStream *)o;
    if (o->kind == STREAM && s->capture &&
        (s->mode == CUDA_CAPTURE_GLOBAL || pthread_equal(s->capturer, pthread_self())))
      return true;
  }
  return false;
}
#define NOT_WHILE_CAPTURING                                                                                            \
  do {                                                                                                                 \
    if (capturing()) return fake_refuse(CUDA_ERROR_CAPTURE_UNSUPPORTED, "%s while a stream is captured", __func__);    \
  } while (0)

/* ---- driver, devices, context ---- */

CUresult cuDriverGetVersion(int *version) {
  LOCKED;
  *version = fake.version;
  return 0;
}

CUresult cuInit(unsigned flags) {
  (void)flags;
  BEGIN_EARLY;
  return fake.devices ? 0 : CUDA_ERROR_NO_DEVICE;
}

CUresult cuGetErrorName(CUresult r, const char **name) {
  static const struct {
    CUresult code;
    const char *name;
  } names[] = {{CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
               {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
               {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
               {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
               {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
               {CUDA_ERROR_NO_BINARY, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
               {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX"},
               {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
               {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
               {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
               {CUDA_ERROR_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
               {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
               {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
               {CUDA_ERROR_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
  *name = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].code == r) *name = names[i].name;
  return *name ? 0 : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetCount(int *n) {
  BEGIN_EARLY;
  *n = fake.devices;
  return 0;
}

CUresult cuDeviceGet(CUdevice *d, int ordinal) {
  BEGIN_EARLY;
  *d = ordinal;
  return ordinal >= 0 && ordinal < fake.devices ? 0 : CUDA_ERROR_INVALID_VALUE;
}

static int shared_most(void) {
  return fake.cc == 80 || fake.cc == 87 ? 166912 : fake.cc == 90 || fake.cc / 10 == 10 ? 232448 : 101376;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice d) {
  (void)d;
  BEGIN_EARLY;
  switch (attribute) {
  case CUDA_ATTRIBUTE_MULTIPROCESSORS: *value = 2; return 0;
  case CUDA_ATTRIBUTE_MAJOR: *value = (int)fake.cc / 10; return 0;
  case CUDA_ATTRIBUTE_MINOR: *value = (int)fake.cc % 10; return 0;
  case CUDA_ATTRIBUTE_SHARED: *value = shared_most(); return 0;
  default: return fake_refuse(CUDA_ERROR_INVALID_VALUE, "no attribute %d", attribute);
  }
}

CUresult cuDeviceGetName(char *name, int room, CUdevice d) {
  (void)d;
  BEGIN_EARLY;
  snprintf(name, (size_t)room, "a fake GPU");
  return 0;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) {
  (void)d;
  BEGIN_EARLY;
  fake.state.contexts++;
  *c = (CUcontext)(void *)&fake;
  return 0;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) {
  (void)d;
  BEGIN_FREE;
  if (!fake.state.contexts) return fake_refuse(CUDA_ERROR_INVALID_CONTEXT, "the context is released twice");
  fake.state.contexts--;
  return 0;
}

CUresult cuCtxPushCurrent_v2(CUcontext c) {
  LOCKED; /* never made to fail: giving back begins with it too */
  fake.state.calls++;
  if ((void *)c != (void *)&fake || !fake.state.contexts) return fake_refuse(CUDA_ERROR_INVALID_CONTEXT, "no context");
  fake.state.pushed++;
  current++;
  return 0;
}

CUresult cuCtxPopCurrent_v2(CUcontext *c) {
  LOCKED;
  if (!current) return fake_refuse(CUDA_ERROR_INVALID_CONTEXT, "popped more often than pushed");
  fake.state.pushed--;
  current--;
  *c = (CUcontext)(void *)&fake;
  return 0;
}

/* ---- code ---- */

CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned n, int *option, void **value) {
  BEGIN;
  NOT_WHILE_CAPTURING;
  char none[1], *log = none;
  size_t room = sizeof none;
  for (unsigned i = 0; i < n; i++) {
    if (option[i] == CUDA_JIT_ERROR_LOG) log = value[i];
    if (option[i] == CUDA_JIT_ERROR_LOG_BYTES) room = (size_t)(uintptr_t)value[i];
  }
  FakeModule *m = fake_new(MODULE, sizeof *m);
  int r = fake_image_read(m, image, log, room);
  fake.state.modules++;
  if (r) cuModuleUnload((CUmodule)m);
  *out = r ? NULL : (CUmodule)m;
  return r;
}

CUresult cuModuleUnload(CUmodule m) {
  BEGIN_FREE;
  MUST_LIVE(m, MODULE);
  drain_all();
  fake_image_free((FakeModule *)m);
  fake_delete(m);
  fake.state.modules--;
  return 0;
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule m, const char *name) {
  BEGIN;
  MUST_LIVE(m, MODULE);
  FakeFunction *f;
  int r = fake_image_function((FakeModule *)m, name, &f);
  *out = (CUfunction)f;
  return r;
}

CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  BEGIN;
  FakeFunction *f = (FakeFunction *)function;
  if (attribute != CUDA_FUNCTION_SHARED) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "no attribute %d", attribute);
  if (value < 0 || value + (int)f->shared > shared_most())
    return fake_refuse(CUDA_ERROR_INVALID_VALUE, "%s: %d bytes of shared memory, a block has %d", f->name, value,
                       shared_most());
  f->dynamic = (uint32_t)value;
  return 0;
}

/* ---- memory ---- */

CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes) {
  BEGIN;
  NOT_WHILE_CAPTURING;
  if (++fake.allocations == fake.no_memory) return CUDA_ERROR_OUT_OF_MEMORY;
  *out = fake_memory_new(bytes);
  if (*out) fake.state.device_blocks++;
  return *out ? 0 : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemFree_v2(CUdeviceptr at) {
  BEGIN_FREE;
  drain_all();
  if (!fake_memory_free(at)) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "no such memory is allocated");
  fake.state.device_blocks--;
  return 0;
}

CUresult cuMemGetInfo_v2(size_t *left, size_t *all) {
  BEGIN;
  *all = (size_t)1 << 30;
  *left = *all / 2;
  return 0;
}

/* Host memory, pinned or not, is not known as the GPU's. */
CUresult cuPointerGetAttribute(void *out, int attribute, CUdeviceptr at) {
  BEGIN;
  if (!fake_memory_holds(at, 1)) return CUDA_ERROR_INVALID_VALUE;
  if (attribute == CUDA_POINTER_MEMORY)
    *(uint32_t *)out = CUDA_MEMORY_DEVICE;
  else if (attribute == CUDA_POINTER_GPU)
    *(int *)out = fake.pointer_gpu;
  else
    return fake_refuse(CUDA_ERROR_INVALID_VALUE, "no attribute %d of pointers", attribute);
  return 0;
}

CUresult cuMemAllocHost_v2(void **out, size_t bytes) {
  BEGIN;
  NOT_WHILE_CAPTURING;
  FakePinned *p = fake_new(PINNED, sizeof *p);
  p->memory = malloc(bytes);
  p->bytes = bytes;
  if (!p->memory) abort();
  memset(p->memory, 0xff, bytes);
  fake.state.pinned_blocks++;
  *out = p->memory;
  return 0;
}

static FakePinned *pinned(const void *at) {
  for (FakeObject *o = fake.objects; o; o = o->next) {
    FakePinned *p = (FakePinned *)o;
    if (o->kind == PINNED && (uintptr_t)at - (uintptr_t)p->memory < p->bytes) return p;
  }
  return NULL;
}

CUresult cuMemFreeHost(void *at) {
  BEGIN_FREE;
  FakePinned *p = pinned(at);
  if (!p) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "no such host memory is allocated");
  drain_all();
  free(p->memory);
  fake_delete(p);
  fake.state.pinned_blocks--;
  return 0;
}

/* From and to memory that is not pinned, the real driver waits. */
static int copy(CUstream stream, FakeOp op, CUdeviceptr device, const void *host) {
  MUST_LIVE(stream, STREAM);
  FakeStream *s = (FakeStream *)stream;
  if (s->capture) return fake_refuse(CUDA_ERROR_CAPTURE_UNSUPPORTED, "copies are not captured here");
  if (!fake_memory_holds(device, op.bytes)) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "a copy outside of memory");
  enqueue(s, &op);
  if (!pinned(host)) drain(s, NULL);
  return fake.sticky;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream s) {
  BEGIN;
  return copy(s, (FakeOp){.kind = OP_IN, .to = (void *)(uintptr_t)to, .from = from, .bytes = bytes}, to, from);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream s) {
  BEGIN;
  return copy(s, (FakeOp){.kind = OP_OUT, .to = to, .from = (const void *)(uintptr_t)from, .bytes = bytes}, from, to);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream s) {
  BEGIN;
  if (!fake_memory_holds(from, bytes)) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "a copy outside of memory");
  return copy(
      s, (FakeOp){.kind = OP_IN, .to = (void *)(uintptr_t)to, .from = (const void *)(uintptr_t)from, .bytes = bytes},
      to, NULL);
}

/* ---- streams and events ---- */

CUresult cuStreamCreate(CUstream *out, unsigned flags) {
  BEGIN;
  if (flags != CUDA_STREAM_NON_BLOCKING) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "a stream that blocks others");
  *out = fake_new(STREAM, sizeof(FakeStream));
  fake.state.streams++;
  return 0;
}

CUresult cuStreamDestroy_v2(CUstream s) {
  BEGIN_FREE;
  MUST_LIVE(s, STREAM);
  drain((FakeStream *)s, NULL);
  fake_delete(s);
  fake.state.streams--;
  return 0;
}

CUresult cuStreamSynchronize(CUstream s) {
  BEGIN;
  MUST_LIVE(s, STREAM);
  NOT_WHILE_CAPTURING;
  drain((FakeStream *)s, NULL);
  return fake.sticky;
}

CUresult cuEventCreate(CUevent *out, unsigned flags) {
  (void)flags;
  BEGIN;
  *out = fake_new(EVENT, sizeof(FakeEvent));
  fake.state.events++;
  return 0;
}

CUresult cuEventDestroy_v2(CUevent e) {
  BEGIN_FREE;
  MUST_LIVE(e, EVENT);
  drain_all();
  fake_delete(e);
  fake.state.events--;
  return 0;
}

CUresult cuEventRecord(CUevent event, CUstream s) {
  BEGIN;
  MUST_LIVE(event, EVENT);
  MUST_LIVE(s, STREAM);
  NOT_WHILE_CAPTURING;
  FakeEvent *e = (FakeEvent *)event;
  e->stream = (FakeStream *)s;
  e->passed = false;
  enqueue(e->stream, &(FakeOp){.kind = OP_EVENT, .event = e, .recorded = ++e->recorded});
  return 0;
}

CUresult cuEventSynchronize(CUevent event) {
  BEGIN;
  MUST_LIVE(event, EVENT);
  NOT_WHILE_CAPTURING;
  FakeEvent *e = (FakeEvent *)event;
  if (e->stream && !e->passed) drain(e->stream, e);
  return fake.sticky;
}

/* ---- launches and graphs ---- */

CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void **params, void **extra) {
  BEGIN;
  MUST_LIVE(stream, STREAM);
  FakeStream *s = (FakeStream *)stream;
  FakeOp op = {.kind = OP_KERNEL};
  CudaNode node = {f, {gx, gy, gz}, {bx, by, bz}, shared, params, extra, NULL, NULL};
  int r = fake_kernel_set(&op.kernel, &node);
  if (r) return r;
  if (!s->capture) {
    enqueue(s, &op);
    return 0; /* what fails later is told later */
  }
  FakeGraph *g = s->capture;
  g->node = realloc(g->node, (g->n + 1) * sizeof *g->node);
  FakeKernel *captured = malloc(sizeof *captured);
  if (!g->node || !captured) abort();
  *captured = op.kernel;
  g->node[g->n++] = captured;
  g->last = (CUgraphNode)(void *)captured;
  return 0;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  BEGIN;
  MUST_LIVE(stream, STREAM);
  FakeStream *s = (FakeStream *)stream;
  if (mode != CUDA_CAPTURE_GLOBAL && mode != CUDA_CAPTURE_THREAD)
    return fake_refuse(CUDA_ERROR_INVALID_VALUE, "capture %d", mode);
  if (s->capture) return fake_refuse(CUDA_ERROR_CAPTURE_UNSUPPORTED, "the stream is being captured");
  s->capture = fake_new(GRAPH, sizeof(FakeGraph));
  s->mode = mode;
  s->capturer = pthread_self();
  fake.state.graphs++;
  return 0;
}

CUresult cuStreamGetCaptureInfo_v3(CUstream stream, int *status, uint64_t *id, CUgraph *graph,
                                   const CUgraphNode **nodes, const void **edges, size_t *n) {
  BEGIN;
  MUST_LIVE(stream, STREAM);
  FakeGraph *g = ((FakeStream *)stream)->capture;
  if (id || graph || edges) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "%s: not known here", __func__);
  *status = g != NULL;
  if (g) *n = g->n != 0, *nodes = &g->last;
  return 0;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *out) {
  LOCKED; /* a stream must not stay captured because a call was made to fail */
  MUST_LIVE(stream, STREAM);
  FakeStream *s = (FakeStream *)stream;
  if (!s->capture) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "the stream is not being captured");
  if (!pthread_equal(s->capturer, pthread_self()))
    return fake_refuse(CUDA_ERROR_CAPTURE_WRONG_THREAD, "another thread began the capture");
  *out = (CUgraph)s->capture;
  s->capture = NULL;
  fake.state.calls++;
  return ++fake.fallible == fake.fail ? CUDA_ERROR_NOT_SUPPORTED : fake.sticky;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph, unsigned long long flags) {
  (void)flags;
  BEGIN;
  MUST_LIVE(graph, GRAPH);
  FakeExec *x = fake_new(EXEC, sizeof *x);
  x->graph = (FakeGraph *)graph;
  x->n = x->graph->n;
  x->node = calloc(x->n + 1, sizeof *x->node);
  if (!x->node) abort();
  for (uint32_t i = 0; i < x->n; i++) x->node[i] = *x->graph->node[i];
  fake.state.execs++;
  fake.state.instantiated++;
  *out = (CUgraphExec)x;
  return 0;
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node, const CudaNode *to) {
  BEGIN;
  MUST_LIVE(exec, EXEC);
  FakeExec *x = (FakeExec *)exec;
  MUST_LIVE(x->graph, GRAPH); /* whose nodes name those of the copy */
  uint32_t i = 0;
  while (i < x->n && (void *)node != (void *)x->graph->node[i]) i++;
  if (i == x->n) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "no node of this graph");
  fake.state.nodes_set++;
  return fake_kernel_set(&x->node[i], to);
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  BEGIN;
  MUST_LIVE(exec, EXEC);
  MUST_LIVE(stream, STREAM);
  const FakeExec *x = (const FakeExec *)exec;
  fake.state.graphs_launched++;
  for (uint32_t i = 0; i < x->n; i++) enqueue((FakeStream *)stream, &(FakeOp){.kind = OP_KERNEL, .kernel = x->node[i]});
  return 0;
}

CUresult cuGraphExecDestroy(CUgraphExec x) {
  BEGIN_FREE;
  MUST_LIVE(x, EXEC);
  free(((FakeExec *)x)->node);
  fake_delete(x);
  fake.state.execs--;
  return 0;
}

CUresult cuGraphDestroy(CUgraph g) {
  BEGIN_FREE;
  MUST_LIVE(g, GRAPH);
  FakeGraph *graph = (FakeGraph *)g;
  for (uint32_t i = 0; i < graph->n; i++) free(graph->node[i]);
  free(graph->node);
  fake_delete(g);
  fake.state.graphs--;
  return 0;
}

CUresult cuTensorMapEncodeTiled(void *map, int type, uint32_t rank, void *base, const uint64_t *dims,
                                const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,
                                int swizzle, int l2, int fill) {
  static const uint8_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4}, swizzles[] = {0, 32, 64, 128};
  (void)l2;
  BEGIN_EARLY;
  if (type < 0 || (size_t)type >= sizeof bytes || rank < 1 || rank > 5 || swizzle < 0 || swizzle > 3 || interleave ||
      fill || (uintptr_t)map % 64)
    return fake_refuse(CUDA_ERROR_INVALID_VALUE, "%s: not a map that is known here", __func__);
  EmulatorTensor t = {.base = base, .element_bytes = bytes[type], .rank = (int)rank, .swizzle = swizzles[swizzle]};
  uint64_t extent = bytes[type];
  for (uint32_t i = 0; i < rank; i++) {
    if (steps[i] != 1) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "%s: element strides", __func__);
    t.dims[i] = dims[i];
    t.box[i] = box[i];
    if (i) t.strides[i - 1] = strides[i - 1];
    extent += (dims[i] - 1) * (i ? strides[i - 1] : bytes[type]);
  }
  const char *why = emulator_tensor_map(map, &t);
  if (why) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "a tensor map: %s", why);
  if (!fake_memory_holds((uintptr_t)base, extent))
    return fake_refuse(CUDA_ERROR_INVALID_VALUE, "a tensor map: %llu bytes reach beyond the memory allocated there",
                       (unsigned long long)extent);
  return 0;
}

/* ---- for tests ---- */

void fake_cuda_state(FakeState *out) {
  LOCKED;
  *out = fake.state;
}
