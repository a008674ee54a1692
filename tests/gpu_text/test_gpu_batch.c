/* Launches that run at once (plan/plan_batch.c) as one kernel (emit/cuda_batch.c): its parts do not meet in memory, and
 * run by the emulator it gives the bits that they give one after the other; how many launches are left of the models'
 * training steps; of a model its kernels compiled by NVRTC. Arguments: the files to try, instead of all. SANITIZER: as
 * in test_gpu_text.c. */
#include "cuda_batch.h"
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
#include "each_file.h"

#ifdef SANITIZER
#define OPTIONS " -O1 -fsanitize=" SANITIZER " "
enum { ORDERS = 10, LATE = 1 };
#else
#define OPTIONS " -O0 "
enum { ORDERS = 1, LATE = 0 };
#endif
enum { MAX_PARTS = 128, MEMORY = 1 << 22 };

static char folder[] = "/tmp/sinter_test_XXXXXX";

static void plan_of(Ctx *c, const char *path, Program *p, LevelUnit *level) {
  bool ok = sir_trace(c, path, NULL, p) && program_map(p, pass_inline_all, NULL) &&
            program_map(p, pass_simplify, NULL) && program_map(p, pass_half, NULL);
  Unit unit = {.program = p, .init = ok ? plan_init_entry(p) : NULL};
  if (!ok || !plan_level(&unit, &TARGET_GPU, level)) fail_msg("%s: %s", path, diag_first(c->diag, NULL));
}

/* ---- dimensions ---- */

typedef struct Dims { /* of a plan: each as large as it may be, up to `most` */
  const Plan *plan;
  int64_t most;
} Dims;

static bool look_up(void *ctx, const char *name, int64_t *v) {
  const Dims *d = ctx;
  for (uint32_t i = 0; i < d->plan->dims.n; i++) {
    const Dim *x = &d->plan->dims.at[i];
    if (!strcmp(x->name, name)) return *v = d->most < x->lo ? x->lo : d->most > x->hi ? x->hi : d->most, true;
  }
  return false;
}

static int64_t eval(const Ctx *c, const Dims *d, Sym s) {
  int64_t v = 0;
  assert_true(sym_eval(c->syms, s, look_up, (void *)(uintptr_t)d, &v));
  return v;
}

/* The value of a Sym of the step's kernel. */
static int64_t eval_in(const Ctx *c, const Dims *d, const Kernel *k, const Step *s, Sym of) {
  const char *names[32];
  for (uint32_t i = 0; i < k->dims.n; i++) names[i] = k->dims.at[i].name;
  return eval(c, d, sym_replace(c->syms, of, names, s->dims, s->ndims));
}

/* ---- memory: inputs, outputs, cells and the like one after the other, then the arena ---- */

typedef struct Memory {
  const Ctx *c;
  const EntryPlan *e;
  Dims dims;
  char *base;
  int64_t arena; /* where it begins */
} Memory;

static int64_t bytes_of(const Memory *m, int buf) {
  return eval(m->c, &m->dims, plan_axis_bytes(m->c->syms, &m->e->plan->bufs.at[buf], -1));
}

static bool one_place(PlanBind a, PlanBind b) { return a.kind == b.kind && a.index == b.index; }

static int64_t place_of(const Memory *m, int buf) {
  const EntryPlan *e = m->e;
  if (e->binds.at[buf].kind == BIND_ARENA) return m->arena + eval(m->c, &m->dims, e->plan->bufs.at[buf].at);
  int64_t at = 0;
  for (int i = 0; i < buf; i++) {
    if (one_place(e->binds.at[i], e->binds.at[buf])) return place_of(m, i);
    if (e->binds.at[i].kind != BIND_ARENA) at += (bytes_of(m, i) + 63) / 64 * 64;
  }
  return at;
}

static bool overlap(const Memory *m, int a, int b) {
  int64_t x = place_of(m, a), y = place_of(m, b);
  return x < y + bytes_of(m, b) && y < x + bytes_of(m, a);
}

/* By their places in bytes: what one stores the other does not touch; a commit is behind all that may fail. */
static void check_apart(const Memory *m, const LoopModule *mod, const Step *a, const Step *b) {
  const Step *s[2] = {a, b};
  bool read[2][64] = {{0}}, write[2][64] = {{0}}, fails[2];
  for (int i = 0; i < 2; i++) {
    const Kernel *k = mod->kernels.at[s[i]->kernel];
    assert_true(k->bufs.n <= 64);
    loop_uses(k, k->stages.at[s[i]->stage], read[i], write[i]);
    fails[i] = loop_fails(k->stages.at[s[i]->stage]);
  }
  assert_false((fails[0] && b->commit) || (fails[1] && a->commit));
  for (int i = 0; i < a->nviews; i++)
    for (int j = 0; j < b->nviews; j++) {
      if (a->views[i].buf < 0 || b->views[j].buf < 0 || !(write[0][i] || write[1][j])) continue;
      if (overlap(m, a->views[i].buf, b->views[j].buf))
        fail_msg("%s: %s and %s meet", m->e->plan->name, m->e->plan->bufs.at[a->views[i].buf].name,
                 m->e->plan->bufs.at[b->views[j].buf].name);
    }
}

