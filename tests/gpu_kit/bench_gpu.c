/* bench_gpu copies: what copies between host and GPU reach, in pinned memory.
 * bench_gpu ARTEFACT.so [ENTRY] [DIM=NUMBER ...]: how long calls take on the GPU, a line an entry: with inputs and
 * outputs that lie there, and with the host's; launches, bytes and operations by the formulas of the plan. Dimensions
 * that are not named: 64, or the bound that is nearest. */
#include "rt_gpu.h"
#include "sinter.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COPY_BYTES = 64 << 20, ROUNDS = 5, MOST_CALLS = 2000 };
static const double ROUND_SECONDS = 0.05;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputs("\n", stderr);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* ---- the driver, beside the artefact's use of it ---- */

static const CudaApi *cuda;
static CUstream stream;

static void must(CUresult r, const char *what) {
  if (r) die("the driver refuses %s (%s)", what, gpu_error_name(cuda, r));
}

static void open_driver(void) {
  char message[RT_MESSAGE], name[64];
  CUdevice d;
  CUcontext c;
  if (gpu_driver(&cuda, message)) die("%s", message);
  must(cuda->cuDeviceGet(&d, 0), "a GPU");
  must(cuda->cuDeviceGetName(name, sizeof name, d), "its name");
  must(cuda->cuDevicePrimaryCtxRetain(&c, d), "a context");
  must(cuda->cuCtxPushCurrent_v2(c), "a context");
  must(cuda->cuStreamCreate(&stream, CUDA_STREAM_NON_BLOCKING), "a stream");
}

static void *on_gpu(const void *from, size_t bytes) {
  CUdeviceptr at;
  must(cuda->cuMemAlloc_v2(&at, bytes ? bytes : 1), "memory");
  if (bytes) must(cuda->cuMemcpyHtoDAsync_v2(at, from, bytes, stream), "a copy");
  must(cuda->cuStreamSynchronize(stream), "a copy");
  return (void *)(uintptr_t)at;
}

static void copies(void) {
  void *host;
  CUdeviceptr at;
  double best[2] = {1e9, 1e9};
  must(cuda->cuMemAllocHost_v2(&host, COPY_BYTES), "pinned memory");
  must(cuda->cuMemAlloc_v2(&at, COPY_BYTES), "memory");
  memset(host, 1, COPY_BYTES);
  for (int i = 0; i < 2 * ROUNDS; i++) {
    double begin = now();
    must(i % 2 ? cuda->cuMemcpyDtoHAsync_v2(host, at, COPY_BYTES, stream)
               : cuda->cuMemcpyHtoDAsync_v2(at, host, COPY_BYTES, stream),
         "a copy");
    must(cuda->cuStreamSynchronize(stream), "a copy");
    double took = now() - begin;
    if (took < best[i % 2]) best[i % 2] = took;
  }
  printf("copies of %d MB, pinned: to the GPU %.1f GB/s, from it %.1f GB/s\n", COPY_BYTES >> 20,
         COPY_BYTES / best[0] / 1e9, COPY_BYTES / best[1] / 1e9);
  must(cuda->cuMemFree_v2(at), "memory");
  must(cuda->cuMemFreeHost(host), "memory");
}

/* ---- an entry ---- */

typedef struct Bench {
  SinterArtefact art;
  const SinterApi *api;
  const SinterModel *m;
  SinterWeights *w;
  SinterContext *c;
  int64_t dims[64], most[64];
} Bench;

static int64_t bytes_of(const Bench *b, const SinterPort *p) {
  int64_t n = sinter_dtype_size(p->dtype), d = 0;
  for (uint32_t i = 0; i < p->rank; i++) {
    if (!sinter_sym(b->m, p->dim[i], b->dims, &d) || d < 0) die("the size of an input or output overflows");
    n *= d;
  }
  return n;
}

static void fill(char *at, uint32_t dtype, int64_t bytes) { /* floats from -1 to 1, integers 0 and 1 */
  static uint32_t state = 1;
  uint32_t size = sinter_dtype_size(dtype);
  char why[SINTER_WHY];
  for (int64_t i = 0; i < bytes; i += size) {
    state = state * 1664525 + 1013904223;
    float f = (float)(int32_t)state * 0x1p-31f;
    int64_t whole = state >> 31;
    if (dtype > SINTER_BF16)
      memcpy(at + i, &whole, size);
    else if (!sinter_convert(dtype, at + i, SINTER_F32, &f, 1, why))
      die("%s", why);
  }
}

/* Seconds of a call: the median of all, in `best` the least. */
static double time_calls(Bench *b, uint32_t index, const void *in, void *out, double *best) {
  static double took[ROUNDS * MOST_CALLS];
  int n = 0;
  for (int i = 0; i < 3; i++)
    if (b->api->call(b->c, index, in, out)) die("%s", b->api->message(b->c));
  for (int round = 0; round < ROUNDS; round++) {
    double begin = now(), last = begin;
    for (int i = 0; i < MOST_CALLS && (i < 2 || last - begin < ROUND_SECONDS); i++) {
      if (b->api->call(b->c, index, in, out)) die("%s", b->api->message(b->c));
      double t = now();
      took[n++] = t - last;
      last = t;
    }
  }
  qsort(took, (size_t)n, sizeof *took, ascending);
  *best = took[0];
  return took[n / 2];
}

