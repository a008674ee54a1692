#include "loop_mem.h"
#include "scalar.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- compiled stages ---- */

/* A statement with the expressions to compute before it acts, operands first. */
typedef struct Act Act;
struct Act {
  const Stmt *s;
  Act *next, *body, *other;
  const Ex *code;
  int n;
};

typedef struct Prog {
  const Kernel *k;
  const Stage *stage;
  Act *body;
  uint32_t *at;   /* of an expression: its first slot in the frame; 0: not used */
  uint32_t *var;  /* of a variable */
  uint32_t *reg;  /* of a register: its first element */
  uint32_t *flag; /* of a register: its first flag */
  uint32_t slots, flags;
  bool *uses; /* buffers */
} Prog;

typedef struct Partition { /* stages with equal keys in one epoch have the same actors */
  Sym tasks;               /* or, of segments: 0 and the list */
  const Storage *list;
  int64_t chunk, n;
  uint32_t base;
} Partition;

typedef struct Run {
  const LoopModule *m;
  LoopRun *out;
  Arena *arena;
  Vec(Storage *) storages;
  Vec(Prog *) progs;
  Vec(Partition) parts;
  uint32_t epoch, next, serial, launches, tokens;
  uint64_t random;
  const Plan *plan;
  const Step *step;
} Run;

typedef struct Task {
  Run *r;
  const Prog *p;
  Scalar *v;                  /* frame */
  uint8_t *set;               /* registers that have a value */
  Mem *mem;                   /* by buffer */
  const uint8_t *mask, *soft; /* by lane; NULL: all active, none soft */
  const Stmt *stmt;
  Accessor who;
  int64_t index; /* of the task */
} Task;

#define FAULT(t, id, ...) loop_fault((t)->r->m, (t)->p->k, (t)->p->stage, (t)->stmt, id, __VA_ARGS__)
static bool access_fault(Task *t) { return FAULT(t, "loop-run", "%s", t->who.why); }

typedef struct Compile {
  Prog *p;
  Arena *a;
  uint32_t *seen, turn;
  Vec(Ex) code;
} Compile;

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
  if (x->op != OP_LITERAL && x->op != OP_LANE) vec_push(c->a, &c->code, e);
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
    *tail = n;
    tail = &n->next;
  }
  return first;
}

static const Prog *compile(Run *r, const Kernel *k, const Stage *st) {
  for (uint32_t i = 0; i < r->progs.n; i++)
    if (r->progs.at[i]->stage == st) return r->progs.at[i];
  Prog *p = ARENA_NEW(r->arena, Prog);
  p->k = k;
  p->stage = st;
  p->slots = 1;
  p->at = ARENA_ARRAY(r->arena, uint32_t, k->ex.n + 1);
  p->var = ARENA_ARRAY(r->arena, uint32_t, k->vars.n + 1);
  p->reg = ARENA_ARRAY(r->arena, uint32_t, k->regs.n + 1);
  p->flag = ARENA_ARRAY(r->arena, uint32_t, k->regs.n + 1);
  p->uses = ARENA_ARRAY(r->arena, bool, 2 * k->bufs.n + 1);
  loop_uses(k, st, p->uses, p->uses + k->bufs.n);
  for (uint32_t i = 0; i < k->bufs.n; i++) p->uses[i] |= p->uses[k->bufs.n + i];
  for (uint32_t i = 0; i < k->vars.n; i++) {
    p->var[i] = p->slots;
    p->slots += k->vars.at[i].lanes;
  }
  Compile c = {.p = p, .a = r->arena, .seen = ARENA_ARRAY(r->arena, uint32_t, k->ex.n + 1)};
  p->body = compile_block(&c, st->body);
  vec_push(r->arena, &r->progs, p);
  return p;
}

/* Literals and lane numbers never change: they are written once into a frame. */
static void fill_constants(const Prog *p, Scalar *v) {
  for (Ex e = 1; e < p->k->ex.n; e++) {
    const Expr *x = ex_at(p->k, e);
    if (!p->at[e]) continue;
    if (x->op == OP_LITERAL) memcpy(&v[p->at[e]], &x->u, sizeof *v);
    for (int i = 0; x->op == OP_LANE && i < x->lanes; i++) v[p->at[e] + (uint32_t)i].i = i;
  }
}

/* ---- expressions ---- */

static bool active(const Task *t, const Scalar *own, int own_lanes, int lanes, int i) {
  if (lanes > 1 && t->mask && !t->mask[i]) return false;
  return !own || own[own_lanes > 1 ? i : 0].i;
}

/* Which lanes an operation without a mask of its own needs right. */
static bool matters(const Task *t, int lanes, int i) { return active(t, NULL, 1, lanes, i); }

static const Mem *tensor_of(Task *t, uint32_t buf, const Ex *index, int *skip) {
  const Mem *m = &t->mem[buf];
  *skip = 0;
  if (!t->p->k->bufs.at[buf].list) return m;
  int64_t s = t->v[t->p->at[index[0]]].i;
  *skip = 1;
  if (s >= 0 && s < m->nlist) return &m->list[s];
  FAULT(t, "loop-run", "%s: tensor %lld is outside 0..%d", t->p->k->bufs.at[buf].name, (long long)s, m->nlist);
  return NULL;
}

