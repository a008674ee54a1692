#include "loop.h"
#include "integer.h"
#include "scalar.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- modules ---- */

LoopModule *loop_module_new(Ctx *c) {
  LoopModule *m = ARENA_NEW(c->arena, LoopModule);
  m->ctx = c;
  return m;
}

Kernel *loop_module_kernel(const LoopModule *m, const char *name, int *index) {
  for (uint32_t i = 0; i < m->kernels.n; i++)
    if (!strcmp(m->kernels.at[i]->name, name)) {
      if (index) *index = (int)i;
      return m->kernels.at[i];
    }
  return NULL;
}

Plan *loop_module_plan(const LoopModule *m, const char *name, int *index) {
  for (uint32_t i = 0; i < m->plans.n; i++)
    if (!strcmp(m->plans.at[i]->name, name)) {
      if (index) *index = (int)i;
      return m->plans.at[i];
    }
  return NULL;
}

Loc loop_place(const LoopModule *m, int line) {
  if (!m->text || line < 1) return 0;
  size_t at = 0;
  for (int l = 1; l < line && at < m->ntext; at++) l += m->text[at] == '\n';
  while (at < m->ntext && m->text[at] == ' ') at++;
  return m->source + (Loc)at;
}

bool loop_fault(const LoopModule *m, const Kernel *k, const Stage *st, const Stmt *s, const char *id, const char *fmt,
                ...) {
  va_list v;
  va_start(v, fmt);
  const char *text = arena_vprintf(m->ctx->arena, fmt, v);
  va_end(v);
  Loc loc = loop_place(m, s ? s->line : st ? st->line : k ? k->line : 0);
  if (loc || !k) return diag_error(m->ctx->diag, id, loc, "%s", text);
  diag_error(m->ctx->diag, id, 0, "%s%s%s: %s", k->name, st ? "." : "", st ? st->name : "", text);
  if (s) {
    Buf b = {0};
    loop_print_stmt(k, s, &b);
    diag_note(m->ctx->diag, 0, "in: %s", b.at);
    buf_free(&b);
  }
  return false;
}

static Arena *arena(const Kernel *k) { return k->ctx->arena; }

Kernel *loop_kernel(LoopModule *m, const char *name) {
  Kernel *k = ARENA_NEW(m->ctx->arena, Kernel);
  const char *unique = name;
  for (int i = 2; loop_module_kernel(m, unique, NULL); i++) unique = arena_printf(m->ctx->arena, "%s_%d", name, i);
  k->name = str_intern(m->ctx->names, unique);
  k->ctx = m->ctx;
  k->mask = 63;
  k->slot = ARENA_ARRAY(m->ctx->arena, uint32_t, k->mask + 1);
  vec_push(m->ctx->arena, &k->ex, (Expr){0});
  vec_push(m->ctx->arena, &k->arg, 0); /* so that arg.at is never NULL */
  vec_push(m->ctx->arena, &m->kernels, k);
  return k;
}

/* ---- headers, stages ---- */

static const char *intern(Kernel *k, const char *name) { return str_intern(k->ctx->names, name); }

static uint32_t new_var(Kernel *k, const char *name, VarKind kind, DType d, int lanes) {
  LoopVar v = {.name = intern(k, name), .kind = kind, .dtype = d, .lanes = (uint16_t)lanes};
  vec_push(arena(k), &k->vars, v);
  return k->vars.n - 1;
}

static Ex intern_ex(Kernel *, Expr, const Ex *in, int n);

static Ex var_ex(Kernel *k, uint32_t v) {
  const LoopVar *x = &k->vars.at[v];
  return intern_ex(k, (Expr){.op = OP_VAR, .dtype = (uint8_t)x->dtype, .lanes = x->lanes, .ref = v}, NULL, 0);
}

Ex loop_dim(Kernel *k, const char *name, int64_t lo, int64_t hi) {
  if (k->vars.n != k->dims.n) BUG("dimension %s of %s is declared after a stage began", name, k->name);
  Dim d = {.name = intern(k, name), .lo = lo, .hi = hi};
  d.var = sym_var(k->ctx->syms, d.name);
  vec_push(arena(k), &k->dims, d);
  return var_ex(k, new_var(k, name, VAR_DIM, DT_IDX, 1));
}

static uint32_t new_buf(Kernel *k, const char *name, BufKind kind, DType d, const Sym *dims, int rank) {
  if (rank < 0 || rank > LOOP_RANK) BUG("buffer %s of rank %d", name, rank);
  LoopBuf b = {.name = intern(k, name), .kind = kind, .dtype = d, .rank = rank, .inplace = -1, .line = k->cur_line};
  if (rank) memcpy(b.dim, dims, (size_t)rank * sizeof *dims);
  vec_push(arena(k), &k->bufs, b);
  return k->bufs.n - 1;
}

uint32_t loop_param(Kernel *k, const char *name, BufKind kind, DType d, const Sym *dims, int rank) {
  if (k->nparams != (int)k->bufs.n) BUG("parameter %s of %s is declared after an alloc", name, k->name);
  k->nparams++;
  return new_buf(k, name, kind, d, dims, rank);
}

LoopBuf *loop_buf(Kernel *k, uint32_t b) { return &k->bufs.at[b]; }
void loop_fact(Kernel *k, Sym cond) {
  for (uint32_t i = 0; i < k->facts.n; i++)
    if (k->facts.at[i] == cond) return;
  vec_push(arena(k), &k->facts, cond);
}

Sym loop_multiple(SymTab *t, Sym s, int64_t of) {
  return sym_op(t, SYM_EQ, sym_op(t, SYM_MOD, s, sym_int(t, of)), sym_int(t, 0));
}

Stage *loop_stage(Kernel *k, const char *name) {
  if (k->depth > 0) BUG("stage %s begins while a loop or if of %s is open", name, k->stage->name);
  Stage *s = ARENA_NEW(arena(k), Stage);
  s->name = intern(k, name);
  s->line = k->cur_line;
  vec_push(arena(k), &k->stages, s);
  k->stage = s;
  k->tail[0] = &s->body;
  return s;
}

