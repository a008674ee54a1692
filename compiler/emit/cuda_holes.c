/* Functions for the holes of skeletons: statements of a stage with other variables for its axes, one of which may have
 * lanes, so that neighbours are loaded and stored together. They are built as a stage is, in loops that stand for the
 * parameters and are not printed. */
#include "cuda_skeleton.h"
#include <string.h>

/* ---- what a function needs ---- */

static bool need(Hole *h, Ex e);

static bool need_variable(Hole *h, uint32_t v) {
  for (int g = 0; g < h->ngroups; g++)
    for (int i = 0; i < h->group[g].axes->n; i++)
      if (h->group[g].axes->var[i] == v) return h->group[g].touched[i] = true;
  const LoopVar *x = &h->k->vars.at[v];
  if (x->kind != VAR_LET) return x->kind == VAR_DIM;
  h->need[v] = true;
  return need(h, x->value);
}

static bool need(Hole *h, Ex e) {
  if (!e || h->seen[e]) return true;
  h->seen[e] = true;
  const Expr x = *ex_at(h->k, e);
  if (x.op == OP_VAR && !need_variable(h, x.ref)) return false;
  if (x.op == OP_REG && (!h->sum || x.ref != h->p->sum)) return false;
  for (int i = 0; i < x.nin; i++)
    if (!need(h, h->k->arg.at[x.in + (uint32_t)i])) return false;
  return need(h, x.mask) && need(h, x.other);
}

/* ---- copies ---- */

static Ex replacement(void *ctx, Kernel *k, Ex e) {
  const Hole *h = ctx;
  const Expr *x = ex_at(k, e);
  if (x->op == OP_VAR && x->ref < h->nvars) return h->map[x->ref];
  return x->op == OP_REG && x->ref == h->p->sum ? h->sum : 0;
}

static Ex copy(Hole *h, Ex e) { return e ? ex_rewrite(h->k, e, replacement, h) : 0; }

typedef struct Part { /* of a stage: its stores and failures are the function's */
  const Stmt *from, *to;
  bool inside;
} Part;

/* Marks what the stores and failures of a part need. False: it has statements that a function cannot have. */
static bool need_part(Hole *h, const Stmt *from, const Stmt *to) {
  for (const Stmt *s = from; s != to; s = s->next) {
    if (s->kind == STMT_LET) continue;
    if (s->kind != STMT_STORE && s->kind != STMT_FAIL) return false;
    bool ok = need(h, s->value) && need(h, s->mask);
    for (int i = 0; i < s->nindex; i++) ok &= need(h, s->index[i]);
    if (!ok) return false;
  }
  return true;
}

/* Copies, in order, the lets that are needed, and what else is in the part. */
static void copy_block(Hole *h, const Stmt *s, Part *part) {
  Kernel *k = h->k;
  for (; s; s = s->next) {
    if (s == part->from) part->inside = true;
    if (s == part->to) part->inside = false;
    if (s->kind == STMT_LET && h->need[s->ref] && !h->map[s->ref])
      h->map[s->ref] = loop_let(k, k->vars.at[s->ref].name, copy(h, s->value));
    if (part->inside && s->kind == STMT_FAIL) loop_fail(k, s->code, copy(h, s->value));
    if (part->inside && s->kind == STMT_STORE) {
      Ex index[LOOP_RANK];
      for (int i = 0; i < s->nindex; i++) index[i] = copy(h, s->index[i]);
      loop_store(k, s->ref, index, s->nindex, copy(h, s->value), copy(h, s->mask));
    }
    if (!part->inside) {
      copy_block(h, s->body, part);
      copy_block(h, s->other, part);
    }
  }
}

/* ---- parameters ---- */

bool hole_divides(const Kernel *k, int lanes, Sym size) {
  Sym fact = loop_multiple(k->ctx->syms, size, lanes);
  int64_t holds;
  if (sym_is_int(k->ctx->syms, fact, &holds)) return holds;
  for (uint32_t i = 0; i < k->facts.n; i++)
    if (k->facts.at[i] == fact) return true;
  return false;
}

static Sym total(const Kernel *k, const LoopAxes *a) { return sym_product(k->ctx->syms, a->extent, a->n); }

