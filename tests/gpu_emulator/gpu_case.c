#include "gpu_case.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ---- */

static uint64_t state;
static float uniform(void) { /* in [-1, 1), 16 bits */
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)(int)(state >> 48) / 32768 - 1;
}

static float from_bf16(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

/* Device memory: exactly as long as it is used, so that the address sanitizer sees what lies beyond. */
static void *device(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 256, bytes)) abort();
  memset(p, 0xff, bytes); /* NaN */
  return p;
}

static float from_f16(uint16_t h) { /* out of a table: what is right is summed from millions of them */
  static float value[1 << 15];
  static bool known;
  for (int i = 0; !known && i < 1 << 15; i++) {
    int exponent = i >> 10, mantissa = i % 1024;
    value[i] = exponent == 31 ? mantissa ? NAN : INFINITY
               : exponent     ? ldexpf((float)(1024 + mantissa), exponent - 25)
                              : ldexpf((float)mantissa, -24);
  }
  known = true;
  return h >> 15 ? -value[h & 0x7fff] : value[h];
}

/* Of either sign, from 1/8 to 2. */
static uint16_t *random_f16(size_t n) {
  uint16_t *p = device(n * 2);
  for (size_t i = 0; i < n; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    p[i] = (uint16_t)((state >> 63) << 15 | (12 + (state >> 60) % 4) << 10 | (state >> 40) % 1024);
  }
  return p;
}

static uint16_t *random_bf16(size_t n, float scale) {
  uint16_t *p = device(n * 2);
  for (size_t i = 0; i < n; i++) {
    float f = uniform() * scale;
    uint32_t u;
    memcpy(&u, &f, 4);
    p[i] = (uint16_t)(u >> 16);
  }
  return p;
}

static double from_half(bool f16, uint16_t h) { return (double)(f16 ? from_f16(h) : from_bf16(h)); }
static uint16_t *random_half(bool f16, size_t n) {
  uint16_t *p = random_bf16(n, 1);
  for (size_t i = 0; i < n && f16; i++) {
    _Float16 f = (_Float16)from_bf16(p[i]);
    memcpy(&p[i], &f, 2);
  }
  return p;
}
static void judge_as(GpuResult *r, float (*from)(uint16_t), const uint16_t *result, const double *right, size_t n) {
  double off = 0, all = 0;
  r->hash = 14695981039346656037u;
  for (size_t i = 0; i < n; i++) {
    double d = from(result[i]) - right[i];
    off += d * d;
    all += right[i] * right[i];
    r->hash = (r->hash ^ result[i]) * 1099511628211u;
  }
  r->error = sqrt(off / all);
}

static void judge(GpuResult *r, const uint16_t *result, const double *right, size_t n) {
  judge_as(r, from_bf16, result, right, n);
}

static bool launch(const GpuCase *c, GpuResult *r, unsigned gx, unsigned gy, unsigned threads, size_t shared,
                   void **params) {
  const EmulatorKernel *kernel = emulator_find(c->kernel);
  EmulatorLaunch l = {{gx, gy, 1}, {threads, 1, 1}, shared, params, c->seed, c->lazy};
  if (!kernel) return false;
  r->ran = emulator_launch(kernel, &l, &r->report);
  return true;
}

/* ---- problems ---- */

static bool softmax(const GpuCase *c, GpuResult *r) {
  int rows = c->size[0], columns = c->size[1];
  size_t n = (size_t)rows * (size_t)columns;
  uint16_t *in = random_bf16(n, 4), *out = device(n * 2);
  double *right = malloc(n * sizeof *right);
  float scale = 0.7f;
  bool found = launch(c, r, (unsigned)rows, 1, 256, 64, (void *[]){&out, &in, &columns, &scale});
  for (int i = 0; i < rows; i++) {
    const uint16_t *x = in + (size_t)i * (size_t)columns;
    double sum = 0, *y = right + (size_t)i * (size_t)columns;
    for (int k = 0; k < columns; k++) sum += y[k] = exp((double)from_bf16(x[k]) * (double)scale);
    for (int k = 0; k < columns; k++) y[k] /= sum;
  }
  judge(r, out, right, n);
  free(in), free(out), free(right);
  return found;
}

