/* Products: a register tile of MR rows and NV vectors of columns, the whole sum inside, the epilogue on the tile. The
 * right-hand side is read as it lies where its columns are contiguous, else from panels [N / NR][K][NR], which an own
 * stage packs (`prepare` does it where the operand is a parameter that the entry leaves alone). The left-hand side is
 * never packed: its elements are broadcast. Further free and batch axes are axes of the stage; several contracted axes
 * are nested loops. */
#include "gemm.h"
#include <string.h>

enum { PREFETCH = 8, LINE = 64 }; /* steps of the sum ahead; bytes that one prefetch brings */

static bool listed(const int *list, int n, int axis) {
  for (int i = 0; i < n; i++)
    if (list[i] == axis) return true;
  return false;
}

static int free_axes(const Lower *l, Id v, const int *b, int nb, const int *c, int nc, int *out) {
  int n = 0;
  for (int i = 0; i < graph_rank(l->g, v); i++)
    if (!listed(b, nb, i) && !listed(c, nc, i)) out[n++] = i;
  return n;
}

static void read_axes(Gemm *g) {
  const Graph *gr = g->l->g;
  int n;
  const int64_t *c = graph_attr(gr, g->v, "contract", &n);
  g->nc = n / 2;
  for (int i = 0; i < g->nc; i++) g->cx[i] = (int)c[i], g->cy[i] = (int)c[g->nc + i];
  const int64_t *b = graph_attr(gr, g->v, "batch", &n);
  g->nb = n / 2;
  for (int i = 0; i < g->nb; i++) g->bx[i] = (int)b[i], g->by[i] = (int)b[g->nb + i];
  g->nfx = free_axes(g->l, g->x, g->bx, g->nb, g->cx, g->nc, g->fx);
  g->nfy = free_axes(g->l, g->y, g->by, g->nb, g->cy, g->nc, g->fy);
}

Gemm gemm_of(Lower *l, Id product) {
  const Id *in = graph_in(l->g, product);
  Sym one = sym_int(l->all->ctx->syms, 1);
  Gemm g = {.l = l,
            .v = product,
            .x = in[0],
            .y = in[1],
            .dtype = graph_dtype(l->g, product),
            .packs = lower_packed_type(l, in[1])};
  read_axes(&g);
  g.lanes = l->all->target->vector_bytes / (int)dtype_size(g.dtype);
  g.m = g.nfx ? graph_shape(l->g, g.x)[g.fx[g.nfx - 1]] : one;
  g.n = g.nfy ? graph_shape(l->g, g.y)[g.fy[g.nfy - 1]] : one;
  return g;
}

/* The tile: as many columns as the level's registers allow without much padding, then as many rows as are left.
 * MR * NV + NV + 1 registers; four rows at least, so that a broadcast serves enough products. */
/* Registers for the masks of a last panel that is not full. */
static int masks(const Gemm *g, int nv) {
  const Lower *l = g->l;
  bool own = l->all->target->vector_regs >= 32 || !target_mask(l->all->target, g->dtype); /* registers, or no masks */
  return own || sym_divides(l->all->facts, nv * g->lanes, g->n) ? 0 : nv;
}

static int tile_rows(int regs, int nv, int64_t m) {
  int mr = (regs - 1 - nv) / nv, most = nv > 2 ? 8 : 14;
  if (mr > most) mr = most;
  if (m < mr) mr = (int)m;
  return mr > 1 ? mr : 1; /* no rows at all: none is ever computed */
}

static void choose_tile(Gemm *g) {
  SymTab *t = g->l->all->ctx->syms;
  int regs = lower_tile_registers(g->l, g->dtype), most = regs >= 32 ? 4 : 2;
  int64_t n = INT64_MAX, m = INT64_MAX;
  sym_is_int(t, g->n, &n);
  sym_is_int(t, g->m, &m);
  /* Of the prologue, which has few operations: a choice keeps both its sides. Other members made before the product are
   * not in its loop. */
  int numbers = 0;
  for (uint32_t i = 0; i < g->l->grp->members.n; i++) {
    Id v = g->l->grp->members.at[i];
    if (v < g->v) numbers += graph_op(g->l->g, v) == OP_SELECT ? 2 : 1;
  }
  regs -= numbers < 4 ? numbers : 4;
  g->nv = 1;
  double score = 0;
  for (int nv = 1; nv <= most; nv++) {
    int nr = nv * g->lanes, mr = tile_rows(regs - masks(g, nv), nv, m);
    double fill = n == INT64_MAX ? 1 : (double)n / (double)((n + nr - 1) / nr * nr);
    double loads = (double)(mr * nv) / (mr + nv); /* products a load */
    lower_weighed(g->l, mr, nv, loads, fill);
    if (fill * loads > score * 1.02) score = fill * loads, g->nv = nv;
  }
  g->mr = tile_rows(regs - masks(g, g->nv), g->nv, m);
  g->rows = 8 * g->mr;
}

