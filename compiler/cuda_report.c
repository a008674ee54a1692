/* What `sinter cuda` prints of kernels, and the files that it writes. */
#include "compiler.h"
#include "cuda_audit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Report {
  Ctx *ctx;
  const CudaCommand *q;
  Vec(CudaProgram) programs;
  Vec(const char *) archs, options;
  Vec(CudaMinimum) minima;
  CudaImage *images;
  Buf *out;
} Report;

static bool is_ptx(const CudaImage *m) { return strncmp(m->arch, "compute_", 8) == 0; }

static bool read_programs(Report *r) {
  Arena *a = r->ctx->arena;
  for (int i = 0; i < r->q->noptions; i++) vec_push(a, &r->options, r->q->options[i]);
  for (int i = 0; i < r->q->nfiles; i++) {
    const char *file = r->q->files[i], *slash = strrchr(file, '/'), *why;
    size_t n;
    CudaProgram p = {.name = file, .text = file_read(a, file, &n, &why), .is_file = true};
    if (!p.text) return diag_error(r->ctx->diag, "cuda-file", 0, "%s", why);
    vec_push(a, &r->programs, p);
    vec_push(a, &r->options, slash ? arena_printf(a, "-I%.*s", (int)(slash - file + 1), file) : "-I.");
  }
  return true;
}

static void read_archs(Report *r) {
  for (const char *p = r->q->archs; *p; p += *p == ',') {
    size_t n = strcspn(p, ",");
    vec_push(r->ctx->arena, &r->archs, arena_strndup(r->ctx->arena, p, n));
    p += n;
  }
}

static bool read_minima(Report *r) {
  Arena *a = r->ctx->arena;
  const SassCounts none = {0};
  for (int i = 0; i < r->q->nleast; i++) {
    const char *word = r->q->least[i], *equals = strchr(word, '='), *colon = strchr(word, ':');
    char *end = NULL;
    unsigned long least = equals ? strtoul(equals + 1, &end, 10) : 0;
    uint32_t n;
    CudaMinimum m = {.least = (uint32_t)least};
    if (!equals || colon > equals) colon = NULL;
    if (colon) m.kernel = arena_strndup(a, word, (size_t)(colon - word));
    const char *from = colon ? colon + 1 : word;
    if (equals) m.operation = arena_strndup(a, from, (size_t)(equals - from));
    if (!equals || end == equals + 1 || *end || !least || least > UINT32_MAX || !sass_named(&none, m.operation, &n))
      return diag_error(r->ctx->diag, "cuda-least", 0,
                        "\"%s\" is no minimum of instructions: it is HGMMA=4 or KERNEL:LDG.128=2, with a name that the "
                        "report can print",
                        word);
    vec_push(a, &r->minima, m);
  }
  return true;
}

static void print_kernel(Report *r, const CudaImage *m, const CubinKernel *k, uint32_t sm) {
  const CudaFunction *f = NULL;
  for (uint32_t i = 0; i < m->functions.n && !f; i++)
    if (!strcmp(m->functions.at[i].name, k->name)) f = &m->functions.at[i];
  buf_printf(r->out, "  %s: %u registers, %u bytes of shared memory, %u bytes of parameters", k->name, k->registers,
             k->shared, k->param_bytes);
  if (f && (f->spill_stores || f->spill_loads))
    buf_printf(r->out, ", spills: %u bytes stored, %u loaded\n    ", f->spill_stores, f->spill_loads);
  else
    buf_put(r->out, ", no spills\n    ");
  const SassCounts counts = sass_count(k, sm);
  sass_print(&counts, r->out);
  buf_put(r->out, "\n");
}

static void print_warnings(Report *r, const CudaImage *m) {
  for (const char *p = m->log; *p;) {
    size_t n = strcspn(p, "\n");
    const char *line = arena_strndup(r->ctx->arena, p, n);
    if (strstr(line, "warning")) buf_printf(r->out, "  NVRTC: %s\n", line);
    p += n + (p[n] == '\n');
  }
}

