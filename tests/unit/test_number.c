/* Numbers as text without a C library, against the C library's. */
#include "str.h"
#include "text.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *s) {
  *s += 0x9e3779b97f4a7c15u;
  uint64_t z = (*s ^ *s >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static double from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, 8);
  return x;
}

static void same_text(double x) {
  char own[NUMBER_ROOM], libc[64];
  for (int digits = 9; digits <= 17; digits += 8) {
    double y = digits == 9 ? (double)(float)x : x;
    assert_string_equal(number_text(own, y, digits), format_float(libc, y, digits));
    double back;
    assert_true(number_read(own, &back));
    if (!isnan(y)) assert_true(digits == 9 ? (float)back == (float)y : back == y);
  }
}

static void same_number(const char *text) {
  double own, libc = strtod(text, NULL);
  assert_true(number_read(text, &own));
  if (memcmp(&own, &libc, 8) != 0) fail_msg("%s is read as %.17g, not %.17g", text, own, libc);
}

static void writes(void **state) {
  (void)state;
  static const double some[] = {0,
                                -0.0,
                                1,
                                0.1,
                                -2.5,
                                1e9,
                                999999999,
                                123456789.125,
                                1e-4,
                                9.99e-5,
                                5e-324,
                                1e22,
                                1e23,
                                1.7976931348623157e308,
                                2.2250738585072014e-308,
                                0x1p-1,
                                16777217,
                                0.3333f,
                                1.0 / 3.0,
                                9.5e-5,
                                0.00009999999,
                                99999999999.0};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) same_text(some[i]), same_text(-some[i]);
  same_text(INFINITY), same_text(-INFINITY), same_text(NAN);
  uint64_t s = 1;
  for (int i = 0; i < 20000; i++) {
    same_text(from_bits(next_random(&s)));
    same_text((double)(int64_t)next_random(&s) * 0x1p-60);
    same_text((double)(next_random(&s) % 1000000) / 1000);
  }
}

static void reads(void **state) {
  (void)state;
  static const char *const some[] = {"0",
                                     "-0",
                                     "+1",
                                     "1.",
                                     ".5",
                                     "1e5",
                                     "1E-5",
                                     "00012.500",
                                     "1e400",
                                     "-1e400",
                                     "1e-400",
                                     "9007199254740993",
                                     "9007199254740992.99999999999999999999999999",
                                     "9007199254740993.00000000000000000000000000000000000000000000001",
                                     "2.4703282292062327e-324",
                                     "2.4703282292062328e-324",
                                     "4.9e-324",
                                     "2.2250738585072011e-308",
                                     "2.2250738585072014e-308",
                                     "1.7976931348623158e308",
                                     "1.7976931348623159e308",
                                     "179769313486231580793e289",
                                     "1e99999999999",
                                     "1e-99999999999",
                                     "0.00000000000000000000000000000000000000000000000000000000000000001e70",
                                     "inf",
                                     "-inf",
                                     "Infinity"};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) same_number(some[i]);
  uint64_t s = 2;
  char text[2048];
  for (int i = 0; i < 20000; i++) {
    snprintf(text, sizeof text, "%.*e", (int)(next_random(&s) % 30), from_bits(next_random(&s) % 0x7ff0000000000000u));
    same_number(text);
    snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)next_random(&s) >> next_random(&s) % 64,
             (unsigned long long)next_random(&s), (int)(next_random(&s) % 700) - 350);
    same_number(text);
  }
  for (int i = 0; i < 300; i++) { /* half way between two numbers, and the least bit above: all digits count */
    double x = from_bits(next_random(&s) % 0x7fe0000000000000u >> (i % 3 == 0 ? 12 : 0));
    long double half = ((long double)x + nextafter(x, INFINITY)) / 2;
    int n = snprintf(text, sizeof text, "%.1100Lf", half);
    same_number(text);
    text[n] = '1', text[n + 1] = 0;
    same_number(text);
  }
  double unused;
  assert_true(number_read("nan", &unused) && isnan(unused));
  static const char *const wrong[] = {"",   "-",   ".",    "e5",    "1e",  "1e+",     "1x",  " 1",
                                      "1 ", "--1", "1..2", "0x1p3", "1_0", "infinit", "nano"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(number_read(wrong[i], &unused));
}

static void integers(void **state) {
  (void)state;
  int64_t v;
  assert_true(number_read_int("-9223372036854775808", INT64_MIN, INT64_MAX, &v) && v == INT64_MIN);
  assert_true(number_read_int("+9223372036854775807", INT64_MIN, INT64_MAX, &v) && v == INT64_MAX);
  static const char *const wrong[] = {"", "-", "9223372036854775808", "-9223372036854775809", "1.0", " 1", "1 ", "0x1"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_false(number_read_int(wrong[i], INT64_MIN, INT64_MAX, &v));
  assert_false(number_read_int("5", 0, 4, &v));
}

static void texts(void **state) {
  (void)state;
  Text t = {0};
  text_printf(&t, "%s|%-4s|%.2s|%.*s|%c|%d|%3u|%x|%lld|%llu|%zu|%%", "a", "b", "cde", 1, "fgh", 'i', -7, 8u, 255u,
              (long long)INT64_MIN, (unsigned long long)UINT64_MAX, (size_t)9);
  assert_string_equal(t.at, "a|b   |cd|f|i|-7|  8|ff|-9223372036854775808|18446744073709551615|9|%");
  text_free(&t);
  char small[8];
  text_into(small, sizeof small, "%s%d", "12345", 6789);
  assert_string_equal(small, "1234567");
  static const char *const words[] = {"predict", "step", "evaluate"};
  assert_string_equal(text_nearest("predcit", words, 3), "predict");
  assert_null(text_nearest("quite different", words, 3));
  for (int i = 0; i < 3; i++) assert_string_equal(text_nearest(words[i], words, 3), words[i]);
  assert_ptr_equal(text_nearest("stp", words, 3), str_nearest("stp", words, 3));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(writes), cmocka_unit_test(reads), cmocka_unit_test(integers),
                                     cmocka_unit_test(texts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
