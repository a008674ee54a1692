/* The C header of an artefact: golden files, awkward names, and what is refused. Every header is read by clang as C17
 * and C++17. BLESS=1 rewrites the golden files. */
#include "host_blob.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void trace(Ctx *c, const char *name, const char *text, Program *p) {
  char *path = arena_printf(c->arena, "%s.sir", name);
  bool ok = text ? sir_trace_text(c, path, text, strlen(text), NULL, p)
                 : sir_trace(c, arena_printf(c->arena, "models/%s.sir", name), NULL, p);
  if (ok) return;
  Buf b = {0};
  diag_print(c->diag, &b);
  fail_msg("%s", b.at);
}

static void header(Ctx *c, const Program *p, Buf *out) {
  HostLayout h;
  if (!host_layout(p, NULL, &h)) fail_msg("%s", diag_first(c->diag, NULL));
  host_header(&h, arena_printf(c->arena, "%s.sir", p->name), arena_printf(c->arena, "%s.so", p->name), out);
}

static void reads_as_c_and_cpp(const char *path) {
  char command[512];
  snprintf(command, sizeof command,
           "clang-19 -std=c17 -Wall -Wextra -Werror -pedantic -fsyntax-only -x c %s && clang-19 -std=c++17 -Wall "
           "-Wextra -Werror -pedantic -fsyntax-only -x c++ %s",
           path, path);
  assert_int_equal(system(command), 0);
}

static void golden(const char *name) {
  Ctx c = ctx_new();
  Program p;
  Buf got = {0};
  const char *why = NULL;
  trace(&c, name, NULL, &p);
  header(&c, &p, &got);
  const char *path = arena_printf(c.arena, "tests/golden/header/%s.h", name), *bless = getenv("BLESS");
  if (bless && *bless == '1') assert_true(file_write(c.arena, path, got.at, got.n, &why));
  size_t n = 0;
  char *want = file_read(c.arena, path, &n, &why);
  if (!want) fail_msg("%s", why);
  assert_string_equal(got.at, want);
  reads_as_c_and_cpp(path);
  buf_free(&got);
  ctx_free(&c);
}

static void add(void **state) {
  (void)state;
  golden("add");
}

static void digits(void **state) {
  (void)state;
  golden("digits");
}

/* The header of a model given as text, read by both compilers. */
static char *header_of(Ctx *c, const char *text) {
  Program p;
  Buf b = {0};
  trace(c, "odd", text, &p);
  header(c, &p, &b);
  char path[] = "/tmp/sinter_header_XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0 && write(fd, b.at, b.n) == (ssize_t)b.n && close(fd) == 0);
  reads_as_c_and_cpp(path);
  unlink(path);
  char *copy = arena_strndup(c->arena, b.at, b.n);
  buf_free(&b);
  return copy;
}

static void has(const char *text, const char *part) {
  if (!strstr(text, part)) fail_msg("`%s` is not in\n%s", part, text);
}

static void records_and_tuples(void **state) {
  (void)state;
  Ctx c = ctx_new();
  const char *h =
      header_of(&c, "entry pair(batch: {x: f32[B, 2], y: i64[B]}) -> (f32[B, 2], {double: f64[], flag: bool[B]}) {\n"
                    "  (batch.x, {double = sum(batch.x).to(f64), flag = batch.y > 1})\n}\n");
  has(h, "  const float *batch_x;   /* f32[B, 2] */\n");
  has(h, "  const int64_t *batch_y; /* i64[B] */\n");
  has(h, "  int64_t B;              /* 1 to 2147483647 */\n");
  has(h, "  float *out0;         /* f32[B, 2] */\n");
  has(h, "  double *out1_double;");
  has(h, "  uint8_t *out1_flag;  /* bool[B] */\n");
  ctx_free(&c);
}

static void names_that_are_words_of_c(void **state) {
  (void)state;
  Ctx c = ctx_new();
  const char *h = header_of(&c, "## Ends a comment */ or not,\n## over two lines.\nentry swap(short: f32[NULL], "
                                "virtual: f32[NULL]) -> {signed: f32[NULL]} { {signed = short + virtual} }\n");
  has(h, "const float *short_;");
  has(h, "const float *virtual_;");
  has(h, "int64_t NULL_;");
  has(h, "float *signed_;");
  has(h, "/* Ends a comment * / or not, over two lines. */\n");
  ctx_free(&c);
}

static void nothing_in(void **state) {
  (void)state;
  Ctx c = ctx_new();
  const char *h = header_of(&c, "entry one() -> f32[] { 1.0 }\nentry two(x: f32[3]) -> f32[3] { x }\n");
  has(h, "typedef struct odd_one_in {\n  char none; /* nothing goes in: a null pointer will do */\n} odd_one_in;\n");
  has(h, "typedef struct odd_dims {\n  char none; /* all sizes are fixed: a null pointer will do */\n} odd_dims;\n");
  ctx_free(&c);
}

