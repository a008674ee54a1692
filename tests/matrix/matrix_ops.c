#include "matrix.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static const DType TYPES[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_I32, DT_I64, DT_BOOL};
#define EACH_TYPE(d) for (DType i_ = 0, d; i_ < sizeof TYPES / sizeof *TYPES && (d = TYPES[i_], true); i_++)
static const NativeBound SAME = {0}, ANY_ZERO = {.any_zero = true};
enum { MAX = 64 };

static Sym number(Matrix *m, int64_t n) { return sym_int(m->t, n); }

/* ---- element by element ---- */

/* Units in the last place, as sched/expand_math.h promises; of 16 bits, into which a result in f32 is rounded, one. */
static NativeBound accuracy(Op op, DType d) {
  bool half = dtype_is_half(d);
  switch (op) {
  case OP_EXP:
  case OP_EXPM1:
  case OP_LOG:
  case OP_LOG1P:
  case OP_TANH:
  case OP_ERF:
  case OP_SIN:
  case OP_COS:
  case OP_POW: return (NativeBound){.ulps = half ? 1 : d == DT_F32 ? 2 : 4};
  case OP_SIGMOID: return (NativeBound){.ulps = half ? 1 : d == DT_F32 ? 3 : 4};
  default: return SAME;
  }
}

static void unary(Matrix *m, Op op, DType d) {
  NativeBound b = accuracy(op, d);
  m_begin(m, op, d, "line", "N");
  m_out(m, g_unary(m->g, op, m_in(m, d, "N", FILL_WILD)), b);
  m->c.big = true;
  m_end(m);
  m_begin(m, op, d, "shapes", "MB");
  m_out(m, g_unary(m->g, op, m_in(m, d, "", FILL_WILD)), b);
  m_out(m, g_unary(m->g, op, m_in(m, d, "2B3M", FILL_WILD)), b);
  m_out(m, g_transpose(m->g, g_unary(m->g, op, m_in(m, d, "BM", FILL_WILD)), (int[]){1, 0}), b);
  m_end(m);
}

static Id corner(Matrix *m, DType d, int k) {
  static const double real[] = {0, 2, -0.5};
  static const int64_t whole[] = {0, -1, 3, 33};
  return dtype_is_float(d) ? g_const(m->g, d, real[k % 3]) : g_const_int(m->g, d, d == DT_BOOL ? k & 1 : whole[k]);
}

static void binary(Matrix *m, Op op, DType d) {
  NativeBound b = dtype_is_float(d) ? accuracy(op, d) : SAME;
  m_begin(m, op, d, "line", "N");
  Id x = m_in(m, d, "N", FILL_WILD), y = m_in(m, d, "N", FILL_WILD);
  m_out(m, g_binary(m->g, op, x, y), b);
  m->c.big = true;
  m_end(m);
  m_begin(m, op, d, "shapes", "MB");
  Id s = m_in(m, d, "", FILL_WILD), r = m_in(m, d, "", FILL_WILD);
  x = m_in(m, d, "BM", FILL_WILD), y = m_in(m, d, "MB", FILL_WILD);
  m_out(m, g_binary(m->g, op, s, r), b);
  m_out(m, g_binary(m->g, op, s, x), b);
  m_out(m, g_binary(m->g, op, x, s), b);
  m_out(m, g_binary(m->g, op, x, g_transpose(m->g, y, (int[]){1, 0})), b);
  m_end(m);
  m_begin(m, op, d, "constants", "M");
  x = m_in(m, d, "M", FILL_WILD);
  for (int k = 0; k < (dtype_is_float(d) ? 3 : d == DT_BOOL ? 2 : 4); k++)
    m_out(m, g_binary(m->g, op, x, corner(m, d, k)), b);
  for (int k = 0; k < 2; k++) m_out(m, g_binary(m->g, op, corner(m, d, k), x), b);
  m_end(m);
}

static void select_(Matrix *m, DType d) {
  m_begin(m, OP_SELECT, d, "line", "N");
  Id c = m_in(m, DT_BOOL, "N", FILL_WILD), x = m_in(m, d, "N", FILL_WILD), y = m_in(m, d, "N", FILL_WILD);
  m_out(m, g_select(m->g, c, x, y), SAME);
  m->c.big = true;
  m_end(m);
  m_begin(m, OP_SELECT, d, "shapes", "MB");
  Id c0 = m_in(m, DT_BOOL, "", FILL_WILD), s = m_in(m, d, "", FILL_WILD), r = m_in(m, d, "", FILL_WILD);
  c = m_in(m, DT_BOOL, "BM", FILL_WILD), x = m_in(m, d, "BM", FILL_WILD), y = m_in(m, d, "BM", FILL_WILD);
  m_out(m, g_select(m->g, c0, x, y), SAME);
  m_out(m, g_select(m->g, c, s, y), SAME);
  m_out(m, g_select(m->g, c, x, s), SAME);
  m_out(m, g_select(m->g, c, s, r), SAME);
  m_out(m, g_select(m->g, c0, s, r), SAME);
  m_end(m);
}

/* What reads as a minimum or maximum but says which of two zeros comes out. */
static void select_zeros(Matrix *m, DType d) {
  m_begin(m, OP_SELECT, d, "zeros", "M");
  Id x = m_in(m, d, "M", FILL_WILD), whole = g_convert(m->g, d, m_in(m, DT_I32, "M", FILL_WILD));
  for (int k = 0; k < 2; k++) {
    Id zero = g_const(m->g, d, k ? -0.0 : 0.0);
    m_out(m, g_select(m->g, g_binary(m->g, OP_LESS, x, zero), x, zero), SAME);
    m_out(m, g_select(m->g, g_binary(m->g, OP_GREATER, x, zero), x, zero), SAME);
    m_out(m, g_select(m->g, g_binary(m->g, OP_GREATER, x, zero), zero, x), SAME);
    m_out(m, g_select(m->g, g_binary(m->g, OP_LESS_EQUAL, x, zero), x, zero), SAME);
  }
  m_out(m, g_select(m->g, g_binary(m->g, OP_LESS, x, whole), x, whole), SAME);
  m_out(m, g_binary(m->g, OP_MAXIMUM, x, whole), SAME);
  m_out(m, g_binary(m->g, OP_MINIMUM, whole, x), SAME);
  m_end(m);
}

