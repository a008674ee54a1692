/* Every differentiable op of ops.def against central differences, in f64, in a random direction away from kinks, with
 * the dimension B at 1, an odd number and its bound; then once more for the derivative of the gradient. */
#include "autodiff.h"
#include "eval.h"
#include "philox.h"
#include "window.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IN = 3, BOUND = 8 };

typedef struct Case {
  const char *name;
  const char *shape[MAX_IN]; /* sizes by letter: B the dimension, digits numbers; "" is rank 0, NULL none */
  double lo, hi;             /* where the operands lie */
  Id (*make)(Graph *, Id *x);
} Case;

/* ---- shapes and small builders ---- */
static Sym S(Graph *g, int64_t n) { return sym_int(g->ctx->syms, n); }
static Sym B(Graph *g) { return sym_var(g->ctx->syms, str_intern(g->ctx->names, "B")); }

static int shape_of(Graph *g, const char *text, Sym *out) {
  int n = 0;
  for (; text[n]; n++) out[n] = text[n] == 'B' ? B(g) : S(g, text[n] - '0');
  return n;
}

static Id in(Graph *g, const char *text) {
  Sym s[MAX_RANK];
  int n = shape_of(g, text, s);
  return g_input(g, DT_F64, s, n);
}

static Id index_of(Graph *g, const int64_t *v, int n) { /* a constant i64[n] */
  Attrs a = {0};
  Sym s = S(g, n);
  attr_ints(&a, v, n);
  attr_int(&a, DT_I64);
  attr_syms(&a, &s, 1);
  return graph_node(g, OP_CONSTANT, NULL, 0, &a);
}

static Id num(Graph *g, double x) { return g_const(g, DT_F64, x); }

