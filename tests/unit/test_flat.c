/* The flat form: reading what program_print writes gives the same program (tests/sir/flat/ *.sir are in canonical
 * text), places survive, and every mistake has its sentence. Run from the root. */
#include "flat.h"
#include "parse.h"
#include "pass.h"
#include "simplify.h"
#include "sir.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

static bool load(Ctx *c, const char *path, const char *text, AstFile *f, Program *p) {
  return sir_parse(c->arena, c->names, c->diag, path, text, strlen(text), f) && flat_read(c, f, p) && program_verify(p);
}

static void explain(const Ctx *c) {
  Buf b = {0};
  diag_print(c->diag, &b);
  fprintf(stderr, "%s", b.at ? b.at : "");
  buf_free(&b);
}

/* The text without the places that the file itself gave. */
static void strip(Buf *b, const char *path) {
  char mark[64];
  snprintf(mark, sizeof mark, "  #@ \"%s\"", path);
  for (char *at; (at = strstr(b->at, mark));) {
    size_t n = strcspn(at, "\n");
    memmove(at, at + n, strlen(at + n) + 1);
  }
}

static void round_trip(const char *path) {
  Ctx c = ctx_new();
  AstFile f;
  Program p;
  size_t n;
  const char *why, *base = strrchr(path, '/') + 1;
  char *text = file_read(c.arena, path, &n, &why);
  if (!text) fail_msg("%s", why);
  if (!load(&c, path, text, &f, &p)) explain(&c);
  assert_int_equal(diag_errors(c.diag), 0);
  assert_true(flat_is(&f));
  Buf b = {0};
  program_print(&p, true, &b);
  strip(&b, base);
  assert_string_equal(b.at, text);
  Program q;
  AstFile f2;
  Buf again = {0}, once = {0};
  program_print(&p, true, &once);
  if (!load(&c, path, arena_strndup(c.arena, once.at, once.n), &f2, &q)) explain(&c);
  assert_int_equal(diag_errors(c.diag), 0);
  program_print(&q, true, &again);
  assert_string_equal(once.at, again.at);
  buf_free(&b);
  buf_free(&again);
  buf_free(&once);
  ctx_free(&c);
}

static void test_round_trip(void **state) {
  (void)state;
  round_trip("tests/sir/flat/model.sir");
  round_trip("tests/sir/flat/names.sir");
}

static void test_places_and_ports(void **state) {
  (void)state;
  Ctx c = ctx_new();
  AstFile f;
  Program p;
  size_t n;
  const char *why;
  char *text = file_read(c.arena, "tests/sir/flat/model.sir", &n, &why);
  assert_non_null(text);
  assert_true(load(&c, "model.sir", text, &f, &p));
  assert_string_equal(p.name, "model");
  assert_int_equal(p.cells.n, 5);
  assert_int_equal(p.cells.at[3].kind, CELL_LOCAL);
  assert_true(p.cells.at[1].frozen);
  assert_string_equal(p.cells.at[0].doc, "the weight\nof the last layer");
  Place at;
  assert_true(diag_place(c.diag, p.cells.at[0].loc, &at));
  assert_string_equal(at.path, "digits.sir");
  assert_int_equal(at.line, 3);
  const Entry *e = &p.entries.at[1];
  assert_true(e->training);
  assert_int_equal(e->dims.n, 2);
  assert_int_equal(e->dims.at[0].lo, 2);
  assert_int_equal(e->dims.at[0].hi, 256);
  assert_true(e->dims.at[1].given && !e->dims.at[0].given);
  assert_int_equal(e->checks.n, 5);
  assert_string_equal(e->checks.at[3].text, "K is at most a thousand");
  assert_string_equal(e->inputs.at[4].name, "pair.1.q");
  assert_string_equal(e->inputs.at[0].doc, "rows of pixels");
  assert_true(e->inputs.at[2].inout && e->inputs.at[2].update);
  assert_string_equal(e->outputs.at[3].name, "rest.1");
  assert_int_equal(e->updates.n, 2);
  assert_int_equal(e->graph->output.n, 8);
  ctx_free(&c);
}

#define ENTRY(lines) "param p0: f32[4] as \"w\"\nentry f(x: f32[B], y: f32[4]) -> f32[B] {\n" lines "\n}\n"

