/* Each operation of the vocabulary that no kernel of kernels/cuda uses, in the emulator; what launches and tensor maps
 * refuse; both ways to switch fibers. */
#include "emulator.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static EmulatorReport report;

static bool launch(const char *kernel, unsigned threads, size_t shared, void **params, uint32_t seed, bool lazy) {
  const EmulatorKernel *k = emulator_find(kernel);
  if (!k) fail_msg("no kernel %s", kernel);
  return emulator_launch(k, &(EmulatorLaunch){{1, 1, 1}, {threads, 1, 1}, shared, params, seed, lazy}, &report);
}

static void run(const char *kernel, unsigned threads, size_t shared, void **params, uint32_t seed, bool lazy) {
  if (!launch(kernel, threads, shared, params, seed, lazy)) fail_msg("%s", report.message);
}

static uint64_t state = 1;
static uint32_t bits(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 32);
}

static float as_float(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

static float half(uint16_t h) {
  _Float16 f;
  memcpy(&f, &h, 2);
  return (float)f;
}

/* ---- numbers: against the compiler's own conversions ---- */

static void numbers(void **unused) {
  (void)unused;
  enum { N = 1 << 16 };
  static uint16_t h[N], to[N];
  static float f[N], back[N];
  static uint32_t tf32[N];
  int n = N;
  for (int i = 0; i < N; i++) {
    h[i] = (uint16_t)i;
    int exponent =
        (int)(bits() % 50) - 30; /* f16 has exponents -24 to 15; f is often just between two of its numbers */
    f[i] = i % 3 ? ldexpf((float)(bits() >> 8) * 0x1p-24f + 1, exponent) * (i % 2 ? 1 : -1)
                 : (half((uint16_t)i) + half((uint16_t)(i + 1))) / 2;
  }
  f[0] = INFINITY, f[1] = NAN, f[2] = -0.0f, f[3] = 65519.99f, f[4] = 65520, f[5] = 1e30f, f[6] = 0x1p-25f,
  f[7] = 1e-40f;
  run("from_f16", 256, 0, (void *[]){&(float *){back}, &(uint16_t *){h}, &n}, 0, true);
  run("to_f16", 256, 0, (void *[]){&(uint16_t *){to}, &(float *){f}, &n}, 0, true);
  run("to_tf32", 256, 0, (void *[]){&(uint32_t *){tf32}, &(float *){f}, &n}, 0, true);
  for (int i = 0; i < N; i++) {
    float exact = half(h[i]);
    assert_true(isnan(exact) ? isnan(back[i]) : !memcmp(&exact, &back[i], 4));
    _Float16 rounded = (_Float16)f[i];
    uint16_t right;
    memcpy(&right, &rounded, 2);
    if (isnan(f[i]))
      assert_true(isnan(half(to[i])));
    else if (to[i] != right)
      fail_msg("%a to f16: %04x, not %04x", (double)f[i], to[i], right);
    assert_int_equal(tf32[i] & 0x1fff, 0);
    if (isfinite(f[i])) {
      double step = ldexp(1, ilogbf(f[i] != 0 ? f[i] : 1) - 10); /* ties away from zero */
      assert_true(fabs((double)f[i]) < 0x1p-126 || (double)as_float(tf32[i]) == round((double)f[i] / step) * step);
    }
  }
  static _Alignas(8) uint32_t word[64], pair[2][64];
  for (uint32_t i = 0; i < 64; i++) word[i] = bits();
  run("pairs", 32, 0, (void *[]){&(uint32_t *){pair[0]}, &(uint32_t *){word}}, 0, true);
  for (int i = 0; i < 64; i++) assert_true(pair[0][i] == word[i] && pair[1][i] == word[i ^ 1]);
  assert_false(launch("pairs", 32, 0, (void *[]){&(uint32_t *){pair[0]}, &(uint32_t *){word + 1}}, 0, true));
  assert_non_null(strstr(report.message, "is no multiple of 8"));
  float in[32], out[32][5];
  for (int i = 0; i < 32; i++) in[i] = 0.1f + (float)i / 4;
  run("approximate", 32, 0, (void *[]){&(float *){out[0]}, &(float *){in}}, 0, true);
  for (int i = 0; i < 32; i++) {
    double x = (double)in[i], right[5] = {exp2(x), log2(x), 1 / x, 1 / sqrt(x), tanh(x)};
    for (int k = 0; k < 5; k++) assert_true(fabs((double)out[i][k] - right[k]) < 1e-6 * fmax(1, right[k]));
  }
}

static void parameters(void **unused) { /* each of its own size, where cuLaunchKernel would find it */
  (void)unused;
  uint32_t out[5], *to = out, e = 5, five[5] = {1, 2, 3, 4, 5};
  uint8_t a = 255;
  int8_t b = -1;
  uint16_t c = 3, k = 0x3f80, l = 0x3c00;
  int16_t d = -4;
  int32_t f = -6;
  uint64_t g = 7;
  int64_t h = -8;
  float i = 1.5f;
  double j = -2.5;
  run("parameters", 1, 0,
      (void *[]){&to, &a, &b, &c, &d, &e, &f, &g, &h, &i, &j, &k, &l, five, five + 1, five + 2, five + 3, five + 4}, 0,
      true);
  assert_int_equal(out[0], 0xfeffffff + 3 - 4 + 5 - 6 + 7 - 8);
  assert_int_equal(out[1], 0x3fc00000);
  assert_int_equal(out[2], 0xc0040000);
  assert_int_equal(out[3], 0x3f803c00);
  assert_int_equal(out[4], 54321);
}

/* ---- warps and barriers ---- */

static void shuffles(void **unused) {
  (void)unused;
  int out[32][5];
  run("shuffles", 32, 0, (void *[]){&(int *){out[0]}}, 3, true);
  for (int t = 0; t < 32; t++) {
    int right[5] = {7, t < 3 ? t : t - 3, t > 28 ? t : t + 3, t ^ 5, t < 8 ? t ^ 1 : -1};
    for (int k = 0; k < 5; k++) assert_int_equal(out[t][k], right[k]);
  }
}

static void named_barriers(void **unused) {
  (void)unused;
  uint32_t out[20][32];
  int rounds = 20;
  for (uint32_t seed = 0; seed < 10; seed++) {
    memset(out, 0, sizeof out);
    run("handover", 64, 128, (void *[]){&(uint32_t *){out[0]}, &rounds}, seed, true);
    for (uint32_t i = 0; i < 20 * 32; i++) assert_int_equal(out[i / 32][i % 32], i);
  }
}

/* ---- ldmatrix, stmatrix ---- */

static void matrices(void **unused) {
  (void)unused;
  uint16_t in[4][32][2], out[2][4][32][2], raw[4][8][8];
  for (int i = 0; i < 256; i++) in[i / 64][i / 2 % 32][i % 2] = (uint16_t)i;
  for (int what = 0; what < 4; what++) {
    run("matrices", 32, 512, (void *[]){&(void *){out}, &(void *){in}, &what}, 1, true);
    /* the kernel shows word i of each row, lane by lane */
    for (int lane = 0; lane < 32; lane++)
      for (int i = 0; i < 8; i++) raw[lane / 8][lane % 8][i] = out[0][i / 2][lane][i % 2];
    for (int m = 0; m < 4; m++)
      for (int lane = 0; lane < 32; lane++)
        for (int h = 0; h < 2; h++) {
          int row = lane / 4, column = lane % 4 * 2 + h;
          assert_int_equal(what & 1 ? raw[m][column][row] : raw[m][row][column], in[m][lane][h]);
          assert_int_equal(out[1][m][lane][h], what & 2 ? raw[m][column][row] : raw[m][row][column]);
        }
  }
}

static void bank_conflicts(void **unused) {
  (void)unused;
  uint32_t out[32];
  run("bank_conflicts", 32, 1024, (void *[]){&(uint32_t *){out}}, 0, true);
  assert_int_equal(report.counters.ldmatrix, 1);
  assert_int_equal(report.counters.bank_conflicts, 4 * 7);
}

/* ---- products against f64 ---- */

typedef enum { BF16, F16, TF32 } Type;

static double element(Type type, const void *p, int i) { /* of random bits that are numbers in [-2, 2] */
  uint32_t w;
  uint16_t h;
  if (type == TF32) return memcpy(&w, (const char *)p + 4 * i, 4), (double)as_float(w & 0xffffe000u);
  memcpy(&h, (const char *)p + 2 * i, 2);
  return type == F16 ? (double)half(h) : (double)as_float((uint32_t)h << 16);
}

static void fill(Type type, void *p, int n) {
  for (int i = 0; i < n; i++) {
    float f = (float)(int)(bits() % 4096) / 1024 - 2;
    uint32_t w;
    memcpy(&w, &f, 4);
    uint16_t h = (uint16_t)(w >> 16);
    if (type == F16) {
      _Float16 g = (_Float16)f;
      memcpy(&h, &g, 2);
    }
    if (type == TF32)
      w |= 0xabc, memcpy((char *)p + 4 * i, &w, 4); /* the low bits do not count */
    else
      memcpy((char *)p + 2 * i, &h, 2);
  }
}

static void check(const char *kernel, Type type, const void *a, const void *b, const float *d, int m, int n, int k,
                  double plus) {
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      double sum = plus;
      for (int l = 0; l < k; l++) sum += element(type, a, i * k + l) * element(type, b, j * k + l);
      if (!(fabs(sum - (double)d[i * n + j]) < 1e-4))
        fail_msg("%s [%d][%d]: %g, not %g", kernel, i, j, (double)d[i * n + j], sum);
    }
}

