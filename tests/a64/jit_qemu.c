/* AArch64 under an emulator. */
#include "jit.h"
#include "qemu.h"

static bool runs(const Target *t) { return t->level == LEVEL_A64; }

static void *open_there(const LoopModule *m, const Target *t, const EmitResult *object) {
  char dir[32], path[64];
  jit_link(m, t, object, dir);
  snprintf(path, sizeof path, "%s/k.so", dir);
  qemu_kernels_open(path);
  jit_unlink(dir);
  return NULL;
}

static void call(void *code, int stage, const SinterCall *c, int ndims, int nbufs, const JitBlock *blocks, int nblocks,
                 int64_t lo, int64_t hi, int32_t tid) {
  (void)code;
  QemuBlock there[QEMU_BLOCKS];
  assert(nblocks <= QEMU_BLOCKS);
  for (int i = 0; i < nblocks; i++) there[i] = (QemuBlock){blocks[i].at, blocks[i].bytes};
  qemu_kernel(stage, c, ndims, nbufs, there, nblocks, lo, hi, tid);
}

const JitMachine jit_machine = {
    .arch = "aarch64", .missing = qemu_missing, .runs = runs, .open = open_there, .call = call};
