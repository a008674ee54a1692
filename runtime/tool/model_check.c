/* Every record of a description, before anything trusts it. */
#include "sinter.h"
#include <stdio.h>
#include <string.h>

typedef struct Check {
  const SinterModel *m;
  uint64_t bytes;
  char *why;
  const char *where; /* the list that is being checked */
} Check;

static bool wrong(const Check *c, const char *what) {
  snprintf(c->why, SINTER_WHY, "the description of the model is damaged: %s of %s", what, c->where);
  return false;
}

static bool list(Check *c, SinterRef r, size_t size, const char *where) {
  c->where = where;
  if (r.n == 0) return true;
  return (r.at % 8 == 0 && r.at >= sizeof(SinterModel) && r.at <= c->bytes && r.n <= (c->bytes - r.at) / size) ||
         wrong(c, "the place");
}

static bool text(const Check *c, SinterText t, bool needed) {
  if (t == 0) return !needed || wrong(c, "a missing name");
  return (t >= sizeof(SinterModel) && t < c->bytes && memchr((const char *)c->m + t, 0, c->bytes - t)) ||
         wrong(c, "a text");
}

static bool sym(const Check *c, SinterSym s) {
  if (s.n == 0) return true;
  if (s.at % 8 || s.at < sizeof(SinterModel) || s.at > c->bytes || s.n > (c->bytes - s.at) / sizeof(SinterCode))
    return wrong(c, "a formula");
  const SinterCode *code = sinter_at(c->m, s.at);
  int depth = 0;
  for (uint32_t i = 0; i < s.n; i++) {
    if (code[i].op < SINTER_SYM_INT || code[i].op > SINTER_SYM_NE) return wrong(c, "a formula");
    if (code[i].op == SINTER_SYM_VAR && (code[i].operand < 0 || code[i].operand >= c->m->dims.n))
      return wrong(c, "a formula");
    depth += code[i].op <= SINTER_SYM_VAR ? 1 : -1;
    if (depth < 1 || depth > 64) return wrong(c, "a formula");
  }
  return depth == 1 || wrong(c, "a formula");
}

static bool dtype(const Check *c, uint32_t d) { return sinter_dtype_size(d) || wrong(c, "an element type"); }

static bool cells(Check *c) {
  const SinterCell *cell = SINTER_LIST(SinterCell, c->m, c->m->cells);
  if (!list(c, c->m->cells, sizeof *cell, "the parameters")) return false;
  for (uint32_t i = 0; i < c->m->cells.n; i++) {
    const SinterCell *e = &cell[i];
    if (!text(c, e->name, true) || !text(c, e->doc, false) || !dtype(c, e->dtype)) return false;
    if (e->kind > 2 || e->rank > SINTER_MAX_RANK) return wrong(c, "the kind or rank");
    int64_t bytes = sinter_dtype_size(e->dtype);
    for (uint32_t k = 0; k < e->rank; k++)
      if (e->dim[k] < 0 || __builtin_mul_overflow(bytes, e->dim[k], &bytes)) return wrong(c, "a shape");
    if (e->bytes != (uint64_t)bytes || e->at % 64 || e->at > c->m->cells_bytes || e->bytes > c->m->cells_bytes - e->at)
      return wrong(c, "the memory");
  }
  return true;
}

static bool ports(Check *c, SinterRef r, uint32_t in_bytes, uint32_t out_bytes, bool output) {
  const SinterPort *p = SINTER_LIST(SinterPort, c->m, r);
  if (!list(c, r, sizeof *p, "the inputs and outputs")) return false;
  for (uint32_t i = 0; i < r.n; i++) {
    if (!text(c, p[i].name, false) || !text(c, p[i].doc, false) || !dtype(c, p[i].dtype)) return false;
    uint32_t room = output ? out_bytes : in_bytes;
    if (p[i].rank > SINTER_MAX_RANK || p[i].field % 8 || room < 8 || p[i].field > room - 8 || (output && p[i].inout))
      return wrong(c, "a field");
    for (uint32_t k = 0; k < p[i].rank; k++)
      if (!sym(c, p[i].dim[k])) return false;
  }
  return true;
}

static bool plan_bufs(Check *c, const SinterPlan *p, const SinterEntry *e) {
  const SinterModel *m = c->m;
  const SinterBuf *b = SINTER_LIST(SinterBuf, m, p->bufs);
  for (uint32_t i = 0; i < p->bufs.n; i++) {
    const uint32_t most[] = {e ? e->inputs.n : 0, e ? e->outputs.n : 0, m->cells.n, m->derived.n,
                             m->consts.n,         UINT32_MAX,           UINT32_MAX};
    if (b[i].index >= most[b[i].kind]) return c->where = "the buffers of a plan", wrong(c, "an index");
  }
  return true;
}