static void mma(void **unused) {
  (void)unused;
  static const char *const kernels[] = {"mma_bf16", "mma_f16", "mma_tf32"};
  for (Type type = BF16; type <= TF32; type++) {
    int k = type == TF32 ? 8 : 16;
    uint32_t a[16 * 8], b[8 * 8];
    float d[16 * 8];
    fill(type, a, 16 * k), fill(type, b, 8 * k);
    run(kernels[type], 32, 0, (void *[]){&(float *){d}, &(uint32_t *){a}, &(uint32_t *){b}}, 0, true);
    check(kernels[type], type, a, b, d, 16, 8, k, 1);
  }
}

static void wgmma(void **unused) {
  (void)unused;
  static const struct {
    const char *kernel;
    Type type;
    int n;
  } all[] = {{"wgmma_bf16_8", BF16, 8},        {"wgmma_f16_64", F16, 64},      {"wgmma_tf32_16", TF32, 16},
             {"wgmma_bf16_mn_128", BF16, 128}, {"wgmma_f16_mn_192", F16, 192}, {"wgmma_regs_256", F16, 256}};
  static uint32_t a[64 * 32], b[256 * 32];
  static float d[64 * 256];
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    for (uint32_t seed = 0; seed < 4; seed++) {
      int n = all[i].n, k = all[i].type == TF32 ? 32 : 64;
      fill(all[i].type, a, 64 * k), fill(all[i].type, b, n * k);
      run(all[i].kernel, 128, 8192 + 32768, (void *[]){&(float *){d}, &(uint32_t *){a}, &(uint32_t *){b}}, seed,
          seed % 2);
      check(all[i].kernel, all[i].type, a, b, d, 64, n, k, 0);
    }
}

