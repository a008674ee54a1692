/* Whole programs, compiled, agree with the reference evaluator of their graphs: forward passes, training steps,
 * updates. Arguments: the programs to run, instead of all. Run from the root. */
#include "native.h"
#include "philox.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#include "each_file.h"

enum { CAP = 40 };
static const int64_t SIZES[] = {1, 7, CAP};

typedef struct Sizes {
  const Entry *e;
  NamedDim dim[16];
} Sizes;

static bool lookup(void *ctx, const char *name, int64_t *value) {
  const Sizes *s = ctx;
  for (uint32_t i = 0; i < s->e->dims.n; i++)
    if (!strcmp(s->dim[i].name, name)) {
      *value = s->dim[i].value;
      return true;
    }
  return false;
}

/* The sizes nearest to `size` that bounds and facts allow; false if there are none up to CAP. */
static bool choose(const Ctx *c, Sizes *s, int64_t size) {
  if (s->e->dims.n > 16) return false;
  for (int64_t d = 0; d < 2 * CAP; d++) {
    bool good = true;
    int64_t v = d % 2 ? size - (d + 1) / 2 : size + d / 2, ok;
    for (uint32_t i = 0; i < s->e->dims.n; i++) {
      const Dim *x = &s->e->dims.at[i];
      int64_t hi = x->hi < CAP ? x->hi : CAP, w = v > hi ? hi : v < x->lo ? x->lo : v;
      s->dim[i] = (NamedDim){x->name, w};
      good &= w <= CAP;
    }
    for (uint32_t i = 0; good && i < s->e->checks.n; i++)
      good = sym_eval(c->syms, s->e->checks.at[i].cond, lookup, s, &ok) && ok;
    if (good) return true;
  }
  return false;
}

static Tensor filled(const Ctx *c, Arena *a, DType d, const Sym *shape, int rank, Sizes *s, uint64_t seed,
                     uint32_t number) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < rank; i++)
    if (!sym_eval(c->syms, shape[i], lookup, s, &dim[i])) BUG("a size without a value");
  Tensor t = tensor_new(a, d, dim, rank);
  Draw draw = {seed, number, 0, 0};
  for (int64_t k = 0; k < tensor_count(&t); k++) {
    int64_t x = philox_bits(&draw, (uint64_t)k);
    tensor_set(&t, k,
               dtype_is_float(d) ? (Scalar){.f = (double)(x % (1 << 24)) / (1 << 23) - 1}
                                 : (Scalar){.i = x % (d == DT_BOOL ? 2 : 3)});
  }
  return t;
}

static bool entry_holds(Native *n, int k, int64_t size) {
  const Program *p = &n->before;
  const Entry *e = &p->entries.at[k];
  Sizes s = {.e = e};
  if (!choose(p->ctx, &s, size)) return true;
  Arena *a = arena_new();
  Tensor *inputs = ARENA_ARRAY(a, Tensor, e->inputs.n + 1), *cells = ARENA_ARRAY(a, Tensor, p->cells.n + 1);
  uint32_t all = e->outputs.n + e->inputs.n + p->cells.n;
  NativeBound *bound = ARENA_ARRAY(a, NativeBound, all + 1);
  for (uint32_t i = 0; i < e->inputs.n; i++)
    inputs[i] =
        filled(p->ctx, a, e->inputs.at[i].dtype, e->inputs.at[i].shape, e->inputs.at[i].rank, &s, (uint64_t)size, i);
  bool ok = cells_start(p, 1, a, cells);
  for (uint32_t i = 0; i < p->cells.n; i++)
    if (!cells[i].data)
      cells[i] = filled(p->ctx, a, p->cells.at[i].dtype, p->cells.at[i].shape, p->cells.at[i].rank, &s, 1, 100 + i);
  for (uint32_t i = 0; i < all; i++) bound[i].rounded = true;
  ok = ok && native_compare(n, &(NativeCall){k, s.dim, inputs, cells, bound, NULL}) == NATIVE_ALL;
  arena_free(a);
  return ok;
}

static void one_program(void **state) {
  const char *path = *state;
  Ctx c = ctx_new();
  Program p;
  int bad = 0;
  if (!sir_trace(&c, path, NULL, &p)) fail_msg("%s: %s", path, diag_first(c.diag, NULL));
  Native n;
  if (!native_open(&n, &p, "program", CAP)) bad++;
  for (uint32_t k = 0; !bad && k < n.before.entries.n; k++)
    for (int i = 0; i < 3; i++)
      if (i == 1 || !native_machine.slow) bad += !entry_holds(&n, (int)k, SIZES[i]);
  native_close(&n);
  ctx_free(&c);
  assert_int_equal(bad, 0);
}

int main(int argc, char **argv) {
  static const char *const few[] = {"tests/plan/*.sir", "models/*.sir", "tests/model/*.sir", NULL};
  static const char *const all[] = {"tests/plan/*.sir",
                                    "models/*.sir",
                                    "tests/model/*.sir",
                                    "tests/sir/programs/digits*.sir",
                                    "tests/sir/programs/g[an]n.sir",
                                    "tests/sir/programs/lora.sir",
                                    "tests/sir/programs/optimizers.sir",
                                    "tests/sir/programs/v*.sir",
                                    NULL};
  if (native_machine.missing()) return native_left_out();
  const char *const *programs = native_machine.programs ? native_machine.programs : native_machine.slow ? few : all;
  return each_file("programs", argc, argv, programs, one_program);
}
