/* The graph: nodes merge, identities do not appear, every op's shape rule accepts and refuses, broken graphs are found,
 * rebuilding and inlining keep what they should. Run from the root. */
#include "graph.h"
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

typedef struct Fix {
  Ctx c;
  Graph *g;
  Sym b, n3, n4;
  Id x, y, i, p; /* f32[B, 3], f32[B, 3], i64[B], bool[] */
} Fix;

#define SYMS(...) ((Sym[]){__VA_ARGS__})
#define AXES(...) ((int[]){__VA_ARGS__})

static void fix_init(Fix *f) { /* in place: graphs point to the Ctx */
  f->c = ctx_new();
  f->g = graph_new(&f->c, NULL);
  f->b = sym_var(f->c.syms, "B");
  f->n3 = sym_int(f->c.syms, 3);
  f->n4 = sym_int(f->c.syms, 4);
  f->x = g_input(f->g, DT_F32, SYMS(f->b, f->n3), 2);
  f->y = g_input(f->g, DT_F32, SYMS(f->b, f->n3), 2);
  f->i = g_input(f->g, DT_I64, SYMS(f->b), 1);
  f->p = g_input(f->g, DT_BOOL, NULL, 0);
}

static void test_table(void **state) {
  (void)state;
  for (Op o = OP_NONE + 1; o < OP_COUNT; o++) {
    const OpInfo *info = &OP_INFO[o];
    if (info->cls != CLASS_LOOP) assert_int_equal(op_parse(info->text), o);
    if (op_elementwise(o)) assert_true(info->arity > 0);
    const char *name;
    int len;
    char kind;
    for (int k = 0; op_attr(o, k, &name, &len, &kind); k++) {
      assert_non_null(strchr("iIPSsdVG", kind));
      assert_int_equal(op_attr_index(o, name, (size_t)len), k);
    }
    assert_int_equal(op_attr_index(o, "frob", 4), -1);
  }
  assert_int_equal(op_parse("frob"), OP_NONE);
  assert_int_equal(op_parse("fma"), OP_NONE);
  assert_int_equal(dtype_parse("f32"), DT_F32);
  assert_int_equal(dtype_parse("f33"), DT_NONE);
}

static void test_cons(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  Id a = g_binary(g, OP_ADD, f.x, f.y);
  uint32_t n = g->node.n;
  assert_int_equal(g_binary(g, OP_ADD, f.x, f.y), a);
  assert_int_equal(g_binary(g, OP_ADD, f.y, f.x), a); /* commutative */
  assert_int_equal(g->node.n, n);
  assert_int_not_equal(g_binary(g, OP_SUB, f.x, f.y), g_binary(g, OP_SUB, f.y, f.x));
  assert_int_not_equal(g_binary(g, OP_MAXIMUM, f.x, f.y),
                       g_binary(g, OP_MAXIMUM, f.y, f.x)); /* of equal zeros the second */
  assert_int_not_equal(g_unary(g, OP_LEAF, f.x), g_unary(g, OP_LEAF, f.x));
  assert_int_equal(g_reduce(g, OP_REDUCE_SUM, f.x, AXES(0, 1), 2), g_reduce(g, OP_REDUCE_SUM, f.x, AXES(1, 0), 2));
  assert_int_not_equal(g_reduce(g, OP_REDUCE_SUM, f.x, AXES(0), 1), g_reduce(g, OP_REDUCE_SUM, f.x, AXES(1), 1));
  /* copies: the same operands, another tag */
  g->copy = 1;
  Id copy = g_binary(g, OP_ADD, f.x, f.y);
  assert_int_not_equal(copy, a);
  assert_int_equal(g_binary(g, OP_ADD, f.x, f.y), copy);
  assert_int_equal(graph_at(g, copy)->copy, 1);
  assert_int_equal(g_const(g, DT_F32, 1), (g->copy = 0, g_const(g, DT_F32, 1))); /* numbers have none */
  /* what the place is does not matter */
  g->loc = 7;
  assert_int_equal(g_binary(g, OP_ADD, f.x, f.y), a);
  /* many nodes: the table grows */
  Id v = f.x;
  for (int k = 0; k < 3000; k++) v = g_binary(g, OP_MUL, v, g_const(g, DT_F32, k));
  n = g->node.n;
  v = f.x;
  for (int k = 0; k < 3000; k++) v = g_binary(g, OP_MUL, g_const(g, DT_F32, k), v);
  assert_int_equal(g->node.n, n);
  g->input.n = 4;
  assert_true(graph_verify(g));
  ctx_free(&f.c);
}

