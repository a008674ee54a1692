#include "gpu_plan.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GEMM_SM80_SHARED = 98304, GEMM_SM90_SHARED = 4 * 32768 + 128 * 128 * 2 + 64, SOFTMAX_SHARED = 64 };
static const float scale = 0.7f;

const GpuLimits plan_limits = {.dims = 1, .steps = 2, .arguments = 7, .slots = SLOTS, .stage = 4096};
const GpuKernel plan_kernels_sm80[2] = {{"gemm_sm80", 0, GEMM_SM80_SHARED}, {"softmax", 1, SOFTMAX_SHARED}};
const GpuKernel plan_kernels_sm90[2] = {{"gemm_sm90", 0, GEMM_SM90_SHARED}, {"softmax", 1, SOFTMAX_SHARED}};

const char *plan_ptx(int sm) {
  return sm == 80 ? ".version 9.0\n.target sm_80\n"
                    ".visible .entry gemm_sm80(.param .u64 p0, .param .u64 p1, .param .u64 p2, .param .u64 p3,\n"
                    " .param .u32 p4, .param .u32 p5, .param .u32 p6)\n.maxntid 256\n{ }\n"
                    ".visible .entry softmax(.param .u64 p0, .param .u64 p1, .param .u32 p2, .param .f32 p3)\n"
                    ".maxntid 256\n{ }\n"
                  : ".version 9.0\n.target sm_90a\n"
                    ".visible .entry gemm_sm90(.param .align 64 .b8 p0[128], .param .align 64 .b8 p1[128],\n"
                    " .param .align 64 .b8 p2[128], .param .u64 .ptr .align 1 p3, .param .u32 p4, .param .u32 p5,\n"
                    " .param .u32 p6)\n.maxntid 384\n{ }\n"
                    ".visible .entry softmax(.param .u64 p0, .param .u64 p1, .param .u32 p2, .param .f32 p3)\n"
                    ".maxntid 256\n{ }\n";
}

/* ---- the plan ---- */

static GpuArgument at(int slot, uint64_t offset) {
  return (GpuArgument){.kind = GPU_ADDRESS, .slot = (uint32_t)slot, .at = offset};
}
static GpuArgument value(uint64_t v) { return (GpuArgument){.kind = GPU_VALUE, .at = v}; }
static GpuArgument map(GpuTensor *t, int slot, int rows, int columns, uint32_t box_rows) {
  *t = (GpuTensor){.type = 9,
                   .rank = 2,
                   .swizzle = 3,
                   .dims = {(uint64_t)columns, (uint64_t)rows},
                   .strides = {(uint64_t)columns * 2},
                   .box = {64, box_rows}};
  return (GpuArgument){.kind = GPU_TENSOR, .slot = (uint32_t)slot, .tensor = t};
}

enum { BIAS_AT = PLAN_N * PLAN_K * 2 };

void plan_make(Plan *p, const GpuDevice *d, int M, const CUdeviceptr *base) {
  uint32_t tiles_m = (uint32_t)(M + 127) / 128, tiles_n = (PLAN_N + 127) / 128, tiles = tiles_m * tiles_n;
  bool sm90 = d->image->kernels == plan_kernels_sm90;
  GpuArgument *a = p->arguments[0], *b = p->arguments[1];
  if (sm90) {
    a[0] = map(&p->maps[0], SLOT_IN, M, PLAN_K, 128);
    a[1] = map(&p->maps[1], SLOT_WEIGHTS, PLAN_N, PLAN_K, 128);
    a[2] = map(&p->maps[2], SLOT_ARENA, M, PLAN_N, 16);
  } else {
    a[0] = at(SLOT_ARENA, 0);
    a[1] = at(SLOT_IN, 0);
    a[2] = at(SLOT_WEIGHTS, 0);
  }
  a[3] = at(SLOT_WEIGHTS, BIAS_AT);
  a[4] = value((uint64_t)M), a[5] = value(PLAN_N), a[6] = value(PLAN_K);
  uint32_t bits;
  memcpy(&bits, &scale, sizeof bits);
  b[0] = at(SLOT_OUT, 0), b[1] = at(SLOT_ARENA, 0), b[2] = value(PLAN_N), b[3] = value(bits);
  p->steps[0] = (GpuStep){.kernel = 0,
                          .grid = {tiles_n, tiles_m, 1},
                          .block = {256, 1, 1},
                          .shared = GEMM_SM80_SHARED,
                          .arguments = a,
                          .narguments = 7};
  if (sm90) {
    p->steps[0].grid[0] = d->multiprocessors < tiles ? d->multiprocessors : tiles;
    p->steps[0].grid[1] = 1;
    p->steps[0].block[0] = 384;
    p->steps[0].shared = GEMM_SM90_SHARED;
  }
  p->steps[1] = (GpuStep){.kernel = 1,
                          .grid = {(uint32_t)M, 1, 1},
                          .block = {256, 1, 1},
                          .shared = SOFTMAX_SHARED,
                          .arguments = b,
                          .narguments = 4};
  p->dims[0] = M;
  p->call = (GpuCall){.entry = 0, .dims = p->dims, .steps = p->steps, .nsteps = 2, .base = base};
}

