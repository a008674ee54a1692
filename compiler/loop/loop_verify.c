#include "loop.h"
#include <stdlib.h>
#include <string.h>

typedef struct Verify {
  const LoopModule *m;
  const Kernel *k;
  const Stage *stage;
  const Stmt *stmt;
  const char *level;
  bool count;      /* registers: the stage runs on this level */
  int vec;         /* lanes of the vector loop or lane mask around, 0: none */
  int depth;       /* blocks around */
  int64_t vregs;   /* live vector registers */
  bool *var, *buf; /* in scope */
  int *reg;        /* -1: not in scope, else vec where it was declared */
  uint32_t *seen;  /* of an expression: the statement that looked at it last */
  uint32_t turn;
  uint8_t *varies, *ex_varies; /* LoopScope of a variable, of an expression */
  LoopScope control;           /* of the loops and branches around */
} Verify;

#define FAULT(v, id, ...) loop_fault((v)->m, (v)->k, (v)->stage, (v)->stmt, id, __VA_ARGS__)

int loop_vector_bytes(const char *level) {
  return !strcmp(level, "v2") || !strcmp(level, "a64") || !strcmp(level, "gpu") ? 16 : !strcmp(level, "v3") ? 32 : 64;
}
static int vector_registers(const char *level) { return !strcmp(level, "v2") ? 15 : !strcmp(level, "v3") ? 16 : 32; }

/* ---- walks ---- */

/* Calls fn for every expression that a statement itself holds. */
static bool each_root(const Stmt *s, bool (*fn)(void *, Ex), void *ctx) {
  for (int i = 0; i < s->nindex; i++)
    if (!fn(ctx, s->index[i])) return false;
  const Ex root[] = {s->value, s->mask, s->lo, s->hi};
  for (int i = 0; i < 4; i++)
    if (root[i] && !fn(ctx, root[i])) return false;
  return true;
}

typedef struct Loads {
  const Kernel *k;
  bool *loads, *stores, *seen;
} Loads;

static bool note_loads(void *ctx, Ex e) {
  Loads *l = ctx;
  if (l->seen[e]) return true;
  l->seen[e] = true;
  const Expr *x = ex_at(l->k, e);
  if (x->op == OP_LOAD || x->op == OP_LEN) l->loads[x->ref] = true;
  for (int i = 0; i < x->nin; i++) note_loads(l, l->k->arg.at[x->in + (uint32_t)i]);
  if (x->mask) note_loads(l, x->mask);
  if (x->other) note_loads(l, x->other);
  return true;
}

static void note_uses(Loads *l, const Stmt *s) {
  for (; s; s = s->next) {
    each_root(s, note_loads, l);
    if (s->kind == STMT_PREFETCH) l->loads[s->ref] = true;
    if (s->kind == STMT_STORE) l->stores[s->ref] = true;
    note_uses(l, s->body);
    note_uses(l, s->other);
  }
}

static void uses(const Kernel *k, const Stmt *s, bool *loads, bool *stores) {
  bool *seen = mem_alloc(k->ex.n + 1);
  Loads l = {k, loads, stores, seen};
  note_uses(&l, s);
  free(seen);
}

void loop_uses(const Kernel *k, const Stage *s, bool *loads, bool *stores) {
  bool *mem = mem_alloc(2 * k->bufs.n + 1), *a = loads ? loads : mem, *b = stores ? stores : mem + k->bufs.n;
  memset(a, 0, k->bufs.n);
  memset(b, 0, k->bufs.n);
  uses(k, s->body, a, b);
  if (s->segmented) a[s->segment_buf] = true;
  free(mem);
}

static bool block_fails(const Stmt *s) {
  for (; s; s = s->next)
    if (s->kind == STMT_FAIL || block_fails(s->body) || block_fails(s->other)) return true;
  return false;
}

bool loop_fails(const Stage *s) { return block_fails(s->body); }

bool loop_kernel_fails(const Kernel *k) {
  for (uint32_t i = 0; i < k->stages.n; i++)
    if (loop_fails(k->stages.at[i])) return true;
  return false;
}

/* ---- expressions ---- */

static void note_varies(Verify *, Ex);

static bool check_register_index(Verify *v, uint32_t reg, const Ex *index, int n) {
  const LoopReg *r = &v->k->regs.at[reg];
  if (v->reg[reg] < 0) return FAULT(v, "loop-scope", "register %s is used outside its block", r->name);
  for (int i = 0; i < n; i++)
    if (!loop_constant(v->k, index[i]))
      return FAULT(v, "loop-register-index", "index of register %s is not constant after unrolling", r->name);
  return true;
}

