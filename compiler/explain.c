/* What `sinter explain` prints: the kernels of every entry, why neighbours were or were not fused, what each moves and
 * computes, its schedule, memory. Levels that fuse alike share one list. */
#include "group.h"
#include "pipeline.h"
#include <string.h>

typedef struct Section { /* one entry on levels whose kernels compute the same */
  const Compilation *c;
  uint32_t entry;
  int nlevels;
  const LevelUnit *level[LEVEL_COUNT];
} Section;

static const EntryPlan *plan_at(const Section *s, int i) { return &s->level[i]->entries[s->entry]; }
static const char *name_at(const Section *s, int i) { return s->level[i]->target->name; }
static bool on_gpu(const Section *s) { return s->level[0] == &s->c->gpu.level; }

/* "v2, v3" of those in `set`, bits by place in the section. */
static void put_levels(const Section *s, unsigned set, Buf *b) {
  for (int i = 0, n = 0; i < s->nlevels; i++)
    if (set >> i & 1) buf_printf(b, "%s%s", n++ ? ", " : "", name_at(s, i));
}

static unsigned all_levels(const Section *s) { return (1u << s->nlevels) - 1; }

/* " on v2, v3" where that does not go without saying. */
static void put_on(const Section *s, unsigned set, Buf *b) {
  if (set == all_levels(s)) return;
  buf_put(b, " on ");
  put_levels(s, set, b);
}

void explain_dims(const Plan *p, Buf *b) {
  for (uint32_t i = 0; i < p->dims.n; i++) {
    int64_t v = 0;
    plan_typical((Plan *)p, p->dims.at[i].name, &v);
    buf_printf(b, "%s%s = %lld", i ? ", " : "at ", p->dims.at[i].name, (long long)v);
  }
}

/* 8.45 million */
static void put_count(int64_t n, Buf *b) {
  static const char *const scale[] = {"", " k", " M", " G", " T", " P", " E"};
  double v = (double)n;
  int k = 0;
  for (; v >= 999.5; v /= 1000) k++;
  buf_printf(b, "%.*f%s", k == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, v, k ? scale[k] : " ");
}

static PlanCost kernel_work(const Section *s, int i, uint32_t k) {
  return plan_group_cost(s->c->program->ctx->syms, plan_at(s, i), k);
}

/* `before`: what separates it from the text before it. */
static void put_bound(const Section *s, unsigned set, double intensity, const char *before, Buf *b) {
  unsigned compute = 0;
  if (on_gpu(s)) return; /* said of each launch */
  for (int i = 0; i < s->nlevels; i++)
    if (intensity >= target_ridge(s->level[i]->target)) compute |= 1u << i;
  const unsigned part[] = {compute & set, ~compute & set};
  static const char *const by[] = {"by compute", "by memory"};
  for (int k = 0; k < 2; k++) {
    if (!part[k]) continue;
    buf_printf(b, "%s%s%s", before, part[0] && k ? "" : "bound ", by[k]);
    if (part[1 - k]) buf_put(b, " on "), put_levels(s, part[k], b);
    before = ", ";
  }
}

/* ": 33024 * B FLOP, 1280 * B + 66560 bytes; at B = 256: 8.45 MFLOP, 394 kB, 21.4 FLOP a byte, bound by compute" */
static void put_work_of(const Section *s, unsigned set, Plan *p, PlanCost w, Buf *b) {
  Ctx *x = s->c->program->ctx;
  int64_t flops = 0, bytes = 0;
  bool moves = sym_is_int(x->syms, w.flops, &flops) && flops == 0;
  buf_put(b, "    work");
  put_on(s, set, b);
  buf_put(b, moves ? ": moves " : ": ");
  if (!moves) buf_printf(b, "%s FLOP, ", sym_text(x->syms, w.flops, x->arena));
  buf_printf(b, "%s bytes", sym_text(x->syms, w.bytes, x->arena));
  if (sym_eval(x->syms, w.flops, plan_typical, p, &flops) && sym_eval(x->syms, w.bytes, plan_typical, p, &bytes) &&
      bytes > 0) {
    const char *before = "; ";
    if (!sym_is_int(x->syms, w.flops, NULL) || !sym_is_int(x->syms, w.bytes, NULL)) {
      buf_put(b, before);
      explain_dims(p, b);
      buf_put(b, ": ");
      if (!moves) put_count(flops, b), buf_put(b, "FLOP, ");
      put_count(bytes, b);
      buf_put(b, "B");
      before = ", ";
    }
    double intensity = (double)flops / (double)bytes;
    if (!moves) {
      buf_printf(b, "%s%.3g FLOP a byte", before, intensity);
      before = ", ";
    }
    put_bound(s, set, intensity, before, b);
  }
  buf_put(b, "\n");
}

