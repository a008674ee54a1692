/* How well printed kernels use a GPU's memory, which comes in sectors of 32 bytes: what a warp's lanes touch at one
 * place of the text at once is a request; of its sectors, all bytes ought to be used. The text is compiled with the
 * calls that the thread sanitizer puts before every access, and these count. Prints a line a kernel. */
#include "cuda_text.h"
#include "emulator.h"
#include "expand_math.h"
#include "pass.h"
#include "plan.h"
#include "simplify.h"
#include "sir.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka wants the headers above it
#include <cmocka.h>

static char folder[] = "/tmp/sinter_test_XXXXXX";

/* ---- counting ---- */

enum { SITES = 512, THREADS = 1024, TURNS = 256, LANES = 32, SECTOR = 32, DIM = 64, ROOM = 1 << 20, BUFS = 16 };

typedef struct Request {
  int bytes, n;
  uintptr_t sector[2 * LANES];
} Request;

typedef struct Site { /* a place of the text that accesses memory */
  const void *place;
  uint16_t turn[THREADS];
  Request *request[THREADS / LANES][TURNS];
} Site;

static Site *site;
static int nsites;
static char *memory; /* what is counted */
static unsigned block;
static double used, moved;

typedef struct Index {
  unsigned x, y, z;
} Index;
extern _Thread_local struct Running { /* EmuPlace of kernels/emulator/emulated.h */
  Index thread, block;
} *emu_place;

/* Ends the requests of a block. */
static void settle(void) {
  for (int s = 0; s < nsites; s++) {
    memset(site[s].turn, 0, sizeof site[s].turn);
    for (int w = 0; w < THREADS / LANES; w++)
      for (int t = 0; t < TURNS && site[s].request[w][t]; t++) {
        Request *r = site[s].request[w][t];
        used += r->bytes < r->n * SECTOR ? r->bytes : r->n * SECTOR;
        moved += r->n * SECTOR;
        memset(r, 0, sizeof *r);
      }
  }
}

static void touch(const void *place, const void *at, int bytes) {
  const char *p = at;
  if (p < memory || p >= memory + (size_t)BUFS * ROOM) return;
  if (emu_place->block.x != block) settle(), block = emu_place->block.x;
  int s = 0;
  while (s < nsites && site[s].place != place) s++;
  if (s == nsites) {
    if (nsites++ == SITES) abort();
    site[s].place = place;
  }
  unsigned t = emu_place->thread.x;
  uint16_t turn = site[s].turn[t]++;
  if (turn >= TURNS) abort();
  Request **r = &site[s].request[t / LANES][turn];
  if (!*r) *r = calloc(1, sizeof **r);
  (*r)->bytes += bytes;
  for (uintptr_t x = (uintptr_t)p / SECTOR; x <= ((uintptr_t)p + (uintptr_t)bytes - 1) / SECTOR; x++) {
    int i = 0;
    while (i < (*r)->n && (*r)->sector[i] != x) i++;
    if (i == (*r)->n) (*r)->sector[(*r)->n++] = x;
  }
}

#define HOOK(bytes)                                                                                                    \
  void __tsan_read##bytes(void *p);                                                                                    \
  void __tsan_read##bytes(void *p) { touch(__builtin_return_address(0), p, bytes); }                                   \
  void __tsan_write##bytes(void *p);                                                                                   \
  void __tsan_write##bytes(void *p) { touch(__builtin_return_address(0), p, bytes); }
HOOK(1)
HOOK(2)
HOOK(4)
HOOK(8)
HOOK(16)
#define IGNORE(name)                                                                                                   \
  void name(void);                                                                                                     \
  void name(void) {}
