/* Memory of plans, by brute force: every program of tests/plan and models, and programs from random bytes, planned for
 * every level, is walked at concrete dimensions with a list of what lies where. A step may read a value only from
 * memory that holds just this value (so no live buffers overlap, and no update is stored before the last reader of the
 * old value), and steps without a barrier between them may not meet but in one buffer with equal tasks. At the end
 * outputs, cells and inouts hold what the entry promises. The arena is compared with the most that is alive at once.
 * Run from the root. */
#include "gen.h"
#include "pass.h"
#include "plan.h"
#include "simplify.h"
#include "sir.h"
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

typedef struct Range { /* of the arena, or of a binding of its own */
  int space;
  int64_t lo, hi;
} Range;

enum {
  SCRATCH = 1 << 24,
  LEAF = 1 << 25
}; /* contents that are no nodes: scratch of a kernel, what a binding holds at first */

typedef struct Content {
  Range at;
  int64_t value; /* a node, or SCRATCH + the buffer, or LEAF + the binding */
} Content;

typedef struct Walk {
  Ctx *c;
  const LevelUnit *level;
  const Entry *e;
  const EntryPlan *plan;
  const char *what;
  int64_t dim[64];
  Range *range; /* of each buffer of the plan */
  Vec(Content) holds;
  int64_t arena;
  uint32_t group; /* of the last launch */
  int stage;
} Walk;

static bool lookup(void *ctx, const char *name, int64_t *value) {
  Walk *w = ctx;
  for (uint32_t i = 0; i < w->e->dims.n; i++)
    if (!strcmp(w->e->dims.at[i].name, name)) {
      *value = w->dim[i];
      return true;
    }
  return false;
}

static int64_t number(Walk *w, Sym s) {
  int64_t x;
  if (!sym_eval(w->c->syms, s, lookup, w, &x))
    fail_msg("%s: %s has no value", w->what, sym_text(w->c->syms, s, w->c->arena));
  return x;
}

static bool choose_dims(Walk *w, int64_t size) {
  for (int64_t d = 0; d < 16; d++) {
    bool ok = true;
    for (uint32_t i = 0; i < w->e->dims.n; i++) {
      const Dim *x = &w->e->dims.at[i];
      w->dim[i] = size + d < x->lo ? x->lo : size + d > x->hi ? x->hi : size + d;
    }
    for (uint32_t i = 0; i < w->e->checks.n && ok; i++) {
      int64_t holds;
      ok = sym_eval(w->c->syms, w->e->checks.at[i].cond, lookup, w, &holds) && holds;
    }
    if (ok) return true;
  }
  return false;
}

static bool overlap(const Range *a, const Range *b) { return a->space == b->space && a->lo < b->hi && b->lo < a->hi; }

static int space_of(BindKind kind, int index) { return 1 + (int)kind * 100000 + index; }

static void place_buffers(Walk *w) {
  const Plan *p = w->plan->plan;
  w->range = ARENA_ARRAY(w->c->arena, Range, p->bufs.n + 1);
  w->arena = number(w, w->plan->arena);
  for (uint32_t i = 0; i < p->bufs.n; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    PlanBind bind = w->plan->binds.at[i];
    int64_t bytes = (int64_t)dtype_size(b->dtype);
    for (int k = 0; k < b->rank; k++) {
      int64_t n = number(w, b->dim[k]);
      if (b->layout == LAYOUT_PANEL && k == b->panel_axis) n = (n + b->width - 1) / b->width * b->width;
      bytes *= n;
    }
    if (bind.kind != BIND_ARENA) {
      w->range[i] = (Range){space_of(bind.kind, bind.index), 0, bytes};
      vec_push(w->c->arena, &w->holds, ((Content){w->range[i], LEAF + w->range[i].space}));
      continue;
    }
    int64_t at = number(w, b->at);
    if (at % 64) fail_msg("%s: %s lies at %lld", w->what, b->name, (long long)at);
    if (at < 0 || at + bytes > w->arena)
      fail_msg("%s: %s at %lld..%lld leaves the arena of %lld bytes", w->what, b->name, (long long)at,
               (long long)(at + bytes), (long long)w->arena);
    w->range[i] = (Range){0, at, at + bytes};
  }
}

static void put(Walk *w, int buf, int64_t value) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < w->holds.n; i++)
    if (!overlap(&w->holds.at[i].at, &w->range[buf])) w->holds.at[kept++] = w->holds.at[i];
  w->holds.n = kept;
  vec_push(w->c->arena, &w->holds, ((Content){w->range[buf], value}));
}