static bool print_image(Report *r, const CudaImage *m) {
  Cubin cubin;
  const char *why;
  buf_printf(r->out, "%s for %s: %zu bytes of %s, %.2f s\n", m->program->name, m->arch, m->size,
             is_ptx(m) ? "PTX" : "code", m->seconds);
  print_warnings(r, m);
  if (is_ptx(m)) return true;
  for (uint32_t i = 0; i < m->advice.n; i++) buf_printf(r->out, "  ptxas: %s\n", m->advice.at[i]);
  if (!cubin_read(r->ctx->arena, m->code, m->size, &cubin, &why))
    return diag_error(r->ctx->diag, "audit-cubin", 0, "%s for %s: the cubin cannot be read: %s", m->program->name,
                      m->arch, why);
  for (uint32_t k = 0; k < cubin.nkernels; k++) print_kernel(r, m, &cubin.kernel[k], cubin.sm);
  return true;
}

static const char *image_path(Report *r, const CudaImage *m) {
  const char *slash = strrchr(m->program->name, '/'), *base = slash ? slash + 1 : m->program->name;
  size_t n = strlen(base);
  if (n > 3 && !strcmp(base + n - 3, ".cu")) n -= 3;
  return arena_printf(r->ctx->arena, "%s/%.*s.%s.%s", r->q->output, (int)n, base, m->arch, is_ptx(m) ? "ptx" : "cubin");
}

static bool write_images(Report *r, uint32_t n) {
  const char *why, *folder = r->q->output;
  if (mkdir(folder, 0777) && errno != EEXIST)
    return diag_error(r->ctx->diag, "cuda-output", 0, "cannot make the folder %s: %s", folder, strerror(errno));
  for (uint32_t i = 0; i < n; i++) {
    const CudaImage *m = &r->images[i];
    const char *path = image_path(r, m);
    for (uint32_t k = 0; k < i; k++)
      if (!strcmp(image_path(r, &r->images[k]), path))
        return diag_error(r->ctx->diag, "cuda-output", 0, "%s and %s would both be written to %s",
                          r->images[k].program->name, m->program->name, path);
    if (m->code && !link_write(r->ctx->arena, path, m->code, m->size, &why))
      return diag_error(r->ctx->diag, "cuda-output", 0, "%s", why);
  }
  return true;
}

bool cuda_command(Ctx *c, const CudaCommand *q, Buf *out) {
  Report r = {.ctx = c, .q = q, .out = out};
  LinkFolder folder;
  read_archs(&r);
  if (!read_programs(&r) || !read_minima(&r)) return false;
  const CudaRtc *rtc = cuda_rtc_open(c);
  if (!rtc || !link_folder_make(c, &folder)) return false;
  uint32_t n = r.programs.n * r.archs.n;
  r.images = ARENA_ARRAY(c->arena, CudaImage, n + 1);
  bool ok = cuda_compile(c, rtc, r.programs.at, (int)r.programs.n,
                         &(CudaOptions){.folder = &folder,
                                        .archs = r.archs.at,
                                        .narchs = (int)r.archs.n,
                                        .options = r.options.at,
                                        .noptions = (int)r.options.n,
                                        .jobs = q->jobs,
                                        .seconds = q->seconds},
                         r.images);
  link_folder_remove(&folder);
  for (uint32_t i = 0; i < n; i++) {
    const CudaImage *m = &r.images[i];
    if (!m->code) continue;
    ok &= print_image(&r, m);
    if (q->audit && !is_ptx(m)) ok &= cuda_audit(c, m, r.minima.at, (int)r.minima.n);
  }
  return (!q->output || write_images(&r, n)) && ok;
}

bool cuda_where(Ctx *c, Buf *out) {
  const CudaRtc *rtc = cuda_rtc_open(c);
  if (!rtc) return false;
  buf_printf(out, "NVRTC %d.%d: %s\narchitectures:", rtc->major, rtc->minor, rtc->path);
  for (int i = 0; i < rtc->narchs; i++) buf_printf(out, " sm_%d", rtc->arch[i]);
  buf_put(out, "\n");
  return true;
}
