/* Memory of a plan: every buffer of the arena gets a place among those that are alive at the same time, as low as it
 * can. Sizes are Syms, so that a buffer lies below another only where it is known to fit for all dimensions; else it
 * lies above it, at the larger of two sums. An offset of too many sums begins a new part of the arena. What comes first
 * decides how well that goes: several orders are tried, and the one that takes least at sample dimensions is kept. */
#include "planner.h"
#include <string.h>

bool planner_at_most(const Planner *p, Sym a, Sym b) {
  enum { UNASKED, NO, YES };
  Sym d = sym_sub(p->syms, b, a);
  while (p->known->n <= d) vec_push(p->arena, p->known, UNASKED);
  if (p->known->at[d] == UNASKED) {
    uint8_t answer = sym_nonneg(p->facts, d) ? YES : NO;
    p->known->at[d] = answer;
  }
  return p->known->at[d] == YES;
}

typedef struct Sample { /* typical dimensions, halved so many times */
  const Plan *plan;
  int halved;
} Sample;

static bool sample_dim(void *ctx, const char *name, int64_t *value) {
  const Sample *s = ctx;
  for (uint32_t i = 0; i < s->plan->dims.n; i++) {
    const Dim *d = &s->plan->dims.at[i];
    if (strcmp(d->name, name)) continue;
    *value = dim_typical(d) >> s->halved;
    if (*value < d->lo) *value = d->lo;
    return true;
  }
  return false;
}

static int64_t sampled(const Planner *p, Sym s, int halved) {
  int64_t n;
  return sym_eval(p->syms, s, sample_dim, &(Sample){p->plan, halved}, &n) ? n : INT64_MAX;
}

static bool meet(const Life *x, const Life *y) { return x->from <= y->to && y->from <= x->to; }

/* ---- offsets ---- */

static Sum sum_of(const Planner *p, Sym s) {
  Sum x = {.sum = s};
  for (int i = 0; i < SAMPLES; i++) x.sample[i] = sampled(p, s, i);
  return x;
}

static Sum sum_add(const Planner *p, const Sum *x, const Sum *y) {
  Sum z = {.sum = sym_add(p->syms, x->sum, y->sum)};
  for (int i = 0; i < SAMPLES; i++)
    if (__builtin_add_overflow(x->sample[i], y->sample[i], &z.sample[i])) z.sample[i] = INT64_MAX;
  return z;
}

static bool sum_at_most(const Planner *p, const Sum *x, const Sum *y) {
  for (int i = 0; i < SAMPLES; i++)
    if (x->sample[i] > y->sample[i]) return false;
  return x->sum == y->sum || planner_at_most(p, x->sum, y->sum);
}

static bool sum_covered(const Planner *p, const Offset *x, const Sum *sum) {
  for (int i = 0; i < x->n; i++)
    if (sum_at_most(p, sum, &x->at[i])) return true;
  return false;
}

/* The larger of two offsets; false: it takes more sums than an offset has. */
static bool offset_max(const Planner *p, Offset *x, const Offset *y) {
  for (int k = 0; k < y->n; k++) {
    int kept = 0;
    if (sum_covered(p, x, &y->at[k])) continue;
    for (int i = 0; i < x->n; i++)
      if (!sum_at_most(p, &x->at[i], &y->at[k])) x->at[kept++] = x->at[i];
    if (kept == OFFSET_SUMS) return false;
    x->at[kept] = y->at[k];
    x->n = kept + 1;
  }
  return true;
}

static Offset offset_add(const Planner *p, const Offset *x, const Sum *bytes) {
  Offset y = {.n = x->n};
  for (int i = 0; i < x->n; i++) y.at[i] = sum_add(p, &x->at[i], bytes);
  return y;
}

static Sym offset_sym(const Planner *p, const Offset *x) {
  Sym s = x->at[0].sum;
  for (int i = 1; i < x->n; i++) s = sym_op(p->syms, SYM_MAX, s, x->at[i].sum);
  return s;
}

static int64_t offset_sample(const Offset *x, int sample) {
  int64_t most = 0;
  for (int i = 0; i < x->n; i++)
    if (x->at[i].sample[sample] > most) most = x->at[i].sample[sample];
  return most;
}

static bool offset_at_most(const Planner *p, const Offset *x, const Offset *y) {
  for (int i = 0; i < x->n; i++)
    if (!sum_covered(p, y, &x->at[i])) return false;
  return true;
}

bool planner_apart(const Planner *p, const Life *x, const Life *y) {
  return x->part != y->part || offset_at_most(p, &x->end, &y->at) || offset_at_most(p, &y->end, &x->at);
}

/* ---- the lower bound ---- */

