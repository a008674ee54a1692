/* Row groups: a task is a row of the space. Its members have levels: what needs no reduction is level 0, what needs the
 * result of a reduction over level k is level k + 1. Each level is one pass over the row. A constant row that fits is
 * held in registers between the passes; else later passes work their values out anew from memory. On a GPU a row is
 * shared by the threads of a block, a short one by a warp; of one that is not held there are as few passes as there can
 * be (row_sums.c). */
#include "fold.h"
#include "nest.h"
#include "row.h"
#include <string.h>

bool row_member(const Row *r, Id v) { return r->l->all->groups->of[v] == r->l->number; }

bool row_reduction(const Row *r, Id v) {
  OpClass c = OP_INFO[graph_op(r->l->g, v)].cls;
  return c == CLASS_REDUCE || c == CLASS_ARG;
}

int row_level(Row *r, Id v) {
  const Graph *g = r->l->g;
  if (group_leaf(g, v) || (!row_member(r, v) && !group_free(g, v))) return 0;
  if (row_member(r, v) && r->level[v] >= 0) return r->level[v];
  int most = 0;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) {
    int k = row_level(r, graph_in(g, v)[i]);
    if (k > most) most = k;
  }
  if (row_member(r, v) && row_reduction(r, v) && !row_sum_early(r, v, most)) most++;
  if (row_member(r, v)) r->level[v] = most;
  return most;
}

static bool fills_row(const Row *r, Id v) {
  const Graph *g = r->l->g;
  int64_t one;
  if (r->rowwise[v] || graph_rank(g, v) != r->last + 1 || graph_shape(g, v)[r->last] != r->l->grp->space[r->last])
    return false;
  return !sym_is_int(g->ctx->syms, r->l->grp->space[r->last], &one) || one != 1;
}

/* What v reads at the row's own index and an earlier pass has made or loaded: that could be held. */
static void held_reads(Row *r, Id v, bool *hold) {
  const Graph *g = r->l->g;
  bool reduction = row_reduction(r, v);
  int pass = r->level[v] - reduction; /* in which v reads */
  if (!op_elementwise(graph_op(g, v)) && !reduction) return;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) {
    Id x = lower_unrounded(r->l, graph_in(g, v)[i]);
    bool free = group_free(g, x) && !group_widens(g, x);
    if (fills_row(r, x) && !free && graph_op(g, x) != OP_GATHER && row_level(r, x) < pass) hold[x] = true;
  }
}

/* Ops of many operations each. */
static bool is_dear(Op o) {
  return !strcmp(OP_INFO[o].llvm, "expand") && o != OP_MAXIMUM && o != OP_MINIMUM && o != OP_SIGN && o != OP_IS_INF &&
         o != OP_IS_FINITE && o != OP_RSQRT;
}

/* Whether memory of type d keeps what the model says of v, which is an f32 that it may round to 16 bits. */
static bool keeps(const Row *r, Id v, DType d) {
  const Graph *g = r->l->g;
  bool rounds = false;
  for (uint32_t i = 0; i < r->l->grp->members.n; i++) {
    Id x = r->l->grp->members.at[i];
    rounds |= graph_op(g, x) == OP_CONVERT && *graph_in(g, x) == v && graph_dtype(g, x) == d;
  }
  return graph_dtype(g, v) == d || (dtype_is_half(d) && rounds);
}

/* Too long a row for registers: what is dear to work out again waits in the memory of an output that a later pass
 * stores. */
