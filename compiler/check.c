#include "check.h"
#include "reference.h"
#include <string.h>

typedef struct Results { /* of a call */
  Tensor *outputs, *cells, *inouts;
  bool failed;
} Results;

typedef struct Run { /* an entry, the values it is called with, and what it is compared with */
  const Program *program;
  const Entry *e;
  int entry;
  const char *how, *reference; /* "as planned for v3", "the graph"; "after the pass simplify", "the graph before" */
  Arena *arena;
  Ctx *ctx;
  NamedDim *dims;
  NamedTensor *inputs;
  Tensor *cells; /* before the call */
  uint64_t seed;
  uint64_t state;
  Reference want;
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

/* False: no size near this one will do. */
static bool find_dims(Run *r, int64_t size) {
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
  return false;
}

static bool choose_dims(Run *r, int64_t size) {
  return find_dims(r, size) ||
         diag_error(r->ctx->diag, "check-sizes", r->e->loc,
                    "no size near %lld satisfies what entry `%s` says of its dimensions", (long long)size, r->e->name);
}

/* Operations that an evaluation of the entry and of all start values takes. */
static double work(Run *r, const Program *p, const Entry *e) {
  double sum = e ? graph_work(e->graph, lookup, r, e->graph->output.at, (int)e->graph->output.n, CHECK_MOST) : 0;
  for (uint32_t i = 0; i < p->cells.n && sum <= CHECK_MOST; i++) {
    const Cell *c = &p->cells.at[i];
    double n = 1;
    for (int k = 0; k < c->rank; k++) {
      int64_t size = 0;
      if (!sym_is_int(r->ctx->syms, c->shape[k], &size)) BUG("the cell `%s` has a size that is no number", c->name);
      n *= (double)size;
    }
    sum += n + (c->init ? graph_work(c->init, NULL, NULL, c->init->output.at, 1, CHECK_MOST) : 0);
  }
  return sum;
}

const char *check_too_much(const Program *p, int entry, int64_t size) {
  static const Entry none = {0};
  const Entry *e = entry < 0 ? NULL : &p->entries.at[entry];
  Run r = {.e = e ? e : &none, .ctx = p->ctx, .arena = p->ctx->arena};
  if (e && !find_dims(&r, size))
    return arena_printf(r.arena, "no size near %lld satisfies what it says of its dimensions", (long long)size);
  if (entry >= 0) entry_roots(&p->entries.at[entry]);
  if (work(&r, p, e) <= CHECK_MOST) return NULL;
  return arena_printf(r.arena, "evaluating %s takes more than %d million operations",
                      e ? "it with all start values" : "them", CHECK_MOST / 1000000);
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

/* One call of the entry of `p`, from the values of the run. False after diag_error. */
static bool evaluate(Run *r, const Program *p, Reference *out) {
  EntryCall call = {
      .inputs = r->inputs, .ninputs = (int)r->e->inputs.n, .cells = r->cells, .seed = r->seed, .arena = r->arena};
  NamedDim *given = ARENA_ARRAY(r->arena, NamedDim, r->e->dims.n + 1);
  for (uint32_t i = 0; i < r->e->dims.n; i++)
    if (r->e->dims.at[i].given) given[call.ndims++] = r->dims[i];
  call.dims = given;
  return reference_run(out, p, &p->entries.at[r->entry], &call);
}

/* Keeps the largest distance; says so when it is above 1. */
static bool near(Run *r, const char *what, const char *name, const Tensor *got, const Tensor *want, double distance,
                 CheckResult *out) {
  if (!name) name = "0";
  if (distance > out->distance) {
    out->distance = distance;
    out->where = arena_printf(r->arena, "%s %s", what, name);
  }
  if (distance <= 1) return true;
  int64_t at;
  double d = tensor_distance(got, want, &at);
  return diag_error(r->ctx->diag, "check-differs", r->e->loc,
                    "%s %s of entry `%s` %s differs from the graph by %g at element %lld: this is a mistake in Sinter",
                    what, name, r->e->name, r->how, d, (long long)at);
}

static bool result_near(Run *r, Part part, uint32_t i, const char *name, const Tensor *got, CheckResult *out) {
  static const char *const what[] = {[PART_OUTPUT] = "output", [PART_CELL] = "cell", [PART_INOUT] = "inout"};
  return near(r, what[part], name, got, reference_result(&r->want, part, i),
              reference_distance(&r->want, part, i, got, NULL), out);
}

static bool start_near(Run *r, uint32_t cell, const Tensor *got, const Tensor *want, CheckResult *out) {
  return near(r, "the start value of", r->program->cells.at[cell].name, got, want,
              reference_plain_distance(got, want, NULL), out);
}

/* Whether `got` is what the reference gives. On failure all is as before. */
static bool compare(Run *r, const Results *got, CheckResult *out) {
  const Entry *e = r->e;
  if (got->failed == r->want.ok)
    return diag_error(r->ctx->diag, "check-status", e->loc, "entry `%s` %s %s where %s %s: this is a mistake in Sinter",
                      e->name, r->how, got->failed ? "fails" : "succeeds", r->reference,
                      got->failed ? "succeeds" : "fails");
  for (uint32_t i = 0; !got->failed && i < e->outputs.n; i++)
    if (!result_near(r, PART_OUTPUT, i, e->outputs.at[i].name, &got->outputs[i], out)) return false;
  for (uint32_t i = 0; i < r->program->cells.n; i++)
    if (!result_near(r, PART_CELL, i, r->program->cells.at[i].name, &got->cells[i], out)) return false;
  for (uint32_t i = 0; i < e->inputs.n; i++)
    if (e->inputs.at[i].inout && got->inouts[i].data &&
        !result_near(r, PART_INOUT, i, e->inputs.at[i].name, &got->inouts[i], out))
      return false;
  return true;
}

/* Dimensions, inputs and cells to begin with. */
static bool begin(Run *r, int64_t size) {
  const Entry *e = r->e;
  const Program *p = r->program;
  if (!choose_dims(r, size)) return false;
  r->inputs = ARENA_ARRAY(r->arena, NamedTensor, e->inputs.n + 1);
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *q = &e->inputs.at[i];
    r->inputs[i] = (NamedTensor){q->name, random_tensor(r, q->dtype, q->shape, q->rank)};
  }
  r->cells = ARENA_ARRAY(r->arena, Tensor, p->cells.n + 1);
  if (!cells_start(p, r->seed, r->arena, r->cells)) return false;
  for (uint32_t i = 0; i < p->cells.n; i++) {
    const Cell *c = &p->cells.at[i];
    if (!r->cells[i].data) r->cells[i] = random_tensor(r, c->dtype, c->shape, c->rank);
  }
  return true;
}

static Run run_of(const Program *p, int entry, uint64_t seed, const char *how, const char *reference) {
  return (Run){.program = p,
               .entry = entry,
               .e = &p->entries.at[entry],
               .ctx = p->ctx,
               .arena = p->ctx->arena,
               .seed = seed,
               .state = seed,
               .how = how,
               .reference = reference};
}

static const char *as_planned(const LevelUnit *l) {
  return arena_printf(l->module->ctx->arena, "as planned for %s", l->target->name);
}

/* Makes a packed parameter by its own plan. */
static bool run_prepare(const LevelUnit *level, int index, const Tensor *cells, void *out) {
  const Derived *d = &level->derived.at[index];
  LoopArg args[2] = {{0}};
  for (uint32_t i = 0; i < d->plan.binds.n; i++)
    args[i].data = d->plan.binds.at[i].kind == BIND_CELL ? cells[d->cell].data : out;
  LoopRun run = {.level = level->target->name};
  return loop_run(level->module, d->plan.plan->name, NULL, args, &run);
}

/* One run of a plan by the loop interpreter, from the values of the run; it stores into got's tensors. */
static bool interpret(Run *r, const Unit *unit, const LevelUnit *level, const EntryPlan *plan, Results *got) {
  uint32_t rng[4] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32), 0, 0};
  LoopArg *args = ARENA_ARRAY(r->arena, LoopArg, plan->binds.n + 1);
  for (int i = 0; i < plan->plan->nparams; i++) {
    PlanBind b = plan->binds.at[i];
    const LoopBuf *buf = &plan->plan->bufs.at[i];
    switch (b.kind) {
    case BIND_INPUT:
      got->inouts[b.index] = copy_tensor(r, &r->inputs[b.index].value);
      args[i].data = got->inouts[b.index].data;
      break;
    case BIND_OUTPUT: args[i].data = got->outputs[b.index].data = buffer_memory(r, buf); break;
    case BIND_CELL: args[i].data = got->cells[b.index].data; break;
    case BIND_CONST: args[i].data = (void *)(uintptr_t)unit->consts.at[b.index].data; break;
    case BIND_RANDOM: args[i].data = rng; break;
    case BIND_DERIVED:
      args[i].data = buffer_memory(r, buf);
      if (!run_prepare(level, b.index, r->cells, args[i].data)) return false;
      break;
    case BIND_ARENA: BUG("an arena buffer among the parameters");
    }
  }
  int64_t *values = ARENA_ARRAY(r->arena, int64_t, r->e->dims.n + 1);
  for (uint32_t i = 0; i < r->e->dims.n; i++) values[i] = r->dims[i].value;
  LoopRun run = {.level = level->target->name, .seed = (uint32_t)r->seed};
  if (!loop_run(level->module, plan->plan->name, values, args, &run)) return false;
  got->failed = run.status != 0;
  return true;
}

