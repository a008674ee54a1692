/* Windows two wide, one beside the other, on rows that are shorter than a vector: several rows of them at a time. Their
 * elements are loaded as they lie, and even and odd ones parted; the gradient of max pooling puts them together again.
 */
#include "fold.h"
#include "nest.h"
#include <string.h>

enum { TALLEST = 4 /* places of a window along the axis before */ };

typedef struct Rows {
  Lower *l;
  Id v, x;
  const Windows *w;
  int wide, rows; /* windows of a row, rows at a time */
  Ex at[MAX_RANK];
  Ex from; /* the first of the rows */
} Rows;

static bool number(const Lower *l, Sym s, int64_t *n) { return sym_is_int(l->all->ctx->syms, s, n); }

static bool nothing_around(const Lower *l, const Windows *w, int i) {
  int64_t lo, hi;
  return number(l, w->lo[i], &lo) && number(l, w->hi[i], &hi) && !lo && !hi && w->base[i] == 1;
}

static bool applies(Rows *r, const Sym *windows) {
  Lower *l = r->l;
  const Windows *w = r->w;
  int rank = w->n, last = rank - 1;
  int64_t size, row, in, all;
  if (lower_gpu(l) || rank < 2 || rank > LOOP_AXES + 1 || !lower_seen(l, r->x)) return false;
  for (int i = 0; i < rank; i++)
    if (!nothing_around(l, w, i) || !number(l, w->size[i], &size) || (i < rank - 2 && (size != 1 || w->stride[i] != 1)))
      return false;
  if (!number(l, w->size[last], &size) || size != 2 || w->stride[last] != 2 || w->step[last] != 1) return false;
  if (!number(l, w->size[last - 1], &size) || size > TALLEST) return false;
  if (!number(l, windows[last], &row) || !number(l, graph_shape(l->g, r->x)[last], &in) || in != 2 * row) return false;
  if (!number(l, windows[last - 1], &all) || row < 2 || row & (row - 1)) return false;
  r->wide = (int)row;
  r->rows = lower_lanes(l) / r->wide;
  while (r->rows > 1 && all % r->rows) r->rows /= 2;
  return r->rows > 1;
}

static int lanes_of(const Rows *r) { return r->rows * r->wide; }
static int64_t height(const Rows *r) {
  int64_t n = 1;
  number(r->l, r->w->size[r->w->n - 2], &n);
  return n;
}

static void open_rows(Rows *r, const Sym *windows) {
  static const char *const name[] = {"i0", "i1", "i2", "i3", "i4", "i5"};
  Kernel *k = r->l->k;
  SymTab *t = r->l->all->ctx->syms;
  int last = r->w->n - 1;
  for (int i = 0; i < last - 1; i++) r->at[i] = loop_axis(k, name[i], windows[i]);
  Ex block = loop_axis(k, name[last - 1], sym_exact(t, windows[last - 1], sym_int(t, r->rows)));
  r->from = ex_mul(k, block, ex_idx(k, r->rows));
}

/* Where in the operand the row of windows `row` of the rows has its elements of place `e`. */
static void operand_row(Rows *r, int row, int64_t e, Ex *at) {
  Kernel *k = r->l->k;
  int last = r->w->n - 1;
  Ex p = ex_mul(k, ex_add(k, r->from, ex_idx(k, row)), ex_idx(k, r->w->stride[last - 1]));
  memcpy(at, r->at, sizeof r->at);
  at[last - 1] = ex_add(k, p, ex_idx(k, e * r->w->step[last - 1]));
  at[last] = ex_lane(k, 2 * r->wide);
}

/* Elements of place `e` of the axis before: the left and the right ones of all windows. */
static void load_pairs(Rows *r, int64_t e, Ex pair[2]) {
  Kernel *k = r->l->k;
  Ex part[64], at[MAX_RANK], lane = ex_lane(k, lanes_of(r));
  for (int i = 0; i < r->rows; i++) {
    operand_row(r, i, e, at);
    part[i] = lower_pull(r->l, r->x, at, r->w->n);
  }
  for (int n = r->rows, wide = 2 * r->wide; n > 2; n /= 2, wide *= 2)
    for (int i = 0; i < n / 2; i++)
      part[i] = loop_let(k, "x", ex_op3(k, OP_PERM2, part[2 * i], part[2 * i + 1], ex_lane(k, 2 * wide)));
  for (int side = 0; side < 2; side++)
    pair[side] = loop_let(
        k, "x", ex_op3(k, OP_PERM2, part[0], part[1], ex_add(k, ex_mul(k, lane, ex_idx(k, 2)), ex_idx(k, side))));
}

