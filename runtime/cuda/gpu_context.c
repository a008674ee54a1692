/* A context's part on a GPU: one block of memory there for all that calls need, and a queue. A call copies the inputs
 * in, runs the plan, and copies the outputs out once no failure was counted; what lies on the GPU already is used where
 * it lies. The block: each input of the entry, control, each output, the arena, aligned to 256; so what is small goes
 * in one copy each way. */
#include "rt_gpu.h"

enum { STAGE = 1 << 20 };
enum { SLOT_CELLS, SLOT_CONSTS, SLOT_CONTROL, SLOT_ARENA, SLOT_PORTS };
enum { FAILED_AT = 16 /* in control, which begins with random: how many failed, then how many by code */ };

typedef struct Place { /* of a buffer of a plan */
  uint32_t slot;
  uint64_t at, bytes;
} Place;

typedef struct Part {
  void *host;
  CUdeviceptr at;
  uint64_t bytes;
} Part;

struct GpuContext {
  GpuWeights *weights;
  GpuQueue *queue;
  CUdeviceptr memory;
  uint64_t room, bytes; /* of that memory; of this block */
  uint64_t control_bytes;
  uint32_t *control; /* as it goes there and comes back */
  CUdeviceptr *base; /* by slot */
  bool *in_place;    /* by port: it lies on the GPU */
  Part *part;        /* [ports + 1] */
  uint32_t nparts;
  Place *place;            /* by buffer of the plan */
  const SinterPlan *bound; /* whose steps these are, for these dimensions; NULL: of none */
  int64_t *dims;
  GpuStep *steps;
  GpuArgument *arguments;
  GpuTensor *tensors;
  uint32_t nsteps;
  bool fails, controlled; /* the plan: may count failures; looks at control */
};

static const SinterEntry *entry_at(uint32_t i) { return RT_RECORDS(SinterEntry, RT_MODEL->entries) + i; }

static uint32_t ports_of(const SinterEntry *e) { return e->inputs.n + e->outputs.n; }

static uint64_t control_bytes(void) { return FAILED_AT + 4 * (1 + (uint64_t)RT_MODEL->places.n); }

static const SinterPort *port_at(const SinterEntry *e, uint32_t i) {
  return i < e->inputs.n ? RT_RECORDS(SinterPort, e->inputs) + i
                         : RT_RECORDS(SinterPort, e->outputs) + (i - e->inputs.n);
}

/* ---- how much there is of everything ---- */

typedef struct Most {
  uint64_t bufs, steps, arguments, tensors; /* of a plan */
  uint64_t a_step;                          /* arguments of one */
  uint64_t ports;
} Most;

static uint64_t higher(uint64_t a, uint64_t b) { return a > b ? a : b; }

static Most count(void) {
  const SinterPlan *plan = RT_RECORDS(SinterPlan, RT_MODEL->gpu_plans);
  Most m = {0};
  for (uint32_t i = 0; i < RT_MODEL->gpu_plans.n; i++) {
    const SinterGpuStep *s = RT_RECORDS(SinterGpuStep, plan[i].steps);
    uint64_t arguments = 0, tensors = 0;
    for (uint32_t k = 0; k < plan[i].steps.n; k++) {
      arguments += s[k].args.n;
      tensors += s[k].tensors.n;
      m.a_step = higher(m.a_step, s[k].args.n);
    }
    m.bufs = higher(m.bufs, plan[i].bufs.n);
    m.steps = higher(m.steps, plan[i].steps.n);
    m.arguments = higher(m.arguments, arguments);
    m.tensors = higher(m.tensors, tensors);
  }
  for (uint32_t i = 0; i < RT_MODEL->entries.n; i++) m.ports = higher(m.ports, ports_of(entry_at(i)));
  return m;
}

static bool add(uint64_t *sum, int64_t bytes) {
  return bytes >= 0 && bytes <= INT64_MAX / 2 && !__builtin_add_overflow(*sum, gpu_up((uint64_t)bytes), sum);
}

