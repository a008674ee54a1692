/* call_both ARTEFACT.so: every entry on the CPU and on the GPU, with several sizes and data: the same statuses and
 * sentences, outputs, states; says what differs, and ends with 1 then. */
#include "kit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sums differ in their order: by this much of the largest element at most, by type, or of the inputs, which are up
 * to 2. */
static double bound(uint32_t dtype) {
  switch (dtype) {
  case SINTER_F32: return 2e-5;
  case SINTER_F64: return 1e-13;
  case SINTER_F16: return 2e-3;
  case SINTER_BF16: return 1.6e-2;
  default: return 0;
  }
}

/* "" or what differs. */
static double rough; /* of 16 bits, where an entry reads or writes such: what it has of 32 is no better */
static const char *differs(const char *name, uint32_t dtype, const void *a, const void *b, int64_t n) {
  double most = bound(dtype) && bound(dtype) < rough ? rough : bound(dtype);
  static char text[512];
  uint32_t size = sinter_dtype_size(dtype);
  double largest = 1;
  for (int64_t i = 0; i < n && most; i++)
    if (isfinite(kit_element(dtype, a, i))) largest = fmax(largest, fabs(kit_element(dtype, a, i)));
  for (int64_t i = 0; i < n; i++) {
    if (!memcmp((const char *)a + i * size, (const char *)b + i * size, size)) continue;
    double x = kit_element(dtype, a, i), y = kit_element(dtype, b, i);
    if (most && (x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= most * largest)) continue;
    snprintf(text, sizeof text, "element %lld of %s is %.9g on the CPU, %.9g on the GPU (largest: %g)", (long long)i,
             name, x, y, largest);
    return text;
  }
  return "";
}

#define MUST(x)                                                                                                        \
  do {                                                                                                                 \
    if (!(x)) kit_die("%s:%d: %s does not hold", __FILE__, __LINE__, #x);                                              \
  } while (0)

/* ---- a call on both ---- */

static uint64_t state = 88172645463325252u;
static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

/* Integers: 0 and 1, up to 2, or also what no index may be. */
enum { TAME, SMALL, WILD, KINDS };
static void fill(char *at, uint32_t dtype, int64_t n, int kind) {
  for (int64_t i = 0; i < n; i++, at += sinter_dtype_size(dtype)) {
    uint64_t x = draw();
    int64_t whole = (int64_t)(kind == TAME || dtype == SINTER_BOOL ? x & 1 : kind == SMALL ? x % 3 : x % 9 - 3);
    float f = (float)((int64_t)(x >> 40) - (1 << 23)) * 0x1p-22f;
    double g = (double)f;
    char why[SINTER_WHY];
    if (dtype == SINTER_F64)
      memcpy(at, &g, 8);
    else if (dtype == SINTER_F32)
      memcpy(at, &f, 4);
    else if (bound(dtype))
      MUST(sinter_convert(dtype, at, SINTER_F32, &f, 1, why));
    else
      memcpy(at, &whole, sinter_dtype_size(dtype));
  }
}

typedef struct Side {
  SinterWeights *w;
  SinterContext *c;
  char *in, *out; /* records */
} Side;

enum { MOST = 1 << 22 }; /* elements of an input or output: else it is left out */
/* Returns whether the call was done, and was the same on both. */
static bool call_both(const SinterApi *api, Side side[2], uint32_t index, const int64_t *dims, int kind) {
  const SinterModel *m = api->model;
  const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + index;
  const SinterPort *in = SINTER_LIST(SinterPort, m, e->inputs), *out = SINTER_LIST(SinterPort, m, e->outputs);
  const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
  const char *entry = sinter_text(m, e->name), *what = "";
  void *data[2][KIT_MANY] = {{0}};
  int status[2];
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++)
    if (kit_elements(m, i < e->inputs.n ? &in[i] : &out[i - e->inputs.n], dims) > MOST) return false;
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++) {
    const SinterPort *p = i < e->inputs.n ? &in[i] : &out[i - e->inputs.n];
    int64_t n = kit_elements(m, p, dims);
    size_t bytes = (size_t)n * sinter_dtype_size(p->dtype);
    for (int k = 0; k < 2; k++) {
      data[k][i] = calloc(1, bytes + 64);
      char *record = i < e->inputs.n ? side[k].in : side[k].out;
      memcpy(record + p->field, &data[k][i], sizeof(void *));
    }
    if (i < e->inputs.n) fill(data[0][i], p->dtype, n, kind), memcpy(data[1][i], data[0][i], bytes);
  }
  for (int k = 0; k < 2; k++) {
    for (uint32_t i = 0; i < e->dims.n; i++) memcpy(side[k].in + d[i].field, &dims[d[i].index], 8);
    status[k] = api->call(side[k].c, index, side[k].in, side[k].out);
  }
  if (status[0] != status[1] || strcmp(api->message(side[0].c), api->message(side[1].c)))
    kit_die("%s: status %d (%s) on the CPU, %d (%s) on the GPU", entry, status[0], api->message(side[0].c), status[1],
            api->message(side[1].c));
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n && !*what && !status[0]; i++) {
    const SinterPort *p = i < e->inputs.n ? &in[i] : &out[i - e->inputs.n];
    what = differs(kit_label(m, p), p->dtype, data[0][i], data[1][i], kit_elements(m, p, dims));
  }
  for (uint32_t i = 0; i < e->inputs.n + e->outputs.n; i++) free(data[0][i]), free(data[1][i]);
  if (*what) kit_die("%s: %s", entry, what);
  return !status[0];
}

