/* The integer algebra: normal form, division, ranges, facts, postfix code, text. Every operation is also tried on
 * random expressions against plain arithmetic. Run from the root. */
#include "diag.h"
#include "sym.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

typedef struct Fix {
  Arena *arena;
  StrTab *names;
  SymTab *tab;
  Sym b, c, n;
} Fix;

static Fix fix_new(void) {
  Fix f = {.arena = arena_new()};
  f.names = strtab_new(f.arena);
  f.tab = sym_tab_new(f.arena, f.names);
  f.b = sym_var(f.tab, "B");
  f.c = sym_var(f.tab, "C");
  f.n = sym_var(f.tab, "N");
  return f;
}

#define K(x)      sym_int(f.tab, (x))
#define ADD(a, b) sym_add(f.tab, (a), (b))
#define SUB(a, b) sym_sub(f.tab, (a), (b))
#define MUL(a, b) sym_mul(f.tab, (a), (b))
#define DIV(a, b) sym_op(f.tab, SYM_FLOORDIV, (a), (b))
#define MOD(a, b) sym_op(f.tab, SYM_MOD, (a), (b))
#define TEXT(s)   sym_text(f.tab, (s), f.arena)

static void test_normal_form(void **state) {
  (void)state;
  Fix f = fix_new();
  assert_int_equal(MUL(ADD(f.b, K(1)), SUB(f.b, K(1))), SUB(MUL(f.b, f.b), K(1)));
  assert_int_equal(SUB(ADD(f.b, f.c), ADD(f.c, f.b)), K(0));
  assert_int_equal(MUL(f.b, f.c), MUL(f.c, f.b));
  assert_int_equal(ADD(MUL(K(3), f.b), MUL(f.b, K(-3))), K(0));
  assert_int_equal(sym_product(f.tab, (Sym[]){f.b, f.c, K(2)}, 3), MUL(K(2), MUL(f.c, f.b)));
  assert_int_equal(sym_product(f.tab, NULL, 0), K(1));
  int64_t k = 0;
  assert_true(sym_is_int(f.tab, K(-7), &k) && k == -7);
  assert_true(sym_is_int(f.tab, K(INT64_MIN), &k) && k == INT64_MIN);
  assert_false(sym_is_int(f.tab, f.b, NULL));
  assert_string_equal(sym_var_name(f.tab, f.b), "B");
  assert_null(sym_var_name(f.tab, MUL(K(2), f.b)));
  assert_null(sym_var_name(f.tab, K(1)));
  assert_null(sym_var_name(f.tab, ADD(f.b, K(1))));
  arena_free(f.arena);
}

static void test_text(void **state) {
  (void)state;
  Fix f = fix_new();
  assert_string_equal(TEXT(K(0)), "0");
  assert_string_equal(TEXT(K(INT64_MIN)), "-9223372036854775808");
  assert_string_equal(TEXT(SUB(K(1), f.b)), "-B + 1");
  assert_string_equal(TEXT(ADD(MUL(K(4), DIV(f.b, K(2))), f.n)), "N + 4 * (B // 2)");
  assert_string_equal(TEXT(MUL(MUL(f.b, f.b), f.c)), "B * B * C");
  assert_string_equal(TEXT(SUB(MUL(f.b, f.c), MUL(K(2), f.n))), "B * C - 2 * N");
  assert_string_equal(TEXT(MOD(ADD(f.b, f.c), K(8))), "((B + C) % 8)");
  assert_string_equal(TEXT(DIV(f.b, MUL(K(2), f.c))), "(B // (2 * C))");
  assert_string_equal(TEXT(sym_op(f.tab, SYM_MIN, f.b, ADD(f.c, K(1)))), "min(B, C + 1)");
  assert_string_equal(TEXT(sym_op(f.tab, SYM_LE, f.b, K(5))), "(B <= 5)");
  /* the text does not depend on what was made first */
  Fix g = fix_new();
  Sym x = sym_op(g.tab, SYM_FLOORDIV, g.n, sym_int(g.tab, 3)), y = sym_op(g.tab, SYM_FLOORDIV, g.b, sym_int(g.tab, 2));
  Sym u = DIV(f.b, K(2)), v = DIV(f.n, K(3));
  assert_string_equal(sym_text(g.tab, sym_add(g.tab, x, y), g.arena), TEXT(ADD(u, v)));
  assert_string_equal(sym_text(g.tab, sym_mul(g.tab, x, y), g.arena), TEXT(MUL(u, v)));
  assert_string_equal(sym_text(g.tab, sym_op(g.tab, SYM_MIN, g.n, g.b), g.arena),
                      TEXT(sym_op(f.tab, SYM_MIN, f.b, f.n)));
  arena_free(f.arena);
  arena_free(g.arena);
}

