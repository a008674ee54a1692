/* What the driver knows of kernels: from cubins and PTX; launches checked against it. */
#include "fake_parts.h"
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNASKED_SHARED = 48 * 1024 };

/* Such libraries call the emulator, which is here: opened as the runtime opens it, this library's names are its own
 * until it is opened once more. */
void fake_code_load(void) {
  const char *list = getenv("SINTER_FAKE_CODE");
  Dl_info here;
  if (!list) return;
  if (!dladdr((const void *)&fake, &here) || !dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL)) abort();
  char *paths = strdup(list), *rest = paths;
  if (!paths) abort();
  for (const char *path; (path = strsep(&rest, ":"));)
    if (*path && !dlopen(path, RTLD_NOW)) fake_refuse(0, "SINTER_FAKE_CODE: %s", dlerror());
  free(paths);
}

/* The driver is not told how long a cubin is. */
static size_t elf_bytes(const void *image) {
  const Elf64_Ehdr *h = image;
  size_t end = h->e_shoff + (size_t)h->e_shnum * h->e_shentsize;
  const Elf64_Shdr *s = (const void *)((const char *)image + h->e_shoff);
  for (int i = 0; i < h->e_shnum; i++)
    if (s[i].sh_type != SHT_NOBITS && s[i].sh_offset + s[i].sh_size > end) end = s[i].sh_offset + s[i].sh_size;
  size_t program_end = h->e_phoff + (size_t)h->e_phnum * h->e_phentsize;
  return end > program_end ? end : program_end;
}

static int read_cubin(FakeModule *m, const void *image) {
  const char *why;
  size_t n = elf_bytes(image);
  void *copy = arena_alloc(m->arena, n);
  memcpy(copy, image, n);
  if (!cubin_read(m->arena, copy, n, &m->cubin, &why)) return fake_refuse(CUDA_ERROR_INVALID_IMAGE, "%s", why);
  uint32_t sm = m->cubin.sm;
  if (sm / 10 != fake.cc / 10 || sm > fake.cc)
    return fake_refuse(CUDA_ERROR_NO_BINARY, "a cubin for sm_%u on compute capability %u", sm, fake.cc);
  return 0;
}

static int read_ptx(FakeModule *m, const char *text, char *log, size_t room) {
  const char *target = strstr(text, ".target sm_");
  if (!target) return CUDA_ERROR_INVALID_IMAGE;
  uint32_t sm = (uint32_t)atoi(target + strlen(".target sm_"));
  if (sm > fake.cc) {
    snprintf(log, room, "ptxas fatal: PTX for sm_%u on sm_%u", sm, fake.cc);
    return CUDA_ERROR_INVALID_PTX;
  }
  m->ptx = arena_strndup(m->arena, text, strlen(text));
  return 0;
}

int fake_image_read(FakeModule *m, const void *image, char *log, size_t room) {
  m->arena = arena_new();
  return memcmp(image, ELFMAG, SELFMAG) ? read_ptx(m, image, log, room) : read_cubin(m, image);
}

void fake_image_free(FakeModule *m) { arena_free(m->arena); }

/* ---- functions ---- */

static bool from_cubin(const FakeModule *m, const char *name, FakeFunction *f) {
  for (uint32_t i = 0; i < m->cubin.nkernels; i++) {
    const CubinKernel *k = &m->cubin.kernel[i];
    if (strcmp(k->name, name)) continue;
    if (k->nparams > EMULATOR_MAX_PARAMS || k->param_bytes > FAKE_PARAMS) return false;
    f->threads = k->threads[0] * k->threads[1] * k->threads[2];
    f->shared = k->shared;
    f->nparams = k->nparams;
    f->param_bytes = k->param_bytes;
    memcpy(f->param, k->param, k->nparams * sizeof *k->param);
    return true;
  }
  return false;
}

/* Of ".param .align 64 .b8 name[128]" or ".param .u64 .ptr .align 1 name": alignment and size. */
static bool ptx_param(const char *p, const char *end, uint32_t *align, uint32_t *size) {
  *size = 0, *align = 0;
  for (; p < end; p++) {
    if (*p == '[') *size = (uint32_t)atoi(p + 1);
    if (*p != '.') continue;
    if (!strncmp(p, ".align", 6) && !*size) *align = (uint32_t)atoi(p + 6);
    if (strchr("busf", p[1]) && p[2] >= '1' && p[2] <= '9' && !*size) *size = (uint32_t)atoi(p + 2) / 8;
  }
  if (*align < *size && *size <= 8) *align = *size;
  return *size && *align;
}