static void test_order_of_operands(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  Id two = g_const(g, DT_F32, 2), cell = g_cell(g, 0, DT_F32, SYMS(f.b, f.n3), 2), e = g_unary(g, OP_EXP, f.x);
  struct {
    Id a, b;
  } pairs[] = {{e, f.x}, {e, cell}, {e, two}, {f.x, f.y}, {f.x, cell}, {f.x, two}, {cell, two}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) { /* made nodes, inputs, cells, numbers */
    Id v = g_binary(g, OP_MUL, pairs[i].b, pairs[i].a);
    assert_int_equal(graph_in(g, v)[0], pairs[i].a);
    assert_int_equal(graph_in(g, v)[1], pairs[i].b);
  }
  ctx_free(&f.c);
}

static void test_constants(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  double x;
  assert_int_equal(g_const(g, DT_F32, 0.1), g_const(g, DT_F32, (double)0.1f)); /* as the type holds it */
  assert_int_not_equal(g_const(g, DT_F64, 0.1), g_const(g, DT_F64, (double)0.1f));
  assert_int_not_equal(g_const(g, DT_F32, 0.0), g_const(g, DT_F32, -0.0));
  assert_int_equal(g_const(g, DT_F32, NAN), g_const(g, DT_F32, -NAN));
  assert_int_equal(g_const_int(g, DT_I32, 0x100000001), g_const_int(g, DT_I32, 1));
  assert_int_equal(g_const(g, DT_BOOL, 5), g_const_int(g, DT_BOOL, 1));
  assert_int_equal(g_const_int(g, DT_F32, 3), g_const(g, DT_F32, 3));
  assert_true(graph_constant(g, g_full(g, DT_I64, -4, SYMS(f.b, f.n3), 2), &x) && x == -4);
  assert_true(graph_constant(g, g_const(g, DT_F64, INFINITY), &x) && isinf(x));
  assert_false(graph_constant(g, f.x, &x));
  assert_int_equal(g_dim(g, sym_int(f.c.syms, 12)), g_const_int(g, DT_I64, 12));
  assert_int_equal(graph_op(g, g_dim(g, f.b)), OP_DIM);
  int64_t many[200];
  for (int i = 0; i < 200; i++) many[i] = i;
  Attrs a = {0}, again = {0};
  Sym n = sym_int(f.c.syms, 200);
  attr_ints(&a, many, 200);
  attr_int(&a, DT_I64);
  attr_syms(&a, &n, 1);
  Id v = graph_node(g, OP_CONSTANT, NULL, 0, &a);
  assert_string_equal(graph_type(g, v), "i64[200]");
  int words;
  assert_int_equal(graph_attr(g, v, "value", &words)[199], 199);
  assert_int_equal(words, 200);
  again = a;
  assert_int_equal(graph_node(g, OP_CONSTANT, NULL, 0, &again), v);
  Graph *to = graph_new(&f.c, NULL);
  Id map[1] = {0};
  Id w = graph_copy_node(g, v, to, map);
  assert_int_equal(graph_attr(to, w, "value", &words)[150], 150);
  ctx_free(&f.c);
}

