#include "group.h"
#include "pipeline.h"
#include <string.h>

typedef struct Sizes {
  const Entry *e;
} Sizes;

/* Dimensions at their bound, where it is small enough to mean something, else 64. */
static bool lookup(void *ctx, const char *name, int64_t *value) {
  const Sizes *s = ctx;
  for (uint32_t i = 0; i < s->e->dims.n; i++) {
    const Dim *d = &s->e->dims.at[i];
    if (strcmp(d->name, name)) continue;
    *value = d->hi <= 65536 ? d->hi : d->lo > 64 ? d->lo : 64;
    return true;
  }
  return false;
}

static void put_memory(const Entry *e, const EntryPlan *plan, SymTab *t, Arena *a, Buf *b) {
  Sizes s = {.e = e};
  int64_t got = 0, least = 0;
  buf_printf(b, "\n  memory: %s bytes", sym_text(t, plan->arena, a));
  if (sym_eval(t, plan->arena, lookup, &s, &got) && plan->lower_bound &&
      sym_eval(t, plan->lower_bound, lookup, &s, &least)) {
    buf_printf(b, "; %lld", (long long)got);
    for (uint32_t i = 0; i < e->dims.n; i++) {
      int64_t v = 0;
      lookup(&s, e->dims.at[i].name, &v);
      buf_printf(b, "%s%s = %lld", i ? ", " : " at ", e->dims.at[i].name, (long long)v);
    }
    buf_printf(b, ", at least %lld are alive at once", (long long)least);
  }
  buf_put(b, "\n");
}

bool explain_program(Program *p, const CompileOptions *o, Buf *b) {
  CompileResult none = {0};
  Compilation c = {.program = p, .options = o, .result = &none};
  if (!compile_levels(&c) || !compile_graphs(&c) || !compile_loops(&c)) return false;
  for (int l = 0; l < c.nlevels; l++)
    for (uint32_t i = 0; i < p->entries.n; i++) {
      const EntryPlan *plan = &c.level[l].entries[i];
      buf_printf(b, "%sentry %s on %s: %u kernels\n", l || i ? "\n" : "", p->entries.at[i].name,
                 c.level[l].target->name, plan->groups->at.n);
      for (uint32_t k = 0; k < plan->groups->at.n; k++) {
        buf_put(b, "\n");
        group_print(plan->groups, k, b);
        buf_printf(b, "    schedule k%u %s = %s\n", k, c.level[l].target->name, plan->kernels.at[k].schedule);
      }
      put_memory(&p->entries.at[i], plan, p->ctx->syms, p->ctx->arena, b);
    }
  return true;
}
