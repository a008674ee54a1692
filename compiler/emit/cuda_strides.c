#include "cuda_strides.h"

typedef struct Walk {
  Kernel *k;
  SymTab *syms;
  const AxisList *axes;
  Strides *to;
} Walk;

enum { MOST_UNIT = 8 };

static int smaller(int a, int b) { return a < b ? a : b; }

/* A power of two, at most 8, that is known to divide s. */
static int unit_of(const Walk *w, Sym s) {
  int64_t v;
  bool number = sym_is_int(w->syms, s, &v);
  for (int unit = MOST_UNIT; unit > 1; unit /= 2) {
    if (number && v % unit == 0) return unit;
    Sym fact = loop_multiple(w->syms, s, unit);
    for (uint32_t i = 0; !number && i < w->k->facts.n; i++)
      if (w->k->facts.at[i] == fact) return unit;
  }
  return 1;
}

static Ex operand(const Walk *w, const Expr *x, int i) { return w->k->arg.at[x->in + (uint32_t)i]; }

/* An expression of dimensions alone; 0: it is none. */
static Sym as_sym(const Walk *w, Ex e) {
  const Expr *x = ex_at(w->k, e);
  if (x->op == OP_LITERAL) return sym_int(w->syms, x->u.i);
  if (x->op == OP_VAR) {
    const LoopVar *v = &w->k->vars.at[x->ref];
    if (v->kind == VAR_DIM) return w->k->dims.at[x->ref].var;
    return v->kind == VAR_LET ? as_sym(w, v->value) : 0;
  }
  if (x->nin != 2 || x->lanes != 1) return 0;
  Sym a = as_sym(w, operand(w, x, 0)), b = a ? as_sym(w, operand(w, x, 1)) : 0;
  if (!b) return 0;
  switch ((Op)x->op) {
  case OP_ADD: return sym_add(w->syms, a, b);
  case OP_SUB: return sym_sub(w->syms, a, b);
  case OP_MUL: return sym_mul(w->syms, a, b);
  default: return 0;
  }
}

/* It cannot be negative: made of what is not. */
static bool counts(const Walk *w, Ex e) {
  const Expr *x = ex_at(w->k, e);
  if (x->op == OP_LITERAL) return x->u.i >= 0;
  if (x->op == OP_ADD || x->op == OP_MUL) return counts(w, operand(w, x, 0)) && counts(w, operand(w, x, 1));
  if (x->op != OP_VAR) return false;
  const LoopVar *v = &w->k->vars.at[x->ref];
  return v->kind == VAR_DIM || (v->kind == VAR_LET && counts(w, v->value));
}

/* Adds scale * e to the strides; scale is a multiple of unit, and not negative. */
static bool add(Walk *w, Ex e, Sym scale, int unit) {
  const Expr x = *ex_at(w->k, e);
  Strides *p = w->to;
  for (int i = 0; x.op == OP_VAR && i < w->axes->n; i++)
    if (w->axes->var[i] == x.ref) {
      p->step[i] = sym_add(w->syms, p->step[i], scale);
      p->unit[i] = smaller(p->unit[i], unit);
      return true;
    }
  Sym number = as_sym(w, e);
  if (number) {
    p->at = sym_add(w->syms, p->at, sym_mul(w->syms, scale, number));
    p->at_unit = smaller(p->at_unit, smaller(MOST_UNIT, unit * unit_of(w, number)));
    return true;
  }
  if (x.op == OP_VAR && w->k->vars.at[x.ref].kind == VAR_LET) return add(w, w->k->vars.at[x.ref].value, scale, unit);
  if (x.op == OP_ADD) return add(w, operand(w, &x, 0), scale, unit) && add(w, operand(w, &x, 1), scale, unit);
  if (x.op != OP_MUL) return false;
  for (int i = 0; i < 2; i++) {
    Ex factor = operand(w, &x, i);
    Sym by = counts(w, factor) ? as_sym(w, factor) : 0;
    if (by)
      return add(w, operand(w, &x, 1 - i), sym_mul(w->syms, scale, by), smaller(MOST_UNIT, unit * unit_of(w, by)));
  }
  return false;
}

void strides_axes(AxisList *to, const LoopAxes *group) {
  for (int i = 0; i < group->n; i++) to->var[to->n++] = group->var[i];
}

bool strides_of(Kernel *k, uint32_t buf, const Ex *index, const AxisList *axes, Strides *p) {
  const LoopBuf b = k->bufs.at[buf];
  SymTab *t = k->ctx->syms;
  Walk w = {k, t, axes, p};
  Sym scale = sym_int(t, 1);
  int unit = 1;
  if (b.kind > BUF_INOUT || b.layout != LAYOUT_ROWS || b.list || b.buffers) return false;
  *p = (Strides){.buf = buf, .at = sym_int(t, 0), .at_unit = MOST_UNIT};
  for (int i = 0; i < axes->n; i++) p->step[i] = sym_int(t, 0), p->unit[i] = MOST_UNIT;
  for (int i = b.rank - 1; i >= 0; i--) {
    if (!add(&w, index[i], scale, unit)) return false;
    scale = sym_mul(t, scale, b.dim[i]);
    unit = smaller(MOST_UNIT, unit * unit_of(&w, b.dim[i]));
  }
  return true;
}

void strides_runs(const Kernel *k, const Strides *const *all, int n, const LoopAxes *group, int first, Runs *to) {
  SymTab *t = k->ctx->syms;
  int last = -1;
  to->n = 0;
  for (int i = 0; i < group->n; i++) {
    int64_t one;
    if (sym_is_int(t, group->extent[i], &one) && one == 1) continue;
    bool goes_on = last >= 0;
    for (int p = 0; p < n && goes_on; p++)
      goes_on = all[p]->step[first + last] == sym_mul(t, all[p]->step[first + i], group->extent[i]);
    Sym before = goes_on ? to->run[--to->n].extent : sym_int(t, 1);
    to->run[to->n++] = (Run){.step = all[0]->step[first + i],
                             .extent = sym_mul(t, before, group->extent[i]),
                             .behind = sym_product(t, group->extent + i + 1, group->n - i - 1),
                             .unit = all[0]->unit[first + i]};
    last = i;
  }
}