/* ---- TMA ---- */

/* 2-byte elements; a box that lies partly outside, at (x, y, 1, -1): what comes to shared memory, what is stored. */
static void tma(void **unused) {
  (void)unused;
  enum { W = 40, H = 5, D = 3, T = 2 };
  static _Alignas(16) uint16_t from[T][D][H][W], to[T][D][H][W];
  static const int swizzles[] = {0, 32, 64, 128};
  for (int i = 0; i < T * D * H * W; i++) (&from[0][0][0][0])[i] = (uint16_t)(i + 1);
  for (int rank = 2; rank <= 4; rank++)
    for (int s = 0; s < 4; s++)
      for (int x = -5; x <= 30; x += 7) {
        _Alignas(64) uint64_t map[2][16];
        uint32_t width = swizzles[s] ? (uint32_t)swizzles[s] / 2 : 24,
                 bytes = width * 4 * (rank > 2 ? 3 : 1) * (rank > 3 ? 2 : 1) * 2;
        EmulatorTensor e = {from,       2, rank, {W, H, D, T}, {W * 2, W * H * 2, W * H * D * 2}, {width, 4, 3, 2},
                            swizzles[s]};
        assert_null(emulator_tensor_map(map[0], &e));
        e.base = to;
        assert_null(emulator_tensor_map(map[1], &e));
        memset(to, 0, sizeof to);
        static uint16_t raw[8192];
        int y = 3;
        char kernel[32];
        snprintf(kernel, sizeof kernel, "tma_copy_%dd", rank);
        run(kernel, 32, bytes + 8, (void *[]){map[0], map[1], &(uint16_t *){raw}, &bytes, &x, &y}, (uint32_t)s, s % 2);
        for (uint32_t i = 0; i < bytes / 2; i++) {
          int at[4] = {(int)(i % width) + x, (int)(i / width % 4) + y, rank > 2 ? (int)(i / width / 4 % 3) + 1 : 0,
                       rank > 3 ? (int)(i / width / 12) - 1 : 0};
          bool inside = at[0] >= 0 && at[0] < W && at[1] < H && at[2] < D && at[3] >= 0 && at[3] < T;
          uint16_t right = inside ? from[at[3]][at[2]][at[1]][at[0]] : 0;
          uint32_t place = i * 2; /* bytes; the swizzle exchanges chunks of 16 by the line of 128 */
          if (swizzles[s]) place ^= (place / 128 % ((uint32_t)swizzles[s] / 16)) * 16;
          assert_int_equal(raw[place / 2], right);
          if (inside) assert_int_equal(to[at[3]][at[2]][at[1]][at[0]], right), to[at[3]][at[2]][at[1]][at[0]] = 0;
        }
        for (size_t i = 0; i < sizeof to / 2; i++)
          assert_int_equal((&to[0][0][0][0])[i], 0); /* nothing else is written */
      }
}

