/* A small artefact made by hand, without the compiler: its description is built by fake_build() and its kernels are
 * written in C, so that the runtime can be tested alone. Linked statically into test programs, or as a shared library
 * (FAKE_SHARED) that libsinter opens. Entries, in order:
 *   init      hidden: weight[i] = seed % 1000 + i, bias = 1, scratch = 7
 *   predict   (x: f32[N, 4]) -> y: f32[N, 3], by the derived `packed` (weight transposed); N from 1 to 1000
 *   train     (x: f32[N, 4], y: i64[N], lr: f32[]) -> loss: f32[]: fails when a y is not in 0..2, else weight -= lr,
 *             opt.m = loss, count += 1, by COMMIT steps; marked train, updates, random
 *   sum       (x: f32[N]) -> f32[]: partial sums, several stages and barriers, always by all threads
 *   gather    (t: f32[M], i: i64[N]) -> f32[N]: fails at indices outside 0..M-1
 *   noise     () -> f32[N]: seed + call number + element; random; reads no weights
 *   double    (inout c: f32[N]) where N % 2 == 0
 *   wait      (): updates; its kernel calls fake_hook
 *   look      (): reads; its kernel calls fake_hook
 *   evaluate  (x: f32[N, 4], y: i64[N]) -> {loss: f32[], accuracy: f32[]} */
#ifndef SINTER_TEST_FAKE_MODEL_H
#define SINTER_TEST_FAKE_MODEL_H
#include "abi.h"

enum {
  FAKE_INIT,
  FAKE_PREDICT,
  FAKE_TRAIN,
  FAKE_SUM,
  FAKE_GATHER,
  FAKE_NOISE,
  FAKE_DOUBLE,
  FAKE_WAIT,
  FAKE_LOOK,
  FAKE_EVALUATE,
  FAKE_ENTRIES
};
enum { FAKE_N, FAKE_M, FAKE_DIMS };

typedef struct FakePredictIn {
  const float *x;
  int64_t N;
} FakePredictIn;
typedef struct FakePredictOut {
  float *y;
} FakePredictOut;
typedef struct FakeTrainIn {
  const float *x;
  const int64_t *y;
  const float *lr;
  int64_t N;
} FakeTrainIn;
typedef struct FakeOut {
  float *out;
} FakeOut;
typedef struct FakeSumIn {
  const float *x;
  int64_t N;
} FakeSumIn;
typedef struct FakeGatherIn {
  const float *t;
  const int64_t *i;
  int64_t N, M;
} FakeGatherIn;
typedef struct FakeNoiseIn {
  int64_t N;
} FakeNoiseIn;
typedef struct FakeDoubleIn {
  float *c;
  int64_t N;
} FakeDoubleIn;
typedef struct FakeEvaluateIn {
  const float *x;
  const int64_t *y;
  int64_t N;
} FakeEvaluateIn;
typedef struct FakeEvaluateOut {
  float *loss, *accuracy;
} FakeEvaluateOut;

void fake_build(void);          /* fills sinter_model; call it first */
extern void (*fake_hook)(void); /* called by the kernels of wait and look if set */
extern unsigned char fake_description[1 << 16] __asm__("sinter_model"); /* to write what the runtime reads */
#endif
