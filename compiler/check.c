#include "check.h"
#include "reference.h"
#include <string.h>

typedef struct Run {
  const Unit *unit;
  const LevelUnit *level;
  const Program *p;
  const Entry *e;
  const char *how; /* "as planned for v3", "after the pass simplify" */
  Arena *arena;
  Ctx *ctx;
  NamedDim *dims;
  uint64_t seed;
  uint64_t state;
  NamedTensor *inputs;
  Tensor *start; /* cells before the call */
  Reference ref;
} Run;

static uint64_t next(Run *r) { /* splitmix64 */
  uint64_t z = r->state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

static bool lookup(void *ctx, const char *name, int64_t *value) {
  Run *r = ctx;
  for (uint32_t i = 0; i < r->e->dims.n; i++)
    if (!strcmp(r->dims[i].name, name)) {
      *value = r->dims[i].value;
      return true;
    }
  return false;
}

static bool facts_hold(Run *r) {
  for (uint32_t i = 0; i < r->e->checks.n; i++) {
    int64_t ok;
    if (!sym_eval(r->ctx->syms, r->e->checks.at[i].cond, lookup, r, &ok) || !ok) return false;
  }
  return true;
}

static bool choose_dims(Run *r, int64_t size) {
  r->dims = ARENA_ARRAY(r->arena, NamedDim, r->e->dims.n + 1);
  for (int64_t d = 0; d < 64; d++)
    for (int sign = -1; sign <= 1; sign += 2) {
      for (uint32_t i = 0; i < r->e->dims.n; i++) {
        const Dim *x = &r->e->dims.at[i];
        int64_t v = size + sign * d;
        r->dims[i] = (NamedDim){x->name, v < x->lo ? x->lo : v > x->hi ? x->hi : v};
      }
      if (facts_hold(r)) return true;
    }
  return diag_error(r->ctx->diag, "check-sizes", r->e->loc,
                    "no size near %lld satisfies what entry `%s` says of its dimensions", (long long)size, r->e->name);
}

static Tensor random_tensor(Run *r, DType d, const Sym *shape, int rank) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < rank; i++)
    if (!sym_eval(r->ctx->syms, shape[i], lookup, r, &dim[i])) BUG("a shape without a value");
  Tensor t = tensor_new(r->arena, d, dim, rank);
  for (int64_t k = 0; k < tensor_count(&t); k++) {
    Scalar s = {0};
    uint64_t x = next(r);
    if (dtype_is_float(d))
      s.f = x & 1 ? (double)(x >> 40) / (1 << 22) - 2 /* 24 bits: f32 holds it */
                  : (double)((x >> 40) % 33) / 8 - 2; /* often equal, or zero */
    else
      s.i = (int64_t)(x >> 33) % (d == DT_BOOL ? 2 : 3);
    tensor_set(&t, k, s);
  }
  return t;
}

static Tensor copy_tensor(Run *r, const Tensor *t) {
  Tensor c = tensor_new(r->arena, t->dtype, t->dim, t->rank);
  memcpy(c.data, t->data, (size_t)tensor_count(t) * dtype_size(t->dtype));
  return c;
}

static void *buffer_memory(Run *r, const LoopBuf *b) {
  int64_t n = 1, k;
  for (int i = 0; i < b->rank; i++) {
    if (!sym_eval(r->ctx->syms, b->dim[i], lookup, r, &k)) BUG("a buffer without a size");
    n *= k;
  }
  return arena_alloc(r->arena, (size_t)n * dtype_size(b->dtype) + 64);
}

static bool evaluate(Run *r) {
  EntryCall c = {
      .inputs = r->inputs, .ninputs = (int)r->e->inputs.n, .cells = r->start, .seed = r->seed, .arena = r->arena};
  NamedDim *given = ARENA_ARRAY(r->arena, NamedDim, r->e->dims.n + 1);
  for (uint32_t i = 0; i < r->e->dims.n; i++)
    if (r->e->dims.at[i].given) given[c.ndims++] = r->dims[i];
  c.dims = given;
  return reference_run(&r->ref, r->p, r->e, &c);
}