/* Neighbours along a group never leave its last axis: then that has the lanes, else the flat number has. */
static bool last_has_lanes(const Kernel *k, const LoopAxes *a, int lanes) {
  return a->n && hole_divides(k, lanes, a->extent[a->n - 1]);
}

static Ex parameter(Kernel *k, const char *name, Sym extent, int64_t step) {
  Ex var;
  loop_for_step(k, name, ex_idx(k, 0), loop_sym(k, extent), step, &var);
  return var;
}

/* Variables for a group's axes: as scalars; `lanes` > 1: it is the one that has lanes. */
static void add_group(Hole *h, const char *name, const LoopAxes *axes, int lanes) {
  Kernel *k = h->k;
  HoleAxes *g = &h->group[h->ngroups++];
  *g = (HoleAxes){.name = name, .axes = axes};
  g->flat = parameter(k, name, total(k, axes), lanes);
  for (int i = 0; i < axes->n; i++) {
    int step = i == axes->n - 1 ? lanes : 1;
    g->var[i] = axes->n == 1 ? g->flat : parameter(k, k->vars.at[axes->var[i]].name, axes->extent[i], step);
    h->map[axes->var[i]] = g->var[i];
  }
}

/* The vector loop over a group's neighbours. */
static void open_lanes(Hole *h, HoleAxes *g, int lanes) {
  Kernel *k = h->k;
  SymTab *t = k->ctx->syms;
  const LoopAxes *a = g->axes;
  Ex j, width = ex_idx(k, lanes);
  if (last_has_lanes(k, a, lanes)) {
    Ex first = g->var[a->n - 1];
    g->touched[a->n - 1] = true;
    loop_for(k, "j", first, ex_add(k, first, width), FOR_VECTOR, lanes, TAIL_NONE, &j);
    h->map[a->var[a->n - 1]] = j;
    return;
  }
  Ex end = ex_op2(k, OP_MINIMUM, loop_sym(k, total(k, a)), ex_add(k, g->flat, width));
  loop_for(k, "j", g->flat, end, FOR_VECTOR, lanes, TAIL_MASK, &j);
  for (int i = 0; i < a->n; i++) {
    Ex behind = loop_sym(k, sym_product(t, a->extent + i + 1, a->n - i - 1)), e = ex_op2(k, OP_FLOOR_DIV, j, behind);
    h->map[a->var[i]] = i ? ex_op2(k, OP_FLOOR_MOD, e, loop_sym(k, a->extent[i])) : e;
    g->touched[i] = false; /* it is worked out lane by lane */
  }
}

/* ---- the functions ---- */

static void begin(Hole *h, Kernel *k, const Stage *st) {
  Arena *a = k->ctx->arena;
  *h = (Hole){.k = k, .stage = st, .p = st->product, .nvars = k->vars.n};
  h->map = ARENA_ARRAY(a, Ex, k->vars.n + 1);
  h->need = ARENA_ARRAY(a, bool, k->vars.n + 1);
  h->seen = ARENA_ARRAY(a, bool, k->ex.n + 1);
  loop_stage(k, "hole"); /* which is not of the kernel */
  (void)vec_pop(&k->stages);
}

static void end(Hole *h, Stmt *const *text) {
  while (h->k->depth) loop_end(h->k);
  h->text = *text;
}

static void operand_groups(Hole *h, bool right, int lanes, bool along_k) {
  const LoopProduct *p = h->p;
  add_group(h, "outer", &p->outer, 1);
  add_group(h, right ? "n" : "m", right ? &p->columns : &p->rows, along_k ? 1 : lanes);
  add_group(h, "k", &p->sums, along_k ? lanes : 1);
}

/* Loads neighbours into v[lanes]. */
static bool make_load(Kernel *k, const Stage *st, bool right, int lanes, bool along_k, Hole *h) {
  const LoopProduct *p = st->product;
  const Stmt *from = right ? p->b : p->a, *to = right ? p->add : p->b;
  uint32_t value = right ? p->b_value : p->a_value;
  begin(h, k, st);
  h->lanes = lanes;
  operand_groups(h, right, lanes, along_k);
  h->reg = loop_reg(k, "v", k->vars.at[value].dtype, lanes, 0, NULL, 0);
  Stmt **text = k->tail[k->depth];
  bool ok = need_variable(h, value) && need_part(h, from, to);
  open_lanes(h, &h->group[along_k ? 2 : 1], lanes);
  if (ok) {
    copy_block(h, st->body, &(Part){from, to, false});
    Ex v = h->map[value];
    loop_assign(k, h->reg, NULL, 0, ex_at(k, v)->lanes == 1 ? ex_splat(k, v, lanes) : v, 0);
  }
  end(h, text);
  return ok;
}

