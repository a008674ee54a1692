/* Convolution on a GPU: a thread has one element of the result. Neighbours lie along its last axis, so that they read
 * neighbours of the operand, and the same elements of the kernel; places beside the operand are masked. As a product it
 * has the kernel on the left, so that the columns are what lies side by side in the result.
 *
 * Tiles of 16-bit operands are loaded by 8 neighbours. Where elements are used often enough they are therefore copied
 * first, so that an axis that both operands have, or else one of each, lies innermost and is a multiple of 8: these 8
 * are then in the operand together, or beside it. */
#include "conv.h"
#include <math.h>
#include <string.h>

enum {
  UNROLLED_WINDOW = 25 /* places */,
  NEIGHBOURS = 8,
  COPIED_USES = 256,
  TILE_CHANNELS = 8,
  TILE_TERMS = 32,
  BLOCKS = 216,
  TILE = 64,
  PART_TERMS = 512,
  PARTS = 32,
  SEGMENT = 32
};

static void axes_add(const Lower *l, LoopAxes *a, Ex var, Sym extent) {
  a->var[a->n] = ex_at(l->k, var)->ref;
  a->extent[a->n++] = extent;
}

/* The first statement behind a place in the block being built. */
static Stmt **next_statement(const Kernel *k) { return k->tail[k->depth]; }

typedef struct Threads {
  Conv *c;
  bool tiles;           /* there is enough to multiply */
  bool line;            /* places of the result are counted as one axis */
  bool pointwise;       /* and those of the operand are the same */
  bool copied[2];       /* operand, kernel */
  bool own;             /* the axes that lie innermost: the first of each, else the channels that are summed over */
  Sym inputs;           /* channels of the sum: those of a group, or rounded up */
  bool channels_inside; /* the innermost axis of the sum: the channels, else places */
  int64_t parts;        /* of the sum; 0: it is whole */
  Sym chunk;            /* of its first axis, a part */
  Sym shape[MAX_RANK];  /* of the result, and its rank: as it is stored, with its places as one axis or several */
  int rank;
  uint32_t copy[2], scratch; /* buffers */
} Threads;

/* ---- choosing ---- */

static bool is_int(const Lower *l, Sym s, int64_t *n) { return sym_is_int(l->all->ctx->syms, s, n); }

static int64_t most_of(const Lower *l, Sym s) {
  int64_t lo, hi;
  sym_range(l->all->facts, s, &lo, &hi);
  return hi;
}

/* Whether there is enough to multiply for tiles: with fewer channels, one as a rule, elements wait for memory. */
static bool worth_tiles(const Threads *q) {
  const Conv *c = q->c;
  SymTab *t = c->l->all->ctx->syms;
  Sym terms = sym_mul(t, sym_product(t, c->w.size, c->w.n), q->inputs);
  return most_of(c->l, c->per) >= TILE_CHANNELS && most_of(c->l, terms) >= TILE_TERMS;
}

/* In how many products an element of the operand is, about. */
static double uses(const Conv *c) {
  const Lower *l = c->l;
  int64_t x, y, w, channels;
  double n = is_int(l, c->per, &channels) ? (double)channels : COPIED_USES;
  for (int a = 0; a < c->w.n; a++) {
    bool window = is_int(l, c->w.size[a], &w);
    bool result = is_int(l, graph_shape(l->g, c->v)[2 + a], &y);
    if (window && result && is_int(l, graph_shape(l->g, c->x)[2 + a], &x) && x > 0)
      n *= (double)w * (double)y / (double)x;
    else
      n *= window ? (double)w / (double)c->w.stride[a] : result ? (double)y : 1;
  }
  return n;
}

static bool whole(const Lower *l, Sym n) { return sym_divides(l->all->facts, NEIGHBOURS, n); }

static bool in_memory(const Lower *l, Id v) { /* in another order of axes perhaps */
  while (graph_op(l->g, v) == OP_TRANSPOSE && !lower_memory(l, v)) v = *graph_in(l->g, v);
  return lower_memory(l, v) != 0;
}

