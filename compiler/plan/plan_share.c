/* Kernels that are the same but for names are one: layers of one shape need one kernel's code. Strategies build alike
 * from what is alike, so that a comparison of the structures in their order is enough. */
#include "planner.h"
#include <string.h>

static bool same_stmts(const Stmt *a, const Stmt *b) {
  for (; a && b; a = a->next, b = b->next) {
    if (a->kind != b->kind || a->ref != b->ref || a->nindex != b->nindex || a->value != b->value ||
        a->mask != b->mask || a->lo != b->lo || a->hi != b->hi || a->step != b->step || a->mode != b->mode ||
        a->width != b->width || a->tail != b->tail || a->code != b->code || a->scope != b->scope || a->op != b->op ||
        memcmp(a->index, b->index, (size_t)a->nindex * sizeof(Ex)))
      return false;
    if (!same_stmts(a->body, b->body) || !same_stmts(a->other, b->other)) return false;
  }
  return !a && !b;
}

static bool same_stage(const Stage *a, const Stage *b) {
  size_t n = (size_t)a->naxes;
  if (a->threads != b->threads || a->nthread != b->nthread) return false;
  for (int i = 0; i < a->nthread; i++)
    if (a->thread[i] != b->thread[i] || a->thread_extent[i] != b->thread_extent[i]) return false;
  return a->naxes == b->naxes && !strcmp(a->name, b->name) && !memcmp(a->axis, b->axis, n * sizeof *a->axis) &&
         !memcmp(a->extent, b->extent, n * sizeof *a->extent) && a->segmented == b->segmented &&
         a->segment_buf == b->segment_buf && a->chunk == b->chunk && same_stmts(a->body, b->body);
}

static bool same_buf(const LoopBuf *a, const LoopBuf *b) {
  size_t n = (size_t)a->rank;
  return a->kind == b->kind && a->dtype == b->dtype && a->list == b->list && a->rank == b->rank &&
         !memcmp(a->dim, b->dim, n * sizeof(Sym)) && a->layout == b->layout &&
         (a->layout != LAYOUT_STRIDES || !memcmp(a->stride, b->stride, n * sizeof(Sym))) &&
         a->panel_axis == b->panel_axis && a->width == b->width && a->align == b->align && a->buffers == b->buffers &&
         a->inplace == b->inplace;
}

static bool same_expr(const Expr *a, const Expr *b) {
  return a->op == b->op && a->dtype == b->dtype && a->nin == b->nin && a->lanes == b->lanes && a->in == b->in &&
         a->ref == b->ref && a->mask == b->mask && a->other == b->other && a->u.i == b->u.i;
}

static bool same_var(const LoopVar *a, const LoopVar *b) {
  return a->kind == b->kind && a->dtype == b->dtype && a->lanes == b->lanes && a->value == b->value &&
         a->mode == b->mode && a->tail == b->tail && a->lo == b->lo && a->step == b->step && a->scope == b->scope;
}

static bool same_reg(const LoopReg *a, const LoopReg *b) {
  return a->dtype == b->dtype && a->lanes == b->lanes && a->rank == b->rank &&
         !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim);
}

static bool same_dim(const Dim *a, const Dim *b) {
  return a->var == b->var && !strcmp(a->name, b->name) && a->lo == b->lo && a->hi == b->hi;
}

static bool same_kernel(const Kernel *a, const Kernel *b) {
  if (a->nparams != b->nparams || a->dims.n != b->dims.n || a->bufs.n != b->bufs.n || a->facts.n != b->facts.n ||
      a->stages.n != b->stages.n || a->ex.n != b->ex.n || a->arg.n != b->arg.n || a->vars.n != b->vars.n ||
      a->regs.n != b->regs.n)
    return false;
  for (uint32_t i = 0; i < a->dims.n; i++)
    if (!same_dim(&a->dims.at[i], &b->dims.at[i])) return false;
  for (uint32_t i = 0; i < a->bufs.n; i++)
    if (!same_buf(&a->bufs.at[i], &b->bufs.at[i])) return false;
  for (uint32_t i = 0; i < a->facts.n; i++)
    if (a->facts.at[i] != b->facts.at[i]) return false;
  for (uint32_t i = 1; i < a->ex.n; i++)
    if (!same_expr(&a->ex.at[i], &b->ex.at[i])) return false;
  for (uint32_t i = 0; i < a->arg.n; i++)
    if (a->arg.at[i] != b->arg.at[i]) return false;
  for (uint32_t i = 0; i < a->vars.n; i++)
    if (!same_var(&a->vars.at[i], &b->vars.at[i])) return false;
  for (uint32_t i = 0; i < a->regs.n; i++)
    if (!same_reg(&a->regs.at[i], &b->regs.at[i])) return false;
  for (uint32_t i = 0; i < a->stages.n; i++)
    if (!same_stage(a->stages.at[i], b->stages.at[i])) return false;
  return true;
}

void plan_share(Planner *p, uint32_t first_kernel, uint32_t first_plan) {
  LoopModule *m = p->level->module;
  uint32_t n = m->kernels.n, kept = first_kernel;
  int *to = ARENA_ARRAY(p->arena, int, n + 1);
  for (uint32_t k = 0; k < first_kernel; k++) to[k] = (int)k;
  for (uint32_t k = first_kernel; k < n; k++) {
    uint32_t j = 0;
    while (j < kept && !same_kernel(m->kernels.at[j], m->kernels.at[k])) j++;
    if (j == kept) m->kernels.at[kept++] = m->kernels.at[k];
    to[k] = (int)j;
  }
  m->kernels.n = kept;
  for (uint32_t i = first_plan; i < m->plans.n; i++)
    for (Step *s = m->plans.at[i]->steps; s; s = s->next)
      if (s->kind == STEP_LAUNCH) s->kernel = to[s->kernel];
  for (uint32_t i = 0; i < p->out->kernels.n; i++) p->out->kernels.at[i].kernel = to[p->out->kernels.at[i].kernel];
}