/* [outer][rows][columns] of 16 bits, or one matrix */
static void map_rows(void *map, void *base, int columns, int rows, int outer, int box_rows) {
  const EmulatorTensor e = {.base = base,
                            .element_bytes = 2,
                            .rank = outer ? 3 : 2,
                            .dims = {(uint64_t)columns, (uint64_t)rows, (uint64_t)outer},
                            .strides = {(uint64_t)columns * 2, (uint64_t)columns * (uint64_t)rows * 2},
                            .box = {64, (uint32_t)box_rows, 1},
                            .swizzle = 128};
  if (emulator_tensor_map(map, &e)) abort();
}

static bool gemm(const GpuCase *c, GpuResult *r, bool sm90) {
  int M = c->size[0], N = c->size[1], K = c->size[2];
  size_t n = (size_t)M * (size_t)N;
  uint16_t *a = random_bf16((size_t)M * (size_t)K, 1), *b = random_bf16((size_t)N * (size_t)K, 1), *out = device(n * 2);
  float *bias = device((size_t)N * sizeof *bias);
  double *right = malloc(n * sizeof *right);
  for (int i = 0; i < N; i++) bias[i] = uniform();
  bool found;
  if (sm90) {
    _Alignas(64) uint64_t map[3][16];
    int BN = strstr(c->kernel, ".wide") ? 256 : 128;
    map_rows(map[0], a, K, M, 0, 128);
    map_rows(map[1], b, K, N, 0, BN);
    map_rows(map[2], out, N, M, 0, 16);
    size_t shared = (size_t)(4 * (128 + BN) * 128 + 128 * 256 + 4 * 16);
    found = launch(c, r, 2, 1, 384, shared, (void *[]){map[0], map[1], map[2], &bias, &M, &N, &K});
  } else {
    found = launch(c, r, (unsigned)(N + 127) / 128, (unsigned)(M + 127) / 128, 256, 98304,
                   (void *[]){&out, &a, &b, &bias, &M, &N, &K});
  }
  for (int i = 0; i < M; i++)
    for (int k = 0; k < N; k++) {
      double sum = (double)bias[k];
      for (int l = 0; l < K; l++) sum += (double)from_bf16(a[i * K + l]) * (double)from_bf16(b[k * K + l]);
      right[i * N + k] = sum > 0 ? sum : 0;
    }
  judge(r, out, right, n);
  free(a), free(b), free(out), free(bias), free(right);
  return found;
}

/* tests/gpu_emulator/gemm_variants.cu, gemm_filled.cu and gemm_tiles.cu: two products at once, operands as they lie in
 * memory */