Ex loop_axis(Kernel *k, const char *name, Sym extent) {
  Stage *s = k->stage;
  if (s->naxes == LOOP_AXES || s->segmented) BUG("too many axes of stage %s", s->name);
  uint32_t v = new_var(k, name, VAR_AXIS, DT_IDX, 1);
  s->axis[s->naxes] = v;
  s->extent[s->naxes++] = extent;
  return var_ex(k, v);
}

void loop_segment(Kernel *k, const char *sname, const char *oname, uint32_t list, int64_t chunk, Ex *tensor,
                  Ex *offset) {
  Stage *s = k->stage;
  if (s->naxes) BUG("stage %s has axes and segments", s->name);
  s->segmented = true;
  s->segment_buf = list;
  s->chunk = chunk;
  s->naxes = 2;
  s->axis[0] = new_var(k, sname, VAR_SEGMENT, DT_IDX, 1);
  s->axis[1] = new_var(k, oname, VAR_OFFSET, DT_IDX, 1);
  *tensor = var_ex(k, s->axis[0]);
  *offset = var_ex(k, s->axis[1]);
}

static uint32_t thread_var(Kernel *k, const char *name, LoopScope scope) {
  uint32_t v = new_var(k, name, VAR_THREAD, DT_IDX, 1);
  k->vars.at[v].scope = scope;
  return v;
}

Ex loop_threads(Kernel *k, const char *name, int64_t extent) {
  Stage *s = k->stage;
  if (s->nthread == LOOP_THREAD_AXES || extent < 1 || extent > LOOP_BLOCK_THREADS || s->body)
    BUG("threads of stage %s: axis %d of %lld", s->name, s->nthread, (long long)extent);
  if (!s->nthread) {
    s->tid = thread_var(k, "tid", LOOP_THREAD);
    s->warp = thread_var(k, "warp", LOOP_WARP);
    s->lane_id = thread_var(k, "lane_id", LOOP_THREAD);
    s->threads = 1;
  }
  uint32_t v = s->thread[s->nthread] = thread_var(k, name, LOOP_THREAD);
  s->thread_extent[s->nthread++] = extent;
  s->threads *= (int)extent;
  return var_ex(k, v);
}

static Ex stage_thread(Kernel *k, uint32_t var) {
  if (!k->stage->threads) BUG("stage %s has no threads", k->stage->name);
  return var_ex(k, var);
}
Ex loop_tid(Kernel *k) { return stage_thread(k, k->stage->tid); }
Ex loop_warp(Kernel *k) { return stage_thread(k, k->stage->warp); }
Ex loop_lane_id(Kernel *k) { return stage_thread(k, k->stage->lane_id); }

/* ---- statements ---- */

static Stmt *add_stmt(Kernel *k, StmtKind kind) {
  if (!k->stage) BUG("a statement outside a stage of %s", k->name);
  Stmt *s = ARENA_NEW(arena(k), Stmt);
  s->kind = kind;
  s->line = k->cur_line;
  s->step = 1;
  *k->tail[k->depth] = s;
  k->tail[k->depth] = &s->next;
  return s;
}

static void open_block(Kernel *k, Stmt *s, Stmt **where) {
  if (k->depth + 1 >= (int)(sizeof k->tail / sizeof *k->tail)) BUG("blocks of %s are nested too deeply", k->name);
  k->depth++;
  k->open[k->depth] = s;
  k->tail[k->depth] = where;
}

static void add_for(Kernel *k, const char *name, Ex lo, Ex hi, ForMode mode, int64_t step, int width, Tail tail,
                    Ex *var) {
  if (ex_at(k, lo)->dtype != DT_IDX || ex_at(k, hi)->dtype != DT_IDX || ex_at(k, lo)->lanes > 1 ||
      ex_at(k, hi)->lanes > 1)
    BUG("bounds of loop %s are not scalars of idx", name);
  uint32_t v = new_var(k, name, VAR_LOOP, DT_IDX, mode == FOR_VECTOR ? width : 1);
  LoopVar *x = &k->vars.at[v];
  x->mode = mode;
  x->tail = tail;
  x->lo = lo;
  x->step = mode == FOR_VECTOR ? width : step;
  Stmt *s = add_stmt(k, STMT_FOR);
  s->ref = v;
  s->lo = lo;
  s->hi = hi;
  s->mode = mode;
  s->step = step;
  s->width = width;
  s->tail = tail;
  open_block(k, s, &s->body);
  if (var) *var = var_ex(k, v);
}

void loop_for(Kernel *k, const char *name, Ex lo, Ex hi, ForMode mode, int width, Tail tail, Ex *var) {
  add_for(k, name, lo, hi, mode, 1, mode == FOR_VECTOR ? width : 0, mode == FOR_VECTOR ? tail : TAIL_NONE, var);
}

void loop_for_step(Kernel *k, const char *name, Ex lo, Ex hi, int64_t step, Ex *var) {
  add_for(k, name, lo, hi, FOR_SERIAL, step, 0, TAIL_NONE, var);
}

void loop_if(Kernel *k, Ex cond) {
  if (ex_at(k, cond)->dtype != DT_BOOL) BUG("if on %s", dtype_name(ex_at(k, cond)->dtype));
  Stmt *s = add_stmt(k, STMT_IF);
  s->value = cond;
  open_block(k, s, &s->body);
}

void loop_else(Kernel *k) {
  Stmt *s = k->open[k->depth];
  if (!k->depth || s->kind != STMT_IF) BUG("else without if in %s", k->name);
  k->tail[k->depth] = &s->other;
}

void loop_end(Kernel *k) {
  if (!k->depth) BUG("end without a loop or if in %s", k->name);
  k->depth--;
}

