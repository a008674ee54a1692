/* The generator keeps what gen.h promises, and all ops occur. Two evaluations in one (f32 as it is, everything in f64)
 * make the evaluator check itself. */
#include "gen.h"
#include "philox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

enum { GRAPHS = 500, BYTES = 160 };

static void fill(uint8_t *bytes, uint32_t which) {
  Draw d = {which, 7, 0, 0};
  for (int i = 0; i < BYTES; i++) bytes[i] = (uint8_t)philox_word(&d, (uint64_t)i);
}

static void see(const Graph *g, const Id *outputs, int n, int *seen) {
  Id *order = mem_alloc(sizeof(Id) * g->node.n);
  int count = graph_reach(g, outputs, n, order);
  for (int i = 0; i < count; i++) {
    Op op = graph_op(g, order[i]);
    seen[op]++;
    if (op == OP_CALL || op == OP_COMPOSITE)
      see(graph_body(g, order[i]), graph_body(g, order[i])->output.at, (int)graph_body(g, order[i])->output.n, seen);
  }
  free(order);
}

static void run(const Graph *g, uint32_t which, FuzzDims d) {
  Arena *a = arena_new();
  Tensor in[FUZZ_MAX_INPUTS], r[2][16];
  int n = (int)g->output.n;
  fuzz_inputs(g, d, which, a, in);
  for (int wide = 0; wide < 2; wide++) {
    Eval e = {.dims = fuzz_lookup,
              .dims_ctx = &d,
              .inputs = in,
              .ninputs = (int)g->input.n,
              .seed = which,
              .call = 3,
              .wide = wide,
              .arena = a};
    if (!graph_eval(g, &e, g->output.at, n, r[wide])) fail_msg("graph %u: %s", which, diag_first(g->ctx->diag, NULL));
    if (e.fail.node) fail_msg("graph %u: %s fails", which, OP_INFO[graph_op(g, e.fail.node)].text);
  }
  for (int i = 0; i < n; i++)
    for (int64_t k = 0; k < tensor_count(&r[0][i]); k++) {
      Scalar x = tensor_at(&r[0][i], k), y = tensor_at(&r[1][i], k);
      const char *type = graph_type(g, g->output.at[i]);
      if (!dtype_is_float(r[0][i].dtype)) {
        if (x.i != y.i)
          fail_msg("graph %u, output %d of type %s: %lld and %lld in wide mode", which, i, type, (long long)x.i,
                   (long long)y.i);
      } else if (!isfinite(x.f) || !isfinite(y.f)) {
        fail_msg("graph %u, output %d of type %s: %g, %g in wide mode", which, i, type, x.f, y.f);
      } else if (fabs(x.f - y.f) > 1e-4 * fmax(1, tensor_largest(&r[1][i]))) {
        fail_msg("graph %u, output %d of type %s: %.9g and %.9g in wide mode", which, i, type, x.f, y.f);
      }
    }
  arena_free(a);
}

static void graphs(void **state) {
  (void)state;
  int seen[OP_COUNT] = {0};
  uint8_t bytes[BYTES];
  for (uint32_t which = 0; which < GRAPHS; which++) {
    Ctx ctx = ctx_new();
    fill(bytes, which);
    Program *p = fuzz_program(&ctx, bytes, BYTES);
    const Graph *g = p->entries.at[0].graph;
    if (!program_verify(p)) fail_msg("graph %u: %s", which, diag_first(ctx.diag, NULL));
    see(g, g->output.at, (int)g->output.n, seen);
    run(g, which, (FuzzDims){1, 1});
    run(g, which, (FuzzDims){5, 3});
    run(g, which, (FuzzDims){FUZZ_MAX_B, FUZZ_MAX_N});
    ctx_free(&ctx);
  }
  for (Op o = OP_NONE + 1; o < OP_COUNT; o++)
    if (OP_INFO[o].cls != CLASS_LOOP && o != OP_CELL && o != OP_DATA && !seen[o])
      fail_msg("`%s` never occurs", OP_INFO[o].text);
}

/* The same bytes give the same graph; any bytes give one. */
static void same_again(void **state) {
  (void)state;
  uint8_t bytes[BYTES];
  for (uint32_t which = 0; which < 20; which++) {
    fill(bytes, which);
    Buf text[2] = {0};
    for (int k = 0; k < 2; k++) {
      Ctx ctx = ctx_new();
      graph_print_body(fuzz_graph(&ctx, bytes, which < 10 ? BYTES : which - 10), &text[k]);
      ctx_free(&ctx);
    }
    assert_string_equal(text[0].at, text[1].at);
    buf_free(&text[0]);
    buf_free(&text[1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(graphs), cmocka_unit_test(same_again)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