static void store_pairs(Rows *r, uint32_t y, int64_t e, const Ex pair[2]) {
  Kernel *k = r->l->k;
  int lanes = lanes_of(r);
  Ex lane = ex_lane(k, lanes), two = ex_idx(k, 2), at[MAX_RANK];
  Ex turns =
      ex_add(k, ex_op2(k, OP_FLOOR_DIV, lane, two), ex_mul(k, ex_op2(k, OP_FLOOR_MOD, lane, two), ex_idx(k, lanes)));
  for (int half = 0; half < 2; half++) {
    Ex both = ex_op3(k, OP_PERM2, pair[0], pair[1], ex_add(k, turns, ex_idx(k, half * lanes / 2)));
    both = loop_let(k, "y", both);
    for (int i = 0; i < r->rows / 2; i++) {
      operand_row(r, half * r->rows / 2 + i, e, at);
      Ex from = ex_add(k, ex_lane(k, 2 * r->wide), ex_idx(k, i * 2 * r->wide));
      loop_store(k, y, at, r->w->n, r->rows > 2 ? ex_op2(k, OP_PERM, both, from) : both, 0);
    }
  }
}

/* The rows of windows lie side by side: their number is that of their last two axes walked as one. */
static void at_windows(Rows *r, const Sym *windows, Ex *at) {
  Lower *l = r->l;
  Kernel *k = l->k;
  int last = r->w->n - 1;
  memcpy(at, r->at, sizeof r->at);
  at[last - 1] = ex_idx(k, 0);
  at[last] = ex_add(k, ex_mul(k, r->from, lower_dim(l, windows[last])), ex_lane(k, lanes_of(r)));
  l->merged = 2, l->line = at[last];
}

bool window_rows(Lower *l, Id v, const Windows *w, double cost) {
  bool scatters = graph_op(l->g, v) == OP_SELECT_SCATTER;
  Rows r = {.l = l, .v = v, .x = *graph_in(l->g, v), .w = w};
  Id windowed = scatters ? graph_in(l->g, v)[1] : v;
  const Sym *windows = graph_shape(l->g, windowed);
  if (!applies(&r, windows) || (scatters && !lower_seen(l, windowed))) return false;
  Kernel *k = l->k;
  DType d = graph_dtype(l->g, v);
  int lanes = lanes_of(&r);
  uint32_t y = scatters ? nest_result(l, v) : 0;
  Ex at[MAX_RANK], pair[TALLEST][2];
  lower_stage(l, scatters ? "add" : "main", lower_total(l, windows, w->n), cost, false);
  open_rows(&r, windows);
  for (int64_t e = 0; e < height(&r); e++) load_pairs(&r, e, pair[e]);
  if (!scatters) {
    Op fold = graph_op(l->g, v) == OP_WINDOW_SUM ? OP_REDUCE_SUM : OP_REDUCE_MAX;
    Ex acc = ex_splat(k, fold_start(l, fold, d), lanes);
    for (int64_t e = 0; e < height(&r); e++)
      for (int side = 0; side < 2; side++) acc = loop_let(k, "acc", ex_op2(k, fold_step(fold), acc, pair[e][side]));
    at_windows(&r, windows, at);
    lower_store(l, v, at, w->n, acc);
  } else {
    Ex best = ex_splat(k, lower_zero(l, d), lanes), first = ex_splat(k, ex_int(k, DT_I32, -1), lanes),
       none = ex_splat(k, ex_int(k, DT_I32, 0), lanes);
    for (int64_t e = 0; e < height(&r); e++)
      for (int side = 0; side < 2; side++) {
        Ex win = window_wins(l, pair[e][side], best, ex_op2(k, OP_LESS, first, none));
        first = loop_let(k, "first", ex_op3(k, OP_SELECT, win, ex_int(k, DT_I32, 2 * e + side), first));
        best = loop_let(k, "best", ex_op3(k, OP_SELECT, win, pair[e][side], best));
      }
    at_windows(&r, windows, at);
    Ex zero = lower_zero(l, d), g = ex_add(k, lower_pull(l, windowed, at, w->n), zero); /* a sum: of -0 it is 0 */
    l->merged = 0;
    for (int64_t e = 0; e < height(&r); e++) {
      for (int side = 0; side < 2; side++) {
        Ex mine = ex_op2(k, OP_EQUAL, first, ex_int(k, DT_I32, 2 * e + side));
        pair[e][side] = loop_let(k, "g", ex_op3(k, OP_SELECT, mine, g, zero));
      }
      store_pairs(&r, y, e, pair[e]);
    }
  }
  l->merged = 0;
  nest_close(l);
  l->out->schedule = arena_printf(l->all->ctx->arena, "window(rows = %d, lanes = %d)", r.rows, lanes);
  return true;
}