Ex loop_let(Kernel *k, const char *name, Ex value) {
  const Expr *e = ex_at(k, value);
  uint32_t v = new_var(k, name, VAR_LET, e->dtype, e->lanes);
  k->vars.at[v].value = value;
  Stmt *s = add_stmt(k, STMT_LET);
  s->ref = v;
  s->value = value;
  return var_ex(k, v);
}

uint32_t loop_reg(Kernel *k, const char *name, DType d, int lanes, int rank, const int64_t *dim, Ex start) {
  if (rank < 0 || rank > 2) BUG("register %s of rank %d", name, rank);
  LoopReg r = {.name = intern(k, name), .dtype = d, .lanes = (uint16_t)lanes, .rank = rank};
  for (int i = 0; i < rank; i++) r.dim[i] = dim[i];
  if (start && (ex_at(k, start)->dtype != d || (ex_at(k, start)->lanes != 1 && ex_at(k, start)->lanes != lanes)))
    BUG("start of register %s is %sx%d", name, dtype_name(ex_at(k, start)->dtype), ex_at(k, start)->lanes);
  vec_push(arena(k), &k->regs, r);
  Stmt *s = add_stmt(k, STMT_REG);
  s->ref = k->regs.n - 1;
  s->value = start;
  return s->ref;
}

uint32_t loop_alloc(Kernel *k, const char *name, DType d, const Sym *dims, int rank) {
  uint32_t b = new_buf(k, name, BUF_THREAD, d, dims, rank);
  add_stmt(k, STMT_ALLOC)->ref = b;
  return b;
}

uint32_t loop_alloc_shared(Kernel *k, const char *name, DType d, const Sym *dims, int rank) {
  uint32_t b = loop_alloc(k, name, d, dims, rank);
  k->bufs.at[b].kind = BUF_SHARED;
  return b;
}

void loop_barrier(Kernel *k, LoopScope scope) { add_stmt(k, STMT_BARRIER)->scope = scope; }

Ex loop_reduce(Kernel *k, const char *name, Op op, LoopScope scope, Ex value) {
  DType d = ex_at(k, value)->dtype;
  if (ex_at(k, value)->lanes > 1 || d == DT_BOOL) BUG("%s reduces a vector or bool", name);
  uint32_t v = new_var(k, name, VAR_REDUCE, d, 1);
  k->vars.at[v].scope = scope;
  Stmt *s = add_stmt(k, STMT_REDUCE);
  s->ref = v;
  s->value = value;
  s->op = op;
  s->scope = scope;
  return var_ex(k, v);
}

static void set_index(Kernel *k, Stmt *s, const Ex *index, int n) {
  if (n < 0 || n > LOOP_RANK) BUG("%d indices", n);
  for (int i = 0; i < n; i++) {
    if (ex_at(k, index[i])->dtype != DT_IDX) BUG("an index of type %s", dtype_name(ex_at(k, index[i])->dtype));
    s->index[i] = index[i];
  }
  s->nindex = n;
}

static void check_mask(Kernel *k, Ex mask) {
  if (mask && ex_at(k, mask)->dtype != DT_BOOL) BUG("a mask of type %s", dtype_name(ex_at(k, mask)->dtype));
}

void loop_assign(Kernel *k, uint32_t reg, const Ex *index, int n, Ex value, Ex mask) {
  const LoopReg *r = &k->regs.at[reg];
  if (ex_at(k, value)->dtype != r->dtype || n != r->rank) BUG("assignment to register %s does not fit", r->name);
  check_mask(k, mask);
  Stmt *s = add_stmt(k, STMT_ASSIGN);
  s->ref = reg;
  set_index(k, s, index, n);
  s->value = value;
  s->mask = mask;
}

static int indices(const LoopBuf *b) { return b->list ? 2 : b->rank; }

void loop_store(Kernel *k, uint32_t buf, const Ex *index, int n, Ex value, Ex mask) {
  const LoopBuf *b = &k->bufs.at[buf];
  if (ex_at(k, value)->dtype != b->dtype || n != indices(b)) BUG("store to %s does not fit", b->name);
  check_mask(k, mask);
  Stmt *s = add_stmt(k, STMT_STORE);
  s->ref = buf;
  set_index(k, s, index, n);
  s->value = value;
  s->mask = mask;
}

void loop_fail(Kernel *k, int64_t code, Ex cond) {
  check_mask(k, cond);
  Stmt *s = add_stmt(k, STMT_FAIL);
  s->code = code;
  s->value = cond;
}

void loop_prefetch(Kernel *k, uint32_t buf, const Ex *index, int n) {
  Stmt *s = add_stmt(k, STMT_PREFETCH);
  s->ref = buf;
  set_index(k, s, index, n);
}

/* ---- expressions ---- */

static uint64_t ex_hash(const Expr *e, const Ex *in) {
  uint64_t head[] = {e->op | (uint64_t)e->dtype << 8 | (uint64_t)e->nin << 16 | (uint64_t)e->lanes << 24, e->ref,
                     e->mask, e->other, (uint64_t)e->u.i};
  return hash_bytes(in, (size_t)e->nin * sizeof *in, hash_bytes(head, sizeof head, 0));
}

static bool ex_same(const Kernel *k, const Expr *a, const Expr *b, const Ex *in) {
  return a->op == b->op && a->dtype == b->dtype && a->nin == b->nin && a->lanes == b->lanes && a->ref == b->ref &&
         a->mask == b->mask && a->other == b->other && a->u.i == b->u.i &&
         !memcmp(k->arg.at + a->in, in, (size_t)a->nin * sizeof *in);
}

static void grow_table(Kernel *k) {
  k->mask = k->mask * 2 + 1;
  k->slot = ARENA_ARRAY(arena(k), uint32_t, k->mask + 1);
  for (Ex e = 1; e < k->ex.n; e++) {
    Expr *x = &k->ex.at[e];
    uint32_t h = (uint32_t)ex_hash(x, k->arg.at + x->in) & k->mask;
    x->next = k->slot[h];
    k->slot[h] = e;
  }
}