static void test_identities(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  assert_int_equal(g_convert(g, DT_F32, f.x), f.x);
  assert_int_equal(g_transpose(g, f.x, AXES(0, 1)), f.x);
  assert_int_equal(g_reshape(g, f.x, SYMS(f.b, f.n3), 2), f.x);
  assert_int_equal(g_reduce(g, OP_REDUCE_MAX, f.x, NULL, 0), f.x);
  assert_int_equal(g_reverse(g, f.x, NULL, 0), f.x);
  assert_int_equal(g_broadcast(g, f.x, SYMS(f.b, f.n3), 2, AXES(0, 1)), f.x);
  assert_int_equal(g_spread(g, f.x, SYMS(f.b, f.n3), 2), f.x);
  assert_int_equal(g_get(g, f.x, 0), f.x);
  assert_int_equal(diag_errors(f.c.diag), 0);
  /* a failed operand goes through without another message */
  assert_int_equal(g_unary(g, OP_EXP, 0), 0);
  assert_int_equal(g_transpose(g, 0, AXES(0, 1)), 0);
  assert_int_equal(g_get(g, 0, 0), 0);
  assert_int_equal(diag_errors(f.c.diag), 0);
  /* equal by the facts */
  SymFacts *facts = sym_facts_new(f.c.arena, f.c.syms);
  Sym n = sym_var(f.c.syms, "N");
  Id z = g_input(g, DT_F32, SYMS(n, f.n3), 2);
  assert_int_equal(g_binary(g, OP_ADD, f.x, z), 0);
  sym_fact(facts, SYM_EQ, n, f.b);
  g->facts = facts;
  assert_int_not_equal(g_binary(g, OP_ADD, f.x, z), 0);
  ctx_free(&f.c);
}

#define TYPE(v, text) assert_string_equal(graph_type(g, (v)), text)
#define REFUSED(v, sentence)                                                                                           \
  do {                                                                                                                 \
    diag_reset(f.c.diag);                                                                                              \
    assert_int_equal((v), 0);                                                                                          \
    const char *said_ = diag_first(f.c.diag, NULL);                                                                    \
    assert_non_null(said_);                                                                                            \
    assert_string_equal(said_, sentence);                                                                              \
  } while (0)

static void test_elementwise(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  Id s = g_const(g, DT_F32, 2), fp = g_input(g, DT_BOOL, SYMS(f.b, f.n3), 2);
  TYPE(g_unary(g, OP_EXP, f.x), "f32[B, 3]");
  TYPE(g_binary(g, OP_ADD, s, f.x), "f32[B, 3]");
  TYPE(g_binary(g, OP_LESS, f.x, s), "bool[B, 3]");
  TYPE(g_unary(g, OP_IS_NAN, f.x), "bool[B, 3]");
  TYPE(g_select(g, f.p, f.x, s), "f32[B, 3]");
  TYPE(g_select(g, fp, s, s), "f32[B, 3]");
  TYPE(g_convert(g, DT_BOOL, f.i), "bool[B]");
  TYPE(g_binary(g, OP_AND, f.p, fp), "bool[B, 3]");
  REFUSED(g_unary(g, OP_EXP, f.i), "`exp` of i64[B]: it takes floats");
  REFUSED(g_unary(g, OP_NEG, f.p), "`neg` of bool[]: it takes numbers, a bool is none");
  REFUSED(g_unary(g, OP_NOT, f.x), "`bit_not` of f32[B, 3]: it takes integers and bools");
  REFUSED(g_binary(g, OP_SHL, f.x, f.x), "`shl` of f32[B, 3] and f32[B, 3]: it takes integers");
  REFUSED(g_binary(g, OP_ADD, f.x, f.i), "`add` of f32[B, 3] and i64[B]: the dtypes differ; convert one of them");
  REFUSED(g_binary(g, OP_ADD, f.i, g_convert(g, DT_I64, f.x)),
          "`add` of i64[B] and i64[B, 3]: the ranks 1 and 2 differ");
  REFUSED(g_select(g, f.x, f.x, f.x), "`select` of f32[B, 3], f32[B, 3] and f32[B, 3]: the condition is to be bool");
  REFUSED(g_convert(g, DT_I8, f.x),
          "`convert` of f32[B, 3]: the dtype i8 is not supported yet; use f32, f64, f16, bf16, i32, i64 or bool");
  REFUSED(g_input(g, DT_U8, NULL, 0),
          "`input`: the dtype u8 is not supported yet; use f32, f64, f16, bf16, i32, i64 or bool");
  ctx_free(&f.c);
}