typedef struct Variant {
  const char *kernel;
  int BM, BN, stages;
  bool a_k, b_k, f16, plain, one_b, sums, along; /* sums: of rows, in parts, or of each row along it */
  unsigned threads;                              /* on sm_80 */
  bool a_filled, b_filled, tf32;
} Variant;
static const Variant variants[] = {
    {"product_plain", 128, 256, 4, true, true, .f16 = true, .plain = true},
    {"product_nt", 128, 128, 5, true, true, .f16 = false},
    {"product_nn", 128, 256, 4, true, false, .one_b = true},
    {"product_tn", 128, 64, 6, false, false, .f16 = true},
    {"product_tt", 64, 128, 4, false, true, .f16 = false},
    {"product_sums", 128, 128, 4, true, true, .sums = true},
    {"product_sums_64", 64, 64, 6, true, false, .f16 = true, .sums = true},
    {"product_along", 128, 256, 4, false, true, .sums = true, .along = true},
    {"filled_nt", 128, 128, 4, true, true, .a_filled = true},
    {"filled_tn", 128, 64, 5, false, false, .f16 = true, .a_filled = true},
    {"filled_nn", 64, 128, 4, true, false, .b_filled = true},
    {"filled_tt", 64, 64, 4, false, true, .f16 = true, .a_filled = true, .b_filled = true},
    {"filled_tf32", 128, 64, 4, true, false, .a_filled = true, .b_filled = true, .tf32 = true},
    {"filled_tf32_turned", 64, 128, 4, false, true, .a_filled = true, .b_filled = true, .tf32 = true},
    {"tiled_nt", 128, 64, 4, true, true, .threads = 128},
    {"tiled_nn", 64, 128, 4, true, false, .one_b = true, .threads = 128},
    {"tiled_tn", 128, 128, 4, false, false, .f16 = true, .threads = 256},
    {"tiled_tt", 16, 64, 4, false, true, .threads = 128},
    {"tiled_worked", 64, 16, 4, true, false, .f16 = true, .threads = 128},
    {"tiled_sums", 128, 64, 4, true, true, .sums = true, .threads = 128},
    {"tiled_along", 64, 128, 4, false, true, .f16 = true, .sums = true, .along = true, .threads = 128},
};

static void *random_operand(const Variant *v, size_t n) {
  if (!v->tf32) return random_half(v->f16, n);
  float *p = device(n * sizeof *p);
  for (size_t i = 0; i < n; i++) p[i] = uniform();
  return p;
}

/* tf32 has 10 bits of mantissa; halves are rounded away from zero. */
static double operand(const Variant *v, const void *p, size_t i) {
  uint32_t u;
  float f;
  if (!v->tf32) return from_half(v->f16, ((const uint16_t *)p)[i]);
  memcpy(&u, (const float *)p + i, 4);
  u = (u + 0x1000) & ~(uint32_t)0x1fff;
  memcpy(&f, &u, 4);
  return (double)f;
}