static bool check_lanes(Verify *v, int lanes) {
  return !v->vec || lanes == 1 || lanes == v->vec ||
         FAULT(v, "loop-lanes", "%d lanes inside a vector loop of %d", lanes, v->vec);
}

static bool list_lanes(Verify *v, uint32_t buf) {
  return FAULT(v, "loop-lanes", "%s: the tensor of a list is chosen by one index, not by a vector",
               v->k->bufs.at[buf].name);
}

static bool check_ex(void *ctx, Ex e) {
  Verify *v = ctx;
  const Kernel *k = v->k;
  if (e >= k->ex.n) return FAULT(v, "loop-tree", "expression %u does not exist", e);
  if (v->seen[e] == v->turn) return true;
  v->seen[e] = v->turn;
  const Expr *x = ex_at(k, e);
  const Ex *in = k->arg.at + x->in;
  for (int i = 0; i < x->nin; i++)
    if (!check_ex(v, in[i])) return false;
  if ((x->mask && !check_ex(v, x->mask)) || (x->other && !check_ex(v, x->other))) return false;
  if (x->lanes > LOOP_LANES)
    return FAULT(v, "loop-lanes", "a vector of %d lanes: %d are possible", x->lanes, LOOP_LANES);
  if (v->stage->threads) note_varies(v, e);
  switch (x->op) {
  case OP_VAR: return v->var[x->ref] || FAULT(v, "loop-scope", "%s is used outside its block", k->vars.at[x->ref].name);
  case OP_REG: return check_register_index(v, x->ref, in, x->nin);
  case OP_LOAD:
    if (!v->buf[x->ref]) return FAULT(v, "loop-scope", "buffer %s is used outside its stage", k->bufs.at[x->ref].name);
    if (k->bufs.at[x->ref].list && ex_at(k, in[0])->lanes > 1) return list_lanes(v, x->ref);
    return check_lanes(v, x->lanes);
  case OP_EXTRACT:
    return loop_constant(k, in[1]) ||
           FAULT(v, "loop-register-index", "extract of a lane that is not constant after unrolling");
  case OP_CONVERT:
  case OP_BITS:
  case OP_LITERAL:
  case OP_LANE:
  case OP_SPLAT: return true;
  case OP_LEN: return ex_at(k, in[0])->lanes == 1 || list_lanes(v, x->ref);
  default: {
    const char *why = ex_why_not(k, x->op, in, x->nin);
    return !why || FAULT(v, "loop-type", "%s", why);
  }
  }
}

/* ---- blocks of threads ---- */

static LoopScope wider(LoopScope a, LoopScope b) { return a > b ? a : b; }

static LoopScope varies(const Verify *v, Ex e) { return e ? v->ex_varies[e] : LOOP_BLOCK; }

/* Where the value of an expression is the same, after that of its operands. A register is taken to be its thread's, for
 * it is assigned under any control; so is a thread's scratch. */
static void note_varies(Verify *v, Ex e) {
  const Expr *x = ex_at(v->k, e);
  LoopScope s = wider(varies(v, x->mask), varies(v, x->other));
  for (int i = 0; i < x->nin; i++) s = wider(s, varies(v, v->k->arg.at[x->in + (uint32_t)i]));
  if (x->op == OP_REG || (x->op == OP_LOAD && v->k->bufs.at[x->ref].kind == BUF_THREAD)) s = LOOP_THREAD;
  if (x->op == OP_VAR) s = (LoopScope)v->varies[x->ref];
  v->ex_varies[e] = (uint8_t)s;
}

/* What acts for a block or warp stands where all its threads come. */
static bool check_together(Verify *v, const Stmt *s, const char *what) {
  static const char *const scope[] = {"block", "warp"};
  const Stage *st = v->stage;
  if (!st->threads) return FAULT(v, "loop-threads", "%s %s outside a block of threads", what, scope[s->scope]);
  if ((s->scope == LOOP_WARP || s->kind == STMT_REDUCE) && st->threads % LOOP_WARP_THREADS)
    return FAULT(v, "loop-threads", "%s %s in a block of %d threads: the last of its warps is not full", what,
                 scope[s->scope], st->threads);
  if (v->vec) return FAULT(v, "loop-vector", "%s %s inside a vector loop or under a lane mask", what, scope[s->scope]);
  return v->control <= s->scope ||
         FAULT(v, "loop-control", "%s %s under control that differs between the threads of a %s", what, scope[s->scope],
               scope[s->scope]);
}