static void test_movement(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  SymTab *t = f.c.syms;
  Sym zero = sym_int(t, 0), b3 = sym_mul(t, f.b, f.n3);
  int64_t one[] = {1, 1}, none[] = {0, 0};
  TYPE(g_broadcast(g, f.i, SYMS(f.n4, f.b), 2, AXES(1)), "i64[4, B]");
  TYPE(g_reshape(g, f.x, SYMS(b3), 1), "f32[3 * B]");
  TYPE(g_transpose(g, f.x, AXES(1, 0)), "f32[3, B]");
  TYPE(g_slice(g, f.x, SYMS(zero, sym_int(t, 1)), SYMS(f.b, f.n3), (int64_t[]){2, 1}), "f32[((B + 1) // 2), 2]");
  TYPE(g_pad(g, f.x, SYMS(f.b, sym_int(t, -1)), SYMS(zero, f.n4), (int64_t[]){0, 1}), "f32[2 * B, 8]");
  TYPE(g_concat(g, (Id[]){f.x, f.y, f.x}, 3, 0), "f32[3 * B, 3]");
  TYPE(g_iota(g, DT_I64, SYMS(f.b, f.n3), 2, 1), "i64[B, 3]");
  TYPE(g_random(g, "uniform", DT_F32, SYMS(f.b), 1, "k", 0), "f32[B]");
  REFUSED(g_broadcast(g, f.i, SYMS(f.n4, f.b), 2, AXES(0)),
          "`broadcast` of i64[B]: axis 0 is B, but axis 0 of the result i64[4, B] is 4");
  REFUSED(g_broadcast(g, f.x, SYMS(f.b, f.n3), 2, AXES(1, 0)),
          "`broadcast` of f32[B, 3]: the axes are to rise, but 0 comes after 1");
  REFUSED(g_reshape(g, f.x, SYMS(f.b), 1),
          "`reshape` of f32[B, 3]: 3 * B elements are not known to be the B of f32[B]");
  REFUSED(g_transpose(g, f.x, AXES(1, 1)), "`transpose` of f32[B, 3]: axis 1 is named twice");
  REFUSED(g_transpose(g, f.x, AXES(0, 2)), "`transpose` of f32[B, 3]: there is no axis 2, the rank is 2");
  REFUSED(g_slice(g, f.x, SYMS(zero, zero), SYMS(f.b, f.n4), one),
          "`slice` of f32[B, 3]: 0 to 4 does not lie within axis 1 of 3");
  REFUSED(g_slice(g, f.x, SYMS(zero, f.n3), SYMS(f.b, zero), one),
          "`slice` of f32[B, 3]: 3 to 0 does not lie within axis 1 of 3");
  REFUSED(g_slice(g, f.x, SYMS(sym_int(t, -1), zero), SYMS(f.b, f.n3), one),
          "`slice` of f32[B, 3]: -1 to B does not lie within axis 0 of B");
  REFUSED(g_slice(g, f.x, SYMS(zero, zero), SYMS(f.b, f.n3), none),
          "`slice` of f32[B, 3]: the step 0 of axis 0; steps are at least 1");
  REFUSED(g_pad(g, f.x, SYMS(zero, sym_int(t, -2)), SYMS(zero, sym_int(t, -2)), none),
          "`pad` of f32[B, 3]: the size -1 is negative");
  REFUSED(g_pad(g, f.x, SYMS(zero, zero), SYMS(zero, zero), (int64_t[]){0, -1}),
          "`pad` of f32[B, 3]: the interior -1 of axis 1 is negative");
  REFUSED(g_concat(g, (Id[]){f.x, f.i}, 2, 0),
          "`concat` of f32[B, 3] and i64[B]: the dtypes differ; convert one of them");
  REFUSED(g_concat(g, (Id[]){f.x, g_transpose(g, f.x, AXES(1, 0))}, 2, 0),
          "`concat` of f32[B, 3] and f32[3, B]: axis 1 is 3 and B");
  REFUSED(g_concat(g, NULL, 0, 0), "`concat`: it needs an operand");
  REFUSED(g_reverse(g, f.x, AXES(2), 1), "`reverse` of f32[B, 3]: there is no axis 2, the rank is 2");
  ctx_free(&f.c);
}