static bool port_bytes(const SinterPort *p, const int64_t *dims, int64_t *bytes) {
  *bytes = rt_dtype_size(p->dtype);
  for (uint32_t i = 0; i < p->rank; i++) {
    int64_t d;
    if (!rt_sym(RT_MODEL, p->dim[i], dims, &d) || d < 0 || __builtin_mul_overflow(*bytes, d, bytes)) return false;
  }
  return true;
}

/* Bytes on the GPU for calls of an entry with these dimensions, besides control. */
static bool entry_bytes(const SinterEntry *e, uint32_t level, const int64_t *dims, uint64_t *out) {
  const SinterVariant *v = RT_RECORDS(SinterVariant, e->variants);
  uint64_t arena = 0;
  int64_t bytes;
  *out = 0;
  for (uint32_t i = 0; i < ports_of(e); i++)
    if (!port_bytes(port_at(e, i), dims, &bytes) || !add(out, bytes)) return false;
  for (uint32_t i = 0; i < e->variants.n; i++) {
    if (v[i].level != level) continue;
    if (!rt_sym(RT_MODEL, RT_RECORDS(SinterPlan, RT_MODEL->gpu_plans)[v[i].plan].arena, dims, &bytes) || bytes < 0)
      return false;
    arena = higher(arena, (uint64_t)bytes);
  }
  return arena <= INT64_MAX && add(out, (int64_t)arena);
}

/* What calls with dimensions up to `most` need; `dims` is scratch. */
static int measure(GpuContext *c, const int64_t *most, int64_t *dims, char *message) {
  uint64_t largest = 0;
  for (uint32_t i = 0; i < RT_MODEL->entries.n; i++) {
    const SinterEntry *e = entry_at(i);
    const SinterDim *d = RT_RECORDS(SinterDim, e->dims);
    bool callable = i != RT_MODEL->init;
    uint64_t bytes;
    for (uint32_t k = 0; k < RT_MODEL->dims.n; k++) dims[k] = 0;
    for (uint32_t k = 0; k < e->dims.n; k++) {
      callable &= most[d[k].index] >= d[k].lo;
      dims[d[k].index] = most[d[k].index] < d[k].hi ? most[d[k].index] : d[k].hi;
    }
    if (!callable) continue;
    if (!entry_bytes(e, c->weights->level, dims, &bytes))
      return rt_fail(message, SINTER_ERROR_SHAPE,
                     "entry %s would need more memory for these dimensions than can be addressed", RT_TEXT(e->name));
    largest = higher(largest, bytes);
  }
  c->room = c->control_bytes + largest;
  return SINTER_OK;
}

/* ---- life ---- */

static void *take(char **at, uint64_t bytes) {
  char *p = *at;
  *at += rt_up(bytes);
  return p;
}

void gpu_context_close(GpuContext *c) {
  if (!c) return;
  gpu_queue_close(c->queue);
  gpu_free(c->weights->device, c->memory);
  gpu_weights_release(c->weights);
  sys_free(c, c->bytes);
}

static int open_parts(GpuContext *c, const Most *m, const int64_t *most, char *message) {
  GpuLimits limits = {.dims = RT_MODEL->dims.n,
                      .steps = (uint32_t)m->steps,
                      .arguments = (uint32_t)m->a_step,
                      .slots = SLOT_PORTS + (uint32_t)m->ports,
                      .stage = STAGE};
  int status = measure(c, most, c->dims, message);
  if (!status) status = gpu_queue_open(&c->queue, c->weights->device, &limits, message);
  if (!status) status = gpu_alloc(c->weights->device, c->room, &c->memory, message);
  return status;
}