static void convert(Matrix *m, DType d) {
  m_begin(m, OP_CONVERT, d, "line", "N");
  Id x = m_in(m, d, "N", FILL_WILD);
  EACH_TYPE(to) if (to != d) m_out(m, g_convert(m->g, to, x), SAME);
  m->c.big = true;
  m_end(m);
  m_begin(m, OP_CONVERT, d, "shapes", "MB");
  x = m_in(m, d, "", FILL_WILD);
  Id y = m_in(m, d, "B3M", FILL_WILD);
  EACH_TYPE(to) {
    if (to == d) continue;
    m_out(m, g_convert(m->g, to, x), SAME);
    m_out(m, g_reverse(m->g, g_convert(m->g, to, y), (int[]){2}, 1), SAME);
  }
  m_end(m);
}

void matrix_elementwise(Matrix *m, DType d) {
  for (Op op = 1; op < OP_COUNT; op++) {
    if (!op_elementwise(op) || !op_takes(op, d)) continue;
    switch (OP_INFO[op].cls) {
    case CLASS_UNARY: unary(m, op, d); break;
    case CLASS_SELECT:
      select_(m, d);
      if (dtype_is_float(d)) select_zeros(m, d);
      break;
    case CLASS_CONVERT: convert(m, d); break;
    default: binary(m, op, d);
    }
  }
}

/* ---- moves ---- */

static void spread(Matrix *m, Id x, const char *shape, const char *axes) {
  Sym dim[MAX_RANK];
  int a[MAX_RANK], n = m_shape(m, shape, dim);
  for (int i = 0; axes[i]; i++) a[i] = axes[i] - '0';
  m_out(m, g_broadcast(m->g, x, dim, n, a), SAME);
}

static void reshaped(Matrix *m, Id x, const char *shape) {
  Sym dim[MAX_RANK];
  int n = m_shape(m, shape, dim);
  m_out(m, g_reshape(m->g, x, dim, n), SAME);
}

static void permuted(Matrix *m, Id x, const char *axes) {
  int a[MAX_RANK];
  for (int i = 0; axes[i]; i++) a[i] = axes[i] - '0';
  m_out(m, g_transpose(m->g, x, a), SAME);
}

/* An axis each: "2:M:3 ..." is written as three lists of numbers; `ends` of 0 or less count from the end. */
static void cut(Matrix *m, Id x, const int *starts, const int *ends, const int *steps) {
  Sym from[MAX_RANK], to[MAX_RANK];
  int64_t step[MAX_RANK];
  for (int i = 0; i < graph_rank(m->g, x); i++) {
    from[i] = number(m, starts[i]);
    to[i] = ends[i] > 0 ? number(m, ends[i]) : sym_add(m->t, graph_shape(m->g, x)[i], number(m, ends[i]));
    step[i] = steps[i];
  }
  m_out(m, g_slice(m->g, x, from, to, step), SAME);
}

static void padded(Matrix *m, Id x, const int *lo, const int *hi, const int *inner) {
  Sym a[MAX_RANK], b[MAX_RANK];
  int64_t c[MAX_RANK];
  for (int i = 0; i < graph_rank(m->g, x); i++) a[i] = number(m, lo[i]), b[i] = number(m, hi[i]), c[i] = inner[i];
  m_out(m, g_pad(m->g, x, a, b, c), SAME);
}

static void reversed(Matrix *m, Id x, const char *axes) {
  int a[MAX_RANK], n = 0;
  for (; axes[n]; n++) a[n] = axes[n] - '0';
  m_out(m, g_reverse(m->g, x, a, n), SAME);
}

#define LIST(...)                                                                                                      \
  (const int[]) { __VA_ARGS__ }

static void big_moves(Matrix *m, DType d) {
  for (int k = 0; k < 7; k++) {
    static const Op op[] = {OP_BROADCAST, OP_RESHAPE, OP_TRANSPOSE, OP_SLICE, OP_PAD, OP_REVERSE, OP_CONCAT};
    m_begin(m, op[k], d, "large", "L");
    Id x = m_in(m, d, k == 0 || k == 4 || k == 6 ? "L" : "L2", FILL_WILD);
    switch (k) {
    case 0: spread(m, x, "2L", "1"); break;
    case 1: reshaped(m, x, "2L"); break;
    case 2: permuted(m, x, "10"); break;
    case 3: cut(m, x, LIST(0, 1), LIST(0, 0), LIST(2, 1)); break;
    case 4: padded(m, x, LIST(1), LIST(2), LIST(1)); break;
    case 5: reversed(m, x, "0"); break;
    default: m_out(m, g_concat(m->g, (Id[]){x, m_in(m, d, "L", FILL_WILD)}, 2, 0), SAME);
    }
    m->c.big = true;
    m_end(m);
  }
}

