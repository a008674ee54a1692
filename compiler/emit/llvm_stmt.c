/* Statements and stages. Registers are SSA values with phis where control meets; there is no memory but `alloc`. */
#include "abi.h"
#include "llvm_gen.h"
#include <string.h>

static void emit_block(Gen *, const Stmt *);

LLVMBasicBlockRef gen_block(Gen *g, const char *name) { return LLVMAppendBasicBlockInContext(g->cx, g->fn, name); }
static LLVMBasicBlockRef here(Gen *g) { return LLVMGetInsertBlock(g->b); }

/* ---- registers ---- */
static int reg_count(const LoopReg *r) { return (int)((r->rank > 0 ? r->dim[0] : 1) * (r->rank > 1 ? r->dim[1] : 1)); }

/* Marks registers that a block assigns; those it declares itself need no phi. */
static void assigned(Gen *g, const Stmt *s, bool *set) {
  for (; s; s = s->next) {
    if (s->kind == STMT_ASSIGN) set[s->ref] = true;
    assigned(g, s->body, set);
    assigned(g, s->other, set);
  }
}
static void declared(Gen *g, const Stmt *s, bool *set) {
  for (; s; s = s->next) {
    if (s->kind == STMT_REG) set[s->ref] = false;
    declared(g, s->body, set);
    declared(g, s->other, set);
  }
}

typedef struct Carried { /* elements of registers that a piece of code may change */
  int n;
  int *at; /* in g->reg */
  LLVMValueRef *before, *phi;
} Carried;

static Carried carried(Gen *g, const Stmt *a, const Stmt *b) {
  uint32_t nr = g->k->regs.n;
  bool *set = ARENA_ARRAY(g->arena, bool, nr + 1);
  Carried c = {0};
  assigned(g, a, set);
  assigned(g, b, set);
  declared(g, a, set);
  declared(g, b, set);
  for (uint32_t r = 0; r < nr; r++)
    if (set[r]) c.n += reg_count(&g->k->regs.at[r]);
  c.at = ARENA_ARRAY(g->arena, int, c.n + 1);
  c.before = ARENA_ARRAY(g->arena, LLVMValueRef, c.n + 1);
  c.phi = ARENA_ARRAY(g->arena, LLVMValueRef, c.n + 1);
  c.n = 0;
  for (uint32_t r = 0; r < nr; r++)
    for (int i = 0; set[r] && i < reg_count(&g->k->regs.at[r]); i++) {
      c.at[c.n] = (int)g->reg_at[r] + i;
      c.before[c.n] = g->reg[c.at[c.n]];
      c.n++;
    }
  return c;
}

static void phis_begin(Gen *g, Carried *c, LLVMBasicBlockRef from) {
  for (int i = 0; i < c->n; i++) {
    c->before[i] = g->reg[c->at[i]];
    c->phi[i] = LLVMBuildPhi(g->b, LLVMTypeOf(c->before[i]), "");
    LLVMAddIncoming(c->phi[i], &c->before[i], &from, 1);
    g->reg[c->at[i]] = c->phi[i];
  }
}
static void phis_add(Gen *g, Carried *c, LLVMBasicBlockRef from) {
  for (int i = 0; i < c->n; i++) LLVMAddIncoming(c->phi[i], &g->reg[c->at[i]], &from, 1);
}
/* At a block that two others reach: the values are a's, coming from `ab`, or what the registers hold, from `bb`. */
static void phis_join(Gen *g, Carried *c, LLVMValueRef *a, LLVMBasicBlockRef ab, LLVMBasicBlockRef bb) {
  for (int i = 0; i < c->n; i++) {
    LLVMValueRef b = g->reg[c->at[i]];
    if (a[i] == b) continue;
    LLVMValueRef p = LLVMBuildPhi(g->b, LLVMTypeOf(b), "");
    LLVMAddIncoming(p, &a[i], &ab, 1);
    LLVMAddIncoming(p, &b, &bb, 1);
    g->reg[c->at[i]] = p;
  }
}
static LLVMValueRef *reg_values(Gen *g, const Carried *c) {
  LLVMValueRef *v = ARENA_ARRAY(g->arena, LLVMValueRef, c->n + 1);
  for (int i = 0; i < c->n; i++) v[i] = g->reg[c->at[i]];
  return v;
}
static void reg_restore(Gen *g, const Carried *c, LLVMValueRef *v) {
  for (int i = 0; i < c->n; i++) g->reg[c->at[i]] = v[i];
}