static int open_context(GpuContext **out, GpuWeights *w, const int64_t *most, char *message) {
  Most m = count();
  uint64_t control = control_bytes(), slots = SLOT_PORTS + m.ports,
           bytes = rt_up(sizeof(GpuContext)) + rt_up(control) + rt_up(slots * sizeof(CUdeviceptr)) + rt_up(m.ports) +
                   rt_up((m.ports + 1) * sizeof(Part)) + rt_up(m.bufs * sizeof(Place)) +
                   rt_up(8ull * RT_MODEL->dims.n) + rt_up(m.steps * sizeof(GpuStep)) +
                   rt_up(m.arguments * sizeof(GpuArgument)) + rt_up(m.tensors * sizeof(GpuTensor));
  char *at = sys_alloc(bytes);
  if (!at) return rt_fail(message, SINTER_ERROR_MEMORY, "no memory for a context on a GPU (%u bytes)", bytes);
  GpuContext *c = take(&at, sizeof(GpuContext));
  c->weights = w;
  __atomic_add_fetch(&w->users, 1, __ATOMIC_RELAXED);
  c->bytes = bytes;
  c->control_bytes = gpu_up(control);
  c->control = take(&at, control);
  c->base = take(&at, slots * sizeof(CUdeviceptr));
  c->in_place = take(&at, m.ports);
  c->part = take(&at, (m.ports + 1) * sizeof(Part));
  c->place = take(&at, m.bufs * sizeof(Place));
  c->dims = take(&at, 8ull * RT_MODEL->dims.n);
  c->steps = take(&at, m.steps * sizeof(GpuStep));
  c->arguments = take(&at, m.arguments * sizeof(GpuArgument));
  c->tensors = take(&at, m.tensors * sizeof(GpuTensor));
  int status = open_parts(c, &m, most, message);
  if (status)
    gpu_context_close(c);
  else
    *out = c;
  return status;
}

int gpu_context_open(GpuContext **out, GpuWeights **on, SinterWeights *w, const int64_t *most, char *message) {
  if (!rt_take(w, false))
    return rt_fail(message, SINTER_ERROR_BUSY, "a context cannot be made now: a call is updating these weights");
  int status = w->gpu ? open_context(out, w->gpu, most, message) : SINTER_OK;
  if (!status) *on = w->gpu;
  rt_release(w, false);
  return status;
}

/* ---- a plan and its dimensions become launches ---- */

static bool place_buffer(const SinterEntry *e, const SinterBuf *b, const RtGpuCall *call, Place *p) {
  int64_t bytes = 0, offset = 0;
  uint64_t all = 0;
  if (!rt_sym(RT_MODEL, b->bytes, call->dims, &bytes) || bytes < 0) return false;
  *p = (Place){.bytes = (uint64_t)bytes};
  switch (b->kind) {
  case SINTER_BUF_INPUT: p->slot = SLOT_PORTS + b->index, all = call->ports[b->index].bytes; break;
  case SINTER_BUF_OUTPUT:
    p->slot = SLOT_PORTS + e->inputs.n + b->index, all = call->ports[e->inputs.n + b->index].bytes;
    break;
  case SINTER_BUF_CELL: {
    const SinterCell *cell = RT_RECORDS(SinterCell, RT_MODEL->cells) + b->index;
    p->slot = SLOT_CELLS, p->at = cell->at, all = cell->bytes;
    break;
  }
  case SINTER_BUF_CONST: {
    const SinterConst *k = RT_RECORDS(SinterConst, RT_MODEL->consts) + b->index;
    p->slot = SLOT_CONSTS, p->at = k->at, all = k->bytes;
    break;
  }
  case SINTER_BUF_RANDOM: p->slot = SLOT_CONTROL, all = FAILED_AT; break;
  case SINTER_BUF_ARENA:
    if (!rt_sym(RT_MODEL, b->at, call->dims, &offset) || offset < 0) return false;
    p->slot = SLOT_ARENA, p->at = (uint64_t)offset, all = p->bytes;
    break;
  }
  return p->bytes <= all;
}

static bool view(const GpuContext *c, const SinterView *v, const int64_t *dims, GpuArgument *a) {
  int64_t offset = 0;
  *a = (GpuArgument){.kind = GPU_ADDRESS, .slot = GPU_NOWHERE};
  if (v->buf == UINT32_MAX) return true;
  const Place *p = &c->place[v->buf];
  if (!rt_sym(RT_MODEL, v->at, dims, &offset) || offset < 0 || (uint64_t)offset > p->bytes) return false;
  a->slot = p->slot;
  a->at = p->at + (uint64_t)offset;
  return true;
}