void matrix_moves(Matrix *m) {
  EACH_TYPE(d) {
    big_moves(m, d);
    m_begin(m, OP_BROADCAST, d, "shapes", "MB");
    Id s = m_in(m, d, "", FILL_WILD), v = m_in(m, d, "M", FILL_WILD), x = m_in(m, d, "BM", FILL_WILD);
    spread(m, s, "M", "");
    spread(m, s, "2BM3", "");
    spread(m, v, "M5", "0");
    spread(m, v, "5M", "1");
    spread(m, v, "2M3", "1");
    spread(m, x, "B3M", "02");
    spread(m, x, "2BM3", "12");
    spread(m, x, "BM1", "01");
    m_end(m);

    m_begin(m, OP_RESHAPE, d, "shapes", "MB");
    s = m_in(m, d, "", FILL_WILD), v = m_in(m, d, "M6", FILL_WILD), x = m_in(m, d, "BM", FILL_WILD);
    reshaped(m, s, "1");
    reshaped(m, m_in(m, d, "1", FILL_WILD), "");
    reshaped(m, v, "M23");
    reshaped(m, v, "s");
    reshaped(m, v, "t2");
    reshaped(m, x, "MB");
    reshaped(m, x, "B1M1");
    reshaped(m, g_transpose(m->g, x, (int[]){1, 0}), "x"); /* worked out in a loop */
    reshaped(m, m_in(m, d, "64", FILL_WILD), "2223");
    m_end(m);

    m_begin(m, OP_TRANSPOSE, d, "shapes", "MB");
    x = m_in(m, d, "B3M", FILL_WILD), v = m_in(m, d, "2B3M", FILL_WILD);
    permuted(m, m_in(m, d, "M", FILL_WILD), "0");
    permuted(m, m_in(m, d, "BM", FILL_WILD), "10");
    static const char *const three[] = {"012", "021", "102", "120", "201", "210"}, *const four[] = {"3210", "0213",
                                                                                                    "1032", "2301",
                                                                                                    "0321"};
    for (int k = 0; k < 6; k++) permuted(m, x, three[k]);
    for (int k = 0; k < 5; k++) permuted(m, v, four[k]);
    m_end(m);

    m_begin(m, OP_SLICE, d, "shapes", "MB");
    v = m_in(m, d, "q", FILL_WILD), x = m_in(m, d, "pB6", FILL_WILD);
    cut(m, v, LIST(2), LIST(0), LIST(1));
    cut(m, v, LIST(0), LIST(-3), LIST(2));
    cut(m, v, LIST(1), LIST(0), LIST(3));
    cut(m, v, LIST(5), LIST(6), LIST(7));
    cut(m, x, LIST(1, 0, 1), LIST(0, 0, 6), LIST(1, 1, 2));
    cut(m, x, LIST(0, 0, 0), LIST(-2, 1, 5), LIST(2, 1, 1));
    cut(m, x, LIST(0, 0, 5), LIST(0, 0, 0), LIST(1, 2, 1));
    cut(m, m_in(m, d, "2pB3", FILL_WILD), LIST(1, 1, 0, 0), LIST(2, 0, 0, 2), LIST(1, 2, 1, 1));
    cut(m, m_in(m, d, "M", FILL_WILD), LIST(1), LIST(0), LIST(1)); /* empty at size 1 */
    m_end(m);

    m_begin(m, OP_PAD, d, "shapes", "MB");
    v = m_in(m, d, "q", FILL_WILD), x = m_in(m, d, "BM", FILL_WILD);
    padded(m, v, LIST(2), LIST(3), LIST(0));
    padded(m, v, LIST(-1), LIST(-2), LIST(0));
    padded(m, v, LIST(-2), LIST(3), LIST(0));
    padded(m, v, LIST(0), LIST(0), LIST(1));
    padded(m, v, LIST(1), LIST(-2), LIST(2));
    padded(m, v, LIST(-1), LIST(-1), LIST(1));
    padded(m, x, LIST(1, 0), LIST(0, 2), LIST(0, 1));
    padded(m, x, LIST(0, 3), LIST(2, 0), LIST(2, 0));
    padded(m, m_in(m, d, "2B3M", FILL_WILD), LIST(0, 1, -1, 2), LIST(1, 0, 0, -1), LIST(0, 0, 1, 0));
    m_end(m);

    m_begin(m, OP_REVERSE, d, "shapes", "MB");
    v = m_in(m, d, "M", FILL_WILD), x = m_in(m, d, "3BM", FILL_WILD);
    reversed(m, v, "0");
    static const char *const axes[] = {"0", "1", "2", "01", "02", "12", "012"};
    for (int k = 0; k < 7; k++) reversed(m, x, axes[k]);
    reversed(m, m_in(m, d, "2B3M", FILL_WILD), "13");
    m_end(m);

    m_begin(m, OP_CONCAT, d, "shapes", "MB");
    v = m_in(m, d, "M", FILL_WILD), x = m_in(m, d, "BM", FILL_WILD);
    Id w = m_in(m, d, "3", FILL_WILD), y = m_in(m, d, "2M", FILL_WILD), z = m_in(m, d, "Bp", FILL_WILD),
       e = m_in(m, d, "m", FILL_WILD);
    m_out(m, g_concat(m->g, (Id[]){v}, 1, 0), SAME);
    m_out(m, g_concat(m->g, (Id[]){v, w, v}, 3, 0), SAME);
    m_out(m, g_concat(m->g, (Id[]){e, v}, 2, 0), SAME);
    m_out(m, g_concat(m->g, (Id[]){x, y}, 2, 0), SAME);
    m_out(m, g_concat(m->g, (Id[]){z, x, x, z}, 4, 1), SAME);
    Id t = m_in(m, d, "B2M", FILL_WILD), u = m_in(m, d, "B5M", FILL_WILD);
    m_out(m, g_concat(m->g, (Id[]){t, u}, 2, 1), SAME);
    m_end(m);
  }
}

/* ---- indices ---- */

static Id start(Matrix *m, Id x, int axis, Sym length, Fill f) {
  Sym room = sym_sub(m->t, graph_shape(m->g, x)[axis], length);
  return m_index(m, DT_I64, "", sym_add(m->t, room, number(m, 1)), f);
}

static void dynamic_slice(Matrix *m, Id x, const char *axes, const char *sizes, Fill f) {
  int a[MAX_RANK], n = 0;
  Sym size[MAX_RANK];
  Id from[MAX_RANK];
  for (; axes[n]; n++) {
    a[n] = axes[n] - '0';
    size[n] = m_size(m, sizes[n]);
    from[n] = start(m, x, a[n], size[n], f);
  }
  m_out(m, g_dynamic_slice(m->g, x, from, a, size, n), SAME);
}

static void dynamic_update(Matrix *m, Id x, DType d, const char *axes, const char *shape, Fill f) {
  int a[MAX_RANK], n = 0;
  Id from[MAX_RANK], u = m_in(m, d, shape, FILL_WILD);
  for (; axes[n]; n++) {
    a[n] = axes[n] - '0';
    from[n] = start(m, x, a[n], graph_shape(m->g, u)[a[n]], f);
  }
  m_out(m, g_dynamic_update(m->g, x, from, a, n, u), SAME);
}

static Id index_of(Matrix *m, Id x, int axis, DType d, const char *shape, Fill f) {
  return m_index(m, d, shape, graph_shape(m->g, x)[axis], f);
}

static void gather(Matrix *m, Id x, int axis, DType d, const char *shape) {
  m_out(m, g_gather(m->g, x, (Id[]){index_of(m, x, axis, d, shape, FILL_INDEX)}, 1, axis), SAME);
}

static void scatter(Matrix *m, DType d, const char *shape, int axis, DType di, const char *ishape, const char *ushape,
                    Fill f, NativeBound b) {
  Id x = m_in(m, d, shape, f), i = index_of(m, x, axis, di, ishape, FILL_INDEX);
  m_out(m, g_scatter_add(m->g, x, &i, 1, axis, m_in(m, d, ushape, f)), b);
}

static NativeBound sums(DType d) { return (NativeBound){.rounded = dtype_is_float(d)}; }