/* The expression equal to this one, new if there is none. `in` is copied. */
static Ex intern_ex(Kernel *k, Expr e, const Ex *in, int n) {
  Ex copy[LOOP_RANK + 1];
  if (n) memcpy(copy, in, (size_t)n * sizeof *in);
  e.nin = (uint8_t)n;
  uint32_t h = (uint32_t)ex_hash(&e, copy) & k->mask;
  for (Ex x = k->slot[h]; x; x = k->ex.at[x].next)
    if (n ? ex_same(k, &k->ex.at[x], &e, copy) : ex_same(k, &k->ex.at[x], &e, k->arg.at + k->ex.at[x].in)) return x;
  if (k->ex.n > k->mask) {
    grow_table(k);
    h = (uint32_t)ex_hash(&e, copy) & k->mask;
  }
  e.in = k->arg.n;
  for (int i = 0; i < n; i++) vec_push(arena(k), &k->arg, copy[i]);
  e.line = k->cur_line;
  e.next = k->slot[h];
  vec_push(arena(k), &k->ex, e);
  return k->slot[h] = k->ex.n - 1;
}

bool ex_is_int(const Kernel *k, Ex e, int64_t *value) {
  const Expr *x = ex_at(k, e);
  if (x->op != OP_LITERAL || dtype_is_float(x->dtype)) return false;
  if (value) *value = x->u.i;
  return true;
}

Ex ex_int(Kernel *k, DType d, int64_t v) {
  if (dtype_is_float(d)) return ex_float(k, d, (double)v);
  Expr e = {.op = OP_LITERAL, .dtype = (uint8_t)d, .lanes = 1};
  e.u.i = v;
  return intern_ex(k, e, NULL, 0);
}

Ex ex_float(Kernel *k, DType d, double v) {
  if (!dtype_is_float(d)) BUG("a float literal of type %s", dtype_name(d));
  Expr e = {.op = OP_LITERAL, .dtype = (uint8_t)d, .lanes = 1};
  e.u.f = scalar_round(d, v);
  if (isnan(v)) e.u.f = NAN;
  return intern_ex(k, e, NULL, 0);
}

static int max_lanes(const Kernel *k, const Ex *in, int n) {
  int w = 1;
  for (int i = 0; i < n; i++)
    if (ex_at(k, in[i])->lanes > w) w = ex_at(k, in[i])->lanes;
  return w;
}

static bool moves_only(Op op) {
  return op == OP_SELECT || op == OP_SPLAT || op == OP_EXTRACT || op == OP_PERM || op == OP_PERM2;
}

const char *ex_why_not(const Kernel *k, Op op, const Ex *in, int n) {
  Arena *a = arena(k);
  const Expr *x[3] = {0};
  for (int i = 0; i < n; i++) x[i] = ex_at(k, in[i]);
  const char *name = OP_INFO[op].text;
  if (OP_INFO[op].arity != n) return arena_printf(a, "%s takes %d operands, %d are given", name, OP_INFO[op].arity, n);
  if (op == OP_DOT4) {
    bool fit = x[0]->dtype == DT_I32 && x[1]->dtype == DT_U8 && x[2]->dtype == DT_I8 && x[1]->lanes == x[2]->lanes &&
               x[1]->lanes == 4 * x[0]->lanes;
    return fit ? NULL : "dot4 takes i32xW, u8x4W, i8x4W";
  }
  if (op == OP_EXTRACT || op == OP_PERM || op == OP_PERM2) {
    if (x[n - 1]->dtype != DT_IDX)
      return arena_printf(a, "the lane of %s is an idx, not %s", name, dtype_name(x[n - 1]->dtype));
    if (x[0]->lanes == 1) return arena_printf(a, "%s of a scalar", name);
    if (op == OP_PERM2 && (x[0]->dtype != x[1]->dtype || x[0]->lanes != x[1]->lanes))
      return "perm2 takes two vectors of one type";
    return op == OP_EXTRACT && x[1]->lanes > 1 ? "extract takes one lane" : NULL;
  }
  int first = op == OP_SELECT;
  if (first && x[0]->dtype != DT_BOOL)
    return arena_printf(a, "%s where bool is needed: compare", dtype_name(x[0]->dtype));
  DType d = x[first]->dtype;
  for (int i = first + 1; i < n; i++)
    if (x[i]->dtype != d)
      return arena_printf(a, "%s where %s is needed: convert", dtype_name(x[i]->dtype), dtype_name(d));
  if (dtype_is_half(d) && !moves_only(op))
    return arena_printf(a, "arithmetic on %s: convert to f32 first", dtype_name(d));
  if (!op_takes(op, d) || (op == OP_MULHI && d != DT_U32)) return arena_printf(a, "%s on %s", name, dtype_name(d));
  int w = max_lanes(k, in, n);
  for (int i = 0; i < n; i++)
    if (x[i]->lanes != 1 && x[i]->lanes != w)
      return arena_printf(a, "vectors of different lanes meet: %d and %d", x[i]->lanes, w);
  if ((op == OP_HADD || op == OP_HMAX || op == OP_HMIN) && w == 1) return arena_printf(a, "%s of a scalar", name);
  return NULL;
}

static bool gives_bool(Op op) {
  return OP_INFO[op].cls == CLASS_COMPARE || op == OP_IS_NAN || op == OP_IS_INF || op == OP_IS_FINITE;
}

static Ex make(Kernel *k, Op op, const Ex *in, int n) {
  const char *why = ex_why_not(k, op, in, n);
  if (why) BUG("%s: %s", k->name, why);
  int w = max_lanes(k, in, n);
  DType d = ex_at(k, in[op == OP_SELECT])->dtype;
  if (gives_bool(op)) d = DT_BOOL;
  if (op == OP_DOT4) w = ex_at(k, in[0])->lanes;
  if (op == OP_PERM || op == OP_PERM2) w = ex_at(k, in[n - 1])->lanes;
  if (op == OP_EXTRACT || op == OP_HADD || op == OP_HMAX || op == OP_HMIN || op == OP_ANY || op == OP_ALL) w = 1;
  return intern_ex(k, (Expr){.op = (uint8_t)op, .dtype = (uint8_t)d, .lanes = (uint16_t)w}, in, n);
}