static const struct Mistake {
  const char *text, *id, *sentence;
} MISTAKES[] = {
    {ENTRY("  v0: f32[B] = frob(x)\n  v0"), "flat-op", "there is no op `frob` in the flat form"},
    {ENTRY("  v0: f32[B] = input()\n  v0"), "flat-op", "there is no op `input` in the flat form"},
    {ENTRY("  v0: f32[4] = exp(x)\n  v0"), "flat-type", "`exp` gives f32[B], the text says f32[4]"},
    {ENTRY("  v0: f32[B] = add(x, y)\n  v0"), "op-shape", "`add` of f32[B] and f32[4]: axis 0 is B and 4"},
    {ENTRY("  v0: f32[B] = add(x)\n  v0"), "op-operands", "`add` takes 2 operands, 1 given"},
    {ENTRY("  v0: f32[B] = add(x, z)\n  v0"), "flat-name", "there is no `z` here"},
    {ENTRY("  v0: f32[B] = exp(x)\n  v0: f32[B] = exp(x)\n  v0"), "flat-name", "there are two `v0`"},
    {ENTRY("  v0: f32[] = reduce_sum(x)\n  v0"), "flat-attribute", "`reduce_sum` needs `axes = `"},
    {ENTRY("  v0: f32[] = reduce_sum(x, axes = [0], keep = 1)\n  v0"), "flat-attribute",
     "`reduce_sum` has no attribute `keep`"},
    {ENTRY("  v0: f32[] = reduce_sum(x, axes = [1])\n  v0"), "op-axis",
     "`reduce_sum` of f32[B]: there is no axis 1, the rank is 1"},
    {ENTRY("  v0: f32[] = reduce_sum(x, axes = [0, 0])\n  v0"), "op-axis",
     "`reduce_sum` of f32[B]: the axes are to rise, but 0 comes after 0"},
    {ENTRY("  v0: f32[] = reduce_sum(x, axes = 0)\n  v0"), "flat-attribute",
     "a list of at most 24 whole numbers stands here"},
    {ENTRY("  v0: f32[B] = add(x, true)\n  v0"), "op-dtype",
     "`add` of f32[B] and bool[]: it takes numbers, a bool is none"},
    {ENTRY("  v0: i32[] = add(constant(1, i32), 3000000000)\n  v0"), "flat-number", "3000000000 does not fit i32"},
    {ENTRY("  v0: i32[] = add(constant(1, i32), 0.5)\n  v0"), "flat-number", "a whole number of 64 bits stands here"},
    {ENTRY("  v0: bool[] = less(1, 2)\n  x"), "flat-number", "this number needs a dtype: constant(1.0, f32)"},
    {ENTRY("  v0: i8[B] = convert(x, dtype = i8)\n  v0"), "op-dtype",
     "`convert` of f32[B]: the dtype i8 is not supported yet; use f32, f64, f16, bf16, i32, i64 or bool"},
    {ENTRY("  v0: f32[C] = exp(x)\n  v0"), "flat-dimension", "there is no dimension `C` in this entry"},
    {ENTRY("  v0: f32[B] = exp(x)\n  w <- v0\n  v0"), "flat-name", "`<-` writes a param, a state or an inout"},
    {ENTRY("  p0 <- x\n  x"), "flat-type", "`p0` is f32[4], the new value f32[B]"},
    {ENTRY("  p0 <- y\n  p0 <- y\n  x"), "flat-name", "`p0` is written twice"},
    {ENTRY("  p0 <- y"), "flat-form", "the entry ends without its value"},
    {ENTRY("  y = exp(x)\n  x"), "flat-form", "a line of the flat form is `v0: f32[B] = op(..)`"},
    {ENTRY("  y"), "flat-type", "the value gives f32[4], the text says f32[B]"},
    {ENTRY("  v0: f32[B] = call(x)\n  v0"), "flat-form", "`call` takes a body fn(..) {..}"},
    {ENTRY("  v0: f32[B] = call(fn(a: f32[4]) { a }, x)\n  v0"), "op-shape",
     "`call` of f32[B]: input 1 of its body is f32[4], f32[B] given"},
    {ENTRY("  v0: f32[4] = call(fn(a: f32[4]) { p0 }, y)\n  x"), "flat-name",
     "`p0` is a cell: a body or a start value cannot read it"},
    {ENTRY("  (v0, v1): (f32[4], f32[4]) = call(fn(a: f32[4]) { a }, y)\n  x"), "flat-form",
     "`call` gives 1 result: as many names and types stand before `=`"},
    {ENTRY("  v0: f32[2] = slice(y, starts = [3], ends = [5], steps = [1])\n  x"), "op-shape",
     "`slice` of f32[4]: 3 to 5 does not lie within axis 0 of 4"},
    {ENTRY("  v0: f32[2] = slice(x, starts = [1], ends = [3], steps = [1])\n  x"), "flat-unproved",
     "`slice`: 1 to 3 is not known to lie within B; say so in `where`"},
    {ENTRY("  v0: f32[B - 2] = iota(shape = [B - 2], axis = 0, dtype = f32)\n  x"), "flat-unproved",
     "the size B - 2 is not known to be at least 0; say so in `where`"},
    {ENTRY("  v0: f32[5] = reshape(y, shape = [5])\n  x"), "op-shape",
     "`reshape` of f32[4]: 4 elements do not fit f32[5], which has 5"},
    {ENTRY("  v0: f32[5] = reshape(x, shape = [5])\n  x"), "op-shape",
     "`reshape` of f32[B]: B elements are not known to be the 5 of f32[5]"},
    {ENTRY("  v0: f32[] = dot_general(x, y, contract = [[0], [0]], batch = [[], []])\n  x"), "op-shape",
     "`dot_general` of f32[B] and f32[4]: axis 0 of the first is B, axis 0 of the second is 4; they are summed "
     "together and are to be equal"},
    {ENTRY("  v0: f32[3] = iota(shape = [3], axis = 1, dtype = f32)\n  x"), "op-axis",
     "`iota`: there is no axis 1, the rank is 1"},
    {ENTRY("  v0: f32[3] = random(kind = \"normal\", shape = [3], key = \"k\", lanes = 0, dtype = f32)\n  x"),
     "op-attribute", "`random`: there is no kind \"normal\"; it gives \"uniform\" or \"bits\""},
    {"const c0: f32[3] = constant([1.0])\nentry f() -> f32[3] {\n  c0\n}\n", "op-shape",
     "`constant`: 1 numbers for f32[3]"},
    {"const c0: f32[3] = frob(1)\nentry f() -> f32[3] {\n  c0\n}\n", "flat-form",
     "a const of the flat form is constant([..]) or load(\"file\", offset = 0)"},
    {"param p0: f32[B] as \"w\"\n", "flat-dimension", "there is no dimension `B` in this entry"},
    {"param p0: f32[2] as \"w\"\nparam p1: f32[2] as \"w\"\n", "flat-name", "two cells are called \"w\""},
    {"param p0: f32[2] = init_0() as \"w\"\n", "flat-name", "there is no fn `init_0` without arguments above"},
    {"state s0: f32[2] = 1.5 as \"a\"\nfn init_0() -> f32[2] {\n  s0\n}\nstate s1: f32[2] = init_0() as \"b\"\n",
     "flat-name", "`s0` is a cell: a body or a start value cannot read it"},
    {"use \"a.sir\" as a\n", "flat-form", "this is no declaration of the flat form"},
    {"freeze(p0)\n", "flat-form", "this is no declaration of the flat form"},
    {"entry f(x: f32[1, 1, 1, 1, 1, 1, 1, 1, 1]) -> f32[] {\n  x\n}\n", "flat-type", "9 axes; a tensor has at most 8"},
    {"entry f(x: f32[-1]) -> f32[] {\n  x\n}\n", "op-shape", "`input`: the size -1 is negative"},
    {"entry f(x: f32[9223372036854775807 * 9223372036854775807]) -> f32[] {\n  x\n}\n", "op-shape",
     "`input`: a size leaves 64 bits"},
    {"entry f(x: f32[B]) -> f32[B] where B {\n  x\n}\n", "flat-form", "a fact is one comparison of sizes"},
    {"entry f(x: f32[]) {\n  x\n}\n", "flat-form", "the entry gives a value but its head has no `->`"},
};

