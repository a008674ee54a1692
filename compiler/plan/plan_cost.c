/* What the steps of a plan move and compute. */
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

Sym plan_launch_bytes(const LoopModule *m, const Plan *p, const Step *s) {
  const Kernel *k = m->kernels.at[s->kernel];
  SymTab *t = m->ctx->syms;
  Arena *a = m->ctx->arena;
  bool *read = ARENA_ARRAY(a, bool, k->bufs.n), *write = ARENA_ARRAY(a, bool, k->bufs.n);
  uint8_t *seen = ARENA_ARRAY(a, uint8_t, p->bufs.n);
  Sym sum = sym_int(t, 0);
  loop_uses(k, k->stages.at[s->stage], read, write);
  for (int i = 0; i < s->nviews; i++) {
    int buf = s->views[i].buf;
    if (buf < 0) continue;
    int uses = (read[i] ? 1 : 0) | (write[i] ? 2 : 0), more = uses & ~seen[buf];
    seen[buf] |= (uint8_t)uses;
    for (; more; more &= more - 1) sum = sym_add(t, sum, plan_axis_bytes(t, &p->bufs.at[buf], -1));
  }
  return sum;
}

Sym plan_launch_flops(SymTab *t, const EntryPlan *e, const Step *s) {
  for (uint32_t i = 0; i < e->kernels.n; i++)
    for (uint32_t j = 0; j < e->kernels.at[i].stages.n; j++) {
      const LowStage *x = &e->kernels.at[i].stages.at[j];
      if (x->launch == s && x->flops) return x->flops;
    }
  return sym_int(t, 0);
}

bool plan_typical(void *plan, const char *name, int64_t *value) {
  const Plan *p = plan;
  for (uint32_t i = 0; i < p->dims.n; i++) {
    const Dim *d = &p->dims.at[i];
    if (strcmp(d->name, name)) continue;
    *value = d->hi <= 65536 ? d->hi : d->lo > 64 ? d->lo : 64;
    return true;
  }
  return false;
}