static bool check_reduce(Verify *v, const Stmt *s) {
  const char *why = ex_why_not(v->k, s->op, (Ex[]){s->value, s->value}, 2);
  if (s->op != OP_ADD && s->op != OP_MAXIMUM && s->op != OP_MINIMUM)
    return FAULT(v, "loop-tree", "reduce by %s", OP_INFO[s->op].text);
  if (why) return FAULT(v, "loop-type", "%s", why);
  v->varies[s->ref] = (uint8_t)s->scope;
  return v->var[s->ref] = true;
}

/* Registers of a thread hold 32 bits; a multiprocessor has 65536 for the block, a thread at most 255. */
enum { THREAD_REGISTERS = 255, BLOCK_REGISTERS = 65536, THREAD_TEMPORARIES = 24 };

int loop_thread_registers(int threads) {
  int all = BLOCK_REGISTERS / threads;
  return (all > THREAD_REGISTERS ? THREAD_REGISTERS : all) - THREAD_TEMPORARIES;
}

static bool check_thread_registers(Verify *v, const LoopReg *r, int64_t elements) {
  int64_t size = (int64_t)dtype_size(r->dtype) / 4;
  int limit = loop_thread_registers(v->stage->threads);
  v->vregs += elements * r->lanes * (size ? size : 1);
  return v->vregs <= limit ||
         FAULT(v, "loop-registers", "%lld registers of a thread are live, %d fit a block of %d threads",
               (long long)v->vregs, limit, v->stage->threads);
}

/* ---- statements ---- */

static bool check_block(Verify *v, const Stmt *s);

static bool check_reg(Verify *v, const Stmt *s) {
  const LoopReg *r = &v->k->regs.at[s->ref];
  if (dtype_is_half(r->dtype)) return FAULT(v, "loop-half", "a register of %s: use f32", dtype_name(r->dtype));
  int64_t n = 1;
  for (int i = 0; i < r->rank; i++) {
    if (r->dim[i] < 1 || r->dim[i] > 256)
      return FAULT(v, "loop-rank", "a tile of %lld registers", (long long)r->dim[i]);
    n *= r->dim[i];
  }
  if (s->value && ex_at(v->k, s->value)->lanes != 1 && ex_at(v->k, s->value)->lanes != r->lanes)
    return FAULT(v, "loop-lanes", "%d lanes where %d are needed", ex_at(v->k, s->value)->lanes, r->lanes);
  if (v->stage->threads) {
    if (!check_thread_registers(v, r, n)) return false;
  } else if (r->lanes > 1) {
    int bytes = loop_vector_bytes(v->level), limit = vector_registers(v->level);
    v->vregs += n * ((r->lanes * (int)dtype_size(r->dtype) + bytes - 1) / bytes);
    if (v->count && v->vregs + 1 > limit)
      return FAULT(v, "loop-registers", "%lld vector registers are live, %d and one temporary fit %s",
                   (long long)v->vregs, limit - 1, v->level);
  }
  v->reg[s->ref] = v->vec;
  return true;
}

static bool check_assign(Verify *v, const Stmt *s) {
  const LoopReg *r = &v->k->regs.at[s->ref];
  const Expr *x = ex_at(v->k, s->value);
  if (!check_register_index(v, s->ref, s->index, s->nindex)) return false;
  if (x->dtype != r->dtype)
    return FAULT(v, "loop-type", "%s where %s is needed: convert", dtype_name(x->dtype), dtype_name(r->dtype));
  if (v->vec && !v->reg[s->ref] && r->lanes == 1)
    return FAULT(
        v, "loop-carried-scalar",
        "scalar register %s from outside is assigned in a vector loop: make it a vector and fold it after the loop",
        r->name);
  if (r->lanes == 1 && x->lanes > 1) return FAULT(v, "loop-lanes", "a vector assigned to a scalar register");
  if (x->lanes != 1 && x->lanes != r->lanes)
    return FAULT(v, "loop-lanes", "%d lanes where %d are needed", x->lanes, r->lanes);
  int mask = s->mask ? ex_at(v->k, s->mask)->lanes : 1;
  if (mask != 1 && mask != r->lanes) return FAULT(v, "loop-lanes", "a mask of %d lanes for %d", mask, r->lanes);
  return check_lanes(v, r->lanes);
}

