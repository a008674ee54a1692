/* The tracer: programs that trace, what they compute, their gradients against differences, mistakes with their exact
 * words (tests/sir/bad_trace: the first lines say what is expected; BLESS=1 rewrites them). */
#include "eval.h"
#include "sir.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *shown(Ctx *c) {
  Buf b = {0};
  diag_print(c->diag, &b);
  char *s = arena_strndup(c->arena, b.at ? b.at : "", b.n);
  buf_free(&b);
  return s;
}

static char *printed(Ctx *c, const Program *p) {
  Buf b = {0};
  program_print(p, false, &b);
  char *s = arena_strndup(c->arena, b.at ? b.at : "", b.n);
  buf_free(&b);
  return s;
}

static void must_trace(Ctx *c, const char *path, Program *p) {
  if (!sir_trace(c, path, NULL, p)) fail_msg("%s: %s", path, shown(c));
  assert_true(program_verify(p));
}

static bool trace_text(Ctx *c, const char *text, Program *p) {
  return sir_trace_text(c, "t.sir", text, strlen(text), NULL, p);
}

/* ---- programs ---- */
static const struct {
  const char *path, *later; /* what the first error says, NULL: it traces */
} PROGRAMS[] = {
    {"models/add.sir", NULL},
    {"models/digits.sir", NULL},
    {"tests/sir/trace/static.sir", NULL},
    {"tests/sir/trace/modules.sir", NULL},
    {"tests/sir/trace/entries.sir", NULL},
    {"tests/sir/programs/gan.sir", NULL},
    {"tests/sir/programs/gnn.sir", NULL},
    {"tests/sir/programs/vae.sir", NULL},
    {"tests/sir/programs/vqvae.sir", NULL},
    {"tests/sir/programs/lora.sir", NULL},
    {"tests/sir/programs/optimizers.sir", NULL},
    {"tests/sir/programs/custom_vjp.sir", "a fn with a vjp comes in a later version of Sinter"},
    {"tests/sir/programs/diffusion.sir", "`cumprod` comes in a later version of Sinter"},
    {"tests/sir/programs/digits_mlp.sir", NULL},
    {"tests/sir/programs/dqn.sir", "an `if` whose condition is a tensor comes in a later version of Sinter"},
    {"tests/sir/programs/ensemble.sir", "`stacked` comes in a later version of Sinter"},
    {"tests/sir/programs/gpt.sir", "`checkpoint` comes in a later version of Sinter"},
    {"tests/sir/programs/loss_scale.sir", "an `if` whose condition is a tensor comes in a later version of Sinter"},
    {"tests/sir/programs/maml.sir", "`vmap` comes in a later version of Sinter"},
    {"tests/sir/programs/moe.sir", "`stacked` comes in a later version of Sinter"},
    {"tests/sir/programs/policy.sir", "`scan` comes in a later version of Sinter"},
    {"tests/sir/programs/rnn_entries.sir", "`scan` comes in a later version of Sinter"},
};

static void test_programs(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof PROGRAMS / sizeof *PROGRAMS; i++) {
    Ctx c = ctx_new();
    Program p;
    const char *id;
    bool ok = sir_trace(&c, PROGRAMS[i].path, NULL, &p);
    if (PROGRAMS[i].later) {
      assert_false(ok);
      assert_string_equal(diag_first(c.diag, &id), PROGRAMS[i].later);
      assert_string_equal(id, "sir-later");
    } else if (!ok) {
      fail_msg("%s: %s", PROGRAMS[i].path, shown(&c));
    } else { /* the flat form says the same */
      assert_true(program_verify(&p));
      char *text = printed(&c, &p);
      Program q;
      if (p.entries.n && strstr(text, "  v0")) {
        if (!sir_trace_text(&c, "flat.sir", text, strlen(text), NULL, &q))
          fail_msg("%s: %s", PROGRAMS[i].path, shown(&c));
        assert_string_equal(printed(&c, &q), text);
      }
    }
    ctx_free(&c);
  }
}