static bool product(const GpuCase *c, GpuResult *r, const Variant *v) {
  enum { OUTER = 2 };
  int M = c->size[0], N = c->size[1], K = c->size[2];
  size_t n = (size_t)OUTER * (size_t)M * (size_t)N, of_a = (size_t)M * (size_t)K, of_b = (size_t)N * (size_t)K;
  void *a = random_operand(v, OUTER * of_a), *b = random_operand(v, OUTER * of_b);
  uint16_t *more = random_half(v->f16, n), *out = device(n * 2);
  float *bias = device((size_t)N * sizeof *bias), *sums = device(n * sizeof *sums);
  size_t kept = (size_t)(v->along ? M : N), each = ((size_t)(v->along ? N : M) + 63) / 64, parts = OUTER * each * kept;
  float *partial = device(parts * sizeof *partial);
  double off[3] = {0}, all[3] = {0}, *summed = calloc(parts, sizeof *summed);
  struct {
    uint16_t *c;
    float *sums;
    const float *bias;
    const uint16_t *more;
    float *partial;
    int64_t outer, M, N, K;
    const void *a, *b; /* on sm_80, and of operands that are filled */
  } args = {out, sums, bias, more, partial, OUTER, M, N, K, a, b};
  _Alignas(64) uint64_t map[3][16];
  for (int i = 0; i < N; i++) bias[i] = uniform();
  bool found;
  if (v->threads) {
    int tiles = (M + v->BM - 1) / v->BM * ((N + v->BN - 1) / v->BN);
    size_t shared = (size_t)(v->BM * (v->BN + 8) * 4); /* the result, or the ring */
    if (shared < (size_t)(v->stages * (v->BM + v->BN) * 128)) shared = (size_t)(v->stages * (v->BM + v->BN) * 128);
    found = launch(c, r, (unsigned)(OUTER * tiles), 1, v->threads, shared, (void *[]){&args});
  } else {
    int maps = 0;
    unsigned producers = v->a_filled || v->b_filled ? 2 * (unsigned)v->BM : 128;
    if (!v->a_filled) map_rows(map[maps++], a, v->a_k ? K : M, v->a_k ? M : K, OUTER, v->a_k ? v->BM : 64);
    if (!v->b_filled) map_rows(map[maps++], b, v->b_k ? K : N, v->b_k ? N : K, OUTER, v->b_k ? v->BN : 64);
    if (v->plain) map_rows(map[maps], out, N, M, OUTER, 16);
    size_t shared = (size_t)(v->stages * (v->BM + v->BN) * 128 + v->BM * 256 + v->stages * 16);
    found = launch(c, r, 3, 1, producers + 2 * (unsigned)v->BM, shared, (void *[]){&args, map[0], map[1], map[2]});
  }
  r->hash = 14695981039346656037u;
  for (size_t i = 0; i < n; i++) {
    size_t o = i / (size_t)N / (size_t)M, row = i / (size_t)N % (size_t)M, column = i % (size_t)N;
    size_t x = o * of_a + row * (v->a_k ? (size_t)K : 1),
           y = (v->one_b ? 0 : o) * of_b + column * (v->b_k ? (size_t)K : 1);
    double sum = 0;
    for (int k = 0; k < K; k++, x += v->a_k ? 1 : (size_t)M, y += v->b_k ? 1 : (size_t)N)
      if (k >= 64 * (int)o) sum += operand(v, a, x) * operand(v, b, y);
    size_t part = (o * each + (v->along ? column : row) / 64) * kept + (v->along ? row : column);
    summed[part] += fmax(sum + (double)bias[column], 0);
    double right = v->plain ? sum : fmax(sum + (double)bias[column], 0) + from_half(v->f16, more[i]);
    double miss[2] = {from_half(v->f16, out[i]) - right, v->plain ? 0 : (double)sums[i] - sum};
    off[0] += miss[0] * miss[0], all[0] += right * right;
    off[1] += miss[1] * miss[1], all[1] += sum * sum;
    r->hash = (r->hash ^ out[i]) * 1099511628211u;
  }
  for (size_t i = 0; v->sums && i < parts; i++) {
    double miss = (double)partial[i] - summed[i];
    off[2] += miss * miss, all[2] += summed[i] * summed[i];
  }
  bool f32 = off[1] <= 1e-12 * all[1] && off[2] <= 1e-12 * all[2];
  r->error = f32 ? sqrt(off[0] / all[0]) : INFINITY;
  free(a), free(b), free(more), free(out), free(bias), free(sums), free(partial), free(summed);
  return found;
}

/* f32, alone: the sum's bits are those of one chain of fma, in the order of the terms, those of the sums of rows of
 * runs of 4 in their order; error 0 or infinite. */
static bool gemm_simt(const GpuCase *c, GpuResult *r) {
  int M = c->size[0], N = c->size[1], K = c->size[2];
  size_t n = (size_t)M * (size_t)N;
  float *a = device((size_t)M * (size_t)K * 4), *b = device((size_t)K * (size_t)N * 4), *out = device(n * 4),
        *partial = device((size_t)(M + 63) / 64 * (size_t)N * 4);
  for (int i = 0; i < M * K; i++) a[i] = uniform();
  for (int i = 0; i < K * N; i++) b[i] = uniform();
  unsigned blocks = (unsigned)((M + 63) / 64 * ((N + 63) / 64));
  bool found = launch(c, r, blocks, 1, 64, 64 * 72 * 4, (void *[]){&out, &partial, &a, &b, &M, &N, &K});
  r->hash = 14695981039346656037u;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      float sum = 0;
      uint32_t bits;
      for (int k = 0; k < K; k++) sum = fmaf(a[i * K + k], b[k * N + j], sum);
      if (memcmp(&sum, &out[i * N + j], 4) != 0) r->error = INFINITY;
      memcpy(&bits, &out[i * N + j], 4);
      r->hash = (r->hash ^ bits) * 1099511628211u;
    }
  for (int i = 0; i < M; i += 64)
    for (int j = 0; j < N; j++) {
      float all = 0;
      for (int run = i; run < i + 64; run += 4) {
        float part = 0;
        for (int row = run; row < run + 4 && row < M; row++) part += out[row * N + j];
        all += part;
      }
      if (memcmp(&all, &partial[i / 64 * N + j], 4) != 0) r->error = INFINITY;
    }
  free(a), free(b), free(out), free(partial);
  return found;
}