static void dimensions_of_all_entries(void **state) {
  (void)state;
  Ctx c = ctx_new();
  const char *h =
      header_of(&c, "entry a(x: f32[N]) -> f32[N] where N <= 8 { x + 1 }\n"
                    "entry b(y: f32[M], x: f32[N]) -> f32[] where N <= 5, M % 4 == 0 { sum(x) + sum(y) }\n");
  has(h, "typedef struct odd_dims {\n  int64_t N; /* 1 to 8 */\n  int64_t M; /* 1 to 2147483647 */\n} odd_dims;\n");
  has(h, "/* Holds: M % 4 == 0. */\ntypedef struct odd_b_in {\n");
  has(h, "  int64_t N;      /* 1 to 5 */\n");
  ctx_free(&c);
}

/* ---- what is refused ---- */

static void refused(const char *text, const char *prefix, const char *id, const char *sentence) {
  Ctx c = ctx_new();
  Program p;
  HostLayout h;
  trace(&c, "odd", text, &p);
  assert_false(host_layout(&p, prefix, &h));
  const char *got_id, *got = diag_first(c.diag, &got_id);
  assert_string_equal(got_id, id);
  assert_string_equal(got, sentence);
  ctx_free(&c);
}

static void refusals(void **state) {
  (void)state;
  static const char one[] = "entry f(x: f32[N]) -> f32[N] { x + 1 }\n";
  refused("entry close(x: f32[N]) -> f32[N] { x + 1 }\n", NULL, "entry-name",
          "an entry cannot be called 'close': the header has a odd_close of its own; rename the entry");
  refused("entry f(x: f32[N]) -> f32[N] { x + 1 }\nentry f_in(x: f32[N]) -> f32[N] { x + 1 }\n", NULL, "entry-name",
          "an entry cannot be called 'f_in': odd_f_in is the struct of entry 'f'; rename one of them");
  refused(one, "3d", "prefix-name",
          "the prefix '3d' is not a name in C: it may hold letters, digits and _, and does not begin with a digit");
  refused(one, "", "prefix-name", "the prefix is empty: give the artefact's functions one by --prefix NAME");
  refused(one, "rt", "prefix-runtime",
          "the prefix 'rt' is that of functions inside every artefact: give another one by --prefix NAME");
  refused("const A = 1\n", NULL, "no-entry",
          "odd has no entry, so there is nothing to call: write one as `entry NAME(x: f32[N]) { ... }`");
}

static void more_than_any_machine(void **state) {
  (void)state;
  static const struct {
    int64_t rows;
    const char *sentence;
  } row[] = {{(int64_t)1 << 40, "m.w has more bytes than any machine: f32[1099511627776, 4194304]"},
             {(int64_t)1 << 37, "up to m.v the parameters and states have more bytes than any machine"}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    Ctx c = ctx_new();
    Program p;
    HostLayout h;
    HostBlob b;
    trace(&c, "odd",
          "module M() {\n  param w: f32[3, 4]\n  param v: f32[3, 4]\n  fn forward(x: f32[]) { x + w[0, 0] + v[0, 0] "
          "}\n}\nm = M()\nentry f(x: f32[]) -> f32[] { m(x) }\n",
          &p);
    for (int k = 0; k < 2; k++) { /* SIR refuses such shapes itself; other frontends will come */
      p.cells.at[k].shape[0] = sym_int(c.syms, row[i].rows);
      p.cells.at[k].shape[1] = sym_int(c.syms, 1 << 22);
    }
    assert_true(host_layout(&p, NULL, &h));
    assert_false(host_blob(&(Unit){.program = &p}, NULL, 0, &(GpuCode){0}, &h, "odd.sir", &b));
    const char *id, *got = diag_first(c.diag, &id);
    assert_string_equal(id, "model-size");
    assert_string_equal(got, row[i].sentence);
    ctx_free(&c);
  }
}

static void every_own_name(void **state) {
  (void)state;
  static const char *const own[] = {"open",    "close",        "save",      "get",  "set",     "new",    "free",
                                    "message", "open_message", "workspace", "dims", "weights", "context"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    Ctx c = ctx_new();
    Program p;
    HostLayout h;
    const char *id;
    trace(&c, "odd", "entry f(x: f32[N]) -> f32[N] { x + 1 }\n", &p);
    p.entries.at[0].name = own[i]; /* some are words of SIR, so that no file can say them */
    assert_false(host_layout(&p, NULL, &h));
    assert_non_null(diag_first(c.diag, &id));
    assert_string_equal(id, "entry-name");
    ctx_free(&c);
  }
}

static void names_of_files(void **state) {
  (void)state;
  static const char *const name[][2] = {{"my-model", "my_model"}, {"2nd try", "_2nd_try"}, {"net.v2", "net_v2"}};
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    Ctx c = ctx_new();
    Program p;
    HostLayout h;
    trace(&c, "odd", "entry f(x: f32[N]) -> f32[N] { x + 1 }\n", &p);
    p.name = name[i][0];
    assert_true(host_layout(&p, NULL, &h));
    assert_string_equal(h.prefix, name[i][1]);
    ctx_free(&c);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(add),
      cmocka_unit_test(digits),
      cmocka_unit_test(records_and_tuples),
      cmocka_unit_test(names_that_are_words_of_c),
      cmocka_unit_test(nothing_in),
      cmocka_unit_test(dimensions_of_all_entries),
      cmocka_unit_test(refusals),
      cmocka_unit_test(more_than_any_machine),
      cmocka_unit_test(every_own_name),
      cmocka_unit_test(names_of_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