static void plan_waiting(Row *r) {
  Lower *l = r->l;
  const Graph *g = l->g;
  bool *hold = ARENA_ARRAY(l->all->ctx->arena, bool, g->node.n);
  for (uint32_t i = 0; i < l->grp->members.n; i++)
    if (!r->rowwise[l->grp->members.at[i]]) held_reads(r, l->grp->members.at[i], hold);
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id h = l->grp->members.at[i];
    if (!hold[h] || !is_dear(graph_op(g, h)) || l->all->groups->stored[h]) continue;
    for (uint32_t k = 0; k < l->grp->outputs.n && !r->waits[h]; k++) {
      Id y = l->grp->outputs.at[k];
      bool taken = r->rowwise[y] || !keeps(r, h, graph_dtype(g, y)) || r->level[y] <= r->level[h];
      for (uint32_t j = 0; j < i; j++) taken |= r->waits[l->grp->members.at[j]] == y;
      if (!taken) r->waits[h] = y;
    }
    if (r->waits[h]) nest_result(l, r->waits[h]);
  }
}

/* Vectors that a held row has, of a thread's share of it; 0: it is too long. */
static int held_vectors(const Row *r) {
  const Lower *l = r->l;
  int64_t n, least;
  if (l->team.threads) {
    sym_range(l->all->facts, l->grp->space[r->last], &least, &n);
    int64_t share = l->team.threads * r->lanes;
    return n > share * (THREAD_KEEPS / r->lanes) ? 0 : (int)((n + share - 1) / share);
  }
  if (!sym_is_int(l->all->ctx->syms, l->grp->space[r->last], &n) || n < 2 || n > 8 * (int64_t)r->lanes ||
      (n % r->lanes && lower_tail(l) != TAIL_MASK))
    return 0;
  return (int)((n + r->lanes - 1) / r->lanes);
}

enum { WARPS = 4 }; /* of a block whose warps have a row each */

static bool by_warps(const Row *r) { return r->l->team.scope == LOOP_WARP; }

static int block_threads(const Row *r) { return (int)r->l->team.threads * (by_warps(r) ? WARPS : 1); }

/* Whether the registers of a thread hold its share of a row, some left for what is being worked out. */
static bool fit_thread(const Row *r, const bool *hold, int nv) {
  const Lower *l = r->l;
  int64_t words = 0;
  for (uint32_t v = 0; v < l->g->node.n; v++) {
    bool sum = l->all->groups->of[v] == l->number && row_reduction(r, v);
    words += (int64_t)(dtype_size(graph_dtype(l->g, v)) + 3) / 4 * r->lanes * (hold[v] * nv + sum);
  }
  return words <= loop_thread_registers(block_threads(r)) - THREAD_KEEPS / 2;
}

static void plan_registers(Row *r, int levels, bool *hold) {
  Lower *l = r->l;
  const Target *t = l->all->target;
  int nv = held_vectors(r);
  if (levels < 1 || !nv) return;
  int held = 0, sums = 0;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    if (!r->rowwise[v] || row_reduction(r, v)) held_reads(r, v, hold);
    sums += row_reduction(r, v);
  }
  for (uint32_t v = 0; v < l->g->node.n; v++) held += hold[v];
  int formula =
      t->vector_regs < 32 && l->grp->cost > 12 ? 12 : 4; /* for what is being worked out: exp and the like, or little */
  if (!held) return;
  if (!l->team.threads) {
    if (held * nv + sums + formula <= t->vector_regs) r->nv = nv;
    return;
  }
  bool fits = fit_thread(r, hold, nv);
  for (uint32_t v = 0; v < l->g->node.n && !fits; v++)
    hold[v] &= row_level(r, v) == 0; /* from which the rest follows */
  if (fits || fit_thread(r, hold, nv)) r->nv = nv;
}

static void make_registers(Row *r, const bool *hold) {
  Lower *l = r->l;
  for (uint32_t v = 0; v < l->g->node.n; v++)
    if (hold[v]) {
      int64_t dim = r->nv;
      DType d = graph_dtype(l->g, v);
      r->reg[v] = 1 + loop_reg(l->k, arena_printf(l->all->ctx->arena, "h%u", v), d, r->lanes, 1, &dim, 0);
    }
}

/* Bytes of rows worth asking for: the processor foresees shorter ones by itself, longer ones would push the row under
 * way out of the cache. */