static void test_index_and_reduce(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  Id rows = g_gather(g, f.x, &f.i, 1, 0), at = g_const_int(g, DT_I64, 0);
  TYPE(rows, "f32[B, 3]");
  TYPE(g_gather(g, f.x, (Id[]){f.i, f.i}, 2, 0), "f32[B]");
  TYPE(g_gather(g, f.x, &at, 1, 1), "f32[B]");
  TYPE(g_scatter_add(g, f.x, &f.i, 1, 0, rows), "f32[B, 3]");
  TYPE(g_dynamic_slice(g, f.x, &at, AXES(1), SYMS(sym_int(f.c.syms, 2)), 1), "f32[B, 2]");
  TYPE(g_dynamic_update(g, f.x, &at, AXES(0), 1, f.y), "f32[B, 3]");
  TYPE(g_reduce(g, OP_REDUCE_SUM, f.x, AXES(0), 1), "f32[3]");
  TYPE(g_arg(g, OP_ARGMAX, f.x, 1), "i64[B]");
  TYPE(g_dot(g, f.x, f.y, AXES(1), AXES(1), 1, AXES(0), AXES(0), 1), "f32[B]");
  TYPE(g_dot(g, f.x, f.y, NULL, NULL, 0, NULL, NULL, 0), "f32[B, 3, B, 3]");
  TYPE(g_dot(g, f.x, f.y, AXES(1), AXES(1), 1, NULL, NULL, 0), "f32[B, B]");
  REFUSED(g_gather(g, f.x, &f.y, 1, 0), "`gather` of f32[B, 3] and f32[B, 3]: index 1 is f32, it is to be i32 or i64");
  REFUSED(g_gather(g, f.x, (Id[]){f.i, at}, 2, 0),
          "`gather` of f32[B, 3], i64[B] and i64[]: the indices have two shapes");
  REFUSED(g_gather(g, f.x, (Id[]){f.i, f.i}, 2, 1),
          "`gather` of f32[B, 3], i64[B] and i64[B]: 2 indices from axis 1 on, the rank is 2");
  REFUSED(g_scatter_add(g, f.x, &f.i, 1, 1, rows),
          "`scatter_add` of f32[B, 3], i64[B] and f32[B, 3]: the update is f32[B, 3], it is to be f32[B, B]");
  REFUSED(g_dynamic_slice(g, f.x, &f.i, AXES(1), SYMS(f.n3), 1),
          "`dynamic_slice` of f32[B, 3] and i64[B]: start 1 is i64[B], it is to be i64[]");
  REFUSED(g_dynamic_slice(g, f.x, &at, AXES(1), SYMS(f.n4), 1),
          "`dynamic_slice` of f32[B, 3] and i64[]: 4 elements of axis 1, which has 3");
  REFUSED(g_dynamic_update(g, f.x, &at, AXES(0), 1, f.i),
          "`dynamic_update` of f32[B, 3], i64[] and i64[B]: the update is i64[B], it is to be f32[B, 3]");
  REFUSED(g_reduce(g, OP_REDUCE_ANY, f.x, AXES(0), 1), "`reduce_any` of f32[B, 3]: it takes bools");
  REFUSED(g_arg(g, OP_ARGMAX, f.x, -1), "`argmax` of f32[B, 3]: there is no axis -1, the rank is 2");
  REFUSED(g_dot(g, f.x, f.y, AXES(1, 1), AXES(1, 0), 2, NULL, NULL, 0),
          "`dot_general` of f32[B, 3] and f32[B, 3]: axis 1 of operand 1 is named twice");
  REFUSED(g_dot(g, f.x, f.y, AXES(1), AXES(0), 1, NULL, NULL, 0),
          "`dot_general` of f32[B, 3] and f32[B, 3]: axis 1 of the first is 3, axis 0 of the second is B; they are "
          "summed together and are to be equal");
  Sym s[] = {f.b, f.n3, f.b, f.n3, f.b};
  Id wide = g_input(g, DT_F32, s, 5);
  REFUSED(g_dot(g, wide, wide, NULL, NULL, 0, NULL, NULL, 0),
          "`dot_general` of f32[B, 3, B, 3, B] and f32[B, 3, B, 3, B]: the result has more than 8 axes");
  ctx_free(&f.c);
}

