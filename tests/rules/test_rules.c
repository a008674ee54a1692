/* A test a rule of simplify.rules: both sides evaluated on zeros of both signs, infinities, NaN, denormals, extreme
 * integers and random numbers, with dimensions at 1, an odd number and the bound: bit for bit for EXACT and INT, within
 * a bound for REASSOC, on ordinary numbers for FAST. Then what must not fire, and whole graphs: the fixpoint computes
 * the same and prints as expected. Run from the root. */
#include "eval.h"
#include "pass.h"
#include "simplify.h"
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

static uint64_t seed = 1;
static uint64_t draw(void) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed >> 20;
}

static const double SPECIAL[] = {0.0,      -0.0,      1.0,      -1.0,   2.0,     0.5,   -3.25, INFINITY, -INFINITY, NAN,
                                 0x1p-149, -0x1p-149, 0x1p-126, 3.0e38, -3.0e38, 1e-40, 7.0,   1.5,      0.1};
static const int64_t WHOLE[] = {0, 1, -1, 2, 3, -7, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX, 31, 32, 63, 64};
enum { NS = sizeof SPECIAL / sizeof *SPECIAL, NW = sizeof WHOLE / sizeof *WHOLE, COUNT = 1024 };

static Scalar element(DType d, int k, int stride, bool tame) {
  Scalar s;
  int i = k / stride;
  if (d == DT_BOOL)
    s.i = i % 2;
  else if (!dtype_is_float(d))
    s.i = scalar_wrap(d, tame || i >= NW * NW ? (int64_t)(draw() % 200) - 100 : WHOLE[i % NW]);
  else
    s.f = scalar_round(d, tame || i >= NS * NS ? (double)(int64_t)(draw() % 2000001 - 1000000) / 65536.0
                                               : SPECIAL[i % NS]);
  return s;
}

static bool lookup(void *ctx, const char *name, int64_t *v) {
  (void)name;
  *v = *(int64_t *)ctx;
  return true;
}

/* Evaluates both nodes on random inputs and compares. */
static void compare(Graph *g, Id before, Id after, int mode, int64_t dim, const char *what) {
  Arena *a = arena_new();
  Eval e = {.dims = lookup, .dims_ctx = &dim, .arena = a, .ninputs = (int)g->input.n};
  Tensor *in = ARENA_ARRAY(a, Tensor, g->input.n + 1), out[2];
  bool tame = mode == SIMPLIFY_REASSOC || mode == SIMPLIFY_FAST;
  for (uint32_t i = 0; i < g->input.n; i++) {
    Id v = g->input.at[i];
    int64_t shape[MAX_RANK];
    for (int k = 0; k < graph_rank(g, v); k++)
      assert_true(sym_eval(g->ctx->syms, graph_shape(g, v)[k], lookup, &dim, &shape[k]));
    in[i] = tensor_new(a, graph_dtype(g, v), shape, graph_rank(g, v));
    for (int64_t k = 0; k < tensor_count(&in[i]); k++)
      tensor_set(&in[i], k, element(in[i].dtype, (int)k, i == 1 ? NS : i == 2 ? 5 : 1, tame));
  }
  e.inputs = in;
  if (!graph_eval(g, &e, (Id[]){before, after}, 2, out)) fail_msg("%s: %s", what, diag_first(g->ctx->diag, NULL));
  assert_int_equal(tensor_count(&out[0]), tensor_count(&out[1]));
  static const double bounds[DT_COUNT] = {
      [DT_F32] = 2e-6, [DT_F64] = 1e-14, [DT_F16] = 0x1p-8, [DT_BF16] = 0x1p-5}; /* 16 bits: some units each */
  double bound = tame ? bounds[out[0].dtype] : 0;
  double largest = tensor_largest(&out[0]);
  for (int64_t k = 0; k < tensor_count(&out[0]); k++) {
    Scalar p = tensor_at(&out[0], k), q = tensor_at(&out[1], k);
    bool same = scalar_same(out[0].dtype, p, q);
    if (!same && bound > 0) same = fabs(p.f - q.f) <= bound * fmax(1, largest);
    if (!same) {
      fail_msg("%s on %s: element %lld is %.17g (%lld) and %.17g (%lld)", what, dtype_name(out[0].dtype), (long long)k,
               p.f, (long long)p.i, q.f, (long long)q.i);
    }
  }
  arena_free(a);
}