static void loosen(uint32_t dtype) {
  if ((dtype == SINTER_F16 || dtype == SINTER_BF16) && bound(dtype) > rough) rough = bound(dtype);
}

static void same_states(const SinterApi *api, Side side[2], const char *entry) {
  const SinterCell *c = SINTER_LIST(SinterCell, api->model, api->model->cells);
  for (uint32_t i = 0; i < api->model->cells.n; i++) {
    const char *name = sinter_text(api->model, c[i].name);
    void *a = malloc(c[i].bytes + 1), *b = malloc(c[i].bytes + 1);
    MUST((api->get(side[0].w, name, a, c[i].bytes) | api->get(side[1].w, name, b, c[i].bytes)) == 0);
    const char *what = differs(name, c[i].dtype, a, b, (int64_t)(c[i].bytes / sinter_dtype_size(c[i].dtype)));
    if (*what) kit_die("after %s: %s", entry, what);
    MUST((api->set(side[1].w, name, a, c[i].bytes)) == 0); /* differences do not add up */
    free(a), free(b);
  }
}

/* ---- a program ---- */

static void try_entries(const char *path) {
  static const int64_t sizes[] = {1, 7, 33, 64, 7};
  Kit kit;
  Side side[2] = {{0}};
  kit_open(&kit, path);
  const SinterApi *api = kit.api;
  const SinterModel *m = kit.m;
  int64_t dims[KIT_MANY];
  for (int k = 0; k < 2; k++) {
    kit_create(&kit, k ? "cuda" : "cpu", 5, &side[k].w, &side[k].c);
    side[k].in = calloc(1, 4096), side[k].out = calloc(1, 4096);
  }
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + i;
    const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
    int done = 0;
    rough = 0;
    int kinds = 1; /* of whole numbers, where there are any */
    for (uint32_t k = 0; k < e->inputs.n; k++) {
      uint32_t dtype = SINTER_LIST(SinterPort, m, e->inputs)[k].dtype;
      loosen(dtype);
      if (!bound(dtype) && dtype != SINTER_BOOL) kinds = KINDS;
    }
    for (uint32_t k = 0; k < e->outputs.n; k++) loosen(SINTER_LIST(SinterPort, m, e->outputs)[k].dtype);
    for (uint32_t k = 0; k < m->cells.n; k++) loosen(SINTER_LIST(SinterCell, m, m->cells)[k].dtype);
    if (e->flags & SINTER_ENTRY_HIDDEN) continue;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
      for (uint32_t k = 0; k < m->dims.n; k++) dims[k] = 0;
      for (uint32_t k = 0; k < e->dims.n; k++) {
        dims[d[k].index] = kit_clamp(&d[k], sizes[(s + k) % 5]);
      }
      for (int kind = 0; kind < kinds; kind++) done += call_both(api, side, i, dims, kind);
      same_states(api, side, sinter_text(m, e->name));
    }
    if (!done) kit_die("%s: it was always refused", sinter_text(m, e->name));
  }
  for (int k = 0; k < 2; k++) {
    api->free(side[k].c), api->close(side[k].w);
    free(side[k].in), free(side[k].out);
  }
  sinter_artefact_close(&kit.art);
}

int main(int argc, char **argv) {
  if (argc != 2) kit_die("usage: call_both ARTEFACT.so");
  try_entries(argv[1]);
  return 0;
}