/* Windows of one place, one for each of the operand's: its line of places is that of the result. */
static bool pointwise(const Conv *c) {
  const Lower *l = c->l;
  int n = c->w.n;
  const Sym *x = graph_shape(l->g, c->x) + 2, *y = graph_shape(l->g, c->v) + 2;
  int64_t size, lo;
  for (int a = 0; a < n; a++)
    if (!is_int(l, c->w.size[a], &size) || size != 1 || !is_int(l, c->w.lo[a], &lo) || lo || c->w.stride[a] > 1 ||
        c->w.base[a] > 1)
      return false;
  return !memcmp(x, y, (size_t)n * sizeof *x);
}

static void choose(Threads *q) {
  Conv *c = q->c;
  Lower *l = c->l;
  SymTab *t = l->all->ctx->syms;
  const Sym *y = graph_shape(l->g, c->v);
  Sym inputs = q->inputs;
  DType x = lower_packed_type(l, c->x);
  int last = c->w.n + 1;
  bool one = pointwise(c);
  q->pointwise = one && q->line && elem_merges(l, c->x, c->w.n, false);
  q->channels_inside = lower_along(l, c->x, 1);
  Sym row = q->pointwise ? sym_product(t, y + 2, c->w.n) : y[last];
  if (one && whole(l, inputs) && lower_along(l, c->x, last) && whole(l, row)) return; /* a product as it is */
  if (!q->tiles || dtype_size(c->packs) != 2 || x != c->packs || uses(c) < COPIED_USES) return;
  q->pointwise = false;
  q->own = c->groups == 1 && !whole(l, inputs) && whole(l, y[0]) && whole(l, c->per);
  if (!q->own) q->inputs = sym_round_up(t, inputs, sym_int(t, NEIGHBOURS));
  bool there = q->inputs == inputs && !q->own;
  q->copied[0] = !(there && in_memory(l, c->x) && lower_along(l, c->x, 1));
  if (q->copied[0]) q->channels_inside = !q->own;
  q->copied[1] = !(there && in_memory(l, c->kernel) && (one || lower_along(l, c->kernel, 1)));
}

/* ---- copies ---- */

/* Memory order of a copy: the first axis and the place, or the other way round; the axis that lies innermost. */
static int copy_index(const Threads *q, bool kernel, const Ex *from, Ex *at) {
  const Conv *c = q->c;
  int r = 0;
  at[r++] = q->own ? c->i : from[0];
  for (int a = 0; a < c->w.n; a++) at[r++] = from[2 + a];
  if (!q->own && !kernel) at[r++] = c->group;
  at[r++] = q->own ? from[0] : c->i;
  return r;
}

/* The operand or the kernel, a thread for 8 neighbours in the copy. Threads side by side read what lies side by side.
 */
