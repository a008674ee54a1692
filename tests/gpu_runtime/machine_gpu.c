/* A GPU as the machine of the matrix: an artefact with code for GPUs, whose calls go to the fake driver. The driver
 * reads kernels' interfaces from the code that NVRTC made; the kernels that it runs are the same text as C. CARD: the
 * compute capability; ARCH: the code that such a card gets. */
#include "compiler.h"
#include "cuda_rtc.h"
#include "native.h"
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *missing(void) {
  static char why[512];
  Ctx c = ctx_new();
  const char *id;
  bool there = cuda_rtc_open(&c) != NULL;
  if (!there) snprintf(why, sizeof why, "%s", diag_first(c.diag, &id));
  ctx_free(&c);
  return there ? NULL : why;
}

static bool has(int level) { return level == 0; }

/* The text of all kernels, as the compilation left it beside the artefact. */
static bool load_kernels(const char *folder, char *why) {
  char command[2048];
  static int number; /* a library of a name that is open is not opened again */
  snprintf(command, sizeof command,
           "cat %s/dump/*.cu >%s/kernels.c && cc -std=gnu17 -O0 -fno-strict-aliasing -ffp-contract=off -w -Wno-psabi "
           "-shared -fPIC "
           "-Ikernels/cuda -Ikernels/emulator %s/kernels.c -o /tmp/sinter-kernels-%d-%d.so -lm && rm -r %s/dump "
           "%s/kernels.c",
           folder, folder, folder, (int)getpid(), number, folder, folder);
  if (system(command)) return snprintf(why, SINTER_WHY, "the C compiler refuses the text of the kernels"), false;
  snprintf(command, sizeof command, "/tmp/sinter-kernels-%d-%d.so", (int)getpid(), number++);
  bool ok = dlopen(FAKE_LIBCUDA, RTLD_NOW | RTLD_GLOBAL) && dlopen(command, RTLD_NOW);
  if (!ok) snprintf(why, SINTER_WHY, "%s", dlerror());
  unlink(command);
  return ok;
}

static bool open_gpu(SinterArtefact *a, const char *path, char *why) {
  char folder[256];
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
  setenv("SINTER_LIBCUDA", FAKE_LIBCUDA, 1);
  setenv("SINTER_FAKE_CC", CARD, 1);
  return load_kernels(folder, why) && sinter_artefact_open(a, path, why);
}

static int to_gpu(const SinterApi *api, SinterWeights *w) { return api->to(w, "cuda"); }

static const char *const programs[] = {PROGRAMS, NULL};
const NativeMachine native_machine = {.target = "x86_64",
                                      .cpu = "v2",
                                      .gpu = ARCH,
                                      .nlevels = 1,
                                      .level = {"v2"},
                                      .threads = {1},
                                      .slow = true,
                                      .programs = programs,
                                      .missing = missing,
                                      .has = has,
                                      .open = open_gpu,
                                      .place = to_gpu,
                                      .close = sinter_artefact_close};