/* Attention in f64: q [heads][T][D], k and v [heads / group][S][D]; mask [T][S] is added to scores, or NULL. */
typedef struct Attention {
  int heads, T, S, D, group, causal;
  float scale;
  float (*from)(uint16_t);
  uint16_t *q, *k, *v, *out;
  float *mask, *lse; /* the logarithms of the sums, which must be right to 1e-4 too */
} Attention;

static Attention attention_of(int heads, int T, int S, int D, int group, int causal, bool f16) {
  Attention a = {heads, T, S, D, group, causal, 1 / sqrtf((float)D), f16 ? from_f16 : from_bf16, 0, 0, 0, 0, 0, 0};
  size_t rows = (size_t)heads * (size_t)T, n = rows * (size_t)D, m = (size_t)(heads / group * S) * (size_t)D;
  a.q = f16 ? random_f16(n) : random_bf16(n, 3);
  a.k = f16 ? random_f16(m) : random_bf16(m, 2);
  a.v = f16 ? random_f16(m) : random_bf16(m, 1);
  a.out = device(n * 2);
  a.lse = device(rows * sizeof *a.lse);
  return a;
}

static void attention_judge(Attention *a, GpuResult *r) {
  size_t D = (size_t)a->D, rows = (size_t)a->heads * (size_t)a->T;
  double *right = malloc(rows * D * sizeof *right), *score = malloc((size_t)a->S * sizeof *score), lse_error = 0;
  for (size_t row = 0; row < rows; row++) {
    int at = (int)(row % (size_t)a->T), seen = at + 1 + a->S - a->T, keys = !a->causal ? a->S : seen < 0 ? 0 : seen;
    size_t head = row / (size_t)a->T / (size_t)a->group * (size_t)a->S * D;
    double sum = 0;
    for (int j = 0; j < keys; j++) {
      double x = 0;
      for (size_t d = 0; d < D; d++)
        x += (double)a->from(a->q[row * D + d]) * (double)a->from(a->k[head + (size_t)j * D + d]);
      x = x * (double)a->scale + (a->mask ? (double)a->mask[at * a->S + j] : 0);
      sum += score[j] = exp(x);
    }
    for (size_t d = 0; d < D; d++) {
      double x = 0;
      for (int j = 0; j < keys; j++) x += score[j] / sum * (double)a->from(a->v[head + (size_t)j * D + d]);
      right[row * D + d] = x;
    }
    if (keys && !(fabs(log(sum) - (double)a->lse[row]) < 1e-4)) lse_error = INFINITY;
    if (!keys && a->lse[row] != -INFINITY) lse_error = INFINITY;
  }
  judge_as(r, a->from, a->out, right, rows * D);
  r->error += lse_error;
  free(a->q), free(a->k), free(a->v), free(a->out), free(a->lse), free(a->mask), free(right), free(score);
}

/* A mask of scores of which some are -infinite. */
static void attention_mask(Attention *a) {
  int n = a->T * a->S;
  a->mask = device((size_t)n * sizeof *a->mask);
  for (int i = 0; i < n; i++) a->mask[i] = i % 7 ? 2 * uniform() : -INFINITY;
  for (int i = 0; i < a->T; i++) a->mask[i * a->S] = uniform(); /* one key is seen */
}

