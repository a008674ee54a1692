#include "host_gpu.h"
#include <string.h>

enum { CODE_ALIGN = 64 };

/* ---- steps ---- */

typedef struct GpuLists { /* of a step */
  Vec(SinterGpuArg) args;
  Vec(SinterView) views;
  Vec(SinterSym) dims;
  Vec(SinterGpuTensor) tensors;
} GpuLists;

static uint32_t add_view(Blob *b, GpuLists *l, SinterView v) {
  vec_push(b->c->arena, &l->views, v);
  return l->views.n - 1;
}

static uint32_t add_dim(Blob *b, GpuLists *l, Sym s) {
  vec_push(b->c->arena, &l->dims, blob_sym(b, s));
  return l->dims.n - 1;
}

static void add_arg(Blob *b, GpuLists *l, uint32_t kind, uint32_t index) {
  vec_push(b->c->arena, &l->args, (SinterGpuArg){kind, index});
}

static void end_lists(Blob *b, const GpuLists *l, SinterGpuStep *out) {
  out->args = BLOB_LIST(b, l->args);
  out->views = BLOB_LIST(b, l->views);
  out->dims = BLOB_LIST(b, l->dims);
  out->tensors = BLOB_LIST(b, l->tensors);
}

static uint32_t add_tensor(Blob *b, GpuLists *l, const Plan *p, const Step *s, const Kernel *k, const CudaTensor *t) {
  SinterGpuTensor r = {.dtype = (uint8_t)t->dtype, .rank = (uint8_t)t->rank, .swizzle = (uint8_t)t->swizzle};
  r.view = add_view(b, l, blob_view_at(b, p, &s->views[t->buf], gpu_in_plan(b->c, k, s, t->at)));
  for (int i = 0; i < t->rank; i++) {
    r.dim[i] = blob_sym(b, gpu_in_plan(b->c, k, s, t->dim[i]));
    r.box[i] = t->box[i];
    if (i + 1 < t->rank) r.stride[i] = blob_sym(b, gpu_in_plan(b->c, k, s, t->stride[i]));
  }
  vec_push(b->c->arena, &l->tensors, r);
  return l->tensors.n - 1;
}

static SinterGpuStep launch(Blob *b, const Plan *p, const Step *s, const GpuFunction *f) {
  const Kernel *k = b->gpu->level.module->kernels.at[s->kernel];
  GpuLists lists = {0};
  for (uint32_t i = 0; i < f->made.args.n; i++) {
    CudaArg a = f->made.args.at[i];
    switch (a.kind) {
    case CUDA_BUFFER:
      add_arg(b, &lists, SINTER_GPU_ARG_VIEW, add_view(b, &lists, blob_view(b, p, &s->views[a.index])));
      break;
    case CUDA_DIM: add_arg(b, &lists, SINTER_GPU_ARG_DIM, add_dim(b, &lists, s->dims[a.index])); break;
    case CUDA_FAILED: add_arg(b, &lists, SINTER_GPU_ARG_FAILED, 0); break;
    case CUDA_TENSOR:
      add_arg(b, &lists, SINTER_GPU_ARG_TENSOR, add_tensor(b, &lists, p, s, k, &f->made.tensors.at[a.index]));
      break;
    }
  }
  SinterGpuStep r = {
      .flags = f->made.fails ? SINTER_GPU_FAILS : 0, .bytes = blob_sym(b, s->bytes), .flops = blob_sym(b, s->flops)};
  end_lists(b, &lists, &r);
  return r;
}

static SinterGpuStep copy(Blob *b, const Plan *p, const Step *s) {
  SymTab *t = b->c->syms;
  GpuLists lists = {0};
  for (int i = 0; i < 2; i++)
    add_arg(b, &lists, SINTER_GPU_ARG_VIEW, add_view(b, &lists, blob_view(b, p, &s->views[i])));
  add_arg(b, &lists, SINTER_GPU_ARG_DIM, add_dim(b, &lists, s->bytes));
  if (s->commit) add_arg(b, &lists, SINTER_GPU_ARG_FAILED, 0);
  SinterGpuStep r = {.bytes = blob_sym(b, sym_mul(t, s->bytes, sym_int(t, 2)))};
  end_lists(b, &lists, &r);
  return r;
}

