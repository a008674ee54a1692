/* Convolution with its epilogue, without im2col. A task is some channels of one row of the result, in one of three
 * ways: lanes along the channels, the kernel packed in panels [group][window][I][channels] (`prepare` does it where the
 * kernel is a parameter that the entry leaves alone) and a register tile of pixels by vectors of channels, which is
 * turned over to be stored; lanes along the row, where a group has few channels or windows are one place, and a
 * register tile of channels by vectors of the row; lanes along the window, which fold at the end, where the row of the
 * result is shorter than the window's (the gradient of a kernel). No load of the main stage needs a mask: where the
 * operand has something around it, the loops over the window end at its edge (lanes along channels, the length of a row
 * known), or an own stage copies it with its zeros; but for one channel a group, whose elements are loaded about as
 * often as they would be copied. */
#include "conv.h"
#include <string.h>

enum {
  PREFETCH = 8 /* channels */,
  MASKED_WINDOW = 25 /* places */,
  CLIPPED_WINDOW = 7,
  CLIPPED_TILES = 3,
  PACKED_USES = 64
};

/* ---- choosing ---- */

static int64_t known(const Lower *l, Sym s) { /* INT64_MAX: only at run time */
  int64_t n;
  return sym_is_int(l->all->ctx->syms, s, &n) ? n : INT64_MAX;
}

static int64_t extent(const Lower *l, Sym s) { /* the same for tiles, which are never of nothing */
  int64_t n = known(l, s);
  return n < 1 ? 1 : n;
}

static int narrow(int lanes, int64_t n) { /* the least power of two from 2 on that holds n, at most `lanes` */
  while (lanes > 2 && lanes / 2 >= n) lanes /= 2;
  return lanes;
}

static double filled(int64_t n, int64_t unit) {
  return n == INT64_MAX ? 1 : (double)n / (double)((n + unit - 1) / unit * unit);
}

static bool channels_unrolled(const Conv *c) { return known(c->l, graph_shape(c->l->g, c->kernel)[1]) <= 4; }

static int loads_ahead(const Conv *c) { /* of how many channels the kernel is loaded before the first is used */
  int64_t n = extent(c->l, graph_shape(c->l->g, c->kernel)[1]);
  return channels_unrolled(c) ? (int)n : 1;
}

/* Whether a tile of which `fill` is used beats the best so far. Beyond 1.6 products a load loads are no longer what a
 * tile waits for. */
static bool better(const Conv *c, int rows, int vectors, double fill, double *score) {
  double loads = (double)(rows * vectors) / (rows + vectors), s = fill * (loads < 1.6 ? loads : 1.6 + loads / 100);
  lower_weighed(c->l, rows, vectors, loads, fill);
  if (s <= *score * 1.01) return false;
  *score = s;
  return true;
}

/* As many channels as the registers allow, then pixels so that the tiles of a row are alike. Where input channels are
 * unrolled LLVM loads the kernel of all of them first: with 16 registers these must have room. */
static void choose_tile(Conv *c, int64_t row, int64_t channels, int regs) {
  double score = 0;
  int ahead = regs < 32 ? loads_ahead(c) : 1;
  c->nv = c->mr = 1; /* at least */
  for (int nv = 1; nv <= (regs >= 32 ? 4 : 2); nv++) {
    int masks = regs < 32 && channels % (nv * c->lanes) ? nv + 1 : 0;
    int mr = (regs - 1 - nv * ahead - masks - (regs < 32)) / nv, most = ahead > 1 ? 8 : 14;
    if (mr < 1) continue;
    if (mr > most) mr = most;
    if (row < INT64_MAX) mr = (int)((row + (row + mr - 1) / mr - 1) / ((row + mr - 1) / mr));
    if (better(c, mr, nv, filled(channels, nv * c->lanes) * filled(row, mr), &score)) c->nv = nv, c->mr = mr;
  }
}

static void choose_channels(Conv *c, int64_t channels, int most) { /* the fewest tiles, then the least left over */
  c->mr = channels == INT64_MAX ? 4 < most ? 4 : most : 1;
  while (channels < INT64_MAX && c->mr < most && (channels + c->mr - 1) / c->mr > (channels + most - 1) / most) c->mr++;
}

/* Channels of a group by vectors along the row, where few of either are left over. */
static void choose_row(Conv *c, int64_t row, int64_t channels, int regs) {
  double score = 0;
  int ahead = regs < 32 ? loads_ahead(c) : 1, most = regs >= 32 ? 4 : 2, best = 1, rows = 1;
  int64_t vectors = row == INT64_MAX ? row : (row + c->lanes - 1) / c->lanes;
  for (int nv = 1; nv <= most && nv <= vectors; nv++) {
    int masks = regs < 32 && row % c->lanes ? 1 : 0, mr = (regs - 1 - nv * ahead - masks - (regs < 32)) / nv;
    if (mr < 1) continue;
    c->nv = nv;
    choose_channels(c, channels, mr > 14 ? 14 : mr);
    if (better(c, c->mr, nv, filled(channels, c->mr) * filled(vectors, nv), &score)) best = nv, rows = c->mr;
  }
  c->nv = best, c->mr = rows;
}

/* Rows shorter than the window's, so short that the tile has some: the gradient of a kernel. False where the kernel is
 * used too seldom to be packed, or its channels leave lanes empty. */