static int64_t held(const Walk *w, int buf) {
  const Range *r = &w->range[buf];
  if (r->lo == r->hi) return INT64_MAX; /* nothing is anywhere */
  for (uint32_t i = 0; i < w->holds.n; i++) {
    const Range *x = &w->holds.at[i].at;
    if (x->space == r->space && x->lo == r->lo && x->hi == r->hi) return w->holds.at[i].value;
  }
  return -1;
}

static bool leaf(const Walk *w, int64_t v) {
  Op o = graph_op(w->e->graph, (Id)v);
  return o == OP_INPUT || o == OP_CELL || o == OP_CONSTANT || o == OP_DATA;
}

static void need(Walk *w, int buf, int64_t value, int step) {
  int64_t have = held(w, buf);
  const LoopBuf *b = &w->plan->plan->bufs.at[buf];
  if (value < SCRATCH && leaf(w, value)) value = LEAF + w->range[buf].space;
  if (have != value && have != INT64_MAX)
    fail_msg("%s: step %d reads value %lld from %s, which holds %lld", w->what, step, (long long)value, b->name,
             (long long)have);
}

/* Which group a launch is of: groups are launched in order, but some have the same kernel. */
static const Lowered *next_group(Walk *w, const Step *s) {
  for (;; w->group++) {
    if (w->group == w->plan->kernels.n) fail_msg("%s: a launch of no group", w->what);
    const Lowered *low = &w->plan->kernels.at[w->group];
    if (low->kernel == s->kernel && s->stage > w->stage) {
      w->stage = s->stage;
      return low;
    }
    w->stage = -1;
  }
}

/* What a kernel means by its parameter: a node, or a buffer that only kernels know. */
static int64_t meaning(const Walk *w, const Lowered *low, int param, int buf) {
  const LowArg *a = &low->args.at[param];
  return a->kind == ARG_NODE ? (int64_t)a->node : a->kind == ARG_SCRATCH ? SCRATCH + buf : LEAF + w->range[buf].space;
}

static int64_t tasks(Walk *w, const Step *s) {
  const Stage *st = w->level->module->kernels.at[s->kernel]->stages.at[s->stage];
  int64_t n = 1;
  for (int i = 0; i < st->naxes; i++) n *= number(w, st->extent[i]);
  return n;
}

/* Whether a launch is the first of its kernel to store to an output or scratch: it reads there only what it has stored,
 * which the interpreter checks. */
static bool reads_own(const Walk *w, const Step *s, const Lowered *low, int param) {
  const Kernel *k = w->level->module->kernels.at[s->kernel];
  bool *stores = ARENA_ARRAY(w->c->arena, bool, k->bufs.n);
  if (!low->args.at[param].out && low->args.at[param].kind != ARG_SCRATCH) return false;
  for (int i = 0; i < s->stage; i++) {
    loop_uses(k, k->stages.at[i], NULL, stores);
    if (stores[param]) return false;
  }
  loop_uses(k, k->stages.at[s->stage], NULL, stores);
  return stores[param];
}

typedef struct Use {
  int buf;
  bool stored;
  const Step *step;
} Use;

/* Stores over a cell or an inout are skipped after a failure, of which every thread knows by a barrier, and nothing can
 * fail after the first of them. */
static void check_commit(Walk *w, const Step *s, const Lowered *low, const bool *stores, int number_of, bool *stored,
                         bool *pending) {
  bool over = false;
  for (int i = 0; i < s->nviews; i++) {
    int b = s->views[i].buf;
    if (b < 0 || !(stores ? stores[i] : i == 0)) continue;
    BindKind kind = w->plan->binds.at[b].kind;
    over |= kind == BIND_CELL || kind == BIND_INPUT;
  }
  if (over && !s->commit) fail_msg("%s: step %d stores an update, but is no commit", w->what, number_of);
  if (*stored && low && loop_kernel_fails(w->level->module->kernels.at[low->kernel]))
    fail_msg("%s: step %d can fail after an update was stored", w->what, number_of);
  *stored |= over;
  if (s->commit && *pending) fail_msg("%s: no barrier between a launch that can fail and step %d", w->what, number_of);
  if (s->kind == STEP_LAUNCH) *pending |= loop_fails(w->level->module->kernels.at[s->kernel]->stages.at[s->stage]);
}