static void scatters(Matrix *m, DType d) {
  m_begin(m, OP_SCATTER_ADD, d, "large", "L");
  scatter(m, d, "32", 0, DT_I32, "L", "L2", FILL_EXACT, SAME);
  scatter(m, d, "L", 0, DT_I64, "L", "L", FILL_EXACT, SAME);
  m->c.big = true;
  m_end(m);
  for (int tame = 0; tame < 1 + dtype_is_float(d); tame++) {
    Fill f = tame ? FILL_TAME : FILL_EXACT;
    NativeBound b = tame ? sums(d) : SAME;
    m_begin(m, OP_SCATTER_ADD, d, tame ? "real" : "shapes", "MB");
    scatter(m, d, "M", 0, DT_I64, "", "", f, b);
    scatter(m, d, "M", 0, DT_I32, "p", "p", f, b);
    scatter(m, d, "M5", 0, DT_I64, "B3", "B35", f, b);
    scatter(m, d, "5M", 1, DT_I64, "p", "5p", f, b);
    scatter(m, d, "B4M", 1, DT_I32, "3", "B3M", f, b);
    Id x = m_in(m, d, "BM3", f),
       i[2] = {index_of(m, x, 0, DT_I64, "p", FILL_INDEX), index_of(m, x, 1, DT_I64, "p", FILL_INDEX)};
    m_out(m, g_scatter_add(m->g, x, i, 2, 0, m_in(m, d, "p3", f)), b);
    m_end(m);
  }
}

void matrix_indices(Matrix *m) {
  EACH_TYPE(d) {
    m_begin(m, OP_DYNAMIC_SLICE, d, "large", "L");
    dynamic_slice(m, m_in(m, d, "L3", FILL_WILD), "1", "2", FILL_INDEX);
    m->c.big = true;
    m_end(m);
    m_begin(m, OP_DYNAMIC_SLICE, d, "shapes", "MB");
    Id v = m_in(m, d, "q", FILL_WILD), x = m_in(m, d, "pB5", FILL_WILD);
    dynamic_slice(m, v, "0", "M", FILL_INDEX);
    dynamic_slice(m, v, "0", "1", FILL_INDEX);
    dynamic_slice(m, v, "0", "q", FILL_INDEX);
    dynamic_slice(m, x, "0", "M", FILL_INDEX);
    dynamic_slice(m, x, "1", "1", FILL_INDEX);
    dynamic_slice(m, x, "2", "4", FILL_INDEX);
    dynamic_slice(m, x, "012", "3B2", FILL_INDEX);
    dynamic_slice(m, m_in(m, d, "2p3q", FILL_WILD), "13", "MM", FILL_INDEX);
    m_end(m);

    m_begin(m, OP_DYNAMIC_UPDATE, d, "large", "L");
    dynamic_update(m, m_in(m, d, "L3", FILL_WILD), d, "1", "L2", FILL_INDEX);
    m->c.big = true;
    m_end(m);
    m_begin(m, OP_DYNAMIC_UPDATE, d, "shapes", "MB");
    v = m_in(m, d, "q", FILL_WILD), x = m_in(m, d, "pB5", FILL_WILD);
    dynamic_update(m, v, d, "0", "M", FILL_INDEX);
    dynamic_update(m, v, d, "0", "1", FILL_INDEX);
    dynamic_update(m, v, d, "0", "q", FILL_INDEX);
    dynamic_update(m, x, d, "0", "MB5", FILL_INDEX);
    dynamic_update(m, x, d, "2", "pB2", FILL_INDEX);
    dynamic_update(m, x, d, "012", "3B2", FILL_INDEX);
    m_end(m);

    m_begin(m, OP_GATHER, d, "large", "L");
    gather(m, m_in(m, d, "L2", FILL_WILD), 0, DT_I64, "L");
    gather(m, m_in(m, d, "5", FILL_WILD), 0, DT_I32, "L");
    m->c.big = true;
    m_end(m);
    m_begin(m, OP_GATHER, d, "shapes", "MB");
    v = m_in(m, d, "M", FILL_WILD), x = m_in(m, d, "B4M", FILL_WILD);
    gather(m, v, 0, DT_I64, "");
    gather(m, v, 0, DT_I32, "p");
    gather(m, v, 0, DT_I64, "B3");
    for (int axis = 0; axis < 3; axis++) {
      gather(m, x, axis, DT_I64, "");
      gather(m, x, axis, axis == 1 ? DT_I32 : DT_I64, "p");
      gather(m, x, axis, DT_I64, "2B");
    }
    for (int axis = 0; axis < 2; axis++)
      m_out(m,
            g_gather(m->g, x,
                     (Id[]){index_of(m, x, axis, DT_I64, "p", FILL_INDEX),
                            index_of(m, x, axis + 1, DT_I64, "p", FILL_INDEX)},
                     2, axis),
            SAME);
    m_end(m);
    if (op_takes(OP_SCATTER_ADD, d)) scatters(m, d);
  }
}

/* ---- reductions ---- */

static void folded(Matrix *m, Op op, Id x, const char *axes, NativeBound b) {
  int a[MAX_RANK], n = 0;
  for (; axes[n]; n++) a[n] = axes[n] - '0';
  m_out(m, g_reduce(m->g, op, x, a, n), b);
}

static void reduction(Matrix *m, Op op, DType d, const char *form, Fill f, NativeBound b) {
  static const char *const axes[] = {"0", "1", "2", "01", "02", "12", "012"};
  m_begin(m, op, d, arena_printf(m->ctx->arena, "large_%s", form), "L");
  folded(m, op, m_in(m, d, "L2", f), "1", b);
  m->c.big = true;
  m_end(m);
  m_begin(m, op, d, arena_printf(m->ctx->arena, "line_%s", form), "N");
  folded(m, op, m_in(m, d, "N", f), "0", b);
  folded(m, op, m_in(m, d, "N3", f), "0", b);
  m_end(m);
  m_begin(m, op, d, form, "MB");
  folded(m, op, m_in(m, d, "M", f), "0", b);
  folded(m, op, m_in(m, d, "1", f), "0", b);
  folded(m, op, m_in(m, d, "m", f), "0", b); /* empty at size 1 */
  folded(m, op, m_in(m, d, "mB", f), "0", b);
  folded(m, op, m_in(m, d, "Bm", f), "1", b);
  Id x = m_in(m, d, "B5M", f), y = m_in(m, d, "2B3M", f);
  for (int k = 0; k < 7; k++) folded(m, op, x, axes[k], b);
  folded(m, op, y, "13", b);
  folded(m, op, y, "02", b);
  folded(m, op, y, "123", b);
  folded(m, op, g_transpose(m->g, x, (int[]){2, 0, 1}), "2", b);
  m_end(m);
}