static void copy_stage(Threads *q, bool kernel) {
  static const char *const name[] = {"copy_operand", "copy_kernel"};
  Conv *c = q->c;
  Lower *l = c->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Id v = kernel ? c->kernel : c->x;
  const Sym *from = graph_shape(l->g, v);
  int n = c->w.n, axes = 0;
  Sym inputs = graph_shape(l->g, c->kernel)[1], groups = sym_int(t, q->own || kernel ? 1 : c->groups);
  Sym vectors = sym_op(t, SYM_FLOORDIV, q->own ? from[0] : q->inputs, sym_int(t, NEIGHBOURS)),
      others = q->own ? inputs : from[0];
  Sym shape[MAX_RANK], space[MAX_RANK + 1];
  Ex own[MAX_RANK + 1], at[MAX_RANK], to[MAX_RANK];
  bool together = lower_along(l, v, q->own ? 0 : 1); /* the source has them innermost too */
  int place = together ? 1 : 3, rank = 0;
  space[axes++] = others;
  for (int i = 0; together && i < n; i++) space[axes++] = from[2 + i];
  space[axes++] = groups, space[axes++] = vectors;
  for (int i = 0; !together && i < n; i++) space[axes++] = from[2 + i];
  shape[rank++] = others;
  for (int i = 0; i < n; i++) shape[rank++] = from[2 + i];
  if (!q->own && !kernel) shape[rank++] = groups;
  shape[rank++] = q->own ? from[0] : q->inputs;
  q->copy[kernel] = lower_scratch(l, name[kernel] + 5, c->packs, shape, rank, ARG_SCRATCH, 0);
  loop_buf(k, q->copy[kernel])->align = sym_int(t, 64);
  lower_stage(l, name[kernel], sym_product(t, shape, rank), 2, false);
  threads_index(l, threads_line(l, sym_product(t, space, axes)), space, axes, own);
  Ex eight = ex_add(k, ex_mul(k, own[together ? axes - 1 : 2], ex_idx(k, NEIGHBOURS)), ex_lane(k, NEIGHBOURS));
  c->group = own[together ? axes - 2 : 1];
  c->i = q->own ? own[0] : eight;
  at[0] = q->own ? eight : own[0];
  at[1] = c->i;
  for (int i = 0; i < n; i++) at[2 + i] = own[place + i];
  copy_index(q, kernel, at, to);
  Ex inside = q->inputs == inputs ? 0 : ex_op2(k, OP_LESS, c->i, lower_dim(l, inputs));
  for (int i = 0; kernel && c->reverse && i < n; i++)
    at[2 + i] = ex_op2(k, OP_SUB, ex_op2(k, OP_SUB, lower_dim(l, c->w.size[i]), ex_idx(k, 1)), at[2 + i]);
  if (!kernel && c->groups > 1) at[1] = ex_add(k, ex_mul(k, c->group, lower_dim(l, inputs)), c->i);
  Ex value = window_pull(l, v, at, n + 2, inside, lower_zero(l, c->dtype));
  loop_store(k, q->copy[kernel], to, rank, ex_convert(k, c->packs, value), 0);
  nest_close(l);
}

/* ---- the product ---- */

/* The axes of the sum, outermost first: neighbours of the innermost lie side by side in the operand. *size: of each;
 * *var: what is to be its variable. Axes of one element are left out. */
static int sum_axes(Threads *q, Sym *size, Ex **var) {
  Conv *c = q->c;
  int n = 0;
  int64_t one;
  for (int pass = 0; pass < 2; pass++) {
    if (pass == q->channels_inside) {
      size[n] = q->inputs, var[n++] = &c->i;
      continue;
    }
    for (int a = 0; a < c->w.n; a++) {
      c->e[a] = ex_idx(c->l->k, 0);
      if (!is_int(c->l, c->w.size[a], &one) || one != 1) size[n] = c->w.size[a], var[n++] = &c->e[a];
    }
  }
  return n;
}

/* Where the result has few tiles and the sum is long, as in the gradients of kernels, parts of it are work for more
 * blocks, as of products. */
static void plan_parts(Threads *q) {
  Conv *c = q->c;
  const Lower *l = c->l;
  SymTab *t = l->all->ctx->syms;
  Sym size[MAX_RANK], inner;
  Ex *var[MAX_RANK];
  int n = sum_axes(q, size, var);
  if (c->dtype != DT_F32 || !q->tiles) return;
  inner = sym_product(t, size + 1, n - 1);
  double columns = loop_likely(l->k, sym_mul(t, graph_shape(l->g, c->v)[0], sym_product(t, q->shape + 2, q->rank - 2))),
         tiles = (double)(c->groups * c->batches) * ceil(loop_likely(l->k, c->per) / TILE) * ceil(columns / TILE),
         terms = loop_likely(l->k, sym_mul(t, size[0], inner)),
         parts = fmin(fmin(floor(BLOCKS / tiles), floor(terms / PART_TERMS)), fmin(PARTS, loop_likely(l->k, size[0])));
  if (!(parts >= 2)) return;
  q->parts = (int64_t)parts;
  q->chunk = sym_div_up(t, size[0], sym_int(t, q->parts));
  if (!whole(l, inner)) q->chunk = sym_round_up(t, q->chunk, sym_int(t, NEIGHBOURS));
}

