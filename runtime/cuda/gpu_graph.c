/* Launches, and graphs of them: one for each entry and its dimensions. A graph is captured from the same launches that
 * run without it; where memory has moved since, those of its nodes that know addresses there are told. */
#include "rt_gpu.h"

static CUdeviceptr address(const GpuCall *c, const GpuArgument *a) {
  return a->slot == GPU_NOWHERE ? 0 : c->base[a->slot] + a->at;
}

static CUresult encode(const GpuQueue *q, void *map, const GpuTensor *t, CUdeviceptr at) {
  static const uint32_t ones[5] = {1, 1, 1, 1, 1};
  return q->device->api->cuTensorMapEncodeTiled(map, t->type, t->rank, (void *)(uintptr_t)at, t->dims, t->strides,
                                                t->box, ones, 0, t->swizzle, CUDA_TENSOR_L2_256B, 0);
}

/* The arguments of a step into the queue's words, which the driver copies from; a map has 16, aligned to 64 bytes. */
static int place_arguments(GpuQueue *q, const GpuCall *c, const GpuStep *s, char *message) {
  CUresult r = 0;
  void **param = q->params;
  uint64_t at = 0;
  for (uint32_t i = 0; i < s->narguments && !r; i++) {
    const GpuArgument *a = &s->arguments[i];
    if (a->kind == GPU_TENSOR) at = (at + 7) & ~7ull;
    if (!a->joined) *param++ = &q->words[at];
    switch (a->kind) {
    case GPU_ADDRESS: q->words[at++] = address(c, a); break;
    case GPU_VALUE: q->words[at++] = a->at; break;
    case GPU_TENSOR: r = encode(q, &q->words[at], a->tensor, address(c, a)), at += 16; break;
    }
  }
  return gpu_check(q->device, r, "a map of a tensor", message);
}

int gpu_launch(GpuQueue *q, CUstream stream, const GpuCall *c, const GpuStep *s, char *message) {
  int status = place_arguments(q, c, s, message);
  if (status) return status;
  CUresult r =
      q->device->api->cuLaunchKernel(q->device->kernel[s->kernel], s->grid[0], s->grid[1], s->grid[2], s->block[0],
                                     s->block[1], s->block[2], s->shared, stream, q->params, NULL);
  return gpu_check(q->device, r, q->device->image->kernels[s->kernel].name, message);
}

/* ---- the cache ---- */

void gpu_drop_graph(GpuQueue *q, GpuGraph *g) {
  if (g->exec) q->device->api->cuGraphExecDestroy(g->exec);
  if (g->graph) q->device->api->cuGraphDestroy(g->graph);
  g->exec = NULL, g->graph = NULL, g->used = 0;
}

static bool is_graph_of(const GpuQueue *q, const GpuGraph *g, const GpuCall *c) {
  if (!g->used || g->entry != c->entry || g->nsteps != c->nsteps) return false;
  for (uint32_t i = 0; i < q->most.dims; i++)
    if (g->dims[i] != c->dims[i]) return false;
  return true;
}

/* ---- recording, on a stream where nothing else is done ---- */

static int capture_steps(GpuQueue *q, GpuGraph *g, const GpuCall *c, char *message) {
  for (uint32_t i = 0; i < c->nsteps; i++) {
    const CUgraphNode *last = NULL;
    size_t n = 0;
    int capturing;
    int status = gpu_launch(q, q->own, c, &c->steps[i], message);
    if (status) return status;
    CUresult r = q->device->api->cuStreamGetCaptureInfo_v3(q->own, &capturing, NULL, NULL, &last, NULL, &n);
    if (!r && n != 1) r = CUDA_ERROR_INVALID_VALUE; /* the next launch waits for this one alone */
    if (r) return gpu_check(q->device, r, "the node of a kernel", message);
    g->node[i] = last[0];
  }
  return SINTER_OK;
}

static int make_graph(GpuQueue *q, GpuGraph *g, const GpuCall *c, char *message) {
  const CudaApi *api = q->device->api;
  int status =
      gpu_check(q->device, api->cuStreamBeginCapture_v2(q->own, CUDA_CAPTURE_THREAD), "to record a graph", message);
  if (status) return status;
  status = capture_steps(q, g, c, message);
  CUresult ended = api->cuStreamEndCapture(q->own, &g->graph); /* also after a mistake: the stream is captured */
  if (!status) status = gpu_check(q->device, ended, "to end a graph", message);
  if (!status)
    status = gpu_check(q->device, api->cuGraphInstantiateWithFlags(&g->exec, g->graph, 0), "a graph", message);
  if (status) {
    gpu_drop_graph(q, g);
    return status;
  }
  g->entry = c->entry;
  g->nsteps = c->nsteps;
  for (uint32_t i = 0; i < q->most.dims; i++) g->dims[i] = c->dims[i];
  for (uint32_t i = 0; i < q->most.slots; i++) g->base[i] = c->base[i];
  return SINTER_OK;
}

/* ---- rebinding ---- */

static bool has_moved(const GpuGraph *g, const GpuCall *c, const GpuStep *s) {
  for (uint32_t i = 0; i < s->narguments; i++) {
    const GpuArgument *a = &s->arguments[i];
    if (a->kind != GPU_VALUE && a->slot != GPU_NOWHERE && g->base[a->slot] != c->base[a->slot]) return true;
  }
  return false;
}

/* After a failure the graph is of no use: some of its nodes know the new places, some the old. */
static int rebind(GpuQueue *q, GpuGraph *g, const GpuCall *c, char *message) {
  for (uint32_t i = 0; i < c->nsteps; i++) {
    const GpuStep *s = &c->steps[i];
    if (!has_moved(g, c, s)) continue;
    int status = place_arguments(q, c, s, message);
    if (status) return status;
    CudaNode node = {.function = q->device->kernel[s->kernel], .shared = s->shared, .params = q->params};
    for (int k = 0; k < 3; k++) node.grid[k] = s->grid[k], node.block[k] = s->block[k];
    status = gpu_check(q->device, q->device->api->cuGraphExecKernelNodeSetParams_v2(g->exec, g->node[i], &node),
                       "new addresses in a graph", message);
    if (status) return status;
  }
  for (uint32_t i = 0; i < q->most.slots; i++) g->base[i] = c->base[i];
  return SINTER_OK;
}

int gpu_run_graph(GpuQueue *q, const GpuCall *c, char *message) {
  GpuGraph *g = q->graph, *oldest = q->graph;
  while (g < q->graph + GPU_GRAPHS && !is_graph_of(q, g, c)) {
    if (g->used < oldest->used) oldest = g;
    g++;
  }
  int status;
  if (g < q->graph + GPU_GRAPHS) {
    status = rebind(q, g, c, message);
    if (status) gpu_drop_graph(q, g);
  } else {
    g = oldest;
    gpu_drop_graph(q, g);
    status = make_graph(q, g, c, message);
  }
  if (status) return status;
  g->used = ++q->clock;
  return gpu_check(q->device, q->device->api->cuGraphLaunch(g->exec, q->stream), "the start of a graph", message);
}