static void arg(Matrix *m, Op op, DType d) {
  m_begin(m, op, d, "large", "L");
  m_out(m, g_arg(m->g, op, m_in(m, d, "L2", FILL_WILD), 1), SAME);
  m_out(m, g_arg(m->g, op, m_in(m, d, "2L", FILL_EXACT), 1), SAME);
  m->c.big = true;
  m_end(m);
  m_begin(m, op, d, "shapes", "MB");
  m_out(m, g_arg(m->g, op, m_in(m, d, "M", FILL_WILD), 0), SAME);
  m_out(m, g_arg(m->g, op, m_in(m, d, "m", FILL_EXACT), 0), SAME);
  Id x = m_in(m, d, "B4M", FILL_WILD), y = m_in(m, d, "B4M", FILL_EXACT);
  for (int axis = 0; axis < 3; axis++) {
    m_out(m, g_arg(m->g, op, x, axis), SAME);
    m_out(m, g_arg(m->g, op, y, axis), SAME);
  }
  m_end(m);
}

void matrix_reductions(Matrix *m) {
  for (Op op = 1; op < OP_COUNT; op++) EACH_TYPE(d) {
      if (!op_takes(op, d)) continue;
      if (OP_INFO[op].cls == CLASS_ARG) arg(m, op, d);
      if (OP_INFO[op].cls != CLASS_REDUCE) continue;
      bool sum = op == OP_REDUCE_SUM && dtype_is_float(d);
      reduction(m, op, d, "shapes", sum ? FILL_EXACT : FILL_WILD, ANY_ZERO);
      if (sum) reduction(m, op, d, "real", FILL_TAME, sums(d));
    }
}

/* ---- products ---- */

/* Axes as digits: contracted of x, of y; batch of x, of y. */
static Id product(Matrix *m, Id x, Id y, const char *cx, const char *cy, const char *bx, const char *by) {
  int a[4][MAX_RANK], n[4];
  const char *text[] = {cx, cy, bx, by};
  for (int k = 0; k < 4; k++)
    for (n[k] = 0; text[k][n[k]]; n[k]++) a[k][n[k]] = text[k][n[k]] - '0';
  return g_dot(m->g, x, y, a[0], a[1], n[0], a[2], a[3], n[2]);
}

static void product_forms(Matrix *m, DType d, const char *form, Fill f, NativeBound b) {
  static const struct {
    const char *x, *y, *cx, *cy, *bx, *by;
  } forms[] = {
      {"MK", "KB", "1", "0", "", ""},
      {"MK", "BK", "1", "1", "", ""},
      {"KM", "KB", "0", "0", "", ""},
      {"KM", "BK", "0", "1", "", ""},
      {"BK", "KM", "1", "0", "", ""},
      {"BK", "MK", "1", "1", "", ""},
      {"K", "K", "0", "0", "", ""},
      {"MK", "K", "1", "0", "", ""},
      {"K", "KM", "0", "0", "", ""},
      {"K", "MK", "0", "1", "", ""},
      {"M", "B", "", "", "", ""},
      {"", "", "", "", "", ""},
      {"", "MB", "", "", "", ""},
      {"MB", "", "", "", "", ""},
      {"BMK", "BK5", "2", "1", "0", "0"},
      {"BMK", "B5K", "2", "2", "0", "0"},
      {"BKM", "BK9", "1", "1", "0", "0"},
      {"MBK", "KB9", "2", "0", "1", "1"},
      {"2BMK", "2BK9", "3", "2", "01", "01"},
      {"B3M", "3MB", "1", "0", "0", "2"},
      {"BMK", "K9", "2", "0", "", ""},
      {"MK", "BK9", "1", "1", "", ""},
      {"B5K", "K59", "12", "10", "", ""},
      {"BM", "BM", "", "", "01", "01"},
      {"B4M", "4B3", "01", "10", "", ""},
      {"2M3K", "4K5", "3", "1", "", ""},
      {"M1", "1B", "1", "0", "", ""},
      {"1K", "K1", "1", "0", "", ""},
  };
  m_begin(m, OP_DOT_GENERAL, d, form, "MBK");
  for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
    if (k == 14) { /* a call takes so many tensors */
      m_end(m);
      m_begin(m, OP_DOT_GENERAL, d, arena_printf(m->ctx->arena, "%s_batch", form), "MBK");
    }
    Id x = m_in(m, d, forms[k].x, f), y = m_in(m, d, forms[k].y, f);
    m_out(m, product(m, x, y, forms[k].cx, forms[k].cy, forms[k].bx, forms[k].by), b);
  }
  m_end(m);
  m_begin(m, OP_DOT_GENERAL, d, arena_printf(m->ctx->arena, "%s_transposed", form), "MBK");
  Id x = m_in(m, d, "KM", f), y = m_in(m, d, "9K", f), z = m_in(m, d, "BKM", f), w = m_in(m, d, "9BK", f);
  Id xt = g_transpose(m->g, x, (int[]){1, 0}), yt = g_transpose(m->g, y, (int[]){1, 0});
  m_out(m, product(m, xt, yt, "1", "0", "", ""), b);
  m_out(m,
        product(m, g_transpose(m->g, z, (int[]){0, 2, 1}), g_transpose(m->g, w, (int[]){1, 2, 0}), "2", "1", "0", "0"),
        b);
  m_out(m, product(m, g_unary(m->g, OP_NEG, xt), g_binary(m->g, OP_SUB, yt, m_in(m, d, "", f)), "1", "0", "", ""), b);
  m_end(m);
}

static int add_cell(Matrix *m, const char *name, CellKind kind, DType d, const char *shape) {
  Cell c = {.name = str_intern(m->ctx->names, name), .kind = kind, .dtype = d};
  c.rank = m_shape(m, shape, c.shape);
  if (kind == CELL_PARAM) {
    c.init = graph_new(m->ctx, NULL);
    Id v = g_full(c.init, d, 1, c.shape, c.rank);
    vec_push(m->ctx->arena, &c.init->output, v);
  }
  vec_push(m->ctx->arena, &m->p->cells, c);
  return (int)m->p->cells.n - 1;
}

static Id cell(Matrix *m, int k) {
  return g_cell(m->g, k, m->p->cells.at[k].dtype, m->p->cells.at[k].shape, m->p->cells.at[k].rank);
}

