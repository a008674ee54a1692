#include "host_blob.h"
#include "emitter.h"
#include "host_gpu.h"
#include <string.h>

enum { CONST_ALIGN = 64 };

/* ---- plans ---- */

static int64_t constant(const Blob *b, Sym s) {
  int64_t k;
  if (!sym_is_int(b->c->syms, s, &k)) BUG("the shape of a cell is not constant");
  return k;
}

static uint32_t kernel_index(Blob *b, int kernel, int stage) {
  for (uint32_t i = 0; i < b->used.n; i++)
    if (b->used.at[i].level == (int)b->level && b->used.at[i].kernel == kernel && b->used.at[i].stage == stage)
      return i;
  vec_push(b->c->arena, &b->used, (Used){(int)b->level, kernel, stage});
  return b->used.n - 1;
}

static SinterStep add_step(Blob *b, const Plan *p, const Step *s) {
  SinterStep r = {.flags = (uint8_t)((s->serial ? SINTER_STEP_SERIAL : 0) | (s->commit ? SINTER_STEP_COMMIT : 0))};
  Vec(SinterSym) dims = {0};
  Vec(SinterView) views = {0};
  for (int i = 0; i < s->nviews; i++) vec_push(b->c->arena, &views, blob_view(b, p, &s->views[i]));
  switch (s->kind) {
  case STEP_LAUNCH: {
    const Kernel *k = b->levels[b->level].module->kernels.at[s->kernel];
    const Stage *stage = k->stages.at[s->stage];
    const char **names = ARENA_ARRAY(b->c->arena, const char *, k->dims.n);
    for (uint32_t i = 0; i < k->dims.n; i++) names[i] = k->dims.at[i].name;
    r.kind = SINTER_STEP_LAUNCH;
    r.kernel = kernel_index(b, s->kernel, s->stage);
    Sym tasks = sym_product(b->c->syms, stage->extent,
                            stage->naxes); /* over the kernel's dimensions: put in what the plan gives */
    r.tasks = blob_sym(b, sym_replace(b->c->syms, tasks, names, s->dims, s->ndims));
    r.work = blob_sym(b, s->work);
    r.bytes = blob_sym(b, s->bytes);
    r.flops = blob_sym(b, s->flops);
    for (int i = 0; i < s->ndims; i++) vec_push(b->c->arena, &dims, blob_sym(b, s->dims[i]));
    break;
  }
  case STEP_BARRIER: r.kind = SINTER_STEP_BARRIER; break;
  case STEP_COPY:
    r.kind = SINTER_STEP_COPY;
    r.bytes = blob_sym(b, s->bytes);
    break;
  default: BUG("a step of plan %s that artefacts do not have yet", p->name);
  }
  r.dims = BLOB_LIST(b, dims);
  r.views = BLOB_LIST(b, views);
  return r;
}

static uint32_t add_plan(Blob *b, const EntryPlan *e) {
  Vec(SinterStep) steps = {0};
  uint32_t first_derived =
      0; /* of this level among all: the numbers of its derived buffers follow those of the levels before */
  for (uint32_t i = 0; i < b->level; i++) first_derived += b->levels[i].derived.n;
  SinterRef bufs = blob_bufs(b, &b->levels[b->level], e, first_derived);
  for (const Step *s = e->plan->steps; s; s = s->next) vec_push(b->c->arena, &steps, add_step(b, e->plan, s));
  SinterPlan p = {.bufs = bufs, .steps = BLOB_LIST(b, steps), .arena = blob_sym(b, e->arena)};
  vec_push(b->c->arena, &b->plans, p);
  return b->plans.n - 1;
}

/* ---- entries ---- */

static SinterPort make_port(Blob *b, const Port *p, const HostField *f) {
  SinterPort r = {.name = blob_text(b, p->name),
                  .doc = blob_text(b, p->doc),
                  .dtype = (uint8_t)p->dtype,
                  .rank = (uint8_t)p->rank,
                  .inout = p->inout,
                  .field = f->at};
  for (int i = 0; i < p->rank; i++) r.dim[i] = blob_sym(b, p->shape[i]);
  return r;
}

static SinterRef add_variants(Blob *b, int entry) {
  Vec(SinterVariant) v = {0};
  for (int i = b->nlevels - 1; i >= 0; i--) { /* the highest level first */
    const EntryPlan *p = entry < 0 ? &b->levels[i].init : &b->levels[i].entries[entry];
    b->level = (uint32_t)i;
    vec_push(b->c->arena, &v,
             (SinterVariant){.when = {1, 0}, .level = b->levels[i].target->level, .plan = add_plan(b, p)});
  }
  for (uint32_t i = 0; entry >= 0 && i < b->gpu->archs.n; i++)
    vec_push(b->c->arena, &v,
             (SinterVariant){.when = {1, 0}, .level = SINTER_LEVELS + i, .plan = host_gpu_plan(b, i, entry)});
  return BLOB_LIST(b, v);
}

