#include "gpu_code.h"
#include "abi.h"
#include "cuda_audit.h"
#include <stdlib.h>
#include <string.h>

enum {
  KERNELS_A_PROGRAM = 16,     /* one alone takes 47 ms, each further one 10 */
  TEXT_A_PROGRAM = 128 << 10, /* bytes, more or less: NVRTC takes some 3 s for as much */
  OLDEST = 80,                /* before it there are no bf16 and no asynchronous copies */
  SHARED_80 = 99 << 10, /* what a block may have: the text of sm_80 runs on 8.6 and 12.0 too, which have the least */
  SHARED_90 = 227 << 10,
};

/* ---- architectures ---- */

/* "sm_90a", "compute_80"; false: it is none. */
static bool read_arch(const char *word, GpuArch *out) {
  bool ptx = strncmp(word, "compute_", 8) == 0;
  const char *digits = ptx ? word + 8 : strncmp(word, "sm_", 3) == 0 ? word + 3 : "";
  size_t n = strspn(digits, "0123456789");
  bool exact = !ptx && !strcmp(digits + n, "a");
  *out = (GpuArch){.name = word,
                   .kind = ptx     ? SINTER_GPU_PTX
                           : exact ? SINTER_GPU_CUBIN_EXACT
                                   : SINTER_GPU_CUBIN,
                   .sm = n == 2 || n == 3 ? atoi(digits) : 0};
  return out->sm >= OLDEST && (exact || !digits[n]);
}

bool gpu_is_ptx(const GpuArch *a) { return a->kind == SINTER_GPU_PTX; }

/* What is written for sm_90a runs there alone; everything else has the text of sm_80. */
static int text_for(Ctx *c, GpuCode *g, const GpuArch *a) {
  int sm = a->kind == SINTER_GPU_CUBIN_EXACT && a->sm == 90 ? 90 : 80;
  for (uint32_t i = 0; i < g->texts.n; i++)
    if (g->texts.at[i].sm == sm) return (int)i;
  vec_push(c->arena, &g->texts, (GpuText){.sm = sm});
  return (int)g->texts.n - 1;
}

bool gpu_archs(Ctx *c, const char *list, GpuCode *g) {
  for (const char *s = list; s;) {
    size_t n = strcspn(s, ",");
    const char *word = arena_strndup(c->arena, s, n);
    bool known = false;
    GpuArch a;
    if (!read_arch(word, &a))
      return diag_error(c->diag, "gpu-arch", 0,
                        "'%s' is no GPU to compile for: give --gpu sm_80, sm_90a or another one from sm_80 on, or "
                        "compute_80 for all that come later, several of them with commas between",
                        word);
    for (uint32_t i = 0; i < g->archs.n; i++) known |= !strcmp(g->archs.at[i].name, word);
    a.text = text_for(c, g, &a);
    if (!known) vec_push(c->arena, &g->archs, a);
    s = s[n] ? s + n + 1 : NULL;
  }
  return true;
}

/* ---- text ---- */

typedef struct Texts { /* what is being written */
  const Program *program;
  GpuCode *code;
  GpuText *text;
  Buf now; /* the program that is not full yet */
  int kernels;
} Texts;

static CudaPart part_of(const GpuCode *g, const Step *s) {
  if (s->kind == STEP_COPY) return (CudaPart){.commit = s->commit};
  Kernel *k = g->level.module->kernels.at[s->kernel];
  return (CudaPart){k, k->stages.at[s->stage], s->commit};
}

GpuLaunch gpu_launch(const GpuCode *g, const Step *s) {
  GpuLaunch l = {0};
  Vec(const Step *) steps = {0};
  int words = 0;
  for (; s; s = s->next) {
    if (s->kind == STEP_BARRIER) continue; /* each launch is behind the one before */
    if (steps.n) {
      CudaPart p = part_of(g, s);
      if (!s->batch || s->batch != steps.at[0]->batch || words + cuda_batch_words(&p) > CUDA_BATCH_WORDS) break;
    }
    vec_push(g->level.module->ctx->arena, &steps, s);
    if (s->batch) words += cuda_batch_words(&(CudaPart){g->level.module->kernels.at[s->kernel], NULL, s->commit});
  }
  l.step = steps.at, l.n = (int)steps.n, l.next = s;
  return l;
}

