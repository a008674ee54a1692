/* Sums over a row of what depends on the row: of exp(x - the largest x), of the squared distances from its mean, of the
 * gradients of both. To the letter each wants a pass of its own, after the one that finds out the largest or the mean.
 * A row too long for registers would be read once more for it, so such sums are gathered in the pass before: a lane
 * keeps its own largest x, or its own mean, and its sums relative to that; after the pass, when it is known what the
 * row has one of (c), they become those that the program asks for:
 *
 *   sum of w exp(x - c)  =  exp(most - c) (sum of w exp(x - most))
 *   sum of (x - c)^2     =  (sum of (x - mean)^2) + n (mean - c)^2
 *   sum of w (x - c)     =  (sum of w (x - mean)) + (mean - c) (sum of w)
 *
 * This holds for every number c: it may be rounded, guarded, or a sum of several. Factors that the row has one of are
 * multiplied in at the end. Nothing cancels that does not cancel in the program too: a lane's mean
 * is kept as the distance from its first element, so that the size of a mean takes no digits from the deviations. */
#include "row.h"
#include <string.h>

enum { FACTORS = 6, WEIGHTS = 4, TERMS = 4, PENDING = 16 };

/* factors * sum of weights * exp(base - c), or * (base - c)^power, or of the weights alone. */
typedef struct SumTerm {
  Id factor[FACTORS]; /* one a row */
  bool below[FACTORS];
  int nfactor;
  Id weight[WEIGHTS]; /* along the row, known in the pass */
  int nweight;
  Id base, distance; /* base - c, a node; 0: none */
  Id exp;            /* of the distance, a node; 0: not so */
  int power;
  bool negative;
} SumTerm;

struct RowSum {
  int level, n;
  SumTerm term[TERMS];
};

typedef enum {
  MOST,   /* largest x so far */
  SCALED, /* sum of w exp(x - most) */
  FIRST,  /* x that the lane came upon first */
  MEAN,   /* of x - first */
  SPREAD, /* sum of squared distances from the mean */
  CROSS,  /* sum of w times distances from the mean */
  WEIGHT  /* sum of w */
} GatherKind;

struct Gather {
  GatherKind kind;
  const SumTerm *of; /* its base and weights */
  uint32_t reg;
  bool shared; /* a reduction of the program keeps the register */
  Ex scale, e; /* MOST, in a step: what earlier terms shrink by; exp(x - most) */
  Ex back, d;  /* MEAN, in a step: what the mean goes back by; x - mean */
};

/* ---- taking sums apart ---- */

static bool is_one_a_row(const Row *r, Id v) {
  const Graph *g = r->l->g;
  int n;
  if (!graph_rank(g, v) || (row_member(r, v) && r->rowwise[v])) return true;
  if (group_leaf(g, v) || lower_in_memory(r->l, v)) return false;
  if (graph_op(g, v) == OP_BROADCAST) {
    const int64_t *axes = graph_attr(g, v, "axes", &n);
    int64_t size;
    if (!n || axes[n - 1] != r->last) return true;
    return sym_is_int(g->ctx->syms, graph_shape(g, *graph_in(g, v))[n - 1], &size) && size == 1;
  }
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++)
    if (!r->one[graph_in(g, v)[i]]) return false;
  return op_elementwise(graph_op(g, v));
}

void row_sums_begin(Row *r) {
  Arena *a = r->l->all->ctx->arena;
  uint32_t n = r->l->g->node.n;
  r->apart = ARENA_ARRAY(a, RowSum *, n);
  r->one = ARENA_ARRAY(a, bool, n);
  for (uint32_t v = 1; v < n; v++) r->one[v] = is_one_a_row(r, v);
}