static int place_lanes(const Kernel *k, const Stmt *s) {
  int w = 1;
  for (int i = 0; i < s->nindex; i++)
    if (ex_at(k, s->index[i])->lanes > w) w = ex_at(k, s->index[i])->lanes;
  return w;
}

static bool check_store(Verify *v, const Stmt *s) {
  const LoopBuf *b = &v->k->bufs.at[s->ref];
  const Expr *x = ex_at(v->k, s->value);
  if (!v->buf[s->ref]) return FAULT(v, "loop-scope", "buffer %s is used outside its stage", b->name);
  if (b->kind == BUF_IN) return FAULT(v, "loop-input-stored", "%s is an input: stored to", b->name);
  if (s->nindex != (b->list ? 2 : b->rank))
    return FAULT(v, "loop-rank", "%s has %d axes, %d indices given", b->name, b->list ? 2 : b->rank, s->nindex);
  if (x->dtype != b->dtype)
    return FAULT(v, "loop-type", "%s where %s is needed: convert", dtype_name(x->dtype), dtype_name(b->dtype));
  if (b->list && ex_at(v->k, s->index[0])->lanes > 1) return list_lanes(v, s->ref);
  int w = place_lanes(v->k, s);
  for (int i = 0; i < s->nindex; i++)
    if (ex_at(v->k, s->index[i])->lanes != 1 && ex_at(v->k, s->index[i])->lanes != w)
      return FAULT(v, "loop-lanes", "vectors of different lanes meet: %d and %d", ex_at(v->k, s->index[i])->lanes, w);
  if (w == 1 && (x->lanes > 1 || v->vec))
    return FAULT(v, "loop-scalar-address", "%s: a vector of lanes is stored at one address", b->name);
  if (x->lanes != 1 && x->lanes != w) return FAULT(v, "loop-lanes", "%d lanes stored at %d addresses", x->lanes, w);
  int mask = s->mask ? ex_at(v->k, s->mask)->lanes : 1;
  if (mask != 1 && mask != w) return FAULT(v, "loop-lanes", "a mask of %d lanes for %d", mask, w);
  return check_lanes(v, w);
}

typedef struct Body { /* what a loop's body does */
  const Kernel *k;
  bool vector, fails;
  bool *own, *assigned; /* registers */
} Body;

static void scan(Body *b, const Stmt *s) {
  for (; s; s = s->next) {
    b->vector |= s->kind == STMT_FOR && s->mode == FOR_VECTOR;
    b->fails |= s->kind == STMT_FAIL;
    if (s->kind == STMT_REG) b->own[s->ref] = true;
    if (s->kind == STMT_ASSIGN) b->assigned[s->ref] = true;
    scan(b, s->body);
    scan(b, s->other);
  }
}

static const char *const TAIL_NAME[] = {"", "mask", "peel", "overlap", "pad"};

static bool check_tail(Verify *v, const Stmt *s, const Body *b) {
  const Kernel *k = v->k;
  if (s->tail != TAIL_OVERLAP && s->tail != TAIL_PAD) return true;
  for (uint32_t i = 0; i < k->regs.n; i++)
    if (b->assigned[i] && !b->own[i])
      return FAULT(v, "loop-tail", "tail %s: register %s is carried round the loop", TAIL_NAME[s->tail],
                   k->regs.at[i].name);
  if (b->fails) return FAULT(v, "loop-tail", "tail %s: the body has an effect (fail)", TAIL_NAME[s->tail]);
  if (s->tail == TAIL_PAD) return true;
  bool *loads = mem_alloc(2 * k->bufs.n + 1), *stores = loads + k->bufs.n, ok = true;
  uses(k, s->body, loads, stores);
  for (uint32_t i = 0; ok && i < k->bufs.n; i++) {
    int with = k->bufs.at[i].inplace;
    if (stores[i] && (loads[i] || (with >= 0 && loads[with])))
      ok = FAULT(v, "loop-tail", "tail overlap: the body reads %s, which it stores",
                 k->bufs.at[loads[i] ? i : (uint32_t)with].name);
  }
  free(loads);
  return ok;
}

static bool check_vector(Verify *v, const Stmt *s) {
  if (s->width < 2 || s->width > LOOP_LANES || (s->width & (s->width - 1)) || s->step != 1)
    return FAULT(v, "loop-vector", "the width of a vector loop is a power of two, 2 to %d, its step 1", LOOP_LANES);
  Body b = {.k = v->k, .own = mem_alloc(2 * v->k->regs.n + 1)};
  b.assigned = b.own + v->k->regs.n;
  scan(&b, s->body);
  bool ok = !v->vec && !b.vector ? check_tail(v, s, &b) : FAULT(v, "loop-vector", "a vector loop inside a vector loop");
  free(b.own);
  return ok;
}