/* ---- variables ---- */
static void bind_index(Gen *g, uint32_t var, const Poly *p) {
  if (!g->var[var]) g->var[var] = ARENA_NEW(g->arena, Bind);
  *g->var[var] = (Bind){.index = true, .p = *p};
}
static void bind_value(Gen *g, uint32_t var, LLVMValueRef v) {
  if (!g->var[var]) g->var[var] = ARENA_NEW(g->arena, Bind);
  *g->var[var] = (Bind){.v = v};
}

/* ---- branches ---- */
/* if (cond) body, as a real branch; cond is an i1. */
static void emit_branch(Gen *g, LLVMValueRef cond, const Stmt *then, const Stmt *other, LLVMValueRef then_mask,
                        LLVMValueRef other_mask) {
  if (LLVMIsConstant(cond)) {
    LLVMValueRef old = g->mask;
    bool taken = !LLVMIsNull(cond);
    g->mask = taken ? then_mask : other_mask;
    emit_block(g, taken ? then : other);
    g->mask = old;
    return;
  }
  Carried c = carried(g, then, other);
  LLVMValueRef old = g->mask, *before = reg_values(g, &c);
  LLVMBasicBlockRef from = here(g), tb = gen_block(g, "then"), ob = other ? gen_block(g, "else") : NULL,
                    end = gen_block(g, "end");
  LLVMBuildCondBr(g->b, cond, tb, other ? ob : end);
  LLVMPositionBuilderAtEnd(g->b, tb);
  scope_push(g, false, NULL);
  g->mask = then_mask;
  emit_block(g, then);
  scope_pop(g);
  LLVMBasicBlockRef tend = here(g), oend = from;
  LLVMBuildBr(g->b, end);
  LLVMValueRef *after = reg_values(g, &c);
  reg_restore(g, &c, before);
  if (other) {
    LLVMPositionBuilderAtEnd(g->b, ob);
    scope_push(g, false, NULL);
    g->mask = other_mask;
    emit_block(g, other);
    scope_pop(g);
    oend = here(g);
    LLVMBuildBr(g->b, end);
  }
  g->mask = old;
  LLVMPositionBuilderAtEnd(g->b, end);
  phis_join(g, &c, after, tend, oend);
}

/* Whether an arm under a mask may only run when a lane is active: it has effects or reads that are not of its lanes. */
static bool reads_scalar(Gen *g, Ex e) {
  if (!e) return false;
  if (g->ex_reads[e]) return g->ex_reads[e] == 2;
  const Expr *x = ex_at(g->k, e);
  bool reads = (x->op == OP_LOAD && x->lanes == 1) || reads_scalar(g, x->mask) || reads_scalar(g, x->other);
  for (int i = 0; i < x->nin && !reads; i++) reads = reads_scalar(g, g->k->arg.at[x->in + (uint32_t)i]);
  g->ex_reads[e] = reads ? 2 : 1;
  return reads;
}

static bool needs_lane(Gen *g, const Stmt *s) {
  for (; s; s = s->next) {
    if (s->kind == STMT_FOR || s->kind == STMT_FAIL) return true;
    if (s->kind == STMT_STORE && ex_at(g->k, s->value)->lanes == 1) return true;
    if (reads_scalar(g, s->value) || reads_scalar(g, s->mask) || needs_lane(g, s->body) || needs_lane(g, s->other))
      return true;
    for (int i = 0; i < s->nindex; i++)
      if (reads_scalar(g, s->index[i])) return true;
  }
  return false;
}

static void emit_masked(Gen *g, LLVMValueRef mask, const Stmt *body) {
  if (!body || LLVMIsNull(mask)) return;
  if (needs_lane(g, body)) {
    emit_branch(g, gen_any(g, mask), body, NULL, mask, NULL);
    return;
  }
  LLVMValueRef old = g->mask;
  g->mask = mask;
  emit_block(g, body);
  g->mask = old;
}