Ex ex_op1(Kernel *k, Op op, Ex a) {
  const Expr *x = ex_at(k, a);
  int64_t v;
  if (op == OP_NEG && x->op == OP_LITERAL && dtype_is_float(x->dtype)) return ex_float(k, x->dtype, -x->u.f);
  if (op == OP_NEG && x->dtype == DT_IDX && ex_is_int(k, a, &v) && v != INT64_MIN) return ex_idx(k, -v);
  if (op == OP_NOT && x->dtype == DT_BOOL && ex_is_int(k, a, &v)) return ex_int(k, DT_BOOL, !v);
  if ((op == OP_ANY || op == OP_ALL) && x->lanes == 1) return a;
  return make(k, op, &a, 1);
}

/* Two literals of idx: false where the result does not fit. */
static bool fold_ints(Op op, int64_t a, int64_t b, int64_t *r) {
  switch (op) {
  case OP_ADD: return !__builtin_add_overflow(a, b, r);
  case OP_SUB: return !__builtin_sub_overflow(a, b, r);
  case OP_MUL: return !__builtin_mul_overflow(a, b, r);
  case OP_FLOOR_DIV:
    if (b == 0 || (b == -1 && a == INT64_MIN)) return false;
    *r = floor_div(a, b);
    return true;
  case OP_FLOOR_MOD:
    if (b == 0 || b == -1) return false;
    *r = a - floor_div(a, b) * b;
    return true;
  case OP_MINIMUM: *r = a < b ? a : b; return true;
  case OP_MAXIMUM: *r = a > b ? a : b; return true;
  case OP_SHL: *r = b < 0 || b > 63 ? 0 : (int64_t)((uint64_t)a << b); return true;
  case OP_SHR: *r = a >> (b < 0 || b > 63 ? 63 : b); return true;
  case OP_EQUAL: *r = a == b; return true;
  case OP_NOT_EQUAL: *r = a != b; return true;
  case OP_LESS: *r = a < b; return true;
  case OP_LESS_EQUAL: *r = a <= b; return true;
  case OP_GREATER: *r = a > b; return true;
  case OP_GREATER_EQUAL: *r = a >= b; return true;
  default: return false;
  }
}

/* x + c or x - c: gives x and adds the constant. */
static Ex split_const(const Kernel *k, Ex e, int64_t *c) {
  const Expr *x = ex_at(k, e);
  int64_t v;
  if ((x->op == OP_ADD || x->op == OP_SUB) && ex_is_int(k, k->arg.at[x->in + 1], &v) && v > -(INT64_C(1) << 62) &&
      v < INT64_C(1) << 62) {
    *c = x->op == OP_ADD ? v : -v;
    return k->arg.at[x->in];
  }
  return 0;
}

static Ex fold_idx(Kernel *k, Op op, Ex a, Ex b) {
  int64_t x = 0, y = 0, r;
  bool ia = ex_is_int(k, a, &x), ib = ex_is_int(k, b, &y), scalar = ex_at(k, a)->lanes == 1 && ex_at(k, b)->lanes == 1;
  if (ia && ib && fold_ints(op, x, y, &r)) return ex_int(k, gives_bool(op) ? DT_BOOL : DT_IDX, r);
  if ((op == OP_MINIMUM || op == OP_MAXIMUM) && a == b) return a;
  if (ia && !ib && op == OP_ADD) return x ? 0 : b;
  if (ia && op == OP_MUL && x == 1) return b;
  if (op == OP_MUL && scalar && ((ia && !x) || (ib && !y))) return ex_idx(k, 0);
  if (op == OP_SUB && scalar && a == b) return ex_idx(k, 0);
  if (!ib) return 0;
  if ((op == OP_ADD || op == OP_SUB) && y == 0) return a;
  if ((op == OP_MUL || op == OP_FLOOR_DIV) && y == 1) return a;
  if (op == OP_FLOOR_MOD && y == 1 && scalar) return ex_idx(k, 0);
  if ((op == OP_ADD || op == OP_SUB) && y > -(INT64_C(1) << 61) &&
      y < INT64_C(1) << 61) { /* (x + c) + d, and x + -d as x - d */
    int64_t c = 0, sum = op == OP_ADD ? y : -y;
    Ex rest = split_const(k, a, &c);
    if (rest && !__builtin_add_overflow(c, sum, &sum)) return sum ? ex_op2(k, OP_ADD, rest, ex_idx(k, sum)) : rest;
    if (y < 0) return ex_op2(k, op == OP_ADD ? OP_SUB : OP_ADD, a, ex_idx(k, -y));
  }
  return 0;
}

static Ex fold_bool(Kernel *k, Op op, Ex a, Ex b) {
  int64_t v;
  if (op != OP_AND && op != OP_OR) return 0;
  if (a == b) return a;
  for (int i = 0; i < 2; i++, a ^= b, b ^= a, a ^= b)
    if (ex_is_int(k, a, &v)) {
      if ((v != 0) == (op == OP_AND)) return b;
      if (ex_at(k, b)->lanes == 1) return a;
    }
  return 0;
}

Ex ex_op2(Kernel *k, Op op, Ex a, Ex b) {
  DType d = ex_at(k, a)->dtype;
  Ex r = d != ex_at(k, b)->dtype ? 0 : d == DT_IDX ? fold_idx(k, op, a, b) : d == DT_BOOL ? fold_bool(k, op, a, b) : 0;
  return r ? r : make(k, op, (Ex[]){a, b}, 2);
}