const GpuFunction *gpu_function(const GpuCode *g, const GpuText *t, const GpuLaunch *l, int *number) {
  for (uint32_t i = 0; i < t->functions.n; i++) {
    const GpuFunction *f = &t->functions.at[i];
    bool same = f->nparts == l->n;
    for (int k = 0; k < l->n && same; k++) {
      CudaPart p = part_of(g, l->step[k]);
      same = f->part[k].kernel == p.kernel && f->part[k].stage == p.stage && f->part[k].commit == p.commit;
    }
    if (!same) continue;
    *number = (int)i;
    return f;
  }
  return NULL;
}

Sym gpu_in_plan(Ctx *c, const Kernel *k, const Step *s, Sym of) {
  const char **names = ARENA_ARRAY(c->arena, const char *, k->dims.n + 1);
  for (uint32_t i = 0; i < k->dims.n; i++) names[i] = k->dims.at[i].name;
  return sym_replace(c->syms, of, names, s->dims, s->ndims);
}

Sym gpu_part_grid(Ctx *c, const GpuFunction *f, const GpuLaunch *l, int i) {
  if (!f->part[i].kernel)
    return sym_div_up(c->syms, l->step[i]->bytes, sym_int(c->syms, GPU_COPY_BYTES * GPU_COPY_THREADS));
  return gpu_in_plan(c, f->part[i].kernel, l->step[i], f->nparts > 1 ? f->batch.stage[i]->grid : f->made.grid);
}

Sym gpu_grid(Ctx *c, const GpuFunction *f, const GpuLaunch *l) {
  Sym blocks = gpu_part_grid(c, f, l, 0);
  for (int i = 1; i < l->n; i++) blocks = sym_add(c->syms, blocks, gpu_part_grid(c, f, l, i));
  return blocks;
}

static void end_program(Texts *t) {
  Arena *a = t->program->ctx->arena;
  if (!t->kernels) return;
  CudaProgram p = {.name = arena_printf(a, "%s_sm%d_%u.cu", t->program->name, t->text->sm, t->text->programs.n),
                   .text = arena_strndup(a, t->now.at, t->now.n),
                   .headers = CUDA_HEADERS,
                   .nheaders = CUDA_HEADER_COUNT};
  vec_push(a, &t->text->programs, p);
  buf_free(&t->now);
  t->now = (Buf){0};
  t->kernels = 0;
}

static Loc place_of(const EntryPlan *e, const Step *s) { /* of the group that the step belongs to */
  for (uint32_t k = 0; k < e->kernels.n; k++) {
    const Group *g = &e->groups->at.at[k];
    if (e->kernels.at[k].kernel == s->kernel)
      return graph_at(e->groups->graph, g->anchor ? g->anchor : vec_last(&g->members))->loc;
  }
  return 0;
}

static void put_copy(Texts *t, GpuFunction *f) {
  f->name = f->commit ? "copy_commit" : "copy";
  f->threads = GPU_COPY_THREADS;
  buf_printf(&t->now,
             "\ntypedef struct {\n  u8 *to;\n  const u8 *from;\n  i64 bytes;\n%s} %s_args;\n\n"
             "KERNEL(%s, %d, 1, (%s_args, args)) {\n%s  copy_bytes(args.to, args.from, args.bytes);\n}\n",
             f->commit ? "  u32 *failed;\n" : "", f->name, f->name, GPU_COPY_THREADS, f->name,
             f->commit ? "  if (args.failed[0]) return;\n" : "");
}

static bool put_stage(Texts *t, const Step *s, GpuFunction *f, const char **why) {
  const CudaPart *p = f->part;
  CudaWanted want = {t->text->sm, p->commit,
                     arena_printf(t->program->ctx->arena, "k%d_%s_%s%s", s->kernel, p->kernel->name, p->stage->name,
                                  p->commit ? "_commit" : "")};
  if (!cuda_text_stage(p->kernel, p->stage, &want, &f->made, &t->now, why)) return false;
  f->name = f->made.name, f->threads = f->made.threads, f->shared = f->made.shared, f->fails = f->made.fails;
  return true;
}

static bool put_batch(Texts *t, GpuFunction *f, const char **why) {
  CudaWanted want = {t->text->sm, false,
                     arena_printf(t->program->ctx->arena, "batch%u_of_%d", t->text->functions.n, f->nparts)};
  if (!cuda_batch(f->part, f->nparts, &want, &f->batch, &t->now, why)) return false;
  f->name = f->batch.name, f->threads = f->batch.threads, f->shared = f->batch.shared, f->fails = f->batch.fails;
  return true;
}

