/* Element-wise groups. Where every read moves with the element the space is one line of elements, cut into tasks of a
 * few thousand; else the last axis is the vector axis and the others are axes of the stage. A GPU has a thread for each
 * vector, of the line or of the last axis. */
#include "threads.h"
#include <string.h>

#define CHUNK 4096

bool elem_flat(const Lower *l, Id v, bool root) {
  const Graph *g = l->g;
  int n;
  Op o = graph_op(g, v);
  bool filled =
      graph_rank(g, v) == l->grp->rank && !memcmp(graph_shape(g, v), l->grp->space, (size_t)l->grp->rank * sizeof(Sym));
  if (!filled && graph_rank(g, v)) return false;
  if (!root && (lower_in_memory(l, v) || (l->all->groups->of[v] == l->number && filled)))
    return true; /* members are asked themselves */
  if (o == OP_RANDOM) return graph_rank(g, v) > 0;
  if (!graph_rank(g, v) && (o == OP_CONSTANT || o == OP_DIM)) return true;
  if (o == OP_BROADCAST) {
    graph_attr(g, v, "axes", &n);
    return !n && elem_flat(l, *graph_in(g, v), false);
  }
  if (o == OP_RESHAPE) return lower_in_memory(l, *graph_in(g, v)); /* its elements have the same numbers */
  if (!op_elementwise(o)) return false;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++)
    if (!elem_flat(l, graph_in(g, v)[i], false)) return false;
  return true;
}

bool elem_merges(const Lower *l, Id v, int n, bool root) {
  const Graph *g = l->g;
  int m, rank = graph_rank(g, v), inside = 0;
  Op o = graph_op(g, v);
  if (!rank) return true;
  if (!root && (lower_in_memory(l, v) || l->all->groups->of[v] == l->number)) return true;
  if (o == OP_BROADCAST) {
    Id x = *graph_in(g, v);
    const int64_t *axes = graph_attr(g, v, "axes", &m);
    for (int i = 0; i < m; i++) inside += axes[i] >= rank - n;
    if (!inside) return true;
    for (int i = 0; i < n; i++)
      if (inside != n || axes[m - n + i] != rank - n + i ||
          graph_shape(g, x)[m - n + i] != graph_shape(g, v)[rank - n + i])
        return false;
    return elem_merges(l, x, n, false);
  }
  if (o == OP_TRANSPOSE) { /* of the axes before them */
    const int64_t *axes = graph_attr(g, v, "axes", &m);
    for (int i = rank - n; i < rank; i++)
      if (axes[i] != i) return false;
    return elem_merges(l, *graph_in(g, v), n, false);
  }
  if (!op_elementwise(o)) return false;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++)
    if (!elem_merges(l, graph_in(g, v)[i], n, false)) return false;
  return true;
}

int elem_merged(const Lower *l, const Sym *space, int rank, Id reduction) {
  int64_t one;
  if (!rank || (sym_is_int(l->all->ctx->syms, space[rank - 1], &one) && one == 1)) return 1; /* its index is always 0 */
  for (int n = rank; n > 1; n--) {
    bool all = !reduction || elem_merges(l, *graph_in(l->g, reduction), n, false);
    for (uint32_t i = 0; all && i < l->grp->members.n; i++) {
      Id v = l->grp->members.at[i];
      if (reduction && v >= reduction) break;
      all = graph_rank(l->g, v) == rank && !memcmp(graph_shape(l->g, v), space, (size_t)rank * sizeof *space) &&
            elem_merges(l, v, n, true);
    }
    if (all) return n;
  }
  return 1;
}

/* Scalars that the body reads are loaded before its loop. */
static void pull_scalars(Lower *l, Id v) {
  const Graph *g = l->g;
  if (!graph_rank(g, v)) {
    if (l->all->groups->of[v] != l->number) lower_pull(l, v, NULL, 0);
    return;
  }
  if (!group_free(g, v) || graph_op(g, v) == OP_DYNAMIC_SLICE) return;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++) pull_scalars(l, graph_in(g, v)[i]);
}

/* Groups that draw random numbers go four vectors at a time, as far as these are full. Returns where the rest begins.
 */
static Ex draw_fours(Lower *l, Ex lo, Ex hi, int lanes) {
  Kernel *k = l->k;
  Ex all = ex_idx(k, 4 * lanes), fours = ex_op2(k, OP_FLOOR_DIV, ex_op2(k, OP_SUB, hi, lo), all), four;
  uint32_t mark = l->memo.n;
  loop_for(k, "four", ex_idx(k, 0), fours, FOR_SERIAL, 0, TAIL_NONE, &four);
  Ex first = loop_let(k, "first", ex_add(k, lo, ex_mul(k, four, all)));
  for (uint32_t i = 0; i < l->grp->members.n; i++) {
    Id v = l->grp->members.at[i];
    Ex u[4], index[MAX_RANK];
    if (!lower_random_short(l, v)) continue;
    lower_random_run(l, v, first, lanes, u);
    for (int j = 0; j < 4; j++) {
      l->at[0] = ex_add(k, ex_add(k, first, ex_idx(k, j * lanes)), ex_lane(k, lanes));
      lower_member_index(l, v, index);
      lower_remember(l, v, index, graph_rank(l->g, v), u[j]);
    }
  }
  for (int j = 0; j < 4; j++) {
    l->at[0] = ex_add(k, ex_add(k, first, ex_idx(k, j * lanes)), ex_lane(k, lanes));
    lower_store_outputs(l, NULL);
  }
  loop_end(k);
  l->memo.n = mark;
  return ex_add(k, lo, ex_mul(k, fours, all));
}