static void test_names(void **state) {
  (void)state;
  static const char *const want[] = {"net.h.0.g4",    "net.h.0.shift", "net.h.0.seen",      "net.h.0.cache",
                                     "net.h.1.g4",    "net.h.1.seen",  "net.h.1.cache",     "net.head.weight",
                                     "net.head.bias", "net.weight",    "net.bias",          "other.g4",
                                     "other.shift",   "other.seen",    "other.cache",       "opt.m.head.weight",
                                     "opt.step",      "ema",           "parts.layer.weight"};
  Ctx c = ctx_new();
  Program p;
  must_trace(&c, "tests/sir/trace/modules.sir", &p);
  assert_int_equal(p.cells.n, sizeof want / sizeof *want);
  for (uint32_t i = 0; i < p.cells.n; i++) {
    assert_string_equal(p.cells.at[i].name, want[i]);
    bool copied = strncmp(want[i], "other.", 6) == 0,
         norm = strcmp(want[i], "net.weight") == 0 || strcmp(want[i], "net.bias") == 0;
    assert_int_equal(p.cells.at[i].frozen, copied || norm);
  }
  assert_int_equal(p.cells.at[3].kind, CELL_LOCAL);
  assert_null(p.cells.at[3].init);
  assert_int_equal(p.entries.at[0].updates.n, 2);
  ctx_free(&c);
}

static void test_signature(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  must_trace(&c, "tests/sir/trace/entries.sir", &p);
  const Entry *e = &p.entries.at[0];
  static const char *const outputs[] = {"a", "b.0", "b.1", "c.0", "c.1"};
  assert_int_equal(e->outputs.n, 5);
  for (int i = 0; i < 5; i++) assert_string_equal(e->outputs.at[i].name, outputs[i]);
  assert_int_equal(e->dims.n, 3);
  assert_string_equal(e->dims.at[0].name, "B");
  assert_int_equal(e->dims.at[0].lo, 1);
  assert_int_equal(e->dims.at[0].hi, 8);
  assert_string_equal(e->dims.at[1].name, "T");
  assert_int_equal(e->dims.at[1].lo, 3);
  assert_string_equal(e->dims.at[2].name, "N");
  assert_true(e->dims.at[2].given);
  e = &p.entries.at[1];
  assert_string_equal(e->inputs.at[0].name, "h.k");
  assert_true(e->inputs.at[0].inout && e->inputs.at[0].update && e->inputs.at[1].update && !e->inputs.at[2].inout);
  assert_null(e->outputs.at[0].name);
  assert_int_equal(e->updates.n, 1);
  assert_string_equal(p.cells.at[e->updates.at[0].cell].name, "total");
  ctx_free(&c);
}

static void test_defines(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  SirDefine d[] = {{"K", "2 + 3"}};
  SirOptions o = {d, 1};
  const char *text = "const K = 2\nentry e(x: f32[5]) -> f32[=K] { x * K }\n", *id;
  assert_true(sir_trace_text(&c, "t.sir", text, strlen(text), &o, &p));
  d[0].name = "KK";
  assert_false(sir_trace_text(&c, "t.sir", text, strlen(text), &o, &p));
  assert_string_equal(diag_first(c.diag, &id), "-D KK: t.sir has no `const KK`; did you mean `K`?");
  assert_string_equal(id, "sir-define");
  diag_reset(c.diag);
  d[0] = (SirDefine){"K", "2 +"};
  assert_false(sir_trace_text(&c, "t.sir", text, strlen(text), &o, &p));
  ctx_free(&c);
}

/* ---- what entries compute ---- */
static Tensor fill(Arena *a, DType d, int rank, const int64_t *dim, const double *x) {
  Tensor t = tensor_new(a, d, dim, rank);
  for (int64_t i = 0; i < tensor_count(&t); i++)
    tensor_set(&t, i, dtype_is_float(d) ? (Scalar){.f = x[i]} : (Scalar){.i = (int64_t)x[i]});
  return t;
}

static double number(const Tensor *t, int64_t k) {
  Scalar s = tensor_at(t, k);
  return dtype_is_float(t->dtype) ? s.f : (double)s.i;
}