static void test_division(void **state) {
  (void)state;
  Fix f = fix_new();
  assert_int_equal(DIV(K(-7), K(2)), K(-4));
  assert_int_equal(MOD(K(-7), K(2)), K(1));
  assert_int_equal(DIV(K(7), K(-2)), K(-4));
  assert_int_equal(MOD(K(7), K(-2)), K(-1));
  assert_int_equal(DIV(MUL(f.b, f.c), f.b), f.c);
  assert_int_equal(MOD(MUL(f.b, f.c), f.b), K(0));
  assert_int_equal(DIV(ADD(MUL(K(8), f.b), K(9)), K(8)), ADD(f.b, K(1)));
  assert_int_equal(DIV(ADD(MUL(K(8), f.b), f.c), K(8)), ADD(f.b, DIV(f.c, K(8))));
  assert_int_equal(MOD(ADD(MUL(K(8), f.b), K(11)), K(8)), K(3));
  assert_int_equal(MOD(SUB(MUL(K(8), f.b), K(1)), K(8)), K(7));
  assert_int_equal(DIV(SUB(MUL(K(8), f.b), K(1)), K(8)), SUB(f.b, K(1)));
  assert_int_equal(sym_div_up(f.tab, K(9), K(4)), K(3));
  assert_int_equal(sym_round_up(f.tab, K(9), K(4)), K(12));
  assert_int_equal(sym_div_up(f.tab, MUL(K(4), f.b), K(4)), f.b);
  assert_int_equal(sym_exact(f.tab, SUB(MUL(f.b, f.b), K(1)), ADD(f.b, K(1))), SUB(f.b, K(1)));
  assert_int_equal(sym_exact(f.tab, f.b, K(2)), 0);
  assert_int_equal(sym_exact(f.tab, f.b, K(0)), 0);
  assert_int_equal(sym_exact(f.tab, K(0), f.b), K(0));
  arena_free(f.arena);
}

static void test_overflow(void **state) {
  (void)state;
  Fix f = fix_new();
  Sym over = MUL(K(INT64_MAX), K(2));
  assert_true(sym_overflowed(f.tab, over));
  assert_true(sym_overflowed(f.tab, ADD(K(INT64_MAX), K(1))));
  assert_true(sym_overflowed(f.tab, SUB(K(INT64_MIN), K(1))));
  assert_true(sym_overflowed(f.tab, SUB(K(0), K(INT64_MIN))));
  assert_true(sym_overflowed(f.tab, ADD(over, SUB(K(0), over))));
  assert_true(sym_overflowed(f.tab, MUL(over, K(0))));
  assert_true(sym_overflowed(f.tab, DIV(f.b, K(0))));
  assert_true(sym_overflowed(f.tab, MOD(f.b, K(0))));
  assert_true(sym_overflowed(f.tab, DIV(K(INT64_MIN), K(-1))));
  assert_true(sym_overflowed(f.tab, sym_op(f.tab, SYM_MIN, over, K(1))));
  assert_true(sym_overflowed(f.tab, sym_op(f.tab, SYM_LT, K(INT64_MIN), K(INT64_MAX))) ||
              sym_op(f.tab, SYM_LT, K(INT64_MIN), K(INT64_MAX)) == K(1));
  int64_t r;
  assert_false(sym_eval(f.tab, over, NULL, NULL, &r));
  assert_string_equal(TEXT(over), "overflow");
  SymFacts *facts = sym_facts_new(f.arena, f.tab);
  assert_false(sym_same(facts, over, over));
  assert_false(sym_nonneg(facts, over));
  assert_int_equal(sym_decide(facts, SYM_LT, over, K(1)), -1);
  assert_int_equal(sym_divided(facts, over, K(2)), 0);
  assert_int_equal(sym_exact(f.tab, over, K(1)), 0);
  assert_true(sym_overflowed(f.tab, sym_replace(f.tab, over, NULL, NULL, 0)));
  /* a power that grows without end overflows instead of eating memory */
  Sym p = ADD(ADD(f.b, f.c), ADD(f.n, K(1)));
  for (int i = 0; i < 8; i++) p = MUL(p, p);
  assert_true(sym_overflowed(f.tab, p));
  arena_free(f.arena);
}

