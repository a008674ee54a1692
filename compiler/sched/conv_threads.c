/* Convolution on a GPU: a thread has one element of the result. Neighbours lie along its last axis, so that they read
 * neighbours of the operand, and the same elements of the kernel. Places beside the operand are masked. */
#include "conv.h"
#include <string.h>

enum { UNROLLED_WINDOW = 25 /* places */ };

/* The terms of an element, one variable each: neighbours of the innermost lie side by side in the operand. */
static void open_terms(Conv *c) {
  static const char *const window[] = {"k0", "k1", "k2"};
  Lower *l = c->l;
  Kernel *k = l->k;
  bool channels_inside = lower_along(l, c->x, 1);
  Sym inputs = graph_shape(l->g, c->kernel)[1], places = sym_product(l->all->ctx->syms, c->w.size, c->w.n);
  int64_t n;
  bool unrolled = sym_is_int(l->all->ctx->syms, places, &n) && n <= UNROLLED_WINDOW;
  Ex zero = ex_idx(k, 0);
  if (!channels_inside) loop_for(k, "i", zero, lower_dim(l, inputs), FOR_SERIAL, 0, TAIL_NONE, &c->i);
  for (int a = 0; a < c->w.n; a++)
    loop_for(k, window[a], zero, lower_dim(l, c->w.size[a]), unrolled ? FOR_UNROLL : FOR_SERIAL, 0, TAIL_NONE,
             &c->e[a]);
  if (channels_inside) loop_for(k, "i", zero, lower_dim(l, inputs), FOR_SERIAL, 0, TAIL_NONE, &c->i);
}

static Ex operand(Conv *c) {
  Lower *l = c->l;
  Ex at[MAX_RANK], inside[MAX_RANK], there = 0;
  conv_operand_index(c, 0, 0, at, inside);
  for (int a = 0; a < c->w.n; a++)
    if (inside[a]) there = there ? ex_op2(l->k, OP_AND, there, inside[a]) : inside[a];
  if (there) there = loop_let(l->k, "there", there);
  return window_pull(l, c->x, at, c->w.n + 2, there, lower_zero(l, c->dtype));
}

void conv_threads(Conv *c, Sym products) {
  Lower *l = c->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  const Sym *y = graph_shape(l->g, c->v);
  int rank = c->w.n + 2;
  /* batch, group, channel of it, place */
  Sym shape[MAX_RANK + 1] = {y[0], sym_int(t, c->groups * c->batches), c->per};
  Ex own[MAX_RANK + 1], at[MAX_RANK];
  memcpy(shape + 3, y + 2, (size_t)c->w.n * sizeof *y);
  lower_stage(l, "main", products, 1, false);
  lower_products(l, products, target_lanes(l->all->target, c->dtype), sym_int(t, 0));
  threads_index(l, threads_line(l, lower_total(l, y, rank)), shape, rank + 1, own);
  c->batch = own[0], c->group = own[1];
  memcpy(c->p, own + 3, (size_t)c->w.n * sizeof *own);
  conv_group(c);
  at[0] = c->batch, at[1] = ex_add(k, ex_mul(k, c->group, lower_dim(l, c->per)), own[2]);
  memcpy(at + 2, c->p, (size_t)c->w.n * sizeof *at);
  uint32_t sum = loop_reg(k, "sum", c->dtype, 1, 0, NULL, lower_zero(l, c->dtype)), mark = l->memo.n;
  int depth = k->depth;
  open_terms(c);
  Ex a = operand(c);
  l->memo.n = mark;
  Ex b = conv_weight(c, at[1]);
  loop_assign(k, sum, NULL, 0, conv_product(c, a, b, ex_reg(k, sum, NULL, 0)), 0);
  while (k->depth > depth) loop_end(k);
  l->memo.n = mark;
  lower_remember(l, c->v, at, rank, ex_reg(k, sum, NULL, 0));
  lower_store_outputs(l, at);
  nest_close(l);
  l->out->schedule = "conv(threads)";
}