static void check_numbers(const Tensor *t, const double *want, int n) {
  assert_int_equal(tensor_count(t), n);
  for (int i = 0; i < n; i++)
    if (fabs(number(t, i) - want[i]) > 1e-6) fail_msg("element %d is %g, not %g", i, number(t, i), want[i]);
}

static Entry *entry_of(Program *p, const char *name) {
  for (uint32_t i = 0; i < p->entries.n; i++)
    if (strcmp(p->entries.at[i].name, name) == 0) return &p->entries.at[i];
  fail_msg("no entry %s", name);
  return NULL;
}

static void test_values(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  must_trace(&c, "tests/sir/trace/entries.sir", &p);
  Tensor *cells = ARENA_ARRAY(c.arena, Tensor, p.cells.n), out[8], inouts[4];
  assert_true(cells_start(&p, 1, c.arena, cells));
  double a[] = {7, -7, 6, -1}, b[] = {0, 1, -3, 100};
  NamedTensor in[] = {{"a", fill(c.arena, DT_I64, 1, (int64_t[]){4}, a)},
                      {"b", fill(c.arena, DT_I32, 1, (int64_t[]){4}, b)}};
  EntryCall call = {.inputs = in, .ninputs = 2, .cells = cells, .arena = c.arena, .outputs = out, .inouts = inouts};
  assert_true(entry_eval(&p, entry_of(&p, "ints"), &call));
  check_numbers(&out[0], (double[]){2, -3, 2, -1}, 4);
  check_numbers(&out[1], (double[]){-2, -1, 0, -1}, 4);
  check_numbers(&out[2], (double[]){254, 252, 4, 54}, 4);
  check_numbers(&out[3], (double[]){1, 1, 1, 1}, 4);

  double k[8] = {0, 1, 2, 3, 4, 5, 6, 7}, x[2] = {50, 60}, at[] = {2};
  NamedTensor roll[] = {{"h.k", fill(c.arena, DT_F32, 3, (int64_t[]){1, 4, 2}, k)},
                        {"h.v", fill(c.arena, DT_F32, 3, (int64_t[]){1, 4, 2}, k)},
                        {"x", fill(c.arena, DT_F32, 3, (int64_t[]){1, 1, 2}, x)},
                        {"at", fill(c.arena, DT_I64, 0, NULL, at)}};
  call.inputs = roll;
  call.ninputs = 4;
  assert_true(entry_eval(&p, entry_of(&p, "roll"), &call));
  check_numbers(&inouts[0], (double[]){0, 1, 2, 3, 50, 60, 6, 7}, 8);
  check_numbers(&inouts[1], (double[]){0, 2, 7, 7, 8, 10, 12, 14}, 8);
  check_numbers(&out[0], (double[]){0, 3, 9, 10, 58, 70, 18, 21}, 8);
  check_numbers(&cells[0], (double[]){1}, 1);
  at[0] = 9; /* out of range: the call fails, nothing is stored */
  roll[3].value = fill(c.arena, DT_I64, 0, NULL, at);
  assert_false(entry_eval(&p, entry_of(&p, "roll"), &call));
  assert_int_not_equal(call.fail.node, 0);
  check_numbers(&cells[0], (double[]){1}, 1);

  double f[] = {1, 2, 3, 4, 5, 6}, r = 1 / sqrt(3);
  NamedTensor g[] = {{"x", fill(c.arena, DT_F32, 2, (int64_t[]){2, 3}, f)}};
  call.inputs = g;
  call.ninputs = 1;
  assert_true(entry_eval(&p, entry_of(&p, "floats"), &call));
  double dot[2][2] = {{14, 32}, {32, 77}}, want[6];
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 3; j++)
      want[3 * i + j] = pow(f[3 * i + j] * r + 2, 2) / 4 - (dot[i][0] * f[j] + dot[i][1] * f[3 + j]) / 3;
  for (int i = 0; i < 6; i++) assert_true(fabs(number(&out[0], i) - want[i]) < 1e-4);
  ctx_free(&c);
}