static void test_names_replace(void **state) {
  (void)state;
  Fix f = fix_new();
  Sym s = ADD(MUL(f.b, DIV(f.n, K(2))), sym_op(f.tab, SYM_MAX, f.c, f.b));
  SymNames names = {0};
  sym_names(f.tab, s, f.arena, &names);
  assert_int_equal(names.n, 3);
  const char *which[] = {"B", "N"};
  Sym with[] = {K(3), MUL(K(4), f.c)};
  assert_int_equal(sym_replace(f.tab, s, which, with, 2), ADD(MUL(K(6), f.c), sym_op(f.tab, SYM_MAX, f.c, K(3))));
  const char *swap[] = {"B", "C"};
  Sym to[] = {f.c, f.b};
  assert_int_equal(sym_replace(f.tab, SUB(f.b, f.c), swap, to, 2), SUB(f.c, f.b));
  arena_free(f.arena);
}

static void test_ranges(void **state) {
  (void)state;
  Fix f = fix_new();
  SymFacts *facts = sym_facts_new(f.arena, f.tab);
  int64_t lo, hi;
  sym_range(facts, f.b, &lo, &hi);
  assert_int_equal(lo, 1);
  assert_int_equal(hi, INT32_MAX);
  sym_fact_range(facts, "B", 2, 10);
  sym_range(facts, SUB(K(3), MUL(K(2), f.b)), &lo, &hi);
  assert_int_equal(lo, -17);
  assert_int_equal(hi, -1);
  sym_range(facts, DIV(f.b, K(3)), &lo, &hi);
  assert_int_equal(lo, 0);
  assert_int_equal(hi, 3);
  sym_range(facts, MOD(f.b, K(4)), &lo, &hi);
  assert_int_equal(lo, 0);
  assert_int_equal(hi, 3);
  sym_range(facts, sym_op(f.tab, SYM_MIN, f.b, f.c), &lo, &hi);
  assert_int_equal(lo, 1);
  assert_int_equal(hi, 10);
  sym_range(facts, sym_op(f.tab, SYM_LT, f.b, f.c), &lo, &hi);
  assert_int_equal(lo, 0);
  assert_int_equal(hi, 1);
  sym_range(facts, MUL(MUL(f.c, f.c), MUL(f.c, f.c)), &lo, &hi);
  assert_int_equal(lo, 1);
  assert_int_equal(hi, INT64_MAX);
  sym_range(facts, SUB(K(0), MUL(MUL(f.c, f.c), MUL(f.c, f.c))), &lo, &hi);
  assert_int_equal(lo, INT64_MIN);
  assert_int_equal(hi, -1);
  arena_free(f.arena);
}