static const DType TYPES[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_I32, DT_I64, DT_BOOL};
enum { NTYPES = sizeof TYPES / sizeof *TYPES };

/* A rule with a pattern: its left side of every type, whichever of the letters are of rank 0. How often it fired; -1:
 * it has no pattern. */
static int try_pattern(int rule) {
  int fired = -1;
  for (int t = 0; t < NTYPES; t++)
    for (int ranks = 0; ranks < 8; ranks++) {
      Ctx c = ctx_new();
      Graph *g = graph_new(&c, NULL);
      SymFacts *facts = sym_facts_new(c.arena, c.syms);
      sym_fact_range(facts, "B", 1, COUNT);
      g->facts = facts;
      Sym n = sym_var(c.syms, "B");
      Id letter[26] = {0};
      const char *names = "xyzc";
      for (int i = 0; i < 4; i++)
        letter[names[i] - 'a'] = g_input(g, i == 3 ? DT_BOOL : TYPES[t], &n, i < 3 ? !(ranks & 1 << i) : !(ranks & 1));
      Id before = simplify_rule_example(rule, g, TYPES[t], letter);
      assert_int_equal(diag_errors(c.diag), 0);
      if (before) {
        Id after = simplify_rule_try(rule, g, before, true);
        fired = (fired < 0 ? 0 : fired) + (after != 0);
        static const int64_t dims[] = {1, 37, COUNT}; /* one, odd, the bound: all pairs of special numbers */
        for (int k = 0; after && k < 3; k++)
          compare(g, before, after, simplify_rule_mode(rule), dims[k], simplify_rule_name(rule));
        g->output.n = 0;
        assert_true(graph_verify(g));
      }
      ctx_free(&c);
    }
  return fired;
}

/* ---- steps ---------------------------------------------------------------------------------------------------------
 */

typedef struct Case {
  Graph *g;
  Sym b, one; /* a dimension, 1 */
  DType d;
} Case;

static Sym num(Case *c, int64_t k) { return sym_int(c->g->ctx->syms, k); }
static Id in(Case *c, int rank, Sym p, Sym q, Sym r) { return g_input(c->g, c->d, (Sym[]){p, q, r}, rank); }
#define AXES(...) ((int[]){__VA_ARGS__})
#define SYMS(...) ((Sym[]){__VA_ARGS__})
#define STEPS     ((int64_t[]){1, 1, 1})
#define NONE      ((int64_t[]){0, 0, 0})