static double noise(uint32_t *s) {
  *s = *s * 1664525u + 1013904223u;
  return (double)(*s >> 8) / (1 << 24) - 0.5;
}

/* An input for a port: every dimension is `batch`; integers are small enough for every table. */
static Tensor random_input(Ctx *c, const Port *port, int64_t batch, uint32_t *seed, bool wide) {
  int64_t dim[MAX_RANK];
  for (int k = 0; k < port->rank; k++)
    if (!sym_is_int(c->syms, port->shape[k], &dim[k])) dim[k] = batch;
  Tensor t = tensor_new(c->arena, wide && port->dtype == DT_F32 ? DT_F64 : port->dtype, dim, port->rank);
  for (int64_t k = 0; k < tensor_count(&t); k++)
    tensor_set(&t, k, dtype_is_float(t.dtype) ? (Scalar){.f = (float)(2 * noise(seed))} : (Scalar){.i = k * 7 % 4});
  return t;
}

/* Every entry of the programs that trace runs, twice, and gives numbers. */
static void test_runs(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof PROGRAMS / sizeof *PROGRAMS; i++) {
    if (PROGRAMS[i].later || strstr(PROGRAMS[i].path, "trace/entries")) continue;
    Ctx c = ctx_new();
    Program p;
    uint32_t seed = 9;
    must_trace(&c, PROGRAMS[i].path, &p);
    Tensor *cells = ARENA_ARRAY(c.arena, Tensor, p.cells.n + 1), out[8];
    assert_true(cells_start(&p, 1, c.arena, cells));
    for (uint32_t k = 0; k < 2 * p.entries.n; k++) {
      Entry *e = &p.entries.at[k / 2];
      NamedTensor in[8];
      NamedDim dims[4];
      EntryCall call = {
          .inputs = in, .dims = dims, .cells = cells, .seed = 2, .call = k, .arena = c.arena, .outputs = out};
      for (; call.ninputs < (int)e->inputs.n; call.ninputs++)
        in[call.ninputs] = (NamedTensor){e->inputs.at[call.ninputs].name,
                                         random_input(&c, &e->inputs.at[call.ninputs], 4, &seed, false)};
      for (uint32_t d = 0; d < e->dims.n; d++)
        if (e->dims.at[d].given) dims[call.ndims++] = (NamedDim){e->dims.at[d].name, 4};
      if (!entry_eval(&p, e, &call))
        fail_msg("%s, %s: %s (node %u)", PROGRAMS[i].path, e->name, shown(&c), call.fail.node);
      for (uint32_t o = 0; o < e->outputs.n; o++)
        for (int64_t n = 0; n < tensor_count(&out[o]); n++) assert_true(isfinite(number(&out[o], n)));
    }
    ctx_free(&c);
  }
}

/* ---- gradients ---- */

typedef struct GradCase {
  Ctx c;
  Program p;
  Tensor *cells;
  NamedTensor in[4];
  Entry *e;
} GradCase;

static double loss(GradCase *g, Tensor *cells, const Tensor *direction, double by) {
  Tensor out[4];
  for (uint32_t i = 0; i < g->p.cells.n; i++) {
    cells[i] = tensor_new(g->c.arena, dtype_is_float(g->cells[i].dtype) ? DT_F64 : g->cells[i].dtype, g->cells[i].dim,
                          g->cells[i].rank);
    for (int64_t k = 0; k < tensor_count(&cells[i]); k++) {
      Scalar s = tensor_at(&g->cells[i], k);
      if (dtype_is_float(cells[i].dtype) && g->p.cells.at[i].kind == CELL_PARAM)
        s.f += by * tensor_at(&direction[i], k).f;
      tensor_set(&cells[i], k, s);
    }
  }
  EntryCall call = {.inputs = g->in,
                    .ninputs = (int)g->e->inputs.n,
                    .cells = cells,
                    .seed = 3,
                    .wide = true,
                    .arena = g->c.arena,
                    .outputs = out};
  if (!entry_eval(&g->p, g->e, &call)) fail_msg("%s", shown(&g->c));
  return tensor_at(&out[0], 0).f;
}