Ex hole_load(const Kernel *k, Ex e, DType type, Ex *there) {
  for (*there = 0;;) {
    const Expr x = *ex_at(k, e);
    const Ex *in = k->arg.at + x.in;
    if (x.op == OP_VAR && k->vars.at[x.ref].kind == VAR_LET)
      e = k->vars.at[x.ref].value;
    else if (x.op == OP_CONVERT && ex_at(k, in[0])->dtype == type)
      e = in[0];
    else if (x.op == OP_SELECT && !*there && ex_at(k, in[2])->op == OP_LITERAL && ex_at(k, in[2])->u.f == 0)
      *there = in[0], e = in[1];
    else if (x.op != OP_LOAD || x.dtype != type || x.other || (x.mask && *there))
      return 0;
    else {
      if (x.mask) *there = x.mask;
      return e;
    }
  }
}

/* The neighbours that `load` loads lie side by side, all there or none. */
static bool side_by_side(Hole *load, uint32_t value, DType type, int lanes, bool along_k) {
  Kernel *k = load->k;
  Ex there, e = hole_load(k, load->map[value], type, &there), index[LOOP_RANK];
  if (!e || !last_has_lanes(k, load->group[along_k ? 2 : 1].axes, lanes)) return false;
  const Expr x = *ex_at(k, e);
  memcpy(index, k->arg.at + x.in, (size_t)x.nin * sizeof *index);
  const LoopBuf *b = &k->bufs.at[x.ref];
  return (!there || ex_at(k, there)->lanes == 1) && lanes * (int)dtype_size(type) == 16 && b->kind <= BUF_INOUT &&
         b->layout == LAYOUT_ROWS && loop_access(k, x.ref, index, x.nin, lanes) == ACCESS_CONTIGUOUS &&
         loop_divisor(k, index[x.nin - 1]) % lanes == 0 && (x.nin == 1 || hole_divides(k, lanes, b->dim[x.nin - 1]));
}

static bool has_failure(const Stmt *s, const Stmt *to) {
  while (s != to && s->kind != STMT_FAIL) s = s->next;
  return s != to;
}

static bool make_at(Kernel *k, const Stage *st, bool right, DType type, int lanes, bool along_k, Hole *h) {
  const LoopProduct *p = st->product;
  uint32_t value = right ? p->b_value : p->a_value;
  begin(h, k, st);
  operand_groups(h, right, lanes, along_k);
  Stmt **text = k->tail[k->depth];
  Ex e = hole_load(k, k->vars.at[value].value, type, &h->there);
  const Expr x = *ex_at(k, e);
  bool ok = !h->there || need(h, h->there);
  for (int i = 0; i < x.nin; i++) ok &= need(h, h->index[i] = k->arg.at[x.in + (uint32_t)i]);
  if (ok) copy_block(h, st->body, &(Part){0});
  h->buf = x.ref;
  h->nindex = x.nin;
  for (int i = 0; i < x.nin; i++) h->index[i] = copy(h, h->index[i]);
  h->there = copy(h, h->there);
  end(h, text);
  return ok;
}

/* Whether a value loads neighbours from neighbours, whatever it makes of them. */
static bool loads_neighbours(Kernel *k, Ex e, int lanes, bool *seen) {
  if (!e || seen[e]) return false;
  seen[e] = true;
  const Expr x = *ex_at(k, e);
  Ex index[LOOP_RANK];
  if (x.op == OP_VAR && k->vars.at[x.ref].kind == VAR_LET)
    return loads_neighbours(k, k->vars.at[x.ref].value, lanes, seen);
  if (x.op == OP_LOAD) {
    memcpy(index, k->arg.at + x.in, (size_t)x.nin * sizeof *index);
    return x.lanes == lanes && loop_access(k, x.ref, index, x.nin, lanes) == ACCESS_CONTIGUOUS;
  }
  for (int i = 0; i < x.nin; i++)
    if (loads_neighbours(k, k->arg.at[x.in + (uint32_t)i], lanes, seen)) return true;
  return false;
}