/* x of v = x - c, x known before `level` and c one a row; 0: v is nothing like it. */
static Id base_of(Row *r, Id v, int level) {
  const Graph *g = r->l->g;
  for (v = lower_unrounded(r->l, v); row_level(r, v) >= level; v = lower_unrounded(r->l, v)) {
    const Id *in = graph_in(g, v);
    Op o = graph_op(g, v);
    if ((o == OP_SUB || o == OP_ADD) && r->one[in[1]])
      v = in[0];
    else if (o == OP_ADD && r->one[in[0]])
      v = in[1];
    else
      return 0;
  }
  return r->one[v] ? 0 : v;
}

/* Whether v comes from the sum of x: an infinite x then makes v infinite or NaN, and the distances from v NaN, as those
 * from the running mean are. */
static bool from_sum(Row *r, Id v, Id x) {
  const Graph *g = r->l->g;
  bool *from = ARENA_ARRAY(r->l->all->ctx->arena, bool, v + 1);
  for (Id i = x + 1; i <= v; i++) {
    from[i] = row_member(r, i) && graph_op(g, i) == OP_REDUCE_SUM && lower_unrounded(r->l, *graph_in(g, i)) == x;
    for (uint32_t k = 0; k < graph_at(g, i)->nin; k++) from[i] |= from[graph_in(g, i)[k]];
  }
  return from[v];
}

static bool add_factor(SumTerm *t, Id v, bool below) {
  if (t->nfactor == FACTORS) return false;
  t->factor[t->nfactor] = v;
  t->below[t->nfactor++] = below;
  return true;
}

static bool add_weight(SumTerm *t, Id v) {
  if (t->nweight == WEIGHTS) return false;
  t->weight[t->nweight++] = v;
  return true;
}

static bool add_distance(SumTerm *t, Id v, Id base) {
  if (t->exp || (t->distance && t->distance != v)) return false;
  t->distance = v;
  t->base = base;
  return ++t->power <= 2;
}

/* The product t * v as terms of s. A sum of two things along the row becomes a term each, where no distance is among
 * the factors: multiplied out, distances would cancel. */
static bool take_apart(Row *r, RowSum *s, SumTerm t, Id v) {
  const Graph *g = r->l->g;
  Id pending[PENDING], sum = 0;
  int n = 0;
  pending[n++] = v;
  while (n) {
    v = lower_unrounded(r->l, pending[--n]);
    const Id *in = graph_in(g, v);
    Op o = graph_op(g, v);
    if (r->one[v]) {
      if (!add_factor(&t, v, false)) return false;
    } else if (row_level(r, v) < s->level) {
      if (!add_weight(&t, v)) return false;
    } else if (o == OP_MUL && n + 2 <= PENDING) {
      pending[n++] = in[1];
      pending[n++] = in[0];
    } else if (o == OP_NEG) {
      t.negative = !t.negative;
      pending[n++] = in[0];
    } else if (o == OP_DIV && r->one[in[1]]) {
      if (!add_factor(&t, in[1], true)) return false;
      pending[n++] = in[0];
    } else if (o == OP_EXP && !t.distance && base_of(r, in[0], s->level)) {
      t.exp = v;
      t.distance = in[0];
      t.base = base_of(r, in[0], s->level);
    } else if (base_of(r, v, s->level)) {
      if (!add_distance(&t, v, base_of(r, v, s->level))) return false;
    } else if ((o == OP_ADD || o == OP_SUB) && !sum && !r->one[in[0]] && !r->one[in[1]]) {
      sum = v;
    } else
      return false;
  }
  if (sum) {
    const Id *in = graph_in(g, sum);
    SumTerm other = t;
    other.negative ^= graph_op(g, sum) == OP_SUB;
    return !t.distance && take_apart(r, s, t, in[0]) && take_apart(r, s, other, in[1]);
  }
  if ((t.power && !from_sum(r, t.distance, t.base)) || (t.power == 2 && t.nweight) || s->n == TERMS) return false;
  s->term[s->n++] = t;
  return true;
}