/* The gradient that the step subtracts, along a random direction, against the difference of the loss. */
static void check_gradient(const char *path, int64_t batch) {
  GradCase g = {.c = ctx_new()};
  uint32_t seed = (uint32_t)batch;
  must_trace(&g.c, path, &g.p);
  g.e = entry_of(&g.p, "step");
  g.cells = ARENA_ARRAY(g.c.arena, Tensor, g.p.cells.n);
  Tensor *cells = ARENA_ARRAY(g.c.arena, Tensor, g.p.cells.n), *dir = ARENA_ARRAY(g.c.arena, Tensor, g.p.cells.n);
  assert_true(cells_start(&g.p, 7, g.c.arena, g.cells));
  for (uint32_t i = 0; i < g.p.cells.n; i++) {
    dir[i] = tensor_new(g.c.arena, DT_F64, g.cells[i].dim, g.cells[i].rank);
    for (int64_t k = 0; k < tensor_count(&dir[i]); k++) tensor_set(&dir[i], k, (Scalar){.f = noise(&seed)});
  }
  for (uint32_t i = 0; i < g.e->inputs.n; i++) {
    Port *port = &g.e->inputs.at[i];
    g.in[i] = (NamedTensor){port->name, random_input(&g.c, port, batch, &seed, true)};
  }
  loss(&g, cells, dir, 0);
  double slope = 0, h = 1e-5;
  for (uint32_t i = 0; i < g.p.cells.n; i++)
    for (int64_t k = 0; g.p.cells.at[i].kind == CELL_PARAM && k < tensor_count(&dir[i]); k++)
      slope += (tensor_at(&g.cells[i], k).f - tensor_at(&cells[i], k).f) * tensor_at(&dir[i], k).f;
  double difference = (loss(&g, cells, dir, h) - loss(&g, cells, dir, -h)) / (2 * h);
  if (!(fabs(slope - difference) <= 1e-6 * fmax(1, fabs(difference))) || slope == 0)
    fail_msg("%s at %d: gradient %.12g, difference %.12g", path, (int)batch, slope, difference);
  ctx_free(&g.c);
}