static void emit_if(Gen *g, const Stmt *s) {
  int lanes = ex_at(g->k, s->value)->lanes;
  LLVMValueRef c = gen_value(g, s->value);
  if (lanes == 1) {
    emit_branch(g, c, s->body, s->other, g->mask, g->mask);
    return;
  }
  LLVMValueRef old = g->mask, no = s->other ? gen_and(g, old, LLVMBuildNot(g->b, c, "")) : NULL;
  LLVMValueRef yes = c == LLVMConstAllOnes(LLVMTypeOf(c)) ? old : gen_and(g, old, c);
  if (yes)
    emit_masked(g, yes, s->body);
  else
    emit_block(g, s->body);
  if (no) emit_masked(g, no, s->other);
}

/* ---- loops ---- */
/* for (i = lo; i < hi; i += step), body first: the guard stands in the block before, which is also where invariants go.
 */
typedef struct Loop {
  LLVMBasicBlockRef pre, head, exit;
  LLVMValueRef i;
  Poly hi;
  int64_t step;
  bool guarded;
  Carried c;
  LLVMValueRef *before;
} Loop;

static Atom loop_begin(Gen *g, Loop *l, const Stmt *body, const Poly *lo, const Poly *hi, int64_t step,
                       const char *name) {
  int64_t llo, lhi, hlo, hhi, dlo, dhi, c;
  Poly d = poly_add(g, hi, lo, -1);
  poly_range(g, &d, &dlo, &dhi);
  poly_range(g, lo, &llo, &lhi);
  poly_range(g, hi, &hlo, &hhi);
  l->hi = *hi;
  l->step = step;
  l->guarded = dlo < 1;
  l->c = carried(g, body, NULL);
  LLVMValueRef first = poly_scalar(g, lo), end = poly_scalar(g, hi);
  l->pre = here(g);
  l->head = gen_block(g, name);
  l->exit = LLVMCreateBasicBlockInContext(
      g->cx, "done"); /* appended at the end of the loop: blocks stand in order of emission */
  l->before = reg_values(g, &l->c);
  if (l->guarded)
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, first, end, ""), l->head, l->exit);
  else
    LLVMBuildBr(g->b, l->head);
  LLVMPositionBuilderAtEnd(g->b, l->head);
  l->i = LLVMBuildPhi(g->b, g->t_i64, name);
  LLVMAddIncoming(l->i, &first, &l->pre, 1);
  phis_begin(g, &l->c, l->pre);
  scope_push(g, true, l->pre);
  return atom_new(g, l->i, gen_depth(g), llo, hhi == INT64_MAX ? hhi : hhi - 1,
                  poly_is_int(lo, &c) && c % step == 0 ? step : 1);
}

static void loop_finish(Gen *g, Loop *l) {
  LLVMValueRef next = LLVMBuildNSWAdd(g->b, l->i, LLVMConstInt(g->t_i64, (uint64_t)l->step, 0), "");
  LLVMValueRef more = LLVMBuildICmp(g->b, LLVMIntSLT, next, poly_scalar(g, &l->hi), "");
  LLVMBasicBlockRef latch = here(g);
  LLVMBuildCondBr(g->b, more, l->head, l->exit);
  LLVMAddIncoming(l->i, &next, &latch, 1);
  phis_add(g, &l->c, latch);
  scope_pop(g);
  LLVMAppendExistingBasicBlock(g->fn, l->exit);
  LLVMPositionBuilderAtEnd(g->b, l->exit);
  if (l->guarded) phis_join(g, &l->c, l->before, l->pre, latch);
}

