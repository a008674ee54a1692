/* A program written against digits.h alone: trains on made-up digits, predicts, saves, opens what it saved, and makes
 * the mistakes that a caller can make. Prints the first thing that is not as it should be and ends with 1. Usage:
 * digits FILE.safetensors (is written) */
#include "digits.h"
#include <math.h>
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

enum { BATCH = 64, STEPS = 80, WEIGHTS = 256 * 64 };

static uint32_t next(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

/* Digit k lights its own pixels, with noise. */
static void batch(float *x, int64_t *y, int rows, uint32_t seed) {
  for (int i = 0; i < rows; i++) {
    y[i] = (int64_t)(next(&seed) >> 16) % 10;
    for (int p = 0; p < 64; p++) {
      uint32_t own = (uint32_t)(y[i] * 64 + p) * 2654435761u;
      x[i * 64 + p] = (own >> 28 < 6 ? 12.0f : 1.0f) + (float)(next(&seed) >> 30);
    }
  }
}

static float evaluate(digits_context *c, const float *x, const int64_t *y, int64_t rows, float *accuracy) {
  float loss = -1;
  MUST(digits_evaluate(c, &(digits_evaluate_in){.x = x, .y = y, .B = rows},
                       &(digits_evaluate_out){.loss = &loss, .accuracy = accuracy}) == SINTER_OK);
  return loss;
}

/* Returns the loss before the first step. */
static float train(digits_context *c) {
  float x[BATCH * 64], loss = 0, accuracy = 0, first = 0;
  int64_t y[BATCH];
  for (uint32_t step = 0; step < STEPS; step++) {
    batch(x, y, BATCH, step + 1);
    MUST(digits_step(c, &(digits_step_in){.x = x, .y = y, .B = BATCH},
                     &(digits_step_out){.loss = &loss, .accuracy = &accuracy}) == SINTER_OK);
    if (step == 0) first = loss;
  }
  MUST(loss < first / 2);
  MUST(accuracy > 0.8f);
  return first;
}

static void predict(digits_context *c, int64_t rows) {
  float x[BATCH * 64], p[BATCH * 10];
  int64_t y[BATCH], label[BATCH], right = 0;
  batch(x, y, BATCH, 1000);
  MUST(digits_predict(c, &(digits_predict_in){.x = x, .B = rows},
                      &(digits_predict_out){.probability = p, .label = label}) == SINTER_OK);
  for (int64_t i = 0; i < rows; i++) {
    float sum = 0, best = 0;
    for (int k = 0; k < 10; k++) {
      sum += p[i * 10 + k];
      best = fmaxf(best, p[i * 10 + k]);
    }
    MUST(fabsf(sum - 1) < 1e-5f);
    MUST(label[i] >= 0 && label[i] < 10 && p[i * 10 + label[i]] == best);
    right += label[i] == y[i];
  }
  MUST(right * 10 >= rows * 8);
}

static void refused(digits_weights *w, digits_context *c) {
  static float before[WEIGHTS], after[WEIGHTS];
  float x[BATCH * 64], loss, accuracy;
  int64_t y[BATCH];
  batch(x, y, BATCH, 7);
  MUST(digits_get(w, "fc1.weight", before, sizeof before) == SINTER_OK);
  MUST(digits_get(w, "fc1.weight", before, 4) != SINTER_OK);
  y[BATCH - 1] = 10; /* there is no such digit */
  MUST(digits_step(c, &(digits_step_in){.x = x, .y = y, .B = BATCH},
                   &(digits_step_out){.loss = &loss, .accuracy = &accuracy}) == SINTER_ERROR_INDEX);
  MUST(strstr(digits_message(c), "loss.sir") || strstr(digits_message(c), "digits.sir"));
  y[BATCH - 1] = -11;
  MUST(digits_step(c, &(digits_step_in){.x = x, .y = y, .B = BATCH},
                   &(digits_step_out){.loss = &loss, .accuracy = &accuracy}) == SINTER_ERROR_INDEX);
  MUST(digits_step(c, &(digits_step_in){.x = x, .y = y, .B = 257},
                   &(digits_step_out){.loss = &loss, .accuracy = &accuracy}) == SINTER_ERROR_SHAPE);
  MUST(digits_step(c, &(digits_step_in){.x = x, .B = BATCH},
                   &(digits_step_out){.loss = &loss, .accuracy = &accuracy}) == SINTER_ERROR_ARGUMENT);
  MUST(digits_get(w, "fc1.weight", after, sizeof after) == SINTER_OK);
  MUST(memcmp(before, after, sizeof before) == 0); /* nothing was changed */
}

int main(int argc, char **argv) {
  MUST(argc == 2);
  digits_weights *w = NULL, *again = NULL;
  digits_context *c = NULL, *d = NULL;
  digits_dims most = {.B = BATCH};
  MUST(digits_open(&w, NULL, 3) == SINTER_OK);
  MUST(digits_new(&c, w, &most, NULL, 0) == SINTER_OK);
  MUST(fabsf(train(c) - 2.3f) < 0.2f); /* ln 10: it knows nothing */
  predict(c, 1);
  predict(c, 13);
  predict(c, BATCH);
  refused(w, c);
  float x[BATCH * 64], accuracy, accuracy2;
  int64_t y[BATCH];
  batch(x, y, BATCH, 1000);
  float loss = evaluate(c, x, y, BATCH, &accuracy);
  MUST(digits_save(w, argv[1]) == SINTER_OK);
  MUST(digits_open(&again, argv[1], 0) == SINTER_OK);
  MUST(digits_new(&d, again, &most, NULL, 0) == SINTER_OK);
  MUST(evaluate(d, x, y, BATCH, &accuracy2) == loss && accuracy2 == accuracy); /* bit for bit */
  MUST(train(d) < 0.5f);                                                       /* goes on where it was */
  digits_free(c);
  digits_free(d);
  digits_close(w);
  digits_close(again);
  puts("digits: all as the header says");
  return 0;
}