static void test_gradients(void **state) {
  (void)state;
  static const char *const names[] = {"mlp", "embed", "second", "maml", "attention", "ops", "softmax"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    for (int64_t batch = 1; batch <= 5; batch += 2) {
      char path[64];
      snprintf(path, sizeof path, "tests/sir/grad/%s.sir", names[i]);
      check_gradient(path, batch);
    }
}

/* The digits model learns eight rows by heart: the whole way of a training step, evaluated by the reference. */
static void test_training(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  must_trace(&c, "models/digits.sir", &p);
  Tensor *cells = ARENA_ARRAY(c.arena, Tensor, p.cells.n), out[4];
  assert_true(cells_start(&p, 1, c.arena, cells));
  double *x = ARENA_ARRAY(c.arena, double, 8 * 64), y[8];
  uint32_t seed = 5;
  for (int i = 0; i < 8 * 64; i++) x[i] = 16 * (noise(&seed) + 0.5);
  for (int i = 0; i < 8; i++) y[i] = i * 3 % 10;
  NamedTensor in[] = {{"x", fill(c.arena, DT_F32, 2, (int64_t[]){8, 64}, x)},
                      {"y", fill(c.arena, DT_I64, 1, (int64_t[]){8}, y)}};
  EntryCall call = {.inputs = in, .ninputs = 2, .cells = cells, .seed = 1, .arena = c.arena, .outputs = out};
  double first = 0, last = 0;
  for (int i = 0; i < 25; i++) {
    call.call = (uint32_t)i;
    if (!entry_eval(&p, entry_of(&p, "step"), &call)) fail_msg("%s", shown(&c));
    last = number(&out[0], 0);
    first = i ? first : last;
  }
  assert_true(first > 2 && first < 2.8 && last < 0.8 * first);
  assert_true(entry_eval(&p, entry_of(&p, "evaluate"), &call));
  assert_true(number(&out[1], 0) >= 0.75);
  call.ninputs = 1;
  assert_true(entry_eval(&p, entry_of(&p, "predict"), &call));
  double sum = 0;
  for (int k = 0; k < 10; k++) sum += number(&out[0], k);
  assert_true(fabs(sum - 1) < 1e-5);
  ctx_free(&c);
}

/* ---- mistakes ---- */
/* What is shown without the path and the quoted lines: "4:7: error: sentence [id]", one a line. */
static void sentences(const char *text, const char *path, Buf *out) {
  size_t n = strlen(path);
  for (const char *line = text; *line;) {
    const char *end = strchr(line, '\n');
    if (strncmp(line, path, n) == 0 && line[n] == ':')
      buf_printf(out, "# %.*s\n", (int)(end - line - (long)n - 1), line + n + 1);
    else if (line[0] != ' ' && end != line)
      buf_printf(out, "# %.*s\n", (int)(end - line), line);
    line = end + 1;
  }
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void test_mistakes(void **state) {
  (void)state;
  const char *dir = "tests/sir/bad_trace";
  char *names[512];
  int n = 0, bad = 0;
  DIR *d = opendir(dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d)) && n < 512;)
    if (strstr(e->d_name, ".sir")) names[n++] = strdup(e->d_name);
  closedir(d);
  qsort(names, (size_t)n, sizeof *names, by_name);
  assert_true(n > 100);
  for (int i = 0; i < n; i++) {
    Ctx c = ctx_new();
    Program p;
    char path[300];
    const char *why;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", dir, names[i]);
    char *text = file_read(c.arena, path, &size, &why);
    assert_non_null(text);
    size_t head = 0; /* the comment lines at the top are what is expected */
    while (text[head] == '#') head += strcspn(text + head, "\n") + 1;
    Buf got = {0};
    bool ok = sir_trace(&c, path, NULL, &p);
    sentences(shown(&c), path, &got);
    if (ok && !got.n) buf_put(&got, "# nothing\n");
    if (got.n != head || memcmp(got.at, text, head) != 0) {
      bad++;
      print_error("%s gives\n%s", path, got.at);
      if (getenv("BLESS")) {
        buf_put(&got, text + head);
        assert_true(file_write(c.arena, path, got.at, got.n, &why));
      }
    }
    buf_free(&got);
    ctx_free(&c);
    free(names[i]);
  }
  assert_int_equal(bad, 0);
}

/* Every example of the language's reference traces, says what the text block behind it says, or stands under the
 * heading of what is refused until later. */
static void test_language(void **state) {
  (void)state;
  Ctx c = ctx_new();
  size_t n;
  const char *why, *fence = "```sir\n", *mistake = "```\n```text\nerror: ";
  char *text = file_read(c.arena, "frontend/sir/language.md", &n, &why);
  assert_non_null(text);
  const char *later = strstr(text, "\n## Read, but not yet compiled\n");
  assert_non_null(later);
  int examples = 0, bad = 0;
  for (char *at = text; (at = strstr(at, fence)); examples++) {
    char *begin = at + strlen(fence), *end = strstr(begin, "\n```\n") + 1;
    int line = 1;
    for (char *p = text; p < begin; p++) line += *p == '\n';
    bool wrong = strncmp(end, mistake, strlen(mistake)) == 0;
    const char *want = end + strlen(mistake), *id;
    Program p;
    char *copy = arena_strndup(c.arena, begin, (size_t)(end - begin));
    diag_reset(c.diag);
    bool ok = sir_trace_text(&c, "frontend/sir/language.md", copy, strlen(copy), NULL, &p);
    const char *first = diag_first(c.diag, &id);
    if (wrong) {
      char *said = arena_printf(c.arena, "%s [%s]", first ? first : "", id);
      if (ok || strncmp(want, said, strlen(said)) != 0) {
        bad++;
        print_error("language.md:%d: says %s\n", line, said);
      }
    } else if (at > later ? ok || strcmp(id, "sir-later") != 0 : !ok) {
      bad++;
      print_error("language.md:%d: %s\n", line, shown(&c));
    }
    at = end;
  }
  assert_true(examples > 20);
  assert_int_equal(bad, 0);
  ctx_free(&c);
}