/* Parameters on the right are packed once, before the call. */
static void parameter_products(Matrix *m, DType d) {
  const char *name = dtype_name(d);
  int a = add_cell(m, arena_printf(m->ctx->arena, "%s.narrow", name), CELL_PARAM, d, "75"),
      b = add_cell(m, arena_printf(m->ctx->arena, "%s.wide", name), CELL_PARAM, d, "9W"),
      c = add_cell(m, arena_printf(m->ctx->arena, "%s.stack", name), CELL_PARAM, d, "37W");
  m_begin(m, OP_DOT_GENERAL, d, "parameters", "M");
  Id x = m_in(m, d, "M7", FILL_EXACT), y = m_in(m, d, "M9", FILL_EXACT), z = m_in(m, d, "MW", FILL_EXACT),
     t = m_in(m, d, "3M7", FILL_EXACT);
  m_out(m, product(m, x, cell(m, a), "1", "0", "", ""), SAME);
  m_out(m, product(m, y, cell(m, b), "1", "0", "", ""), SAME);
  m_out(m, product(m, z, cell(m, b), "1", "1", "", ""), SAME);
  m_out(m, product(m, z, g_transpose(m->g, cell(m, b), (int[]){1, 0}), "1", "0", "", ""), SAME);
  m_out(m, product(m, t, cell(m, c), "2", "1", "0", "0"), SAME);
  m_out(m, product(m, cell(m, b), y, "0", "1", "", ""), SAME);
  m_end(m);
}

void matrix_products(Matrix *m) {
  EACH_TYPE(d) {
    if (!op_takes(OP_DOT_GENERAL, d)) continue;
    m_begin(m, OP_DOT_GENERAL, d, "large", "D");
    m_out(m, product(m, m_in(m, d, "DD", FILL_EXACT), m_in(m, d, "DD", FILL_EXACT), "1", "0", "", ""), SAME);
    m->c.big = true;
    m_end(m);
    product_forms(m, d, "forms", FILL_EXACT, SAME);
    if (dtype_is_float(d) && d != DT_F16) product_forms(m, d, "real", FILL_TAME, sums(d)); /* bf16 is enough */
    parameter_products(m, d);
  }
}

/* ---- leaves and bodies ---- */

static void constants(Matrix *m, DType d) {
  static const double real[] = {0, -0.0, 1.5, INFINITY, -INFINITY, NAN, 1e-40};
  static const int64_t whole[] = {0, -1, INT32_MIN, INT32_MAX, 7, 100, 1};
  Attrs a = {0};
  int64_t words[7];
  Sym shape[1] = {number(m, 7)}, table[2] = {m_size(m, 'M'), number(m, 7)};
  for (int i = 0; i < 7; i++) {
    if (dtype_is_float(d))
      memcpy(&words[i], &real[i], sizeof words[i]);
    else
      words[i] = d == DT_BOOL ? i & 1 : whole[i];
    if (dtype_is_float(d)) {
      double x = scalar_round(d, real[i]);
      memcpy(&words[i], &x, sizeof x);
    }
  }
  m_begin(m, OP_CONSTANT, d, "shapes", "M");
  m_out(m, g_const(m->g, d, 1), SAME);
  m_out(m, g_full(m->g, d, 1, table, 2), SAME);
  attr_ints(&a, words, 7);
  attr_int(&a, d);
  attr_syms(&a, shape, 1);
  Id v = graph_node(m->g, OP_CONSTANT, NULL, 0, &a);
  m_out(m, v, SAME);
  m_out(m, g_broadcast(m->g, v, table, 2, (int[]){1}), SAME);
  m_end(m);
}

static const char *table_path(Arena *a, DType d) {
  return arena_printf(a, "/tmp/sinter-matrix-%d-%s.bin", (int)getpid(), dtype_name(d));
}

void matrix_remove_tables(void) {
  Arena *a = arena_new();
  EACH_TYPE(d) unlink(table_path(a, d));
  arena_free(a);
}

/* A table in a file, behind a header. */
static void table(Matrix *m, DType d) {
  enum { HEAD = 24, N = 1200 };
  static char text[HEAD + 8 * N];
  const char *why = NULL, *path = table_path(m->ctx->arena, d);
  Attrs a = {0};
  Sym shape[2] = {number(m, 30), m_size(m, 'W')};
  for (int i = 0; i < N; i++) scalar_store(d, scalar_of(d, i % 7 - 3), text + HEAD + (size_t)i * dtype_size(d));
  if (!file_write(m->ctx->arena, path, text, HEAD + N * dtype_size(d), &why)) BUG("%s", why);
  attr_str(m->ctx, &a, path);
  attr_int(&a, HEAD);
  attr_int(&a, d);
  attr_syms(&a, shape, 2);
  m_begin(m, OP_DATA, d, "table", "M");
  Id v = graph_node(m->g, OP_DATA, NULL, 0, &a);
  m_out(m, v, SAME);
  m_out(m, g_reverse(m->g, v, (int[]){0}, 1), SAME);
  m_end(m);
}

static void cells(Matrix *m, DType d) {
  const char *name = dtype_name(d);
  int s = add_cell(m, arena_printf(m->ctx->arena, "%s.scalar", name), CELL_STATE, d, ""),
      v = add_cell(m, arena_printf(m->ctx->arena, "%s.table", name), CELL_PARAM, d, "9W"),
      n = add_cell(m, arena_printf(m->ctx->arena, "%s.next", name), CELL_STATE, d, "9W");
  m_begin(m, OP_CELL, d, "read", "M");
  m_out(m, cell(m, s), SAME);
  m_out(m, cell(m, v), SAME);
  m_out(m, g_reverse(m->g, cell(m, v), (int[]){1}, 1), SAME);
  m_end(m);
  m_begin(m, OP_CELL, d, "update", "M"); /* an exchange: both read what was */
  Id x = m_in(m, d, "", FILL_WILD);
  vec_push(m->ctx->arena, &m->e.updates, (Update){s, x, 0});
  vec_push(m->ctx->arena, &m->e.updates, (Update){v, cell(m, n), 0});
  vec_push(m->ctx->arena, &m->e.updates, (Update){n, g_reverse(m->g, cell(m, v), (int[]){0}, 1), 0});
  m_out(m, cell(m, s), SAME);
  m_end(m);
}

/* f(x, y) = (x if c else y, x) */
static void bodies(Matrix *m, DType d, Op op, bool two) {
  m_begin(m, two ? OP_GET : op, d, op == OP_CALL ? "call" : "composite", "MB");
  Id in[3] = {m_in(m, DT_BOOL, "BM", FILL_WILD), m_in(m, d, "BM", FILL_WILD), m_in(m, d, "BM", FILL_WILD)};
  Graph *b = graph_new(m->ctx, m->g);
  Sym shape[MAX_RANK];
  int n = m_shape(m, "BM", shape);
  Id c = g_input(b, DT_BOOL, shape, n), x = g_input(b, d, shape, n), y = g_input(b, d, shape, n),
     r = g_select(b, c, x, y);
  vec_push(m->ctx->arena, &b->output, r);
  if (two) vec_push(m->ctx->arena, &b->output, x);
  Id v = g_body(m->g, op, str_intern(m->ctx->names, "pick"), b, in, 3);
  m_out(m, g_get(m->g, v, 0), SAME);
  if (two) m_out(m, g_get(m->g, v, 1), SAME);
  m_end(m);
}