bool hole_operand(Kernel *k, const Stage *st, bool right, DType type, int lanes, Operand *o) {
  const LoopProduct *p = st->product;
  uint32_t value = right ? p->b_value : p->a_value;
  bool fails = has_failure(right ? p->b : p->a, right ? p->add : p->b);
  *o = (Operand){.along_k = true};
  for (int along_k = 1; along_k >= 0; along_k--) {
    Hole load;
    if (!make_load(k, st, right, lanes, along_k, &load)) return false;
    o->in_memory = !fails && side_by_side(&load, value, type, lanes, along_k);
    bool better =
        o->in_memory || loads_neighbours(k, load.map[value], lanes, ARENA_ARRAY(k->ctx->arena, bool, k->ex.n + 1));
    if (along_k || better) o->load = load, o->along_k = along_k;
    if (better) break;
  }
  o->wide = last_has_lanes(k, o->load.group[o->along_k ? 2 : 1].axes, lanes);
  return !o->in_memory || make_at(k, st, right, type, lanes, o->along_k, &o->at);
}

bool hole_store(Kernel *k, const Stage *st, int lanes, Hole *h) {
  const LoopProduct *p = st->product;
  begin(h, k, st);
  h->lanes = lanes;
  add_group(h, "outer", &p->outer, 1);
  add_group(h, "m", &p->rows, 1);
  add_group(h, "n", &p->columns, lanes);
  h->reg = loop_reg(k, "v", k->regs.at[p->sum].dtype, lanes, 0, NULL, 0);
  h->sum = ex_reg(k, h->reg, NULL, 0);
  Stmt **text = k->tail[k->depth];
  bool ok = need_part(h, p->epilogue, p->end) && (!p->summed || need_variable(h, p->summed));
  open_lanes(h, &h->group[2], lanes);
  if (ok) copy_block(h, st->body, &(Part){p->epilogue, p->end, false});
  if (ok && p->summed) {
    Ex v = h->map[p->summed];
    loop_assign(k, h->reg, NULL, 0, ex_at(k, v)->lanes == 1 ? ex_splat(k, v, lanes) : v, 0);
  }
  end(h, text);
  return ok;
}

void hole_partial(Kernel *k, const Stage *st, Hole *h) {
  const LoopProduct *p = st->product;
  begin(h, k, st);
  h->lanes = 1;
  add_group(h, "outer", &p->outer, 1);
  add_group(h, "m", &p->rows, 1);
  add_group(h, "n", &p->columns, 1);
  h->reg = loop_reg(k, "v", DT_F32, 1, 0, NULL, 0);
  Stmt **text = k->tail[k->depth];
  Ex m = h->group[1].flat, n = h->group[2].flat, size = ex_idx(k, LOOP_SUM_PART);
  Ex at[2] = {ex_op2(k, OP_FLOOR_DIV, p->along ? n : m, size), p->along ? m : n};
  loop_store(k, p->partial, at, 2, ex_reg(k, h->reg, NULL, 0), 0);
  end(h, text);
}

/* ---- text ---- */

#define TEXT(c, ...) arena_printf((c)->arena, __VA_ARGS__)

static const char *index_type(const Cuda *c) { return dtype_name(c->index); }

static const char *size(Cuda *c, const LoopAxes *a, int from) {
  Kernel *k = c->k;
  return cuda_print_value(c, loop_sym(k, sym_product(k->ctx->syms, a->extent + from, a->n - from)));
}

void hole_print_size(const HoleText *t, const char *suffix, const LoopAxes *a) {
  Cuda *c = t->c;
  c->out = (Buf){0};
  const char *all = size(c, a, 0);
  buf_printf(&c->out, "  return %s;\n", all);
  buf_printf(t->out, "DEVICE %s %s%s(%s_args args) {\n  (void)args;\n", index_type(c), t->name, suffix, t->name);
  cuda_print_body(t->given, c->out.at, t->out);
  buf_put(t->out, "}\n");
  buf_free(&c->out);
}