/* alone: heads, positions, causal */
static bool attention(const GpuCase *c, GpuResult *r, bool sm90) {
  Attention a = attention_of(c->size[0], c->size[1], c->size[1], sm90 ? 128 : 64, 1, c->size[2], false);
  struct {
    void *out, *dk, *dv, *lse, *delta, *q, *k, *v, *g;
    int positions, causal;
    float scale;
  } args = {a.out, NULL, NULL, a.lse, NULL, a.q, a.k, a.v, NULL, a.T, a.causal, a.scale};
  int rows = sm90 ? 128 : 64;
  bool found = launch(c, r, (unsigned)((a.T + rows - 1) / rows * a.heads), 1, sm90 ? 384 : 128,
                      (size_t)(5 * rows * a.D * 2 + (sm90 ? 72 : 0)), (void *[]){&args});
  attention_judge(&a, r);
  return found;
}

/* tests/gpu_emulator/attention_variants.cu: heads, queries, keys */
static bool attention_variant(const GpuCase *c, GpuResult *r) {
  bool sm90 = strstr(c->kernel, "_sm90") != NULL;
  int D = atoi(c->kernel + strlen("attention_d")), T = c->size[1], S = c->size[2], rows = sm90 ? 128 : 64;
  Attention a = attention_of(c->size[0], T, S, D, c->size[0] % 2 ? 1 : 2, D != 96, D != 32);
  bool masked = strstr(c->kernel, "_masked") || !strcmp(c->kernel, "attention_d128");
  if (masked) attention_mask(&a);
  struct {
    void *out, *lse, *q, *k, *v, *mask;
    int T, S, group, causal;
    float scale;
  } args = {a.out, a.lse, a.q, a.k, a.v, a.mask, T, S, a.group, a.causal, a.scale};
  size_t row = (size_t)(D % 64 ? D * 2 + 16 : D * 2), keys = sm90 && !masked ? 128 : 64; /* bytes; of a tile */
  bool found = launch(c, r, (unsigned)((T + rows - 1) / rows * a.heads), 1, sm90 ? 384 : 128,
                      ((size_t)rows + 4 * keys) * row + (sm90 ? 72 : 0), (void *[]){&args});
  attention_judge(&a, r);
  return found;
}

/* Attention's backward in f64, alone or as attention_grad_variants.cu has it. The gradients of keys and values are of
 * every head of queries. What the forward leaves of rows, lse and delta, is right to f32; of rows that see nothing lse
 * is infinite. */