static bool choose_rows(Conv *c, int64_t row, int64_t channels, int regs) {
  Lower *l = c->l;
  const Sym *y = graph_shape(l->g, c->v);
  int64_t uses = known(l, y[0]), all = c->w.n > 1 ? known(l, y[c->w.n]) : 1;
  double score = 0;
  if (channels == INT64_MAX || all == INT64_MAX || all < 1 || filled(channels, c->lanes) < 0.75) return false;
  for (int a = 0; a < c->w.n && uses < INT64_MAX; a++)
    uses = known(l, y[2 + a]) < INT64_MAX ? uses * known(l, y[2 + a]) : uses;
  if (uses < PACKED_USES || channels_unrolled(c)) return false;
  for (int nv = 1; nv <= (regs >= 32 ? 4 : 2); nv++)
    for (int rows = 1; rows <= all; rows++) {
      int pixels = rows * (int)row, masks = regs < 32 && channels % (nv * c->lanes) ? nv + 1 : 0;
      if (all % rows || pixels * nv + nv + masks + 1 + (regs < 32) > regs) continue;
      if (better(c, pixels, nv, filled(channels, nv * c->lanes), &score)) c->nv = nv, c->rows = rows;
    }
  c->mr = (int)row;
  return score > 0;
}

static bool one_place(const Conv *c) { /* in each window */
  for (int a = 0; a < c->w.n; a++)
    if (known(c->l, c->w.size[a]) != 1) return false;
  return true;
}

/* Whether lanes go along the channels: they load the kernel in whole vectors, but store each result apart and, where
 * the window is one place, load an operand that is far from the next one for few products. */
static bool channels_first(const Conv *c, int64_t row, int64_t channels) {
  double by_channel = filled(channels, narrow(c->lanes, channels)), by_row = filled(row, narrow(c->lanes, row));
  if (channels == 1) return false;
  return !one_place(c) ? 1.5 * by_channel >= by_row : by_channel >= by_row * (row < 2 * c->lanes ? 0.6 : 1.3);
}

static void choose(Conv *c) {
  Lower *l = c->l;
  int last = c->w.n - 1, regs = lower_tile_registers(l, c->dtype);
  int64_t row = extent(l, graph_shape(l->g, c->v)[2 + last]), size = extent(l, c->w.size[last]),
          channels = extent(l, c->per), unit = 1;
  c->lanes = target_lanes(l->all->target, c->dtype);
  c->rows = 1;
  bool few = row < size && 2 * row + 3 <= regs && row <= 8;
  if (few && choose_rows(c, row, channels, regs)) {
    c->along = ALONG_CHANNELS;
    unit = c->nv * c->lanes;
  } else if (few) {
    c->along = ALONG_WINDOW;
    c->nv = (int)row;
    int apart = c->w.step[last] > 1 || c->w.stride[last] > 1 ? 2 : 0; /* lanes that are put together */
    int indices = c->packs != c->dtype && !(l->all->target->needs & CPU_NEON) ? apart : 0;
    int taken = regs < 32 ? 1 + apart : indices; /* masks, and with what is converted what says where lanes go */
    int most = (regs - 3 - taken - c->nv) / c->nv;
    choose_channels(c, channels, most > 8 ? 8 : most < 1 ? 1 : most);
    c->lanes = narrow(c->lanes, size);
    unit = c->mr;
  } else if (channels_first(c, row, channels)) {
    c->along = ALONG_CHANNELS;
    c->lanes = narrow(c->lanes, channels);
    choose_tile(c, row, channels, regs);
    unit = c->nv * c->lanes;
  } else {
    c->along = ALONG_ROW;
    c->lanes = narrow(c->lanes, row);
    choose_row(c, row, channels, regs);
    unit = c->mr;
  }
  c->rest = channels == INT64_MAX || channels % unit != 0;
}

static int tile_channels(const Conv *c) { return c->along == ALONG_CHANNELS ? c->nv * c->lanes : c->mr; }

/* ---- the operand ---- */

static bool needs_copy(const Conv *c) {
  for (int a = 0; a < c->w.n; a++) {
    int64_t lo = known(c->l, c->w.lo[a]), hi = known(c->l, c->w.hi[a]);
    if (lo > 0 || hi > 0 || c->w.base[a] > 1) return true;
  }
  return !lower_seen(c->l, c->x);
}

/* Where element e of window p of the last axis is; all are numbers. */
static int64_t last_place(const Conv *c, int64_t p, int64_t e) {
  int last = c->w.n - 1;
  return p * c->w.stride[last] + e * c->w.step[last] - known(c->l, c->w.lo[last]);
}

static int64_t last_extent(const Conv *c) { return known(c->l, graph_shape(c->l->g, c->x)[1 + c->w.n]); }

/* The tiles of a row whose windows lie in the operand as a whole: from, to. */
static void inner_tiles(const Conv *c, int64_t row, int64_t *from, int64_t *to) {
  int64_t size = known(c->l, c->w.size[c->w.n - 1]);
  *from = 0, *to = row / c->mr;
  while (*from < *to && last_place(c, *from * c->mr, 0) < 0) ++*from;
  while (*to > *from && last_place(c, *to * c->mr - 1, size - 1) >= last_extent(c)) --*to;
}

/* Where the loops over the window can end at the operand's edge. Along the row that is settled tile by tile when the
 * kernel is built: which of a tile's pixels a place of the window has. Each tile at an edge is code of its own. */
