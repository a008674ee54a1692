/* The SIR parser and printer: the programs of tests/sir/programs, the mistakes of tests/sir/bad (the first line of each
 * says what must be reported), the examples of language.md, and random damage to the programs. Run from the root. */
#include "parse.h"
#include <glob.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

#define LANGUAGE "frontend/sir/language.md"

typedef struct Case {
  Arena *arena;
  StrTab *names;
  Diag *diag;
} Case;

static Case case_new(void) {
  Arena *a = arena_new();
  return (Case){a, strtab_new(a), diag_new(a)};
}

static bool parse(Case *c, const char *path, const char *text, size_t n, AstFile *out) {
  return sir_parse(c->arena, c->names, c->diag, path, text, n, out);
}

static void explain(const Case *c, const char *what) {
  Buf b = {0};
  diag_print(c->diag, &b);
  fprintf(stderr, "%s\n%s\n", what, b.at ? b.at : "");
  buf_free(&b);
}

/* The whole report of a text that must not parse; released by the caller. */
static Buf report_of(const char *path, const char *text, size_t n, int *errors) {
  Case c = case_new();
  AstFile f;
  Buf b = {0};
  assert_false(parse(&c, path, text, n, &f));
  assert_null(f.body);
  diag_print(c.diag, &b);
  if (errors) *errors = diag_errors(c.diag);
  arena_free(c.arena);
  return b;
}

static void assert_report(const char *text, size_t n, const char *first_line) {
  Buf b = report_of("t.sir", text, n, NULL);
  b.at[strcspn(b.at, "\n")] = 0;
  assert_string_equal(b.at, first_line);
  buf_free(&b);
}

/* Prints a parsed tree and parses that again: the same tree, the same text. Gives the text (in the case's arena). */
static const char *assert_round_trip(Case *c, const char *path, const Ast *body) {
  Buf one = {0}, two = {0};
  AstFile again;
  ast_print(c->diag, body, &one);
  const char *text = arena_strndup(c->arena, one.n ? one.at : "", one.n);
  if (!parse(c, "printed", text, one.n, &again)) {
    explain(c, path);
    fail_msg("the printed text of %s does not parse:\n%s", path, text);
  }
  if (!ast_equal(body, again.body)) fail_msg("the printed text of %s is another tree:\n%s", path, text);
  ast_print(c->diag, again.body, &two);
  assert_string_equal(text, two.n ? two.at : "");
  buf_free(&one);
  buf_free(&two);
  return text;
}

static char *read_whole(Arena *a, const char *path, size_t *n) {
  const char *why;
  char *text = file_read(a, path, n, &why);
  if (!text) fail_msg("%s", why);
  return text;
}

static void each_file(const char *pattern, void (*f)(const char *path), size_t least) {
  glob_t g;
  int rc = glob(pattern, 0, NULL, &g);
  assert_true(rc == 0 || (rc == GLOB_NOMATCH && !least));
  assert_true(rc != 0 || g.gl_pathc >= least);
  for (size_t k = 0; rc == 0 && k < g.gl_pathc; k++) f(g.gl_pathv[k]);
  if (rc == 0) globfree(&g);
}

/* ---- files ---- */

static void good_file(const char *path) {
  Case c = case_new();
  size_t n;
  char *text = read_whole(c.arena, path, &n);
  AstFile f;
  if (!parse(&c, path, text, n, &f)) {
    explain(&c, path);
    fail_msg("%s does not parse", path);
  }
  assert_round_trip(&c, path, f.body);
  arena_free(c.arena);
}

static void programs(void **state) {
  (void)state;
  each_file("tests/sir/programs/*.sir", good_file, 19);
  each_file("frontend/lib/*.sir", good_file, 0);
  each_file("models/*.sir", good_file, 0);
}