static bool differs(Run *r, const char *what, const char *name, const Tensor *got, const Tensor *want) {
  int64_t at;
  double d = tensor_distance(got, want, &at);
  return diag_error(r->ctx->diag, "check-differs", r->e->loc,
                    "%s %s of entry `%s` %s differs from the graph by %g at element %lld: this is a mistake in Sinter",
                    what, name ? name : "0", r->e->name, r->how, d, (long long)at);
}

static bool near(Run *r, Part part, uint32_t i, const char *name, const Tensor *got, CheckResult *out) {
  static const char *const what[] = {[PART_OUTPUT] = "output", [PART_CELL] = "cell", [PART_INOUT] = "inout"};
  double ratio = reference_distance(&r->ref, part, i, got, NULL);
  if (ratio > out->distance) {
    out->distance = ratio;
    out->where = arena_printf(r->arena, "%s %s", what[part], name ? name : "0");
  }
  return ratio <= 1 || differs(r, what[part], name, got, reference_result(&r->ref, part, i));
}

/* What a run gave against the evaluator; `outputs` need only data. */
static bool all_near(Run *r, bool ok, const Tensor *outputs, const Tensor *cells, const Tensor *inouts,
                     CheckResult *out) {
  const Entry *e = r->e;
  if (ok != r->ref.ok)
    return diag_error(r->ctx->diag, "check-status", e->loc,
                      "entry `%s` %s %s where the graph %s: this is a mistake in Sinter", e->name, r->how,
                      ok ? "succeeds" : "fails", r->ref.ok ? "succeeds" : "fails");
  for (uint32_t i = 0; ok && i < e->outputs.n; i++) {
    Tensor got = *reference_result(&r->ref, PART_OUTPUT, i);
    got.data = outputs[i].data;
    if (!near(r, PART_OUTPUT, i, e->outputs.at[i].name, &got, out)) return false;
  }
  for (uint32_t i = 0; i < r->p->cells.n; i++)
    if (!near(r, PART_CELL, i, r->p->cells.at[i].name, &cells[i], out)) return false;
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (e->inputs.at[i].inout && inouts[i].data && !near(r, PART_INOUT, i, e->inputs.at[i].name, &inouts[i], out))
      return false;
  return true;
}

static void random_inputs(Run *r) {
  const Entry *e = r->e;
  r->inputs = ARENA_ARRAY(r->arena, NamedTensor, e->inputs.n + 1);
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *q = &e->inputs.at[i];
    r->inputs[i] = (NamedTensor){q->name, random_tensor(r, q->dtype, q->shape, q->rank)};
  }
}

static bool start_cells(Run *r) {
  r->start = ARENA_ARRAY(r->arena, Tensor, r->p->cells.n + 1);
  if (!cells_start(r->p, r->seed, r->arena, r->start)) return false;
  for (uint32_t i = 0; i < r->p->cells.n; i++) {
    const Cell *c = &r->p->cells.at[i];
    if (!r->start[i].data) r->start[i] = random_tensor(r, c->dtype, c->shape, c->rank);
  }
  return true;
}

static bool run_prepare(Run *r, int index, const Tensor *cells, void *out) {
  const Derived *d = &r->level->derived.at[index];
  LoopArg args[2] = {{0}};
  for (uint32_t i = 0; i < d->plan.binds.n; i++)
    args[i].data = d->plan.binds.at[i].kind == BIND_CELL ? cells[d->cell].data : out;
  LoopRun run = {.level = r->level->target->name};
  return loop_run(r->level->module, d->plan.plan->name, NULL, args, &run);
}