void gemm_operand_index(const Gemm *g, bool right, Ex row, Ex *index) {
  for (int i = 0; i < g->nb; i++) index[right ? g->by[i] : g->bx[i]] = g->batch[i];
  for (int i = 0; i < g->nc; i++) index[right ? g->cy[i] : g->cx[i]] = g->k[i];
  int n = right ? g->nfy : g->nfx;
  for (int i = 0; i < n; i++) index[right ? g->fy[i] : g->fx[i]] = i == n - 1 ? row : right ? g->ys[i] : g->xs[i];
}

int gemm_panel_index(const Gemm *g, Ex n, Ex *index) {
  int r = 0;
  for (int i = 0; i < g->nb; i++) index[r++] = g->batch[i];
  for (int i = 0; i < g->nfy - 1; i++) index[r++] = g->ys[i];
  for (int i = 0; i < g->nc; i++) index[r++] = g->k[i];
  index[r++] = n;
  return r;
}

static void open_sum(Gemm *g) {
  static const char *const name[] = {"k", "k1", "k2", "k3", "k4", "k5", "k6", "k7"};
  Lower *l = g->l;
  for (int i = 0; i < g->nc; i++)
    loop_for(l->k, name[i], ex_idx(l->k, 0), lower_dim(l, graph_shape(l->g, g->x)[g->cx[i]]),
             g->along ? FOR_VECTOR : FOR_SERIAL, g->along, g->along ? lower_tail(l) : TAIL_NONE, &g->k[i]);
}

/* Batch axes and all free axes but the last of each side: axes of the stage, as far as it has room, else loops inside.
 */
typedef struct Outer {
  Sym extent[2 * MAX_RANK];
  Ex *to[2 * MAX_RANK]; /* where the value goes */
  int n, loops;         /* the first `loops` are loops */
} Outer;

static const char *const OUTER[] = {"b0", "b1", "b2",  "b3",  "b4",  "b5",  "b6",  "b7",
                                    "b8", "b9", "b10", "b11", "b12", "b13", "b14", "b15"};

static void outer_axis(Outer *o, Sym extent, Ex *to) {
  o->extent[o->n] = extent;
  o->to[o->n++] = to;
}

static void outer_axes(Lower *l, Outer *o, int reserved) {
  o->loops = o->n > LOOP_AXES - reserved ? o->n - (LOOP_AXES - reserved) : 0;
  for (int i = o->loops; i < o->n; i++) *o->to[i] = loop_axis(l->k, OUTER[i], o->extent[i]);
}

static void outer_loops(Lower *l, const Outer *o) { /* when all axes are there */
  for (int i = 0; i < o->loops; i++)
    loop_for(l->k, OUTER[i], ex_idx(l->k, 0), lower_dim(l, o->extent[i]), FOR_SERIAL, 0, TAIL_NONE, o->to[i]);
}

Sym gemm_column(const Gemm *g) {
  const Graph *gr = g->l->g;
  SymTab *t = gr->ctx->syms;
  Sym column = sym_int(t, 1);
  for (int i = 0; i < graph_rank(gr, g->v); i++)
    if (!g->nfx || i != g->nb + g->nfx - 1) column = sym_mul(t, column, graph_shape(gr, g->v)[i]);
  for (int i = 0; i < g->nc; i++) column = sym_mul(t, column, graph_shape(gr, g->x)[g->cx[i]]);
  return column;
}

/* ---- panels ---- */