/* First line: `# LINE:COL: sentence [id]`, or `# errors N first: LINE:COL: ...`. */
static void bad_file(const char *path) {
  Arena *a = arena_new();
  size_t n;
  char *text = read_whole(a, path, &n), *want = arena_strndup(a, text, strcspn(text, "\n"));
  int errors, wanted = 0, skip = 0;
  if (sscanf(want, "# errors %d first: %n", &wanted, &skip) != 1) skip = 2;
  Buf b = report_of(path, text, n, &errors);
  b.at[strcspn(b.at, "\n")] = 0;
  char *got = strstr(b.at, ": error: ");
  assert_non_null(got);
  char *line = arena_printf(a, "%.*s: %s", (int)(got - b.at), b.at, got + strlen(": error: "));
  assert_string_equal(line, arena_printf(a, "%s:%s", path, want + skip));
  if (wanted) assert_int_equal(errors, wanted);
  buf_free(&b);
  arena_free(a);
}

static void mistakes(void **state) {
  (void)state;
  each_file("tests/sir/bad/*.sir", bad_file, 100);
}

/* Every block of language.md marked sir parses and survives the printer, unless the text block behind it says how it
 * fails to; text blocks of errors that the parser cannot see are the tracer's. */
static void language(void **state) {
  (void)state;
  Arena *a = arena_new();
  size_t n;
  char *page = read_whole(a, LANGUAGE, &n), *at = page;
  int blocks = 0, errors = 0;
  while ((at = strstr(at, "```sir\n"))) {
    char *text = at + 7, *end = strstr(text, "```"), *path = arena_printf(a, "block %d", ++blocks);
    assert_non_null(end);
    Case c = case_new();
    AstFile f;
    if (parse(&c, path, text, (size_t)(end - text), &f)) {
      assert_round_trip(&c, path, f.body);
    } else {
      Buf b = {0};
      diag_print(c.diag, &b);
      char *got = strstr(b.at, "error: ");
      got[strcspn(got, "\n")] = 0;
      if (strncmp(end, "```\n```text\n", 12) || strncmp(end + 12, got, strlen(got)))
        fail_msg("%s of %s: %s:\n%.*s", path, LANGUAGE, got, (int)(end - text), text);
      errors++;
      buf_free(&b);
    }
    arena_free(c.arena);
    at = end + 3;
  }
  assert_true(blocks >= 40 && errors >= 8);
  arena_free(a);
}

/* ---- trees and texts ---- */

