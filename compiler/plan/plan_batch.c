/* The order of a GPU's launches. Steps that do not meet in memory, the places of the arena included, may change places;
 * those that may run at the same time are brought together, so that one launch can run them (emit/cuda_batch.c). */
#include "planner.h"
#include <string.h>

typedef struct Touch { /* of a buffer of the plan */
  int buf;
  bool stored;
} Touch;

typedef struct Turn { /* a step */
  Step *step;
  Vec(Touch) touches;
  Vec(int) before; /* steps that must stay before it */
  int after;       /* steps not yet placed that must stay behind it */
  bool fails, placed;
} Turn;

typedef struct Order {
  const Planner *p;
  Vec(Turn) turns;
  uint8_t *shared; /* buffer x buffer: 1: they are apart, 2: they may share memory; 0: not asked yet */
} Order;

static bool share(Order *o, int a, int b) {
  uint8_t *known = &o->shared[(uint32_t)a * o->p->plan->bufs.n + (uint32_t)b];
  if (!*known) *known = 1 + planner_share_memory(o->p, a, b);
  return *known == 2;
}

static bool meet(Order *o, const Turn *x, const Turn *y) {
  if ((x->fails && y->step->commit) || (y->fails && x->step->commit)) return true;
  for (uint32_t i = 0; i < x->touches.n; i++)
    for (uint32_t j = 0; j < y->touches.n; j++) {
      const Touch *a = &x->touches.at[i], *b = &y->touches.at[j];
      if ((a->stored || b->stored) && share(o, a->buf, b->buf)) return true;
    }
  return false;
}

static const Stage *stage_of(const Planner *p, const Step *s) {
  return s->kind == STEP_LAUNCH ? p->level->module->kernels.at[s->kernel]->stages.at[s->stage] : NULL;
}

/* All threads of its blocks work together. */
static bool block_wide(const Stage *st, const Stmt *s) {
  for (; s; s = s->next)
    if ((s->kind == STMT_BARRIER && s->scope == LOOP_BLOCK) ||
        (s->kind == STMT_REDUCE && s->scope == LOOP_BLOCK && st->threads > LOOP_WARP_THREADS) ||
        block_wide(st, s->body) || block_wide(st, s->other))
      return true;
  return false;
}

/* So few blocks that it does not matter how many of their threads have nothing to do. */
static bool small(const Planner *p, const Step *s) {
  enum { BLOCKS = 512 };
  const Kernel *k = p->level->module->kernels.at[s->kernel];
  const Stage *st = stage_of(p, s);
  const char **names = ARENA_ARRAY(p->arena, const char *, k->dims.n + 1);
  int64_t blocks;
  for (uint32_t i = 0; i < k->dims.n; i++) names[i] = k->dims.at[i].name;
  Sym grid = sym_replace(p->syms, sym_product(p->syms, st->extent, st->naxes), names, s->dims, s->ndims);
  return sym_eval(p->syms, grid, plan_typical, p->plan, &blocks) && blocks <= BLOCKS;
}

typedef struct Batch {
  int threads; /* of a block: as many as the part with most of them has, the others leave some idle */
  bool wide;   /* of some part: they work together */
  bool small;  /* all parts */
} Batch;

/* Products and attention have kernels of their own (kernels/cuda), large ones. */
static bool of_skeleton(const Planner *p, const Step *s) {
  if (stage_of(p, s)->product) return true;
  for (uint32_t k = 0; k < p->out->kernels.n; k++)
    if (p->out->kernels.at[k].kernel == s->kernel) return group_attends(&p->out->groups->at.at[k]);
  return false;
}

static bool join(const Planner *p, Batch *b, const Step *s) {
  const Stage *st = stage_of(p, s);
  if (!st || !st->threads || of_skeleton(p, s)) return false;
  bool wide = block_wide(st, st->body), little = small(p, s);
  if (b->threads && st->threads < b->threads && (wide || !little)) return false;
  if (b->threads && st->threads > b->threads && (b->wide || !b->small)) return false;
  *b = (Batch){st->threads > b->threads ? st->threads : b->threads, b->wide || wide,
               (!b->threads || b->small) && little};
  return true;
}

static void read_steps(Order *o) {
  const Planner *p = o->p;
  for (Step *s = p->plan->steps; s; s = s->next) {
    Turn n = {.step = s, .fails = stage_of(p, s) && loop_fails(stage_of(p, s))};
    bool *read, *write;
    planner_step_uses(p, s, &read, &write);
    for (int i = 0; i < s->nviews; i++)
      if (s->views[i].buf >= 0) vec_push(p->arena, &n.touches, ((Touch){s->views[i].buf, write[i]}));
    vec_push(p->arena, &o->turns, n);
  }
  for (uint32_t j = 0; j < o->turns.n; j++)
    for (uint32_t i = 0; i < j; i++)
      if (meet(o, &o->turns.at[i], &o->turns.at[j])) {
        vec_push(p->arena, &o->turns.at[j].before, (int)i);
        o->turns.at[i].after++;
      }
}

/* From the end: with the last step go all that can be delayed until it, so that updates, which nothing waits for, come
 * together. Steps of one batch keep their order. */
void plan_batches(Planner *p) {
  Order o = {.p = p, .shared = ARENA_ARRAY(p->arena, uint8_t, (size_t)p->plan->bufs.n * p->plan->bufs.n + 1)};
  int batch = 0;
  Step *first = NULL;
  read_steps(&o);
  int *chosen = ARENA_ARRAY(p->arena, int, o.turns.n + 1);
  for (uint32_t last = o.turns.n; last-- > 0;) {
    int n = 0;
    Batch b = {0};
    if (o.turns.at[last].placed) continue;
    bool alone = !join(p, &b, o.turns.at[last].step);
    chosen[n++] = (int)last;
    for (int i = (int)last - 1; i >= 0 && !alone; i--) {
      const Turn *x = &o.turns.at[i];
      if (!x->placed && !x->after && join(p, &b, x->step)) chosen[n++] = i;
    }
    batch += n > 1;
    for (int i = 0; i < n; i++) {
      Turn *x = &o.turns.at[chosen[i]];
      x->placed = true;
      x->step->batch = n > 1 ? batch : 0;
      x->step->next = first;
      first = x->step;
      for (uint32_t k = 0; k < x->before.n; k++) o.turns.at[x->before.at[k]].after--;
    }
  }
  p->plan->steps = first;
}