static void open_sum(Threads *q, LoopProduct *p, Ex part) {
  static const char *const name[] = {"k0", "k1", "k2", "k3"};
  Conv *c = q->c;
  Kernel *k = c->l->k;
  Sym size[MAX_RANK], places = sym_product(c->l->all->ctx->syms, c->w.size, c->w.n);
  Ex *var[MAX_RANK];
  int64_t all;
  bool unrolled = is_int(c->l, places, &all) && all <= UNROLLED_WINDOW;
  int n = sum_axes(q, size, var);
  for (int i = 0; i < n; i++) {
    Ex lo = ex_idx(k, 0), hi = lower_dim(c->l, size[i]);
    bool cut = !i && part;
    if (cut) {
      lo = loop_let(k, "lo", ex_mul(k, part, lower_dim(c->l, q->chunk)));
      hi = ex_op2(k, OP_MINIMUM, hi, ex_add(k, lo, lower_dim(c->l, q->chunk)));
    }
    loop_for(k, var[i] == &c->i ? "i" : name[i], lo, hi, unrolled && !cut && var[i] != &c->i ? FOR_UNROLL : FOR_SERIAL,
             0, TAIL_NONE, var[i]);
    axes_add(c->l, &p->sums, *var[i], size[i]);
  }
}

static Ex operand(Threads *q) {
  Conv *c = q->c;
  Lower *l = c->l;
  Ex at[MAX_RANK], to[MAX_RANK], inside[MAX_RANK], there = 0;
  conv_operand_index(c, 0, 0, at, inside);
  for (int a = 0; a < c->w.n; a++)
    if (inside[a]) there = there ? ex_op2(l->k, OP_AND, there, inside[a]) : inside[a];
  if (there) there = loop_let(l->k, "there", there);
  if (!q->copied[0]) return window_pull(l, c->x, at, c->w.n + 2, there, lower_zero(l, c->dtype));
  int rank = copy_index(q, false, at, to);
  return ex_convert(l->k, c->dtype, ex_load(l->k, q->copy[0], to, rank, there, 0));
}

static Ex weight(Threads *q, Ex o) {
  Conv *c = q->c;
  Ex at[MAX_RANK] = {o, c->i}, to[MAX_RANK];
  if (!q->copied[1]) return conv_weight(c, o);
  memcpy(at + 2, c->e, (size_t)c->w.n * sizeof *at);
  int rank = copy_index(q, true, at, to);
  return ex_convert(c->l->k, c->dtype, ex_load(c->l->k, q->copy[1], to, rank, 0, 0));
}

/* Adds the products of an element, channel `o` of all, to p->sum. What is 16 bits in the graph is rounded to them, so
 * that tensor cores multiply what the plain form does. */
static void sum_up(Threads *q, LoopProduct *p, Ex o, Ex part) {
  Conv *c = q->c;
  Lower *l = c->l;
  Kernel *k = l->k;
  uint32_t mark = l->memo.n;
  int depth = k->depth;
  p->a_type = lower_packed_type(l, c->kernel);
  p->b_type = lower_packed_type(l, c->x);
  open_sum(q, p, part);
  Stmt **at = next_statement(k);
  Ex a = loop_let(k, "a", ex_convert(k, c->dtype, ex_convert(k, p->a_type, weight(q, o))));
  p->a = *at;
  l->memo.n = mark; /* the operands share nothing */
  at = next_statement(k);
  Ex b = loop_let(k, "b", ex_convert(k, c->dtype, ex_convert(k, p->b_type, operand(q))));
  p->b = *at;
  at = next_statement(k);
  loop_assign(k, p->sum, NULL, 0, conv_product(c, a, b, ex_reg(k, p->sum, NULL, 0)), 0);
  p->add = *at;
  p->a_value = ex_at(k, a)->ref;
  p->b_value = ex_at(k, b)->ref;
  while (k->depth > depth) loop_end(k);
  l->memo.n = mark;
}

/* Whether the places of the result can be counted as one axis, by which all that follows the sum reads and stores. */
static bool one_line(const Conv *c) {
  const Lower *l = c->l;
  const Sym *y = graph_shape(l->g, c->v);
  int n = c->w.n, rank = n + 2;
  int64_t last;
  if (n == 1 || (is_int(l, y[rank - 1], &last) && last == 1)) return false;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    bool alike = graph_rank(l->g, v) == rank && !memcmp(graph_shape(l->g, v), y, (size_t)rank * sizeof *y);
    if (v != c->v && !(alike && elem_merges(l, v, n, true))) return false;
  }
  return true;
}