static void trees(void **state) {
  (void)state;
  static const char *const want[][2] = {
      {"use nn, \"a.sir\" as a", "(body (use (name nn) (use_file a (str (text \"a.sir\")))))"},
      {"const K: int = 0x10", "(body (const K (t_name int) (int 0x10)))"},
      {"x = nn.f(1, k = 2) as \"h\"",
       "(body (field_decl x - (call (field f (name nn)) (int 1) (named k (int 2))) (str (text \"h\"))))"},
      {"param w: f32[..., B, _, =K, 2 * D] = z if c",
       "(body (param w (t_tensor f32 (rest) (name B) (any) (given (name K)) (bin * (int 2) (name D))) (name z) - (name "
       "c)))"},
      {"state(local) s = 0\nown base as \"\"\ntie a.w = b[0].w",
       "(body (state(local) s - (int 0) - -) (own base (str)) (tie (field w (name a)) (field w (index (name b) (int "
       "0)))))"},
      {"module M(n: int, b = true) { fn forward(x) { x } }",
       "(body (module M (args (arg n (t_name int) -) (arg b - (bool true))) (body (fn forward (args (arg x - -)) - - "
       "(block (name x)) -))))"},
      {"entry e(x: nn.T, inout h: f32[], dim N) -> {a: (f32[],)} where N >= 1 train { }",
       "(body (entry e (args (arg x (t_name nn.T) -) (arg_inout h (t_tensor f32) -) (arg_dim N - -)) (t_record "
       "(t_field a (t_tuple (t_tensor f32)))) (where (bin >= (name N) (int 1))) (mode train) (block)))"},
      {"fn f(x: [f32[B]; L]) { x } vjp(g) { (g,) }", "(body (fn f (args (arg x (t_list (t_tensor f32 (name B)) (name "
                                                     "L)) -)) - - (block (name x)) (vjp (args (arg g - "
                                                     "-)) (block (tuple (name g))))))"},
      {"fn f(x) { (a, _): (f32[], tensor) = x; a += 1; s.h[0] <- a; return }",
       "(body (fn f (args (arg x - -)) - - (block (bind (tuple (name a) (name _)) (t_tuple (t_tensor f32) (t_name "
       "tensor)) (name x)) (aug + (name a) (int 1)) (update (index (field h (name s)) (int 0)) (name a)) (return -)) "
       "-))"},
      {"fn f() { for i in 0..3 { g(i) }; while c max 4 { }; if c { } else if d { } }",
       "(body (fn f (args) - - (block (for (name i) (range (int 0) (int 3)) (block (call (name g) (name i)))) (while "
       "(name c) (int 4) (block)) (if (name c) (block) (if (name d) (block) -))) -))"},
      {"x = [a for (a, b) in c if d]",
       "(body (field_decl x - (comp (name a) (cfor (tuple (name a) (name b)) (name c)) (cif (name d))) -))"},
      {"x = [[a for a in b]]", "(body (field_decl x - (list (comp (name a) (cfor (name a) (name b)))) -))"},
      {"x = {...s, a, b = 1.5}",
       "(body (field_decl x - (record (spread (name s)) (pair a -) (pair b (float 1.5))) -))"},
      {"x = a[..., ::2, 1:, none]",
       "(body (field_decl x - (index (name a) (rest) (slice - - (int 2)) (slice (int 1) - -) (none)) -))"},
      {"x = -a ** -2 ** b + not_", "(body (field_decl x - (bin + (un - (bin ** (name a) (un - (bin ** (int 2) (name "
                                   "b))))) (name not_)) -))"},
      {"x = not a and b or c == d",
       "(body (field_decl x - (bin or (bin and (un not (name a)) (name b)) (bin == (name c) (name d))) -))"},
      {"assert a, \"n {n + 1}\\t{{\"",
       "(body (assert (name a) (str (text \"n \") (bin + (name n) (int 1)) (text \"\t{\"))))"},
      {"fn f() { train { g() }; eval { b } }",
       "(body (fn f (args) - - (block (region train (block (call (name g)))) (region eval (block (name b)))) -))"},
  };
  for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
    Case c = case_new();
    AstFile f;
    Buf b = {0};
    if (!parse(&c, "t.sir", want[k][0], strlen(want[k][0]), &f)) {
      explain(&c, want[k][0]);
      fail();
    }
    ast_dump(f.body, &b);
    assert_string_equal(b.at, want[k][1]);
    assert_round_trip(&c, want[k][0], f.body);
    buf_free(&b);
    arena_free(c.arena);
  }
}