static bool check_for(Verify *v, const Stmt *s) {
  const char *name = v->k->vars.at[s->ref].name;
  if (s->mode == FOR_THREAD && !v->stage->threads)
    return FAULT(v, "loop-threads", "loop %s over threads outside a block of threads", name);
  if (s->mode == FOR_THREAD && s->step > INT32_MAX)
    return FAULT(v, "loop-bounds", "the step of loop %s is too large", name);
  if (s->step < 1) return FAULT(v, "loop-bounds", "the step of loop %s is a positive constant", name);
  if (s->mode == FOR_UNROLL && (!loop_constant(v->k, s->lo) || !loop_constant(v->k, s->hi)))
    return FAULT(v, "loop-unroll", "unrolled loop %s has no constant bounds", name);
  int64_t lo, hi;
  if (s->mode == FOR_UNROLL && ex_is_int(v->k, s->lo, &lo) && ex_is_int(v->k, s->hi, &hi) && hi > lo &&
      (uint64_t)hi - (uint64_t)lo > 4096)
    return FAULT(v, "loop-unroll", "unrolled loop %s has more than 4096 turns", name);
  if (s->mode == FOR_VECTOR && !check_vector(v, s)) return false;
  int outer = v->vec;
  LoopScope control = v->control;
  LoopScope own = s->mode == FOR_THREAD ? LOOP_THREAD : wider(varies(v, s->lo), varies(v, s->hi));
  if (s->mode == FOR_VECTOR) v->vec = s->width;
  v->control = wider(control, own);
  v->varies[s->ref] = (uint8_t)own;
  v->var[s->ref] = true;
  bool ok = check_block(v, s->body);
  v->var[s->ref] = false;
  v->vec = outer;
  v->control = control;
  return ok;
}

static bool check_if(Verify *v, const Stmt *s) {
  const Expr *c = ex_at(v->k, s->value);
  if (c->dtype != DT_BOOL) return FAULT(v, "loop-type", "%s where bool is needed: compare", dtype_name(c->dtype));
  int outer = v->vec;
  if (c->lanes > 1) { /* both arms under complementary masks */
    Body b = {.k = v->k, .own = mem_alloc(2 * v->k->regs.n + 1)};
    b.assigned = b.own + v->k->regs.n;
    scan(&b, s->body);
    scan(&b, s->other);
    free(b.own);
    if (b.vector) return FAULT(v, "loop-vector", "a vector loop under a lane mask");
    if (v->vec && v->vec != c->lanes) return FAULT(v, "loop-lanes", "a mask of other lanes than the vector loop");
    v->vec = c->lanes;
  }
  LoopScope control = v->control;
  v->control = wider(control, varies(v, s->value));
  bool ok = check_block(v, s->body) && check_block(v, s->other);
  v->control = control;
  v->vec = outer;
  return ok;
}

static bool check_stmt(Verify *v, const Stmt *s) {
  const Kernel *k = v->k;
  v->stmt = s;
  v->turn++;
  if (!each_root(s, check_ex, v)) return false;
  switch (s->kind) {
  case STMT_LET: v->varies[s->ref] = (uint8_t)varies(v, s->value); return v->var[s->ref] = true;
  case STMT_BARRIER: return check_together(v, s, "barrier");
  case STMT_REDUCE: return check_together(v, s, "reduce") && check_reduce(v, s);
  case STMT_REG: return check_reg(v, s);
  case STMT_ALLOC: {
    const LoopBuf *b = &k->bufs.at[s->ref];
    if (v->depth > 1)
      return FAULT(v, "loop-alloc",
                   "alloc %s inside a loop or branch: its size must be known at the start of the stage", b->name);
    if (b->kind == BUF_SHARED && !v->stage->threads)
      return FAULT(v, "loop-threads", "%s is shared by a block of threads, and the stage has none", b->name);
    return v->buf[s->ref] = true;
  }
  case STMT_ASSIGN: return check_assign(v, s);
  case STMT_STORE: return check_store(v, s);
  case STMT_FOR: return check_for(v, s);
  case STMT_IF: return check_if(v, s);
  case STMT_FAIL:
    if (s->code < 1) return FAULT(v, "loop-constant", "the code of fail is 1 or more");
    return ex_at(k, s->value)->dtype == DT_BOOL ||
           FAULT(v, "loop-type", "%s where bool is needed: compare", dtype_name(ex_at(k, s->value)->dtype));
  case STMT_PREFETCH: return true;
  }
  return FAULT(v, "loop-tree", "statement of kind %d", s->kind);
}

