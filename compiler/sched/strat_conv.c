/* Convolution as it lies in memory. A task is some channels of one row of the result; a tile keeps one vector of each of
 * them in registers. The vector runs along the last axis of the result, or, where that is short and the window's is longer
 * (the gradient of a kernel), along the window, whose lanes fold at the end. */
#include "nest.h"
#include <string.h>

typedef struct Conv {
  Lower *l;
  Id v, x, kernel;
  Windows w;
  DType dtype;
  bool reverse;
  int lanes, tile, cols;   /* channels of a tile; cols > 0: so many results of the last axis, lanes along the window */
  bool rest;               /* the channels of a group do not divide into tiles */
  Ex batch, row, channel;  /* of the result; the operand's row and first channel */
  Ex first, end;           /* channels of the tile begin here, those of the group end here */
  Ex p[MAX_RANK], q[MAX_RANK], e[MAX_RANK]; /* place of the result, of the operand, in the window; an axis of space each */
  Ex i;                    /* input channel within the group */
} Conv;

static int round_lanes(int lanes, int64_t n) { /* the least power of two from 2 on that holds n, at most `lanes` */
  while (lanes > 2 && lanes / 2 >= n) lanes /= 2;
  return lanes;
}

static void choose(Conv *c, Sym per) {
  Lower *l = c->l;
  SymTab *t = l->all->ctx->syms;
  int last = c->w.n - 1, regs = l->all->target->vector_regs;
  int64_t wide = INT64_MAX, size = INT64_MAX, channels = INT64_MAX;
  sym_is_int(t, graph_shape(l->g, c->v)[2 + last], &wide);
  sym_is_int(t, c->w.size[last], &size);
  sym_is_int(t, per, &channels);
  c->lanes = target_lanes(l->all->target, c->dtype);
  int most = regs >= 32 ? 16 : 8;
  if (wide < size && 2 * wide + 3 <= regs && wide <= 8) {
    c->cols = (int)wide;
    most = (regs - 3 - c->cols) / c->cols;
    if (most > 8) most = 8;
  }
  c->lanes = round_lanes(c->lanes, c->cols ? size : wide);
  c->tile = channels == INT64_MAX ? 4 < most ? 4 : most : 1;
  if (channels != INT64_MAX) /* the fewest tiles, then the least left over */
    while (c->tile < most && (channels + c->tile - 1) / c->tile > (channels + most - 1) / most) c->tile++;
  c->rest = channels == INT64_MAX || channels % c->tile != 0;
}

static Ex tile_channel(Conv *c, Ex j) {
  Kernel *k = c->l->k;
  Ex o = ex_add(k, c->first, j);
  return c->rest ? ex_op2(k, OP_MINIMUM, o, ex_op2(k, OP_SUB, c->end, ex_idx(k, 1))) : o;
}

static Ex weight(Conv *c, Ex j) {
  Kernel *k = c->l->k;
  Ex at[MAX_RANK] = {tile_channel(c, j), c->i};
  for (int a = 0; a < c->w.n; a++) {
    at[2 + a] = c->e[a];
    if (c->reverse) at[2 + a] = ex_op2(k, OP_SUB, ex_op2(k, OP_SUB, lower_dim(c->l, c->w.size[a]), ex_idx(k, 1)), c->e[a]);
  }
  return lower_pull(c->l, c->kernel, at, c->w.n + 2);
}

static Ex operand(Conv *c, Ex inside) {
  Ex at[MAX_RANK] = {c->row, ex_add(c->l->k, c->channel, c->i)};
  for (int a = 0; a < c->w.n; a++) at[2 + a] = c->q[a];
  return window_pull(c->l, c->x, at, c->w.n + 2, inside, lower_zero(c->l, c->dtype));
}

static Ex product(Conv *c, Ex a, Ex b, Ex sum) {
  Kernel *k = c->l->k;
  return dtype_is_float(c->dtype) ? ex_op3(k, OP_FMA, a, b, sum) : ex_add(k, sum, ex_mul(k, a, b));
}