static Id c_fold(Case *c) {
  return c->d == DT_BOOL ? g_unary(c->g, OP_NOT, g_const(c->g, DT_BOOL, 1))
                         : g_binary(c->g, OP_ADD, g_const(c->g, c->d, 2), g_const(c->g, c->d, 5));
}
static Id c_fold_convert(Case *c) { return g_convert(c->g, DT_I32, g_const(c->g, DT_F64, 1e20)); }
static Id c_fold_compare(Case *c) {
  return g_binary(c->g, OP_LESS, g_const(c->g, DT_F32, 1), g_const(c->g, DT_F32, 2));
}
static Id c_fold_select(Case *c) {
  return g_select(c->g, g_const(c->g, DT_BOOL, 0), g_const(c->g, c->d, 1), g_const(c->g, c->d, 0));
}
static Id c_div(Case *c) {
  return dtype_is_float(c->d) ? g_binary(c->g, OP_DIV, in(c, 1, num(c, COUNT), 0, 0), g_const(c->g, c->d, -8)) : 0;
}
static Id c_div_full(Case *c) {
  return dtype_is_float(c->d) ? g_binary(c->g, OP_DIV, in(c, 1, num(c, COUNT), 0, 0),
                                         g_full(c->g, c->d, c->d == DT_F16 ? 0x1p-12 : 0x1p-20, SYMS(num(c, COUNT)), 1))
                              : 0;
}
static Id c_convert(Case *c) {
  DType by = c->d == DT_BOOL                    ? DT_I32
             : dtype_is_half(c->d)              ? DT_F32
             : c->d == DT_F32 || c->d == DT_I32 ? DT_F64
                                                : DT_NONE;
  return by ? g_convert(c->g, c->d == DT_BOOL ? DT_F32 : DT_I64, g_convert(c->g, by, in(c, 1, num(c, COUNT), 0, 0)))
            : 0;
}
static Id c_convert_back(Case *c) {
  return c->d == DT_I32 ? g_convert(c->g, DT_I32, g_convert(c->g, DT_I64, in(c, 1, num(c, COUNT), 0, 0))) : 0;
}
static Id c_scalar(Case *c) {
  Id x = in(c, 2, c->b, num(c, 20), 0), s = in(c, 0, 0, 0, 0);
  Id f = g_broadcast(c->g, s, graph_shape(c->g, x), 2, NULL);
  return c->d == DT_BOOL ? g_select(c->g, f, x, f) : g_binary(c->g, OP_SUB, f, x);
}
static Id c_later(Case *c) {
  return c->d == DT_BOOL
             ? 0
             : g_unary(c->g, OP_ABS, g_broadcast(c->g, in(c, 1, num(c, 20), 0, 0), SYMS(c->b, num(c, 20)), 2, AXES(1)));
}
static Id c_later_two(Case *c) {
  Id x = in(c, 1, num(c, 20), 0, 0), y = in(c, 1, num(c, 20), 0, 0);
  return g_binary(c->g, OP_EQUAL, g_broadcast(c->g, x, SYMS(c->b, num(c, 20)), 2, AXES(1)),
                  g_broadcast(c->g, y, SYMS(c->b, num(c, 20)), 2, AXES(1)));
}
static Id c_later_convert(Case *c) {
  return g_convert(c->g, c->d == DT_I64 ? DT_F32 : DT_I64, g_broadcast(c->g, in(c, 0, 0, 0, 0), SYMS(c->b), 1, NULL));
}
static Id c_reshape(Case *c) {
  return c->d == DT_BOOL ? 0 : g_unary(c->g, OP_ABS, g_reshape(c->g, in(c, 1, c->b, 0, 0), SYMS(c->b, c->one), 2));
}
static Id c_reshape_two(Case *c) {
  Id x = g_reshape(c->g, in(c, 2, c->b, num(c, 6), 0), SYMS(num(c, 2), c->b, num(c, 3)), 3);
  Id y = g_reshape(c->g, in(c, 2, c->b, num(c, 6), 0), SYMS(num(c, 2), c->b, num(c, 3)), 3);
  return g_binary(c->g, c->d == DT_BOOL ? OP_OR : OP_ADD, x, y);
}
static Id c_sneg(Case *c) {
  return c->d == DT_BOOL
             ? 0
             : g_reduce(c->g, OP_REDUCE_SUM, g_unary(c->g, OP_NEG, in(c, 2, c->b, num(c, 6), 0)), AXES(1), 1);
}
static Id c_ones(Case *c) { return g_broadcast(c->g, in(c, 1, c->b, 0, 0), SYMS(c->one, c->b, c->one), 3, AXES(1)); }
static Id c_bb(Case *c) {
  return g_broadcast(c->g, g_broadcast(c->g, in(c, 1, c->b, 0, 0), SYMS(num(c, 2), c->b), 2, AXES(1)),
                     SYMS(num(c, 2), num(c, 3), c->b), 3, AXES(0, 2));
}
static Id c_tones(Case *c) { return g_transpose(c->g, in(c, 3, c->b, c->one, num(c, 3)), AXES(1, 0, 2)); }
static Id c_tt(Case *c) {
  return g_transpose(c->g, g_transpose(c->g, in(c, 3, c->b, num(c, 2), num(c, 3)), AXES(1, 2, 0)), AXES(0, 2, 1));
}
static Id c_tb(Case *c) {
  return g_transpose(c->g,
                     g_broadcast(c->g, in(c, 2, c->b, num(c, 3), 0), SYMS(c->b, num(c, 2), num(c, 3)), 3, AXES(0, 2)),
                     AXES(1, 0, 2));
}
static Id c_rr(Case *c) {
  return g_reshape(c->g,
                   g_reshape(c->g, in(c, 2, c->b, num(c, 6), 0), SYMS(sym_mul(c->g->ctx->syms, c->b, num(c, 6))), 1),
                   SYMS(num(c, 2), c->b, num(c, 3)), 3);
}
static Id c_rev(Case *c) {
  return g_reverse(c->g, g_reverse(c->g, in(c, 3, c->b, num(c, 2), num(c, 3)), AXES(0, 1), 2), AXES(1, 2), 2);
}
static Id c_full(Case *c) {
  return g_slice(c->g, g_broadcast(c->g, in(c, 0, 0, 0, 0), SYMS(num(c, 9)), 1, NULL), SYMS(c->one), SYMS(num(c, 6)),
                 (int64_t[]){2});
}
static Id c_full_reshape(Case *c) {
  return g_reshape(c->g, g_broadcast(c->g, in(c, 0, 0, 0, 0), SYMS(c->b, num(c, 2)), 2, NULL), SYMS(num(c, 2), c->b),
                   2);
}
static Id c_whole(Case *c) {
  return g_slice(c->g, in(c, 2, c->b, num(c, 3), 0), SYMS(num(c, 0), num(c, 0)), SYMS(c->b, num(c, 3)), STEPS);
}
static Id c_ss(Case *c) {
  Sym end = sym_add(c->g->ctx->syms, c->b, num(c, 4));
  Id x = in(c, 1, end, 0, 0);
  return g_slice(c->g, g_slice(c->g, x, SYMS(c->one), SYMS(end), STEPS), SYMS(num(c, 2)), SYMS(num(c, 3)), STEPS);
}
static Id c_sp(Case *c) {
  Sym end = sym_add(c->g->ctx->syms, c->b, num(c, 2));
  return g_slice(c->g, g_pad(c->g, in(c, 1, c->b, 0, 0), SYMS(num(c, 2)), SYMS(c->one), NONE), SYMS(num(c, 2)),
                 SYMS(end), STEPS);
}
static Id c_sc(Case *c) {
  Id x = g_concat(
      c->g, (Id[]){in(c, 2, num(c, 3), c->b, 0), in(c, 2, num(c, 3), num(c, 4), 0), in(c, 2, num(c, 3), c->one, 0)}, 3,
      1);
  return g_slice(c->g, x, SYMS(num(c, 0), c->b), SYMS(num(c, 3), sym_add(c->g->ctx->syms, c->b, num(c, 4))), STEPS);
}
static Id c_pad(Case *c) { return g_pad(c->g, in(c, 1, c->b, 0, 0), SYMS(num(c, 0)), SYMS(num(c, 0)), NONE); }
static Id c_cat(Case *c) { return g_concat(c->g, (Id[]){in(c, 1, c->b, 0, 0)}, 1, 0); }
static Id reduction(Case *c, Op op, int what) {
  if (!op_takes(op, c->d)) return 0;
  switch (what) {
  case 0:
    return g_reduce(c->g, op,
                    g_broadcast(c->g, in(c, 2, num(c, 4), num(c, 5), 0), SYMS(c->b, num(c, 4), num(c, 3), num(c, 5)), 4,
                                AXES(1, 3)),
                    AXES(0), 1);
  case 1: return g_reduce(c->g, op, g_reduce(c->g, op, in(c, 3, num(c, 4), c->b, num(c, 5)), AXES(1), 1), AXES(1), 1);
  case 2: return g_reduce(c->g, op, g_transpose(c->g, in(c, 3, num(c, 4), c->b, num(c, 5)), AXES(2, 0, 1)), AXES(0), 1);
  case 3: return g_reduce(c->g, op, g_reshape(c->g, in(c, 1, c->b, 0, 0), SYMS(c->one, c->b), 2), AXES(0), 1);
  default: return g_reduce(c->g, op, g_broadcast(c->g, in(c, 0, 0, 0, 0), SYMS(c->b), 1, NULL), AXES(0), 1);
  }
}
static Id c_eb(Case *c) { return reduction(c, c->d == DT_BOOL ? OP_REDUCE_ANY : OP_REDUCE_MAX, 0); }
static Id c_eb0(Case *c) { return reduction(c, c->d == DT_BOOL ? OP_REDUCE_ALL : OP_REDUCE_MIN, 4); }
static Id c_er(Case *c) { return reduction(c, c->d == DT_BOOL ? OP_REDUCE_ALL : OP_REDUCE_MIN, 1); }
static Id c_et(Case *c) { return reduction(c, c->d == DT_BOOL ? OP_REDUCE_ANY : OP_REDUCE_MAX, 2); }
static Id c_eo(Case *c) { return reduction(c, c->d == DT_BOOL ? OP_REDUCE_ANY : OP_REDUCE_MAX, 3); }
static Id c_sb(Case *c) { return reduction(c, OP_REDUCE_SUM, 0); }
static Id c_sb0(Case *c) { return reduction(c, OP_REDUCE_SUM, 4); }
static Id c_sr(Case *c) { return reduction(c, OP_REDUCE_SUM, 1); }
static Id c_st(Case *c) { return reduction(c, OP_REDUCE_SUM, 2); }
static Id c_so(Case *c) { return reduction(c, OP_REDUCE_SUM, 3); }
static Id c_dot(Case *c) {
  if (c->d == DT_BOOL) return 0;
  Id x = g_transpose(c->g, in(c, 3, num(c, 4), c->b, num(c, 2)), AXES(2, 1, 0)),
     y = g_transpose(c->g, in(c, 3, num(c, 5), num(c, 4), num(c, 2)), AXES(2, 0, 1));
  return g_dot(c->g, x, y, AXES(2), AXES(2), 1, AXES(0), AXES(0), 1); /* [2, b, 5] */
}
static Id c_tdot(Case *c) {
  if (c->d == DT_BOOL) return 0;
  Id x = in(c, 3, num(c, 2), c->b, num(c, 4)), y = in(c, 3, num(c, 2), num(c, 4), num(c, 5));
  return g_transpose(c->g, g_dot(c->g, x, y, AXES(2), AXES(1), 1, AXES(0), AXES(0), 1), AXES(0, 2, 1));
}
static Id c_dyn(Case *c) {
  Id x = in(c, 2, sym_add(c->g->ctx->syms, c->b, num(c, 3)), num(c, 2), 0);
  return g_dynamic_slice(c->g, x, (Id[]){g_dim(c->g, c->b), g_const_int(c->g, DT_I64, 1)}, AXES(0, 1),
                         SYMS(num(c, 3), c->one), 2);
}