static Graph *body_of_two(Fix *f) { /* x, s -> (x * s, sum) */
  Graph *b = graph_new(&f->c, f->g);
  Id x = g_input(b, DT_F32, SYMS(f->b, f->n3), 2), s = g_input(b, DT_F32, NULL, 0);
  vec_push(f->c.arena, &b->output, g_binary(b, OP_MUL, x, s));
  vec_push(f->c.arena, &b->output, g_reduce(b, OP_REDUCE_SUM, x, AXES(0, 1), 2));
  return b;
}

static void test_bodies(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g;
  Id s = g_const(g, DT_F32, 2), two = g_body(g, OP_COMPOSITE, "two", body_of_two(&f), (Id[]){f.x, s}, 2);
  assert_int_equal(graph_results(g, two), 2);
  TYPE(two, "(f32[B, 3], f32[])");
  TYPE(g_get(g, two, 0), "f32[B, 3]");
  TYPE(g_get(g, two, 1), "f32[]");
  assert_int_equal(g_get(g, two, 1), g_get(g, two, 1));
  assert_string_equal(graph_attr_str(g, two, "name"), "two");
  REFUSED(g_get(g, two, 2), "`get` of (f32[B, 3], f32[]): there is no result 2, only 2");
  REFUSED(g_unary(g, OP_EXP, two), "operand 1 of `exp` has several results; take one of them");
  REFUSED(g_body(g, OP_CALL, NULL, body_of_two(&f), (Id[]){f.x}, 1), "`call` of f32[B, 3]: its body takes 2, 1 given");
  REFUSED(g_body(g, OP_CALL, NULL, body_of_two(&f), (Id[]){f.x, f.x}, 2),
          "`call` of f32[B, 3] and f32[B, 3]: input 2 of its body is f32[], f32[B, 3] given");
  assert_int_equal(g->body.n, 1);
  Id out[2];
  assert_true(graph_inline(g, graph_body(g, two), (Id[]){f.y, s}, out));
  assert_int_equal(out[0], g_binary(g, OP_MUL, f.y, s));
  assert_int_equal(out[1], g_reduce(g, OP_REDUCE_SUM, f.y, AXES(0, 1), 2));
  g->input.n = 4;
  assert_true(graph_verify(g));
  ctx_free(&f.c);
}

/* Doubles every neg; drops what the outputs do not need. */
static Id twice(void *ctx, const Graph *from, Id v, Graph *to, const Id *map) {
  ++*(int *)ctx;
  if (graph_op(from, v) != OP_NEG) return 0;
  Id n = g_unary(to, OP_NEG, map[graph_in(from, v)[0]]);
  return g_unary(to, OP_NEG, n);
}

