/* Reading and writing .npy files, and conversion between element types. */
#include "failing_malloc.h"
#include "sinter.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64], why[SINTER_WHY];

static void write_file(const void *data, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
}

static size_t make(char *file, int version, const char *header, const void *data, size_t bytes) {
  size_t n = strlen(header), fixed = version == 1 ? 10 : 12;
  memcpy(file, "\x93NUMPY", 6);
  file[6] = (char)version, file[7] = 0;
  for (size_t i = 0; i < fixed - 8; i++) file[8 + i] = (char)(n >> (8 * i));
  memcpy(file + fixed, header, n);
  if (bytes) memcpy(file + fixed + n, data, bytes);
  return fixed + n + bytes;
}

static void write_npy(int version, const char *header, const void *data, size_t bytes) {
  char file[2048];
  write_file(file, make(file, version, header, data, bytes));
}

static void reads(void **state) {
  (void)state;
  NpyArray a;
  float f[6] = {1, 2, 3, 4, 5, 6};
  for (int version = 1; version <= 3; version++) {
    write_npy(version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", f, sizeof f);
    assert_true(npy_read(&a, path, why));
    assert_int_equal(a.dtype, SINTER_F32);
    assert_int_equal(a.rank, 2);
    assert_int_equal(a.count, 6);
    assert_true(a.dim[0] == 2 && a.dim[1] == 3);
    assert_memory_equal(a.data, f, sizeof f);
    npy_free(&a);
  }
  write_npy(1, "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"=f4\"}", f, sizeof f);
  assert_true(npy_read(&a, path, why));
  const float rows[6] = {1, 3, 5, 2, 4, 6};
  assert_memory_equal(a.data, rows, sizeof rows);
  npy_free(&a);
  float cube[24], want[24];
  for (int i = 0; i < 24; i++) cube[i] = (float)i;
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 3; j++)
      for (int k = 0; k < 4; k++) want[(i * 3 + j) * 4 + k] = (float)(i + 2 * j + 6 * k);
  write_npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3, 4)}", cube, sizeof cube);
  assert_true(npy_read(&a, path, why));
  assert_memory_equal(a.data, want, sizeof want);
  npy_free(&a);
  write_npy(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", "\0\1\2", 3);
  assert_true(npy_read(&a, path, why));
  assert_memory_equal(a.data, "\0\1\1", 3);
  npy_free(&a);
  write_npy(1, "{'descr': '<i8', 'fortran_order': False, 'shape': ()}", f, 8);
  assert_true(npy_read(&a, path, why) && a.rank == 0 && a.count == 1 && a.dtype == SINTER_I64);
  npy_free(&a);
  write_npy(1, "{'descr': '>u1', 'fortran_order': False, 'shape': (0L, 5L)}", NULL, 0);
  assert_true(npy_read(&a, path, why) && a.count == 0 && a.dtype == SINTER_U8);
  npy_free(&a);
  static const char *const types[] = {"f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"};
  for (int i = 0; i < 12; i++) {
    char header[128];
    snprintf(header, sizeof header, "{'descr': '<%s', 'fortran_order': False, 'shape': (1,)}", types[i]);
    write_npy(1, header, f, (size_t)(types[i][1] - '0'));
    assert_true(npy_read(&a, path, why));
    assert_int_equal(sinter_dtype_size(a.dtype), types[i][1] - '0');
    npy_free(&a);
  }
}

static void says(const char *header, size_t bytes, const char *sentence) {
  char data[64] = {0}, want[SINTER_WHY];
  NpyArray a;
  write_npy(1, header, data, bytes);
  assert_false(npy_read(&a, path, why));
  assert_null(a.data);
  snprintf(want, sizeof want, "%s: %s", path, sentence);
  assert_string_equal(why, want);
}

