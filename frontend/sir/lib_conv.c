/* Convolution and pooling over [N, C, spatial] with one to three axes of space, named and laid out as in PyTorch. */
#include "library.h"
#include "window.h"
#include <string.h>

/* An int for every axis or a list of one each; `least` is the smallest that is allowed. */
static bool per_axis(Tracer *t, Value v, const char *what, int n, int64_t least, int64_t *out) {
  bool list = v.kind == VAL_LIST || v.kind == VAL_TUPLE;
  if (list && (int)v.n != n)
    return trace_fault(t, "sir-window", "%s is an int or a list of %d, one for each axis of space, not %s", what, n,
                       value_text(t, v));
  for (int i = 0; i < n; i++) {
    Value x = list ? v.u.at[i] : v;
    if (x.kind != VAL_INT)
      return trace_fault(t, "sir-static-int", "%s is %s; it is an int that is known while tracing, or a list of ints",
                         what, value_describe(t, x));
    if (x.u.i < least || x.u.i > INT32_MAX)
      return trace_fault(t, "sir-window", "%s is %s; it is at least %lld", what, value_text(t, x), (long long)least);
    out[i] = x.u.i;
  }
  return true;
}

/* The padding: an int, a list of ints, or a list of pairs (before, after); a negative one crops. */
static bool padding(Tracer *t, Value v, int n, int64_t least, int64_t *lo, int64_t *hi) {
  bool list = v.kind == VAL_LIST || v.kind == VAL_TUPLE, pairs = list && v.n && value_is_tree(v.u.at[0]);
  if (!pairs) {
    TRY(per_axis(t, v, "the padding", n, least, lo));
    memcpy(hi, lo, sizeof *hi * (size_t)n);
    return true;
  }
  if ((int)v.n != n) return trace_fault(t, "sir-window", "the padding has %u pairs for %d axes of space", v.n, n);
  for (int i = 0; i < n; i++) {
    int64_t both[2];
    TRY(per_axis(t, v.u.at[i], "a pair (before, after) of the padding", 2, least, both));
    lo[i] = both[0], hi[i] = both[1];
  }
  return true;
}

static bool spatial(Tracer *t, Id x, const char *name, int *n) {
  *n = graph_rank(t->g, x) - 2;
  if (*n >= 1 && *n <= 3) return true;
  return trace_fault(t, "sir-window", "%s takes [N, C, spatial] with one to three axes of space, not %s", name,
                     graph_type(t->g, x));
}

/* Every axis has room for a window; what the dimensions leave open is checked at the call. */
static bool fits(Tracer *t, const Windows *w, Id x, int first, const char *name) {
  for (int i = 0; i < w->n; i++) {
    Sym n = graph_shape(t->g, x)[first + i], need = window_span(t->g, w->size[i], w->step[i]);
    Sym have = sym_add(t->syms, sym_add(t->syms, w->lo[i], w->hi[i]), window_span(t->g, n, w->base[i]));
    int known = trace_decide(t, SIR_LE, need, have);
    if (known == 1) continue;
    const char *text = trace_printf(
        t, "%s: a window of %s elements is longer than axis %d of %s, which has %s with its padding", name,
        value_text(t, value_sym(t, need)), first + i, graph_type(t->g, x), value_text(t, value_sym(t, have)));
    if (known == 0 || !t->entry) return trace_fault(t, "sir-window", "%s", text);
    trace_require(t, sym_op(t->syms, SYM_LE, need, have), text);
  }
  return true;
}

static bool groups_arg(Tracer *t, Value v, int64_t *groups) {
  if (v.kind == VAL_INT && v.u.i >= 1) return *groups = v.u.i, true;
  return trace_fault(t, "sir-window", "the groups are an int of at least 1, not %s", value_describe(t, v));
}

/* The operands of a convolution: of one float or integer type and one rank. */
static bool operands(Tracer *t, const BuiltinArgs *a, Id *x, Id *w, int *n) {
  TRY(trace_tensor(t, a->at[0], DT_NONE, x));
  TRY(trace_tensor(t, a->at[1], graph_dtype(t->g, *x), w));
  const char *name = a->builtin->name, *tx = graph_type(t->g, *x), *tw = graph_type(t->g, *w);
  TRY(spatial(t, *x, name, n));
  if (graph_dtype(t->g, *x) != graph_dtype(t->g, *w))
    return trace_fault(t, "sir-dtype-mix", "%s of %s by %s: dtypes do not mix; write `.to(%s)`", name, tx, tw,
                       dtype_name(graph_dtype(t->g, *x)));
  if (graph_dtype(t->g, *x) == DT_BOOL)
    return trace_fault(t, "sir-dtype", "%s of %s by %s; write `.to(f32)`", name, tx, tw);
  if (graph_rank(t->g, *w) != *n + 2)
    return trace_fault(t, "sir-window", "%s of %s by %s: the kernel has as many axes of space", name, tx, tw);
  return true;
}