static void emit_serial(Gen *g, const Stmt *s) {
  Poly lo = poly_ex(g, s->lo), hi = poly_ex(g, s->hi), d = poly_add(g, &hi, &lo, -1);
  int64_t n, dlo, dhi;
  poly_range(g, &d, &dlo, &dhi);
  if (dhi <= 0) return;
  if (s->mode == FOR_UNROLL || (poly_is_int(&d, &n) && n <= s->step)) {
    int64_t a = 0;
    if (s->mode == FOR_UNROLL && (!poly_is_int(&lo, &a) || !poly_is_int(&d, &n)))
      BUG("%s: an unrolled loop without constant bounds", g->k->name);
    if (n / s->step > 4096) {
      gen_refuse(g, "kernel %s: a loop of %lld turns is to be unrolled; at most 4096 are", g->k->name,
                 (long long)(n / s->step));
      return;
    }
    bool crowded = const_crowded(g, s, n / s->step);
    for (int64_t i = 0; i < n; i += s->step) {
      Poly step = poly_int(i), p = poly_add(g, &lo, &step, 1);
      bind_index(g, s->ref, &p);
      g->turn++;
      if (crowded && i) const_turn(g);
      emit_block(g, s->body);
    }
    if (s->mode != FOR_UNROLL) const_apart(g);
    return;
  }
  Loop l;
  Poly p = poly_of_atom(loop_begin(g, &l, s->body, &lo, &hi, s->step, g->k->vars.at[s->ref].name));
  bind_index(g, s->ref, &p);
  emit_block(g, s->body);
  loop_finish(g, &l);
}

static void bind_lanes(Gen *g, const Stmt *s, const Poly *base) {
  Poly p = *base;
  p.lanes = s->width;
  p.t[p.n++] = (Term){.c = 1, .lane = true};
  if (p.n == POLY_TERMS) BUG("%s: bounds of a vector loop of too many terms", g->k->name);
  bind_index(g, s->ref, &p);
}

/* The last lanes: base + lane < hi. */
static void emit_tail(Gen *g, const Stmt *s, const Poly *base, const Poly *hi) {
  bind_lanes(g, s, base);
  Poly at = g->var[s->ref]->p;
  LLVMValueRef m = poly_compare(g, OP_LESS, &at, hi, s->width);
  emit_masked(g, gen_and(g, g->mask, m), s->body);
}

static void emit_vector(Gen *g, const Stmt *s) {
  int64_t w = s->width, dlo, dhi, n;
  Poly lo = poly_ex(g, s->lo), hi = poly_ex(g, s->hi), d = poly_add(g, &hi, &lo, -1), wide = poly_int(w),
       zero = poly_int(0), up = poly_int(w - 1);
  poly_range(g, &d, &dlo, &dhi);
  if (dhi <= 0) return;
  bool exact = poly_divisible(g, &d, w) || s->tail == TAIL_NONE;
  if (dlo < 0) d = poly_extreme(g, true, &d, &zero);
  Poly full = d; /* elements in whole vectors */
  if (!exact) {
    if (s->tail == TAIL_PAD) full = poly_add(g, &full, &up, 1);
    full = poly_divide(g, false, &full, &wide);
    full = poly_mul(g, &full, &wide);
  }
  poly_range(g, &full, &dlo, &dhi);
  if (poly_is_int(&full, &n) && n == w) {
    bind_lanes(g, s, &lo);
    emit_block(g, s->body);
  } else if (dhi > 0) {
    Loop l;
    Poly at = poly_of_atom(loop_begin(g, &l, s->body, &zero, &full, w, g->k->vars.at[s->ref].name)),
         base = poly_add(g, &lo, &at, 1);
    bind_lanes(g, s, &base);
    emit_block(g, s->body);
    loop_finish(g, &l);
  }
  if (poly_is_int(&full, &n) && n <= w) const_apart(g);
  if (exact || s->tail == TAIL_PAD) return;
  Poly start = poly_add(g, &lo, &full, 1), rest = poly_add(g, &d, &full, -1);
  int64_t rlo, rhi;
  poly_range(g, &rest, &rlo, &rhi);
  if (poly_is_int(&rest, &n) && n <= 0) return;
  if (s->tail == TAIL_OVERLAP && dlo >= w) { /* at least one whole vector: the last w again */
    Poly last = poly_add(g, &hi, &wide, -1);
    bind_lanes(g, s, &last);
    emit_block(g, s->body);
    return;
  }
  if (poly_is_int(&rest, &n)) {
    emit_tail(g, s, &start, &hi);
    const_apart(g);
    return;
  }
  /* one branch around the tail; with overlap a second form for less than one vector */
  Carried c = carried(g, s->body, NULL);
  LLVMValueRef *before = reg_values(g, &c), r = poly_scalar(g, &rest);
  LLVMBasicBlockRef from = here(g), tail = gen_block(g, "tail"), end = gen_block(g, "end");
  LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, r, LLVMConstNull(g->t_i64), ""), tail, end);
  LLVMPositionBuilderAtEnd(g->b, tail);
  scope_push(g, false, NULL);
  if (s->tail == TAIL_OVERLAP) {
    LLVMBasicBlockRef again = gen_block(g, "again"), few = gen_block(g, "few");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, poly_scalar(g, &full), LLVMConstNull(g->t_i64), ""), again,
                    few);
    LLVMPositionBuilderAtEnd(g->b, again);
    scope_push(g, false, NULL);
    Poly last = poly_add(g, &hi, &wide, -1);
    bind_lanes(g, s, &last);
    emit_block(g, s->body);
    scope_pop(g);
    LLVMBuildBr(g->b, end);
    LLVMPositionBuilderAtEnd(g->b, few); /* no register is carried under overlap: the verifier refuses it */
  }
  emit_tail(g, s, &start, &hi);
  scope_pop(g);
  LLVMBasicBlockRef tend = here(g);
  LLVMBuildBr(g->b, end);
  LLVMValueRef *after = reg_values(g, &c);
  reg_restore(g, &c, before);
  LLVMPositionBuilderAtEnd(g->b, end);
  phis_join(g, &c, after, tend, from);
}

