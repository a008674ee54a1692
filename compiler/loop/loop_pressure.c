#include "loop_pressure.h"
#include <stdlib.h>
#include <string.h>

int loop_need(const Kernel *k, uint8_t *memo, Ex e) {
  const Expr *x = ex_at(k, e);
  if (x->op == OP_LITERAL || x->op == OP_VAR || x->op == OP_REG || x->op == OP_LANE || x->dtype == DT_IDX) return 0;
  if (x->op == OP_LOAD) return 1;
  if (memo[e]) return memo[e];
  int n[3] = {0};
  for (int i = 0; i < x->nin && i < 3; i++) {
    int v = loop_need(k, memo, k->arg.at[x->in + (uint32_t)i]), j = i;
    for (; j && n[j - 1] < v; j--) n[j] = n[j - 1];
    n[j] = v;
  }
  int r = 1;
  for (int i = 0; i < 3; i++)
    if (n[i] && n[i] + i > r) r = n[i] + i;
  return memo[e] = (uint8_t)(r > 255 ? 255 : r);
}

int loop_order(const Kernel *k, uint8_t *memo, const Expr *x, int order[3]) {
  int n = 0;
  for (int i = 0; i < x->nin && i < 3; i++) {
    int need = loop_need(k, memo, k->arg.at[x->in + (uint32_t)i]), j = n++;
    for (; j && loop_need(k, memo, k->arg.at[x->in + (uint32_t)order[j - 1]]) < need; j--) order[j] = order[j - 1];
    order[j] = i;
  }
  return n;
}

static int max(int a, int b) { return a > b ? a : b; }

/* ---- values along the stage ---- */
typedef struct Value {
  int first, last; /* places where it is made and used last */
  int depth;       /* of the innermost loop that it changes in */
  int reader;      /* greatest depth of what is worked out of it */
  int size;        /* registers */
} Value;
typedef struct Open { /* a loop that is being walked */
  int start;
  uint32_t values; /* made before it */
} Open;

enum { DEPTHS = 64 };
typedef struct Walk {
  const Kernel *k;
  Arena *arena;
  int bytes, at, depth;
  bool masks, anchored;
  Vec(Value) value; /* value[0]: none */
  Open open[DEPTHS];
  uint32_t *of, *stamp; /* expression -> value, in the statement that has the stamp */
  uint32_t *splat;      /* expression that is a scalar -> value of its vector */
  uint32_t *let;        /* variable -> value */
  int *var_depth;       /* variable -> depth of the loop it belongs to */
  uint32_t *reg;        /* register -> value */
  uint32_t statement;
  int turns;         /* of the unrolled loops around */
  uint32_t *literal; /* expression -> its place in out + 1 */
  uint8_t *need;
  LoopPressure out;
} Walk;

static int registers(const Walk *w, DType d, int lanes) {
  if (d == DT_IDX) return 0;
  if (d == DT_BOOL) return w->masks || lanes == 1 ? 0 : 1;
  if (lanes == 1) return dtype_is_float(d);
  return (lanes * (int)dtype_size(d) + w->bytes - 1) / w->bytes;
}

static uint32_t value_new(Walk *w, int size, int depth) {
  w->at++;
  vec_push(w->arena, &w->value, (Value){.first = w->at, .last = w->at, .depth = depth, .size = size});
  return w->value.n - 1;
}

/* A use here; of what does not change in a loop around, the loop keeps it to its end (loop_close). */
static void use(Walk *w, uint32_t v, int depth) {
  if (!v) return;
  w->value.at[v].last = max(w->value.at[v].last, w->at);
  w->value.at[v].reader = max(w->value.at[v].reader, depth);
}

static LoopLiteral *literal(Walk *w, Ex e) {
  if (!w->literal[e]) {
    vec_push(w->arena, &w->out.literals, (LoopLiteral){.value = e});
    w->literal[e] = w->out.literals.n;
  }
  return &w->out.literals.at[w->literal[e] - 1];
}

/* The depth at which an index changes. */
static int index_depth(const Walk *w, Ex e) {
  const Expr *x = ex_at(w->k, e);
  int d = x->op == OP_VAR ? w->var_depth[x->ref] : x->op == OP_LOAD || x->op == OP_REG ? w->depth : 0;
  for (int i = 0; i < x->nin; i++) d = max(d, index_depth(w, w->k->arg.at[x->in + (uint32_t)i]));
  return d;
}

static uint32_t walk_ex(Walk *w, Ex e);

