/* The operator matrix: every op of ops.def with every type that it admits, compiled for every level of a machine,
 * against the reference evaluator, at sizes 1, odd and the bound (a slow machine: odd), with several numbers of
 * threads. A cell is an op, a type and a level; the number of cells that hold is compared with a recorded one.
 * ONLY=text runs the entries whose name contains it. */
#include "matrix.h"
#include "philox.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
// cmocka wants the headers above it
#include <cmocka.h>

enum { CELLS_A_LEVEL = 423 }; /* what holds on each level today; it never gets less */

static unsigned held[OP_COUNT][DT_COUNT]; /* levels, if there was an entry */
static bool met[OP_COUNT][DT_COUNT];

/* ---- building ---- */

static const struct {
  char letter;
  int64_t odd, bound;
} DIMS[] = {{'N', 37, 262147}, {'L', 21, 131075}, {'D', 33, 205}, {'M', 37, 45}, {'B', 3, 7}, {'K', 29, 70}};
enum { NDIMS = sizeof DIMS / sizeof *DIMS };

Sym m_size(Matrix *m, char c) {
  const char name[2] = {c, 0};
  if (c >= '0' && c <= '9') return sym_int(m->t, c - '0');
  Sym big = sym_var(m->t, "M");
  switch (c) {
  case 'm': return sym_sub(m->t, big, sym_int(m->t, 1));
  case 'p': return sym_add(m->t, big, sym_int(m->t, 3));
  case 'q': return sym_add(m->t, big, sym_int(m->t, 8));
  case 'x': return sym_mul(m->t, big, sym_var(m->t, "B"));
  case 's': return sym_mul(m->t, big, sym_int(m->t, 6));
  case 't': return sym_mul(m->t, big, sym_int(m->t, 3));
  case 'W': return sym_int(m->t, 40);
  default: return sym_var(m->t, str_intern(m->ctx->names, name));
  }
}

int m_shape(Matrix *m, const char *text, Sym *shape) {
  int n = 0;
  for (; text[n]; n++) shape[n] = m_size(m, text[n]);
  return n;
}

void m_begin(Matrix *m, Op op, DType d, const char *form, const char *dims) {
  Ctx *c = m->ctx;
  int line = (int)m->p->entries.n + 1;
  m->c = (Case){.op = op,
                .d = d,
                .place = arena_printf(c->arena, "matrix.sir:%d:3: index out of range in %s;", line, OP_INFO[op].text)};
  m->e =
      (Entry){.name = str_intern(c->names, arena_printf(c->arena, "%s_%s_%s", OP_INFO[op].text, dtype_name(d), form))};
  m->g = m->e.graph = graph_new(c, NULL);
  m->e.facts = sym_facts_new(c->arena, m->t);
  m->g->facts = m->e.facts;
  m->g->loc = diag_foreign(c->diag, "matrix.sir", line, 3);
  for (; *dims; dims++)
    for (int i = 0; i < NDIMS; i++) {
      if (DIMS[i].letter != *dims) continue;
      Sym var = m_size(m, *dims);
      const char *name = sym_var_name(m->t, var);
      Dim d = {var, name, 1, DIMS[i].bound, true};
      vec_push(c->arena, &m->e.dims, d);
      sym_fact_range(m->e.facts, name, 1, DIMS[i].bound);
    }
}

Id m_index(Matrix *m, DType d, const char *shape, Sym limit, Fill f) {
  Ctx *c = m->ctx;
  Port p = {.name = str_intern(c->names, arena_printf(c->arena, "x%u", m->e.inputs.n)), .dtype = d};
  p.rank = m_shape(m, shape, p.shape);
  p.node = g_input(m->g, d, p.shape, p.rank);
  vec_push(c->arena, &m->e.inputs, p);
  vec_push(c->arena, &m->c.inputs, (Input){f, limit});
  return p.node;
}

Id m_in(Matrix *m, DType d, const char *shape, Fill f) { return m_index(m, d, shape, 0, f); }

void m_out(Matrix *m, Id v, NativeBound b) {
  Ctx *c = m->ctx;
  if (!v) fail_msg("%s: %s", m->e.name, diag_first(c->diag, NULL));
  Port p = {.name = str_intern(c->names, arena_printf(c->arena, "y%u", m->e.outputs.n)),
            .dtype = graph_dtype(m->g, v),
            .rank = graph_rank(m->g, v),
            .node = v};
  for (int i = 0; i < p.rank; i++) p.shape[i] = graph_shape(m->g, v)[i];
  vec_push(c->arena, &m->e.outputs, p);
  vec_push(c->arena, &m->c.bounds, b);
}

void m_end(Matrix *m) {
  const char *only = getenv("ONLY");
  met[m->c.op][m->c.d] = true;
  if (only && !strstr(m->e.name, only)) return;
  entry_roots(&m->e);
  vec_push(m->ctx->arena, &m->p->entries, m->e);
  vec_push(m->ctx->arena, &m->cases, m->c);
}