static const struct {
  const char *rule;
  Id (*build)(Case *);
} CASES[] = {{"fold", c_fold},
             {"fold", c_fold_convert},
             {"fold", c_fold_compare},
             {"fold", c_fold_select},
             {"div_power_of_two", c_div},
             {"div_power_of_two", c_div_full},
             {"convert_convert", c_convert},
             {"convert_convert", c_convert_back},
             {"scalar_operand", c_scalar},
             {"broadcast_later", c_later},
             {"broadcast_later", c_later_two},
             {"broadcast_later", c_later_convert},
             {"reshape_later", c_reshape},
             {"reshape_later", c_reshape_two},
             {"sum_neg", c_sneg},
             {"broadcast_ones", c_ones},
             {"broadcast_broadcast", c_bb},
             {"transpose_ones", c_tones},
             {"transpose_transpose", c_tt},
             {"transpose_broadcast", c_tb},
             {"transpose_dot", c_tdot},
             {"reshape_reshape", c_rr},
             {"reverse_reverse", c_rev},
             {"move_full", c_full},
             {"move_full", c_full_reshape},
             {"slice_whole", c_whole},
             {"slice_slice", c_ss},
             {"slice_pad", c_sp},
             {"slice_concat", c_sc},
             {"pad_nothing", c_pad},
             {"concat_one", c_cat},
             {"extreme_broadcast", c_eb},
             {"extreme_broadcast", c_eb0},
             {"extreme_reduce", c_er},
             {"extreme_transpose", c_et},
             {"extreme_ones", c_eo},
             {"sum_broadcast", c_sb},
             {"sum_broadcast", c_sb0},
             {"sum_reduce", c_sr},
             {"sum_transpose", c_st},
             {"sum_ones", c_so},
             {"dot_transpose", c_dot},
             {"dynamic_constant", c_dyn}};
