/* bench_gpu copies: what copies reach between host and GPU, in pinned memory, and on the GPU.
 * bench_gpu ROW ARTEFACT.so ENTRY KIND [DIM=NUMBER ...]: how long a call takes on the GPU, with inputs and outputs that
 * lie there; launches, bytes and operations by the formulas of the plan. Dimensions that are not named: 64, or the
 * bound that is nearest. KIND, which says what the row is held against:
 *   memory     KIT_COPY: the GB/s of a copy on the GPU
 *   product    two matrices, checked by elements in f64; cuBLAS, if there is one; tf32: the same, f32 rounded
 *   attention  checked by rows in f64; causal: the same, each row sees no later one
 *   call       nothing; step: also with the host's inputs and outputs
 * A line for people, and one of JSON at the end of the file KIT_RESULTS. KIT_SMALL: small copies and dimensions. */
#include "bench_parts.h"
#include "rt_gpu.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COPY_BYTES = 512 << 20, SMALL_COPY = 1 << 20, SMALL_DIM = 8, ROUNDS = 5, MOST_CALLS = 2000 };
static const double ROUND_SECONDS = 0.05;

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
static char card[64], driver[32]; /* names for the results */

static void must(CUresult r, const char *what) {
  if (r) kit_die("the driver refuses %s (%s)", what, gpu_error_name(cuda, r));
}

static void open_driver(void) {
  char message[RT_MESSAGE];
  CUdevice d;
  CUcontext c;
  int version;
  FILE *module = fopen("/sys/module/nvidia/version", "r");
  if (gpu_driver(&cuda, message)) kit_die("%s", message);
  must(cuda->cuDeviceGet(&d, 0), "a GPU");
  must(cuda->cuDeviceGetName(card, sizeof card, d), "its name");
  must(cuda->cuDriverGetVersion(&version), "its version");
  if (!module || fscanf(module, "%31s", driver) != 1)
    snprintf(driver, sizeof driver, "CUDA %d.%d", version / 1000, version % 1000 / 10);
  if (module) fclose(module);
  must(cuda->cuDevicePrimaryCtxRetain(&c, d), "a context");
  must(cuda->cuCtxPushCurrent_v2(c), "a context");
  must(cuda->cuStreamCreate(&stream, CUDA_STREAM_NON_BLOCKING), "a stream");
}

static void wait_all(void) { must(cuda->cuStreamSynchronize(stream), "a wait"); }

static void *on_gpu(const void *from, size_t bytes) {
  CUdeviceptr at;
  must(cuda->cuMemAlloc_v2(&at, bytes ? bytes : 1), "memory");
  if (bytes) must(cuda->cuMemcpyHtoDAsync_v2(at, from, bytes, stream), "a copy");
  wait_all();
  return (void *)(uintptr_t)at;
}

/* ---- results ---- */

static FILE *open_results(const char *row) { /* of a line, begun */
  const char *path = getenv("KIT_RESULTS");
  FILE *f = path ? fopen(path, "a") : NULL;
  char date[32];
  time_t t = time(NULL);
  if (path && !f) kit_die("%s cannot be written", path);
  strftime(date, sizeof date, "%Y-%m-%dT%H:%MZ", gmtime(&t));
  if (f)
    fprintf(f, "{\"workload\": \"%s\", \"engine\": \"sinter\", \"card\": \"%s\", \"driver\": \"%s\", \"date\": \"%s\"",
            row, card, driver, date);
  return f;
}

static void close_results(FILE *f) {
  if (f && (fputs("}\n", f) < 0 || fclose(f))) kit_die("the results cannot be written");
}

/* ---- copies ---- */