static bool attention_grad(const GpuCase *c, GpuResult *r) {
  const char *of = strchr(c->kernel, '_') + 1;
  bool alone = !strncmp(c->kernel, "attention_grad_", 15), of_q;
  if (alone) of += 5;
  of_q = of[0] == 'q';
  const char *depth = strstr(of, "_d");
  bool sm90 = strstr(of, "_sm90") != NULL;
  int D = alone ? (sm90 ? 128 : 64) : atoi(depth + 2), T = c->size[1], S = alone ? T : c->size[2], heads = c->size[0];
  int results = of_q ? 0 : strstr(of, "_k") ? 1 : strstr(of, "_v") ? 2 : 3; /* of keys, of values */
  Attention a =
      attention_of(heads, T, S, D, alone || heads % 2 ? 1 : 2, alone ? c->size[2] : D != 96, !alone && D != 32);
  bool masked = strstr(of, "_score") != NULL;
  size_t d = (size_t)D, nq = (size_t)(heads * T) * d, nk = (size_t)(heads * S) * d;
  uint16_t *g = a.from == from_f16 ? random_f16(nq) : random_bf16(nq, 1);
  uint16_t *out[3] = {a.out, device(nk * 2), device(nk * 2)}; /* dq, dk, dv */
  double *right[3] = {calloc(nq, sizeof(double)), calloc(nk, sizeof(double)), calloc(nk, sizeof(double))};
  float *delta = device((size_t)(heads * T) * sizeof *delta);
  double *p = malloc((size_t)S * sizeof *p), *dp = malloc((size_t)S * sizeof *dp);
  if (masked) attention_mask(&a);
  for (int row = 0; row < heads * T; row++) {
    int at = row % T, seen = at + 1 + S - T, keys = !a.causal ? S : seen < 0 ? 0 : seen, shared = row / T / a.group * S;
    double sum = 0, mean = 0;
    for (int j = 0; j < keys; j++) {
      double x = 0;
      dp[j] = 0;
      for (size_t i = 0, from = (size_t)(shared + j) * d; i < d; i++) {
        x += (double)a.from(a.q[(size_t)row * d + i]) * (double)a.from(a.k[from + i]);
        dp[j] += (double)a.from(g[(size_t)row * d + i]) * (double)a.from(a.v[from + i]);
      }
      sum += p[j] = exp(x * (double)a.scale + (a.mask ? (double)a.mask[at * S + j] : 0));
      mean += p[j] * dp[j];
    }
    a.lse[row] = keys ? (float)log(sum) : INFINITY;
    delta[row] = keys ? (float)(mean / sum) : 0;
    for (int j = 0; j < keys; j++) {
      double weight = p[j] / sum, slope = weight * (dp[j] - mean / sum) * (double)a.scale;
      for (size_t i = 0; i < d; i++) {
        size_t key = (size_t)(row / T * S + j) * d + i;
        right[0][(size_t)row * d + i] += slope * (double)a.from(a.k[(size_t)(shared + j) * d + i]);
        right[1][key] += slope * (double)a.from(a.q[(size_t)row * d + i]);
        right[2][key] += weight * (double)a.from(g[(size_t)row * d + i]);
      }
    }
  }
  struct {
    void *dq, *dk, *dv, *q, *k, *v, *g, *lse, *delta, *mask;
    int T, S, group, causal;
    float scale;
  } args = {out[0], out[1], out[2], a.q, a.k, a.v, g, a.lse, delta, a.mask, T, S, a.group, a.causal, a.scale};
  struct {
    void *dq, *dk, *dv, *lse, *delta, *q, *k, *v, *g;
    int positions, causal;
    float scale;
  } alone_args = {out[0], out[1], out[2], a.lse, delta, a.q, a.k, a.v, g, T, a.causal, a.scale};
  int own = sm90 || (D <= 64 && !masked) ? 128 : 64, other = of_q && sm90 && !masked ? 128 : 64, rows = of_q ? T : S;
  int stages = of_q || !sm90 ? 2 : 3;
  if (!of_q && sm90 && masked && D == 128) other = 32, stages = 5;
  int held = !sm90 && of_q ? 2 * own + 2 * other : (sm90 ? 2 : 1) * own + 2 * stages * other;
  int beside = (sm90 ? 16 * stages : 0) + (of_q ? 0 : 8 * stages * other);
  size_t row = (size_t)(D % 64 ? D * 2 + 16 : D * 2);
  bool found = launch(c, r, (unsigned)((rows - 1) / own + 1) * (unsigned)heads, 1, sm90 ? 384 : 128,
                      (size_t)held * row + (size_t)beside, (void *[]){alone ? (void *)&alone_args : (void *)&args});
  double error = 0;
  uint64_t hash = 0;
  for (int i = 0; i < 3; i++) {
    if (i ? !(results >> (i - 1) & 1) : !of_q) continue;
    judge_as(r, a.from, out[i], right[i], i ? nk : nq);
    error = error < r->error || isnan(r->error) ? r->error : error;
    hash = hash * 31 + r->hash;
  }
  r->error = error, r->hash = hash;
  for (int i = 0; i < 3; i++) free(out[i]), free(right[i]);
  free(a.q), free(a.k), free(a.v), free(g), free(a.lse), free(a.mask), free(delta), free(p), free(dp);
  return found;
}