/* ---- the cases ---- */
/* clang-format off */
#define UNARY(name, OP) static Id c_##name(Graph *g, Id *x) { return g_unary(g, OP, x[0]); }
UNARY(neg, OP_NEG) UNARY(abs, OP_ABS) UNARY(exp, OP_EXP) UNARY(expm1, OP_EXPM1) UNARY(log, OP_LOG) UNARY(log1p, OP_LOG1P)
UNARY(sqrt, OP_SQRT) UNARY(rsqrt, OP_RSQRT) UNARY(sin, OP_SIN) UNARY(cos, OP_COS) UNARY(tanh, OP_TANH)
UNARY(sigmoid, OP_SIGMOID) UNARY(erf, OP_ERF) UNARY(leaf, OP_LEAF)
#define BINARY(name, OP) static Id c_##name(Graph *g, Id *x) { return g_binary(g, OP, x[0], x[1]); }
BINARY(add, OP_ADD) BINARY(sub, OP_SUB) BINARY(mul, OP_MUL) BINARY(div, OP_DIV) BINARY(rem, OP_REM) BINARY(pow, OP_POW)
BINARY(maximum, OP_MAXIMUM) BINARY(minimum, OP_MINIMUM)
    /* clang-format on */

    static Id c_same(Graph *g, Id *x) {
  return g_binary(g, OP_MUL, x[0], x[0]);
}
static Id c_pow_k(Graph *g, Id *x) {
  Id a = g_binary(g, OP_POW, x[0], num(g, 2.5)), b = g_binary(g, OP_POW, x[0], num(g, 2)),
     c = g_binary(g, OP_POW, x[0], num(g, 1));
  Id d = g_binary(g, OP_POW, x[0], num(g, 0)), e = g_binary(g, OP_POW, num(g, 1.5), x[0]);
  return g_binary(g, OP_ADD, g_binary(g, OP_ADD, a, b), g_binary(g, OP_ADD, c, g_binary(g, OP_ADD, d, e)));
}
static Id c_convert(Graph *g, Id *x) { return g_convert(g, DT_F64, g_convert(g, DT_F32, x[0])); }
static Id c_select(Graph *g, Id *x) { return g_select(g, g_binary(g, OP_LESS, x[2], num(g, 0)), x[0], x[1]); }
static Id c_stop(Graph *g, Id *x) { return g_binary(g, OP_ADD, x[0], g_unary(g, OP_STOP_GRADIENT, num(g, 2))); }
static Id c_broadcast(Graph *g, Id *x) {
  Sym s[MAX_RANK];
  int n = shape_of(g, "2B34", s);
  return g_binary(g, OP_MUL, g_broadcast(g, x[0], s, n, (int[]){1, 2}), g_spread(g, x[1], s, n));
}
static Id c_reshape(Graph *g, Id *x) {
  Sym s[2] = {sym_mul(g->ctx->syms, B(g), S(g, 2)), S(g, 6)};
  return g_reshape(g, x[0], s, 2);
}
static Id c_transpose(Graph *g, Id *x) { return g_transpose(g, x[0], (int[]){2, 0, 1}); }
static Id c_slice(Graph *g, Id *x) {
  return g_slice(g, x[0], (Sym[]){S(g, 0), S(g, 1)}, (Sym[]){B(g), S(g, 7)}, (int64_t[]){2, 3});
}
static Id c_pad(Graph *g, Id *x) {
  return g_pad(g, x[0], (Sym[]){S(g, 1), S(g, 0)}, (Sym[]){B(g), S(g, 2)}, (int64_t[]){1, 0});
}
static Id c_crop(Graph *g, Id *x) {
  return g_pad(g, x[0], (Sym[]){S(g, 1), S(g, -1)}, (Sym[]){S(g, 0), S(g, -2)}, (int64_t[]){0, 2});
}
static Id c_crop_flat(Graph *g, Id *x) {
  return g_pad(g, x[0], (Sym[]){S(g, 0), S(g, -1)}, (Sym[]){S(g, 1), S(g, 1)}, (int64_t[]){0, 0});
}
static Id c_reverse(Graph *g, Id *x) { return g_reverse(g, x[0], (int[]){0, 1}, 2); }
static Id c_concat(Graph *g, Id *x) { return g_concat(g, (Id[]){x[0], x[1], x[0]}, 3, 1); }
static Id c_dynamic_slice(Graph *g, Id *x) {
  return g_dynamic_slice(g, x[0], (Id[]){g_const_int(g, DT_I64, 2)}, (int[]){1}, (Sym[]){S(g, 3)}, 1);
}
static Id c_dynamic_update(Graph *g, Id *x) {
  Id last = g_binary(g, OP_SUB, g_dim(g, B(g)), g_const_int(g, DT_I64, 1));
  return g_dynamic_update(g, x[0], (Id[]){last, g_const_int(g, DT_I64, 1)}, (int[]){0, 1}, 2, x[1]);
}
static Id c_gather(Graph *g, Id *x) { return g_gather(g, x[0], (Id[]){index_of(g, (int64_t[]){4, 0, 4, 2}, 4)}, 1, 1); }
static Id c_gather_two(Graph *g, Id *x) {
  Id i = index_of(g, (int64_t[]){3, 1, 3}, 3), j = g_convert(g, DT_I64, index_of(g, (int64_t[]){0, 2, 0}, 3));
  return g_gather(g, x[0], (Id[]){i, j}, 2, 1);
}
static Id c_scatter(Graph *g, Id *x) {
  return g_scatter_add(g, x[0], (Id[]){index_of(g, (int64_t[]){1, 1, 0}, 3)}, 1, 1, x[1]);
}
static Id c_sum(Graph *g, Id *x) { return g_reduce(g, OP_REDUCE_SUM, x[0], (int[]){0, 2}, 2); }
static Id c_max(Graph *g, Id *x) { return g_reduce(g, OP_REDUCE_MAX, x[0], (int[]){0, 2}, 2); }
static Id c_min(Graph *g, Id *x) { return g_reduce(g, OP_REDUCE_MIN, x[0], (int[]){1}, 1); }
static Id c_matmul(Graph *g, Id *x) { return g_dot(g, x[0], x[1], (int[]){1}, (int[]){0}, 1, NULL, NULL, 0); }
static Id c_outer(Graph *g, Id *x) { return g_dot(g, x[0], x[1], NULL, NULL, 0, NULL, NULL, 0); }
static Id c_dot(Graph *g, Id *x) { /* x[2, B, 3, 4] y[3, 5, 4, B]: batch 1 with 3, sum of 2 with 0 and 3 with 2 */
  return g_dot(g, x[0], x[1], (int[]){2, 3}, (int[]){0, 2}, 2, (int[]){1}, (int[]){3}, 1);
}
static Id c_dot_crossed(Graph *g, Id *x) {
  return g_dot(g, x[0], x[1], (int[]){0, 2}, (int[]){1, 0}, 2, NULL, NULL, 0);
}
static Id c_dot_scalar(Graph *g, Id *x) { return g_dot(g, x[0], x[1], (int[]){0, 1}, (int[]){0, 1}, 2, NULL, NULL, 0); }