/* ---- data ---- */

uint64_t plan_bytes(int slot, int M) {
  switch (slot) {
  case SLOT_WEIGHTS: return BIAS_AT + PLAN_N * sizeof(float);
  case SLOT_IN: return (uint64_t)M * PLAN_K * 2;
  default: return (uint64_t)M * PLAN_N * 2;
  }
}

static float uniform(uint32_t *state) { /* in [-1, 1), 8 bits: exact in bf16 */
  *state = *state * 1664525 + 1013904223;
  return (float)(int)(*state >> 24) / 128 - 1;
}
static uint16_t to_bf16(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return (uint16_t)(u >> 16);
}
static uint16_t round_bf16(double x) { /* to nearest even; of numbers that f32 holds */
  float f = (float)x;
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
static double from_bf16(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

void plan_weights(void *to) {
  uint32_t state = 1;
  uint16_t *b = to;
  float *bias = (float *)(void *)((char *)to + BIAS_AT);
  for (int i = 0; i < PLAN_N * PLAN_K; i++) b[i] = to_bf16(uniform(&state));
  for (int i = 0; i < PLAN_N; i++) bias[i] = uniform(&state);
}

void plan_input(void *to, int M, uint32_t seed) {
  uint16_t *a = to;
  for (int i = 0; i < M * PLAN_K; i++) a[i] = to_bf16(uniform(&seed));
}

double plan_error(const void *out, int M, const void *in) {
  static _Alignas(16) char weights[BIAS_AT + PLAN_N * sizeof(float)];
  static double row[PLAN_N];
  const uint16_t *y = out, *a = in, *b = (const void *)weights;
  const float *bias = (const void *)(weights + BIAS_AT);
  double off = 0, all = 0;
  plan_weights(weights);
  for (int i = 0; i < M; i++) {
    double sum = 0;
    for (int k = 0; k < PLAN_N; k++) {
      double x = (double)bias[k];
      for (int l = 0; l < PLAN_K; l++) x += from_bf16(a[i * PLAN_K + l]) * from_bf16(b[k * PLAN_K + l]);
      sum += row[k] = exp((double)scale * from_bf16(round_bf16(x > 0 ? x : 0)));
    }
    for (int k = 0; k < PLAN_N; k++) {
      double right = row[k] / sum, d = from_bf16(y[i * PLAN_N + k]) - right;
      off += d * d;
      all += right * right;
    }
  }
  return sqrt(off / all);
}

/* ---- host memory ---- */

struct PlanHost plan_host;

/* From the C library, so that the address sanitizer sees it. */
void *__wrap_sys_alloc(size_t bytes);
void __wrap_sys_free(void *, size_t bytes);
void *__wrap_sys_alloc(size_t bytes) {
  if (plan_host.fail && !--plan_host.fail) return NULL;
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes)) return NULL;
  __atomic_fetch_add(&plan_host.blocks, 1, __ATOMIC_RELAXED);
  return memset(p, 0, bytes);
}
void __wrap_sys_free(void *p, size_t bytes) {
  (void)bytes;
  __atomic_fetch_sub(&plan_host.blocks, p != NULL, __ATOMIC_RELAXED);
  free(p);
}

/* ---- processes ---- */

int in_child(void (*body)(void), const char *const *environment) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) return -1;
  if (!child) {
    setenv("SINTER_LIBCUDA", FAKE_LIBCUDA, 1);
    for (; environment && *environment; environment++) putenv((char *)(uintptr_t)*environment);
    body();
    exit(0); /* and let the address sanitizer look for leaks */
  }
  int status;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

