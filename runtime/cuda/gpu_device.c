#include "rt_gpu.h"

int gpu_check(GpuDevice *d, CUresult r, const char *what, char *message) {
  if (!r) return SINTER_OK;
  const char *name = gpu_error_name(d->api, r);
  if (gpu_sticky(r)) {
    __atomic_store_n(&d->dead, 1, __ATOMIC_RELAXED);
    return rt_fail(message, SINTER_ERROR_GPU_FAILED, "the GPU failed in %s (%s): this process can use it no more", what,
                   name);
  }
  if (r == CUDA_ERROR_OUT_OF_MEMORY) return rt_fail(message, SINTER_ERROR_MEMORY, "no memory for %s", what);
  return rt_fail(message, SINTER_ERROR_GPU_FAILED, "the NVIDIA driver refuses %s (%s)", what, name);
}

int gpu_enter(GpuDevice *d, char *message) {
  if (__atomic_load_n(&d->dead, __ATOMIC_RELAXED))
    return rt_fail(message, SINTER_ERROR_GPU_FAILED, "the GPU failed before: this process can use it no more");
  return gpu_check(d, d->api->cuCtxPushCurrent_v2(d->context), "its own context", message);
}

void gpu_leave(GpuDevice *d) {
  CUcontext popped;
  d->api->cuCtxPopCurrent_v2(&popped);
}

/* ---- opening ---- */

static int which_gpu(int count, int number, int *ordinal, char *message) {
  const char *s = sys_env("SINTER_GPU"), *p = s;
  if (number >= count)
    return rt_fail(message, SINTER_ERROR_GPU, "there is no GPU %d: this system has %d GPU%s, numbered from 0",
                   (int64_t)number, (int64_t)count, count == 1 ? "" : "s");
  *ordinal = number;
  if (number >= 0) return SINTER_OK;
  int n = 0;
  while (p && *p >= '0' && *p <= '9' && n < 1000) n = n * 10 + *p++ - '0';
  if (p && (*p || n >= count))
    return rt_fail(message, SINTER_ERROR_GPU, "SINTER_GPU is \"%s\": this system has %d GPU%s, numbered from 0", s,
                   (int64_t)count, count == 1 ? "" : "s");
  *ordinal = n;
  return SINTER_OK;
}

static int no_image(const GpuDevice *d, const GpuImage *images, uint32_t n, char *message) {
  rt_fail(message, 0, "no code for this GPU, %s of compute capability %u.%u: there is ", d->name, (uint64_t)d->sm / 10,
          (uint64_t)d->sm % 10);
  for (uint32_t i = 0; i < n; i++)
    rt_append(message, "%s%s%u%s", i ? ", " : "", images[i].kind == GPU_PTX ? "compute_" : "sm_",
              (uint64_t)images[i].sm, images[i].kind == GPU_CUBIN_EXACT ? "a" : "");
  if (!n) rt_append(message, "none");
  if (d->sm < 80)
    rt_append(message, "; code can be compiled for 8.0 and later");
  else
    rt_append(message, "; compile with --gpu sm_%u%s, or compute_80 for all from 8.0 on", (uint64_t)d->sm,
              d->sm == 90 ? "a" : "");
  return SINTER_ERROR_GPU;
}

/* Fills in what can be known without a context. */
static int look(GpuDevice *d, const GpuImage *images, uint32_t n, int number, char *message) {
  const CudaApi *api = d->api;
  int count = 0, ordinal = 0, major = 0, minor = 0, multiprocessors = 0, shared = 0;
  int status = gpu_check(d, api->cuDeviceGetCount(&count), "the number of GPUs", message);
  if (!status) status = which_gpu(count, number, &ordinal, message);
  if (!status) status = gpu_check(d, api->cuDeviceGet(&d->device, ordinal), "a GPU", message);
  if (status) return status;
  CUresult r = api->cuDeviceGetName(d->name, sizeof d->name, d->device);
  if (!r) r = api->cuDeviceGetAttribute(&major, CUDA_ATTRIBUTE_MAJOR, d->device);
  if (!r) r = api->cuDeviceGetAttribute(&minor, CUDA_ATTRIBUTE_MINOR, d->device);
  if (!r) r = api->cuDeviceGetAttribute(&multiprocessors, CUDA_ATTRIBUTE_MULTIPROCESSORS, d->device);
  if (!r) r = api->cuDeviceGetAttribute(&shared, CUDA_ATTRIBUTE_SHARED, d->device);
  if (r) return gpu_check(d, r, "what the GPU is", message);
  d->sm = (uint32_t)(major * 10 + minor);
  d->multiprocessors = (uint32_t)multiprocessors;
  d->shared_most = (uint32_t)shared;
  d->image = gpu_choose_image(images, n, d->sm);
  return d->image ? SINTER_OK : no_image(d, images, n, message);
}