static bool variant(Check *c, const SinterVariant *v, const SinterEntry *e) {
  const SinterModel *m = c->m;
  bool gpu = v->level >= SINTER_LEVELS;
  const SinterRef plans = gpu ? m->gpu_plans : m->plans;
  c->where = "the variants";
  if (!sym(c, v->when)) return false;
  if (v->plan >= plans.n || (gpu && v->level - SINTER_LEVELS >= m->gpu_images.n)) return wrong(c, "an index");
  const SinterPlan *p = SINTER_LIST(SinterPlan, m, plans) + v->plan;
  if (!plan_bufs(c, p, e)) return false;
  const SinterGpuStep *s = gpu ? SINTER_LIST(SinterGpuStep, m, p->steps) : NULL;
  for (uint32_t i = 0; s && i < p->steps.n; i++) /* the kernels of this image */
    if (s[i].kernel >= SINTER_LIST(SinterGpuImage, m, m->gpu_images)[v->level - SINTER_LEVELS].kernels.n)
      return c->where = "the steps of a plan for GPUs", wrong(c, "a kernel");
  return true;
}

static bool entries(Check *c) {
  const SinterEntry *e = SINTER_LIST(SinterEntry, c->m, c->m->entries);
  if (!list(c, c->m->entries, sizeof *e, "the entries")) return false;
  for (uint32_t i = 0; i < c->m->entries.n; i++, e++) {
    c->where = "the entries";
    if (!text(c, e->name, true) || !text(c, e->doc, false)) return false;
    if (!ports(c, e->inputs, e->in_bytes, e->out_bytes, false) ||
        !ports(c, e->outputs, e->in_bytes, e->out_bytes, true))
      return false;
    const SinterDim *d = SINTER_LIST(SinterDim, c->m, e->dims);
    if (!list(c, e->dims, sizeof *d, "the dimensions")) return false;
    for (uint32_t k = 0; k < e->dims.n; k++)
      if (d[k].index >= c->m->dims.n || d[k].field % 8 || e->in_bytes < 8 || d[k].field > e->in_bytes - 8 ||
          d[k].lo > d[k].hi)
        return wrong(c, "a field");
    const SinterCheck *f = SINTER_LIST(SinterCheck, c->m, e->checks);
    if (!list(c, e->checks, sizeof *f, "the conditions")) return false;
    for (uint32_t k = 0; k < e->checks.n; k++)
      if (!sym(c, f[k].cond) || !text(c, f[k].text, true)) return false;
    const SinterVariant *v = SINTER_LIST(SinterVariant, c->m, e->variants);
    if (!list(c, e->variants, sizeof *v, "the variants")) return false;
    for (uint32_t k = 0; k < e->variants.n; k++)
      if (!variant(c, &v[k], e)) return false;
  }
  return true;
}

static bool views(Check *c, SinterRef r, const SinterPlan *p, const char *where) {
  const SinterView *v = SINTER_LIST(SinterView, c->m, r);
  if (!list(c, r, sizeof *v, where)) return false;
  for (uint32_t k = 0; k < r.n; k++)
    if ((v[k].buf >= p->bufs.n && v[k].buf != UINT32_MAX) || !sym(c, v[k].at)) return wrong(c, "a buffer");
  return true;
}

static bool formulas(Check *c, SinterRef r, const char *where) {
  const SinterSym *s = SINTER_LIST(SinterSym, c->m, r);
  if (!list(c, r, sizeof *s, where)) return false;
  for (uint32_t k = 0; k < r.n; k++)
    if (!sym(c, s[k])) return false;
  return true;
}

static bool steps(Check *c, const SinterPlan *p) {
  const SinterStep *s = SINTER_LIST(SinterStep, c->m, p->steps);
  for (uint32_t i = 0; i < p->steps.n; i++, s++) {
    c->where = "the steps of a plan";
    if (s->kind > SINTER_STEP_COPY) return wrong(c, "the kind");
    if (s->kind == SINTER_STEP_BARRIER) continue;
    const SinterView *v = SINTER_LIST(SinterView, c->m, s->views);
    if (!views(c, s->views, p, "the steps of a plan")) return false;
    if (s->kind == SINTER_STEP_COPY) {
      if (!sym(c, s->bytes)) return false;
      if (s->views.n != 2 || v[0].buf == UINT32_MAX || v[1].buf == UINT32_MAX) return wrong(c, "a copy");
      continue;
    }
    if (s->kernel >= c->m->kernels.n) return wrong(c, "a kernel");
    if (!sym(c, s->tasks) || !sym(c, s->work) || !sym(c, s->bytes) || !sym(c, s->flops) ||
        !formulas(c, s->dims, "the steps of a plan"))
      return false;
  }
  return true;
}

