#include "threads.h"
#include <string.h>

bool lower_gpu(const Lower *l) { return l->all->target->threads > 0; }

int threads_for(int64_t things, int most) {
  return things >= most ? most : things < LOOP_WARP_THREADS ? LOOP_WARP_THREADS : (int)((things + 31) / 32 * 32);
}

/* Whether `lanes` divide the size; then that is a fact of the kernel. */
static bool whole_vectors(Lower *l, Sym size, int lanes) {
  SymTab *t = l->all->ctx->syms;
  if (!sym_divides(l->all->facts, lanes, size)) return false;
  Sym holds = loop_multiple(t, size, lanes);
  if (!sym_is_int(t, holds, NULL)) loop_fact(l->k, holds);
  return true;
}

int threads_lanes(Lower *l, Sym size) {
  int lanes = lower_lanes(l);
  return lanes > 1 && whole_vectors(l, size, lanes) ? lanes : 1;
}

void threads_one(Lower *l) {
  loop_axis(l->k, "b", sym_int(l->all->ctx->syms, 1));
  loop_threads(l->k, "t", 1);
}

Ex threads_line(Lower *l, Sym count) {
  Kernel *k = l->k;
  int64_t least, most;
  sym_range(l->all->facts, count, &least, &most);
  int threads = threads_for(most, THREADS);
  Ex b = loop_axis(k, "b", sym_div_up(l->all->ctx->syms, count, sym_int(l->all->ctx->syms, threads)));
  Ex t = loop_threads(k, "t", threads), e = loop_let(k, "e", ex_add(k, ex_mul(k, b, ex_idx(k, threads)), t));
  if (!sym_divides(l->all->facts, threads, count)) loop_if(k, ex_op2(k, OP_LESS, e, lower_dim(l, count)));
  return e;
}

void threads_index(Lower *l, Ex e, const Sym *shape, int rank, Ex *index) {
  static const char *const name[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
  Kernel *k = l->k;
  for (int i = rank - 1; i > 0; i--) {
    Ex n = lower_dim(l, shape[i]);
    index[i] = loop_let(k, name[i], ex_op2(k, OP_FLOOR_MOD, e, n));
    e = ex_op2(k, OP_FLOOR_DIV, e, n);
  }
  if (rank) index[0] = loop_let(k, name[0], e);
}

void threads_space(Lower *l, const Sym *shape, int rank, int lanes, Ex *index, Ex *hi) {
  Kernel *k = l->k;
  SymTab *t = l->all->ctx->syms;
  Sym vectors[MAX_RANK];
  if (!rank) {
    threads_one(l);
    return;
  }
  memcpy(vectors, shape, (size_t)rank * sizeof *vectors);
  vectors[rank - 1] = sym_div_up(t, shape[rank - 1], sym_int(t, lanes));
  threads_index(l, threads_line(l, lower_total(l, vectors, rank)), vectors, rank, index);
  Ex n = lower_dim(l, shape[rank - 1]), first = index[rank - 1] = ex_mul(k, index[rank - 1], ex_idx(k, lanes)),
     end = ex_add(k, first, ex_idx(k, lanes));
  *hi = whole_vectors(l, shape[rank - 1], lanes) ? end : ex_op2(k, OP_MINIMUM, n, end);
}

void threads_loop(Lower *l, const char *name, Ex lo, Ex hi, Ex *var) {
  loop_for_step(l->k, name, ex_add(l->k, lo, l->team.number), hi, l->team.threads, var);
}

Ex threads_reduce(Lower *l, const char *name, Op op, Ex value) {
  return loop_reduce(l->k, name, op, l->team.scope, value);
}

void threads_first(Lower *l) {
  loop_barrier(l->k, l->team.scope);
  loop_if(l->k, ex_op2(l->k, OP_EQUAL, l->team.number, ex_idx(l->k, 0)));
}