void matrix_leaves(Matrix *m) {
  Sym shape[MAX_RANK];
  EACH_TYPE(d) {
    m_begin(m, OP_INPUT, d, "as_they_are", "MB");
    m_out(m, m_in(m, d, "", FILL_WILD), SAME);
    m_out(m, m_in(m, d, "BM", FILL_WILD), SAME);
    m_out(m, m_in(m, d, "m", FILL_WILD), SAME);
    Id x = m_in(m, d, "p", FILL_WILD), y = m_in(m, d, "p", FILL_WILD); /* inouts change places */
    Port *p = &m->e.inputs.at[3];
    p[0].inout = p[1].inout = true;
    p[0].update = y, p[1].update = x;
    m_end(m);
    constants(m, d);
    table(m, d);
    cells(m, d);
    for (int two = 0; two < 2; two++) bodies(m, d, OP_COMPOSITE, two), bodies(m, d, OP_CALL, two);
    if (d == DT_BOOL) continue;
    m_begin(m, OP_IOTA, d, "shapes", "MB");
    for (int axis = 0; axis < 3; axis++) {
      int n = m_shape(m, "B5M", shape);
      m_out(m, g_iota(m->g, d, shape, n, axis), SAME);
    }
    m_out(m, g_iota(m->g, d, &(Sym){m_size(m, 'p')}, 1, 0), SAME);
    m_end(m);
    if (d == DT_I64 || dtype_is_half(d)) continue;
    m_begin(m, OP_RANDOM, d, "shapes", "MB");
    for (int k = 0; k < 3; k++) {
      int n = m_shape(m, (const char *[]){"", "B5M", "p"}[k], shape);
      m_out(m, g_random(m->g, d == DT_I32 ? "bits" : "uniform", d, shape, n, str_intern(m->ctx->names, "net.drop"), 0),
            SAME);
    }
    m_end(m);
    m_begin(m, OP_RANDOM, d, "large", "L");
    int n = m_shape(m, "L", shape);
    m_out(m, g_random(m->g, d == DT_I32 ? "bits" : "uniform", d, shape, n, str_intern(m->ctx->names, "noise"), 0),
          SAME);
    m->c.big = true;
    m_end(m);
  }
  m_begin(m, OP_DIM, DT_I64, "shapes", "MB");
  m_out(m, g_dim(m->g, m_size(m, 'M')), SAME);
  m_out(m, g_dim(m->g, sym_op(m->t, SYM_FLOORDIV, m_size(m, 'x'), number(m, 3))), SAME);
  m_out(m, g_dim(m->g, sym_op(m->t, SYM_MIN, m_size(m, 'M'), m_size(m, 'B'))), SAME);
  m_out(m, g_binary(m->g, OP_ADD, m_in(m, DT_I64, "M", FILL_WILD), g_dim(m->g, m_size(m, 'q'))), SAME);
  m_end(m);
}

/* ---- failures ---- */

void matrix_failures(Matrix *m) {
  int s = add_cell(m, "count", CELL_STATE, DT_I64, ""), v = add_cell(m, "table", CELL_STATE, DT_F32, "9W");
  for (int k = 0; k < 8; k++) {
    static const Op op[] = {OP_GATHER, OP_SCATTER_ADD, OP_DYNAMIC_SLICE, OP_DYNAMIC_UPDATE};
    DType d = k < 4 ? DT_F32 : DT_I64;
    m_begin(m, op[k % 4], d, "fails", "MB");
    vec_push(m->ctx->arena, &m->e.updates,
             (Update){s, g_binary(m->g, OP_ADD, cell(m, s), g_const_int(m->g, DT_I64, 1)), 0});
    vec_push(m->ctx->arena, &m->e.updates, (Update){v, g_unary(m->g, OP_NEG, cell(m, v)), 0});
    Id x = m_in(m, d, "pB", FILL_WILD);
    m->e.inputs.at[0].inout = true; /* written, were it not for the failure */
    m->e.inputs.at[0].update = g_reverse(m->g, x, (int[]){0}, 1);
    if (k % 4 == 0)
      m_out(m, g_gather(m->g, x, (Id[]){index_of(m, x, 0, k ? DT_I64 : DT_I32, "p", FILL_BAD)}, 1, 0), SAME);
    else if (k % 4 == 1)
      m_out(m,
            g_scatter_add(m->g, x, (Id[]){index_of(m, x, 0, DT_I64, "p", FILL_BAD)}, 1, 0, m_in(m, d, "pB", FILL_WILD)),
            SAME);
    else if (k % 4 == 2)
      dynamic_slice(m, x, "0", "M", FILL_BAD);
    else
      dynamic_update(m, x, d, "0", "MB", FILL_BAD);
    m_end(m);
  }
  for (int k = 0; k < 4; k++) { /* at size 1 there is nothing that an index could reach */
    static const Op op[] = {OP_GATHER, OP_DYNAMIC_SLICE, OP_SCATTER_ADD, OP_DYNAMIC_UPDATE};
    m_begin(m, op[k], DT_F64, "fails_empty", "MB");
    Id x = m_in(m, DT_F64, "mB", FILL_WILD);
    if (k == 0)
      m_out(m, g_gather(m->g, x, (Id[]){index_of(m, x, 0, DT_I64, "p", FILL_BAD)}, 1, 0), SAME);
    else if (k == 1)
      dynamic_slice(m, x, "0", "1", FILL_BAD);
    else if (k == 2)
      m_out(m,
            g_scatter_add(m->g, x, (Id[]){index_of(m, x, 0, DT_I64, "p", FILL_BAD)}, 1, 0,
                          m_in(m, DT_F64, "pB", FILL_WILD)),
            SAME);
    else
      dynamic_update(m, x, DT_F64, "0", "1B", FILL_BAD);
    m_end(m);
  }
  m_begin(m, OP_GATHER, DT_F64, "fails_large", "L"); /* one thread meets it */
  vec_push(m->ctx->arena, &m->e.updates, (Update){v, g_unary(m->g, OP_NEG, cell(m, v)), 0});
  Id x = m_in(m, DT_F64, "L2", FILL_WILD);
  m_out(m, g_gather(m->g, x, (Id[]){index_of(m, x, 0, DT_I64, "L", FILL_BAD)}, 1, 0), SAME);
  m_end(m);
}