enum { NCASES = sizeof CASES / sizeof *CASES };

/* A rule written in C: graphs made for it. How many. */
static int try_cases(int rule) {
  int tried = 0;
  for (int i = 0; i < NCASES; i++) {
    if (strcmp(CASES[i].rule, simplify_rule_name(rule))) continue;
    for (int t = 0; t < NTYPES; t++) {
      Ctx ctx = ctx_new();
      Case c = {graph_new(&ctx, NULL), sym_var(ctx.syms, "B"), sym_int(ctx.syms, 1), TYPES[t]};
      SymFacts *facts = sym_facts_new(ctx.arena, ctx.syms);
      sym_fact_range(facts, "B", 1, 8);
      c.g->facts = facts;
      Id before = CASES[i].build(&c);
      if (diag_errors(ctx.diag)) fail_msg("%s: %s", CASES[i].rule, diag_first(ctx.diag, NULL));
      if (before) {
        Id after = simplify_rule_try(rule, c.g, before, true);
        if (!after) fail_msg("%s does not fire on case %d, %s", CASES[i].rule, i, dtype_name(TYPES[t]));
        tried++;
        static const int64_t dims[] = {1, 5, 8}; /* one, odd, the bound */
        for (int k = 0; k < 3; k++) compare(c.g, before, after, simplify_rule_mode(rule), dims[k], CASES[i].rule);
        c.g->output.n = 0;
        assert_true(graph_verify(c.g));
      }
      ctx_free(&ctx);
    }
  }
  return tried;
}