static void refused(void **state) {
  (void)state;
  NpyArray a;
  says("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", 8,
       "its numbers are big-endian ('>f4'): save it with astype('<f4')");
  says("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 8,
       "Python objects are not read: an array of numbers is expected");
  says("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8,
       "records are not read: an array of one element type is expected");
  says("{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", 8,
       "the element type '<c8' is not known: bool, integers and floats of up to 8 bytes are");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 8,
       "it is cut short: its shape wants 12 bytes of data, the file has 8");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 8,
       "it is too long: its shape wants 4 bytes of data, the file has 8");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", 8, "its shape is too large");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 8, "its shape is too large");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, "it has more than 8 axes");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", 8, "the header is damaged: a size was expected");
  says("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", 8, "the header is damaged: True or False was expected");
  says("{'descr': '<f4', 'shape': (2,)}", 8, "the header is damaged: descr, fortran_order or shape is missing");
  says("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8,
       "the header is damaged: it has a key 'descr'");
  says("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8,
       "the header is damaged: there is text after its end");
  says("", 8, "the header is damaged: '{' was expected");
  write_file("\x93NUMPX\1\0\0\0", 10);
  assert_false(npy_read(&a, path, why));
  assert_non_null(strstr(why, "it is not a .npy file"));
  write_file("\x93NUMPY\4\0\0\0\0\0", 12);
  assert_false(npy_read(&a, path, why));
  assert_non_null(strstr(why, "it has the .npy version 4.0, 1.0 to 3.0 are known"));
  assert_false(npy_read(&a, "/nowhere/x.npy", why));
  assert_string_equal(why, "cannot open /nowhere/x.npy: there is no such file or folder");
  assert_false(npy_read(&a, "/tmp", why));
  assert_string_equal(why, "cannot open /tmp: it is a folder");
}

static uint64_t next_random(uint64_t *s) { return *s = *s * 6364136223846793005u + 1442695040888963407u, *s >> 33; }

/* Every byte of the header changed, the file cut everywhere: a sentence, or an array that fits its data. */
static void mutated(void **state) {
  (void)state;
  char good[512], bad[512];
  float data[12] = {1, 2, 3};
  size_t n =
      make(good, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }          \n", data, sizeof data);
  uint64_t seed = 7;
  int refused_count = 0;
  for (size_t i = 0; i < n - sizeof data; i++)
    for (int k = 0; k < 8; k++) {
      NpyArray a;
      memcpy(bad, good, n);
      bad[i] = (char)(k < 3   ? (uint64_t)(unsigned char)bad[i] ^ 1u << next_random(&seed) % 8
                      : k < 5 ? next_random(&seed)
                              : (uint64_t)"{}()',:0189TF "[next_random(&seed) % 14]);
      write_file(bad, n);
      why[0] = 0;
      if (npy_read(&a, path, why)) {
        assert_int_equal((uint64_t)a.count * sinter_dtype_size(a.dtype), sizeof data);
        npy_free(&a);
      } else {
        assert_true(strncmp(why, path, strlen(path)) == 0 && strlen(why) > strlen(path) + 10);
        refused_count++;
      }
    }
  assert_true(refused_count > 300);
  for (size_t i = 0; i < n; i++) {
    NpyArray a;
    write_file(good, i);
    assert_false(npy_read(&a, path, why));
  }
}

/* Any bytes are numbers: read as they are, but a bool is 0 or 1. */
static void other_data(void **state) {
  (void)state;
  static const char *const types[] = {"<f4", "<f8", "<i4", "<i8", "|b1", "<f2"};
  uint64_t seed = 5;
  for (int i = 0; i < 600; i++) {
    char header[128], data[48];
    NpyArray a;
    for (size_t k = 0; k < sizeof data; k++) data[k] = (char)next_random(&seed);
    int n = (int)sizeof data / (i % 6 == 4 ? 1 : types[i % 6][2] - '0');
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': %s, 'shape': (2, %d)}", types[i % 6],
             i % 2 ? "True" : "False", n / 2);
    write_npy(1, header, data, sizeof data);
    if (!npy_read(&a, path, why)) fail_msg("%s", why);
    assert_int_equal(a.count, n);
    if (i % 6 == 4)
      for (int k = 0; k < n; k++) assert_true(((unsigned char *)a.data)[k] <= 1);
    else if (i % 2 == 0)
      assert_memory_equal(a.data, data, sizeof data);
    npy_free(&a);
  }
}