Ex ex_op3(Kernel *k, Op op, Ex a, Ex b, Ex c) {
  int64_t v;
  if (op == OP_SELECT && ex_is_int(k, a, &v)) {
    const char *why = ex_why_not(k, op, (Ex[]){a, b, c}, 3);
    Ex pick = v ? b : c;
    if (!why && ex_at(k, pick)->lanes == max_lanes(k, (Ex[]){b, c}, 2)) return pick;
  }
  return make(k, op, (Ex[]){a, b, c}, 3);
}

Ex ex_cdiv(Kernel *k, Ex a, Ex b) {
  return ex_op2(k, OP_FLOOR_DIV, ex_op2(k, OP_ADD, a, ex_op2(k, OP_SUB, b, ex_idx(k, 1))), b);
}

Ex ex_convert(Kernel *k, DType d, Ex a) {
  const Expr *x = ex_at(k, a);
  if (x->dtype == d) return a;
  if (x->op == OP_LITERAL && dtype_is_float(d) && x->dtype == DT_IDX) return ex_float(k, d, (double)x->u.i);
  if (x->op == OP_LITERAL && dtype_is_half(x->dtype) && dtype_is_float(d)) return ex_float(k, d, x->u.f);
  if (x->op == OP_CONVERT && dtype_is_half(d) && x->dtype == DT_F32) { /* there and back: the same bits */
    Ex from = k->arg.at[x->in];
    if (ex_at(k, from)->dtype == d) return from;
  }
  return intern_ex(k, (Expr){.op = OP_CONVERT, .dtype = (uint8_t)d, .lanes = x->lanes}, &a, 1);
}

Ex ex_bits(Kernel *k, DType d, Ex a) {
  const Expr *x = ex_at(k, a);
  if (dtype_size(d) != dtype_size(x->dtype)) BUG("bits of %s as %s", dtype_name(x->dtype), dtype_name(d));
  return x->dtype == d ? a : intern_ex(k, (Expr){.op = OP_BITS, .dtype = (uint8_t)d, .lanes = x->lanes}, &a, 1);
}

Ex ex_splat(Kernel *k, Ex a, int lanes) {
  const Expr *x = ex_at(k, a);
  if (x->lanes != 1) BUG("splat of a vector");
  return lanes == 1 ? a : intern_ex(k, (Expr){.op = OP_SPLAT, .dtype = x->dtype, .lanes = (uint16_t)lanes}, &a, 1);
}

Ex ex_lane(Kernel *k, int lanes) {
  return lanes == 1 ? ex_idx(k, 0)
                    : intern_ex(k, (Expr){.op = OP_LANE, .dtype = DT_IDX, .lanes = (uint16_t)lanes}, NULL, 0);
}

Ex ex_load(Kernel *k, uint32_t buf, const Ex *index, int n, Ex mask, Ex other) {
  const LoopBuf *b = &k->bufs.at[buf];
  if (n != indices(b)) BUG("%s has %d axes, %d indices given", b->name, indices(b), n);
  for (int i = 0; i < n; i++)
    if (ex_at(k, index[i])->dtype != DT_IDX)
      BUG("an index of %s is %s", b->name, dtype_name(ex_at(k, index[i])->dtype));
  check_mask(k, mask);
  int64_t on;
  if (mask && ex_is_int(k, mask, &on) && on) mask = other = 0;
  if (other && (ex_at(k, other)->dtype != b->dtype || !mask)) BUG("other of a load from %s", b->name);
  Ex all[LOOP_RANK + 1];
  memcpy(all, index, (size_t)n * sizeof *all);
  if (mask) all[n] = mask;
  int w = max_lanes(k, all, n + (mask != 0));
  for (int i = 0; i < n + (mask != 0); i++)
    if (ex_at(k, all[i])->lanes != 1 && ex_at(k, all[i])->lanes != w)
      BUG("vectors of different lanes index %s", b->name);
  return intern_ex(
      k,
      (Expr){.op = OP_LOAD, .dtype = (uint8_t)b->dtype, .lanes = (uint16_t)w, .ref = buf, .mask = mask, .other = other},
      index, n);
}

Ex ex_reg(Kernel *k, uint32_t reg, const Ex *index, int n) {
  const LoopReg *r = &k->regs.at[reg];
  if (n != r->rank) BUG("%s has %d indices", r->name, r->rank);
  return intern_ex(k, (Expr){.op = OP_REG, .dtype = (uint8_t)r->dtype, .lanes = r->lanes, .ref = reg}, index, n);
}

Ex ex_len(Kernel *k, uint32_t list, Ex tensor) {
  if (!k->bufs.at[list].list || ex_at(k, tensor)->dtype != DT_IDX) BUG("len of %s", k->bufs.at[list].name);
  return intern_ex(k, (Expr){.op = OP_LEN, .dtype = DT_IDX, .lanes = 1, .ref = list}, &tensor, 1);
}

/* ---- Syms as expressions ---- */

typedef struct SymStack {
  Kernel *k;
  Vec(Ex) at;
} SymStack;

static int64_t dim_index(void *ctx, const char *name) {
  const Kernel *k = ((SymStack *)ctx)->k;
  for (uint32_t i = 0; i < k->dims.n; i++)
    if (k->dims.at[i].name == name || !strcmp(k->dims.at[i].name, name)) return i;
  BUG("kernel %s has no dimension %s", k->name, name);
}

static void push_sym(void *ctx, SymCode c, int64_t operand) {
  static const uint8_t op[] = {[SYMC_ADD] = OP_ADD,       [SYMC_MUL] = OP_MUL,       [SYMC_FLOORDIV] = OP_FLOOR_DIV,
                               [SYMC_MOD] = OP_FLOOR_MOD, [SYMC_MIN] = OP_MINIMUM,   [SYMC_MAX] = OP_MAXIMUM,
                               [SYMC_LT] = OP_LESS,       [SYMC_LE] = OP_LESS_EQUAL, [SYMC_EQ] = OP_EQUAL,
                               [SYMC_NE] = OP_NOT_EQUAL};
  SymStack *s = ctx;
  Kernel *k = s->k;
  Ex r;
  if (c == SYMC_INT)
    r = ex_idx(k, operand);
  else if (c == SYMC_VAR)
    r = var_ex(k, (uint32_t)operand);
  else {
    Ex b = vec_pop(&s->at), a = vec_pop(&s->at);
    r = ex_op2(k, op[c], a, b);
    if (gives_bool(op[c])) { /* a comparison inside a Sym is 0 or 1 */
      int64_t v;
      r = ex_is_int(k, r, &v) ? ex_idx(k, v) : ex_convert(k, DT_IDX, r);
    }
  }
  vec_push(arena(k), &s->at, r);
}