IGNORE(__tsan_init)
IGNORE(__tsan_func_entry)
IGNORE(__tsan_func_exit)
/* Of counting failures. */
uint32_t __tsan_atomic32_load(const uint32_t *p, int order);
uint32_t __tsan_atomic32_load(const uint32_t *p, int order) {
  (void)order;
  return __atomic_load_n(p, __ATOMIC_RELAXED);
}
int __tsan_atomic32_compare_exchange_strong(uint32_t *p, uint32_t *old, uint32_t to, int yes, int no);
int __tsan_atomic32_compare_exchange_strong(uint32_t *p, uint32_t *old, uint32_t to, int yes, int no) {
  (void)yes, (void)no;
  return __atomic_compare_exchange_n(p, old, to, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* ---- kernels ---- */

static bool look_up(void *ctx, const char *name, int64_t *v) {
  (void)ctx, (void)name;
  *v = DIM;
  return true;
}

static int64_t eval(const Kernel *k, Sym s) {
  int64_t v = 0;
  assert_true(sym_eval(k->ctx->syms, s, look_up, NULL, &v));
  return v;
}

static void run(const Kernel *k, const CudaStage *s) {
  static uint32_t failed[64];
  uint64_t word[64];
  int n = 0;
  assert_true(k->nparams <= BUFS);
  for (uint32_t i = 0; i < s->args.n; i++) {
    CudaArg a = s->args.at[i];
    word[n++] = a.kind == CUDA_BUFFER ? (uint64_t)(uintptr_t)(memory + (size_t)a.index * ROOM)
                : a.kind == CUDA_DIM  ? DIM
                                      : (uint64_t)(uintptr_t)failed;
  }
  EmulatorReport report;
  EmulatorLaunch l = {
      {(unsigned)eval(k, s->grid), 1, 1}, {(unsigned)s->threads, 1, 1}, (size_t)s->shared, (void *[]){word}, 0, 0};
  used = moved = 0, block = 0;
  if (!emulator_launch(emulator_find(s->name), &l, &report)) fail_msg("%s: %s", s->name, report.message);
  settle();
}

static void build(const Buf *text) {
  char command[512], path[64];
  snprintf(path, sizeof path, "%s/s.c", folder);
  FILE *f = fopen(path, "w");
  assert_true(f && fwrite(text->at, 1, text->n, f) == text->n && !fclose(f));
  snprintf(command, sizeof command,
           "cc -std=gnu17 -O0 -fno-strict-aliasing -fsanitize=thread -fPIC -Ikernels/cuda -Ikernels/emulator -c %s/s.c "
           "-o %s/s.o && cc -shared %s/s.o -o %s/s.so -lm",
           folder, folder, folder, folder);
  if (system(command)) fail_msg("the C compiler refuses the text; it is %s", path);
  snprintf(path, sizeof path, "%s/s.so", folder);
  if (!dlopen(path, RTLD_NOW)) fail_msg("%s", dlerror());
}

/* Of the bytes that are moved so many are used, at least. Rows of odd length do not begin with sectors; a matrix is
 * turned over without shared memory; what is moved of few bytes does not matter. */
static double least(const char *kernel) {
  enum { FEW = 20000 };
  if (moved < FEW) return 0;
  return !strncmp(kernel, "odd", 3) ? 0.9 : !strncmp(kernel, "turned", 6) ? 0.2 : 0.94;
}

static void sectors(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  LevelUnit level;
  static const char path[] = "tests/gpu_text/memory/coalesced.sir";
  bool ok = sir_trace(&c, path, NULL, &p) && program_map(&p, pass_inline_all, NULL) &&
            program_map(&p, pass_simplify, NULL) && program_map(&p, pass_half, NULL);
  Unit unit = {.program = &p};
  if (!ok || !plan_level(&unit, &TARGET_GPU, &level)) fail_msg("%s", diag_first(c.diag, NULL));
  expand_math_module(level.module, &TARGET_GPU);
  Buf text = {0};
  Vec(CudaStage) made = {0};
  Vec(Kernel *) of = {0};
  cuda_text_begin(&text);
  for (uint32_t i = 0; i < level.module->kernels.n; i++) {
    Kernel *k = level.module->kernels.at[i];
    for (uint32_t s = 0; s < k->stages.n; s++) {
      CudaStage m;
      const char *why;
      CudaWanted want = {80, false, arena_printf(c.arena, "%s_%s", k->name, k->stages.at[s]->name)};
      if (!cuda_text_stage(k, k->stages.at[s], &want, &m, &text, &why)) fail_msg("%s", why);
      vec_push(c.arena, &made, m);
      vec_push(c.arena, &of, k);
    }
  }
  build(&text);
  site = calloc(SITES, sizeof *site);
  if (posix_memalign((void **)&memory, 256, (size_t)BUFS * ROOM)) abort();
  memset(memory, 0, (size_t)BUFS * ROOM);
  int bad = 0;
  for (uint32_t i = 0; i < made.n; i++) {
    nsites = 0; /* places are new in each kernel, requests are empty between blocks */
    run(of.at[i], &made.at[i]);
    printf("%-40s %8.0f bytes used of %8.0f: %.2f\n", made.at[i].name, used, moved, used / moved);
    assert_true(moved > 0);
    bad += used < least(made.at[i].name) * moved;
  }
  assert_int_equal(bad, 0);
  ctx_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sectors)};
  if (!mkdtemp(folder)) return 1;
  int bad = cmocka_run_group_tests(tests, NULL, NULL);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command) || bad;
}