/* ---- refusals ---- */

static void bulk_load_without_wait(void **unused) {
  (void)unused;
  static _Alignas(64) uint64_t map[16], data[128];
  assert_null(emulator_tensor_map(map, &(EmulatorTensor){data, 2, 2, {64, 8}, {128}, {64, 8}, 128}));
  static const char *const says[] = {"the block ends while this bulk load is under way", "no mbarrier at offset 1024"};
  for (int what = 0; what < 2; what++) {
    assert_false(launch("load_without_wait", 32, 1032, (void *[]){map, &what}, 0, true));
    if (!strstr(report.message, says[what])) fail_msg("%s", report.message);
  }
}

static void launches(void **unused) {
  (void)unused;
  const EmulatorKernel *k = emulator_find("shuffles");
  int out[32][5];
  void *params[] = {&(int *){out[0]}};
  EmulatorLaunch l = {{1, 1, 1}, {33, 1, 1}, 0, params, 0, true};
  assert_null(emulator_find("no such kernel"));
  assert_false(emulator_launch(k, &l, &report));
  assert_string_equal(report.message, "shuffles: a block of 33 x 1 x 1 threads, built for 32");
  l.block[0] = 32, l.shared_bytes = EMULATOR_MAX_SHARED + 1;
  assert_false(emulator_launch(k, &l, &report));
  assert_string_equal(report.message, "shuffles: 232449 bytes of shared memory, 232448 are the most");
  l.shared_bytes = 0, l.grid[1] = 0;
  assert_false(emulator_launch(k, &l, &report));
  assert_string_equal(report.message, "shuffles: no grid of 1 x 0 x 1 blocks");
  l.grid[1] = 2;
  assert_true(emulator_launch(k, &l, &report));
  assert_int_equal(report.counters.blocks, 2);
  l.block[0] = 16, l.block[1] = 2; /* lanes are x fastest: lane 16 has threadIdx.x 0 */
  assert_false(emulator_launch(k, &l, &report));
  assert_non_null(strstr(report.message, "lane 16 is not in its own mask 000000ff"));
}

static void tensor_maps(void **unused) {
  (void)unused;
  static _Alignas(64) uint64_t map[16];
  const EmulatorTensor right = {map, 2, 2, {64, 8}, {128}, {64, 8}, 128};
  EmulatorTensor e = right;
  assert_null(emulator_tensor_map(map, &e));
#define REFUSED(change, words) e = right, e.change, assert_string_equal(emulator_tensor_map(map, &e), words)
  REFUSED(rank = 6, "rank is not 1 to 5");
  REFUSED(element_bytes = 3, "no type of this size");
  REFUSED(base = (char *)map + 8, "base is no multiple of 16");
  REFUSED(swizzle = 96, "no such swizzle");
  REFUSED(dims[1] = 0, "a dimension is 0 or above 2^32 - 1");
  REFUSED(box[1] = 257, "a side of the box is not 1 to 256");
  REFUSED(strides[0] = 120, "a stride is no multiple of 16, or 2^40 or more");
  REFUSED(box[0] = 60, "the innermost side of the box is no multiple of 16 bytes");
  REFUSED(swizzle = 64, "the innermost side of the box is longer than the swizzle");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers),  cmocka_unit_test(parameters),
      cmocka_unit_test(shuffles), cmocka_unit_test(named_barriers),
      cmocka_unit_test(matrices), cmocka_unit_test(bank_conflicts),
      cmocka_unit_test(mma),      cmocka_unit_test(wgmma),
      cmocka_unit_test(tma),      cmocka_unit_test(bulk_load_without_wait),
      cmocka_unit_test(launches), cmocka_unit_test(tensor_maps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
