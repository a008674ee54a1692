/* Work in order on one stream: copies through two pinned buffers in turn, so that one is filled while the other is on
 * its way, and plans. */
#include "rt_gpu.h"

static const char TO_IT[] = "a copy to it",
                  FROM_IT[] = "a copy from it, or in a kernel before, which SINTER_GPU_SYNC=1 names";

static int wait_stage(GpuQueue *q, GpuStage *s, const char *what, char *message) {
  if (!s->busy) return SINTER_OK;
  int status = gpu_check(q->device, q->device->api->cuEventSynchronize(s->done), what, message);
  s->busy = status != SINTER_OK;
  return status;
}

/* After the copy of a stage was begun, or was not. */
static int mark_stage(GpuQueue *q, GpuStage *s, CUresult begun, const char *what, char *message) {
  CUresult r = begun ? begun : q->device->api->cuEventRecord(s->done, q->stream);
  s->busy = !r;
  if (!begun && r) q->device->api->cuStreamSynchronize(q->stream); /* nothing else says when the buffer is free */
  return gpu_check(q->device, r, what, message);
}

static uint64_t part_of(const GpuQueue *q, uint64_t bytes) { return bytes < q->most.stage ? bytes : q->most.stage; }

int gpu_copy_in(GpuQueue *q, CUdeviceptr to, const void *from, uint64_t bytes, char *message) {
  int status = gpu_enter(q->device, message);
  if (status) return status;
  for (uint64_t at = 0, n; at < bytes && !status; at += n) {
    GpuStage *s = &q->stage[q->turn++ % 2];
    n = part_of(q, bytes - at);
    status = wait_stage(q, s, TO_IT, message);
    if (status) break;
    memcpy(s->memory, (const char *)from + at, n);
    status = mark_stage(q, s, q->device->api->cuMemcpyHtoDAsync_v2(to + at, s->memory, n, q->stream), TO_IT, message);
  }
  gpu_leave(q->device);
  return status;
}

int gpu_copy_out(GpuQueue *q, void *to, CUdeviceptr from, uint64_t bytes, char *message) {
  int status = gpu_enter(q->device, message);
  if (status) return status;
  uint64_t sent = 0, taken = 0;
  while (taken < bytes && !status) {
    if (sent < bytes && sent - taken < 2 * (uint64_t)q->most.stage) {
      GpuStage *s = &q->stage[sent / q->most.stage % 2];
      uint64_t n = part_of(q, bytes - sent);
      status = wait_stage(q, s, FROM_IT, message);
      if (status) break;
      status = mark_stage(q, s, q->device->api->cuMemcpyDtoHAsync_v2(s->memory, from + sent, n, q->stream), FROM_IT,
                          message);
      sent += n;
    } else {
      GpuStage *s = &q->stage[taken / q->most.stage % 2];
      uint64_t n = part_of(q, bytes - taken);
      status = wait_stage(q, s, FROM_IT, message);
      if (!status) memcpy((char *)to + taken, s->memory, n);
      taken += n;
    }
  }
  gpu_leave(q->device);
  return status;
}

int gpu_fill(GpuQueue *q, char **stage, char *message) {
  int status = gpu_enter(q->device, message);
  if (status) return status;
  GpuStage *s = &q->stage[q->turn % 2];
  *stage = s->memory;
  status = wait_stage(q, s, TO_IT, message);
  gpu_leave(q->device);
  return status;
}

int gpu_send(GpuQueue *q, CUdeviceptr to, uint64_t bytes, char *message) {
  int status = gpu_enter(q->device, message);
  if (status) return status;
  GpuStage *s = &q->stage[q->turn++ % 2];
  status = mark_stage(q, s, q->device->api->cuMemcpyHtoDAsync_v2(to, s->memory, bytes, q->stream), TO_IT, message);
  gpu_leave(q->device);
  return status;
}

int gpu_fetch(GpuQueue *q, CUdeviceptr from, uint64_t bytes, const char **stage, char *message) {
  int status = gpu_enter(q->device, message);
  if (status) return status;
  GpuStage *s = &q->stage[q->turn++ % 2];
  *stage = s->memory;
  status = wait_stage(q, s, FROM_IT, message);
  if (!status)
    status =
        mark_stage(q, s, q->device->api->cuMemcpyDtoHAsync_v2(s->memory, from, bytes, q->stream), FROM_IT, message);
  if (!status) status = wait_stage(q, s, FROM_IT, message);
  gpu_leave(q->device);
  return status;
}

int gpu_wait(GpuQueue *q, char *message) {
  int status = gpu_enter(q->device, message);
  if (status) return status;
  status = gpu_check(q->device, q->device->api->cuStreamSynchronize(q->stream),
                     q->one_by_one ? "a copy" : "a kernel (SINTER_GPU_SYNC=1 names it) or a copy", message);
  gpu_leave(q->device);
  return status;
}