/* CUtensorMapDataType by SINTER_F32, ...; 255: there is none */
static const uint8_t TENSOR_TYPE[] = {255, 7, 8, 6, 9, 0, 1, 3, 5, 0, 1, 2, 4, 0};

static bool tensor(const SinterGpuTensor *from, const int64_t *dims, GpuTensor *t) {
  *t = (GpuTensor){.type = from->dtype <= SINTER_BOOL ? TENSOR_TYPE[from->dtype] : 255, .rank = from->rank};
  for (uint32_t bytes = from->swizzle; bytes > 16; bytes /= 2) t->swizzle++;
  int64_t v;
  for (uint32_t i = 0; i < from->rank && i < 5; i++) {
    if (!rt_sym(RT_MODEL, from->dim[i], dims, &v) || v < 1) return false;
    t->dims[i] = (uint64_t)v;
    t->box[i] = from->box[i];
    if (i + 1 == from->rank) break;
    if (!rt_sym(RT_MODEL, from->stride[i], dims, &v) || v < 1) return false;
    t->strides[i] = (uint64_t)v;
  }
  return t->type != 255;
}

static bool argument(const GpuContext *c, const SinterGpuStep *s, const SinterGpuArg *from, const int64_t *dims,
                     GpuArgument *a, GpuTensor **tensors) {
  const SinterView *views = RT_RECORDS(SinterView, s->views);
  int64_t v;
  switch (from->kind) {
  case SINTER_GPU_ARG_VIEW: return view(c, &views[from->index], dims, a);
  case SINTER_GPU_ARG_DIM:
    if (!rt_sym(RT_MODEL, RT_RECORDS(SinterSym, s->dims)[from->index], dims, &v)) return false;
    *a = (GpuArgument){.kind = GPU_VALUE, .at = (uint64_t)v};
    return true;
  case SINTER_GPU_ARG_FAILED:
    *a = (GpuArgument){.kind = GPU_ADDRESS, .slot = SLOT_CONTROL, .at = FAILED_AT};
    return true;
  default: {
    const SinterGpuTensor *t = RT_RECORDS(SinterGpuTensor, s->tensors) + from->index;
    if (!view(c, &views[t->view], dims, a) || !tensor(t, dims, *tensors)) return false;
    a->kind = GPU_TENSOR;
    a->tensor = (*tensors)++;
    return true;
  }
  }
}

static bool bind(GpuContext *c, const SinterEntry *e, const RtGpuCall *call) {
  const SinterPlan *p = call->plan;
  const SinterBuf *b = RT_RECORDS(SinterBuf, p->bufs);
  const SinterGpuStep *s = RT_RECORDS(SinterGpuStep, p->steps);
  GpuArgument *a = c->arguments;
  GpuTensor *tensors = c->tensors;
  c->bound = NULL;
  c->nsteps = 0;
  c->fails = c->controlled = false;
  for (uint32_t i = 0; i < p->bufs.n; i++) {
    if (!place_buffer(e, &b[i], call, &c->place[i])) return false;
    c->controlled |= b[i].kind == SINTER_BUF_RANDOM;
  }
  for (uint32_t i = 0; i < p->steps.n; i++, s++) {
    const SinterGpuArg *from = RT_RECORDS(SinterGpuArg, s->args);
    int64_t grid;
    if (!rt_sym(RT_MODEL, s->grid, call->dims, &grid) || grid < 0 || grid > INT32_MAX) return false;
    if (!grid) continue;
    c->fails |= s->flags & SINTER_GPU_FAILS;
    c->controlled |= s->flags != 0;
    c->steps[c->nsteps++] = (GpuStep){.kernel = s->kernel,
                                      .grid = {(uint32_t)grid, 1, 1},
                                      .block = {s->block, 1, 1},
                                      .shared = c->weights->device->image->kernels[s->kernel].shared,
                                      .arguments = a,
                                      .narguments = s->args.n};
    for (uint32_t k = 0; k < s->args.n; k++, a++) {
      if (!argument(c, s, &from[k], call->dims, a, &tensors)) return false;
      a->joined = k > 0 && a->kind != GPU_TENSOR;
    }
  }
  for (uint32_t i = 0; i < RT_MODEL->dims.n; i++) c->dims[i] = call->dims[i];
  c->bound = p;
  return true;
}