static void test_rule(void **state) {
  int rule = *(const int *)*state, fired = try_pattern(rule), tried = try_cases(rule);
  if (fired == 0) fail_msg("%s never fires on its own pattern", simplify_rule_name(rule));
  if (fired < 0 && !tried) fail_msg("%s has no case", simplify_rule_name(rule));
}

static void test_cases(void **state) { /* a case that is of no rule would never be tried */
  (void)state;
  for (int i = 0; i < NCASES; i++) {
    bool known = false;
    for (int r = 0; r < simplify_rules(); r++) known |= !strcmp(CASES[i].rule, simplify_rule_name(r));
    if (!known) fail_msg("there is no rule %s", CASES[i].rule);
  }
}

/* ---- what must not fire --------------------------------------------------------------------------------------------
 */

static int rule_of(const char *name) {
  int r = 0;
  while (strcmp(simplify_rule_name(r), name)) r++;
  return r;
}

static void test_refusals(void **state) {
  (void)state;
  Ctx ctx = ctx_new();
  Case c = {graph_new(&ctx, NULL), sym_var(ctx.syms, "B"), sym_int(ctx.syms, 1), DT_F32};
  Graph *g = c.g;
  Id x = in(&c, 1, c.b, 0, 0), m = in(&c, 2, c.b, num(&c, 3), 0);
#define REFUSED(rule, v, single) assert_int_equal(simplify_rule_try(rule_of(rule), g, (v), (single)), 0)
  REFUSED("add_zero", g_binary(g, OP_ADD, x, g_const(g, DT_F32, 0)), true);
  REFUSED("add_minus_zero", g_binary(g, OP_ADD, x, g_const(g, DT_F32, 0)), true);
  REFUSED("sub_zero", g_binary(g, OP_SUB, x, g_const(g, DT_F32, -0.0)), true);
  REFUSED("sub_self", g_binary(g, OP_SUB, x, x), true);
  REFUSED("div_power_of_two", g_binary(g, OP_DIV, x, g_const(g, DT_F32, 3)), true);
  REFUSED("div_power_of_two", g_binary(g, OP_DIV, x, g_const(g, DT_F32, 0x1p-140)), true);
  REFUSED("div_power_of_two", g_binary(g, OP_DIV, x, g_const(g, DT_F32, 0x1p127)), true);
  REFUSED("div_power_of_two", g_binary(g, OP_DIV, x, g_const(g, DT_F32, 0)), true);
  REFUSED("convert_convert", g_convert(g, DT_F32, g_convert(g, DT_I32, x)), true);
  REFUSED("convert_convert", g_convert(g, DT_F32, g_convert(g, DT_BF16, x)), true);
  REFUSED("div_power_of_two", g_binary(g, OP_DIV, g_convert(g, DT_F16, x), g_const(g, DT_F16, 0x1p-16)), true);
  REFUSED("broadcast_later", g_unary(g, OP_EXP, g_broadcast(g, x, SYMS(c.b, num(&c, 3)), 2, AXES(0))), false);
  REFUSED("transpose_dot", g_transpose(g, g_dot(g, m, x, AXES(0), AXES(0), 1, NULL, NULL, 0), AXES(0)), true);
  Id t = g_transpose(g, in(&c, 3, c.b, num(&c, 2), num(&c, 3)), AXES(1, 0, 2));
  REFUSED("dot_transpose", g_dot(g, t, x, AXES(2), AXES(0), 0, NULL, NULL, 0), true);
  REFUSED("sum_transpose", g_reduce(g, OP_REDUCE_SUM, t, AXES(2), 1), true);
  SymFacts *facts = sym_facts_new(ctx.arena, ctx.syms);
  sym_fact_range(facts, "B", 0, 5);
  g->facts = facts;
  REFUSED("extreme_broadcast",
          g_reduce(g, OP_REDUCE_MAX, g_broadcast(g, m, SYMS(c.b, c.b, num(&c, 3)), 3, AXES(1, 2)), AXES(0), 1),
          true); /* may be empty */
  ctx_free(&ctx);
}