bool row_sum_early(Row *r, Id v, int level) {
  const Graph *g = r->l->g;
  if (!r->apart || level < 1 || graph_op(g, v) != OP_REDUCE_SUM || !dtype_is_float(graph_dtype(g, v))) return false;
  RowSum *s = ARENA_NEW(r->l->all->ctx->arena, RowSum);
  s->level = level;
  if (!take_apart(r, s, (SumTerm){0}, *graph_in(g, v))) return false;
  r->apart[v] = s;
  return true;
}

/* ---- gathering ---- */

static bool weighed_alike(const SumTerm *a, const SumTerm *b) {
  return a->nweight == b->nweight && !memcmp(a->weight, b->weight, (size_t)a->nweight * sizeof *a->weight);
}

/* 0: it is not gathered. */
static Gather *find(Row *r, GatherKind kind, const SumTerm *t) {
  bool based = kind != WEIGHT, weighed = kind == SCALED || kind == CROSS || kind == WEIGHT;
  for (uint32_t i = 0; i < r->gathers.n; i++) {
    Gather *q = &r->gathers.at[i];
    if (q->kind == kind && (!based || q->of->base == t->base) && (!weighed || weighed_alike(q->of, t))) return q;
  }
  return NULL;
}

static void gather(Row *r, GatherKind kind, const SumTerm *t) {
  if (!find(r, kind, t)) vec_push(r->l->all->ctx->arena, &r->gathers, (Gather){.kind = kind, .of = t});
}

static void gather_sum(Row *r, const RowSum *s) {
  for (int i = 0; i < s->n; i++) {
    const SumTerm *t = &s->term[i];
    if (t->exp) {
      gather(r, MOST, t);
      gather(r, SCALED, t);
      continue;
    }
    if (t->power) {
      gather(r, FIRST, t);
      gather(r, MEAN, t);
    }
    if (t->power == 2) gather(r, SPREAD, t);
    if (t->power == 1 && t->nweight) gather(r, CROSS, t);
    if (t->power < 2 && t->nweight) gather(r, WEIGHT, t);
  }
}

static DType dtype_of(const Row *r, const Gather *q) {
  return graph_dtype(r->l->g, q->of->base ? q->of->base : q->of->weight[0]);
}

int64_t row_sums_words(Row *r) {
  const Group *grp = r->l->grp;
  int64_t words = 0;
  r->gathers.n = 0;
  for (uint32_t i = 0; i < grp->members.n; i++)
    if (r->apart[grp->members.at[i]]) gather_sum(r, r->apart[grp->members.at[i]]);
  for (uint32_t i = 0; i < r->gathers.n; i++)
    words += (int64_t)dtype_size(dtype_of(r, &r->gathers.at[i])) / 4 * r->lanes;
  return words;
}

/* The program's own register for the largest of these, or 0. */
static uint32_t largest(const Row *r, Id x, const uint32_t *acc) {
  const Graph *g = r->l->g;
  for (uint32_t i = 0; i < r->l->grp->members.n; i++) {
    Id v = r->l->grp->members.at[i];
    if (acc[i] && graph_op(g, v) == OP_REDUCE_MAX && lower_unrounded(r->l, *graph_in(g, v)) == x) return acc[i];
  }
  return 0;
}

void row_sums_open(Row *r, int level, const uint32_t *acc) {
  Lower *l = r->l;
  static const char *const name[] = {"most", "scaled", "first", "mean", "spread", "cross", "weight"};
  r->gathers.n = 0;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    const RowSum *s = r->apart[l->grp->members.at[i]];
    if (s && s->level == level + 1) gather_sum(r, s);
  }
  for (uint32_t i = 0; i < r->gathers.n; i++) {
    Gather *q = &r->gathers.at[i];
    DType d = dtype_of(r, q);
    uint32_t given = q->kind == MOST ? largest(r, q->of->base, acc) : 0;
    q->shared = given != 0;
    q->reg = given ? given - 1
                   : loop_reg(l->k, name[q->kind], d, r->lanes, 0, NULL,
                              ex_float(l->k, d, q->kind == MOST ? -__builtin_inf() : 0));
  }
}