/* Element n of the panels at the sum's position; zero beyond the last column. */
static void pack_element(Gemm *g, Ex n) {
  Lower *l = g->l;
  Kernel *k = l->k;
  Ex size = lower_dim(l, g->n), index[MAX_RANK], at[MAX_RANK];
  gemm_operand_index(g, true, ex_op2(k, OP_MINIMUM, n, ex_op2(k, OP_SUB, size, ex_idx(k, 1))), index);
  Ex e = ex_convert(k, g->packs, lower_pull(l, g->y, index, graph_rank(l->g, g->y)));
  int r = gemm_panel_index(g, n, at);
  loop_store(k, g->panel, at, r, ex_op3(k, OP_SELECT, ex_op2(k, OP_LESS, n, size), e, lower_zero(l, g->packs)), 0);
}

/* The contracted axis along which the right-hand side lies in memory, or -1: panels are then its transpose. */
static int block_axis(const Gemm *g) {
  const Graph *gr = g->l->g;
  int at = -1;
  int64_t n;
  for (int i = 0; i < g->nc; i++)
    if (lower_along(g->l, g->y, g->cy[i])) at = i;
  if (at < 0 || g->lanes == 1) return -1;
  return sym_is_int(gr->ctx->syms, graph_shape(gr, g->y)[g->cy[at]], &n) && n < g->lanes ? -1
                                                                                         : at; /* no square in it */
}

/* A block of columns, one vector wide: squares are loaded along the contracted axis, turned over in registers and
 * stored along the columns; what is left of that axis goes one by one. */
static void pack_blocks(Gemm *g, int along, Ex block) {
  Lower *l = g->l;
  Kernel *k = l->k;
  int w = g->lanes, rank = graph_rank(l->g, g->y);
  Ex width = ex_idx(k, w), size = lower_dim(l, g->n), zero = ex_idx(k, 0), first = ex_mul(k, block, width);
  Ex depth = lower_dim(l, graph_shape(l->g, g->y)[g->cy[along]]), squares = ex_op2(k, OP_FLOOR_DIV, depth, width);
  Ex row[64], index[MAX_RANK], at[MAX_RANK], kb, j;
  bool full = sym_divides(l->all->facts, g->nv * w, g->n); /* no column of a panel is padding */
  for (int i = 0; i < g->nc; i++)
    if (i != along)
      loop_for(k, "k", zero, lower_dim(l, graph_shape(l->g, g->y)[g->cy[i]]), FOR_SERIAL, 0, TAIL_NONE, &g->k[i]);
  loop_for(k, "kb", zero, squares, FOR_SERIAL, 0, TAIL_NONE, &kb);
  Ex from = ex_mul(k, kb, width);
  for (int i = 0; i < w; i++) {
    Ex n = ex_add(k, first, ex_idx(k, i));
    g->k[along] = ex_add(k, from, ex_lane(k, w));
    gemm_operand_index(g, true, full ? n : ex_op2(k, OP_MINIMUM, n, ex_op2(k, OP_SUB, size, ex_idx(k, 1))), index);
    row[i] = ex_convert(k, g->packs, lower_pull(l, g->y, index, rank));
    if (!full) row[i] = ex_op3(k, OP_SELECT, ex_op2(k, OP_LESS, n, size), row[i], lower_zero(l, g->packs));
  }
  lower_turn_over(k, row, w, w);
  for (int i = 0; i < w; i++) {
    g->k[along] = ex_add(k, from, ex_idx(k, i));
    int r = gemm_panel_index(g, ex_add(k, first, ex_lane(k, w)), at);
    loop_store(k, g->panel, at, r, row[i], 0);
  }
  loop_end(k);
  int64_t whole;
  if (sym_is_int(l->all->ctx->syms, graph_shape(l->g, g->y)[g->cy[along]], &whole) && whole % w == 0) return;
  loop_for(k, "rest", ex_mul(k, squares, width), depth, FOR_SERIAL, 0, TAIL_NONE, &g->k[along]);
  loop_for(k, "n", first, ex_add(k, first, width), FOR_SERIAL, 0, TAIL_NONE, &j);
  pack_element(g, j);
}