static const SinterPlan *plan_of(const Bench *b, const SinterEntry *e) {
  const SinterVariant *v = SINTER_LIST(SinterVariant, b->m, e->variants);
  int64_t fits;
  for (uint32_t i = 0; i < e->variants.n; i++) /* plans for all architectures are of the same launches, or nearly */
    if (v[i].level >= SINTER_LEVELS && sinter_sym(b->m, v[i].when, b->dims, &fits) && fits)
      return SINTER_LIST(SinterPlan, b->m, b->m->gpu_plans) + v[i].plan;
  die("%s has no code for a GPU", sinter_text(b->m, e->name));
}

static void bench_entry(Bench *b, uint32_t index) {
  const SinterModel *m = b->m;
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + index;
  const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs), *out = SINTER_LIST(SinterPort, m, e->outputs);
  const SinterPlan *p = plan_of(b, e);
  const SinterGpuStep *s = SINTER_LIST(SinterGpuStep, m, p->steps);
  char *records[4];
  void *data[2][64] = {{0}};
  double best[2], median[2], bytes = 0, flops = 0;
  int64_t grid, v;
  int launches = 0;
  if (e->inputs.n + e->outputs.n > 64) die("too many inputs and outputs");
  for (uint32_t i = 0; i < m->dims.n; i++) b->dims[i] = 0;
  for (uint32_t i = 0; i < e->dims.n; i++) b->dims[d[i].index] = b->most[d[i].index];
  for (int k = 0; k < 4; k++) records[k] = calloc(1, e->in_bytes + e->out_bytes + 8);
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++) {
    const SinterPort *port = i < e->inputs.n ? &in[i] : &out[i - e->inputs.n];
    int64_t n = bytes_of(b, port);
    data[1][i] = calloc(1, (size_t)n + 1);
    fill(data[1][i], port->dtype, n);
    data[0][i] = on_gpu(data[1][i], (size_t)n);
    for (int k = 0; k < 2; k++) memcpy(records[2 * k + (i >= e->inputs.n)] + port->field, &data[k][i], sizeof(void *));
  }
  for (uint32_t i = 0; i < e->dims.n; i++)
    for (int k = 0; k < 2; k++) memcpy(records[2 * k] + d[i].field, &b->dims[d[i].index], 8);
  for (uint32_t i = 0; i < p->steps.n; i++) {
    if (!sinter_sym(m, s[i].grid, b->dims, &grid) || !grid) continue;
    launches++;
    if (sinter_sym(m, s[i].bytes, b->dims, &v)) bytes += (double)v;
    if (sinter_sym(m, s[i].flops, b->dims, &v)) flops += (double)v;
  }
  for (int k = 0; k < 2; k++) median[k] = time_calls(b, index, records[2 * k], records[2 * k + 1], &best[k]);
  printf("%s %s", sinter_text(m, m->name), sinter_text(m, e->name));
  for (uint32_t i = 0; i < e->dims.n; i++)
    printf(" %s=%lld", sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]), (long long)b->dims[d[i].index]);
  printf(": %.1f us (best %.1f), from the host %.1f us (best %.1f); %d launches, %.3g MB, %.3g MFLOP: %.0f GB/s, %.2f "
         "TFLOP/s\n",
         median[0] * 1e6, best[0] * 1e6, median[1] * 1e6, best[1] * 1e6, launches, bytes / 1e6, flops / 1e6,
         bytes / median[0] / 1e9, flops / median[0] / 1e12);
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++)
    must(cuda->cuMemFree_v2((uintptr_t)data[0][i]), "memory"), free(data[1][i]);
  for (int k = 0; k < 4; k++) free(records[k]);
}

static void choose_dims(Bench *b, int argc, char **argv) {
  const SinterModel *m = b->m;
  if (m->dims.n > 64) die("too many dimensions");
  for (uint32_t i = 0; i < m->dims.n; i++) {
    const char *name = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[i]);
    b->most[i] = 64;
    for (int k = 0; k < argc; k++)
      if (!strncmp(argv[k], name, strlen(name)) && argv[k][strlen(name)] == '=')
        b->most[i] = atoll(argv[k] + strlen(name) + 1);
    for (uint32_t k = 0; k < m->entries.n; k++) {
      const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + k;
      const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
      for (uint32_t l = 0; l < e->dims.n; l++) {
        if (d[l].index != i) continue;
        if (b->most[i] < d[l].lo) b->most[i] = d[l].lo;
        if (b->most[i] > d[l].hi) b->most[i] = d[l].hi;
      }
    }
  }
}

int main(int argc, char **argv) {
  char why[SINTER_WHY];
  Bench b = {0};
  if (argc < 2) die("usage: bench_gpu copies, or bench_gpu ARTEFACT.so [ENTRY] [DIM=NUMBER ...]");
  open_driver();
  if (!strcmp(argv[1], "copies")) return copies(), 0;
  if (!sinter_artefact_open(&b.art, argv[1], why)) die("%s", why);
  b.api = b.art.api, b.m = b.art.model;
  choose_dims(&b, argc - 2, argv + 2);
  if (b.api->open(&b.w, NULL, 1) || b.api->to(b.w, "cuda:0") || b.api->create(&b.c, b.w, b.most, NULL, 0))
    die("%s", b.api->open_message(b.w));
  for (uint32_t i = 0; i < b.m->entries.n; i++) {
    const SinterEntry *e = SINTER_LIST(SinterEntry, b.m, b.m->entries) + i;
    bool named = argc > 2 && !strchr(argv[2], '=');
    if (e->flags & SINTER_ENTRY_HIDDEN || (named && strcmp(sinter_text(b.m, e->name), argv[2]))) continue;
    bench_entry(&b, i);
  }
  b.api->free(b.c);
  b.api->close(b.w);
  return 0;
}