/* ---- whole graphs --------------------------------------------------------------------------------------------------
 */

typedef struct Log {
  Buf text;
} Log;

static void log_rule(void *ctx, const char *rule, const Graph *g, Id before, Id after) {
  (void)g, (void)before, (void)after;
  buf_printf(ctx, "%s ", rule);
}

static void test_fixpoint(void **state) {
  (void)state;
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL), *to = graph_new(&ctx, NULL);
  Sym b = sym_var(ctx.syms, "B"), n = sym_int(ctx.syms, 4);
  Id x = g_input(g, DT_F32, SYMS(b, n), 2), w = g_input(g, DT_F32, SYMS(n, n), 2),
     unused = g_input(g, DT_F32, SYMS(n), 1);
  Id y = g_dot(g, g_transpose(g, w, AXES(1, 0)), g_transpose(g, x, AXES(1, 0)), AXES(1), AXES(0), 1, NULL, NULL,
               0); /* w.T x.T: [4, b] */
  y = g_transpose(g, y, AXES(1, 0));
  Id scale = g_binary(g, OP_DIV, g_const(g, DT_F32, 1), g_const(g, DT_F32, 4));
  y = g_binary(g, OP_MUL, y, g_spread(g, scale, SYMS(b, n), 2));
  y = g_unary(g, OP_NEG, g_unary(g, OP_NEG, g_unary(g, OP_LEAF, y)));
  Graph *body = graph_new(&ctx, g);
  Id p = g_input(body, DT_F32, SYMS(b, n), 2);
  vec_push(ctx.arena, &body->output, g_binary(body, OP_MUL, p, g_const(body, DT_F32, 1)));
  Id z = g_body(g, OP_COMPOSITE, "same", body, &y, 1);
  vec_push(ctx.arena, &g->output, z);
  vec_push(ctx.arena, &g->output, y);
  Buf log = {0}, text = {0};
  Id *map = mem_alloc(g->node.n * sizeof(Id));
  assert_true(pass_simplify(&(Simplify){SIMPLIFY_DEFAULT, log_rule, &log}, g, to, map));
  graph_print_body(to, &text);
  assert_string_equal(text.at, "v0: f32[B, 4] = dot_general(a0, a1, contract = [[1], [0]], batch = [[], []])\n"
                               "v1: f32[B, 4] = mul(v0, 0.25)\n"
                               "v2: f32[B, 4] = composite(\"same\", fn(a0: f32[B, 4]) {\n"
                               "  a0\n"
                               "}, v1)\n"
                               "v2, v1\n");
  assert_int_equal(to->input.n, 3);
  assert_int_equal(map[unused], to->input.at[2]);
  assert_int_equal(map[z], to->output.at[0]);
  assert_true(graph_verify(to));
  assert_non_null(strstr(log.at, "dot_transpose"));
  assert_non_null(strstr(log.at, "transpose_dot"));
  assert_non_null(strstr(log.at, "neg_neg"));
  /* only exact rules on request; nothing changes the second time */
  Graph *again = graph_new(&ctx, NULL);
  Id *map2 = mem_alloc(to->node.n * sizeof(Id));
  log.n = 0;
  assert_true(pass_simplify(&(Simplify){SIMPLIFY_DEFAULT, log_rule, &log}, to, again, map2));
  assert_int_equal(log.n, 0);
  assert_int_equal(again->node.n, to->node.n);
  free(map);
  free(map2);
  buf_free(&log);
  buf_free(&text);
  ctx_free(&ctx);
}