bool check_start(const Unit *unit, const LevelUnit *level, uint64_t seed, CheckResult *out) {
  const Program *p = unit->program;
  *out = (CheckResult){0, "nothing"};
  if (!unit->init) return true;
  Run r = {
      .program = p, .e = unit->init, .ctx = p->ctx, .arena = p->ctx->arena, .seed = seed, .how = as_planned(level)};
  Tensor *want = ARENA_ARRAY(r.arena, Tensor, p->cells.n);
  Results got = {.cells = ARENA_ARRAY(r.arena, Tensor, p->cells.n)};
  if (!cells_start(p, seed, r.arena, want)) return false;
  for (uint32_t i = 0; i < p->cells.n; i++)
    got.cells[i] = tensor_new(r.arena, want[i].dtype, want[i].dim, want[i].rank);
  bool ok = interpret(&r, unit, level, &level->init, &got);
  for (int i = 0; ok && i < (int)p->cells.n; i++)
    if (p->cells.at[i].init) ok = start_near(&r, (uint32_t)i, &got.cells[i], &want[i], out);
  return ok;
}

bool check_entry(const Unit *unit, const LevelUnit *level, int entry, int64_t size, uint64_t seed, CheckResult *out) {
  Run r = run_of(unit->program, entry, seed, as_planned(level), "the graph");
  *out = (CheckResult){0, "nothing"};
  if (!begin(&r, size) || !evaluate(&r, r.program, &r.want)) return false;
  Results got = {.outputs = ARENA_ARRAY(r.arena, Tensor, r.e->outputs.n + 1),
                 .cells = ARENA_ARRAY(r.arena, Tensor, r.program->cells.n + 1),
                 .inouts = ARENA_ARRAY(r.arena, Tensor, r.e->inputs.n + 1)};
  if (r.want.ok) memcpy(got.outputs, r.want.want.outputs, r.e->outputs.n * sizeof(Tensor)); /* their shapes */
  for (uint32_t i = 0; i < r.program->cells.n; i++) got.cells[i] = copy_tensor(&r, &r.cells[i]);
  return interpret(&r, unit, level, &level->entries[entry], &got) && compare(&r, &got, out);
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
  Run r = run_of(before, entry, seed, arena_printf(before->ctx->arena, "after the pass %s", pass), "the graph before");
  Reference made;
  CheckResult result = {0, "nothing"};
  if (!begin(&r, size)) return false;
  Tensor *start = ARENA_ARRAY(r.arena, Tensor, after->cells.n + 1);
  if (!cells_start(after, seed, r.arena, start)) return false;
  for (uint32_t i = 0; i < after->cells.n; i++)
    if (start[i].data && !start_near(&r, i, &start[i], &r.cells[i], &result)) return false;
  if (!evaluate(&r, before, &r.want) || !evaluate(&r, after, &made)) return false;
  const EntryCall *c = &made.want;
  return compare(&r, &(Results){c->outputs, c->cells, c->inouts, !made.ok}, &result);
}
