/* Bytes of buffers and work of kernels, as formulas; typical numbers. */
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

PlanCost plan_group_cost(SymTab *t, const EntryPlan *e, uint32_t k) {
  PlanCost c = {sym_int(t, 0), sym_int(t, 0)};
  for (uint32_t j = 0; j < e->kernels.at[k].stages.n; j++) {
    const Step *launch = e->kernels.at[k].stages.at[j].launch;
    if (!launch) continue;
    if (launch->flops) c.flops = sym_add(t, c.flops, launch->flops);
    c.bytes = sym_add(t, c.bytes, launch->bytes);
  }
  return c;
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