static bool is_bound(const GpuContext *c, const RtGpuCall *call) {
  return c->bound == call->plan && !memcmp(c->dims, call->dims, 8ull * RT_MODEL->dims.n);
}

/* ---- a call ---- */

/* Whether a pointer of the caller's is memory of this GPU. */
static int look(GpuContext *c, const SinterEntry *e, uint32_t port, uint64_t at, bool *here, char *message) {
  GpuDevice *d = c->weights->device;
  const SinterPort *p = port_at(e, port);
  const char *name = p->name ? RT_TEXT(p->name) : "out";
  uint32_t memory = 0;
  int gpu = 0;
  *here = false;
  if (!d->api->cuPointerGetAttribute) return SINTER_OK;
  CUresult r = d->api->cuPointerGetAttribute(&memory, CUDA_POINTER_MEMORY, at);
  if (r == CUDA_ERROR_INVALID_VALUE) return SINTER_OK; /* the driver does not know it */
  if (!r && memory != CUDA_MEMORY_DEVICE) return SINTER_OK;
  if (!r) r = d->api->cuPointerGetAttribute(&gpu, CUDA_POINTER_GPU, at);
  if (r) return gpu_check(d, r, "where memory lies", message);
  if (gpu != d->device)
    return rt_fail(message, SINTER_ERROR_ARGUMENT, "%s: %s lies on GPU %d, and this context is on GPU %d",
                   RT_TEXT(e->name), name, (int64_t)gpu, (int64_t)d->device);
  if (at % 16)
    return rt_fail(message, SINTER_ERROR_ARGUMENT, "%s: %s lies on the GPU, where it must be aligned to 16 bytes",
                   RT_TEXT(e->name), name);
  *here = true;
  return SINTER_OK;
}

/* Where everything is: inputs, control, outputs, arena. */
static int place_all(GpuContext *c, const SinterEntry *e, const RtGpuCall *call, char *message) {
  uint64_t at = 0;
  int64_t arena = 0;
  bool fits = true;
  c->base[SLOT_CELLS] = c->weights->memory;
  c->base[SLOT_CONSTS] = c->weights->memory + c->weights->consts_at;
  int status = gpu_enter(c->weights->device, message);
  if (status) return status;
  for (uint32_t i = 0; i <= ports_of(e) && !status; i++) {
    if (i == e->inputs.n) {
      c->base[SLOT_CONTROL] = c->memory + at;
      fits = fits && (at += c->control_bytes) <= c->room;
    }
    if (i == ports_of(e)) break;
    const Span *p = &call->ports[i];
    c->base[SLOT_PORTS + i] = c->memory + at;
    c->in_place[i] = false;
    fits = fits && p->bytes <= c->room && (at += gpu_up(p->bytes)) <= c->room;
    if (p->bytes) status = look(c, e, i, (uintptr_t)p->at, &c->in_place[i], message);
    if (c->in_place[i]) c->base[SLOT_PORTS + i] = (uintptr_t)p->at;
  }
  gpu_leave(c->weights->device);
  if (status) return status;
  c->base[SLOT_ARENA] = c->memory + at;
  fits =
      fits && rt_sym(RT_MODEL, call->plan->arena, call->dims, &arena) && arena >= 0 && (uint64_t)arena <= c->room - at;
  return fits ? SINTER_OK
              : rt_fail(message, SINTER_ERROR_WORKSPACE,
                        "%s: these dimensions need more than the %u bytes that this context has on the GPU",
                        RT_TEXT(e->name), c->room);
}

/* What is copied between host and GPU in one direction: parts in the order of their addresses there. */
static void add_part(GpuContext *c, void *host, CUdeviceptr at, uint64_t bytes) {
  if (bytes) c->part[c->nparts++] = (Part){host, at, bytes};
}

static uint64_t extent(const GpuContext *c) {
  const Part *last = &c->part[c->nparts - 1];
  return last->at + last->bytes - c->part[0].at;
}