/* ---- GPUs ---- */

static const char GPU_STEPS[] = "the steps of a plan for GPUs";
enum { GPU_BLOCK = 1024, GPU_BOX = 256, GPU_TENSOR_RANK = 5 }; /* the most that CUDA takes */

static bool gpu_tensor(Check *c, const SinterGpuStep *s, const SinterGpuTensor *t) {
  const SinterView *v = SINTER_LIST(SinterView, c->m, s->views);
  if (t->view >= s->views.n || v[t->view].buf == UINT32_MAX) return wrong(c, "a buffer");
  if (!dtype(c, t->dtype)) return false;
  if (t->rank < 1 || t->rank > GPU_TENSOR_RANK) return wrong(c, "a rank");
  if (t->swizzle && t->swizzle != 32 && t->swizzle != 64 && t->swizzle != 128) return wrong(c, "a swizzle");
  for (int i = 0; i < t->rank; i++) {
    if (!sym(c, t->dim[i]) || (i && !sym(c, t->stride[i - 1]))) return false;
    if (t->box[i] < 1 || t->box[i] > GPU_BOX) return wrong(c, "a box");
  }
  return true;
}

static bool gpu_step(Check *c, const SinterPlan *p, const SinterGpuStep *s) {
  const SinterGpuArg *a = SINTER_LIST(SinterGpuArg, c->m, s->args);
  const SinterGpuTensor *t = SINTER_LIST(SinterGpuTensor, c->m, s->tensors);
  c->where = GPU_STEPS;
  if (s->flags & ~(uint32_t)(SINTER_GPU_FAILS | SINTER_GPU_COMMIT)) return wrong(c, "the flags");
  if (s->block < 1 || s->block > GPU_BLOCK) return wrong(c, "a block");
  if (!sym(c, s->grid) || !sym(c, s->bytes) || !sym(c, s->flops) || !views(c, s->views, p, GPU_STEPS) ||
      !formulas(c, s->dims, GPU_STEPS) || !list(c, s->args, sizeof *a, GPU_STEPS) ||
      !list(c, s->tensors, sizeof *t, GPU_STEPS))
    return false;
  for (uint32_t i = 0; i < s->args.n; i++) {
    const uint32_t most[] = {s->views.n, s->dims.n, UINT32_MAX, s->tensors.n};
    if (a[i].kind > SINTER_GPU_ARG_TENSOR || a[i].index >= most[a[i].kind]) return wrong(c, "an argument");
    if (i && a[i - 1].kind == SINTER_GPU_ARG_TENSOR && a[i].kind != SINTER_GPU_ARG_TENSOR)
      return wrong(c, "the order of the arguments");
  }
  for (uint32_t i = 0; i < s->tensors.n; i++)
    if (!gpu_tensor(c, s, &t[i])) return false;
  return true;
}

static bool gpu_steps(Check *c, const SinterPlan *p) {
  const SinterGpuStep *s = SINTER_LIST(SinterGpuStep, c->m, p->steps);
  for (uint32_t i = 0; i < p->steps.n; i++)
    if (!gpu_step(c, p, &s[i])) return false;
  return true;
}

static bool gpu_images(Check *c) {
  static const char where[] = "the code for GPUs";
  const SinterModel *m = c->m;
  const SinterGpuImage *g = SINTER_LIST(SinterGpuImage, m, m->gpu_images);
  if (!list(c, m->gpu_images, sizeof *g, where)) return false;
  for (uint32_t i = 0; i < m->gpu_images.n; i++) {
    const SinterGpuProgram *p = SINTER_LIST(SinterGpuProgram, m, g[i].programs);
    const SinterGpuKernel *k = SINTER_LIST(SinterGpuKernel, m, g[i].kernels);
    if (g[i].kind > SINTER_GPU_CUBIN_EXACT || g[i].sm < 10 || g[i].sm > 999) return wrong(c, "the architecture");
    if (!list(c, g[i].programs, sizeof *p, where) || !list(c, g[i].kernels, sizeof *k, where)) return false;
    for (uint32_t n = 0; n < g[i].programs.n; n++)
      if (p[n].at % 64 || p[n].at > 1ull << 40 || p[n].bytes < 1 || p[n].bytes > 1ull << 40)
        return wrong(c, "the memory");
    for (uint32_t n = 0; n < g[i].kernels.n; n++) {
      if (!text(c, k[n].name, true) || !text(c, k[n].stage, false)) return false;
      if (k[n].program >= g[i].programs.n || k[n].shared > 1 << 20) return wrong(c, "a kernel");
    }
  }
  return true;
}

