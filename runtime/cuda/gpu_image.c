#include "rt_gpu.h"

static bool runs(const GpuImage *i, uint32_t sm) {
  switch (i->kind) {
  case GPU_CUBIN_EXACT: return i->sm == sm;
  case GPU_CUBIN: return i->sm / 10 == sm / 10 && i->sm <= sm;
  default: return i->sm <= sm;
  }
}

/* The kinds are numbered by worth; of one kind the highest. */
const GpuImage *gpu_choose_image(const GpuImage *images, uint32_t n, uint32_t sm) {
  const GpuImage *best = NULL;
  for (const GpuImage *i = images; i < images + n; i++)
    if (runs(i, sm) && (!best || i->kind > best->kind || (i->kind == best->kind && i->sm > best->sm))) best = i;
  return best;
}
