/* Every program of tests/plan, planned for levels of processors and for a GPU: its plans verify, and the loop
 * interpreter running them agrees with the reference evaluator of the graph, with dimensions at 1, an odd number and
 * near their bounds. Arguments: the programs to run, instead of all; SHOW=1 prints their plans. Run from the root. */
#include "check.h"
#include "pass.h"
#include "simplify.h"
#include "sir.h"
#include "target.h"
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

static const int64_t SIZES[] = {1, 7, 1 << 20};

static int complain(Ctx *c, const char *path, const char *what) {
  Buf b = {0};
  diag_print(c->diag, &b);
  print_error("%s, %s:\n%s", path, what, b.n ? b.at : "no message\n");
  buf_free(&b);
  diag_reset(c->diag);
  return 1;
}

/* Of a GPU every stage has blocks of threads, of a processor none. */
static int check_threads(Ctx *c, const LevelUnit *l, const Program *p, const char *path) {
  int bad = 0;
  for (uint32_t e = 0; e < p->entries.n; e++)
    for (uint32_t i = 0; i < l->entries[e].kernels.n; i++) {
      const Lowered *low = &l->entries[e].kernels.at[i];
      const Kernel *k = l->module->kernels.at[low->kernel];
      for (uint32_t s = 0; s < k->stages.n; s++)
        if ((k->stages.at[s]->threads > 0) != (l->target->threads > 0))
          bad += complain(
              c, path,
              arena_printf(c->arena, "threads of %s.%s on %s", k->name, k->stages.at[s]->name, l->target->name));
    }
  return bad;
}

static int check_level(Ctx *c, Program *p, const char *path, const Target *target) {
  const char *level = target->name;
  Unit unit = {.program = p, .init = plan_init_entry(p)};
  LevelUnit planned;
  int bad = 0;
  if (!plan_level(&unit, target, &planned)) return complain(c, path, arena_printf(c->arena, "planning for %s", level));
  if (getenv("SHOW")) {
    Buf b = {0};
    loop_print(planned.module, &b);
    puts(b.at);
    buf_free(&b);
  }
  if (!loop_verify(planned.module, level)) return complain(c, path, arena_printf(c->arena, "verifying %s", level));
  bad += check_threads(c, &planned, p, path);
  CheckResult r;
  if (!check_start(&unit, &planned, 5, &r))
    bad += complain(c, path, arena_printf(c->arena, "start values on %s", level));
  for (int e = 0; e < (int)p->entries.n; e++)
    for (int s = 0; s < 3; s++) {
      bool ok = check_entry(&unit, &planned, e, SIZES[s], (uint64_t)(17 * s + e), &r);
      const char *what =
          arena_printf(c->arena, "%s on %s at size %lld", p->entries.at[e].name, level, (long long)SIZES[s]);
      if (!ok) bad += complain(c, path, what);
    }
  return bad;
}

static int check_file(const char *path) {
  Ctx c = ctx_new();
  Program p;
  int bad = 0;
  if (!sir_trace(&c, path, NULL, &p))
    bad = complain(&c, path, "tracing");
  else if (!program_map(&p, pass_inline_all, NULL))
    bad = complain(&c, path, "inlining");
  else if (!program_map(&p, pass_simplify, NULL))
    bad = complain(&c, path, "simplifying");
  else if (!program_map(&p, pass_half, NULL))
    bad = complain(&c, path, "computing 16 bits in f32");
  else if (!program_verify(&p))
    bad = complain(&c, path, "verifying the graph");
  else
    bad = check_level(&c, &p, path, target_find("v2")) + check_level(&c, &p, path, target_find("v3")) +
          check_level(&c, &p, path, target_find("v4")) + check_level(&c, &p, path, &TARGET_GPU);
  ctx_free(&c);
  return bad;
}

static void one_program(void **state) { assert_int_equal(check_file(*state), 0); }

int main(int argc, char **argv) {
  static const char *const patterns[] = {"tests/plan/*.sir", NULL};
  return each_file("plan", argc, argv, patterns, one_program);
}