/* ---- plans ---- */

static bool plans_of(Check *c, SinterRef r, bool gpu) {
  const char *where = gpu ? "the plans for GPUs" : "the plans";
  const SinterPlan *p = SINTER_LIST(SinterPlan, c->m, r);
  if (!list(c, r, sizeof *p, where)) return false;
  for (uint32_t i = 0; i < r.n; i++, p++) {
    const SinterBuf *b = SINTER_LIST(SinterBuf, c->m, p->bufs);
    if (!list(c, p->bufs, sizeof *b, "the buffers of a plan")) return false;
    for (uint32_t k = 0; k < p->bufs.n; k++) {
      if (b[k].kind > SINTER_BUF_RANDOM || (gpu && b[k].kind == SINTER_BUF_DERIVED)) return wrong(c, "the kind");
      if (!sym(c, b[k].bytes) || (b[k].kind == SINTER_BUF_ARENA && !sym(c, b[k].at))) return false;
    }
    if (!list(c, p->steps, gpu ? sizeof(SinterGpuStep) : sizeof(SinterStep), "the steps of a plan") ||
        !sym(c, p->arena) || !(gpu ? gpu_steps(c, p) : steps(c, p)))
      return false;
  }
  return true;
}

static bool plans(Check *c) { return plans_of(c, c->m->plans, false) && plans_of(c, c->m->gpu_plans, true); }

static bool rest(Check *c) {
  const SinterModel *m = c->m;
  const SinterDerived *d = SINTER_LIST(SinterDerived, m, m->derived);
  if (!list(c, m->derived, sizeof *d, "the prepared parameters")) return false;
  for (uint32_t i = 0; i < m->derived.n; i++, d++) {
    c->where = "the prepared parameters";
    if (!text(c, d->name, true) || !text(c, d->kind, false)) return false;
    if (d->level >= SINTER_LEVELS || d->cell >= m->cells.n || d->plan >= m->plans.n) return wrong(c, "an index");
    if (d->at % 64 || d->at > m->derived_bytes[d->level] || d->bytes > m->derived_bytes[d->level] - d->at)
      return wrong(c, "the memory");
    if (!plan_bufs(c, SINTER_LIST(SinterPlan, m, m->plans) + d->plan, NULL)) return false;
  }
  const SinterConst *k = SINTER_LIST(SinterConst, m, m->consts);
  if (!list(c, m->consts, sizeof *k, "the constants")) return false;
  for (uint32_t i = 0; i < m->consts.n; i++)
    if (k[i].at % 64 || k[i].at > c->bytes + (1ull << 40) || k[i].bytes > 1ull << 40) return wrong(c, "the memory");
  const SinterPlace *p = SINTER_LIST(SinterPlace, m, m->places);
  if (!list(c, m->places, sizeof *p, "the places")) return false;
  for (uint32_t i = 0; i < m->places.n; i++)
    if (!text(c, p[i].file, false) || !text(c, p[i].op, false)) return false;
  const SinterKernelInfo *f = SINTER_LIST(SinterKernelInfo, m, m->kernels);
  if (!list(c, m->kernels, sizeof *f, "the kernels")) return false;
  for (uint32_t i = 0; i < m->kernels.n; i++)
    if (!text(c, f[i].name, false) || !text(c, f[i].stage, false)) return false;
  return true;
}

bool sinter_model_check(const SinterModel *m, uint64_t bytes, char *why) {
  Check c = {m, 0, why, "the head"};
  if (bytes < sizeof *m || m->size < sizeof *m || m->abi != SINTER_ABI_VERSION || m->bytes < sizeof *m ||
      m->bytes > bytes || m->bytes > UINT32_MAX)
    return wrong(&c, "the size or version");
  c.bytes = m->bytes;
  if (!text(&c, m->name, true) || !text(&c, m->prefix, true) || !text(&c, m->compiler, false) ||
      !text(&c, m->source, false))
    return false;
  if (m->init != UINT32_MAX && m->init >= m->entries.n) return wrong(&c, "an index");
  uint64_t most = 1ull << 62;
  for (int i = 0; i < SINTER_LEVELS; i++)
    if (m->derived_bytes[i] > most) return wrong(&c, "the memory");
  if (m->cells_bytes > most) return wrong(&c, "the memory");
  const SinterText *names = SINTER_LIST(SinterText, m, m->dims);
  if (!list(&c, m->dims, sizeof *names, "the names of dimensions")) return false;
  for (uint32_t i = 0; i < m->dims.n; i++)
    if (!text(&c, names[i], true)) return false;
  return cells(&c) && gpu_images(&c) && plans(&c) && entries(&c) && rest(&c);
}
