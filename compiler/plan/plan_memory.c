/* Memory of a plan: buffers of the arena share its slots. The largest comes first; each takes the smallest slot in
 * which it fits beside the buffers that are alive at the same time. Sizes are Syms, so whether something fits must be
 * provable for all dimensions. */
#include "planner.h"
#include <string.h>

typedef struct Slot { /* a piece of the arena, as large as its largest buffer, for buffers whose lives or places are
                         disjoint */
  Sym bytes;
  int64_t sample; /* bytes at typical dimensions */
  Vec(int) buffers;
} Slot;

typedef Vec(Slot) Slots;

bool planner_at_most(const Planner *p, Sym a, Sym b) { return sym_decide(p->facts, SYM_LE, a, b) == 1; }

static bool meet(const Life *x, const Life *y) { return x->from <= y->to && y->from <= x->to; }

/* Where in a slot a buffer of so many bytes fits: at its start or behind a buffer that is alive at the same time. 0 is
 * nowhere. *grows: the slot is free, but may have to grow. */
static Sym room_in(const Planner *p, const Slot *slot, const Life *x, Sym bytes, bool *grows) {
  bool alone = true;
  for (int c = -1; c < (int)slot->buffers.n; c++) {
    const Life *behind = c < 0 ? NULL : &p->life.at[slot->buffers.at[c]];
    if (behind && !meet(x, behind)) continue;
    Sym at = behind ? behind->end : sym_int(p->syms, 0), end = sym_add(p->syms, at, bytes);
    bool fits = planner_at_most(p, end, slot->bytes);
    for (uint32_t i = 0; i < slot->buffers.n; i++) {
      const Life *y = &p->life.at[slot->buffers.at[i]];
      if (!meet(x, y)) continue;
      alone = false;
      fits = fits && (planner_at_most(p, end, y->at) || planner_at_most(p, y->end, at));
    }
    if (fits) return at;
  }
  *grows = alone;
  return alone ? sym_int(p->syms, 0) : 0;
}

static void take_slot(Planner *p, Slots *slots, int b, int64_t sample) {
  Sym bytes = plan_axis_bytes(p->syms, &p->plan->bufs.at[b], -1), at = 0;
  Life *life = &p->life.at[b];
  int best = -1;
  bool best_grows = false;
  for (uint32_t i = 0; i < slots->n; i++) { /* the smallest that is large enough, before one that may grow */
    bool grows = false;
    Sym here = room_in(p, &slots->at[i], life, bytes, &grows);
    if (!here ||
        (best >= 0 && (grows > best_grows || (grows == best_grows && slots->at[i].sample >= slots->at[best].sample))))
      continue;
    best = (int)i;
    best_grows = grows;
    at = here;
  }
  if (best < 0) {
    vec_push(p->arena, slots, (Slot){.bytes = bytes, .sample = sample});
    best = (int)slots->n - 1;
    at = sym_int(p->syms, 0);
  }
  Slot *s = &slots->at[best];
  if (best_grows) s->bytes = planner_at_most(p, s->bytes, bytes) ? bytes : sym_op(p->syms, SYM_MAX, s->bytes, bytes);
  vec_push(p->arena, &s->buffers, b);
  life->slot = best;
  life->at = at;
  life->end = sym_add(p->syms, at, sym_round_up(p->syms, bytes, sym_int(p->syms, 64)));
}

/* Buffers from the largest to the smallest take slots; then slots lie one behind the other, each a multiple of 64
 * bytes. */
static void plan_offsets(Planner *p) {
  Slots slots = {0};
  uint32_t n = p->plan->bufs.n;
  int64_t *sample = ARENA_ARRAY(p->arena, int64_t, n + 1);
  bool *placed = ARENA_ARRAY(p->arena, bool, n + 1);
  for (uint32_t i = 0; i < n; i++) {
    placed[i] = p->out->binds.at[i].kind != BIND_ARENA;
    if (!placed[i] &&
        !sym_eval(p->syms, plan_axis_bytes(p->syms, &p->plan->bufs.at[i], -1), plan_typical, p->plan, &sample[i]))
      sample[i] = INT64_MAX;
  }
  for (;;) {
    int most = -1;
    for (uint32_t i = 0; i < n; i++)
      if (!placed[i] && (most < 0 || sample[i] > sample[most])) most = (int)i;
    if (most < 0) break;
    placed[most] = true;
    take_slot(p, &slots, most, sample[most]);
  }
  Sym at = sym_int(p->syms, 0);
  Sym *offset = ARENA_ARRAY(p->arena, Sym, slots.n + 1);
  for (uint32_t i = 0; i < slots.n; i++) {
    offset[i] = at;
    at = sym_add(p->syms, at, sym_round_up(p->syms, slots.at[i].bytes, sym_int(p->syms, 64)));
  }
  for (uint32_t i = 0; i < n; i++)
    if (p->life.at[i].slot >= 0)
      p->plan->bufs.at[i].at = sym_add(p->syms, offset[p->life.at[i].slot], p->life.at[i].at);
  p->out->arena = at;
}

/* The most bytes alive at one launch, scratch too: no plan with these kernels in this order can use less. */
static Sym lower_bound(const Planner *p) {
  Vec(Sym) most = {0}; /* none known to be at most another */
  for (int k = 0; k <= (int)p->out->groups->at.n; k++) {
    Sym sum = sym_int(p->syms, 0);
    for (uint32_t i = 0; i < p->life.n; i++)
      if (p->life.at[i].slot >= 0 && p->life.at[i].from <= k && k <= p->life.at[i].to)
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

void plan_memory(Planner *p) {
  plan_offsets(p);
  p->out->lower_bound = lower_bound(p);
}