enum { AHEAD_LEAST = 256, AHEAD_MOST = 1 << 16 };

/* The second pass has its row in the cache: it asks memory for the next one, which the first pass would wait for. */
static void fetch_ahead(Row *r) {
  Lower *l = r->l;
  const Graph *g = l->g;
  const Sym *space = l->grp->space;
  bool *done = ARENA_ARRAY(l->all->ctx->arena, bool, g->node.n);
  int64_t least, most;
  if (r->nv || r->last < 1 || r->lanes == 1 || l->team.threads) return;
  sym_range(l->all->facts, space[r->last], &least, &most);
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    if (r->level[v] > row_reduction(r, v)) continue; /* not of the first pass */
    for (uint32_t k = 0; k < graph_at(g, v)->nin; k++) {
      Id x = graph_in(g, v)[k];
      if (group_widens(g, x)) x = *graph_in(g, x);
      int rank = r->last + 1;
      int64_t size = (int64_t)dtype_size(graph_dtype(g, x));
      if (done[x] || !lower_in_memory(l, x) || graph_rank(g, x) != rank || least > AHEAD_MOST / size ||
          most < AHEAD_LEAST / size || memcmp(graph_shape(g, x), space, (size_t)rank * sizeof(Sym)))
        continue;
      Ex index[MAX_RANK];
      memcpy(index, l->at, sizeof index);
      index[r->last - 1] = ex_add(l->k, index[r->last - 1], ex_idx(l->k, r->rows));
      loop_prefetch(l->k, lower_param(l, x, space, rank, false), index, rank);
      done[x] = true;
    }
  }
}

/* Values of one level at the place `j` of the row: held ones, then outputs and reductions. */
static void pass_body(Row *r, int level, Ex j, Ex slot, const uint32_t *acc, Ex sum) {
  Lower *l = r->l;
  Kernel *k = l->k;
  Ex index[MAX_RANK];
  l->at[r->last] = j;
  if (level == 1) fetch_ahead(r);
  if (r->apart) row_sums_step(r);
  for (uint32_t v = 0; r->nv && v < l->g->node.n; v++) {
    if (!r->reg[v]) continue;
    int made = row_level(r, v);
    memcpy(index, l->at, sizeof index);
    if (made < level) lower_remember(l, v, index, r->last + 1, ex_reg(k, r->reg[v] - 1, &slot, 1));
    if (made == level) loop_assign(k, r->reg[v] - 1, &slot, 1, lower_pull(l, v, index, r->last + 1), 0);
  }
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i], y = r->waits[v];
    if (!y || level < r->level[v] || level > r->level[y]) continue;
    memcpy(index, l->at, sizeof index);
    uint32_t memory = nest_result(l, y);
    if (level == r->level[v])
      loop_store(k, memory, index, r->last + 1,
                 ex_convert(k, graph_dtype(l->g, y), lower_pull(l, v, index, r->last + 1)), 0);
    else {
      Ex e = ex_convert(k, graph_dtype(l->g, v), ex_load(k, memory, index, r->last + 1, 0, 0));
      lower_remember(l, v, index, r->last + 1, loop_let(k, "waited", e));
    }
  }
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    if (row_reduction(r, v) && r->level[v] == level + 1 && acc[i]) {
      Op o = graph_op(l->g, v);
      Ex e = lower_pull(l, *graph_in(l->g, v), l->at, r->last + 1), old = ex_reg(k, acc[i] - 1, &sum, r->sums > 1);
      if (graph_dtype(l->g, v) == DT_BOOL) e = ex_convert(k, DT_I32, e);
      loop_assign(k, acc[i] - 1, &sum, r->sums > 1, ex_op2(k, fold_step(o), old, e), 0);
    } else if (!r->rowwise[v] && l->all->groups->stored[v] && r->level[v] == level) {
      lower_member_index(l, v, index);
      lower_store(l, v, index, graph_rank(l->g, v), lower_pull(l, v, index, graph_rank(l->g, v)));
    }
  }
}

