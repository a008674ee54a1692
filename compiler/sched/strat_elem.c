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
  if (!op_elementwise(o)) return false;
  for (uint32_t i = 0; i < graph_at(g, v)->nin; i++)
    if (!elem_flat(l, graph_in(g, v)[i], false)) return false;
  return true;
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
  int last = grp->rank - 1, lanes = lower_lanes(l);
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
    int first = last > LOOP_AXES ? last - LOOP_AXES : 0; /* a stage has so many axes; the rest are loops */
    for (int i = first; i < last; i++) l->at[i] = loop_axis(l->k, name[i], grp->space[i]);
    if (!last) loop_axis(l->k, "t", sym_int(t, 1));
    for (int i = 0; i < first; i++)
      loop_for(l->k, name[i], lo, lower_dim(l, grp->space[i]), FOR_SERIAL, 0, TAIL_NONE, &l->at[i]);
    hi = lower_dim(l, grp->space[last]);
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
    lower_store_outputs(l, NULL);
  }
  while (l->k->depth) loop_end(l->k);
  l->out->schedule = arena_printf(l->all->ctx->arena, "%s(%svectorize = %d%s)", lower_gpu(l) ? "threads" : "steps",
                                  flat ? "fuse, " : "", lanes,
                                  all_drawn                    ? ", unroll = 4"
                                  : lower_gpu(l)               ? ""
                                  : lower_tail(l) == TAIL_MASK ? ", tail = mask"
                                                               : ", tail = peel");
}
