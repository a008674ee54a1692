/* This machine. */
#include "jit.h"

static const char *missing(void) { return NULL; }

static void *open_here(const LoopModule *m, const Target *t, const EmitResult *object) {
  return (void *)(uintptr_t)jit_open(m, t, object);
}

static void call(void *code, int stage, const SinterCall *c, int ndims, int nbufs, const JitBlock *blocks, int nblocks,
                 int64_t lo, int64_t hi, int32_t tid) {
  (void)ndims, (void)nbufs, (void)blocks, (void)nblocks;
  ((SinterKernel *const *)code)[stage](c, lo, hi, tid);
}

const JitMachine jit_machine = {
    .arch = "x86_64", .missing = missing, .runs = jit_runs, .open = open_here, .call = call};