/* ---- windows: numbers an axis: stride, lo, hi, base, step ---- */
static Windows windows(Graph *g, int n, const int (*at)[5]) {
  Windows w = window_plain(g, n);
  for (int i = 0; i < n; i++) {
    w.stride[i] = at[i][0], w.base[i] = at[i][3], w.step[i] = at[i][4];
    w.lo[i] = S(g, at[i][1]), w.hi[i] = S(g, at[i][2]);
  }
  return w;
}
#define CONV(name, groups, batches, reverse, ...)                                                                      \
  static Id c_conv_##name(Graph *g, Id *x) {                                                                           \
    static const int at[][5] = __VA_ARGS__;                                                                            \
    Windows w = windows(g, sizeof at / sizeof *at, at);                                                                \
    return g_conv(g, x[0], x[1], &w, groups, batches, reverse);                                                        \
  }
CONV(plain, 1, 1, false, {{1, 1, 1, 1, 1}})
CONV(strided, 1, 1, false, {{2, 1, 0, 1, 1}, {2, 1, 1, 1, 1}})
CONV(sized, 1, 1, false, {{2, 1, 1, 1, 1}})
CONV(groups, 2, 1, false, {{1, 0, 0, 1, 1}})
CONV(batches, 1, 2, false, {{1, 0, 0, 1, 1}})
CONV(spread, 1, 1, true, {{1, 2, 2, 2, 2}})
CONV(cropped, 1, 1, false, {{1, -1, -1, 1, 1}})
CONV(cube, 1, 1, false, {{1, 0, 0, 1, 1}, {1, 1, 0, 1, 1}, {2, 0, 1, 1, 1}})
CONV(all, 2, 1, true, {{2, 1, 3, 2, 2}, {3, 2, 0, 1, 1}})
CONV(all_batches, 1, 2, true, {{2, 1, 3, 2, 2}, {3, 2, 0, 1, 1}})
CONV(pixel, 1, 1, false, {{1, 0, 0, 1, 1}, {1, 0, 0, 1, 1}})

static Id pooled(Graph *g, Op op, Id x, Id other) { /* overlapping, padded, spread; axis 0 in steps of one */
  Windows w = windows(g, 2, (const int[][5]){{1, 1, 0, 1, 1}, {2, 1, 2, 1, 2}});
  w.size[0] = S(g, 2), w.size[1] = S(g, 3);
  return g_window(g, op, x, other, &w);
}
static Id c_window_sum(Graph *g, Id *x) { return pooled(g, OP_WINDOW_SUM, x[0], 0); }
static Id c_window_max(Graph *g, Id *x) { return pooled(g, OP_WINDOW_MAX, x[0], 0); }
static Id c_select_scatter(Graph *g, Id *x) { return pooled(g, OP_SELECT_SCATTER, x[0], x[1]); }
static Id c_select_gather(Graph *g, Id *x) { return pooled(g, OP_SELECT_GATHER, x[0], x[1]); }
static Id c_window_spread(Graph *g, Id *x) {
  Windows w = windows(g, 2, (const int[][5]){{1, -1, 2, 2, 1}, {1, 0, 0, 1, 1}});
  w.size[0] = S(g, 2);
  return g_window(g, OP_WINDOW_SUM, x[0], 0, &w);
}
static Id c_pool(Graph *g, Id *x) { /* as a CNN has it: its windows do not overlap */
  Windows w = windows(g, 3, (const int[][5]){{1, 0, 0, 1, 1}, {2, 0, 0, 1, 1}, {2, 0, 0, 1, 1}});
  w.size[1] = w.size[2] = S(g, 2);
  return g_window(g, OP_WINDOW_MAX, x[0], 0, &w);
}

static Graph *pair_body(Graph *g) { /* (a, b) -> (a * sin(b), sum over axis 1 of a) */
  Graph *b = graph_new(g->ctx, g);
  Id x = in(b, "B3"), y = in(b, "B3");
  Id r[] = {g_binary(b, OP_MUL, x, g_unary(b, OP_SIN, y)), g_reduce(b, OP_REDUCE_SUM, x, (int[]){1}, 1)};
  for (int i = 0; i < 2; i++) vec_push(g->ctx->arena, &b->output, r[i]);
  return b;
}
static Id c_composite(Graph *g, Id *x) { /* equal operands, both results */
  Id v = g_body(g, OP_COMPOSITE, "pair", pair_body(g), (Id[]){x[0], x[0]}, 2);
  Sym s[2];
  shape_of(g, "B3", s);
  return g_binary(g, OP_MUL, g_get(g, v, 0), g_broadcast(g, g_get(g, v, 1), s, 2, (int[]){0}));
}
static Id c_composite_half(Graph *g, Id *x) { return g_get(g, g_body(g, OP_COMPOSITE, "pair", pair_body(g), x, 2), 1); }
static Id c_call(Graph *g, Id *x) { /* a body in a body, one result */
  Graph *b = graph_new(g->ctx, g);
  Id p = in(b, "B3"), q = in(b, "B3"), r = g_get(b, g_body(b, OP_COMPOSITE, "pair", pair_body(b), (Id[]){q, p}, 2), 0);
  r = g_unary(b, OP_TANH, r);
  vec_push(g->ctx->arena, &b->output, r);
  return g_body(g, OP_CALL, NULL, b, (Id[]){x[0], x[1]}, 2);
}
static Id c_softmax(Graph *g, Id *x) { /* several ops, a shared value */
  Sym s[2];
  shape_of(g, "B5", s);
  Id m = g_unary(g, OP_STOP_GRADIENT, g_reduce(g, OP_REDUCE_MAX, x[0], (int[]){1}, 1));
  Id e = g_unary(g, OP_EXP, g_binary(g, OP_SUB, x[0], g_broadcast(g, m, s, 2, (int[]){0})));
  return g_binary(g, OP_DIV, e, g_broadcast(g, g_reduce(g, OP_REDUCE_SUM, e, (int[]){1}, 1), s, 2, (int[]){0}));
}