static Ex place(Conv *c, int a, Ex *inside) {
  return window_place(c->l, &c->w, a, graph_shape(c->l->g, c->x)[2 + a], c->p[a], c->e[a], inside);
}

/* Loops over the window's axes but the last, leaving out what lies beside the operand. */
static void open_rows(Conv *c) {
  static const char *const name[] = {"k0", "k1", "k2"};
  Lower *l = c->l;
  for (int a = 0; a < c->w.n - 1; a++) {
    Ex inside = 0;
    loop_for(l->k, name[a], ex_idx(l->k, 0), lower_dim(l, c->w.size[a]), FOR_SERIAL, 0, TAIL_NONE, &c->e[a]);
    c->q[a] = loop_let(l->k, "q", place(c, a, &inside));
    if (inside) loop_if(l->k, inside);
  }
}

static void open_channels(Conv *c) {
  Lower *l = c->l;
  loop_for(l->k, "i", ex_idx(l->k, 0), lower_dim(l, graph_shape(l->g, c->kernel)[1]), FOR_SERIAL, 0, TAIL_NONE, &c->i);
}

static void store(Conv *c, Ex j, Ex value) {
  Kernel *k = c->l->k;
  Ex at[MAX_RANK] = {c->batch, ex_add(k, c->first, j)};
  memcpy(at + 2, c->p, (size_t)c->w.n * sizeof *at);
  if (c->rest) loop_if(k, ex_op2(k, OP_LESS, at[1], c->end));
  lower_store(c->l, c->v, at, c->w.n + 2, value, 0);
  if (c->rest) loop_end(k);
}

static void close_to(Lower *l, int depth) {
  while (l->k->depth > depth) loop_end(l->k);
}

/* Lanes along the last axis of the result. */
static void columns(Conv *c) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int last = c->w.n - 1;
  int64_t dim = c->tile;
  Ex zero = ex_idx(k, 0), j, inside = 0;
  loop_for(k, "c", zero, lower_dim(l, graph_shape(l->g, c->v)[2 + last]), FOR_VECTOR, c->lanes, lower_tail(l), &c->p[last]);
  uint32_t t = loop_reg(k, "t", c->dtype, c->lanes, 1, &dim, lower_zero(l, c->dtype)), mark = l->memo.n;
  int depth = k->depth;
  open_rows(c);
  loop_for(k, "k", zero, lower_dim(l, c->w.size[last]), FOR_SERIAL, 0, TAIL_NONE, &c->e[last]);
  c->q[last] = loop_let(k, "q", place(c, last, &inside));
  if (inside) inside = loop_let(k, "inside", inside);
  open_channels(c);
  Ex x = operand(c, inside);
  loop_for(k, "j", zero, ex_idx(k, c->tile), FOR_UNROLL, 0, TAIL_NONE, &j);
  loop_assign(k, t, &j, 1, product(c, weight(c, j), x, ex_reg(k, t, &j, 1)), 0);
  close_to(l, depth);
  l->memo.n = mark;
  loop_for(k, "j", zero, ex_idx(k, c->tile), FOR_UNROLL, 0, TAIL_NONE, &j);
  store(c, j, ex_reg(k, t, &j, 1));
  loop_end(k);
}