void strat_elem(Lower *l) {
  const Group *grp = l->grp;
  SymTab *t = l->all->ctx->syms;
  int last = grp->rank - 1, lanes = lower_lanes(l), merged = 1;
  Sym total = lower_total(l, grp->space, grp->rank);
  bool flat = grp->rank > 0;
  for (uint32_t i = 0; i < grp->members.n; i++) flat &= elem_flat(l, grp->members.at[i], true);
  lower_stage(l, "main", total, grp->cost, grp->rank == 0);
  if (!grp->rank) {
    if (lower_gpu(l))
      threads_one(l);
    else
      loop_axis(l->k, "t", sym_int(t, 1));
    lower_store_outputs(l, NULL);
    l->out->schedule = "scalar";
    return;
  }
  int drawn = 0; /* four vectors of each wait in registers */
  for (uint32_t i = 0; flat && lanes % 4 == 0 && i < grp->members.n; i++)
    drawn += lower_random_short(l, grp->members.at[i]);
  bool draws = drawn == 1 && l->all->target->vector_regs >= 16; /* of two, four vectors each would spill */
  Ex lo = ex_idx(l->k, 0), hi;
  l->flat = flat;
  if (lower_gpu(l)) { /* a thread has one vector, or the four that are drawn at once */
    if (!flat) lanes = threads_lanes(l, grp->space[last]);
    threads_space(l, flat ? &total : grp->space, flat ? 1 : grp->rank, draws ? 4 * lanes : lanes, l->at, &hi);
    lo = l->at[flat ? 0 : last];
  } else if (flat) {
    Sym chunk = sym_int(t, CHUNK);
    int64_t n;
    hi = lower_dim(l, total);
    if (sym_is_int(t, total, &n) && n <= CHUNK)
      loop_axis(l->k, "t", sym_int(t, 1));
    else {
      Ex c = loop_axis(l->k, "t", sym_div_up(t, total, chunk));
      lo = ex_mul(l->k, c, ex_idx(l->k, CHUNK));
      hi = ex_op2(l->k, OP_MINIMUM, hi, ex_add(l->k, lo, ex_idx(l->k, CHUNK)));
    }
  } else {
    static const char *const name[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
    merged = elem_merged(l, grp->space, grp->rank, 0);
    int rows = grp->rank - merged, first = rows > LOOP_AXES ? rows - LOOP_AXES : 0; /* a stage has so many axes */
    for (int i = first; i < rows; i++) l->at[i] = loop_axis(l->k, name[i], grp->space[i]);
    if (!rows) loop_axis(l->k, "t", sym_int(t, 1));
    for (int i = 0; i < first; i++)
      loop_for(l->k, name[i], lo, lower_dim(l, grp->space[i]), FOR_SERIAL, 0, TAIL_NONE, &l->at[i]);
    for (int i = rows; i < last; i++) l->at[i] = lo;
    hi = lower_dim(l, lower_total(l, grp->space + rows, merged));
  }
  for (uint32_t i = 0; i < grp->members.n; i++)
    for (uint32_t k = 0; k < graph_at(l->g, grp->members.at[i])->nin; k++)
      pull_scalars(l, graph_in(l->g, grp->members.at[i])[k]);
  int64_t one;
  if (draws) lo = draw_fours(l, lo, hi, lanes);
  bool all_drawn = draws && sym_divides(l->all->facts, 4 * lanes, total) && CHUNK % (4 * lanes) == 0;
  if (!all_drawn) {
    Ex j = lo;
    bool single = lanes == 1 || (!flat && sym_is_int(t, grp->space[last], &one) && one == 1);
    if (!single) loop_for(l->k, "j", lo, hi, FOR_VECTOR, lanes, lower_tail(l), &j);
    l->at[flat ? 0 : last] = j;
    if (merged > 1) l->merged = merged, l->line = j;
    lower_store_outputs(l, NULL);
  }
  while (l->k->depth) loop_end(l->k);
  l->out->schedule = arena_printf(l->all->ctx->arena, "%s(%svectorize = %d%s)", lower_gpu(l) ? "threads" : "steps",
                                  flat         ? "fuse, "
                                  : merged > 1 ? arena_printf(l->all->ctx->arena, "fuse = %d, ", merged)
                                               : "",
                                  lanes,
                                  all_drawn                    ? ", unroll = 4"
                                  : lower_gpu(l)               ? ""
                                  : lower_tail(l) == TAIL_MASK ? ", tail = mask"
                                                               : ", tail = peel");
}