static void test_rebuild(void **state) {
  (void)state;
  Fix f;
  fix_init(&f);
  Graph *g = f.g, *to = graph_new(&f.c, NULL);
  g->loc = 11;
  Id dead = g_unary(g, OP_EXP, f.x), n = g_unary(g, OP_NEG, f.x);
  g->copy = 5;
  Id sum = g_binary(g, OP_ADD, n, f.y);
  g->copy = 0;
  vec_push(f.c.arena, &g->output, sum);
  Id *map = mem_alloc(g->node.n * sizeof(Id)), order[64];
  int visits = 0;
  assert_int_equal(graph_reach(g, &sum, 1, order), 4);
  assert_int_equal(order[3], sum);
  assert_true(graph_rebuild(g, to, twice, &visits, map));
  assert_int_equal(visits, 2);
  assert_int_equal(map[dead], 0);
  assert_int_equal(to->input.n, 4);
  assert_int_equal(to->output.at[0], map[sum]);
  assert_int_equal(graph_at(to, map[sum])->copy, 5);
  assert_int_equal(graph_at(to, map[sum])->loc, 11);
  assert_int_equal(graph_at(to, map[n])->copy, 0);
  Buf b = {0};
  graph_print_body(to, &b);
  assert_string_equal(b.at,
                      "v0: f32[B, 3] = neg(a0)\nv1: f32[B, 3] = neg(v0)\nv2: f32[B, 3] = add(v1, a1, copy = 5)\nv2\n");
  assert_true(graph_verify(to));
  buf_free(&b);
  free(map);
  ctx_free(&f.c);
}

static void test_verify(void **state) {
  (void)state;
  for (int what = 0; what < 8; what++) {
    Fix f;
    fix_init(&f);
    Graph *g = f.g;
    Id v = g_binary(g, OP_ADD, f.x, f.y), w = g_unary(g, OP_EXP, v), twin = g_unary(g, OP_NEG, v);
    vec_push(f.c.arena, &g->output, w);
    assert_true(graph_verify(g));
    static const char *const expected[] = {"an operand does not come before it",
                                           "its type is not what its shape rule gives",
                                           "its type is not what its shape rule gives",
                                           "an operand does not come before it",
                                           "its shape rule refuses it",
                                           "an input is not the INPUT node of its number",
                                           "it is not listed as an input",
                                           "an equal node exists"};
    switch (what) {
    case 0: g->edge.at[graph_at(g, v)->in] = w; break;
    case 1: g->node.at[w].dtype = DT_F64; break;
    case 2: g->dim.at[graph_at(g, w)->shape] = f.n4; break;
    case 3: g->edge.at[graph_at(g, v)->in] = 0; break;
    case 4: g->edge.at[graph_at(g, w)->in] = f.i; break;
    case 5: g->input.at[0] = f.y; break;
    case 6: g->input.n = 3; break;
    case 7: /* two equal nodes in one chain */
      g->node.at[twin].op = OP_EXP;
      g->node.at[twin].next = w;
      break;
    }
    assert_false(graph_verify(g));
    Buf b = {0};
    diag_print(f.c.diag, &b);
    if (!strstr(b.at, expected[what])) fail_msg("%d: %s", what, b.at);
    buf_free(&b);
    ctx_free(&f.c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_table),
                                     cmocka_unit_test(test_cons),
                                     cmocka_unit_test(test_order_of_operands),
                                     cmocka_unit_test(test_constants),
                                     cmocka_unit_test(test_identities),
                                     cmocka_unit_test(test_elementwise),
                                     cmocka_unit_test(test_movement),
                                     cmocka_unit_test(test_index_and_reduce),
                                     cmocka_unit_test(test_bodies),
                                     cmocka_unit_test(test_rebuild),
                                     cmocka_unit_test(test_verify)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