static void no_memory(void **state) {
  (void)state;
  char want[128];
  NpyArray a;
  int n = 0;
  write_npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", (float[]){1, 2, 3, 4, 5, 6}, 24);
  for (;; n++) {
    malloc_calls = 0, malloc_fails_at = n + 1;
    bool read = npy_read(&a, path, why);
    malloc_fails_at = 0;
    if (read) break;
    snprintf(want, sizeof want, n ? "%s: no memory for its 24 bytes" : "%s: no memory", path);
    assert_string_equal(why, want);
    assert_null(a.data);
  }
  npy_free(&a);
  assert_int_equal(n, 3); /* header, data, data in row order */
}

static void writes(void **state) {
  (void)state;
  static const int64_t dim[3] = {2, 1, 3};
  int32_t data[6] = {-1, 2, 3, 4, 5, 6};
  NpyArray a;
  for (uint32_t rank = 0; rank <= 3; rank++) {
    assert_true(npy_write(path, SINTER_I32, rank, dim, data, why));
    assert_true(npy_read(&a, path, why));
    assert_int_equal(a.rank, rank);
    assert_memory_equal(a.data, data, (size_t)a.count * 4);
    npy_free(&a);
  }
  assert_true(npy_write(path, SINTER_I32, 1, (int64_t[]){6}, data, why));
  char head[128];
  FILE *f = fopen(path, "rb");
  assert_int_equal(fread(head, 1, 128, f), 128);
  fclose(f);
  assert_memory_equal(head, "\x93NUMPY\1\0\x76\0{'descr': '<i4', 'fortran_order': False, 'shape': (6,), }  ", 69);
  assert_int_equal(head[127], '\n');
  assert_false(npy_write("/nowhere/x.npy", SINTER_I32, 1, dim, data, why));
  assert_string_equal(why, "cannot write /nowhere/x.npy: there is no such file or folder");
  assert_true(npy_write(path, SINTER_BF16, 1, (int64_t[]){3}, (uint16_t[]){0x3F80, 0x7FC0, 1}, why));
  assert_true(npy_read(&a, path, why)); /* as ml_dtypes writes it */
  assert_true(a.dtype == SINTER_BF16 && a.count == 3 && ((uint16_t *)a.data)[0] == 0x3F80);
  npy_free(&a);
  char wide[NPY_HEAD];
  assert_int_equal(npy_head(wide, SINTER_BF16, 0, NULL) % 64, 0);
  assert_memory_equal(wide + 10, "{'descr': '<V2',", 16);
  assert_false(npy_write(path, 0, 1, dim, data, why));
}

static void converts(void **state) {
  (void)state;
  double d[2] = {0.1, -2};
  float f[2];
  assert_true(sinter_convert(SINTER_F32, f, SINTER_F64, d, 2, why));
  assert_true(f[0] == 0.1f && f[1] == -2);
  assert_true(sinter_convert(SINTER_F64, d, SINTER_F32, f, 2, why));
  assert_true(d[0] == (double)0.1f);
  uint16_t h[6] = {0x3c00, 0xc000, 1, 0x7c00, 0x7e00, 0x0400};
  float wide[6];
  assert_true(sinter_convert(SINTER_F32, wide, SINTER_F16, h, 6, why));
  assert_true(wide[0] == 1 && wide[1] == -2 && wide[2] == 0x1p-24f && isinf(wide[3]) && isnan(wide[4]) &&
              wide[5] == 0x1p-14f);
  int64_t i[3] = {0, 255, 256}, j[3];
  uint8_t u[3];
  assert_true(sinter_convert(SINTER_U8, u, SINTER_I64, i, 2, why));
  assert_int_equal(u[1], 255);
  assert_false(sinter_convert(SINTER_U8, u, SINTER_I64, i, 3, why));
  assert_string_equal(why, "its element 2 is 256, which is no u8");
  assert_true(sinter_convert(SINTER_I64, j, SINTER_U8, u, 2, why) && j[1] == 255);
  assert_true(sinter_convert(SINTER_F32, f, SINTER_U8, u, 2, why) && f[1] == 255);
  uint64_t big[1] = {UINT64_MAX};
  assert_false(sinter_convert(SINTER_I64, j, SINTER_U64, big, 1, why));
  int32_t large[1] = {16777217};
  assert_false(sinter_convert(SINTER_F32, f, SINTER_I32, large, 1, why));
  assert_true(sinter_convert(SINTER_F64, d, SINTER_I32, large, 1, why) && d[0] == 16777217);
  assert_false(sinter_convert(SINTER_I64, j, SINTER_F32, f, 1, why));
  assert_string_equal(why, "it holds f32, but i64 is expected");
  assert_false(sinter_convert(SINTER_BOOL, u, SINTER_I64, i, 2, why));
}