static void test_facts(void **state) {
  (void)state;
  Fix f = fix_new();
  SymFacts *facts = sym_facts_new(f.arena, f.tab);
  assert_true(sym_nonneg(facts, SUB(f.b, K(1))));
  assert_false(sym_nonneg(facts, SUB(f.b, K(2))));
  assert_int_equal(sym_decide(facts, SYM_LT, f.b, f.c), -1);
  sym_fact(facts, SYM_LE, f.b, f.c);
  assert_int_equal(sym_decide(facts, SYM_LE, f.b, f.c), 1);
  assert_int_equal(sym_decide(facts, SYM_LT, f.c, f.b), 0);
  assert_int_equal(sym_decide(facts, SYM_LE, f.b, ADD(f.c, K(5))), 1);
  assert_int_equal(sym_decide(facts, SYM_NE, f.b, ADD(f.c, K(1))), 1);
  assert_int_equal(sym_decide(facts, SYM_EQ, f.b, f.c), -1);
  sym_fact(facts, SYM_LE, K(4), f.n);
  sym_fact(facts, SYM_LT, f.n, K(9));
  int64_t lo, hi;
  sym_range(facts, f.n, &lo, &hi);
  assert_int_equal(lo, 4);
  assert_int_equal(hi, 8);
  /* divisibility */
  assert_false(sym_divides(facts, 8, f.b));
  sym_fact(facts, SYM_EQ, MOD(f.b, K(8)), K(0));
  assert_true(sym_divides(facts, 8, f.b));
  assert_true(sym_divides(facts, 4, f.b));
  assert_false(sym_divides(facts, 16, f.b));
  assert_true(sym_divides(facts, 16, MUL(K(2), f.b)));
  assert_true(sym_divides(facts, 8, MUL(K(3), MUL(f.b, f.c))));
  assert_true(sym_divides(facts, 4, ADD(f.b, MUL(K(4), f.c))));
  assert_false(sym_divides(facts, 4, ADD(f.b, f.c)));
  assert_false(sym_divides(facts, 8, f.c));
  assert_int_equal(sym_divided(facts, f.b, K(8)), DIV(f.b, K(8)));
  assert_true(sym_same(facts, MUL(K(8), DIV(f.b, K(8))), f.b));
  assert_true(sym_same(facts, ADD(MUL(K(8), MUL(f.c, DIV(f.b, K(8)))), K(1)), ADD(MUL(f.b, f.c), K(1))));
  assert_false(sym_same(facts, MUL(K(8), DIV(f.c, K(8))), f.c));
  /* equality */
  SymFacts *copy = sym_facts_copy(f.arena, facts);
  sym_fact(copy, SYM_EQ, f.n, MUL(K(2), f.c));
  assert_true(sym_same(copy, f.n, MUL(K(2), f.c)));
  assert_true(sym_same(copy, ADD(f.n, f.b), ADD(f.b, MUL(K(2), f.c))));
  assert_false(sym_same(facts, f.n, MUL(K(2), f.c)));
  assert_ptr_equal(sym_facts_tab(copy), f.tab);
  /* quotients */
  Sym up20 = sym_round_up(f.tab, MUL(K(20), f.c), K(64)), up36 = sym_round_up(f.tab, MUL(K(36), f.c), K(64));
  assert_int_equal(sym_decide(facts, SYM_LE, up20, up36), 1);
  assert_int_equal(sym_decide(facts, SYM_LE, MUL(K(2), up20), ADD(up36, up20)), 1);
  assert_int_equal(sym_decide(facts, SYM_LE, MUL(K(20), f.c), up20), 1);
  assert_int_equal(sym_decide(facts, SYM_LE, up20, MUL(K(83), f.c)), 1);
  assert_int_equal(sym_decide(facts, SYM_LE, up36, up20), -1);
  assert_int_equal(sym_decide(facts, SYM_LT, up20, up36), -1);
  /* a bound of 0 that is said replaces the default of 1 */
  SymFacts *zero = sym_facts_new(f.arena, f.tab);
  sym_fact(zero, SYM_LE, K(0), f.b);
  sym_range(zero, f.b, &lo, &hi);
  assert_int_equal(lo, 0);
  arena_free(f.arena);
}

/* ---- against plain arithmetic --------------------------------------------------------------------------------------
 */

typedef struct Env {
  int64_t b, c, n;
} Env;

static bool lookup(void *ctx, const char *name, int64_t *v) {
  const Env *e = ctx;
  *v = *name == 'B' ? e->b : *name == 'C' ? e->c : e->n;
  return strchr("BCN", *name) != NULL;
}

typedef struct Stack {
  int64_t at[256];
  int n;
  const Env *env;
} Stack;

static int64_t name_index(void *ctx, const char *name) {
  (void)ctx;
  return *name == 'B' ? 0 : *name == 'C' ? 1 : 2;
}