static Ex along(Row *r, Id v) { return lower_pull(r->l, v, r->l->at, r->last + 1); }

static Ex kept(const Row *r, const Gather *q) { return ex_reg(r->l->k, q->reg, NULL, 0); }

static void keep(const Row *r, const Gather *q, Ex value) { loop_assign(r->l->k, q->reg, NULL, 0, value, 0); }

/* The product of the weights; 0: there are none. */
static Ex weight(Row *r, const SumTerm *t) {
  Ex e = 0;
  for (int i = 0; i < t->nweight; i++) {
    Ex w = along(r, t->weight[i]);
    e = e ? ex_mul(r->l->k, e, w) : w;
  }
  return e;
}

/* Of x and the largest so far one is the largest now: one exponential serves both. Where they are equal it is 1, of
 * infinite ones too. */
static void step_most(Row *r, Gather *q) {
  Kernel *k = r->l->k;
  DType d = dtype_of(r, q);
  Ex x = along(r, q->of->base), old = loop_let(k, "old", kept(r, q)), one = ex_float(k, d, 1);
  Ex now = loop_let(k, "now", ex_op2(k, OP_MAXIMUM, old, x)),
     least = loop_let(k, "least", ex_op2(k, OP_MINIMUM, old, x));
  Ex more = loop_let(k, "more", ex_op2(k, OP_GREATER, x, old));
  Ex apart = ex_op3(k, OP_SELECT, ex_op2(k, OP_EQUAL, least, now), ex_float(k, d, 0), ex_op2(k, OP_SUB, least, now));
  Ex t = loop_let(k, "t", ex_op1(k, OP_EXP_NEG, apart));
  q->scale = loop_let(k, "scale", ex_op3(k, OP_SELECT, more, t, one));
  q->e = loop_let(k, "e", ex_op3(k, OP_SELECT, more, one, t));
  if (!q->shared) keep(r, q, now);
}

static void step_mean(Row *r, Gather *q) {
  Kernel *k = r->l->k;
  DType d = dtype_of(r, q);
  Ex team = ex_idx(k, r->l->team.threads), turn = ex_add(k, ex_op2(k, OP_FLOOR_DIV, r->vector, team), ex_idx(k, 1));
  const Gather *first = find(r, FIRST, q->of);
  Ex x = along(r, q->of->base), start = ex_op3(k, OP_SELECT, ex_op2(k, OP_LESS, r->vector, team), x, kept(r, first));
  start = loop_let(k, "start", start);
  keep(r, first, start);
  Ex y = loop_let(k, "y", ex_op2(k, OP_SUB, x, start)), old = loop_let(k, "old", kept(r, q));
  Ex part = loop_let(k, "part", ex_op2(k, OP_DIV, ex_float(k, d, 1), ex_convert(k, d, turn)));
  Ex now = loop_let(k, "now", ex_op3(k, OP_FMA, ex_op2(k, OP_SUB, y, old), part, old));
  q->back = loop_let(k, "back", ex_op2(k, OP_SUB, old, now));
  q->d = loop_let(k, "d", ex_op2(k, OP_SUB, y, now));
  const Gather *spread = find(r, SPREAD, q->of);
  if (spread) keep(r, spread, ex_op3(k, OP_FMA, ex_op2(k, OP_SUB, y, old), q->d, kept(r, spread)));
  keep(r, q, now);
}