static bool put_function(Texts *t, const EntryPlan *e, const GpuLaunch *l) {
  Ctx *c = t->program->ctx;
  GpuFunction f = {.part = ARENA_ARRAY(c->arena, CudaPart, l->n), .nparts = l->n, .program = (int)t->text->programs.n};
  const char *why;
  if (!t->kernels) cuda_text_begin(&t->now);
  for (int i = 0; i < l->n; i++) {
    f.part[i] = part_of(t->code, l->step[i]);
    f.commit |= f.part[i].commit;
  }
  if (!f.part->kernel)
    put_copy(t, &f);
  else if (!(l->n > 1 ? put_batch(t, &f, &why) : put_stage(t, l->step[0], &f, &why)))
    return diag_error(c->diag, "gpu-kernel", place_of(e, l->step[0]), "%s", why);
  if (f.shared > (t->text->sm == 90 ? SHARED_90 : SHARED_80))
    BUG("%s wants %d bytes of shared memory", f.name, f.shared);
  vec_push(c->arena, &t->text->functions, f);
  if (++t->kernels == KERNELS_A_PROGRAM || t->now.n > TEXT_A_PROGRAM) end_program(t);
  return true;
}

bool gpu_texts(const Program *p, GpuCode *g) {
  bool ok = true;
  for (uint32_t i = 0; i < g->texts.n && ok; i++) {
    Texts t = {.program = p, .code = g, .text = &g->texts.at[i]};
    int number;
    for (uint32_t k = 0; k < p->entries.n; k++) {
      GpuLaunch l = gpu_launch(g, g->level.entries[k].plan->steps);
      for (; l.n && ok; l = gpu_launch(g, l.next))
        ok = gpu_function(g, t.text, &l, &number) || put_function(&t, &g->level.entries[k], &l);
    }
    if (ok) end_program(&t);
    buf_free(&t.now);
  }
  return ok;
}

/* ---- code ---- */

bool gpu_accept(Ctx *c, const CudaImage *m) {
  Ctx own = *c;
  Cubin cubin;
  const char *why;
  own.diag = diag_new(c->arena);
  if (!cubin_read(c->arena, m->code, m->size, &cubin, &why))
    return diag_error(c->diag, "audit-cubin", 0, "%s for %s: the cubin cannot be read: %s", m->program->name, m->arch,
                      why);
  if (!cuda_audit(&own, m, NULL, 0))
    diag_warning(c->diag, "gpu-slow", 0, "%s: that is right, but slower than it could be", diag_first(own.diag, NULL));
  return true;
}

bool gpu_compile(Ctx *c, const CudaRtc *rtc, const LinkFolder *folder, int jobs, GpuCode *g) {
  static const char *const options[] = {"--fmad=false"}; /* kernels/cuda/operations.h */
  bool ok = true;
  for (uint32_t i = 0; i < g->texts.n; i++) {
    const GpuText *t = &g->texts.at[i];
    CudaOptions o = {.folder = folder, .options = options, .noptions = 1, .jobs = jobs};
    const char **names = ARENA_ARRAY(c->arena, const char *, g->archs.n);
    GpuArch **archs = ARENA_ARRAY(c->arena, GpuArch *, g->archs.n);
    for (uint32_t k = 0; k < g->archs.n; k++) {
      if (g->archs.at[k].text != (int)i) continue;
      archs[o.narchs] = &g->archs.at[k];
      names[o.narchs++] = g->archs.at[k].name;
    }
    o.archs = names;
    CudaImage *images = ARENA_ARRAY(c->arena, CudaImage, t->programs.n * (uint32_t)o.narchs + 1);
    if (!cuda_compile(c, rtc, t->programs.at, (int)t->programs.n, &o, images)) return false;
    for (int k = 0; k < o.narchs; k++) {
      archs[k]->code = ARENA_ARRAY(c->arena, CudaImage, t->programs.n + 1);
      for (uint32_t p = 0; p < t->programs.n; p++) {
        archs[k]->code[p] = images[p * (uint32_t)o.narchs + (uint32_t)k];
        ok &= gpu_is_ptx(archs[k]) || gpu_accept(c, &archs[k]->code[p]);
      }
    }
  }
  return ok;
}