/* Both 16-bit floats: all patterns there and back, and the nearest of two neighbours, of equally near ones the even. */
static void converts_halves(void **state) {
  (void)state;
  for (uint32_t type = SINTER_F16; type <= SINTER_BF16; type++)
    for (uint32_t k = 0; k < 0x10000; k++) {
      uint16_t h = (uint16_t)k, next = (uint16_t)(k + 1), back;
      uint32_t infinity = type == SINTER_F16 ? 0x7C00 : 0x7F80;
      float x, y;
      double d;
      assert_true(sinter_convert(SINTER_F32, &x, type, &h, 1, why) && sinter_convert(SINTER_F64, &d, type, &h, 1, why));
      assert_true(isnan(x) ? isnan(d) : d == (double)x);
      assert_true(sinter_convert(type, &back, SINTER_F32, &x, 1, why));
      assert_true(isnan(x) ? (k & 0x7FFF) > infinity && (back & 0x7FFF) > infinity : back == h);
      if ((k & 0x7FFF) >= infinity - 1) continue;
      assert_true(sinter_convert(SINTER_F32, &y, type, &next, 1, why));
      float middle = (float)(((double)x + (double)y) / 2),
            beside[3] = {nextafterf(middle, x), middle, nextafterf(middle, y)};
      uint16_t want[3] = {h, k & 1 ? next : h, next}, got[3];
      assert_true(sinter_convert(type, got, SINTER_F32, beside, 3, why));
      assert_memory_equal(got, want, sizeof got);
    }
  float ends[4] = {65519.996f, 65520, 0x1.FEFFFEp127f, 0x1.FFp127f};
  uint16_t half[4], brain[4];
  assert_true(sinter_convert(SINTER_F16, half, SINTER_F32, ends, 4, why));
  assert_true(half[0] == 0x7BFF && half[1] == 0x7C00 && half[3] == 0x7C00);
  assert_true(sinter_convert(SINTER_BF16, brain, SINTER_F32, ends, 4, why));
  assert_true(brain[2] == 0x7F7F && brain[3] == 0x7F80);
  int64_t whole[2] = {2048, 2049}, few[2] = {-256, 257};
  assert_true(sinter_convert(SINTER_F16, half, SINTER_I64, whole, 1, why) && half[0] == 0x6800);
  assert_false(sinter_convert(SINTER_F16, half, SINTER_I64, whole, 2, why));
  assert_string_equal(why, "its element 1 is 2049, which is no f16");
  assert_true(sinter_convert(SINTER_BF16, brain, SINTER_I64, few, 1, why) && brain[0] == 0xC380);
  assert_false(sinter_convert(SINTER_BF16, brain, SINTER_I64, few, 2, why));
  assert_false(sinter_convert(SINTER_I64, whole, SINTER_BF16, brain, 1, why));
  assert_string_equal(why, "it holds bf16, but i64 is expected");
}

int main(void) {
  snprintf(path, sizeof path, "/tmp/test_npy_%d", (int)getpid());
  const struct CMUnitTest tests[] = {cmocka_unit_test(reads),     cmocka_unit_test(refused),
                                     cmocka_unit_test(mutated),   cmocka_unit_test(other_data),
                                     cmocka_unit_test(no_memory), cmocka_unit_test(writes),
                                     cmocka_unit_test(converts),  cmocka_unit_test(converts_halves)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