static bool from_ptx(const FakeModule *m, const char *name, FakeFunction *f) {
  char entry[256];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  const char *at = strstr(m->ptx, entry), *end = at ? strchr(at, ')') : NULL;
  if (!end) return false;
  for (const char *p = strstr(at, ".param"); p && p < end;) {
    const char *next = strstr(p + 1, ".param");
    uint32_t align, size;
    if (f->nparams == EMULATOR_MAX_PARAMS || !ptx_param(p + 6, next && next < end ? next : end, &align, &size))
      return false;
    uint32_t offset = (f->param_bytes + align - 1) / align * align;
    f->param[f->nparams++] = (CubinParam){offset, size};
    f->param_bytes = offset + size;
    p = next;
  }
  const char *limit = strstr(end, ".maxntid "), *body = strchr(end, '{');
  f->threads = limit && body && limit < body ? (uint32_t)atoi(limit + strlen(".maxntid ")) : 1024;
  return f->param_bytes <= FAKE_PARAMS;
}

int fake_image_function(FakeModule *m, const char *name, FakeFunction **out) {
  FakeFunction *f = ARENA_NEW(m->arena, FakeFunction);
  *out = NULL;
  f->name = arena_strndup(m->arena, name, strlen(name));
  f->runs = emulator_find(name);
  if (!(m->ptx ? from_ptx(m, name, f) : from_cubin(m, name, f))) return CUDA_ERROR_NOT_FOUND;
  if (!f->runs) return fake_refuse(CUDA_ERROR_NOT_FOUND, "%s is not in the emulator", name);
  bool same = f->nparams == (uint32_t)f->runs->n_params;
  for (uint32_t i = 0; i < f->nparams && same; i++) same = f->param[i].size == f->runs->param_size[i];
  if (!same) return fake_refuse(CUDA_ERROR_NOT_FOUND, "%s has other parameters than in the emulator", name);
  *out = f;
  return 0;
}

/* ---- launches ---- */

int fake_kernel_set(FakeKernel *k, const CudaNode *n) {
  const FakeFunction *f = (const FakeFunction *)n->function;
  uint64_t threads = 1, most = f->dynamic > UNASKED_SHARED ? f->dynamic : UNASKED_SHARED;
  for (int i = 0; i < 3; i++) {
    if (!n->grid[i] || !n->block[i]) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "%s: an empty launch", f->name);
    threads *= n->block[i];
  }
  if (f->threads && threads > f->threads)
    return fake_refuse(CUDA_ERROR_OUT_OF_RESOURCES, "%s: %llu threads, it was built for %u", f->name,
                       (unsigned long long)threads, f->threads);
  if (n->shared > most)
    return fake_refuse(CUDA_ERROR_INVALID_VALUE, "%s: %u bytes of shared memory, it asked for %llu", f->name, n->shared,
                       (unsigned long long)most);
  if (n->extra || !n->params) return fake_refuse(CUDA_ERROR_INVALID_VALUE, "%s: no parameters", f->name);
  k->function = f;
  for (int i = 0; i < 3; i++) k->grid[i] = n->grid[i], k->block[i] = n->block[i];
  k->shared = n->shared;
  for (uint32_t i = 0; i < f->nparams; i++) {
    if (f->param[i].offset + f->param[i].size > f->param_bytes)
      return fake_refuse(CUDA_ERROR_INVALID_IMAGE, "%s: a parameter lies outside of their block", f->name);
    memcpy(k->params + f->param[i].offset, n->params[i], f->param[i].size);
  }
  return 0;
}

bool fake_kernel_run(const FakeKernel *k) {
  void *params[EMULATOR_MAX_PARAMS];
  EmulatorReport report;
  for (uint32_t i = 0; i < k->function->nparams; i++)
    params[i] = (void *)(uintptr_t)(k->params + k->function->param[i].offset);
  EmulatorLaunch l = {.shared_bytes = k->shared, .params = params, .lazy = true};
  for (int i = 0; i < 3; i++) l.grid[i] = k->grid[i], l.block[i] = k->block[i];
  return emulator_launch(k->function->runs, &l, &report) || fake_refuse(0, "%s", report.message);
}