/* The most bytes alive at one launch, scratch too: no plan with these kernels in this order can use less. */
static Sym lower_bound(const Planner *p) {
  Vec(Sym) most = {0}; /* none known to be at most another */
  for (int k = 0; k <= (int)p->out->groups->at.n; k++) {
    Sym sum = sym_int(p->syms, 0);
    for (uint32_t i = 0; i < p->life.n; i++)
      if (p->out->binds.at[i].kind == BIND_ARENA && p->life.at[i].from <= k && k <= p->life.at[i].to)
        sum = sym_add(p->syms, sum, plan_axis_bytes(p->syms, &p->plan->bufs.at[i], -1));
    bool less = false;
    for (uint32_t i = 0; i < most.n && !less; i++) less = planner_at_most(p, sum, most.at[i]);
    if (less) continue;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < most.n; i++)
      if (!planner_at_most(p, most.at[i], sum)) most.at[kept++] = most.at[i];
    most.n = kept;
    vec_push(p->arena, &most, sum);
  }
  Sym bound = most.at[0];
  for (uint32_t i = 1; i < most.n; i++) bound = sym_op(p->syms, SYM_MAX, bound, most.at[i]);
  return bound;
}

/* ---- the arena ---- */

typedef struct Part { /* of the arena: offsets in it count from its start */
  Vec(int) buffers;
  Offset end;
} Part;

typedef struct Arrangement { /* of the arena, by one order of the buffers */
  Life *life;
  Vec(Part) parts;
  double cost; /* bytes over the lower bound, summed over the samples */
  double most; /* of these ratios, at sample `worst` */
  int worst;
  double excess; /* bytes there above the lower bound */
} Arrangement;

typedef struct Buffer {
  int index;        /* in the plan */
  Sum bytes, lines; /* lines: up to the next multiple of 64 */
} Buffer;

/* Puts a buffer into the part as low as it fits beside those that are alive with it: above all that it is not known to
 * lie below. */
static bool take_place(Planner *p, Arrangement *l, Part *part, const Buffer *b) {
  Life *x = &l->life[b->index];
  uint32_t n = part->buffers.n;
  bool *above = ARENA_ARRAY(p->arena, bool, n + 1);
  Offset at = {1, {sum_of(p, sym_int(p->syms, 0))}}, end = offset_add(p, &at, &b->bytes), most = part->end;
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t i = 0; i < n; i++) {
      const Life *y = &l->life[part->buffers.at[i]];
      if (above[i] || !meet(x, y) || offset_at_most(p, &end, &y->at)) continue;
      above[i] = moved = true;
      if (!offset_max(p, &at, &y->next)) return false;
      end = offset_add(p, &at, &b->bytes);
    }
  }
  Offset next = offset_add(p, &at, &b->lines);
  if (!offset_max(p, &most, &next)) return false;
  part->end = most;
  x->at = at;
  x->end = end;
  x->next = next;
  vec_push(p->arena, &part->buffers, b->index);
  return true;
}

static Arrangement arrange(Planner *p, const Sum *least, const Life *life, const Buffer *buffers, uint32_t n) {
  Arrangement l = {.life = ARENA_ARRAY(p->arena, Life, p->life.n + 1)};
  if (p->life.n) memcpy(l.life, life, p->life.n * sizeof *l.life);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t k = 0;
    while (k < l.parts.n && !take_place(p, &l, &l.parts.at[k], &buffers[i])) k++;
    if (k == l.parts.n) {
      vec_push(p->arena, &l.parts, (Part){.end = {1, {sum_of(p, sym_int(p->syms, 0))}}});
      take_place(p, &l, &l.parts.at[k], &buffers[i]);
    }
    l.life[buffers[i].index].part = (int)k;
  }
  for (int i = 0; i < SAMPLES; i++) {
    double bytes = 0, ratio = 1;
    for (uint32_t k = 0; k < l.parts.n; k++) bytes += (double)offset_sample(&l.parts.at[k].end, i);
    if (least->sample[i]) ratio = bytes / (double)least->sample[i];
    l.cost += ratio;
    if (ratio > l.most) l.most = ratio, l.worst = i, l.excess = bytes - (double)least->sample[i];
  }
  return l;
}

typedef enum { BY_BYTES, BY_AREA, BY_LIFE, ORDERS } Order;

static double weight(Order o, const Life *x, int64_t bytes) {
  double life = x->to - x->from + 1;
  return o == BY_BYTES ? (double)bytes : o == BY_AREA ? (double)bytes * life : life;
}

