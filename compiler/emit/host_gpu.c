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

static void add_args(Blob *b, GpuLists *l, const Plan *p, const Step *s, const Kernel *k, const CudaStage *made) {
  for (uint32_t i = 0; i < made->args.n; i++) {
    CudaArg a = made->args.at[i];
    switch (a.kind) {
    case CUDA_BUFFER: add_arg(b, l, SINTER_GPU_ARG_VIEW, add_view(b, l, blob_view(b, p, &s->views[a.index]))); break;
    case CUDA_DIM: add_arg(b, l, SINTER_GPU_ARG_DIM, add_dim(b, l, s->dims[a.index])); break;
    case CUDA_FAILED: add_arg(b, l, SINTER_GPU_ARG_FAILED, 0); break;
    case CUDA_TENSOR:
      add_arg(b, l, SINTER_GPU_ARG_TENSOR, add_tensor(b, l, p, s, k, &made->tensors.at[a.index]));
      break;
    }
  }
}

/* Each part behind the number of its first block (cuda_batch.h). */
static void add_parts(Blob *b, GpuLists *lists, const Plan *p, const GpuFunction *f, const GpuLaunch *l) {
  Sym first = sym_int(b->c->syms, 0);
  for (int i = 0; i < l->n; i++) {
    int part = f->batch.order[i];
    add_arg(b, lists, SINTER_GPU_ARG_DIM, add_dim(b, lists, first));
    add_args(b, lists, p, l->step[part], f->part[part].kernel, f->batch.stage[part]);
    first = sym_add(b->c->syms, first, gpu_part_grid(b->c, f, l, part));
  }
}

static SinterGpuStep launch(Blob *b, const Plan *p, const GpuFunction *f, const GpuLaunch *l) {
  GpuLists lists = {0};
  SymTab *t = b->c->syms;
  Sym bytes = sym_int(t, 0), flops = bytes;
  for (int i = 0; i < l->n; i++) {
    if (l->step[i]->bytes) bytes = sym_add(t, bytes, l->step[i]->bytes);
    if (l->step[i]->flops) flops = sym_add(t, flops, l->step[i]->flops);
  }
  if (l->n > 1)
    add_parts(b, &lists, p, f, l);
  else
    add_args(b, &lists, p, l->step[0], f->part->kernel, &f->made);
  SinterGpuStep r = {.bytes = blob_sym(b, bytes), .flops = blob_sym(b, flops)};
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
  for (GpuLaunch l = gpu_launch(b->gpu, e->plan->steps); l.n; l = gpu_launch(b->gpu, l.next)) {
    int number;
    const GpuFunction *f = gpu_function(b->gpu, t, &l, &number);
    SinterGpuStep r = f->part->kernel ? launch(b, e->plan, f, &l) : copy(b, e->plan, l.step[0]);
    r.flags = (f->fails ? SINTER_GPU_FAILS : 0) | (f->commit ? SINTER_GPU_COMMIT : 0);
    r.kernel = (uint32_t)number;
    r.grid = blob_sym(b, gpu_grid(b->c, f, &l));
    r.block = (uint32_t)f->threads;
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

/* "k main", of several that of the first and how many more; NULL: a copy */
static const char *stages_of(Blob *b, const GpuFunction *f) {
  const CudaPart *p = f->part;
  if (!p->kernel) return NULL;
  const char *first = arena_printf(b->c->arena, "%s %s", p->kernel->name, p->stage->name);
  return f->nparts > 1 ? arena_printf(b->c->arena, "%s and %d more", first, f->nparts - 1) : first;
}

static SinterRef add_kernels(Blob *b, const GpuText *t) {
  Vec(SinterGpuKernel) kernels = {0};
  for (uint32_t i = 0; i < t->functions.n; i++) {
    const GpuFunction *f = &t->functions.at[i];
    vec_push(b->c->arena, &kernels,
             (SinterGpuKernel){.name = blob_text(b, f->name),
                               .stage = blob_text(b, stages_of(b, f)),
                               .program = (uint32_t)f->program,
                               .shared = (uint32_t)f->shared});
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
      uint64_t bytes = c->size + gpu_is_ptx(arch); /* the NUL too */
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