static void test_mistakes(void **state) {
  (void)state;
  int wrong = 0;
  for (size_t i = 0; i < sizeof MISTAKES / sizeof *MISTAKES; i++) {
    Ctx c = ctx_new();
    AstFile f;
    Program p;
    const char *id = NULL, *sentence;
    if (load(&c, "bad.sir", MISTAKES[i].text, &f, &p)) fail_msg("no error in: %s", MISTAKES[i].text);
    sentence = diag_first(c.diag, &id);
    if (strcmp(id, MISTAKES[i].id) || strcmp(sentence, MISTAKES[i].sentence)) {
      fprintf(stderr, "%s\ngives [%s] %s\nnot   [%s] %s\n", MISTAKES[i].text, id, sentence, MISTAKES[i].id,
              MISTAKES[i].sentence);
      wrong++;
    }
    ctx_free(&c);
  }
  assert_int_equal(wrong, 0);
}

static void test_recognised(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool flat;
  } cases[] = {
      {"entry f(x: f32[B]) -> f32[B] {\n  x\n}\n", false}, /* SIR reads it as well */
      {"entry f(x: f32[B]) -> f32[B] {\n  y = exp(x)\n  y\n}\n", false},
      {"entry f(x: f32[B]) -> f32[B] {\n  v0: f32[B] = exp(x)\n  v0\n}\n", true},
      {"entry f(x: f32[B]) -> f32[B] {\n  assert B < 9, \"few\"\n  v0: f32[B] = exp(x)\n  v0\n}\n", true},
      {"entry f(x: f32[B]) -> f32[B] {\n  x + 1.0\n}\n", false},
      {"entry f(x: f32[B]) -> f32[B] {\n  relu(x)\n}\n", false},
      {"param w: f32[3]\nentry f(x: f32[B]) -> f32[B] {\n  x\n}\n", false},
      {"module M() {\n}\nentry f(x: f32[B]) -> f32[B] {\n  x\n}\n", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Ctx c = ctx_new();
    AstFile f;
    assert_true(sir_parse(c.arena, c.names, c.diag, "f.sir", cases[i].text, strlen(cases[i].text), &f));
    if (flat_is(&f) != cases[i].flat) fail_msg("%s", cases[i].text);
    ctx_free(&c);
  }
}

