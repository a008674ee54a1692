#include "cli.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char HELP_INFO[] =
    "usage: sinter info ARTEFACT [--kernels]\n"
    "\n"
    "Prints what an artefact holds: entries, parameters and states, levels of processors, bytes.\n"
    "  --kernels  also the kernels of each level and GPU\n";
static const char HELP_VERIFY[] = "usage: sinter verify ARTEFACT\n"
                                  "\n"
                                  "Checks the length and the checksum of an artefact without loading it.\n";

static void print_cells(const SinterModel *m, int kind, const char *title) {
  const SinterCell *c = SINTER_LIST(SinterCell, m, m->cells);
  uint64_t n = 0, elements = 0, bytes = 0;
  for (uint32_t i = 0; i < m->cells.n; i++) {
    if ((c[i].kind != 0) != (kind != 0)) continue;
    n++, bytes += c[i].bytes, elements += c[i].bytes / sinter_dtype_size(c[i].dtype);
  }
  if (!n) return;
  printf("\n%s: %" PRIu64 " (%" PRIu64 " elements, %" PRIu64 " bytes)\n", title, n, elements, bytes);
  for (uint32_t i = 0; i < m->cells.n; i++) {
    if ((c[i].kind != 0) != (kind != 0)) continue;
    Text type = {0};
    NpyArray shape = {.dtype = c[i].dtype, .rank = c[i].rank};
    array_type(&type, &shape, c[i].dim);
    printf("  %-32s %s%s\n", sinter_text(m, c[i].name), type.at, c[i].kind == 2 ? " local" : "");
    text_free(&type);
  }
}

static void print_workspace(const Artefact *s) {
  const SinterModel *m = s->m;
  int64_t *dims = mem_alloc(8 * ((size_t)m->dims.n + 1));
  for (int64_t size = 1; size <= 64; size *= 64) {
    Buf text = {0};
    bool clipped = true;
    for (uint32_t i = 0; i < m->dims.n; i++) {
      int64_t lo = INT64_MAX, hi = 0;
      for (uint32_t e = 0; e < m->entries.n; e++) {
        const SinterDim *d = SINTER_LIST(SinterDim, m, model_entries(m)[e].dims);
        for (uint32_t k = 0; k < model_entries(m)[e].dims.n; k++) {
          if (d[k].index != i) continue;
          lo = d[k].lo < lo ? d[k].lo : lo;
          hi = d[k].hi > hi ? d[k].hi : hi;
        }
      }
      dims[i] = size < lo ? lo : size > hi ? hi : size;
      clipped &= dims[i] != size;
      buf_printf(&text, "%s%s = %" PRId64, i ? ", " : " for ", sinter_text(m, SINTER_LIST(SinterText, m, m->dims)[i]),
                 dims[i]);
    }
    if (size == 1 || (m->dims.n && !clipped))
      printf("workspace: %zu bytes%s\n", s->api->workspace(dims, 1), text.at ? text.at : "");
    buf_free(&text);
  }
  free(dims);
}

static void print_gpu_code(const SinterModel *m) {
  const SinterGpuImage *g = SINTER_LIST(SinterGpuImage, m, m->gpu_images);
  char name[SINTER_GPU_TEXT];
  for (uint32_t i = 0; i < m->gpu_images.n; i++) {
    const SinterGpuProgram *p = SINTER_LIST(SinterGpuProgram, m, g[i].programs);
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < g[i].programs.n; k++) bytes += p[k].bytes;
    printf("%s%s (", i ? ", " : "GPU code: ", sinter_gpu_text(&g[i], name));
    if (g[i].kind == SINTER_GPU_PTX)
      printf("PTX, ");
    else
      printf("%u kernel%s, ", g[i].kernels.n, g[i].kernels.n == 1 ? "" : "s");
    printf("%" PRIu64 " KB)", (bytes + 512) / 1024);
  }
  if (m->gpu_images.n) printf("\n");
}

static void print_gpu_kernels(const SinterModel *m) {
  const SinterGpuImage *g = SINTER_LIST(SinterGpuImage, m, m->gpu_images);
  char name[SINTER_GPU_TEXT];
  for (uint32_t i = 0; i < m->gpu_images.n; i++) {
    const SinterGpuKernel *k = SINTER_LIST(SinterGpuKernel, m, g[i].kernels);
    sinter_gpu_text(&g[i], name);
    for (uint32_t n = 0; n < g[i].kernels.n; n++) printf("  %s %s\n", name, sinter_text(m, k[n].name));
  }
}

static void print_info(const Artefact *s, bool kernels) {
  const SinterModel *m = s->m;
  int level = s->api ? s->api->level() : -1;
  printf("%s: model %s, made by %s from %s, %" PRIu64 " bytes\n", s->path, sinter_text(m, m->name),
         m->compiler ? sinter_text(m, m->compiler) : "?", m->source ? sinter_text(m, m->source) : "?", s->art.bytes);
  printf("machine: %s\nlevels:", sinter_machine_text(s->art.machine));
  for (uint32_t i = 0; i < SINTER_LEVELS; i++)
    if (m->levels >> i & 1) printf(" %s", sinter_level_text(i));
  if (s->art.program)
    printf("\na program: %s --help says how to run it\n", s->path);
  else
    printf(" (here: %s)\n", level >= 0 ? sinter_level_text((uint32_t)level) : "none");
  print_gpu_code(m);
  if (s->api) print_workspace(s); /* its own code knows */
  printf("\nentries:\n");
  Text entries = {0};
  model_signatures(&entries, m);
  fputs(entries.at, stdout);
  text_free(&entries);
  print_cells(m, 0, "parameters");
  print_cells(m, 1, "states");
  const SinterKernelInfo *k = SINTER_LIST(SinterKernelInfo, m, m->kernels);
  printf("\nkernels: %u\n", m->kernels.n);
  for (uint32_t i = 0; kernels && i < m->kernels.n; i++)
    printf("  %s %s %s\n", sinter_level_text(k[i].level), k[i].name ? sinter_text(m, k[i].name) : "?",
           k[i].stage ? sinter_text(m, k[i].stage) : "");
  if (kernels) print_gpu_kernels(m);
}

static int info(int argc, char **argv) {
  bool kernels = false;
  Words rest = {mem_alloc(sizeof(char *) * (size_t)argc), 0};
  const Option options[] = {{"--kernels", NULL, &kernels, NULL}};
  int status = cli_options(argc, argv, options, 1, &rest);
  if (!status && rest.n != 1) status = cli_usage("info wants one artefact");
  if (!status) {
    Artefact s;
    status = artefact_look(&s, rest.at[0]);
    if (!status) print_info(&s, kernels);
    artefact_end(&s);
  }
  free(rest.at);
  return status;
}

static int verify(int argc, char **argv) {
  char why[SINTER_WHY];
  uint64_t bytes;
  Words rest = {mem_alloc(sizeof(char *) * (size_t)argc), 0};
  int status = cli_options(argc, argv, NULL, 0, &rest);
  if (!status && rest.n != 1) status = cli_usage("verify wants one artefact");
  if (!status && !sinter_artefact_verify(rest.at[0], &bytes, NULL, why)) status = cli_fail("%s", why);
  if (!status) printf("%s: %" PRIu64 " bytes, the checksum agrees\n", rest.at[0], bytes);
  free(rest.at);
  return status;
}

const Command command_info = {"info", "prints what an artefact holds", info, HELP_INFO};
const Command command_verify = {"verify", "checks the checksum of an artefact", verify, HELP_VERIFY};