static const Case CASES[] = {
    {"neg", {"B3"}, -1, 1, c_neg},
    {"abs", {"B3"}, -1, 1, c_abs},
    {"exp", {"B3"}, -1, 1, c_exp},
    {"expm1", {"B3"}, -1, 1, c_expm1},
    {"log", {"B3"}, 0.4, 2, c_log},
    {"log1p", {"B3"}, -0.5, 1, c_log1p},
    {"sqrt", {"B3"}, 0.4, 2, c_sqrt},
    {"rsqrt", {"B3"}, 0.4, 2, c_rsqrt},
    {"sin", {"B3"}, -2, 2, c_sin},
    {"cos", {"B3"}, -2, 2, c_cos},
    {"tanh", {"B3"}, -2, 2, c_tanh},
    {"sigmoid", {"B3"}, -2, 2, c_sigmoid},
    {"erf", {"B3"}, -1, 1, c_erf},
    {"leaf", {"B3"}, -1, 1, c_leaf},
    {"stop_gradient", {"B3"}, -1, 1, c_stop},
    {"add", {"B3", "B3"}, -1, 1, c_add},
    {"add scalar", {"", "B3"}, -1, 1, c_add},
    {"sub", {"B3", "B3"}, -1, 1, c_sub},
    {"sub scalar", {"B3", ""}, -1, 1, c_sub},
    {"mul", {"B3", "B3"}, -1, 1, c_mul},
    {"mul scalar", {"", "B3"}, -1, 1, c_mul},
    {"mul scalars", {"", ""}, -1, 1, c_mul},
    {"div", {"B3", "B3"}, 0.5, 2, c_div},
    {"div scalar", {"", "B3"}, 0.5, 2, c_div},
    {"rem", {"B3", "B3"}, 0.5, 2, c_rem},
    {"pow", {"B3", "B3"}, 0.5, 2, c_pow},
    {"pow scalar", {"B3", ""}, 0.5, 2, c_pow},
    {"maximum", {"B3", "B3"}, -1, 1, c_maximum},
    {"minimum", {"B3", ""}, -1, 1, c_minimum},
    {"square", {"B3"}, -1, 1, c_same},
    {"pow constant", {"B3"}, 0.5, 2, c_pow_k},
    {"convert", {"B3"}, -1, 1, c_convert},
    {"select", {"B3", "", "B3"}, -1, 1, c_select},
    {"broadcast", {"B3", ""}, -1, 1, c_broadcast},
    {"reshape", {"B34"}, -1, 1, c_reshape},
    {"transpose", {"B34"}, -1, 1, c_transpose},
    {"slice", {"B8"}, -1, 1, c_slice},
    {"pad", {"B3"}, -1, 1, c_pad},
    {"pad crops", {"B3"}, -1, 1, c_crop},
    {"pad crops and pads", {"B3"}, -1, 1, c_crop_flat},
    {"reverse", {"B3"}, -1, 1, c_reverse},
    {"concat", {"B3", "B1"}, -1, 1, c_concat},
    {"dynamic_slice", {"B5"}, -1, 1, c_dynamic_slice},
    {"dynamic_update", {"B5", "12"}, -1, 1, c_dynamic_update},
    {"gather", {"B5"}, -1, 1, c_gather},
    {"gather of two", {"B43"}, -1, 1, c_gather_two},
    {"scatter_add", {"B4", "B3"}, -1, 1, c_scatter},
    {"reduce_sum", {"B34"}, -1, 1, c_sum},
    {"reduce_max", {"B34"}, -1, 1, c_max},
    {"reduce_min", {"B34"}, -1, 1, c_min},
    {"matmul", {"B4", "43"}, -1, 1, c_matmul},
    {"outer product", {"B", "3"}, -1, 1, c_outer},
    {"dot_general", {"2B34", "354B"}, -1, 1, c_dot},
    {"crossed axes", {"B43", "3B2"}, -1, 1, c_dot_crossed},
    {"inner product", {"B3", "B3"}, -1, 1, c_dot_scalar},
    {"composite", {"B3"}, -1, 1, c_composite},
    {"one result of two", {"B3", "B3"}, -1, 1, c_composite_half},
    {"call", {"B3", "B3"}, -1, 1, c_call},
    {"softmax", {"B5"}, -1, 1, c_softmax},
    {"conv", {"B25", "323"}, -1, 1, c_conv_plain},
    {"conv strided", {"B244", "3223"}, -1, 1, c_conv_strided},
    {"conv sized", {"22B", "323"}, -1, 1, c_conv_sized},
    {"conv groups", {"B45", "622"}, -1, 1, c_conv_groups},
    {"conv batch groups", {"4B5", "4B2"}, -1, 1, c_conv_batches},
    {"conv spread", {"B24", "223"}, -1, 1, c_conv_spread},
    {"conv cropped", {"B26", "222"}, -1, 1, c_conv_cropped},
    {"conv results", {"226", "B22"}, -1, 1, c_conv_cropped},
    {"conv of three axes", {"B1333", "21222"}, -1, 1, c_conv_cube},
    {"conv all", {"B445", "4223"}, -1, 1, c_conv_all},
    {"conv all batch groups", {"4245", "4223"}, -1, 1, c_conv_all_batches},
    {"conv of one element", {"B233", "4211"}, -1, 1, c_conv_pixel},
    {"conv of all places", {"B233", "4233"}, -1, 1, c_conv_pixel},
    {"reduce_window_sum", {"B6"}, -1, 1, c_window_sum},
    {"reduce_window_sum spread", {"B4"}, -1, 1, c_window_spread},
    {"reduce_window_max", {"B6"}, -1, 1, c_window_max},
    {"max pool", {"B46"}, -1, 1, c_pool},
    {"select_and_scatter", {"B6", "B3"}, -1, 1, c_select_scatter},
    {"select_and_gather", {"B6", "B6"}, -1, 1, c_select_gather},
};
enum { NCASES = sizeof CASES / sizeof *CASES };

