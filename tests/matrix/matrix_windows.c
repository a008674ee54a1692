/* Convolution, pooling and its gradient. */
#include "matrix.h"
#include "window.h"

static const DType TYPES[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_I32, DT_I64};
static const NativeBound SAME = {0};

/* Numbers an axis: size (of pools), stride, lo, hi, base, step. */
typedef struct Axis {
  int size, stride, lo, hi, base, step;
} Axis;

static Windows windows(Matrix *m, const Axis *a, int n) {
  Windows w = window_plain(m->g, n);
  for (int i = 0; i < n; i++) {
    w.size[i] = sym_int(m->t, a[i].size);
    w.lo[i] = sym_int(m->t, a[i].lo), w.hi[i] = sym_int(m->t, a[i].hi);
    w.stride[i] = a[i].stride, w.base[i] = a[i].base, w.step[i] = a[i].step;
  }
  return w;
}

#define PLAIN {1, 1, 0, 0, 1, 1}
#define SAME3 {3, 1, 1, 1, 1, 1}
#define HALF3 {3, 2, 1, 0, 1, 1}

/* What the operand is made of: memory as it lies, seen turned round, computed, or not one tensor in memory. */
typedef enum { AS_IS, TURNED, COMPUTED, REVERSED } Source;

static Id source(Matrix *m, DType d, const char *shape, Fill f, Source how) {
  if (how != TURNED) {
    Id x = m_in(m, d, shape, f);
    return how == COMPUTED ? g_unary(m->g, OP_NEG, x) : how == REVERSED ? g_reverse(m->g, x, (int[]){1, 2}, 2) : x;
  }
  char turned[8] = {0};
  int axes[8], n = 0;
  for (; shape[n]; n++) turned[n] = shape[n], axes[n] = n;
  turned[0] = shape[1], turned[1] = shape[0];
  axes[0] = 1, axes[1] = 0;
  return g_transpose(m->g, m_in(m, d, turned, f), axes);
}

static void convolutions(Matrix *m, DType d, const char *form, Fill f, NativeBound b) {
  static const struct {
    const char *x, *w;
    Axis a[3];
    int groups, batches, reverse;
    Source from, with;
  } forms[] = {
      {"B3M", "533", {SAME3}, 1, 1, 0, AS_IS, AS_IS},
      {"23M9", "7333", {SAME3, SAME3}, 1, 1, 0, AS_IS, COMPUTED},
      {"B2M9", "9233", {HALF3, HALF3}, 1, 1, 0, COMPUTED, AS_IS},
      {"B4M9", "6233", {SAME3, SAME3}, 2, 1, 0, AS_IS, TURNED},
      {"45M9", "6533", {SAME3, SAME3}, 1, 2, 0, AS_IS, AS_IS},
      {"B3M6", "5323", {{0, 1, 2, 3, 2, 1}, {0, 2, 1, 2, 3, 2}}, 1, 1, 1, AS_IS, AS_IS},
      {"B3MW", "53MW", {SAME3, SAME3}, 1, 1, 0, AS_IS, AS_IS},
      {"8BMM", "6BMM", {PLAIN, {0, 1, 0, 1, 1, 1}}, 1, 2, 1, TURNED, TURNED},
      {"B4MB", "9411", {PLAIN, PLAIN}, 1, 1, 0, AS_IS, AS_IS},
      {"22M53", "42222", {PLAIN, SAME3, HALF3}, 1, 1, 0, AS_IS, REVERSED},
      {"B2W9", "M233", {SAME3, SAME3}, 1, 1, 0, REVERSED, AS_IS},
      {"B2M9", "3222", {{0, 1, -1, 3, 1, 1}, {0, 1, -1, -2, 1, 1}}, 1, 1, 0, AS_IS, AS_IS},
      {"BK22", "9K22", {PLAIN, PLAIN}, 1, 1, 0, AS_IS, AS_IS},
  };
  for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
    if (k % 5 == 0) m_begin(m, OP_CONV_GENERAL, d, arena_printf(m->ctx->arena, "%s%zu", form, k / 5), "MBK");
    Id x = source(m, d, forms[k].x, f, forms[k].from), y = source(m, d, forms[k].w, f, forms[k].with);
    int n = graph_rank(m->g, x) - 2;
    Windows w = windows(m, forms[k].a, n);
    m_out(m, g_conv(m->g, x, y, &w, forms[k].groups, forms[k].batches, forms[k].reverse), b);
    if (k % 5 == 4 || k + 1 == sizeof forms / sizeof *forms) m_end(m);
  }
}

static void pools(Matrix *m, Op op, DType d, const char *form, Fill f, NativeBound b) {
  static const struct {
    const char *x, *update; /* of select_and_scatter: the shape of the windows */
    Axis a[4];
  } forms[] = {
      {"BM86", "BM43", {PLAIN, PLAIN, {2, 2, 0, 0, 1, 1}, {2, 2, 0, 0, 1, 1}}},
      {"B2M9", "B2M5", {PLAIN, PLAIN, SAME3, {3, 2, 1, 1, 1, 1}}},
      {"BM", "BM", {SAME3, {2, 1, 1, 2, 1, 3}}},
      {"M", "M", {{5, 1, 2, 2, 1, 1}}},
      {"MB3", "MB1", {PLAIN, PLAIN, {3, 1, 0, 0, 1, 1}}},
      {"", "", {PLAIN}},
      {"M5", "M6", {PLAIN, {2, 1, 3, -1, 1, 1}}}, /* windows of nothing, and what no window sees */
      {"B4", "B6", {PLAIN, {2, 1, 0, 0, 2, 1}}},
  };
  bool two = op == OP_SELECT_SCATTER || op == OP_SELECT_GATHER;
  m_begin(m, op, d, form, "MB");
  for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
    Id x = source(m, d, forms[k].x, f, k % 3 == 1 ? COMPUTED : k == 4 ? TURNED : AS_IS), other = 0;
    Windows w = windows(m, forms[k].a, graph_rank(m->g, x));
    if (k == 6 && f == FILL_TAME) continue;
    if (two)
      other =
          source(m, d, op == OP_SELECT_SCATTER ? forms[k].update : forms[k].x, FILL_EXACT, k == 0 ? COMPUTED : AS_IS);
    m_out(m, g_window(m->g, op, x, other, &w), b);
  }
  m_end(m);
}

void matrix_windows(Matrix *m) {
  for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
    DType d = TYPES[i];
    NativeBound sums = {.rounded = true};
    convolutions(m, d, "forms", FILL_EXACT, SAME);
    pools(m, OP_WINDOW_SUM, d, "forms", FILL_EXACT, SAME);
    pools(m, OP_WINDOW_MAX, d, "forms", FILL_WILD, SAME);
    pools(m, OP_SELECT_SCATTER, d, "forms", FILL_WILD, SAME);
    pools(m, OP_SELECT_GATHER, d, "forms", FILL_WILD, SAME);
    if (!dtype_is_float(d)) continue;
    convolutions(m, d, "real", FILL_TAME, sums);
    pools(m, OP_WINDOW_SUM, d, "real", FILL_TAME, sums);
  }
}