static int send(GpuContext *c, const SinterEntry *e, const RtGpuCall *call, char *message) {
  memset(c->control, 0, control_bytes());
  memcpy(c->control, call->random, FAILED_AT);
  c->nparts = 0;
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (!c->in_place[i]) add_part(c, call->ports[i].at, c->base[SLOT_PORTS + i], call->ports[i].bytes);
  if (c->controlled) add_part(c, c->control, c->base[SLOT_CONTROL], control_bytes());
  if (!c->nparts) return SINTER_OK;
  int status = SINTER_OK;
  if (extent(c) > STAGE) {
    for (uint32_t i = 0; i < c->nparts && !status; i++)
      status = gpu_copy_in(c->queue, c->part[i].at, c->part[i].host, c->part[i].bytes, message);
    return status;
  }
  char *stage;
  status = gpu_fill(c->queue, &stage, message);
  if (status) return status;
  for (uint32_t i = 0; i < c->nparts; i++)
    memcpy(stage + (c->part[i].at - c->part[0].at), c->part[i].host, c->part[i].bytes);
  return gpu_send(c->queue, c->part[0].at, extent(c), message);
}

/* After the counts of failures have come: the smallest code. */
static bool has_failed(const GpuContext *c, RtGpuCall *call) {
  const uint32_t *counts = c->control + FAILED_AT / 4;
  if (!counts[0]) return false;
  for (call->failed = 1; call->failed <= RT_MODEL->places.n && !counts[call->failed];) call->failed++;
  return true;
}

/* Outputs stay as they are if anything has failed. */
static int receive(GpuContext *c, const SinterEntry *e, RtGpuCall *call, char *message) {
  const SinterPort *in = RT_RECORDS(SinterPort, e->inputs);
  uint32_t first = c->fails;
  int status = SINTER_OK;
  c->nparts = 0;
  if (c->fails) add_part(c, c->control, c->base[SLOT_CONTROL], control_bytes());
  for (uint32_t i = e->inputs.n; i < ports_of(e); i++)
    if (!c->in_place[i]) add_part(c, call->ports[i].at, c->base[SLOT_PORTS + i], call->ports[i].bytes);
  const char *stage = NULL;
  if (c->nparts && extent(c) <= STAGE) status = gpu_fetch(c->queue, c->part[0].at, extent(c), &stage, message);
  for (uint32_t i = 0; i < c->nparts && !status; i++) {
    const Part *p = &c->part[i];
    if (i == first && has_failed(c, call)) return SINTER_OK;
    if (stage)
      memcpy(p->host, stage + (p->at - c->part[0].at), p->bytes);
    else
      status = gpu_copy_out(c->queue, p->host, p->at, p->bytes, message);
  }
  if (status || has_failed(c, call)) return status;
  for (uint32_t i = 0; i < e->inputs.n && !status; i++)
    if (in[i].inout && !c->in_place[i])
      status = gpu_copy_out(c->queue, call->ports[i].at, c->base[SLOT_PORTS + i], call->ports[i].bytes, message);
  return status;
}

int gpu_context_call(GpuContext *c, RtGpuCall *call, char *message) {
  const SinterEntry *e = entry_at(call->entry);
  char unheard[RT_MESSAGE];
  call->failed = 0;
  if (!is_bound(c, call) && !bind(c, e, call))
    return rt_fail(message, SINTER_ERROR_ARTEFACT,
                   "%s: the plan for a GPU does not fit these dimensions: a fault of the compiler", RT_TEXT(e->name));
  int status = place_all(c, e, call, message);
  if (status) return status;
  if (e->flags & SINTER_ENTRY_UPDATES) c->weights->ahead = true;
  GpuCall run = {.entry = (uint32_t)(call->plan - RT_RECORDS(SinterPlan, RT_MODEL->gpu_plans)),
                 .dims = c->dims,
                 .steps = c->steps,
                 .nsteps = c->nsteps,
                 .base = c->base};
  status = send(c, e, call, message);
  if (!status) status = gpu_run(c->queue, &run, message);
  if (!status) status = receive(c, e, call, message);
  int waited = gpu_wait(c->queue, status ? unheard : message); /* nobody uses the weights after a call */
  return status ? status : waited;
}