/* ---- values ---- */
static bool dims(void *ctx, const char *name, int64_t *value) {
  *value = *(int64_t *)ctx;
  return !strcmp(name, "B");
}

typedef struct Setup {
  Ctx ctx;
  Graph *g;
  Id x[MAX_IN], loss; /* loss: the sum of y times weights, an input */
  int nx;
  int64_t b;
  Arena *arena;
  Tensor value[16], to[16]; /* of the inputs: the point and a direction */
} Setup;

static Tensor draw(Setup *s, Id v, uint32_t place, double lo, double hi) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < graph_rank(s->g, v); i++)
    assert_true(sym_eval(s->ctx.syms, graph_shape(s->g, v)[i], dims, &s->b, &dim[i]));
  Tensor t = tensor_new(s->arena, DT_F64, dim, graph_rank(s->g, v));
  Draw d = {42, place, 0, 0};
  for (int64_t k = 0; k < tensor_count(&t); k++)
    tensor_set(&t, k, (Scalar){.f = lo + (hi - lo) * philox_uniform(&d, DT_F64, (uint64_t)k)});
  return t;
}

static Id weighted(Graph *g, Id y) { /* the sum of y times a new input of its shape */
  Sym shape[MAX_RANK];
  int rank = graph_rank(g, y), axes[MAX_RANK];
  for (int i = 0; i < rank; i++) shape[i] = graph_shape(g, y)[i], axes[i] = i;
  Id w = g_input(g, DT_F64, shape, rank);
  return g_reduce(g, OP_REDUCE_SUM, g_binary(g, OP_MUL, y, w), axes, rank);
}

static double eval_one(Setup *s, Id v, double shift) { /* at the point moved along the direction */
  Tensor at[16];
  int n = (int)s->g->input.n;
  for (int i = 0; i < n; i++) {
    at[i] = s->value[i];
    if (i >= s->nx) continue;
    at[i] = tensor_new(s->arena, DT_F64, s->value[i].dim, s->value[i].rank);
    for (int64_t k = 0; k < tensor_count(&at[i]); k++)
      tensor_set(&at[i], k, (Scalar){.f = tensor_at(&s->value[i], k).f + shift * tensor_at(&s->to[i], k).f});
  }
  Eval e = {.dims = dims, .dims_ctx = &s->b, .inputs = at, .ninputs = n, .wide = true, .arena = s->arena};
  Tensor r;
  if (!graph_eval(s->g, &e, &v, 1, &r)) fail_msg("%s", diag_first(s->ctx.diag, NULL));
  assert_int_equal(e.fail.node, 0);
  return tensor_at(&r, 0).f;
}