static bool clipping_will_do(const Conv *c) {
  int last = c->w.n - 1;
  int64_t row = known(c->l, graph_shape(c->l->g, c->v)[2 + last]), size = known(c->l, c->w.size[last]), from, to;
  if (c->along != ALONG_CHANNELS || c->rows > 1 || !lower_seen(c->l, c->x) || row == INT64_MAX ||
      last_extent(c) == INT64_MAX || known(c->l, c->w.lo[last]) == INT64_MAX || size > CLIPPED_WINDOW)
    return false;
  int regs = lower_tile_registers(c->l, c->dtype);
  if (channels_unrolled(c) && (regs < 32 || c->packs != c->dtype || (c->mr + 2 * loads_ahead(c)) * c->nv > regs))
    return false; /* room for the kernel of one place and of the next, or for what is converted */
  for (int a = 0; a < c->w.n; a++)
    if (c->w.base[a] > 1) return false;
  inner_tiles(c, row, &from, &to);
  return from + row / c->mr - to <= CLIPPED_TILES;
}

/* Where each element is loaded for one channel alone, and the window is small enough to be unrolled: then the masks are
 * constants, and a copy would cost as much as the rest. */
static bool masks_will_do(const Conv *c) {
  const Lower *l = c->l;
  int64_t window = 1;
  for (int a = 0; a < c->w.n; a++) {
    int64_t size = known(l, c->w.size[a]);
    if (size > MASKED_WINDOW || c->w.base[a] != 1) return false;
    window *= size;
  }
  return c->along == ALONG_ROW && known(l, c->per) == 1 && window <= MASKED_WINDOW && lower_tail(l) == TAIL_MASK &&
         c->w.stride[c->w.n - 1] == 1 && lower_memory(l, c->x);
}

/* All places of the operand that windows see, with zeros where there is none. */
static void copy_stage(Conv *c) {
  static const char *const name[] = {"u0", "u1", "u2"};
  Lower *l = c->l;
  SymTab *t = l->all->ctx->syms;
  int n = c->w.n, rank = n + 2;
  const Sym *x = graph_shape(l->g, c->x);
  Sym shape[MAX_RANK] = {x[0], x[1]}, one = sym_int(t, 1);
  for (int a = 0; a < n; a++) {
    Sym steps = sym_mul(t, sym_sub(t, graph_shape(l->g, c->v)[2 + a], one), sym_int(t, c->w.stride[a]));
    shape[2 + a] = sym_add(t, steps, window_span(l->g, c->w.size[a], c->w.step[a]));
  }
  c->copy = lower_scratch(l, "padded", c->dtype, shape, rank, ARG_SCRATCH, 0);
  Windows places = c->w;
  for (int a = 0; a < n; a++) places.stride[a] = 1;
  Ex at[MAX_RANK], from[MAX_RANK], zero = ex_idx(l->k, 0), inside = 0;
  lower_stage(l, "pad", sym_product(t, shape, rank), 2, false);
  from[0] = at[0] = loop_axis(l->k, "b", shape[0]);
  from[1] = at[1] = loop_axis(l->k, "c", shape[1]);
  for (int a = 0; a < n - 1; a++) at[2 + a] = loop_axis(l->k, name[a], shape[2 + a]);
  loop_for(l->k, name[n - 1], zero, lower_dim(l, shape[rank - 1]), FOR_VECTOR, lower_lanes(l), lower_tail(l),
           &at[rank - 1]);
  for (int a = 0; a < n; a++) from[2 + a] = window_place(l, &places, a, x[2 + a], at[2 + a], zero, &inside);
  loop_store(l->k, c->copy, at, rank, window_pull(l, c->x, from, rank, inside, lower_zero(l, c->dtype)), 0);
  nest_close(l);
}

void conv_operand_index(Conv *c, Ex more, int later, Ex *at, Ex *inside) {
  Kernel *k = c->l->k;
  memset(inside, 0, MAX_RANK * sizeof *inside);
  at[0] = c->row, at[1] = ex_add(k, ex_add(k, c->channel, c->i), ex_idx(k, later));
  for (int a = 0; a < c->w.n; a++) {
    Ex p = more && a == c->w.n - 1 ? ex_add(k, c->p[a], more) : c->p[a];
    Ex place = ex_add(k, ex_mul(k, p, ex_idx(k, c->w.stride[a])), ex_mul(k, c->e[a], ex_idx(k, c->w.step[a])));
    at[2 + a] = c->padded    ? place
                : c->clipped ? ex_op2(k, OP_SUB, place, lower_dim(c->l, c->w.lo[a]))
                             : window_place(c->l, &c->w, a, graph_shape(c->l->g, c->x)[2 + a], p, c->e[a], &inside[a]);
  }
}

void conv_group(Conv *c) {
  Lower *l = c->l;
  Ex begin = ex_mul(l->k, c->group, lower_dim(l, graph_shape(l->g, c->v)[0]));
  c->row = c->batches > 1 ? ex_add(l->k, begin, c->batch) : c->batch;
  c->channel = c->groups > 1 ? ex_mul(l->k, c->group, lower_dim(l, graph_shape(l->g, c->kernel)[1])) : ex_idx(l->k, 0);
}

static Ex operand(Conv *c, Ex more, int lanes) { /* lanes: of what it is multiplied by, if it has none itself */
  Ex at[MAX_RANK], inside[MAX_RANK];
  conv_operand_index(c, more, 0, at, inside);
  for (int a = 0; a < c->w.n; a++)
    if (inside[a]) BUG("a convolution reads beside its operand");
  return c->padded ? ex_load(c->l->k, c->copy, at, c->w.n + 2, 0, 0)
                   : lower_pull_spread(c->l, c->x, at, c->w.n + 2, lanes);
}

