#include "loop_eval.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- compiled stages ---- */

/* What has arrays is kept out of the functions that run for every operation: the address sanitizer takes long to make
 * and unmake their frames. */
#define APART __attribute__((noinline)) static

static bool access_fault(Task *t) { return TASK_FAULT(t, "%s", t->who.why); }

typedef struct Compile {
  Prog *p;
  Arena *a;
  uint32_t *seen, turn;
  Vec(Code) code;
} Compile;

static Slot slot_of(const Compile *c, Ex e) { return (Slot){c->p->at[e], ex_at(c->p->k, e)->lanes > 1}; }

static Slot *slots_of(const Compile *c, const Ex *e, int n) {
  Slot *s = ARENA_ARRAY(c->a, Slot, n + 1);
  for (int i = 0; i < n; i++) s[i] = slot_of(c, e[i]);
  return s;
}

static void compile_ex(Compile *c, Ex e) {
  const Kernel *k = c->p->k;
  const Expr *x = ex_at(k, e);
  if (!e || c->seen[e] == c->turn) return;
  c->seen[e] = c->turn;
  for (int i = 0; i < x->nin; i++) compile_ex(c, k->arg.at[x->in + (uint32_t)i]);
  compile_ex(c, x->mask);
  compile_ex(c, x->other);
  if (x->op == OP_VAR) {
    c->p->at[e] = c->p->var[x->ref];
    return;
  }
  if (!c->p->at[e]) {
    c->p->at[e] = c->p->slots;
    c->p->slots += x->lanes;
  }
  if (x->op == OP_LITERAL || x->op == OP_LANE) return;
  Code code = {.x = x, .to = c->p->at[e], .in = slots_of(c, k->arg.at + x->in, x->nin)};
  if (x->nin) code.d = ex_at(k, k->arg.at[x->in + x->nin - 1u])->dtype;
  code.mask = slot_of(c, x->mask);
  code.other = slot_of(c, x->other);
  vec_push(c->a, &c->code, code);
}

static bool any_waits(const Act *n) {
  while (n && !n->waits) n = n->next;
  return n != NULL;
}

static Act *compile_block(Compile *c, const Stmt *s) {
  Act *first = NULL, **tail = &first;
  for (; s; s = s->next) {
    Act *n = ARENA_NEW(c->a, Act);
    n->s = s;
    c->turn++;
    c->code.at = NULL;
    c->code.n = c->code.cap = 0;
    if (s->kind != STMT_PREFETCH) {
      for (int i = 0; i < s->nindex; i++) compile_ex(c, s->index[i]);
      compile_ex(c, s->mask);
      compile_ex(c, s->value);
      compile_ex(c, s->lo);
      compile_ex(c, s->hi);
    }
    n->code = c->code.at;
    n->n = (int)c->code.n;
    n->lanes = 1;
    if (s->kind != STMT_PREFETCH) {
      n->index = slots_of(c, s->index, s->nindex);
      n->mask = slot_of(c, s->mask);
      n->value = slot_of(c, s->value);
      for (int i = 0; i < s->nindex; i++)
        if (ex_at(c->p->k, s->index[i])->lanes > n->lanes) n->lanes = ex_at(c->p->k, s->index[i])->lanes;
    }
    if (s->kind == STMT_REG) { /* elements live from here to the end of the block; no two tiles share slots */
      const LoopReg *r = &c->p->k->regs.at[s->ref];
      uint32_t elements = 1;
      for (int i = 0; i < r->rank; i++) elements *= (uint32_t)r->dim[i];
      c->p->reg[s->ref] = c->p->slots;
      c->p->flag[s->ref] = c->p->flags;
      c->p->slots += elements * r->lanes;
      c->p->flags += elements;
    }
    n->body = compile_block(c, s->body);
    n->other = compile_block(c, s->other);
    n->waits = s->kind == STMT_BARRIER || s->kind == STMT_REDUCE || any_waits(n->body) || any_waits(n->other);
    *tail = n;
    tail = &n->next;
  }
  return first;
}

