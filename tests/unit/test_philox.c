#include "philox.h"
#include "str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void known_answers(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], want[4];
  } rows[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    uint32_t got[4];
    philox4x32(rows[r].counter, rows[r].key, got);
    for (int k = 0; k < 4; k++) assert_int_equal(got[k], rows[r].want[k]);
  }
}

/* What each number is made of, spelt out. */
static void draws(void **state) {
  (void)state;
  Draw d = {0x299f31d0a4093822u, hash_fnv32("net.drop"), 7, 11};
  const uint32_t key[2] = {0xa4093822, 0x299f31d0};
  for (uint32_t e = 0; e < 9; e++) {
    uint32_t four[4], two[4];
    philox4x32((const uint32_t[]){e / 4, hash_fnv32("net.drop"), 7, 11}, key, four);
    philox4x32((const uint32_t[]){e / 2, hash_fnv32("net.drop"), 7, 11}, key, two);
    uint32_t w = four[e % 4], a = two[2 * (e % 2)], b = two[2 * (e % 2) + 1];
    assert_int_equal(philox_word(&d, e), w);
    assert_true(philox_uniform(&d, DT_F32, e) == (w >> 8) / 16777216.0);
    assert_true(philox_uniform(&d, DT_F64, e) == (double)(((uint64_t)(a >> 5) << 26) + (b >> 6)) / 9007199254740992.0);
    assert_int_equal(philox_bits(&d, e), w >> 1);
  }
}

static void range_and_mean(void **state) {
  (void)state;
  Draw d = {1, 2, 0, 0};
  for (int t = 0; t < 2; t++) {
    double sum = 0, square = 0;
    int n = 100000;
    for (int e = 0; e < n; e++) {
      double u = philox_uniform(&d, t ? DT_F64 : DT_F32, (uint64_t)e);
      assert_true(u >= 0 && u < 1);
      assert_true(t || u == (double)(float)u);
      sum += u, square += u * u;
    }
    assert_true(sum / n > 0.497 && sum / n < 0.503);
    assert_true(square / n > 0.330 && square / n < 0.337);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers), cmocka_unit_test(draws),
                                     cmocka_unit_test(range_and_mean)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
