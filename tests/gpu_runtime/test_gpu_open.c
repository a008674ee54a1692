/* Which code runs on which GPU; drivers and GPUs that cannot be used, each with its sentence. Without NVRTC. */
#include "gpu_plan.h"
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char message[RT_MESSAGE];

/* ---- the choice of code ---- */

static void choice(void **unused) {
  (void)unused;
  enum { X80, X86, X89, A90, P80, P90, A100, ALL, NONE = -1 };
  static const GpuImage all[ALL] = {{.kind = GPU_CUBIN, .sm = 80},       {.kind = GPU_CUBIN, .sm = 86},
                                    {.kind = GPU_CUBIN, .sm = 89},       {.kind = GPU_CUBIN_EXACT, .sm = 90},
                                    {.kind = GPU_PTX, .sm = 80},         {.kind = GPU_PTX, .sm = 90},
                                    {.kind = GPU_CUBIN_EXACT, .sm = 100}};
  static const struct {
    uint32_t sm;
    const char *there; /* in this order, by index */
    int want;
  } rows[] = {
      {90, "0345", A90},   /* what was built for it alone comes first */
      {90, "5430", A90},   /* in any order */
      {90, "045", P90},    /* no cubin of another major version; the highest PTX */
      {90, "04", P80},     /* sm_80 code does not run on 9.0, its PTX does */
      {90, "0", NONE},     /* */
      {90, "06", NONE},    /* */
      {80, "0345", X80},   /* */
      {80, "1345", P80},   /* a minor version above the GPU's */
      {80, "35", NONE},    /* */
      {86, "01", X86},     /* the highest that fits */
      {86, "10", X86},     /* */
      {86, "0234", X80},   /* not 8.9 */
      {89, "0124", X89},   /* */
      {100, "0345", P90},  /* sm_90a runs on nothing but 9.0 */
      {100, "34", P80},    /* */
      {100, "3456", 6},    /* */
      {103, "46", P80},    /* nor sm_100a on 10.3 */
      {120, "0346", P80},  /* */
      {75, "012345", NONE} /* older than all */
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    GpuImage images[ALL];
    uint32_t n = 0;
    for (const char *s = rows[i].there; *s; s++) images[n++] = all[*s - '0'];
    const GpuImage *got = gpu_choose_image(images, n, rows[i].sm);
    if ((got != NULL) != (rows[i].want != NONE)) fail_msg("sm %u of %s: none, or one", rows[i].sm, rows[i].there);
    if (got && (got->kind != all[rows[i].want].kind || got->sm != all[rows[i].want].sm))
      fail_msg("sm %u of %s: kind %d, sm %u", rows[i].sm, rows[i].there, got->kind, got->sm);
  }
  assert_null(gpu_choose_image(NULL, 0, 90));
}

/* ---- what cannot be used ---- */

static const void *ptx80[2], *ptx90[2];
static GpuImage images[2] = {
    {.kind = GPU_PTX, .sm = 80, .programs = ptx80, .nprograms = 2, .nkernels = 2, .kernels = plan_kernels_sm80},
    {.kind = GPU_PTX, .sm = 90, .programs = ptx90, .nprograms = 2, .nkernels = 2, .kernels = plan_kernels_sm90}};

static const char *wanted; /* by the body that runs */
static void refused(void) {
  GpuDevice *d = (GpuDevice *)message;
  MUST_SAY(gpu_open(&d, images, 2, GPU_ANY, message), SINTER_ERROR_GPU, message, wanted);
  MUST(!d);
  MUST(nothing_is_alive());
  MUST_SAY(gpu_open(&d, images, 2, GPU_ANY, message), SINTER_ERROR_GPU, message, wanted); /* and once more */
  MUST(nothing_is_alive());
}

#define REFUSED(text, ...)                                                                                             \
  (wanted = (text), assert_int_equal(in_child(refused, (const char *[]){__VA_ARGS__, NULL}), 0))

static void drivers(void **unused) {
  (void)unused;
  REFUSED("SINTER_LIBCUDA is /nowhere/libcuda.so, which cannot be loaded", "SINTER_LIBCUDA=/nowhere/libcuda.so");
  REFUSED("the NVIDIA driver cannot be used: it has no cuDriverGetVersion", "SINTER_LIBCUDA=libm.so.6");
  REFUSED("the NVIDIA driver is too old: it is of CUDA 12.4, and this code wants CUDA 13.0 (driver 580) or later",
          "SINTER_FAKE_VERSION=12040");
  REFUSED("no GPU can be used: the NVIDIA driver finds none", "SINTER_FAKE_DEVICES=0");
  REFUSED("no GPU can be used: the NVIDIA driver does not start (CUDA_ERROR_NOT_SUPPORTED)", "SINTER_FAKE_FAIL=1");
}

