/* Sizes of buffers, as formulas and as numbers. */
#include "plan.h"
#include <string.h>

Sym plan_axis_bytes(SymTab *t, const LoopBuf *f, int k) {
  Sym n = sym_int(t, (int64_t)dtype_size(f->dtype));
  for (int i = k + 1; i < f->rank; i++) {
    bool panels = f->layout == LAYOUT_PANEL && i == f->panel_axis;
    n = sym_mul(t, n, panels ? sym_round_up(t, f->dim[i], sym_int(t, f->width)) : f->dim[i]);
  }
  return n;
}

bool plan_typical(void *plan, const char *name, int64_t *value) {
  const Plan *p = plan;
  for (uint32_t i = 0; i < p->dims.n; i++) {
    const Dim *d = &p->dims.at[i];
    if (strcmp(d->name, name)) continue;
    *value = dim_typical(d);
    return true;
  }
  return false;
}
