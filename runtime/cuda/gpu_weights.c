/* Cells and constants of an artefact on a GPU: one block of memory there, filled when the weights move. What the rest
 * of the runtime calls is the table rt_gpu. */
#include "rt_gpu.h"

enum { STAGE = 1 << 20 };

static uint64_t consts_bytes(void) {
  const SinterConst *k = RT_RECORDS(SinterConst, RT_MODEL->consts);
  uint64_t end = 0;
  for (uint32_t i = 0; i < RT_MODEL->consts.n; i++)
    if (k[i].at + k[i].bytes > end) end = k[i].at + k[i].bytes;
  return end;
}

/* ---- the code, as gpu_open wants it: in the block behind the object ---- */

typedef struct Counts {
  uint64_t programs, kernels;
} Counts;

static Counts count(void) {
  const SinterGpuImage *from = RT_RECORDS(SinterGpuImage, RT_MODEL->gpu_images);
  Counts c = {0};
  for (uint32_t i = 0; i < RT_MODEL->gpu_images.n; i++)
    c.programs += from[i].programs.n, c.kernels += from[i].kernels.n;
  return c;
}

static GpuImage *list_images(GpuWeights *w, const Counts *c) {
  const SinterGpuImage *from = RT_RECORDS(SinterGpuImage, RT_MODEL->gpu_images);
  GpuImage *images = (GpuImage *)(void *)(w + 1);
  const void **program = (const void **)(void *)(images + RT_MODEL->gpu_images.n);
  GpuKernel *kernel = (GpuKernel *)(void *)(program + c->programs);
  for (uint32_t i = 0; i < RT_MODEL->gpu_images.n; i++) {
    const SinterGpuProgram *p = RT_RECORDS(SinterGpuProgram, from[i].programs);
    const SinterGpuKernel *k = RT_RECORDS(SinterGpuKernel, from[i].kernels);
    images[i] = (GpuImage){.kind = from[i].kind,
                           .sm = from[i].sm,
                           .programs = program,
                           .nprograms = from[i].programs.n,
                           .nkernels = from[i].kernels.n,
                           .kernels = kernel};
    for (uint32_t n = 0; n < from[i].programs.n; n++) *program++ = sinter_image.gpu + p[n].at;
    for (uint32_t n = 0; n < from[i].kernels.n; n++)
      *kernel++ = (GpuKernel){RT_TEXT(k[n].name), k[n].program, k[n].shared};
  }
  return images;
}

/* ---- life ---- */

void gpu_weights_release(GpuWeights *w) {
  if (__atomic_sub_fetch(&w->users, 1, __ATOMIC_ACQ_REL)) return;
  gpu_close(w->device);
  sys_free(w, w->bytes);
}

/* Contexts may be freed after it: the device stays until then. */
static void close_weights(GpuWeights *w) {
  gpu_queue_close(w->queue);
  gpu_free(w->device, w->memory);
  gpu_weights_release(w);
}

static int upload(GpuWeights *w, const char *cells, char *message) {
  static const GpuLimits copies = {.stage = STAGE};
  uint64_t consts = consts_bytes();
  w->consts_at = gpu_up(RT_MODEL->cells_bytes);
  int status = gpu_queue_open(&w->queue, w->device, &copies, message);
  if (!status) status = gpu_alloc(w->device, w->consts_at + consts, &w->memory, message);
  if (!status) status = gpu_copy_in(w->queue, w->memory, cells, RT_MODEL->cells_bytes, message);
  if (!status) status = gpu_copy_in(w->queue, w->memory + w->consts_at, sinter_image.consts, consts, message);
  return status ? status : gpu_wait(w->queue, message);
}

static int open_weights(GpuWeights **out, const char *cells, int number, char *message) {
  Counts n = count();
  uint64_t bytes = sizeof(GpuWeights) + RT_MODEL->gpu_images.n * sizeof(GpuImage) + n.programs * sizeof(void *) +
                   n.kernels * sizeof(GpuKernel);
  GpuWeights *w = sys_alloc(bytes);
  if (!w) return rt_fail(message, SINTER_ERROR_MEMORY, "no memory for weights on a GPU");
  w->bytes = bytes;
  w->users = 1;
  const GpuImage *images = list_images(w, &n);
  int status = gpu_open(&w->device, images, RT_MODEL->gpu_images.n, number, message);
  if (!status) {
    w->level = SINTER_LEVELS + (uint32_t)(w->device->image - images);
    status = upload(w, cells, message);
    if (status)
      close_weights(w);
    else
      *out = w;
  } else {
    sys_free(w, bytes);
  }
  return status;
}

/* GPU_ANY or the number of a GPU; -2: the host; -3: no device is called so. */
enum { HOST = -2, NO_DEVICE = -3 };
static int read_device(const char *s) {
  int n = 0;
  if (rt_equal(s, "cpu")) return HOST;
  if (rt_equal(s, "cuda")) return GPU_ANY;
  if (!rt_starts(s, "cuda:") || !s[5]) return NO_DEVICE;
  for (s += 5; *s >= '0' && *s <= '9' && n < 10000; s++) n = 10 * n + (*s - '0');
  return *s ? NO_DEVICE : n;
}

static int fetch(GpuWeights *w, char *cells, char *message) {
  int status = SINTER_OK;
  rt_lock(&w->lock);
  if (w->ahead) status = gpu_copy_out(w->queue, cells, w->memory, RT_MODEL->cells_bytes, message);
  if (!status) w->ahead = false;
  rt_unlock(&w->lock);
  return status;
}

static int move(SinterWeights *w, const char *device, char *message) {
  GpuWeights *to = NULL;
  int number = read_device(device);
  if (number == NO_DEVICE)
    return rt_fail(message, SINTER_ERROR_ARGUMENT,
                   "\"%s\" is no device: cpu, cuda or cuda:N is expected, where N numbers the GPUs from 0", device);
  int status = w->gpu ? fetch(w->gpu, w->cells, message) : SINTER_OK;
  if (!status && number != HOST) status = open_weights(&to, w->cells, number, message);
  if (status) return status;
  if (w->gpu) {
    close_weights(w->gpu);
    memset(w->stale, 1, RT_MODEL->derived.n); /* what was prepared of cells that may have changed there */
  }
  w->gpu = to;
  return SINTER_OK;
}

static uint32_t level_of(const GpuWeights *w) { return w->level; }

/* ---- data ---- */

/* One copy at a time; copies out wait for themselves. */
static int copy(GpuWeights *w, void *to, uint64_t at, const void *from, uint64_t bytes, char *message) {
  rt_lock(&w->lock);
  int status = to ? gpu_copy_out(w->queue, to, w->memory + at, bytes, message)
                  : gpu_copy_in(w->queue, w->memory + at, from, bytes, message);
  if (!status && from) status = gpu_wait(w->queue, message);
  rt_unlock(&w->lock);
  return status;
}

static int get(GpuWeights *w, void *to, uint64_t at, uint64_t bytes, char *message) {
  return copy(w, to, at, NULL, bytes, message);
}

static int set(GpuWeights *w, uint64_t at, const void *from, uint64_t bytes, char *message) {
  return copy(w, NULL, at, from, bytes, message);
}

const RtGpu rt_gpu = {.move = move,
                      .close = close_weights,
                      .level = level_of,
                      .get = get,
                      .set = set,
                      .fetch = fetch,
                      .create = gpu_context_open,
                      .free = gpu_context_close,
                      .call = gpu_context_call};