static void put_work(const Section *s, uint32_t k, Buf *b) {
  for (unsigned left = all_levels(s); left;) {
    int first = __builtin_ctz(left);
    PlanCost w = kernel_work(s, first, k);
    unsigned set = 0;
    for (int i = first; i < s->nlevels; i++) {
      PlanCost v = kernel_work(s, i, k);
      if (left >> i & 1 && v.flops == w.flops && v.bytes == w.bytes) set |= 1u << i;
    }
    left &= ~set;
    put_work_of(s, set, plan_at(s, first)->plan, w, b);
  }
}

static void put_memory(const Section *s, Buf *b) {
  Ctx *x = s->c->program->ctx;
  for (unsigned left = all_levels(s); left;) {
    int first = __builtin_ctz(left);
    const EntryPlan *e = plan_at(s, first);
    unsigned set = 0;
    for (int i = first; i < s->nlevels; i++)
      if (left >> i & 1 && plan_at(s, i)->arena == e->arena && plan_at(s, i)->lower_bound == e->lower_bound)
        set |= 1u << i;
    left &= ~set;
    int64_t got = 0, least = 0;
    buf_put(b, "  memory");
    put_on(s, set, b);
    buf_printf(b, ": %s bytes", sym_text(x->syms, e->arena, x->arena));
    if (e->lower_bound && sym_eval(x->syms, e->arena, plan_typical, e->plan, &got) &&
        sym_eval(x->syms, e->lower_bound, plan_typical, e->plan, &least)) {
      buf_printf(b, "; %lld ", (long long)got);
      explain_dims(e->plan, b);
      buf_printf(b, "%sat least %lld are alive at once", e->plan->dims.n ? ", " : "", (long long)least);
    }
    buf_put(b, "\n");
  }
}

static void put_section(const Section *s, Buf *b) {
  const EntryPlan *e = plan_at(s, 0);
  buf_printf(b, "%sentry %s on ", b->n ? "\n" : "", s->c->program->entries.at[s->entry].name);
  put_levels(s, all_levels(s), b);
  buf_printf(b, ": %u kernels\n", e->groups->at.n);
  for (uint32_t k = 0; k < e->groups->at.n; k++) {
    buf_put(b, "\n");
    group_print(e->groups, k, b);
    put_work(s, k, b);
    for (int i = 0; i < s->nlevels; i++) {
      const Lowered *made = &plan_at(s, i)->kernels.at[k];
      buf_printf(b, "    schedule k%u %s = %s\n", k, name_at(s, i), made->schedule);
      if (made->tiles) buf_printf(b, "      of the tiles %s\n", made->tiles);
      for (uint32_t n = 0; on_gpu(s) && n < made->stages.n; n++)
        if (made->stages.at[n].launch) explain_launch(s->c, e->plan, made->stages.at[n].launch, b);
    }
  }
  buf_put(b, "\n");
  for (const Step *step = on_gpu(s) ? e->plan->steps : NULL; step; step = step->next)
    if (step->kind == STEP_COPY) explain_launch(s->c, e->plan, step, b);
  put_memory(s, b);
}

static bool same_groups(const Groups *x, const Groups *y) {
  if (x->at.n != y->at.n) return false;
  Buf a = {0}, b = {0};
  for (uint32_t k = 0; k < x->at.n; k++) group_print(x, k, &a), group_print(y, k, &b);
  bool same = a.n == b.n && (!a.n || !memcmp(a.at, b.at, a.n));
  buf_free(&a);
  buf_free(&b);
  return same;
}

static void put_entry(const Compilation *c, uint32_t e, Buf *b) {
  for (unsigned left = (1u << c->nlevels) - 1; left;) {
    int first = __builtin_ctz(left);
    Section s = {.c = c, .entry = e};
    for (int i = first; i < c->nlevels; i++)
      if (left >> i & 1 && same_groups(c->level[first].entries[e].groups, c->level[i].entries[e].groups)) {
        s.level[s.nlevels++] = &c->level[i];
        left &= ~(1u << i);
      }
    put_section(&s, b);
  }
  if (c->gpu.archs.n) put_section(&(Section){.c = c, .entry = e, .nlevels = 1, .level = {&c->gpu.level}}, b);
}

void explain_levels(const Compilation *c, Buf *b) {
  for (uint32_t e = 0; e < c->program->entries.n; e++) put_entry(c, e, b);
}

bool explain_program(Program *p, const CompileOptions *o, Buf *b) {
  CompileResult none = {0};
  Compilation c = {.program = p, .options = o, .result = &none};
  LinkFolder folder;
  if (!compile_levels(&c) || !gpu_choose(&c)) return false;
  if (o->gpu && !o->cpu) c.nlevels = 0;
  if (!compile_graphs(&c) || !compile_loops(&c) || (o->gpu && !link_folder_make(p->ctx, &folder))) return false;
  bool ok = !o->gpu || gpu_build(&c, &folder);
  if (o->gpu) link_folder_remove(&folder);
  if (ok) explain_levels(&c, b);
  return ok;
}