static void test_inline(void **state) {
  (void)state;
  Ctx ctx = ctx_new();
  Graph *g = graph_new(&ctx, NULL), *body = graph_new(&ctx, g), *inner = graph_new(&ctx, body);
  Sym n = sym_int(ctx.syms, 4);
  Id q = g_input(inner, DT_F32, &n, 1);
  vec_push(ctx.arena, &inner->output, g_unary(inner, OP_NEG, q));
  Id p = g_input(body, DT_F32, &n, 1);
  Id call = g_body(body, OP_CALL, NULL, inner, &p, 1);
  vec_push(ctx.arena, &body->output, call);
  vec_push(ctx.arena, &body->output, p);
  Id x = g_input(g, DT_F32, &n, 1);
  Id two = g_body(g, OP_CALL, NULL, body, &x, 1);
  Id comp = g_body(g, OP_COMPOSITE, "c", body, &x, 1);
  vec_push(ctx.arena, &g->output, g_binary(g, OP_ADD, g_get(g, two, 1), g_get(g, two, 0)));
  vec_push(ctx.arena, &g->output, g_get(g, comp, 0));
  Id *map = mem_alloc(g->node.n * sizeof(Id));
  Graph *to = graph_new(&ctx, NULL), *all = graph_new(&ctx, NULL);
  Buf text = {0};
  assert_true(pass_inline_calls(NULL, g, to, map));
  graph_print_body(to, &text);
  assert_string_equal(text.at, "v0: f32[4] = neg(a0)\n"
                               "(v1, v2): (f32[4], f32[4]) = composite(\"c\", fn(a0: f32[4]) {\n"
                               "  v0: f32[4] = neg(a0)\n"
                               "  (v0, a0)\n"
                               "}, a0)\n"
                               "v3: f32[4] = add(v0, a0)\n"
                               "v3, v1\n");
  assert_true(graph_verify(to));
  assert_true(pass_inline_all(NULL, g, all, map));
  text.n = 0;
  graph_print_body(all, &text);
  assert_string_equal(text.at, "v0: f32[4] = neg(a0)\n"
                               "v1: f32[4] = add(v0, a0)\n"
                               "v1, v0\n");
  buf_free(&text);
  free(map);
  ctx_free(&ctx);
}

int main(void) {
  static const struct CMUnitTest rest[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_refusals),
                                           cmocka_unit_test(test_fixpoint), cmocka_unit_test(test_inline)};
  int n = simplify_rules(), *number = mem_alloc(sizeof(int) * (size_t)n);
  struct CMUnitTest *tests = mem_alloc(sizeof *tests * (size_t)n + sizeof rest);
  for (int r = 0; r < n; r++) {
    number[r] = r;
    tests[r] = (struct CMUnitTest){simplify_rule_name(r), test_rule, NULL, NULL, &number[r]};
  }
  memcpy(tests + n, rest, sizeof rest);
  int failed = _cmocka_run_group_tests("rules", tests, (size_t)n + sizeof rest / sizeof *rest, NULL, NULL);
  free(tests);
  free(number);
  return failed;
}