/* Inputs that are large, deep or endless: a sentence, quickly. */
static char *repeat(Ctx *c, const char *head, const char *piece, int n, const char *tail) {
  Buf b = {0};
  buf_put(&b, head);
  for (int i = 0; i < n; i++) buf_put(&b, piece);
  buf_put(&b, tail);
  char *s = arena_strndup(c->arena, b.at, b.n);
  buf_free(&b);
  return s;
}

static void refused(Ctx *c, const char *text, const char *id) {
  Program p;
  const char *got;
  diag_reset(c->diag);
  if (trace_text(c, text, &p)) fail_msg("this traces: %.80s", text);
  diag_first(c->diag, &got);
  if (id) assert_string_equal(got, id);
}

static void test_extremes(void **state) {
  (void)state;
  Ctx c = ctx_new();
  refused(&c, repeat(&c, "const A = ", "[", 10000000, "\n"), NULL);
  refused(&c, repeat(&c, "const A = ", "(", 200000, "1"), NULL);
  refused(&c, "const A = 0..9223372036854775807", "sir-list-length");
  refused(&c, "const A = [i + j for i in 0..5000 for j in 0..5000]", "sir-list-length");
  refused(&c, "fn f() { x = [0]; for i in 0..100 { x = x + x }; x }\nconst A = f()", "sir-list-length");
  refused(&c, "fn f() { x = \"ab\"; for i in 0..100 { x = x + x }; x }\nconst A = f()", "sir-list-length");
  refused(&c, "fn f() { x = \"ab\"; for i in 0..100 { x = \"{x}{x}\" }; x }\nconst A = f()", "sir-list-length");
  refused(&c, "fn f() { x = []; for i in 0..100000 { x = [x] }; x }\nconst A = f()", "sir-tree-depth");
  refused(&c, "module W(x) { own x }\nfn f() { x = 1; for i in 0..100000 { x = W(x) }; x }\nnet = f()",
          "sir-tree-depth");
  refused(&c, "fn f() { for i in 0..10000 { for j in 0..100000 { x = 1 } } }\nconst A = f()", "sir-steps");
  refused(&c, repeat(&c, "fn f(n) { ", "-(", 150, repeat(&c, "f(n)", ")", 150, " }\nconst A = f(1)")), NULL);
  refused(&c, repeat(&c, "const A = [i ", "for i in [1] ", 100, "]"), "sir-comprehension");
  refused(&c, "entry e(x: f32[9223372036854775807]) -> f32[] { sum(x) }", "sir-size");
  refused(&c, "entry e(x: f32[4294967296, 4294967296]) -> f32[] { sum(x) }", "sir-size");
  refused(&c, "entry e(x: f32[3]) -> f32[] { sum(zeros([9223372036854775807, 9223372036854775807])) + sum(x) }", NULL);
  refused(&c, "entry e(x: f32[B]) -> f32[B] where B * 9223372036854775807 * 9223372036854775807 > 3 { x }", NULL);
  refused(&c, "entry e(x: f32[1, 1, 1, 1, 1, 1, 1, 1, 1]) -> f32[] { sum(x) }", "sir-rank");
  ctx_free(&c);
}

static void test_files(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  const char *id;
  assert_false(sir_trace(&c, "tests/sir/trace", NULL, &p));
  diag_first(c.diag, &id);
  assert_string_equal(id, "sir-no-file");
  diag_reset(c.diag);
  assert_false(sir_trace(&c, "tests/sir/none.sir", NULL, &p));
  diag_first(c.diag, &id);
  assert_string_equal(id, "sir-no-file");
  ctx_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_programs),  cmocka_unit_test(test_names),    cmocka_unit_test(test_signature),
      cmocka_unit_test(test_defines),   cmocka_unit_test(test_values),   cmocka_unit_test(test_runs),
      cmocka_unit_test(test_gradients), cmocka_unit_test(test_training), cmocka_unit_test(test_mistakes),
      cmocka_unit_test(test_language),  cmocka_unit_test(test_extremes), cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
