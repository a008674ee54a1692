#include "hole.h"

void hole_begin(Lower *l, LoopHole *h, int n, const Sym *extent, int64_t run, Ex *var) {
  static const char *const name[] = {"a", "b", "c"};
  Kernel *k = l->k;
  loop_stage(k, "hole"); /* which is not of the kernel */
  (void)vec_pop(&k->stages);
  l->memo.n = 0;
  for (int i = 0; i < n; i++) {
    loop_for_step(k, name[i], ex_idx(k, 0), loop_sym(k, extent[i]), i == n - 1 ? run : 1, &var[i]);
    h->var[i] = ex_at(k, var[i])->ref;
  }
  h->begin = k->tail[k->depth];
}

Ex hole_given(Lower *l, LoopHole *h, int n, const char *name, DType d, int lanes) {
  h->reg[n] = loop_reg(l->k, name, d, lanes, 0, NULL, 0);
  h->begin = l->k->tail[l->k->depth];
  return ex_reg(l->k, h->reg[n], NULL, 0);
}

void hole_end(Lower *l, LoopHole *h, Ex value) {
  h->value = value;
  while (l->k->depth) loop_end(l->k);
  h->text = *h->begin;
}

int hole_width(const Lower *l) {
  for (uint32_t i = 0; i < l->grp->outputs.n; i++)
    if (dtype_is_half(graph_dtype(l->g, l->grp->outputs.at[i]))) return HOLE_RUN;
  return HOLE_RUN / 2;
}
