/* This machine: artefacts are loaded as they are. */
#include "native.h"
#include <stdio.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static const char *missing(void) { return NULL; }

static bool has(int level) {
  __builtin_cpu_init();
  return level == 0   ? __builtin_cpu_supports("x86-64-v2")
         : level == 1 ? __builtin_cpu_supports("x86-64-v3")
                      : __builtin_cpu_supports("x86-64-v4");
}

/* Small stages run on one thread: here every stage is said to take a millisecond, so that all of them are shared out.
 */
static void share_out(const SinterModel *m) {
  enum { NANOSECONDS = 1000000 };
  uintptr_t from = (uintptr_t)m & ~(uintptr_t)(PAGE - 1);
  if (mprotect((void *)from, (uintptr_t)m + m->bytes - from, PROT_READ | PROT_WRITE))
    BUG("the description cannot be changed");
  const SinterPlan *plan = SINTER_LIST(SinterPlan, m, m->plans);
  for (uint32_t i = 0; i < m->plans.n; i++) {
    SinterStep *step = (SinterStep *)(uintptr_t)SINTER_LIST(SinterStep, m, plan[i].steps);
    for (uint32_t k = 0; k < plan[i].steps.n; k++)
      if (step[k].kind == SINTER_STEP_LAUNCH) step[k].work = (SinterSym){NANOSECONDS, 0};
  }
}

static bool open_here(SinterArtefact *a, const char *path, char *why) {
  if (!sinter_artefact_open(a, path, why)) return false;
  share_out(a->model);
  return true;
}

const NativeMachine native_machine = {.target = "x86_64",
                                      .nlevels = 3,
                                      .level = {"v2", "v3", "v4"},
                                      .threads = {1, 2, 3, 7},
                                      .missing = missing,
                                      .has = has,
                                      .open = open_here,
                                      .close = sinter_artefact_close};