/* The thread's element: variables of its axes, its index in the result. Neighbours of the last column are neighbours in
 * the copy, or in the result. */
static void open_element(Threads *q, LoopProduct *p, Ex *part, Ex *at) {
  Conv *c = q->c;
  Lower *l = c->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  const Sym *y = graph_shape(l->g, c->v);
  int n = c->w.n, cut = q->parts > 0, axes = q->rank - 2;
  int64_t all = c->groups * c->batches;
  Sym shape[MAX_RANK + 2];
  Ex index[MAX_RANK + 2], *own = index + cut;
  shape[0] = sym_int(t, q->parts);
  shape[cut] = y[0], shape[cut + 1] = sym_int(t, all), shape[cut + 2] = c->per;
  memcpy(shape + cut + 3, q->shape + 2, (size_t)axes * sizeof *shape);
  threads_index(l, threads_line(l, sym_product(t, shape, cut + 3 + axes)), shape, cut + 3 + axes, index);
  c->batch = own[0];
  c->group = all > 1 ? own[1] : ex_idx(k, 0);
  conv_group(c);
  if (!q->line)
    memcpy(c->p, own + 3, (size_t)n * sizeof *own);
  else if (q->pointwise)
    for (int a = 0; a < n; a++) c->p[a] = a < n - 1 ? ex_idx(k, 0) : own[3];
  else
    threads_index(l, own[3], y + 2, n, c->p);
  at[0] = c->batch, at[1] = ex_add(k, ex_mul(k, c->group, lower_dim(l, c->per)), own[2]);
  memcpy(at + 2, own + 3, (size_t)axes * sizeof *own);
  *part = cut ? index[0] : 0;
  if (cut) {
    axes_add(l, &p->outer, *part, shape[0]);
    p->part = p->outer.var[0];
    p->chunk = q->chunk;
  }
  if (all > 1) axes_add(l, &p->outer, c->group, shape[cut + 1]);
  axes_add(l, &p->rows, own[2], c->per);
  if (!q->own) axes_add(l, &p->columns, c->batch, y[0]);
  for (int a = 0; a < axes; a++) axes_add(l, &p->columns, own[3 + a], q->shape[2 + a]);
  if (q->own) axes_add(l, &p->columns, c->batch, y[0]);
}

/* Stores what is made of the sum at an index of q->shape. */
static void store(Threads *q, const Ex *index, Ex sum) {
  Conv *c = q->c;
  Lower *l = c->l;
  Ex at[MAX_RANK];
  memcpy(at, index, (size_t)q->rank * sizeof *at);
  if (q->line) {
    for (int a = 0; a < c->w.n; a++) at[2 + a] = a < c->w.n - 1 ? ex_idx(l->k, 0) : index[2];
    l->merged = c->w.n, l->line = index[2];
  }
  lower_remember(l, c->v, at, c->w.n + 2, sum);
  lower_store_outputs(l, at);
  l->merged = 0;
}

static void sum_stage(Threads *q, Sym products) {
  Conv *c = q->c;
  Lower *l = c->l;
  Kernel *k = l->k;
  Ex index[MAX_RANK + 1], *at = index + 1;
  lower_stage(l, q->parts ? "partial" : "main", products, 1, false);
  lower_products(l, products, target_lanes(l->all->target, c->dtype), sym_int(l->all->ctx->syms, 0));
  LoopProduct *p = ARENA_NEW(l->all->ctx->arena, LoopProduct);
  if (q->tiles) k->stage->product = p;
  open_element(q, p, &index[0], at);
  p->sum = loop_reg(k, "sum", c->dtype, 1, 0, NULL, lower_zero(l, c->dtype));
  if (q->pointwise) l->merged = c->w.n, l->line = at[2];
  sum_up(q, p, at[1], index[0]);
  l->merged = 0;
  Stmt **stores = next_statement(k);
  Ex sum = ex_reg(k, p->sum, NULL, 0);
  if (q->parts)
    loop_store(k, q->scratch, index, q->rank + 1, sum, 0);
  else
    store(q, at, sum);
  p->epilogue = *stores;
  nest_close(l);
}