Prog *eval_compile(Arena *a, const Kernel *k, const Stage *st) {
  Prog *p = ARENA_NEW(a, Prog);
  p->k = k;
  p->stage = st;
  p->slots = 1;
  p->at = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
  p->var = ARENA_ARRAY(a, uint32_t, k->vars.n + 1);
  p->reg = ARENA_ARRAY(a, uint32_t, k->regs.n + 1);
  p->flag = ARENA_ARRAY(a, uint32_t, k->regs.n + 1);
  p->uses = ARENA_ARRAY(a, bool, 2 * k->bufs.n + 1);
  loop_uses(k, st, p->uses, p->uses + k->bufs.n);
  for (uint32_t i = 0; i < k->bufs.n; i++) p->uses[i] |= p->uses[k->bufs.n + i];
  for (uint32_t i = 0; i < k->vars.n; i++) {
    p->var[i] = p->slots;
    p->slots += k->vars.at[i].lanes;
  }
  Compile c = {.p = p, .a = a, .seen = ARENA_ARRAY(a, uint32_t, k->ex.n + 1)};
  p->body = compile_block(&c, st->body);
  return p;
}

void eval_frame(Task *t, const int64_t *dims) {
  const Prog *p = t->p;
  t->v = mem_alloc((p->slots + 1) * sizeof(Scalar));
  t->set = mem_alloc(p->flags + 1);
  for (Ex e = 1; e < p->k->ex.n; e++) {
    const Expr *x = ex_at(p->k, e);
    if (!p->at[e]) continue;
    if (x->op == OP_LITERAL) memcpy(&t->v[p->at[e]], &x->u, sizeof *t->v);
    for (int i = 0; x->op == OP_LANE && i < x->lanes; i++) t->v[p->at[e] + (uint32_t)i].i = i;
  }
  for (uint32_t i = 0; i < p->k->dims.n; i++) t->v[p->var[i]].i = dims[i];
}

void eval_free(Task *t) {
  free(t->v);
  free(t->set);
}

/* ---- expressions ---- */

/* own: a mask, a lane every `step`; or NULL. */
static bool active(const Task *t, const Scalar *own, uint32_t step, int lanes, int i) {
  if (lanes > 1 && t->mask && !t->mask[i]) return false;
  return !own || own[(uint32_t)i * step].i;
}

/* Which lanes an operation without a mask of its own needs right. */
static bool matters(const Task *t, int lanes, int i) { return active(t, NULL, 0, lanes, i); }

static const Mem *tensor_of(Task *t, uint32_t buf, const Slot *index, int *skip) {
  const Mem *m = &t->mem[buf];
  *skip = 0;
  if (!t->p->k->bufs.at[buf].list) return m;
  int64_t s = t->v[index[0].at].i;
  *skip = 1;
  if (s >= 0 && s < m->nlist) return &m->list[s];
  TASK_FAULT(t, "%s: tensor %lld is outside 0..%d", t->p->k->bufs.at[buf].name, (long long)s, m->nlist);
  return NULL;
}

static void lane_index(const Task *t, const Slot *index, int from, int n, int lane, int64_t *out) {
  for (int j = from; j < n; j++) out[j - from] = t->v[index[j].at + index[j].step * (uint32_t)lane].i;
}

APART bool eval_load(Task *t, const Code *c, Scalar *out) {
  const Expr *x = c->x;
  int skip;
  const Scalar *mask = x->mask ? t->v + c->mask.at : NULL, *other = x->other ? t->v + c->other.at : NULL;
  const Mem *m = NULL;
  t->who.name = t->p->k->bufs.at[x->ref].name;
  for (int i = 0; i < x->lanes; i++) {
    if (!active(t, mask, c->mask.step, x->lanes, i)) {
      out[i] = other ? other[(uint32_t)i * c->other.step] : (Scalar){.i = 0};
      continue;
    }
    int64_t index[LOOP_RANK], o;
    if (!m && !(m = tensor_of(t, x->ref, c->in, &skip))) return false;
    lane_index(t, c->in, skip, x->nin, i, index);
    if (!mem_offset(m, index, &o, &t->who) || !mem_read(m, index, o, x->lanes > 1 && t->soft && t->soft[i], &t->who))
      return access_fault(t);
    out[i] = scalar_load(m->dtype, mem_at(m, o));
  }
  return true;
}

