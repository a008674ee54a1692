#include "kit.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kit_die(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputs("\n", stderr);
  exit(1);
}

int64_t kit_clamp(const SinterDim *d, int64_t value) { return value < d->lo ? d->lo : value > d->hi ? d->hi : value; }

void kit_open(Kit *kit, const char *path) {
  char why[SINTER_WHY];
  if (!sinter_artefact_open(&kit->art, path, why)) kit_die("%s", why);
  kit->api = kit->art.api;
  const SinterModel *m = kit->m = kit->api->model;
  if (m->dims.n > KIT_MANY) kit_die("%s has more than %d dimensions", path, KIT_MANY);
  for (uint32_t i = 0; i < m->dims.n; i++) kit->most[i] = 1;
  for (uint32_t i = 0; i < m->entries.n; i++) {
    const SinterEntry *e = SINTER_LIST(SinterEntry, m, m->entries) + i;
    const SinterDim *d = SINTER_LIST(SinterDim, m, e->dims);
    if (e->inputs.n + e->outputs.n > KIT_MANY) kit_die("%s has more than %d inputs and outputs", path, KIT_MANY);
    for (uint32_t k = 0; k < e->dims.n; k++) {
      int64_t *most = &kit->most[d[k].index], value = kit_clamp(&d[k], 64);
      if (*most < value) *most = value;
    }
  }
}

void kit_create(const Kit *kit, const char *device, uint64_t seed, SinterWeights **w, SinterContext **c) {
  const SinterApi *api = kit->api;
  if (api->open(w, NULL, seed) || api->to(*w, device) || api->create(c, *w, kit->most, NULL, 0))
    kit_die("%s", api->open_message(*w));
}

int64_t kit_elements(const SinterModel *m, const SinterPort *p, const int64_t *dims) {
  int64_t n = 1, d = 0;
  for (uint32_t i = 0; i < p->rank; i++) {
    if (!sinter_sym(m, p->dim[i], dims, &d) || d < 0) kit_die("the size of %s overflows", kit_label(m, p));
    n *= d;
  }
  return n;
}

const char *kit_label(const SinterModel *m, const SinterPort *p) {
  return p->name ? sinter_text(m, p->name) : "the result";
}

double kit_element(uint32_t dtype, const void *data, int64_t i) {
  double x = 0;
  float f;
  switch (dtype) {
  case SINTER_F32: return (double)((const float *)data)[i];
  case SINTER_F64: return ((const double *)data)[i];
  case SINTER_F16:
  case SINTER_BF16: {
    char why[SINTER_WHY];
    if (!sinter_convert(SINTER_F32, &f, dtype, (const uint16_t *)data + i, 1, why)) kit_die("%s", why);
    return (double)f;
  }
  case SINTER_I64:
  case SINTER_U64: return (double)((const int64_t *)data)[i];
  default: memcpy(&x, (const char *)data + i * sinter_dtype_size(dtype), sinter_dtype_size(dtype)); return x;
  }
}