/* The sum of the gradients times the direction, as a node: d loss along the direction, the direction being inputs. */
static Id along(Setup *s, Id loss, const Id *direction) {
  Id grad[MAX_IN], sum = g_const(s->g, DT_F64, 0);
  if (!graph_grad(s->g, &loss, NULL, 1, s->x, s->nx, grad)) fail_msg("%s", diag_first(s->ctx.diag, NULL));
  for (int i = 0; i < s->nx; i++) {
    if (!grad[i]) continue;
    assert_int_equal(graph_rank(s->g, grad[i]), graph_rank(s->g, s->x[i]));
    int axes[MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    Id part = g_binary(s->g, OP_MUL, grad[i], direction[i]);
    sum = g_binary(s->g, OP_ADD, sum, g_reduce(s->g, OP_REDUCE_SUM, part, axes, graph_rank(s->g, part)));
  }
  return sum;
}

static void close_to(const Case *c, const char *what, int64_t b, double d1, double d2) {
  if (!(fabs(d1 - d2) <= 1e-6 * fmax(1, fabs(d2))))
    fail_msg("%s, B = %d, %s: gradient %.12g, difference %.12g", c->name, (int)b, what, d1, d2);
}

static bool covered[OP_COUNT];

static void cover(const Graph *g, Id y) {
  Id *order = mem_alloc(sizeof(Id) * g->node.n);
  int n = graph_reach(g, &y, 1, order);
  for (int i = 0; i < n; i++) covered[graph_op(g, order[i])] = true;
  free(order);
}

static void check(const Case *c) {
  Setup s = {.ctx = ctx_new()};
  s.g = graph_new(&s.ctx, NULL);
  SymFacts *facts = sym_facts_new(s.ctx.arena, s.ctx.syms);
  sym_fact_range(facts, str_intern(s.ctx.names, "B"), 1, BOUND);
  s.g->facts = facts;
  Id direction[2][MAX_IN];
  for (; s.nx < MAX_IN && c->shape[s.nx]; s.nx++) s.x[s.nx] = in(s.g, c->shape[s.nx]);
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < s.nx; i++) direction[k][i] = in(s.g, c->shape[i]);
  Id y = c->make(s.g, s.x);
  if (!y) fail_msg("%s: %s", c->name, diag_first(s.ctx.diag, NULL));
  cover(s.g, y);
  s.loss = weighted(s.g, y);
  Id first = along(&s, s.loss, direction[0]), second = along(&s, first, direction[1]);
  if (!graph_verify(s.g)) fail_msg("%s: %s", c->name, diag_first(s.ctx.diag, NULL));
  const int64_t sizes[] = {1, 5, BOUND};
  for (int k = 0; k < 3; k++) {
    s.b = sizes[k];
    s.arena = arena_new();
    for (uint32_t i = 0; i < s.g->input.n; i++)
      s.value[i] = draw(&s, s.g->input.at[i], 100 + i, (int)i < s.nx ? c->lo : -1, (int)i < s.nx ? c->hi : 1);
    double h = 1e-5;
    for (int i = 0; i < s.nx; i++) s.to[i] = s.value[s.nx + i];
    close_to(c, "first", s.b, eval_one(&s, first, 0), (eval_one(&s, s.loss, h) - eval_one(&s, s.loss, -h)) / (2 * h));
    for (int i = 0; i < s.nx; i++) s.to[i] = s.value[2 * s.nx + i];
    close_to(c, "second", s.b, eval_one(&s, second, 0), (eval_one(&s, first, h) - eval_one(&s, first, -h)) / (2 * h));
    arena_free(s.arena);
  }
  ctx_free(&s.ctx);
}

static void all_cases(void **state) {
  (void)state;
  for (int i = 0; i < NCASES; i++) check(&CASES[i]);
}

/* ---- the table is covered ---- */
/* Ops without a gradient, each with its reason; a new row must come here or have a case above. */
static const Op NO_GRADIENT[] = {
    OP_INPUT,      OP_CELL,       OP_CONSTANT, OP_DATA,       OP_IOTA,    OP_DIM,
    OP_RANDOM,                                                          /* leaves */
    OP_SIGN,       OP_FLOOR,      OP_CEIL,     OP_ROUND,      OP_TRUNC, /* flat */
    OP_NOT,        OP_IS_NAN,     OP_IS_INF,   OP_IS_FINITE,  OP_AND,     OP_OR,
    OP_XOR,        OP_SHL,        OP_SHR, /* integers, bools */
    OP_EQUAL,      OP_NOT_EQUAL,  OP_LESS,     OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL,
    OP_REDUCE_ANY, OP_REDUCE_ALL, /* bools out */
    OP_ARGMAX,     OP_ARGMIN,     /* integers out */
    OP_GET,                       /* autodiff's own */
};