/* Works e out for an operation of so many lanes; marks nothing as used. */
static uint32_t walk_operand(Walk *w, Ex e, int lanes) {
  const Expr *x = ex_at(w->k, e);
  if (x->op == OP_LITERAL) {
    if (lanes > 1 && x->dtype != DT_IDX) literal(w, e)->uses += w->turns;
    return 0;
  }
  uint32_t v = walk_ex(w, e);
  if (lanes == 1 || x->lanes > 1 || x->dtype == DT_IDX) return v;
  if (w->splat[e]) return w->splat[e];
  int depth = w->value.at[v].depth;
  uint32_t s = value_new(w, registers(w, (DType)x->dtype, lanes), depth);
  use(w, v, depth);
  if (x->op == OP_VAR) w->splat[e] = s; /* one for all that read it */
  return s;
}

static uint32_t walk_ex(Walk *w, Ex e) {
  const Expr x = *ex_at(w->k, e);
  if (x.op == OP_LITERAL) return 0;
  if (x.op == OP_VAR && x.dtype != DT_IDX) return w->let[x.ref]; /* of a let or reduce */
  if (x.op == OP_REG) return w->reg[x.ref];
  if (w->stamp[e] == w->statement) return w->of[e];
  uint32_t operand[5] = {0}, r = 0;
  int depth = 0, n = 0, order[3];
  if (x.dtype == DT_IDX)
    depth = index_depth(w, e);
  else if (x.op == OP_LOAD) {
    if (x.mask) operand[n++] = walk_operand(w, x.mask, x.lanes);
    if (x.other) operand[n++] = walk_operand(w, x.other, x.lanes);
    depth = w->depth;
  } else {
    int count = loop_order(w->k, w->need, &x, order), lanes = x.lanes;
    if (x.op == OP_HADD || x.op == OP_HMAX || x.op == OP_HMIN || x.op == OP_ANY || x.op == OP_ALL || x.op == OP_EXTRACT)
      lanes = ex_at(w->k, w->k->arg.at[x.in])->lanes;
    for (int i = 0; i < count; i++) {
      Ex in = w->k->arg.at[x.in + (uint32_t)order[i]];
      if (ex_at(w->k, in)->dtype == DT_IDX)
        depth = max(depth, index_depth(w, in));
      else
        operand[n++] = walk_operand(w, in, lanes);
    }
  }
  for (int i = 0; i < n; i++) depth = max(depth, w->value.at[operand[i]].depth);
  for (int i = 0; i < x.nin && i < 3 && x.lanes > 1 && x.op != OP_LOAD; i++) {
    Ex in = w->k->arg.at[x.in + (uint32_t)i];
    if (ex_at(w->k, in)->op != OP_LITERAL || ex_at(w->k, in)->dtype == DT_IDX) continue;
    literal(w, in)->anchor |= depth < w->depth;
    literal(w, in)->known |= x.op == OP_MULHI;
    if (w->anchored) depth = w->depth;
  }
  if (x.dtype != DT_IDX) r = value_new(w, registers(w, (DType)x.dtype, x.lanes), depth);
  for (int i = 0; i < n; i++) use(w, operand[i], depth);
  w->stamp[e] = w->statement;
  w->of[e] = r;
  return r;
}

static void walk_root(Walk *w, Ex e, int lanes) {
  if (!e) return;
  uint32_t v = ex_at(w->k, e)->op == OP_LITERAL ? 0 : walk_operand(w, e, lanes);
  w->at++;
  use(w, v, w->depth);
}

static void loop_open(Walk *w) {
  w->depth++;
  w->open[w->depth] = (Open){++w->at, w->value.n};
}
/* What was made before the loop and is used in it lives to its end, and so does what is made in it but does not change
 * there: that is worked out before the loop. */
static void loop_close(Walk *w) {
  Open o = w->open[w->depth];
  w->at++;
  for (uint32_t v = 1; v < w->value.n; v++) {
    Value *x = &w->value.at[v];
    if (x->last < o.start) continue;
    bool hoisted = v >= o.values && x->depth < w->depth;
    if (v >= o.values && !hoisted) continue;
    if (hoisted) x->first = o.start;
    x->last = x->reader < w->depth ? o.start : w->at; /* read by nothing that stays in the loop: a step on the way */
  }
  w->depth--;
}