/* ---- the kernel ---- */

Ex conv_weight(Conv *c, Ex o) {
  Kernel *k = c->l->k;
  if (c->rest) o = ex_op2(k, OP_MINIMUM, o, ex_op2(k, OP_SUB, c->end, ex_idx(k, 1)));
  Ex at[MAX_RANK] = {o, c->i};
  for (int a = 0; a < c->w.n; a++) {
    at[2 + a] = c->e[a];
    if (c->reverse)
      at[2 + a] = ex_op2(k, OP_SUB, ex_op2(k, OP_SUB, lower_dim(c->l, c->w.size[a]), ex_idx(k, 1)), c->e[a]);
  }
  return lower_pull(c->l, c->kernel, at, c->w.n + 2);
}

static void open_channels(Conv *c, bool unrolled) { /* where there are few of them */
  Lower *l = c->l;
  loop_for(l->k, "i", ex_idx(l->k, 0), lower_dim(l, graph_shape(l->g, c->kernel)[1]),
           unrolled && channels_unrolled(c) ? FOR_UNROLL : FOR_SERIAL, 0, TAIL_NONE, &c->i);
}

static const char *const WINDOW[] = {"k0", "k1", "k2"};

static void open_window(Conv *c, int axes) {
  Lower *l = c->l;
  for (int a = 0; a < axes; a++)
    loop_for(l->k, WINDOW[a], ex_idx(l->k, 0), lower_dim(l, c->w.size[a]), c->masked ? FOR_UNROLL : FOR_SERIAL, 0,
             TAIL_NONE, &c->e[a]);
}

/* The elements of the window at p that lie in the operand: 0 <= p * stride + e * step - lo < extent. */
static void open_clipped(Conv *c, int axes) {
  Lower *l = c->l;
  Kernel *k = l->k;
  for (int a = 0; a < axes; a++) {
    Ex before = ex_op2(k, OP_SUB, lower_dim(l, c->w.lo[a]), ex_mul(k, c->p[a], ex_idx(k, c->w.stride[a]))),
       after = ex_add(k, before, lower_dim(l, graph_shape(l->g, c->x)[2 + a])), step = ex_idx(k, c->w.step[a]),
       up = ex_idx(k, c->w.step[a] - 1);
    loop_for(k, WINDOW[a], ex_op2(k, OP_MAXIMUM, ex_idx(k, 0), ex_op2(k, OP_FLOOR_DIV, ex_add(k, before, up), step)),
             ex_op2(k, OP_MINIMUM, lower_dim(l, c->w.size[a]), ex_op2(k, OP_FLOOR_DIV, ex_add(k, after, up), step)),
             FOR_SERIAL, 0, TAIL_NONE, &c->e[a]);
  }
}

static int panel_index(const Conv *c, Ex n, Ex *at) {
  int r = 0;
  at[r++] = c->group;
  for (int a = 0; a < c->w.n; a++) at[r++] = c->e[a];
  at[r++] = c->i;
  at[r++] = n;
  return r;
}

/* How many elements of the kernel's last axis lie side by side and divide it: a power of two, at most the lanes. */
static int side_by_side(const Conv *c) {
  int n = c->lanes;
  int64_t size = known(c->l, c->w.size[c->w.n - 1]);
  if (size == INT64_MAX || c->reverse || !lower_along(c->l, c->kernel, 1 + c->w.n)) return 1;
  while (size % n) n /= 2;
  return n;
}

static Ex padding_is_zero(Conv *c, Ex n, Ex e) { /* of channel n, which may be beyond the group's last */
  Lower *l = c->l;
  if (!c->rest) return e;
  return ex_op3(l->k, OP_SELECT, ex_op2(l->k, OP_LESS, n, lower_dim(l, c->per)), e, lower_zero(l, c->dtype));
}

/* Places that memory has side by side, `wide` at a time, at the channels from n on: vectors along the places, of
 * several channels each, are turned over. */
static void pack_square(Conv *c, Ex begin, Ex n, Ex place, int wide) {
  Kernel *k = c->l->k;
  int last = c->w.n - 1, parts = c->lanes / wide;
  Ex row[64], part[64] = {0}, at[MAX_RANK];
  c->e[last] = ex_add(k, place, ex_lane(k, wide));
  for (int i = 0; i < wide; i++) {
    for (int p = 0; p < parts; p++) {
      Ex o = ex_add(k, n, ex_idx(k, p * wide + i));
      part[p] = padding_is_zero(c, o, conv_weight(c, ex_add(k, begin, o)));
    }
    for (int w = 1; w < parts; w *= 2)
      for (int p = 0; p < parts; p += 2 * w)
        part[p] = loop_let(k, "w", ex_op3(k, OP_PERM2, part[p], part[p + w], ex_lane(k, 2 * w * wide)));
    row[i] = part[0];
  }
  lower_turn_over(k, row, wide, c->lanes);
  for (int i = 0; i < wide; i++) {
    c->e[last] = ex_add(k, place, ex_idx(k, i));
    int r = panel_index(c, ex_add(k, n, ex_lane(k, c->lanes)), at);
    loop_store(k, c->panels, at, r, ex_convert(k, c->packs, row[i]), 0);
  }
}