/* ---- fail ---- */
/* The smallest (code, task) stays. No call: it would cost the vector registers of everything around it. */
static void emit_fail(Gen *g, const Stmt *s) {
  int lanes = ex_at(g->k, s->value)->lanes;
  LLVMBuilderRef b = g->b;
  LLVMValueRef c = gen_value(g, s->value), m = g->mask;
  if (lanes > 1)
    c = gen_any(g, gen_and(g, c, m));
  else if (m)
    c = LLVMBuildAnd(b, c, gen_any(g, m), "");
  if (LLVMIsConstant(c) && LLVMIsNull(c)) return;
  LLVMBasicBlockRef bad = gen_block(g, "fail"), end = gen_block(g, "passed");
  LLVMSetMetadata(LLVMBuildCondBr(b, c, bad, end), g->md_weights, g->md_unlikely);
  LLVMPositionBuilderAtEnd(b, bad);
  LLVMValueRef at = LLVMConstInt(g->t_i64, offsetof(SinterCall, fail), 0);
  LLVMValueRef base = LLVMBuildLoad2(b, g->t_ptr, LLVMBuildGEP2(b, g->t_i8, g->call, &at, 1, ""), "");
  LLVMValueRef mine =
      LLVMBuildMul(b, LLVMBuildSExt(b, g->tid, g->t_i64, ""), LLVMConstInt(g->t_i64, sizeof(SinterFail), 0), "");
  LLVMValueRef p = LLVMBuildGEP2(b, g->t_i8, base, &mine, 1, ""), code = LLVMConstInt(g->t_i64, (uint64_t)s->code, 1);
  LLVMValueRef ca = LLVMConstInt(g->t_i64, offsetof(SinterFail, code), 0),
               ta = LLVMConstInt(g->t_i64, offsetof(SinterFail, task), 0);
  LLVMValueRef cp = LLVMBuildGEP2(b, g->t_i8, p, &ca, 1, ""), tp = LLVMBuildGEP2(b, g->t_i8, p, &ta, 1, "");
  LLVMValueRef old = LLVMBuildLoad2(b, g->t_i64, cp, ""), t = LLVMBuildLoad2(b, g->t_i64, tp, "");
  LLVMValueRef none = LLVMBuildICmp(b, LLVMIntEQ, old, LLVMConstNull(g->t_i64), "");
  LLVMValueRef less = LLVMBuildICmp(b, LLVMIntSLT, code, old, ""), same = LLVMBuildICmp(b, LLVMIntEQ, code, old, "");
  same = LLVMBuildAnd(b, same, LLVMBuildICmp(b, LLVMIntSLT, g->task, t, ""), "");
  LLVMValueRef first = LLVMBuildOr(b, LLVMBuildOr(b, none, less, ""), same, "");
  LLVMBuildStore(b, LLVMBuildSelect(b, first, code, old, ""), cp);
  LLVMBuildStore(b, LLVMBuildSelect(b, first, g->task, t, ""), tp);
  LLVMBuildBr(b, end);
  LLVMPositionBuilderAtEnd(b, end);
}