void gemm_pack(Gemm *g) {
  Lower *l = g->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Sym shape[MAX_RANK], nr = sym_int(t, g->nv * g->lanes);
  int r = 0;
  for (int i = 0; i < g->nb; i++) shape[r++] = graph_shape(l->g, g->y)[g->by[i]];
  for (int i = 0; i < g->nfy - 1; i++) shape[r++] = graph_shape(l->g, g->y)[g->fy[i]];
  for (int i = 0; i < g->nc; i++) shape[r++] = graph_shape(l->g, g->y)[g->cy[i]];
  shape[r++] = sym_round_up(t, g->n, nr);
  Id cell = lower_parameter(l, g->y);
  Buf layout = {0}; /* equal texts lie alike: which axes come first, and which transposes were read through */
  buf_printf(&layout, "panels(%d)", g->nv * g->lanes);
  for (Id v = g->y; cell && v != cell; v = *graph_in(l->g, v)) {
    int n;
    if (group_widens(l->g, v)) continue;
    const int64_t *axes = graph_attr(l->g, v, "axes", &n);
    for (int i = 0; i < n; i++) buf_printf(&layout, "%s%d", i ? "," : " transposed ", (int)axes[i]);
  }
  for (int i = 0; i < g->nb; i++) buf_printf(&layout, "%s%d", i ? "," : " batch ", g->by[i]);
  for (int i = 0; i < g->nc; i++) buf_printf(&layout, "%s%d", i ? "," : " summed over ", g->cy[i]);
  g->panel = lower_panels(l, g->packs, shape, r, g->nv * g->lanes, cell, layout.at);
  buf_free(&layout);
  lower_stage(l, "pack", sym_product(t, shape, r), block_axis(g) >= 0 ? 3 : 12, false);
  vec_last(&l->out->stages).prepares = cell != 0;
  Outer outer = {0};
  for (int i = 0; i < g->nb; i++) outer_axis(&outer, shape[i], &g->batch[i]);
  for (int i = 0; i < g->nfy - 1; i++) outer_axis(&outer, shape[g->nb + i], &g->ys[i]);
  outer_axes(l, &outer, 1);
  int along = block_axis(g);
  if (along >= 0) {
    Ex block = loop_axis(k, "block", sym_exact(t, shape[r - 1], sym_int(t, g->lanes)));
    outer_loops(l, &outer);
    pack_blocks(g, along, block);
  } else {
    Ex n = loop_axis(k, "n", shape[r - 1]);
    outer_loops(l, &outer);
    open_sum(g);
    pack_element(g, n);
  }
  while (k->depth) loop_end(k);
}

/* ---- the tile ---- */

static Ex column(Gemm *g, Ex col, Ex v, int lanes) {
  Kernel *k = g->l->k;
  Ex n = ex_add(k, col, ex_mul(k, v, ex_idx(k, lanes)));
  return lanes > 1 ? ex_add(k, n, ex_lane(k, lanes)) : n;
}

static void output_index(const Gemm *g, Ex m, Ex n, Ex *index) {
  int r = 0;
  for (int i = 0; i < g->nb; i++) index[r++] = g->batch[i];
  for (int i = 0; i < g->nfx; i++) index[r++] = i == g->nfx - 1 ? m : g->xs[i];
  for (int i = 0; i < g->nfy; i++) index[r++] = i == g->nfy - 1 ? n : g->ys[i];
}