/* ---- launches ---- */

static void launch(const char *name, int64_t blocks, int threads, int shared, uint64_t *word, int n, uint32_t seed) {
  EmulatorReport report;
  const EmulatorKernel *kernel = emulator_find(name);
  if (!kernel) fail_msg("%s is not in the text", name);
  assert_int_equal(kernel->param_size[0], (size_t)n * 8);
  EmulatorLaunch l = {
      {(unsigned)blocks, 1, 1}, {(unsigned)threads, 1, 1}, (size_t)shared, (void *[]){word}, seed, LATE};
  if (blocks && !emulator_launch(kernel, &l, &report)) fail_msg("%s: %s", name, report.message);
}

static int put_words(const Memory *m, const Step *s, const CudaStage *made, uint32_t *failed, uint64_t *word) {
  int n = 0;
  for (uint32_t i = 0; i < made->args.n; i++) {
    CudaArg a = made->args.at[i];
    word[n++] = a.kind == CUDA_BUFFER ? (uint64_t)(uintptr_t)(m->base + place_of(m, s->views[a.index].buf))
                : a.kind == CUDA_DIM  ? (uint64_t)eval(m->c, &m->dims, s->dims[a.index])
                                      : (uint64_t)(uintptr_t)failed;
  }
  return n;
}

typedef struct Batch { /* of an entry's plan */
  const EntryPlan *entry;
  const Step *step[MAX_PARTS];
  CudaPart part[MAX_PARTS];
  CudaStage alone[MAX_PARTS];
  CudaBatch made;
  int n;
} Batch;

static void *build(const Buf *text) {
  char command[512], path[64];
  snprintf(path, sizeof path, "%s/b.c", folder);
  FILE *f = fopen(path, "w");
  assert_true(f && fwrite(text->at, 1, text->n, f) == text->n && !fclose(f));
  snprintf(command, sizeof command,
           CC OPTIONS
           "-std=gnu17 -fno-strict-aliasing -ffp-contract=off -Wall -Wextra -Werror -Wno-maybe-uninitialized "
           "-Wno-unused-but-set-variable -shared -fPIC -Ikernels/cuda -Ikernels/emulator %s -o %s/b.so -lm",
           path, folder);
  if (system(command)) fail_msg("the C compiler refuses the text; it is %s", path);
  snprintf(path, sizeof path, "%s/b.so", folder);
  void *code = dlopen(path, RTLD_NOW);
  if (!code) fail_msg("%s", dlerror());
  return code;
}

/* One after the other, then at once, from the same memory; in another order of threads the same again. */
static bool compare(const Ctx *c, const Batch *b, int64_t most, uint32_t seed, uint32_t order) {
  static char start[MEMORY], theirs[MEMORY], mine[MEMORY], first_order[MEMORY];
  uint32_t failed[2][64] = {{0}};
  uint64_t word[CUDA_BATCH_WORDS];
  Memory m = {c, b->entry, {b->entry->plan, most}, theirs, 0};
  for (uint32_t i = 0; i < b->entry->binds.n; i++)
    if (b->entry->binds.at[i].kind != BIND_ARENA) m.arena += (bytes_of(&m, (int)i) + 63) / 64 * 64;
  if (m.arena + eval(c, &m.dims, b->entry->arena) > MEMORY) return false;
  for (int i = 0; i < MEMORY / 4; i++) { /* floats from 0.5 to 2; as integers large */
    uint32_t x = (uint32_t)i * 2654435761u + seed;
    float f = 0.5f + (float)(x >> 8) * 0x1.8p-24f;
    memcpy(start + 4 * i, &f, 4);
  }
  memcpy(theirs, start, MEMORY), memcpy(mine, start, MEMORY);
  int64_t first[MAX_PARTS], blocks = 0;
  for (int i = 0; i < b->n; i++) {
    const CudaStage *s = &b->alone[i];
    int n = put_words(&m, b->step[i], s, failed[0], word);
    launch(s->name, eval_in(c, &m.dims, b->part[i].kernel, b->step[i], s->grid), s->threads, s->shared, word, n,
           seed + order);
  }
  m.base = mine;
  int n = 0;
  for (int i = 0; i < b->n; i++) {
    int part = b->made.order[i];
    first[i] = blocks;
    word[n++] = (uint64_t)first[i];
    n += put_words(&m, b->step[part], b->made.stage[part], failed[1], word + n);
    blocks += eval_in(c, &m.dims, b->part[part].kernel, b->step[part], b->made.stage[part]->grid);
  }
  launch(b->made.name, blocks, b->made.threads, b->made.shared, word, n, seed + order);
  assert_memory_equal(failed[0], failed[1], sizeof failed[0]);
  if (memcmp(mine, theirs, MEMORY)) fail_msg("%s: %s gives other bytes", b->entry->plan->name, b->made.name);
  if (!order) memcpy(first_order, mine, MEMORY);
  if (memcmp(mine, first_order, MEMORY))
    fail_msg("%s: %s gives other bytes in order %u", b->entry->plan->name, b->made.name, order);
  return true;
}

