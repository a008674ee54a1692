#include "bench_parts.h"
#include <math.h>
#include <stdlib.h>

enum { PRODUCTS = 512, ROWS = 16 };

static int64_t draw(int64_t below) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (int64_t)(state % (uint64_t)below);
}

static double at(const BenchTensor *t, int64_t i) { return kit_element(t->dtype, t->host, i); }

typedef struct Distance {
  double apart, all;
} Distance;
static void take(Distance *d, double is, double should) {
  d->apart += (is - should) * (is - should);
  d->all += should * should;
}
static double distance(Distance d) { return sqrt(d.apart / d.all); }

double check_product(const BenchTensor *a, const BenchTensor *b, const BenchTensor *y) {
  int64_t rows = y->dim[0], columns = y->dim[1], terms = a->dim[1];
  Distance d = {0};
  for (int n = 0; n < PRODUCTS; n++) {
    int64_t i = draw(rows), j = draw(columns);
    double sum = 0;
    for (int64_t k = 0; k < terms; k++) sum += at(a, i * terms + k) * at(b, k * columns + j);
    take(&d, at(y, i * columns + j), sum);
  }
  return distance(d);
}

double check_attention(const BenchTensor *q, const BenchTensor *k, const BenchTensor *v, const BenchTensor *y,
                       bool causal) {
  int64_t heads = q->dim[0] * q->dim[1], rows = q->dim[2], width = q->dim[3];
  double *weight = malloc((size_t)rows * sizeof *weight);
  Distance d = {0};
  if (!weight) kit_die("no memory");
  for (int n = 0; n < ROWS; n++) {
    int64_t head = draw(heads) * rows, row = draw(rows), seen = causal ? row + 1 : rows;
    double all = 0;
    for (int64_t s = 0; s < seen; s++) {
      double score = 0;
      for (int64_t e = 0; e < width; e++) score += at(q, (head + row) * width + e) * at(k, (head + s) * width + e);
      all += weight[s] = exp(score / sqrt((double)width));
    }
    for (int64_t e = 0; e < width; e++) {
      double sum = 0;
      for (int64_t s = 0; s < seen; s++) sum += weight[s] / all * at(v, (head + s) * width + e);
      take(&d, at(y, (head + row) * width + e), sum);
    }
  }
  free(weight);
  return distance(d);
}