/* mr rows from `row`, nv vectors of `lanes` columns from `col`. */
static void tile(Gemm *g, int mr, int nv, int lanes, Ex row, Ex col, bool masked) {
  Lower *l = g->l;
  Kernel *k = l->k;
  bool real = dtype_is_float(g->dtype);
  int64_t dim[2] = {mr, nv};
  Ex i, v, zero = ex_idx(k, 0), at[MAX_RANK], size = lower_dim(l, g->n);
  uint32_t mark = l->memo.n;
  int wide = g->along ? g->along : lanes;
  uint32_t t = loop_reg(k, "t", g->dtype, wide, 2, dim, lower_zero(l, g->dtype));
  open_sum(g);
  uint32_t b = loop_reg(k, "b", g->dtype, wide, 1, &dim[1], 0);
  loop_for(k, "v", zero, ex_idx(k, nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  Ex n = column(g, col, v, lanes);
  if (g->packed) {
    int r = gemm_panel_index(g, n, at);
    loop_assign(k, b, &v, 1, ex_convert(k, g->dtype, ex_load(k, g->panel, at, r, 0, 0)), 0);
  } else {
    gemm_operand_index(g, true, n, at);
    Id memory = lower_memory(l, g->y);
    if (masked && memory) {
      Ex inside = ex_op2(k, OP_LESS, n, size),
         e = lower_load(l, memory, graph_shape(l->g, g->y), graph_rank(l->g, g->y), at, inside);
      loop_assign(k, b, &v, 1, ex_convert(k, g->dtype, e), 0);
    } else {
      if (masked) gemm_operand_index(g, true, ex_op2(k, OP_MINIMUM, n, ex_op2(k, OP_SUB, size, ex_idx(k, 1))), at);
      loop_assign(k, b, &v, 1, lower_pull(l, g->y, at, graph_rank(l->g, g->y)), 0);
    }
  }
  loop_end(k);
  int step = LINE / (int)dtype_size(g->packs), lines = (nv * lanes + step - 1) / step;
  for (int line = 0; g->packed && g->nc == 1 && line < lines; line++) {
    int r = gemm_panel_index(g, ex_add(k, col, ex_idx(k, line * step)), at);
    at[r - 2] = ex_add(k, g->k[0], ex_idx(k, PREFETCH));
    loop_prefetch(k, g->panel, at, r);
  }
  l->memo.n = mark; /* what was worked out there is out of sight here, also where both operands are one node */
  loop_for(k, "i", zero, ex_idx(k, mr), FOR_UNROLL, 0, TAIL_NONE, &i);
  gemm_operand_index(g, false, ex_add(k, row, i), at);
  Ex a = loop_let(k, "a", lower_pull_spread(l, g->x, at, graph_rank(l->g, g->x), g->along ? 1 : lanes));
  loop_for(k, "v", zero, ex_idx(k, nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  Ex iv[2] = {i, v}, old = ex_reg(k, t, iv, 2), bv = ex_reg(k, b, &v, 1);
  loop_assign(k, t, iv, 2, real ? ex_op3(k, OP_FMA, a, bv, old) : ex_add(k, old, ex_mul(k, a, bv)), 0);
  loop_end(k);
  loop_end(k);
  for (int c = 0; c < g->nc; c++) loop_end(k);
  l->memo.n = mark;

  loop_for(k, "i", zero, ex_idx(k, mr), FOR_UNROLL, 0, TAIL_NONE, &i);
  loop_for(k, "v", zero, ex_idx(k, nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  n = column(g, col, v, lanes);
  if (masked) loop_if(k, ex_op2(k, OP_LESS, n, size));
  output_index(g, ex_add(k, row, i), n, at);
  int rank = graph_rank(l->g, g->v);
  iv[0] = i, iv[1] = v;
  Ex sum = ex_reg(k, t, iv, 2);
  lower_remember(l, g->v, at, rank, g->along ? loop_let(k, "sum", ex_op1(k, OP_HADD, sum)) : sum);
  lower_store_outputs(l, at);
  if (masked) loop_end(k);
  loop_end(k);
  loop_end(k);
  l->memo.n = mark;
}

/* All rows lo .. hi of one panel: tiles of MR rows, the rest in halves. */
static void panel_rows(Gemm *g, int nv, int lanes, Ex col, bool masked, Ex lo, Ex hi, int64_t constant) {
  Kernel *k = g->l->k;
  Ex count = ex_op2(k, OP_SUB, hi, lo), mr = ex_idx(k, g->mr), it;
  loop_for(k, "it", ex_idx(k, 0), ex_op2(k, OP_FLOOR_DIV, count, mr), FOR_SERIAL, 0, TAIL_NONE, &it);
  tile(g, g->mr, nv, lanes, loop_let(k, "row", ex_add(k, lo, ex_mul(k, it, mr))), col, masked);
  loop_end(k);
  int64_t left = constant >= 0 ? constant % g->mr : -1; /* -1: not known */
  if (g->mr == 1 || !left) return;
  Ex row = loop_let(k, "rest", ex_op2(k, OP_SUB, hi, ex_op2(k, OP_FLOOR_MOD, count, mr)));
  for (int s = 8; s; s /= 2) {
    if (s >= g->mr || (constant >= 0 && !(left & s))) continue;
    if (constant >= 0) {
      tile(g, s, nv, lanes, row, col, masked);
      left -= s;
      if (!left) return;
      row = loop_let(k, "rest", ex_add(k, row, ex_idx(k, s)));
      continue;
    }
    Ex fits = ex_op2(k, OP_LESS_EQUAL, ex_add(k, row, ex_idx(k, s)), hi);
    loop_if(k, fits);
    tile(g, s, nv, lanes, row, col, masked);
    loop_end(k);
    row = loop_let(k, "rest", ex_add(k, row, ex_op3(k, OP_SELECT, fits, ex_idx(k, s), ex_idx(k, 0))));
  }
}

enum { CHEAP = 4 }; /* operations of an epilogue of which several copies do no harm */

/* All panels where the last is not full, with masks. It has a tile of as many vectors as it takes, if these are fewer
 * than those of the others; of columns not known in number there is such a tile for each. Where the epilogue is long,
 * that is only done if it saves an eighth. */
static void masked_panels(Gemm *g, Ex jp, Ex col, Ex lo, Ex hi, int64_t rows, int64_t columns) {
  Lower *l = g->l;
  Kernel *k = l->k;
  int nr = g->nv * g->lanes, left = columns < 0 ? 0 : (int)((columns % nr + g->lanes - 1) / g->lanes);
  bool masked = columns < 0 || columns % g->lanes;
  bool saves = columns >= 0 && 8 * (g->nv - left) >= (columns / nr + 1) * g->nv;
  if (left == g->nv || g->nv == 1 || (l->grp->cost > CHEAP && !saves)) {
    panel_rows(g, g->nv, g->lanes, col, true, lo, hi, rows);
    return;
  }
  if (columns >= 0 && columns < nr) {
    panel_rows(g, left, g->lanes, col, masked, lo, hi, rows);
    return;
  }
  loop_if(k, ex_op2(k, OP_LESS, jp, ex_op2(k, OP_FLOOR_DIV, lower_dim(l, g->n), ex_idx(k, nr))));
  panel_rows(g, g->nv, g->lanes, col, false, lo, hi, rows);
  loop_else(k);
  if (left) panel_rows(g, left, g->lanes, col, masked, lo, hi, rows);
  for (int s = 1; s <= g->nv && !left; s++) {
    Ex rest = ex_op2(k, OP_SUB, lower_dim(l, g->n), col), fewer = ex_idx(k, (s - 1) * g->lanes);
    loop_if(
        k, ex_op2(k, OP_AND, ex_op2(k, OP_LESS, fewer, rest), ex_op2(k, OP_LESS_EQUAL, rest, ex_idx(k, s * g->lanes))));
    panel_rows(g, s, g->lanes, col, true, lo, hi, rows);
    loop_end(k);
  }
  loop_end(k);
}

/* Without masks the columns that do not fill a panel are done by single vectors, then one by one. */
static void unmasked_rest(Gemm *g, Ex lo, Ex hi, int64_t constant) {
  Lower *l = g->l;
  Kernel *k = l->k;
  Ex n = lower_dim(l, g->n), c;
  for (int lanes = g->lanes; lanes; lanes = lanes > 1 ? 1 : 0) {
    int wide = lanes > 1 ? g->nv * g->lanes : g->lanes;
    Ex first = ex_mul(k, ex_op2(k, OP_FLOOR_DIV, n, ex_idx(k, wide)), ex_idx(k, wide));
    loop_for(k, "c", ex_idx(k, 0), ex_op2(k, OP_FLOOR_DIV, ex_op2(k, OP_SUB, n, first), ex_idx(k, lanes)), FOR_SERIAL,
             0, TAIL_NONE, &c);
    panel_rows(g, 1, lanes, loop_let(k, "col", ex_add(k, first, ex_mul(k, c, ex_idx(k, lanes)))), false, lo, hi,
               constant);
    loop_end(k);
  }
}

/* Lanes along the contracted axis if both operands lie along it and it fills a few vectors; else 0. */
static int along_sum(const Gemm *g) {
  const Lower *l = g->l;
  const Graph *gr = l->g;
  int lanes = lower_lanes(l) < g->lanes ? lower_lanes(l) : g->lanes;
  int64_t n;
  if (!dtype_is_float(g->dtype) || g->nc != 1 || g->cx[0] != graph_rank(gr, g->x) - 1 || lanes < 2) return 0;
  for (int i = g->cy[0] + 1; i < graph_rank(gr, g->y); i++)
    if (!sym_is_int(gr->ctx->syms, graph_shape(gr, g->y)[i], &n) || n != 1) return 0;
  return sym_is_int(gr->ctx->syms, graph_shape(gr, g->x)[g->cx[0]], &n) && n < 2 * lanes ? 0 : lanes;
}

void strat_gemm(Lower *l) {
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Gemm g = gemm_of(l, l->grp->anchor);
  if (lower_gpu(l)) {
    gemm_threads(&g);
    return;
  }
  int64_t columns = -1;
  sym_is_int(t, g.n, &columns);
  bool along = g.nfy && lower_along(l, g.y, g.fy[g.nfy - 1]); /* columns lie one after the other */
  g.packed = columns != 1 && (!along || lower_parameter(l, g.y));
  choose_tile(&g);
  if (columns == 1) { /* a column alone: a row is a sum of its own */
    g.along = along_sum(&g);
    g.nv = g.lanes = 1;
  }
  int nr = g.nv * g.lanes;
  if (g.packed) gemm_pack(&g);
  bool full = sym_divides(l->all->facts, nr, g.n), mask = target_mask(l->all->target, g.dtype);
  for (uint32_t i = 0; i < l->grp->outputs.n; i++)
    mask &= target_mask(l->all->target, graph_dtype(l->g, l->grp->outputs.at[i]));
  if (g.packs != g.dtype && !g.packed) mask &= target_mask(l->all->target, g.packs);
  bool rest = !full && !mask && nr > 1;

  Sym column = gemm_column(&g), cost = sym_mul(t, column, g.m);
  lower_stage(l, "main", cost, 1, false);
  Sym times = sym_div_up(t, g.m, sym_int(t, g.rows)); /* each task reads its panel once */
  lower_products(l, cost, g.along ? g.along : g.lanes,
                 sym_mul(t, sym_mul(t, column, times), sym_int(t, (int64_t)dtype_size(g.dtype))));
  Outer outer = {0};
  for (int i = 0; i < g.nb; i++) outer_axis(&outer, graph_shape(l->g, g.x)[g.bx[i]], &g.batch[i]);
  for (int i = 0; i < g.nfx - 1; i++) outer_axis(&outer, graph_shape(l->g, g.x)[g.fx[i]], &g.xs[i]);
  for (int i = 0; i < g.nfy - 1; i++) outer_axis(&outer, graph_shape(l->g, g.y)[g.fy[i]], &g.ys[i]);
  outer_axes(l, &outer, 2);
  int64_t rows = -1;
  sym_is_int(t, g.m, &rows);
  Sym panels = rest ? sym_op(t, SYM_FLOORDIV, g.n, sym_int(t, nr)) : sym_div_up(t, g.n, sym_int(t, nr));
  Ex jp = loop_axis(k, "jp", rest ? sym_add(t, panels, sym_int(t, 1)) : panels), ib = 0, lo = ex_idx(k, 0),
     hi = lower_dim(l, g.m);
  if (rows < 0 || rows > g.rows) ib = loop_axis(k, "ib", sym_div_up(t, g.m, sym_int(t, g.rows)));
  outer_loops(l, &outer);
  if (ib) {
    lo = ex_mul(k, ib, ex_idx(k, g.rows));
    hi = loop_let(k, "end", ex_op2(k, OP_MINIMUM, hi, ex_add(k, lo, ex_idx(k, g.rows))));
    if (rows >= 0 && rows % g.rows)
      rows = -1;
    else if (rows >= 0)
      rows = g.rows;
  }
  /* Of one panel the masks are numbers: nothing that is worked out before the sum waits in registers beside it. */
  Ex col = columns >= 0 && columns < nr ? ex_idx(k, 0) : ex_mul(k, jp, ex_idx(k, nr));
  if (rest && columns >= 0 && columns < nr)
    unmasked_rest(&g, lo, hi, rows);
  else if (rest) {
    loop_if(k, ex_op2(k, OP_LESS, jp, lower_dim(l, panels)));
    panel_rows(&g, g.nv, g.lanes, col, false, lo, hi, rows);
    loop_else(k);
    unmasked_rest(&g, lo, hi, rows);
    loop_end(k);
  } else if (!full && nr > 1)
    masked_panels(&g, jp, col, lo, hi, rows, columns);
  else
    panel_rows(&g, g.nv, g.lanes, col, false, lo, hi, rows);
  while (k->depth) loop_end(k);
  l->out->schedule =
      arena_printf(l->all->ctx->arena, "gemm(MR = %d, NV = %d, rows = %d, %srhs = %s, tail = %s)", g.mr, g.nv, g.rows,
                   g.along ? arena_printf(l->all->ctx->arena, "along = %d, ", g.along) : "",
                   g.packed ? lower_parameter(l, g.y) ? "prepared" : "packed" : "plain",
                   full   ? "none"
                   : rest ? "peel"
                          : "mask");
}
