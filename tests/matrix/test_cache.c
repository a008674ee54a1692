/* A cache that grows at a place known at run time, compiled: the update stores in place, an index out of range stores
 * nothing, in the cache or elsewhere, and what succeeds is committed: on every level, with 1, 2, 3 and 7 threads. */
#include "native.h"
#include "sir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>

static const char TEXT[] =
    "state tokens: i64[] = 0\n"
    "entry append(inout cache: {k: f32[B, 2, T, 3], v: f32[B, 2, T, 3]}, k: f32[B, 2, 1, 3], at: "
    "i64[]) -> f32[B, 2, T] where B <= 4, T <= 16 {\n"
    "  cache.k[:, :, at:at+1] <- k\n"
    "  cache.v[:, :, at:at+1] <- k * 2\n"
    "  tokens <- tokens + 1\n"
    "  (cache.k @ cache.v.mT)[:, :, 0]\n"
    "}\n";
enum { B = 3, T = 11 };

static Tensor tensor(Arena *a, DType d, int rank, const int64_t *dim, int64_t first) {
  Tensor t = tensor_new(a, d, dim, rank);
  for (int64_t k = 0; k < tensor_count(&t); k++)
    tensor_set(&t, k,
               dtype_is_float(d) ? (Scalar){.f = (double)((first + 7 * k) % 31 - 15)} : (Scalar){.i = first + k});
  return t;
}

static void cache(void **state) {
  (void)state;
  Ctx c = ctx_new();
  Program p;
  Native n;
  if (!sir_trace_text(&c, "cache.sir", TEXT, sizeof TEXT - 1, NULL, &p)) fail_msg("%s", diag_first(c.diag, NULL));
  assert_true(native_open(&n, &p, "cache", 16));
  const NamedDim dims[] = {{"B", B}, {"T", T}};
  Tensor inputs[] = {tensor(c.arena, DT_F32, 4, (int64_t[]){B, 2, T, 3}, 1),
                     tensor(c.arena, DT_F32, 4, (int64_t[]){B, 2, T, 3}, 2),
                     tensor(c.arena, DT_F32, 4, (int64_t[]){B, 2, 1, 3}, 3),
                     {0}};
  Tensor cells[] = {tensor(c.arena, DT_I64, 0, NULL, 5)};
  static const int64_t places[] = {0, 4, T - 1, T, -1, INT64_MIN, INT64_MAX}; /* the last four are out of range */
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    inputs[3] = tensor(c.arena, DT_I64, 0, NULL, places[i]);
    NativeCall call = {0, dims, inputs, cells, NULL, places[i] == T ? "cache.sir:3:3: index out of range" : NULL};
    assert_int_equal(native_compare(&n, &call), NATIVE_ALL);
  }
  native_close(&n);
  ctx_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(cache)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