Ex loop_sym(Kernel *k, Sym s) {
  SymStack st = {.k = k};
  if (sym_overflowed(k->ctx->syms, s)) BUG("an overflowed size in %s", k->name);
  sym_postfix(k->ctx->syms, s, dim_index, push_sym, &st);
  return vec_last(&st.at);
}

static bool likely_dim(void *ctx, const char *name, int64_t *v) {
  const Kernel *k = ctx;
  for (uint32_t i = 0; i < k->dims.n; i++) {
    const Dim *d = &k->dims.at[i];
    if (strcmp(d->name, name) != 0) continue;
    *v = d->hi < 1024 ? d->hi : d->lo > 1024 ? d->lo : 1024;
    return true;
  }
  return false;
}

double loop_likely(const Kernel *k, Sym s) {
  int64_t v = 0;
  sym_eval(k->ctx->syms, s, likely_dim, (void *)(uintptr_t)k, &v);
  return (double)v;
}

/* ---- rewriting ---- */

typedef struct Rewrite {
  Kernel *k;
  Ex (*fn)(void *, Kernel *, Ex);
  void *ctx;
  Ex *done;
} Rewrite;

static Ex rewrite(Rewrite *r, Ex e) {
  if (!e) return 0;
  if (r->done[e]) return r->done[e];
  Kernel *k = r->k;
  Expr x = *ex_at(k, e);
  Ex in[LOOP_RANK + 1];
  bool same = true;
  for (int i = 0; i < x.nin; i++) {
    in[i] = rewrite(r, k->arg.at[x.in + (uint32_t)i]);
    same &= in[i] == k->arg.at[x.in + (uint32_t)i];
  }
  Ex mask = rewrite(r, x.mask), other = rewrite(r, x.other), out = e;
  if (!same || mask != x.mask || other != x.other) switch (x.op) {
    case OP_LOAD: out = ex_load(k, x.ref, in, x.nin, mask, mask ? other : 0); break;
    case OP_REG: out = ex_reg(k, x.ref, in, x.nin); break;
    case OP_LEN: out = ex_len(k, x.ref, in[0]); break;
    case OP_CONVERT: out = ex_convert(k, x.dtype, in[0]); break;
    case OP_BITS: out = ex_bits(k, x.dtype, in[0]); break;
    case OP_SPLAT: out = ex_splat(k, in[0], x.lanes); break;
    default:
      out = x.nin == 1   ? ex_op1(k, x.op, in[0])
            : x.nin == 2 ? ex_op2(k, x.op, in[0], in[1])
                         : ex_op3(k, x.op, in[0], in[1], in[2]);
    }
  Ex to = r->fn(r->ctx, k, out);
  return r->done[e] = to ? to : out;
}

Ex ex_rewrite(Kernel *k, Ex e, Ex (*fn)(void *, Kernel *, Ex), void *ctx) {
  Rewrite r = {k, fn, ctx, mem_alloc((k->ex.n + 1) * sizeof(Ex))};
  Ex out = rewrite(&r, e);
  free(r.done);
  return out;
}

/* ---- how an access moves ---- */

/* The difference of an idx from lane to lane: KNOWN (n), RUN (the same everywhere, known at run time), NONE. */
typedef struct LaneStep {
  enum { STEP_KNOWN, STEP_RUN, STEP_NONE } is;
  int64_t n;
} LaneStep;

enum { FUEL = 4096 }; /* expressions looked at: they are shared, so a walk of the tree needs a bound */

static LaneStep lane_step(const Kernel *k, Ex e, int *fuel) {
  const LaneStep none = {STEP_NONE, 0};
  if (--*fuel < 0) return none;
  const Expr *x = ex_at(k, e);
  const Ex *in = k->arg.at + x->in;
  if (x->lanes == 1 || x->op == OP_SPLAT) return (LaneStep){STEP_KNOWN, 0};
  if (x->op == OP_LANE) return (LaneStep){STEP_KNOWN, 1};
  if (x->op == OP_VAR) {
    const LoopVar *v = &k->vars.at[x->ref];
    return v->kind == VAR_LOOP ? (LaneStep){STEP_KNOWN, 1} : v->kind == VAR_LET ? lane_step(k, v->value, fuel) : none;
  }
  if (x->op == OP_NEG && x->dtype == DT_IDX) {
    LaneStep s = lane_step(k, in[0], fuel);
    s.n = -s.n;
    return s;
  }
  if (x->op == OP_CONVERT && x->dtype == DT_IDX && dtype_size(ex_at(k, in[0])->dtype) >= 4)
    return lane_step(k, in[0], fuel);
  if (x->op == OP_LOAD || x->op == OP_REG || x->nin == 0 || x->nin > 3 || OP_INFO[x->op].cls == CLASS_LOOP
          ? x->op != OP_FLOOR_DIV && x->op != OP_FLOOR_MOD
          : false)
    return none;
  LaneStep s[3];
  bool flat = true;
  for (int i = 0; i < x->nin; i++) {
    s[i] = lane_step(k, in[i], fuel);
    flat &= s[i].is == STEP_KNOWN && !s[i].n;
  }
  if (flat) return (LaneStep){STEP_KNOWN, 0};
  if (x->dtype != DT_IDX) return none;
  if (x->op == OP_ADD || x->op == OP_SUB) {
    if (s[0].is == STEP_NONE || s[1].is == STEP_NONE) return none;
    if (s[0].is == STEP_RUN || s[1].is == STEP_RUN) return (LaneStep){STEP_RUN, 0};
    return (LaneStep){STEP_KNOWN, x->op == OP_ADD ? s[0].n + s[1].n : s[0].n - s[1].n};
  }
  if (x->op == OP_MUL) {
    int f = s[0].is == STEP_KNOWN && !s[0].n && ex_at(k, in[0])->lanes == 1 ? 0 : 1; /* the scalar factor */
    int64_t v, n;
    if (s[f].is != STEP_KNOWN || s[f].n || s[!f].is == STEP_NONE) return none;
    if (s[!f].is == STEP_KNOWN && ex_is_int(k, in[f], &v) && !__builtin_mul_overflow(v, s[!f].n, &n))
      return (LaneStep){STEP_KNOWN, n};
    return ex_at(k, in[f])->lanes == 1 ? (LaneStep){STEP_RUN, 0} : none;
  }
  return none;
}