static void walk_steps(Walk *w) {
  bool stored_over = false, pending = false;
  Vec(Use) phase = {0};
  int number_of = 0;
  for (const Step *s = w->plan->plan->steps; s; s = s->next, number_of++) {
    if (s->kind == STEP_BARRIER) {
      phase.n = 0;
      pending = false;
      continue;
    }
    bool *loads = NULL, *stores = NULL;
    const Lowered *low = NULL;
    if (s->kind == STEP_LAUNCH) {
      low = next_group(w, s);
      const Kernel *k = w->level->module->kernels.at[s->kernel];
      loads = ARENA_ARRAY(w->c->arena, bool, k->bufs.n);
      stores = ARENA_ARRAY(w->c->arena, bool, k->bufs.n);
      loop_uses(k, k->stages.at[s->stage], loads, stores);
    }
    check_commit(w, s, low, stores, number_of, &stored_over, &pending);
    for (int i = 0; i < s->nviews; i++) {
      int b = s->views[i].buf;
      if (b < 0) continue;
      bool stored = stores ? stores[i] : i == 0;
      for (uint32_t k = 0; k < phase.n; k++) {
        const Use *u = &phase.at[k];
        if (u->step == s || !(u->stored || stored) || !overlap(&w->range[b], &w->range[u->buf])) continue;
        bool alike =
            u->buf == b && s->kind == STEP_LAUNCH && u->step->kind == STEP_LAUNCH && !s->serial && !u->step->serial;
        if (!alike || tasks(w, s) != tasks(w, u->step))
          fail_msg("%s: step %d meets an earlier one in %s without a barrier", w->what, number_of,
                   w->plan->plan->bufs.at[b].name);
      }
      vec_push(w->c->arena, &phase, ((Use){b, stored, s}));
    }
    for (int i = 0; i < s->nviews && loads; i++)
      if (s->views[i].buf >= 0 && loads[i] && !reads_own(w, s, low, i))
        need(w, s->views[i].buf, meaning(w, low, i, s->views[i].buf), number_of);
    for (int i = 0; i < s->nviews && stores; i++) {
      if (s->views[i].buf < 0 || !stores[i]) continue;
      for (int k = 0; k < s->nviews; k++) { /* two parameters in one launch: apart, or declared one */
        int x = s->views[i].buf, y = s->views[k].buf;
        if (k != i && y >= 0 && x != y && overlap(&w->range[x], &w->range[y]))
          fail_msg("%s: step %d: two buffers of one launch overlap", w->what, number_of);
      }
      put(w, s->views[i].buf, meaning(w, low, i, s->views[i].buf));
    }
    if (s->kind == STEP_COPY) {
      int64_t value = held(w, s->views[1].buf);
      if (value < 0) fail_msg("%s: step %d copies what is not there", w->what, number_of);
      put(w, s->views[0].buf, value);
    }
  }
}

static int bound_to(const Walk *w, BindKind kind, int index) {
  for (uint32_t i = 0; i < w->plan->binds.n; i++)
    if (w->plan->binds.at[i].kind == kind && w->plan->binds.at[i].index == index) return (int)i;
  return -1;
}

/* The value v is at the end where it belongs; a leaf's value is named by the buffer that held it at first. */
static void ends_as(Walk *w, BindKind kind, int index, Id v) {
  int b = bound_to(w, kind, index);
  const Graph *g = w->e->graph;
  if (b < 0) fail_msg("%s: nothing is bound to what the entry stores", w->what);
  int64_t have = held(w, b), want = v;
  if (leaf(w, v)) {
    BindKind from = graph_op(g, v) == OP_CELL ? BIND_CELL : graph_op(g, v) == OP_INPUT ? BIND_INPUT : BIND_CONST;
    int at = 0;
    if (from == BIND_CELL) at = (int)graph_attr_int(g, v, "cell");
    for (uint32_t i = 0; from == BIND_INPUT && i < w->e->inputs.n; i++)
      if (w->e->inputs.at[i].node == v) at = (int)i;
    if (from == BIND_CONST) return; /* whichever constant: the differential tests see it */
    want = LEAF + space_of(from, at);
  }
  if (have != want && have != INT64_MAX)
    fail_msg("%s: %s holds %lld at the end, not %lld", w->what, w->plan->plan->bufs.at[b].name, (long long)have,
             (long long)want);
}

static double ratio_of(Walk *w) {
  int64_t least = number(w, w->plan->lower_bound);
  if (w->arena < least)
    fail_msg("%s: an arena of %lld bytes, below its bound of %lld", w->what, (long long)w->arena, (long long)least);
  return least ? (double)w->arena / (double)least : 1;
}