FakeState fake_state(void) {
  void *library = dlopen(FAKE_LIBCUDA, RTLD_NOW | RTLD_NOLOAD);
  FakeCudaState *get = NULL;
  void *symbol = library ? dlsym(library, "fake_cuda_state") : NULL;
  FakeState s = {0};
  memcpy(&get, &symbol, sizeof get);
  if (get) get(&s);
  if (library) dlclose(library);
  return s;
}

bool nothing_is_alive(void) {
  FakeState s = fake_state();
  uint32_t all =
      s.contexts + s.pushed + s.modules + s.streams + s.events + s.graphs + s.execs + s.device_blocks + s.pinned_blocks;
  if (all || plan_host.blocks)
    fprintf(stderr,
            "alive: contexts %u, pushed %u, modules %u, streams %u, events %u, graphs %u, execs %u, blocks on the "
            "device %u, pinned %u, on the host %d\n",
            s.contexts, s.pushed, s.modules, s.streams, s.events, s.graphs, s.execs, s.device_blocks, s.pinned_blocks,
            plan_host.blocks);
  return !all && !plan_host.blocks;
}

void must_(bool holds, const char *text, const char *file, int line) {
  if (holds) return;
  fprintf(stderr, "%s:%d: %s does not hold\n", file, line, text);
  _exit(1);
}

void must_say_(int status, int want_status, const char *message, const char *want, const char *file, int line) {
  if (status == want_status && !strcmp(message, want)) return;
  fprintf(stderr, "%s:%d: status %d, \"%s\"\n  wanted %d, \"%s\"\n", file, line, status, message, want_status, want);
  _exit(1);
}

/* ---- a use of the runtime ---- */

struct PlanTrial trial;

bool trial_failed(int status) {
  if (!status) return false;
  if (!trial.may_fail || !trial.message[0]) fprintf(stderr, "status %d: %s\n", status, trial.message), MUST(false);
  MUST(trial.failures++ == 0);
  MUST(fake_state().pushed == 0);
  trial.message[0] = 0;
  return true;
}

void trial_begin(const GpuImage *images, uint32_t n) {
  char *weights = malloc(plan_bytes(SLOT_WEIGHTS, 0)), *message = trial.message;
  DO(gpu_open(&trial.device, images, n, GPU_ANY, message));
  DO(gpu_queue_open(&trial.queue, trial.device, &plan_limits, message));
  for (int i = 0; i < SLOTS; i++) DO(gpu_alloc(trial.device, plan_bytes(i, PLAN_M), &trial.base[i], message));
  plan_weights(weights);
  DO(gpu_copy_in(trial.queue, trial.base[SLOT_WEIGHTS], weights, plan_bytes(SLOT_WEIGHTS, 0), message));
  free(weights);
}

void trial_end(void) {
  gpu_queue_close(trial.queue);
  for (int i = 0; i < SLOTS; i++) gpu_free(trial.device, trial.base[i]);
  gpu_close(trial.device);
  MUST(nothing_is_alive());
}

void trial_call(int M, uint32_t seed) {
  Plan p;
  uint64_t in_bytes = plan_bytes(SLOT_IN, M), out_bytes = plan_bytes(SLOT_OUT, M);
  char *in = malloc(in_bytes), *out = malloc(out_bytes), *message = trial.message;
  plan_make(&p, trial.device, M, trial.base);
  plan_input(in, M, seed);
  DO(gpu_copy_in(trial.queue, trial.base[SLOT_IN], in, in_bytes, message));
  DO(gpu_run(trial.queue, &p.call, message));
  DO(gpu_copy_out(trial.queue, out, trial.base[SLOT_OUT], out_bytes, message));
  double error = plan_error(out, M, in);
  if (!(error < PLAN_RIGHT)) fprintf(stderr, "M = %d, seed %u: error %g\n", M, seed, error), MUST(false);
  trial.hash = 14695981039346656037u;
  for (uint64_t i = 0; i < out_bytes; i++) trial.hash = (trial.hash ^ (unsigned char)out[i]) * 1099511628211u;
  free(in), free(out);
}

void trial_move(int slot) {
  CUdeviceptr to;
  DO(gpu_alloc(trial.device, plan_bytes(slot, PLAN_M), &to, trial.message));
  gpu_free(trial.device, trial.base[slot]);
  trial.base[slot] = to;
}