static bool reg_element(Task *t, uint32_t reg, const Slot *index, uint32_t *element) {
  const LoopReg *r = &t->p->k->regs.at[reg];
  int64_t o = 0;
  for (int i = 0; i < r->rank; i++) {
    int64_t x = t->v[index[i].at].i;
    if (x < 0 || x >= r->dim[i])
      return TASK_FAULT(t, "register %s: index %lld is outside 0..%lld", r->name, (long long)x, (long long)r->dim[i]);
    o = o * r->dim[i] + x;
  }
  *element = (uint32_t)o;
  return true;
}

Scalar eval_fold(Op op, DType d, const Scalar *v, int n) {
  Scalar x[LOOP_LANES];
  memcpy(x, v, (size_t)n * sizeof *x);
  for (n /= 2; n; n /= 2) scalar_map(op, d, n, (const Scalar *const[]){x, x + n}, (const int[]){1, 1}, x);
  return x[0];
}

static bool eval_perm(Task *t, const Code *c, Scalar *out) {
  const Expr *x = c->x;
  const Slot *which = &c->in[x->nin - 1];
  int w = ex_at(t->p->k, t->p->k->arg.at[x->in])->lanes, all = x->op == OP_PERM2 ? 2 * w : w;
  for (int i = 0; i < x->lanes; i++) {
    int64_t j = t->v[which->at + which->step * (uint32_t)i].i;
    if ((j < 0 || j >= all) && matters(t, x->lanes, i))
      return TASK_FAULT(t, "%s: lane %lld is outside 0..%d", OP_INFO[x->op].text, (long long)j, all);
    out[i] = j < 0 || j >= all ? (Scalar){.i = 0} : j < w ? t->v[c->in[0].at + j] : t->v[c->in[1].at + j - w];
  }
  return true;
}

/* On a level without fused multiply-adds. */
APART void eval_mul_add(DType d, int lanes, const Scalar *const *in, const int *step, Scalar *out) {
  Scalar product[LOOP_LANES];
  scalar_map(OP_MUL, d, lanes, in, step, product);
  scalar_map(OP_ADD, d, lanes, (const Scalar *const[]){product, in[2]}, (const int[]){1, step[2]}, out);
}