/* tests/gpu_race/misuse.cu: 4 blocks of 64 threads, each copies its element, or its neighbour's; the sum of the first
 * elements of the blocks where the case makes it, else what was there. */
static bool misuse(const GpuCase *c, GpuResult *r) {
  enum { SHUFFLE_FOR_SYNCWARP, SYNCWARP, SUM_OF_BLOCKS, ATOMIC_SUM_OF_BLOCKS, BLOCKS = 4, THREADS = 64 };
  size_t n = BLOCKS * THREADS;
  uint16_t *in = random_bf16(n, 1), *out = device(n * 2);
  float *sum = device(sizeof *sum), what_sum = 0;
  double right[BLOCKS * THREADS];
  *sum = 0;
  int what = c->size[0];
  bool found = launch(c, r, BLOCKS, 1, THREADS, THREADS * sizeof(float), (void *[]){&out, &in, &sum, &what});
  for (size_t i = 0; i < n; i++) right[i] = from_bf16(in[what <= SYNCWARP ? i ^ 1 : i]);
  judge(r, out, right, n);
  for (size_t i = 0; i < n; i += THREADS)
    if (what == SUM_OF_BLOCKS || what == ATOMIC_SUM_OF_BLOCKS) what_sum += from_bf16(in[i]);
  if (*sum != what_sum) r->error = INFINITY;
  free(in), free(out), free(sum);
  return found;
}

/* tests/gpu_emulator/instructions.cu: operands that ordinary stores bring to shared memory */
static bool wgmma(const GpuCase *c, GpuResult *r) {
  enum { M = 64, N = 8, K = 64 };
  uint16_t *a = random_bf16(M * K, 1), *b = random_bf16(N * K, 1), out[M * N];
  float *d = device(M * N * sizeof *d);
  double right[M * N];
  bool found = launch(c, r, 1, 1, 128, (M + N) * K * 2, (void *[]){&d, &a, &b});
  for (int i = 0; i < M * N; i++) {
    uint32_t u;
    memcpy(&u, d + i, 4);
    out[i] = (uint16_t)((u + 0x8000) >> 16);
    right[i] = 0;
    for (int k = 0; k < K; k++) right[i] += (double)from_bf16(a[i / N * K + k]) * (double)from_bf16(b[i % N * K + k]);
  }
  judge(r, out, right, M * N);
  free(a), free(b), free(d);
  return found;
}

bool gpu_case_run(const GpuCase *c, GpuResult *r) {
  size_t n = strcspn(c->kernel, ".");
  state = 1;
  *r = (GpuResult){0};
  if (!strncmp(c->kernel, "softmax", n)) return softmax(c, r);
  if (!strncmp(c->kernel, "gemm_simt", n)) return gemm_simt(c, r);
  if (!strncmp(c->kernel, "gemm_sm80", n)) return gemm(c, r, false);
  if (!strncmp(c->kernel, "gemm_sm90", n)) return gemm(c, r, true);
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
    if (!strncmp(c->kernel, variants[i].kernel, n) && !variants[i].kernel[n]) return product(c, r, &variants[i]);
  if (!strncmp(c->kernel, "attention_sm80", n)) return attention(c, r, false);
  if (!strncmp(c->kernel, "attention_sm90", n)) return attention(c, r, true);
  if (!strncmp(c->kernel, "attention_grad_", 15) || !strncmp(c->kernel, "grad_", 5)) return attention_grad(c, r);
  if (!strncmp(c->kernel, "attention_d", strlen("attention_d"))) return attention_variant(c, r);
  if (!strncmp(c->kernel, "wgmma_bf16_8", n)) return wgmma(c, r);
  if (!strncmp(c->kernel, "misuse", n)) return misuse(c, r);
  return false;
}