enum { SUMS = 4 };

/* In how many registers a pass sums: several where it does little else, so that one addition need not wait for another.
 */
static int pass_sums(Row *r, int level) {
  const Graph *g = r->l->g;
  int64_t n;
  bool folds = false;
  int all = 0; /* their registers live to the end of the task */
  if (r->nv || r->lanes == 1 || r->l->team.threads) return 1;
  if (sym_is_int(r->l->all->ctx->syms, r->l->grp->space[r->last], &n) && n < SUMS * r->lanes) return 1;
  for (uint32_t i = 0; i < r->l->grp->members.n; i++) {
    Id v = r->l->grp->members.at[i];
    Op o = graph_op(g, v);
    all += OP_INFO[o].cls == CLASS_REDUCE;
    folds |= OP_INFO[o].cls == CLASS_REDUCE && r->level[v] == level + 1;
    if (r->level[v] > level || (r->waits[v] && r->level[v] < level) || row_reduction(r, v)) continue;
    if (is_dear(o) || o == OP_RANDOM || (!op_elementwise(o) && !r->rowwise[v])) return 1;
  }
  return folds && SUMS * all <= r->l->all->target->vector_regs / 2 ? SUMS : 1;
}

Ex row_vectors(const Row *r) {
  Lower *l = r->l;
  return ex_op2(l->k, OP_FLOOR_DIV, lower_dim(l, l->grp->space[r->last]), ex_idx(l->k, r->lanes));
}

/* The threads of a row take its vectors in turn; there are whole ones only. */
static void thread_pass(Row *r, int level, const uint32_t *acc) {
  Lower *l = r->l;
  Kernel *k = l->k;
  Ex n = lower_dim(l, l->grp->space[r->last]), lanes = ex_idx(k, r->lanes), zero = ex_idx(k, 0), v, slot = 0;
  int64_t size, share = l->team.threads * r->lanes;
  bool whole = r->nv && sym_is_int(l->all->ctx->syms, l->grp->space[r->last], &size) && size == r->nv * share;
  if (r->nv) {
    loop_for(k, "v", zero, ex_idx(k, r->nv), FOR_UNROLL, 0, TAIL_NONE, &slot);
    v = ex_add(k, ex_mul(k, slot, ex_idx(k, l->team.threads)), l->team.number);
  } else
    threads_loop(l, "v", zero, row_vectors(r), &v);
  r->vector = v;
  Ex j = loop_let(k, "j", ex_mul(k, v, lanes));
  if (r->nv && !whole) loop_if(k, ex_op2(k, OP_LESS, j, n));
  pass_body(r, level, r->lanes > 1 ? ex_add(k, j, ex_lane(k, r->lanes)) : j, slot, acc, zero);
  if (r->nv && !whole) loop_end(k);
  loop_end(k);
}