/* The parts in their order. */
static void combine_stage(Threads *q) {
  Conv *c = q->c;
  Lower *l = c->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Sym all = sym_product(t, q->shape, q->rank);
  Ex index[MAX_RANK + 1];
  lower_stage(l, "combine", sym_mul(t, sym_int(t, q->parts), all), 1, false);
  vec_last(&l->out->stages).combines = true;
  threads_index(l, threads_line(l, all), q->shape, q->rank, index + 1);
  uint32_t acc = loop_reg(k, "sum", c->dtype, 1, 0, NULL, lower_zero(l, c->dtype));
  Ex sum = ex_reg(k, acc, NULL, 0);
  loop_for(k, "part", ex_idx(k, 0), ex_idx(k, q->parts), FOR_SERIAL, 0, TAIL_NONE, index);
  loop_assign(k, acc, NULL, 0, ex_add(k, sum, ex_load(k, q->scratch, index, q->rank + 1, 0, 0)), 0);
  loop_end(k);
  store(q, index + 1, sum);
  nest_close(l);
}

/* ---- a few channels ---- */

/* Results of a row that a thread has where nothing is done in tiles: they share what they read. 1: one. */
static int neighbours_of_row(Conv *c) {
  Lower *l = c->l;
  int last = c->w.n - 1, lanes = threads_lanes(l, graph_shape(l->g, c->v)[2 + last]);
  int64_t size;
  bool short_window = is_int(l, c->w.size[last], &size) && c->w.base[last] == 1 &&
                      (lanes - 1) * c->w.stride[last] + (size - 1) * c->w.step[last] < SEGMENT;
  return short_window ? lanes : 1;
}

static void unroll(Kernel *k, const char *name, int64_t n, Ex *var) {
  loop_for(k, name, ex_idx(k, 0), ex_idx(k, n), FOR_UNROLL, 0, TAIL_NONE, var);
}

/* One row of the window: what `lanes` results read of the operand's row is loaded once. */
static void add_row(Conv *c, uint32_t sums, int lanes, Ex o) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int last = c->w.n - 1;
  int64_t size, stride = c->w.stride[last], step = c->w.step[last], all = lanes;
  is_int(l, c->w.size[last], &size);
  int64_t length = (lanes - 1) * stride + (size - 1) * step + 1;
  Ex at[MAX_RANK], inside[MAX_RANK], there = 0, j, v;
  uint32_t x = loop_reg(k, "x", c->dtype, 1, 1, &length, 0), mark = l->memo.n;
  unroll(k, "j", length, &j);
  c->e[last] = j, c->w.step[last] = 1;
  conv_operand_index(c, 0, 0, at, inside);
  c->w.step[last] = step;
  for (int a = 0; a < c->w.n; a++)
    if (inside[a]) there = there ? ex_op2(k, OP_AND, there, inside[a]) : inside[a];
  if (there) there = loop_let(k, "there", there);
  loop_assign(k, x, &j, 1, window_pull(l, c->x, at, c->w.n + 2, there, lower_zero(l, c->dtype)), 0);
  loop_end(k);
  l->memo.n = mark;
  unroll(k, "k", size, &c->e[last]);
  Ex w = loop_let(k, "w", conv_weight(c, o));
  unroll(k, "v", all, &v);
  Ex from = ex_add(k, ex_mul(k, v, ex_idx(k, stride)), ex_mul(k, c->e[last], ex_idx(k, step)));
  loop_assign(k, sums, &v, 1, conv_product(c, ex_reg(k, x, &from, 1), w, ex_reg(k, sums, &v, 1)), 0);
  loop_end(k);
  loop_end(k);
  l->memo.n = mark;
}

