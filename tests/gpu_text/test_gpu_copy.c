/* The copies of a plan as launches (emit/gpu_code.c): the text that the compiler writes for them, compiled as C and run
 * by the emulator: every number of bytes around a thread's and a block's, at places that do and do not lie for 16-byte
 * accesses, to the byte; and none where the call has failed. Runs cc from the root of the repository. */
#include "emulator.h"
#include "gpu_code.h"
#include "pass.h"
#include "sir.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/sinter_test_XXXXXX";

static void write_file(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_true(f && fputs(text, f) >= 0 && !fclose(f));
}

/* Two states change places, and an input is a result: copies that are and are not commits, and nothing else. */
static GpuCode write_kernels(Ctx *c, char *path, size_t room) {
  Program p;
  GpuCode g = {0};
  snprintf(path, room, "%s/m.sir", folder);
  write_file(path, "state a: f32[8] = ones([8])\nstate b: f32[8] = zeros([8])\n"
                   "entry f(x: f32[8]) -> f32[8] {\n  old = a\n  a <- b\n  b <- old\n  x\n}\n");
  Unit unit = {.program = &p};
  if (!sir_trace(c, path, NULL, &p) || !program_map(&p, pass_inline_all, NULL) || !gpu_archs(c, "sm_80", &g) ||
      !plan_level(&unit, &TARGET_GPU, &g.level) || !gpu_texts(&p, &g))
    fail_msg("%s", diag_first(c->diag, NULL));
  return g;
}

static const GpuFunction *function_named(const GpuText *t, const char *name) {
  for (uint32_t i = 0; i < t->functions.n; i++)
    if (!strcmp(t->functions.at[i].name, name)) return &t->functions.at[i];
  fail_msg("there is no %s", name);
  return NULL;
}

static void launch(const GpuFunction *f, uint64_t *words, int64_t bytes, uint32_t seed) {
  EmulatorReport report;
  int64_t a_block = GPU_COPY_BYTES * f->threads;
  EmulatorLaunch l = {.grid = {(unsigned)((bytes + a_block - 1) / a_block), 1, 1},
                      .block = {(unsigned)f->threads, 1, 1},
                      .params = (void *[]){words},
                      .seed = seed};
  const EmulatorKernel *k = emulator_find(f->name);
  assert_non_null(k);
  assert_int_equal(k->n_params, 1);
  assert_int_equal(k->param_size[0], f->commit ? 32 : 24);
  if (!emulator_launch(k, &l, &report)) fail_msg("%s", report.message);
}

static void copies(void **state) {
  (void)state;
  enum { ROOM = 3 * 4096 + 64 };
  Ctx c = ctx_new();
  char path[128], command[512];
  GpuCode g = write_kernels(&c, path, sizeof path);
  assert_int_equal(g.texts.at[0].programs.n, 1);
  assert_int_equal(g.texts.at[0].functions.n, 2);
  snprintf(path, sizeof path, "%s/k.c", folder);
  write_file(path, g.texts.at[0].programs.at[0].text);
  snprintf(
      command, sizeof command,
      "cc -std=gnu17 -O0 -fno-strict-aliasing -fsanitize=undefined -fsanitize-undefined-trap-on-error -Wall -Wextra "
      "-Werror -shared -fPIC -Ikernels/cuda -Ikernels/emulator %s/k.c -o %s/k.so -lm",
      folder, folder);
  assert_int_equal(system(command), 0);
  snprintf(path, sizeof path, "%s/k.so", folder);
  if (!dlopen(path, RTLD_NOW)) fail_msg("%s", dlerror());
  static const int64_t sizes[] = {1, 15, 16, 17, 31, 4095, 4096, 4097, 3 * 4096};
  static const int places[][2] = {{0, 0}, {16, 32}, {4, 0}, {0, 8}, {3, 3}};
  unsigned char *from = aligned_alloc(64, ROOM), *to = aligned_alloc(64, ROOM), *want = malloc(ROOM);
  for (int i = 0; i < ROOM; i++) from[i] = (unsigned char)(i * 37 + i / 251);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
      for (int failed = -1; failed <= 1; failed++) { /* -1: no commit */
        uint32_t failures[2] = {failed > 0, 0};
        uint64_t words[] = {(uint64_t)(uintptr_t)(to + places[p][0]), (uint64_t)(uintptr_t)(from + places[p][1]),
                            (uint64_t)sizes[s], (uint64_t)(uintptr_t)failures};
        memset(to, 0xee, ROOM);
        memset(want, 0xee, ROOM);
        if (failed <= 0) memcpy(want + places[p][0], from + places[p][1], (size_t)sizes[s]);
        launch(function_named(&g.texts.at[0], failed < 0 ? "copy" : "copy_commit"), words, sizes[s], (uint32_t)s);
        assert_memory_equal(to, want, ROOM);
      }
  free(from), free(to), free(want);
  ctx_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(copies)};
  if (!mkdtemp(folder)) return 1;
  int bad = cmocka_run_group_tests(tests, NULL, NULL);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command) || bad;
}