static void canonical(void **state) {
  (void)state;
  static const char *const want[][2] = {
      {"x=a+(b+c)*(-d)**2", "x = a + (b + c) * (-d) ** 2\n"},
      {"x=(a==b)==(c<d)\ny=(a..b)", "x = (a == b) == (c < d)\ny = a..b\n"},
      {"x=((a or b) and not(c)) # gone", "x = (a or b) and not c\n"},
      {"x=not(a==b)\ny=(not a)==b", "x = not a == b\ny = (not a) == b\n"},
      {"x=(3).f()\ny=(a,)\nz=()", "x = (3).f()\ny = (a,)\nz = ()\n"},
      {"x = \"\\\"\\\\ {a . b+1} }}\"", "x = \"\\\"\\\\ {a.b + 1} }}\"\n"},
      {"fn f(c){(if c{1}else{2})+1}", "fn f(c) { (if c { 1 } else { 2 }) + 1 }\n\n"},
      {"fn f(c){x=if c{1}else{2}+1;x}", "fn f(c) {\n  x = if c { 1 } else { 2 } + 1\n  x\n}\n\n"},
      {"fn f(x){for a in (train{x}){g(a)}}", "fn f(x) { for a in (train { x }) { g(a) } }\n\n"},
      {"fn f(train){if train{1}else{2}}", "fn f(train) { if train { 1 } else { 2 } }\n\n"},
      {"(state)(x)", "(state)(x)\n"},
      {"fn f(a,b){y=a\n-b\n}", "fn f(a, b) {\n  y = a\n  -b\n}\n\n"},
      {"fn f(x){y=x\n.g()\n[y]}", "fn f(x) {\n  y = x.g()\n  [y]\n}\n\n"},
      {"module M(){}", "module M() { }\n\n"},
      {"## one\n##  two\n##\nfn f(\n## p\n x) {x}", "## one\n## two\n##\nfn f(\n    ## p\n    x) { x }\n\n"},
      {"fn f(x){y=x #@ \"a b.sir\":12:5\ny}#@ no place\nx=1#@ \"c\":1:2",
       "fn f(x) {\n  y = x  #@ \"a b.sir\":12:5\n  y\n}\n\nx = 1  #@ \"c\":1:2\n"},
  };
  for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
    Case c = case_new();
    AstFile f;
    if (!parse(&c, "t.sir", want[k][0], strlen(want[k][0]), &f)) {
      explain(&c, want[k][0]);
      fail();
    }
    assert_string_equal(assert_round_trip(&c, want[k][0], f.body), want[k][1]);
    arena_free(c.arena);
  }
}

static void places(void **state) {
  (void)state;
  const char *text = "x = 1\n\ny = g(a +\n  b) #@ \"m.sir\":7:3\n";
  Case c = case_new();
  AstFile f;
  assert_true(parse(&c, "t.sir", text, strlen(text), &f));
  const Ast *y = f.body->kids[1];
  Place p;
  assert_true(diag_place(c.diag, y->loc, &p));
  assert_string_equal(p.path, "t.sir");
  assert_int_equal(p.line, 3);
  assert_int_equal(p.col, 1);
  assert_true(diag_place(c.diag, y->end, &p));
  assert_int_equal(p.line, 4);
  assert_int_equal(p.col, 5);
  assert_true(diag_place(c.diag, y->place, &p));
  assert_string_equal(p.path, "m.sir");
  assert_int_equal(p.line, 7);
  assert_int_equal(p.col, 3);
  assert_int_equal(f.body->kids[0]->place, 0);
  assert_int_equal(f.base, f.body->kids[0]->loc);
  arena_free(c.arena);
}

static void one_expression(void **state) {
  (void)state;
  Case c = case_new();
  Ast *e = sir_parse_expr(c.arena, c.names, c.diag, "-D K", "[1,\n 2 * K]", 11);
  assert_non_null(e);
  Buf b = {0};
  ast_print(c.diag, e, &b);
  assert_string_equal(b.at, "[1, 2 * K]");
  b.n = 0;
  assert_null(sir_parse_expr(c.arena, c.names, c.diag, "-D K", "3 4", 3));
  diag_print(c.diag, &b);
  assert_non_null(strstr(b.at, "-D K:1:3: error: expected the end of the value, found `4` [unexpected]\n"));
  assert_null(sir_parse_expr(c.arena, c.names, c.diag, "-D K", "_", 1));
  assert_null(sir_parse_expr(c.arena, c.names, c.diag, "-D K", "", 0));
  buf_free(&b);
  arena_free(c.arena);
}

/* ---- odd bytes, size ---- */