int gpu_queue_use(GpuQueue *q, CUstream stream, char *message) {
  int status = gpu_wait(q, message);
  if (!status) q->stream = stream ? stream : q->own;
  return status;
}

static int run_one_by_one(GpuQueue *q, const GpuCall *c, char *message) {
  int status = SINTER_OK;
  for (uint32_t i = 0; i < c->nsteps && !status; i++) {
    status = gpu_launch(q, q->stream, c, &c->steps[i], message);
    if (!status && q->one_by_one)
      status = gpu_check(q->device, q->device->api->cuStreamSynchronize(q->stream),
                         q->device->image->kernels[c->steps[i].kernel].name, message);
  }
  return status;
}

int gpu_run(GpuQueue *q, const GpuCall *c, char *message) {
  int status = gpu_enter(q->device, message);
  if (status) return status;
  /* One launch gains nothing as a graph. */
  status = q->one_by_one || c->nsteps < 2 ? run_one_by_one(q, c, message) : gpu_run_graph(q, c, message);
  gpu_leave(q->device);
  return status;
}

/* ---- opening ---- */

static void close_parts(GpuQueue *q) {
  const CudaApi *api = q->device->api;
  for (int i = 0; i < GPU_GRAPHS; i++) gpu_drop_graph(q, &q->graph[i]);
  for (int i = 0; i < 2; i++) {
    if (q->stage[i].done) api->cuEventDestroy_v2(q->stage[i].done);
    if (q->stage[i].memory) api->cuMemFreeHost(q->stage[i].memory);
  }
  if (q->own) api->cuStreamDestroy_v2(q->own);
}

static int open_parts(GpuQueue *q, char *message) {
  const CudaApi *api = q->device->api;
  int status = gpu_check(q->device, api->cuStreamCreate(&q->own, CUDA_STREAM_NON_BLOCKING), "a stream", message);
  q->stream = q->own;
  for (int i = 0; i < 2 && !status; i++) {
    status = gpu_check(q->device, api->cuMemAllocHost_v2(&q->stage[i].memory, q->most.stage),
                       "the buffers between host and GPU", message);
    if (!status)
      status = gpu_check(q->device, api->cuEventCreate(&q->stage[i].done, CUDA_EVENT_NO_TIMING), "an event", message);
  }
  return status;
}

/* Gives out the block behind the queue. */
static void *take(char **at, uint64_t bytes) {
  char *p = *at;
  *at += rt_up(bytes);
  return p;
}

int gpu_queue_open(GpuQueue **out, GpuDevice *d, const GpuLimits *most, char *message) {
  *out = NULL;
  message[0] = 0;
  if (!most->stage) return rt_fail(message, SINTER_ERROR_ARGUMENT, "a queue wants buffers for copies");
  uint64_t dims = most->dims * sizeof(int64_t), base = most->slots * sizeof(CUdeviceptr),
           nodes = most->steps * sizeof(CUgraphNode), words = most->arguments * 24ull * sizeof(uint64_t),
           params = most->arguments * sizeof(void *);
  uint64_t bytes =
      rt_up(sizeof(GpuQueue)) + GPU_GRAPHS * (rt_up(dims) + rt_up(base) + rt_up(nodes)) + rt_up(words) + rt_up(params);
  GpuQueue *q = sys_alloc(bytes);
  if (!q) return rt_fail(message, SINTER_ERROR_MEMORY, "no memory for a queue of the GPU");
  char *at = (char *)q + rt_up(sizeof(GpuQueue));
  q->device = d;
  q->most = *most;
  q->bytes = bytes;
  q->one_by_one = sys_env("SINTER_GPU_SYNC") != NULL;
  q->words = take(&at, words);
  q->params = take(&at, params);
  for (int i = 0; i < GPU_GRAPHS; i++) {
    q->graph[i].dims = take(&at, dims);
    q->graph[i].base = take(&at, base);
    q->graph[i].node = take(&at, nodes);
  }
  int status = gpu_enter(d, message);
  if (!status) {
    status = open_parts(q, message);
    if (status) close_parts(q);
    gpu_leave(d);
  }
  if (status)
    sys_free(q, bytes);
  else
    *out = q;
  return status;
}

void gpu_queue_close(GpuQueue *q) {
  char message[RT_MESSAGE];
  if (!q) return;
  gpu_wait(q, message); /* if only the wait failed, what there is can be given back all the same */
  if (!gpu_enter(q->device, message)) {
    close_parts(q);
    gpu_leave(q->device);
  }
  sys_free(q, q->bytes);
}
