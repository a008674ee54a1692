#include "product.h"
#include <math.h>

enum { BLOCKS = 216, TILE = 128 }; /* that fill a GPU; of a side */
enum { TERMS = 512, PARTS = 32 };  /* of a part, at least; at most */

ProductCut product_cut(const Lower *l, Sym outer, Sym rows, Sym columns, Sym first, Sym inner, int64_t begins) {
  SymTab *t = l->all->ctx->syms;
  double terms = loop_likely(l->k, sym_mul(t, first, inner)), tiles = loop_likely(l->k, outer);
  tiles *= ceil(loop_likely(l->k, rows) / TILE) * ceil(loop_likely(l->k, columns) / TILE);
  double parts = fmin(fmin(floor(BLOCKS / tiles), floor(terms / TERMS)), fmin(PARTS, loop_likely(l->k, first)));
  if (!(parts >= 2)) return (ProductCut){0};
  ProductCut c = {.parts = (int64_t)parts, .chunk = sym_div_up(t, first, sym_int(t, (int64_t)parts))};
  if (!sym_divides(l->all->facts, begins, inner)) c.chunk = sym_round_up(t, c.chunk, sym_int(t, begins));
  return c;
}

void product_axis(const Lower *l, LoopAxes *a, Ex var, Sym extent) {
  a->var[a->n] = ex_at(l->k, var)->ref;
  a->extent[a->n++] = extent;
}

void product_loop(Lower *l, LoopProduct *p, const char *name, Sym extent, ForMode mode, const ProductCut *cut, Ex part,
                  Ex *var) {
  Kernel *k = l->k;
  Ex lo = ex_idx(k, 0), hi = lower_dim(l, extent);
  if (cut->parts && !p->sums.n) {
    Ex chunk = lower_dim(l, cut->chunk);
    mode = FOR_SERIAL;
    lo = loop_let(k, "lo", ex_mul(k, part, chunk));
    hi = ex_op2(k, OP_MINIMUM, hi, ex_add(k, lo, chunk));
  }
  loop_for(k, name, lo, hi, mode, 0, TAIL_NONE, var);
  product_axis(l, &p->sums, *var, extent);
}

void product_whole(Lower *l, const LoopProduct *p) {
  SymTab *t = l->all->ctx->syms;
  const LoopAxes *const all[] = {&p->rows, &p->columns, &p->sums};
  for (int g = 0; g < 3; g++)
    for (int i = 0; i < all[g]->n; i++)
      for (int lanes = 4; lanes <= 8; lanes *= 2) {
        Sym extent = all[g]->extent[i];
        if (!sym_is_int(t, extent, NULL) && sym_divides(l->all->facts, lanes, extent))
          loop_fact(l->k, loop_multiple(t, extent, lanes));
      }
}

Stmt **product_next(const Kernel *k) { return k->tail[k->depth]; }