static bool eval_ex(Task *t, const Code *c) {
  const Kernel *k = t->p->k;
  const Expr *x = c->x;
  Scalar *out = t->v + c->to;
  if (x->op == OP_LOAD) return eval_load(t, c, out);
  const Scalar *in[3];
  int step[3];
  DType d = c->d;
  for (int i = 0; i < x->nin && i < 3; i++) {
    in[i] = t->v + c->in[i].at;
    step[i] = (int)c->in[i].step;
  }
  switch (x->op) {
  case OP_REG: {
    uint32_t o = 0;
    if (!reg_element(t, x->ref, c->in, &o)) return false;
    if (!t->set[t->p->flag[x->ref] + o])
      return TASK_FAULT(t, "register %s is read before it is assigned", k->regs.at[x->ref].name);
    memcpy(out, t->v + t->p->reg[x->ref] + o * x->lanes, x->lanes * sizeof *out);
    return true;
  }
  case OP_SPLAT:
    for (int i = 0; i < x->lanes; i++) out[i] = *in[0];
    return true;
  case OP_CONVERT:
    for (int i = 0; i < x->lanes; i++) out[i] = scalar_convert(d, x->dtype, in[0][i]);
    return true;
  case OP_BITS:
    for (int i = 0; i < x->lanes; i++) out[i] = scalar_bits(d, x->dtype, in[0][i]);
    return true;
  case OP_EXTRACT:
  case OP_PERM:
  case OP_PERM2: return eval_perm(t, c, out);
  case OP_HADD:
  case OP_HMAX:
  case OP_HMIN:
  case OP_ANY:
  case OP_ALL: {
    Op op = x->op == OP_HADD   ? OP_ADD
            : x->op == OP_HMAX ? OP_MAXIMUM
            : x->op == OP_HMIN ? OP_MINIMUM
            : x->op == OP_ANY  ? OP_OR
                               : OP_AND;
    *out = eval_fold(op, d, in[0], ex_at(k, k->arg.at[x->in])->lanes);
    return true;
  }
  case OP_LEN: {
    int skip;
    const Mem *m = tensor_of(t, x->ref, c->in, &skip);
    if (m) out->i = m->dim[0];
    return m != NULL;
  }
  case OP_DOT4:
    for (int i = 0; i < x->lanes; i++) {
      int64_t s = in[0][i * step[0]].i;
      for (int j = 0; j < 4; j++) s += in[1][4 * i + j].i * in[2][4 * i + j].i;
      out[i].i = scalar_wrap(DT_I32, s);
    }
    return true;
  case OP_FMA:
    if (t->fused) break;
    eval_mul_add(d, x->lanes, in, step, out);
    return true;
  case OP_FLOOR_DIV:
  case OP_FLOOR_MOD:
    for (int i = 0; i < x->lanes; i++)
      if (!in[1][i * step[1]].i && matters(t, x->lanes, i)) return TASK_FAULT(t, "division by 0");
    break;
  default: break;
  }
  if (!scalar_map(x->op, d, x->lanes, in, step, out)) BUG("no meaning of %s on %s", OP_INFO[x->op].text, dtype_name(d));
  return true;
}

/* ---- statements ---- */

APART bool exec_assign(Task *t, const Act *n) {
  const Stmt *s = n->s;
  const LoopReg *r = &t->p->k->regs.at[s->ref];
  uint32_t o = 0;
  if (!reg_element(t, s->ref, n->index, &o)) return false;
  Scalar *to = t->v + t->p->reg[s->ref] + o * r->lanes;
  const Scalar *from = t->v + n->value.at, *mask = s->mask ? t->v + n->mask.at : NULL;
  if (mask && !n->mask.step && !mask->i) return true; /* a scalar mask: the statement does not happen */
  uint8_t *set = &t->set[t->p->flag[s->ref] + o];
  for (int i = 0; i < r->lanes; i++) { /* a blend: inactive lanes keep the old value, or poison */
    if (active(t, mask, n->mask.step, r->lanes, i))
      to[i] = from[(uint32_t)i * n->value.step];
    else if (!*set)
      to[i] = dtype_is_float(r->dtype) ? (Scalar){.f = NAN} : (Scalar){.i = scalar_wrap(r->dtype, -1)};
  }
  *set = 1;
  return true;
}

static bool lanes_meet(const int64_t *o, const uint8_t *on, int n) {
  int last = -1;
  bool rising = true;
  for (int i = 0; i < n; i++) {
    if (!on[i]) continue;
    if (last >= 0 && o[i] <= o[last]) rising = false;
    last = i;
  }
  if (rising) return false;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < i; j++)
      if (on[i] && on[j] && o[i] == o[j]) return true;
  return false;
}

static bool store_lane(Task *t, const Act *n, const Mem *m, const int64_t *index, int64_t o, int i) {
  if (!mem_write(m, index, o, n->lanes > 1 && t->soft && t->soft[i], &t->who)) return access_fault(t);
  scalar_store(m->dtype, t->v[n->value.at + (uint32_t)i * n->value.step], mem_at(m, o));
  return true;
}