static void row_pass(Row *r, int level) {
  Lower *l = r->l;
  Kernel *k = l->k;
  bool any = false;
  int64_t sums = r->sums = pass_sums(r, level);
  uint32_t *acc = ARENA_ARRAY(l->all->ctx->arena, uint32_t, l->grp->members.n);
  for (uint32_t i = 0; i < l->grp->members.n; i++) { /* what has one value a row comes first, outside the loop */
    Id v = l->grp->members.at[i];
    Ex index[MAX_RANK];
    if (r->rowwise[v] && !row_reduction(r, v) && r->level[v] <= level) {
      lower_member_index(l, v, index);
      lower_pull(l, v, index, graph_rank(l->g, v));
    }
    if (row_reduction(r, v) && r->level[v] == level + 1) {
      if (OP_INFO[graph_op(l->g, v)].cls == CLASS_ARG) continue;
      any = true;
      if (r->apart && r->apart[v]) continue;
      DType d = fold_dtype(graph_dtype(l->g, v));
      acc[i] = 1 + loop_reg(k, arena_printf(l->all->ctx->arena, "r%u", v), d, r->lanes, sums > 1, &sums,
                            fold_start(l, graph_op(l->g, v), d));
    }
    any |= !r->rowwise[v] && l->all->groups->stored[v] && r->level[v] == level;
    any |= r->waits[v] && r->level[v] == level;
  }
  for (uint32_t v = 0; r->nv && v < l->g->node.n; v++) any |= r->reg[v] && row_level(r, v) == level;
  Ex n = lower_dim(l, l->grp->space[r->last]), j, slot = 0;
  uint32_t mark = l->memo.n;
  if (r->apart) row_sums_open(r, level, acc);
  if (any && l->team.threads) {
    thread_pass(r, level, acc);
  } else if (any && r->nv) {
    int64_t size;
    sym_is_int(l->all->ctx->syms, l->grp->space[r->last], &size);
    loop_for(k, "v", ex_idx(k, 0), ex_idx(k, r->nv), FOR_UNROLL, 0, TAIL_NONE, &slot);
    j = ex_add(k, ex_mul(k, slot, ex_idx(k, r->lanes)), ex_lane(k, r->lanes));
    if (size % r->lanes) loop_if(k, ex_op2(k, OP_LESS, j, n));
    pass_body(r, level, j, slot, acc, 0);
    if (size % r->lanes) loop_end(k);
    loop_end(k);
  } else if (any) {
    Ex lo = ex_idx(k, 0), block;
    if (sums > 1) {
      Ex step = ex_idx(k, sums * r->lanes), blocks = ex_op2(k, OP_FLOOR_DIV, n, step), sum;
      loop_for(k, "block", lo, blocks, FOR_SERIAL, 0, TAIL_NONE, &block);
      loop_for(k, "s", lo, ex_idx(k, sums), FOR_UNROLL, 0, TAIL_NONE, &sum);
      j = ex_add(k, ex_mul(k, block, step), ex_mul(k, sum, ex_idx(k, r->lanes)));
      pass_body(r, level, ex_add(k, j, ex_lane(k, r->lanes)), 0, acc, sum);
      loop_end(k);
      loop_end(k);
      l->memo.n = mark;
      lo = ex_mul(k, blocks, step);
    }
    if (r->lanes == 1)
      loop_for(k, "j", lo, n, FOR_SERIAL, 0, TAIL_NONE, &j);
    else
      loop_for(k, "j", lo, n, FOR_VECTOR, r->lanes, lower_tail(l), &j);
    pass_body(r, level, j, 0, acc, ex_idx(k, 0));
    loop_end(k);
  }
  l->memo.n = mark;
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    Ex index[MAX_RANK];
    bool early = r->apart && r->apart[v] && r->level[v] == level + 1;
    if (acc[i] || early) {
      Ex e = early ? row_sum_part(r, v) : 0;
      for (int q = 0; acc[i] && q < sums; q += 2) { /* (0 + 1) + (2 + 3) */
        Ex at[2] = {ex_idx(k, q), ex_idx(k, q + 1)}, x = ex_reg(k, acc[i] - 1, at, sums > 1);
        if (sums > 1) x = ex_op2(k, fold_step(graph_op(l->g, v)), x, ex_reg(k, acc[i] - 1, at + 1, 1));
        e = e ? ex_op2(k, fold_step(graph_op(l->g, v)), e, x) : x;
      }
      if (r->lanes > 1) e = ex_op1(k, fold_lanes(graph_op(l->g, v)), e);
      if (l->team.threads) e = threads_reduce(l, "r", fold_step(graph_op(l->g, v)), e);
      if (graph_dtype(l->g, v) == DT_BOOL) e = ex_op2(k, OP_NOT_EQUAL, e, ex_int(k, DT_I32, 0));
      lower_member_index(l, v, index);
      lower_remember(l, v, index, graph_rank(l->g, v), loop_let(k, arena_printf(l->all->ctx->arena, "v%u", v), e));
    } else if (row_reduction(r, v) && r->level[v] == level + 1) {
      Ex e = fold_arg(l, v, l->at, r->last);
      lower_member_index(l, v, index);
      lower_remember(l, v, index, graph_rank(l->g, v), e);
    }
  }
}