/* ---- many axes, and none of something ---- */

static void eight_axes(Matrix *m, DType d) {
  static const char *const shape = "2B31M223";
  m_begin(m, OP_LEAF, d, "eight_axes", "MB");
  Id x = m_in(m, d, shape, FILL_WILD);
  m_out(m, g_unary(m->g, OP_LEAF, g_transpose(m->g, x, (int[]){7, 5, 3, 1, 6, 4, 2, 0})), SAME);
  m_end(m);
  m_begin(m, OP_TRANSPOSE, d, "eight_axes", "MB");
  x = m_in(m, d, shape, FILL_WILD);
  permuted(m, x, "76543210");
  permuted(m, x, "10325476");
  m_end(m);
  m_begin(m, OP_BROADCAST, d, "eight_axes", "MB");
  spread(m, m_in(m, d, "B3M2", FILL_WILD), shape, "1246");
  m_end(m);
  m_begin(m, OP_PAD, d, "eight_axes", "MB");
  padded(m, m_in(m, d, shape, FILL_WILD), LIST(0, 1, -1, 0, 2, 0, 0, 1), LIST(1, 0, 0, 0, -1, 0, 1, 0),
         LIST(0, 0, 0, 1, 1, 0, 0, 1));
  m_end(m);
  m_begin(m, OP_CONCAT, d, "eight_axes", "MB");
  x = m_in(m, d, shape, FILL_WILD);
  m_out(m, g_concat(m->g, (Id[]){x, x}, 2, 4), SAME);
  m_end(m);
  m_begin(m, OP_GATHER, d, "eight_axes", "MB");
  x = m_in(m, d, "2B312M", FILL_WILD);
  gather(m, x, 1, DT_I64, "23B");
  gather(m, x, 5, DT_I32, "23p");
  m_end(m);
  m_begin(m, OP_ARGMAX, d, "eight_axes", "MB");
  if (op_takes(OP_ARGMAX, d)) {
    x = m_in(m, d, shape, FILL_EXACT);
    m_out(m, g_arg(m->g, OP_ARGMAX, x, 4), SAME);
    m_out(m, g_arg(m->g, OP_ARGMAX, x, 7), SAME);
    m_end(m);
  }
  Op fold = d == DT_BOOL ? OP_REDUCE_ANY : OP_REDUCE_SUM;
  m_begin(m, fold, d, "eight_axes", "MB");
  x = m_in(m, d, shape, FILL_EXACT);
  static const char *const axes[] = {"7", "4", "1357", "0246", "01234567"};
  for (int k = 0; k < 5; k++) folded(m, fold, x, axes[k], ANY_ZERO);
  m_end(m);
  if (!op_takes(OP_DOT_GENERAL, d)) return;
  m_begin(m, OP_DOT_GENERAL, d, "eight_axes", "MB");
  x = m_in(m, d, "2B3M2", FILL_EXACT);
  m_out(m, product(m, x, m_in(m, d, "3B2421", FILL_EXACT), "4", "2", "1", "1"), ANY_ZERO);
  m_out(m, product(m, x, m_in(m, d, "2M3B2", FILL_EXACT), "03", "01", "124", "324"), ANY_ZERO);
  m_end(m);
}

/* m is 0 at size 1. */
static void empty(Matrix *m, DType d) {
  m_begin(m, OP_LEAF, d, "empty", "MB");
  Id x = m_in(m, d, "mB", FILL_WILD);
  m_out(m, g_unary(m->g, OP_LEAF, x), SAME);
  m_out(m, g_unary(m->g, OP_LEAF, g_transpose(m->g, x, (int[]){1, 0})), SAME);
  m_end(m);
  m_begin(m, OP_PAD, d, "empty", "MB");
  padded(m, m_in(m, d, "Bm", FILL_WILD), LIST(0, 2), LIST(1, 1), LIST(0, 0));
  m_end(m);
  m_begin(m, OP_CONCAT, d, "empty", "MB");
  m_out(m, g_concat(m->g, (Id[]){m_in(m, d, "Bm", FILL_WILD), m_in(m, d, "B2", FILL_WILD)}, 2, 1), SAME);
  m_end(m);
  m_begin(m, OP_GATHER, d, "empty", "MB");
  gather(m, m_in(m, d, "MB", FILL_WILD), 0, DT_I64, "m");
  m_end(m);
  m_begin(m, OP_DYNAMIC_SLICE, d, "empty", "MB");
  dynamic_slice(m, m_in(m, d, "pB", FILL_WILD), "0", "m", FILL_INDEX);
  m_end(m);
  m_begin(m, OP_DYNAMIC_UPDATE, d, "empty", "MB");
  dynamic_update(m, m_in(m, d, "pB", FILL_WILD), d, "0", "mB", FILL_INDEX);
  m_end(m);
  Op fold = d == DT_BOOL ? OP_REDUCE_ALL : OP_REDUCE_MAX;
  m_begin(m, fold, d, "empty", "MB");
  x = m_in(m, d, "Bm3", FILL_EXACT);
  static const char *const axes[] = {"0", "1", "2", "01", "12", "02", "012"};
  for (int k = 0; k < 7; k++) folded(m, fold, x, axes[k], ANY_ZERO);
  m_end(m);
  if (!op_takes(OP_DOT_GENERAL, d)) return;
  m_begin(m, OP_SCATTER_ADD, d, "empty", "MB");
  scatter(m, d, "MB", 0, DT_I64, "m", "mB", FILL_EXACT, SAME);
  m_end(m);
  m_begin(m, OP_DOT_GENERAL, d, "empty", "MB");
  m_out(m, product(m, m_in(m, d, "Mm", FILL_EXACT), m_in(m, d, "mB", FILL_EXACT), "1", "0", "", ""), SAME);
  m_out(m, product(m, m_in(m, d, "MB", FILL_EXACT), m_in(m, d, "Bm", FILL_EXACT), "1", "0", "", ""), SAME);
  m_out(m, product(m, m_in(m, d, "mB", FILL_EXACT), m_in(m, d, "B9", FILL_EXACT), "1", "0", "", ""), SAME);
  m_out(m, product(m, m_in(m, d, "mMB", FILL_EXACT), m_in(m, d, "mB9", FILL_EXACT), "2", "1", "0", "0"), SAME);
  m_end(m);
}

void matrix_edges(Matrix *m) { EACH_TYPE(d) eight_axes(m, d), empty(m, d); }