APART bool store_lanes(Task *t, const Act *n, const Mem *m, int skip) {
  const Stmt *s = n->s;
  const Scalar *mask = s->mask ? t->v + n->mask.at : NULL;
  int64_t index[LOOP_RANK], o[LOOP_LANES];
  uint8_t on[LOOP_LANES];
  for (int i = 0; i < n->lanes; i++) {
    on[i] = active(t, mask, n->mask.step, n->lanes, i);
    if (!on[i]) continue;
    lane_index(t, n->index, skip, s->nindex, i, index);
    if (!mem_offset(m, index, &o[i], &t->who)) return access_fault(t);
  }
  if (lanes_meet(o, on, n->lanes)) return TASK_FAULT(t, "%s: two lanes of one store meet in one element", t->who.name);
  for (int i = 0; i < n->lanes; i++) {
    if (!on[i]) continue;
    lane_index(t, n->index, skip, s->nindex, i, index);
    if (!store_lane(t, n, m, index, o[i], i)) return false;
  }
  return true;
}

APART bool exec_store(Task *t, const Act *n) {
  const Stmt *s = n->s;
  int skip, first = 0;
  const Scalar *mask = s->mask ? t->v + n->mask.at : NULL;
  while (first < n->lanes && !active(t, mask, n->mask.step, n->lanes, first)) first++;
  if (first == n->lanes) return true;
  t->who.name = t->p->k->bufs.at[s->ref].name;
  const Mem *m = tensor_of(t, s->ref, n->index, &skip);
  if (!m) return false;
  if (n->lanes > 1) return store_lanes(t, n, m, skip);
  int64_t index[LOOP_RANK], o;
  lane_index(t, n->index, skip, s->nindex, 0, index);
  return mem_offset(m, index, &o, &t->who) ? store_lane(t, n, m, index, o, 0) : access_fault(t);
}

static bool vector_turn(Task *t, const Act *n, int64_t first) {
  Scalar *var = t->v + t->p->var[n->s->ref];
  for (int i = 0; i < n->s->width; i++) var[i].i = first + i;
  return eval_block(t, n->body);
}

APART bool exec_vector(Task *t, const Act *n, int64_t lo, int64_t hi) {
  const Stmt *s = n->s;
  int w = s->width;
  int64_t full = hi > lo ? (hi - lo) / w : 0, rem = hi > lo ? (hi - lo) % w : 0;
  for (int64_t i = 0; i < full; i++)
    if (!vector_turn(t, n, lo + i * w)) return false;
  if (!rem) return true;
  t->stmt = s;
  int64_t first = lo + full * w;
  const uint8_t *mask = t->mask, *soft = t->soft;
  uint8_t lane[LOOP_LANES];
  bool ok = true;
  if (s->tail == TAIL_OVERLAP && full) return vector_turn(t, n, hi - w);
  if (s->tail == TAIL_PAD) {
    for (int i = 0; i < w; i++) lane[i] = i >= rem;
    t->soft = lane;
    ok = vector_turn(t, n, first);
  } else if (s->tail == TAIL_MASK) {
    for (int i = 0; i < w; i++) lane[i] = i < rem && (!mask || mask[i]);
    t->mask = lane;
    ok = vector_turn(t, n, first);
  } else if (s->tail) { /* peel, or overlap below one vector: a lane at a time */
    for (int64_t r = 0; ok && r < rem; r++) {
      for (int i = 0; i < w; i++) lane[i] = i == r && (!mask || mask[i]);
      t->mask = lane;
      ok = vector_turn(t, n, first);
    }
  } else {
    return TASK_FAULT(t, "loop %s: %lld is no multiple of %d and there is no tail", t->p->k->vars.at[s->ref].name,
                      (long long)(hi - lo), w);
  }
  t->mask = mask;
  t->soft = soft;
  return ok;
}

void eval_turns(const Task *t, const Stmt *s, int64_t *i, int64_t *end, int64_t *step) {
  *i = t->v[t->p->at[s->lo]].i;
  *end = t->v[t->p->at[s->hi]].i;
  *step = s->step;
  if (s->mode != FOR_THREAD) return;
  if (__builtin_add_overflow(*i, t->tid * s->step, i)) *i = *end; /* turn k belongs to thread k mod threads */
  *step *= t->threads;
}