static void no_driver(void **unused) {
  (void)unused;
  if (dlopen("libcuda.so.1", RTLD_NOW)) {
    printf("skipped: this system has a driver of NVIDIA's\n");
    skip(); /* a missing driver cannot be shown where there is one */
  }
  REFUSED("no GPU can be used: there is no NVIDIA driver (libcuda.so.1)", "SINTER_LIBCUDA=");
}

static void gpus(void **unused) {
  (void)unused;
  REFUSED("SINTER_GPU is \"1\": this system has 1 GPU, numbered from 0", "SINTER_GPU=1");
  REFUSED("SINTER_GPU is \"4\": this system has 4 GPUs, numbered from 0", "SINTER_GPU=4", "SINTER_FAKE_DEVICES=4");
  REFUSED("SINTER_GPU is \"0x\": this system has 1 GPU, numbered from 0", "SINTER_GPU=0x");
  REFUSED("no code for this GPU, a fake GPU of compute capability 7.5: there is compute_80, compute_90; code can be "
          "compiled for 8.0 and later",
          "SINTER_FAKE_CC=75");
  images[1].kind = GPU_CUBIN_EXACT, images[0].kind = GPU_CUBIN;
  REFUSED("no code for this GPU, a fake GPU of compute capability 10.0: there is sm_80, sm_90a; compile with --gpu "
          "sm_100, or compute_80 for all from 8.0 on",
          "SINTER_FAKE_CC=100");
  images[1].kind = images[0].kind = GPU_PTX;
}

static void opened(void) {
  GpuDevice *d;
  if (gpu_open(&d, images, 2, GPU_ANY, message)) fprintf(stderr, "%s\n", message), MUST(false);
  MUST(d->image == &images[1] && d->sm == 90 && d->multiprocessors == 2 && d->shared_most == 232448);
  FakeState s = fake_state();
  MUST(s.contexts == 1 && s.pushed == 0 && s.modules == 2);
  gpu_close(d);
  MUST(nothing_is_alive());
}

static void opens(void **unused) {
  (void)unused;
  assert_int_equal(in_child(opened, NULL), 0);
  assert_int_equal(in_child(opened, (const char *[]){"SINTER_GPU=2", "SINTER_FAKE_DEVICES=3", NULL}), 0);
}

/* ---- code that the driver does not take ---- */

static void bad_code(void) {
  GpuDevice *d;
  MUST_SAY(gpu_open(&d, images, 2, GPU_ANY, message), SINTER_ERROR_GPU_FAILED, message, wanted);
  MUST(!d);
  MUST(nothing_is_alive());
}

static void code(void **unused) {
  (void)unused;
  static const char garbage[64] = "no code at all";
  static const GpuKernel missing[1] = {{"no_such_kernel", 0, 0}}, greedy[1] = {{"gemm_sm90", 0, 300000}};
  const GpuImage good = images[1];
  ptx90[1] = garbage;
  wanted = "the NVIDIA driver refuses the code for this GPU (CUDA_ERROR_INVALID_IMAGE)";
  assert_int_equal(in_child(bad_code, NULL), 0);
  ptx90[1] = ".target sm_100\n";
  wanted =
      "the NVIDIA driver refuses the code for this GPU (CUDA_ERROR_INVALID_PTX): ptxas fatal: PTX for sm_100 on sm_90";
  assert_int_equal(in_child(bad_code, NULL), 0);
  ptx90[1] = ptx90[0];
  images[1].kernels = missing, images[1].nkernels = 1;
  wanted = "the NVIDIA driver refuses no_such_kernel (CUDA_ERROR_NOT_FOUND)";
  assert_int_equal(in_child(bad_code, NULL), 0);
  images[1].kernels = greedy;
  wanted = "the NVIDIA driver refuses gemm_sm90 (CUDA_ERROR_INVALID_VALUE)";
  assert_int_equal(in_child(bad_code, NULL), 0);
  images[1] = good;
}

