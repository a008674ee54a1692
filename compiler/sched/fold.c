#include "fold.h"
#include "threads.h"
#include <string.h>

Ex fold_start(Lower *l, Op o, DType d) {
  bool low = o == OP_REDUCE_MAX || o == OP_ARGMAX;
  if (o == OP_REDUCE_SUM || o == OP_REDUCE_ANY) return lower_zero(l, d);
  if (o == OP_REDUCE_ALL) return ex_int(l->k, d, 1);
  if (dtype_is_float(d)) return ex_float(l->k, d, low ? -__builtin_inf() : __builtin_inf());
  int64_t most = d == DT_I32 ? INT32_MAX : INT64_MAX;
  return ex_int(l->k, d, low ? -most - 1 : most);
}

Op fold_step(Op o) {
  return o == OP_REDUCE_SUM ? OP_ADD : o == OP_REDUCE_MAX || o == OP_REDUCE_ANY ? OP_MAXIMUM : OP_MINIMUM;
}
Op fold_lanes(Op o) {
  return o == OP_REDUCE_SUM ? OP_HADD : o == OP_REDUCE_MAX || o == OP_REDUCE_ANY ? OP_HMAX : OP_HMIN;
}
DType fold_dtype(DType d) { return d == DT_BOOL ? DT_I32 : d; }

Ex fold_arg(Lower *l, Id v, const Ex *where, int axis) {
  Kernel *k = l->k;
  Id x = *graph_in(l->g, v);
  DType d = graph_dtype(l->g, x);
  bool most = graph_op(l->g, v) == OP_ARGMAX;
  int rank = graph_rank(l->g, x);
  Ex index[MAX_RANK], j;
  uint32_t mark = l->memo.n;
  uint32_t best = loop_reg(k, "best", d, 1, 0, NULL, fold_start(l, graph_op(l->g, v), d));
  uint32_t at = loop_reg(k, "best_at", DT_I64, 1, 0, NULL, ex_int(k, DT_I64, 0));
  Ex zero = ex_idx(k, 0), n = lower_dim(l, graph_shape(l->g, x)[axis]);
  if (l->team.threads)
    threads_loop(l, "j", zero, n, &j);
  else
    loop_for(k, "j", zero, n, FOR_SERIAL, 0, TAIL_NONE, &j);
  memcpy(index, where, (size_t)rank * sizeof *index);
  index[axis] = j;
  Ex e = lower_pull(l, x, index, rank), b = ex_reg(k, best, NULL, 0);
  Ex win = ex_op2(k, most ? OP_GREATER : OP_LESS, e, b);
  if (dtype_is_float(d))
    win = ex_op2(k, OP_OR, win, ex_op2(k, OP_AND, ex_op1(k, OP_IS_NAN, e), ex_op1(k, OP_NOT, ex_op1(k, OP_IS_NAN, b))));
  win = loop_let(k, "win", win);
  loop_assign(k, at, NULL, 0, ex_op3(k, OP_SELECT, win, ex_convert(k, DT_I64, j), ex_reg(k, at, NULL, 0)), 0);
  loop_assign(k, best, NULL, 0, ex_op3(k, OP_SELECT, win, e, b), 0);
  loop_end(k);
  l->memo.n = mark;
  b = ex_reg(k, best, NULL, 0);
  Ex where_best = ex_reg(k, at, NULL, 0);
  if (l->team.threads) { /* the first place of all that have the best; without a better one than the start it is 0 */
    Ex all = threads_reduce(l, "best", most ? OP_MAXIMUM : OP_MINIMUM, b), has = ex_op2(k, OP_EQUAL, b, all);
    if (dtype_is_float(d))
      has = ex_op2(k, OP_OR, has, ex_op2(k, OP_AND, ex_op1(k, OP_IS_NAN, b), ex_op1(k, OP_IS_NAN, all)));
    return threads_reduce(l, "arg", OP_MINIMUM, ex_op3(k, OP_SELECT, has, where_best, ex_int(k, DT_I64, INT64_MAX)));
  }
  return loop_let(k, "arg", where_best);
}