bool check_entry(const Unit *unit, const LevelUnit *level, int entry, int64_t size, uint64_t seed, CheckResult *out) {
  const Program *p = unit->program;
  const Entry *e = &p->entries.at[entry];
  const EntryPlan *plan = &level->entries[entry];
  Run r = {.unit = unit, .level = level, .p = p, .e = e, .ctx = p->ctx, .arena = p->ctx->arena};
  r.seed = r.state = seed;
  r.how = arena_printf(r.arena, "as planned for %s", level->target->name);
  *out = (CheckResult){0, "nothing"};
  if (!choose_dims(&r, size)) return false;
  random_inputs(&r);
  if (!start_cells(&r)) return false;
  Tensor *mine = ARENA_ARRAY(r.arena, Tensor, p->cells.n + 1);
  for (uint32_t i = 0; i < p->cells.n; i++) mine[i] = copy_tensor(&r, &r.start[i]);
  uint32_t rng[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), 0, 0};
  LoopArg *args = ARENA_ARRAY(r.arena, LoopArg, plan->binds.n + 1);
  Tensor *outputs = ARENA_ARRAY(r.arena, Tensor, e->outputs.n + 1),
         *inouts = ARENA_ARRAY(r.arena, Tensor, e->inputs.n + 1);
  for (int i = 0; i < plan->plan->nparams; i++) {
    PlanBind b = plan->binds.at[i];
    const LoopBuf *buf = &plan->plan->bufs.at[i];
    switch (b.kind) {
    case BIND_INPUT:
      inouts[b.index] = copy_tensor(&r, &r.inputs[b.index].value);
      args[i].data = inouts[b.index].data;
      break;
    case BIND_OUTPUT: args[i].data = outputs[b.index].data = buffer_memory(&r, buf); break;
    case BIND_CELL: args[i].data = mine[b.index].data; break;
    case BIND_CONST: args[i].data = (void *)(uintptr_t)unit->consts.at[b.index].data; break;
    case BIND_RANDOM: args[i].data = rng; break;
    case BIND_DERIVED:
      args[i].data = buffer_memory(&r, buf);
      if (!run_prepare(&r, b.index, r.start, args[i].data)) return false;
      break;
    case BIND_ARENA: BUG("an arena buffer among the parameters");
    }
  }
  if (!evaluate(&r)) return false;
  int64_t *values = ARENA_ARRAY(r.arena, int64_t, e->dims.n + 1);
  for (uint32_t i = 0; i < e->dims.n; i++) values[i] = r.dims[i].value;
  LoopRun run = {.level = level->target->name, .seed = (uint32_t)seed};
  if (!loop_run(level->module, plan->plan->name, values, args, &run)) return false;
  return all_near(&r, !run.status, outputs, mine, inouts, out);
}

Program check_snapshot(const Program *p) {
  Program s = *p;
  Arena *a = p->ctx->arena;
  s.cells.n = s.cells.cap = s.entries.n = s.entries.cap = 0;
  for (uint32_t i = 0; i < p->cells.n; i++) vec_push(a, &s.cells, p->cells.at[i]);
  for (uint32_t i = 0; i < p->entries.n; i++) {
    Entry e = p->entries.at[i];
    e.inputs.n = e.inputs.cap = e.outputs.n = e.outputs.cap = e.updates.n = e.updates.cap =
        0; /* what a pass writes over */
    for (uint32_t k = 0; k < p->entries.at[i].inputs.n; k++) vec_push(a, &e.inputs, p->entries.at[i].inputs.at[k]);
    for (uint32_t k = 0; k < p->entries.at[i].outputs.n; k++) vec_push(a, &e.outputs, p->entries.at[i].outputs.at[k]);
    for (uint32_t k = 0; k < p->entries.at[i].updates.n; k++) vec_push(a, &e.updates, p->entries.at[i].updates.at[k]);
    vec_push(a, &s.entries, e);
  }
  return s;
}

bool check_pass(const Program *before, const Program *after, const char *pass, int entry, int64_t size, uint64_t seed) {
  Run r = {.p = before, .e = &before->entries.at[entry], .ctx = before->ctx, .arena = before->ctx->arena};
  r.seed = r.state = seed;
  r.how = arena_printf(r.arena, "after the pass %s", pass);
  CheckResult result = {0, "nothing"};
  if (!choose_dims(&r, size)) return false;
  random_inputs(&r);
  if (!start_cells(&r) || !evaluate(&r)) return false;
  Run made = r; /* the same dimensions and inputs; a pass may have rewritten how cells start */
  made.p = after;
  made.e = &after->entries.at[entry];
  Tensor *start = ARENA_ARRAY(r.arena, Tensor, after->cells.n + 1);
  if (!cells_start(after, seed, r.arena, start)) return false;
  for (uint32_t i = 0; i < before->cells.n; i++)
    if (start[i].data && reference_plain_distance(&start[i], &r.start[i], NULL) > 1)
      return differs(&r, "the start value of", before->cells.at[i].name, &start[i], &r.start[i]);
  if (!evaluate(&made)) return false;
  const EntryCall *got = &made.ref.want;
  return all_near(&r, made.ref.ok, got->outputs, got->cells, got->inouts, &result);
}
