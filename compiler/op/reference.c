#include "reference.h"
#include <math.h>
#include <string.h>

static const double SMALLEST = 1e-3, CONDITION = 8;

/* Of a tensor's largest value: some units of f32 and f64, whose sums run in another order; of 16 bits the unit in the
 * last place by which a result differs that was rounded from an f32 just beside the evaluator's. */
static double tolerance(DType d) { return d == DT_F64 ? 1e-13 : d == DT_F16 ? 0x1p-10 : d == DT_BF16 ? 0x1p-7 : 4e-6; }

static EntryCall fresh(const Reference *r) {
  EntryCall c = r->call;
  uint32_t ncells = r->p->cells.n;
  c.cells = ARENA_ARRAY(c.arena, Tensor, ncells + 1);
  if (ncells) memcpy(c.cells, r->call.cells, ncells * sizeof *c.cells); /* a call replaces them, it does not write */
  c.outputs = ARENA_ARRAY(c.arena, Tensor, r->e->outputs.n + 1);
  c.inouts = ARENA_ARRAY(c.arena, Tensor, r->e->inputs.n + 1);
  return c;
}

bool reference_run(Reference *r, const Program *p, const Entry *e, const EntryCall *call) {
  *r = (Reference){.p = p, .e = e, .call = *call};
  r->want = fresh(r);
  r->ok = entry_eval(p, e, &r->want);
  return r->ok || r->want.fail.node;
}

static const Tensor *part_of(const EntryCall *c, Part part, uint32_t i) {
  return (part == PART_OUTPUT ? c->outputs : part == PART_CELL ? c->cells : c->inouts) + i;
}

const Tensor *reference_result(const Reference *r, Part part, uint32_t i) {
  if (!r->ok && part == PART_INOUT)
    for (int k = 0; k < r->call.ninputs; k++)
      if (r->call.inputs[k].name == r->e->inputs.at[i].name) return &r->call.inputs[k].value;
  return part_of(&r->want, part, i);
}

/* ---- conditioning ---- */

static Tensor nudge(Arena *a, const Tensor *t, uint64_t *state) {
  Tensor c = tensor_new(a, t->dtype, t->dim, t->rank);
  for (int64_t k = 0; k < tensor_count(t); k++) {
    Scalar x = tensor_at(t, k);
    if (dtype_is_float(t->dtype) && x.f != 0) { /* a zero stays: that it is not negative may matter */
      *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth's generator, MMIX */
      x.f = scalar_beside(t->dtype, x.f, *state >> 63);
    }
    tensor_set(&c, k, x);
  }
  return c;
}

static bool measure(Reference *r) {
  if (r->wide.arena) return true;
  EntryCall wide = fresh(r), nudged = fresh(r);
  wide.wide = nudged.stepwise = true;
  Arena *a = r->call.arena;
  uint64_t state = r->call.seed;
  NamedTensor *inputs = ARENA_ARRAY(a, NamedTensor, nudged.ninputs + 1);
  for (int i = 0; i < nudged.ninputs; i++)
    inputs[i] = (NamedTensor){nudged.inputs[i].name, nudge(a, &nudged.inputs[i].value, &state)};
  nudged.inputs = inputs;
  for (uint32_t i = 0; i < r->p->cells.n; i++) nudged.cells[i] = nudge(a, &nudged.cells[i], &state);
  if (!entry_eval(r->p, r->e, &wide) || !entry_eval(r->p, r->e, &nudged)) return false;
  r->wide = wide;
  r->nudged = nudged;
  return true;
}

static double distance_from_wide(const Tensor *t, const Tensor *wide) {
  double worst = 0;
  for (int64_t k = 0; k < tensor_count(t); k++) {
    double x = tensor_at(t, k).f, y = tensor_at(wide, k).f;
    if (x != y && !(isnan(x) && isnan(y))) worst = fmax(worst, isfinite(x) && isfinite(y) ? fabs(x - y) : INFINITY);
  }
  return worst;
}

/* ---- distances ---- */

static double allowed(const Tensor *want) { return fmax(tensor_largest(want), SMALLEST) * tolerance(want->dtype); }

double reference_plain_distance(const Tensor *got, const Tensor *want, int64_t *at) {
  double d = tensor_distance(got, want, at);
  if (!dtype_is_float(want->dtype)) return d == 0 ? 0 : 2;
  return d / allowed(want);
}

double reference_distance(Reference *r, Part part, uint32_t i, const Tensor *got, int64_t *at) {
  const Tensor *want = reference_result(r, part, i);
  double d = reference_plain_distance(got, want, at);
  if (d <= 1 || isinf(d) || !r->ok || !dtype_is_float(want->dtype) || !measure(r)) return d;
  const Tensor *exact = part_of(&r->wide, part, i);
  double own = fmax(distance_from_wide(want, exact), distance_from_wide(part_of(&r->nudged, part, i), exact));
  if (isinf(own)) return d;
  return fmin(d, distance_from_wide(got, exact) / (CONDITION * own + allowed(want)));
}