static void pack_stage(Conv *c) {
  Lower *l = c->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  int width = tile_channels(c), r = 0, wide = side_by_side(c), last = c->w.n - 1;
  Sym shape[MAX_RANK], inputs = graph_shape(l->g, c->kernel)[1];
  shape[r++] = sym_int(t, c->groups * c->batches);
  for (int a = 0; a < c->w.n; a++) shape[r++] = c->w.size[a];
  shape[r++] = inputs;
  shape[r++] = sym_round_up(t, c->per, sym_int(t, width));
  Id cell = lower_parameter(l, c->kernel);
  if (cell != lower_memory(l, c->kernel)) cell = 0; /* transposed */
  const char *layout = arena_printf(l->all->ctx->arena, "conv(%d, %d groups%s)", width, (int)(c->groups * c->batches),
                                    c->reverse ? ", reversed" : "");
  c->panels = lower_panels(l, c->packs, shape, r, width, cell, layout);
  lower_stage(l, "pack", sym_product(t, shape, r), wide < 4 ? 12 : 3, false);
  vec_last(&l->out->stages).prepares = cell != 0;
  c->group = loop_axis(k, "g", shape[0]);
  Ex begin = ex_mul(k, c->group, lower_dim(l, c->per)), lanes = ex_idx(k, c->lanes), at[MAX_RANK], n, place;
  Sym vectors = sym_op(t, SYM_FLOORDIV, shape[r - 1], sym_int(t, c->lanes));
  c->end = ex_add(k, begin, lower_dim(l, c->per));
  if (wide < 4) {                                        /* each channel's elements are read one after the other */
    bool gathers = !c->rest || dtype_size(c->packs) > 2; /* else places that are clamped take a register each */
    n = ex_mul(k, loop_axis(k, "n", vectors), lanes);
    if (gathers) n = ex_add(k, n, ex_lane(k, c->lanes));
    open_channels(c, false);
    open_window(c, c->w.n);
    if (!gathers) {
      Ex lane;
      loop_for(k, "lane", ex_idx(k, 0), lanes, FOR_SERIAL, 0, TAIL_NONE, &lane);
      n = ex_add(k, n, lane);
    }
    Ex e = padding_is_zero(c, n, conv_weight(c, ex_add(k, begin, n)));
    panel_index(c, n, at);
    loop_store(k, c->panels, at, r, ex_convert(k, c->packs, e), 0);
  } else { /* the panels are written one after the other */
    for (int a = 0; a < last; a++) c->e[a] = loop_axis(k, WINDOW[a], c->w.size[a]);
    place = ex_mul(k, loop_axis(k, "kb", sym_exact(t, c->w.size[last], sym_int(t, wide))), ex_idx(k, wide));
    open_channels(c, false);
    loop_for(k, "n", ex_idx(k, 0), lower_dim(l, vectors), FOR_SERIAL, 0, TAIL_NONE, &n);
    pack_square(c, begin, ex_mul(k, n, lanes), place, wide);
  }
  nest_close(l);
}

/* ---- tiles ---- */

Ex conv_product(const Conv *c, Ex a, Ex b, Ex sum) {
  Kernel *k = c->l->k;
  return dtype_is_float(c->dtype) ? ex_op3(k, OP_FMA, a, b, sum) : ex_add(k, sum, ex_mul(k, a, b));
}

/* Channel o at place p: through the epilogue into the outputs. */
static void store(Conv *c, Ex o, Ex value) {
  Lower *l = c->l;
  Ex at[MAX_RANK] = {c->batch, o};
  int rank = c->w.n + 2;
  memcpy(at + 2, c->p, (size_t)c->w.n * sizeof *at);
  if (c->rest) loop_if(l->k, ex_op2(l->k, OP_LESS, o, c->end));
  lower_remember(l, c->v, at, rank, value);
  lower_store_outputs(l, at);
  if (c->rest) loop_end(l->k);
}

static void close_to(Lower *l, int depth, uint32_t mark) {
  while (l->k->depth > depth) loop_end(l->k);
  l->memo.n = mark;
}

static void unroll(Conv *c, const char *name, int n, Ex *var) {
  loop_for(c->l->k, name, ex_idx(c->l->k, 0), ex_idx(c->l->k, n), FOR_UNROLL, 0, TAIL_NONE, var);
}

/* Vector v of the channels of mr pixels from p on, which are in `t` from `base` on. In memory the pixels of a channel
 * lie side by side: some of them are turned over, so that whole vectors are stored. */
static void store_row(Conv *c, uint32_t t, int base, int mr, Ex v) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int last = c->w.n - 1, rows;
  uint32_t mark = l->memo.n;
  bool masks = lower_tail(l) == TAIL_MASK;
  Ex from = c->p[last], first = ex_add(k, c->first, ex_mul(k, v, ex_idx(k, c->lanes))), row[64];
  for (int m = 0; m < mr; m += rows) {
    int left = mr - m;
    rows = narrow(c->lanes, left);
    if (rows > left && !masks) rows /= 2;
    if (rows > left + left / 2) rows = 1;
    for (int i = 0; i < rows; i++) row[i] = i < left ? ex_reg(k, t, (Ex[]){ex_idx(k, base + m + i), v}, 2) : row[0];
    Ex p = ex_add(k, from, ex_idx(k, m));
    if (rows == 1) {
      c->p[last] = p;
      store(c, ex_add(k, first, ex_lane(k, c->lanes)), row[0]);
      l->memo.n = mark;
      continue;
    }
    lower_turn_over(k, row, rows, c->lanes);
    c->p[last] = ex_add(k, p, ex_lane(k, rows));
    if (left < rows) loop_if(k, ex_op2(k, OP_LESS, ex_lane(k, rows), ex_idx(k, left)));
    for (int o = 0; o < c->lanes; o++) {
      Ex part = row[o % rows];
      if (rows < c->lanes) part = ex_op2(k, OP_PERM, part, ex_add(k, ex_lane(k, rows), ex_idx(k, o / rows * rows)));
      store(c, ex_add(k, first, ex_idx(k, o)), part);
      l->memo.n = mark;
    }
    if (left < rows) loop_end(k);
  }
}