static void copies(void) {
  static const char *const rows[] = {"copy-to-gpu", "copy-from-gpu", "copy-on-gpu"};
  const char *name = getenv("SINTER_LIBCUDA");
  size_t bytes = getenv("KIT_SMALL") ? SMALL_COPY : COPY_BYTES;
  CUresult (*within)(CUdeviceptr, CUdeviceptr, size_t, CUstream);
  void *host, *library = sys_library_open(name ? name : "libcuda.so.1");
  CUdeviceptr at, to;
  *(void **)&within = library ? sys_library_symbol(library, "cuMemcpyDtoDAsync_v2") : NULL;
  if (!within) kit_die("the driver has no cuMemcpyDtoDAsync_v2");
  must(cuda->cuMemAllocHost_v2(&host, bytes), "pinned memory");
  must(cuda->cuMemAlloc_v2(&at, bytes), "memory");
  must(cuda->cuMemAlloc_v2(&to, bytes), "memory");
  memset(host, 1, bytes);
  for (int kind = 0; kind < 3; kind++) {
    double best = INFINITY;
    for (int i = 0; i < 2 * ROUNDS; i++) {
      double begin = now();
      must(kind == 0   ? cuda->cuMemcpyHtoDAsync_v2(at, host, bytes, stream)
           : kind == 1 ? cuda->cuMemcpyDtoHAsync_v2(host, at, bytes, stream)
                       : within(to, at, bytes, stream),
           "a copy");
      wait_all();
      best = fmin(best, now() - begin);
    }
    double speed = (double)bytes / best / 1e9 * (kind == 2 ? 2 : 1); /* on the GPU both are its memory */
    printf("%s: %.1f GB/s, %zu MB\n", rows[kind], speed, bytes >> 20);
    FILE *f = open_results(rows[kind]);
    if (f) fprintf(f, ", \"best_us\": %.2f, \"gb_s\": %.1f", best * 1e6, speed);
    close_results(f);
  }
  must(cuda->cuMemFree_v2(at), "memory");
  must(cuda->cuMemFree_v2(to), "memory");
  must(cuda->cuMemFreeHost(host), "memory");
}

/* ---- an entry ---- */

typedef struct Bench {
  Kit kit;
  SinterWeights *w;
  SinterContext *c;
  uint32_t index; /* of the entry */
  const SinterEntry *entry;
  int64_t dims[KIT_MANY];
  const void *in[2];
  void *out[2]; /* records: with addresses on the GPU, with the host's */
  Cublas blas;
  BenchTensor t[KIT_MANY]; /* inputs, then outputs */
  bool tf32;
} Bench;

/* Floats from -1 to 1, integers from 0 to 9. What is drawn is repeated, at no distance that is a tile's. */
static void fill(char *at, uint32_t dtype, int64_t n) {
  enum { PERIOD = 1000003 };
  static uint32_t state = 1;
  int64_t size = sinter_dtype_size(dtype), drawn = n < PERIOD ? n : PERIOD;
  char why[SINTER_WHY];
  for (int64_t i = 0; i < drawn; i++) {
    state = state * 1664525 + 1013904223;
    float f = (float)(int32_t)state * 0x1p-31f;
    int64_t whole = (state >> 8) % (dtype == SINTER_BOOL ? 2 : 10);
    if (dtype > SINTER_BF16)
      memcpy(at + i * size, &whole, (size_t)size);
    else if (!sinter_convert(dtype, at + i * size, SINTER_F32, &f, 1, why))
      kit_die("%s", why);
  }
  for (int64_t i = drawn; i < n; i += drawn)
    memcpy(at + i * size, at, (size_t)((n - i < drawn ? n - i : drawn) * size));
}

static void call(const Bench *b, int host) {
  if (b->kit.api->call(b->c, b->index, b->in[host], b->out[host])) kit_die("%s", b->kit.api->message(b->c));
}
static void call_gpu(const Bench *b) { call(b, 0); }
static void call_host(const Bench *b) { call(b, 1); }
static void call_cublas(const Bench *b) {
  if (!cublas_product(&b->blas, &b->t[0], &b->t[1], &b->t[2], b->tf32)) kit_die("cuBLAS refuses the product");
  wait_all();
}

typedef struct Times {
  double median, best; /* seconds */
} Times;
static Times time_calls(const Bench *b, void one(const Bench *)) {
  static double took[ROUNDS * MOST_CALLS];
  int n = 0;
  for (int i = 0; i < 3; i++) one(b);
  for (int round = 0; round < ROUNDS; round++) {
    double begin = now(), last = begin;
    for (int i = 0; i < MOST_CALLS && (i < 2 || last - begin < ROUND_SECONDS); i++) {
      one(b);
      double t = now();
      took[n++] = t - last;
      last = t;
    }
  }
  qsort(took, (size_t)n, sizeof *took, ascending);
  return (Times){took[n / 2], took[0]};
}