/* Arena over lower bound, 0 if no dimensions of about this size are allowed. */
static double check_plan(Ctx *c, const LevelUnit *level, const Entry *e, const EntryPlan *plan, int64_t size,
                         const char *path) {
  Walk w = {.c = c, .level = level, .e = e, .plan = plan, .stage = -1};
  w.what = arena_printf(c->arena, "%s: %s on %s at %lld", path, e->name, level->target->name, (long long)size);
  if (!choose_dims(&w, size)) return 0;
  place_buffers(&w);
  walk_steps(&w);
  for (uint32_t i = 0; i < e->outputs.n; i++) ends_as(&w, BIND_OUTPUT, (int)i, e->outputs.at[i].node);
  for (uint32_t i = 0; i < e->updates.n; i++) ends_as(&w, BIND_CELL, e->updates.at[i].cell, e->updates.at[i].value);
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (e->inputs.at[i].inout && e->inputs.at[i].update) ends_as(&w, BIND_INPUT, (int)i, e->inputs.at[i].update);
  return ratio_of(&w);
}

static void prepared(Ctx *c, Program *p, const char *path) {
  if (program_map(p, pass_inline_all, NULL) && program_map(p, pass_simplify, NULL) && program_map(p, pass_half, NULL))
    return;
  fail_msg("%s: %s", path, diag_first(c->diag, NULL));
}

static void check_program(Ctx *c, Program *p, const char *path, const int64_t *sizes, int n, double *worst) {
  static const char *const levels[] = {"v2", "v3", "v4"};
  for (int l = 0; l < 3; l++) {
    Unit unit = {.program = p};
    LevelUnit level;
    if (!plan_level(&unit, target_find(levels[l]), &level)) fail_msg("%s: %s", path, diag_first(c->diag, NULL));
    for (uint32_t i = 0; i < p->entries.n; i++)
      for (int s = 0; s < n; s++) {
        double r = check_plan(c, &level, &p->entries.at[i], &level.entries[i], sizes[s], path);
        if (r > worst[i]) worst[i] = r;
      }
  }
}

static void one_file(const char *path, const int64_t *sizes, int n, bool print, double most) {
  Ctx c = ctx_new();
  Program p;
  if (!sir_trace(&c, path, NULL, &p)) fail_msg("%s: %s", path, diag_first(c.diag, NULL));
  prepared(&c, &p, path);
  double *worst = ARENA_ARRAY(c.arena, double, p.entries.n);
  check_program(&c, &p, path, sizes, n, worst);
  for (uint32_t i = 0; i < p.entries.n && print; i++) {
    printf("%s %s: arena / lower bound %.2f\n", path, p.entries.at[i].name, worst[i]);
    if (worst[i] > most)
      fail_msg("%s: %s takes %.2f times what is alive at once", path, p.entries.at[i].name, worst[i]);
  }
  ctx_free(&c);
}

static void test_models(void **state) {
  (void)state;
  static const int64_t sizes[] = {64, 128, 256};
  one_file("models/digits.sir", sizes, 3, true, 1.1);
  one_file("models/digits_cnn.sir", sizes, 3, true, 1.1);
  /* of buffers that grow by T and by T * T the larger one is not known before the call */
  one_file("models/gpt_small.sir", (int64_t[]){16, 33, 64}, 3, true, 1.25);
  one_file("models/add.sir", sizes, 3, true, 1.1);
}

static void test_files(void **state) {
  (void)state;
  static const int64_t sizes[] = {1, 7, 40};
  glob_t g = {0};
  assert_int_equal(glob("tests/plan/*.sir", 0, NULL, &g), 0);
  for (size_t i = 0; i < g.gl_pathc; i++) one_file(g.gl_pathv[i], sizes, 3, false, 0);
  globfree(&g);
  one_file("models/digits.sir", sizes, 3, false, 0);
}

static void test_random(void **state) {
  (void)state;
  uint64_t seed = 1;
  for (int k = 0; k < 300; k++) {
    Ctx c = ctx_new();
    uint8_t bytes[200];
    static const int64_t sizes[] = {1, 3};
    double worst[1] = {0};
    for (size_t i = 0; i < sizeof bytes; i++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      bytes[i] = (uint8_t)(seed >> 40);
    }
    Program *p = fuzz_program(&c, bytes, sizeof bytes);
    const char *path = arena_printf(c.arena, "random program %d", k);
    prepared(&c, p, path);
    check_program(&c, p, path, sizes, 2, worst);
    ctx_free(&c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_models),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
