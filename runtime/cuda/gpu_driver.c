/* Finding and opening the driver, once a process: libcuda keeps threads and handlers, so it is never closed. */
#include "rt_gpu.h"

enum { FRESH, UNDER_WAY, DONE };
enum { OLDEST = 13000 /* code of CUDA 13.0 wants it */ };

static struct Driver {
  uint32_t state, process;
  int status;
  CudaApi api;
  char message[RT_MESSAGE];
} driver;

static const struct {
  const char *name;
  size_t at; /* in CudaApi */
  bool required;
} entry_points[] = {
#define REQUIRED(name, parameters) {#name, offsetof(CudaApi, name), true},
#define OPTIONAL(name, parameters) {#name, offsetof(CudaApi, name), false},
    CUDA_REQUIRED(REQUIRED) CUDA_OPTIONAL(OPTIONAL)
#undef REQUIRED
#undef OPTIONAL
};
enum { ENTRY_POINTS = sizeof entry_points / sizeof *entry_points };

static int too_old(char *message, int version) {
  return rt_fail(
      message, SINTER_ERROR_GPU,
      "the NVIDIA driver is too old: it is of CUDA %d.%d, and this code wants CUDA 13.0 (driver 580) or later",
      (int64_t)(version / 1000), (int64_t)(version % 1000 / 10));
}

static int load(CudaApi *api, char *message) {
  const char *other = sys_env("SINTER_LIBCUDA");
  if (!sys_library_any())
    return rt_fail(message, SINTER_ERROR_GPU,
                   "no GPU can be used: this program is static or without libdl, and loads no NVIDIA driver");
  void *library = sys_library_open(other ? other : "libcuda.so.1");
  if (!library && other)
    return rt_fail(message, SINTER_ERROR_GPU, "SINTER_LIBCUDA is %s, which cannot be loaded", other);
  if (!library)
    return rt_fail(message, SINTER_ERROR_GPU, "no GPU can be used: there is no NVIDIA driver (libcuda.so.1)");
  const char *missing = NULL;
  for (int i = 0; i < ENTRY_POINTS; i++) {
    void *symbol = sys_library_symbol(library, entry_points[i].name);
    memcpy((char *)api + entry_points[i].at, &symbol, sizeof symbol);
    if (!symbol && entry_points[i].required && !missing) missing = entry_points[i].name;
  }
  int version = 0; /* of the driver; first, because an old one may lack functions too */
  if (api->cuDriverGetVersion && !api->cuDriverGetVersion(&version) && version < OLDEST)
    return too_old(message, version);
  if (missing) return rt_fail(message, SINTER_ERROR_GPU, "the NVIDIA driver cannot be used: it has no %s", missing);
  CUresult r = api->cuInit(0);
  if (r == CUDA_ERROR_NO_DEVICE)
    return rt_fail(message, SINTER_ERROR_GPU, "no GPU can be used: the NVIDIA driver finds none");
  if (r)
    return rt_fail(message, SINTER_ERROR_GPU, "no GPU can be used: the NVIDIA driver does not start (%s)",
                   gpu_error_name(api, r));
  return SINTER_OK;
}

int gpu_driver(const CudaApi **api, char *message) {
  uint32_t state = FRESH;
  if (__atomic_compare_exchange_n(&driver.state, &state, UNDER_WAY, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
    driver.process = sys_process();
    driver.status = load(&driver.api, driver.message);
    __atomic_store_n(&driver.state, DONE, __ATOMIC_RELEASE);
    sys_wake(&driver.state);
  }
  while (__atomic_load_n(&driver.state, __ATOMIC_ACQUIRE) != DONE) sys_wait(&driver.state, UNDER_WAY);
  if (driver.status) return rt_fail(message, driver.status, "%s", driver.message);
  if (driver.process != sys_process())
    return rt_fail(message, SINTER_ERROR_GPU,
                   "no GPU can be used: CUDA was in use when this process was forked from another");
  *api = &driver.api;
  return SINTER_OK;
}

bool gpu_sticky(CUresult r) {
  return r == CUDA_ERROR_ECC || r == CUDA_ERROR_NVLINK || r == CUDA_ERROR_CONTAINED ||
         r == CUDA_ERROR_ILLEGAL_ADDRESS || r == CUDA_ERROR_TIMEOUT || r == CUDA_ERROR_CONTEXT_DESTROYED ||
         r == CUDA_ERROR_ASSERT || (r >= CUDA_ERROR_STACK && r <= CUDA_ERROR_LAUNCH_FAILED);
}

const char *gpu_error_name(const CudaApi *api, CUresult r) {
  const char *name = NULL;
  return !api->cuGetErrorName(r, &name) && name ? name : "an unknown error";
}