static void table_is_covered(void **state) {
  (void)state;
  static const char *const vjp[OP_COUNT] = {
#define OP(NAME, text, arity, cls, flags, dtypes, attrs, shape, vjp, ...) [OP_##NAME] = #vjp,
#include "ops.def"
#undef OP
  };
  for (Op o = OP_NONE + 1; o < OP_COUNT; o++) {
    if (OP_INFO[o].cls == CLASS_LOOP) continue;
    bool none = !strcmp(vjp[o], "none"), listed = false;
    for (size_t i = 0; i < sizeof NO_GRADIENT / sizeof *NO_GRADIENT; i++) listed |= NO_GRADIENT[i] == o;
    if (none != listed)
      fail_msg("`%s` has the gradient rule `%s`, but NO_GRADIENT says otherwise", OP_INFO[o].text, vjp[o]);
    if (!none && !covered[o]) fail_msg("`%s` has a gradient rule and no case", OP_INFO[o].text);
  }
}

/* ---- kinks and zeros ---- */
static double slope(Ctx *ctx, Graph *g, Id y, Id x, double at) {
  Id d;
  Arena *a = arena_new();
  Tensor t = tensor_new(a, DT_F64, NULL, 0), r;
  tensor_set(&t, 0, (Scalar){.f = at});
  if (!graph_grad(g, &y, NULL, 1, &x, 1, &d)) fail_msg("%s", diag_first(ctx->diag, NULL));
  if (!d) {
    arena_free(a);
    return 0;
  }
  Eval e = {.inputs = &t, .ninputs = 1, .arena = a};
  assert_true(graph_eval(g, &e, &d, 1, &r));
  double v = tensor_at(&r, 0).f;
  arena_free(a);
  return v;
}

static void kinks(void **state) {
  (void)state;
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL);
  Id x = g_input(g, DT_F64, NULL, 0), zero = num(g, 0);
  assert_true(slope(&ctx, g, g_unary(g, OP_ABS, x), x, 0) == 0);
  assert_true(slope(&ctx, g, g_unary(g, OP_SQRT, x), x, 0) == INFINITY);
  assert_true(slope(&ctx, g, g_binary(g, OP_MAXIMUM, x, zero), x, 0) == 0.5);
  assert_true(slope(&ctx, g, g_binary(g, OP_MINIMUM, x, zero), x, 0) == 0.5);
  assert_true(slope(&ctx, g, g_binary(g, OP_MAXIMUM, x, x), x, 3) == 1);
  assert_true(slope(&ctx, g, g_select(g, g_binary(g, OP_GREATER, x, zero), x, zero), x, 0) == 0); /* relu */
  assert_true(slope(&ctx, g, g_binary(g, OP_POW, x, num(g, 2)), x, 0) == 0);
  assert_true(slope(&ctx, g, g_binary(g, OP_POW, x, num(g, 0)), x, 0) == 0);
  assert_true(slope(&ctx, g, g_binary(g, OP_POW, x, num(g, 1)), x, 0) == 1);
  assert_true(slope(&ctx, g, g_binary(g, OP_POW, zero, x), x, 0) == 0);
  assert_true(slope(&ctx, g, g_binary(g, OP_POW, zero, x), x, -1) == 0);
  Id wide = g_spread(g, x, (Sym[]){S(g, 2), S(g, 3)}, 2), other = num(g, 5);
  Id three = g_concat(g, (Id[]){wide, g_spread(g, other, (Sym[]){S(g, 1), S(g, 3)}, 2)}, 2, 0);
  Id most = g_reduce(g, OP_REDUCE_MAX, three, (int[]){0, 1}, 2);
  assert_true(fabs(slope(&ctx, g, most, x, 5) - 6.0 / 9) < 1e-15);
  assert_true(slope(&ctx, g, most, x, 4) == 0);
  ctx_free(&ctx);
}

/* The first of equals takes the whole slope, as PyTorch's pooling has it; a window of nothing gives -inf and takes
 * none. */