bool lib_conv(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x, k;
  int n;
  int64_t lo[3], hi[3], groups;
  TRY(operands(t, a, &x, &k, &n));
  Windows w = window_plain(t->g, n);
  TRY(per_axis(t, a->at[2], "the stride", n, 1, w.stride));
  TRY(padding(t, a->at[3], n, -INT32_MAX, lo, hi));
  TRY(per_axis(t, a->at[4], "the dilation", n, 1, w.step));
  TRY(groups_arg(t, a->at[5], &groups));
  const Sym *xs = graph_shape(t->g, x), *ks = graph_shape(t->g, k);
  Sym in = sym_mul(t->syms, ks[1], sym_int(t->syms, groups));
  if (!trace_equal_dims(t, xs[1], in))
    return trace_fault(t, "sir-window", "conv of %s by %s in %lld group%s: there are %s channels, the kernel takes %s",
                       graph_type(t->g, x), graph_type(t->g, k), (long long)groups, groups > 1 ? "s" : "",
                       value_text(t, value_sym(t, xs[1])), value_text(t, value_sym(t, in)));
  if (!sym_divides(t->facts, groups, ks[0]))
    return trace_fault(t, "sir-window", "conv by %s: its %s results do not divide into %lld groups",
                       graph_type(t->g, k), value_text(t, value_sym(t, ks[0])), (long long)groups);
  for (int i = 0; i < n; i++) {
    w.size[i] = ks[2 + i];
    w.lo[i] = sym_int(t->syms, lo[i]), w.hi[i] = sym_int(t->syms, hi[i]);
  }
  TRY(fits(t, &w, x, 2, "conv"));
  return trace_node(t, g_conv(t->g, x, k, &w, groups, 1, false), out);
}

/* w [C, O / groups, ..] as the kernel [O, C / groups, ..] of the convolution that transposes. */
static Id turned(Tracer *t, Id w, int64_t groups) {
  Sym shape[MAX_RANK], parts[MAX_RANK];
  int rank = lib_dims(t, w, shape), axes[MAX_RANK];
  for (int i = 0; i < MAX_RANK; i++) axes[i] = i;
  if (groups == 1) {
    axes[0] = 1, axes[1] = 0;
    return g_transpose(t->g, w, axes);
  }
  parts[0] = sym_int(t->syms, groups);
  parts[1] = sym_divided(t->facts, shape[0], parts[0]);
  memcpy(parts + 2, shape + 1, sizeof *parts * (size_t)(rank - 1));
  axes[1] = 2, axes[2] = 1;
  Id v = g_transpose(t->g, g_reshape(t->g, w, parts, rank + 1), axes);
  shape[0] = sym_mul(t->syms, shape[1], parts[0]);
  shape[1] = parts[1];
  return g_reshape(t->g, v, shape, rank);
}

bool lib_conv_transpose(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x, k;
  int n;
  int64_t pad[3], more[3], groups;
  TRY(operands(t, a, &x, &k, &n));
  Windows w = window_plain(t->g, n);
  TRY(per_axis(t, a->at[2], "the stride", n, 1, w.base));
  TRY(per_axis(t, a->at[3], "the padding", n, 0, pad));
  TRY(per_axis(t, a->at[4], "the output padding", n, 0, more));
  TRY(per_axis(t, a->at[5], "the dilation", n, 1, w.step));
  TRY(groups_arg(t, a->at[6], &groups));
  const Sym *xs = graph_shape(t->g, x), *ks = graph_shape(t->g, k);
  if (!trace_equal_dims(t, xs[1], ks[0]) || !sym_divides(t->facts, groups, ks[0]))
    return trace_fault(t, "sir-window", "conv_transpose of %s by %s in %lld group%s: the kernel is [C, O / groups, ..]",
                       graph_type(t->g, x), graph_type(t->g, k), (long long)groups, groups > 1 ? "s" : "");
  for (int i = 0; i < n; i++) {
    w.size[i] = ks[2 + i];
    Sym reach = sym_sub(t->syms, window_span(t->g, ks[2 + i], w.step[i]), sym_int(t->syms, 1));
    w.lo[i] = sym_sub(t->syms, reach, sym_int(t->syms, pad[i]));
    w.hi[i] = sym_add(t->syms, w.lo[i], sym_int(t->syms, more[i]));
    if (more[i] >= w.base[i] && more[i] >= w.step[i])
      return trace_fault(t, "sir-window", "the output padding is smaller than the stride or the dilation, not %lld",
                         (long long)more[i]);
  }
  TRY(fits(t, &w, x, 2, "conv_transpose"));
  return trace_node(t, g_conv(t->g, x, turned(t, k, groups), &w, groups, 1, true), out);
}