static void bytes(void **state) {
  (void)state;
  assert_report("const K = \"\xff\"", 13, "t.sir:1:12: error: the byte 0xff here is not UTF-8 text [not-utf8]");
  assert_report("const K\0= 3", 11, "t.sir:1:8: error: the byte 0x00 here is not UTF-8 text [not-utf8]");
  assert_report("# \xc3", 3, "t.sir:1:3: error: the byte 0xc3 here is not UTF-8 text [not-utf8]");
  assert_report("# \xed\x20\x80", 5, "t.sir:1:3: error: the byte 0xed here is not UTF-8 text [not-utf8]");
  assert_report("", (size_t)65 << 20,
                "error: t.sir has 68157440 bytes and a SIR file at most 64 MiB; large constants belong in a .npy file: "
                "load(\"c.npy\") [file-too-large]");
  static const char *const good[] = {
      "",  "\n\n",   "# \xc3\xa4", "\xef\xbb\xbfuse nn\n", "use nn\r\nconst K = 3\r\n", "const S = \"\xe2\x82\xac\"",
      ";", "## lost"};
  for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
    Case c = case_new();
    AstFile f;
    bool ok = parse(&c, "t.sir", good[k], strlen(good[k]), &f);
    assert_int_equal(ok, strcmp(good[k], ";") != 0);
    if (ok) assert_round_trip(&c, good[k], f.body);
    arena_free(c.arena);
  }
}

static char *repeat(const char *start, const char *piece, size_t times, const char *stop, size_t *n) {
  size_t a = strlen(start), b = strlen(piece), c = strlen(stop);
  char *s = malloc(a + b * times + c);
  memcpy(s, start, a);
  for (size_t k = 0; k < times; k++) memcpy(s + a + k * b, piece, b);
  memcpy(s + a + b * times, stop, c);
  *n = a + b * times + c;
  return s;
}

static void large(void **state) {
  (void)state;
  static const struct {
    const char *start, *piece, *stop, *report;
    size_t times;
  } want[] = {
      {"x = ", "(", "",
       "t.sir:1:407: error: this is nested too deeply: SIR reads 400 levels; bind parts of it to names "
       "[too-deep]",
       10000000},
      {"x = ", "[{", "",
       "t.sir:1:407: error: this is nested too deeply: SIR reads 400 levels; bind parts of it to names "
       "[too-deep]",
       5000000},
      {"x = ", "-", "",
       "t.sir:1:405: error: this is nested too deeply: SIR reads 400 levels; bind parts of it to names "
       "[too-deep]",
       200000},
      {"x = 1", " + 1", "",
       "t.sir:1:5: error: this is nested too deeply: SIR reads 400 levels; bind parts of it to "
       "names [too-deep]",
       200000},
      {"", "'", "", "t.sir:1:1: error: a string stands in double quotes [string-quotes]", 200000},
      {"", "}\n", "", "t.sir:1:1: error: expected an expression, found `}` [unexpected]", 200000},
      {"x = \"", "{", "", "t.sir:1:5: error: this string is not closed on its line [string-open]", 200000},
      {"x = \"", "{{", "}\"", "t.sir:1:400006: error: a brace in a string is written `}}` [string-brace]", 200000},
      {"fn f(", "a, ", "b) { a }", "t.sir:1:9: error: two parameters are called `a` [two-parameters]", 200000},
  };
  for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
    size_t n;
    char *text = repeat(want[k].start, want[k].piece, want[k].times, want[k].stop, &n);
    assert_report(text, n, want[k].report);
    free(text);
  }
  static const char *const good[][3] = {
      {"", "f()\n", ""}, {"fn f() {", "g(1, 2); ", "}"}, {"x = [", "1, ", "]"}, {"", "#\n", ""}};
  for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
    size_t n;
    char *text = repeat(good[k][0], good[k][1], 100000, good[k][2], &n);
    Case c = case_new();
    AstFile f;
    assert_true(parse(&c, "t.sir", text, n, &f));
    arena_free(c.arena);
    free(text);
  }
}