/* ---- filling ---- */

static const double REAL[] = {0.0,
                              -0.0,
                              1,
                              -1,
                              0.5,
                              -0.5,
                              1.5,
                              2.5,
                              -2.5,
                              2,
                              3,
                              -3,
                              INFINITY,
                              -INFINITY,
                              NAN,
                              0x1p-149,
                              -0x1p-149,
                              0x1.8p-127,
                              0x1p-126,
                              -0x1p-126,
                              0x1.fffffep127,
                              -0x1.fffffep127,
                              88.7,
                              -87.5,
                              -103.5,
                              0x1p23,
                              0x1.000002p23,
                              0x1p31,
                              -0x1p31,
                              0x1p63,
                              -0x1p63,
                              1e5,
                              1e10,
                              -1e20,
                              0x1p-30,
                              0x1.921fb6p+0,
                              0x1.000002p0,
                              0x1.fffffep-1};
static const double WIDE[] = {
    0x1p-1074, -0x1p-1074, 0x1.8p-1023, 0x1p-1022, 0x1.fffffffffffffp1023, -0x1.fffffffffffffp1023,
    709.7,     -745.1,     0x1p52,      0x1p53,    0x1.0000000000001p0,    1e300};
static const int64_t WHOLE[] = {0,         1,  -1, 2,  -2,  3,   5,   7,     -7,    10,        31,        32,
                                33,        63, 64, 65, -31, -64, 100, 46341, 65536, INT32_MAX, INT32_MIN, INT32_MIN + 1,
                                0x40000000};
static const int64_t LONG[] = {INT64_MAX, INT64_MIN, INT64_MIN + 1, 1ll << 32, -(1ll << 32), 1ll << 62, 3037000500};
#define COUNT(a) ((int64_t)(sizeof(a) / sizeof *(a)))

static int64_t corners(DType d) {
  return d == DT_BOOL        ? 2
         : d == DT_F64       ? COUNT(REAL) + COUNT(WIDE)
         : dtype_is_float(d) ? COUNT(REAL)
         : d == DT_I32       ? COUNT(WHOLE)
                             : COUNT(WHOLE) + COUNT(LONG);
}

static Scalar corner(DType d, int64_t k) {
  if (d == DT_BOOL) return (Scalar){.i = k};
  if (dtype_is_float(d)) return (Scalar){.f = k < COUNT(REAL) ? REAL[k] : WIDE[k - COUNT(REAL)]};
  return (Scalar){.i = k < COUNT(WHOLE) ? WHOLE[k] : LONG[k - COUNT(WHOLE)]};
}

static uint64_t bits(const Draw *d, int64_t k) {
  return (uint64_t)philox_word(d, 2 * (uint64_t)k) << 32 | philox_word(d, 2 * (uint64_t)k + 1);
}

static Scalar any_real(DType d, uint64_t x, int64_t k) {
  double u = (double)(int64_t)x * 0x1p-63;
  switch (k % 4) {
  case 0: return (Scalar){.f = scalar_round(d, 4 * u)};
  case 1:
    return dtype_is_half(d) ? scalar_bits(DT_I16, d, (Scalar){.i = (int16_t)x})
           : d == DT_F32    ? scalar_bits(DT_I32, DT_F32, (Scalar){.i = (int32_t)x})
                            : scalar_bits(DT_I64, DT_F64, (Scalar){.i = (int64_t)x});
  case 2: return (Scalar){.f = (double)((int64_t)x >> 40) / 0x100000};
  default: return (Scalar){.f = scalar_round(d, u * exp2((double)(int64_t)(x % 60) - 30))};
  }
}

static Scalar wild(DType d, uint64_t x, int64_t k, int64_t n, int input) {
  int64_t c = corners(d),
          pair = n > c * c
                     ? k
                     : (int64_t)((uint64_t)k * 2654435761u % (uint64_t)(c * c)); /* few elements: some of the pairs */
  if (pair < c * c && (n > c * c || k % 3)) return corner(d, input % 2 ? pair / c : pair % c);
  if (d == DT_BOOL) return (Scalar){.i = x & 1};
  if (dtype_is_float(d)) return any_real(d, x, k);
  return (Scalar){.i = scalar_wrap(d, k % 3 ? (int64_t)x >> 56 : (int64_t)x)};
}