/* The input channels of the places of the window that stand, for pixels m to `end` of the tile. */
static void add_products(Conv *c, uint32_t t, int m, int end) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int64_t nv = c->nv;
  int depth = k->depth;
  Ex mv[2], at[MAX_RANK], r = 0, first = c->w.n > 1 ? c->p[c->w.n - 2] : 0;
  uint32_t mark = l->memo.n;
  open_channels(c, true);
  uint32_t b = loop_reg(k, "b", c->dtype, c->lanes, 1, &nv, 0);
  unroll(c, "v", c->nv, &mv[1]);
  Ex n = ex_op2(k, OP_SUB, c->first, ex_mul(k, c->group, lower_dim(l, c->per)));
  n = ex_add(k, ex_add(k, n, ex_mul(k, mv[1], ex_idx(k, c->lanes))), ex_lane(k, c->lanes));
  int rank = panel_index(c, n, at);
  loop_assign(k, b, &mv[1], 1, ex_convert(k, c->dtype, ex_load(k, c->panels, at, rank, 0, 0)), 0);
  loop_end(k);
  if (c->rows > 1) {
    unroll(c, "r", c->rows, &r);
    c->p[c->w.n - 2] = ex_add(k, first, r);
  }
  loop_for(k, "m", ex_idx(k, m), ex_idx(k, end), FOR_UNROLL, 0, TAIL_NONE, &mv[0]);
  Ex a = loop_let(k, "a", operand(c, mv[0], c->lanes));
  if (r) mv[0] = ex_add(k, ex_mul(k, r, ex_idx(k, c->mr)), mv[0]);
  unroll(c, "v", c->nv, &mv[1]);
  loop_assign(k, t, mv, 2, conv_product(c, a, ex_reg(k, b, &mv[1], 1), ex_reg(k, t, mv, 2)), 0);
  close_to(l, depth, mark);
  if (r) c->p[c->w.n - 2] = first;
}

/* mr pixels from p on, nv vectors of channels. `edge`: p, if it is a tile at an edge, or -1. */
static void channel_tile(Conv *c, int mr, int64_t edge) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int64_t dim[2] = {c->rows * mr, c->nv};
  int depth = k->depth, last = c->w.n - 1;
  uint32_t t = loop_reg(k, "t", c->dtype, c->lanes, 2, dim, lower_zero(l, c->dtype)), mark = l->memo.n;
  if (edge >= 0) c->p[last] = ex_idx(k, edge);
  if (c->clipped) {
    open_clipped(c, last);
    for (int64_t e = 0; e < known(l, c->w.size[last]); e++) {
      int m = 0, end = mr;
      while (edge >= 0 && m < end && last_place(c, edge + m, e) < 0) m++;
      while (edge >= 0 && m < end && last_place(c, edge + end - 1, e) >= last_extent(c)) end--;
      c->e[last] = ex_idx(k, e);
      if (m < end) add_products(c, t, m, end);
    }
  } else {
    open_window(c, c->w.n);
    add_products(c, t, 0, mr);
  }
  close_to(l, depth, mark);
  Ex v, from = c->p[last], first = last ? c->p[last - 1] : 0;
  unroll(c, "v", c->nv, &v);
  for (int r = 0; r < c->rows; r++) {
    if (r) c->p[last - 1] = ex_add(k, first, ex_idx(k, r));
    c->p[last] = from;
    store_row(c, t, r * mr, mr, v);
  }
  c->p[last] = from;
  if (last) c->p[last - 1] = first;
  close_to(l, depth, mark);
}

static void edge_tile(Conv *c, int mr, int64_t from) { /* its registers are its block's */
  Ex at;
  loop_for(c->l->k, "p", ex_idx(c->l->k, from), ex_idx(c->l->k, from + 1), FOR_UNROLL, 0, TAIL_NONE, &at);
  channel_tile(c, mr, from);
  loop_end(c->l->k);
}

/* All pixels of a row: tiles of mr, then what is left, in halves where it is not known how much that is. */
static void along_channels(Conv *c) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int last = c->w.n - 1;
  Sym row = graph_shape(l->g, c->v)[2 + last];
  int64_t n = known(l, row), from = 0, to = n / c->mr;
  Ex it, end = lower_dim(l, row), mr = ex_idx(k, c->mr);
  if (c->clipped) inner_tiles(c, n, &from, &to);
  for (int64_t i = 0; i < from; i++) edge_tile(c, c->mr, i * c->mr);
  loop_for(k, "it", ex_idx(k, from), n < INT64_MAX ? ex_idx(k, to) : ex_op2(k, OP_FLOOR_DIV, end, mr), FOR_SERIAL, 0,
           TAIL_NONE, &it);
  c->p[last] = loop_let(k, "p", ex_mul(k, it, mr));
  channel_tile(c, c->mr, -1);
  loop_end(k);
  if (n < INT64_MAX) {
    for (; to < n / c->mr; to++) edge_tile(c, c->mr, to * c->mr);
    if (n % c->mr) edge_tile(c, (int)(n % c->mr), n - n % c->mr);
    return;
  }
  Ex at = ex_op2(k, OP_SUB, end, ex_op2(k, OP_FLOOR_MOD, end, mr));
  for (int s = 8; s; s /= 2) {
    if (s >= c->mr) continue;
    at = c->p[last] = loop_let(k, "rest", at);
    Ex fits = ex_op2(k, OP_LESS_EQUAL, ex_add(k, at, ex_idx(k, s)), end);
    loop_if(k, fits);
    channel_tile(c, s, -1);
    loop_end(k);
    at = ex_add(k, at, ex_op3(k, OP_SELECT, fits, ex_idx(k, s), ex_idx(k, 0)));
  }
}