static bool check_block(Verify *v, const Stmt *s) {
  const Stmt *first = s;
  int64_t vregs = v->vregs;
  bool ok = true;
  v->depth++;
  for (; ok && s; s = s->next) ok = check_stmt(v, s);
  v->depth--;
  v->vregs = vregs;
  for (s = first; s; s = s->next) { /* out of scope */
    if (s->kind == STMT_LET || s->kind == STMT_REDUCE) v->var[s->ref] = false;
    if (s->kind == STMT_REG) v->reg[s->ref] = -1;
    if (s->kind == STMT_ALLOC) v->buf[s->ref] = false;
  }
  return ok;
}

/* ---- kernels ---- */

static bool check_sym(Verify *v, Sym s, const char *what) {
  SymNames names = {0};
  if (sym_overflowed(v->m->ctx->syms, s)) return FAULT(v, "loop-sym", "%s does not fit in 64 bits", what);
  sym_names(v->m->ctx->syms, s, v->m->ctx->arena, &names);
  for (uint32_t i = 0; i < names.n; i++) {
    bool known = false;
    for (uint32_t d = 0; d < v->k->dims.n; d++) known |= !strcmp(v->k->dims.at[d].name, names.at[i]);
    if (!known) return FAULT(v, "loop-name", "%s names %s, which is no dimension of %s", what, names.at[i], v->k->name);
  }
  return true;
}

static bool check_buffer(Verify *v, const LoopBuf *b) {
  for (int i = 0; i < b->rank && !b->list; i++)
    if (!check_sym(v, b->dim[i], b->name) || (b->layout == LAYOUT_STRIDES && !check_sym(v, b->stride[i], b->name)))
      return false;
  if (b->layout == LAYOUT_PANEL && (b->panel_axis < 0 || b->panel_axis >= b->rank || b->width < 1))
    return FAULT(v, "loop-layout", "the panels of %s do not fit its axes", b->name);
  if (b->layout == LAYOUT_SWIZZLE) {
    int64_t last = 0;
    if (b->kind != BUF_SHARED || b->rank < 2 || !sym_is_int(v->m->ctx->syms, b->dim[b->rank - 1], &last) ||
        b->width < 1 || last % b->width || last < b->width || (last / b->width & (last / b->width - 1)))
      return FAULT(v, "loop-layout", "swizzle(%d) of %s: it is of shared memory whose rows are 1, 2, 4, .. such chunks",
                   b->width, b->name);
  }
  if (b->inplace >= v->k->nparams) return FAULT(v, "loop-tree", "%s is in place of no parameter", b->name);
  if (b->buffers && b->layout != LAYOUT_ROWS && b->layout != LAYOUT_SWIZZLE)
    return FAULT(v, "loop-layout", "rolling rows of %s with another layout than rows", b->name);
  return (!b->align || check_sym(v, b->align, b->name)) && (!b->buffers || check_sym(v, b->buffers, b->name));
}

static bool check_stage(Verify *v, const Stage *s) {
  const Kernel *k = v->k;
  v->stage = s;
  v->stmt = NULL;
  memset(v->var, 0, k->vars.n);
  for (uint32_t i = 0; i < k->regs.n; i++) v->reg[i] = -1;
  for (uint32_t i = 0; i < k->bufs.n; i++) v->buf[i] = (int)i < k->nparams;
  for (uint32_t i = 0; i < k->dims.n; i++) v->var[i] = true;
  if (!s->naxes) return FAULT(v, "loop-rank", "a stage has at least one axis: (t < 1) is one task");
  for (int i = 0; i < s->naxes; i++) {
    v->var[s->axis[i]] = true;
    if (!s->segmented && !check_sym(v, s->extent[i], "an axis")) return false;
  }
  if (s->threads > LOOP_BLOCK_THREADS)
    return FAULT(v, "loop-threads", "a block has 1 to %d threads", LOOP_BLOCK_THREADS);
  v->control = LOOP_BLOCK;
  for (uint32_t i = 0; i < k->vars.n; i++) v->varies[i] = (uint8_t)k->vars.at[i].scope;
  for (int i = 0; i < s->nthread; i++) v->var[s->thread[i]] = true;
  if (s->threads) v->var[s->tid] = v->var[s->warp] = v->var[s->lane_id] = true;
  if (s->segmented && (!k->bufs.at[s->segment_buf].list || s->chunk < 1))
    return FAULT(v, "loop-segment", "segments are of a list of tensors");
  return check_block(v, s->body);
}