enum { PAIR_LEAST = 8 /* vectors */, PAIR_MOST = 1 << 13 /* bytes */ };

/* Whether two rows at a time pay: the folding of one row's sums, for which its next pass waits, is then under way while
 * the other row's elements are. Rows must be long enough to take as long, and short enough for the nearest cache. */
static bool in_pairs(const Row *r, int levels) {
  const Lower *l = r->l;
  const Sym *space = l->grp->space;
  int64_t least, most, rows, many, sums = 0;
  if (r->nv || r->last < 1 || r->lanes == 1 || levels < 1) return false;
  for (uint32_t i = 0; i < l->grp->members.n; i++) sums += row_reduction(r, l->grp->members.at[i]);
  sym_range(l->all->facts, space[r->last], &least, &most);
  sym_range(l->all->facts, space[r->last - 1], &rows, &many);
  int64_t bytes = l->all->target->vector_bytes / r->lanes;
  return many > 1 && least >= PAIR_LEAST * r->lanes && most <= PAIR_MOST / bytes &&
         2 * SUMS * sums + 4 <= l->all->target->vector_regs;
}

/* Outputs that have one value a row; of a team the first thread stores them. */
static void store_rowwise(Row *r) {
  Lower *l = r->l;
  bool any = false;
  for (uint32_t i = 0; i < l->grp->outputs.n; i++) any |= r->rowwise[l->grp->outputs.at[i]];
  if (any && l->team.threads) threads_first(l);
  for (uint32_t i = 0; i < l->grp->outputs.n; i++) {
    Id v = l->grp->outputs.at[i];
    Ex index[MAX_RANK];
    if (!r->rowwise[v]) continue;
    lower_member_index(l, v, index);
    lower_store(l, v, index, graph_rank(l->g, v), lower_pull(l, v, index, graph_rank(l->g, v)));
  }
}

/* `rows` rows from `first` on, each pass over all of them before the next. */
static void row_passes(Row *r, int levels, Ex first, int rows) {
  Lower *l = r->l;
  uint32_t mark = l->memo.n;
  for (int k = 0; k <= levels; k++)
    for (int i = 0; i < rows; i++) {
      if (r->last > 0) l->at[r->last - 1] = ex_add(l->k, first, ex_idx(l->k, i));
      row_pass(r, k);
    }
  for (int i = 0; i < rows; i++) {
    if (r->last > 0) l->at[r->last - 1] = ex_add(l->k, first, ex_idx(l->k, i));
    store_rowwise(r);
  }
  l->memo.n = mark;
}