/* Random damage to a good file never crashes the reader. */
static void test_damage(void **state) {
  (void)state;
  Ctx c = ctx_new();
  size_t n;
  const char *why;
  char *text = file_read(c.arena, "tests/sir/flat/model.sir", &n, &why);
  uint64_t seed = 7;
  for (int turn = 0; turn < 400; turn++) {
    Ctx d = ctx_new();
    char *copy = arena_strndup(d.arena, text, n);
    for (int k = 0; k < 3; k++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      copy[(seed >> 33) % n] = text[(seed >> 13) % n];
    }
    AstFile f;
    Program p;
    if (load(&d, "model.sir", copy, &f, &p)) {
      Buf b = {0};
      program_print(&p, true, &b);
      buf_free(&b);
    } else {
      const char *id;
      assert_non_null(diag_first(d.diag, &id));
      assert_string_not_equal(id, "verify");
    }
    ctx_free(&d);
  }
  ctx_free(&c);
}

/* What the tracer makes of whole programs, as traced and after the passes, survives too. */
static void same_again(Ctx *c, const Program *p) {
  Buf once = {0}, again = {0};
  AstFile f;
  Program q;
  program_print(p, true, &once);
  if (!load(c, "flat.sir", arena_strndup(c->arena, once.at, once.n), &f, &q)) explain(c);
  assert_int_equal(diag_errors(c->diag), 0);
  assert_true(flat_is(&f));
  program_print(&q, true, &again);
  strip(&again, "flat.sir");
  assert_string_equal(once.at, again.at);
  buf_free(&once);
  buf_free(&again);
}

static void test_traced(void **state) {
  (void)state;
  static const char *const paths[] = {"tests/sir/programs/digits_mlp.sir", "tests/sir/programs/gnn.sir",
                                      "tests/sir/programs/lora.sir",       "tests/sir/programs/optimizers.sir",
                                      "tests/sir/programs/vae.sir",        "tests/sir/programs/vqvae.sir"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    Ctx c = ctx_new();
    Program p;
    if (!sir_trace(&c, paths[i], NULL, &p)) explain(&c);
    assert_int_equal(diag_errors(c.diag), 0);
    same_again(&c, &p);
    assert_true(program_map(&p, pass_inline_all, NULL));
    assert_true(program_verify(&p));
    same_again(&c, &p);
    assert_true(program_map(&p, pass_simplify, NULL));
    assert_true(program_verify(&p));
    same_again(&c, &p);
    ctx_free(&c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_places_and_ports),
                                     cmocka_unit_test(test_mistakes),   cmocka_unit_test(test_recognised),
                                     cmocka_unit_test(test_damage),     cmocka_unit_test(test_traced)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
