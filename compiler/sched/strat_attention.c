/* Attention, softmax(scores) @ values, without a matrix of scores in memory. A task takes a block of rows and walks
 * over the keys in blocks: a tile of scores, packed keys by rows; what is made of the scores (scale, masks) and their
 * exponentials, row by row; what they weigh of the values. The largest score of a row so far is carried along: where it
 * grows, the row's sum and its result so far shrink (online softmax). The result so far stands in the output, or in
 * scratch of its size where only an epilogue is stored. Blocks of keys that a causal mask hides from all rows of the
 * task are left out. The order of keys is fixed, so that the bits do not depend on threads. */
#include "attention.h"
#include "nest.h"
#include <string.h>

enum { BLOCK_BYTES = 256, TILES = 4 }; /* of a row's scores of a block of keys; tiles of rows of a task */

typedef struct Rows {
  Lower *l;
  Softmax parts;
  Gemm scores, result;
  DType dtype;
  int rank;                /* of the scores and of the result */
  int mr, block;           /* rows of a tile, keys of a block */
  uint32_t scratch, stats; /* of each task: the scores of a tile, and numbers of its rows */
  uint32_t y;
  Ex task;
  Ex lo, hi;       /* rows of the task */
  Ex row, rows;    /* first and number of the tile under way */
  Ex first, keys;  /* the same of the block of keys */
  Ex at[MAX_RANK]; /* the scores' index up to the row */
} Rows;

/* The numbers of a row: its largest score and its sum so far; by how much a row of the tile shrinks. */
enum { MOST, SUM, DECAY, STATS };

static Ex literal(Rows *r, double x) { return ex_float(r->l->k, r->dtype, x); }

/* The place of a task's element [a, b] in its scratch. */
static int own_place(const Rows *r, Ex a, Ex b, Ex *index) {
  int n = r->rank - 2;
  memcpy(index, r->at, (size_t)n * sizeof *index);
  index[n++] = r->task;
  index[n++] = a;
  index[n++] = b;
  return n;
}

static Ex score_at(Rows *r, Ex i, Ex j) {
  Ex at[MAX_RANK];
  int n = own_place(r, i, j, at);
  return ex_load(r->l->k, r->scratch, at, n, 0, 0);
}

static void keep_score(Rows *r, Ex i, Ex j, Ex value) {
  Ex at[MAX_RANK];
  int n = own_place(r, i, j, at);
  loop_store(r->l->k, r->scratch, at, n, value, 0);
}

static Ex stat(Rows *r, int which, Ex row) {
  Ex at[MAX_RANK];
  int n = own_place(r, ex_idx(r->l->k, which), row, at);
  return ex_load(r->l->k, r->stats, at, n, 0, 0);
}

static void keep_stat(Rows *r, int which, Ex row, Ex value) {
  Ex at[MAX_RANK];
  int n = own_place(r, ex_idx(r->l->k, which), row, at);
  loop_store(r->l->k, r->stats, at, n, value, 0);
}

/* Row i of the tile, or the task's last one: tiles that are not full work that out again and store nothing. */
static Ex tile_row(Rows *r, Ex i) {
  Kernel *k = r->l->k;
  return ex_op2(k, OP_MINIMUM, ex_add(k, r->row, i), ex_op2(k, OP_SUB, r->hi, ex_idx(k, 1)));
}