/* Windows over the axes of space of x; the stride is the size where none is given. */
static bool pool_windows(Tracer *t, const BuiltinArgs *a, Id x, Value dilation, Windows *w, int64_t *size) {
  int n;
  int64_t stride[3], lo[3], hi[3], step[3];
  TRY(spatial(t, x, a->builtin->name, &n));
  if (graph_dtype(t->g, x) == DT_BOOL)
    return trace_fault(t, "sir-dtype", "%s of %s; write `.to(f32)`", a->builtin->name, graph_type(t->g, x));
  TRY(per_axis(t, a->at[1], "the size", n, 1, size));
  TRY(per_axis(t, a->at[2].kind == VAL_NONE ? a->at[1] : a->at[2], "the stride", n, 1, stride));
  TRY(padding(t, a->at[3], n, 0, lo, hi));
  TRY(per_axis(t, dilation, "the dilation", n, 1, step));
  *w = window_plain(t->g, n + 2);
  for (int i = 0; i < n; i++) {
    if (2 * lo[i] > size[i] || 2 * hi[i] > size[i])
      return trace_fault(t, "sir-window", "the padding is at most half the size %lld, not %lld", (long long)size[i],
                         (long long)(lo[i] > hi[i] ? lo[i] : hi[i]));
    w->size[2 + i] = sym_int(t->syms, size[i]);
    w->lo[2 + i] = sym_int(t->syms, lo[i]), w->hi[2 + i] = sym_int(t->syms, hi[i]);
    w->stride[2 + i] = stride[i], w->step[2 + i] = step[i];
  }
  return fits(t, w, x, 0, a->builtin->name);
}

bool lib_max_pool(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  Windows w;
  int64_t size[3];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  TRY(pool_windows(t, a, x, a->at[4], &w, size));
  return trace_node(t, g_window(t->g, OP_WINDOW_MAX, x, 0, &w), out);
}

bool lib_avg_pool(Tracer *t, const BuiltinArgs *a, Value *out) {
  Id x;
  Windows w;
  int64_t size[3], all = 1, zero;
  Sym shape[MAX_RANK];
  TRY(trace_tensor(t, a->at[0], DT_NONE, &x));
  DType d = graph_dtype(t->g, x);
  if (!dtype_is_float(d)) return trace_fault(t, "sir-dtype", "avg_pool of %s; write `.to(f32)`", graph_type(t->g, x));
  TRY(pool_windows(t, a, x, value_int(1), &w, size));
  bool padded = false;
  for (int i = 2; i < w.n; i++) {
    all *= size[i - 2];
    padded |= !sym_is_int(t->syms, w.lo[i], &zero) || zero || !sym_is_int(t->syms, w.hi[i], &zero) || zero;
  }
  Id sum = g_window(t->g, OP_WINDOW_SUM, x, 0, &w), count = g_const(t->g, d, (double)all);
  if (!sum) return false;
  if (padded && !a->at[4].u.b) { /* only elements that are there count */
    int rank = lib_dims(t, x, shape);
    shape[0] = shape[1] = sym_int(t->syms, 1);
    count = g_window(t->g, OP_WINDOW_SUM, g_full(t->g, d, 1, shape, rank), 0, &w);
    rank = lib_dims(t, sum, shape);
    TRY(count && (count = trace_spread(t, count, shape, rank)));
  }
  return trace_node(t, g_binary(t->g, OP_DIV, sum, count), out);
}