static int64_t floor_of(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static void run(void *ctx, SymCode c, int64_t operand) {
  Stack *s = ctx;
  if (c == SYMC_INT) {
    s->at[s->n++] = operand;
    return;
  }
  if (c == SYMC_VAR) {
    s->at[s->n++] = (&s->env->b)[operand];
    return;
  }
  int64_t b = s->at[--s->n], a = s->at[s->n - 1];
  int64_t r[] = {[SYMC_ADD] = a + b,
                 [SYMC_MUL] = a * b,
                 [SYMC_FLOORDIV] = b ? floor_of(a, b) : 0,
                 [SYMC_MOD] = b ? a - floor_of(a, b) * b : 0,
                 [SYMC_MIN] = a < b ? a : b,
                 [SYMC_MAX] = a > b ? a : b,
                 [SYMC_LT] = a < b,
                 [SYMC_LE] = a <= b,
                 [SYMC_EQ] = a == b,
                 [SYMC_NE] = a != b};
  s->at[s->n - 1] = r[c];
}

static uint64_t seed = 1;
static int64_t draw(int64_t n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (int64_t)(seed >> 33) % n;
}

/* A random expression and its value; divisors are positive numbers. */
static Sym grow(Fix *p, const Env *e, int depth, int64_t *v) {
  Fix f = *p;
  int64_t x, y;
  if (!depth || !draw(5)) {
    int k = (int)draw(4);
    *v = k == 0 ? e->b : k == 1 ? e->c : k == 2 ? e->n : draw(9) - 4;
    return k == 0 ? f.b : k == 1 ? f.c : k == 2 ? f.n : K(*v);
  }
  Sym a = grow(p, e, depth - 1, &x), b = grow(p, e, depth - 1, &y);
  int64_t k = 1 + draw(9);
  switch (draw(8)) {
  case 0: *v = x + y; return ADD(a, b);
  case 1: *v = x - y; return SUB(a, b);
  case 2: *v = x * y; return MUL(a, b);
  case 3: *v = floor_of(x, k); return DIV(a, K(k));
  case 4: *v = x - floor_of(x, k) * k; return MOD(a, K(k));
  case 5: *v = x < y ? x : y; return sym_op(f.tab, SYM_MIN, a, b);
  case 6: *v = x > y ? x : y; return sym_op(f.tab, SYM_MAX, a, b);
  default: {
    SymOp op = SYM_LT + (SymOp)draw(4);
    *v = op == SYM_LT ? x < y : op == SYM_LE ? x <= y : op == SYM_EQ ? x == y : x != y;
    return sym_op(f.tab, op, a, b);
  }
  }
}

static void test_random(void **state) {
  (void)state;
  for (int turn = 0; turn < 3000; turn++) {
    Fix f = fix_new();
    SymFacts *facts = sym_facts_new(f.arena, f.tab);
    Env e = {1 + draw(20), 1 + draw(20), 1 + draw(20)};
    sym_fact_range(facts, "B", 1, 20);
    sym_fact_range(facts, "C", 1, 20);
    sym_fact_range(facts, "N", 1, 20);
    int64_t want, got, lo, hi;
    Sym s = grow(&f, &e, 3, &want);
    assert_true(sym_eval(f.tab, s, lookup, &e, &got));
    if (got != want)
      fail_msg("%s is %lld, not %lld, for B %lld C %lld N %lld", TEXT(s), (long long)got, (long long)want,
               (long long)e.b, (long long)e.c, (long long)e.n);
    sym_range(facts, s, &lo, &hi);
    if (want < lo || want > hi)
      fail_msg("%s: %lld is outside of %lld to %lld", TEXT(s), (long long)want, (long long)lo, (long long)hi);
    Stack st = {.env = &e};
    sym_postfix(f.tab, s, name_index, run, &st);
    assert_int_equal(st.n, 1);
    assert_int_equal(st.at[0], want);
    const char *names[] = {"B", "C", "N"};
    Sym values[] = {K(e.b), K(e.c), K(e.n)};
    assert_true(sym_is_int(f.tab, sym_replace(f.tab, s, names, values, 3), &got) && got == want);
    /* decisions are never wrong */
    int64_t other;
    Sym t = grow(&f, &e, 2, &other);
    for (SymOp op = SYM_LT; op <= SYM_NE; op++) {
      int d = sym_decide(facts, op, s, t), is = op == SYM_LT   ? want < other
                                                : op == SYM_LE ? want <= other
                                                : op == SYM_EQ ? want == other
                                                               : want != other;
      if (d >= 0 && d != is) fail_msg("%s against %s: decided %d", TEXT(s), TEXT(t), d);
    }
    Sym q = sym_exact(f.tab, s, t);
    if (q && other) {
      assert_true(sym_eval(f.tab, q, lookup, &e, &got));
      assert_int_equal(got * other, want);
    }
    arena_free(f.arena);
  }
}

static void test_eval_errors(void **state) {
  (void)state;
  Fix f = fix_new();
  Env e = {0, 1, 1};
  int64_t r;
  assert_false(sym_eval(f.tab, sym_var(f.tab, "Q"), lookup, &e, &r));
  assert_false(sym_eval(f.tab, DIV(f.c, f.b), lookup, &e, &r));
  e.b = INT64_MAX;
  e.c = 2;
  assert_false(sym_eval(f.tab, MUL(f.b, f.c), lookup, &e, &r));
  assert_false(sym_eval(f.tab, ADD(f.b, f.c), lookup, &e, &r));
  arena_free(f.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_normal_form), cmocka_unit_test(test_text),          cmocka_unit_test(test_division),
      cmocka_unit_test(test_overflow),    cmocka_unit_test(test_names_replace), cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_facts),       cmocka_unit_test(test_random),        cmocka_unit_test(test_eval_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