void row_sums_step(Row *r) {
  Kernel *k = r->l->k;
  for (uint32_t i = 0; i < r->gathers.n; i++) {
    Gather *q = &r->gathers.at[i];
    if (q->kind == MOST) step_most(r, q);
    if (q->kind == MEAN) step_mean(r, q);
  }
  for (uint32_t i = 0; i < r->gathers.n; i++) {
    const Gather *q = &r->gathers.at[i];
    if (q->kind == SCALED) {
      const Gather *most = find(r, MOST, q->of);
      Ex w = weight(r, q->of);
      keep(r, q, ex_op3(k, OP_FMA, kept(r, q), most->scale, w ? ex_mul(k, most->e, w) : most->e));
    }
    if (q->kind == CROSS) { /* with the sum of weights as it was before this one */
      const Gather *mean = find(r, MEAN, q->of), *weights = find(r, WEIGHT, q->of);
      Ex moved = ex_op3(k, OP_FMA, mean->back, kept(r, weights), kept(r, q));
      keep(r, q, ex_op3(k, OP_FMA, weight(r, q->of), mean->d, moved));
    }
  }
  for (uint32_t i = 0; i < r->gathers.n; i++) {
    const Gather *q = &r->gathers.at[i];
    if (q->kind == WEIGHT) keep(r, q, ex_add(k, kept(r, q), weight(r, q->of)));
  }
}

/* v, which is worked out of the term's base and of what the row has one of, with `x` for the base. */
static Ex with_base(Row *r, const SumTerm *t, Id v, Ex x) {
  Lower *l = r->l;
  uint32_t mark = l->memo.n;
  lower_remember(l, t->base, l->at, r->last + 1, x);
  Ex e = along(r, v);
  l->memo.n = mark;
  return e;
}

static Ex term_part(Row *r, const SumTerm *t, Ex n) {
  Kernel *k = r->l->k;
  Ex e;
  if (t->exp)
    e = ex_mul(k, kept(r, find(r, SCALED, t)), with_base(r, t, t->exp, kept(r, find(r, MOST, t))));
  else if (t->power) {
    Ex d = ex_add(k, with_base(r, t, t->distance, kept(r, find(r, FIRST, t))), kept(r, find(r, MEAN, t)));
    d = loop_let(k, "d", d);
    e = t->power == 2 ? ex_op3(k, OP_FMA, ex_mul(k, n, d), d, kept(r, find(r, SPREAD, t)))
        : t->nweight  ? ex_op3(k, OP_FMA, d, kept(r, find(r, WEIGHT, t)), kept(r, find(r, CROSS, t)))
                      : ex_mul(k, n, d);
  } else
    e = t->nweight ? kept(r, find(r, WEIGHT, t)) : n;
  for (int i = 0; i < t->nfactor; i++) {
    Ex f = lower_pull(r->l, t->factor[i], r->l->at, graph_rank(r->l->g, t->factor[i]) ? r->last + 1 : 0);
    e = ex_op2(k, t->below[i] ? OP_DIV : OP_MUL, e, f);
  }
  return t->negative ? ex_op1(k, OP_NEG, e) : e;
}

Ex row_sum_part(Row *r, Id v) {
  Lower *l = r->l;
  Kernel *k = l->k;
  const RowSum *s = r->apart[v];
  DType d = graph_dtype(l->g, v);
  Ex all = 0, team = ex_idx(k, l->team.threads), none = ex_idx(k, l->team.threads - 1);
  Ex turns = ex_op2(k, OP_FLOOR_DIV, ex_op2(k, OP_SUB, ex_add(k, row_vectors(r), none), l->team.number), team);
  Ex n = loop_let(k, "n", ex_convert(k, d, turns));
  l->at[r->last] = lower_dim(l, l->grp->space[r->last]); /* a place that no element has */
  for (int i = 0; i < s->n; i++) {
    Ex e = loop_let(k, "term", term_part(r, &s->term[i], n));
    all = all ? ex_add(k, all, e) : e;
  }
  return ex_op3(k, OP_SELECT, ex_op2(k, OP_GREATER, n, ex_float(k, d, 0)), all, ex_float(k, d, 0));
}