/* ---- statements ---- */
static void emit_alloc(Gen *g, const Stmt *s) {
  LoopBuf b = g->k->bufs.at[s->ref];
  int64_t n = 1, lo, hi;
  if (b.kind != BUF_THREAD) {
    gen_refuse(g, "kernel %s: shared memory (%s) is for GPUs", g->k->name, b.name);
    return;
  }
  for (int i = 0; i < b.rank; i++) {
    Poly d = poly_sym(g, i == 0 && b.buffers ? b.buffers : b.dim[i]);
    poly_range(g, &d, &lo, &hi);
    if (b.layout == LAYOUT_PANEL && i == b.panel_axis && hi < (1 << 20)) hi = (hi + b.width - 1) / b.width * b.width;
    if (hi < 1) hi = 1;
    if (b.layout == LAYOUT_STRIDES) hi = INT64_MAX;
    if (hi > 4096 || (n *= hi) > 4096) n = 1 << 20;
  }
  n *= (int64_t)dtype_size(b.dtype);
  g->stack += (n + 63) / 64 * 64;
  if (g->stack > 3072) { /* of the 4 KB a kernel may use, the rest is for what registers do not hold */
    gen_refuse(g,
               "kernel %s: the scratch of a task (%s) is larger than the 3072 bytes a task may have; give it a buffer "
               "of the plan",
               g->k->name, b.name);
    return;
  }
  LLVMBasicBlockRef at = here(g);
  LLVMValueRef first = LLVMGetFirstInstruction(g->entry);
  if (first)
    LLVMPositionBuilderBefore(g->b, first);
  else
    LLVMPositionBuilderAtEnd(g->b, g->entry);
  LLVMValueRef p = LLVMBuildAlloca(g->b, LLVMArrayType2(g->t_i8, (uint64_t)n), b.name);
  LLVMSetAlignment(p, n >= 64 ? 64 : 16);
  LLVMPositionBuilderAtEnd(g->b, at);
  g->buf_atom[s->ref] = atom_new(g, p, 0, INT64_MIN, INT64_MAX, 1);
}

static void emit_stmt(Gen *g, const Stmt *s) {
  g->stamp++;
  switch (s->kind) {
  case STMT_LET: {
    const Expr *x = ex_at(g->k, s->value);
    if (x->dtype == DT_IDX) {
      Poly p = poly_ex(g, s->value);
      if (x->lanes > p.lanes) p.lanes = x->lanes;
      bind_index(g, s->ref, &p);
    } else
      bind_value(g, s->ref, gen_value(g, s->value));
    break;
  }
  case STMT_REG: {
    LoopReg *r = &g->k->regs.at[s->ref];
    LLVMTypeRef t = gen_type(g, r->dtype, r->lanes);
    LLVMValueRef v = s->value ? gen_value_lanes(g, s->value, r->lanes) : LLVMGetPoison(t);
    for (int i = 0; i < reg_count(r); i++) g->reg[g->reg_at[s->ref] + (uint32_t)i] = v;
    break;
  }
  case STMT_ASSIGN: {
    LoopReg *r = &g->k->regs.at[s->ref];
    int64_t at = 0, i;
    for (int k = 0; k < s->nindex; k++) {
      Poly p = poly_ex(g, s->index[k]);
      if (!poly_is_int(&p, &i) || i < 0 || i >= r->dim[k]) BUG("%s: index of register %s", g->k->name, r->name);
      at = at * r->dim[k] + i;
    }
    LLVMValueRef *reg = &g->reg[g->reg_at[s->ref] + (uint32_t)at];
    LLVMValueRef m = s->mask ? gen_value_lanes(g, s->mask, r->lanes) : NULL, v = gen_value_lanes(g, s->value, r->lanes);
    if (r->lanes > 1) m = gen_and(g, m, g->mask);
    *reg = m ? LLVMBuildSelect(g->b, m, v, *reg, "") : v;
    break;
  }
  case STMT_STORE: {
    int lanes = 1;
    for (int i = 0; i < s->nindex; i++)
      if (ex_at(g->k, s->index[i])->lanes > lanes) lanes = ex_at(g->k, s->index[i])->lanes;
    LLVMValueRef m = s->mask ? gen_value_lanes(g, s->mask, lanes) : NULL;
    if (lanes > 1) m = gen_and(g, m, g->mask);
    gen_store(g, s->ref, s->index, s->nindex, gen_value_lanes(g, s->value, lanes), lanes, m);
    break;
  }
  case STMT_ALLOC: emit_alloc(g, s); break;
  case STMT_IF: emit_if(g, s); break;
  case STMT_FAIL: emit_fail(g, s); break;
  case STMT_PREFETCH: {
    Poly o = gen_offset(g, s->ref, s->index, s->nindex);
    if (g->error) break;
    LLVMValueRef args[] = {gen_address(g, s->ref, &o), LLVMConstInt(g->t_i32, 0, 0), LLVMConstInt(g->t_i32, 3, 0),
                           LLVMConstInt(g->t_i32, 1, 0)};
    gen_call(g, "llvm.prefetch", &g->t_ptr, 1, args, 4);
    break;
  }
  case STMT_FOR:
    if (s->mode == FOR_THREAD)
      gen_refuse(g, "kernel %s: a loop over threads is for GPUs", g->k->name);
    else if (s->mode == FOR_VECTOR)
      emit_vector(g, s);
    else
      emit_serial(g, s);
    break;
  default: gen_refuse(g, "kernel %s: a statement for GPUs reached a processor's code", g->k->name);
  }
}