/* ---- plans ---- */

static bool plan_fault(const LoopModule *m, const Plan *p, int line, const char *id, const char *text) {
  Loc loc = loop_place(m, line ? line : p->line);
  return loc ? diag_error(m->ctx->diag, id, loc, "%s", text)
             : diag_error(m->ctx->diag, id, 0, "plan %s: %s", p->name, text);
}
#define PLAN_FAULT(id, ...) plan_fault(m, p, s->line, id, arena_printf(m->ctx->arena, __VA_ARGS__))

static bool check_view(const LoopModule *m, const Plan *p, const Step *s, const View *v) {
  if (v->nlist) {
    for (int i = 0; i < v->nlist; i++)
      if (v->list[i].nlist)
        return PLAN_FAULT("loop-list", "a list of lists");
      else if (!check_view(m, p, s, &v->list[i]))
        return false;
    return true;
  }
  if (v->buf < 0 || v->buf >= (int)p->bufs.n) return PLAN_FAULT("loop-tree", "buffer %d does not exist", v->buf);
  const LoopBuf *b = &p->bufs.at[v->buf];
  if (v->nindex > b->rank || (v->nindex && b->list))
    return PLAN_FAULT("loop-rank", "%s has %d axes, %d indices given", b->name, b->list ? 0 : b->rank, v->nindex);
  if (v->nindex && (b->layout != LAYOUT_ROWS || b->buffers))
    return PLAN_FAULT("loop-layout", "a part of %s, which has a layout", b->name);
  return true;
}

static bool check_launch(const LoopModule *m, const Plan *p, const Step *s) {
  if (s->kernel < 0 || s->kernel >= (int)m->kernels.n)
    return PLAN_FAULT("loop-tree", "kernel %d does not exist", s->kernel);
  const Kernel *k = m->kernels.at[s->kernel];
  if (s->stage < 0 || s->stage >= (int)k->stages.n || s->ndims != (int)k->dims.n || s->nviews != k->nparams)
    return PLAN_FAULT("loop-tree", "a launch of %s does not fit its header", k->name);
  const Stage *st = k->stages.at[s->stage];
  bool *loads = ARENA_ARRAY(m->ctx->arena, bool, 2 * k->bufs.n + 1), *stores = loads + k->bufs.n;
  loop_uses(k, st, loads, stores);
  if (s->serial && st->threads)
    return PLAN_FAULT("loop-threads", "%s.%s: the tasks of a stage with threads run at once, not serial", k->name,
                      st->name);
  for (int i = 0; i < s->ndims; i++)
    if (!s->dims[i]) return PLAN_FAULT("loop-name", "%s: dimension %s is missing", k->name, k->dims.at[i].name);
  for (int i = 0; i < k->nparams; i++) {
    const View *v = &s->views[i];
    const LoopBuf *want = &k->bufs.at[i];
    if (v->buf < 0 && !v->nlist) {
      if (loads[i] || stores[i])
        return PLAN_FAULT("loop-argument", "%s.%s: argument %s is missing", k->name, st->name, want->name);
      continue;
    }
    if (!check_view(m, p, s, v)) return false;
    for (int j = 0; j < (v->nlist ? v->nlist : 1); j++) {
      const LoopBuf *b = &p->bufs.at[v->nlist ? v->list[j].buf : v->buf];
      if (b->dtype != want->dtype)
        return PLAN_FAULT("loop-type", "%s: %s is %s, needs %s", k->name, want->name, dtype_name(b->dtype),
                          dtype_name(want->dtype));
      if ((b->list || v->nlist) != want->list || (b->list && v->nlist))
        return PLAN_FAULT("loop-list", "%s: %s is %s", k->name, want->name,
                          want->list ? "a list of tensors" : "no list");
      if (stores[i] && b->kind == BUF_IN)
        return PLAN_FAULT("loop-input-stored", "%s is an input: stored to by %s.%s", b->name, k->name, st->name);
    }
  }
  return true;
}