static void lane_index(const Task *t, const Ex *index, int from, int n, int lane, int64_t *out) {
  for (int j = from; j < n; j++)
    out[j - from] = t->v[t->p->at[index[j]] + (ex_at(t->p->k, index[j])->lanes > 1 ? (uint32_t)lane : 0)].i;
}

static bool eval_load(Task *t, const Expr *x, const Ex *in, Scalar *out) {
  const Kernel *k = t->p->k;
  int skip, mlanes = x->mask ? ex_at(k, x->mask)->lanes : 1, olanes = x->other ? ex_at(k, x->other)->lanes : 1;
  const Scalar *mask = x->mask ? t->v + t->p->at[x->mask] : NULL, *other = x->other ? t->v + t->p->at[x->other] : NULL;
  const Mem *m = NULL;
  t->who.name = k->bufs.at[x->ref].name;
  for (int i = 0; i < x->lanes; i++) {
    if (!active(t, mask, mlanes, x->lanes, i)) {
      out[i] = other ? other[olanes > 1 ? i : 0] : (Scalar){.i = 0};
      continue;
    }
    int64_t index[LOOP_RANK], o;
    if (!m && !(m = tensor_of(t, x->ref, in, &skip))) return false;
    lane_index(t, in, skip, x->nin, i, index);
    if (!mem_offset(m, index, &o, &t->who) || !mem_read(m, index, o, x->lanes > 1 && t->soft && t->soft[i], &t->who))
      return access_fault(t);
    out[i] = scalar_load(m->dtype, mem_at(m, o));
  }
  return true;
}

static bool reg_element(Task *t, uint32_t reg, const Ex *index, uint32_t *element) {
  const LoopReg *r = &t->p->k->regs.at[reg];
  int64_t o = 0;
  for (int i = 0; i < r->rank; i++) {
    int64_t x = t->v[t->p->at[index[i]]].i;
    if (x < 0 || x >= r->dim[i])
      return FAULT(t, "loop-run", "register %s: index %lld is outside 0..%lld", r->name, (long long)x,
                   (long long)r->dim[i]);
    o = o * r->dim[i] + x;
  }
  *element = (uint32_t)o;
  return true;
}

/* Halves folded on each other until one is left. */
static Scalar fold(Op op, DType d, const Scalar *v, int n) {
  Scalar x[LOOP_LANES];
  memcpy(x, v, (size_t)n * sizeof *x);
  for (n /= 2; n; n /= 2) scalar_map(op, d, n, (const Scalar *const[]){x, x + n}, (const int[]){1, 1}, x);
  return x[0];
}

static bool eval_perm(Task *t, const Expr *x, const Scalar *const *in, const Ex *ex, Scalar *out) {
  int w = ex_at(t->p->k, ex[0])->lanes, all = x->op == OP_PERM2 ? 2 * w : w,
      step = ex_at(t->p->k, ex[x->nin - 1])->lanes > 1;
  for (int i = 0; i < x->lanes; i++) {
    int64_t j = in[x->nin - 1][i * step].i;
    if ((j < 0 || j >= all) && matters(t, x->lanes, i))
      return FAULT(t, "loop-run", "%s: lane %lld is outside 0..%d", OP_INFO[x->op].text, (long long)j, all);
    out[i] = j < 0 || j >= all ? (Scalar){.i = 0} : j < w ? in[0][j] : in[1][j - w];
  }
  return true;
}

