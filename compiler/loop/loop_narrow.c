#include "loop.h"
#include <stdlib.h>

/* Whether 32 bits hold the indices of a stage: an interval for every expression of idx, from those of dimensions, axes
 * and loops. Within MOST nothing overflows here either, and a loop may step beyond its end. */
enum { MOST = 1 << 30 };

typedef struct Interval {
  int64_t lo, hi;
} Interval;

typedef struct Narrow {
  Kernel *k;
  const Stage *stage;
  Interval *var, *ex;
  bool *seen, fails;
} Narrow;

static Interval beyond(Narrow *n) {
  n->fails = true;
  return (Interval){0, 0};
}

static Interval hold(Narrow *n, int64_t lo, int64_t hi) {
  return lo < -MOST || hi > MOST ? beyond(n) : (Interval){lo, hi};
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static void visit(Narrow *, Ex);

static Interval of(Narrow *n, Ex e) {
  const Expr x = *ex_at(n->k, e);
  Interval in[3] = {{0, 0}};
  for (int i = 0; i < x.nin && i < 3; i++) in[i] = n->ex[n->k->arg.at[x.in + (uint32_t)i]];
  Interval a = in[0], b = in[1];
  switch (x.op) {
  case OP_LITERAL: return hold(n, x.u.i, x.u.i);
  case OP_VAR: return n->var[x.ref];
  case OP_LANE: return (Interval){0, x.lanes - 1};
  case OP_SPLAT: return a;
  case OP_NEG: return (Interval){-a.hi, -a.lo};
  case OP_ADD: return hold(n, a.lo + b.lo, a.hi + b.hi);
  case OP_SUB: return hold(n, a.lo - b.hi, a.hi - b.lo);
  case OP_MUL: {
    const int64_t p[] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
    return hold(n, least(least(p[0], p[1]), least(p[2], p[3])), most(most(p[0], p[1]), most(p[2], p[3])));
  }
  case OP_FLOOR_DIV: return b.lo < 1 ? beyond(n) : (Interval){least(a.lo, 0), most(a.hi, 0)};
  case OP_FLOOR_MOD: return b.lo < 1 ? beyond(n) : (Interval){0, b.hi - 1};
  case OP_MINIMUM: return (Interval){least(a.lo, b.lo), least(a.hi, b.hi)};
  case OP_MAXIMUM: return (Interval){most(a.lo, b.lo), most(a.hi, b.hi)};
  case OP_SELECT: return (Interval){least(b.lo, in[2].lo), most(b.hi, in[2].hi)};
  case OP_CONVERT: return ex_at(n->k, n->k->arg.at[x.in])->dtype == DT_BOOL ? (Interval){0, 1} : beyond(n);
  default: return beyond(n);
  }
}

static void visit(Narrow *n, Ex e) {
  if (!e || n->seen[e]) return;
  n->seen[e] = true;
  const Expr *x = ex_at(n->k, e);
  for (int i = 0; i < x->nin; i++) visit(n, n->k->arg.at[x->in + (uint32_t)i]);
  visit(n, x->mask);
  visit(n, x->other);
  if (x->dtype == DT_IDX) n->ex[e] = of(n, e);
}

static Interval sized(Narrow *n, Ex e) {
  visit(n, e);
  return n->ex[e];
}

static void walk(Narrow *n, const Stmt *s) {
  for (; s && !n->fails; s = s->next) {
    const Ex root[] = {s->value, s->mask, s->lo, s->hi};
    for (int i = 0; i < 4; i++) visit(n, root[i]);
    for (int i = 0; i < s->nindex; i++) visit(n, s->index[i]);
    if (s->kind == STMT_LET) n->var[s->ref] = n->ex[s->value];
    if (s->kind == STMT_REDUCE) n->var[s->ref] = s->op == OP_ADD ? (Interval){0, 0} : n->ex[s->value];
    if (s->kind == STMT_REDUCE && s->op == OP_ADD && ex_at(n->k, s->value)->dtype == DT_IDX) beyond(n);
    if (s->kind == STMT_FOR) {
      int64_t step = s->mode == FOR_VECTOR ? s->width : s->mode == FOR_THREAD ? s->step * n->stage->threads : s->step;
      n->var[s->ref] = hold(n, n->ex[s->lo].lo, most(n->ex[s->lo].lo, n->ex[s->hi].hi) + step);
    }
    walk(n, s->body);
    walk(n, s->other);
  }
}

bool loop_narrow(Kernel *k, const Stage *st) {
  Arena *a = arena_new();
  bool *loads = ARENA_ARRAY(a, bool, 2 * k->bufs.n + 1), *stores = loads + k->bufs.n;
  Vec(Ex) sizes = {0}; /* made first: they may be new expressions */
  loop_uses(k, st, loads, stores);
  for (int i = 0; i < st->naxes && !st->segmented; i++) vec_push(a, &sizes, loop_sym(k, st->extent[i]));
  uint32_t axes = sizes.n;
  for (uint32_t b = 0; b < k->bufs.n; b++) {
    if (!loads[b] && !stores[b]) continue;
    for (int i = 0; i < k->bufs.at[b].rank; i++) vec_push(a, &sizes, loop_sym(k, k->bufs.at[b].dim[i]));
    vec_push(a, &sizes, loop_sym(k, sym_product(k->ctx->syms, k->bufs.at[b].dim, k->bufs.at[b].rank)));
  }
  Narrow n = {.k = k, .stage = st, .fails = st->segmented};
  n.var = ARENA_ARRAY(a, Interval, k->vars.n + 1);
  n.ex = ARENA_ARRAY(a, Interval, k->ex.n + 1);
  n.seen = ARENA_ARRAY(a, bool, k->ex.n + 1);
  for (uint32_t i = 0; i < k->dims.n; i++) n.var[i] = hold(&n, k->dims.at[i].lo, k->dims.at[i].hi);
  for (uint32_t i = 0; i < sizes.n && !n.fails; i++) {
    Interval size = sized(&n, sizes.at[i]);
    if (i < axes) n.var[st->axis[i]] = hold(&n, 0, most(size.hi, 1) - 1);
  }
  for (int i = 0; i < st->nthread; i++) n.var[st->thread[i]] = (Interval){0, st->thread_extent[i] - 1};
  if (st->threads) n.var[st->tid] = n.var[st->warp] = n.var[st->lane_id] = (Interval){0, st->threads - 1};
  walk(&n, st->body);
  arena_free(a);
  return !n.fails;
}