static void first_of_equals(void **state) {
  (void)state;
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL);
  Sym five = S(g, 5), two = S(g, 2);
  Id x = g_input(g, DT_F64, &five, 1), out;
  Windows w = windows(g, 1, (const int[][5]){{2, 3, 1, 1, 1}});
  w.size[0] = two;
  Id y = g_window(g, OP_WINDOW_MAX, x, 0, &w), cts = g_iota(g, DT_F64, graph_shape(g, y), 1, 0);
  assert_true(graph_grad(g, &y, &cts, 1, &x, 1, &out));
  Arena *a = arena_new();
  Tensor t = tensor_new(a, DT_F64, (int64_t[]){5}, 1), r[2];
  const double at[] = {7, 3, 3, NAN, NAN}, max[] = {-INFINITY, 7, 3, NAN}, slope[] = {1, 2, 0, 3, 0};
  for (int k = 0; k < 5; k++) tensor_set(&t, k, (Scalar){.f = at[k]});
  Eval e = {.inputs = &t, .ninputs = 1, .arena = a};
  assert_true(graph_eval(g, &e, (Id[]){y, out}, 2, r));
  assert_int_equal(r[0].dim[0], 4);
  for (int k = 0; k < 4; k++)
    assert_true(tensor_at(&r[0], k).f == max[k] || (isnan(max[k]) && isnan(tensor_at(&r[0], k).f)));
  for (int k = 0; k < 5; k++) assert_true(tensor_at(&r[1], k).f == slope[k]);
  arena_free(a);
  ctx_free(&ctx);
}

static void nothing_flows(void **state) {
  (void)state;
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL);
  Id x = g_input(g, DT_F64, NULL, 0), z = g_input(g, DT_F64, NULL, 0), out[2];
  const Op flat[] = {OP_SIGN, OP_FLOOR, OP_CEIL, OP_ROUND, OP_TRUNC, OP_STOP_GRADIENT};
  for (size_t i = 0; i < sizeof flat / sizeof *flat; i++) {
    Id y = g_unary(g, flat[i], x);
    assert_true(graph_grad(g, &y, NULL, 1, (Id[]){x, z}, 2, out));
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 0);
    assert_true(graph_depends(g, y, x));
    assert_false(graph_depends(g, y, z));
  }
  Id through = g_convert(g, DT_F64, g_convert(g, DT_I64, x)); /* integers carry no gradient */
  assert_true(graph_grad(g, &through, NULL, 1, &x, 1, out));
  assert_int_equal(out[0], 0);
  assert_true(graph_grad(g, &x, NULL, 1, (Id[]){x, z}, 2, out)); /* of itself: one */
  double one;
  assert_true(graph_constant(g, out[0], &one) && one == 1);
  assert_int_equal(out[1], 0);
  assert_false(graph_depends(g, x, z));
  ctx_free(&ctx);
}

/* wrt nodes are independent: what lies behind one is not visited; given cotangents weigh the ys. */
static void stops_and_weights(void **state) {
  (void)state;
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL);
  Id x = g_input(g, DT_F64, NULL, 0), a = g_binary(g, OP_MUL, x, x), y = g_binary(g, OP_ADD, g_unary(g, OP_SIN, a), x),
     out[2];
  Id ys[] = {y, a}, cts[] = {num(g, 10), num(g, 100)};
  assert_true(graph_grad(g, ys, cts, 2, (Id[]){x, a}, 2, out));
  Tensor t[1], r[2];
  Arena *arena = arena_new();
  t[0] = tensor_new(arena, DT_F64, NULL, 0);
  tensor_set(&t[0], 0, (Scalar){.f = 0.5});
  Eval e = {.inputs = t, .ninputs = 1, .arena = arena};
  assert_true(graph_eval(g, &e, out, 2, r));
  assert_true(tensor_at(&r[0], 0).f == 10);
  assert_true(fabs(tensor_at(&r[1], 0).f - (10 * cos(0.25) + 100)) < 1e-12);
  arena_free(arena);
  ctx_free(&ctx);
}

static void places(void **state) { /* a backward node has the place of its forward node; the graph's own comes back */
  (void)state;
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL);
  Id x = g_input(g, DT_F64, NULL, 0), out;
  g->loc = diag_foreign(ctx.diag, "f.sir", 3, 5);
  Loc at = g->loc;
  Id y = g_unary(g, OP_SIN, x);
  g->loc = diag_foreign(ctx.diag, "f.sir", 9, 1);
  Loc own = g->loc;
  assert_true(graph_grad(g, &y, NULL, 1, &x, 1, &out));
  assert_int_equal(graph_at(g, out)->loc, at);
  assert_int_equal(g->loc, own);
  ctx_free(&ctx);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(all_cases),     cmocka_unit_test(table_is_covered),
                                     cmocka_unit_test(kinks),         cmocka_unit_test(first_of_equals),
                                     cmocka_unit_test(nothing_flows), cmocka_unit_test(stops_and_weights),
                                     cmocka_unit_test(places)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