void hole_print_terms(const HoleText *t, const LoopProduct *p) {
  Cuda *c = t->c;
  SymTab *syms = c->k->ctx->syms;
  const char *type = index_type(c);
  for (int end = 0; end < 2; end++) {
    c->out = (Buf){0};
    const char *e = end ? size(c, &p->sums, 0) : "0";
    if (p->part) { /* the first of the outer axes */
      Sym terms = sym_mul(syms, p->chunk, sym_product(syms, p->sums.extent + 1, p->sums.n - 1));
      const char *behind = size(c, &p->outer, 1), *span = cuda_print_value(c, loop_sym(c->k, terms));
      const char *first = TEXT(c, "outer / (%s) * (%s)", behind, span);
      e = end ? TEXT(c, "min_%s(%s, %s + (%s))", type, e, first, span) : first;
    }
    buf_printf(&c->out, "  return %s;\n", e);
    buf_printf(t->out, "DEVICE %s %s%s(%s_args args, %s outer) {\n  (void)args;\n  (void)outer;\n", type, t->name,
               end ? "_to" : "_from", t->name, type);
    cuda_print_body(t->given, c->out.at, t->out);
    buf_put(t->out, "}\n");
    buf_free(&c->out);
  }
}

/* The head, and the axes that the body names, by division of flat numbers. */
static void open_function(const HoleText *t, const char *result, const char *suffix, Hole *h, const char *last) {
  Cuda *c = t->c;
  const char *type = index_type(c);
  buf_printf(t->out, "DEVICE %s %s%s(%s_args args", result, t->name, suffix, t->name);
  for (int g = 0; g < h->ngroups; g++) buf_printf(t->out, ", %s %s", type, h->group[g].name);
  buf_printf(t->out, "%s) {\n", last);
  for (int g = 0; g < h->ngroups; g++) buf_printf(t->out, "  (void)%s;\n", h->group[g].name);
  buf_put(t->out, "  (void)args;\n");
  c->out = (Buf){0};
  c->depth = 1;
  for (int g = 0; g < h->ngroups; g++) {
    HoleAxes *x = &h->group[g];
    c->var[ex_at(c->k, x->flat)->ref] = x->name;
    for (int i = 0; i < x->axes->n && x->axes->n > 1; i++) {
      uint32_t v = ex_at(c->k, x->var[i])->ref;
      const char *name = c->var[v] = TEXT(c, "%s_%u", c->k->vars.at[v].name, c->names++), *e = x->name;
      if (!x->touched[i]) continue;
      if (i < x->axes->n - 1) e = TEXT(c, "%s / (%s)", e, size(c, x->axes, i + 1));
      if (i) e = TEXT(c, "%s %% (%s)", e, cuda_print_value(c, loop_sym(c->k, x->axes->extent[i])));
      buf_printf(&c->out, "  const %s %s = %s;\n", type, name, e);
    }
  }
}

static void close_function(const HoleText *t) {
  Cuda *c = t->c;
  cuda_print_body(t->given, c->out.n ? c->out.at : "", t->out);
  buf_put(t->out, "}\n");
  buf_free(&c->out);
}

void hole_print(const HoleText *t, const char *suffix, Hole *h) {
  Cuda *c = t->c;
  const char *v = cuda_print_reg(c, h->reg);
  const char *type = h->lanes == 1 ? "float " : h->sum && !h->p->summed ? "const float *" : "float *";
  open_function(t, "void", suffix, h, TEXT(c, ", %s%s", type, v));
  cuda_print_block(c, h->text);
  close_function(t);
}

void hole_print_at(const HoleText *t, const char *suffix, Hole *h) {
  Cuda *c = t->c;
  open_function(t, "const void *", suffix, h, "");
  cuda_print_block(c, h->text);
  const char *there = h->there ? cuda_print_value(c, h->there) : NULL,
             *place = cuda_print_place(c, h->buf, h->index, h->nindex);
  buf_printf(&c->out, there ? "  return %s ? %s : 0;\n" : "  return %s%s;\n", there ? there : "", place);
  close_function(t);
}
