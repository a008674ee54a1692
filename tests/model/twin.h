/* What the comparisons with PyTorch share: stored arrays, how near is near, every level with several threads. */
#ifndef TWIN_H
#define TWIN_H
#include "sinter.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

/* PREFIXNAME.npy, which must be of this type and number. */
static NpyArray read_array(const char *prefix, const char *name, uint32_t dtype, int64_t count) {
  char path[128], why[SINTER_WHY];
  NpyArray a;
  snprintf(path, sizeof path, "%s%s.npy", prefix, name);
  if (!npy_read(&a, path, why)) fail_msg("%s", why);
  assert_int_equal(a.dtype, dtype);
  assert_int_equal(a.count, count);
  return a;
}

static double largest(const NpyArray *a) {
  double most = 0;
  for (int64_t i = 0; i < a->count; i++) most = fmax(most, fabs(((double *)a->data)[i]));
  return most;
}

/* max|a - b| <= 1e-5 max(max|b|, 1e-3 of the largest of all gradients). */
static inline void assert_near(const char *what, const float *got, const NpyArray *want, double all) {
  double limit = 1e-5 * fmax(largest(want), 1e-3 * all);
  for (int64_t i = 0; i < want->count; i++) {
    double w = ((double *)want->data)[i];
    if (!(fabs((double)got[i] - w) <= limit))
      fail_msg("%s[%lld] is %.9g, PyTorch has %.9g; %.1e may differ", what, (long long)i, (double)got[i], w, limit);
  }
}

/* The weights that twin.py makes in start(): of the parameter at this place in its model, with so many inputs to a
 * layer; 0: of a normalization, around `base`. The caller frees them. */
static inline float *start_weight(int place, int count, int inputs, double base) {
  float *p = malloc((size_t)count * sizeof *p);
  uint32_t draw = (uint32_t)place + 1;
  for (int k = 0; k < count; k++) {
    draw = draw * 1664525u + 1013904223u;
    double value = (draw >> 8) / 8388608.0 - 1;
    p[k] = (float)(inputs ? value / sqrt(inputs) : 0.5 * value + base);
  }
  return p;
}

/* What every test gets as its state. */
typedef struct Setting {
  const char *level, *threads;
} Setting;

/* v4 runs only where the processor has it: the one thing that a machine may leave out, by name. */
static void leave_out(const Setting *on) {
  print_message("skipped: this processor does not run %s\n", on->level);
  skip(); /* not a failure: CI machines differ in their processors */
}

/* Sets the level and the number of threads; an artefact opened after it goes by them. */
static void apply(const Setting *on) {
  setenv("SINTER_CPU", on->level, 1);
  setenv("SINTER_THREADS", on->threads, 1);
}

typedef struct TwinTest {
  const char *name; /* the last row has none */
  CMUnitTestFunction run;
} TwinTest;

/* Every test on every setting. */
static int run_twin(const char *group, const TwinTest *test) {
  static const Setting settings[] = {{"v2", "1"}, {"v3", "1"}, {"v4", "1"}, {"v2", "2"}, {"v3", "3"}, {"v4", "7"}};
  enum { SETTINGS = sizeof settings / sizeof *settings, MOST = 8 };
  static char name[SETTINGS * MOST][64];
  struct CMUnitTest all[SETTINGS * MOST];
  size_t n = 0;
  for (size_t s = 0; s < SETTINGS; s++)
    for (const TwinTest *t = test; t->name; t++, n++) {
      const Setting *on = &settings[s];
      assert_true(n < SETTINGS * MOST);
      snprintf(name[n], sizeof name[n], "%s on %s, %s threads", t->name, on->level, on->threads);
      all[n] = (struct CMUnitTest){name[n], t->run, NULL, NULL, (void *)(uintptr_t)on};
    }
  return _cmocka_run_group_tests(group, all, n, NULL, NULL);
}
#endif