/* The heaviest first; of equals that of more bytes, then the one that the plan had first. */
static void sort_buffers(const Planner *p, Buffer *b, uint32_t n, Order o) {
  for (uint32_t i = 1; i < n; i++) {
    Buffer x = b[i];
    double w = weight(o, &p->life.at[x.index], x.bytes.sample[0]);
    uint32_t k = i;
    for (; k; k--) {
      const Buffer *y = &b[k - 1];
      double v = weight(o, &p->life.at[y->index], y->bytes.sample[0]);
      if (v > w || (v == w && (y->bytes.sample[0] > x.bytes.sample[0] ||
                               (y->bytes.sample[0] == x.bytes.sample[0] && y->index < x.index))))
        break;
      b[k] = *y;
    }
    b[k] = x;
  }
}

/* The buffer that ends last at the arrangement's worst sample comes earlier. */
static void promote(const Arrangement *l, Buffer *b, uint32_t n) {
  int64_t most = -1;
  uint32_t last = 0;
  for (uint32_t i = 0; i < n; i++) {
    int64_t end = offset_sample(&l->life[b[i].index].next, l->worst);
    if (end > most) most = end, last = i;
  }
  Buffer x = b[last];
  uint32_t to = last / 2;
  memmove(&b[to + 1], &b[to], (last - to) * sizeof *b);
  b[to] = x;
}

enum { ROUNDS = 24, TRIES = 8 };             /* of putting what sticks out earlier: in all, and without success */
static const double GOOD = 1.01, FAIR = 1.1; /* bytes over the lower bound: not worth a trial, not worth a barrier */
enum { SMALL = 65536 };                      /* bytes that are not worth a barrier */

static Arrangement best_arrangement(Planner *p, const Sum *least, const Life *life, Buffer *buffers, uint32_t n) {
  Arrangement best = {.cost = -1};
  for (Order o = 0; o < ORDERS; o++) {
    sort_buffers(p, buffers, n, o);
    for (int round = 0, tries = 0; tries < TRIES && round < ROUNDS; round++, tries++) {
      Arrangement l = arrange(p, least, life, buffers, n);
      if (best.cost < 0 || l.cost < best.cost) best = l, tries = 0;
      if (n < 2 || best.most <= GOOD) return best;
      promote(&l, buffers, n);
    }
  }
  return best;
}

/* Lives as whole phases: what shares memory by them needs no barrier that would not be there anyway. */
static Life *phase_lives(Planner *p) {
  Life *life = ARENA_ARRAY(p->arena, Life, p->life.n + 1);
  size_t n = p->out->groups->at.n + 1;
  int *first = ARENA_ARRAY(p->arena, int, n), *last = ARENA_ARRAY(p->arena, int, n);
  plan_phases(p, first, last);
  for (uint32_t i = 0; i < p->life.n; i++) {
    life[i] = p->life.at[i];
    life[i].from = first[life[i].from];
    life[i].to = last[life[i].to];
  }
  return life;
}

void plan_memory(Planner *p) {
  Buffer *buffers = ARENA_ARRAY(p->arena, Buffer, p->life.n + 1);
  uint32_t n = 0;
  Sym base = sym_int(p->syms, 0);
  for (uint32_t i = 0; i < p->life.n; i++) {
    if (p->out->binds.at[i].kind != BIND_ARENA) continue;
    Sym bytes = plan_axis_bytes(p->syms, &p->plan->bufs.at[i], -1),
        lines = sym_round_up(p->syms, bytes, sym_int(p->syms, 64));
    buffers[n++] = (Buffer){(int)i, sum_of(p, bytes), sum_of(p, lines)};
  }
  p->out->lower_bound = lower_bound(p);
  Sum least = sum_of(p, p->out->lower_bound);
  Arrangement best = best_arrangement(p, &least, phase_lives(p), buffers, n);
  if (best.most > FAIR && best.excess > SMALL) { /* more barriers for less memory */
    Arrangement tight = best_arrangement(p, &least, p->life.at, buffers, n);
    if (tight.cost < best.cost) best = tight;
  }
  for (uint32_t i = 0; i < n; i++) {
    Life *x = &p->life.at[buffers[i].index], *y = &best.life[buffers[i].index];
    x->part = y->part, x->at = y->at, x->end = y->end, x->next = y->next;
  }
  for (uint32_t k = 0; k < best.parts.n; k++) {
    for (uint32_t i = 0; i < best.parts.at[k].buffers.n; i++) {
      int b = best.parts.at[k].buffers.at[i];
      p->plan->bufs.at[b].at = sym_add(p->syms, base, offset_sym(p, &p->life.at[b].at));
    }
    base = sym_add(p->syms, base, offset_sym(p, &best.parts.at[k].end));
  }
  p->out->arena = base;
}