static void open_rows(Row *r) {
  static const char *const name[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
  Lower *l = r->l;
  int first = r->last > LOOP_AXES ? r->last - LOOP_AXES : 0;
  SymTab *t = l->all->ctx->syms;
  for (int i = first; i < r->last; i++)
    l->at[i] = loop_axis(l->k, name[i], sym_div_up(t, l->grp->space[i], sym_int(t, i < r->last - 1 ? 1 : r->rows)));
  if (r->last == 0) loop_axis(l->k, "t", sym_int(t, 1));
  for (int i = 0; i < first; i++)
    loop_for(l->k, name[i], ex_idx(l->k, 0), lower_dim(l, l->grp->space[i]), FOR_SERIAL, 0, TAIL_NONE, &l->at[i]);
}

/* A short row belongs to a warp, the others to a block of so many threads that they can hold it, if any can. */
static void choose_threads(Row *r) {
  Lower *l = r->l;
  int64_t least, most;
  r->lanes = threads_lanes(l, l->grp->space[r->last]);
  sym_range(l->all->facts, l->grp->space[r->last], &least, &most);
  if (most <= LOOP_WARP_THREADS * THREAD_KEEPS)
    l->team = (Team){LOOP_WARP, 0, LOOP_WARP_THREADS};
  else
    l->team = (Team){LOOP_BLOCK, 0,
                     most > l->all->target->threads * THREAD_KEEPS
                         ? THREADS
                         : threads_for((most + THREAD_KEEPS - 1) / THREAD_KEEPS, l->all->target->threads)};
}

static void open_threads(Row *r) {
  Lower *l = r->l;
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  const Sym *space = l->grp->space;
  Sym rows = lower_total(l, space, r->last);
  Ex row;
  if (by_warps(r)) {
    row = loop_axis(k, "b", sym_div_up(t, rows, sym_int(t, WARPS)));
    loop_threads(k, "w", WARPS);
    loop_threads(k, "l", LOOP_WARP_THREADS);
    row = loop_let(k, "row", ex_add(k, ex_mul(k, row, ex_idx(k, WARPS)), loop_warp(k)));
    l->team.number = loop_lane_id(k);
    if (!sym_divides(l->all->facts, WARPS, rows)) loop_if(k, ex_op2(k, OP_LESS, row, lower_dim(l, rows)));
  } else {
    row = loop_axis(k, "b", rows);
    loop_threads(k, "t", l->team.threads);
    l->team.number = loop_tid(k);
  }
  threads_index(l, row, space, r->last, l->at);
}

/* The levels of all members; the highest. */
static int find_levels(Row *r) {
  int levels = 0;
  memset(r->level, -1, r->l->g->node.n * sizeof *r->level);
  for (uint32_t i = 0; i < r->l->grp->members.n; i++) {
    int k = row_level(r, r->l->grp->members.at[i]);
    if (k > levels) levels = k;
  }
  return levels;
}

/* A row that is read anew by each pass: by as few passes as there can be. What that takes has room in fewer threads,
 * and in fewer lanes where it is much: several blocks are to share a multiprocessor. Returns the highest level. */
static int read_anew(Row *r, int levels) {
  Team team = r->l->team;
  int lanes = r->lanes;
  row_sums_begin(r);
  int fewer = find_levels(r);
  if (fewer < levels) {
    if (team.threads > THREADS) r->l->team.threads = THREADS;
    int room = loop_thread_registers(block_threads(r)) / 3;
    while (r->lanes > 1 && row_sums_words(r) > room) r->lanes /= 2;
    if (row_sums_words(r) <= room) return fewer;
  }
  r->l->team = team;
  r->lanes = lanes;
  r->apart = NULL;
  return find_levels(r);
}

/* What each pass over a row from memory finds out, and that it stores: "reduce_max reduce_sum, store". */
static const char *name_passes(Row *r, int levels, int *n) {
  const Lower *l = r->l;
  Arena *a = l->all->ctx->arena;
  const char *all = "";
  *n = 0;
  for (int level = 0; level <= levels; level++) {
    const char *pass = "", *args = "";
    bool stores = false;
    for (uint32_t i = 0; i < l->grp->members.n; i++) {
      Id v = l->grp->members.at[i];
      const char *name = OP_INFO[graph_op(l->g, v)].text;
      stores |= !r->rowwise[v] && l->all->groups->stored[v] && r->level[v] == level;
      if (!row_reduction(r, v) || r->level[v] != level + 1) continue;
      if (OP_INFO[graph_op(l->g, v)].cls == CLASS_ARG) {
        args = arena_printf(a, "%s, %s", args, name);
        ++*n;
      } else if (!strstr(pass, name))
        pass = arena_printf(a, "%s%s%s", pass, *pass ? " " : "", name);
    }
    if (stores) pass = arena_printf(a, "%s%sstore", pass, *pass ? " " : "");
    *n += *pass != 0;
    all = arena_printf(a, "%s%s%s%s", all, *pass ? ", " : "", pass, args);
  }
  return *all ? all + 2 : all;
}

void strat_row(Lower *l) {
  const Group *grp = l->grp;
  Arena *a = l->all->ctx->arena;
  Row r = {.l = l,
           .lanes = lower_lanes(l),
           .last = grp->rank - 1,
           .level = ARENA_ARRAY(a, int, l->g->node.n),
           .rowwise = ARENA_ARRAY(a, uint8_t, l->g->node.n),
           .waits = ARENA_ARRAY(a, Id, l->g->node.n),
           .reg = ARENA_ARRAY(a, uint32_t, l->g->node.n)};
  int64_t one;
  if (sym_is_int(l->all->ctx->syms, grp->space[r.last], &one) && one == 1) r.lanes = 1;
  for (uint32_t i = 0; i < grp->members.n; i++) {
    Id v = grp->members.at[i];
    r.rowwise[v] = row_reduction(&r, v) || graph_rank(l->g, v) != grp->rank ||
                   memcmp(graph_shape(l->g, v), grp->space, (size_t)grp->rank * sizeof(Sym));
  }
  int levels = find_levels(&r);
  lower_stage(l, "main", lower_total(l, grp->space, grp->rank), grp->cost * 1.5, false);
  bool *hold = ARENA_ARRAY(a, bool, l->g->node.n);
  if (lower_gpu(l)) choose_threads(&r);
  plan_registers(&r, levels, hold);
  if (lower_gpu(l) && !r.nv) levels = read_anew(&r, levels);
  if (lower_gpu(l)) open_threads(&r);
  r.rows = !lower_gpu(l) && in_pairs(&r, levels) ? 2 : 1;
  if (!lower_gpu(l)) open_rows(&r);
  if (r.nv)
    make_registers(&r, hold);
  else if (!lower_gpu(l))
    plan_waiting(&r);
  Ex row = r.last ? ex_mul(l->k, l->at[r.last - 1], ex_idx(l->k, r.rows)) : 0;
  bool odd = r.rows > 1 && !sym_divides(l->all->facts, r.rows, grp->space[r.last - 1]);
  if (odd)
    loop_if(l->k, ex_op2(l->k, OP_LESS, ex_add(l->k, row, ex_idx(l->k, 1)), lower_dim(l, grp->space[r.last - 1])));
  row_passes(&r, levels, row, r.rows);
  if (odd) {
    loop_else(l->k);
    row_passes(&r, levels, row, 1);
  }
  while (l->k->depth) loop_end(l->k);
  if (lower_gpu(l)) {
    int passes;
    const char *names = name_passes(&r, levels, &passes);
    l->out->schedule =
        r.nv ? arena_printf(a, "rows(threads = %lld, lanes = %d, vectors = %d, passes = %d, hold = registers)",
                            (long long)l->team.threads, r.lanes, r.nv, levels + 1)
             : arena_printf(a, "rows(threads = %lld, lanes = %d, passes = %d, hold = n: each pass reads the row: %s)",
                            (long long)l->team.threads, r.lanes, passes, names);
    return;
  }
  bool waiting = false;
  for (uint32_t i = 0; i < grp->members.n; i++) waiting |= r.waits[grp->members.at[i]] != 0;
  l->out->schedule =
      r.nv
          ? arena_printf(a, "rowop(lanes = %d, vectors = %d, passes = %d, hold = registers)", r.lanes, r.nv, levels + 1)
          : arena_printf(a, "rowop(lanes = %d, rows = %d, passes = %d, hold = %s, tail = %s)", r.lanes, r.rows,
                         levels + 1, waiting ? "output" : "n", lower_tail(l) == TAIL_MASK ? "mask" : "peel");
}