static Scalar element(const Input *in, DType d, uint64_t x, int64_t k, int64_t n, int input, int64_t limit) {
  switch (in->fill) {
  case FILL_WILD: return wild(d, x, k, n, input);
  case FILL_EXACT:
    if (dtype_is_float(d)) return (Scalar){.f = (double)((int64_t)(x % 33) - 16) / 8};
    return d == DT_BOOL ? (Scalar){.i = x & 1}
                        : (Scalar){.i = scalar_wrap(d, k % 2 ? (int64_t)x : (int64_t)(x % 7) - 3)};
  case FILL_TAME: return (Scalar){.f = scalar_round(d, 1 + (double)(int64_t)x * 0x1p-62)};
  default: break;
  }
  if (in->fill == FILL_BAD && k == n / 2) return (Scalar){.i = x & 1 ? limit : -1 - (int64_t)(x >> 40)};
  return (Scalar){.i = limit > 0 ? (int64_t)(x >> 1) % limit : 0};
}

/* ---- running ---- */

typedef struct Sizes {
  const NamedDim *dim;
  uint32_t n;
} Sizes;

static bool lookup(void *ctx, const char *name, int64_t *value) {
  const Sizes *s = ctx;
  for (uint32_t i = 0; i < s->n; i++)
    if (!strcmp(s->dim[i].name, name)) {
      *value = s->dim[i].value;
      return true;
    }
  return false;
}

static Tensor filled(Matrix *m, Arena *a, DType d, const Sym *shape, int rank, const Input *in, Sizes *s, int number,
                     uint64_t seed) {
  int64_t dim[MAX_RANK], limit = 0;
  for (int i = 0; i < rank; i++)
    if (!sym_eval(m->t, shape[i], lookup, s, &dim[i])) BUG("a size without a value");
  if (in->limit && !sym_eval(m->t, in->limit, lookup, s, &limit)) BUG("a limit without a value");
  Tensor t = tensor_new(a, d, dim, rank);
  Draw draw = {seed, (uint32_t)number, 0, 0};
  int64_t n = tensor_count(&t);
  for (int64_t k = 0; k < n; k++) tensor_set(&t, k, element(in, d, bits(&draw, k), k, n, number, limit));
  return t;
}

