/* What `sinter explain` prints of launches on GPUs: blocks, registers, shared memory, how much of a multiprocessor that
 * fills, and what bounds it on a card whose data sheet is known. */
#include "gpu_card.h"
#include "pipeline.h"
#include "sass.h"
#include <string.h>

typedef struct Launch {
  const Compilation *c;
  const Plan *plan;
  const Step *step;
  GpuLaunch launch; /* which it is part of */
  const GpuFunction *function;
  Buf *out;
} Launch;

static bool value_of(const Launch *l, Sym s, double *v) {
  int64_t n = 0;
  bool known = s && sym_eval(l->c->program->ctx->syms, s, plan_typical, (Plan *)(uintptr_t)l->plan, &n);
  *v = (double)n;
  return known;
}

/* "(B + 3) // 4 blocks of 128 threads, at B = 256: 64" */
static double put_grid(const Launch *l) {
  Ctx *x = l->c->program->ctx;
  double blocks;
  Sym grid = gpu_grid(x, l->function, &l->launch);
  bool known = value_of(l, grid, &blocks);
  buf_printf(l->out, "%s blocks of %d threads", sym_text(x->syms, grid, x->arena), l->function->threads);
  if (known && !sym_is_int(x->syms, grid, NULL)) {
    buf_put(l->out, ", ");
    explain_dims(l->plan, l->out);
    buf_printf(l->out, ": %.0f", blocks);
  }
  return known ? blocks : 0;
}

static void put_occupancy(const Launch *l, const GpuCard *card, const CubinKernel *k, uint32_t shared, double blocks) {
  int threads = l->function->threads, warps = (threads + 31) / 32, n = gpu_blocks(card, threads, k->registers, shared);
  buf_printf(l->out, "        %d blocks a multiprocessor, %d%% of its warps", n, 100 * n * warps / card->warps);
  if (blocks > 0 && n) buf_printf(l->out, ", %.2g waves", blocks / ((double)n * card->multiprocessors));
}

/* No launch is faster than its bytes and its operations allow; what takes longer bounds it. */
static void put_bound(const Launch *l, const GpuCard *card, const SassCounts *counts) {
  static const SassOp tensor[] = {SASS_HGMMA, SASS_QGMMA, SASS_IGMMA, SASS_HMMA, SASS_QMMA, SASS_IMMA};
  uint32_t products = 0;
  double bytes = 0, flops = 0;
  for (size_t i = 0; i < sizeof tensor / sizeof *tensor; i++) products += sass_of(counts, tensor[i]);
  double rate = products ? card->tensor : sass_of(counts, SASS_DFMA) ? card->f64 : card->f32;
  for (int i = 0; i < l->launch.n; i++) {
    double b, f;
    value_of(l, l->launch.step[i]->bytes, &b);
    value_of(l, l->launch.step[i]->flops, &f);
    bytes += b, flops += f;
  }
  double memory = bytes * (l->step->kind == STEP_COPY ? 2 : 1) / card->memory, compute = flops / rate;
  buf_printf(l->out, "; %s: at least %.3g us, bound by %s\n", card->name, (memory > compute ? memory : compute) * 1e6,
             memory >= compute ? "memory"
             : products        ? "tensor cores"
                               : "compute");
}

static void put_arch(Launch *l, const GpuArch *a) {
  Ctx *x = l->c->program->ctx;
  int number;
  const GpuCard *card = gpu_card(a->sm);
  l->function = gpu_function(&l->c->gpu, &l->c->gpu.texts.at[a->text], &l->launch, &number);
  buf_printf(l->out, "      %s: ", a->name);
  double blocks = put_grid(l);
  if (l->function->made.schedule) buf_printf(l->out, "; %s", l->function->made.schedule);
  if (l->function->made.unfit) buf_printf(l->out, "; no skeleton: %s", l->function->made.unfit);
  if (gpu_is_ptx(a)) {
    buf_put(l->out, "; PTX, which the driver compiles\n");
    return;
  }
  const CudaImage *m = &a->code[l->function->program];
  Cubin cubin;
  const char *why;
  if (!cubin_read(x->arena, m->code, m->size, &cubin, &why)) BUG("%s was audited: %s", a->name, why);
  for (uint32_t i = 0; i < cubin.nkernels; i++) {
    const CubinKernel *k = &cubin.kernel[i];
    if (strcmp(k->name, l->function->name)) continue;
    uint32_t shared = k->shared + (uint32_t)l->function->shared;
    SassCounts counts = sass_count(k, cubin.sm);
    buf_printf(l->out, "; %u registers, %u bytes of shared memory\n", k->registers, shared);
    if (!card) continue;
    put_occupancy(l, card, k, shared, blocks);
    put_bound(l, card, &counts);
  }
}

static bool part_of(const GpuLaunch *l, const Step *s) {
  for (int i = 0; i < l->n; i++)
    if (l->step[i] == s) return true;
  return false;
}

void explain_launch(const Compilation *c, const Plan *p, const Step *s, Buf *b) {
  Launch l = {.c = c, .plan = p, .step = s, .out = b};
  l.launch = gpu_launch(&c->gpu, p->steps);
  while (!part_of(&l.launch, s)) l.launch = gpu_launch(&c->gpu, l.launch.next);
  const Kernel *k = s->kind == STEP_LAUNCH ? c->gpu.level.module->kernels.at[s->kernel] : NULL;
  if (k)
    buf_printf(b, "    launch %s", k->stages.at[s->stage]->name);
  else
    buf_printf(b, "    copy %s to %s", p->bufs.at[s->views[1].buf].name, p->bufs.at[s->views[0].buf].name);
  if (l.launch.n > 1) buf_printf(b, ", at once with %d more", l.launch.n - 1);
  buf_put(b, "\n");
  for (uint32_t i = 0; i < c->gpu.archs.n; i++) put_arch(&l, &c->gpu.archs.at[i]);
}