APART bool exec_for(Task *t, const Act *n) {
  int64_t i, end, step;
  eval_turns(t, n->s, &i, &end, &step);
  if (n->s->mode == FOR_VECTOR) return exec_vector(t, n, i, end);
  for (; i < end; i += step) {
    t->v[t->p->var[n->s->ref]].i = i;
    if (!eval_block(t, n->body)) return false;
    if (i > INT64_MAX - step) break;
  }
  return true;
}

APART bool exec_if_lanes(Task *t, const Act *n) {
  const Expr *x = ex_at(t->p->k, n->s->value);
  const Scalar *c = t->v + n->value.at;
  const uint8_t *mask = t->mask;
  uint8_t lane[2][LOOP_LANES];
  bool any[2] = {false, false}, ok = true;
  for (int i = 0; i < x->lanes; i++)
    for (int arm = 0; arm < 2; arm++) any[arm] |= lane[arm][i] = (c[i].i != 0) == !arm && (!mask || mask[i]);
  for (int arm = 0; ok && arm < 2; arm++) {
    t->mask = lane[arm];
    if (any[arm]) ok = eval_block(t, arm ? n->other : n->body);
  }
  t->mask = mask;
  return ok;
}

static void exec_fail(Task *t, const Act *n) {
  const Stmt *s = n->s;
  const Expr *x = ex_at(t->p->k, s->value);
  LoopRun *o = t->out;
  bool any = false;
  for (int i = 0; i < x->lanes; i++) any |= active(t, t->v + n->value.at, n->value.step, x->lanes, i);
  if (!any || (o->status && (o->status < s->code || (o->status == s->code && o->fail_task <= t->index)))) return;
  o->status = s->code;
  o->fail_task = t->index;
}

bool eval_operands(Task *t, const Act *n) {
  t->stmt = n->s;
  for (int i = 0; i < n->n; i++)
    if (!eval_ex(t, &n->code[i])) return false;
  return true;
}

static void exec_reg(Task *t, const Stmt *s) {
  const LoopReg *r = &t->p->k->regs.at[s->ref];
  int64_t elements = 1;
  for (int i = 0; i < r->rank; i++) elements *= r->dim[i];
  memset(t->set + t->p->flag[s->ref], s->value != 0, (size_t)elements);
  int step = s->value && ex_at(t->p->k, s->value)->lanes > 1;
  for (int64_t i = 0; s->value && i < elements * r->lanes; i++)
    t->v[t->p->reg[s->ref] + (uint64_t)i] = t->v[t->p->at[s->value] + (uint64_t)(step * (i % r->lanes))];
}

bool eval_act(Task *t, const Act *n) {
  const Stmt *s = n->s;
  if (!eval_operands(t, n)) return false;
  switch (s->kind) {
  case STMT_LET:
    memcpy(t->v + t->p->var[s->ref], t->v + n->value.at, ex_at(t->p->k, s->value)->lanes * sizeof *t->v);
    return true;
  case STMT_REG: exec_reg(t, s); return true;
  case STMT_ASSIGN: return exec_assign(t, n);
  case STMT_STORE: return exec_store(t, n);
  case STMT_FOR: return exec_for(t, n);
  case STMT_IF:
    if (n->value.step) return exec_if_lanes(t, n);
    return eval_block(t, t->v[n->value.at].i ? n->body : n->other);
  case STMT_FAIL: exec_fail(t, n); return true;
  case STMT_ALLOC:
  case STMT_PREFETCH: return true; /* made before the task; no meaning: may be out of bounds */
  case STMT_BARRIER:
  case STMT_REDUCE: break; /* loop_block.c */
  }
  BUG("statement of kind %d in a task", s->kind);
}

bool eval_block(Task *t, const Act *n) {
  for (; n; n = n->next)
    if (!eval_act(t, n)) return false;
  return true;
}
