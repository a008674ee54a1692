/* `--gpu`: the plans of the entries once more, for GPUs, and their code by NVRTC. */
#include "pipeline.h"

bool gpu_choose(Compilation *c) {
  Ctx *x = c->program->ctx;
  if (!c->options->gpu) return true;
  if (!gpu_archs(x, c->options->gpu, &c->gpu)) return false;
  c->rtc = cuda_rtc_open(x);
  bool ok = c->rtc != NULL;
  for (uint32_t i = 0; ok && i < c->gpu.archs.n; i++) ok = cuda_rtc_arch(x, c->rtc, c->gpu.archs.at[i].name);
  return ok;
}

bool gpu_write(Compilation *c) {
  Arena *a = c->program->ctx->arena;
  bool ok = gpu_texts(c->program, &c->gpu);
  compile_timed(c, "kernel text");
  for (uint32_t i = 0; ok && c->options->dump_dir && i < c->gpu.texts.n; i++) {
    const GpuText *t = &c->gpu.texts.at[i];
    for (uint32_t k = 0; ok && k < t->programs.n; k++) {
      Buf text = {0};
      buf_put(&text, t->programs.at[k].text);
      ok = compile_dump(c, arena_printf(a, "kernels_%u_sm%d", k, t->sm), "cu", &text);
      buf_free(&text);
    }
  }
  return ok;
}

bool gpu_build(Compilation *c, const LinkFolder *folder) {
  Arena *a = c->program->ctx->arena;
  if (!gpu_compile(c->program->ctx, c->rtc, folder, c->options->jobs, &c->gpu)) return false;
  Buf seconds = {0}; /* of a processor; several work at once */
  for (uint32_t i = 0; i < c->gpu.archs.n; i++) {
    const GpuArch *arch = &c->gpu.archs.at[i];
    double sum = 0;
    for (uint32_t k = 0; k < c->gpu.texts.at[arch->text].programs.n; k++) sum += arch->code[k].seconds;
    buf_printf(&seconds, "%s%s %.1f s", i ? ", " : "", arch->name, sum);
  }
  compile_timed(c, arena_printf(a, "NVRTC (%s)", seconds.at));
  buf_free(&seconds);
  return true;
}