/* A thread has neighbours of a row, which it sums one by one and stores together. */
static void row_stage(Conv *c, Sym products, int lanes) {
  static const char *const name[] = {"k0", "k1"};
  Lower *l = c->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  const Sym *y = graph_shape(l->g, c->v);
  int n = c->w.n, rank = n + 2;
  int64_t dim = lanes, all = c->groups * c->batches;
  Sym shape[MAX_RANK + 1] = {y[0], sym_int(t, all), c->per};
  Ex own[MAX_RANK + 1], at[MAX_RANK], hi;
  memcpy(shape + 3, y + 2, (size_t)n * sizeof *y);
  lower_stage(l, "main", products, 1, false);
  lower_products(l, products, lanes, sym_int(t, 0));
  threads_space(l, shape, rank + 1, lanes, own, &hi);
  c->batch = own[0];
  c->group = all > 1 ? own[1] : ex_idx(k, 0);
  conv_group(c);
  memcpy(c->p, own + 3, (size_t)n * sizeof *own);
  at[0] = c->batch, at[1] = ex_add(k, ex_mul(k, c->group, lower_dim(l, c->per)), own[2]);
  memcpy(at + 2, c->p, (size_t)n * sizeof *at);
  uint32_t sums = loop_reg(k, "sum", c->dtype, 1, 1, &dim, lower_zero(l, c->dtype)), mark = l->memo.n;
  int depth = k->depth;
  loop_for(k, "i", ex_idx(k, 0), lower_dim(l, graph_shape(l->g, c->kernel)[1]), FOR_SERIAL, 0, TAIL_NONE, &c->i);
  for (int a = 0; a < n - 1; a++)
    loop_for(k, name[a], ex_idx(k, 0), lower_dim(l, c->w.size[a]), FOR_SERIAL, 0, TAIL_NONE, &c->e[a]);
  add_row(c, sums, lanes, at[1]);
  while (k->depth > depth) loop_end(k);
  l->memo.n = mark;
  Ex lane = ex_lane(k, lanes), row = 0;
  for (int v = 0; v < lanes; v++) {
    Ex index = ex_idx(k, v), sum = ex_splat(k, ex_reg(k, sums, &index, 1), lanes);
    row = v ? ex_op3(k, OP_SELECT, ex_op2(k, OP_EQUAL, lane, index), sum, row) : sum;
  }
  loop_for(k, "j", at[rank - 1], hi, FOR_VECTOR, lanes, lower_tail(l), &at[rank - 1]);
  lower_remember(l, c->v, at, rank, loop_let(k, "row", row));
  lower_store_outputs(l, at);
  nest_close(l);
}

void conv_threads(Conv *c, Sym products) {
  Lower *l = c->l;
  SymTab *t = l->all->ctx->syms;
  const Sym *y = graph_shape(l->g, c->v);
  Threads q = {.c = c, .line = one_line(c), .rank = c->w.n + 2};
  memcpy(q.shape, y, (size_t)q.rank * sizeof *y);
  if (q.line) q.shape[2] = sym_product(t, y + 2, c->w.n), q.rank = 3;
  q.inputs = graph_shape(l->g, c->kernel)[1];
  q.tiles = worth_tiles(&q);
  choose(&q);
  int lanes = q.tiles ? 1 : neighbours_of_row(c);
  if (lanes > 1) {
    row_stage(c, products, lanes);
    l->out->schedule = arena_printf(l->all->ctx->arena, "conv(threads, row = %d)", lanes);
    return;
  }
  plan_parts(&q);
  if (q.parts) {
    Sym shape[MAX_RANK + 1] = {sym_int(t, q.parts)};
    memcpy(shape + 1, q.shape, (size_t)q.rank * sizeof *shape);
    q.scratch = lower_scratch(l, "parts", c->dtype, shape, q.rank + 1, ARG_SCRATCH, 0);
  }
  for (int i = 0; i < 2; i++)
    if (q.copied[i]) copy_stage(&q, i);
  sum_stage(&q, products);
  if (q.parts) combine_stage(&q);
  l->out->schedule = arena_printf(l->all->ctx->arena, "conv(threads%s%s)",
                                  q.copied[0] && q.copied[1] ? ", operand and kernel copied"
                                  : q.copied[0]              ? ", operand copied"
                                  : q.copied[1]              ? ", kernel copied"
                                                             : "",
                                  q.parts ? arena_printf(l->all->ctx->arena, ", parts = %d", (int)q.parts) : "");
}