/* Lanes along the last axis of the window. */
static void sums(Conv *c) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int last = c->w.n - 1;
  int64_t dim[2] = {c->tile, c->cols};
  Ex zero = ex_idx(k, 0), jc[2];
  uint32_t t = loop_reg(k, "t", c->dtype, c->lanes, 2, dim, lower_zero(l, c->dtype)), mark = l->memo.n;
  int depth = k->depth;
  open_rows(c);
  open_channels(c);
  loop_for(k, "k", zero, lower_dim(l, c->w.size[last]), FOR_VECTOR, c->lanes, lower_tail(l), &c->e[last]);
  uint32_t xs = loop_reg(k, "x", c->dtype, c->lanes, 1, &dim[1], 0);
  loop_for(k, "c", zero, ex_idx(k, c->cols), FOR_UNROLL, 0, TAIL_NONE, &c->p[last]);
  Ex inside = 0;
  c->q[last] = place(c, last, &inside);
  loop_assign(k, xs, &c->p[last], 1, operand(c, inside), 0);
  loop_end(k);
  l->memo.n = mark;
  loop_for(k, "j", zero, ex_idx(k, c->tile), FOR_UNROLL, 0, TAIL_NONE, &jc[0]);
  Ex w = loop_let(k, "w", weight(c, jc[0]));
  loop_for(k, "c", zero, ex_idx(k, c->cols), FOR_UNROLL, 0, TAIL_NONE, &jc[1]);
  loop_assign(k, t, jc, 2, product(c, w, ex_reg(k, xs, &jc[1], 1), ex_reg(k, t, jc, 2)), 0);
  close_to(l, depth);
  l->memo.n = mark;
  loop_for(k, "j", zero, ex_idx(k, c->tile), FOR_UNROLL, 0, TAIL_NONE, &jc[0]);
  loop_for(k, "c", zero, ex_idx(k, c->cols), FOR_UNROLL, 0, TAIL_NONE, &jc[1]);
  c->p[last] = jc[1];
  Ex sum = ex_reg(k, t, jc, 2);
  store(c, jc[0], c->lanes > 1 ? ex_op1(k, OP_HADD, sum) : sum);
  loop_end(k);
  loop_end(k);
}

void strat_conv(Lower *l) {
  static const char *const name[] = {"p0", "p1", "p2"};
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Id v = l->grp->anchor;
  Conv c = {.l = l, .v = v, .x = graph_in(l->g, v)[0], .kernel = graph_in(l->g, v)[1], .dtype = graph_dtype(l->g, v),
            .reverse = graph_attr_int(l->g, v, "reverse")};
  int64_t groups = graph_attr_int(l->g, v, "groups"), batches = graph_attr_int(l->g, v, "batch_groups"), all = groups * batches;
  const Sym *y = graph_shape(l->g, v), *ks = graph_shape(l->g, c.kernel);
  window_read(l->g, v, &c.w);
  Sym per = sym_divided(l->all->facts, y[1], sym_int(t, all));
  if (!per) BUG("the groups of a convolution do not divide");
  choose(&c, per);
  Sym tiles = sym_div_up(t, per, sym_int(t, c.tile));
  lower_stage(l, "main", sym_mul(t, lower_total(l, y, c.w.n + 2), sym_product(t, ks + 1, c.w.n + 1)), 1, false);
  c.batch = loop_axis(k, "b", y[0]);
  Ex o = loop_axis(k, "o", sym_mul(t, tiles, sym_int(t, all))), group = ex_idx(k, 0);
  for (int a = 0; a < c.w.n - 1; a++) c.p[a] = loop_axis(k, name[a], y[2 + a]);
  if (all > 1) {
    group = loop_let(k, "group", ex_op2(k, OP_FLOOR_DIV, o, lower_dim(l, tiles)));
    o = ex_op2(k, OP_SUB, o, ex_mul(k, group, lower_dim(l, tiles)));
  }
  Ex begin = ex_mul(k, group, lower_dim(l, per));
  c.first = loop_let(k, "first", ex_add(k, begin, ex_mul(k, o, ex_idx(k, c.tile))));
  c.end = ex_add(k, begin, lower_dim(l, per));
  c.row = batches > 1 ? ex_add(k, ex_mul(k, group, lower_dim(l, y[0])), c.batch) : c.batch;
  c.channel = groups > 1 ? ex_mul(k, group, lower_dim(l, ks[1])) : ex_idx(k, 0);
  if (c.cols) sums(&c);
  else columns(&c);
  nest_close(l);
  l->out->schedule = arena_printf(l->all->ctx->arena, "conv(channels = %d, vectorize = %s %d, tail = %s)", c.tile, c.cols ? "window" : "row",
                                  c.lanes, lower_tail(l) == TAIL_MASK ? "mask" : "peel");
}
