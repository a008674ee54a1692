/* One fused kernel of a model as a C program: finds it in the plan, puts in sizes, lets emit/c_program.c write. */
#include "c_text.h"
#include "group.h"
#include "pipeline.h"
#include <stdlib.h>
#include <string.h>

static int find_entry(const Compilation *c, const char *name) {
  const Program *p = c->program;
  Ctx *x = p->ctx;
  const char **names = ARENA_ARRAY(x->arena, const char *, p->entries.n + 1);
  for (uint32_t i = 0; i < p->entries.n; i++) names[i] = p->entries.at[i].name;
  if (!name && p->entries.n == 1) return 0;
  for (uint32_t i = 0; name && i < p->entries.n; i++)
    if (!strcmp(names[i], name)) return (int)i;
  const char *near = name ? str_nearest(name, names, p->entries.n) : NULL;
  if (near)
    diag_error(x->diag, "bench-entry", 0, "there is no entry %s; did you mean %s?", name, near);
  else if (name)
    diag_error(x->diag, "bench-entry", 0, "there is no entry %s; `sinter check` lists them", name);
  else
    diag_error(x->diag, "bench-entry", 0, "the model has %u entries: name the one that the kernel belongs to",
               p->entries.n);
  return -1;
}

/* "k3", "3", or the name of the kernel. */
static int find_kernel(Compilation *c, const EntryPlan *e, const char *word) {
  char *end;
  long n = strtol(*word == 'k' ? word + 1 : word, &end, 10);
  if (end != word && !*end && n >= 0 && n < (long)e->groups->at.n && strcmp(word, "k")) return (int)n;
  for (uint32_t i = 0; i < e->kernels.n; i++)
    if (!strcmp(c->level[0].module->kernels.at[e->kernels.at[i].kernel]->name, word)) return (int)i;
  diag_error(c->program->ctx->diag, "bench-kernel", 0,
             "entry %s has no kernel %s: it has k0 to k%u, which `sinter explain` lists", e->plan->name, word,
             e->groups->at.n - 1);
  return -1;
}

typedef struct Given {
  const BenchSource *q;
  Plan *plan;
} Given;

static bool lookup(void *ctx, const char *name, int64_t *value) {
  const Given *g = ctx;
  for (int i = 0; i < g->q->ndims; i++)
    if (!strcmp(g->q->dims[i], name)) return *value = g->q->values[i], true;
  return plan_typical(g->plan, name, value);
}

static bool check_dims(const Compilation *c, const EntryPlan *e, const BenchSource *q) {
  Diag *d = c->program->ctx->diag;
  for (int i = 0; i < q->ndims; i++) {
    const Dim *found = NULL;
    for (uint32_t k = 0; k < e->plan->dims.n; k++)
      if (!strcmp(e->plan->dims.at[k].name, q->dims[i])) found = &e->plan->dims.at[k];
    if (!found) return diag_error(d, "bench-dim", 0, "entry %s has no dimension %s", e->plan->name, q->dims[i]);
    if (q->values[i] < found->lo || q->values[i] > found->hi)
      return diag_error(d, "bench-dim", 0, "%s is %lld, but entry %s takes %lld to %lld", q->dims[i],
                        (long long)q->values[i], e->plan->name, (long long)found->lo, (long long)found->hi);
  }
  return true;
}

static bool eval(const Compilation *c, Sym s, Given *g, int64_t *v) {
  if (sym_eval(c->program->ctx->syms, s, lookup, g, v)) return true;
  return diag_error(c->program->ctx->diag, "bench-dim", 0, "at these dimensions a size of entry %s overflows",
                    g->plan->name);
}

bool bench_kernel(Compilation *c, const BenchSource *q, CProgram *out) {
  Ctx *x = c->program->ctx;
  int entry, k;
  if (!compile_levels(c)) return false;
  if (c->nlevels != 1)
    return diag_error(x->diag, "bench-level", 0, "a program in C is for one level: give one by --cpu");
  if ((entry = find_entry(c, q->entry)) < 0 || !compile_graphs(c) || !compile_loops(c)) return false;
  const LevelUnit *l = &c->level[0];
  const EntryPlan *e = &l->entries[entry];
  if ((k = find_kernel(c, e, q->kernel)) < 0 || !check_dims(c, e, q)) return false;
  const Lowered *low = &e->kernels.at[k];
  Kernel *kernel = l->module->kernels.at[low->kernel];
  Given g = {q, e->plan};
  PlanCost cost = plan_group_cost(x->syms, e, (uint32_t)k);
  int *stages = ARENA_ARRAY(x->arena, int, low->stages.n + 1);
  int64_t *dims = ARENA_ARRAY(x->arena, int64_t, kernel->dims.n + 1);
  *out = (CProgram){.kernel = kernel, .target = l->target, .stages = stages, .dims = dims};
  if (!eval(c, cost.flops, &g, &out->flops) || !eval(c, cost.bytes, &g, &out->bytes)) return false;
  for (uint32_t i = 0; i < low->stages.n; i++) {
    const Step *s = low->stages.at[i].launch;
    if (!s) continue;
    stages[out->nstages++] = s->stage;
    for (int j = 0; j < s->ndims; j++)
      if (!eval(c, s->dims[j], &g, &dims[j])) return false;
  }
  Buf about = {0};
  group_print(e->groups, (uint32_t)k, &about);
  out->name = arena_printf(x->arena, "k%d of entry %s", k, e->plan->name);
  out->about = arena_strndup(x->arena, about.at, about.n);
  buf_free(&about);
  return true;
}

bool bench_program(Program *p, const CompileOptions *o, const BenchSource *q, Buf *out) {
  CompileResult none = {0};
  CompileOptions options = *o;
  options.emit = EMIT_LLVM; /* the Loop IR that code is made of */
  Compilation c = {.program = p, .options = &options, .result = &none};
  CProgram program;
  const char *why;
  if (!bench_kernel(&c, q, &program)) return false;
  return c_program(&program, out, &why) || diag_error(p->ctx->diag, "bench-c", 0, "%s", why);
}