/* mr channels by nv vectors of the row from place `from` on, or by the vector of a loop along the row (from 0). */
static void row_tile(Conv *c, int nv, Ex from, bool masked) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int depth = k->depth, last = c->w.n - 1;
  int64_t dim[2] = {c->mr, nv};
  Ex jv[2], place = c->p[last], end = lower_dim(l, graph_shape(l->g, c->v)[2 + last]), lane = ex_lane(k, c->lanes);
  uint32_t t = loop_reg(k, "t", c->dtype, c->lanes, 2, dim, lower_zero(l, c->dtype)), mark = l->memo.n;
  open_window(c, c->w.n);
  Ex at[MAX_RANK], inside[MAX_RANK], rows = 0;
  c->i = ex_idx(k, 0), c->p[last] = from ? from : place; /* neither decides about the rows */
  conv_operand_index(c, 0, 0, at, inside);
  for (int a = 0; a < last; a++)
    if (inside[a]) rows = rows ? ex_op2(k, OP_AND, rows, inside[a]) : inside[a];
  if (rows) loop_if(k, rows);
  open_channels(c, true);
  uint32_t x = loop_reg(k, "x", c->dtype, c->lanes, 1, &dim[1], 0), inner = l->memo.n;
  unroll(c, "v", nv, &jv[1]);
  if (from) place = ex_add(k, ex_add(k, from, ex_mul(k, jv[1], ex_idx(k, c->lanes))), lane);
  c->p[last] = place;
  conv_operand_index(c, 0, 0, at, inside);
  Ex there = inside[last], value;
  if (masked) there = there ? ex_op2(k, OP_AND, there, ex_op2(k, OP_LESS, place, end)) : ex_op2(k, OP_LESS, place, end);
  if (c->padded)
    value = ex_load(k, c->copy, at, c->w.n + 2, there, 0);
  else
    value = window_pull(l, c->x, at, c->w.n + 2, there, lower_zero(l, c->dtype));
  loop_assign(k, x, &jv[1], 1, value, 0);
  if (one_place(c) && known(l, graph_shape(l->g, c->kernel)[1]) > PREFETCH &&
      (c->padded || lower_in_memory(l, c->x))) { /* the next channels, which are far apart */
    conv_operand_index(c, 0, PREFETCH, at, inside);
    loop_prefetch(k, c->padded ? c->copy : lower_param(l, c->x, graph_shape(l->g, c->x), c->w.n + 2, false), at,
                  c->w.n + 2);
  }
  loop_end(k);
  l->memo.n = inner;
  unroll(c, "j", c->mr, &jv[0]);
  Ex w = loop_let(k, "w", conv_weight(c, ex_add(k, c->first, jv[0])));
  unroll(c, "v", nv, &jv[1]);
  loop_assign(k, t, jv, 2, conv_product(c, w, ex_reg(k, x, &jv[1], 1), ex_reg(k, t, jv, 2)), 0);
  close_to(l, depth, mark);
  unroll(c, "j", c->mr, &jv[0]);
  unroll(c, "v", nv, &jv[1]);
  if (from) place = ex_add(k, ex_add(k, from, ex_mul(k, jv[1], ex_idx(k, c->lanes))), lane);
  c->p[last] = place;
  if (masked) loop_if(k, ex_op2(k, OP_LESS, place, end));
  store(c, ex_add(k, c->first, jv[0]), ex_reg(k, t, jv, 2));
  close_to(l, depth, mark);
}

/* A row in tiles of nv vectors. What is left: where its length is known and masks are there, one tile of as many
 * vectors as it takes; else single vectors. */
static void along_row(Conv *c) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int last = c->w.n - 1, wide = c->nv * c->lanes;
  Sym row = graph_shape(l->g, c->v)[2 + last];
  int64_t n = known(l, row);
  Ex it, end = lower_dim(l, row), at = ex_op2(k, OP_SUB, end, ex_op2(k, OP_FLOOR_MOD, end, ex_idx(k, wide)));
  if (c->nv > 1 && n >= wide) {
    loop_for(k, "it", ex_idx(k, 0), ex_op2(k, OP_FLOOR_DIV, end, ex_idx(k, wide)), FOR_SERIAL, 0, TAIL_NONE, &it);
    row_tile(c, c->nv, loop_let(k, "p", ex_mul(k, it, ex_idx(k, wide))), false);
    loop_end(k);
  } else
    at = ex_idx(k, 0);
  if (c->nv > 1 && n < INT64_MAX && lower_tail(l) == TAIL_MASK) {
    int left = (int)(n % wide);
    if (left) row_tile(c, (left + c->lanes - 1) / c->lanes, at, left % c->lanes != 0);
    return;
  }
  loop_for(k, "p", at, end, FOR_VECTOR, c->lanes, lower_tail(l), &c->p[last]);
  row_tile(c, 1, 0, false);
  loop_end(k);
}