static uint32_t add_plan(Blob *b, const GpuText *t, const EntryPlan *e) {
  Vec(SinterGpuStep) steps = {0};
  for (const Step *s = e->plan->steps; s; s = s->next) {
    int number;
    const GpuFunction *f = gpu_function(t, s, &number);
    if (!f) continue; /* a barrier: each step is after the other */
    SinterGpuStep r = s->kind == STEP_COPY ? copy(b, e->plan, s) : launch(b, e->plan, s, f);
    r.flags |= f->commit ? SINTER_GPU_COMMIT : 0;
    r.kernel = (uint32_t)number;
    r.grid = blob_sym(b, gpu_grid(b->c, b->gpu, f, s));
    r.block = (uint32_t)f->made.threads;
    vec_push(b->c->arena, &steps, r);
  }
  SinterPlan p = {
      .bufs = blob_bufs(b, &b->gpu->level, e, 0), .steps = BLOB_LIST(b, steps), .arena = blob_sym(b, e->arena)};
  vec_push(b->c->arena, &b->gpu_plans, p);
  return b->gpu_plans.n - 1;
}

uint32_t host_gpu_plan(Blob *b, uint32_t arch, int entry) {
  uint32_t text = (uint32_t)b->gpu->archs.at[arch].text;
  uint32_t *known = &b->gpu_plan_of[text * b->unit->program->entries.n + (uint32_t)entry]; /* + 1; 0: not yet */
  if (!*known) *known = add_plan(b, &b->gpu->texts.at[text], &b->gpu->level.entries[entry]) + 1;
  return *known - 1;
}

/* ---- images ---- */

typedef Vec(SinterGpuProgram) GpuPrograms;

static SinterRef add_kernels(Blob *b, const GpuText *t) {
  Vec(SinterGpuKernel) kernels = {0};
  for (uint32_t i = 0; i < t->functions.n; i++) {
    const GpuFunction *f = &t->functions.at[i];
    const Kernel *k = f->kernel < 0 ? NULL : b->gpu->level.module->kernels.at[f->kernel];
    const char *says = k ? arena_printf(b->c->arena, "%s %s", k->name, k->stages.at[f->stage]->name) : NULL;
    vec_push(b->c->arena, &kernels,
             (SinterGpuKernel){.name = blob_text(b, f->made.name),
                               .stage = blob_text(b, says),
                               .program = (uint32_t)f->program,
                               .shared = (uint32_t)f->made.shared});
  }
  return BLOB_LIST(b, kernels);
}

static uint64_t up(uint64_t n) { return (n + CODE_ALIGN - 1) & ~(uint64_t)(CODE_ALIGN - 1); }

void host_gpu_end(Blob *b, SinterModel *m, HostBlob *out) {
  Arena *a = b->c->arena;
  const GpuCode *g = b->gpu;
  Vec(SinterGpuImage) images = {0};
  Buf code = {0};
  static const char zeros[CODE_ALIGN];
  for (uint32_t i = 0; i < g->archs.n; i++) {
    const GpuArch *arch = &g->archs.at[i];
    const GpuText *t = &g->texts.at[arch->text];
    GpuPrograms programs = {0};
    for (uint32_t k = 0; k < t->programs.n; k++) {
      const CudaImage *c = &arch->code[k];
      uint64_t bytes = c->size + (arch->kind == SINTER_GPU_PTX); /* the NUL too */
      vec_push(a, &programs, (SinterGpuProgram){code.n, bytes});
      buf_write(&code, (const char *)c->code, bytes);
      buf_write(&code, zeros, up(code.n) - code.n);
    }
    vec_push(a, &images,
             (SinterGpuImage){.kind = (uint8_t)arch->kind,
                              .sm = (uint32_t)arch->sm,
                              .programs = BLOB_LIST(b, programs),
                              .kernels = add_kernels(b, t)});
  }
  m->gpu_images = BLOB_LIST(b, images);
  m->gpu_plans = BLOB_LIST(b, b->gpu_plans);
  out->gpu = memcpy(arena_alloc(a, code.n + 1), code.n ? code.at : "", code.n);
  out->gpu_bytes = code.n;
  buf_free(&code);
}