static void emit_block(Gen *g, const Stmt *s) {
  for (; s && !g->error; s = s->next) emit_stmt(g, s);
}

/* ---- stages ---- */
/* lo..hi number the tasks; the axes of the first are found by division, then counted up, the last axis fastest. */
LLVMValueRef gen_stage(Gen *g, const char *symbol) {
  Kernel *k = g->k;
  Stage *st = g->stage;
  LLVMBuilderRef b = g->b;
  LLVMTypeRef in[] = {g->t_ptr, g->t_i64, g->t_i64, g->t_i32};
  LLVMValueRef f = g->fn = LLVMAddFunction(g->mod, symbol, LLVMFunctionType(g->t_void, in, 4, 0));
  LLVMSetVisibility(f, LLVMHiddenVisibility);
  g->call = LLVMGetParam(f, 0);
  g->tid = LLVMGetParam(f, 3);
  LLVMValueRef lo = LLVMGetParam(f, 1), hi = LLVMGetParam(f, 2);
  LLVMSetValueName2(g->call, "call", 4);
  LLVMSetValueName2(lo, "lo", 2);
  LLVMSetValueName2(hi, "hi", 2);
  LLVMSetValueName2(g->tid, "tid", 3);
  if (st->segmented) gen_refuse(g, "kernel %s: segmented stages come with a later order", k->name);
  if (st->threads) gen_refuse(g, "kernel %s: blocks of threads are for GPUs", k->name);
  g->atom.n = g->known.n = 0;
  g->nscope = 0;
  g->mask = NULL;
  g->stack = 0;
  memset(g->known_slot, 0, sizeof g->known_slot);
  g->dim_atom = ARENA_ARRAY(g->arena, Atom, k->dims.n + 1);
  g->buf_atom = ARENA_ARRAY(g->arena, Atom, k->bufs.n + 1);
  g->shared_in = ARENA_ARRAY(g->arena, bool, k->bufs.n + 1);
  g->var = ARENA_ARRAY(g->arena, Bind *, k->vars.n + 1);
  g->reg_at = ARENA_ARRAY(g->arena, uint32_t, k->regs.n + 1);
  g->ex_value = ARENA_ARRAY(g->arena, LLVMValueRef, k->ex.n + 1);
  g->ex_stamp = ARENA_ARRAY(g->arena, uint32_t, k->ex.n + 1);
  g->ex_need = ARENA_ARRAY(g->arena, uint8_t, k->ex.n + 1);
  g->ex_reads = ARENA_ARRAY(g->arena, uint8_t, k->ex.n + 1);
  g->ex_atom = ARENA_ARRAY(g->arena, Atom, k->ex.n + 1);
  g->stamp = 1;
  for (int i = 0; i < k->nparams; i++) g->shared_in[i] = k->bufs.at[i].kind == BUF_IN;
  for (int i = 0; i < k->nparams; i++)
    if (k->bufs.at[i].inplace >= 0) g->shared_in[k->bufs.at[i].inplace] = g->shared_in[i] = false;
  g->nreg = 0;
  for (uint32_t i = 0; i < k->regs.n; i++) {
    g->reg_at[i] = (uint32_t)g->nreg;
    g->nreg += reg_count(&k->regs.at[i]);
  }
  g->reg = ARENA_ARRAY(g->arena, LLVMValueRef, g->nreg + 1);
  for (uint32_t i = 0; i < k->regs.n; i++)
    for (int j = 0; j < reg_count(&k->regs.at[i]); j++)
      g->reg[g->reg_at[i] + (uint32_t)j] = LLVMGetPoison(gen_type(g, k->regs.at[i].dtype, k->regs.at[i].lanes));

  g->entry = gen_block(g, "entry");
  LLVMBasicBlockRef head = gen_block(g, "task"), done = LLVMCreateBasicBlockInContext(g->cx, "return");
  LLVMPositionBuilderAtEnd(b, g->entry);
  scope_push(g, false, NULL);
  for (uint32_t i = 0; i < k->dims.n; i++) { /* variables of the dimensions come first */
    Poly p = poly_sym(g, k->dims.at[i].var);
    bind_index(g, i, &p);
  }
  Poly ext[LOOP_AXES];
  LLVMValueRef first[LOOP_AXES], rest = lo, phi[LOOP_AXES];
  for (int i = 0; i < st->naxes; i++) ext[i] = poly_sym(g, st->extent[i]);
  for (int i = st->naxes - 1; i > 0; i--) {
    LLVMValueRef n = poly_scalar(g, &ext[i]);
    n = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGT, n, LLVMConstNull(g->t_i64), ""), n,
                        LLVMConstInt(g->t_i64, 1, 0), ""); /* no task then */
    first[i] = LLVMBuildURem(b, rest, n, "");
    rest = LLVMBuildUDiv(b, rest, n, "");
  }
  first[0] = rest;
  LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, lo, hi, ""), head, done);
  LLVMPositionBuilderAtEnd(b, head);
  g->task = LLVMBuildPhi(b, g->t_i64, "k");
  LLVMAddIncoming(g->task, &lo, &g->entry, 1);
  for (int i = 0; i < st->naxes; i++) {
    phi[i] = LLVMBuildPhi(b, g->t_i64, k->vars.at[st->axis[i]].name);
    LLVMAddIncoming(phi[i], &first[i], &g->entry, 1);
  }
  scope_push(g, true, g->entry);
  for (int i = 0; i < st->naxes; i++) {
    int64_t elo, ehi;
    poly_range(g, &ext[i], &elo, &ehi);
    Poly p = poly_of_atom(atom_new(g, phi[i], gen_depth(g), 0, ehi == INT64_MAX ? ehi : ehi - 1, 1));
    bind_index(g, st->axis[i], &p);
  }
  const_begin(g);
  emit_block(g, st->body);
  const_end(g);
  LLVMValueRef next = LLVMBuildNSWAdd(b, g->task, LLVMConstInt(g->t_i64, 1, 0), ""), carry = NULL, up[LOOP_AXES];
  for (int i = st->naxes - 1; i >= 0; i--) {
    LLVMValueRef n = LLVMBuildAdd(b, phi[i], LLVMConstInt(g->t_i64, 1, 0), "");
    if (carry) n = LLVMBuildSelect(b, carry, n, phi[i], "");
    if (i > 0) {
      LLVMValueRef over = LLVMBuildICmp(b, LLVMIntEQ, n, poly_scalar(g, &ext[i]), "");
      up[i] = LLVMBuildSelect(b, over, LLVMConstNull(g->t_i64), n, "");
      carry = over;
    } else
      up[i] = n;
  }
  LLVMBasicBlockRef latch = here(g);
  LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, hi, ""), head, done);
  LLVMAddIncoming(g->task, &next, &latch, 1);
  for (int i = 0; i < st->naxes; i++) LLVMAddIncoming(phi[i], &up[i], &latch, 1);
  scope_pop(g);
  scope_pop(g);
  LLVMAppendExistingBasicBlock(f, done);
  LLVMPositionBuilderAtEnd(b, done);
  LLVMBuildRetVoid(b);
  return f;
}