static SinterEntry make_entry(Blob *b, int number) {
  const Entry *e = &b->unit->program->entries.at[number];
  const HostEntry *t = &b->layout->entries[number];
  Arena *a = b->c->arena;
  Vec(SinterPort) in = {0}, out = {0};
  Vec(SinterDim) dims = {0};
  Vec(SinterCheck) checks = {0};
  SinterEntry r = {
      .name = blob_text(b, e->name), .doc = blob_text(b, e->doc), .in_bytes = t->in_bytes, .out_bytes = t->out_bytes};
  for (uint32_t i = 0; i < e->inputs.n; i++) vec_push(a, &in, make_port(b, &e->inputs.at[i], &t->in.at[i]));
  for (uint32_t i = 0; i < e->outputs.n; i++) vec_push(a, &out, make_port(b, &e->outputs.at[i], &t->out.at[i]));
  for (uint32_t i = 0; i < e->dims.n; i++) {
    const Dim *d = &e->dims.at[i];
    vec_push(a, &dims,
             (SinterDim){(uint32_t)host_dim_index(b->layout, d->name), t->in.at[e->inputs.n + i].at, d->lo, d->hi});
  }
  for (uint32_t i = 0; i < e->checks.n; i++)
    vec_push(a, &checks,
             (SinterCheck){.cond = blob_sym(b, e->checks.at[i].cond), .text = blob_text(b, e->checks.at[i].text)});
  r.flags = (e->training ? SINTER_ENTRY_TRAIN : 0) | (e->updates.n ? SINTER_ENTRY_UPDATES : 0);
  for (int i = 0; i < b->nlevels; i++) r.flags |= b->levels[i].entries[number].random ? SINTER_ENTRY_RANDOM : 0;
  r.inputs = BLOB_LIST(b, in);
  r.outputs = BLOB_LIST(b, out);
  r.dims = BLOB_LIST(b, dims);
  r.checks = BLOB_LIST(b, checks);
  r.variants = add_variants(b, number);
  return r;
}

/* ---- the whole ---- */

static uint64_t up64(uint64_t n) { return (n + CONST_ALIGN - 1) & ~(uint64_t)(CONST_ALIGN - 1); }

static bool add_cells(Blob *b, SinterModel *m) {
  Vec(SinterCell) cells = {0};
  for (uint32_t i = 0; i < b->unit->program->cells.n; i++) {
    const Cell *c = &b->unit->program->cells.at[i];
    SinterCell r = {.name = blob_text(b, c->name),
                    .doc = blob_text(b, c->doc),
                    .kind = (uint8_t)c->kind,
                    .dtype = (uint8_t)c->dtype,
                    .rank = (uint8_t)c->rank,
                    .has_init = c->init != NULL,
                    .at = m->cells_bytes,
                    .bytes = dtype_size(c->dtype)};
    for (int k = 0; k < c->rank; k++) {
      r.dim[k] = constant(b, c->shape[k]);
      if (__builtin_mul_overflow(r.bytes, (uint64_t)r.dim[k], &r.bytes) || r.bytes > INT64_MAX / 2)
        return diag_error(b->c->diag, "model-size", c->loc, "%s has more bytes than any machine: %s", c->name,
                          graph_shape_text(b->c, c->dtype, c->shape, c->rank));
    }
    m->cells_bytes = up64(m->cells_bytes + r.bytes);
    if (m->cells_bytes > INT64_MAX / 2)
      return diag_error(b->c->diag, "model-size", c->loc,
                        "up to %s the parameters and states have more bytes than any machine", c->name);
    vec_push(b->c->arena, &cells, r);
  }
  m->cells = BLOB_LIST(b, cells);
  return true;
}

static void add_derived(Blob *b, SinterModel *m) {
  Vec(SinterDerived) all = {0};
  for (int i = 0; i < b->nlevels; i++) {
    uint32_t level = b->levels[i].target->level;
    b->level = (uint32_t)i;
    for (uint32_t k = 0; k < b->levels[i].derived.n; k++) {
      const Derived *d = &b->levels[i].derived.at[k];
      SinterDerived r = {.name = blob_text(b, d->name),
                         .kind = blob_text(b, d->kind),
                         .level = level,
                         .cell = (uint32_t)d->cell,
                         .plan = add_plan(b, &d->plan),
                         .at = m->derived_bytes[level],
                         .bytes = d->bytes};
      m->derived_bytes[level] = up64(m->derived_bytes[level] + d->bytes);
      vec_push(b->c->arena, &all, r);
    }
  }
  m->derived = BLOB_LIST(b, all);
}

