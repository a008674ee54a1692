#include "cuda_audit.h"
#include <string.h>

typedef struct Subject {
  Ctx *ctx;
  const CudaImage *image;
  const CubinKernel *kernel;
  SassCounts counts;
  const CudaMinimum *minima;
  int nminima;
} Subject;

/* ---- of an image ---- */

static bool no_spills(Ctx *c, const CudaImage *m) {
  bool ok = true;
  for (uint32_t i = 0; i < m->functions.n; i++) {
    const CudaFunction *f = &m->functions.at[i];
    if (f->spill_stores || f->spill_loads)
      ok = diag_error(c->diag, "audit-spill", 0,
                      "%s for %s: registers do not suffice: a thread stores %u and loads %u bytes of them in memory",
                      f->name, m->arch, f->spill_stores, f->spill_loads);
  }
  return ok;
}

static bool no_advice(Ctx *c, const CudaImage *m) {
  bool ok = true;
  for (uint32_t i = 0; i < m->advice.n; i++)
    ok = diag_error(c->diag, "audit-advice", 0, "%s for %s: ptxas says %s", m->program->name, m->arch, m->advice.at[i]);
  return ok;
}

/* ---- of a kernel ---- */

static bool no_local_memory(const Subject *s) {
  uint32_t n = sass_of(&s->counts, SASS_LDL) + sass_of(&s->counts, SASS_STL);
  if (!n && !s->kernel->frame) return true;
  return diag_error(s->ctx->diag, "audit-local", 0,
                    "%s for %s: it uses local memory: %u bytes a thread, %u loads and stores", s->kernel->name,
                    s->image->arch, s->kernel->frame, n);
}

static bool minimum_counts(const Subject *s) {
  bool ok = true;
  for (int i = 0; i < s->nminima; i++) {
    const CudaMinimum *m = &s->minima[i];
    uint32_t n;
    if (m->kernel && strcmp(m->kernel, s->kernel->name)) continue;
    if (!sass_named(&s->counts, m->operation, &n)) BUG("no instruction %s", m->operation);
    if (n < m->least)
      ok = diag_error(s->ctx->diag, "audit-minimum", 0, "%s for %s: %u of the instruction %s, at least %u are expected",
                      s->kernel->name, s->image->arch, n, m->operation, m->least);
  }
  return ok;
}

static bool minima_apply(Ctx *c, const CudaImage *image, const Cubin *cubin, const CudaMinimum *minima, int n) {
  bool ok = true;
  for (int i = 0; i < n; i++) {
    bool there = !minima[i].kernel;
    for (uint32_t k = 0; k < cubin->nkernels && !there; k++) there = !strcmp(cubin->kernel[k].name, minima[i].kernel);
    if (!there)
      ok = diag_error(c->diag, "audit-kernel", 0, "%s for %s has no kernel %s, of which %s is expected",
                      image->program->name, image->arch, minima[i].kernel, minima[i].operation);
  }
  return ok;
}

static bool (*const IMAGE_RULES[])(Ctx *, const CudaImage *) = {no_spills, no_advice};
static bool (*const KERNEL_RULES[])(const Subject *) = {no_local_memory, minimum_counts};

bool cuda_audit(Ctx *c, const CudaImage *m, const CudaMinimum *minima, int nminima) {
  Cubin cubin;
  const char *why;
  bool ok = true;
  if (!cubin_read(c->arena, m->code, m->size, &cubin, &why))
    return diag_error(c->diag, "audit-cubin", 0, "%s for %s: the cubin cannot be read: %s", m->program->name, m->arch,
                      why);
  ok &= minima_apply(c, m, &cubin, minima, nminima);
  for (size_t r = 0; r < sizeof IMAGE_RULES / sizeof *IMAGE_RULES; r++) ok &= IMAGE_RULES[r](c, m);
  for (uint32_t k = 0; k < cubin.nkernels; k++) {
    Subject s = {c, m, &cubin.kernel[k], sass_count(&cubin.kernel[k], cubin.sm), minima, nminima};
    for (size_t r = 0; r < sizeof KERNEL_RULES / sizeof *KERNEL_RULES; r++) ok &= KERNEL_RULES[r](&s);
  }
  return ok;
}