static bool eval_ex(Task *t, Ex e) {
  const Kernel *k = t->p->k;
  const Expr *x = ex_at(k, e);
  const Ex *ex = k->arg.at + x->in;
  Scalar *out = t->v + t->p->at[e];
  if (x->op == OP_LOAD) return eval_load(t, x, ex, out);
  const Scalar *in[3];
  int step[3];
  DType d = DT_NONE;
  for (int i = 0; i < x->nin && i < 3; i++) {
    in[i] = t->v + t->p->at[ex[i]];
    step[i] = ex_at(k, ex[i])->lanes > 1;
    d = ex_at(k, ex[i])->dtype;
  }
  switch (x->op) {
  case OP_REG: {
    uint32_t o = 0;
    if (!reg_element(t, x->ref, ex, &o)) return false;
    if (!t->set[t->p->flag[x->ref] + o])
      return FAULT(t, "loop-run", "register %s is read before it is assigned", k->regs.at[x->ref].name);
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
  case OP_PERM2: return eval_perm(t, x, in, ex, out);
  case OP_HADD:
  case OP_HMAX:
  case OP_HMIN:
    *out = fold(x->op == OP_HADD   ? OP_ADD
                : x->op == OP_HMAX ? OP_MAXIMUM
                                   : OP_MINIMUM,
                d, in[0], ex_at(k, ex[0])->lanes);
    return true;
  case OP_ANY: *out = fold(OP_OR, DT_BOOL, in[0], ex_at(k, ex[0])->lanes); return true;
  case OP_ALL: *out = fold(OP_AND, DT_BOOL, in[0], ex_at(k, ex[0])->lanes); return true;
  case OP_LEN: {
    int skip;
    const Mem *m = tensor_of(t, x->ref, ex, &skip);
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
    if (strcmp(t->r->out->level, "v2")) break;
    Scalar product[LOOP_LANES];
    scalar_map(OP_MUL, d, x->lanes, in, step, product);
    scalar_map(OP_ADD, d, x->lanes, (const Scalar *const[]){product, in[2]}, (const int[]){1, step[2]}, out);
    return true;
  case OP_FLOOR_DIV:
  case OP_FLOOR_MOD:
    for (int i = 0; i < x->lanes; i++)
      if (!in[1][i * step[1]].i && matters(t, x->lanes, i)) return FAULT(t, "loop-run", "division by 0");
    break;
  default: break;
  }
  if (!scalar_map(x->op, d, x->lanes, in, step, out)) BUG("no meaning of %s on %s", OP_INFO[x->op].text, dtype_name(d));
  return true;
}

/* ---- statements ---- */

static bool exec_block(Task *t, const Act *n);

static bool exec_assign(Task *t, const Stmt *s) {
  const LoopReg *r = &t->p->k->regs.at[s->ref];
  uint32_t o = 0;
  if (!reg_element(t, s->ref, s->index, &o)) return false;
  Scalar *to = t->v + t->p->reg[s->ref] + o * r->lanes;
  const Scalar *from = t->v + t->p->at[s->value], *mask = s->mask ? t->v + t->p->at[s->mask] : NULL;
  int step = ex_at(t->p->k, s->value)->lanes > 1, mlanes = s->mask ? ex_at(t->p->k, s->mask)->lanes : 1;
  if (mask && mlanes == 1 && !mask->i) return true; /* a scalar mask: the statement does not happen */
  uint8_t *set = &t->set[t->p->flag[s->ref] + o];
  for (int i = 0; i < r->lanes; i++) { /* a blend: inactive lanes keep the old value, or poison */
    if (active(t, mask, mlanes, r->lanes, i))
      to[i] = from[i * step];
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

static bool exec_store(Task *t, const Stmt *s) {
  const Kernel *k = t->p->k;
  int skip, lanes = 1, mlanes = s->mask ? ex_at(k, s->mask)->lanes : 1, step = ex_at(k, s->value)->lanes > 1;
  const Scalar *from = t->v + t->p->at[s->value], *mask = s->mask ? t->v + t->p->at[s->mask] : NULL;
  for (int i = 0; i < s->nindex; i++)
    if (ex_at(k, s->index[i])->lanes > lanes) lanes = ex_at(k, s->index[i])->lanes;
  const Mem *m = NULL;
  int64_t index[LOOP_LANES][LOOP_RANK], o[LOOP_LANES];
  uint8_t on[LOOP_LANES];
  t->who.name = k->bufs.at[s->ref].name;
  for (int i = 0; i < lanes; i++) {
    on[i] = active(t, mask, mlanes, lanes, i);
    if (!on[i]) continue;
    if (!m && !(m = tensor_of(t, s->ref, s->index, &skip))) return false;
    lane_index(t, s->index, skip, s->nindex, i, index[i]);
    if (!mem_offset(m, index[i], &o[i], &t->who)) return access_fault(t);
  }
  if (lanes_meet(o, on, lanes))
    return FAULT(t, "loop-run", "%s: two lanes of one store meet in one element", t->who.name);
  for (int i = 0; i < lanes; i++) {
    if (!on[i]) continue;
    if (!mem_write(m, index[i], o[i], lanes > 1 && t->soft && t->soft[i], &t->who)) return access_fault(t);
    scalar_store(m->dtype, from[i * step], mem_at(m, o[i]));
  }
  return true;
}

static bool vector_turn(Task *t, const Act *n, int64_t first) {
  Scalar *var = t->v + t->p->var[n->s->ref];
  for (int i = 0; i < n->s->width; i++) var[i].i = first + i;
  return exec_block(t, n->body);
}

static bool exec_vector(Task *t, const Act *n, int64_t lo, int64_t hi) {
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
    return FAULT(t, "loop-run", "loop %s: %lld is no multiple of %d and there is no tail",
                 t->p->k->vars.at[s->ref].name, (long long)(hi - lo), w);
  }
  t->mask = mask;
  t->soft = soft;
  return ok;
}

static bool exec_for(Task *t, const Act *n) {
  const Stmt *s = n->s;
  int64_t lo = t->v[t->p->at[s->lo]].i, hi = t->v[t->p->at[s->hi]].i;
  if (s->mode == FOR_VECTOR) return exec_vector(t, n, lo, hi);
  for (int64_t i = lo; i < hi; i += s->step) {
    t->v[t->p->var[s->ref]].i = i;
    if (!exec_block(t, n->body)) return false;
    if (i > INT64_MAX - s->step) break;
  }
  return true;
}

static bool exec_if(Task *t, const Act *n) {
  const Expr *x = ex_at(t->p->k, n->s->value);
  const Scalar *c = t->v + t->p->at[n->s->value];
  if (x->lanes == 1) return exec_block(t, c->i ? n->body : n->other);
  const uint8_t *mask = t->mask;
  uint8_t lane[2][LOOP_LANES];
  bool any[2] = {false, false}, ok = true;
  for (int i = 0; i < x->lanes; i++)
    for (int arm = 0; arm < 2; arm++) any[arm] |= lane[arm][i] = (c[i].i != 0) == !arm && (!mask || mask[i]);
  for (int arm = 0; ok && arm < 2; arm++) {
    t->mask = lane[arm];
    if (any[arm]) ok = exec_block(t, arm ? n->other : n->body);
  }
  t->mask = mask;
  return ok;
}

static void exec_fail(Task *t, const Stmt *s) {
  const Expr *x = ex_at(t->p->k, s->value);
  LoopRun *o = t->r->out;
  bool any = false;
  for (int i = 0; i < x->lanes; i++) any |= active(t, t->v + t->p->at[s->value], x->lanes, x->lanes, i);
  if (!any || (o->status && (o->status < s->code || (o->status == s->code && o->fail_task <= t->index)))) return;
  o->status = s->code;
  o->fail_task = t->index;
}

static bool exec_block(Task *t, const Act *n) {
  for (; n; n = n->next) {
    const Stmt *s = n->s;
    t->stmt = s;
    for (int i = 0; i < n->n; i++)
      if (!eval_ex(t, n->code[i])) return false;
    bool ok = true;
    switch (s->kind) {
    case STMT_LET:
      memcpy(t->v + t->p->var[s->ref], t->v + t->p->at[s->value], ex_at(t->p->k, s->value)->lanes * sizeof *t->v);
      break;
    case STMT_REG: {
      const LoopReg *r = &t->p->k->regs.at[s->ref];
      int64_t elements = 1;
      for (int i = 0; i < r->rank; i++) elements *= r->dim[i];
      memset(t->set + t->p->flag[s->ref], s->value != 0, (size_t)elements);
      int step = s->value && ex_at(t->p->k, s->value)->lanes > 1;
      for (int64_t i = 0; s->value && i < elements * r->lanes; i++)
        t->v[t->p->reg[s->ref] + (uint64_t)i] = t->v[t->p->at[s->value] + (uint64_t)(step * (i % r->lanes))];
      break;
    }
    case STMT_ASSIGN: ok = exec_assign(t, s); break;
    case STMT_STORE: ok = exec_store(t, s); break;
    case STMT_FOR: ok = exec_for(t, n); break;
    case STMT_IF: ok = exec_if(t, n); break;
    case STMT_FAIL: exec_fail(t, s); break;
    case STMT_ALLOC:
    case STMT_PREFETCH: break; /* made before the task; no meaning: may be out of bounds */
    }
    if (!ok) return false;
  }
  return true;
}

/* ---- launches ---- */

typedef struct Env { /* dimensions of a kernel or plan */
  const Dim *dims;
  uint32_t n;
  const int64_t *value;
} Env;

static bool look_up(void *ctx, const char *name, int64_t *value) {
  const Env *e = ctx;
  for (uint32_t i = 0; i < e->n; i++)
    if (!strcmp(e->dims[i].name, name)) {
      *value = e->value[i];
      return true;
    }
  return false;
}

static bool run_fault(const Run *r, int line, const char *id, const char *text) {
  Loc loc = loop_place(r->m, line ? line : r->step ? r->step->line : r->plan->line);
  return loc ? diag_error(r->m->ctx->diag, id, loc, "%s", text)
             : diag_error(r->m->ctx->diag, id, 0, "plan %s: %s", r->plan->name, text);
}
#define RUN_FAULT(r, line, ...) run_fault(r, line, "loop-run", arena_printf((r)->arena, __VA_ARGS__))

static bool evaluate(Run *r, Sym s, Env *env, const char *what, int64_t *out) {
  return sym_eval(r->m->ctx->syms, s, look_up, env, out) ||
         RUN_FAULT(r, 0, "%s has no value: %s", what, sym_text(r->m->ctx->syms, s, r->arena));
}

/* Bounds and facts of a header hold for these values. */
static bool check_facts(Run *r, const char *name, const Dim *dims, uint32_t n, const Sym *facts, uint32_t nfacts,
                        Env *env) {
  for (uint32_t i = 0; i < n; i++)
    if (env->value[i] < dims[i].lo || env->value[i] > dims[i].hi)
      return RUN_FAULT(r, 0, "%s: %s = %lld is outside its bounds", name, dims[i].name, (long long)env->value[i]);
  for (uint32_t i = 0; i < nfacts; i++) {
    int64_t v;
    if (!evaluate(r, facts[i], env, "a fact", &v)) return false;
    if (!v)
      return RUN_FAULT(r, 0, "%s: a fact of where does not hold: %s", name,
                       sym_text(r->m->ctx->syms, facts[i], r->arena));
  }
  return true;
}

/* The shape and layout of a buffer, without its memory. */
static bool shape_of(Run *r, const LoopBuf *b, Env *env, Mem *m) {
  *m = (Mem){.dtype = b->dtype,
             .rank = b->rank,
             .layout = b->layout,
             .axis = b->panel_axis,
             .width = b->width,
             .roll = b->buffers != 0};
  for (int i = 0; i < b->rank; i++) {
    if (!evaluate(r, b->dim[i], env, b->name, &m->dim[i])) return false;
    if (b->layout == LAYOUT_STRIDES && !evaluate(r, b->stride[i], env, b->name, &m->stride[i])) return false;
  }
  if (b->buffers && !evaluate(r, b->buffers, env, b->name, &m->dim[0])) return false;
  if (b->buffers && m->dim[0] < 1) return RUN_FAULT(r, b->line, "%s has no rows to roll", b->name);
  return mem_count(m, &m->count) ||
         RUN_FAULT(r, b->line, "%s has a negative size or more elements than can be interpreted", b->name);
}

static Storage *new_storage(Run *r, void *data, int64_t bytes, int unit) {
  Storage *s = storage_new(r->arena, data, bytes, unit);
  vec_push(r->arena, &r->storages, s);
  return s;
}

static void new_epoch(Run *r) {
  r->epoch = r->serial = r->next++;
  r->parts.n = 0;
}

typedef struct Span { /* memory of an argument */
  const Storage *st;
  int64_t lo, hi;
  int param;
} Span;

static void add_span(const Mem *m, int param, Span *out) {
  *out = (Span){m->st, m->byte, m->byte + m->count * (int64_t)dtype_size(m->dtype), param};
}

/* Two arguments that share memory, one of them stored to, must be declared in place of each other. */
static bool check_aliases(Run *r, const Kernel *k, Mem *mem, const Span *span, int n) {
  for (int a = 0; a < n; a++)
    for (int b = 0; b < a; b++) {
      const Span *x = &span[a], *y = &span[b];
      const LoopBuf *p = &k->bufs.at[x->param], *q = &k->bufs.at[y->param];
      if (x->st != y->st || x->lo >= y->hi || y->lo >= x->hi || (p->kind == BUF_IN && q->kind == BUF_IN)) continue;
      if ((p->inplace != y->param && q->inplace != x->param) || x->lo != y->lo || p->list)
        return RUN_FAULT(r, 0, "%s: %s and %s overlap and are not declared in place", k->name, p->name, q->name);
      mem[x->param].alias = r->launches << 8 | (uint32_t)(x->param + 1);
      mem[y->param].alias = r->launches << 8 | (uint32_t)(y->param + 1);
    }
  return true;
}

static bool bind(Run *r, const Kernel *k, const Prog *p, const Mem *given, Env *env, Mem *mem) {
  int spans = 0, n = 0;
  for (int i = 0; i < k->nparams; i++) spans += given[i].list ? given[i].nlist : given[i].st != NULL;
  Span *span = ARENA_ARRAY(r->arena, Span, spans + 1);
  for (int i = 0; i < k->nparams; i++) {
    const LoopBuf *b = &k->bufs.at[i];
    const Mem *g = &given[i];
    if (!g->st && !g->list) {
      if (p->uses[i]) return RUN_FAULT(r, 0, "%s.%s: argument %s is missing", k->name, p->stage->name, b->name);
      continue;
    }
    if (b->list) {
      mem[i] = *g;
      for (int j = 0; j < g->nlist; j++) add_span(&g->list[j], i, &span[n++]);
      continue;
    }
    if (!shape_of(r, b, env, &mem[i])) return false;
    int64_t align = 1;
    if (b->align && !evaluate(r, b->align, env, b->name, &align)) return false;
    if (g->dtype != b->dtype || mem[i].count > g->count)
      return RUN_FAULT(r, 0, "%s: %s is %s of %lld elements, needs %s of %lld", k->name, b->name, dtype_name(g->dtype),
                       (long long)g->count, dtype_name(b->dtype), (long long)mem[i].count);
    if (align > 1 && g->byte % align)
      return RUN_FAULT(r, 0, "%s: %s is not aligned: it lies at byte %lld of its memory, not at a multiple of %lld",
                       k->name, b->name, (long long)g->byte, (long long)align);
    mem[i].st = g->st;
    mem[i].byte = g->byte;
    mem[i].token = g->token;
    add_span(&mem[i], i, &span[n++]);
  }
  return check_aliases(r, k, mem, span, n);
}

static uint64_t next_random(Run *r) {
  r->random ^= r->random << 13;
  r->random ^= r->random >> 7;
  return r->random ^= r->random << 17;
}

/* Scratch of the tasks: one memory, forgotten before each task. */
static bool make_scratch(Run *r, const Kernel *k, const Stage *st, Env *env, Mem *mem) {
  for (const Stmt *s = st->body; s; s = s->next) {
    if (s->kind != STMT_ALLOC) continue;
    const LoopBuf *b = &k->bufs.at[s->ref];
    Mem *m = &mem[s->ref];
    if (!shape_of(r, b, env, m)) return false;
    m->st = storage_new(r->arena, NULL, m->count * (int64_t)dtype_size(b->dtype), (int)dtype_size(b->dtype));
    m->st->private = true;
    m->token = 1;
  }
  return true;
}

typedef struct Tasks {
  int64_t extent[LOOP_AXES], n;
  const Mem *list; /* segments */
  uint32_t base;   /* actor of task 0 */
} Tasks;

static int64_t pieces(const Mem *m, int64_t chunk) { return (m->dim[0] + chunk - 1) / chunk; }

static bool count_tasks(Run *r, const Kernel *k, const Stage *st, const Step *step, const Mem *mem, Env *env,
                        Tasks *t) {
  Partition key = {.chunk = st->chunk};
  t->n = 1;
  if (st->segmented) {
    t->list = &mem[st->segment_buf];
    t->n = 0;
    for (int i = 0; i < t->list->nlist; i++) t->n += pieces(&t->list->list[i], st->chunk);
    key.list = t->list->nlist ? t->list->list[0].st : NULL;
  } else {
    SymTab *tab = r->m->ctx->syms;
    const char **names = ARENA_ARRAY(r->arena, const char *, k->dims.n + 1);
    for (uint32_t i = 0; i < k->dims.n; i++) names[i] = k->dims.at[i].name;
    key.tasks = sym_int(tab, 1);
    for (int i = 0; i < st->naxes; i++) {
      if (!evaluate(r, st->extent[i], env, "an axis", &t->extent[i])) return false;
      if (t->extent[i] < 0) t->extent[i] = 0;
      if (__builtin_mul_overflow(t->n, t->extent[i], &t->n)) t->n = INT64_MAX;
      key.tasks = sym_mul(tab, key.tasks, sym_replace(tab, st->extent[i], names, step->dims, (int)k->dims.n));
    }
  }
  key.n = t->n;
  if (t->n > INT64_C(1) << 26 || r->next > UINT32_MAX - (UINT32_C(1) << 29))
    return RUN_FAULT(r, 0, "%s.%s: %lld tasks are too many to interpret", k->name, st->name, (long long)t->n);
  for (uint32_t i = 0; i < r->parts.n; i++) {
    const Partition *p = &r->parts.at[i];
    if (p->tasks == key.tasks && p->list == key.list && p->chunk == key.chunk && p->n == key.n) {
      t->base = p->base;
      return true;
    }
  }
  t->base = key.base = r->next;
  r->next += (uint32_t)t->n;
  vec_push(r->arena, &r->parts, key);
  return true;
}

static void set_axes(Task *t, const Stage *st, const Tasks *all, int64_t i) {
  Scalar *v = t->v;
  if (all->list) {
    int s = 0;
    for (; i >= pieces(&all->list->list[s], st->chunk); s++) i -= pieces(&all->list->list[s], st->chunk);
    v[t->p->var[st->axis[0]]].i = s;
    v[t->p->var[st->axis[1]]].i = i * st->chunk;
    return;
  }
  for (int a = st->naxes - 1; a >= 0; a--) {
    v[t->p->var[st->axis[a]]].i = i % all->extent[a];
    i /= all->extent[a];
  }
}

static bool run_tasks(Run *r, const Prog *p, const Tasks *all, bool serial, Env *env, Mem *mem) {
  const Kernel *k = p->k;
  Task t = {
      .r = r, .p = p, .mem = mem, .v = mem_alloc((p->slots + 1) * sizeof(Scalar)), .set = mem_alloc(p->flags + 1)};
  uint32_t *order = mem_alloc(((size_t)all->n + 1) * sizeof *order);
  fill_constants(p, t.v);
  for (uint32_t i = 0; i < k->dims.n; i++) t.v[p->var[i]].i = env->value[i];
  for (int64_t i = 0; i < all->n; i++) { /* any order: no result may depend on it */
    int64_t j = (int64_t)(next_random(r) % (uint64_t)(i + 1));
    order[i] = order[j];
    order[j] = (uint32_t)i;
  }
  bool ok = true;
  for (int64_t i = 0; ok && i < all->n; i++) {
    t.index = order[i];
    t.who.actor = serial ? r->serial : all->base + order[i];
    t.who.epoch = r->epoch;
    t.mask = t.soft = NULL;
    for (uint32_t b = (uint32_t)k->nparams; b < k->bufs.n; b++)
      if (mem[b].st) memset(mem[b].st->own, 0, (size_t)mem[b].st->n * sizeof(uint32_t));
    set_axes(&t, p->stage, all, order[i]);
    ok = exec_block(&t, p->body);
  }
  free(order);
  free(t.v);
  free(t.set);
  return ok;
}

static bool launch(Run *r, const Step *s, const Mem *given, const int64_t *dims) {
  const Kernel *k = r->m->kernels.at[s->kernel];
  const Stage *st = k->stages.at[s->stage];
  const Prog *p = compile(r, k, st);
  Env env = {k->dims.at, k->dims.n, dims};
  if (!check_facts(r, k->name, k->dims.at, k->dims.n, k->facts.at, k->facts.n, &env)) return false;
  r->launches++;
  Mem *mem = ARENA_ARRAY(r->arena, Mem, k->bufs.n + 1);
  Tasks tasks = {0};
  if (!bind(r, k, p, given, &env, mem) || !count_tasks(r, k, st, s, mem, &env, &tasks)) return false;
  bool ok = make_scratch(r, k, st, &env, mem) && run_tasks(r, p, &tasks, s->serial, &env, mem);
  for (uint32_t b = (uint32_t)k->nparams; b < k->bufs.n; b++)
    if (mem[b].st) storage_free(mem[b].st);
  return ok;
}

/* ---- plans ---- */

static bool sub_view(Run *r, const View *v, const Mem *bufs, Env *env, Mem *out) {
  if (v->nlist) {
    *out = (Mem){.nlist = v->nlist, .list = ARENA_ARRAY(r->arena, Mem, v->nlist)};
    for (int i = 0; i < v->nlist; i++) {
      if (!sub_view(r, &v->list[i], bufs, env, &out->list[i])) return false;
      out->list[i].dim[0] = out->list[i].count; /* tensors of a list are seen flat */
      out->list[i].rank = 1;
    }
    return true;
  }
  *out = bufs[v->buf];
  if (!v->nindex) return true;
  const char *name = r->plan->bufs.at[v->buf].name;
  int64_t index[LOOP_RANK], hi = -1, o = 0, rest = 1;
  if (v->hi && !evaluate(r, v->hi, env, name, &hi)) return false;
  for (int i = 0; i < v->nindex; i++) {
    if (!evaluate(r, v->index[i], env, name, &index[i])) return false;
    bool end = v->hi && i == v->nindex - 1 && index[i] == out->dim[i]; /* an empty slice may begin at the end */
    if (index[i] < 0 || (index[i] >= out->dim[i] && !end))
      return RUN_FAULT(r, 0, "%s: view index %lld is outside 0..%lld", name, (long long)index[i],
                       (long long)out->dim[i]);
    o = o * out->dim[i] + index[i];
  }
  int last = v->nindex - 1;
  if (v->hi && (hi > out->dim[last] || hi < index[last]))
    return RUN_FAULT(r, 0, "%s: view bound %lld is outside %lld..%lld", name, (long long)hi, (long long)index[last],
                     (long long)out->dim[last]);
  int rank = 0;
  int64_t dim[LOOP_RANK];
  if (v->hi) dim[rank++] = hi - index[last];
  for (int i = v->nindex; i < out->rank; i++) {
    rest *= out->dim[i];
    dim[rank++] = out->dim[i];
  }
  out->byte += o * rest * (int64_t)dtype_size(out->dtype);
  out->rank = rank;
  memcpy(out->dim, dim, (size_t)rank * sizeof *dim);
  return mem_count(out, &out->count);
}

static bool copy(Run *r, Mem *to, Mem *from) {
  if (to->count != from->count)
    return RUN_FAULT(r, 0, "copy between different shapes: %lld and %lld elements", (long long)to->count,
                     (long long)from->count);
  Accessor a = {.actor = r->serial, .epoch = r->epoch, .name = "copy"};
  Mem *m[2] = {from, to};
  for (int i = 0; i < 2; i++) {
    m[i]->rank = 1;
    m[i]->dim[0] = m[i]->count;
    m[i]->layout = LAYOUT_ROWS;
  }
  for (int64_t i = 0; i < to->count; i++)
    if (!mem_read(from, &i, i, false, &a) || !mem_write(to, &i, i, false, &a)) return RUN_FAULT(r, 0, "%s", a.why);
  memmove(mem_at(to, 0), mem_at(from, 0), (size_t)to->count * dtype_size(to->dtype));
  return true;
}

static bool run_step(Run *r, const Step *s, const Mem *bufs, Env *env) {
  r->step = s;
  if (s->kind == STEP_BARRIER) {
    new_epoch(r);
    return true;
  }
  Mem *views = ARENA_ARRAY(r->arena, Mem, s->nviews + 1);
  for (int i = 0; i < s->nviews; i++)
    if ((s->views[i].buf >= 0 || s->views[i].nlist) && !sub_view(r, &s->views[i], bufs, env, &views[i])) return false;
  bool skipped = s->commit && r->out->status;
  if (s->kind == STEP_COPY) return skipped || copy(r, &views[0], &views[1]);
  int64_t *dims = ARENA_ARRAY(r->arena, int64_t, s->ndims + 1);
  for (int i = 0; i < s->ndims; i++)
    if (!evaluate(r, s->dims[i], env, "a dimension", &dims[i])) return false;
  return skipped || launch(r, s, views, dims);
}

static void fill(Storage *s, uint32_t token) {
  for (int64_t i = 0; i < s->n; i++) s->own[i] = token;
}

static Mem *argument(Run *r, const LoopBuf *b, Mem *m, void *data) {
  m->token = ++r->tokens;
  m->st = new_storage(r, data, m->count * (int64_t)dtype_size(b->dtype), (int)dtype_size(b->dtype));
  if (b->kind != BUF_OUT) fill(m->st, m->token);
  return m;
}

static bool make_buffers(Run *r, const Plan *p, const LoopArg *args, Env *env, Mem *bufs) {
  int64_t *at = ARENA_ARRAY(r->arena, int64_t, p->bufs.n + 1), end = 0;
  int unit = 8;
  for (uint32_t i = 0; i < p->bufs.n; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    if (b->list) {
      bufs[i] = (Mem){
          .dtype = b->dtype, .rank = 1, .nlist = args[i].nlist, .list = ARENA_ARRAY(r->arena, Mem, args[i].nlist + 1)};
      for (int j = 0; j < args[i].nlist; j++) {
        bufs[i].list[j] =
            (Mem){.dtype = b->dtype, .rank = 1, .dim = {args[i].list_len[j]}, .count = args[i].list_len[j]};
        argument(r, b, &bufs[i].list[j], args[i].list[j]);
      }
      continue;
    }
    if (!shape_of(r, b, env, &bufs[i])) return false;
    if ((int)i < p->nparams) {
      argument(r, b, &bufs[i], args[i].data);
      continue;
    }
    bufs[i].token = ++r->tokens;
    int64_t bytes = bufs[i].count * (int64_t)dtype_size(b->dtype);
    if (!b->at) {
      bufs[i].st = new_storage(r, NULL, bytes, (int)dtype_size(b->dtype));
      continue;
    }
    if (!evaluate(r, b->at, env, b->name, &at[i])) return false;
    if (at[i] < 0 || at[i] % 64)
      return RUN_FAULT(r, b->line, "%s: offset %lld is not aligned: it must be a multiple of 64", b->name,
                       (long long)at[i]);
    if (at[i] > INT64_C(1) << 40)
      return RUN_FAULT(r, b->line, "%s: offset %lld is too large to interpret", b->name, (long long)at[i]);
    bufs[i].byte = at[i];
    if (at[i] + bytes > end) end = at[i] + bytes;
    if ((int)dtype_size(b->dtype) < unit) unit = (int)dtype_size(b->dtype);
  }
  Storage *arena = NULL;
  for (uint32_t i = (uint32_t)p->nparams; i < p->bufs.n; i++) {
    if (!p->bufs.at[i].at) continue;
    if (!arena) arena = new_storage(r, NULL, (end + 7) / 8 * 8, unit);
    bufs[i].st = arena;
  }
  return true;
}

static bool all_written(Run *r, const LoopBuf *b, const Mem *m) {
  for (int64_t i = 0; i < m->st->n; i++)
    if (!m->st->own[i]) {
      r->step = NULL;
      return RUN_FAULT(r, b->line, "%s: element %lld of %s was never written", r->plan->name, (long long)i, b->name);
    }
  return true;
}

static bool run_plan(Run *r, const Plan *p, const int64_t *dims, const LoopArg *args) {
  Env env = {p->dims.at, p->dims.n, dims};
  Mem *bufs = ARENA_ARRAY(r->arena, Mem, p->bufs.n + 1);
  r->plan = p;
  if (!check_facts(r, p->name, p->dims.at, p->dims.n, p->facts.at, p->facts.n, &env) ||
      !make_buffers(r, p, args, &env, bufs))
    return false;
  new_epoch(r);
  for (const Step *s = p->steps; s; s = s->next)
    if (!run_step(r, s, bufs, &env)) return false;
  for (int i = 0; i < p->nparams && !r->out->status; i++) {
    const LoopBuf *b = &p->bufs.at[i];
    if (b->kind != BUF_OUT) continue;
    for (int j = 0; j < (b->list ? bufs[i].nlist : 1); j++)
      if (!all_written(r, b, b->list ? &bufs[i].list[j] : &bufs[i])) return false;
  }
  return true;
}

static const Plan *choose(const LoopModule *m, const char *name, const int64_t *dims, const char *level) {
  const Plan *p = loop_module_plan(m, name, NULL);
  for (uint32_t e = 0; e < m->entries.n; e++) {
    if (strcmp(m->entries.at[e]->name, name)) continue;
    for (uint32_t i = 0; i < m->entries.at[e]->variants.n; i++) {
      const PlanVariant *v = &m->entries.at[e]->variants.at[i];
      const Plan *q = loop_module_plan(m, v->plan, NULL);
      int64_t fits = 1;
      if (!q || v->gpu || (v->level && strcmp(v->level, level))) continue;
      Env env = {q->dims.at, q->dims.n, dims};
      if (v->when && !sym_eval(m->ctx->syms, v->when, look_up, &env, &fits)) fits = 0;
      if (fits) return q;
    }
  }
  return p;
}

bool loop_run(const LoopModule *m, const char *name, const int64_t *dims, const LoopArg *args, LoopRun *out) {
  if (!out->level) out->level = "v4";
  out->status = out->fail_task = 0;
  out->plan = NULL;
  if (!loop_verify(m, out->level)) return false;
  const Plan *p = choose(m, name, dims, out->level);
  if (!p) return diag_error(m->ctx->diag, "loop-name", 0, "no plan and no entry %s with a variant that fits", name);
  out->plan = p->name;
  Run r = {.m = m,
           .out = out,
           .arena = arena_new(),
           .next = 1,
           .random = out->seed * UINT64_C(0x9E3779B97F4A7C15) + 0x2545F4914F6CDD1D};
  bool ok = run_plan(&r, p, dims, args);
  for (uint32_t i = 0; i < r.storages.n; i++) storage_free(r.storages.at[i]);
  arena_free(r.arena);
  return ok;
}