static void add_consts(Blob *b, SinterModel *m, HostBlob *out) {
  Vec(SinterConst) consts = {0};
  uint64_t n = 0;
  for (uint32_t i = 0; i < b->unit->consts.n; i++) {
    vec_push(b->c->arena, &consts, (SinterConst){n, b->unit->consts.at[i].bytes});
    n = up64(n + b->unit->consts.at[i].bytes);
  }
  uint8_t *block = arena_alloc(b->c->arena, n);
  for (uint32_t i = 0; i < consts.n; i++)
    memcpy(block + consts.at[i].at, b->unit->consts.at[i].data, consts.at[i].bytes);
  m->consts = BLOB_LIST(b, consts);
  out->consts = block;
  out->consts_bytes = n;
}

static void add_places(Blob *b, SinterModel *m) {
  Vec(SinterPlace) places = {0};
  for (uint32_t i = 0; i < b->unit->places.n; i++) {
    Place p;
    SinterPlace r = {.op = blob_text(b, OP_INFO[b->unit->places.at[i].op].text)};
    if (diag_place(b->c->diag, b->unit->places.at[i].loc, &p)) {
      const char *base = strrchr(p.path, '/'); /* the folder it was compiled in does not belong into the artefact */
      r.file = blob_text(b, base ? base + 1 : p.path);
      r.line = (uint32_t)p.line;
      r.col = (uint32_t)p.col;
    }
    vec_push(b->c->arena, &places, r);
  }
  m->places = BLOB_LIST(b, places);
}

static void add_kernels(Blob *b, SinterModel *m, HostBlob *out) {
  Vec(SinterKernelInfo) infos = {0};
  for (uint32_t i = 0; i < b->used.n; i++) {
    const Used *u = &b->used.at[i];
    const LevelUnit *l = &b->levels[u->level];
    const Kernel *k = l->module->kernels.at[u->kernel];
    const char *stage = k->stages.at[u->stage]->name;
    vec_push(
        b->c->arena, &infos,
        (SinterKernelInfo){.name = blob_text(b, k->name), .stage = blob_text(b, stage), .level = l->target->level});
    vec_push(b->c->arena, &out->kernels, emit_symbol(b->c->arena, u->kernel, k->name, stage, l->target));
  }
  m->kernels = BLOB_LIST(b, infos);
}

bool host_blob(const Unit *unit, const LevelUnit *levels, int nlevels, const GpuCode *gpu, const HostLayout *layout,
               const char *source, HostBlob *out) {
  const Program *p = unit->program;
  Ctx *c = p->ctx;
  Blob b = {.c = c, .layout = layout, .unit = unit, .levels = levels, .nlevels = nlevels, .gpu = gpu};
  b.gpu_plan_of = ARENA_ARRAY(c->arena, uint32_t, gpu->texts.n * p->entries.n + 1);
  SinterModel m = {.size = sizeof m, .abi = SINTER_ABI_VERSION, .init = UINT32_MAX};
  *out = (HostBlob){0};
  blob_bytes(&b, &m, sizeof m, 8); /* its place; filled in at the end */
  m.name = blob_text(&b, p->name);
  m.prefix = blob_text(&b, layout->prefix);
  m.compiler = blob_text(&b, "sinter " SINTER_VERSION);
  m.source = blob_text(&b, source);
  Vec(SinterText) dims = {0};
  for (uint32_t i = 0; i < layout->dims.n; i++) vec_push(c->arena, &dims, blob_text(&b, layout->dims.at[i].name));
  m.dims = BLOB_LIST(&b, dims);
  for (int i = 0; i < nlevels; i++) m.levels |= 1u << levels[i].target->level;
  if (!add_cells(&b, &m)) return false;
  Vec(SinterEntry) entries = {0};
  for (uint32_t i = 0; i < p->entries.n; i++) vec_push(c->arena, &entries, make_entry(&b, (int)i));
  if (unit->init) {
    m.init = entries.n;
    SinterEntry e = {.name = blob_text(&b, unit->init->name),
                     .flags = SINTER_ENTRY_HIDDEN | SINTER_ENTRY_UPDATES,
                     .variants = add_variants(&b, -1)};
    for (int i = 0; i < nlevels; i++) e.flags |= levels[i].init.random ? SINTER_ENTRY_RANDOM : 0;
    vec_push(c->arena, &entries, e);
  }
  m.entries = BLOB_LIST(&b, entries);
  add_derived(&b, &m);
  m.plans = BLOB_LIST(&b, b.plans);
  add_consts(&b, &m, out);
  add_places(&b, &m);
  add_kernels(&b, &m, out);
  host_gpu_end(&b, &m, out);
  if (b.too_big)
    return diag_error(c->diag, "model-size", 0, "the description of %s would be larger than 4 GB", p->name);
  m.bytes = (b.n + 7) & ~(uint64_t)7;
  blob_bytes(&b, NULL, 0, 8);
  memcpy(b.at, &m, sizeof m);
  out->model = b.at;
  out->model_bytes = m.bytes;
  return true;
}