static const SinterPlan *plan_of(const Bench *b) {
  const SinterModel *m = b->kit.m;
  const SinterVariant *v = SINTER_LIST(SinterVariant, m, b->entry->variants);
  int64_t fits;
  for (uint32_t i = 0; i < b->entry->variants.n;
       i++) /* plans for all architectures are of the same launches, or nearly */
    if (v[i].level >= SINTER_LEVELS && sinter_sym(m, v[i].when, b->dims, &fits) && fits)
      return SINTER_LIST(SinterPlan, m, m->gpu_plans) + v[i].plan;
  kit_die("%s has no code for a GPU", sinter_text(m, b->entry->name));
}

static void set_up(Bench *b, const char *entry, int argc, char **argv) {
  const SinterModel *m = b->kit.m;
  int64_t cap = getenv("KIT_SMALL") ? SMALL_DIM : INT64_MAX;
  char *records[4];
  for (uint32_t i = 0; i < m->entries.n; i++)
    if (!strcmp(sinter_text(m, SINTER_LIST(SinterEntry, m, m->entries)[i].name), entry))
      b->index = i, b->entry = SINTER_LIST(SinterEntry, m, m->entries) + i;
  if (!b->entry) kit_die("%s has no entry %s", sinter_text(m, m->name), entry);
  const SinterEntry *e = b->entry;
  const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs), *out = SINTER_LIST(SinterPort, m, e->outputs);
  for (uint32_t i = 0; i < m->dims.n; i++) b->kit.most[i] = 1;
  for (uint32_t i = 0; i < e->dims.n; i++) {
    const char *name = sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[d[i].index]);
    int64_t value = 64;
    for (int k = 0; k < argc; k++)
      if (!strncmp(argv[k], name, strlen(name)) && argv[k][strlen(name)] == '=')
        value = atoll(argv[k] + strlen(name) + 1);
    b->kit.most[d[i].index] = b->dims[d[i].index] = kit_clamp(&d[i], value < cap ? value : cap);
  }
  kit_create(&b->kit, "cuda:0", 1, &b->w, &b->c);
  for (int k = 0; k < 4; k++) records[k] = calloc(1, e->in_bytes + e->out_bytes + 8);
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++) {
    const SinterPort *port = i < e->inputs.n ? &in[i] : &out[i - e->inputs.n];
    int64_t n = kit_elements(m, port, b->dims);
    size_t bytes = (size_t)n * sinter_dtype_size(port->dtype);
    void *data = calloc(1, bytes + 1);
    if (!data) kit_die("no memory");
    fill(data, port->dtype, n);
    BenchTensor *t = &b->t[i];
    *t = (BenchTensor){.dtype = port->dtype, .rank = port->rank, .host = data, .gpu = on_gpu(data, bytes)};
    for (uint32_t k = 0; k < t->rank; k++) sinter_sym(m, port->dim[k], b->dims, &t->dim[k]);
    memcpy(records[i >= e->inputs.n] + port->field, &t->gpu, sizeof(void *));
    memcpy(records[2 + (i >= e->inputs.n)] + port->field, &data, sizeof(void *));
  }
  for (uint32_t i = 0; i < e->dims.n; i++)
    for (int k = 0; k < 2; k++) memcpy(records[2 * k] + d[i].field, &b->dims[d[i].index], 8);
  for (int k = 0; k < 2; k++) b->in[k] = records[2 * k], b->out[k] = records[2 * k + 1];
}

/* How wrong a product or attention may be: what is rounded once, and terms of tf32 too. */
static double tolerance(const Bench *b) {
  uint32_t dtype = b->t[0].dtype;
  return dtype == SINTER_BF16 ? 1e-2 : dtype == SINTER_F16 || b->tf32 ? 2e-3 : 1e-5;
}