static void one_file(void **state) {
  Ctx c = ctx_new();
  Program p;
  LevelUnit level;
  Vec(Batch *) batches = {0};
  plan_of(&c, *state, &p, &level);
  for (uint32_t e = 0; e < p.entries.n; e++) {
    Batch *b = NULL;
    int last = 0;
    for (const Step *s = level.entries[e].plan->steps; s; s = s->next) {
      if (s->kind == STEP_BARRIER) continue;
      if (s->batch && s->batch != last) {
        b = ARENA_NEW(c.arena, Batch);
        b->entry = &level.entries[e];
        vec_push(c.arena, &batches, b);
      }
      last = s->batch;
      if (!s->batch) continue;
      Kernel *k = level.module->kernels.at[s->kernel];
      assert_true(b->n < MAX_PARTS);
      b->step[b->n] = s;
      b->part[b->n++] = (CudaPart){k, k->stages.at[s->stage], s->commit};
    }
  }
  for (uint32_t i = 0; i < batches.n; i++) {
    const Batch *b = batches.at[i];
    assert_true(b->n > 1);
    for (int most = 1; most < 100; most += 49)
      for (int x = 0; x < b->n; x++)
        for (int y = 0; y < x; y++) {
          Memory m = {&c, b->entry, {b->entry->plan, most}, NULL, 0};
          m.arena = (int64_t)1 << 40;
          check_apart(&m, level.module, b->step[x], b->step[y]);
        }
  }
  expand_math_module(level.module, &TARGET_GPU);
  Buf text = {0};
  const char *why;
  cuda_text_begin(&text);
  for (uint32_t i = 0; i < batches.n; i++) {
    Batch *b = batches.at[i];
    for (int k = 0; k < b->n; k++) {
      CudaWanted want = {80, b->part[k].commit, arena_printf(c.arena, "alone_%u_%d", i, k)};
      if (!cuda_text_stage(b->part[k].kernel, b->part[k].stage, &want, &b->alone[k], &text, &why)) fail_msg("%s", why);
    }
    CudaWanted want = {80, false, arena_printf(c.arena, "batch_%u", i)};
    if (!cuda_batch(b->part, b->n, &want, &b->made, &text, &why)) fail_msg("%s", why);
  }
  if (getenv("SHOW")) puts(text.at);
  void *code = build(&text);
  for (uint32_t i = 0; i < batches.n; i++) {
    int tried = 0;
    for (uint32_t most = 1; most < 20; most += LATE ? 20 : 6)
      for (uint32_t order = 0; order < ORDERS; order++) tried += compare(&c, batches.at[i], most, most, order);
    assert_true(tried > 0);
  }
  printf("%s: %u batches\n", (char *)*state, batches.n);
  dlclose(code);
  buf_free(&text);
  ctx_free(&c);
}

/* ---- how many launches ---- */

/* All updates of parameters are one launch, and all sums of squares of their gradients. */
static void launches(void **state) {
  (void)state;
  static const char *const paths[] = {"models/digits.sir", "models/digits_cnn.sir", "models/gpt_small.sir"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    Ctx c = ctx_new();
    Program p;
    LevelUnit level;
    int steps = 0, n = 0, last = 0, parts = 0, large = 0;
    plan_of(&c, paths[i], &p, &level);
    assert_string_equal(p.entries.at[0].name, "step");
    for (const Step *s = level.entries[0].plan->steps; s; s = s->next) {
      if (s->kind == STEP_BARRIER) continue;
      bool begins = !s->batch || s->batch != last;
      steps++;
      n += begins;
      parts = begins ? 1 : parts + 1;
      large += parts == 12; /* of the 16 parameters of the transformer 4 have their sums with their gradients */
      last = s->batch;
    }
    printf("%s: a step of training is %d steps of its plan, %d launches\n", paths[i], steps, n);
    assert_true(n < steps);
    if (strstr(paths[i], "gpt")) assert_true(large == 2 && parts == 16);
    ctx_free(&c);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(launches)};
  static const char *const patterns[] = {"tests/plan/*.sir", "models/digits*.sir", NULL};
  if (!mkdtemp(folder)) return 1;
  int bad = argc < 2 ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
  bad += each_file("gpu_batch", argc, argv, patterns, one_file);
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command) || bad;
}