/* Products of the tile's rows and a block of keys, as many columns as panels hold. */
static void score_tiles(Rows *r) {
  Lower *l = r->l;
  Kernel *k = l->k;
  Gemm *g = &r->scores;
  int nr = g->nv * g->lanes;
  int64_t dim[2] = {r->mr, g->nv};
  Ex panel, i, v, zero = ex_idx(k, 0), at[MAX_RANK];
  loop_for(k, "panel", zero, ex_cdiv(k, r->keys, ex_idx(k, nr)), FOR_SERIAL, 0, TAIL_NONE, &panel);
  Ex col = ex_mul(k, panel, ex_idx(k, nr));
  uint32_t t = loop_reg(k, "t", r->dtype, g->lanes, 2, dim, lower_zero(l, r->dtype));
  uint32_t mark = l->memo.n;
  loop_for(k, "d", zero, lower_dim(l, graph_shape(l->g, g->x)[g->cx[0]]), FOR_SERIAL, 0, TAIL_NONE, &g->k[0]);
  uint32_t b = loop_reg(k, "b", r->dtype, g->lanes, 1, &dim[1], 0);
  loop_for(k, "v", zero, ex_idx(k, g->nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  Ex lane = ex_add(k, ex_mul(k, v, ex_idx(k, g->lanes)), ex_lane(k, g->lanes));
  int n = gemm_panel_index(g, ex_add(k, ex_add(k, r->first, col), lane), at);
  loop_assign(k, b, &v, 1, ex_convert(k, g->dtype, ex_load(k, g->panel, at, n, 0, 0)), 0);
  loop_end(k);
  loop_for(k, "i", zero, ex_idx(k, r->mr), FOR_UNROLL, 0, TAIL_NONE, &i);
  gemm_operand_index(g, false, tile_row(r, i), at);
  Ex a = loop_let(k, "a", lower_pull(l, g->x, at, graph_rank(l->g, g->x)));
  loop_for(k, "v", zero, ex_idx(k, g->nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  Ex iv[2] = {i, v};
  loop_assign(k, t, iv, 2, ex_op3(k, OP_FMA, a, ex_reg(k, b, &v, 1), ex_reg(k, t, iv, 2)), 0);
  loop_end(k);
  loop_end(k);
  loop_end(k);
  l->memo.n = mark;
  loop_for(k, "i", zero, ex_idx(k, r->mr), FOR_UNROLL, 0, TAIL_NONE, &i);
  loop_for(k, "v", zero, ex_idx(k, g->nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  lane = ex_add(k, ex_mul(k, v, ex_idx(k, g->lanes)), ex_lane(k, g->lanes));
  iv[0] = i, iv[1] = v;
  keep_score(r, i, ex_add(k, col, lane), ex_reg(k, t, iv, 2));
  loop_end(k);
  loop_end(k);
  loop_end(k);
}

/* Each row's scores become exponentials of their distance from the largest score so far. A row that has seen nothing
 * but -inf keeps distances from 0: its sum and results stay 0. */
static void exponentials(Rows *r) {
  Lower *l = r->l;
  Kernel *k = l->k;
  int lanes = lower_lanes(l);
  Ex i, j, zero = ex_idx(k, 0), at[MAX_RANK];
  uint32_t mark = l->memo.n;
  loop_for(k, "i", zero, r->rows, FOR_SERIAL, 0, TAIL_NONE, &i);
  Ex row = loop_let(k, "row", ex_add(k, r->row, i)), own = loop_let(k, "own", ex_op2(k, OP_SUB, row, r->lo));
  uint32_t best = loop_reg(k, "best", r->dtype, lanes, 0, NULL, literal(r, -__builtin_inf()));
  loop_for(k, "j", zero, r->keys, FOR_VECTOR, lanes, lower_tail(l), &j);
  memcpy(at, r->at, sizeof at);
  at[r->rank - 2] = row;
  at[r->rank - 1] = ex_add(k, r->first, j);
  lower_remember(l, r->scores.v, at, r->rank, loop_let(k, "dot", score_at(r, i, j)));
  Ex score = lower_pull(l, r->parts.x, at, r->rank);
  keep_score(r, i, j, score);
  loop_assign(k, best, NULL, 0, ex_op2(k, OP_MAXIMUM, ex_reg(k, best, NULL, 0), score), 0);
  loop_end(k);
  l->memo.n = mark;
  Ex old = loop_let(k, "old", stat(r, MOST, own));
  Ex now = loop_let(k, "now", ex_op2(k, OP_MAXIMUM, old, ex_op1(k, OP_HMAX, ex_reg(k, best, NULL, 0))));
  Ex none = ex_op2(k, OP_EQUAL, now, literal(r, -__builtin_inf()));
  Ex shift = loop_let(k, "shift", ex_op3(k, OP_SELECT, none, lower_zero(l, r->dtype), now));
  Ex decay = loop_let(k, "decay", ex_op1(k, OP_EXP_NEG, ex_op2(k, OP_SUB, old, shift)));
  keep_stat(r, MOST, own, now);
  keep_stat(r, DECAY, i, decay);
  uint32_t total = loop_reg(k, "total", r->dtype, lanes, 0, NULL, lower_zero(l, r->dtype));
  loop_for(k, "j", zero, r->keys, FOR_VECTOR, lanes, lower_tail(l), &j);
  Ex e = loop_let(k, "e", ex_op1(k, OP_EXP_NEG, ex_op2(k, OP_SUB, score_at(r, i, j), shift)));
  keep_score(r, i, j, e);
  loop_assign(k, total, NULL, 0, ex_add(k, ex_reg(k, total, NULL, 0), e), 0);
  loop_end(k);
  Ex sum = ex_op3(k, OP_FMA, stat(r, SUM, own), decay, ex_op1(k, OP_HADD, ex_reg(k, total, NULL, 0)));
  keep_stat(r, SUM, own, sum);
  loop_end(k);
}

/* Column `col` and the following of the tile's results: nv vectors of `lanes`. */
static void weigh(Rows *r, Ex col, int nv, int lanes) {
  Lower *l = r->l;
  Kernel *k = l->k;
  Gemm *g = &r->result;
  int64_t dim[2] = {r->mr, nv};
  Ex i, v, j, zero = ex_idx(k, 0), at[MAX_RANK];
  uint32_t t = loop_reg(k, "t", r->dtype, lanes, 2, dim, 0), mark = l->memo.n;
#define EACH_OF_TILE                                                                                                   \
  loop_for(k, "i", zero, ex_idx(k, r->mr), FOR_UNROLL, 0, TAIL_NONE, &i);                                              \
  loop_for(k, "v", zero, ex_idx(k, nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  EACH_OF_TILE
  Ex iv[2] = {i, v}, n = ex_add(k, col, ex_mul(k, v, ex_idx(k, lanes)));
  memcpy(at, r->at, sizeof at);
  at[r->rank - 2] = tile_row(r, i);
  at[r->rank - 1] = lanes > 1 ? ex_add(k, n, ex_lane(k, lanes)) : n;
  loop_assign(k, t, iv, 2, ex_mul(k, ex_load(k, r->y, at, r->rank, 0, 0), stat(r, DECAY, i)), 0);
  loop_end(k);
  loop_end(k);

  loop_for(k, "key", zero, r->keys, FOR_SERIAL, 0, TAIL_NONE, &j);
  uint32_t b = loop_reg(k, "b", r->dtype, lanes, 1, &dim[1], 0);
  loop_for(k, "v", zero, ex_idx(k, nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  n = ex_add(k, col, ex_mul(k, v, ex_idx(k, lanes)));
  g->k[0] = ex_add(k, r->first, j);
  gemm_operand_index(g, true, lanes > 1 ? ex_add(k, n, ex_lane(k, lanes)) : n, at);
  loop_assign(k, b, &v, 1, lower_pull(l, g->y, at, graph_rank(l->g, g->y)), 0);
  loop_end(k);
  l->memo.n = mark;
  loop_for(k, "i", zero, ex_idx(k, r->mr), FOR_UNROLL, 0, TAIL_NONE, &i);
  Ex e = loop_let(k, "e", score_at(r, i, j));
  loop_for(k, "v", zero, ex_idx(k, nv), FOR_UNROLL, 0, TAIL_NONE, &v);
  iv[0] = i, iv[1] = v;
  loop_assign(k, t, iv, 2, ex_op3(k, OP_FMA, e, ex_reg(k, b, &v, 1), ex_reg(k, t, iv, 2)), 0);
  loop_end(k);
  loop_end(k);
  loop_end(k);

  EACH_OF_TILE
  n = ex_add(k, col, ex_mul(k, v, ex_idx(k, lanes)));
  memcpy(at, r->at, sizeof at);
  at[r->rank - 2] = ex_add(k, r->row, i);
  at[r->rank - 1] = lanes > 1 ? ex_add(k, n, ex_lane(k, lanes)) : n;
  iv[0] = i, iv[1] = v;
  loop_if(k, ex_op2(k, OP_LESS, i, r->rows));
  loop_store(k, r->y, at, r->rank, ex_reg(k, t, iv, 2), 0);
  loop_end(k);
  loop_end(k);
  loop_end(k);
#undef EACH_OF_TILE
}

/* All columns of the tile's results: as many vectors at a time as fit, then single vectors, then one by one. */
static void weigh_all(Rows *r) {
  Lower *l = r->l;
  Kernel *k = l->k;
  Ex size = lower_dim(l, r->result.n), from = ex_idx(k, 0), c;
  int64_t left = 0;
  bool known = sym_is_int(l->all->ctx->syms, r->result.n, &left);
  for (int nv = r->scores.nv, lanes = r->scores.lanes; lanes; nv > 1 ? (nv = 1) : (lanes = lanes > 1)) {
    int width = nv * lanes;
    if (known && left < width) continue;
    Ex times = ex_op2(k, OP_FLOOR_DIV, ex_op2(k, OP_SUB, size, from), ex_idx(k, width));
    loop_for(k, "c", ex_idx(k, 0), times, FOR_SERIAL, 0, TAIL_NONE, &c);
    weigh(r, loop_let(k, "col", ex_add(k, from, ex_mul(k, c, ex_idx(k, width)))), nv, lanes);
    loop_end(k);
    left %= width;
    if ((known && !left) || width == 1) return;
    from = loop_let(k, "done", ex_add(k, from, ex_mul(k, times, ex_idx(k, width))));
  }
}

/* Opens loops over the task's rows and the columns of its results, as vectors. */
static void each_result(Rows *r, Ex *row, Ex *at) {
  Lower *l = r->l;
  loop_for(l->k, "i", r->lo, r->hi, FOR_SERIAL, 0, TAIL_NONE, row);
  memcpy(at, r->at, sizeof r->at);
  at[r->rank - 2] = *row;
}

static void columns(Rows *r, Ex *at) {
  Lower *l = r->l;
  loop_for(l->k, "j", ex_idx(l->k, 0), lower_dim(l, r->result.n), FOR_VECTOR, lower_lanes(l), lower_tail(l),
           &at[r->rank - 1]);
}

/* Nothing seen yet. */
static void start(Rows *r) {
  Kernel *k = r->l->k;
  Ex i, at[MAX_RANK];
  loop_for(k, "i", ex_idx(k, 0), ex_idx(k, r->mr), FOR_SERIAL, 0, TAIL_NONE, &i);
  keep_stat(r, DECAY, i, literal(r, 0));
  loop_end(k);
  each_result(r, &i, at);
  Ex own = loop_let(k, "own", ex_op2(k, OP_SUB, i, r->lo));
  keep_stat(r, MOST, own, literal(r, -__builtin_inf()));
  keep_stat(r, SUM, own, literal(r, 0));
  columns(r, at);
  loop_store(k, r->y, at, r->rank, literal(r, 0), 0);
  loop_end(k);
  loop_end(k);
}

static bool is_output(const Lower *l, Id v) {
  for (uint32_t i = 0; i < l->grp->outputs.n; i++)
    if (l->grp->outputs.at[i] == v) return true;
  return false;
}

/* The results by the sums, then the epilogue. A row of -inf alone has no sum: what the program makes of that comes out.
 */
static void finish(Rows *r) {
  Lower *l = r->l;
  Kernel *k = l->k;
  Ex i, at[MAX_RANK], place[MAX_RANK];
  uint32_t mark = l->memo.n;
  each_result(r, &i, at);
  Ex own = loop_let(k, "own", ex_op2(k, OP_SUB, i, r->lo)), most = loop_let(k, "most", stat(r, MOST, own));
  Ex none = ex_op2(k, OP_EQUAL, most, literal(r, -__builtin_inf()));
  Ex lost = literal(r, r->parts.guarded ? 0 : __builtin_nan(""));
  Ex sum = loop_let(k, "sum", ex_op3(k, OP_SELECT, none, lost, stat(r, SUM, own)));
  memcpy(place, at, sizeof place);
  place[r->rank - 1] = ex_idx(k, 0);
  lower_remember(l, r->parts.most, place, r->rank - 1, most);
  lower_remember(l, r->parts.sum, place, r->rank - 1, sum);
  Ex scale = loop_let(k, "scale", lower_pull(l, r->parts.scale, place, r->rank));
  columns(r, at);
  Ex y = ex_op2(k, r->parts.divides ? OP_DIV : OP_MUL, ex_load(k, r->y, at, r->rank, 0, 0), scale);
  if (is_output(l, r->result.v) && l->grp->outputs.n == 1)
    loop_store(k, r->y, at, r->rank, y, 0);
  else {
    lower_remember(l, r->result.v, at, r->rank, loop_let(k, "y", y));
    lower_store_outputs(l, at);
  }
  loop_end(k);
  loop_end(k);
  l->memo.n = mark;
}

/* v, if it is spread along all axes of its reader but `axis`; else 0. */
static Id spread_from(const Graph *g, Id v, int axis) {
  int n;
  if (graph_op(g, v) != OP_BROADCAST) return 0;
  const int64_t *axes = graph_attr(g, v, "axes", &n);
  return n == 1 && axes[0] == axis ? *graph_in(g, v) : 0;
}

/* Where the scores are -inf but for keys up to row + n, n the same for all rows: row + n by rows, as a causal mask has
 * it. Else 0. */
static Id last_keys(const Graph *g, Id score) {
  Id mask = graph_in(g, score)[0];
  const Id *in = graph_in(g, score);
  double other = 0;
  int n;
  if (graph_op(g, score) != OP_SELECT || graph_op(g, in[2]) != OP_CONSTANT || graph_rank(g, in[2])) return 0;
  memcpy(&other, graph_attr(g, in[2], "value", &n), sizeof other);
  if (other != -__builtin_inf()) return 0;
  if (graph_op(g, mask) == OP_BROADCAST) {
    const int64_t *axes = graph_attr(g, mask, "axes", &n);
    if (n != 2 || axes[0] != graph_rank(g, score) - 2 || axes[1] != graph_rank(g, score) - 1) return 0;
    mask = *graph_in(g, mask);
  }
  if (graph_op(g, mask) != OP_LESS_EQUAL || graph_rank(g, mask) != 2) return 0;
  Id keys = spread_from(g, graph_in(g, mask)[0], 1), rows = spread_from(g, graph_in(g, mask)[1], 0);
  if (!keys || !rows || graph_op(g, keys) != OP_IOTA) return 0;
  if (graph_op(g, rows) == OP_IOTA) return rows;
  in = graph_in(g, rows);
  if (graph_op(g, rows) != OP_ADD) return 0;
  for (int i = 0; i < 2; i++)
    if (graph_op(g, in[i]) == OP_IOTA && !graph_rank(g, in[1 - i])) return rows;
  return 0;
}

bool attention_hides(const Lower *l, const Softmax *parts) { return last_keys(l->g, parts->x) != 0; }

void attention_limit(Lower *l, const Softmax *parts, Ex row) {
  Id rows = last_keys(l->g, parts->x);
  if (!rows || graph_op(l->g, rows) != OP_ADD) return;
  const Id *in = graph_in(l->g, rows);
  Id n = in[graph_op(l->g, in[0]) == OP_IOTA];
  Ex at = ex_convert(l->k, graph_dtype(l->g, rows), row);
  lower_remember(l, rows, &row, 1, loop_let(l->k, "limit", ex_add(l->k, at, lower_pull(l, n, NULL, 0))));
}

Ex attention_seen(Lower *l, const Softmax *parts, Ex last, Ex keys) {
  Kernel *k = l->k;
  Id rows = last_keys(l->g, parts->x);
  if (!rows) return keys;
  uint32_t mark = l->memo.n;
  if (lower_gpu(l)) attention_limit(l, parts, last);
  Ex key = ex_convert(k, DT_IDX, lower_pull(l, rows, &last, 1));
  l->memo.n = mark;
  key = ex_op2(k, OP_MINIMUM, key, ex_op2(k, OP_SUB, keys, ex_idx(k, 1)));
  return loop_let(k, "seen", ex_op2(k, OP_MAXIMUM, ex_add(k, key, ex_idx(k, 1)), ex_idx(k, 0)));
}

Id attention_scores(const Lower *l) {
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    if (v != l->grp->anchor && OP_INFO[graph_op(l->g, v)].cls == CLASS_DOT) return v;
  }
  BUG("attention without a product of scores");
}

void attention_work(const Gemm *scores, Sym columns, int rows) {
  Lower *l = scores->l;
  SymTab *t = l->all->ctx->syms;
  Sym count = sym_product(t, graph_shape(l->g, scores->v), graph_rank(l->g, scores->v));
  Sym depth = sym_add(t, graph_shape(l->g, scores->x)[scores->cx[0]], columns);
  Sym extra = sym_int(t, (int64_t)l->grp->cost), size = sym_int(t, (int64_t)dtype_size(scores->dtype));
  Sym bytes = sym_op(t, SYM_FLOORDIV, sym_mul(t, sym_mul(t, count, depth), size), sym_int(t, rows));
  lower_products(l, sym_mul(t, count, sym_add(t, depth, extra)), scores->lanes, bytes);
  vec_last(&l->out->stages).flops = sym_mul(t, count, sym_add(t, sym_mul(t, sym_int(t, 2), depth), extra));
}

void strat_attention(Lower *l) {
  static const char *const name[] = {"b0", "b1", "b2", "b3", "b4"};
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  if (lower_gpu(l)) {
    attention_threads(l);
    return;
  }
  Rows r = {.l = l, .scores = gemm_of(l, attention_scores(l)), .result = gemm_of(l, l->grp->anchor)};
  if (!group_attention(l->g, l->grp->anchor, &r.parts)) BUG("a group that is not attention");
  const Sym *shape = graph_shape(l->g, r.scores.v);
  Gemm *g = &r.scores;
  int64_t rows;
  Ex key, tile;
  r.dtype = g->dtype;
  r.rank = graph_rank(l->g, g->v);
  int regs = lower_tile_registers(l, r.dtype);
  g->nv = 2;
  r.mr = regs >= 32 ? 8 : (regs - 1 - g->nv) / g->nv;
  bool fixed = sym_is_int(t, shape[r.rank - 2], &rows);
  if (fixed && rows < r.mr) r.mr = rows > 1 ? (int)rows : 1;
  r.block = BLOCK_BYTES / (int)dtype_size(r.dtype); /* whole panels */
  gemm_pack(g);

  int own = TILES * r.mr;
  int n = r.rank - 2;
  Sym dims[MAX_RANK];
  memcpy(dims, shape, (size_t)n * sizeof *dims);
  dims[n] = sym_div_up(t, shape[n], sym_int(t, own));
  dims[n + 1] = sym_int(t, r.mr);
  dims[n + 2] = sym_int(t, r.block);
  r.scratch = lower_scratch(l, "scores", r.dtype, dims, n + 3, ARG_SCRATCH, 0);
  dims[n + 1] = sym_int(t, STATS);
  dims[n + 2] = sym_int(t, own);
  r.stats = lower_scratch(l, "rows", r.dtype, dims, n + 3, ARG_SCRATCH, 0);
  r.y = is_output(l, r.result.v)
            ? nest_result(l, r.result.v)
            : lower_scratch(l, "sums", r.dtype, graph_shape(l->g, r.result.v), r.rank, ARG_SCRATCH, 0);
  lower_stage(l, "main", sym_int(t, 0), 1, false);
  attention_work(g, r.result.n, own);
  for (int i = 0; i < n; i++) r.at[i] = loop_axis(k, name[i], shape[i]);
  r.task = loop_axis(k, "task", dims[n]);
  for (int i = 0; i < g->nb; i++) g->batch[i] = r.at[i];
  for (int i = 0; i < g->nfx - 1; i++) g->xs[i] = r.at[g->nb + i];
  for (int i = 0; i < r.result.nb; i++) r.result.batch[i] = r.at[i];
  r.lo = loop_let(k, "lo", ex_mul(k, r.task, ex_idx(k, own)));
  r.hi = loop_let(k, "hi", ex_op2(k, OP_MINIMUM, lower_dim(l, shape[r.rank - 2]), ex_add(k, r.lo, ex_idx(k, own))));
  start(&r);
  Ex size = lower_dim(l, shape[r.rank - 1]), zero = ex_idx(k, 0), last = ex_op2(k, OP_SUB, r.hi, ex_idx(k, 1)),
     seen = attention_seen(l, &r.parts, last, size);
  loop_for(k, "block", zero, ex_cdiv(k, seen, ex_idx(k, r.block)), FOR_SERIAL, 0, TAIL_NONE, &key);
  r.first = ex_mul(k, key, ex_idx(k, r.block));
  r.keys = loop_let(k, "keys", ex_op2(k, OP_MINIMUM, ex_idx(k, r.block), ex_op2(k, OP_SUB, seen, r.first)));
  loop_for(k, "tile", zero, ex_cdiv(k, ex_op2(k, OP_SUB, r.hi, r.lo), ex_idx(k, r.mr)), FOR_SERIAL, 0, TAIL_NONE,
           &tile);
  r.row = loop_let(k, "first_row", ex_add(k, r.lo, ex_mul(k, tile, ex_idx(k, r.mr))));
  r.rows = loop_let(k, "count", ex_op2(k, OP_MINIMUM, ex_idx(k, r.mr), ex_op2(k, OP_SUB, r.hi, r.row)));
  score_tiles(&r);
  exponentials(&r);
  weigh_all(&r);
  loop_end(k);
  loop_end(k);
  int64_t least, most;
  sym_range(l->all->facts, shape[r.rank - 1], &least, &most);
  if (least < 1) loop_if(k, ex_op2(k, OP_GREATER, size, zero)); /* a sum over no keys stays 0 */
  finish(&r);
  while (k->depth) loop_end(k);
  l->out->schedule = arena_printf(l->all->ctx->arena, "attention(MR = %d, NV = %d, rows = %d, keys = %d, tail = %s)",
                                  r.mr, g->nv, own, r.block, lower_tail(l) == TAIL_MASK ? "mask" : "peel");
}