/* The deepest trees that parse can be printed. */
static void deepest(void **state) {
  (void)state;
  static const char *const want[][3] = {{"x = ", "-", "1"},
                                        {"x = ", "[", "1"},
                                        {"fn f(c) { ", "if c { ", "1"},
                                        {"x = 1", " + 1", ""},
                                        {"x = a", ".g()", ""}};
  static const char *const closing[] = {"", "]", "} ", "", ""};
  static const int most[] = {397, 397, 198, 397, 198};
  for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
    size_t n, m;
    char *front = repeat(want[k][0], want[k][1], (size_t)most[k], want[k][2], &n);
    char *back = repeat("", closing[k], (size_t)most[k], k == 2 ? "}" : "", &m);
    Case c = case_new();
    AstFile f;
    char *text = arena_printf(c.arena, "%.*s%.*s", (int)n, front, (int)m, back);
    if (!parse(&c, "t.sir", text, n + m, &f)) {
      explain(&c, want[k][1]);
      fail();
    }
    assert_true(f.body->depth <= AST_DEPTH);
    assert_round_trip(&c, want[k][1], f.body);
    free(front);
    free(back);
    arena_free(c.arena);
  }
}

/* ---- damage ---- */

static uint64_t seed = 1;

static uint32_t below(uint32_t n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % n;
}

static size_t damage(char *s, size_t n) {
  static const char *const piece[] = {
      "(",      ")",     "[",    "]",     "{",      "}",  "\"",   "#",      "\n",
      ";",      ",",     ":",    "=",     "<-",     "..", "...",  "_",      " if ",
      " else ", " for ", " in ", " not ", "train ", "'",  "{{",   "##",     "#@ \"a\":1:2",
      " none ", "1",     "0.5",  "1e9",   "-",      "**", " fn ", "while ", "max ",
      "self",   "as ",   "$",    "\\"};
  size_t at = below((uint32_t)n), len = 1 + below(8);
  if (at + len > n) len = n - at;
  switch (below(4)) {
  case 0: s[at] = (char)(s[at] ^ 1 << below(7)); return n;
  case 1: memmove(s + at, s + at + len, n - at - len); return n - len;
  case 2: {
    const char *p = piece[below(sizeof piece / sizeof *piece)];
    memmove(s + at + strlen(p), s + at, n - at);
    memcpy(s + at, p, strlen(p));
    return n + strlen(p);
  }
  default: { /* a piece of it again, elsewhere */
    size_t from = below((uint32_t)(n - len + 1));
    char copy[8];
    memcpy(copy, s + from, len);
    memmove(s + at + len, s + at, n - at);
    memcpy(s + at, copy, len);
    return n + len;
  }
  }
}

static int survived, refused;

static void damaged_file(const char *path) {
  Arena *a = arena_new();
  size_t n;
  char *text = read_whole(a, path, &n);
  for (int k = 0; k < 110; k++) {
    Case c = case_new();
    AstFile f;
    char *s = malloc(n + 256);
    size_t m = n;
    memcpy(s, text, n);
    for (uint32_t times = 1 + below(4); times && m; times--) m = damage(s, m);
    s = realloc(s, m ? m : 1); /* exactly as long as the text, so that reading on is found */
    if (parse(&c, path, s, m, &f)) {
      assert_round_trip(&c, path, f.body);
      survived++;
    } else {
      int errors = diag_errors(c.diag);
      assert_true(errors >= 1 && errors <= 10);
      refused++;
    }
    free(s);
    arena_free(c.arena);
  }
  arena_free(a);
}

static void damaged(void **state) {
  (void)state;
  each_file("tests/sir/programs/*.sir", damaged_file, 19);
  assert_true(survived >= 200 && refused >= 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(programs),       cmocka_unit_test(mistakes),  cmocka_unit_test(language),
      cmocka_unit_test(trees),          cmocka_unit_test(canonical), cmocka_unit_test(places),
      cmocka_unit_test(one_expression), cmocka_unit_test(bytes),     cmocka_unit_test(large),
      cmocka_unit_test(deepest),        cmocka_unit_test(damaged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