static unsigned run_case(Matrix *m, Native *native, int k, int size) {
  const Entry *e = &native->before.entries.at[k];
  const Case *c = &m->cases.at[k];
  Arena *a = arena_new();
  NamedDim dims[NDIMS];
  Sizes sizes = {dims, e->dims.n};
  uint64_t seed = (uint64_t)hash_fnv32(e->name) << 2 | (uint64_t)size;
  for (uint32_t i = 0; i < e->dims.n; i++)
    for (int j = 0; j < NDIMS; j++)
      if (*e->dims.at[i].name == DIMS[j].letter)
        dims[i] = (NamedDim){e->dims.at[i].name, size == 0 ? 1 : size == 1 ? DIMS[j].odd : DIMS[j].bound};
  Tensor *inputs = ARENA_ARRAY(a, Tensor, e->inputs.n + 1), *cells = ARENA_ARRAY(a, Tensor, m->p->cells.n + 1);
  for (uint32_t i = 0; i < e->inputs.n; i++) {
    const Port *p = &e->inputs.at[i];
    inputs[i] = filled(m, a, p->dtype, p->shape, p->rank, &c->inputs.at[i], &sizes, (int)i, seed);
  }
  for (uint32_t i = 0; i < m->p->cells.n; i++) {
    const Cell *q = &m->p->cells.at[i];
    cells[i] = filled(m, a, q->dtype, q->shape, q->rank, &(Input){FILL_EXACT, 0}, &sizes, 100 + (int)i, seed);
  }
  NativeBound *bound = ARENA_ARRAY(a, NativeBound, e->outputs.n + e->inputs.n + m->p->cells.n + 1);
  if (c->bounds.n) memcpy(bound, c->bounds.at, c->bounds.n * sizeof *bound);
  unsigned good = native_compare(native, &(NativeCall){k, dims, inputs, cells, bound, c->place});
  arena_free(a);
  return good;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int threads_of_process(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/task");
  for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
  if (d) closedir(d);
  return n;
}

static void run_group(const char *name, void (*build)(Matrix *, DType), DType d) {
  Ctx ctx = ctx_new();
  Program *p = ARENA_NEW(ctx.arena, Program);
  *p = (Program){.ctx = &ctx, .name = "matrix"};
  Matrix m = {.ctx = &ctx, .p = p, .t = ctx.syms};
  build(&m, d);
  double start = seconds();
  int bad = 0;
  if (p->entries.n) {
    Native native;
    bool ok = native_open(&native, p, "matrix", INT64_MAX);
    double compiled = seconds();
    for (uint32_t k = 0; ok && k < m.cases.n; k++) {
      const Case *c = &m.cases.at[k];
      unsigned good = NATIVE_ALL, *cell = &held[c->op][c->d];
      for (int size = 0; size < 3; size++)
        if (size == 1 || !native_machine.slow) good &= run_case(&m, &native, (int)k, size);
      *cell = (*cell ? *cell & ~8u : NATIVE_ALL) & good;
      *cell |= 8; /* there was an entry */
      bad += good != NATIVE_ALL;
      if (ok && c->big && !native_machine.slow && threads_of_process() < 7) {
        print_error("%s ran on one thread\n", native.before.entries.at[k].name);
        bad++;
      }
    }
    printf("%s: %u entries, compiled in %.1f s, run in %.1f s\n", name, m.cases.n, compiled - start,
           seconds() - compiled);
    native_close(&native);
    if (!ok) bad = 1;
  }
  ctx_free(&ctx);
  assert_int_equal(bad, 0);
}

static void moves(Matrix *m, DType d) { (void)d, matrix_moves(m); }
static void indices(Matrix *m, DType d) { (void)d, matrix_indices(m); }
static void reductions(Matrix *m, DType d) { (void)d, matrix_reductions(m); }
static void products(Matrix *m, DType d) { (void)d, matrix_products(m); }
static void windows(Matrix *m, DType d) { (void)d, matrix_windows(m); }
static void leaves(Matrix *m, DType d) { (void)d, matrix_leaves(m); }
static void failures(Matrix *m, DType d) { (void)d, matrix_failures(m); }
static void edges(Matrix *m, DType d) { (void)d, matrix_edges(m); }

static void test_f32(void **s) { (void)s, run_group("f32", matrix_elementwise, DT_F32); }
static void test_f64(void **s) { (void)s, run_group("f64", matrix_elementwise, DT_F64); }
static void test_f16(void **s) { (void)s, run_group("f16", matrix_elementwise, DT_F16); }
static void test_bf16(void **s) { (void)s, run_group("bf16", matrix_elementwise, DT_BF16); }
static void test_i32(void **s) { (void)s, run_group("i32", matrix_elementwise, DT_I32); }
static void test_i64(void **s) { (void)s, run_group("i64", matrix_elementwise, DT_I64); }
static void test_bool(void **s) { (void)s, run_group("bool", matrix_elementwise, DT_BOOL); }
static void test_moves(void **s) { (void)s, run_group("moves", moves, DT_NONE); }
static void test_indices(void **s) { (void)s, run_group("indices", indices, DT_NONE); }
static void test_reductions(void **s) { (void)s, run_group("reductions", reductions, DT_NONE); }
static void test_products(void **s) { (void)s, run_group("products", products, DT_NONE); }
static void test_windows(void **s) { (void)s, run_group("windows", windows, DT_NONE); }
static void test_leaves(void **s) { (void)s, run_group("leaves", leaves, DT_NONE); }
static void test_edges(void **s) { (void)s, run_group("edges", edges, DT_NONE); }
static void test_failures(void **s) { (void)s, run_group("failures", failures, DT_NONE); }

/* Every op that a graph may have, with every type that it takes or gives, is met; as many cells hold as were recorded.
 */
static void test_cells(void **state) {
  (void)state;
  static const DType types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_I32, DT_I64, DT_BOOL};
  int cells[NATIVE_LEVELS] = {0}, missing = 0;
  for (Op op = 1; op < OP_COUNT; op++) {
    if (OP_INFO[op].cls == CLASS_LOOP) continue;
    bool any = false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
      DType d = types[i];
      any |= met[op][d];
      if (op_takes(op, d) && !met[op][d]) {
        print_error("no entry has %s of %s\n", OP_INFO[op].text, dtype_name(d));
        missing++;
      }
      for (int level = 0; met[op][d] && level < native_machine.nlevels; level++)
        cells[level] += held[op][d] >> level & 1;
    }
    if (!any) print_error("no entry has %s\n", OP_INFO[op].text), missing++;
  }
  for (int level = 0; level < native_machine.nlevels; level++)
    printf("cells that hold on %s: %d of %d%s\n", native_machine.level[level], cells[level], CELLS_A_LEVEL,
           native_machine.has(level) ? "" : ", not run: this processor does not have it");
  assert_int_equal(missing, 0);
  if (getenv("ONLY")) return;
  for (int level = 0; level < native_machine.nlevels; level++) assert_int_equal(cells[level], CELLS_A_LEVEL);
}

int main(void) {
  if (native_machine.missing()) return native_left_out();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_f32),        cmocka_unit_test(test_f64),      cmocka_unit_test(test_f16),
      cmocka_unit_test(test_bf16),       cmocka_unit_test(test_i32),      cmocka_unit_test(test_i64),
      cmocka_unit_test(test_bool),       cmocka_unit_test(test_moves),    cmocka_unit_test(test_indices),
      cmocka_unit_test(test_reductions), cmocka_unit_test(test_products), cmocka_unit_test(test_leaves),
      cmocka_unit_test(test_failures),   cmocka_unit_test(test_edges),    cmocka_unit_test(test_windows),
      cmocka_unit_test(test_cells),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  matrix_remove_tables();
  return failed;
}