/* Cubins of other kernels (tests/nvrtc/cubins). */
static void *cubin(const char *path) {
  enum { ROOM = 1 << 16 };
  FILE *f = fopen(path, "rb");
  void *p = malloc(ROOM);
  if (!f || fread(p, 1, ROOM, f) < 1000 || !feof(f)) fail_msg("%s cannot be read", path);
  fclose(f);
  return p;
}

static void cubins(void **unused) {
  (void)unused;
  const GpuImage good = images[1];
  static const GpuKernel softmax[1] = {{"softmax", 0, 64}};
  void *sm80 = cubin("tests/nvrtc/cubins/shuffles.sm_80.cubin"), *sm100 = cubin("tests/nvrtc/cubins/many.sm_100.cubin");
  const void *programs[1] = {sm100};
  images[1] = (GpuImage){
      .kind = GPU_CUBIN_EXACT, .sm = 90, .programs = programs, .nprograms = 1, .nkernels = 1, .kernels = softmax};
  wanted = "the NVIDIA driver refuses the code for this GPU (CUDA_ERROR_NO_BINARY_FOR_GPU)";
  assert_int_equal(in_child(bad_code, NULL), 0);
  programs[0] = sm80; /* its softmax has two parameters, the emulator's four */
  images[1].kind = GPU_CUBIN, images[1].sm = 80;
  wanted = "the NVIDIA driver refuses softmax (CUDA_ERROR_NOT_FOUND)";
  assert_int_equal(in_child(bad_code, (const char *[]){"SINTER_FAKE_CC=86", NULL}), 0);
  images[1] = good;
  free(sm80), free(sm100);
}

static void no_host_memory(void) {
  GpuDevice *d;
  plan_host.fail = 1;
  MUST_SAY(gpu_open(&d, images, 2, GPU_ANY, message), SINTER_ERROR_MEMORY, message, "no memory for a GPU");
  MUST(nothing_is_alive());
  opened();
}

static void host_memory(void **unused) {
  (void)unused;
  assert_int_equal(in_child(no_host_memory, NULL), 0);
}

/* ---- threads and processes ---- */

static void *open_and_close(void *unused) {
  char said[RT_MESSAGE];
  GpuDevice *d;
  (void)unused;
  for (int i = 0; i < 20; i++) {
    if (gpu_open(&d, images, 2, GPU_ANY, said)) return NULL;
    gpu_close(d);
  }
  return images;
}
static void crowd(void) {
  pthread_t thread[8];
  for (int i = 0; i < 8; i++) MUST(!pthread_create(&thread[i], NULL, open_and_close, NULL));
  for (int i = 0; i < 8; i++) {
    void *ended;
    MUST(!pthread_join(thread[i], &ended) && ended);
  }
  MUST(nothing_is_alive());
}

static void threads(void **unused) { /* the first of whom opens the driver */
  (void)unused;
  for (int i = 0; i < 5; i++) assert_int_equal(in_child(crowd, NULL), 0);
}

static void refused_once(void) {
  GpuDevice *d;
  MUST_SAY(gpu_open(&d, images, 2, GPU_ANY, message), SINTER_ERROR_GPU, message, wanted);
}
static void forks(void) {
  opened();
  wanted = "no GPU can be used: CUDA was in use when this process was forked from another";
  MUST(in_child(refused_once, NULL) == 0);
  opened();
}

static void forked(void **unused) {
  (void)unused;
  assert_int_equal(in_child(forks, NULL), 0);
}

static void touch_device_memory(void) {
  GpuDevice *d;
  CUdeviceptr at;
  signal(SIGSEGV, SIG_DFL); /* the sanitizer has its own */
  MUST(!gpu_open(&d, images, 2, GPU_ANY, message) && !gpu_alloc(d, 100, &at, message));
  *(volatile char *)(uintptr_t)at = 1;
}

static void device_memory(void **unused) {
  (void)unused;
  assert_int_equal(in_child(touch_device_memory, NULL), 1000 + SIGSEGV);
}

int main(void) {
  ptx80[0] = ptx80[1] = plan_ptx(80);
  ptx90[0] = ptx90[1] = plan_ptx(90);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(choice),      cmocka_unit_test(drivers),       cmocka_unit_test(no_driver),
      cmocka_unit_test(gpus),        cmocka_unit_test(opens),         cmocka_unit_test(code),
      cmocka_unit_test(cubins),      cmocka_unit_test(threads),       cmocka_unit_test(forked),
      cmocka_unit_test(host_memory), cmocka_unit_test(device_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