static bool constant(const Kernel *k, Ex e, int *fuel) {
  if (--*fuel < 0) return false;
  const Expr *x = ex_at(k, e);
  if (x->op == OP_LITERAL || x->op == OP_LANE) return true;
  if (x->op == OP_VAR) {
    const LoopVar *v = &k->vars.at[x->ref];
    return (v->kind == VAR_LOOP && v->mode == FOR_UNROLL) || (v->kind == VAR_LET && constant(k, v->value, fuel));
  }
  if (x->op == OP_LOAD || x->op == OP_REG || x->op == OP_LEN) return false;
  for (int i = 0; i < x->nin; i++)
    if (!constant(k, k->arg.at[x->in + (uint32_t)i], fuel)) return false;
  return true;
}

bool loop_constant(const Kernel *k, Ex e) { return constant(k, e, &(int){FUEL}); }

static int64_t divisor(const Kernel *k, Ex e, int *fuel) {
  if (--*fuel < 0) return 1;
  const Expr *x = ex_at(k, e);
  const Ex *in = k->arg.at + x->in;
  int64_t a, b, n;
  switch (x->op) {
  case OP_LITERAL: return x->u.i == INT64_MIN ? 1 : x->u.i < 0 ? -x->u.i : x->u.i;
  case OP_LANE: return 0;
  case OP_SPLAT:
  case OP_NEG: return divisor(k, in[0], fuel);
  case OP_VAR: {
    const LoopVar *v = &k->vars.at[x->ref];
    if (v->kind == VAR_LET && v->dtype == DT_IDX) return divisor(k, v->value, fuel);
    if (v->kind != VAR_LOOP || v->tail == TAIL_OVERLAP || v->tail == TAIL_PEEL) return 1;
    return gcd(divisor(k, v->lo, fuel), v->step);
  }
  case OP_ADD:
  case OP_SUB: return gcd(divisor(k, in[0], fuel), divisor(k, in[1], fuel));
  case OP_MUL:
    a = divisor(k, in[0], fuel);
    b = divisor(k, in[1], fuel);
    return __builtin_mul_overflow(a, b, &n) ? 1 : n;
  case OP_MINIMUM:
  case OP_MAXIMUM: return gcd(divisor(k, in[0], fuel), divisor(k, in[1], fuel));
  default: return 1;
  }
}

int64_t loop_divisor(const Kernel *k, Ex e) { return divisor(k, e, &(int){FUEL}); }

Access loop_access(const Kernel *k, uint32_t buf, const Ex *index, int n, int lanes) {
  if (lanes == 1) return ACCESS_SCALAR;
  const LoopBuf *b = &k->bufs.at[buf];
  LaneStep s[LOOP_RANK];
  int skip = b->list, moving = 0, last = 0;
  bool none = false;
  for (int i = skip; i < n; i++) {
    s[i] = lane_step(k, index[i], &(int){FUEL});
    none |= s[i].is == STEP_NONE;
    if (s[i].is != STEP_KNOWN || s[i].n) moving++, last = i;
  }
  if (skip && ex_at(k, index[0])->lanes > 1) return ACCESS_GATHER;
  if (!moving && !none) return ACCESS_SPLAT;
  if (none || (b->buffers && s[0].is != STEP_KNOWN) || (b->buffers && s[0].n)) return ACCESS_GATHER;
  bool one = moving == 1 && s[last].is == STEP_KNOWN && s[last].n == 1;
  if (b->layout == LAYOUT_ROWS) return one && last == n - 1 ? ACCESS_CONTIGUOUS : ACCESS_STRIDED;
  if (b->layout == LAYOUT_STRIDES) {
    int64_t stride;
    return one && sym_is_int(k->ctx->syms, b->stride[last], &stride) && stride == 1 ? ACCESS_CONTIGUOUS
                                                                                    : ACCESS_STRIDED;
  }
  if ((b->layout == LAYOUT_PANEL && one && last == b->panel_axis) ||
      (b->layout == LAYOUT_SWIZZLE && one && last == n - 1)) { /* all lanes in one panel or chunk */
    int64_t d = loop_divisor(k, index[last]);
    if (b->width % lanes == 0 && d % lanes == 0) return ACCESS_CONTIGUOUS;
  }
  return ACCESS_GATHER;
}

int loop_holes(Stage *s, LoopHole **out) {
  int n = 0;
  if (s->attention) {
    LoopAttention *a = s->attention;
    LoopHole *const all[] = {&a->q, &a->k, &a->v, &a->seen, &a->score, &a->scale, &a->row, &a->store};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) out[n++] = all[i];
  }
  if (s->attention_grad) {
    LoopAttentionGrad *a = s->attention_grad;
    LoopHole *const all[] = {&a->q, &a->k, &a->v, &a->g, &a->seen, &a->weight, &a->slope, &a->lse, &a->mean, &a->store};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) out[n++] = all[i];
  }
  return n;
}