static void walk_block(Walk *w, const Stmt *s) {
  for (; s; s = s->next) {
    w->statement++;
    int lanes = 1;
    for (int i = 0; i < s->nindex; i++) lanes = max(lanes, ex_at(w->k, s->index[i])->lanes);
    switch (s->kind) {
    case STMT_LET:
      if (ex_at(w->k, s->value)->dtype == DT_IDX)
        w->var_depth[s->ref] = index_depth(w, s->value);
      else {
        w->let[s->ref] = walk_operand(w, s->value, ex_at(w->k, s->value)->lanes);
        w->statement++;
      }
      break;
    case STMT_REDUCE:
      walk_root(w, s->value, 1);
      w->let[s->ref] = value_new(w, registers(w, (DType)w->k->vars.at[s->ref].dtype, 1), w->depth);
      break;
    case STMT_REG: {
      const LoopReg *r = &w->k->regs.at[s->ref];
      int count = (int)((r->rank > 0 ? r->dim[0] : 1) * (r->rank > 1 ? r->dim[1] : 1));
      walk_root(w, s->value, r->lanes);
      w->reg[s->ref] = value_new(w, count * registers(w, r->dtype, r->lanes), DEPTHS);
      break;
    }
    case STMT_ASSIGN:
      walk_root(w, s->mask, w->k->regs.at[s->ref].lanes);
      walk_root(w, s->value, w->k->regs.at[s->ref].lanes);
      use(w, w->reg[s->ref], w->depth);
      break;
    case STMT_STORE:
      walk_root(w, s->mask, lanes);
      walk_root(w, s->value, lanes);
      break;
    case STMT_FOR: {
      int64_t lo, hi;
      bool counted = ex_is_int(w->k, s->lo, &lo) && ex_is_int(w->k, s->hi, &hi);
      w->var_depth[s->ref] = w->depth + (s->mode != FOR_UNROLL);
      if (s->mode == FOR_UNROLL) {
        int turns = w->turns;
        if (counted && hi - lo < 64) w->turns *= (int)max(1, (int)((hi - lo) / s->step));
        walk_block(w, s->body);
        w->turns = turns;
      } else if (w->depth + 1 < DEPTHS) {
        loop_open(w);
        walk_block(w, s->body);
        loop_close(w);
      }
      break;
    }
    case STMT_IF:
    case STMT_FAIL:
      walk_root(w, s->value, ex_at(w->k, s->value)->lanes);
      walk_block(w, s->body);
      walk_block(w, s->other);
      break;
    default: break;
    }
  }
}

static int by_uses(const void *pa, const void *pb) {
  const LoopLiteral *a = pa, *b = pb;
  return a->uses != b->uses ? b->uses - a->uses : a->value < b->value ? -1 : 1;
}

LoopPressure loop_pressure(const Kernel *k, const Stage *st, int vector_bytes, bool masks, bool anchored, Arena *a) {
  Walk w = {.k = k, .arena = a, .bytes = vector_bytes, .masks = masks, .anchored = anchored, .turns = 1};
  w.of = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
  w.stamp = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
  w.splat = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
  w.literal = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
  w.need = ARENA_ARRAY(a, uint8_t, k->ex.n + 1);
  w.let = ARENA_ARRAY(a, uint32_t, k->vars.n + 1);
  w.var_depth = ARENA_ARRAY(a, int, k->vars.n + 1);
  w.reg = ARENA_ARRAY(a, uint32_t, k->regs.n + 1);
  vec_push(a, &w.value, (Value){0});
  for (int i = 0; i < st->naxes; i++) w.var_depth[st->axis[i]] = 1;
  for (int i = 0; i < st->nthread; i++) w.var_depth[st->thread[i]] = 1;
  if (st->threads) w.var_depth[st->tid] = w.var_depth[st->warp] = w.var_depth[st->lane_id] = 1;
  loop_open(&w);
  walk_block(&w, st->body);
  loop_close(&w);
  int *change = ARENA_ARRAY(a, int, w.at + 2), alive = 0;
  for (uint32_t v = 1; v < w.value.n; v++) {
    if (w.value.at[v].last == w.value.at[v].first) continue;
    change[w.value.at[v].first] += w.value.at[v].size;
    change[w.value.at[v].last] -= w.value.at[v].size;
  }
  for (int i = 0; i <= w.at; i++) w.out.vectors = max(w.out.vectors, alive += change[i]);
  if (w.out.literals.n) qsort(w.out.literals.at, w.out.literals.n, sizeof *w.out.literals.at, by_uses);
  return w.out;
}