static void unload(GpuDevice *d) {
  for (uint32_t i = 0; i < d->image->nprograms; i++)
    if (d->module[i]) d->api->cuModuleUnload(d->module[i]);
}

static int load_program(GpuDevice *d, uint32_t i, char *message) {
  char log[512] = ""; /* of the translation of PTX */
  int option[] = {CUDA_JIT_ERROR_LOG, CUDA_JIT_ERROR_LOG_BYTES};
  void *value[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  int status = gpu_check(d, d->api->cuModuleLoadDataEx(&d->module[i], d->image->programs[i], 2, option, value),
                         "the code for this GPU", message);
  if (status && log[0]) rt_append(message, ": %s", log);
  return status;
}

static int find_kernel(GpuDevice *d, uint32_t i, char *message) {
  const GpuKernel *k = &d->image->kernels[i];
  CUresult r = d->api->cuModuleGetFunction(&d->kernel[i], d->module[k->program], k->name);
  if (!r && k->shared) r = d->api->cuFuncSetAttribute(d->kernel[i], CUDA_FUNCTION_SHARED, (int)k->shared);
  return gpu_check(d, r, k->name, message);
}

static int load(GpuDevice *d, char *message) {
  int status = SINTER_OK;
  for (uint32_t i = 0; i < d->image->nprograms && !status; i++) status = load_program(d, i, message);
  for (uint32_t i = 0; i < d->image->nkernels && !status; i++) status = find_kernel(d, i, message);
  if (status) unload(d);
  return status;
}

static int open_context(GpuDevice *d, char *message) {
  int status = gpu_check(d, d->api->cuDevicePrimaryCtxRetain(&d->context, d->device), "a context", message);
  if (status) return status;
  status = gpu_enter(d, message);
  if (!status) status = load(d, message), gpu_leave(d);
  if (status) d->api->cuDevicePrimaryCtxRelease_v2(d->device);
  return status;
}

int gpu_open(GpuDevice **out, const GpuImage *images, uint32_t n, int number, char *message) {
  const CudaApi *api;
  *out = NULL;
  message[0] = 0;
  int status = gpu_driver(&api, message);
  if (status) return status;
  uint64_t programs = 0, kernels = 0; /* of any image: which one it will be is not known yet */
  for (uint32_t i = 0; i < n; i++) {
    if (images[i].nprograms > programs) programs = images[i].nprograms;
    if (images[i].nkernels > kernels) kernels = images[i].nkernels;
  }
  uint64_t bytes = sizeof(GpuDevice) + programs * sizeof(CUmodule) + kernels * sizeof(CUfunction);
  GpuDevice *d = sys_alloc(bytes);
  if (!d) return rt_fail(message, SINTER_ERROR_MEMORY, "no memory for a GPU");
  d->api = api;
  d->bytes = bytes;
  d->module = (CUmodule *)(d + 1);
  d->kernel = (CUfunction *)(d->module + programs);
  status = look(d, images, n, number, message);
  if (!status) status = open_context(d, message);
  if (status)
    sys_free(d, bytes);
  else
    *out = d;
  return status;
}

void gpu_close(GpuDevice *d) {
  char message[RT_MESSAGE];
  if (!d) return;
  if (!gpu_enter(d, message)) {
    unload(d);
    gpu_leave(d);
    d->api->cuDevicePrimaryCtxRelease_v2(d->device);
  }
  sys_free(d, d->bytes);
}

/* ---- memory ---- */

int gpu_alloc(GpuDevice *d, uint64_t bytes, CUdeviceptr *at, char *message) {
  *at = 0;
  int status = gpu_enter(d, message);
  if (status) return status;
  CUresult r = d->api->cuMemAlloc_v2(at, bytes ? bytes : 1);
  size_t left = 0, all = 0;
  if (r == CUDA_ERROR_OUT_OF_MEMORY) {
    status = rt_fail(message, SINTER_ERROR_MEMORY, "no memory on the GPU: %u bytes are wanted", bytes);
    if (d->api->cuMemGetInfo_v2 && !d->api->cuMemGetInfo_v2(&left, &all))
      rt_append(message, ", %u of %u are free", (uint64_t)left, (uint64_t)all);
  } else {
    status = gpu_check(d, r, "memory on the GPU", message);
  }
  gpu_leave(d);
  return status;
}

void gpu_free(GpuDevice *d, CUdeviceptr at) {
  char message[RT_MESSAGE];
  if (!at || gpu_enter(d, message)) return;
  d->api->cuMemFree_v2(at);
  gpu_leave(d);
}
