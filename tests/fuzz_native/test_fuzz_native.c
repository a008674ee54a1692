/* Random graphs (fuzz/gen.h), compiled many at once, agree with the reference evaluator on every level.
 * SEEDS=FIRST..LAST tries others than the fixed ones; the names of entries in messages end with their seed. */
#include "gen.h"
#include "native.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

enum { FIRST = 1, LAST = 100, HALVES = 40, BATCH = 50, MAX_SHOWN = 10 };

static bool holds(Native *n, int entry, uint32_t seed) {
  const Entry *e = &n->before.entries.at[entry];
  bool ok = true;
  for (int size = 0; ok && size < 3; size++) {
    Arena *a = arena_new();
    FuzzDims d = {(int64_t[]){1, 3, FUZZ_MAX_B}[size], (int64_t[]){1, 3, FUZZ_MAX_N}[size]};
    NamedDim dims[2];
    Tensor in[FUZZ_MAX_INPUTS + 1];
    fuzz_inputs(e->graph, d, seed, a, in);
    for (uint32_t i = 0; i < e->dims.n; i++)
      dims[i] = (NamedDim){e->dims.at[i].name, *e->dims.at[i].name == 'B' ? d.b : d.n};
    NativeBound *bound = ARENA_ARRAY(a, NativeBound, e->outputs.n + e->inputs.n + 1);
    for (uint32_t i = 0; i < e->outputs.n; i++) bound[i] = (NativeBound){.rounded = true};
    ok = native_compare(n, &(NativeCall){entry, dims, in, NULL, bound, NULL}) == NATIVE_ALL;
    arena_free(a);
  }
  return ok;
}

/* The number of seeds that fail. */
static int run_batch(uint32_t first, uint32_t last, bool halves) {
  Ctx c = ctx_new();
  Program *p = ARENA_NEW(c.arena, Program);
  *p = (Program){.ctx = &c, .name = "fuzz"};
  for (uint32_t seed = first; seed <= last; seed++) fuzz_add(p, seed, halves);
  Native n;
  int bad = 0;
  if (!native_open(&n, p, "fuzz", INT64_MAX)) bad = (int)(last - first) + 1;
  for (uint32_t i = 0; bad < MAX_SHOWN && i < n.before.entries.n; i++) bad += !holds(&n, (int)i, first + i);
  native_close(&n);
  ctx_free(&c);
  if (bad) print_error("of the seeds %u to %u%s, at least %d fail\n", first, last, halves ? " with 16 bits" : "", bad);
  return bad;
}

static void random_graphs(void **state) {
  (void)state;
  unsigned first = FIRST, last = LAST;
  const char *seeds = getenv("SEEDS");
  if (seeds && sscanf(seeds, "%u..%u", &first, &last) != 2) fail_msg("SEEDS is to be FIRST..LAST");
  int bad = 0;
  for (unsigned s = first; s <= last && bad < MAX_SHOWN; s += BATCH)
    bad += run_batch(s, last - s < BATCH ? last : s + BATCH - 1, false);
  assert_int_equal(bad, 0);
}

static void halves(void **state) {
  (void)state;
  assert_int_equal(run_batch(FIRST, HALVES, true), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_graphs), cmocka_unit_test(halves)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
