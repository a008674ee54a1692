/* For tests: a module of Loop IR becomes object code, is linked with ld.lld into a shared object in a fresh folder
 * under /tmp and opened; a stage is then a function. Everything asserts; the folder is removed at once. Stages of code
 * for a machine that may be another one are called through JitMachine. */
#ifndef SINTER_TESTS_JIT_H
#define SINTER_TESTS_JIT_H
#include "abi.h"
#include "llvm_emit.h"
#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline Ctx jit_ctx(void) {
  Arena *a = arena_new();
  StrTab *names = strtab_new(a);
  return (Ctx){a, names, sym_tab_new(a, names), diag_new(a)};
}

/* Whether this machine runs code of a level. */
static inline bool jit_runs(const Target *t) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (t->level == LEVEL_V2) return __builtin_cpu_supports("sse4.2");
  if (t->level == LEVEL_V3) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (t->level == LEVEL_V4)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
  return false;
}

static inline void jit_write(const char *path, const void *data, size_t n) {
  FILE *f = fopen(path, "wb");
  assert(f && fwrite(data, 1, n, f) == n && !fclose(f));
}

/* Links k.so in a fresh folder, whose name it puts into `dir`. The hidden functions are reached through a table,
 * `stages`, in the order of kernels and stages. */
static inline void jit_link(const LoopModule *m, const Target *t, const EmitResult *object, char dir[32]) {
  char path[64], cmd[512];
  strcpy(dir, "/tmp/sinter-jit-XXXXXX");
  assert(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/k.o", dir);
  jit_write(path, object->object, object->size);
  snprintf(path, sizeof path, "%s/t.c", dir);
  FILE *f = fopen(path, "w");
  assert(f);
  Arena *a = arena_new();
  for (int pass = 0; pass < 2; pass++) {
    if (pass) fprintf(f, "void *const stages[] = {");
    for (uint32_t i = 0; i < m->kernels.n; i++)
      for (uint32_t j = 0; j < m->kernels.at[i]->stages.n; j++) {
        const char *s = emit_symbol(a, (int)i, m->kernels.at[i]->name, m->kernels.at[i]->stages.at[j]->name, t);
        fprintf(f, pass ? "%s, " : "extern char %s[] __attribute__((visibility(\"hidden\")));\n", s);
      }
  }
  fprintf(f, "0};\n");
  fclose(f);
  arena_free(a);
  snprintf(cmd, sizeof cmd, "cd %s && clang-19 --target=%s -w -fPIC -c t.c -o t.o && ld.lld-19 -shared -o k.so k.o t.o",
           dir, t->triple);
  assert(system(cmd) == 0);
}

static inline void jit_unlink(const char *dir) {
  char cmd[64];
  snprintf(cmd, sizeof cmd, "rm -r %s", dir);
  assert(system(cmd) == 0);
}

static inline SinterKernel *const *jit_open(const LoopModule *m, const Target *t, const EmitResult *object) {
  char dir[32], path[64];
  jit_link(m, t, object, dir);
  snprintf(path, sizeof path, "%s/k.so", dir);
  void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!h) fprintf(stderr, "%s\n", dlerror());
  assert(h);
  jit_unlink(dir);
  void *p = dlsym(h, "stages");
  assert(p);
  return p;
}

static inline SinterKernel *const *jit(const LoopModule *m, const Target *t) {
  EmitRequest q = {.module = m, .target = t, .arena = m->ctx->arena};
  EmitResult r;
  bool ok = emit_object(&q, &r);
  if (!ok) fprintf(stderr, "%s\n", r.error);
  assert(ok);
  return jit_open(m, t, &r);
}
/* The machine that runs stages: this one (jit_here.c), or AArch64 under an emulator (../a64/jit_qemu.c). A test program
 * is linked with one. */
typedef struct JitBlock {
  void *at;
  size_t bytes;
} JitBlock; /* memory that a stage may touch; its buffers lie in such */

typedef struct JitMachine {
  const char *arch;                                                      /* its levels */
  const char *(*missing)(void);                                          /* why it cannot be had, or NULL */
  bool (*runs)(const Target *);                                          /* code of other levels is made, not run */
  void *(*open)(const LoopModule *, const Target *, const EmitResult *); /* until the next open */
  void (*call)(void *, int stage, const SinterCall *, int ndims, int nbufs, const JitBlock *, int nblocks, int64_t lo,
               int64_t hi, int32_t tid);
} JitMachine;
extern const JitMachine jit_machine;
#endif