static void along_window(Conv *c) {
  Lower *l = c->l;
  Kernel *k = l->k;
  int last = c->w.n - 1;
  int64_t dim[2] = {c->mr, c->nv};
  Ex jc[2];
  uint32_t t = loop_reg(k, "t", c->dtype, c->lanes, 2, dim, lower_zero(l, c->dtype)), mark = l->memo.n;
  int depth = k->depth;
  open_window(c, last);
  open_channels(c, false);
  loop_for(k, "k", ex_idx(k, 0), lower_dim(l, c->w.size[last]), FOR_VECTOR, c->lanes, lower_tail(l), &c->e[last]);
  uint32_t xs = loop_reg(k, "x", c->dtype, c->lanes, 1, &dim[1], 0), inner = l->memo.n;
  unroll(c, "p", c->nv, &c->p[last]);
  loop_assign(k, xs, &c->p[last], 1, operand(c, 0, 1), 0);
  loop_end(k);
  l->memo.n = inner;
  unroll(c, "j", c->mr, &jc[0]);
  Ex w = loop_let(k, "w", conv_weight(c, ex_add(k, c->first, jc[0])));
  unroll(c, "p", c->nv, &jc[1]);
  loop_assign(k, t, jc, 2, conv_product(c, w, ex_reg(k, xs, &jc[1], 1), ex_reg(k, t, jc, 2)), 0);
  close_to(l, depth, mark);
  unroll(c, "j", c->mr, &jc[0]);
  unroll(c, "p", c->nv, &jc[1]);
  c->p[last] = jc[1];
  Ex sum = ex_reg(k, t, jc, 2);
  store(c, ex_add(k, c->first, jc[0]), c->lanes > 1 ? loop_let(k, "sum", ex_op1(k, OP_HADD, sum)) : sum);
  close_to(l, depth, mark);
}

void strat_conv(Lower *l) {
  static const char *const name[] = {"p0", "p1", "p2"}, *const way[] = {"channels", "row", "window"};
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Id v = l->grp->anchor;
  Conv c = {.l = l,
            .v = v,
            .x = graph_in(l->g, v)[0],
            .kernel = graph_in(l->g, v)[1],
            .dtype = graph_dtype(l->g, v),
            .packs = lower_packed_type(l, graph_in(l->g, v)[1]),
            .reverse = graph_attr_int(l->g, v, "reverse"),
            .groups = graph_attr_int(l->g, v, "groups"),
            .batches = graph_attr_int(l->g, v, "batch_groups")};
  int64_t all = c.groups * c.batches;
  const Sym *y = graph_shape(l->g, v), *ks = graph_shape(l->g, c.kernel);
  window_read(l->g, v, &c.w);
  c.per = sym_divided(l->all->facts, y[1], sym_int(t, all));
  if (!c.per) BUG("the groups of a convolution do not divide");
  Sym products = sym_mul(t, lower_total(l, y, c.w.n + 2), sym_product(t, ks + 1, c.w.n + 1));
  if (lower_gpu(l)) {
    conv_threads(&c, products);
    return;
  }
  choose(&c);
  c.padded = needs_copy(&c);
  c.masked = c.padded && masks_will_do(&c);
  c.clipped = c.padded && clipping_will_do(&c);
  c.padded &= !c.masked && !c.clipped;
  if (c.along == ALONG_CHANNELS) pack_stage(&c);
  if (c.padded) copy_stage(&c);
  Sym tiles = sym_div_up(t, c.per, sym_int(t, tile_channels(&c)));
  lower_stage(l, "main", products, 1, false);
  lower_products(l, products, c.lanes, sym_int(t, 0));
  bool row_first = c.along == ALONG_ROW && all == 1; /* all channels read the same row of the operand */
  Ex o = 0;
  c.batch = loop_axis(k, "b", y[0]);
  if (!row_first) o = loop_axis(k, "o", sym_mul(t, tiles, sym_int(t, all)));
  for (int a = 0; a < c.w.n - 1; a++) {
    int rows = a == c.w.n - 2 ? c.rows : 1;
    c.p[a] = ex_mul(k, loop_axis(k, name[a], sym_div_up(t, y[2 + a], sym_int(t, rows))), ex_idx(k, rows));
  }
  if (row_first) o = loop_axis(k, "o", sym_mul(t, tiles, sym_int(t, all)));
  c.group = ex_idx(k, 0);
  if (all > 1) {
    c.group = loop_let(k, "group", ex_op2(k, OP_FLOOR_DIV, o, lower_dim(l, tiles)));
    o = ex_op2(k, OP_SUB, o, ex_mul(k, c.group, lower_dim(l, tiles)));
  }
  Ex begin = ex_mul(k, c.group, lower_dim(l, c.per));
  c.first = ex_add(k, begin, ex_mul(k, o, ex_idx(k, tile_channels(&c))));
  c.end = ex_add(k, begin, lower_dim(l, c.per));
  conv_group(&c);
  if (c.along == ALONG_CHANNELS)
    along_channels(&c);
  else if (c.along == ALONG_ROW)
    along_row(&c);
  else
    along_window(&c);
  nest_close(l);
  l->out->schedule = arena_printf(l->all->ctx->arena, "conv(along = %s, tile = %d x %d, lanes = %d%s)", way[c.along],
                                  c.rows * c.mr, c.nv, c.lanes,
                                  c.padded    ? ", operand padded"
                                  : c.clipped ? ", windows clipped"
                                              : "");
}
