#include "check.h"
#include "eval.h"
#include <math.h>
#include <string.h>

typedef struct Run {
  const Unit *unit;
  const LevelUnit *level;
  const Entry *e;
  const char *how; /* "as planned for v3", "after the pass simplify" */
  Arena *arena;
  Ctx *ctx;
  NamedDim *dims;
  uint64_t seed;
  uint64_t state;
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
      s.f = (double)((int64_t)(x >> 32) % 33 - 16) / 8;
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

static bool near(Run *r, const char *what, const char *name, const Tensor *got, const Tensor *want, CheckResult *out) {
  int64_t at;
  double d = tensor_distance(got, want, &at),
         scale = fmax(tensor_largest(want), 1e-3) * (want->dtype == DT_F64 ? 1e-12 : 2e-5);
  double ratio = dtype_is_float(want->dtype) ? d / scale : d;
  if (ratio > out->distance) {
    out->distance = ratio;
    out->where = arena_printf(r->arena, "%s %s", what, name);
  }
  if (dtype_is_float(want->dtype) ? ratio <= 1 : d == 0) return true;
  return diag_error(r->ctx->diag, "check-differs", r->e->loc,
                    "%s %s of entry `%s` %s differs from the graph by %g at element %lld: this is a mistake in Sinter",
                    what, name, r->e->name, r->how, d, (long long)at);
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
  Run r = {.unit = unit, .level = level, .e = e, .ctx = p->ctx, .arena = p->ctx->arena, .seed = seed, .state = seed};
  r.how = arena_printf(r.arena, "as planned for %s", level->target->name);
  *out = (CheckResult){0, "nothing"};
  if (!choose_dims(&r, size)) return false;
  NamedTensor *inputs = ARENA_ARRAY(r.arena, NamedTensor, e->inputs.n + 1);
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *q = &e->inputs.at[i];
    inputs[i] = (NamedTensor){q->name, random_tensor(&r, q->dtype, q->shape, q->rank)};
  }
  Tensor *cells = ARENA_ARRAY(r.arena, Tensor, p->cells.n + 1), *mine = ARENA_ARRAY(r.arena, Tensor, p->cells.n + 1);
  if (!cells_start(p, seed, r.arena, cells)) return false;
  for (uint32_t i = 0; i < p->cells.n; i++) {
    if (!cells[i].data) cells[i] = random_tensor(&r, p->cells.at[i].dtype, p->cells.at[i].shape, p->cells.at[i].rank);
    mine[i] = copy_tensor(&r, &cells[i]);
  }
  uint32_t rng[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), 0, 0};
  LoopArg *args = ARENA_ARRAY(r.arena, LoopArg, plan->binds.n + 1);
  Tensor *outputs = ARENA_ARRAY(r.arena, Tensor, e->outputs.n + 1),
         *inouts = ARENA_ARRAY(r.arena, Tensor, e->inputs.n + 1);
  for (int i = 0; i < plan->plan->nparams; i++) {
    PlanBind b = plan->binds.at[i];
    const LoopBuf *buf = &plan->plan->bufs.at[i];
    switch (b.kind) {
    case BIND_INPUT:
      inouts[b.index] = copy_tensor(&r, &inputs[b.index].value);
      args[i].data = inouts[b.index].data;
      break;
    case BIND_OUTPUT: args[i].data = outputs[b.index].data = buffer_memory(&r, buf); break;
    case BIND_CELL: args[i].data = mine[b.index].data; break;
    case BIND_CONST: args[i].data = (void *)(uintptr_t)unit->consts.at[b.index].data; break;
    case BIND_RANDOM: args[i].data = rng; break;
    case BIND_DERIVED:
      args[i].data = buffer_memory(&r, buf);
      if (!run_prepare(&r, b.index, cells, args[i].data)) return false;
      break;
    case BIND_ARENA: BUG("an arena buffer among the parameters");
    }
  }
  Tensor *want_outputs = ARENA_ARRAY(r.arena, Tensor, e->outputs.n + 1),
         *want_inouts = ARENA_ARRAY(r.arena, Tensor, e->inputs.n + 1);
  EntryCall call = {.inputs = inputs,
                    .ninputs = (int)e->inputs.n,
                    .dims = r.dims,
                    .ndims = 0,
                    .cells = cells,
                    .seed = seed,
                    .arena = r.arena,
                    .outputs = want_outputs,
                    .inouts = want_inouts};
  NamedDim *given = ARENA_ARRAY(r.arena, NamedDim, e->dims.n + 1);
  for (uint32_t i = 0; i < e->dims.n; i++)
    if (e->dims.at[i].given) given[call.ndims++] = r.dims[i];
  call.dims = given;
  bool ok = entry_eval(p, e, &call);
  if (!ok && !call.fail.node) return false;
  int64_t *values = ARENA_ARRAY(r.arena, int64_t, e->dims.n + 1);
  for (uint32_t i = 0; i < e->dims.n; i++) values[i] = r.dims[i].value;
  LoopRun run = {.level = level->target->name, .seed = (uint32_t)seed};
  if (!loop_run(level->module, plan->plan->name, values, args, &run)) return false;
  if (!ok != (run.status != 0))
    return diag_error(p->ctx->diag, "check-status", e->loc,
                      "entry `%s` %s %s where the graph %s: this is a mistake in Sinter", e->name, r.how,
                      run.status ? "fails" : "succeeds", ok ? "succeeds" : "fails");
  for (uint32_t i = 0; ok && i < e->outputs.n; i++) {
    Tensor got = want_outputs[i];
    got.data = outputs[i].data;
    const char *name = e->outputs.at[i].name;
    if (!near(&r, "output", name ? name : "0", &got, &want_outputs[i], out)) return false;
  }
  for (uint32_t i = 0; i < p->cells.n; i++) /* on failure the cells are as before */
    if (!near(&r, "cell", p->cells.at[i].name, &mine[i], &cells[i], out)) return false;
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (e->inputs.at[i].inout && inouts[i].data &&
        !near(&r, "inout", e->inputs.at[i].name, &inouts[i], ok ? &want_inouts[i] : &inputs[i].value, out))
      return false;
  return true;
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
  const Entry *e = &before->entries.at[entry];
  Ctx *c = before->ctx;
  Run r = {.e = e,
           .ctx = c,
           .arena = c->arena,
           .seed = seed,
           .state = seed,
           .how = arena_printf(c->arena, "after the pass %s", pass)};
  CheckResult result = {0, "nothing"};
  if (!choose_dims(&r, size)) return false;
  NamedTensor *inputs = ARENA_ARRAY(r.arena, NamedTensor, e->inputs.n + 1);
  NamedDim *given = ARENA_ARRAY(r.arena, NamedDim, e->dims.n + 1);
  for (uint32_t i = 0; i < e->inputs.n; i++)
    inputs[i] = (NamedTensor){e->inputs.at[i].name,
                              random_tensor(&r, e->inputs.at[i].dtype, e->inputs.at[i].shape, e->inputs.at[i].rank)};
  EntryCall call[2] = {{.inputs = inputs, .ninputs = (int)e->inputs.n, .dims = given, .seed = seed, .arena = r.arena}};
  for (uint32_t i = 0; i < e->dims.n; i++)
    if (e->dims.at[i].given) given[call[0].ndims++] = r.dims[i];
  call[1] = call[0];
  bool ok[2];
  for (int s = 0; s < 2; s++) {
    const Program *p = s ? after : before;
    call[s].cells = ARENA_ARRAY(r.arena, Tensor, p->cells.n + 1);
    call[s].outputs = ARENA_ARRAY(r.arena, Tensor, e->outputs.n + 1);
    call[s].inouts = ARENA_ARRAY(r.arena, Tensor, e->inputs.n + 1);
    if (!cells_start(p, seed, r.arena, call[s].cells)) return false;
    for (uint32_t i = 0; i < p->cells.n; i++) {
      const Cell *cell = &p->cells.at[i];
      if (!call[s].cells[i].data)
        call[s].cells[i] = s ? call[0].cells[i] : random_tensor(&r, cell->dtype, cell->shape, cell->rank);
      else if (s && !near(&r, "the start value of", cell->name, &call[1].cells[i], &call[0].cells[i], &result))
        return false;
    }
  }
  memcpy(call[1].cells, call[0].cells,
         before->cells.n * sizeof(Tensor)); /* a call replaces cells, it does not write into them */
  for (int s = 0; s < 2; s++) {
    ok[s] = entry_eval(s ? after : before, &(s ? after : before)->entries.at[entry], &call[s]);
    if (!ok[s] && !call[s].fail.node) return false;
  }
  if (ok[0] != ok[1])
    return diag_error(c->diag, "check-status", e->loc,
                      "entry `%s` %s %s where the graph before %s: this is a mistake in Sinter", e->name, r.how,
                      ok[1] ? "succeeds" : "fails", ok[0] ? "succeeds" : "fails");
  for (uint32_t i = 0; ok[0] && i < e->outputs.n; i++)
    if (!near(&r, "output", e->outputs.at[i].name ? e->outputs.at[i].name : "0", &call[1].outputs[i],
              &call[0].outputs[i], &result))
      return false;
  for (uint32_t i = 0; ok[0] && i < before->cells.n; i++)
    if (!near(&r, "cell", before->cells.at[i].name, &call[1].cells[i], &call[0].cells[i], &result)) return false;
  for (uint32_t i = 0; ok[0] && i < e->inputs.n; i++)
    if (e->inputs.at[i].inout &&
        !near(&r, "inout", e->inputs.at[i].name, &call[1].inouts[i], &call[0].inouts[i], &result))
      return false;
  return true;
}