static bool check_plan(const LoopModule *m, const Plan *p) {
  for (const Step *s = p->steps; s; s = s->next) switch (s->kind) {
    case STEP_BARRIER: break;
    case STEP_LAUNCH:
      if (!check_launch(m, p, s)) return false;
      break;
    case STEP_COPY:
      if (s->nviews != 2 || !check_view(m, p, s, &s->views[0]) || !check_view(m, p, s, &s->views[1]))
        return s->nviews == 2 ? false : PLAN_FAULT("loop-tree", "a copy takes two views");
      if (s->views[0].nlist || s->views[1].nlist || p->bufs.at[s->views[0].buf].list ||
          p->bufs.at[s->views[1].buf].list)
        return PLAN_FAULT("loop-list", "copy of a list");
      if (p->bufs.at[s->views[0].buf].dtype != p->bufs.at[s->views[1].buf].dtype)
        return PLAN_FAULT("loop-type", "copy between different types");
      if (p->bufs.at[s->views[0].buf].kind == BUF_IN)
        return PLAN_FAULT("loop-input-stored", "%s is an input: stored to by a copy", p->bufs.at[s->views[0].buf].name);
      break;
    case STEP_CALL:
    case STEP_LOOP:
    case STEP_LOOP_UNTIL:
    case STEP_BRANCH:
      return PLAN_FAULT("loop-later",
                        "loops, branches and calls of a plan come with the order for control flow at run time");
    }
  return true;
}

/* A stage counts on a level if some plan launches it there: entries say on which levels a plan runs; the others run on
 * all. */
static bool runs_on(const LoopModule *m, const Kernel *k, int stage, const char *level) {
  bool launched = false;
  for (uint32_t i = 0; i < m->plans.n; i++) {
    const Plan *p = m->plans.at[i];
    bool launches = false, named = false, here = false;
    for (const Step *s = p->steps; s; s = s->next)
      launches |= s->kind == STEP_LAUNCH && m->kernels.at[s->kernel] == k && s->stage == stage;
    if (!launches) continue;
    launched = true;
    for (uint32_t e = 0; e < m->entries.n; e++)
      for (uint32_t j = 0; j < m->entries.at[e]->variants.n; j++) {
        const PlanVariant *v = &m->entries.at[e]->variants.at[j];
        if (strcmp(v->plan, p->name)) continue;
        named = true;
        here |= !v->level || !strcmp(v->level, level);
      }
    if (!named || here) return true;
  }
  return !launched;
}

bool loop_verify(const LoopModule *m, const char *level) {
  for (uint32_t i = 0; i < m->plans.n; i++)
    if (!check_plan(m, m->plans.at[i])) return false;
  for (uint32_t e = 0; e < m->entries.n; e++) {
    const PlanEntry *x = m->entries.at[e];
    if (!x->variants.n || vec_last(&x->variants).when)
      return diag_error(m->ctx->diag, "loop-variant", loop_place(m, x->line),
                        "the last variant of entry %s has a guard: no variant may fit", x->name);
    for (uint32_t j = 0; j < x->variants.n; j++)
      if (!loop_module_plan(m, x->variants.at[j].plan, NULL))
        return diag_error(m->ctx->diag, "loop-name", loop_place(m, x->line), "no plan %s", x->variants.at[j].plan);
  }
  for (uint32_t i = 0; i < m->kernels.n; i++) {
    const Kernel *k = m->kernels.at[i];
    Arena *a = arena_new();
    Verify v = {.m = m, .k = k, .level = level};
    v.var = ARENA_ARRAY(a, bool, k->vars.n + 1);
    v.buf = ARENA_ARRAY(a, bool, k->bufs.n + 1);
    v.reg = ARENA_ARRAY(a, int, k->regs.n + 1);
    v.seen = ARENA_ARRAY(a, uint32_t, k->ex.n + 1);
    v.varies = ARENA_ARRAY(a, uint8_t, k->vars.n + 1);
    v.ex_varies = ARENA_ARRAY(a, uint8_t, k->ex.n + 1);
    bool ok = true;
    for (uint32_t b = 0; ok && b < k->bufs.n; b++) ok = check_buffer(&v, &k->bufs.at[b]);
    for (uint32_t f = 0; ok && f < k->facts.n; f++) ok = check_sym(&v, k->facts.at[f], "a fact");
    for (uint32_t s = 0; ok && s < k->stages.n; s++) {
      v.count = runs_on(m, k, (int)s, level);
      ok = check_stage(&v, k->stages.at[s]);
    }
    arena_free(a);
    if (!ok) return false;
  }
  return true;
}
