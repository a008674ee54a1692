/* Two models in one program, written against add.h and digits.h, as C and as C++: each with a runtime, threads and
 * messages of its own. Prints the first thing that is not as it should be and ends with 1. */
#include "add.h"
#include "digits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond)                                                                                                     \
  do                                                                                                                   \
    if (!(cond)) {                                                                                                     \
      printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                                                        \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  while (0)

enum { ROWS = 64, N = 100000 };

#ifdef __cplusplus
extern "C" {
#endif
/* For those who want more than the header has: threads, profile (runtime/abi.h, SinterQuery). */
const void *add_query_v1(void);
const void *digits_query_v1(void);
/* What the program calls so is not what the models call so inside. */
int sinter_rt_open(void);
int sinter_rt_open(void) { return 7; }
#ifdef __cplusplus
}
#endif

static float a[N], b[N], sum[N], x[ROWS * 64], probability[ROWS * 10];
static int64_t y[ROWS], label[ROWS];

static void add(add_context *c) {
  add_add_in in;
  add_add_out out;
  memset(sum, 0, sizeof sum);
  in.a = a, in.b = b, in.N = N, out.out = sum;
  MUST(add_add(c, &in, &out) == SINTER_OK);
  for (int i = 0; i < N; i++) MUST(sum[i] == a[i] + b[i]);
}

static float train(digits_context *c) {
  digits_step_in in;
  digits_step_out out;
  float loss = 0, accuracy = 0;
  in.x = x, in.y = y, in.B = ROWS, out.loss = &loss, out.accuracy = &accuracy;
  MUST(digits_step(c, &in, &out) == SINTER_OK);
  return loss;
}

static void predict(digits_context *c) {
  digits_predict_in in;
  digits_predict_out out;
  int right = 0;
  in.x = x, in.B = ROWS, out.probability = probability, out.label = label;
  MUST(digits_predict(c, &in, &out) == SINTER_OK);
  for (int i = 0; i < ROWS; i++) right += label[i] == y[i];
  MUST(right > ROWS * 9 / 10);
}

int main(void) {
  add_weights *aw;
  add_context *ac;
  add_dims most;
  digits_weights *dw;
  digits_context *dc;
  digits_dims batch;
  for (int i = 0; i < N; i++) a[i] = (float)i, b[i] = (float)(N - 2 * i);
  for (int i = 0; i < ROWS; i++) {
    y[i] = i % 10;
    for (int k = 0; k < 64; k++) x[i * 64 + k] = (float)(k % 10 == y[i] ? 14 : k * i % 3);
  }
  most.N = N, batch.B = ROWS;
  MUST(add_open(&aw, NULL, 1) == SINTER_OK && digits_open(&dw, NULL, 1) == SINTER_OK);
  MUST(add_new(&ac, aw, &most, NULL, 0) == SINTER_OK && digits_new(&dc, dw, &batch, NULL, 0) == SINTER_OK);
  float loss = 0, first = 0;
  for (int i = 0; i < 40; i++) { /* in turn: the threads of both are at work */
    loss = train(dc);
    add(ac);
    if (i == 0) first = loss;
  }
  MUST(loss < first / 4);
  predict(dc);
  add_add_in wrong;
  memset(&wrong, 0, sizeof wrong);
  MUST(add_add(ac, &wrong, NULL) == SINTER_ERROR_ARGUMENT && *add_message(ac) && !*digits_message(dc));
  MUST(add_query_v1() && digits_query_v1() && add_query_v1() != digits_query_v1() && sinter_rt_open() == 7);
  add_free(ac);
  add_close(aw);
  predict(dc); /* the end of the one is not the end of the other */
  digits_free(dc);
  digits_close(dw);
  printf("loss %.9g\n", (double)loss);
  return 0;
}