static void bench(Bench *b, const char *row, const char *kind) {
  const SinterModel *m = b->kit.m;
  const SinterPlan *p = plan_of(b);
  const SinterGpuStep *s = SINTER_LIST(SinterGpuStep, m, p->steps);
  const BenchTensor *t = b->t;
  bool product = !strcmp(kind, "product") || !strcmp(kind, "tf32"), causal = !strcmp(kind, "causal");
  bool attention = causal || !strcmp(kind, "attention");
  const char *copy = getenv("KIT_COPY"), *why;
  double bytes = 0, flops = 0;
  int64_t grid, v;
  int launches = 0;
  b->tf32 = !strcmp(kind, "tf32");
  for (uint32_t i = 0; i < p->steps.n; i++) {
    if (!sinter_sym(m, s[i].grid, b->dims, &grid) || !grid) continue;
    launches++;
    if (sinter_sym(m, s[i].bytes, b->dims, &v)) bytes += (double)v;
    if (sinter_sym(m, s[i].flops, b->dims, &v)) flops += (double)v;
  }
  if (product) flops = 2.0 * (double)t[0].dim[0] * (double)t[0].dim[1] * (double)t[1].dim[1];
  if (attention) /* as is the custom: scores and values, half of them where half is hidden */
    flops =
        (causal ? 2.0 : 4.0) * (double)(t[0].dim[0] * t[0].dim[1] * t[0].dim[2]) * (double)(t[0].dim[2] * t[0].dim[3]);
  Times own = time_calls(b, call_gpu);
  FILE *f = open_results(row);
  printf("%s: %.1f us (best %.1f), %d launches, %.3g MB, %.3g GFLOP: %.0f GB/s, %.2f TFLOP/s", row, own.median * 1e6,
         own.best * 1e6, launches, bytes / 1e6, flops / 1e9, bytes / own.median / 1e9, flops / own.median / 1e12);
  if (f)
    fprintf(
        f,
        ", \"median_us\": %.2f, \"best_us\": %.2f, \"launches\": %d, \"mb\": %.3f, \"gflop\": %.4f, \"gb_s\": %.1f, "
        "\"tflop_s\": %.3f",
        own.median * 1e6, own.best * 1e6, launches, bytes / 1e6, flops / 1e9, bytes / own.median / 1e9,
        flops / own.median / 1e12);
  if (!strcmp(kind, "memory") && copy && *copy) {
    double percent = bytes / own.best / 1e7 / atof(copy);
    printf("; %.0f%% of a copy", percent);
    if (f) fprintf(f, ", \"percent_of_copy\": %.1f", percent);
  }
  if (!strcmp(kind, "step")) {
    Times host = time_calls(b, call_host);
    printf("; from the host %.1f us", host.median * 1e6);
    if (f) fprintf(f, ", \"host_median_us\": %.2f, \"host_best_us\": %.2f", host.median * 1e6, host.best * 1e6);
  }
  double error = 0;
  if (product || attention) {
    call_host(b);
    error = product ? check_product(&t[0], &t[1], &t[2]) : check_attention(&t[0], &t[1], &t[2], &t[3], causal);
    printf("; error %.2g", error);
    if (f) fprintf(f, ", \"error\": %.3g", error);
  }
  if (product && !cublas_open(&b->blas, stream, &why)) {
    printf("; %s", why);
    if (f) fprintf(f, ", \"peer\": \"%s\"", why);
  } else if (product) {
    Times blas = time_calls(b, call_cublas);
    printf("; cuBLAS %.1f us, ratio %.3f", blas.median * 1e6, blas.best / own.best);
    if (f)
      fprintf(f, ", \"peer\": \"cuBLAS\", \"peer_median_us\": %.2f, \"peer_best_us\": %.2f, \"ratio\": %.3f",
              blas.median * 1e6, blas.best * 1e6, blas.best / own.best);
  }
  puts("");
  close_results(f);
  if (!(error <= tolerance(b))) kit_die("%s is wrong by %.3g", row, error);
}

int main(int argc, char **argv) {
  static Bench b;
  if (argc != 2 && argc < 5)
    kit_die("usage: bench_gpu copies, or bench_gpu ROW ARTEFACT.so ENTRY KIND [DIM=NUMBER ...]");
  open_driver();
  if (argc == 2) return copies(), 0;
  kit_open(&b.kit, argv[2]);
  set_up(&b, argv[3], argc - 5, argv + 5);
  bench(&b, argv[1], argv[4]);
  b.kit.api->free(b.c);
  b.kit.api->close(b.w);
  return 0;
}
